/*-------------------------------------------------------------------------
 *
 * team.c
 *	  What the processes of a team need of each other: barriers, small
 *	  exchanges, loops whose turns are claimed, progress.
 *
 * All processes run the same code over the same arguments.  Nothing decides
 * differently in two of them about what to allocate in shared memory or where
 * to wait: what depends on results is decided from results that all of them
 * have.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "graph_int.h"

/* Chunks of a loop that each process claims at least, so that all end alike */
#define LOOP_CHUNKS		64

/*
 * Add what this process has done to the progress of the team.
 */
static void
add_progress(GraphSpace *space)
{
	if (space->done > 0)
		__atomic_fetch_add(&space->team->done.value, space->done,
						   __ATOMIC_RELAXED);
	space->done = 0;
}

/*
 * Wait for all; their writes are visible afterwards.
 */
void
graph_barrier(GraphSpace *space)
{
	add_progress(space);
	space->host->barrier(space->host->arg);
}

/*
 * Let the host handle interrupts and see the progress.
 */
void
graph_ask_host(GraphSpace *space)
{
	const GraphHost *host = space->host;

	space->work = 0;
	host->check_interrupts(host->arg);
	add_progress(space);
	if (host->rank == 0)
		host->progress(host->arg, space->phase,
					   __atomic_load_n(&space->team->done.value,
									   __ATOMIC_RELAXED) - space->begun,
					   space->total);
}

/*
 * Start a phase, after a barrier: from here on progress counts up to total.
 * Others may have begun it already; what they did by now goes uncounted.
 */
void
graph_begin(GraphSpace *space, GraphPhase phase, uint64_t total)
{
	const GraphHost *host = space->host;

	add_progress(space);
	space->begun = __atomic_load_n(&space->team->done.value,
								   __ATOMIC_RELAXED);
	space->phase = phase;
	space->total = total;
	if (host->rank == 0)
		host->progress(host->arg, phase, 0, total);
}

/*
 * Give size bytes to all and get those of all, in order of rank.  To be
 * ended by graph_exchange_end() when they have been read.
 */
void *
graph_exchange(GraphSpace *space, const void *mine, size_t size)
{
	const GraphHost *host = space->host;
	char	   *all = graph_alloc_shared(host, host->size, size);

	memcpy(all + host->rank * size, mine, size);
	graph_barrier(space);
	return all;
}

void
graph_exchange_end(GraphSpace *space, void *all)
{
	graph_barrier(space);
	graph_release_shared(space->host, all);
}

/*
 * Begin a loop over 0 .. n - 1.  There must be a barrier between its last
 * turn and the begin of the next loop: process 0 then zeroes the counter of
 * the loop after that.
 */
void
graph_loop_begin(GraphSpace *space, GraphLoop *loop, uint32_t n)
{
	GraphCounter *claims = space->team->claims;
	uint32_t	chunk = n / (LOOP_CHUNKS * space->host->size);

	loop->claimed = &claims[space->nloops++ & 1].value;
	loop->n = n;
	loop->chunk = GRAPH_MAX(1, GRAPH_MIN(chunk, GRAPH_CHUNK));
	loop->next = 0;
	loop->end = 0;
	if (space->host->rank == 0)
		__atomic_store_n(&claims[space->nloops & 1].value, 0,
						 __ATOMIC_RELAXED);
}

/*
 * Claim the next chunk; false if all are taken.
 */
bool
graph_loop_claim(GraphLoop *loop)
{
	size_t		first = __atomic_fetch_add(loop->claimed, loop->chunk,
										   __ATOMIC_RELAXED);

	if (first >= loop->n)
		return false;
	loop->next = (uint32_t) first;
	loop->end = (uint32_t) GRAPH_MIN(first + loop->chunk, loop->n);
	return true;
}
