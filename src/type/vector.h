/*-------------------------------------------------------------------------
 *
 * vector.h
 *	  The type "vector": layout and access.
 *
 * Files: vector.c (allocation and checks), vector_io.c (input and output),
 * vector_ops.c (distances, arithmetic and other functions), vector_order.c
 * (comparison and hashing), vector_cast.c, vector_agg.c, vector_analyze.c
 * (statistics), vector_support.c (costs).
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_VECTOR_H
#define DESCARTES_VECTOR_H

#include "fmgr.h"

#include "../compat.h"

#define VECTOR_MAX_DIM		65535

/*
 * A vector as it is in memory and, unless it has a short header, on disk.
 * All elements are finite.  The layout is pgvector's; dim is unsigned here.
 */
typedef struct Vector
{
	int32		vl_len_;		/* varlena header (do not touch directly!) */
	uint16		dim;			/* number of dimensions, at least 1 */
	uint16		unused;			/* always zero */
	float		x[FLEXIBLE_ARRAY_MEMBER];
} Vector;

#define VECTOR_SIZE(dim)	(offsetof(Vector, x) + sizeof(float) * (Size) (dim))

/* Stops unless the size of a detoasted vector is that of its dimensions. */
pg_noreturn extern void vector_size_error(const Vector *vector);

static inline const Vector *
vector_checked(const Vector *vector)
{
	if (unlikely(VARSIZE(vector) != VECTOR_SIZE(vector->dim)))
		vector_size_error(vector);
	return vector;
}

#define DatumGetVectorP(datum) \
	vector_checked((const Vector *) PG_DETOAST_DATUM(datum))
#define PG_GETARG_VECTOR_P(n)	DatumGetVectorP(PG_GETARG_DATUM(n))
#define PG_RETURN_VECTOR_P(vector)	PG_RETURN_POINTER(vector)

/* vector.c */
extern Vector *vector_alloc(int dim);
extern void vector_check_dim(int dim);
extern void vector_check_typmod(int32 typmod, int dim);
extern void vector_check_same_dim(const Vector *a, const Vector *b);
extern void vector_check_finite(const Vector *vector);
extern bool vector_all_finite(const float *x, int dim);

/* vector_order.c */
extern int	vector_compare(const Vector *a, const Vector *b);

#endif							/* DESCARTES_VECTOR_H */
