/*
 * place.h - where a target that delivers exactly once has got to, as Kafka itself knows it.
 *
 * Each transaction holds, beside the events, one record of the checkpoint topic:
 *
 *     key    <system identifier>/<slot>/<pipeline>/<target>
 *     value  {"lsn":"0/16B3748","seq":3}
 *
 * so that the events up to that position are there if and only if the record is. The topic has one
 * partition and is compacted; whoever reads it takes committed records only. It is of one target: an
 * open transaction of another would hide what comes behind its records.
 *
 * Threading:  stateless; place_read() blocks.
 */
#ifndef TARGETS_KAFKA_PLACE_H
#define TARGETS_KAFKA_PLACE_H

#include "model/position.h"
#include "targets/kafka/producer.h"

enum { PLACE_KEY_MAX = 400, PLACE_VALUE_MAX = 64, PLACE_TOPIC_MAX = 250 };

/* The name of the checkpoint topic. */
void place_topic(const struct kafka_options *options, const struct target_context *context,
                 char topic[PLACE_TOPIC_MAX]);

/* The key of the target's record. The system identifier is known. */
void place_key(const struct target_context *context, char key[PLACE_KEY_MAX]);

/* Writes the value, with a NUL. Returns its length. */
size_t place_write(struct fan_position position, char value[PLACE_VALUE_MAX]);
/* False: it is no such value. */
bool place_parse(const char *value, size_t size, struct fan_position *ret_position);

/* The last committed place of that key in the topic, or POSITION_NONE. FAN_RETRY: it could not be read until
 * `deadline_us`, on the monotonic clock. */
enum fan_status place_read(const struct producer_setup *setup, const char *topic, const char *key,
                           int64_t deadline_us, struct fan_position *ret_position,
                           struct fan_error *reterr) FAN_MUST_CHECK;

#endif
