/*-------------------------------------------------------------------------
 *
 * check.c
 *	  descartes_index_check: verifies an index, as contrib/amcheck does for
 *	  B-trees.
 *
 * The first pass takes each page by itself: header, kind, the meta page's
 * values, the state and the counts of each slot, factors, TIDs.  It makes a
 * map of all nodes and a list of all pages.  Later passes compare pages with
 * each other, on the safe ground of the first:
 *
 *	check_graph.c	chains of levels and vectors, edges and their targets,
 *					codes, ways down, reachability
 *	check_heap.c	chains of TIDs, one place for each heap TID, and with
 *					heapallindexed: every row of the table is in the index,
 *					with this very vector
 *
 * Locks.  The table and the index are locked in share mode, so that nobody
 * inserts or vacuums: every check is exact, and one that fails proves damage.
 * Reading goes on.  During recovery such locks are not to be had, and replay
 * goes on.  There a disagreement between pages counts only if nothing was
 * replayed since the check began; otherwise it says so and asks for a pause.
 *
 * What a crash or an error may leave behind is no damage: pages of zeros,
 * reserved slots, vector pages whose owner does not point back, TID pages
 * without TIDs, nodes without incoming edges whose rows were never committed,
 * edges from dead nodes to unlinked ones.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "catalog/pg_am.h"
#include "../distance/half.h"
#include "check.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(descartes_index_check);

static void check_meta(FngCheck *check);
static void check_meta_options(FngCheck *check);
static void check_page(FngCheck *check, BlockNumber block, Page page);
static void check_page_header(FngCheck *check, BlockNumber block, Page page);
static bool is_filling(const FngCheck *check, Page page);
static void check_node_page(FngCheck *check, BlockNumber block, Page page);
static void check_slot(FngCheck *check, BlockNumber block, uint32 slot,
					   uint8 level, const char *bytes);
static void check_node_header(FngCheck *check, BlockNumber block, uint32 slot,
							  uint8 level, const FngNodeData *node);
static void check_lanes(FngCheck *check, BlockNumber block, uint32 slot,
						const char *bytes);
static void check_pending(FngCheck *check, BlockNumber block, uint32 slot,
						  const char *bytes);
static void check_tid_page(FngCheck *check, BlockNumber block, Page page);
static void check_tid(FngCheck *check, BlockNumber block, int slot,
					  const ItemPointerData *tid);
static void check_dead_ids(FngCheck *check, BlockNumber block, Page page);
static bool all_zero(const char *bytes, Size nbytes);

/*
 * descartes_index_check(index regclass, heapallindexed boolean) returns void
 *
 * Raises ERRCODE_INDEX_CORRUPTED at the first damage it finds.
 */
Datum
descartes_index_check(PG_FUNCTION_ARGS)
{
	FngInspection inspection;
	MemoryContext context;
	MemoryContext caller_context;
	FngCheck	check = {0};
	PGAlignedBlock page;
	FngPass		pass;
	BlockNumber block;

	fng_inspect_begin(&inspection, PG_GETARG_OID(0),
					  RecoveryInProgress() ? AccessShareLock : ShareLock);
	context = AllocSetContextCreate(CurrentMemoryContext, "fng check",
									ALLOCSET_DEFAULT_SIZES);
	caller_context = MemoryContextSwitchTo(context);

	check.heap = inspection.heap;
	check.index = inspection.index;
	check.strategy = GetAccessStrategy(BAS_BULKREAD);
	if (RecoveryInProgress())
		check.replayed = GetXLogReplayRecPtr(NULL);

	/* each page by itself */
	check_meta(&check);
	fng_pass_begin(&pass, check.index, 0, check.map.nblocks, check.strategy);
	while ((block = fng_inspect_next(&pass, page.data)) != InvalidBlockNumber)
		check_page(&check, block, page.data);
	fng_pass_end(&pass);

	/* pages against each other, and against the table */
	check.related = true;
	fng_check_levels(&check);
	fng_check_heap_begin(&check, PG_GETARG_BOOL(1));
	fng_check_nodes(&check);
	fng_check_special_tids(&check);
	fng_check_unique_tids(&check);
	fng_check_reach(&check);
	fng_check_heap(&check);
	fng_check_heap_end(&check);

	MemoryContextSwitchTo(caller_context);
	MemoryContextDelete(context);
	fng_inspect_end(&inspection);
	PG_RETURN_VOID();
}

/*
 * Raise the error for a damage found.  Replay may have changed one page
 * between our looks at it and at another: then there is nothing to tell.
 */
void
fng_check_corrupted(FngCheck *check, BlockNumber block, int slot,
					const char *format,...)
{
	StringInfoData what;
	va_list		args;
	int			needed;

	if (check->related && RecoveryInProgress() &&
		check->replayed != GetXLogReplayRecPtr(NULL))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" could not be checked while recovery goes on",
						RelationGetRelationName(check->index)),
				 errhint("Call pg_wal_replay_pause() before and pg_wal_replay_resume() after the check.")));

	initStringInfo(&what);
	for (;;)
	{
		va_start(args, format);
		needed = appendStringInfoVA(&what, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&what, needed);
	}

	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 slot == FNG_CHECK_NO_SLOT ?
			 errmsg("index \"%s\" is corrupted in block %u: %s",
					RelationGetRelationName(check->index), block, what.data) :
			 errmsg("index \"%s\" is corrupted in block %u, slot %d: %s",
					RelationGetRelationName(check->index), block, slot, what.data),
			 errhint("Please REINDEX it.")));
}

/*
 * Note that a chain which is being followed from "from" has a page.  Every
 * page belongs to one chain at most, and a chain that comes back to a page of
 * its own would not end.
 */
void
fng_check_claim(FngCheck *check, BlockNumber from, int slot, BlockNumber block,
				FngPageKind kind)
{
	if (block >= check->map.nblocks)
		fng_check_corrupted(check, from, slot, "chain leads to block %u of %u",
							block, check->map.nblocks);
	if ((check->pages[block] & FNG_CHECK_KIND) != kind)
		fng_check_corrupted(check, from, slot,
							"chain leads to block %u of kind %d instead of %d",
							block, check->pages[block] & FNG_CHECK_KIND, kind);
	if (check->pages[block] & FNG_CHECK_CLAIMED)
		fng_check_corrupted(check, from, slot,
							"chain leads to block %u, which belongs to a chain already",
							block);
	check->pages[block] |= FNG_CHECK_CLAIMED;
}

/*
 * Read the meta page, which checks it against the layout, the operator class
 * and the column.  Prepares the map of nodes and the list of pages.
 */
static void
check_meta(FngCheck *check)
{
	FngMetaPageData *meta = &check->meta;

	if (RelationGetNumberOfBlocks(check->index) == 0)
		fng_check_corrupted(check, FNG_META_BLOCK, FNG_CHECK_NO_SLOT, "it is missing");
	fng_read_meta(check->index, meta);
	check->opclass = fng_opclass(check->index);

	fng_map_init(&check->map, check->index, meta, check->strategy);
	check->pages = palloc_extended(check->map.nblocks, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	check->heap_blocks = RelationGetNumberOfBlocks(check->heap);
	check_meta_options(check);
}

/* What of the meta page is neither layout nor definition. */
static void
check_meta_options(FngCheck *check)
{
	const FngMetaPageData *meta = &check->meta;
	BlockNumber nblocks = check->map.nblocks;
	BlockNumber heads[] = {meta->centre, meta->null_head, meta->nan_head,
	meta->dead_head, meta->free_tids[0], meta->free_tids[1], meta->free_tids[2]};

	if (!(meta->calibrated_recall >= 0 && meta->calibrated_recall <= 1))
		fng_check_corrupted(check, FNG_META_BLOCK, FNG_CHECK_NO_SLOT,
							"calibrated recall is %g", meta->calibrated_recall);
	for (size_t i = 0; i < lengthof(heads); i++)
	{
		if (BlockNumberIsValid(heads[i]) && heads[i] >= nblocks)
			fng_check_corrupted(check, FNG_META_BLOCK, FNG_CHECK_NO_SLOT,
								"chain starts in block %u of %u", heads[i], nblocks);
	}
	for (uint32 level = 1; level < FNG_MAX_LEVELS; level++)
	{
		if (BlockNumberIsValid(meta->level_head[level]) != (level < meta->nlevels))
			fng_check_corrupted(check, FNG_META_BLOCK, FNG_CHECK_NO_SLOT,
								"of %u levels, level %u starts in block %u",
								meta->nlevels, level, meta->level_head[level]);
	}
}

/* First pass: one page, given its copy. */
static void
check_page(FngCheck *check, BlockNumber block, Page page)
{
	FngPageOpaque opaque;

	check_page_header(check, block, page);
	opaque = FngPageGetOpaque(page);
	check->pages[block] = opaque->kind;

	switch ((FngPageKind) opaque->kind)
	{
		case FNG_PAGE_META:
			if (block != FNG_META_BLOCK)
				fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
									"it is a second meta page");
			break;
		case FNG_PAGE_NODE:
			check_node_page(check, block, page);
			break;
		case FNG_PAGE_VECTOR:
			if (FngPageGetVector(page)->nbytes < 1 ||
				FngPageGetVector(page)->nbytes > FNG_VECTOR_BYTES_PER_PAGE)
				fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
									"piece of a vector has %u bytes",
									FngPageGetVector(page)->nbytes);
			break;
		case FNG_PAGE_TIDS:
		case FNG_PAGE_NULLS:
		case FNG_PAGE_NANS:
			check_tid_page(check, block, page);
			break;
		case FNG_PAGE_DEAD:
			if (FngPageGetDead(page)->nids > FNG_DEAD_PER_PAGE)
				fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
									"list of dead nodes counts %u ids",
									FngPageGetDead(page)->nids);
			if (FngPageGetDead(page)->unlinking > 1)
				fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
									"state of the list of dead nodes is %u",
									FngPageGetDead(page)->unlinking);
			check_dead_ids(check, block, page);
			break;
	}
}

/* The page header and the special space. */
static void
check_page_header(FngCheck *check, BlockNumber block, Page page)
{
	PageHeader	header = (PageHeader) page;
	FngPageOpaque opaque;
	Size		lower;

	if (PageGetPageSize(page) != BLCKSZ ||
		PageGetPageLayoutVersion(page) != PG_PAGE_LAYOUT_VERSION ||
		header->pd_special != BLCKSZ - sizeof(FngPageOpaqueData) ||
		header->pd_upper != header->pd_special)
		fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
							"page header is not that of an fng page");
	opaque = FngPageGetOpaque(page);
	if (opaque->page_id != FNG_PAGE_ID)
		fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
							"page id is %04X", opaque->page_id);
	if (opaque->version != FNG_FORMAT_VERSION)
		fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
							"format version of the page is %u", opaque->version);
	if (opaque->kind < FNG_PAGE_META || opaque->kind > FNG_PAGE_DEAD)
		fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
							"kind of the page is %u", opaque->kind);
	if (opaque->unused != 0)
		fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
							"unused bytes of the special space are %04X", opaque->unused);
	if (opaque->level >= FNG_MAX_LEVELS ||
		(opaque->level != 0 && opaque->kind != FNG_PAGE_NODE))
		fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
							"level of the page is %u", opaque->level);
	if (BlockNumberIsValid(opaque->next) && opaque->next >= check->map.nblocks)
		fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
							"next page is %u of %u", opaque->next, check->map.nblocks);

	/* what lies between the two would be lost in a full-page image */
	lower = opaque->kind == FNG_PAGE_META ?
		(char *) FngPageGetMeta(page) - (char *) page + sizeof(FngMetaPageData) :
		header->pd_special;
	if (header->pd_lower != lower &&
		(opaque->kind != FNG_PAGE_NODE || !is_filling(check, page)))
		fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
							"page contents end at %u instead of %zu",
							header->pd_lower, lower);
}

/*
 * Does a page of nodes end with a slot, and are all behind it free?  Inserts
 * fill pages so.
 */
static bool
is_filling(const FngCheck *check, Page page)
{
	const FngLayout *layout = &check->map.layout;
	uint32		nslots = 0;

	while (nslots < layout->slots_per_page &&
		   FngPageSlot(layout, page, nslots) - (char *) page < ((PageHeader) page)->pd_lower)
		nslots++;
	if (FngPageSlot(layout, page, nslots) - (char *) page != ((PageHeader) page)->pd_lower)
		return false;
	for (uint32 i = nslots; i < layout->slots_per_page; i++)
	{
		if (FngSlotNode(FngPageSlot(layout, page, i))->flags != 0)
			return false;
	}
	return true;
}

static void
check_node_page(FngCheck *check, BlockNumber block, Page page)
{
	const FngLayout *layout = &check->map.layout;
	FngPageOpaque opaque = FngPageGetOpaque(page);

	if (opaque->level > 0 && opaque->level >= check->meta.nlevels)
		fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
							"page is of level %u of %u", opaque->level,
							check->meta.nlevels);
	if (opaque->level == 0 && BlockNumberIsValid(opaque->next))
		fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
							"page of the base is chained to block %u", opaque->next);
	for (uint32 i = 0; i < layout->slots_per_page; i++)
	{
		/* pages behind the last id hold no nodes */
		if ((uint64) block * layout->slots_per_page + i < check->map.nids)
			check_slot(check, block, i, opaque->level, FngPageSlot(layout, page, i));
	}
}

/* One slot by itself; enters its node in the map. */
static void
check_slot(FngCheck *check, BlockNumber block, uint32 slot, uint8 level,
		   const char *bytes)
{
	const FngNodeData *node = (const FngNodeData *) bytes;
	uint8	   *entry = &check->map.nodes[FngMakeId(&check->map.layout, block, slot)];

	if (node->flags == 0)
	{
		Size		after = offsetof(FngNodeData, vector) + sizeof(node->vector);

		/* a chain that is ready for the next vector may stay */
		if (!all_zero(bytes, offsetof(FngNodeData, vector)) ||
			!all_zero(bytes + after, check->map.layout.slot_size - after) ||
			(check->map.layout.vector_inline && node->vector != 0))
			fng_check_corrupted(check, block, slot, "free slot is not empty");
		return;
	}
	if (node->flags != FNG_NODE_LIVE && node->flags != FNG_NODE_DEAD &&
		node->flags != FNG_NODE_UNLINKED)
		fng_check_corrupted(check, block, slot, "flags are %04X", node->flags);

	check_node_header(check, block, slot, level, node);
	check_lanes(check, block, slot, bytes);
	check_pending(check, block, slot, bytes);

	if (node->flags == FNG_NODE_UNLINKED)
	{
		*entry = FNG_MAP_DEAD | level;
		return;
	}
	*entry = FNG_MAP_USED | level;
	if (node->flags == FNG_NODE_DEAD)
		*entry |= FNG_MAP_DEAD;
	else if (ItemPointerIsValid(&node->tid))
	{
		*entry |= FNG_MAP_ROWS;
		check->ntids++;
	}
	check->nused[level]++;
}

static void
check_node_header(FngCheck *check, BlockNumber block, uint32 slot, uint8 level,
				  const FngNodeData *node)
{
	bool		dead = node->flags != FNG_NODE_LIVE;

	if (dead != (node->stamp != 0))
		fng_check_corrupted(check, block, slot, "%s node has stamp " UINT64_FORMAT,
							dead ? "dead" : "live", node->stamp);
	if (node->mark != FNG_NODE_MARK + level)
		fng_check_corrupted(check, block, slot, "mark is %08X", node->mark);
	if (ItemPointerIsValid(&node->tid))
	{
		if (dead || level > 0)
			fng_check_corrupted(check, block, slot, "%s has a heap TID",
								dead ? "dead node" : "node of an upper level");
		check_tid(check, block, slot, &node->tid);
	}
	if (node->degree > check->map.layout.max_degree)
		fng_check_corrupted(check, block, slot, "%u edges of at most %u",
							node->degree, check->map.layout.max_degree);
	if (node->npending > check->map.layout.max_pending)
		fng_check_corrupted(check, block, slot, "%u pending edges of at most %u",
							node->npending, check->map.layout.max_pending);
	if (level > 0 && level == check->meta.nlevels - 1 &&
		node->degree + node->npending > 0)
		fng_check_corrupted(check, block, slot, "node of the top level has edges");
	if (!isfinite(node->mul_scale) || node->mul_scale < 0)
		fng_check_corrupted(check, block, slot, "scale of the factors is %g",
							node->mul_scale);
	if (!isfinite(node->aux))
		fng_check_corrupted(check, block, slot, "norm or added coordinate is %g",
							node->aux);
}

/*
 * Ids and factors of the blocks.  An infinite add is not damage: vectors
 * whose squares exceed float32 have it (see check_graph.c for its value).
 */
static void
check_lanes(FngCheck *check, BlockNumber block, uint32 slot, const char *bytes)
{
	const FngLayout *layout = &check->map.layout;
	const uint32 *ids = FngSlotIds(layout, bytes);
	const float *add = FngSlotAdd(layout, bytes);
	const uint16 *mul = FngSlotMul(layout, bytes);
	uint32		degree = ((const FngNodeData *) bytes)->degree;

	for (uint32 i = 0; i < layout->max_degree; i++)
	{
		if (i < degree)
		{
			if (isnan(add[i]) || !isfinite(half_to_float(mul[i])))
				fng_check_corrupted(check, block, slot,
									"factors of edge %u are %g and %g",
									i, add[i], half_to_float(mul[i]));
		}
		else if (ids[i] != FNG_NO_ID || !isinf(add[i]) || add[i] < 0 || mul[i] != 0)
			fng_check_corrupted(check, block, slot,
								"unused lane %u has id %u, factors %g and %g",
								i, ids[i], add[i], half_to_float(mul[i]));
	}
}

static void
check_pending(FngCheck *check, BlockNumber block, uint32 slot, const char *bytes)
{
	uint32		npending = ((const FngNodeData *) bytes)->npending;

	for (uint32 i = 0; i < npending; i++)
	{
		const FngPendingData *pending = FngSlotPending(&check->map.layout, bytes, i);

		if (isnan(pending->add) || !isfinite(half_to_float(pending->mul)) ||
			pending->unused != 0)
			fng_check_corrupted(check, block, slot,
								"factors of pending edge %u are %g and %g",
								i, pending->add, half_to_float(pending->mul));
	}
}

static void
check_tid_page(FngCheck *check, BlockNumber block, Page page)
{
	FngTidPage	tids = FngPageGetTids(page);

	if (tids->ntids > FNG_TIDS_PER_PAGE)
		fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT, "%u heap TIDs of at most %d",
							tids->ntids, FNG_TIDS_PER_PAGE);
	for (uint32 i = 0; i < tids->ntids; i++)
	{
		if (!ItemPointerIsValid(&tids->tids[i]))
			fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
								"heap TID %u is invalid", i);
		check_tid(check, block, FNG_CHECK_NO_SLOT, &tids->tids[i]);
	}
	if (tids->ntids > 0)
		check->pages[block] |= FNG_CHECK_TIDS;
	check->ntids += tids->ntids;
}

/*
 * VACUUM takes TIDs from the index before the heap can give up their blocks.
 * Only of a heap do we know that its TIDs are in its blocks.
 */
static void
check_tid(FngCheck *check, BlockNumber block, int slot, const ItemPointerData *tid)
{
	if (check->heap->rd_rel->relam == HEAP_TABLE_AM_OID && !RecoveryInProgress() &&
		ItemPointerGetBlockNumberNoCheck(tid) >= check->heap_blocks)
		fng_check_corrupted(check, block, slot,
							"heap TID (%u,%u) is behind the table's %u blocks",
							ItemPointerGetBlockNumberNoCheck(tid),
							ItemPointerGetOffsetNumberNoCheck(tid),
							check->heap_blocks);
}

/* The list is a hint, but its ids have been those of nodes. */
static void
check_dead_ids(FngCheck *check, BlockNumber block, Page page)
{
	FngDeadPage list = FngPageGetDead(page);

	for (uint32 i = 0; i < list->nids; i++)
	{
		if (list->ids[i] >= check->map.nids)
			fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
								"node %u of the list of dead nodes does not exist",
								list->ids[i]);
	}
}

static bool
all_zero(const char *bytes, Size nbytes)
{
	for (Size i = 0; i < nbytes; i++)
	{
		if (bytes[i] != 0)
			return false;
	}
	return true;
}
