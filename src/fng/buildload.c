/*-------------------------------------------------------------------------
 *
 * buildload.c
 *	  CREATE INDEX: the rows of the heap.
 *
 * The scan puts rows into temporary files and NULL and NaN rows into their
 * chains.  When all are counted it is known how the graph is built
 * (buildplan.c), and of how many rows: the others are inserted one by one at
 * the end (fng_insert_rest).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "build.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

static void load_callback(Relation index, ItemPointer tid, Datum *values,
						  bool *isnull, bool alive, void *arg);
static void spool_row(FngBuild *build, const float *value, ItemPointer tid);
static uint64 hash_value(const FngBuild *build, const float *value);
static void divide_rows(FngBuild *build, uint64 nrows);

/*
 * Scan the heap, and agree with the team on what is built how.
 */
void
fng_load(FngBuild *build)
{
	uint64		nrows = 0;

	fng_build_phase(build, FNG_PHASE_LOAD, 0);
	build->record = MemoryContextAlloc(build->context,
									   sizeof(FngSpooled) + build->layout.vector_bytes);
	build->spool = fng_team_spool(build);
	fng_team_scan(build, load_callback);
	fng_team_agree(build, build->spooled);

	for (uint32 i = 0; i < fng_team_size(build->team); i++)
		nrows += build->spooled[i];
	if (build->layout.metric == FNG_IP && nrows > 0)
	{
		/* M: a little more than the longest, so that later ones may be longer */
		build->meta.ip_norm = (float) Min(build->longest * 1.01, FLT_MAX);
	}
	divide_rows(build, nrows);
}

static void
load_callback(Relation index, ItemPointer tid, Datum *values, bool *isnull,
			  bool alive, void *arg)
{
	FngBuild   *build = (FngBuild *) arg;
	MemoryContext old;
	const float *value;
	uint32		dim;

	build->indtuples++;
	if (isnull[0])
	{
		fng_append_special_tid(index, FNG_CHAIN_NULLS, tid, true);
		return;
	}

	old = MemoryContextSwitchTo(build->row_context);
	value = fng_value(build->opclass, values[0], &dim);
	fng_check_value_dim(&build->meta, dim);
	if (fng_value_is_odd(&build->layout, value))
		fng_append_special_tid(index, FNG_CHAIN_NANS, tid, true);
	else
		spool_row(build, value, tid);
	MemoryContextSwitchTo(old);
	MemoryContextReset(build->row_context);
}

static void
spool_row(FngBuild *build, const float *value, ItemPointer tid)
{
	FngSpooled *row = (FngSpooled *) build->record;

	memset(row, 0, sizeof(FngSpooled));
	row->hash = hash_value(build, value);
	row->tid = *tid;
	memcpy(row + 1, value, build->layout.vector_bytes);
	BufFileWrite(build->spool, build->record, sizeof(FngSpooled) + build->layout.vector_bytes);
	if (build->layout.metric == FNG_IP)
		build->longest = Max(build->longest,
							 distance_kernels()->norm(build->layout.dim, value));
	fng_build_progress(build, ++build->nspooled);
}

/* A hash under which -0 is 0. */
static uint64
hash_value(const FngBuild *build, const float *value)
{
	uint64		hash = 0;

	for (uint32 i = 0; i < build->layout.dim; i++)
	{
		float		element = value[i] + 0.0f;
		uint32		bits;

		memcpy(&bits, &element, sizeof(bits));
		hash = (hash ^ bits) * UINT64CONST(0x9E3779B97F4A7C15);
		hash ^= hash >> 29;
	}
	return hash;
}

/*
 * Decide how many of the rows of each member, its first, become points.
 */
static void
divide_rows(FngBuild *build, uint64 nrows)
{
	uint32		size = fng_team_size(build->team);
	uint64		before = 0;

	fng_plan(build, nrows);
	for (uint32 i = 0; i < size; i++)
	{
		/* by shares of the rows so far, so that the sum is exact */
		build->start[i] = nrows == 0 ? 0 :
			(uint32) ((double) build->nrows * before / nrows);
		before += build->spooled[i];
	}
	build->start[size] = build->nrows;
}

/* Read the next row of a file, into a place that the next call uses again. */
FngSpooled *
fng_read_row(FngBuild *build, BufFile *spool)
{
	Size		size = sizeof(FngSpooled) + build->layout.vector_bytes;

	if (BufFileRead(spool, build->record, size) != size)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read from temporary file of the index build: %m")));
	return (FngSpooled *) build->record;
}

/* Go to a row of a file, by its number there. */
void
fng_seek_row(FngBuild *build, BufFile *spool, uint64 number)
{
	Size		size = sizeof(FngSpooled) + build->layout.vector_bytes;

	if (BufFileSeek(spool, 0, (off_t) (number * size), SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not seek in temporary file of the index build: %m")));
}

/*
 * Read back a row's value as the heap has it, into a place that the next call
 * uses again.
 */
const float *
fng_stored_value(FngBuild *build, uint32 row)
{
	uint32		arrival = build->arrival[row];
	uint32		rank = 0;
	BufFile    *spool;

	while (arrival >= build->start[rank + 1])
		rank++;
	spool = fng_team_spool_of(build, rank);
	fng_seek_row(build, spool, arrival - build->start[rank]);
	return (const float *) (fng_read_row(build, spool) + 1);
}

/* The same into the caller's place. */
void
fng_build_value(FngBuild *build, uint32 row, float *value)
{
	memcpy(value, fng_stored_value(build, row), build->layout.vector_bytes);
}

/*
 * Insert this member's rows for which the graph had no memory.
 */
void
fng_insert_rest(FngBuild *build)
{
	uint32		rank = fng_team_rank(build->team);
	uint64		number = build->start[rank + 1] - build->start[rank];
	BufFile    *spool = fng_team_spool_of(build, rank);
	FngInserter *inserter;

	if (build->ninserted == 0)
		return;
	fng_build_phase(build, FNG_PHASE_INSERT, build->ninserted);
	inserter = fng_inserter_create(build->index, build->opclass, true, build->context);
	fng_seek_row(build, spool, number);
	for (uint64 done = 0; number < build->spooled[rank]; number++)
	{
		FngSpooled *row = fng_read_row(build, spool);

		CHECK_FOR_INTERRUPTS();
		fng_insert_floats(inserter, (const float *) (row + 1), &row->tid);
		fng_build_progress(build, ++done * fng_team_size(build->team));
	}
	MemoryContextDelete(inserter->context);
	fng_team_barrier(build->team);
}
