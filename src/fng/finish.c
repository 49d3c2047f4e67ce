/*-------------------------------------------------------------------------
 *
 * finish.c
 *	  CREATE INDEX: every node must be found by its own vector.
 *
 * That a node is reachable does not mean that a search gets there
 * (algorithms.md section 4.4).  So each node is searched for with the codes
 * as stored and a short list; where the search misses it, the nearest node
 * that the search did visit gets an edge to it.  That may crowd out another
 * edge, so the next round looks for the nodes missed and for those that lost
 * an edge.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "build.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* A shorter list than any search that fills LIMIT 10 at good recall. */
#define FIND_LIST_SIZE	32
#define MAX_ROUNDS		4

/* Nodes that a member of the team claims at a time */
#define NODES_AT_A_TIME	256

/* Nodes to look for in the next round */
typedef struct FindList
{
	uint32	   *ids;
	uint32		n;
	uint32		capacity;
} FindList;

static void find_all(FngBuild *build, FngInserter *inserter, FindList *list);
static void find_node(FngBuild *build, FngInserter *inserter, uint32 id, FindList *missed);
static void append(FngInserter *inserter, FindList *list, const uint32 *ids, uint32 n);

/*
 * Each member looks for the nodes that it claims, and then for those that it
 * missed or took an edge from.
 */
void
fng_make_findable(FngBuild *build)
{
	FindList	list = {0};
	uint32		missed;
	FngInserter *inserter = fng_inserter_create(build->index, build->opclass, true,
												build->context);

	inserter->keep_dropped = true;
	inserter->search = fng_search_create(build->index, inserter->context);
	inserter->index = fng_search_index(inserter->search);
	fng_build_phase(build, FNG_PHASE_FINDABILITY, build->nrows);
	find_all(build, inserter, &list);
	missed = list.n;

	for (int round = 0;; round++)
	{
		FindList	next = {0};

		append(inserter, &list, inserter->dropped, inserter->ndropped);
		if (list.n == 0 || round == MAX_ROUNDS - 1)
			break;
		inserter->ndropped = 0;
		for (uint32 i = 0; i < list.n; i++)
			find_node(build, inserter, list.ids[i], &next);
		list = next;
	}
	ereport(DEBUG1,
			(errmsg_internal("fng: %u nodes were not found by their own vector, %u remain to be checked",
							 missed, list.n)));
	MemoryContextDelete(inserter->context);
	fng_team_barrier(build->team);
}

/* The first round: all nodes of the base. */
static void
find_all(FngBuild *build, FngInserter *inserter, FindList *list)
{
	uint32		first = build->levels[0].first_block * build->layout.slots_per_page;
	uint64		from;

	while ((from = fng_team_claim(build->team, FNG_CLAIM_FIND, NODES_AT_A_TIME)) < build->nrows)
	{
		uint32		end = (uint32) Min(from + NODES_AT_A_TIME, build->nrows);

		for (uint32 i = (uint32) from; i < end; i++)
			find_node(build, inserter, first + i, list);
		fng_build_progress(build, Min(fng_team_claimed(build->team, FNG_CLAIM_FIND), build->nrows));
	}
}

/* Look for a node; if it is missed, link it and note it. */
static void
find_node(FngBuild *build, FngInserter *inserter, uint32 id, FindList *missed)
{
	const FngLayout *layout = &build->layout;
	MemoryContext old = MemoryContextSwitchTo(inserter->row_context);
	float	   *value = palloc(layout->vector_bytes);
	FngNodeData node;

	CHECK_FOR_INTERRUPTS();
	if (!fng_read_base_node(build->index, layout, id, &node, value))
		elog(ERROR, "node %u vanished during the build of index \"%s\"",
			 id, RelationGetRelationName(build->index));
	if (!fng_find_or_link(inserter, id, value, node.aux))
		append(inserter, missed, &id, 1);
	MemoryContextSwitchTo(old);
	MemoryContextReset(inserter->row_context);
}

static void
append(FngInserter *inserter, FindList *list, const uint32 *ids, uint32 n)
{
	if (n == 0)
		return;
	if (list->capacity - list->n < n)
	{
		list->capacity = Max(256, 2 * (list->n + n));
		if (list->ids == NULL)
			list->ids = MemoryContextAllocHuge(inserter->context,
											   mul_size(list->capacity, sizeof(uint32)));
		else
			list->ids = repalloc_huge(list->ids, mul_size(list->capacity, sizeof(uint32)));
	}
	memcpy(list->ids + list->n, ids, n * sizeof(uint32));
	list->n += n;
}

/*
 * Search for a node of the base by its vector.  Returns false if it was not
 * visited; then the nearest live node that was has got an edge to it.
 */
bool
fng_find_or_link(FngInserter *inserter, uint32 id, const float *value, float aux)
{
	FngVisit   *visits;
	FngVisit   *nearest = NULL;
	uint32		nvisits;
	FngPoint	from;
	FngPoint	to;

	if (fng_search_reaches(inserter->search, value, aux, id, FIND_LIST_SIZE))
		return true;
	nvisits = fng_search_collect(inserter->search, value, aux, 0, FIND_LIST_SIZE, &visits);
	for (uint32 i = 0; i < nvisits; i++)
	{
		if (visits[i].id != id && (visits[i].flags & FNG_NODE_LIVE) &&
			(nearest == NULL || visits[i].score < nearest->score))
			nearest = &visits[i];
	}
	if (nearest == NULL)
		return false;
	fng_point_init(inserter, &from, nearest->id, nearest->value, nearest->aux);
	fng_point_init(inserter, &to, id, value, aux);
	(void) fng_link_back(inserter, 0, &from, &to, true);
	return false;
}
