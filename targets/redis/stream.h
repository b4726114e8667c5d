/*
 * stream.h - the name of the stream that an event goes to.
 *
 * An event of a table has the stream of the conf's `stream`. One that has no table (a logical
 * message, a gap) has that of `stream_other`, so that no event is without one.
 *
 * Ownership:  the names keep copies; stream_names_release() accepts zeroed ones.
 * Threading:  constant after stream_names_parse().
 * Limits:     STREAM_NAME_MAX bytes of a name.
 */
#ifndef TARGETS_REDIS_STREAM_H
#define TARGETS_REDIS_STREAM_H

#include "base/bytes.h"
#include "base/status.h"
#include "targets/event_template.h"

enum { STREAM_NAME_MAX = 8192 };

struct stream_names {
    struct event_template of_table;
    struct event_template other;
};

/* Returns NULL and fills `ret_names`, or returns the fault as a text for the conf's user, with the
 * key that it is about. */
const char *stream_names_parse(const char *of_table, const char *other,
                               struct stream_names *ret_names, const char **ret_key);
void stream_names_release(struct stream_names *names);

/* Writes the name into `out`, whose size_max is STREAM_NAME_MAX. FAN_RETRY: memory is out.
 * FAN_POISON: it would be too long, or a part of it is empty. */
enum fan_status stream_names_render(const struct stream_names *names,
                                    const struct event_subject *subject, struct bytes *out,
                                    struct fan_error *reterr) FAN_MUST_CHECK;

#endif
