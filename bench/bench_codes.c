/*-------------------------------------------------------------------------
 *
 * bench_codes.c
 *	  Nanoseconds of rotation, encoding, query preparation and scoring, at
 *	  each level of this CPU.
 *
 *		gcc -O2 -Isrc -o bench_codes bench/bench_codes.c \
 *			src/code/[a-z]*.c src/distance/[a-z]*.c -lm
 *		./bench_codes [dim ...]
 *
 * "block" is code_score_block of 32 neighbours, "half" of 16, "row" is
 * code_score_row, "estim" is code_estimate of 32.  "encode" and "put" are of
 * one neighbour; "query" is code_query_init of a rotated query.  All memory is
 * hot.  Each figure is the best of several runs.
 *
 *-------------------------------------------------------------------------
 */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "code/code.h"

#define RUNS		7
#define RUN_NS		1e6			/* at least, per run */

typedef enum Task
{
	T_ROTATE,
	T_ENCODE,
	T_PUT,
	T_QUERY,
	T_BLOCK,
	T_HALF,
	T_ROW,
	T_ESTIMATE,
	T_COUNT
} Task;

static const char *const task_names[T_COUNT] = {
	"rotate", "encode", "put", "query", "block", "half", "row", "estim"
};

/* Everything that a task works on. */
typedef struct Bench
{
	CodeParams	params;
	CodeRotation *rotation;
	CodeQuery  *query;
	void	   *query_memory;
	float	   *from;
	float	   *to;
	float	   *out;
	uint8_t    *row;
	uint8_t    *block;
	float		add[CODE_LANES];
	uint16_t	mul[CODE_LANES];
	float		score[CODE_LANES];
	float		est[CODE_LANES];
} Bench;

static volatile float sink;

static double
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void *
allocate(size_t size)
{
	void	   *memory = aligned_alloc(64, (size + 63) / 64 * 64);

	if (memory == NULL)
	{
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	return memory;
}

static float *
random_floats(uint32_t n)
{
	float	   *v = allocate(n * sizeof(float));

	for (uint32_t i = 0; i < n; i++)
		v[i] = (float) rand() / (float) RAND_MAX - 0.5f;
	return v;
}

static void
bench_init(Bench *bench, uint32_t dim, uint32_t bits)
{
	CodeParams *params = &bench->params;
	uint32_t	n = code_rotated_dim(dim);

	params->dim = dim;
	params->rotdim = params->coded = n;
	params->bits = bits;
	params->seed = 1;
	bench->rotation = code_rotation_init(params,
										 allocate(code_rotation_size(params)));
	bench->from = random_floats(n);
	bench->to = random_floats(n);
	bench->out = random_floats(n);
	bench->row = allocate(code_row_bytes(params));
	bench->block = allocate(code_block_bytes(params, CODE_LANES));
	bench->query_memory = allocate(code_query_size(params));
	bench->query = code_query_init(params, bench->out, bench->query_memory);
	for (size_t i = 0; i < code_row_bytes(params); i++)
		bench->row[i] = (uint8_t) rand();
	for (size_t i = 0; i < code_block_bytes(params, CODE_LANES); i++)
		bench->block[i] = (uint8_t) rand();
	for (int i = 0; i < CODE_LANES; i++)
	{
		bench->add[i] = 1;
		bench->mul[i] = 0x3c00;
		bench->score[i] = 1;
	}
}

static void
bench_free(Bench *bench)
{
	free(bench->rotation);
	free(bench->query_memory);
	free(bench->from);
	free(bench->to);
	free(bench->out);
	free(bench->row);
	free(bench->block);
}

static void
run_task(Bench *b, Task task)
{
	const CodeParams *params = &b->params;

	switch (task)
	{
		case T_ROTATE:
			code_rotate(b->rotation, b->from, b->out);
			break;
		case T_ENCODE:
			code_encode(params, CODE_L2, b->from, b->to, b->row, &b->est[0],
						&b->est[1]);
			break;
		case T_PUT:
			code_block_put(params, b->block, CODE_LANES, 17, b->row);
			break;
		case T_QUERY:
			b->query = code_query_init(params, b->to, b->query_memory);
			break;
		case T_BLOCK:
			code_score_block(params, b->query, b->block, CODE_LANES, b->score);
			break;
		case T_HALF:
			code_score_block(params, b->query, b->block, CODE_HALF_LANES,
							 b->score);
			break;
		case T_ROW:
			sink = code_score_row(params, b->query, b->row);
			break;
		default:
			code_estimate(CODE_LANES, 1, 1, b->add, b->mul, b->score, 1, b->est);
			break;
	}
}

/* Nanoseconds per run of a task, the best of RUNS. */
static double
measure(Bench *bench, Task task)
{
	double		best = 1e30;
	long		repeat = 1;

	for (int run = 0; run < RUNS; run++)
	{
		double		start = now_ns();
		double		elapsed;

		for (long i = 0; i < repeat; i++)
			run_task(bench, task);
		elapsed = now_ns() - start;
		if (elapsed < RUN_NS)
		{
			repeat *= 2;
			run = -1;
		}
		else if (elapsed / repeat < best)
			best = elapsed / repeat;
	}
	return best;
}

int
main(int argc, char **argv)
{
	static const uint32_t default_dims[] = {32, 112, 128, 256, 784, 960, 1536};
	int			ndims = argc > 1 ? argc - 1 : 7;

	printf("%-7s %5s %2s", "level", "dim", "B");
	for (int task = 0; task < T_COUNT; task++)
		printf(" %8s", task_names[task]);
	printf("\n");

	for (int level = 0; level < SIMD_NLEVELS; level++)
	{
		if (!simd_set_level((SimdLevel) level))
			continue;
		for (int d = 0; d < ndims; d++)
			for (uint32_t bits = 1; bits <= 8; bits *= 2)
			{
				uint32_t	dim = argc > 1 ? (uint32_t) atoi(argv[d + 1]) :
				default_dims[d];
				Bench		bench;

				if (dim < 1 || dim > 65536)
				{
					fprintf(stderr, "dimension out of range\n");
					return 1;
				}
				bench_init(&bench, dim, bits);
				printf("%-7s %5u %2u", simd_level_name((SimdLevel) level),
					   (unsigned) dim, (unsigned) bits);
				for (int task = 0; task < T_COUNT; task++)
					printf(" %8.1f", measure(&bench, (Task) task));
				printf("\n");
				bench_free(&bench);
			}
	}
	return 0;
}
