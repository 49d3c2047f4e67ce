/*-------------------------------------------------------------------------
 *
 * upper.c
 *	  Nodes of the levels above, as inserts put them there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "insert.h"
#include "utils/rel.h"

static bool choose_victim(FngInserter *inserter, uint32 *victim);
static Buffer find_upper_slot(FngInserter *inserter, uint8 level, BlockNumber head,
							  uint32 victim, uint32 *slot, bool *is_new);
static Buffer lock_upper_page(FngInserter *inserter, uint8 level, BlockNumber block);

/*
 * One node of level_ratio goes a level up, and so on.  The top level is
 * scanned flat, so there it needs no edges, and it must not grow too long:
 * when it is full a new node takes the place of another, so seldom that the
 * level remains a random sample of all.
 */
void
fng_promote(FngInserter *inserter, FngPoint *point)
{
	uint32		down = point->id;
	uint8		level = 1;

	while (level < FNG_MAX_LEVELS &&
		   pg_prng_uint64_range(&pg_global_prng_state, 1, inserter->index->meta.level_ratio) == 1)
	{
		const FngMetaPageData *meta = &inserter->index->meta;
		bool		is_top = level + 1u >= meta->nlevels;
		FngPoint	upper = *point;
		FngVisit   *visits;
		uint32		nvisits;

		if (is_top)
		{
			uint32		victim = FNG_NO_ID;

			if (level + 1u == meta->nlevels && meta->top_nodes >= FNG_TOP_NODES &&
				!choose_victim(inserter, &victim))
				return;
			fng_place_upper(inserter, level,
							fng_make_image(inserter, level, &upper, NULL, down, NULL, 0),
							upper.value, victim);
			return;
		}
		nvisits = fng_search_collect(inserter->search, upper.value, upper.aux, level,
									 meta->build_res_cnt, &visits);
		down = fng_insert_at_level(inserter, level, &upper, NULL, down, visits, nvisits);
		level++;
	}
}

/*
 * May a node that was chosen by level_ratio enter the top level, which is
 * full, and in whose place?
 */
static bool
choose_victim(FngInserter *inserter, uint32 *victim)
{
	const FngIndex *index = inserter->index;
	double		nodes = (double) RelationGetNumberOfBlocks(inserter->relation) *
	index->layout.slots_per_page;

	if (index->ntop == 0 ||
		pg_prng_double(&pg_global_prng_state) * nodes >
		(double) FNG_TOP_NODES * index->meta.level_ratio)
		return false;
	*victim = index->top_ids[pg_prng_uint64_range(&pg_global_prng_state, 0, index->ntop - 1)];
	return true;
}

/*
 * Write an upper-level node, and what the meta page says of its level, in one
 * record: in the slot of "victim", a node of the top level, or, with FNG_NO_ID,
 * in a free one.  Locks the meta page, then the node's.
 */
uint32
fng_place_upper(FngInserter *inserter, uint8 level, char *image, const float *value,
				uint32 victim)
{
	const FngLayout *layout = &inserter->index->layout;
	Buffer		meta_buffer = ReadBuffer(inserter->relation, FNG_META_BLOCK);
	Buffer		buffer;
	FngMetaPage meta;
	FngChange	change;
	BlockNumber head;
	Page		page;
	uint32		slot;
	uint32		id;
	bool		is_new;
	bool		replaces;

	LockBuffer(meta_buffer, BUFFER_LOCK_EXCLUSIVE);
	fng_check_page(inserter->relation, meta_buffer, FNG_PAGE_META);
	head = FngPageGetMeta(BufferGetPage(meta_buffer))->level_head[level];
	buffer = find_upper_slot(inserter, level, head, victim, &slot, &is_new);
	id = fng_new_id(inserter, buffer, slot);
	replaces = !is_new && fng_slot_usable(FngPageSlot(layout, BufferGetPage(buffer), slot), level);
	fng_write_chain(inserter, id, buffer, is_new ? FNG_NO_ID : slot, image, value);

	fng_change_begin(&change, inserter->relation, inserter->building);
	page = fng_change_page(&change, buffer, is_new);
	meta = FngPageGetMeta(fng_change_page(&change, meta_buffer, false));
	if (is_new)
	{
		fng_init_node_page(page, level);
		FngPageGetOpaque(page)->next = head;
		meta->level_head[level] = BufferGetBlockNumber(buffer);
	}
	fng_use_slot(layout, page, slot, image);
	if (level + 1u > meta->nlevels)
	{
		meta->nlevels = level + 1;
		meta->top_nodes = 0;
	}
	if (level + 1u == meta->nlevels)
	{
		if (!replaces)
			meta->top_nodes++;
		meta->epoch++;
	}
	fng_change_finish(&change);
	UnlockReleaseBuffer(buffer);
	UnlockReleaseBuffer(meta_buffer);
	return id;
}

/*
 * A slot for a node of an upper level, its page locked exclusively: that of
 * the victim, one that was free when we read the top level, one of the level's
 * newest page, or the first of a new page.
 */
static Buffer
find_upper_slot(FngInserter *inserter, uint8 level, BlockNumber head, uint32 victim,
				uint32 *slot, bool *is_new)
{
	const FngIndex *index = inserter->index;
	const FngLayout *layout = &index->layout;
	bool		is_top = level + 1u == index->meta.nlevels;
	Buffer		buffer;

	*is_new = false;
	if (victim != FNG_NO_ID)
	{
		*slot = FngIdSlot(layout, victim);
		buffer = lock_upper_page(inserter, level, FngIdBlock(layout, victim));
		if (BufferIsValid(buffer))
			return buffer;
	}
	for (uint32 i = is_top ? 0 : index->ntop_free; i <= index->ntop_free; i++)
	{
		BlockNumber block = head;

		if (i < index->ntop_free)
		{
			if (index->top_free[i] == FNG_NO_ID)
				continue;
			block = FngIdBlock(layout, index->top_free[i]);
			index->top_free[i] = FNG_NO_ID;
		}
		if (!BlockNumberIsValid(block))
			continue;
		buffer = lock_upper_page(inserter, level, block);
		if (!BufferIsValid(buffer))
			continue;
		if (fng_find_free_slot(layout, BufferGetPage(buffer), slot))
			return buffer;
		UnlockReleaseBuffer(buffer);
	}
	*is_new = true;
	*slot = 0;
	return fng_extend(inserter->relation, MAIN_FORKNUM);
}

/* Lock a page of an upper level exclusively, if it is one. */
static Buffer
lock_upper_page(FngInserter *inserter, uint8 level, BlockNumber block)
{
	Buffer		buffer = fng_read_chained(inserter->relation, block, FNG_PAGE_NODE, NULL);

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	fng_check_page(inserter->relation, buffer, FNG_PAGE_NODE);
	if (FngPageGetOpaque(BufferGetPage(buffer))->level == level)
		return buffer;
	UnlockReleaseBuffer(buffer);
	return InvalidBuffer;
}
