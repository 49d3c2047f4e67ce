/*-------------------------------------------------------------------------
 *
 * vector_agg.c
 *	  The type "vector": avg, and pgvector's functions on arrays.
 *
 * avg sums in double into a state that it keeps in the aggregate's context
 * and changes in place.  (sum needs nothing of this: its transition function
 * is vector_add.)
 *
 * vector_accum, vector_combine and vector_avg on double precision[] are how
 * pgvector computes avg.  They are part of its SQL surface, and aggregates of
 * users may be made of them, so they are here, too; the array holds the number
 * of vectors, then their sum.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/float.h"

#include "vector.h"

PG_FUNCTION_INFO_V1(descartes_vector_avg_accum);
PG_FUNCTION_INFO_V1(descartes_vector_avg_combine);
PG_FUNCTION_INFO_V1(descartes_vector_avg_serialize);
PG_FUNCTION_INFO_V1(descartes_vector_avg_deserialize);
PG_FUNCTION_INFO_V1(descartes_vector_avg_final);
PG_FUNCTION_INFO_V1(descartes_vector_accum);
PG_FUNCTION_INFO_V1(descartes_vector_combine);
PG_FUNCTION_INFO_V1(descartes_vector_avg);

/*
 * n vectors and their sum.
 */
typedef struct VectorAvgState
{
	int64		n;
	int			dim;
	float8		sum[FLEXIBLE_ARRAY_MEMBER];
} VectorAvgState;

/*
 * Returns a state of no vectors in the given context.
 */
static VectorAvgState *
avg_state_create(MemoryContext context, int dim)
{
	VectorAvgState *state;

	state = (VectorAvgState *)
		MemoryContextAlloc(context, offsetof(VectorAvgState, sum) +
						   sizeof(float8) * (Size) dim);
	state->n = 0;
	state->dim = dim;

	/* the sum of -0 and -0 is -0, but that of 0 and -0 is not */
	for (int i = 0; i < dim; i++)
		state->sum[i] = -0.0;

	return state;
}

/*
 * Returns the context of the running aggregate; throws if there is none.
 */
static MemoryContext
require_aggregate(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in non-aggregate context");
	return context;
}

/*
 * Returns sum / n as a vector.
 */
static Vector *
average(const float8 *sum, float8 n, int dim)
{
	Vector	   *result;

	vector_check_dim(dim);

	result = vector_alloc(dim);
	for (int i = 0; i < dim; i++)
		result->x[i] = (float) (sum[i] / n);
	vector_check_finite(result);

	return result;
}

/* ------------------------------------------------------------------------
 * The aggregate avg(vector)
 * ------------------------------------------------------------------------
 */

/*
 * vector_avg_accum(internal, vector) returns internal: transition function
 */
Datum
descartes_vector_avg_accum(PG_FUNCTION_ARGS)
{
	MemoryContext context = require_aggregate(fcinfo);
	VectorAvgState *state = PG_ARGISNULL(0) ? NULL :
	(VectorAvgState *) PG_GETARG_POINTER(0);
	const Vector *vector;

	if (PG_ARGISNULL(1))
	{
		if (state == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(state);
	}

	vector = PG_GETARG_VECTOR_P(1);
	if (state == NULL)
		state = avg_state_create(context, vector->dim);
	else
		vector_check_typmod(state->dim, vector->dim);

	/* it would take 10^270 vectors to overflow a double */
	for (int i = 0; i < vector->dim; i++)
		state->sum[i] += (float8) vector->x[i];
	state->n++;

	PG_RETURN_POINTER(state);
}

/*
 * vector_avg_combine(internal, internal) returns internal
 */
Datum
descartes_vector_avg_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = require_aggregate(fcinfo);
	VectorAvgState *state = PG_ARGISNULL(0) ? NULL :
	(VectorAvgState *) PG_GETARG_POINTER(0);
	const VectorAvgState *other;

	if (PG_ARGISNULL(1))
	{
		if (state == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(state);
	}

	other = (const VectorAvgState *) PG_GETARG_POINTER(1);
	if (state == NULL)
		state = avg_state_create(context, other->dim);
	else
		vector_check_typmod(state->dim, other->dim);

	for (int i = 0; i < state->dim; i++)
		state->sum[i] += other->sum[i];
	state->n += other->n;

	PG_RETURN_POINTER(state);
}

/*
 * vector_avg_serialize(internal) returns bytea
 */
Datum
descartes_vector_avg_serialize(PG_FUNCTION_ARGS)
{
	const VectorAvgState *state;
	StringInfoData buf;

	(void) require_aggregate(fcinfo);
	state = (const VectorAvgState *) PG_GETARG_POINTER(0);

	pq_begintypsend(&buf);
	pq_sendint64(&buf, state->n);
	pq_sendint32(&buf, state->dim);
	for (int i = 0; i < state->dim; i++)
		pq_sendfloat8(&buf, state->sum[i]);

	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/*
 * vector_avg_deserialize(bytea, internal) returns internal
 */
Datum
descartes_vector_avg_deserialize(PG_FUNCTION_ARGS)
{
	bytea	   *bytes = PG_GETARG_BYTEA_PP(0);
	VectorAvgState *state;
	StringInfoData buf;
	int64		n;
	int			dim;

	(void) require_aggregate(fcinfo);

	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));

	n = pq_getmsgint64(&buf);
	dim = (int) pq_getmsgint(&buf, sizeof(int32));
	vector_check_dim(dim);

	state = avg_state_create(CurrentMemoryContext, dim);
	state->n = n;
	for (int i = 0; i < dim; i++)
		state->sum[i] = pq_getmsgfloat8(&buf);
	pq_getmsgend(&buf);
	pfree(buf.data);

	PG_RETURN_POINTER(state);
}

/*
 * vector_avg_final(internal) returns vector, or NULL for no vectors
 */
Datum
descartes_vector_avg_final(PG_FUNCTION_ARGS)
{
	const VectorAvgState *state;

	(void) require_aggregate(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();

	state = (const VectorAvgState *) PG_GETARG_POINTER(0);
	PG_RETURN_VECTOR_P(average(state->sum, (float8) state->n, state->dim));
}

/* ------------------------------------------------------------------------
 * pgvector's functions on double precision[]
 * ------------------------------------------------------------------------
 */

/*
 * Returns the number of vectors of a state array, with their sum in *sum and
 * its dimensions (0 before the first vector) in *dim.
 */
static float8
read_state_array(ArrayType *array, const char *caller,
				 const float8 **sum, int *dim)
{
	const float8 *values = (const float8 *) ARR_DATA_PTR(array);

	if (ARR_NDIM(array) != 1 || ARR_DIMS(array)[0] < 1 ||
		ARR_HASNULL(array) || ARR_ELEMTYPE(array) != FLOAT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s: expected state array", caller)));

	*sum = values + 1;
	*dim = ARR_DIMS(array)[0] - 1;
	return values[0];
}

/*
 * Returns a new state array of n vectors, and where its sum is to be put.
 */
static ArrayType *
make_state_array(float8 n, int dim, float8 **sum)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + sizeof(float8) * ((Size) dim + 1);
	ArrayType  *array = (ArrayType *) palloc0(size);
	float8	   *values;

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = 0;		/* no NULLs */
	array->elemtype = FLOAT8OID;
	ARR_DIMS(array)[0] = dim + 1;
	ARR_LBOUND(array)[0] = 1;

	values = (float8 *) ARR_DATA_PTR(array);
	values[0] = n;
	*sum = values + 1;
	return array;
}

/*
 * Throws if a sum has overflowed.
 */
static void
check_sum(const float8 *sum, int dim)
{
	for (int i = 0; i < dim; i++)
	{
		if (isinf(sum[i]))
			float_overflow_error();
	}
}

/*
 * vector_accum(double precision[], vector) returns double precision[]
 */
Datum
descartes_vector_accum(PG_FUNCTION_ARGS)
{
	const Vector *vector = PG_GETARG_VECTOR_P(1);
	const float8 *old_sum;
	float8	   *sum;
	float8		n;
	int			dim;
	ArrayType  *result;

	n = read_state_array(PG_GETARG_ARRAYTYPE_P(0), "vector_accum", &old_sum, &dim);
	if (dim > 0)
		vector_check_typmod(dim, vector->dim);

	result = make_state_array(n + 1, vector->dim, &sum);
	for (int i = 0; i < vector->dim; i++)
		sum[i] = (dim > 0 ? old_sum[i] : -0.0) + (float8) vector->x[i];
	check_sum(sum, vector->dim);

	PG_RETURN_ARRAYTYPE_P(result);
}

/*
 * vector_combine(double precision[], double precision[]) returns double
 * precision[]
 */
Datum
descartes_vector_combine(PG_FUNCTION_ARGS)
{
	const float8 *sum_a;
	const float8 *sum_b;
	float8	   *sum;
	float8		n;
	int			dim_a;
	int			dim_b;
	int			dim;
	ArrayType  *result;

	n = read_state_array(PG_GETARG_ARRAYTYPE_P(0), "vector_combine", &sum_a, &dim_a);
	n += read_state_array(PG_GETARG_ARRAYTYPE_P(1), "vector_combine", &sum_b, &dim_b);

	dim = dim_a > 0 ? dim_a : dim_b;
	if (dim > 0)
		vector_check_dim(dim);
	if (dim_a > 0 && dim_b > 0)
		vector_check_typmod(dim_a, dim_b);

	result = make_state_array(n, dim, &sum);
	for (int i = 0; i < dim; i++)
		sum[i] = (dim_a > 0 ? sum_a[i] : -0.0) + (dim_b > 0 ? sum_b[i] : -0.0);
	if (dim_a > 0 && dim_b > 0)
		check_sum(sum, dim);

	PG_RETURN_ARRAYTYPE_P(result);
}

/*
 * vector_avg(double precision[]) returns vector, or NULL for no vectors
 */
Datum
descartes_vector_avg(PG_FUNCTION_ARGS)
{
	const float8 *sum;
	float8		n;
	int			dim;

	n = read_state_array(PG_GETARG_ARRAYTYPE_P(0), "vector_avg", &sum, &dim);
	if (n == 0)
		PG_RETURN_NULL();

	PG_RETURN_VECTOR_P(average(sum, n, dim));
}
