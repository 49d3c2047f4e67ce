/*-------------------------------------------------------------------------
 *
 * code_template.h
 *	  Internal: what the templates of the kernels share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_CODE_TEMPLATE_H
#define DESCARTES_CODE_TEMPLATE_H

#include <stdint.h>

#define CODE_JOIN_(a, b)	a##_##b
#define CODE_JOIN(a, b)		CODE_JOIN_(a, b)
#define SCORE(name)			CODE_JOIN(SCORE_PREFIX, name)
#define TRANSFORM(name)		CODE_JOIN(TRANSFORM_PREFIX, name)
#define CODE_ALWAYS_INLINE	__attribute__((always_inline))

/*
 * A loop with constant bounds, to be unrolled, so that arrays of vectors live
 * in registers.  clang does so by itself, gcc does not at -O2.
 */
#ifdef __clang__
#define CODE_UNROLL
#else
#define CODE_UNROLL			_Pragma("GCC unroll 16")
#endif
#define code_for(i, n) \
	CODE_UNROLL \
	for (uint32_t i = 0; i < (n); i++)

/* Little-endian words, whatever the machine; compilers see one load. */
static inline uint32_t
code_load_le32(const uint8_t *p)
{
	return (uint32_t) p[0] | (uint32_t) p[1] << 8 |
		(uint32_t) p[2] << 16 | (uint32_t) p[3] << 24;
}

static inline void
code_store_le32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t) v;
	p[1] = (uint8_t) (v >> 8);
	p[2] = (uint8_t) (v >> 16);
	p[3] = (uint8_t) (v >> 24);
}

/*
 * Four codes of B bits, one in each byte of a word, squeezed into the low
 * 4 B bits, and back.
 */
static inline uint32_t
code_squeeze4(uint32_t bits, uint32_t spread)
{
	if (bits == 8)
		return spread;
	spread = (spread | spread >> (8 - bits)) &
		((0x00010001U << (2 * bits)) - 0x00010001U);
	return (spread | spread >> (16 - 2 * bits)) & ((1U << (4 * bits)) - 1);
}

static inline uint32_t
code_spread4(uint32_t bits, uint32_t squeezed)
{
	if (bits == 8)
		return squeezed;
	squeezed = (squeezed | squeezed << (16 - 2 * bits)) &
		((0x00010001U << (2 * bits)) - 0x00010001U);
	return (squeezed | squeezed << (8 - bits)) &
		(0x01010101U * ((1U << bits) - 1));
}

/* 16 codes, a byte each, packed into 2 * bits bytes of a row. */
static inline void
code_pack16(uint32_t bits, const uint8_t *u, uint8_t *row)
{
	for (uint32_t i = 0; i < 16; i += 4)
	{
		uint32_t	four = code_squeeze4(bits, code_load_le32(u + i));

		if (bits == 8)
			code_store_le32(row + i, four);
		else if (bits == 4)
		{
			row[i / 2] = (uint8_t) four;
			row[i / 2 + 1] = (uint8_t) (four >> 8);
		}
		else if (bits == 2)
			row[i / 4] = (uint8_t) four;
		else if (i % 8 == 0)
			row[i / 8] = (uint8_t) four;
		else
			row[i / 8] |= (uint8_t) (four << 4);
	}
}

#endif							/* DESCARTES_CODE_TEMPLATE_H */
