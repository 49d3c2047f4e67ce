/*-------------------------------------------------------------------------
 *
 * reselect.c
 *	  A node chooses anew among its edges, by what its own slot tells.
 *
 * The codes of a slot are those of the neighbours as seen from the node: the
 * factors give their distances from it, the codes the angles between them.
 * That is all that the rule of selection asks for, so no other page is read:
 * what a back-link costs does not depend on how much of the index is cached.
 * (descartes_index_refine selects with exact vectors.)
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "frontier.h"
#include "insert.h"

/*
 * Of the edges in the blocks so many may be anchors.  Beyond them a node
 * refuses more: it would have no choice any longer.
 */
#define MAX_ANCHORS(layout)	((layout)->max_degree / 2)

/* A distance by one of two ways is not believed if they differ by this. */
#define DISTANCES_DIFFER	2.0f

typedef struct Choice
{
	const FngEdge *edge;
	uint32		index;			/* among the edges of the slot */
	float		dist;			/* squared, from the node */
	uint32		tie;			/* the order of those at the same distance */
	float	   *x;				/* point of the grid */
} Choice;

static float edge_distance(const FngLayout *layout, const float *centre,
						   const FngEdge *edge, const float *x);
static int	compare_choices(const void *a, const void *b);
static void fill_cosines(const FngLayout *layout, const Choice *choices, uint32 n,
						 float *cosines);
static void note_dropped(FngInserter *inserter, const FngEdge *edges, uint32 nedges,
						 const bool *keep);

/*
 * Choose the edges of "from", whose slot is given as a copy and changed there,
 * among those it has and "added".  Returns whether the latter is among them.
 * Allocates in the current memory context.
 */
bool
fng_reselect(FngInserter *inserter, FngPoint *from, char *slot, const FngEdge *added)
{
	const FngLayout *layout = &inserter->index->layout;
	uint32		capacity = layout->max_degree + layout->max_pending + 1;
	FngEdge    *edges = palloc(capacity * sizeof(FngEdge));
	uint8	   *rows = palloc(capacity * layout->row_bytes);
	float	   *grid = palloc(capacity * layout->code.coded * sizeof(float));
	Choice	   *choices = palloc(capacity * sizeof(Choice));
	float	   *dist = palloc(capacity * sizeof(float));
	bool	   *protect = palloc(capacity * sizeof(bool));
	bool	   *keep = palloc0(capacity * sizeof(bool));
	float	   *cosines = palloc(capacity * capacity * sizeof(float));
	uint32	   *chosen = palloc(layout->max_degree * sizeof(uint32));
	uint32		nedges = fng_slot_get_edges(layout, slot, edges, rows);
	uint32		nanchors = 0;
	uint32		n = nedges + 1;
	uint32		nchosen;
	GraphParams params = inserter->graph;

	fng_rotate_point(inserter, from);
	edges[nedges] = *added;
	for (uint32 i = 0; i < n; i++)
	{
		choices[i].edge = &edges[i];
		choices[i].index = i;
		choices[i].x = grid + i * layout->code.coded;
		code_decode(&layout->code, edges[i].row, choices[i].x);
		choices[i].dist = edge_distance(layout, from->rotated, &edges[i], choices[i].x);
		choices[i].tie = fng_hash_id(edges[i].id ^ fng_hash_id(from->id));
		if (i < nedges && edges[i].anchor)
			nanchors++;
	}
	if (added->anchor && nanchors >= MAX_ANCHORS(layout))
		edges[nedges].anchor = false;

	qsort(choices, n, sizeof(Choice), compare_choices);
	fill_cosines(layout, choices, n, cosines);
	for (uint32 i = 0; i < n; i++)
	{
		dist[i] = choices[i].dist;
		/* equal nodes lead to each other: others lead to one of them at best */
		protect[i] = choices[i].edge->anchor || choices[i].edge->mul == 0;
	}
	params.max_degree = layout->max_degree;
	nchosen = graph_select_by_angle(&params, n, dist, cosines, protect, chosen,
									palloc(graph_select_scratch(n, layout->max_degree)));
	for (uint32 i = 0; i < nchosen; i++)
		keep[choices[chosen[i]].index] = true;

	if (inserter->keep_dropped)
		note_dropped(inserter, edges, nedges, keep);
	fng_slot_change_edges(layout, slot, edges, keep, keep[nedges] ? &edges[nedges] : NULL);
	return keep[nedges] && edges[nedges].anchor == added->anchor;
}

/*
 * The squared distance of a neighbour.  With CODE_L2 it follows from the
 * factors, but for rounding; with CODE_IP from them if the norms are equal
 * (from a row of the norm M to another).  What the length of the residual
 * tells by itself is a few percent off, and guards against either.
 */
static float
edge_distance(const FngLayout *layout, const float *centre, const FngEdge *edge,
			  const float *x)
{
	float		norm = code_residual_norm(&layout->code, layout->form, edge->mul);
	float		rough = norm * norm;
	float		half_step = 0.5f;
	float		xc = half_step * distance_kernels()->dot(layout->code.coded, x, centre);
	float		squared;

	if (edge->mul == 0)
		return 0;
	squared = layout->form == CODE_L2 ? edge->add + edge->mul * xc :
		2 * (edge->add + edge->mul * xc);
	if (!(squared > rough / DISTANCES_DIFFER && squared < rough * DISTANCES_DIFFER))
		squared = rough;
	return Min(squared, FLT_MAX);
}

/* Ties are not to be the same for all nodes, see link.c. */
static int
compare_choices(const void *a, const void *b)
{
	const Choice *left = (const Choice *) a;
	const Choice *right = (const Choice *) b;

	if (left->dist != right->dist)
		return left->dist < right->dist ? -1 : 1;
	return left->tie < right->tie ? -1 : (left->tie > right->tie);
}

/* The cosine of the angle between each two of the choices. */
static void
fill_cosines(const FngLayout *layout, const Choice *choices, uint32 n, float *cosines)
{
	uint32		m = layout->code.coded;
	float	   *sorted = palloc(n * m * sizeof(float));
	float	   *inverse = palloc(n * sizeof(float));

	for (uint32 i = 0; i < n; i++)
		memcpy(sorted + i * m, choices[i].x, m * sizeof(float));
	distance_kernels()->dot_tile(m, sorted, m, n, sorted, m, n, cosines, n);
	for (uint32 i = 0; i < n; i++)
		inverse[i] = 1 / sqrtf(cosines[i * n + i]);
	for (uint32 i = 0; i < n; i++)
	{
		for (uint32 j = 0; j < n; j++)
			cosines[i * n + j] *= inverse[i] * inverse[j];
	}
	code_cosines(&layout->code, n * n, cosines);
	pfree(inverse);
	pfree(sorted);
}

/* Remember which edges go. */
static void
note_dropped(FngInserter *inserter, const FngEdge *edges, uint32 nedges,
			 const bool *keep)
{
	for (uint32 i = 0; i < nedges; i++)
	{
		if (keep[i])
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
		inserter->dropped[inserter->ndropped++] = edges[i].id;
	}
}
