/*-------------------------------------------------------------------------
 *
 * kernel_template.h
 *	  The distance kernels, written once over a vector of some lanes.
 *
 * The file of an instruction set defines a vector type and its primitives,
 * includes this file, and gets all kernels and their table.  It defines:
 *
 *	KERNEL_PREFIX		prefix of all names: scalar, avx2, ...
 *	KERNEL_LEVEL		the SimdLevel of the table
 *	KERNEL_TARGET		function attribute of the instruction set, or nothing
 *	KERNEL_SUMS			independent vectors of partial sums per result, enough
 *						to hide the latency of an addition
 *	KERNEL_ROWS			rows that l2_squared_many scores in one pass
 *	KERNEL_TILE_ROWS	rows of a tile of dot_tile that is held in registers;
 *						its columns are four
 *
 *	Vec, VEC_LANES		a vector of VEC_LANES float32
 *	vec_zero()
 *	vec_load(p)			any alignment
 *	vec_load_part(p, n)	the first n < VEC_LANES, zeros in the other lanes; it
 *						touches no memory behind them
 *	vec_store(p, a)		any alignment
 *	vec_set(x)			x in all lanes
 *	vec_add(a, b), vec_sub(a, b), vec_mul(a, b), vec_max(a, b), vec_abs(a)
 *	vec_fma(a, b, c)	a * b + c
 *	vec_less(a, b)		bit j: is a[j] < b[j]?
 *	vec_sum(a)			sum over the lanes
 *	vec_sum4(a, out)	out[j] = sum over the lanes of a[j], j < 4, all four
 *						in the same order
 *	vec_most(a)			the largest lane
 *	vec_to_i16(a, p)	VEC_LANES int16s, each the nearest (even) to a lane of
 *						magnitude below 32767.5
 *
 *	ints_sum(a)			sum over the lanes; the rest about integers is told in
 *						tile_i16.h
 *
 *	Wide				partial sums in double, of some lanes each
 *	wide_zero()
 *	wide_add_squares(w, a)	adds the square of each lane of a
 *	wide_sum(w)
 *
 * Coordinate i always goes to partial sum (i / VEC_LANES) % KERNEL_SUMS, lane
 * i % VEC_LANES, and partial sums are added in a fixed order, with every
 * fused operation spelt out.  So the bits of a result depend on the values
 * and on dim alone, and are the same for one row and for many.
 *
 * Loops over partial sums and rows have constant bounds and are unrolled, so
 * that the arrays of sums live in registers.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "kernel_macros.h"
#include "tile_i16.h"

#define KERNEL_BLOCK		(KERNEL_SUMS * VEC_LANES)

/* What is summed up over the coordinates. */
typedef enum KernelTerm
{
	TERM_L2_SQUARED,
	TERM_DOT,
	TERM_L1
} KernelTerm;

/* sum + term(a, b); term is a constant wherever this is inlined. */
KERNEL_INLINE Vec
KERNEL(add_term) (KernelTerm term, Vec sum, Vec a, Vec b)
{
	Vec			diff;

	if (term == TERM_DOT)
		return vec_fma(a, b, sum);
	diff = vec_sub(a, b);
	if (term == TERM_L1)
		return vec_add(sum, vec_abs(diff));
	return vec_fma(diff, diff, sum);
}

/* A whole vector if there are that many coordinates left, else a part. */
KERNEL_INLINE Vec
KERNEL(load_left) (const float *p, uint32_t left)
{
	return left >= VEC_LANES ? vec_load(p) : vec_load_part(p, left);
}

/* The sum of KERNEL_SUMS vectors of partial sums over all their lanes. */
KERNEL_INLINE float
KERNEL(total) (const Vec *sum)
{
	Vec			half[KERNEL_SUMS / 2];

	kernel_for(u, KERNEL_SUMS / 2)
		half[u] = vec_add(sum[u], sum[u + KERNEL_SUMS / 2]);
	kernel_for(u, KERNEL_SUMS / 2 - 1)
		half[0] = vec_add(half[0], half[u + 1]);
	return vec_sum(half[0]);
}

/*
 * The term summed up between the query and each of nrows rows.  term and
 * nrows (<= KERNEL_ROWS) are constants wherever this is inlined.
 */
KERNEL_INLINE void
KERNEL(sum_rows) (KernelTerm term, uint32_t nrows, uint32_t dim,
				  const float *query, const float *base, size_t stride,
				  float *out)
{
	Vec			sum[KERNEL_ROWS][KERNEL_SUMS];
	uint32_t	i = 0;

	kernel_for(r, nrows)
	{
		kernel_for(u, KERNEL_SUMS)
			sum[r][u] = vec_zero();
	}

	for (; dim - i >= KERNEL_BLOCK; i += KERNEL_BLOCK)
	{
		kernel_for(u, KERNEL_SUMS)
		{
			const float *row = base + i + u * VEC_LANES;
			Vec			q = vec_load(query + i + u * VEC_LANES);

			kernel_for(r, nrows)
				sum[r][u] = KERNEL(add_term) (term, sum[r][u], q,
											  vec_load(row + r * stride));
		}
	}

	kernel_for(u, KERNEL_SUMS)
	{
		const float *row = base + i;
		Vec			q;

		if (i >= dim)
			break;
		q = KERNEL(load_left) (query + i, dim - i);
		kernel_for(r, nrows)
			sum[r][u] = KERNEL(add_term) (term, sum[r][u], q,
										  KERNEL(load_left) (row + r * stride,
															 dim - i));
		i += VEC_LANES;
	}

	kernel_for(r, nrows)
		out[r] = KERNEL(total) (sum[r]);
}

KERNEL_TARGET static float
KERNEL(l2_squared) (uint32_t dim, const float *a, const float *b)
{
	float		result;

	KERNEL(sum_rows) (TERM_L2_SQUARED, 1, dim, a, b, 0, &result);
	return result;
}

KERNEL_TARGET static float
KERNEL(dot) (uint32_t dim, const float *a, const float *b)
{
	float		result;

	KERNEL(sum_rows) (TERM_DOT, 1, dim, a, b, 0, &result);
	return result;
}

KERNEL_TARGET static float
KERNEL(l1) (uint32_t dim, const float *a, const float *b)
{
	float		result;

	KERNEL(sum_rows) (TERM_L1, 1, dim, a, b, 0, &result);
	return result;
}

KERNEL_TARGET static void
KERNEL(l2_squared_many) (uint32_t dim, const float *query, const float *base,
						 size_t stride, uint32_t n, float *out)
{
	uint32_t	i = 0;

	for (; n - i >= KERNEL_ROWS; i += KERNEL_ROWS)
		KERNEL(sum_rows) (TERM_L2_SQUARED, KERNEL_ROWS, dim, query,
						  base + i * stride, stride, out + i);
	for (; i < n; i++)
		out[i] = KERNEL(l2_squared) (dim, query, base + i * stride);
}

/*
 * Squared norms are summed up in float like the product, as pgvector does.
 * So a norm below about 1e-23 counts as zero, and the distance between two
 * vectors with norms above 1.8e19 is NaN.
 */
KERNEL_TARGET static double
KERNEL(cosine) (uint32_t dim, const float *a, const float *b)
{
	Vec			ab[KERNEL_SUMS];
	Vec			aa[KERNEL_SUMS];
	Vec			bb[KERNEL_SUMS];
	uint32_t	i = 0;
	float		norm_a;
	float		norm_b;
	double		similarity;

	kernel_for(u, KERNEL_SUMS)
		ab[u] = aa[u] = bb[u] = vec_zero();

	for (; dim - i >= KERNEL_BLOCK; i += KERNEL_BLOCK)
	{
		kernel_for(u, KERNEL_SUMS)
		{
			Vec			x = vec_load(a + i + u * VEC_LANES);
			Vec			y = vec_load(b + i + u * VEC_LANES);

			ab[u] = vec_fma(x, y, ab[u]);
			aa[u] = vec_fma(x, x, aa[u]);
			bb[u] = vec_fma(y, y, bb[u]);
		}
	}

	kernel_for(u, KERNEL_SUMS)
	{
		Vec			x;
		Vec			y;

		if (i >= dim)
			break;
		x = KERNEL(load_left) (a + i, dim - i);
		y = KERNEL(load_left) (b + i, dim - i);
		ab[u] = vec_fma(x, y, ab[u]);
		aa[u] = vec_fma(x, x, aa[u]);
		bb[u] = vec_fma(y, y, bb[u]);
		i += VEC_LANES;
	}

	norm_a = KERNEL(total) (aa);
	norm_b = KERNEL(total) (bb);
	if (norm_a == 0 || norm_b == 0)
		return NAN;
	similarity = KERNEL(total) (ab) / sqrt((double) norm_a * (double) norm_b);
	if (similarity > 1)
		similarity = 1;
	else if (similarity < -1)
		similarity = -1;
	return 1 - similarity;
}

KERNEL_TARGET static double
KERNEL(norm) (uint32_t dim, const float *a)
{
	Wide		even = wide_zero();
	Wide		odd = wide_zero();
	uint32_t	i = 0;

	for (; dim - i >= 2 * VEC_LANES; i += 2 * VEC_LANES)
	{
		even = wide_add_squares(even, vec_load(a + i));
		odd = wide_add_squares(odd, vec_load(a + i + VEC_LANES));
	}
	for (; i < dim; i += VEC_LANES)
		even = wide_add_squares(even, KERNEL(load_left) (a + i, dim - i));
	return sqrt(wide_sum(even) + wide_sum(odd));
}

/*
 * The products of KERNEL_TILE_ROWS rows with four others, of which the first
 * na and nb are wanted.  Rows behind the wanted ones are replaced by the
 * first: one path serves whole tiles and edges.
 */
KERNEL_INLINE void
KERNEL(one_tile) (uint32_t dim, const float *a, size_t lda, uint32_t na,
				  const float *b, size_t ldb, uint32_t nb,
				  float *out, size_t ldout)
{
	const float *arow[KERNEL_TILE_ROWS];
	const float *brow[4];
	Vec			sum[KERNEL_TILE_ROWS][4];
	Vec			x[KERNEL_TILE_ROWS];
	uint32_t	i = 0;

	kernel_for(c, 4)
		brow[c] = c < nb ? b + c * ldb : b;
	kernel_for(r, KERNEL_TILE_ROWS)
	{
		arow[r] = r < na ? a + r * lda : a;
		kernel_for(c, 4)
			sum[r][c] = vec_zero();
	}

	for (; dim - i >= VEC_LANES; i += VEC_LANES)
	{
		kernel_for(r, KERNEL_TILE_ROWS)
			x[r] = vec_load(arow[r] + i);
		kernel_for(c, 4)
		{
			Vec			y = vec_load(brow[c] + i);

			kernel_for(r, KERNEL_TILE_ROWS)
				sum[r][c] = vec_fma(x[r], y, sum[r][c]);
		}
	}

	if (i < dim)
	{
		kernel_for(r, KERNEL_TILE_ROWS)
			x[r] = vec_load_part(arow[r] + i, dim - i);
		kernel_for(c, 4)
		{
			Vec			y = vec_load_part(brow[c] + i, dim - i);

			kernel_for(r, KERNEL_TILE_ROWS)
				sum[r][c] = vec_fma(x[r], y, sum[r][c]);
		}
	}

	kernel_for(r, KERNEL_TILE_ROWS)
	{
		float		products[4];

		vec_sum4(sum[r], products);
		if (r < na)
			memcpy(out + r * ldout, products, nb * sizeof(float));
	}
}

KERNEL_TARGET static void
KERNEL(dot_tile) (uint32_t dim, const float *a, size_t lda, uint32_t na,
				  const float *b, size_t ldb, uint32_t nb,
				  float *out, size_t ldout)
{
	for (uint32_t i = 0; i < na; i += KERNEL_TILE_ROWS)
	{
		uint32_t	rows = na - i;

		if (rows > KERNEL_TILE_ROWS)
			rows = KERNEL_TILE_ROWS;
		for (uint32_t j = 0; j < nb; j += 4)
			KERNEL(one_tile) (dim, a + i * lda, lda, rows,
							  b + j * ldb, ldb, nb - j < 4 ? nb - j : 4,
							  out + i * ldout + j, ldout);
	}
}

/*
 * A row that is to become integers, relative to the origin: VEC_LANES of its
 * coordinates, of which the first "left" exist.
 */
KERNEL_INLINE Vec
KERNEL(load_shifted) (const float *x, Vec scale, const float *origin,
					  uint32_t left)
{
	Vec			v = vec_mul(KERNEL(load_left) (x, left), scale);

	return origin ? vec_sub(v, KERNEL(load_left) (origin, left)) : v;
}

/* The square of the length of such a row, and its largest coordinate. */
KERNEL_INLINE float
KERNEL(measure_shifted) (uint32_t dim, const float *x, Vec scale,
						 const float *origin, float *most)
{
	Vec			sum[KERNEL_SUMS];
	Vec			largest[KERNEL_SUMS];
	uint32_t	i = 0;

	kernel_for(u, KERNEL_SUMS)
		sum[u] = largest[u] = vec_zero();

	for (; dim - i >= KERNEL_BLOCK; i += KERNEL_BLOCK)
	{
		kernel_for(u, KERNEL_SUMS)
		{
			uint32_t	at = i + u * VEC_LANES;
			Vec			v = KERNEL(load_shifted) (x + at, scale,
												  origin ? origin + at : NULL,
												  VEC_LANES);

			sum[u] = vec_fma(v, v, sum[u]);
			largest[u] = vec_max(largest[u], vec_abs(v));
		}
	}

	kernel_for(u, KERNEL_SUMS)
	{
		Vec			v;

		if (i >= dim)
			break;
		v = KERNEL(load_shifted) (x + i, scale, origin ? origin + i : NULL,
								  dim - i);
		sum[u] = vec_fma(v, v, sum[u]);
		largest[u] = vec_max(largest[u], vec_abs(v));
		i += VEC_LANES;
	}

	kernel_for(u, KERNEL_SUMS - 1)
		largest[0] = vec_max(largest[0], largest[u + 1]);
	*most = vec_most(largest[0]);
	return KERNEL(total) (sum);
}

/* The exact square of the length of an integer row. */
KERNEL_INLINE int32_t
KERNEL(square_i16) (uint32_t width, const int16_t *row)
{
	Ints		sum = ints_zero();
	uint32_t	i = 0;

	for (; width - i >= TILE_I16_LANES; i += TILE_I16_LANES)
	{
		Shorts		x = shorts_load(row + i);

		sum = KERNEL(add_products) (sum, x, x);
	}
#if TILE_I16_LANES > 16
	if (i < width)
	{
		Shorts		x = shorts_load_half(row + i);

		sum = KERNEL(add_products) (sum, x, x);
	}
#endif
	return ints_sum(sum);
}

KERNEL_TARGET static void
KERNEL(quantize_i16) (uint32_t dim, const float *x, float scale,
					  const float *origin, uint32_t width, int16_t *out,
					  float *norm, float *unit, float *square)
{
	Vec			factor = vec_set(scale);
	Vec			multiplier;
	float		most;
	float		f;
	uint32_t	i;

	*norm = KERNEL(measure_shifted) (dim, x, factor, origin, &most);
	if (!(*norm >= I16_LEAST_NORM))
	{
		memset(out, 0, width * sizeof(int16_t));
		*unit = 0;
		*square = 0;
		return;
	}

	f = I16_LENGTH / sqrtf(*norm);
	if (f * most > I16_MOST)
		f = I16_MOST / most;
	multiplier = vec_set(f);
	for (i = 0; i < dim; i += VEC_LANES)
	{
		Vec			v = KERNEL(load_shifted) (x + i, factor,
											  origin ? origin + i : NULL,
											  dim - i);

		vec_to_i16(vec_mul(v, multiplier), out + i);
	}
	if (i < width)
		memset(out + i, 0, (width - i) * sizeof(int16_t));
	*unit = 1 / f;
	*square = (float) KERNEL(square_i16) (width, out) * (*unit * *unit);
}

/*
 * The product of products is rounded before it is subtracted, and twice that
 * is exact: so the distance of equal rows is 0 although the rest is fused.
 */
KERNEL_INLINE Vec
KERNEL(distance_i16) (Vec product, Vec square, Vec unit, Vec square_j,
					  Vec unit_j)
{
	Vec			scaled = vec_mul(product, vec_mul(unit, unit_j));

	return vec_max(vec_fma(scaled, vec_set(-2), vec_add(square, square_j)),
				   vec_zero());
}

KERNEL_TARGET static void
KERNEL(distances_i16) (uint32_t n, float *products, float square, float unit,
					   const float *squares, const float *units)
{
	Vec			s = vec_set(square);
	Vec			u = vec_set(unit);
	uint32_t	i = 0;

	for (; n - i >= VEC_LANES; i += VEC_LANES)
		vec_store(products + i,
				  KERNEL(distance_i16) (vec_load(products + i), s, u,
										vec_load(squares + i),
										vec_load(units + i)));
	if (i < n)
	{
		float		last[VEC_LANES];

		vec_store(last,
				  KERNEL(distance_i16) (vec_load_part(products + i, n - i),
										s, u,
										vec_load_part(squares + i, n - i),
										vec_load_part(units + i, n - i)));
		memcpy(products + i, last, (n - i) * sizeof(float));
	}
}

/* Append first + j to the hits for every bit j. */
KERNEL_INLINE uint32_t
KERNEL(append_hits) (uint32_t bits, uint32_t first, uint32_t *hits,
					 uint32_t nhits)
{
	for (; bits != 0; bits &= bits - 1)
		hits[nhits++] = first + (uint32_t) __builtin_ctz(bits);
	return nhits;
}

KERNEL_TARGET static uint32_t
KERNEL(near_i16) (uint32_t n, float *products, float square, float unit,
				  const float *squares, const float *units,
				  float limit, const float *limits, uint32_t *hits)
{
	Vec			s = vec_set(square);
	Vec			u = vec_set(unit);
	Vec			most = vec_set(limit);
	uint32_t	nhits = 0;
	uint32_t	i = 0;
	Vec			d;

	for (; n - i >= VEC_LANES; i += VEC_LANES)
	{
		d = KERNEL(distance_i16) (vec_load(products + i), s, u,
								  vec_load(squares + i), vec_load(units + i));
		vec_store(products + i, d);
		nhits = KERNEL(append_hits) (vec_less(d, vec_max(most, vec_load(limits + i))),
									 i, hits, nhits);
	}
	if (i < n)
	{
		float		last[VEC_LANES];
		uint32_t	bits;

		d = KERNEL(distance_i16) (vec_load_part(products + i, n - i), s, u,
								  vec_load_part(squares + i, n - i),
								  vec_load_part(units + i, n - i));
		vec_store(last, d);
		memcpy(products + i, last, (n - i) * sizeof(float));
		bits = vec_less(d, vec_max(most, vec_load_part(limits + i, n - i)));
		nhits = KERNEL(append_hits) (bits & ((1U << (n - i)) - 1), i, hits,
									 nhits);
	}
	return nhits;
}

/* The table of these kernels, with the given tile for 16-bit rows. */
#define KERNEL_ENTRIES(tile_i16) \
	{ \
		.level = KERNEL_LEVEL, \
		.l2_squared = KERNEL(l2_squared), \
		.dot = KERNEL(dot), \
		.cosine = KERNEL(cosine), \
		.l1 = KERNEL(l1), \
		.norm = KERNEL(norm), \
		.l2_squared_many = KERNEL(l2_squared_many), \
		.dot_tile = KERNEL(dot_tile), \
		.dot_tile_i16 = tile_i16, \
		.distances_i16 = KERNEL(distances_i16), \
		.near_i16 = KERNEL(near_i16), \
		.quantize_i16 = KERNEL(quantize_i16) \
	}

const DistanceKernels KERNEL_TABLE = KERNEL_ENTRIES(KERNEL(dot_tile_i16));
