/*-------------------------------------------------------------------------
 *
 * check_graph.c
 *	  The verifier's checks of the graph: levels, vectors, edges, codes,
 *	  reachability.
 *
 * Codes.  Machines of different instruction sets rotate with different
 * rounding, and then may encode a coordinate at the border of two cells
 * differently.  So a code is not compared with a fresh one, but with what a
 * code promises (code.h): for an edge from c to o with r = o - c and the grid
 * point x of its code,
 *
 *		f <x, r> = |r|^2
 *
 * that is, a query at o is estimated to be at distance 0 of o.  A coordinate
 * at a border hardly counts in <x, r>, a wrong one does.  With f from the
 * stored factor, this checks code and factor at once; then the stored add is
 * compared with its formula.  (Where r lies almost outside of the coded
 * coordinates, f is bounded: there a fresh code decides after all.)
 *
 * That needs the rotated vectors of both ends of every edge.  A node is
 * the neighbour of many, so they are kept in a table by id modulo its size,
 * for which maintenance_work_mem is taken; what does not fit is read again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "check.h"
#include "../distance/half.h"
#include "miscadmin.h"

/*
 * Tolerances, relative.  float16 rounds mul to 2^-11; sums over coordinates
 * and the rotation round in float32, on different levels differently.
 */
#define CODE_TOLERANCE		0.004
#define POINT_TOLERANCE		1e-5
#define AUX_TOLERANCE		1e-4
#define HALF_STEP			5.97e-8 /* between subnormal float16 */

/* Scalar products over an edge from c to o: r = o - c, x its decoded row. */
typedef struct EdgeSums
{
	double		rr;
	double		rc;
	double		cc;
	double		oo;
	double		xr;
	double		xc;
	double		xx;
} EdgeSums;

typedef void (*NodeCallback) (FngCheck *check, BlockNumber block, uint32 slot,
							  uint8 level, char *bytes);

static void claim_dead_list(FngCheck *check);
static bool is_interesting(FngCheck *check, Page page, uint32 slot, uint8 level);
static void walk_nodes(FngCheck *check, NodeCallback callback);
static void check_own(FngCheck *check, BlockNumber block, uint32 slot,
					  uint8 level, char *bytes);
static void check_edges(FngCheck *check, BlockNumber block, uint32 slot,
						uint8 level, char *bytes);
static void claim_own_vector(FngCheck *check, BlockNumber block, uint32 slot,
							 BlockNumber first);
static const float *own_vector(FngCheck *check, const char *bytes);
static void claim_vector(FngCheck *check, BlockNumber from, int slot,
						 BlockNumber block, uint32 owner, Size nbytes);
static void check_aux(FngCheck *check, BlockNumber block, uint32 slot,
					  float aux, const float *value);
static void check_down(FngCheck *check, BlockNumber block, uint32 slot,
					   uint8 level, const FngNodeData *node);
static bool leads_to(FngCheck *check, const FngNodeData *node, uint32 target, uint8 level);
static void check_targets(FngCheck *check, BlockNumber block, uint32 slot,
						  uint8 level, const char *bytes);
static void check_codes(FngCheck *check, BlockNumber block, uint32 slot,
						const char *bytes);
static void check_code(FngCheck *check, BlockNumber block, uint32 slot,
					   uint32 target, double scale, double add, uint16 mul,
					   const uint8 *row);
static void sum_edge(const CodeParams *params, const float *c, const float *o,
					 const uint8 *row, EdgeSums *sums);
static double encoded_length(FngCheck *check, const float *o);
static void begin_points(FngCheck *check);
static void read_point(FngCheck *check, uint32 id, float *point);
static const float *get_point(FngCheck *check, uint32 id);
static int	compare_ids(const void *a, const void *b);

/*
 * The chains of the upper levels hold all pages of their level and no
 * others, the chain of the centre has its length, and there are nodes where
 * a search starts.
 */
void
fng_check_levels(FngCheck *check)
{
	const FngMetaPageData *meta = &check->meta;
	PGAlignedBlock page;

	for (uint32 level = 1; level < meta->nlevels; level++)
	{
		BlockNumber from = FNG_META_BLOCK;
		BlockNumber block = meta->level_head[level];

		while (BlockNumberIsValid(block))
		{
			fng_check_claim(check, from, FNG_CHECK_NO_SLOT, block, FNG_PAGE_NODE);
			fng_inspect_page(check->index, block, check->strategy, page.data);
			if (FngPageGetOpaque(page.data)->level != level)
				fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
									"page of level %u is in the chain of level %u",
									FngPageGetOpaque(page.data)->level, level);
			from = block;
			block = FngPageGetOpaque(page.data)->next;
		}
	}
	claim_dead_list(check);
	if (BlockNumberIsValid(meta->centre))
		claim_vector(check, FNG_META_BLOCK, FNG_CHECK_NO_SLOT, meta->centre, FNG_NO_ID,
					 check->map.layout.code.rotdim * sizeof(float));

	if (meta->nlevels == 0 && check->nused[0] > 0)
		fng_check_corrupted(check, FNG_META_BLOCK, FNG_CHECK_NO_SLOT,
							"there are " UINT64_FORMAT " nodes on no level",
							check->nused[0]);
	if (meta->nlevels > 0 && check->nused[0] > 0 && !fng_map_has(&check->map, meta->entry, 0))
		fng_check_corrupted(check, FNG_META_BLOCK, FNG_CHECK_NO_SLOT,
							"entry %u is no node", meta->entry);
	if (meta->nlevels > 1 && check->nused[meta->nlevels - 1] != meta->top_nodes)
		fng_check_corrupted(check, FNG_META_BLOCK, FNG_CHECK_NO_SLOT,
							"the top level has " UINT64_FORMAT " nodes instead of %u",
							check->nused[meta->nlevels - 1], meta->top_nodes);
}

/* The pages of the list of dead nodes, which no other chain has. */
static void
claim_dead_list(FngCheck *check)
{
	BlockNumber from = FNG_META_BLOCK;
	BlockNumber block = check->meta.dead_head;
	PGAlignedBlock page;

	while (BlockNumberIsValid(block))
	{
		fng_check_claim(check, from, FNG_CHECK_NO_SLOT, block, FNG_PAGE_DEAD);
		fng_inspect_page(check->index, block, check->strategy, page.data);
		from = block;
		block = FngPageGetOpaque(page.data)->next;
	}
}

/*
 * All nodes, with what they point at: first their own vectors and rows, then
 * edges, which take the vectors of other nodes on trust.
 */
void
fng_check_nodes(FngCheck *check)
{
	check->cached = fng_index_open(check->index, CurrentMemoryContext);
	begin_points(check);
	walk_nodes(check, check_own);
	walk_nodes(check, check_edges);
}

/*
 * Is the slot in use, or is it free and has a chain for the next vector?
 */
static bool
is_interesting(FngCheck *check, Page page, uint32 slot, uint8 level)
{
	const FngLayout *layout = &check->map.layout;
	const FngNodeData *node = FngSlotNode(FngPageSlot(layout, page, slot));

	return fng_node_usable(layout, page, slot, level) ||
		(node->flags == 0 && node->vector != 0 && !layout->vector_inline);
}

/* Call back for every node and free slot with something in it, given a copy. */
static void
walk_nodes(FngCheck *check, NodeCallback callback)
{
	const FngLayout *layout = &check->map.layout;
	PGAlignedBlock page;

	for (BlockNumber block = 0; block < check->map.nblocks; block++)
	{
		uint8		level;

		if ((check->pages[block] & FNG_CHECK_KIND) != FNG_PAGE_NODE)
			continue;
		fng_inspect_page(check->index, block, check->strategy, page.data);
		level = FngPageGetOpaque(page.data)->level;
		for (uint32 i = 0; i < layout->slots_per_page; i++)
		{
			uint64		id = (uint64) block * layout->slots_per_page + i;

			if (id < check->map.nids && is_interesting(check, page.data, i, level))
				callback(check, block, i, level, FngPageSlot(layout, page.data, i));
		}
	}
}

/*
 * Every row that is there to be found should be found.  A build sees to that;
 * an insert that crowds out the last edge to a node does not.  That is no
 * damage: a scan returns such a row all the same, from the sweep, but at its
 * price.  So it is a warning.
 *
 * An insert that fails halfway leaves a node that nobody points at; its row
 * never became visible.
 */
void
fng_check_reach(FngCheck *check)
{
	const FngLayout *layout = &check->map.layout;
	PGAlignedBlock page;
	uint64		unreached = 0;

	fng_map_reach(&check->map, &check->meta);
	for (uint64 id = 0; id < check->map.nids; id++)
	{
		uint32		slot = FngIdSlot(layout, (uint32) id);
		BlockNumber block = FngIdBlock(layout, (uint32) id);

		if ((check->map.nodes[id] & (FNG_MAP_USED | FNG_MAP_ROWS | FNG_MAP_REACHED)) !=
			(FNG_MAP_USED | FNG_MAP_ROWS))
			continue;
		if (!fng_inspect_page(check->index, block, NULL, page.data) ||
			!fng_node_usable(layout, page.data, slot, 0))
			continue;
		if (fng_check_row_visible(check, (uint32) id,
								  FngSlotNode(FngPageSlot(layout, page.data, slot))))
			unreached++;
	}
	if (unreached > 0)
		ereport(WARNING,
				(errmsg("no path of edges leads to %llu nodes of index \"%s\"",
						(unsigned long long) unreached,
						RelationGetRelationName(check->index)),
				 errhint("Their rows are returned late by a scan.  Consider to REINDEX it.")));
}

/* A node's vector and, on the base, its heap TIDs. */
static void
check_own(FngCheck *check, BlockNumber block, uint32 slot, uint8 level, char *bytes)
{
	FngNode		node = FngSlotNode(bytes);
	const float *value;

	if (level > 0 && !(check->pages[block] & FNG_CHECK_CLAIMED))
		fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
							"page is not in the chain of its level %u", level);
	claim_own_vector(check, block, slot, node->vector);
	if (node->flags == 0)
		return;
	value = own_vector(check, bytes);
	for (uint32 i = 0; i < check->map.layout.dim; i++)
	{
		if (!isfinite(value[i]))
			fng_check_corrupted(check, block, slot, "coordinate %u of the vector is %g",
								i, value[i]);
	}
	check_aux(check, block, slot, node->aux, value);
	if (level == 0)
		fng_check_node_tids(check, FngMakeId(&check->map.layout, block, slot),
							node, value);
}

/* A node's edges and its way down. */
static void
check_edges(FngCheck *check, BlockNumber block, uint32 slot, uint8 level, char *bytes)
{
	FngNode		node = FngSlotNode(bytes);

	/* an unlinked node may lead to slots that are free, or others' by now */
	if (node->flags != FNG_NODE_LIVE && node->flags != FNG_NODE_DEAD)
		return;
	fng_coded_vector(&check->map.layout, own_vector(check, bytes), node->aux, check->coded);
	fng_code_point(check->cached, check->coded, check->origin);
	check_targets(check, block, slot, level, bytes);
	check_codes(check, block, slot, bytes);
	if (level > 0)
		check_down(check, block, slot, level, node);
}

/* Check the chain of a node's vector, unless vectors are in the slots. */
static void
claim_own_vector(FngCheck *check, BlockNumber block, uint32 slot, BlockNumber first)
{
	const FngLayout *layout = &check->map.layout;

	if (layout->vector_inline)
		return;
	if (!BlockNumberIsValid(first))
		fng_check_corrupted(check, block, slot, "vector is missing");
	claim_vector(check, block, slot, first, FngMakeId(layout, block, slot),
				 layout->vector_bytes);
}

/* The vector of a node, given a copy of its slot; valid until the next call. */
static const float *
own_vector(FngCheck *check, const char *bytes)
{
	const FngLayout *layout = &check->map.layout;

	if (layout->vector_inline)
		return FngSlotVector(layout, bytes);
	fng_read_vector_chain(check->index, ((const FngNodeData *) bytes)->vector,
						  check->value, layout->vector_bytes, check->strategy);
	return check->value;
}

/* Follow a chain of vector pages that should have nbytes and this owner. */
static void
claim_vector(FngCheck *check, BlockNumber from, int slot, BlockNumber block,
			 uint32 owner, Size nbytes)
{
	PGAlignedBlock page;

	for (;;)
	{
		FngPageOpaque opaque;
		uint32		here;

		fng_check_claim(check, from, slot, block, FNG_PAGE_VECTOR);
		fng_inspect_page(check->index, block, check->strategy, page.data);
		opaque = FngPageGetOpaque(page.data);
		here = FngPageGetVector(page.data)->nbytes;
		if (opaque->owner != owner)
			fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
								"vector of node %u is owned by %u", owner, opaque->owner);
		if (here != Min(nbytes, (Size) FNG_VECTOR_BYTES_PER_PAGE))
			fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
								"piece of a vector has %u bytes of %zu left",
								here, nbytes);
		nbytes -= here;
		if (BlockNumberIsValid(opaque->next) != (nbytes > 0))
			fng_check_corrupted(check, block, FNG_CHECK_NO_SLOT,
								"chain of the vector of node %u has the wrong length", owner);
		if (nbytes == 0)
			break;
		block = opaque->next;
	}
}

/*
 * The norm, or the coordinate added for inner product.  The latter is a
 * difference of squares: near the longest vector its digits cancel.
 */
static void
check_aux(FngCheck *check, BlockNumber block, uint32 slot, float aux,
		  const float *value)
{
	double		expected = fng_aux(&check->meta, value);
	double		norm = check->meta.ip_norm;
	double		allowed = AUX_TOLERANCE * Max(expected, FLT_MIN);

	if (fabs(aux - expected) <= allowed ||
		(check->meta.metric == FNG_IP &&
		 fabs((double) aux * aux - expected * expected) <= AUX_TOLERANCE * norm * norm))
		return;
	fng_check_corrupted(check, block, slot,
						"norm or added coordinate is %g instead of %g", aux, expected);
}

/*
 * May a node lead to this one?  When VACUUM has broken off a dead node may
 * lead to an unlinked one, a live node never does.
 */
static bool
leads_to(FngCheck *check, const FngNodeData *node, uint32 target, uint8 level)
{
	return fng_map_has(&check->map, target, level) ||
		(node->flags == FNG_NODE_DEAD && fng_map_has_unlinked(&check->map, target, level));
}

/* The way down leads to the same vector. */
static void
check_down(FngCheck *check, BlockNumber block, uint32 slot, uint8 level,
		   const FngNodeData *node)
{
	uint32		down = node->link;
	const float *point;

	if (!leads_to(check, node, down, level - 1))
		fng_check_corrupted(check, block, slot, "way down leads to %u, which is no node of level %u",
							down, level - 1);
	point = get_point(check, down);
	if (memcmp(point, check->origin, check->map.layout.code.rotdim * sizeof(float)) != 0)
		fng_check_corrupted(check, block, slot, "way down leads to node %u with another vector",
							down);
}

/* Edges lead to other nodes of the level, to each of them once. */
static void
check_targets(FngCheck *check, BlockNumber block, uint32 slot, uint8 level,
			  const char *bytes)
{
	uint32		ids[FNG_MAX_DEGREE + PG_UINT8_MAX];
	uint32		n = fng_slot_edge_ids(&check->map.layout, bytes, ids);

	qsort(ids, n, sizeof(uint32), compare_ids);
	for (uint32 i = 0; i < n; i++)
	{
		if (i > 0 && ids[i] == ids[i - 1])
			fng_check_corrupted(check, block, slot, "two edges lead to node %u", ids[i]);
		if (ids[i] == FngMakeId(&check->map.layout, block, slot))
			fng_check_corrupted(check, block, slot, "an edge leads back to its node");
		if (!leads_to(check, (const FngNodeData *) bytes, ids[i], level))
			fng_check_corrupted(check, block, slot,
								"an edge leads to %u, which is no node of level %u",
								ids[i], level);
	}
}

/* The codes and factors of all edges of a node whose point is check->origin. */
static void
check_codes(FngCheck *check, BlockNumber block, uint32 slot, const char *bytes)
{
	const FngLayout *layout = &check->map.layout;
	const FngNodeData *node = (const FngNodeData *) bytes;
	uint32		first = 0;

	while (first < node->degree)
	{
		uint32		lanes = fng_block_lanes(layout, first);

		for (uint32 lane = 0; lane < lanes && first + lane < node->degree; lane++)
		{
			uint32		i = first + lane;

			code_block_get(&layout->code,
						   FngSlotCodes(layout, bytes) + first * layout->row_bytes,
						   lanes, lane, check->row);
			check_code(check, block, slot, FngSlotIds(layout, bytes)[i], node->mul_scale,
					   FngSlotAdd(layout, bytes)[i], FngSlotMul(layout, bytes)[i],
					   check->row);
		}
		first += lanes;
	}
	for (uint32 i = 0; i < node->npending; i++)
	{
		const FngPendingData *pending = FngSlotPending(layout, bytes, i);

		check_code(check, block, slot, pending->id, node->mul_scale,
				   pending->add, pending->mul, FngPendingRow(pending));
	}
}

/* One edge from check->origin; see the head of this file. */
static void
check_code(FngCheck *check, BlockNumber block, uint32 slot, uint32 target,
		   double scale, double add, uint16 mul, const uint8 *row)
{
	const FngLayout *layout = &check->map.layout;
	const float *o = get_point(check, target);
	bool		l2 = layout->form == CODE_L2;
	double		factor = -scale * half_to_float(mul) / (l2 ? 2 : 1);
	double		factor_step = scale * HALF_STEP;
	EdgeSums	sums;
	double		noise;
	double		allowed;
	double		expected;
	double		reach;

	add = fng_add_with_anchor((float) add, false);
	sum_edge(&layout->code, check->origin, o, row, &sums);

	/* beyond the squares of float32 there is nothing to compare */
	if (sums.cc + sums.oo + sums.rr > FLT_MAX / 16 ||
		(sums.rr > 0 && sums.rr < FLT_MIN * 1e6))
		return;

	noise = POINT_TOLERANCE * (sqrt(sums.cc) + sqrt(sums.oo));
	allowed = CODE_TOLERANCE * sums.rr + factor_step * fabs(sums.xr) +
		4 * noise * sqrt(sums.rr) + noise * noise;
	if (!(fabs(factor * sums.xr - sums.rr) <= allowed) &&
		!(fabs(factor * sums.xr - encoded_length(check, o)) <= allowed))
		fng_check_corrupted(check, block, slot,
							"code of the edge to node %u gives the length %g instead of %g",
							target, factor * sums.xr, sums.rr);

	/* xc is a sum with cancellation: allow for its terms, not for itself */
	reach = sqrt(sums.xx * sums.cc);
	if (l2)
		expected = sums.rr + 2 * factor * sums.xc;
	else
		expected = factor * sums.xc - sums.rc;
	if (!(fabs(add - expected) <= CODE_TOLERANCE * (sums.rr + fabs(factor) * reach) +
		  factor_step * reach + noise * (noise + sqrt(sums.rr) + sqrt(sums.cc))))
		fng_check_corrupted(check, block, slot,
							"additive factor of the edge to node %u is %g instead of %g",
							target, add, expected);
}

/* All sums over the coordinates of an edge from c to o, in double. */
static void
sum_edge(const CodeParams *params, const float *c, const float *o,
		 const uint8 *row, EdgeSums *sums)
{
	uint32		mask = (1 << params->bits) - 1;

	memset(sums, 0, sizeof(*sums));
	for (uint32 i = 0; i < params->rotdim; i++)
	{
		double		r = (double) o[i] - c[i];

		sums->rr += r * r;
		sums->rc += r * c[i];
		sums->cc += (double) c[i] * c[i];
		sums->oo += (double) o[i] * o[i];
		if (i < params->coded)
		{
			uint32		bit = i * params->bits;
			double		x = ((row[bit / 8] >> (bit % 8)) & mask) - mask / 2.0;

			sums->xr += x * r;
			sums->xc += x * c[i];
			sums->xx += x * x;
		}
	}
}

/*
 * f <x, r> as code_encode makes it here and now.  It differs from |r|^2 where
 * r lies almost outside of the coded coordinates, and f is bounded.
 */
static double
encoded_length(FngCheck *check, const float *o)
{
	const FngLayout *layout = &check->map.layout;
	uint8	   *row = palloc(layout->row_bytes);
	EdgeSums	sums;
	float		add;
	float		mul;

	code_encode(&layout->code, layout->form, check->origin, o, row, &add, &mul);
	sum_edge(&layout->code, check->origin, o, row, &sums);
	pfree(row);
	return -mul / (layout->form == CODE_L2 ? 2 : 1) * sums.xr;
}

/* Take the memory of this file. */
static void
begin_points(FngCheck *check)
{
	const FngLayout *layout = &check->map.layout;
	Size		point_bytes = layout->code.rotdim * sizeof(float);
	uint64		room = (Size) maintenance_work_mem * 1024 / (point_bytes + sizeof(uint32));

	check->npoints = (uint32) Min(Max(room, 16), Max(check->map.nids, 1));
	check->points = palloc_extended(mul_size(check->npoints, point_bytes), MCXT_ALLOC_HUGE);
	check->point_ids = palloc_extended(check->npoints * sizeof(uint32), MCXT_ALLOC_HUGE);
	memset(check->point_ids, 0xFF, check->npoints * sizeof(uint32));	/* FNG_NO_ID */
	check->origin = palloc(point_bytes);
	check->coded = palloc(layout->code.dim * sizeof(float));
	check->value = palloc(layout->vector_bytes);
	check->row = palloc(layout->row_bytes);
}

/* The point of coded space of a node, valid until the next call. */
static const float *
get_point(FngCheck *check, uint32 id)
{
	uint32		at = id % check->npoints;
	float	   *point = check->points + (Size) at * check->map.layout.code.rotdim;

	if (check->point_ids[at] != id)
	{
		check->point_ids[at] = FNG_NO_ID;
		read_point(check, id, point);
		check->point_ids[at] = id;
	}
	return point;
}

/* Read the vector of a node that is in the map, and rotate it. */
static void
read_point(FngCheck *check, uint32 id, float *point)
{
	const FngLayout *layout = &check->map.layout;
	PGAlignedBlock page;
	char	   *slot;

	fng_inspect_page(check->index, FngIdBlock(layout, id), NULL, page.data);
	slot = FngPageSlot(layout, page.data, FngIdSlot(layout, id));
	fng_coded_vector(layout, own_vector(check, slot), FngSlotNode(slot)->aux, check->coded);
	fng_code_point(check->cached, check->coded, point);
}

static int
compare_ids(const void *a, const void *b)
{
	uint32		x = *(const uint32 *) a;
	uint32		y = *(const uint32 *) b;

	return x < y ? -1 : x > y;
}
