/*-------------------------------------------------------------------------
 *
 * score.c
 *	  Preparation of a query, and scores of blocks and rows.
 *
 * The integer tables of a query are made by query_template.h, the integer
 * sums by score_template.h; this is what calls them.
 *
 *-------------------------------------------------------------------------
 */
#include "score.h"

static const CodeScorer *
active_scorer(void)
{
	switch (simd_active_level())
	{
#ifdef SIMD_X86_64
		case SIMD_AVX2:
			return &code_scorer_avx2;
		case SIMD_AVX512:
			if (simd_has_avx512_vnni())
				return &code_scorer_avx512_vnni;
			return &code_scorer_avx512;
#endif
#ifdef SIMD_AARCH64
		case SIMD_NEON:
			return &code_scorer_neon;
#endif
		default:
			return &code_scorer_scalar;
	}
}

/* Bytes of memory that code_query_init needs. */
size_t
code_query_size(const CodeParams *params)
{
	size_t		tables = (size_t) params->coded * (params->bits == 1 ? 4 : 1);

	return CODE_QUERY_HEADER + tables + CODE_QUERY_PAD;
}

/*
 * Prepare a rotated query.  memory is aligned for a pointer, better for a
 * cache line.  The kernels of the active level are chosen here, for all uses
 * of the query.
 */
CodeQuery *
code_query_init(const CodeParams *params, const float *q, void *memory)
{
	CodeQuery  *query = (CodeQuery *) memory;

	query->scorer = active_scorer();
	query->coded = params->coded;
	query->bits = params->bits;
	if (params->bits == 1)
		query->scorer->init_lut(query, q);
	else
		query->scorer->init_values(query, q);
	return query;
}

/* See code.h. */
void
code_score_block(const CodeParams *params, const CodeQuery *query,
				 const uint8_t *block, uint32_t lanes, float *out)
{
	if (params->bits == 1)
		query->scorer->fastscan(query, block, lanes, out);
	else
		query->scorer->dot(query, block, lanes, out);
}

/* Every group has a table of its own, so one row is one lookup per group. */
static uint32_t
sum_lookups(const CodeQuery *query, const uint8_t *row)
{
	const uint8_t *lut = code_query_lut(query);
	uint32_t	even = 0;
	uint32_t	odd = 0;
	uint32_t	i;

	for (i = 0; i < query->coded / 8; i++)
	{
		even += lut[row[i] & 0xf];
		odd += lut[16 + (row[i] >> 4)];
		lut += 32;
	}
	return even + odd;
}

/* See code.h. */
float
code_score_row(const CodeParams *params, const CodeQuery *query,
			   const uint8_t *row)
{
	uint32_t	sum;

	if (params->bits == 1)
		sum = sum_lookups(query, row);
	else
		sum = (uint32_t) query->scorer->dot_row(query, row);
	return code_score_of_sum(query, sum);
}

/* See code.h. */
uint32_t
code_estimate(uint32_t n, float base, float scale,
			  const float *add, const uint16_t *mul,
			  const float *score, float bound, float *est)
{
	return active_scorer()->estimate(n, base, scale, add, mul, score, bound, est);
}

/* See code.h. */
uint32_t
code_least(uint32_t n, const float *values)
{
	return active_scorer()->least(n, values);
}
