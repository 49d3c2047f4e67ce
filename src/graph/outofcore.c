/*-------------------------------------------------------------------------
 *
 * outofcore.c
 *	  A layer whose rows and pools do not fit into memory: pools by parts.
 *
 * Rows come from their source, and what the phases have for each node in turn,
 * pools and second edges, is in files: they read and write them in windows,
 * in the order of the nodes.  In memory are a few numbers per node, the edges
 * and a cache of rows.
 *
 * Neighbours are found by parts with overlap (algorithms.md section 5.3; as
 * DiskANN and cuVS merge graphs): a part's nodes are loaded, their pools are
 * filled as those of a layer in memory, and merged with what an earlier part
 * has found for the same nodes.  Which nodes a part has, parts.c says.  What
 * two nodes near each other miss by not being members of the same part, they
 * find by way of a third (refine.c).
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "parts.h"

typedef struct PoolsByParts
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
} PoolsByParts;

/*
 * Copy the rows of the members, each process its share.
 */
static void
load_members(PoolsByParts *st, float *rows)
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
merge_pools(PoolsByParts *st, const GraphEntry *a, uint32_t na,
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
write_pool(PoolsByParts *st, uint32_t node, const GraphPools *found,
		   uint32_t i, const uint32_t *rows)
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
write_pools(PoolsByParts *st, const GraphPools *found, const uint32_t *rows)
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
search_part(PoolsByParts *st)
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

static void
by_parts_init(PoolsByParts *st)
{
	GraphSpace *space = st->space;
	const GraphHost *host = space->host;
	uint32_t	capacity = st->pools->capacity;
	uint32_t	i = 0;
	uint32_t	end = space->n;

	st->members = graph_alloc_shared(host, st->parts.room, sizeof(uint32_t));
	st->set = graph_alloc(host, 1, sizeof(GraphSet));
	st->merged = graph_alloc(host, capacity, sizeof(GraphEntry));
	st->before = graph_alloc(host, capacity, sizeof(GraphEntry));
	graph_window_init(space, &st->out, st->pools->file,
					  capacity * sizeof(GraphEntry), space->n);
	memset(st->set, 0, sizeof(GraphSet));
	graph_share(space, &i, &end);
	memset(st->pools->count + i, 0, (end - i) * sizeof(uint16_t));
	graph_barrier(space);
}

static void
by_parts_end(PoolsByParts *st)
{
	const GraphHost *host = st->space->host;

	graph_window_release(st->space, &st->out);
	graph_release(host, st->before);
	graph_release(host, st->merged);
	graph_release(host, st->set);
	graph_release_shared(host, st->members);
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
	PoolsByParts *st = graph_alloc(space->host, 1, sizeof(PoolsByParts));
	GraphParts *parts = &st->parts;
	uint32_t	nparts = plan->nparts;
	uint32_t	part;
	uint32_t	lot;

	/* there may be fewer rows than the plan reckons with */
	nparts = GRAPH_MIN(nparts, GRAPH_MAX(1, space->n / GRAPH_PART_LEAST));
	if (space->n <= plan->room)
		nparts = 1;
	memset(st, 0, sizeof(PoolsByParts));
	st->space = space;
	st->params = params;
	st->pools = pools;
	pools->file = create_pool_file(space, pools);
	graph_parts_init(space, nparts, plan->room, parts);
	by_parts_init(st);
	graph_begin(space, GRAPH_PHASE_NEIGHBOURS,
				graph_fill_steps(2 * (uint64_t) space->n));
	if (nparts > 1)
		graph_parts_place_guests(space, params->seed, parts);
	graph_begin(space, GRAPH_PHASE_NEIGHBOURS,
				graph_fill_steps(graph_parts_total(parts)) + space->n);
	for (part = 0; part < nparts; part++)
		for (lot = 0; lot < graph_part_lots(parts, part); lot++)
		{
			st->nmembers = graph_part_members(space, parts, part, lot,
											  st->members);
			search_part(st);
		}
	by_parts_end(st);
	graph_space_cache(space, plan->cache);
	if (nparts > 1)
		refine_pools(space, parts, pools);
	graph_parts_end(space, parts);
	graph_release(space->host, st);
}

/*
 * What is there while parts are searched, but for the parts themselves.
 */
GraphMemory
graph_by_parts_memory(uint32_t room, const GraphParams *params)
{
	size_t		pool = params->pool_size * sizeof(GraphEntry);
	GraphMemory memory = {0, 0, 0};

	memory.shared = graph_array_size(room, sizeof(uint32_t));
	memory.own = sizeof(PoolsByParts) + sizeof(GraphSet) + 2 * pool +
		graph_window_memory(pool);
	return memory;
}

/*
 * What the search of a part takes at its peak, the pools it writes included.
 */
GraphMemory
graph_part_memory(uint32_t m, uint32_t dim, const GraphParams *params,
				  uint32_t size)
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
