/*-------------------------------------------------------------------------
 *
 * parts.c
 *	  Out of core: which nodes are searched for neighbours together.
 *
 * Rows come in an order of locality, so a part is a range of them; and every
 * node is also a guest of the part that has the nearest leader among those of
 * other parts, leaders being some random nodes of each.
 *
 * A part has room for about as many guests as nodes of its own.  Where more
 * come, they take turns: there is a lot of guests for each turn.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "parts.h"

/* Guests that a part has room for, as a share of its own nodes */
#define PARTS_GUESTS		1.25

/* Leaders of a part at most, of all, and bytes for those of all */
#define PARTS_LEADERS		64
#define PARTS_ALL_LEADERS	1024
#define PARTS_LEADER_BYTES	(1024 * 1024)

/* Rows compared with the leaders at a time */
#define PARTS_BLOCK			32

/*
 * Divide the nodes among so many parts.  No guests are placed yet, and none
 * will be if there is but one part.
 */
void
graph_parts_init(GraphSpace *space, uint32_t nparts, uint32_t room,
				 GraphParts *parts)
{
	parts->n = space->n;
	parts->nparts = nparts;
	parts->room = room;
	parts->guest_of = NULL;
	if (nparts > 1)
		parts->guest_of = graph_alloc_shared(space->host, space->n,
											 sizeof(uint16_t));
	parts->nguests = graph_alloc(space->host, nparts, sizeof(uint32_t));
	memset(parts->nguests, 0, nparts * sizeof(uint32_t));
}

void
graph_parts_end(GraphSpace *space, GraphParts *parts)
{
	graph_release(space->host, parts->nguests);
	if (parts->guest_of)
		graph_release_shared(space->host, parts->guest_of);
}

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
load_leaders(GraphSpace *space, const GraphParts *parts, uint64_t seed,
			 GraphBlock *leaders, uint32_t per_part)
{
	uint32_t	nparts = parts->nparts;
	uint64_t	random = seed;
	uint32_t   *nodes = graph_alloc(space->host, (size_t) nparts * per_part,
									sizeof(uint32_t));
	uint32_t	part;
	uint32_t	i;

	for (part = 0; part < nparts; part++)
	{
		uint32_t	start = graph_part_start(parts, part);
		uint32_t	own = graph_part_start(parts, part + 1) - start;

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
 * Choose the part whose guest each node is; there are several.
 */
void
graph_parts_place_guests(GraphSpace *space, uint64_t seed, GraphParts *parts)
{
	const GraphHost *host = space->host;
	uint32_t	nparts = parts->nparts;
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
	load_leaders(space, parts, seed, &leaders, per_part);
	graph_share(space, &first, &end);
	for (i = first; i < end; i += PARTS_BLOCK)
	{
		uint32_t	m = GRAPH_MIN(PARTS_BLOCK, end - i);

		for (k = 0; k < m; k++)
			nodes[k] = i + k;
		graph_gather(space, &block, nodes, m);
		graph_distances(space, &block, 0, m, &leaders, 0, nleaders, dist, ld);
		for (k = 0; k < m; k++)
			parts->guest_of[i + k] = (uint16_t)
				nearest_other(dist + k * ld, nparts, per_part,
							  graph_part_of(parts, i + k));
	}
	graph_block_release(space, &block);
	graph_block_release(space, &leaders);
	graph_release(host, dist);
	graph_barrier(space);

	memset(parts->nguests, 0, nparts * sizeof(uint32_t));
	for (i = 0; i < space->n; i++)
	{
		parts->nguests[parts->guest_of[i]]++;
		graph_work(space, 1);
	}
}

/*
 * Lots in which the guests of a part come.
 */
uint32_t
graph_part_lots(const GraphParts *parts, uint32_t part)
{
	uint32_t	own = graph_part_start(parts, part + 1) -
	graph_part_start(parts, part);

	if (parts->nguests[part] == 0)
		return 1;
	return (parts->nguests[part] - 1) / (parts->room - own) + 1;
}

/*
 * Members of all lots of all parts together
 */
uint64_t
graph_parts_total(const GraphParts *parts)
{
	uint64_t	total = 0;
	uint32_t	part;

	for (part = 0; part < parts->nparts; part++)
		total += parts->nguests[part] + graph_part_lots(parts, part) *
			(uint64_t) (graph_part_start(parts, part + 1) -
						graph_part_start(parts, part));
	return total;
}

/*
 * List a part's own nodes and a lot of its guests, ascending, in shared memory
 * with the room of a part.  Returns their number.
 */
uint32_t
graph_part_members(GraphSpace *space, const GraphParts *parts, uint32_t part,
				   uint32_t lot, uint32_t *members)
{
	uint32_t	nlots = graph_part_lots(parts, part);
	uint64_t	nguests = parts->nguests[part];
	uint32_t	first = (uint32_t) (nguests * lot / nlots);
	uint32_t	end = (uint32_t) (nguests * (lot + 1) / nlots);
	uint32_t	start = graph_part_start(parts, part);
	uint32_t	behind = graph_part_start(parts, part + 1);
	uint32_t	guest = 0;
	uint32_t	n = 0;
	uint32_t	i;

	if (space->host->rank == 0)
		for (i = 0; i < space->n; i++)
		{
			graph_work(space, 1);
			if (i >= start && i < behind)
				members[n++] = i;
			else if (parts->guest_of && parts->guest_of[i] == part)
			{
				if (guest >= first && guest < end)
					members[n++] = i;
				guest++;
			}
		}
	graph_barrier(space);
	return behind - start + end - first;
}

/*
 * Members of the largest of so many parts: two with all of each other's nodes
 * would be no smaller than one.
 */
uint32_t
graph_part_room(uint32_t n, uint32_t nparts)
{
	uint32_t	own = (n - 1) / nparts + 1;

	return nparts < 3 ? n :
		GRAPH_MIN(n, own + (uint32_t) (own * PARTS_GUESTS));
}

/*
 * What parts take as long as they are wanted.
 */
GraphMemory
graph_parts_memory(uint32_t n, uint32_t nparts)
{
	GraphMemory memory = {0, 0, 0};

	if (nparts > 1)
		memory.shared = graph_array_size(n, sizeof(uint16_t));
	memory.own = nparts * sizeof(uint32_t);
	return memory;
}

/*
 * What placing guests takes.
 */
GraphMemory
graph_guests_memory(uint32_t dim, uint32_t nparts)
{
	uint32_t	nleaders = nparts * leaders_per_part(dim, nparts);
	GraphMemory memory = {0, 0, 0};

	if (nparts > 1)
		memory.own = graph_block_memory(dim, nleaders) +
			graph_block_memory(dim, PARTS_BLOCK) +
			PARTS_BLOCK * graph_align(nleaders) * sizeof(float) +
			nleaders * sizeof(uint32_t);
	return memory;
}
