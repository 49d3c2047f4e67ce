/*-------------------------------------------------------------------------
 *
 * memory_bench.h
 *	  A graph index in memory, driven by compare.py: what the programs for
 *	  each library (hnswlib_bench.cpp, faiss_bench.cpp) have in common.
 *
 *		PROGRAM FILE ROWS QUERIES DIM l2|ip M EF_CONSTRUCTION THREADS K
 *
 * FILE has the rows, then the queries, as floats of this machine.  Prints the
 * seconds of the build and the bytes of the index, then answers each line of
 * its standard input with one of its own:
 *
 *		find EF THREADS
 *			the ids that each query finds, -1 for too few, all in one line
 *		time EF SECONDS QUERIES
 *			passes over the first queries for that long at least, with one
 *			thread: queries, their wall time, CPU time
 *		each EF QUERIES PASSES
 *			passes over the first queries, one by one: expanded nodes per query
 *			(-1: the library does not count them), then the microseconds of
 *			each
 *
 * A library comes as a class:
 *
 *		Index(const Bench &bench, bool inner_product, size_t m,
 *			  size_t ef_construction, int threads)	builds
 *		size_t bytes()
 *		void set_ef(size_t ef)
 *		void search(size_t first, size_t n, long *ids)
 *			n queries from first on, with one thread: n * k ids; several
 *			threads may do that at once, each with other queries
 *		double hops()	nodes expanded since the process began, -1 if unknown
 *
 *-------------------------------------------------------------------------
 */
#ifndef MEMORY_BENCH_H
#define MEMORY_BENCH_H

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <thread>
#include <vector>

struct Bench
{
	size_t		rows;
	size_t		queries;
	size_t		dim;
	size_t		k;
				std::vector < float >vectors;

	const float *row(size_t i) const
	{
		return &vectors[i * dim];
	}

	const float *query(size_t i) const
	{
		return row(rows + i);
	}
};

typedef std::vector < std::thread > Crew;

static double
wall_clock()
{
return std::chrono::duration < double >(
						std::chrono::steady_clock::now().time_since_epoch()).count();
}

static double
cpu_clock()
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);

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

template < class Index >static void
find(Index &index, const Bench &bench, size_t threads)
{
std::vector < long >ids(bench.queries * bench.k);

	Crew		crew(threads);

	for (size_t t = 0; t < threads; t++)
	{
		size_t		first = bench.queries * t / threads;
		size_t		n = bench.queries * (t + 1) / threads - first;

crew[t] = std::thread(&Index::search, &index, first, n,
			   &ids[first * bench.k]);
	}
for (std::thread & thread:crew)
		thread.join();

for (long id:ids)
		printf("%ld ", id);
	printf("\n");
}

template < class Index >static void
time_all(Index &index, const Bench &bench, double seconds, size_t queries)
{
std::vector < long >ids(queries * bench.k);
	double		cpu = cpu_clock();
	double		from = wall_clock();
	double		wall;
	size_t		count = 0;

	do
	{
		index.search(0, queries, ids.data());
		count += queries;
		wall = wall_clock() - from;
	} while (wall < seconds);

	printf("%zu %.9f %.9f\n", count, wall, cpu_clock() - cpu);
}

template < class Index >static void
time_each(Index &index, const Bench &bench, size_t queries, size_t passes)
{
std::vector < long >ids(bench.k);
std::vector < double >times;
	double		hops = index.hops();
	double		before = wall_clock();

	for (size_t i = 0; i < queries * passes; i++)
	{
		double		after;

		index.search(i % queries, 1, ids.data());
		after = wall_clock();
		times.push_back(after - before);
		before = after;
	}

	printf("%.6f", hops < 0 ? -1 : (index.hops() - hops) / times.size());
for (double time:times)
		printf(" %.2f", time * 1e6);
	printf("\n");
}

template < class Index >static int
memory_bench(int argc, char **argv)
{
	Bench		bench;
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

	from = wall_clock();

	Index		index(bench, strcmp(argv[5], "ip") == 0,
					  strtoul(argv[6], NULL, 10), strtoul(argv[7], NULL, 10),
					  atoi(argv[8]));

	printf("%.6f %zu\n", wall_clock() - from, index.bytes());
	fflush(stdout);

	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		unsigned long ef;
		unsigned long queries;
		unsigned long number;
		double		seconds;

		if (sscanf(line, "find %lu %lu", &ef, &number) == 2)
		{
			index.set_ef(ef);
			find(index, bench, number);
		}
		else if (sscanf(line, "time %lu %lf %lu", &ef, &seconds, &queries) == 3)
		{
			index.set_ef(ef);
			time_all(index, bench, seconds, queries);
		}
		else if (sscanf(line, "each %lu %lu %lu", &ef, &queries, &number) == 3)
		{
			index.set_ef(ef);
			time_each(index, bench, queries, number);
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

#endif							/* MEMORY_BENCH_H */
