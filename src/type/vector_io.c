/*-------------------------------------------------------------------------
 *
 * vector_io.c
 *	  The type "vector": text and binary input and output, type modifier.
 *
 * Text is "[1,2,3]"; the parser and the printer are in textio.c.  The binary
 * format is pgvector's: uint16 dimensions, uint16 zero, then the elements as
 * float4, all in network byte order.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "utils/array.h"

#include "textio.h"
#include "vector.h"

PG_FUNCTION_INFO_V1(descartes_vector_in);
PG_FUNCTION_INFO_V1(descartes_vector_out);
PG_FUNCTION_INFO_V1(descartes_vector_recv);
PG_FUNCTION_INFO_V1(descartes_vector_send);
PG_FUNCTION_INFO_V1(descartes_vector_typmod_in);

#define SYNTAX_HINT	"Write a vector as numbers in square brackets, like \"[1,2.5,-3e-2]\"."

/*
 * Reports a text that is not of a vector's form.
 */
static void
syntax_error(struct Node *context, const char *text, TextioStatus status,
			 const TextioError *error)
{
	int			position = (int) error->position + 1;
	const char *found = text + error->position;

	errsave(context,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid input syntax for type vector: \"%s\"", text),
			 status == TEXTIO_NO_BRACKET ?
			 errdetail("Vector contents must start with \"[\".") :
			 status == TEXTIO_JUNK ?
			 errdetail("Junk after closing right brace.") :
			 status == TEXTIO_END ?
			 errdetail("Unexpected end of input at position %d, in element %u.",
					   position, error->element) :
			 errdetail("Unexpected \"%.*s\" at position %d, in element %u.",
					   pg_mblen(found), found, position, error->element),
			 status == TEXTIO_JUNK ?
			 errhint("Remove the text from position %d on.", position) :
			 errhint(SYNTAX_HINT)));
}

/*
 * Reports a vector of the right form with a value or a size that cannot be.
 */
static void
value_error(struct Node *context, const char *text, TextioStatus status,
			const TextioError *error)
{
	int			position = (int) error->position + 1;

	switch (status)
	{
		case TEXTIO_EMPTY:
			errsave(context,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("vector must have at least 1 dimension"),
					 errdetail("Found \"]\" at position %d.", position),
					 errhint(SYNTAX_HINT)));
			break;
		case TEXTIO_TOO_MANY:
			errsave(context,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("vector cannot have more than %d dimensions",
							VECTOR_MAX_DIM),
					 errdetail("Element %u is at position %d.",
							   error->element, position)));
			break;
		case TEXTIO_RANGE:
			errsave(context,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("\"%.*s\" is out of range for type vector",
							(int) error->length, text + error->position),
					 errdetail("Element %u is at position %d.",
							   error->element, position),
					 errhint("Magnitudes up to 3.4028235e+38 are possible.")));
			break;
		case TEXTIO_NAN:
		case TEXTIO_INFINITE:
			errsave(context,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 status == TEXTIO_NAN ?
					 errmsg("NaN not allowed in vector") :
					 errmsg("infinite value not allowed in vector"),
					 errdetail("Element %u is at position %d.",
							   error->element, position),
					 errhint("Elements must be finite numbers.")));
			break;
		default:
			elog(ERROR, "unexpected parser status %d", (int) status);
	}
}

/*
 * vector_in(cstring, oid, integer) returns vector
 */
Datum
descartes_vector_in(PG_FUNCTION_ARGS)
{
	char	   *text = PG_GETARG_CSTRING(0);
	int32		typmod = PG_GETARG_INT32(2);
	Size		length = strlen(text);
	Size		capacity = Min(TEXTIO_MAX_ELEMENTS(length), VECTOR_MAX_DIM);
	Vector	   *result = (Vector *) palloc(VECTOR_SIZE(capacity));
	uint32		dim;
	TextioError error;
	TextioStatus status;

	status = textio_parse_dense(text, length, (uint32) capacity, result->x,
								&dim, &error);
	if (unlikely(status != TEXTIO_OK))
	{
		pfree(result);
		if (status == TEXTIO_NO_BRACKET || status == TEXTIO_UNEXPECTED ||
			status == TEXTIO_END || status == TEXTIO_JUNK)
			syntax_error(fcinfo->context, text, status, &error);
		else
			value_error(fcinfo->context, text, status, &error);
		PG_RETURN_NULL();
	}

	if (typmod != -1 && typmod != (int32) dim)
	{
		pfree(result);
		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected %d dimensions, not %d", typmod, (int) dim)));
	}

	/* give back what the text's length made us take too much */
	if (dim < capacity)
		result = (Vector *) repalloc(result, VECTOR_SIZE(dim));
	SET_VARSIZE(result, VECTOR_SIZE(dim));
	result->dim = (uint16) dim;
	result->unused = 0;

	PG_RETURN_VECTOR_P(result);
}

/*
 * vector_out(vector) returns cstring
 */
Datum
descartes_vector_out(PG_FUNCTION_ARGS)
{
	const Vector *vector = PG_GETARG_VECTOR_P(0);
	char	   *text = (char *) palloc(TEXTIO_PRINT_SIZE(vector->dim));

	textio_print_dense(vector->x, vector->dim, text);

	PG_RETURN_CSTRING(text);
}

/*
 * Copies n elements between host and network byte order.
 */
static inline void
copy_network_order(void *to, const void *from, int n)
{
#ifdef WORDS_BIGENDIAN
	memcpy(to, from, sizeof(float) * (Size) n);
#else
	for (int i = 0; i < n; i++)
	{
		uint32		element;

		memcpy(&element, (const char *) from + sizeof(element) * (Size) i, sizeof(element));
		element = pg_bswap32(element);
		memcpy((char *) to + sizeof(element) * (Size) i, &element, sizeof(element));
	}
#endif
}

/*
 * vector_recv(internal, oid, integer) returns vector
 */
Datum
descartes_vector_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int32		typmod = PG_GETARG_INT32(2);
	int			dim = (int) pq_getmsgint(buf, sizeof(uint16));
	int			unused = (int) pq_getmsgint(buf, sizeof(uint16));
	const char *elements;
	Vector	   *result;

	vector_check_dim(dim);
	vector_check_typmod(typmod, dim);

	if (unused != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected unused to be 0, not %d", unused)));

	elements = pq_getmsgbytes(buf, dim * (int) sizeof(float));
	result = vector_alloc(dim);
	copy_network_order(result->x, elements, dim);
	vector_check_finite(result);

	PG_RETURN_VECTOR_P(result);
}

/*
 * vector_send(vector) returns bytea
 */
Datum
descartes_vector_send(PG_FUNCTION_ARGS)
{
	const Vector *vector = PG_GETARG_VECTOR_P(0);
	int			nbytes = vector->dim * (int) sizeof(float);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendint16(&buf, vector->dim);
	pq_sendint16(&buf, vector->unused);
	enlargeStringInfo(&buf, nbytes);
	copy_network_order(buf.data + buf.len, vector->x, vector->dim);
	buf.len += nbytes;

	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/*
 * vector_typmod_in(cstring[]) returns integer: the number of dimensions
 */
Datum
descartes_vector_typmod_in(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	int		   *typmods;
	int			n;

	typmods = ArrayGetIntegerTypmods(array, &n);

	if (n != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid type modifier")));

	if (typmods[0] < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions for type vector must be at least 1")));

	if (typmods[0] > VECTOR_MAX_DIM)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions for type vector cannot exceed %d",
						VECTOR_MAX_DIM)));

	PG_RETURN_INT32(typmods[0]);
}
