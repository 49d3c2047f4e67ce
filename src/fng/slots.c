/*-------------------------------------------------------------------------
 *
 * slots.c
 *	  Where a new node goes.
 *
 * Pages with a free slot of the base are in the free space map, where VACUUM
 * puts them.  The map is not logged and may be wrong either way, so a page
 * that it names is looked at under its lock, and one that has no room is taken
 * out of it.  A backend stays with the page that it used last as long as that
 * has room.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "insert.h"
#include "storage/freespace.h"
#include "utils/rel.h"

/* So many pages of the map are looked at before the relation grows. */
#define MAP_TRIES	8

static bool try_base_page(FngInserter *inserter, BlockNumber block, Buffer *buffer,
						  uint32 *slot);

/*
 * Find a page with a free base slot and return it locked exclusively: the one
 * this backend used last, one of the free space map, the last of the
 * relation, or a new one.
 */
Buffer
fng_find_base_slot(FngInserter *inserter, uint32 *slot, bool *is_new)
{
	Relation	index = inserter->relation;
	bool		many = inserter->index->layout.slots_per_page > 1;
	BlockNumber target = RelationGetTargetBlock(index);
	BlockNumber block;
	Buffer		buffer;

	*is_new = false;
	if (many && BlockNumberIsValid(target) &&
		try_base_page(inserter, target, &buffer, slot))
		return buffer;

	/*
	 * The page that has just become full leaves the map.  If it stayed, such
	 * pages would follow each other there in the end, too many to be tried.
	 */
	if (!inserter->building)
	{
		if (BlockNumberIsValid(target) && GetRecordedFreeSpace(index, target) > 0)
			block = RecordAndGetPageWithFreeSpace(index, target, 0, FNG_ROOM);
		else
			block = GetPageWithFreeSpace(index, FNG_ROOM);
		for (int i = 0; i < MAP_TRIES && BlockNumberIsValid(block); i++)
		{
			if (try_base_page(inserter, block, &buffer, slot))
				return buffer;
			block = RecordAndGetPageWithFreeSpace(index, block, 0, FNG_ROOM);
		}
	}

	if (many)
	{
		block = RelationGetNumberOfBlocks(index) - 1;
		if (block != FNG_META_BLOCK && block != target &&
			try_base_page(inserter, block, &buffer, slot))
			return buffer;
	}
	*is_new = true;
	*slot = 0;
	return fng_extend(index, MAIN_FORKNUM);
}

/* The map may name a page that a crash has cut off. */
static bool
try_base_page(FngInserter *inserter, BlockNumber block, Buffer *buffer, uint32 *slot)
{
	const FngLayout *layout = &inserter->index->layout;
	Page		page;

	if (block >= RelationGetNumberOfBlocks(inserter->relation))
		return false;
	*buffer = ReadBuffer(inserter->relation, block);
	LockBuffer(*buffer, BUFFER_LOCK_EXCLUSIVE);
	page = BufferGetPage(*buffer);
	if (!PageIsNew(page) && FngPageGetOpaque(page)->kind == FNG_PAGE_NODE &&
		FngPageGetOpaque(page)->level == 0 && fng_find_free_slot(layout, page, slot))
		return true;
	UnlockReleaseBuffer(*buffer);
	return false;
}

bool
fng_find_free_slot(const FngLayout *layout, Page page, uint32 *slot)
{
	for (*slot = 0; *slot < layout->slots_per_page; (*slot)++)
	{
		if (FngSlotNode(FngPageSlot(layout, page, *slot))->flags == 0)
			return true;
	}
	return false;
}

/*
 * Write a node's image into a slot.  The page ends, for full-page images,
 * with the last of its slots that was ever in use.
 */
void
fng_use_slot(const FngLayout *layout, Page page, uint32 slot, const char *image)
{
	char	   *at = FngPageSlot(layout, page, slot);
	LocationIndex end = (at + layout->slot_size) - (char *) page;

	memcpy(at, image, layout->slot_size);
	if (((PageHeader) page)->pd_lower < end)
		((PageHeader) page)->pd_lower = end;
}

/*
 * If slots do not hold vectors, write that of a new node, in the chain that
 * its slot has from an earlier node, if it has one (FNG_NO_ID: a new page).
 */
void
fng_write_chain(FngInserter *inserter, uint32 id, Buffer buffer, uint32 slot, char *image,
				const float *value)
{
	const FngLayout *layout = &inserter->index->layout;
	BlockNumber reuse = InvalidBlockNumber;

	if (layout->vector_inline)
		return;
	if (slot != FNG_NO_ID)
	{
		reuse = FngSlotNode(FngPageSlot(layout, BufferGetPage(buffer), slot))->vector;
		if (reuse == FNG_META_BLOCK)
			reuse = InvalidBlockNumber; /* a slot that was never used */
	}
	FngSlotNode(image)->vector = fng_write_vector_chain(inserter->relation, id, value,
														layout->vector_bytes, reuse,
														inserter->building);
}

/* A page of nodes that fills up: its contents end with the last slot in use. */
void
fng_init_node_page(Page page, uint8 level)
{
	fng_page_init(page, FNG_PAGE_NODE, level);
	((PageHeader) page)->pd_lower = FNG_CONTENT_OFFSET;
}

/* The id of a slot, if ids reach that far. */
uint32
fng_new_id(FngInserter *inserter, Buffer buffer, uint32 slot)
{
	const FngLayout *layout = &inserter->index->layout;
	uint64		id = (uint64) BufferGetBlockNumber(buffer) * layout->slots_per_page + slot;

	if (id >= FNG_NO_ID)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("index \"%s\" cannot hold more nodes",
						RelationGetRelationName(inserter->relation)),
				 errhint("Partition the table.")));
	return (uint32) id;
}
