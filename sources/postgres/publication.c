#include "sources/postgres/publication.h"

#include <stdio.h>

#include "base/cleanup.h"

static void append_tables(const struct preflight *preflight, enum table_cover cover,
                          struct bytes *sql)
{
    const char *separator = "";
    for (size_t i = 0; i < preflight->tables_count; i++) {
        const struct preflight_table *table = &preflight->tables[i];
        if (table->cover != cover) {
            continue;
        }
        /* ONLY keeps inheritance children out that nobody asked for. */
        bytes_append_format(sql, "%s%s", separator, table->partitioned ? "" : "ONLY ");
        query_append_identifier(sql, table->schema);
        bytes_append_char(sql, '.');
        query_append_identifier(sql, table->name);
        separator = ", ";
    }
}

static bool any_table(const struct preflight *preflight, enum table_cover cover)
{
    for (size_t i = 0; i < preflight->tables_count; i++) {
        if (preflight->tables[i].cover == cover) {
            return true;
        }
    }
    return false;
}

static bool any_partitioned(const struct preflight *preflight)
{
    for (size_t i = 0; i < preflight->tables_count; i++) {
        if (preflight->tables[i].partitioned) {
            return true;
        }
    }
    return false;
}

void publication_append_sql(const struct preflight *preflight, const char *publication,
                            enum table_cover cover, struct bytes *sql)
{
    bool missing = any_table(preflight, cover);
    if (preflight->facts.publication_exists) {
        if (missing) {
            BYTES_APPEND_LITERAL(sql, "ALTER PUBLICATION ");
            query_append_identifier(sql, publication);
            BYTES_APPEND_LITERAL(sql, " ADD TABLE ");
            append_tables(preflight, cover, sql);
        }
        return;
    }
    BYTES_APPEND_LITERAL(sql, "CREATE PUBLICATION ");
    query_append_identifier(sql, publication);
    if (missing) {
        BYTES_APPEND_LITERAL(sql, " FOR TABLE ");
        append_tables(preflight, cover, sql);
    }
    bytes_append_format(sql,
                        " WITH (publish = 'insert, update, delete, truncate', "
                        "publish_via_partition_root = %s)",
                        any_partitioned(preflight) ? "true" : "false");
}

#define FINGERPRINT_SQL(schemas)                                                                   \
    "SELECT p.oid::text || ' ' || p.xmin::text || ' ' || "                                         \
    "(SELECT count(*) || ' ' || coalesce(sum(pr.prrelid::bigint), 0) || ' ' || "                   \
    "coalesce(sum(pr.oid::bigint), 0) FROM pg_publication_rel pr WHERE pr.prpubid = p.oid) "       \
    "|| ' ' || " schemas "(SELECT count(*) || ' ' || coalesce(sum(hashtextextended("               \
    "c.relname::text || '.' || n.nspname::text || c.relreplident::text || c.relkind::text || "     \
    "c.relispartition::text, "                                                                     \
    "c.oid::bigint)), 0) "                                                                         \
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "                               \
    "WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p') "                                   \
    "FROM pg_publication p WHERE p.pubname = $1"

enum fan_status publication_fingerprint(PGconn *query, int server_version, const char *publication,
                                        const struct query_limit *limit, char *text,
                                        size_t text_size, struct link_failure *ret_failure)
{
    static const char sql[] = FINGERPRINT_SQL(
        "(SELECT count(*) || ' ' || coalesce(sum(pn.oid::bigint), 0) FROM pg_publication_namespace "
        "pn WHERE pn.pnpubid = p.oid) || ' ' || ");
    static const char sql_14[] = FINGERPRINT_SQL("");
    FAN_CLEANUP(query_clear_p) PGresult *row = NULL;
    enum fan_status status = query_run(query, limit, server_version >= 150000 ? sql : sql_14, 1,
                                       &publication, &row, ret_failure);
    if (status == FAN_OK) {
        (void)snprintf(text, text_size, "%s", query_text(row, 0, 0)); /* a few numbers */
    }
    return status;
}
