/*-------------------------------------------------------------------------
 *
 * tidvacuum.c
 *	  VACUUM's part in pages of heap TIDs: taking empty ones out of their
 *	  chains, and burying nodes that have lost their last row.
 *
 * VACUUM's pass removes TIDs from their pages, in any order; here it notes
 * which chains have empty pages.  After the pass each of these chains is
 * walked.  An empty page that is not the head goes out of its chain, in one
 * record: the page before it gets its "next", and it goes to the end of the
 * list of free pages, stamped with the next full XID.  It keeps its "next",
 * so a reader who is there comes back to the chain; see tids.c for when it is
 * used again.  The list is a queue: its first page is the oldest.
 *
 * A chain's head takes further rows, so it stays, empty or not; unless it is
 * empty and the node's slot has no TID either.  Then the node is dead, its
 * head goes to the list, too, and the node has no chain: all in one record.
 * Who appends to a chain locks the node's page or the meta page first, so
 * nothing comes in meanwhile.
 *
 * Only VACUUM takes pages out, and there is one at a time.  Lock order: meta
 * page, node page, then pages of TIDs; of these nobody else locks two.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "tids.h"
#include "utils/memutils.h"
#include "utils/rel.h"

static int	compare_chains(const void *a, const void *b);
static void vacuum_chain(FngTidVacuum *vacuum, const FngEmptyTids *chain, uint64 nempty);
static BlockNumber read_head(FngTidVacuum *vacuum, const FngEmptyTids *chain,
							 bool *has_tid);
static bool read_next(FngTidVacuum *vacuum, FngPageKind kind, BlockNumber block,
					  BlockNumber *next);
static void take_out(FngTidVacuum *vacuum, FngPageKind kind, BlockNumber before,
					 BlockNumber block);
static void bury_node(FngTidVacuum *vacuum, uint32 id);
static bool has_no_row(FngTidVacuum *vacuum, uint32 id, Page page);
static Buffer lock_tid_page(FngTidVacuum *vacuum, FngPageKind kind, BlockNumber block);
static Buffer add_to_list(FngTidVacuum *vacuum, FngChange *change, FngPageKind kind,
						  Buffer meta_buffer, BlockNumber block);
static BlockNumber find_last_free(FngTidVacuum *vacuum, FngPageKind kind,
								  BlockNumber first);
static bool is_last_free(FngTidVacuum *vacuum, FngPageKind kind, BlockNumber block);
static void make_free(Page page);
static void note_died(FngTidVacuum *vacuum, uint32 id);

/*
 * Prepare for a pass over the blocks before nblocks.  What is noted is
 * allocated in the current memory context.
 */
void
fng_tid_vacuum_begin(FngTidVacuum *vacuum, Relation index,
					 const FngLayout *layout, BlockNumber nblocks)
{
	memset(vacuum, 0, sizeof(*vacuum));
	vacuum->index = index;
	vacuum->layout = *layout;
	vacuum->nblocks = nblocks;
	for (int i = 0; i < FNG_TID_KINDS; i++)
		vacuum->last_free[i] = InvalidBlockNumber;
}

/*
 * To be called in the pass for every page of TIDs, locked at least for share,
 * when the TIDs to be removed are gone.  Beyond maintenance_work_mem chains
 * are left to the next VACUUM.
 */
void
fng_tid_vacuum_page(FngTidVacuum *vacuum, BlockNumber block, Page page)
{
	FngPageOpaque opaque = FngPageGetOpaque(page);

	if (FngPageGetTids(page)->ntids > 0)
		return;
	if (fng_is_free_tid_page(page))
	{
		if (!BlockNumberIsValid(FngPageGetFreeTids(page)->next_free))
			vacuum->last_free[FngTidKindIndex(opaque->kind)] = block;
		return;
	}
	if (vacuum->nempty == vacuum->capacity)
	{
		uint64		room = (uint64) maintenance_work_mem * 1024 / sizeof(FngEmptyTids);
		uint64		n = Min(Max(256, vacuum->capacity * 2), room);

		if (n <= vacuum->capacity)
			return;
		if (vacuum->empty == NULL)
			vacuum->empty = MemoryContextAllocHuge(CurrentMemoryContext,
												   n * sizeof(FngEmptyTids));
		else
			vacuum->empty = repalloc_huge(vacuum->empty, n * sizeof(FngEmptyTids));
		vacuum->capacity = n;
	}
	vacuum->empty[vacuum->nempty].owner = opaque->owner;
	vacuum->empty[vacuum->nempty++].kind = (FngPageKind) opaque->kind;
}

/*
 * Take the empty pages that the pass has seen out of their chains, and mark
 * nodes dead that have no row left.  Without empty pages nothing is read.
 * The caller holds no lock of a page.  What the results say stays until the
 * memory context goes that was current at the beginning.
 */
void
fng_tid_vacuum_end(FngTidVacuum *vacuum)
{
	uint64		first = 0;

	if (vacuum->nempty > 1)
		qsort(vacuum->empty, vacuum->nempty, sizeof(FngEmptyTids), compare_chains);
	while (first < vacuum->nempty)
	{
		uint64		n = 1;

		while (first + n < vacuum->nempty &&
			   compare_chains(&vacuum->empty[first], &vacuum->empty[first + n]) == 0)
			n++;
		vacuum_chain(vacuum, &vacuum->empty[first], n);
		first += n;
	}
	if (vacuum->empty != NULL)
		pfree(vacuum->empty);
	vacuum->empty = NULL;
}

static int
compare_chains(const void *a, const void *b)
{
	const FngEmptyTids *left = (const FngEmptyTids *) a;
	const FngEmptyTids *right = (const FngEmptyTids *) b;

	if (left->kind != right->kind)
		return left->kind < right->kind ? -1 : 1;
	return left->owner < right->owner ? -1 : (left->owner > right->owner);
}

/* Walk a chain until its nempty empty pages were met. */
static void
vacuum_chain(FngTidVacuum *vacuum, const FngEmptyTids *chain, uint64 nempty)
{
	bool		has_tid;
	BlockNumber before = InvalidBlockNumber;
	BlockNumber block = read_head(vacuum, chain, &has_tid);
	BlockNumber nsteps = 0;

	while (BlockNumberIsValid(block) && nempty > 0)
	{
		BlockNumber next;

		compat_vacuum_delay_point();
		fng_count_step(vacuum->index, block, &nsteps);
		if (!read_next(vacuum, chain->kind, block, &next))
		{
			has_tid = true;
			before = block;
		}
		else
		{
			nempty--;
			if (before == block)
				fng_report_bad_page(vacuum->index, block, "is in a circle of pages");
			if (BlockNumberIsValid(before))
				take_out(vacuum, chain->kind, before, block);
			else
				before = block;
		}
		block = next;
	}

	/* all of it was looked at, and nothing is there but an empty head */
	if (!has_tid && BlockNumberIsValid(before) && !BlockNumberIsValid(block))
		bury_node(vacuum, chain->owner);
}

/*
 * The first page of a chain, InvalidBlockNumber if there is none.  *has_tid
 * tells whether a row needs no page of the chain to be there: that of the
 * node's slot; and the chains of rows without a node belong to nothing that
 * could die.
 */
static BlockNumber
read_head(FngTidVacuum *vacuum, const FngEmptyTids *chain, bool *has_tid)
{
	const FngLayout *layout = &vacuum->layout;
	BlockNumber head = InvalidBlockNumber;
	FngMetaPageData meta;
	Buffer		buffer;
	Page		page;

	*has_tid = true;
	if (chain->kind != FNG_PAGE_TIDS)
	{
		fng_read_meta(vacuum->index, &meta);
		return chain->kind == FNG_PAGE_NULLS ? meta.null_head : meta.nan_head;
	}
	if (FngIdBlock(layout, chain->owner) >= vacuum->nblocks)
		return InvalidBlockNumber;
	buffer = ReadBuffer(vacuum->index, FngIdBlock(layout, chain->owner));
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	if (fng_node_usable(layout, page, FngIdSlot(layout, chain->owner), 0))
	{
		FngNode		node = FngSlotNode(FngPageSlot(layout, page,
												   FngIdSlot(layout, chain->owner)));

		head = node->link;
		*has_tid = ItemPointerIsValid(&node->tid);
	}
	UnlockReleaseBuffer(buffer);
	return head;
}

/* Is a page of a chain empty?  Also gives the next page. */
static bool
read_next(FngTidVacuum *vacuum, FngPageKind kind, BlockNumber block, BlockNumber *next)
{
	Buffer		buffer = fng_read_chained(vacuum->index, block, kind, NULL);
	bool		empty;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	fng_check_page(vacuum->index, buffer, kind);
	if (fng_is_free_tid_page(BufferGetPage(buffer)))
		fng_report_bad_page(vacuum->index, block, "is in a chain of heap TIDs and free");
	empty = FngPageGetTids(BufferGetPage(buffer))->ntids == 0;
	*next = FngPageGetOpaque(BufferGetPage(buffer))->next;
	UnlockReleaseBuffer(buffer);
	return empty;
}

/*
 * Take an empty page out of its chain.  Nobody appends to it, as it is not
 * the head.
 */
static void
take_out(FngTidVacuum *vacuum, FngPageKind kind, BlockNumber before, BlockNumber block)
{
	Buffer		meta_buffer = ReadBuffer(vacuum->index, FNG_META_BLOCK);
	Buffer		before_buffer;
	Buffer		buffer;
	Buffer		last_buffer;
	FngChange	change;
	Page		page;

	LockBuffer(meta_buffer, BUFFER_LOCK_EXCLUSIVE);
	fng_check_page(vacuum->index, meta_buffer, FNG_PAGE_META);
	fng_change_begin(&change, vacuum->index, false);
	last_buffer = add_to_list(vacuum, &change, kind, meta_buffer, block);
	before_buffer = lock_tid_page(vacuum, kind, before);
	buffer = lock_tid_page(vacuum, kind, block);

	page = fng_change_page(&change, before_buffer, false);
	FngPageGetOpaque(page)->next = FngPageGetOpaque(BufferGetPage(buffer))->next;
	make_free(fng_change_page(&change, buffer, false));
	fng_change_finish(&change);

	UnlockReleaseBuffer(buffer);
	UnlockReleaseBuffer(before_buffer);
	if (BufferIsValid(last_buffer))
		UnlockReleaseBuffer(last_buffer);
	UnlockReleaseBuffer(meta_buffer);
	vacuum->pages_freed++;
}

/*
 * Mark a node dead whose slot has no TID and whose chain is one empty page,
 * unless an insert has changed that.  The page goes to the list.
 */
static void
bury_node(FngTidVacuum *vacuum, uint32 id)
{
	Buffer		meta_buffer = ReadBuffer(vacuum->index, FNG_META_BLOCK);
	Buffer		node_buffer = ReadBuffer(vacuum->index, FngIdBlock(&vacuum->layout, id));

	LockBuffer(meta_buffer, BUFFER_LOCK_EXCLUSIVE);
	fng_check_page(vacuum->index, meta_buffer, FNG_PAGE_META);
	LockBuffer(node_buffer, BUFFER_LOCK_EXCLUSIVE);
	if (has_no_row(vacuum, id, BufferGetPage(node_buffer)))
	{
		char	   *slot = FngPageSlot(&vacuum->layout, BufferGetPage(node_buffer),
									   FngIdSlot(&vacuum->layout, id));
		BlockNumber head = FngSlotNode(slot)->link;
		FngChange	change;
		Buffer		last_buffer;
		Buffer		buffer;
		FngNode		node;

		fng_change_begin(&change, vacuum->index, false);
		last_buffer = add_to_list(vacuum, &change, FNG_PAGE_TIDS, meta_buffer, head);
		buffer = lock_tid_page(vacuum, FNG_PAGE_TIDS, head);
		node = FngSlotNode(FngPageSlot(&vacuum->layout,
									   fng_change_page(&change, node_buffer, false),
									   FngIdSlot(&vacuum->layout, id)));
		node->flags = FNG_NODE_DEAD;
		node->stamp = U64FromFullTransactionId(ReadNextFullTransactionId());
		node->link = InvalidBlockNumber;
		make_free(fng_change_page(&change, buffer, false));
		fng_change_finish(&change);

		UnlockReleaseBuffer(buffer);
		if (BufferIsValid(last_buffer))
			UnlockReleaseBuffer(last_buffer);
		vacuum->pages_freed++;
		note_died(vacuum, id);
	}
	UnlockReleaseBuffer(node_buffer);
	UnlockReleaseBuffer(meta_buffer);
}

/* Is a node, whose page is locked, live without a row in slot and chain? */
static bool
has_no_row(FngTidVacuum *vacuum, uint32 id, Page page)
{
	uint32		slot = FngIdSlot(&vacuum->layout, id);
	FngNode		node = FngSlotNode(FngPageSlot(&vacuum->layout, page, slot));
	BlockNumber next;

	return fng_node_usable(&vacuum->layout, page, slot, 0) &&
		(node->flags & FNG_NODE_LIVE) &&
		!ItemPointerIsValid(&node->tid) &&
		BlockNumberIsValid(node->link) &&
		read_next(vacuum, FNG_PAGE_TIDS, node->link, &next) &&
		!BlockNumberIsValid(next);
}

static Buffer
lock_tid_page(FngTidVacuum *vacuum, FngPageKind kind, BlockNumber block)
{
	Buffer		buffer = fng_read_chained(vacuum->index, block, kind, NULL);

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	fng_check_page(vacuum->index, buffer, kind);
	return buffer;
}

/*
 * Let the list of free pages lead to a page, as its last one.  Registers the
 * page that changes: the meta page, locked by the caller, if the list is
 * empty; else what was the last page, which is returned locked.
 */
static Buffer
add_to_list(FngTidVacuum *vacuum, FngChange *change, FngPageKind kind,
			Buffer meta_buffer, BlockNumber block)
{
	BlockNumber *last = &vacuum->last_free[FngTidKindIndex(kind)];
	BlockNumber first = FngPageGetMeta(BufferGetPage(meta_buffer))->free_tids[FngTidKindIndex(kind)];
	Buffer		buffer = InvalidBuffer;
	Page		page;

	if (!BlockNumberIsValid(first))
	{
		page = fng_change_page(change, meta_buffer, false);
		FngPageGetMeta(page)->free_tids[FngTidKindIndex(kind)] = block;
	}
	else
	{
		if (!BlockNumberIsValid(*last) || !is_last_free(vacuum, kind, *last))
			*last = find_last_free(vacuum, kind, first);
		buffer = lock_tid_page(vacuum, kind, *last);
		page = fng_change_page(change, buffer, false);
		FngPageGetFreeTids(page)->next_free = block;
	}
	*last = block;
	return buffer;
}

/* The end of the list of free pages.  The meta page is locked. */
static BlockNumber
find_last_free(FngTidVacuum *vacuum, FngPageKind kind, BlockNumber first)
{
	BlockNumber block = first;
	BlockNumber nsteps = 0;

	for (;;)
	{
		Buffer		buffer = fng_read_chained(vacuum->index, block, kind, NULL);
		BlockNumber next;

		fng_count_step(vacuum->index, block, &nsteps);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		fng_check_page(vacuum->index, buffer, kind);
		if (!fng_is_free_tid_page(BufferGetPage(buffer)))
			fng_report_bad_page(vacuum->index, block, "is in use and in a list of free pages");
		next = FngPageGetFreeTids(BufferGetPage(buffer))->next_free;
		UnlockReleaseBuffer(buffer);
		if (!BlockNumberIsValid(next))
			return block;
		block = next;
	}
}

/*
 * Is a page that was the last of a list still that?  It is no longer if all
 * of the list was taken: pages go from the front.
 */
static bool
is_last_free(FngTidVacuum *vacuum, FngPageKind kind, BlockNumber block)
{
	Buffer		buffer = fng_read_chained(vacuum->index, block, kind, NULL);
	Page		page = BufferGetPage(buffer);
	bool		result;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	fng_check_page(vacuum->index, buffer, kind);
	result = fng_is_free_tid_page(page) &&
		!BlockNumberIsValid(FngPageGetFreeTids(page)->next_free);
	UnlockReleaseBuffer(buffer);
	return result;
}

/* Make an empty page free, to be the last of the list. */
static void
make_free(Page page)
{
	FngFreeTidsData *free = FngPageGetFreeTids(page);

	Assert(FngPageGetTids(page)->ntids == 0);
	free->stamp = U64FromFullTransactionId(ReadNextFullTransactionId());
	free->next_free = InvalidBlockNumber;
	free->magic = FNG_FREE_TIDS_MAGIC;
}

static void
note_died(FngTidVacuum *vacuum, uint32 id)
{
	if (vacuum->ndied == vacuum->died_capacity)
	{
		uint32		n = Max(64, vacuum->died_capacity * 2);

		if (vacuum->died == NULL)
			vacuum->died = palloc(n * sizeof(uint32));
		else
			vacuum->died = repalloc_huge(vacuum->died, mul_size(n, sizeof(uint32)));
		vacuum->died_capacity = n;
	}
	vacuum->died[vacuum->ndied++] = id;
}
