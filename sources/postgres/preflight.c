#include "sources/postgres/preflight.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "model/pattern.h"
#include "sources/postgres/publication.h"

enum { VERSION_MIN = 140000, VERSION_KNOWN_END = 190000, SQL_BYTES_MAX = 1 << 24 };

#define WAL_END_SQL                                                                                \
    "CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_receive_lsn(), "                      \
    "pg_last_wal_replay_lsn()) ELSE pg_current_wal_flush_lsn() END"

/* Reports one finding; `hint` may be NULL. */
static void finding(struct preflight *preflight, enum finding_severity severity, const char *code,
                    const char *hint, const char *format, ...) FAN_PRINTF(5, 6);

static void finding(struct preflight *preflight, enum finding_severity severity, const char *code,
                    const char *hint, const char *format, ...)
{
    struct source_finding found = {.severity = severity};
    va_list args;
    va_start(args, format);
    (void)vsnprintf(found.text, sizeof(found.text), format, args); /* may be cut */
    va_end(args);
    (void)snprintf(found.code, sizeof(found.code), "%s", code); /* codes are short literals */
    (void)snprintf(found.hint, sizeof(found.hint), "%s", hint != NULL ? hint : ""); /* may be cut */
    if (preflight->report != NULL) {
        preflight->report(preflight->context, &found);
    }
    if (severity == FINDING_ERROR && !preflight->failed) {
        preflight->failed = true;
        bool passes = preflight->running && strcmp(code, "IN_RECOVERY") == 0;
        (void)fan_fail(&preflight->error, passes ? FAN_RETRY : FAN_FATAL, "%s", found.text);
        fan_error_annotate(&preflight->error, found.code, "%s", found.hint);
    }
}

/* One about single tables. `losing` as in the shortfall. */
static void table_finding(struct preflight *preflight, bool losing, const char *code,
                          const char *hint, const char *format, ...) FAN_PRINTF(5, 6);

static void table_finding(struct preflight *preflight, bool losing, const char *code,
                          const char *hint, const char *format, ...)
{
    char text[FAN_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args); /* may be cut */
    va_end(args);
    finding(preflight, preflight->running ? FINDING_WARNING : FINDING_ERROR, code, hint, "%s",
            text);
    struct link_shortfall *shortfall = &preflight->facts.shortfall;
    if (shortfall->error.code[0] == '\0' || (losing && !shortfall->losing)) {
        (void)fan_fail(&shortfall->error, FAN_RETRY, "%s", text);
        fan_error_annotate(&shortfall->error, code, "%s", hint);
        shortfall->losing = losing;
    }
}

/* --- the server and the role ------------------------------------------------------------------ */

static const char server_sql[] =
    "SELECT current_setting('server_version_num'), pg_is_in_recovery(), "
    "current_setting('wal_level'), current_database(), current_user, r.rolsuper, r.rolreplication, "
    "current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots), "
    "current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication), "
    "current_setting('synchronous_standby_names'), current_setting('max_slot_wal_keep_size'), "
    "has_database_privilege(current_database(), 'CREATE'), " WAL_END_SQL ", "
    "current_setting('server_version'), current_setting('server_encoding') "
    "FROM pg_roles r WHERE r.rolname = current_user";

/* Whether the list of synchronous_standby_names holds `*` or our own name. */
static bool is_synchronous(const char *names, const char *application_name)
{
    static const char separators[] = " \t,()\"";
    while (*names != '\0') {
        names += strspn(names, separators);
        size_t size = strcspn(names, separators);
        if ((size == 1 && *names == '*') ||
            (size == strlen(application_name) && strncasecmp(names, application_name, size) == 0)) {
            return true;
        }
        names += size;
    }
    return false;
}

static void check_role(struct preflight *preflight, const struct preflight_setup *setup,
                       const PGresult *row)
{
    const char *role = query_text(row, 0, 4);
    preflight->superuser = query_bool(row, 0, 5);
    char hint[256];
    if (preflight->superuser && !setup->options->allow_superuser) {
        (void)snprintf(hint, sizeof(hint),
                       "use a role of its own (CREATE ROLE pgfan LOGIN REPLICATION), or set "
                       "allow_superuser: true");
        finding(preflight, FINDING_ERROR, "SUPERUSER", hint,
                "role \"%s\" is superuser: it could do anything on this server", role);
    } else if (!preflight->superuser && !query_bool(row, 0, 6)) {
        (void)snprintf(hint, sizeof(hint), "ALTER ROLE \"%.63s\" REPLICATION;", role);
        finding(preflight, FINDING_ERROR, "PERMISSION_DENIED", hint,
                "role \"%s\" has not the REPLICATION attribute", role);
    }
    preflight->may_create_publication = query_bool(row, 0, 11) || preflight->superuser;
}

static void check_capacity(struct preflight *preflight, const struct preflight_setup *setup,
                           const PGresult *row)
{
    if (!preflight->facts.slot.exists && query_number(row, 0, 7) <= 0) {
        finding(preflight, FINDING_ERROR, "NO_FREE_SLOT",
                "drop an unused slot with SELECT pg_drop_replication_slot('...'), or raise "
                "max_replication_slots and restart the server",
                "no replication slot is free");
    }
    if (!preflight->facts.slot.active && query_number(row, 0, 8) <= 0) {
        finding(preflight, FINDING_WARNING, "NO_FREE_WALSENDER",
                "raise max_wal_senders and restart the server", "no walsender is free");
    }
    if (is_synchronous(query_text(row, 0, 9), setup->application_name)) {
        finding(preflight, FINDING_ERROR, "SYNC_STANDBY",
                "name the real standbys: ALTER SYSTEM SET synchronous_standby_names = '...'; "
                "SELECT pg_reload_conf();",
                "synchronous_standby_names takes pgfan for a synchronous standby: a target that is "
                "down would stop every commit on the server");
    }
    if (strcmp(query_text(row, 0, 10), "-1") == 0) {
        finding(preflight, FINDING_WARNING, "WAL_UNBOUNDED",
                "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf(); the "
                "slot is then lost instead of the disk",
                "max_slot_wal_keep_size is -1: a slot that is not read can fill the server's disk");
    }
}

static enum fan_status check_server(struct preflight *preflight,
                                    const struct preflight_setup *setup, PGconn *query,
                                    const struct query_limit *limit,
                                    struct link_failure *ret_failure)
{
    FAN_CLEANUP(query_clear_p) PGresult *row = NULL;
    enum fan_status status = query_run(query, limit, server_sql, 0, NULL, &row, ret_failure);
    if (status != FAN_OK) {
        return status;
    }
    struct link_facts *facts = &preflight->facts;
    facts->server_version = (int)query_number(row, 0, 0);
    facts->in_recovery = query_bool(row, 0, 1);
    facts->wal_end = query_lsn(row, 0, 12);
    (void)snprintf(facts->database, sizeof(facts->database), "%s", query_text(row, 0, 3));
    if (facts->server_version < VERSION_MIN) {
        finding(preflight, FINDING_ERROR, "SERVER_VERSION", "upgrade the server",
                "server version is %s: 14 is the oldest that can serve", query_text(row, 0, 13));
        return FAN_OK;
    }
    finding(preflight, facts->server_version >= VERSION_KNOWN_END ? FINDING_WARNING : FINDING_OK,
            "SERVER_VERSION",
            facts->server_version >= VERSION_KNOWN_END ? "14 to 18 were tested" : NULL,
            "server version %s, database \"%s\", encoding %s", query_text(row, 0, 13),
            facts->database, query_text(row, 0, 14));
    if (facts->in_recovery && facts->server_version < 160000) {
        finding(preflight, FINDING_ERROR, "IN_RECOVERY", "point dsn at the primary",
                "the server is a standby: before version 16 those cannot decode");
    }
    if (strcmp(query_text(row, 0, 2), "logical") != 0) {
        finding(preflight, FINDING_ERROR, "WAL_LEVEL",
                "ALTER SYSTEM SET wal_level = logical; and restart the server",
                "wal_level is \"%s\": logical is required", query_text(row, 0, 2));
    }
    status = preflight_slot(facts, query, setup->slot, limit, ret_failure);
    if (status == FAN_OK) {
        check_role(preflight, setup, row);
        check_capacity(preflight, setup, row);
    }
    return status;
}

/* --- the slot --------------------------------------------------------------------------------- */

enum fan_status preflight_slot(struct link_facts *facts, PGconn *query, const char *name,
                               const struct query_limit *limit, struct link_failure *ret_failure)
{
    const char *invalidation = facts->server_version >= 170000 ? "coalesce(invalidation_reason, '')"
                               : facts->server_version >= 160000
                                   ? "CASE WHEN conflicting THEN 'conflict' ELSE '' END"
                                   : "''";
    const char *failover = facts->server_version >= 170000 ? "failover, synced" : "false, false";
    char sql[512];
    (void)snprintf(sql, sizeof(sql),
                   "SELECT plugin, slot_type = 'logical', database, temporary, active, active_pid, "
                   "restart_lsn, confirmed_flush_lsn, wal_status, two_phase, %s, %s "
                   "FROM pg_replication_slots WHERE slot_name = $1",
                   invalidation, failover); /* literals that fit */
    FAN_CLEANUP(query_clear_p) PGresult *row = NULL;
    enum fan_status status = query_run(query, limit, sql, 1, &name, &row, ret_failure);
    if (status != FAN_OK) {
        return status;
    }
    struct link_slot *slot = &facts->slot;
    *slot = (struct link_slot){.exists = PQntuples(row) == 1};
    (void)snprintf(slot->plugin, sizeof(slot->plugin), "%s", query_text(row, 0, 0));
    slot->logical = query_bool(row, 0, 1);
    (void)snprintf(slot->database, sizeof(slot->database), "%s", query_text(row, 0, 2));
    slot->temporary = query_bool(row, 0, 3);
    slot->active = query_bool(row, 0, 4);
    slot->active_pid = (int)query_number(row, 0, 5);
    slot->restart = query_lsn(row, 0, 6);
    slot->confirmed = query_lsn(row, 0, 7);
    (void)snprintf(slot->wal_status, sizeof(slot->wal_status), "%s", query_text(row, 0, 8));
    slot->two_phase = query_bool(row, 0, 9);
    (void)snprintf(slot->invalidation, sizeof(slot->invalidation), "%s", query_text(row, 0, 10));
    slot->failover = query_bool(row, 0, 11);
    slot->synced = query_bool(row, 0, 12);
    return FAN_OK; /* names are NAMEDATALEN: nothing is cut above */
}

/* What can be said of a slot without knowing what the store remembers; decide.h says the rest. */
static void check_slot(struct preflight *preflight, const char *name)
{
    const struct link_slot *slot = &preflight->facts.slot;
    char hint[256];
    (void)snprintf(hint, sizeof(hint),
                   "SELECT pg_drop_replication_slot('%.63s'); and take a new "
                   "baseline",
                   name);
    if (!slot->exists) {
        return;
    }
    if (strcmp(slot->wal_status, "lost") == 0 || slot->invalidation[0] != '\0') {
        finding(preflight, FINDING_ERROR, "SLOT_LOST", hint,
                "position lost: slot \"%s\" was invalidated: %s", name,
                slot->invalidation[0] != '\0' ? slot->invalidation : "wal_status is lost");
    } else if (!slot->logical || strcmp(slot->plugin, "pgoutput") != 0 || slot->temporary ||
               strcmp(slot->database, preflight->facts.database) != 0) {
        finding(preflight, FINDING_ERROR, "SLOT_FOREIGN", "set slot.name to a name that is free",
                "slot \"%s\" is not a lasting pgoutput slot of this database", name);
    } else if (slot->two_phase) {
        finding(preflight, FINDING_ERROR, "SLOT_TWO_PHASE",
                "two_phase cannot be turned off: set slot.name to a name that is free",
                "slot \"%s\" was created with two_phase", name);
    } else if (strcmp(slot->wal_status, "unreserved") == 0) {
        finding(preflight, FINDING_WARNING, "SLOT_UNRESERVED",
                "read faster, or raise max_slot_wal_keep_size",
                "slot \"%s\" is unreserved: its WAL goes at the next checkpoint", name);
    }
}

/* --- the publication -------------------------------------------------------------------------- */

static enum fan_status check_publication(struct preflight *preflight,
                                         const struct preflight_setup *setup, PGconn *query,
                                         const struct query_limit *limit,
                                         struct link_failure *ret_failure)
{
    static const char sql[] =
        "SELECT pg_has_role(pubowner, 'USAGE'), pubinsert, pubupdate, pubdelete, pubtruncate, "
        "pubviaroot FROM pg_publication WHERE pubname = $1";
    FAN_CLEANUP(query_clear_p) PGresult *row = NULL;
    enum fan_status status =
        query_run(query, limit, sql, 1, &setup->publication, &row, ret_failure);
    if (status != FAN_OK) {
        return status;
    }
    bool exists = PQntuples(row) == 1;
    preflight->facts.publication_exists = exists;
    preflight->publication_owned = query_bool(row, 0, 0);
    preflight->publishes_updates = !exists || query_bool(row, 0, 2) || query_bool(row, 0, 3);
    preflight->via_root = exists && query_bool(row, 0, 5);
    if (exists && !(query_bool(row, 0, 1) && query_bool(row, 0, 2) && query_bool(row, 0, 3) &&
                    query_bool(row, 0, 4))) {
        char hint[256];
        (void)snprintf(hint, sizeof(hint),
                       "ALTER PUBLICATION \"%.63s\" SET (publish = 'insert, update, delete, "
                       "truncate');",
                       setup->publication);
        finding(preflight, FINDING_WARNING, "PUBLICATION_PARTIAL", hint,
                "publication \"%s\" does not publish every operation", setup->publication);
    }
    return FAN_OK;
}

/* Row filters and column lists leave things out on purpose: they are shown. */
static enum fan_status show_filters(struct preflight *preflight,
                                    const struct preflight_setup *setup, PGconn *query,
                                    const struct query_limit *limit,
                                    struct link_failure *ret_failure)
{
    if (preflight->facts.server_version < 150000 || !preflight->facts.publication_exists) {
        return FAN_OK;
    }
    static const char sql[] =
        "SELECT n.nspname, c.relname, pg_get_expr(pr.prqual, pr.prrelid), "
        "array_length(pr.prattrs::int2[], 1) FROM pg_publication_rel pr "
        "JOIN pg_publication p ON p.oid = pr.prpubid JOIN pg_class c ON c.oid = pr.prrelid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE p.pubname = $1 AND (pr.prqual IS NOT NULL OR pr.prattrs IS NOT NULL)";
    FAN_CLEANUP(query_clear_p) PGresult *rows = NULL;
    enum fan_status status =
        query_run(query, limit, sql, 1, &setup->publication, &rows, ret_failure);
    for (int i = 0; status == FAN_OK && i < PQntuples(rows); i++) {
        if (query_text(rows, i, 2)[0] != '\0') {
            finding(preflight, FINDING_OK, "ROW_FILTER", NULL,
                    "table %s.%s is published with a row filter: %s", query_text(rows, i, 0),
                    query_text(rows, i, 1), query_text(rows, i, 2));
        }
        if (query_text(rows, i, 3)[0] != '\0') {
            finding(preflight, FINDING_OK, "COLUMN_LIST", NULL,
                    "table %s.%s is published with %s of its columns", query_text(rows, i, 0),
                    query_text(rows, i, 1), query_text(rows, i, 3));
        }
    }
    return status;
}

/* --- the tables ------------------------------------------------------------------------------- */

#define IDENTITY_SQL(alias)                                                                        \
    "(" alias ".relreplident = 'f' OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = " alias    \
    ".oid AND ((" alias ".relreplident = 'd' AND i.indisprimary) OR (" alias                       \
    ".relreplident = 'i' AND i.indisreplident))))"

/*
 * Everything that could be meant, with what the checks need. A partitioned table has an identity
 * when each of its leaves has, because it is the leaf's that the server asks for.
 */
#define TABLES_SQL(schemas)                                                                        \
    "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, "                            \
    "CASE WHEN c.relkind = 'p' THEN NOT EXISTS (SELECT FROM pg_partition_tree(c.oid) l JOIN "      \
    "pg_class s ON s.oid = l.relid WHERE l.isleaf AND s.relkind = 'r' AND NOT " IDENTITY_SQL(      \
        "s") ") ELSE " IDENTITY_SQL("c") " END, "                                                  \
                                         "pg_has_role(c.relowner, 'USAGE'), c.relrowsecurity, "    \
                                         "CASE WHEN c.relispartition THEN (SELECT "                \
                                         "string_agg(a.relid::oid::text, ' ') FROM "               \
                                         "pg_partition_ancestors(c.oid) a WHERE a.relid <> "       \
                                         "c.oid) END, "                                            \
                                         "EXISTS (SELECT FROM pg_publication p WHERE p.pubname = " \
                                         "$1 AND (p.puballtables " schemas                         \
                                         " OR EXISTS (SELECT FROM pg_publication_rel pr WHERE "    \
                                         "pr.prpubid = p.oid AND (pr.prrelid = "                   \
                                         "c.oid OR (c.relispartition AND pr.prrelid IN (SELECT "   \
                                         "relid FROM "                                             \
                                         "pg_partition_ancestors(c.oid))))))) "                    \
                                         "FROM pg_class c JOIN pg_namespace n ON n.oid = "         \
                                         "c.relnamespace "                                         \
                                         "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND "       \
                                         "n.nspname <> 'information_schema' AND "                  \
                                         "left(n.nspname, 3) <> 'pg_' ORDER BY 2, 3"

static const char tables_sql[] =
    TABLES_SQL("OR EXISTS (SELECT FROM pg_publication_namespace pn WHERE pn.pnpubid = p.oid AND "
               "pn.pnnspid = c.relnamespace)");
static const char tables_sql_14[] = TABLES_SQL("");

/* Why a relation cannot be streamed, or NULL. */
static const char *unfit(const PGresult *rows, int row)
{
    switch (query_text(rows, row, 3)[0]) {
    case 'v':
        return "a view";
    case 'm':
        return "a materialized view";
    case 'f':
        return "a foreign table";
    default:
        break;
    }
    return query_text(rows, row, 4)[0] == 'u'   ? "an unlogged table"
           : query_text(rows, row, 4)[0] == 't' ? "a temporary table"
                                                : NULL;
}

enum mark { MARK_NONE, MARK_MATCHED, MARK_NAMED };

/* Marks the rows that a pattern names. Reports patterns that name nothing. */
static void mark_pattern(struct preflight *preflight, const char *text, const PGresult *rows,
                         uint8_t *marks)
{
    struct pattern pattern;
    struct fan_error error;
    if (pattern_parse(text, &pattern, &error) != FAN_OK) {
        finding(preflight, FINDING_ERROR, "TABLE_PATTERN", error.hint, "%s", error.text);
        return;
    }
    bool exact = pattern_is_exact(&pattern);
    int found = 0;
    for (int i = 0; i < PQntuples(rows); i++) {
        if (!pattern_match(&pattern, query_text(rows, i, 1), query_text(rows, i, 2))) {
            continue;
        }
        const char *reason = unfit(rows, i);
        if (reason == NULL) {
            marks[i] = exact ? MARK_NAMED : marks[i] == MARK_NONE ? MARK_MATCHED : marks[i];
            found++;
        } else if (exact) {
            table_finding(
                preflight, false, "TABLE_KIND",
                "only ordinary and partitioned tables are streamed: take it out of `tables`",
                "%s.%s is %s", query_text(rows, i, 1), query_text(rows, i, 2), reason);
            return;
        }
    }
    if (found == 0) {
        table_finding(preflight, false, "TABLE_NOT_FOUND",
                      "create the table, or mend the name in `tables`", "TABLE_NOT_FOUND %s%s%s",
                      exact ? pattern.schema.text : text, exact ? "." : "",
                      exact ? pattern.table.text : "");
    }
}

/* Whether one of the space-separated OIDs is among the marked rows. */
static bool ancestor_marked(const PGresult *rows, int row, const uint8_t *marks)
{
    const char *at = query_text(rows, row, 8);
    while (*at != '\0') {
        char *end;
        unsigned long ancestor = strtoul(at, &end, 10);
        if (end == at) {
            return false;
        }
        for (int i = 0; i < PQntuples(rows); i++) {
            if (marks[i] != MARK_NONE && (unsigned long)query_number(rows, i, 0) == ancestor) {
                return true;
            }
        }
        at = end;
    }
    return false;
}

static void take_table(struct preflight *preflight, const PGresult *rows, int row, bool named)
{
    struct preflight_table *table = &preflight->tables[preflight->tables_count++];
    *table = (struct preflight_table){
        .oid = (uint32_t)query_number(rows, row, 0),
        .partitioned = query_text(rows, row, 3)[0] == 'p',
        .has_identity = query_bool(rows, row, 5),
        .owned = query_bool(rows, row, 6),
        .cover = query_bool(rows, row, 9) ? COVER_HELD : COVER_ADD,
        .named = named,
    };
    (void)snprintf(table->schema, sizeof(table->schema), "%s", query_text(rows, row, 1));
    (void)snprintf(table->name, sizeof(table->name), "%s", query_text(rows, row, 2));
    if (query_bool(rows, row, 7)) {
        finding(preflight, FINDING_OK, "ROW_SECURITY",
                "row-level security does not apply to logical decoding",
                "policies of table %s.%s do not filter the stream", table->schema, table->name);
    } /* names are NAMEDATALEN: nothing is cut above */
}

static enum fan_status expand_tables(struct preflight *preflight,
                                     const struct preflight_setup *setup, PGconn *query,
                                     const struct query_limit *limit,
                                     struct link_failure *ret_failure)
{
    FAN_CLEANUP(query_clear_p) PGresult *rows = NULL;
    const char *sql = preflight->facts.server_version >= 150000 ? tables_sql : tables_sql_14;
    enum fan_status status =
        query_run(query, limit, sql, 1, &setup->publication, &rows, ret_failure);
    if (status != FAN_OK) {
        return status;
    }
    int count = PQntuples(rows);
    preflight->tables =
        count > PREFLIGHT_TABLES_MAX ? NULL : calloc((size_t)count + 1, sizeof(*preflight->tables));
    uint8_t *marks = preflight->tables == NULL ? NULL : calloc((size_t)count + 1, sizeof(*marks));
    if (marks == NULL) {
        (void)fan_fail(&ret_failure->error, FAN_RETRY, "could not list %d tables: %s", count,
                       count > PREFLIGHT_TABLES_MAX ? "too many" : "out of memory");
        return FAN_RETRY;
    }
    for (size_t i = 0; i < setup->tables->patterns_count; i++) {
        mark_pattern(preflight, setup->tables->patterns[i], rows, marks);
    }
    for (int i = 0; i < count; i++) {
        if (marks[i] != MARK_NONE && !ancestor_marked(rows, i, marks)) {
            take_table(preflight, rows, i, marks[i] == MARK_NAMED);
        }
    }
    free(marks);
    return FAN_OK;
}

/* Adding a table without an identity makes its application's updates fail; one that is there
 * already does so now. */
static void check_identity_of(struct preflight *preflight, struct preflight_table *table)
{
    static const char text[] = "table %s.%s has no primary key and no replica identity: updates "
                               "and deletes of it fail while it is published";
    char hint[512];
    (void)snprintf(hint, sizeof(hint),
                   "ALTER TABLE \"%s\".\"%s\" ADD PRIMARY KEY (...); or ALTER TABLE "
                   "\"%s\".\"%s\" REPLICA IDENTITY FULL;%s",
                   table->schema, table->name, table->schema, table->name,
                   table->partitioned ? " the latter on each partition" : "");
    if (table->cover == COVER_HELD) {
        finding(preflight, FINDING_WARNING, "NO_REPLICA_IDENTITY", hint, text, table->schema,
                table->name);
        return;
    }
    table->cover = preflight->running ? COVER_UNSAFE : table->cover;
    table_finding(preflight, table->named || table->streamed, "NO_REPLICA_IDENTITY", hint, text,
                  table->schema, table->name);
}

static void check_identity(struct preflight *preflight)
{
    for (size_t i = 0; i < preflight->tables_count && preflight->publishes_updates; i++) {
        struct preflight_table *table = &preflight->tables[i];
        if (!table->has_identity && table->cover != COVER_LEFT) {
            check_identity_of(preflight, table);
        }
        if (table->partitioned && preflight->facts.publication_exists && !preflight->via_root) {
            finding(preflight, FINDING_WARNING, "PARTITION_ROOT",
                    "ALTER PUBLICATION ... SET (publish_via_partition_root = true), or name the "
                    "partitions in `tables`",
                    "changes of partitioned table %s.%s come under the names of its partitions",
                    table->schema, table->name);
        }
    }
}

/* The statement of publication_append_sql() as a hint. */
static void sql_hint(const struct preflight *preflight, const char *publication,
                     enum table_cover cover, char *hint, size_t hint_size)
{
    struct bytes sql;
    bytes_init(&sql, SQL_BYTES_MAX);
    publication_append_sql(preflight, publication, cover, &sql);
    (void)snprintf(hint, hint_size, "%s;", bytes_text(&sql)); /* may be cut */
    bytes_release(&sql);
}

static bool any_of(const struct preflight *preflight, enum table_cover cover)
{
    for (size_t i = 0; i < preflight->tables_count; i++) {
        if (preflight->tables[i].cover == cover) {
            return true;
        }
    }
    return false;
}

enum { MORE_SIZE = 32 };

static const char *more_text(size_t count, char text[MORE_SIZE])
{
    text[0] = '\0';
    if (count > 1) {
        (void)snprintf(text, MORE_SIZE, " and %zu more", count - 1); /* fits */
    }
    return text;
}

/* While the stream runs: what somebody took out of the publication stays out, and is shown. */
static void mark_left(struct preflight *look)
{
    for (size_t i = 0; i < look->tables_count; i++) {
        struct preflight_table *table = &look->tables[i];
        if (table->cover == COVER_ADD && table->own) {
            table->cover = COVER_LEFT;
        }
    }
}

static void show_left(struct preflight *look, const struct preflight_setup *setup)
{
    size_t count = 0;
    const struct preflight_table *first = NULL;
    for (size_t i = 0; i < look->tables_count; i++) {
        if (look->tables[i].cover == COVER_LEFT) {
            first = first == NULL ? &look->tables[i] : first;
            count++;
        }
    }
    if (first == NULL) {
        return;
    }
    char hint[FAN_ERROR_HINT_MAX];
    sql_hint(look, setup->publication, COVER_LEFT, hint, sizeof(hint));
    char more[MORE_SIZE];
    char whole[LSN_TEXT_SIZE];
    (void)lsn_format(first->whole, whole); /* only its text is needed */
    table_finding(look, true, "PUBLICATION_TABLES", hint,
                  "table %s.%s%s left publication \"%s\": its changes since %s are lost",
                  first->schema, first->name, more_text(count, more), setup->publication, whole);
}

/* While the stream runs: what may not be added is left out. */
static void leave_out_refused(struct preflight *preflight, const struct preflight_setup *setup)
{
    const struct postgres_publication_options *options = &setup->options->publication;
    bool by_admin = secret_reveal(&options->admin_dsn) != NULL;
    size_t count = 0;
    const struct preflight_table *first = NULL;
    bool losing = false;
    for (size_t i = 0; i < preflight->tables_count; i++) {
        struct preflight_table *table = &preflight->tables[i];
        bool may = options->create && (by_admin || (preflight->publication_owned && table->owned));
        if (table->cover == COVER_ADD && !may) {
            table->cover = COVER_REFUSED;
            first = first == NULL ? table : first;
            losing = losing || table->named || table->streamed;
            count++;
        }
    }
    if (count == 0) {
        return;
    }
    char hint[FAN_ERROR_HINT_MAX];
    sql_hint(preflight, setup->publication, COVER_REFUSED, hint, sizeof(hint));
    char more[MORE_SIZE];
    table_finding(preflight, losing, options->create ? "PERMISSION_DENIED" : "PUBLICATION_TABLES",
                  hint, "publication \"%s\" lacks table %s.%s%s, and %s", setup->publication,
                  first->schema, first->name, more_text(count, more),
                  options->create ? "the role may not add it" : "publication.create is false");
}

/* Whether the publication lacks something, and whether we may mend it. */
static void check_contents(struct preflight *preflight, const struct preflight_setup *setup)
{
    struct link_facts *facts = &preflight->facts;
    if (preflight->running && facts->publication_exists) {
        leave_out_refused(preflight, setup);
        facts->publication_change = any_of(preflight, COVER_ADD);
        return;
    }
    facts->publication_change = !facts->publication_exists || any_of(preflight, COVER_ADD);
    if (!facts->publication_change) {
        return;
    }
    const struct postgres_publication_options *options = &setup->options->publication;
    bool by_admin = secret_reveal(&options->admin_dsn) != NULL;
    bool may = facts->publication_exists ? preflight->publication_owned
                                         : preflight->may_create_publication;
    for (size_t i = 0; i < preflight->tables_count; i++) {
        may = may && (preflight->tables[i].cover == COVER_HELD || preflight->tables[i].owned);
    }
    char hint[FAN_ERROR_HINT_MAX];
    sql_hint(preflight, setup->publication, COVER_ADD, hint, sizeof(hint));
    if (!options->create) {
        finding(preflight, FINDING_ERROR,
                facts->publication_exists ? "PUBLICATION_TABLES" : "PUBLICATION_MISSING", hint,
                "publication \"%s\" %s, and publication.create is false", setup->publication,
                facts->publication_exists ? "lacks tables" : "does not exist");
    } else if (!may && !by_admin) {
        finding(preflight, FINDING_ERROR, "PERMISSION_DENIED", hint,
                "the role may not %s publication \"%s\": let the owner of the tables run the SQL, "
                "or set publication.admin_dsn",
                facts->publication_exists ? "alter" : "create", setup->publication);
    }
}

enum fan_status preflight_run(struct preflight *preflight, const struct preflight_setup *setup,
                              PGconn *query, const struct query_limit *limit, source_report *report,
                              void *context, struct link_failure *ret_failure)
{
    *preflight =
        (struct preflight){.running = setup->running, .report = report, .context = context};
    *ret_failure = (struct link_failure){0};
    enum fan_status status = check_server(preflight, setup, query, limit, ret_failure);
    if (status != FAN_OK || preflight->facts.server_version < VERSION_MIN) {
        return status;
    }
    check_slot(preflight, setup->slot);
    status = check_publication(preflight, setup, query, limit, ret_failure);
    status = status == FAN_OK ? expand_tables(preflight, setup, query, limit, ret_failure) : status;
    if (status != FAN_OK) {
        return status;
    }
    if (setup->before != NULL) {
        coverage_recall(setup->before, setup->first, preflight);
    }
    check_identity(preflight);
    check_contents(preflight, setup);
    return show_filters(preflight, setup, query, limit, ret_failure);
}

enum fan_status preflight_look(struct preflight *look, const struct preflight_setup *setup,
                               int server_version, PGconn *query, const struct query_limit *limit,
                               source_report *report, void *context,
                               struct link_failure *ret_failure)
{
    *look = (struct preflight){.running = true, .report = report, .context = context};
    look->facts.server_version = server_version;
    *ret_failure = (struct link_failure){0};
    enum fan_status status = check_publication(look, setup, query, limit, ret_failure);
    if (status == FAN_OK && !look->facts.publication_exists) {
        table_finding(look, true, "PUBLICATION_MISSING",
                      "drop the slot, take a new baseline and start again",
                      "publication \"%s\" does not exist any more: changes from now on are lost",
                      setup->publication);
        return FAN_OK;
    }
    status = status == FAN_OK ? expand_tables(look, setup, query, limit, ret_failure) : status;
    if (status != FAN_OK) {
        return status;
    }
    coverage_recall(setup->before, setup->first, look);
    mark_left(look);
    check_identity(look);
    show_left(look, setup);
    check_contents(look, setup);
    return FAN_OK;
}

void preflight_release(struct preflight *preflight)
{
    free(preflight->tables);
    *preflight = (struct preflight){0};
}

/* --- identity --------------------------------------------------------------------------------- */

/* The history file has lines "<timeline> TAB <switch point> TAB <reason>". */
static struct fan_lsn switch_point(const char *content, uint32_t timeline)
{
    struct fan_lsn point = LSN_NONE;
    while (*content != '\0') {
        char *end;
        unsigned long number = strtoul(content, &end, 10);
        size_t spaces = strspn(end, " \t");
        size_t length = strspn(end + spaces, "0123456789ABCDEFabcdef/");
        char text[LSN_TEXT_SIZE];
        if (end != content && number == timeline && length < sizeof(text)) {
            memcpy(text, end + spaces, length);
            text[length] = '\0';
            (void)lsn_parse(text, &point); /* otherwise it stays "none" */
        }
        content += strcspn(content, "\n");
        content += *content == '\n' ? 1 : 0;
    }
    return point;
}

enum fan_status preflight_identify(struct link_facts *facts, PGconn *replication, uint32_t timeline,
                                   const struct query_limit *limit,
                                   struct link_failure *ret_failure)
{
    FAN_CLEANUP(query_clear_p) PGresult *row = NULL;
    enum fan_status status =
        query_run(replication, limit, "IDENTIFY_SYSTEM", 0, NULL, &row, ret_failure);
    if (status != FAN_OK) {
        return status;
    }
    (void)snprintf(facts->system_id, sizeof(facts->system_id), "%s", query_text(row, 0, 0));
    facts->timeline = (uint32_t)query_number(row, 0, 1);
    facts->wal_end = lsn_max(facts->wal_end, query_lsn(row, 0, 2));
    facts->timeline_switch = LSN_NONE;
    if (timeline == 0 || timeline >= facts->timeline) {
        return FAN_OK;
    }
    char command[64];
    (void)snprintf(command, sizeof(command), "TIMELINE_HISTORY %u", facts->timeline);
    FAN_CLEANUP(query_clear_p) PGresult *history = NULL;
    status = query_run(replication, limit, command, 0, NULL, &history, ret_failure);
    if (status == FAN_OK) {
        facts->timeline_switch = switch_point(query_text(history, 0, 1), timeline);
    }
    return status;
}
