/*
 * kafka_target.h - sends events to topics of Apache Kafka through librdkafka.
 *
 *     worker  request(): each event becomes records (records.c) ──► queue
 *     thread  sender.c: records ──► librdkafka ──► brokers ──► reports ──► answer()
 *
 * An answering target. Every record of a request has its delivery report before the request is
 * answered, and one that failed fails them all: what is sent again goes in the order of the batch,
 * and no later event of a key stays in front of an earlier one. docs/target-kafka.md says what
 * goes over the wire.
 *
 * Threading:  as target.h says; one thread a target speaks to librdkafka and posts all answers.
 * Limits:     context.requests_max open requests, KAFKA_TOPICS_MAX topics.
 */
#ifndef TARGETS_KAFKA_KAFKA_TARGET_H
#define TARGETS_KAFKA_KAFKA_TARGET_H

#include "targets/target.h"

extern const struct target_type kafka_target_type;

#endif
