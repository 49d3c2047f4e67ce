/*-------------------------------------------------------------------------
 *
 * buildplan.c
 *	  CREATE INDEX: how a graph is built within maintenance_work_mem.
 *
 * In memory, if all fits: points, pools, edges.  Out of core otherwise: points
 * and pools in temporary files, neighbours found by parts (graph/outofcore.c).
 * Edges and a few numbers per row are in memory in any case.  If not even that
 * fits, the graph has as many rows as it can, and the others are inserted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "build.h"
#include "miscadmin.h"
#include "utils/rel.h"

/* A small graph is built whatever the setting. */
#define MIN_ROWS	1024

/*
 * What a process comes to need beside arrays, such as catalog entries and
 * buffers of files; an eighth of all that there is at most.
 */
#define OWN_MEMORY		((Size) 1280 * 1024)
#define OWN_SHARE		8

static bool choose(const FngLayout *layout, const GraphParams *params, uint32 nrows,
				   uint32 team_size, FngPlan *plan);
static Size shared_memory(const FngLayout *layout, uint32 nrows, bool outofcore);
static Size other_memory(const FngLayout *layout, uint32 nrows, uint32 team_size, bool outofcore);
static Size own_memory(Size all, uint32 team_size);
static void report(FngBuild *build, uint64 nrows);

/*
 * What a graph of nrows rows takes at its peak, of all members of a team
 * together, when it is built in memory.
 */
Size
fng_build_memory(const FngLayout *layout, const GraphParams *params, uint32 nrows,
				 uint32 team_size)
{
	Size		arrays = add_size(shared_memory(layout, nrows, false),
								  Max(graph_build_memory(nrows, layout->code.rotdim, params, team_size),
									  other_memory(layout, nrows, team_size, false)));

	return add_size(arrays, own_memory(arrays, team_size));
}

static Size
own_memory(Size all, uint32 team_size)
{
	return Min(mul_size(team_size, OWN_MEMORY), all / OWN_SHARE);
}

/*
 * Choose how nrows rows are built by a team.
 */
void
fng_choose_plan(const FngLayout *layout, const GraphParams *params, uint64 nrows,
				uint32 team_size, FngPlan *plan)
{
	uint32		low = MIN_ROWS;
	uint32		high = FNG_MAX_BUILD_ROWS;

	if (nrows <= FNG_MAX_BUILD_ROWS &&
		choose(layout, params, (uint32) nrows, team_size, plan))
		return;

	/* bisect for the least n that does not fit */
	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;

		if (choose(layout, params, middle, team_size, plan))
			low = middle + 1;
		else
			high = middle;
	}
	(void) choose(layout, params, (uint32) Min(nrows, Max(MIN_ROWS, low - 1)), team_size, plan);
}

/* False if so many rows do not fit; few are built in memory then. */
static bool
choose(const FngLayout *layout, const GraphParams *params, uint32 nrows, uint32 team_size,
	   FngPlan *plan)
{
	uint32		dim = layout->code.rotdim;
	Size		budget = (Size) maintenance_work_mem * 1024;
	Size		shared = add_size(shared_memory(layout, nrows, true),
								  own_memory(budget, team_size));
	Size		other = other_memory(layout, nrows, team_size, true);

	memset(plan, 0, sizeof(*plan));
	plan->nrows = nrows;
	plan->needed = fng_build_memory(layout, params, nrows, team_size);
	if (plan->needed <= budget)
		return true;
	if (nrows <= MIN_ROWS || add_size(shared, other) > budget ||
		!graph_plan(&plan->graph, nrows, dim, params, team_size, budget - shared))
		return false;
	plan->outofcore = true;
	plan->files = (uint64) nrows * dim * sizeof(float) + graph_plan_files(nrows, params);
	return true;
}

/*
 * Decide for a build of nrows rows, and tell the user before the work starts.
 */
void
fng_plan(FngBuild *build, uint64 nrows)
{
	FngPlan    *plan = &build->plan;

	fng_choose_plan(&build->layout, &build->graph, nrows, fng_team_size(build->team), plan);
	build->nrows = plan->nrows;
	build->ninserted = nrows - plan->nrows;
	if (plan->outofcore)
		build->graph.plan = &plan->graph;
	if (fng_team_rank(build->team) == 0)
		report(build, nrows);
}

static void
report(FngBuild *build, uint64 nrows)
{
	const FngPlan *plan = &build->plan;
	Size		needed;

	ereport(DEBUG1,
			(errmsg_internal("fng: a graph of %u rows takes %zu kB in memory, maintenance_work_mem is %d kB",
							 plan->nrows, plan->needed / 1024, maintenance_work_mem)));
	if (!plan->outofcore && build->ninserted == 0)
		return;
	needed = fng_build_memory(&build->layout, &build->graph,
							  (uint32) Min(nrows, FNG_MAX_BUILD_ROWS),
							  fng_team_size(build->team)) / (1024 * 1024) + 1;
	ereport(NOTICE,
			(errmsg("graph of " UINT64_FORMAT " rows does not fit into maintenance_work_mem",
					nrows),
			 build->ninserted == 0 ?
			 errdetail("The index is built out of core, with " UINT64_FORMAT " MB of further temporary files, which takes longer.",
					   plan->files / (1024 * 1024) + 1) :
			 errdetail("After the first %u the rows are inserted one by one, which takes much longer.",
					   build->nrows),
			 errhint("Set maintenance_work_mem to %zuMB or more to build the index in memory.",
					 needed)));
}

/* The shared arrays outside graph/ that live as long as it is built. */
static Size
shared_memory(const FngLayout *layout, uint32 nrows, bool outofcore)
{
	Size		edges = layout->max_degree * sizeof(uint32) + sizeof(uint16);
	Size		point = outofcore ? 0 : layout->code.rotdim * sizeof(float);
	Size		row = sizeof(ItemPointerData) + sizeof(float) + sizeof(uint32) +
	sizeof(uint16) + point;

	/* out of core the base's edges are graph/'s matter */
	if (!outofcore)
		row += layout->max_degree * sizeof(uint32);

	/*
	 * Levels between have points and edges besides.  Their ratio is at least
	 * the root of the largest, see buildgraph.c.  Tests want them in small
	 * indexes, too, by a largest ratio below 4.
	 */
	if (nrows > FNG_TOP_TARGET * (uint32) descartes_debug_level_ratio ||
		descartes_debug_level_ratio < 4)
		row += (Size) ceil((point + edges) / (sqrt(descartes_debug_level_ratio) - 1));
	return add_size(mul_size(nrows, row), 64 * 1024);
}

/*
 * What is shared besides, before and after: hashes and what finds equal rows;
 * out of core the order of the rows; edges and the order of the nodes.
 */
static Size
other_memory(const FngLayout *layout, uint32 nrows, uint32 team_size, bool outofcore)
{
	Size		equal = mul_size(nrows, sizeof(uint64) + 2 * sizeof(uint32));
	Size		centre = mul_size(team_size, layout->code.rotdim * sizeof(double));
	Size		nodes = mul_size(nrows, 2 * sizeof(uint32) + sizeof(uint16));
	Size		order = 0;

	if (outofcore)
	{
		(void) graph_order_memory(nrows, layout->code.rotdim, team_size, &order);
		/* then it is applied to what there is of a row */
		order = Max(order, mul_size(nrows, sizeof(ItemPointerData))) +
			mul_size(nrows, sizeof(uint32));
		nodes += mul_size(nrows, layout->max_degree * sizeof(uint32)) +
			mul_size(team_size, graph_row_cache_least(layout->code.rotdim) + 64);
	}
	return Max(Max(equal, centre), Max(order, nodes)) + 64 * 1024;
}

/* The size of the arena */
Size
fng_arena_size(FngBuild *build)
{
	const FngPlan *plan = &build->plan;
	uint32		size = fng_team_size(build->team);
	Size		graph = plan->outofcore ? plan->graph.memory.shared :
	graph_build_shared_memory(build->nrows, build->layout.code.rotdim, &build->graph, size);

	return add_size(shared_memory(&build->layout, build->nrows, plan->outofcore),
					Max(graph, other_memory(&build->layout, build->nrows, size, plan->outofcore)));
}
