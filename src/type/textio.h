/*-------------------------------------------------------------------------
 *
 * textio.h
 *	  Text form of vectors: a pure parser and a pure printer.
 *
 * Both are functions of their arguments alone: they allocate nothing, raise
 * nothing and know nothing of the server, so that a fuzzer can link them.
 * The types' input functions turn a TextioStatus into an error report.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DESCARTES_TEXTIO_H
#define DESCARTES_TEXTIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum TextioStatus
{
	TEXTIO_OK,
	TEXTIO_NO_BRACKET,			/* does not start with "[" */
	TEXTIO_EMPTY,				/* "[]" */
	TEXTIO_UNEXPECTED,			/* a character that cannot stand there */
	TEXTIO_END,					/* the text ends before the closing "]" */
	TEXTIO_JUNK,				/* text after the closing "]" */
	TEXTIO_TOO_MANY,			/* more elements than the caller takes */
	TEXTIO_RANGE,				/* magnitude above the range of float */
	TEXTIO_NAN,
	TEXTIO_INFINITE
} TextioStatus;

/* Where the parser stopped. */
typedef struct TextioError
{
	size_t		position;		/* byte offset of the offending text */
	size_t		length;			/* its bytes if it is a number, else 0 */
	uint32_t	element;		/* number of the element, from 1; 0 if none */
} TextioError;

/* A text of so many bytes has at most so many elements. */
#define TEXTIO_MAX_ELEMENTS(length)		((size_t) (length) / 2 + 1)

/* Bytes that textio_print_dense may write, the final NUL included. */
#define TEXTIO_PRINT_SIZE(count)	((size_t) (count) * 16 + 3)

extern bool textio_is_space(char ch);
extern TextioStatus textio_parse_float(const char *text, const char *limit,
									   float *value, const char **end);
extern TextioStatus textio_parse_dense(const char *text, size_t length,
									   uint32_t capacity, float *values,
									   uint32_t *count, TextioError *error);
extern size_t textio_print_dense(const float *values, uint32_t count,
								 char *out);

#endif							/* DESCARTES_TEXTIO_H */
