/*
 * value.h - one column value as JSON: PostgreSQL's text in, a JSON value out.
 *
 * A text that does not have the form its type promises is written as a string: a value never stops
 * a stream. The one exception is asked for: with SPECIAL_FAIL a float that JSON has no number for
 * sets `refused`.
 *
 * Ownership:  value_writer_release() frees the scratch memory; accepts a zeroed writer.
 * Threading:  one thread at a time.
 * Limits:     the scratch memory holds one array element, so at most one value.
 */
#ifndef ENCODE_VALUE_H
#define ENCODE_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "encode/encoder.h"
#include "encode/json.h"
#include "model/row.h"
#include "model/type.h"

struct value_writer {
    bool int8_as_string;
    enum special_values special_values;
    bool refused;         /* sticky until the caller clears it */
    bool scratch_failed;  /* sticky as well: memory was out while an element was unescaped */
    struct bytes scratch; /* an array element without its backslashes */
};

void value_writer_init(struct value_writer *writer, const struct encode_settings *settings);
void value_writer_release(struct value_writer *writer);

/* Appends the value: null for ROW_NULL, base64 for ROW_BINARY. Not for ROW_UNCHANGED. */
void value_write_any(struct value_writer *writer, const struct type_info *type,
                     const struct row_value *value, struct bytes *out);

/* The same, with the commonest kind decided where it is called. */
static inline void value_write(struct value_writer *writer, const struct type_info *type,
                               const struct row_value *value, struct bytes *out)
{
    if (value->kind == ROW_TEXT && (type->kind == TYPE_TEXT || type->kind == TYPE_NUMERIC)) {
        json_write_string(out, value->text, value->size);
    } else {
        value_write_any(writer, type, value, out);
    }
}

/* For value.c and array.c: a text of a type that is no array. */
void value_write_scalar(struct value_writer *writer, enum type_kind kind, const char *text,
                        size_t size, struct bytes *out);

/*
 * Appends PostgreSQL's array text as a JSON array. Returns false and writes nothing if the text has
 * bounds of its own, or is not an array.
 */
bool array_write(struct value_writer *writer, const struct type_info *type, const char *text,
                 size_t size, struct bytes *out);

#endif
