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

#define KERNEL_PREFIX		neon
#define KERNEL_LEVEL		SIMD_NEON
#define KERNEL_TARGET
#define KERNEL_SUMS			8
#define KERNEL_ROWS			2
#define KERNEL_TILE_ROWS	4	/* 16 sums, 4 rows, a column */

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

#include "kernel_template.h"

#endif							/* SIMD_AARCH64 */
