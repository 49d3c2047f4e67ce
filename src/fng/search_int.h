/*-------------------------------------------------------------------------
 *
 * search_int.h
 *	  The state of a graph search, for search.c, expand.c and prefetch.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_FNG_SEARCH_INT_H
#define DESCARTES_FNG_SEARCH_INT_H

#include <math.h>

#include "frontier.h"
#include "search.h"

#define MH_PREFIX found
#define MH_ELEMENT FngFound
#define MH_KEY(e) ((e).score)
#include "minheap.h"

/* Places of the table of blocks asked for. */
#define FNG_ASKED		256

struct FngSearch
{
	Relation	relation;
	FngIndex   *index;
	CompatRelFile file;
	MemoryContext context;		/* lives as long as the search */
	MemoryContext visit_context;	/* what fng_search_collect returns */
	const DistanceKernels *kernels;

	/* the query */
	float	   *query;			/* as the heap has it */
	float		query_aux;
	float	   *coded;			/* before and after rotation */
	float	   *rotated;
	CodeQuery  *code_query;
	CodeQuery  *top_query;
	uint32		list_size;
	float		explore;		/* search_explore_factor * code_error_scale */
	double		query_squared;	/* |q|^2 in coded space, rotated and centred */

	/* progress */
	uint8		level;
	FngFrontier frontier;		/* unexpanded candidates */
	bool		has_next;
	Candidate	next;			/* to be visited next, on its way to the cache */
	FngFound   *near;
	uint32		nnear;
	uint32		near_capacity;
	found_heap	far;
	visited_hash *visited;
	uint64		expansions;
	uint64		max_expansions;
	uint64		returned;

	/* scratch of one expansion */
	BlockNumber block;			/* of the node being visited */
	float	   *chained;		/* a vector from its chain */
	float		scores[CODE_LANES];

	/* visits kept for fng_search_collect */
	bool		collecting;
	FngVisit   *visits;
	uint32		nvisits;
	uint32		visits_capacity;

	/* blocks that this search has asked for, see prefetch.c */
	bool		asking;			/* false: asked is that of an earlier one */
	BlockNumber asked[FNG_ASKED];
};

/* expand.c */
extern void fng_expand_best(FngSearch *search);
extern void fng_remember_buffer(FngIndex *index, BlockNumber block, Buffer buffer);

/* prefetch.c */
extern Buffer fng_read_ahead(FngSearch *search, BlockNumber block);

/* Is there nothing left to expand? */
static inline bool
fng_search_exhausted(const FngSearch *search)
{
	return !search->has_next && fng_frontier_is_empty(&search->frontier);
}

/*
 * No unexpanded candidate has a lesser estimate than this; there must be one.
 */
static inline float
fng_least_estimate(FngSearch *search)
{
	float		least = fng_frontier_least(&search->frontier, search->visited);

	if (search->has_next)
		least = Min(least, search->next.estimate);
	return least;
}

#endif							/* DESCARTES_FNG_SEARCH_INT_H */
