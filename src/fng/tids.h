/*-------------------------------------------------------------------------
 *
 * tids.h
 *	  Pages of heap TIDs that were taken out of their chains, and VACUUM's
 *	  part in that.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_FNG_TIDS_H
#define DESCARTES_FNG_TIDS_H

#include "fng.h"

/* What a free page holds where others have TIDs. */
#define FngPageGetFreeTids(page)	((FngFreeTidsData *) FngPageGetTids(page)->tids)

/* Is a page of TIDs, of any kind, free: empty and in no chain? */
static inline bool
fng_is_free_tid_page(Page page)
{
	return FngPageGetTids(page)->ntids == 0 &&
		FngPageGetFreeTids(page)->magic == FNG_FREE_TIDS_MAGIC;
}

/* tidvacuum.c */

/* A chain with an empty page: of a node, or of the NULL or NaN rows. */
typedef struct FngEmptyTids
{
	uint32		owner;			/* node id, or FNG_NO_ID */
	FngPageKind kind;
} FngEmptyTids;

/* What VACUUM keeps of pages of TIDs from its pass until after it. */
typedef struct FngTidVacuum
{
	Relation	index;
	FngLayout	layout;
	BlockNumber nblocks;
	BlockNumber last_free[FNG_TID_KINDS];	/* last pages of the lists of free
											 * pages, if known */
	FngEmptyTids *empty;		/* one for each empty page, in any order */
	uint64		nempty;
	uint64		capacity;

	/* results */
	BlockNumber pages_freed;
	uint32	   *died;			/* nodes that have lost their last row */
	uint32		ndied;
	uint32		died_capacity;
} FngTidVacuum;

extern void fng_tid_vacuum_begin(FngTidVacuum *vacuum, Relation index,
								 const FngLayout *layout, BlockNumber nblocks);
extern void fng_tid_vacuum_page(FngTidVacuum *vacuum, BlockNumber block, Page page);
extern void fng_tid_vacuum_end(FngTidVacuum *vacuum);

#endif							/* DESCARTES_FNG_TIDS_H */
