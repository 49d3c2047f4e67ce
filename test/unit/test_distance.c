/*-------------------------------------------------------------------------
 *
 * test_distance.c
 *	  Unit test of the distance kernels: each at every level this CPU has,
 *	  against sums in double.
 *
 * It needs the files of src/distance only.  Built by aarch64-linux-gnu-gcc
 * with -static and run by qemu-aarch64, it tests NEON on an x86-64 machine.
 *
 *-------------------------------------------------------------------------
 */
#include "distance/distance.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tap.h"

#define MAX_DIM			4099
#define MAX_OFFSET		64		/* bytes */
#define CANARIES		16		/* NaNs in front of and behind a vector */
#define TILE_MAX		13

/* A vector at any address, with NaNs around it. */
typedef struct Placed
{
	unsigned char memory[(MAX_DIM + 2 * CANARIES) * sizeof(float) + MAX_OFFSET];
} Placed;

/* Results of all kernels over a pair of vectors. */
typedef struct Results
{
	double		value[5];
} Results;

static const char *const kernel_name[5] = {
	"l2_squared", "dot", "l1", "cosine", "norm"
};

static const uint32_t large_dims[] = {
	192, 255, 256, 257, 784, 960, 1536, MAX_DIM
};

#define SMALL_DIMS		130
#define NDIMS			(SMALL_DIMS + sizeof(large_dims) / sizeof(large_dims[0]))

static const size_t offsets[] = {0, 4, 8, 12, 1, 2, 3, 33, 60};

#define NOFFSETS		(sizeof(offsets) / sizeof(offsets[0]))

static void
report_level(int failures, const DistanceKernels *kernels, const char *group)
{
	report(failures, simd_level_name(kernels->level), group);
}

/* xorshift64*: uniform in [-1, 1) */
static float
random_float(void)
{
	static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (float) (int32_t) ((state * UINT64_C(0x2545f4914f6cdd1d)) >> 32) /
		2147483648.0f;
}

static void
fill(float *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		values[i] = random_float();
}

static uint32_t
nth_dim(size_t n)
{
	return n < SMALL_DIMS ? (uint32_t) n + 1 : large_dims[n - SMALL_DIMS];
}

static uint32_t
float_bits(float value)
{
	uint32_t	bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

/* The vector at an offset in bytes from the strictest alignment. */
static const float *
place(Placed *placed, const float *values, uint32_t dim, size_t offset)
{
	static const float canaries[CANARIES] = {
		NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN,
		NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN
	};
	unsigned char *p = placed->memory + offset;

	memcpy(p, canaries, sizeof(canaries));
	p += sizeof(canaries);
	memcpy(p, values, dim * sizeof(float));
	memcpy(p + dim * sizeof(float), canaries, sizeof(canaries));
	return (const float *) (void *) p;
}

static Results
run_all(const DistanceKernels *kernels, uint32_t dim, const float *a,
		const float *b)
{
	Results		r;

	r.value[0] = kernels->l2_squared(dim, a, b);
	r.value[1] = kernels->dot(dim, a, b);
	r.value[2] = kernels->l1(dim, a, b);
	r.value[3] = kernels->cosine(dim, a, b);
	r.value[4] = kernels->norm(dim, a);
	return r;
}

/*
 * The same in double, and how far a kernel may be off: one rounding per
 * addition, of which at least 16 chains run side by side, relative to the
 * sum of the terms' absolute values.
 */
static Results
reference(uint32_t dim, const float *a, const float *b, Results *tolerance)
{
	Results		r;
	double		l2 = 0;
	double		l1 = 0;
	double		ab = 0;
	double		ab_abs = 0;
	double		aa = 0;
	double		bb = 0;
	double		unit = ldexp(1, -24) * (dim / 16.0 + 16);

	for (uint32_t i = 0; i < dim; i++)
	{
		double		x = a[i];
		double		y = b[i];

		l2 += (x - y) * (x - y);
		l1 += fabs(x - y);
		ab += x * y;
		ab_abs += fabs(x * y);
		aa += x * x;
		bb += y * y;
	}
	r.value[0] = l2;
	tolerance->value[0] = unit * l2;
	r.value[1] = ab;
	tolerance->value[1] = unit * ab_abs;
	r.value[2] = l1;
	tolerance->value[2] = unit * l1;
	r.value[3] = 1 - ab / sqrt(aa * bb);
	tolerance->value[3] = 2 * unit;
	r.value[4] = sqrt(aa);
	tolerance->value[4] = 1e-14 * sqrt(aa);
	return r;
}

/* Results are right, and their bits independent of where the vectors lie. */
static void
test_accuracy(const DistanceKernels *kernels, const float *a, const float *b)
{
	static Placed placed_a;
	static Placed placed_b;
	int			wrong = 0;
	int			moved = 0;

	for (size_t d = 0; d < NDIMS; d++)
	{
		uint32_t	dim = nth_dim(d);
		Results		tolerance;
		Results		wanted = reference(dim, a, b, &tolerance);
		Results		first;

		for (size_t o = 0; o < NOFFSETS * NOFFSETS; o++)
		{
			Results		got = run_all(kernels, dim,
									  place(&placed_a, a, dim,
											offsets[o / NOFFSETS]),
									  place(&placed_b, b, dim,
											offsets[o % NOFFSETS]));

			if (o == 0)
				first = got;
			for (int k = 0; k < 5; k++)
			{
				if (!(fabs(got.value[k] - wanted.value[k]) <=
					  tolerance.value[k]))
					fail(&wrong, kernel_name[k], dim, got.value[k],
						 wanted.value[k]);
				if (memcmp(&got.value[k], &first.value[k], sizeof(double)) != 0)
					fail(&moved, kernel_name[k], dim, got.value[k],
						 first.value[k]);
			}
		}
	}
	report_level(wrong, kernels, "all kernels against sums in double");
	report_level(moved, kernels, "the same bits at any alignment");
}

/* A vector that ends with its page can be read, and nothing behind it. */
static void
test_no_overread(const DistanceKernels *kernels, const float *a,
				 const float *b)
{
	size_t		page = (size_t) sysconf(_SC_PAGESIZE);
	unsigned char *map[2];
	int			failures = 0;
	float		out[TILE_MAX * TILE_MAX];

	for (int i = 0; i < 2; i++)
	{
		map[i] = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (map[i] == MAP_FAILED || mprotect(map[i] + page, page, PROT_NONE))
		{
			fail(&failures, "no guarded page", 0, 0, 0);
			report_level(failures, kernels, "a guarded page");
			return;
		}
	}
	for (uint32_t dim = 1; dim <= SMALL_DIMS; dim++)
	{
		size_t		size = dim * sizeof(float);
		float	   *x = (float *) (void *) (map[0] + page - size);
		float	   *y = (float *) (void *) (map[1] + page - size);
		Results		first = run_all(kernels, dim, a, b);
		Results		got;
		uint32_t	rows = (uint32_t) (page / size);

		memcpy(x, a, size);
		memcpy(y, b, size);
		got = run_all(kernels, dim, x, y);
		for (int k = 0; k < 5; k++)
			if (got.value[k] != first.value[k])
				fail(&failures, kernel_name[k], dim, got.value[k],
					 first.value[k]);

		if (rows > 7)
			rows = 7;
		kernels->l2_squared_many(dim, x, y - (rows - 1) * dim, dim, rows, out);
		if (out[rows - 1] != (float) first.value[0])
			fail(&failures, "l2_squared_many", dim, out[rows - 1],
				 first.value[0]);
		kernels->dot_tile(dim, x - (rows - 1) * dim, dim, rows,
						  y - (rows - 1) * dim, dim, rows, out, TILE_MAX);
	}
	for (int i = 0; i < 2; i++)
		munmap(map[i], 2 * page);
	report_level(failures, kernels, "nothing behind the vectors is read");
}

static void
test_many(const DistanceKernels *kernels, const float *a, const float *b)
{
	static const uint32_t dims[] = {1, 3, 16, 31, 64, 100, 128, 150};
	int			failures = 0;
	float		out[TILE_MAX + 1];

	for (size_t d = 0; d < sizeof(dims) / sizeof(dims[0]); d++)
	{
		uint32_t	dim = dims[d];

		for (uint32_t n = 0; n <= TILE_MAX; n++)
		{
			for (size_t stride = dim; stride < dim + 18; stride += 17)
			{
				for (int i = 0; i <= TILE_MAX; i++)
					out[i] = -1;
				kernels->l2_squared_many(dim, a, b, stride, n, out);
				for (uint32_t i = 0; i < n; i++)
				{
					float		wanted = kernels->l2_squared(dim, a,
															 b + i * stride);

					if (float_bits(out[i]) != float_bits(wanted))
						fail(&failures, "l2_squared_many", dim, out[i],
							 wanted);
				}
				if (out[n] != -1)
					fail(&failures, "written behind the result", dim, out[n],
						 -1);
			}
		}
	}
	report_level(failures, kernels, "l2_squared_many has the bits of l2_squared");
}

/*
 * Tiles of all shapes: right, bits that depend on the rows alone, symmetric,
 * and nothing written outside the block.
 */
static void
test_tile(const DistanceKernels *kernels, const float *a, const float *b)
{
	static const uint32_t dims[] = {1, 2, 5, 15, 16, 17, 48, 100, 128, 131};
	int			failures = 0;
	float		out[TILE_MAX + 1][TILE_MAX + 3];
	float		mirrored[TILE_MAX][TILE_MAX];

	for (size_t d = 0; d < sizeof(dims) / sizeof(dims[0]); d++)
	{
		uint32_t	dim = dims[d];
		size_t		lda = dim + 3;
		size_t		ldb = dim;

		kernels->dot_tile(dim, b, ldb, TILE_MAX, a, lda, TILE_MAX,
						  mirrored[0], TILE_MAX);
		for (uint32_t shape = 0; shape < TILE_MAX * TILE_MAX; shape++)
		{
			uint32_t	na = shape / TILE_MAX + 1;
			uint32_t	nb = shape % TILE_MAX + 1;

			for (uint32_t i = 0; i <= TILE_MAX; i++)
				for (uint32_t j = 0; j < TILE_MAX + 3; j++)
					out[i][j] = 1e9f;
			kernels->dot_tile(dim, a, lda, na, b, ldb, nb, out[0],
							  TILE_MAX + 3);
			for (uint32_t i = 0; i <= TILE_MAX; i++)
			{
				for (uint32_t j = 0; j < TILE_MAX + 3; j++)
				{
					Results		tolerance;
					Results		wanted;

					if (i >= na || j >= nb)
					{
						if (out[i][j] != 1e9f)
							fail(&failures, "written outside", dim,
								 out[i][j], 1e9);
						continue;
					}
					if (float_bits(out[i][j]) != float_bits(mirrored[j][i]))
						fail(&failures, "not symmetric", dim, out[i][j],
							 mirrored[j][i]);
					wanted = reference(dim, a + i * lda, b + j * ldb,
									   &tolerance);
					if (!(fabs(out[i][j] - wanted.value[1]) <=
						  tolerance.value[1]))
						fail(&failures, "dot_tile", dim, out[i][j],
							 wanted.value[1]);
				}
			}
		}
	}
	report_level(failures, kernels, "dot_tile");
}

static void
test_cosine_edges(const DistanceKernels *kernels, const float *a)
{
	static float zero[MAX_DIM];
	static float other[MAX_DIM];
	int			failures = 0;

	for (size_t d = 0; d < NDIMS; d++)
	{
		uint32_t	dim = nth_dim(d);
		double		got;

		expect(&failures, "zero vector", dim,
			   kernels->cosine(dim, a, zero), NAN);
		expect(&failures, "zero vector first", dim,
			   kernels->cosine(dim, zero, a), NAN);
		expect(&failures, "two zero vectors", dim,
			   kernels->cosine(dim, zero, zero), NAN);

		/* clamped: never below 0 or above 2, whatever the rounding */
		for (float scale = 0.1f; scale < 10; scale *= 1.3f)
		{
			for (uint32_t i = 0; i < dim; i++)
				other[i] = a[i] * scale;
			got = kernels->cosine(dim, a, other);
			if (!(got >= 0 && got < 1e-6))
				fail(&failures, "parallel", dim, got, 0);
			for (uint32_t i = 0; i < dim; i++)
				other[i] = -other[i];
			got = kernels->cosine(dim, a, other);
			if (!(got <= 2 && got > 2 - 1e-6))
				fail(&failures, "opposite", dim, got, 2);
		}
		expect(&failures, "itself", dim, kernels->cosine(dim, a, a), 0);

		/* squares that leave the range of float */
		for (uint32_t i = 0; i < dim; i++)
			other[i] = a[i] < 0 ? -1e30f : 1e30f;
		expect(&failures, "squares above the range", dim,
			   kernels->cosine(dim, other, other), NAN);
		for (uint32_t i = 0; i < dim; i++)
			other[i] = 1e-30f;
		expect(&failures, "squares below the range", dim,
			   kernels->cosine(dim, other, other), NAN);
		for (uint32_t i = 0; i < dim; i++)
			zero[i] = 1e18f;
		expect(&failures, "one norm of zero, product above it", dim,
			   kernels->cosine(dim, other, zero), NAN);
		memset(zero, 0, sizeof(zero));
	}
	report_level(failures, kernels, "cosine: zero vectors, clamping, range");
}

static void
test_range(const DistanceKernels *kernels)
{
	static float x[MAX_DIM];
	static float zero[MAX_DIM];
	int			failures = 0;

	for (size_t d = 0; d < NDIMS; d++)
	{
		uint32_t	dim = nth_dim(d);

		for (int e = -149; e <= 127; e += 23)
		{
			double		unit = ldexp(1, e);

			for (uint32_t i = 0; i < dim; i++)
				x[i] = (float) unit;
			if (!(fabs(kernels->norm(dim, x) / (sqrt(dim) * unit) - 1) < 1e-14))
				fail(&failures, "norm", dim, kernels->norm(dim, x),
					 sqrt(dim) * unit);
			if (e < 110)
				expect(&failures, "l1", dim, kernels->l1(dim, x, zero),
					   dim * unit);
			if (e > -70 && e < 57)
				expect(&failures, "l2_squared", dim,
					   kernels->l2_squared(dim, x, zero), dim * unit * unit);
		}

		/* one odd coordinate, at every place */
		for (uint32_t i = 0; i < dim; i++)
			x[i] = 1;
		for (uint32_t i = 0; i < dim; i += dim > SMALL_DIMS ? 61 : 1)
		{
			x[i] = NAN;
			expect(&failures, "l2_squared of NaN", dim,
				   kernels->l2_squared(dim, x, zero), NAN);
			expect(&failures, "dot of NaN", dim, kernels->dot(dim, x, zero),
				   NAN);
			expect(&failures, "l1 of NaN", dim, kernels->l1(dim, x, zero),
				   NAN);
			expect(&failures, "cosine of NaN", dim,
				   kernels->cosine(dim, x, x), NAN);
			expect(&failures, "norm of NaN", dim, kernels->norm(dim, x), NAN);
			x[i] = -INFINITY;
			expect(&failures, "l2_squared of infinity", dim,
				   kernels->l2_squared(dim, x, zero), INFINITY);
			expect(&failures, "l1 of infinity", dim,
				   kernels->l1(dim, x, zero), INFINITY);
			x[i] = 3;
			expect(&failures, "dot", dim, kernels->dot(dim, x, x),
				   dim + 8.0);
			x[i] = 1;
		}
	}
	report_level(failures, kernels, "magnitudes, NaN and infinity");
}

/* Called first, while nothing has been chosen yet. */
static void
test_dispatch(void)
{
	int			failures = 0;
	SimdLevel	best = simd_best_level();

	if (distance_kernels() != &distance_scalar ||
		simd_active_level() != SIMD_SCALAR)
		fail(&failures, "scalar is not the first choice", 0, 0, 0);
	if (!simd_level_available(SIMD_SCALAR) || !simd_level_available(best))
		fail(&failures, "levels that must be there are missing", 0, 0, 0);
	if (simd_has_avx512_vnni() && !simd_level_available(SIMD_AVX512))
		fail(&failures, "VNNI without AVX-512", 0, 0, 0);
	if (simd_level_available((SimdLevel) SIMD_NLEVELS) ||
		simd_set_level((SimdLevel) SIMD_NLEVELS))
		fail(&failures, "a level that does not exist", 0, 0, 0);
	for (int i = 0; i < SIMD_NLEVELS; i++)
	{
		SimdLevel	level = (SimdLevel) i;
		SimdLevel	before = simd_active_level();
		const DistanceKernels *kernels = distance_kernels_at(level);
		bool		available = simd_level_available(level);

		if (available != (kernels != NULL) || (available && level > best))
			fail(&failures, "availability", 0, i, 0);
		if (kernels != NULL && kernels->level != level)
			fail(&failures, "table of another level", 0, kernels->level, i);
		if (simd_set_level(level) != available ||
			simd_active_level() != (available ? level : before))
			fail(&failures, "simd_set_level", 0, simd_active_level(), i);
		if (distance_kernels() != distance_kernels_at(simd_active_level()))
			fail(&failures, "distance_kernels", 0, i, 0);
	}
	if (strcmp(simd_level_name(SIMD_SCALAR), "scalar") != 0 ||
		strcmp(simd_level_name(SIMD_NEON), "neon") != 0 ||
		strcmp(simd_level_name(SIMD_AVX2), "avx2") != 0 ||
		strcmp(simd_level_name(SIMD_AVX512), "avx512") != 0)
		fail(&failures, "names", 0, 0, 0);
	report(failures, "dispatch", "choice of a level");
}

int
main(void)
{
	static float a[2 * MAX_DIM];
	static float b[2 * MAX_DIM];

	fill(a, 2 * MAX_DIM);
	fill(b, 2 * MAX_DIM);

	test_dispatch();
	for (int level = 0; level < SIMD_NLEVELS; level++)
	{
		const DistanceKernels *kernels = distance_kernels_at((SimdLevel) level);

		if (kernels == NULL)
			continue;
		test_accuracy(kernels, a, b);
		test_no_overread(kernels, a, b);
		test_many(kernels, a, b);
		test_tile(kernels, a, b);
		test_cosine_edges(kernels, a);
		test_range(kernels);
	}
	return finish();
}
