/*-------------------------------------------------------------------------
 *
 * avx512.c
 *	  The distance kernels for AVX-512 (F, BW, DQ, VL).
 *
 *-------------------------------------------------------------------------
 */
#include "distance.h"

#ifdef SIMD_X86_64

#include <immintrin.h>

#define KERNEL_PREFIX		avx512
#define KERNEL_LEVEL		SIMD_AVX512
#define KERNEL_TARGET \
	__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))
#define KERNEL_SUMS			4
#define KERNEL_ROWS			4
#define KERNEL_TILE_ROWS	6	/* 24 sums, 6 rows, a column */

typedef __m512 Vec;

#define VEC_LANES			16

KERNEL_TARGET static inline Vec
vec_zero(void)
{
	return _mm512_setzero_ps();
}

KERNEL_TARGET static inline Vec
vec_load(const float *p)
{
	return _mm512_loadu_ps(p);
}

KERNEL_TARGET static inline Vec
vec_load_part(const float *p, uint32_t n)
{
	return _mm512_maskz_loadu_ps((__mmask16) ((1U << n) - 1), p);
}

KERNEL_TARGET static inline Vec
vec_add(Vec a, Vec b)
{
	return _mm512_add_ps(a, b);
}

KERNEL_TARGET static inline Vec
vec_sub(Vec a, Vec b)
{
	return _mm512_sub_ps(a, b);
}

KERNEL_TARGET static inline Vec
vec_abs(Vec a)
{
	return _mm512_abs_ps(a);
}

KERNEL_TARGET static inline Vec
vec_fma(Vec a, Vec b, Vec c)
{
	return _mm512_fmadd_ps(a, b, c);
}

/* Spelt out: the compilers' reduce intrinsics may differ in their order. */
KERNEL_TARGET static inline float
vec_sum(Vec a)
{
	__m256		x = _mm256_add_ps(_mm512_castps512_ps256(a),
								  _mm512_extractf32x8_ps(a, 1));
	__m128		y = _mm_add_ps(_mm256_castps256_ps128(x),
							   _mm256_extractf128_ps(x, 1));

	y = _mm_add_ps(y, _mm_movehl_ps(y, y));
	y = _mm_add_ss(y, _mm_movehdup_ps(y));
	return _mm_cvtss_f32(y);
}

/*
 * Halves, then quarters of the four vectors are added crosswise, until the
 * quarter j of x holds four partial sums of a[j].
 */
KERNEL_TARGET static inline void
vec_sum4(const Vec *a, float *out)
{
	Vec			low = _mm512_add_ps(_mm512_shuffle_f32x4(a[0], a[1], 0x44),
									_mm512_shuffle_f32x4(a[0], a[1], 0xee));
	Vec			high = _mm512_add_ps(_mm512_shuffle_f32x4(a[2], a[3], 0x44),
									 _mm512_shuffle_f32x4(a[2], a[3], 0xee));
	Vec			x = _mm512_add_ps(_mm512_shuffle_f32x4(low, high, 0x88),
								  _mm512_shuffle_f32x4(low, high, 0xdd));

	x = _mm512_add_ps(x, _mm512_permute_ps(x, 0x4e));
	x = _mm512_add_ps(x, _mm512_permute_ps(x, 0xb1));
	x = _mm512_permutexvar_ps(_mm512_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12,
												0, 4, 8, 12, 0, 4, 8, 12), x);
	_mm_storeu_ps(out, _mm512_castps512_ps128(x));
}

typedef struct Wide
{
	__m512d		low;
	__m512d		high;
} Wide;

KERNEL_TARGET static inline Wide
wide_zero(void)
{
	Wide		w;

	w.low = w.high = _mm512_setzero_pd();
	return w;
}

KERNEL_TARGET static inline Wide
wide_add_squares(Wide w, Vec a)
{
	__m512d		low = _mm512_cvtps_pd(_mm512_castps512_ps256(a));
	__m512d		high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));

	w.low = _mm512_fmadd_pd(low, low, w.low);
	w.high = _mm512_fmadd_pd(high, high, w.high);
	return w;
}

KERNEL_TARGET static inline double
wide_sum(Wide w)
{
	__m512d		x = _mm512_add_pd(w.low, w.high);
	__m256d		y = _mm256_add_pd(_mm512_castpd512_pd256(x),
								  _mm512_extractf64x4_pd(x, 1));
	__m128d		z = _mm_add_pd(_mm256_castpd256_pd128(y),
							   _mm256_extractf128_pd(y, 1));

	return _mm_cvtsd_f64(_mm_add_sd(z, _mm_unpackhi_pd(z, z)));
}

#include "kernel_template.h"

#endif							/* SIMD_X86_64 */
