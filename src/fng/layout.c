/*-------------------------------------------------------------------------
 *
 * layout.c
 *	  The parameters of a slot, by dimension, and where its parts are.
 *
 * fng_layout_choose is the one place that decides bits per coordinate (B),
 * coded coordinates (m) and degree (R).  The rules come from algorithms.md
 * section 2.5 and 8 (measured there, repeated in src/README): the noise of an
 * estimate should stay near 0.035 of |r||t|, and beyond that more neighbours
 * beat more bits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fng.h"

/* Lines of 64 bytes that the slots of a page share. */
#define PAGE_LINES		(FNG_CONTENT_SIZE / FNG_LINE)

/* Fewer pending rows than this make an insert re-select too often. */
#define MIN_PENDING		4
#define MAX_PENDING		16

/* Below this many coded coordinates one bit says too little. */
#define FLOOR_CODED		384

static void choose_code(FngMetaPageData *meta, uint32 *min_coded, uint32 *max_coded);
static Size slot_size(const FngMetaPageData *meta, uint32 max_degree,
					  uint32 coded, uint32 max_pending);
static bool fits(const FngMetaPageData *meta, uint32 max_degree, uint32 coded,
				 Size lines);

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
	uint32		min_coded;
	uint32		max_coded;
	Size		lines;
	uint32		coded;

	choose_code(meta, &min_coded, &max_coded);
	if (subquantizer_cnt > 0)
	{
		min_coded = TYPEALIGN(CODE_DIM_ALIGN, subquantizer_cnt);
		min_coded = Min(min_coded, code_rotated_dim(meta->code_dim));
		max_coded = min_coded;
	}

	/* the vector stays in the slot if that leaves room for 32 neighbours */
	meta->vector_inline = 1;
	if (!fits(meta, 32, min_coded, PAGE_LINES))
		meta->vector_inline = 0;

	if (max_degree == 0)
	{
		/* the smallest share of a page that holds 32, then all it can hold */
		lines = 1;
		while (lines < PAGE_LINES && !fits(meta, 32, min_coded, lines))
			lines++;
		lines = PAGE_LINES / (PAGE_LINES / lines);
		max_degree = 64;
		while (max_degree > 16 && !fits(meta, max_degree, min_coded, lines))
			max_degree -= 16;
	}
	else
	{
		max_degree = Max(16, max_degree - max_degree % 16);
		min_coded = Min(min_coded, Max(FLOOR_CODED, subquantizer_cnt));
		*max_possible = FNG_MAX_DEGREE;
		while (*max_possible > 0 && !fits(meta, *max_possible, min_coded, PAGE_LINES))
			*max_possible -= 16;
		if (max_degree > *max_possible)
			return false;
		lines = 1;
		while (!fits(meta, max_degree, min_coded, lines))
			lines++;
		lines = PAGE_LINES / (PAGE_LINES / lines);
	}
	if (!fits(meta, max_degree, min_coded, lines))
	{
		*max_possible = 0;
		return false;
	}

	/* the rest of the share goes to longer codes, then to pending rows */
	coded = max_coded;
	while (coded > min_coded && !fits(meta, max_degree, coded, lines))
		coded -= CODE_DIM_ALIGN;

	meta->coded = coded;
	meta->max_degree = max_degree;
	meta->slot_size = lines * FNG_LINE;
	meta->slots_per_page = PAGE_LINES / lines;
	meta->max_pending = MIN_PENDING;
	while (meta->max_pending < MAX_PENDING &&
		   slot_size(meta, max_degree, coded, meta->max_pending + 1) <= meta->slot_size)
		meta->max_pending++;
	return true;
}

/*
 * Bits by dimension, and the range in which the number of coded coordinates
 * may be fitted to the page: sigma is 0.363/sqrt(m) for two bits and
 * 1.25/sqrt(m) for one (algorithms.md section 2.1).
 */
static void
choose_code(FngMetaPageData *meta, uint32 *min_coded, uint32 *max_coded)
{
	uint32		rotdim = code_rotated_dim(meta->code_dim);

	if (rotdim <= 96)
	{
		meta->bits = 4;
		*min_coded = *max_coded = rotdim;
	}
	else if (rotdim <= 400)
	{
		meta->bits = 2;
		*max_coded = rotdim;
		*min_coded = Max(96, rotdim * 7 / 8 / CODE_DIM_ALIGN * CODE_DIM_ALIGN);
	}
	else
	{
		meta->bits = 1;
		*max_coded = Min(rotdim, 1024);
		*min_coded = Min(rotdim, 640);
	}
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

static bool
fits(const FngMetaPageData *meta, uint32 max_degree, uint32 coded, Size lines)
{
	return slot_size(meta, max_degree, coded, MIN_PENDING) <= lines * FNG_LINE;
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
