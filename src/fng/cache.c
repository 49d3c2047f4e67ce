/*-------------------------------------------------------------------------
 *
 * cache.c
 *	  What a backend keeps of an index between uses.
 *
 * A search needs the rotation, the centre and the top level, which together
 * cost far more to read than a search.  Each backend keeps them per index,
 * in memory of its own.  Every fng_index_open reads the meta page; if the
 * index has another file than the cached one, or an epoch too far from it, the
 * entry is replaced.  Users of the old entry keep it until their memory context goes:
 * an old top level only names nodes to start from, and a node never changes
 * its identity while anyone can be on the way to it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fng.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Bits per coordinate of the cached top level's codes. */
#define TOP_BITS	4

/*
 * A top level of n nodes is read again when it has changed n / this times: to
 * read it takes as long as some ten inserts, and a search can do without the
 * latest.
 */
#define EPOCHS_OLD	16

typedef struct CacheEntry
{
	Oid			relid;			/* hash key */
	CompatRelFile file;
	FngIndex   *index;			/* NULL if invalidated and not rebuilt */
} CacheEntry;

static HTAB *cache = NULL;

static bool is_current(const CacheEntry *entry, Relation index, const FngMetaPageData *meta);
static FngIndex *load(Relation index, const FngMetaPageData *meta);
static void load_centre(Relation index, FngIndex *entry);
static void load_top(Relation index, FngIndex *entry);
static void load_top_page(Relation index, FngIndex *entry, BlockNumber block,
						  Page page, uint32 capacity, float *points);
static void encode_top(FngIndex *entry, const float *points);
static void drop(FngIndex *index);
static void release(void *arg);
static void invalidate(Datum arg, Oid relid);

/* Called once per backend, from fng_init. */
void
fng_cache_init(void)
{
	HASHCTL		info;

	info.keysize = sizeof(Oid);
	info.entrysize = sizeof(CacheEntry);
	info.hcxt = TopMemoryContext;
	cache = hash_create("fng indexes", 16, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(invalidate, (Datum) 0);
}

/*
 * Returns the cached description of an open index, current as of now.  It
 * stays valid until the memory context "owner" is reset or deleted.  Takes
 * and releases share locks of pages; the caller holds none.
 */
FngIndex *
fng_index_open(Relation index, MemoryContext owner)
{
	FngMetaPageData meta;
	CacheEntry *entry;
	bool		found;
	MemoryContextCallback *callback;

	fng_read_meta(index, &meta);

	entry = hash_search(cache, &RelationGetRelid(index), HASH_ENTER, &found);
	if (!found)
		entry->index = NULL;
	if (entry->index != NULL && !is_current(entry, index, &meta))
	{
		drop(entry->index);
		entry->index = NULL;
	}
	if (entry->index == NULL)
	{
		FngIndex   *loaded = load(index, &meta);

		/* loading may have processed invalidations: look the entry up anew */
		entry = hash_search(cache, &RelationGetRelid(index), HASH_ENTER, &found);
		if (found && entry->index != NULL)
			drop(entry->index);
		entry->index = loaded;
		entry->file = compat_relation_file(index);
	}
	else
	{
		/* the epoch stays that of the top level we have */
		meta.epoch = entry->index->meta.epoch;
		entry->index->meta = meta;
	}

	callback = MemoryContextAlloc(owner, sizeof(MemoryContextCallback));
	callback->func = release;
	callback->arg = entry->index;
	entry->index->refcount++;
	MemoryContextRegisterResetCallback(owner, callback);
	return entry->index;
}

static bool
is_current(const CacheEntry *entry, Relation index, const FngMetaPageData *meta)
{
	return compat_relation_file_equals(entry->file, compat_relation_file(index)) &&
		meta->epoch - entry->index->meta.epoch <= entry->index->ntop / EPOCHS_OLD &&
		entry->index->meta.nlevels == meta->nlevels &&
		memcmp(&entry->index->meta, meta,
			   offsetof(FngMetaPageData, calibrated_search_res_cnt)) == 0;
}

static FngIndex *
load(Relation index, const FngMetaPageData *meta)
{
	MemoryContext context;
	FngIndex   *entry;

	context = AllocSetContextCreate(CurrentMemoryContext, "fng index",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextCopyAndSetIdentifier(context, RelationGetRelationName(index));
	entry = MemoryContextAllocZero(context, sizeof(FngIndex));
	entry->context = context;
	entry->relid = RelationGetRelid(index);
	entry->meta = *meta;
	fng_layout_from_meta(meta, &entry->layout);
	entry->rotation = code_rotation_init(&entry->layout.code,
										 MemoryContextAlloc(context, code_rotation_size(&entry->layout.code)));
	load_centre(index, entry);
	if (meta->nlevels > 1)
		load_top(index, entry);

	/* complete: from now on an error does not free it */
	MemoryContextSetParent(context, CacheMemoryContext);
	return entry;
}

static void
load_centre(Relation index, FngIndex *entry)
{
	Size		nbytes = entry->layout.code.rotdim * sizeof(float);

	if (!BlockNumberIsValid(entry->meta.centre))
		return;
	entry->centre = MemoryContextAlloc(entry->context, nbytes);
	fng_read_vector_chain(index, entry->meta.centre, entry->centre, nbytes, NULL);
}

/*
 * Read the top level and encode it with the centre as origin.  Nodes added
 * while we read are found the next time: they raised the epoch.
 */
static void
load_top(Relation index, FngIndex *entry)
{
	const FngLayout *layout = &entry->layout;
	BlockNumber block = entry->meta.level_head[entry->meta.nlevels - 1];
	uint32		capacity = entry->meta.top_nodes + layout->slots_per_page;
	BlockNumber ahead = InvalidBlockNumber;
	BlockNumber nsteps = 0;
	float	   *points;
	PGAlignedBlock copy;

	if (!fng_has_block(index, entry->meta.top_nodes / layout->slots_per_page))
		fng_report_bad_page(index, FNG_META_BLOCK, "counts more nodes than can be there");
	entry->top_free = MemoryContextAlloc(entry->context, FNG_TOP_NODES * sizeof(uint32));
	entry->top_ids = MemoryContextAlloc(entry->context, capacity * sizeof(uint32));
	entry->top_down = MemoryContextAlloc(entry->context, capacity * sizeof(uint32));
	points = MemoryContextAllocHuge(entry->context,
									mul_size(capacity, layout->code.rotdim * sizeof(float)));

	while (BlockNumberIsValid(block))
	{
		Buffer		buffer;

		CHECK_FOR_INTERRUPTS();
		fng_count_step(index, block, &nsteps);
		buffer = fng_read_backwards(index, block, &ahead);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		fng_check_page(index, buffer, FNG_PAGE_NODE);
		memcpy(copy.data, BufferGetPage(buffer), BLCKSZ);
		UnlockReleaseBuffer(buffer);
		if (FngPageGetOpaque(copy.data)->level + 1u != entry->meta.nlevels)
			fng_report_bad_page(index, block, "is in the chain of another level");
		load_top_page(index, entry, block, copy.data, capacity, points);
		block = FngPageGetOpaque(copy.data)->next;
	}

	if (entry->ntop > 0)
		encode_top(entry, points);
	pfree(points);
}

/* Take the nodes of one page, given a copy of it. */
static void
load_top_page(Relation index, FngIndex *entry, BlockNumber block, Page page,
			  uint32 capacity, float *points)
{
	const FngLayout *layout = &entry->layout;
	float	   *coded = palloc(layout->code.dim * sizeof(float));
	float	   *chained = layout->vector_inline ? NULL : palloc(layout->vector_bytes);

	for (uint32 i = 0; i < layout->slots_per_page && entry->ntop < capacity; i++)
	{
		char	   *slot = FngPageSlot(layout, page, i);
		const float *value = FngSlotVector(layout, slot);

		if (FngSlotNode(slot)->flags == 0 && entry->ntop_free < FNG_TOP_NODES)
			entry->top_free[entry->ntop_free++] = FngMakeId(layout, block, i);
		if (!(FngSlotNode(slot)->flags & FNG_NODE_LIVE))
			continue;
		if (chained != NULL)
		{
			fng_read_vector_chain(index, FngSlotNode(slot)->vector, chained,
								  layout->vector_bytes, NULL);
			value = chained;
		}
		fng_coded_vector(layout, value, FngSlotNode(slot)->aux, coded);
		fng_code_point(entry, coded, points + (Size) entry->ntop * layout->code.rotdim);
		entry->top_ids[entry->ntop] = FngMakeId(layout, block, i);
		entry->top_down[entry->ntop++] = FngSlotNode(slot)->link;
	}
	pfree(coded);
	if (chained != NULL)
		pfree(chained);
}

static void
encode_top(FngIndex *entry, const float *points)
{
	const FngLayout *layout = &entry->layout;
	uint32		nblocks = (entry->ntop + CODE_LANES - 1) / CODE_LANES;
	Size		block_bytes;
	float	   *origin = palloc0(layout->code.rotdim * sizeof(float));
	float	   *mul = palloc(entry->ntop * sizeof(float));
	uint8	   *row;

	entry->top_code = layout->code;
	entry->top_code.bits = TOP_BITS;
	entry->top_code.coded = layout->code.rotdim;
	block_bytes = code_block_bytes(&entry->top_code, CODE_LANES);
	entry->top_blocks = MemoryContextAllocZero(entry->context, nblocks * block_bytes);
	entry->top_add = MemoryContextAllocZero(entry->context, entry->ntop * sizeof(float));
	entry->top_mul = MemoryContextAllocZero(entry->context, entry->ntop * sizeof(uint16));
	row = palloc(code_row_bytes(&entry->top_code));

	for (uint32 i = 0; i < entry->ntop; i++)
	{
		code_encode(&entry->top_code, layout->form, origin,
					points + (Size) i * layout->code.rotdim,
					row, &entry->top_add[i], &mul[i]);
		code_block_put(&entry->top_code, entry->top_blocks + i / CODE_LANES * block_bytes,
					   CODE_LANES, i % CODE_LANES, row);
	}
	entry->top_scale = fng_encode_factors(mul, entry->ntop, entry->top_mul);
	pfree(origin);
	pfree(mul);
	pfree(row);
}

static void
drop(FngIndex *index)
{
	if (index->refcount > 0)
		index->stale = true;
	else
		MemoryContextDelete(index->context);
}

/* Reset callback of a user's memory context. */
static void
release(void *arg)
{
	FngIndex   *index = (FngIndex *) arg;

	Assert(index->refcount > 0);
	if (--index->refcount == 0 && index->stale)
		MemoryContextDelete(index->context);
}

/* Relcache callback: forget what is unused of a relation that changed. */
static void
invalidate(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	CacheEntry *entry;

	if (OidIsValid(relid))
	{
		entry = hash_search(cache, &relid, HASH_FIND, NULL);
		if (entry != NULL)
		{
			if (entry->index != NULL)
				drop(entry->index);
			hash_search(cache, &relid, HASH_REMOVE, NULL);
		}
		return;
	}
	hash_seq_init(&status, cache);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry->index != NULL)
			drop(entry->index);
		hash_search(cache, &entry->relid, HASH_REMOVE, NULL);
	}
}
