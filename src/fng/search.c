/*-------------------------------------------------------------------------
 *
 * search.c
 *	  Best-first search of the graph.
 *
 * The search stands at a node, knows its exact distance from the vector in
 * the slot, and estimates the distance of all its neighbours from the codes
 * beside the edges; then it goes on to the unexpanded node of the smallest
 * estimate (design.md section 4; the loop is SymphonyQG's).  One page is
 * pinned and share-locked per expansion and nothing of the neighbours is
 * read.  Results come only from visited nodes, so their order is exact.
 *
 * Visited, unreturned nodes are in "near", the list_size nearest of them in
 * order, and in the heap "far", all others.  The nearest is returned as soon
 * as near is full and its last is nearer than the best unexpanded estimate.
 * expand.c has the step itself, and where unexpanded candidates wait.
 *
 * The search is incomplete by design: when it has expanded a share of all
 * nodes, filled its memory or run out of candidates, fng_search_next returns
 * false and the scan goes over to the sweep (sweep.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "search_int.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* So many best nodes of the top level, or of a level between, start the next. */
#define NUM_SEEDS		16

/* The list grows by one for so many rows returned; measured in src/README. */
#define WIDEN_EVERY		4

/* What the nodes visited for an insert usually take */
#define VISIT_SCRATCH	(512 * 1024)

/* To collect neighbours, visit at most so many times those wanted. */
#define COLLECT_FACTOR	4

static void prepare_query(FngSearch *search, const float *query, float aux,
						  uint32 list_size, float explore_factor);
static void reset_level(FngSearch *search, uint8 level);
static void enter(FngSearch *search, uint8 level);
static void seed_from_top(FngSearch *search);
static void descend(FngSearch *search);
static bool is_next_known(FngSearch *search);
static FngFound take_nearest(FngSearch *search);
static void widen(FngSearch *search);
static bool out_of_budget(FngSearch *search);

/*
 * Make a search of an index that is open and locked by the caller.  Its
 * memory is a child of parent and is reused by every start.
 */
FngSearch *
fng_search_create(Relation index, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "fng search", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	FngSearch  *search = palloc0(sizeof(FngSearch));
	const FngLayout *layout;

	search->relation = index;
	search->context = context;
	search->index = fng_index_open(index, context);
	search->file = compat_relation_file(index);
	layout = &search->index->layout;
	search->query = palloc(layout->vector_bytes);
	search->coded = palloc(layout->code.dim * sizeof(float));
	search->rotated = palloc(layout->code.rotdim * sizeof(float));
	search->code_query = palloc(code_query_size(&layout->code));
	if (search->index->ntop > 0)
		search->top_query = palloc(code_query_size(&search->index->top_code));
	if (!layout->vector_inline)
		search->chained = palloc(layout->vector_bytes);
	fng_frontier_init(&search->frontier);
	found_heap_init(&search->far, 256);
	search->visited = visited_create(context, 512, NULL);
	MemoryContextSwitchTo(old);
	return search;
}

/* Use a search that was made when the index was open some time ago. */
void
fng_search_set_relation(FngSearch *search, Relation index)
{
	search->relation = index;
	search->file = compat_relation_file(index);
}

/* Give up what fng_search_collect has returned. */
void
fng_search_forget(FngSearch *search)
{
	if (search->visit_context != NULL)
		MemoryContextReset(search->visit_context);
}

void
fng_search_free(FngSearch *search)
{
	MemoryContextDelete(search->context);
}

const FngIndex *
fng_search_index(const FngSearch *search)
{
	return search->index;
}

/*
 * Begin to search for query (copied), with a list of list_size nodes and a
 * margin of explore_factor standard errors on every estimate.
 */
void
fng_search_start(FngSearch *search, const float *query, uint32 list_size,
				 float explore_factor)
{
	MemoryContext old = MemoryContextSwitchTo(search->context);

	prepare_query(search, query, 0, list_size, explore_factor);
	search->collecting = false;
	enter(search, 0);
	MemoryContextSwitchTo(old);
}

/*
 * Let the search that was just started do without a node: it is neither
 * returned nor are its edges followed.
 */
void
fng_search_exclude(FngSearch *search, uint32 id)
{
	bool		seen;

	visited_insert(search->visited, id, &seen)->returned = true;
}

/*
 * Return the next nearest row's node.  False if the graph has no more to
 * give, or not at a reasonable price: go on with the sweep.  Takes and
 * releases share locks; the caller holds no lock of a page.
 */
bool
fng_search_next(FngSearch *search, FngFound *found)
{
	MemoryContext old = MemoryContextSwitchTo(search->context);
	bool		result = false;

	for (;;)
	{
		if (search->nnear > 0 && is_next_known(search))
		{
			VisitedEntry *entry;

			*found = take_nearest(search);
			entry = visited_lookup(search->visited, found->id);
			entry->returned = true;
			widen(search);
			result = true;
			break;
		}
		if (fng_search_exhausted(search) || out_of_budget(search))
			break;
		fng_expand_best(search);
	}
	MemoryContextSwitchTo(old);
	return result;
}

/* Has the node been returned since the search started? */
bool
fng_search_returned(FngSearch *search, uint32 id)
{
	VisitedEntry *entry = visited_lookup(search->visited, id);

	return entry != NULL && entry->returned;
}

/*
 * Search one level for a value that is to be linked into it: all nodes
 * visited until the list_size nearest that are live are nearer than every
 * estimate.  Where most are dead it stops before.
 * Returns their number, in order of visit; they live until the next collect.
 */
uint32
fng_search_collect(FngSearch *search, const float *value, float aux,
				   uint32 level, uint32 list_size, FngVisit **visits)
{
	MemoryContext old = MemoryContextSwitchTo(search->context);

	if (search->visit_context == NULL)
		search->visit_context = compat_create_scratch_context(search->context, "fng visits",
															  VISIT_SCRATCH);
	MemoryContextReset(search->visit_context);
	search->visits_capacity = 4 * list_size;
	search->visits = MemoryContextAlloc(search->visit_context,
										search->visits_capacity * sizeof(FngVisit));
	search->nvisits = 0;
	prepare_query(search, value, aux, list_size, 0);
	search->collecting = true;
	enter(search, level);
	while (!is_next_known(search) && search->nvisits < COLLECT_FACTOR * list_size)
		fng_expand_best(search);
	search->collecting = false;
	MemoryContextSwitchTo(old);
	*visits = search->visits;
	return search->nvisits;
}

/*
 * Does a search of the base for a value visit the node "id", before
 * list_size nodes are nearer than every estimate?
 */
bool
fng_search_reaches(FngSearch *search, const float *value, float aux,
				   uint32 id, uint32 list_size)
{
	MemoryContext old = MemoryContextSwitchTo(search->context);
	bool		reached = false;

	prepare_query(search, value, aux, list_size, 0);
	search->collecting = false;
	enter(search, 0);
	while (!(reached = visited_lookup(search->visited, id) != NULL) &&
		   !is_next_known(search))
		fng_expand_best(search);
	MemoryContextSwitchTo(old);
	return reached;
}

static void
prepare_query(FngSearch *search, const float *query, float aux,
			  uint32 list_size, float explore_factor)
{
	const FngIndex *index = search->index;
	const FngLayout *layout = &index->layout;

	search->kernels = distance_kernels();
	memcpy(search->query, query, layout->vector_bytes);
	search->query_aux = aux;
	fng_coded_vector(layout, query, aux, search->coded);
	fng_code_point(index, search->coded, search->rotated);
	code_query_init(&layout->code, search->rotated, search->code_query);
	if (index->ntop > 0)
		code_query_init(&index->top_code, search->rotated, search->top_query);

	if (list_size > search->near_capacity)
	{
		if (search->near != NULL)
			pfree(search->near);
		search->near = MemoryContextAllocHuge(search->context,
											  mul_size(list_size, sizeof(FngFound)));
		search->near_capacity = list_size;
	}
	search->asking = false;
	search->list_size = list_size;
	search->explore = explore_factor * code_error_scale(&layout->code);
	search->query_squared = search->kernels->dot(layout->code.rotdim, search->rotated,
												 search->rotated);
	search->max_expansions = 0;
	search->returned = 0;
}

static void
reset_level(FngSearch *search, uint8 level)
{
	search->level = level;
	search->has_next = false;
	fng_frontier_reset(&search->frontier, search->list_size);
	search->far.count = 0;
	search->nnear = 0;
	search->expansions = 0;
	if (search->visited->members > 0)
		visited_reset(search->visited);
}

/* Fill the candidates with the nodes from which to search the level. */
static void
enter(FngSearch *search, uint8 level)
{
	const FngIndex *index = search->index;

	reset_level(search, level);
	if (index->meta.nlevels == 0 || level + 1u > index->meta.nlevels)
		return;
	if (index->meta.nlevels == 1 || index->ntop == 0)
	{
		Candidate	entry = {0, index->meta.entry};

		if (level == 0 && entry.id != FNG_NO_ID)
			fng_frontier_insert(&search->frontier, entry);
		return;
	}
	if (level + 1u == index->meta.nlevels)
		return;					/* the top level has no edges to search */

	reset_level(search, index->meta.nlevels - 2);
	seed_from_top(search);
	while (search->level > level)
		descend(search);
}

/*
 * Score the whole top level and push the level below of its nearest nodes.
 */
static void
seed_from_top(FngSearch *search)
{
	const FngIndex *index = search->index;
	Size		block_bytes = code_block_bytes(&index->top_code, CODE_LANES);
	Candidate	best[NUM_SEEDS];
	uint32		nbest = 0;
	float		base = 0;

	if (index->layout.form == CODE_L2)
		base = (float) search->query_squared;

	for (uint32 first = 0; first < index->ntop; first += CODE_LANES)
	{
		uint32		n = Min(CODE_LANES, index->ntop - first);
		float		estimates[CODE_LANES];
		float		worst = nbest < NUM_SEEDS ? INFINITY : best[nbest - 1].estimate;
		uint32		below;

		code_score_block(&index->top_code, search->top_query,
						 index->top_blocks + first / CODE_LANES * block_bytes,
						 CODE_LANES, search->scores);
		below = code_estimate(n, base, index->top_scale, index->top_add + first,
							  index->top_mul + first, search->scores, worst, estimates);
		while (below != 0)
		{
			uint32		i = pg_rightmost_one_pos32(below);
			Candidate	candidate = {estimates[i], index->top_down[first + i]};
			uint32		at;

			below &= below - 1;
			if (nbest == NUM_SEEDS && candidate.estimate >= best[nbest - 1].estimate)
				continue;
			at = nbest < NUM_SEEDS ? nbest++ : nbest - 1;
			while (at > 0 && candidate.estimate < best[at - 1].estimate)
			{
				best[at] = best[at - 1];
				at--;
			}
			best[at] = candidate;
		}
	}
	/* so far away that no estimate is a number: any will do */
	if (nbest == 0)
	{
		for (; nbest < Min(NUM_SEEDS, index->ntop); nbest++)
		{
			best[nbest].estimate = FLT_MAX;
			best[nbest].id = index->top_down[nbest];
		}
	}
	for (uint32 i = 0; i < nbest; i++)
		fng_frontier_insert(&search->frontier, best[i]);
}

/*
 * Search an upper level with a short list and go down to what it found.  The
 * node below has the same vector, so its distance is known.
 */
static void
descend(FngSearch *search)
{
	Candidate	seeds[NUM_SEEDS];
	uint32		nseeds = 0;
	uint32		list_size = search->list_size;
	bool		collecting = search->collecting;

	search->collecting = false;
	search->list_size = Min(NUM_SEEDS, list_size);
	while (!is_next_known(search))
		fng_expand_best(search);

	while (nseeds < search->nnear)
	{
		/* on an upper level, visit() puts the id below in tid_chain */
		seeds[nseeds].estimate = (float) search->near[nseeds].score;
		seeds[nseeds].id = search->near[nseeds].tid_chain;
		nseeds++;
	}
	search->list_size = list_size;
	search->collecting = collecting;
	reset_level(search, search->level - 1);
	for (uint32 i = 0; i < nseeds; i++)
		fng_frontier_insert(&search->frontier, seeds[i]);
}

/*
 * Is the nearest of near the next row: are list_size visited nodes nearer
 * than every estimate, or is nothing left?
 */
static bool
is_next_known(FngSearch *search)
{
	if (fng_search_exhausted(search))
		return true;
	return search->nnear == search->list_size &&
		search->near[search->nnear - 1].score <= fng_least_estimate(search);
}

/*
 * The farther a scan has come, the more nodes lie at about the same distance
 * and the more of them must be known to return the next in order.  So the
 * list grows with the rows returned; a short LIMIT does not feel it.
 */
static void
widen(FngSearch *search)
{
	if (++search->returned % WIDEN_EVERY != 0)
		return;
	if (search->list_size == search->near_capacity)
	{
		search->near_capacity *= 2;
		search->near = repalloc_huge(search->near,
									 mul_size(search->near_capacity, sizeof(FngFound)));
	}
	search->list_size++;
	if (search->far.count > 0)
		search->near[search->nnear++] = found_heap_pop(&search->far);
}

/* Remove the nearest and move up the nearest of the far. */
static FngFound
take_nearest(FngSearch *search)
{
	FngFound	nearest = search->near[0];

	memmove(&search->near[0], &search->near[1], (search->nnear - 1) * sizeof(FngFound));
	search->nnear--;
	if (search->far.count > 0)
		search->near[search->nnear++] = found_heap_pop(&search->far);
	return nearest;
}

/*
 * Has the search grown so large that a pass over all pages is the better way
 * to go on?
 */
static bool
out_of_budget(FngSearch *search)
{
	Size		bytes;

	if (search->expansions < FNG_MIN_EXPANSIONS)
		return false;
	if (search->max_expansions == 0)
		search->max_expansions = Max((uint64) FNG_MIN_EXPANSIONS,
									 (uint64) RelationGetNumberOfBlocks(search->relation) *
									 search->index->layout.slots_per_page / FNG_SWEEP_SHARE);
	if (search->expansions >= search->max_expansions)
		return true;
	bytes = fng_frontier_bytes(&search->frontier) +
		search->far.capacity * sizeof(FngFound) +
		search->visited->size * sizeof(VisitedEntry);
	return bytes > (Size) work_mem * 1024;
}
