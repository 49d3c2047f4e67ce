/*-------------------------------------------------------------------------
 *
 * query_neon.c
 *	  Preparation of a query with NEON.
 *
 *-------------------------------------------------------------------------
 */
#include "score.h"

#ifdef SIMD_AARCH64

#include <arm_neon.h>
#include <string.h>

#define QUERY_PREFIX		code_neon
#define QUERY_TARGET
#define QUERY_LANES			4

typedef float32x4_t Floats;
typedef int32x4_t Ints;

static inline Floats
floats_load(const float *p)
{
	return vld1q_f32(p);
}

static inline Ints
floats_magnitude(Floats a)
{
	return vreinterpretq_s32_f32(vabsq_f32(a));
}

static inline Ints
floats_ranges(Floats a)
{
	a = vabsq_f32(a);
	a = vpaddq_f32(a, a);
	return floats_magnitude(vpaddq_f32(a, a));
}

static inline Ints
floats_round(Floats a, float scale)
{
	return vcvtnq_s32_f32(vmulq_n_f32(a, scale));
}

static inline Ints
ints_zero(void)
{
	return vdupq_n_s32(0);
}

static inline Ints
ints_max(Ints a, Ints b)
{
	return vmaxq_s32(a, b);
}

static inline Ints
ints_add(Ints a, Ints b)
{
	return vaddq_s32(a, b);
}

static inline int32_t
ints_largest(Ints a)
{
	return vmaxvq_s32(a);
}

static inline int32_t
ints_sum(Ints a)
{
	return vaddvq_s32(a);
}

static inline Ints
ints_fall(Ints a)
{
	return vdupq_n_s32(vaddvq_s32(vmaxq_s32(vnegq_s32(a), ints_zero())));
}

static inline Ints
ints_abs(Ints a)
{
	return vabsq_s32(a);
}

static inline void
ints_store(int32_t *p, Ints a)
{
	vst1q_s32(p, a);
}

static inline void
ints_store_bytes(int8_t *p, Ints a)
{
	int16x4_t	words = vmovn_s32(a);
	int8x8_t	bytes = vmovn_s16(vcombine_s16(words, words));

	memcpy(p, &bytes, 4);
}

/* Lane j of both halves is the sum that goes to bytes j and 8 + j. */
static inline void
store_sums(uint8_t *lut, const int32_t *values, int32_t least)
{
	static const uint16_t bits[3][8] = {
		{0, 0xffff, 0, 0xffff, 0, 0xffff, 0, 0xffff},
		{0, 0, 0xffff, 0xffff, 0, 0, 0xffff, 0xffff},
		{0, 0, 0, 0, 0xffff, 0xffff, 0xffff, 0xffff}
	};
	uint16x8_t	low = vdupq_n_u16((uint16_t) least);
	uint16x8_t	high;

	for (int k = 0; k < 3; k++)
		low = vaddq_u16(low, vandq_u16(vld1q_u16(bits[k]),
									   vdupq_n_u16((uint16_t) values[k])));
	high = vaddq_u16(low, vdupq_n_u16((uint16_t) values[3]));
	vst1q_u8(lut, vcombine_u8(vshrn_n_u16(low, 8), vshrn_n_u16(high, 8)));
}

#include "query_template.h"

#endif							/* SIMD_AARCH64 */
