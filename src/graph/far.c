/*-------------------------------------------------------------------------
 *
 * far.c
 *	  Candidates for long edges.
 *
 * Pools of near neighbours lead from cluster to cluster only where clusters
 * touch.  So each node also gets the nearest few of a small random sample of
 * its own as candidates, and the strict rule decides whether one of them
 * becomes an edge: where nearer candidates lead the same way, it does not.
 * The samples of neighbours differ, which gives a cluster as a whole many
 * ways out.
 *
 * On 2,000 separate clusters of 50 rows (R = 32) this takes the recall of a
 * search list of 128 from 0.41 to 0.98; on connected data it changes nothing.
 *
 * Samples are windows of a table of random rows, which is drawn anew for every
 * so many nodes: two rows are copied per node, not the whole sample.  Tables
 * and windows are drawn from streams of their own, so the processes of a team
 * can claim tables.
 *
 *-------------------------------------------------------------------------
 */
#include "graph_int.h"

/* Rows of the table at most, and of the sample of one node */
#define FAR_TABLE		4096
#define FAR_TABLE_BYTES	(2 * 1024 * 1024)
#define FAR_SAMPLE		128

static uint32_t
far_table_rows(uint32_t n, uint32_t width)
{
	size_t		rows = FAR_TABLE_BYTES / (width * sizeof(int16_t));

	/* of a small graph a small part */
	rows = GRAPH_MIN(rows, n / 8);
	return (uint32_t) GRAPH_MAX(FAR_SAMPLE, GRAPH_MIN(rows, FAR_TABLE));
}

/*
 * Fill far[node * GRAPH_FAR ..] with candidates; there may be repetitions and
 * the node itself among them.
 */
void
graph_far_candidates(GraphSpace *space, uint64_t seed, uint32_t *far)
{
	const GraphHost *host = space->host;
	uint32_t	n = space->n;
	uint32_t	table = far_table_rows(n, space->width);
	GraphBlock	rows;
	GraphBlock	row;
	uint32_t   *sample = graph_alloc(host, table, sizeof(uint32_t));
	float		dist[FAR_SAMPLE];
	GraphEntry	entries[FAR_SAMPLE];
	GraphLoop	loop;
	uint32_t	block;
	uint32_t	node;
	uint32_t	i;

	graph_block_alloc(space, &rows, table);
	graph_block_alloc(space, &row, 1);
	row.origin = rows.origin;
	graph_loop_begin(space, &loop, (n - 1) / table + 1);
	while (graph_loop_next(&loop, &block))
	{
		uint32_t	first = block * table;
		uint32_t	end = GRAPH_MIN(n, first + table);
		uint64_t	random = seed ^ first;

		for (i = 0; i < table; i++)
			sample[i] = graph_random_below(&random, n);
		graph_set_origin(space, &rows, first);
		graph_gather(space, &rows, sample, table);
		for (node = first; node < end; node++)
		{
			uint32_t	window = graph_random_below(&random,
													table - FAR_SAMPLE + 1);

			graph_gather(space, &row, &node, 1);
			graph_distances(space, &row, 0, 1, &rows, window, FAR_SAMPLE,
							dist, FAR_SAMPLE);
			for (i = 0; i < FAR_SAMPLE; i++)
				entries[i] = graph_entry_make(dist[i], sample[window + i]);
			graph_select_smallest(entries, FAR_SAMPLE, GRAPH_FAR);
			for (i = 0; i < GRAPH_FAR; i++)
				far[(size_t) node * GRAPH_FAR + i] =
					graph_entry_node(entries[i]);
		}
	}
	graph_barrier(space);
	graph_block_release(space, &row);
	graph_block_release(space, &rows);
	graph_release(host, sample);
}

/*
 * Peak memory, without the candidates.
 */
GraphMemory
graph_far_memory(uint32_t n, uint32_t dim)
{
	uint32_t	table = far_table_rows(n, graph_align(dim));
	GraphMemory memory = {0, 0, 0};

	memory.own = graph_block_memory(dim, table) + graph_block_memory(dim, 1) +
		table * sizeof(uint32_t);
	return memory;
}
