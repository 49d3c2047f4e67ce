/*-------------------------------------------------------------------------
 *
 * scalar.c
 *	  The distance kernels in portable C.
 *
 * A vector is a structure of four floats.  Compilers turn these operations
 * into those of whatever vectors the architecture always has (SSE2 on x86-64,
 * NEON on arm64), because no addition has to change its place for it.
 *
 *-------------------------------------------------------------------------
 */
#include "distance.h"

#include <math.h>
#include <string.h>

#define KERNEL_PREFIX		scalar
#define KERNEL_LEVEL		SIMD_SCALAR
#define KERNEL_TARGET
#define KERNEL_SUMS			4
#define KERNEL_ROWS			1
#define KERNEL_TILE_ROWS	2	/* 8 sums, 2 rows, a column */

#define VEC_LANES			4

typedef struct Vec
{
	float		lane[VEC_LANES];
} Vec;

static inline Vec
vec_zero(void)
{
	Vec			result = {{0, 0, 0, 0}};

	return result;
}

static inline Vec
vec_load_part(const float *p, uint32_t n)
{
	Vec			result = vec_zero();

	if (n & 2)
		memcpy(result.lane, p, 2 * sizeof(float));
	if (n & 1)
		memcpy(result.lane + (n & 2), p + (n & 2), sizeof(float));
	return result;
}

/* A copy, because p may be aligned to a byte only. */
static inline Vec
vec_load(const float *p)
{
	Vec			result;

	memcpy(&result, p, sizeof(result));
	return result;
}

static inline Vec
vec_add(Vec a, Vec b)
{
	for (int i = 0; i < VEC_LANES; i++)
		a.lane[i] += b.lane[i];
	return a;
}

static inline Vec
vec_sub(Vec a, Vec b)
{
	for (int i = 0; i < VEC_LANES; i++)
		a.lane[i] -= b.lane[i];
	return a;
}

static inline Vec
vec_abs(Vec a)
{
	for (int i = 0; i < VEC_LANES; i++)
		a.lane[i] = fabsf(a.lane[i]);
	return a;
}

/*
 * Fused where the architecture has that in hardware, so that the choice is
 * never the optimizer's.
 */
static inline Vec
vec_fma(Vec a, Vec b, Vec c)
{
	for (int i = 0; i < VEC_LANES; i++)
	{
#ifdef __FP_FAST_FMAF
		c.lane[i] = fmaf(a.lane[i], b.lane[i], c.lane[i]);
#else
		c.lane[i] += a.lane[i] * b.lane[i];
#endif
	}
	return c;
}

static inline float
vec_sum(Vec a)
{
	return (a.lane[0] + a.lane[2]) + (a.lane[1] + a.lane[3]);
}

static inline void
vec_sum4(const Vec *a, float *out)
{
	for (int j = 0; j < 4; j++)
		out[j] = vec_sum(a[j]);
}

typedef struct Wide
{
	double		lane[2];
} Wide;

static inline Wide
wide_zero(void)
{
	Wide		result = {{0, 0}};

	return result;
}

/* The square of a float is exact in double, fused or not. */
static inline Wide
wide_add_squares(Wide w, Vec a)
{
	for (int i = 0; i < VEC_LANES; i++)
		w.lane[i % 2] += (double) a.lane[i] * (double) a.lane[i];
	return w;
}

static inline double
wide_sum(Wide w)
{
	return w.lane[0] + w.lane[1];
}

#include "kernel_template.h"
