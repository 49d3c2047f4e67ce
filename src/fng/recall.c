/*-------------------------------------------------------------------------
 *
 * recall.c
 *	  Measuring the recall of an index by its own rows: calibration and
 *	  descartes_index_recall.
 *
 * Queries are the vectors of nodes drawn at random.  Each is kept out of its
 * own answer and out of the search's way: its edges lead straight to the
 * answer, and a query from outside has none.  One pass over all pages gives
 * the true distance of the k-th nearest; an answer counts as right if it is at
 * most that far.
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
#include "scan.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"

/*
 * The target is as far above 0.99 as the recall of so many queries may be off
 * (one and a half standard deviations); measured in src/README.
 */
#define CALIBRATION_QUERIES	500
#define CALIBRATION_K		10
#define CALIBRATION_TARGET	0.992

/*
 * On easy data the shortest list would do; but deletions and queries unlike
 * the rows, which no control row stands for, ask for some reserve.
 */
#define MIN_LIST_SIZE		10
#define MAX_LIST_SIZE		2000

typedef struct Controls
{
	FngBuild   *build;			/* whose team shares the work, or NULL */
	Relation	index;
	const FngLayout *layout;
	uint32		n;
	uint32		k;
	uint32	   *ids;			/* n */
	float	   *queries;		/* n * dim */
	double	   *nearest;		/* n * k true scores, each a max-heap's array
								 * kept sorted */
} Controls;

static double choose_list_size(Controls *controls, FngSearch *search, uint32 *list_size);
static void check_select(const FngInspection *inspection);
static void choose_controls(Controls *controls, pg_prng_state *prng);
static bool take_control(Controls *controls, uint32 id);
static void find_truth(Controls *controls);
static void scan_blocks(Controls *controls, BlockNumber first, BlockNumber end);
static void score_node(Controls *controls, uint32 id, const float *value);
static void merge_truth(Controls *controls);
static void offer(double *nearest, uint32 k, double score);
static double measure(Controls *controls, FngSearch *search, uint32 list_size,
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
	pg_prng_state prng;
	Controls	controls = {0};
	uint32		list_size;
	double		recall;

	pg_prng_seed(&prng, build->meta.seed + 1);
	controls.build = build;
	controls.index = build->index;
	controls.layout = &fng_search_index(search)->layout;
	controls.n = CALIBRATION_QUERIES;
	controls.k = CALIBRATION_K;
	fng_build_phase(build, FNG_PHASE_CALIBRATE, RelationGetNumberOfBlocks(build->index));
	choose_controls(&controls, &prng);
	if (controls.n > 0)
	{
		find_truth(&controls);
		recall = choose_list_size(&controls, search, &list_size);

		/* a single row has no neighbours to find */
		if (!isnan(recall) && fng_team_rank(build->team) == 0)
		{
			fng_read_meta(build->index, &build->meta);
			build->meta.calibrated_search_res_cnt = list_size;
			build->meta.calibrated_recall = (float) recall;
			fng_rewrite_meta(build->index, &build->meta);
		}
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* The least that reaches the target, to a sixteenth, and the recall there. */
static double
choose_list_size(Controls *controls, FngSearch *search, uint32 *list_size)
{
	uint32		low = MIN_LIST_SIZE;
	uint32		high = MIN_LIST_SIZE;
	double		recall;

	/* double, then bisect */
	while ((recall = measure(controls, search, high, 0)) < CALIBRATION_TARGET &&
		   high < MAX_LIST_SIZE)
	{
		low = high;
		high = Min(MAX_LIST_SIZE, high * 2);
	}
	while (high - low > Max(1, low / 16))
	{
		uint32		middle = low + (high - low) / 2;
		double		here = measure(controls, search, middle, 0);

		if (here < CALIBRATION_TARGET)
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
	Controls	controls = {0};
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
		find_truth(&controls);
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
choose_controls(Controls *controls, pg_prng_state *prng)
{
	const FngLayout *layout = controls->layout;
	BlockNumber nblocks = RelationGetNumberOfBlocks(controls->index);
	uint32		wanted = controls->n;
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
take_control(Controls *controls, uint32 id)
{
	FngNodeData node;

	if (!fng_read_base_node(controls->index, controls->layout, id, &node,
							controls->queries + (Size) controls->n * controls->layout->dim) ||
		!(node.flags & FNG_NODE_LIVE))
		return false;
	controls->ids[controls->n] = id;
	return true;
}

/* One pass over all nodes for the true k nearest of every control. */
static void
find_truth(Controls *controls)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(controls->index) - (FNG_META_BLOCK + 1);
	FngTeam    *team = controls->build != NULL ? controls->build->team : NULL;
	uint32		rank = team != NULL ? fng_team_rank(team) : 0;
	uint32		size = team != NULL ? fng_team_size(team) : 1;

	controls->nearest = MemoryContextAllocHuge(CurrentMemoryContext,
											   mul_size(controls->n, controls->k * sizeof(double)));
	for (Size i = 0; i < (Size) controls->n * controls->k; i++)
		controls->nearest[i] = DBL_MAX;
	scan_blocks(controls,
				FNG_META_BLOCK + 1 + (BlockNumber) ((uint64) nblocks * rank / size),
				FNG_META_BLOCK + 1 + (BlockNumber) ((uint64) nblocks * (rank + 1) / size));
	if (size > 1)
		merge_truth(controls);
}

static void
scan_blocks(Controls *controls, BlockNumber first, BlockNumber end)
{
	const FngLayout *layout = controls->layout;
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	float	   *chained = layout->vector_inline ? NULL : palloc(layout->vector_bytes);
	PGAlignedBlock page;
	FngPass		pass;
	Buffer		buffer;

	fng_pass_begin(&pass, controls->index, first, end, strategy);
	while ((buffer = fng_pass_next(&pass)) != InvalidBuffer)
	{
		BlockNumber block = BufferGetBlockNumber(buffer);

		CHECK_FOR_INTERRUPTS();
		if (controls->build != NULL && block % 64 == 0)
			fng_build_progress(controls->build,
							   (uint64) (block - first) * fng_team_size(controls->build->team));
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		memcpy(page.data, BufferGetPage(buffer), BLCKSZ);
		UnlockReleaseBuffer(buffer);
		for (uint32 i = 0; i < layout->slots_per_page; i++)
		{
			char	   *slot = FngPageSlot(layout, page.data, i);
			const float *value = FngSlotVector(layout, slot);

			if (!fng_node_usable(layout, page.data, i, 0) ||
				!(FngSlotNode(slot)->flags & FNG_NODE_LIVE))
				continue;
			if (chained != NULL)
			{
				fng_read_vector_chain(controls->index, FngSlotNode(slot)->vector, chained,
									  layout->vector_bytes, strategy);
				value = chained;
			}
			score_node(controls, FngMakeId(layout, block, i), value);
		}
	}
	fng_pass_end(&pass);
	FreeAccessStrategy(strategy);
}

static void
score_node(Controls *controls, uint32 id, const float *value)
{
	const FngLayout *layout = controls->layout;
	const DistanceKernels *kernels = distance_kernels();

	for (uint32 q = 0; q < controls->n; q++)
	{
		if (controls->ids[q] != id)
			offer(controls->nearest + (Size) q * controls->k, controls->k,
				  fng_score(layout, kernels, controls->queries + (Size) q * layout->dim,
							0, value, 0));
	}
}

/* Each member of the team has looked at its share of the blocks. */
static void
merge_truth(Controls *controls)
{
	FngBuild   *build = controls->build;
	Size		n = (Size) controls->n * controls->k;
	double	   *shared = fng_team_alloc(build, mul_size(fng_team_size(build->team),
														n * sizeof(double)));

	memcpy(shared + fng_team_rank(build->team) * n, controls->nearest, n * sizeof(double));
	fng_team_barrier(build->team);
	for (uint32 member = 0; member < fng_team_size(build->team); member++)
	{
		if (member == fng_team_rank(build->team))
			continue;
		for (Size i = 0; i < n; i++)
			offer(controls->nearest + i / controls->k * controls->k, controls->k,
				  shared[member * n + i]);
	}
	fng_team_barrier(build->team);
	fng_team_free(build, shared);
}

/* Keep the k least scores, sorted. */
static void
offer(double *nearest, uint32 k, double score)
{
	uint32		at = k - 1;

	if (!(score < nearest[at]))
		return;
	while (at > 0 && score < nearest[at - 1])
	{
		nearest[at] = nearest[at - 1];
		at--;
	}
	nearest[at] = score;
}

/*
 * The share of the true neighbours that a search finds; NaN if there are
 * none.  Where the graph search gives up the sweep would be exact.  In a team
 * each member takes some of the queries.
 */
static double
measure(Controls *controls, FngSearch *search, uint32 list_size, float explore_factor)
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
