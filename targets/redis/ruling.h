/*
 * ruling.h - what an error reply of a Redis server means for the events it is about.
 *
 * The only place that knows the code words of Redis.
 *
 *     OOM LOADING READONLY CLUSTERDOWN BUSY ...       FAN_RETRY: the server cannot now
 *     NOAUTH WRONGPASS NOPERM WRONGTYPE MOVED, other  FAN_FATAL: somebody has to mend something
 *     an event larger than the server takes           FAN_POISON
 *
 * Nothing about an event's content makes Redis refuse it, so what is not known is not poison: one
 * wrong setting would make dead letters of everything.
 *
 * Threading:  stateless.
 */
#ifndef TARGETS_REDIS_RULING_H
#define TARGETS_REDIS_RULING_H

#include <stddef.h>

#include "base/redactor.h"
#include "base/status.h"

/* `words`: the reply without its `-`. What follows "with args" may be a part of an event, and is
 * left out of the message. */
enum fan_status redis_rule(const char *words, size_t size, const char *shown,
                           const struct redactor *redactor, struct fan_error *reterr);

#endif
