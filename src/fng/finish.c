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

static bool find_or_link(FngInserter *inserter, uint32 id, float *value, float aux);

void
fng_make_findable(FngBuild *build)
{
	const FngLayout *layout = &build->layout;
	uint32	   *missing;
	uint32		nmissing = build->nrows;
	uint32		repaired = 0;
	FngInserter *inserter = fng_inserter_create(build->index, build->opclass, true,
												build->context);
	float	   *value = MemoryContextAlloc(inserter->context, layout->vector_bytes);

	inserter->keep_dropped = true;
	inserter->search = fng_search_create(build->index, inserter->context);
	inserter->index = fng_search_index(inserter->search);
	missing = MemoryContextAllocHuge(inserter->context,
									 mul_size(nmissing, sizeof(uint32)));
	for (uint32 i = 0; i < nmissing; i++)
		missing[i] = build->levels[0].first_block * layout->slots_per_page + i;

	for (int round = 0; round < MAX_ROUNDS && nmissing > 0; round++)
	{
		uint32		left = 0;

		fng_build_phase(FNG_PHASE_FINDABILITY, nmissing);
		inserter->ndropped = 0;
		for (uint32 i = 0; i < nmissing; i++)
		{
			MemoryContext old = MemoryContextSwitchTo(inserter->row_context);
			FngNodeData node;

			CHECK_FOR_INTERRUPTS();
			if (!fng_read_base_node(build->index, layout, missing[i], &node, value))
				elog(ERROR, "node %u vanished during the build of index \"%s\"",
					 missing[i], RelationGetRelationName(build->index));
			if (!find_or_link(inserter, missing[i], value, node.aux))
				missing[left++] = missing[i];
			MemoryContextSwitchTo(old);
			MemoryContextReset(inserter->row_context);
			if (i % 256 == 0)
				fng_build_progress(i);
		}
		if (round == 0)
			repaired = left;
		missing = repalloc_huge(missing, mul_size(Max(1, add_size(left, inserter->ndropped)),
												  sizeof(uint32)));
		if (inserter->ndropped > 0)
			memcpy(missing + left, inserter->dropped, inserter->ndropped * sizeof(uint32));
		nmissing = left + inserter->ndropped;
	}
	ereport(DEBUG1,
			(errmsg_internal("fng: %u nodes were not found by their own vector, %u remain to be checked",
							 repaired, nmissing)));
	MemoryContextDelete(inserter->context);
}

/*
 * Search for a node by its vector.  Returns false if it was not visited; then
 * it has got another edge.
 */
static bool
find_or_link(FngInserter *inserter, uint32 id, float *value, float aux)
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
		if (nearest == NULL || visits[i].score < nearest->score)
			nearest = &visits[i];
	}
	if (nearest == NULL)
		return false;
	fng_point_init(inserter, &from, nearest->id, nearest->value, nearest->aux);
	fng_point_init(inserter, &to, id, value, aux);
	(void) fng_link_back(inserter, 0, &from, &to, true);
	return false;
}
