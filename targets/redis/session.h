/*
 * session.h - adds batches to a Redis server, over a connection that is made when it is needed.
 *
 * A connection that failed, or on which anything was refused, is closed: the next batch looks the
 * name up again and logs in anew, which finds the new primary after a failover.
 *
 * Threading:  one thread at a time.
 * Errors:     session_add() as an answer of that status; FAN_AGAIN when the target stops.
 */
#ifndef TARGETS_REDIS_SESSION_H
#define TARGETS_REDIS_SESSION_H

#include "base/redactor.h"
#include "targets/redis/commands.h"
#include "targets/redis/link.h"

struct session {
    const struct redis_options *options; /* borrowed */
    const struct redactor *redactor;     /* borrowed */
    struct commands commands;
    struct link link;
};

/* How far adding a batch has come. */
struct addition {
    size_t taken;  /* events before it are there, whether this call or an earlier one added them */
    size_t poison; /* of FAN_POISON: the event at fault; events_count: it is not known which */
};

/* Adds the events of the batch, some after others; the first that are not taken end it. */
enum fan_status session_add(struct session *session, const struct batch *batch, int64_t deadline_us,
                            struct addition *ret_addition, struct fan_error *reterr) FAN_MUST_CHECK;

#endif
