/*-------------------------------------------------------------------------
 *
 * transform_scalar.c
 *	  Rotation and encoder kernels in plain C.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "transform.h"

#define TRANSFORM_PREFIX	scalar
#define TRANSFORM_TARGET

typedef float Vec;

#define VEC_LANES			1

static inline Vec
vec_load(const float *p)
{
	return *p;
}

static inline void
vec_store(float *p, Vec v)
{
	*p = v;
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
vec_scale(Vec a, float scale)
{
	return a * scale;
}

static inline Vec
vec_flip(Vec v, const uint8_t *signs, uint32_t i)
{
	return (signs[i / 8] >> (i % 8)) & 1 ? -v : v;
}

static inline Vec
vec_hadamard(Vec v)
{
	return v;
}

/* clamped first, so that the conversion stays within int */
static inline Vec
vec_grid(Vec t, float limit)
{
	float		down;

	if (t < -limit)
		return -limit;
	if (!(t < limit))
		return limit;
	down = (float) (int) t;
	return (t < down ? down - 1 : down) + 0.5f;
}

static inline void
vec_store_codes(uint8_t *u, Vec x, float limit)
{
	*u = (uint8_t) (x + limit);
}

typedef double Wide;

static inline Wide
wide_zero(void)
{
	return 0;
}

static inline Wide
wide_add_product(Wide w, Vec a, Vec b)
{
	return w + (double) a * (double) b;
}

static inline double
wide_total(const Wide *sums)
{
	double		part[16];

	memcpy(part, sums, sizeof(part));
	for (int n = 8; n > 0; n /= 2)
	{
		for (int k = 0; k < n; k++)
			part[k] += part[k + n];
	}
	return part[0];
}

#include "transform_template.h"
