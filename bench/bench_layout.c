/*-------------------------------------------------------------------------
 *
 * bench_layout.c
 *	  What the layout of a node costs and gives: hops of searches by bits,
 *	  coded coordinates and degree, without a server.
 *
 * Usage: bench_layout NAME BASE QUERIES [option=value ...]
 *
 * BASE and QUERIES are files of hdf5_to_bin.py.  For each degree a graph is
 * built as CREATE INDEX builds it (and kept in the folder "cache" for later
 * runs); for each pair of bits and coded coordinates its edges get codes, and
 * all queries are searched for as src/fng/search.c and expand.c do it.  One
 * search serves all list sizes: a list size decides when rows are returned,
 * not which node comes next.
 *
 * Prints a line per configuration, fields separated by tabs: the bytes of a
 * slot and slots per page as src/fng/layout.c has them, for a vector of
 * float32 and of float16; hops (nodes expanded, on levels between too), the
 * list size L and neighbours scored at the recalls of interest, interpolated
 * between list sizes ("-": not reached).
 *
 * Options, the first of a pair of values is the default:
 *
 *	n, q		rows and queries used (0 = all)
 *	R, B, m		lists; m: full, fractions (3/4) or numbers of coordinates
 *	use			edges of a node that count, strongest first (0 = all)
 *	top			nodes of the flat top level, 512
 *	topbits		their code, 8 (32 = exact)
 *	seeds		best of them that start the search, 16
 *	mid			nodes of a level between (0 = none; the server's: see
 *				buildgraph.c), searched with a list of midlist, 16
 *	width		candidates expanded at a time, 1
 *	estimate	of a node with several parents: least, best (conditioned), mean
 *				(by accuracy), plain (mean)
 *	bound		estimates beyond the bound of expand.c for a list of this size
 *				are not merged (0 = all are)
 *	explore		margin in standard errors, 0
 *	addbits		of an edge's additive factor: 32, 16
 *	pending		rows that the pending area must hold, 4
 *	head		1: m is a prefix of the coordinates as they are, not of the
 *				rotated ones; for sets whose coordinates are principal axes
 *	windows		parts of the coordinates at which a node's coded ones may begin
 *				(going on at the first after the last), by node, 1
 *	floor, pool, tau	of the graph
 *	longest		list size that is tried, 128
 *	curve		1: also a line per list size
 *	cache		folder for graphs, /tmp
 *
 * Compile with -O2 -Isrc, every .c file of src/code, src/graph and
 * src/distance, -lm.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE

#include "layout_search.h"

/* As in src/fng: lines of a page, bytes of a slot's and pending row's header */
#define PAGE_LINES		126
#define HEADER			40
#define PENDING_HEADER	12

/* List sizes in steps of one, then of a sixteenth */
static void
choose_lists(BenchCurve *curve)
{
	uint32_t	list = 1;

	memset(curve, 0, sizeof(*curve));
	while (list <= opt.longest && curve->nlists < MAX_LISTS)
	{
		curve->lists[curve->nlists++] = list;
		list += 1 + list / 16;
	}
}

static size_t
align(size_t size, size_t to)
{
	return (size + to - 1) / to * to;
}

/* Lines of a slot, as slot_size of layout.c has them */
static uint32_t
slot_lines(uint32_t degree, size_t row_bytes, size_t vector_bytes)
{
	size_t		edge = sizeof(uint32_t) + opt.addbits / 8 + sizeof(uint16_t);
	size_t		size = align(HEADER + degree * edge + vector_bytes, LINE);

	size = align(size + degree * row_bytes, 4);
	size += opt.pending * align(PENDING_HEADER + row_bytes, 4);
	return (uint32_t) (align(size, LINE) / LINE);
}

static void
print_at(const BenchCurve *curve, double recall)
{
	uint32_t	i;
	double		part = 0;

	for (i = 0; i < curve->nlists && curve->right[i] < recall; i++)
		;
	if (i == curve->nlists)
	{
		printf("\t-\t-\t-");
		return;
	}
	if (i > 0)
		part = (curve->right[i] - recall) / (curve->right[i] - curve->right[i - 1]);
	printf("\t%.1f\t%.1f\t%.0f",
		   curve->hops[i] - part * (i > 0 ? curve->hops[i] - curve->hops[i - 1] : 0),
		   curve->lists[i] - part * (i > 0 ? curve->lists[i] - curve->lists[i - 1] : 0),
		   curve->scored[i] - part * (i > 0 ? curve->scored[i] - curve->scored[i - 1] : 0));
}

static void
print_head(void)
{
	printf("set\tn\tdim\tR\tB\tm\tnoise\tsetting\tf32_bytes\tf32_per_page\tf16_bytes"
		   "\tf16_per_page\thops95\tL95\tscored95\thops99\tL99\tscored99"
		   "\thops995\tL995\tscored995\n");
}

/*
 * noise is the expected deviation of an estimate in units of 2 |r| |q - c|:
 * from code_error_scale by |mul| = 2 |r| / (rho |x|), so that it does not
 * know of head.
 */
static void
print_result(const BenchIndex *index, const BenchCurve *curve, const char *setting)
{
	const CodeParams *params = &index->params;
	uint32_t	degree = index->base.edges.max_degree;
	size_t		row_bytes = code_row_bytes(params);
	uint32_t	dim = index->set->base.dim;
	uint32_t	f32 = slot_lines(degree, row_bytes, dim * sizeof(float));
	uint32_t	f16 = slot_lines(degree, row_bytes, dim * sizeof(uint16_t));
	static const double loss[] = {0, 0.3634, 0.1188, 0, 0.01154, 0, 0, 0, 8.8e-5};
	double		rho2 = (1 - loss[params->bits]) * params->coded / params->rotdim;
	uint32_t	i;

	printf("%s\t%u\t%u\t%u\t%u\t%u\t%.4f\t%s\t%u\t%u\t%u\t%u", opt.name,
		   index->set->base.n, dim, degree, params->bits, params->coded,
		   sqrt((1 / rho2 - 1) / (params->rotdim - 1)), setting,
		   f32 * LINE, PAGE_LINES / f32, f16 * LINE, PAGE_LINES / f16);
	print_at(curve, 0.95);
	print_at(curve, 0.99);
	print_at(curve, 0.995);
	printf("\n");
	for (i = 0; opt.curve && i < curve->nlists; i++)
		printf("# L %u recall %.4f hops %.1f scored %.0f\n", curve->lists[i],
			   curve->right[i], curve->hops[i], curve->scored[i]);
	fflush(stdout);
}


static void
init_search(BenchSearch *search, uint32_t n)
{
	memset(search, 0, sizeof(*search));
	candidate_heap_init(&search->heap, 1024);
	search->visited = calloc(n, sizeof(uint32_t));
	search->known = calloc(n, sizeof(uint32_t));
	search->estimate = calloc(n, sizeof(float));
	search->weight = calloc(n, sizeof(float));
}

/* One configuration of a graph */
static void
try_code(BenchSearch *search, BenchIndex *index, uint32_t bits, uint32_t coded,
		 const char *setting)
{
	const BenchSet *set = index->set;
	BenchCurve	curve;

	index->params = code_params(opt.head ? coded : set->base.dim, bits, coded);
	index->points = set->points;
	index->asked = set->asked;
	if (opt.head)
	{
		index->points = code_points(set, &set->base, &index->params);
		index->asked = code_points(set, &set->queries, &index->params);
	}
	reserve_codes(&index->base, &index->params);
	if (index->mid.n > 0)
		reserve_codes(&index->mid, &index->params);
	choose_lists(&curve);
	search_all(search, index, &curve);
	print_result(index, &curve, setting);
	release_codes(&index->base, &index->params);
	if (index->mid.n > 0)
		release_codes(&index->mid, &index->params);
	if (opt.head)
	{
		free((void *) index->points.data);
		free((void *) index->asked.data);
	}
}

/* "full", "3/4" or a number, rounded down to a multiple of 16 */
static uint32_t
parse_coded(const char *text, uint32_t dim)
{
	uint32_t	rotdim = code_rotated_dim(dim);
	uint32_t	a;
	uint32_t	b;

	if (strncmp(text, "full", 4) == 0)
		return rotdim;
	if (sscanf(text, "%u/%u", &a, &b) == 2 && b > 0)
		a = rotdim * a / b;
	else if (sscanf(text, "%u", &a) != 1)
		die(text);
	a = a / CODE_DIM_ALIGN * CODE_DIM_ALIGN;
	return a > rotdim ? rotdim : a;
}

static const char *
next_item(const char *list)
{
	list = strchr(list, ',');
	return list == NULL ? NULL : list + 1;
}

static void
try_degree(const BenchSet *set, BenchSearch *search, uint32_t degree, const char *setting)
{
	BenchIndex	index;
	const char *bits;
	const char *coded;

	if (degree < 16 || degree % 16 != 0 || degree > MAX_DEGREE)
		die("R is not a multiple of 16");
	memset(&index, 0, sizeof(index));
	index.set = set;
	index.base.n = set->base.n;
	index.base.edges = build_graph(&set->points, degree, "");
	if (opt.mid > 0)
		make_level_between(&index.mid, set, degree);
	make_top(&index.top, set, opt.mid > 0 ? &index.mid : &index.base);
	for (bits = opt.bits; bits != NULL; bits = next_item(bits))
		for (coded = opt.coded; coded != NULL; coded = next_item(coded))
			try_code(search, &index, atoi(bits),
					 parse_coded(coded, set->base.dim), setting);
	free(index.base.edges.ids);
	free(index.base.edges.degree);
}

static void
set_option(const char *key, const char *value)
{
	static const struct
	{
		const char *key;
		uint32_t   *number;
	}			numbers[] = {
		{"n", &opt.n}, {"q", &opt.q}, {"use", &opt.use}, {"top", &opt.top},
		{"topbits", &opt.topbits}, {"seeds", &opt.seeds}, {"mid", &opt.mid},
		{"midlist", &opt.midlist}, {"width", &opt.width},
		{"addbits", &opt.addbits}, {"head", &opt.head}, {"curve", &opt.curve},
		{"longest", &opt.longest}, {"bound", &opt.bound},
		{"pending", &opt.pending}, {"windows", &opt.windows},
		{"floor", &opt.graph.min_in_degree}, {"pool", &opt.graph.pool_size}
	};
	uint32_t	i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(key, numbers[i].key) == 0)
		{
			*numbers[i].number = (uint32_t) atoi(value);
			return;
		}
	if (strcmp(key, "R") == 0)
		opt.degrees = value;
	else if (strcmp(key, "B") == 0)
		opt.bits = value;
	else if (strcmp(key, "m") == 0)
		opt.coded = value;
	else if (strcmp(key, "cache") == 0)
		opt.cache = value;
	else if (strcmp(key, "explore") == 0)
		opt.explore = atof(value);
	else if (strcmp(key, "tau") == 0)
		opt.graph.tau = atof(value);
	else if (strcmp(key, "estimate") == 0)
		opt.merge = value[0] == 'm' ? MERGE_MEAN : value[0] == 'p' ? MERGE_PLAIN :
			value[0] == 'b' ? MERGE_BEST : MERGE_LEAST;
	else
		die(key);
}

int
main(int argc, char **argv)
{
	static BenchSearch search;
	static char setting[1024];
	BenchSet	set;
	const char *degree;
	int			i;

	if (argc < 4)
		die("usage: bench_layout NAME BASE QUERIES [option=value ...]");
	simd_set_level(simd_best_level());
	opt.name = argv[1];
	opt.degrees = "32,48,64";
	opt.bits = "1,2,4,8";
	opt.coded = "full";
	opt.cache = "/tmp";
	opt.top = 512;
	opt.topbits = 8;
	opt.seeds = 16;
	opt.midlist = 16;
	opt.width = 1;
	opt.addbits = 32;
	opt.pending = 4;
	opt.windows = 1;
	opt.longest = 128;
	graph_params_init(&opt.graph);
	for (i = 4; i < argc; i++)
	{
		char	   *value = strchr(argv[i], '=');

		if (value == NULL)
			die(argv[i]);
		if (strchr("RBm", argv[i][0]) == NULL || value != argv[i] + 1)
			snprintf(setting + strlen(setting), sizeof(setting) - strlen(setting),
					 "%s%s", *setting ? " " : "", argv[i]);
		*value = '\0';
		set_option(argv[i], value + 1);
	}
	if (opt.midlist < 1 || opt.midlist > MAX_SEEDS || opt.width < 1 || opt.width > 16 ||
		opt.windows < 1 || opt.windows > MAX_WINDOWS)
		die("midlist, width or windows out of range");

	load_set(&set, argv[2], argv[3]);
	init_search(&search, set.base.n);
	print_head();
	for (degree = opt.degrees; degree != NULL; degree = next_item(degree))
		try_degree(&set, &search, atoi(degree), *setting ? setting : "-");
	return 0;
}
