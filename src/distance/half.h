/*-------------------------------------------------------------------------
 *
 * half.h
 *	  IEEE 754 binary16, as uint16, in portable C.
 *
 * Conversion from float rounds to nearest even: an infinity from 65520
 * upwards, zero up to 2^-25.  Conversion to float is exact.  A NaN stays one:
 * it becomes quiet and keeps its sign and the leading bits of its payload.
 * SIMD kernels use the CPU's own instructions (F16C, FCVT), which give the
 * same bits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_HALF_H
#define DESCARTES_HALF_H

#include <stdint.h>
#include <string.h>

static inline float
half_to_float(uint16_t h)
{
	uint32_t	sign = (uint32_t) (h & 0x8000) << 16;
	uint32_t	exponent = (h >> 10) & 0x1f;
	uint32_t	mantissa = h & 0x3ff;
	uint32_t	bits;
	float		result;

	if (exponent == 0)
	{
		/* zero or subnormal: mantissa * 2^-24 is exact in float */
		result = (float) mantissa * 5.9604644775390625e-8f;
		memcpy(&bits, &result, sizeof(bits));
		bits |= sign;
	}
	else if (exponent == 31)
	{
		bits = sign | 0x7f800000 | (mantissa << 13);
		if (mantissa != 0)
			bits |= 0x00400000; /* quiet */
	}
	else
		bits = sign | ((exponent + 112) << 23) | (mantissa << 13);

	memcpy(&result, &bits, sizeof(result));
	return result;
}

static inline uint16_t
half_from_float(float value)
{
	uint32_t	bits;
	uint32_t	sign;
	uint32_t	magnitude;

	memcpy(&bits, &value, sizeof(bits));
	sign = (bits >> 16) & 0x8000;
	magnitude = bits & 0x7fffffff;

	if (magnitude > 0x7f800000)
		return (uint16_t) (sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
	if (magnitude >= 0x477ff000)
		return (uint16_t) (sign | 0x7c00);	/* rounds to infinity */
	if (magnitude < 0x38800000)
	{
		/* below 2^-14: the float adder does the rounding to 2^-24 steps */
		float		m;
		uint32_t	r;

		memcpy(&m, &magnitude, sizeof(m));
		m += 0.5f;
		memcpy(&r, &m, sizeof(r));
		return (uint16_t) (sign | (r - 0x3f000000));
	}
	/* normal: round to nearest even on the 13 bits that go */
	magnitude += 0xfff + ((magnitude >> 13) & 1);
	return (uint16_t) (sign | ((magnitude - 0x38000000) >> 13));
}

#endif							/* DESCARTES_HALF_H */
