/*-------------------------------------------------------------------------
 *
 * faiss_bench.cpp
 *	  FAISS' HNSW in memory (memory_bench.h).  compare.py compiles this where
 *	  the library is installed (libfaiss-dev):
 *
 *		g++ -O3 -march=native -fopenmp -pthread -o faiss_bench faiss_bench.cpp \
 *			-lfaiss -llapack -lblas
 *
 * A call of the library clears one flag for each row, so that a pass over
 * the queries is one call with one thread: that is what "time" measures; "each"
 * pays for the flags of every query.
 *
 *-------------------------------------------------------------------------
 */
#include <omp.h>

#include <faiss/IndexHNSW.h>

#include "memory_bench.h"

class FaissIndex
{
	const Bench &bench;
	faiss::IndexHNSWFlat index;
	std::vector<float> distances;
	std::vector<faiss::Index::idx_t> found;

public:
	FaissIndex(const Bench &b, bool inner_product, size_t m,
			   size_t ef_construction, int threads)
		: bench(b),
		  index(b.dim, m, inner_product ? faiss::METRIC_INNER_PRODUCT :
				faiss::METRIC_L2),
		  distances(b.queries * b.k), found(b.queries * b.k)
	{
		omp_set_num_threads(threads);
		index.hnsw.efConstruction = ef_construction;
		index.add(bench.rows, bench.row(0));
	}

	size_t
	bytes() const
	{
		const faiss::HNSW &hnsw = index.hnsw;

		return bench.rows * bench.dim * sizeof(float) +
			hnsw.neighbors.size() * sizeof(hnsw.neighbors[0]) +
			hnsw.offsets.size() * sizeof(hnsw.offsets[0]) +
			hnsw.levels.size() * sizeof(hnsw.levels[0]);
	}

	void
	set_ef(size_t ef)
	{
		index.hnsw.efSearch = ef;
	}

	void
	search(size_t first, size_t n, long *ids)
	{
		size_t		at = first * bench.k;

		omp_set_num_threads(1);
		index.search(n, bench.query(first), bench.k, &distances[at],
					 &found[at]);
		for (size_t i = 0; i < n * bench.k; i++)
			ids[i] = (long) found[at + i];
	}

	double
	hops() const
	{
		return -1;
	}
};

int
main(int argc, char **argv)
{
	return memory_bench<FaissIndex>(argc, argv);
}
