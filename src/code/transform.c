/*-------------------------------------------------------------------------
 *
 * transform.c
 *	  Choice of the rotation and encoder kernels.
 *
 *-------------------------------------------------------------------------
 */
#include "transform.h"

const CodeTransform *
code_transform(void)
{
	switch (simd_active_level())
	{
#ifdef SIMD_X86_64
		case SIMD_AVX2:
			return &code_transform_avx2;
		case SIMD_AVX512:
			return &code_transform_avx512;
#endif
#ifdef SIMD_AARCH64
		case SIMD_NEON:
			return &code_transform_neon;
#endif
		default:
			return &code_transform_scalar;
	}
}
