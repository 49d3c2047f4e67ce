/*-------------------------------------------------------------------------
 *
 * options_time.h
 *	  For bench_options.c: nanoseconds of what options add or save.
 *
 * Everything is hot: the best of several runs, each the mean of some calls.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_BENCH_OPTIONS_TIME_H
#define DESCARTES_BENCH_OPTIONS_TIME_H

#include <time.h>

#include "layout_index.h"

#define TIME_RUNS		100
#define TIME_CALLS		10

typedef struct TimeTask
{
	CodeParams	params;
	uint32_t	lanes;
	CodeRotation *rotation;
	CodeQuery  *query;
	uint8_t    *block;
	float	   *matrix;			/* m rows of dim */
	float	   *vector;
	float	   *out;
} TimeTask;

static void
task_product(TimeTask *task)
{
	distance_kernels()->dot_tile(task->params.dim, task->matrix, task->params.dim,
								 task->params.coded, task->vector,
								 task->params.dim, 1, task->out, 1);
}

static void
task_rotate(TimeTask *task)
{
	code_rotate(task->rotation, task->vector, task->out);
}

static void
task_score(TimeTask *task)
{
	code_score_block(&task->params, task->query, task->block, task->lanes, task->out);
}

static void
task_project(TimeTask *task)
{
	task->out[0] = distance_kernels()->dot(task->params.dim, task->matrix, task->vector);
}

static double
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

static double
time_task(void (*run) (TimeTask *task), TimeTask *task)
{
	double		best = INFINITY;
	uint32_t	i;
	uint32_t	k;

	for (i = 0; i < TIME_RUNS; i++)
	{
		double		start = now_ns();

		for (k = 0; k < TIME_CALLS; k++)
			run(task);
		best = fmin(best, (now_ns() - start) / TIME_CALLS);
	}
	return best;
}

static void
time_layout(uint32_t dim, uint32_t bits, uint32_t coded)
{
	TimeTask	task = {code_params(dim, bits, coded), CODE_LANES, NULL, NULL, NULL, NULL, NULL, NULL};
	size_t		nfloats = (size_t) task.params.coded * dim;
	size_t		i;

	task.rotation = code_rotation_init(&task.params,
									   allocate(code_rotation_size(&task.params)));
	task.matrix = allocate(nfloats * sizeof(float));
	task.vector = allocate(task.params.rotdim * sizeof(float));
	task.out = allocate((task.params.rotdim + CODE_LANES) * sizeof(float));
	for (i = 0; i < nfloats; i++)
		task.matrix[i] = (float) ((uint32_t) i * 2654435761u) / 4294967296.0f - 0.5f;
	for (i = 0; i < task.params.rotdim; i++)
		task.vector[i] = task.matrix[i];
	task.query = code_query_init(&task.params, task.vector,
								 allocate(code_query_size(&task.params)));
	task.block = allocate(code_block_bytes(&task.params, CODE_LANES));
	memset(task.block, 0x5a, code_block_bytes(&task.params, CODE_LANES));
	printf("%u\t%u\t%u\t%.0f\t%.1f", dim, bits, coded,
		   (double) nfloats * sizeof(float), time_task(task_product, &task));
	printf("\t%.1f", time_task(task_rotate, &task));
	printf("\t%.1f", time_task(task_score, &task));
	task.lanes = CODE_HALF_LANES;
	printf("\t%.1f", time_task(task_score, &task));
	printf("\t%.1f\n", time_task(task_project, &task));
	free(task.rotation);
	free(task.matrix);
	free(task.vector);
	free(task.out);
	free(task.query);
	free(task.block);
}

/*
 * Of a query: the product with a dense matrix of m rows, and the rotation in
 * its place.  Of a node: the scores of 32 and of 16 neighbours, and the
 * projection on an axis of float32.
 */
static void
study_times(void)
{
	printf("dim\tB\tm\tmatrix bytes\tproduct\trotation\tscore 32\tscore 16\tproject\n");
	time_layout(112, 2, 112);
	time_layout(128, 2, 128);
	time_layout(128, 1, 128);
	time_layout(256, 2, 256);
	time_layout(784, 1, 656);
	time_layout(960, 1, 832);
	time_layout(960, 1, 400);
}

#endif							/* DESCARTES_BENCH_OPTIONS_TIME_H */
