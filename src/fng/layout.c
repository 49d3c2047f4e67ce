/*-------------------------------------------------------------------------
 *
 * layout.c
 *	  The parameters of a slot, by dimension, and where its parts are.
 *
 * fng_layout_choose is the one place that decides bits per coordinate (B),
 * coded coordinates (m) and degree (R).  The table by dimension was measured
 * in the server, see src/README: bits matter in few dimensions, where codes
 * are short anyway; then one bit does, and more neighbours are worth more than
 * more bits, as long as the index stays within its size.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fng.h"

/* Lines of 64 bytes that the slots of a page share. */
#define PAGE_LINES		(FNG_CONTENT_SIZE / FNG_LINE)

/* What a node has in any case. */
#define MIN_DEGREE		32

/* Fewer pending rows than this make an insert re-select too often. */
#define MIN_PENDING		4
#define MAX_PENDING		16

/*
 * Codes are not longer than this; they may be cut to SHORT_CODED to fit a
 * page, and to FLOOR_CODED if the user asks for more neighbours.
 */
#define MAX_CODED		1024
#define SHORT_CODED		640
#define FLOOR_CODED		384

typedef struct LayoutRule
{
	uint32		rotdim;			/* up to this */
	uint16		bits;
	uint16		max_degree;
}			LayoutRule;

static const LayoutRule layout_rules[] = {
	{32, 4, 32},
	{80, 2, 32},
	{400, 1, 48},
	{PG_UINT32_MAX, 1, 64}
};

static const LayoutRule *find_rule(uint32 rotdim);
static uint32 choose_degree(const FngMetaPageData *meta, const LayoutRule * rule,
							uint32 min_coded, uint32 max_coded);
static bool is_small(const FngMetaPageData *meta, Size slots);
static Size least_lines(const FngMetaPageData *meta, uint32 max_degree,
						uint32 coded);
static Size slot_size(const FngMetaPageData *meta, uint32 max_degree,
					  uint32 coded, uint32 max_pending);

/*
 * Choose coded, bits, max_degree, max_pending, vector_inline, slot_size and
 * slots_per_page of *meta, whose dim and code_dim are set.  max_degree and
 * subquantizer_cnt are the user's, or 0 for the default.  Returns false if
 * one page cannot hold the user's wish; then *max_possible is the largest
 * max_degree that it can hold with that subquantizer_cnt, or 0 if none.
 */
bool
fng_layout_choose(FngMetaPageData *meta, uint32 max_degree,
				  uint32 subquantizer_cnt, uint32 *max_possible)
{
	uint32		rotdim = code_rotated_dim(meta->code_dim);
	const		LayoutRule *rule = find_rule(rotdim);
	uint32		max_coded = Min(rotdim, MAX_CODED);
	uint32		min_coded = Min(rotdim, SHORT_CODED);
	Size		lines;

	meta->bits = rule->bits;
	if (subquantizer_cnt > 0)
		min_coded = max_coded = Min(rotdim, TYPEALIGN(CODE_DIM_ALIGN, subquantizer_cnt));

	/* the vector stays in the slot if that leaves room for the least degree */
	meta->vector_inline = 1;
	if (least_lines(meta, MIN_DEGREE, min_coded) > PAGE_LINES)
		meta->vector_inline = 0;

	if (max_degree > 0)
	{
		max_degree = Max(16, max_degree - max_degree % 16);
		if (subquantizer_cnt == 0)
			min_coded = Min(min_coded, FLOOR_CODED);
		*max_possible = FNG_MAX_DEGREE;
		while (*max_possible > 0 && least_lines(meta, *max_possible, min_coded) > PAGE_LINES)
			*max_possible -= 16;
		if (max_degree > *max_possible)
			return false;
	}
	else
	{
		max_degree = choose_degree(meta, rule, min_coded, max_coded);
		*max_possible = 0;
		if (least_lines(meta, max_degree, min_coded) > PAGE_LINES)
			return false;
	}

	/* a node whose vector is elsewhere shares its page with another */
	lines = PAGE_LINES;
	if (!meta->vector_inline && least_lines(meta, max_degree, min_coded) <= PAGE_LINES / 2)
		lines = PAGE_LINES / 2;

	/* what is left of the share goes to pending rows */
	meta->coded = max_coded;
	while (meta->coded > min_coded && least_lines(meta, max_degree, meta->coded) > lines)
		meta->coded -= CODE_DIM_ALIGN;
	meta->max_degree = max_degree;
	meta->slots_per_page = PAGE_LINES / least_lines(meta, max_degree, meta->coded);
	lines = PAGE_LINES / meta->slots_per_page;
	meta->slot_size = lines * FNG_LINE;
	meta->max_pending = MIN_PENDING;
	while (meta->max_pending < MAX_PENDING &&
		   slot_size(meta, max_degree, meta->coded, meta->max_pending + 1) <= meta->slot_size)
		meta->max_pending++;
	return true;
}

static const LayoutRule *
find_rule(uint32 rotdim)
{
	const		LayoutRule *rule = layout_rules;

	while (rotdim > rule->rotdim)
		rule++;
	return rule;
}

/*
 * The largest degree of the rule with which codes are not cut and either as
 * many slots share a page as with the least degree, or the index is small.
 */
static uint32
choose_degree(const FngMetaPageData *meta, const LayoutRule * rule,
			  uint32 min_coded, uint32 max_coded)
{
	Size		most_slots = 0;
	uint32		degree;

	if (least_lines(meta, MIN_DEGREE, max_coded) <= PAGE_LINES)
		most_slots = PAGE_LINES / least_lines(meta, MIN_DEGREE, max_coded);
	degree = meta->vector_inline ? rule->max_degree : MIN_DEGREE;
	for (; degree > MIN_DEGREE; degree -= 16)
	{
		Size		slots = PAGE_LINES / least_lines(meta, degree, max_coded);

		if (slots > 0 && (slots == most_slots || is_small(meta, slots)))
			return degree;
	}
	/* a subquantizer_cnt may leave room for less only */
	while (degree > 16 && least_lines(meta, degree, min_coded) > PAGE_LINES)
		degree -= 16;
	return degree;
}

/*
 * Is an index small enough that has so many slots to a page?  pgvector's hnsw
 * takes the vector and some 350 bytes; ours may take 2.6 times that up to 128
 * dimensions, 3.1 times beyond (design.md section 7).
 */
static bool
is_small(const FngMetaPageData *meta, Size slots)
{
	Size		peer = (Size) meta->dim * sizeof(float) + 350;

	return BLCKSZ / slots * 10 <= peer * (meta->dim <= 128 ? 26 : 31);
}

/* The lines that a slot needs; it may be more than a page has. */
static Size
least_lines(const FngMetaPageData *meta, uint32 max_degree, uint32 coded)
{
	return (slot_size(meta, max_degree, coded, MIN_PENDING) + FNG_LINE - 1) / FNG_LINE;
}

static Size
slot_size(const FngMetaPageData *meta, uint32 max_degree, uint32 coded,
		  uint32 max_pending)
{
	FngMetaPageData trial = *meta;
	FngLayout	layout;

	trial.max_degree = max_degree;
	trial.coded = coded;
	trial.max_pending = max_pending;
	trial.slots_per_page = 1;
	fng_layout_from_meta(&trial, &layout);
	return layout.pending_offset + max_pending * layout.pending_bytes;
}

/*
 * Compute the layout that a meta page fixes.  The caller has validated the
 * page (fng_read_meta), so no size overflows.
 */
void
fng_layout_from_meta(const FngMetaPageData *meta, FngLayout *layout)
{
	Size		offset = sizeof(FngNodeData);

	memset(layout, 0, sizeof(*layout));
	layout->metric = (FngMetric) meta->metric;
	layout->form = meta->metric == FNG_IP ? CODE_IP : CODE_L2;
	layout->dim = meta->dim;
	layout->vector_bytes = (Size) meta->dim * sizeof(float);
	layout->vector_inline = meta->vector_inline != 0;
	layout->code.dim = meta->code_dim;
	layout->code.rotdim = code_rotated_dim(meta->code_dim);
	layout->code.coded = meta->coded;
	layout->code.bits = meta->bits;
	layout->code.seed = meta->seed;
	layout->row_bytes = code_row_bytes(&layout->code);
	layout->max_degree = meta->max_degree;
	layout->max_pending = meta->max_pending;

	layout->ids_offset = offset;
	offset += (Size) meta->max_degree * sizeof(uint32);
	layout->add_offset = offset;
	offset += (Size) meta->max_degree * sizeof(float);
	layout->mul_offset = offset;
	offset += (Size) meta->max_degree * sizeof(uint16);
	layout->vector_offset = offset;
	if (layout->vector_inline)
		offset += layout->vector_bytes;
	layout->code_offset = TYPEALIGN(FNG_LINE, offset);
	offset = layout->code_offset + (Size) meta->max_degree * layout->row_bytes;
	layout->pending_offset = TYPEALIGN(sizeof(uint32), offset);
	layout->pending_bytes = TYPEALIGN(sizeof(uint32),
									  sizeof(FngPendingData) + layout->row_bytes);
	layout->slot_size = meta->slot_size;
	layout->slots_per_page = meta->slots_per_page;
}
