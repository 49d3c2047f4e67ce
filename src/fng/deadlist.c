/*-------------------------------------------------------------------------
 *
 * deadlist.c
 *	  The list of dead and unlinked nodes that one VACUUM leaves to the next.
 *
 * A pass can remove the edges to a node only if it knows at its start that
 * the node is to go.  So each pass notes the nodes that it leaves dead or
 * unlinked, and they are written to the pages of the list at its end.  The
 * next VACUUM reads the list and asks every node what it is: a dead one whose
 * stamp is behind the horizon is doomed, an unlinked one can be freed.  What a
 * crash keeps from the list is noted by the next pass.
 *
 * While doomed nodes are called unlinked, page by page, the first page of the
 * list says so.  If that breaks off, some are unlinked and others, which may
 * lead to them, still dead.  The next VACUUM then frees none: an edge of a dead
 * node must not lead to a free slot, which may get another node.
 *
 * VACUUM alone reads and writes the list, and there is one at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "vacuum.h"

static uint32 *read_list(FngVacuum *vacuum, uint64 *nids);
static void look_at_node(FngVacuum *vacuum, Page page, uint32 id);
static BlockNumber write_page(FngVacuum *vacuum, Buffer buffer, const uint32 *ids,
							  uint32 nids);
static Buffer add_page(FngVacuum *vacuum, Buffer before);

/*
 * Read the list and fill in what of the vacuum belongs to it.  Takes and
 * releases share locks.
 */
void
fng_dead_load(FngVacuum *vacuum)
{
	const FngLayout *layout = &vacuum->layout;
	MemoryContext old = MemoryContextSwitchTo(vacuum->context);
	uint64		nids;
	uint32	   *ids;
	BlockNumber at = InvalidBlockNumber;

	vacuum->may_free = true;
	vacuum->recent = PG_UINT64_MAX;
	ids = read_list(vacuum, &nids);
	if (nids > 0)
	{
		qsort(ids, nids, sizeof(uint32), fng_compare_ids);
		vacuum->blocks = palloc_extended(nids * sizeof(BlockNumber), MCXT_ALLOC_HUGE);
	}
	for (uint64 i = 0; i < nids; i++)
	{
		BlockNumber block = FngIdBlock(layout, ids[i]);

		if (ids[i] >= vacuum->nids || block == FNG_META_BLOCK)
			continue;
		if (block != at)
		{
			Buffer		buffer = ReadBufferExtended(vacuum->index, MAIN_FORKNUM, block,
													RBM_NORMAL, vacuum->info->strategy);

			CHECK_FOR_INTERRUPTS();
			LockBuffer(buffer, BUFFER_LOCK_SHARE);
			memcpy(vacuum->page.data, BufferGetPage(buffer), BLCKSZ);
			UnlockReleaseBuffer(buffer);
			at = block;
			vacuum->blocks[vacuum->nblocks_listed++] = block;
		}
		look_at_node(vacuum, vacuum->page.data, ids[i]);
	}
	if (ids != NULL)
		pfree(ids);
	MemoryContextSwitchTo(old);
}

/* The ids of all pages of the list. */
static uint32 *
read_list(FngVacuum *vacuum, uint64 *nids)
{
	BlockNumber block = vacuum->meta.dead_head;
	uint64		capacity = 0;
	uint32	   *ids = NULL;
	BlockNumber nsteps = 0;

	*nids = 0;
	while (BlockNumberIsValid(block))
	{
		Buffer		buffer;
		FngDeadPage list;

		CHECK_FOR_INTERRUPTS();
		fng_count_step(vacuum->index, block, &nsteps);
		buffer = fng_read_chained(vacuum->index, block, FNG_PAGE_DEAD, vacuum->info->strategy);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		fng_check_page(vacuum->index, buffer, FNG_PAGE_DEAD);
		list = FngPageGetDead(BufferGetPage(buffer));
		if (list->unlinking != 0)
			vacuum->may_free = false;
		if (*nids + list->nids > capacity)
		{
			capacity = Max(FNG_DEAD_PER_PAGE, 2 * capacity);
			if (ids == NULL)
				ids = MemoryContextAllocHuge(vacuum->context, capacity * sizeof(uint32));
			else
				ids = repalloc_huge(ids, capacity * sizeof(uint32));
		}
		if (list->nids > 0)
			memcpy(ids + *nids, list->ids, list->nids * sizeof(uint32));
		*nids += list->nids;
		block = FngPageGetOpaque(BufferGetPage(buffer))->next;
		UnlockReleaseBuffer(buffer);
	}
	return ids;
}

/* What is to become of a node of the list, given a copy of its page? */
static void
look_at_node(FngVacuum *vacuum, Page page, uint32 id)
{
	const FngLayout *layout = &vacuum->layout;
	uint32		slot = FngIdSlot(layout, id);
	const FngNodeData *node;

	if (PageIsNew(page) || PageGetSpecialSize(page) != sizeof(FngPageOpaqueData) ||
		!fng_node_usable(layout, page, slot, FngPageGetOpaque(page)->level))
		return;
	node = FngSlotNode(FngPageSlot(layout, page, slot));
	if (node->flags == FNG_NODE_LIVE || !fng_dead_removable(vacuum, node->stamp))
		return;
	if (node->flags == FNG_NODE_UNLINKED)
	{
		if (vacuum->may_free)
			vacuum->nfreeable++;
		return;
	}
	if (vacuum->doomed == NULL)
		vacuum->doomed = palloc_extended(vacuum->nids / 8 + 1, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	if (!fng_is_doomed(vacuum, id))
	{
		vacuum->doomed[id / 8] |= 1 << id % 8;
		vacuum->ndoomed++;
	}
}

/*
 * Is a node's stamp behind the horizon?  Most nodes have the stamps of few
 * VACUUMs, so answers are kept.
 */
bool
fng_dead_removable(FngVacuum *vacuum, uint64 stamp)
{
	if (stamp <= vacuum->removable)
		return true;
	if (stamp >= vacuum->recent)
		return false;
	if (GlobalVisCheckRemovableFullXid(compat_vacuum_heap(vacuum->info),
									   FullTransactionIdFromU64(stamp)))
	{
		vacuum->removable = stamp;
		return true;
	}
	vacuum->recent = stamp;
	return false;
}

/*
 * Note a node for the next list.  What maintenance_work_mem cannot hold waits
 * for a later one.
 */
void
fng_dead_add(FngVacuum *vacuum, uint32 id)
{
	if (vacuum->left.n * sizeof(uint32) < (Size) maintenance_work_mem * 1024)
		fng_ids_add(vacuum, &vacuum->left, id);
}

/* Add an id to a list, which is zeroed at first. */
void
fng_ids_add(FngVacuum *vacuum, FngIdList * list, uint32 id)
{
	if (list->n == list->capacity)
	{
		list->capacity = Max(256, 2 * list->capacity);
		if (list->ids == NULL)
			list->ids = MemoryContextAllocHuge(vacuum->context,
											   mul_size(list->capacity, sizeof(uint32)));
		else
			list->ids = repalloc_huge(list->ids, mul_size(list->capacity, sizeof(uint32)));
	}
	list->ids[list->n++] = id;
}

/* qsort comparator of ids */
int
fng_compare_ids(const void *a, const void *b)
{
	uint32		x = *(const uint32 *) a;
	uint32		y = *(const uint32 *) b;

	return x < y ? -1 : x > y;
}

/*
 * Say in the list, which has pages, that its nodes are being unlinked from
 * here on.
 */
void
fng_dead_announce(FngVacuum *vacuum)
{
	Buffer		buffer = fng_read_chained(vacuum->index, vacuum->meta.dead_head,
										  FNG_PAGE_DEAD, NULL);
	FngChange	change;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	fng_check_page(vacuum->index, buffer, FNG_PAGE_DEAD);
	fng_change_begin(&change, vacuum->index, false);
	FngPageGetDead(fng_change_page(&change, buffer, false))->unlinking = 1;
	fng_change_finish(&change);
	UnlockReleaseBuffer(buffer);
}

/*
 * Write the next list over the old one; pages are added when they are needed
 * and stay when they are not.  Pages that remain as they are are not written.
 */
void
fng_dead_save(FngVacuum *vacuum)
{
	BlockNumber block = vacuum->meta.dead_head;
	Buffer		buffer = InvalidBuffer;
	uint64		done = 0;

	if (vacuum->left.n > 1)
		qsort(vacuum->left.ids, vacuum->left.n, sizeof(uint32), fng_compare_ids);
	while (done < vacuum->left.n || BlockNumberIsValid(block))
	{
		uint32		n = (uint32) Min(vacuum->left.n - done, (uint64) FNG_DEAD_PER_PAGE);

		if (BlockNumberIsValid(block))
		{
			if (BufferIsValid(buffer))
				UnlockReleaseBuffer(buffer);
			CHECK_FOR_INTERRUPTS();
			buffer = fng_read_chained(vacuum->index, block, FNG_PAGE_DEAD, NULL);
			LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
			fng_check_page(vacuum->index, buffer, FNG_PAGE_DEAD);
		}
		else
			buffer = add_page(vacuum, buffer);
		block = write_page(vacuum, buffer, vacuum->left.ids + done, n);
		done += n;
	}
	if (BufferIsValid(buffer))
		UnlockReleaseBuffer(buffer);
}

/* Write a page of the list, which is locked.  Returns the next one. */
static BlockNumber
write_page(FngVacuum *vacuum, Buffer buffer, const uint32 *ids, uint32 nids)
{
	FngDeadPage list = FngPageGetDead(BufferGetPage(buffer));

	if (list->nids != nids || list->unlinking != 0 ||
		(nids > 0 && memcmp(list->ids, ids, nids * sizeof(uint32)) != 0))
	{
		FngChange	change;

		fng_change_begin(&change, vacuum->index, false);
		list = FngPageGetDead(fng_change_page(&change, buffer, false));
		memset(list, 0, FNG_CONTENT_SIZE);
		list->nids = nids;
		if (nids > 0)
			memcpy(list->ids, ids, nids * sizeof(uint32));
		fng_change_finish(&change);
	}
	return FngPageGetOpaque(BufferGetPage(buffer))->next;
}

/*
 * Add an empty page behind the list's last one, which is locked, or as its
 * first.  Returns it locked; the page before is released.
 */
static Buffer
add_page(FngVacuum *vacuum, Buffer before)
{
	bool		is_first = !BufferIsValid(before);
	Buffer		buffer;
	FngChange	change;
	Page		page;

	if (is_first)
	{
		before = ReadBuffer(vacuum->index, FNG_META_BLOCK);
		LockBuffer(before, BUFFER_LOCK_EXCLUSIVE);
		fng_check_page(vacuum->index, before, FNG_PAGE_META);
	}
	buffer = fng_extend(vacuum->index, MAIN_FORKNUM);
	fng_change_begin(&change, vacuum->index, false);
	fng_page_init(fng_change_page(&change, buffer, true), FNG_PAGE_DEAD, 0);
	page = fng_change_page(&change, before, false);
	if (is_first)
		FngPageGetMeta(page)->dead_head = BufferGetBlockNumber(buffer);
	else
		FngPageGetOpaque(page)->next = BufferGetBlockNumber(buffer);
	fng_change_finish(&change);
	UnlockReleaseBuffer(before);
	return buffer;
}
