/*-------------------------------------------------------------------------
 *
 * neon.c
 *	  The distance kernels for NEON, which every arm64 has.
 *
 *-------------------------------------------------------------------------
 */
#include "distance.h"

#ifdef SIMD_AARCH64

#include <arm_neon.h>
#include <string.h>

#include "kernel_macros.h"

#define KERNEL_PREFIX		neon
#define KERNEL_LEVEL		SIMD_NEON
#define KERNEL_TARGET
#define KERNEL_SUMS			8
#define KERNEL_ROWS			2
#define KERNEL_TILE_ROWS	4	/* 16 sums, 4 rows, a column */
#define TILE_I16_ROWS		4

typedef float32x4_t Vec;

#define VEC_LANES			4

static inline Vec
vec_zero(void)
{
	return vdupq_n_f32(0);
}

/* As bytes, because p may be aligned to a byte only. */
static inline Vec
vec_load(const float *p)
{
	return vreinterpretq_f32_u8(vld1q_u8((const uint8_t *) p));
}

static inline Vec
vec_load_part(const float *p, uint32_t n)
{
	float		part[VEC_LANES] = {0};

	if (n & 2)
		memcpy(part, p, 2 * sizeof(float));
	if (n & 1)
		memcpy(part + (n & 2), p + (n & 2), sizeof(float));
	return vld1q_f32(part);
}

static inline uint32_t
vec_less(Vec a, Vec b)
{
	static const uint32_t bits[VEC_LANES] = {1, 2, 4, 8};

	return vaddvq_u32(vandq_u32(vcltq_f32(a, b), vld1q_u32(bits)));
}

static inline void
vec_store(float *p, Vec a)
{
	vst1q_f32(p, a);
}

static inline Vec
vec_set(float x)
{
	return vdupq_n_f32(x);
}

static inline Vec
vec_add(Vec a, Vec b)
{
	return vaddq_f32(a, b);
}

static inline Vec
vec_sub(Vec a, Vec b)
{
	return vsubq_f32(a, b);
}

static inline Vec
vec_mul(Vec a, Vec b)
{
	return vmulq_f32(a, b);
}

static inline Vec
vec_max(Vec a, Vec b)
{
	return vmaxq_f32(a, b);
}

static inline Vec
vec_abs(Vec a)
{
	return vabsq_f32(a);
}

static inline Vec
vec_fma(Vec a, Vec b, Vec c)
{
	return vfmaq_f32(c, a, b);
}

static inline float
vec_sum(Vec a)
{
	return vaddvq_f32(a);
}

static inline void
vec_sum4(const Vec *a, float *out)
{
	vst1q_f32(out, vpaddq_f32(vpaddq_f32(a[0], a[1]),
							  vpaddq_f32(a[2], a[3])));
}

typedef struct Wide
{
	float64x2_t low;
	float64x2_t high;
} Wide;

static inline Wide
wide_zero(void)
{
	Wide		w;

	w.low = w.high = vdupq_n_f64(0);
	return w;
}

static inline Wide
wide_add_squares(Wide w, Vec a)
{
	float64x2_t low = vcvt_f64_f32(vget_low_f32(a));
	float64x2_t high = vcvt_high_f64_f32(a);

	w.low = vfmaq_f64(w.low, low, low);
	w.high = vfmaq_f64(w.high, high, high);
	return w;
}

static inline double
wide_sum(Wide w)
{
	return vaddvq_f64(vaddq_f64(w.low, w.high));
}

static inline float
vec_most(Vec a)
{
	return vmaxvq_f32(a);
}

/* Results, too, may be aligned to less than what vst1 would claim. */
static inline void
vec_to_i16(Vec a, int16_t *p)
{
	int16x4_t	x = vqmovn_s32(vcvtnq_s32_f32(a));

	memcpy(p, &x, sizeof(x));
}

typedef int16x8_t Shorts;

#define TILE_I16_LANES		8

typedef int32x4_t Ints;

static inline Shorts
shorts_load(const int16_t *p)
{
	return vreinterpretq_s16_u8(vld1q_u8((const uint8_t *) p));
}

static inline Ints
ints_zero(void)
{
	return vdupq_n_s32(0);
}

static inline int32_t
ints_sum(Ints a)
{
	return vaddvq_s32(a);
}

static inline void
ints_to_tile(const Ints *sum, float *out, size_t ldout)
{
	kernel_for(r, TILE_I16_ROWS)
	{
		Ints		x = vpaddq_s32(vpaddq_s32(sum[4 * r], sum[4 * r + 1]),
								   vpaddq_s32(sum[4 * r + 2], sum[4 * r + 3]));

		vst1q_f32(out + r * ldout, vcvtq_f32_s32(x));
	}
}

static inline Ints
neon_add_products(Ints sum, Shorts a, Shorts b)
{
	sum = vmlal_s16(sum, vget_low_s16(a), vget_low_s16(b));
	return vmlal_high_s16(sum, a, b);
}

#include "kernel_template.h"

#endif							/* SIMD_AARCH64 */
