/*-------------------------------------------------------------------------
 *
 * build.h
 *	  What the phases of CREATE INDEX share.
 *
 * A build is the work of a team: the leader and the parallel workers that it
 * could get, or one process alone.  All of a team run the same code, from
 * fng_build_rows down, and meet at barriers.  What is said here to be shared
 * is the same memory in all of them, at different addresses.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_FNG_BUILD_H
#define DESCARTES_FNG_BUILD_H

#include "../graph/rowcache.h"
#include "access/tableam.h"
#include "insert.h"
#include "storage/buffile.h"
#include "storage/fileset.h"

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
	FNG_PHASE_LOG,
	FNG_PHASE_CALIBRATE,
	FNG_PHASE_COUNT,			/* these are descartes_index_refine's */
	FNG_PHASE_REFINE,
	FNG_PHASE_REPAIR,
	FNG_PHASE_TOP
} FngPhase;

/*
 * Work that the members of a team claim in pieces, each from a counter of its
 * own; from FNG_CLAIM_LEVEL on one counter for each level that is written.
 */
typedef enum FngClaim
{
	FNG_CLAIM_FIND,
	FNG_CLAIM_LOG,
	FNG_CLAIM_TRUTH,
	FNG_CLAIM_LEVEL
} FngClaim;

#define FNG_NUM_CLAIMS	(FNG_CLAIM_LEVEL + FNG_MAX_LEVELS)

/* Nodes of the top level, about */
#define FNG_TOP_TARGET	512

/* buildteam.c, buildarena.c, buildfile.c */
typedef struct FngTeam FngTeam;
typedef struct FngArena FngArena;
typedef struct FngFile FngFile;

#define FNG_MAX_TEAM	64

/* Row numbers of graph/ have 31 bits. */
#define FNG_MAX_BUILD_ROWS	((uint32) PG_INT32_MAX)

/*
 * One level of the graph while it is built.  Row r of the level is row
 * rows[r] of the base, or r itself if rows is NULL.
 */
typedef struct FngLevel
{
	uint32		n;
	uint32	   *rows;
	GraphEdges	edges;			/* shared; none (ids NULL) on the top level */
	uint32		entry;
	uint32	   *order;			/* shared: row at each position, or NULL: in
								 * order */
	uint32	   *position;		/* shared: position of each row, or NULL */
	BlockNumber first_block;
} FngLevel;

/* A row in the temporary file; the value follows. */
typedef struct FngSpooled
{
	uint64		hash;			/* of the value */
	ItemPointerData tid;
	uint16		unused;
} FngSpooled;

/* How a graph is built within maintenance_work_mem (buildplan.c) */
typedef struct FngPlan
{
	uint32		nrows;			/* of the graph */
	Size		needed;			/* to build it in memory */
	bool		outofcore;
	GraphPlan	graph;			/* if it is */
	uint64		files;			/* bytes of files besides those of the rows */
} FngPlan;

/*
 * Rows wait in temporary files, one for each member of the team, in order of
 * arrival.  Points of coded space, rotated and centred, are in shared memory
 * or in a file of their own; everything about the graph goes by the number of
 * a row among them.
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
	FngTeam    *team;
	FngArena   *arena;			/* NULL before the first */
	uint32		narenas;		/* made so far */
	GraphHost	host;
	GraphParams graph;
	uint64		phase_total;	/* steps of the phase; 0: not known */

	/* what this process has loaded, after fng_load the team's but for spool */
	BufFile    *spool;
	uint64		nspooled;
	double		longest;		/* norm, for inner product */
	double		heap_tuples;
	double		indtuples;
	char	   *record;			/* room for one row of a file */

	/* rows of each member, and the first of them in the graph, and the end */
	uint64		spooled[FNG_MAX_TEAM];
	uint32		start[FNG_MAX_TEAM + 1];
	FngPlan		plan;
	uint64		ninserted;		/* for which the graph has no memory */

	/* the rows of the graph; arrays shared */
	uint32		nrows;
	float	   *points;			/* nrows * layout.code.rotdim; or out of core: */
	FngFile    *point_file;
	uint32		nfiles;			/* made so far */
	GraphRowCache *point_cache; /* once the graph is ready */
	void	   *point_room;		/* shared: of the caches of all */
	CodeRotation *rotation;
	float	   *coded;			/* room for a vector to be rotated */
	ItemPointerData *tids;
	float	   *aux;
	uint64	   *hashes;			/* until equal rows are merged */
	uint32	   *arrival;		/* the row's number when it was loaded */
	float	   *centre;			/* rotated; NULL for none; not shared */

	/* rows that share the node of an equal row: known to rank 0 */
	struct FngDuplicate *duplicates;
	uint32		nduplicates;

	FngLevel	levels[FNG_MAX_LEVELS];
	uint32		nlevels;
	BlockNumber blocks_to_log;	/* once they change no more; 0: no WAL */
} FngBuild;

typedef struct FngDuplicate
{
	uint32		row;			/* whose node it shares */
	ItemPointerData tid;
} FngDuplicate;

/* build.c */
extern void fng_build_graph_params(GraphParams *params, const FngMetaPageData *meta);
extern void fng_build_init(FngBuild *build, Relation heap, Relation index, IndexInfo *info);
extern void fng_build_rows(FngBuild *build);
extern void fng_build_phase(FngBuild *build, FngPhase phase, uint64 total);
extern void fng_build_progress(FngBuild *build, uint64 done);
extern void fng_log_pages(FngBuild *build);

/* buildteam.c */
extern int	fng_team_workers(Relation heap, const IndexInfo *info, Oid indexid);
extern void fng_team_begin(FngBuild *build);
extern void fng_team_end(FngBuild *build);
extern void fng_team_leave(FngBuild *build);
extern uint32 fng_team_rank(const FngTeam *team);
extern uint32 fng_team_size(const FngTeam *team);
extern void fng_team_scan(FngBuild *build, IndexBuildCallback callback);
extern BufFile *fng_team_spool(FngBuild *build);
extern BufFile *fng_team_spool_of(FngBuild *build, uint32 rank);
extern void fng_team_agree(FngBuild *build, uint64 *counts);
extern FileSet *fng_team_files(FngTeam *team);
extern void fng_team_barrier(FngTeam *team);
extern uint64 fng_team_claim(FngTeam *team, int claim, uint64 n);
extern uint64 fng_team_claimed(FngTeam *team, int claim);
extern uint64 fng_team_sum(FngTeam *team, uint64 value);
extern uint64 fng_team_tell(FngTeam *team, uint64 value);

/* buildarena.c */
extern void fng_team_share(FngBuild *build, Size size);
extern void fng_team_unshare(FngBuild *build);
extern void *fng_team_alloc(FngBuild *build, Size size);
extern void fng_team_free(FngBuild *build, void *memory);
extern Size fng_team_room(FngBuild *build);

/* buildfile.c */
extern FngFile *fng_file_create(FngBuild *build, uint64 size);
extern void fng_file_close(FngBuild *build, FngFile *file);
extern void fng_file_read(FngFile *file, uint64 offset, void *data, Size size);
extern void fng_file_write(FngFile *file, uint64 offset, const void *data, Size size);

/* buildplan.c */
extern void fng_choose_plan(const FngLayout *layout, const GraphParams *params,
							uint64 nrows, uint32 team_size, FngPlan *plan);
extern void fng_plan(FngBuild *build, uint64 nrows);
extern Size fng_build_memory(const FngLayout *layout, const GraphParams *params,
							 uint32 nrows, uint32 team_size);
extern Size fng_arena_size(FngBuild *build);

/* buildload.c */
extern void fng_load(FngBuild *build);
extern void fng_insert_rest(FngBuild *build);
extern FngSpooled *fng_read_row(FngBuild *build, BufFile *spool);
extern void fng_seek_row(FngBuild *build, BufFile *spool, uint64 number);
extern const float *fng_stored_value(FngBuild *build, uint32 row);
extern void fng_build_value(FngBuild *build, uint32 row, float *value);

/* buildpoints.c */
extern void fng_make_points(FngBuild *build);
extern GraphSource fng_point_source(FngBuild *build);
extern void fng_cache_points(FngBuild *build);
extern void fng_release_points(FngBuild *build);
extern const float *fng_build_point(FngBuild *build, uint32 row);

/* buildgraph.c: levels, edges, order */
extern void fng_build_graph(FngBuild *build);

/* buildwrite.c */
extern void fng_write_graph(FngBuild *build);
extern void fng_rewrite_meta(Relation index, const FngMetaPageData *meta);

/* finish.c */
extern void fng_make_findable(FngBuild *build);

/* recall.c */
extern void fng_calibrate(FngBuild *build);
extern bool fng_calibrate_again(Relation index, uint64 nnodes, uint32 *list_size, float *recall);

#endif							/* DESCARTES_FNG_BUILD_H */
