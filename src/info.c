/*-------------------------------------------------------------------------
 *
 * info.c
 *	  SQL functions that tell what is running.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "compat.h"
#include "descartes.h"
#include "distance/distance.h"

PG_FUNCTION_INFO_V1(descartes_version);
PG_FUNCTION_INFO_V1(descartes_simd_info);

/*
 * descartes_version() returns text: the version of the loaded library, which
 * after an update without a new connection may be another than the
 * extension's.
 */
Datum
descartes_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(DESCARTES_VERSION));
}

/*
 * descartes_simd_info() returns one row: the setting, the level it leads to,
 * the best level of this CPU, all levels it has, and whether it has AVX-512
 * VNNI.
 */
Datum
descartes_simd_info(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[5];
	bool		nulls[5] = {false};
	Datum		available[SIMD_NLEVELS];
	int			navailable = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	for (int level = 0; level < SIMD_NLEVELS; level++)
	{
		if (simd_level_available((SimdLevel) level))
			available[navailable++] =
				CStringGetTextDatum(simd_level_name((SimdLevel) level));
	}

	values[0] = CStringGetTextDatum(descartes_simd_setting());
	values[1] = CStringGetTextDatum(simd_level_name(simd_active_level()));
	values[2] = CStringGetTextDatum(simd_level_name(simd_best_level()));
	values[3] = PointerGetDatum(construct_array(available, navailable, TEXTOID,
												-1, false, TYPALIGN_INT));
	values[4] = BoolGetDatum(simd_has_avx512_vnni());

	desc = BlessTupleDesc(desc);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
