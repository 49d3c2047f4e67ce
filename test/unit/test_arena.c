/*-------------------------------------------------------------------------
 *
 * test_arena.c
 *	  The allocator for memory that several processes map.
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "graph/arena.h"
#include "tap.h"

static int	failures;
static uint64_t random_state = 42;

static void
check(bool ok, const char *format,...)
{
	va_list		args;

	if (ok || failures++ >= 5)
		return;
	va_start(args, format);
	printf("# ");
	vprintf(format, args);
	printf("\n");
	va_end(args);
}

static double
uniform(void)
{
	random_state = random_state * UINT64_C(6364136223846793005) + 1;
	return (random_state >> 11) * (1.0 / 9007199254740992.0);
}

/*
 * The arena against a map of its bytes, with requests and releases at random.
 */
static void
test_arena(void)
{
	enum
	{
		UNITS = 400,
		MOST = 40
	};
	GraphArena	arena;
	GraphArena	other;
	char	   *base = aligned_alloc(64, UNITS * 64);
	char	   *elsewhere = aligned_alloc(64, UNITS * 64);
	char	   *blocks[MOST];
	uint32_t	sizes[MOST];
	bool		taken[UNITS] = {false};
	uint32_t	nblocks = 0;
	uint32_t	refused = 0;
	uint32_t	turn;
	uint32_t	i;
	size_t		peak = 0;

	graph_arena_init(&arena, base, UNITS * 64 + 63);
	graph_arena_init(&other, elsewhere, UNITS * 64);
	check(graph_arena_peak(&arena) == 0, "peak of nothing");
	for (turn = 0; turn < 20000; turn++)
	{
		if (nblocks < MOST && uniform() < 0.6)
		{
			size_t		size = (size_t) (uniform() * uniform() * 6000);
			uint32_t	units = size > 0 ? (uint32_t) ((size + 63) / 64) : 1;
			uint32_t	run = 0;
			uint32_t	at;
			char	   *memory = graph_arena_alloc(&arena, size);
			char	   *twin = graph_arena_alloc(&other, size);

			/* where the first gap that is large enough starts */
			for (at = 0; at < UNITS && run < units; at++)
				run = taken[at] ? 0 : run + 1;
			if (run < units)
			{
				check(memory == NULL, "room that there is not");
				refused++;
				continue;
			}
			at -= units;
			check(memory == base + at * 64, "block at %td, expected %u",
				  memory - base, at * 64);
			check(twin == elsewhere + at * 64, "tables differ");
			if (memory == NULL)
				break;
			blocks[nblocks] = memory;
			sizes[nblocks++] = units;
			for (i = at; i < at + units; i++)
				taken[i] = true;
			if ((at + units) * (size_t) 64 > peak)
				peak = (at + units) * (size_t) 64;
		}
		else if (nblocks > 0)
		{
			uint32_t	k = (uint32_t) (uniform() * nblocks);
			uint32_t	at = (uint32_t) ((blocks[k] - base) / 64);

			check(sizes[k] == 1 ||
				  !graph_arena_release(&arena, blocks[k] + 64),
				  "release of the middle of a block");
			check(graph_arena_release(&arena, blocks[k]), "no block");
			check(graph_arena_release(&other, elsewhere + at * 64),
				  "no twin");
			for (i = at; i < at + sizes[k]; i++)
				taken[i] = false;
			nblocks--;
			blocks[k] = blocks[nblocks];
			sizes[k] = sizes[nblocks];
		}
	}
	check(refused > 10, "only %u requests without room", refused);
	check(graph_arena_peak(&arena) == peak, "peak %zu, expected %zu",
		  graph_arena_peak(&arena), peak);
	while (nblocks > 0)
		graph_arena_release(&arena, blocks[--nblocks]);
	check(arena.nblocks == 1 && arena.blocks[0].size == UNITS * 64,
		  "free blocks did not unite");
	check(graph_arena_alloc(&arena, SIZE_MAX) == NULL, "room for anything");

	/* a full table refuses, and says so before the tables differ */
	for (i = 0; i < GRAPH_ARENA_BLOCKS + 5; i++)
		check((graph_arena_alloc(&arena, 1) != NULL) ==
			  (i < GRAPH_ARENA_BLOCKS - 1), "block %u", i);
	check(!graph_arena_release(&arena, base + UNITS * 64 - 64),
		  "release of a free block");
	free(elsewhere);
	free(base);
	report(failures, "arena", "as a map of its bytes says");
}

int
main(void)
{
	test_arena();
	return finish();
}
