/*
 * key_text.h - one column of a key, out of the JSON object that a batch's label holds.
 *
 * A number keeps the digits that it has there, however many; a string is unescaped. Arrays and
 * objects keep their JSON text. The object may come from a store and is not trusted to be JSON.
 *
 * Threading:  stateless.
 */
#ifndef TARGETS_KEY_TEXT_H
#define TARGETS_KEY_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

enum key_text { KEY_FOUND, KEY_MISSING, KEY_NULL };

/* Appends the value of `column` (UTF-8 with its NUL) to `out`. A `json` that is no such object has
 * no columns. Memory shows in bytes_ok(out). */
enum key_text key_text_append(const char *json, size_t size, const char *column, struct bytes *out);

#endif
