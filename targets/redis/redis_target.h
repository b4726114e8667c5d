/*
 * redis_target.h - adds events to Redis Streams, an entry each, some hundred in one round trip.
 *
 * An answering target with a thread and a connection of its own: requests wait for each other, and
 * what goes in a round trip is added whole or not at all. docs/target-redis.md says what is
 * added, and when an event may be there twice.
 *
 * Threading:  as target.h says. The thread runs from start() to stop(), and posts all answers.
 * Limits:     context.requests_max open requests.
 */
#ifndef TARGETS_REDIS_REDIS_TARGET_H
#define TARGETS_REDIS_REDIS_TARGET_H

#include "targets/target.h"

extern const struct target_type redis_target_type;

#endif
