/*-------------------------------------------------------------------------
 *
 * graph.h
 *	  The proximity graph over plain arrays: neighbours, selection,
 *	  connectivity, order.
 *
 * Knows squared L2 over float32 rows and nothing else: fng hands in rows that
 * are already normalized (cosine) or augmented (inner product).  Ids are row
 * numbers 0 .. n-1.  No server header; memory comes from the host, which may
 * raise an error (longjmp) out of any of its callbacks, so nothing here owns
 * anything that only a normal return would free.
 *
 * The functions that take a GraphHost run in a team of processes: every
 * process of the team calls the same function with the same arguments, and
 * arrays that it fills or that earlier calls filled lie in memory that all of
 * them map, each where it likes.  A team of one is an ordinary call.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_GRAPH_H
#define DESCARTES_GRAPH_H

#include "../distance/distance.h"

#define GRAPH_NO_NODE	UINT32_MAX

/*
 * Rows that are not in memory: read copies the rows first .. first + n - 1,
 * each of dim floats.  Of each process; it may raise.
 */
typedef struct GraphSource
{
	void	   *arg;
	void		(*read) (void *arg, uint32_t first, uint32_t n, float *rows);
} GraphSource;

/*
 * Rows of float32.  Row i starts at data + i * stride (stride in floats); or
 * data is NULL, and rows come from the source.
 */
typedef struct GraphVectors
{
	const float *data;
	size_t		stride;
	uint32_t	n;
	uint32_t	dim;
	const GraphSource *source;
} GraphVectors;

typedef enum GraphPhase
{
	GRAPH_PHASE_NEIGHBOURS,		/* partitions, leaves, NN-descent rounds */
	GRAPH_PHASE_SELECT,			/* selection from the pools */
	GRAPH_PHASE_RESELECT,		/* reverse edges and re-selection */
	GRAPH_PHASE_CONNECT,		/* reachability and in-degree floor */
	GRAPH_PHASE_REORDER			/* page packing */
} GraphPhase;

/*
 * What the embedding program provides.  Any of it may raise.
 *
 * alloc		private memory, 64-byte aligned, never NULL (it raises), for
 *				any size_t; release takes it back.
 * alloc_shared	the same, of memory that the whole team maps: all processes
 *				call it in the same order with the same sizes and get the
 *				same memory, contents undefined.  release_shared likewise;
 *				whoever calls it knows that nobody uses the memory any more.
 *				arena.h has an allocator that does.
 * barrier		returns when every process of the team has called it; what
 *				any of them wrote before is there for all afterwards.  A
 *				process waits nowhere else.
 * check_interrupts, progress	called at least every few milliseconds, but
 *				for waits.  Only what process 0 reports counts: it is what
 *				the team has done.
 * file_create	a file of so many bytes for the team, contents undefined; all
 *				processes call it in the same order with the same sizes, and
 *				file_close when nobody uses it any more.  Each reads and writes
 *				where it likes; what it wrote is there for the others after a
 *				barrier.  Wanted out of core only.
 */
typedef struct GraphHost
{
	void	   *arg;
	uint32_t	rank;			/* of this process, 0 .. size - 1 */
	uint32_t	size;			/* processes of the team, 1 without one */
	void	   *(*alloc) (void *arg, size_t size);
	void		(*release) (void *arg, void *memory);
	void	   *(*alloc_shared) (void *arg, size_t size);
	void		(*release_shared) (void *arg, void *memory);
	void		(*barrier) (void *arg);
	void		(*check_interrupts) (void *arg);
	void		(*progress) (void *arg, GraphPhase phase,
							 uint64_t done, uint64_t total);
	void	   *(*file_create) (void *arg, uint64_t size);
	void		(*file_close) (void *arg, void *file);
	void		(*file_read) (void *arg, void *file, uint64_t offset,
							  void *data, size_t size);
	void		(*file_write) (void *arg, void *file, uint64_t offset,
							   const void *data, size_t size);
} GraphHost;

/* Memory in bytes */
typedef struct GraphMemory
{
	size_t		shared;
	size_t		own;			/* of every process */
	size_t		first;			/* of process 0, beyond its own */
} GraphMemory;

/* How a layer is built out of core; see graph_plan. */
typedef struct GraphPlan
{
	uint32_t	nparts;
	uint32_t	room;			/* members of a part at most */
	size_t		cache;			/* of rows, in bytes per process */
	GraphMemory memory;			/* the peaks of the build */
} GraphPlan;

typedef struct GraphParams
{
	uint32_t	max_degree;		/* R, multiple of 16, 16 .. 255 rounded down */
	uint32_t	pool_size;		/* L: candidates kept per node, e.g. 64..200 */
	uint32_t	min_in_degree;	/* floor for connectivity, e.g. 4..8 */
	uint64_t	seed;
	const struct GraphPlan *plan;	/* NULL: in memory */
	/* selection; see select.c */
	float		kappa;			/* 1 */
	float		tau;			/* 0.03: shift, in units of the nearest
								 * neighbour distance */
	float		strict;			/* t0 = 1.0 */
	float		relaxed_max;	/* t_max = 2.0 */
} GraphParams;

/* The measured defaults of everything but max_degree and seed. */
extern void graph_params_init(GraphParams *params);

/*
 * Edges of n nodes: node i owns ids[i * max_degree ..], degree[i] of them
 * used, in order of strength (strict core first).  Both arrays are shared.
 */
typedef struct GraphEdges
{
	uint32_t   *ids;
	uint16_t   *degree;
	uint32_t	max_degree;
} GraphEdges;

/*
 * Build one layer: approximate neighbours, adaptive selection, reverse edges,
 * re-selection, redundancy elimination, connectivity from the entry and the
 * in-degree floor.  The caller allocates edges; *entry becomes the row
 * nearest the mean, in every process.  1 <= n < 2^31.
 *
 * One process, same data, seed and SIMD level: same graph.  A larger team
 * breaks ties of a few candidates otherwise.  Rows of any finite magnitude
 * are fine, and equal rows, any number of them.
 *
 * Out of core (params->plan, which is for as many rows or more) vectors have a
 * source, and rows that are near each other should have near numbers, see
 * graph_order.  edges->ids comes as NULL then: the array is allocated when
 * there is memory for it, and the caller's to release.
 */
extern void graph_build_layer(const GraphVectors *vectors,
							  const GraphParams *params,
							  const GraphHost *host,
							  GraphEdges *edges, uint32_t *entry);

/*
 * Memory that graph_build_layer takes at its peak beyond the vectors and the
 * edges, in bytes (an upper bound, for maintenance_work_mem): shared and that
 * of all processes together; and the shared alone, as graph_arena needs it.
 * For builds in memory, whatever params->plan is.
 */
extern size_t graph_build_memory(uint32_t n, uint32_t dim,
								 const GraphParams *params, uint32_t size);
extern size_t graph_build_shared_memory(uint32_t n, uint32_t dim,
										const GraphParams *params,
										uint32_t size);

/*
 * Plan to build a layer out of core in so much memory, edges included: with as
 * few parts as possible, and a cache of what is left.  False if it cannot be
 * done: then the plan is the one that takes least.
 */
extern bool graph_plan(GraphPlan *plan, uint32_t n, uint32_t dim,
					   const GraphParams *params, uint32_t size,
					   size_t memory);

/* Bytes of the files that are written at most at a time */
extern uint64_t graph_plan_files(uint32_t n, const GraphParams *params);

/*
 * An order in which rows that are near each other follow each other: order[k]
 * is the row that comes k-th.  order is shared.  Takes the memory that
 * graph_order_memory says, all of it or the shared alone.
 */
extern void graph_order(const GraphVectors *vectors, uint64_t seed,
						const GraphHost *host, uint32_t *order);
extern size_t graph_order_memory(uint32_t n, uint32_t dim, uint32_t size,
								 size_t *shared);

/* What all processes take together */
static inline size_t
graph_all_memory(GraphMemory memory, uint32_t size)
{
	return memory.shared + size * memory.own + memory.first;
}

/*
 * Adaptive selection for one node (algorithms.md section 4.3): from ncand
 * candidates sorted by increasing squared distance to the node choose at
 * most max_degree.  vectors[i] points at candidate i.  chosen receives
 * indexes into the candidates, ordered strict core first.  protect may be
 * NULL; protect[i] = true keeps candidate i whatever the rule says.
 * Identical candidates (distance 0 between them) never crowd out others in
 * the core.  scratch has graph_select_scratch(ncand, max_degree) bytes, for
 * ncand no larger than said there; palloc's alignment will do.
 * Returns the number chosen; at least 1 if ncand >= 1.
 */
extern size_t graph_select_scratch(uint32_t ncand, uint32_t max_degree);
extern uint32_t graph_select(const GraphParams *params, uint32_t dim,
							 uint32_t ncand, const float *const *vectors,
							 const float *dist, const bool *protect,
							 uint32_t *chosen, void *scratch);

/*
 * The same if what is known of the candidates is their squared distance to
 * the node and, cosines[i * ncand + j], the cosine of the angle under which
 * the node sees candidates i and j.  dist[i] = 0 is a candidate equal to the
 * node.
 */
extern uint32_t graph_select_by_angle(const GraphParams *params, uint32_t ncand,
									  const float *dist, const float *cosines,
									  const bool *protect, uint32_t *chosen,
									  void *scratch);

/*
 * Greedy page packing from the entry: order[k] is the row that gets position
 * k; positions k*per_page .. form a page.  Every row appears once.  order is
 * shared.
 */
extern void graph_reorder(const GraphVectors *vectors, const GraphEdges *edges,
						  uint32_t entry, uint32_t per_page,
						  const GraphHost *host, uint32_t *order);

/* The row nearest to the mean of the rows. */
extern uint32_t graph_central_row(const GraphVectors *vectors,
								  const GraphHost *host);

#endif							/* DESCARTES_GRAPH_H */
