/*-------------------------------------------------------------------------
 *
 * options_partition.h
 *	  For bench_options.c: neighbours in two groups by an axis of their node.
 *
 * The axis is a direction of coded space with the node as its origin.  A
 * neighbour belongs to the side on which it lies of a threshold on the axis:
 * 0, or the median, which makes the sides equally large.  A search scans the
 * query's side only, but for the nodes that the rule `all` names and for
 * queries that are near the threshold.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_BENCH_OPTIONS_PARTITION_H
#define DESCARTES_BENCH_OPTIONS_PARTITION_H

#include "options_run.h"

#define POWER_ROUNDS	8

typedef enum PartitionAxis
{
	AXIS_PRINCIPAL,				/* first principal axis of the residuals */
	AXIS_COORDINATE,			/* rotated coordinate of the largest variance */
	AXIS_CENTRE,				/* to the centre of the set: no bytes */
	AXIS_MEAN,					/* to the mean of the neighbours */
	AXIS_RANDOM
} PartitionAxis;

typedef struct Partition
{
	PartitionAxis axis;
	bool		median;			/* else the threshold is 0 */
	bool		near;			/* all: of the `all` nearest nodes visited,
								 * else */
	uint32_t	all;			/* of the first `all` */
	float		margin;			/* both sides if |<axis, q - c> - threshold|
								 * is less, in units of |q - c| */
	uint32_t	degree;
	uint32_t	dim;
	uint8_t    *made;			/* by node */
	uint8_t    *upper;			/* by edge: beyond the threshold */
	float	   *axes;			/* by node, of length 1 */
	float	   *threshold;		/* of <axis, o - c> */
	uint8_t		chosen[MAX_DEGREE];
} Partition;

static void
normalize(float *v, uint32_t dim)
{
	float		length = sqrtf(distance_kernels()->dot(dim, v, v));
	uint32_t	j;

	for (j = 0; length > 0 && j < dim; j++)
		v[j] /= length;
}

static void
add_scaled(float *to, float scale, const float *from, uint32_t dim)
{
	uint32_t	j;

	for (j = 0; j < dim; j++)
		to[j] += scale * from[j];
}

/* First principal axis of n centred rows; axis holds the one to start from. */
static void
power_iteration(const float *rows, uint32_t n, uint32_t dim, float *axis)
{
	float		along[MAX_DEGREE];
	uint32_t	round;
	uint32_t	i;

	for (round = 0; round < POWER_ROUNDS; round++)
	{
		for (i = 0; i < n; i++)
			along[i] = distance_kernels()->dot(dim, rows + (size_t) i * dim, axis);
		memset(axis, 0, dim * sizeof(float));
		for (i = 0; i < n; i++)
			add_scaled(axis, along[i], rows + (size_t) i * dim, dim);
		normalize(axis, dim);
	}
}

static uint32_t
widest_coordinate(const float *rows, uint32_t n, uint32_t dim)
{
	uint32_t	widest = 0;
	float		most = -1;
	uint32_t	i;
	uint32_t	j;

	for (j = 0; j < dim; j++)
	{
		float		sum = 0;

		for (i = 0; i < n; i++)
			sum += rows[(size_t) i * dim + j] * rows[(size_t) i * dim + j];
		if (sum > most)
		{
			most = sum;
			widest = j;
		}
	}
	return widest;
}

/* rows: residuals of n > 0 neighbours; they are centred here. */
static void
find_axis(const Partition *partition, const float *c, uint32_t node, float *rows,
		  uint32_t n, float *axis)
{
	uint32_t	dim = partition->dim;
	float		mean[MAX_DIM] = {0};
	uint64_t	state = node;
	uint32_t	i;

	for (i = 0; i < n; i++)
		add_scaled(mean, 1.0f / n, rows + (size_t) i * dim, dim);
	for (i = 0; i < n; i++)
		add_scaled(rows + (size_t) i * dim, -1, mean, dim);
	memset(axis, 0, dim * sizeof(float));
	switch (partition->axis)
	{
		case AXIS_PRINCIPAL:
			axis[widest_coordinate(rows, n, dim)] = 1;
			power_iteration(rows, n, dim, axis);
			break;
		case AXIS_COORDINATE:
			axis[widest_coordinate(rows, n, dim)] = 1;
			break;
		case AXIS_CENTRE:
			add_scaled(axis, -1, c, dim);
			break;
		case AXIS_MEAN:
			add_scaled(axis, 1, mean, dim);
			break;
		case AXIS_RANDOM:
			for (i = 0; i < dim; i++)
			{
				state = state * UINT64_C(6364136223846793005) + 12345;
				axis[i] = (float) (state >> 40) / (1 << 23) - 1;
			}
			break;
	}
	normalize(axis, dim);
}

static void
divide_neighbours(Partition *partition, const BenchIndex *index, uint32_t node)
{
	uint32_t	dim = partition->dim;
	size_t		at = (size_t) node * partition->degree;
	uint32_t	n = index->base.edges.degree[node];
	const float *c = row_of(&index->points, node);
	float	   *axis = partition->axes + (size_t) node * dim;
	float	   *rows = allocate((size_t) n * dim * sizeof(float));
	float		along[MAX_DEGREE];
	float		sorted[MAX_DEGREE];
	float		threshold = 0;
	uint32_t	i;

	for (i = 0; i < n; i++)
	{
		memcpy(rows + (size_t) i * dim,
			   row_of(&index->points, index->base.edges.ids[at + i]), dim * sizeof(float));
		add_scaled(rows + (size_t) i * dim, -1, c, dim);
	}
	find_axis(partition, c, node, rows, n, axis);
	for (i = 0; i < n; i++)
		sorted[i] = along[i] = distance_kernels()->dot(dim, axis,
													   row_of(&index->points, index->base.edges.ids[at + i])) -
			distance_kernels()->dot(dim, axis, c);
	qsort(sorted, n, sizeof(float), compare_floats);
	if (partition->median && n > 1)
		threshold = (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
	partition->threshold[node] = threshold;
	for (i = 0; i < n; i++)
		partition->upper[at + i] = along[i] > threshold;
	partition->made[node] = 1;
	free(rows);
}

/* BenchSearch.choose */
static const uint8_t *
choose_side(BenchSearch *search, uint32_t node, float base)
{
	Partition  *partition = search->arg;
	const DistanceKernels *kernels = distance_kernels();
	uint32_t	n = search->index->base.edges.degree[node];
	const float *axis = partition->axes + (size_t) node * partition->dim;
	const float *c = row_of(&search->index->points, node);
	uint32_t	all = partition->all;
	float		along;
	uint32_t	i;

	if (search->nsteps < all ||
		(all > 0 && partition->near && base < search->sorted[all - 1]))
	{
		search->nscored += n;
		return NULL;
	}
	if (!partition->made[node])
		divide_neighbours(partition, search->index, node);
	along = kernels->dot(partition->dim, axis, search->asked) -
		kernels->dot(partition->dim, axis, c) - partition->threshold[node];
	if (fabsf(along) < partition->margin * sqrtf(base))
	{
		search->nscored += n;
		return NULL;
	}
	for (i = 0; i < n; i++)
	{
		partition->chosen[i] =
			partition->upper[(size_t) node * partition->degree + i] == (along > 0);
		search->nscored += partition->chosen[i];
	}
	return partition->chosen;
}

static void
try_partition(Bench *bench, Partition *partition)
{
	static const char *const names[] = {"principal", "coordinate", "centre",
	"mean", "random"};
	char		variant[128];

	snprintf(variant, sizeof(variant), "%s, %s, all of %s %u, margin %g",
			 names[partition->axis], partition->median ? "median" : "zero",
			 partition->near ? "nearest" : "first", partition->all, partition->margin);
	bench->search.choose = choose_side;
	bench->search.arg = partition;
	measure(bench, variant);
	bench->search.choose = NULL;
}

static void
study_partition(Bench *bench)
{
	static const uint32_t alls[] = {0, 4, 8, 16};
	static const float margins[] = {0, 0.05f, 0.1f, 0.2f};
	const BenchIndex *index = &bench->index;
	size_t		n = index->base.n;
	Partition	partition = {0};
	int			axis;
	int			median;
	int			near;
	uint32_t	i;

	partition.degree = index->base.edges.max_degree;
	partition.dim = index->points.dim;
	partition.axes = reserve(n * partition.dim * sizeof(float));
	partition.threshold = reserve(n * sizeof(float));
	partition.upper = reserve(n * partition.degree);
	partition.made = reserve(n);
	measure(bench, "off");
	opt.use = partition.degree / 2;
	measure(bench, "off, strongest half of the edges");
	opt.use = 0;
	for (axis = AXIS_RANDOM; axis >= AXIS_PRINCIPAL; axis--)
		for (median = 0; median < 2; median++)
		{
			partition.axis = axis;
			partition.median = median;
			partition.near = false;
			partition.all = 8;
			partition.margin = 0;
			memset(partition.made, 0, n);
			try_partition(bench, &partition);
		}
	/* the principal axis with medians is what comes last */
	for (near = 0; near < 2; near++)
		for (i = near; i < 4; i++)
		{
			partition.near = near;
			partition.all = alls[i];
			if (near || partition.all != 8)
				try_partition(bench, &partition);
		}
	partition.near = false;
	partition.all = 8;
	for (i = 1; i < 4; i++)
	{
		partition.margin = margins[i];
		try_partition(bench, &partition);
	}
	munmap(partition.axes, n * partition.dim * sizeof(float));
	munmap(partition.threshold, n * sizeof(float));
	munmap(partition.upper, n * partition.degree);
	munmap(partition.made, n);
}

#endif							/* DESCARTES_BENCH_OPTIONS_PARTITION_H */
