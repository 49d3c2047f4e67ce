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
#include <string.h>

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

/* Little-endian words, whatever the machine; any alignment. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define code_le32(v)		__builtin_bswap32(v)
#define code_le64(v)		__builtin_bswap64(v)
#else
#define code_le32(v)		(v)
#define code_le64(v)		(v)
#endif

static inline uint32_t
code_load_le32(const uint8_t *p)
{
	uint32_t	v;

	memcpy(&v, p, sizeof(v));
	return code_le32(v);
}

static inline void
code_store_le32(uint8_t *p, uint32_t v)
{
	v = code_le32(v);
	memcpy(p, &v, sizeof(v));
}

static inline uint64_t
code_load_le64(const uint8_t *p)
{
	uint64_t	v;

	memcpy(&v, p, sizeof(v));
	return code_le64(v);
}

/*
 * Codes of B bits, one in each of the eight bytes of a word, squeezed into
 * its low 8 * B bits: neighbours join, then pairs, then fours.
 */
static inline CODE_ALWAYS_INLINE uint64_t
code_squeeze(uint32_t bits, uint64_t codes)
{
	const uint64_t pair = UINT64_C(0x0001000100010001);
	const uint64_t four = UINT64_C(0x0000000100000001);

	if (bits == 8)
		return codes;
	codes = (codes | codes >> (8 - bits)) & pair * ((1U << 2 * bits) - 1);
	codes = (codes | codes >> (16 - 2 * bits)) & four * ((1U << 4 * bits) - 1);
	return codes | codes >> (32 - 4 * bits);
}

/* The low 4 * B bits, as B bits in each of the four bytes of a word. */
static inline CODE_ALWAYS_INLINE uint32_t
code_spread4(uint32_t bits, uint32_t codes)
{
	if (bits == 8)
		return codes;
	codes = (codes | codes << (16 - 2 * bits)) &
		0x00010001U * ((1U << 2 * bits) - 1);
	return (codes | codes << (8 - bits)) & 0x01010101U * ((1U << bits) - 1);
}

/* Eight codes, a byte each, packed into the B bytes that they take in a row. */
static inline CODE_ALWAYS_INLINE void
code_pack8(uint32_t bits, const uint8_t *u, uint8_t *row)
{
	uint64_t	codes = code_le64(code_squeeze(bits, code_load_le64(u)));

	memcpy(row, &codes, bits);
}

#endif							/* DESCARTES_CODE_TEMPLATE_H */
