/*-------------------------------------------------------------------------
 *
 * recall.h
 *	  Control rows, by which the recall of an index is measured.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_FNG_RECALL_H
#define DESCARTES_FNG_RECALL_H

#include "build.h"

typedef struct FngControls
{
	FngBuild   *build;			/* whose team shares the work, or NULL */
	Relation	index;
	const FngLayout *layout;
	uint32		n;
	uint32		k;
	uint32	   *ids;			/* n */
	float	   *queries;		/* n * dim */
	double	   *nearest;		/* n * k true scores, each a max-heap's array
								 * kept sorted */
} FngControls;

/* truth.c */
extern void fng_find_truth(FngControls *controls);
extern void fng_merge_truth(FngControls *controls);

#endif							/* DESCARTES_FNG_RECALL_H */
