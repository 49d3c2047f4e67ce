/*-------------------------------------------------------------------------
 *
 * estimate.c
 *	  descartes_build_estimate: what CREATE INDEX would take.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/reloptions.h"
#include "build.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "portability/instr_time.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/*
 * The time of a build in units of what the machine takes for a product of two
 * rows of 256 dimensions, per row: what grows with their length, for a pool of
 * 96, and what does not.  Fitted to words, sift, fashion and gist (in
 * src/README), whose times it meets within a fifth.
 */
#define LENGTH_PER_ROW	27000.0
#define FIXED_PER_ROW	35000.0
#define PRODUCT_DIM		256
#define FITTED_POOL		96
#define FITTED_ROWS		100000

/* Work that does not get faster with more processes */
#define SERIAL_SHARE	0.05

static FngOptions *parse_options(ArrayType *array);
static const FngOpclass *default_opclass(Oid type, const char *column);
static double index_bytes(const FngLayout *layout, double rows);
static double estimate_seconds(const FngLayout *layout, const GraphParams *params, double rows,
							   int nprocesses);
static double time_product(void);

PGDLLEXPORT PG_FUNCTION_INFO_V1(descartes_build_estimate);

/*
 * descartes_build_estimate(tab regclass, col name, options text[])
 *
 * One row: rows of the table as the planner sees them, processes that would
 * build, memory in which the graph is built at once (with a
 * maintenance_work_mem below it takes longer), bytes of temporary files (with
 * the present maintenance_work_mem), bytes of the index, seconds (with enough).
 */
Datum
descartes_build_estimate(PG_FUNCTION_ARGS)
{
	Oid			heapid = PG_GETARG_OID(0);
	char	   *column = NameStr(*PG_GETARG_NAME(1));
	FngOptions *options = parse_options(PG_GETARG_ARRAYTYPE_P(2));
	Relation	heap = relation_open(heapid, AccessShareLock);
	AttrNumber	number = get_attnum(heapid, column);
	TupleDesc	desc;
	FngMetaPageData meta;
	FngLayout	layout;
	GraphParams params;
	FngPlan		plan;
	Form_pg_attribute attribute;
	BlockNumber pages;
	double		rows;
	double		visible;
	int			nprocesses;
	Datum		values[6];
	bool		nulls[6] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (pg_class_aclcheck(heapid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(heap->rd_rel->relkind),
					   RelationGetRelationName(heap));
	if (!RELKIND_HAS_TABLE_AM(heap->rd_rel->relkind))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table or materialized view",
						RelationGetRelationName(heap))));
	if (number == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						column, RelationGetRelationName(heap))));
	if (number < 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("index creation on system columns is not supported")));

	attribute = TupleDescAttr(RelationGetDescr(heap), number - 1);
	fng_meta_describe(&meta, attribute->atttypmod, options,
					  default_opclass(attribute->atttypid, column));
	fng_layout_from_meta(&meta, &layout);
	fng_build_graph_params(&params, &meta);
	table_relation_estimate_size(heap, NULL, &pages, &rows, &visible);
	nprocesses = fng_team_workers(heap, NULL, InvalidOid) + 1;

	values[0] = Int64GetDatum((int64) rows);
	values[1] = Int32GetDatum(nprocesses);
	values[2] = Int64GetDatum((int64) fng_build_memory(&layout, &params,
													   (uint32) Min(Max(rows, 1), FNG_MAX_BUILD_ROWS),
													   nprocesses));
	fng_choose_plan(&layout, &params, (uint64) Max(rows, 1), nprocesses, &plan);
	values[3] = Int64GetDatum((int64) (rows * (sizeof(FngSpooled) + layout.vector_bytes)) +
							  (int64) plan.files);
	values[4] = Int64GetDatum((int64) index_bytes(&layout, rows));
	values[5] = Float8GetDatum(estimate_seconds(&layout, &params, rows, nprocesses));
	relation_close(heap, AccessShareLock);

	desc = BlessTupleDesc(desc);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* Options as pg_class.reloptions has them: {name=value, ...}. */
static FngOptions *
parse_options(ArrayType *array)
{
	if (ARR_NDIM(array) > 1 || array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options must be a one-dimensional array without nulls"),
				 errhint("For example: ARRAY['max_neighbor_cnt=32'].")));
	return (FngOptions *) fng_options(PointerGetDatum(array), true);
}

/* What the default operator class of the column's type says of itself. */
static const FngOpclass *
default_opclass(Oid type, const char *column)
{
	Oid			opclass = GetDefaultOpClass(type, get_am_oid("fng", false));
	Oid			support;

	if (!OidIsValid(opclass))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" has type %s, which access method \"fng\" does not index",
						column, format_type_be(type))));
	support = get_opfamily_proc(get_opclass_family(opclass), get_opclass_input_type(opclass),
								get_opclass_input_type(opclass), 1);
	return (const FngOpclass *) DatumGetPointer(OidFunctionCall1(support, PointerGetDatum(NULL)));
}

/* Base and top level, with the vectors that slots do not hold. */
static double
index_bytes(const FngLayout *layout, double rows)
{
	double		pages = 1 + ceil(rows / layout->slots_per_page);

	if (!layout->vector_inline)
		pages += rows * ceil((double) layout->vector_bytes / FNG_VECTOR_BYTES_PER_PAGE);
	return pages * BLCKSZ;
}

/*
 * A row takes a little more the more there are.
 */
static double
estimate_seconds(const FngLayout *layout, const GraphParams *params, double rows,
				 int nprocesses)
{
	double		length = LENGTH_PER_ROW * layout->code.rotdim / PRODUCT_DIM *
	Max(1.0, (double) params->pool_size / FITTED_POOL);
	double		growth = log2(Max(rows, 1024)) / log2(FITTED_ROWS);
	double		share = SERIAL_SHARE + (1 - SERIAL_SHARE) / nprocesses;

	return rows * (length + FIXED_PER_ROW) * growth * share * time_product();
}

/* Seconds that this machine takes for one, the best of a few tries. */
static double
time_product(void)
{
	const DistanceKernels *kernels = distance_kernels();
	const uint32 n = 64;
	float	   *rows = palloc0(n * PRODUCT_DIM * sizeof(float));
	float	   *out = palloc(n * n * sizeof(float));
	double		best = HUGE_VAL;

	for (int i = 0; i < 16; i++)
	{
		instr_time	start;
		instr_time	duration;

		INSTR_TIME_SET_CURRENT(start);
		kernels->dot_tile(PRODUCT_DIM, rows, PRODUCT_DIM, n, rows, PRODUCT_DIM, n, out, n);
		INSTR_TIME_SET_CURRENT(duration);
		INSTR_TIME_SUBTRACT(duration, start);
		best = Min(best, INSTR_TIME_GET_DOUBLE(duration) / (n * n));
	}
	pfree(rows);
	pfree(out);
	return best;
}
