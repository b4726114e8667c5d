/*
 * producer.h - one producer of librdkafka: made out of the conf, its words kept in order.
 *
 * The settings that delivery rests on are not the user's: idempotence with acks of all replicas in
 * sync, so that a record is neither doubled nor overtaken by librdkafka's own retries; a report for
 * each record, at the latest when the target's deadline is over; queues that only the pipeline's
 * batches bound (librdkafka's INTRODUCTION.md, "Idempotent Producer"; CONFIGURATION.md).
 *
 * Threading:  one thread, but for librdkafka's own, which log.
 */
#ifndef TARGETS_KAFKA_PRODUCER_H
#define TARGETS_KAFKA_PRODUCER_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "base/redactor.h"
#include "base/status.h"
#include "targets/kafka/options.h"
#include "targets/kafka/statistics.h"
#include "targets/target.h"

enum { KAFKA_TOPICS_MAX = 10000, PRODUCER_TEXT_MAX = 400 };

struct producer_topic;

struct producer_setup {
    const struct kafka_options *options;
    const struct target_context *context;
    const struct redactor *redactor;
    const char *transactional_id; /* NULL: no transactions */
    int events_fd; /* an eventfd: written when producer_serve() has something to do */
    /* The report of a record, whose `context` producer_send() was given. */
    void (*reported)(void *record_context, rd_kafka_resp_err_t code);
    struct statistics *statistics; /* filled in now and then */
};

struct producer {
    struct producer_setup setup;
    rd_kafka_t *handle;             /* NULL: not open */
    size_t record_max;              /* bytes of one: message.max.bytes */
    struct producer_topic **topics; /* owned hash table */
    size_t topics_count;
    size_t sought_count; /* of them, those that no broker has shown, and are still looked for */

    /* The last thing that the library complained about since a record was delivered. */
    rd_kafka_resp_err_t trouble;
    char trouble_text[PRODUCER_TEXT_MAX];
    bool fatal; /* it cannot go on: close it, and open another */
};

/* FAN_FATAL: a property, or a file that one names, is not right. */
enum fan_status producer_open(struct producer *producer, const struct producer_setup *setup,
                              struct fan_error *reterr) FAN_MUST_CHECK;
/* Records without a report get none. Accepts a zeroed one. */
void producer_close(struct producer *producer);

/* The topic of that name, created first if the conf says so, which may take until `timeout_ms`. */
rd_kafka_resp_err_t producer_topic(struct producer *producer, const char *name, int timeout_ms,
                                   rd_kafka_topic_t **ret_topic);

/*
 * A topic is looked for from its first producer_topic() on: the library asks for it once, which makes a
 * broker create it that does so by itself, and then once a second. Until it is there its records wait.
 *
 * Asks a broker for the topics that are looked for, which takes `timeout_ms` at the most. False: none
 * answers.
 */
bool producer_seek(struct producer *producer, int timeout_ms) FAN_MUST_CHECK;
/* From now on they are the library's business. */
void producer_seek_end(struct producer *producer);

/* Makes sure that there is a checkpoint topic of that name: compacted, of one partition. */
rd_kafka_resp_err_t producer_checkpoint_topic(struct producer *producer, const char *name,
                                              int timeout_ms);

/* A consumer of committed records with the same properties; the caller destroys it. */
enum fan_status producer_reader(const struct producer_setup *setup, rd_kafka_t **ret_handle,
                                struct fan_error *reterr) FAN_MUST_CHECK;

/* Takes note of what a call complained about. */
void producer_note(struct producer *producer, rd_kafka_resp_err_t code, const char *text,
                   bool fatal);

/* Calls `reported`, and takes note of complaints; waits for `timeout_ms` at most for the first. */
void producer_serve(struct producer *producer, int timeout_ms);

/* Everything without a report gets one soon. */
void producer_purge(struct producer *producer);

/* Fills the error for a code: what was complained about tells more than a time-out. */
enum fan_status producer_fault(const struct producer *producer, rd_kafka_resp_err_t code,
                               struct fan_error *reterr);

#endif
