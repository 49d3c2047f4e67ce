/*-------------------------------------------------------------------------
 *
 * node.c
 *	  The edges of a slot: writing all of them, adding a pending one, reading
 *	  their ids.
 *
 * These work on the bytes of a slot, in a page image that the caller owns or
 * has locked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "../distance/half.h"
#include "fng.h"

static void put_lane(const FngLayout *layout, char *slot, uint32 lane, const FngEdge *edge);

/*
 * Store multiplicative factors as float16 in units of the largest of them.
 * Returns the unit.
 */
float
fng_encode_factors(const float *mul, uint32 n, uint16 *out)
{
	float		scale = 0;

	for (uint32 i = 0; i < n; i++)
		scale = Max(scale, fabsf(mul[i]));
	if (scale == 0)
		scale = 1;
	for (uint32 i = 0; i < n; i++)
		out[i] = half_from_float(mul[i] / scale);
	return scale;
}

/*
 * True if the page, which the caller has locked, holds nodes of the level and
 * the slot is one that navigates.  For those who walk all pages: bytes of a
 * page of another kind may look like anything.
 */
bool
fng_node_usable(const FngLayout *layout, Page page, uint32 slot, uint8 level)
{
	FngPageOpaque opaque;

	if (PageIsNew(page) || PageGetSpecialSize(page) != sizeof(FngPageOpaqueData))
		return false;
	opaque = FngPageGetOpaque(page);
	if (opaque->page_id != FNG_PAGE_ID || opaque->kind != FNG_PAGE_NODE ||
		opaque->level != level || slot >= layout->slots_per_page)
		return false;
	return fng_slot_usable(FngPageSlot(layout, page, slot), level);
}

/*
 * Write all edges of a slot, strongest first; pending rows are gone after it.
 * Unused lanes get FNG_NO_ID, an infinite distance and a zero code.
 */
void
fng_slot_set_edges(const FngLayout *layout, char *slot, const FngEdge *edges,
				   uint32 nedges)
{
	FngNode		node = FngSlotNode(slot);
	float		mul[FNG_MAX_DEGREE];
	uint32		first = 0;

	Assert(nedges <= layout->max_degree);
	memset(FngSlotPending(layout, slot, 0), 0, layout->max_pending * layout->pending_bytes);
	for (uint32 i = 0; i < layout->max_degree; i++)
	{
		FngSlotIds(layout, slot)[i] = i < nedges ? edges[i].id : FNG_NO_ID;
		FngSlotAdd(layout, slot)[i] = i < nedges ?
			fng_add_with_anchor(edges[i].add, edges[i].anchor) : INFINITY;
		mul[i] = i < nedges ? edges[i].mul : 0;
	}
	node->mul_scale = fng_encode_factors(mul, layout->max_degree, FngSlotMul(layout, slot));

	while (first < layout->max_degree)
	{
		uint32		lanes = fng_block_lanes(layout, first);
		const uint8 *rows[CODE_LANES];
		uint32		n;

		for (n = 0; n < lanes && first + n < nedges; n++)
			rows[n] = edges[first + n].row;
		code_block_fill(&layout->code, FngSlotCodes(layout, slot) + first * layout->row_bytes,
						lanes, rows, n);
		first += lanes;
	}
	node->degree = nedges;
	node->npending = 0;
	node->version++;
}

/*
 * Add an edge to the pending area.  Returns false, with nothing changed, if
 * there is no room or the factor does not fit the slot's unit.
 */
bool
fng_slot_add_pending(const FngLayout *layout, char *slot, const FngEdge *edge)
{
	FngNode		node = FngSlotNode(slot);
	FngPendingData *pending;
	float		ratio;

	/* the first edge of a node chooses the unit */
	if (node->degree == 0 && node->npending == 0 && edge->mul != 0)
		node->mul_scale = fabsf(edge->mul);
	ratio = fabsf(edge->mul) / node->mul_scale;
	if (node->npending >= layout->max_pending || !(ratio < FNG_MUL_LIMIT))
		return false;
	pending = FngSlotPending(layout, slot, node->npending);
	pending->id = edge->id;
	pending->add = fng_add_with_anchor(edge->add, edge->anchor);
	pending->mul = half_from_float(edge->mul / node->mul_scale);
	pending->unused = 0;
	memcpy(FngPendingRow(pending), edge->row, layout->row_bytes);
	node->npending++;
	node->version++;
	return true;
}

/*
 * Copy the ids of all edges, pending ones last; ids has room for
 * max_degree + max_pending.  Counts beyond the layout (a corrupted page) are
 * cut.
 */
uint32
fng_slot_edge_ids(const FngLayout *layout, const char *slot, uint32 *ids)
{
	const FngNodeData *node = (const FngNodeData *) slot;
	uint32		n = Min(node->degree, layout->max_degree);
	uint32		npending = Min(node->npending, layout->max_pending);

	memcpy(ids, FngSlotIds(layout, slot), n * sizeof(uint32));
	for (uint32 i = 0; i < npending; i++)
		ids[n++] = FngSlotPending(layout, slot, i)->id;
	return n;
}

/*
 * The edges of a slot with their codes, pending ones last.  edges has room for
 * max_degree + max_pending of them, rows for as many codes.
 */
uint32
fng_slot_get_edges(const FngLayout *layout, const char *slot, FngEdge *edges,
				   uint8 *rows)
{
	const FngNodeData *node = (const FngNodeData *) slot;
	uint32		degree = Min(node->degree, layout->max_degree);
	uint32		npending = Min(node->npending, layout->max_pending);

	for (uint32 i = 0; i < degree + npending; i++)
	{
		uint8	   *row = rows + i * layout->row_bytes;
		uint16		mul;

		edges[i].row = row;
		if (i < degree)
		{
			uint32		first = i - i % CODE_LANES;

			code_block_get(&layout->code, FngSlotCodes(layout, slot) + first * layout->row_bytes,
						   fng_block_lanes(layout, first), i % CODE_LANES, row);
			edges[i].id = FngSlotIds(layout, slot)[i];
			edges[i].add = FngSlotAdd(layout, slot)[i];
			mul = FngSlotMul(layout, slot)[i];
		}
		else
		{
			FngPendingData *pending = FngSlotPending(layout, slot, i - degree);

			memcpy(row, FngPendingRow(pending), layout->row_bytes);
			edges[i].id = pending->id;
			edges[i].add = pending->add;
			mul = pending->mul;
		}
		edges[i].mul = half_to_float(mul) * node->mul_scale;
		edges[i].anchor = fng_edge_is_anchor(edges[i].add);
	}
	return degree + npending;
}

/* Fill a lane with what a slot keeps of an edge. */
static void
fill_lane(const FngLayout *layout, char *slot, uint32 lane, uint32 id, float add,
		  uint16 mul, const uint8 *row)
{
	uint32		first = lane - lane % CODE_LANES;

	code_block_put(&layout->code, FngSlotCodes(layout, slot) + first * layout->row_bytes,
				   fng_block_lanes(layout, first), lane % CODE_LANES, row);
	FngSlotIds(layout, slot)[lane] = id;
	FngSlotAdd(layout, slot)[lane] = add;
	FngSlotMul(layout, slot)[lane] = mul;
}

/* Put an edge into a lane, or, with NULL, nothing. */
static void
put_lane(const FngLayout *layout, char *slot, uint32 lane, const FngEdge *edge)
{
	static const uint8 nothing[BLCKSZ] = {0};

	if (edge == NULL)
		fill_lane(layout, slot, lane, FNG_NO_ID, INFINITY, 0, nothing);
	else
		fill_lane(layout, slot, lane, edge->id, fng_add_with_anchor(edge->add, edge->anchor),
				  half_from_float(edge->mul / FngSlotNode(slot)->mul_scale), edge->row);
}

/* Remove a pending edge; the last one takes its place. */
static void
drop_pending(const FngLayout *layout, char *slot, uint32 i)
{
	FngNode		node = FngSlotNode(slot);
	FngPendingData *last = FngSlotPending(layout, slot, node->npending - 1);

	if (i != node->npending - 1u)
		memcpy(FngSlotPending(layout, slot, i), last, layout->pending_bytes);
	memset(last, 0, layout->pending_bytes);
	node->npending--;
}

/*
 * Remove the edges that "drop" marks, in the order of fng_slot_edge_ids.  All
 * others stay as they are, but pending ones move to the lanes that get free,
 * then the last of the lanes.  Counts beyond the layout are cut, too.
 */
void
fng_slot_drop_edges(const FngLayout *layout, char *slot, const bool *drop)
{
	FngNode		node = FngSlotNode(slot);
	uint32		degree = Min(node->degree, layout->max_degree);
	uint8		row[BLCKSZ];

	node->degree = degree;
	node->npending = Min(node->npending, layout->max_pending);
	for (uint32 i = node->npending; i-- > 0;)
	{
		if (drop[degree + i])
			drop_pending(layout, slot, i);
	}
	for (uint32 lane = degree; lane-- > 0;)
	{
		uint32		last = node->degree - 1;

		if (!drop[lane])
			continue;
		if (node->npending > 0)
		{
			FngPendingData *pending = FngSlotPending(layout, slot, node->npending - 1);

			fill_lane(layout, slot, lane, pending->id, pending->add, pending->mul,
					  FngPendingRow(pending));
			drop_pending(layout, slot, node->npending - 1);
			continue;
		}
		/* the lanes behind this one stay */
		if (lane < last)
		{
			uint32		first = last - last % CODE_LANES;

			code_block_get(&layout->code, FngSlotCodes(layout, slot) + first * layout->row_bytes,
						   fng_block_lanes(layout, first), last % CODE_LANES, row);
			fill_lane(layout, slot, lane, FngSlotIds(layout, slot)[last],
					  FngSlotAdd(layout, slot)[last], FngSlotMul(layout, slot)[last], row);
		}
		put_lane(layout, slot, last, NULL);
		node->degree--;
	}
	node->version++;
}

/*
 * Add an edge to the blocks.  Returns false, with nothing changed, if there is
 * no room or the factor does not fit the slot's unit.  Does not raise the
 * version: the caller makes several changes.
 */
bool
fng_slot_append_edge(const FngLayout *layout, char *slot, const FngEdge *edge)
{
	FngNode		node = FngSlotNode(slot);

	if (node->degree >= layout->max_degree)
		return false;
	if (node->degree == 0 && node->npending == 0 && edge->mul != 0)
		node->mul_scale = fabsf(edge->mul);
	if (!(fabsf(edge->mul) / node->mul_scale < FNG_MUL_LIMIT))
		return false;
	put_lane(layout, slot, node->degree, edge);
	node->degree++;
	return true;
}

/*
 * Keep those of a slot's edges, as fng_slot_get_edges gave them, that "keep"
 * marks, and add one more if "added" is not NULL.  Edges of the blocks keep
 * their lanes as far as possible: little of the slot changes, so the record
 * of the change is short.  Pending rows are gone after it.  The edges must
 * not be more than max_degree.
 */
void
fng_slot_change_edges(const FngLayout *layout, char *slot, const FngEdge *edges,
					  const bool *keep, const FngEdge *added)
{
	FngNode		node = FngSlotNode(slot);
	uint32		degree = Min(node->degree, layout->max_degree);
	uint32		nedges = degree + Min(node->npending, layout->max_pending);
	FngEdge		result[FNG_MAX_DEGREE + 1];
	uint32		nresult = 0;
	uint32		next = degree;	/* of those from elsewhere */
	bool		rescale = false;

	for (uint32 i = 0; i <= nedges && nresult < layout->max_degree; i++)
	{
		if (i < nedges ? keep[i] : added != NULL)
			result[nresult++] = i < nedges ? edges[i] : *added;
	}
	for (uint32 i = 0; i < nresult; i++)
		rescale |= !(fabsf(result[i].mul) < FNG_MUL_LIMIT * node->mul_scale);
	if (rescale)
	{
		fng_slot_set_edges(layout, slot, result, nresult);
		return;
	}

	/* result has those that keep their lanes first: skip to the others */
	next = 0;
	for (uint32 i = 0; i < degree; i++)
		next += keep[i] ? 1 : 0;
	for (uint32 lane = 0, last = next; lane < nresult; lane++)
	{
		if (lane < degree && keep[lane])
			continue;
		if (next < nresult)
			put_lane(layout, slot, lane, &result[next++]);
		else
		{
			/* no more from elsewhere: the last of the lanes fills the gap */
			put_lane(layout, slot, lane, &result[--last]);
		}
	}
	for (uint32 lane = nresult; lane < degree; lane++)
		put_lane(layout, slot, lane, NULL);
	memset(FngSlotPending(layout, slot, 0), 0, layout->max_pending * layout->pending_bytes);
	node->degree = nresult;
	node->npending = 0;
	node->version++;
}

/* Which of the edges, in the order of fng_slot_edge_ids, are anchors? */
void
fng_slot_anchors(const FngLayout *layout, const char *slot, bool *anchors)
{
	const FngNodeData *node = (const FngNodeData *) slot;
	uint32		n = Min(node->degree, layout->max_degree);
	uint32		npending = Min(node->npending, layout->max_pending);

	for (uint32 i = 0; i < n; i++)
		anchors[i] = fng_edge_is_anchor(FngSlotAdd(layout, slot)[i]);
	for (uint32 i = 0; i < npending; i++)
		anchors[n++] = fng_edge_is_anchor(FngSlotPending(layout, slot, i)->add);
}

/* Make the edge to "id" one that stays.  Returns false if there is none. */
bool
fng_slot_set_anchor(const FngLayout *layout, char *slot, uint32 id)
{
	FngNode		node = FngSlotNode(slot);

	for (uint32 i = 0; i < Min(node->degree, layout->max_degree); i++)
	{
		float	   *add = &FngSlotAdd(layout, slot)[i];

		if (FngSlotIds(layout, slot)[i] == id)
		{
			*add = fng_add_with_anchor(*add, true);
			return true;
		}
	}
	for (uint32 i = 0; i < Min(node->npending, layout->max_pending); i++)
	{
		FngPendingData *pending = FngSlotPending(layout, slot, i);

		if (pending->id == id)
		{
			pending->add = fng_add_with_anchor(pending->add, true);
			return true;
		}
	}
	return false;
}

bool
fng_slot_has_edge(const FngLayout *layout, const char *slot, uint32 id)
{
	uint32		ids[FNG_MAX_DEGREE + PG_UINT8_MAX];
	uint32		n = fng_slot_edge_ids(layout, slot, ids);

	for (uint32 i = 0; i < n; i++)
	{
		if (ids[i] == id)
			return true;
	}
	return false;
}
