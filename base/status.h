/*
 * status.h - how every fallible function reports its outcome.
 *
 * A status says what the CALLER should do next, not where the fault was; the reason for a human
 * travels in struct fan_error. A function that fails must choose one of three classes, because
 * the class alone decides the policy:
 *
 *   FAN_RETRY   the same call may succeed later: network, lock, full disk.
 *   FAN_POISON  this item can never succeed here; others may.
 *   FAN_FATAL   the component cannot go on: configuration, corrupt store, protocol error.
 *
 * Message texts are lower case without a full stop, name the object in quotes and give the reason
 * after a colon. "could not" may work later, "cannot" never will. They hold no password, token or
 * row value.
 *
 * Threading:  plain values, no shared state.
 */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include <stdarg.h>

#define FAN_MUST_CHECK __attribute__((warn_unused_result))
#define FAN_PRINTF(format_index, args_index)                                                       \
    __attribute__((format(printf, format_index, args_index)))

enum fan_status {
    FAN_OK = 0,
    FAN_AGAIN,  /* not an error: nothing to do, or no room, until something else happens */
    FAN_RETRY,  /* transient failure */
    FAN_POISON, /* permanent failure of this item only */
    FAN_FATAL,  /* permanent failure of the component */
};

enum { FAN_ERROR_TEXT_MAX = 1024, FAN_ERROR_HINT_MAX = 1024 };

/* Why a call failed. Owned by the caller, filled by the callee only when it returns a failure. */
struct fan_error {
    enum fan_status status;
    int sys_errno; /* 0 when no system call was at fault */
    char code[32]; /* stable word for programs, such as TABLE_NOT_FOUND; may be "" */
    char text[FAN_ERROR_TEXT_MAX]; /* one line; truncated if longer */
    char hint[FAN_ERROR_HINT_MAX]; /* how to mend it, such as the SQL to run; may be "" */
};

/* Fills `reterr` (which may be NULL) and returns `status`, so that `return fan_fail(...)` works. */
enum fan_status fan_fail(struct fan_error *reterr, enum fan_status status, const char *format, ...)
    FAN_PRINTF(3, 4);

/* As fan_fail(), and appends the text of `sys_errno`. */
enum fan_status fan_fail_errno(struct fan_error *reterr, enum fan_status status, int sys_errno,
                               const char *format, ...) FAN_PRINTF(4, 5);

/* Adds the stable code and the hint to an error that fan_fail() has filled. NULL leaves a field. */
void fan_error_annotate(struct fan_error *error, const char *code, const char *hint_format, ...)
    FAN_PRINTF(3, 4);

const char *fan_status_name(enum fan_status status);

#endif
