/*
 * query.h - one SQL or replication command over libpq that can be interrupted at any moment.
 *
 * Ownership:  results are the caller's (query_clear_p for FAN_CLEANUP).
 * Threading:  the thread that owns the connection. Blocks until the answer, the deadline, or until
 *             `stop_fd` is readable.
 * Errors:     FAN_RETRY with a filled failure; SQLSTATE where the server gave one. Of the server's
 *             report only message and hint are kept: its DETAIL may hold row values.
 */
#ifndef SOURCES_POSTGRES_QUERY_H
#define SOURCES_POSTGRES_QUERY_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "sources/postgres/link.h"

enum { QUERY_PARAMS_MAX = 4 };

/* What ends a wait: a time, or a descriptor that became readable (-1: none). */
struct query_limit {
    int stop_fd;
    int64_t deadline_us; /* monotonic */
};

/* Waits for `events` of poll(2) on `fd`. FAN_AGAIN: the deadline has passed; FAN_RETRY: stopped. */
enum fan_status query_wait(int fd, short events, const struct query_limit *limit);

/* Runs one command with text parameters; `params_count` 0 uses the simple protocol, which the
 * replication commands need. The result has tuples, or is a finished command, or COPY BOTH. */
enum fan_status query_run(PGconn *conn, const struct query_limit *limit, const char *sql,
                          int params_count, const char *const *params, PGresult **ret_result,
                          struct link_failure *ret_failure) FAN_MUST_CHECK;

void query_clear_p(PGresult **address);

/* Fills the failure from an error result; `verb` says what could not be done. */
void query_failure(const PGresult *result, const PGconn *conn, const char *verb,
                   struct link_failure *ret_failure);

/* A field as text: "" for NULL and for what is not there. */
const char *query_text(const PGresult *result, int row, int column);
int64_t query_number(const PGresult *result, int row, int column);
bool query_bool(const PGresult *result, int row, int column);
struct fan_lsn query_lsn(const PGresult *result, int row, int column);

/* Appends a quoted identifier, or a quoted literal. */
void query_append_identifier(struct bytes *sql, const char *name);
void query_append_literal(struct bytes *sql, const char *text);

#endif
