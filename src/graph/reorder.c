/*-------------------------------------------------------------------------
 *
 * reorder.c
 *	  Order of the nodes on pages (algorithms.md section 5.2, step 9).
 *
 * Greedy packing from the entry.  A page starts with the first unplaced
 * neighbour of the earliest placed node that still has one, and is filled
 * with the node that has most edges from the page so far, the stronger edge
 * deciding ties.  Page-mates are then mostly neighbours, so that one pin
 * often serves two visits, and what lies near the entry, visited by most
 * searches, lies on the first pages.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "graph_int.h"

/* Candidates for the page that are remembered at a time */
#define REORDER_CANDIDATES	512

typedef struct ReorderCandidate
{
	uint32_t	node;
	uint32_t	edges;			/* from members of the page */
	uint32_t	rank;			/* strength of the best of them */
} ReorderCandidate;

typedef struct Reorder
{
	const GraphEdges *edges;
	uint8_t    *placed;
	uint32_t   *order;
	uint32_t	nplaced;
	uint32_t	ncandidates;
	ReorderCandidate candidates[REORDER_CANDIDATES];
} Reorder;

/*
 * Place a node and make its unplaced neighbours candidates for its page.
 */
static void
place_node(Reorder *st, uint32_t node)
{
	const uint32_t *ids = st->edges->ids + (size_t) node * st->edges->max_degree;
	uint32_t	i;
	uint32_t	k;

	st->order[st->nplaced++] = node;
	st->placed[node] = true;
	for (i = 0; i < st->edges->degree[node]; i++)
	{
		if (st->placed[ids[i]])
			continue;
		for (k = 0; k < st->ncandidates; k++)
			if (st->candidates[k].node == ids[i])
				break;
		if (k == REORDER_CANDIDATES)
			continue;
		if (k == st->ncandidates)
		{
			st->candidates[k].node = ids[i];
			st->candidates[k].edges = 0;
			st->candidates[k].rank = i;
			st->ncandidates++;
		}
		st->candidates[k].edges++;
		st->candidates[k].rank = GRAPH_MIN(st->candidates[k].rank, i);
	}
}

/*
 * Take the best candidate out of the list; GRAPH_NO_NODE if there is none.
 */
static uint32_t
next_candidate(Reorder *st)
{
	const ReorderCandidate *best = NULL;
	uint32_t	node;
	uint32_t	i;

	for (i = 0; i < st->ncandidates; i++)
	{
		const ReorderCandidate *c = &st->candidates[i];

		if (best == NULL || c->edges > best->edges ||
			(c->edges == best->edges && c->rank < best->rank))
			best = c;
	}
	if (best == NULL)
		return GRAPH_NO_NODE;
	node = best->node;
	st->candidates[best - st->candidates] = st->candidates[--st->ncandidates];
	return node;
}

/*
 * The first unplaced neighbour of the earliest placed node that has one; or,
 * of nodes that no edge leads to, the first.
 */
static uint32_t
next_seed(Reorder *st, uint32_t *frontier, uint32_t *unplaced)
{
	uint32_t	i;

	for (; *frontier < st->nplaced; (*frontier)++)
	{
		uint32_t	node = st->order[*frontier];
		const uint32_t *ids = st->edges->ids +
		(size_t) node * st->edges->max_degree;

		for (i = 0; i < st->edges->degree[node]; i++)
			if (!st->placed[ids[i]])
				return ids[i];
	}
	while (st->placed[*unplaced])
		(*unplaced)++;
	return *unplaced;
}

/*
 * See graph.h.
 */
void
graph_reorder(const GraphVectors *vectors, const GraphEdges *edges,
			  uint32_t entry, uint32_t per_page,
			  const GraphHost *host, uint32_t *order)
{
	uint32_t	n = vectors->n;
	uint32_t	frontier = 0;
	uint32_t	unplaced = 0;
	uint64_t	work = 0;
	Reorder    *st = graph_alloc(host, 1, sizeof(Reorder));

	memset(st, 0, sizeof(Reorder));
	st->edges = edges;
	st->order = order;
	st->placed = graph_alloc(host, n, sizeof(uint8_t));
	memset(st->placed, 0, n);
	while (st->nplaced < n)
	{
		uint32_t	node = GRAPH_NO_NODE;

		if (st->nplaced % per_page != 0)
			node = next_candidate(st);
		else
			st->ncandidates = 0;
		if (node == GRAPH_NO_NODE)
			node = st->nplaced == 0 ? entry :
				next_seed(st, &frontier, &unplaced);
		place_node(st, node);
		if (++work % 64 == 0)
		{
			host->check_interrupts(host->arg);
			host->progress(host->arg, GRAPH_PHASE_REORDER, st->nplaced, n);
		}
	}
	graph_release(host, st->placed);
	graph_release(host, st);
}
