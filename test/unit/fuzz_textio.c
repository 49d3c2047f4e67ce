/*-------------------------------------------------------------------------
 *
 * fuzz_textio.c
 *	  Fuzzes the vector parser and printer (src/type/textio.c).
 *
 * Built with -DTEXTIO_LIBFUZZER -fsanitize=fuzzer this is a libFuzzer target.
 * Without, it has its own main: it generates inputs that are hard for the
 * parser (neighbourhoods of midpoints between floats, long and short
 * mantissas, extreme exponents, mutated literals) and prints TAP.  The first
 * argument is the number of rounds, the second the seed.
 *
 * Every input is checked against a plain parser made of strtof, and what is
 * accepted must survive printing and parsing again, bit for bit.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/type/textio.h"

#define CAPACITY	48			/* small, so that TEXTIO_TOO_MANY occurs */

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *
reference_space(const char *p)
{
	while (*p != '\0' && strchr(" \t\n\r\v\f", *p) != NULL)
		p++;
	return p;
}

/*
 * The reference: the same grammar, each element by strtof alone.
 */
static TextioStatus
reference_parse(const char *text, float *values, uint32_t *count)
{
	const char *p = reference_space(text);
	uint32_t	n = 0;

	if (*p++ != '[')
		return TEXTIO_NO_BRACKET;
	if (*reference_space(p) == ']')
		return TEXTIO_EMPTY;
	do
	{
		char	   *end;
		float		value;

		if (n == CAPACITY)
			return TEXTIO_TOO_MANY;
		p = reference_space(p);
		errno = 0;
		value = strtof(p, &end);
		if (end == p)
			return *p == '\0' ? TEXTIO_END : TEXTIO_UNEXPECTED;
		if (isinf(value))
			return errno == ERANGE ? TEXTIO_RANGE : TEXTIO_INFINITE;
		if (isnan(value))
			return TEXTIO_NAN;
		values[n++] = value;
		p = reference_space(end);
	} while (*p++ == ',');

	p--;
	if (*p != ']')
		return *p == '\0' ? TEXTIO_END : TEXTIO_UNEXPECTED;
	*count = n;
	return *reference_space(p + 1) == '\0' ? TEXTIO_OK : TEXTIO_JUNK;
}

/*
 * Returns NULL if text is handled right, else what is wrong.
 */
static const char *
check_text(const char *text)
{
	float		values[CAPACITY];
	float		expected[CAPACITY];
	uint32_t	count = 0;
	uint32_t	expected_count = 0;
	TextioError error;
	char		printed[TEXTIO_PRINT_SIZE(CAPACITY)];
	TextioStatus status;

	status = textio_parse_dense(text, strlen(text), CAPACITY, values, &count, &error);
	if (status != reference_parse(text, expected, &expected_count))
		return "status differs from strtof's";
	if (status != TEXTIO_OK)
	{
		size_t		length = strlen(text);

		if (error.position > length || error.length > length - error.position)
			return "error lies outside of the text";
		if ((status == TEXTIO_END) != (error.position == length) &&
			status != TEXTIO_NO_BRACKET && status != TEXTIO_TOO_MANY)
			return "error does not lie at the end";
		return NULL;
	}
	if (count != expected_count ||
		memcmp(values, expected, count * sizeof(float)) != 0)
		return "values differ from strtof's";

	if (textio_print_dense(values, count, printed) != strlen(printed))
		return "printed length is wrong";
	if (textio_parse_dense(printed, strlen(printed), CAPACITY, expected, &count, &error) != TEXTIO_OK)
		return "printed text is not accepted";
	if (count != expected_count ||
		memcmp(values, expected, count * sizeof(float)) != 0)
		return "printed text reads back differently";
	return NULL;
}

/*
 * Checks a copy of exactly the text's size, so that a sanitizer sees reads
 * beyond its end.
 */
static const char *
check_copy(const void *data, size_t size)
{
	char	   *text = malloc(size + 1);
	const char *problem;

	if (text == NULL)
		return "out of memory";
	memcpy(text, data, size);
	text[size] = '\0';
	problem = check_text(text);
	free(text);
	return problem;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *problem = check_copy(data, size);

	if (problem != NULL)
	{
		fprintf(stderr, "%s: \"%.*s\"\n", problem, (int) size, (const char *) data);
		abort();
	}
	return 0;
}

#ifndef TEXTIO_LIBFUZZER

static uint64_t random_state;
static int	test_number = 0;
static int	failures = 0;

/* splitmix64 */
static uint64_t
random_u64(void)
{
	uint64_t	z = (random_state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static int
random_below(int n)
{
	return (int) (random_u64() % (uint64_t) n);
}

/* Any finite float, all exponents alike. */
static float
random_float(void)
{
	float		value;

	do
	{
		uint32_t	bits = (uint32_t) random_u64();

		memcpy(&value, &bits, sizeof(value));
	} while (!isfinite(value));
	return value;
}

/* Writes one number in one of the forms that clients send. */
static int
random_number(char *out, size_t size)
{
	static const char *const forms[] = {
		"%.9g", "%.8g", "%.6g", "%.17g", "%.7e", "%.20e", "%.3f", "%a", "%g"
	};
	static const char *const words[] = {
		"nan", "-inf", "Infinity", "1e39", "-3.4028236e38", "1e-46", ".5",
		"5.", "+1", "0x1p-3", "1e", "1e+", "00000000000000000000000001",
		"0.00000000000000000000000000000000000000000000001175494351",
		"3.40282346638528859811704183484516925440e38", "NaN(12)", "- 1",
		"9007199254740993", "18446744073709551616", "1e-400", "0e99999", "."
	};
	double		a;

	switch (random_below(5))
	{
		case 0:
			return snprintf(out, size, forms[random_below(9)], (double) random_float());
		case 1:
			/* the midpoint of two floats, or close to it */
			a = random_float();
			a = (a + (double) nextafterf((float) a, INFINITY)) / 2;
			if (random_below(2))
				a = nextafter(a, random_below(2) ? INFINITY : -INFINITY);
			return snprintf(out, size, "%.*e", 10 + random_below(60), a);
		case 2:
			return snprintf(out, size, "%" PRIu64 ".%" PRIu64 "e%d",
							random_u64() >> random_below(64),
							random_u64() >> random_below(64),
							random_below(120) - 70);
		case 3:
			return snprintf(out, size, "-0.%0*" PRIu64, 1 + random_below(40),
							random_u64() >> random_below(64));
		default:
			if (random_below(4))
				return snprintf(out, size, "%d", random_below(512) - 256);
			return snprintf(out, size, "%s", words[random_below(22)]);
	}
}

/* Writes a literal; mutations > 0 changes some of its bytes. */
static void
random_text(char *out, size_t size, int max_elements, int mutations)
{
	static const char alphabet[] = "[],.+-/:;0123456789eExXnNaAiIfF \t\v(\200\377";
	int			elements = 1 + random_below(max_elements);
	size_t		length;

	length = (size_t) snprintf(out, size, "[");
	while (elements-- > 0 && length + 150 < size)
	{
		length += (size_t) random_number(out + length, size - length);
		if (elements > 0)
			length += (size_t) snprintf(out + length, size - length,
										random_below(8) ? "," : " , ");
	}
	length += (size_t) snprintf(out + length, size - length, "]");

	while (mutations-- > 0 && length > 0)
	{
		size_t		at = (size_t) random_below((int) length);

		if (random_below(3) == 0)
			memmove(out + at, out + at + 1, length-- - at);
		else
			out[at] = alphabet[random_below((int) sizeof(alphabet) - 1)];
	}
}

static void
report(const char *name, const char *problem, const char *text)
{
	test_number++;
	if (problem == NULL)
		printf("ok %d - %s\n", test_number, name);
	else
	{
		printf("not ok %d - %s\n# %s: %s\n", test_number, name, problem, text);
		failures++;
	}
}

static void
run_random(const char *name, long rounds, int max_elements, int max_mutations)
{
	char		text[8192];
	const char *problem = NULL;
	long		i;

	for (i = 0; i < rounds && problem == NULL; i++)
	{
		int			mutations = max_mutations > 0 ? 1 + random_below(max_mutations) : 0;

		random_text(text, sizeof(text), max_elements, mutations);
		problem = check_copy(text, strlen(text));
	}
	report(name, problem, text);
}

/* What the parser must say about texts of which we know the answer. */
static void
run_known(void)
{
	static const struct
	{
		const char *text;
		TextioStatus status;
		size_t		position;
		size_t		length;
		uint32_t	element;
	}			known[] = {
		{"", TEXTIO_NO_BRACKET, 0, 0, 0},
		{"  1,2", TEXTIO_NO_BRACKET, 2, 0, 0},
		{"[ ]", TEXTIO_EMPTY, 2, 0, 0},
		{"[", TEXTIO_END, 1, 0, 1},
		{"[1,2", TEXTIO_END, 4, 0, 2},
		{"[1,", TEXTIO_END, 3, 0, 2},
		{"[1,,2]", TEXTIO_UNEXPECTED, 3, 0, 2},
		{"[1,2a]", TEXTIO_UNEXPECTED, 4, 0, 2},
		{"[1 2]", TEXTIO_UNEXPECTED, 3, 0, 1},
		{"[1,2] x", TEXTIO_JUNK, 6, 0, 0},
		{"[1, 4e38 ]", TEXTIO_RANGE, 4, 4, 2},
		{"[-nan]", TEXTIO_NAN, 1, 4, 1},
		{"[1,2,-inf]", TEXTIO_INFINITE, 5, 4, 3}
	};
	size_t		i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
	{
		float		values[CAPACITY];
		uint32_t	count;
		TextioError error = {0, 0, 0};
		TextioStatus status;

		status = textio_parse_dense(known[i].text, strlen(known[i].text),
									CAPACITY, values, &count, &error);
		if (status != known[i].status || error.position != known[i].position ||
			error.length != known[i].length || error.element != known[i].element)
		{
			report("known errors and their places", "wrong answer", known[i].text);
			return;
		}
	}
	report("known errors and their places", NULL, NULL);
}

/* Every power of two and its neighbours print and read back. */
static void
run_powers(void)
{
	const char *problem = NULL;
	char		text[256];
	int			exponent;

	for (exponent = -149; exponent < 128 && problem == NULL; exponent++)
	{
		float		value = ldexpf(1.0f, exponent);

		snprintf(text, sizeof(text), "[%.60e,%.60e,%.9g]", (double) value,
				 (double) nextafterf(value, 0), (double) -value);
		problem = check_text(text);
	}
	report("powers of two and their neighbours", problem, text);
}

int
main(int argc, char **argv)
{
	long		rounds = argc > 1 ? atol(argv[1]) : 200000;

	random_state = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;

	run_known();
	run_powers();
	run_random("single numbers equal strtof's", rounds, 1, 0);
	run_random("vectors equal strtof's", rounds / 20, 56, 0);
	run_random("mutated vectors equal strtof's", rounds, 6, 4);
	printf("1..%d\n", test_number);

	return failures > 0 ? 1 : 0;
}

#endif							/* !TEXTIO_LIBFUZZER */
