/*-------------------------------------------------------------------------
 *
 * improve_top.c
 *	  descartes_index_refine: the top level is a sample of the nodes again.
 *
 * The top level is where searches start.  An index that was filled by inserts
 * has there a sample of its first rows, and one that has lost most of its rows
 * a small one.  So the level is drawn anew, as large as a build makes it, from
 * the live nodes below; entries that are in the new sample stay where they
 * are, others give their slots to the new ones.
 *
 * Nobody comes to a node of the top level but by reading all of them, and each
 * backend keeps what it has read.  So a slot may change hands at once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "common/hashfn.h"
#include "improve.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* As in a build: fewer nodes need no level above, and a sample is no larger. */
#define MIN_NODES_FOR_LEVELS	FNG_TOP_TARGET
#define MIN_LEVEL_RATIO			4

/* The change of the level under way */
typedef struct TopChange
{
	FngImprove *improve;
	uint8		level;
	uint32		nwanted;		/* the first of the sample, by id */
	uint32		wanted[FNG_TOP_TARGET];
	bool		present[FNG_TOP_TARGET];	/* was there when we looked */
	bool		kept[FNG_TOP_TARGET];
	uint32		next;			/* from here on of those not present */
} TopChange;

static void choose_wanted(TopChange *change, const FngSample *sample);
static void mark_present(TopChange *change, BlockNumber block);
static void replace_others(TopChange *change, BlockNumber block);
static bool change_slot(TopChange *change, BlockNumber block, uint32 number,
						const FngNodeData *before, char *image, const float *value);
static void put_slot(TopChange *change, Buffer meta_buffer, Buffer buffer,
					 uint32 number, const char *image);
static void put_vector(TopChange *change, Buffer buffer, uint32 number, char *image,
					   const float *value);
static char *next_image(TopChange *change, FngPoint *point);
static uint32 find_wanted(const TopChange *change, uint32 id);
static void copy_page(TopChange *change, BlockNumber block, BlockNumber *ahead, Page page);
static int	compare_ids(const void *a, const void *b);
static void finish_top(FngImprove *improve, uint8 level);

/* Consider a live node of the level for the sample. */
void
fng_sample_offer(FngSample *sample, uint32 id, uint64 seed)
{
	uint32		hash = murmurhash32(id ^ (uint32) seed);
	uint32		at;

	sample->nlive++;
	if (sample->n == FNG_TOP_TARGET && hash >= sample->hashes[sample->n - 1])
		return;
	at = sample->n < FNG_TOP_TARGET ? sample->n++ : sample->n - 1;
	for (; at > 0 && sample->hashes[at - 1] > hash; at--)
	{
		sample->hashes[at] = sample->hashes[at - 1];
		sample->ids[at] = sample->ids[at - 1];
	}
	sample->hashes[at] = hash;
	sample->ids[at] = id;
}

/* Make the top level what the sample says. */
void
fng_improve_top(FngImprove *improve)
{
	const FngSample *sample = &improve->sample;
	TopChange  *change = palloc0(sizeof(TopChange));
	const FngMetaPageData *meta;
	FngPoint	point;
	char	   *image;

	fng_improve_refresh(improve);
	meta = &improve->inserter->index->meta;
	change->improve = improve;
	change->level = sample->level + 1;
	if (sample->nlive == 0 || meta->nlevels > change->level + 1u ||
		(meta->nlevels == 1 && sample->nlive < MIN_NODES_FOR_LEVELS))
		return;
	choose_wanted(change, sample);
	fng_improve_phase(FNG_PHASE_TOP, 0);
	if (meta->nlevels > change->level)
	{
		BlockNumber head = meta->level_head[change->level];

		mark_present(change, head);
		replace_others(change, head);
	}
	while ((image = next_image(change, &point)) != NULL)
	{
		(void) fng_place_upper(improve->inserter, change->level, image, point.value,
							   FNG_NO_ID);
		change->next++;
	}
	finish_top(improve, change->level);
}

/* As many as a build takes, in the order of their ids */
static void
choose_wanted(TopChange *change, const FngSample *sample)
{
	change->nwanted = (uint32) Min((uint64) sample->n, Max(sample->nlive / MIN_LEVEL_RATIO, 1));
	memcpy(change->wanted, sample->ids, change->nwanted * sizeof(uint32));
	qsort(change->wanted, change->nwanted, sizeof(uint32), compare_ids);
}

/* Which of the nodes wanted are there already? */
static void
mark_present(TopChange *change, BlockNumber block)
{
	const FngLayout *layout = &change->improve->layout;
	BlockNumber ahead = InvalidBlockNumber;
	BlockNumber nsteps = 0;
	PGAlignedBlock page;

	while (BlockNumberIsValid(block))
	{
		fng_count_step(change->improve->index, block, &nsteps);
		copy_page(change, block, &ahead, page.data);
		for (uint32 i = 0; i < layout->slots_per_page; i++)
		{
			const FngNodeData *node = FngSlotNode(FngPageSlot(layout, page.data, i));
			uint32		at = find_wanted(change, node->link);

			if ((node->flags & FNG_NODE_LIVE) && at < change->nwanted)
				change->present[at] = true;
		}
		block = FngPageGetOpaque(page.data)->next;
	}
}

/*
 * Give the slots of the level that hold others, or a second copy, to nodes
 * that are wanted, and free those that are left then.
 */
static void
replace_others(TopChange *change, BlockNumber block)
{
	const FngLayout *layout = &change->improve->layout;
	BlockNumber ahead = InvalidBlockNumber;
	BlockNumber nsteps = 0;
	PGAlignedBlock page;

	while (BlockNumberIsValid(block))
	{
		fng_count_step(change->improve->index, block, &nsteps);
		copy_page(change, block, &ahead, page.data);
		for (uint32 i = 0; i < layout->slots_per_page; i++)
		{
			const FngNodeData *node = FngSlotNode(FngPageSlot(layout, page.data, i));
			uint32		at = find_wanted(change, node->link);
			FngPoint	point;
			char	   *image;

			if ((node->flags & FNG_NODE_LIVE) && at < change->nwanted && !change->kept[at])
			{
				change->kept[at] = true;
				continue;
			}
			image = next_image(change, &point);
			if (image == NULL && node->flags == 0)
				continue;
			if (change_slot(change, block, i, node, image,
							image != NULL ? point.value : NULL) && image != NULL)
				change->next++;
		}
		block = FngPageGetOpaque(page.data)->next;
	}
}

static void
copy_page(TopChange *change, BlockNumber block, BlockNumber *ahead, Page page)
{
	Relation	index = change->improve->index;
	Buffer		buffer = fng_read_backwards(index, block, ahead);

	CHECK_FOR_INTERRUPTS();
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	fng_check_page(index, buffer, FNG_PAGE_NODE);
	memcpy(page, BufferGetPage(buffer), BLCKSZ);
	UnlockReleaseBuffer(buffer);
	if (FngPageGetOpaque(page)->level != change->level)
		fng_report_bad_page(index, block, "is in the chain of another level");
}

/*
 * Put a node, or nothing if image is NULL, in the place of what a slot held
 * before.  Returns false if it holds something else by now.  Locks the meta
 * page, then the slot's, then those of its vector, as fng_place_upper.
 */
static bool
change_slot(TopChange *change, BlockNumber block, uint32 number,
			const FngNodeData *before, char *image, const float *value)
{
	Relation	index = change->improve->index;
	const FngLayout *layout = &change->improve->layout;
	Buffer		meta_buffer = ReadBuffer(index, FNG_META_BLOCK);
	Buffer		buffer = ReadBuffer(index, block);
	const FngNodeData *node = FngSlotNode(FngPageSlot(layout, BufferGetPage(buffer), number));
	bool		same;

	LockBuffer(meta_buffer, BUFFER_LOCK_EXCLUSIVE);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	fng_check_page(index, meta_buffer, FNG_PAGE_META);
	fng_check_page(index, buffer, FNG_PAGE_NODE);
	same = node->flags == before->flags && node->link == before->link;
	if (same)
	{
		/* who reads the slot while its vector changes must find it free */
		if (node->flags != 0 && (image == NULL || !layout->vector_inline))
			put_slot(change, meta_buffer, buffer, number, NULL);
		if (image != NULL && !layout->vector_inline)
			put_vector(change, buffer, number, image, value);
		if (image != NULL)
			put_slot(change, meta_buffer, buffer, number, image);
	}
	UnlockReleaseBuffer(buffer);
	UnlockReleaseBuffer(meta_buffer);
	return same;
}

/* One record: the slot, and the number of nodes if that changes. */
static void
put_slot(TopChange *change, Buffer meta_buffer, Buffer buffer, uint32 number,
		 const char *image)
{
	const FngLayout *layout = &change->improve->layout;
	FngChange	record;
	Page		page;
	char	   *slot;
	int			added;

	fng_change_begin(&record, change->improve->index, false);
	page = fng_change_page(&record, buffer, false);
	slot = FngPageSlot(layout, page, number);
	added = (image != NULL) - (FngSlotNode(slot)->flags != 0);
	if (image != NULL)
		fng_use_slot(layout, page, number, image);
	else
	{
		BlockNumber vector = layout->vector_inline ? 0 : FngSlotNode(slot)->vector;

		memset(slot, 0, layout->slot_size);
		FngSlotNode(slot)->vector = vector;
	}
	if (added != 0)
		FngPageGetMeta(fng_change_page(&record, meta_buffer, false))->top_nodes += added;
	fng_change_finish(&record);
}

/* The vector of a node that takes a free slot goes where the last one's was. */
static void
put_vector(TopChange *change, Buffer buffer, uint32 number, char *image, const float *value)
{
	const FngLayout *layout = &change->improve->layout;
	Relation	index = change->improve->index;
	BlockNumber chain = FngSlotNode(FngPageSlot(layout, BufferGetPage(buffer), number))->vector;

	if (chain == FNG_META_BLOCK)
		chain = InvalidBlockNumber; /* a slot that was never used */
	chain = fng_write_vector_chain(index,
								   FngMakeId(layout, BufferGetBlockNumber(buffer), number),
								   value, layout->vector_bytes, chain, false);
	FngSlotNode(image)->vector = chain;
}

/*
 * The slot of the next node that is wanted and was not there, NULL if there is
 * no more.  change->next moves on over what is no more.
 */
static char *
next_image(TopChange *change, FngPoint *point)
{
	FngImprove *improve = change->improve;

	MemoryContextReset(improve->inserter->row_context);
	for (; change->next < change->nwanted; change->next++)
	{
		uint32		id = change->wanted[change->next];
		MemoryContext old;
		FngNodeData header;
		char	   *image = NULL;

		if (change->present[change->next])
			continue;
		old = MemoryContextSwitchTo(improve->inserter->row_context);
		if (fng_improve_read(improve, change->level - 1, id, point, &header))
			image = fng_make_image(improve->inserter, change->level, point, NULL, id, NULL, 0);
		MemoryContextSwitchTo(old);
		if (image != NULL)
			return image;
	}
	return NULL;
}

/* Where an id is among those wanted; nwanted if it is not. */
static uint32
find_wanted(const TopChange *change, uint32 id)
{
	const uint32 *found = bsearch(&id, change->wanted, change->nwanted, sizeof(uint32),
								  compare_ids);

	return found == NULL ? change->nwanted : (uint32) (found - change->wanted);
}

static int
compare_ids(const void *a, const void *b)
{
	uint32		x = *(const uint32 *) a;
	uint32		y = *(const uint32 *) b;

	return x < y ? -1 : x > y;
}

/*
 * Let backends load the level, and further inserts add to it at the rate of
 * the sample.
 */
static void
finish_top(FngImprove *improve, uint8 level)
{
	FngChange	change;
	Buffer		buffer;
	FngMetaPage meta = fng_improve_lock_meta(improve, &change, &buffer);

	meta->epoch += FNG_EPOCH_RELOAD;
	if (level == 1)
		meta->level_ratio = (uint32) Max(improve->sample.nlive / FNG_TOP_TARGET, MIN_LEVEL_RATIO);
	fng_improve_write_meta(&change, buffer);
}
