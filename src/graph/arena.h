/*-------------------------------------------------------------------------
 *
 * arena.h
 *	  An allocator for memory that several processes map, for the
 *	  alloc_shared of a GraphHost.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_GRAPH_ARENA_H
#define DESCARTES_GRAPH_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Blocks at most, free ones included */
#define GRAPH_ARENA_BLOCKS	64

/* Offsets and sizes of blocks are multiples of this. */
#define GRAPH_ARENA_ALIGN	64

typedef struct GraphArenaBlock
{
	size_t		offset;
	size_t		size;
	bool		used;
} GraphArenaBlock;

/* Private to a process; see arena.c. */
typedef struct GraphArena
{
	char	   *base;			/* where this process has the memory */
	size_t		peak;			/* see graph_arena_peak */
	uint32_t	nblocks;
	GraphArenaBlock blocks[GRAPH_ARENA_BLOCKS]; /* by offset, without gaps */
} GraphArena;

/* base must be aligned to GRAPH_ARENA_ALIGN in every process. */
extern void graph_arena_init(GraphArena *arena, void *base, size_t size);

/* Aligned memory, or NULL if there is no room. */
extern void *graph_arena_alloc(GraphArena *arena, size_t size);

/* Takes back what graph_arena_alloc gave; false if it did not. */
extern bool graph_arena_release(GraphArena *arena, void *memory);

/* The largest block that graph_arena_alloc can give. */
extern size_t graph_arena_room(const GraphArena *arena);

/* Bytes from the base that have ever been in use. */
extern size_t graph_arena_peak(const GraphArena *arena);

#endif							/* DESCARTES_GRAPH_ARENA_H */
