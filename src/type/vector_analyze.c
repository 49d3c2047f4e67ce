/*-------------------------------------------------------------------------
 *
 * vector_analyze.c
 *	  The type "vector": statistics.
 *
 * The default for a type with a btree operator class would sort the sampled
 * vectors and keep up to 200 of them in pg_statistic, which every query on
 * the table would have to read when it is planned.  Values of vectors tell a
 * planner nothing, so this keeps their width and how many are NULL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/vacuum.h"

#include "vector.h"

/* enough to know the share of NULLs within one percent */
#define ANALYZE_MIN_ROWS	10000

PG_FUNCTION_INFO_V1(descartes_vector_typanalyze);

/*
 * Computes the statistics of one column.
 */
static void
compute_vector_stats(VacAttrStatsP stats, AnalyzeAttrFetchFunc fetchfunc,
					 int samplerows, double totalrows)
{
	double		width = 0;
	int			nonnull = 0;

	for (int i = 0; i < samplerows; i++)
	{
		bool		isnull;
		Datum		value;

		compat_analyze_delay_point();

		value = fetchfunc(stats, i, &isnull);
		if (isnull)
			continue;
		nonnull++;

		/* as stored: the width of a toast pointer if it is out of line */
		width += VARSIZE_ANY(DatumGetPointer(value));
	}

	if (samplerows == 0)
		return;

	stats->stats_valid = true;
	stats->stanullfrac = (float4) (samplerows - nonnull) / (float4) samplerows;
	stats->stawidth = nonnull > 0 ? (int32) (width / nonnull) : 0;

	/* vectors are as good as unique; negative means a share of the rows */
	stats->stadistinct = nonnull > 0 ? -(1.0f - stats->stanullfrac) : 0;
}

/*
 * vector_typanalyze(internal) returns boolean
 */
Datum
descartes_vector_typanalyze(PG_FUNCTION_ARGS)
{
	VacAttrStats *stats = (VacAttrStats *) PG_GETARG_POINTER(0);

	stats->compute_stats = compute_vector_stats;
	stats->minrows = ANALYZE_MIN_ROWS;

	PG_RETURN_BOOL(true);
}
