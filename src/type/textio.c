/*-------------------------------------------------------------------------
 *
 * textio.c
 *	  Text form of vectors: a pure parser and a pure printer.
 *
 * The parser accepts what pgvector accepts: elements in the syntax of strtof,
 * white space around every token.  It is exact: each element is the float
 * nearest to the decimal number, as strtof rounds it (strtod and a cast would
 * round twice).  Nearly all elements take a fast path:
 *
 * Up to 19 significant digits are collected in a uint64 m, so that the value
 * is m * 10^e.  Converting m to double, the power of ten (exact up to 10^22)
 * and the multiplication or division each err by at most half a unit in the
 * last place, so the double d is less than 4 units away from the value.  A
 * float keeps 24 of the 53 bits of d.  Unless the 29 bits to be dropped are
 * within FAST_MARGIN units of one half, d and the value lie on the same side
 * of the midpoint between two floats, and rounding d gives the float nearest
 * to the value.  All else (midpoints, subnormal and huge numbers, longer
 * mantissas, hexadecimal, words) goes to strtof.  This is the idea of
 * Clinger's fast path (PLDI 1990), with an error bound instead of exactness.
 *
 * The printer gives the shortest decimal number that reads back as the same
 * float (Ryu, in the server's common library).
 *
 *-------------------------------------------------------------------------
 */
#include "textio.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/shortest_dec.h"

/* 10^19 - 1 is the largest number of nines below 2^64 */
#define FAST_MAX_DIGITS		19
#define FAST_MAX_POWER		64
#define FAST_MARGIN			8

#define DROPPED_BITS		29
#define DROPPED_HALF		(UINT64_C(1) << (DROPPED_BITS - 1))
#define DROPPED_MASK		((UINT64_C(1) << DROPPED_BITS) - 1)

static const double powers_of_ten[FAST_MAX_POWER + 1] = {
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9,
	1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
	1e20, 1e21, 1e22, 1e23, 1e24, 1e25, 1e26, 1e27, 1e28, 1e29,
	1e30, 1e31, 1e32, 1e33, 1e34, 1e35, 1e36, 1e37, 1e38, 1e39,
	1e40, 1e41, 1e42, 1e43, 1e44, 1e45, 1e46, 1e47, 1e48, 1e49,
	1e50, 1e51, 1e52, 1e53, 1e54, 1e55, 1e56, 1e57, 1e58, 1e59,
	1e60, 1e61, 1e62, 1e63, 1e64
};

/*
 * White space as scanner_isspace has it, whatever the locale.
 */
bool
textio_is_space(char ch)
{
	return ch == ' ' || (ch >= '\t' && ch <= '\r');
}

static inline const char *
skip_space(const char *p)
{
	while (textio_is_space(*p))
		p++;
	return p;
}

static inline bool
is_digit(char ch)
{
	return (unsigned char) (ch - '0') < 10;
}

/*
 * Reads eight digits at once, within a register (after Lemire, "Quickly
 * parsing eight digits", 2018); returns false if p has fewer.
 */
static inline bool
eight_digits(const char *p, const char *limit, uint32_t *value)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	uint64_t	chunk;

	if (limit - p < 8)
		return false;
	memcpy(&chunk, p, sizeof(chunk));

	/* every byte from 0 to 9, or a high bit is set in what follows */
	chunk -= UINT64_C(0x3030303030303030);
	if (((chunk | (chunk + UINT64_C(0x7676767676767676))) &
		 UINT64_C(0x8080808080808080)) != 0)
		return false;

	/* pairs, then fours and eight */
	chunk = chunk * 10 + (chunk >> 8);
	*value = (uint32_t)
		(((chunk & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x000f424000000064) +
		  ((chunk >> 16) & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x0000271000000001)) >> 32);
	return true;
#else
	return false;
#endif
}

/*
 * Appends the digits at p to *mantissa, modulo 2^64; returns what follows.
 * The text has a NUL at limit.
 */
static inline const char *
collect_digits(const char *p, const char *limit, uint64_t *mantissa)
{
	uint64_t	m = *mantissa;
	uint32_t	eight;

	for (; eight_digits(p, limit, &eight); p += 8)
		m = m * 100000000 + eight;
	for (; is_digit(*p); p++)
		m = m * 10 + (uint64_t) (*p - '0');
	*mantissa = m;
	return p;
}

/*
 * Of the digits (and at most one point) from p to end: the number without
 * leading zeros.
 */
static int
significant_digits(const char *p, const char *end)
{
	int			n = 0;

	for (; p < end && n <= FAST_MAX_DIGITS; p++)
	{
		if (is_digit(*p) && (n > 0 || *p != '0'))
			n++;
	}
	return n;
}

/*
 * Reads the exponent after an "e".  Returns what follows, or NULL if it is
 * none or out of the fast path's range by far.
 */
static inline const char *
collect_exponent(const char *p, int *exponent)
{
	bool		negative = false;
	const char *start;
	int			value = 0;

	if (*p == '-' || *p == '+')
		negative = *p++ == '-';
	for (start = p; is_digit(*p) && p - start < 4; p++)
		value = value * 10 + (*p - '0');
	if (p == start || is_digit(*p))
		return NULL;
	*exponent += negative ? -value : value;
	return p;
}

/*
 * Converts mantissa * 10^exponent if that is certain to be exact.
 */
static inline bool
convert_fast(uint64_t mantissa, int exponent, float *value)
{
	double		d = (double) mantissa;
	uint64_t	bits;

	if (mantissa == 0)
	{
		*value = 0;
		return true;
	}

	if (exponent < -FAST_MAX_POWER || exponent > FAST_MAX_POWER)
		return false;
	if (exponent < 0)
		d /= powers_of_ten[-exponent];
	else
		d *= powers_of_ten[exponent];

	if (d < (double) FLT_MIN || d > (double) FLT_MAX)
		return false;

	memcpy(&bits, &d, sizeof(bits));
	if ((bits & DROPPED_MASK) - (DROPPED_HALF - FAST_MARGIN) <= 2 * FAST_MARGIN)
		return false;

	*value = (float) d;
	return true;
}

/*
 * The fast path.  Returns what follows the number, or NULL if this is
 * something for strtof.
 */
static inline const char *
parse_fast(const char *p, const char *limit, float *value)
{
	bool		negative = false;
	uint64_t	mantissa = 0;
	int			exponent = 0;
	const char *digits;
	ptrdiff_t	ndigits;

	if (*p == '-' || *p == '+')
		negative = *p++ == '-';

	/* few digits before the point, by experience, and many after it */
	digits = p;
	p = collect_digits(p, p, &mantissa);
	ndigits = p - digits;
	if (*p == '.')
	{
		const char *fraction = p + 1;

		p = collect_digits(fraction, limit, &mantissa);
		ndigits += p - fraction;
		if (p - fraction > FAST_MAX_POWER)
			return NULL;
		exponent = -(int) (p - fraction);
	}
	if (ndigits == 0 ||
		(ndigits > FAST_MAX_DIGITS &&
		 significant_digits(digits, p) > FAST_MAX_DIGITS))
		return NULL;

	if (*p == 'e' || *p == 'E')
	{
		p = collect_exponent(p + 1, &exponent);
		if (p == NULL)
			return NULL;
	}

	/* anything else that follows may belong to strtof's longer syntax */
	if (*p != ',' && *p != ']' && *p != '\0' && !textio_is_space(*p))
		return NULL;

	if (!convert_fast(mantissa, exponent, value))
		return NULL;
	if (negative)
		*value = -*value;
	return p;
}

/*
 * Parses one number at text, which has a NUL at limit.  *end is set to what
 * follows the number.
 *
 * TEXTIO_UNEXPECTED means that no number starts here; *end is text then.
 * TEXTIO_RANGE, _NAN and _INFINITE set *end too.  Numbers too small for a
 * float become a subnormal or a zero, as float4in has it on most platforms.
 */
TextioStatus
textio_parse_float(const char *text, const char *limit, float *value,
				   const char **end)
{
	char	   *stop;
	float		result;
	int			save_errno;

	*end = parse_fast(text, limit, value);
	if (*end != NULL)
		return TEXTIO_OK;

	save_errno = errno;
	errno = 0;
	result = strtof(text, &stop);
	*end = stop;

	if (stop == text)
	{
		errno = save_errno;
		return TEXTIO_UNEXPECTED;
	}
	if (isinf(result))
	{
		bool		overflow = errno == ERANGE;

		errno = save_errno;
		return overflow ? TEXTIO_RANGE : TEXTIO_INFINITE;
	}
	errno = save_errno;
	if (isnan(result))
		return TEXTIO_NAN;

	*value = result;
	return TEXTIO_OK;
}

/* Fills *error and returns status. */
static TextioStatus
stop_at(TextioStatus status, const char *text, const char *p, const char *end,
		uint32_t element, TextioError *error)
{
	error->position = (size_t) (p - text);
	error->length = (size_t) (end - p);
	error->element = element;
	return status;
}

/*
 * Parses "[x,y,...]", of length bytes before its NUL, into at most capacity
 * values.
 *
 * Returns TEXTIO_OK with the number of elements in *count; or what is wrong,
 * with *error telling where (*count and the values are undefined then).  All
 * text up to the error is ASCII, so that byte offsets are character offsets.
 */
TextioStatus
textio_parse_dense(const char *text, size_t length, uint32_t capacity,
				   float *values, uint32_t *count, TextioError *error)
{
	const char *limit = text + length;
	const char *p = skip_space(text);
	uint32_t	n = 0;

	if (*p != '[')
		return stop_at(TEXTIO_NO_BRACKET, text, p, p, 0, error);
	p = skip_space(p + 1);
	if (*p == ']')
		return stop_at(TEXTIO_EMPTY, text, p, p, 0, error);

	for (;;)
	{
		const char *end;
		TextioStatus status;

		p = skip_space(p);
		if (n == capacity)
			return stop_at(TEXTIO_TOO_MANY, text, p, p, n + 1, error);

		status = textio_parse_float(p, limit, &values[n], &end);
		n++;
		if (status != TEXTIO_OK)
		{
			if (*p == '\0')
				status = TEXTIO_END;
			return stop_at(status, text, p, end, n, error);
		}

		p = skip_space(end);
		if (*p != ',')
			break;
		p++;
	}

	if (*p != ']')
		return stop_at(*p == '\0' ? TEXTIO_END : TEXTIO_UNEXPECTED,
					   text, p, p, n, error);
	p = skip_space(p + 1);
	if (*p != '\0')
		return stop_at(TEXTIO_JUNK, text, p, p, 0, error);

	*count = n;
	return TEXTIO_OK;
}

/*
 * Prints count values as "[x,y,...]" with a NUL into out, which has
 * TEXTIO_PRINT_SIZE(count) bytes.  Returns the length without the NUL.
 */
size_t
textio_print_dense(const float *values, uint32_t count, char *out)
{
	char	   *p = out;
	uint32_t	i;

	*p++ = '[';
	for (i = 0; i < count; i++)
	{
		if (i > 0)
			*p++ = ',';
		p += float_to_shortest_decimal_bufn(values[i], p);
	}
	*p++ = ']';
	*p = '\0';

	return (size_t) (p - out);
}
