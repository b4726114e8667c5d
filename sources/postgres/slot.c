#include "sources/postgres/slot.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

enum { COMMAND_BYTES_MAX = 4096, CANCEL_US = 2000000 };

/* The oldest open transaction that has written something, or a prepared one. */
static const char blocker_sql[] =
    "SELECT text FROM ("
    "SELECT xact_start AS since, 'pid ' || pid || ' (' || coalesce(usename, '') || ', ' || "
    "coalesce(state, '') || '), open for ' || extract(epoch FROM now() - xact_start)::int || ' s' "
    "AS text FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND xact_start IS NOT NULL "
    "UNION ALL SELECT prepared, 'prepared transaction ' || quote_literal(gid) || ', open for ' || "
    "extract(epoch FROM now() - prepared)::int || ' s' FROM pg_prepared_xacts"
    ") AS open ORDER BY since LIMIT 1";

/* What the cancelled command came to: its SQLSTATE says that nothing was made. Left empty when the
 * answer does not come, or is that the slot was made after all. */
static void await_end(PGconn *replication, const struct query_limit *limit,
                      struct link_failure *ret_failure)
{
    while (PQisBusy(replication)) {
        if (query_wait(PQsocket(replication), POLLIN, limit) != FAN_OK ||
            PQconsumeInput(replication) == 0) {
            return;
        }
    }
    FAN_CLEANUP(query_clear_p) PGresult *result = PQgetResult(replication);
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (sqlstate != NULL) {
        (void)snprintf(ret_failure->sqlstate, sizeof(ret_failure->sqlstate), "%s", sqlstate);
    }
}

/* Ends the command of the other connection and says who held it up. */
static void cancel_creation(PGconn *replication, PGconn *query, const char *slot,
                            struct link_failure *ret_failure)
{
    /* A stop must cancel, too: a walsender that waits for a lock does not see its client go. */
    struct query_limit limit = {.stop_fd = -1, .deadline_us = clock_monotonic_us() + CANCEL_US};
    bool late = strcmp(ret_failure->error.code, "TIMEOUT") == 0;
    struct link_failure ignored;
    FAN_CLEANUP(query_clear_p) PGresult *blocker = NULL;
    bool known = late &&
                 query_run(query, &limit, blocker_sql, 0, NULL, &blocker, &ignored) == FAN_OK &&
                 PQntuples(blocker) == 1;
    char pid[16];
    (void)snprintf(pid, sizeof(pid), "%d", PQbackendPID(replication)); /* fits */
    const char *params[] = {pid};
    FAN_CLEANUP(query_clear_p) PGresult *cancelled = NULL;
    if (query_run(query, &limit, "SELECT pg_cancel_backend($1::int)", 1, params, &cancelled,
                  &ignored) != FAN_OK) {
        log_write(LOG_WARN, "slot creation could not be cancelled", LOG_TEXT("slot", slot),
                  LOG_TEXT("reason", ignored.error.text));
    }
    await_end(replication, &limit, ret_failure);
    if (late) {
        (void)fan_fail(&ret_failure->error, FAN_RETRY,
                       "could not create slot \"%s\" in time: it waits for %s", slot,
                       known ? query_text(blocker, 0, 0) : "a transaction on the server");
        fan_error_annotate(&ret_failure->error, "SLOT_CREATE_TIMEOUT",
                           "let that transaction end: SELECT pg_terminate_backend(<pid>), or "
                           "COMMIT or ROLLBACK PREPARED; or raise slot_create_timeout");
    }
}

enum fan_status slot_create(PGconn *replication, PGconn *query, int server_version,
                            const char *slot, bool failover, const struct query_limit *limit,
                            struct fan_lsn *ret_point, struct link_failure *ret_failure)
{
    struct bytes command;
    bytes_init(&command, COMMAND_BYTES_MAX);
    BYTES_APPEND_LITERAL(&command, "CREATE_REPLICATION_SLOT ");
    query_append_identifier(&command, slot);
    BYTES_APPEND_LITERAL(&command, " LOGICAL \"pgoutput\" ");
    if (server_version < 150000) {
        BYTES_APPEND_LITERAL(&command, "NOEXPORT_SNAPSHOT");
    } else {
        bytes_append_format(&command, "(SNAPSHOT 'nothing'%s)",
                            failover && server_version >= 170000 ? ", FAILOVER true" : "");
    }
    FAN_CLEANUP(query_clear_p) PGresult *row = NULL;
    enum fan_status status =
        query_run(replication, limit, bytes_text(&command), 0, NULL, &row, ret_failure);
    bytes_release(&command);
    if (status != FAN_OK) {
        if (ret_failure->error.code[0] != '\0') {
            cancel_creation(replication, query, slot, ret_failure);
        }
        return status;
    }
    *ret_point = query_lsn(row, 0, 1);
    if (ret_point->value == 0) {
        *ret_failure = (struct link_failure){0};
        return fan_fail(&ret_failure->error, FAN_FATAL,
                        "cannot use slot \"%s\": the server gave no consistent point", slot);
    }
    return FAN_OK;
}

enum fan_status slot_start(PGconn *replication, const char *slot, const char *publication,
                           struct fan_lsn start, const struct query_limit *limit,
                           struct link_failure *ret_failure)
{
    struct bytes name; /* a quoted identifier inside of a quoted literal */
    struct bytes command;
    bytes_init(&name, COMMAND_BYTES_MAX);
    bytes_init(&command, COMMAND_BYTES_MAX);
    query_append_identifier(&name, publication);
    char lsn[LSN_TEXT_SIZE];
    (void)lsn_format(start, lsn); /* only its text is needed */
    BYTES_APPEND_LITERAL(&command, "START_REPLICATION SLOT ");
    query_append_identifier(&command, slot);
    bytes_append_format(&command, " LOGICAL %s (proto_version '1', publication_names ", lsn);
    query_append_literal(&command, bytes_text(&name));
    BYTES_APPEND_LITERAL(&command, ", messages 'true')");
    FAN_CLEANUP(query_clear_p) PGresult *result = NULL;
    enum fan_status status =
        query_run(replication, limit, bytes_text(&command), 0, NULL, &result, ret_failure);
    bytes_release(&name);
    bytes_release(&command);
    if (status == FAN_OK && PQresultStatus(result) != PGRES_COPY_BOTH) {
        *ret_failure = (struct link_failure){0};
        return fan_fail(&ret_failure->error, FAN_RETRY,
                        "could not open the stream: the server did not answer with COPY");
    }
    return status;
}

enum fan_status slot_sample(PGconn *query, const char *slot, const struct query_limit *limit,
                            struct link_sample *ret_sample, struct link_failure *ret_failure)
{
    static const char sql[] =
        "SELECT w.lsn, pg_wal_lsn_diff(w.lsn, s.restart_lsn)::bigint, s.safe_wal_size, "
        "s.wal_status FROM (SELECT CASE WHEN pg_is_in_recovery() THEN "
        "coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) "
        "ELSE pg_current_wal_flush_lsn() END AS lsn) w "
        "LEFT JOIN pg_replication_slots s ON s.slot_name = $1";
    FAN_CLEANUP(query_clear_p) PGresult *row = NULL;
    enum fan_status status = query_run(query, limit, sql, 1, &slot, &row, ret_failure);
    if (status != FAN_OK) {
        return status;
    }
    *ret_sample = (struct link_sample){
        .server_lsn = query_lsn(row, 0, 0),
        .retained_bytes = query_text(row, 0, 1)[0] == '\0' ? -1 : query_number(row, 0, 1),
        .safe_wal_bytes = query_text(row, 0, 2)[0] == '\0' ? -1 : query_number(row, 0, 2),
    };
    (void)snprintf(ret_sample->wal_status, sizeof(ret_sample->wal_status), "%s",
                   query_text(row, 0, 3)); /* one of four short words */
    return FAN_OK;
}
