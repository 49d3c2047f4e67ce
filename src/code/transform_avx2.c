/*-------------------------------------------------------------------------
 *
 * transform_avx2.c
 *	  Rotation and encoder kernels for AVX2 and FMA.
 *
 *-------------------------------------------------------------------------
 */
#include "transform.h"

#ifdef SIMD_X86_64

#include <immintrin.h>

#define TRANSFORM_PREFIX	avx2
#define TRANSFORM_TARGET	__attribute__((target("avx2,fma")))

typedef __m256 Vec;

#define VEC_LANES			8

TRANSFORM_TARGET static inline Vec
vec_load(const float *p)
{
	return _mm256_loadu_ps(p);
}

TRANSFORM_TARGET static inline void
vec_store(float *p, Vec v)
{
	_mm256_storeu_ps(p, v);
}

TRANSFORM_TARGET static inline Vec
vec_add(Vec a, Vec b)
{
	return _mm256_add_ps(a, b);
}

TRANSFORM_TARGET static inline Vec
vec_sub(Vec a, Vec b)
{
	return _mm256_sub_ps(a, b);
}

TRANSFORM_TARGET static inline Vec
vec_scale(Vec a, float scale)
{
	return _mm256_mul_ps(a, _mm256_set1_ps(scale));
}

/* bit l of the byte moves to the sign bit of lane l */
TRANSFORM_TARGET static inline Vec
vec_flip(Vec v, const uint8_t *signs, uint32_t i)
{
	__m256i		bits = _mm256_set1_epi32(signs[i / 8]);
	__m256i		sign;

	bits = _mm256_sllv_epi32(bits, _mm256_setr_epi32(31, 30, 29, 28,
													 27, 26, 25, 24));
	sign = _mm256_and_si256(bits, _mm256_set1_epi32(INT32_MIN));
	return _mm256_xor_ps(v, _mm256_castsi256_ps(sign));
}

/* (low + high, low - high) of one stride; swapped is v with halves swapped */
TRANSFORM_TARGET static inline Vec
vec_butterfly(Vec v, Vec swapped, __m256 high)
{
	return _mm256_add_ps(swapped, _mm256_xor_ps(v, high));
}

TRANSFORM_TARGET static inline Vec
vec_hadamard(Vec v)
{
	const float p = 0.0f;
	const float m = -0.0f;

	v = vec_butterfly(v, _mm256_permute_ps(v, 0xb1),
					  _mm256_setr_ps(p, m, p, m, p, m, p, m));
	v = vec_butterfly(v, _mm256_permute_ps(v, 0x4e),
					  _mm256_setr_ps(p, p, m, m, p, p, m, m));
	return vec_butterfly(v, _mm256_permute2f128_ps(v, v, 0x01),
						 _mm256_setr_ps(p, p, p, p, m, m, m, m));
}

TRANSFORM_TARGET static inline Vec
vec_grid(Vec t, float limit)
{
	t = _mm256_floor_ps(t);
	t = _mm256_add_ps(t, _mm256_set1_ps(0.5f));
	return _mm256_min_ps(_mm256_max_ps(t, _mm256_set1_ps(-limit)),
						 _mm256_set1_ps(limit));
}

TRANSFORM_TARGET static inline void
vec_store_codes(uint8_t *u, Vec x, float limit)
{
	__m256i		wide = _mm256_cvttps_epi32(_mm256_add_ps(x, _mm256_set1_ps(limit)));
	__m128i		words = _mm_packus_epi32(_mm256_castsi256_si128(wide),
										 _mm256_extracti128_si256(wide, 1));

	_mm_storel_epi64((__m128i *) u, _mm_packus_epi16(words, words));
}

typedef struct Wide
{
	__m256d		low;
	__m256d		high;
} Wide;

TRANSFORM_TARGET static inline Wide
wide_zero(void)
{
	Wide		w;

	w.low = w.high = _mm256_setzero_pd();
	return w;
}

TRANSFORM_TARGET static inline Wide
wide_add_product(Wide w, Vec a, Vec b)
{
	w.low = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(a)),
							_mm256_cvtps_pd(_mm256_castps256_ps128(b)),
							w.low);
	w.high = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)),
							 _mm256_cvtps_pd(_mm256_extractf128_ps(b, 1)),
							 w.high);
	return w;
}

TRANSFORM_TARGET static inline double
wide_total(const Wide *sums)
{
	__m256d		four = _mm256_add_pd(_mm256_add_pd(sums[0].low, sums[1].low),
									 _mm256_add_pd(sums[0].high, sums[1].high));
	__m128d		two = _mm_add_pd(_mm256_castpd256_pd128(four),
								 _mm256_extractf128_pd(four, 1));

	return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

#include "transform_template.h"

#endif							/* SIMD_X86_64 */
