/*
 * options.h - the keys of a Kafka target in the conf.
 *
 * Everything that librdkafka can be told goes through `properties`, but for what this target decides:
 * each property is tried on a librdkafka configuration when the conf is read.
 */
#ifndef TARGETS_KAFKA_OPTIONS_H
#define TARGETS_KAFKA_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/option.h"
#include "targets/event_template.h"

enum kafka_tombstones { KAFKA_TOMBSTONES_AUTO = 0, KAFKA_TOMBSTONES_YES, KAFKA_TOMBSTONES_NO };
enum kafka_delivery { KAFKA_AT_LEAST_ONCE = 0, KAFKA_EXACTLY_ONCE };

enum {
    KAFKA_TOPIC_NAMES = EVENT_SCHEMA | EVENT_TABLE | EVENT_SOURCE | EVENT_OP | EVENT_KEY_COLUMN,
    KAFKA_NAMES = KAFKA_TOPIC_NAMES | EVENT_KEY | EVENT_ID,
    KAFKA_HEADERS_MAX = 32,
};

struct kafka_topics {
    bool create;
    int64_t partitions;
    int64_t replication_factor;
    struct conf_text_map config;
};

struct kafka_options {
    struct conf_text_list brokers;
    char *topic;                  /* template */
    char *topic_other;            /* of events without a table: gap markers, logical messages */
    char *topic_transactions;     /* of marks; NULL: `<topic prefix of debezium>.transaction` */
    char *key;                    /* template; NULL: the event's own key */
    char *id_header;              /* NULL: none */
    struct conf_text_map headers; /* templates */
    int tombstones;               /* enum kafka_tombstones */
    int delivery;                 /* enum kafka_delivery */
    char *checkpoint_topic;       /* NULL: named after slot, pipeline and target */
    char *compression;            /* NULL: as the properties say */
    int64_t linger_us;
    struct kafka_topics topics;
    struct conf_text_map properties;
};

extern const struct conf_table kafka_options_table;

/* Whether Kafka can have a topic of that name. */
bool kafka_topic_valid(const char *name);

#endif
