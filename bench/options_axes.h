/*-------------------------------------------------------------------------
 *
 * options_axes.h
 *	  For bench_options.c: principal axes, and codes along them.
 *
 * The axes are those of the covariance of up to 20,000 rows, by one-sided
 * Jacobi rotations (Hestenes) of its rows: they leave the rows orthogonal,
 * each an eigenvector as long as its eigenvalue.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_BENCH_OPTIONS_AXES_H
#define DESCARTES_BENCH_OPTIONS_AXES_H

#include "layout_index.h"

#define AXES_ROWS		20000
#define AXES_SWEEPS		15
#define AXES_BATCH		64

/* Rows of `axes`, by falling variance; rows and queries of the set in them */
typedef struct PrincipalAxes
{
	uint32_t	dim;			/* rounded up to CODE_DIM_ALIGN */
	float	   *axes;
	GraphVectors points;
	GraphVectors asked;
} PrincipalAxes;

/* What the coordinates along the axes go through before they are coded. */
typedef enum AxesTurn
{
	TURN_NONE,
	TURN_BLOCKS,				/* random rotations of 64 coordinates each */
	TURN_KEPT,					/* one of all that are coded */
	TURN_NTURNS
} AxesTurn;

#define AXES_BLOCK		64

static float *
covariance(const BenchSet *set, uint32_t dim)
{
	const DistanceKernels *kernels = distance_kernels();
	uint32_t	step = (set->base.n + AXES_ROWS - 1) / AXES_ROWS;
	uint32_t	n = set->base.n / step;
	float	   *columns = allocate((size_t) dim * n * sizeof(float));
	float	   *cov = allocate((size_t) dim * dim * sizeof(float));
	double		trace = 0;
	uint32_t	i;
	uint32_t	j;

	memset(columns, 0, (size_t) dim * n * sizeof(float));
	for (i = 0; i < n; i++)
		for (j = 0; j < set->base.dim; j++)
			columns[(size_t) j * n + i] =
				row_of(&set->base, i * step)[j] - set->mean[j];
	for (i = 0; i < dim; i++)
		for (j = 0; j <= i; j++)
			cov[(size_t) i * dim + j] = cov[(size_t) j * dim + i] =
				kernels->dot(n, columns + (size_t) i * n, columns + (size_t) j * n) / n;
	for (i = 0; i < dim; i++)
		trace += cov[(size_t) i * dim + i];
	/* no eigenvalue may drown in the rounding of the largest */
	for (i = 0; i < dim; i++)
		cov[(size_t) i * dim + i] += 1e-3f * (float) trace / dim;
	free(columns);
	return cov;
}

static void
rotate_rows(float *a, float *b, uint32_t dim, float c, float s)
{
	uint32_t	i;

	for (i = 0; i < dim; i++)
	{
		float		x = a[i];

		a[i] = c * x - s * b[i];
		b[i] = s * x + c * b[i];
	}
}

/* Make the rows of a matrix orthogonal. */
static void
jacobi(float *rows, uint32_t dim)
{
	const DistanceKernels *kernels = distance_kernels();
	uint32_t	nrotated = 1;
	uint32_t	sweep;
	uint32_t	p;
	uint32_t	q;

	for (sweep = 0; nrotated > 0 && sweep < AXES_SWEEPS; sweep++)
	{
		nrotated = 0;
		for (p = 0; p + 1 < dim; p++)
			for (q = p + 1; q < dim; q++)
			{
				float	   *a = rows + (size_t) p * dim;
				float	   *b = rows + (size_t) q * dim;
				double		aa = kernels->dot(dim, a, a);
				double		bb = kernels->dot(dim, b, b);
				double		ab = kernels->dot(dim, a, b);
				double		zeta;
				double		t;
				double		c;

				if (fabs(ab) <= 1e-5 * sqrt(aa * bb))
					continue;
				nrotated++;
				zeta = (bb - aa) / (2 * ab);
				t = (zeta < 0 ? -1 : 1) / (fabs(zeta) + sqrt(1 + zeta * zeta));
				c = 1 / sqrt(1 + t * t);
				rotate_rows(a, b, dim, (float) c, (float) (c * t));
			}
	}
}

/* Rows by falling length, then exactly orthonormal (Gram and Schmidt, twice) */
static void
straighten(float *rows, uint32_t dim)
{
	const DistanceKernels *kernels = distance_kernels();
	uint32_t	i;
	uint32_t	j;
	uint32_t	k;

	for (i = 0; i < dim; i++)
	{
		float	   *row = rows + (size_t) i * dim;
		uint32_t	longest = i;
		float		length;

		for (j = i; j < dim; j++)
		{
			const float *other = rows + (size_t) j * dim;
			const float *so_far = rows + (size_t) longest * dim;

			if (kernels->dot(dim, other, other) > kernels->dot(dim, so_far, so_far))
				longest = j;
		}
		if (longest != i)
			rotate_rows(row, rows + (size_t) longest * dim, dim, 0, -1);
		for (k = 0; k < 2; k++)
		{
			length = sqrtf(kernels->dot(dim, row, row));
			for (j = 0; j < dim; j++)
				row[j] /= length;
			for (j = 0; j < i; j++)
			{
				const float *done = rows + (size_t) j * dim;
				float		along = kernels->dot(dim, row, done);
				uint32_t	l;

				for (l = 0; l < dim; l++)
					row[l] -= along * done[l];
			}
		}
		length = sqrtf(kernels->dot(dim, row, row));
		for (j = 0; j < dim; j++)
			row[j] /= length;
	}
}

/* Rows of a set, centred and along the axes */
static GraphVectors
along_axes(const BenchSet *set, const GraphVectors *from, const PrincipalAxes *axes)
{
	const DistanceKernels *kernels = distance_kernels();
	uint32_t	dim = axes->dim;
	float	   *data = allocate((size_t) from->n * dim * sizeof(float));
	float	   *centred = calloc((size_t) AXES_BATCH * dim, sizeof(float));
	GraphVectors to = {data, dim, from->n, dim};
	uint32_t	first;
	uint32_t	i;
	uint32_t	j;

	for (first = 0; first < from->n; first += AXES_BATCH)
	{
		uint32_t	n = from->n - first < AXES_BATCH ? from->n - first : AXES_BATCH;

		for (i = 0; i < n; i++)
			for (j = 0; j < from->dim; j++)
				centred[i * dim + j] = row_of(from, first + i)[j] - set->mean[j];
		kernels->dot_tile(dim, centred, dim, n, axes->axes, dim, dim,
						  data + (size_t) first * dim, dim);
	}
	free(centred);
	return to;
}

static PrincipalAxes *
find_axes(const BenchSet *set)
{
	PrincipalAxes *axes = allocate(sizeof(PrincipalAxes));

	axes->dim = code_rotated_dim(set->base.dim);
	axes->axes = covariance(set, axes->dim);
	jacobi(axes->axes, axes->dim);
	straighten(axes->axes, axes->dim);
	axes->points = along_axes(set, &set->base, axes);
	axes->asked = along_axes(set, &set->queries, axes);
	return axes;
}

/* The first m coordinates along the axes, turned */
static GraphVectors
turn_kept(const GraphVectors *from, uint32_t m, AxesTurn how)
{
	float	   *data = allocate((size_t) from->n * m * sizeof(float));
	GraphVectors to = {data, m, from->n, m};
	uint32_t	block = how == TURN_KEPT ? m : AXES_BLOCK;
	uint32_t	first;
	uint32_t	i;

	if (how == TURN_NONE)
	{
		for (i = 0; i < from->n; i++)
			memcpy(data + (size_t) i * m, row_of(from, i), m * sizeof(float));
		return to;
	}
	for (first = 0; first < m; first += block)
	{
		uint32_t	size = m - first < block ? m - first : block;
		CodeParams	params = {size, size, size, 8, 1};
		void	   *memory = allocate(code_rotation_size(&params));
		CodeRotation *rotation = code_rotation_init(&params, memory);

		for (i = 0; i < from->n; i++)
			code_rotate(rotation, row_of(from, i) + first, data + (size_t) i * m + first);
		free(memory);
	}
	return to;
}

#endif							/* DESCARTES_BENCH_OPTIONS_AXES_H */
