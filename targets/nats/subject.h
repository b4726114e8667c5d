/*
 * subject.h - the subject that an event is published on.
 *
 *     cdc.${schema}.${table}        orders.${key.id}
 *
 * An event of a table has the subject of the conf's `subject`; one that has no table (a logical
 * message, a gap) has that of `subject_other`. A value fills a part of a token: one with white
 * space, a dot, a wildcard or a control character would change what consumers filter by, and gives
 * no subject.
 *
 * Ownership:  the subjects keep copies; subjects_release() accepts zeroed ones.
 * Threading:  constant after subjects_parse().
 * Limits:     SUBJECT_MAX bytes of a subject; servers take 4096 for subject, reply and sizes.
 */
#ifndef TARGETS_NATS_SUBJECT_H
#define TARGETS_NATS_SUBJECT_H

#include "base/bytes.h"
#include "base/status.h"
#include "targets/event_template.h"

enum { SUBJECT_MAX = 2048 };

struct subjects {
    struct event_template of_table;
    struct event_template other;
};

/* Returns NULL and fills `ret_subjects`, or returns the fault as a text for the conf's user, with
 * the key that it is about. */
const char *subjects_parse(const char *of_table, const char *other, struct subjects *ret_subjects,
                           const char **ret_key);
void subjects_release(struct subjects *subjects);

/* Writes the subject into `out`, whose size_max is SUBJECT_MAX. FAN_POISON: the event has none.
 * FAN_RETRY: memory is out. */
enum fan_status subjects_render(const struct subjects *subjects,
                                const struct event_subject *subject, struct bytes *out,
                                struct fan_error *reterr) FAN_MUST_CHECK;

#endif
