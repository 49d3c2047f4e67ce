/*-------------------------------------------------------------------------
 *
 * equal.c
 *	  Rows that are equal.
 *
 * Equal rows would fill each other's pools and leave no way out, and many of
 * them would cost a quadratic number of pairs.  The graph is therefore built
 * over distinct rows; the others join afterwards.  The rows of a group form a
 * ring, which keeps their in-degree up, and a binary tree, which keeps the
 * group shallow; the rest of their slots leads where the first of the group
 * leads.
 *
 * The processes of a team share the hashing; the first does the rest, which is
 * little.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "graph_int.h"

/* Neighbours on each side along the ring of a group of equal rows */
#define EQUAL_RING			3

/* Hash of the values of a row; -0 hashes as 0. */
static uint32_t
row_hash(const float *x, uint32_t dim)
{
	uint64_t	lane[4] = {1, 2, 3, 4};
	uint32_t	i;

	for (i = 0; i < dim; i++)
	{
		float		value = x[i] + 0.0f;
		uint32_t	bits;

		memcpy(&bits, &value, sizeof(bits));
		lane[i & 3] = (lane[i & 3] ^ bits) * UINT64_C(0x9E3779B97F4A7C15);
		lane[i & 3] ^= lane[i & 3] >> 29;
	}
	lane[0] = lane[0] * 31 + lane[1];
	lane[0] = lane[0] * 31 + lane[2];
	lane[0] = lane[0] * 31 + lane[3];
	return (uint32_t) (lane[0] ^ (lane[0] >> 32));
}

/* Are two rows equal?  "row" is room for one. */
static bool
rows_equal(const GraphSpace *space, uint32_t first, uint32_t second,
		   float *row)
{
	uint32_t	dim = space->vectors->dim;
	const float *a = row;
	const float *b;
	uint32_t	i;

	memcpy(row, graph_row(space, first), dim * sizeof(float));
	b = graph_row(space, second);
	for (i = 0; i < dim; i++)
		if (a[i] != b[i])
			return false;
	return true;
}

/* Slots of the table of distinct rows */
static size_t
table_size(uint32_t n)
{
	size_t		size = 16;

	while (size < (size_t) n * 2)
		size *= 2;
	return size;
}

/*
 * Find the groups: next_equal[] comes with the hashes of the rows.  The
 * entries of the table are hash << 32 | first row + 1.
 */
static uint32_t
find_groups(GraphSpace *space, uint64_t *table, uint32_t *rows,
			uint32_t *next_equal)
{
	uint32_t	n = space->n;
	size_t		size = table_size(n);
	float	   *row = graph_alloc(space->host, space->vectors->dim,
								  sizeof(float));
	uint32_t	distinct = 0;
	uint32_t	i;

	memset(table, 0, size * sizeof(uint64_t));
	for (i = 0; i < n; i++)
	{
		uint32_t	hash = next_equal[i];
		size_t		slot = ((size_t) hash * 0x9E3779B1u) & (size - 1);

		next_equal[i] = GRAPH_NO_NODE;
		for (;; slot = (slot + 1) & (size - 1))
		{
			uint32_t	first = (uint32_t) table[slot];

			if (first == 0)
			{
				table[slot] = ((uint64_t) hash << 32) | (i + 1);
				rows[distinct++] = i;
				break;
			}
			if ((uint32_t) (table[slot] >> 32) == hash &&
				rows_equal(space, i, first - 1, row))
			{
				next_equal[i] = next_equal[first - 1];
				next_equal[first - 1] = i;
				break;
			}
		}
		graph_work(space, 64);
	}
	graph_release(space->host, row);
	return distinct;
}

/*
 * Find the distinct rows: rows[] receives the first row of every group of
 * equal ones in increasing order, next_equal[row] the next row of the same
 * group, or GRAPH_NO_NODE.  Both are shared and have room for all rows.
 * Returns the number of groups.
 */
uint32_t
graph_distinct_rows(GraphSpace *space, uint32_t *rows, uint32_t *next_equal)
{
	uint32_t	dim = space->vectors->dim;
	uint32_t	distinct = 0;
	uint32_t	i = 0;
	uint32_t	end = space->n;
	uint64_t   *table;
	uint32_t   *all;

	graph_share(space, &i, &end);
	for (; i < end; i++)
	{
		next_equal[i] = row_hash(graph_row(space, i), dim);
		graph_work(space, 4 * (uint64_t) dim);
	}
	graph_barrier(space);
	table = graph_alloc_shared(space->host, table_size(space->n),
							   sizeof(uint64_t));
	if (space->host->rank == 0)
		distinct = find_groups(space, table, rows, next_equal);
	graph_release_shared(space->host, table);
	all = graph_exchange(space, &distinct, sizeof(distinct));
	distinct = all[0];
	graph_exchange_end(space, all);
	return distinct;
}

/* Append an edge unless it is there, points back or finds no slot. */
static void
append_edge(uint32_t *ids, uint16_t *degree, uint32_t limit,
			uint32_t from, uint32_t to)
{
	uint32_t	i;

	if (from == to || *degree >= limit)
		return;
	for (i = 0; i < *degree; i++)
		if (ids[i] == to)
			return;
	ids[(*degree)++] = to;
}

/*
 * Link the rows of one group, whose first row has its edges: members is room
 * for the group.
 */
static void
link_group(GraphEdges *edges, uint32_t max_degree, uint32_t first,
		   const uint32_t *members, uint32_t n)
{
	const uint32_t *outward = edges->ids + (size_t) first * edges->max_degree;
	uint16_t	noutward = edges->degree[first];
	uint32_t	saved[256];
	uint32_t	i;
	uint32_t	k;

	memcpy(saved, outward, noutward * sizeof(uint32_t));
	for (i = 0; i < n; i++)
	{
		uint32_t	row = members[i];
		uint32_t   *ids = edges->ids + (size_t) row * edges->max_degree;
		uint16_t   *degree = &edges->degree[row];

		*degree = 0;
		for (k = 1; k <= EQUAL_RING; k++)
		{
			append_edge(ids, degree, max_degree, row, members[(i + k) % n]);
			append_edge(ids, degree, max_degree, row,
						members[(i + n - k % n) % n]);
		}
		for (k = 2 * i + 1; k <= 2 * i + 2 && k < n; k++)
			append_edge(ids, degree, max_degree, row, members[k]);
		if (i > 0)
			append_edge(ids, degree, max_degree, row, members[(i - 1) / 2]);
		for (k = 0; k < noutward; k++)
			append_edge(ids, degree, max_degree, row, saved[k]);
	}
}

/*
 * Link the rows that are not the first of their group, and the first of
 * groups with several rows anew.  nrows are all rows.
 */
void
graph_link_equal_rows(GraphSpace *space, uint32_t nrows, uint32_t max_degree,
					  const uint32_t *next_equal, GraphEdges *edges)
{
	const GraphHost *host = space->host;
	uint32_t   *members = graph_alloc_shared(host, nrows, sizeof(uint32_t));
	uint32_t	node;

	for (node = 0; host->rank == 0 && node < space->n; node++)
	{
		uint32_t	first = space->rows[node];
		uint32_t	row;
		uint32_t	n = 0;

		for (row = first; row != GRAPH_NO_NODE; row = next_equal[row])
			members[n++] = row;
		graph_work(space, 64 * (uint64_t) n);
		if (n > 1)
			link_group(edges, max_degree, first, members, n);
	}
	graph_barrier(space);
	graph_release_shared(host, members);
}

/*
 * Peak memory.
 */
GraphMemory
graph_equal_memory(uint32_t n, uint32_t dim)
{
	GraphMemory memory = {0, 0, 0};

	memory.shared = graph_array_size(table_size(n), sizeof(uint64_t));
	memory.first = dim * sizeof(float);
	return memory;
}
