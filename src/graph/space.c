/*-------------------------------------------------------------------------
 *
 * space.c
 *	  Rows as the build sees them: scaled copies in blocks, squared distances
 *	  between blocks, and the central row.
 *
 * Distances between blocks come from products, |a|^2 + |b|^2 - 2 a.b, which
 * loses digits when the rows are far from the origin compared with their
 * distance.  Every block is therefore copied relative to an origin among or
 * near its own rows.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "graph_int.h"

/* Rows between two looks at the host in loops over all rows */
#define SPACE_BLOCK		64

/*
 * The largest magnitude of a coordinate.
 */
static float
largest_magnitude(GraphSpace *space)
{
	const GraphVectors *vectors = space->vectors;
	uint32_t	i = 0;
	uint32_t	end = vectors->n;
	uint32_t	k;
	float		largest = 0.0f;
	float	   *all;

	graph_share(space, &i, &end);
	for (; i < end; i++)
	{
		const float *x = vectors->data + (size_t) i * vectors->stride;

		for (k = 0; k < vectors->dim; k++)
		{
			float		magnitude = fabsf(x[k]);

			largest = magnitude > largest ? magnitude : largest;
		}
		graph_work(space, vectors->dim);
	}
	all = graph_exchange(space, &largest, sizeof(largest));
	for (i = 0; i < space->host->size; i++)
		largest = GRAPH_MAX(largest, all[i]);
	graph_exchange_end(space, all);
	return largest;
}

/*
 * Prepare to work on all rows; computes the scale.
 */
void
graph_space_init(GraphSpace *space, const GraphVectors *vectors,
				 const GraphHost *host)
{
	float		largest;
	int			exponent;

	memset(space, 0, sizeof(GraphSpace));
	space->vectors = vectors;
	space->host = host;
	space->kernels = distance_kernels();
	space->n = vectors->n;
	space->width = graph_align(vectors->dim);
	space->scale = 1.0f;
	/* the others use the counters after the barrier of the first exchange */
	space->team = graph_alloc_shared(host, 1, sizeof(GraphTeam));
	if (host->rank == 0)
		memset(space->team, 0, sizeof(GraphTeam));

	largest = largest_magnitude(space);
	if (largest > 0.0f)
	{
		frexpf(largest, &exponent);
		exponent = GRAPH_MIN(GRAPH_MAX(-exponent, -126), 126);
		space->scale = ldexpf(1.0f, exponent);
	}
}

/*
 * Nothing of it is used any more: wait for the others, too.
 */
void
graph_space_end(GraphSpace *space)
{
	graph_barrier(space);
	graph_release_shared(space->host, space->team);
}

/*
 * Copy one row, scaled and relative to origin (itself scaled; NULL for none),
 * into width floats.
 */
void
graph_load(const GraphSpace *space, const float *x, const float *origin,
		   float *restrict out)
{
	uint32_t	dim = space->vectors->dim;
	uint32_t	whole = dim & ~(uint32_t) (GRAPH_ALIGN_FLOATS - 1);
	float		scale = space->scale;
	uint32_t	i;
	uint32_t	k;

	/* inner loops of constant length are what -O2 vectorizes */
	for (i = 0; i < whole; i += GRAPH_ALIGN_FLOATS)
	{
		if (origin)
			for (k = 0; k < GRAPH_ALIGN_FLOATS; k++)
				out[i + k] = x[i + k] * scale - origin[i + k];
		else
			for (k = 0; k < GRAPH_ALIGN_FLOATS; k++)
				out[i + k] = x[i + k] * scale;
	}
	for (; i < dim; i++)
		out[i] = x[i] * scale - (origin ? origin[i] : 0.0f);
	for (; i < space->width; i++)
		out[i] = 0.0f;
}

/*
 * Copy the rows of n nodes into a block (n x width) and compute the square
 * of each one's length.
 */
void
graph_gather(GraphSpace *space, const float *origin, const uint32_t *nodes,
			 uint32_t n, float *rows, float *norms)
{
	size_t		width = space->width;
	uint32_t	i;
	uint32_t	k;

	for (i = 0; i < n; i++)
	{
		float	   *row = rows + i * width;

		/* a row is touched four turns before it is copied */
		if (i + 4 < n)
		{
			const float *ahead = graph_row(space, nodes[i + 4]);
			uint32_t	limit = GRAPH_MIN(space->vectors->dim, 256);

			for (k = 0; k < limit; k += 16)
				graph_prefetch(ahead + k);
		}
		graph_load(space, graph_row(space, nodes[i]), origin, row);
		norms[i] = space->kernels->dot(space->width, row, row);
	}
	graph_work(space, (uint64_t) n * width);
}

/*
 * Products of two blocks of rows: out[i * ldout + j].
 */
void
graph_products(GraphSpace *space, const float *a, uint32_t na,
			   const float *b, uint32_t nb, float *out, size_t ldout)
{
	space->kernels->dot_tile(space->width, a, space->width, na,
							 b, space->width, nb, out, ldout);
	graph_work(space, (uint64_t) na * nb * (space->width + 16));
}

/*
 * Turn products into squared distances, never negative and never NaN.  A loop
 * of constant length, which -O2 vectorizes.
 */
static inline void
convert_block(float *restrict row, float norm, const float *restrict norms)
{
	int			k;

	for (k = 0; k < GRAPH_ALIGN_FLOATS; k++)
	{
		float		d = (norm + norms[k]) - 2.0f * row[k];

		row[k] = d > 0.0f ? d : 0.0f;
	}
}

static inline void
convert_row(float *row, float norm, const float *norms, uint32_t n)
{
	uint32_t	whole = n & ~(uint32_t) (GRAPH_ALIGN_FLOATS - 1);
	uint32_t	i;

	for (i = 0; i < whole; i += GRAPH_ALIGN_FLOATS)
		convert_block(row + i, norm, norms + i);
	for (; i < n; i++)
	{
		float		d = (norm + norms[i]) - 2.0f * row[i];

		row[i] = d > 0.0f ? d : 0.0f;
	}
}

/* Is any distance of a block below the larger of limit and its own limit? */
static inline bool
any_near(const float *restrict row, float limit, const float *restrict limits)
{
	int			any = 0;
	int			k;

	for (k = 0; k < GRAPH_ALIGN_FLOATS; k++)
	{
		float		most = limits[k] > limit ? limits[k] : limit;

		any |= row[k] < most ? -1 : 0;
	}
	return any != 0;
}

/*
 * Turn a row of products into squared distances and find those below the
 * larger of limit and limits[i]: hits receives their places.  Returns their
 * number.
 */
uint32_t
graph_near(float *row, float norm, const float *norms,
		   float limit, const float *limits, uint32_t n, uint32_t *hits)
{
	uint32_t	nhits = 0;
	uint32_t	i;
	uint32_t	k;

	convert_row(row, norm, norms, n);
	for (i = 0; i < n; i += GRAPH_ALIGN_FLOATS)
	{
		uint32_t	end = GRAPH_MIN(i + GRAPH_ALIGN_FLOATS, n);

		if (end == i + GRAPH_ALIGN_FLOATS &&
			!any_near(row + i, limit, limits + i))
			continue;
		for (k = i; k < end; k++)
		{
			hits[nhits] = k;
			nhits += (row[k] < limit) | (row[k] < limits[k]);
		}
	}
	return nhits;
}

/*
 * Squared distances between two blocks of rows of the same origin:
 * out[i * ldout + j], never negative and never NaN.
 */
void
graph_distances(GraphSpace *space,
				const float *a, const float *anorm, uint32_t na,
				const float *b, const float *bnorm, uint32_t nb,
				float *out, size_t ldout)
{
	uint32_t	i;

	graph_products(space, a, na, b, nb, out, ldout);
	for (i = 0; i < na; i++)
		convert_row(out + i * ldout, anorm[i], bnorm, nb);
}

/*
 * The mean of the rows.
 */
static void
mean_row(GraphSpace *space, float *mean)
{
	const GraphHost *host = space->host;
	uint32_t	width = space->width;
	double	   *sum = graph_alloc(host, width, sizeof(double));
	double	   *all;
	uint32_t	i = 0;
	uint32_t	end = space->n;
	uint32_t	k;

	graph_share(space, &i, &end);
	memset(sum, 0, width * sizeof(double));
	for (; i < end; i++)
	{
		graph_load(space, graph_row(space, i), NULL, mean);
		for (k = 0; k < width; k++)
			sum[k] += mean[k];
		graph_work(space, 2 * (uint64_t) width);
	}
	all = graph_exchange(space, sum, width * sizeof(double));
	memcpy(sum, all, width * sizeof(double));
	for (i = 1; i < host->size; i++)
		for (k = 0; k < width; k++)
			sum[k] += all[(size_t) i * width + k];
	graph_exchange_end(space, all);
	for (k = 0; k < width; k++)
		mean[k] = (float) (sum[k] / space->n);
	graph_release(host, sum);
}

/*
 * The node nearest to the mean of the rows.
 */
uint32_t
graph_central_node(GraphSpace *space)
{
	const GraphHost *host = space->host;
	uint32_t	width = space->width;
	float	   *mean = graph_alloc(host, width, sizeof(float));
	float	   *rows = graph_alloc(host, (size_t) SPACE_BLOCK * width,
								   sizeof(float));
	float		norms[SPACE_BLOCK];
	uint32_t	nodes[SPACE_BLOCK];
	GraphEntry	best = UINT64_MAX;
	GraphEntry *all;
	uint32_t	i = 0;
	uint32_t	end = space->n;
	uint32_t	k;

	mean_row(space, mean);
	graph_share(space, &i, &end);
	for (; i < end; i += SPACE_BLOCK)
	{
		uint32_t	m = GRAPH_MIN(SPACE_BLOCK, end - i);

		for (k = 0; k < m; k++)
			nodes[k] = i + k;
		graph_gather(space, mean, nodes, m, rows, norms);
		for (k = 0; k < m; k++)
		{
			GraphEntry	entry = graph_entry_make(norms[k], i + k);

			best = GRAPH_MIN(best, entry);
		}
	}
	graph_release(host, rows);
	graph_release(host, mean);
	all = graph_exchange(space, &best, sizeof(best));
	for (i = 0; i < host->size; i++)
		best = GRAPH_MIN(best, all[i]);
	graph_exchange_end(space, all);
	return graph_entry_node(best);
}

/*
 * Peak memory of all the above; the counters live as long as the space.
 */
GraphMemory
graph_space_memory(uint32_t dim, uint32_t size)
{
	size_t		width = graph_align(dim);
	GraphMemory memory = {0, 0, 0};

	memory.shared = graph_block_size(1, sizeof(GraphTeam)) +
		graph_block_size(size, width * sizeof(double));
	memory.own = (SPACE_BLOCK + 1) * width * sizeof(float) +
		width * sizeof(double);
	return memory;
}
