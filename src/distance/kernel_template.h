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
 *	vec_add(a, b), vec_sub(a, b), vec_abs(a)
 *	vec_fma(a, b, c)	a * b + c
 *	vec_sum(a)			sum over the lanes
 *	vec_sum4(a, out)	out[j] = sum over the lanes of a[j], j < 4, all four
 *						in the same order
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

#define KERNEL_JOIN_(a, b)	a##_##b
#define KERNEL_JOIN(a, b)	KERNEL_JOIN_(a, b)
#define KERNEL(name)		KERNEL_JOIN(KERNEL_PREFIX, name)
#define KERNEL_TABLE		KERNEL_JOIN(distance, KERNEL_PREFIX)
#define KERNEL_INLINE		KERNEL_TARGET static inline __attribute__((always_inline))

#define KERNEL_BLOCK		(KERNEL_SUMS * VEC_LANES)

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

const DistanceKernels KERNEL_TABLE = {
	.level = KERNEL_LEVEL,
	.l2_squared = KERNEL(l2_squared),
	.dot = KERNEL(dot),
	.cosine = KERNEL(cosine),
	.l1 = KERNEL(l1),
	.norm = KERNEL(norm),
	.l2_squared_many = KERNEL(l2_squared_many),
	.dot_tile = KERNEL(dot_tile)
};
