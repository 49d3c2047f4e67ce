/*-------------------------------------------------------------------------
 *
 * tap.h
 *	  What unit tests print: a line per group of checks, the plan at the end.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TEST_TAP_H
#define TEST_TAP_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>

static int	ngroups = 0;
static int	nfailed = 0;

/* One line per group of checks, about a level or another subject. */
static inline void
report(int failures, const char *subject, const char *group)
{
	ngroups++;
	if (failures > 0)
		nfailed++;
	printf("%s - %s: %s\n", failures > 0 ? "not ok" : "ok", subject, group);
}

/*
 * Counts a failure, and tells about the first ones of a group.  "at" is the
 * number that tells the cases apart, mostly a dimension.
 */
static inline void
fail(int *failures, const char *what, uint32_t at, double got, double wanted)
{
	if ((*failures)++ < 5)
		printf("# %s at %u: got %.9g, wanted %.9g\n", what,
			   (unsigned) at, got, wanted);
}

/* Equal, or NaN where that is wanted. */
static inline void
expect(int *failures, const char *what, uint32_t at, double got,
	   double wanted)
{
	if (isnan(wanted) ? !isnan(got) : got != wanted)
		fail(failures, what, at, got, wanted);
}

/* The plan; returns the exit status. */
static inline int
finish(void)
{
	printf("1..%d\n", ngroups);
	return nfailed > 0 ? 1 : 0;
}

#endif							/* TEST_TAP_H */
