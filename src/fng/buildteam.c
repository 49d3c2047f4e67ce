/*-------------------------------------------------------------------------
 *
 * buildteam.c
 *	  CREATE INDEX: the processes that build together.
 *
 * The leader starts workers for the scan of the heap and keeps them to the
 * end: all run fng_build_rows, meet at a barrier between phases, and claim
 * pieces of a phase's work from counters.  A team is complete before the scan
 * ends, because from then on each waits for all others.  Whoever fails takes
 * the others along: a worker's error is raised in the leader at its next look
 * at interrupts, of which every wait has one, and a leader that fails stops
 * its workers.
 *
 * What they share lies in an arena (buildarena.c) and in temporary files.  A
 * process without workers is a team of one: no barrier waits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <dlfcn.h>
#include <fcntl.h>

#include "access/parallel.h"
#include "access/table.h"
#include "access/xact.h"
#include "build.h"
#include "catalog/index.h"
#include "executor/instrument.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "optimizer/planner.h"
#include "pgstat.h"
#include "storage/barrier.h"
#include "storage/condition_variable.h"
#include "storage/sharedfileset.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* Keys of the parallel context's table of contents */
#define KEY_SHARED			UINT64CONST(0xF46000000000001)
#define KEY_QUERY_TEXT		UINT64CONST(0xF46000000000002)
#define KEY_WAL_USAGE		UINT64CONST(0xF46000000000003)
#define KEY_BUFFER_USAGE	UINT64CONST(0xF46000000000004)

/* What one member tells the others. */
typedef struct TeamMember
{
	uint64		nspooled;
	double		longest;
	double		heap_tuples;
	double		indtuples;
	bool		broken_hot_chain;
	uint64		value;			/* of fng_team_sum */
} TeamMember;

typedef struct TeamShared
{
	Oid			heapid;
	Oid			indexid;
	bool		concurrent;
	int64		query_id;
	pg_atomic_uint32 njoined;	/* members, also the next one's rank */
	ConditionVariable joined;
	Barrier		barrier;
	SharedFileSet files;
	uint64		told;			/* of fng_team_tell */
	pg_atomic_uint64 claims[FNG_NUM_CLAIMS];
	TeamMember	members[FNG_MAX_TEAM];
	/* a ParallelTableScanDesc follows */
} TeamShared;

#define TeamSharedScan(shared) \
	((ParallelTableScanDesc) ((char *) (shared) + BUFFERALIGN(sizeof(TeamShared))))

struct FngTeam
{
	uint32		rank;
	uint32		size;
	TeamShared *shared;
	BufFile   **spools;			/* of each member, as far as opened */

	/* the leader's */
	ParallelContext *pcxt;		/* NULL: alone */
	Snapshot	snapshot;
	WalUsage   *wal_usage;
	BufferUsage *buffer_usage;
};

static BlockNumber blocks_to_scan(Relation heap);
static const char *own_library(void);
static bool start_workers(FngBuild *build, int nworkers);
static void init_shared(FngBuild *build);
static void stop_workers(FngTeam *team);
static void wait_for_members(FngTeam *team);
static void spool_name(char *name, uint32 rank);

PGDLLEXPORT void fng_build_worker_main(dsm_segment * segment, shm_toc * toc);

/*
 * Make this process the leader of a team.  fng_team_end must follow, unless
 * there is an error.
 */
void
fng_team_begin(FngBuild *build)
{
	FngTeam    *team = MemoryContextAllocZero(build->context, sizeof(FngTeam));
	int			nworkers = fng_team_workers(build->heap, build->info,
											RelationGetRelid(build->index));

	build->team = team;
	if (nworkers == 0 || !start_workers(build, nworkers))
	{
		team->size = 1;
		team->shared = MemoryContextAllocZero(build->context, sizeof(TeamShared));
		init_shared(build);
	}
}

/*
 * How many workers a build should have: none if the planner would give none to
 * a btree; but as they have one memory for all, not one share of
 * maintenance_work_mem each, as many as there may be.  indexid is invalid if
 * the index is only thought of; it has no expressions or predicate then.
 */
int
fng_team_workers(Relation heap, const IndexInfo *info, Oid indexid)
{
	int			nworkers = max_parallel_maintenance_workers;
	int			for_table = RelationGetParallelWorkers(heap, -1);

	if (for_table >= 0)
		nworkers = Min(nworkers, for_table);
	nworkers = Min(nworkers, FNG_MAX_TEAM - 1);
	if (nworkers == 0 || RelationUsesLocalBuffers(heap))
		return 0;
	if (OidIsValid(indexid) && plan_create_index_workers(RelationGetRelid(heap), indexid) > 0)
		return nworkers;

	/* the planner does not look at vectors that are stored out of line */
	if (info != NULL && (info->ii_Expressions != NIL || info->ii_Predicate != NIL))
		return 0;
	if (for_table < 0 && blocks_to_scan(heap) < (BlockNumber) min_parallel_table_scan_size)
		return 0;
	return nworkers;
}

static BlockNumber
blocks_to_scan(Relation heap)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(heap);

	if (OidIsValid(heap->rd_rel->reltoastrelid))
	{
		Relation	toast = table_open(heap->rd_rel->reltoastrelid, AccessShareLock);

		nblocks += RelationGetNumberOfBlocks(toast);
		table_close(toast, AccessShareLock);
	}
	return nblocks;
}

/* False if there are no workers to be had. */
static bool
start_workers(FngBuild *build, int nworkers)
{
	FngTeam    *team = build->team;
	ParallelContext *pcxt;
	Size		size;
	Size		usage;
	Size		query_length = debug_query_string != NULL ? strlen(debug_query_string) : 0;

	EnterParallelMode();
	pcxt = CreateParallelContext(own_library(), "fng_build_worker_main", nworkers);
	team->snapshot = build->info->ii_Concurrent ?
		RegisterSnapshot(GetTransactionSnapshot()) : SnapshotAny;

	size = add_size(BUFFERALIGN(sizeof(TeamShared)),
					table_parallelscan_estimate(build->heap, team->snapshot));
	shm_toc_estimate_chunk(&pcxt->estimator, size);
	usage = mul_size(pcxt->nworkers, sizeof(WalUsage));
	shm_toc_estimate_chunk(&pcxt->estimator, usage);
	shm_toc_estimate_chunk(&pcxt->estimator, mul_size(pcxt->nworkers, sizeof(BufferUsage)));
	shm_toc_estimate_chunk(&pcxt->estimator, query_length + 1);
	shm_toc_estimate_keys(&pcxt->estimator, 4);

	InitializeParallelDSM(pcxt);
	team->pcxt = pcxt;
	if (pcxt->seg == NULL)
	{
		stop_workers(team);
		return false;
	}

	team->shared = shm_toc_allocate(pcxt->toc, size);
	memset(team->shared, 0, sizeof(TeamShared));
	init_shared(build);
	SharedFileSetInit(&team->shared->files, pcxt->seg);
	table_parallelscan_initialize(build->heap, TeamSharedScan(team->shared), team->snapshot);
	shm_toc_insert(pcxt->toc, KEY_SHARED, team->shared);
	team->wal_usage = shm_toc_allocate(pcxt->toc, usage);
	shm_toc_insert(pcxt->toc, KEY_WAL_USAGE, team->wal_usage);
	team->buffer_usage = shm_toc_allocate(pcxt->toc, mul_size(pcxt->nworkers, sizeof(BufferUsage)));
	shm_toc_insert(pcxt->toc, KEY_BUFFER_USAGE, team->buffer_usage);
	if (debug_query_string != NULL)
	{
		char	   *text = shm_toc_allocate(pcxt->toc, query_length + 1);

		memcpy(text, debug_query_string, query_length + 1);
		shm_toc_insert(pcxt->toc, KEY_QUERY_TEXT, text);
	}

	/* before any worker can arrive: the barrier must not open without us */
	BarrierAttach(&team->shared->barrier);
	LaunchParallelWorkers(pcxt);
	if (pcxt->nworkers_launched == 0)
	{
		stop_workers(team);
		return false;
	}
	team->size = pcxt->nworkers_launched + 1;
	return true;
}

/*
 * The file that this code is in: a worker must load no other of the same name,
 * and it loads what its leader has loaded by that file's name.
 */
static const char *
own_library(void)
{
	Dl_info		info;

	if (dladdr((void *) fng_build_worker_main, &info) == 0 || info.dli_fname == NULL)
		elog(ERROR, "could not find the library of the index build");
	return info.dli_fname;
}

/* The leader is the first member. */
static void
init_shared(FngBuild *build)
{
	TeamShared *shared = build->team->shared;

	shared->heapid = RelationGetRelid(build->heap);
	shared->indexid = RelationGetRelid(build->index);
	shared->concurrent = build->info->ii_Concurrent;
	shared->query_id = (int64) pgstat_get_my_query_id();
	pg_atomic_init_u32(&shared->njoined, 1);
	ConditionVariableInit(&shared->joined);
	BarrierInit(&shared->barrier, 0);
	for (int i = 0; i < FNG_NUM_CLAIMS; i++)
		pg_atomic_init_u64(&shared->claims[i], 0);
}

/*
 * Wait for the workers to finish, and take over what they counted.
 */
void
fng_team_end(FngBuild *build)
{
	FngTeam    *team = build->team;

	if (team->pcxt == NULL)
		return;
	WaitForParallelWorkersToFinish(team->pcxt);
	for (int i = 0; i < team->pcxt->nworkers_launched; i++)
		InstrAccumParallelQuery(&team->buffer_usage[i], &team->wal_usage[i]);
	stop_workers(team);
}

static void
stop_workers(FngTeam *team)
{
	if (IsMVCCSnapshot(team->snapshot))
		UnregisterSnapshot(team->snapshot);
	DestroyParallelContext(team->pcxt);
	ExitParallelMode();
	team->pcxt = NULL;
}

/* This member needs nothing of the others any more, nor they of it. */
void
fng_team_leave(FngBuild *build)
{
	FngTeam    *team = build->team;

	for (uint32 i = 0; i < team->size; i++)
	{
		if (team->spools[i] != NULL)
			BufFileClose(team->spools[i]);
	}
}

/*
 * A worker's share of CREATE INDEX.
 */
void
fng_build_worker_main(dsm_segment * segment, shm_toc * toc)
{
	TeamShared *shared = shm_toc_lookup(toc, KEY_SHARED, false);
	WalUsage   *wal_usage = shm_toc_lookup(toc, KEY_WAL_USAGE, false);
	BufferUsage *buffer_usage = shm_toc_lookup(toc, KEY_BUFFER_USAGE, false);
	LOCKMODE	heap_lock = shared->concurrent ? ShareUpdateExclusiveLock : ShareLock;
	LOCKMODE	index_lock = shared->concurrent ? RowExclusiveLock : AccessExclusiveLock;
	Relation	heap;
	Relation	index;
	IndexInfo  *info;
	FngBuild	build;
	FngTeam    *team;

	debug_query_string = shm_toc_lookup(toc, KEY_QUERY_TEXT, true);
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
	pgstat_report_query_id(shared->query_id, false);

	heap = table_open(shared->heapid, heap_lock);
	index = index_open(shared->indexid, index_lock);
	info = BuildIndexInfo(index);
	info->ii_Concurrent = shared->concurrent;

	InstrStartParallelQuery();
	fng_build_init(&build, heap, index, info);
	team = MemoryContextAllocZero(build.context, sizeof(FngTeam));
	build.team = team;
	team->shared = shared;
	SharedFileSetAttach(&shared->files, segment);
	BarrierAttach(&shared->barrier);
	team->rank = pg_atomic_fetch_add_u32(&shared->njoined, 1);
	ConditionVariableBroadcast(&shared->joined);

	fng_build_rows(&build);

	InstrEndParallelQuery(&buffer_usage[ParallelWorkerNumber], &wal_usage[ParallelWorkerNumber]);
	MemoryContextDelete(build.context);
	index_close(index, index_lock);
	table_close(heap, heap_lock);
}

uint32
fng_team_rank(const FngTeam *team)
{
	return team->rank;
}

/* How many members there are; in a worker known once the scan is over. */
uint32
fng_team_size(const FngTeam *team)
{
	return team->size;
}

/*
 * Scan this member's share of the heap.  Sets heap_tuples of the build.
 */
void
fng_team_scan(FngBuild *build, IndexBuildCallback callback)
{
	FngTeam    *team = build->team;
	TableScanDesc scan = NULL;

	if (team->rank > 0 || team->pcxt != NULL)
		scan = table_beginscan_parallel(build->heap, TeamSharedScan(team->shared));
	build->heap_tuples = table_index_build_scan(build->heap, build->index, build->info, true,
												team->rank == 0, callback, build, scan);
}

/*
 * A file for the rows of this member.  It goes with the build.
 */
BufFile *
fng_team_spool(FngBuild *build)
{
	FngTeam    *team = build->team;
	MemoryContext old = MemoryContextSwitchTo(build->context);
	char		name[MAXPGPATH];
	BufFile    *spool;

	spool_name(name, team->rank);
	if (team->rank > 0 || team->pcxt != NULL)
		spool = BufFileCreateFileSet(&team->shared->files.fs, name);
	else
		spool = BufFileCreateTemp(false);
	MemoryContextSwitchTo(old);
	return spool;
}

static void
spool_name(char *name, uint32 rank)
{
	snprintf(name, MAXPGPATH, "fng_rows.%u", rank);
}

/* The file of any member, to be read after fng_team_agree. */
BufFile *
fng_team_spool_of(FngBuild *build, uint32 rank)
{
	FngTeam    *team = build->team;

	if (team->spools[rank] == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(build->context);
		char		name[MAXPGPATH];

		spool_name(name, rank);
		team->spools[rank] = BufFileOpenFileSet(&team->shared->files.fs, name, O_RDONLY, false);
		MemoryContextSwitchTo(old);
	}
	return team->spools[rank];
}

/*
 * The scan is over: exchange what each has counted.  Afterwards heap_tuples,
 * indtuples, longest and ii_BrokenHotChain of all are those of the team, and
 * every file can be read.  Writes nspooled of each member to "counts", which
 * has room for FNG_MAX_TEAM.
 */
void
fng_team_agree(FngBuild *build, uint64 *counts)
{
	FngTeam    *team = build->team;
	TeamMember *own = &team->shared->members[team->rank];

	if (team->pcxt != NULL)
		wait_for_members(team);
	if (team->size != 1)
		BufFileExportFileSet(build->spool);
	own->nspooled = build->nspooled;
	own->longest = build->longest;
	own->heap_tuples = build->heap_tuples;
	own->indtuples = build->indtuples;
	own->broken_hot_chain = build->info->ii_BrokenHotChain;
	if (team->size != 1)
		BarrierArriveAndWait(&team->shared->barrier, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
	team->size = pg_atomic_read_u32(&team->shared->njoined);

	build->heap_tuples = 0;
	build->indtuples = 0;
	for (uint32 i = 0; i < team->size; i++)
	{
		const TeamMember *member = &team->shared->members[i];

		counts[i] = member->nspooled;
		build->longest = Max(build->longest, member->longest);
		build->heap_tuples += member->heap_tuples;
		build->indtuples += member->indtuples;
		build->info->ii_BrokenHotChain |= member->broken_hot_chain;
	}
	team->spools = MemoryContextAllocZero(build->context, team->size * sizeof(BufFile *));
	team->spools[team->rank] = build->spool;
}

/*
 * The leader waits until every worker that was started is a member: from then
 * on the barrier counts all of them.  A worker that fails before raises an
 * error here.
 */
static void
wait_for_members(FngTeam *team)
{
	WaitForParallelWorkersToAttach(team->pcxt);
	ConditionVariablePrepareToSleep(&team->shared->joined);
	while (pg_atomic_read_u32(&team->shared->njoined) < team->size)
		ConditionVariableSleep(&team->shared->joined, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
	ConditionVariableCancelSleep();
}

/* The team's temporary files; NULL of a single process. */
FileSet *
fng_team_files(FngTeam *team)
{
	return team->size > 1 ? &team->shared->files.fs : NULL;
}

/* Wait for all others; what was written before is theirs to read after. */
void
fng_team_barrier(FngTeam *team)
{
	CHECK_FOR_INTERRUPTS();
	if (team->size > 1)
		BarrierArriveAndWait(&team->shared->barrier, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
}

/* Claim n pieces of work: returns the first. */
uint64
fng_team_claim(FngTeam *team, int claim, uint64 n)
{
	return pg_atomic_fetch_add_u64(&team->shared->claims[claim], n);
}

/* What has been claimed so far, for the progress. */
uint64
fng_team_claimed(FngTeam *team, int claim)
{
	return pg_atomic_read_u64(&team->shared->claims[claim]);
}

/* The sum of what all members give.  All wait for each other. */
uint64
fng_team_sum(FngTeam *team, uint64 value)
{
	uint64		sum = 0;

	team->shared->members[team->rank].value = value;
	fng_team_barrier(team);
	for (uint32 i = 0; i < team->size; i++)
		sum += team->shared->members[i].value;
	fng_team_barrier(team);
	return sum;
}

/* Rank 0's value.  All wait for each other. */
uint64
fng_team_tell(FngTeam *team, uint64 value)
{
	if (team->rank == 0)
		team->shared->told = value;
	fng_team_barrier(team);
	value = team->shared->told;
	fng_team_barrier(team);
	return value;
}
