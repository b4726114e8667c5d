/*
 * debezium_column.h - what a column becomes under the target's settings: its type in Kafka Connect.
 *
 * Decided once for each version of a relation. A type that Debezium has no form for is a string with
 * PostgreSQL's text, so that nothing of a row is left out.
 *
 * Threading:  stateless.
 */
#ifndef ENCODE_DEBEZIUM_COLUMN_H
#define ENCODE_DEBEZIUM_COLUMN_H

#include <stdbool.h>
#include <stdint.h>

#include "encode/debezium_settings.h"
#include "model/relation.h"

enum debezium_kind {
    DEBEZIUM_STRING = 0,
    DEBEZIUM_BOOLEAN,
    DEBEZIUM_INT16,
    DEBEZIUM_INT32,
    DEBEZIUM_INT64,
    DEBEZIUM_FLOAT32,
    DEBEZIUM_FLOAT64,
    DEBEZIUM_DECIMAL,
    DEBEZIUM_VARIABLE_DECIMAL,
    DEBEZIUM_DECIMAL_AS_DOUBLE,
    DEBEZIUM_DECIMAL_AS_STRING,
    DEBEZIUM_MONEY,
    DEBEZIUM_MONEY_AS_DOUBLE,
    DEBEZIUM_MONEY_AS_STRING,
    DEBEZIUM_BYTES,
    DEBEZIUM_BYTES_AS_STRING, /* base64, or as settings.binary says */
    DEBEZIUM_BIT,
    DEBEZIUM_BITS,
    DEBEZIUM_DATE,
    DEBEZIUM_DATE_CONNECT,
    DEBEZIUM_DATE_ISO,
    DEBEZIUM_DATE_STRUCT,
    DEBEZIUM_TIME_MILLIS,
    DEBEZIUM_TIME_MICROS,
    DEBEZIUM_TIME_NANOS,
    DEBEZIUM_TIME_OF_CONNECT,
    DEBEZIUM_TIME_ISO,
    DEBEZIUM_TIME_STRUCT,
    DEBEZIUM_TIMESTAMP_MILLIS,
    DEBEZIUM_TIMESTAMP_MICROS,
    DEBEZIUM_TIMESTAMP_NANOS,
    DEBEZIUM_TIMESTAMP_CONNECT,
    DEBEZIUM_TIMESTAMP_ISO,
    DEBEZIUM_TIMESTAMP_STRUCT,
    DEBEZIUM_ZONED_TIMESTAMP,
    DEBEZIUM_ZONED_TIMESTAMP_STRUCT,
    DEBEZIUM_ZONED_TIME,
    DEBEZIUM_ZONED_TIME_STRUCT,
    DEBEZIUM_DURATION,
    DEBEZIUM_DURATION_STRUCT,
    DEBEZIUM_INTERVAL_TEXT,
    DEBEZIUM_UUID,
    DEBEZIUM_JSON,
    DEBEZIUM_XML,
    DEBEZIUM_ENUM,
    DEBEZIUM_TSVECTOR,
    DEBEZIUM_LTREE,
    DEBEZIUM_HSTORE_AS_JSON,
    DEBEZIUM_HSTORE_AS_MAP,
    DEBEZIUM_POINT,
    DEBEZIUM_BOX,
    DEBEZIUM_LSEG,
    DEBEZIUM_PATH,
    DEBEZIUM_POLYGON,
    DEBEZIUM_CIRCLE,
    DEBEZIUM_LINE,
    DEBEZIUM_GEOMETRY, /* of PostGIS */
    DEBEZIUM_GEOGRAPHY,
    DEBEZIUM_VECTOR, /* of pgvector */
    DEBEZIUM_HALF_VECTOR,
    DEBEZIUM_SPARSE_VECTOR,
    DEBEZIUM_ARRAY,
    DEBEZIUM_KINDS,
};

struct debezium_column {
    const struct relation_column *column; /* borrowed */
    enum debezium_kind kind;
    enum debezium_kind element; /* of an array */
    bool optional;
    int32_t scale;      /* of decimals */
    int32_t precision;  /* all digits of a decimal; the modifier of other types, -1: unspecified */
    int32_t length;     /* of bits */
    char *default_json; /* see debezium_default.h; NULL: none, or not wanted */
};

struct debezium_column debezium_column_plan(const struct debezium_settings *settings,
                                            const struct relation_column *column);

#endif
