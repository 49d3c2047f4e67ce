/*-------------------------------------------------------------------------
 *
 * buildgraph.c
 *	  CREATE INDEX: the levels and their graphs.
 *
 * Each level above the base is a random sample of the one below, by one ratio
 * for all, chosen so that the top holds about FNG_TOP_TARGET nodes.  A level
 * between costs more steps than it saves (measured in src/README), so there is
 * none up to FNG_MAX_LEVEL_RATIO * FNG_TOP_TARGET rows.  The top is
 * scanned flat, so it has no edges.  Small tables have the base alone.
 * Every member of the team draws the same samples.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "build.h"
#include "common/pg_prng.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Fewer rows than this need no level above. */
#define MIN_ROWS_FOR_LEVELS	512

/* The points of a level between */
typedef struct LevelSource
{
	GraphSource base;
	uint32		dim;
	const uint32 *rows;
} LevelSource;

static void connect_base(FngBuild *build);
static void connect_between(FngBuild *build, FngLevel *level);
static void read_level(void *arg, uint32 first, uint32 n, float *points);
static void choose_levels(FngBuild *build);
static void sample_level(FngBuild *build, uint32 level, uint32 n, pg_prng_state *prng);
static void connect_level(FngBuild *build, FngLevel *level, const GraphVectors *vectors);
static void order_base(FngBuild *build, FngLevel *base, const GraphVectors *vectors);

void
fng_build_graph(FngBuild *build)
{
	choose_levels(build);
	for (uint32 l = 1; l + 1 < build->nlevels; l++)
		connect_between(build, &build->levels[l]);
	connect_base(build);
}

static void
connect_base(FngBuild *build)
{
	FngLevel   *base = &build->levels[0];
	uint32		rotdim = build->layout.code.rotdim;
	GraphSource source = fng_point_source(build);
	GraphVectors vectors = {build->points, rotdim, build->nrows, rotdim, NULL};

	if (build->points == NULL)
		vectors.source = &source;
	connect_level(build, base, &vectors);
	order_base(build, base, &vectors);
}

/* A level between, on copies of its points, or by way of those in the file */
static void
connect_between(FngBuild *build, FngLevel *level)
{
	LevelSource points = {fng_point_source(build), build->layout.code.rotdim, level->rows};
	GraphSource source = {&points, read_level};
	GraphVectors vectors = {NULL, points.dim, level->n, points.dim, &source};
	float	   *copies = NULL;

	if (build->points != NULL)
	{
		copies = fng_team_alloc(build, mul_size(level->n, points.dim * sizeof(float)));
		for (uint32 i = fng_team_rank(build->team); i < level->n; i += fng_team_size(build->team))
			memcpy(copies + (Size) i * points.dim,
				   fng_build_point(build, level->rows[i]), points.dim * sizeof(float));
		fng_team_barrier(build->team);
		vectors.data = copies;
		vectors.source = NULL;
	}
	connect_level(build, level, &vectors);
	if (copies != NULL)
		fng_team_free(build, copies);
}

static void
read_level(void *arg, uint32 first, uint32 n, float *points)
{
	LevelSource *level = (LevelSource *) arg;

	for (uint32 i = 0; i < n; i++)
		level->base.read(level->base.arg, level->rows[first + i], 1,
						 points + (Size) i * level->dim);
}

static void
choose_levels(FngBuild *build)
{
	pg_prng_state prng;
	double		ratio;
	uint32		nupper = 1;
	double		n = build->nrows;

	build->levels[0].n = build->nrows;
	build->nlevels = 1;
	if (build->nrows < MIN_ROWS_FOR_LEVELS)
		return;

	ratio = Max(4.0, n / FNG_TOP_TARGET);
	while (ratio > descartes_debug_level_ratio && nupper < FNG_MAX_LEVELS - 1)
	{
		nupper++;
		ratio = Max(2.0, pow(n / FNG_TOP_TARGET, 1.0 / nupper));
	}
	build->meta.level_ratio = (uint32) rint(ratio);

	pg_prng_seed(&prng, build->meta.seed);
	for (uint32 l = 1; l <= nupper; l++)
	{
		n /= ratio;
		sample_level(build, l, Max(1, (uint32) n), &prng);
		build->nlevels++;
	}
}

/*
 * Choose n rows of the level below (Vitter's selection sampling keeps them in
 * order).
 */
static void
sample_level(FngBuild *build, uint32 l, uint32 n, pg_prng_state *prng)
{
	const FngLevel *below = &build->levels[l - 1];
	FngLevel   *level = &build->levels[l];

	level->n = n;
	level->rows = MemoryContextAllocHuge(build->context, mul_size(n, sizeof(uint32)));
	for (uint32 i = 0, taken = 0; taken < n; i++)
	{
		if (pg_prng_double(prng) * (below->n - i) < n - taken)
			level->rows[taken++] = below->rows == NULL ? i : below->rows[i];
	}
}

static void
connect_level(FngBuild *build, FngLevel *level, const GraphVectors *vectors)
{
	uint32		max_degree = build->layout.max_degree;

	level->edges.max_degree = max_degree;
	/* out of core graph/ will, of the base, when it has memory to spare */
	if (level->rows != NULL || !build->plan.outofcore)
		level->edges.ids = fng_team_alloc(build, mul_size(level->n, max_degree * sizeof(uint32)));
	level->edges.degree = fng_team_alloc(build, mul_size(level->n, sizeof(uint16)));
	graph_build_layer(vectors, &build->graph, &build->host, &level->edges, &level->entry);
}

/* Put the base in the order in which a search is likely to want it. */
static void
order_base(FngBuild *build, FngLevel *base, const GraphVectors *vectors)
{
	uint32		rank = fng_team_rank(build->team);
	uint32		size = fng_team_size(build->team);

	base->order = fng_team_alloc(build, mul_size(base->n, sizeof(uint32)));
	base->position = fng_team_alloc(build, mul_size(base->n, sizeof(uint32)));
	graph_reorder(vectors, &base->edges, base->entry, build->layout.slots_per_page,
				  &build->host, base->order);
	for (uint32 i = rank; i < base->n; i += size)
		base->position[base->order[i]] = i;
	fng_team_barrier(build->team);
}
