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

/*
 * Kernels take the query's tables as described at CodeQuery.  lanes is 16 or
 * 32.
 */
typedef struct CodeScorer
{
	/* B = 1 */
	void		(*fastscan) (const CodeQuery *query, const uint8_t *block,
							 uint32_t lanes, float *out);
	/* B = 2, 4, 8 */
	void		(*dot) (const CodeQuery *query, const uint8_t *block,
						uint32_t lanes, float *out);
	/* B = 2, 4, 8: sum of code * query of a row */
	int32_t		(*dot_row) (const CodeQuery *query, const uint8_t *row);
	/* see code_estimate */
	void		(*estimate) (uint32_t n, float base, float scale,
							 const float *add, const uint16_t *mul,
							 const float *score, float *est);
} CodeScorer;

/*
 * The header of a prepared query.  The tables that follow it at
 * CODE_QUERY_HEADER:
 *
 * B = 1: for each group of four coordinates the 16 sums of its coordinates
 * with signs as in the code, minus the least of them, in steps of
 * 2 * half_step: one byte each.  CODE_QUERY_PAD zeros follow.
 *
 * B = 2, 4, 8: the coordinates in steps of 2 * half_step, as int8.  Then the
 * same once more, but ordered like the fields of a row's bytes: plane f holds
 * coordinates f, f + 8 / B, f + 2 * 8 / B, ..., padded with zeros to
 * code_plane_bytes.
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

static inline size_t
code_plane_bytes(uint32_t coded, uint32_t bits)
{
	size_t		bytes = (size_t) coded * bits / 8;

	return (bytes + CODE_QUERY_PAD - 1) / CODE_QUERY_PAD * CODE_QUERY_PAD;
}

/* The first plane. */
static inline const int8_t *
code_query_planes(const CodeQuery *query)
{
	return code_query_values(query) + query->coded;
}

static inline float
code_score_of_sum(const CodeQuery *query, uint32_t sum)
{
	return (float) (int32_t) (2 * sum - (uint32_t) query->offset) *
		query->half_step;
}

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
