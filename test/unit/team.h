/*-------------------------------------------------------------------------
 *
 * team.h
 *	  A team of processes for programs that run graph/ without a server:
 *	  fork, memory that all map, a barrier.
 *
 * team_start() forks; every process, the caller as rank 0, returns from it.
 * The arena is a file that each process maps for itself, at addresses that
 * differ.  team_end() ends the others.  A process that dies takes the team
 * with it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TEST_TEAM_H
#define TEST_TEAM_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "graph/arena.h"

#define TEAM_MOST		64

/* In memory that all map */
typedef struct TeamShared
{
	uint32_t	arrived;
	uint32_t	passed;			/* barriers */
	size_t		reports[TEAM_MOST][2];	/* for the program */
} TeamShared;

typedef struct Team
{
	uint32_t	rank;
	uint32_t	size;
	TeamShared *shared;
	GraphArena	arena;
	char	   *mapped;			/* the arena and what it is shifted by */
	size_t		length;
	pid_t		starter;
} Team;

static inline void
team_die(const char *what)
{
	perror(what);
	exit(2);
}

/* Zeroed memory that processes forked later share with the caller */
static inline void *
team_share(size_t size)
{
	void	   *memory = mmap(NULL, size ? size : 1, PROT_READ | PROT_WRITE,
							  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		team_die("mmap");
	return memory;
}

static inline void
team_unshare(void *memory, size_t size)
{
	munmap(memory, size ? size : 1);
}

/*
 * Map the arena behind a gap that depends on the rank: wherever the system
 * puts it, it lies elsewhere in every process.
 */
static inline void
team_map(Team *team, int file, size_t size)
{
	size_t		gap = (size_t) (team->rank + 1) * 16 * 65536;

	team->length = gap + size;
	team->mapped = mmap(NULL, team->length, PROT_NONE,
						MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (team->mapped == MAP_FAILED ||
		mmap(team->mapped + (team->rank % 2 ? gap : gap / 2), size,
			 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file,
			 0) == MAP_FAILED)
		team_die("mmap");
	graph_arena_init(&team->arena,
					 team->mapped + (team->rank % 2 ? gap : gap / 2), size);
}

/* arena may be 0 */
static inline void
team_start(Team *team, uint32_t size, size_t arena)
{
	int			file = memfd_create("team", 0);

	memset(team, 0, sizeof(Team));
	team->size = size;
	team->starter = getpid();
	team->shared = team_share(sizeof(TeamShared));
	if (file < 0 || ftruncate(file, (off_t) arena) != 0)
		team_die("shared memory");
	fflush(NULL);
	for (uint32_t rank = 1; rank < size && team->rank == 0; rank++)
	{
		pid_t		pid = fork();

		if (pid < 0)
			team_die("fork");
		if (pid == 0)
			team->rank = rank;
	}
	if (arena > 0)
		team_map(team, file, arena);
	close(file);
}

/*
 * Not in vain: a process that is not there any more never comes.  Unless it
 * came, and ended after that.
 */
static inline void
team_check(const Team *team, uint32_t passed)
{
	bool		gone = team->rank == 0 ? waitpid(-1, NULL, WNOHANG) > 0 :
	getppid() != team->starter;

	if (gone &&
		__atomic_load_n(&team->shared->passed, __ATOMIC_ACQUIRE) == passed)
	{
		fprintf(stderr, "a process of the team is gone\n");
		_exit(2);
	}
}

static inline void
team_barrier(Team *team)
{
	TeamShared *shared = team->shared;
	uint32_t	passed = __atomic_load_n(&shared->passed, __ATOMIC_ACQUIRE);
	uint32_t	turns = 0;

	if (__atomic_add_fetch(&shared->arrived, 1, __ATOMIC_ACQ_REL) ==
		team->size)
	{
		__atomic_store_n(&shared->arrived, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&shared->passed, passed + 1, __ATOMIC_RELEASE);
		return;
	}
	while (__atomic_load_n(&shared->passed, __ATOMIC_ACQUIRE) == passed)
	{
		struct timespec nap = {0, 20000};

		if (++turns < 200)
			sched_yield();
		else
		{
			nanosleep(&nap, NULL);
			if (turns % 256 == 0)
				team_check(team, passed);
		}
	}
}

/* The others end here, with the numbers that they report. */
static inline void
team_end(Team *team, size_t report0, size_t report1)
{
	team->shared->reports[team->rank][0] = report0;
	team->shared->reports[team->rank][1] = report1;
	team_barrier(team);
	if (team->rank > 0)
	{
		fflush(NULL);
		_exit(0);
	}
	for (uint32_t rank = 1; rank < team->size; rank++)
		wait(NULL);
	if (team->mapped)
		munmap(team->mapped, team->length);
}

#endif							/* TEST_TEAM_H */
