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
 * of a block of 64 by 64.  Each figure is the best of several runs.
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
	K_TILE
} Kernel;

static const char *const kernel_names[] = {
	"l2_squared", "dot", "cosine", "l1", "norm", "many", "tile"
};

#define NKERNELS	(K_TILE + 1)

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
pass(const DistanceKernels *kernels, Kernel kernel, uint32_t dim,
	 const float *rows)
{
	static float out[ROWS * ROWS];
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
	for (int i = 0; i < ROWS; i++)
	{
		const float *row = rows + (size_t) i * dim;

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
			default:
				sum += kernels->norm(dim, row);
				break;
		}
	}
	sink = sum;
	return ROWS;
}

static double
ns_per_distance(const DistanceKernels *kernels, Kernel kernel, uint32_t dim,
				const float *rows)
{
	double		best = 1e30;

	for (int run = 0; run < RUNS; run++)
	{
		double		start = now_ns();
		double		elapsed;
		double		count = 0;

		do
		{
			count += pass(kernels, kernel, dim, rows);
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
	float	   *rows = malloc((size_t) ROWS * dim * sizeof(float));

	if (rows == NULL)
	{
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	for (size_t i = 0; i < (size_t) ROWS * dim; i++)
		rows[i] = (float) rand() / (float) RAND_MAX - 0.5f;

	for (int level = 0; level < SIMD_NLEVELS; level++)
	{
		const DistanceKernels *kernels = distance_kernels_at((SimdLevel) level);

		if (kernels == NULL)
			continue;
		printf("%5u  %-7s", (unsigned) dim, simd_level_name(kernels->level));
		for (int k = 0; k < NKERNELS; k++)
			printf(" %10.1f", ns_per_distance(kernels, (Kernel) k, dim, rows));
		printf("\n");
	}
	free(rows);
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
