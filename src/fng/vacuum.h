/*-------------------------------------------------------------------------
 *
 * vacuum.h
 *	  What the files of VACUUM share; see vacuum.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_VACUUM_H
#define DESCARTES_VACUUM_H

#include "access/genam.h"
#include "fng.h"
#include "tids.h"

typedef struct FngRepair FngRepair;

/*
 * In-degrees, one byte for each id: the edges of live nodes that lead to it,
 * FNG_INDEGREE_MAX at most, and whether a node that went led to it, too.
 */
#define FNG_INDEGREE_MAX	0x7F
#define FNG_INDEGREE_LOST	0x80

/*
 * Live nodes that lost edges are linked again if fewer than this lead to
 * them.
 */
#define FNG_INDEGREE_FLOOR	4

/* One call of ambulkdelete, or of amvacuumcleanup if there was none. */
typedef struct FngVacuum
{
	IndexVacuumInfo *info;
	Relation	index;
	IndexBulkDeleteResult *stats;
	IndexBulkDeleteCallback callback;	/* NULL: all rows stay */
	void	   *callback_state;
	MemoryContext context;		/* lives as long as this struct */
	MemoryContext page_context; /* reset for every page */

	FngMetaPageData meta;
	FngLayout	layout;
	BlockNumber nblocks;		/* pages behind these are not looked at */
	uint64		nids;
	PGAlignedBlock page;		/* copy of the page at hand */

	/* deadlist.c */
	uint8	   *doomed;			/* nodes to be unlinked, a bit for each id;
								 * NULL if there are none */
	uint64		ndoomed;
	uint64		nfreeable;		/* nodes of the list to be freed */
	BlockNumber *blocks;		/* pages that the list leads to, in order */
	uint32		nblocks_listed;
	bool		may_free;		/* false if the last VACUUM broke off while it
								 * unlinked */
	uint64		removable;		/* stamps up to this are behind the horizon */
	uint64		recent;			/* stamps from this on are not */
	uint32	   *left;			/* nodes of the next list */
	uint64		nleft;
	uint64		left_capacity;

	/* tidvacuum.c */
	FngTidVacuum tids;			/* empty pages of TIDs */

	/* unlink.c */
	FngRepair  *repair;
	uint8	   *in_degree;		/* NULL if not counted */
	uint32	   *spared;			/* nodes that were doomed first */
	uint32		nspared;
	uint32		spared_capacity;
	uint64		nlive;			/* live nodes of the base */
	uint32		any_live;		/* one of them, with a row, or FNG_NO_ID */
	bool		room_found;		/* the free space map has changed */
} FngVacuum;

static inline bool
fng_is_doomed(const FngVacuum *vacuum, uint32 id)
{
	return vacuum->doomed != NULL && id < vacuum->nids &&
		(vacuum->doomed[id / 8] & (1 << id % 8)) != 0;
}

/* deadlist.c */
extern void fng_dead_load(FngVacuum *vacuum);
extern bool fng_dead_removable(FngVacuum *vacuum, uint64 stamp);
extern void fng_dead_add(FngVacuum *vacuum, uint32 id);
extern void fng_dead_announce(FngVacuum *vacuum);
extern void fng_dead_save(FngVacuum *vacuum);

/* unlink.c */
extern void fng_unlink_begin(FngVacuum *vacuum);
extern void fng_unlink_node_page(FngVacuum *vacuum, BlockNumber block);
extern void fng_unlink_finish(FngVacuum *vacuum);

/* repair.c */
extern FngRepair *fng_repair_create(const FngVacuum *vacuum);
extern bool fng_repair_needed(const FngVacuum *vacuum, const char *slot);
extern void fng_repair_drop(const FngVacuum *vacuum, char *slot);
extern void fng_repair_slot(FngRepair *repair, uint32 id, uint8 level, char *slot);

/* relink.c */
extern void fng_relink(FngVacuum *vacuum);

#endif							/* DESCARTES_VACUUM_H */
