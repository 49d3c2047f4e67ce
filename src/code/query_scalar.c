/*-------------------------------------------------------------------------
 *
 * query_scalar.c
 *	  Preparation of a query in plain C, four lanes at a time.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "score.h"

#define QUERY_PREFIX		code_scalar
#define QUERY_TARGET
#define QUERY_LANES			4

typedef struct Floats
{
	float		lane[4];
} Floats;

typedef struct Ints
{
	int32_t		lane[4];
} Ints;

static inline Floats
floats_load(const float *p)
{
	Floats		a;

	memcpy(&a, p, sizeof(a));
	return a;
}

static inline Ints
floats_magnitude(Floats a)
{
	Ints		bits;

	memcpy(&bits, &a, sizeof(bits));
	for (int k = 0; k < 4; k++)
		bits.lane[k] &= INT32_MAX;
	return bits;
}

static inline Ints
floats_ranges(Floats a)
{
	float		low = fabsf(a.lane[0]) + fabsf(a.lane[1]);
	float		high = fabsf(a.lane[2]) + fabsf(a.lane[3]);
	float		range = low + high;

	for (int k = 0; k < 4; k++)
		a.lane[k] = range;
	return floats_magnitude(a);
}

static inline Ints
floats_round(Floats a, float scale)
{
	Ints		v;

	for (int k = 0; k < 4; k++)
		v.lane[k] = (int32_t) lrintf(a.lane[k] * scale);
	return v;
}

static inline Ints
ints_zero(void)
{
	Ints		a = {{0}};

	return a;
}

static inline Ints
ints_max(Ints a, Ints b)
{
	for (int k = 0; k < 4; k++)
		a.lane[k] = a.lane[k] > b.lane[k] ? a.lane[k] : b.lane[k];
	return a;
}

static inline Ints
ints_add(Ints a, Ints b)
{
	for (int k = 0; k < 4; k++)
		a.lane[k] += b.lane[k];
	return a;
}

static inline int32_t
ints_largest(Ints a)
{
	int32_t		largest = a.lane[0];

	for (int k = 1; k < 4; k++)
		largest = a.lane[k] > largest ? a.lane[k] : largest;
	return largest;
}

static inline int32_t
ints_sum(Ints a)
{
	return a.lane[0] + a.lane[1] + a.lane[2] + a.lane[3];
}

static inline Ints
ints_fall(Ints a)
{
	int32_t		fall = 0;

	for (int k = 0; k < 4; k++)
		fall += a.lane[k] < 0 ? -a.lane[k] : 0;
	for (int k = 0; k < 4; k++)
		a.lane[k] = fall;
	return a;
}

static inline Ints
ints_abs(Ints a)
{
	for (int k = 0; k < 4; k++)
		a.lane[k] = a.lane[k] < 0 ? -a.lane[k] : a.lane[k];
	return a;
}

static inline void
ints_store(int32_t *p, Ints a)
{
	memcpy(p, &a, sizeof(a));
}

static inline void
ints_store_bytes(int8_t *p, Ints a)
{
	for (int k = 0; k < 4; k++)
		p[k] = (int8_t) a.lane[k];
}

/* Each value doubles the number of sums. */
static inline void
store_sums(uint8_t *lut, const int32_t *values, int32_t least)
{
	int32_t		sum[16];

	sum[0] = least;
	for (int k = 0; k < 4; k++)
		for (int j = 0; j < 1 << k; j++)
			sum[(1 << k) + j] = sum[j] + values[k];
	for (int j = 0; j < 16; j++)
		lut[j] = (uint8_t) (sum[j] >> 8);
}

#include "query_template.h"
