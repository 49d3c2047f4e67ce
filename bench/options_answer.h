/*-------------------------------------------------------------------------
 *
 * options_answer.h
 *	  For bench_options.c: answers from estimates, without a visit.
 *
 * A search ends when `list` visited nodes are nearer than every estimate, as
 * ever, but its answer is the best ten of what it has visited, by distance,
 * and of what it has not, by estimate.  A list below ten is thus possible.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_BENCH_OPTIONS_ANSWER_H
#define DESCARTES_BENCH_OPTIONS_ANSWER_H

#include "options_run.h"

typedef struct AnswerRow
{
	float		key;			/* distance or estimate */
	float		distance;
	uint32_t	id;				/* UINT32_MAX if visited */
} AnswerRow;

typedef struct AnswerSums
{
	double		unvisited[MAX_LISTS];	/* rows of an answer */
	double		inversions[MAX_LISTS];	/* neighbours in the wrong order */
	double		wrong[MAX_LISTS];	/* answers with any of those */
} AnswerSums;

/* Insert into the best ten unless it is there. */
static uint32_t
insert_row(AnswerRow *rows, uint32_t n, AnswerRow row)
{
	uint32_t	at;

	for (at = 0; row.id != UINT32_MAX && at < n; at++)
		if (rows[at].id == row.id)
			return n;
	if (n == K && row.key >= rows[K - 1].key)
		return n;
	at = n < K ? n++ : K - 1;
	for (; at > 0 && rows[at - 1].key > row.key; at--)
		rows[at] = rows[at - 1];
	rows[at] = row;
	return n;
}

static void
answer(BenchSearch *search, float kth, BenchCurve *curve, AnswerSums *sums, uint32_t at)
{
	const BenchSet *set = search->index->set;
	AnswerRow	rows[K];
	uint32_t	inversions = 0;
	uint32_t	n = 0;
	uint32_t	i;

	for (i = 0; i < search->nsteps && i < K; i++)
	{
		AnswerRow	row = {search->sorted[i], search->sorted[i], UINT32_MAX};

		n = insert_row(rows, n, row);
	}
	for (i = 0; i < search->heap.count; i++)
	{
		Candidate	candidate = search->heap.elements[i];
		AnswerRow	row = {candidate.estimate, 0, candidate.id};

		if (search->visited[candidate.id] == search->stamp ||
			candidate.estimate != search->estimate[candidate.id])
			continue;
		n = insert_row(rows, n, row);
	}
	for (i = 0; i < n; i++)
	{
		if (rows[i].id != UINT32_MAX)
		{
			rows[i].distance = distance_kernels()->l2_squared(set->base.dim,
															  search->exact,
															  row_of(&set->base, rows[i].id));
			sums->unvisited[at]++;
		}
		curve->right[at] += rows[i].distance <= kth * (1 + 1e-6f);
		inversions += i > 0 && rows[i].distance < rows[i - 1].distance;
	}
	sums->inversions[at] += inversions;
	sums->wrong[at] += inversions > 0;
}

static void
print_answers(const Bench *bench, const BenchCurve *curve, const AnswerSums *sums)
{
	static const double recalls[] = {0.95, 0.99};
	uint32_t	i;

	print_curve(bench, curve, "ten best by estimate");
	for (i = 0; i < 2; i++)
		printf("# at %.2f: unvisited %.2f of ten, inversions %.3f per answer,"
			   " in %.1f %% of answers\n", recalls[i],
			   at_recall(curve, sums->unvisited, recalls[i]),
			   at_recall(curve, sums->inversions, recalls[i]),
			   100 * at_recall(curve, sums->wrong, recalls[i]));
}

static void
study_answer(Bench *bench)
{
	BenchSearch *search = &bench->search;
	BenchIndex *index = &bench->index;
	uint32_t	nq = bench->set.queries.n;
	AnswerSums	sums = {{0}, {0}, {0}};
	BenchCurve	curve;
	uint32_t	q;
	uint32_t	i;

	measure(bench, "ten visited");
	start_curve(&curve, nq);
	search->query[0] = allocate(code_query_size(&index->params));
	search->top_query = allocate(code_query_size(&index->top.params));
	for (q = 0; q < nq; q++)
	{
		start_search(search, index, q);
		for (i = 0; i < curve.nlists; i++)
		{
			uint32_t	list = curve.lists[i];

			while (search->nsteps < MAX_STEPS && least_estimate(search) < INFINITY &&
				   (search->nsteps < list ||
					search->sorted[list - 1] > least_estimate(search)))
				expand(search, &index->base, opt.width);
			answer(search, bench->set.kth[q], &curve, &sums, i);
			curve.hops[i] += search->nsteps;
			curve.each[(size_t) i * nq + q] = search->nsteps;
			curve.scored[i] += search->nscored;
		}
	}
	for (i = 0; i < curve.nlists; i++)
	{
		curve.hops[i] /= nq;
		curve.scored[i] /= nq;
		curve.right[i] /= (double) nq * K;
		sums.unvisited[i] /= nq;
		sums.inversions[i] /= nq;
		sums.wrong[i] /= nq;
	}
	print_answers(bench, &curve, &sums);
	free(search->query[0]);
	free(search->top_query);
	free(curve.each);
}

#endif							/* DESCARTES_BENCH_OPTIONS_ANSWER_H */
