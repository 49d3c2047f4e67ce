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
	size_t		least = graph_outofcore_memory(v->n, v->dim, given, processes);
	size_t		all = graph_build_memory(v->n, v->dim, given, processes);

	/* what the vectors take belongs to what is to be cut */
	params.memory = (size_t) (share * (all + (size_t) v->n * v->dim * 4));
	if (params.memory < least)
		params.memory = least;
	check(graph_build_memory(v->n, v->dim, &params, processes) <=
		  params.memory, "%s n %u dim %u: plan exceeds %zu bytes", what, v->n,
		  v->dim, params.memory);
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

static void
test_recall(void)
{
	static const DataKind kinds[] = {DATA_NORMAL, DATA_CLUSTERED, DATA_LINE,
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
		GraphVectors v = make_data(kinds[k], 20000, 16);
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
			printf("# %s %g: %.3f, in memory %.3f\n", kind_names[kinds[k]],
				   shares[s], recall, in_memory);
			check(recall >= in_memory - (shares[s] > 0 ? 0.005 : 0.02),
				  "%s: recall of searches %.3f, in memory %.3f",
				  kind_names[kinds[k]], recall, in_memory);
		}
		free_edges(&edges, v.n);
		free((float *) v.data);
	}
	end_team_group("searches find what they find in a graph made in memory");
}

int
main(void)
{
	simd_set_level(simd_best_level());
	for (processes = 1; processes <= 3; processes++)
	{
		test_kinds();
		test_recall();
	}
	return finish();
}
