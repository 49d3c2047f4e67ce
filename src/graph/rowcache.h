/*-------------------------------------------------------------------------
 *
 * rowcache.h
 *	  Rows of a source in memory, as many as there is room for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_GRAPH_ROWCACHE_H
#define DESCARTES_GRAPH_ROWCACHE_H

#include "graph.h"

#define GRAPH_CACHE_WAYS	4

/* Private to a process; see rowcache.c. */
typedef struct GraphRowCache
{
	GraphSource source;
	uint32_t	n;				/* rows of the source */
	uint32_t	dim;
	uint32_t	nsets;
	uint32_t   *tags;			/* row at each place, or GRAPH_NO_NODE */
	uint8_t    *used;			/* since the hand came by */
	uint8_t    *hands;			/* of each set */
	float	   *rows;
	float	   *ahead;			/* rows read in order */
	uint32_t	ahead_first;
	uint32_t	ahead_count;
	uint32_t	ahead_room;
	uint32_t	next;			/* behind the last that was not here */
} GraphRowCache;

/* The least that a cache takes, in bytes, and one that holds all n rows */
extern size_t graph_row_cache_least(uint32_t dim);
extern size_t graph_row_cache_most(uint32_t n, uint32_t dim);

/*
 * Make a cache of the vectors' source in memory of so many bytes, aligned to
 * 64, no less than the least.
 */
extern void graph_row_cache_init(GraphRowCache *cache,
								 const GraphVectors *vectors,
								 void *memory, size_t size);

/* A row; valid until the next call. */
extern const float *graph_row_cache_get(GraphRowCache *cache, uint32_t row);

#endif							/* DESCARTES_GRAPH_ROWCACHE_H */
