/*
 * dsn.h - libpq connection strings, shown without what is secret in them.
 *
 * Both forms of libpq are known (PostgreSQL documentation, 34.1.1): `host=a password=b` and
 * postgres://user:password@host/db?sslpassword=c. Shown are the parameters that are known to be
 * harmless; any other value is masked, and a string that cannot be understood is masked whole.
 */
#ifndef CONF_DSN_H
#define CONF_DSN_H

#include <stdbool.h>

#include "base/bytes.h"

/* Appends the string with *** in the place of every value that may be secret. */
void dsn_append_masked(struct bytes *bytes, const char *dsn);

/* Whether it holds a password as literal text, and not as a ${...} reference. */
bool dsn_has_literal_password(const char *dsn);

#endif
