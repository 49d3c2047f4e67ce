/*-------------------------------------------------------------------------
 *
 * check_heap.c
 *	  The verifier's checks of heap TIDs, and of the index against its table.
 *
 * All TIDs of the index are sorted to find one that occurs twice.  For
 * heapallindexed each TID also goes into a Bloom filter, together with the
 * vector that it has in the index; then the table is scanned as for a build,
 * and a row that is not in the filter is missing, or has another vector in
 * the index (contrib/amcheck does the same for B-trees).  A filter within
 * maintenance_work_mem may fail to notice one missing row, rarely many.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "check.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "tids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* What a row of the table is to the index; see fill_element. */
typedef enum RowKind
{
	ROW_NODE,
	ROW_NULL,
	ROW_NAN
} RowKind;

/* An element of the filter: TID and kind, then the vector of a ROW_NODE. */
#define ELEMENT_HEADER		8

static void begin_sort(FngCheck *check, int memory);
static void add_tids(FngCheck *check, BlockNumber block, RowKind kind,
					 const ItemPointerData *tids, uint32 ntids, const float *value);
static Size fill_element(FngCheck *check, const ItemPointerData *tid,
						 RowKind kind, const float *value);
static void check_special_chain(FngCheck *check, BlockNumber head,
								FngPageKind page_kind, RowKind kind);
static void check_free_tids(FngCheck *check, FngPageKind kind);
static void check_row(Relation index, ItemPointer tid, Datum *values,
					  bool *isnull, bool alive, void *state);
static bool tid_visible(FngCheck *check, const ItemPointerData *tid);

/*
 * Prepare for TIDs.  The snapshot is taken before any TID is collected: what
 * it sees has been inserted into the index before.
 */
void
fng_check_heap_begin(FngCheck *check, bool heapallindexed)
{
	int			memory = maintenance_work_mem;

	check->snapshot = RegisterSnapshot(GetTransactionSnapshot());
	if (heapallindexed)
	{
		/*
		 * A transaction-wide snapshot may be older than the index and see
		 * rows whose HOT chains were broken when it was built.
		 */
		if (IsolationUsesXactSnapshot() && check->index->rd_index->indcheckxmin &&
			!TransactionIdPrecedes(HeapTupleHeaderGetXmin(check->index->rd_indextuple->t_data),
								   check->snapshot->xmin))
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("index \"%s\" cannot be verified using transaction snapshot",
							RelationGetRelationName(check->index))));
		memory /= 2;
		check->filter = bloom_create((int64) Max(check->ntids, 1), memory,
									 (uint64) MyProcPid ^ GetCurrentTimestamp());
		check->element = palloc(ELEMENT_HEADER + check->map.layout.vector_bytes);
	}
	begin_sort(check, memory);
}

/* Tuples are a TID and the block of the index that has it. */
static void
begin_sort(FngCheck *check, int memory)
{
	TupleDesc	desc = CreateTemplateTupleDesc(2);
	AttrNumber	attnums[] = {1, 2};
	Oid			operators[] = {Int8LessOperator, Int8LessOperator};
	Oid			collations[] = {InvalidOid, InvalidOid};
	bool		nulls_first[] = {false, false};

	TupleDescInitEntry(desc, 1, "tid", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 2, "block", INT8OID, -1, 0);
	check->tids = tuplesort_begin_heap(desc, 2, attnums, operators, collations,
									   nulls_first, memory, NULL, TUPLESORT_NONE);
	check->unsorted = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	check->sorted = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
}

void
fng_check_heap_end(FngCheck *check)
{
	ExecDropSingleTupleTableSlot(check->unsorted);
	ExecDropSingleTupleTableSlot(check->sorted);
	tuplesort_end(check->tids);
	if (check->filter != NULL)
		bloom_free(check->filter);
	UnregisterSnapshot(check->snapshot);
}

/*
 * Collect the TIDs of a base node, of which the vector is given, and check
 * its chain.
 */
void
fng_check_node_tids(FngCheck *check, uint32 id, const FngNodeData *node,
					const float *value)
{
	const FngLayout *layout = &check->map.layout;
	BlockNumber from = FngIdBlock(layout, id);
	int			slot = (int) FngIdSlot(layout, id);
	BlockNumber block = node->link;
	PGAlignedBlock page;

	if (ItemPointerIsValid(&node->tid))
		add_tids(check, from, ROW_NODE, &node->tid, 1, value);

	while (BlockNumberIsValid(block))
	{
		FngTidPage	tids = FngPageGetTids(page.data);

		fng_check_claim(check, from, slot, block, FNG_PAGE_TIDS);
		fng_inspect_page(check->index, block, check->strategy, page.data);
		if (FngPageGetOpaque(page.data)->owner != id)
			fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
								"heap TIDs of node %u are owned by %u",
								id, FngPageGetOpaque(page.data)->owner);
		if (!(node->flags & FNG_NODE_LIVE))
			fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
								"dead node %u has heap TIDs", id);
		if (tids->ntids > 0)
			check->map.nodes[id] |= FNG_MAP_ROWS;
		add_tids(check, block, ROW_NODE, tids->tids, Min(tids->ntids, FNG_TIDS_PER_PAGE), value);

		from = block;
		slot = FNG_CHECK_NO_SLOT;
		block = FngPageGetOpaque(page.data)->next;
	}
}

/*
 * Collect the TIDs of rows without a node.  With all chains followed, no page
 * with TIDs may be left.
 */
void
fng_check_special_tids(FngCheck *check)
{
	check_special_chain(check, check->meta.null_head, FNG_PAGE_NULLS, ROW_NULL);
	check_special_chain(check, check->meta.nan_head, FNG_PAGE_NANS, ROW_NAN);
	for (FngPageKind kind = FNG_PAGE_TIDS; FngIsTidKind(kind); kind++)
		check_free_tids(check, kind);

	for (BlockNumber block = 0; block < check->map.nblocks; block++)
	{
		if (check->pages[block] & FNG_CHECK_CLAIMED)
			continue;
		if (check->pages[block] & FNG_CHECK_TIDS)
			fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
								"heap TIDs are in no chain");
		if (FngIsTidKind(check->pages[block] & FNG_CHECK_KIND))
			fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
								"page of heap TIDs is in no chain and in no list of free pages");
	}
}

/* A list of pages that VACUUM took out of their chains: all are empty. */
static void
check_free_tids(FngCheck *check, FngPageKind kind)
{
	BlockNumber from = FNG_META_BLOCK;
	BlockNumber block = check->meta.free_tids[FngTidKindIndex(kind)];
	PGAlignedBlock page;

	while (BlockNumberIsValid(block))
	{
		fng_check_claim(check, from, FNG_CHECK_NO_SLOT, block, kind);
		fng_inspect_page(check->index, block, check->strategy, page.data);
		if (!fng_is_free_tid_page(page.data) || FngPageGetFreeTids(page.data)->stamp == 0)
			fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
								"page in a list of free pages is in use");
		from = block;
		block = FngPageGetFreeTids(page.data)->next_free;
	}
}

static void
check_special_chain(FngCheck *check, BlockNumber head, FngPageKind page_kind,
					RowKind kind)
{
	BlockNumber from = FNG_META_BLOCK;
	BlockNumber block = head;
	PGAlignedBlock page;

	while (BlockNumberIsValid(block))
	{
		FngTidPage	tids = FngPageGetTids(page.data);

		fng_check_claim(check, from, FNG_CHECK_NO_SLOT, block, page_kind);
		fng_inspect_page(check->index, block, check->strategy, page.data);
		if (FngPageGetOpaque(page.data)->owner != FNG_NO_ID)
			fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
								"heap TIDs without a node are owned by node %u",
								FngPageGetOpaque(page.data)->owner);
		add_tids(check, block, kind, tids->tids, Min(tids->ntids, FNG_TIDS_PER_PAGE), NULL);
		from = block;
		block = FngPageGetOpaque(page.data)->next;
	}
}

/* Each heap TID is in one place of the index. */
void
fng_check_unique_tids(FngCheck *check)
{
	int64		previous = 0;
	BlockNumber previous_block = InvalidBlockNumber;

	tuplesort_performsort(check->tids);
	while (tuplesort_gettupleslot(check->tids, true, false, check->sorted, NULL))
	{
		bool		isnull;
		int64		encoded = DatumGetInt64(slot_getattr(check->sorted, 1, &isnull));
		BlockNumber block = (BlockNumber) DatumGetInt64(slot_getattr(check->sorted, 2, &isnull));

		CHECK_FOR_INTERRUPTS();
		if (BlockNumberIsValid(previous_block) && encoded == previous)
		{
			ItemPointerData tid;

			itemptr_decode(&tid, encoded);
			fng_check_corrupted(check, previous_block, FNG_CHECK_NO_SLOT,
								"heap TID (%u,%u) is there, and again in block %u",
								ItemPointerGetBlockNumber(&tid),
								ItemPointerGetOffsetNumber(&tid), block);
		}
		previous = encoded;
		previous_block = block;
	}
}

/* Is some row of a base node visible to the snapshot of the check? */
bool
fng_check_row_visible(FngCheck *check, uint32 id, const FngNodeData *node)
{
	BlockNumber block = node->link;
	PGAlignedBlock page;

	if (ItemPointerIsValid(&node->tid) && tid_visible(check, &node->tid))
		return true;
	while (BlockNumberIsValid(block) && block < check->map.nblocks)
	{
		FngTidPage	tids = FngPageGetTids(page.data);

		if (!fng_inspect_page(check->index, block, NULL, page.data) ||
			FngPageGetOpaque(page.data)->owner != id)
			break;
		for (uint32 i = 0; i < tids->ntids; i++)
		{
			if (tid_visible(check, &tids->tids[i]))
				return true;
		}
		block = FngPageGetOpaque(page.data)->next;
	}
	return false;
}

static bool
tid_visible(FngCheck *check, const ItemPointerData *tid)
{
	ItemPointerData copy = *tid;	/* becomes that of the visible version */

	return table_index_fetch_tuple_check(check->heap, &copy, check->snapshot, NULL);
}

/* Compare the table with the filter, if heapallindexed. */
void
fng_check_heap(FngCheck *check)
{
	IndexInfo  *info;
	TableScanDesc scan;

	if (check->filter == NULL)
		return;
	info = BuildIndexInfo(check->index);
	scan = table_beginscan_strat(check->heap, check->snapshot, 0, NULL, true, true);

	/* like the first scan of CREATE INDEX CONCURRENTLY: by our snapshot */
	info->ii_Concurrent = true;
	table_index_build_scan(check->heap, check->index, info, true, false,
						   check_row, check, scan);
}

/* Callback of the scan: one row of the table that should be in the index. */
static void
check_row(Relation index, ItemPointer tid, Datum *values, bool *isnull,
		  bool alive, void *state)
{
	FngCheck   *check = (FngCheck *) state;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fng check row",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	RowKind		kind = ROW_NULL;
	const float *value = NULL;
	uint32		dim;
	Size		nbytes;

	if (!isnull[0])
	{
		value = fng_value(check->opclass, values[0], &dim);
		if (dim != check->map.layout.dim)
			elog(ERROR, "vector has %u dimensions, index has %u", dim,
				 check->map.layout.dim);
		kind = fng_value_is_odd(&check->map.layout, value) ? ROW_NAN : ROW_NODE;
	}
	nbytes = fill_element(check, tid, kind, value);
	if (bloom_lacks_element(check->filter, check->element, nbytes))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("heap tuple (%u,%u) of table \"%s\" is missing in index \"%s\", or has another vector there",
						ItemPointerGetBlockNumber(tid), ItemPointerGetOffsetNumber(tid),
						RelationGetRelationName(check->heap),
						RelationGetRelationName(index)),
				 errhint("Please REINDEX it.")));
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* TIDs of a page of the index go into the sort, and into the filter if there is one. */
static void
add_tids(FngCheck *check, BlockNumber block, RowKind kind,
		 const ItemPointerData *tids, uint32 ntids, const float *value)
{
	TupleTableSlot *input = check->unsorted;

	for (uint32 i = 0; i < ntids; i++)
	{
		ExecClearTuple(input);
		input->tts_values[0] = Int64GetDatum(itemptr_encode((ItemPointer) &tids[i]));
		input->tts_values[1] = Int64GetDatum(block);
		input->tts_isnull[0] = input->tts_isnull[1] = false;
		ExecStoreVirtualTuple(input);
		tuplesort_puttupleslot(check->tids, input);
		if (check->filter != NULL)
			bloom_add_element(check->filter, check->element,
							  fill_element(check, &tids[i], kind, value));
	}
}

/*
 * Make an element of the filter; returns its size.  Rows may share a node
 * whose vectors differ in the sign of zeros, so all zeros become positive.
 */
static Size
fill_element(FngCheck *check, const ItemPointerData *tid, RowKind kind,
			 const float *value)
{
	float	   *copy = (float *) (check->element + ELEMENT_HEADER);

	memset(check->element, 0, ELEMENT_HEADER);
	memcpy(check->element, tid, sizeof(ItemPointerData));
	check->element[ELEMENT_HEADER - 1] = kind;
	if (kind != ROW_NODE)
		return ELEMENT_HEADER;
	for (uint32 i = 0; i < check->map.layout.dim; i++)
		copy[i] = value[i] == 0 ? 0 : value[i];
	return ELEMENT_HEADER + check->map.layout.vector_bytes;
}
