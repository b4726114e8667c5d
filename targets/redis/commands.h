/*
 * commands.h - events as the commands that add them, all or nothing, in one round trip.
 *
 *     SCRIPT LOAD ...   MULTI   EVALSHA ... (one an event)   EXEC   [WAIT ...]
 *
 * Nothing else happens within EXEC. So what a server refuses for a while (OOM, LOADING, READONLY) it
 * refuses for all of them alike, and no later event overtakes one that was refused. The script adds
 * an event unless the sorted set `<stream>:ids` knows its id, and keeps the newest ids there. Without
 * a window there is no script, and XADD stands in its place.
 *
 * Ownership:  commands_release() accepts zeroed ones.
 * Threading:  one thread at a time.
 * Limits:     COMMANDS_EVENTS_MAX events and about COMMANDS_BYTES_MAX bytes of them, because a
 *             server does nothing else while it executes them.
 */
#ifndef TARGETS_REDIS_COMMANDS_H
#define TARGETS_REDIS_COMMANDS_H

#include "base/bytes.h"
#include "base/status.h"
#include "encode/encoder.h"
#include "model/batch.h"
#include "targets/redis/options.h"
#include "targets/redis/stream.h"

enum { COMMANDS_EVENTS_MAX = 500, COMMANDS_BYTES_MAX = 1 << 20 };

struct commands {
    const struct redis_options *options; /* borrowed, as the next two */
    const struct encode_context *encode;
    const struct stream_names *names;
    size_t format;
    char script_digest[41]; /* hexadecimal, as EVALSHA takes it */
    struct bytes bytes;
    struct bytes stream; /* room for names */
    struct bytes ids;
};

enum fan_status commands_init(struct commands *commands, const struct redis_options *options,
                              const struct encode_context *encode, const struct stream_names *names,
                              size_t format, struct fan_error *reterr) FAN_MUST_CHECK;
void commands_release(struct commands *commands);
/* Gives back what grew large. */
void commands_reset(struct commands *commands);

/* AUTH, SELECT and PING; returns how many replies they have. */
size_t commands_hello(struct commands *commands);

/* Where those of the batch's events that go together with `first` end. */
size_t commands_end(const struct commands *commands, const struct batch *batch, size_t first);

/* How many replies come before that of EXEC to so many events. */
size_t commands_ahead(const struct commands *commands, size_t events);

/* Those of events [first, end). FAN_POISON: `ret_event` has no stream. FAN_RETRY: memory is out. */
enum fan_status commands_add(struct commands *commands, const struct batch *batch, size_t first,
                             size_t end, int64_t wait_ms, size_t *ret_event,
                             struct fan_error *reterr) FAN_MUST_CHECK;

#endif
