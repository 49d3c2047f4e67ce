/*-------------------------------------------------------------------------
 *
 * space.c
 *	  Rows as the build sees them: copies in blocks, squared distances between
 *	  blocks, and the central row.
 *
 * Distances between blocks come from products, |a|^2 + |b|^2 - 2 a.b, and
 * products of 16-bit integers take half the time of those of floats.  So the
 * rows of a block are integers with a unit per row, such that a row is some
 * 46,000 units long.  That, and the products, lose digits when the rows are far
 * from the origin compared with their distance.  Every block is therefore
 * copied relative to an origin among or near its own rows.  A coordinate is
 * right to half a unit, and over the coordinates that averages out: the
 * distance of two rows of 128 dimensions is right to about a hundred thousandth
 * of their distance to the origin.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "graph_int.h"

static uint32_t
align_shorts(uint32_t width)
{
	return (width + GRAPH_ALIGN_SHORTS - 1) &
		~(uint32_t) (GRAPH_ALIGN_SHORTS - 1);
}

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
		const float *x = graph_row(space, i);

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
	space->stride = align_shorts(space->width);
	space->scale = 1.0f;
	/* the others use the counters after the barrier of the first exchange */
	space->team = graph_alloc_shared(host, 1, sizeof(GraphTeam));
	if (host->rank == 0)
		memset(space->team, 0, sizeof(GraphTeam));
	graph_space_cache(space, graph_row_cache_least(vectors->dim));

	largest = largest_magnitude(space);
	if (largest > 0.0f)
	{
		frexpf(largest, &exponent);
		exponent = GRAPH_MIN(GRAPH_MAX(-exponent, -126), 126);
		space->scale = ldexpf(1.0f, exponent);
	}
}

/*
 * Of rows with a source keep as many as there is room for in so many bytes,
 * which replaces the cache there was; 0 for none any more.
 */
void
graph_space_cache(GraphSpace *space, size_t size)
{
	const GraphHost *host = space->host;
	size_t		rounded = graph_array_size(size, 1);
	char	   *memory;

	if (space->cache)
	{
		graph_release(host, space->cache);
		space->cache = NULL;
		graph_release_shared(host, space->cache_memory);
	}
	if (size == 0 || space->vectors->source == NULL)
		return;
	/* of shared memory only because there is some to spare at times */
	memory = graph_alloc_shared(host, host->size, rounded);
	space->cache_memory = memory;
	space->cache = graph_alloc(host, 1, sizeof(GraphRowCache));
	graph_row_cache_init(space->cache, space->vectors,
						 memory + host->rank * rounded, size);
}

/*
 * Nothing of it is used any more: wait for the others, too.
 */
void
graph_space_end(GraphSpace *space)
{
	graph_barrier(space);
	graph_space_cache(space, 0);
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
 * Memory of a block, in bytes.
 */
size_t
graph_block_memory(uint32_t dim, uint32_t capacity)
{
	uint32_t	width = graph_align(dim);

	return (size_t) capacity * align_shorts(width) * sizeof(int16_t) +
		((size_t) 3 * graph_align(capacity) + width) * sizeof(float);
}

/*
 * A block with room for capacity rows, and for an origin.
 */
void
graph_block_alloc(const GraphSpace *space, GraphBlock *block,
				  uint32_t capacity)
{
	size_t		stride = graph_align(capacity);

	block->rows = graph_alloc(space->host, 1,
							  graph_block_memory(space->vectors->dim,
												 capacity));
	block->units = (float *) (block->rows + (size_t) capacity * space->stride);
	block->squares = block->units + stride;
	block->norms = block->squares + stride;
	block->origin = block->norms + stride;
}

void
graph_block_release(const GraphSpace *space, GraphBlock *block)
{
	graph_release(space->host, block->rows);
}

/*
 * From here on rows come relative to that of a node.
 */
void
graph_set_origin(const GraphSpace *space, GraphBlock *block, uint32_t node)
{
	graph_load(space, graph_row(space, node), NULL, block->origin);
}

/*
 * Fill a block with the rows of n nodes.
 */
void
graph_gather(GraphSpace *space, GraphBlock *block,
			 const uint32_t *nodes, uint32_t n)
{
	const GraphVectors *vectors = space->vectors;
	uint32_t	limit = GRAPH_MIN(vectors->dim, 256);
	uint32_t	i;
	uint32_t	k;

	for (i = 0; i < n; i++)
	{
		/* a row is touched four turns before it is copied */
		if (i + 4 < n && space->cache == NULL)
		{
			const float *ahead = graph_row(space, nodes[i + 4]);

			for (k = 0; k < limit; k += 16)
				graph_prefetch(ahead + k);
		}
		space->kernels->quantize_i16(vectors->dim, graph_row(space, nodes[i]),
									 space->scale, block->origin,
									 space->width,
									 block->rows + (size_t) i * space->stride,
									 block->norms + i, block->units + i,
									 block->squares + i);
	}
	graph_work(space, (uint64_t) n * space->width);
}

/*
 * Products of rows ifirst .. of a with rows jfirst .. of b, as integers:
 * out[i * ldout + j], i < na, j < nb.
 */
void
graph_products(GraphSpace *space,
			   const GraphBlock *a, uint32_t ifirst, uint32_t na,
			   const GraphBlock *b, uint32_t jfirst, uint32_t nb,
			   float *out, size_t ldout)
{
	space->kernels->dot_tile_i16(space->width,
								 graph_block_row(space, a, ifirst),
								 space->stride, na,
								 graph_block_row(space, b, jfirst),
								 space->stride, nb, out, ldout);
	graph_work(space, (uint64_t) na * nb * (space->width / 2 + 16));
}

/*
 * Turn the products of row i of a block with its first n rows into squared
 * distances, never negative and never NaN, and find those below the larger of
 * limit and limits[]: hits receives their places.  Returns their number.
 */
uint32_t
graph_near(GraphSpace *space, float *row, const GraphBlock *block,
		   uint32_t i, uint32_t n, float limit, const float *limits,
		   uint32_t *hits)
{
	return space->kernels->near_i16(n, row, block->squares[i],
									block->units[i], block->squares,
									block->units, limit, limits, hits);
}

/*
 * Squared distances between rows of two blocks of the same origin, as
 * graph_products(), never negative and never NaN; 0 between equal rows.
 */
void
graph_distances(GraphSpace *space,
				const GraphBlock *a, uint32_t ifirst, uint32_t na,
				const GraphBlock *b, uint32_t jfirst, uint32_t nb,
				float *out, size_t ldout)
{
	uint32_t	i;

	graph_products(space, a, ifirst, na, b, jfirst, nb, out, ldout);
	for (i = 0; i < na; i++)
		space->kernels->distances_i16(nb, out + i * ldout,
									  a->squares[ifirst + i],
									  a->units[ifirst + i],
									  b->squares + jfirst, b->units + jfirst);
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
	float	   *row = graph_alloc(host, width, sizeof(float));
	GraphEntry	best = UINT64_MAX;
	GraphEntry *all;
	uint32_t	i = 0;
	uint32_t	end = space->n;

	mean_row(space, mean);
	graph_share(space, &i, &end);
	for (; i < end; i++)
	{
		GraphEntry	entry;

		graph_load(space, graph_row(space, i), mean, row);
		entry = graph_entry_make(space->kernels->dot(width, row, row), i);
		best = GRAPH_MIN(best, entry);
		graph_work(space, 2 * (uint64_t) width);
	}
	graph_release(host, row);
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

	memory.shared = graph_array_size(1, sizeof(GraphTeam)) +
		graph_array_size(size, width * sizeof(double));
	memory.own = sizeof(GraphRowCache) +
		width * (2 * sizeof(float) + sizeof(double));
	return memory;
}
