/*-------------------------------------------------------------------------
 *
 * nndescent.c
 *	  Refinement of the pools: a neighbour of a neighbour is likely a
 *	  neighbour.
 *
 * NN-descent (Dong, Charikar, Li: Efficient k-nearest neighbor graph
 * construction, WWW 2011) with new/old flags.  In each round a node samples
 * its nearest candidates, those not joined before as new, the others as old;
 * the samples are reversed by counting sort; and the local join of a node
 * compares its new with its new and old samples, both directions, as one
 * block of products.  Pairs that would enter a pool are buffered and merged
 * sorted by target, so that joining reads only what the round began with and
 * each pool is written in one place.
 *
 * Rounds end when the recall of the pools on the control nodes is high enough
 * or hardly grows.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "graph_int.h"

/* Samples of each kind per node, and as many again from the reverse side */
#define DESCENT_SAMPLES		16
#define DESCENT_LIST		(2 * DESCENT_SAMPLES)

#define DESCENT_MAX_ROUNDS	8
#define DESCENT_RECALL		0.90	/* good enough */
#define DESCENT_GAIN		0.01	/* not worth another round */

/* Updates that are buffered before they are merged */
#define DESCENT_BUFFER		(UINT32_C(1) << 20)

typedef struct DescentUpdate
{
	uint32_t	target;
	uint32_t	node;
	float		dist;
} DescentUpdate;

/* Lists of sampled neighbours: forward n x SAMPLES, reverse in CSR form */
typedef struct DescentLists
{
	uint32_t   *forward;
	uint8_t    *count;
	uint32_t   *reverse;
	uint32_t   *start;			/* n + 1 */
} DescentLists;

typedef struct Descent
{
	GraphSpace *space;
	GraphPools *pools;
	uint64_t	seed;
	DescentLists fresh;			/* new */
	DescentLists old;
	float	   *worst;			/* a nearer candidate enters the pool */
	DescentUpdate *updates;
	uint32_t	nupdates;
	uint32_t	buffer;			/* capacity of updates */
	uint32_t   *offset;			/* n + 1, of the counting sort */
	GraphEntry *sorted;			/* updates by target */
	GraphEntry *scratch;
	GraphSet   *set;
	float	   *origin;
	float	   *rows;			/* 2 LIST x width */
	float		norms[2 * DESCENT_LIST];
	float		dist[DESCENT_LIST * 2 * DESCENT_LIST];
	uint64_t	merged;			/* updates that entered a pool */
} Descent;

static void
lists_alloc(const GraphHost *host, DescentLists *lists, uint32_t n)
{
	lists->forward = graph_alloc(host, (size_t) n * DESCENT_SAMPLES,
								 sizeof(uint32_t));
	lists->reverse = graph_alloc(host, (size_t) n * DESCENT_SAMPLES,
								 sizeof(uint32_t));
	lists->count = graph_alloc(host, n, sizeof(uint8_t));
	lists->start = graph_alloc(host, (size_t) n + 1, sizeof(uint32_t));
}

static void
lists_release(const GraphHost *host, DescentLists *lists)
{
	graph_release(host, lists->start);
	graph_release(host, lists->count);
	graph_release(host, lists->reverse);
	graph_release(host, lists->forward);
}

/*
 * Sample every pool: the nearest new candidates, which become old, and the
 * nearest old ones.
 */
static void
descent_sample(Descent *st)
{
	GraphPools *pools = st->pools;
	uint32_t	node;
	uint32_t	i;

	for (node = 0; node < st->space->n; node++)
	{
		GraphEntry *pool = pools->entries + (size_t) node * pools->capacity;
		uint32_t   *fresh = st->fresh.forward + (size_t) node * DESCENT_SAMPLES;
		uint32_t   *old = st->old.forward + (size_t) node * DESCENT_SAMPLES;
		uint32_t	count = pools->count[node];
		uint32_t	nfresh = 0;
		uint32_t	nold = 0;

		st->worst[node] = graph_pool_worst(pools, node);
		for (i = 0; i < count; i++)
		{
			if (pool[i] & GRAPH_NEW_FLAG)
			{
				if (nfresh == DESCENT_SAMPLES)
					break;
				fresh[nfresh++] = graph_entry_node(pool[i]);
				pool[i] &= ~GRAPH_NEW_FLAG;
			}
			else if (nold < DESCENT_SAMPLES)
				old[nold++] = graph_entry_node(pool[i]);
		}
		st->fresh.count[node] = (uint8_t) nfresh;
		st->old.count[node] = (uint8_t) nold;
		graph_work(st->space, 128);
	}
}

/*
 * Reverse the sampled lists (counting sort by target).
 */
static void
descent_reverse(GraphSpace *space, DescentLists *lists)
{
	uint32_t	n = space->n;
	uint32_t	node;
	uint32_t	i;

	memset(lists->start, 0, ((size_t) n + 1) * sizeof(uint32_t));
	for (node = 0; node < n; node++)
		for (i = 0; i < lists->count[node]; i++)
			lists->start[lists->forward[(size_t) node * DESCENT_SAMPLES + i]]++;
	for (node = 1; node <= n; node++)
		lists->start[node] += lists->start[node - 1];
	/* filling from the end leaves start[] at the starts */
	for (node = n; node-- > 0;)
	{
		for (i = 0; i < lists->count[node]; i++)
		{
			uint32_t	target =
			lists->forward[(size_t) node * DESCENT_SAMPLES + i];

			lists->reverse[--lists->start[target]] = node;
		}
		graph_work(space, 256);
	}
}

/*
 * The samples of a node in both directions, without repetitions and without
 * members of the set; too many reverse ones are thinned at random.
 */
static uint32_t
descent_collect(Descent *st, const DescentLists *lists, uint32_t node,
				uint32_t *out)
{
	const uint32_t *forward = lists->forward + (size_t) node * DESCENT_SAMPLES;
	const uint32_t *reverse = lists->reverse + lists->start[node];
	uint32_t	nreverse = lists->start[node + 1] - lists->start[node];
	uint64_t	random = st->seed ^ node;
	uint32_t	n = 0;
	uint32_t	i;

	for (i = 0; i < lists->count[node]; i++)
		if (graph_set_add(st->set, forward[i]))
			out[n++] = forward[i];
	if (nreverse <= DESCENT_SAMPLES)
	{
		for (i = 0; i < nreverse; i++)
			if (graph_set_add(st->set, reverse[i]))
				out[n++] = reverse[i];
	}
	else
		for (i = 0; i < DESCENT_SAMPLES; i++)
		{
			uint32_t	pick = reverse[graph_random_below(&random, nreverse)];

			if (graph_set_add(st->set, pick))
				out[n++] = pick;
		}
	return n;
}

/*
 * Merge the buffered updates into the pools, target by target.
 */
static void
descent_flush(Descent *st)
{
	uint32_t	n = st->space->n;
	uint32_t	node;
	uint32_t	i;

	if (st->nupdates == 0)
		return;
	memset(st->offset, 0, ((size_t) n + 1) * sizeof(uint32_t));
	for (i = 0; i < st->nupdates; i++)
		st->offset[st->updates[i].target]++;
	graph_work(st->space, 4 * (uint64_t) st->nupdates);
	for (node = 1; node <= n; node++)
		st->offset[node] += st->offset[node - 1];
	for (i = st->nupdates; i-- > 0;)
	{
		const DescentUpdate *update = &st->updates[i];

		st->sorted[--st->offset[update->target]] =
			graph_entry_make(update->dist, update->node) | GRAPH_NEW_FLAG;
		graph_work(st->space, 8);
	}
	for (node = 0; node < n; node++)
	{
		uint32_t	end = node + 1 < n ? st->offset[node + 1] : st->nupdates;
		GraphPools *pools = st->pools;

		for (i = st->offset[node]; i < end; i += GRAPH_FRESH_MAX)
			st->merged += graph_pool_merge(pools, node, st->sorted + i,
										   GRAPH_MIN(GRAPH_FRESH_MAX, end - i),
										   st->scratch, st->set);
		st->worst[node] = graph_pool_worst(pools, node);
		graph_work(st->space, 64 + 16 * (end - st->offset[node]));
	}
	st->nupdates = 0;
}

static inline void
descent_update(Descent *st, uint32_t target, uint32_t node, float dist)
{
	DescentUpdate *update = &st->updates[st->nupdates++];

	update->target = target;
	update->node = node;
	update->dist = dist;
}

/*
 * Compare the new samples of a node with its new and old ones; pairs that
 * enter a pool go to the buffer.
 */
static void
descent_join(Descent *st, uint32_t node)
{
	GraphSpace *space = st->space;
	uint32_t	nodes[2 * DESCENT_LIST];
	uint32_t	hits[2 * DESCENT_LIST];
	float		worst[2 * DESCENT_LIST];
	uint32_t	nfresh;
	uint32_t	n;
	uint32_t	i;
	uint32_t	j;

	graph_set_clear(st->set);
	graph_set_add(st->set, node);
	nfresh = descent_collect(st, &st->fresh, node, nodes);
	if (nfresh == 0)
		return;
	n = nfresh + descent_collect(st, &st->old, node, nodes + nfresh);
	graph_load(space, graph_row(space, node), NULL, st->origin);
	graph_gather(space, st->origin, nodes, n, st->rows, st->norms);
	graph_products(space, st->rows, nfresh, st->rows, n, st->dist,
				   2 * DESCENT_LIST);
	for (i = 0; i < n; i++)
		worst[i] = st->worst[nodes[i]];
	if (st->nupdates + 2 * nfresh * n > st->buffer)
		descent_flush(st);
	for (i = 0; i < nfresh; i++)
	{
		float	   *dist = st->dist + i * 2 * DESCENT_LIST;
		uint32_t	nhits = graph_near(dist, st->norms[i], st->norms,
									   worst[i], worst, n, hits);

		for (j = 0; j < nhits; j++)
		{
			uint32_t	other = hits[j];

			/* two new nodes meet twice, here and in the other's row */
			if (other <= i)
				continue;
			if (dist[other] < worst[i])
				descent_update(st, nodes[i], nodes[other], dist[other]);
			if (dist[other] < worst[other])
				descent_update(st, nodes[other], nodes[i], dist[other]);
		}
	}
}

static void
descent_init(Descent *st, GraphSpace *space, uint64_t seed, GraphPools *pools)
{
	const GraphHost *host = space->host;
	uint32_t	n = space->n;

	memset(st, 0, sizeof(Descent));
	st->space = space;
	st->pools = pools;
	st->seed = seed;
	lists_alloc(host, &st->fresh, n);
	lists_alloc(host, &st->old, n);
	st->worst = graph_alloc(host, n, sizeof(float));
	st->buffer = DESCENT_BUFFER;
	st->updates = graph_alloc(host, st->buffer, sizeof(DescentUpdate));
	st->sorted = graph_alloc(host, st->buffer, sizeof(GraphEntry));
	st->offset = graph_alloc(host, (size_t) n + 1, sizeof(uint32_t));
	st->scratch = graph_alloc(host, GRAPH_FRESH_MAX, sizeof(GraphEntry));
	st->set = graph_alloc(host, 1, sizeof(GraphSet));
	memset(st->set, 0, sizeof(GraphSet));
	st->origin = graph_alloc(host, space->width, sizeof(float));
	st->rows = graph_alloc(host, (size_t) 2 * DESCENT_LIST * space->width,
						   sizeof(float));
}

static void
descent_end(Descent *st)
{
	const GraphHost *host = st->space->host;

	graph_release(host, st->rows);
	graph_release(host, st->origin);
	graph_release(host, st->set);
	graph_release(host, st->scratch);
	graph_release(host, st->offset);
	graph_release(host, st->sorted);
	graph_release(host, st->updates);
	graph_release(host, st->worst);
	lists_release(host, &st->old);
	lists_release(host, &st->fresh);
	graph_release(host, st);
}

/*
 * Refine pools that hold first neighbours, at least two nodes.
 */
void
graph_nn_descent(GraphSpace *space, uint64_t seed,
				 const GraphControls *controls, GraphPools *pools)
{
	Descent    *st = graph_alloc(space->host, 1, sizeof(Descent));
	double		recall;
	uint32_t	round;
	uint32_t	node;

	descent_init(st, space, seed, pools);
	recall = graph_controls_recall(controls, pools);
	for (round = 0; round < DESCENT_MAX_ROUNDS; round++)
	{
		double		before = recall;

		/* one round always: it smooths what partitions leave uneven */
		if (round > 0 && recall >= DESCENT_RECALL)
			break;
		descent_sample(st);
		descent_reverse(space, &st->fresh);
		descent_reverse(space, &st->old);
		for (node = 0; node < space->n; node++)
		{
			descent_join(st, node);
			space->done++;
		}
		descent_flush(st);
		recall = graph_controls_recall(controls, pools);
		if (recall < before + DESCENT_GAIN)
			break;
	}
	descent_end(st);
}

/*
 * Peak memory, in bytes.
 */
size_t
graph_nn_descent_memory(uint32_t n, uint32_t dim)
{
	size_t		row = (size_t) graph_align(dim) * sizeof(float);
	size_t		lists = 2 * (2 * DESCENT_SAMPLES * sizeof(uint32_t) +
							 sizeof(uint8_t) + sizeof(uint32_t));

	return (size_t) n * (lists + sizeof(float) + sizeof(uint32_t)) +
		(size_t) DESCENT_BUFFER * (sizeof(DescentUpdate) + sizeof(GraphEntry)) +
		(2 * DESCENT_LIST + 1) * row +
		sizeof(Descent) + sizeof(GraphSet) + 256 * 1024;
}
