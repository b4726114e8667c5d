/*
 * debezium_default.h - the defaults of columns in their schemas.
 *
 * The catalog has the default as an expression. A literal is taken as it is; a call of a function (a
 * sequence, the clock) becomes what Debezium puts in its place, such as 0, "" or 1970; any other
 * expression, and types that Debezium has no defaults for, have none. A literal that the column cannot
 * have as it stands, such as 1.5 for an integer, has none either.
 *
 * Ownership:  the columns own their texts until debezium_defaults_release().
 * Threading:  stateless.
 */
#ifndef ENCODE_DEBEZIUM_DEFAULT_H
#define ENCODE_DEBEZIUM_DEFAULT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/status.h"
#include "encode/debezium_column.h"

/* Fills in default_json of planned columns, behind which is a zeroed one. False: memory is out; those
 * that were filled in stay. */
bool debezium_defaults_make(const struct debezium_settings *settings,
                            struct debezium_column *columns) FAN_MUST_CHECK;
/* Their relation may be gone by then. */
void debezium_defaults_release(struct debezium_column *columns);

/* Writes the PostgreSQL text of the default. False: it has none that Debezium would take. Only the
 * type's OID and the enum's flag of the column are looked at beside its default. */
bool debezium_default_text(const struct relation_column *column, struct bytes *out);

#endif
