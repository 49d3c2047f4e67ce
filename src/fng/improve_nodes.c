/*-------------------------------------------------------------------------
 *
 * improve_nodes.c
 *	  descartes_index_refine: each live node chooses its edges anew.
 *
 * Candidates are the live nodes that a search for the node's own vector
 * visits, with a list of build_res_cnt, and those that it has edges to; their
 * vectors are exact.  Nothing is written if the choice has nothing new.
 * Neighbours that are new are offered an edge back, as by an insert.
 *
 * An edge to a node that has few others stays, and so does an anchor.  So a
 * call that is stopped leaves no node less connected than before, but for what
 * others do meanwhile.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/vacuum.h"
#include "improve.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Others may change the node while we compute; then we try again. */
#define IMPROVE_TRIES		3

/*
 * If most nodes are dead a search comes home with few that live; then it is
 * repeated with a longer list, this many times build_res_cnt at most.
 */
#define MAX_LIST_FACTOR		8

/* The progress is noted every so many pages. */
#define BLOCKS_PER_NOTE		128

static void improve_page(FngImprove *improve, BlockNumber block, uint32 *ids);
static bool improve_node(FngImprove *improve, uint8 level, uint32 id);
static uint32 collect_live(FngImprove *improve, uint8 level, const FngPoint *node,
						   FngVisit **visits);
static FngPoint *list_candidates(FngImprove *improve, uint8 level, const FngPoint *node,
								 uint32 *ncandidates, uint32 *nalive);
static bool is_better(const FngPoint *node, FngPoint **chosen, uint32 nchosen,
					  uint32 nalive);
static bool write_edges(FngImprove *improve, uint8 level, const FngPoint *node,
						uint16 version, const FngEdge *edges, uint32 nedges,
						bool *written);
static void count_changes(FngImprove *improve, const FngPoint *node,
						  FngPoint **chosen, uint32 nchosen);
static void offer_back(FngImprove *improve, uint8 level, FngPoint *node,
					   FngPoint **chosen, uint32 nchosen);
static bool has_edge(const FngPoint *node, uint32 id);
static bool is_anchor(const FngPoint *node, uint32 id);

/* Improve the nodes of the pages from first on, noting how far we are. */
void
fng_improve_nodes(FngImprove *improve, BlockNumber first)
{
	uint32	   *ids = palloc(improve->layout.slots_per_page * sizeof(uint32));

	fng_improve_phase(FNG_PHASE_REFINE, improve->nblocks);
	for (BlockNumber block = first; block < improve->nblocks; block++)
	{
		if (block % BLOCKS_PER_NOTE == 0)
			fng_improve_note(improve, block);
		improve_page(improve, block, ids);
		fng_improve_progress(block + 1);
	}
	pfree(ids);
}

static void
improve_page(FngImprove *improve, BlockNumber block, uint32 *ids)
{
	FngInserter *inserter = improve->inserter;
	uint8		level = 0;
	uint32		n;

	fng_improve_refresh(improve);
	n = fng_improve_live(improve, block, &level, ids);
	for (uint32 i = 0; i < n; i++)
	{
		bool		done = false;

		for (int tries = 0; tries < IMPROVE_TRIES && !done; tries++)
		{
			MemoryContext old = MemoryContextSwitchTo(inserter->row_context);

			compat_vacuum_delay_point();
			done = improve_node(improve, level, ids[i]);
			MemoryContextSwitchTo(old);
			MemoryContextReset(inserter->row_context);
		}
	}
	compat_vacuum_delay_point();
}

/* Returns false if others changed the node meanwhile. */
static bool
improve_node(FngImprove *improve, uint8 level, uint32 id)
{
	FngInserter *inserter = improve->inserter;
	FngPoint  **chosen = palloc(improve->layout.max_degree * sizeof(FngPoint *));
	FngEdge    *edges = palloc(improve->layout.max_degree * sizeof(FngEdge));
	FngPoint   *candidates;
	uint32		ncandidates;
	uint32		nalive;
	uint32		nchosen;
	FngPoint	node;
	FngNodeData header;
	bool		written;

	if (!fng_improve_read(improve, level, id, &node, &header))
		return true;
	candidates = list_candidates(improve, level, &node, &ncandidates, &nalive);
	nchosen = fng_choose_edges(inserter, &node, candidates, ncandidates,
							   ncandidates, chosen);

	if (!is_better(&node, chosen, nchosen, nalive))
		return true;
	fng_make_edges(inserter, &node, chosen, nchosen, edges);
	for (uint32 i = 0; i < nchosen; i++)
		edges[i].anchor = is_anchor(&node, chosen[i]->id);
	if (!write_edges(improve, level, &node, header.version, edges, nchosen, &written))
		return false;
	if (written)
	{
		improve->nchanged++;
		count_changes(improve, &node, chosen, nchosen);
		offer_back(improve, level, &node, chosen, nchosen);
	}
	return true;
}

/*
 * Search for a node.  What is visited lives until the next search.  If most
 * of it is dead, look farther.
 */
static uint32
collect_live(FngImprove *improve, uint8 level, const FngPoint *node, FngVisit **visits)
{
	FngSearch  *search = improve->inserter->search;
	uint32		build_res_cnt = improve->inserter->index->meta.build_res_cnt;
	uint32		before = 0;

	for (uint32 factor = 1;; factor *= 2)
	{
		uint32		n = fng_search_collect(search, node->value, node->aux, level,
										   build_res_cnt * factor, visits);
		uint32		nlive = 0;

		for (uint32 i = 0; i < n; i++)
			nlive += ((*visits)[i].flags & FNG_NODE_LIVE) != 0;
		if (nlive > build_res_cnt / 2 || n == before || factor >= MAX_LIST_FACTOR)
			return n;
		before = n;
	}
}

/*
 * What a node may choose from: the nearest live nodes visited, as many as a
 * build offers, and those that it leads to, of which *nalive live.
 */
static FngPoint *
list_candidates(FngImprove *improve, uint8 level, const FngPoint *node, uint32 *ncandidates,
				uint32 *nalive)
{
	FngVisit   *visits;
	uint32		nvisits = collect_live(improve, level, node, &visits);
	uint32		most = Max(2 * improve->layout.max_degree,
						   improve->inserter->index->meta.build_res_cnt);
	FngPoint   *candidates = palloc((most + node->nedges) * sizeof(FngPoint));
	bool	   *visited = palloc0((node->nedges + 1) * sizeof(bool));
	uint32		n = 0;

	*nalive = 0;
	qsort(visits, nvisits, sizeof(FngVisit), fng_compare_visits);
	for (uint32 i = 0; i < nvisits && n < most; i++)
	{
		if (!(visits[i].flags & FNG_NODE_LIVE) || visits[i].id == node->id)
			continue;
		for (uint32 k = 0; k < node->nedges; k++)
			visited[k] |= node->edges[k] == visits[i].id;
		fng_point_init(improve->inserter, &candidates[n++], visits[i].id, visits[i].value,
					   visits[i].aux);
	}
	for (uint32 k = 0; k < node->nedges; k++)
	{
		FngNodeData header;

		if (visited[k])
			(*nalive)++;
		else if (fng_improve_read(improve, level, node->edges[k], &candidates[n], &header))
		{
			(*nalive)++;
			n++;
		}
	}
	for (uint32 i = 0; i < n; i++)
		candidates[i].protect = is_anchor(node, candidates[i].id) ||
			(fng_in_degree(improve, candidates[i].id) <= FNG_MIN_IN_DEGREE &&
			 has_edge(node, candidates[i].id));
	*ncandidates = n;
	return candidates;
}

/*
 * Is there anything to write: an edge that the node does not have, or one of
 * those it has that leads to no live node?  Otherwise it keeps them all: more
 * than max_degree if some are pending.
 */
static bool
is_better(const FngPoint *node, FngPoint **chosen, uint32 nchosen, uint32 nalive)
{
	for (uint32 i = 0; i < nchosen; i++)
	{
		if (!has_edge(node, chosen[i]->id))
			return true;
	}
	return nalive < node->nedges;
}

/*
 * Write the edges, unless the node died (then *written is false) or its
 * edges are not those of that version any more (then false is returned).
 * Takes and releases an exclusive lock.
 */
static bool
write_edges(FngImprove *improve, uint8 level, const FngPoint *node, uint16 version,
			const FngEdge *edges, uint32 nedges, bool *written)
{
	const FngLayout *layout = &improve->layout;
	uint32		number = FngIdSlot(layout, node->id);
	Buffer		buffer = ReadBuffer(improve->index, FngIdBlock(layout, node->id));
	FngNode		header;
	bool		current;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	header = FngSlotNode(FngPageSlot(layout, BufferGetPage(buffer), number));
	*written = fng_node_usable(layout, BufferGetPage(buffer), number, level) &&
		(header->flags & FNG_NODE_LIVE) != 0;
	current = !*written || header->version == version;
	if (*written && current)
	{
		FngChange	change;
		Page		page;

		fng_change_begin(&change, improve->index, false);
		page = fng_change_page(&change, buffer, false);
		fng_slot_set_edges(layout, FngPageSlot(layout, page, number), edges, nedges);
		fng_change_finish(&change);
	}
	UnlockReleaseBuffer(buffer);
	return current;
}

/* Keep the counts of incoming edges up with what was written. */
static void
count_changes(FngImprove *improve, const FngPoint *node, FngPoint **chosen, uint32 nchosen)
{
	for (uint32 k = 0; k < node->nedges; k++)
	{
		bool		kept = false;

		for (uint32 i = 0; i < nchosen && !kept; i++)
			kept = chosen[i]->id == node->edges[k];
		if (!kept)
			fng_in_degree_remove(improve, node->edges[k]);
	}
	for (uint32 i = 0; i < nchosen; i++)
	{
		if (!has_edge(node, chosen[i]->id))
			fng_in_degree_add(improve, chosen[i]->id);
	}
}

/*
 * Offer an edge back to the neighbours that are new.  What they drop for it is
 * counted; what they add is not, so counts are too small rather than too large.
 */
static void
offer_back(FngImprove *improve, uint8 level, FngPoint *node, FngPoint **chosen, uint32 nchosen)
{
	FngInserter *inserter = improve->inserter;

	for (uint32 i = 0; i < nchosen; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!has_edge(node, chosen[i]->id))
			(void) fng_link_back(inserter, level, chosen[i], node, false);
	}
	for (uint32 i = 0; i < inserter->ndropped; i++)
		fng_in_degree_remove(improve, inserter->dropped[i]);
	inserter->ndropped = 0;
}

static bool
has_edge(const FngPoint *node, uint32 id)
{
	for (uint32 i = 0; i < node->nedges; i++)
	{
		if (node->edges[i] == id)
			return true;
	}
	return false;
}

static bool
is_anchor(const FngPoint *node, uint32 id)
{
	for (uint32 i = 0; i < node->nedges; i++)
	{
		if (node->edges[i] == id)
			return node->anchors[i];
	}
	return false;
}
