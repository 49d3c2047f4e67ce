/*-------------------------------------------------------------------------
 *
 * improve.h
 *	  What the phases of descartes_index_refine share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_FNG_IMPROVE_H
#define DESCARTES_FNG_IMPROVE_H

#include "build.h"

/* A live node should have so many edges of live nodes that lead to it. */
#define FNG_MIN_IN_DEGREE	4

/*
 * Nodes of one level drawn at random: those of the least hashes, so that the
 * same nodes are drawn again while they are there.
 */
typedef struct FngSample
{
	uint8		level;
	uint64		nlive;			/* live nodes of the level */
	uint32		n;
	uint32		hashes[FNG_TOP_TARGET]; /* ascending */
	uint32		ids[FNG_TOP_TARGET];
} FngSample;

typedef struct FngImprove
{
	Relation	index;
	FngLayout	layout;
	FngInserter *inserter;
	MemoryContext context;		/* lives as long as the call */
	BlockNumber nblocks;		/* pages behind these are not looked at */
	uint64		nids;

	/* edges of live nodes that lead to the ids from first_id on */
	uint8	   *in_degree;		/* stop at their largest value */
	uint64		first_id;
	uint64		ncounted;

	FngSample	sample;

	/* what was done, for the log */
	uint64		nchanged;
	uint64		nmissed;
	uint64		nweak;
} FngImprove;

/* Edges that are known to lead to a node; the most there is if not counted. */
static inline uint8
fng_in_degree(const FngImprove *improve, uint32 id)
{
	uint64		at = (uint64) id - improve->first_id;

	return id >= improve->first_id && at < improve->ncounted ? improve->in_degree[at] :
		PG_UINT8_MAX;
}

/* An edge to a node came. */
static inline void
fng_in_degree_add(FngImprove *improve, uint32 id)
{
	if (fng_in_degree(improve, id) < PG_UINT8_MAX)
		improve->in_degree[id - improve->first_id]++;
}

/* An edge to a node went. */
static inline void
fng_in_degree_remove(FngImprove *improve, uint32 id)
{
	uint8		now = fng_in_degree(improve, id);

	if (now > 0 && now < PG_UINT8_MAX)
		improve->in_degree[id - improve->first_id]--;
}

/* improve.c */
extern void fng_improve_phase(FngPhase phase, BlockNumber nblocks);
extern void fng_improve_progress(BlockNumber done);
extern void fng_improve_note(FngImprove *improve, BlockNumber block);
extern FngMetaPage fng_improve_lock_meta(FngImprove *improve, FngChange *change,
										 Buffer *buffer);
extern void fng_improve_write_meta(FngChange *change, Buffer buffer);
extern void fng_improve_refresh(FngImprove *improve);
extern bool fng_improve_read(FngImprove *improve, uint8 level, uint32 id,
							 FngPoint *point, FngNodeData *node);
extern uint32 fng_improve_live(FngImprove *improve, BlockNumber block, uint8 *level,
							   uint32 *ids);

/* improve_nodes.c */
extern void fng_improve_nodes(FngImprove *improve, BlockNumber first);

/* improve_reach.c */
extern void fng_improve_count(FngImprove *improve, uint64 first_id, FngSample *sample);
extern void fng_improve_reach(FngImprove *improve);
extern int	fng_compare_visits(const void *a, const void *b);

/* improve_top.c */
extern void fng_sample_offer(FngSample *sample, uint32 id, uint64 seed);
extern void fng_improve_top(FngImprove *improve);

#endif							/* DESCARTES_FNG_IMPROVE_H */
