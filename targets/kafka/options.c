#include "targets/kafka/options.h"

#include <librdkafka/rdkafka.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "conf/nearest.h"

enum { TOPIC_MAX = 249, HEADER_MAX = 255 };

static const struct conf_choice tombstones[] = {{"auto", KAFKA_TOMBSTONES_AUTO},
                                                {"true", KAFKA_TOMBSTONES_YES},
                                                {"false", KAFKA_TOMBSTONES_NO},
                                                {NULL, 0}};
static const struct conf_choice deliveries[] = {
    {"at_least_once", KAFKA_AT_LEAST_ONCE}, {"exactly_once", KAFKA_EXACTLY_ONCE}, {NULL, 0}};

static const struct conf_option topics_options[] = {
    {.key = "create",
     .type = CONF_BOOL,
     .offset = offsetof(struct kafka_topics, create),
     .value_default = "false",
     .help =
         "Whether topics that there are not are created, with what follows. Without it the broker "
         "decides (`auto.create.topics.enable`), or somebody creates them.",
     .example = "true"},
    {.key = "partitions",
     .type = CONF_INTEGER,
     .offset = offsetof(struct kafka_topics, partitions),
     .value_default = "1",
     .minimum = 1,
     .maximum = 100000,
     .help = "Partitions of a topic that is created.",
     .example = "6"},
    {.key = "replication_factor",
     .type = CONF_INTEGER,
     .offset = offsetof(struct kafka_topics, replication_factor),
     .value_default = "1",
     .minimum = 1,
     .maximum = 100,
     .help = "Replicas of a topic that is created.",
     .example = "3"},
    {.key = "config",
     .type = CONF_TEXT_MAP,
     .offset = offsetof(struct kafka_topics, config),
     .help = "Configuration of a topic that is created, as Kafka names it.",
     .example = "{cleanup.policy: compact}"},
};

static const struct conf_table topics_table = {
    .name = "topics",
    .help = "Topics that there are not.",
    .size = sizeof(struct kafka_topics),
    .options = topics_options,
    .options_count = CONF_COUNT(topics_options),
};

static const struct conf_option kafka_options[] = {
    {.key = "brokers",
     .type = CONF_TEXT_LIST,
     .offset = offsetof(struct kafka_options, brokers),
     .required = true,
     .minimum = 1,
     .maximum = 64,
     .help = "Some brokers of the cluster, as `host:port`; the others are learnt from them.",
     .example = "[kafka-1:9092, kafka-2:9092]"},
    {.key = "topic",
     .type = CONF_TEXT,
     .offset = offsetof(struct kafka_options, topic),
     .value_default = "cdc.${schema}.${table}",
     .minimum = 1,
     .maximum = 1000,
     .templated = true,
     .help = "The topic of an event. It may name ${schema}, ${table}, ${source}, ${op} and "
             "${key.COLUMN}. An event that has no value for one of them is a dead letter.",
     .example = "\"cdc.${schema}.${table}\""},
    {.key = "topic_other",
     .type = CONF_TEXT,
     .offset = offsetof(struct kafka_options, topic_other),
     .value_default = "cdc.other",
     .minimum = 1,
     .maximum = TOPIC_MAX,
     .help = "The topic of events that are about no table: gap markers and logical messages.",
     .example = "cdc.other"},
    {.key = "topic_transactions",
     .type = CONF_TEXT,
     .offset = offsetof(struct kafka_options, topic_transactions),
     .minimum = 1,
     .maximum = TOPIC_MAX,
     .help = "The topic of the marks that `transactions: true` asks for, which takes `format: "
             "debezium` or `avro`. Default: `<debezium.topic_prefix>.transaction`.",
     .example = "shop.transaction"},
    {.key = "key",
     .type = CONF_TEXT,
     .offset = offsetof(struct kafka_options, key),
     .minimum = 1,
     .maximum = 1000,
     .templated = true,
     .help = "The key of a record, which chooses its partition. Default: the event's key as the "
             "envelope writes it; of a table without a key its name, so that its changes stay in "
             "order. A text of your own may name what `topic` may, ${key} and ${id}.",
     .example = "\"${table}/${key.id}\""},
    {.key = "id_header",
     .type = CONF_TEXT,
     .offset = offsetof(struct kafka_options, id_header),
     .value_default = "pgfan-id",
     .maximum = HEADER_MAX,
     .help = "The header that holds the idempotency key of the event; \"\" for none.",
     .example = "pgfan-id"},
    {.key = "headers",
     .type = CONF_TEXT_MAP,
     .offset = offsetof(struct kafka_options, headers),
     .maximum = KAFKA_HEADERS_MAX,
     .templated = true,
     .help = "Further headers of each record, with the names that `key` may have.",
     .example = "{table: \"${schema}.${table}\"}"},
    {.key = "tombstones",
     .type = CONF_CHOICE,
     .offset = offsetof(struct kafka_options, tombstones),
     .value_default = "auto",
     .choices = tombstones,
     .help = "Whether a delete, and a change of the key, is followed by a record with that key and "
             "without a value, for topics that are compacted. `auto`: where the envelope is "
             "debezium or avro.",
     .example = "auto"},
    {.key = "delivery",
     .type = CONF_CHOICE,
     .offset = offsetof(struct kafka_options, delivery),
     .value_default = "at_least_once",
     .choices = deliveries,
     .help = "`exactly_once`: each request is a transaction of Kafka that holds the place of this "
             "target as well; readers with `isolation.level=read_committed` see each change once.",
     .example = "at_least_once"},
    {.key = "checkpoint_topic",
     .type = CONF_TEXT,
     .offset = offsetof(struct kafka_options, checkpoint_topic),
     .minimum = 1,
     .maximum = TOPIC_MAX,
     .help =
         "Where `delivery: exactly_once` keeps its place: a compacted topic of one partition, of "
         "this target alone, created if there is none. Default: "
         "`pgfan.checkpoints.<slot>.<pipeline>.<target>`.",
     .example = "pgfan.checkpoints.shop"},
    {.key = "compression",
     .type = CONF_TEXT,
     .offset = offsetof(struct kafka_options, compression),
     .minimum = 1,
     .maximum = 20,
     .help = "`none`, `gzip`, `snappy`, `lz4` or `zstd`.",
     .example = "lz4"},
    {.key = "linger",
     .type = CONF_DURATION,
     .offset = offsetof(struct kafka_options, linger_us),
     .value_default = "1ms",
     .maximum = 900000000,
     .help = "How long librdkafka waits for more records before it sends a batch to a broker.",
     .example = "5ms"},
    {.key = "topics",
     .type = CONF_SECTION,
     .offset = offsetof(struct kafka_options, topics),
     .table = &topics_table,
     .help = "Topics that there are not."},
    {.key = "properties",
     .type = CONF_TEXT_MAP,
     .offset = offsetof(struct kafka_options, properties),
     .masked = true,
     .help =
         "Any other property of librdkafka, such as `security.protocol: sasl_ssl`. Each is tried "
         "when the conf is read. Their values are never shown.",
     .example = "{security.protocol: sasl_ssl, sasl.password: \"${env:KAFKA_PASSWORD}\"}"},
};

/* Rules are asked by one thread, one after the other, and what they say is shown before the next. */
static char said[400];

static const char *template_fault(const char *key, const char *text, unsigned names)
{
    static const char *const faults[] = {
        [EVENT_TEMPLATE_UNCLOSED] = "has a ${ without its }",
        [EVENT_TEMPLATE_TOO_LONG] = "has too many ${...}",
        [EVENT_TEMPLATE_NO_MEMORY] = "cannot be read: out of memory",
    };
    struct event_template template;
    enum event_template_fault fault = event_template_parse(text, strlen(text), names, &template);
    if (fault == EVENT_TEMPLATE_FINE) {
        event_template_release(&template);
        return NULL;
    }
    if (fault == EVENT_TEMPLATE_UNKNOWN) {
        (void)snprintf(said, sizeof(said),
                       "\"%s\" has an unknown name in ${...}: there are ${schema}, ${table}, "
                       "${source}, ${op}%s and ${key.COLUMN}",
                       key, (names & EVENT_KEY) != 0 ? ", ${id}, ${key}" : ""); /* it fits */
    } else {
        (void)snprintf(said, sizeof(said), "\"%s\" %s", key, faults[fault]); /* it fits */
    }
    return said;
}

bool kafka_topic_valid(const char *name)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t size = strspn(name, letters);
    return name[size] == '\0' && size > 0 && size <= TOPIC_MAX && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

static const char *topics_rule(const void *section, const char **ret_key)
{
    const struct kafka_options *options = section;
    *ret_key = "topic";
    const char *fault =
        options->topic == NULL ? NULL : template_fault("topic", options->topic, KAFKA_TOPIC_NAMES);
    if (fault == NULL && options->topic_other != NULL && !kafka_topic_valid(options->topic_other)) {
        *ret_key = "topic_other";
        fault = "\"topic_other\" is no name of a topic: letters, digits, `.`, `_` and `-`";
    }
    if (fault == NULL && options->topic_transactions != NULL &&
        !kafka_topic_valid(options->topic_transactions)) {
        *ret_key = "topic_transactions";
        fault = "\"topic_transactions\" is no name of a topic: letters, digits, `.`, `_` and `-`";
    }
    if (fault == NULL && options->checkpoint_topic != NULL &&
        !kafka_topic_valid(options->checkpoint_topic)) {
        *ret_key = "checkpoint_topic";
        fault = "\"checkpoint_topic\" is no name of a topic: letters, digits, `.`, `_` and `-`";
    }
    return fault;
}

static const char *records_rule(const void *section, const char **ret_key)
{
    const struct kafka_options *options = section;
    *ret_key = "key";
    const char *fault =
        options->key == NULL ? NULL : template_fault("key", options->key, KAFKA_NAMES);
    for (size_t at = 0; at < options->headers.count && fault == NULL; at++) {
        *ret_key = "headers";
        const struct conf_text_pair *pair = &options->headers.pairs[at];
        fault = pair->value == NULL ? NULL : template_fault("headers", pair->value, KAFKA_NAMES);
        if (pair->key != NULL && (pair->key[0] == '\0' || strlen(pair->key) > HEADER_MAX)) {
            fault = "\"headers\" has a name that is empty or too long";
        }
    }
    if (options->headers.count > KAFKA_HEADERS_MAX) {
        fault = "\"headers\" has more than 32 headers";
    }
    return fault;
}

static const char *brokers_rule(const void *section, const char **ret_key)
{
    const struct kafka_options *options = section;
    *ret_key = "brokers";
    for (size_t at = 0; at < options->brokers.count; at++) {
        const char *broker = options->brokers.items[at];
        if (broker != NULL && (broker[0] == '\0' || strpbrk(broker, ", \t\n") != NULL)) {
            return "\"brokers\" has an item that is no `host:port`";
        }
    }
    return NULL;
}

/* Properties that this target sets, and what sets them in the conf. */
static const struct {
    const char *property;
    const char *instead;
} own[] = {
    {"bootstrap.servers", "use `brokers`"},
    {"metadata.broker.list", "use `brokers`"},
    {"message.timeout.ms", "use `deadline`"},
    {"delivery.timeout.ms", "use `deadline`"},
    {"transaction.timeout.ms", "use `deadline`"},
    {"linger.ms", "use `linger`"},
    {"queue.buffering.max.ms", "use `linger`"},
    {"compression.codec", "use `compression`"},
    {"compression.type", "use `compression`"},
    {"transactional.id", "use `delivery: exactly_once`"},
    {"enable.idempotence", "it is always on"},
    {"acks", "a change is durable when all replicas in sync have it"},
    {"request.required.acks", "a change is durable when all replicas in sync have it"},
    {"enable.gapless.guarantee", "pgfan sends again what failed, in order"},
    {"queue.buffering.max.messages", "a batch of the pipeline bounds it"},
    {"queue.buffering.max.kbytes", "a batch of the pipeline bounds it"},
    {"delivery.report.only.error", "each report is needed"},
    {"allow.auto.create.topics", "it is of consumers"},
};

/* A property that librdkafka does not know: the nearest one that it does. */
static const char *unknown_property(rd_kafka_conf_t *conf, const char *property)
{
    struct nearest nearest;
    size_t count = 0;
    const char **pairs = rd_kafka_conf_dump(conf, &count);
    nearest_init(&nearest, property);
    for (size_t at = 0; at < count; at += 2) {
        nearest_offer(&nearest, pairs[at]);
    }
    (void)snprintf(said, sizeof(said), "librdkafka has no property \"%.100s\"%s%s%s", property,
                   nearest.best != NULL ? ": did you mean \"" : "",
                   nearest.best != NULL ? nearest.best : "",
                   nearest.best != NULL ? "\"?" : ""); /* it fits */
    rd_kafka_conf_dump_free(pairs, count);
    return said;
}

/* The library's text names the value, which may be a secret. */
static const char *try_property(rd_kafka_conf_t *conf, const struct conf_text_pair *pair)
{
    char text[8]; /* not wanted */
    for (size_t at = 0; at < CONF_COUNT(own); at++) {
        if (strcmp(own[at].property, pair->key) == 0) {
            (void)snprintf(said, sizeof(said), "property \"%s\" is not yours to set: %s", pair->key,
                           own[at].instead); /* it fits */
            return said;
        }
    }
    switch (rd_kafka_conf_set(conf, pair->key, pair->value, text, sizeof(text))) {
    case RD_KAFKA_CONF_UNKNOWN:
        return unknown_property(conf, pair->key);
    case RD_KAFKA_CONF_INVALID:
        (void)snprintf(said, sizeof(said),
                       "property \"%.100s\" has a value that librdkafka refuses",
                       pair->key); /* it fits */
        return said;
    default:
        return NULL;
    }
}

static const char *properties_rule(const void *section, const char **ret_key)
{
    const struct kafka_options *options = section;
    const char *fault = NULL;
    char text[8]; /* not wanted */
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    *ret_key = "properties";
    for (size_t at = 0; at < options->properties.count && fault == NULL; at++) {
        const struct conf_text_pair *pair = &options->properties.pairs[at];
        fault = pair->key == NULL || pair->value == NULL ? NULL : try_property(conf, pair);
    }
    if (fault == NULL && options->compression != NULL &&
        rd_kafka_conf_set(conf, "compression.codec", options->compression, text, sizeof(text)) !=
            RD_KAFKA_CONF_OK) {
        *ret_key = "compression";
        fault = "\"compression\" must be none, gzip, snappy, lz4 or zstd, and in librdkafka";
    }
    rd_kafka_conf_destroy(conf);
    return fault;
}

static conf_rule *const kafka_rules[] = {brokers_rule, topics_rule, records_rule, properties_rule,
                                         NULL};

const struct conf_table kafka_options_table = {
    .name = "kafka",
    .help = "Sends events to topics of Apache Kafka, or of what speaks its protocol; an event is "
            "settled when all replicas in sync have its last record.",
    .size = sizeof(struct kafka_options),
    .options = kafka_options,
    .options_count = CONF_COUNT(kafka_options),
    .rules = kafka_rules,
};
