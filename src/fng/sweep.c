/*-------------------------------------------------------------------------
 *
 * sweep.c
 *	  The exhaustive pass: every row of the index, in exact order.
 *
 * The sweep makes scans complete: it does not use the graph, so it finds rows
 * that no edge leads to.  It reads each page once, scores each node that has
 * rows and has not been returned, and sorts (tuplesort, so work_mem holds).
 *
 * A page is copied under its share lock and scored without it.  A row moves
 * to another slot only when no running scan can want it any more, so one pass
 * sees every row once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tupdesc.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "scan.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplesort.h"

struct FngSweep
{
	MemoryContext context;
	Relation	index;
	const FngLayout *layout;
	const DistanceKernels *kernels;
	const FngOrderKey *keys;
	int			nkeys;
	Tuplesortstate *sort;
	TupleTableSlot *input;		/* virtual: what is put */
	TupleTableSlot *slot;		/* what comes back */
	float	   *chained;		/* a vector from its chain */
};

static void begin_sort(FngSweep *sweep);
static void sweep_pages(FngSweep *sweep, FngSearch *returned);
static void put_node(FngSweep *sweep, const FngNodeData *node, const float *value,
					 BufferAccessStrategy strategy);
static void put_row(FngSweep *sweep, ItemPointer tid);

/*
 * Sort all rows of base nodes by the keys, those of nodes that "returned" has
 * returned excepted (none if NULL).  keys must live as long as the sweep.
 */
FngSweep *
fng_sweep_start(Relation index, const FngLayout *layout, FngSearch *returned,
				const FngOrderKey *keys, int nkeys, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "fng sweep", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	FngSweep   *sweep = palloc0(sizeof(FngSweep));

	fng_sweeps++;
	sweep->context = context;
	sweep->index = index;
	sweep->layout = layout;
	sweep->kernels = distance_kernels();
	sweep->keys = keys;
	sweep->nkeys = nkeys;
	if (!layout->vector_inline)
		sweep->chained = palloc(layout->vector_bytes);
	begin_sort(sweep);
	sweep_pages(sweep, returned);
	tuplesort_performsort(sweep->sort);
	MemoryContextSwitchTo(old);
	return sweep;
}

/* The next row; false when there are no more. */
bool
fng_sweep_next(FngSweep *sweep, ItemPointer tid)
{
	bool		isnull;

	if (!tuplesort_gettupleslot(sweep->sort, true, false, sweep->slot, NULL))
		return false;
	*tid = *(ItemPointer) DatumGetPointer(slot_getattr(sweep->slot, sweep->nkeys + 1, &isnull));
	return true;
}

void
fng_sweep_end(FngSweep *sweep)
{
	tuplesort_end(sweep->sort);
	ExecDropSingleTupleTableSlot(sweep->input);
	ExecDropSingleTupleTableSlot(sweep->slot);
	MemoryContextDelete(sweep->context);
}

/* Tuples are the scores of the keys, then the TID. */
static void
begin_sort(FngSweep *sweep)
{
	int			nkeys = sweep->nkeys;
	TupleDesc	desc = CreateTemplateTupleDesc(nkeys + 1);
	AttrNumber *attnums = palloc(nkeys * sizeof(AttrNumber));
	Oid		   *operators = palloc(nkeys * sizeof(Oid));
	Oid		   *collations = palloc0(nkeys * sizeof(Oid));
	bool	   *nulls_first = palloc0(nkeys * sizeof(bool));

	for (int i = 0; i < nkeys; i++)
	{
		TupleDescInitEntry(desc, i + 1, "score", FLOAT8OID, -1, 0);
		attnums[i] = i + 1;
		operators[i] = Float8LessOperator;
	}
	TupleDescInitEntry(desc, nkeys + 1, "tid", TIDOID, -1, 0);
	sweep->sort = tuplesort_begin_heap(desc, nkeys, attnums, operators, collations,
									   nulls_first, work_mem, NULL, 0);
	sweep->input = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	sweep->slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
}

static void
sweep_pages(FngSweep *sweep, FngSearch *returned)
{
	const FngLayout *layout = sweep->layout;
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	PGAlignedBlock page;
	FngPass		pass;
	Buffer		buffer;

	fng_pass_begin(&pass, sweep->index, FNG_META_BLOCK + 1,
				   RelationGetNumberOfBlocks(sweep->index), strategy);
	while ((buffer = fng_pass_next(&pass)) != InvalidBuffer)
	{
		BlockNumber block = BufferGetBlockNumber(buffer);

		CHECK_FOR_INTERRUPTS();
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		if (PageIsNew(BufferGetPage(buffer)) ||
			fng_page_kind(sweep->index, buffer) != FNG_PAGE_NODE)
		{
			UnlockReleaseBuffer(buffer);
			continue;
		}
		memcpy(page.data, BufferGetPage(buffer), BLCKSZ);
		UnlockReleaseBuffer(buffer);

		for (uint32 i = 0; i < layout->slots_per_page; i++)
		{
			char	   *slot = FngPageSlot(layout, page.data, i);
			const float *value = FngSlotVector(layout, slot);

			if (!fng_node_usable(layout, page.data, i, 0) ||
				!(FngSlotNode(slot)->flags & FNG_NODE_LIVE) ||
				(returned != NULL &&
				 fng_search_returned(returned, FngMakeId(layout, block, i))))
				continue;
			if (!layout->vector_inline)
			{
				fng_read_vector_chain(sweep->index, FngSlotNode(slot)->vector,
									  sweep->chained, layout->vector_bytes, strategy);
				value = sweep->chained;
			}
			put_node(sweep, FngSlotNode(slot), value, strategy);
		}
	}
	fng_pass_end(&pass);
	FreeAccessStrategy(strategy);
}

/* Put all rows of a node, given a copy of its slot. */
static void
put_node(FngSweep *sweep, const FngNodeData *node, const float *value,
		 BufferAccessStrategy strategy)
{
	BlockNumber chain = node->link;
	BlockNumber nsteps = 0;

	ExecClearTuple(sweep->input);
	for (int i = 0; i < sweep->nkeys; i++)
	{
		const float *query = sweep->keys[i].query;

		sweep->input->tts_isnull[i] = query == NULL;
		if (query != NULL)
			sweep->input->tts_values[i] =
				Float8GetDatum(fng_score(sweep->layout, sweep->kernels, query, 0,
										 value, node->aux));
	}
	if (ItemPointerIsValid(&node->tid))
	{
		ItemPointerData tid = node->tid;

		put_row(sweep, &tid);
	}
	while (BlockNumberIsValid(chain))
	{
		ItemPointerData tids[FNG_TIDS_PER_PAGE];
		uint32		ntids;

		CHECK_FOR_INTERRUPTS();
		fng_count_step(sweep->index, chain, &nsteps);
		chain = fng_copy_tid_page(sweep->index, chain, FNG_PAGE_TIDS, tids, &ntids, strategy);
		for (uint32 i = 0; i < ntids; i++)
			put_row(sweep, &tids[i]);
	}
}

/* Put one row, whose scores are in the slot already. */
static void
put_row(FngSweep *sweep, ItemPointer tid)
{
	sweep->input->tts_values[sweep->nkeys] = PointerGetDatum(tid);
	sweep->input->tts_isnull[sweep->nkeys] = false;
	ExecStoreVirtualTuple(sweep->input);
	tuplesort_puttupleslot(sweep->sort, sweep->input);
	ExecClearTuple(sweep->input);
}

/*
 * Copy the TIDs of all rows that a page holds (room for
 * FNG_MAX_TIDS_OF_PAGE); return their number.  Takes and releases a share
 * lock.
 */
uint32
fng_walk_page(Relation index, const FngLayout *layout, BlockNumber block,
			  BufferAccessStrategy strategy, ItemPointerData *tids)
{
	Buffer		buffer = ReadBufferExtended(index, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
	Page		page = BufferGetPage(buffer);
	uint32		n = 0;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (!PageIsNew(page))
	{
		switch (fng_page_kind(index, buffer))
		{
			case FNG_PAGE_NODE:
				for (uint32 i = 0; i < layout->slots_per_page; i++)
				{
					FngNode		node = FngSlotNode(FngPageSlot(layout, page, i));

					if (FngPageGetOpaque(page)->level == 0 &&
						(node->flags & FNG_NODE_LIVE) && ItemPointerIsValid(&node->tid))
						tids[n++] = node->tid;
				}
				break;
			case FNG_PAGE_TIDS:
			case FNG_PAGE_NULLS:
			case FNG_PAGE_NANS:
				n = FngPageGetTids(page)->ntids;
				memcpy(tids, FngPageGetTids(page)->tids, n * sizeof(ItemPointerData));
				break;
			default:
				break;
		}
	}
	UnlockReleaseBuffer(buffer);
	return n;
}
