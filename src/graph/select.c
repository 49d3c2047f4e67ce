/*-------------------------------------------------------------------------
 *
 * select.c
 *	  Adaptive neighbour selection (algorithms.md section 4.3).
 *
 * Candidate i, seen from node u past an already selected j, has the strength
 *
 *		s = (max(d_ui, d_uj)^kappa * min(d_ui, d_uj)^(1 - kappa) - tau_u)
 *			/ d_ij
 *
 * where tau_u is tau times the distance to u's nearest neighbour.  A large
 * strength means that j covers i.  With kappa 1, tau 0 and a threshold of 1
 * this is the relative neighbourhood rule, with a threshold alpha it is
 * Vamana's, with tau > 0 that of tau-MG, with kappa 1/2 the angle rule.
 *
 * The strict core is what the threshold "strict" admits, in order of
 * distance.  If it leaves room, the threshold grows in small steps, for this
 * node alone, until the node is full or the threshold reaches relaxed_max:
 * that adapts the rule to the data and to the density around each node.
 *
 * Strengths are kept squared, so that no root is taken per pair.  The largest
 * strength of each candidate is brought up to date with every selection, one
 * pass over a row of the matrix of pair distances.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "graph_int.h"

/* Growth of the threshold per step of the relaxation */
#define SELECT_STEP		1.06f

/* Least squared distance between candidates, and least reach */
#define SELECT_APART	1e-37f
#define SELECT_REACH	1e-15f

/* Rows of one block of the matrix of pairs */
#define SELECT_BLOCK	32

/* Dimensions at a time when rows are not gathered whole */
#define SELECT_SLICE	256

/*
 * Memory for selecting from ncand candidates (see graph_selection_init).
 */
size_t
graph_selection_size(uint32_t ncand)
{
	size_t		ld = graph_align(GRAPH_MAX(ncand, 1));

	return ld * ld * sizeof(float) +
		ld * (2 * sizeof(float) + sizeof(uint32_t) + sizeof(uint8_t));
}

/*
 * Divide memory (64-byte aligned) among the arrays.
 */
void
graph_selection_init(GraphSelection *sel, uint32_t ncand, void *memory)
{
	size_t		ld = graph_align(GRAPH_MAX(ncand, 1));

	sel->n = ncand;
	sel->ld = ld;
	sel->pair = memory;
	sel->dist = sel->pair + ld * ld;
	sel->strength = sel->dist + ld;
	sel->order = (uint32_t *) (sel->strength + ld);
	sel->taken = (uint8_t *) (sel->order + ld);
}

/*
 * Fill the matrix of pairs from the sel->n rows of a block: those on and above
 * the diagonal are computed, those below it copied.
 */
void
graph_selection_pairs(GraphSpace *space, GraphSelection *sel,
					  const GraphBlock *block)
{
	uint32_t	n = sel->n;
	size_t		ld = sel->ld;
	uint32_t	i;
	uint32_t	j;
	uint32_t	k;

	for (i = 0; i < n; i += SELECT_BLOCK)
	{
		uint32_t	m = GRAPH_MIN(SELECT_BLOCK, n - i);

		graph_distances(space, block, i, m, block, i, n - i,
						sel->pair + i * ld + i, ld);
		for (j = i + m; j < n; j++)
			for (k = i; k < i + m; k++)
				sel->pair[j * ld + k] = sel->pair[k * ld + j];
	}
	/* the padding takes part in the passes over rows: keep it defined */
	for (i = 0; i < n; i++)
		for (j = n; j < ld; j++)
			sel->pair[i * ld + j] = 1.0f;
	for (j = n; j < ld; j++)
		sel->dist[j] = 0.0f;
}

/*
 * Strengths past a candidate at distance dj, GRAPH_ALIGN_FLOATS at a time,
 * for kappa 1.  The loop is written for the vectorizer: constant length, no
 * branch.  The floors make candidates that are identical, even to the node,
 * cover each other.
 */
static void
raise_block(const float *restrict pair, const float *restrict dist,
			float *restrict strength, float dj, float tau)
{
	float		least = GRAPH_MAX(dj, tau * 1.001f + SELECT_REACH);
	int			k;

	for (k = 0; k < GRAPH_ALIGN_FLOATS; k++)
	{
		float		reach = (dist[k] > least ? dist[k] : least) - tau;
		float		s = reach * reach / (pair[k] + SELECT_APART);

		strength[k] = s > strength[k] ? s : strength[k];
	}
}

/*
 * The same for any kappa.
 */
static void
raise_block_kappa(const float *pair, const float *dist, float *strength,
				  float dj, float tau, float kappa)
{
	int			k;

	for (k = 0; k < GRAPH_ALIGN_FLOATS; k++)
	{
		float		larger = dist[k] > dj ? dist[k] : dj;
		float		smaller = dist[k] > dj ? dj : dist[k];
		float		reach;
		float		s;

		reach = powf(larger, kappa) * powf(smaller, 1.0f - kappa) - tau;
		reach = reach > SELECT_REACH ? reach : SELECT_REACH;
		s = reach * reach / (pair[k] + SELECT_APART);
		strength[k] = s > strength[k] ? s : strength[k];
	}
}

/*
 * Candidate j has been selected: raise the strengths of all others.
 */
static void
raise_strengths(GraphSelection *sel, uint32_t j, float kappa, float tau)
{
	const float *pair = sel->pair + j * sel->ld;
	float		dj = sel->dist[j];
	size_t		i;

	for (i = 0; i < sel->ld; i += GRAPH_ALIGN_FLOATS)
	{
		if (kappa == 1.0f)
			raise_block(pair + i, sel->dist + i, sel->strength + i, dj, tau);
		else
			raise_block_kappa(pair + i, sel->dist + i, sel->strength + i,
							  dj, tau, kappa);
	}
}

/*
 * Select at most max_degree of the candidates whose pair, dist and order are
 * filled; protect (may be NULL) marks candidates that stay whatever the rule
 * says.  chosen receives candidates, the strict core first.  Returns their
 * number.
 */
uint32_t
graph_selection_run(const GraphParams *params, GraphSelection *sel,
					const uint8_t *protect, uint32_t max_degree,
					uint32_t *chosen)
{
	float		limit = params->strict;
	float		tau = 0.0f;
	uint32_t	reserved = 0;	/* protected, not chosen yet */
	uint32_t	n = 0;
	uint32_t	k;

	memset(sel->taken, 0, sel->n);
	memset(sel->strength, 0, sel->ld * sizeof(float));
	for (k = 0; k < sel->n && tau == 0.0f; k++)
		tau = params->tau * sel->dist[sel->order[k]];
	for (k = 0; protect && k < sel->n; k++)
		reserved += protect[k] != 0;
	reserved = GRAPH_MIN(reserved, max_degree);

	/* the strict core, and what is protected */
	for (k = 0; k < sel->n && n < max_degree; k++)
	{
		uint32_t	i = sel->order[k];
		bool		keep = protect && protect[i];

		if (!keep && (n + reserved >= max_degree ||
					  sel->strength[i] > limit * limit))
			continue;
		if (keep && reserved > 0)
			reserved--;
		sel->taken[i] = true;
		chosen[n++] = i;
		raise_strengths(sel, i, params->kappa, tau);
	}

	sel->ncore = n;
	/* relax until full */
	while (n < max_degree && n < sel->n && limit < params->relaxed_max)
	{
		limit *= SELECT_STEP;
		for (k = 0; k < sel->n && n < max_degree; k++)
		{
			uint32_t	i = sel->order[k];

			if (sel->taken[i] || sel->strength[i] > limit * limit)
				continue;
			sel->taken[i] = true;
			chosen[n++] = i;
			raise_strengths(sel, i, params->kappa, tau);
		}
	}
	return n;
}

/*
 * Scratch of graph_select, in bytes: what a selection takes, a slice of the
 * candidates and a block of products.
 */
size_t
graph_select_scratch(uint32_t ncand, uint32_t max_degree)
{
	size_t		ld = graph_align(GRAPH_MAX(ncand, 1));

	(void) max_degree;
	return graph_selection_size(ncand) +
		(ld * SELECT_SLICE + SELECT_BLOCK * ld) * sizeof(float);
}

/*
 * A power of two that brings the candidates' coordinates near 1, so that
 * squares neither overflow nor vanish.
 */
static float
candidates_scale(uint32_t dim, uint32_t ncand, const float *const *vectors)
{
	float		largest = 0.0f;
	int			exponent;
	uint32_t	i;
	uint32_t	k;

	for (i = 0; i < ncand; i++)
		for (k = 0; k < dim; k++)
		{
			float		magnitude = fabsf(vectors[i][k]);

			largest = magnitude > largest ? magnitude : largest;
		}
	if (largest == 0.0f)
		return 1.0f;
	frexpf(largest, &exponent);
	exponent = GRAPH_MIN(GRAPH_MAX(-exponent, -126), 126);
	return ldexpf(1.0f, exponent);
}

/*
 * Squared distances between all candidates, scaled.  The products are summed
 * over slices of the dimensions, relative to the nearest candidate; scratch
 * holds a slice and a block of products.
 */
static void
candidates_pairs(GraphSelection *sel, uint32_t dim,
				 const float *const *vectors, float scale, float *scratch)
{
	const DistanceKernels *kernels = distance_kernels();
	float	   *slice = scratch;
	float	   *products = slice + sel->ld * SELECT_SLICE;
	uint32_t	n = sel->n;
	size_t		ld = sel->ld;
	uint32_t	from;
	uint32_t	i;
	uint32_t	j;
	uint32_t	k;

	for (i = 0; i < n; i++)
		memset(sel->pair + i * ld, 0, ld * sizeof(float));
	for (from = 0; from < dim; from += SELECT_SLICE)
	{
		uint32_t	width = GRAPH_MIN(SELECT_SLICE, dim - from);

		for (i = 0; i < n; i++)
			for (k = 0; k < width; k++)
				slice[i * SELECT_SLICE + k] = vectors[i][from + k] * scale -
					vectors[0][from + k] * scale;
		for (i = 0; i < n; i += SELECT_BLOCK)
		{
			uint32_t	m = GRAPH_MIN(SELECT_BLOCK, n - i);

			kernels->dot_tile(width, slice + i * SELECT_SLICE, SELECT_SLICE, m,
							  slice + i * SELECT_SLICE, SELECT_SLICE, n - i,
							  products, ld);
			for (j = 0; j < m; j++)
				for (k = 0; k < n - i; k++)
					sel->pair[(i + j) * ld + i + k] += products[j * ld + k];
		}
	}

	/* the diagonal holds the norms; it is read before it is overwritten */
	for (i = 0; i < n; i++)
	{
		float		norm = sel->pair[i * ld + i];

		for (j = i + 1; j < n; j++)
		{
			float		d = (norm + sel->pair[j * ld + j]) -
			2.0f * sel->pair[i * ld + j];

			sel->pair[i * ld + j] = d > 0.0f ? d : 0.0f;
			sel->pair[j * ld + i] = sel->pair[i * ld + j];
		}
		sel->pair[i * ld + i] = 0.0f;
		for (j = n; j < ld; j++)
			sel->pair[i * ld + j] = 1.0f;
	}
}

/*
 * Select for one node outside a build.  See graph.h.
 */
uint32_t
graph_select(const GraphParams *params, uint32_t dim,
			 uint32_t ncand, const float *const *vectors,
			 const float *dist, const bool *protect,
			 uint32_t *chosen, void *scratch)
{
	GraphSelection sel;
	float		scale;
	uint32_t	i;

	if (ncand == 0)
		return 0;
	graph_selection_init(&sel, ncand, scratch);
	scale = candidates_scale(dim, ncand, vectors);
	candidates_pairs(&sel, dim, vectors, scale,
					 (float *) ((char *) scratch +
								graph_selection_size(ncand)));
	for (i = 0; i < ncand; i++)
	{
		sel.dist[i] = sqrtf(dist[i]) * scale;
		sel.order[i] = i;
	}
	for (; i < sel.ld; i++)
		sel.dist[i] = 0.0f;
	return graph_selection_run(params, &sel, (const uint8_t *) protect,
							   params->max_degree, chosen);
}

/*
 * Select for one node that sees its candidates under known angles.  See
 * graph.h.  Distances are taken relative to the farthest candidate.
 */
uint32_t
graph_select_by_angle(const GraphParams *params, uint32_t ncand,
					  const float *dist, const float *cosines,
					  const bool *protect, uint32_t *chosen, void *scratch)
{
	GraphSelection sel;
	float		unit;
	uint32_t	i;
	uint32_t	j;

	if (ncand == 0)
		return 0;
	graph_selection_init(&sel, ncand, scratch);
	unit = sqrtf(dist[ncand - 1]);
	for (i = 0; i < sel.ld; i++)
		sel.dist[i] = i < ncand && unit > 0.0f ? sqrtf(dist[i]) / unit : 0.0f;
	for (i = 0; i < ncand; i++)
	{
		float	   *pair = sel.pair + i * sel.ld;
		float		di = sel.dist[i];

		sel.order[i] = i;
		for (j = 0; j < ncand; j++)
		{
			float		dj = sel.dist[j];
			float		d = di * di + dj * dj - 2.0f * di * dj * cosines[i * ncand + j];

			pair[j] = d > 0.0f ? d : 0.0f;
		}
		for (; j < sel.ld; j++)
			pair[j] = 1.0f;
	}
	return graph_selection_run(params, &sel, (const uint8_t *) protect,
							   params->max_degree, chosen);
}

/*
 * A first selection for every node from the nearest half of its pool, half
 * as many edges as the final one: it tells reverse.c where edges would lead.
 */
void
graph_select_pools(GraphSpace *space, const GraphParams *params,
				   const GraphPools *pools, GraphEdges *edges)
{
	const GraphHost *host = space->host;
	uint32_t	capacity = GRAPH_MAX(pools->capacity / 2, 1);
	uint32_t	max_degree = params->max_degree / 2;
	uint32_t   *nodes = graph_alloc(host, capacity, sizeof(uint32_t));
	uint32_t   *chosen = graph_alloc(host, max_degree, sizeof(uint32_t));
	void	   *memory = graph_alloc(host, graph_selection_size(capacity), 1);
	GraphBlock	block;
	GraphWindow window;
	GraphSelection sel;
	GraphLoop	loop;
	uint32_t	node;
	uint32_t	i;

	graph_pool_window(space, pools, &window);
	graph_block_alloc(space, &block, capacity);
	graph_begin(space, GRAPH_PHASE_SELECT, space->n);
	graph_loop_begin(space, &loop, space->n);
	while (graph_loop_next(&loop, &node))
	{
		const GraphEntry *pool = graph_pool_get(space, pools, &window, node);
		uint32_t   *ids = edges->ids + (size_t) node * edges->max_degree;
		uint32_t	n = GRAPH_MIN(pools->count[node], capacity);

		for (i = 0; i < n; i++)
			nodes[i] = graph_entry_node(pool[i]);
		graph_set_origin(space, &block, node);
		graph_gather(space, &block, nodes, n);
		graph_selection_init(&sel, n, memory);
		for (i = 0; i < n; i++)
		{
			sel.dist[i] = sqrtf(block.norms[i]);
			sel.order[i] = i;
		}
		graph_selection_pairs(space, &sel, &block);
		n = graph_selection_run(params, &sel, NULL, max_degree, chosen);
		for (i = 0; i < n; i++)
			ids[i] = nodes[chosen[i]];
		edges->degree[node] = (uint16_t) n;
		space->done++;
	}
	graph_barrier(space);
	graph_release(host, memory);
	graph_release(host, chosen);
	graph_release(host, nodes);
	graph_block_release(space, &block);
	graph_window_release(space, &window);
}

/*
 * Peak memory.
 */
GraphMemory
graph_select_memory(uint32_t dim, const GraphParams *params)
{
	uint32_t	capacity = GRAPH_MAX(params->pool_size / 2, 1);
	GraphMemory memory = {0, 0, 0};

	memory.own = graph_block_memory(dim, capacity) +
		(capacity + params->max_degree / 2) * sizeof(uint32_t) +
		graph_selection_size(capacity);
	return memory;
}
