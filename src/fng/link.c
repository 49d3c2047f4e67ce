/*-------------------------------------------------------------------------
 *
 * link.c
 *	  Edges: choosing them, encoding them, and adding one to a node that
 *	  others use.
 *
 * A back-link goes into the pending area of its node.  When that is full the
 * node chooses anew among all its edges: their vectors are read one page at a
 * time, everything is computed without a lock, and the result is written if
 * the node's version is still the one that was read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>

#include "common/hashfn.h"
#include "frontier.h"
#include "insert.h"
#include "miscadmin.h"
#include "utils/rel.h"

/* Others may change the node while we compute; then we try again. */
#define RESELECT_TRIES	3

static int	compare_points(const void *a, const void *b);
static void rotate_point(FngInserter *inserter, FngPoint *point);
static bool reselect(FngInserter *inserter, uint8 level, FngPoint *from,
					 FngPoint *to, bool force, bool *changed_meanwhile);
static bool protect_last_ways(FngPoint *candidates, uint32 ncandidates, uint32 to,
							  FngPoint **chosen, uint32 nchosen);
static void note_dropped(FngInserter *inserter, const uint32 *ids, uint32 nids,
						 FngPoint **chosen, uint32 nchosen);
static bool read_slot(FngInserter *inserter, uint8 level, uint32 id, char *slot);
static bool read_point(FngInserter *inserter, uint8 level, uint32 id, char *slot,
					   FngPoint *point);

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
	point->edges = NULL;
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
 * distance.  Those to protect are kept whatever the rule says.  Returns their
 * number, at most max_degree, strongest first.
 */
uint32
fng_choose_edges(FngInserter *inserter, FngPoint *node, FngPoint *candidates,
				 uint32 ncandidates, FngPoint **chosen)
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

		rotate_point(inserter, node);
		rotate_point(inserter, chosen[i]);
		edges[i].id = chosen[i]->id;
		edges[i].row = row;
		code_encode(&layout->code, layout->form, node->rotated, chosen[i]->rotated,
					row, &edges[i].add, &edges[i].mul);
	}
}

static void
rotate_point(FngInserter *inserter, FngPoint *point)
{
	if (point->rotated == NULL)
	{
		point->rotated = palloc(inserter->index->layout.code.rotdim * sizeof(float));
		fng_code_point(inserter->index, point->coded, point->rotated);
	}
}

/*
 * Add the edge from -> to, where "to" is in its slot already.  Returns false
 * if the node prefers its other edges (not with force), is no more, or is
 * changed by others again and again.  Idempotent: an edge that exists stays as
 * it is.  Locks one page at a time.
 */
bool
fng_link_back(FngInserter *inserter, uint8 level, FngPoint *from, FngPoint *to,
			  bool force)
{
	const FngLayout *layout = &inserter->index->layout;
	uint32		slot_number = FngIdSlot(layout, from->id);
	FngEdge		edge;
	FngChange	change;
	Buffer		buffer;
	Page		page;
	bool		done;

	/* compute before locking */
	fng_make_edges(inserter, from, &to, 1, &edge);

	buffer = fng_read_block(inserter->relation, FngIdBlock(layout, from->id), NULL);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	page = BufferGetPage(buffer);
	if (!fng_node_usable(layout, page, slot_number, level))
	{
		UnlockReleaseBuffer(buffer);
		return false;
	}
	if (fng_slot_has_edge(layout, FngPageSlot(layout, page, slot_number), to->id))
	{
		UnlockReleaseBuffer(buffer);
		return true;
	}
	fng_change_begin(&change, inserter->relation, inserter->building);
	page = fng_change_page(&change, buffer, false);
	done = fng_slot_add_pending(layout, FngPageSlot(layout, page, slot_number), &edge);
	if (done)
		fng_change_finish(&change);
	else
		fng_change_abort(&change);
	UnlockReleaseBuffer(buffer);
	if (done)
		return true;

	for (int i = 0; i < RESELECT_TRIES; i++)
	{
		bool		changed_meanwhile;

		done = reselect(inserter, level, from, to, force, &changed_meanwhile);
		if (!changed_meanwhile)
			return done;
	}
	return false;
}

/*
 * Choose the edges of a node anew among those it has and one to "to".
 * Returns true if the latter is among them and written.
 */
static bool
reselect(FngInserter *inserter, uint8 level, FngPoint *from, FngPoint *to,
		 bool force, bool *changed_meanwhile)
{
	const FngLayout *layout = &inserter->index->layout;
	uint32		slot_number = FngIdSlot(layout, from->id);
	char	   *slot = palloc(layout->slot_size);
	uint32	   *ids = palloc((layout->max_degree + layout->max_pending) * sizeof(uint32));
	uint32		nids;
	FngPoint   *candidates;
	uint32		ncandidates = 0;
	FngPoint  **chosen = palloc(layout->max_degree * sizeof(FngPoint *));
	FngEdge    *edges = palloc(layout->max_degree * sizeof(FngEdge));
	uint32		nchosen;
	uint16		version;
	Buffer		buffer;
	Page		page;
	bool		accepted = false;

	*changed_meanwhile = false;
	if (!read_slot(inserter, level, from->id, slot))
		return false;
	version = FngSlotNode(slot)->version;
	nids = fng_slot_edge_ids(layout, slot, ids);
	candidates = palloc((nids + 1) * sizeof(FngPoint));
	for (uint32 i = 0; i < nids; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (ids[i] != to->id &&
			read_point(inserter, level, ids[i], slot, &candidates[ncandidates]))
			ncandidates++;
	}
	candidates[ncandidates] = *to;
	candidates[ncandidates++].protect = force;
	nchosen = fng_choose_edges(inserter, from, candidates, ncandidates, chosen);
	if (protect_last_ways(candidates, ncandidates, to->id, chosen, nchosen))
		nchosen = fng_choose_edges(inserter, from, candidates, ncandidates, chosen);
	fng_make_edges(inserter, from, chosen, nchosen, edges);
	for (uint32 i = 0; i < nchosen; i++)
		accepted |= chosen[i]->id == to->id;

	buffer = ReadBuffer(inserter->relation, FngIdBlock(layout, from->id));
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	page = BufferGetPage(buffer);
	if (!fng_node_usable(layout, page, slot_number, level))
		accepted = false;
	else if (FngSlotNode(FngPageSlot(layout, page, slot_number))->version != version)
		*changed_meanwhile = true;
	else
	{
		FngChange	change;

		fng_change_begin(&change, inserter->relation, inserter->building);
		page = fng_change_page(&change, buffer, false);
		fng_slot_set_edges(layout, FngPageSlot(layout, page, slot_number), edges, nchosen);
		fng_change_finish(&change);
		if (inserter->keep_dropped)
			note_dropped(inserter, ids, nids, chosen, nchosen);
	}
	UnlockReleaseBuffer(buffer);
	return accepted;
}

/*
 * An edge should go only if one that stays leads to a node that leads to its
 * target.  Protects the candidates of which that is not true and returns
 * whether there are any.  No guarantee: others change their edges meanwhile.
 * "to" is new to the node: nothing is lost if it is not taken.
 */
static bool
protect_last_ways(FngPoint *candidates, uint32 ncandidates, uint32 to,
				  FngPoint **chosen, uint32 nchosen)
{
	bool		any = false;

	for (uint32 i = 0; i < ncandidates; i++)
	{
		bool		reached = candidates[i].id == to;

		for (uint32 j = 0; j < nchosen && !reached; j++)
		{
			reached = chosen[j] == &candidates[i];
			for (uint32 k = 0; k < chosen[j]->nedges && !reached; k++)
				reached = chosen[j]->edges[k] == candidates[i].id;
		}
		if (!reached)
			candidates[i].protect = any = true;
	}
	return any;
}

/* Remember which of the ids are not among the chosen. */
static void
note_dropped(FngInserter *inserter, const uint32 *ids, uint32 nids,
			 FngPoint **chosen, uint32 nchosen)
{
	for (uint32 i = 0; i < nids; i++)
	{
		bool		kept = false;

		for (uint32 j = 0; j < nchosen && !kept; j++)
			kept = chosen[j]->id == ids[i];
		if (kept)
			continue;
		if (inserter->ndropped == inserter->dropped_capacity)
		{
			uint32		n = Max(256, inserter->dropped_capacity * 2);

			if (inserter->dropped == NULL)
				inserter->dropped = MemoryContextAllocHuge(inserter->context,
														   mul_size(n, sizeof(uint32)));
			else
				inserter->dropped = repalloc_huge(inserter->dropped, mul_size(n, sizeof(uint32)));
			inserter->dropped_capacity = n;
		}
		inserter->dropped[inserter->ndropped++] = ids[i];
	}
}

/* Copy a node's slot.  Takes and releases a share lock. */
static bool
read_slot(FngInserter *inserter, uint8 level, uint32 id, char *slot)
{
	const FngLayout *layout = &inserter->index->layout;
	Buffer		buffer = fng_read_block(inserter->relation, FngIdBlock(layout, id), NULL);
	Page		page = BufferGetPage(buffer);
	bool		usable;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	usable = fng_node_usable(layout, page, FngIdSlot(layout, id), level);
	if (usable)
		memcpy(slot, FngPageSlot(layout, page, FngIdSlot(layout, id)), layout->slot_size);
	UnlockReleaseBuffer(buffer);
	return usable;
}

/* Describe another node, read from its slot into the scratch "slot". */
static bool
read_point(FngInserter *inserter, uint8 level, uint32 id, char *slot, FngPoint *point)
{
	const FngLayout *layout = &inserter->index->layout;
	float	   *value;
	uint32	   *edges;

	if (!read_slot(inserter, level, id, slot))
		return false;
	value = palloc(layout->vector_bytes);
	if (layout->vector_inline)
		memcpy(value, FngSlotVector(layout, slot), layout->vector_bytes);
	else
		fng_read_vector_chain(inserter->relation, FngSlotNode(slot)->vector, value,
							  layout->vector_bytes, NULL);
	fng_point_init(inserter, point, id, value, FngSlotNode(slot)->aux);
	edges = palloc((layout->max_degree + layout->max_pending) * sizeof(uint32));
	point->nedges = fng_slot_edge_ids(layout, slot, edges);
	point->edges = edges;
	return true;
}
