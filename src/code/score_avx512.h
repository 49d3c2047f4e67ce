/*-------------------------------------------------------------------------
 *
 * score_avx512.h
 *	  Estimates with AVX-512 (F, BW, DQ, VL), and the primitives of it for
 *	  score_template.h, all but those of the dot products, which differ with
 *	  and without VNNI.
 *
 * The including file defines SCORE_PREFIX and SCORE_TARGET.
 *
 *-------------------------------------------------------------------------
 */
#include <immintrin.h>
#include <string.h>


typedef __m512i Bytes;
typedef __m512i Ints;

#define BYTES_LEN			64

SCORE_TARGET static inline Bytes
bytes_zero(void)
{
	return _mm512_setzero_si512();
}

SCORE_TARGET static inline Bytes
bytes_load(const uint8_t *p)
{
	return _mm512_loadu_si512(p);
}

SCORE_TARGET static inline Bytes
bytes_load_part(const uint8_t *p, uint32_t n)
{
	return _mm512_maskz_loadu_epi8((UINT64_C(1) << n) - 1, p);
}

SCORE_TARGET static inline CODE_ALWAYS_INLINE Bytes
bytes_field(Bytes v, int shift, int bits)
{
	if (shift > 0)
		v = _mm512_srli_epi16(v, (unsigned int) shift);
	if (bits < 8)
		v = _mm512_and_si512(v, _mm512_set1_epi8((char) ((1 << bits) - 1)));
	return v;
}

/* Fields of a byte are moved apart to the bytes of a word or an int. */
SCORE_TARGET static inline CODE_ALWAYS_INLINE Bytes
row_codes(int bits, const uint8_t *row, uint32_t n)
{
	uint32_t	nbytes = n * (uint32_t) bits / 8;
	uint64_t	mask = nbytes < 64 ? (UINT64_C(1) << nbytes) - 1 : UINT64_MAX;
	Bytes		v;

	if (bits == 8)
		return _mm512_maskz_loadu_epi8(mask, row);
	if (bits == 4)
	{
		v = _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8((__mmask32) mask, row));
		return bytes_field(_mm512_or_si512(v, _mm512_slli_epi16(v, 4)), 0, 4);
	}
	v = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8((__mmask16) mask, row));
	v = _mm512_or_si512(v, _mm512_slli_epi32(v, 12));
	return bytes_field(_mm512_or_si512(v, _mm512_slli_epi32(v, 6)), 0, 2);
}

SCORE_TARGET static inline Ints
ints_zero(void)
{
	return _mm512_setzero_si512();
}

SCORE_TARGET static inline int32_t
ints_sum(Ints a)
{
	__m256i		eight = _mm256_add_epi32(_mm512_castsi512_si256(a),
										 _mm512_extracti64x4_epi64(a, 1));
	__m128i		sum = _mm_add_epi32(_mm256_castsi256_si128(eight),
									_mm256_extracti128_si256(eight, 1));

	sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
	sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
	return _mm_cvtsi128_si32(sum);
}

SCORE_TARGET static inline void
ints_scores(float *out, Ints a, int32_t offset, float half_step)
{
	a = _mm512_sub_epi32(_mm512_add_epi32(a, a), _mm512_set1_epi32(offset));
	_mm512_storeu_ps(out, _mm512_mul_ps(_mm512_cvtepi32_ps(a),
										_mm512_set1_ps(half_step)));
}

SCORE_TARGET static inline Bytes
bytes_repeat4(const int8_t *p)
{
	int32_t		four;

	memcpy(&four, p, sizeof(four));
	return _mm512_set1_epi32(four);
}

SCORE_TARGET static inline Bytes
bytes_lookup(Bytes tables, Bytes index)
{
	return _mm512_shuffle_epi8(tables, index);
}

SCORE_TARGET static inline void
bytes_load_tables2(const uint8_t *p, Bytes *even, Bytes *odd)
{
	Bytes		first = bytes_load(p);
	Bytes		second = bytes_load(p + BYTES_LEN);

	*even = _mm512_shuffle_i64x2(first, second, 0x88);
	*odd = _mm512_shuffle_i64x2(first, second, 0xdd);
}

SCORE_TARGET static inline Bytes
words_add(Bytes a, Bytes b)
{
	return _mm512_add_epi16(a, b);
}

SCORE_TARGET static inline Bytes
words_shift8(Bytes a)
{
	return _mm512_srli_epi16(a, 8);
}

SCORE_TARGET static inline __m256i
words_fold2(Bytes a)
{
	return _mm256_add_epi16(_mm512_castsi512_si256(a),
							_mm512_extracti64x4_epi64(a, 1));
}

SCORE_TARGET static inline void
fold_lanes(Bytes all, Bytes odd, Ints *ints)
{
	Bytes		even = _mm512_sub_epi16(all, _mm512_slli_epi16(odd, 8));
	__m256i		even2 = words_fold2(even);
	__m256i		odd2 = words_fold2(odd);
	__m256i		lanes;

	lanes = _mm256_add_epi16(_mm256_permute2x128_si256(even2, odd2, 0x20),
							 _mm256_permute2x128_si256(even2, odd2, 0x31));
	ints[0] = _mm512_add_epi32(ints[0], _mm512_cvtepu16_epi32(lanes));
}

SCORE_TARGET static uint32_t
SCORE(estimate) (uint32_t n, float base, float scale,
				 const float *add, const uint16_t *mul,
				 const float *score, float bound, float *est)
{
	uint32_t	near = 0;
	uint32_t	i;

	for (i = 0; i < n; i += 16)
	{
		uint32_t	left = n - i;
		__mmask16	mask = left >= 16 ? 0xffff : (__mmask16) ((1U << left) - 1);
		__m512		factor;
		__m512		sum;

		factor = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, mul + i));
		factor = _mm512_mul_ps(_mm512_set1_ps(scale), factor);
		sum = _mm512_add_ps(_mm512_set1_ps(base),
							_mm512_maskz_loadu_ps(mask, add + i));
		sum = _mm512_fmadd_ps(factor, _mm512_maskz_loadu_ps(mask, score + i),
							  sum);
		_mm512_mask_storeu_ps(est + i, mask, sum);
		near |= (uint32_t) _mm512_mask_cmp_ps_mask(mask, sum, _mm512_set1_ps(bound),
												   _CMP_LT_OQ) << i;
	}
	return near;
}

/* First what the least value is, then where. */
SCORE_TARGET static uint32_t
SCORE(least) (uint32_t n, const float *values)
{
	__m512		least = _mm512_set1_ps(values[0]);
	uint32_t	i;

	for (i = 0; i < n; i += 16)
	{
		__mmask16	mask = n - i >= 16 ? 0xffff : (__mmask16) ((1U << (n - i)) - 1);

		least = _mm512_mask_min_ps(least, mask, least,
								   _mm512_maskz_loadu_ps(mask, values + i));
	}
	least = _mm512_set1_ps(_mm512_reduce_min_ps(least));
	for (i = 0;; i += 16)
	{
		__mmask16	mask = n - i >= 16 ? 0xffff : (__mmask16) ((1U << (n - i)) - 1);

		mask = _mm512_mask_cmp_ps_mask(mask, least, _mm512_maskz_loadu_ps(mask, values + i),
									   _CMP_EQ_OQ);
		if (mask != 0)
			return i + (uint32_t) __builtin_ctz(mask);
	}
}
