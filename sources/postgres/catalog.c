#include "sources/postgres/catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"

enum {
    FIRST_GENERATED_OID = 10000, /* FirstGenbkiObjectId: below it OIDs are the same everywhere */
    OIDS_BYTES_MAX = RELATION_COLUMNS_MAX * 12,
};

enum fan_status catalog_request_make(const struct relation *relation,
                                     struct catalog_request *ret_request)
{
    struct catalog_column *columns = calloc(relation->columns_count + 1, sizeof(*columns));
    if (columns == NULL) {
        return FAN_RETRY;
    }
    for (size_t i = 0; i < relation->columns_count; i++) {
        memcpy(columns[i].name, relation->columns[i].name, sizeof(columns[i].name));
        columns[i].type_oid = relation->columns[i].type_oid;
    }
    *ret_request = (struct catalog_request){
        .relid = relation->relid, .columns_count = relation->columns_count, .columns = columns};
    return FAN_OK;
}

void catalog_request_release(struct catalog_request *request)
{
    free(request->columns);
    *request = (struct catalog_request){0};
}

/*
 * One row per type: its OID; the OID behind all domains; whether that is a true array; the OID of
 * its element behind all domains; the element's delimiter; the modifier that the outermost domain
 * with one lays down; kind and name of the type, or of the element of an array; its labels.
 */
static const char types_sql[] =
    "WITH RECURSIVE t AS ("
    " SELECT y.oid AS start, y.oid, y.typtype, y.typbasetype, y.typelem, y.typlen, y.typcategory,"
    " -1 AS modifier, y.typtypmod FROM pg_type y WHERE y.oid = ANY ($1::oid[])"
    " UNION ALL"
    " SELECT t.start, y.oid, y.typtype, y.typbasetype, y.typelem, y.typlen, y.typcategory,"
    " CASE WHEN t.modifier = -1 THEN t.typtypmod ELSE t.modifier END, y.typtypmod"
    " FROM t JOIN pg_type y ON y.oid = t.typbasetype WHERE t.typtype = 'd'), "
    "a AS ("
    " SELECT t.*, t.typelem <> 0 AND t.typlen = -1 AND t.typcategory = 'A' AS is_array, ("
    "  WITH RECURSIVE e AS ("
    "   SELECT y.oid, y.typtype, y.typbasetype FROM pg_type y WHERE y.oid = t.typelem"
    "   UNION ALL"
    "   SELECT y.oid, y.typtype, y.typbasetype FROM e JOIN pg_type y ON y.oid = e.typbasetype"
    "   WHERE e.typtype = 'd')"
    "  SELECT e.oid FROM e WHERE e.typtype <> 'd') AS element"
    " FROM t WHERE t.typtype <> 'd') "
    "SELECT a.start, a.oid, a.is_array, a.element, "
    "(SELECT y.typdelim FROM pg_type y WHERE y.oid = a.typelem), a.modifier, y.typtype, y.typname, "
    "(SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_enum e "
    "WHERE e.enumtypid = y.oid) "
    "FROM a LEFT JOIN pg_type y ON y.oid = CASE WHEN a.is_array THEN a.element ELSE a.oid END";

static const char columns_sql[] =
    "SELECT a.attname, a.attnotnull, EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid "
    "AND i.indisprimary AND a.attnum = ANY (i.indkey)) "
    "FROM pg_attribute a WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped";

/* Extensions get their OIDs when they are made, so that only names tell their types. */
static enum type_family family_of(const PGresult *rows, int row)
{
    static const struct {
        const char *name;
        enum type_family family;
    } families[] = {{"citext", TYPE_FAMILY_CITEXT},
                    {"hstore", TYPE_FAMILY_HSTORE},
                    {"ltree", TYPE_FAMILY_LTREE}};
    const char *kind = query_text(rows, row, 6);
    if (strcmp(kind, "e") == 0) {
        return TYPE_FAMILY_ENUM;
    }
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        if (strcmp(kind, "b") == 0 && strcmp(query_text(rows, row, 7), families[i].name) == 0) {
            return families[i].family;
        }
    }
    return TYPE_FAMILY_NONE;
}

static struct type_info type_of_row(const PGresult *rows, int row)
{
    struct type_info type;
    if (query_bool(rows, row, 2)) {
        struct type_info element = type_builtin((uint32_t)query_number(rows, row, 3));
        if (element.kind == TYPE_ARRAY) { /* an array of a domain over an array */
            element = (struct type_info){.kind = TYPE_TEXT, .oid = element.oid};
        }
        element.family = family_of(rows, row);
        type = type_array_of(element, query_text(rows, row, 4)[0]);
        type.oid = (uint32_t)query_number(rows, row, 1);
    } else {
        type = type_builtin((uint32_t)query_number(rows, row, 1));
        type.family = family_of(rows, row);
    }
    type.modifier = (int32_t)query_number(rows, row, 5);
    type.has_modifier = type.modifier >= 0;
    return type;
}

/* Asks for the types that are not built in, if there are any. */
static enum fan_status ask_types(const struct catalog_request *request, PGconn *query,
                                 const struct query_limit *limit, PGresult **ret_rows,
                                 struct link_failure *ret_failure)
{
    struct bytes oids;
    bytes_init(&oids, OIDS_BYTES_MAX);
    bytes_append_char(&oids, '{');
    for (size_t i = 0; i < request->columns_count; i++) {
        uint32_t oid = request->columns[i].type_oid;
        if (oid >= FIRST_GENERATED_OID) {
            bytes_append_format(&oids, "%s%u", oids.size > 1 ? "," : "", oid);
        }
    }
    bool any = oids.size > 1;
    bytes_append_char(&oids, '}');
    const char *list = bytes_text(&oids);
    enum fan_status status =
        any ? query_run(query, limit, types_sql, 1, &list, ret_rows, ret_failure) : FAN_OK;
    bytes_release(&oids);
    return status;
}

/* The row of the type, or -1. */
static int row_of(const PGresult *rows, uint32_t oid)
{
    int row = rows == NULL ? -1 : PQntuples(rows) - 1;
    while (row >= 0 && (uint32_t)query_number(rows, row, 0) != oid) {
        row--;
    }
    return row;
}

/* Bytes of the labels of a row's type with their NUL; 0: it has none. */
static size_t labels_size(const PGresult *rows, int row)
{
    size_t size = row < 0 ? 0 : strlen(query_text(rows, row, 8));
    return size == 0 ? 0 : size + 1;
}

/* Columns with their types, and with the labels behind them in the same memory; NULL: it is out. */
static struct link_column *columns_make(const struct catalog_request *request, const PGresult *rows)
{
    size_t labels = 0;
    size_t table = (request->columns_count + 1) * sizeof(struct link_column);
    for (size_t i = 0; i < request->columns_count; i++) {
        labels += labels_size(rows, row_of(rows, request->columns[i].type_oid));
    }
    labels = labels < RELATION_LABELS_MAX ? labels : RELATION_LABELS_MAX;
    struct link_column *columns = calloc(1, table + labels);
    if (columns == NULL) {
        return NULL;
    }
    char *at = (char *)columns + table;
    for (size_t i = 0; i < request->columns_count; i++) {
        int row = row_of(rows, request->columns[i].type_oid);
        size_t size = labels_size(rows, row);
        columns[i].type =
            row < 0 ? type_builtin(request->columns[i].type_oid) : type_of_row(rows, row);
        if (size > 0 && size <= labels) {
            memcpy(at, query_text(rows, row, 8), size);
            columns[i].labels = at;
            at += size;
            labels -= size;
        }
    }
    return columns;
}

static enum fan_status describe_columns(const struct catalog_request *request, PGconn *query,
                                        const struct query_limit *limit,
                                        struct link_column *columns,
                                        struct link_failure *ret_failure)
{
    char relid[16];
    (void)snprintf(relid, sizeof(relid), "%u", request->relid); /* ten digits at most */
    const char *params[] = {relid};
    FAN_CLEANUP(query_clear_p) PGresult *rows = NULL;
    enum fan_status status = query_run(query, limit, columns_sql, 1, params, &rows, ret_failure);
    for (int row = 0; status == FAN_OK && row < PQntuples(rows); row++) {
        for (size_t i = 0; i < request->columns_count; i++) {
            if (strcmp(request->columns[i].name, query_text(rows, row, 0)) == 0) {
                columns[i].not_null = query_bool(rows, row, 1);
                columns[i].in_primary_key = query_bool(rows, row, 2);
            }
        }
    }
    return status;
}

enum fan_status catalog_describe(const struct catalog_request *request, PGconn *query,
                                 const struct query_limit *limit, struct link_column **ret_columns,
                                 struct link_failure *ret_failure)
{
    FAN_CLEANUP(query_clear_p) PGresult *rows = NULL;
    enum fan_status status = ask_types(request, query, limit, &rows, ret_failure);
    if (status != FAN_OK) {
        return status;
    }
    struct link_column *columns = columns_make(request, rows);
    if (columns == NULL) {
        *ret_failure = (struct link_failure){0};
        return fan_fail(&ret_failure->error, FAN_RETRY,
                        "could not describe a table: out of memory");
    }
    status = describe_columns(request, query, limit, columns, ret_failure);
    if (status != FAN_OK) {
        free(columns);
        return status;
    }
    *ret_columns = columns;
    return FAN_OK;
}
