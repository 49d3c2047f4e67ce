/*-------------------------------------------------------------------------
 *
 * buildarena.c
 *	  CREATE INDEX: the memory that the processes of a build share.
 *
 * It is one piece, the arena, whose size is known when the rows are counted,
 * and which goes when the graph is written: a dynamic shared memory segment,
 * or where /dev/shm is too small, as in containers, a mapped temporary file.
 * Each process keeps the books of the arena for itself; all ask for the same
 * pieces in the same order, so the books agree (graph/arena.h).
 *
 * The arena of a single process is private memory.  It is one piece here, too:
 * pieces of their own would leave gaps among each other that nobody counts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>

#include "../graph/arena.h"
#include "build.h"
#include "miscadmin.h"
#include "storage/dsm.h"
#include "storage/fd.h"
#include "utils/memutils.h"

/* Left free in /dev/shm, for other queries' segments */
#define SHM_RESERVE		(1024 * 1024)

struct FngArena
{
	GraphArena	books;
	dsm_segment *segment;		/* what it is in */
	void	   *mapped;			/* or in a file */
	Size		mapped_size;
};

static void *share_with_team(FngBuild *build, Size size);
static bool fits_shared_memory(Size size);
static void map_file(FngBuild *build, Size size, bool create);
static void arena_name(char *name, const FngBuild *build);
static void unmap_file(void *arg);

/*
 * Make the arena.  All call it, with the same size, and fng_team_unshare when
 * nothing in it is wanted any more.
 */
void
fng_team_share(FngBuild *build, Size size)
{
	void	   *base;

	/* a file is unmapped with the context, so the struct stays */
	build->arena = MemoryContextAllocZero(build->context, sizeof(FngArena));
	build->narenas++;
	/* of private memory that is not used the system gives nothing */
	if (fng_team_size(build->team) > 1)
		base = share_with_team(build, size);
	else
		base = build->host.alloc(build, size);
	graph_arena_init(&build->arena->books, base, size);
}

/*
 * Rank 0 makes the memory and tells the others where it is, who map it.
 */
static void *
share_with_team(FngBuild *build, Size size)
{
	FngArena   *arena = build->arena;
	bool		leads = fng_team_rank(build->team) == 0;
	dsm_handle	handle = DSM_HANDLE_INVALID;

	if (leads && fits_shared_memory(size))
	{
		arena->segment = dsm_create(size, 0);
		handle = dsm_segment_handle(arena->segment);
	}
	else if (leads)
		map_file(build, size, true);
	handle = (dsm_handle) fng_team_tell(build->team, handle);
	if (!leads && handle == DSM_HANDLE_INVALID)
		map_file(build, size, false);
	else if (!leads && (arena->segment = dsm_attach(handle)) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not map the shared memory of the index build")));
	return arena->segment != NULL ? dsm_segment_address(arena->segment) : arena->mapped;
}

void
fng_team_unshare(FngBuild *build)
{
	FngArena   *arena = build->arena;

	fng_team_barrier(build->team);
	if (fng_team_size(build->team) == 1)
		build->host.release(build, arena->books.base);
	else if (arena->segment != NULL)
		dsm_detach(arena->segment);
	else
	{
		char		name[MAXPGPATH];

		unmap_file(arena);
		arena_name(name, build);
		if (fng_team_rank(build->team) == 0)
			FileSetDelete(fng_team_files(build->team), name, true);
	}
	build->arena = NULL;
}

/*
 * Is there room for a segment?  Where the server cannot tell, creating one
 * will.
 */
static bool
fits_shared_memory(Size size)
{
	struct statvfs fs;

	if (descartes_debug_build_in_file)
		return false;
	if (dynamic_shared_memory_type != DSM_IMPL_POSIX || statvfs("/dev/shm", &fs) != 0)
		return true;
	return (uint64) fs.f_bavail * fs.f_frsize >= (uint64) add_size(size, SHM_RESERVE);
}

/*
 * Map a temporary file of that size, which goes with the team.  Its blocks are
 * allocated before, since a page for which the disk has no room would be a
 * fatal signal.
 */
static void
map_file(FngBuild *build, Size size, bool create)
{
	FngArena   *arena = build->arena;
	FileSet    *files = fng_team_files(build->team);
	MemoryContextCallback *callback = MemoryContextAlloc(build->context, sizeof(*callback));
	char		name[MAXPGPATH];
	File		file;
	int			error = 0;

	arena_name(name, build);
	if (create)
		file = FileSetCreate(files, name);
	else
		file = FileSetOpen(files, name, O_RDWR);
	if (create)
	{
		do
		{
			CHECK_FOR_INTERRUPTS();
			error = posix_fallocate(FileGetRawDesc(file), 0, (off_t) size);
		} while (error == EINTR);
	}
	if (error == 0)
	{
		arena->mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
							 FileGetRawDesc(file), 0);
		if (arena->mapped == MAP_FAILED)
			error = errno;
	}
	if (error != 0)
	{
		arena->mapped = NULL;
		errno = error;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not map a temporary file of %zu bytes for the index build: %m", size),
				 errhint("Reduce maintenance_work_mem, or set max_parallel_maintenance_workers to 0.")));
	}
	arena->mapped_size = size;
	callback->func = unmap_file;
	callback->arg = arena;
	MemoryContextRegisterResetCallback(build->context, callback);
	FileClose(file);
}

static void
arena_name(char *name, const FngBuild *build)
{
	snprintf(name, MAXPGPATH, "fng_arena.%u", build->narenas);
}

static void
unmap_file(void *arg)
{
	FngArena   *arena = (FngArena *) arg;

	if (arena->mapped != NULL)
		munmap(arena->mapped, arena->mapped_size);
	arena->mapped = NULL;
}

/*
 * Shared memory, aligned to 64 bytes.  All members call in the same order with
 * the same sizes; the contents are undefined.
 */
void *
fng_team_alloc(FngBuild *build, Size size)
{
	GraphArena *books = &build->arena->books;
	void	   *memory = graph_arena_alloc(books, size);

	if (memory == NULL)
		elog(ERROR, "index build needs more shared memory than it reckoned with: %zu bytes, and there are %zu",
			 size, graph_arena_room(books));
	return memory;
}

void
fng_team_free(FngBuild *build, void *memory)
{
	if (!graph_arena_release(&build->arena->books, memory))
		elog(ERROR, "index build releases shared memory that it does not have");
}

/* The largest block that fng_team_alloc can give now */
Size
fng_team_room(FngBuild *build)
{
	return graph_arena_room(&build->arena->books);
}
