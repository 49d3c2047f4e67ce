/*-------------------------------------------------------------------------
 *
 * rotation.c
 *	  The random rotation of coded space ("FHT-Kac" of RaBitQ-Library).
 *
 * A code works on coordinates that look alike, whatever the data: a random
 * orthonormal map makes them so.  A dense one would take D^2 steps and 4 D^2
 * bytes; a few cheap orthonormal maps mix as well in D log D steps and D / 2
 * bytes.  With D = rotdim and n the largest power of two <= D, a round is
 *
 *	1. random signs for all coordinates,
 *	2. a Hadamard transform of n of them: the first n in even rounds, the last
 *	   n in odd ones,
 *	3. in odd rounds, if n < D, a rotation by 45 degrees in the plane of each
 *	   pair of coordinates (i, i + D / 2).
 *
 * There are four rounds.  RaBitQ-Library has step 3 in every round; but then
 * a coordinate that the first transform misses may be paired with one that
 * the second misses, and so on, so that a fixed place keeps 1/16 of its
 * square to the end (62 times the fair share at D = 960).  After both
 * transforms no coordinate is left out, and step 3 evens out what they gave
 * to the part that both share and to the others.  Unit vectors come out with
 * a kurtosis of 2.9 to 3.4, whatever D.
 *
 * The transforms and pairs are not normalized; what they lack is made up for
 * by the scale of the signs' multiplication: n^-1/2 for the coordinates of
 * step 2 in their round, and 1/2 for both times of step 3 in the third round.
 *
 * The signs are 4 D bits of a splitmix64 sequence that starts at the seed.
 * A rotation must be the same wherever an index may be copied to: nothing in
 * it depends on the machine but rounding, and not even that among the levels
 * of one machine (see transform.h).
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "transform.h"

#define ROTATION_ROUNDS		4
#define ROTATION_SCALE_ROUND 2	/* the round that scales by 2^-2 */

struct CodeRotation
{
	uint32_t	dim;
	uint32_t	rotdim;
	uint32_t	part;			/* n: coordinates of the Hadamard transform */
	float		part_scale;		/* n^-1/2 */
	uint8_t		signs[];		/* rotdim bits of each round in turn */
};

uint32_t
code_rotated_dim(uint32_t dim)
{
	return (dim + CODE_DIM_ALIGN - 1) / CODE_DIM_ALIGN * CODE_DIM_ALIGN;
}

/* Bytes of memory that code_rotation_init needs. */
size_t
code_rotation_size(const CodeParams *params)
{
	return sizeof(CodeRotation) + ROTATION_ROUNDS * (size_t) params->rotdim / 8;
}

static uint64_t
splitmix64(uint64_t *state)
{
	uint64_t	z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/*
 * Fill memory, which is aligned for a float, with the rotation of params.
 */
CodeRotation *
code_rotation_init(const CodeParams *params, void *memory)
{
	CodeRotation *rotation = (CodeRotation *) memory;
	size_t		nbytes = ROTATION_ROUNDS * (size_t) params->rotdim / 8;
	uint64_t	state = params->seed;
	uint64_t	word = 0;
	size_t		i;

	rotation->dim = params->dim;
	rotation->rotdim = params->rotdim;
	rotation->part = CODE_DIM_ALIGN;
	while (rotation->part <= params->rotdim / 2)
		rotation->part *= 2;
	rotation->part_scale = (float) (1 / sqrt((double) rotation->part));

	for (i = 0; i < nbytes; i++)
	{
		if (i % 8 == 0)
			word = splitmix64(&state);
		rotation->signs[i] = (uint8_t) (word >> (8 * (i % 8)));
	}
	return rotation;
}

/*
 * Rotate dim floats of in to rotdim floats of out.  Coordinates that in does
 * not have are zeros.
 */
void
code_rotate(const CodeRotation *rotation, const float *in, float *out)
{
	const CodeTransform *kernels = code_transform();
	const uint8_t *signs = rotation->signs;
	uint32_t	rotdim = rotation->rotdim;
	uint32_t	part = rotation->part;
	uint32_t	rest = rotdim - part;
	int			round;

	memcpy(out, in, rotation->dim * sizeof(float));
	memset(out + rotation->dim, 0, (rotdim - rotation->dim) * sizeof(float));

	for (round = 0; round < ROTATION_ROUNDS; round++)
	{
		/* the part is at the end in odd rounds, and the rest at the start */
		uint32_t	part_at = (round % 2 == 0) ? 0 : rest;
		uint32_t	rest_at = (round % 2 == 0) ? part : 0;
		float		scale = 1;

		if (rest > 0 && round == ROTATION_SCALE_ROUND)
			scale = 0.5f;

		kernels->flip(part, out + part_at, signs + part_at / 8,
					  scale * rotation->part_scale);
		kernels->flip(rest, out + rest_at, signs + rest_at / 8, scale);
		kernels->hadamard(part, out + part_at);
		if (rest > 0 && round % 2 == 1)
			kernels->givens(rotdim / 2, out);
		signs += rotdim / 8;
	}
}
