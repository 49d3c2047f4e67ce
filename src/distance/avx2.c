/*-------------------------------------------------------------------------
 *
 * avx2.c
 *	  The distance kernels for AVX2 with FMA.
 *
 * The functions carry their instruction set as an attribute, so the file
 * needs no compiler flag and the rest of the library stays baseline x86-64.
 *
 *-------------------------------------------------------------------------
 */
#include "distance.h"

#ifdef SIMD_X86_64

#include <immintrin.h>

#define KERNEL_PREFIX		avx2
#define KERNEL_LEVEL		SIMD_AVX2
#define KERNEL_TARGET		__attribute__((target("avx2,fma")))
#define KERNEL_SUMS			4
#define KERNEL_ROWS			2
#define KERNEL_TILE_ROWS	3	/* 12 sums, 3 rows, a column */

typedef __m256 Vec;

#define VEC_LANES			8

KERNEL_TARGET static inline Vec
vec_zero(void)
{
	return _mm256_setzero_ps();
}

KERNEL_TARGET static inline Vec
vec_load(const float *p)
{
	return _mm256_loadu_ps(p);
}

KERNEL_TARGET static inline Vec
vec_load_part(const float *p, uint32_t n)
{
	__m256i		lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

	return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32((int) n),
													lane));
}

KERNEL_TARGET static inline Vec
vec_add(Vec a, Vec b)
{
	return _mm256_add_ps(a, b);
}

KERNEL_TARGET static inline Vec
vec_sub(Vec a, Vec b)
{
	return _mm256_sub_ps(a, b);
}

KERNEL_TARGET static inline Vec
vec_abs(Vec a)
{
	return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}

KERNEL_TARGET static inline Vec
vec_fma(Vec a, Vec b, Vec c)
{
	return _mm256_fmadd_ps(a, b, c);
}

KERNEL_TARGET static inline float
vec_sum(Vec a)
{
	__m128		x = _mm_add_ps(_mm256_castps256_ps128(a),
							   _mm256_extractf128_ps(a, 1));

	x = _mm_add_ps(x, _mm_movehl_ps(x, x));
	x = _mm_add_ss(x, _mm_movehdup_ps(x));
	return _mm_cvtss_f32(x);
}

KERNEL_TARGET static inline void
vec_sum4(const Vec *a, float *out)
{
	Vec			x = _mm256_hadd_ps(_mm256_hadd_ps(a[0], a[1]),
								   _mm256_hadd_ps(a[2], a[3]));

	_mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(x),
								  _mm256_extractf128_ps(x, 1)));
}

typedef struct Wide
{
	__m256d		low;
	__m256d		high;
} Wide;

KERNEL_TARGET static inline Wide
wide_zero(void)
{
	Wide		w;

	w.low = w.high = _mm256_setzero_pd();
	return w;
}

KERNEL_TARGET static inline Wide
wide_add_squares(Wide w, Vec a)
{
	__m256d		low = _mm256_cvtps_pd(_mm256_castps256_ps128(a));
	__m256d		high = _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1));

	w.low = _mm256_fmadd_pd(low, low, w.low);
	w.high = _mm256_fmadd_pd(high, high, w.high);
	return w;
}

KERNEL_TARGET static inline double
wide_sum(Wide w)
{
	__m256d		x = _mm256_add_pd(w.low, w.high);
	__m128d		y = _mm_add_pd(_mm256_castpd256_pd128(x),
							   _mm256_extractf128_pd(x, 1));

	return _mm_cvtsd_f64(_mm_add_sd(y, _mm_unpackhi_pd(y, y)));
}

#include "kernel_template.h"

#endif							/* SIMD_X86_64 */
