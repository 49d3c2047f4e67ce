/*-------------------------------------------------------------------------
 *
 * build.c
 *	  Building one layer: the phases in their order (algorithms.md section
 *	  5.2), and rows that are equal.
 *
 * Equal rows would fill each other's pools and leave no way out, and many of
 * them would cost a quadratic number of pairs.  The graph is therefore built
 * over distinct rows; the others join afterwards, each linked with its group
 * along a ring and a binary tree and outward like the first of the group.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "graph_int.h"

/* Partitions that seed the pools */
#define BUILD_PARTITIONS	2

/* Up to this many distinct rows all pairs are compared instead */
#define BUILD_EXACT			GRAPH_FRESH_MAX

/* Neighbours on each side along the ring of a group of equal rows */
#define BUILD_RING			3

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
	params->kappa = 1.0f;
	params->tau = 0.03f;
	params->strict = 1.0f;
	params->relaxed_max = 2.0f;
}

/*
 * Fill the pools with approximate nearest neighbours and number the nodes by
 * locality: rows[] is permuted.
 */
static void
build_pools(GraphSpace *space, const GraphParams *params, uint32_t *rows,
			GraphPools *pools)
{
	const GraphHost *host = space->host;
	uint32_t	n = space->n;
	uint32_t   *nodes = graph_alloc(host, n, sizeof(uint32_t));
	uint32_t   *leaf_start = graph_alloc(host, (size_t) n + 1,
										 sizeof(uint32_t));
	uint32_t	pass;
	uint32_t	i;

	graph_begin(space, GRAPH_PHASE_NEIGHBOURS,
				(uint64_t) n * (BUILD_PARTITIONS + 4));
	memset(pools->count, 0, n * sizeof(uint16_t));
	for (pass = 0; pass < BUILD_PARTITIONS; pass++)
	{
		uint32_t	nleaves = 1;

		for (i = 0; i < n; i++)
			nodes[i] = i;
		leaf_start[0] = 0;
		leaf_start[1] = n;
		if (n > BUILD_EXACT)
			nleaves = graph_partition(space, params->seed * 16 + pass,
									  nodes, leaf_start);
		if (pass == 0 && n > BUILD_EXACT)
		{
			/* from here on the nodes have the order of this partition */
			for (i = 0; i < n; i++)
				nodes[i] = rows[nodes[i]];
			memcpy(rows, nodes, n * sizeof(uint32_t));
			for (i = 0; i < n; i++)
				nodes[i] = i;
		}
		graph_leaf_pairs(space, nodes, leaf_start, nleaves, pools);
		if (n <= BUILD_EXACT)
			break;
	}
	graph_release(host, leaf_start);
	graph_release(host, nodes);
	if (n > BUILD_EXACT)
		graph_nn_descent(space, params->seed, pools);
}

/*
 * Translate edges between nodes into edges between rows.  Rows that are not
 * the first of their group get degree 0.
 */
static void
edges_to_rows(const GraphSpace *space, uint32_t nrows,
			  const GraphEdges *nodes, GraphEdges *out)
{
	uint32_t	node;
	uint32_t	i;

	memset(out->degree, 0, nrows * sizeof(uint16_t));
	for (node = 0; node < space->n; node++)
	{
		const uint32_t *from = nodes->ids + (size_t) node * nodes->max_degree;
		uint32_t	row = space->rows[node];
		uint32_t   *to = out->ids + (size_t) row * out->max_degree;

		out->degree[row] = nodes->degree[node];
		for (i = 0; i < nodes->degree[node]; i++)
			to[i] = space->rows[from[i]];
	}
}

/* Append an edge unless it is there, points back or finds no slot. */
static void
append_edge(uint32_t *ids, uint16_t *degree, uint32_t limit,
			uint32_t from, uint32_t to)
{
	uint32_t	i;

	if (from == to || *degree >= limit)
		return;
	for (i = 0; i < *degree; i++)
		if (ids[i] == to)
			return;
	ids[(*degree)++] = to;
}

/*
 * Link the rows of one group, whose first row has its edges: members is room
 * for the group.
 */
static void
link_equal_rows(GraphEdges *edges, uint32_t max_degree, uint32_t first,
				const uint32_t *members, uint32_t n)
{
	const uint32_t *outward = edges->ids + (size_t) first * edges->max_degree;
	uint16_t	noutward = edges->degree[first];
	uint32_t	saved[256];
	uint32_t	i;
	uint32_t	k;

	memcpy(saved, outward, noutward * sizeof(uint32_t));
	for (i = 0; i < n; i++)
	{
		uint32_t	row = members[i];
		uint32_t   *ids = edges->ids + (size_t) row * edges->max_degree;
		uint16_t   *degree = &edges->degree[row];

		*degree = 0;
		for (k = 1; k <= BUILD_RING; k++)
		{
			append_edge(ids, degree, max_degree, row, members[(i + k) % n]);
			append_edge(ids, degree, max_degree, row,
						members[(i + n - k % n) % n]);
		}
		for (k = 2 * i + 1; k <= 2 * i + 2 && k < n; k++)
			append_edge(ids, degree, max_degree, row, members[k]);
		if (i > 0)
			append_edge(ids, degree, max_degree, row, members[(i - 1) / 2]);
		for (k = 0; k < noutward; k++)
			append_edge(ids, degree, max_degree, row, saved[k]);
	}
}

static void
link_all_equal_rows(const GraphSpace *space, uint32_t nrows,
					uint32_t max_degree, const uint32_t *next_equal,
					GraphEdges *edges)
{
	uint32_t   *members = graph_alloc(space->host, nrows, sizeof(uint32_t));
	uint32_t	node;

	for (node = 0; node < space->n; node++)
	{
		uint32_t	first = space->rows[node];
		uint32_t	row;
		uint32_t	n = 0;

		for (row = first; row != GRAPH_NO_NODE; row = next_equal[row])
			members[n++] = row;
		if (n > 1)
			link_equal_rows(edges, max_degree, first, members, n);
	}
	graph_release(space->host, members);
}

/*
 * Neighbours and edges of the distinct rows: space->rows, which this
 * permutes, is rows.
 */
static void
build_distinct(GraphSpace *space, const GraphParams *params, uint32_t nrows,
			   uint32_t *rows, GraphEdges *edges)
{
	const GraphHost *host = space->host;
	uint32_t	n = space->n;
	GraphPools	pools;
	GraphEdges	first;
	GraphEdges	second;

	pools.capacity = GRAPH_MIN(params->pool_size, n - 1);
	pools.entries = graph_alloc(host, (size_t) n * pools.capacity,
								sizeof(GraphEntry));
	pools.count = graph_alloc(host, n, sizeof(uint16_t));
	build_pools(space, params, rows, &pools);

	/* the caller's array serves for the first selection */
	first = *edges;
	second.max_degree = params->max_degree;
	graph_select_pools(space, params, &pools, &first);
	second.ids = graph_alloc(host, (size_t) n * second.max_degree,
							 sizeof(uint32_t));
	second.degree = graph_alloc(host, n, sizeof(uint16_t));
	graph_reselect(space, params, &pools, &first, &second);
	graph_release(host, pools.count);
	graph_release(host, pools.entries);
	edges_to_rows(space, nrows, &second, edges);
	graph_release(host, second.degree);
	graph_release(host, second.ids);
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
	GraphEdges	limited = *edges;
	uint32_t	nrows = vectors->n;
	uint32_t   *rows;
	uint32_t   *next_equal;

	params.max_degree = GRAPH_MIN(params.max_degree, edges->max_degree);
	params.pool_size = GRAPH_MAX(params.pool_size, 8);
	params.pool_size = GRAPH_MIN(params.pool_size, 1024);
	graph_space_init(&space, vectors, host);
	*entry = graph_central_node(&space);
	memset(edges->degree, 0, nrows * sizeof(uint16_t));
	if (nrows == 1)
		return;

	rows = graph_alloc(host, nrows, sizeof(uint32_t));
	next_equal = graph_alloc(host, nrows, sizeof(uint32_t));
	space.n = graph_distinct_rows(&space, rows, next_equal);
	space.rows = rows;
	if (space.n > 1)
		build_distinct(&space, &params, nrows, rows, edges);
	if (space.n < nrows)
		link_all_equal_rows(&space, nrows, params.max_degree, next_equal,
							&limited);
	graph_release(host, next_equal);

	space.rows = NULL;
	space.n = nrows;
	graph_connect(&space, &params, *entry, &limited);
	graph_release(host, rows);
}

/*
 * See graph.h.
 */
uint32_t
graph_central_row(const GraphVectors *vectors, const GraphHost *host)
{
	GraphSpace	space;

	graph_space_init(&space, vectors, host);
	return graph_central_node(&space);
}

/*
 * See graph.h.  Rows and groups live throughout; the pools until the
 * re-selection; each phase adds its own.
 */
size_t
graph_build_memory(uint32_t n, uint32_t dim, const GraphParams *params)
{
	size_t		pools = (size_t) n * (params->pool_size * sizeof(GraphEntry) +
									  sizeof(uint16_t));
	size_t		neighbours = GRAPH_MAX(graph_partition_memory(n, dim) +
									   (size_t) n * 2 * sizeof(uint32_t),
									   graph_nn_descent_memory(n, dim));
	size_t		reselect = graph_reselect_memory(n, dim, params);
	size_t		connect = (size_t) n * 5 * sizeof(uint32_t);
	size_t		equal = (size_t) n * 4 * sizeof(uint64_t);

	return (size_t) n * 2 * sizeof(uint32_t) + 1024 * 1024 +
		GRAPH_MAX(GRAPH_MAX(pools + GRAPH_MAX(neighbours, reselect), connect),
				  equal);
}
