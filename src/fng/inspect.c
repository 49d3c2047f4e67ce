/*-------------------------------------------------------------------------
 *
 * inspect.c
 *	  What the functions that look at a whole index have in common.
 *
 * The rules of access are those of contrib/amcheck and of VACUUM: the table
 * is locked before its index, index expressions run as the table's owner in a
 * security-restricted operation, and only who owns the table (or, from 17 on,
 * has MAINTAIN on it) may ask for that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "inspect.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

static bool may_maintain(Oid heapid, Oid userid);
static void check_kind(Oid indexid);
static void check_usable(Relation index);
static void copy_page(Buffer buffer, Page copy);
static void expand_page(FngNodeMap *map, BlockNumber block, Page page,
						bool *backwards);
static void reach(FngNodeMap *map, uint32 id, uint8 level, BlockNumber from,
				  bool *backwards);

/*
 * Open an fng index for a maintenance function: takes lockmode on its table,
 * then on the index, and becomes the table's owner until fng_inspect_end.
 * Raises an error if the caller may not maintain the table, or if this is not
 * a valid fng index that this session can read.
 */
void
fng_inspect_begin(FngInspection *inspection, Oid indexid, LOCKMODE lockmode)
{
	fng_inspect_begin_if(inspection, indexid, lockmode, may_maintain, ACLCHECK_NOT_OWNER);
}

/*
 * The same for a function with a condition of its own; "otherwise" is what to
 * say to who does not meet it.
 */
void
fng_inspect_begin_if(FngInspection *inspection, Oid indexid, LOCKMODE lockmode,
					 FngMay may, AclResult otherwise)
{
	Oid			heapid;

	check_kind(indexid);
	heapid = IndexGetRelation(indexid, false);

	/* before waiting for a lock: nobody may block what is not theirs */
	if (!may(heapid, GetUserId()))
		aclcheck_error(otherwise, OBJECT_INDEX, get_rel_name(indexid));
	if (RecoveryInProgress() && lockmode > RowExclusiveLock)
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot change index \"%s\" during recovery",
						get_rel_name(indexid))));

	inspection->lockmode = lockmode;
	inspection->heap = table_open(heapid, lockmode);
	GetUserIdAndSecContext(&inspection->caller, &inspection->sec_context);
	SetUserIdAndSecContext(inspection->heap->rd_rel->relowner,
						   inspection->sec_context | SECURITY_RESTRICTED_OPERATION);
	inspection->guc_level = NewGUCNestLevel();
#ifdef ACL_MAINTAIN
	RestrictSearchPath();		/* came with the privilege */
#endif
	inspection->index = index_open(indexid, lockmode);

	/* we looked both up without a lock: look again */
	if (heapid != IndexGetRelation(indexid, true) ||
		!may(heapid, inspection->caller))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("could not open parent table of index \"%s\"",
						RelationGetRelationName(inspection->index))));
	check_usable(inspection->index);
}

/* Undo fng_inspect_begin.  An error does the same by aborting. */
void
fng_inspect_end(FngInspection *inspection)
{
	AtEOXact_GUC(false, inspection->guc_level);
	SetUserIdAndSecContext(inspection->caller, inspection->sec_context);

	/* nothing done here sends invalidations, so the locks may go early */
	index_close(inspection->index, inspection->lockmode);
	table_close(inspection->heap, inspection->lockmode);
}

/*
 * True if the user owns the table, by itself or through a role, or has the
 * privilege for it that servers since 17 know.
 */
static bool
may_maintain(Oid heapid, Oid userid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(heapid));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = has_privs_of_role(userid, ((Form_pg_class) GETSTRUCT(tuple))->relowner);
	ReleaseSysCache(tuple);
#ifdef ACL_MAINTAIN
	result = result || pg_class_aclcheck(heapid, userid, ACL_MAINTAIN) == ACLCHECK_OK;
#endif
	return result;
}

/* Raise an error unless the OID is that of an index with storage. */
static void
check_kind(Oid indexid)
{
	char		relkind = get_rel_relkind(indexid);

	if (relkind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", indexid)));
	if (relkind == RELKIND_PARTITIONED_INDEX)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a partitioned index", get_rel_name(indexid)),
				 errhint("Name the indexes of its partitions.")));
	if (relkind != RELKIND_INDEX)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an index", get_rel_name(indexid))));
}

/*
 * Raise an error unless the open index is one of ours that can be read here.
 * The handler is compared, not the name: an access method has any name.
 */
static void
check_usable(Relation index)
{
	const char *name = RelationGetRelationName(index);

	if (index->rd_indam->ambuild != fng_build)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an fng index", name)));
	if (RELATION_IS_OTHER_TEMP(index))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot access temporary indexes of other sessions"),
				 errdetail("Index \"%s\" is associated with a temporary table.", name)));
	if (!index->rd_index->indisvalid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" is not valid", name),
				 errhint("Please REINDEX it.")));
	if (index->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED &&
		RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot access unlogged index \"%s\" during recovery", name)));
}

/*
 * Copy a page (BLCKSZ bytes).  Returns false if it is all zeros, as pages are
 * that a crash or an error left behind between extension and first use.
 * Takes and releases a share lock.
 */
bool
fng_inspect_page(Relation index, BlockNumber block,
				 BufferAccessStrategy strategy, Page copy)
{
	copy_page(ReadBufferExtended(index, MAIN_FORKNUM, block, RBM_NORMAL, strategy), copy);
	return !PageIsNew(copy);
}

/*
 * Copy the next page of a pass that is not all zeros.  Returns its block, or
 * InvalidBlockNumber at the end.  Takes and releases share locks.
 */
BlockNumber
fng_inspect_next(FngPass *pass, Page copy)
{
	Buffer		buffer;

	while ((buffer = fng_pass_next(pass)) != InvalidBuffer)
	{
		BlockNumber block = BufferGetBlockNumber(buffer);

		copy_page(buffer, copy);
		if (!PageIsNew(copy))
			return block;
	}
	return InvalidBlockNumber;
}

/* Copy a page that is pinned, and release it. */
static void
copy_page(Buffer buffer, Page copy)
{
	CHECK_FOR_INTERRUPTS();
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	memcpy(copy, BufferGetPage(buffer), BLCKSZ);
	UnlockReleaseBuffer(buffer);
}

/* Make an empty map of the index as large as it is now. */
void
fng_map_init(FngNodeMap *map, Relation index, const FngMetaPageData *meta,
			 BufferAccessStrategy strategy)
{
	map->index = index;
	map->strategy = strategy;
	fng_layout_from_meta(meta, &map->layout);
	map->nblocks = RelationGetNumberOfBlocks(index);
	map->nids = (uint64) map->nblocks * map->layout.slots_per_page;
	map->nids = Min(map->nids, (uint64) FNG_NO_ID);
	map->nodes = MemoryContextAllocExtended(CurrentMemoryContext,
											Max(map->nids, 1),
											MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

/* True if the id is that of a node that navigates on this level. */
bool
fng_map_has(const FngNodeMap *map, uint32 id, uint8 level)
{
	return id < map->nids && (map->nodes[id] & FNG_MAP_USED) &&
		(map->nodes[id] & FNG_MAP_LEVEL) == level;
}

/* True if the id is that of an unlinked node of this level. */
bool
fng_map_has_unlinked(const FngNodeMap *map, uint32 id, uint8 level)
{
	return id < map->nids &&
		(map->nodes[id] & (FNG_MAP_USED | FNG_MAP_DEAD | FNG_MAP_LEVEL)) ==
		(FNG_MAP_DEAD | level);
}

/*
 * Mark the nodes that a search can reach: it starts from all nodes of the top
 * level, or from the entry if there are none, and follows edges and the way
 * down.
 *
 * This is a breadth-first search over the disk: each round reads, in the
 * order of blocks, those pages that hold reached nodes not yet expanded.  No
 * queue is needed, and the number of rounds is about the graph's diameter.
 */
void
fng_map_reach(FngNodeMap *map, const FngMetaPageData *meta)
{
	uint32		per_page = map->layout.slots_per_page;
	bool		again = false;
	bool		started = false;
	PGAlignedBlock page;

	for (uint64 id = 0; meta->nlevels > 1 && id < map->nids; id++)
	{
		if (!fng_map_has(map, (uint32) id, meta->nlevels - 1))
			continue;
		reach(map, (uint32) id, meta->nlevels - 1, 0, &again);
		started = true;
	}
	if (!started)
		reach(map, meta->entry, 0, 0, &again);

	do
	{
		again = false;
		for (uint64 first = 0; first < map->nids; first += per_page)
		{
			BlockNumber block = (BlockNumber) (first / per_page);
			bool		wanted = false;

			for (uint64 id = first; id < Min(first + per_page, map->nids); id++)
				wanted |= (map->nodes[id] & (FNG_MAP_REACHED | FNG_MAP_EXPANDED)) ==
					FNG_MAP_REACHED;
			if (wanted && fng_inspect_page(map->index, block, map->strategy, page.data))
				expand_page(map, block, page.data, &again);
		}
	} while (again);
}

/*
 * Follow the edges of the reached nodes of a page, given its copy.  Sets
 * *backwards if that reached a node of this block or an earlier one.
 */
static void
expand_page(FngNodeMap *map, BlockNumber block, Page page, bool *backwards)
{
	const FngLayout *layout = &map->layout;
	uint32		ids[FNG_MAX_DEGREE + PG_UINT8_MAX];

	for (uint32 i = 0; i < layout->slots_per_page; i++)
	{
		char	   *slot = FngPageSlot(layout, page, i);
		uint64		id = (uint64) block * layout->slots_per_page + i;
		uint8		level;
		uint32		nedges;

		if (id >= map->nids ||
			(map->nodes[id] & (FNG_MAP_REACHED | FNG_MAP_EXPANDED)) != FNG_MAP_REACHED)
			continue;
		map->nodes[id] |= FNG_MAP_EXPANDED;
		level = map->nodes[id] & FNG_MAP_LEVEL;
		if (!fng_node_usable(layout, page, i, level))
			continue;			/* changed since the map was made */

		nedges = fng_slot_edge_ids(layout, slot, ids);
		for (uint32 k = 0; k < nedges; k++)
			reach(map, ids[k], level, block, backwards);
		if (level > 0)
			reach(map, FngSlotNode(slot)->link, level - 1, block, backwards);
	}
}

/* Mark one node; an edge to what is none on that level leads nowhere. */
static void
reach(FngNodeMap *map, uint32 id, uint8 level, BlockNumber from, bool *backwards)
{
	if (!fng_map_has(map, id, level) || (map->nodes[id] & FNG_MAP_REACHED))
		return;
	map->nodes[id] |= FNG_MAP_REACHED;
	if (FngIdBlock(&map->layout, id) <= from)
		*backwards = true;
}
