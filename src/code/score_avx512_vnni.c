/*-------------------------------------------------------------------------
 *
 * score_avx512_vnni.c
 *	  Scoring with AVX-512 and VNNI.
 *
 *-------------------------------------------------------------------------
 */
#include "score.h"

#ifdef SIMD_X86_64

#define SCORE_PREFIX		avx512_vnni
#define SCORE_TARGET \
	__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni," \
						  "avx2,fma")))

#include "score_avx512.h"

/* The instruction takes codes of any number of bits. */
SCORE_TARGET static inline CODE_ALWAYS_INLINE Ints
dot4(int bits, Ints sum, Bytes codes, Bytes values)
{
	(void) bits;
	return _mm512_dpbusd_epi32(sum, codes, values);
}

/*
 * Four chains of additions, so that none waits for another.  As __m512i, gcc
 * would copy each of them twice per step.
 */
typedef struct Dot
{
	__v16si		part[4];
} Dot;

SCORE_TARGET static inline CODE_ALWAYS_INLINE Dot
dot_zero(void)
{
	Dot			dot;

	code_for(g, 4)
	{
		dot.part[g] = (__v16si) ints_zero();
	}
	return dot;
}

SCORE_TARGET static inline CODE_ALWAYS_INLINE Ints
dot_sum(const Dot *dot)
{
	return (Ints) (dot->part[0] + dot->part[1] + (dot->part[2] + dot->part[3]));
}

SCORE_TARGET static inline CODE_ALWAYS_INLINE void
dot_add(int bits, Dot *dot, const Bytes *codes, const Bytes *values)
{
	code_for(g, 4)
	{
		dot->part[g] = (__v16si) dot4(bits, (Ints) dot->part[g], codes[g], values[g]);
	}
}

#include "score_template.h"

const CodeScorer code_scorer_avx512_vnni = {
	.init_lut = code_avx2_init_lut,
	.init_values = code_avx2_init_values,
	.fastscan = avx512_vnni_fastscan,
	.dot = avx512_vnni_dot,
	.dot_row = avx512_vnni_dot_row,
	.estimate = avx512_vnni_estimate,
	.least = avx512_vnni_least
};

#endif							/* SIMD_X86_64 */
