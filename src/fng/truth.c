/*-------------------------------------------------------------------------
 *
 * truth.c
 *	  The true nearest rows of control rows, by one pass over an index.
 *
 * Rows are compared with all controls a block at a time, by products.  Those
 * give distances that may be off by their last digits; so what is about as near
 * as the k-th so far is computed again as the operator does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>

#include "miscadmin.h"
#include "recall.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Rows of a block */
#define BLOCK_ROWS		32

/* Pages that a member of a team claims at a time */
#define PAGES_AT_A_TIME	256

/* Relative error of a product of float32, with room to spare */
#define PRODUCT_ERROR	1e-4

/* Rows that wait to be compared, and room for their products */
typedef struct RowBlock
{
	uint32		n;
	uint32		ids[BLOCK_ROWS];
	double		norms[BLOCK_ROWS];
	float	   *rows;			/* BLOCK_ROWS * dim */
	float	   *products;		/* of controls and rows */
	double	   *query_norms;
} RowBlock;

static bool claim_blocks(const FngControls *controls, BlockNumber *first, BlockNumber *end);
static void scan_blocks(FngControls *controls, BlockNumber first, BlockNumber end, RowBlock *rows);
static void init_rows(const FngControls *controls, RowBlock *block);
static void add_row(FngControls *controls, RowBlock *block, uint32 id, const float *value);
static void compare_rows(FngControls *controls, RowBlock *block);
static bool may_be_near(const FngLayout *layout, float product, double query_norm,
						double norm, double limit);
static void offer(double *nearest, uint32 k, double score);

/*
 * One pass over all nodes for the true k nearest of every control.  In a team
 * each member looks at the pages that it claims; fng_merge_truth must follow.
 */
void
fng_find_truth(FngControls *controls)
{
	BlockNumber first = FNG_META_BLOCK + 1;
	BlockNumber end = RelationGetNumberOfBlocks(controls->index);
	RowBlock	rows;

	controls->nearest = MemoryContextAllocHuge(CurrentMemoryContext,
											   mul_size(controls->n, controls->k * sizeof(double)));
	for (Size i = 0; i < (Size) controls->n * controls->k; i++)
		controls->nearest[i] = DBL_MAX;
	init_rows(controls, &rows);
	if (controls->build == NULL)
		scan_blocks(controls, first, end, &rows);
	else
	{
		while (claim_blocks(controls, &first, &end))
			scan_blocks(controls, first, end, &rows);
	}
	compare_rows(controls, &rows);
}

/*
 * Claim pages, the last ones first: who logs pages begins with the first.
 * False if there are no more.
 */
static bool
claim_blocks(const FngControls *controls, BlockNumber *first, BlockNumber *end)
{
	FngBuild   *build = controls->build;
	uint64		n = RelationGetNumberOfBlocks(controls->index) - (FNG_META_BLOCK + 1);
	uint64		from = fng_team_claim(build->team, FNG_CLAIM_TRUTH, PAGES_AT_A_TIME);

	fng_build_progress(build, from);
	if (from >= n)
		return false;
	*end = (BlockNumber) (FNG_META_BLOCK + 1 + n - from);
	*first = (BlockNumber) (*end - Min(PAGES_AT_A_TIME, n - from));
	return true;
}

static void
scan_blocks(FngControls *controls, BlockNumber first, BlockNumber end, RowBlock *rows)
{
	const FngLayout *layout = controls->layout;
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	float	   *chained = layout->vector_inline ? NULL : palloc(layout->vector_bytes);
	PGAlignedBlock page;
	FngPass		pass;
	Buffer		buffer;

	fng_pass_begin(&pass, controls->index, first, end, strategy);
	while ((buffer = fng_pass_next(&pass)) != InvalidBuffer)
	{
		BlockNumber block = BufferGetBlockNumber(buffer);

		CHECK_FOR_INTERRUPTS();
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		memcpy(page.data, BufferGetPage(buffer), BLCKSZ);
		UnlockReleaseBuffer(buffer);
		for (uint32 i = 0; i < layout->slots_per_page; i++)
		{
			char	   *slot = FngPageSlot(layout, page.data, i);
			const float *value = FngSlotVector(layout, slot);

			if (!fng_node_usable(layout, page.data, i, 0) ||
				!(FngSlotNode(slot)->flags & FNG_NODE_LIVE))
				continue;
			if (chained != NULL)
			{
				fng_read_vector_chain(controls->index, FngSlotNode(slot)->vector, chained,
									  layout->vector_bytes, strategy);
				value = chained;
			}
			add_row(controls, rows, FngMakeId(layout, block, i), value);
		}
	}
	fng_pass_end(&pass);
	if (chained != NULL)
		pfree(chained);
	FreeAccessStrategy(strategy);
}

static void
init_rows(const FngControls *controls, RowBlock *block)
{
	uint32		dim = controls->layout->dim;

	block->n = 0;
	block->rows = palloc(mul_size(BLOCK_ROWS, dim * sizeof(float)));
	block->products = palloc(mul_size(controls->n, BLOCK_ROWS * sizeof(float)));
	block->query_norms = palloc(mul_size(controls->n, sizeof(double)));
	for (uint32 q = 0; q < controls->n; q++)
		block->query_norms[q] = distance_kernels()->norm(dim, controls->queries + (Size) q * dim);
}

static void
add_row(FngControls *controls, RowBlock *block, uint32 id, const float *value)
{
	uint32		dim = controls->layout->dim;

	block->ids[block->n] = id;
	block->norms[block->n] = distance_kernels()->norm(dim, value);
	memcpy(block->rows + (Size) block->n * dim, value, dim * sizeof(float));
	if (++block->n == BLOCK_ROWS)
		compare_rows(controls, block);
}

/* Compare the rows that wait with all controls. */
static void
compare_rows(FngControls *controls, RowBlock *block)
{
	const FngLayout *layout = controls->layout;
	const DistanceKernels *kernels = distance_kernels();
	uint32		dim = layout->dim;

	if (block->n == 0)
		return;
	kernels->dot_tile(dim, controls->queries, dim, controls->n, block->rows, dim, block->n,
					  block->products, BLOCK_ROWS);
	for (uint32 q = 0; q < controls->n; q++)
	{
		double	   *nearest = controls->nearest + (Size) q * controls->k;

		for (uint32 i = 0; i < block->n; i++)
		{
			if (controls->ids[q] != block->ids[i] &&
				may_be_near(layout, block->products[(Size) q * BLOCK_ROWS + i],
							block->query_norms[q], block->norms[i], nearest[controls->k - 1]))
				offer(nearest, controls->k,
					  fng_score(layout, kernels, controls->queries + (Size) q * dim, 0,
								block->rows + (Size) i * dim, 0));
		}
	}
	block->n = 0;
}

/* May the score that goes with a product be below the limit?  See fng_score. */
static bool
may_be_near(const FngLayout *layout, float product, double query_norm, double norm,
			double limit)
{
	double		most = query_norm * norm;
	double		score;

	switch (layout->metric)
	{
		case FNG_L2:
			most = query_norm * query_norm + norm * norm;
			score = most - 2 * (double) product;
			break;
		case FNG_IP:
			score = -(double) product;
			break;
		default:
			score = 2 - 2 * product / most;
			most = 1;
			break;
	}
	/* true, too, of what is no number */
	return !(score - 2 * PRODUCT_ERROR * most >= limit);
}

/* Each member of the team has looked at its share of the blocks. */
void
fng_merge_truth(FngControls *controls)
{
	FngBuild   *build = controls->build;
	Size		n = (Size) controls->n * controls->k;
	Size		size = mul_size(fng_team_size(build->team), n * sizeof(double));
	double	   *shared;

	if (fng_team_size(build->team) == 1)
		return;
	fng_team_share(build, size + 64);
	shared = fng_team_alloc(build, size);
	memcpy(shared + fng_team_rank(build->team) * n, controls->nearest, n * sizeof(double));
	fng_team_barrier(build->team);
	for (uint32 member = 0; member < fng_team_size(build->team); member++)
	{
		if (member == fng_team_rank(build->team))
			continue;
		for (Size i = 0; i < n; i++)
			offer(controls->nearest + i / controls->k * controls->k, controls->k,
				  shared[member * n + i]);
	}
	fng_team_unshare(build);
}

/* Keep the k least scores, sorted. */
static void
offer(double *nearest, uint32 k, double score)
{
	uint32		at = k - 1;

	if (!(score < nearest[at]))
		return;
	while (at > 0 && score < nearest[at - 1])
	{
		nearest[at] = nearest[at - 1];
		at--;
	}
	nearest[at] = score;
}
