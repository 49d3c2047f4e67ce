/*-------------------------------------------------------------------------
 *
 * tile_i16.h
 *	  Products of all pairs of two blocks of 16-bit integer rows, written
 *	  once over a vector of some lanes.
 *
 * kernel_template.h includes this file; the file of an instruction set may do
 * so once more, with another prefix and target, for a variant of the tile.
 * Besides these two it defines:
 *
 *	TILE_I16_ROWS		rows of a tile that is held in registers; its columns
 *						are four
 *	TILE_I16_LANES		int16s of a vector: 8, 16 or 32
 *	Shorts, Ints		such a vector, and one of half as many int32s
 *	shorts_load(p)		any alignment
 *	shorts_load_half(p)	with 32 lanes only: 16, and zeros
 *	ints_zero()
 *	ints_to_tile(sum, out, ldout)	the float next to the sum over the lanes of
 *						sum[4 * r + c] goes to out[r * ldout + c], for
 *						r < TILE_I16_ROWS, c < 4
 *	KERNEL(add_products) (sum, a, b)	adds each product of lanes of a and b
 *						to some lane of sum
 *
 * Sums are exact: no part of a product of rows is larger than the product of
 * their lengths (Cauchy-Schwarz), and these are limited.  So all instruction
 * sets give the same bits, in whatever order they add.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "kernel_macros.h"

/*
 * The products of TILE_I16_ROWS rows with four others, of which the first na
 * and nb are wanted.  Rows behind the wanted ones are replaced by the first:
 * one path serves whole tiles and edges.
 */
KERNEL_INLINE void
KERNEL(one_tile_i16) (uint32_t width,
					  const int16_t *a, size_t lda, uint32_t na,
					  const int16_t *b, size_t ldb, uint32_t nb,
					  float *out, size_t ldout)
{
	const int16_t *arow[TILE_I16_ROWS];
	const int16_t *brow[4];
	Ints		sum[TILE_I16_ROWS * 4];
	Shorts		x[TILE_I16_ROWS];
	uint32_t	i = 0;

	kernel_for(c, 4)
		brow[c] = c < nb ? b + c * ldb : b;
	kernel_for(r, TILE_I16_ROWS)
	{
		arow[r] = r < na ? a + r * lda : a;
		kernel_for(c, 4)
			sum[4 * r + c] = ints_zero();
	}

	for (; width - i >= TILE_I16_LANES; i += TILE_I16_LANES)
	{
		kernel_for(r, TILE_I16_ROWS)
			x[r] = shorts_load(arow[r] + i);
		kernel_for(c, 4)
		{
			Shorts		y = shorts_load(brow[c] + i);

			kernel_for(r, TILE_I16_ROWS)
				sum[4 * r + c] = KERNEL(add_products) (sum[4 * r + c], x[r], y);
		}
	}

#if TILE_I16_LANES > 16
	if (i < width)
	{
		kernel_for(r, TILE_I16_ROWS)
			x[r] = shorts_load_half(arow[r] + i);
		kernel_for(c, 4)
		{
			Shorts		y = shorts_load_half(brow[c] + i);

			kernel_for(r, TILE_I16_ROWS)
				sum[4 * r + c] = KERNEL(add_products) (sum[4 * r + c], x[r], y);
		}
	}
#endif

	if (na == TILE_I16_ROWS && nb == 4)
		ints_to_tile(sum, out, ldout);
	else
	{
		float		products[TILE_I16_ROWS * 4];

		ints_to_tile(sum, products, 4);
		for (uint32_t r = 0; r < na; r++)
			memcpy(out + r * ldout, products + 4 * r, nb * sizeof(float));
	}
}

KERNEL_TARGET static void
KERNEL(dot_tile_i16) (uint32_t width,
					  const int16_t *a, size_t lda, uint32_t na,
					  const int16_t *b, size_t ldb, uint32_t nb,
					  float *out, size_t ldout)
{
	for (uint32_t i = 0; i < na; i += TILE_I16_ROWS)
	{
		uint32_t	rows = na - i;

		if (rows > TILE_I16_ROWS)
			rows = TILE_I16_ROWS;
		for (uint32_t j = 0; j < nb; j += 4)
			KERNEL(one_tile_i16) (width, a + i * lda, lda, rows,
								  b + j * ldb, ldb, nb - j < 4 ? nb - j : 4,
								  out + i * ldout + j, ldout);
	}
}
