/*-------------------------------------------------------------------------
 *
 * pool.c
 *	  Candidate pools: sorted arrays of (distance, node), and the small tools
 *	  that fill them.
 *
 * The distance of the same two nodes differs in its last bits from block to
 * block (see space.c), so a candidate that is already known is recognized by
 * its node, never by its distance.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "graph_int.h"

/* Runs of this length are sorted by insertion */
#define SORT_RUN		8

/* Empty the set; a set starts its life zeroed. */
void
graph_set_clear(GraphSet *set)
{
	if (++set->epoch == 0)
	{
		memset(set->slots, 0, sizeof(set->slots));
		set->epoch = 1;
	}
}

/*
 * Add a node; false if it was there.  The caller keeps the number of members
 * well below GRAPH_SET_SIZE.
 */
bool
graph_set_add(GraphSet *set, uint32_t node)
{
	uint32_t	slot = (node * 0x9E3779B1u) >> 20;
	uint64_t	member = ((uint64_t) set->epoch << 32) | node;

	while ((uint32_t) (set->slots[slot] >> 32) == set->epoch)
	{
		if (set->slots[slot] == member)
			return false;
		slot = (slot + 1) % GRAPH_SET_SIZE;
	}
	set->slots[slot] = member;
	return true;
}

static void
sort_run(GraphEntry *entries, uint32_t n)
{
	uint32_t	i;

	for (i = 1; i < n; i++)
	{
		GraphEntry	entry = entries[i];
		uint32_t	j = i;

		for (; j > 0 && entries[j - 1] > entry; j--)
			entries[j] = entries[j - 1];
		entries[j] = entry;
	}
}

/*
 * Sort entries (merge sort: n log n whatever the input); scratch has room for
 * n.
 */
void
graph_sort(GraphEntry *entries, GraphEntry *scratch, uint32_t n)
{
	GraphEntry *from = entries;
	GraphEntry *to = scratch;
	uint32_t	run;
	uint32_t	i;

	for (i = 0; i < n; i += SORT_RUN)
		sort_run(entries + i, GRAPH_MIN(SORT_RUN, n - i));
	for (run = SORT_RUN; run < n; run *= 2)
	{
		GraphEntry *swap;

		for (i = 0; i < n; i += 2 * run)
		{
			uint32_t	a = i;
			uint32_t	a_end = GRAPH_MIN(i + run, n);
			uint32_t	b = a_end;
			uint32_t	b_end = GRAPH_MIN(a_end + run, n);
			uint32_t	out = i;

			while (a < a_end && b < b_end)
			{
				bool		left = from[a] <= from[b];

				to[out++] = left ? from[a] : from[b];
				a += left;
				b += !left;
			}
			while (a < a_end)
				to[out++] = from[a++];
			while (b < b_end)
				to[out++] = from[b++];
		}
		swap = from;
		from = to;
		to = swap;
	}
	if (from != entries)
		memcpy(entries, from, n * sizeof(GraphEntry));
}

/*
 * Bring the k smallest of n entries to the front, in no order (quickselect
 * with the median of three).
 */
void
graph_select_smallest(GraphEntry *entries, uint32_t n, uint32_t k)
{
	uint32_t	lo = 0;
	uint32_t	hi = n;

	while (hi - lo > SORT_RUN)
	{
		GraphEntry	a = entries[lo];
		GraphEntry	b = entries[lo + (hi - lo) / 2];
		GraphEntry	c = entries[hi - 1];
		GraphEntry	pivot = a < b ? (b < c ? b : GRAPH_MAX(a, c)) :
		(a < c ? a : GRAPH_MAX(b, c));
		uint32_t	i = lo;
		uint32_t	j = hi - 1;

		/* Hoare's partition: entries[lo .. j] <= pivot <= entries[j+1 ..] */
		for (;;)
		{
			GraphEntry	swap;

			while (entries[i] < pivot)
				i++;
			while (entries[j] > pivot)
				j--;
			if (i >= j)
				break;
			swap = entries[i];
			entries[i++] = entries[j];
			entries[j--] = swap;
		}
		if (k <= j + 1)
		{
			/* never all of the range, so that the loop ends */
			if (hi == j + 1)
				break;
			hi = j + 1;
		}
		else
			lo = j + 1;
	}
	sort_run(entries + lo, hi - lo);
}

/*
 * Merge at most GRAPH_FRESH_MAX fresh entries (in any order, repetitions
 * allowed, the node itself not) into the pool of a node.  scratch has room
 * for GRAPH_FRESH_MAX entries; fresh is destroyed.
 */
void
graph_pool_merge(GraphPools *pools, uint32_t node,
				 GraphEntry *fresh, uint32_t nfresh,
				 GraphEntry *scratch, GraphSet *set)
{
	GraphEntry *pool = pools->entries + (size_t) node * pools->capacity;
	uint32_t	count = pools->count[node];
	uint32_t	kept = 0;
	uint32_t	i;
	uint32_t	j;
	uint32_t	out;

	graph_set_clear(set);
	for (i = 0; i < count; i++)
		graph_set_add(set, graph_entry_node(pool[i]));
	for (i = 0; i < nfresh; i++)
	{
		if (count == pools->capacity && (fresh[i] >> 32) >= (pool[count - 1] >> 32))
			continue;
		if (graph_set_add(set, graph_entry_node(fresh[i])))
			fresh[kept++] = fresh[i];
	}
	if (kept == 0)
		return;
	if (kept > pools->capacity)
	{
		graph_select_smallest(fresh, kept, pools->capacity);
		kept = pools->capacity;
	}
	graph_sort(fresh, scratch, kept);

	out = GRAPH_MIN(count + kept, pools->capacity);
	pools->count[node] = (uint16_t) out;
	memcpy(scratch, pool, count * sizeof(GraphEntry));
	i = 0;
	j = 0;
	while (i + j < out)
	{
		if (j == kept || (i < count && (scratch[i] >> 32) <= (fresh[j] >> 32)))
		{
			pool[i + j] = scratch[i];
			i++;
		}
		else
		{
			pool[i + j] = fresh[j];
			j++;
		}
	}
}
