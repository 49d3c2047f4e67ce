/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between the supported major versions (14 to 18).
 *
 * This is the only file that knows PG_VERSION_NUM.  The rest of the code is
 * written for the newest version; older ones get its names from here.
 * Include it after postgres.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_COMPAT_H
#define DESCARTES_COMPAT_H

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/smgr.h"
#include "utils/guc.h"
#include "utils/rel.h"

/* 16 moved the varlena macros out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/*
 * Soft errors came with 16.  Before, an input function has to throw.
 */
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#else
#define errsave(context, ...) \
	do { \
		(void) (context); \
		ereport(ERROR, __VA_ARGS__); \
	} while (0)
#define ereturn(context, dummy_value, ...) \
	do { \
		errsave(context, __VA_ARGS__); \
		return dummy_value; \
	} while (0)
#endif

/*
 * We compile with -fvisibility=hidden, the default for extensions since 16.
 * Before, neither PGDLLEXPORT nor PG_FUNCTION_INFO_V1 exports anything.
 */
#if PG_VERSION_NUM < 160000
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#undef PG_FUNCTION_INFO_V1
#define PG_FUNCTION_INFO_V1(funcname) \
extern PGDLLEXPORT Datum funcname(PG_FUNCTION_ARGS); \
extern PGDLLEXPORT const Pg_finfo_record *CppConcat(pg_finfo_,funcname)(void); \
const Pg_finfo_record * \
CppConcat(pg_finfo_,funcname) (void) \
{ \
	static const Pg_finfo_record my_finfo = { 1 }; \
	return &my_finfo; \
} \
extern int no_such_variable
#endif

/* 18 shows the name and version of a loaded module. */
#if PG_VERSION_NUM >= 180000
#define DESCARTES_MODULE_MAGIC(name_, version_) \
	PG_MODULE_MAGIC_EXT(.name = name_, .version = version_)
#else
#define DESCARTES_MODULE_MAGIC(name_, version_) \
	PG_MODULE_MAGIC
#endif

/* 18 writes it before the declaration. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn		pg_attribute_noreturn()
#endif

/* 15 lets an extension reserve the prefix of its settings. */
#if PG_VERSION_NUM < 150000
#define MarkGUCPrefixReserved(prefix)	EmitWarningsOnPlaceholders(prefix)
#endif

/*
 * Relation files: 16 renamed RelFileNode.
 */
#if PG_VERSION_NUM >= 160000
#include "storage/relfilelocator.h"
typedef RelFileLocator CompatRelFile;
#define compat_relation_file(relation)		((relation)->rd_locator)
#define compat_relation_file_equals(a, b)	RelFileLocatorEquals(a, b)
#else
#include "storage/relfilenode.h"
typedef RelFileNode CompatRelFile;
#define compat_relation_file(relation)		((relation)->rd_node)
#define compat_relation_file_equals(a, b)	RelFileNodeEquals(a, b)
#endif

/*
 * Add a block to a fork; the buffer comes back locked exclusively.  16 has one
 * call for it; before, the relation extension lock is ours to take, even if
 * the relation is new: a parallel worker may extend it, too.
 */
#if PG_VERSION_NUM >= 160000
#define compat_extend_relation(relation, fork) \
	ExtendBufferedRel(BMR_REL(relation), fork, NULL, EB_LOCK_FIRST)
#else
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
static inline Buffer
compat_extend_relation(Relation relation, ForkNumber fork)
{
	bool		needs_lock = !RelationUsesLocalBuffers(relation);
	Buffer		buffer;

	if (needs_lock)
		LockRelationForExtension(relation, ExclusiveLock);
	buffer = ReadBufferExtended(relation, fork, P_NEW, RBM_NORMAL, NULL);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (needs_lock)
		UnlockRelationForExtension(relation, ExclusiveLock);
	return buffer;
}
#endif

/*
 * Add n blocks of zeros to a fork that nobody else extends, without buffers:
 * the caller is to write and log them all.  The file system gives the space at
 * once, without writing to it; 16 does so by itself.  Before, the last block
 * of each file of the relation is written, so that the server makes the file,
 * and what is before it is allocated.
 */
#if PG_VERSION_NUM >= 160000
static inline void
compat_extend_by_zeros(Relation relation, ForkNumber fork, BlockNumber first, BlockNumber n)
{
	while (n > 0)
	{
		int			now = (int) Min(n, RELSEG_SIZE / 8);

		CHECK_FOR_INTERRUPTS();
		smgrzeroextend(RelationGetSmgr(relation), fork, first, now, true);
		first += now;
		n -= now;
	}
}
#else
#include <fcntl.h>
#include "storage/fd.h"

/* Give blocks of one file of a fork, which has them as a hole, their space. */
static inline void
compat_allocate_blocks(SMgrRelation smgr, ForkNumber fork, BlockNumber first, BlockNumber n)
{
	char	   *base = relpath(smgr->smgr_rnode, fork);
	char	   *path = first < RELSEG_SIZE ? base : psprintf("%s.%u", base, first / RELSEG_SIZE);
	int			fd = OpenTransientFile(path, O_RDWR | PG_BINARY);
	int			error;

	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", path)));
	do
	{
		CHECK_FOR_INTERRUPTS();
		error = posix_fallocate(fd, (off_t) (first % RELSEG_SIZE) * BLCKSZ, (off_t) n * BLCKSZ);
	} while (error == EINTR);
	errno = error;
	if (error != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not extend file \"%s\" with posix_fallocate(): %m", path),
				 errhint("Check free disk space.")));
	CloseTransientFile(fd);
}

static inline void
compat_extend_by_zeros(Relation relation, ForkNumber fork, BlockNumber first, BlockNumber n)
{
	PGAlignedBlock zeros;

	memset(&zeros, 0, sizeof(zeros));
	while (n > 0)
	{
		BlockNumber now = Min(n, RELSEG_SIZE - first % RELSEG_SIZE);
		SMgrRelation smgr = RelationGetSmgr(relation);

		smgrextend(smgr, fork, first + now - 1, zeros.data, true);
		compat_allocate_blocks(smgr, fork, first, now);
		first += now;
		n -= now;
	}
}
#endif

/*
 * Read streams came with 17, and leave to submit reads in batches with 18,
 * provided that the callback does not block.
 */
#if PG_VERSION_NUM >= 170000
#define COMPAT_READ_STREAM
#if PG_VERSION_NUM >= 180000
#define COMPAT_READ_STREAM_BATCHING		READ_STREAM_USE_BATCHING
#else
#define COMPAT_READ_STREAM_BATCHING		0
#endif
#endif

/* 18 counts index searches for EXPLAIN, besides the statistics. */
#if PG_VERSION_NUM >= 180000
#define compat_count_index_scan(scan) \
	do { \
		pgstat_count_index_scan((scan)->indexRelation); \
		if ((scan)->instrument) \
			(scan)->instrument->nsearches++; \
	} while (0)
#define compat_vacuum_delay_point()		vacuum_delay_point(false)
#define compat_analyze_delay_point()	vacuum_delay_point(true)
#else
#define compat_count_index_scan(scan) \
	pgstat_count_index_scan((scan)->indexRelation)
#define compat_vacuum_delay_point()		vacuum_delay_point()
#define compat_analyze_delay_point()	vacuum_delay_point()
#endif

/*
 * The planner must not take this path: 18 compares the numbers of disabled
 * nodes first, of which another scan of the same table has at most one.
 */
#if PG_VERSION_NUM >= 180000
#define compat_disable_path(path)	((path)->disabled_nodes = 2)
#else
#define compat_disable_path(path)	((void) 0)
#endif

/* 18 has a prefix instead, which older versions cannot have. */
#if PG_VERSION_NUM >= 180000
#define pg_attribute_noreturn()	__attribute__((noreturn))
#endif

/*
 * A context for what one row takes, which is given up all at once: up to size
 * bytes, single chunks of an eighth of it included, stay with the context when
 * it is reset.  14 has no such context.
 */
#if PG_VERSION_NUM >= 150000
#define compat_create_scratch_context(parent, name, size) \
	GenerationContextCreate(parent, name, size, size, size)
#else
#define compat_create_scratch_context(parent, name, size) \
	AllocSetContextCreate(parent, name, 0, size, size)
#endif

/*
 * Let vacuum_delay_point work outside of VACUUM, by the session's settings,
 * until VacuumCostActive is set to false.  A parallel VACUUM that was
 * cancelled leaves pointers to what it shared, which is gone.
 */
#if PG_VERSION_NUM >= 160000
#define compat_begin_vacuum_costs() \
	do { \
		VacuumCostBalance = 0; \
		VacuumSharedCostBalance = NULL; \
		VacuumActiveNWorkers = NULL; \
		VacuumUpdateCosts(); \
	} while (0)
#else
#define compat_begin_vacuum_costs() \
	do { \
		VacuumCostBalance = 0; \
		VacuumSharedCostBalance = NULL; \
		VacuumActiveNWorkers = NULL; \
		VacuumCostActive = VacuumCostDelay > 0; \
	} while (0)
#endif

/* The heap of an index under VACUUM is known from 16 on. */
#if PG_VERSION_NUM >= 160000
#define compat_vacuum_heap(info)	((info)->heaprel)
#else
#define compat_vacuum_heap(info)	NULL
#endif

/*
 * Log that an index page is about to be used anew, which on a standby cancels
 * queries with snapshots that the stamp is not behind.  The record names
 * relation and block and changes nothing, so whose it is does not matter;
 * GiST offers a function for it.
 */
#include "access/gist_private.h"
#if PG_VERSION_NUM >= 160000
#define compat_log_page_reuse(index, block, stamp) \
	gistXLogPageReuse(index, index, block, stamp)
#else
#define compat_log_page_reuse(index, block, stamp) \
	gistXLogPageReuse(index, block, stamp)
#endif

#endif							/* DESCARTES_COMPAT_H */
