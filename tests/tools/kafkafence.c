/*
 * kafkafence.c - takes a transactional id, so that whoever had it before is fenced.
 *
 *     kafkafence BROKERS ID
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

enum { TIMEOUT_MS = 60000 };

static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "kafkafence: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    char text[512];
    if (argc != 3) {
        die("usage", "kafkafence BROKERS ID");
    }
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], text, sizeof(text)) !=
            RD_KAFKA_CONF_OK ||
        rd_kafka_conf_set(conf, "transactional.id", argv[2], text, sizeof(text)) !=
            RD_KAFKA_CONF_OK) {
        die("conf", text);
    }
    rd_kafka_t *handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (handle == NULL) {
        die("producer", text);
    }
    rd_kafka_error_t *error = rd_kafka_init_transactions(handle, TIMEOUT_MS);
    if (error != NULL) {
        die("transactions", rd_kafka_error_string(error));
    }
    rd_kafka_destroy(handle);
    return EXIT_SUCCESS;
}
