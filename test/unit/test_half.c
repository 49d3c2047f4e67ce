/*-------------------------------------------------------------------------
 *
 * test_half.c
 *	  Unit test of src/distance/half.h against the definition of binary16 and
 *	  against the CPU's own conversions.
 *
 *-------------------------------------------------------------------------
 */
#include "distance/distance.h"
#include "distance/half.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#ifdef SIMD_X86_64
#include <immintrin.h>
#endif

#include "tap.h"

static uint32_t
float_bits(float value)
{
	uint32_t	bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static float
float_from_bits(uint32_t bits)
{
	float		value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* The value of a finite half by its definition. */
static double
half_definition(uint16_t h)
{
	int			exponent = (h >> 10) & 0x1f;
	int			mantissa = h & 0x3ff;
	double		value;

	if (exponent == 0)
		value = ldexp(mantissa, -24);
	else
		value = ldexp(mantissa + 1024, exponent - 25);
	return (h & 0x8000) ? -value : value;
}

static void
test_half_values(void)
{
	int			failures = 0;

	for (uint32_t h = 0; h <= 0xffff; h++)
	{
		float		f = half_to_float((uint16_t) h);
		uint32_t	back = half_from_float(f);

		if ((h & 0x7fff) < 0x7c00)
		{
			if ((double) f != half_definition((uint16_t) h) ||
				!signbit(f) != !(h & 0x8000))
				fail(&failures, "to float", h, f, half_definition((uint16_t) h));
		}
		else if ((h & 0x7fff) == 0x7c00)
			expect(&failures, "infinity", h, f,
				   (h & 0x8000) ? -INFINITY : INFINITY);
		else if (!isnan(f))
			fail(&failures, "not a NaN", h, f, NAN);

		/* a NaN comes back quiet */
		if (back != ((h & 0x7fff) > 0x7c00 ? (h | 0x200) : h))
			fail(&failures, "round trip", h, back, h);
	}
	report(failures, "half", "all 65536 values");
}

/*
 * Between each half and the next: just below the midpoint, on it and just
 * above it; and the halves' own neighbours.  65536 stands for infinity.
 */
static void
test_half_rounding(void)
{
	int			failures = 0;

	for (uint32_t h = 0; h < 0x7c00; h++)
	{
		double		low = half_definition((uint16_t) h);
		double		high = h == 0x7bff ? 65536 :
		half_definition((uint16_t) (h + 1));
		float		middle = (float) ((low + high) / 2);
		uint32_t	even = (h & 1) ? h + 1 : h;
		float		points[5];
		uint32_t	wanted[5];

		points[0] = nextafterf((float) low, INFINITY);
		wanted[0] = h;
		points[1] = nextafterf(middle, 0);
		wanted[1] = h;
		points[2] = middle;
		wanted[2] = even;
		points[3] = nextafterf(middle, INFINITY);
		wanted[3] = h + 1;
		points[4] = nextafterf((float) high, 0);
		wanted[4] = h + 1;
		for (int i = 0; i < 5; i++)
		{
			if (half_from_float(points[i]) != wanted[i])
				fail(&failures, "rounding", h, half_from_float(points[i]),
					 wanted[i]);
			if (half_from_float(-points[i]) != (wanted[i] | 0x8000))
				fail(&failures, "rounding of a negative", h,
					 half_from_float(-points[i]), wanted[i] | 0x8000);
		}
	}
	report(failures, "half", "rounding to nearest even");
}

/* The CPU's own conversions, where it has them. */
#if defined(SIMD_X86_64)

#define HAVE_HALF_INSTRUCTIONS

static bool
cpu_has_half(void)
{
	return simd_level_available(SIMD_AVX2);
}

__attribute__((target("avx,f16c"))) static uint32_t
cpu_half_to_float(uint16_t h)
{
	return float_bits(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h))));
}

__attribute__((target("avx,f16c"))) static uint16_t
cpu_half_from_float(float f)
{
	return (uint16_t) _mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(f), 0));
}

#elif defined(SIMD_AARCH64)

#define HAVE_HALF_INSTRUCTIONS

static bool
cpu_has_half(void)
{
	return true;
}

static uint32_t
cpu_half_to_float(uint16_t h)
{
	__fp16		value;

	memcpy(&value, &h, sizeof(value));
	return float_bits((float) value);
}

static uint16_t
cpu_half_from_float(float f)
{
	__fp16		value = (__fp16) f;
	uint16_t	h;

	memcpy(&h, &value, sizeof(h));
	return h;
}

#endif

#ifdef HAVE_HALF_INSTRUCTIONS

static void
test_half_cpu(void)
{
	int			failures = 0;

	if (!cpu_has_half())
		return;
	for (uint32_t h = 0; h <= 0xffff; h++)
		if (float_bits(half_to_float((uint16_t) h)) !=
			cpu_half_to_float((uint16_t) h))
			fail(&failures, "to float", h, half_to_float((uint16_t) h), 0);

	/* every exponent, and prime steps through the mantissas */
	for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 1009)
	{
		float		f = float_from_bits((uint32_t) bits);

		if (half_from_float(f) != cpu_half_from_float(f))
			fail(&failures, "from float", (uint32_t) bits, half_from_float(f),
				 cpu_half_from_float(f));
	}
	report(failures, "half", "the bits of the CPU's instructions");
}

#endif

int
main(void)
{
	test_half_values();
	test_half_rounding();
#ifdef HAVE_HALF_INSTRUCTIONS
	test_half_cpu();
#endif
	return finish();
}
