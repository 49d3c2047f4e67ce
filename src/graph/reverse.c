/*-------------------------------------------------------------------------
 *
 * reverse.c
 *	  Reverse edges and re-selection.
 *
 * A node that many others selected should lead back to some of them.  The
 * edges of the first selection are reversed by counting sort, one range of
 * targets after another so that memory stays bounded, and each node selects
 * again from its edges, the nodes that selected it, candidates for long edges
 * (far.c) and the rest of its pool.
 *
 * In a team every process collects the reverse edges of its share of a range,
 * for which it looks at the edges of all nodes; after a barrier the nodes of
 * the range are claimed.
 *
 * A relaxed edge u -> i is redundant if a selected j leads to i indeed (i is
 * among the first selection of j) and j is nearer to i than u is: the detour
 * exists (CAGRA's test).  Redundant edges go last, where those are taken from
 * that must make room.  Dropping them at once for the next candidates in line
 * cost 15% more hops at 64 edges and gained nothing at 32.
 *
 * Edges to nodes that hardly any other node selected are protected: they keep
 * the in-degree.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "graph_int.h"

/* A range of targets has this part of the nodes, and of edges, at most */
#define RESELECT_RANGES		8

typedef struct Reselect
{
	GraphSpace *space;
	const GraphParams *params;
	const GraphPools *pools;
	const uint32_t *far;		/* n x GRAPH_FAR */
	const GraphEdges *before;
	GraphEdges *after;
	GraphWindow pool;			/* if pools are in a file */
	GraphWindow out;			/* if after shall be in a file */
	uint32_t   *in_degree;		/* shared, as the next two */
	uint32_t   *start;			/* of reverse edges, per target of a range */
	uint32_t   *reverse;
	uint32_t	limit;			/* candidates per node */
	GraphBlock	block;			/* of the candidates */
	uint32_t   *nodes;
	uint8_t    *protect;
	uint32_t   *chosen;
	uint32_t   *redundant;
	GraphEntry *entries;
	GraphEntry *scratch;
	GraphSet   *set;
	void	   *memory;
} Reselect;

/*
 * Candidates of a node at most: two for every slot from the edges and their
 * reverses, and the pool.
 */
static uint32_t
reselect_limit(const GraphParams *params)
{
	return GRAPH_MAX(2 * params->max_degree, params->pool_size);
}

/* Nodes of a range of targets, and their reverse edges, at most */
static uint32_t
range_nodes(uint32_t n)
{
	return n / RESELECT_RANGES + 1;
}

/* There are max_degree / 2 per node, and n may lead to the same one. */
static size_t
range_edges(uint32_t n, uint32_t max_degree)
{
	return (size_t) n * GRAPH_MAX(max_degree / (2 * RESELECT_RANGES), 1);
}

/*
 * The end of the range that starts with target first.
 */
static uint32_t
range_end(const Reselect *st, uint32_t first)
{
	uint32_t	n = st->space->n;
	uint32_t	most = GRAPH_MIN(range_nodes(n), n - first);
	size_t		room = range_edges(n, st->params->max_degree);
	uint32_t	i;

	for (i = 0; i < most && st->in_degree[first + i] <= room; i++)
		room -= st->in_degree[first + i];
	return first + i;
}

/*
 * Count the edges to the targets of the share.
 */
static void
count_in_degrees(Reselect *st)
{
	const GraphEdges *edges = st->before;
	uint32_t	first = 0;
	uint32_t	end = st->space->n;
	uint32_t	node;
	uint32_t	i;

	graph_share(st->space, &first, &end);
	memset(st->in_degree + first, 0, (end - first) * sizeof(uint32_t));
	for (node = 0; node < st->space->n; node++)
	{
		const uint32_t *ids = edges->ids + (size_t) node * edges->max_degree;

		for (i = 0; i < edges->degree[node]; i++)
			if (ids[i] - first < end - first)
				st->in_degree[ids[i]]++;
		graph_work(st->space, 2 * edges->max_degree);
	}
	graph_barrier(st->space);
}

/*
 * Collect the reverse edges of the targets first .. end - 1: those of target
 * i go to reverse[start[i - first] ..], as many as its in-degree.
 */
static void
reverse_range(Reselect *st, uint32_t first, uint32_t end)
{
	const GraphEdges *edges = st->before;
	uint32_t	share_first = first;
	uint32_t	share_end = end;
	uint32_t   *start;
	uint32_t	sum = 0;
	uint32_t	share;
	uint32_t	node;
	uint32_t	i;

	graph_share(st->space, &share_first, &share_end);
	share = share_end - share_first;
	start = st->start + (share_first - first);
	for (i = first; i < share_first; i++)
		sum += st->in_degree[i];
	for (i = 0; i < share; i++)
	{
		sum += st->in_degree[share_first + i];
		start[i] = sum;
	}
	/* filling from the end leaves start[] at the starts */
	for (node = st->space->n; node-- > 0;)
	{
		const uint32_t *ids = edges->ids + (size_t) node * edges->max_degree;

		for (i = 0; i < edges->degree[node]; i++)
			if (ids[i] - share_first < share)
				st->reverse[--start[ids[i] - share_first]] = node;
		graph_work(st->space, 2 * edges->max_degree);
	}
	graph_barrier(st->space);
}

/*
 * Candidates of a node: its edges, nodes that selected it, those for long
 * edges, then the rest of its pool, up to the limit.  Fills st->nodes and
 * returns their number.
 */
static uint32_t
collect_candidates(Reselect *st, uint32_t node,
				   const uint32_t *reverse, uint32_t nreverse)
{
	const GraphEdges *edges = st->before;
	const uint32_t *ids = edges->ids + (size_t) node * edges->max_degree;
	const GraphEntry *pool = graph_pool_get(st->space, st->pools, &st->pool,
											node);
	const uint32_t *far = st->far + (size_t) node * GRAPH_FAR;
	uint32_t	n = 0;
	uint32_t	stride = 1;
	uint32_t	i;

	graph_set_clear(st->set);
	for (i = 0; i < edges->degree[node]; i++)
		if (graph_set_add(st->set, ids[i]))
			st->nodes[n++] = ids[i];
	if (nreverse > st->params->max_degree)
		stride = nreverse / st->params->max_degree;
	for (i = 0; i < nreverse && n < st->limit; i += stride)
		if (graph_set_add(st->set, reverse[i]))
			st->nodes[n++] = reverse[i];
	for (i = 0; i < GRAPH_FAR && n < st->limit; i++)
		if (far[i] != node && graph_set_add(st->set, far[i]))
			st->nodes[n++] = far[i];
	for (i = 0; i < st->pools->count[node] && n < st->limit; i++)
		if (graph_set_add(st->set, graph_entry_node(pool[i])))
			st->nodes[n++] = graph_entry_node(pool[i]);
	return n;
}

/*
 * Protect the edges of a node to nodes that hardly any other node selected,
 * the strongest first, up to a quarter of the slots.  Returns their number.
 */
static uint32_t
protect_edges(Reselect *st, uint32_t node)
{
	uint32_t	room = st->params->max_degree / 4;
	uint32_t	n = 0;
	uint32_t	i;

	/* the candidates start with the edges of the first selection */
	memset(st->protect, 0, st->limit);
	for (i = 0; i < st->before->degree[node] && n < room; i++)
		if (st->in_degree[st->nodes[i]] <= st->params->min_in_degree)
		{
			st->protect[i] = true;
			n++;
		}
	return n;
}

/* Is target among the n ids?  Written for the vectorizer: no early exit. */
static inline bool
contains(const uint32_t *ids, uint32_t n, uint32_t target)
{
	uint32_t	whole = n & ~(uint32_t) (GRAPH_ALIGN_FLOATS - 1);
	uint32_t	found = 0;
	uint32_t	i;
	uint32_t	k;

	for (i = 0; i < whole; i += GRAPH_ALIGN_FLOATS)
	{
		const uint32_t *block = ids + i;

		for (k = 0; k < GRAPH_ALIGN_FLOATS; k++)
			found |= block[k] == target;
	}
	for (; i < n; i++)
		found |= ids[i] == target;
	return found != 0;
}

/*
 * Does one of the first n chosen, nearer to candidate i than the node is,
 * lead to i already?
 */
static bool
has_detour(const Reselect *st, const GraphSelection *sel, uint32_t n,
		   uint32_t i)
{
	const GraphEdges *edges = st->before;
	const float *pair = sel->pair + i * sel->ld;
	float		limit = sel->dist[i] * sel->dist[i];
	uint32_t	c;

	for (c = 0; c < n; c++)
	{
		uint32_t	j = st->chosen[c];
		uint32_t	node = st->nodes[j];

		if (pair[j] < limit &&
			contains(edges->ids + (size_t) node * edges->max_degree,
					 edges->degree[node], st->nodes[i]))
			return true;
	}
	return false;
}

/*
 * Move redundant edges to the end, the order otherwise kept.
 */
static void
demote_redundant(Reselect *st, const GraphSelection *sel, uint32_t n)
{
	const GraphEdges *edges = st->before;
	uint32_t	kept = sel->ncore;
	uint32_t	nredundant = 0;
	uint32_t	i;

	for (i = 0; i < n; i++)
	{
		uint32_t	node = st->nodes[st->chosen[i]];

		graph_prefetch(edges->degree + node);
		graph_prefetch(edges->ids + (size_t) node * edges->max_degree);
	}
	for (i = sel->ncore; i < n; i++)
	{
		uint32_t	c = st->chosen[i];

		if (has_detour(st, sel, kept, c))
			st->redundant[nredundant++] = c;
		else
			st->chosen[kept++] = c;
	}
	memcpy(st->chosen + kept, st->redundant, nredundant * sizeof(uint32_t));
}

/*
 * Select again for one node.
 */
static void
reselect_node(Reselect *st, uint32_t node,
			  const uint32_t *reverse, uint32_t nreverse)
{
	GraphSpace *space = st->space;
	uint32_t   *ids;
	uint32_t	n = collect_candidates(st, node, reverse, nreverse);
	uint32_t	nprotected;
	GraphSelection sel;
	uint32_t	i;

	graph_set_origin(space, &st->block, node);
	graph_gather(space, &st->block, st->nodes, n);
	graph_selection_init(&sel, n, st->memory);
	for (i = 0; i < n; i++)
	{
		st->entries[i] = graph_entry_make(st->block.norms[i], i);
		sel.dist[i] = sqrtf(st->block.norms[i]);
	}
	graph_sort(st->entries, st->scratch, n);
	for (i = 0; i < n; i++)
		sel.order[i] = graph_entry_node(st->entries[i]);
	graph_selection_pairs(space, &sel, &st->block);
	nprotected = protect_edges(st, node);
	n = graph_selection_run(st->params, &sel,
							nprotected > 0 ? st->protect : NULL,
							st->params->max_degree, st->chosen);
	demote_redundant(st, &sel, n);
	if (st->after->ids)
		ids = st->after->ids + (size_t) node * st->after->max_degree;
	else
		ids = graph_window_put(space, &st->out, node);
	for (i = 0; i < n; i++)
		ids[i] = st->nodes[st->chosen[i]];
	st->after->degree[node] = (uint16_t) n;
}

static void
reselect_init(Reselect *st)
{
	const GraphHost *host = st->space->host;
	const GraphParams *params = st->params;
	uint32_t	n = st->space->n;

	st->in_degree = graph_alloc_shared(host, n, sizeof(uint32_t));
	st->start = graph_alloc_shared(host, range_nodes(n), sizeof(uint32_t));
	st->reverse = graph_alloc_shared(host,
									 range_edges(n, params->max_degree),
									 sizeof(uint32_t));
	st->limit = reselect_limit(params);
	graph_block_alloc(st->space, &st->block, st->limit);
	st->nodes = graph_alloc(host, st->limit, sizeof(uint32_t));
	st->protect = graph_alloc(host, st->limit, sizeof(uint8_t));
	st->chosen = graph_alloc(host, params->max_degree, sizeof(uint32_t));
	st->redundant = graph_alloc(host, params->max_degree, sizeof(uint32_t));
	st->entries = graph_alloc(host, st->limit, sizeof(GraphEntry));
	st->scratch = graph_alloc(host, st->limit, sizeof(GraphEntry));
	st->set = graph_alloc(host, 1, sizeof(GraphSet));
	st->memory = graph_alloc(host, graph_selection_size(st->limit), 1);
	memset(st->set, 0, sizeof(GraphSet));
}

static void
reselect_end(Reselect *st)
{
	const GraphHost *host = st->space->host;

	graph_release(host, st->memory);
	graph_release(host, st->set);
	graph_release(host, st->scratch);
	graph_release(host, st->entries);
	graph_release(host, st->redundant);
	graph_release(host, st->chosen);
	graph_release(host, st->protect);
	graph_release(host, st->nodes);
	graph_block_release(st->space, &st->block);
	graph_release_shared(host, st->reverse);
	graph_release_shared(host, st->start);
	graph_release_shared(host, st->in_degree);
	graph_release(host, st);
}

/*
 * Re-selection of all nodes: reads before, writes after, or if that has no
 * ids, as many into the file for each node.
 */
void
graph_reselect(GraphSpace *space, const GraphParams *params,
			   const GraphPools *pools, const uint32_t *far,
			   const GraphEdges *before, GraphEdges *after, void *file)
{
	Reselect   *st = graph_alloc(space->host, 1, sizeof(Reselect));
	GraphLoop	loop;
	uint32_t	first;
	uint32_t	end;
	uint32_t	i;

	memset(st, 0, sizeof(Reselect));
	st->space = space;
	st->params = params;
	st->pools = pools;
	st->far = far;
	st->before = before;
	st->after = after;
	reselect_init(st);
	graph_pool_window(space, pools, &st->pool);
	graph_window_init(space, &st->out, after->ids ? NULL : file,
					  after->max_degree * sizeof(uint32_t), space->n);
	graph_begin(space, GRAPH_PHASE_RESELECT, space->n);
	count_in_degrees(st);
	for (first = 0; first < space->n; first = end)
	{
		end = range_end(st, first);
		reverse_range(st, first, end);
		graph_loop_begin(space, &loop, end - first);
		while (graph_loop_next(&loop, &i))
		{
			reselect_node(st, first + i, st->reverse + st->start[i],
						  st->in_degree[first + i]);
			space->done++;
		}
		graph_window_flush(space, &st->out);
		graph_barrier(space);
	}
	graph_window_release(space, &st->out);
	graph_window_release(space, &st->pool);
	reselect_end(st);
}

/*
 * Peak memory beyond the pools and both sets of edges.
 */
GraphMemory
graph_reselect_memory(uint32_t n, uint32_t dim, const GraphParams *params)
{
	uint32_t	limit = reselect_limit(params);
	GraphMemory memory = {0, 0, 0};

	memory.shared = graph_array_size(n, sizeof(uint32_t)) +
		graph_array_size(range_nodes(n), sizeof(uint32_t)) +
		graph_array_size(range_edges(n, params->max_degree),
						 sizeof(uint32_t));
	memory.own = graph_block_memory(dim, limit) +
		limit * (sizeof(uint32_t) + sizeof(uint8_t) + 2 * sizeof(GraphEntry)) +
		2 * params->max_degree * sizeof(uint32_t) +
		graph_selection_size(limit) +
		sizeof(Reselect) + sizeof(GraphSet);
	return memory;
}
