/*
 * debezium_settings.h - what makes the envelope `debezium` of two targets differ.
 *
 * The names are those of Debezium's own settings (decimal.handling.mode and so on), and zero is its
 * default for each. The section `debezium` of a target has the same values, see conf/tables.c.
 */
#ifndef ENCODE_DEBEZIUM_SETTINGS_H
#define ENCODE_DEBEZIUM_SETTINGS_H

#include <stdbool.h>

enum debezium_decimal {
    DEBEZIUM_DECIMAL_PRECISE = 0,
    DEBEZIUM_DECIMAL_DOUBLE,
    DEBEZIUM_DECIMAL_STRING,
};

enum debezium_time {
    DEBEZIUM_TIME_ADAPTIVE = 0,
    DEBEZIUM_TIME_ADAPTIVE_TIME_MICROSECONDS,
    DEBEZIUM_TIME_CONNECT,
    DEBEZIUM_TIME_ISOSTRING,
    DEBEZIUM_TIME_MICROSECONDS,
    DEBEZIUM_TIME_NANOSECONDS,
    DEBEZIUM_TIME_STRUCTURED,
};

enum debezium_binary {
    DEBEZIUM_BINARY_BYTES = 0,
    DEBEZIUM_BINARY_BASE64,
    DEBEZIUM_BINARY_BASE64_URL_SAFE,
    DEBEZIUM_BINARY_HEX,
};

enum debezium_interval { DEBEZIUM_INTERVAL_NUMERIC = 0, DEBEZIUM_INTERVAL_STRING };
enum debezium_hstore { DEBEZIUM_HSTORE_JSON = 0, DEBEZIUM_HSTORE_MAP };

#define DEBEZIUM_UNAVAILABLE_VALUE "__debezium_unavailable_value"

struct debezium_settings {
    bool schemas; /* each value and key is {"schema":...,"payload":...} */
    enum debezium_decimal decimal;
    enum debezium_time time;
    enum debezium_binary binary;
    enum debezium_interval interval;
    enum debezium_hstore hstore;
    bool transaction_metadata;
    bool defaults;                 /* schemas have the defaults of the columns */
    const char *unavailable_value; /* borrowed; NULL: DEBEZIUM_UNAVAILABLE_VALUE */
    const char *topic_prefix;      /* borrowed; NULL: the name of the source */
};

#endif
