/*-------------------------------------------------------------------------
 *
 * transform_template.h
 *	  The kernels of transform.h, written once over a vector of some lanes.
 *
 * The file of an instruction set defines a vector type and its primitives,
 * includes this file, and gets all kernels and their table.  It defines:
 *
 *	TRANSFORM_PREFIX	prefix of all names: scalar, avx2, ...
 *	TRANSFORM_TARGET	function attribute of the instruction set, or nothing
 *
 *	Vec, VEC_LANES		a vector of VEC_LANES float32: 1, 4, 8 or 16
 *	vec_load(p), vec_store(p, v)	any alignment
 *	vec_add(a, b), vec_sub(a, b), vec_scale(a, float)
 *	vec_flip(v, signs, i)	v with lane l negated where bit i + l of the array
 *						signs is set; i is a multiple of VEC_LANES
 *	vec_hadamard(v)		Hadamard transform within the vector, strides 1, 2, ..
 *	vec_grid(t, limit)	floor(t) + 1/2, clamped to [-limit, limit]
 *	vec_store_codes(u, x, limit)	x + limit as VEC_LANES bytes
 *
 *	Wide				VEC_LANES partial sums in double
 *	wide_zero()
 *	wide_add_product(w, a, b)	w + a * b, lane by lane
 *	wide_total(sums)	of all 16 partial sums, which are the lanes of the array
 *						sums: upper half added to lower half, until one is left
 *
 *-------------------------------------------------------------------------
 */

#define TRANSFORM_TABLE		CODE_JOIN(code_transform, TRANSFORM_PREFIX)
#define TRANSFORM_INLINE	TRANSFORM_TARGET static inline CODE_ALWAYS_INLINE

/* vectors of the 16 partial sums */
#define TRANSFORM_SUMS		(16 / VEC_LANES)

TRANSFORM_TARGET static void
TRANSFORM(flip) (uint32_t n, float *v, const uint8_t *signs, float scale)
{
	uint32_t	i;

	for (i = 0; i < n; i += VEC_LANES)
		vec_store(v + i, vec_scale(vec_flip(vec_load(v + i), signs, i),
								   scale));
}

/* Butterflies of stride h and, with four vectors, of stride 2h. */
TRANSFORM_INLINE void
TRANSFORM(butterfly2) (Vec *a, Vec *b)
{
	Vec			sum = vec_add(*a, *b);

	*b = vec_sub(*a, *b);
	*a = sum;
}

TRANSFORM_INLINE void
TRANSFORM(butterfly4) (Vec *v)
{
	TRANSFORM(butterfly2) (&v[0], &v[1]);
	TRANSFORM(butterfly2) (&v[2], &v[3]);
	TRANSFORM(butterfly2) (&v[0], &v[2]);
	TRANSFORM(butterfly2) (&v[1], &v[3]);
}

/*
 * Strides go up from 1, two at a time once they exceed a vector, so that
 * every level adds in the same order.
 */
TRANSFORM_TARGET static void
TRANSFORM(hadamard) (uint32_t n, float *v)
{
	uint32_t	h = VEC_LANES;
	uint32_t	i;
	uint32_t	j;
	Vec			part[4];

	if (n >= 4 * VEC_LANES)
	{
		for (i = 0; i < n; i += 4 * VEC_LANES)
		{
			code_for(k, 4)
			{
				part[k] = vec_hadamard(vec_load(v + i + k * VEC_LANES));
			}
			TRANSFORM(butterfly4) (part);
			code_for(k, 4)
			{
				vec_store(v + i + k * VEC_LANES, part[k]);
			}
		}
		h = 4 * VEC_LANES;
	}
	else
	{
		for (i = 0; i < n; i += VEC_LANES)
			vec_store(v + i, vec_hadamard(vec_load(v + i)));
	}

	for (; 4 * h <= n; h *= 4)
		for (i = 0; i < n; i += 4 * h)
			for (j = i; j < i + h; j += VEC_LANES)
			{
				code_for(k, 4)
				{
					part[k] = vec_load(v + j + k * h);
				}
				TRANSFORM(butterfly4) (part);
				code_for(k, 4)
				{
					vec_store(v + j + k * h, part[k]);
				}
			}

	if (h < n)
		for (j = 0; j < h; j += VEC_LANES)
		{
			part[0] = vec_load(v + j);
			part[1] = vec_load(v + j + h);
			TRANSFORM(butterfly2) (&part[0], &part[1]);
			vec_store(v + j, part[0]);
			vec_store(v + j + h, part[1]);
		}
}

TRANSFORM_TARGET static void
TRANSFORM(givens) (uint32_t half, float *v)
{
	uint32_t	i;

	for (i = 0; i + VEC_LANES <= half; i += VEC_LANES)
	{
		Vec			a = vec_load(v + i);
		Vec			b = vec_load(v + i + half);

		TRANSFORM(butterfly2) (&a, &b);
		vec_store(v + i, a);
		vec_store(v + i + half, b);
	}
	for (; i < half; i++)
	{
		float		a = v[i];
		float		b = v[i + half];

		v[i] = a + b;
		v[i + half] = a - b;
	}
}

TRANSFORM_TARGET static void
TRANSFORM(residual) (uint32_t n, const float *c, const float *o,
					 double *rr, double *rc)
{
	Wide		rr_sum[TRANSFORM_SUMS];
	Wide		rc_sum[TRANSFORM_SUMS];
	uint32_t	i;

	code_for(k, TRANSFORM_SUMS)
	{
		rr_sum[k] = rc_sum[k] = wide_zero();
	}

	for (i = 0; i < n; i += 16)
	{
		code_for(k, TRANSFORM_SUMS)
		{
			Vec			from = vec_load(c + i + k * VEC_LANES);
			Vec			r = vec_sub(vec_load(o + i + k * VEC_LANES), from);

			rr_sum[k] = wide_add_product(rr_sum[k], r, r);
			rc_sum[k] = wide_add_product(rc_sum[k], r, from);
		}
	}
	*rr = wide_total(rr_sum);
	*rc = wide_total(rc_sum);
}

/* bits is a constant wherever this is inlined. */
TRANSFORM_INLINE void
TRANSFORM(quantize_bits) (uint32_t bits, uint32_t n, float inverse_step,
						  const float *c, const float *o,
						  uint8_t *row, double *xr, double *xc)
{
	const float limit = (float) ((1 << bits) - 1) / 2;
	Wide		xr_sum[TRANSFORM_SUMS];
	Wide		xc_sum[TRANSFORM_SUMS];
	uint32_t	i;

	code_for(k, TRANSFORM_SUMS)
	{
		xr_sum[k] = xc_sum[k] = wide_zero();
	}

	for (i = 0; i < n; i += 16)
	{
		uint8_t		u[16];

		code_for(k, TRANSFORM_SUMS)
		{
			Vec			from = vec_load(c + i + k * VEC_LANES);
			Vec			r = vec_sub(vec_load(o + i + k * VEC_LANES), from);
			Vec			x = vec_grid(vec_scale(r, inverse_step), limit);

			xr_sum[k] = wide_add_product(xr_sum[k], x, r);
			xc_sum[k] = wide_add_product(xc_sum[k], x, from);
			vec_store_codes(u + k * VEC_LANES, x, limit);
		}
		code_pack8(bits, u, row);
		code_pack8(bits, u + 8, row + bits);
		row += 2 * bits;
	}
	*xr = wide_total(xr_sum);
	*xc = wide_total(xc_sum);
}

TRANSFORM_TARGET static void
TRANSFORM(quantize) (uint32_t bits, uint32_t n, float inverse_step,
					 const float *c, const float *o,
					 uint8_t *row, double *xr, double *xc)
{
#define QUANTIZE(bits) \
	TRANSFORM(quantize_bits) (bits, n, inverse_step, c, o, row, xr, xc)

	if (bits == 1)
		QUANTIZE(1);
	else if (bits == 2)
		QUANTIZE(2);
	else if (bits == 4)
		QUANTIZE(4);
	else
		QUANTIZE(8);

#undef QUANTIZE
}

const CodeTransform TRANSFORM_TABLE = {
	.flip = TRANSFORM(flip),
	.hadamard = TRANSFORM(hadamard),
	.givens = TRANSFORM(givens),
	.residual = TRANSFORM(residual),
	.quantize = TRANSFORM(quantize)
};
