/*-------------------------------------------------------------------------
 *
 * query_template.h
 *	  The integer tables of a query, written once over a vector of some lanes.
 *
 * S = <x, q> is computed from a quantized query, once per search.  For the
 * dot layout coordinates are rounded to int8, in steps of the largest
 * magnitude / 127.  For FastScan, sums of four coordinates with all 16
 * combinations of signs are rounded to u8; the step is the widest range of
 * any group / 255, and each group has its own least value, all of which go to
 * the offset.  Either error is small against that of the codes, except for
 * B = 8, where it is of the same order.
 *
 * All levels give the same tables: a coordinate is multiplied once and
 * rounded once, all else is done in integers, and the four magnitudes of a
 * group are added as (a + b) + (c + d).
 *
 * The file of an instruction set defines:
 *
 *	QUERY_PREFIX		prefix of all names: code_avx2, ...
 *	QUERY_TARGET		function attribute of the instruction set, or nothing
 *
 *	Floats, Ints, QUERY_LANES	vectors of 4 or 8 float32 and int32
 *	floats_load(p)
 *	floats_magnitude(a)	the bits of |a|
 *	floats_ranges(a)	the bits of (|a0| + |a1|) + (|a2| + |a3|), in each lane
 *						of each group of four
 *	floats_round(a, scale)	a * scale to the nearest int, ties to even
 *	ints_zero(), ints_max(a, b), ints_add(a, b)	signed
 *	ints_largest(a), ints_sum(a)	over the lanes
 *	ints_fall(a)		per group of four, the sum of its negative lanes, with
 *						the sign changed; in every lane
 *	ints_abs(a)
 *	ints_store(p, a), ints_store_bytes(p, a)	as int32 and as int8
 *	store_sums(lut, values, least)	16 bytes: ((values[k] summed over the bits k
 *						of the byte's number) + least) >> LUT_FRACTION_BITS,
 *						in 16 bits, unsigned
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <string.h>

#define QUERY(name)			CODE_JOIN(QUERY_PREFIX, name)

#define LUT_FRACTION_BITS	8	/* of the fixed point sums */
#define LUT_ONE				(1 << LUT_FRACTION_BITS)
#define LEAST_RANGE			1e-33f	/* below, scales might overflow */

/*
 * Set half_step such that `largest` (given as the bits of a float32) is
 * `steps` steps, and return the steps in one unit.  If it is not finite or
 * smaller than LEAST_RANGE, both are 0 and the result is false.
 */
static bool
QUERY(set_step) (CodeQuery *query, int32_t largest_bits, float steps,
				 float *scale)
{
	float		largest;

	memcpy(&largest, &largest_bits, sizeof(largest));
	if (!(largest >= LEAST_RANGE) || !(largest <= FLT_MAX))
	{
		query->half_step = 0;
		query->offset = 0;
		*scale = 0;
		return false;
	}
	query->half_step = largest / steps / 2;
	*scale = steps / largest;
	return true;
}

/*
 * Fixed point keeps the 16 sums of a group exact relative to each other: at
 * most 255 * 256, some rounding, and one half to round to bytes.
 */
QUERY_TARGET void
QUERY(init_lut) (CodeQuery *query, const float *q)
{
	uint8_t    *lut = (uint8_t *) query + CODE_QUERY_HEADER;
	Ints		widest = ints_zero();
	Ints		ranges = ints_zero();
	float		scale;
	uint32_t	i;

	for (i = 0; i < query->coded; i += QUERY_LANES)
		widest = ints_max(widest, floats_ranges(floats_load(q + i)));

	memset(lut + 4 * (size_t) query->coded, 0, CODE_QUERY_PAD);
	if (!QUERY(set_step) (query, ints_largest(widest), 255, &scale))
	{
		memset(lut, 0, 4 * (size_t) query->coded);
		return;
	}

	for (i = 0; i < query->coded; i += QUERY_LANES)
	{
		Ints		v = floats_round(floats_load(q + i), scale * LUT_ONE);
		int32_t		values[QUERY_LANES];
		int32_t		least[QUERY_LANES];

		ranges = ints_add(ranges, ints_abs(v));
		ints_store(values, v);
		ints_store(least, ints_fall(v));
		for (uint32_t k = 0; k < QUERY_LANES; k += 4)
		{
			store_sums(lut, values + k, least[k] + LUT_ONE / 2);
			lut += 16;
		}
	}
	query->offset = (ints_sum(ranges) + LUT_ONE / 2) / LUT_ONE;
}

QUERY_TARGET void
QUERY(init_values) (CodeQuery *query, const float *q)
{
	int8_t	   *values = (int8_t *) query + CODE_QUERY_HEADER;
	Ints		largest = ints_zero();
	Ints		sum = ints_zero();
	float		scale;
	uint32_t	i;

	for (i = 0; i < query->coded; i += QUERY_LANES)
		largest = ints_max(largest, floats_magnitude(floats_load(q + i)));

	memset(values + query->coded, 0, CODE_QUERY_PAD);
	if (!QUERY(set_step) (query, ints_largest(largest), 127, &scale))
	{
		memset(values, 0, query->coded);
		return;
	}

	for (i = 0; i < query->coded; i += QUERY_LANES)
	{
		Ints		v = floats_round(floats_load(q + i), scale);

		sum = ints_add(sum, v);
		ints_store_bytes(values + i, v);
	}
	query->offset = ints_sum(sum) * ((1 << query->bits) - 1);
}
