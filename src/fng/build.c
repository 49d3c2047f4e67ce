/*-------------------------------------------------------------------------
 *
 * build.c
 *	  CREATE INDEX: the load and the order of the phases.
 *
 *	load		heap rows become points of coded space in memory; their values
 *				go to a temporary file, NULL and NaN rows to their chains
 *	rotate		points are rotated and centred; equal rows are put together
 *	graph		neighbours, selection, connectivity, order (graph/), on each
 *				level (buildgraph.c)
 *	write		slots with codes, in their final order (buildwrite.c)
 *	findability every node must be found by its own vector (finish.c)
 *	calibrate	the default list size (recall.c)
 *	log			all pages, at once
 *
 * Pages are written through shared buffers without WAL and logged at the end;
 * nobody else can see the relation before that.  When maintenance_work_mem is
 * full, the rows so far become a graph, a NOTICE says so, and all further
 * rows are inserted into it one by one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>

#include "access/tableam.h"
#include "access/xloginsert.h"
#include "build.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Rows that the arrays have room for at first. */
#define INITIAL_ROWS	1024

static void init_build(FngBuild *build, Relation heap, Relation index, IndexInfo *info);
static void init_host(FngBuild *build);
static uint32 rows_that_fit(FngBuild *build);
static void write_first_pages(FngBuild *build);
static void load_callback(Relation index, ItemPointer tid, Datum *values,
						  bool *isnull, bool alive, void *arg);
static void load_row(FngBuild *build, const float *value, ItemPointer tid);
static uint64 hash_value(const FngBuild *build, const float *value);
static void grow(FngBuild *build);
static void finish_load(FngBuild *build);
static void set_ip_norm(FngBuild *build);
static void merge_equal_rows(FngBuild *build);
static int	compare_hashes(const void *a, const void *b, void *arg);
static void rotate_rows(FngBuild *build);
static void centre_rows(FngBuild *build);
static void flush(FngBuild *build);
static void *host_alloc(void *arg, size_t size);
static void host_release(void *arg, void *memory);
static void host_barrier(void *arg);
static void host_interrupts(void *arg);
static void host_progress(void *arg, GraphPhase phase, uint64_t done, uint64_t total);

IndexBuildResult *
fng_build(Relation heap, Relation index, IndexInfo *info)
{
	FngBuild	build;
	IndexBuildResult *result = palloc(sizeof(IndexBuildResult));

	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data", RelationGetRelationName(index));

	init_build(&build, heap, index, info);
	write_first_pages(&build);

	fng_build_phase(FNG_PHASE_LOAD, 0);
	result->heap_tuples = table_index_build_scan(heap, index, info, true, true,
												 load_callback, &build, NULL);
	if (!build.flushed)
		flush(&build);

	if (build.nrows > 0)
	{
		fng_read_meta(index, &build.meta);
		fng_calibrate(index, &build.meta);
		fng_rewrite_meta(index, &build.meta);
	}
	if (RelationNeedsWAL(index))
	{
		fng_build_phase(FNG_PHASE_LOG, 0);
		log_newpage_range(index, MAIN_FORKNUM, 0, RelationGetNumberOfBlocks(index), true);
	}

	result->index_tuples = build.indtuples;
	if (build.values != NULL)
		BufFileClose(build.values);
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
		default:
			return NULL;
	}
}

/* Enter a phase of "total" steps (0 if not known in advance). */
void
fng_build_phase(FngPhase phase, uint64 total)
{
	const int	params[] = {
		PROGRESS_CREATEIDX_SUBPHASE,
		PROGRESS_CREATEIDX_TUPLES_TOTAL,
		PROGRESS_CREATEIDX_TUPLES_DONE
	};
	const int64 values[] = {phase, (int64) total, 0};

	pgstat_progress_update_multi_param(3, params, values);
}

void
fng_build_progress(uint64 done)
{
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) done);
}

static void
init_build(FngBuild *build, Relation heap, Relation index, IndexInfo *info)
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
	graph_params_init(&build->graph);
	build->graph.max_degree = build->layout.max_degree;
	build->graph.pool_size = Max(build->meta.build_res_cnt, build->layout.max_degree);
	build->graph.seed = build->meta.seed;
	init_host(build);
	build->max_rows = rows_that_fit(build);
}

static void
init_host(FngBuild *build)
{
	build->host.arg = build;
	build->host.rank = 0;
	build->host.size = 1;
	build->host.alloc = host_alloc;
	build->host.release = host_release;
	build->host.alloc_shared = host_alloc;
	build->host.release_shared = host_release;
	build->host.barrier = host_barrier;
	build->host.check_interrupts = host_interrupts;
	build->host.progress = host_progress;
}

/* The most rows whose graph can be built within maintenance_work_mem. */
static uint32
rows_that_fit(FngBuild *build)
{
	const FngLayout *layout = &build->layout;
	Size		budget = (Size) maintenance_work_mem * 1024;
	Size		row = layout->code.rotdim * sizeof(float) + sizeof(ItemPointerData) +
	sizeof(float) + sizeof(uint64) + sizeof(uint32) +
	layout->max_degree * sizeof(uint32) + sizeof(uint16) +
	2 * sizeof(uint32);			/* order and position */
	uint32		low = INITIAL_ROWS;
	uint32		high = PG_INT32_MAX;

	/* bisect for the least n that does not fit; a small graph always does */
	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;
		Size		needed = add_size(mul_size(middle, row),
									  graph_build_memory(middle, layout->code.rotdim,
														 &build->graph, 1));

		if (needed <= budget)
			low = middle + 1;
		else
			high = middle;
	}
	return Max(INITIAL_ROWS, low - 1);
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

static void
load_callback(Relation index, ItemPointer tid, Datum *values, bool *isnull,
			  bool alive, void *arg)
{
	FngBuild   *build = (FngBuild *) arg;
	MemoryContext old;

	build->indtuples++;
	if (isnull[0])
	{
		fng_append_special_tid(index, FNG_CHAIN_NULLS, tid, true);
		return;
	}

	old = MemoryContextSwitchTo(build->row_context);
	if (!build->flushed && build->nrows >= build->max_rows)
	{
		ereport(NOTICE,
				(errmsg("index build no longer fits into maintenance_work_mem after %u rows",
						build->nrows),
				 errdetail("The remaining rows are inserted one by one, which takes longer."),
				 errhint("Increase maintenance_work_mem to speed up the build.")));
		flush(build);
		fng_build_phase(FNG_PHASE_INSERT, 0);
	}
	if (build->flushed)
		fng_insert_value(build->inserter, values[0], tid);
	else
	{
		uint32		dim;
		const float *value = fng_value(build->opclass, values[0], &dim);

		fng_check_value_dim(&build->meta, dim);
		if (fng_value_is_odd(&build->layout, value))
			fng_append_special_tid(index, FNG_CHAIN_NANS, tid, true);
		else
			load_row(build, value, tid);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(build->row_context);
}

static void
load_row(FngBuild *build, const float *value, ItemPointer tid)
{
	const FngLayout *layout = &build->layout;
	uint32		row = build->nrows;

	if (row == build->allocated)
		grow(build);
	if (build->values == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(build->context);

		build->values = BufFileCreateTemp(false);
		MemoryContextSwitchTo(old);
	}
	BufFileWrite(build->values, (void *) value, layout->vector_bytes);
	memcpy(build->points + (Size) row * layout->code.rotdim, value, layout->vector_bytes);
	build->tids[row] = *tid;
	build->hashes[row] = hash_value(build, value);
	build->arrival[row] = row;
	build->nrows++;
	fng_build_progress(build->nrows);
}

/* A hash under which -0 is 0. */
static uint64
hash_value(const FngBuild *build, const float *value)
{
	uint64		hash = 0;

	for (uint32 i = 0; i < build->layout.dim; i++)
	{
		float		element = value[i] + 0.0f;
		uint32		bits;

		memcpy(&bits, &element, sizeof(bits));
		hash = (hash ^ bits) * UINT64CONST(0x9E3779B97F4A7C15);
		hash ^= hash >> 29;
	}
	return hash;
}

static void
grow(FngBuild *build)
{
	uint32		n = build->allocated == 0 ? Min(INITIAL_ROWS, build->max_rows) :
	(uint32) Min((uint64) build->allocated * 2, (uint64) build->max_rows);
	Size		point = build->layout.code.rotdim * sizeof(float);

	if (build->allocated == 0)
	{
		build->points = MemoryContextAllocHuge(build->context, mul_size(n, point));
		build->tids = MemoryContextAllocHuge(build->context, mul_size(n, sizeof(ItemPointerData)));
		build->hashes = MemoryContextAllocHuge(build->context, mul_size(n, sizeof(uint64)));
		build->arrival = MemoryContextAllocHuge(build->context, mul_size(n, sizeof(uint32)));
	}
	else
	{
		build->points = repalloc_huge(build->points, mul_size(n, point));
		build->tids = repalloc_huge(build->tids, mul_size(n, sizeof(ItemPointerData)));
		build->hashes = repalloc_huge(build->hashes, mul_size(n, sizeof(uint64)));
		build->arrival = repalloc_huge(build->arrival, mul_size(n, sizeof(uint32)));
	}
	build->allocated = n;
}

/*
 * Read back a row's value as the heap has it.
 */
void
fng_build_value(FngBuild *build, uint32 row, float *value)
{
	Size		nbytes = build->layout.vector_bytes;

	if (BufFileSeek(build->values, 0, (off_t) build->arrival[row] * nbytes, SEEK_SET) != 0 ||
		BufFileRead(build->values, value, nbytes) != nbytes)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read from temporary file of the index build: %m")));
}

/* From raw values to rotated, centred points without duplicates. */
static void
finish_load(FngBuild *build)
{
	const FngLayout *layout = &build->layout;

	fng_build_phase(FNG_PHASE_ROTATE, build->nrows);
	merge_equal_rows(build);
	if (layout->metric == FNG_IP)
		set_ip_norm(build);
	build->aux = MemoryContextAllocHuge(build->context,
										mul_size(Max(1, build->nrows), sizeof(float)));
	rotate_rows(build);
	if (layout->form == CODE_L2)
		centre_rows(build);
}

/* M: a little more than the longest row, so that later ones may be longer. */
static void
set_ip_norm(FngBuild *build)
{
	double		longest = 0;

	for (uint32 i = 0; i < build->nrows; i++)
		longest = Max(longest, distance_kernels()->norm(build->layout.dim,
														build->points + (Size) i * build->layout.code.rotdim));
	build->meta.ip_norm = (float) Min(longest * 1.01, FLT_MAX);
}

/*
 * Keep FNG_MAX_EQUAL_NODES of each set of equal rows as nodes; note the
 * others as duplicates of the first.  Rows keep their order.
 */
static void
merge_equal_rows(FngBuild *build)
{
	Size		stride = build->layout.code.rotdim;
	uint32	   *by_hash = MemoryContextAllocHuge(build->context,
												 mul_size(Max(1, build->nrows), sizeof(uint32)));
	uint32	   *first = MemoryContextAllocHuge(build->context,
											   mul_size(Max(1, build->nrows), sizeof(uint32)));
	uint32		kept = 0;
	uint32		allocated = 0;

	for (uint32 i = 0; i < build->nrows; i++)
	{
		by_hash[i] = i;
		first[i] = i;
	}
	qsort_arg(by_hash, build->nrows, sizeof(uint32), compare_hashes, build);

	/* within a run of one hash, the first rows are nodes */
	for (uint32 start = 0, end; start < build->nrows; start = end)
	{
		uint32		head = by_hash[start];

		end = start + 1;
		while (end < build->nrows && build->hashes[by_hash[end]] == build->hashes[head])
		{
			uint32		row = by_hash[end];

			if (end - start >= FNG_MAX_EQUAL_NODES &&
				fng_same_vector(build->layout.dim, build->points + row * stride,
								build->points + head * stride))
				first[row] = head;
			end++;
		}
	}

	/* close the gaps; a head comes before its duplicates */
	for (uint32 i = 0; i < build->nrows; i++)
	{
		if (first[i] != i)
		{
			if (build->nduplicates == allocated)
			{
				allocated = Max(64, allocated * 2);
				if (build->duplicates == NULL)
					build->duplicates = MemoryContextAllocHuge(build->context,
															   mul_size(allocated, sizeof(FngDuplicate)));
				else
					build->duplicates = repalloc_huge(build->duplicates,
													  mul_size(allocated, sizeof(FngDuplicate)));
			}
			build->duplicates[build->nduplicates].row = by_hash[first[i]];
			build->duplicates[build->nduplicates++].tid = build->tids[i];
			continue;
		}
		by_hash[i] = kept;		/* from here on: the new number of row i */
		if (kept != i)
		{
			memcpy(build->points + kept * stride, build->points + i * stride,
				   stride * sizeof(float));
			build->tids[kept] = build->tids[i];
			build->arrival[kept] = build->arrival[i];
		}
		kept++;
	}
	build->nrows = kept;
	pfree(by_hash);
	pfree(first);
	if (build->hashes != NULL)
		pfree(build->hashes);
	build->hashes = NULL;
}

/* By hash, then by row. */
static int
compare_hashes(const void *a, const void *b, void *arg)
{
	const FngBuild *build = (const FngBuild *) arg;
	uint32		left = *(const uint32 *) a;
	uint32		right = *(const uint32 *) b;

	if (build->hashes[left] != build->hashes[right])
		return build->hashes[left] < build->hashes[right] ? -1 : 1;
	return left < right ? -1 : (left > right);
}

/* Turn each row's value into its rotated point, in place. */
static void
rotate_rows(FngBuild *build)
{
	const FngLayout *layout = &build->layout;
	CodeRotation *rotation = code_rotation_init(&layout->code,
												palloc(code_rotation_size(&layout->code)));
	float	   *coded = palloc(layout->code.dim * sizeof(float));

	for (uint32 i = 0; i < build->nrows; i++)
	{
		float	   *point = build->points + (Size) i * layout->code.rotdim;

		build->aux[i] = fng_aux(&build->meta, point);
		fng_coded_vector(layout, point, build->aux[i], coded);
		code_rotate(rotation, coded, point);
		if (i % 1024 == 0)
		{
			CHECK_FOR_INTERRUPTS();
			fng_build_progress(i);
		}
	}
	pfree(rotation);
	pfree(coded);
}

/* Subtract the mean from all points and remember it. */
static void
centre_rows(FngBuild *build)
{
	uint32		rotdim = build->layout.code.rotdim;
	double	   *mean = palloc0(rotdim * sizeof(double));

	if (build->nrows == 0)
		return;
	build->centre = MemoryContextAlloc(build->context, rotdim * sizeof(float));
	for (uint32 i = 0; i < build->nrows; i++)
	{
		for (uint32 j = 0; j < rotdim; j++)
			mean[j] += build->points[(Size) i * rotdim + j];
	}
	for (uint32 j = 0; j < rotdim; j++)
		build->centre[j] = (float) (mean[j] / build->nrows);
	for (uint32 i = 0; i < build->nrows; i++)
	{
		for (uint32 j = 0; j < rotdim; j++)
			build->points[(Size) i * rotdim + j] -= build->centre[j];
	}
	pfree(mean);
}

/*
 * Make a graph of the rows loaded and write it; from then on rows can only be
 * inserted.  Frees the arrays.
 */
static void
flush(FngBuild *build)
{
	finish_load(build);
	if (build->nrows > 0)
	{
		fng_build_graph(build);
		fng_write_graph(build);
		fng_make_findable(build);
	}
	if (build->points != NULL)
	{
		pfree(build->points);
		pfree(build->tids);
		pfree(build->aux);
		pfree(build->arrival);
		build->points = NULL;
	}
	build->flushed = true;
	build->inserter = fng_inserter_create(build->index, build->opclass, true, build->context);
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

/* The build is one process: nobody to wait for. */
static void
host_barrier(void *arg)
{
}

static void
host_interrupts(void *arg)
{
	CHECK_FOR_INTERRUPTS();
}

static void
host_progress(void *arg, GraphPhase phase, uint64_t done, uint64_t total)
{
	if (done == 0)
		fng_build_phase((FngPhase) (FNG_PHASE_NEIGHBOURS + phase), total);
	else
		fng_build_progress(done);
}
