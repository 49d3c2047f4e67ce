/*-------------------------------------------------------------------------
 *
 * tids.c
 *	  Pages of heap TIDs: further rows of a node, NULL rows, NaN rows.
 *
 * A chain grows at its head: the newest page takes TIDs until it is full,
 * then a new page is put before it.  Lock order: the page that holds the
 * chain's head (meta page or node page), then the chain's newest page, then a
 * new page.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fng.h"
#include "utils/rel.h"

static BlockNumber append_tid(Relation index, BlockNumber head,
							  FngPageKind kind, uint32 owner, ItemPointer tid,
							  FngChange *change);

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
	FngChange	change;
	BlockNumber head;
	BlockNumber new_head;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	fng_check_page(index, buffer, FNG_PAGE_META);
	meta = FngPageGetMeta(BufferGetPage(buffer));
	head = chain == FNG_CHAIN_NULLS ? meta->null_head : meta->nan_head;

	fng_change_begin(&change, index, building);
	new_head = append_tid(index, head, kind, FNG_NO_ID, tid, &change);
	if (new_head != head)
	{
		meta = FngPageGetMeta(fng_change_page(&change, buffer, false));
		if (chain == FNG_CHAIN_NULLS)
			meta->null_head = new_head;
		else
			meta->nan_head = new_head;
	}
	fng_change_finish(&change);
	for (int i = 0; i < change.nbuffers; i++)
	{
		if (change.buffers[i] != buffer)
			UnlockReleaseBuffer(change.buffers[i]);
	}
	UnlockReleaseBuffer(buffer);
}

/*
 * Give a live base node one more row, whose vector is the node's.  Returns
 * false if the node no longer is live.  Locks the node's page exclusively
 * while it does.
 */
bool
fng_append_node_tid(Relation index, const FngLayout *layout, uint32 id,
					ItemPointer tid, bool building)
{
	Buffer		buffer = ReadBuffer(index, FngIdBlock(layout, id));
	Page		page;
	FngNode		node;
	FngChange	change;
	BlockNumber head;
	BlockNumber new_head;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	page = BufferGetPage(buffer);
	node = FngSlotNode(FngPageSlot(layout, page, FngIdSlot(layout, id)));
	if (!fng_node_usable(layout, page, FngIdSlot(layout, id), 0) ||
		!(node->flags & FNG_NODE_LIVE))
	{
		UnlockReleaseBuffer(buffer);
		return false;
	}
	head = node->link;

	fng_change_begin(&change, index, building);
	new_head = append_tid(index, head, FNG_PAGE_TIDS, id, tid, &change);
	if (new_head != head)
	{
		page = fng_change_page(&change, buffer, false);
		FngSlotNode(FngPageSlot(layout, page, FngIdSlot(layout, id)))->link = new_head;
	}
	fng_change_finish(&change);
	for (int i = 0; i < change.nbuffers; i++)
	{
		if (change.buffers[i] != buffer)
			UnlockReleaseBuffer(change.buffers[i]);
	}
	UnlockReleaseBuffer(buffer);
	return true;
}

/*
 * Add the TID to the page "head", or to a new page before it.  The page
 * changed is registered with the change, locked, for the caller to release.
 * Returns the chain's head after it.
 */
static BlockNumber
append_tid(Relation index, BlockNumber head,
		   FngPageKind kind, uint32 owner, ItemPointer tid, FngChange *change)
{
	Buffer		buffer;
	FngTidPage	tids;
	Page		page;

	if (BlockNumberIsValid(head))
	{
		buffer = ReadBuffer(index, head);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		fng_check_page(index, buffer, kind);
		if (FngPageGetTids(BufferGetPage(buffer))->ntids < FNG_TIDS_PER_PAGE)
		{
			tids = FngPageGetTids(fng_change_page(change, buffer, false));
			tids->tids[tids->ntids++] = *tid;
			return head;
		}
		UnlockReleaseBuffer(buffer);
	}

	buffer = fng_extend(index, MAIN_FORKNUM);
	page = fng_change_page(change, buffer, true);
	fng_page_init(page, kind, 0);
	FngPageGetOpaque(page)->next = head;
	FngPageGetOpaque(page)->owner = owner;
	tids = FngPageGetTids(page);
	tids->ntids = 1;
	tids->tids[0] = *tid;
	return BufferGetBlockNumber(buffer);
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
	Buffer		buffer = ReadBufferExtended(index, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
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
