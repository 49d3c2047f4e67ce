/*-------------------------------------------------------------------------
 *
 * score.h
 *	  Internal: a prepared query, and the scoring kernels per SIMD level.
 *
 * All kernels compute integers: sums of table entries (FastScan) or of
 * products (dot), at most 2^31 in magnitude once the offset is taken off,
 * so 32-bit arithmetic that wraps around is exact.  The score is then
 *
 *		S = (float) (2 * sum - offset) * half_step
 *
 * one conversion and one multiplication, which every level rounds alike.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_CODE_SCORE_H
#define DESCARTES_CODE_SCORE_H

#include "code.h"
#include "code_template.h"

#define CODE_QUERY_HEADER	64	/* tables start here */
#define CODE_QUERY_PAD		64	/* the longest vector */

/* lanes is 16 or 32; for the tables of a query see CodeQuery. */
typedef struct CodeScorer
{
	/* Fill the tables, the offset and the step; B = 1, and B = 2, 4, 8. */
	void		(*init_lut) (CodeQuery *query, const float *q);
	void		(*init_values) (CodeQuery *query, const float *q);
	/* Scores of a block; B = 1, and B = 2, 4, 8. */
	void		(*fastscan) (const CodeQuery *query, const uint8_t *block,
							 uint32_t lanes, float *out);
	void		(*dot) (const CodeQuery *query, const uint8_t *block,
						uint32_t lanes, float *out);
	/* The sum of a row; B = 2, 4, 8. */
	int32_t		(*dot_row) (const CodeQuery *query, const uint8_t *row);
	/* See code_estimate. */
	uint32_t	(*estimate) (uint32_t n, float base, float scale,
							 const float *add, const uint16_t *mul,
							 const float *score, float bound, float *est);
	/* See code_least. */
	uint32_t	(*least) (uint32_t n, const float *values);
} CodeScorer;

/*
 * The header of a prepared query.  At CODE_QUERY_HEADER follow, in steps of
 * 2 * half_step,
 *
 * B = 1: for each group of four coordinates, the sums of the coordinates with
 * the signs of each of the 16 codes, minus the least of them: 16 bytes.
 *
 * B = 2, 4, 8: the coordinates, as int8.
 *
 * CODE_QUERY_PAD zeros follow.
 */
struct CodeQuery
{
	const CodeScorer *scorer;
	float		half_step;
	int32_t		offset;
	uint32_t	coded;
	uint32_t	bits;
};

static inline const uint8_t *
code_query_lut(const CodeQuery *query)
{
	return (const uint8_t *) query + CODE_QUERY_HEADER;
}

static inline const int8_t *
code_query_values(const CodeQuery *query)
{
	return (const int8_t *) query + CODE_QUERY_HEADER;
}

static inline float
code_score_of_sum(const CodeQuery *query, uint32_t sum)
{
	return (float) (int32_t) (2 * sum - (uint32_t) query->offset) *
		query->half_step;
}

/* Preparation of the query; the levels of AVX-512 take the one of AVX2. */
extern void code_scalar_init_lut(CodeQuery *query, const float *q);
extern void code_scalar_init_values(CodeQuery *query, const float *q);
#ifdef SIMD_X86_64
extern void code_avx2_init_lut(CodeQuery *query, const float *q);
extern void code_avx2_init_values(CodeQuery *query, const float *q);
#endif
#ifdef SIMD_AARCH64
extern void code_neon_init_lut(CodeQuery *query, const float *q);
extern void code_neon_init_values(CodeQuery *query, const float *q);
#endif

extern const CodeScorer code_scorer_scalar;
#ifdef SIMD_X86_64
extern const CodeScorer code_scorer_avx2;
extern const CodeScorer code_scorer_avx512;
extern const CodeScorer code_scorer_avx512_vnni;
#endif
#ifdef SIMD_AARCH64
extern const CodeScorer code_scorer_neon;
#endif

#endif							/* DESCARTES_CODE_SCORE_H */
