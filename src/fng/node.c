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
		FngSlotAdd(layout, slot)[i] = i < nedges ? edges[i].add : INFINITY;
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
	if (node->npending >= layout->max_pending || !(ratio < 60000.0f))
		return false;
	pending = FngSlotPending(layout, slot, node->npending);
	pending->id = edge->id;
	pending->add = edge->add;
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
