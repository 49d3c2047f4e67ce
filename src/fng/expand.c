/*-------------------------------------------------------------------------
 *
 * expand.c
 *	  One step of a graph search: visiting the best candidate.
 *
 * What a step costs is not arithmetic but cache misses (postgres.md section
 * 2.1): the buffer mapping table, the buffer's descriptor, the page.  So the
 * backend remembers the buffer of each block, and the slot of the node that
 * comes next is prefetched before the current one is visited.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "../distance/half.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "search_int.h"
#include "storage/buf_internals.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/*
 * ReadRecentBuffer does not tell the buffer manager that the page is in use
 * (up to 18), so one visit in so many takes the long way.
 */
#define FULL_READ_EVERY		16

static uint32 take_next(FngSearch *search);
static void visit(FngSearch *search, uint32 id);
static void visit_mates(FngSearch *search, Buffer buffer);
static void visit_slot(FngSearch *search, uint32 id, const char *slot, const float *value);
static bool is_wanted(const FngSearch *search, const FngFound *found,
					  const FngNodeData *node);
static Buffer read_node_page(FngSearch *search, BlockNumber block);
static bool lock_node(FngSearch *search, uint32 id, Buffer *buffer, char **slot,
					  const float **value);
static void score_edges(FngSearch *search, const char *slot, float base);
static void score_pending(FngSearch *search, const char *slot, float base);
static void add_candidates(FngSearch *search, const FngNodeData *node, float base,
						   uint32 n, const uint32 *ids, const float *add,
						   const uint16 *mul);
static uint32 subtract_margin(FngSearch *search, float margin, uint32 n,
							  const uint16 *mul, float *estimates);
static float estimate_margin(const FngSearch *search, const FngNodeData *node,
							 double base);
static void remember_visit(FngSearch *search, const FngFound *found,
						   const char *slot, const float *value);
static void add_found(FngSearch *search, const FngFound *found);

/*
 * Where these nodes are will be asked if they come to be visited.
 *
 * This and prefetch_node are inline because gcc takes a function that only
 * prefetches for one without effect, and drops the call.
 */
static pg_attribute_always_inline void
prefetch_hints(const FngSearch *search, const uint32 *ids, uint32 which)
{
	const FngIndex *index = search->index;

	while (which != 0)
	{
		BlockNumber block = FngIdBlock(&index->layout, ids[pg_rightmost_one_pos32(which)]);

		if (block < index->nhints)
			__builtin_prefetch(&index->hints[block]);
		which &= which - 1;
	}
}

/*
 * Bring a node, but for its pending rows, into the cache if its page is where
 * it last was.  Without a pin the page may be another's by now: then this was
 * in vain.
 */
static pg_attribute_always_inline void
prefetch_node(const FngSearch *search, uint32 id)
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
	for (Size at = 0; at < layout->pending_offset; at += FNG_LINE)
		__builtin_prefetch(slot + at);
}

/*
 * Visit the next candidate, if there is one that has not been.  Which comes
 * after it is settled, and its slot on the way to the cache, before the visit
 * begins: the neighbours just found wait for one step, which costs a percent
 * more steps and hides the cache misses of most.  Takes and releases share
 * locks; the caller holds none.
 */
void
fng_expand_best(FngSearch *search)
{
	FngFrontier *frontier = &search->frontier;

	/* what was chosen may be too far by now, and there may be better */
	if (search->has_next && search->nnear == search->list_size &&
		search->next.estimate > search->near[search->nnear - 1].score &&
		search->next.estimate > fng_frontier_least(frontier, search->visited))
	{
		fng_frontier_insert(frontier, search->next);
		search->has_next = false;
	}
	if (!search->has_next &&
		!fng_frontier_pop(frontier, search->visited, true, &search->next))
		return;

	CHECK_FOR_INTERRUPTS();
	visit(search, take_next(search));
}

/* Take the candidate that is next, and settle which comes after it. */
static pg_attribute_always_inline uint32
take_next(FngSearch *search)
{
	FngFrontier *frontier = &search->frontier;
	uint32		id = search->next.id;
	bool		seen;

	visited_insert(search->visited, id, &seen)->returned = false;
	Assert(!seen);
	fng_frontier_forget(frontier, id);
	search->has_next = fng_frontier_pop(frontier, search->visited, false, &search->next);
	if (search->has_next)
		prefetch_node(search, search->next.id);
	search->expansions++;
	return id;
}

/*
 * Visit a node, and with it what is next as long as that is on the same page.
 * An id that leads to no node of this level is skipped.
 */
static void
visit(FngSearch *search, uint32 id)
{
	const FngLayout *layout = &search->index->layout;
	Buffer		buffer;
	char	   *slot;
	const float *value;
	Candidate	best;

	if (!lock_node(search, id, &buffer, &slot, &value))
		return;
	visit_slot(search, id, slot, value);
	if (fng_frontier_peek(&search->frontier, search->visited, false, &best))
		prefetch_node(search, best.id);
	if (unlikely(search->next.id - FngMakeId(layout, search->block, 0) < layout->slots_per_page))
		visit_mates(search, buffer);
	UnlockReleaseBuffer(buffer);
}

/* Visit what is next as long as it is on the page in hand, which is locked. */
static pg_noinline void
visit_mates(FngSearch *search, Buffer buffer)
{
	const FngLayout *layout = &search->index->layout;
	uint32		first = FngMakeId(layout, search->block, 0);

	while (search->has_next && layout->vector_inline &&
		   search->next.id - first < layout->slots_per_page)
	{
		uint32		id = take_next(search);
		char	   *slot = FngPageSlot(layout, BufferGetPage(buffer), id - first);

		if (fng_slot_usable(slot, search->level))
			visit_slot(search, id, slot, FngSlotVector(layout, slot));
	}
}

/* Visit a node whose page is locked: its score, and candidates from its edges. */
static void
visit_slot(FngSearch *search, uint32 id, const char *slot, const float *value)
{
	const FngNodeData *node = (const FngNodeData *) slot;
	FngFound	found;

	found.id = id;
	found.tid = node->tid;
	found.tid_chain = node->link;
	found.score = fng_score(&search->index->layout, search->kernels, search->query,
							search->query_aux, value, node->aux);
	if (isnan(found.score))
		found.score = INFINITY;

	score_edges(search, slot, (float) found.score);
	if (node->npending > 0)
		score_pending(search, slot, (float) found.score);
	if (search->collecting)
		remember_visit(search, &found, slot, value);
	if (is_wanted(search, &found, node))
		add_found(search, &found);
}

/*
 * Dead nodes lead on, but a scan wants rows, and a node that is to be linked
 * wants neighbours that stay.  Upper levels have no rows.
 */
static bool
is_wanted(const FngSearch *search, const FngFound *found, const FngNodeData *node)
{
	if (search->level > 0 || search->collecting)
		return (node->flags & FNG_NODE_LIVE) != 0 || !search->collecting;
	return ItemPointerIsValid(&found->tid) || BlockNumberIsValid(found->tid_chain);
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
 * Lock the node's page for reading and find its vector, which never changes
 * while the slot is in use.
 */
static bool
lock_node(FngSearch *search, uint32 id, Buffer *buffer, char **slot,
		  const float **value)
{
	const FngLayout *layout = &search->index->layout;
	bool		chained = false;

	search->block = FngIdBlock(layout, id);
	*buffer = read_node_page(search, search->block);
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
score_edges(FngSearch *search, const char *slot, float base)
{
	const FngLayout *layout = &search->index->layout;
	const FngNodeData *node = (const FngNodeData *) slot;
	uint32		degree = Min(node->degree, layout->max_degree);
	uint32		first = 0;

	while (first < degree)
	{
		uint32		lanes = fng_block_lanes(layout, first);

		code_score_block(&layout->code, search->code_query,
						 FngSlotCodes(layout, slot) + first * layout->row_bytes,
						 lanes, search->scores);
		add_candidates(search, node, base, Min(lanes, degree - first),
					   FngSlotIds(layout, slot) + first,
					   FngSlotAdd(layout, slot) + first,
					   FngSlotMul(layout, slot) + first);
		first += lanes;
	}
}

/* The same for pending rows. */
static void
score_pending(FngSearch *search, const char *slot, float base)
{
	const FngLayout *layout = &search->index->layout;
	const FngNodeData *node = (const FngNodeData *) slot;
	uint32		npending = Min(node->npending, layout->max_pending);

	for (uint32 i = 0; i < npending; i++)
	{
		FngPendingData *pending = FngSlotPending(layout, slot, i);

		search->scores[0] = code_score_row(&layout->code, search->code_query,
										   FngPendingRow(pending));
		add_candidates(search, node, base, 1, &pending->id, &pending->add,
					   &pending->mul);
	}
}

/*
 * Take n <= CODE_LANES edges, whose scores are known, as candidates.  Most of
 * their estimates are beyond the bound: they go to later without a look.
 */
static void
add_candidates(FngSearch *search, const FngNodeData *node, float base, uint32 n,
			   const uint32 *ids, const float *add, const uint16 *mul)
{
	FngFrontier *frontier = &search->frontier;
	float	   *estimates;
	uint32		below;

	fng_frontier_reserve(frontier);
	estimates = frontier->later_estimates + frontier->nlater;
	below = code_estimate(n, base, node->mul_scale, add, mul, search->scores,
						  frontier->bound, estimates);
	if (search->explore > 0)
		below = subtract_margin(search, estimate_margin(search, node, base), n, mul,
								estimates);
	prefetch_hints(search, ids, below);
	fng_frontier_add_block(frontier, n, ids, below);
}

/* Lessen estimates, and tell which are below the bound then. */
static uint32
subtract_margin(FngSearch *search, float margin, uint32 n, const uint16 *mul,
				float *estimates)
{
	uint32		below = 0;

	for (uint32 i = 0; i < n; i++)
	{
		estimates[i] -= margin * fabsf(half_to_float(mul[i]));
		if (estimates[i] < search->frontier.bound)
			below |= (uint32) 1 << i;
	}
	return below;
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

	if (search->index->layout.form == CODE_IP)
		squared = search->query_squared + 2 * base +
			(double) search->index->meta.ip_norm * search->index->meta.ip_norm;
	return search->explore * node->mul_scale * (float) sqrt(Max(squared, 0.0));
}

/* Keep the node and a copy of its vector for the caller of collect. */
static void
remember_visit(FngSearch *search, const FngFound *found, const char *slot,
			   const float *value)
{
	const FngLayout *layout = &search->index->layout;
	const FngNodeData *node = (const FngNodeData *) slot;
	Page		page = (Page) (slot - (FngPageSlot(layout, slot, FngIdSlot(layout, found->id)) - slot));
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
	at->lsn = PageGetLSN(page);
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
