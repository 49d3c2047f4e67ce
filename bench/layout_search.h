/*-------------------------------------------------------------------------
 *
 * layout_search.h
 *	  For bench_layout.c and bench_options.c: best-first search by estimate,
 *	  with a trace.
 *
 * What search.c and expand.c of src/fng do, in memory, and without a list
 * size: that decides when rows are returned, not which node comes next.  So
 * one search, replayed, answers for all list sizes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_BENCH_LAYOUT_SEARCH_H
#define DESCARTES_BENCH_LAYOUT_SEARCH_H

#include "layout_index.h"

/* minheap.h as the server has it */
typedef size_t Size;
#define palloc			malloc
#define repalloc_huge	realloc
#define mul_size(a, b)	((a) * (b))
#define unlikely(x)		(x)

typedef struct Candidate
{
	float		estimate;
	uint32_t	id;
} Candidate;

#define MH_PREFIX candidate
#define MH_ELEMENT Candidate
#define MH_KEY(e) ((e).estimate)
#include "fng/minheap.h"

/*
 * A search; the trace has an entry per expansion on the base.
 *
 * Two steps can be replaced (NULL: as the server does them).  seed offers the
 * candidates to start from.  choose tells which edges of a node at distance
 * base count: a flag per edge, or NULL for all; it adds what is scored to
 * nscored.
 */
typedef struct BenchSearch BenchSearch;

struct BenchSearch
{
	const BenchIndex *index;
	void		(*seed) (BenchSearch *search);
	const uint8_t *(*choose) (BenchSearch *search, uint32_t node, float base);
	void	   *arg;			/* of the two */
	CodeQuery  *query[MAX_WINDOWS];
	CodeQuery  *top_query;
	const float *exact;			/* the query as given */
	const float *asked;			/* as the codes of the base have it */
	const float *top_asked;		/* and those of the top */
	candidate_heap heap;
	uint32_t   *visited;		/* stamp of the search that did */
	uint32_t   *known;			/* stamp: estimate and weight are set */
	float	   *estimate;
	float	   *weight;
	uint32_t	stamp;
	uint32_t	hops;			/* on the level between */
	uint32_t	nsteps;
	float		dist[MAX_STEPS];
	float		least[MAX_STEPS];	/* estimate of all unexpanded, after */
	uint32_t	scored[MAX_STEPS];
	uint32_t	nscored;
	float		sorted[MAX_STEPS];	/* distances visited on this level */
	float		bound;			/* as in expand.c */
};


typedef struct BenchCurve
{
	uint32_t	nlists;
	uint32_t	lists[MAX_LISTS];
	double		hops[MAX_LISTS];
	double		right[MAX_LISTS];
	double		scored[MAX_LISTS];
	float	   *each;			/* NULL, or hops by list and query */
} BenchCurve;

/*
 * Take an estimate of a node as a candidate.  weight grows with the accuracy
 * of the estimate.  search->estimate is what all its estimates come to.
 */
static void
offer(BenchSearch *search, uint32_t id, float estimate, float weight)
{
	Candidate	candidate = {estimate, id};

	if (search->visited[id] == search->stamp)
		return;
	if (opt.merge == MERGE_LEAST && search->known[id] == search->stamp &&
		search->estimate[id] <= estimate)
		return;
	if (opt.merge == MERGE_PLAIN)
		weight = 1;
	if (estimate > search->bound && opt.merge != MERGE_LEAST)
	{
		if (search->known[id] == search->stamp)
			return;
		weight = 0;
	}
	else if (opt.merge != MERGE_LEAST && search->known[id] == search->stamp)
	{
		float		sum = search->weight[id] + weight;

		if (opt.merge == MERGE_BEST && weight <= search->weight[id])
			return;
		if (opt.merge != MERGE_BEST)
		{
			candidate.estimate = (search->estimate[id] * search->weight[id] +
								  estimate * weight) / sum;
			weight = sum;
		}
	}
	search->known[id] = search->stamp;
	search->estimate[id] = candidate.estimate;
	search->weight[id] = weight;
	candidate_heap_push(&search->heap, candidate);
}

/* Drop entries from the heap that are visited or replaced; the least left. */
static float
least_estimate(BenchSearch *search)
{
	while (search->heap.count > 0)
	{
		Candidate	best = search->heap.elements[0];

		if (search->visited[best.id] != search->stamp &&
			best.estimate == search->estimate[best.id])
			return best.estimate;
		candidate_heap_pop(&search->heap);
	}
	return INFINITY;
}

/* Estimate the neighbours of a node at distance base from the query. */
static void
score_node(BenchSearch *search, BenchLevel *level, uint32_t node, float base)
{
	const CodeParams *params = &search->index->params;
	uint32_t	max = level->edges.max_degree;
	size_t		at = (size_t) node * max;
	uint32_t	degree = level->edges.degree[node];
	float		deviation = code_error_scale(params) * level->scale[node] * sqrtf(base);
	const uint8_t *chosen = NULL;
	uint32_t	first;

	if (opt.use > 0 && opt.use < degree)
		degree = opt.use;
	if (search->choose != NULL)
		chosen = search->choose(search, node, base);
	else
		search->nscored += degree;
	for (first = 0; first < degree; first += CODE_LANES)
	{
		uint32_t	n = degree - first < CODE_LANES ? degree - first : CODE_LANES;
		float		scores[CODE_LANES];
		float		estimates[CODE_LANES];
		uint32_t	i;

		code_score_block(params, search->query[window_of(node)],
						 level->codes + (at + first) * code_row_bytes(params),
						 lanes_of(max, first), scores);
		code_estimate(n, base, level->scale[node], level->add + at + first,
					  level->mul + at + first, scores, INFINITY, estimates);
		for (i = 0; i < n; i++)
		{
			float		error = deviation *
			fabsf(half_to_float(level->mul[at + first + i]));

			if (chosen != NULL && !chosen[first + i])
				continue;
			offer(search, level->edges.ids[at + first + i],
				  estimates[i] - opt.explore * error,
				  1 / (error * error + 1e-30f));
		}
	}
}

/*
 * Visit the best `width` candidates, all chosen before the first is visited.
 */
static void
expand(BenchSearch *search, BenchLevel *level, uint32_t width)
{
	const BenchSet *set = search->index->set;
	const DistanceKernels *kernels = distance_kernels();
	uint32_t	nodes[16];
	uint32_t	n = 0;
	uint32_t	i;
	uint32_t	k;

	while (n < width && search->nsteps + n < MAX_STEPS &&
		   least_estimate(search) < INFINITY)
	{
		nodes[n] = candidate_heap_pop(&search->heap).id;
		search->visited[nodes[n++]] = search->stamp;
	}
	for (i = 0; i < n; i++)
	{
		uint32_t	row = level->rows ? level->rows[nodes[i]] : nodes[i];
		float		d = kernels->l2_squared(set->base.dim, search->exact,
											row_of(&set->base, row));

		if (!level->encoded[nodes[i]])
			encode_node(search->index, level, nodes[i]);
		score_node(search, level, nodes[i], d);
		for (k = search->nsteps; k > 0 && search->sorted[k - 1] > d; k--)
			search->sorted[k] = search->sorted[k - 1];
		search->sorted[k] = d;
		search->dist[search->nsteps] = d;
		search->scored[search->nsteps] = search->nscored;
		search->least[search->nsteps++] = -INFINITY;
	}
	if (opt.bound > 0 && search->nsteps >= opt.bound)
		search->bound = search->sorted[opt.bound - 1] +
			0.25f * (search->sorted[opt.bound - 1] - search->sorted[0]);
	search->least[search->nsteps - 1] = least_estimate(search);
}

/* Start on a level: nothing visited, no candidates. */
static void
enter_level(BenchSearch *search)
{
	search->stamp++;
	search->heap.count = 0;
	search->nsteps = 0;
	search->bound = INFINITY;
}

static void
score_top(BenchSearch *search, float *estimates)
{
	const float *asked = search->top_asked;
	const BenchIndex *index = search->index;
	const BenchTop *top = &index->top;
	const DistanceKernels *kernels = distance_kernels();
	float		base = kernels->dot(index->set->asked.dim, asked, asked);
	float		scores[CODE_LANES];
	uint32_t	i;

	if (opt.topbits == 32)
	{
		for (i = 0; i < top->n; i++)
			estimates[i] = kernels->l2_squared(index->set->base.dim, search->exact,
											   row_of(&index->set->base, top->rows[i]));
		return;
	}
	code_query_init(&top->params, asked, search->top_query);
	for (i = 0; i < top->n; i += CODE_LANES)
	{
		uint32_t	n = top->n - i < CODE_LANES ? top->n - i : CODE_LANES;

		code_score_block(&top->params, search->top_query, top->blocks +
						 i / CODE_LANES * code_block_bytes(&top->params, CODE_LANES),
						 CODE_LANES, scores);
		code_estimate(n, base, top->scale, top->add + i, top->mul + i, scores,
					  INFINITY, estimates + i);
	}
}

/* Scan the top level and start from its best nodes. */
static void
seed_from_top(BenchSearch *search)
{
	const BenchTop *top = &search->index->top;
	float	   *estimates = allocate((top->n + CODE_LANES) * sizeof(float));
	candidate_heap best;
	uint32_t	i;

	candidate_heap_init(&best, top->n);
	score_top(search, estimates);
	for (i = 0; i < top->n; i++)
	{
		Candidate	candidate = {estimates[i], top->down[i]};

		candidate_heap_push(&best, candidate);
	}
	for (i = 0; i < opt.seeds && best.count > 0; i++)
	{
		Candidate	seed = candidate_heap_pop(&best);

		offer(search, seed.id, seed.estimate, 0);
	}
	free(best.elements);
	free(estimates);
}

/* Search the level between and start from what it found. */
static void
descend(BenchSearch *search, BenchLevel *level)
{
	Candidate	found[MAX_SEEDS];
	uint32_t	nfound = 0;
	uint32_t	list = opt.midlist;
	uint32_t	i;

	while (search->nsteps < MAX_STEPS && least_estimate(search) < INFINITY &&
		   (search->nsteps < list ||
			search->sorted[list - 1] > least_estimate(search)))
	{
		uint32_t	node = search->heap.elements[0].id;
		Candidate	next = {0, level->rows[node]};
		uint32_t	k;

		expand(search, level, 1);
		next.estimate = search->dist[search->nsteps - 1];
		k = nfound < list ? nfound++ : list;
		for (; k > 0 && found[k - 1].estimate > next.estimate; k--)
			if (k < list)
				found[k] = found[k - 1];
		if (k < list)
			found[k] = next;
	}
	search->hops = search->nsteps;
	enter_level(search);
	for (i = 0; i < nfound; i++)
		offer(search, found[i].id, found[i].estimate, INFINITY);
}

/* Take up query q: everything but the expansions on the base. */
static void
start_search(BenchSearch *search, BenchIndex *index, uint32_t q)
{
	float		turned[MAX_DIM];
	uint32_t	i;

	search->exact = row_of(&index->set->queries, q);
	search->asked = row_of(&index->asked, q);
	search->top_asked = row_of(&index->set->asked, q);
	search->hops = 0;
	search->nscored = 0;
	for (i = 0; i < opt.windows; i++)
	{
		turn(search->asked, index->params.rotdim, i, turned);
		code_query_init(&index->params, turned, search->query[i]);
	}
	enter_level(search);
	if (search->seed != NULL)
		search->seed(search);
	else
		seed_from_top(search);
	if (index->mid.n > 0)
		descend(search, &index->mid);
}

/* Search until even the longest list has been filled and returned. */
static void
run_search(BenchSearch *search, BenchIndex *index, uint32_t q, uint32_t longest)
{
	uint32_t	enough = longest + K - 1;

	start_search(search, index, q);
	while (search->nsteps < MAX_STEPS && least_estimate(search) < INFINITY &&
		   (search->nsteps < enough ||
			search->sorted[enough - 1] > search->least[search->nsteps - 1]))
		expand(search, &index->base, opt.width);
}

/*
 * Replay the trace with a list size: the nearest visited, unreturned node is
 * returned when `list` of them are nearer than every estimate.
 */
static void
replay(const BenchSearch *search, float kth, uint32_t list, BenchCurve *curve, uint32_t at)
{
	float		near[MAX_STEPS];
	uint32_t	nnear = 0;
	uint32_t	first = 0;		/* those before it are returned */
	uint32_t	right = 0;
	uint32_t	step;
	uint32_t	k;

	for (step = 0; step < search->nsteps && first < K; step++)
	{
		float		d = search->dist[step];

		for (k = nnear++; k > first && near[k - 1] > d; k--)
			near[k] = near[k - 1];
		near[k] = d;
		while (first < K && first < nnear &&
			   (step + 1 == search->nsteps ||
				(nnear - first >= list &&
				 near[first + list - 1] <= search->least[step])))
			right += near[first++] <= kth * (1 + 1e-6f);
	}
	curve->hops[at] += step + search->hops;
	curve->right[at] += right;
	curve->scored[at] += search->scored[step - 1];
}

static void
search_all(BenchSearch *search, BenchIndex *index, BenchCurve *curve)
{
	uint32_t	nq = index->set->queries.n;
	uint32_t	q;
	uint32_t	i;

	search->index = index;
	for (i = 0; i < opt.windows; i++)
		search->query[i] = allocate(code_query_size(&index->params));
	if (opt.topbits != 32)
		search->top_query = allocate(code_query_size(&index->top.params));
	for (q = 0; q < nq; q++)
	{
		run_search(search, index, q, curve->lists[curve->nlists - 1]);
		for (i = 0; i < curve->nlists; i++)
		{
			double		before = curve->hops[i];

			replay(search, index->set->kth[q], curve->lists[i], curve, i);
			if (curve->each != NULL)
				curve->each[(size_t) i * nq + q] = (float) (curve->hops[i] - before);
		}
	}
	for (i = 0; i < curve->nlists; i++)
	{
		curve->hops[i] /= nq;
		curve->scored[i] /= nq;
		curve->right[i] /= (double) nq * K;
	}
	for (i = 0; i < opt.windows; i++)
		free(search->query[i]);
	free(search->top_query);
	search->top_query = NULL;
}

#endif							/* DESCARTES_BENCH_LAYOUT_SEARCH_H */
