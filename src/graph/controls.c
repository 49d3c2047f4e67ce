/*-------------------------------------------------------------------------
 *
 * controls.c
 *	  Control nodes: how much of the true neighbourhoods the pools hold.
 *
 * The nearest neighbours of some random nodes are found by a full scan; the
 * share of them in the pools tells the phases that fill the pools when to
 * stop.
 *
 *-------------------------------------------------------------------------
 */
#include "graph_int.h"

/* Rows per step of the full scan */
#define CONTROLS_BLOCK		64

typedef struct ControlsScan
{
	float	   *origin;
	float	   *rows;			/* of the control nodes */
	float	   *block;
	GraphEntry *best;			/* 2 k per control node */
	uint32_t	nbest[GRAPH_CONTROLS];
	float		norms[GRAPH_CONTROLS];
	float		block_norms[CONTROLS_BLOCK];
	float		dist[GRAPH_CONTROLS * CONTROLS_BLOCK];
} ControlsScan;

/*
 * Compare the control nodes with the nodes first .. first + count - 1.
 */
static void
scan_block(GraphSpace *space, const GraphControls *controls,
		   ControlsScan *scan, uint32_t first, uint32_t count)
{
	uint32_t	nodes[CONTROLS_BLOCK];
	uint32_t	k = controls->k;
	uint32_t	c;
	uint32_t	j;

	for (j = 0; j < count; j++)
		nodes[j] = first + j;
	graph_gather(space, scan->origin, nodes, count,
				 scan->block, scan->block_norms);
	graph_distances(space, scan->rows, scan->norms, controls->n,
					scan->block, scan->block_norms, count,
					scan->dist, CONTROLS_BLOCK);
	for (c = 0; c < controls->n; c++)
	{
		GraphEntry *own = scan->best + (size_t) c * 2 * k;

		for (j = 0; j < count; j++)
		{
			if (first + j == controls->nodes[c])
				continue;
			if (scan->nbest[c] == 2 * k)
			{
				graph_select_smallest(own, 2 * k, k);
				scan->nbest[c] = k;
			}
			own[scan->nbest[c]++] =
				graph_entry_make(scan->dist[c * CONTROLS_BLOCK + j],
								 first + j);
		}
	}
}

/*
 * Choose control nodes and find the distance of their k-th neighbours, k at
 * most the capacity of a pool.  At least two nodes.
 */
void
graph_controls_init(GraphSpace *space, uint64_t seed, uint32_t capacity,
					GraphControls *controls)
{
	const GraphHost *host = space->host;
	uint32_t	n = space->n;
	size_t		width = space->width;
	uint32_t	k = GRAPH_MIN(GRAPH_MIN(GRAPH_CONTROL_K, capacity), n - 1);
	ControlsScan *scan = graph_alloc(host, 1, sizeof(ControlsScan));
	uint32_t	i;
	uint32_t	j;
	uint32_t	c;

	controls->n = GRAPH_MIN(GRAPH_CONTROLS, n);
	controls->k = k;
	for (c = 0; c < controls->n; c++)
	{
		controls->nodes[c] = graph_random_below(&seed, n);
		scan->nbest[c] = 0;
	}
	scan->origin = graph_alloc(host, width, sizeof(float));
	scan->rows = graph_alloc(host, GRAPH_CONTROLS * width, sizeof(float));
	scan->block = graph_alloc(host, CONTROLS_BLOCK * width, sizeof(float));
	scan->best = graph_alloc(host, (size_t) GRAPH_CONTROLS * 2 * k,
							 sizeof(GraphEntry));
	graph_load(space, graph_row(space, controls->nodes[0]), NULL,
			   scan->origin);
	graph_gather(space, scan->origin, controls->nodes, controls->n,
				 scan->rows, scan->norms);
	for (i = 0; i < n; i += CONTROLS_BLOCK)
		scan_block(space, controls, scan, i,
				   GRAPH_MIN(CONTROLS_BLOCK, n - i));
	for (c = 0; c < controls->n; c++)
	{
		GraphEntry *own = scan->best + (size_t) c * 2 * k;
		GraphEntry	last = 0;

		graph_select_smallest(own, scan->nbest[c], k);
		for (j = 0; j < k; j++)
			last = GRAPH_MAX(last, own[j]);
		controls->dist[c] = graph_entry_dist(last);
	}
	graph_release(host, scan->best);
	graph_release(host, scan->block);
	graph_release(host, scan->rows);
	graph_release(host, scan->origin);
	graph_release(host, scan);
}

/*
 * Share of the control nodes' k nearest neighbours that their pools hold.
 */
double
graph_controls_recall(const GraphControls *controls, const GraphPools *pools)
{
	uint64_t	found = 0;
	uint32_t	c;
	uint32_t	i;

	for (c = 0; c < controls->n; c++)
	{
		uint32_t	node = controls->nodes[c];
		const GraphEntry *pool = pools->entries +
		(size_t) node * pools->capacity;
		float		limit = controls->dist[c] * (1.0f + 1e-4f);

		for (i = 0; i < pools->count[node] && i < controls->k; i++)
			found += graph_entry_dist(pool[i]) <= limit;
	}
	return (double) found / ((double) controls->n * controls->k);
}

/*
 * Peak memory, in bytes.
 */
size_t
graph_controls_memory(uint32_t dim)
{
	size_t		row = (size_t) graph_align(dim) * sizeof(float);

	return (GRAPH_CONTROLS + CONTROLS_BLOCK + 1) * row +
		(size_t) GRAPH_CONTROLS * 2 * GRAPH_CONTROL_K * sizeof(GraphEntry) +
		sizeof(ControlsScan) + sizeof(GraphControls);
}
