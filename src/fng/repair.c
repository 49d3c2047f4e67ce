/*-------------------------------------------------------------------------
 *
 * repair.c
 *	  Giving a node other edges for those to doomed nodes.
 *
 * Where an edge of node u led to a doomed node v, one to a neighbour of v may
 * take its place: what could be reached by way of v should still be reached.
 * (FreshDiskANN and IP-DiskANN do likewise.)  v keeps codes of its neighbours,
 * so with u as the query they are all estimated from v's slot alone.  Of the
 * best of each v the exact vectors are read, until there are three live ones
 * for each edge to be replaced.  If most of the graph is doomed these are too
 * few; then the search goes on, from one doomed node to the next nearest one.
 *
 * The edges that stay keep their codes, and their vectors are not read: how
 * far a candidate is from the target of an edge that stays is estimated from
 * the codes of u, with the candidate as the query.  With these distances the
 * rule of selection is that of graph/select.c: in order of distance, whoever
 * is not covered by something nearer, then with a threshold that grows until
 * the places are taken.
 *
 * Nothing here is locked but for the time it takes to estimate the neighbours
 * of one node or to copy one vector.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "../distance/half.h"
#include "miscadmin.h"
#include "search_int.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "vacuum.h"

#define MH_PREFIX estimate
#define MH_ELEMENT Candidate
#define MH_KEY(e) ((e).estimate)
#include "minheap.h"

/* So many neighbours of one doomed node are taken for candidates. */
#define PER_DOOMED			4

/* Live candidates for each place, and in all. */
#define PER_PLACE			3
#define MAX_CANDIDATES		48

/*
 * If there are not so many, the search goes on through the doomed, up to so
 * many of them.
 */
#define ENOUGH_CANDIDATES	8
#define MAX_DOOMED			512

/* Growth of the threshold, as in graph/select.c. */
#define THRESHOLD_STEP		1.06f

/* Most edges that a slot can have. */
#define MAX_EDGES			(FNG_MAX_DEGREE + PG_UINT8_MAX)

/* A live node that may become a neighbour. */
typedef struct RepairPoint
{
	uint32		id;
	float		dist;			/* to the node at hand, in coded space */
	float		strength;		/* largest of those that cover it */
	bool		taken;
	float		aux;
	float	   *value;
	float	   *coded;
	float	   *rotated;
} RepairPoint;

struct FngRepair
{
	const FngVacuum *vacuum;
	Relation	index;
	FngIndex   *cached;
	CompatRelFile file;
	const FngLayout *layout;
	const DistanceKernels *kernels;
	GraphParams graph;
	float		code_length;	/* |r| is about this times f, see code.h */

	/* the node at hand */
	uint8		level;
	RepairPoint node;
	double		squared;		/* |u|^2 in coded space, rotated and centred */
	CodeQuery  *query;			/* the node as a query */
	CodeQuery  *other;			/* a candidate as a query */
	visited_hash *seen;
	estimate_heap doomed;		/* to be looked at */
	uint32		nbest;			/* the best neighbours of one of them */
	Candidate	best[PER_DOOMED];
	uint32		nfound;			/* candidates to be read, in order */
	uint32		nread;
	uint32		found[(MAX_EDGES + MAX_DOOMED) * PER_DOOMED];
	uint32		npoints;
	RepairPoint points[MAX_CANDIDATES];

	/* the edges of a slot, with estimates */
	uint32		nedges;
	uint32		ids[MAX_EDGES];
	float		estimates[MAX_EDGES];
	float		lengths[MAX_EDGES]; /* of those that stay */
	float		norms[MAX_EDGES];	/* inner product: squared, of targets */
};

static void init_point(FngRepair *repair, RepairPoint *point);
static void begin_node(FngRepair *repair, uint32 id, uint8 level, const char *slot);
static void rotate(FngRepair *repair, RepairPoint *point);
static Buffer read_page(FngRepair *repair, uint32 id);
static void estimate_edges(FngRepair *repair, const char *slot, const CodeQuery *query,
						   float base);
static bool mark_seen(FngRepair *repair, uint32 id);
static void look_around(FngRepair *repair, uint32 id, float base);
static void add_found(FngRepair *repair, uint32 id);
static void gather(FngRepair *repair, uint32 wanted);
static bool read_live(FngRepair *repair, uint32 id, RepairPoint *point);
static void read_points(FngRepair *repair, uint32 wanted);
static int	compare_points(const void *a, const void *b);
static void measure_kept(FngRepair *repair, const char *slot);
static void cover_by_kept(FngRepair *repair, const char *slot, RepairPoint *point, float tau);
static void cover_by(FngRepair *repair, const RepairPoint *chosen, RepairPoint *point, float tau);
static float strength(float dist, float tau, float apart);
static void choose(FngRepair *repair, char *slot, uint32 places);
static bool add_edge(FngRepair *repair, char *slot, RepairPoint *point);

/* Prepare to repair nodes; the memory is that of the vacuum. */
FngRepair *
fng_repair_create(const FngVacuum *vacuum)
{
	FngRepair  *repair = palloc0(sizeof(FngRepair));
	const FngLayout *layout = &vacuum->layout;
	float		noise = code_noise(&layout->code);

	repair->vacuum = vacuum;
	repair->index = vacuum->index;
	repair->cached = fng_index_open(vacuum->index, vacuum->context);
	repair->file = compat_relation_file(vacuum->index);
	repair->layout = layout;
	repair->kernels = distance_kernels();
	graph_params_init(&repair->graph);
	repair->code_length = noise > 0 ? code_error_scale(&layout->code) / noise : 0;
	repair->query = palloc(code_query_size(&layout->code));
	repair->other = palloc(code_query_size(&layout->code));
	repair->seen = visited_create(vacuum->context, 1024, NULL);
	estimate_heap_init(&repair->doomed, 256);
	init_point(repair, &repair->node);
	return repair;
}

/* Points are allocated when they are first needed: vectors may be long. */
static void
init_point(FngRepair *repair, RepairPoint *point)
{
	const FngLayout *layout = repair->layout;
	MemoryContext old;

	if (point->value != NULL)
		return;
	old = MemoryContextSwitchTo(repair->vacuum->context);
	point->value = palloc(layout->vector_bytes);
	point->coded = palloc(layout->code.dim * sizeof(float));
	point->rotated = palloc(layout->code.rotdim * sizeof(float));
	MemoryContextSwitchTo(old);
}

/* Does an edge of the slot lead to a doomed node? */
bool
fng_repair_needed(const FngVacuum *vacuum, const char *slot)
{
	uint32		ids[MAX_EDGES];
	uint32		n;

	if (vacuum->ndoomed == 0)
		return false;
	n = fng_slot_edge_ids(&vacuum->layout, slot, ids);
	for (uint32 i = 0; i < n; i++)
	{
		if (fng_is_doomed(vacuum, ids[i]))
			return true;
	}
	return false;
}

/* Take the edges to doomed nodes out of a slot. */
void
fng_repair_drop(const FngVacuum *vacuum, char *slot)
{
	uint32		ids[MAX_EDGES];
	bool		drop[MAX_EDGES];
	uint32		n = fng_slot_edge_ids(&vacuum->layout, slot, ids);

	for (uint32 i = 0; i < n; i++)
		drop[i] = fng_is_doomed(vacuum, ids[i]);
	fng_slot_drop_edges(&vacuum->layout, slot, drop);
}

/*
 * Take the edges to doomed nodes out of the copy of a live node's slot, and
 * put others in their places.  Takes and releases share locks of pages; the
 * caller holds none.
 */
void
fng_repair_slot(FngRepair *repair, uint32 id, uint8 level, char *slot)
{
	const FngLayout *layout = repair->layout;
	FngNode		node = FngSlotNode(slot);
	uint32		before = (uint32) node->degree + node->npending;
	uint32		gone;
	uint32		after;

	begin_node(repair, id, level, slot);
	estimate_edges(repair, slot, repair->query,
				   layout->form == CODE_L2 ? 0 : (float) -repair->squared);
	for (uint32 i = 0; i < repair->nedges; i++)
	{
		Candidate	doomed = {repair->estimates[i], repair->ids[i]};

		(void) mark_seen(repair, doomed.id);
		if (fng_is_doomed(repair->vacuum, doomed.id))
			estimate_heap_push(&repair->doomed, doomed);
	}
	fng_repair_drop(repair->vacuum, slot);
	after = (uint32) node->degree + node->npending;
	gone = before - after;
	if (after >= layout->max_degree || gone == 0)
		return;
	gone = Min(gone, layout->max_degree - after);
	gather(repair, gone);
	measure_kept(repair, slot);
	choose(repair, slot, gone);
}

/* Describe the node at hand, and make a query of it. */
static void
begin_node(FngRepair *repair, uint32 id, uint8 level, const char *slot)
{
	const FngLayout *layout = repair->layout;
	RepairPoint *node = &repair->node;

	repair->level = level;
	node->id = id;
	node->aux = ((const FngNodeData *) slot)->aux;
	if (layout->vector_inline)
		memcpy(node->value, FngSlotVector(layout, slot), layout->vector_bytes);
	else
		fng_read_vector_chain(repair->index, ((const FngNodeData *) slot)->vector,
							  node->value, layout->vector_bytes, NULL);
	rotate(repair, node);
	repair->squared = repair->kernels->dot(layout->code.rotdim, node->rotated, node->rotated);
	code_query_init(&layout->code, node->rotated, repair->query);
	visited_reset(repair->seen);
	repair->doomed.count = 0;
	repair->nfound = 0;
	repair->nread = 0;
	repair->npoints = 0;
	(void) mark_seen(repair, id);
}

/* From the value to the point of coded space. */
static void
rotate(FngRepair *repair, RepairPoint *point)
{
	fng_coded_vector(repair->layout, point->value, point->aux, point->coded);
	fng_code_point(repair->cached, point->coded, point->rotated);
}

/* Pin the page of a node, where it last was if it still is there. */
static Buffer
read_page(FngRepair *repair, uint32 id)
{
	FngIndex   *cached = repair->cached;
	BlockNumber block = FngIdBlock(repair->layout, id);
	Buffer		buffer;

	if (block < cached->nhints && BufferIsValid(cached->hints[block]) &&
		ReadRecentBuffer(repair->file, MAIN_FORKNUM, block, cached->hints[block]))
		return cached->hints[block];
	buffer = fng_read_block(repair->index, block, NULL);
	fng_remember_buffer(cached, block, buffer);
	return buffer;
}

/*
 * The ids of all edges of a slot, and how far their targets are from a query;
 * base is the distance of the node itself.  In the form for inner product all
 * of these are negative products.
 */
static void
estimate_edges(FngRepair *repair, const char *slot, const CodeQuery *query, float base)
{
	const FngLayout *layout = repair->layout;
	const FngNodeData *node = (const FngNodeData *) slot;
	uint32		degree = Min(node->degree, layout->max_degree);
	uint32		npending = Min(node->npending, layout->max_pending);
	float		scores[CODE_LANES];
	uint32		first = 0;

	repair->nedges = fng_slot_edge_ids(layout, slot, repair->ids);
	while (first < degree)
	{
		uint32		lanes = fng_block_lanes(layout, first);

		code_score_block(&layout->code, query,
						 FngSlotCodes(layout, slot) + first * layout->row_bytes, lanes, scores);
		(void) code_estimate(Min(lanes, degree - first), base, node->mul_scale,
							 FngSlotAdd(layout, slot) + first,
							 FngSlotMul(layout, slot) + first, scores, 0,
							 repair->estimates + first);
		first += lanes;
	}
	for (uint32 i = 0; i < npending; i++)
	{
		FngPendingData *pending = FngSlotPending(layout, slot, i);

		scores[0] = code_score_row(&layout->code, query, FngPendingRow(pending));
		(void) code_estimate(1, base, node->mul_scale, &pending->add, &pending->mul,
							 scores, 0, repair->estimates + degree + i);
	}
}

/* Returns false if the id was marked already. */
static bool
mark_seen(FngRepair *repair, uint32 id)
{
	bool		found;

	(void) visited_insert(repair->seen, id, &found);
	return !found;
}

/*
 * Look at a doomed node, whose distance from the node at hand is base: the
 * nearest of its neighbours go to "best", and all that are doomed are noted.
 */
static void
look_around(FngRepair *repair, uint32 id, float base)
{
	const FngLayout *layout = repair->layout;
	Buffer		buffer = read_page(repair, id);
	const char *slot = FngPageSlot(layout, BufferGetPage(buffer), FngIdSlot(layout, id));
	Candidate  *best = repair->best;
	uint32		nbest = 0;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	repair->nedges = 0;
	if (fng_slot_usable(slot, repair->level))
		estimate_edges(repair, slot, repair->query, base);
	UnlockReleaseBuffer(buffer);

	for (uint32 i = 0; i < repair->nedges; i++)
	{
		Candidate	candidate = {repair->estimates[i], repair->ids[i]};
		uint32		at;

		if (fng_is_doomed(repair->vacuum, candidate.id))
		{
			if (mark_seen(repair, candidate.id))
				estimate_heap_push(&repair->doomed, candidate);
			continue;
		}
		if (nbest == PER_DOOMED && !(candidate.estimate < best[nbest - 1].estimate))
			continue;
		if (visited_lookup(repair->seen, candidate.id) != NULL)
			continue;
		at = nbest < PER_DOOMED ? nbest++ : nbest - 1;
		for (; at > 0 && candidate.estimate < best[at - 1].estimate; at--)
			best[at] = best[at - 1];
		best[at] = candidate;
	}
	repair->nbest = nbest;
}

/* A candidate, unless it is one already. */
static void
add_found(FngRepair *repair, uint32 id)
{
	if (mark_seen(repair, id))
		repair->found[repair->nfound++] = id;
}

/*
 * Collect live candidates for so many places: from the doomed nodes that the
 * node led to, then from those around them if need be.  Of the former the best
 * of each come first, then the second best of each: edges may lead far away,
 * and what is there must not be missed for what is near.
 */
static void
gather(FngRepair *repair, uint32 places)
{
	uint32		wanted = Min(places * PER_PLACE, MAX_CANDIDATES);
	uint32		enough = Min(places, ENOUGH_CANDIDATES);
	uint32		ndirect = (uint32) repair->doomed.count;
	Candidate  *direct = palloc(ndirect * sizeof(Candidate));
	uint32	   *found = palloc(ndirect * PER_DOOMED * sizeof(uint32));
	uint32		looked = ndirect;

	memcpy(direct, repair->doomed.elements, ndirect * sizeof(Candidate));
	repair->doomed.count = 0;
	for (uint32 i = 0; i < ndirect; i++)
	{
		look_around(repair, direct[i].id, direct[i].estimate);
		for (uint32 rank = 0; rank < PER_DOOMED; rank++)
			found[rank * ndirect + i] = rank < repair->nbest ? repair->best[rank].id : FNG_NO_ID;
	}
	for (uint32 i = 0; i < ndirect * PER_DOOMED; i++)
	{
		if (found[i] != FNG_NO_ID)
			add_found(repair, found[i]);
	}
	for (;;)
	{
		read_points(repair, wanted);
		if (repair->npoints >= enough)
			break;
		while (repair->nread == repair->nfound && repair->doomed.count > 0 &&
			   looked < MAX_DOOMED)
		{
			Candidate	next = estimate_heap_pop(&repair->doomed);

			look_around(repair, next.id, next.estimate);
			for (uint32 i = 0; i < repair->nbest; i++)
				add_found(repair, repair->best[i].id);
			looked++;
		}
		if (repair->nread == repair->nfound)
			break;
	}
	pfree(direct);
	pfree(found);
}

/* Read those found until so many are live. */
static void
read_points(FngRepair *repair, uint32 wanted)
{
	while (repair->npoints < wanted && repair->nread < repair->nfound)
	{
		RepairPoint *point = &repair->points[repair->npoints];

		if (read_live(repair, repair->found[repair->nread++], point))
			repair->npoints++;
	}
}

/* Read a node's vector.  Returns false if it is not live. */
static bool
read_live(FngRepair *repair, uint32 id, RepairPoint *point)
{
	const FngLayout *layout = repair->layout;
	Buffer		buffer = read_page(repair, id);
	const char *slot = FngPageSlot(layout, BufferGetPage(buffer), FngIdSlot(layout, id));
	const FngNodeData *node = (const FngNodeData *) slot;
	BlockNumber chain = InvalidBlockNumber;
	bool		live;
	float		squared;

	init_point(repair, point);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	live = fng_slot_usable(slot, repair->level) && node->flags == FNG_NODE_LIVE;
	if (live)
	{
		point->aux = node->aux;
		chain = node->vector;
		if (layout->vector_inline)
			memcpy(point->value, FngSlotVector(layout, slot), layout->vector_bytes);
	}
	UnlockReleaseBuffer(buffer);
	if (!live)
		return false;
	if (!layout->vector_inline)
		fng_read_vector_chain(repair->index, chain, point->value, layout->vector_bytes, NULL);

	fng_coded_vector(layout, point->value, point->aux, point->coded);
	squared = repair->kernels->l2_squared(layout->code.dim, repair->node.coded, point->coded);
	point->dist = squared < FLT_MAX ? squared : FLT_MAX;
	point->id = id;
	point->strength = 0;
	point->taken = false;
	return true;
}

static int
compare_points(const void *a, const void *b)
{
	const RepairPoint *left = (const RepairPoint *) a;
	const RepairPoint *right = (const RepairPoint *) b;

	if (left->dist != right->dist)
		return left->dist < right->dist ? -1 : 1;
	return left->id < right->id ? -1 : (left->id > right->id);
}

/*
 * How long the edges are that stay: squared, from their codes.  Under inner
 * product the code gives the product of both ends, and the length only by way
 * of the factor f, which is |r| up to the noise of the code.
 */
static void
measure_kept(FngRepair *repair, const char *slot)
{
	const FngLayout *layout = repair->layout;
	const FngNodeData *node = (const FngNodeData *) slot;

	if (layout->form == CODE_L2)
	{
		estimate_edges(repair, slot, repair->query, 0);
		memcpy(repair->lengths, repair->estimates, repair->nedges * sizeof(float));
		return;
	}
	estimate_edges(repair, slot, repair->query, (float) -repair->squared);
	for (uint32 i = 0; i < repair->nedges; i++)
	{
		uint16		mul = i < node->degree ? FngSlotMul(layout, slot)[i] :
		FngSlotPending(layout, slot, i - node->degree)->mul;
		float		length = half_to_float(mul) * node->mul_scale * repair->code_length;

		repair->lengths[i] = length * length;
		repair->norms[i] = repair->lengths[i] - (float) repair->squared - 2 * repair->estimates[i];
	}
}

/* The strength with which the edges that stay cover a candidate. */
static void
cover_by_kept(FngRepair *repair, const char *slot, RepairPoint *point, float tau)
{
	const FngLayout *layout = repair->layout;
	bool		l2 = layout->form == CODE_L2;
	float		dist = sqrtf(point->dist);
	float		base = point->dist;
	float		squared = 0;

	fng_code_point(repair->cached, point->coded, point->rotated);
	code_query_init(&layout->code, point->rotated, repair->other);
	if (!l2)
	{
		squared = repair->kernels->dot(layout->code.rotdim, point->rotated, point->rotated);
		base = -repair->kernels->dot(layout->code.rotdim, repair->node.rotated, point->rotated);
	}
	estimate_edges(repair, slot, repair->other, base);
	for (uint32 i = 0; i < repair->nedges; i++)
	{
		float		apart = repair->estimates[i];

		if (!(repair->lengths[i] <= point->dist))
			continue;
		if (!l2)
			apart = repair->norms[i] + squared + 2 * apart;
		point->strength = Max(point->strength, strength(dist, tau, apart));
	}
}

/* The same of a candidate that is taken and not farther. */
static void
cover_by(FngRepair *repair, const RepairPoint *chosen, RepairPoint *point, float tau)
{
	float		apart = repair->kernels->l2_squared(repair->layout->code.dim,
													chosen->coded, point->coded);

	point->strength = Max(point->strength, strength(sqrtf(point->dist), tau, apart));
}

static float
strength(float dist, float tau, float apart)
{
	return Max(dist - tau, 0) / sqrtf(Max(apart, FLT_MIN));
}

/* Choose among the candidates and give the slot edges to them. */
static void
choose(FngRepair *repair, char *slot, uint32 places)
{
	RepairPoint *points = repair->points;
	uint32		n = repair->npoints;
	float		nearest;
	float		tau;

	if (n == 0)
		return;
	qsort(points, n, sizeof(RepairPoint), compare_points);
	nearest = points[0].dist;
	for (uint32 i = 0; i < repair->nedges; i++)
		nearest = Min(nearest, repair->lengths[i]);
	tau = repair->graph.tau * sqrtf(Max(nearest, 0));
	for (uint32 i = 0; i < n; i++)
		cover_by_kept(repair, slot, &points[i], tau);

	for (float threshold = repair->graph.strict;
		 threshold <= repair->graph.relaxed_max && places > 0;
		 threshold *= THRESHOLD_STEP)
	{
		for (uint32 i = 0; i < n && places > 0; i++)
		{
			if (points[i].taken || !(points[i].strength <= threshold))
				continue;
			points[i].taken = true;
			if (!add_edge(repair, slot, &points[i]))
				continue;
			places--;
			for (uint32 j = i + 1; j < n; j++)
			{
				if (!points[j].taken)
					cover_by(repair, &points[i], &points[j], tau);
			}
		}
	}
}

/* Add an edge to the blocks; false if its factor does not fit the slot's unit. */
static bool
add_edge(FngRepair *repair, char *slot, RepairPoint *point)
{
	const FngLayout *layout = repair->layout;
	uint8	   *row = palloc(layout->row_bytes);
	FngEdge		edge = {.id = point->id,.row = row,.anchor = false};
	bool		fits;

	code_encode(&layout->code, layout->form, repair->node.rotated, point->rotated, row,
				&edge.add, &edge.mul);
	fits = fng_slot_append_edge(layout, slot, &edge);
	pfree(row);
	return fits;
}
