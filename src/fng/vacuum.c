/*-------------------------------------------------------------------------
 *
 * vacuum.c
 *	  VACUUM: removing heap TIDs.
 *
 * One pass over all pages.  A TID that the callback condemns is cleared; a
 * node without any row left becomes dead and is stamped with the next full
 * XID.  It keeps its vector and edges, so the graph stays as connected as it
 * was.  Pages on which nothing dies are only read, under a share lock: that
 * is what CREATE INDEX CONCURRENTLY asks for when it validates.
 *
 * One page is locked at a time, and each changed page is one WAL record.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "commands/progress.h"
#include "commands/vacuum.h"
#include "fng.h"
#include "pgstat.h"
#include "tids.h"
#include "utils/backend_progress.h"
#include "utils/rel.h"

typedef struct FngVacuum
{
	IndexVacuumInfo *info;
	FngLayout	layout;
	IndexBulkDeleteCallback callback;
	void	   *callback_state;
	IndexBulkDeleteResult *stats;
	FngTidVacuum tids;			/* empty pages of TIDs */
} FngVacuum;

static void vacuum_page(FngVacuum *vacuum, Buffer buffer);
static bool has_dead(FngVacuum *vacuum, FngPageKind kind, Page page);
static void clear_node_page(FngVacuum *vacuum, Page page);
static void clear_tid_page(FngVacuum *vacuum, Page page);
static void count_rows(FngVacuum *vacuum, FngPageKind kind, Page page);
static bool is_dead(FngVacuum *vacuum, ItemPointer tid);

IndexBulkDeleteResult *
fng_bulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
			   IndexBulkDeleteCallback callback, void *callback_state)
{
	FngVacuum	vacuum;
	FngMetaPageData meta;
	BlockNumber nblocks;
	FngPass		pass;
	Buffer		buffer;

	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	stats->num_index_tuples = 0;
	stats->estimated_count = false;

	fng_read_meta(info->index, &meta);
	fng_layout_from_meta(&meta, &vacuum.layout);
	vacuum.info = info;
	vacuum.callback = callback;
	vacuum.callback_state = callback_state;
	vacuum.stats = stats;

	/*
	 * Rows of pages that are added from here on are newer than any that the
	 * caller wants removed.
	 */
	nblocks = RelationGetNumberOfBlocks(info->index);
	if (info->report_progress)
		pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_TOTAL, nblocks);
	fng_tid_vacuum_begin(&vacuum.tids, info->index, &vacuum.layout, nblocks);
	fng_pass_begin(&pass, info->index, FNG_META_BLOCK + 1, nblocks, info->strategy);
	while ((buffer = fng_pass_next(&pass)) != InvalidBuffer)
	{
		BlockNumber block = BufferGetBlockNumber(buffer);

		vacuum_page(&vacuum, buffer);
		if (info->report_progress)
			pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, block);
		compat_vacuum_delay_point();
	}
	fng_pass_end(&pass);
	fng_tid_vacuum_end(&vacuum.tids);
	stats->num_pages = nblocks;
	return stats;
}

/*
 * Without a preceding bulkdelete nothing was counted, and nothing needs to be
 * done: pg_class keeps its estimate.
 */
IndexBulkDeleteResult *
fng_vacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	if (info->analyze_only)
		return stats;
	if (stats == NULL)
	{
		stats = palloc0(sizeof(IndexBulkDeleteResult));
		stats->num_index_tuples = info->num_heap_tuples;
		stats->estimated_count = true;
	}
	stats->num_pages = RelationGetNumberOfBlocks(info->index);
	return stats;
}

/*
 * Look at a page, pinned by the caller, under a share lock; change it, if need
 * be, under another.  Releases the pin.
 */
static void
vacuum_page(FngVacuum *vacuum, Buffer buffer)
{
	Relation	index = vacuum->info->index;
	FngPageKind kind;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (PageIsNew(BufferGetPage(buffer)))
	{
		UnlockReleaseBuffer(buffer);
		return;
	}
	kind = fng_page_kind(index, buffer);
	if (has_dead(vacuum, kind, BufferGetPage(buffer)))
	{
		GenericXLogState *xlog;
		Page		page;

		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		xlog = GenericXLogStart(index);
		page = GenericXLogRegisterBuffer(xlog, buffer, 0);
		if (kind == FNG_PAGE_NODE)
			clear_node_page(vacuum, page);
		else
			clear_tid_page(vacuum, page);
		GenericXLogFinish(xlog);
	}
	count_rows(vacuum, kind, BufferGetPage(buffer));
	if (FngIsTidKind(kind))
		fng_tid_vacuum_page(&vacuum->tids, BufferGetBlockNumber(buffer), BufferGetPage(buffer));
	UnlockReleaseBuffer(buffer);
}

/* Is there any TID to remove on the page? */
static bool
has_dead(FngVacuum *vacuum, FngPageKind kind, Page page)
{
	const FngLayout *layout = &vacuum->layout;

	switch (kind)
	{
		case FNG_PAGE_NODE:
			for (uint32 i = 0; i < layout->slots_per_page; i++)
			{
				if (is_dead(vacuum, &FngSlotNode(FngPageSlot(layout, page, i))->tid))
					return true;
			}
			return false;
		case FNG_PAGE_TIDS:
		case FNG_PAGE_NULLS:
		case FNG_PAGE_NANS:
			for (uint32 i = 0; i < FngPageGetTids(page)->ntids; i++)
			{
				if (is_dead(vacuum, &FngPageGetTids(page)->tids[i]))
					return true;
			}
			return false;
		default:
			return false;
	}
}

/*
 * Clear condemned TIDs of nodes.  A node that has a chain of TIDs stays live
 * for now, see tidvacuum.c: an equal row may join it at any time.
 */
static void
clear_node_page(FngVacuum *vacuum, Page page)
{
	const FngLayout *layout = &vacuum->layout;

	for (uint32 i = 0; i < layout->slots_per_page; i++)
	{
		FngNode		node = FngSlotNode(FngPageSlot(layout, page, i));

		if (!is_dead(vacuum, &node->tid))
			continue;
		ItemPointerSetInvalid(&node->tid);
		vacuum->stats->tuples_removed++;
		if (!BlockNumberIsValid(node->link))
		{
			node->flags = FNG_NODE_DEAD;
			node->stamp = U64FromFullTransactionId(ReadNextFullTransactionId());
		}
	}
}

/* Close the gaps that condemned TIDs leave. */
static void
clear_tid_page(FngVacuum *vacuum, Page page)
{
	FngTidPage	tids = FngPageGetTids(page);
	uint32		kept = 0;

	for (uint32 i = 0; i < tids->ntids; i++)
	{
		if (is_dead(vacuum, &tids->tids[i]))
			vacuum->stats->tuples_removed++;
		else
			tids->tids[kept++] = tids->tids[i];
	}
	memset(&tids->tids[kept], 0, (tids->ntids - kept) * sizeof(ItemPointerData));
	tids->ntids = kept;
}

static void
count_rows(FngVacuum *vacuum, FngPageKind kind, Page page)
{
	const FngLayout *layout = &vacuum->layout;

	switch (kind)
	{
		case FNG_PAGE_NODE:
			for (uint32 i = 0; i < layout->slots_per_page; i++)
			{
				if (ItemPointerIsValid(&FngSlotNode(FngPageSlot(layout, page, i))->tid))
					vacuum->stats->num_index_tuples++;
			}
			break;
		case FNG_PAGE_TIDS:
		case FNG_PAGE_NULLS:
		case FNG_PAGE_NANS:
			vacuum->stats->num_index_tuples += FngPageGetTids(page)->ntids;
			break;
		default:
			break;
	}
}

/* Free slots and upper levels have an invalid TID. */
static bool
is_dead(FngVacuum *vacuum, ItemPointer tid)
{
	return ItemPointerIsValid(tid) && vacuum->callback(tid, vacuum->callback_state);
}
