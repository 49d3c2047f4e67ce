/*-------------------------------------------------------------------------
 *
 * improve.c
 *	  descartes_index_refine: making the graph of a living index as good as
 *	  that of a new one, while others search and insert.
 *
 *	count		how many edges lead to each node
 *	refine		each live node chooses its edges anew, by their exact vectors,
 *				among what a search for it visits and what it has
 *				(improve_nodes.c)
 *	repair		nodes to which too few edges lead, or that are not found by
 *				their own vectors, get some (improve_reach.c)
 *	top			the sample of nodes from which searches start (improve_top.c)
 *	calibrate	the default list size (recall.c)
 *
 * The lock is VACUUM's, so that no node dies meanwhile.  All of it can stop
 * anywhere: each change is a record of its own that leaves a valid index, as
 * those of inserts do.  The meta page keeps how far the second phase, by far
 * the longest, has come; the next call goes on there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/progress.h"
#include "commands/vacuum.h"
#include "improve.h"
#include "inspect.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/backend_progress.h"
#include "utils/backend_status.h"
#include "utils/memutils.h"
#include "utils/rel.h"

static bool begin_progress(const FngInspection *inspection);
static uint64 improve_index(Relation index);
static void improve_in_order(FngImprove *improve, BlockNumber first);
static void recalibrate(FngImprove *improve);

PG_FUNCTION_INFO_V1(descartes_index_refine);

/*
 * descartes_index_refine(index regclass) returns bigint
 *
 * The number of nodes whose edges were chosen anew and differ from what they
 * were.  Takes its time as VACUUM does: by the cost-based delay.
 */
Datum
descartes_index_refine(PG_FUNCTION_ARGS)
{
	FngInspection inspection;
	bool		progress;
	volatile uint64 nchanged = 0;

	fng_inspect_begin(&inspection, PG_GETARG_OID(0), ShareUpdateExclusiveLock);
	progress = begin_progress(&inspection);
	compat_begin_vacuum_costs();
	PG_TRY();
	{
		nchanged = improve_index(inspection.index);
	}
	PG_FINALLY();
	{
		VacuumCostActive = false;
	}
	PG_END_TRY();
	if (progress)
		pgstat_progress_end_command();
	fng_inspect_end(&inspection);
	PG_RETURN_INT64((int64) nchanged);
}

/*
 * Show the work where that of CREATE INDEX is shown, unless we are called
 * within a command that shows its own.  An error ends it by aborting.
 */
static bool
begin_progress(const FngInspection *inspection)
{
	const int	params[] = {
		PROGRESS_CREATEIDX_INDEX_OID,
		PROGRESS_CREATEIDX_ACCESS_METHOD_OID,
		PROGRESS_CREATEIDX_PHASE
	};
	const int64 values[] = {
		RelationGetRelid(inspection->index),
		inspection->index->rd_rel->relam,
		PROGRESS_CREATEIDX_PHASE_BUILD
	};

	if (MyBEEntry != NULL && MyBEEntry->st_progress_command != PROGRESS_COMMAND_INVALID)
		return false;
	pgstat_progress_start_command(PROGRESS_COMMAND_CREATE_INDEX,
								  RelationGetRelid(inspection->heap));
	pgstat_progress_update_multi_param(3, params, values);
	return true;
}

/* Enter a phase that looks at so many blocks. */
void
fng_improve_phase(FngPhase phase, BlockNumber nblocks)
{
	const int	params[] = {
		PROGRESS_CREATEIDX_SUBPHASE,
		PROGRESS_SCAN_BLOCKS_TOTAL,
		PROGRESS_SCAN_BLOCKS_DONE
	};
	const int64 values[] = {phase, nblocks, 0};

	if (MyBEEntry != NULL && MyBEEntry->st_progress_command == PROGRESS_COMMAND_CREATE_INDEX)
		pgstat_progress_update_multi_param(3, params, values);
}

void
fng_improve_progress(BlockNumber done)
{
	if (MyBEEntry != NULL && MyBEEntry->st_progress_command == PROGRESS_COMMAND_CREATE_INDEX)
		pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, done);
}

/* Improve an index that is open and locked.  Returns the number of nodes changed. */
static uint64
improve_index(Relation index)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fng refine",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	FngImprove *improve = palloc0(sizeof(FngImprove));
	FngMetaPageData meta;
	uint64		nchanged;

	fng_read_meta(index, &meta);
	improve->index = index;
	improve->context = context;
	improve->nblocks = RelationGetNumberOfBlocks(index);
	fng_layout_from_meta(&meta, &improve->layout);
	improve->nids = Min((uint64) improve->nblocks * improve->layout.slots_per_page,
						(uint64) FNG_NO_ID);
	improve->inserter = fng_inserter_create(index, fng_opclass(index), false, context);
	improve->inserter->keep_dropped = true;
	fng_improve_refresh(improve);

	if (meta.nlevels > 0)
		improve_in_order(improve, Max(meta.refine_block, FNG_META_BLOCK + 1));
	fng_improve_note(improve, 0);
	ereport(DEBUG1,
			(errmsg_internal("fng: of index \"%s\" " UINT64_FORMAT " nodes were changed, "
							 UINT64_FORMAT " were not found by their own vector, "
							 UINT64_FORMAT " had too few edges leading to them",
							 RelationGetRelationName(index), improve->nchanged,
							 improve->nmissed, improve->nweak)));
	nchanged = improve->nchanged;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return nchanged;
}

/* The phases, the second of them from the given block on. */
static void
improve_in_order(FngImprove *improve, BlockNumber first)
{
	if (first < improve->nblocks)
	{
		fng_improve_count(improve, 0, NULL);
		fng_improve_nodes(improve, first);
		fng_improve_note(improve, improve->nblocks);
	}
	for (uint64 id = 0; id < improve->nids; id += improve->ncounted)
	{
		fng_improve_count(improve, id, id == 0 ? &improve->sample : NULL);
		fng_improve_reach(improve);
	}
	fng_improve_top(improve);
	recalibrate(improve);
}

/* Note where the next call is to go on; 0 if all is done. */
void
fng_improve_note(FngImprove *improve, BlockNumber block)
{
	FngChange	change;
	Buffer		buffer;
	FngMetaPage meta = fng_improve_lock_meta(improve, &change, &buffer);

	meta->refine_block = block;
	fng_improve_write_meta(&change, buffer);
	ereport(DEBUG1,
			(errmsg_internal("fng: index \"%s\" is refined up to block %u",
							 RelationGetRelationName(improve->index), block)));
}

/* Lock the meta page for a change of it alone. */
FngMetaPage
fng_improve_lock_meta(FngImprove *improve, FngChange *change, Buffer *buffer)
{
	*buffer = ReadBuffer(improve->index, FNG_META_BLOCK);
	LockBuffer(*buffer, BUFFER_LOCK_EXCLUSIVE);
	fng_check_page(improve->index, *buffer, FNG_PAGE_META);
	fng_change_begin(change, improve->index, false);
	return FngPageGetMeta(fng_change_page(change, *buffer, false));
}

void
fng_improve_write_meta(FngChange *change, Buffer buffer)
{
	fng_change_finish(change);
	UnlockReleaseBuffer(buffer);
}

/*
 * Measure the list size that searches need now.  An index that was made on an
 * empty table gets its first one.
 */
static void
recalibrate(FngImprove *improve)
{
	uint32		list_size;
	float		recall;
	FngChange	change;
	Buffer		buffer;
	FngMetaPage meta;

	fng_improve_phase(FNG_PHASE_CALIBRATE, 0);
	if (!fng_calibrate_again(improve->index, improve->sample.nlive, &list_size, &recall))
		return;
	meta = fng_improve_lock_meta(improve, &change, &buffer);
	meta->calibrated_search_res_cnt = list_size;
	meta->calibrated_recall = recall;
	fng_improve_write_meta(&change, buffer);
}

/*
 * Let the inserter use the index as it is now: others add to the top level.
 */
void
fng_improve_refresh(FngImprove *improve)
{
	FngInserter *inserter = improve->inserter;
	const FngIndex *now;

	MemoryContextReset(inserter->row_context);
	now = fng_index_open(improve->index, inserter->row_context);
	if (inserter->search == NULL || fng_search_index(inserter->search) != now)
	{
		if (inserter->search != NULL)
			fng_search_free(inserter->search);
		inserter->search = fng_search_create(improve->index, inserter->context);
	}
	inserter->index = fng_search_index(inserter->search);
}

/*
 * Read a live node of a level: its header, and as a point with its edges, in
 * the current memory context.  Returns false if there is none.  Takes and
 * releases share locks.
 */
bool
fng_improve_read(FngImprove *improve, uint8 level, uint32 id, FngPoint *point,
				 FngNodeData *node)
{
	const FngLayout *layout = &improve->layout;
	Buffer		buffer = fng_read_block(improve->index, FngIdBlock(layout, id), NULL);
	const char *slot = FngPageSlot(layout, BufferGetPage(buffer), FngIdSlot(layout, id));
	float	   *value = palloc(layout->vector_bytes);
	uint32		most = layout->max_degree + layout->max_pending;
	uint32	   *edges = palloc(most * sizeof(uint32));
	bool	   *anchors = palloc(most * sizeof(bool));
	uint32		nedges;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (!fng_node_usable(layout, BufferGetPage(buffer), FngIdSlot(layout, id), level) ||
		!(FngSlotNode(slot)->flags & FNG_NODE_LIVE))
	{
		UnlockReleaseBuffer(buffer);
		return false;
	}
	*node = *FngSlotNode(slot);
	nedges = fng_slot_edge_ids(layout, slot, edges);
	fng_slot_anchors(layout, slot, anchors);
	if (layout->vector_inline)
		memcpy(value, FngSlotVector(layout, slot), layout->vector_bytes);
	UnlockReleaseBuffer(buffer);

	if (!layout->vector_inline)
		fng_read_vector_chain(improve->index, node->vector, value, layout->vector_bytes, NULL);
	fng_point_init(improve->inserter, point, id, value, node->aux);
	point->edges = edges;
	point->anchors = anchors;
	point->nedges = nedges;
	return true;
}

/*
 * The ids of the live nodes of a page that have edges to care for, and their
 * level; ids has room for slots_per_page.  Returns their number: 0 for pages of
 * other kinds, and of the top level.  Takes and releases a share lock.
 */
uint32
fng_improve_live(FngImprove *improve, BlockNumber block, uint8 *level, uint32 *ids)
{
	const FngLayout *layout = &improve->layout;
	Buffer		buffer = ReadBuffer(improve->index, block);
	Page		page = BufferGetPage(buffer);
	uint32		n = 0;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (!PageIsNew(page) && fng_page_kind(improve->index, buffer) == FNG_PAGE_NODE)
	{
		*level = FngPageGetOpaque(page)->level;
		for (uint32 i = 0; i < layout->slots_per_page; i++)
		{
			if ((*level == 0 || *level + 1u < improve->inserter->index->meta.nlevels) &&
				fng_node_usable(layout, page, i, *level) &&
				(FngSlotNode(FngPageSlot(layout, page, i))->flags & FNG_NODE_LIVE))
				ids[n++] = FngMakeId(layout, block, i);
		}
	}
	UnlockReleaseBuffer(buffer);
	return n;
}
