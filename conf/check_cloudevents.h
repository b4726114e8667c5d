/*
 * check_cloudevents.h - whether a target can have what its section `cloudevents` asks for.
 *
 * Threading:  one thread.
 * Errors:     report->errors grew.
 */
#ifndef CONF_CHECK_CLOUDEVENTS_H
#define CONF_CHECK_CLOUDEVENTS_H

#include "conf/decode.h"

/* Names of the envelope and of values that other sections are checked against; numbers as in
 * conf/tables.c. */
#define CLOUDEVENTS_FORMAT "cloudevents"
enum { CLOUDEVENTS_MODE_BINARY = 1, CLOUDEVENTS_COMPAT_DEBEZIUM = 1 };

/* `node` is the target's. */
void conf_check_cloudevents(const struct conf_decoder *decoder, const struct conf_node *node,
                            const struct settings_target *target);

/* Why its events cannot have marks of transactions around them, or NULL; `ret_hint` says how to mend
 * it. */
const char *conf_cloudevents_marks_fault(const struct settings_target *target,
                                         const char **ret_hint);

#endif
