/*-------------------------------------------------------------------------
 *
 * frontier.h
 *	  Where the unexpanded candidates of a graph search wait.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_FNG_FRONTIER_H
#define DESCARTES_FNG_FRONTIER_H

#include <math.h>

#include "fng.h"

typedef struct Candidate
{
	float		estimate;
	uint32		id;
} Candidate;

/* What a search knows of the nodes that it has expanded. */
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

/* Places of the table of nodes visited, a power of two. */
#define FNG_SEEN_BITS	10

/*
 * Candidates that are likely to be expanded are in "best", the others in
 * "later", both in no order.  No estimate in later is less than any in best,
 * nor less than later_least.  Whatever is below bound goes to best.
 */
typedef struct FngFrontier
{
	float	   *best_estimates;
	uint32	   *best_ids;
	uint32		nbest;
	uint32		max_best;		/* when more than these are there, half go */
	uint32		best_capacity;
	uint32		least;			/* place of the least if not visited, or
								 * FNG_NO_LEAST if that is to be found out */
	float	   *scratch;		/* as large as best_estimates */

	float	   *later_estimates;
	uint32	   *later_ids;		/* FNG_NO_ID for no candidate */
	Size		nlater;
	Size		later_capacity;
	float		later_least;
	float		bound;

	/* nodes visited, but for those whose place another took */
	uint32		seen[1 << FNG_SEEN_BITS];
} FngFrontier;

#define FNG_NO_LEAST	PG_UINT32_MAX

extern void fng_frontier_init(FngFrontier *frontier);
extern void fng_frontier_reset(FngFrontier *frontier, uint32 list_size);
extern void fng_frontier_reserve(FngFrontier *frontier);
extern void fng_frontier_add_block(FngFrontier *frontier, uint32 n, const uint32 *ids,
								   uint32 below);
extern void fng_frontier_insert(FngFrontier *frontier, Candidate candidate);
extern bool fng_frontier_peek(FngFrontier *frontier, visited_hash *visited,
							  bool depends, Candidate *candidate);
extern bool fng_frontier_pop(FngFrontier *frontier, visited_hash *visited,
							 bool depends, Candidate *candidate);

/* The place of a node in seen. */
static inline uint32
fng_seen_place(uint32 id)
{
	return fng_hash_id(id) >> (32 - FNG_SEEN_BITS);
}

/* Note that a node was entered into visited: it is no candidate any more. */
static inline void
fng_frontier_forget(FngFrontier *frontier, uint32 id)
{
	frontier->seen[fng_seen_place(id)] = id;
	if (frontier->least != FNG_NO_LEAST && frontier->best_ids[frontier->least] == id)
		frontier->least = FNG_NO_LEAST;
}

static inline bool
fng_frontier_is_empty(const FngFrontier *frontier)
{
	return frontier->nbest == 0 && frontier->nlater == 0;
}

/* No unvisited candidate has a lesser estimate. */
static inline float
fng_frontier_least(FngFrontier *frontier, visited_hash *visited)
{
	Candidate	candidate;

	if (fng_frontier_peek(frontier, visited, false, &candidate))
		return candidate.estimate;
	return frontier->nlater > 0 ? frontier->later_least : INFINITY;
}

static inline Size
fng_frontier_bytes(const FngFrontier *frontier)
{
	return frontier->best_capacity * (2 * sizeof(float) + sizeof(uint32)) +
		frontier->later_capacity * (sizeof(float) + sizeof(uint32));
}

#endif							/* DESCARTES_FNG_FRONTIER_H */
