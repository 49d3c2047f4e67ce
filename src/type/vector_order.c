/*-------------------------------------------------------------------------
 *
 * vector_order.c
 *	  The type "vector": comparison and hashing.
 *
 * Vectors are ordered like arrays: by the first element that differs, then by
 * the number of dimensions.  0 and -0 are equal, so equal vectors may print
 * differently, and hashing has to take the one for the other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"

#include "vector.h"

PG_FUNCTION_INFO_V1(descartes_vector_lt);
PG_FUNCTION_INFO_V1(descartes_vector_le);
PG_FUNCTION_INFO_V1(descartes_vector_eq);
PG_FUNCTION_INFO_V1(descartes_vector_ne);
PG_FUNCTION_INFO_V1(descartes_vector_ge);
PG_FUNCTION_INFO_V1(descartes_vector_gt);
PG_FUNCTION_INFO_V1(descartes_vector_cmp);
PG_FUNCTION_INFO_V1(descartes_vector_hash);
PG_FUNCTION_INFO_V1(descartes_vector_hash_extended);

/*
 * vector_compare returns a number below, equal to or above zero as a is
 * before, equal to or after b.
 */
int
vector_compare(const Vector *a, const Vector *b)
{
	int			common = Min(a->dim, b->dim);

	for (int i = 0; i < common; i++)
	{
		if (a->x[i] < b->x[i])
			return -1;
		if (a->x[i] > b->x[i])
			return 1;
	}

	return (a->dim > b->dim) - (a->dim < b->dim);
}

/*
 * Compares the arguments of a function.  An index build calls it in a context
 * of long life, so copies are freed.
 */
static int
compare_args(FunctionCallInfo fcinfo)
{
	const Vector *a = PG_GETARG_VECTOR_P(0);
	const Vector *b = PG_GETARG_VECTOR_P(1);
	int			result = vector_compare(a, b);

	if ((Pointer) a != PG_GETARG_POINTER(0))
		pfree((void *) a);
	if ((Pointer) b != PG_GETARG_POINTER(1))
		pfree((void *) b);

	return result;
}

/*
 * vector_lt, _le, _eq, _ne, _ge, _gt(vector, vector) return boolean
 */
Datum
descartes_vector_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) < 0);
}

Datum
descartes_vector_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) <= 0);
}

Datum
descartes_vector_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) == 0);
}

Datum
descartes_vector_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) != 0);
}

Datum
descartes_vector_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) >= 0);
}

Datum
descartes_vector_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) > 0);
}

/*
 * vector_cmp(vector, vector) returns integer: -1, 0 or 1
 */
Datum
descartes_vector_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare_args(fcinfo));
}

/*
 * Hashes the elements, -0 as 0.
 */
static uint64
hash_elements(const Vector *vector, uint64 seed)
{
	Size		size = sizeof(float) * vector->dim;
	float	   *elements = (float *) palloc(size);
	uint64		hash;

	/* the sum of -0 and 0 is 0 */
	for (int i = 0; i < vector->dim; i++)
		elements[i] = vector->x[i] + 0.0f;

	hash = hash_bytes_extended((const unsigned char *) elements, (int) size, seed);
	pfree(elements);

	return hash;
}

/*
 * Hashes the first argument of a function; see compare_args for the copy.
 */
static uint64
hash_arg(FunctionCallInfo fcinfo, uint64 seed)
{
	const Vector *vector = PG_GETARG_VECTOR_P(0);
	uint64		hash = hash_elements(vector, seed);

	if ((Pointer) vector != PG_GETARG_POINTER(0))
		pfree((void *) vector);

	return hash;
}

/*
 * vector_hash(vector) returns integer
 *
 * The low half of the extended hash with seed 0, as hash support wants it.
 */
Datum
descartes_vector_hash(PG_FUNCTION_ARGS)
{
	PG_RETURN_UINT32((uint32) hash_arg(fcinfo, 0));
}

/*
 * vector_hash_extended(vector, bigint) returns bigint
 */
Datum
descartes_vector_hash_extended(PG_FUNCTION_ARGS)
{
	PG_RETURN_UINT64(hash_arg(fcinfo, (uint64) PG_GETARG_INT64(1)));
}
