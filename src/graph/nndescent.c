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
 * A team goes on in steps: each process joins nodes that it claims and fills
 * its buffer, until one buffer is full; then each merges, from the buffers
 * of all, what is for the nodes of its share.
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

/* Updates that the team buffers before they are merged: at most, per node */
#define DESCENT_BUFFER		(UINT32_C(1) << 20)
#define DESCENT_PER_NODE	8

/* Updates of one node at most */
#define DESCENT_MOST		(2 * DESCENT_LIST * 2 * DESCENT_LIST)

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

/* What a process tells the others at the end of a step */
typedef struct DescentReport
{
	uint32_t	nupdates;
	bool		more;			/* there are nodes that it has not joined */
} DescentReport;

/* The arrays are shared, down to sorted. */
typedef struct Descent
{
	GraphSpace *space;
	GraphPools *pools;
	uint64_t	seed;
	DescentLists fresh;			/* new */
	DescentLists old;
	float	   *worst;			/* a nearer candidate enters the pool */
	DescentUpdate *buffers;		/* room for so many updates per process */
	uint32_t	room;
	DescentReport *reports;		/* one per process */
	uint32_t   *full;			/* number of the last step that a buffer ended */
	GraphEntry *sorted;			/* updates by target */
	DescentUpdate *updates;		/* the buffer of this process */
	uint32_t	nupdates;
	uint32_t	step;
	uint32_t	first;			/* the share of this process: first .. end - 1 */
	uint32_t	end;
	uint32_t   *offset;			/* of the counting sort, per node of it */
	GraphEntry *scratch;
	GraphSet   *set;
	GraphBlock	block;			/* what a join compares */
	float		dist[DESCENT_LIST * 2 * DESCENT_LIST];
} Descent;

static void
lists_alloc(const GraphHost *host, DescentLists *lists, uint32_t n)
{
	lists->forward = graph_alloc_shared(host, (size_t) n * DESCENT_SAMPLES,
										sizeof(uint32_t));
	lists->reverse = graph_alloc_shared(host, (size_t) n * DESCENT_SAMPLES,
										sizeof(uint32_t));
	lists->count = graph_alloc_shared(host, n, sizeof(uint8_t));
	lists->start = graph_alloc_shared(host, (size_t) n + 1, sizeof(uint32_t));
}

static void
lists_release(const GraphHost *host, DescentLists *lists)
{
	graph_release_shared(host, lists->start);
	graph_release_shared(host, lists->count);
	graph_release_shared(host, lists->reverse);
	graph_release_shared(host, lists->forward);
}

/*
 * Sample the pools of the share: the nearest new candidates, which become
 * old, and the nearest old ones.
 */
static void
descent_sample(Descent *st)
{
	GraphPools *pools = st->pools;
	uint32_t	node;
	uint32_t	i;

	for (node = st->first; node < st->end; node++)
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
	graph_barrier(st->space);
}

/*
 * Reverse the sampled lists (counting sort by target).  Every process looks
 * at all lists for the targets of its share: to read in order is cheap.
 */
static void
descent_reverse(Descent *st, DescentLists *lists)
{
	GraphSpace *space = st->space;
	uint32_t   *start = lists->start + st->first;
	uint32_t	share = st->end - st->first;
	uint32_t	n = space->n;
	uint32_t	before = 0;		/* samples of nodes before the share */
	uint32_t	node;
	uint32_t	i;

	memset(start, 0, share * sizeof(uint32_t));
	for (node = 0; node < n; node++)
	{
		const uint32_t *list = lists->forward + (size_t) node * DESCENT_SAMPLES;

		for (i = 0; i < lists->count[node]; i++)
		{
			before += list[i] < st->first;
			if (list[i] - st->first < share)
				start[list[i] - st->first]++;
		}
		graph_work(space, 128);
	}
	for (i = 0; i < share; i++)
	{
		before += start[i];
		start[i] = before;
	}
	if (st->end == n)
		lists->start[n] = before;
	/* filling from the end leaves start[] at the starts */
	for (node = n; node-- > 0;)
	{
		const uint32_t *list = lists->forward + (size_t) node * DESCENT_SAMPLES;

		for (i = 0; i < lists->count[node]; i++)
			if (list[i] - st->first < share)
				lists->reverse[--start[list[i] - st->first]] = node;
		graph_work(space, 128);
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
 * Sort the updates for the share by target (counting sort): those of node i
 * of the share go to sorted[offset[i] .. offset[i + 1]).
 */
static void
descent_sort(Descent *st)
{
	uint32_t	size = st->space->host->size;
	uint32_t	share = st->end - st->first;
	uint32_t	before = 0;		/* updates for nodes before the share */
	uint32_t	rank;
	uint32_t	i;

	memset(st->offset, 0, ((size_t) share + 1) * sizeof(uint32_t));
	for (rank = 0; rank < size; rank++)
	{
		const DescentUpdate *updates = st->buffers + (size_t) rank * st->room;

		for (i = 0; i < st->reports[rank].nupdates; i++)
		{
			before += updates[i].target < st->first;
			if (updates[i].target - st->first < share)
				st->offset[updates[i].target - st->first]++;
		}
		graph_work(st->space, 4 * (uint64_t) st->reports[rank].nupdates);
	}
	for (i = 0; i <= share; i++)
	{
		before += st->offset[i];
		st->offset[i] = before;
	}
	for (rank = size; rank-- > 0;)
	{
		const DescentUpdate *updates = st->buffers + (size_t) rank * st->room;

		for (i = st->reports[rank].nupdates; i-- > 0;)
		{
			const DescentUpdate *update = &updates[i];

			if (update->target - st->first < share)
				st->sorted[--st->offset[update->target - st->first]] =
					graph_entry_make(update->dist, update->node) |
					GRAPH_NEW_FLAG;
			graph_work(st->space, 8);
		}
	}
}

/*
 * End a step: merge the buffered updates into the pools, target by target.
 * False if no process has nodes left to join.
 */
static bool
descent_flush(Descent *st, bool more)
{
	GraphSpace *space = st->space;
	DescentReport *report = &st->reports[space->host->rank];
	bool		any = false;
	uint32_t	node;
	uint32_t	i;

	report->nupdates = st->nupdates;
	report->more = more;
	graph_barrier(space);
	for (i = 0; i < space->host->size; i++)
		any |= st->reports[i].more;
	descent_sort(st);
	for (node = st->first; node < st->end; node++)
	{
		const uint32_t *offset = st->offset + (node - st->first);

		for (i = offset[0]; i < offset[1]; i += GRAPH_FRESH_MAX)
			graph_pool_merge(st->pools, node, st->sorted + i,
							 GRAPH_MIN(GRAPH_FRESH_MAX, offset[1] - i),
							 st->scratch, st->set);
		st->worst[node] = graph_pool_worst(st->pools, node);
		graph_work(space, 64 + 16 * (offset[1] - offset[0]));
	}
	graph_barrier(space);
	st->nupdates = 0;
	st->step++;
	return any;
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
 * enter a pool go to the buffer.  False if there may be no room for them.
 */
static bool
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
		return true;
	n = nfresh + descent_collect(st, &st->old, node, nodes + nfresh);
	if (st->nupdates + 2 * nfresh * n > st->room)
		return false;
	graph_set_origin(space, &st->block, node);
	graph_gather(space, &st->block, nodes, n);
	graph_products(space, &st->block, 0, nfresh, &st->block, 0, n, st->dist,
				   2 * DESCENT_LIST);
	for (i = 0; i < n; i++)
		worst[i] = st->worst[nodes[i]];
	for (i = 0; i < nfresh; i++)
	{
		float	   *dist = st->dist + i * 2 * DESCENT_LIST;
		uint32_t	nhits = graph_near(space, dist, &st->block, i, n,
									   worst[i], worst, hits);

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
	return true;
}

/*
 * Join all nodes.  A step ends for all when the first buffer is full.
 */
static void
descent_round(Descent *st)
{
	GraphLoop	loop;
	uint32_t	node = GRAPH_NO_NODE;
	bool		more = true;

	graph_loop_begin(st->space, &loop, st->space->n);
	do
	{
		while (more &&
			   __atomic_load_n(st->full, __ATOMIC_RELAXED) <= st->step)
		{
			if (node == GRAPH_NO_NODE)
				more = graph_loop_next(&loop, &node);
			else if (descent_join(st, node))
			{
				st->space->done++;
				node = GRAPH_NO_NODE;
			}
			else
				__atomic_store_n(st->full, st->step + 1, __ATOMIC_RELAXED);
		}
	} while (descent_flush(st, more));
}

/* Updates that one process buffers */
static uint32_t
buffer_room(uint32_t n, uint32_t size)
{
	uint64_t	room = GRAPH_MIN((uint64_t) n * DESCENT_PER_NODE,
								 DESCENT_BUFFER);

	return GRAPH_MAX((uint32_t) room / size, 2 * DESCENT_MOST);
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
	st->end = n;
	graph_share(space, &st->first, &st->end);
	lists_alloc(host, &st->fresh, n);
	lists_alloc(host, &st->old, n);
	st->worst = graph_alloc_shared(host, n, sizeof(float));
	st->room = buffer_room(n, host->size);
	st->buffers = graph_alloc_shared(host, (size_t) host->size * st->room,
									 sizeof(DescentUpdate));
	st->reports = graph_alloc_shared(host, host->size, sizeof(DescentReport));
	st->full = graph_alloc_shared(host, 1, sizeof(uint32_t));
	st->sorted = graph_alloc_shared(host, (size_t) host->size * st->room,
									sizeof(GraphEntry));
	st->updates = st->buffers + (size_t) host->rank * st->room;
	if (host->rank == 0)
		*st->full = 0;
	st->offset = graph_alloc(host, (size_t) st->end - st->first + 1,
							 sizeof(uint32_t));
	st->scratch = graph_alloc(host, GRAPH_FRESH_MAX, sizeof(GraphEntry));
	st->set = graph_alloc(host, 1, sizeof(GraphSet));
	memset(st->set, 0, sizeof(GraphSet));
	graph_block_alloc(space, &st->block, 2 * DESCENT_LIST);
}

static void
descent_end(Descent *st)
{
	const GraphHost *host = st->space->host;

	graph_block_release(st->space, &st->block);
	graph_release(host, st->set);
	graph_release(host, st->scratch);
	graph_release(host, st->offset);
	graph_release_shared(host, st->sorted);
	graph_release_shared(host, st->full);
	graph_release_shared(host, st->reports);
	graph_release_shared(host, st->buffers);
	graph_release_shared(host, st->worst);
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

	descent_init(st, space, seed, pools);
	recall = graph_controls_recall(controls, pools);
	for (round = 0; round < DESCENT_MAX_ROUNDS; round++)
	{
		double		before = recall;

		/* one round always: it smooths what partitions leave uneven */
		if (round > 0 && recall >= DESCENT_RECALL)
			break;
		descent_sample(st);
		descent_reverse(st, &st->fresh);
		descent_reverse(st, &st->old);
		graph_barrier(space);
		descent_round(st);
		recall = graph_controls_recall(controls, pools);
		if (recall < before + DESCENT_GAIN)
			break;
	}
	descent_end(st);
}

/*
 * Peak memory.
 */
GraphMemory
graph_nn_descent_memory(uint32_t n, uint32_t dim, uint32_t size)
{
	size_t		room = (size_t) size * buffer_room(n, size);
	GraphMemory memory = {0, 0, 0};

	memory.shared =
		4 * graph_array_size((size_t) n * DESCENT_SAMPLES, sizeof(uint32_t)) +
		2 * graph_array_size(n, sizeof(uint8_t)) +
		2 * graph_array_size((size_t) n + 1, sizeof(uint32_t)) +
		graph_array_size(n, sizeof(float)) +
		graph_array_size(room, sizeof(DescentUpdate)) +
		graph_array_size(size, sizeof(DescentReport)) +
		graph_array_size(1, sizeof(uint32_t)) +
		graph_array_size(room, sizeof(GraphEntry));
	memory.own = ((size_t) n / size + 2) * sizeof(uint32_t) +
		GRAPH_FRESH_MAX * sizeof(GraphEntry) +
		graph_block_memory(dim, 2 * DESCENT_LIST) +
		sizeof(Descent) + sizeof(GraphSet) +
		sizeof(GraphControls);
	return memory;
}
