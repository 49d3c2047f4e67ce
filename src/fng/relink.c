/*-------------------------------------------------------------------------
 *
 * relink.c
 *	  After a pass of VACUUM: edges to nodes that lost what led to them.
 *
 * Repair (repair.c) is about the edges that a node has; of those that lead to
 * it, some came from nodes that were unlinked.  Two kinds of nodes get others:
 * those whose anchor (fng.h) went, and those that the pass has seen too few
 * edges lead to.  Such a node is searched for by its own vector, and the
 * nearest live nodes visited get an anchor to it, as by an insert.
 *
 * What leads to a node must be reached without it.  So only nodes that were
 * visited before it are taken, unless the search began with it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/vacuum.h"
#include "improve.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "vacuum.h"

/* Size of the list of the searches. */
#define RELINK_LIST_SIZE	32

static void relink_node(FngImprove *improve, uint32 id, uint32 missing);
static uint8 level_of(FngImprove *improve, uint32 id);
static uint32 candidates(FngVisit *visits, uint32 nvisits, uint32 id);
static bool give_edge(FngImprove *improve, uint8 level, const FngVisit *visit, FngPoint *to,
					  bool exists_counts);

/* The caller holds no lock of a page. */
void
fng_relink(FngVacuum *vacuum)
{
	FngIdList  *orphans = &vacuum->orphans;
	uint32		floor = (uint32) Min(FNG_MIN_IN_DEGREE, Max(vacuum->nlive, 1) - 1);
	FngImprove	improve = {.index = vacuum->index,.layout = vacuum->layout};
	FngInserter *inserter;

	for (uint64 id = 0; vacuum->in_degree != NULL && id < vacuum->nids; id++)
	{
		uint8		in_degree = vacuum->in_degree[id];

		if ((in_degree & FNG_INDEGREE_LOST) && !fng_is_doomed(vacuum, (uint32) id) &&
			(in_degree & FNG_INDEGREE_MAX) < floor)
			fng_ids_add(vacuum, orphans, (uint32) id);
	}
	if (orphans->n == 0)
		return;

	qsort(orphans->ids, orphans->n, sizeof(uint32), fng_compare_ids);
	inserter = fng_inserter_create(vacuum->index, fng_opclass(vacuum->index), false,
								   vacuum->context);
	inserter->search = fng_search_create(vacuum->index, inserter->context);
	inserter->index = fng_search_index(inserter->search);
	improve.inserter = inserter;
	for (uint64 i = 0; i < orphans->n; i++)
	{
		uint32		id = orphans->ids[i];
		uint32		missing = 1;

		if (i > 0 && orphans->ids[i - 1] == id)
			continue;
		if (vacuum->in_degree != NULL && id < vacuum->nids &&
			(vacuum->in_degree[id] & FNG_INDEGREE_MAX) < floor)
			missing = Max(missing, floor - (vacuum->in_degree[id] & FNG_INDEGREE_MAX));
		relink_node(&improve, id, missing);
		compat_vacuum_delay_point();
	}
}

/* Search for a live node and let the nearest live ones, so many, lead to it. */
static void
relink_node(FngImprove *improve, uint32 id, uint32 missing)
{
	FngInserter *inserter = improve->inserter;
	MemoryContext old = MemoryContextSwitchTo(inserter->row_context);
	uint8		level = level_of(improve, id);
	FngPoint	to;
	FngNodeData node;

	if (fng_improve_read(improve, level, id, &to, &node))
	{
		FngVisit   *visits;
		uint32		n = fng_search_collect(inserter->search, to.value, to.aux, level,
										   RELINK_LIST_SIZE, &visits);
		bool		anchored = false;

		n = candidates(visits, n, id);
		for (uint32 i = 0; i < n && missing > 0; i++)
		{
			/* the first may be an edge that exists and becomes an anchor */
			if (!give_edge(improve, level, &visits[i], &to, !anchored))
				continue;
			anchored = true;
			missing--;
		}
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(inserter->row_context);
}

/* The level of a node; what is none of any level is not of the base, either. */
static uint8
level_of(FngImprove *improve, uint32 id)
{
	const FngLayout *layout = &improve->layout;
	Buffer		buffer = fng_read_block(improve->index, FngIdBlock(layout, id), NULL);
	uint32		mark;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	mark = FngSlotNode(FngPageSlot(layout, BufferGetPage(buffer), FngIdSlot(layout, id)))->mark;
	UnlockReleaseBuffer(buffer);
	return mark - FNG_NODE_MARK < FNG_MAX_LEVELS ? mark - FNG_NODE_MARK : 0;
}

/*
 * Put the visits that may lead to a node first, the nearest of them at the
 * beginning.  Returns their number.  Where nothing is live the entry is dead,
 * and has to do.
 */
static uint32
candidates(FngVisit *visits, uint32 nvisits, uint32 id)
{
	uint32		before = 0;
	uint32		n = 0;
	uint16		flags = FNG_NODE_DEAD;

	while (before < nvisits && visits[before].id != id)
		before++;
	if (before > 0)
		nvisits = before;
	for (uint32 i = 0; i < nvisits; i++)
	{
		if ((visits[i].flags & FNG_NODE_LIVE) && visits[i].id != id)
			flags = FNG_NODE_LIVE;
	}
	for (uint32 i = 0; i < nvisits; i++)
	{
		if ((visits[i].flags & flags) && visits[i].id != id)
			visits[n++] = visits[i];
	}
	qsort(visits, n, sizeof(FngVisit), fng_compare_visits);
	return n;
}

/* Have a node lead to another, by an anchor. */
static bool
give_edge(FngImprove *improve, uint8 level, const FngVisit *visit, FngPoint *to,
		  bool exists_counts)
{
	FngPoint	from;
	FngNodeData node;

	CHECK_FOR_INTERRUPTS();
	if (!exists_counts)
	{
		if (!fng_improve_read(improve, level, visit->id, &from, &node))
			return false;
		for (uint32 i = 0; i < from.nedges; i++)
		{
			if (from.edges[i] == to->id)
				return false;
		}
	}
	fng_point_init(improve->inserter, &from, visit->id, visit->value, visit->aux);
	return fng_link_back(improve->inserter, level, &from, to, true);
}
