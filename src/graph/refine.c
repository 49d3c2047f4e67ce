/*-------------------------------------------------------------------------
 *
 * refine.c
 *	  What parts have missed: neighbours of neighbours, out of core.
 *
 * Two nodes near each other that are members of no part together mostly have a
 * neighbour in common that is a member of parts with either.  So each node
 * looks at the nearest entries of the pools of its nearest neighbours, for
 * nodes that it has not met in a part; what is nearer than the worst that it
 * knows comes into its pool.  That is one round of NN-descent in which each
 * node fetches what otherwise would be handed to it: so the only thing it
 * writes is its own pool, to another file.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "parts.h"

/* Neighbours whose pools are looked at, and entries of each */
#define REFINE_NEIGHBOURS	48
#define REFINE_ENTRIES		48

/* Candidates that are compared at a time */
#define REFINE_BLOCK		64

typedef struct Refine
{
	GraphSpace *space;
	const GraphParts *parts;
	uint32_t	own_part;		/* of the node at hand */
	uint32_t	guest_of;
	bool		guests_met;		/* those of that part at the same time */
	const GraphPools *before;
	GraphPools	own;			/* of the node alone */
	uint16_t	count;
	uint32_t	nodes[REFINE_BLOCK];
	uint32_t	nnodes;
	GraphBlock	block;
	GraphWindow in;
	GraphWindow out;
	GraphSet   *known;
	GraphSet   *set;			/* of graph_pool_merge() */
	GraphEntry *scratch;
} Refine;

/*
 * Merge the candidates collected into the pool of the node.
 */
static void
merge_candidates(Refine *st)
{
	GraphEntry	fresh[REFINE_BLOCK];
	float		worst = graph_pool_worst(&st->own, 0);
	uint32_t	n = 0;
	uint32_t	i;

	graph_gather(st->space, &st->block, st->nodes, st->nnodes);
	for (i = 0; i < st->nnodes; i++)
		if (st->block.norms[i] < worst)
			fresh[n++] = graph_entry_make(st->block.norms[i], st->nodes[i]);
	st->nnodes = 0;
	if (n > 0)
		graph_pool_merge(&st->own, 0, fresh, n, st->scratch, st->set);
}

/*
 * Were a node and the one at hand members of a part at the same time?
 */
static inline bool
have_met(const Refine *st, uint32_t node)
{
	uint32_t	own_part = graph_part_of(st->parts, node);
	uint32_t	guest_of = st->parts->guest_of[node];

	return own_part == st->own_part || own_part == st->guest_of ||
		guest_of == st->own_part ||
		(guest_of == st->guest_of && st->guests_met);
}

/*
 * Look at the pool of a neighbour.
 */
static void
look_at_pool(Refine *st, uint32_t neighbour)
{
	const GraphHost *host = st->space->host;
	const GraphPools *pools = st->before;
	GraphEntry	entries[REFINE_ENTRIES];
	uint32_t	n = GRAPH_MIN(pools->count[neighbour], REFINE_ENTRIES);
	uint32_t	i;

	host->file_read(host->arg, pools->file, (uint64_t) neighbour *
					pools->capacity * sizeof(GraphEntry), entries,
					n * sizeof(GraphEntry));
	for (i = 0; i < n; i++)
	{
		uint32_t	node = graph_entry_node(entries[i]);

		if (have_met(st, node) || !graph_set_add(st->known, node))
			continue;
		st->nodes[st->nnodes++] = node;
		if (st->nnodes == REFINE_BLOCK)
			merge_candidates(st);
	}
}

static void
refine_node(Refine *st, uint32_t node)
{
	GraphSpace *space = st->space;
	const GraphPools *pools = st->before;
	const GraphEntry *pool = graph_pool_get(space, pools, &st->in, node);
	uint32_t	count = pools->count[node];
	uint32_t	neighbours[REFINE_NEIGHBOURS];
	uint32_t	n = GRAPH_MIN(count, REFINE_NEIGHBOURS);
	uint32_t	i;

	st->own_part = graph_part_of(st->parts, node);
	st->guest_of = st->parts->guest_of[node];
	st->guests_met = graph_part_lots(st->parts, st->guest_of) == 1;
	graph_set_clear(st->known);
	graph_set_add(st->known, node);
	for (i = 0; i < count; i++)
		graph_set_add(st->known, graph_entry_node(pool[i]));
	for (i = 0; i < n; i++)
		neighbours[i] = graph_entry_node(pool[i]);
	memcpy(st->own.entries, pool, count * sizeof(GraphEntry));
	st->count = (uint16_t) count;
	graph_set_origin(space, &st->block, node);
	for (i = 0; i < n; i++)
		look_at_pool(st, neighbours[i]);
	if (st->nnodes > 0)
		merge_candidates(st);
	memcpy(graph_window_put(space, &st->out, node), st->own.entries,
		   st->count * sizeof(GraphEntry));
	graph_work(space, 64 * (uint64_t) pools->capacity);
}

/*
 * Write better pools to the file of "after", as large as those of before.
 */
void
graph_refine_pools(GraphSpace *space, const GraphParts *parts,
				   const GraphPools *before, GraphPools *after)
{
	const GraphHost *host = space->host;
	Refine	   *st = graph_alloc(host, 1, sizeof(Refine));
	size_t		record = before->capacity * sizeof(GraphEntry);
	GraphLoop	loop;
	uint32_t	node;

	memset(st, 0, sizeof(Refine));
	st->space = space;
	st->parts = parts;
	st->before = before;
	st->own.capacity = before->capacity;
	st->own.entries = graph_alloc(host, before->capacity, sizeof(GraphEntry));
	st->own.count = &st->count;
	st->known = graph_alloc(host, 1, sizeof(GraphSet));
	st->set = graph_alloc(host, 1, sizeof(GraphSet));
	memset(st->known, 0, sizeof(GraphSet));
	memset(st->set, 0, sizeof(GraphSet));
	st->scratch = graph_alloc(host, GRAPH_FRESH_MAX, sizeof(GraphEntry));
	graph_block_alloc(space, &st->block, REFINE_BLOCK);
	graph_window_init(space, &st->in, before->file, record, space->n);
	graph_window_init(space, &st->out, after->file, record, space->n);

	graph_loop_begin(space, &loop, space->n);
	while (graph_loop_next(&loop, &node))
	{
		refine_node(st, node);
		after->count[node] = st->count;
		space->done++;
	}
	graph_window_flush(space, &st->out);
	graph_barrier(space);

	graph_window_release(space, &st->out);
	graph_window_release(space, &st->in);
	graph_block_release(space, &st->block);
	graph_release(host, st->scratch);
	graph_release(host, st->set);
	graph_release(host, st->known);
	graph_release(host, st->own.entries);
	graph_release(host, st);
}

/*
 * Peak memory.
 */
GraphMemory
graph_refine_memory(uint32_t dim, const GraphParams *params)
{
	size_t		record = params->pool_size * sizeof(GraphEntry);
	GraphMemory memory = {0, 0, 0};

	memory.own = sizeof(Refine) + record + 2 * sizeof(GraphSet) +
		GRAPH_FRESH_MAX * sizeof(GraphEntry) +
		graph_block_memory(dim, REFINE_BLOCK) +
		2 * graph_window_memory(record);
	return memory;
}
