/*-------------------------------------------------------------------------
 *
 * build.h
 *	  What the phases of CREATE INDEX share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_FNG_BUILD_H
#define DESCARTES_FNG_BUILD_H

#include "insert.h"
#include "storage/buffile.h"

/* Sub-phases in pg_stat_progress_create_index; 1 is the server's own. */
typedef enum FngPhase
{
	FNG_PHASE_INITIALIZE = 1,
	FNG_PHASE_LOAD,
	FNG_PHASE_ROTATE,
	FNG_PHASE_NEIGHBOURS,		/* the next five as in GraphPhase */
	FNG_PHASE_SELECT,
	FNG_PHASE_RESELECT,
	FNG_PHASE_CONNECT,
	FNG_PHASE_REORDER,
	FNG_PHASE_WRITE,
	FNG_PHASE_FINDABILITY,
	FNG_PHASE_INSERT,
	FNG_PHASE_CALIBRATE,
	FNG_PHASE_LOG
} FngPhase;

/*
 * One level of the graph while it is built.  Row r of the level is row
 * rows[r] of the base, or r itself if rows is NULL.
 */
typedef struct FngLevel
{
	uint32		n;
	uint32	   *rows;
	GraphEdges	edges;			/* none (ids NULL) on the top level */
	uint32		entry;
	uint32	   *order;			/* row at each position, or NULL: in order */
	uint32	   *position;		/* position of each row, or NULL: in order */
	BlockNumber first_block;
} FngLevel;

/*
 * Rows are kept as points of coded space, from the end of the load on rotated
 * and centred; their values wait in a temporary file, in order of arrival.
 */
typedef struct FngBuild
{
	Relation	heap;
	Relation	index;
	IndexInfo  *info;
	const FngOpclass *opclass;
	FngMetaPageData meta;
	FngLayout	layout;
	MemoryContext context;		/* arrays; goes with the build */
	MemoryContext row_context;	/* one heap tuple */
	GraphHost	host;
	GraphParams graph;

	float	   *points;			/* nrows * layout.code.rotdim */
	ItemPointerData *tids;
	float	   *aux;
	uint64	   *hashes;			/* of the values */
	uint32	   *arrival;		/* number of the row in the file */
	uint32		nrows;
	uint32		allocated;
	uint32		max_rows;		/* that maintenance_work_mem allows */
	BufFile    *values;

	/* rows that share the node of an equal row */
	struct FngDuplicate *duplicates;
	uint32		nduplicates;

	FngLevel	levels[FNG_MAX_LEVELS];
	uint32		nlevels;
	float	   *centre;			/* rotated; NULL for none */
	uint64		written;		/* nodes, for the progress */

	bool		flushed;		/* memory was full: rows are inserted now */
	FngInserter *inserter;
	double		indtuples;
} FngBuild;

typedef struct FngDuplicate
{
	uint32		row;			/* whose node it shares */
	ItemPointerData tid;
} FngDuplicate;

/* build.c */
extern void fng_build_phase(FngPhase phase, uint64 total);
extern void fng_build_progress(uint64 done);
extern void fng_build_value(FngBuild *build, uint32 row, float *value);

/* buildgraph.c: levels, edges, order */
extern void fng_build_graph(FngBuild *build);

/* buildwrite.c */
extern void fng_write_graph(FngBuild *build);
extern void fng_rewrite_meta(Relation index, const FngMetaPageData *meta);

/* finish.c */
extern void fng_make_findable(FngBuild *build);

/* recall.c */
extern void fng_calibrate(Relation index, FngMetaPageData *meta);

#endif							/* DESCARTES_FNG_BUILD_H */
