/*-------------------------------------------------------------------------
 *
 * recall.c
 *	  Measuring the recall of an index by its own rows: calibration and
 *	  descartes_index_recall.
 *
 * Queries are the vectors of nodes drawn at random.  Each is kept out of its
 * own answer and out of the search's way: its edges lead straight to the
 * answer, and a query from outside has none.  One pass over all pages gives
 * the true distance of the k-th nearest (truth.c); an answer counts as right if
 * it is at most that far.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "build.h"
#include "common/pg_prng.h"
#include "inspect.h"
#include "miscadmin.h"
#include "recall.h"
#include "scan.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"

/*
 * The more control rows, the less their recall may be off, and the nearer to
 * the wanted recall the target may be: by one and a half standard deviations.
 * Recall@10 of a query deviates by some 0.03 there (measured, src/README).
 */
#define MIN_QUERIES			500
#define MAX_QUERIES			1500
#define ROWS_PER_QUERY		40
#define CALIBRATION_K		10
#define CALIBRATION_RECALL	0.99
#define QUERY_DEVIATION		0.03

/*
 * On easy data the shortest list would do; but deletions and queries unlike
 * the rows, which no control row stands for, ask for some reserve.
 */
#define MIN_LIST_SIZE		10
#define MAX_LIST_SIZE		2000

static bool calibrate(FngControls *controls, FngSearch *search, uint64 nnodes,
					  uint32 *list_size, double *recall);
static double choose_list_size(FngControls *controls, FngSearch *search, uint32 *list_size);
static void check_select(const FngInspection *inspection);
static void choose_controls(FngControls *controls, pg_prng_state *prng);
static bool take_control(FngControls *controls, uint32 id);
static double measure(FngControls *controls, FngSearch *search, uint32 list_size,
					  float explore_factor);

PGDLLEXPORT PG_FUNCTION_INFO_V1(descartes_index_recall);

/*
 * Find the list size that reaches the target on control rows and note it in
 * the meta page, with the recall measured.  Small indexes are answered exactly
 * by the sweep whatever it is.
 */
void
fng_calibrate(FngBuild *build)
{
	MemoryContext context = AllocSetContextCreate(build->context, "fng calibration",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	FngSearch  *search = fng_search_create(build->index, context);
	FngControls controls = {0};
	uint32		list_size;
	double		recall;

	controls.build = build;
	controls.index = build->index;
	fng_build_phase(build, FNG_PHASE_CALIBRATE, RelationGetNumberOfBlocks(build->index));
	if (calibrate(&controls, search, build->nrows, &list_size, &recall) &&
		fng_team_rank(build->team) == 0)
	{
		fng_read_meta(build->index, &build->meta);
		build->meta.calibrated_search_res_cnt = list_size;
		build->meta.calibrated_recall = (float) recall;
		fng_rewrite_meta(build->index, &build->meta);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * Find it for an index of about so many live nodes that others use and change.
 * Returns false if there is nothing to find.
 */
bool
fng_calibrate_again(Relation index, uint64 nnodes, uint32 *list_size, float *recall)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fng calibration",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	FngSearch  *search = fng_search_create(index, context);
	FngControls controls = {0};
	double		measured = NAN;
	bool		found;

	controls.index = index;
	found = calibrate(&controls, search, nnodes, list_size, &measured);
	*recall = (float) measured;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return found;
}

/* False if there are no neighbours to find: of no row, or a single one. */
static bool
calibrate(FngControls *controls, FngSearch *search, uint64 nnodes,
		  uint32 *list_size, double *recall)
{
	const FngIndex *index = fng_search_index(search);
	pg_prng_state prng;

	pg_prng_seed(&prng, index->meta.seed + 1);
	controls->layout = &index->layout;
	controls->n = (uint32) Min(Max(nnodes / ROWS_PER_QUERY, MIN_QUERIES), MAX_QUERIES);
	controls->k = CALIBRATION_K;
	choose_controls(controls, &prng);
	if (controls->n == 0)
		return false;
	fng_find_truth(controls);
	if (controls->build != NULL)
	{
		fng_log_pages(controls->build);
		fng_merge_truth(controls);
	}
	*recall = choose_list_size(controls, search, list_size);
	return !isnan(*recall);
}

/* The least that reaches the target, to a sixteenth, and the recall there. */
static double
choose_list_size(FngControls *controls, FngSearch *search, uint32 *list_size)
{
	uint32		low = MIN_LIST_SIZE;
	uint32		high = MIN_LIST_SIZE;
	double		target = CALIBRATION_RECALL + 1.5 * QUERY_DEVIATION / sqrt(controls->n);
	double		recall;

	/* double, then bisect */
	while ((recall = measure(controls, search, high, 0)) < target &&
		   high < MAX_LIST_SIZE)
	{
		low = high;
		high = Min(MAX_LIST_SIZE, high * 2);
	}
	while (high - low > Max(1, low / 16))
	{
		uint32		middle = low + (high - low) / 2;
		double		here = measure(controls, search, middle, 0);

		if (here < target)
			low = middle;
		else
		{
			high = middle;
			recall = here;
		}
	}
	*list_size = high;
	return recall;
}

/*
 * descartes_index_recall(index regclass, queries int, k int) returns float8
 *
 * Recall at the session's search_res_cnt, or the index's own.  NULL if the
 * index has fewer than two rows.
 */
Datum
descartes_index_recall(PG_FUNCTION_ARGS)
{
	int32		nqueries = PG_GETARG_INT32(1);
	int32		k = PG_GETARG_INT32(2);
	FngInspection inspection;
	FngSearch  *search;
	FngControls controls = {0};
	uint32		list_size = descartes_search_res_cnt;
	double		recall = 0;

	if (nqueries < 1 || nqueries > 100000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of queries must be between 1 and 100000")));
	if (k < 1 || k > 10000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("k must be between 1 and 10000")));

	fng_inspect_begin(&inspection, PG_GETARG_OID(0), AccessShareLock);
	check_select(&inspection);
	search = fng_search_create(inspection.index, CurrentMemoryContext);
	controls.index = inspection.index;
	controls.layout = &fng_search_index(search)->layout;
	controls.n = nqueries;
	controls.k = k;
	choose_controls(&controls, &pg_global_prng_state);
	if (controls.n > 0)
	{
		fng_find_truth(&controls);
		if (list_size == 0)
			list_size = fng_default_list_size(&fng_search_index(search)->meta);
		recall = measure(&controls, search, list_size,
						 (float) descartes_search_explore_factor);
	}
	fng_search_free(search);
	fng_inspect_end(&inspection);
	if (controls.n == 0 || isnan(recall))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(recall);
}

/*
 * The answer says something about the rows, so the caller must be allowed to
 * read them all.
 */
static void
check_select(const FngInspection *inspection)
{
	Oid			heapid = RelationGetRelid(inspection->heap);

	if (pg_class_aclcheck(heapid, inspection->caller, ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE,
					   RelationGetRelationName(inspection->heap));
	if (check_enable_rls(heapid, inspection->caller, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot measure recall of index \"%s\" under row-level security",
						RelationGetRelationName(inspection->index))));
}

/*
 * Draw up to controls->n different live nodes and read their vectors; sets
 * controls->n to the number found.
 */
static void
choose_controls(FngControls *controls, pg_prng_state *prng)
{
	const FngLayout *layout = controls->layout;
	BlockNumber nblocks = RelationGetNumberOfBlocks(controls->index);
	uint32		wanted = (uint32) Min((uint64) controls->n,
									  (uint64) nblocks * layout->slots_per_page);
	uint64		tries = (uint64) wanted * 20;

	controls->ids = palloc(mul_size(wanted, sizeof(uint32)));
	controls->queries = MemoryContextAllocHuge(CurrentMemoryContext,
											   mul_size(wanted, layout->vector_bytes));
	controls->n = 0;
	if (nblocks <= FNG_META_BLOCK + 1)
		return;
	while (controls->n < wanted && tries-- > 0)
	{
		BlockNumber block = pg_prng_uint64_range(prng, FNG_META_BLOCK + 1, nblocks - 1);
		uint32		slot = pg_prng_uint64_range(prng, 0, layout->slots_per_page - 1);
		bool		known = false;

		CHECK_FOR_INTERRUPTS();
		for (uint32 i = 0; i < controls->n && !known; i++)
			known = controls->ids[i] == FngMakeId(layout, block, slot);
		if (!known && take_control(controls, FngMakeId(layout, block, slot)))
			controls->n++;
	}
}

/* Read the node's vector into the next place.  False if it has no row. */
static bool
take_control(FngControls *controls, uint32 id)
{
	FngNodeData node;

	if (!fng_read_base_node(controls->index, controls->layout, id, &node,
							controls->queries + (Size) controls->n * controls->layout->dim) ||
		!(node.flags & FNG_NODE_LIVE))
		return false;
	controls->ids[controls->n] = id;
	return true;
}

/*
 * The share of the true neighbours that a search finds; NaN if there are
 * none.  Where the graph search gives up the sweep would be exact.  In a team
 * each member takes some of the queries.
 */
static double
measure(FngControls *controls, FngSearch *search, uint32 list_size, float explore_factor)
{
	FngTeam    *team = controls->build != NULL ? controls->build->team : NULL;
	uint64		right = 0;
	uint64		total = 0;

	for (uint32 q = team != NULL ? fng_team_rank(team) : 0; q < controls->n;
		 q += team != NULL ? fng_team_size(team) : 1)
	{
		const double *nearest = controls->nearest + (Size) q * controls->k;
		uint32		there = 0;
		uint32		returned = 0;
		FngFound	found;

		while (there < controls->k && nearest[there] < DBL_MAX)
			there++;
		total += there;
		CHECK_FOR_INTERRUPTS();
		fng_search_start(search, controls->queries + (Size) q * controls->layout->dim,
						 list_size, explore_factor);
		fng_search_exclude(search, controls->ids[q]);
		while (returned < there)
		{
			if (!fng_search_next(search, &found))
			{
				right += there - returned;
				break;
			}
			returned++;
			if (found.score <= nearest[there - 1])
				right++;
		}
	}
	if (team != NULL)
	{
		right = fng_team_sum(team, right);
		total = fng_team_sum(team, total);
	}
	return total == 0 ? NAN : (double) right / total;
}
