/*-------------------------------------------------------------------------
 *
 * score_neon.c
 *	  Scoring with NEON, as every AArch64 CPU has it.
 *
 *-------------------------------------------------------------------------
 */
#include "score.h"

#ifdef SIMD_AARCH64

#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "../distance/half.h"

#define SCORE_PREFIX		neon
#define SCORE_TARGET

typedef uint8x16_t Bytes;
typedef int32x4_t Ints;

#define BYTES_LEN			16

static inline Bytes
bytes_zero(void)
{
	return vdupq_n_u8(0);
}

static inline Bytes
bytes_load(const uint8_t *p)
{
	return vld1q_u8(p);
}

static inline Bytes
bytes_load_part(const uint8_t *p, uint32_t n)
{
	uint8_t		copy[BYTES_LEN] = {0};

	memcpy(copy, p, n);
	return bytes_load(copy);
}

static inline CODE_ALWAYS_INLINE Bytes
bytes_field(Bytes v, int shift, int bits)
{
	if (shift > 0)
		v = vshlq_u8(v, vdupq_n_s8((int8_t) (0 - shift)));
	if (shift + bits < 8)
		v = vandq_u8(v, vdupq_n_u8((uint8_t) ((1 << bits) - 1)));
	return v;
}

static inline Bytes
bytes_lookup(Bytes tables, Bytes index)
{
	return vqtbl1q_u8(tables, index);
}

static inline void
bytes_load_tables2(const uint8_t *p, Bytes *even, Bytes *odd)
{
	*even = bytes_load(p);
	*odd = bytes_load(p + BYTES_LEN);
}

static inline Bytes
words_add(Bytes a, Bytes b)
{
	return vreinterpretq_u8_u16(vaddq_u16(vreinterpretq_u16_u8(a),
										  vreinterpretq_u16_u8(b)));
}

static inline Bytes
words_shift8(Bytes a)
{
	return vreinterpretq_u8_u16(vshrq_n_u16(vreinterpretq_u16_u8(a), 8));
}

static inline Ints
ints_add_low(Ints a, uint16x8_t words)
{
	return vreinterpretq_s32_u32(vaddw_u16(vreinterpretq_u32_s32(a),
										   vget_low_u16(words)));
}

static inline Ints
ints_add_high(Ints a, uint16x8_t words)
{
	return vreinterpretq_s32_u32(vaddw_high_u16(vreinterpretq_u32_s32(a),
												words));
}

static inline void
fold_lanes(Bytes all, Bytes odd, Ints *ints)
{
	uint16x8_t	odd_words = vreinterpretq_u16_u8(odd);
	uint16x8_t	even_words = vsubq_u16(vreinterpretq_u16_u8(all),
									   vshlq_n_u16(odd_words, 8));

	ints[0] = ints_add_low(ints[0], even_words);
	ints[1] = ints_add_high(ints[1], even_words);
	ints[2] = ints_add_low(ints[2], odd_words);
	ints[3] = ints_add_high(ints[3], odd_words);
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
ints_scores(float *out, Ints a, int32_t offset, float half_step)
{
	a = vsubq_s32(vaddq_s32(a, a), vdupq_n_s32(offset));
	vst1q_f32(out, vmulq_n_f32(vcvtq_f32_s32(a), half_step));
}

static inline Bytes
bytes_repeat4(const int8_t *p)
{
	uint32_t	four;

	memcpy(&four, p, sizeof(four));
	return vreinterpretq_u8_u32(vdupq_n_u32(four));
}

/* Bytes are repeated for each of their fields, and these moved down. */
static inline CODE_ALWAYS_INLINE Bytes
row_codes(int bits, const uint8_t *row, uint32_t n)
{
	static const int8_t shifts4[16] = {0, -4, 0, -4, 0, -4, 0, -4,
	0, -4, 0, -4, 0, -4, 0, -4};
	static const int8_t shifts2[16] = {0, -2, -4, -6, 0, -2, -4, -6,
	0, -2, -4, -6, 0, -2, -4, -6};
	uint8x8_t	bytes;
	Bytes		v;

	(void) n;					/* always BYTES_LEN */
	if (bits == 8)
		return bytes_load(row);
	if (bits == 4)
	{
		bytes = vld1_u8(row);
		v = vcombine_u8(vzip1_u8(bytes, bytes), vzip2_u8(bytes, bytes));
		return bytes_field(vshlq_u8(v, vld1q_s8(shifts4)), 0, 4);
	}
	bytes = vreinterpret_u8_u32(vdup_n_u32(code_load_le32(row)));
	bytes = vzip1_u8(bytes, bytes);
	v = vcombine_u8(vzip1_u8(bytes, bytes), vzip2_u8(bytes, bytes));
	return bytes_field(vshlq_u8(v, vld1q_s8(shifts2)), 0, 2);
}

/* Sums of pairs of products: low has those of bytes 0 .. 7 at the end. */
typedef struct Dot
{
	int32x4_t	low;
	int32x4_t	high;
} Dot;

static inline Dot
dot_zero(void)
{
	Dot			dot;

	dot.low = dot.high = vdupq_n_s32(0);
	return dot;
}

static inline Ints
dot_sum(const Dot *dot)
{
	return vpaddq_s32(dot->low, dot->high);
}

/*
 * One pair of vectors.  8-bit codes become signed by taking off 128, which is
 * then added as 128 times the values.
 */
static inline CODE_ALWAYS_INLINE void
dot_add1(int bits, Dot *dot, Bytes codes, Bytes values)
{
	int8x16_t	v = vreinterpretq_s8_u8(values);
	int8x16_t	c;

	if (bits == 8)
	{
		int16x8_t	pairs = vpaddlq_s8(v);

		codes = veorq_u8(codes, vdupq_n_u8(128));
		dot->low = vaddq_s32(dot->low,
							 vshll_n_s16(vget_low_s16(pairs), 7));
		dot->high = vaddq_s32(dot->high,
							  vshll_n_s16(vget_high_s16(pairs), 7));
	}
	c = vreinterpretq_s8_u8(codes);
	dot->low = vpadalq_s16(dot->low,
						   vmull_s8(vget_low_s8(c), vget_low_s8(v)));
	dot->high = vpadalq_s16(dot->high, vmull_high_s8(c, v));
}

/* Sums of four products of 4-bit codes fit 16 bits. */
static inline CODE_ALWAYS_INLINE void
dot_add(int bits, Dot *dot, const Bytes *codes, const Bytes *values)
{
	int16x8_t	low = vdupq_n_s16(0);
	int16x8_t	high = vdupq_n_s16(0);

	if (bits == 8)
	{
		code_for(g, 4)
		{
			dot_add1(bits, dot, codes[g], values[g]);
		}
		return;
	}
	code_for(g, 4)
	{
		int8x16_t	c = vreinterpretq_s8_u8(codes[g]);
		int8x16_t	v = vreinterpretq_s8_u8(values[g]);

		low = vmlal_s8(low, vget_low_s8(c), vget_low_s8(v));
		high = vmlal_high_s8(high, c, v);
	}
	dot->low = vpadalq_s16(dot->low, low);
	dot->high = vpadalq_s16(dot->high, high);
}

static inline CODE_ALWAYS_INLINE Ints
dot4(int bits, Ints sum, Bytes codes, Bytes values)
{
	Dot			dot = dot_zero();

	dot_add1(bits, &dot, codes, values);
	return vaddq_s32(sum, dot_sum(&dot));
}

#include "score_template.h"

static uint32_t
neon_estimate(uint32_t n, float base, float scale,
			  const float *add, const uint16_t *mul,
			  const float *score, float bound, float *est)
{
	const uint32x4_t bit = {1, 2, 4, 8};
	uint32_t	near = 0;
	uint32_t	i = 0;

	for (; n - i >= 4; i += 4)
	{
		float16x4_t half = vreinterpret_f16_u16(vld1_u16(mul + i));
		float32x4_t factor = vmulq_n_f32(vcvt_f32_f16(half), scale);
		float32x4_t sum = vaddq_f32(vdupq_n_f32(base), vld1q_f32(add + i));

		sum = vfmaq_f32(sum, factor, vld1q_f32(score + i));
		vst1q_f32(est + i, sum);
		near |= vaddvq_u32(vandq_u32(vcltq_f32(sum, vdupq_n_f32(bound)), bit)) << i;
	}
	if (i < n)
		near |= code_scorer_scalar.estimate(n - i, base, scale, add + i, mul + i,
											score + i, bound, est + i) << i;
	return near;
}

/* First what the least value is, then where. */
static uint32_t
neon_least(uint32_t n, const float *values)
{
	float32x4_t least = vdupq_n_f32(values[0]);
	uint32_t	rest = n - n % 4;
	uint32_t	i;
	float		value;

	for (i = 0; i < rest; i += 4)
		least = vminq_f32(least, vld1q_f32(values + i));
	value = vminvq_f32(least);
	for (i = rest; i < n; i++)
		value = values[i] < value ? values[i] : value;

	least = vdupq_n_f32(value);
	for (i = 0; i < rest; i += 4)
	{
		if (vmaxvq_u32(vceqq_f32(vld1q_f32(values + i), least)) != 0)
			break;
	}
	while (values[i] != value)
		i++;
	return i;
}

const CodeScorer code_scorer_neon = {
	.init_lut = code_neon_init_lut,
	.init_values = code_neon_init_values,
	.fastscan = neon_fastscan,
	.dot = neon_dot,
	.dot_row = neon_dot_row,
	.estimate = neon_estimate,
	.least = neon_least
};

#endif							/* SIMD_AARCH64 */
