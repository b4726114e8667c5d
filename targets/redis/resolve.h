/*
 * resolve.h - looks a name up on a thread of its own, because nothing ends getaddrinfo(3) early.
 *
 * Whoever wants the result waits for the descriptor beside whatever else it waits for. One that
 * loses interest drops the look-up, and the thread ends by itself when the name server has spoken.
 *
 * Ownership:  the look-up is shared with its thread; each side lets go once.
 * Threading:  one thread starts, asks and drops.
 * Limits:     a thread a look-up: keep one that hangs, and do not start a second.
 */
#ifndef TARGETS_REDIS_RESOLVE_H
#define TARGETS_REDIS_RESOLVE_H

#include <netdb.h>

#include "base/status.h"

struct resolution;

/* FAN_RETRY: no thread, no memory, no descriptor. */
enum fan_status resolution_start(const char *host, const char *port,
                                 struct resolution **ret_resolution,
                                 struct fan_error *reterr) FAN_MUST_CHECK;

/* Readable for ever once the look-up is over. */
int resolution_descriptor(const struct resolution *resolution);

/* Of one that is over: what getaddrinfo(3) returned; the list is the caller's. */
int resolution_take(struct resolution *resolution, struct addrinfo **ret_list);

/* Accepts NULL. */
void resolution_drop(struct resolution *resolution);

#endif
