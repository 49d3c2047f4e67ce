/*-------------------------------------------------------------------------
 *
 * avx512.c
 *	  The distance kernels for AVX-512 (F, BW, DQ, VL; one also with VNNI).
 *
 *-------------------------------------------------------------------------
 */
#include "distance.h"

#ifdef SIMD_X86_64

#include <immintrin.h>

#include "kernel_macros.h"

#define AVX512_TARGET \
	__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))
#define AVX512_VNNI_TARGET \
	__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni," \
						  "avx2,fma")))

#define KERNEL_LEVEL		SIMD_AVX512
#define KERNEL_SUMS			4
#define KERNEL_ROWS			4
#define KERNEL_TILE_ROWS	6	/* 24 sums, 6 rows, a column */
#define TILE_I16_ROWS		4	/* 16 sums fill one vector in the end */

typedef __m512 Vec;

#define VEC_LANES			16

AVX512_TARGET static inline Vec
vec_zero(void)
{
	return _mm512_setzero_ps();
}

AVX512_TARGET static inline Vec
vec_load(const float *p)
{
	return _mm512_loadu_ps(p);
}

AVX512_TARGET static inline Vec
vec_load_part(const float *p, uint32_t n)
{
	return _mm512_maskz_loadu_ps((__mmask16) ((1U << n) - 1), p);
}

AVX512_TARGET static inline Vec
vec_set(float x)
{
	return _mm512_set1_ps(x);
}

AVX512_TARGET static inline Vec
vec_add(Vec a, Vec b)
{
	return _mm512_add_ps(a, b);
}

AVX512_TARGET static inline Vec
vec_sub(Vec a, Vec b)
{
	return _mm512_sub_ps(a, b);
}

AVX512_TARGET static inline Vec
vec_mul(Vec a, Vec b)
{
	return _mm512_mul_ps(a, b);
}

AVX512_TARGET static inline uint32_t
vec_less(Vec a, Vec b)
{
	return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}

AVX512_TARGET static inline void
vec_store(float *p, Vec a)
{
	_mm512_storeu_ps(p, a);
}

AVX512_TARGET static inline Vec
vec_max(Vec a, Vec b)
{
	return _mm512_max_ps(a, b);
}

AVX512_TARGET static inline Vec
vec_abs(Vec a)
{
	return _mm512_abs_ps(a);
}

AVX512_TARGET static inline Vec
vec_fma(Vec a, Vec b, Vec c)
{
	return _mm512_fmadd_ps(a, b, c);
}

/* Spelt out: the compilers' reduce intrinsics may differ in their order. */
AVX512_TARGET static inline float
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
AVX512_TARGET static inline void
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

AVX512_TARGET static inline Wide
wide_zero(void)
{
	Wide		w;

	w.low = w.high = _mm512_setzero_pd();
	return w;
}

AVX512_TARGET static inline Wide
wide_add_squares(Wide w, Vec a)
{
	__m512d		low = _mm512_cvtps_pd(_mm512_castps512_ps256(a));
	__m512d		high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));

	w.low = _mm512_fmadd_pd(low, low, w.low);
	w.high = _mm512_fmadd_pd(high, high, w.high);
	return w;
}

AVX512_TARGET static inline double
wide_sum(Wide w)
{
	__m512d		x = _mm512_add_pd(w.low, w.high);
	__m256d		y = _mm256_add_pd(_mm512_castpd512_pd256(x),
								  _mm512_extractf64x4_pd(x, 1));
	__m128d		z = _mm_add_pd(_mm256_castpd256_pd128(y),
							   _mm256_extractf128_pd(y, 1));

	return _mm_cvtsd_f64(_mm_add_sd(z, _mm_unpackhi_pd(z, z)));
}

AVX512_TARGET static inline float
vec_most(Vec a)
{
	return _mm512_reduce_max_ps(a);
}

AVX512_TARGET static inline void
vec_to_i16(Vec a, int16_t *p)
{
	_mm256_storeu_si256((__m256i *) (void *) p,
						_mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(a)));
}

typedef __m512i Shorts;

#define TILE_I16_LANES		32

/* As __m512i, gcc would copy sums to and fro. */
typedef __v16si Ints;

AVX512_TARGET static inline Shorts
shorts_load(const int16_t *p)
{
	return _mm512_loadu_si512(p);
}

AVX512_TARGET static inline Shorts
shorts_load_half(const int16_t *p)
{
	return _mm512_maskz_loadu_epi16(0xffff, p);
}

AVX512_TARGET static inline Ints
ints_zero(void)
{
	return (Ints) _mm512_setzero_si512();
}

AVX512_TARGET static inline int32_t
ints_sum(Ints a)
{
	return _mm512_reduce_add_epi32((__m512i) a);
}

/*
 * Each step adds halves (then quarters, eighths, single lanes) of the sums
 * from two vectors, so that one vector holds what two did, in alternate
 * places; the order of the steps is such that sum i ends in lane i.
 */
AVX512_TARGET static inline void
ints_to_tile(const Ints *sum, float *out, size_t ldout)
{
	__m512i		x[8];
	__m512i		other;
	__m512		products;

	kernel_for(i, 8)
	{
		__m512i		a = (__m512i) sum[i];
		__m512i		b = (__m512i) sum[i + 8];

		x[i] = _mm512_add_epi32(_mm512_mask_blend_epi64(0xf0, a, b),
								_mm512_shuffle_i64x2(a, b, 0x4e));
	}
	kernel_for(i, 4)
	{
		other = _mm512_mask_blend_epi64(0x33, x[i], x[i + 4]);
		x[i] = _mm512_add_epi32(_mm512_mask_blend_epi64(0xcc, x[i], x[i + 4]),
								_mm512_shuffle_i64x2(other, other, 0xb1));
	}
	kernel_for(i, 2)
		x[i] = _mm512_add_epi32(_mm512_mask_blend_epi64(0xaa, x[i], x[i + 2]),
								_mm512_alignr_epi8(x[i + 2], x[i], 8));
	other = _mm512_mask_blend_epi32(0x5555, x[0], x[1]);
	x[0] = _mm512_add_epi32(_mm512_mask_blend_epi32(0xaaaa, x[0], x[1]),
							_mm512_shuffle_epi32(other, _MM_PERM_CDAB));

	products = _mm512_cvtepi32_ps(x[0]);
	_mm_storeu_ps(out, _mm512_castps512_ps128(products));
	_mm_storeu_ps(out + ldout, _mm512_extractf32x4_ps(products, 1));
	_mm_storeu_ps(out + 2 * ldout, _mm512_extractf32x4_ps(products, 2));
	_mm_storeu_ps(out + 3 * ldout, _mm512_extractf32x4_ps(products, 3));
}

AVX512_TARGET static inline Ints
avx512_add_products(Ints sum, Shorts a, Shorts b)
{
	return sum + (Ints) _mm512_madd_epi16(a, b);
}

AVX512_VNNI_TARGET static inline Ints
avx512_vnni_add_products(Ints sum, Shorts a, Shorts b)
{
	return (Ints) _mm512_dpwssd_epi32((__m512i) sum, a, b);
}

/* The tile with VNNI first: what remains defined is for all the others. */
#define KERNEL_PREFIX		avx512_vnni
#define KERNEL_TARGET		AVX512_VNNI_TARGET
#include "tile_i16.h"
#undef KERNEL_PREFIX
#undef KERNEL_TARGET

#define KERNEL_PREFIX		avx512
#define KERNEL_TARGET		AVX512_TARGET
#include "kernel_template.h"

const DistanceKernels distance_avx512_vnni =
KERNEL_ENTRIES(avx512_vnni_dot_tile_i16);

#endif							/* SIMD_X86_64 */
