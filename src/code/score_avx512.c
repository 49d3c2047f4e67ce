/*-------------------------------------------------------------------------
 *
 * score_avx512.c
 *	  Scoring with AVX-512, on CPUs without VNNI.
 *
 *-------------------------------------------------------------------------
 */
#include "score.h"

#ifdef SIMD_X86_64

#define SCORE_PREFIX		avx512
#define SCORE_TARGET \
	__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))

#include "score_avx512.h"

/*
 * Sums of neighbouring products in 16 bits, or for 8-bit codes, where these
 * would overflow, in 32 bits: bytes at even and at odd places as words.
 */
SCORE_TARGET static inline CODE_ALWAYS_INLINE Ints
dot4(int bits, Ints sum, Bytes codes, Bytes values)
{
	if (bits < 8)
		return _mm512_add_epi32(sum,
								_mm512_madd_epi16(_mm512_maddubs_epi16(codes, values),
												  _mm512_set1_epi16(1)));
	sum = _mm512_add_epi32(sum,
						   _mm512_madd_epi16(_mm512_and_si512(codes, _mm512_set1_epi16(0xff)),
											 _mm512_srai_epi16(_mm512_slli_epi16(values, 8), 8)));
	return _mm512_add_epi32(sum,
							_mm512_madd_epi16(_mm512_srli_epi16(codes, 8),
											  _mm512_srai_epi16(values, 8)));
}

typedef Ints Dot;

SCORE_TARGET static inline Dot
dot_zero(void)
{
	return ints_zero();
}

SCORE_TARGET static inline Ints
dot_sum(const Dot *dot)
{
	return *dot;
}

/* Four sums of two products of 4-bit codes fit 16 bits: 8 * 15 * 127. */
SCORE_TARGET static inline CODE_ALWAYS_INLINE void
dot_add(int bits, Dot *dot, const Bytes *codes, const Bytes *values)
{
	Bytes		sums;

	if (bits == 8)
	{
		code_for(g, 4)
		{
			*dot = dot4(bits, *dot, codes[g], values[g]);
		}
		return;
	}
	sums = _mm512_maddubs_epi16(codes[0], values[0]);
	code_for(g, 3)
	{
		sums = _mm512_add_epi16(sums, _mm512_maddubs_epi16(codes[g + 1],
														   values[g + 1]));
	}
	*dot = _mm512_add_epi32(*dot, _mm512_madd_epi16(sums, _mm512_set1_epi16(1)));
}

#include "score_template.h"

const CodeScorer code_scorer_avx512 = {
	.init_lut = code_avx2_init_lut,
	.init_values = code_avx2_init_values,
	.fastscan = avx512_fastscan,
	.dot = avx512_dot,
	.dot_row = avx512_dot_row,
	.estimate = avx512_estimate,
	.least = avx512_least
};

#endif							/* SIMD_X86_64 */
