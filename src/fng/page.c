/*-------------------------------------------------------------------------
 *
 * page.c
 *	  Pages of the index: initialization, extension, checked reading, changes
 *	  and chains of vector pages.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fng.h"
#include "storage/lmgr.h"
#include "utils/rel.h"

static BlockNumber rewrite_vector_page(Relation index, BlockNumber block, uint32 owner,
									   const char *bytes, Size nbytes, bool building);

/*
 * Make an empty page of a kind.  All kinds but the meta page leave no hole:
 * what lies between pd_lower and pd_upper is not logged (rule 6 of
 * postgres.md).
 */
void
fng_page_init(Page page, FngPageKind kind, uint8 level)
{
	FngPageOpaque opaque;

	PageInit(page, BLCKSZ, sizeof(FngPageOpaqueData));
	if (kind != FNG_PAGE_META)
		((PageHeader) page)->pd_lower = ((PageHeader) page)->pd_upper;
	opaque = FngPageGetOpaque(page);
	opaque->next = InvalidBlockNumber;
	opaque->owner = FNG_NO_ID;
	opaque->kind = kind;
	opaque->level = level;
	opaque->unused = 0;
	opaque->version = FNG_FORMAT_VERSION;
	opaque->page_id = FNG_PAGE_ID;
}

/*
 * Raise an error unless the buffer, locked by the caller, holds a page of the
 * kind expected.
 */
void
fng_check_page(Relation index, Buffer buffer, FngPageKind kind)
{
	if (PageIsNew(BufferGetPage(buffer)))
		fng_report_bad_page(index, BufferGetBlockNumber(buffer), "is all zeros");
	if (fng_page_kind(index, buffer) != kind)
		fng_report_bad_page(index, BufferGetBlockNumber(buffer), "is of an unexpected kind");
}

/*
 * The kind of a page that is not all zeros, in a buffer locked by the caller.
 * Raises an error if it is no page of ours, or counts more than it can hold.
 */
FngPageKind
fng_page_kind(Relation index, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);
	FngPageKind kind;

	if (PageGetSpecialSize(page) != sizeof(FngPageOpaqueData) ||
		FngPageGetOpaque(page)->page_id != FNG_PAGE_ID)
		fng_report_bad_page(index, BufferGetBlockNumber(buffer), "is not a page of an fng index");
	if (FngPageGetOpaque(page)->version != FNG_FORMAT_VERSION)
		fng_report_bad_page(index, BufferGetBlockNumber(buffer), "has an unknown format version");
	kind = (FngPageKind) FngPageGetOpaque(page)->kind;
	if (FngIsTidKind(kind) && FngPageGetTids(page)->ntids > FNG_TIDS_PER_PAGE)
		fng_report_bad_page(index, BufferGetBlockNumber(buffer), "counts too many heap TIDs");
	if (kind == FNG_PAGE_DEAD && FngPageGetDead(page)->nids > FNG_DEAD_PER_PAGE)
		fng_report_bad_page(index, BufferGetBlockNumber(buffer), "counts too many dead nodes");
	return kind;
}

/* Stop: the index is corrupted.  what continues "block %u". */
void
fng_report_bad_page(Relation index, BlockNumber block, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" is corrupted: block %u %s",
					RelationGetRelationName(index), block, what),
			 errhint("Please REINDEX it.")));
}

/*
 * Does the index reach as far as this block?  It may have grown since anybody
 * looked but never shrinks, so what the storage manager has seen last will do
 * in most cases.
 */
bool
fng_has_block(Relation index, BlockNumber block)
{
	BlockNumber seen = RelationGetSmgr(index)->smgr_cached_nblocks[MAIN_FORKNUM];

	if (likely(seen != InvalidBlockNumber && block < seen))
		return true;
	return block < RelationGetNumberOfBlocks(index);
}

/* Raise an error if something on a page leads to a block that is not there. */
void
fng_check_block(Relation index, BlockNumber block)
{
	if (!fng_has_block(index, block))
		fng_report_bad_page(index, block, "is behind the end, but something leads there");
}

/* Pin a block to which something on a page leads. */
Buffer
fng_read_block(Relation index, BlockNumber block, BufferAccessStrategy strategy)
{
	fng_check_block(index, block);
	return ReadBufferExtended(index, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
}

/*
 * Pin a page to which a chain or the meta page leads.  Raises an error if it
 * is of another kind.  That is found out before the page is locked (a page
 * keeps its kind, and has one before anything leads to it): a caller may have
 * locked another page already, and must not wait for a lock of its own.
 */
Buffer
fng_read_chained(Relation index, BlockNumber block, FngPageKind kind,
				 BufferAccessStrategy strategy)
{
	Buffer		buffer = fng_read_block(index, block, strategy);

	fng_check_page(index, buffer, kind);
	return buffer;
}

/*
 * Count a step along a chain, to "block".  Raises an error if there were more
 * than the index has blocks.
 */
void
fng_count_step(Relation index, BlockNumber block, BlockNumber *nsteps)
{
	if (!fng_has_block(index, (*nsteps)++))
		fng_report_bad_page(index, block, "is in a circle of pages");
}

/*
 * Add a page to the fork.  Returns its buffer, locked exclusively; the page
 * is all zeros.
 */
Buffer
fng_extend(Relation index, ForkNumber fork)
{
	return compat_extend_relation(index, fork);
}

/*
 * Start a change.  Between begin and finish the caller registers up to
 * MAX_GENERIC_XLOG_PAGES buffers that it holds locked exclusively; the locks
 * and pins stay the caller's.  While an index is being built nobody else sees
 * it and all pages are logged at the end, so then pages change in place.
 */
void
fng_change_begin(FngChange *change, Relation index, bool building)
{
	change->index = index;
	change->xlog = building ? NULL : GenericXLogStart(index);
	change->nbuffers = 0;
}

/* The page to modify.  is_new if the page is to be initialized. */
Page
fng_change_page(FngChange *change, Buffer buffer, bool is_new)
{
	Assert(change->nbuffers < MAX_GENERIC_XLOG_PAGES);
	change->buffers[change->nbuffers++] = buffer;
	if (change->xlog != NULL)
		return GenericXLogRegisterBuffer(change->xlog, buffer,
										 is_new ? GENERIC_XLOG_FULL_IMAGE : 0);
	return BufferGetPage(buffer);
}

void
fng_change_finish(FngChange *change)
{
	if (change->xlog != NULL)
		GenericXLogFinish(change->xlog);
	else
	{
		for (int i = 0; i < change->nbuffers; i++)
			MarkBufferDirty(change->buffers[i]);
	}
}

/* Forget a change; not possible while building, where pages change at once. */
void
fng_change_abort(FngChange *change)
{
	if (change->xlog != NULL)
		GenericXLogAbort(change->xlog);
}

/*
 * Read nbytes from a chain of vector pages.  Holds one share lock at a time;
 * the caller holds no lock of a page.
 */
void
fng_read_vector_chain(Relation index, BlockNumber block, void *out, Size nbytes,
					  BufferAccessStrategy strategy)
{
	char	   *to = out;

	while (nbytes > 0)
	{
		Buffer		buffer;
		FngVectorPage piece;
		Size		here;

		if (!BlockNumberIsValid(block))
			fng_report_bad_page(index, FNG_META_BLOCK, "leads to a vector that ends early");
		buffer = fng_read_block(index, block, strategy);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		fng_check_page(index, buffer, FNG_PAGE_VECTOR);
		piece = FngPageGetVector(BufferGetPage(buffer));
		here = Min(nbytes, (Size) FNG_VECTOR_BYTES_PER_PAGE);
		if (piece->nbytes != here)
			fng_report_bad_page(index, block, "holds a piece of a vector of the wrong length");
		memcpy(to, piece->bytes, here);
		block = FngPageGetOpaque(BufferGetPage(buffer))->next;
		UnlockReleaseBuffer(buffer);
		to += here;
		nbytes -= here;
	}
}

/*
 * Read a base node: a copy of its header, and its vector, inline or not.
 * Returns false if the id leads to no node.  Takes and releases share locks.
 */
bool
fng_read_base_node(Relation index, const FngLayout *layout, uint32 id,
				   FngNodeData *node, float *value)
{
	Buffer		buffer = fng_read_block(index, FngIdBlock(layout, id), NULL);
	Page		page = BufferGetPage(buffer);
	bool		usable;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	usable = fng_node_usable(layout, page, FngIdSlot(layout, id), 0);
	if (usable)
	{
		const char *slot = FngPageSlot(layout, page, FngIdSlot(layout, id));

		*node = *FngSlotNode(slot);
		if (layout->vector_inline)
			memcpy(value, FngSlotVector(layout, slot), layout->vector_bytes);
	}
	UnlockReleaseBuffer(buffer);
	if (usable && !layout->vector_inline)
		fng_read_vector_chain(index, node->vector, value, layout->vector_bytes, NULL);
	return usable;
}

/*
 * Write bytes to a chain of vector pages: to a new one, the last page first,
 * so that every page that is linked exists, or, if "reuse" is valid, to that of
 * a free slot, which has as many pages.  Returns the first block.  A crash
 * leaves pages whose owner does not point back, or bytes that nobody reads.
 */
BlockNumber
fng_write_vector_chain(Relation index, uint32 owner, const void *bytes,
					   Size nbytes, BlockNumber reuse, bool building)
{
	Size		npieces = (nbytes + FNG_VECTOR_BYTES_PER_PAGE - 1) / FNG_VECTOR_BYTES_PER_PAGE;
	BlockNumber next = InvalidBlockNumber;

	if (BlockNumberIsValid(reuse))
	{
		next = reuse;
		for (Size i = 0; i < npieces; i++)
			next = rewrite_vector_page(index, next, owner,
									   (const char *) bytes + i * FNG_VECTOR_BYTES_PER_PAGE,
									   Min(nbytes - i * FNG_VECTOR_BYTES_PER_PAGE,
										   (Size) FNG_VECTOR_BYTES_PER_PAGE), building);
		return reuse;
	}
	while (npieces-- > 0)
	{
		Size		start = npieces * FNG_VECTOR_BYTES_PER_PAGE;
		Buffer		buffer = fng_extend(index, MAIN_FORKNUM);
		FngChange	change;
		Page		page;
		FngVectorPage piece;

		fng_change_begin(&change, index, building);
		page = fng_change_page(&change, buffer, true);
		fng_page_init(page, FNG_PAGE_VECTOR, 0);
		FngPageGetOpaque(page)->next = next;
		FngPageGetOpaque(page)->owner = owner;
		piece = FngPageGetVector(page);
		piece->nbytes = Min(nbytes - start, (Size) FNG_VECTOR_BYTES_PER_PAGE);
		memcpy(piece->bytes, (const char *) bytes + start, piece->nbytes);
		fng_change_finish(&change);
		next = BufferGetBlockNumber(buffer);
		UnlockReleaseBuffer(buffer);
	}
	return next;
}

/*
 * Write the bytes of one page of a chain anew.  Returns the page after it.
 */
static BlockNumber
rewrite_vector_page(Relation index, BlockNumber block, uint32 owner,
					const char *bytes, Size nbytes, bool building)
{
	Buffer		buffer;
	FngVectorPage piece;
	FngChange	change;
	Page		page;
	BlockNumber next;

	if (!BlockNumberIsValid(block))
		fng_report_bad_page(index, FNG_META_BLOCK, "leads to a vector that ends early");
	buffer = fng_read_chained(index, block, FNG_PAGE_VECTOR, NULL);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	fng_check_page(index, buffer, FNG_PAGE_VECTOR);
	page = BufferGetPage(buffer);
	if (FngPageGetOpaque(page)->owner != owner || FngPageGetVector(page)->nbytes != nbytes)
		fng_report_bad_page(index, block, "holds a piece of another vector");
	fng_change_begin(&change, index, building);
	page = fng_change_page(&change, buffer, false);
	piece = FngPageGetVector(page);
	memcpy(piece->bytes, bytes, nbytes);
	fng_change_finish(&change);
	next = FngPageGetOpaque(BufferGetPage(buffer))->next;
	UnlockReleaseBuffer(buffer);
	return next;
}
