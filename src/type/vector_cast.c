/*-------------------------------------------------------------------------
 *
 * vector_cast.c
 *	  The type "vector": casts to itself, from arrays and to arrays.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"

#include "vector.h"

PG_FUNCTION_INFO_V1(descartes_vector_typmod);
PG_FUNCTION_INFO_V1(descartes_array_to_vector);
PG_FUNCTION_INFO_V1(descartes_vector_to_float4);

/*
 * vector(vector, integer, boolean) returns vector: checks the type modifier
 */
Datum
descartes_vector_typmod(PG_FUNCTION_ARGS)
{
	const Vector *vector = PG_GETARG_VECTOR_P(0);

	vector_check_typmod(PG_GETARG_INT32(1), vector->dim);

	PG_RETURN_VECTOR_P(vector);
}

/*
 * Converts the elements of a numeric array.
 */
static void
convert_numerics(ArrayType *array, int dim, float *x)
{
	Datum	   *elements;
	int			n;

	deconstruct_array(array, NUMERICOID, -1, false, TYPALIGN_INT,
					  &elements, NULL, &n);
	Assert(n == dim);

	for (int i = 0; i < dim; i++)
		x[i] = DatumGetFloat4(DirectFunctionCall1(numeric_float4, elements[i]));

	pfree(elements);
}

/*
 * array_to_vector(integer[] or real[] or double precision[] or numeric[],
 * integer, boolean) returns vector
 */
Datum
descartes_array_to_vector(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	int32		typmod = PG_GETARG_INT32(1);
	const void *elements;
	Vector	   *result;
	int			dim;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("array must be 1-D")));

	if (ARR_HASNULL(array) && array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array must not contain nulls")));

	dim = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	vector_check_dim(dim);
	vector_check_typmod(typmod, dim);

	/* elements of fixed size lie side by side if none of them is NULL */
	elements = ARR_DATA_PTR(array);
	result = vector_alloc(dim);
	switch (ARR_ELEMTYPE(array))
	{
		case INT4OID:
			for (int i = 0; i < dim; i++)
				result->x[i] = (float) ((const int32 *) elements)[i];
			break;
		case FLOAT4OID:
			memcpy(result->x, elements, sizeof(float4) * (Size) dim);
			break;
		case FLOAT8OID:
			for (int i = 0; i < dim; i++)
				result->x[i] = (float) ((const float8 *) elements)[i];
			break;
		case NUMERICOID:
			convert_numerics(array, dim, result->x);
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("unsupported array type")));
	}
	vector_check_finite(result);

	PG_RETURN_VECTOR_P(result);
}

/*
 * vector_to_float4(vector, integer, boolean) returns real[]
 */
Datum
descartes_vector_to_float4(PG_FUNCTION_ARGS)
{
	const Vector *vector = PG_GETARG_VECTOR_P(0);
	Size		size = ARR_OVERHEAD_NONULLS(1) + sizeof(float4) * vector->dim;
	ArrayType  *result = (ArrayType *) palloc0(size);

	SET_VARSIZE(result, size);
	result->ndim = 1;
	result->dataoffset = 0;		/* no NULLs */
	result->elemtype = FLOAT4OID;
	ARR_DIMS(result)[0] = vector->dim;
	ARR_LBOUND(result)[0] = 1;
	memcpy(ARR_DATA_PTR(result), vector->x, sizeof(float4) * vector->dim);

	PG_RETURN_ARRAYTYPE_P(result);
}
