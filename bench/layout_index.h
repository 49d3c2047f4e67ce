/*-------------------------------------------------------------------------
 *
 * layout_index.h
 *	  For bench_layout.c and bench_options.c: a set, its graph and the codes of
 *	  its edges.
 *
 * What CREATE INDEX does (build.c, buildgraph.c, buildwrite.c and cache.c of
 * src/fng), in memory.  Graphs are kept in files; codes are made when a node
 * is first visited.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_BENCH_LAYOUT_INDEX_H
#define DESCARTES_BENCH_LAYOUT_INDEX_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "code/code.h"
#include "distance/half.h"
#include "graph/graph.h"

#define K				10		/* rows that a query wants */
#define LINE			64
#define MAX_LISTS		128
#define MAX_STEPS		1000
#define MAX_DEGREE		256
#define MAX_SEEDS		64
#define MAX_WINDOWS		8
#define MAX_DIM			8192

typedef enum BenchMerge
{
	MERGE_LEAST,
	MERGE_BEST,
	MERGE_MEAN,
	MERGE_PLAIN
} BenchMerge;

typedef struct BenchOptions
{
	const char *name;
	const char *degrees;
	const char *bits;
	const char *coded;
	const char *cache;
	uint32_t	n;
	uint32_t	q;
	uint32_t	use;
	uint32_t	top;
	uint32_t	topbits;
	uint32_t	seeds;
	uint32_t	mid;
	uint32_t	midlist;
	uint32_t	width;
	uint32_t	addbits;
	uint32_t	head;
	uint32_t	curve;
	uint32_t	longest;
	uint32_t	bound;
	uint32_t	pending;
	uint32_t	windows;
	float		explore;
	BenchMerge	merge;
	GraphParams graph;
} BenchOptions;

/* A set, as given and in coded space; kth: true distance of the k-th row */
typedef struct BenchSet
{
	GraphVectors base;
	GraphVectors queries;
	GraphVectors points;		/* centred and rotated */
	GraphVectors asked;			/* queries, likewise */
	float	   *mean;
	float	   *kth;
} BenchSet;

/*
 * The edges of one level with codes, made when a node is first visited.  Node
 * i of the level is row rows[i] of the set, or i if rows is NULL.
 */
typedef struct BenchLevel
{
	GraphEdges	edges;
	const uint32_t *rows;
	uint32_t	n;
	uint8_t    *encoded;
	uint8_t    *codes;
	float	   *add;
	uint16_t   *mul;
	float	   *scale;
} BenchLevel;

/* The top level: codes around the centre, or the points if topbits is 32. */
typedef struct BenchTop
{
	CodeParams	params;
	uint32_t	n;
	uint32_t   *down;			/* node of the level below */
	uint32_t   *rows;
	uint8_t    *blocks;
	float	   *add;
	uint16_t   *mul;
	float		scale;
} BenchTop;

/* Everything that one configuration searches. */
typedef struct BenchIndex
{
	const BenchSet *set;
	CodeParams	params;
	GraphVectors points;		/* what is encoded */
	GraphVectors asked;
	BenchLevel	base;
	BenchLevel	mid;			/* n = 0: none */
	BenchTop	top;
} BenchIndex;

static BenchOptions opt;

static void
die(const char *what)
{
	fprintf(stderr, "bench: %s\n", what);
	exit(2);
}

static void *
allocate(size_t size)
{
	void	   *memory = aligned_alloc(LINE, (size + LINE) / LINE * LINE);

	if (memory == NULL)
		die("out of memory");
	return memory;
}

/* Zeroed memory that takes room only where it is written */
static void *
reserve(size_t size)
{
	void	   *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
							  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		die("out of memory");
	return memory;
}

static void *
host_alloc(void *arg, size_t size)
{
	(void) arg;
	return allocate(size);
}

static void
host_release(void *arg, void *memory)
{
	(void) arg;
	free(memory);
}

static void
host_interrupts(void *arg)
{
	(void) arg;
}

static void
host_progress(void *arg, GraphPhase phase, uint64_t done, uint64_t total)
{
	(void) arg;
	(void) phase;
	(void) done;
	(void) total;
}

static void
host_barrier(void *arg)
{
	(void) arg;
}

static const GraphHost host = {NULL, 0, 1, host_alloc, host_release,
host_alloc, host_release, host_barrier, host_interrupts, host_progress};

static const float *
row_of(const GraphVectors *vectors, uint32_t i)
{
	return vectors->data + (size_t) i * vectors->stride;
}


static GraphVectors
load(const char *path, uint32_t limit)
{
	FILE	   *file = fopen(path, "rb");
	uint32_t	head[2];
	GraphVectors vectors;
	size_t		count;
	float	   *data;

	if (file == NULL || fread(head, sizeof(uint32_t), 2, file) != 2)
		die(path);
	vectors.n = limit > 0 && limit < head[0] ? limit : head[0];
	vectors.dim = vectors.stride = head[1];
	count = (size_t) vectors.n * vectors.dim;
	data = allocate(count * sizeof(float));
	if (fread(data, sizeof(float), count, file) != count)
		die(path);
	fclose(file);
	vectors.data = data;
	return vectors;
}

/* Open a file of the cache, whose name has all that its contents depend on. */
static FILE *
cached(const char *what, uint32_t n, const char *mode)
{
	char		path[512];

	snprintf(path, sizeof(path), "%s/%s-%u-%s", opt.cache, opt.name, n, what);
	return fopen(path, mode);
}

static float
kth_distance(const GraphVectors *base, const float *query)
{
	const DistanceKernels *kernels = distance_kernels();
	float		best[K];
	uint32_t	n = 0;
	uint32_t	i;
	uint32_t	at;

	for (i = 0; i < base->n; i++)
	{
		float		d = kernels->l2_squared(base->dim, query, row_of(base, i));

		if (n == K && d >= best[K - 1])
			continue;
		at = n < K ? n++ : K - 1;
		for (; at > 0 && best[at - 1] > d; at--)
			best[at] = best[at - 1];
		best[at] = d;
	}
	return best[n - 1];
}

static void
load_truth(BenchSet *set)
{
	uint32_t	nq = set->queries.n;
	FILE	   *file = cached("truth", set->base.n, "rb");
	uint32_t	i;

	set->kth = allocate(nq * sizeof(float));
	if (file != NULL && fread(set->kth, sizeof(float), nq, file) == nq)
	{
		fclose(file);
		return;
	}
	for (i = 0; i < nq; i++)
		set->kth[i] = kth_distance(&set->base, row_of(&set->queries, i));
	file = cached("truth", set->base.n, "wb");
	if (file == NULL || fwrite(set->kth, sizeof(float), nq, file) != nq)
		die("cannot write to the cache");
	fclose(file);
}

static void
find_mean(BenchSet *set)
{
	uint32_t	dim = set->base.dim;
	double	   *sum = calloc(dim, sizeof(double));
	uint32_t	i;
	uint32_t	j;

	set->mean = allocate(dim * sizeof(float));
	for (i = 0; i < set->base.n; i++)
		for (j = 0; j < dim; j++)
			sum[j] += row_of(&set->base, i)[j];
	for (j = 0; j < dim; j++)
		set->mean[j] = (float) (sum[j] / set->base.n);
	free(sum);
}

/*
 * Centre and rotate the first params->dim coordinates.
 */
static GraphVectors
code_points(const BenchSet *set, const GraphVectors *from, const CodeParams *params)
{
	void	   *memory = allocate(code_rotation_size(params));
	CodeRotation *rotation = code_rotation_init(params, memory);
	float	   *centred = allocate(params->dim * sizeof(float));
	float	   *data = allocate((size_t) from->n * params->rotdim * sizeof(float));
	GraphVectors to = {data, params->rotdim, from->n, params->rotdim};
	uint32_t	i;
	uint32_t	j;

	for (i = 0; i < from->n; i++)
	{
		for (j = 0; j < params->dim; j++)
			centred[j] = row_of(from, i)[j] - set->mean[j];
		code_rotate(rotation, centred, data + (size_t) i * params->rotdim);
	}
	free(centred);
	free(memory);
	return to;
}

static CodeParams
code_params(uint32_t dim, uint32_t bits, uint32_t coded)
{
	CodeParams	params = {dim, code_rotated_dim(dim), coded, bits, 1};

	if (params.coded > params.rotdim)
		params.coded = params.rotdim;
	return params;
}

static void
load_set(BenchSet *set, const char *base, const char *queries)
{
	CodeParams	params;

	set->base = load(base, opt.n);
	set->queries = load(queries, opt.q);
	if (set->base.dim != set->queries.dim)
		die("dimensions differ");
	load_truth(set);
	find_mean(set);
	params = code_params(set->base.dim, 8, UINT32_MAX);
	set->points = code_points(set, &set->base, &params);
	set->asked = code_points(set, &set->queries, &params);
}


static GraphEdges
build_graph(const GraphVectors *points, uint32_t degree, const char *label)
{
	GraphEdges	edges = {NULL, NULL, degree};
	GraphParams params = opt.graph;
	char		what[64];
	size_t		nids = (size_t) points->n * degree;
	uint32_t	entry;
	FILE	   *file;

	if (params.pool_size < degree * 3 / 2)
		params.pool_size = degree * 3 / 2;
	edges.ids = allocate(nids * sizeof(uint32_t));
	edges.degree = allocate(points->n * sizeof(uint16_t));
	snprintf(what, sizeof(what), "%s%u-%u-%u-%g", label, degree,
			 params.pool_size, params.min_in_degree, params.tau);
	file = cached(what, points->n, "rb");
	if (file != NULL &&
		fread(edges.ids, sizeof(uint32_t), nids, file) == nids &&
		fread(edges.degree, sizeof(uint16_t), points->n, file) == points->n)
	{
		fclose(file);
		return edges;
	}
	params.max_degree = degree;
	graph_build_layer(points, &params, &host, &edges, &entry);
	file = cached(what, points->n, "wb");
	if (file == NULL ||
		fwrite(edges.ids, sizeof(uint32_t), nids, file) != nids ||
		fwrite(edges.degree, sizeof(uint16_t), points->n, file) != points->n)
		die("cannot write to the cache");
	fclose(file);
	return edges;
}

/* n of `of` numbers in increasing order, each as likely as any other */
static uint32_t *
sample(uint32_t n, uint32_t of, uint64_t state)
{
	uint32_t   *chosen = allocate(n * sizeof(uint32_t));
	uint32_t	taken = 0;
	uint32_t	i;

	for (i = 0; taken < n; i++)
	{
		state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		if ((double) (state >> 11) / 9007199254740992.0 * (of - i) < n - taken)
			chosen[taken++] = i;
	}
	return chosen;
}

static inline void
make_level_between(BenchLevel *level, const BenchSet *set, uint32_t degree)
{
	GraphVectors points = {NULL, set->points.stride, opt.mid, set->points.dim};
	float	   *copy = allocate((size_t) opt.mid * points.stride * sizeof(float));
	char		label[32];
	uint32_t	i;

	level->rows = sample(opt.mid, set->base.n, 3);
	level->n = opt.mid;
	for (i = 0; i < opt.mid; i++)
		memcpy(copy + i * points.stride, row_of(&set->points, level->rows[i]),
			   points.stride * sizeof(float));
	points.data = copy;
	snprintf(label, sizeof(label), "mid%u-", set->base.n);
	level->edges = build_graph(&points, degree, label);
	free(copy);
}

/* As fng_encode_factors in node.c */
static float
encode_factors(const float *mul, uint32_t n, uint16_t *out)
{
	float		scale = 0;
	uint32_t	i;

	for (i = 0; i < n; i++)
		if (fabsf(mul[i]) > scale)
			scale = fabsf(mul[i]);
	if (scale == 0)
		scale = 1;
	for (i = 0; i < n; i++)
		out[i] = half_from_float(mul[i] / scale);
	return scale;
}

static void
make_top(BenchTop *top, const BenchSet *set, const BenchLevel *below)
{
	uint32_t	nbelow = below->n;
	uint32_t	nblocks;
	size_t		block_bytes;
	uint8_t    *row;
	float	   *origin;
	float	   *mul;
	uint32_t	i;

	top->n = opt.top < nbelow ? opt.top : nbelow;
	top->down = sample(top->n, nbelow, 5);
	top->rows = allocate(top->n * sizeof(uint32_t));
	for (i = 0; i < top->n; i++)
		top->rows[i] = below->rows ? below->rows[top->down[i]] : top->down[i];
	if (opt.topbits == 32)
		return;
	top->params = code_params(set->base.dim, opt.topbits, UINT32_MAX);
	nblocks = (top->n + CODE_LANES - 1) / CODE_LANES;
	block_bytes = code_block_bytes(&top->params, CODE_LANES);
	top->blocks = reserve(nblocks * block_bytes);
	top->add = allocate(top->n * sizeof(float));
	top->mul = allocate(top->n * sizeof(uint16_t));
	origin = calloc(top->params.rotdim, sizeof(float));
	mul = allocate(top->n * sizeof(float));
	row = allocate(code_row_bytes(&top->params));
	for (i = 0; i < top->n; i++)
	{
		code_encode(&top->params, CODE_L2, origin,
					row_of(&set->points, top->rows[i]), row, &top->add[i], &mul[i]);
		code_block_put(&top->params, top->blocks + i / CODE_LANES * block_bytes,
					   CODE_LANES, i % CODE_LANES, row);
	}
	top->scale = encode_factors(mul, top->n, top->mul);
	free(origin);
	free(mul);
	free(row);
}

static void
reserve_codes(BenchLevel *level, const CodeParams *params)
{
	size_t		nedges = (size_t) level->n * level->edges.max_degree;

	level->encoded = reserve(level->n);
	level->codes = reserve(nedges * code_row_bytes(params));
	level->add = reserve(nedges * sizeof(float));
	level->mul = reserve(nedges * sizeof(uint16_t));
	level->scale = reserve(level->n * sizeof(float));
}

static void
release_codes(BenchLevel *level, const CodeParams *params)
{
	size_t		nedges = (size_t) level->n * level->edges.max_degree;

	munmap(level->encoded, level->n);
	munmap(level->codes, nedges * code_row_bytes(params));
	munmap(level->add, nedges * sizeof(float));
	munmap(level->mul, nedges * sizeof(uint16_t));
	munmap(level->scale, level->n * sizeof(float));
}

static uint32_t
lanes_of(uint32_t degree, uint32_t first)
{
	return degree - first >= CODE_LANES ? CODE_LANES : CODE_HALF_LANES;
}

/* Round additive factors to float16 relative to the largest. */
static void
round_factors(float *add, uint32_t n)
{
	uint16_t	half[MAX_DEGREE];
	float		scale = encode_factors(add, n, half);
	uint32_t	i;

	for (i = 0; i < n; i++)
		add[i] = scale * half_to_float(half[i]);
}

/* The window of a node: of the coordinates that are the first to be coded. */
static uint32_t
window_of(uint32_t node)
{
	return (uint32_t) ((node * UINT64_C(0x9E3779B97F4A7C15)) >> 40) % opt.windows;
}

/* Turn coordinates so that the window comes first. */
static void
turn(const float *from, uint32_t dim, uint32_t window, float *to)
{
	uint32_t	shift = dim * window / opt.windows / CODE_DIM_ALIGN * CODE_DIM_ALIGN;

	memcpy(to, from + shift, (dim - shift) * sizeof(float));
	memcpy(to + dim - shift, from, shift * sizeof(float));
}

/* What fill_slot of buildwrite.c does for one node */
static void
encode_node(const BenchIndex *index, BenchLevel *level, uint32_t node)
{
	const CodeParams *params = &index->params;
	uint32_t	max = level->edges.max_degree;
	size_t		at = (size_t) node * max;
	size_t		row_bytes = code_row_bytes(params);
	uint32_t	from = level->rows ? level->rows[node] : node;
	float		c[MAX_DIM];
	float		o[MAX_DIM];
	float		mul[MAX_DEGREE] = {0};
	uint8_t		row[65536];
	uint32_t	i;

	turn(row_of(&index->points, from), params->rotdim, window_of(node), c);
	for (i = 0; i < level->edges.degree[node]; i++)
	{
		uint32_t	to = level->edges.ids[at + i];
		uint32_t	first = i / CODE_LANES * CODE_LANES;

		to = level->rows ? level->rows[to] : to;
		turn(row_of(&index->points, to), params->rotdim, window_of(node), o);
		code_encode(params, CODE_L2, c, o, row, &level->add[at + i], &mul[i]);
		if (opt.head)
		{
			/* the coordinates without code add to the distance alone */
			const DistanceKernels *kernels = distance_kernels();
			const BenchSet *set = index->set;

			level->add[at + i] +=
				kernels->l2_squared(set->base.dim, row_of(&set->base, from),
									row_of(&set->base, to)) -
				kernels->l2_squared(params->rotdim, c, o);
		}
		code_block_put(params, level->codes + (at + first) * row_bytes,
					   lanes_of(max, first), i - first, row);
	}
	level->scale[node] = encode_factors(mul, max, level->mul + at);
	if (opt.addbits == 16)
		round_factors(level->add + at, level->edges.degree[node]);
	level->encoded[node] = 1;
}

#endif							/* DESCARTES_BENCH_LAYOUT_INDEX_H */
