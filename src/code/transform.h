/*-------------------------------------------------------------------------
 *
 * transform.h
 *	  Internal: the kernels of the rotation and of the encoder, per SIMD level.
 *
 * All levels give the same bits: the order of every addition is fixed, sums
 * go to 16 accumulators in double whatever the vector length, a product of
 * two float32 is exact in double (so that fusing it changes nothing), and no
 * float32 product is followed by an addition.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_CODE_TRANSFORM_H
#define DESCARTES_CODE_TRANSFORM_H

#include "code.h"
#include "code_template.h"

/* All arguments n and half are in floats. */
typedef struct CodeTransform
{
	/* v[i] = +-scale * v[i], minus where bit i of signs is set; n % 16 = 0 */
	void		(*flip) (uint32_t n, float *v, const uint8_t *signs,
						 float scale);
	/* unnormalized fast Hadamard transform; n a power of two, n >= 16 */
	void		(*hadamard) (uint32_t n, float *v);
	/* (v[i], v[i + half]) = (sum, difference); half % 8 = 0 */
	void		(*givens) (uint32_t half, float *v);
	/* with r = o - c: rr = <r, r>, rc = <r, c>; n % 16 = 0 */
	void		(*residual) (uint32_t n, const float *c, const float *o,
							 double *rr, double *rc);

	/*
	 * Write the row of r = o - c, with x = r * inverse_step rounded to the
	 * grid; xr = <x, r>, xc = <x, c>; n % 16 = 0.
	 */
	void		(*quantize) (uint32_t bits, uint32_t n, float inverse_step,
							 const float *c, const float *o,
							 uint8_t *row, double *xr, double *xc);
} CodeTransform;

extern const CodeTransform code_transform_scalar;
#ifdef SIMD_X86_64
extern const CodeTransform code_transform_avx2;
extern const CodeTransform code_transform_avx512;
#endif
#ifdef SIMD_AARCH64
extern const CodeTransform code_transform_neon;
#endif

/* The kernels of the active level. */
extern const CodeTransform *code_transform(void);

#endif							/* DESCARTES_CODE_TRANSFORM_H */
