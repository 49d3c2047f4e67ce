/*-------------------------------------------------------------------------
 *
 * options_top.h
 *	  For bench_options.c: the top level keyed by signs instead of scanned.
 *
 * The key of a node of the top is the signs of its first coordinates, rotated
 * or along the principal axes of the set.  A search looks at the nodes whose
 * keys differ from the query's in few bits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_BENCH_OPTIONS_TOP_H
#define DESCARTES_BENCH_OPTIONS_TOP_H

#include "options_run.h"

typedef struct KeyedTop
{
	uint32_t	bits;
	uint32_t	radius;
	const GraphVectors *asked;	/* whose signs are the key */
	const GraphVectors *points;
	uint32_t   *keys;			/* of the nodes of the top */
	double		looked;			/* nodes looked at, of all searches */
	double		empty;			/* searches that had to widen the radius */
} KeyedTop;

static uint32_t
sign_key(const float *v, uint32_t bits)
{
	uint32_t	key = 0;
	uint32_t	i;

	for (i = 0; i < bits; i++)
		key |= (uint32_t) (v[i] > 0) << i;
	return key;
}

/* BenchSearch.seed */
static void
seed_by_key(BenchSearch *search)
{
	KeyedTop   *keyed = search->arg;
	const BenchTop *top = &search->index->top;
	size_t		q = (search->top_asked - search->index->set->asked.data) /
	search->index->set->asked.stride;
	uint32_t	key = sign_key(row_of(keyed->asked, (uint32_t) q), keyed->bits);
	float	   *estimates = allocate((top->n + CODE_LANES) * sizeof(float));
	uint32_t	radius = keyed->radius;
	uint32_t	nlooked = 0;
	candidate_heap best;
	uint32_t	i;

	candidate_heap_init(&best, top->n);
	score_top(search, estimates);
	for (; nlooked == 0; radius++)
		for (i = 0; i < top->n; i++)
		{
			Candidate	candidate = {estimates[i], top->down[i]};

			if ((uint32_t) __builtin_popcount(keyed->keys[i] ^ key) > radius)
				continue;
			candidate_heap_push(&best, candidate);
			nlooked++;
		}
	for (i = 0; i < opt.seeds && best.count > 0; i++)
	{
		Candidate	seed = candidate_heap_pop(&best);

		offer(search, seed.id, seed.estimate, 0);
	}
	keyed->looked += nlooked;
	keyed->empty += radius > keyed->radius + 1;
	free(best.elements);
	free(estimates);
}

static void
try_keyed(Bench *bench, KeyedTop *keyed, const char *name)
{
	const BenchTop *top = &bench->index.top;
	double		nq = bench->set.queries.n;
	char		variant[128];
	uint32_t	i;

	keyed->keys = allocate(top->n * sizeof(uint32_t));
	for (i = 0; i < top->n; i++)
		keyed->keys[i] = sign_key(row_of(keyed->points, top->rows[i]), keyed->bits);
	keyed->looked = keyed->empty = 0;
	bench->search.seed = seed_by_key;
	bench->search.arg = keyed;
	snprintf(variant, sizeof(variant), "top %u, %u %s signs, radius %u", top->n,
			 keyed->bits, name, keyed->radius);
	measure(bench, variant);
	printf("# codes looked at %.0f, empty buckets in %.1f %% of searches\n",
		   keyed->looked / nq, 100 * keyed->empty / nq);
	bench->search.seed = NULL;
	free(keyed->keys);
}

static void
study_top(Bench *bench)
{
	static const uint32_t tops[] = {512, 8192};
	uint32_t	t;
	uint32_t	bits;
	uint32_t	radius;
	int			principal;

	for (t = 0; t < 2; t++)
	{
		char		variant[64];

		opt.top = tops[t];
		make_top(&bench->index.top, &bench->set, &bench->index.base);
		snprintf(variant, sizeof(variant), "top %u, flat", opt.top);
		measure(bench, variant);
		for (principal = 0; principal < 2; principal++)
			for (bits = 6; bits <= 10; bits += 2)
				for (radius = 0; radius <= 2; radius++)
				{
					KeyedTop	keyed = {0};

					keyed.bits = bits;
					keyed.radius = radius;
					keyed.asked = principal ? &bench->axes->asked : &bench->set.asked;
					keyed.points = principal ? &bench->axes->points : &bench->set.points;
					try_keyed(bench, &keyed, principal ? "principal" : "rotated");
				}
	}
}

#endif							/* DESCARTES_BENCH_OPTIONS_TOP_H */
