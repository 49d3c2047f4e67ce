/*-------------------------------------------------------------------------
 *
 * kernel_macros.h
 *	  Names and loops of the templates of kernels.
 *
 * KERNEL_PREFIX and KERNEL_TARGET are those that are defined where a macro is
 * used (see kernel_template.h).
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_KERNEL_MACROS_H
#define DESCARTES_KERNEL_MACROS_H

#define KERNEL_JOIN_(a, b)	a##_##b
#define KERNEL_JOIN(a, b)	KERNEL_JOIN_(a, b)
#define KERNEL(name)		KERNEL_JOIN(KERNEL_PREFIX, name)
#define KERNEL_TABLE		KERNEL_JOIN(distance, KERNEL_PREFIX)
#define KERNEL_INLINE		KERNEL_TARGET static inline __attribute__((always_inline))

/*
 * A loop with constant bounds, to be unrolled.  clang does so by itself, gcc
 * does not at -O2.
 */
#ifdef __clang__
#define KERNEL_UNROLL
#else
#define KERNEL_UNROLL		_Pragma("GCC unroll 16")
#endif
#define kernel_for(i, n) \
	KERNEL_UNROLL \
	for (uint32_t i = 0; i < (n); i++)

#endif							/* DESCARTES_KERNEL_MACROS_H */
