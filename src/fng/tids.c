/*-------------------------------------------------------------------------
 *
 * tids.c
 *	  Pages of heap TIDs: further rows of a node, NULL rows, NaN rows.
 *
 * A chain grows at its head: the newest page takes TIDs until it is full,
 * then another page is put before it.  That is one which VACUUM took out of a
 * chain (tidvacuum.c), if nobody can be on the way to it any more, or else a
 * new one.  Lock order: the meta page if pages that were taken out are asked
 * for, the node page, then the chain's newest page, then the page put before
 * it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "tids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

static bool append_to_page(Relation index, BlockNumber block, FngPageKind kind,
						   ItemPointer tid, bool building);
static Buffer put_before(FngChange *change, FngMetaPage meta, BlockNumber head,
						 FngPageKind kind, uint32 owner, ItemPointer tid);
static Buffer take_free_page(Relation index, FngMetaPage meta, FngPageKind kind);
static Buffer lock_free_list(Relation index, FngPageKind kind);
static Buffer lock_live_node(Relation index, const FngLayout *layout, uint32 id);

/*
 * Remember a row whose vector is NULL, or at distance NaN from everything.
 * Locks the meta page exclusively while it does.
 */
void
fng_append_special_tid(Relation index, FngTidChain chain, ItemPointer tid, bool building)
{
	FngPageKind kind = chain == FNG_CHAIN_NULLS ? FNG_PAGE_NULLS : FNG_PAGE_NANS;
	Buffer		buffer = ReadBuffer(index, FNG_META_BLOCK);
	FngMetaPage meta;
	BlockNumber head;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	fng_check_page(index, buffer, FNG_PAGE_META);
	meta = FngPageGetMeta(BufferGetPage(buffer));
	head = chain == FNG_CHAIN_NULLS ? meta->null_head : meta->nan_head;

	if (!append_to_page(index, head, kind, tid, building))
	{
		FngChange	change;
		Buffer		added;

		fng_change_begin(&change, index, building);
		meta = FngPageGetMeta(fng_change_page(&change, buffer, false));
		added = put_before(&change, meta, head, kind, FNG_NO_ID, tid);
		if (chain == FNG_CHAIN_NULLS)
			meta->null_head = BufferGetBlockNumber(added);
		else
			meta->nan_head = BufferGetBlockNumber(added);
		fng_change_finish(&change);
		UnlockReleaseBuffer(added);
	}
	UnlockReleaseBuffer(buffer);
}

/*
 * Give a live base node one more row, whose vector is the node's.  Returns
 * false if the node no longer is live.  Locks the node's page exclusively
 * while it does, and the meta page before it if there are pages to take
 * again; so the first try goes without.
 */
bool
fng_append_node_tid(Relation index, const FngLayout *layout, uint32 id,
					ItemPointer tid, bool building)
{
	Buffer		meta_buffer = InvalidBuffer;
	Buffer		buffer;
	bool		done = false;

	for (bool grow = building;; grow = true)
	{
		BlockNumber head;

		if (grow && !building)
			meta_buffer = lock_free_list(index, FNG_PAGE_TIDS);
		buffer = lock_live_node(index, layout, id);
		if (!BufferIsValid(buffer))
			break;
		head = FngSlotNode(FngPageSlot(layout, BufferGetPage(buffer),
									   FngIdSlot(layout, id)))->link;
		done = append_to_page(index, head, FNG_PAGE_TIDS, tid, building);
		if (!done && grow)
		{
			FngMetaPage meta = NULL;
			FngChange	change;
			Buffer		added;
			Page		page;

			fng_change_begin(&change, index, building);
			if (BufferIsValid(meta_buffer))
				meta = FngPageGetMeta(fng_change_page(&change, meta_buffer, false));
			page = fng_change_page(&change, buffer, false);
			added = put_before(&change, meta, head, FNG_PAGE_TIDS, id, tid);
			FngSlotNode(FngPageSlot(layout, page, FngIdSlot(layout, id)))->link =
				BufferGetBlockNumber(added);
			fng_change_finish(&change);
			UnlockReleaseBuffer(added);
			done = true;
		}
		UnlockReleaseBuffer(buffer);
		if (done)
			break;
	}
	if (BufferIsValid(meta_buffer))
		UnlockReleaseBuffer(meta_buffer);
	return done;
}

/* Add the TID to a page, if that has room.  Locks the page while it does. */
static bool
append_to_page(Relation index, BlockNumber block, FngPageKind kind,
			   ItemPointer tid, bool building)
{
	Buffer		buffer;
	bool		has_room;

	if (!BlockNumberIsValid(block))
		return false;
	buffer = fng_read_chained(index, block, kind, NULL);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	fng_check_page(index, buffer, kind);
	if (fng_is_free_tid_page(BufferGetPage(buffer)))
		fng_report_bad_page(index, block, "is in a chain of heap TIDs and free");
	has_room = FngPageGetTids(BufferGetPage(buffer))->ntids < FNG_TIDS_PER_PAGE;
	if (has_room)
	{
		FngChange	change;
		FngTidPage	tids;

		fng_change_begin(&change, index, building);
		tids = FngPageGetTids(fng_change_page(&change, buffer, false));
		tids->tids[tids->ntids++] = *tid;
		fng_change_finish(&change);
	}
	UnlockReleaseBuffer(buffer);
	return has_room;
}

/*
 * Put a page with one TID before the head of a chain: one that was taken out
 * of a chain if *meta, registered with the change, leads to one that may be
 * taken (meta is NULL if not), else a new one.  Returns its buffer, locked.
 */
static Buffer
put_before(FngChange *change, FngMetaPage meta, BlockNumber head,
		   FngPageKind kind, uint32 owner, ItemPointer tid)
{
	Buffer		buffer = InvalidBuffer;
	FngTidPage	tids;
	Page		page;

	if (meta != NULL)
		buffer = take_free_page(change->index, meta, kind);
	if (!BufferIsValid(buffer))
		buffer = fng_extend(change->index, MAIN_FORKNUM);
	page = fng_change_page(change, buffer, true);
	fng_page_init(page, kind, 0);
	FngPageGetOpaque(page)->next = head;
	FngPageGetOpaque(page)->owner = owner;
	tids = FngPageGetTids(page);
	tids->ntids = 1;
	tids->tids[0] = *tid;
	return buffer;
}

/*
 * Take the first page of the list of free ones if no snapshot is as old as
 * its leaving its chain.  Returns it locked exclusively, or InvalidBuffer.
 *
 * A reader that is still on the way to the page would go on in a foreign
 * chain and miss rows of its own.  On this server the horizon keeps us from
 * that, on a standby a record that cancels queries so old.
 */
static Buffer
take_free_page(Relation index, FngMetaPage meta, FngPageKind kind)
{
	BlockNumber block = meta->free_tids[FngTidKindIndex(kind)];
	FullTransactionId stamp;
	Buffer		buffer;

	if (!BlockNumberIsValid(block))
		return InvalidBuffer;
	buffer = fng_read_chained(index, block, kind, NULL);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	fng_check_page(index, buffer, kind);
	if (!fng_is_free_tid_page(BufferGetPage(buffer)))
		fng_report_bad_page(index, block, "is in use and in a list of free pages");
	stamp = FullTransactionIdFromU64(FngPageGetFreeTids(BufferGetPage(buffer))->stamp);
	if (!GlobalVisCheckRemovableFullXid(NULL, stamp))
	{
		UnlockReleaseBuffer(buffer);
		return InvalidBuffer;
	}
	if (XLogStandbyInfoActive() && RelationNeedsWAL(index))
		compat_log_page_reuse(index, block, stamp);
	meta->free_tids[FngTidKindIndex(kind)] =
		FngPageGetFreeTids(BufferGetPage(buffer))->next_free;
	return buffer;
}

/*
 * Lock the meta page exclusively if it leads to free pages of the kind.
 * Returns InvalidBuffer if it does not: most indexes have none, and to grow a
 * chain should cost them no such lock.
 */
static Buffer
lock_free_list(Relation index, FngPageKind kind)
{
	FngMetaPageData meta;
	Buffer		buffer;

	fng_read_meta(index, &meta);
	if (!BlockNumberIsValid(meta.free_tids[FngTidKindIndex(kind)]))
		return InvalidBuffer;
	buffer = ReadBuffer(index, FNG_META_BLOCK);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	fng_check_page(index, buffer, FNG_PAGE_META);
	return buffer;
}

/* Lock the page of a live base node exclusively; InvalidBuffer if it is none. */
static Buffer
lock_live_node(Relation index, const FngLayout *layout, uint32 id)
{
	Buffer		buffer = ReadBuffer(index, FngIdBlock(layout, id));
	uint32		slot = FngIdSlot(layout, id);
	Page		page = BufferGetPage(buffer);

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (fng_node_usable(layout, page, slot, 0) &&
		(FngSlotNode(FngPageSlot(layout, page, slot))->flags & FNG_NODE_LIVE))
		return buffer;
	UnlockReleaseBuffer(buffer);
	return InvalidBuffer;
}

/*
 * Copy the TIDs of one page of a chain (room for FNG_TIDS_PER_PAGE) and
 * return the next page of the chain.  Takes and releases a share lock.
 */
BlockNumber
fng_copy_tid_page(Relation index, BlockNumber block, FngPageKind kind,
				  ItemPointerData *tids, uint32 *ntids,
				  BufferAccessStrategy strategy)
{
	Buffer		buffer = fng_read_block(index, block, strategy);
	FngTidPage	page;
	BlockNumber next;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	fng_check_page(index, buffer, kind);
	page = FngPageGetTids(BufferGetPage(buffer));
	*ntids = page->ntids;
	memcpy(tids, page->tids, *ntids * sizeof(ItemPointerData));
	next = FngPageGetOpaque(BufferGetPage(buffer))->next;
	UnlockReleaseBuffer(buffer);
	return next;
}
