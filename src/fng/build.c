/*-------------------------------------------------------------------------
 *
 * build.c
 *	  CREATE INDEX: the order of the phases.
 *
 *	load		heap rows go to temporary files, NULL and NaN rows to their
 *				chains (buildload.c); then it is decided what is in memory
 *				(buildplan.c)
 *	rotate		rows become points of coded space, rotated and centred; equal
 *				rows are put together (buildpoints.c)
 *	graph		neighbours, selection, connectivity, order (graph/), on each
 *				level (buildgraph.c)
 *	write		slots with codes, in their final order (buildwrite.c)
 *	findability every node must be found by its own vector (finish.c)
 *	insert		rows for which maintenance_work_mem had no room
 *	log			all pages but the meta page
 *	calibrate	the default list size (recall.c); then the meta page is logged
 *
 * All members of a team (buildteam.c) run all phases.  But WAL goes to one file
 * after the other, so rank 0 begins to log and the others to calibrate; who is
 * ready helps.  Pages are written through shared buffers without WAL and logged
 * when they change no more; nobody else can see the relation before that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xloginsert.h"
#include "build.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Blocks that are logged at a time */
#define BLOCKS_TO_LOG	1024

static void init_host(FngBuild *build);
static void write_first_pages(FngBuild *build);
static void choose_blocks_to_log(FngBuild *build);
static void log_meta(FngBuild *build);
static void *host_alloc(void *arg, size_t size);
static void host_release(void *arg, void *memory);
static void *host_alloc_shared(void *arg, size_t size);
static void host_release_shared(void *arg, void *memory);
static void host_barrier(void *arg);
static void *host_file_create(void *arg, uint64_t size);
static void host_file_close(void *arg, void *file);
static void host_file_read(void *arg, void *file, uint64_t offset, void *data, size_t size);
static void host_file_write(void *arg, void *file, uint64_t offset, const void *data, size_t size);
static void host_interrupts(void *arg);
static void host_progress(void *arg, GraphPhase phase, uint64_t done, uint64_t total);

IndexBuildResult *
fng_build(Relation heap, Relation index, IndexInfo *info)
{
	FngBuild	build;
	IndexBuildResult *result = palloc(sizeof(IndexBuildResult));

	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data", RelationGetRelationName(index));

	fng_build_init(&build, heap, index, info);
	write_first_pages(&build);
	fng_team_begin(&build);
	fng_build_rows(&build);
	fng_team_end(&build);

	result->heap_tuples = build.heap_tuples;
	result->index_tuples = build.indtuples;
	MemoryContextDelete(build.context);
	return result;
}

/*
 * Write the meta page of an empty index to the init fork, from which an
 * unlogged index starts anew after a crash.
 */
void
fng_buildempty(Relation index)
{
	FngMetaPageData meta;
	Buffer		buffer;

	fng_meta_init(&meta, index, fng_opclass(index));
	buffer = fng_extend(index, INIT_FORKNUM);

	/* the init fork is logged although the relation is not */
	START_CRIT_SECTION();
	fng_meta_write_page(BufferGetPage(buffer), &meta);
	MarkBufferDirty(buffer);
	log_newpage_buffer(buffer, true);
	END_CRIT_SECTION();
	UnlockReleaseBuffer(buffer);
}

/* ambuildphasename */
char *
fng_build_phase_name(int64 phase)
{
	switch (phase)
	{
		case FNG_PHASE_INITIALIZE:
			return "initializing";
		case FNG_PHASE_LOAD:
			return "loading tuples";
		case FNG_PHASE_ROTATE:
			return "rotating";
		case FNG_PHASE_NEIGHBOURS:
			return "finding neighbors";
		case FNG_PHASE_SELECT:
			return "selecting edges";
		case FNG_PHASE_RESELECT:
			return "adding reverse edges";
		case FNG_PHASE_CONNECT:
			return "connecting";
		case FNG_PHASE_REORDER:
			return "ordering";
		case FNG_PHASE_WRITE:
			return "writing";
		case FNG_PHASE_FINDABILITY:
			return "checking that nodes are found";
		case FNG_PHASE_INSERT:
			return "inserting remaining tuples";
		case FNG_PHASE_CALIBRATE:
			return "calibrating";
		case FNG_PHASE_LOG:
			return "logging";
		case FNG_PHASE_COUNT:
			return "counting edges";
		case FNG_PHASE_REFINE:
			return "refining";
		case FNG_PHASE_REPAIR:
			return "repairing";
		case FNG_PHASE_TOP:
			return "sampling the top level";
		default:
			return NULL;
	}
}

/*
 * Build the index, as a member of build->team.  Returns when this member's
 * work is done.
 */
void
fng_build_rows(FngBuild *build)
{
	build->host.rank = fng_team_rank(build->team);
	fng_load(build);
	build->host.size = fng_team_size(build->team);
	if (build->nrows > 0)
	{
		fng_make_points(build);
		fng_build_graph(build);
		fng_write_graph(build);
		fng_team_unshare(build);
		fng_make_findable(build);
		fng_insert_rest(build);
	}
	choose_blocks_to_log(build);
	if (fng_team_rank(build->team) == 0)
		fng_log_pages(build);
	if (build->nrows > 0)
		fng_calibrate(build);
	fng_log_pages(build);
	log_meta(build);
	fng_team_leave(build);
}

/* Enter a phase of "total" steps (0 if not known in advance). */
void
fng_build_phase(FngBuild *build, FngPhase phase, uint64 total)
{
	const int	params[] = {
		PROGRESS_CREATEIDX_SUBPHASE,
		PROGRESS_CREATEIDX_TUPLES_TOTAL,
		PROGRESS_CREATEIDX_TUPLES_DONE
	};
	const int64 values[] = {phase, (int64) total, 0};

	build->phase_total = total;
	if (fng_team_rank(build->team) == 0)
		pgstat_progress_update_multi_param(3, params, values);
}

/*
 * What the team has done of it, as far as rank 0 can tell: never more than
 * there is.
 */
void
fng_build_progress(FngBuild *build, uint64 done)
{
	if (build->phase_total > 0)
		done = Min(done, build->phase_total);
	if (fng_team_rank(build->team) == 0)
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) done);
}

/* Prepare a build; the team comes later. */
void
fng_build_init(FngBuild *build, Relation heap, Relation index, IndexInfo *info)
{
	memset(build, 0, sizeof(*build));
	build->heap = heap;
	build->index = index;
	build->info = info;
	build->opclass = fng_opclass(index);
	build->context = AllocSetContextCreate(CurrentMemoryContext, "fng build",
										   ALLOCSET_DEFAULT_SIZES);
	build->row_context = AllocSetContextCreate(build->context, "fng build row",
											   ALLOCSET_DEFAULT_SIZES);
	fng_meta_init(&build->meta, index, build->opclass);
	fng_layout_from_meta(&build->meta, &build->layout);
	fng_build_graph_params(&build->graph, &build->meta);
	init_host(build);
}

void
fng_build_graph_params(GraphParams *params, const FngMetaPageData *meta)
{
	graph_params_init(params);
	params->max_degree = meta->max_degree;
	params->pool_size = Max(meta->build_res_cnt, meta->max_degree);
	params->seed = meta->seed;
}

static void
init_host(FngBuild *build)
{
	build->host.arg = build;
	build->host.alloc = host_alloc;
	build->host.release = host_release;
	build->host.alloc_shared = host_alloc_shared;
	build->host.release_shared = host_release_shared;
	build->host.barrier = host_barrier;
	build->host.file_create = host_file_create;
	build->host.file_close = host_file_close;
	build->host.file_read = host_file_read;
	build->host.file_write = host_file_write;
	build->host.check_interrupts = host_interrupts;
	build->host.progress = host_progress;
}

/* The meta page goes in first, as block 0. */
static void
write_first_pages(FngBuild *build)
{
	Buffer		buffer = fng_extend(build->index, MAIN_FORKNUM);

	Assert(BufferGetBlockNumber(buffer) == FNG_META_BLOCK);
	fng_meta_write_page(BufferGetPage(buffer), &build->meta);
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
}

/*
 * Nothing but the meta page changes from here on.  All of the fork is to be
 * logged, if the relation needs WAL.
 */
static void
choose_blocks_to_log(FngBuild *build)
{
	/* a worker may take a new relation for an old one: the leader decides */
	build->blocks_to_log = (BlockNumber)
		fng_team_tell(build->team, RelationNeedsWAL(build->index) ?
					  RelationGetNumberOfBlocks(build->index) : 0);
}

/*
 * Log pages that nobody has claimed, until there are none.
 */
void
fng_log_pages(FngBuild *build)
{
	FngTeam    *team = build->team;
	BlockNumber first = FNG_META_BLOCK + 1;
	uint64		from;

	if (build->blocks_to_log == 0 ||
		first + fng_team_claimed(team, FNG_CLAIM_LOG) >= build->blocks_to_log)
		return;
	fng_build_phase(build, FNG_PHASE_LOG, build->blocks_to_log);
	while ((from = first + fng_team_claim(team, FNG_CLAIM_LOG, BLOCKS_TO_LOG)) <
		   build->blocks_to_log)
	{
		log_newpage_range(build->index, MAIN_FORKNUM, (BlockNumber) from,
						  (BlockNumber) Min(from + BLOCKS_TO_LOG, build->blocks_to_log), true);
		fng_build_progress(build, first + fng_team_claimed(team, FNG_CLAIM_LOG));
	}
}

/* The meta page is logged last, with what calibration has found. */
static void
log_meta(FngBuild *build)
{
	if (build->blocks_to_log > 0 && fng_team_rank(build->team) == 0)
		log_newpage_range(build->index, MAIN_FORKNUM, FNG_META_BLOCK, FNG_META_BLOCK + 1, true);
	fng_team_barrier(build->team);
}

/* GraphHost: 64-byte aligned memory, with the true start before it. */
static void *
host_alloc(void *arg, size_t size)
{
	FngBuild   *build = (FngBuild *) arg;
	char	   *start = MemoryContextAllocHuge(build->context, add_size(size, 64 + sizeof(void *)));
	char	   *aligned = (char *) TYPEALIGN(64, start + sizeof(void *));

	((void **) aligned)[-1] = start;
	return aligned;
}

static void
host_release(void *arg, void *memory)
{
	pfree(((void **) memory)[-1]);
}

static void *
host_alloc_shared(void *arg, size_t size)
{
	return fng_team_alloc((FngBuild *) arg, size);
}

static void
host_release_shared(void *arg, void *memory)
{
	fng_team_free((FngBuild *) arg, memory);
}

static void
host_barrier(void *arg)
{
	fng_team_barrier(((FngBuild *) arg)->team);
}

static void *
host_file_create(void *arg, uint64_t size)
{
	return fng_file_create((FngBuild *) arg, size);
}

static void
host_file_close(void *arg, void *file)
{
	fng_file_close((FngBuild *) arg, (FngFile *) file);
}

static void
host_file_read(void *arg, void *file, uint64_t offset, void *data, size_t size)
{
	fng_file_read((FngFile *) file, offset, data, size);
}

static void
host_file_write(void *arg, void *file, uint64_t offset, const void *data, size_t size)
{
	fng_file_write((FngFile *) file, offset, data, size);
}

static void
host_interrupts(void *arg)
{
	CHECK_FOR_INTERRUPTS();
}

static void
host_progress(void *arg, GraphPhase phase, uint64_t done, uint64_t total)
{
	FngBuild   *build = (FngBuild *) arg;

	if (done == 0)
		fng_build_phase(build, (FngPhase) (FNG_PHASE_NEIGHBOURS + phase), total);
	else
		fng_build_progress(build, done);
}
