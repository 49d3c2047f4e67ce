/*-------------------------------------------------------------------------
 *
 * vector.c
 *	  The type "vector": allocation, and the checks that all its functions
 *	  share.
 *
 * The primary messages are pgvector's, to the letter: applications match on
 * them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "vector.h"

/*
 * vector_size_error reports a stored value whose size and dimensions do not
 * agree: reading it would run over its end.
 */
void
vector_size_error(const Vector *vector)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("invalid vector: %zu bytes with %d dimensions",
					(Size) VARSIZE(vector), vector->dim)));
}

/*
 * vector_alloc returns a vector of dim zeros in the current memory context.
 * dim is from 1 to VECTOR_MAX_DIM: see vector_check_dim.
 */
Vector *
vector_alloc(int dim)
{
	Size		size = VECTOR_SIZE(dim);
	Vector	   *result;

	Assert(dim >= 1 && dim <= VECTOR_MAX_DIM);

	result = (Vector *) palloc0(size);
	SET_VARSIZE(result, size);
	result->dim = (uint16) dim;

	return result;
}

/*
 * vector_check_dim throws unless a vector can have dim dimensions.
 */
void
vector_check_dim(int dim)
{
	if (dim < 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("vector must have at least 1 dimension")));

	if (dim > VECTOR_MAX_DIM)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("vector cannot have more than %d dimensions",
						VECTOR_MAX_DIM)));
}

/*
 * vector_check_typmod throws unless a column of type vector(typmod) takes dim
 * dimensions; -1 takes any.
 */
void
vector_check_typmod(int32 typmod, int dim)
{
	if (typmod != -1 && typmod != dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected %d dimensions, not %d", typmod, dim)));
}

/*
 * vector_check_same_dim throws unless a and b have as many dimensions.
 */
void
vector_check_same_dim(const Vector *a, const Vector *b)
{
	if (a->dim != b->dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different vector dimensions %d and %d",
						a->dim, b->dim)));
}

/*
 * vector_all_finite tells whether no element is NaN or infinite.
 */
bool
vector_all_finite(const float *x, int dim)
{
	bool		finite = true;

	/* no early exit, so that the compiler can vectorize */
	for (int i = 0; i < dim; i++)
		finite &= fabsf(x[i]) <= FLT_MAX;

	return finite;
}

/*
 * vector_check_finite throws if an element is NaN or infinite, and tells
 * which.
 */
void
vector_check_finite(const Vector *vector)
{
	if (likely(vector_all_finite(vector->x, vector->dim)))
		return;

	for (int i = 0; i < vector->dim; i++)
	{
		if (isnan(vector->x[i]))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("NaN not allowed in vector"),
					 errdetail("Element %d is NaN.", i + 1)));
		if (isinf(vector->x[i]))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("infinite value not allowed in vector"),
					 errdetail("Element %d is infinite.", i + 1)));
	}
}
