/*
 * expand.h - ${env:NAME}, ${file:PATH} and ${cred:NAME} in a parsed scalar.
 *
 *     env    an environment variable
 *     file   the content of a regular file that belongs to root or to the engine's user and that
 *            nobody else can read (mode 0600 at most), its last newline removed
 *     cred   the file of that name in $CREDENTIALS_DIRECTORY, as systemd's LoadCredential makes it
 *
 * In a templated value the names of an event's parts stay as they are, see option.h.
 * `$${` stands for a literal `${`. Results are not expanded again. Errors name the reference, never
 * what it holds.
 *
 * Ownership:  the result is the caller's; it may be a secret: expansion_release() erases it.
 * Limits:     64 KiB for one file and for the whole result.
 */
#ifndef CONF_EXPAND_H
#define CONF_EXPAND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/status.h"

enum { EXPANSION_MAX = 65536 };

struct expand_environment {
    const char *const *variables; /* NAME=value, ends with NULL; borrowed */
};

const char *expand_variable(const struct expand_environment *environment, const char *name,
                            size_t name_size);

struct expansion {
    struct bytes text; /* expansion_text() adds the NUL */
    bool expanded;     /* at least one reference was replaced */
};

/* `ret_expansion` needs no init and is released by the caller only after FAN_OK. FAN_FATAL with
 * text and hint otherwise; a value without `${` is copied. */
enum fan_status expansion_make(const struct expand_environment *environment, const char *text,
                               size_t size, bool templated, struct expansion *ret_expansion,
                               struct fan_error *reterr) FAN_MUST_CHECK;
const char *expansion_text(struct expansion *expansion);
void expansion_release(struct expansion *expansion);

#endif
