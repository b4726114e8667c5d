/*
 * debezium_schema.h - the schemas that stand before each payload with `schemas: true`, in the form
 * of Kafka Connect's JSON.
 *
 * The keys of a node: type, then items, keys and values, or fields, optional, name, version, doc,
 * parameters, default, field. They are made once for each version of a relation.
 *
 * Threading:  stateless.
 * Errors:     sticky in `out`.
 */
#ifndef ENCODE_DEBEZIUM_SCHEMA_H
#define ENCODE_DEBEZIUM_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "encode/debezium_column.h"

/* The names that go into schemas, and the columns of the table. */
struct debezium_schema_source {
    const struct debezium_settings *settings;
    const char *prefix;
    const struct relation *relation;
    const struct debezium_column *columns; /* as many as the relation has */
};

void debezium_schema_envelope(const struct debezium_schema_source *source, struct bytes *out);
void debezium_schema_key(const struct debezium_schema_source *source, struct bytes *out);

/* Those that belong to no table. */
void debezium_schema_message(const struct debezium_settings *settings, struct bytes *out);
void debezium_schema_message_key(struct bytes *out);
void debezium_schema_gap(struct bytes *out);
void debezium_schema_transaction(struct bytes *out);
void debezium_schema_transaction_key(struct bytes *out);

#endif
