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
 * Unexpanded candidates wait in a heap by estimate; a node may wait there
 * several times, with estimates from several parents, and is expanded once.
 * Visited, unreturned nodes are in "near", the list_size nearest of them in
 * order, and in the heap "far", all others.  The nearest is returned as soon
 * as near is full and its last is nearer than the best unexpanded estimate.
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

#include "../distance/half.h"
#include "search.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* So many best nodes of the top level, or of a level between, start the next. */
#define NUM_SEEDS		16

typedef struct Candidate
{
	float		estimate;
	uint32		id;
} Candidate;

#define MH_PREFIX candidate
#define MH_ELEMENT Candidate
#define MH_KEY(e) ((e).estimate)
#include "minheap.h"

#define MH_PREFIX found
#define MH_ELEMENT FngFound
#define MH_KEY(e) ((e).score)
#include "minheap.h"

typedef struct VisitedEntry
{
	uint32		id;
	char		status;			/* simplehash's */
	bool		returned;
} VisitedEntry;

#define SH_PREFIX visited
#define SH_ELEMENT_TYPE VisitedEntry
#define SH_KEY_TYPE uint32
#define SH_KEY id
#define SH_HASH_KEY(tb, key) fng_hash_id(key)
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE

/* Fibonacci hashing spreads consecutive ids well enough. */
static inline uint32
fng_hash_id(uint32 id)
{
	return (uint32) (((uint64) id * UINT64CONST(0x9E3779B97F4A7C15)) >> 32);
}

#include "lib/simplehash.h"

struct FngSearch
{
	Relation	relation;
	FngIndex   *index;
	MemoryContext context;		/* lives as long as the search */
	MemoryContext visit_context;	/* what fng_search_collect returns */
	const DistanceKernels *kernels;

	/* the query */
	float	   *query;			/* as the heap has it */
	float		query_aux;
	float	   *coded;			/* before and after rotation */
	float	   *rotated;
	CodeQuery  *code_query;
	CodeQuery  *top_query;
	uint32		list_size;
	float		explore;		/* margin per |mul| * scale * |t| */

	/* progress */
	uint8		level;
	candidate_heap candidates;
	FngFound   *near;
	uint32		nnear;
	uint32		near_capacity;
	found_heap	far;
	visited_hash *visited;
	uint64		expansions;
	uint64		max_expansions;

	/* scratch of one expansion */
	float	   *chained;		/* a vector from its chain */
	float		scores[CODE_LANES];
	float		estimates[CODE_LANES];

	/* visits kept for fng_search_collect */
	bool		collecting;
	FngVisit   *visits;
	uint32		nvisits;
	uint32		visits_capacity;
};

static void prepare_query(FngSearch *search, const float *query, float aux,
						  uint32 list_size, float explore_factor);
static void reset_level(FngSearch *search, uint8 level);
static void enter(FngSearch *search, uint8 level);
static void seed_from_top(FngSearch *search);
static void descend(FngSearch *search);
static bool expand_best(FngSearch *search);
static bool visit(FngSearch *search, uint32 id, FngFound *found);
static bool lock_node(FngSearch *search, uint32 id, Buffer *buffer, char **slot,
					  const float **value);
static void score_edges(FngSearch *search, const char *slot, double base);
static void score_pending(FngSearch *search, const char *slot, double base);
static void push_candidates(FngSearch *search, const uint32 *ids, uint32 n);
static void remember_visit(FngSearch *search, const FngFound *found,
						   const FngNodeData *node, const float *value);
static void add_found(FngSearch *search, const FngFound *found);
static FngFound take_nearest(FngSearch *search);
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
	layout = &search->index->layout;
	search->visit_context = AllocSetContextCreate(context, "fng visits", ALLOCSET_DEFAULT_SIZES);
	search->query = palloc(layout->vector_bytes);
	search->coded = palloc(layout->code.dim * sizeof(float));
	search->rotated = palloc(layout->code.rotdim * sizeof(float));
	search->code_query = palloc(code_query_size(&layout->code));
	if (search->index->ntop > 0)
		search->top_query = palloc(code_query_size(&search->index->top_code));
	if (!layout->vector_inline)
		search->chained = palloc(layout->vector_bytes);
	candidate_heap_init(&search->candidates, 4096);
	found_heap_init(&search->far, 256);
	search->visited = visited_create(context, 512, NULL);
	MemoryContextSwitchTo(old);
	return search;
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

uint64
fng_search_expansions(const FngSearch *search)
{
	return search->expansions;
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
		if (search->nnear > 0 &&
			(search->candidates.count == 0 ||
			 (search->nnear == search->list_size &&
			  search->near[search->nnear - 1].score <= search->candidates.elements[0].estimate)))
		{
			VisitedEntry *entry;

			*found = take_nearest(search);
			entry = visited_lookup(search->visited, found->id);
			entry->returned = true;
			result = true;
			break;
		}
		if (search->candidates.count == 0 || out_of_budget(search))
			break;
		expand_best(search);
	}
	MemoryContextSwitchTo(old);
	return result;
}

/* Has the node been returned, or visited, since the search started? */
bool
fng_search_returned(FngSearch *search, uint32 id)
{
	VisitedEntry *entry = visited_lookup(search->visited, id);

	return entry != NULL && entry->returned;
}

bool
fng_search_visited(FngSearch *search, uint32 id)
{
	return visited_lookup(search->visited, id) != NULL;
}

/*
 * Search one level for a value that is to be linked into it: all nodes
 * visited until the list_size nearest are nearer than every estimate.
 * Returns their number, sorted by score; they live until the next collect.
 */
uint32
fng_search_collect(FngSearch *search, const float *value, float aux,
				   uint32 level, uint32 list_size, FngVisit **visits)
{
	MemoryContext old = MemoryContextSwitchTo(search->context);

	MemoryContextReset(search->visit_context);
	search->visits_capacity = 4 * list_size;
	search->visits = MemoryContextAlloc(search->visit_context,
										search->visits_capacity * sizeof(FngVisit));
	search->nvisits = 0;
	prepare_query(search, value, aux, list_size, 0);
	search->collecting = true;
	enter(search, level);
	while (search->candidates.count > 0 &&
		   (search->nnear < search->list_size ||
			search->near[search->nnear - 1].score > search->candidates.elements[0].estimate))
		expand_best(search);
	search->collecting = false;
	MemoryContextSwitchTo(old);
	*visits = search->visits;
	return search->nvisits;
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
	search->list_size = list_size;
	search->explore = explore_factor * code_error_scale(&layout->code);
	search->max_expansions = 0;
}

static void
reset_level(FngSearch *search, uint8 level)
{
	search->level = level;
	search->candidates.count = 0;
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
			candidate_heap_push(&search->candidates, entry);
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
		base = search->kernels->dot(index->layout.code.rotdim, search->rotated, search->rotated);

	for (uint32 first = 0; first < index->ntop; first += CODE_LANES)
	{
		uint32		n = Min(CODE_LANES, index->ntop - first);

		code_score_block(&index->top_code, search->top_query,
						 index->top_blocks + first / CODE_LANES * block_bytes,
						 CODE_LANES, search->scores);
		code_estimate(n, base, index->top_scale, index->top_add + first,
					  index->top_mul + first, search->scores, search->estimates);
		for (uint32 i = 0; i < n; i++)
		{
			Candidate	candidate;
			uint32		at;

			candidate.estimate = search->estimates[i];
			candidate.id = index->top_down[first + i];
			if (nbest == NUM_SEEDS && !(candidate.estimate < best[nbest - 1].estimate))
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
	for (uint32 i = 0; i < nbest; i++)
		candidate_heap_push(&search->candidates, best[i]);
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
	while (search->candidates.count > 0 &&
		   (search->nnear < search->list_size ||
			search->near[search->nnear - 1].score > search->candidates.elements[0].estimate))
		expand_best(search);

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
		candidate_heap_push(&search->candidates, seeds[i]);
}

/*
 * Take the candidate of the smallest estimate and visit it.  Returns false if
 * it was no news.
 */
static bool
expand_best(FngSearch *search)
{
	Candidate	candidate = candidate_heap_pop(&search->candidates);
	VisitedEntry *entry;
	FngFound	found;
	bool		seen;

	entry = visited_insert(search->visited, candidate.id, &seen);
	if (seen)
		return false;
	entry->returned = false;
	CHECK_FOR_INTERRUPTS();
	search->expansions++;
	if (!visit(search, candidate.id, &found))
		return false;
	if (search->level > 0 || ItemPointerIsValid(&found.tid) ||
		BlockNumberIsValid(found.tid_chain))
		add_found(search, &found);
	return true;
}

/*
 * Visit a node: its exact score, and candidates from its edges.  Returns
 * false if the id leads to no node of this level.
 */
static bool
visit(FngSearch *search, uint32 id, FngFound *found)
{
	const FngLayout *layout = &search->index->layout;
	Buffer		buffer;
	char	   *slot;
	const float *value;
	FngNode		node;

	if (!lock_node(search, id, &buffer, &slot, &value))
		return false;
	node = FngSlotNode(slot);
	found->id = id;
	found->tid = node->tid;
	found->tid_chain = node->link;
	found->score = fng_score(layout, search->kernels, search->query, search->query_aux,
							 value, node->aux);
	if (isnan(found->score))
		found->score = DBL_MAX;

	score_edges(search, slot, found->score);
	if (node->npending > 0)
		score_pending(search, slot, found->score);
	if (search->collecting)
		remember_visit(search, found, node, value);
	UnlockReleaseBuffer(buffer);
	return true;
}

/*
 * Lock the node's page for reading and find its vector, which never changes
 * while the slot is in use.
 */
static bool
lock_node(FngSearch *search, uint32 id, Buffer *buffer, char **slot,
		  const float **value)
{
	const FngLayout *layout = &search->index->layout;
	bool		chained = false;

	*buffer = ReadBuffer(search->relation, FngIdBlock(layout, id));
	for (;;)
	{
		Page		page = BufferGetPage(*buffer);
		BlockNumber chain;

		LockBuffer(*buffer, BUFFER_LOCK_SHARE);
		if (!fng_node_usable(layout, page, FngIdSlot(layout, id), search->level))
		{
			UnlockReleaseBuffer(*buffer);
			return false;
		}
		*slot = FngPageSlot(layout, page, FngIdSlot(layout, id));
		if (layout->vector_inline)
			*value = FngSlotVector(layout, *slot);
		else
			*value = search->chained;
		if (layout->vector_inline || chained)
			return true;

		/* read the chain without a lock, then lock the node again */
		chain = FngSlotNode(*slot)->vector;
		LockBuffer(*buffer, BUFFER_LOCK_UNLOCK);
		fng_read_vector_chain(search->relation, chain, search->chained,
							  layout->vector_bytes, NULL);
		chained = true;
	}
}

/* Estimate the neighbours in the columnar blocks and push them. */
static void
score_edges(FngSearch *search, const char *slot, double base)
{
	const FngLayout *layout = &search->index->layout;
	const FngNodeData *node = (const FngNodeData *) slot;
	uint32		degree = Min(node->degree, layout->max_degree);
	uint32		first = 0;
	float		margin = 0;

	if (search->explore > 0)
		margin = search->explore * node->mul_scale * (float) sqrt(Max(base, 0.0));

	while (first < degree)
	{
		uint32		lanes = fng_block_lanes(layout, first);
		uint32		n = Min(lanes, degree - first);

		code_score_block(&layout->code, search->code_query,
						 FngSlotCodes(layout, slot) + first * layout->row_bytes,
						 lanes, search->scores);
		code_estimate(n, (float) base, node->mul_scale,
					  FngSlotAdd(layout, slot) + first,
					  FngSlotMul(layout, slot) + first,
					  search->scores, search->estimates);
		if (margin > 0)
		{
			for (uint32 i = 0; i < n; i++)
				search->estimates[i] -= margin *
					fabsf(half_to_float(FngSlotMul(layout, slot)[first + i]));
		}
		push_candidates(search, FngSlotIds(layout, slot) + first, n);
		first += lanes;
	}
}

static void
score_pending(FngSearch *search, const char *slot, double base)
{
	const FngLayout *layout = &search->index->layout;
	const FngNodeData *node = (const FngNodeData *) slot;
	uint32		npending = Min(node->npending, layout->max_pending);

	for (uint32 i = 0; i < npending; i++)
	{
		FngPendingData *pending = FngSlotPending(layout, slot, i);
		float		score = code_score_row(&layout->code, search->code_query,
										   FngPendingRow(pending));

		code_estimate(1, (float) base, node->mul_scale, &pending->add, &pending->mul,
					  &score, search->estimates);
		push_candidates(search, &pending->id, 1);
	}
}

/* Push the nodes of search->estimates that have not been visited. */
static void
push_candidates(FngSearch *search, const uint32 *ids, uint32 n)
{
	for (uint32 i = 0; i < n; i++)
	{
		Candidate	candidate;

		candidate.id = ids[i];
		candidate.estimate = search->estimates[i];
		if (candidate.id == FNG_NO_ID ||
			visited_lookup(search->visited, candidate.id) != NULL)
			continue;
		/* overflow and its NaN: try these last */
		if (!(candidate.estimate < FLT_MAX))
			candidate.estimate = FLT_MAX;
		candidate_heap_push(&search->candidates, candidate);
	}
}

/* Keep the node and a copy of its vector for the caller of collect. */
static void
remember_visit(FngSearch *search, const FngFound *found, const FngNodeData *node,
			   const float *value)
{
	const FngLayout *layout = &search->index->layout;
	FngVisit   *at;
	float	   *copy;

	if (search->nvisits == search->visits_capacity)
	{
		search->visits_capacity *= 2;
		search->visits = repalloc(search->visits, search->visits_capacity * sizeof(FngVisit));
	}
	copy = MemoryContextAlloc(search->visit_context, layout->vector_bytes);
	memcpy(copy, value, layout->vector_bytes);
	at = &search->visits[search->nvisits++];
	at->id = found->id;
	at->flags = node->flags;
	at->tid_chain = found->tid_chain;
	at->aux = node->aux;
	at->score = found->score;
	at->value = copy;
}

/* Put a visited node among the near, or with the far. */
static void
add_found(FngSearch *search, const FngFound *found)
{
	uint32		low = 0;
	uint32		high = search->nnear;

	if (search->nnear == search->list_size)
	{
		if (found->score >= search->near[search->nnear - 1].score)
		{
			found_heap_push(&search->far, *found);
			return;
		}
		found_heap_push(&search->far, search->near[--search->nnear]);
		high = search->nnear;
	}
	while (low < high)
	{
		uint32		middle = (low + high) / 2;

		if (search->near[middle].score <= found->score)
			low = middle + 1;
		else
			high = middle;
	}
	memmove(&search->near[low + 1], &search->near[low],
			(search->nnear - low) * sizeof(FngFound));
	search->near[low] = *found;
	search->nnear++;
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
	bytes = search->candidates.capacity * sizeof(Candidate) +
		search->far.capacity * sizeof(FngFound) +
		search->visited->size * sizeof(VisitedEntry);
	return bytes > (Size) work_mem * 1024;
}
