/*-------------------------------------------------------------------------
 *
 * handler.c
 *	  What the access method "fng" tells PostgreSQL: its callbacks, its
 *	  properties, its settings, and its operator classes.
 *
 * The abilities claimed here follow from the scan (scan.c): it returns every
 * indexed row once, in order of distance, whatever the number of ORDER BY keys
 * (none included); it takes no search keys, returns no column values, and
 * cannot go backwards.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/vacuum.h"
#include "fng.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

/* Settings */
int			descartes_search_res_cnt = 0;
int			descartes_debug_level_ratio = FNG_MAX_LEVEL_RATIO;
bool		descartes_debug_build_in_file = false;
double		descartes_search_explore_factor = 0.0;

#define FNG_MAX_EXPLORE_FACTOR		1000.0

/*
 * Fields that only some of the supported versions have are false or NULL
 * here, which is what an initializer makes of a field that it leaves out.
 */
static const IndexAmRoutine fng_routine = {
	.type = T_IndexAmRoutine,

	/* Operator classes number their operators themselves: no upper bound. */
	.amstrategies = 0,
	.amsupport = 1,
	.amoptsprocnum = 0,

	.amcanorder = false,
	.amcanorderbyop = true,
	.amcanbackward = false,
	.amcanunique = false,
	.amcanmulticol = false,

	/* Without this there is no path for a query that has only ORDER BY. */
	.amoptionalkey = true,
	.amsearcharray = false,
	.amsearchnulls = false,
	.amstorage = false,
	.amclusterable = false,
	.ampredlocks = false,
	.amcanparallel = false,
	.amcaninclude = false,
	.amusemaintenanceworkmem = false,
	.amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL |
	VACUUM_OPTION_PARALLEL_COND_CLEANUP,
	.amkeytype = InvalidOid,

	.ambuild = fng_build,
	.ambuildempty = fng_buildempty,
	.aminsert = fng_insert,
	.ambulkdelete = fng_bulkdelete,
	.amvacuumcleanup = fng_vacuumcleanup,
	.amcanreturn = NULL,
	.amcostestimate = fng_costestimate,
	.amoptions = fng_options,
	.amproperty = fng_property,
	.ambuildphasename = fng_build_phase_name,
	.amvalidate = fng_validate,
	.amadjustmembers = fng_adjustmembers,
	.ambeginscan = fng_beginscan,
	.amrescan = fng_rescan,
	.amgettuple = fng_gettuple,
	.amgetbitmap = NULL,
	.amendscan = fng_endscan,
	.ammarkpos = NULL,
	.amrestrpos = NULL,
	.amestimateparallelscan = NULL,
	.aminitparallelscan = NULL,
	.amparallelrescan = NULL,
};

PG_FUNCTION_INFO_V1(fng_handler);
PG_FUNCTION_INFO_V1(fng_vector_l2_support);
PG_FUNCTION_INFO_V1(fng_vector_ip_support);
PG_FUNCTION_INFO_V1(fng_vector_cosine_support);

/*
 * fng_handler returns a copy of fng_routine, since the caller owns the node.
 */
Datum
fng_handler(PG_FUNCTION_ARGS)
{
	IndexAmRoutine *routine = makeNode(IndexAmRoutine);

	*routine = fng_routine;

	PG_RETURN_POINTER(routine);
}

/*
 * The support function 1 of an operator class describes the class: which
 * metric over which elements, from which fng chooses its own kernels.  It
 * returns a pointer to static memory, valid for the life of the backend.
 */
Datum
fng_vector_l2_support(PG_FUNCTION_ARGS)
{
	static const FngOpclass opclass = {
		.metric = FNG_L2,
		.element = 1,
		.type_name = "vector",
		.max_dim = FNG_MAX_DIM
	};

	PG_RETURN_POINTER(&opclass);
}

Datum
fng_vector_ip_support(PG_FUNCTION_ARGS)
{
	static const FngOpclass opclass = {
		.metric = FNG_IP,
		.element = 1,
		.type_name = "vector",
		.max_dim = FNG_MAX_DIM
	};

	PG_RETURN_POINTER(&opclass);
}

Datum
fng_vector_cosine_support(PG_FUNCTION_ARGS)
{
	static const FngOpclass opclass = {
		.metric = FNG_COSINE,
		.element = 1,
		.type_name = "vector",
		.max_dim = FNG_MAX_DIM
	};

	PG_RETURN_POINTER(&opclass);
}

/*
 * fng_property answers whether a column is distance orderable: it is if its
 * operator class has the ordering operator.  Everything else is left to the
 * core, which knows it from the fields of fng_routine.
 */
bool
fng_property(Oid index, int attno, IndexAMProperty prop,
			 const char *propname, bool *res, bool *isnull)
{
	Oid			opclass;
	Oid			opfamily;
	Oid			opcintype;

	if (attno == 0 || prop != AMPROP_DISTANCE_ORDERABLE)
		return false;

	opclass = get_index_column_opclass(index, attno);
	if (!OidIsValid(opclass) ||
		!get_opclass_opfamily_and_input_type(opclass, &opfamily, &opcintype))
	{
		*isnull = true;
		return true;
	}

	*res = OidIsValid(get_opfamily_member(opfamily, opcintype, opcintype, 1));
	*isnull = false;

	return true;
}

/*
 * fng_init defines the settings and registers what the other files need once
 * per backend.  Called when the library is loaded.
 */
void
fng_init(void)
{
	DefineCustomIntVariable("descartes.search_res_cnt",
							"Sets the size of the candidate list of an index search.",
							"Larger values find more of the nearest rows and take longer.  "
							"0 uses the value that the index has stored or calibrated.",
							&descartes_search_res_cnt,
							0, 0, FNG_MAX_SEARCH_RES_CNT,
							PGC_USERSET, GUC_EXPLAIN,
							NULL, NULL, NULL);
	DefineCustomIntVariable("descartes.debug_level_ratio",
							"Sets how many nodes of a level one above may stand for, at most.",
							"For tests: small tables get levels between the base and the top.",
							&descartes_debug_level_ratio,
							FNG_MAX_LEVEL_RATIO, 2, FNG_MAX_LEVEL_RATIO,
							PGC_USERSET, GUC_NOT_IN_SAMPLE,
							NULL, NULL, NULL);

	DefineCustomBoolVariable("descartes.debug_build_in_file",
							 "Puts what the processes of an index build share into a temporary file.",
							 "For tests: as it happens where /dev/shm is too small.",
							 &descartes_debug_build_in_file,
							 false,
							 PGC_USERSET, GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);

	DefineCustomRealVariable("descartes.search_explore_factor",
							 "Sets how much farther an index search explores before it returns a row.",
							 "A margin added to the distance of the best unvisited candidate, "
							 "in units of the error of the estimated distances.",
							 &descartes_search_explore_factor,
							 0.0, 0.0, FNG_MAX_EXPLORE_FACTOR,
							 PGC_USERSET, GUC_EXPLAIN,
							 NULL, NULL, NULL);

	fng_options_init();
	fng_cache_init();
}
