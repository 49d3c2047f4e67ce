/*-------------------------------------------------------------------------
 *
 * expand.c
 *	  One step of a graph search: visiting the best candidate.
 *
 * Candidates up to a bound wait in a heap by estimate, those beyond it in an
 * unordered array, "later": once near is full most neighbours are too far to
 * be expanded soon, and a comparison and a store is all that they cost.  A
 * node may wait several times, with estimates from several parents; it is
 * expanded once.
 *
 * What a step costs is not arithmetic but cache misses (postgres.md section
 * 2.1): the buffer mapping table, the buffer's descriptor, the page.  So the
 * backend remembers the buffer of each block, and the page of the node that
 * is likely to come next is prefetched as soon as it is known.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "../distance/half.h"
#include "miscadmin.h"
#include "search_int.h"
#include "storage/buf_internals.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/*
 * ReadRecentBuffer does not tell the buffer manager that the page is in use
 * (up to 18), so one visit in so many takes the long way.
 */
#define FULL_READ_EVERY		16

/* The hardware goes on by itself after so many consecutive lines. */
#define PREFETCH_LINES		16

/* Margin of the bound, in spreads of the near list. */
#define BOUND_SLACK			0.25f

static bool is_wanted(const FngSearch *search, const FngFound *found);
static void refill_candidates(FngSearch *search);
static bool visit(FngSearch *search, uint32 id, FngFound *found);
static Buffer read_node_page(FngSearch *search, BlockNumber block);
static void prefetch_node(FngSearch *search, uint32 id);
static void prefetch_lines(const char *at, Size nbytes);
static bool lock_node(FngSearch *search, uint32 id, Buffer *buffer, char **slot,
					  const float **value);
static void score_edges(FngSearch *search, const char *slot, double base);
static void score_pending(FngSearch *search, const char *slot, double base);
static float estimate_margin(const FngSearch *search, const FngNodeData *node,
							 double base);
static void add_candidates(FngSearch *search, const uint32 *ids, uint32 n);
static void add_later(FngSearch *search, Candidate candidate);
static void remember_visit(FngSearch *search, const FngFound *found,
						   const FngNodeData *node, const float *value);
static void add_found(FngSearch *search, const FngFound *found);
static float bound_of_near(const FngSearch *search);

/*
 * Visit the unexpanded candidate of the smallest estimate; there must be one.
 * Takes and releases share locks; the caller holds none.
 */
void
fng_expand_best(FngSearch *search)
{
	Candidate	candidate;
	VisitedEntry *entry;
	FngFound	found;
	bool		seen;

	if (search->nlater > 0 &&
		(search->candidates.count == 0 ||
		 search->later_least < search->candidates.elements[0].estimate))
	{
		refill_candidates(search);
		if (search->candidates.count == 0)
			return;				/* all had been visited */
	}
	candidate = candidate_heap_pop(&search->candidates);
	entry = visited_insert(search->visited, candidate.id, &seen);
	if (seen)
		return;
	entry->returned = false;
	CHECK_FOR_INTERRUPTS();
	search->expansions++;
	if (visit(search, candidate.id, &found) && is_wanted(search, &found))
		add_found(search, &found);
}

/*
 * Dead nodes lead on, but a scan wants rows.  Upper levels have no rows; and a
 * node that is to be linked takes the dead for neighbours, too: they navigate,
 * and where most nodes are dead the search must not walk the whole graph.
 */
static bool
is_wanted(const FngSearch *search, const FngFound *found)
{
	return search->level > 0 || search->collecting ||
		ItemPointerIsValid(&found->tid) || BlockNumberIsValid(found->tid_chain);
}

/*
 * Raise the bound and move what is below it from later to the heap.
 */
static void
refill_candidates(FngSearch *search)
{
	Size		kept = 0;
	float		least = INFINITY;

	search->bound = Max(bound_of_near(search), search->later_least);
	for (Size i = 0; i < search->nlater; i++)
	{
		Candidate	candidate = search->later[i];

		if (candidate.estimate <= search->bound)
		{
			if (visited_lookup(search->visited, candidate.id) == NULL)
				candidate_heap_push(&search->candidates, candidate);
			continue;
		}
		least = Min(least, candidate.estimate);
		search->later[kept++] = candidate;
	}
	search->nlater = kept;
	search->later_least = least;
}

/* How far a candidate may be to be worth a place in the heap. */
static float
bound_of_near(const FngSearch *search)
{
	float		first;
	float		last;

	if (search->nnear < search->list_size)
		return INFINITY;
	first = (float) search->near[0].score;
	last = (float) search->near[search->nnear - 1].score;
	return last + BOUND_SLACK * (last - first);
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
		found->score = INFINITY;

	score_edges(search, slot, found->score);
	if (node->npending > 0)
		score_pending(search, slot, found->score);
	for (Size i = 0; i < Min(search->candidates.count, 3); i++)
		prefetch_node(search, search->candidates.elements[i].id);
	if (search->collecting)
		remember_visit(search, found, node, value);
	UnlockReleaseBuffer(buffer);
	return true;
}

/*
 * Pin a block, by way of the buffer in which it was last, if it still is
 * there.
 */
static Buffer
read_node_page(FngSearch *search, BlockNumber block)
{
	FngIndex   *index = search->index;

	if (block < index->nhints && BufferIsValid(index->hints[block]) &&
		search->expansions % FULL_READ_EVERY != 0 &&
		ReadRecentBuffer(search->file, MAIN_FORKNUM, block, index->hints[block]))
		return index->hints[block];
	return fng_read_ahead(search, block);
}

/* Note where a block is, for the next time. */
void
fng_remember_buffer(FngIndex *index, BlockNumber block, Buffer buffer)
{
	if (block >= index->nhints)
	{
		BlockNumber n = block + block / 4 + 64;

		if (index->hints == NULL)
			index->hints = MemoryContextAllocHuge(index->context, mul_size(n, sizeof(Buffer)));
		else
			index->hints = repalloc_huge(index->hints, mul_size(n, sizeof(Buffer)));
		memset(index->hints + index->nhints, 0, (n - index->nhints) * sizeof(Buffer));
		index->nhints = n;
	}
	index->hints[block] = buffer;
}

/*
 * Bring a node into the cache if its page is where it last was.  Without a
 * pin the page may be another's by now: then this was in vain.
 */
static void
prefetch_node(FngSearch *search, uint32 id)
{
	const FngLayout *layout = &search->index->layout;
	BlockNumber block = FngIdBlock(layout, id);
	Buffer		buffer;
	const char *slot;

	if (block >= search->index->nhints)
		return;
	buffer = search->index->hints[block];
	if (!BufferIsValid(buffer) || BufferIsLocal(buffer))
		return;
	__builtin_prefetch(GetBufferDescriptor(buffer - 1));
	slot = FngPageSlot(layout, BufferGetBlock(buffer), FngIdSlot(layout, id));
	prefetch_lines(slot, layout->vector_offset);
	if (layout->vector_inline)
		prefetch_lines(slot + layout->vector_offset, layout->vector_bytes);
	prefetch_lines(slot + layout->code_offset, layout->max_degree * layout->row_bytes);
}

static void
prefetch_lines(const char *at, Size nbytes)
{
	Size		n = Min(nbytes / FNG_LINE + 1, PREFETCH_LINES);

	for (Size i = 0; i < n; i++)
		__builtin_prefetch(at + i * FNG_LINE);
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

	*buffer = read_node_page(search, FngIdBlock(layout, id));
	for (;;)
	{
		Page		page = BufferGetPage(*buffer);
		BlockNumber chain;

		LockBuffer(*buffer, BUFFER_LOCK_SHARE);
		*slot = FngPageSlot(layout, page, FngIdSlot(layout, id));
		if (!fng_slot_usable(*slot, search->level))
		{
			UnlockReleaseBuffer(*buffer);
			return false;
		}
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

/* Estimate the neighbours in the columnar blocks. */
static void
score_edges(FngSearch *search, const char *slot, double base)
{
	const FngLayout *layout = &search->index->layout;
	const FngNodeData *node = (const FngNodeData *) slot;
	uint32		degree = Min(node->degree, layout->max_degree);
	uint32		first = 0;
	float		margin = estimate_margin(search, node, base);

	while (first < degree)
	{
		uint32		lanes = fng_block_lanes(layout, first);
		uint32		n = Min(lanes, degree - first);
		const uint16 *mul = FngSlotMul(layout, slot) + first;

		code_score_block(&layout->code, search->code_query,
						 FngSlotCodes(layout, slot) + first * layout->row_bytes,
						 lanes, search->scores);
		code_estimate(n, (float) base, node->mul_scale,
					  FngSlotAdd(layout, slot) + first, mul,
					  search->scores, search->estimates);
		if (margin > 0)
		{
			for (uint32 i = 0; i < n; i++)
				search->estimates[i] -= margin * fabsf(half_to_float(mul[i]));
		}
		add_candidates(search, FngSlotIds(layout, slot) + first, n);
		first += lanes;
	}
}

/* The same for pending rows. */
static void
score_pending(FngSearch *search, const char *slot, double base)
{
	const FngLayout *layout = &search->index->layout;
	const FngNodeData *node = (const FngNodeData *) slot;
	uint32		npending = Min(node->npending, layout->max_pending);
	float		margin = estimate_margin(search, node, base);

	for (uint32 i = 0; i < npending; i++)
	{
		FngPendingData *pending = FngSlotPending(layout, slot, i);
		float		score = code_score_row(&layout->code, search->code_query,
										   FngPendingRow(pending));

		code_estimate(1, (float) base, node->mul_scale, &pending->add, &pending->mul,
					  &score, search->estimates);
		search->estimates[0] -= margin * fabsf(half_to_float(pending->mul));
		add_candidates(search, &pending->id, 1);
	}
}

/*
 * What search_explore_factor takes off an estimate of mul = 1: so many
 * standard errors, each mul_scale * |q - c| * code_error_scale.  Under inner
 * product base is -<c, q>, and c has norm M.
 */
static float
estimate_margin(const FngSearch *search, const FngNodeData *node, double base)
{
	double		squared = base;

	if (search->explore == 0)
		return 0;
	if (search->index->layout.form == CODE_IP)
		squared = search->query_squared + 2 * base +
			(double) search->index->meta.ip_norm * search->index->meta.ip_norm;
	return search->explore * node->mul_scale * (float) sqrt(Max(squared, 0.0));
}

/* Take the nodes of search->estimates as candidates. */
static void
add_candidates(FngSearch *search, const uint32 *ids, uint32 n)
{
	for (uint32 i = 0; i < n; i++)
	{
		Candidate	candidate = {search->estimates[i], ids[i]};

		/* overflow and its NaN: try these last */
		if (unlikely(!(candidate.estimate < FLT_MAX)))
			candidate.estimate = FLT_MAX;
		if (candidate.estimate > search->bound)
			add_later(search, candidate);
		else if (candidate.id != FNG_NO_ID &&
				 visited_lookup(search->visited, candidate.id) == NULL)
			candidate_heap_push(&search->candidates, candidate);
	}
}

static void
add_later(FngSearch *search, Candidate candidate)
{
	if (candidate.id == FNG_NO_ID)
		return;
	if (unlikely(search->nlater == search->later_capacity))
	{
		search->later_capacity *= 2;
		search->later = repalloc_huge(search->later,
									  mul_size(search->later_capacity, sizeof(Candidate)));
	}
	search->later[search->nlater++] = candidate;
	search->later_least = Min(search->later_least, candidate.estimate);
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
	search->bound = Min(search->bound, bound_of_near(search));
}
