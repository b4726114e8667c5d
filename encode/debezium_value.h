/*
 * debezium_value.h - one column value in the form that Kafka Connect's JSON has for it.
 *
 * PostgreSQL's text in, a JSON value out. What the form cannot express (a numeric NaN as a Decimal,
 * an array of two dimensions, a date beyond its integer) sets `refusal`; a lenient writer puts
 * PostgreSQL's text as a string there instead.
 *
 * Ownership:  debezium_writer_release() frees the scratch memory; accepts a zeroed writer.
 * Threading:  one thread at a time.
 * Limits:     the scratch memory holds one value.
 */
#ifndef ENCODE_DEBEZIUM_VALUE_H
#define ENCODE_DEBEZIUM_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "encode/debezium_column.h"
#include "encode/encoder.h"
#include "model/row.h"

enum { DEBEZIUM_UUID_SIZE = 36 + 1 };

struct debezium_writer {
    struct debezium_settings settings;
    enum special_values special_values;
    bool lenient;
    struct bytes marker; /* for a value that was not sent; asked once, when the encoder is made */
    struct bytes marker_map;              /* {marker: marker} */
    char marker_uuid[DEBEZIUM_UUID_SIZE]; /* of it; empty: there is none */
    const char *refusal; /* why, NULL: nothing was refused; sticky, with its column and a hint */
    const char *refusal_hint;
    const struct relation_column *refused;
    bool scratch_failed;  /* sticky as well: memory was out */
    struct bytes scratch; /* an array element without its backslashes */
    struct bytes inner;   /* a piece of an hstore without them, a number's limbs; both may be read
                           * out of `scratch` */
    struct bytes number;  /* of a decimal or of bits */
    struct bytes json;    /* of an hstore, before it becomes a string */
};

/* False: memory is out; the writer is to be released all the same. */
bool debezium_writer_init(struct debezium_writer *writer, const struct encode_settings *settings);
void debezium_writer_release(struct debezium_writer *writer);

/* Appends the value: for ROW_NULL null, or what stands for it in a column that may not be null; for
 * ROW_UNCHANGED the marker of a value that was not sent. */
void debezium_value_write(struct debezium_writer *writer, const struct debezium_column *column,
                          const struct row_value *value, struct bytes *out);

/* Bytes in the form that settings.binary asks for. */
void debezium_bytes_write(const struct debezium_writer *writer, const uint8_t *bytes, size_t size,
                          struct bytes *out);

/* For debezium_array.c: a text of a type that is no array. */
void debezium_scalar_write(struct debezium_writer *writer, const struct debezium_column *column,
                           enum debezium_kind kind, const char *text, size_t size,
                           struct bytes *out);

/* For debezium_value.c: PostgreSQL's array text. False: it is none, or has more than one dimension;
 * what was appended is then to be cut off. Bounds of its own are left out. */
bool debezium_array_write(struct debezium_writer *writer, const struct debezium_column *column,
                          const char *text, size_t size, struct bytes *out);

/* For debezium_value.c: the text of an hstore as a JSON object. False as above. */
bool debezium_hstore_write(struct debezium_writer *writer, const char *text, size_t size,
                           struct bytes *out);

#endif
