/*-------------------------------------------------------------------------
 *
 * controls.c
 *	  Control nodes: how much of the true neighbourhoods the pools hold.
 *
 * The nearest neighbours of some random nodes are found by a full scan, which
 * the processes of a team divide; the share of them in the pools tells the
 * phases that fill the pools when to stop.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "graph_int.h"

/* What distances of two blocks may differ by, see space.c */
#define CONTROLS_ERROR		1e-3f

/* Rows per step of the full scan */
#define CONTROLS_BLOCK		64

typedef struct ControlsScan
{
	GraphBlock	rows;			/* of the control nodes */
	GraphBlock	block;
	GraphEntry *best;			/* 2 k per control node */
	uint32_t	nbest[GRAPH_CONTROLS];
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
	graph_gather(space, &scan->block, nodes, count);
	graph_distances(space, &scan->rows, 0, controls->n,
					&scan->block, 0, count, scan->dist, CONTROLS_BLOCK);
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
 * The distance of the k-th neighbours, from the k nearest that each process
 * has seen.
 */
static void
unite_scans(GraphSpace *space, GraphControls *controls, ControlsScan *scan)
{
	uint32_t	size = space->host->size;
	uint32_t	k = controls->k;
	GraphEntry *united = graph_alloc(space->host, (size_t) size * k,
									 sizeof(GraphEntry));
	GraphEntry *all;
	uint32_t	c;
	uint32_t	i;
	uint32_t	j;

	for (c = 0; c < controls->n; c++)
	{
		GraphEntry *own = scan->best + (size_t) c * 2 * k;

		graph_select_smallest(own, scan->nbest[c], k);
		/* one's share may have fewer rows */
		for (j = scan->nbest[c]; j < k; j++)
			own[j] = UINT64_MAX;
		memmove(scan->best + (size_t) c * k, own, k * sizeof(GraphEntry));
	}
	all = graph_exchange(space, scan->best,
						 (size_t) controls->n * k * sizeof(GraphEntry));
	for (c = 0; c < controls->n; c++)
	{
		GraphEntry	last = 0;

		for (i = 0; i < size; i++)
			memcpy(united + (size_t) i * k,
				   all + ((size_t) i * controls->n + c) * k,
				   k * sizeof(GraphEntry));
		graph_select_smallest(united, size * k, k);
		for (j = 0; j < k; j++)
			last = GRAPH_MAX(last, united[j]);
		controls->dist[c] = graph_entry_dist(last);
	}
	graph_exchange_end(space, all);
	graph_release(space->host, united);
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
	uint32_t	k = GRAPH_MIN(GRAPH_MIN(GRAPH_CONTROL_K, capacity), n - 1);
	ControlsScan *scan = graph_alloc(host, 1, sizeof(ControlsScan));
	uint32_t	i = 0;
	uint32_t	end = n;
	uint32_t	c;

	controls->n = GRAPH_MIN(GRAPH_CONTROLS, n);
	controls->k = k;
	for (c = 0; c < controls->n; c++)
	{
		controls->nodes[c] = graph_random_below(&seed, n);
		scan->nbest[c] = 0;
	}
	graph_block_alloc(space, &scan->rows, GRAPH_CONTROLS);
	graph_block_alloc(space, &scan->block, CONTROLS_BLOCK);
	scan->block.origin = scan->rows.origin;
	scan->best = graph_alloc(host, (size_t) GRAPH_CONTROLS * 2 * k,
							 sizeof(GraphEntry));
	graph_set_origin(space, &scan->rows, controls->nodes[0]);
	graph_gather(space, &scan->rows, controls->nodes, controls->n);
	graph_share(space, &i, &end);
	for (; i < end; i += CONTROLS_BLOCK)
		scan_block(space, controls, scan, i,
				   GRAPH_MIN(CONTROLS_BLOCK, end - i));
	unite_scans(space, controls, scan);
	graph_release(host, scan->best);
	graph_block_release(space, &scan->block);
	graph_block_release(space, &scan->rows);
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
		float		limit = controls->dist[c] * (1.0f + CONTROLS_ERROR);

		for (i = 0; i < pools->count[node] && i < controls->k; i++)
			found += graph_entry_dist(pool[i]) <= limit;
	}
	return (double) found / ((double) controls->n * controls->k);
}

/*
 * Peak memory.
 */
GraphMemory
graph_controls_memory(uint32_t dim, uint32_t size)
{
	size_t		nearest = GRAPH_CONTROL_K * sizeof(GraphEntry);
	GraphMemory memory = {0, 0, 0};

	memory.shared = graph_array_size((size_t) size * GRAPH_CONTROLS, nearest);
	memory.own = graph_block_memory(dim, GRAPH_CONTROLS) +
		graph_block_memory(dim, CONTROLS_BLOCK) +
		(GRAPH_CONTROLS * 2 + size) * nearest +
		sizeof(ControlsScan) + sizeof(GraphControls);
	return memory;
}
