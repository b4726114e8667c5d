/*
 * secret.h - a value that is never printed.
 *
 * The only constructor is secret_set(), the only way to the value is secret_reveal(): both are
 * easy to search for. Formatting code uses SECRET_MASK.
 *
 * Ownership:  secret_release() overwrites the value before it frees it; accepts a zeroed secret.
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stddef.h>

#include "base/status.h"

#define SECRET_MASK "***"

struct secret {
    char *value; /* NUL-terminated; NULL while unset; only secret.c and secret_reveal() touch it */
    size_t size;
};

/* Copies `value`; an earlier value is erased. FAN_RETRY when memory is out. */
enum fan_status secret_set(struct secret *secret, const char *value, size_t size) FAN_MUST_CHECK;
void secret_release(struct secret *secret);

/* The value for the library call that needs it, or NULL while unset. Do not keep the pointer. */
const char *secret_reveal(const struct secret *secret);

#endif
