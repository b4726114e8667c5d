/*
 * escape.h - text from outside, made safe for a terminal, a log line or a message.
 *
 * Identifiers and keys may hold any byte. Escaped are C0, DEL, C1, the bidirectional controls and
 * the line separators of Unicode, the quote, the backslash and bytes that are not UTF-8: nothing
 * that is shown can break its line, colour a terminal or reorder what stands around it.
 *
 * Threading:  stateless.
 */
#ifndef BASE_ESCAPE_H
#define BASE_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

enum { ESCAPE_SIZE = 8 }; /* the most bytes that one character becomes, with a NUL */

/* Escapes the first character of `text` (size > 0) and returns how many bytes of it were consumed.
 * A broken byte becomes \xNN, or U+FFFD where `json`, which cannot write a byte. */
size_t escape_one(const char *text, size_t size, bool json, char escaped[ESCAPE_SIZE],
                  size_t *ret_escaped_size);

/* Appends `text` without quotes, escaped as above and cut at `size_max` bytes with "...". */
void bytes_append_escaped(struct bytes *bytes, const char *text, size_t size, size_t size_max);

#endif
