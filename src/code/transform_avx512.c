/*-------------------------------------------------------------------------
 *
 * transform_avx512.c
 *	  Rotation and encoder kernels for AVX-512.
 *
 *-------------------------------------------------------------------------
 */
#include "transform.h"

#ifdef SIMD_X86_64

#include <immintrin.h>

#define TRANSFORM_PREFIX	avx512
#define TRANSFORM_TARGET \
	__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))

typedef __m512 Vec;

#define VEC_LANES			16

TRANSFORM_TARGET static inline Vec
vec_load(const float *p)
{
	return _mm512_loadu_ps(p);
}

TRANSFORM_TARGET static inline void
vec_store(float *p, Vec v)
{
	_mm512_storeu_ps(p, v);
}

TRANSFORM_TARGET static inline Vec
vec_add(Vec a, Vec b)
{
	return _mm512_add_ps(a, b);
}

TRANSFORM_TARGET static inline Vec
vec_sub(Vec a, Vec b)
{
	return _mm512_sub_ps(a, b);
}

TRANSFORM_TARGET static inline Vec
vec_scale(Vec a, float scale)
{
	return _mm512_mul_ps(a, _mm512_set1_ps(scale));
}

TRANSFORM_TARGET static inline Vec
vec_flip(Vec v, const uint8_t *signs, uint32_t i)
{
	const uint8_t *s = signs + i / 8;
	__mmask16	negative = (__mmask16) (s[0] | s[1] << 8);

	return _mm512_mask_xor_ps(v, negative, v, _mm512_set1_ps(-0.0f));
}

/* (low + high, low - high) of one stride; swapped is v with halves swapped */
TRANSFORM_TARGET static inline Vec
vec_butterfly(Vec v, Vec swapped, __mmask16 high)
{
	return _mm512_mask_sub_ps(_mm512_add_ps(v, swapped), high, swapped, v);
}

TRANSFORM_TARGET static inline Vec
vec_hadamard(Vec v)
{
	v = vec_butterfly(v, _mm512_permute_ps(v, 0xb1), 0xaaaa);
	v = vec_butterfly(v, _mm512_permute_ps(v, 0x4e), 0xcccc);
	v = vec_butterfly(v, _mm512_shuffle_f32x4(v, v, 0xb1), 0xf0f0);
	return vec_butterfly(v, _mm512_shuffle_f32x4(v, v, 0x4e), 0xff00);
}

TRANSFORM_TARGET static inline Vec
vec_grid(Vec t, float limit)
{
	t = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
	t = _mm512_add_ps(t, _mm512_set1_ps(0.5f));
	return _mm512_min_ps(_mm512_max_ps(t, _mm512_set1_ps(-limit)),
						 _mm512_set1_ps(limit));
}

TRANSFORM_TARGET static inline void
vec_store_codes(uint8_t *u, Vec x, float limit)
{
	x = _mm512_add_ps(x, _mm512_set1_ps(limit));
	_mm_storeu_si128((__m128i *) u,
					 _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(x)));
}

typedef struct Wide
{
	__m512d		low;
	__m512d		high;
} Wide;

TRANSFORM_TARGET static inline Wide
wide_zero(void)
{
	Wide		w;

	w.low = w.high = _mm512_setzero_pd();
	return w;
}

TRANSFORM_TARGET static inline Wide
wide_add_product(Wide w, Vec a, Vec b)
{
	w.low = _mm512_fmadd_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(a)),
							_mm512_cvtps_pd(_mm512_castps512_ps256(b)),
							w.low);
	w.high = _mm512_fmadd_pd(_mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1)),
							 _mm512_cvtps_pd(_mm512_extractf32x8_ps(b, 1)),
							 w.high);
	return w;
}

TRANSFORM_TARGET static inline double
wide_total(const Wide *sums)
{
	__m512d		eight = _mm512_add_pd(sums->low, sums->high);
	__m256d		four = _mm256_add_pd(_mm512_castpd512_pd256(eight),
									 _mm512_extractf64x4_pd(eight, 1));
	__m128d		two = _mm_add_pd(_mm256_castpd256_pd128(four),
								 _mm256_extractf128_pd(four, 1));

	return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

#include "transform_template.h"

#endif							/* SIMD_X86_64 */
