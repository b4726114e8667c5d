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
 * with one lays down; kind and name of the type, or of the element of an array.
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
    "(SELECT y.typdelim FROM pg_type y WHERE y.oid = a.typelem), a.modifier, y.typtype, y.typname "
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
    } families[] = {{"citext", TYPE_FAMILY_CITEXT},       {"hstore", TYPE_FAMILY_HSTORE},
                    {"ltree", TYPE_FAMILY_LTREE},         {"geometry", TYPE_FAMILY_GEOMETRY},
                    {"geography", TYPE_FAMILY_GEOGRAPHY}, {"vector", TYPE_FAMILY_VECTOR},
                    {"halfvec", TYPE_FAMILY_HALF_VECTOR}, {"sparsevec", TYPE_FAMILY_SPARSE_VECTOR}};
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

static enum fan_status describe_types(const struct catalog_request *request, PGconn *query,
                                      const struct query_limit *limit, struct link_column *columns,
                                      struct link_failure *ret_failure)
{
    struct bytes oids;
    bytes_init(&oids, OIDS_BYTES_MAX);
    bytes_append_char(&oids, '{');
    for (size_t i = 0; i < request->columns_count; i++) {
        uint32_t oid = request->columns[i].type_oid;
        columns[i].type = type_builtin(oid);
        if (oid >= FIRST_GENERATED_OID) {
            bytes_append_format(&oids, "%s%u", oids.size > 1 ? "," : "", oid);
        }
    }
    bool any = oids.size > 1;
    bytes_append_char(&oids, '}');
    const char *list = bytes_text(&oids);
    FAN_CLEANUP(query_clear_p) PGresult *rows = NULL;
    enum fan_status status = FAN_OK;
    if (any) {
        status = query_run(query, limit, types_sql, 1, &list, &rows, ret_failure);
    }
    bytes_release(&oids);
    for (int row = 0; status == FAN_OK && rows != NULL && row < PQntuples(rows); row++) {
        uint32_t oid = (uint32_t)query_number(rows, row, 0);
        struct type_info type = type_of_row(rows, row);
        for (size_t i = 0; i < request->columns_count; i++) {
            if (request->columns[i].type_oid == oid) {
                columns[i].type = type;
            }
        }
    }
    return status;
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
    struct link_column *columns = calloc(request->columns_count + 1, sizeof(*columns));
    if (columns == NULL) {
        *ret_failure = (struct link_failure){0};
        return fan_fail(&ret_failure->error, FAN_RETRY,
                        "could not describe a table: out of memory");
    }
    enum fan_status status = describe_types(request, query, limit, columns, ret_failure);
    status =
        status == FAN_OK ? describe_columns(request, query, limit, columns, ret_failure) : status;
    if (status != FAN_OK) {
        free(columns);
        return status;
    }
    *ret_columns = columns;
    return FAN_OK;
}
