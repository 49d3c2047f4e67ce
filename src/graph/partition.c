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

typedef struct PartitionRange
{
	uint32_t	start;
	uint32_t	count;
} PartitionRange;

typedef struct PartitionState
{
	GraphSpace *space;
	uint64_t	random;
	uint32_t	leaf_limit;
	uint32_t   *nodes;			/* all nodes, being permuted */
	uint32_t   *sorted;			/* room for a group's permutation */
	uint8_t    *label;			/* leader of each node of the group */
	float	   *leaders;		/* FANOUT x width */
	float	   *block;			/* BLOCK x width */
	float		leader_norms[PARTITION_FANOUT];
	float		block_norms[PARTITION_BLOCK];
	float		dist[PARTITION_FANOUT * PARTITION_FANOUT];
	PartitionRange *stack;
	uint32_t	depth;
} PartitionState;

/*
 * Rows of one leaf at most: GRAPH_LEAF_MAX unless they are very long.
 */
uint32_t
graph_leaf_limit(const GraphSpace *space)
{
	size_t		row = (size_t) space->width * sizeof(float);
	size_t		limit = PARTITION_LEAF_BYTES / row;

	return (uint32_t) GRAPH_MAX(64, GRAPH_MIN(limit, GRAPH_LEAF_MAX));
}

/*
 * Draw nleaders nodes of the range, move them to its front and load them.
 * The origin of the distances is the first of them.
 */
static void
draw_leaders(PartitionState *st, PartitionRange range, uint32_t nleaders,
			 float *origin)
{
	uint32_t   *nodes = st->nodes + range.start;
	uint32_t	i;

	for (i = 0; i < nleaders; i++)
	{
		uint32_t	pick = i + graph_random_below(&st->random,
												  range.count - i);
		uint32_t	swap = nodes[i];

		nodes[i] = nodes[pick];
		nodes[pick] = swap;
	}
	graph_load(st->space, graph_row(st->space, nodes[0]), NULL, origin);
	graph_gather(st->space, origin, nodes, nleaders,
				 st->leaders, st->leader_norms);
}

/*
 * Label every node of the range with its nearest leader; count per leader.
 */
static void
assign_leaders(PartitionState *st, PartitionRange range, uint32_t nleaders,
			   const float *origin, uint32_t *count)
{
	const uint32_t *nodes = st->nodes + range.start;
	uint32_t	i;
	uint32_t	j;
	uint32_t	k;

	memset(count, 0, nleaders * sizeof(uint32_t));
	for (i = 0; i < range.count; i += PARTITION_BLOCK)
	{
		uint32_t	m = GRAPH_MIN(PARTITION_BLOCK, range.count - i);

		graph_gather(st->space, origin, nodes + i, m,
					 st->block, st->block_norms);
		graph_distances(st->space, st->block, st->block_norms, m,
						st->leaders, st->leader_norms, nleaders,
						st->dist, PARTITION_FANOUT);
		for (j = 0; j < m; j++)
		{
			const float *dist = st->dist + j * PARTITION_FANOUT;
			uint32_t	best = 0;

			for (k = 1; k < nleaders; k++)
				if (dist[k] < dist[best])
					best = k;
			st->label[i + j] = (uint8_t) best;
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

	graph_distances(st->space, st->leaders, st->leader_norms, nleaders,
					st->leaders, st->leader_norms, nleaders,
					st->dist, PARTITION_FANOUT);
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
 * Permute the range into groups in the order of the chain (counting sort) and
 * push the groups, small neighbours united, so that the first comes off the
 * stack first.
 */
static void
divide_range(PartitionState *st, PartitionRange range, uint32_t nleaders,
			 const uint32_t *chain, const uint32_t *count)
{
	uint32_t	offset[PARTITION_FANOUT];
	PartitionRange groups[PARTITION_FANOUT];
	uint32_t	ngroups = 0;
	uint32_t	start = 0;
	uint32_t	i;

	for (i = 0; i < nleaders; i++)
	{
		uint32_t	size = count[chain[i]];

		offset[chain[i]] = start;
		if (ngroups > 0 && groups[ngroups - 1].count + size <= st->leaf_limit)
			groups[ngroups - 1].count += size;
		else if (size > 0)
		{
			groups[ngroups].start = range.start + start;
			groups[ngroups++].count = size;
		}
		start += size;
	}
	for (i = 0; i < range.count; i++)
		st->sorted[offset[st->label[i]]++] = st->nodes[range.start + i];
	memcpy(st->nodes + range.start, st->sorted,
		   range.count * sizeof(uint32_t));
	while (ngroups > 0)
		st->stack[st->depth++] = groups[--ngroups];
}

/*
 * Cut a range that leaders cannot divide into equal pieces of leaf size;
 * pushed as a chain, piece and rest, so that the stack stays small.
 */
static void
cut_range(PartitionState *st, PartitionRange range, uint32_t **leaf_end)
{
	uint32_t	pieces = (range.count + st->leaf_limit - 1) / st->leaf_limit;
	uint32_t	i;

	for (i = 1; i <= pieces; i++)
		*(*leaf_end)++ = range.start +
			(uint32_t) ((uint64_t) range.count * i / pieces);
}

static void
process_range(PartitionState *st, PartitionRange range, float *origin,
			  uint32_t **leaf_end)
{
	uint32_t	count[PARTITION_FANOUT];
	uint32_t	chain[PARTITION_FANOUT];
	uint32_t	nleaders;
	uint32_t	largest = 0;
	uint32_t	i;

	if (range.count <= st->leaf_limit)
	{
		*(*leaf_end)++ = range.start + range.count;
		return;
	}
	nleaders = GRAPH_MAX(2, range.count * (uint64_t) GRAPH_LEAF_MAX /
						 ((uint64_t) PARTITION_LEAF * st->leaf_limit));
	nleaders = GRAPH_MIN(nleaders, PARTITION_FANOUT);
	draw_leaders(st, range, nleaders, origin);
	assign_leaders(st, range, nleaders, origin, count);
	for (i = 0; i < nleaders; i++)
		largest = GRAPH_MAX(largest, count[i]);
	if (largest > PARTITION_PROGRESS * range.count)
	{
		cut_range(st, range, leaf_end);
		return;
	}
	chain_leaders(st, nleaders, chain);
	divide_range(st, range, nleaders, chain, count);
}

/*
 * Partition the nodes: permutes nodes[0 .. n) so that leaves are consecutive,
 * leaf i being nodes[leaf_start[i] .. leaf_start[i + 1]).  leaf_start has
 * room for n + 1.  Returns the number of leaves.
 */
uint32_t
graph_partition(GraphSpace *space, uint64_t seed,
				uint32_t *nodes, uint32_t *leaf_start)
{
	const GraphHost *host = space->host;
	PartitionState *st = graph_alloc(host, 1, sizeof(PartitionState));
	float	   *origin = graph_alloc(host, space->width, sizeof(float));
	uint32_t   *leaf_end = leaf_start + 1;

	memset(st, 0, sizeof(PartitionState));
	st->space = space;
	st->random = seed;
	st->leaf_limit = graph_leaf_limit(space);
	st->nodes = nodes;
	st->sorted = graph_alloc(host, space->n, sizeof(uint32_t));
	st->label = graph_alloc(host, space->n, sizeof(uint8_t));
	st->leaders = graph_alloc(host, (size_t) PARTITION_FANOUT * space->width,
							  sizeof(float));
	st->block = graph_alloc(host, (size_t) PARTITION_BLOCK * space->width,
							sizeof(float));
	st->stack = graph_alloc(host, PARTITION_STACK, sizeof(PartitionRange));

	leaf_start[0] = 0;
	st->stack[0].start = 0;
	st->stack[0].count = space->n;
	st->depth = 1;
	while (st->depth > 0)
		process_range(st, st->stack[--st->depth], origin, &leaf_end);

	graph_release(host, st->stack);
	graph_release(host, st->block);
	graph_release(host, st->leaders);
	graph_release(host, st->label);
	graph_release(host, st->sorted);
	graph_release(host, origin);
	graph_release(host, st);
	return (uint32_t) (leaf_end - leaf_start - 1);
}

/*
 * Compare all pairs of each leaf and merge them into the pools.  A leaf
 * writes the pools of its own nodes only.
 */
void
graph_leaf_pairs(GraphSpace *space, const uint32_t *nodes,
				 const uint32_t *leaf_start, uint32_t nleaves,
				 GraphPools *pools)
{
	const GraphHost *host = space->host;
	uint32_t	limit = 0;
	size_t		ld;
	float	   *rows;
	float	   *norms;
	float	   *dist;
	float	   *zeros;
	float	   *origin = graph_alloc(host, space->width, sizeof(float));
	uint32_t   *hits;
	GraphEntry *fresh;
	GraphEntry *scratch;
	GraphSet   *set = graph_alloc(host, 1, sizeof(GraphSet));
	uint32_t	leaf;
	uint32_t	i;
	uint32_t	j;
	uint32_t	k;

	for (leaf = 0; leaf < nleaves; leaf++)
		limit = GRAPH_MAX(limit, leaf_start[leaf + 1] - leaf_start[leaf]);
	ld = graph_align(limit);
	rows = graph_alloc(host, (size_t) limit * space->width, sizeof(float));
	norms = graph_alloc(host, ld, sizeof(float));
	dist = graph_alloc(host, PARTITION_BLOCK * ld, sizeof(float));
	zeros = graph_alloc(host, ld, sizeof(float));
	memset(zeros, 0, ld * sizeof(float));
	hits = graph_alloc(host, limit, sizeof(uint32_t));
	fresh = graph_alloc(host, limit, sizeof(GraphEntry));
	scratch = graph_alloc(host, GRAPH_MAX(limit, GRAPH_FRESH_MAX),
						  sizeof(GraphEntry));
	memset(set, 0, sizeof(GraphSet));

	for (leaf = 0; leaf < nleaves; leaf++)
	{
		const uint32_t *members = nodes + leaf_start[leaf];
		uint32_t	m = leaf_start[leaf + 1] - leaf_start[leaf];

		graph_load(space, graph_row(space, members[0]), NULL, origin);
		graph_gather(space, origin, members, m, rows, norms);
		for (i = 0; i < m; i += PARTITION_BLOCK)
		{
			uint32_t	nb = GRAPH_MIN(PARTITION_BLOCK, m - i);

			graph_products(space, rows + (size_t) i * space->width, nb,
						   rows, m, dist, ld);
			for (j = 0; j < nb; j++)
			{
				uint32_t	node = members[i + j];
				float	   *row = dist + j * ld;
				uint32_t	nhits;
				uint32_t	nfresh = 0;

				if (i + j + 1 < m)
					graph_pool_prefetch(pools, members[i + j + 1]);
				nhits = graph_near(row, norms[i + j], norms,
								   graph_pool_worst(pools, node), zeros, m,
								   hits);
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
	graph_release(host, set);
	graph_release(host, scratch);
	graph_release(host, fresh);
	graph_release(host, hits);
	graph_release(host, zeros);
	graph_release(host, dist);
	graph_release(host, norms);
	graph_release(host, rows);
	graph_release(host, origin);
}

/*
 * Peak memory of both, in bytes.
 */
size_t
graph_partition_memory(uint32_t n, uint32_t dim)
{
	size_t		row = (size_t) graph_align(dim) * sizeof(float);

	return (size_t) n * (sizeof(uint32_t) + sizeof(uint8_t)) +
		(PARTITION_FANOUT + PARTITION_BLOCK + 1) * row +
		PARTITION_STACK * sizeof(PartitionRange) +
		GRAPH_MAX((size_t) PARTITION_LEAF_BYTES, 64 * row) +
		sizeof(PartitionState) + sizeof(GraphSet) + 256 * 1024;
}
