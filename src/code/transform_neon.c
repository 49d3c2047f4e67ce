/*-------------------------------------------------------------------------
 *
 * transform_neon.c
 *	  Rotation and encoder kernels for NEON.
 *
 *-------------------------------------------------------------------------
 */
#include "transform.h"

#ifdef SIMD_AARCH64

#include <arm_neon.h>
#include <string.h>

#define TRANSFORM_PREFIX	neon
#define TRANSFORM_TARGET

typedef float32x4_t Vec;

#define VEC_LANES			4

static inline Vec
vec_load(const float *p)
{
	return vld1q_f32(p);
}

static inline void
vec_store(float *p, Vec v)
{
	vst1q_f32(p, v);
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
vec_scale(Vec a, float scale)
{
	return vmulq_n_f32(a, scale);
}

static inline Vec
vec_negate(Vec v, uint32x4_t negative)
{
	negative = vandq_u32(negative, vdupq_n_u32(0x80000000));
	return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(v),
										   negative));
}

/* bit l of the nibble moves to the sign bit of lane l */
static inline Vec
vec_flip(Vec v, const uint8_t *signs, uint32_t i)
{
	static const int32_t shifts[4] = {31, 30, 29, 28};
	uint32x4_t	bits = vdupq_n_u32((uint32_t) signs[i / 8] >> (i % 8));

	return vec_negate(v, vshlq_u32(bits, vld1q_s32(shifts)));
}

/* (low + high, low - high) of one stride; swapped is v with halves swapped */
static inline Vec
vec_butterfly(Vec v, Vec swapped, const uint32_t *high)
{
	return vaddq_f32(swapped, vec_negate(v, vld1q_u32(high)));
}

static inline Vec
vec_hadamard(Vec v)
{
	static const uint32_t odd[4] = {0, UINT32_MAX, 0, UINT32_MAX};
	static const uint32_t upper[4] = {0, 0, UINT32_MAX, UINT32_MAX};

	v = vec_butterfly(v, vrev64q_f32(v), odd);
	return vec_butterfly(v, vextq_f32(v, v, 2), upper);
}

static inline Vec
vec_grid(Vec t, float limit)
{
	t = vaddq_f32(vrndmq_f32(t), vdupq_n_f32(0.5f));
	return vminq_f32(vmaxq_f32(t, vdupq_n_f32(-limit)), vdupq_n_f32(limit));
}

static inline void
vec_store_codes(uint8_t *u, Vec x, float limit)
{
	uint32x4_t	wide = vcvtq_u32_f32(vaddq_f32(x, vdupq_n_f32(limit)));
	uint16x4_t	words = vmovn_u32(wide);
	uint8x8_t	bytes = vmovn_u16(vcombine_u16(words, words));

	memcpy(u, &bytes, VEC_LANES);
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
wide_add_product(Wide w, Vec a, Vec b)
{
	w.low = vfmaq_f64(w.low, vcvt_f64_f32(vget_low_f32(a)),
					  vcvt_f64_f32(vget_low_f32(b)));
	w.high = vfmaq_f64(w.high, vcvt_high_f64_f32(a), vcvt_high_f64_f32(b));
	return w;
}

static inline double
wide_total(const Wide *sums)
{
	float64x2_t a = vaddq_f64(vaddq_f64(sums[0].low, sums[2].low),
							  vaddq_f64(sums[1].low, sums[3].low));
	float64x2_t b = vaddq_f64(vaddq_f64(sums[0].high, sums[2].high),
							  vaddq_f64(sums[1].high, sums[3].high));

	return vaddvq_f64(vaddq_f64(a, b));
}

#include "transform_template.h"

#endif							/* SIMD_AARCH64 */
