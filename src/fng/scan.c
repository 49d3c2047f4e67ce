/*-------------------------------------------------------------------------
 *
 * scan.c
 *	  Index scans.
 *
 * A scan returns every row of the index exactly once, if the executor keeps
 * asking.  It passes through stages:
 *
 *	graph	rows by the graph search, nearest first (search.c)
 *	sweep	all rows not yet returned, by one pass over the pages and a sort
 *	NaN		rows at distance NaN
 *	NULL	rows whose vector is NULL
 *
 * that is, in the order of a sequential scan and a sort.  Several ORDER BY
 * keys, or a query at distance NaN from everything, begin with the sweep.
 * Without an ORDER BY key, or with one that is NULL, order does not matter and
 * all pages are walked.
 *
 * No pin and no lock is held between calls.  The snapshot is an MVCC one, so
 * a TID that VACUUM removes and the heap reuses meanwhile is not visible.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>

#include "access/relscan.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "scan.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

uint64		fng_late_finds = 0;
uint64		fng_sweeps = 0;

typedef enum ScanStage
{
	STAGE_START,
	STAGE_GRAPH,
	STAGE_SWEEP,
	STAGE_NANS,
	STAGE_NULLS,
	STAGE_WALK,
	STAGE_DONE
} ScanStage;

typedef struct FngScan
{
	MemoryContext context;		/* of the scan */
	MemoryContext query_context;	/* of one rescan */
	FngSearch  *search;
	const FngLayout *layout;
	FngOrderKey *keys;
	FngSweep   *sweep;
	ScanStage	stage;
	double		last_score;

	/* rows to return before anything else is looked for */
	ItemPointerData tids[FNG_MAX_TIDS_OF_PAGE];
	uint32		ntids;
	uint32		next_tid;
	BlockNumber chain;			/* then those of this chain */
	FngPageKind chain_kind;
	BlockNumber chain_steps;

	/* the walk */
	BlockNumber next_block;
	BlockNumber nblocks;
	BufferAccessStrategy strategy;
} FngScan;

static void start(IndexScanDesc scan);
static const float *copy_query(FngScan *state, Relation index, Datum value);
static bool next_rows(IndexScanDesc scan);
static void next_found(FngScan *state, const FngFound *found);
static void start_chain(IndexScanDesc scan, FngPageKind kind);
static bool walk(IndexScanDesc scan);

IndexScanDesc
fng_beginscan(Relation index, int nkeys, int norderbys)
{
	IndexScanDesc scan = RelationGetIndexScan(index, nkeys, norderbys);
	FngScan    *state = palloc0(sizeof(FngScan));

	state->context = AllocSetContextCreate(CurrentMemoryContext, "fng scan",
										   ALLOCSET_DEFAULT_SIZES);
	state->query_context = AllocSetContextCreate(state->context, "fng query",
												 ALLOCSET_SMALL_SIZES);
	state->search = fng_search_create(index, state->context);
	state->layout = &fng_search_index(state->search)->layout;
	state->keys = MemoryContextAllocZero(state->context,
										 Max(1, norderbys) * sizeof(FngOrderKey));
	scan->opaque = state;
	return scan;
}

void
fng_rescan(IndexScanDesc scan, ScanKey keys, int nkeys,
		   ScanKey orderbys, int norderbys)
{
	FngScan    *state = (FngScan *) scan->opaque;

	if (keys && scan->numberOfKeys > 0)
		memmove(scan->keyData, keys, scan->numberOfKeys * sizeof(ScanKeyData));
	if (orderbys && scan->numberOfOrderBys > 0)
		memmove(scan->orderByData, orderbys, scan->numberOfOrderBys * sizeof(ScanKeyData));

	if (state->sweep != NULL)
		fng_sweep_end(state->sweep);
	state->sweep = NULL;
	state->ntids = state->next_tid = 0;
	state->chain = InvalidBlockNumber;
	state->stage = STAGE_START;
}

bool
fng_gettuple(IndexScanDesc scan, ScanDirection direction)
{
	FngScan    *state = (FngScan *) scan->opaque;
	MemoryContext old;
	bool		found;

	Assert(ScanDirectionIsForward(direction));
	old = MemoryContextSwitchTo(state->context);
	if (state->stage == STAGE_START)
		start(scan);
	while ((found = state->next_tid < state->ntids) == false)
	{
		if (!next_rows(scan))
			break;
	}
	MemoryContextSwitchTo(old);

	if (found)
	{
		scan->xs_heaptid = state->tids[state->next_tid++];
		if (unlikely(!ItemPointerIsValid(&scan->xs_heaptid)))
			fng_report_bad_page(scan->indexRelation, FNG_META_BLOCK,
								"leads to a heap TID that is none");
		scan->xs_recheck = false;
		scan->xs_recheckorderby = false;
	}
	return found;
}

void
fng_endscan(IndexScanDesc scan)
{
	FngScan    *state = (FngScan *) scan->opaque;

	if (state->sweep != NULL)
		fng_sweep_end(state->sweep);
	if (state->strategy != NULL)
		FreeAccessStrategy(state->strategy);
	MemoryContextDelete(state->context);
	pfree(state);
	scan->opaque = NULL;
}

/*
 * Look at the ORDER BY keys and choose the first stage.
 */
static void
start(IndexScanDesc scan)
{
	FngScan    *state = (FngScan *) scan->opaque;
	Relation	index = scan->indexRelation;
	const FngIndex *cached = fng_search_index(state->search);
	int			nkeys = scan->numberOfOrderBys;
	uint32		list_size;

	compat_count_index_scan(scan);
	if (scan->xs_snapshot != NULL && !IsMVCCSnapshot(scan->xs_snapshot))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("index \"%s\" can only be scanned with an MVCC snapshot",
						RelationGetRelationName(index))));

	MemoryContextReset(state->query_context);
	for (int i = 0; i < nkeys; i++)
	{
		ScanKey		key = &scan->orderByData[i];

		state->keys[i].query = (key->sk_flags & SK_ISNULL) ? NULL :
			copy_query(state, index, key->sk_argument);
	}

	if (nkeys == 0 || (nkeys == 1 && state->keys[0].query == NULL))
	{
		state->next_block = FNG_META_BLOCK + 1;
		state->nblocks = RelationGetNumberOfBlocks(index);
		if (state->strategy == NULL)
			state->strategy = GetAccessStrategy(BAS_BULKREAD);
		state->stage = STAGE_WALK;
		return;
	}
	if (nkeys > 1 || fng_value_is_odd(state->layout, state->keys[0].query))
	{
		state->sweep = fng_sweep_start(index, state->layout, NULL, state->keys, nkeys,
									   state->context);
		state->stage = STAGE_SWEEP;
		return;
	}

	if (descartes_search_res_cnt > 0)
		list_size = descartes_search_res_cnt;
	else
		list_size = fng_default_list_size(&cached->meta);
	fng_search_start(state->search, state->keys[0].query, list_size,
					 (float) descartes_search_explore_factor);
	state->last_score = -DBL_MAX;
	state->stage = STAGE_GRAPH;
}

/* The search_res_cnt that an index asks for when the session does not. */
uint32
fng_default_list_size(const FngMetaPageData *meta)
{
	if (meta->stored_search_res_cnt > 0)
		return meta->stored_search_res_cnt;
	if (meta->calibrated_search_res_cnt > 0)
		return meta->calibrated_search_res_cnt;
	return FNG_UNCALIBRATED_LIST_SIZE;
}

/* Detoast a query, which belongs to the executor, into the query's context. */
static const float *
copy_query(FngScan *state, Relation index, Datum value)
{
	const FngLayout *layout = state->layout;
	MemoryContext old = MemoryContextSwitchTo(state->query_context);
	uint32		dim;
	const float *from = fng_value(fng_opclass(index), value, &dim);
	float	   *query;

	if (dim != layout->dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different vector dimensions %u and %u", layout->dim, dim),
				 errdetail("Index \"%s\" holds vectors of %u dimensions.",
						   RelationGetRelationName(index), layout->dim)));
	query = palloc(layout->vector_bytes);
	memcpy(query, from, layout->vector_bytes);
	MemoryContextSwitchTo(old);
	return query;
}

/*
 * Find more rows to return, one node's or one page's; the rows found may be
 * none.  Returns false when there are no more.
 */
static bool
next_rows(IndexScanDesc scan)
{
	FngScan    *state = (FngScan *) scan->opaque;
	Relation	index = scan->indexRelation;
	FngFound	node;

	CHECK_FOR_INTERRUPTS();
	state->next_tid = state->ntids = 0;
	if (BlockNumberIsValid(state->chain))
	{
		fng_count_step(index, state->chain, &state->chain_steps);
		state->chain = fng_copy_tid_page(index, state->chain, state->chain_kind,
										 state->tids, &state->ntids, NULL);
		return true;
	}

	switch (state->stage)
	{
		case STAGE_GRAPH:
			if (fng_search_next(state->search, &node))
				next_found(state, &node);
			else
			{
				state->sweep = fng_sweep_start(index, state->layout, state->search,
											   state->keys, 1, state->context);
				state->stage = STAGE_SWEEP;
			}
			return true;
		case STAGE_SWEEP:
			if (fng_sweep_next(state->sweep, &state->tids[0]))
				state->ntids = 1;
			else
			{
				start_chain(scan, FNG_PAGE_NANS);
				state->stage = STAGE_NANS;
			}
			return true;
		case STAGE_NANS:
			start_chain(scan, FNG_PAGE_NULLS);
			state->stage = STAGE_NULLS;
			return true;
		case STAGE_WALK:
			return walk(scan);
		default:
			state->stage = STAGE_DONE;
			return false;
	}
}

/* Return the rows of a node that the graph search found. */
static void
next_found(FngScan *state, const FngFound *found)
{
	if (found->score < state->last_score)
		fng_late_finds++;
	else
		state->last_score = found->score;
	if (ItemPointerIsValid(&found->tid))
		state->tids[state->ntids++] = found->tid;
	state->chain = found->tid_chain;
	state->chain_kind = FNG_PAGE_TIDS;
	state->chain_steps = 0;
}

/* Go on with the rows that the meta page remembers. */
static void
start_chain(IndexScanDesc scan, FngPageKind kind)
{
	FngScan    *state = (FngScan *) scan->opaque;
	FngMetaPageData meta;

	fng_read_meta(scan->indexRelation, &meta);
	state->chain = kind == FNG_PAGE_NANS ? meta.nan_head : meta.null_head;
	state->chain_kind = kind;
	state->chain_steps = 0;
}

/* Return the rows of the next page, in no order. */
static bool
walk(IndexScanDesc scan)
{
	FngScan    *state = (FngScan *) scan->opaque;

	if (state->next_block >= state->nblocks)
	{
		state->stage = STAGE_DONE;
		return false;
	}
	state->ntids = fng_walk_page(scan->indexRelation, state->layout, state->next_block++,
								 state->strategy, state->tids);
	return true;
}
