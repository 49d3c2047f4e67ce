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

#include "kernel_macros.h"

#define KERNEL_PREFIX		avx2
#define KERNEL_LEVEL		SIMD_AVX2
#define KERNEL_TARGET		__attribute__((target("avx2,fma")))
#define KERNEL_SUMS			4
#define KERNEL_ROWS			2
#define KERNEL_TILE_ROWS	3	/* 12 sums, 3 rows, a column */
#define TILE_I16_ROWS		2	/* 8 sums fill one vector in the end */

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
vec_set(float x)
{
	return _mm256_set1_ps(x);
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
vec_mul(Vec a, Vec b)
{
	return _mm256_mul_ps(a, b);
}

KERNEL_TARGET static inline uint32_t
vec_less(Vec a, Vec b)
{
	return (uint32_t) _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_LT_OQ));
}

KERNEL_TARGET static inline void
vec_store(float *p, Vec a)
{
	_mm256_storeu_ps(p, a);
}

KERNEL_TARGET static inline Vec
vec_max(Vec a, Vec b)
{
	return _mm256_max_ps(a, b);
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

KERNEL_TARGET static inline float
vec_most(Vec a)
{
	__m128		x = _mm_max_ps(_mm256_castps256_ps128(a),
							   _mm256_extractf128_ps(a, 1));

	x = _mm_max_ps(x, _mm_movehl_ps(x, x));
	x = _mm_max_ss(x, _mm_movehdup_ps(x));
	return _mm_cvtss_f32(x);
}

KERNEL_TARGET static inline void
vec_to_i16(Vec a, int16_t *p)
{
	__m256i		x = _mm256_cvtps_epi32(a);

	_mm_storeu_si128((__m128i *) (void *) p,
					 _mm_packs_epi32(_mm256_castsi256_si128(x),
									 _mm256_extracti128_si256(x, 1)));
}

typedef __m256i Shorts;

#define TILE_I16_LANES		16

/* As __m256i, gcc would copy sums to and fro. */
typedef __v8si Ints;

KERNEL_TARGET static inline Shorts
shorts_load(const int16_t *p)
{
	return _mm256_loadu_si256((const __m256i *) (const void *) p);
}

KERNEL_TARGET static inline Ints
ints_zero(void)
{
	return (Ints) _mm256_setzero_si256();
}

KERNEL_TARGET static inline int32_t
ints_sum(Ints a)
{
	__m128i		x = _mm_add_epi32(_mm256_castsi256_si128((__m256i) a),
								  _mm256_extracti128_si256((__m256i) a, 1));

	x = _mm_add_epi32(x, _mm_unpackhi_epi64(x, x));
	x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 1));
	return _mm_cvtsi128_si32(x);
}

/*
 * Each step adds halves (then quarters, single lanes) of the sums from two
 * vectors, so that one vector holds what two did, in alternate places; the
 * order of the steps is such that sum i ends in lane i.
 */
KERNEL_TARGET static inline void
ints_to_tile(const Ints *sum, float *out, size_t ldout)
{
	__m256i		x[4];
	__m256i		other;
	__m256		products;

	kernel_for(i, 4)
	{
		__m256i		a = (__m256i) sum[i];
		__m256i		b = (__m256i) sum[i + 4];

		x[i] = _mm256_add_epi32(_mm256_blend_epi32(a, b, 0xf0),
								_mm256_permute2x128_si256(a, b, 0x21));
	}
	kernel_for(i, 2)
		x[i] = _mm256_add_epi32(_mm256_blend_epi32(x[i], x[i + 2], 0xcc),
								_mm256_alignr_epi8(x[i + 2], x[i], 8));
	other = _mm256_blend_epi32(x[0], x[1], 0x55);
	x[0] = _mm256_add_epi32(_mm256_blend_epi32(x[0], x[1], 0xaa),
							_mm256_shuffle_epi32(other, 0xb1));

	products = _mm256_cvtepi32_ps(x[0]);
	_mm_storeu_ps(out, _mm256_castps256_ps128(products));
	_mm_storeu_ps(out + ldout, _mm256_extractf128_ps(products, 1));
}

KERNEL_TARGET static inline Ints
avx2_add_products(Ints sum, Shorts a, Shorts b)
{
	return sum + (Ints) _mm256_madd_epi16(a, b);
}

#include "kernel_template.h"

#endif							/* SIMD_X86_64 */
