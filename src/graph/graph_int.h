/*-------------------------------------------------------------------------
 *
 * graph_int.h
 *	  What the files of graph/ share: the rows as the phases see them, the
 *	  candidate pools, and the phases' entry points.
 *
 * Inside a build, "node" means one distinct row in build order: rows that are
 * near each other get near numbers (partition.c), so that arrays indexed by
 * node are read with locality.  GraphSpace.rows translates nodes to the
 * caller's row numbers.
 *
 * Every phase reads the arrays of the phases before it and writes only what
 * belongs to the nodes it works on, or buffers what it has for others.  So
 * the processes of a team (team.c) divide the nodes among them, in equal
 * shares or, where work is uneven, in chunks that they claim; a barrier ends
 * every step whose results others read.  What is large and indexed by node
 * is shared, with plain reads and writes; scratch is each process's own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_GRAPH_INT_H
#define DESCARTES_GRAPH_INT_H

#include <math.h>

#include "graph.h"
#include "rowcache.h"

/* Rows are padded with zeros to a multiple of this width. */
#define GRAPH_ALIGN_FLOATS	16

/* Rows of integers start at multiples of so many: 64 bytes. */
#define GRAPH_ALIGN_SHORTS	32

/* Largest number of rows of one leaf of a partition */
#define GRAPH_LEAF_MAX		512

/* Multiply-adds between two looks at the host */
#define GRAPH_WORK_QUANTUM	(UINT64_C(1) << 21)

#if defined(__GNUC__) || defined(__clang__)
#define graph_prefetch(addr) __builtin_prefetch(addr)
#else
#define graph_prefetch(addr) ((void) 0)
#endif

#define GRAPH_MIN(a, b)		((a) < (b) ? (a) : (b))
#define GRAPH_MAX(a, b)		((a) > (b) ? (a) : (b))

/* What the processes of a team count together, a cache line for each */
typedef struct GraphCounter
{
	size_t		value;
	char		pad[64 - sizeof(size_t)];
} GraphCounter;

typedef struct GraphTeam
{
	GraphCounter done;			/* progress since the team began */
	GraphCounter claims[2];		/* of this loop and of the next */
} GraphTeam;

/* A loop over 0 .. n - 1 whose turns the processes claim, a chunk at a time */
typedef struct GraphLoop
{
	size_t	   *claimed;		/* shared */
	uint32_t	n;
	uint32_t	chunk;
	uint32_t	next;			/* of the chunk at hand */
	uint32_t	end;
} GraphLoop;

/* Turns of a chunk at most */
#define GRAPH_CHUNK			64

/*
 * The rows of a layer, and the accounting of work that decides when the host
 * is asked for interrupts.
 *
 * All coordinates are multiplied by a power of two that brings the largest
 * magnitude near 1, so that squares neither overflow nor vanish, whatever
 * the magnitude of the data.  Distances within graph/ are in these units.
 */
typedef struct GraphSpace
{
	const GraphVectors *vectors;
	const GraphHost *host;
	GraphTeam  *team;			/* shared */
	const DistanceKernels *kernels;
	GraphRowCache *cache;		/* of vectors with a source, else NULL */
	void	   *cache_memory;	/* of the caches of all processes; shared */
	const uint32_t *rows;		/* row of a node; NULL: the same number */
	uint32_t	n;				/* nodes */
	uint32_t	width;			/* dim rounded up to GRAPH_ALIGN_FLOATS */
	uint32_t	stride;			/* width rounded up to GRAPH_ALIGN_SHORTS */
	float		scale;
	GraphPhase	phase;
	uint32_t	nloops;			/* begun, see GraphLoop */
	size_t		done;			/* progress of this process, to be reported */
	size_t		begun;			/* the team's when the phase began */
	uint64_t	total;
	uint64_t	work;			/* since the host was last asked */
} GraphSpace;

/*
 * Rows of some nodes relative to an origin, as integers (space.c).  A row is
 * its integers times its unit, nearly.
 */
typedef struct GraphBlock
{
	float	   *origin;			/* width; may be that of another block */
	int16_t    *rows;			/* at multiples of the space's stride */
	float	   *units;
	float	   *squares;		/* squared lengths of the integers times unit */
	float	   *norms;			/* squared distances of the rows to the origin */
} GraphBlock;

/*
 * A candidate: the bits of its squared distance (not negative, hence ordered
 * as an integer) above its node; bit 31 marks a candidate that NN-descent has
 * not joined yet.  The integer order is total: by distance, then by node.
 */
typedef uint64_t GraphEntry;

#define GRAPH_NEW_FLAG		(UINT64_C(1) << 31)
#define GRAPH_MAX_NODES		((UINT32_C(1) << 31) - 1)

/*
 * Pools: node i owns entries[i * capacity ..], sorted, count[i] used.  Out of
 * core the entries are in a file.
 */
typedef struct GraphPools
{
	GraphEntry *entries;		/* NULL: in the file */
	void	   *file;
	uint16_t   *count;
	uint32_t	capacity;
} GraphPools;

/*
 * Some consecutive records of a file in a buffer of this process, to be read
 * or to be written, in turns that mostly follow each other (window.c).
 */
typedef struct GraphWindow
{
	void	   *file;
	size_t		record;			/* bytes */
	uint32_t	n;				/* records of the file */
	uint32_t	capacity;		/* records of the buffer */
	uint32_t	first;			/* record at its start */
	uint32_t	count;			/* records in it */
	char	   *buffer;
} GraphWindow;

/* Small set of nodes, emptied in constant time (pool.c) */
#define GRAPH_SET_SIZE		4096

typedef struct GraphSet
{
	uint32_t	epoch;
	uint64_t	slots[GRAPH_SET_SIZE];	/* epoch << 32 | node */
} GraphSet;

/* Largest number of fresh entries of one merge */
#define GRAPH_FRESH_MAX		2048

/* Candidates for long edges per node (far.c) */
#define GRAPH_FAR			8

/* Nodes whose k nearest neighbours are known (controls.c) */
#define GRAPH_CONTROLS		96
#define GRAPH_CONTROL_K		32

typedef struct GraphControls
{
	uint32_t	n;
	uint32_t	k;
	uint32_t	nodes[GRAPH_CONTROLS];
	float		dist[GRAPH_CONTROLS];	/* squared, of the k-th neighbour */
} GraphControls;

/* Squared distances between candidates of one node, and room to select */
typedef struct GraphSelection
{
	uint32_t	n;				/* candidates */
	size_t		ld;				/* row length of pair */
	float	   *pair;			/* squared distances of candidates */
	float	   *dist;			/* distances (roots) to the node */
	float	   *strength;		/* squared strength, see select.c */
	uint32_t   *order;			/* candidates by increasing distance */
	uint8_t    *taken;
	uint32_t	ncore;			/* chosen before the relaxation */
} GraphSelection;

static inline uint32_t
graph_entry_node(GraphEntry entry)
{
	return (uint32_t) (entry & (GRAPH_NEW_FLAG - 1));
}

static inline float
graph_entry_dist(GraphEntry entry)
{
	union
	{
		uint32_t	u;
		float		f;
	}			bits;

	bits.u = (uint32_t) (entry >> 32);
	return bits.f;
}

/* dist must not be negative, nor NaN: graph_distances() sees to it. */
static inline GraphEntry
graph_entry_make(float dist, uint32_t node)
{
	union
	{
		uint32_t	u;
		float		f;
	}			bits;

	bits.f = dist;
	return ((uint64_t) bits.u << 32) | node;
}

/* A candidate enters the pool if it is nearer than this. */
static inline float
graph_pool_worst(const GraphPools *pools, uint32_t node)
{
	const GraphEntry *pool = pools->entries + (size_t) node * pools->capacity;

	if (pools->count[node] < pools->capacity)
		return INFINITY;
	return graph_entry_dist(pool[pools->capacity - 1]);
}

static inline void
graph_pool_prefetch(const GraphPools *pools, uint32_t node)
{
	const GraphEntry *pool = pools->entries + (size_t) node * pools->capacity;
	uint32_t	i;

	graph_prefetch(pools->count + node);
	graph_prefetch(pool + pools->capacity - 1);
	for (i = 0; i < pools->capacity; i += 8)
		graph_prefetch(pool + i);
}

/* The row of a node; from a source valid until the next call. */
static inline const float *
graph_row(const GraphSpace *space, uint32_t node)
{
	uint32_t	row = space->rows ? space->rows[node] : node;

	if (space->cache)
		return graph_row_cache_get(space->cache, row);
	return space->vectors->data + (size_t) row * space->vectors->stride;
}

/* splitmix64: the next of a stream of 64-bit numbers */
static inline uint64_t
graph_random(uint64_t *state)
{
	uint64_t	z = (*state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/* A number below limit */
static inline uint32_t
graph_random_below(uint64_t *state, uint32_t limit)
{
	return (uint32_t) (((graph_random(state) >> 32) * limit) >> 32);
}

static inline void *
graph_alloc(const GraphHost *host, size_t n, size_t size)
{
	return host->alloc(host->arg, (n ? n : 1) * size);
}

static inline void
graph_release(const GraphHost *host, void *memory)
{
	host->release(host->arg, memory);
}

/* Memory of the team: see GraphHost. */
static inline void *
graph_alloc_shared(const GraphHost *host, size_t n, size_t size)
{
	return host->alloc_shared(host->arg, (n ? n : 1) * size);
}

static inline void
graph_release_shared(const GraphHost *host, void *memory)
{
	host->release_shared(host->arg, memory);
}

/* What an array takes, the alignment of its block included */
static inline size_t
graph_array_size(size_t n, size_t size)
{
	return ((n ? n : 1) * size + 63) & ~(size_t) 63;
}

/* Count a phase that runs while so much shared memory is held otherwise. */
static inline void
graph_count_phase(GraphMemory *peak, size_t held, GraphMemory phase)
{
	peak->shared = GRAPH_MAX(peak->shared, held + phase.shared);
	peak->own = GRAPH_MAX(peak->own, phase.own);
	peak->first = GRAPH_MAX(peak->first, phase.first);
}

/* team.c */
extern void graph_barrier(GraphSpace *space);
extern void graph_ask_host(GraphSpace *space);
extern void graph_begin(GraphSpace *space, GraphPhase phase, uint64_t total);
extern void *graph_exchange(GraphSpace *space, const void *mine, size_t size);
extern void graph_exchange_end(GraphSpace *space, void *all);
extern void graph_loop_begin(GraphSpace *space, GraphLoop *loop, uint32_t n);
extern bool graph_loop_claim(GraphLoop *loop);

/* The next turn of this process; false if there are none. */
static inline bool
graph_loop_next(GraphLoop *loop, uint32_t *turn)
{
	if (loop->next == loop->end && !graph_loop_claim(loop))
		return false;
	*turn = loop->next++;
	return true;
}

/* The share of process rank in first .. end - 1 */
static inline uint32_t
graph_share_start(const GraphSpace *space, uint32_t first, uint32_t end,
				  uint32_t rank)
{
	return first + (uint32_t) ((uint64_t) (end - first) * rank /
							   space->host->size);
}

static inline void
graph_share(const GraphSpace *space, uint32_t *first, uint32_t *end)
{
	uint32_t	from = *first;
	uint32_t	to = *end;

	*first = graph_share_start(space, from, to, space->host->rank);
	*end = graph_share_start(space, from, to, space->host->rank + 1);
}

/* Count multiply-adds; ask the host for interrupts every few milliseconds. */
static inline void
graph_work(GraphSpace *space, uint64_t amount)
{
	space->work += amount;
	if (space->work >= GRAPH_WORK_QUANTUM)
		graph_ask_host(space);
}

static inline uint32_t
graph_align(uint32_t n)
{
	return (n + GRAPH_ALIGN_FLOATS - 1) & ~(uint32_t) (GRAPH_ALIGN_FLOATS - 1);
}

/* Row i of a block */
static inline const int16_t *
graph_block_row(const GraphSpace *space, const GraphBlock *block, uint32_t i)
{
	return block->rows + (size_t) i * space->stride;
}

/* space.c */
extern void graph_space_init(GraphSpace *space, const GraphVectors *vectors,
							 const GraphHost *host);
extern void graph_space_end(GraphSpace *space);
extern void graph_space_cache(GraphSpace *space, size_t size);
extern void graph_load(const GraphSpace *space, const float *x,
					   const float *origin, float *out);
extern void graph_block_alloc(const GraphSpace *space, GraphBlock *block,
							  uint32_t capacity);
extern void graph_block_release(const GraphSpace *space, GraphBlock *block);
extern size_t graph_block_memory(uint32_t dim, uint32_t capacity);
extern void graph_set_origin(const GraphSpace *space, GraphBlock *block,
							 uint32_t node);
extern void graph_gather(GraphSpace *space, GraphBlock *block,
						 const uint32_t *nodes, uint32_t n);
extern void graph_products(GraphSpace *space,
						   const GraphBlock *a, uint32_t ifirst, uint32_t na,
						   const GraphBlock *b, uint32_t jfirst, uint32_t nb,
						   float *out, size_t ldout);
extern void graph_distances(GraphSpace *space,
							const GraphBlock *a, uint32_t ifirst, uint32_t na,
							const GraphBlock *b, uint32_t jfirst, uint32_t nb,
							float *out, size_t ldout);
extern uint32_t graph_near(GraphSpace *space, float *row,
						   const GraphBlock *block, uint32_t i, uint32_t n,
						   float limit, const float *limits, uint32_t *hits);
extern uint32_t graph_central_node(GraphSpace *space);
extern GraphMemory graph_space_memory(uint32_t dim, uint32_t size);

/* build.c */
extern void graph_fill_pools(GraphSpace *space, const GraphParams *params,
							 uint32_t exact, uint32_t *rows,
							 GraphPools *pools);
extern uint64_t graph_fill_steps(uint64_t n);
extern void graph_limit_params(GraphParams *params);
extern GraphMemory graph_fill_memory(uint32_t n, uint32_t exact, uint32_t dim,
									 uint32_t size);

/* outofcore.c */
extern void graph_fill_pools_by_parts(GraphSpace *space,
									  const GraphParams *params,
									  GraphPools *pools);

/* window.c */
extern void graph_window_init(const GraphSpace *space, GraphWindow *window,
							  void *file, size_t record, uint32_t n);
extern void graph_window_release(const GraphSpace *space,
								 GraphWindow *window);
extern size_t graph_window_memory(size_t record);
extern const void *graph_window_get(const GraphSpace *space,
									GraphWindow *window, uint32_t i);
extern void *graph_window_put(const GraphSpace *space, GraphWindow *window,
							  uint32_t i);
extern void graph_window_flush(const GraphSpace *space, GraphWindow *window);

/* The window for the pools, if they are in a file */
static inline void
graph_pool_window(const GraphSpace *space, const GraphPools *pools,
				  GraphWindow *window)
{
	graph_window_init(space, window, pools->entries ? NULL : pools->file,
					  pools->capacity * sizeof(GraphEntry), space->n);
}

/* The pool of a node; from a file valid until the next call. */
static inline const GraphEntry *
graph_pool_get(const GraphSpace *space, const GraphPools *pools,
			   GraphWindow *window, uint32_t node)
{
	if (pools->entries)
		return pools->entries + (size_t) node * pools->capacity;
	return graph_window_get(space, window, node);
}

/* equal.c */
extern uint32_t graph_distinct_rows(GraphSpace *space, uint32_t *rows,
									uint32_t *next_equal);
extern void graph_link_equal_rows(GraphSpace *space, uint32_t nrows,
								  uint32_t max_degree,
								  const uint32_t *next_equal,
								  GraphEdges *edges);
extern GraphMemory graph_equal_memory(uint32_t n, uint32_t dim);

/* pool.c */
extern void graph_set_clear(GraphSet *set);
extern bool graph_set_add(GraphSet *set, uint32_t node);
extern void graph_sort(GraphEntry *entries, GraphEntry *scratch, uint32_t n);
extern void graph_select_smallest(GraphEntry *entries, uint32_t n, uint32_t k);
extern void graph_pool_merge(GraphPools *pools, uint32_t node,
							 GraphEntry *fresh, uint32_t nfresh,
							 GraphEntry *scratch, GraphSet *set);

/* partition.c */
extern uint32_t graph_leaf_limit(const GraphSpace *space);
extern uint32_t graph_partition(GraphSpace *space, uint64_t seed,
								uint32_t *nodes, uint32_t *leaf_start);
extern void graph_leaf_pairs(GraphSpace *space, const uint32_t *nodes,
							 const uint32_t *leaf_start, uint32_t nleaves,
							 GraphPools *pools);
extern GraphMemory graph_partition_memory(uint32_t n, uint32_t dim,
										  uint32_t size);
extern GraphMemory graph_leaf_memory(uint32_t leaf, uint32_t dim);

/* controls.c */
extern void graph_controls_init(GraphSpace *space, uint64_t seed,
								uint32_t capacity, GraphControls *controls);
extern double graph_controls_recall(const GraphControls *controls,
									const GraphPools *pools);
extern GraphMemory graph_controls_memory(uint32_t dim, uint32_t size);

/* nndescent.c */
extern void graph_nn_descent(GraphSpace *space, uint64_t seed,
							 const GraphControls *controls,
							 GraphPools *pools);
extern GraphMemory graph_nn_descent_memory(uint32_t n, uint32_t dim,
										   uint32_t size);

/* select.c */
extern size_t graph_selection_size(uint32_t ncand);
extern void graph_selection_init(GraphSelection *sel, uint32_t ncand,
								 void *memory);
extern void graph_selection_pairs(GraphSpace *space, GraphSelection *sel,
								  const GraphBlock *block);
extern uint32_t graph_selection_run(const GraphParams *params,
									GraphSelection *sel, const uint8_t *protect,
									uint32_t max_degree, uint32_t *chosen);
extern void graph_select_pools(GraphSpace *space, const GraphParams *params,
							   const GraphPools *pools, GraphEdges *edges);
extern GraphMemory graph_select_memory(uint32_t dim,
									   const GraphParams *params);

/* far.c */
extern void graph_far_candidates(GraphSpace *space, uint64_t seed,
								 uint32_t *far);
extern GraphMemory graph_far_memory(uint32_t n, uint32_t dim);

/* reverse.c */
extern void graph_reselect(GraphSpace *space, const GraphParams *params,
						   const GraphPools *pools, const uint32_t *far,
						   const GraphEdges *before, GraphEdges *after,
						   void *file);
extern GraphMemory graph_reselect_memory(uint32_t n, uint32_t dim,
										 const GraphParams *params);

/* connect.c */
extern void graph_connect(GraphSpace *space, const GraphParams *params,
						  uint32_t entry, GraphEdges *edges);
extern GraphMemory graph_connect_memory(uint32_t n, uint32_t dim);

#endif							/* DESCARTES_GRAPH_INT_H */
