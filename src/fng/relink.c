/*-------------------------------------------------------------------------
 *
 * relink.c
 *	  After a pass of VACUUM: edges to nodes that too few lead to.
 *
 * Repair (repair.c) is about the edges that a node has; of those that lead to
 * it, some came from nodes that were unlinked.  The pass has counted what is
 * left.  A node below the floor that lost an edge is searched for by its own
 * vector, and the nearest live nodes visited get an edge to it, as by an
 * insert, even at the cost of others.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/vacuum.h"
#include "insert.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "vacuum.h"

/* Size of the list of the searches. */
#define RELINK_LIST_SIZE	32

static void relink_node(FngInserter *inserter, uint32 id, uint32 missing);
static int	compare_visits(const void *a, const void *b);

/* The caller holds no lock of a page. */
void
fng_relink(FngVacuum *vacuum)
{
	uint32		floor = (uint32) Min(FNG_INDEGREE_FLOOR, Max(vacuum->nlive, 1) - 1);
	FngInserter *inserter = NULL;

	if (vacuum->in_degree == NULL)
		return;
	for (uint64 id = 0; id < vacuum->nids; id++)
	{
		uint8		in_degree = vacuum->in_degree[id];
		uint32		n = in_degree & FNG_INDEGREE_MAX;

		if (!(in_degree & FNG_INDEGREE_LOST) || n >= floor ||
			fng_is_doomed(vacuum, (uint32) id))
			continue;
		if (inserter == NULL)
		{
			inserter = fng_inserter_create(vacuum->index, fng_opclass(vacuum->index), false,
										   vacuum->context);
			inserter->search = fng_search_create(vacuum->index, inserter->context);
			inserter->index = fng_search_index(inserter->search);
		}
		relink_node(inserter, (uint32) id, floor - n);
		compat_vacuum_delay_point();
	}
}

/* Search for a node and let the nearest live ones, so many, lead to it. */
static void
relink_node(FngInserter *inserter, uint32 id, uint32 missing)
{
	const FngLayout *layout = &inserter->index->layout;
	MemoryContext old = MemoryContextSwitchTo(inserter->row_context);
	float	   *value = palloc(layout->vector_bytes);
	FngNodeData node;
	FngVisit   *visits;
	uint32		nvisits;
	FngPoint	to;

	if (fng_read_base_node(inserter->relation, layout, id, &node, value) &&
		node.flags == FNG_NODE_LIVE)
	{
		nvisits = fng_search_collect(inserter->search, value, node.aux, 0,
									 RELINK_LIST_SIZE, &visits);
		qsort(visits, nvisits, sizeof(FngVisit), compare_visits);
		fng_point_init(inserter, &to, id, value, node.aux);
		for (uint32 i = 0; i < nvisits && missing > 0; i++)
		{
			FngPoint	from;

			if (visits[i].id == id || visits[i].flags != FNG_NODE_LIVE)
				continue;
			fng_point_init(inserter, &from, visits[i].id, visits[i].value, visits[i].aux);
			if (fng_link_back(inserter, 0, &from, &to, true))
				missing--;
		}
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(inserter->row_context);
}

static int
compare_visits(const void *a, const void *b)
{
	const FngVisit *left = (const FngVisit *) a;
	const FngVisit *right = (const FngVisit *) b;

	if (left->score != right->score)
		return left->score < right->score ? -1 : 1;
	return left->id < right->id ? -1 : (left->id > right->id);
}
