/*-------------------------------------------------------------------------
 *
 * connect.c
 *	  Every node reachable from the entry, and a floor under the in-degree.
 *
 * A breadth-first search from the entry builds a tree.  A node it does not
 * reach is linked from a reached node near to it, found among its own
 * neighbours or by a best-first search from the entry, and the search goes on
 * from there.  Then nodes with few incoming edges get more from their
 * neighbourhood (algorithms.md section 4.4).
 *
 * A new edge takes a free slot, or else the slot of the weakest edge that is
 * neither in the tree nor one its target cannot spare.  So no repair undoes
 * another: what is reached stays reached, and no in-degree falls below the
 * floor that was not below it before.
 *
 * One repair depends on those before it, and there is little to do: this is
 * for one process.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "graph_int.h"

/* List of the best-first search for a place to link from */
#define CONNECT_LIST		48

typedef struct Connect
{
	GraphSpace *space;
	GraphEdges *edges;
	uint32_t	entry;
	uint32_t	limit;			/* largest degree */
	uint32_t	floor;
	uint32_t   *in_degree;
	uint32_t   *parent;			/* in the tree; GRAPH_NO_NODE: not reached */
	uint32_t   *queue;
	uint32_t	head;
	uint32_t	tail;
	uint32_t   *seen;			/* stamp of the search that saw the node */
	uint32_t	stamp;
	uint32_t	cursor;			/* of the scan of last resort */
	float	   *origin;
	float	   *row;
	GraphEntry	found[CONNECT_LIST];
	uint32_t	nfound;
} Connect;

static inline uint32_t *
edges_of(const Connect *st, uint32_t node)
{
	return st->edges->ids + (size_t) node * st->edges->max_degree;
}

/*
 * Is there an edge from -> to?
 */
static bool
has_edge(const Connect *st, uint32_t from, uint32_t to)
{
	const uint32_t *ids = edges_of(st, from);
	uint32_t	i;

	for (i = 0; i < st->edges->degree[from]; i++)
		if (ids[i] == to)
			return true;
	return false;
}

/*
 * Make an edge from -> to if a slot is free or can be freed; spare is the
 * in-degree that the target of a replaced edge must exceed.  False if there
 * is no such slot or the edge exists.
 */
static bool
link_nodes(Connect *st, uint32_t from, uint32_t to, uint32_t spare)
{
	uint32_t   *ids = edges_of(st, from);
	uint32_t	degree = st->edges->degree[from];
	uint32_t	i;

	if (from == to || has_edge(st, from, to))
		return false;
	if (degree < st->limit)
	{
		ids[degree] = to;
		st->edges->degree[from]++;
		st->in_degree[to]++;
		return true;
	}
	for (i = degree; i-- > 0;)
	{
		uint32_t	target = ids[i];

		if (st->parent[target] == from || st->in_degree[target] <= spare)
			continue;
		st->in_degree[target]--;
		st->in_degree[to]++;
		ids[i] = to;
		return true;
	}
	return false;
}

/*
 * Continue the breadth-first search until its queue is empty.
 */
static void
run_queue(Connect *st)
{
	while (st->head < st->tail)
	{
		uint32_t	node = st->queue[st->head++];
		const uint32_t *ids = edges_of(st, node);
		uint32_t	i;

		for (i = 0; i < st->edges->degree[node]; i++)
			if (st->parent[ids[i]] == GRAPH_NO_NODE)
			{
				st->parent[ids[i]] = node;
				st->queue[st->tail++] = ids[i];
			}
		graph_work(st->space, 4 * st->edges->max_degree);
	}
}

static void
reach(Connect *st, uint32_t from, uint32_t node)
{
	st->parent[node] = from;
	st->queue[st->tail++] = node;
	run_queue(st);
}

/* Squared distance of a node to the loaded origin */
static float
distance_to_origin(Connect *st, uint32_t node)
{
	const GraphSpace *space = st->space;

	graph_load(space, graph_row(space, node), NULL, st->row);
	graph_work(st->space, space->width);
	return space->kernels->l2_squared(space->width, st->origin, st->row);
}

/* Insert into the sorted list of the best found */
static void
found_insert(Connect *st, GraphEntry entry)
{
	uint32_t	i = st->nfound;

	if (i == CONNECT_LIST)
	{
		if ((entry >> 32) >= (st->found[i - 1] >> 32))
			return;
		i--;
	}
	else
		st->nfound++;
	for (; i > 0 && (st->found[i - 1] >> 32) > (entry >> 32); i--)
		st->found[i] = st->found[i - 1];
	st->found[i] = entry;
}

/*
 * Best-first search for a node from the entry: fills found with reached nodes
 * by increasing distance.
 */
static void
search_near(Connect *st, uint32_t node)
{
	uint32_t	next;
	uint32_t	i;

	if (++st->stamp == 0)
	{
		memset(st->seen, 0, st->space->n * sizeof(uint32_t));
		st->stamp = 1;
	}
	graph_load(st->space, graph_row(st->space, node), NULL, st->origin);
	st->nfound = 0;
	st->seen[node] = st->stamp;
	st->seen[st->entry] = st->stamp;
	if (node != st->entry)
		found_insert(st, graph_entry_make(distance_to_origin(st, st->entry),
										  st->entry) | GRAPH_NEW_FLAG);
	for (next = 0; next < st->nfound;)
	{
		uint32_t	from = graph_entry_node(st->found[next]);
		const uint32_t *ids = edges_of(st, from);

		st->found[next] &= ~GRAPH_NEW_FLAG;
		for (i = 0; i < st->edges->degree[from]; i++)
		{
			uint32_t	to = ids[i];

			if (st->seen[to] == st->stamp)
				continue;
			st->seen[to] = st->stamp;
			found_insert(st, graph_entry_make(distance_to_origin(st, to), to) |
						 GRAPH_NEW_FLAG);
		}
		for (next = 0; next < st->nfound; next++)
			if (st->found[next] & GRAPH_NEW_FLAG)
				break;
	}
}

/*
 * The scan of last resort: link to the node from any reached node that can
 * spare a slot.  Returns that node, or GRAPH_NO_NODE.
 */
static uint32_t
link_from_anywhere(Connect *st, uint32_t node, uint32_t spare)
{
	uint32_t	n = st->space->n;
	uint32_t	i;

	for (i = 0; i < n; i++)
	{
		uint32_t	from = st->cursor;

		if (st->parent[from] != GRAPH_NO_NODE &&
			link_nodes(st, from, node, spare))
			return from;
		st->cursor = from + 1 < n ? from + 1 : 0;
		graph_work(st->space, 4 * st->edges->max_degree);
	}
	return GRAPH_NO_NODE;
}

/*
 * Link an unreached node from a reached one and go on from it.
 */
static void
repair_unreached(Connect *st, uint32_t node)
{
	const uint32_t *ids = edges_of(st, node);
	uint32_t	from;
	uint32_t	i;

	for (i = 0; i < st->edges->degree[node]; i++)
		if (st->parent[ids[i]] != GRAPH_NO_NODE &&
			link_nodes(st, ids[i], node, st->floor))
		{
			reach(st, ids[i], node);
			return;
		}
	search_near(st, node);
	for (i = 0; i < st->nfound; i++)
	{
		from = graph_entry_node(st->found[i]);
		if (link_nodes(st, from, node, st->floor))
		{
			reach(st, from, node);
			return;
		}
	}
	from = link_from_anywhere(st, node, st->floor);
	if (from == GRAPH_NO_NODE)
		from = link_from_anywhere(st, node, 0);
	/* a tree has fewer edges than slots: there always is one */
	if (from != GRAPH_NO_NODE)
		reach(st, from, node);
}

/*
 * Give a node incoming edges up to the floor: from its own neighbours, then
 * from what a search finds near it, then from anywhere.
 */
static void
repair_in_degree(Connect *st, uint32_t node)
{
	const uint32_t *ids = edges_of(st, node);
	uint32_t	i;

	for (i = 0; i < st->edges->degree[node] &&
		 st->in_degree[node] < st->floor; i++)
		link_nodes(st, ids[i], node, st->floor);
	if (st->in_degree[node] < st->floor)
	{
		search_near(st, node);
		for (i = 0; i < st->nfound && st->in_degree[node] < st->floor; i++)
			link_nodes(st, graph_entry_node(st->found[i]), node, st->floor);
	}
	while (st->in_degree[node] < st->floor &&
		   link_from_anywhere(st, node, st->floor) != GRAPH_NO_NODE)
		;
}

/*
 * Reach all nodes, then see to the in-degrees.
 */
static void
repair(Connect *st)
{
	GraphSpace *space = st->space;
	GraphEdges *edges = st->edges;
	uint32_t	n = space->n;
	uint32_t	node;
	uint32_t	i;

	memset(st->in_degree, 0, n * sizeof(uint32_t));
	memset(st->parent, 0xff, n * sizeof(uint32_t));
	memset(st->seen, 0, n * sizeof(uint32_t));
	for (node = 0; node < n; node++)
	{
		for (i = 0; i < edges->degree[node]; i++)
			st->in_degree[edges_of(st, node)[i]]++;
		graph_work(space, 4 * edges->max_degree);
	}

	reach(st, st->entry, st->entry);
	for (node = 0; node < n; node++)
	{
		if (st->parent[node] == GRAPH_NO_NODE)
			repair_unreached(st, node);
		space->done++;
	}
	for (node = 0; node < n; node++)
	{
		if (st->in_degree[node] < st->floor)
			repair_in_degree(st, node);
		space->done++;
	}
}

/*
 * Repair the edges in place: afterwards every node is reachable from the
 * entry, and has at least min(min_in_degree, n - 1) incoming edges where the
 * edges suffice.
 */
void
graph_connect(GraphSpace *space, const GraphParams *params,
			  uint32_t entry, GraphEdges *edges)
{
	const GraphHost *host = space->host;
	uint32_t	n = space->n;
	Connect    *st = graph_alloc(host, 1, sizeof(Connect));

	memset(st, 0, sizeof(Connect));
	st->space = space;
	st->edges = edges;
	st->entry = entry;
	st->limit = params->max_degree;
	st->floor = GRAPH_MIN(params->min_in_degree, n - 1);
	st->in_degree = graph_alloc_shared(host, n, sizeof(uint32_t));
	st->parent = graph_alloc_shared(host, n, sizeof(uint32_t));
	st->queue = graph_alloc_shared(host, n, sizeof(uint32_t));
	st->seen = graph_alloc_shared(host, n, sizeof(uint32_t));
	st->origin = graph_alloc(host, space->width, sizeof(float));
	st->row = graph_alloc(host, space->width, sizeof(float));
	if (host->rank == 0)
		repair(st);
	graph_barrier(space);
	graph_release(host, st->row);
	graph_release(host, st->origin);
	graph_release_shared(host, st->seen);
	graph_release_shared(host, st->queue);
	graph_release_shared(host, st->parent);
	graph_release_shared(host, st->in_degree);
	graph_release(host, st);
}

/*
 * Peak memory.
 */
GraphMemory
graph_connect_memory(uint32_t n, uint32_t dim)
{
	GraphMemory memory = {0, 0, 0};

	memory.shared = 4 * graph_array_size(n, sizeof(uint32_t));
	memory.own = 2 * graph_align(dim) * sizeof(float) + sizeof(Connect);
	return memory;
}
