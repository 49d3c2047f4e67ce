/*-------------------------------------------------------------------------
 *
 * insert.c
 *	  Adding one row to the index.
 *
 * The order makes a crash between any two WAL records harmless: the node is
 * complete, with its edges, before anything points to it; then come the
 * back-links, each a record of its own (link.c); then, for few nodes, the
 * levels above, from the lowest; the meta page last.  An insert that stops in
 * between leaves a node that its transaction's abort makes dead to all.
 *
 * No lock is held from one record to the next, except that of the meta page
 * while the first node or an upper-level node goes in.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "insert.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

static void insert_node(FngInserter *inserter, const float *value, ItemPointer tid);
static bool insert_first(FngInserter *inserter, FngPoint *point, ItemPointer tid);
static bool append_to_equal(FngInserter *inserter, const float *value, ItemPointer tid,
							const FngVisit *visits, uint32 nvisits);
static uint32 insert_at_level(FngInserter *inserter, uint8 level, FngPoint *point,
							  ItemPointer tid, uint32 down, const FngVisit *visits,
							  uint32 nvisits);
static void promote(FngInserter *inserter, FngPoint *point);
static uint32 place_base(FngInserter *inserter, char *image, const float *value,
						 Buffer meta_buffer);
static Buffer find_base_slot(FngInserter *inserter, uint32 *slot, bool *is_new);
static bool try_base_page(FngInserter *inserter, BlockNumber block, Buffer *buffer,
						  uint32 *slot);
static bool find_free_slot(const FngLayout *layout, Page page, uint32 *slot);
static uint32 new_id(FngInserter *inserter, Buffer buffer, uint32 slot);

/*
 * aminsert.  The inserter is kept for the statement.
 */
bool
fng_insert(Relation index, Datum *values, bool *isnull, ItemPointer tid,
		   Relation heap, IndexUniqueCheck unique, bool unchanged, IndexInfo *info)
{
	FngInserter *inserter = (FngInserter *) info->ii_AmCache;

	if (isnull[0])
	{
		fng_append_special_tid(index, FNG_CHAIN_NULLS, tid, false);
		return false;
	}
	if (inserter == NULL)
	{
		inserter = fng_inserter_create(index, fng_opclass(index), false, info->ii_Context);
		info->ii_AmCache = inserter;
	}
	fng_insert_value(inserter, values[0], tid);
	return false;
}

FngInserter *
fng_inserter_create(Relation index, const FngOpclass *opclass, bool building,
					MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "fng insert", ALLOCSET_DEFAULT_SIZES);
	FngInserter *inserter = MemoryContextAllocZero(context, sizeof(FngInserter));

	inserter->relation = index;
	inserter->building = building;
	inserter->opclass = opclass;
	inserter->context = context;
	inserter->row_context = AllocSetContextCreate(context, "fng insert row",
												  ALLOCSET_DEFAULT_SIZES);
	graph_params_init(&inserter->graph);
	return inserter;
}

/*
 * Insert a non-NULL value.  Takes and releases locks of pages; the caller
 * holds none.
 */
void
fng_insert_value(FngInserter *inserter, Datum value, ItemPointer tid)
{
	MemoryContext old;
	const float *floats;
	uint32		dim;

	MemoryContextReset(inserter->row_context);
	old = MemoryContextSwitchTo(inserter->row_context);
	inserter->index = fng_index_open(inserter->relation, inserter->row_context);
	floats = fng_value(inserter->opclass, value, &dim);
	fng_check_value_dim(&inserter->index->meta, dim);
	if (fng_value_is_odd(&inserter->index->layout, floats))
		fng_append_special_tid(inserter->relation, FNG_CHAIN_NANS, tid, inserter->building);
	else
		insert_node(inserter, floats, tid);
	MemoryContextSwitchTo(old);
}

/* The same for what fng_value gave, if fng_value_is_odd does not say so. */
void
fng_insert_floats(FngInserter *inserter, const float *floats, ItemPointer tid)
{
	MemoryContext old;

	MemoryContextReset(inserter->row_context);
	old = MemoryContextSwitchTo(inserter->row_context);
	inserter->index = fng_index_open(inserter->relation, inserter->row_context);
	insert_node(inserter, floats, tid);
	MemoryContextSwitchTo(old);
}

void
fng_check_value_dim(const FngMetaPageData *meta, uint32 dim)
{
	if (dim != meta->dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected %u dimensions, not %u", meta->dim, dim)));
}

/* Equal as values: -0 is 0. */
bool
fng_same_vector(uint32 dim, const float *a, const float *b)
{
	for (uint32 i = 0; i < dim; i++)
	{
		if (a[i] != b[i])
			return false;
	}
	return true;
}

static void
insert_node(FngInserter *inserter, const float *value, ItemPointer tid)
{
	FngPoint	point;
	FngVisit   *visits;
	uint32		nvisits;

	while (inserter->index->meta.nlevels == 0)
	{
		fng_point_init(inserter, &point, FNG_NO_ID, value,
					   fng_aux(&inserter->index->meta, value));
		if (insert_first(inserter, &point, tid))
			return;
		inserter->index = fng_index_open(inserter->relation, inserter->row_context);
	}

	if (inserter->search == NULL || fng_search_index(inserter->search) != inserter->index)
	{
		if (inserter->search != NULL)
			fng_search_free(inserter->search);
		inserter->search = fng_search_create(inserter->relation, inserter->context);
		inserter->index = fng_search_index(inserter->search);
	}
	fng_point_init(inserter, &point, FNG_NO_ID, value,
				   fng_aux(&inserter->index->meta, value));
	nvisits = fng_search_collect(inserter->search, value, point.aux, 0,
								 inserter->index->meta.build_res_cnt, &visits);
	if (append_to_equal(inserter, value, tid, visits, nvisits))
		return;
	point.id = insert_at_level(inserter, 0, &point, tid, InvalidBlockNumber, visits, nvisits);
	promote(inserter, &point);
}

/*
 * Put the first node into an empty graph.  Returns false if another backend
 * was faster.
 */
static bool
insert_first(FngInserter *inserter, FngPoint *point, ItemPointer tid)
{
	Buffer		buffer = ReadBuffer(inserter->relation, FNG_META_BLOCK);

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	fng_check_page(inserter->relation, buffer, FNG_PAGE_META);
	if (FngPageGetMeta(BufferGetPage(buffer))->nlevels > 0)
	{
		UnlockReleaseBuffer(buffer);
		return false;
	}
	(void) place_base(inserter,
					  fng_make_image(inserter, 0, point, tid, InvalidBlockNumber, NULL, 0),
					  point->value, buffer);
	UnlockReleaseBuffer(buffer);
	return true;
}

/*
 * If enough nodes hold this very vector, add the row to one of them.
 */
static bool
append_to_equal(FngInserter *inserter, const float *value, ItemPointer tid,
				const FngVisit *visits, uint32 nvisits)
{
	const FngLayout *layout = &inserter->index->layout;
	uint32		nequal = 0;

	for (uint32 i = 0; i < nvisits; i++)
	{
		if ((visits[i].flags & FNG_NODE_LIVE) &&
			fng_same_vector(layout->dim, visits[i].value, value))
			nequal++;
	}
	if (nequal < FNG_MAX_EQUAL_NODES)
		return false;

	/* one that has a chain already, if there is one */
	for (int want_chain = 1; want_chain >= 0; want_chain--)
	{
		for (uint32 i = 0; i < nvisits; i++)
		{
			if ((visits[i].flags & FNG_NODE_LIVE) &&
				BlockNumberIsValid(visits[i].tid_chain) == (want_chain == 1) &&
				fng_same_vector(layout->dim, visits[i].value, value) &&
				fng_append_node_tid(inserter->relation, layout, visits[i].id, tid,
									inserter->building))
				return true;
		}
	}
	return false;
}

/*
 * Link a node into one level: choose its edges among the nodes visited, write
 * it, and write the back-links.  Returns its id.
 */
static uint32
insert_at_level(FngInserter *inserter, uint8 level, FngPoint *point,
				ItemPointer tid, uint32 down, const FngVisit *visits,
				uint32 nvisits)
{
	FngPoint   *candidates = palloc(Max(1, nvisits) * sizeof(FngPoint));
	FngPoint  **chosen = palloc(inserter->index->layout.max_degree * sizeof(FngPoint *));
	uint32		nchosen;
	uint32		accepted = 0;
	char	   *image;

	for (uint32 i = 0; i < nvisits; i++)
		fng_point_init(inserter, &candidates[i], visits[i].id, visits[i].value, visits[i].aux);
	nchosen = fng_choose_edges(inserter, point, candidates, nvisits, chosen);

	image = fng_make_image(inserter, level, point, tid, down, chosen, nchosen);
	point->id = level == 0 ? place_base(inserter, image, point->value, InvalidBuffer) :
		fng_place_upper(inserter, level, image, point->value);

	for (uint32 i = 0; i < nchosen; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (fng_link_back(inserter, level, chosen[i], point, false))
			accepted++;
	}
	/* somebody must lead to the new node */
	for (uint32 i = 0; i < nchosen && accepted == 0; i++)
	{
		if (fng_link_back(inserter, level, chosen[i], point, true))
			accepted++;
	}
	return point->id;
}

/*
 * One node of level_ratio goes a level up, and so on.  The top level is
 * scanned flat, so there it needs no edges, and it must not grow too long.
 */
static void
promote(FngInserter *inserter, FngPoint *point)
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

		if (is_top && level + 1u == meta->nlevels && meta->top_nodes >= FNG_TOP_NODES)
			return;
		if (is_top)
		{
			fng_place_upper(inserter, level,
							fng_make_image(inserter, level, &upper, NULL, down, NULL, 0), upper.value);
			return;
		}
		nvisits = fng_search_collect(inserter->search, upper.value, upper.aux, level,
									 meta->build_res_cnt, &visits);
		down = insert_at_level(inserter, level, &upper, NULL, down, visits, nvisits);
		level++;
	}
}

/*
 * Write a base node's image into a free slot.  Returns its id.  If meta_buffer
 * is valid, the meta page, locked by the caller, makes it the entry in the
 * same record.
 */
static uint32
place_base(FngInserter *inserter, char *image, const float *value,
		   Buffer meta_buffer)
{
	const FngLayout *layout = &inserter->index->layout;
	FngChange	change;
	Buffer		buffer;
	Page		page;
	uint32		slot;
	bool		is_new;
	uint32		id;

	buffer = find_base_slot(inserter, &slot, &is_new);
	id = new_id(inserter, buffer, slot);
	if (!layout->vector_inline)
		FngSlotNode(image)->vector = fng_write_vector_chain(inserter->relation, id, value,
															layout->vector_bytes,
															inserter->building);
	fng_change_begin(&change, inserter->relation, inserter->building);
	page = fng_change_page(&change, buffer, is_new);
	if (is_new)
		fng_page_init(page, FNG_PAGE_NODE, 0);
	memcpy(FngPageSlot(layout, page, slot), image, layout->slot_size);
	if (BufferIsValid(meta_buffer))
	{
		FngMetaPage meta = FngPageGetMeta(fng_change_page(&change, meta_buffer, false));

		meta->nlevels = 1;
		meta->entry = id;
		meta->epoch++;
	}
	fng_change_finish(&change);
	RelationSetTargetBlock(inserter->relation, BufferGetBlockNumber(buffer));
	UnlockReleaseBuffer(buffer);
	return id;
}

/*
 * Write an upper-level node, and what the meta page says of its level, in one
 * record.  Locks the meta page, then the level's newest page.
 */
uint32
fng_place_upper(FngInserter *inserter, uint8 level, char *image, const float *value)
{
	const FngLayout *layout = &inserter->index->layout;
	Buffer		meta_buffer = ReadBuffer(inserter->relation, FNG_META_BLOCK);
	Buffer		buffer = InvalidBuffer;
	FngMetaPage meta;
	FngChange	change;
	BlockNumber head;
	Page		page;
	uint32		slot = 0;
	uint32		id;
	bool		is_new = false;

	LockBuffer(meta_buffer, BUFFER_LOCK_EXCLUSIVE);
	fng_check_page(inserter->relation, meta_buffer, FNG_PAGE_META);
	head = FngPageGetMeta(BufferGetPage(meta_buffer))->level_head[level];
	if (BlockNumberIsValid(head))
	{
		buffer = ReadBuffer(inserter->relation, head);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		fng_check_page(inserter->relation, buffer, FNG_PAGE_NODE);
		if (!find_free_slot(layout, BufferGetPage(buffer), &slot))
		{
			UnlockReleaseBuffer(buffer);
			buffer = InvalidBuffer;
		}
	}
	if (!BufferIsValid(buffer))
	{
		buffer = fng_extend(inserter->relation, MAIN_FORKNUM);
		slot = 0;
		is_new = true;
	}
	id = new_id(inserter, buffer, slot);
	if (!layout->vector_inline)
		FngSlotNode(image)->vector = fng_write_vector_chain(inserter->relation, id, value,
															layout->vector_bytes,
															inserter->building);

	fng_change_begin(&change, inserter->relation, inserter->building);
	page = fng_change_page(&change, buffer, is_new);
	meta = FngPageGetMeta(fng_change_page(&change, meta_buffer, false));
	if (is_new)
	{
		fng_page_init(page, FNG_PAGE_NODE, level);
		FngPageGetOpaque(page)->next = head;
		meta->level_head[level] = BufferGetBlockNumber(buffer);
	}
	memcpy(FngPageSlot(layout, page, slot), image, layout->slot_size);
	if (level + 1u > meta->nlevels)
	{
		meta->nlevels = level + 1;
		meta->top_nodes = 0;
	}
	if (level + 1u == meta->nlevels)
	{
		meta->top_nodes++;
		meta->epoch++;
	}
	fng_change_finish(&change);
	UnlockReleaseBuffer(buffer);
	UnlockReleaseBuffer(meta_buffer);
	return id;
}

/*
 * Find a page with a free base slot and return it locked exclusively: the one
 * this backend used last, the last of the relation, or a new one.
 */
static Buffer
find_base_slot(FngInserter *inserter, uint32 *slot, bool *is_new)
{
	Relation	index = inserter->relation;
	BlockNumber target = RelationGetTargetBlock(index);
	BlockNumber last;
	Buffer		buffer;

	*is_new = false;
	if (inserter->index->layout.slots_per_page > 1)
	{
		if (BlockNumberIsValid(target) && try_base_page(inserter, target, &buffer, slot))
			return buffer;
		last = RelationGetNumberOfBlocks(index) - 1;
		if (last != FNG_META_BLOCK && last != target &&
			try_base_page(inserter, last, &buffer, slot))
			return buffer;
	}
	*is_new = true;
	*slot = 0;
	return fng_extend(index, MAIN_FORKNUM);
}

static bool
try_base_page(FngInserter *inserter, BlockNumber block, Buffer *buffer, uint32 *slot)
{
	const FngLayout *layout = &inserter->index->layout;
	Page		page;

	*buffer = ReadBuffer(inserter->relation, block);
	LockBuffer(*buffer, BUFFER_LOCK_EXCLUSIVE);
	page = BufferGetPage(*buffer);
	if (!PageIsNew(page) && FngPageGetOpaque(page)->kind == FNG_PAGE_NODE &&
		FngPageGetOpaque(page)->level == 0 && find_free_slot(layout, page, slot))
		return true;
	UnlockReleaseBuffer(*buffer);
	return false;
}

static bool
find_free_slot(const FngLayout *layout, Page page, uint32 *slot)
{
	for (*slot = 0; *slot < layout->slots_per_page; (*slot)++)
	{
		if (FngSlotNode(FngPageSlot(layout, page, *slot))->flags == 0)
			return true;
	}
	return false;
}

/* The id of a slot, if ids reach that far. */
static uint32
new_id(FngInserter *inserter, Buffer buffer, uint32 slot)
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

/*
 * The bytes of a new slot.  tid is NULL on upper levels, where link is the id
 * one level down.
 */
char *
fng_make_image(FngInserter *inserter, uint8 level, FngPoint *point, ItemPointer tid,
			   uint32 link, FngPoint **chosen, uint32 nchosen)
{
	const FngLayout *layout = &inserter->index->layout;
	char	   *image = palloc0(layout->slot_size);
	FngNode		node = FngSlotNode(image);
	FngEdge    *edges = palloc(Max(1, nchosen) * sizeof(FngEdge));

	if (tid != NULL)
		node->tid = *tid;
	else
		ItemPointerSetInvalid(&node->tid);
	node->flags = FNG_NODE_LIVE;
	node->mark = FNG_NODE_MARK + level;
	node->link = link;
	node->vector = InvalidBlockNumber;
	node->aux = point->aux;
	if (layout->vector_inline)
		memcpy(FngSlotVector(layout, image), point->value, layout->vector_bytes);
	fng_make_edges(inserter, point, chosen, nchosen, edges);
	fng_slot_set_edges(layout, image, edges, nchosen);
	return image;
}
