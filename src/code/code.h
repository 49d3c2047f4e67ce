/*-------------------------------------------------------------------------
 *
 * code.h
 *	  Residual neighbour codes: rotation, encoding, columnar blocks, scoring.
 *
 * A node c keeps for each of its neighbours o a short code of the residual
 * r = o - c, so that a search standing at c estimates the distance from the
 * query to every neighbour from c's own page (RaBitQ, SIGMOD 2024, with the
 * node as origin as in SymphonyQG, SIGMOD 2025).
 *
 * All vectors that enter here are in "coded space": what fng makes of a row
 * (as it is, normalized, or with one more coordinate for inner product),
 * minus the index's centre, and then rotated by code_rotate.
 *
 * A code is a grid point x in {+-1/2, +-3/2, ...}^m of B bits per
 * coordinate over the first m ("coded") of the rotated coordinates,
 * stored as u = x + (2^B - 1)/2 in 0 .. 2^B - 1.  With
 *
 *		f = |r|^2 / <x, r>
 *
 * the estimate <r, y> ~ f <x, y> is unbiased over the random rotation.  An
 * edge stores two factors, so that for a query q in coded space
 *
 *		estimate = base + add + mul * S,		S = <x, q>
 *
 *	form CODE_L2:  base = |q - c|^2, add = |r|^2 + 2 f <x, c>, mul = -2 f
 *				   estimates |q - o|^2
 *	form CODE_IP:  base = -<c, q>, add = f <x, c> - <r, c>, mul = -f
 *				   estimates -<o, q>
 *
 * add is kept as float32, mul as a float16 relative to a float32 scale of the
 * node.  The query is rotated and quantized once per search (int8 for the dot
 * layout, u8 tables of 4-coordinate subset sums for FastScan), never per node.
 *
 * Columnar blocks hold 32 neighbours ("lanes"; a last block may hold 16), so
 * one load serves all of them; every level reads the same bytes:
 *
 *	B = 1	 "FastScan": per 4 coordinates one row of 4-bit groups, looked up
 *			 by byte shuffles.
 *	B = 2, 4, 8	 "dot": rows of 4-byte groups of 4 coordinates, multiplied by
 *			 dpbusd or maddubs.
 *
 * The exact bytes are described at the top of block.c.  Integer sums are
 * bit-equal on all levels, and S is computed from them by one shared formula.
 *
 * No server header, no allocation: sizes are asked, memory is the caller's.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_CODE_H
#define DESCARTES_CODE_H

#include "../distance/distance.h"

#define CODE_LANES			32	/* neighbours in a full block */
#define CODE_HALF_LANES		16	/* neighbours in a half block */
#define CODE_DIM_ALIGN		16	/* rotated and coded dimensions */

typedef enum CodeForm
{
	CODE_L2,
	CODE_IP
} CodeForm;

/*
 * What fixes a code, all kept in the index's meta page.
 */
typedef struct CodeParams
{
	uint32_t	dim;			/* coordinates of coded space */
	uint32_t	rotdim;			/* code_rotated_dim(dim) */
	uint32_t	coded;			/* m: multiple of 16, <= rotdim */
	uint32_t	bits;			/* B: 1, 2, 4 or 8 */
	uint64_t	seed;			/* of the rotation */
} CodeParams;

/* dim rounded up to a multiple of CODE_DIM_ALIGN. */
extern uint32_t code_rotated_dim(uint32_t dim);

/*
 * Rotation: four rounds of sign flip and fast Hadamard transform of the
 * largest power of two (first and last part in turn), after every second one
 * a Givens rotation of the halves (see rotation.c; after the "FHT-Kac" of
 * RaBitQ-Library).  Orthonormal, fixed by the seed, the same on every machine
 * up to rounding.  code_rotation_init fills code_rotation_size bytes; code_rotate
 * reads dim floats and writes rotdim.  in and out must not overlap.
 */
typedef struct CodeRotation CodeRotation;

extern size_t code_rotation_size(const CodeParams *params);
extern CodeRotation *code_rotation_init(const CodeParams *params, void *memory);
extern void code_rotate(const CodeRotation *rotation, const float *in, float *out);

/*
 * Codes as rows: code_row_bytes(params) = coded * bits / 8 bytes of one
 * neighbour, little-endian within a byte, coordinate 0 in the low bits.
 * This is the format of pending edges and of what is handed to a block.
 *
 * code_encode writes the row of o as seen from c (both rotated, rotdim
 * floats) and its two factors.  r = 0 gives a row of zeros, mul = 0 and
 * an exact add.
 */
extern size_t code_row_bytes(const CodeParams *params);
extern void code_encode(const CodeParams *params, CodeForm form,
						const float *c, const float *o,
						uint8_t *row, float *add, float *mul);

/*
 * What rows tell of residuals (decode.c).  code_decode writes the row's point
 * of the grid, up to a constant factor, as `coded` floats.
 * code_residual_norm is the length of the residual whose factor is mul, as
 * far as mul tells.  code_cosines turns cosines of angles between such points
 * into those to be expected between the residuals.
 */
extern void code_decode(const CodeParams *params, const uint8_t *row, float *x);
extern float code_residual_norm(const CodeParams *params, CodeForm form, float mul);
extern void code_cosines(const CodeParams *params, uint32_t n, float *cosines);

/*
 * Of the grid: rho^2 of its B bits, without what truncation to m coordinates
 * costs; and rho |x| of a row, by which its f is |r|.
 */
extern float code_rho2(const CodeParams *params);
extern float code_length(const CodeParams *params);

/*
 * sigma = sqrt(1 / rho^2 - 1) / sqrt(D - 1), the standard deviation of an
 * estimate in units of 2 |r| |q - c| (CODE_L2).
 */
extern float code_noise(const CodeParams *params);

/*
 * The standard deviation of an estimate is about
 * code_error_scale() * |mul| * |q - c| (CODE_L2; CODE_IP likewise), where
 * B = 8 adds the rounding of the query, which is of the same order.
 */
extern float code_error_scale(const CodeParams *params);

/*
 * Blocks.  lanes is CODE_LANES or CODE_HALF_LANES; a block takes
 * lanes * code_row_bytes bytes.  put and get move one lane's row; fill writes
 * the first n lanes, and zeros to the others.
 */
extern size_t code_block_bytes(const CodeParams *params, uint32_t lanes);
extern void code_block_put(const CodeParams *params, uint8_t *block,
						   uint32_t lanes, uint32_t lane, const uint8_t *row);
extern void code_block_fill(const CodeParams *params, uint8_t *block,
							uint32_t lanes, const uint8_t *const *rows,
							uint32_t n);
extern void code_block_get(const CodeParams *params, const uint8_t *block,
						   uint32_t lanes, uint32_t lane, uint8_t *row);

/*
 * A query prepared for scoring: filled from a rotated query (rotdim floats)
 * into code_query_size bytes of the caller's, 64-byte alignment preferred.
 */
typedef struct CodeQuery CodeQuery;

extern size_t code_query_size(const CodeParams *params);
extern CodeQuery *code_query_init(const CodeParams *params, const float *q,
								  void *memory);

/*
 * S of all lanes of a block (out has `lanes` floats), or of one row.  For the
 * same code both give the same bits, at every SIMD level.
 */
extern void code_score_block(const CodeParams *params, const CodeQuery *query,
							 const uint8_t *block, uint32_t lanes, float *out);
extern float code_score_row(const CodeParams *params, const CodeQuery *query,
							const uint8_t *row);

/*
 * est[i] = base + add[i] + scale * half(mul[i]) * score[i], i < n <= 32.
 * Arrays may have any alignment.  Returns the set of i with est[i] < bound,
 * as bits: never one whose estimate is infinite or no number.
 */
extern uint32_t code_estimate(uint32_t n, float base, float scale,
							  const float *add, const uint16_t *mul,
							  const float *score, float bound, float *est);

/*
 * The place of the least of n > 0 values, the first of equal ones.  None is
 * NaN.
 */
extern uint32_t code_least(uint32_t n, const float *values);

#endif							/* DESCARTES_CODE_H */
