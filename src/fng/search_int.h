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

#include "search.h"

typedef struct Candidate
{
	float		estimate;
	uint32		id;
} Candidate;

#define MH_PREFIX candidate
#define MH_ELEMENT Candidate
#define MH_KEY(e) ((e).estimate)
#include "minheap.h"

#define MH_PREFIX found
#define MH_ELEMENT FngFound
#define MH_KEY(e) ((e).score)
#include "minheap.h"

typedef struct VisitedEntry
{
	uint32		id;
	char		status;			/* simplehash's */
	bool		returned;
} VisitedEntry;

#define SH_PREFIX visited
#define SH_ELEMENT_TYPE VisitedEntry
#define SH_KEY_TYPE uint32
#define SH_KEY id
#define SH_HASH_KEY(tb, key) fng_hash_id(key)
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE

/* Fibonacci hashing spreads consecutive ids well enough. */
static inline uint32
fng_hash_id(uint32 id)
{
	return (uint32) (((uint64) id * UINT64CONST(0x9E3779B97F4A7C15)) >> 32);
}

#include "lib/simplehash.h"

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
	candidate_heap candidates;	/* estimates up to bound */
	Candidate  *later;			/* estimates beyond it, in no order */
	Size		nlater;
	Size		later_capacity;
	float		later_least;	/* least of them; +infinity for none */
	float		bound;
	FngFound   *near;
	uint32		nnear;
	uint32		near_capacity;
	found_heap	far;
	visited_hash *visited;
	uint64		expansions;
	uint64		max_expansions;
	uint64		returned;

	/* scratch of one expansion */
	float	   *chained;		/* a vector from its chain */
	float		scores[CODE_LANES];
	float		estimates[CODE_LANES];

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
	return search->candidates.count == 0 && search->nlater == 0;
}

/* The least estimate of all unexpanded candidates; there must be one. */
static inline float
fng_least_estimate(const FngSearch *search)
{
	if (search->candidates.count == 0)
		return search->later_least;
	return Min(search->candidates.elements[0].estimate, search->later_least);
}

#endif							/* DESCARTES_FNG_SEARCH_INT_H */
