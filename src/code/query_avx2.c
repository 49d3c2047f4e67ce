/*-------------------------------------------------------------------------
 *
 * query_avx2.c
 *	  Preparation of a query with AVX2.
 *
 *-------------------------------------------------------------------------
 */
#include "score.h"

#ifdef SIMD_X86_64

#include <immintrin.h>

#define QUERY_PREFIX		code_avx2
#define QUERY_TARGET		__attribute__((target("avx2")))
#define QUERY_LANES			8

typedef __m256 Floats;
typedef __m256i Ints;

QUERY_TARGET static inline Floats
floats_load(const float *p)
{
	return _mm256_loadu_ps(p);
}

QUERY_TARGET static inline Ints
floats_magnitude(Floats a)
{
	return _mm256_and_si256(_mm256_castps_si256(a),
							_mm256_set1_epi32(INT32_MAX));
}

QUERY_TARGET static inline Ints
floats_ranges(Floats a)
{
	a = _mm256_castsi256_ps(floats_magnitude(a));
	a = _mm256_add_ps(a, _mm256_permute_ps(a, 0xb1));
	a = _mm256_add_ps(a, _mm256_permute_ps(a, 0x4e));
	return floats_magnitude(a);
}

QUERY_TARGET static inline Ints
floats_round(Floats a, float scale)
{
	return _mm256_cvtps_epi32(_mm256_mul_ps(a, _mm256_set1_ps(scale)));
}

QUERY_TARGET static inline Ints
ints_zero(void)
{
	return _mm256_setzero_si256();
}

QUERY_TARGET static inline Ints
ints_max(Ints a, Ints b)
{
	return _mm256_max_epi32(a, b);
}

QUERY_TARGET static inline Ints
ints_add(Ints a, Ints b)
{
	return _mm256_add_epi32(a, b);
}

QUERY_TARGET static inline int32_t
ints_largest(Ints a)
{
	__m128i		four = _mm_max_epi32(_mm256_castsi256_si128(a),
									 _mm256_extracti128_si256(a, 1));

	four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
	four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1));
	return _mm_cvtsi128_si32(four);
}

QUERY_TARGET static inline int32_t
ints_sum(Ints a)
{
	__m128i		four = _mm_add_epi32(_mm256_castsi256_si128(a),
									 _mm256_extracti128_si256(a, 1));

	four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
	four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
	return _mm_cvtsi128_si32(four);
}

QUERY_TARGET static inline Ints
ints_fall(Ints a)
{
	a = _mm256_max_epi32(_mm256_sub_epi32(ints_zero(), a), ints_zero());
	a = _mm256_add_epi32(a, _mm256_shuffle_epi32(a, 0xb1));
	return _mm256_add_epi32(a, _mm256_shuffle_epi32(a, 0x4e));
}

QUERY_TARGET static inline Ints
ints_abs(Ints a)
{
	return _mm256_abs_epi32(a);
}

QUERY_TARGET static inline void
ints_store(int32_t *p, Ints a)
{
	_mm256_storeu_si256((__m256i *) p, a);
}

QUERY_TARGET static inline void
ints_store_bytes(int8_t *p, Ints a)
{
	__m128i		words = _mm_packs_epi32(_mm256_castsi256_si128(a),
										_mm256_extracti128_si256(a, 1));

	_mm_storel_epi64((__m128i *) p, _mm_packs_epi16(words, words));
}

/* Lane j is the sum that goes to byte j. */
QUERY_TARGET static inline void
store_sums(uint8_t *lut, const int32_t *values, int32_t least)
{
	const __m256i bit0 = _mm256_set1_epi32((int) 0xffff0000);
	const __m256i bit1 = _mm256_set1_epi64x((long long) 0xffffffff00000000);
	const __m256i bit2 = _mm256_setr_epi64x(0, -1, 0, -1);
	const __m256i bit3 = _mm256_setr_epi64x(0, 0, -1, -1);
	__m256i		low = _mm256_set1_epi16((short) least);
	__m256i		high;

	low = _mm256_add_epi16(low,
						   _mm256_and_si256(bit0, _mm256_set1_epi16((short) values[0])));
	high = _mm256_and_si256(bit2, _mm256_set1_epi16((short) values[2]));
	low = _mm256_add_epi16(low,
						   _mm256_and_si256(bit1, _mm256_set1_epi16((short) values[1])));
	high = _mm256_add_epi16(high,
							_mm256_and_si256(bit3, _mm256_set1_epi16((short) values[3])));
	low = _mm256_srli_epi16(_mm256_add_epi16(low, high), 8);
	_mm_storeu_si128((__m128i *) lut,
					 _mm_packus_epi16(_mm256_castsi256_si128(low),
									  _mm256_extracti128_si256(low, 1)));
}

#include "query_template.h"

#endif							/* SIMD_X86_64 */
