/*-------------------------------------------------------------------------
 *
 * score_avx2.c
 *	  Scoring with AVX2, FMA and F16C.
 *
 *-------------------------------------------------------------------------
 */
#include "score.h"

#ifdef SIMD_X86_64

#include <immintrin.h>
#include <string.h>

#define SCORE_PREFIX		avx2
#define SCORE_TARGET		__attribute__((target("avx2,fma,f16c")))

typedef __m256i Bytes;
typedef __m256i Ints;

#define BYTES_LEN			32

SCORE_TARGET static inline Bytes
bytes_zero(void)
{
	return _mm256_setzero_si256();
}

SCORE_TARGET static inline Bytes
bytes_load(const uint8_t *p)
{
	return _mm256_loadu_si256((const __m256i *) p);
}

SCORE_TARGET static inline Bytes
bytes_load_part(const uint8_t *p, uint32_t n)
{
	uint8_t		copy[BYTES_LEN] = {0};

	memcpy(copy, p, n);
	return bytes_load(copy);
}

SCORE_TARGET static inline CODE_ALWAYS_INLINE Bytes
bytes_field(Bytes v, int shift, int bits)
{
	if (shift > 0)
		v = _mm256_srli_epi16(v, shift);
	if (bits < 8)
		v = _mm256_and_si256(v, _mm256_set1_epi8((char) ((1 << bits) - 1)));
	return v;
}

SCORE_TARGET static inline Bytes
bytes_lookup(Bytes tables, Bytes index)
{
	return _mm256_shuffle_epi8(tables, index);
}

SCORE_TARGET static inline void
bytes_load_tables2(const uint8_t *p, Bytes *even, Bytes *odd)
{
	Bytes		first = bytes_load(p);
	Bytes		second = bytes_load(p + BYTES_LEN);

	*even = _mm256_permute2x128_si256(first, second, 0x20);
	*odd = _mm256_permute2x128_si256(first, second, 0x31);
}

SCORE_TARGET static inline Bytes
words_add(Bytes a, Bytes b)
{
	return _mm256_add_epi16(a, b);
}

SCORE_TARGET static inline Bytes
words_shift8(Bytes a)
{
	return _mm256_srli_epi16(a, 8);
}

SCORE_TARGET static inline void
fold_lanes(Bytes all, Bytes odd, Ints *ints)
{
	Bytes		even = _mm256_sub_epi16(all, _mm256_slli_epi16(odd, 8));
	Bytes		lanes;

	lanes = _mm256_add_epi16(_mm256_permute2x128_si256(even, odd, 0x20),
							 _mm256_permute2x128_si256(even, odd, 0x31));
	ints[0] = _mm256_add_epi32(ints[0],
							   _mm256_cvtepu16_epi32(_mm256_castsi256_si128(lanes)));
	ints[1] = _mm256_add_epi32(ints[1],
							   _mm256_cvtepu16_epi32(_mm256_extracti128_si256(lanes, 1)));
}

SCORE_TARGET static inline Ints
ints_zero(void)
{
	return _mm256_setzero_si256();
}

SCORE_TARGET static inline int32_t
ints_sum(Ints a)
{
	__m128i		sum = _mm_add_epi32(_mm256_castsi256_si128(a),
									_mm256_extracti128_si256(a, 1));

	sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
	sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
	return _mm_cvtsi128_si32(sum);
}

SCORE_TARGET static inline void
ints_scores(float *out, Ints a, int32_t offset, float half_step)
{
	a = _mm256_sub_epi32(_mm256_add_epi32(a, a), _mm256_set1_epi32(offset));
	_mm256_storeu_ps(out, _mm256_mul_ps(_mm256_cvtepi32_ps(a),
										_mm256_set1_ps(half_step)));
}

SCORE_TARGET static inline Bytes
bytes_repeat4(const int8_t *p)
{
	int32_t		four;

	memcpy(&four, p, sizeof(four));
	return _mm256_set1_epi32(four);
}

/*
 * Sums of neighbouring products in 16 bits, or for 8-bit codes, where these
 * would overflow, in 32 bits: bytes at even and at odd places as words.
 */
SCORE_TARGET static inline CODE_ALWAYS_INLINE Ints
dot4(int bits, Ints sum, Bytes codes, Bytes values)
{
	if (bits < 8)
		return _mm256_add_epi32(sum,
								_mm256_madd_epi16(_mm256_maddubs_epi16(codes, values),
												  _mm256_set1_epi16(1)));
	sum = _mm256_add_epi32(sum,
						   _mm256_madd_epi16(_mm256_and_si256(codes, _mm256_set1_epi16(0xff)),
											 _mm256_srai_epi16(_mm256_slli_epi16(values, 8), 8)));
	return _mm256_add_epi32(sum,
							_mm256_madd_epi16(_mm256_srli_epi16(codes, 8),
											  _mm256_srai_epi16(values, 8)));
}

/* 4 or 16 bytes become words or ints, whose fields are then moved apart. */
SCORE_TARGET static inline CODE_ALWAYS_INLINE Bytes
row_codes(int bits, const uint8_t *row, uint32_t n)
{
	__m128i		bytes;
	Bytes		v;

	if (bits == 8)
		return n == BYTES_LEN ? bytes_load(row) : bytes_load_part(row, n);
	if (bits == 4)
	{
		bytes = n == BYTES_LEN ? _mm_loadu_si128((const __m128i *) row) :
			_mm_loadl_epi64((const __m128i *) row);
		v = _mm256_cvtepu8_epi16(bytes);
		return bytes_field(_mm256_or_si256(v, _mm256_slli_epi16(v, 4)), 0, 4);
	}
	bytes = n == BYTES_LEN ? _mm_loadl_epi64((const __m128i *) row) :
		_mm_cvtsi32_si128((int) code_load_le32(row));
	v = _mm256_cvtepu8_epi32(bytes);
	v = _mm256_or_si256(v, _mm256_slli_epi32(v, 12));
	return bytes_field(_mm256_or_si256(v, _mm256_slli_epi32(v, 6)), 0, 2);
}

typedef Ints Dot;

SCORE_TARGET static inline Dot
dot_zero(void)
{
	return ints_zero();
}

SCORE_TARGET static inline Ints
dot_sum(const Dot *dot)
{
	return *dot;
}

/* Four sums of two products of 4-bit codes fit 16 bits: 8 * 15 * 127. */
SCORE_TARGET static inline CODE_ALWAYS_INLINE void
dot_add(int bits, Dot *dot, const Bytes *codes, const Bytes *values)
{
	Bytes		sums;

	if (bits == 8)
	{
		code_for(g, 4)
		{
			*dot = dot4(bits, *dot, codes[g], values[g]);
		}
		return;
	}
	sums = _mm256_maddubs_epi16(codes[0], values[0]);
	code_for(g, 3)
	{
		sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(codes[g + 1],
														   values[g + 1]));
	}
	*dot = _mm256_add_epi32(*dot, _mm256_madd_epi16(sums, _mm256_set1_epi16(1)));
}

#include "score_template.h"

/* Eight edges at a time; the rest as eight, of which some are not stored. */
SCORE_TARGET static inline uint32_t
estimate8(float base, float scale, const void *add, const void *mul,
		  const void *score, float bound, float *est)
{
	__m256		factor = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) mul));
	__m256		sum;

	factor = _mm256_mul_ps(_mm256_set1_ps(scale), factor);
	sum = _mm256_fmadd_ps(factor, _mm256_loadu_ps((const float *) score),
						  _mm256_add_ps(_mm256_set1_ps(base),
										_mm256_loadu_ps((const float *) add)));
	_mm256_storeu_ps(est, sum);
	return (uint32_t) _mm256_movemask_ps(_mm256_cmp_ps(sum, _mm256_set1_ps(bound),
													   _CMP_LT_OQ));
}

SCORE_TARGET static uint32_t
avx2_estimate(uint32_t n, float base, float scale,
			  const float *add, const uint16_t *mul,
			  const float *score, float bound, float *est)
{
	uint32_t	near = 0;
	uint32_t	i = 0;

	for (; n - i >= 8; i += 8)
		near |= estimate8(base, scale, add + i, mul + i, score + i, bound, est + i) << i;
	if (i < n)
	{
		float		last_add[8] = {0};
		uint16_t	last_mul[8] = {0};
		float		last_score[8] = {0};
		float		last_est[8];

		memcpy(last_add, add + i, (n - i) * sizeof(float));
		memcpy(last_mul, mul + i, (n - i) * sizeof(uint16_t));
		memcpy(last_score, score + i, (n - i) * sizeof(float));
		near |= (estimate8(base, scale, last_add, last_mul, last_score, bound, last_est) &
				 ((1U << (n - i)) - 1)) << i;
		memcpy(est + i, last_est, (n - i) * sizeof(float));
	}
	return near;
}

/* First what the least value is, then where. */
SCORE_TARGET static uint32_t
avx2_least(uint32_t n, const float *values)
{
	__m256		least = _mm256_set1_ps(values[0]);
	uint32_t	rest = n - n % 8;
	float		value;

	for (uint32_t i = 0; i < rest; i += 8)
		least = _mm256_min_ps(least, _mm256_loadu_ps(values + i));
	least = _mm256_min_ps(least, _mm256_permute2f128_ps(least, least, 1));
	least = _mm256_min_ps(least, _mm256_permute_ps(least, 0x4e));
	least = _mm256_min_ps(least, _mm256_permute_ps(least, 0xb1));
	value = _mm256_cvtss_f32(least);
	for (uint32_t i = rest; i < n; i++)
		value = values[i] < value ? values[i] : value;

	least = _mm256_set1_ps(value);
	for (uint32_t i = 0; i < rest; i += 8)
	{
		int			equal = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(values + i),
															 least, _CMP_EQ_OQ));

		if (equal != 0)
			return i + (uint32_t) __builtin_ctz((unsigned int) equal);
	}
	while (values[rest] != value)
		rest++;
	return rest;
}

const CodeScorer code_scorer_avx2 = {
	.init_lut = code_avx2_init_lut,
	.init_values = code_avx2_init_values,
	.fastscan = avx2_fastscan,
	.dot = avx2_dot,
	.dot_row = avx2_dot_row,
	.estimate = avx2_estimate,
	.least = avx2_least
};

#endif							/* SIMD_X86_64 */
