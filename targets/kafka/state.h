/*
 * state.h - the inside of a Kafka target: its requests, and the thread that sends them.
 *
 * A request goes through three hands: the worker takes a free one, makes its records and queues it;
 * the sender's thread gives them to librdkafka and waits for their reports; then it gives the request
 * back before it answers, so that the worker finds it free when the answer arrives.
 */
#ifndef TARGETS_KAFKA_STATE_H
#define TARGETS_KAFKA_STATE_H

#include <pthread.h>

#include "targets/kafka/exactly.h"
#include "targets/kafka/kafka_target.h"
#include "targets/kafka/producer.h"
#include "targets/kafka/records.h"
#include "targets/kafka/statistics.h"

struct kafka_target;

struct kafka_request {
    struct kafka_target *target;
    struct kafka_request *next; /* of the list that it is in */
    struct batch *batch;        /* a reference; NULL while it is free */
    struct answer *answer;
    int64_t deadline_us;
    struct record_list records;

    /* The sender's thread. */
    size_t open;              /* records without a report */
    bool handed_over;         /* all that could be are with the library */
    rd_kafka_resp_err_t code; /* the worst report; NO_ERROR */
};

struct kafka_target {
    struct target base;
    const struct kafka_options *options; /* borrowed */
    struct target_context context;
    struct record_rules rules;
    struct redactor redactor;
    struct kafka_request *requests; /* owned; `requests_count` of them */
    size_t requests_count;
    int wake_fd; /* an eventfd: the sender's thread has something to do */

    pthread_t thread;
    bool running; /* the thread; the worker's */

    struct statistics statistics; /* written by the sender's thread, read by any */

    pthread_mutex_t lock; /* guards what follows */
    struct kafka_request *free;
    struct kafka_request *queue; /* oldest first */
    bool stopping;

    /* The sender's thread, while it runs. */
    struct producer producer;
    struct producer_setup producer_setup;
    char transactional_id[TRANSACTIONAL_ID_MAX];
    struct exactly exactly;
    size_t open; /* requests with open records */
};

/* ---- kafka_target.c ---- */

/* Drops the batch and makes the request free. Any thread. */
void kafka_request_give_back(struct kafka_request *request);
/* Gives the answer of a request, which is given back first. */
void kafka_request_answer(struct kafka_request *request, enum fan_status status,
                          const struct fan_error *error);

/* ---- sender.c ---- */

/* The producer is open. Sends what is queued until `stopping`; then lets go of every record without
 * answering. */
void *sender_run(void *target);
/* The report of a record; `context` is its struct kafka_request. */
void sender_reported(void *context, rd_kafka_resp_err_t code);
/* The request failed with that code, unless with a worse one before. */
void sender_fault(struct kafka_request *request, rd_kafka_resp_err_t code);
/* Gives the records of events [first, ...) to the library; each that it took counts as open. */
rd_kafka_resp_err_t sender_hand_over(struct kafka_request *request, size_t first);
bool sender_is_stopping(struct kafka_target *kafka);

#endif
