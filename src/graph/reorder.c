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
 * Every placement depends on those before: this is for one process.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "graph_int.h"

/* Candidates for the page that are remembered at a time */
#define REORDER_CANDIDATES	512

/* The place of a node that is on a page */
#define REORDER_PLACED		UINT16_MAX

typedef struct ReorderCandidate
{
	uint32_t	node;
	uint32_t	edges;			/* from members of the page */
	uint32_t	rank;			/* strength of the best of them */
} ReorderCandidate;

typedef struct Reorder
{
	const GraphEdges *edges;
	uint16_t   *place;			/* of a node among the candidates, if it is
								 * there, or REORDER_PLACED */
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

	st->order[st->nplaced++] = node;
	st->place[node] = REORDER_PLACED;
	for (i = 0; i < st->edges->degree[node]; i++)
	{
		uint32_t	k = st->place[ids[i]];
		ReorderCandidate *c;

		if (k == REORDER_PLACED)
			continue;
		/* places of earlier pages are out of date, which shows */
		if (k >= st->ncandidates || st->candidates[k].node != ids[i])
		{
			k = st->ncandidates;
			if (k == REORDER_CANDIDATES)
				continue;
			st->ncandidates++;
			st->place[ids[i]] = (uint16_t) k;
			st->candidates[k].node = ids[i];
			st->candidates[k].edges = 0;
			st->candidates[k].rank = i;
		}
		c = &st->candidates[k];
		c->edges++;
		c->rank = GRAPH_MIN(c->rank, i);
	}
}

/*
 * Take the best candidate out of the list; GRAPH_NO_NODE if there is none.
 */
static uint32_t
next_candidate(Reorder *st)
{
	ReorderCandidate *best = NULL;
	uint32_t	node;
	uint32_t	i;

	for (i = 0; i < st->ncandidates; i++)
	{
		ReorderCandidate *c = &st->candidates[i];

		if (best == NULL || c->edges > best->edges ||
			(c->edges == best->edges && c->rank < best->rank))
			best = c;
	}
	if (best == NULL)
		return GRAPH_NO_NODE;
	node = best->node;
	*best = st->candidates[--st->ncandidates];
	st->place[best->node] = (uint16_t) (best - st->candidates);
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
			if (st->place[ids[i]] != REORDER_PLACED)
				return ids[i];
	}
	while (st->place[*unplaced] == REORDER_PLACED)
		(*unplaced)++;
	return *unplaced;
}

static void
reorder(uint32_t n, const GraphEdges *edges, uint32_t entry,
		uint32_t per_page, const GraphHost *host, uint16_t *place,
		uint32_t *order)
{
	uint32_t	frontier = 0;
	uint32_t	unplaced = 0;
	uint64_t	work = 0;
	Reorder    *st = graph_alloc(host, 1, sizeof(Reorder));

	memset(st, 0, sizeof(Reorder));
	st->edges = edges;
	st->order = order;
	st->place = place;
	memset(st->place, 0, n * sizeof(uint16_t));
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
	graph_release(host, st);
}

/*
 * See graph.h.
 */
void
graph_reorder(const GraphVectors *vectors, const GraphEdges *edges,
			  uint32_t entry, uint32_t per_page,
			  const GraphHost *host, uint32_t *order)
{
	uint16_t   *place = graph_alloc_shared(host, vectors->n, sizeof(uint16_t));

	if (host->rank == 0)
		reorder(vectors->n, edges, entry, per_page, host, place, order);
	host->barrier(host->arg);
	graph_release_shared(host, place);
}
