/*-------------------------------------------------------------------------
 *
 * bench_graph.c
 *	  Builds a graph over rows from a file, without a server, and reports
 *	  seconds per phase, degrees, and hops and recall of searches.
 *
 * Usage: bench_graph BASE QUERIES [option=value ...]
 *
 * BASE and QUERIES hold two uint32 (rows, dimension) and float32 rows.
 * Options: n (rows used), q (queries used), R, pool, floor, tau, kappa,
 * strict, relaxed, seed, L (comma separated list sizes), seeds (rows that are
 * scanned for the start of a search), procs (processes of the build).
 *
 * Times of the build are CPU time with one process, elapsed time with more;
 * these also report the CPU time that each of them took.
 *
 * A hop is a node expanded: the pages that a search of the index pins.
 *
 * Compile with -O2 -Isrc, every .c file of src/graph and src/distance, -lm.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "graph/graph.h"
#include "../test/unit/team.h"

#define BENCH_K			10
#define BENCH_MAX_LIST	4096

typedef struct Found
{
	float		dist;
	uint32_t	row;
	bool		expanded;
} Found;

typedef struct Meter
{
	Team		team;
	clockid_t	clock;
	double		phase_seconds[GRAPH_PHASE_REORDER + 1];
	double		last;
	double		longest;		/* between two calls of the host */
	GraphPhase	phase;
	size_t		bytes;
	size_t		peak;
	uint64_t	interrupts;
} Meter;

static double
now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

static void
die(const char *what)
{
	fprintf(stderr, "bench_graph: %s\n", what);
	exit(2);
}

static void *
bench_alloc(void *arg, size_t size)
{
	Meter	   *meter = arg;
	char	   *memory = aligned_alloc(64, (size + 64 + 63) & ~(size_t) 63);

	if (memory == NULL)
		die("out of memory");
	memcpy(memory, &size, sizeof(size));
	meter->bytes += size;
	if (meter->bytes > meter->peak)
		meter->peak = meter->bytes;
	return memory + 64;
}

static void
bench_release(void *arg, void *memory)
{
	Meter	   *meter = arg;
	size_t		size;

	memcpy(&size, (char *) memory - 64, sizeof(size));
	meter->bytes -= size;
	free((char *) memory - 64);
}

static void *
bench_alloc_shared(void *arg, size_t size)
{
	void	   *memory = graph_arena_alloc(&((Meter *) arg)->team.arena, size);

	if (memory == NULL)
		die("out of shared memory");
	return memory;
}

static void
bench_release_shared(void *arg, void *memory)
{
	if (!graph_arena_release(&((Meter *) arg)->team.arena, memory))
		die("release of what is not shared memory");
}

static void
bench_barrier(void *arg)
{
	team_barrier(&((Meter *) arg)->team);
}

static void
bench_interrupts(void *arg)
{
	((Meter *) arg)->interrupts++;
}

static void
bench_progress(void *arg, GraphPhase phase, uint64_t done, uint64_t total)
{
	Meter	   *meter = arg;
	double		t = now(meter->clock);

	(void) done;
	(void) total;
	meter->phase_seconds[meter->phase] += t - meter->last;
	if (t - meter->last > meter->longest)
		meter->longest = t - meter->last;
	meter->last = t;
	meter->phase = phase;
}

static float *
load(const char *path, uint32_t *n, uint32_t *dim)
{
	FILE	   *file = fopen(path, "rb");
	uint32_t	head[2];
	float	   *rows;
	size_t		count;

	if (file == NULL || fread(head, sizeof(uint32_t), 2, file) != 2)
		die(path);
	if (*n == 0 || *n > head[0])
		*n = head[0];
	*dim = head[1];
	count = (size_t) *n * head[1];
	rows = aligned_alloc(64, (count * sizeof(float) + 63) & ~(size_t) 63);
	if (rows == NULL || fread(rows, sizeof(float), count, file) != count)
		die(path);
	fclose(file);
	return rows;
}

/* Distance of the k-th nearest base row to each query, by a full scan */
static float *
ground_truth(const GraphVectors *base, const float *queries, uint32_t nq)
{
	const DistanceKernels *kernels = distance_kernels();
	float	   *kth = malloc(nq * sizeof(float));
	uint32_t	i;
	uint32_t	q;

	for (q = 0; q < nq; q++)
	{
		float		best[BENCH_K];
		uint32_t	n = 0;

		for (i = 0; i < base->n; i++)
		{
			float		d = kernels->l2_squared(base->dim,
												queries + (size_t) q * base->dim,
												base->data + i * base->stride);
			uint32_t	k;

			if (n == BENCH_K && d >= best[n - 1])
				continue;
			if (n < BENCH_K)
				n++;
			for (k = n - 1; k > 0 && best[k - 1] > d; k--)
				best[k] = best[k - 1];
			best[k] = d;
		}
		kth[q] = best[n - 1];
	}
	return kth;
}

/*
 * Best-first search with exact distances; returns the nodes expanded.
 */
static uint32_t
search(const GraphVectors *base, const GraphEdges *edges, const float *query,
	   const uint32_t *start, uint32_t nstart, uint32_t list,
	   uint32_t *seen, uint32_t stamp, Found *found, uint32_t *nfound,
	   uint64_t *compared)
{
	const DistanceKernels *kernels = distance_kernels();
	float		best = INFINITY;
	uint32_t	from = start[0];
	uint32_t	hops = 0;
	uint32_t	n = 0;
	uint32_t	next = 0;
	uint32_t	i;

	for (i = 0; i < nstart; i++)
	{
		float		d = kernels->l2_squared(base->dim, query,
											base->data + start[i] * base->stride);

		if (d < best)
		{
			best = d;
			from = start[i];
		}
	}
	found[n++] = (Found)
	{
		best, from, false
	};
	seen[from] = stamp;
	while (next < n)
	{
		const uint32_t *ids;

		from = found[next].row;
		found[next].expanded = true;
		hops++;
		ids = edges->ids + (size_t) from * edges->max_degree;
		for (i = 0; i < edges->degree[from]; i++)
		{
			float		d;
			uint32_t	k;

			if (seen[ids[i]] == stamp)
				continue;
			seen[ids[i]] = stamp;
			(*compared)++;
			d = kernels->l2_squared(base->dim, query,
									base->data + ids[i] * base->stride);
			if (n == list && d >= found[n - 1].dist)
				continue;
			if (n < list)
				n++;
			for (k = n - 1; k > 0 && found[k - 1].dist > d; k--)
				found[k] = found[k - 1];
			found[k] = (Found)
			{
				d, ids[i], false
			};
		}
		for (next = 0; next < n && found[next].expanded; next++)
			;
	}
	*nfound = n;
	return hops;
}

static uint32_t
count_unreachable(const GraphEdges *edges, uint32_t n, uint32_t entry)
{
	uint8_t    *seen = calloc(n, 1);
	uint32_t   *queue = malloc(n * sizeof(uint32_t));
	uint32_t	head = 0;
	uint32_t	tail = 0;
	uint32_t	i;

	queue[tail++] = entry;
	seen[entry] = 1;
	while (head < tail)
	{
		uint32_t	node = queue[head++];

		for (i = 0; i < edges->degree[node]; i++)
		{
			uint32_t	to = edges->ids[(size_t) node * edges->max_degree + i];

			if (!seen[to])
			{
				seen[to] = 1;
				queue[tail++] = to;
			}
		}
	}
	free(queue);
	free(seen);
	return n - tail;
}

static void
report_degrees(const GraphEdges *edges, uint32_t n, uint32_t entry)
{
	uint32_t   *in_degree = calloc(n, sizeof(uint32_t));
	uint64_t	sum = 0;
	uint32_t	least = UINT32_MAX;
	uint32_t	most = 0;
	uint32_t	least_in = UINT32_MAX;
	uint32_t	most_in = 0;
	uint64_t	hash = 0;
	uint32_t	i;
	uint32_t	k;

	for (i = 0; i < n; i++)
	{
		uint32_t	degree = edges->degree[i];

		sum += degree;
		least = degree < least ? degree : least;
		most = degree > most ? degree : most;
		for (k = 0; k < degree; k++)
		{
			uint32_t	to = edges->ids[(size_t) i * edges->max_degree + k];

			in_degree[to]++;
			hash = (hash ^ to) * UINT64_C(0x9E3779B97F4A7C15);
		}
	}
	for (i = 0; i < n; i++)
	{
		least_in = in_degree[i] < least_in ? in_degree[i] : least_in;
		most_in = in_degree[i] > most_in ? in_degree[i] : most_in;
	}
	printf("edges %016llx\n", (unsigned long long) hash);
	printf("degree mean %.1f min %u max %u  in-degree min %u max %u  "
		   "unreachable %u\n", (double) sum / n, least, most, least_in,
		   most_in, count_unreachable(edges, n, entry));
	free(in_degree);
}

/* Share of expanded nodes whose page was pinned before, 4 to a page */
static double
page_sharing(const GraphVectors *base, const GraphEdges *edges,
			 const uint32_t *position, const Found *found, uint32_t nfound)
{
	uint32_t	shared = 0;
	uint32_t	i;
	uint32_t	k;

	(void) base;
	(void) edges;
	for (i = 1; i < nfound; i++)
		for (k = 0; k < i; k++)
			if (position[found[i].row] / 4 == position[found[k].row] / 4)
			{
				shared++;
				break;
			}
	return (double) shared / nfound;
}

/*
 * Print the hops at which the recalls of interest lie between two list sizes.
 */
static void
report_crossings(double recall, double hops, double next_recall,
				 double next_hops)
{
	static const double levels[] = {0.90, 0.95, 0.98, 0.99, 0.995};
	uint32_t	i;

	for (i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (recall > 0 && recall < levels[i] && next_recall >= levels[i])
			printf("== recall %.3f at %.1f hops\n", levels[i], hops +
				   (next_hops - hops) * (levels[i] - recall) /
				   (next_recall - recall));
}

/*
 * Build with procs processes, and report the times.  Fills order.
 */
static uint32_t
build(const char *name, const GraphVectors *base, const GraphParams *params,
	  uint32_t procs, GraphEdges *edges, uint32_t *order)
{
	static const char *const phases[] = {"neighbours", "select", "reselect",
	"connect", "reorder"};
	static Meter meter;
	GraphHost	host = {&meter, 0, procs, bench_alloc, bench_release,
		bench_alloc_shared, bench_release_shared, bench_barrier,
	bench_interrupts, bench_progress};
	size_t		shared = graph_build_shared_memory(base->n, base->dim, params,
												   procs);
	size_t		memory = 0;
	double		cpu = 0;
	double		begin;
	double		total;
	uint32_t	entry;
	uint32_t	i;

	meter.clock = procs > 1 ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID;
	team_start(&meter.team, procs, shared);
	host.rank = meter.team.rank;
	if (host.rank == 0)
		cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	begin = meter.last = now(meter.clock);
	graph_build_layer(base, params, &host, edges, &entry);
	bench_progress(&meter, GRAPH_PHASE_REORDER, 0, 0);
	total = now(meter.clock) - begin;
	graph_reorder(base, edges, entry, 4, &host, order);
	bench_progress(&meter, GRAPH_PHASE_REORDER, 0, 0);
	team_end(&meter.team, meter.peak,
			 (size_t) ((now(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e3));

	printf("%s n %u dim %u R %u pool %u simd %s processes %u\n"
		   "build %.2f s:", name, base->n, base->dim, params->max_degree,
		   params->pool_size, simd_level_name(distance_kernels()->level),
		   procs, total);
	for (i = 0; i <= GRAPH_PHASE_REORDER; i++)
		printf(" %s %.2f", phases[i], meter.phase_seconds[i]);
	if (procs > 1)
		printf("; CPU");
	for (i = 0; i < procs; i++)
	{
		memory += meter.team.shared->reports[i][0];
		if (procs > 1)
			printf(" %.2f", meter.team.shared->reports[i][1] / 1e3);
	}
	printf("; host called every %.1f ms at most\n", meter.longest * 1e3);
	printf("memory %.0f MB shared, bound %.0f; in all %.0f, bound %.0f\n",
		   graph_arena_peak(&meter.team.arena) / 1e6, shared / 1e6,
		   (graph_arena_peak(&meter.team.arena) + memory) / 1e6,
		   graph_build_memory(base->n, base->dim, params, procs) / 1e6);
	return entry;
}

int
main(int argc, char **argv)
{
	GraphParams params;
	GraphVectors base;
	GraphEdges	edges;
	uint32_t	procs = 1;
	const char *lists = "10,16,24,32,48,64,96,128,192,256";
	uint32_t	n = 0;
	uint32_t	nq = 0;
	uint32_t	dim;
	uint32_t	qdim;
	uint32_t	nstart = 512;
	uint32_t	entry;
	uint32_t	i;
	uint32_t	stamp = 0;
	uint32_t   *start;
	uint32_t   *seen;
	uint32_t   *order;
	uint32_t   *position;
	float	   *queries;
	float	   *kth;
	Found	   *found;
	double		begin;
	double		last_recall = 0;
	double		last_hops = 0;
	uint64_t	state = 12345;

	if (argc < 3)
		die("usage: bench_graph BASE QUERIES [option=value ...]");
	simd_set_level(simd_best_level());
	graph_params_init(&params);
	for (i = 3; i < (uint32_t) argc; i++)
	{
		char	   *value = strchr(argv[i], '=');

		if (value == NULL)
			die(argv[i]);
		*value++ = '\0';
		if (strcmp(argv[i], "n") == 0)
			n = atoi(value);
		else if (strcmp(argv[i], "q") == 0)
			nq = atoi(value);
		else if (strcmp(argv[i], "R") == 0)
			params.max_degree = atoi(value);
		else if (strcmp(argv[i], "pool") == 0)
			params.pool_size = atoi(value);
		else if (strcmp(argv[i], "floor") == 0)
			params.min_in_degree = atoi(value);
		else if (strcmp(argv[i], "tau") == 0)
			params.tau = atof(value);
		else if (strcmp(argv[i], "kappa") == 0)
			params.kappa = atof(value);
		else if (strcmp(argv[i], "strict") == 0)
			params.strict = atof(value);
		else if (strcmp(argv[i], "relaxed") == 0)
			params.relaxed_max = atof(value);
		else if (strcmp(argv[i], "seed") == 0)
			params.seed = atoi(value);
		else if (strcmp(argv[i], "seeds") == 0)
			nstart = atoi(value);
		else if (strcmp(argv[i], "procs") == 0)
			procs = atoi(value);
		else if (strcmp(argv[i], "L") == 0)
			lists = value;
		else
			die(argv[i]);
	}

	base.data = load(argv[1], &n, &dim);
	base.stride = dim;
	base.n = n;
	base.dim = dim;
	queries = load(argv[2], &nq, &qdim);
	if (qdim != dim)
		die("dimensions differ");
	edges.max_degree = params.max_degree;
	edges.ids = team_share((size_t) n * params.max_degree * sizeof(uint32_t));
	edges.degree = team_share(n * sizeof(uint16_t));
	order = team_share(n * sizeof(uint32_t));
	entry = build(argv[1], &base, &params, procs, &edges, order);
	position = malloc(n * sizeof(uint32_t));
	for (i = 0; i < n; i++)
		position[order[i]] = i;
	report_degrees(&edges, n, entry);

	nstart = nstart < n ? nstart : n;
	start = malloc(nstart * sizeof(uint32_t));
	for (i = 0; i < nstart; i++)
	{
		state = state * UINT64_C(6364136223846793005) + 1;
		start[i] = (uint32_t) ((state >> 33) % n);
	}
	if (nstart == 1)
		start[0] = entry;
	kth = ground_truth(&base, queries, nq);
	seen = calloc(n, sizeof(uint32_t));
	found = malloc(BENCH_MAX_LIST * sizeof(Found));
	while (*lists)
	{
		char	   *end;
		uint32_t	list = (uint32_t) strtoul(lists, &end, 10);
		uint64_t	hops = 0;
		uint64_t	compared = 0;
		uint64_t	right = 0;
		double		sharing = 0;
		uint32_t	q;

		if (end == lists || list < 1 || list > BENCH_MAX_LIST)
			die("list sizes");
		lists = *end == ',' ? end + 1 : end;
		begin = now(CLOCK_PROCESS_CPUTIME_ID);
		for (q = 0; q < nq; q++)
		{
			uint32_t	nfound;

			hops += search(&base, &edges, queries + (size_t) q * dim, start,
						   nstart, list, seen, ++stamp, found, &nfound,
						   &compared);
			for (i = 0; i < nfound && i < BENCH_K; i++)
				right += found[i].dist <= kth[q] * (1 + 1e-6f);
			sharing += page_sharing(&base, &edges, position, found, nfound);
		}
		report_crossings(last_recall, last_hops,
						 (double) right / ((double) nq * BENCH_K),
						 (double) hops / nq);
		last_recall = (double) right / ((double) nq * BENCH_K);
		last_hops = (double) hops / nq;
		printf("L %4u  recall %.4f  hops %6.1f  compared %7.0f  "
			   "page shared %.2f  %6.1f us\n", list,
			   (double) right / ((double) nq * (n < BENCH_K ? n : BENCH_K)),
			   (double) hops / nq, (double) compared / nq, sharing / nq,
			   (now(CLOCK_PROCESS_CPUTIME_ID) - begin) / nq * 1e6);
	}
	return 0;
}
