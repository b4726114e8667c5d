/*
 * redactor.h - what a receiver says, made fit to be shown.
 *
 * A receiver may send back what it was sent. The target's own secrets become stars wherever they
 * stand, and what could break a line or a terminal is escaped.
 *
 * Ownership:  redactor_release() erases and frees; accepts a zeroed one.
 * Threading:  constant once all secrets are added.
 */
#ifndef BASE_REDACTOR_H
#define BASE_REDACTOR_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/secret.h"

struct redactor {
    struct secret *secrets; /* owned */
    size_t count;
};

/* `text` may be NULL or empty: nothing to hide. False when memory is out. */
bool redactor_add(struct redactor *redactor, const char *text) FAN_MUST_CHECK;
/* Hides the base64 of `username:password`, too. */
bool redactor_add_basic(struct redactor *redactor, const char *username,
                        const char *password) FAN_MUST_CHECK;
void redactor_release(struct redactor *redactor);

/* Appends `text` for a message, at most `size_max` bytes and "..." if it was longer. */
void redactor_append(const struct redactor *redactor, struct bytes *out, const char *text,
                     size_t size, size_t size_max);

#endif
