/*
 * conn.h - connections to the primary: conninfo, pinned session settings, TLS rules.
 *
 * The output functions of types run in the walsender's session, so everything that changes a
 * value's text is pinned there, over what ALTER ROLE and ALTER DATABASE set. Away from this
 * machine the server's certificate is verified unless the conf says otherwise.
 *
 * Ownership:  a PGconn is the caller's; conn_close() accepts NULL.
 * Threading:  the caller's thread; blocks within the limit. Name resolution is libpq's and cannot
 *             be interrupted.
 * Errors:     FAN_RETRY or FAN_FATAL; the text never holds the connection string.
 */
#ifndef SOURCES_POSTGRES_CONN_H
#define SOURCES_POSTGRES_CONN_H

#include <libpq-fe.h>

#include "sources/postgres/options.h"
#include "sources/postgres/query.h"

enum conn_kind {
    CONN_QUERY,       /* for SQL, by the source's role */
    CONN_ADMIN,       /* for SQL, by publication.admin_dsn */
    CONN_REPLICATION, /* for the replication commands and the stream */
};

/* `application_name` is what shows in pg_stat_activity. The connection is non-blocking. */
enum fan_status conn_open(const struct postgres_options *options, enum conn_kind kind,
                          const char *application_name, const struct query_limit *limit,
                          PGconn **ret_conn, struct link_failure *ret_failure) FAN_MUST_CHECK;

/* Whether two connection strings lead to the same server, as far as their text tells. */
bool conn_same_server(const struct secret *dsn, const struct secret *other);

void conn_close(PGconn **conn);

#endif
