/*-------------------------------------------------------------------------
 *
 * bench_distance.c
 *	  Nanoseconds per call of each distance kernel, at each level of this CPU.
 *
 *		gcc -O2 -Isrc -o bench_distance bench/bench_distance.c \
 *			src/distance/{scalar,avx2,avx512,neon,dispatch}.c -lm
 *		./bench_distance [dim ...]
 *
 * One query meets 64 rows in turn, which fit the L2 cache up to about 2,000
 * dimensions.  "many" is l2_squared_many per row, "tile" is dot_tile per pair
 * of a block of 64 by 64, "tile_i16" the same of 16-bit rows, and "quantize"
 * makes one of these.  Each figure is the best of several runs.
 *
 *-------------------------------------------------------------------------
 */
#include "distance/distance.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROWS		64
#define RUNS		7
#define RUN_NS		2e6			/* at least, per run */

typedef enum Kernel
{
	K_L2_SQUARED,
	K_DOT,
	K_COSINE,
	K_L1,
	K_NORM,
	K_MANY,
	K_TILE,
	K_TILE_I16,
	K_QUANTIZE
} Kernel;

static const char *const kernel_names[] = {
	"l2_squared", "dot", "cosine", "l1", "norm", "many", "tile",
	"tile_i16", "quantize"
};

#define NKERNELS	(K_QUANTIZE + 1)

/* Rows, and what becomes of them in 16 bits: width each, stride apart. */
typedef struct BenchRows
{
	uint32_t	dim;
	uint32_t	width;
	uint32_t	stride;
	float	   *rows;
	int16_t    *shorts;
} BenchRows;

/* Results go here, so that no call is superfluous. */
static volatile double sink;

static double
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

/* One pass over all rows; returns how many distances it computed. */
static int
pass(const DistanceKernels *kernels, Kernel kernel, const BenchRows *data)
{
	static float out[ROWS * ROWS];
	uint32_t	dim = data->dim;
	const float *rows = data->rows;
	double		sum = 0;

	if (kernel == K_MANY)
	{
		kernels->l2_squared_many(dim, rows, rows, dim, ROWS, out);
		sink = out[1];
		return ROWS;
	}
	if (kernel == K_TILE)
	{
		kernels->dot_tile(dim, rows, dim, ROWS, rows, dim, ROWS, out, ROWS);
		sink = out[1];
		return ROWS * ROWS;
	}
	if (kernel == K_TILE_I16)
	{
		kernels->dot_tile_i16(data->width, data->shorts, data->stride, ROWS,
							  data->shorts, data->stride, ROWS, out, ROWS);
		sink = out[1];
		return ROWS * ROWS;
	}
	for (int i = 0; i < ROWS; i++)
	{
		const float *row = rows + (size_t) i * dim;
		float		norm;
		float		unit;
		float		square;

		switch (kernel)
		{
			case K_L2_SQUARED:
				sum += kernels->l2_squared(dim, rows, row);
				break;
			case K_DOT:
				sum += kernels->dot(dim, rows, row);
				break;
			case K_COSINE:
				sum += kernels->cosine(dim, rows, row);
				break;
			case K_L1:
				sum += kernels->l1(dim, rows, row);
				break;
			case K_NORM:
				sum += kernels->norm(dim, row);
				break;
			default:
				kernels->quantize_i16(dim, row, 1.0f, rows, data->width,
									  data->shorts + (size_t) i * data->stride,
									  &norm, &unit, &square);
				sum += square;
				break;
		}
	}
	sink = sum;
	return ROWS;
}

static double
ns_per_distance(const DistanceKernels *kernels, Kernel kernel,
				const BenchRows *data)
{
	double		best = 1e30;

	for (int run = 0; run < RUNS; run++)
	{
		double		start = now_ns();
		double		elapsed;
		double		count = 0;

		do
		{
			count += pass(kernels, kernel, data);
			elapsed = now_ns() - start;
		} while (elapsed < RUN_NS);
		if (elapsed / count < best)
			best = elapsed / count;
	}
	return best;
}

static void
bench_dim(uint32_t dim)
{
	BenchRows	data;

	data.dim = dim;
	data.width = (dim + 15) & ~15U;
	data.stride = (dim + 31) & ~31U;
	data.rows = aligned_alloc(64, (size_t) ROWS * data.stride * sizeof(float));
	data.shorts = aligned_alloc(64, (size_t) ROWS * data.stride * sizeof(int16_t));
	if (data.rows == NULL || data.shorts == NULL)
	{
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	for (size_t i = 0; i < (size_t) ROWS * dim; i++)
		data.rows[i] = (float) rand() / (float) RAND_MAX - 0.5f;
	for (size_t i = 0; i < (size_t) ROWS * data.stride; i++)
		data.shorts[i] = (int16_t) (rand() % 1000);

	for (int level = 0; level < SIMD_NLEVELS; level++)
	{
		const DistanceKernels *kernels = distance_kernels_at((SimdLevel) level);

		if (kernels == NULL)
			continue;
		printf("%5u  %-7s", (unsigned) dim, simd_level_name(kernels->level));
		for (int k = 0; k < NKERNELS; k++)
			printf(" %10.1f", ns_per_distance(kernels, (Kernel) k, &data));
		printf("\n");
	}
	free(data.rows);
	free(data.shorts);
}

int
main(int argc, char **argv)
{
	static const uint32_t dims[] = {
		3, 16, 32, 64, 100, 128, 256, 384, 512, 784, 960, 1536, 4096
	};

	printf("%5s  %-7s", "dim", "level");
	for (int k = 0; k < NKERNELS; k++)
		printf(" %10s", kernel_names[k]);
	printf("\n");

	if (argc > 1)
	{
		for (int i = 1; i < argc; i++)
		{
			long		dim = strtol(argv[i], NULL, 10);

			if (dim < 1 || dim > 1000000)
			{
				fprintf(stderr, "not a number of dimensions: %s\n", argv[i]);
				return 1;
			}
			bench_dim((uint32_t) dim);
		}
		return 0;
	}
	for (size_t i = 0; i < sizeof(dims) / sizeof(dims[0]); i++)
		bench_dim(dims[i]);
	return 0;
}
