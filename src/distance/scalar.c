/*-------------------------------------------------------------------------
 *
 * scalar.c
 *	  The distance kernels in portable C.
 *
 * A "vector" is one float.  Sixteen independent partial sums let the compiler
 * use whatever vectors the architecture always has (SSE2 on x86-64, NEON on
 * arm64): it may not reorder additions, and need not.
 *
 *-------------------------------------------------------------------------
 */
#include "distance.h"

#include <math.h>
#include <string.h>

#define KERNEL_PREFIX		scalar
#define KERNEL_LEVEL		SIMD_SCALAR
#define KERNEL_TARGET
#define KERNEL_SUMS			16
#define KERNEL_ROWS			1

typedef float Vec;

#define VEC_LANES			1

static inline Vec
vec_zero(void)
{
	return 0;
}

static inline Vec
vec_load(const float *p)
{
	Vec			result;

	memcpy(&result, p, sizeof(result)); /* p may be aligned to a byte */
	return result;
}

static inline Vec
vec_load_part(const float *p, uint32_t n)
{
	return n > 0 ? vec_load(p) : 0;
}

static inline Vec
vec_add(Vec a, Vec b)
{
	return a + b;
}

static inline Vec
vec_sub(Vec a, Vec b)
{
	return a - b;
}

static inline Vec
vec_abs(Vec a)
{
	return fabsf(a);
}

/*
 * Fused where the architecture has it in hardware, so that the choice is
 * never the optimizer's.
 */
static inline Vec
vec_fma(Vec a, Vec b, Vec c)
{
#ifdef __FP_FAST_FMAF
	return fmaf(a, b, c);
#else
	return a * b + c;
#endif
}

static inline float
vec_sum(Vec a)
{
	return a;
}

typedef double Wide;

static inline Wide
wide_zero(void)
{
	return 0;
}

/* The square of a float is exact in double, fused or not. */
static inline Wide
wide_add_squares(Wide w, Vec a)
{
	return w + (double) a * (double) a;
}

static inline double
wide_sum(Wide w)
{
	return w;
}

#include "kernel_template.h"
