/*-------------------------------------------------------------------------
 *
 * rowcache.c
 *	  Rows of a source in memory, as many as there is room for.
 *
 * Rows near each other have near numbers, and a phase works on the nodes in
 * their order: so what it wants is mostly what it wanted a little before.
 * A row has its place in one of the ways of the set that its number leads to;
 * within a set a hand goes round and takes the place of a row that was not
 * used since it last came by.
 *
 * Rows that are asked for in order are read ahead and not kept.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "rowcache.h"

/* Bytes that are read ahead at a time, and rows at least */
#define AHEAD_BYTES		(32 * 1024)
#define AHEAD_ROWS		4

static uint32_t
ahead_rows(uint32_t dim)
{
	uint32_t	rows = (uint32_t) (AHEAD_BYTES / (dim * sizeof(float)));

	return rows > AHEAD_ROWS ? rows : AHEAD_ROWS;
}

/* What a set takes */
static size_t
set_size(uint32_t dim)
{
	return GRAPH_CACHE_WAYS * (dim * sizeof(float) + sizeof(uint32_t) +
							   sizeof(uint8_t)) + sizeof(uint8_t);
}

/*
 * See rowcache.h.
 */
size_t
graph_row_cache_least(uint32_t dim)
{
	return ahead_rows(dim) * dim * sizeof(float) + set_size(dim);
}

/*
 * See rowcache.h.
 */
size_t
graph_row_cache_most(uint32_t n, uint32_t dim)
{
	return graph_row_cache_least(dim) +
		(size_t) (n / GRAPH_CACHE_WAYS + 1) * set_size(dim);
}

/*
 * See rowcache.h.
 */
void
graph_row_cache_init(GraphRowCache *cache, const GraphVectors *vectors,
					 void *memory, size_t size)
{
	uint32_t	dim = vectors->dim;
	size_t		nsets;
	size_t		nrows;

	memset(cache, 0, sizeof(GraphRowCache));
	cache->source = *vectors->source;
	cache->n = vectors->n;
	cache->dim = dim;
	cache->ahead_room = ahead_rows(dim);
	nsets = (size - cache->ahead_room * dim * sizeof(float)) / set_size(dim);
	if (nsets > vectors->n / GRAPH_CACHE_WAYS + 1)
		nsets = vectors->n / GRAPH_CACHE_WAYS + 1;
	cache->nsets = (uint32_t) nsets;
	nrows = nsets * GRAPH_CACHE_WAYS;
	cache->ahead = memory;
	cache->rows = cache->ahead + (size_t) cache->ahead_room * dim;
	cache->tags = (uint32_t *) (cache->rows + nrows * dim);
	cache->used = (uint8_t *) (cache->tags + nrows);
	cache->hands = cache->used + nrows;
	memset(cache->tags, 0xff, nrows * sizeof(uint32_t));
	memset(cache->used, 0, nrows);
	memset(cache->hands, 0, nsets);
	cache->next = 0;
}

/*
 * Read ahead from a row on.
 */
static const float *
read_ahead(GraphRowCache *cache, uint32_t row)
{
	uint32_t	count = cache->n - row;

	cache->ahead_count = 0;
	if (count > cache->ahead_room)
		count = cache->ahead_room;
	cache->source.read(cache->source.arg, row, count, cache->ahead);
	cache->ahead_first = row;
	cache->ahead_count = count;
	cache->next = row + count;
	return cache->ahead;
}

/*
 * See rowcache.h.
 */
const float *
graph_row_cache_get(GraphRowCache *cache, uint32_t row)
{
	size_t		set = row % cache->nsets;
	size_t		first = set * GRAPH_CACHE_WAYS;
	uint32_t	way;

	for (way = 0; way < GRAPH_CACHE_WAYS; way++)
		if (cache->tags[first + way] == row)
		{
			cache->used[first + way] = 1;
			return cache->rows + (first + way) * cache->dim;
		}
	if (row - cache->ahead_first < cache->ahead_count)
		return cache->ahead + (size_t) (row - cache->ahead_first) * cache->dim;
	if (row == cache->next)
		return read_ahead(cache, row);

	/* all may be in use: then the hand comes back to the first */
	way = cache->hands[set];
	while (cache->used[first + way])
	{
		cache->used[first + way] = 0;
		way = (way + 1) % GRAPH_CACHE_WAYS;
	}
	cache->hands[set] = (uint8_t) ((way + 1) % GRAPH_CACHE_WAYS);
	cache->tags[first + way] = GRAPH_NO_NODE;
	cache->source.read(cache->source.arg, row, 1,
					   cache->rows + (first + way) * cache->dim);
	cache->tags[first + way] = row;
	cache->next = row + 1;
	return cache->rows + (first + way) * cache->dim;
}
