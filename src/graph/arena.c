/*-------------------------------------------------------------------------
 *
 * arena.c
 *	  An allocator for memory that several processes map.
 *
 * Each process keeps its own table of the blocks, with offsets, and calls
 * the allocator in the same order with the same sizes as the others.  So the
 * tables are always the same, no process has to tell another where a block
 * is, and there is nothing to lock.
 *
 * The table has the blocks by offset, used and free, without gaps between
 * them.  A request takes the first free block that is large enough; a block
 * that is released unites with free neighbours.  The build releases mostly in
 * the reverse of the order in which it allocates, so the table stays short
 * and the memory in one piece.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "arena.h"

void
graph_arena_init(GraphArena *arena, void *base, size_t size)
{
	memset(arena, 0, sizeof(GraphArena));
	arena->base = base;
	arena->blocks[0].size = size / GRAPH_ARENA_ALIGN * GRAPH_ARENA_ALIGN;
	arena->nblocks = 1;
}

/* Make room for a block at index i. */
static void
insert_block(GraphArena *arena, uint32_t i)
{
	memmove(arena->blocks + i + 1, arena->blocks + i,
			(arena->nblocks - i) * sizeof(GraphArenaBlock));
	arena->nblocks++;
}

static void
remove_block(GraphArena *arena, uint32_t i)
{
	arena->nblocks--;
	memmove(arena->blocks + i, arena->blocks + i + 1,
			(arena->nblocks - i) * sizeof(GraphArenaBlock));
}

void *
graph_arena_alloc(GraphArena *arena, size_t size)
{
	size_t		needed;
	uint32_t	i;

	if (size > SIZE_MAX - GRAPH_ARENA_ALIGN)
		return NULL;
	needed = (size + GRAPH_ARENA_ALIGN - 1) / GRAPH_ARENA_ALIGN *
		GRAPH_ARENA_ALIGN;
	if (needed == 0)
		needed = GRAPH_ARENA_ALIGN;
	for (i = 0; i < arena->nblocks; i++)
	{
		GraphArenaBlock *block = &arena->blocks[i];

		if (block->used || block->size < needed)
			continue;
		if (block->size > needed)
		{
			if (arena->nblocks == GRAPH_ARENA_BLOCKS)
				return NULL;
			insert_block(arena, i + 1);
			block[1].offset = block->offset + needed;
			block[1].size = block->size - needed;
			block[1].used = false;
			block->size = needed;
		}
		block->used = true;
		if (block->offset + needed > arena->peak)
			arena->peak = block->offset + needed;
		return arena->base + block->offset;
	}
	return NULL;
}

bool
graph_arena_release(GraphArena *arena, void *memory)
{
	size_t		offset = (size_t) ((char *) memory - arena->base);
	uint32_t	i;

	for (i = 0; i < arena->nblocks; i++)
		if (arena->blocks[i].offset == offset)
			break;
	if (i == arena->nblocks || !arena->blocks[i].used)
		return false;
	arena->blocks[i].used = false;
	if (i + 1 < arena->nblocks && !arena->blocks[i + 1].used)
	{
		arena->blocks[i].size += arena->blocks[i + 1].size;
		remove_block(arena, i + 1);
	}
	if (i > 0 && !arena->blocks[i - 1].used)
	{
		arena->blocks[i - 1].size += arena->blocks[i].size;
		remove_block(arena, i);
	}
	return true;
}

size_t
graph_arena_room(const GraphArena *arena)
{
	size_t		room = 0;
	uint32_t	i;

	for (i = 0; i < arena->nblocks; i++)
		if (!arena->blocks[i].used && arena->blocks[i].size > room)
			room = arena->blocks[i].size;
	return room;
}

size_t
graph_arena_peak(const GraphArena *arena)
{
	return arena->peak;
}
