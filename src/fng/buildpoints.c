/*-------------------------------------------------------------------------
 *
 * buildpoints.c
 *	  CREATE INDEX: rows become points of coded space.
 *
 * A point is a row with its added coordinate, rotated and relative to the
 * centre.  In memory points are an array in order of arrival.  Out of core
 * they are a file in an order of locality, which graph/ wants, and rows are
 * numbered in that order; until it is known they are made of the stored values
 * whenever somebody asks for them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "build.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Rows between two looks at interrupts, or that are written at a time */
#define ROWS_AT_A_TIME	64

static void load_rows(FngBuild *build);
static void make_point(FngBuild *build, uint32 row, const float *value, float *point);
static void read_points(void *arg, uint32 first, uint32 n, float *points);
static void read_stored_points(void *arg, uint32 first, uint32 n, float *points);
static void find_centre(FngBuild *build);
static void centre_points(FngBuild *build);
static void order_rows(FngBuild *build);
static void permute(FngBuild *build, const uint32 *order, void *array, Size size);
static void permute_duplicates(FngBuild *build, const uint32 *order);
static void write_points(FngBuild *build);
static void share_of_rows(const FngBuild *build, uint32 *first, uint32 *end);
static void merge_equal_rows(FngBuild *build);
static bool find_firsts(FngBuild *build, uint32 *by_hash, uint32 *first);
static void close_gaps(FngBuild *build, const uint32 *first, uint32 *moved);
static int	compare_hashes(const void *a, const void *b, void *arg);

/*
 * Turn the rows to be built into points: rotated, centred, without
 * duplicates.
 */
void
fng_make_points(FngBuild *build)
{
	const CodeParams *code = &build->layout.code;
	uint32		nrows = build->nrows;

	fng_build_phase(build, FNG_PHASE_ROTATE, nrows);
	fng_team_share(build, fng_arena_size(build));
	if (!build->plan.outofcore)
		build->points = fng_team_alloc(build, mul_size(nrows, code->rotdim * sizeof(float)));
	build->tids = fng_team_alloc(build, mul_size(nrows, sizeof(ItemPointerData)));
	build->aux = fng_team_alloc(build, mul_size(nrows, sizeof(float)));
	build->arrival = fng_team_alloc(build, mul_size(nrows, sizeof(uint32)));
	build->hashes = fng_team_alloc(build, mul_size(nrows, sizeof(uint64)));
	build->rotation = code_rotation_init(code, MemoryContextAlloc(build->context,
																  code_rotation_size(code)));
	build->coded = MemoryContextAlloc(build->context, code->dim * sizeof(float));
	load_rows(build);
	fng_team_barrier(build->team);
	merge_equal_rows(build);
	fng_team_free(build, build->hashes);
	build->hashes = NULL;
	if (build->layout.form == CODE_L2)
		find_centre(build);
	if (build->plan.outofcore)
	{
		order_rows(build);
		write_points(build);
	}
	else if (build->centre != NULL)
		centre_points(build);
	fng_team_barrier(build->team);
}

/* Read this member's rows into their places. */
static void
load_rows(FngBuild *build)
{
	uint32		rank = fng_team_rank(build->team);
	BufFile    *spool = fng_team_spool_of(build, rank);
	uint32		first = build->start[rank];
	uint32		end = build->start[rank + 1];

	fng_seek_row(build, spool, 0);
	for (uint32 row = first; row < end; row++)
	{
		FngSpooled *spooled = fng_read_row(build, spool);
		const float *value = (const float *) (spooled + 1);

		build->tids[row] = spooled->tid;
		build->hashes[row] = spooled->hash;
		build->arrival[row] = row;
		build->aux[row] = fng_aux(&build->meta, value);
		if (!build->plan.outofcore)
			make_point(build, row, value,
					   build->points + (Size) row * build->layout.code.rotdim);
		if (row % ROWS_AT_A_TIME == 0)
		{
			CHECK_FOR_INTERRUPTS();
			fng_build_progress(build, (uint64) (row - first) * fng_team_size(build->team));
		}
	}
}

/* The point of a row with that value; relative to the centre once it is known. */
static void
make_point(FngBuild *build, uint32 row, const float *value, float *point)
{
	fng_coded_vector(&build->layout, value, build->aux[row], build->coded);
	code_rotate(build->rotation, build->coded, point);
	if (build->centre == NULL)
		return;
	for (uint32 j = 0; j < build->layout.code.rotdim; j++)
		point[j] -= build->centre[j];
}

/* GraphSource of the points, from their file or where they are. */
GraphSource
fng_point_source(FngBuild *build)
{
	GraphSource source = {build, read_points};

	return source;
}

static void
read_points(void *arg, uint32 first, uint32 n, float *points)
{
	FngBuild   *build = (FngBuild *) arg;
	Size		size = build->layout.code.rotdim * sizeof(float);

	fng_file_read(build->point_file, first * (uint64) size, points, n * size);
}

/* GraphSource of the points before they are in order. */
static void
read_stored_points(void *arg, uint32 first, uint32 n, float *points)
{
	FngBuild   *build = (FngBuild *) arg;

	for (uint32 i = 0; i < n; i++)
		make_point(build, first + i, fng_stored_value(build, first + i),
				   points + (Size) i * build->layout.code.rotdim);
}

/* This member's share of the rows */
static void
share_of_rows(const FngBuild *build, uint32 *first, uint32 *end)
{
	uint32		rank = fng_team_rank(build->team);
	uint32		size = fng_team_size(build->team);

	*first = (uint32) ((uint64) build->nrows * rank / size);
	*end = (uint32) ((uint64) build->nrows * (rank + 1) / size);
}

/* The mean of all points so far becomes their centre. */
static void
find_centre(FngBuild *build)
{
	uint32		rotdim = build->layout.code.rotdim;
	uint32		size = fng_team_size(build->team);
	double	   *sums = fng_team_alloc(build, mul_size(size, rotdim * sizeof(double)));
	double	   *own = sums + (Size) fng_team_rank(build->team) * rotdim;
	float	   *centre = MemoryContextAlloc(build->context, rotdim * sizeof(float));
	float	   *point = centre;
	uint32		first;
	uint32		end;

	share_of_rows(build, &first, &end);
	memset(own, 0, rotdim * sizeof(double));
	for (uint32 i = first; i < end; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (build->plan.outofcore)
			read_stored_points(build, i, 1, point);
		else
			point = build->points + (Size) i * rotdim;
		for (uint32 j = 0; j < rotdim; j++)
			own[j] += point[j];
	}
	fng_team_barrier(build->team);
	for (uint32 j = 0; j < rotdim; j++)
	{
		double		sum = 0;

		for (uint32 i = 0; i < size; i++)
			sum += sums[(Size) i * rotdim + j];
		centre[j] = (float) (sum / build->nrows);
	}
	build->centre = centre;
	fng_team_barrier(build->team);
	fng_team_free(build, sums);
}

/* Subtract the centre from points in memory. */
static void
centre_points(FngBuild *build)
{
	uint32		rotdim = build->layout.code.rotdim;
	uint32		first;
	uint32		end;

	share_of_rows(build, &first, &end);
	for (uint32 i = first; i < end; i++)
	{
		for (uint32 j = 0; j < rotdim; j++)
			build->points[(Size) i * rotdim + j] -= build->centre[j];
	}
}

/* Number the rows anew so that those near each other have near numbers. */
static void
order_rows(FngBuild *build)
{
	GraphSource source = {build, read_stored_points};
	GraphVectors vectors = {NULL, 0, build->nrows, build->layout.code.rotdim, &source};
	uint32	   *order = fng_team_alloc(build, mul_size(build->nrows, sizeof(uint32)));

	graph_order(&vectors, build->graph.seed, &build->host, order);
	permute(build, order, build->tids, sizeof(ItemPointerData));
	permute(build, order, build->aux, sizeof(float));
	permute(build, order, build->arrival, sizeof(uint32));
	permute_duplicates(build, order);
	fng_team_free(build, order);
}

/* Put a shared array in order; its elements have that size. */
static void
permute(FngBuild *build, const uint32 *order, void *array, Size size)
{
	char	   *copy = fng_team_alloc(build, mul_size(build->nrows, size));
	char	   *elements = (char *) array;
	uint32		first;
	uint32		end;

	share_of_rows(build, &first, &end);
	for (uint32 i = first; i < end; i++)
		memcpy(copy + i * size, elements + order[i] * size, size);
	fng_team_barrier(build->team);
	memcpy(elements + first * size, copy + first * size, (end - first) * size);
	fng_team_barrier(build->team);
	fng_team_free(build, copy);
}

/* The rows whose nodes duplicates share have other numbers now. */
static void
permute_duplicates(FngBuild *build, const uint32 *order)
{
	uint32	   *position;

	if (fng_team_tell(build->team, build->nduplicates) == 0)
		return;
	position = fng_team_alloc(build, mul_size(build->nrows, sizeof(uint32)));
	if (build->nduplicates > 0)
	{
		for (uint32 i = 0; i < build->nrows; i++)
			position[order[i]] = i;
		for (uint32 i = 0; i < build->nduplicates; i++)
			build->duplicates[i].row = position[build->duplicates[i].row];
	}
	fng_team_free(build, position);
}

/* Write this member's share of the points to the file of all. */
static void
write_points(FngBuild *build)
{
	Size		size = build->layout.code.rotdim * sizeof(float);
	float	   *points = palloc(ROWS_AT_A_TIME * size);
	uint32		first;
	uint32		end;

	fng_build_phase(build, FNG_PHASE_ROTATE, build->nrows);
	build->point_file = fng_file_create(build, build->nrows * (uint64) size);
	share_of_rows(build, &first, &end);
	for (uint32 i = first; i < end; i += ROWS_AT_A_TIME)
	{
		uint32		n = Min(ROWS_AT_A_TIME, end - i);

		CHECK_FOR_INTERRUPTS();
		read_stored_points(build, i, n, points);
		fng_file_write(build->point_file, i * (uint64) size, points, n * size);
		fng_build_progress(build, (uint64) (i - first) * fng_team_size(build->team));
	}
	pfree(points);
}

/*
 * Keep points out of core in memory as far as the graph, which is ready, has
 * left some.
 */
void
fng_cache_points(FngBuild *build)
{
	GraphSource source = {build, read_points};
	GraphVectors vectors = {NULL, 0, build->nrows, build->layout.code.rotdim, &source};
	uint32		size = fng_team_size(build->team);
	Size		most = graph_row_cache_most(vectors.n, vectors.dim);
	Size		own;

	if (!build->plan.outofcore)
		return;
	own = Min(TYPEALIGN(64, most), TYPEALIGN_DOWN(64, fng_team_room(build) / size));
	own = Max(own, TYPEALIGN(64, graph_row_cache_least(vectors.dim)));
	build->point_room = fng_team_alloc(build, own * size);
	build->point_cache = MemoryContextAlloc(build->context, sizeof(GraphRowCache));
	graph_row_cache_init(build->point_cache, &vectors,
						 (char *) build->point_room + fng_team_rank(build->team) * own, own);
}

/* Nobody wants points any more. */
void
fng_release_points(FngBuild *build)
{
	if (build->points != NULL)
		fng_team_free(build, build->points);
	if (build->point_cache != NULL)
	{
		fng_team_free(build, build->point_room);
		fng_file_close(build, build->point_file);
	}
	build->points = NULL;
	build->point_cache = NULL;
	build->point_file = NULL;
}

/* A row's point; out of core valid until the next call. */
const float *
fng_build_point(FngBuild *build, uint32 row)
{
	if (build->point_cache != NULL)
		return graph_row_cache_get(build->point_cache, row);
	return build->points + (Size) row * build->layout.code.rotdim;
}

/*
 * Keep FNG_MAX_EQUAL_NODES of each set of equal rows as nodes; note the
 * others as duplicates of the first.  Rows keep their order.
 */
static void
merge_equal_rows(FngBuild *build)
{
	uint32	   *by_hash = fng_team_alloc(build, mul_size(build->nrows, sizeof(uint32)));
	uint32	   *first = fng_team_alloc(build, mul_size(build->nrows, sizeof(uint32)));

	if (fng_team_rank(build->team) == 0 && find_firsts(build, by_hash, first))
		close_gaps(build, first, by_hash);
	build->nrows = (uint32) fng_team_tell(build->team, build->nrows);
	fng_team_free(build, first);
	fng_team_free(build, by_hash);
}

/*
 * Note for each row the one whose node it is to share, or itself; false if
 * that is so of all.
 */
static bool
find_firsts(FngBuild *build, uint32 *by_hash, uint32 *first)
{
	uint32		nrows = build->nrows;
	bool		found = false;
	float	   *head_value = palloc(build->layout.vector_bytes);
	float	   *value = palloc(build->layout.vector_bytes);

	for (uint32 i = 0; i < nrows; i++)
		by_hash[i] = first[i] = i;
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
		fng_build_value(build, head, head_value);
		for (uint32 i = start + FNG_MAX_EQUAL_NODES; i < end; i++)
		{
			CHECK_FOR_INTERRUPTS();
			fng_build_value(build, by_hash[i], value);
			if (fng_same_vector(build->layout.dim, value, head_value))
			{
				first[by_hash[i]] = head;
				found = true;
			}
		}
	}
	pfree(head_value);
	pfree(value);
	return found;
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

/*
 * Turn rows with another first into duplicates, and move up the others;
 * "moved" is room for a number per row.
 */
static void
close_gaps(FngBuild *build, const uint32 *first, uint32 *moved)
{
	Size		stride = build->layout.code.rotdim;
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
			if (build->points != NULL)
				memcpy(build->points + kept * stride, build->points + i * stride,
					   stride * sizeof(float));
			build->tids[kept] = build->tids[i];
			build->aux[kept] = build->aux[i];
			build->arrival[kept] = build->arrival[i];
		}
		kept++;
	}
	build->nrows = kept;
}
