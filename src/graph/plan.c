/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  How a layer is built out of core in the memory that there is.
 *
 * The fewer parts, the less work: so there are as few as fit, and what is left
 * when the pools are filled goes to a cache of rows.  Pools and second edges
 * are in files, the edges in memory.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "parts.h"

/* Shared memory of the caches of all processes */
static size_t
cache_memory(size_t cache, uint32_t size)
{
	return graph_array_size(size, graph_array_size(cache, 1));
}

/* Count a phase and what else is there in each process. */
static void
count_phase(GraphMemory *peak, size_t held, size_t own, GraphMemory phase)
{
	phase.own += own;
	graph_count_phase(peak, held, phase);
}

/*
 * The peak of a build with so many parts up to the selection, without a cache
 * worth the name.  held is what stays.
 */
static void
count_before(const GraphPlan *plan, uint32_t n, uint32_t dim,
			 const GraphParams *params, uint32_t size, size_t *held,
			 GraphMemory *peak)
{
	GraphMemory space = graph_space_memory(dim, size);
	GraphMemory parts = graph_parts_memory(n, plan->nparts);
	GraphMemory state = graph_by_parts_memory(plan->room, params);
	size_t		own = parts.own + state.own + sizeof(GraphRowCache);
	size_t		searched;

	/* the first cache leaves a gap */
	*held = space.shared + cache_memory(graph_row_cache_least(dim), size);
	memset(peak, 0, sizeof(GraphMemory));
	graph_count_phase(peak, *held, space);
	*held += 2 * graph_array_size(n, sizeof(uint32_t));
	graph_count_phase(peak, *held, graph_equal_memory(n, dim));
	*held += graph_array_size(n, sizeof(uint16_t));
	searched = *held + parts.shared + state.shared;
	count_phase(peak, searched, own, graph_guests_memory(dim, plan->nparts));
	count_phase(peak, searched, own,
				graph_part_memory(plan->room, dim, params, size));
}

/*
 * The peak from there on, without any cache.
 */
static void
count_after(const GraphPlan *plan, uint32_t n, uint32_t dim,
			const GraphParams *params, uint32_t size, size_t held,
			GraphMemory *peak)
{
	size_t		pool = graph_window_memory(params->pool_size *
										   sizeof(GraphEntry));
	size_t		edges = graph_window_memory(params->max_degree *
											sizeof(uint32_t));
	size_t		own = graph_space_memory(dim, size).own;

	held += graph_array_size(n, sizeof(uint16_t)) +
		graph_array_size((size_t) n * params->max_degree, sizeof(uint32_t));
	memset(peak, 0, sizeof(GraphMemory));
	/* while there are no edges yet, but more numbers of nodes instead */
	count_phase(peak, held, own + graph_parts_memory(n, plan->nparts).own +
				graph_by_parts_memory(plan->room, params).own,
				graph_refine_memory(dim, params));
	count_phase(peak, held, own + pool, graph_select_memory(dim, params));
	held += graph_array_size((size_t) n * GRAPH_FAR, sizeof(uint32_t));
	graph_count_phase(peak, held, graph_far_memory(n, dim));
	count_phase(peak, held, own + pool + edges,
				graph_reselect_memory(n, dim, params));
	graph_count_phase(peak, held, graph_connect_memory(n, dim));
}

/*
 * Plan for so many parts, with the largest cache.  False if that takes more
 * memory than there is.
 */
static bool
plan_parts(GraphPlan *plan, uint32_t nparts, uint32_t n, uint32_t dim,
		   const GraphParams *params, uint32_t size, size_t memory)
{
	size_t		cache = graph_row_cache_least(dim);
	GraphMemory before;
	GraphMemory after;
	size_t		held;
	size_t		total;
	bool		enough;

	plan->nparts = nparts;
	plan->room = graph_part_room(n, nparts);
	count_before(plan, n, dim, params, size, &held, &before);
	count_after(plan, n, dim, params, size, held, &after);
	plan->memory.shared = GRAPH_MAX(before.shared,
									after.shared + cache_memory(cache, size));
	plan->memory.own = GRAPH_MAX(before.own, after.own);
	plan->memory.first = GRAPH_MAX(before.first, after.first);
	total = graph_all_memory(plan->memory, size);
	enough = total <= memory;
	if (enough)
	{
		size_t		shared = plan->memory.shared + (memory - total);
		size_t		most = (shared - after.shared) / size;

		most = GRAPH_MIN(most, graph_row_cache_most(n, dim));
		cache = GRAPH_MAX(cache, most - most % 64);
		plan->memory.shared = GRAPH_MAX(before.shared, after.shared +
										cache_memory(cache, size));
	}
	plan->cache = cache;
	return enough;
}

/*
 * See graph.h.
 */
bool
graph_plan(GraphPlan *plan, uint32_t n, uint32_t dim, const GraphParams *given,
		   uint32_t size, size_t memory)
{
	GraphParams params = *given;
	uint32_t	low = 3;
	uint32_t	high = GRAPH_MIN(n / GRAPH_PART_LEAST, UINT16_MAX);

	graph_limit_params(&params);
	if (plan_parts(plan, 1, n, dim, &params, size, memory))
		return true;
	if (high < low ||
		!plan_parts(plan, high, n, dim, &params, size, memory))
		return false;
	while (low < high)
	{
		uint32_t	middle = low + (high - low) / 2;

		if (plan_parts(plan, middle, n, dim, &params, size, memory))
			high = middle;
		else
			low = middle + 1;
	}
	return plan_parts(plan, low, n, dim, &params, size, memory);
}

/*
 * See graph.h: pools, and better ones, or second edges.
 */
uint64_t
graph_plan_files(uint32_t n, const GraphParams *given)
{
	GraphParams params = *given;
	size_t		pool;

	graph_limit_params(&params);
	pool = params.pool_size * sizeof(GraphEntry);
	return (uint64_t) n * (pool + GRAPH_MAX(pool, params.max_degree *
											sizeof(uint32_t)));
}
