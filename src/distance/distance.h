/*-------------------------------------------------------------------------
 *
 * distance.h
 *	  The contract of the distance kernels.
 *
 * A kernel is a pure function of arrays of float32 or int16.  It allocates
 * nothing, raises nothing and accepts any alignment.  All levels answer the
 * same up to rounding; within one level the answer depends on the values and
 * on dim alone (never on the address), so the operator, the index and the
 * exact scan see the same bits.
 *
 * One level is active at a time: the best one this CPU has, or a lower one
 * that descartes.simd forces.  Callers fetch distance_kernels() once per
 * operation, not once per pair.
 *
 * This header includes no server header (see src/README, "The house").
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_DISTANCE_H
#define DESCARTES_DISTANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The architectures with kernels of their own; all others run scalar code. */
#if defined(__x86_64__)
#define SIMD_X86_64
#elif defined(__aarch64__)
#define SIMD_AARCH64
#endif

/* SIMD levels, in the order in which "auto" prefers a later one. */
typedef enum SimdLevel
{
	SIMD_SCALAR = 0,
	SIMD_NEON,
	SIMD_AVX2,					/* AVX2 + FMA + F16C */
	SIMD_AVX512					/* AVX-512 F, BW, DQ, VL; VNNI where present */
} SimdLevel;

#define SIMD_NLEVELS	(SIMD_AVX512 + 1)

/*
 * Kernels over float32.  dim >= 1.
 *
 * l2_squared	sum (a-b)^2
 * dot			sum a*b
 * cosine		1 - dot/(|a||b|), the similarity clamped to [-1, 1] and the
 *				division done in double; NaN when a norm is zero
 * l1			sum |a-b|
 * norm			sqrt(sum a*a), accumulated in double
 * l2_squared_many  out[i] = l2_squared(query, base + i * stride), i < n;
 *				stride in floats.  Same bits as l2_squared.
 * dot_tile		out[i * ldout + j] = a_i . b_j for i < na, j < nb, where
 *				a_i = a + i * lda and b_j = b + j * ldb (lda, ldb and ldout in
 *				floats).  For all pairs of two blocks of rows: several times
 *				faster per pair than dot while the blocks fit the L2 cache.
 *				It may round differently from dot, but a pair's product
 *				depends on dim and the two rows alone, not on their place in
 *				the blocks, and is symmetric.
 *
 * and over int16, for distances that need not be exact:
 *
 * quantize_i16	turns a row of dim floats into width integers, with
 *				v = x * scale - origin (a scale that is a power of two; dim
 *				floats, or NULL for none):
 *				out[k] = v[k] / unit, rounded to nearest even, 0 from dim on.
 *				The unit is the least with which the integers are at most
 *				I16_MOST and the row about I16_LENGTH long, 0 for a row of
 *				zeros.  norm is the square of the length of v; where that is
 *				below I16_LEAST_NORM, v counts as zero.  square is that of
 *				out, (float) n * (unit * unit), n the sum of the squares of
 *				the integers.  Values are finite and of magnitudes up to about
 *				one after scaling, width is a multiple of 16 not below dim.
 * dot_tile_i16	like dot_tile, for rows of width int16s (lda and ldb in int16s):
 *				each product is the exact sum of the products of integers,
 *				then converted to float.  So all levels give the same bits.
 *				No row is longer than 46,340 (the root of 2^31) and no integer
 *				is -32,768, which holds for what quantize_i16 makes of up to
 *				460,000 dimensions.  Any alignment will do; rows that start at
 *				a multiple of 64 bytes (lda and ldb multiples of 32) are a
 *				little faster.
 * distances_i16	products become squared distances, those of a row with n
 *				others: products[j] = max(0, (square + squares[j]) -
 *				2 * (products[j] * (unit * units[j]))), rounded as written, so
 *				0 for equal rows with equal units.
 * near_i16		distances_i16, and hits receives, in order, the j of those
 *				below limit or below limits[j].  Returns their number.
 */
#define I16_LENGTH			46000.0f
#define I16_MOST			32767.0f
#define I16_LEAST_NORM		1e-30f

typedef struct DistanceKernels
{
	SimdLevel	level;
	float		(*l2_squared) (uint32_t dim, const float *a, const float *b);
	float		(*dot) (uint32_t dim, const float *a, const float *b);
	double		(*cosine) (uint32_t dim, const float *a, const float *b);
	float		(*l1) (uint32_t dim, const float *a, const float *b);
	double		(*norm) (uint32_t dim, const float *a);
	void		(*l2_squared_many) (uint32_t dim, const float *query,
									const float *base, size_t stride,
									uint32_t n, float *out);
	void		(*dot_tile) (uint32_t dim,
							 const float *a, size_t lda, uint32_t na,
							 const float *b, size_t ldb, uint32_t nb,
							 float *out, size_t ldout);
	void		(*dot_tile_i16) (uint32_t width,
								 const int16_t *a, size_t lda, uint32_t na,
								 const int16_t *b, size_t ldb, uint32_t nb,
								 float *out, size_t ldout);
	void		(*distances_i16) (uint32_t n, float *products,
								  float square, float unit,
								  const float *squares, const float *units);
	uint32_t	(*near_i16) (uint32_t n, float *products,
							 float square, float unit,
							 const float *squares, const float *units,
							 float limit, const float *limits,
							 uint32_t *hits);
	void		(*quantize_i16) (uint32_t dim, const float *x, float scale,
								 const float *origin, uint32_t width,
								 int16_t *out, float *norm, float *unit,
								 float *square);
} DistanceKernels;

/* The active table.  Never NULL: scalar before simd_set_level is called. */
extern const DistanceKernels *distance_kernels(void);

/* The table of one level, or NULL if this CPU or this binary lacks it. */
extern const DistanceKernels *distance_kernels_at(SimdLevel level);

/* The best level of this CPU (the operating system's state included). */
extern SimdLevel simd_best_level(void);

/* True if this CPU runs the level. */
extern bool simd_level_available(SimdLevel level);

/* True if the CPU has AVX-512 VNNI (a choice within the level AVX-512). */
extern bool simd_has_avx512_vnni(void);

/* "scalar", "neon", "avx2", "avx512". */
extern const char *simd_level_name(SimdLevel level);

/*
 * Make a level the active one, for distance/ and code/ alike.  Returns false
 * and changes nothing if the CPU lacks it.
 */
extern bool simd_set_level(SimdLevel level);
extern SimdLevel simd_active_level(void);

/*
 * The tables themselves, for dispatch.c only.  A table of a foreign
 * architecture does not exist: ask distance_kernels_at.
 */
extern const DistanceKernels distance_scalar;
#ifdef SIMD_X86_64
extern const DistanceKernels distance_avx2;
extern const DistanceKernels distance_avx512;
extern const DistanceKernels distance_avx512_vnni;
#endif
#ifdef SIMD_AARCH64
extern const DistanceKernels distance_neon;
#endif

#endif							/* DESCARTES_DISTANCE_H */
