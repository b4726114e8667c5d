#include "sources/postgres/publication.h"

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
