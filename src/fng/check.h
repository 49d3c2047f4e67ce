/*-------------------------------------------------------------------------
 *
 * check.h
 *	  What the files of the verifier share; see check.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_CHECK_H
#define DESCARTES_CHECK_H

#include "inspect.h"
#include "lib/bloomfilter.h"
#include "utils/snapshot.h"
#include "utils/tuplesort.h"

/* What is known of every page after the first pass: one byte each. */
#define FNG_CHECK_KIND		0x07	/* FngPageKind, 0 for a page of zeros */
#define FNG_CHECK_CLAIMED	0x08	/* some chain has it */
#define FNG_CHECK_TIDS		0x10	/* holds heap TIDs */

/* For messages about a page that are not about one of its slots. */
#define FNG_CHECK_NO_SLOT	(-1)

typedef struct FngCheck
{
	Relation	heap;
	Relation	index;
	BufferAccessStrategy strategy;
	bool		related;		/* comparing pages with each other */
	XLogRecPtr	replayed;		/* of a standby, when we began */

	const FngOpclass *opclass;
	FngMetaPageData meta;
	FngNodeMap	map;
	uint8	   *pages;			/* FNG_CHECK_* of each block */
	uint64		nused[FNG_MAX_LEVELS];	/* nodes of each level */
	uint64		ntids;			/* heap TIDs on all pages */
	BlockNumber heap_blocks;

	/* check_graph.c: points of coded space, by id % npoints */
	FngIndex   *cached;
	uint32		npoints;
	uint32	   *point_ids;
	float	   *points;
	float	   *origin;			/* the point of the node being checked */
	float	   *coded;			/* scratch: code.dim floats */
	float	   *value;			/* scratch: dim floats */
	uint8	   *row;			/* scratch: one code */

	/* check_heap.c */
	Tuplesortstate *tids;
	TupleTableSlot *unsorted;	/* what is put */
	TupleTableSlot *sorted;		/* what comes back */
	Snapshot	snapshot;
	bloom_filter *filter;		/* NULL unless heapallindexed */
	uint8	   *element;		/* scratch: what goes into the filter */
} FngCheck;

extern void fng_check_corrupted(FngCheck *check, BlockNumber block, int slot,
								const char *format,...)
			__attribute__((format(printf, 4, 5), noreturn));
extern void fng_check_claim(FngCheck *check, BlockNumber from, int slot,
							BlockNumber block, FngPageKind kind);

/* check_graph.c */
extern void fng_check_levels(FngCheck *check);
extern void fng_check_nodes(FngCheck *check);
extern void fng_check_reach(FngCheck *check);

/* check_heap.c */
extern void fng_check_heap_begin(FngCheck *check, bool heapallindexed);
extern void fng_check_node_tids(FngCheck *check, uint32 id,
								const FngNodeData *node, const float *value);
extern void fng_check_special_tids(FngCheck *check);
extern void fng_check_unique_tids(FngCheck *check);
extern bool fng_check_row_visible(FngCheck *check, uint32 id,
								  const FngNodeData *node);
extern void fng_check_heap(FngCheck *check);
extern void fng_check_heap_end(FngCheck *check);

#endif							/* DESCARTES_CHECK_H */
