#include "targets/kafka/producer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/log.h"
#include "targets/kafka/fault.h"

enum { TOPIC_BUCKETS = 1024, SYSLOG_ERROR = 3, SYSLOG_NOTICE = 5 };

struct producer_topic {
    struct producer_topic *next;
    rd_kafka_topic_t *handle;
    bool sought; /* it is new, and may not be there */
    char name[];
};

/* ---- what the library says ---- */

/* Its lines name hosts and settings; what is secret among them is hidden. */
static void on_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    const struct producer *producer = rd_kafka_opaque(handle);
    struct bytes shown;
    bytes_init(&shown, 2000);
    redactor_append(producer->setup.redactor, &shown, text, strlen(text), 1000);
    enum log_level as = level <= SYSLOG_ERROR    ? LOG_WARN
                        : level <= SYSLOG_NOTICE ? LOG_INFO
                                                 : LOG_DEBUG;
    log_write(as, "librdkafka", LOG_TEXT("pipeline", producer->setup.context->pipeline),
              LOG_TEXT("target", producer->setup.context->target), LOG_TEXT("what", facility),
              LOG_TEXT("text", bytes_text(&shown)));
    bytes_release(&shown);
}

void producer_note(struct producer *producer, rd_kafka_resp_err_t code, const char *text,
                   bool fatal)
{
    struct bytes shown;
    producer->fatal = producer->fatal || fatal;
    bytes_init(&shown, (size_t)2 * PRODUCER_TEXT_MAX);
    redactor_append(producer->setup.redactor, &shown, text, strlen(text), PRODUCER_TEXT_MAX / 2);
    producer->trouble = code;
    (void)snprintf(producer->trouble_text, PRODUCER_TEXT_MAX, "%s", bytes_text(&shown)); /* cut */
    bytes_release(&shown);
}

static void on_error(rd_kafka_t *handle, int code, const char *text, void *context)
{
    struct producer *producer = context;
    char fatal[PRODUCER_TEXT_MAX];
    if (code == RD_KAFKA_RESP_ERR__FATAL) {
        code = rd_kafka_fatal_error(handle, fatal, sizeof(fatal));
        producer_note(producer, code, fatal, true);
        return;
    }
    /* That all brokers are down follows from what was said before. */
    if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN ||
        producer->trouble == RD_KAFKA_RESP_ERR_NO_ERROR) {
        producer_note(producer, code, text, false);
    }
}

static void on_report(rd_kafka_t *handle, const rd_kafka_message_t *message, void *context)
{
    struct producer *producer = context;
    (void)handle; /* there is one */
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        producer->trouble = RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    producer->setup.reported(message->_private, message->err);
}

static int on_statistics(rd_kafka_t *handle, char *json, size_t size, void *context)
{
    struct producer *producer = context;
    (void)handle; /* there is one */
    statistics_take(producer->setup.statistics, json, size);
    return 0; /* the text is the library's again */
}

enum fan_status producer_fault(const struct producer *producer, rd_kafka_resp_err_t code,
                               struct fan_error *reterr)
{
    bool late = code == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT || code == RD_KAFKA_RESP_ERR__TIMED_OUT ||
                code == RD_KAFKA_RESP_ERR__PURGE_QUEUE || code == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
    if (late && producer->trouble != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return kafka_fault(producer->trouble, producer->trouble_text, reterr);
    }
    return kafka_fault(code, NULL, reterr);
}

/* ---- its configuration ---- */

struct setting {
    rd_kafka_conf_t *conf;
    bool fine;
    char text[PRODUCER_TEXT_MAX];
};

static void set(struct setting *setting, const char *name, const char *value)
{
    if (setting->fine) {
        setting->fine = rd_kafka_conf_set(setting->conf, name, value, setting->text,
                                          sizeof(setting->text)) == RD_KAFKA_CONF_OK;
    }
}

static void set_number(struct setting *setting, const char *name, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%lld", (long long)value); /* fits */
    set(setting, name, text);
}

static void set_brokers(struct setting *setting, const struct conf_text_list *brokers)
{
    struct bytes list;
    bytes_init(&list, 1 << 20);
    for (size_t at = 0; at < brokers->count; at++) {
        bytes_append_text(&list, at > 0 ? "," : "");
        bytes_append_text(&list, brokers->items[at]);
    }
    set(setting, "bootstrap.servers", bytes_text(&list));
    bytes_release(&list);
}

static int64_t milliseconds(int64_t us)
{
    return us < 1000 ? 1 : us / 1000;
}

/* What the user says, and who it is said to. */
static void set_common(struct setting *setting, const struct kafka_options *options)
{
    for (size_t at = 0; at < options->properties.count; at++) {
        set(setting, options->properties.pairs[at].key, options->properties.pairs[at].value);
    }
    set_brokers(setting, &options->brokers);
}

static void set_all(struct setting *setting, const struct producer_setup *setup)
{
    const struct kafka_options *options = setup->options;
    int64_t deadline_ms = milliseconds(setup->context->deadline_us);
    set(setting, "client.id", "pgfan");
    set(setting, "statistics.interval.ms", "5000");
    set(setting, "partitioner", "murmur2_random"); /* as Java's clients choose */
    set_number(setting, "linger.ms", options->linger_us / 1000);
    set_common(setting, options);
    if (options->compression != NULL) {
        set(setting, "compression.codec", options->compression);
    }
    set(setting, "enable.idempotence", "true");
    set(setting, "acks", "all");
    set(setting, "queue.buffering.max.messages", "10000000");
    set(setting, "queue.buffering.max.kbytes", "2147483647");
    set_number(setting, "message.timeout.ms", deadline_ms);
    if (setup->transactional_id != NULL) {
        set(setting, "transactional.id", setup->transactional_id);
        set_number(setting, "transaction.timeout.ms", deadline_ms < 1000 ? 1000 : deadline_ms);
    }
}

static size_t record_max(const rd_kafka_conf_t *conf)
{
    char text[24] = "";
    size_t size = sizeof(text);
    (void)rd_kafka_conf_get(conf, "message.max.bytes", text, &size); /* it has it, and it fits */
    return strtoull(text, NULL, 10);
}

static enum fan_status cannot_open(const struct producer_setup *setup, const char *text,
                                   struct fan_error *reterr)
{
    struct bytes shown;
    bytes_init(&shown, (size_t)2 * PRODUCER_TEXT_MAX);
    redactor_append(setup->redactor, &shown, text, strlen(text), PRODUCER_TEXT_MAX);
    (void)fan_fail(reterr, FAN_FATAL, "cannot make a Kafka producer: %s", bytes_text(&shown));
    fan_error_annotate(reterr, "KAFKA_CONF", "check the properties of the target");
    bytes_release(&shown);
    return FAN_FATAL;
}

enum fan_status producer_open(struct producer *producer, const struct producer_setup *setup,
                              struct fan_error *reterr)
{
    *producer = (struct producer){.setup = *setup};
    struct setting setting = {.conf = rd_kafka_conf_new(), .fine = true};
    set_all(&setting, setup);
    if (!setting.fine) {
        rd_kafka_conf_destroy(setting.conf);
        return cannot_open(setup, setting.text, reterr);
    }
    producer->topics = calloc(TOPIC_BUCKETS, sizeof(struct producer_topic *));
    if (producer->topics == NULL) {
        rd_kafka_conf_destroy(setting.conf);
        return fan_fail(reterr, FAN_RETRY, "could not make a Kafka producer: out of memory");
    }
    rd_kafka_conf_set_opaque(setting.conf, producer);
    rd_kafka_conf_set_log_cb(setting.conf, on_log);
    rd_kafka_conf_set_error_cb(setting.conf, on_error);
    rd_kafka_conf_set_dr_msg_cb(setting.conf, on_report);
    rd_kafka_conf_set_stats_cb(setting.conf, on_statistics);
    producer->record_max = record_max(setting.conf);
    producer->handle =
        rd_kafka_new(RD_KAFKA_PRODUCER, setting.conf, setting.text, sizeof(setting.text));
    if (producer->handle == NULL) {
        rd_kafka_conf_destroy(setting.conf);
        producer_close(producer);
        return cannot_open(setup, setting.text, reterr);
    }
    static const uint64_t one = 1;
    rd_kafka_queue_t *queue = rd_kafka_queue_get_main(producer->handle);
    rd_kafka_queue_io_event_enable(queue, setup->events_fd, &one, sizeof(one));
    rd_kafka_queue_destroy(queue); /* our reference to it */
    return FAN_OK;
}

enum fan_status producer_reader(const struct producer_setup *setup, rd_kafka_t **ret_handle,
                                struct fan_error *reterr)
{
    struct setting setting = {.conf = rd_kafka_conf_new(), .fine = true};
    set(&setting, "client.id", "pgfan");
    set_common(&setting, setup->options);
    set(&setting, "group.id", "pgfan"); /* the library wants one; nothing is committed */
    set(&setting, "enable.auto.commit", "false");
    set(&setting, "enable.partition.eof", "true");
    set(&setting, "isolation.level", "read_committed");
    set(&setting, "auto.offset.reset", "error");
    rd_kafka_conf_set_log_cb(setting.conf, NULL); /* the producer says the same */
    *ret_handle = setting.fine ? rd_kafka_new(RD_KAFKA_CONSUMER, setting.conf, setting.text,
                                              sizeof(setting.text))
                               : NULL;
    if (*ret_handle == NULL) {
        rd_kafka_conf_destroy(setting.conf);
        return cannot_open(setup, setting.text, reterr);
    }
    (void)rd_kafka_poll_set_consumer(*ret_handle); /* it is one */
    return FAN_OK;
}

void producer_close(struct producer *producer)
{
    for (size_t bucket = 0; producer->topics != NULL && bucket < TOPIC_BUCKETS; bucket++) {
        struct producer_topic *topic = producer->topics[bucket];
        while (topic != NULL) {
            struct producer_topic *next = topic->next;
            rd_kafka_topic_destroy(topic->handle);
            free(topic);
            topic = next;
        }
    }
    free(producer->topics);
    producer->topics = NULL;
    if (producer->handle != NULL) {
        rd_kafka_destroy(producer->handle);
        producer->handle = NULL;
    }
}

void producer_serve(struct producer *producer, int timeout_ms)
{
    while (rd_kafka_poll(producer->handle, timeout_ms) > 0) {
        timeout_ms = 0; /* what is there already */
    }
}

void producer_purge(struct producer *producer)
{
    /* The only fault is an unknown flag. */
    (void)rd_kafka_purge(producer->handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                               RD_KAFKA_PURGE_F_NON_BLOCKING);
}

/* ---- topics ---- */

static rd_kafka_resp_err_t created(rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    size_t count = 0;
    const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(event);
    const rd_kafka_topic_result_t **topics =
        result == NULL ? NULL : rd_kafka_CreateTopics_result_topics(result, &count);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && count > 0) {
        code = rd_kafka_topic_result_error(topics[0]);
    }
    return code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS ? RD_KAFKA_RESP_ERR_NO_ERROR : code;
}

static rd_kafka_resp_err_t create(rd_kafka_t *handle, rd_kafka_NewTopic_t *topic, int timeout_ms)
{
    char text[PRODUCER_TEXT_MAX]; /* the code says enough */
    rd_kafka_AdminOptions_t *admin = rd_kafka_AdminOptions_new(handle, RD_KAFKA_ADMIN_OP_ANY);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(handle);
    rd_kafka_resp_err_t code =
        rd_kafka_AdminOptions_set_request_timeout(admin, timeout_ms, text, sizeof(text));
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_CreateTopics(handle, &topic, 1, admin, queue);
        rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms + 1000);
        code = event == NULL ? RD_KAFKA_RESP_ERR__TIMED_OUT : created(event);
        rd_kafka_event_destroy(event); /* accepts NULL */
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(admin);
    return code;
}

static rd_kafka_resp_err_t topic_create(struct producer *producer, const char *name, int partitions,
                                        const struct conf_text_map *config, int timeout_ms)
{
    char text[PRODUCER_TEXT_MAX]; /* the code says enough */
    int replicas = (int)producer->setup.options->topics.replication_factor;
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(name, partitions, replicas, text, sizeof(text));
    if (topic == NULL) {
        return RD_KAFKA_RESP_ERR__INVALID_ARG;
    }
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    for (size_t at = 0; at < config->count && code == RD_KAFKA_RESP_ERR_NO_ERROR; at++) {
        code = rd_kafka_NewTopic_set_config(topic, config->pairs[at].key, config->pairs[at].value);
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        code = create(producer->handle, topic, timeout_ms);
    }
    rd_kafka_NewTopic_destroy(topic);
    return code;
}

static bool topic_exists(struct producer *producer, const char *name, int timeout_ms)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer->handle, name, NULL);
    bool there = topic != NULL && rd_kafka_metadata(producer->handle, 0, topic, &metadata,
                                                    timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR;
    there = there && metadata->topic_cnt == 1 && metadata->topics[0].partition_cnt > 0;
    if (metadata != NULL) {
        rd_kafka_metadata_destroy(metadata);
    }
    if (topic != NULL) {
        rd_kafka_topic_destroy(topic);
    }
    return there;
}

/* Who may not create topics may use one that somebody else has made. */
static rd_kafka_resp_err_t topic_ensure(struct producer *producer, const char *name, int partitions,
                                        const struct conf_text_map *config, int timeout_ms)
{
    rd_kafka_resp_err_t code = topic_create(producer, name, partitions, config, timeout_ms);
    bool there = code != RD_KAFKA_RESP_ERR_NO_ERROR && topic_exists(producer, name, timeout_ms);
    return there ? RD_KAFKA_RESP_ERR_NO_ERROR : code;
}

rd_kafka_resp_err_t producer_checkpoint_topic(struct producer *producer, const char *name,
                                              int timeout_ms)
{
    /* Small segments: only those that are closed are compacted, and the whole is read at each start. */
    static struct conf_text_pair pairs[] = {{"cleanup.policy", "compact"},
                                            {"segment.bytes", "16777216"},
                                            {"min.cleanable.dirty.ratio", "0.01"}};
    static const struct conf_text_map config = {.pairs = pairs, .count = CONF_COUNT(pairs)};
    return topic_ensure(producer, name, 1, &config, timeout_ms);
}

/* Where the topic of that name is, or would be. */
static struct producer_topic **topic_link(const struct producer *producer, const char *name)
{
    uint32_t hash = crc32c(0, (const uint8_t *)name, strlen(name) + 1);
    struct producer_topic **link = &producer->topics[hash % TOPIC_BUCKETS];
    while (*link != NULL && strcmp((*link)->name, name) != 0) {
        link = &(*link)->next;
    }
    return link;
}

rd_kafka_resp_err_t producer_topic(struct producer *producer, const char *name, int timeout_ms,
                                   rd_kafka_topic_t **ret_topic)
{
    size_t size = strlen(name) + 1;
    struct producer_topic **link = topic_link(producer, name);
    if (*link != NULL) {
        *ret_topic = (*link)->handle;
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    if (producer->topics_count == KAFKA_TOPICS_MAX) {
        return RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION;
    }
    const struct kafka_topics *topics = &producer->setup.options->topics;
    rd_kafka_resp_err_t code =
        topics->create
            ? topic_ensure(producer, name, (int)topics->partitions, &topics->config, timeout_ms)
            : RD_KAFKA_RESP_ERR_NO_ERROR;
    struct producer_topic *topic =
        code == RD_KAFKA_RESP_ERR_NO_ERROR ? calloc(1, sizeof(*topic) + size) : NULL;
    if (topic == NULL) {
        return code != RD_KAFKA_RESP_ERR_NO_ERROR ? code : RD_KAFKA_RESP_ERR__FAIL;
    }
    memcpy(topic->name, name, size);
    topic->handle = rd_kafka_topic_new(producer->handle, name, NULL);
    if (topic->handle == NULL) {
        free(topic);
        return rd_kafka_last_error();
    }
    *link = topic;
    topic->sought = true;
    producer->topics_count++;
    producer->sought_count++;
    *ret_topic = topic->handle;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

bool producer_seek(struct producer *producer, int timeout_ms)
{
    const struct rd_kafka_metadata *metadata;
    /* Of the topics that the library knows, which takes note of the answer, too. */
    if (rd_kafka_metadata(producer->handle, 0, NULL, &metadata, timeout_ms) !=
        RD_KAFKA_RESP_ERR_NO_ERROR) {
        return false;
    }
    for (int at = 0; at < metadata->topic_cnt; at++) {
        struct producer_topic *topic = *topic_link(producer, metadata->topics[at].topic);
        rd_kafka_resp_err_t error = metadata->topics[at].err;
        bool comes = metadata->topics[at].partition_cnt == 0 &&
                     (error == RD_KAFKA_RESP_ERR_NO_ERROR ||
                      error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
                      error == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE);
        if (topic != NULL && topic->sought && !comes) { /* it is there, or will not be */
            topic->sought = false;
            producer->sought_count--;
        }
    }
    rd_kafka_metadata_destroy(metadata);
    return true;
}

void producer_seek_end(struct producer *producer)
{
    for (size_t bucket = 0; bucket < TOPIC_BUCKETS && producer->sought_count > 0; bucket++) {
        for (struct producer_topic *at = producer->topics[bucket]; at != NULL; at = at->next) {
            producer->sought_count -= at->sought;
            at->sought = false;
        }
    }
}
