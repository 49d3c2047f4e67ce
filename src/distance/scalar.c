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
#define TILE_I16_ROWS		2

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
vec_set(float x)
{
	Vec			result = {{x, x, x, x}};

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
vec_mul(Vec a, Vec b)
{
	for (int i = 0; i < VEC_LANES; i++)
		a.lane[i] *= b.lane[i];
	return a;
}

static inline uint32_t
vec_less(Vec a, Vec b)
{
	uint32_t	bits = 0;

	for (int i = 0; i < VEC_LANES; i++)
		bits |= (uint32_t) (a.lane[i] < b.lane[i]) << i;
	return bits;
}

static inline void
vec_store(float *p, Vec a)
{
	memcpy(p, &a, sizeof(a));
}

static inline Vec
vec_max(Vec a, Vec b)
{
	for (int i = 0; i < VEC_LANES; i++)
		a.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i];
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

static inline float
vec_most(Vec a)
{
	float		most = a.lane[0];

	for (int i = 1; i < VEC_LANES; i++)
		most = most > a.lane[i] ? most : a.lane[i];
	return most;
}

/*
 * 3 * 2^22 moves the places behind the point out of the mantissa, rounded to
 * nearest even as every addition is; below them is the integer.
 */
static inline void
vec_to_i16(Vec a, int16_t *p)
{
	for (int i = 0; i < VEC_LANES; i++)
	{
		float		moved = a.lane[i] + 12582912.0f;
		uint32_t	bits;

		memcpy(&bits, &moved, sizeof(bits));
		p[i] = (int16_t) (int32_t) (bits - 0x4b400000);
	}
}

#define TILE_I16_LANES		8

typedef struct Shorts
{
	int16_t		lane[TILE_I16_LANES];
} Shorts;

typedef struct Ints
{
	int32_t		lane[TILE_I16_LANES];
} Ints;

static inline Shorts
shorts_load(const int16_t *p)
{
	Shorts		result;

	memcpy(&result, p, sizeof(result));
	return result;
}

static inline Ints
ints_zero(void)
{
	Ints		result = {{0, 0, 0, 0, 0, 0, 0, 0}};

	return result;
}

static inline int32_t
ints_sum(Ints a)
{
	int32_t		sum = 0;

	for (int i = 0; i < TILE_I16_LANES; i++)
		sum += a.lane[i];
	return sum;
}

static inline void
ints_to_tile(const Ints *sum, float *out, size_t ldout)
{
	for (int i = 0; i < TILE_I16_ROWS * 4; i++)
		out[(size_t) (i / 4) * ldout + i % 4] = (float) ints_sum(sum[i]);
}

static inline Ints
scalar_add_products(Ints sum, Shorts a, Shorts b)
{
	for (int i = 0; i < TILE_I16_LANES; i++)
		sum.lane[i] += a.lane[i] * b.lane[i];
	return sum;
}

#include "kernel_template.h"
