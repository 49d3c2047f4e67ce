/*-------------------------------------------------------------------------
 *
 * frontier.c
 *	  Where the unexpanded candidates of a graph search wait.
 *
 * An expansion finds some thirty candidates and takes away one, so nearly all
 * are never expanded.  Only as many as are likely to be, by the list of the
 * search, are kept at hand, in "best".  What is farther than all of them goes
 * to an array of leftovers, "later", by the block and without a look, and is
 * looked at if the search comes that far: when a scan asks for many more rows
 * than the list is long.
 *
 * best is in no order.  To find the least of some hundred estimates takes as
 * many vector instructions as there are levels in a heap, and no branch that
 * could be guessed wrong; and to add one costs a store.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>

#include "frontier.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

/*
 * Candidates at hand for a place of the list, and for so many rows that a scan
 * returns.  Half of them may go at any time, and nearly half of the others are
 * of nodes that wait twice.
 */
#define BEST_PER_PLACE	4
#define EXTRA_BEST		16

/* Beyond this many, finding the least costs more than a look at later. */
#define MAX_BEST		2048

static void make_best(FngFrontier *frontier, uint32 max_best);
static void make_later(FngFrontier *frontier, Size more);
static void append_later(FngFrontier *frontier, float estimate, uint32 id);
static void append_best(FngFrontier *frontier, Candidate candidate);
static void remove_best(FngFrontier *frontier, uint32 at);
static void evict_worst(FngFrontier *frontier);
static void keep_equal(FngFrontier *frontier, uint32 nevicted);
static float choose_bound(FngFrontier *frontier);
static float select_least(float *values, uint32 n, uint32 rank);
static void refill(FngFrontier *frontier, visited_hash *visited);

/* Allocate in the current memory context. */
void
fng_frontier_init(FngFrontier *frontier)
{
	memset(frontier, 0, sizeof(*frontier));
	frontier->later_capacity = 4096;
	frontier->later_estimates = palloc(frontier->later_capacity * sizeof(float));
	frontier->later_ids = palloc(frontier->later_capacity * sizeof(uint32));
	frontier->best_capacity = 256;
	frontier->best_estimates = palloc(frontier->best_capacity * sizeof(float));
	frontier->scratch = palloc(frontier->best_capacity * sizeof(float));
	frontier->best_ids = palloc(frontier->best_capacity * sizeof(uint32));
	fng_frontier_reset(frontier, 1);
}

/* Empty it for a search with a list of list_size nodes. */
void
fng_frontier_reset(FngFrontier *frontier, uint32 list_size)
{
	make_best(frontier, BEST_PER_PLACE * (Min(list_size, MAX_BEST) + EXTRA_BEST));
	frontier->nbest = 0;
	frontier->least = FNG_NO_LEAST;
	frontier->nlater = 0;
	frontier->later_least = INFINITY;
	frontier->bound = INFINITY;
	memset(frontier->seen, 0xFF, sizeof(frontier->seen));
}

/* A block more than max_best has room, too. */
static void
make_best(FngFrontier *frontier, uint32 max_best)
{
	frontier->max_best = Min(max_best, MAX_BEST);
	if (frontier->max_best + CODE_LANES <= frontier->best_capacity)
		return;
	frontier->best_capacity = frontier->max_best + CODE_LANES;
	frontier->best_estimates = repalloc(frontier->best_estimates,
										frontier->best_capacity * sizeof(float));
	frontier->scratch = repalloc(frontier->scratch,
								 frontier->best_capacity * sizeof(float));
	frontier->best_ids = repalloc(frontier->best_ids,
								  frontier->best_capacity * sizeof(uint32));
}

/*
 * Make room for a block at the end of later, where its estimates are to be
 * written before fng_frontier_add_block.
 */
void
fng_frontier_reserve(FngFrontier *frontier)
{
	make_later(frontier, CODE_LANES);
}

static void
make_later(FngFrontier *frontier, Size more)
{
	Size		capacity = frontier->later_capacity;

	if (likely(frontier->nlater + more <= capacity))
		return;
	capacity = Max(2 * capacity, frontier->nlater + more);
	frontier->later_estimates = repalloc_huge(frontier->later_estimates,
											  mul_size(capacity, sizeof(float)));
	frontier->later_ids = repalloc_huge(frontier->later_ids,
										mul_size(capacity, sizeof(uint32)));
	frontier->later_capacity = capacity;
}

/*
 * Add n <= CODE_LANES nodes whose estimates are at the end of later; those of
 * "below" are below the bound, and come to hand unless they have been visited.
 */
void
fng_frontier_add_block(FngFrontier *frontier, uint32 n, const uint32 *ids,
					   uint32 below)
{
	const float *estimates = frontier->later_estimates + frontier->nlater;
	uint32	   *later_ids = frontier->later_ids + frontier->nlater;
	uint32		nbest = frontier->nbest;

	memcpy(later_ids, ids, n * sizeof(uint32));
	frontier->nlater += n;
	frontier->later_least = Min(frontier->later_least, frontier->bound);

	if (below == 0)
		return;
	while (below != 0)
	{
		uint32		i = pg_rightmost_one_pos32(below);
		uint32		id = later_ids[i];

		below &= below - 1;
		later_ids[i] = FNG_NO_ID;
		frontier->best_estimates[nbest] = estimates[i];
		frontier->best_ids[nbest] = id;
		nbest += frontier->seen[fng_seen_place(id)] != id;
	}
	frontier->nbest = nbest;
	frontier->least = FNG_NO_LEAST;
	if (nbest > frontier->max_best)
		evict_worst(frontier);
}

/* Add one candidate. */
void
fng_frontier_insert(FngFrontier *frontier, Candidate candidate)
{
	if (candidate.estimate < frontier->bound)
		append_best(frontier, candidate);
	else
		append_later(frontier, candidate.estimate, candidate.id);
}

static void
append_best(FngFrontier *frontier, Candidate candidate)
{
	frontier->best_estimates[frontier->nbest] = candidate.estimate;
	frontier->best_ids[frontier->nbest++] = candidate.id;
	frontier->least = FNG_NO_LEAST;
	if (frontier->nbest > frontier->max_best)
		evict_worst(frontier);
}

static void
append_later(FngFrontier *frontier, float estimate, uint32 id)
{
	make_later(frontier, 1);
	frontier->later_estimates[frontier->nlater] = estimate;
	frontier->later_ids[frontier->nlater++] = id;
	frontier->later_least = Min(frontier->later_least, estimate);
}

/*
 * Move about the worse half of best to later, and lower the bound.  No branch
 * here depends on an estimate.
 */
static void
evict_worst(FngFrontier *frontier)
{
	float		bound = choose_bound(frontier);
	float	   *later_estimates;
	uint32	   *later_ids;
	uint32		nkept = 0;
	uint32		nevicted = 0;

	make_later(frontier, frontier->nbest);
	later_estimates = frontier->later_estimates + frontier->nlater;
	later_ids = frontier->later_ids + frontier->nlater;
	for (uint32 i = 0; i < frontier->nbest; i++)
	{
		float		estimate = frontier->best_estimates[i];
		uint32		id = frontier->best_ids[i];
		bool		evicted = estimate >= bound;

		later_estimates[nevicted] = estimate;
		later_ids[nevicted] = id;
		frontier->best_estimates[nkept] = estimate;
		frontier->best_ids[nkept] = id;
		nevicted += evicted;
		nkept += !evicted;
	}
	frontier->least = FNG_NO_LEAST;
	frontier->nbest = nkept;
	frontier->nlater += nevicted;
	frontier->later_least = Min(frontier->later_least, bound);
	frontier->bound = bound;
	if (unlikely(nkept == 0))
		keep_equal(frontier, nevicted);
}

/*
 * All of the nevicted last of later were at hand, and none is less than the
 * bound: bring half back, of those that are equal to it.
 */
static void
keep_equal(FngFrontier *frontier, uint32 nevicted)
{
	Size		kept = frontier->nlater - nevicted;

	for (Size i = kept; i < frontier->nlater; i++)
	{
		float		estimate = frontier->later_estimates[i];
		uint32		id = frontier->later_ids[i];

		if (estimate <= frontier->bound && frontier->nbest < nevicted / 2)
		{
			frontier->best_estimates[frontier->nbest] = estimate;
			frontier->best_ids[frontier->nbest++] = id;
		}
		else
		{
			frontier->later_estimates[kept] = estimate;
			frontier->later_ids[kept++] = id;
		}
	}
	frontier->nlater = kept;
}

/*
 * A bound that takes between a quarter and three quarters of what is at hand:
 * most often the mean will do.
 */
static float
choose_bound(FngFrontier *frontier)
{
	const float *estimates = frontier->best_estimates;
	uint32		n = frontier->nbest;
	uint32		nbelow = 0;
	float		sums[4] = {0, 0, 0, 0};
	float		mean;

	for (uint32 i = 0; i + 4 <= n; i += 4)
	{
		for (int k = 0; k < 4; k++)
			sums[k] += estimates[i + k];
	}
	mean = (sums[0] + sums[1] + sums[2] + sums[3]) / (n - n % 4);
	for (uint32 i = 0; i < n; i++)
		nbelow += estimates[i] < mean;
	if (nbelow >= n / 4 && nbelow <= n - n / 4)
		return mean;

	memcpy(frontier->scratch, estimates, n * sizeof(float));
	return select_least(frontier->scratch, n, n / 2);
}

/* The value of a rank, 0 the least, among n > rank (quickselect). */
static float
select_least(float *values, uint32 n, uint32 rank)
{
	uint32		low = 0;
	uint32		high = n - 1;

	while (low < high)
	{
		float		pivot = values[low + (high - low) / 2];
		uint32		i = low;
		uint32		j = high;

		for (;;)
		{
			float		swap;

			while (values[i] < pivot)
				i++;
			while (values[j] > pivot)
				j--;
			if (i >= j)
				break;
			swap = values[i];
			values[i++] = values[j];
			values[j--] = swap;
		}
		if (rank <= j)
			high = j;
		else
			low = j + 1;
	}
	return values[rank];
}

/*
 * Tell the unvisited candidate of the least estimate.  Returns false if there
 * is none, or, unless the search depends on it, if that would take a look at
 * those of later.
 */
bool
fng_frontier_peek(FngFrontier *frontier, visited_hash *visited, bool depends,
				  Candidate *candidate)
{
	while (frontier->least == FNG_NO_LEAST)
	{
		uint32		at;

		if (frontier->nbest == 0)
		{
			if (!depends || frontier->nlater == 0)
				return false;
			refill(frontier, visited);
			continue;
		}
		at = code_least(frontier->nbest, frontier->best_estimates);
		if (visited_lookup(visited, frontier->best_ids[at]) == NULL)
			frontier->least = at;
		else
			remove_best(frontier, at);
	}
	candidate->estimate = frontier->best_estimates[frontier->least];
	candidate->id = frontier->best_ids[frontier->least];
	return true;
}

/* Take that candidate away. */
bool
fng_frontier_pop(FngFrontier *frontier, visited_hash *visited, bool depends,
				 Candidate *candidate)
{
	if (!fng_frontier_peek(frontier, visited, depends, candidate))
		return false;
	remove_best(frontier, frontier->least);
	return true;
}

static void
remove_best(FngFrontier *frontier, uint32 at)
{
	frontier->nbest--;
	frontier->best_estimates[at] = frontier->best_estimates[frontier->nbest];
	frontier->best_ids[at] = frontier->best_ids[frontier->nbest];
	frontier->least = FNG_NO_LEAST;
}

/*
 * Bring the best of later to hand, twice as many as before: this scan goes
 * far.
 */
static void
refill(FngFrontier *frontier, visited_hash *visited)
{
	Size		nlater = frontier->nlater;
	Size		kept = 0;
	float		least = INFINITY;

	make_best(frontier, 2 * frontier->max_best);
	frontier->bound = INFINITY;
	frontier->later_least = INFINITY;
	for (Size i = 0; i < nlater; i++)
	{
		Candidate	candidate = {frontier->later_estimates[i], frontier->later_ids[i]};

		if (candidate.id == FNG_NO_ID)
			continue;
		/* overflow and its NaN: try these last */
		if (unlikely(!(candidate.estimate < FLT_MAX)))
			candidate.estimate = FLT_MAX;
		if (candidate.estimate < frontier->bound)
		{
			if (visited_lookup(visited, candidate.id) == NULL)
				append_best(frontier, candidate);
			continue;
		}
		least = Min(least, candidate.estimate);
		frontier->later_estimates[kept] = candidate.estimate;
		frontier->later_ids[kept++] = candidate.id;
	}

	/* close the gap before what was evicted meanwhile */
	memmove(frontier->later_estimates + kept, frontier->later_estimates + nlater,
			(frontier->nlater - nlater) * sizeof(float));
	memmove(frontier->later_ids + kept, frontier->later_ids + nlater,
			(frontier->nlater - nlater) * sizeof(uint32));
	frontier->nlater = kept + (frontier->nlater - nlater);
	frontier->later_least = Min(frontier->later_least, least);
}
