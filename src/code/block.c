/*-------------------------------------------------------------------------
 *
 * block.c
 *	  Columnar blocks of codes: where each bit is.
 *
 * A block holds the codes of 32 lanes, or of 16, coordinate by coordinate, so
 * that one load brings the same coordinates of many lanes.  It has no header
 * and no padding: lanes * coded * B / 8 bytes.  With coordinates in groups of
 * four (group g = coordinates 4g .. 4g + 3) and lanes in halves of 16, the
 * unit is a "slot", one group of one half:
 *
 *		slot = g * (lanes / 16) + half
 *
 * B = 1, FastScan.  A row is 16 bytes and holds two slots: slot 2k in the low
 * nibbles of row k and slot 2k + 1 in the high ones.  Byte j of a row is lane
 * j / 2 of its half if j is even and lane 8 + j / 2 if j is odd (that is, 0,
 * 8, 1, 9, .. 7, 15: a 16-bit view of looked-up bytes then has lanes 0 .. 7
 * in its low bytes and 8 .. 15 in its high ones, both in order).  Bit i of a
 * nibble is coordinate 4g + i.
 *
 * B = 2, 4, 8, dot.  A row is 64 bytes and holds 8 / B slots: slot s is in
 * row s / (8 / B), in bits B * (s % (8 / B)) and up of every byte.  Bytes
 * 4l .. 4l + 3 are coordinates 4g .. 4g + 3 of lane l of the half.
 *
 * So a full block is read with a row's slots serving both halves (B = 4: low
 * nibbles lanes 0 .. 15, high ones 16 .. 31), and a half block has two or
 * more groups in a row.  coded is a multiple of 16, so rows are always full.
 *
 *-------------------------------------------------------------------------
 */
#include "code.h"
#include "code_template.h"

/* Where a slot of one lane is. */
typedef struct SlotPlace
{
	uint8_t    *byte;			/* B = 1: its byte; else the first of four */
	uint32_t	shift;			/* lowest bit within the byte or bytes */
} SlotPlace;

/* bits is a constant wherever this is inlined. */
static inline CODE_ALWAYS_INLINE SlotPlace
slot_place(uint32_t bits, const uint8_t *block, uint32_t slot, uint32_t lane)
{
	SlotPlace	place;

	if (bits == 1)
	{
		uint32_t	byte = lane < 8 ? 2 * lane : 2 * (lane - 8) + 1;

		place.byte = (uint8_t *) block + (size_t) (slot / 2) * 16 + byte;
		place.shift = 4 * (slot % 2);
	}
	else
	{
		uint32_t	slots = 8 / bits;

		place.byte = (uint8_t *) block + (size_t) (slot / slots) * 64 + 4 * lane;
		place.shift = bits * (slot % slots);
	}
	return place;
}

/* The 4 * bits bits of group g in a row, at the low end. */
static inline CODE_ALWAYS_INLINE uint32_t
row_group(uint32_t bits, const uint8_t *row, uint32_t g)
{
	if (bits == 1)
		return (row[g / 2] >> (4 * (g % 2))) & 0xf;
	if (bits == 2)
		return row[g];
	if (bits == 4)
		return (uint32_t) row[2 * g] | (uint32_t) row[2 * g + 1] << 8;
	return code_load_le32(row + 4 * g);
}

static inline CODE_ALWAYS_INLINE void
put_bits(uint32_t bits, uint32_t coded, uint8_t *block, uint32_t lanes,
		 uint32_t lane, const uint8_t *row)
{
	uint32_t	halves = lanes / CODE_HALF_LANES;
	uint32_t	half = lane / CODE_HALF_LANES;
	uint32_t	g;

	for (g = 0; g < coded / 4; g++)
	{
		uint32_t	codes = row_group(bits, row, g);
		SlotPlace	place = slot_place(bits, block, g * halves + half,
									   lane % CODE_HALF_LANES);

		if (bits == 1)
			*place.byte = (uint8_t) ((*place.byte & ~(0xf << place.shift)) |
									 codes << place.shift);
		else
		{
			uint32_t	mask = 0x01010101U * ((1U << bits) - 1);
			uint32_t	word = code_load_le32(place.byte);

			codes = code_spread4(bits, codes);
			code_store_le32(place.byte, (word & ~(mask << place.shift)) |
							codes << place.shift);
		}
	}
}

static inline CODE_ALWAYS_INLINE void
get_bits(uint32_t bits, uint32_t coded, const uint8_t *block, uint32_t lanes,
		 uint32_t lane, uint8_t *row)
{
	uint32_t	halves = lanes / CODE_HALF_LANES;
	uint32_t	half = lane / CODE_HALF_LANES;
	uint32_t	g;

	for (g = 0; g < coded / 4; g++)
	{
		SlotPlace	place = slot_place(bits, block, g * halves + half,
									   lane % CODE_HALF_LANES);
		uint32_t	codes;

		if (bits == 1)
		{
			codes = (*place.byte >> place.shift) & 0xf;
			if (g % 2 == 0)
				row[g / 2] = (uint8_t) codes;
			else
				row[g / 2] |= (uint8_t) (codes << 4);
			continue;
		}
		codes = (code_load_le32(place.byte) >> place.shift) &
			(0x01010101U * ((1U << bits) - 1));
		codes = (uint32_t) code_squeeze(bits, codes);
		if (bits == 2)
			row[g] = (uint8_t) codes;
		else if (bits == 4)
		{
			row[2 * g] = (uint8_t) codes;
			row[2 * g + 1] = (uint8_t) (codes >> 8);
		}
		else
			code_store_le32(row + 4 * g, codes);
	}
}

/* Bytes of a block of `lanes` lanes. */
size_t
code_block_bytes(const CodeParams *params, uint32_t lanes)
{
	return code_row_bytes(params) * lanes;
}

/*
 * Write a row into a lane of a block.  Other lanes keep what they have.
 */
void
code_block_put(const CodeParams *params, uint8_t *block,
			   uint32_t lanes, uint32_t lane, const uint8_t *row)
{
	switch (params->bits)
	{
		case 1:
			put_bits(1, params->coded, block, lanes, lane, row);
			break;
		case 2:
			put_bits(2, params->coded, block, lanes, lane, row);
			break;
		case 4:
			put_bits(4, params->coded, block, lanes, lane, row);
			break;
		default:
			put_bits(8, params->coded, block, lanes, lane, row);
			break;
	}
}

/* The first n lanes of a block of one bit, at once: see the head of the file. */
static void
fill_bits1(uint32_t row_bytes, uint8_t *block, uint32_t lanes,
		   const uint8_t *const *rows, uint32_t n)
{
	for (uint32_t i = 0; i < row_bytes; i++)
	{
		/* groups 2i and 2i + 1 of all lanes, the halves' bytes in one order */
		uint8_t		byte[CODE_LANES];

		for (uint32_t lane = 0; lane < n; lane++)
			byte[lane] = rows[lane][i];
		memset(byte + n, 0, sizeof(byte) - n);
		for (uint32_t lane = 0; lane < CODE_HALF_LANES; lane++)
		{
			uint32_t	to = lane < 8 ? 2 * lane : 2 * (lane - 8) + 1;
			uint8_t		low = byte[lane];
			uint8_t		high = byte[lane + CODE_HALF_LANES];

			if (lanes == CODE_HALF_LANES)
				block[to] = low;
			else
			{
				block[to] = (uint8_t) ((low & 0xf) | high << 4);
				block[to + 16] = (uint8_t) (low >> 4 | (high & 0xf0));
			}
		}
		block += lanes;
	}
}

/*
 * Write a whole block: the rows of its first n lanes, zeros to the others.
 */
void
code_block_fill(const CodeParams *params, uint8_t *block, uint32_t lanes,
				const uint8_t *const *rows, uint32_t n)
{
	if (params->bits == 1)
	{
		fill_bits1((uint32_t) code_row_bytes(params), block, lanes, rows, n);
		return;
	}
	memset(block, 0, code_block_bytes(params, lanes));
	for (uint32_t lane = 0; lane < n; lane++)
		code_block_put(params, block, lanes, lane, rows[lane]);
}

/*
 * Read the row of a lane of a block.
 */
void
code_block_get(const CodeParams *params, const uint8_t *block,
			   uint32_t lanes, uint32_t lane, uint8_t *row)
{
	switch (params->bits)
	{
		case 1:
			get_bits(1, params->coded, block, lanes, lane, row);
			break;
		case 2:
			get_bits(2, params->coded, block, lanes, lane, row);
			break;
		case 4:
			get_bits(4, params->coded, block, lanes, lane, row);
			break;
		default:
			get_bits(8, params->coded, block, lanes, lane, row);
			break;
	}
}
