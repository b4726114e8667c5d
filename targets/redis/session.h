/*
 * session.h - adds batches to a Redis server, over a connection that is made when it is needed.
 *
 * A connection that failed, or on which anything was refused, is closed: the next batch looks the name
 * up again and logs in anew, which finds the new primary after a failover.
 *
 * Threading:  one thread at a time.
 * Errors:     session_add() as an answer of that status; FAN_AGAIN when the target stops.
 */
#ifndef TARGETS_REDIS_SESSION_H
#define TARGETS_REDIS_SESSION_H

#include "targets/redactor.h"
#include "targets/redis/commands.h"
#include "targets/redis/link.h"

struct session {
    const struct redis_options *options; /* borrowed */
    const struct redactor *redactor;     /* borrowed */
    struct commands commands;
    struct link link;
};

/* Adds every event of the batch. FAN_OK: all are there, whether this call or an earlier one added
 * them. FAN_POISON with `ret_event` < events_count: that event has no stream, and nothing was sent;
 * otherwise one is too large, and it is not known which. */
enum fan_status session_add(struct session *session, const struct batch *batch, int64_t deadline_us,
                            size_t *ret_event, struct fan_error *reterr) FAN_MUST_CHECK;

#endif
