/*-------------------------------------------------------------------------
 *
 * score_scalar.c
 *	  Scoring in plain C.  Written apart from score_template.h, so that the
 *	  two check each other.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "../distance/half.h"
#include "score.h"

static void
scalar_fastscan(const CodeQuery *query, const uint8_t *block,
				uint32_t lanes, float *out)
{
	const uint8_t *lut = code_query_lut(query);
	uint32_t	halves = lanes / CODE_HALF_LANES;
	uint32_t	slots = query->coded / 4 * halves;
	uint32_t	sum[2][CODE_HALF_LANES] = {{0}};	/* in the order of bytes */
	uint32_t	slot;
	uint32_t	lane;

	for (slot = 0; slot < slots; slot += 2)
	{
		const uint8_t *low = lut + 16 * (slot / halves);
		const uint8_t *high = lut + 16 * ((slot + 1) / halves);
		uint32_t   *high_sum = sum[halves - 1];

		for (uint32_t j = 0; j < 16; j++)
		{
			sum[0][j] += low[block[j] & 0xf];
			high_sum[j] += high[block[j] >> 4];
		}
		block += 16;
	}

	for (lane = 0; lane < lanes; lane++)
	{
		uint32_t	l = lane % CODE_HALF_LANES;
		uint32_t	byte = l < 8 ? 2 * l : 2 * (l - 8) + 1;

		out[lane] = code_score_of_sum(query,
									  sum[lane / CODE_HALF_LANES][byte]);
	}
}

/* bits is a constant wherever this is inlined. */
static inline CODE_ALWAYS_INLINE void
dot_block(uint32_t bits, const CodeQuery *query, const uint8_t *block,
		  uint32_t lanes, float *out)
{
	const int8_t *q = code_query_values(query);
	uint32_t	halves = lanes / CODE_HALF_LANES;
	uint32_t	slots = query->coded / 4 * halves;
	int32_t		sum[CODE_LANES] = {0};
	uint32_t	slot;
	uint32_t	lane;

	for (slot = 0; slot < slots; slot++)
	{
		uint32_t	shift = bits * (slot % (8 / bits));
		const uint8_t *row = block + (size_t) (slot / (8 / bits)) * 64;
		const int8_t *group = q + 4 * (slot / halves);
		int32_t    *half_sum = sum + (slot % halves) * CODE_HALF_LANES;

		for (uint32_t l = 0; l < CODE_HALF_LANES; l++)
		{
			uint32_t	codes = code_load_le32(row + 4 * l) >> shift;
			uint32_t	mask = (1U << bits) - 1;

			half_sum[l] += (int32_t) (codes & mask) * group[0] +
				(int32_t) (codes >> 8 & mask) * group[1] +
				(int32_t) (codes >> 16 & mask) * group[2] +
				(int32_t) (codes >> 24 & mask) * group[3];
		}
	}

	for (lane = 0; lane < lanes; lane++)
		out[lane] = code_score_of_sum(query, (uint32_t) sum[lane]);
}

static void
scalar_dot(const CodeQuery *query, const uint8_t *block,
		   uint32_t lanes, float *out)
{
	if (query->bits == 2)
		dot_block(2, query, block, lanes, out);
	else if (query->bits == 4)
		dot_block(4, query, block, lanes, out);
	else
		dot_block(8, query, block, lanes, out);
}

static int32_t
scalar_dot_row(const CodeQuery *query, const uint8_t *row)
{
	const int8_t *q = code_query_values(query);
	uint32_t	bits = query->bits;
	uint32_t	fields = 8 / bits;
	uint32_t	mask = (1U << bits) - 1;
	int32_t		sum = 0;
	uint32_t	i;

	for (i = 0; i < query->coded; i += fields)
	{
		uint32_t	byte = *row++;

		for (uint32_t f = 0; f < fields; f++)
			sum += (int32_t) (byte >> (bits * f) & mask) * q[i + f];
	}
	return sum;
}

/* The one rounding after the product is the fused operation's everywhere. */
static uint32_t
scalar_estimate(uint32_t n, float base, float scale,
				const float *add, const uint16_t *mul,
				const float *score, float bound, float *est)
{
	uint32_t	near = 0;
	uint32_t	i;

	for (i = 0; i < n; i++)
	{
		float		edge_add;
		float		edge_score;
		uint16_t	edge_mul;
		float		estimate;

		memcpy(&edge_add, (const char *) add + 4 * (size_t) i, 4);
		memcpy(&edge_mul, (const char *) mul + 2 * (size_t) i, 2);
		memcpy(&edge_score, (const char *) score + 4 * (size_t) i, 4);
		estimate = fmaf(scale * half_to_float(edge_mul), edge_score,
						base + edge_add);
		memcpy((char *) est + 4 * (size_t) i, &estimate, 4);
		near |= (uint32_t) (estimate < bound) << i;
	}
	return near;
}

static uint32_t
scalar_least(uint32_t n, const float *values)
{
	uint32_t	least = 0;

	for (uint32_t i = 1; i < n; i++)
	{
		if (values[i] < values[least])
			least = i;
	}
	return least;
}

const CodeScorer code_scorer_scalar = {
	.init_lut = code_scalar_init_lut,
	.init_values = code_scalar_init_values,
	.fastscan = scalar_fastscan,
	.dot = scalar_dot,
	.dot_row = scalar_dot_row,
	.estimate = scalar_estimate,
	.least = scalar_least
};
