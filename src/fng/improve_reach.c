/*-------------------------------------------------------------------------
 *
 * improve_reach.c
 *	  descartes_index_refine: every live node has edges that lead to it, and
 *	  is found by its own vector.
 *
 * Edges are counted in a pass over all pages, a byte for each id, for as many
 * ids at a time as maintenance_work_mem has room for.  Only edges of live
 * nodes count: those of the dead go with them.
 *
 * A repair may crowd out another edge.  The targets of such edges are looked
 * at again, page by page.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/vacuum.h"
#include "improve.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* A node that a repair took an edge from is repaired, and so on so many times. */
#define MAX_ROUNDS		4

/* A search that misses a node gives it an edge; then it should find it. */
#define FIND_TRIES		2

static void count_page(FngImprove *improve, BlockNumber block, Page page, FngSample *sample);
static void repair_node(FngImprove *improve, uint8 level, uint32 id);
static void find_node(FngImprove *improve, const FngPoint *node);
static void add_incoming(FngImprove *improve, uint8 level, FngPoint *node);
static uint32 take_dropped(FngImprove *improve, uint32 from);

/*
 * Count the edges that lead to the ids from first_id on, as far as there is
 * memory for, and draw a sample if one is wanted.
 */
void
fng_improve_count(FngImprove *improve, uint64 first_id, FngSample *sample)
{
	uint64		room = (uint64) maintenance_work_mem * 1024;
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	FngPass		pass;
	Buffer		buffer;
	PGAlignedBlock copy;

	if (improve->in_degree == NULL)
		improve->in_degree = MemoryContextAllocHuge(improve->context, Min(improve->nids, room));
	improve->first_id = first_id;
	improve->ncounted = Min(improve->nids - first_id, room);
	memset(improve->in_degree, 0, improve->ncounted);
	if (sample != NULL)
	{
		memset(sample, 0, sizeof(*sample));
		sample->level = Max(improve->inserter->index->meta.nlevels, 2) - 2;
	}

	fng_improve_phase(FNG_PHASE_COUNT, improve->nblocks);
	fng_pass_begin(&pass, improve->index, FNG_META_BLOCK + 1, improve->nblocks, strategy);
	while ((buffer = fng_pass_next(&pass)) != InvalidBuffer)
	{
		BlockNumber block = BufferGetBlockNumber(buffer);

		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		memcpy(copy.data, BufferGetPage(buffer), BLCKSZ);
		UnlockReleaseBuffer(buffer);
		count_page(improve, block, copy.data, sample);
		fng_improve_progress(block + 1);
		compat_vacuum_delay_point();
	}
	fng_pass_end(&pass);
	FreeAccessStrategy(strategy);
}

/* Count the edges of the live nodes of a page, given its copy. */
static void
count_page(FngImprove *improve, BlockNumber block, Page page, FngSample *sample)
{
	const FngLayout *layout = &improve->layout;
	uint32		ids[FNG_MAX_DEGREE + PG_UINT8_MAX];

	if (PageIsNew(page))
		return;
	for (uint32 i = 0; i < layout->slots_per_page; i++)
	{
		char	   *slot = FngPageSlot(layout, page, i);
		uint8		level = FngPageGetOpaque(page)->level;
		uint32		n;

		if (!fng_node_usable(layout, page, i, level) ||
			!(FngSlotNode(slot)->flags & FNG_NODE_LIVE))
			continue;
		n = fng_slot_edge_ids(layout, slot, ids);
		for (uint32 k = 0; k < n; k++)
			fng_in_degree_add(improve, ids[k]);
		if (sample != NULL && level == sample->level)
			fng_sample_offer(sample, FngMakeId(layout, block, i),
							 improve->inserter->index->meta.seed);
	}
}

/* Repair what needs it of the nodes that were counted. */
void
fng_improve_reach(FngImprove *improve)
{
	const FngLayout *layout = &improve->layout;
	FngInserter *inserter = improve->inserter;
	uint64		end = improve->first_id + improve->ncounted;
	uint32	   *ids = palloc(layout->slots_per_page * sizeof(uint32));

	fng_improve_phase(FNG_PHASE_REPAIR, improve->nblocks);
	for (BlockNumber block = FngIdBlock(layout, (uint32) improve->first_id);
		 (uint64) block * layout->slots_per_page < end; block++)
	{
		uint8		level = 0;
		uint32		n;
		uint32		from = 0;

		if (block == FNG_META_BLOCK)
			continue;
		fng_improve_refresh(improve);
		n = fng_improve_live(improve, block, &level, ids);
		inserter->ndropped = 0;
		for (uint32 i = 0; i < n; i++)
		{
			if (ids[i] >= improve->first_id && ids[i] < end)
				repair_node(improve, level, ids[i]);
		}
		for (int round = 0; round < MAX_ROUNDS && from < inserter->ndropped; round++)
		{
			uint32		to = take_dropped(improve, from);

			for (; from < to; from++)
				repair_node(improve, level, inserter->dropped[from]);
		}
		(void) take_dropped(improve, from);
		fng_improve_progress(block + 1);
		compat_vacuum_delay_point();
	}
	pfree(ids);
}

/* Count the edges that were dropped since.  Returns the end of their list. */
static uint32
take_dropped(FngImprove *improve, uint32 from)
{
	FngInserter *inserter = improve->inserter;

	for (uint32 i = from; i < inserter->ndropped; i++)
		fng_in_degree_remove(improve, inserter->dropped[i]);
	return inserter->ndropped;
}

/* Look for a live node, and at the number of edges that lead to it. */
static void
repair_node(FngImprove *improve, uint8 level, uint32 id)
{
	FngInserter *inserter = improve->inserter;
	MemoryContext old = MemoryContextSwitchTo(inserter->row_context);
	FngPoint	node;
	FngNodeData header;

	compat_vacuum_delay_point();
	if (fng_improve_read(improve, level, id, &node, &header))
	{
		if (level == 0)
			find_node(improve, &node);
		if (fng_in_degree(improve, id) < FNG_MIN_IN_DEGREE)
			add_incoming(improve, level, &node);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(inserter->row_context);
}

static void
find_node(FngImprove *improve, const FngPoint *node)
{
	for (int tries = 0; tries < FIND_TRIES; tries++)
	{
		if (fng_find_or_link(improve->inserter, node->id, node->value, node->aux))
			break;
		improve->nmissed += tries == 0;
		fng_in_degree_add(improve, node->id);
	}
}

/*
 * Let the nearest live nodes that do not lead to a node do so, until enough
 * do.
 */
static void
add_incoming(FngImprove *improve, uint8 level, FngPoint *node)
{
	FngInserter *inserter = improve->inserter;
	FngVisit   *visits;
	uint32		nvisits = fng_search_collect(inserter->search, node->value, node->aux, level,
											 inserter->index->meta.build_res_cnt, &visits);

	improve->nweak++;
	qsort(visits, nvisits, sizeof(FngVisit), fng_compare_visits);
	for (uint32 i = 0; i < nvisits && fng_in_degree(improve, node->id) < FNG_MIN_IN_DEGREE; i++)
	{
		FngPoint	from;
		FngNodeData header;

		CHECK_FOR_INTERRUPTS();
		if (visits[i].id == node->id || !(visits[i].flags & FNG_NODE_LIVE) ||
			!fng_improve_read(improve, level, visits[i].id, &from, &header))
			continue;
		for (uint32 k = 0; k < from.nedges; k++)
		{
			if (from.edges[k] == node->id)
				goto next;
		}
		if (fng_link_back(inserter, level, &from, node, true))
			fng_in_degree_add(improve, node->id);
next:	;
	}
}

/* qsort comparator of FngVisit: the nearest first */
int
fng_compare_visits(const void *a, const void *b)
{
	double		x = ((const FngVisit *) a)->score;
	double		y = ((const FngVisit *) b)->score;

	return x < y ? -1 : x > y;
}
