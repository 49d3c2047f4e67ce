/*-------------------------------------------------------------------------
 *
 * partition.c
 *	  First neighbours: partitions of the nodes into small leaves, and all
 *	  pairs within a leaf.
 *
 * A partition draws random leaders, gives every node to its nearest leader
 * and repeats within each group until a group fits a leaf (ball carving;
 * algorithms.md section 5.2).  Small groups whose leaders are near each other
 * share a leaf.  Several partitions with other leaders overlap each other,
 * which is what lets a node meet neighbours across a border.
 *
 * Groups follow each other along a chain of nearest leaders, so the order of
 * the nodes after a partition is itself a good order for locality: the build
 * numbers its nodes by the first partition.
 *
 * A team divides large groups together: every process labels its share of the
 * nodes, the counts tell each where its share goes, and so all processes know
 * the same groups.  Groups that are small compared with the share of a
 * process are then claimed and divided by one process each.  The leaders of a
 * group come from a random stream of its own, so the partition is the same
 * whoever divides it.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "graph_int.h"

/* Leaders of one step */
#define PARTITION_FANOUT	64

/* A group is divided for leaves of about this many rows */
#define PARTITION_LEAF		320

/* Rows compared with the leaders, or with a leaf, at a time */
#define PARTITION_BLOCK		32

/* Scratch rows of a leaf take at most this much */
#define PARTITION_LEAF_BYTES	(16 * 1024 * 1024)

/*
 * A division that leaves more than this share in one group is given up and
 * the group cut in order; the depth of the stack follows from it.
 */
#define PARTITION_PROGRESS	0.95
#define PARTITION_STACK		((PARTITION_FANOUT + 1) * 320)

/* A team divides together what is larger than this part of a share ... */
#define PARTITION_PART		16

/* ... so many groups at most, and what they leave fits this table. */
#define PARTITION_TOGETHER	64
#define PARTITION_GROUPS	(PARTITION_TOGETHER * PARTITION_FANOUT + 1)

/* Labels are leaders; this one marks the last node of a leaf. */
#define PARTITION_LEAF_END	0xFF

typedef struct PartitionRange
{
	uint32_t	start;
	uint32_t	count;
} PartitionRange;

typedef struct PartitionState
{
	GraphSpace *space;
	uint64_t	seed;
	bool		together;		/* the team is at work on the same group */
	uint32_t	leaf_limit;
	uint32_t   *nodes;			/* all nodes, being permuted; shared, as the */
	uint32_t   *sorted;			/* room for permutations */
	uint8_t    *label;			/* leader of the node at each place */
	GraphBlock	leaders;
	GraphBlock	block;
	float		dist[PARTITION_FANOUT * PARTITION_FANOUT];
	PartitionRange *stack;
	uint32_t	depth;
	PartitionRange *groups;		/* to be claimed */
	uint32_t	ngroups;
} PartitionState;

/* The share of this process in a group that the team divides, or all of it */
static PartitionRange
own_part(const PartitionState *st, PartitionRange range)
{
	uint32_t	end = range.start + range.count;

	if (st->together)
	{
		graph_share(st->space, &range.start, &end);
		range.count = end - range.start;
	}
	return range;
}

/*
 * Rows of one leaf at most: GRAPH_LEAF_MAX unless they are very long.
 */
uint32_t
graph_leaf_limit(const GraphSpace *space)
{
	size_t		row = (size_t) space->stride * sizeof(int16_t);
	size_t		limit = PARTITION_LEAF_BYTES / row;

	return (uint32_t) GRAPH_MAX(64, GRAPH_MIN(limit, GRAPH_LEAF_MAX));
}

/*
 * Draw nleaders nodes of the range, move them to its front and load them.
 * The origin of the distances is the first of them.
 */
static void
draw_leaders(PartitionState *st, PartitionRange range, uint32_t nleaders)
{
	uint32_t   *nodes = st->nodes + range.start;
	uint64_t	random = st->seed ^
	(((uint64_t) range.start << 32) | range.count);
	uint32_t	i;

	for (i = 0; i < nleaders; i++)
	{
		uint32_t	pick = i + graph_random_below(&random, range.count - i);
		uint32_t	swap = nodes[i];

		if (st->together && st->space->host->rank != 0)
			continue;
		nodes[i] = nodes[pick];
		nodes[pick] = swap;
	}
	if (st->together)
		graph_barrier(st->space);
	graph_set_origin(st->space, &st->leaders, nodes[0]);
	graph_gather(st->space, &st->leaders, nodes, nleaders);
}

/*
 * Label every node of the range with its nearest leader; count per leader.
 */
static void
assign_leaders(PartitionState *st, PartitionRange range, uint32_t nleaders,
			   uint32_t *count)
{
	const uint32_t *nodes = st->nodes + range.start;
	uint8_t    *label = st->label + range.start;
	uint32_t	i;
	uint32_t	j;
	uint32_t	k;

	memset(count, 0, nleaders * sizeof(uint32_t));
	for (i = 0; i < range.count; i += PARTITION_BLOCK)
	{
		uint32_t	m = GRAPH_MIN(PARTITION_BLOCK, range.count - i);

		graph_gather(st->space, &st->block, nodes + i, m);
		graph_distances(st->space, &st->block, 0, m, &st->leaders, 0,
						nleaders, st->dist, PARTITION_FANOUT);
		for (j = 0; j < m; j++)
		{
			const float *dist = st->dist + j * PARTITION_FANOUT;
			uint32_t	best = 0;

			for (k = 1; k < nleaders; k++)
				if (dist[k] < dist[best])
					best = k;
			label[i + j] = (uint8_t) best;
			count[best]++;
		}
	}
}

/*
 * Order the leaders along a chain, each followed by the nearest one left.
 */
static void
chain_leaders(PartitionState *st, uint32_t nleaders, uint32_t *chain)
{
	bool		used[PARTITION_FANOUT] = {false};
	uint32_t	last = 0;
	uint32_t	i;
	uint32_t	k;

	graph_distances(st->space, &st->leaders, 0, nleaders,
					&st->leaders, 0, nleaders, st->dist, PARTITION_FANOUT);
	for (i = 0; i < nleaders; i++)
	{
		const float *dist = st->dist + last * PARTITION_FANOUT;
		uint32_t	best = GRAPH_NO_NODE;

		if (i == 0)
			best = 0;
		else
			for (k = 0; k < nleaders; k++)
				if (!used[k] &&
					(best == GRAPH_NO_NODE || dist[k] < dist[best]))
					best = k;
		used[best] = true;
		chain[i] = best;
		last = best;
	}
}

/*
 * Add up the counts of the shares; offset receives what the shares before
 * that of this process have of each label.
 */
static void
unite_counts(PartitionState *st, uint32_t nleaders, uint32_t *count,
			 uint32_t *offset)
{
	const GraphHost *host = st->space->host;
	uint32_t   *all = graph_exchange(st->space, count,
									 nleaders * sizeof(uint32_t));
	uint32_t	i;
	uint32_t	k;

	memset(count, 0, nleaders * sizeof(uint32_t));
	for (i = 0; i < host->size; i++)
	{
		if (i == host->rank)
			memcpy(offset, count, nleaders * sizeof(uint32_t));
		for (k = 0; k < nleaders; k++)
			count[k] += all[i * nleaders + k];
	}
	graph_exchange_end(st->space, all);
}

/*
 * Permute the range into groups in the order of the chain (counting sort) and
 * push the groups, small neighbours united, so that the first comes off the
 * stack first.  offset comes with what lies before the share of this process.
 */
static void
divide_range(PartitionState *st, PartitionRange range, uint32_t nleaders,
			 const uint32_t *chain, const uint32_t *count, uint32_t *offset)
{
	PartitionRange own = own_part(st, range);
	PartitionRange groups[PARTITION_FANOUT];
	uint32_t	ngroups = 0;
	uint32_t	start = range.start;
	uint32_t	i;

	for (i = 0; i < nleaders; i++)
	{
		uint32_t	size = count[chain[i]];

		offset[chain[i]] += start;
		if (ngroups > 0 && groups[ngroups - 1].count + size <= st->leaf_limit)
			groups[ngroups - 1].count += size;
		else if (size > 0)
		{
			groups[ngroups].start = start;
			groups[ngroups++].count = size;
		}
		start += size;
	}
	for (i = own.start; i < own.start + own.count; i++)
		st->sorted[offset[st->label[i]]++] = st->nodes[i];
	if (st->together)
		graph_barrier(st->space);
	memcpy(st->nodes + own.start, st->sorted + own.start,
		   own.count * sizeof(uint32_t));
	if (st->together)
		graph_barrier(st->space);
	while (ngroups > 0)
		st->stack[st->depth++] = groups[--ngroups];
}

/*
 * Cut a range that leaders cannot divide into equal pieces of leaf size.
 */
static void
cut_range(PartitionState *st, PartitionRange range)
{
	uint32_t	pieces = (range.count + st->leaf_limit - 1) / st->leaf_limit;
	uint32_t	i;

	for (i = 1; i <= pieces; i++)
		st->label[range.start + (uint64_t) range.count * i / pieces - 1] =
			PARTITION_LEAF_END;
}

static void
process_range(PartitionState *st, PartitionRange range)
{
	uint32_t	count[PARTITION_FANOUT];
	uint32_t	offset[PARTITION_FANOUT] = {0};
	uint32_t	chain[PARTITION_FANOUT];
	uint32_t	nleaders;
	uint32_t	largest = 0;
	uint32_t	i;

	if (range.count <= st->leaf_limit)
	{
		st->label[range.start + range.count - 1] = PARTITION_LEAF_END;
		return;
	}
	nleaders = GRAPH_MAX(2, range.count * (uint64_t) GRAPH_LEAF_MAX /
						 ((uint64_t) PARTITION_LEAF * st->leaf_limit));
	nleaders = GRAPH_MIN(nleaders, PARTITION_FANOUT);
	draw_leaders(st, range, nleaders);
	assign_leaders(st, own_part(st, range), nleaders, count);
	if (st->together)
		unite_counts(st, nleaders, count, offset);
	for (i = 0; i < nleaders; i++)
		largest = GRAPH_MAX(largest, count[i]);
	if (largest > PARTITION_PROGRESS * range.count)
	{
		/* all do the same */
		cut_range(st, range);
		return;
	}
	chain_leaders(st, nleaders, chain);
	divide_range(st, range, nleaders, chain, count, offset);
}

/*
 * Divide what is large together; the rest goes to st->groups.
 */
static void
divide_together(PartitionState *st)
{
	uint32_t	size = st->space->host->size;
	uint32_t	limit = size == 1 ? st->space->n :
	GRAPH_MAX(st->leaf_limit, st->space->n / (PARTITION_PART * size));
	uint32_t	divided = 0;

	st->together = true;
	st->stack[0].start = 0;
	st->stack[0].count = st->space->n;
	st->depth = 1;
	while (st->depth > 0)
	{
		PartitionRange range = st->stack[--st->depth];

		if (range.count > limit && divided++ < PARTITION_TOGETHER)
			process_range(st, range);
		else
			st->groups[st->ngroups++] = range;
	}
	st->together = false;
}

/*
 * Where leaves start, from the marks of their ends.  Returns their number.
 */
static uint32_t
collect_leaves(PartitionState *st, uint32_t *leaf_start)
{
	GraphSpace *space = st->space;
	uint32_t	first = 0;
	uint32_t	end = space->n;
	uint32_t	count = 0;
	uint32_t	before = 0;
	uint32_t	total = 0;
	uint32_t   *all;
	uint32_t	i;

	graph_share(space, &first, &end);
	for (i = first; i < end; i++)
		count += st->label[i] == PARTITION_LEAF_END;
	all = graph_exchange(space, &count, sizeof(count));
	for (i = 0; i < space->host->size; i++)
	{
		if (i == space->host->rank)
			before = total;
		total += all[i];
	}
	for (i = first; i < end; i++)
		if (st->label[i] == PARTITION_LEAF_END)
			leaf_start[++before] = i + 1;
	if (first == 0)
		leaf_start[0] = 0;
	graph_exchange_end(space, all);
	return total;
}

/*
 * Start with the nodes in their order, and no label.
 */
static void
init_nodes(PartitionState *st)
{
	uint32_t	i = 0;
	uint32_t	end = st->space->n;

	graph_share(st->space, &i, &end);
	memset(st->label + i, 0, end - i);
	for (; i < end; i++)
		st->nodes[i] = i;
	graph_barrier(st->space);
}

/*
 * Partition the nodes: nodes[0 .. n) receives a permutation in which leaves
 * are consecutive, leaf i being nodes[leaf_start[i] .. leaf_start[i + 1]).
 * Both are shared; leaf_start has room for n + 1.  Returns the number of
 * leaves.
 */
uint32_t
graph_partition(GraphSpace *space, uint64_t seed,
				uint32_t *nodes, uint32_t *leaf_start)
{
	const GraphHost *host = space->host;
	PartitionState *st = graph_alloc(host, 1, sizeof(PartitionState));
	uint32_t	nleaves;
	uint32_t	i;
	GraphLoop	loop;

	memset(st, 0, sizeof(PartitionState));
	st->space = space;
	st->seed = seed;
	st->leaf_limit = graph_leaf_limit(space);
	st->nodes = nodes;
	st->sorted = graph_alloc_shared(host, space->n, sizeof(uint32_t));
	st->label = graph_alloc_shared(host, space->n, sizeof(uint8_t));
	graph_block_alloc(space, &st->leaders, PARTITION_FANOUT);
	graph_block_alloc(space, &st->block, PARTITION_BLOCK);
	st->block.origin = st->leaders.origin;
	st->stack = graph_alloc(host, PARTITION_STACK, sizeof(PartitionRange));
	st->groups = graph_alloc(host, PARTITION_GROUPS, sizeof(PartitionRange));

	init_nodes(st);
	divide_together(st);
	graph_loop_begin(space, &loop, st->ngroups);
	while (graph_loop_next(&loop, &i))
	{
		st->stack[st->depth++] = st->groups[i];
		while (st->depth > 0)
			process_range(st, st->stack[--st->depth]);
	}
	graph_barrier(space);
	nleaves = collect_leaves(st, leaf_start);

	graph_release(host, st->groups);
	graph_release(host, st->stack);
	graph_block_release(space, &st->block);
	graph_block_release(space, &st->leaders);
	graph_release_shared(host, st->label);
	graph_release_shared(host, st->sorted);
	graph_release(host, st);
	return nleaves;
}

/*
 * See graph.h.
 */
void
graph_order(const GraphVectors *vectors, uint64_t seed,
			const GraphHost *host, uint32_t *order)
{
	GraphSpace	space;
	uint32_t   *leaf_start;

	graph_space_init(&space, vectors, host);
	leaf_start = graph_alloc_shared(host, (size_t) vectors->n + 1,
									sizeof(uint32_t));
	graph_partition(&space, seed, order, leaf_start);
	graph_barrier(&space);
	graph_release_shared(host, leaf_start);
	graph_space_end(&space);
}

/*
 * See graph.h.
 */
size_t
graph_order_memory(uint32_t n, uint32_t dim, uint32_t size, size_t *shared)
{
	GraphMemory space = graph_space_memory(dim, size);
	GraphMemory partition = graph_partition_memory(n, dim, size);

	*shared = space.shared + partition.shared +
		graph_array_size((size_t) n + 1, sizeof(uint32_t)) +
		graph_array_size(size, graph_array_size(graph_row_cache_least(dim), 1));
	return *shared + size * (space.own + partition.own);
}

/*
 * Compare all pairs of each leaf and merge them into the pools.  A leaf
 * writes the pools of its own nodes only, so the processes claim leaves.
 */
void
graph_leaf_pairs(GraphSpace *space, const uint32_t *nodes,
				 const uint32_t *leaf_start, uint32_t nleaves,
				 GraphPools *pools)
{
	const GraphHost *host = space->host;
	uint32_t	limit = 0;
	size_t		ld;
	GraphBlock	block;
	float	   *dist;
	float	   *zeros;
	uint32_t   *hits;
	GraphEntry *fresh;
	GraphEntry *scratch;
	GraphSet   *set = graph_alloc(host, 1, sizeof(GraphSet));
	GraphLoop	loop;
	uint32_t	leaf;
	uint32_t	i;
	uint32_t	j;
	uint32_t	k;

	for (leaf = 0; leaf < nleaves; leaf++)
		limit = GRAPH_MAX(limit, leaf_start[leaf + 1] - leaf_start[leaf]);
	ld = graph_align(limit);
	graph_block_alloc(space, &block, limit);
	dist = graph_alloc(host, PARTITION_BLOCK * ld, sizeof(float));
	zeros = graph_alloc(host, ld, sizeof(float));
	memset(zeros, 0, ld * sizeof(float));
	hits = graph_alloc(host, limit, sizeof(uint32_t));
	fresh = graph_alloc(host, limit, sizeof(GraphEntry));
	scratch = graph_alloc(host, GRAPH_MAX(limit, GRAPH_FRESH_MAX),
						  sizeof(GraphEntry));
	memset(set, 0, sizeof(GraphSet));

	graph_loop_begin(space, &loop, nleaves);
	while (graph_loop_next(&loop, &leaf))
	{
		const uint32_t *members = nodes + leaf_start[leaf];
		uint32_t	m = leaf_start[leaf + 1] - leaf_start[leaf];

		graph_set_origin(space, &block, members[0]);
		graph_gather(space, &block, members, m);
		for (i = 0; i < m; i += PARTITION_BLOCK)
		{
			uint32_t	nb = GRAPH_MIN(PARTITION_BLOCK, m - i);

			graph_products(space, &block, i, nb, &block, 0, m, dist, ld);
			for (j = 0; j < nb; j++)
			{
				uint32_t	node = members[i + j];
				float	   *row = dist + j * ld;
				uint32_t	nhits;
				uint32_t	nfresh = 0;

				if (i + j + 1 < m)
					graph_pool_prefetch(pools, members[i + j + 1]);
				nhits = graph_near(space, row, &block, i + j, m,
								   graph_pool_worst(pools, node), zeros, hits);
				for (k = 0; k < nhits; k++)
					if (hits[k] != i + j)
						fresh[nfresh++] = GRAPH_NEW_FLAG |
							graph_entry_make(row[hits[k]], members[hits[k]]);
				if (nfresh > 0)
					graph_pool_merge(pools, node, fresh, nfresh, scratch, set);
			}
		}
		space->done += m;
	}
	graph_barrier(space);
	graph_release(host, set);
	graph_release(host, scratch);
	graph_release(host, fresh);
	graph_release(host, hits);
	graph_release(host, zeros);
	graph_release(host, dist);
	graph_block_release(space, &block);
}

/*
 * Peak memory of a partition.
 */
GraphMemory
graph_partition_memory(uint32_t n, uint32_t dim, uint32_t size)
{
	GraphMemory memory = {0, 0, 0};

	memory.shared = graph_array_size(n, sizeof(uint32_t)) +
		graph_array_size(n, sizeof(uint8_t)) +
		graph_array_size(size, PARTITION_FANOUT * sizeof(uint32_t));
	memory.own = graph_block_memory(dim, PARTITION_FANOUT) +
		graph_block_memory(dim, PARTITION_BLOCK) +
		(PARTITION_STACK + PARTITION_GROUPS) * sizeof(PartitionRange) +
		sizeof(PartitionState) + sizeof(GraphControls);
	return memory;
}

/*
 * Peak memory of comparing the pairs of leaves, the largest of "leaf" nodes or
 * of a partition.
 */
GraphMemory
graph_leaf_memory(uint32_t leaf, uint32_t dim)
{
	GraphMemory memory = {0, 0, 0};

	leaf = GRAPH_MAX(leaf, GRAPH_LEAF_MAX);
	memory.own = graph_block_memory(dim, leaf) + sizeof(GraphSet) +
		(size_t) (leaf + GRAPH_ALIGN_FLOATS) *
		(PARTITION_BLOCK + 6) * sizeof(float) +
		GRAPH_FRESH_MAX * sizeof(GraphEntry) +
		sizeof(GraphControls) + leaf * sizeof(uint32_t);
	return memory;
}
