/*-------------------------------------------------------------------------
 *
 * value.c
 *	  From an indexed datum to a point of coded space.
 *
 * A slot keeps the value as the heap has it.  Graph and codes live in a
 * space in which smaller L2 distance means a better answer (design.md
 * section 3):
 *
 *	L2				the vector itself
 *	cosine			the vector divided by its norm
 *	inner product	one more coordinate, sqrt(M^2 - |x|^2), so that all rows
 *					have norm M (Bachrach et al., RecSys 2014); a query has 0
 *					there.  A row longer than M gets 0 too: its edges are
 *					chosen a little worse, its distances stay exact.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "fmgr.h"
#include "fng.h"
#include "../type/vector.h"

/*
 * The operator class's description of itself, from its support function 1.
 */
const FngOpclass *
fng_opclass(Relation index)
{
	FmgrInfo   *info = index_getprocinfo(index, 1, 1);

	return (const FngOpclass *) DatumGetPointer(FunctionCall1(info, PointerGetDatum(NULL)));
}

/*
 * The floats of a non-NULL datum, detoasted if need be into the current
 * memory context.
 */
const float *
fng_value(const FngOpclass *opclass, Datum value, uint32 *dim)
{
	const Vector *vector = DatumGetVectorP(value);

	Assert(opclass->element == 1);
	*dim = vector->dim;
	return vector->x;
}

/*
 * True if the row is at distance NaN from every query, which keeps it out of
 * the graph.  The kernel sums squares in float32, so a vector whose squares
 * all underflow counts as zero, just as the operator sees it.
 */
bool
fng_value_is_odd(const FngLayout *layout, const float *value)
{
	return layout->metric == FNG_COSINE &&
		distance_kernels()->dot(layout->dim, value, value) == 0;
}

/* What the slot's aux field holds for this value. */
float
fng_aux(const FngMetaPageData *meta, const float *value)
{
	double		norm;

	if (meta->metric == FNG_L2)
		return 0;
	norm = distance_kernels()->norm(meta->dim, value);
	if (meta->metric == FNG_COSINE)
		return (float) Min(norm, FLT_MAX);
	return (float) sqrt(Max(0.0, (double) meta->ip_norm * meta->ip_norm - norm * norm));
}

/*
 * Write the point of coded space, before centring and rotation: code.dim
 * floats.  aux is the slot's, or 0 for a query under inner product.
 */
void
fng_coded_vector(const FngLayout *layout, const float *value, float aux, float *out)
{
	memcpy(out, value, layout->vector_bytes);
	if (layout->metric == FNG_IP)
		out[layout->dim] = aux;
	else if (layout->metric == FNG_COSINE)
	{
		double		norm = distance_kernels()->norm(layout->dim, value);

		for (uint32 i = 0; i < layout->dim; i++)
			out[i] = (float) (value[i] / norm);
	}
}

/*
 * Rotate and centre: code.rotdim floats, ready for code_encode and
 * code_query_init.
 */
void
fng_code_point(const FngIndex *index, const float *coded, float *out)
{
	code_rotate(index->rotation, coded, out);
	if (index->centre != NULL)
	{
		for (uint32 i = 0; i < index->layout.code.rotdim; i++)
			out[i] -= index->centre[i];
	}
}
