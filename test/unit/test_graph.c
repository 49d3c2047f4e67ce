/*-------------------------------------------------------------------------
 *
 * test_graph.c
 *	  Invariants of the graph over plain arrays, by one process and by teams.
 *
 * Compile with -O2 -Isrc, every .c file of src/graph and src/distance, -lm.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE

#include "graph_test.h"

static void
test_invariants(DataKind kind, uint32_t n, uint32_t dim, uint32_t max_degree)
{
	GraphParams params;
	GraphVectors v = make_data(kind, n, dim);
	GraphEdges	edges;

	graph_params_init(&params);
	params.max_degree = max_degree;
	edges = make_edges(n, max_degree);
	build(kind_names[kind], &v, &params, &edges);
	free_edges(&edges, v.n);
	free((float *) v.data);
}

static void
test_small(void)
{
	uint32_t	kind;
	uint32_t	n;

	begin_group();
	for (kind = DATA_NORMAL; kind <= DATA_TINY; kind++)
		for (n = 1; n <= 40; n = n < 6 ? n + 1 : n + 11)
		{
			test_invariants(kind, n, 1, 16);
			test_invariants(kind, n, 3, 16);
			test_invariants(kind, n, 33, 32);
		}
	end_team_group("invariants of graphs of 1 to 40 rows");

	begin_group();
	for (kind = DATA_NORMAL; kind <= DATA_TINY; kind++)
	{
		test_invariants(kind, 700, 1, 16);
		test_invariants(kind, 700, 20, 48);
	}
	end_team_group("invariants of graphs by all pairs");

	begin_group();
	for (kind = DATA_NORMAL; kind <= DATA_TINY; kind++)
	{
		test_invariants(kind, 5000, 1, 16);
		test_invariants(kind, 6000, 17, 32);
	}
	end_team_group("invariants of graphs by NN-descent");

	begin_group();
	test_invariants(DATA_EQUAL, 200000, 2, 16);
	test_invariants(DATA_HALF, 20000, 4, 16);
	test_invariants(DATA_CLUSTERED, 20000, 8, 240);
	end_team_group("invariants of many equal rows and of large degree");
}

static void
test_search(void)
{
	static const DataKind kinds[] = {DATA_NORMAL, DATA_LINE, DATA_HALF,
	DATA_ISLANDS};
	GraphParams params;
	uint32_t	k;

	begin_group();
	graph_params_init(&params);
	params.max_degree = 32;
	for (k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
	{
		GraphVectors v = make_data(kinds[k], 8000, 12);
		GraphEdges	edges = make_edges(v.n, params.max_degree);
		uint32_t	entry = build(kind_names[kinds[k]], &v, &params, &edges);
		double		recall = search_recall(&v, &edges, entry, 0.3);

		check(recall >= (kinds[k] == DATA_ISLANDS ? 0.8 : 0.97),
			  "%s: recall of searches %.3f",
			  kind_names[kinds[k]], recall);
		free_edges(&edges, v.n);
		free((float *) v.data);
	}
	end_team_group("searches find their neighbours");
}

/*
 * The pools against a full scan, on clusters of uneven density.
 */
static void
test_pools(void)
{
	GraphVectors v = make_data(DATA_NORMAL, 12000, 24);
	float	   *data = (float *) v.data;
	GraphSpace	space;
	GraphPools	pools;
	GraphControls controls;
	uint32_t   *nodes = team_share(v.n * sizeof(uint32_t));
	uint32_t   *leaf_start = team_share((v.n + 1) * sizeof(uint32_t));
	uint8_t    *seen = calloc(v.n, 1);
	float	   *all = malloc(v.n * sizeof(float));
	uint32_t	pass;
	uint32_t	nleaves;
	uint32_t	right = 0;
	uint32_t	i;
	uint32_t	k;

	begin_group();
	for (i = 0; i < v.n; i++)
		for (k = 0; k < v.dim; k++)
			data[i * v.stride + k] = (float) ((i % 30) * (k % 5) +
											  data[i * v.stride + k] * (1 + i % 4));
	pools.capacity = 64;
	pools.entries = team_share((size_t) v.n * 64 * sizeof(GraphEntry));
	pools.count = team_share(v.n * sizeof(uint16_t));
	start_team(64 * 1024 * 1024);
	graph_space_init(&space, &v, &host);
	graph_begin(&space, GRAPH_PHASE_NEIGHBOURS, (uint64_t) v.n * 100);
	for (pass = 0; pass < 2; pass++)
	{
		nleaves = graph_partition(&space, pass, nodes, leaf_start);
		check(leaf_start[0] == 0 && leaf_start[nleaves] == v.n,
			  "leaves do not cover all nodes");
		for (i = 0; i < nleaves; i++)
			check(leaf_start[i + 1] > leaf_start[i] &&
				  leaf_start[i + 1] - leaf_start[i] <= GRAPH_LEAF_MAX,
				  "leaf of %u nodes", leaf_start[i + 1] - leaf_start[i]);
		for (i = 0; i < v.n; i++)
			seen[nodes[i]]++;
		graph_leaf_pairs(&space, nodes, leaf_start, nleaves, &pools);
	}
	for (i = 0; i < v.n; i++)
		check(seen[i] == 2, "node %u is in %u leaves", i, seen[i]);
	graph_controls_init(&space, 3, pools.capacity, &controls);
	graph_nn_descent(&space, 7, &controls, &pools);
	graph_space_end(&space);
	end_team("pools");

	for (i = 0; i < v.n; i++)
	{
		const GraphEntry *pool = pools.entries + (size_t) i * 64;

		check(pools.count[i] == 64, "pool of %u", pools.count[i]);
		for (k = 0; k < pools.count[i]; k++)
			if (graph_entry_node(pool[k]) == i ||
				(k > 0 && graph_entry_dist(pool[k]) <
				 graph_entry_dist(pool[k - 1])))
				check(false, "pool of node %u at %u", i, k);
	}
	for (i = 0; i < 100; i++)
	{
		uint32_t	node = i * 119;
		const GraphEntry *pool = pools.entries + (size_t) node * 64;
		uint32_t	nearer = 0;

		for (k = 0; k < v.n; k++)
			all[k] = k == node ? INFINITY :
				space.scale * space.scale *
				distance_kernels()->l2_squared(v.dim,
											   v.data + node * v.stride,
											   v.data + k * v.stride);
		for (k = 0; k < 32; k++)
		{
			float		limit = graph_entry_dist(pool[k]) * 0.9999f;
			uint32_t	j;

			for (j = 0, nearer = 0; j < v.n; j++)
				nearer += all[j] < limit;
			right += nearer < 32;
		}
	}
	check(right >= 3200 * 0.88, "recall of the pools %.3f", right / 3200.0);
	team_unshare(pools.entries, (size_t) v.n * 64 * sizeof(GraphEntry));
	team_unshare(pools.count, v.n * sizeof(uint16_t));
	team_unshare(leaf_start, (v.n + 1) * sizeof(uint32_t));
	team_unshare(nodes, v.n * sizeof(uint32_t));
	free(all);
	free(seen);
	free(data);
	end_team_group("partitions, and recall of the pools");
}

/* Nodes with the same edges in both */
static uint32_t
count_same(const GraphEdges *a, const GraphEdges *b, uint32_t n)
{
	uint32_t	same = 0;
	uint32_t	i;

	for (i = 0; i < n; i++)
		same += a->degree[i] == b->degree[i] &&
			memcmp(a->ids + (size_t) i * a->max_degree,
				   b->ids + (size_t) i * b->max_degree,
				   a->degree[i] * sizeof(uint32_t)) == 0;
	return same;
}

/*
 * Teams make the same graph as one process, but for ties, on data that makes
 * them use all of the build.
 */
static void
test_teams_agree(void)
{
	static const DataKind kinds[] = {DATA_NORMAL, DATA_CLUSTERED, DATA_HALF};
	GraphParams params;
	uint32_t	k;

	begin_group();
	graph_params_init(&params);
	params.max_degree = 32;
	for (k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
	{
		GraphVectors v = make_data(kinds[k], 30000, 12);
		GraphEdges	one = make_edges(v.n, 32);
		GraphEdges	team = make_edges(v.n, 32);
		uint32_t	entry;

		processes = 1;
		entry = build("one", &v, &params, &one);
		for (processes = 2; processes <= 4; processes++)
		{
			uint32_t	same;

			check(build("team", &v, &params, &team) == entry,
				  "%s: another entry", kind_names[kinds[k]]);
			same = count_same(&one, &team, v.n);
			check(same >= v.n * 0.99, "%s: %u of %u nodes differ by %u",
				  kind_names[kinds[k]], v.n - same, v.n, processes);
		}
		free_edges(&one, v.n);
		free_edges(&team, v.n);
		free((float *) v.data);
	}
	processes = 1;
	end_group("teams make the graph of one process");
}

static void
test_determinism(void)
{
	GraphVectors v = make_data(DATA_CLUSTERED, 6000, 10);
	GraphParams params;
	GraphEdges	a;
	GraphEdges	b;
	uint32_t	entry_a;
	uint32_t	entry_b;
	uint32_t	same;

	begin_group();
	graph_params_init(&params);
	params.max_degree = 32;
	a = make_edges(v.n, 32);
	b = make_edges(v.n, 48);
	entry_a = build("first", &v, &params, &a);
	entry_b = build("second", &v, &params, &b);
	check(entry_a == entry_b, "entry %u and %u", entry_a, entry_b);
	same = count_same(&a, &b, v.n);
	check(same == v.n, "%u of %u nodes differ", v.n - same, v.n);
	params.seed++;
	build("other seed", &v, &params, &b);
	same = count_same(&a, &b, v.n);
	check(same < v.n, "the seed has no effect");
	free_edges(&a, v.n);
	free_edges(&b, v.n);
	free((float *) v.data);
	end_group("same data and seed, same graph");
}

static void
test_interrupted(void)
{
	GraphVectors v = make_data(DATA_NORMAL, 4000, 16);
	GraphParams params;
	GraphEdges	edges;
	uint32_t	entry;
	volatile uint64_t total;
	volatile int k;

	begin_group();
	graph_params_init(&params);
	params.max_degree = 32;
	edges = make_edges(v.n, 32);
	build("not interrupted", &v, &params, &edges);
	total = state.interrupts;
	check(total > 100, "%llu interrupts only", (unsigned long long) total);
	for (k = 1; k <= 8; k++)
	{
		memset(&state, 0, sizeof(state));
		state.leave_at = total * k / 9;
		if (setjmp(state.leave) == 0)
		{
			graph_build_layer(&v, &params, &one_host, &edges, &entry);
			check(false, "interrupt did not come");
		}
		while (state.nblocks > 0)
			free(state.blocks[--state.nblocks]);
	}
	build("after interrupts", &v, &params, &edges);
	free_edges(&edges, v.n);
	free((float *) v.data);
	end_group("the host may leave at any interrupt");
}

static double
squared(const float *a, const float *b, uint32_t dim)
{
	double		sum = 0.0;
	uint32_t	i;

	for (i = 0; i < dim; i++)
		sum += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
	return sum;
}

/*
 * graph_select_by_angle against graph_select.  Cosines are rounded, so a few
 * close calls may go the other way.
 */
static void
test_select_by_angle(const GraphParams *params, uint32_t ncand, uint32_t dim,
					 const float *node, const float *const *vectors,
					 const float *dist, void *scratch)
{
	float	   *cosines = malloc((size_t) ncand * ncand * sizeof(float));
	uint32_t	expected[64];
	uint32_t	chosen[64];
	uint32_t	nexpected;
	uint32_t	n;
	uint32_t	common = 0;

	for (uint32_t i = 0; i < ncand; i++)
		for (uint32_t j = 0; j < ncand; j++)
		{
			double		product = 0;

			for (uint32_t k = 0; k < dim; k++)
				product += ((double) vectors[i][k] - node[k]) * ((double) vectors[j][k] - node[k]);
			cosines[i * ncand + j] = dist[i] > 0 && dist[j] > 0 ?
				(float) (product / sqrt((double) dist[i] * dist[j])) : 0;
		}
	nexpected = graph_select(params, dim, ncand, vectors, dist, NULL, expected, scratch);
	n = graph_select_by_angle(params, ncand, dist, cosines, NULL, chosen, scratch);
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < nexpected; j++)
			common += chosen[i] == expected[j];
	check(n > 0 && common + 2 >= n && common + 2 >= nexpected,
		  "%u chosen by angle, %u by distance, %u by both", n, nexpected, common);
	check(graph_select_by_angle(params, 0, dist, cosines, NULL, chosen, scratch) == 0,
		  "chosen of no candidates");
	free(cosines);
}

/*
 * graph_select against the definition of the strict core.
 */
static void
test_select(void)
{
	enum
	{
		NCAND = 150,
		DIM = 9
	};
	GraphParams params;
	GraphVectors v = make_data(DATA_NORMAL, NCAND + 1, DIM);
	const float *node = v.data + NCAND * v.stride;
	const float *vectors[NCAND];
	float		dist[NCAND];
	bool		protect[NCAND] = {false};
	uint32_t	chosen[64];
	uint32_t	core[NCAND];
	uint32_t	ncore = 0;
	uint32_t	n;
	uint32_t	i;
	uint32_t	k;
	void	   *scratch;

	begin_group();
	graph_params_init(&params);
	params.max_degree = 64;
	params.tau = 0.0f;
	scratch = malloc(graph_select_scratch(NCAND, 64));
	for (i = 0; i < NCAND; i++)
	{
		const float *row = v.data + i * v.stride;
		float		d = distance_kernels()->l2_squared(DIM, node, row);

		for (k = i; k > 0 && dist[k - 1] > d; k--)
		{
			dist[k] = dist[k - 1];
			vectors[k] = vectors[k - 1];
		}
		dist[k] = d;
		vectors[k] = row;
	}
	for (i = 0; i < NCAND; i++)
	{
		for (k = 0; k < ncore; k++)
			if (distance_kernels()->l2_squared(DIM, vectors[i],
											   vectors[core[k]]) < dist[i])
				break;
		if (k == ncore)
			core[ncore++] = i;
	}

	params.relaxed_max = params.strict;
	n = graph_select(&params, DIM, NCAND, vectors, dist, NULL, chosen, scratch);
	check(n == ncore, "core of %u, expected %u", n, ncore);
	for (i = 0; i < n && i < ncore; i++)
		check(chosen[i] == core[i], "core at %u", i);
	params.relaxed_max = 8.0f;
	n = graph_select(&params, DIM, NCAND, vectors, dist, NULL, chosen, scratch);
	check(n == 64, "filled to %u", n);
	for (i = 0; i < ncore && i < n; i++)
		check(chosen[i] == core[i], "core of the filled at %u", i);
	for (i = 0; i < n; i++)
		for (k = 0; k < i; k++)
			check(chosen[i] != chosen[k], "chosen twice");

	/* protected candidates stay, even if they alone fill the node */
	for (i = 0; i < 20; i++)
		protect[NCAND - 1 - i] = true;
	params.max_degree = 16;
	n = graph_select(&params, DIM, NCAND, vectors, dist, protect, chosen,
					 scratch);
	check(n == 16, "protected: %u", n);
	for (i = 0; i < n; i++)
		check(protect[chosen[i]], "candidate %u is not protected", chosen[i]);
	params.max_degree = 32;
	n = graph_select(&params, DIM, NCAND, vectors, dist, protect, chosen,
					 scratch);
	for (i = 0, k = 0; i < n; i++)
		k += protect[chosen[i]];
	check(n == 32 && k == 20, "%u of 20 protected among %u", k, n);

	/* one of many identical candidates, all that are different */
	for (i = 0; i < 100; i++)
	{
		vectors[i] = vectors[0];
		dist[i] = dist[0];
	}
	params.max_degree = 64;
	params.relaxed_max = 100.0f;
	n = graph_select(&params, DIM, NCAND, vectors, dist, NULL, chosen, scratch);
	check(n == 51, "%u chosen of 51 distinct", n);
	for (i = 0, k = 0; i < n; i++)
		k += chosen[i] < 100;
	check(k == 1, "%u of identical candidates", k);

	/* candidates identical to the node leave room for others */
	for (i = 0; i < 100; i++)
	{
		vectors[i] = node;
		dist[i] = 0.0f;
	}
	n = graph_select(&params, DIM, NCAND, vectors, dist, NULL, chosen, scratch);
	for (i = 0, k = 0; i < n; i++)
		k += chosen[i] < 100;
	check(k == 1, "%u of candidates identical to the node", k);

	/* by angles, as seen from the node: the same choice */
	test_select_by_angle(&params, NCAND, DIM, node, vectors, dist, scratch);

	/* all identical to the node itself, and few candidates */
	memset(dist, 0, sizeof(dist));
	for (i = 0; i < NCAND; i++)
		vectors[i] = node;
	n = graph_select(&params, DIM, NCAND, vectors, dist, NULL, chosen, scratch);
	check(n >= 1, "none chosen of identical candidates");
	n = graph_select(&params, DIM, 1, vectors, dist, NULL, chosen, scratch);
	check(n == 1 && chosen[0] == 0, "one candidate");
	n = graph_select(&params, DIM, 0, vectors, dist, NULL, chosen, scratch);
	check(n == 0, "no candidate");
	free(scratch);
	free((float *) v.data);
	end_group("selection for one node");
}

/*
 * The strict core at other dimensions and magnitudes, and far from the
 * origin, against sums in double.
 */
static void
test_select_magnitudes(void)
{
	enum
	{
		NCAND = 70
	};
	static const uint32_t dims[] = {1, 16, 255, 257, 700};
	static const double factors[] = {1e-17, 1.0, 1e17};
	uint32_t	wrong = 0;
	uint32_t	f;
	uint32_t	d;

	begin_group();
	for (d = 0; d < sizeof(dims) / sizeof(dims[0]); d++)
		for (f = 0; f < sizeof(factors) / sizeof(factors[0]); f++)
		{
			GraphParams params;
			GraphVectors v = make_data(DATA_NORMAL, NCAND + 1, dims[d]);
			const float *vectors[NCAND];
			float		dist[NCAND];
			uint32_t	chosen[NCAND];
			uint32_t	core[NCAND];
			uint32_t	ncore = 0;
			uint32_t	n;
			uint32_t	i;
			uint32_t	k;
			void	   *scratch = malloc(graph_select_scratch(NCAND, NCAND));

			for (i = 0; i <= NCAND; i++)
				for (k = 0; k < dims[d]; k++)
				{
					float	   *x = (float *) v.data + i * v.stride + k;

					*x = (float) ((100.0 + *x) * factors[f]);
				}
			for (i = 0; i < NCAND; i++)
			{
				const float *row = v.data + i * v.stride;
				double		sum = squared(v.data + NCAND * v.stride, row,
										  dims[d]);

				for (k = i; k > 0 && dist[k - 1] > (float) sum; k--)
				{
					dist[k] = dist[k - 1];
					vectors[k] = vectors[k - 1];
				}
				dist[k] = (float) sum;
				vectors[k] = row;
			}
			for (i = 0; i < NCAND; i++)
			{
				for (k = 0; k < ncore; k++)
					if (squared(vectors[i], vectors[core[k]], dims[d]) <
						dist[i])
						break;
				if (k == ncore)
					core[ncore++] = i;
			}
			graph_params_init(&params);
			params.max_degree = 64;
			params.tau = 0.0f;
			params.relaxed_max = params.strict;
			n = graph_select(&params, dims[d], NCAND, vectors, dist, NULL,
							 chosen, scratch);
			/* rounding may decide a tie otherwise */
			wrong += n != ncore || memcmp(chosen, core, n * sizeof(uint32_t));
			check(n + 2 >= ncore && n <= ncore + 2,
				  "dim %u factor %g: core of %u, expected %u", dims[d],
				  factors[f], n, ncore);
			free(scratch);
			free((float *) v.data);
		}
	check(wrong <= 1, "%u cores differ", wrong);
	end_group("selection at all magnitudes");
}

static void
test_reorder(void)
{
	GraphVectors v = make_data(DATA_NORMAL, 5000, 12);
	GraphParams params;
	GraphEdges	edges;
	uint32_t   *order = team_share(v.n * sizeof(uint32_t));
	uint32_t   *position = malloc(v.n * sizeof(uint32_t));
	uint32_t	entry;
	uint32_t	per_page;
	uint32_t	i;
	uint32_t	k;

	begin_group();
	graph_params_init(&params);
	params.max_degree = 32;
	edges = make_edges(v.n, 32);
	entry = build("reorder", &v, &params, &edges);
	for (per_page = 1; per_page <= 9; per_page += 4)
	{
		uint32_t	mates = 0;

		memset(position, 0xff, v.n * sizeof(uint32_t));
		start_team(v.n * sizeof(uint16_t) + 64);
		graph_reorder(&v, &edges, entry, per_page, &host, order);
		end_team("reorder");
		for (i = 0; i < v.n; i++)
		{
			check(order[i] < v.n && position[order[i]] == GRAPH_NO_NODE,
				  "row %u placed twice", order[i]);
			if (order[i] < v.n)
				position[order[i]] = i;
		}
		check(order[0] == entry, "entry is not first");
		for (i = 0; i < v.n; i++)
			for (k = 0; k < edges.degree[i]; k++)
				mates += position[i] / per_page ==
					position[edges.ids[i * 32 + k]] / per_page;
		check(per_page == 1 || mates > v.n, "%u edges within pages of %u",
			  mates, per_page);
	}
	free(position);
	team_unshare(order, v.n * sizeof(uint32_t));
	free_edges(&edges, v.n);
	free((float *) v.data);
	end_team_group("order is a permutation with neighbours on a page");
}

static void
test_central_row(void)
{
	GraphVectors v = make_data(DATA_NORMAL, 1000, 5);
	float	   *data = (float *) v.data;
	uint32_t	i;
	uint32_t	k;

	begin_group();
	/* pairs on opposite sides of a point, one row near it */
	for (i = 0; i < 1000; i += 2)
		for (k = 0; k < 5; k++)
			data[(i + 1) * v.stride + k] = 14.0f - data[i * v.stride + k];
	for (k = 0; k < 5; k++)
		data[776 * v.stride + k] = 7.01f;
	start_team(4096);
	i = graph_central_row(&v, &host);
	check(i == 776, "central row %u", i);
	end_team("central row");
	free(data);
	end_team_group("central row");
}

int
main(void)
{
	simd_set_level(simd_best_level());
	for (processes = 1; processes <= 3; processes++)
	{
		test_small();
		test_search();
		test_pools();
		test_reorder();
		test_central_row();
	}
	processes = 1;
	test_teams_agree();
	test_determinism();
	test_interrupted();
	test_select();
	test_select_magnitudes();
	return finish();
}
