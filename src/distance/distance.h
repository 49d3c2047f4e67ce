/*-------------------------------------------------------------------------
 *
 * distance.h
 *	  The contract of the distance kernels.
 *
 * A kernel is a pure function of two arrays of float32.  It allocates
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
 */
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
} DistanceKernels;

/* The active table.  Never NULL: scalar before distance_set_level is called. */
extern const DistanceKernels *distance_kernels(void);

/* The table of one level, or NULL if this CPU or this binary lacks it. */
extern const DistanceKernels *distance_kernels_at(SimdLevel level);

/* The best level of this CPU (the operating system's state included). */
extern SimdLevel simd_best_level(void);

/* True if this CPU runs the level. */
extern bool simd_level_available(SimdLevel level);

/* True if the CPU has AVX-512 VNNI (code/ chooses a kernel by it). */
extern bool simd_has_avx512_vnni(void);

/* "scalar", "neon", "avx2", "avx512". */
extern const char *simd_level_name(SimdLevel level);

/*
 * Make a level the active one, for distance/ and code/ alike.  Returns false
 * and changes nothing if the CPU lacks it.
 */
extern bool simd_set_level(SimdLevel level);
extern SimdLevel simd_active_level(void);

/* Kernels' tables; a level that the binary lacks is compiled as NULL. */
extern const DistanceKernels distance_scalar;
extern const DistanceKernels distance_avx2;
extern const DistanceKernels distance_avx512;
extern const DistanceKernels distance_neon;

#endif							/* DESCARTES_DISTANCE_H */
