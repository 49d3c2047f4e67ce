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

#include "insert.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* The list of the search that must come to a new node */
#define FIND_LIST_SIZE	32

/* What a row usually takes; kept from one to the next */
#define ROW_SCRATCH		(1024 * 1024)

/* The inserter of the last statement, for the next */
static FngInserter *spare = NULL;
static bool spare_borrowed = false;

static FngInserter *borrow_inserter(Relation index, MemoryContext context);
static void return_inserter(void *arg);
static void insert_node(FngInserter *inserter, const float *value, ItemPointer tid);
static bool insert_first(FngInserter *inserter, FngPoint *point, ItemPointer tid);
static bool append_to_equal(FngInserter *inserter, const float *value, ItemPointer tid,
							const FngVisit *visits, uint32 nvisits);
static void make_findable(FngInserter *inserter, FngPoint *point);
static uint32 place_base(FngInserter *inserter, char *image, const float *value,
						 Buffer meta_buffer);
static void link_from_dead(FngInserter *inserter, uint8 level, FngPoint *point,
						   const FngVisit *visits, uint32 nvisits);
static void init_candidate(FngInserter *inserter, FngPoint *point, const FngVisit *visit);

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
		inserter = borrow_inserter(index, info->ii_Context);
		info->ii_AmCache = inserter;
	}
	fng_insert_value(inserter, values[0], tid);
	return false;
}

/*
 * An inserter for a statement: the one that the last statement left, if it
 * was for this index.  What it has in memory took as long to get as a tenth
 * of an insert.
 */
static FngInserter *
borrow_inserter(Relation index, MemoryContext context)
{
	MemoryContextCallback *callback;

	if (spare_borrowed)
		return fng_inserter_create(index, fng_opclass(index), false, context);
	if (spare != NULL && (spare->busy || spare->relid != RelationGetRelid(index)))
	{
		MemoryContextDelete(spare->context);
		spare = NULL;
	}
	if (spare == NULL)
		spare = fng_inserter_create(index, fng_opclass(index), false, CacheMemoryContext);
	spare->relation = index;
	spare->opclass = fng_opclass(index);
	if (spare->search != NULL)
		fng_search_set_relation(spare->search, index);

	callback = MemoryContextAlloc(context, sizeof(MemoryContextCallback));
	callback->func = return_inserter;
	callback->arg = NULL;
	MemoryContextRegisterResetCallback(context, callback);
	spare_borrowed = true;
	return spare;
}

/*
 * The statement has ended, well or by an error; in the latter case "busy" may
 * tell that nothing of the inserter can be relied on.
 */
static void
return_inserter(void *arg)
{
	spare_borrowed = false;
	if (!spare->busy)
	{
		MemoryContextReset(spare->row_context);
		if (spare->search != NULL)
			fng_search_forget(spare->search);
	}
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
	inserter->relid = RelationGetRelid(index);
	inserter->row_context = compat_create_scratch_context(context, "fng insert row",
														  ROW_SCRATCH);
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
	inserter->busy = true;
	inserter->index = fng_index_open(inserter->relation, inserter->row_context);
	floats = fng_value(inserter->opclass, value, &dim);
	fng_check_value_dim(&inserter->index->meta, dim);
	if (fng_value_is_odd(&inserter->index->layout, floats))
		fng_append_special_tid(inserter->relation, FNG_CHAIN_NANS, tid, inserter->building);
	else
		insert_node(inserter, floats, tid);
	inserter->busy = false;
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
	point.id = fng_insert_at_level(inserter, 0, &point, tid, InvalidBlockNumber, visits, nvisits);
	make_findable(inserter, &point);
	fng_promote(inserter, &point);
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
 * Link a node into one level: choose its edges among the live nodes visited,
 * write it, and write the back-links.  Returns its id.
 */
uint32
fng_insert_at_level(FngInserter *inserter, uint8 level, FngPoint *point,
					ItemPointer tid, uint32 down, const FngVisit *visits,
					uint32 nvisits)
{
	uint32		max_degree = inserter->index->layout.max_degree;
	FngPoint   *candidates = palloc(Max(1, nvisits) * sizeof(FngPoint));
	FngPoint  **chosen = palloc(max_degree * sizeof(FngPoint *));
	uint32		ncandidates = 0;
	uint32		nchosen;
	char	   *image;

	for (uint32 i = 0; i < nvisits; i++)
	{
		if (visits[i].flags & FNG_NODE_LIVE)
			init_candidate(inserter, &candidates[ncandidates++], &visits[i]);
	}
	nchosen = fng_choose_edges(inserter, point, candidates, ncandidates,
							   Max(inserter->index->meta.build_res_cnt, max_degree), chosen);

	image = fng_make_image(inserter, level, point, tid, down, chosen, nchosen);
	point->id = level == 0 ? place_base(inserter, image, point->value, InvalidBuffer) :
		fng_place_upper(inserter, level, image, point->value, FNG_NO_ID);

	if (nchosen > 0)
		fng_link_new(inserter, level, point, chosen, nchosen);
	else
		link_from_dead(inserter, level, point, visits, nvisits);
	return point->id;
}

static void
init_candidate(FngInserter *inserter, FngPoint *point, const FngVisit *visit)
{
	fng_point_init(inserter, point, visit->id, visit->value, visit->aux);
	point->lsn = visit->lsn;
}

/*
 * No live node was visited.  Dead ones lead on until VACUUM takes the edges to
 * them away, and it sees to it that others take their place.
 */
static void
link_from_dead(FngInserter *inserter, uint8 level, FngPoint *point,
			   const FngVisit *visits, uint32 nvisits)
{
	for (uint32 i = 0; i < nvisits; i++)
	{
		FngPoint	from;

		init_candidate(inserter, &from, &visits[i]);
		if (fng_link_back(inserter, level, &from, point, true))
			return;
	}
}

/*
 * A search for the new node's own vector must come to it.  If it does not,
 * the nearest that it came to gets an anchor.
 */
static void
make_findable(FngInserter *inserter, FngPoint *point)
{
	FngVisit   *visits;
	uint32		nvisits;
	FngVisit   *nearest = NULL;
	FngPoint	from;

	if (fng_search_reaches(inserter->search, point->value, point->aux, point->id,
						   FIND_LIST_SIZE))
		return;
	nvisits = fng_search_collect(inserter->search, point->value, point->aux, 0,
								 FIND_LIST_SIZE, &visits);
	for (uint32 i = 0; i < nvisits; i++)
	{
		if ((visits[i].flags & FNG_NODE_LIVE) && visits[i].id != point->id &&
			(nearest == NULL || visits[i].score < nearest->score))
			nearest = &visits[i];
	}
	if (nearest == NULL)
		return;
	init_candidate(inserter, &from, nearest);
	(void) fng_link_back(inserter, 0, &from, point, true);
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

	buffer = fng_find_base_slot(inserter, &slot, &is_new);
	id = fng_new_id(inserter, buffer, slot);
	fng_write_chain(inserter, id, buffer, is_new ? FNG_NO_ID : slot, image, value);
	fng_change_begin(&change, inserter->relation, inserter->building);
	page = fng_change_page(&change, buffer, is_new);
	if (is_new)
		fng_init_node_page(page, 0);
	fng_use_slot(layout, page, slot, image);
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
