/*-------------------------------------------------------------------------
 *
 * options_run.h
 *	  For bench_options.c: searching with one variant and printing a line.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_BENCH_OPTIONS_RUN_H
#define DESCARTES_BENCH_OPTIONS_RUN_H

#include "layout_search.h"

/* A study at work on one layout */
typedef struct Bench
{
	const char *study;
	BenchSet	set;
	BenchSearch search;
	BenchIndex	index;
	PrincipalAxes *axes;		/* NULL: not needed so far */
} Bench;

/* List sizes in steps of one, then of a sixteenth */
static void
start_curve(BenchCurve *curve, uint32_t nq)
{
	uint32_t	list = 1;

	memset(curve, 0, sizeof(*curve));
	while (list <= opt.longest && curve->nlists < MAX_LISTS)
	{
		curve->lists[curve->nlists++] = list;
		list += 1 + list / 16;
	}
	curve->each = allocate((size_t) curve->nlists * nq * sizeof(float));
}

static int
compare_floats(const void *a, const void *b)
{
	float		x = *(const float *) a;
	float		y = *(const float *) b;

	return (x > y) - (x < y);
}

static void
find_medians(const BenchCurve *curve, uint32_t nq, double *median)
{
	uint32_t	i;

	for (i = 0; i < curve->nlists; i++)
	{
		float	   *each = curve->each + (size_t) i * nq;

		qsort(each, nq, sizeof(float), compare_floats);
		median[i] = (each[(nq - 1) / 2] + each[nq / 2]) / 2;
	}
}

/* A figure at the recall wanted, between list sizes; NAN: not reached. */
static double
at_recall(const BenchCurve *curve, const double *figures, double recall)
{
	uint32_t	i;
	double		part;

	for (i = 0; i < curve->nlists && curve->right[i] < recall; i++)
		;
	if (i == curve->nlists)
		return NAN;
	if (i == 0)
		return figures[0];
	part = (curve->right[i] - recall) / (curve->right[i] - curve->right[i - 1]);
	return figures[i] - part * (figures[i] - figures[i - 1]);
}

static void
print_figure(double figure, int digits)
{
	if (isnan(figure))
		printf("\t-");
	else
		printf("\t%.*f", digits, figure);
}

static void
print_head(void)
{
	printf("study\tset\tn\tdim\tR\tB\tm\tvariant"
		   "\tL95\thops95\tmedian95\tscored95"
		   "\tL99\thops99\tmedian99\tscored99\n");
}

static void
print_curve(const Bench *bench, const BenchCurve *curve, const char *variant)
{
	const BenchIndex *index = &bench->index;
	static const double recalls[] = {0.95, 0.99};
	double		lists[MAX_LISTS];
	double		median[MAX_LISTS];
	uint32_t	i;

	for (i = 0; i < curve->nlists; i++)
		lists[i] = curve->lists[i];
	find_medians(curve, index->set->queries.n, median);
	printf("%s\t%s\t%u\t%u\t%u\t%u\t%u\t%s", bench->study, opt.name,
		   index->set->base.n, index->set->base.dim,
		   index->base.edges.max_degree, index->params.bits,
		   index->params.coded, variant);
	for (i = 0; i < 2; i++)
	{
		print_figure(at_recall(curve, lists, recalls[i]), 1);
		print_figure(at_recall(curve, curve->hops, recalls[i]), 1);
		print_figure(at_recall(curve, median, recalls[i]), 1);
		print_figure(at_recall(curve, curve->scored, recalls[i]), 0);
	}
	printf("\n");
	fflush(stdout);
}

/* Search for all queries with the variant that is set up; a line of output. */
static void
measure(Bench *bench, const char *variant)
{
	BenchCurve	curve;

	start_curve(&curve, bench->set.queries.n);
	search_all(&bench->search, &bench->index, &curve);
	print_curve(bench, &curve, variant);
	free(curve.each);
}

#endif							/* DESCARTES_BENCH_OPTIONS_RUN_H */
