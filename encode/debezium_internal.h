/*
 * debezium_internal.h - what the files that write values of the envelope `debezium` share.
 *
 * Each function appends one complete JSON value. What has no form is noted in the writer, as
 * debezium_value.h says, and something stands in its place.
 *
 * Threading:  as debezium_value.h says.
 */
#ifndef ENCODE_DEBEZIUM_INTERNAL_H
#define ENCODE_DEBEZIUM_INTERNAL_H

#include "encode/debezium_value.h"

/* Notes the first value that has no form, and writes something in its place. `hint` may be NULL. */
void debezium_refuse(struct debezium_writer *writer, const struct debezium_column *column,
                     const char *why, const char *hint, const char *text, size_t size,
                     struct bytes *out);

/* The same for a text that is not what the server prints for the type. */
void debezium_refuse_form(struct debezium_writer *writer, const struct debezium_column *column,
                          const char *text, size_t size, struct bytes *out);

/* The value of a hexadecimal digit, or -1. */
int debezium_hex_value(char digit);

void debezium_int64_write(int64_t number, struct bytes *out);

/* A text of float8 in its digits; NaN and the infinities as special_values says. */
void debezium_double_write(struct debezium_writer *writer, const struct debezium_column *column,
                           const char *text, size_t size, struct bytes *out);

/* Makes the marker of values that were not sent; NULL: Debezium's own. False: memory is out. */
bool debezium_marker_make(struct debezium_writer *writer, const char *setting);

/* The marker as a value of the column. False: its type has none, and nothing was appended. */
bool debezium_marker_write(const struct debezium_writer *writer,
                           const struct debezium_column *column, struct bytes *out);

/* The geometric types: DEBEZIUM_POINT to DEBEZIUM_GEOGRAPHY. */
void debezium_geometry_write(struct debezium_writer *writer, const struct debezium_column *column,
                             enum debezium_kind kind, const char *text, size_t size,
                             struct bytes *out);

/* The types of pgvector: DEBEZIUM_VECTOR to DEBEZIUM_SPARSE_VECTOR. */
void debezium_vector_write(struct debezium_writer *writer, const struct debezium_column *column,
                           enum debezium_kind kind, const char *text, size_t size,
                           struct bytes *out);

/* The kinds of `time: structured`. */
void debezium_structured_write(struct debezium_writer *writer, const struct debezium_column *column,
                               enum debezium_kind kind, const char *text, size_t size,
                               struct bytes *out);

/* What stands for null in a column of these kinds that may not be null: 1970, midnight, nothing.
 * False: the kind is none of them, and nothing was appended. */
bool debezium_structured_zero(const struct debezium_column *column, struct bytes *out);

#endif
