/*-------------------------------------------------------------------------
 *
 * scan.h
 *	  The two ways to read the index besides the graph: the sweep, in exact
 *	  order, and the walk, in no order.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_FNG_SCAN_H
#define DESCARTES_FNG_SCAN_H

#include "search.h"

/* What this backend has seen; shown by descartes_index_stats. */
extern uint64 fng_late_finds;
extern uint64 fng_prefetches;
extern uint64 fng_sweeps;

/* One ORDER BY key: a query, or NULL if the key is NULL. */
typedef struct FngOrderKey
{
	const float *query;
} FngOrderKey;

/* sweep.c */
typedef struct FngSweep FngSweep;

extern FngSweep *fng_sweep_start(Relation index, const FngLayout *layout,
								 FngSearch *returned, const FngOrderKey *keys,
								 int nkeys, MemoryContext parent);
extern bool fng_sweep_next(FngSweep *sweep, ItemPointer tid);
extern void fng_sweep_end(FngSweep *sweep);

/* The TIDs of all rows of one page, any kind of page; in no order. */
#define FNG_MAX_TIDS_OF_PAGE	FNG_TIDS_PER_PAGE
extern uint32 fng_walk_page(Relation index, const FngLayout *layout,
							BlockNumber block, BufferAccessStrategy strategy,
							ItemPointerData *tids);

#endif							/* DESCARTES_FNG_SCAN_H */
