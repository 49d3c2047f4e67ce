/*-------------------------------------------------------------------------
 *
 * descartes.c
 *	  Entry point of the library: settings, and nothing else.
 *
 * The settings of an access method are defined by its own init function.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/guc.h"

#include "compat.h"
#include "descartes.h"
#include "distance/distance.h"
#include "fng/fng.h"

DESCARTES_MODULE_MAGIC("descartes", DESCARTES_VERSION);

extern PGDLLEXPORT void _PG_init(void);

int			descartes_simd = DESCARTES_SIMD_AUTO;

static const struct config_enum_entry simd_options[] = {
	{"auto", DESCARTES_SIMD_AUTO, false},
	{"scalar", SIMD_SCALAR, false},
	{"neon", SIMD_NEON, false},
	{"avx2", SIMD_AVX2, false},
	{"avx512", SIMD_AVX512, false},
	{NULL, 0, false}
};

/*
 * Refuses a level that this CPU does not have.
 */
static bool
check_simd(int *newval, void **extra, GucSource source)
{
	StringInfoData levels;

	if (*newval == DESCARTES_SIMD_AUTO ||
		simd_level_available((SimdLevel) *newval))
		return true;

	initStringInfo(&levels);
	appendStringInfoString(&levels, "auto");
	for (int level = 0; level < SIMD_NLEVELS; level++)
	{
		if (simd_level_available((SimdLevel) level))
			appendStringInfo(&levels, ", %s",
							 simd_level_name((SimdLevel) level));
	}

	GUC_check_errcode(ERRCODE_FEATURE_NOT_SUPPORTED);
	GUC_check_errdetail("This CPU does not have the instructions of level \"%s\".",
						simd_level_name((SimdLevel) *newval));
	GUC_check_errhint("Available values: %s.", levels.data);
	return false;
}

/*
 * Makes a level that check_simd has let through the active one.
 */
static void
assign_simd(int newval, void *extra)
{
	SimdLevel	level = newval == DESCARTES_SIMD_AUTO ?
	simd_best_level() : (SimdLevel) newval;

	(void) simd_set_level(level);
}

/*
 * descartes_simd_setting returns the value of descartes.simd.
 */
const char *
descartes_simd_setting(void)
{
	if (descartes_simd == DESCARTES_SIMD_AUTO)
		return "auto";
	return simd_level_name((SimdLevel) descartes_simd);
}

void
_PG_init(void)
{
	DefineCustomEnumVariable("descartes.simd",
							 "Level of SIMD instructions for distances and codes.",
							 "\"auto\" takes the best level of this CPU.",
							 &descartes_simd,
							 DESCARTES_SIMD_AUTO,
							 simd_options,
							 PGC_USERSET,
							 0,
							 check_simd,
							 assign_simd,
							 NULL);

	fng_init();

	MarkGUCPrefixReserved("descartes");
}
