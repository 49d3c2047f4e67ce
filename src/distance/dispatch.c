/*-------------------------------------------------------------------------
 *
 * dispatch.c
 *	  Which instruction sets this CPU has, and which one is in use.
 *
 * The compiler's run-time support asks CPUID, and XGETBV for whether the
 * operating system saves the wide registers.  NEON is part of every arm64.
 *
 *-------------------------------------------------------------------------
 */
#include "distance.h"

#ifdef SIMD_X86_64
#include <cpuid.h>
#endif

/* The tables of this architecture, by level. */
static const DistanceKernels *const tables[SIMD_NLEVELS] = {
	[SIMD_SCALAR] = &distance_scalar,
#ifdef SIMD_AARCH64
	[SIMD_NEON] = &distance_neon,
#endif
#ifdef SIMD_X86_64
	[SIMD_AVX2] = &distance_avx2,
	[SIMD_AVX512] = &distance_avx512,
#endif
};

static const DistanceKernels *active = &distance_scalar;

#ifdef SIMD_X86_64

/* The compilers' own test does not know F16C everywhere. */
static bool
has_f16c(void)
{
	unsigned int eax;
	unsigned int ebx;
	unsigned int ecx;
	unsigned int edx;

	return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C) != 0;
}

static bool
has_avx2(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
		has_f16c();
}

static bool
has_avx512(void)
{
	return has_avx2() &&
		__builtin_cpu_supports("avx512f") &&
		__builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("avx512vl");
}

#endif							/* SIMD_X86_64 */

/* What the CPU has, asked once: CPUID traps where the machine is virtual. */
typedef struct SimdFeatures
{
	bool		known;
	bool		level[SIMD_NLEVELS];
	bool		avx512_vnni;
} SimdFeatures;

static const SimdFeatures *
features(void)
{
	static SimdFeatures cached;

	if (!cached.known)
	{
		cached.level[SIMD_SCALAR] = true;
#ifdef SIMD_AARCH64
		cached.level[SIMD_NEON] = true;
#endif
#ifdef SIMD_X86_64
		cached.level[SIMD_AVX2] = has_avx2();
		cached.level[SIMD_AVX512] = has_avx512();
		cached.avx512_vnni = cached.level[SIMD_AVX512] &&
			__builtin_cpu_supports("avx512vnni");
#endif
		cached.known = true;
	}
	return &cached;
}

bool
simd_level_available(SimdLevel level)
{
	return (unsigned) level < SIMD_NLEVELS && features()->level[level];
}

bool
simd_has_avx512_vnni(void)
{
	return features()->avx512_vnni;
}

SimdLevel
simd_best_level(void)
{
	int			level = SIMD_NLEVELS - 1;

	while (!simd_level_available((SimdLevel) level))
		level--;
	return (SimdLevel) level;
}

const char *
simd_level_name(SimdLevel level)
{
	switch (level)
	{
		case SIMD_SCALAR:
			return "scalar";
		case SIMD_NEON:
			return "neon";
		case SIMD_AVX2:
			return "avx2";
		case SIMD_AVX512:
			return "avx512";
	}
	return "unknown";
}

bool
simd_set_level(SimdLevel level)
{
	const DistanceKernels *kernels = distance_kernels_at(level);

	if (kernels == NULL)
		return false;
	active = kernels;
	return true;
}

SimdLevel
simd_active_level(void)
{
	return active->level;
}

const DistanceKernels *
distance_kernels(void)
{
	return active;
}

const DistanceKernels *
distance_kernels_at(SimdLevel level)
{
	if (!simd_level_available(level))
		return NULL;
#ifdef SIMD_X86_64
	if (level == SIMD_AVX512 && simd_has_avx512_vnni())
		return &distance_avx512_vnni;
#endif
	return tables[level];
}
