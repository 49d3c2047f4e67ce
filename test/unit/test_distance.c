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
#define I16_MAX_WIDTH	((MAX_DIM + 15) / 16 * 16)
#define I16_LIMIT		46340	/* the root of 2^31 */
#define I16_CANARY		12345	/* behind an integer row */

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
	int16_t		shorts[SMALL_DIMS + 14];
	uint32_t	numbers[SMALL_DIMS];

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

		kernels->quantize_i16(dim, x, 1.0f, y, SMALL_DIMS + 14, shorts,
							  &out[0], &out[1], &out[2]);
		kernels->distances_i16(dim, x, 1.0f, 1.0f, y, y);
		kernels->near_i16(dim, x, 1.0f, 1.0f, y, y, 0.0f, y, numbers);
		if (dim % 16 == 0)
		{
			memcpy(map[0] + page - dim * sizeof(int16_t), shorts,
				   dim * sizeof(int16_t));
			memcpy(map[1] + page - dim * sizeof(int16_t), shorts,
				   dim * sizeof(int16_t));
			kernels->dot_tile_i16(dim, (int16_t *) (void *) (x + dim / 2), dim, 1,
								  (int16_t *) (void *) (y + dim / 2), dim, 1,
								  out, 1);
		}
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

/*
 * Rows at the limits of dot_tile_i16: of five kinds, of both signs, random
 * ones besides.
 */
static void
fill_i16(int16_t *row, uint32_t width, uint32_t kind)
{
	double		sign = kind % 2 ? -1 : 1;
	double		equal = floor(I16_LIMIT / sqrt(width));
	double		length = 0;
	float		values[I16_MAX_WIDTH];

	if (equal > INT16_MAX)
		equal = INT16_MAX;
	fill(values, width);
	for (uint32_t k = 0; k < width; k++)
		length += (double) values[k] * (double) values[k];
	length = sqrt(length);
	for (uint32_t k = 0; k < width; k++)
	{
		double		value = 0;

		switch (kind / 2)
		{
			case 0:
				value = k == 0 ? INT16_MAX : 0;
				break;
			case 1:
				value = k == width - 1 ? INT16_MAX : k == 5 ? INT16_MAX - 1 : 0;
				break;
			case 2:
				value = equal;
				break;
			case 3:
				value = k % 2 ? equal : -equal;
				break;
			case 4:
				break;
			default:
				value = trunc(values[k] / length * I16_LIMIT);
				break;
		}
		if (value > INT16_MAX)
			value = INT16_MAX;
		if (value < -INT16_MAX)
			value = -INT16_MAX;
		row[k] = (int16_t) (sign * value);
	}
}

static int64_t
product_i16(uint32_t width, const int16_t *a, const int16_t *b)
{
	int64_t		sum = 0;

	for (uint32_t k = 0; k < width; k++)
		sum += (int64_t) a[k] * b[k];
	return sum;
}

/*
 * Integer tiles of all shapes have the bits of the reference, so those of all
 * levels are the same; rows at any address, nothing written outside.
 */
static void
test_tile_i16(const DistanceKernels *kernels, const char *name)
{
	static const uint32_t widths[] = {16, 32, 48, 64, 80, 112, 128, 784, 960};
	static int16_t a[(TILE_MAX + 1) * 1024];
	static int16_t b[(TILE_MAX + 1) * 1024];
	static float wanted[TILE_MAX][TILE_MAX];
	int			failures = 0;
	float		out[TILE_MAX + 1][TILE_MAX + 3];

	for (size_t w = 0; w < 2 * sizeof(widths) / sizeof(widths[0]); w++)
	{
		uint32_t	width = widths[w / 2];
		size_t		shift = w % 2;
		size_t		lda = width + shift;
		size_t		ldb = width + 32 - shift;

		for (uint32_t i = 0; i < TILE_MAX; i++)
		{
			fill_i16(a + shift + i * lda, width, i);
			fill_i16(b + i * ldb, width, (i + 4) % TILE_MAX);
		}
		for (uint32_t i = 0; i < TILE_MAX; i++)
			for (uint32_t j = 0; j < TILE_MAX; j++)
			{
				int64_t		product = product_i16(width, a + shift + i * lda,
												  b + j * ldb);

				if (product > INT32_MAX || product < -INT32_MAX)
					fail(&failures, "rows above the limit", width,
						 (double) product, INT32_MAX);
				wanted[i][j] = (float) product;
			}
		for (uint32_t shape = 0; shape < TILE_MAX * TILE_MAX; shape++)
		{
			uint32_t	na = shape / TILE_MAX + 1;
			uint32_t	nb = shape % TILE_MAX + 1;

			for (uint32_t i = 0; i <= TILE_MAX; i++)
				for (uint32_t j = 0; j < TILE_MAX + 3; j++)
					out[i][j] = 1e19f;
			kernels->dot_tile_i16(width, a + shift, lda, na, b, ldb, nb,
								  out[0], TILE_MAX + 3);
			for (uint32_t i = 0; i <= TILE_MAX; i++)
				for (uint32_t j = 0; j < TILE_MAX + 3; j++)
				{
					float		value = i < na && j < nb ? wanted[i][j] : 1e19f;

					if (float_bits(out[i][j]) != float_bits(value))
						fail(&failures, "dot_tile_i16", width, out[i][j],
							 value);
				}
		}
	}
	report(failures, name, "dot_tile_i16 has the bits of exact sums");
}

/* What quantize_i16 says of a row, against the same in double. */
static void
check_quantized(int *failures, const DistanceKernels *kernels, uint32_t dim,
				const float *x, float scale, const float *origin)
{
	static int16_t row[I16_MAX_WIDTH + 33];
	uint32_t	width = (dim + 15) / 16 * 16 + dim % 3 * 16;
	double		norm = 0;
	double		most = 0;
	double		length;
	double		wanted;
	float		got;
	float		unit;
	float		square;

	for (uint32_t k = 0; k <= width; k++)
		row[k] = I16_CANARY;
	kernels->quantize_i16(dim, x, scale, origin, width, row, &got, &unit,
						  &square);
	for (uint32_t k = 0; k < dim; k++)
	{
		float		v = x[k] * scale - (origin ? origin[k] : 0);

		norm += (double) v * (double) v;
		most = fmax(most, fabs(v));
	}
	if (!(fabs(got - norm) <= ldexp(norm, -24) * (dim / 16.0 + 16) + 1e-40))
		fail(failures, "norm", dim, got, norm);

	/* the least unit that keeps both limits */
	wanted = fmax(sqrt(norm) / I16_LENGTH, most / I16_MOST);
	if (norm < I16_LEAST_NORM)
		wanted = 0;
	if (!(fabs(unit - wanted) <= 1e-5 * wanted))
		fail(failures, "unit", dim, unit, wanted);

	for (uint32_t k = 0; k < width; k++)
	{
		float		v = 0;

		if (k < dim)
			v = x[k] * scale - (origin ? origin[k] : 0);
		if (wanted == 0 || k >= dim)
			expect(failures, "zero", dim, row[k], 0);
		else if (!(fabs(row[k] - v / (double) unit) <= 0.505) ||
				 row[k] < -I16_MOST)
			fail(failures, "coordinate", dim, row[k], v / unit);
	}
	length = sqrt((double) product_i16(width, row, row));
	if (length > I16_LIMIT)
		fail(failures, "length", dim, length, I16_LIMIT);
	if (row[width] != I16_CANARY)
		fail(failures, "written behind the row", dim, row[width], I16_CANARY);

	kernels->dot_tile_i16(width, row, 0, 1, row, 0, 1, &got, 1);
	expect(failures, "square", dim, square, got * (unit * unit));
}

static void
test_quantize(const DistanceKernels *kernels, const float *a, const float *b)
{
	static const float ties[] = {32767, 0.5f, 1.5f, 2.5f, -0.5f, -2.5f, 3, -7};
	static const int16_t even[] = {32767, 0, 2, 2, 0, -2, 3, -7};
	static float x[MAX_DIM];
	static float origin[MAX_DIM];
	const float scale = 1.0f / 1024;
	const float step = 1.0f / 32768;
	int16_t		row[16];
	float		values[3];
	int			failures = 0;

	for (size_t d = 0; d < NDIMS; d++)
	{
		uint32_t	dim = nth_dim(d);

		/* random, then one coordinate that dominates, then all equal */
		check_quantized(&failures, kernels, dim, a, 1, NULL);
		check_quantized(&failures, kernels, dim, a + 1, 0.25f, b);
		for (float small = 1; small > 1e-20f; small *= 0.0625f)
		{
			for (uint32_t i = 0; i < dim; i++)
				x[i] = small * a[i];
			check_quantized(&failures, kernels, dim, x, 1, NULL);
			x[dim / 2] = -1;
			check_quantized(&failures, kernels, dim, x, 1, NULL);
			for (uint32_t i = 0; i < dim; i++)
				x[i] = -small;
			check_quantized(&failures, kernels, dim, x, 1, NULL);
		}
		for (uint32_t i = 0; i < dim; i++)
			x[i] = i % 7 == 3 ? -1000 : 1000;
		check_quantized(&failures, kernels, dim, x, scale, NULL);
		for (uint32_t i = 0; i < dim; i++)
			origin[i] = x[i] * scale;
		check_quantized(&failures, kernels, dim, x, scale, origin);
		memset(x, 0, sizeof(x));
		check_quantized(&failures, kernels, dim, x, 1, NULL);
	}

	for (int i = 0; i < 8; i++)
		x[i] = ties[i];
	kernels->quantize_i16(8, x, step, NULL, 16, row, &values[0],
						  &values[1], &values[2]);
	expect(&failures, "unit of ties", 8, values[1], step);
	for (uint32_t i = 0; i < 8; i++)
		expect(&failures, "nearest even", i, row[i], even[i]);
	report_level(failures, kernels, "quantize_i16");
}

/*
 * distances_i16 rounds where its contract says so, in all lengths, and
 * near_i16 finds those below the limits.
 */
static void
test_distances_i16(const DistanceKernels *kernels, const float *a,
				   const float *b)
{
	enum
	{
		MOST = 70
	};
	int			failures = 0;

	for (uint32_t n = 0; n <= MOST; n++)
	{
		float		got[MOST + 1];
		float		near[MOST + 1];
		float		squares[MOST];
		float		units[MOST];
		float		limits[MOST];
		float		limit;
		uint32_t	hits[MOST];
		uint32_t	nhits;
		uint32_t	k = 0;
		float		square = a[n] * a[n];
		float		unit = fabsf(b[n]) * 1e-3f;

		for (uint32_t i = 0; i <= MOST; i++)
			got[i] = i < n ? rintf(a[i + 100] * 2e5f) : -1;
		for (uint32_t i = 0; i < n; i++)
		{
			squares[i] = b[i + 100] * b[i + 100];
			units[i] = fabsf(a[i + 200]) * 1e-3f;
		}
		/* some of equal rows, some of almost equal ones */
		for (uint32_t i = 0; i < n; i += 3)
		{
			units[i] = unit;
			squares[i] = got[i] * (unit * unit);
			if (i % 2)
				squares[i] += 1e-7f * squares[i];
		}
		if (n > 0)
			square = squares[0];
		memcpy(near, got, sizeof(got));
		kernels->distances_i16(n, got, square, unit, squares, units);
		for (uint32_t i = 0; i < n; i++)
			limits[i] = i % 4 == 0 ? got[i] : i % 4 == 1 ? 0 : 2 * got[i];
		limit = n > 0 ? got[n / 2] : 0;
		nhits = kernels->near_i16(n, near, square, unit, squares, units,
								  limit, limits, hits);
		if (memcmp(near, got, sizeof(got)) != 0)
			fail(&failures, "near_i16", n, 0, 0);
		for (uint32_t i = 0; i < n; i++)
			if (got[i] < limit || got[i] < limits[i])
			{
				expect(&failures, "hit", n, k < nhits ? (double) hits[k] : -1, i);
				k++;
			}
		expect(&failures, "hits", n, nhits, k);
		for (uint32_t i = 0; i < n; i++)
		{
			volatile float scale = unit * units[i];
			volatile float scaled = rintf(a[i + 100] * 2e5f) * scale;
			volatile float both = square + squares[i];
			volatile float d = both - 2 * scaled;
			float		wanted = d > 0 ? d : 0;

			if (float_bits(got[i]) != float_bits(wanted))
				fail(&failures, "distances_i16", n, got[i], wanted);
		}
		if (got[n] != -1)
			fail(&failures, "behind the distances", n, got[n], -1);
		if (n > 0)
			expect(&failures, "distance of equal rows", n, got[0], 0);
	}
	report_level(failures, kernels, "distances_i16, near_i16");
}

/*
 * Distances between quantized rows.  A coordinate is wrong by at most half a
 * unit, evenly spread, so the square of a distance d by about 2 d times the
 * root of the sum of both units' squares / 12; it must stay within eight times
 * that and the rounding of the floats, and be 0 for equal rows.
 */
static void
test_quantized_distance(const DistanceKernels *kernels, const float *a,
						const float *b)
{
	static const uint32_t dims[] = {16, 20, 100, 128, 784, 960};
	static float rows[TILE_MAX][960];
	static int16_t shorts[TILE_MAX][960];
	float		norm;
	float		unit[TILE_MAX];
	float		square[TILE_MAX];
	float		out[TILE_MAX][TILE_MAX];
	int			failures = 0;

	for (size_t d = 0; d < sizeof(dims) / sizeof(dims[0]); d++)
	{
		uint32_t	dim = dims[d];
		uint32_t	width = (dim + 15) / 16 * 16;

		/* around b, further and further away, and the last two equal */
		for (uint32_t i = 0; i < TILE_MAX; i++)
		{
			for (uint32_t k = 0; k < dim; k++)
				rows[i][k] = b[k] + a[(i < TILE_MAX - 1 ? i : i - 1) * 500 + k] *
					(i < 6 ? 0.001f : 0.3f);
			kernels->quantize_i16(dim, rows[i], 1, b, width, shorts[i], &norm,
								  &unit[i], &square[i]);
		}
		kernels->dot_tile_i16(width, shorts[0], 960, TILE_MAX, shorts[0], 960,
							  TILE_MAX, out[0], TILE_MAX);
		for (uint32_t i = 0; i < TILE_MAX; i++)
			kernels->distances_i16(TILE_MAX, out[i], square[i], unit[i],
								   square, unit);
		for (uint32_t i = 0; i < TILE_MAX; i++)
			for (uint32_t j = 0; j < TILE_MAX; j++)
			{
				float		got = out[i][j];
				Results		tolerance;
				double		wanted = reference(dim, rows[i], rows[j],
											   &tolerance).value[0];
				double		units = (double) unit[i] * unit[i] +
				(double) unit[j] * unit[j];
				double		error = 8 * 2 * sqrt(wanted * units / 12) +
				dim * units / 12 +
				ldexp(square[i] + square[j], -22);

				if (wanted == 0)
					expect(&failures, "distance of equal rows", dim, got, 0);
				else if (!(fabs(got - wanted) <= error))
					fail(&failures, "distance", dim, got, wanted);
				if (wanted > 0.25f * (square[i] + square[j]) &&
					!(fabs(got - wanted) <= 2e-4 * wanted))
					fail(&failures, "distance in proportion", dim, got, wanted);
			}
	}
	report_level(failures, kernels, "distances between quantized rows");
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
		test_tile_i16(kernels, simd_level_name(kernels->level));
		test_quantize(kernels, a, b);
		test_distances_i16(kernels, a, b);
		test_quantized_distance(kernels, a, b);
		test_cosine_edges(kernels, a);
		test_range(kernels);
	}
#ifdef SIMD_X86_64
	if (simd_has_avx512_vnni())
		test_tile_i16(&distance_avx512, "avx512 without VNNI");
#endif
	return finish();
}
