#include "sources/postgres/query.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"

enum fan_status query_wait(int fd, short events, const struct query_limit *limit)
{
    struct pollfd waits[2] = {{.fd = fd, .events = events},
                              {.fd = limit->stop_fd, .events = POLLIN}};
    for (;;) {
        int64_t left_us = limit->deadline_us - clock_monotonic_us();
        if (left_us <= 0) {
            return FAN_AGAIN;
        }
        int64_t left_ms = left_us / 1000 + 1;
        int ready = poll(waits, 2, left_ms > 60000 ? 60000 : (int)left_ms);
        if (ready < 0 && errno != EINTR) {
            return FAN_RETRY;
        }
        if (ready > 0 && waits[1].revents != 0) {
            return FAN_RETRY;
        }
        if (ready > 0 && waits[0].revents != 0) {
            return FAN_OK;
        }
    }
}

void query_clear_p(PGresult **address)
{
    PQclear(*address);
}

/* The server's place of a decoding error: "..., associated LSN 0/16B3748" ends its context. */
static struct fan_lsn associated_lsn(const char *context)
{
    static const char mark[] = "associated LSN ";
    struct fan_lsn lsn = LSN_NONE;
    const char *at = context == NULL ? NULL : strstr(context, mark);
    if (at != NULL) {
        char text[LSN_TEXT_SIZE];
        at += sizeof(mark) - 1;
        size_t length = strspn(at, "0123456789ABCDEFabcdef/");
        (void)snprintf(text, sizeof(text), "%.*s", (int)(length < sizeof(text) ? length : 0), at);
        (void)lsn_parse(text, &lsn); /* otherwise it stays "none" */
    }
    return lsn;
}

/* libpq's own messages end with a line feed and may have several lines. */
static void one_line(const char *text, char *line, size_t line_size)
{
    size_t used = 0;
    for (; *text != '\0' && used + 1 < line_size; text++) {
        line[used++] = (char)(*text == '\n' || *text == '\t' ? ' ' : *text);
    }
    while (used > 0 && line[used - 1] == ' ') {
        used--;
    }
    line[used] = '\0';
}

void query_failure(const PGresult *result, const PGconn *conn, const char *verb,
                   struct link_failure *ret_failure)
{
    *ret_failure = (struct link_failure){0};
    const char *sqlstate = result == NULL ? NULL : PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (sqlstate != NULL) {
        const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
        const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
        (void)snprintf(ret_failure->sqlstate, sizeof(ret_failure->sqlstate), "%s", sqlstate);
        ret_failure->lsn = associated_lsn(PQresultErrorField(result, PG_DIAG_CONTEXT));
        (void)fan_fail(&ret_failure->error, FAN_RETRY, "could not %s: %s", verb,
                       message != NULL ? message : "no message");
        fan_error_annotate(&ret_failure->error, NULL, "%s", hint != NULL ? hint : "");
        return;
    }
    char line[512];
    one_line(PQerrorMessage(conn), line, sizeof(line));
    (void)fan_fail(&ret_failure->error, FAN_RETRY, "could not %s: %s", verb,
                   line[0] != '\0' ? line : "connection lost");
}

static void wait_failure(enum fan_status waited, struct link_failure *ret_failure)
{
    *ret_failure = (struct link_failure){0};
    (void)fan_fail(&ret_failure->error, FAN_RETRY,
                   waited == FAN_AGAIN ? "could not query the server: no answer in time"
                                       : "could not query the server: stopped");
    fan_error_annotate(&ret_failure->error, waited == FAN_AGAIN ? "TIMEOUT" : "STOPPED", NULL);
}

static enum fan_status flush_all(PGconn *conn, const struct query_limit *limit,
                                 struct link_failure *ret_failure)
{
    int pending;
    while ((pending = PQflush(conn)) == 1) {
        enum fan_status waited = query_wait(PQsocket(conn), POLLIN | POLLOUT, limit);
        if (waited != FAN_OK) {
            wait_failure(waited, ret_failure);
            return FAN_RETRY;
        }
        if (PQconsumeInput(conn) == 0) {
            break;
        }
    }
    if (pending != 0) {
        query_failure(NULL, conn, "query the server", ret_failure);
        return FAN_RETRY;
    }
    return FAN_OK;
}

/* The next result, or NULL at the end of the command. */
static enum fan_status next_result(PGconn *conn, const struct query_limit *limit,
                                   PGresult **ret_result, struct link_failure *ret_failure)
{
    while (PQisBusy(conn)) {
        enum fan_status waited = query_wait(PQsocket(conn), POLLIN, limit);
        if (waited != FAN_OK) {
            wait_failure(waited, ret_failure);
            return FAN_RETRY;
        }
        if (PQconsumeInput(conn) == 0) {
            query_failure(NULL, conn, "query the server", ret_failure);
            return FAN_RETRY;
        }
    }
    *ret_result = PQgetResult(conn);
    return FAN_OK;
}

enum fan_status query_run(PGconn *conn, const struct query_limit *limit, const char *sql,
                          int params_count, const char *const *params, PGresult **ret_result,
                          struct link_failure *ret_failure)
{
    int sent = params_count == 0
                   ? PQsendQuery(conn, sql)
                   : PQsendQueryParams(conn, sql, params_count, NULL, params, NULL, NULL, 0);
    if (sent == 0) {
        query_failure(NULL, conn, "query the server", ret_failure);
        return FAN_RETRY;
    }
    enum fan_status status = flush_all(conn, limit, ret_failure);
    FAN_CLEANUP(query_clear_p) PGresult *last = NULL;
    while (status == FAN_OK) {
        PGresult *result = NULL;
        status = next_result(conn, limit, &result, ret_failure);
        if (status != FAN_OK || result == NULL) {
            break;
        }
        PQclear(last);
        last = result;
        if (PQresultStatus(result) == PGRES_COPY_BOTH) {
            break; /* the stream is open: there is no end of the command */
        }
    }
    if (status != FAN_OK) {
        return status;
    }
    ExecStatusType kind = last == NULL ? PGRES_FATAL_ERROR : PQresultStatus(last);
    if (kind != PGRES_TUPLES_OK && kind != PGRES_COMMAND_OK && kind != PGRES_COPY_BOTH) {
        query_failure(last, conn, "query the server", ret_failure);
        return FAN_RETRY;
    }
    *ret_result = FAN_STEAL(last);
    return FAN_OK;
}

const char *query_text(const PGresult *result, int row, int column)
{
    return row < PQntuples(result) && column < PQnfields(result) ? PQgetvalue(result, row, column)
                                                                 : "";
}

int64_t query_number(const PGresult *result, int row, int column)
{
    return strtoll(query_text(result, row, column), NULL, 10);
}

bool query_bool(const PGresult *result, int row, int column)
{
    return query_text(result, row, column)[0] == 't';
}

struct fan_lsn query_lsn(const PGresult *result, int row, int column)
{
    struct fan_lsn lsn = LSN_NONE;
    (void)lsn_parse(query_text(result, row, column), &lsn); /* otherwise it stays "none" */
    return lsn;
}

static void append_quoted(struct bytes *sql, const char *text, char quote)
{
    bytes_append_char(sql, quote);
    for (; *text != '\0'; text++) {
        if (*text == quote) {
            bytes_append_char(sql, quote);
        }
        bytes_append_char(sql, *text);
    }
    bytes_append_char(sql, quote);
}

void query_append_identifier(struct bytes *sql, const char *name)
{
    append_quoted(sql, name, '"');
}

void query_append_literal(struct bytes *sql, const char *text)
{
    append_quoted(sql, text, '\''); /* standard_conforming_strings is on by default since 9.1 */
}
