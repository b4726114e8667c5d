#include "sources/postgres/publication.h"

static void append_tables(const struct preflight *preflight, struct bytes *sql)
{
    const char *separator = "";
    for (size_t i = 0; i < preflight->tables_count; i++) {
        const struct preflight_table *table = &preflight->tables[i];
        if (table->covered) {
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

static bool any_missing(const struct preflight *preflight)
{
    for (size_t i = 0; i < preflight->tables_count; i++) {
        if (!preflight->tables[i].covered) {
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
                            struct bytes *sql)
{
    bool missing = any_missing(preflight);
    if (preflight->facts.publication_exists) {
        if (missing) {
            BYTES_APPEND_LITERAL(sql, "ALTER PUBLICATION ");
            query_append_identifier(sql, publication);
            BYTES_APPEND_LITERAL(sql, " ADD TABLE ");
            append_tables(preflight, sql);
        }
        return;
    }
    BYTES_APPEND_LITERAL(sql, "CREATE PUBLICATION ");
    query_append_identifier(sql, publication);
    if (missing) {
        BYTES_APPEND_LITERAL(sql, " FOR TABLE ");
        append_tables(preflight, sql);
    }
    bytes_append_format(sql,
                        " WITH (publish = 'insert, update, delete, truncate', "
                        "publish_via_partition_root = %s)",
                        any_partitioned(preflight) ? "true" : "false");
}
