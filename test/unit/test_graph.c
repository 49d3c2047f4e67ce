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

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"
#include "graph/graph_int.h"
#include "tap.h"
#include "team.h"

#define MAX_BLOCKS	256

/*
 * The host: counts what is not released, and can leave by longjmp.  One
 * process has its shared memory from alloc, a team from an arena.
 */
typedef struct TestHost
{
	Team		team;
	void	   *blocks[MAX_BLOCKS];
	size_t		sizes[MAX_BLOCKS];
	uint32_t	nblocks;
	size_t		bytes;
	size_t		peak;
	uint64_t	interrupts;
	uint64_t	leave_at;		/* longjmp at this interrupt, 0: never */
	bool		misaligned;
	jmp_buf		leave;
} TestHost;

static TestHost state;
static int	failures;			/* of the current group */

static void
check(bool ok, const char *format,...)
{
	va_list		args;

	if (ok || failures++ >= 5)
		return;
	va_start(args, format);
	printf("# ");
	vprintf(format, args);
	printf("\n");
	va_end(args);
}

static void
begin_group(void)
{
	failures = 0;
}

static void
end_group(const char *name)
{
	report(failures, "graph", name);
}

static void *
test_alloc(void *arg, size_t size)
{
	TestHost   *host = arg;
	void	   *memory = aligned_alloc(64, (size + 63) & ~(size_t) 63);

	if (memory == NULL || host->nblocks == MAX_BLOCKS)
		abort();
	/* what is not initialized shall be seen */
	memset(memory, 0xA5, size);
	host->blocks[host->nblocks] = memory;
	host->sizes[host->nblocks++] = size;
	host->bytes += size;
	if (host->bytes > host->peak)
		host->peak = host->bytes;
	return memory;
}

static void
test_release(void *arg, void *memory)
{
	TestHost   *host = arg;
	uint32_t	i;

	for (i = 0; i < host->nblocks; i++)
		if (host->blocks[i] == memory)
		{
			host->bytes -= host->sizes[i];
			host->nblocks--;
			host->blocks[i] = host->blocks[host->nblocks];
			host->sizes[i] = host->sizes[host->nblocks];
			free(memory);
			return;
		}
	check(false, "release of memory that was not allocated");
}

static void
test_interrupts(void *arg)
{
	TestHost   *host = arg;

	if (++host->interrupts == host->leave_at)
		longjmp(host->leave, 1);
}

static void
test_progress(void *arg, GraphPhase phase, uint64_t done, uint64_t total)
{
	(void) arg;
	check(phase <= GRAPH_PHASE_REORDER, "unknown phase");
	check(done <= total, "phase %d: progress %llu of %llu", (int) phase,
		  (unsigned long long) done, (unsigned long long) total);
}

static void *
test_alloc_shared(void *arg, size_t size)
{
	void	   *memory = graph_arena_alloc(&((TestHost *) arg)->team.arena,
										   size);

	if (memory == NULL)
	{
		printf("# no room for %zu bytes of shared memory\n", size);
		abort();
	}
	return memory;
}

static void
test_release_shared(void *arg, void *memory)
{
	check(graph_arena_release(&((TestHost *) arg)->team.arena, memory),
		  "release of shared memory that was not allocated");
}

static void
test_barrier(void *arg)
{
	team_barrier(&((TestHost *) arg)->team);
}

static void
no_barrier(void *arg)
{
	(void) arg;
}

static const GraphHost one_host = {&state, 0, 1, test_alloc, test_release,
	test_alloc, test_release, no_barrier, test_interrupts,
test_progress};

static GraphHost host;			/* of this process */
static uint32_t processes = 1;	/* of the teams that tests form */

/* Go on in as many processes, the host of each in "host". */
static void
start_team(size_t arena)
{
	memset(&state, 0, sizeof(state));
	host = one_host;
	if (processes == 1)
		return;
	team_start(&state.team, processes, arena);
	host.rank = state.team.rank;
	host.size = processes;
	host.alloc_shared = test_alloc_shared;
	host.release_shared = test_release_shared;
	host.barrier = test_barrier;
}

/* Go on in the first process; returns the memory that all took. */
static size_t
end_team(const char *what)
{
	size_t		bytes;
	uint32_t	i;

	check(state.nblocks == 0, "%s: %u blocks not released", what,
		  state.nblocks);
	if (processes == 1)
		return state.peak;
	check(state.team.arena.nblocks == 1, "%s: shared blocks not released",
		  what);
	team_end(&state.team, state.peak, failures);
	bytes = graph_arena_peak(&state.team.arena);
	for (i = 0; i < processes; i++)
	{
		bytes += state.team.shared->reports[i][0];
		if (i > 0)
			failures += (int) state.team.shared->reports[i][1];
	}
	team_unshare(state.team.shared, sizeof(TeamShared));
	return bytes;
}

static uint64_t random_state = 42;

static double
uniform(void)
{
	return (graph_random(&random_state) >> 11) * (1.0 / 9007199254740992.0);
}

static double
normal(void)
{
	return sqrt(-2.0 * log(uniform() + 1e-300)) *
		cos(6.283185307179586 * uniform());
}

typedef enum DataKind
{
	DATA_NORMAL,
	DATA_CLUSTERED,				/* 20 tight clusters far apart */
	DATA_ISLANDS,				/* clusters of 40 rows, far apart */
	DATA_EQUAL,					/* one row, n times */
	DATA_FEW,					/* few distinct rows */
	DATA_HALF,					/* every other row is equal to one row */
	DATA_LINE,					/* a line, far from the origin */
	DATA_HUGE,					/* squares overflow float */
	DATA_TINY					/* squares vanish */
} DataKind;

static const char *const kind_names[] = {"normal", "clustered",
"islands", "equal", "few distinct", "half equal", "line", "huge", "tiny"};

/* Rows with one float of padding, so that stride is not dim. */
static GraphVectors
make_data(DataKind kind, uint32_t n, uint32_t dim)
{
	GraphVectors v;
	size_t		stride = dim + 1;
	float	   *data = malloc(n * stride * sizeof(float));
	uint32_t	ncentres = n / 40 + 20;
	float	   *centres = malloc(ncentres * (size_t) dim * sizeof(float));
	uint32_t	i;
	uint32_t	k;

	for (k = 0; k < ncentres * dim; k++)
		centres[k] = (float) (100.0 * normal());
	for (i = 0; i < n; i++)
	{
		float	   *row = data + i * stride;

		row[dim] = NAN;
		for (k = 0; k < dim; k++)
		{
			double		x = normal();

			switch (kind)
			{
				case DATA_NORMAL:
					row[k] = (float) x;
					break;
				case DATA_CLUSTERED:
					row[k] = (float) (centres[(i % 20) * dim + k] + 0.1 * x);
					break;
				case DATA_ISLANDS:
					row[k] = (float) (centres[(i / 40) * dim + k] + x);
					break;
				case DATA_EQUAL:
					row[k] = (i % 2) ? -0.0f : 0.0f;
					break;
				case DATA_FEW:
					row[k] = centres[(i % 7) * dim + k];
					break;
				case DATA_HALF:
					row[k] = (i % 2) ? (float) x : centres[k];
					break;
				case DATA_LINE:
					row[k] = (float) (1000.0 + i * 0.01 * (k + 1));
					break;
				case DATA_HUGE:
					row[k] = (float) (1e37 * x);
					break;
				case DATA_TINY:
					row[k] = (float) (1e-36 * x);
					break;
			}
		}
	}
	free(centres);
	v.data = data;
	v.stride = stride;
	v.n = n;
	v.dim = dim;
	return v;
}

static GraphEdges
make_edges(uint32_t n, uint32_t max_degree)
{
	GraphEdges	edges;

	edges.ids = team_share((size_t) n * max_degree * sizeof(uint32_t));
	edges.degree = team_share(n * sizeof(uint16_t));
	edges.max_degree = max_degree;
	memset(edges.ids, 0xA5, (size_t) n * max_degree * sizeof(uint32_t));
	return edges;
}

static void
free_edges(GraphEdges *edges, uint32_t n)
{
	team_unshare(edges->ids,
				 (size_t) n * edges->max_degree * sizeof(uint32_t));
	team_unshare(edges->degree, n * sizeof(uint16_t));
}

/*
 * Degrees, edges, in-degrees and reachability of a graph.
 */
static void
check_graph(const char *what, const GraphEdges *edges, uint32_t n,
			uint32_t entry, const GraphParams *params)
{
	uint32_t   *in_degree = calloc(n, sizeof(uint32_t));
	uint32_t   *stamp = malloc(n * sizeof(uint32_t));
	uint32_t   *queue = malloc(n * sizeof(uint32_t));
	uint32_t	floor = params->min_in_degree < n - 1 ?
	params->min_in_degree : n - 1;
	uint32_t	head = 0;
	uint32_t	tail = 0;
	uint32_t	low = 0;
	uint32_t	i;
	uint32_t	k;

	memset(stamp, 0xff, n * sizeof(uint32_t));
	check(entry < n, "%s n %u: entry %u", what, n, entry);
	for (i = 0; i < n; i++)
	{
		const uint32_t *ids = edges->ids + (size_t) i * edges->max_degree;

		check(edges->degree[i] <= params->max_degree, "%s n %u: degree %u",
			  what, n, edges->degree[i]);
		check(n == 1 || edges->degree[i] >= 1, "%s n %u: no edges", what, n);
		for (k = 0; k < edges->degree[i]; k++)
		{
			if (ids[k] >= n || ids[k] == i || stamp[ids[k]] == i)
			{
				check(false, "%s n %u: node %u edge %u to %u", what, n, i, k,
					  ids[k]);
				continue;
			}
			stamp[ids[k]] = i;
			in_degree[ids[k]]++;
		}
	}
	for (i = 0; i < n; i++)
		low += in_degree[i] < floor;
	check(low == 0, "%s n %u: %u nodes below in-degree %u", what, n, low,
		  floor);

	memset(stamp, 0, n * sizeof(uint32_t));
	queue[tail++] = entry;
	stamp[entry] = 1;
	while (head < tail)
	{
		uint32_t	node = queue[head++];

		for (k = 0; k < edges->degree[node]; k++)
		{
			uint32_t	to = edges->ids[(size_t) node * edges->max_degree + k];

			if (to < n && !stamp[to])
			{
				stamp[to] = 1;
				queue[tail++] = to;
			}
		}
	}
	check(tail == n, "%s n %u: %u nodes unreachable", what, n, n - tail);
	free(queue);
	free(stamp);
	free(in_degree);
}

/*
 * Build and check; returns the entry.
 */
static uint32_t
build(const char *what, const GraphVectors *v, const GraphParams *params,
	  GraphEdges *edges)
{
	uint32_t	entry = GRAPH_NO_NODE;
	size_t		bound = graph_build_memory(v->n, v->dim, params, processes);
	size_t		shared = graph_build_shared_memory(v->n, v->dim, params,
												   processes);
	size_t		bytes;
	uint32_t   *entries = team_share(processes * sizeof(uint32_t));
	uint32_t	i;

	/* no more shared memory than they say they need */
	start_team(shared);
	graph_build_layer(v, params, &host, edges, &entry);
	entries[host.rank] = entry;
	bytes = end_team(what);
	check(bytes <= bound, "%s n %u dim %u: %zu bytes, said at most %zu", what,
		  v->n, v->dim, bytes, bound);
	for (i = 1; i < processes; i++)
		check(entries[i] == entry, "%s n %u: process %u has entry %u", what,
			  v->n, i, entries[i]);
	team_unshare(entries, processes * sizeof(uint32_t));
	check_graph(what, edges, v->n, entry, params);
	return entry;
}

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

/* Reports the group, and by how many processes. */
static void
end_team_group(const char *name)
{
	char		line[200];

	snprintf(line, sizeof(line), "%s, processes: %u", name, processes);
	end_group(line);
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

/* The edges form a graph that searches find their way in */
static uint32_t
greedy_search(const GraphVectors *v, const GraphEdges *edges, uint32_t entry,
			  const float *query, uint32_t list, uint32_t *seen,
			  uint32_t stamp, float *dist, uint32_t *rows)
{
	const DistanceKernels *kernels = distance_kernels();
	bool		expanded[256] = {false};
	uint32_t	n = 1;
	uint32_t	next = 0;
	uint32_t	i;
	uint32_t	k;

	rows[0] = entry;
	dist[0] = kernels->l2_squared(v->dim, query, v->data + entry * v->stride);
	seen[entry] = stamp;
	while (next < n)
	{
		uint32_t	from = rows[next];

		expanded[next] = true;
		for (i = 0; i < edges->degree[from]; i++)
		{
			uint32_t	to = edges->ids[(size_t) from * edges->max_degree + i];
			float		d;

			if (seen[to] == stamp)
				continue;
			seen[to] = stamp;
			d = kernels->l2_squared(v->dim, query, v->data + to * v->stride);
			if (n == list && d >= dist[n - 1])
				continue;
			n += n < list;
			for (k = n - 1; k > 0 && dist[k - 1] > d; k--)
			{
				dist[k] = dist[k - 1];
				rows[k] = rows[k - 1];
				expanded[k] = expanded[k - 1];
			}
			dist[k] = d;
			rows[k] = to;
			expanded[k] = false;
		}
		for (next = 0; next < n && expanded[next]; next++)
			;
	}
	return n;
}

/*
 * Recall@10 of searches for perturbed rows, against a full scan.
 */
static double
search_recall(const GraphVectors *v, const GraphEdges *edges, uint32_t entry,
			  double noise)
{
	const DistanceKernels *kernels = distance_kernels();
	uint32_t   *seen = calloc(v->n, sizeof(uint32_t));
	float	   *query = malloc(v->dim * sizeof(float));
	float	   *all = malloc(v->n * sizeof(float));
	float		dist[256];
	uint32_t	rows[256];
	uint32_t	right = 0;
	uint32_t	q;
	uint32_t	i;

	for (q = 1; q <= 100; q++)
	{
		const float *row = v->data +
		(size_t) (uniform() * v->n) * v->stride;
		float		limit = INFINITY;
		uint32_t	below = 0;
		uint32_t	n;

		for (i = 0; i < v->dim; i++)
			query[i] = (float) (row[i] + noise * normal());
		kernels->l2_squared_many(v->dim, query, v->data, v->stride, v->n, all);
		n = greedy_search(v, edges, entry, query, 80, seen, q, dist, rows);
		for (i = 0; i < 10 && i < n; i++)
		{
			uint32_t	k;

			limit = dist[i];
			for (k = 0, below = 0; k < v->n; k++)
				below += all[k] < limit;
			right += below < 10;
		}
	}
	free(all);
	free(query);
	free(seen);
	return right / 1000.0;
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
		start_team(64);
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
