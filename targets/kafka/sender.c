/*
 * sender.c - the thread that speaks to librdkafka.
 *
 * NOTES
 * One record that failed fails its request: while librdkafka numbers anew what follows a failure,
 * later records of a key could stand in the log without it. So all are sent again, in order, and
 * only once every one of them has its report, so that nothing of the first round comes behind the
 * second.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "targets/kafka/fault.h"
#include "targets/kafka/state.h"

/* While the second and the third last nothing else is done, but that reports are taken. */
enum {
    IDLE_MS = 1000,
    TOPIC_MS = 5000,
    SEEK_US = 1000000,
    SEEK_PAUSE_MS = 5,
    SEEK_PAUSE_MAX_MS = 80
};

static int topic_patience_ms(const struct kafka_request *request)
{
    int64_t left_ms = (request->deadline_us - clock_monotonic_us()) / 1000;
    return left_ms < 1 ? 1 : left_ms > TOPIC_MS ? TOPIC_MS : (int)left_ms;
}

bool sender_is_stopping(struct kafka_target *kafka)
{
    (void)pthread_mutex_lock(&kafka->lock); /* cannot fail: a plain mutex that we do not hold */
    bool stopping = kafka->stopping;
    (void)pthread_mutex_unlock(&kafka->lock); /* cannot fail: we hold it */
    return stopping;
}

/* ---- a request ends ---- */

static void request_end(struct kafka_request *request)
{
    struct kafka_target *kafka = request->target;
    struct fan_error error = {0};
    enum fan_status status = FAN_OK;
    kafka->open--;
    if (request->code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        status = producer_fault(&kafka->producer, request->code, &error);
    }
    kafka_request_answer(request, status, &error);
}

void sender_fault(struct kafka_request *request, rd_kafka_resp_err_t code)
{
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR && kafka_fault_is_worse(code, request->code)) {
        request->code = code;
    }
}

void sender_reported(void *context, rd_kafka_resp_err_t code)
{
    struct kafka_request *request = context;
    sender_fault(request, code);
    request->open--;
    if (request->open == 0 && request->handed_over) {
        request_end(request);
    }
}

/* ---- a request begins ---- */

static rd_kafka_headers_t *headers_of(const struct kafka_request *request,
                                      const struct kafka_record *record)
{
    enum { HEADERS_USUAL = 8 };
    if (record->headers == record->headers_end) {
        return NULL;
    }
    rd_kafka_headers_t *headers = rd_kafka_headers_new(HEADERS_USUAL);
    size_t place = record->headers;
    struct record_header header;
    while (records_header(&request->records, record, &place, &header)) {
        /* It fails for headers that are read only, which these are not. */
        (void)rd_kafka_header_add(headers, header.name, (ssize_t)header.name_size, header.value,
                                  (ssize_t)header.value_size);
    }
    return headers;
}

/* The library's functions take what they only read without `const`. */
static void *plain(const void *bytes)
{
    void *pointer;
    memcpy(&pointer, &bytes, sizeof(pointer));
    return pointer;
}

/* The bytes stay where they are until the report. */
static rd_kafka_resp_err_t record_send(struct kafka_request *request,
                                       const struct kafka_record *record, rd_kafka_topic_t *topic)
{
    size_t key_size;
    size_t value_size;
    const uint8_t *key = records_part(&request->records, &record->key, &key_size);
    const uint8_t *value = records_part(&request->records, &record->value, &value_size);
    rd_kafka_headers_t *headers = headers_of(request, record);
    rd_kafka_resp_err_t code;
    if (headers == NULL) {
        code = rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, 0, plain(value), value_size, key,
                                key_size, request) == 0
                   ? RD_KAFKA_RESP_ERR_NO_ERROR
                   : rd_kafka_last_error();
    } else {
        code = rd_kafka_producev(request->target->producer.handle, RD_KAFKA_V_RKT(topic),
                                 RD_KAFKA_V_PARTITION(RD_KAFKA_PARTITION_UA),
                                 RD_KAFKA_V_MSGFLAGS(0), RD_KAFKA_V_VALUE(plain(value), value_size),
                                 RD_KAFKA_V_KEY(plain(key), key_size), RD_KAFKA_V_HEADERS(headers),
                                 RD_KAFKA_V_OPAQUE(request), RD_KAFKA_V_END);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            rd_kafka_headers_destroy(headers); /* else they are the library's */
        }
    }
    return code;
}

/* New topics are there at once, or a few milliseconds later; the library would look a second later. */
static void seek_topics(struct kafka_request *request)
{
    struct producer *producer = &request->target->producer;
    int64_t now_us = clock_monotonic_us();
    int64_t left_us = request->deadline_us - now_us;
    left_us = left_us < SEEK_US ? left_us : SEEK_US;
    int64_t until_us = now_us + left_us;
    int pause_ms = SEEK_PAUSE_MS;
    if (request->open == 0) {
        return; /* nothing waits for them */
    }
    while (request->open > 0 && producer->sought_count > 0 && left_us > 0 &&
           !sender_is_stopping(request->target) &&
           producer_seek(producer, (int)(left_us / 1000) + 1)) {
        producer_serve(producer, producer->sought_count > 0 ? pause_ms : 0);
        pause_ms = pause_ms < SEEK_PAUSE_MAX_MS ? 2 * pause_ms : pause_ms;
        left_us = until_us - clock_monotonic_us();
    }
    producer_seek_end(producer);
}

rd_kafka_resp_err_t sender_hand_over(struct kafka_request *request, size_t first)
{
    struct kafka_target *kafka = request->target;
    const struct record_list *records = &request->records;
    rd_kafka_topic_t *topic = NULL;
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    size_t place = SIZE_MAX;
    for (size_t at = 0; at < records->count && code == RD_KAFKA_RESP_ERR_NO_ERROR; at++) {
        const struct kafka_record *record = &records->items[at];
        if (record->event < first) {
            continue;
        }
        if (record->topic != place) {
            code = producer_topic(&kafka->producer, records_topic(records, record),
                                  topic_patience_ms(request), &topic);
            place = record->topic;
        }
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            code = record_send(request, record, topic);
            request->open += code == RD_KAFKA_RESP_ERR_NO_ERROR;
        }
    }
    seek_topics(request);
    return code;
}

static void request_begin(struct kafka_request *request)
{
    struct producer *producer = &request->target->producer;
    if (request->target->open++ == 0 && kafka_fault_class(producer->trouble) == FAN_FATAL) {
        producer->trouble = RD_KAFKA_RESP_ERR_NO_ERROR; /* it may be mended: this one is tried */
    }
    request->open = 0;
    request->code = RD_KAFKA_RESP_ERR_NO_ERROR;
    request->handed_over = false;
    if (request->target->options->delivery == KAFKA_EXACTLY_ONCE) {
        exactly_send(request);
    } else {
        sender_fault(request, sender_hand_over(request, 0));
    }
    request->handed_over = true;
    if (request->open == 0) {
        request_end(request);
    }
}

/* ---- the thread ---- */

static struct kafka_request *queue_take(struct kafka_target *kafka)
{
    (void)pthread_mutex_lock(&kafka->lock); /* cannot fail: a plain mutex that we do not hold */
    struct kafka_request *request = kafka->stopping ? NULL : kafka->queue;
    if (request != NULL) {
        kafka->queue = request->next;
    }
    (void)pthread_mutex_unlock(&kafka->lock); /* cannot fail: we hold it */
    return request;
}

static void wait_for_work(const struct kafka_target *kafka)
{
    uint64_t count; /* how often it was woken is not wanted */
    struct pollfd woken = {.fd = kafka->wake_fd, .events = POLLIN};
    if (poll(&woken, 1, IDLE_MS) > 0) {
        (void)!read(kafka->wake_fd, &count, sizeof(count)); /* it is ours: nothing can fail */
    }
}

/* A producer that cannot go on has reported, or reports now, every record; then comes another. What
 * is queued meanwhile waits. */
static void producer_renew(struct kafka_target *kafka)
{
    struct producer *producer = &kafka->producer;
    struct fan_error error;
    producer_purge(producer);
    while (kafka->open > 0) {
        producer_serve(producer, IDLE_MS);
    }
    log_write(LOG_WARN, "Kafka producer is made anew",
              LOG_TEXT("pipeline", kafka->context.pipeline),
              LOG_TEXT("target", kafka->context.target), LOG_TEXT("error", producer->trouble_text));
    producer_close(producer);
    kafka->exactly.ready = false;
    enum fan_status status = producer_open(producer, &kafka->producer_setup, &error);
    if (status != FAN_OK) {
        const struct outcome outcome = {
            .target = kafka->context.index, .kind = OUTCOME_FATAL, .error = error};
        kafka->context.outcomes->post(kafka->context.outcomes, &outcome);
    }
}

/* Wrong credentials stay wrong: nobody waits for the deadline. */
static void give_up_early(struct kafka_target *kafka)
{
    struct producer *producer = &kafka->producer;
    if (kafka->open > 0 && producer->trouble != RD_KAFKA_RESP_ERR_NO_ERROR &&
        kafka_fault_class(producer->trouble) == FAN_FATAL) {
        producer_purge(producer);
        while (kafka->open > 0) {
            producer_serve(producer, IDLE_MS);
        }
    }
}

void *sender_run(void *target)
{
    struct kafka_target *kafka = target;
    struct producer *producer = &kafka->producer;
    thread_set_name("kafka");
    while (!sender_is_stopping(kafka) && producer->handle != NULL) {
        struct kafka_request *request = queue_take(kafka);
        if (request != NULL) {
            request_begin(request);
        }
        producer_serve(producer, 0);
        give_up_early(kafka);
        if (producer->fatal) {
            producer_renew(kafka);
        } else if (request == NULL) {
            wait_for_work(kafka);
        }
    }
    if (producer->handle != NULL) {
        producer_purge(producer);
    }
    while (kafka->open > 0 && producer->handle != NULL) {
        producer_serve(producer, IDLE_MS);
    }
    producer_close(producer);
    return NULL;
}
