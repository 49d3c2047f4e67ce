/*-------------------------------------------------------------------------
 *
 * bench_options.c
 *	  What options of the search are worth: hops with and without each,
 *	  without a server.
 *
 * Usage: bench_options STUDY NAME BASE QUERIES [option=value ...]
 *
 * BASE and QUERIES are files of hdf5_to_bin.py; graphs and codes are made as
 * in bench_layout.c.  A study is one of
 *
 *	estimate	a node's estimates from several parents: the least, that of the
 *				best condition, the mean by accuracy, the plain mean
 *	partition	neighbours grouped by an axis of the node; the query's group
 *				only is scored (options_partition.h)
 *	axes		codes along principal axes instead of after a random rotation
 *				(options_axes.h).  m counts coded coordinates; the others enter
 *				the additive factor
 *	times		no hops but nanoseconds of what the other studies add or save
 *				(options_time.h); needs no set: any names
 *	width		candidates expanded at a time
 *	margin		subtracted from estimates, in standard errors; with the least
 *				and with the mean of the estimates
 *	top			the top level keyed by signs (options_top.h)
 *	answer		rows answered without a visit (options_answer.h)
 *
 * Prints a line per variant, fields separated by tabs: list size L, hops per
 * query (mean and median of all queries) and neighbours scored, where
 * recall@10 reaches 0.95 and 0.99, interpolated between list sizes ("-": not
 * reached).  Lines that begin with # belong to the line before.
 *
 * Options:
 *
 *	layouts		of the nodes: R/B/m,.., by default 32/2/full (m: full or a
 *				multiple of 16)
 *	estimate	least or mean, where the study does not try both: least
 *	explore		margin in standard errors, 0
 *	n, q		rows and queries used (0 = all)
 *	longest		list size that is tried, 128
 *	cache		folder for graphs, /tmp
 *
 * Compile with -O2 -Isrc, every .c file of src/code, src/graph and
 * src/distance, -lm.
 *
 *-------------------------------------------------------------------------
 */
#include "options_axes.h"
#include "options_run.h"
#include "options_answer.h"
#include "options_partition.h"
#include "options_time.h"
#include "options_top.h"

static void
study_estimate(Bench *bench)
{
	opt.merge = MERGE_LEAST;
	measure(bench, "least");
	opt.merge = MERGE_BEST;
	measure(bench, "best conditioned");
	opt.merge = MERGE_MEAN;
	measure(bench, "mean by accuracy");
	opt.merge = MERGE_PLAIN;
	measure(bench, "plain mean");
}

static void
study_width(Bench *bench)
{
	char		variant[32];

	for (opt.width = 1; opt.width <= 4; opt.width++)
	{
		snprintf(variant, sizeof(variant), "%u at a time", opt.width);
		measure(bench, variant);
	}
	opt.width = 1;
}

static void
study_margin(Bench *bench)
{
	static const float margins[] = {0, 0.25f, 0.5f, 1};
	char		variant[32];
	uint32_t	i;

	for (i = 0; i < 8; i++)
	{
		opt.merge = i < 4 ? MERGE_LEAST : MERGE_PLAIN;
		opt.explore = margins[i % 4];
		snprintf(variant, sizeof(variant), "%s, margin %g",
				 i < 4 ? "least" : "plain mean", opt.explore);
		measure(bench, variant);
	}
	opt.merge = MERGE_LEAST;
	opt.explore = 0;
}

/* The layout's m coordinates along the axes, and of the random rotation */
static void
study_axes(Bench *bench)
{
	static const char *const names[TURN_NTURNS] = {"axes",
	"axes, rotated in blocks of 64", "axes, all kept rotated"};
	BenchIndex *index = &bench->index;
	BenchIndex	before = *index;
	uint32_t	m = index->params.coded;
	CodeParams	params = {m, m, m, index->params.bits, 1};
	int			turn;

	measure(bench, "random rotation");
	opt.head = 1;
	for (turn = 0; turn < TURN_NTURNS; turn++)
	{
		index->params = params;
		index->points = turn_kept(&bench->axes->points, m, turn);
		index->asked = turn_kept(&bench->axes->asked, m, turn);
		reserve_codes(&index->base, &params);
		measure(bench, names[turn]);
		release_codes(&index->base, &params);
		free((void *) index->points.data);
		free((void *) index->asked.data);
		*index = before;
	}
	opt.head = 0;
}

static const struct
{
	const char *name;
	void		(*run) (Bench *bench);
	bool		axes;
}			studies[] = {
	{"estimate", study_estimate, false},
	{"partition", study_partition, false},
	{"axes", study_axes, true},
	{"width", study_width, false},
	{"margin", study_margin, false},
	{"top", study_top, true},
	{"answer", study_answer, false}
};

static void
run_layout(Bench *bench, uint32_t degree, uint32_t bits, uint32_t coded)
{
	BenchIndex *index = &bench->index;
	uint32_t	i;

	if (degree < 16 || degree % 16 != 0 || degree > MAX_DEGREE || coded % 16 != 0)
		die("R or m is not a multiple of 16");
	memset(index, 0, sizeof(*index));
	index->set = &bench->set;
	index->params = code_params(bench->set.base.dim, bits, coded);
	index->points = bench->set.points;
	index->asked = bench->set.asked;
	index->base.n = bench->set.base.n;
	index->base.edges = build_graph(&bench->set.points, degree, "");
	make_top(&index->top, &bench->set, &index->base);
	reserve_codes(&index->base, &index->params);
	for (i = 0; i < sizeof(studies) / sizeof(studies[0]); i++)
		if (strcmp(bench->study, studies[i].name) == 0)
			studies[i].run(bench);
	release_codes(&index->base, &index->params);
	free(index->base.edges.ids);
	free(index->base.edges.degree);
}

/* R/B/m,.. */
static void
run_layouts(Bench *bench, const char *text)
{
	for (; text != NULL; text = strchr(text, ',') ? strchr(text, ',') + 1 : NULL)
	{
		uint32_t	degree;
		uint32_t	bits;
		uint32_t	coded = code_rotated_dim(bench->set.base.dim);

		if (sscanf(text, "%u/%u/%u", &degree, &bits, &coded) != 3 &&
			sscanf(text, "%u/%u/full", &degree, &bits) != 2)
			die(text);
		run_layout(bench, degree, bits, coded);
	}
}

static void
set_option(const char *key, const char *value, const char **layouts)
{
	if (strcmp(key, "layouts") == 0)
		*layouts = value;
	else if (strcmp(key, "estimate") == 0)
		opt.merge = value[0] == 'm' ? MERGE_PLAIN : MERGE_LEAST;
	else if (strcmp(key, "explore") == 0)
		opt.explore = (float) atof(value);
	else if (strcmp(key, "n") == 0)
		opt.n = (uint32_t) atoi(value);
	else if (strcmp(key, "q") == 0)
		opt.q = (uint32_t) atoi(value);
	else if (strcmp(key, "longest") == 0)
		opt.longest = (uint32_t) atoi(value);
	else if (strcmp(key, "cache") == 0)
		opt.cache = value;
	else
		die(key);
}

/* Read the set, and make what all layouts share. */
static void
start_bench(Bench *bench, const char *base, const char *queries)
{
	uint32_t	n;
	uint32_t	i;

	load_set(&bench->set, base, queries);
	n = bench->set.base.n;
	candidate_heap_init(&bench->search.heap, 1024);
	bench->search.visited = calloc(n, sizeof(uint32_t));
	bench->search.known = calloc(n, sizeof(uint32_t));
	bench->search.estimate = calloc(n, sizeof(float));
	bench->search.weight = calloc(n, sizeof(float));
	for (i = 0; i < sizeof(studies) / sizeof(studies[0]); i++)
		if (studies[i].axes && strcmp(bench->study, studies[i].name) == 0)
			bench->axes = find_axes(&bench->set);
}

int
main(int argc, char **argv)
{
	static Bench bench;
	const char *layouts = "32/2/full";
	int			i;

	if (argc < 5)
		die("usage: bench_options STUDY NAME BASE QUERIES [option=value ...]");
	simd_set_level(simd_best_level());
	bench.study = argv[1];
	opt.name = argv[2];
	opt.cache = "/tmp";
	opt.top = 512;
	opt.topbits = 8;
	opt.seeds = 16;
	opt.width = 1;
	opt.addbits = 32;
	opt.windows = 1;
	opt.longest = 128;
	graph_params_init(&opt.graph);
	for (i = 5; i < argc; i++)
	{
		char	   *value = strchr(argv[i], '=');

		if (value == NULL)
			die(argv[i]);
		*value = '\0';
		set_option(argv[i], value + 1, &layouts);
	}
	if (strcmp(bench.study, "times") == 0)
	{
		study_times();
		return 0;
	}
	start_bench(&bench, argv[3], argv[4]);
	print_head();
	run_layouts(&bench, layouts);
	return 0;
}
