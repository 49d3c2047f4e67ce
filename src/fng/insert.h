/*-------------------------------------------------------------------------
 *
 * insert.h
 *	  Linking one more node into the graph, as aminsert and the build use it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_FNG_INSERT_H
#define DESCARTES_FNG_INSERT_H

#include "search.h"

/* What the inserts of one statement, or several, or a build, share. */
typedef struct FngInserter
{
	Relation	relation;
	Oid			relid;
	bool		building;
	bool		busy;			/* with a row */
	const FngOpclass *opclass;
	MemoryContext context;		/* lives as long as the inserter */
	MemoryContext row_context;	/* reset for every row */
	const FngIndex *index;		/* current for the row at hand */
	FngSearch  *search;
	GraphParams graph;

	/* targets of edges that a node gave up, if keep_dropped */
	bool		keep_dropped;
	uint32	   *dropped;
	uint32		ndropped;
	uint32		dropped_capacity;
} FngInserter;

/*
 * A node in the three shapes that linking needs: its stored value, its point
 * of coded space, and that rotated.
 */
typedef struct FngPoint
{
	uint32		id;
	float		aux;
	const float *value;
	const float *coded;
	float	   *rotated;		/* NULL until needed */
	float		dist;			/* squared, in coded space, to the node at
								 * hand */
	uint32		tie;			/* the order of those at the same distance */
	bool		protect;		/* the node at hand must keep its edge to it */
	XLogRecPtr	lsn;			/* of its page when it was visited */

	/* its own edges, where somebody has read them: ids, and which are anchors */
	const uint32 *edges;
	const bool *anchors;
	uint32		nedges;
} FngPoint;

/* insert.c */
extern FngInserter *fng_inserter_create(Relation index, const FngOpclass *opclass,
										bool building, MemoryContext parent);
extern void fng_insert_value(FngInserter *inserter, Datum value, ItemPointer tid);
extern void fng_insert_floats(FngInserter *inserter, const float *floats, ItemPointer tid);
extern void fng_check_value_dim(const FngMetaPageData *meta, uint32 dim);
extern bool fng_same_vector(uint32 dim, const float *a, const float *b);
extern uint32 fng_insert_at_level(FngInserter *inserter, uint8 level, FngPoint *point,
								  ItemPointer tid, uint32 down,
								  const FngVisit *visits, uint32 nvisits);
extern char *fng_make_image(FngInserter *inserter, uint8 level, FngPoint *point,
							ItemPointer tid, uint32 link, FngPoint **chosen,
							uint32 nchosen);

/* upper.c */
extern void fng_promote(FngInserter *inserter, FngPoint *point);
extern uint32 fng_place_upper(FngInserter *inserter, uint8 level, char *image,
							  const float *value, uint32 victim);

/* link.c */
extern void fng_point_init(FngInserter *inserter, FngPoint *point, uint32 id,
						   const float *value, float aux);
extern uint32 fng_choose_edges(FngInserter *inserter, FngPoint *node,
							   FngPoint *candidates, uint32 ncandidates, uint32 most,
							   FngPoint **chosen);
extern void fng_make_edges(FngInserter *inserter, FngPoint *node, FngPoint **chosen,
						   uint32 nchosen, FngEdge *edges);
extern void fng_rotate_point(FngInserter *inserter, FngPoint *point);
extern void fng_link_new(FngInserter *inserter, uint8 level, FngPoint *point,
						 FngPoint **chosen, uint32 nchosen);
extern bool fng_link_back(FngInserter *inserter, uint8 level, FngPoint *from,
						  FngPoint *to, bool anchor);

/* reselect.c */
extern bool fng_reselect(FngInserter *inserter, FngPoint *from, char *slot,
						 const FngEdge *added);

/* slots.c */
extern Buffer fng_find_base_slot(FngInserter *inserter, uint32 *slot, bool *is_new);
extern bool fng_find_free_slot(const FngLayout *layout, Page page, uint32 *slot);
extern void fng_use_slot(const FngLayout *layout, Page page, uint32 slot,
						 const char *image);
extern void fng_write_chain(FngInserter *inserter, uint32 id, Buffer buffer,
							uint32 slot, char *image, const float *value);
extern void fng_init_node_page(Page page, uint8 level);
extern uint32 fng_new_id(FngInserter *inserter, Buffer buffer, uint32 slot);

/* finish.c */
extern bool fng_find_or_link(FngInserter *inserter, uint32 id, const float *value, float aux);

#endif							/* DESCARTES_FNG_INSERT_H */
