/*-------------------------------------------------------------------------
 *
 * hnswlib_bench.cpp
 *	  hnswlib in memory, driven by compare.py, which compiles this where the
 *	  header is installed (libhnswlib-dev):
 *
 *		g++ -O3 -march=native -pthread -o hnswlib_bench hnswlib_bench.cpp
 *		./hnswlib_bench FILE ROWS QUERIES DIM l2|ip M EF_CONSTRUCTION THREADS K
 *
 * FILE has the rows, then the queries, as floats of this machine.  Prints the
 * seconds of the build and the bytes of the index, then answers each line of
 * its standard input with one of its own:
 *
 *		find EF			the ids that each query finds, all in one line
 *		time EF SECONDS	passes over the queries for that long at least, with
 *						one thread: queries, their wall time, CPU time
 *
 *-------------------------------------------------------------------------
 */
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <thread>
#include <vector>

#include <hnswlib/hnswlib.h>

typedef hnswlib::HierarchicalNSW<float> Graph;

struct Bench
{
	size_t		rows;
	size_t		queries;
	size_t		dim;
	size_t		k;
	std::vector<float> vectors;

	const float *
	row(size_t i) const
	{
		return &vectors[i * dim];
	}

	const float *
	query(size_t i) const
	{
		return row(rows + i);
	}
};

static double
wall_clock()
{
	return std::chrono::duration<double>(
		std::chrono::steady_clock::now().time_since_epoch()).count();
}

static double
cpu_clock()
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);

	return t.tv_sec + t.tv_nsec / 1e9;
}

static void
read_vectors(Bench &bench, const char *path)
{
	FILE	   *file = fopen(path, "rb");

	bench.vectors.resize((bench.rows + bench.queries) * bench.dim);
	if (file == NULL ||
		fread(bench.vectors.data(), sizeof(float), bench.vectors.size(),
			  file) != bench.vectors.size())
	{
		perror(path);
		exit(1);
	}
	fclose(file);
}

static void
build(Graph &graph, const Bench &bench, int threads)
{
	std::vector<std::thread> crew;
	std::atomic<size_t> next(1);

	/* The first row is the entry point of all others. */
	graph.addPoint(bench.row(0), 0);
	for (int t = 0; t < threads; t++)
		crew.emplace_back([&]
						  {
							  for (size_t i; (i = next++) < bench.rows;)
								  graph.addPoint(bench.row(i), i);
						  });
	for (std::thread &thread : crew)
		thread.join();
}

static size_t
index_bytes(const Graph &graph, size_t rows)
{
	size_t		bytes = rows * graph.size_data_per_element_;

	for (size_t i = 0; i < rows; i++)
		bytes += graph.element_levels_[i] * graph.size_links_per_element_;

	return bytes;
}

static void
find(const Graph &graph, const Bench &bench)
{
	for (size_t i = 0; i < bench.queries; i++)
	{
		auto		result = graph.searchKnn(bench.query(i), bench.k);

		for (size_t n = 0; n < bench.k; n++)
		{
			printf("%ld ", result.empty() ? -1L : (long) result.top().second);
			if (!result.empty())
				result.pop();
		}
	}
	printf("\n");
}

static void
time_search(const Graph &graph, const Bench &bench, double seconds)
{
	double		cpu = cpu_clock();
	double		from = wall_clock();
	double		wall;
	size_t		count = 0;
	size_t		found = 0;

	do
	{
		for (size_t i = 0; i < bench.queries; i++)
			found += graph.searchKnn(bench.query(i), bench.k).size();
		count += bench.queries;
		wall = wall_clock() - from;
	} while (wall < seconds);

	if (found == 0)
		exit(1);
	printf("%zu %.9f %.9f\n", count, wall, cpu_clock() - cpu);
}

int
main(int argc, char **argv)
{
	Bench		bench;
	std::unique_ptr<hnswlib::SpaceInterface<float>> space;
	char		line[100];
	double		from;

	if (argc != 10)
	{
		fprintf(stderr, "usage: %s FILE ROWS QUERIES DIM l2|ip M "
				"EF_CONSTRUCTION THREADS K\n", argv[0]);
		return 2;
	}
	bench.rows = strtoul(argv[2], NULL, 10);
	bench.queries = strtoul(argv[3], NULL, 10);
	bench.dim = strtoul(argv[4], NULL, 10);
	bench.k = strtoul(argv[9], NULL, 10);
	read_vectors(bench, argv[1]);

	if (strcmp(argv[5], "ip") == 0)
		space.reset(new hnswlib::InnerProductSpace(bench.dim));
	else
		space.reset(new hnswlib::L2Space(bench.dim));

	from = wall_clock();

	Graph		graph(space.get(), bench.rows, strtoul(argv[6], NULL, 10),
					  strtoul(argv[7], NULL, 10));

	build(graph, bench, atoi(argv[8]));
	printf("%.6f %zu\n", wall_clock() - from, index_bytes(graph, bench.rows));
	fflush(stdout);

	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		unsigned long ef;
		double		seconds;

		if (sscanf(line, "find %lu", &ef) == 1)
		{
			graph.setEf(ef);
			find(graph, bench);
		}
		else if (sscanf(line, "time %lu %lf", &ef, &seconds) == 2)
		{
			graph.setEf(ef);
			time_search(graph, bench, seconds);
		}
		else
		{
			fprintf(stderr, "not understood: %s", line);
			return 2;
		}
		fflush(stdout);
	}

	return 0;
}
