/*-------------------------------------------------------------------------
 *
 * search.h
 *	  The graph search, as scans, inserts, the build and the recall check use
 *	  it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_FNG_SEARCH_H
#define DESCARTES_FNG_SEARCH_H

#include "fng.h"

/*
 * After so many expansions, or this share of the nodes, a pass over all pages
 * is cheaper than going on in the graph.
 */
#define FNG_MIN_EXPANSIONS	64
#define FNG_SWEEP_SHARE		8

/*
 * Scores.  Smaller is nearer: squared L2 distance, negative inner product,
 * twice the cosine distance.  Monotone in the operator's result and computed
 * by the operator's own kernel.  Under inner product an insert searches in
 * the augmented space (value.c), where query_aux is not 0.
 */
static inline double
fng_score(const FngLayout *layout, const DistanceKernels *kernels,
		  const float *query, float query_aux, const float *value, float value_aux)
{
	switch (layout->metric)
	{
		case FNG_L2:
			return kernels->l2_squared(layout->dim, query, value);
		case FNG_IP:
			return -((double) kernels->dot(layout->dim, query, value) +
					 (double) query_aux * value_aux);
		default:
			return 2 * kernels->cosine(layout->dim, query, value);
	}
}

/*
 * A visited node, as kept for an insert: with its vector, as stored.
 */
typedef struct FngVisit
{
	uint32		id;
	uint16		flags;
	BlockNumber tid_chain;
	float		aux;
	double		score;
	XLogRecPtr	lsn;			/* of the page */
	const float *value;
} FngVisit;

extern FngSearch *fng_search_create(Relation index, MemoryContext parent);
extern void fng_search_set_relation(FngSearch *search, Relation index);
extern const FngIndex *fng_search_index(const FngSearch *search);
extern void fng_search_start(FngSearch *search, const float *query,
							 uint32 list_size, float explore_factor);
extern void fng_search_exclude(FngSearch *search, uint32 id);
extern bool fng_search_next(FngSearch *search, FngFound *found);
extern bool fng_search_returned(FngSearch *search, uint32 id);
extern bool fng_search_reaches(FngSearch *search, const float *value, float aux,
							   uint32 id, uint32 list_size);
extern uint32 fng_search_collect(FngSearch *search, const float *value, float aux,
								 uint32 level, uint32 list_size, FngVisit **visits);
extern void fng_search_forget(FngSearch *search);
extern void fng_search_free(FngSearch *search);

#endif							/* DESCARTES_FNG_SEARCH_H */
