/*-------------------------------------------------------------------------
 *
 * buildfile.c
 *	  CREATE INDEX: temporary files that a team reads and writes anywhere.
 *
 * A file of a team is one of its set of files and goes with the parallel
 * context; that of a single process goes with the transaction, or an error.
 * The leader makes it and gives it its size at once, so that temp_file_limit
 * counts all of it; a full disk is an error where it is written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "build.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "utils/memutils.h"

struct FngFile
{
	File		file;
	FileSet    *set;			/* NULL: of this process */
	char		name[32];
};

/*
 * Make a file of so many bytes, contents undefined.  All members call, in the
 * same order.
 */
FngFile *
fng_file_create(FngBuild *build, uint64 size)
{
	FngFile    *file = MemoryContextAlloc(build->context, sizeof(FngFile));
	bool		leads = fng_team_rank(build->team) == 0;

	file->set = fng_team_files(build->team);
	snprintf(file->name, sizeof(file->name), "fng_file.%u", build->nfiles++);
	if (file->set == NULL)
		file->file = OpenTemporaryFile(false);
	else if (leads)
		file->file = FileSetCreate(file->set, file->name);
	if (leads && size > 0)
		fng_file_write(file, size - 1, "", 1);
	fng_team_barrier(build->team);
	if (!leads)
	{
		file->file = FileSetOpen(file->set, file->name, O_RDWR);
		if (file->file <= 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not open temporary file \"%s\" of the index build: %m",
							file->name)));
	}
	return file;
}

/* Nobody uses the file any more.  All members call. */
void
fng_file_close(FngBuild *build, FngFile *file)
{
	FileClose(file->file);
	if (file->set != NULL && fng_team_rank(build->team) == 0)
		FileSetDelete(file->set, file->name, true);
	pfree(file);
}

void
fng_file_read(FngFile *file, uint64 offset, void *data, Size size)
{
	int			done;

	errno = 0;
	done = FileRead(file->file, data, (int) size, (off_t) offset, WAIT_EVENT_BUFFILE_READ);
	if (done == (int) size)
		return;
	if (done >= 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read from temporary file of the index build: read only %d of %zu bytes",
						done, size)));
	ereport(ERROR,
			(errcode_for_file_access(),
			 errmsg("could not read from temporary file of the index build: %m")));
}

void
fng_file_write(FngFile *file, uint64 offset, const void *data, Size size)
{
	errno = 0;
	if (FileWrite(file->file, unconstify(void *, data), (int) size, (off_t) offset,
				  WAIT_EVENT_BUFFILE_WRITE) == (int) size)
		return;
	/* a short write that says no more than that */
	if (errno == 0)
		errno = ENOSPC;
	ereport(ERROR,
			(errcode_for_file_access(),
			 errmsg("could not write to temporary file of the index build: %m")));
}
