/*-------------------------------------------------------------------------
 *
 * outofcore.c
 *	  A layer whose rows and pools do not fit into memory.
 *
 * Rows come from their source, and what the phases have for each node in turn,
 * pools and second edges, is in files: they read and write them in windows,
 * in the order of the nodes.  In memory are a few numbers per node, the edges
 * and a cache of rows.
 *
 * Neighbours are found by parts with overlap (algorithms.md section 5.3; as
 * DiskANN and cuVS merge graphs).  Rows come in an order of locality, so a
 * part is a range of them; and every node is also a guest of the part that
 * has the nearest leader among those of other parts, leaders being some random
 * nodes of each.  A part's nodes are loaded, their pools are filled as those
 * of a layer in memory, and merged with what an earlier part has found for the
 * same nodes.  What two nodes near each other miss by not being members of
 * the same part, they find by way of a third (refine.c).
 *
 * A part has room for about as many guests as nodes of its own.  Where more
 * come, they take turns: the part is loaded again for each lot.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "graph_int.h"

/* Guests that a part has room for, as a share of its own nodes */
#define PARTS_GUESTS		1.25

/* Nodes of a part's own at least */
#define PARTS_LEAST			256

/* Leaders of a part at most, of all, and bytes for those of all */
#define PARTS_LEADERS		64
#define PARTS_ALL_LEADERS	1024
#define PARTS_LEADER_BYTES	(1024 * 1024)

/* Rows compared with the leaders at a time */
#define PARTS_BLOCK			32

typedef struct Parts
{
	GraphSpace *space;
	const GraphParams *params;
	GraphPools *pools;			/* of all nodes; in a file */
	GraphParts	parts;
	uint32_t   *members;		/* of the part at hand, ascending; shared */
	uint32_t	nmembers;
	GraphSet   *set;
	GraphEntry *merged;
	GraphEntry *before;			/* what an earlier part has found */
	GraphWindow out;
} Parts;

static uint32_t
leaders_per_part(uint32_t dim, uint32_t nparts)
{
	size_t		leaders = PARTS_LEADER_BYTES / graph_block_memory(dim, 1);

	leaders = GRAPH_MIN(leaders, PARTS_ALL_LEADERS) / nparts;
	return (uint32_t) GRAPH_MAX(1, GRAPH_MIN(leaders, PARTS_LEADERS));
}

/*
 * Load the leaders of all parts, in the order of the parts.
 */
static void
load_leaders(Parts *st, GraphBlock *leaders, uint32_t per_part)
{
	GraphSpace *space = st->space;
	uint32_t	nparts = st->parts.nparts;
	uint64_t	random = st->params->seed;
	uint32_t   *nodes = graph_alloc(space->host, (size_t) nparts * per_part,
									sizeof(uint32_t));
	uint32_t	part;
	uint32_t	i;

	for (part = 0; part < nparts; part++)
	{
		uint32_t	start = graph_part_start(&st->parts, part);
		uint32_t	own = graph_part_start(&st->parts, part + 1) - start;

		for (i = 0; i < per_part; i++)
			nodes[part * per_part + i] = start +
				graph_random_below(&random, own);
	}
	/* all data is near the origin, compared with its extent */
	memset(leaders->origin, 0, space->width * sizeof(float));
	graph_gather(space, leaders, nodes, nparts * per_part);
	graph_release(space->host, nodes);
}

/*
 * The part with the nearest leader, but for the node's own.
 */
static uint32_t
nearest_other(const float *dist, uint32_t nparts, uint32_t per_part,
			  uint32_t own)
{
	float		least = INFINITY;
	uint32_t	best = own == 0 ? 1 : 0;
	uint32_t	part;
	uint32_t	i;

	for (part = 0; part < nparts; part++, dist += per_part)
		for (i = 0; part != own && i < per_part; i++)
			if (dist[i] < least)
			{
				least = dist[i];
				best = part;
			}
	return best;
}

/*
 * Choose the part whose guest each node is.
 */
static void
place_guests(Parts *st)
{
	GraphSpace *space = st->space;
	const GraphHost *host = space->host;
	uint32_t	nparts = st->parts.nparts;
	uint32_t	per_part = leaders_per_part(space->vectors->dim, nparts);
	uint32_t	nleaders = nparts * per_part;
	size_t		ld = graph_align(nleaders);
	float	   *dist = graph_alloc(host, PARTS_BLOCK * ld, sizeof(float));
	uint32_t	nodes[PARTS_BLOCK];
	GraphBlock	leaders;
	GraphBlock	block;
	uint32_t	first = 0;
	uint32_t	end = space->n;
	uint32_t	i;
	uint32_t	k;

	graph_block_alloc(space, &leaders, nleaders);
	graph_block_alloc(space, &block, PARTS_BLOCK);
	block.origin = leaders.origin;
	load_leaders(st, &leaders, per_part);
	graph_share(space, &first, &end);
	for (i = first; i < end; i += PARTS_BLOCK)
	{
		uint32_t	m = GRAPH_MIN(PARTS_BLOCK, end - i);

		for (k = 0; k < m; k++)
			nodes[k] = i + k;
		graph_gather(space, &block, nodes, m);
		graph_distances(space, &block, 0, m, &leaders, 0, nleaders, dist, ld);
		for (k = 0; k < m; k++)
			st->parts.guest_of[i + k] = (uint16_t)
				nearest_other(dist + k * ld, nparts, per_part,
							  graph_part_of(&st->parts, i + k));
	}
	graph_block_release(space, &block);
	graph_block_release(space, &leaders);
	graph_release(host, dist);
	graph_barrier(space);

	memset(st->parts.nguests, 0, nparts * sizeof(uint32_t));
	for (i = 0; i < space->n; i++)
	{
		st->parts.nguests[st->parts.guest_of[i]]++;
		graph_work(space, 1);
	}
}

/*
 * List a part's own nodes and a lot of its guests, ascending.
 */
static void
list_members(Parts *st, uint32_t part, uint32_t lot)
{
	GraphSpace *space = st->space;
	uint32_t	nlots = graph_part_lots(&st->parts, part);
	uint64_t	nguests = st->parts.nguests[part];
	uint32_t	first = (uint32_t) (nguests * lot / nlots);
	uint32_t	end = (uint32_t) (nguests * (lot + 1) / nlots);
	uint32_t	start = graph_part_start(&st->parts, part);
	uint32_t	behind = graph_part_start(&st->parts, part + 1);
	uint32_t	guest = 0;
	uint32_t	n = 0;
	uint32_t	i;

	st->nmembers = behind - start + end - first;
	if (space->host->rank == 0)
		for (i = 0; i < space->n; i++)
		{
			graph_work(space, 1);
			if (i >= start && i < behind)
				st->members[n++] = i;
			else if (st->parts.guest_of && st->parts.guest_of[i] == part)
			{
				if (guest >= first && guest < end)
					st->members[n++] = i;
				guest++;
			}
		}
	graph_barrier(space);
}

/*
 * Copy the rows of the members, each process its share.
 */
static void
load_members(Parts *st, float *rows)
{
	GraphSpace *space = st->space;
	uint32_t	dim = space->vectors->dim;
	uint32_t	i = 0;
	uint32_t	end = st->nmembers;

	graph_share(space, &i, &end);
	for (; i < end; i++)
	{
		memcpy(rows + (size_t) i * dim, graph_row(space, st->members[i]),
			   dim * sizeof(float));
		graph_work(space, dim);
	}
	graph_barrier(space);
}

/*
 * Merge two sorted pools into st->merged, as much as one holds.  Of a node in
 * both the nearer entry counts.
 */
static uint32_t
merge_pools(Parts *st, const GraphEntry *a, uint32_t na,
			const GraphEntry *b, uint32_t nb)
{
	uint32_t	n = 0;

	graph_set_clear(st->set);
	while (n < st->pools->capacity && na + nb > 0)
	{
		GraphEntry	entry;

		if (nb == 0 || (na > 0 && *a <= *b))
		{
			entry = *a++;
			na--;
		}
		else
		{
			entry = *b++;
			nb--;
		}
		if (graph_set_add(st->set, graph_entry_node(entry)))
			st->merged[n++] = entry;
	}
	return n;
}

/*
 * Write the pool that the part has found for a node, which is node i of the
 * part, or what it makes together with an earlier one.
 */
static void
write_pool(Parts *st, uint32_t node, const GraphPools *found, uint32_t i,
		   const uint32_t *rows)
{
	GraphSpace *space = st->space;
	const GraphHost *host = space->host;
	size_t		record = st->pools->capacity * sizeof(GraphEntry);
	GraphEntry *pool = found->entries + (size_t) i * found->capacity;
	uint32_t	count = found->count[i];
	uint32_t	nbefore = st->pools->count[node];
	uint32_t	k;

	for (k = 0; k < count; k++)
		pool[k] = graph_entry_make(graph_entry_dist(pool[k]),
								   st->members[rows[graph_entry_node(pool[k])]]);
	if (nbefore > 0)
	{
		host->file_read(host->arg, st->pools->file, node * (uint64_t) record,
						st->before, nbefore * sizeof(GraphEntry));
		count = merge_pools(st, pool, count, st->before, nbefore);
		pool = st->merged;
	}
	memcpy(graph_window_put(space, &st->out, node), pool,
		   count * sizeof(GraphEntry));
	st->pools->count[node] = (uint16_t) count;
	graph_work(space, 64 * (uint64_t) st->pools->capacity);
}

/*
 * Write the pools of the members in their order: node i of the part is member
 * rows[i].
 */
static void
write_pools(Parts *st, const GraphPools *found, const uint32_t *rows)
{
	GraphSpace *space = st->space;
	const GraphHost *host = space->host;
	uint32_t   *inverse = graph_alloc_shared(host, st->nmembers,
											 sizeof(uint32_t));
	uint32_t	first = 0;
	uint32_t	end = st->nmembers;
	uint32_t	i;

	graph_share(space, &first, &end);
	for (i = first; i < end; i++)
		inverse[rows[i]] = i;
	graph_barrier(space);
	for (i = first; i < end; i++)
		write_pool(st, st->members[i], found, inverse[i], rows);
	graph_window_flush(space, &st->out);
	graph_barrier(space);
	graph_release_shared(host, inverse);
}

/*
 * Find the neighbours that the members have among each other.
 */
static void
search_part(Parts *st)
{
	GraphSpace *space = st->space;
	const GraphHost *host = space->host;
	uint32_t	n = st->nmembers;
	uint32_t	dim = space->vectors->dim;
	float	   *data = graph_alloc_shared(host, (size_t) n * dim,
										  sizeof(float));
	uint32_t   *rows = graph_alloc_shared(host, n, sizeof(uint32_t));
	GraphVectors vectors = {data, dim, n, dim, NULL};
	GraphSpace	part = *space;
	GraphPools	found = {0};
	uint32_t	i = 0;
	uint32_t	end = n;

	load_members(st, data);
	graph_share(space, &i, &end);
	for (; i < end; i++)
		rows[i] = i;
	part.vectors = &vectors;
	part.cache = NULL;
	part.rows = rows;
	part.n = n;
	found.capacity = GRAPH_MIN(st->params->pool_size, n - 1);
	found.entries = graph_alloc_shared(host, (size_t) n * found.capacity,
									   sizeof(GraphEntry));
	found.count = graph_alloc_shared(host, n, sizeof(uint16_t));
	graph_fill_pools(&part, st->params, GRAPH_LEAF_MAX, rows, &found);

	/* what the part has counted, and loops it has begun, are the layer's */
	space->nloops = part.nloops;
	space->done = part.done;
	space->work = part.work;
	write_pools(st, &found, rows);
	graph_release_shared(host, found.count);
	graph_release_shared(host, found.entries);
	graph_release_shared(host, rows);
	graph_release_shared(host, data);
}

/* Bytes of the numbers of a node's parts */
static size_t
parts_array_memory(const GraphPlan *plan, uint32_t n)
{
	return (plan->nparts > 1 ? graph_array_size(n, sizeof(uint16_t)) : 0) +
		graph_array_size(plan->room, sizeof(uint32_t));
}

static void
parts_init(Parts *st)
{
	GraphSpace *space = st->space;
	const GraphHost *host = space->host;
	uint32_t	capacity = st->pools->capacity;
	uint32_t	i = 0;
	uint32_t	end = space->n;

	if (st->parts.nparts > 1)
		st->parts.guest_of = graph_alloc_shared(host, space->n, sizeof(uint16_t));
	st->members = graph_alloc_shared(host, st->parts.room, sizeof(uint32_t));
	st->parts.nguests = graph_alloc(host, st->parts.nparts, sizeof(uint32_t));
	st->set = graph_alloc(host, 1, sizeof(GraphSet));
	st->merged = graph_alloc(host, capacity, sizeof(GraphEntry));
	st->before = graph_alloc(host, capacity, sizeof(GraphEntry));
	graph_window_init(space, &st->out, st->pools->file,
					  capacity * sizeof(GraphEntry), space->n);
	memset(st->set, 0, sizeof(GraphSet));
	memset(st->parts.nguests, 0, st->parts.nparts * sizeof(uint32_t));
	graph_share(space, &i, &end);
	memset(st->pools->count + i, 0, (end - i) * sizeof(uint16_t));
	graph_barrier(space);
}

/*
 * All parts have been searched: only what says who has met whom stays.
 */
static void
parts_searched(Parts *st)
{
	const GraphHost *host = st->space->host;

	graph_window_release(st->space, &st->out);
	graph_release(host, st->before);
	graph_release(host, st->merged);
	graph_release(host, st->set);
	graph_release_shared(host, st->members);
}

static void
parts_end(Parts *st)
{
	const GraphHost *host = st->space->host;

	graph_release(host, st->parts.nguests);
	if (st->parts.guest_of)
		graph_release_shared(host, st->parts.guest_of);
	graph_release(host, st);
}

static void *
create_pool_file(GraphSpace *space, const GraphPools *pools)
{
	return space->host->file_create(space->host->arg, (uint64_t) space->n *
									pools->capacity * sizeof(GraphEntry));
}

/*
 * Put pools in their place that have what parts have missed.
 */
static void
refine_pools(GraphSpace *space, const GraphParts *parts, GraphPools *pools)
{
	const GraphHost *host = space->host;
	GraphPools	better = *pools;
	uint32_t	first = 0;
	uint32_t	end = space->n;

	better.count = graph_alloc_shared(host, space->n, sizeof(uint16_t));
	better.file = create_pool_file(space, pools);
	graph_refine_pools(space, parts, pools, &better);
	graph_share(space, &first, &end);
	memcpy(pools->count + first, better.count + first,
		   (end - first) * sizeof(uint16_t));
	graph_barrier(space);
	host->file_close(host->arg, pools->file);
	graph_release_shared(host, better.count);
	pools->file = better.file;
}

/*
 * Fill the pools of all nodes, at least two, in a file.  Leaves the plan's
 * cache behind.
 */
void
graph_fill_pools_by_parts(GraphSpace *space, const GraphParams *params,
						  GraphPools *pools)
{
	const GraphPlan *plan = params->plan;
	Parts	   *st = graph_alloc(space->host, 1, sizeof(Parts));
	GraphParts *parts = &st->parts;
	uint64_t	total = 0;
	uint32_t	part;
	uint32_t	lot;

	memset(st, 0, sizeof(Parts));
	st->space = space;
	st->params = params;
	st->pools = pools;
	parts->n = space->n;
	parts->room = plan->room;
	/* there may be fewer rows than the plan reckons with */
	parts->nparts = GRAPH_MIN(plan->nparts,
							  GRAPH_MAX(1, space->n / PARTS_LEAST));
	if (space->n <= plan->room)
		parts->nparts = 1;
	pools->file = create_pool_file(space, pools);
	parts_init(st);
	graph_begin(space, GRAPH_PHASE_NEIGHBOURS,
				graph_fill_steps(2 * (uint64_t) space->n));
	if (parts->nparts > 1)
		place_guests(st);
	for (part = 0; part < parts->nparts; part++)
		total += parts->nguests[part] + graph_part_lots(parts, part) *
			(uint64_t) (graph_part_start(parts, part + 1) -
						graph_part_start(parts, part));
	graph_begin(space, GRAPH_PHASE_NEIGHBOURS,
				graph_fill_steps(total) + space->n);
	for (part = 0; part < parts->nparts; part++)
		for (lot = 0; lot < graph_part_lots(parts, part); lot++)
		{
			list_members(st, part, lot);
			search_part(st);
		}
	parts_searched(st);
	graph_space_cache(space, plan->cache);
	if (parts->nparts > 1)
		refine_pools(space, parts, pools);
	parts_end(st);
}

/* Two parts with all of each other's nodes would be no smaller than one. */
static uint32_t
part_room(uint32_t n, uint32_t nparts)
{
	uint32_t	own = (n - 1) / nparts + 1;

	return nparts < 3 ? n :
		GRAPH_MIN(n, own + (uint32_t) (own * PARTS_GUESTS));
}

/*
 * What a part takes at its peak, the pools it writes included.
 */
static GraphMemory
part_memory(uint32_t m, uint32_t dim, const GraphParams *params, uint32_t size)
{
	GraphMemory memory = graph_fill_memory(m, GRAPH_LEAF_MAX, dim, size);

	/* the room for inverse numbers is not wanted before */
	memory.shared = GRAPH_MAX(memory.shared,
							  graph_array_size(m, sizeof(uint32_t)));
	memory.shared += graph_array_size((size_t) m * dim, sizeof(float)) +
		graph_array_size(m, sizeof(uint32_t)) +
		graph_array_size((size_t) m * params->pool_size, sizeof(GraphEntry)) +
		graph_array_size(m, sizeof(uint16_t));
	return memory;
}

/*
 * What placing guests takes.
 */
static GraphMemory
guests_memory(uint32_t dim, uint32_t nparts)
{
	uint32_t	nleaders = nparts * leaders_per_part(dim, nparts);
	GraphMemory memory = {0, 0, 0};

	if (nparts > 1)
		memory.own = graph_block_memory(dim, nleaders) +
			graph_block_memory(dim, PARTS_BLOCK) +
			PARTS_BLOCK * graph_align(nleaders) * sizeof(float) +
			(nleaders + nparts) * sizeof(uint32_t);
	return memory;
}

/* Shared memory of the caches of all processes */
static size_t
cache_memory(size_t cache, uint32_t size)
{
	return graph_array_size(size, graph_array_size(cache, 1));
}

/*
 * The peaks of a build with so many parts: up to the selection, without a
 * cache worth the name, and from there on, without any.
 */
static void
count_memory(const GraphPlan *plan, uint32_t n, uint32_t dim,
			 const GraphParams *params, uint32_t size,
			 GraphMemory *before, GraphMemory *after)
{
	size_t		pool = params->pool_size * sizeof(GraphEntry);
	size_t		edges = params->max_degree * sizeof(uint32_t);
	GraphMemory space = graph_space_memory(dim, size);
	GraphMemory parts = part_memory(plan->room, dim, params, size);
	GraphMemory guests = guests_memory(dim, plan->nparts);
	GraphMemory refine = graph_refine_memory(dim, params);
	GraphMemory select = graph_select_memory(dim, params);
	GraphMemory reselect = graph_reselect_memory(n, dim, params);
	size_t		held = space.shared;
	size_t		own = sizeof(Parts) + sizeof(GraphSet) + sizeof(GraphRowCache) +
	plan->nparts * sizeof(uint32_t) + 2 * pool + graph_window_memory(pool);

	/* the first cache leaves a gap */
	held += cache_memory(graph_row_cache_least(dim), size);
	memset(before, 0, sizeof(GraphMemory));
	graph_count_phase(before, held, space);
	held += 2 * graph_array_size(n, sizeof(uint32_t));
	graph_count_phase(before, held, graph_equal_memory(n, dim));
	held += graph_array_size(n, sizeof(uint16_t));
	guests.own += own;
	graph_count_phase(before, held + parts_array_memory(plan, n), guests);
	parts.own += own;
	graph_count_phase(before, held + parts_array_memory(plan, n), parts);

	held += graph_array_size(n, sizeof(uint16_t)) +
		graph_array_size((size_t) n * params->max_degree, sizeof(uint32_t));
	memset(after, 0, sizeof(GraphMemory));
	/* while there are no edges yet, but more numbers of nodes instead */
	refine.own += space.own + sizeof(Parts) + plan->nparts * sizeof(uint32_t);
	graph_count_phase(after, held, refine);
	select.own += space.own + graph_window_memory(pool);
	graph_count_phase(after, held, select);
	held += graph_array_size((size_t) n * GRAPH_FAR, sizeof(uint32_t));
	graph_count_phase(after, held, graph_far_memory(n, dim));
	reselect.own += space.own + graph_window_memory(pool) +
		graph_window_memory(edges);
	graph_count_phase(after, held, reselect);
	graph_count_phase(after, held, graph_connect_memory(n, dim));
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
	size_t		total;
	bool		enough;

	plan->nparts = nparts;
	plan->room = part_room(n, nparts);
	count_memory(plan, n, dim, params, size, &before, &after);
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
	uint32_t	high = GRAPH_MIN(n / PARTS_LEAST, UINT16_MAX);

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
