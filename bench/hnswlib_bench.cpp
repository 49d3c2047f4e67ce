/*-------------------------------------------------------------------------
 *
 * hnswlib_bench.cpp
 *	  hnswlib in memory (memory_bench.h).  compare.py compiles this where the
 *	  header is installed (libhnswlib-dev):
 *
 *		g++ -O3 -march=native -pthread -o hnswlib_bench hnswlib_bench.cpp
 *
 *-------------------------------------------------------------------------
 */
#include <atomic>
#include <memory>
#include <thread>

#include <hnswlib/hnswlib.h>

#include "memory_bench.h"

class HnswlibIndex
{
	const Bench &bench;
	std::unique_ptr<hnswlib::SpaceInterface<float>> space;
	std::unique_ptr<hnswlib::HierarchicalNSW<float>> graph;

public:
	HnswlibIndex(const Bench &b, bool inner_product, size_t m,
				 size_t ef_construction, int threads)
		: bench(b)
	{
		std::vector<std::thread> crew;
		std::atomic<size_t> next(1);

		if (inner_product)
			space.reset(new hnswlib::InnerProductSpace(bench.dim));
		else
			space.reset(new hnswlib::L2Space(bench.dim));
		graph.reset(new hnswlib::HierarchicalNSW<float>(space.get(), bench.rows,
														m, ef_construction));

		/* The first row is the entry point of all others. */
		graph->addPoint(bench.row(0), 0);
		for (int t = 0; t < threads; t++)
			crew.emplace_back([&]
							  {
								  for (size_t i; (i = next++) < bench.rows;)
									  graph->addPoint(bench.row(i), i);
							  });
		for (std::thread &thread : crew)
			thread.join();
		graph->metric_hops = 0;
	}

	size_t
	bytes() const
	{
		size_t		result = bench.rows * graph->size_data_per_element_;

		for (size_t i = 0; i < bench.rows; i++)
			result += graph->element_levels_[i] * graph->size_links_per_element_;

		return result;
	}

	void
	set_ef(size_t ef)
	{
		graph->setEf(ef);
	}

	void
	search(size_t first, size_t n, long *ids) const
	{
		for (size_t i = 0; i < n; i++)
		{
			auto		result = graph->searchKnn(bench.query(first + i), bench.k);

			for (size_t j = 0; j < bench.k; j++)
			{
				*ids++ = result.empty() ? -1L : (long) result.top().second;
				if (!result.empty())
					result.pop();
			}
		}
	}

	double
	hops() const
	{
		return (double) graph->metric_hops;
	}
};

int
main(int argc, char **argv)
{
	return memory_bench<HnswlibIndex>(argc, argv);
}
