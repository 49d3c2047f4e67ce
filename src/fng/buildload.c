/*-------------------------------------------------------------------------
 *
 * buildload.c
 *	  CREATE INDEX: from heap rows to points of coded space.
 *
 * The scan puts rows into temporary files and NULL and NaN rows into their
 * chains.  When all are counted it is known how many a graph in
 * maintenance_work_mem can have; these become points, the others are inserted
 * one by one at the end (fng_insert_rest).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "build.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* A small graph is built whatever the setting. */
#define MIN_ROWS	1024

/* Rows between two looks at interrupts */
#define ROWS_AT_A_TIME	1024

static void load_callback(Relation index, ItemPointer tid, Datum *values,
						  bool *isnull, bool alive, void *arg);
static void spool_row(FngBuild *build, const float *value, ItemPointer tid);
static uint64 hash_value(const FngBuild *build, const float *value);
static void divide_rows(FngBuild *build, uint64 nrows);
static uint32 rows_that_fit(FngBuild *build);
static Size shared_memory(const FngLayout *layout, uint32 nrows);
static Size arena_size(FngBuild *build);
static void report_rest(FngBuild *build, uint64 nrows);
static FngSpooled *read_row(FngBuild *build, BufFile *spool);
static void seek_row(FngBuild *build, BufFile *spool, uint64 number);
static void rotate_rows(FngBuild *build);
static void centre_rows(FngBuild *build);
static void merge_equal_rows(FngBuild *build);
static uint32 *find_firsts(FngBuild *build);
static void close_gaps(FngBuild *build, const uint32 *first);
static int	compare_hashes(const void *a, const void *b, void *arg);

/*
 * Scan the heap, and agree with the team on what is built how.
 */
void
fng_load(FngBuild *build)
{
	uint64		nrows = 0;

	fng_build_phase(build, FNG_PHASE_LOAD, 0);
	build->record = MemoryContextAlloc(build->context,
									   sizeof(FngSpooled) + build->layout.vector_bytes);
	build->spool = fng_team_spool(build);
	fng_team_scan(build, load_callback);
	fng_team_agree(build, build->spooled);

	for (uint32 i = 0; i < fng_team_size(build->team); i++)
		nrows += build->spooled[i];
	if (build->layout.metric == FNG_IP && nrows > 0)
	{
		/* M: a little more than the longest, so that later ones may be longer */
		build->meta.ip_norm = (float) Min(build->longest * 1.01, FLT_MAX);
	}
	divide_rows(build, nrows);
}

static void
load_callback(Relation index, ItemPointer tid, Datum *values, bool *isnull,
			  bool alive, void *arg)
{
	FngBuild   *build = (FngBuild *) arg;
	MemoryContext old;
	const float *value;
	uint32		dim;

	build->indtuples++;
	if (isnull[0])
	{
		fng_append_special_tid(index, FNG_CHAIN_NULLS, tid, true);
		return;
	}

	old = MemoryContextSwitchTo(build->row_context);
	value = fng_value(build->opclass, values[0], &dim);
	fng_check_value_dim(&build->meta, dim);
	if (fng_value_is_odd(&build->layout, value))
		fng_append_special_tid(index, FNG_CHAIN_NANS, tid, true);
	else
		spool_row(build, value, tid);
	MemoryContextSwitchTo(old);
	MemoryContextReset(build->row_context);
}

static void
spool_row(FngBuild *build, const float *value, ItemPointer tid)
{
	FngSpooled *row = (FngSpooled *) build->record;

	memset(row, 0, sizeof(FngSpooled));
	row->hash = hash_value(build, value);
	row->tid = *tid;
	memcpy(row + 1, value, build->layout.vector_bytes);
	BufFileWrite(build->spool, build->record, sizeof(FngSpooled) + build->layout.vector_bytes);
	if (build->layout.metric == FNG_IP)
		build->longest = Max(build->longest,
							 distance_kernels()->norm(build->layout.dim, value));
	fng_build_progress(build, ++build->nspooled);
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

/*
 * Decide how many of the rows of each member, its first, become points.
 */
static void
divide_rows(FngBuild *build, uint64 nrows)
{
	uint32		size = fng_team_size(build->team);
	uint64		before = 0;

	build->nrows = (uint32) Min(nrows, rows_that_fit(build));
	for (uint32 i = 0; i < size; i++)
	{
		/* by shares of the rows so far, so that the sum is exact */
		build->start[i] = nrows == 0 ? 0 :
			(uint32) ((double) build->nrows * before / nrows);
		before += build->spooled[i];
	}
	build->start[size] = build->nrows;
	build->ninserted = nrows - build->nrows;
	if (build->ninserted > 0)
		report_rest(build, nrows);
}

/* The most rows whose graph can be built within maintenance_work_mem. */
static uint32
rows_that_fit(FngBuild *build)
{
	Size		budget = (Size) maintenance_work_mem * 1024;
	uint32		low = MIN_ROWS;
	uint32		high = FNG_MAX_BUILD_ROWS;

	/* bisect for the least n that does not fit */
	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;

		if (fng_build_memory(&build->layout, &build->graph, middle,
							 fng_team_size(build->team)) <= budget)
			low = middle + 1;
		else
			high = middle;
	}
	return Max(MIN_ROWS, low - 1);
}

/*
 * What a graph of nrows rows takes at its peak, of all members of a team
 * together.
 */
Size
fng_build_memory(const FngLayout *layout, const GraphParams *params, uint32 nrows,
				 uint32 team_size)
{
	return add_size(shared_memory(layout, nrows),
					graph_build_memory(nrows, layout->code.rotdim, params, team_size));
}

/* What of this are the shared arrays outside graph/. */
static Size
shared_memory(const FngLayout *layout, uint32 nrows)
{
	Size		row = layout->code.rotdim * sizeof(float) + sizeof(ItemPointerData) +
	sizeof(float) + sizeof(uint32) +
	layout->max_degree * sizeof(uint32) + sizeof(uint16) +
	2 * sizeof(uint32);			/* order and position */

	/*
	 * Levels between have points and edges besides.  Their ratio is at least
	 * the root of the largest, see buildgraph.c.
	 */
	if (nrows > FNG_TOP_TARGET * (uint32) descartes_debug_level_ratio)
		row += (Size) ceil(row / (sqrt(descartes_debug_level_ratio) - 1));
	return add_size(mul_size(nrows, row), 64 * 1024);
}

/* The arena for them: the hashes are gone when the graph begins. */
static Size
arena_size(FngBuild *build)
{
	Size		graph = graph_build_shared_memory(build->nrows, build->layout.code.rotdim,
												  &build->graph, fng_team_size(build->team));
	Size		early = mul_size(build->nrows, sizeof(uint64));

	return add_size(shared_memory(&build->layout, build->nrows), Max(graph, early));
}

/* Tell the user before the work starts. */
static void
report_rest(FngBuild *build, uint64 nrows)
{
	uint64		kilobytes;

	if (fng_team_rank(build->team) > 0)
		return;
	kilobytes = fng_build_memory(&build->layout, &build->graph,
								 (uint32) Min(nrows, FNG_MAX_BUILD_ROWS),
								 fng_team_size(build->team)) / 1024 + 1;
	ereport(NOTICE,
			(errmsg("graph of " UINT64_FORMAT " rows does not fit into maintenance_work_mem",
					nrows),
			 errdetail("After the first %u the rows are inserted one by one, which takes longer.",
					   build->nrows),
			 errhint("Set maintenance_work_mem to " UINT64_FORMAT "MB or more to speed up the build.",
					 kilobytes / 1024 + 1)));
}

/*
 * Turn the rows to be built into points: rotated, centred, without
 * duplicates.
 */
void
fng_make_points(FngBuild *build)
{
	uint32		nrows = build->nrows;

	fng_build_phase(build, FNG_PHASE_ROTATE, nrows);
	fng_team_share(build, arena_size(build));
	build->points = fng_team_alloc(build, mul_size(nrows, build->layout.code.rotdim * sizeof(float)));
	build->tids = fng_team_alloc(build, mul_size(nrows, sizeof(ItemPointerData)));
	build->aux = fng_team_alloc(build, mul_size(nrows, sizeof(float)));
	build->arrival = fng_team_alloc(build, mul_size(nrows, sizeof(uint32)));
	build->hashes = fng_team_alloc(build, mul_size(nrows, sizeof(uint64)));
	rotate_rows(build);
	fng_team_barrier(build->team);
	merge_equal_rows(build);
	fng_team_free(build, build->hashes);
	build->hashes = NULL;
	if (build->layout.form == CODE_L2)
		centre_rows(build);
	fng_team_barrier(build->team);
}

/* Read this member's rows into their places. */
static void
rotate_rows(FngBuild *build)
{
	const FngLayout *layout = &build->layout;
	uint32		rank = fng_team_rank(build->team);
	BufFile    *spool = fng_team_spool_of(build, rank);
	CodeRotation *rotation = code_rotation_init(&layout->code,
												palloc(code_rotation_size(&layout->code)));
	float	   *coded = palloc(layout->code.dim * sizeof(float));
	uint32		first = build->start[rank];
	uint32		end = build->start[rank + 1];

	seek_row(build, spool, 0);
	for (uint32 row = first; row < end; row++)
	{
		FngSpooled *spooled = read_row(build, spool);
		const float *value = (const float *) (spooled + 1);

		build->tids[row] = spooled->tid;
		build->hashes[row] = spooled->hash;
		build->arrival[row] = row;
		build->aux[row] = fng_aux(&build->meta, value);
		fng_coded_vector(layout, value, build->aux[row], coded);
		code_rotate(rotation, coded, build->points + (Size) row * layout->code.rotdim);
		if (row % ROWS_AT_A_TIME == 0)
		{
			CHECK_FOR_INTERRUPTS();
			fng_build_progress(build, (uint64) (row - first) * fng_team_size(build->team));
		}
	}
	pfree(rotation);
	pfree(coded);
}

/* Read the next row of a file, into a place that the next call uses again. */
static FngSpooled *
read_row(FngBuild *build, BufFile *spool)
{
	Size		size = sizeof(FngSpooled) + build->layout.vector_bytes;

	if (BufFileRead(spool, build->record, size) != size)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read from temporary file of the index build: %m")));
	return (FngSpooled *) build->record;
}

static void
seek_row(FngBuild *build, BufFile *spool, uint64 number)
{
	Size		size = sizeof(FngSpooled) + build->layout.vector_bytes;

	if (BufFileSeek(spool, 0, (off_t) (number * size), SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not seek in temporary file of the index build: %m")));
}

/* Read back a row's value as the heap has it. */
void
fng_build_value(FngBuild *build, uint32 row, float *value)
{
	uint32		arrival = build->arrival[row];
	uint32		rank = 0;
	BufFile    *spool;

	while (arrival >= build->start[rank + 1])
		rank++;
	spool = fng_team_spool_of(build, rank);
	seek_row(build, spool, arrival - build->start[rank]);
	memcpy(value, read_row(build, spool) + 1, build->layout.vector_bytes);
}

/* Subtract the mean from all points and remember it. */
static void
centre_rows(FngBuild *build)
{
	uint32		rotdim = build->layout.code.rotdim;
	uint32		rank = fng_team_rank(build->team);
	uint32		size = fng_team_size(build->team);
	uint32		first = (uint32) ((uint64) build->nrows * rank / size);
	uint32		end = (uint32) ((uint64) build->nrows * (rank + 1) / size);
	double	   *sums = fng_team_alloc(build, mul_size(size, rotdim * sizeof(double)));
	double	   *own = sums + (Size) rank * rotdim;

	memset(own, 0, rotdim * sizeof(double));
	for (uint32 i = first; i < end; i++)
	{
		for (uint32 j = 0; j < rotdim; j++)
			own[j] += build->points[(Size) i * rotdim + j];
	}
	fng_team_barrier(build->team);
	build->centre = MemoryContextAlloc(build->context, rotdim * sizeof(float));
	for (uint32 j = 0; j < rotdim; j++)
	{
		double		sum = 0;

		for (uint32 i = 0; i < size; i++)
			sum += sums[(Size) i * rotdim + j];
		build->centre[j] = (float) (sum / build->nrows);
	}
	for (uint32 i = first; i < end; i++)
	{
		for (uint32 j = 0; j < rotdim; j++)
			build->points[(Size) i * rotdim + j] -= build->centre[j];
	}
	fng_team_barrier(build->team);
	fng_team_free(build, sums);
}

/*
 * Keep FNG_MAX_EQUAL_NODES of each set of equal rows as nodes; note the
 * others as duplicates of the first.  Rows keep their order.
 */
static void
merge_equal_rows(FngBuild *build)
{
	if (fng_team_rank(build->team) == 0)
	{
		uint32	   *first = find_firsts(build);

		if (first != NULL)
		{
			close_gaps(build, first);
			pfree(first);
		}
	}
	build->nrows = (uint32) fng_team_tell(build->team, build->nrows);
}

/*
 * For each row the one whose node it is to share, or itself; NULL if that is
 * so of all.
 */
static uint32 *
find_firsts(FngBuild *build)
{
	uint32		nrows = build->nrows;
	uint32	   *by_hash = MemoryContextAllocHuge(build->context, mul_size(nrows, sizeof(uint32)));
	uint32	   *first = NULL;
	float	   *head_value = palloc(build->layout.vector_bytes);
	float	   *value = palloc(build->layout.vector_bytes);

	for (uint32 i = 0; i < nrows; i++)
		by_hash[i] = i;
	qsort_arg(by_hash, nrows, sizeof(uint32), compare_hashes, build);

	/* within a run of one hash, the first rows are nodes */
	for (uint32 start = 0, end; start < nrows; start = end)
	{
		uint32		head = by_hash[start];

		end = start + 1;
		while (end < nrows && build->hashes[by_hash[end]] == build->hashes[head])
			end++;
		if (end - start <= FNG_MAX_EQUAL_NODES)
			continue;
		if (first == NULL)
		{
			first = MemoryContextAllocHuge(build->context, mul_size(nrows, sizeof(uint32)));
			for (uint32 i = 0; i < nrows; i++)
				first[i] = i;
		}
		fng_build_value(build, head, head_value);
		for (uint32 i = start + FNG_MAX_EQUAL_NODES; i < end; i++)
		{
			CHECK_FOR_INTERRUPTS();
			fng_build_value(build, by_hash[i], value);
			if (fng_same_vector(build->layout.dim, value, head_value))
				first[by_hash[i]] = head;
		}
	}
	pfree(by_hash);
	pfree(head_value);
	pfree(value);
	return first;
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

/* Turn rows with another first into duplicates, and move up the others. */
static void
close_gaps(FngBuild *build, const uint32 *first)
{
	Size		stride = build->layout.code.rotdim;
	uint32	   *moved = MemoryContextAllocHuge(build->context,
											   mul_size(build->nrows, sizeof(uint32)));
	uint32		kept = 0;
	uint32		allocated = 0;

	for (uint32 i = 0; i < build->nrows; i++)
	{
		/* a first comes before those that share its node */
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
			build->duplicates[build->nduplicates].row = moved[first[i]];
			build->duplicates[build->nduplicates++].tid = build->tids[i];
			continue;
		}
		moved[i] = kept;
		if (kept != i)
		{
			memcpy(build->points + kept * stride, build->points + i * stride,
				   stride * sizeof(float));
			build->tids[kept] = build->tids[i];
			build->aux[kept] = build->aux[i];
			build->arrival[kept] = build->arrival[i];
		}
		kept++;
	}
	build->nrows = kept;
	pfree(moved);
}

/*
 * Insert this member's rows for which the graph had no memory.
 */
void
fng_insert_rest(FngBuild *build)
{
	uint32		rank = fng_team_rank(build->team);
	uint64		number = build->start[rank + 1] - build->start[rank];
	BufFile    *spool = fng_team_spool_of(build, rank);
	FngInserter *inserter;

	if (build->ninserted == 0)
		return;
	fng_build_phase(build, FNG_PHASE_INSERT, build->ninserted);
	inserter = fng_inserter_create(build->index, build->opclass, true, build->context);
	seek_row(build, spool, number);
	for (uint64 done = 0; number < build->spooled[rank]; number++)
	{
		FngSpooled *row = read_row(build, spool);

		CHECK_FOR_INTERRUPTS();
		fng_insert_floats(inserter, (const float *) (row + 1), &row->tid);
		fng_build_progress(build, ++done * fng_team_size(build->team));
	}
	MemoryContextDelete(inserter->context);
	fng_team_barrier(build->team);
}
