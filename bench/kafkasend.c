/*
 * kafkasend.c - what librdkafka alone can do: the lines of a file as records of a topic.
 *
 *     kafkasend BROKERS TOPIC FILE
 *
 * The other side of P3: the same bytes as the Kafka target sends, with the same settings, from memory.
 * The key of a record is the object behind "key": in its line. Ends when every record has its report.
 */
#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static uint64_t failed;

static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "kafkasend: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void reported(rd_kafka_t *handle, const rd_kafka_message_t *message, void *context)
{
    (void)handle; /* there is one */
    (void)context;
    failed += message->err != RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_t *producer(const char *brokers)
{
    char text[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const char *const settings[][2] = {{"bootstrap.servers", brokers},
                                       {"enable.idempotence", "true"},
                                       {"acks", "all"},
                                       {"partitioner", "murmur2_random"},
                                       {"linger.ms", "1"},
                                       {"queue.buffering.max.messages", "10000000"},
                                       {"queue.buffering.max.kbytes", "65536"}};
    for (size_t at = 0; at < sizeof(settings) / sizeof(settings[0]); at++) {
        if (rd_kafka_conf_set(conf, settings[at][0], settings[at][1], text, sizeof(text)) !=
            RD_KAFKA_CONF_OK) {
            die(settings[at][0], text);
        }
    }
    rd_kafka_conf_set_dr_msg_cb(conf, reported);
    rd_kafka_t *handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (handle == NULL) {
        die("producer", text);
    }
    return handle;
}

static const char *find_key(const char *line, size_t size, size_t *ret_size)
{
    static const char name[] = "\"key\":{";
    const char *at = memmem(line, size, name, sizeof(name) - 1);
    if (at == NULL) {
        return NULL;
    }
    at += sizeof(name) - 2;
    const char *end = memchr(at, '}', size - (size_t)(at - line));
    *ret_size = end == NULL ? 0 : (size_t)(end - at) + 1;
    return end == NULL ? NULL : at;
}

static void line_send(rd_kafka_t *handle, rd_kafka_topic_t *topic, const char *line, size_t size)
{
    size_t key_size = 0;
    const char *key = find_key(line, size, &key_size);
    while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, 0, (void *)(uintptr_t)line, size, key,
                            key_size, NULL) != 0) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            die("produce", rd_kafka_err2str(rd_kafka_last_error()));
        }
        (void)rd_kafka_poll(handle, 10); /* reports make room */
    }
}

int main(int argc, char **argv)
{
    struct stat status;
    if (argc != 4) {
        die("usage", "kafkasend BROKERS TOPIC FILE");
    }
    int descriptor = open(argv[3], O_RDONLY | O_CLOEXEC);
    if (descriptor < 0 || fstat(descriptor, &status) != 0) {
        die(argv[3], "cannot be read");
    }
    size_t size = (size_t)status.st_size;
    const char *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, descriptor, 0);
    if (data == MAP_FAILED) {
        die(argv[3], "cannot be mapped");
    }
    rd_kafka_t *handle = producer(argv[1]);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(handle, argv[2], NULL);
    uint64_t count = 0;
    for (const char *line = data; line < data + size; count++) {
        const char *end = memchr(line, '\n', (size_t)(data + size - line));
        end = end == NULL ? data + size : end;
        line_send(handle, topic, line, (size_t)(end - line));
        if (count % 1000 == 0) {
            (void)rd_kafka_poll(handle, 0); /* how many reports came is not wanted */
        }
        line = end + 1;
    }
    if (rd_kafka_flush(handle, 300000) != RD_KAFKA_RESP_ERR_NO_ERROR || failed > 0) {
        die("records", "some were not delivered");
    }
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(handle);
    (void)printf("%llu\n", (unsigned long long)count); /* the caller counts, too */
    return EXIT_SUCCESS;
}
