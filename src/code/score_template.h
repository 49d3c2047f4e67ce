/*-------------------------------------------------------------------------
 *
 * score_template.h
 *	  The scoring kernels of score.h, written once over a vector of some bytes.
 *
 * The file of an instruction set defines vector types and their primitives,
 * includes this file, and gets the kernels.  It defines:
 *
 *	SCORE_PREFIX		prefix of all names: avx2, avx512, ...
 *	SCORE_TARGET		function attribute of the instruction set, or nothing
 *
 *	Bytes, BYTES_LEN	a vector of BYTES_LEN bytes: 16, 32 or 64
 *	bytes_zero()
 *	bytes_load(p), bytes_load_part(p, n)	the latter touches only n bytes
 *	bytes_field(v, shift, bits)		the field at shift of each byte, at its
 *						low end; both are constants
 *
 * for FastScan, over groups of 16 bytes:
 *	bytes_lookup(tables, index)		index < 16, each group in its own table
 *	bytes_load_tables2(p, &even, &odd)	2 * BYTES_LEN bytes of tables: those
 *						with even and those with odd numbers
 *	words_add(a, b), words_shift8(a)	unsigned 16-bit lanes; the latter moves
 *						high bytes to low ones
 *	fold_lanes(all, odd, ints)	even = all - (odd << 8); sums of the groups of
 *						even and odd as unsigned 16-bit lanes, added to ints
 *						in the order even, odd
 *
 * for dot:
 *	Ints				a vector of INTS_LEN = BYTES_LEN / 4 int32
 *	ints_zero()
 *	ints_sum(a)			sum of the lanes
 *	ints_scores(out, a, offset, half_step)	stores (2 a - offset) * half_step
 *	bytes_repeat4(p)	4 bytes, repeated
 *	row_codes(bits, row, n)	the codes of a row's first n <= BYTES_LEN
 *						coordinates (a multiple of 16), a byte each, then
 *						zeros; touches no other bytes of the row
 *	dot4(bits, sum, codes, values)	sum + products of codes (unsigned, of that
 *						many bits) and values (signed), 4 bytes to an int
 *	Dot					partial sums: INTS_LEN ints at the end
 *	dot_zero(), dot_sum(dot)
 *	dot_add(bits, dot, codes, values)	dot4 of four pairs of vectors
 *
 *-------------------------------------------------------------------------
 */

#define SCORE_INLINE		SCORE_TARGET static inline CODE_ALWAYS_INLINE

#define INTS_LEN			(BYTES_LEN / 4)
#define HALF_INTS			(CODE_HALF_LANES / INTS_LEN)	/* of 16 lanes */

/*
 * 16-bit sums of all groups of a lane, folded, hold this many bytes of 255.
 */
#define FASTSCAN_GROUPS		256

/* Looked-up bytes of a half's 16 lanes, summed up. */
typedef struct LaneSums
{
	Bytes		all;			/* 16-bit sums of even + 256 * odd bytes */
	Bytes		odd;			/* of odd bytes */
} LaneSums;

SCORE_INLINE void
SCORE(add_lookups) (LaneSums *sums, Bytes found)
{
	sums->all = words_add(sums->all, found);
	sums->odd = words_add(sums->odd, words_shift8(found));
}

/* One vector of codes: the rows of some groups of both halves. */
SCORE_INLINE void
SCORE(fastscan_step) (uint32_t halves, LaneSums *sums, Bytes codes,
					  const uint8_t *lut)
{
	Bytes		low = bytes_field(codes, 0, 4);
	Bytes		high = bytes_field(codes, 4, 4);

	if (halves == 2)
	{
		Bytes		tables = bytes_load(lut);

		SCORE(add_lookups) (&sums[0], bytes_lookup(tables, low));
		SCORE(add_lookups) (&sums[1], bytes_lookup(tables, high));
	}
	else
	{
		Bytes		even;
		Bytes		odd;

		bytes_load_tables2(lut, &even, &odd);
		SCORE(add_lookups) (&sums[0], bytes_lookup(even, low));
		SCORE(add_lookups) (&sums[0], bytes_lookup(odd, high));
	}
}

/*
 * The last vector of a half block may be a part: it then meets tables beyond
 * its groups, which are the zeros that follow the query's.
 */
SCORE_INLINE void
SCORE(fastscan_block) (uint32_t halves, const CodeQuery *query,
					   const uint8_t *block, float *out)
{
	const uint8_t *lut = code_query_lut(query);
	uint32_t	groups = query->coded / 4;
	Ints		total[2][HALF_INTS];

	code_for(h, 2)
	{
		code_for(v, HALF_INTS)
		{
			total[h][v] = ints_zero();
		}
	}

	while (groups > 0)
	{
		uint32_t	chunk = groups < FASTSCAN_GROUPS ? groups : FASTSCAN_GROUPS;
		uint32_t	nbytes = chunk * 8 * halves;
		LaneSums	sums[2];

		code_for(h, 2)
		{
			sums[h].all = sums[h].odd = bytes_zero();
		}

		for (; nbytes >= BYTES_LEN; nbytes -= BYTES_LEN)
		{
			SCORE(fastscan_step) (halves, sums, bytes_load(block), lut);
			block += BYTES_LEN;
			lut += BYTES_LEN * 2 / halves;
		}
		if (nbytes > 0)
			SCORE(fastscan_step) (halves, sums,
								  bytes_load_part(block, nbytes), lut);

		code_for(h, halves)
		{
			fold_lanes(sums[h].all, sums[h].odd, total[h]);
		}
		groups -= chunk;
	}

	code_for(h, halves)
	{
		code_for(v, HALF_INTS)
		{
			ints_scores(out + CODE_HALF_LANES * h + INTS_LEN * v,
						total[h][v], query->offset, query->half_step);
		}
	}
}

SCORE_TARGET static void
SCORE(fastscan) (const CodeQuery *query, const uint8_t *block,
				 uint32_t lanes, float *out)
{
	if (lanes == CODE_LANES)
		SCORE(fastscan_block) (2, query, block, out);
	else
		SCORE(fastscan_block) (1, query, block, out);
}

/* Slots of 16 coordinates at a time; bits and halves are constants. */
SCORE_INLINE void
SCORE(dot_block) (uint32_t bits, uint32_t halves, const CodeQuery *query,
				  const uint8_t *block, float *out)
{
	const int8_t *q = code_query_values(query);
	Dot			sum[2][HALF_INTS];
	uint32_t	i;

	code_for(h, halves)
	{
		code_for(v, HALF_INTS)
		{
			sum[h][v] = dot_zero();
		}
	}

	/* there are 16 coordinates at least, and gcc does better when told so */
	i = 0;
	do
	{
		Bytes		values[4];

		code_for(g, 4)
		{
			values[g] = bytes_repeat4(q + i + 4 * g);
		}

		code_for(h, halves)
		{
			code_for(v, HALF_INTS)
			{
				Bytes		codes[4];

				code_for(g, 4)
				{
					uint32_t	slot = g * halves + h;
					const uint8_t *row = block + slot / (8 / bits) * 64;

					codes[g] = bytes_field(bytes_load(row + BYTES_LEN * v),
										   slot % (8 / bits) * bits, bits);
				}
				dot_add(bits, &sum[h][v], codes, values);
			}
		}
		block += 32 * halves * bits;
		i += 16;
	} while (i < query->coded);

	code_for(h, halves)
	{
		code_for(v, HALF_INTS)
		{
			ints_scores(out + CODE_HALF_LANES * h + INTS_LEN * v,
						dot_sum(&sum[h][v]), query->offset, query->half_step);
		}
	}
}

SCORE_TARGET static void
SCORE(dot) (const CodeQuery *query, const uint8_t *block,
			uint32_t lanes, float *out)
{
#define DOT_BLOCK(bits) \
	do { \
		if (lanes == CODE_LANES) \
			SCORE(dot_block) (bits, 2, query, block, out); \
		else \
			SCORE(dot_block) (bits, 1, query, block, out); \
	} while (0)

	if (query->bits == 2)
		DOT_BLOCK(2);
	else if (query->bits == 4)
		DOT_BLOCK(4);
	else
		DOT_BLOCK(8);

#undef DOT_BLOCK
}

/* Codes in the order of coordinates, then as for a block. */
SCORE_INLINE int32_t
SCORE(dot_row_bits) (uint32_t bits, const CodeQuery *query, const uint8_t *row)
{
	const uint8_t *q = (const uint8_t *) code_query_values(query);
	Ints		sum = ints_zero();
	uint32_t	left = query->coded;

	for (; left >= BYTES_LEN; left -= BYTES_LEN)
	{
		sum = dot4(bits, sum, row_codes(bits, row, BYTES_LEN), bytes_load(q));
		row += BYTES_LEN * bits / 8;
		q += BYTES_LEN;
	}
	if (left > 0)
		sum = dot4(bits, sum, row_codes(bits, row, left), bytes_load(q));
	return ints_sum(sum);
}

SCORE_TARGET static int32_t
SCORE(dot_row) (const CodeQuery *query, const uint8_t *row)
{
	if (query->bits == 2)
		return SCORE(dot_row_bits) (2, query, row);
	if (query->bits == 4)
		return SCORE(dot_row_bits) (4, query, row);
	return SCORE(dot_row_bits) (8, query, row);
}
