/*
 * kafkaread.c - what the topics of a cluster hold now, a JSON object a line.
 *
 *     kafkaread BROKERS PREFIX [PROPERTY=VALUE ...]
 *     kafkaread --count BROKERS PREFIX [PROPERTY=VALUE ...]
 *
 * Reads every topic whose name begins with PREFIX from its beginning to the end that it has when it
 * is asked: {"topic", "partition", "offset", "key", "value", "headers"}; key and value are null where
 * there is none, and {"hex": ...} where they are no UTF-8. isolation.level=read_committed leaves out
 * what a transaction that is open or aborted wrote. --count prints only where the logs end, all
 * together.
 */
#include <jansson.h>
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 20000 };

static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "kafkaread: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void check(rd_kafka_resp_err_t code, const char *what)
{
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        die(what, rd_kafka_err2str(code));
    }
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[512];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK) {
        die(name, text);
    }
}

static rd_kafka_t *consumer(const char *brokers, char **properties)
{
    char text[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", brokers);
    set(conf, "group.id", "kafkaread");
    set(conf, "enable.auto.commit", "false");
    set(conf, "enable.partition.eof", "true");
    for (; *properties != NULL; properties++) {
        char *value = strchr(*properties, '=');
        if (value == NULL) {
            die(*properties, "no property");
        }
        *value++ = '\0';
        set(conf, *properties, value);
    }
    rd_kafka_t *handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    if (handle == NULL) {
        die("consumer", text);
    }
    check(rd_kafka_poll_set_consumer(handle), "poll");
    return handle;
}

static rd_kafka_topic_partition_list_t *partitions(rd_kafka_t *handle, const char *prefix)
{
    const struct rd_kafka_metadata *metadata;
    check(rd_kafka_metadata(handle, 1, NULL, &metadata, TIMEOUT_MS), "metadata");
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    for (int at = 0; at < metadata->topic_cnt; at++) {
        const struct rd_kafka_metadata_topic *topic = &metadata->topics[at];
        for (int index = 0; index < topic->partition_cnt; index++) {
            if (strncmp(topic->topic, prefix, strlen(prefix)) == 0) {
                rd_kafka_topic_partition_list_add(list, topic->topic, topic->partitions[index].id)
                    ->offset = RD_KAFKA_OFFSET_BEGINNING;
            }
        }
    }
    rd_kafka_metadata_destroy(metadata);
    return list;
}

static json_t *text_of(const void *bytes, size_t size)
{
    if (bytes == NULL) {
        return json_null();
    }
    json_t *text = json_stringn(bytes, size);
    if (text != NULL) {
        return text;
    }
    char *hex = malloc(2 * size + 1);
    if (hex == NULL) {
        die("value", "out of memory");
    }
    for (size_t at = 0; at < size; at++) {
        (void)snprintf(hex + 2 * at, 3, "%02x", ((const unsigned char *)bytes)[at]); /* fits */
    }
    json_t *object = json_pack("{s:s#}", "hex", hex, (int)(2 * size));
    free(hex);
    return object;
}

static json_t *headers_of(const rd_kafka_message_t *message)
{
    json_t *object = json_object();
    rd_kafka_headers_t *headers;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return object;
    }
    const char *name;
    const void *value;
    size_t size;
    for (size_t at = 0;
         rd_kafka_header_get_all(headers, at, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
         at++) {
        if (json_object_set_new(object, name, text_of(value, size)) != 0) {
            die("header", name);
        }
    }
    return object;
}

static void print(const rd_kafka_message_t *message)
{
    json_t *line =
        json_pack("{s:s, s:i, s:I, s:o, s:o, s:o}", "topic", rd_kafka_topic_name(message->rkt),
                  "partition", message->partition, "offset", (json_int_t)message->offset, "key",
                  text_of(message->key, message->key_len), "value",
                  text_of(message->payload, message->len), "headers", headers_of(message));
    if (line == NULL || json_dumpf(line, stdout, JSON_COMPACT) != 0 || putchar('\n') == EOF) {
        die("output", "cannot write");
    }
    json_decref(line);
}

static void print_ends(rd_kafka_t *handle, const rd_kafka_topic_partition_list_t *list)
{
    int64_t sum = 0;
    for (int at = 0; at < list->cnt; at++) {
        int64_t first;
        int64_t end;
        check(rd_kafka_query_watermark_offsets(handle, list->elems[at].topic,
                                               list->elems[at].partition, &first, &end, TIMEOUT_MS),
              "ends");
        sum += end;
    }
    (void)printf("%lld\n", (long long)sum); /* the caller sees if it cannot */
}

int main(int argc, char **argv)
{
    bool count = argc > 1 && strcmp(argv[1], "--count") == 0;
    argc -= count;
    argv += count;
    if (argc < 3) {
        die("usage", "kafkaread BROKERS PREFIX [PROPERTY=VALUE ...]");
    }
    rd_kafka_t *handle = consumer(argv[1], argv + 3);
    rd_kafka_topic_partition_list_t *list = partitions(handle, argv[2]);
    int open = count ? 0 : list->cnt;
    if (count) {
        print_ends(handle, list);
    }
    check(open > 0 ? rd_kafka_assign(handle, list) : RD_KAFKA_RESP_ERR_NO_ERROR, "assign");
    while (open > 0) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(handle, TIMEOUT_MS);
        if (message == NULL) {
            die("topics", "nothing comes");
        }
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            open--;
        } else if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            print(message);
        } else {
            die("consume", rd_kafka_message_errstr(message));
        }
        rd_kafka_message_destroy(message);
    }
    rd_kafka_topic_partition_list_destroy(list);
    check(rd_kafka_consumer_close(handle), "close");
    rd_kafka_destroy(handle);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
