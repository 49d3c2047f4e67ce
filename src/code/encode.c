/*-------------------------------------------------------------------------
 *
 * encode.c
 *	  Codes of residuals, and the factors of an edge.
 *
 * RaBitQ (SIGMOD 2024 for one bit, SIGMOD 2025 for more).  After the random
 * rotation the coordinates of a residual r of D = rotdim dimensions are close
 * to independent normal variables of deviation |r| / sqrt(D).  So the grid
 * that comes closest to the direction of r, the one with the largest
 *
 *		rho = <x, r> / (|x| |r|),
 *
 * has a step which is a constant of B times that deviation: no search for it
 * is needed.  The deviation is taken from the coded coordinates themselves.
 * For B = 1 the step does not matter, x is the signs.  Against the best step
 * of each r, sqrt(1 / rho^2 - 1) is larger by 0.4 % for B = 2, 6 % for B = 4
 * and 40 % for B = 8 (D = 128; 2, 18 and 70 % at D = 32), where the rounding
 * of the query is larger still; in return |x| is the same for all r, which
 * code_error_scale uses.
 *
 * What x lacks is orthogonal to r and, over the random rotation, has no
 * preferred direction, so that with f = |r|^2 / <x, r>
 *
 *		f <x, y> = <r, y> + error,		E error = 0,
 *		deviation of the error = |r| |y| sqrt(1 / rho^2 - 1) / sqrt(D - 1).
 *
 * With m < D coded coordinates all this holds with x = 0 in the others; rho^2
 * shrinks to the fraction m / D.
 *
 * Range.  All sums are in double.  mul (up to 2 |r| / (rho |x|)) is a normal
 * float32 for |r| from 1e-35 to 1e37; residuals whose mean square coordinate
 * is smaller than 1e-37 get no code, as if they were zero.  add is a squared
 * distance (CODE_L2) or a product (CODE_IP) and float32, so it becomes zero
 * when everything is smaller than about 1e-23 and is clamped to +-FLT_MAX
 * when something is larger than about 1e19: estimates stay free of NaN, but
 * say nothing there.  A host that wants them good at any magnitude scales
 * coded space by a power of two.
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "transform.h"

/*
 * Constants of the B-bit grid {+-1/2, +-3/2, ..} * step for a standard normal
 * variable: the step that maximizes rho^2, that 1 - rho^2, and the root of
 * the mean square of x.
 */
typedef struct CodeGrid
{
	float		step;
	double		loss;			/* 1 - rho^2 */
	double		rms;			/* of x */
} CodeGrid;

static const CodeGrid *
code_grid(uint32_t bits)
{
	static const CodeGrid one = {1.0f, 0.3633802276, 0.5};
	static const CodeGrid two = {0.99575f, 0.1188460513, 0.9427318066};
	static const CodeGrid four = {0.3352f, 0.01154288443, 2.966025215};
	static const CodeGrid eight = {0.03076125f, 8.768618773e-05, 32.50700486};

	return bits == 1 ? &one : bits == 2 ? &two : bits == 4 ? &four : &eight;
}

/* rho^2 that is to be expected of the code of params. */
static double
expected_rho2(const CodeParams *params)
{
	return (1 - code_grid(params->bits)->loss) *
		params->coded / params->rotdim;
}

/* The nearest finite float32; of NaN the largest. */
static float
finite_float(double value)
{
	if (value < -FLT_MAX)
		return -FLT_MAX;
	if (!(value <= FLT_MAX))
		return FLT_MAX;
	return (float) value;
}

/* Bytes of one neighbour's code. */
size_t
code_row_bytes(const CodeParams *params)
{
	return (size_t) params->coded * params->bits / 8;
}

/*
 * Write the row of o as seen from c, both rotated and rotdim floats, and the
 * factors add and mul of its edge.  See code.h.
 */
void
code_encode(const CodeParams *params, CodeForm form,
			const float *c, const float *o,
			uint8_t *row, float *add, float *mul)
{
	const CodeTransform *kernels = code_transform();
	const CodeGrid *grid = code_grid(params->bits);
	uint32_t	m = params->coded;
	double		coded_rr;
	double		coded_rc;
	double		rr;
	double		rc;
	double		rms;
	double		xr;
	double		xc;
	double		least_xr2;
	double		f;

	kernels->residual(m, c, o, &coded_rr, &coded_rc);
	rr = coded_rr;
	rc = coded_rc;
	if (m < params->rotdim)
	{
		double		uncoded_rr;
		double		uncoded_rc;

		kernels->residual(params->rotdim - m, c + m, o + m,
						  &uncoded_rr, &uncoded_rc);
		rr += uncoded_rr;
		rc += uncoded_rc;
	}

	rms = sqrt(coded_rr / m);
	if (!(rms >= 1e-37) || !(rr <= DBL_MAX))
	{
		/* nothing to code, or not finite */
		memset(row, 0, code_row_bytes(params));
		*add = finite_float(form == CODE_L2 ? rr : -rc);
		*mul = 0;
		return;
	}

	kernels->quantize(params->bits, m, (float) (1 / (grid->step * rms)),
					  c, o, row, &xr, &xc);

	/*
	 * r may by chance lie almost outside of the coded coordinates, where f
	 * would make noise of whatever is left: bound it at some multiple of what
	 * is expected.
	 */
	least_xr2 = rr * m * expected_rho2(params) * grid->rms * grid->rms / 64;
	f = rr / (xr > 0 && xr * xr > least_xr2 ? xr : sqrt(least_xr2));

	if (form == CODE_L2)
	{
		*add = finite_float(rr + 2 * f * xc);
		*mul = finite_float(-2 * f);
	}
	else
	{
		*add = finite_float(f * xc - rc);
		*mul = finite_float(-f);
	}
}

/* See code.h. */
float
code_rho2(const CodeParams *params)
{
	return (float) (1 - code_grid(params->bits)->loss);
}

/* See code.h. */
float
code_length(const CodeParams *params)
{
	return (float) (code_grid(params->bits)->rms * sqrt(params->coded) *
					sqrt(expected_rho2(params)));
}

/* See code.h. */
float
code_noise(const CodeParams *params)
{
	return (float) sqrt((1 / expected_rho2(params) - 1) / (params->rotdim - 1));
}

/*
 * The deviation of an estimate is 2 |r| |t| sigma for CODE_L2, with t = q - c
 * and sigma that of code_noise, and half of that for CODE_IP.  From |mul| = 2 f (or f) and f = |r| / (rho |x|) follows
 * |r| = f rho |x|, hence the factor of |mul| |t| below.
 */
float
code_error_scale(const CodeParams *params)
{
	double		rho2 = expected_rho2(params);
	double		x_norm = code_grid(params->bits)->rms * sqrt(params->coded);

	return (float) (sqrt((1 - rho2) / (params->rotdim - 1)) * x_norm);
}
