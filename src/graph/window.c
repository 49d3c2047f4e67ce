/*-------------------------------------------------------------------------
 *
 * window.c
 *	  Consecutive records of a file in a buffer.
 *
 * What a phase has for each node lies in a file in the order of the nodes, and
 * the phase goes through the nodes in that order: so it reads, and writes, many
 * records at a time.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "graph_int.h"

/* Bytes of a window, and records at most */
#define WINDOW_BYTES		(64 * 1024)
#define WINDOW_RECORDS		GRAPH_CHUNK

static uint32_t
window_capacity(size_t record)
{
	return (uint32_t) GRAPH_MAX(1, GRAPH_MIN(WINDOW_BYTES / record,
											 WINDOW_RECORDS));
}

size_t
graph_window_memory(size_t record)
{
	return record * window_capacity(record);
}

/*
 * Make a window of a file with n records; without a file it takes nothing.
 */
void
graph_window_init(const GraphSpace *space, GraphWindow *window, void *file,
				  size_t record, uint32_t n)
{
	memset(window, 0, sizeof(GraphWindow));
	if (file == NULL)
		return;
	window->file = file;
	window->record = record;
	window->n = n;
	window->capacity = window_capacity(record);
	window->buffer = graph_alloc(space->host, window->capacity, record);
}

void
graph_window_release(const GraphSpace *space, GraphWindow *window)
{
	if (window->file)
		graph_release(space->host, window->buffer);
}

/*
 * Record i, valid until the next call.
 */
const void *
graph_window_get(const GraphSpace *space, GraphWindow *window, uint32_t i)
{
	const GraphHost *host = space->host;

	if (i - window->first >= window->count)
	{
		window->count = 0;
		window->first = i;
		host->file_read(host->arg, window->file, (uint64_t) i * window->record,
						window->buffer,
						GRAPH_MIN(window->capacity, window->n - i) *
						window->record);
		window->count = GRAPH_MIN(window->capacity, window->n - i);
	}
	return window->buffer + (i - window->first) * window->record;
}

/*
 * Where to put record i; it is in the file after graph_window_flush().
 */
void *
graph_window_put(const GraphSpace *space, GraphWindow *window, uint32_t i)
{
	char	   *record;

	if (window->count == window->capacity ||
		i != window->first + window->count)
		graph_window_flush(space, window);
	if (window->count == 0)
		window->first = i;
	record = window->buffer + window->count++ * window->record;
	memset(record, 0, window->record);
	return record;
}

void
graph_window_flush(const GraphSpace *space, GraphWindow *window)
{
	const GraphHost *host = space->host;

	if (window->count > 0)
		host->file_write(host->arg, window->file,
						 (uint64_t) window->first * window->record,
						 window->buffer, window->count * window->record);
	window->count = 0;
}
