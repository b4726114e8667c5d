/*
 * selector.h - which letters, in the words that people write: `--since 2h`, `?cause=poison`.
 *
 * Ownership:  the filter borrows the texts; they must outlive it.
 * Threading:  stateless.
 */
#ifndef DEADLETTER_SELECTOR_H
#define DEADLETTER_SELECTOR_H

#include "deadletter/deadletter.h"

/*
 * The words that select, NULL-terminated, in the order of the documentation:
 *
 *   pipeline, target   names
 *   table              schema.table
 *   key                the key's JSON text, as `pgfan dlq show` prints it
 *   since              a time as 2026-11-22T01:02:03Z or 2026-11-22, or how long ago: 90s, 2h, 7d
 *   error              a piece of the error's text or code
 *   cause              poison, parked, isolated
 *   after              the number of a letter
 */
extern const char *const deadletter_selectors[];

/* Sets one of them. FAN_POISON with the code BAD_SELECTOR and how it is written when it is
 * malformed, or `name` is none of them. */
enum fan_status deadletter_select(struct deadletter_filter *filter, const char *name,
                                  const char *text, int64_t now_us,
                                  struct fan_error *reterr) FAN_MUST_CHECK;

/* A decimal number from 1 to `maximum`, for numbers of letters and limits. */
bool deadletter_number_parse(const char *text, int64_t maximum, int64_t *ret_number);

/* A time as above, as microseconds since 1970. */
bool deadletter_time_parse(const char *text, int64_t now_us, int64_t *ret_us);

#endif
