/*-------------------------------------------------------------------------
 *
 * decode.c
 *	  What codes tell of the residuals that they stand for.
 *
 * With x the row's point of the grid and f its factor, f x is the residual r
 * but for an error that has no preferred direction (encode.c).  So |r|
 * follows from the factors, and the angle between two residuals of one
 * centre from the angle between their rows.
 *
 * Rows of one bit are signs, and for normal variables of correlation c the
 * signs have a correlation of 2 / pi * asin(c).  With more bits, rows of
 * residuals at cosine c have a cosine of about rho^2 c while c is small, and
 * of one if c is one; between the two a cubic serves.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>

#include "code.h"
#include "code_template.h"

/*
 * Write the row's point of the grid, in units of half a step: `coded` odd
 * numbers as floats.
 */
void
code_decode(const CodeParams *params, const uint8_t *row, float *x)
{
	uint32_t	bits = params->bits;
	uint32_t	mask = (1U << bits) - 1;
	float		middle = (float) mask;
	uint32_t	i;

	for (i = 0; i < params->coded; i++)
	{
		uint32_t	at = i * bits;
		uint32_t	code = (row[at / 8] >> (at % 8)) & mask;

		x[i] = 2.0f * (float) code - middle;
	}
}

/* See code.h. */
float
code_residual_norm(const CodeParams *params, CodeForm form, float mul)
{
	float		f = fabsf(form == CODE_L2 ? mul / 2 : mul);

	return f * code_length(params);
}

/*
 * See code.h.  For one bit sin(pi / 2 c) as a polynomial, good to 2e-4.
 */
void
code_cosines(const CodeParams *params, uint32_t n, float *cosines)
{
	float		excess = 1 / code_rho2(params) - 1;
	float		linear = params->bits == 1 ? 1.5707f : 1 + excess;
	float		cubic = params->bits == 1 ? -0.6441f : -excess;
	float		quintic = params->bits == 1 ? 0.0734f : 0.0f;
	uint32_t	i;

	for (i = 0; i < n; i++)
	{
		float		c = cosines[i];
		float		square;

		c = c > 1.0f ? 1.0f : c;
		c = c < -1.0f ? -1.0f : c;
		square = c * c;
		cosines[i] = c * (linear + square * (cubic + square * quintic));
	}
}
