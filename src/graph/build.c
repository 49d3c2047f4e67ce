/*-------------------------------------------------------------------------
 *
 * build.c
 *	  Building one layer: the phases in their order (algorithms.md section
 *	  5.2).
 *
 * Partitions with all pairs of their leaves, and NN-descent, fill the pools
 * of approximate neighbours (partition.c, nndescent.c).  A small selection
 * from each pool says whom a node would lead to (select.c); reversed, it says
 * from where a node is best reached, and the selection proper chooses among
 * both (reverse.c).  What is not reachable or hardly is gets repaired
 * (connect.c).  All of this is about distinct rows; equal ones are linked
 * after the selection (equal.c).
 *
 * All processes of a team run through this.  Shared are what outlives a phase
 * (rows, pools, edges) and what a phase says is; a phase ends with a barrier.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "graph_int.h"

/*
 * Partitions that fill the pools.  One costs a fraction of a round of
 * NN-descent, so they go on until they hold this share of the neighbours or
 * add little; NN-descent finds the rest.  No pool reaches across a border that
 * all of them share, and an average does not show it: hence a few always.
 */
#define BUILD_PARTITIONS	16
#define BUILD_MIN_PARTITIONS	4
#define BUILD_RECALL		0.92
#define BUILD_GAIN			0.015

/* Partitions and rounds at most, for progress */
#define BUILD_STEPS			(BUILD_PARTITIONS + 8)

/* Up to this many distinct rows all pairs are compared instead */
#define BUILD_EXACT			GRAPH_FRESH_MAX

/*
 * The measured defaults; see src/README.
 */
void
graph_params_init(GraphParams *params)
{
	params->max_degree = 64;
	params->pool_size = 96;
	params->min_in_degree = 8;
	params->seed = 1;
	params->plan = NULL;
	params->kappa = 1.0f;
	params->tau = 0.03f;
	params->strict = 1.0f;
	params->relaxed_max = 2.0f;
}

/*
 * Number the nodes in the order of a partition: nodes, a permutation, becomes
 * the identity.
 */
static void
renumber(GraphSpace *space, uint32_t *nodes, uint32_t *rows)
{
	uint32_t	first = 0;
	uint32_t	end = space->n;
	uint32_t	i;

	graph_share(space, &first, &end);
	for (i = first; i < end; i++)
		nodes[i] = rows[nodes[i]];
	graph_barrier(space);
	for (i = first; i < end; i++)
	{
		rows[i] = nodes[i];
		nodes[i] = i;
	}
	graph_barrier(space);
}

/*
 * Fill the pools of many nodes: partitions, then NN-descent.  Permutes rows.
 */
static void
build_pools(GraphSpace *space, const GraphParams *params, uint32_t *rows,
			GraphPools *pools)
{
	const GraphHost *host = space->host;
	uint32_t	n = space->n;
	uint32_t   *nodes = graph_alloc_shared(host, n, sizeof(uint32_t));
	uint32_t   *leaf_start = graph_alloc_shared(host, (size_t) n + 1,
												sizeof(uint32_t));
	GraphControls *controls = graph_alloc(host, 1, sizeof(GraphControls));
	uint64_t	random = params->seed;
	double		recall = 0.0;
	uint32_t	pass;

	for (pass = 0; pass < BUILD_PARTITIONS; pass++)
	{
		double		before = recall;
		uint32_t	nleaves;

		nleaves = graph_partition(space, graph_random(&random), nodes,
								  leaf_start);
		if (pass == 0)
		{
			renumber(space, nodes, rows);
			graph_controls_init(space, params->seed, pools->capacity,
								controls);
		}
		graph_leaf_pairs(space, nodes, leaf_start, nleaves, pools);
		recall = graph_controls_recall(controls, pools);
		if (pass + 1 >= BUILD_MIN_PARTITIONS &&
			(recall >= BUILD_RECALL || recall < before + BUILD_GAIN))
			break;
	}
	graph_release_shared(host, leaf_start);
	graph_release_shared(host, nodes);
	graph_nn_descent(space, params->seed, controls, pools);
	graph_release(host, controls);
}

/*
 * What filling the pools of n nodes counts for in progress
 */
uint64_t
graph_fill_steps(uint64_t n)
{
	return n * BUILD_STEPS;
}

/*
 * Fill the pools of few nodes by all pairs.
 */
static void
build_pools_exact(GraphSpace *space, GraphPools *pools)
{
	const GraphHost *host = space->host;
	uint32_t   *nodes = graph_alloc(host, space->n, sizeof(uint32_t));
	uint32_t	leaf_start[2];
	uint32_t	i;

	for (i = 0; i < space->n; i++)
		nodes[i] = i;
	leaf_start[0] = 0;
	leaf_start[1] = space->n;
	graph_leaf_pairs(space, nodes, leaf_start, 1, pools);
	graph_release(host, nodes);
}

/*
 * Fill empty pools in memory, of at least two nodes; of no more than "exact",
 * by all pairs.  Permutes rows, which space->rows is.
 */
void
graph_fill_pools(GraphSpace *space, const GraphParams *params, uint32_t exact,
				 uint32_t *rows, GraphPools *pools)
{
	uint32_t	i = 0;
	uint32_t	end = space->n;

	graph_share(space, &i, &end);
	memset(pools->count + i, 0, (end - i) * sizeof(uint16_t));
	graph_barrier(space);
	if (space->n > exact)
		build_pools(space, params, rows, pools);
	else
		build_pools_exact(space, pools);
}

/*
 * Translate edges between nodes into edges between rows.  Rows that are not
 * the first of their group get degree 0.  Edges without ids are in the file.
 */
static void
edges_to_rows(GraphSpace *space, uint32_t nrows, const GraphEdges *nodes,
			  void *file, GraphEdges *out)
{
	GraphWindow window;
	uint32_t	first = 0;
	uint32_t	end = nrows;
	uint32_t	node;
	uint32_t	i;

	graph_share(space, &first, &end);
	memset(out->degree + first, 0, (end - first) * sizeof(uint16_t));
	graph_barrier(space);
	first = 0;
	end = space->n;
	graph_share(space, &first, &end);
	graph_window_init(space, &window, nodes->ids ? NULL : file,
					  nodes->max_degree * sizeof(uint32_t), space->n);
	for (node = first; node < end; node++)
	{
		const uint32_t *from = nodes->ids ?
		nodes->ids + (size_t) node * nodes->max_degree :
		graph_window_get(space, &window, node);
		uint32_t	row = space->rows[node];
		uint32_t   *to = out->ids + (size_t) row * out->max_degree;

		out->degree[row] = nodes->degree[node];
		for (i = 0; i < nodes->degree[node]; i++)
			to[i] = space->rows[from[i]];
		graph_work(space, 4 * out->max_degree);
	}
	graph_barrier(space);
	graph_window_release(space, &window);
}

/*
 * Edges from full pools: two selections.  edges serves for the first, second
 * for the other.
 */
static void
select_edges(GraphSpace *space, const GraphParams *params, uint32_t nrows,
			 const GraphPools *pools, GraphEdges *second, void *file,
			 GraphEdges *edges)
{
	const GraphHost *host = space->host;
	uint32_t   *far;

	graph_select_pools(space, params, pools, edges);
	far = graph_alloc_shared(host, (size_t) space->n * GRAPH_FAR,
							 sizeof(uint32_t));
	graph_far_candidates(space, params->seed, far);
	graph_reselect(space, params, pools, far, edges, second, file);
	graph_release_shared(host, far);
	edges_to_rows(space, nrows, second, file, edges);
}

/*
 * Neighbours and edges of the distinct rows: space->rows, which this
 * permutes, is rows.
 */
static void
build_in_memory(GraphSpace *space, const GraphParams *params, uint32_t nrows,
				uint32_t *rows, GraphEdges *edges)
{
	const GraphHost *host = space->host;
	uint32_t	n = space->n;
	GraphPools	pools = {0};
	GraphEdges	second;

	pools.capacity = GRAPH_MIN(params->pool_size, n - 1);
	pools.entries = graph_alloc_shared(host, (size_t) n * pools.capacity,
									   sizeof(GraphEntry));
	pools.count = graph_alloc_shared(host, n, sizeof(uint16_t));
	graph_begin(space, GRAPH_PHASE_NEIGHBOURS, graph_fill_steps(n));
	graph_fill_pools(space, params, BUILD_EXACT, rows, &pools);
	second.max_degree = params->max_degree;
	second.ids = graph_alloc_shared(host, (size_t) n * second.max_degree,
									sizeof(uint32_t));
	second.degree = graph_alloc_shared(host, n, sizeof(uint16_t));
	select_edges(space, params, nrows, &pools, &second, NULL, edges);
	graph_release_shared(host, second.degree);
	graph_release_shared(host, second.ids);
	graph_release_shared(host, pools.count);
	graph_release_shared(host, pools.entries);
}

/*
 * Allocate the edges, where that has been left to us.
 */
static void
allocate_edges(GraphSpace *space, uint32_t nrows, GraphEdges *edges)
{
	if (edges->ids == NULL)
		edges->ids = graph_alloc_shared(space->host,
										(size_t) nrows * edges->max_degree,
										sizeof(uint32_t));
}

/*
 * The same with pools and second edges in files.
 */
static void
build_out_of_core(GraphSpace *space, const GraphParams *params,
				  uint32_t nrows, GraphEdges *edges)
{
	const GraphHost *host = space->host;
	uint32_t	n = space->n;
	uint64_t	bytes = (uint64_t) n * params->max_degree * sizeof(uint32_t);
	GraphPools	pools = {0};
	GraphEdges	second = {0};
	void	   *file;

	pools.capacity = GRAPH_MIN(params->pool_size, n - 1);
	pools.count = graph_alloc_shared(host, n, sizeof(uint16_t));
	graph_fill_pools_by_parts(space, params, &pools);
	allocate_edges(space, nrows, edges);
	second.max_degree = params->max_degree;
	second.degree = graph_alloc_shared(host, n, sizeof(uint16_t));
	file = host->file_create(host->arg, bytes);
	select_edges(space, params, nrows, &pools, &second, file, edges);
	host->file_close(host->arg, file);
	graph_release_shared(host, second.degree);
	host->file_close(host->arg, pools.file);
	graph_release_shared(host, pools.count);
}

/*
 * Bring parameters within bounds.
 */
void
graph_limit_params(GraphParams *params)
{
	params->pool_size = GRAPH_MAX(params->pool_size, 8);
	params->pool_size = GRAPH_MIN(params->pool_size, 1024);
}

/*
 * See graph.h.
 */
void
graph_build_layer(const GraphVectors *vectors, const GraphParams *given,
				  const GraphHost *host, GraphEdges *edges, uint32_t *entry)
{
	GraphParams params = *given;
	GraphSpace	space;
	uint32_t	nrows = vectors->n;
	uint32_t   *rows;
	uint32_t   *next_equal;

	params.max_degree = GRAPH_MIN(params.max_degree, edges->max_degree);
	graph_limit_params(&params);
	graph_space_init(&space, vectors, host);
	*entry = graph_central_node(&space);
	if (host->rank == 0)
		memset(edges->degree, 0, nrows * sizeof(uint16_t));

	rows = graph_alloc_shared(host, nrows, sizeof(uint32_t));
	next_equal = graph_alloc_shared(host, nrows, sizeof(uint32_t));
	space.n = graph_distinct_rows(&space, rows, next_equal);
	space.rows = rows;
	if (space.n > 1 && params.plan)
		build_out_of_core(&space, &params, nrows, edges);
	else if (space.n > 1)
		build_in_memory(&space, &params, nrows, rows, edges);
	allocate_edges(&space, nrows, edges);
	graph_begin(&space, GRAPH_PHASE_CONNECT, 2 * (uint64_t) nrows);
	if (space.n < nrows)
		graph_link_equal_rows(&space, nrows, params.max_degree, next_equal,
							  edges);
	space.rows = NULL;
	space.n = nrows;
	graph_connect(&space, &params, *entry, edges);
	graph_release_shared(host, next_equal);
	graph_release_shared(host, rows);
	graph_space_end(&space);
}

/*
 * See graph.h.
 */
uint32_t
graph_central_row(const GraphVectors *vectors, const GraphHost *host)
{
	GraphSpace	space;
	uint32_t	node;

	graph_space_init(&space, vectors, host);
	node = graph_central_node(&space);
	graph_space_end(&space);
	return node;
}

/*
 * The peaks.  Rows and groups live throughout; pools and second edges until
 * they are translated; each phase adds its own.
 */
static GraphMemory
build_memory(uint32_t n, uint32_t dim, const GraphParams *given,
			 uint32_t size)
{
	GraphParams params = *given;
	GraphMemory space = graph_space_memory(dim, size);
	GraphMemory peak = {0, 0, 0};
	size_t		held;

	graph_limit_params(&params);
	graph_count_phase(&peak, 0, space);
	/* the room for the means serves all small exchanges */
	held = space.shared;
	held += 2 * graph_array_size(n, sizeof(uint32_t));
	graph_count_phase(&peak, held, graph_equal_memory(n, dim));
	graph_count_phase(&peak, held, graph_connect_memory(n, dim));
	held += graph_array_size((size_t) n * params.pool_size,
							 sizeof(GraphEntry)) +
		graph_array_size(n, sizeof(uint16_t));
	graph_count_phase(&peak, held, graph_fill_memory(n, BUILD_EXACT, dim, size));
	graph_count_phase(&peak, held, graph_select_memory(dim, &params));
	held += graph_array_size((size_t) n * params.max_degree,
							 sizeof(uint32_t)) +
		graph_array_size(n, sizeof(uint16_t)) +
		graph_array_size((size_t) n * GRAPH_FAR, sizeof(uint32_t));
	graph_count_phase(&peak, held, graph_far_memory(n, dim));
	graph_count_phase(&peak, held, graph_reselect_memory(n, dim, &params));
	return peak;
}

/*
 * Peak memory of filling pools of n nodes, beyond the pools.
 */
GraphMemory
graph_fill_memory(uint32_t n, uint32_t exact, uint32_t dim, uint32_t size)
{
	size_t		nodes = 2 * graph_array_size((size_t) n + 1, sizeof(uint32_t));
	GraphMemory peak = {0, 0, 0};

	graph_count_phase(&peak, nodes, graph_controls_memory(dim, size));
	graph_count_phase(&peak, nodes, graph_partition_memory(n, dim, size));
	graph_count_phase(&peak, nodes,
					  graph_leaf_memory(GRAPH_MIN(n, exact), dim));
	graph_count_phase(&peak, 0, graph_nn_descent_memory(n, dim, size));
	return peak;
}

/*
 * See graph.h.
 */
size_t
graph_build_memory(uint32_t n, uint32_t dim, const GraphParams *params,
				   uint32_t size)
{
	return graph_all_memory(build_memory(n, dim, params, size), size);
}

/*
 * See graph.h.
 */
size_t
graph_build_shared_memory(uint32_t n, uint32_t dim, const GraphParams *params,
						  uint32_t size)
{
	return build_memory(n, dim, params, size).shared;
}
