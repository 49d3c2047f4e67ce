/*-------------------------------------------------------------------------
 *
 * graph_test.h
 *	  What the tests of graph/ share: a host that counts, teams, data, what a
 *	  graph must be, searches.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GRAPH_TEST_H
#define GRAPH_TEST_H

#include <math.h>
#include <fcntl.h>
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
 * process has its shared memory from alloc, a team from an arena.  Files have
 * names as long as not all of the team have opened them.
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
	uint32_t	nfiles;			/* created so far */
	uint32_t	open_files;
	bool		misaligned;
	jmp_buf		leave;
} TestHost;

static TestHost state;
static int	failures;			/* of the current group */

static inline void
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

static inline void
begin_group(void)
{
	failures = 0;
}

static inline void
end_group(const char *name)
{
	report(failures, "graph", name);
}

static inline void *
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

static inline void
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

static inline void
test_interrupts(void *arg)
{
	TestHost   *host = arg;

	if (++host->interrupts == host->leave_at)
		longjmp(host->leave, 1);
}

static inline void
test_progress(void *arg, GraphPhase phase, uint64_t done, uint64_t total)
{
	(void) arg;
	check(phase <= GRAPH_PHASE_REORDER, "unknown phase");
	check(done <= total, "phase %d: progress %llu of %llu", (int) phase,
		  (unsigned long long) done, (unsigned long long) total);
}

static inline void *
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

static inline void
test_release_shared(void *arg, void *memory)
{
	check(graph_arena_release(&((TestHost *) arg)->team.arena, memory),
		  "release of shared memory that was not allocated");
}

static inline void
test_barrier(void *arg)
{
	team_barrier(&((TestHost *) arg)->team);
}

static inline void
no_barrier(void *arg)
{
	(void) arg;
}

static inline void *test_file_create(void *arg, uint64_t size);

static inline void
test_file_close(void *arg, void *file)
{
	((TestHost *) arg)->open_files--;
	close((int) (intptr_t) file);
}

static inline void
test_file_read(void *arg, void *file, uint64_t offset, void *data,
			   size_t size)
{
	(void) arg;
	if (pread((int) (intptr_t) file, data, size, (off_t) offset) !=
		(ssize_t) size)
		team_die("read");
}

static inline void
test_file_write(void *arg, void *file, uint64_t offset, const void *data,
				size_t size)
{
	(void) arg;
	if (pwrite((int) (intptr_t) file, data, size, (off_t) offset) !=
		(ssize_t) size)
		team_die("write");
}

static const GraphHost one_host = {&state, 0, 1, test_alloc, test_release,
	test_alloc, test_release, no_barrier, test_interrupts, test_progress,
test_file_create, test_file_close, test_file_read, test_file_write};

static GraphHost host;			/* of this process */

static inline void *
test_file_create(void *arg, uint64_t size)
{
	TestHost   *test = arg;
	char		name[64];
	int			fd;

	snprintf(name, sizeof(name), "/tmp/graph_test.%d.%u",
			 (int) (host.rank == 0 ? getpid() : getppid()), test->nfiles++);
	fd = open(name, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, (off_t) size) != 0)
		team_die(name);
	host.barrier(arg);
	if (host.rank == 0)
		unlink(name);
	test->open_files++;
	return (void *) (intptr_t) fd;
}

static uint32_t processes = 1;	/* of the teams that tests form */

/* Go on in as many processes, the host of each in "host". */
static inline void
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
static inline size_t
end_team(const char *what)
{
	size_t		bytes;
	uint32_t	i;

	check(state.nblocks == 0, "%s: %u blocks not released", what,
		  state.nblocks);
	check(state.open_files == 0, "%s: %u files not closed", what,
		  state.open_files);
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

static inline double
uniform(void)
{
	return (graph_random(&random_state) >> 11) * (1.0 / 9007199254740992.0);
}

static inline double
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
static inline GraphVectors
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
	v.source = NULL;
	return v;
}

static inline GraphEdges
make_edges(uint32_t n, uint32_t max_degree)
{
	GraphEdges	edges;

	edges.ids = team_share((size_t) n * max_degree * sizeof(uint32_t));
	edges.degree = team_share(n * sizeof(uint16_t));
	edges.max_degree = max_degree;
	memset(edges.ids, 0xA5, (size_t) n * max_degree * sizeof(uint32_t));
	return edges;
}

static inline void
free_edges(GraphEdges *edges, uint32_t n)
{
	team_unshare(edges->ids,
				 (size_t) n * edges->max_degree * sizeof(uint32_t));
	team_unshare(edges->degree, n * sizeof(uint16_t));
}

/*
 * Degrees, edges, in-degrees and reachability of a graph.
 */
static inline void
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
static inline uint32_t
build(const char *what, const GraphVectors *v, const GraphParams *params,
	  GraphEdges *edges)
{
	uint32_t	entry = GRAPH_NO_NODE;
	const GraphPlan *plan = params->plan;
	size_t		bound = plan ? graph_all_memory(plan->memory, processes) :
	graph_build_memory(v->n, v->dim, params, processes);
	size_t		shared = plan ? plan->memory.shared :
	graph_build_shared_memory(v->n, v->dim, params, processes);
	size_t		bytes;
	uint32_t   *entries = team_share(processes * sizeof(uint32_t));
	GraphEdges	made = *edges;
	uint32_t	i;

	/* no more shared memory than they say they need */
	start_team(shared);
	if (plan)
		made.ids = NULL;
	graph_build_layer(v, params, &host, &made, &entry);
	entries[host.rank] = entry;
	if (plan)
	{
		if (host.rank == 0)
			memcpy(edges->ids, made.ids,
				   (size_t) v->n * edges->max_degree * sizeof(uint32_t));
		host.barrier(host.arg);
		host.release_shared(host.arg, made.ids);
	}
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

/* Reports the group, and by how many processes. */
static inline void
end_team_group(const char *name)
{
	char		line[200];

	snprintf(line, sizeof(line), "%s, processes: %u", name, processes);
	end_group(line);
}

/* The edges form a graph that searches find their way in */
static inline uint32_t
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
static inline double
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

#endif							/* GRAPH_TEST_H */
