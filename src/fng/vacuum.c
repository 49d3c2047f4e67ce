/*-------------------------------------------------------------------------
 *
 * vacuum.c
 *	  VACUUM: removing heap TIDs, and nodes that nobody can want any more.
 *
 * A node goes free -> live -> dead -> unlinked -> free, one step per VACUUM
 * (the last three):
 *
 *	dead		its last TID is gone.  It navigates as before, but no node that
 *				comes will lead to it.
 *	unlinked	all inserts that can have seen it live are over.  A VACUUM has
 *				taken away all edges that lead to it and repaired the nodes
 *				that had them.  Searches that are on the way may still pass.
 *	free		all of these are over, too.
 *
 * "Over" means that the next full XID, as it was when the state changed (the
 * node's stamp), is behind the horizon of all snapshots.
 *
 * All is done in one pass over the pages, and a list of the dead that the
 * VACUUM before has left (deadlist.c) tells at its start which nodes are to
 * be unlinked: they are doomed.  A page is copied under a share lock; what
 * becomes of it is computed from the copy, and written under an exclusive lock
 * to what has not changed meanwhile (unlink.c, repair.c).  So pages on which
 * nothing changes are only read: CREATE INDEX CONCURRENTLY asks for that when
 * it validates.  After the pass the doomed are called unlinked, and nodes to
 * which too few edges are left get some (relink.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/progress.h"
#include "commands/vacuum.h"
#include "pgstat.h"
#include "storage/freespace.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "vacuum.h"

static FngVacuum *vacuum_begin(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
							   IndexBulkDeleteCallback callback, void *callback_state);
static void vacuum_end(FngVacuum *vacuum);
static void vacuum_all(FngVacuum *vacuum);
static void vacuum_listed(FngVacuum *vacuum);
static void vacuum_page(FngVacuum *vacuum, Buffer buffer);
static void vacuum_tid_page(FngVacuum *vacuum, BlockNumber block);
static bool has_condemned(FngVacuum *vacuum, BlockNumber block, Page page);
static void clear_tid_page(FngVacuum *vacuum, BlockNumber block, Page page);
static bool is_condemned(FngVacuum *vacuum, BlockNumber block, ItemPointer tid);

IndexBulkDeleteResult *
fng_bulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
			   IndexBulkDeleteCallback callback, void *callback_state)
{
	FngVacuum  *vacuum;

	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	vacuum = vacuum_begin(info, stats, callback, callback_state);
	vacuum_all(vacuum);
	vacuum_end(vacuum);
	return stats;
}

/*
 * Without a preceding bulkdelete no row goes, but nodes may wait to be
 * unlinked or freed.  If there are none nothing is done but to read the meta
 * page and the list of the dead, and pg_class keeps its estimate.
 */
IndexBulkDeleteResult *
fng_vacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	if (info->analyze_only)
		return stats;
	if (stats == NULL)
	{
		FngVacuum  *vacuum;

		stats = palloc0(sizeof(IndexBulkDeleteResult));
		vacuum = vacuum_begin(info, stats, NULL, NULL);
		if (vacuum->ndoomed > 0)
			vacuum_all(vacuum);
		else
		{
			if (vacuum->nfreeable > 0)
				vacuum_listed(vacuum);
			stats->num_index_tuples = info->num_heap_tuples;
			stats->estimated_count = true;
		}
		vacuum_end(vacuum);
	}
	stats->num_pages = RelationGetNumberOfBlocks(info->index);
	return stats;
}

static FngVacuum *
vacuum_begin(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
			 IndexBulkDeleteCallback callback, void *callback_state)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fng vacuum",
												  ALLOCSET_DEFAULT_SIZES);
	FngVacuum  *vacuum = MemoryContextAllocZero(context, sizeof(FngVacuum));

	vacuum->context = context;
	vacuum->page_context = AllocSetContextCreate(context, "fng vacuum page",
												 ALLOCSET_DEFAULT_SIZES);
	vacuum->info = info;
	vacuum->index = info->index;
	vacuum->stats = stats;
	vacuum->callback = callback;
	vacuum->callback_state = callback_state;
	vacuum->any_live = FNG_NO_ID;
	fng_read_meta(info->index, &vacuum->meta);
	fng_layout_from_meta(&vacuum->meta, &vacuum->layout);

	/*
	 * Rows of pages that are added from here on are newer than any that the
	 * caller wants removed, and their nodes lead to no doomed one.
	 */
	vacuum->nblocks = RelationGetNumberOfBlocks(info->index);
	vacuum->nids = Min((uint64) vacuum->nblocks * vacuum->layout.slots_per_page,
					   (uint64) FNG_NO_ID);
	fng_dead_load(vacuum);
	return vacuum;
}

static void
vacuum_end(FngVacuum *vacuum)
{
	if (vacuum->room_found)
		FreeSpaceMapVacuum(vacuum->index);
	vacuum->stats->num_pages = vacuum->nblocks;
	MemoryContextDelete(vacuum->context);
}

/* The pass over all pages, and what comes after it. */
static void
vacuum_all(FngVacuum *vacuum)
{
	IndexVacuumInfo *info = vacuum->info;
	FngPass		pass;
	Buffer		buffer;

	vacuum->stats->num_index_tuples = 0;
	vacuum->stats->estimated_count = false;
	vacuum->stats->pages_deleted = 0;
	vacuum->stats->pages_free = 0;
	fng_unlink_begin(vacuum);
	fng_tid_vacuum_begin(&vacuum->tids, vacuum->index, &vacuum->layout, vacuum->nblocks);
	if (info->report_progress)
		pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_TOTAL, vacuum->nblocks);
	fng_pass_begin(&pass, info->index, FNG_META_BLOCK + 1, vacuum->nblocks, info->strategy);
	while ((buffer = fng_pass_next(&pass)) != InvalidBuffer)
	{
		BlockNumber block = BufferGetBlockNumber(buffer);

		vacuum_page(vacuum, buffer);
		if (info->report_progress)
			pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, block);
		compat_vacuum_delay_point();
	}
	fng_pass_end(&pass);
	fng_tid_vacuum_end(&vacuum->tids);
	for (uint32 i = 0; i < vacuum->tids.ndied; i++)
		fng_dead_add(vacuum, vacuum->tids.died[i]);
	vacuum->stats->pages_deleted += vacuum->tids.pages_freed;
	fng_unlink_finish(vacuum);
	fng_dead_save(vacuum);
	fng_relink(vacuum);
}

/* Free what the list says.  No row goes and no edge. */
static void
vacuum_listed(FngVacuum *vacuum)
{
	fng_unlink_begin(vacuum);
	for (uint32 i = 0; i < vacuum->nblocks_listed; i++)
	{
		vacuum_page(vacuum, ReadBufferExtended(vacuum->index, MAIN_FORKNUM, vacuum->blocks[i],
											   RBM_NORMAL, vacuum->info->strategy));
		compat_vacuum_delay_point();
	}
	fng_dead_save(vacuum);
}

/* Do what is to be done about a page.  Releases the caller's pin. */
static void
vacuum_page(FngVacuum *vacuum, Buffer buffer)
{
	BlockNumber block = BufferGetBlockNumber(buffer);
	Page		page = vacuum->page.data;
	FngPageKind kind = FNG_PAGE_META;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	memcpy(page, BufferGetPage(buffer), BLCKSZ);
	if (!PageIsNew(page))
		kind = fng_page_kind(vacuum->index, buffer);
	UnlockReleaseBuffer(buffer);

	if (kind == FNG_PAGE_NODE)
		fng_unlink_node_page(vacuum, block);
	else if (FngIsTidKind(kind))
		vacuum_tid_page(vacuum, block);
}

/* Remove condemned TIDs from a page, given its copy. */
static void
vacuum_tid_page(FngVacuum *vacuum, BlockNumber block)
{
	if (has_condemned(vacuum, block, vacuum->page.data))
	{
		Buffer		buffer = ReadBufferExtended(vacuum->index, MAIN_FORKNUM, block,
												RBM_NORMAL, vacuum->info->strategy);
		FngChange	change;

		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		fng_change_begin(&change, vacuum->index, false);
		clear_tid_page(vacuum, block, fng_change_page(&change, buffer, false));
		fng_change_finish(&change);
		memcpy(vacuum->page.data, BufferGetPage(buffer), BLCKSZ);
		UnlockReleaseBuffer(buffer);
	}
	vacuum->stats->num_index_tuples += FngPageGetTids(vacuum->page.data)->ntids;
	fng_tid_vacuum_page(&vacuum->tids, block, vacuum->page.data);
}

/* Is there any TID to remove on the page? */
static bool
has_condemned(FngVacuum *vacuum, BlockNumber block, Page page)
{
	FngTidPage	tids = FngPageGetTids(page);

	for (uint32 i = 0; vacuum->callback != NULL && i < tids->ntids; i++)
	{
		if (is_condemned(vacuum, block, &tids->tids[i]))
			return true;
	}
	return false;
}

/* Close the gaps that condemned TIDs leave. */
static void
clear_tid_page(FngVacuum *vacuum, BlockNumber block, Page page)
{
	FngTidPage	tids = FngPageGetTids(page);
	uint32		kept = 0;

	for (uint32 i = 0; i < tids->ntids; i++)
	{
		if (is_condemned(vacuum, block, &tids->tids[i]))
			vacuum->stats->tuples_removed++;
		else
			tids->tids[kept++] = tids->tids[i];
	}
	memset(&tids->tids[kept], 0, (tids->ntids - kept) * sizeof(ItemPointerData));
	tids->ntids = kept;
}

static bool
is_condemned(FngVacuum *vacuum, BlockNumber block, ItemPointer tid)
{
	if (!ItemPointerIsValid(tid))
		fng_report_bad_page(vacuum->index, block, "holds a heap TID that is none");
	return vacuum->callback(tid, vacuum->callback_state);
}
