/*-------------------------------------------------------------------------
 *
 * test_outofcore.c
 *	  Graphs whose rows and pools do not fit into memory: the same invariants,
 *	  nearly the recall of those in memory, no more memory than allowed.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE

#include "graph_test.h"

/* Rows for a source, in an order of locality as fng has them */
static GraphVectors source_rows;

static void
read_rows(void *arg, uint32_t first, uint32_t n, float *rows)
{
	const GraphVectors *v = arg;
	uint32_t	i;

	check(first < v->n && n <= v->n - first, "rows %u + %u of %u are read",
		  first, n, v->n);
	for (i = 0; i < n; i++)
		memcpy(rows + (size_t) i * v->dim,
			   v->data + (size_t) (first + i) * v->stride,
			   v->dim * sizeof(float));
}

static const GraphSource source = {&source_rows, read_rows};

/*
 * Put rows in order, by a team.
 */
static void
order_rows(GraphVectors *v)
{
	GraphVectors distant = *v;
	uint32_t   *order = team_share(v->n * sizeof(uint32_t));
	float	   *data = malloc(v->n * v->stride * sizeof(float));
	uint8_t    *seen = calloc(v->n, 1);
	size_t		shared;
	size_t		bound = graph_order_memory(v->n, v->dim, processes, &shared);
	size_t		bytes;
	uint32_t	i;

	source_rows = *v;
	distant.data = NULL;
	distant.source = &source;
	start_team(shared);
	graph_order(&distant, 1, &host, order);
	bytes = end_team("order");
	check(bytes <= bound, "order: %zu bytes, said at most %zu", bytes, bound);
	for (i = 0; i < v->n; i++)
	{
		check(order[i] < v->n && !seen[order[i]], "row %u comes twice",
			  order[i]);
		if (order[i] >= v->n)
			continue;
		seen[order[i]] = 1;
		memcpy(data + i * v->stride, v->data + order[i] * v->stride,
			   v->stride * sizeof(float));
	}
	free(seen);
	free((float *) v->data);
	team_unshare(order, v->n * sizeof(uint32_t));
	v->data = data;
	source_rows = *v;
}

/*
 * Build rows in order within a share of what it takes in memory; 0 for the
 * least.
 */
static uint32_t
build_outofcore(const char *what, const GraphVectors *v,
				const GraphParams *given, double share, GraphEdges *edges)
{
	GraphParams params = *given;
	GraphVectors distant = *v;
	GraphPlan	plan;
	size_t		all = graph_build_memory(v->n, v->dim, given, processes) +
	(size_t) v->n * (v->dim + given->max_degree) * sizeof(float);

	/* the least, or if that is not enough */
	if (!graph_plan(&plan, v->n, v->dim, &params, processes,
					(size_t) (share * all)))
		check(graph_plan(&plan, v->n, v->dim, &params, processes,
						 graph_all_memory(plan.memory, processes)),
			  "%s n %u dim %u: the least is not enough", what, v->n, v->dim);
	else
		check(graph_all_memory(plan.memory, processes) <= share * all,
			  "%s n %u dim %u: plan exceeds %g", what, v->n, v->dim,
			  share * all);
	params.plan = &plan;
	source_rows = *v;
	distant.data = NULL;
	distant.source = &source;
	return build(what, &distant, &params, edges);
}

static void
test_invariants(DataKind kind, uint32_t n, uint32_t dim, uint32_t max_degree,
				double share)
{
	GraphParams params;
	GraphVectors v = make_data(kind, n, dim);
	GraphEdges	edges = make_edges(n, max_degree);

	graph_params_init(&params);
	params.max_degree = max_degree;
	order_rows(&v);
	build_outofcore(kind_names[kind], &v, &params, share, &edges);
	free_edges(&edges, v.n);
	free((float *) v.data);
}

static void
test_kinds(void)
{
	uint32_t	kind;

	begin_group();
	for (kind = DATA_NORMAL; kind <= DATA_TINY; kind++)
	{
		test_invariants(kind, 1, 3, 16, 0);
		test_invariants(kind, 2, 3, 16, 0);
		test_invariants(kind, 30, 33, 16, 0);
		test_invariants(kind, 700, 20, 48, 0);
	}
	end_team_group("invariants of small graphs out of core");

	begin_group();
	for (kind = DATA_NORMAL; kind <= DATA_TINY; kind++)
	{
		test_invariants(kind, 9000, 1, 16, 0);
		test_invariants(kind, 9000, 17, 32, 0.4);
		test_invariants(kind, 9000, 40, 32, 0.8);
	}
	end_team_group("invariants of graphs by parts");
}

/*
 * Searches at a quarter of the memory, and at the least.
 */
static void
test_recall(void)
{
	static const DataKind kinds[] = {DATA_NORMAL, DATA_HALF, DATA_LINE,
	DATA_ISLANDS};
	static const double shares[] = {0.25, 0};
	GraphParams params;
	uint32_t	k;
	uint32_t	s;

	begin_group();
	graph_params_init(&params);
	params.max_degree = 32;
	for (k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
	{
		GraphVectors v = make_data(kinds[k], 14000, 14);
		GraphEdges	edges = make_edges(v.n, params.max_degree);
		uint64_t	queries;
		uint32_t	entry;
		double		in_memory;

		order_rows(&v);
		entry = build("in memory", &v, &params, &edges);
		queries = random_state;
		in_memory = search_recall(&v, &edges, entry, 0.3);
		for (s = 0; s < sizeof(shares) / sizeof(shares[0]); s++)
		{
			double		recall;

			entry = build_outofcore(kind_names[kinds[k]], &v, &params,
									shares[s], &edges);
			random_state = queries;
			recall = search_recall(&v, &edges, entry, 0.3);
			check(recall >= in_memory - (shares[s] > 0 ? 0.01 : 0.02),
				  "%s: recall of searches %.3f, in memory %.3f",
				  kind_names[kinds[k]], recall, in_memory);
		}
		free_edges(&edges, v.n);
		free((float *) v.data);
	}
	end_team_group("searches find what they find in a graph made in memory");
}

/*
 * A plan keeps to the memory it is given, or says that it cannot.
 */
static void
test_plans(void)
{
	static const uint32_t dims[] = {1, 16, 112, 784, 1536, 16000};
	uint32_t	d;
	uint32_t	n;
	uint32_t	size;

	begin_group();
	for (d = 0; d < sizeof(dims) / sizeof(dims[0]); d++)
		for (n = 1; n < 50000000; n = n * 5 + 1)
			for (size = 1; size <= 9; size += 4)
			{
				GraphParams params;
				GraphPlan	plan;
				size_t		least;
				size_t		k;

				graph_params_init(&params);
				graph_plan(&plan, n, dims[d], &params, size, 0);
				least = graph_all_memory(plan.memory, size);
				check(least <= graph_build_memory(n, dims[d], &params, size) +
					  (size_t) n * 4 * (dims[d] + params.max_degree) +
					  2000000 * (size_t) size,
					  "n %u dim %u size %u: least %zu is more than in memory",
					  n, dims[d], size, least);
				for (k = 0; k < 6; k++)
				{
					size_t		memory = least / 4 * (k + 1) + (k + 1);
					bool		enough = graph_plan(&plan, n, dims[d], &params,
													size, memory);
					size_t		bytes = graph_all_memory(plan.memory, size);

					check(enough == (memory >= least),
						  "n %u dim %u size %u: %zu of %zu is%s enough", n,
						  dims[d], size, memory, least, enough ? "" : " not");
					check(bytes <= memory || !enough,
						  "n %u dim %u size %u: %zu bytes of %zu", n, dims[d],
						  size, bytes, memory);
					check(plan.nparts >= 1 && plan.room <= n,
						  "n %u dim %u size %u: %u parts of %u", n, dims[d],
						  size, plan.nparts, plan.room);
				}
			}
	end_group("plans keep to the memory they are given");
}

/*
 * Rows of a cache are those of the source, in whatever order they are asked
 * for, and what is asked for often is read seldom.
 */
static uint64_t rows_read;

static void
count_rows(void *arg, uint32_t first, uint32_t n, float *rows)
{
	uint32_t	dim = *(const uint32_t *) arg;
	uint32_t	i;
	uint32_t	k;

	for (i = 0; i < n; i++)
		for (k = 0; k < dim; k++)
			rows[i * dim + k] = (float) ((first + i) * 7 + k);
	rows_read += n;
}

static void
test_cache(void)
{
	static const uint32_t dims[] = {1, 16, 112, 3000};
	const uint32_t n = 5000;
	uint32_t	d;
	uint32_t	share;

	begin_group();
	for (d = 0; d < sizeof(dims) / sizeof(dims[0]); d++)
		for (share = 0; share <= 4; share++)
		{
			uint32_t	dim = dims[d];
			GraphSource counting = {&dim, count_rows};
			GraphVectors v = {NULL, 0, n, dim, &counting};
			size_t		least = graph_row_cache_least(dim);
			size_t		most = graph_row_cache_most(n, dim);
			size_t		size = least + (most - least) / 4 * share;
			char	   *memory = aligned_alloc(64, (size + 64 + 63) / 64 * 64);
			GraphRowCache cache;
			uint32_t	i;

			memset(memory + size, 0x5A, 64);
			graph_row_cache_init(&cache, &v, memory, size);
			rows_read = 0;
			for (i = 0; i < 4 * n; i++)
			{
				uint32_t	row = i < n ? i : (uint32_t) (uniform() * n);
				const float *x;

				if (i == n)
					check(rows_read <= n, "%llu rows read in order",
						  (unsigned long long) rows_read);
				x = graph_row_cache_get(&cache, row);
				check(x[0] == row * 7 && x[dim - 1] == row * 7 + dim - 1,
					  "dim %u: row %u is %g ..", dim, row, x[0]);
			}
			for (i = 0; i < 64; i++)
				check(memory[size + i] == 0x5A, "dim %u: beyond its memory",
					  dim);
			/* the same few rows again and again */
			rows_read = 0;
			for (i = 0; i < 3000; i++)
				graph_row_cache_get(&cache, 17 + i % 3 * 1000);
			check(share == 0 || rows_read < 200,
				  "dim %u: %llu rows read for three", dim,
				  (unsigned long long) rows_read);
			free(memory);
		}
	end_group("rows of a cache");
}

/* One process makes the same graph again. */
static void
test_determinism(void)
{
	GraphVectors v = make_data(DATA_NORMAL, 9000, 10);
	GraphParams params;
	GraphEdges	a = make_edges(v.n, 32);
	GraphEdges	b = make_edges(v.n, 32);

	begin_group();
	graph_params_init(&params);
	params.max_degree = 32;
	order_rows(&v);
	build_outofcore("first", &v, &params, 0.3, &a);
	build_outofcore("second", &v, &params, 0.3, &b);
	check(memcmp(a.degree, b.degree, v.n * sizeof(uint16_t)) == 0,
		  "degrees differ");
	for (uint32_t i = 0; i < v.n; i++)
		check(memcmp(a.ids + (size_t) i * 32, b.ids + (size_t) i * 32,
					 a.degree[i] * sizeof(uint32_t)) == 0,
			  "edges of node %u differ", i);
	free_edges(&a, v.n);
	free_edges(&b, v.n);
	free((float *) v.data);
	end_group("same data and seed, same graph");
}

/* The host may leave at any interrupt, and find all that it gave. */
static void
test_interrupted(void)
{
	GraphVectors v = make_data(DATA_NORMAL, 5000, 16);
	GraphVectors distant = v;
	GraphPlan	plan;
	GraphParams params;
	GraphEdges	edges = make_edges(v.n, 32);
	uint32_t	entry;
	volatile uint64_t total;
	volatile int k;

	begin_group();
	graph_params_init(&params);
	params.max_degree = 32;
	build_outofcore("not interrupted", &v, &params, 0, &edges);
	total = state.interrupts;
	check(total > 100, "%llu interrupts only", (unsigned long long) total);
	graph_plan(&plan, v.n, v.dim, &params, 1, 0);
	params.plan = &plan;
	distant.data = NULL;
	distant.source = &source;
	for (k = 1; k <= 8; k++)
	{
		GraphEdges	made = edges;

		memset(&state, 0, sizeof(state));
		state.leave_at = total * k / 10;
		made.ids = NULL;
		if (setjmp(state.leave) == 0)
		{
			graph_build_layer(&distant, &params, &one_host, &made, &entry);
			check(false, "interrupt did not come");
		}
		while (state.nblocks > 0)
			free(state.blocks[--state.nblocks]);
	}
	free_edges(&edges, v.n);
	free((float *) v.data);
	end_group("the host may leave at any interrupt");
}

int
main(void)
{
	simd_set_level(simd_best_level());
	test_cache();
	test_plans();
	for (processes = 1; processes <= 3; processes++)
	{
		test_kinds();
		test_recall();
	}
	processes = 1;
	test_determinism();
	test_interrupted();
	return finish();
}
