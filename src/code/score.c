/*-------------------------------------------------------------------------
 *
 * score.c
 *	  Preparation of a query, and scores of blocks and rows.
 *
 * S = <x, q> is computed from a quantized query, once per search.  For the
 * dot layout coordinates are rounded to int8, in steps of the largest
 * magnitude / 127.  For FastScan, sums of four coordinates with all 16
 * combinations of signs are rounded to u8; the step is the widest range of
 * any group / 255, and each group has its own least value, all of which go to
 * the offset.  Either error is small against that of the codes, except for
 * B = 8, where it is of the same order.
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "score.h"

#define LUT_FRACTION_BITS	8	/* of the fixed point sums */
#define LEAST_RANGE			1e-33f	/* below, scales might overflow */

static const CodeScorer *
active_scorer(void)
{
	switch (simd_active_level())
	{
#ifdef SIMD_X86_64
		case SIMD_AVX2:
			return &code_scorer_avx2;
		case SIMD_AVX512:
			if (simd_has_avx512_vnni())
				return &code_scorer_avx512_vnni;
			return &code_scorer_avx512;
#endif
#ifdef SIMD_AARCH64
		case SIMD_NEON:
			return &code_scorer_neon;
#endif
		default:
			return &code_scorer_scalar;
	}
}

/* Bytes of memory that code_query_init needs. */
size_t
code_query_size(const CodeParams *params)
{
	size_t		tables;

	if (params->bits == 1)
		tables = (size_t) params->coded * 4 + CODE_QUERY_PAD;
	else
		tables = params->coded + 8 / params->bits *
			code_plane_bytes(params->coded, params->bits);
	return CODE_QUERY_HEADER + tables;
}

/* The larger one; infinite as soon as a value is NaN. */
static inline float
larger(float largest, float value)
{
	if (!(value <= FLT_MAX))
		return INFINITY;
	return value > largest ? value : largest;
}

/*
 * The number of steps in one unit, for values of which the largest magnitude
 * shall be `steps` steps; *half_step gets half a step.  Both become 0 if
 * the largest is not finite or smaller than LEAST_RANGE: all scores are 0 then.
 */
static float
set_step(CodeQuery *query, float largest, float steps)
{
	if (!(largest >= LEAST_RANGE) || !(largest <= FLT_MAX))
	{
		query->half_step = 0;
		return 0;
	}
	query->half_step = largest / steps / 2;
	return steps / largest;
}

/* value * scale to the nearest integer; 0 if scale is 0. */
static inline int32_t
round_scaled(float value, float scale)
{
	float		scaled;

	if (scale == 0)
		return 0;
	scaled = value * scale;
	return (int32_t) (scaled < 0 ? scaled - 0.5f : scaled + 0.5f);
}

/*
 * Tables of the B = 1 layout.  Fixed point keeps the 16 sums of a group exact
 * relative to each other: at most 255 * 256 and some rounding, and one half
 * to round.
 */
static void
init_lut(CodeQuery *query, const float *q)
{
	uint8_t    *lut = (uint8_t *) code_query_lut(query);
	float		widest = 0;
	float		scale;
	uint32_t	ranges = 0;		/* fixed point, over all groups */
	uint32_t	i;

	for (i = 0; i < query->coded; i += 4)
	{
		float		range = fabsf(q[i]) + fabsf(q[i + 1]) +
			fabsf(q[i + 2]) + fabsf(q[i + 3]);

		widest = larger(widest, range);
	}
	scale = set_step(query, widest, 255) * (1 << LUT_FRACTION_BITS);

	for (i = 0; i < query->coded; i += 4)
	{
		uint32_t	value[4];
		uint32_t	sum[16];

		sum[0] = 1 << (LUT_FRACTION_BITS - 1);
		for (uint32_t k = 0; k < 4; k++)
		{
			int32_t		signed_value = round_scaled(q[i + k], scale);

			value[k] = (uint32_t) signed_value;
			ranges += signed_value < 0 ? -value[k] : value[k];
			if (signed_value < 0)
				sum[0] -= value[k];
		}
		for (uint32_t k = 0; k < 4; k++)
			for (uint32_t j = 0; j < (1U << k); j++)
				sum[(1U << k) + j] = sum[j] + value[k];
		for (uint32_t j = 0; j < 16; j++)
			*lut++ = (uint8_t) (sum[j] >> LUT_FRACTION_BITS);
	}
	memset(lut, 0, CODE_QUERY_PAD);

	query->offset = (int32_t) ((ranges + (1 << (LUT_FRACTION_BITS - 1))) >>
							   LUT_FRACTION_BITS);
}

/* Tables of the layouts of B = 2, 4, 8. */
static void
init_values(CodeQuery *query, const float *q)
{
	int8_t	   *values = (int8_t *) code_query_values(query);
	int8_t	   *plane = (int8_t *) code_query_planes(query);
	size_t		plane_bytes = code_plane_bytes(query->coded, query->bits);
	uint32_t	fields = 8 / query->bits;
	float		largest = 0;
	float		scale;
	int32_t		sum = 0;
	uint32_t	i;
	uint32_t	f;

	for (i = 0; i < query->coded; i++)
		largest = larger(largest, fabsf(q[i]));
	scale = set_step(query, largest, 127);

	for (i = 0; i < query->coded; i++)
	{
		values[i] = (int8_t) round_scaled(q[i], scale);
		sum += values[i];
	}

	for (f = 0; f < fields; f++)
	{
		uint32_t	nbytes = query->coded / fields;

		for (i = 0; i < nbytes; i++)
			plane[i] = values[i * fields + f];
		memset(plane + nbytes, 0, plane_bytes - nbytes);
		plane += plane_bytes;
	}

	query->offset = sum * ((1 << query->bits) - 1);
}

/*
 * Prepare a rotated query.  memory is aligned for a pointer, better for a
 * cache line.  The kernels of the active level are chosen here, for all uses
 * of the query.
 */
CodeQuery *
code_query_init(const CodeParams *params, const float *q, void *memory)
{
	CodeQuery  *query = (CodeQuery *) memory;

	query->scorer = active_scorer();
	query->coded = params->coded;
	query->bits = params->bits;
	if (params->bits == 1)
		init_lut(query, q);
	else
		init_values(query, q);
	return query;
}

/* See code.h. */
void
code_score_block(const CodeParams *params, const CodeQuery *query,
				 const uint8_t *block, uint32_t lanes, float *out)
{
	if (params->bits == 1)
		query->scorer->fastscan(query, block, lanes, out);
	else
		query->scorer->dot(query, block, lanes, out);
}

/* Every group has a table of its own, so one row is one lookup per group. */
static uint32_t
sum_lookups(const CodeQuery *query, const uint8_t *row)
{
	const uint8_t *lut = code_query_lut(query);
	uint32_t	even = 0;
	uint32_t	odd = 0;
	uint32_t	i;

	for (i = 0; i < query->coded / 8; i++)
	{
		even += lut[row[i] & 0xf];
		odd += lut[16 + (row[i] >> 4)];
		lut += 32;
	}
	return even + odd;
}

/* See code.h. */
float
code_score_row(const CodeParams *params, const CodeQuery *query,
			   const uint8_t *row)
{
	uint32_t	sum;

	if (params->bits == 1)
		sum = sum_lookups(query, row);
	else
		sum = (uint32_t) query->scorer->dot_row(query, row);
	return code_score_of_sum(query, sum);
}

/* See code.h. */
void
code_estimate(uint32_t n, float base, float scale,
			  const float *add, const uint16_t *mul,
			  const float *score, float *est)
{
	active_scorer()->estimate(n, base, scale, add, mul, score, est);
}
