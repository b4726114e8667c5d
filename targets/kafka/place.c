#include "targets/kafka/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "model/lsn.h"
#include "targets/kafka/fault.h"

enum { SLICE_MS = 500 };

void place_topic(const struct kafka_options *options, const struct target_context *context,
                 char topic[PLACE_TOPIC_MAX])
{
    if (options->checkpoint_topic != NULL) {
        (void)snprintf(topic, PLACE_TOPIC_MAX, "%s", options->checkpoint_topic); /* it fits */
    } else { /* three names of at most 63 bytes */
        (void)snprintf(topic, PLACE_TOPIC_MAX, "pgfan.checkpoints.%s.%s.%s", context->encode->slot,
                       context->pipeline, context->target);
    }
}

void place_key(const struct target_context *context, char key[PLACE_KEY_MAX])
{
    (void)snprintf(key, PLACE_KEY_MAX, "%s/%s/%s/%s", context->encode->system_id,
                   context->encode->slot, context->pipeline, context->target); /* names are short */
}

size_t place_write(struct fan_position position, char value[PLACE_VALUE_MAX])
{
    char lsn[LSN_TEXT_SIZE];
    (void)lsn_format(position.commit_lsn, lsn); /* its length is not wanted */
    int size = snprintf(value, PLACE_VALUE_MAX, "{\"lsn\":\"%s\",\"seq\":%lld}", lsn,
                        (long long)position.seq);
    return (size_t)size; /* it fits */
}

/* Moves `*at` behind the text, if it stands there. */
static bool skip(char **at, const char *text)
{
    size_t size = strlen(text);
    bool there = strncmp(*at, text, size) == 0;
    *at += there ? size : 0;
    return there;
}

bool place_parse(const char *value, size_t size, struct fan_position *ret_position)
{
    char text[PLACE_VALUE_MAX];
    char *at = text;
    struct fan_position position;
    if (size >= sizeof(text)) {
        return false;
    }
    memcpy(text, value, size);
    text[size] = '\0';
    if (!skip(&at, "{\"lsn\":\"")) {
        return false;
    }
    char *lsn = at;
    at += strcspn(at, "\"");
    if (*at != '"') {
        return false;
    }
    *at++ = '\0';
    if (!lsn_parse(lsn, &position.commit_lsn) || !skip(&at, ",\"seq\":") ||
        (*at != '-' && (*at < '0' || *at > '9'))) {
        return false;
    }
    errno = 0;
    position.seq = strtoll(at, &at, 10);
    if (errno != 0 || !skip(&at, "}") || at != text + size) {
        return false;
    }
    *ret_position = position;
    return true;
}

/* Takes note of the record if it is one of the key's. */
static void take(const rd_kafka_message_t *message, const char *key,
                 struct fan_position *ret_position)
{
    struct fan_position position;
    if (message->key_len == strlen(key) && memcmp(message->key, key, message->key_len) == 0 &&
        message->payload != NULL && place_parse(message->payload, message->len, &position)) {
        *ret_position = position;
    }
}

/* Reads the one partition to its end. */
static rd_kafka_resp_err_t read_all(rd_kafka_t *handle, const char *key, int64_t deadline_us,
                                    struct fan_position *ret_position)
{
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    bool over = false;
    while (!over && clock_monotonic_us() < deadline_us) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(handle, SLICE_MS);
        if (message == NULL) {
            continue;
        }
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            take(message, key, ret_position);
        } else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            code = RD_KAFKA_RESP_ERR_NO_ERROR;
            over = true;
        } else if (kafka_fault_class(message->err) != FAN_RETRY) {
            code = message->err;
            over = true;
        } else {
            code = message->err; /* the library tries again */
        }
        rd_kafka_message_destroy(message);
    }
    return code;
}

enum fan_status place_read(const struct producer_setup *setup, const char *topic, const char *key,
                           int64_t deadline_us, struct fan_position *ret_position,
                           struct fan_error *reterr)
{
    *ret_position = POSITION_NONE;
    rd_kafka_t *handle = NULL;
    enum fan_status status = producer_reader(setup, &handle, reterr);
    if (status != FAN_OK) {
        return status;
    }
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_resp_err_t code = rd_kafka_assign(handle, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        code = read_all(handle, key, deadline_us, ret_position);
    }
    rd_kafka_destroy(handle);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return FAN_OK;
    }
    struct fan_error error;
    status = kafka_fault(code, NULL, &error);
    (void)fan_fail(reterr, status, "could not read the place in \"%s\": %s", topic, error.text);
    fan_error_annotate(reterr, error.code, error.hint[0] != '\0' ? "%s" : NULL, error.hint);
    return status;
}
