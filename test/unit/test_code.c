/*-------------------------------------------------------------------------
 *
 * test_code.c
 *	  Unit tests of src/code: rotation, codes, blocks, scores, estimates.
 *
 * Every check runs at every SIMD level of this machine.  Memory that kernels
 * read or write is allocated to the byte, for the address sanitizer.  Random
 * numbers come from a fixed seed; tolerances of statistical checks are stated
 * where they are used, and are wide enough for any seed but one in thousands.
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "code/score.h"
#include "distance/half.h"
#include "tap.h"

static int	nfailures = 0;		/* of the group that runs */

/* Like fail of tap.h, for cases that one number does not tell apart. */
static void
complain(const char *fmt,...)
{
	va_list		args;

	if (nfailures++ < 5)
	{
		printf("# ");
		va_start(args, fmt);
		vprintf(fmt, args);
		va_end(args);
		printf("\n");
	}
}

static void
group_done(const char *name)
{
	report(nfailures, "codes", name);
	nfailures = 0;
}

static uint64_t rng_state = 20240611;

static uint64_t
rng(void)
{
	uint64_t	z = (rng_state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static double
uniform(void)
{
	return ((double) (rng() >> 11) + 0.5) / 9007199254740992.0;
}

static double
normal(void)
{
	return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

static void *
allocate(size_t size)
{
	void	   *memory = malloc(size);

	if (memory == NULL)
	{
		printf("Bail out! out of memory\n");
		exit(1);
	}
	return memory;
}

static float *
normal_vector(uint32_t n, double scale)
{
	float	   *v = allocate(n * sizeof(float));

	for (uint32_t i = 0; i < n; i++)
		v[i] = (float) (scale * normal());
	return v;
}

static double
dot(uint32_t n, const float *a, const float *b)
{
	double		sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += (double) a[i] * b[i];
	return sum;
}

static double
distance2(uint32_t n, const float *a, const float *b)
{
	double		sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
	return sum;
}

static CodeParams
make_params(uint32_t dim, uint32_t coded, uint32_t bits)
{
	CodeParams	params;

	params.dim = dim;
	params.rotdim = code_rotated_dim(dim);
	params.coded = coded == 0 ? params.rotdim : coded;
	params.bits = bits;
	params.seed = 42;
	return params;
}

#define foreach_level(level) \
	for (int level = 0; level < SIMD_NLEVELS; level++) \
		if (simd_set_level((SimdLevel) level))

#define foreach_bits(bits) \
	for (uint32_t bits = 1; bits <= 8; bits *= 2)

/* Code u of coordinate i in a row, read bit by bit. */
static uint32_t
row_code(const CodeParams *params, const uint8_t *row, uint32_t i)
{
	uint32_t	u = 0;

	for (uint32_t b = 0; b < params->bits; b++)
	{
		size_t		bit = (size_t) i * params->bits + b;

		u |= (uint32_t) ((row[bit / 8] >> (bit % 8)) & 1) << b;
	}
	return u;
}

/* <x, q> of a row, in double. */
static double
plain_score(const CodeParams *params, const uint8_t *row, const float *q)
{
	double		half = ((1 << params->bits) - 1) / 2.0;
	double		sum = 0;

	for (uint32_t i = 0; i < params->coded; i++)
		sum += (row_code(params, row, i) - half) * q[i];
	return sum;
}

static CodeRotation *
make_rotation(const CodeParams *params)
{
	return code_rotation_init(params, allocate(code_rotation_size(params)));
}

/*
 * Norms and products of rotated vectors, to 1e-5 of the norms; the same bits
 * at all levels.
 */
static void
check_rotation(uint32_t dim)
{
	CodeParams	params = make_params(dim, 0, 1);
	CodeRotation *rotation = make_rotation(&params);
	float	   *a = normal_vector(dim, 1);
	float	   *b = normal_vector(dim, 1);
	float	   *ra = allocate(params.rotdim * sizeof(float));
	float	   *rb = allocate(params.rotdim * sizeof(float));
	float	   *scalar = allocate(params.rotdim * sizeof(float));
	double		aa = dot(dim, a, a);
	double		bb = dot(dim, b, b);
	double		ab = dot(dim, a, b);

	if (params.rotdim % CODE_DIM_ALIGN != 0 || params.rotdim < dim ||
		params.rotdim >= dim + CODE_DIM_ALIGN)
		complain("dim %u: rotdim %u", dim, params.rotdim);

	foreach_level(level)
	{
		code_rotate(rotation, a, ra);
		code_rotate(rotation, b, rb);
		if (fabs(dot(params.rotdim, ra, ra) / aa - 1) > 1e-5 ||
			fabs(dot(params.rotdim, rb, rb) / bb - 1) > 1e-5)
			complain("dim %u level %d: norm", dim, level);
		if (fabs(dot(params.rotdim, ra, rb) - ab) > 1e-5 * sqrt(aa * bb))
			complain("dim %u level %d: product", dim, level);
		if (level == SIMD_SCALAR)
			memcpy(scalar, ra, params.rotdim * sizeof(float));
		else if (memcmp(scalar, ra, params.rotdim * sizeof(float)) != 0)
			complain("dim %u level %d: differs from scalar", dim, level);
	}
	free(rotation);
	free(a);
	free(b);
	free(ra);
	free(rb);
	free(scalar);
}

static void
test_rotation(void)
{
	static const uint32_t large[] = {256, 400, 784, 960, 1024, 1536, 3072,
	65535, 65536};

	for (uint32_t dim = 1; dim <= 200; dim++)
		check_rotation(dim);
	for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++)
		check_rotation(large[i]);
	group_done("rotation keeps norms and products, same bits at all levels");
}

/*
 * A unit vector must come out spread over all coordinates: the largest of D
 * random ones stays below 6 / sqrt(D), and about the share of large ones that
 * a normal distribution has exceeds 1 / sqrt(D) (0.317, within 0.1 summed up
 * over 64 of them).  Another seed gives another vector.
 */
static void
test_rotation_spreads(void)
{
	static const uint32_t dims[] = {64, 112, 128, 784, 960};

	for (size_t d = 0; d < sizeof(dims) / sizeof(dims[0]); d++)
	{
		CodeParams	params = make_params(dims[d], 0, 1);
		float	   *unit = allocate(params.dim * sizeof(float));
		float	   *out = allocate(params.rotdim * sizeof(float));
		float	   *other = allocate(params.rotdim * sizeof(float));
		double		limit = 1 / sqrt(params.rotdim);
		uint32_t	above = 0;

		for (uint32_t trial = 0; trial < 64; trial++)
		{
			CodeRotation *rotation;

			memset(unit, 0, params.dim * sizeof(float));
			unit[rng() % params.dim] = 1;
			params.seed = trial;
			rotation = make_rotation(&params);
			code_rotate(rotation, unit, out);
			free(rotation);
			params.seed = trial + 1000;
			rotation = make_rotation(&params);
			code_rotate(rotation, unit, other);
			free(rotation);

			if (memcmp(out, other, params.rotdim * sizeof(float)) == 0)
				complain("dim %u: two seeds, one rotation", params.dim);
			for (uint32_t i = 0; i < params.rotdim; i++)
			{
				above += fabsf(out[i]) > limit;
				if (fabsf(out[i]) > 6 * limit)
					complain("dim %u: coordinate %g", params.dim, out[i]);
			}
		}
		if (fabs(above / (64.0 * params.rotdim) - 0.317) > 0.1)
			complain("dim %u: share of large coordinates %g", params.dim,
					 above / (64.0 * params.rotdim));
		free(unit);
		free(out);
		free(other);
	}
	group_done("rotation spreads unit vectors and depends on the seed");
}

static void
fill_random(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t) rng();
}

static const uint32_t some_coded[] = {16, 32, 48, 64, 112, 128, 144, 784, 1040};

#define N_SOME_CODED	(sizeof(some_coded) / sizeof(some_coded[0]))

/* Where code.h and block.c say that a code is, as a bit of the block. */
static size_t
documented_bit(uint32_t bits, uint32_t lanes, uint32_t lane, uint32_t i,
			   uint32_t b)
{
	size_t		slot = i / 4 * (lanes / 16) + lane / 16;
	uint32_t	l = lane % 16;

	if (bits == 1)
		return (slot / 2 * 16 + (l < 8 ? 2 * l : 2 * l - 15)) * 8 +
			slot % 2 * 4 + i % 4;
	return (slot / (8 / bits) * 64 + 4 * l + i % 4) * 8 +
		slot % (8 / bits) * bits + b;
}

/* A block filled at once is that of so many puts into zeros. */
static void
check_fill(const CodeParams *params, uint32_t lanes, const uint8_t *rows,
		   uint32_t n)
{
	size_t		row_bytes = code_row_bytes(params);
	size_t		block_bytes = code_block_bytes(params, lanes);
	uint8_t    *put = allocate(block_bytes);
	uint8_t    *filled = allocate(block_bytes);
	const uint8_t *pointers[CODE_LANES];

	memset(put, 0, block_bytes);
	fill_random(filled, block_bytes);
	for (uint32_t lane = 0; lane < n; lane++)
	{
		pointers[lane] = rows + (lanes - 1 - lane) * row_bytes;
		code_block_put(params, put, lanes, lane, pointers[lane]);
	}
	code_block_fill(params, filled, lanes, pointers, n);
	if (memcmp(put, filled, block_bytes) != 0)
		complain("B %u m %u lanes %u: block of %u rows differs",
				 params->bits, params->coded, lanes, n);
	free(put);
	free(filled);
}

static void
check_block(const CodeParams *params, uint32_t lanes)
{
	size_t		row_bytes = code_row_bytes(params);
	size_t		block_bytes = code_block_bytes(params, lanes);
	uint8_t    *rows = allocate(row_bytes * lanes);
	uint8_t    *block = allocate(block_bytes);
	uint8_t    *row = allocate(row_bytes);

	if (row_bytes != (size_t) params->coded * params->bits / 8 ||
		block_bytes != lanes * row_bytes)
		complain("B %u m %u lanes %u: size", params->bits, params->coded, lanes);

	fill_random(block, block_bytes);
	fill_random(rows, row_bytes * lanes);
	for (uint32_t n = 0; n < lanes; n++)
	{
		uint32_t	lane = (n * 7 + 3) % lanes;

		code_block_put(params, block, lanes, lane, rows + lane * row_bytes);
	}
	/* overwrite some */
	for (uint32_t lane = 0; lane < lanes; lane += 3)
	{
		fill_random(rows + lane * row_bytes, row_bytes);
		code_block_put(params, block, lanes, lane, rows + lane * row_bytes);
	}

	for (uint32_t lane = 0; lane < lanes; lane++)
	{
		code_block_get(params, block, lanes, lane, row);
		if (memcmp(row, rows + lane * row_bytes, row_bytes) != 0)
			complain("B %u m %u lanes %u lane %u: row differs", params->bits,
					 params->coded, lanes, lane);
		for (uint32_t i = 0; i < params->coded; i++)
			for (uint32_t b = 0; b < params->bits; b++)
			{
				size_t		bit = documented_bit(params->bits, lanes, lane,
												 i, b);

				if (((block[bit / 8] >> (bit % 8)) & 1U) !=
					((row_code(params, row, i) >> b) & 1U))
					complain("B %u m %u lanes %u lane %u coordinate %u: place",
							 params->bits, params->coded, lanes, lane, i);
			}
	}

	for (uint32_t n = 0; n <= lanes; n += n < 3 ? 1 : 5)
		check_fill(params, lanes, rows, n);
	free(rows);
	free(block);
	free(row);
}

static void
test_blocks(void)
{
	foreach_bits(bits)
		for (size_t d = 0; d < N_SOME_CODED; d++)
	{
		CodeParams	params = make_params(some_coded[d], 0, bits);

		check_block(&params, CODE_LANES);
		check_block(&params, CODE_HALF_LANES);
	}
	group_done("put, get and fill, and every bit where block.c says");
}

/* Scores by one query; scalar receives those of the scalar level. */
static void
check_scorer(const CodeParams *params, const CodeQuery *query,
			 const uint8_t *block, uint32_t lanes, const uint8_t *rows,
			 const float *q, double tolerance, float *scalar)
{
	size_t		row_bytes = code_row_bytes(params);
	uint8_t    *row = allocate(row_bytes);
	float	   *out = allocate(lanes * sizeof(float));

	code_score_block(params, query, block, lanes, out);
	if (query->scorer == &code_scorer_scalar)
		memcpy(scalar, out, lanes * sizeof(float));
	if (memcmp(scalar, out, lanes * sizeof(float)) != 0)
		complain("B %u m %u lanes %u level %s: differs from scalar",
				 params->bits, params->coded, lanes,
				 simd_level_name(simd_active_level()));
	for (uint32_t lane = 0; lane < lanes; lane++)
	{
		float		score;
		double		plain;

		memcpy(row, rows + lane * row_bytes, row_bytes);
		score = code_score_row(params, query, row);
		plain = plain_score(params, row, q);
		if (memcmp(&score, &out[lane], sizeof(score)) != 0)
			complain("B %u m %u lanes %u level %s lane %u: row %.9g block %.9g",
					 params->bits, params->coded, lanes,
					 simd_level_name(simd_active_level()), lane, score,
					 out[lane]);
		if (!(fabs(score - plain) <= tolerance + 1e-6 * fabs(plain)))
			complain("B %u m %u level %s: score %g, not %g +- %g",
					 params->bits, params->coded,
					 simd_level_name(simd_active_level()), score, plain,
					 tolerance);
	}
	free(row);
	free(out);
}

/*
 * Scores of one block: against <x, q> in double within what the rounding of
 * the query allows, and equal for row and block at all levels.
 */
static void
check_scores(const CodeParams *params, uint32_t lanes, const float *q,
			 const uint8_t *rows)
{
	size_t		row_bytes = code_row_bytes(params);
	uint8_t    *block = allocate(code_block_bytes(params, lanes));
	float		scalar[CODE_LANES];
	void	   *memory = allocate(code_query_size(params));
	double		tolerance;
	double		widest = 0;

	/* half a step for each rounding, each as often as it is used */
	for (uint32_t i = 0; i < params->coded; i += 4)
	{
		double		range = fabs(q[i]) + fabs(q[i + 1]) + fabs(q[i + 2]) +
		fabs(q[i + 3]);

		for (uint32_t k = 0; k < 4 && params->bits > 1; k++)
			widest = fmax(widest, fabs(q[i + k]));
		if (params->bits == 1)
			widest = fmax(widest, range);
	}
	if (params->bits == 1)
		tolerance = widest / 255 * 0.52 * (params->coded / 4 + 1);
	else
		tolerance = widest / 127 * 0.501 * params->coded *
			((1 << params->bits) - 1) / 2;

	for (uint32_t lane = 0; lane < lanes; lane++)
		code_block_put(params, block, lanes, lane, rows + lane * row_bytes);

	foreach_level(level)
	{
		CodeQuery  *query = code_query_init(params, q, memory);

		check_scorer(params, query, block, lanes, rows, q, tolerance, scalar);
#ifdef SIMD_X86_64
		if (level == SIMD_AVX512)
		{
			query->scorer = &code_scorer_avx512;
			check_scorer(params, query, block, lanes, rows, q, tolerance,
						 scalar);
		}
#endif
	}
	free(block);
	free(memory);
}

/* Random rows and queries, then rows and queries that make sums extreme. */
static void
test_scores(void)
{
	static const uint32_t large[] = {1024, 1536, 4112, 65536};

	foreach_bits(bits)
		for (size_t d = 0; d < N_SOME_CODED + 4; d++)
	{
		uint32_t	coded = d < N_SOME_CODED ? some_coded[d] :
		large[d - N_SOME_CODED];
		CodeParams	params = make_params(coded, 0, bits);
		size_t		row_bytes = code_row_bytes(&params);
		uint8_t    *rows = allocate(row_bytes * CODE_LANES);
		float	   *q = normal_vector(coded, 3);

		fill_random(rows, row_bytes * CODE_LANES);
		check_scores(&params, CODE_LANES, q, rows);
		check_scores(&params, CODE_HALF_LANES, q, rows);

		memset(rows, 0xff, row_bytes * CODE_LANES / 2);
		memset(rows + row_bytes * CODE_LANES / 2, 0,
			   row_bytes * CODE_LANES / 2);
		for (uint32_t i = 0; i < coded; i++)
			q[i] = 1;
		check_scores(&params, CODE_LANES, q, rows);
		check_scores(&params, CODE_HALF_LANES, q, rows);
		for (uint32_t i = 0; i < coded; i++)
			q[i] = -1;
		check_scores(&params, CODE_LANES, q, rows);
		check_scores(&params, CODE_HALF_LANES, q, rows);
		free(rows);
		free(q);
	}
	group_done("scores: block = row = scalar, bit for bit, near <x, q>");
}

/* Rows and factors do not depend on the level. */
static void
test_encode_levels(void)
{
	foreach_bits(bits)
		for (size_t d = 0; d < N_SOME_CODED; d++)
		for (int form = CODE_L2; form <= CODE_IP; form++)
		{
			CodeParams	params = make_params(some_coded[d] + 32,
											 some_coded[d], bits);
			size_t		row_bytes = code_row_bytes(&params);
			float	   *c = normal_vector(params.rotdim, 1);
			float	   *o = normal_vector(params.rotdim, 1);
			uint8_t    *row = allocate(row_bytes);
			uint8_t    *scalar = allocate(row_bytes);
			float		factor[2];
			float		scalar_factor[2];

			foreach_level(level)
			{
				code_encode(&params, (CodeForm) form, c, o, row,
							&factor[0], &factor[1]);
				if (level == SIMD_SCALAR)
				{
					memcpy(scalar, row, row_bytes);
					memcpy(scalar_factor, factor, sizeof(factor));
				}
				if (memcmp(scalar, row, row_bytes) != 0 ||
					memcmp(scalar_factor, factor, sizeof(factor)) != 0)
					complain("B %u m %u form %d level %d: differs", bits,
							 params.coded, form, level);
			}
			free(c);
			free(o);
			free(row);
			free(scalar);
		}
	group_done("codes and factors: same bits at all levels");
}

/* The true value that an estimate of this form is for. */
static double
true_value(CodeForm form, uint32_t n, const float *q, const float *o)
{
	return form == CODE_L2 ? distance2(n, q, o) : -dot(n, q, o);
}

static double
base_value(CodeForm form, uint32_t n, const float *q, const float *c)
{
	return form == CODE_L2 ? distance2(n, q, c) : -dot(n, c, q);
}

#define TRIALS	1500

/*
 * Errors of estimates over random rotations, in units of the deviation that
 * code_error_scale announces: mean 0 and mean square 1.  Residuals are dense
 * or, which only the rotation makes harmless, a single coordinate.  The mean
 * of TRIALS values of deviation 1 is within 0.13 (5 sigma); the root mean
 * square within 10 % (the deviation of it is 1.8 %; some theory is
 * asymptotic), 15 % below 100 dimensions.
 *
 * With the quantized query its own rounding comes on top: some percent for
 * B <= 4, for B = 8 as much as the code's error and more.
 */
static void
check_estimates(CodeForm form, uint32_t dim, uint32_t coded, uint32_t bits,
				bool sparse)
{
	CodeParams	params = make_params(dim, coded, bits);
	uint32_t	n = params.rotdim;
	float	   *rotated[3];
	uint8_t    *row = allocate(code_row_bytes(&params));
	void	   *memory = allocate(code_query_size(&params));
	double		sum = 0;
	double		squares = 0;
	double		fast_squares = 0;
	double		tolerance = dim < 100 ? 0.15 : 0.10;
	double		fast_limit = bits < 8 ? 1.15 + (tolerance - 0.10) : 6;

	for (int i = 0; i < 3; i++)
		rotated[i] = allocate(n * sizeof(float));

	for (int trial = 0; trial < TRIALS; trial++)
	{
		float	   *c = normal_vector(dim, 1);
		float	   *o = normal_vector(dim, 0.5);
		float	   *q = normal_vector(dim, 0.7);
		CodeRotation *rotation;
		CodeQuery  *query;
		float		add;
		float		mul;
		double		base;
		double		value;
		double		unit;
		double		error;

		for (uint32_t i = 0; i < dim; i++)
		{
			o[i] = c[i] + (sparse ? 0 : o[i]);
			q[i] += c[i];
		}
		if (sparse)
			o[rng() % dim] += 1;

		params.seed = rng();
		rotation = make_rotation(&params);
		code_rotate(rotation, c, rotated[0]);
		code_rotate(rotation, o, rotated[1]);
		code_rotate(rotation, q, rotated[2]);
		code_encode(&params, form, rotated[0], rotated[1], row, &add, &mul);
		query = code_query_init(&params, rotated[2], memory);

		base = base_value(form, n, rotated[2], rotated[0]);
		value = true_value(form, n, rotated[2], rotated[1]);
		unit = code_error_scale(&params) * fabs(mul) *
			sqrt(distance2(n, rotated[2], rotated[0]));
		error = base + add + mul * plain_score(&params, row, rotated[2]) - value;
		sum += error / unit;
		squares += error / unit * (error / unit);
		error = base + add + mul * code_score_row(&params, query, row) - value;
		fast_squares += error / unit * (error / unit);

		free(rotation);
		free(c);
		free(o);
		free(q);
	}

	if (getenv("TEST_CODE_VERBOSE"))
		printf("# form %d dim %u m %u B %u %s: mean %.3f rms %.3f, quantized query %.3f\n",
			   form, dim, params.coded, bits, sparse ? "sparse" : "dense",
			   sum / TRIALS, sqrt(squares / TRIALS),
			   sqrt(fast_squares / TRIALS));
	if (!(fabs(sum / TRIALS) < 0.13))
		complain("form %d dim %u m %u B %u: mean error %g", form, dim,
				 params.coded, bits, sum / TRIALS);
	if (!(fabs(sqrt(squares / TRIALS) - 1) < tolerance))
		complain("form %d dim %u m %u B %u: rms error %g", form, dim,
				 params.coded, bits, sqrt(squares / TRIALS));
	if (!(sqrt(fast_squares / TRIALS) < fast_limit))
		complain("form %d dim %u m %u B %u: rms error with quantized query %g",
				 form, dim, params.coded, bits, sqrt(fast_squares / TRIALS));

	for (int i = 0; i < 3; i++)
		free(rotated[i]);
	free(row);
	free(memory);
}

static void
test_estimates(void)
{
	foreach_bits(bits)
		for (int form = CODE_L2; form <= CODE_IP; form++)
		for (int sparse = 0; sparse <= 1; sparse++)
		{
			check_estimates((CodeForm) form, 48, 0, bits, sparse);
			check_estimates((CodeForm) form, 128, 0, bits, sparse);
			check_estimates((CodeForm) form, 200, 128, bits, sparse);
		}
	check_estimates(CODE_L2, 784, 0, 1, true);
	check_estimates(CODE_L2, 784, 512, 1, true);
	group_done("estimates are unbiased, of the announced deviation");
}

/* r = 0, r outside of the coded coordinates, values that are not finite. */
static void
test_degenerate(void)
{
	foreach_bits(bits)
		for (int form = CODE_L2; form <= CODE_IP; form++)
	{
		CodeParams	params = make_params(128, 64, bits);
		size_t		row_bytes = code_row_bytes(&params);
		float	   *c = normal_vector(128, 1);
		float	   *o = allocate(128 * sizeof(float));
		float	   *q = normal_vector(128, 1);
		uint8_t    *row = allocate(row_bytes);
		float		values[] = {0, INFINITY, -INFINITY, NAN};
		float		add;
		float		mul;

		memcpy(o, c, 128 * sizeof(float));
		memset(row, 0xff, row_bytes);
		code_encode(&params, (CodeForm) form, c, o, row, &add, &mul);
		if (add != 0 || mul != 0)
			complain("B %u form %d: r = 0: add %g mul %g", bits, form, add, mul);
		for (size_t i = 0; i < row_bytes; i++)
			if (row[i] != 0)
				complain("B %u form %d: r = 0: row", bits, form);

		/* only coordinate 100, which has no code */
		o[100] += 2;
		code_encode(&params, (CodeForm) form, c, o, row, &add, &mul);
		if (mul != 0 ||
			fabs(add - (form == CODE_L2 ? 4 : -2 * c[100])) > 1e-5)
			complain("B %u form %d: uncoded r: add %g mul %g", bits, form,
					 add, mul);

		/* and a bit of what has */
		o[3] += 1e-3f;
		code_encode(&params, (CodeForm) form, c, o, row, &add, &mul);
		if (!(fabs(mul) < 100))
			complain("B %u form %d: mul %g of almost uncoded r", bits, form,
					 mul);

		for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++)
			foreach_level(level)
		{
			void	   *memory = allocate(code_query_size(&params));
			CodeQuery  *query;
			float		score;

			o[5] = values[v];
			q[5] = values[v];
			code_encode(&params, (CodeForm) form, c, o, row, &add, &mul);
			if (!isfinite(add) || !isfinite(mul))
				complain("B %u form %d value %g: add %g mul %g", bits,
						 form, values[v], add, mul);
			query = code_query_init(&params, q, memory);
			score = code_score_row(&params, query, row);
			if (!isfinite(score))
				complain("B %u value %g: score %g", bits, values[v], score);
			free(memory);
		}
		free(c);
		free(o);
		free(q);
		free(row);
	}
	group_done("no residual, uncoded residual, infinities, NaN");
}

/*
 * One node of 32 edges at some magnitude, the factors as they are stored: add
 * as float32, mul as float16 relative to the largest of the node.  The errors
 * stay what they are at magnitude 1: below 6 announced deviations, and a part
 * in 1000 of the products for the rounding of mul.  Where squares leave the
 * range of float32, estimates must stay free of NaN.
 */
static void
check_magnitude(CodeForm form, uint32_t bits, double magnitude)
{
	CodeParams	params = make_params(128, 0, bits);
	size_t		row_bytes = code_row_bytes(&params);
	float	   *c = normal_vector(128, magnitude);
	float	   *q = normal_vector(128, magnitude);
	float	   *os[CODE_LANES];
	uint8_t    *block = allocate(code_block_bytes(&params, CODE_LANES));
	uint8_t    *row = allocate(row_bytes);
	void	   *memory = allocate(code_query_size(&params));
	CodeQuery  *query = code_query_init(&params, q, memory);
	float		add[CODE_LANES];
	float		mul[CODE_LANES];
	uint16_t	half[CODE_LANES];
	float		score[CODE_LANES];
	float		est[CODE_LANES];
	float		scale = 0;
	double		qq = dot(128, q, q);
	bool		in_range = qq > 1e-30 && qq < 1e37;

	for (uint32_t lane = 0; lane < CODE_LANES; lane++)
	{
		os[lane] = normal_vector(128, magnitude);
		code_encode(&params, form, c, os[lane], row, &add[lane], &mul[lane]);
		code_block_put(&params, block, CODE_LANES, lane, row);
		scale = fmaxf(scale, fabsf(mul[lane]));
		if (mul[lane] == 0 || !isfinite(mul[lane]))
			complain("magnitude %g B %u: mul %g", magnitude, bits, mul[lane]);
	}
	for (uint32_t lane = 0; lane < CODE_LANES; lane++)
		half[lane] = half_from_float(mul[lane] / scale);

	code_score_block(&params, query, block, CODE_LANES, score);
	code_estimate(CODE_LANES,
				  (float) fmin(base_value(form, 128, q, c), FLT_MAX), scale,
				  add, half, score, INFINITY, est);

	for (uint32_t lane = 0; lane < CODE_LANES; lane++)
	{
		double		value = true_value(form, 128, q, os[lane]);
		double		limit = 6 * code_error_scale(&params) * fabs(mul[lane]) *
		sqrt(distance2(128, q, c)) + 0.01 * qq;

		if (isnan(est[lane]))
			complain("magnitude %g B %u: estimate is NaN", magnitude, bits);
		if (in_range && !(fabs(est[lane] - value) < limit))
			complain("magnitude %g B %u form %d: estimate %g, not %g +- %g",
					 magnitude, bits, form, est[lane], value, limit);
		free(os[lane]);
	}
	free(c);
	free(q);
	free(block);
	free(row);
	free(memory);
}

static void
test_magnitudes(void)
{
	static const double magnitudes[] = {1e-30, 1e-15, 1e-3, 1, 1e3, 1e17,
	1e18};

	foreach_bits(bits)
		for (int form = CODE_L2; form <= CODE_IP; form++)
		for (size_t i = 0; i < sizeof(magnitudes) / sizeof(magnitudes[0]); i++)
			foreach_level(level)
				check_magnitude((CodeForm) form, bits, magnitudes[i]);
	group_done("magnitudes from 1e-30 to 1e18");
}

/* Against plain C with the one fused operation that code_estimate promises. */
static void
test_estimate_kernel(void)
{
	for (uint32_t n = 0; n <= CODE_LANES; n++)
		foreach_level(level)
	{
		/* an odd address for each array */
		char	   *memory = allocate(n * 14 + 4);
		float	   *add = normal_vector(n + 1, 100);
		float	   *score = normal_vector(n + 1, 100);
		uint16_t   *mul = allocate((n + 1) * sizeof(uint16_t));
		float		scale = (float) normal();
		float		base = (float) (1000 * uniform());
		float		bound = base + (float) (100 * normal());
		uint32_t	below = 0;
		uint32_t	expected_below = 0;

		if (n > 3)
		{
			add[n / 2] = INFINITY;
			add[n / 3] = NAN;
			if (n % 3 == 0)
				bound = INFINITY;
		}
		for (uint32_t i = 0; i < n; i++)
			mul[i] = half_from_float((float) (normal() *
											  pow(2, -20 * uniform())));
		memcpy(memory + 1, add, n * 4);
		memcpy(memory + 1 + n * 4, score, n * 4);
		memcpy(memory + 1 + n * 8, mul, n * 2);
		below = code_estimate(n, base, scale,
							  (const float *) (void *) (memory + 1),
							  (const uint16_t *) (void *) (memory + 1 + n * 8),
							  (const float *) (void *) (memory + 1 + n * 4), bound,
							  (float *) (void *) (memory + 1 + n * 10));
		for (uint32_t i = 0; i < n; i++)
		{
			float		est;
			float		expected = fmaf(scale * half_to_float(mul[i]),
										score[i], base + add[i]);

			memcpy(&est, memory + 1 + n * 10 + i * 4, 4);
			if (expected < bound)
				expected_below |= 1U << i;
			if (isnan(expected) ? !isnan(est) : memcmp(&est, &expected, 4) != 0)
				complain("n %u level %d: %.9g, not %.9g", n, level, est,
						 expected);
		}
		if (below != expected_below)
			complain("n %u level %d: %08x below the bound, not %08x", n, level, below,
					 expected_below);
		free(memory);
		free(add);
		free(score);
		free(mul);
	}
	group_done("code_estimate: same bits and sets at all levels");
}

static void
test_least(void)
{
	for (uint32_t n = 1; n <= 100; n++)
		foreach_level(level)
	{
		float	   *values = normal_vector(n, 1);
		uint32_t	least = (uint32_t) (uniform() * n);
		uint32_t	place;

		/* the least may be infinite, or be there twice */
		values[least] = n % 5 == 0 ? -INFINITY : -1000;
		if (n % 7 == 0)
			values[n - 1] = values[least];
		if (n % 11 == 0)
		{
			for (uint32_t i = 0; i < n; i++)
				values[i] = INFINITY;
			least = 0;
		}
		place = code_least(n, values);
		if (place != least)
			complain("n %u level %d: least at %u, not %u", n, level, place, least);
		free(values);
	}
	group_done("code_least: the first of the least");
}

/*
 * What rows tell of lengths and angles: over random rotations the length is
 * right within some percent, and the cosine of the angle between two
 * residuals, as code_cosines makes it from their rows, on average within
 * 0.05 for whole codes, at every angle.
 */
static void
check_angles(uint32_t bits, double cosine)
{
	CodeParams	params = make_params(128, 0, bits);
	uint32_t	n = params.rotdim;
	double		cosines = 0;
	double		lengths = 0;

	for (int trial = 0; trial < 300; trial++)
	{
		float	   *zero = normal_vector(n, 0);
		float	   *a = normal_vector(n, 1);
		float	   *b = normal_vector(n, 1);
		float	   *x[2] = {allocate(params.coded * sizeof(float)), allocate(params.coded * sizeof(float))};
		uint8_t    *row = allocate(code_row_bytes(&params));
		double		along = dot(n, a, b) / dot(n, a, a);
		double		rest;
		float		add;
		float		mul;
		float		c;

		for (uint32_t i = 0; i < n; i++)
			b[i] -= along * a[i];
		rest = sqrt(dot(n, a, a) / dot(n, b, b));
		for (uint32_t i = 0; i < n; i++)
			b[i] = cosine * a[i] + sqrt(1 - cosine * cosine) * rest * b[i];

		code_encode(&params, CODE_L2, zero, a, row, &add, &mul);
		code_decode(&params, row, x[0]);
		lengths += code_residual_norm(&params, CODE_L2, mul) / sqrt(dot(n, a, a));
		code_encode(&params, CODE_IP, zero, b, row, &add, &mul);
		code_decode(&params, row, x[1]);
		lengths += code_residual_norm(&params, CODE_IP, mul) / sqrt(dot(n, b, b));
		c = dot(n, x[0], x[1]) / sqrt(dot(n, x[0], x[0]) * dot(n, x[1], x[1]));
		code_cosines(&params, 1, &c);
		cosines += c;

		free(zero);
		free(a);
		free(b);
		free(x[0]);
		free(x[1]);
		free(row);
	}
	if (!(fabs(cosines / 300 - cosine) < 0.05))
		complain("B %u: mean cosine %g for %g", bits, cosines / 300, cosine);
	if (!(fabs(lengths / 600 - 1) < 0.05))
		complain("B %u: mean length %g", bits, lengths / 600);
}

static void
test_angles(void)
{
	foreach_bits(bits)
	{
		for (int i = -9; i <= 9; i++)
			check_angles(bits, i / 10.0);
		check_angles(bits, 0.99);
	}
	group_done("lengths and angles from rows");
}

int
main(void)
{
	test_angles();
	test_rotation();
	test_rotation_spreads();
	test_blocks();
	test_scores();
	test_encode_levels();
	test_estimates();
	test_degenerate();
	test_magnitudes();
	test_estimate_kernel();
	test_least();
	return finish();
}
