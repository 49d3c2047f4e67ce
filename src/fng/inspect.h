/*-------------------------------------------------------------------------
 *
 * inspect.h
 *	  What the functions that look at a whole index have in common: who may
 *	  call them on what, copies of pages, and a map of all nodes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_INSPECT_H
#define DESCARTES_INSPECT_H

#include "fng.h"
#include "storage/lockdefs.h"
#include "utils/acl.h"

/* An index opened for a maintenance function, and what to put back after. */
typedef struct FngInspection
{
	Relation	heap;
	Relation	index;
	LOCKMODE	lockmode;
	Oid			caller;			/* who called; now we are the table's owner */
	int			sec_context;
	int			guc_level;
} FngInspection;

/* Whether the user may do to the table what a function is about to do. */
typedef bool (*FngMay) (Oid heapid, Oid userid);

extern void fng_inspect_begin(FngInspection *inspection, Oid indexid,
							  LOCKMODE lockmode);
extern void fng_inspect_begin_if(FngInspection *inspection, Oid indexid,
								 LOCKMODE lockmode, FngMay may, AclResult otherwise);
extern void fng_inspect_end(FngInspection *inspection);
extern bool fng_inspect_page(Relation index, BlockNumber block,
							 BufferAccessStrategy strategy, Page copy);
extern BlockNumber fng_inspect_next(FngPass *pass, Page copy);

/*
 * One byte for every id that the relation can hold.  FNG_MAP_USED is set for
 * live and dead nodes, which both navigate; only then the rest means
 * something.  But a node that is unlinked has its level and FNG_MAP_DEAD
 * alone: nothing should lead to it.
 */
#define FNG_MAP_LEVEL		0x07
#define FNG_MAP_USED		0x08
#define FNG_MAP_DEAD		0x10
#define FNG_MAP_ROWS		0x20	/* live, and a heap row is there to find */
#define FNG_MAP_REACHED		0x40	/* see fng_map_reach */
#define FNG_MAP_EXPANDED	0x80

StaticAssertDecl(FNG_MAX_LEVELS - 1 <= FNG_MAP_LEVEL, "a level fits the map");

typedef struct FngNodeMap
{
	Relation	index;
	BufferAccessStrategy strategy;
	FngLayout	layout;
	BlockNumber nblocks;		/* pages behind these are not looked at */
	uint64		nids;
	uint8	   *nodes;			/* FNG_MAP_*, nids of them */
} FngNodeMap;

extern void fng_map_init(FngNodeMap *map, Relation index,
						 const FngMetaPageData *meta,
						 BufferAccessStrategy strategy);
extern bool fng_map_has(const FngNodeMap *map, uint32 id, uint8 level);
extern bool fng_map_has_unlinked(const FngNodeMap *map, uint32 id, uint8 level);
extern void fng_map_reach(FngNodeMap *map, const FngMetaPageData *meta);

#endif							/* DESCARTES_INSPECT_H */
