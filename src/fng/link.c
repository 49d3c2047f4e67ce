/*-------------------------------------------------------------------------
 *
 * link.c
 *	  Edges: choosing them, encoding them, and adding one to a node that
 *	  others use.
 *
 * A back-link goes into the pending area of its node.  When that is full the
 * node chooses anew among all its edges (reselect.c), without a lock and
 * without reading another page; the result is written if the node's version
 * is still the one that was read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>

#include "access/xlog.h"
#include "common/hashfn.h"
#include "frontier.h"
#include "insert.h"
#include "miscadmin.h"
#include "utils/rel.h"

/* A new node asks so many for an edge to it where that is cheap ... */
#define MAX_BACK_LINKS(layout)	((layout)->max_degree * 3 / 4)

/* ... and goes on until so many have given one where it is not. */
#define MIN_BACK_LINKS	2

/* Others may change the node while we compute; then we try again. */
#define RESELECT_TRIES	3

typedef enum LinkState
{
	LINK_DONE,
	LINK_REFUSED,
	LINK_FULL					/* there is a copy of the slot to choose from */
} LinkState;

static uint32 leave_nearest(FngPoint *candidates, uint32 ncandidates, uint32 most);
static int	compare_points(const void *a, const void *b);
static bool is_cold(FngInserter *inserter, FngPoint **chosen, const bool *asked,
					uint32 nchosen, uint32 i);
static LinkState add_pending(FngInserter *inserter, uint8 level, uint32 from,
							 const FngEdge *edge, char *copy);
static bool takes_edges(const FngLayout *layout, Page page, uint32 slot, uint8 level);
static LinkState write_slot(FngInserter *inserter, uint8 level, uint32 id,
							uint16 version, char *copy);

/*
 * Describe a node.  value must stay valid as long as the point; what is
 * computed is allocated in the current memory context.
 */
void
fng_point_init(FngInserter *inserter, FngPoint *point, uint32 id,
			   const float *value, float aux)
{
	const FngLayout *layout = &inserter->index->layout;

	point->id = id;
	point->aux = aux;
	point->value = value;
	point->rotated = NULL;
	point->dist = 0;
	point->protect = false;
	point->lsn = InvalidXLogRecPtr;
	point->edges = NULL;
	point->anchors = NULL;
	point->nedges = 0;
	if (layout->metric == FNG_L2)
		point->coded = value;
	else
	{
		float	   *coded = palloc(layout->code.dim * sizeof(float));

		fng_coded_vector(layout, value, aux, coded);
		point->coded = coded;
	}
}

/*
 * Choose the edges of a node among candidates, which are sorted here by
 * distance: the nearest "most", and those to protect, which are kept whatever
 * the rule says.  Returns their number, at most max_degree, strongest first.
 */
uint32
fng_choose_edges(FngInserter *inserter, FngPoint *node, FngPoint *candidates,
				 uint32 ncandidates, uint32 most, FngPoint **chosen)
{
	const FngLayout *layout = &inserter->index->layout;
	const DistanceKernels *kernels = distance_kernels();
	GraphParams params = inserter->graph;
	const float **vectors;
	float	   *dist;
	bool	   *protect;
	uint32	   *indexes;
	uint32		seed;
	uint32		n;

	if (ncandidates == 0)
		return 0;
	seed = hash_bytes((const unsigned char *) node->coded, layout->code.dim * sizeof(float));
	vectors = palloc(ncandidates * sizeof(float *));
	dist = palloc(ncandidates * sizeof(float));
	protect = palloc(ncandidates * sizeof(bool));
	indexes = palloc(layout->max_degree * sizeof(uint32));

	for (uint32 i = 0; i < ncandidates; i++)
	{
		float		squared = kernels->l2_squared(layout->code.dim, node->coded,
												  candidates[i].coded);

		/* selection wants numbers, however far */
		candidates[i].dist = squared < FLT_MAX ? squared : FLT_MAX;
		candidates[i].tie = fng_hash_id(candidates[i].id ^ seed);
	}
	qsort(candidates, ncandidates, sizeof(FngPoint), compare_points);
	ncandidates = leave_nearest(candidates, ncandidates, most);
	for (uint32 i = 0; i < ncandidates; i++)
	{
		vectors[i] = candidates[i].coded;
		dist[i] = candidates[i].dist;

		/*
		 * Others lead to one of several equal nodes at best, so they lead to
		 * each other.
		 */
		protect[i] = dist[i] == 0 || candidates[i].protect;
	}
	params.max_degree = layout->max_degree;
	n = graph_select(&params, layout->code.dim, ncandidates, vectors, dist, protect,
					 indexes, palloc(graph_select_scratch(ncandidates, layout->max_degree)));
	for (uint32 i = 0; i < n; i++)
		chosen[i] = &candidates[indexes[i]];
	return n;
}

/*
 * Leave, of candidates in order, the first "most" and those to protect: from
 * what is farther little is ever chosen, and the choice takes the square of
 * their number.
 */
static uint32
leave_nearest(FngPoint *candidates, uint32 ncandidates, uint32 most)
{
	uint32		n = Min(ncandidates, most);

	for (uint32 i = n; i < ncandidates; i++)
	{
		if (candidates[i].protect)
			candidates[n++] = candidates[i];
	}
	return n;
}

/*
 * Where many are at the same distance (whose squares are beyond float32, say)
 * each node must choose others, or nobody leads to most of them.
 */
static int
compare_points(const void *a, const void *b)
{
	const FngPoint *left = (const FngPoint *) a;
	const FngPoint *right = (const FngPoint *) b;

	if (left->dist != right->dist)
		return left->dist < right->dist ? -1 : 1;
	return left->tie < right->tie ? -1 : (left->tie > right->tie);
}

/*
 * Encode the edges from node to the chosen.  The codes are allocated in the
 * current memory context.
 */
void
fng_make_edges(FngInserter *inserter, FngPoint *node, FngPoint **chosen,
			   uint32 nchosen, FngEdge *edges)
{
	const FngLayout *layout = &inserter->index->layout;

	for (uint32 i = 0; i < nchosen; i++)
	{
		uint8	   *row = palloc(layout->row_bytes);

		fng_rotate_point(inserter, node);
		fng_rotate_point(inserter, chosen[i]);
		edges[i].id = chosen[i]->id;
		edges[i].row = row;
		edges[i].anchor = false;
		code_encode(&layout->code, layout->form, node->rotated, chosen[i]->rotated,
					row, &edges[i].add, &edges[i].mul);
	}
}

/* Fill point->rotated, if that has not been done. */
void
fng_rotate_point(FngInserter *inserter, FngPoint *point)
{
	if (point->rotated == NULL)
	{
		point->rotated = palloc(inserter->index->layout.code.rotdim * sizeof(float));
		fng_code_point(inserter->index, point->coded, point->rotated);
	}
}

/*
 * Have the chosen lead back to a new node.
 *
 * The nearest that will gets an anchor.  Of the others those come first whose
 * page has been logged as a whole since the last checkpoint: there the record
 * is a hundred bytes, elsewhere it takes the page along.  So where inserts are
 * many most neighbours lead back; where they are few and far between a new
 * node has few ways to it, and gets more as others link to it in turn.
 */
void
fng_link_new(FngInserter *inserter, uint8 level, FngPoint *point, FngPoint **chosen,
			 uint32 nchosen)
{
	bool	   *asked = palloc0(nchosen * sizeof(bool));
	uint32		accepted = 0;

	for (uint32 i = 0; i < nchosen && accepted == 0; i++)
	{
		asked[i] = true;
		accepted += fng_link_back(inserter, level, chosen[i], point, true);
	}
	for (int cold = 0; cold <= 1; cold++)
	{
		for (uint32 i = 0; i < nchosen; i++)
		{
			if (accepted >= (cold ? MIN_BACK_LINKS : MAX_BACK_LINKS(&inserter->index->layout)))
				break;
			if (asked[i] || (!cold && is_cold(inserter, chosen, asked, nchosen, i)))
				continue;
			CHECK_FOR_INTERRUPTS();
			asked[i] = true;
			accepted += fng_link_back(inserter, level, chosen[i], point, false);
		}
	}
}

/*
 * Would a change of the node's page be logged with all of the page?  Not if
 * one was logged since the last checkpoint, or by us just now.
 */
static bool
is_cold(FngInserter *inserter, FngPoint **chosen, const bool *asked, uint32 nchosen,
		uint32 i)
{
	const FngLayout *layout = &inserter->index->layout;

	if (inserter->building || !fullPageWrites || !RelationNeedsWAL(inserter->relation) ||
		chosen[i]->lsn > GetRedoRecPtr())
		return false;
	for (uint32 j = 0; j < nchosen; j++)
	{
		if (asked[j] && FngIdBlock(layout, chosen[j]->id) == FngIdBlock(layout, chosen[i]->id))
			return false;
	}
	return true;
}

/*
 * Add the edge from -> to, where "to" is in its slot already.  Returns false
 * if the node prefers its other edges, is no more, or is changed by others
 * again and again.  An anchor (fng.h) the node refuses only if it has too many
 * of them.  Idempotent: an edge that exists stays as it is.  Locks one page at
 * a time, and reads no other than that of the node.
 */
bool
fng_link_back(FngInserter *inserter, uint8 level, FngPoint *from, FngPoint *to,
			  bool anchor)
{
	const FngLayout *layout = &inserter->index->layout;
	char	   *slot;
	FngEdge		edge;
	LinkState	state;

	/* compute before locking */
	fng_make_edges(inserter, from, &to, 1, &edge);
	edge.anchor = anchor;

	slot = palloc(layout->slot_size);
	state = add_pending(inserter, level, from->id, &edge, slot);
	for (int i = 0; state == LINK_FULL && i < RESELECT_TRIES; i++)
	{
		uint16		version = FngSlotNode(slot)->version;
		bool		accepted = fng_reselect(inserter, from, slot, &edge);

		state = write_slot(inserter, level, from->id, version, slot);
		if (state == LINK_DONE && !accepted)
			state = LINK_REFUSED;
	}
	pfree(slot);
	return state == LINK_DONE;
}

/*
 * Add the edge to the pending area.  If that is full, copy the slot, for a
 * choice without a lock.
 */
static LinkState
add_pending(FngInserter *inserter, uint8 level, uint32 from, const FngEdge *edge,
			char *copy)
{
	const FngLayout *layout = &inserter->index->layout;
	uint32		slot_number = FngIdSlot(layout, from);
	Buffer		buffer = fng_read_block(inserter->relation, FngIdBlock(layout, from), NULL);
	LinkState	state = LINK_DONE;
	FngChange	change;
	Page		page;
	char	   *slot;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	page = BufferGetPage(buffer);
	slot = FngPageSlot(layout, page, slot_number);
	if (!takes_edges(layout, page, slot_number, level))
		state = LINK_REFUSED;
	else if (fng_slot_has_edge(layout, slot, edge->id))
	{
		if (edge->anchor)
		{
			fng_change_begin(&change, inserter->relation, inserter->building);
			page = fng_change_page(&change, buffer, false);
			fng_slot_set_anchor(layout, FngPageSlot(layout, page, slot_number), edge->id);
			fng_change_finish(&change);
		}
	}
	else if (FngSlotNode(slot)->npending >= layout->max_pending)
	{
		memcpy(copy, slot, layout->slot_size);
		state = LINK_FULL;
	}
	else
	{
		fng_change_begin(&change, inserter->relation, inserter->building);
		page = fng_change_page(&change, buffer, false);
		slot = FngPageSlot(layout, page, slot_number);
		if (fng_slot_add_pending(layout, slot, edge))
			fng_change_finish(&change);
		else
		{
			/* the factor does not fit the slot's unit */
			fng_change_abort(&change);
			memcpy(copy, FngPageSlot(layout, BufferGetPage(buffer), slot_number),
				   layout->slot_size);
			state = LINK_FULL;
		}
	}
	UnlockReleaseBuffer(buffer);
	return state;
}

/*
 * A node that is unlinked takes no edges: soon nobody will come by.
 */
static bool
takes_edges(const FngLayout *layout, Page page, uint32 slot, uint8 level)
{
	return fng_node_usable(layout, page, slot, level) &&
		FngSlotNode(FngPageSlot(layout, page, slot))->flags != FNG_NODE_UNLINKED;
}

/*
 * Write a slot that was changed in a copy, if it still is of the version that
 * was copied; otherwise copy it anew.
 */
static LinkState
write_slot(FngInserter *inserter, uint8 level, uint32 id, uint16 version,
		   char *copy)
{
	const FngLayout *layout = &inserter->index->layout;
	uint32		slot_number = FngIdSlot(layout, id);
	Buffer		buffer = fng_read_block(inserter->relation, FngIdBlock(layout, id), NULL);
	LinkState	state = LINK_DONE;
	Page		page = BufferGetPage(buffer);
	char	   *slot = FngPageSlot(layout, page, slot_number);

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (!takes_edges(layout, page, slot_number, level))
		state = LINK_REFUSED;
	else if (FngSlotNode(slot)->version != version)
	{
		memcpy(copy, slot, layout->slot_size);
		state = LINK_FULL;
	}
	else
	{
		FngChange	change;
		FngNodeData rows = *FngSlotNode(slot);	/* of the heap: may have
												 * changed */

		fng_change_begin(&change, inserter->relation, inserter->building);
		page = fng_change_page(&change, buffer, false);
		slot = FngPageSlot(layout, page, slot_number);
		memcpy(slot, copy, layout->slot_size);
		FngSlotNode(slot)->stamp = rows.stamp;
		FngSlotNode(slot)->tid = rows.tid;
		FngSlotNode(slot)->flags = rows.flags;
		FngSlotNode(slot)->link = rows.link;
		fng_change_finish(&change);
	}
	UnlockReleaseBuffer(buffer);
	return state;
}
