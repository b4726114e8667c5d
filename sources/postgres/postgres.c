/* The source type: the state machine over the libpq link, and what the CLI asks without a source. */
#include "sources/postgres/postgres.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "sources/postgres/conn.h"
#include "sources/postgres/core.h"
#include "sources/postgres/errors.h"
#include "sources/postgres/preflight.h"
#include "sources/postgres/publication.h"
#include "sources/postgres/session.h"

enum { ASK_US = 60000000 };

/* One connection for one question of the CLI. */
struct enquiry {
    const struct postgres_options *options;
    char slot[SOURCE_NAME_MAX];
    char publication[SOURCE_NAME_MAX];
    struct query_limit limit;
    PGconn *query;
    struct link_failure failure;
};

static enum fan_status enquiry_open(struct enquiry *enquiry, const struct source_setup *setup)
{
    *enquiry = (struct enquiry){.options = setup->options};
    (void)postgres_slot_name(enquiry->options, setup->name, enquiry->slot, sizeof(enquiry->slot));
    (void)postgres_publication_name(enquiry->options, setup->name, enquiry->publication,
                                    sizeof(enquiry->publication));
    int64_t now_us = clock_monotonic_us();
    struct query_limit connect = {.stop_fd = -1,
                                  .deadline_us = now_us + enquiry->options->connect_timeout_us};
    enquiry->limit = (struct query_limit){.stop_fd = -1, .deadline_us = now_us + ASK_US};
    return conn_open(enquiry->options, CONN_QUERY, enquiry->slot, &connect, &enquiry->query,
                     &enquiry->failure);
}

static void enquiry_close_p(struct enquiry *enquiry)
{
    conn_close(&enquiry->query);
}

/* The failure as the caller's error. */
static enum fan_status enquiry_fail(struct enquiry *enquiry, enum fan_status status,
                                    struct fan_error *reterr)
{
    errors_annotate(&enquiry->failure, enquiry->slot, enquiry->publication);
    if (reterr != NULL) {
        *reterr = enquiry->failure.error;
        reterr->status = status;
    }
    return status;
}

static void list_tables(const struct preflight *preflight, struct bytes *ret_tables)
{
    for (size_t i = 0; i < preflight->tables_count; i++) {
        bytes_append_format(ret_tables, "%s.%s\n", preflight->tables[i].schema,
                            preflight->tables[i].name);
    }
}

/* Whether the role may open a walsender, which pg_hba.conf may refuse where it lets SQL through. */
static void check_replication(struct enquiry *enquiry, source_report *report, void *context)
{
    PGconn *replication = NULL;
    struct query_limit limit = {
        .stop_fd = -1, .deadline_us = clock_monotonic_us() + enquiry->options->connect_timeout_us};
    struct source_finding finding = {.severity = FINDING_OK};
    if (conn_open(enquiry->options, CONN_REPLICATION, enquiry->slot, &limit, &replication,
                  &enquiry->failure) != FAN_OK) {
        finding.severity = FINDING_ERROR;
        (void)snprintf(finding.text, sizeof(finding.text), "%s", enquiry->failure.error.text);
        (void)snprintf(finding.hint, sizeof(finding.hint),
                       "check pg_hba.conf (logical replication matches the database's name) and "
                       "max_wal_senders");
    } else {
        (void)snprintf(finding.text, sizeof(finding.text), "a replication connection works");
    }
    (void)snprintf(finding.code, sizeof(finding.code), "REPLICATION_CONNECTION");
    report(context, &finding); /* literals and an error's text: nothing is cut above */
    conn_close(&replication);
}

static enum fan_status postgres_check(const struct source_setup *setup, source_report *report,
                                      void *context, struct bytes *ret_tables,
                                      struct fan_error *reterr)
{
    FAN_CLEANUP(enquiry_close_p) struct enquiry enquiry;
    enum fan_status status = enquiry_open(&enquiry, setup);
    if (status != FAN_OK) {
        return enquiry_fail(&enquiry, status, reterr);
    }
    struct preflight_setup question = {.options = enquiry.options,
                                       .slot = enquiry.slot,
                                       .publication = enquiry.publication,
                                       .application_name = enquiry.slot,
                                       .tables = &setup->tables};
    FAN_CLEANUP(preflight_release) struct preflight preflight = {0};
    status = preflight_run(&preflight, &question, enquiry.query, &enquiry.limit, report, context,
                           &enquiry.failure);
    if (status != FAN_OK) {
        return enquiry_fail(&enquiry, status, reterr);
    }
    list_tables(&preflight, ret_tables);
    if (preflight.failed) {
        enquiry.failure.error = preflight.error;
        return enquiry_fail(&enquiry, FAN_FATAL, reterr);
    }
    check_replication(&enquiry, report, context);
    return enquiry.failure.error.status == FAN_OK ? FAN_OK
                                                  : enquiry_fail(&enquiry, FAN_FATAL, reterr);
}

static enum fan_status postgres_slot(const struct source_setup *setup, struct source_slot *ret_slot,
                                     struct fan_error *reterr)
{
    FAN_CLEANUP(enquiry_close_p) struct enquiry enquiry;
    enum fan_status status = enquiry_open(&enquiry, setup);
    struct link_facts facts = {0};
    FAN_CLEANUP(query_clear_p) PGresult *row = NULL;
    static const char sql[] =
        "SELECT current_setting('server_version_num'), current_database(), EXISTS (SELECT FROM "
        "pg_publication WHERE pubname = $1), (SELECT pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() "
        "THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END, restart_lsn)::bigint "
        "FROM pg_replication_slots WHERE slot_name = $2)";
    const char *params[] = {enquiry.publication, enquiry.slot};
    if (status == FAN_OK) {
        status = query_run(enquiry.query, &enquiry.limit, sql, 2, params, &row, &enquiry.failure);
    }
    if (status == FAN_OK) {
        facts.server_version = (int)query_number(row, 0, 0);
        status =
            preflight_slot(&facts, enquiry.query, enquiry.slot, &enquiry.limit, &enquiry.failure);
    }
    if (status != FAN_OK) {
        return enquiry_fail(&enquiry, status, reterr);
    }
    *ret_slot = (struct source_slot){
        .exists = facts.slot.exists,
        .active = facts.slot.active,
        .active_pid = facts.slot.active_pid,
        .publication_exists = query_bool(row, 0, 2),
        .retained_bytes = query_text(row, 0, 3)[0] == '\0' ? -1 : query_number(row, 0, 3),
        .confirmed = facts.slot.confirmed,
        .restart = facts.slot.restart,
    };
    (void)snprintf(ret_slot->slot, sizeof(ret_slot->slot), "%s", enquiry.slot);
    (void)snprintf(ret_slot->publication, sizeof(ret_slot->publication), "%s", enquiry.publication);
    (void)snprintf(ret_slot->database, sizeof(ret_slot->database), "%s", query_text(row, 0, 1));
    (void)snprintf(ret_slot->wal_status, sizeof(ret_slot->wal_status), "%s", facts.slot.wal_status);
    return FAN_OK; /* names are NAMEDATALEN: nothing is cut above */
}

/* Drops the publication if its comment says that we made it. */
static enum fan_status drop_publication(struct enquiry *enquiry)
{
    static const char sql[] = "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1 AND "
                              "obj_description(oid, 'pg_publication') = '" PUBLICATION_COMMENT "')";
    const char *params[] = {enquiry->publication};
    FAN_CLEANUP(query_clear_p) PGresult *row = NULL;
    enum fan_status status =
        query_run(enquiry->query, &enquiry->limit, sql, 1, params, &row, &enquiry->failure);
    if (status != FAN_OK || !query_bool(row, 0, 0)) {
        return status;
    }
    PGconn *admin = NULL;
    if (secret_reveal(&enquiry->options->publication.admin_dsn) != NULL) {
        status = conn_open(enquiry->options, CONN_ADMIN, enquiry->slot, &enquiry->limit, &admin,
                           &enquiry->failure);
    }
    struct bytes command;
    bytes_init(&command, 1024);
    BYTES_APPEND_LITERAL(&command, "DROP PUBLICATION ");
    query_append_identifier(&command, enquiry->publication);
    FAN_CLEANUP(query_clear_p) PGresult *dropped = NULL;
    if (status == FAN_OK) {
        status = query_run(admin != NULL ? admin : enquiry->query, &enquiry->limit,
                           bytes_text(&command), 0, NULL, &dropped, &enquiry->failure);
    }
    if (status != FAN_OK) {
        fan_error_annotate(&enquiry->failure.error, "PERMISSION_DENIED",
                           "the slot is gone; let the owner run: %s;", bytes_text(&command));
    }
    bytes_release(&command);
    conn_close(&admin);
    return status;
}

static enum fan_status postgres_drop_slot(const struct source_setup *setup,
                                          struct fan_error *reterr)
{
    struct source_slot slot;
    enum fan_status status = postgres_slot(setup, &slot, reterr);
    if (status != FAN_OK) {
        return status;
    }
    if (slot.active) {
        status = fan_fail(reterr, FAN_FATAL, "cannot drop slot \"%s\": it is active for PID %d",
                          slot.slot, slot.active_pid);
        fan_error_annotate(reterr, "SLOT_ACTIVE", "stop the pgfan that reads it first");
        return status;
    }
    FAN_CLEANUP(enquiry_close_p) struct enquiry enquiry;
    status = enquiry_open(&enquiry, setup);
    FAN_CLEANUP(query_clear_p) PGresult *row = NULL;
    const char *params[] = {enquiry.slot};
    if (status == FAN_OK && slot.exists) {
        status = query_run(enquiry.query, &enquiry.limit, "SELECT pg_drop_replication_slot($1)", 1,
                           params, &row, &enquiry.failure);
    }
    if (status == FAN_OK && slot.publication_exists) {
        status = drop_publication(&enquiry);
    }
    return status == FAN_OK ? FAN_OK : enquiry_fail(&enquiry, status, reterr);
}

static enum fan_status postgres_create(const struct source_setup *setup, struct source **ret_source,
                                       struct fan_error *reterr)
{
    struct link *link;
    enum fan_status status = session_create(setup, &link, reterr);
    return status == FAN_OK ? pg_source_create(&source_postgres, setup, link, ret_source, reterr)
                            : status;
}

static const char *postgres_setup_slot_name(const struct source_setup *setup, char *text,
                                            size_t text_size)
{
    return postgres_slot_name(setup->options, setup->name, text, text_size);
}

/* Names of slots are the cluster's: the database does not tell two of them apart. */
static bool postgres_same_slot(const char *name, const void *options, const char *other_name,
                               const void *other_options)
{
    const struct postgres_options *left = options;
    const struct postgres_options *right = other_options;
    char slot[SOURCE_NAME_MAX];
    char other_slot[SOURCE_NAME_MAX];
    return strcmp(postgres_slot_name(left, name, slot, sizeof(slot)),
                  postgres_slot_name(right, other_name, other_slot, sizeof(other_slot))) == 0 &&
           conn_same_server(&left->dsn, &right->dsn);
}

const struct source_type source_postgres = {
    .name = "postgres",
    .table = &postgres_table,
    .create = postgres_create,
    .step = pg_source_step,
    .rewind = pg_source_rewind,
    .halt = pg_source_halt,
    .stop = pg_source_stop,
    .status = pg_source_status,
    .destroy = pg_source_destroy,
    .check = postgres_check,
    .slot = postgres_slot,
    .drop_slot = postgres_drop_slot,
    .same_slot = postgres_same_slot,
    .slot_name = postgres_setup_slot_name,
};
