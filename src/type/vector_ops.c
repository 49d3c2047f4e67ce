/*-------------------------------------------------------------------------
 *
 * vector_ops.c
 *	  The type "vector": distances, arithmetic and other functions.
 *
 * Distances are float sums (distance/) turned into float8; an overflow of the
 * sum is an infinite distance.  Arithmetic whose result does not fit a float
 * is an error, as it is for float4: a vector never holds NaN or infinity.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "utils/float.h"
#include "utils/varbit.h"

#include "../distance/distance.h"
#include "detoast.h"
#include "vector.h"

PG_FUNCTION_INFO_V1(descartes_vector_l2_distance);
PG_FUNCTION_INFO_V1(descartes_vector_l2_squared_distance);
PG_FUNCTION_INFO_V1(descartes_vector_inner_product);
PG_FUNCTION_INFO_V1(descartes_vector_negative_inner_product);
PG_FUNCTION_INFO_V1(descartes_vector_cosine_distance);
PG_FUNCTION_INFO_V1(descartes_vector_spherical_distance);
PG_FUNCTION_INFO_V1(descartes_vector_l1_distance);
PG_FUNCTION_INFO_V1(descartes_vector_dims);
PG_FUNCTION_INFO_V1(descartes_vector_norm);
PG_FUNCTION_INFO_V1(descartes_vector_l2_normalize);
PG_FUNCTION_INFO_V1(descartes_vector_add);
PG_FUNCTION_INFO_V1(descartes_vector_sub);
PG_FUNCTION_INFO_V1(descartes_vector_mul);
PG_FUNCTION_INFO_V1(descartes_vector_mul_scalar);
PG_FUNCTION_INFO_V1(descartes_scalar_mul_vector);
PG_FUNCTION_INFO_V1(descartes_vector_div_scalar);
PG_FUNCTION_INFO_V1(descartes_vector_concat);
PG_FUNCTION_INFO_V1(descartes_vector_binary_quantize);
PG_FUNCTION_INFO_V1(descartes_vector_subvector);

/* ------------------------------------------------------------------------
 * Distances
 * ------------------------------------------------------------------------
 */

/*
 * Fetches the two vectors of a distance function; see detoast.c for how long
 * they are good.
 */
static inline void
get_distance_args(FunctionCallInfo fcinfo, const Vector **a, const Vector **b)
{
	*a = vector_checked((const Vector *) detoast_argument(fcinfo, 0));
	*b = vector_checked((const Vector *) detoast_argument(fcinfo, 1));
	vector_check_same_dim(*a, *b);
}

/*
 * l2_distance(vector, vector) returns float8: |a - b|, operator <->
 */
Datum
descartes_vector_l2_distance(PG_FUNCTION_ARGS)
{
	const Vector *a;
	const Vector *b;

	get_distance_args(fcinfo, &a, &b);
	PG_RETURN_FLOAT8(sqrt((double) distance_kernels()->l2_squared(a->dim, a->x, b->x)));
}

/*
 * vector_l2_squared_distance(vector, vector) returns float8: |a - b|^2
 */
Datum
descartes_vector_l2_squared_distance(PG_FUNCTION_ARGS)
{
	const Vector *a;
	const Vector *b;

	get_distance_args(fcinfo, &a, &b);
	PG_RETURN_FLOAT8((double) distance_kernels()->l2_squared(a->dim, a->x, b->x));
}

/*
 * inner_product(vector, vector) returns float8: <a, b>
 */
Datum
descartes_vector_inner_product(PG_FUNCTION_ARGS)
{
	const Vector *a;
	const Vector *b;

	get_distance_args(fcinfo, &a, &b);
	PG_RETURN_FLOAT8((double) distance_kernels()->dot(a->dim, a->x, b->x));
}

/*
 * vector_negative_inner_product(vector, vector) returns float8: -<a, b>,
 * operator <#>
 */
Datum
descartes_vector_negative_inner_product(PG_FUNCTION_ARGS)
{
	const Vector *a;
	const Vector *b;

	get_distance_args(fcinfo, &a, &b);
	PG_RETURN_FLOAT8((double) -distance_kernels()->dot(a->dim, a->x, b->x));
}

/*
 * cosine_distance(vector, vector) returns float8: 1 - <a, b> / (|a| |b|),
 * operator <=>; NaN if a or b is zero
 */
Datum
descartes_vector_cosine_distance(PG_FUNCTION_ARGS)
{
	const Vector *a;
	const Vector *b;

	get_distance_args(fcinfo, &a, &b);
	PG_RETURN_FLOAT8(distance_kernels()->cosine(a->dim, a->x, b->x));
}

/*
 * vector_spherical_distance(vector, vector) returns float8: the angle between
 * two vectors of length 1, in units of pi
 */
Datum
descartes_vector_spherical_distance(PG_FUNCTION_ARGS)
{
	const Vector *a;
	const Vector *b;
	double		cosine;

	get_distance_args(fcinfo, &a, &b);
	cosine = (double) distance_kernels()->dot(a->dim, a->x, b->x);

	/* rounding must not make acos answer NaN */
	cosine = Max(-1.0, Min(1.0, cosine));

	PG_RETURN_FLOAT8(acos(cosine) / M_PI);
}

/*
 * l1_distance(vector, vector) returns float8: sum |a - b|, operator <+>
 */
Datum
descartes_vector_l1_distance(PG_FUNCTION_ARGS)
{
	const Vector *a;
	const Vector *b;

	get_distance_args(fcinfo, &a, &b);
	PG_RETURN_FLOAT8((double) distance_kernels()->l1(a->dim, a->x, b->x));
}

/* ------------------------------------------------------------------------
 * Arithmetic
 * ------------------------------------------------------------------------
 */

/*
 * Throws if arithmetic has left a value that is not finite.
 */
static inline void
check_overflow(const Vector *result)
{
	if (unlikely(!vector_all_finite(result->x, result->dim)))
		float_overflow_error();
}

/*
 * vector_add(vector, vector) returns vector: element by element
 *
 * This is also the transition function of sum(vector), and adds to the
 * running sum in place then.
 */
Datum
descartes_vector_add(PG_FUNCTION_ARGS)
{
	const Vector *a = PG_GETARG_VECTOR_P(0);
	const Vector *b = PG_GETARG_VECTOR_P(1);
	Vector	   *result;

	vector_check_same_dim(a, b);

	/* a first value that came toasted or packed is not to be written to */
	if (AggCheckCallContext(fcinfo, NULL) &&
		!VARATT_IS_EXTENDED(PG_GETARG_POINTER(0)))
		result = (Vector *) PG_GETARG_POINTER(0);
	else
		result = vector_alloc(a->dim);

	for (int i = 0; i < a->dim; i++)
		result->x[i] = a->x[i] + b->x[i];
	check_overflow(result);

	PG_RETURN_VECTOR_P(result);
}

/*
 * vector_sub(vector, vector) returns vector: element by element
 */
Datum
descartes_vector_sub(PG_FUNCTION_ARGS)
{
	const Vector *a = PG_GETARG_VECTOR_P(0);
	const Vector *b = PG_GETARG_VECTOR_P(1);
	Vector	   *result;

	vector_check_same_dim(a, b);

	result = vector_alloc(a->dim);
	for (int i = 0; i < a->dim; i++)
		result->x[i] = a->x[i] - b->x[i];
	check_overflow(result);

	PG_RETURN_VECTOR_P(result);
}

/*
 * vector_mul(vector, vector) returns vector: element by element
 */
Datum
descartes_vector_mul(PG_FUNCTION_ARGS)
{
	const Vector *a = PG_GETARG_VECTOR_P(0);
	const Vector *b = PG_GETARG_VECTOR_P(1);
	Vector	   *result;
	bool		underflow = false;

	vector_check_same_dim(a, b);

	result = vector_alloc(a->dim);
	for (int i = 0; i < a->dim; i++)
	{
		result->x[i] = a->x[i] * b->x[i];
		underflow |= result->x[i] == 0 && a->x[i] != 0 && b->x[i] != 0;
	}
	check_overflow(result);
	if (unlikely(underflow))
		float_underflow_error();

	PG_RETURN_VECTOR_P(result);
}

/*
 * Throws unless scalar is a number that a vector can be multiplied with.
 */
static void
check_scalar(double scalar)
{
	if (isnan(scalar))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("NaN not allowed in vector arithmetic")));
	if (isinf(scalar))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("infinite value not allowed in vector arithmetic")));
}

/*
 * Throws if scaling a has left a value out of range in result.
 */
static void
check_scaled(const Vector *a, const Vector *result)
{
	bool		underflow = false;

	check_overflow(result);
	for (int i = 0; i < a->dim; i++)
		underflow |= result->x[i] == 0 && a->x[i] != 0;
	if (unlikely(underflow))
		float_underflow_error();
}

/*
 * Multiplies every element, in double, rounding once.
 */
static Vector *
multiply_scalar(const Vector *a, double scalar)
{
	Vector	   *result;

	check_scalar(scalar);

	result = vector_alloc(a->dim);
	for (int i = 0; i < a->dim; i++)
		result->x[i] = (float) ((double) a->x[i] * scalar);
	if (scalar != 0)
		check_scaled(a, result);

	return result;
}

/*
 * vector_mul_scalar(vector, float8) returns vector
 */
Datum
descartes_vector_mul_scalar(PG_FUNCTION_ARGS)
{
	PG_RETURN_VECTOR_P(multiply_scalar(PG_GETARG_VECTOR_P(0),
									   PG_GETARG_FLOAT8(1)));
}

/*
 * scalar_mul_vector(float8, vector) returns vector
 */
Datum
descartes_scalar_mul_vector(PG_FUNCTION_ARGS)
{
	PG_RETURN_VECTOR_P(multiply_scalar(PG_GETARG_VECTOR_P(1),
									   PG_GETARG_FLOAT8(0)));
}

/*
 * vector_div_scalar(vector, float8) returns vector
 */
Datum
descartes_vector_div_scalar(PG_FUNCTION_ARGS)
{
	const Vector *a = PG_GETARG_VECTOR_P(0);
	double		scalar = PG_GETARG_FLOAT8(1);
	Vector	   *result;

	check_scalar(scalar);
	if (scalar == 0)
		float_zero_divide_error();

	result = vector_alloc(a->dim);
	for (int i = 0; i < a->dim; i++)
		result->x[i] = (float) ((double) a->x[i] / scalar);
	check_scaled(a, result);

	PG_RETURN_VECTOR_P(result);
}

/* ------------------------------------------------------------------------
 * Other functions
 * ------------------------------------------------------------------------
 */

/*
 * vector_dims(vector) returns integer
 *
 * Reads no more than the header: a vector out of line stays there.
 */
Datum
descartes_vector_dims(PG_FUNCTION_ARGS)
{
	const Vector *head = (const Vector *)
	PG_DETOAST_DATUM_SLICE(PG_GETARG_DATUM(0), 0, sizeof(head->dim));

	PG_RETURN_INT32(head->dim);
}

/*
 * vector_norm(vector) returns float8: the Euclidean norm
 */
Datum
descartes_vector_norm(PG_FUNCTION_ARGS)
{
	const Vector *a = PG_GETARG_VECTOR_P(0);

	PG_RETURN_FLOAT8(distance_kernels()->norm(a->dim, a->x));
}

/*
 * l2_normalize(vector) returns vector: a / |a|, or zero if a is zero
 */
Datum
descartes_vector_l2_normalize(PG_FUNCTION_ARGS)
{
	const Vector *a = PG_GETARG_VECTOR_P(0);
	double		norm = distance_kernels()->norm(a->dim, a->x);
	Vector	   *result = vector_alloc(a->dim);

	if (norm > 0)
	{
		for (int i = 0; i < a->dim; i++)
			result->x[i] = (float) (a->x[i] / norm);
		check_overflow(result);
	}

	PG_RETURN_VECTOR_P(result);
}

/*
 * vector_concat(vector, vector) returns vector: the elements of a, then of b
 */
Datum
descartes_vector_concat(PG_FUNCTION_ARGS)
{
	const Vector *a = PG_GETARG_VECTOR_P(0);
	const Vector *b = PG_GETARG_VECTOR_P(1);
	int			dim = a->dim + b->dim;
	Vector	   *result;

	vector_check_dim(dim);

	result = vector_alloc(dim);
	memcpy(result->x, a->x, sizeof(float) * a->dim);
	memcpy(result->x + a->dim, b->x, sizeof(float) * b->dim);

	PG_RETURN_VECTOR_P(result);
}

/*
 * binary_quantize(vector) returns bit: 1 for every element above zero
 */
Datum
descartes_vector_binary_quantize(PG_FUNCTION_ARGS)
{
	const Vector *a = PG_GETARG_VECTOR_P(0);
	int			size = VARBITTOTALLEN(a->dim);
	VarBit	   *result = (VarBit *) palloc0(size);
	bits8	   *bits = VARBITS(result);

	SET_VARSIZE(result, size);
	VARBITLEN(result) = a->dim;
	for (int i = 0; i < a->dim; i++)
		bits[i / BITS_PER_BYTE] |= (a->x[i] > 0) << (BITS_PER_BYTE - 1 - i % BITS_PER_BYTE);

	PG_RETURN_VARBIT_P(result);
}

/*
 * subvector(vector, start integer, count integer) returns vector
 *
 * Like substring: positions count from 1, and what lies outside of the vector
 * is left out.
 */
Datum
descartes_vector_subvector(PG_FUNCTION_ARGS)
{
	const Vector *a = PG_GETARG_VECTOR_P(0);
	int64		start = PG_GETARG_INT32(1);
	int64		count = PG_GETARG_INT32(2);
	int64		first = Max(start, 1);
	int64		end = Min(start + count, (int64) a->dim + 1);
	Vector	   *result;

	vector_check_dim((int) Max(end - first, 0));

	result = vector_alloc((int) (end - first));
	memcpy(result->x, a->x + (first - 1), sizeof(float) * (Size) (end - first));

	PG_RETURN_VECTOR_P(result);
}
