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

/* One row per column: its name, NOT NULL, in the primary key, its default. */
static const char columns_sql[] =
    "SELECT a.attname, a.attnotnull, EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid "
    "AND i.indisprimary AND a.attnum = ANY (i.indkey)), "
    "(SELECT pg_get_expr(d.adbin, 0) FROM pg_attrdef d WHERE d.adrelid = a.attrelid "
    "AND d.adnum = a.attnum AND a.attgenerated = '') "
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

static enum fan_status ask_columns(const struct catalog_request *request, PGconn *query,
                                   const struct query_limit *limit, PGresult **ret_rows,
                                   struct link_failure *ret_failure)
{
    char relid[16];
    (void)snprintf(relid, sizeof(relid), "%u", request->relid); /* ten digits at most */
    const char *params[] = {relid};
    return query_run(query, limit, columns_sql, 1, params, ret_rows, ret_failure);
}

/* What the catalog said. */
struct answers {
    PGresult *types; /* NULL: nothing was asked */
    PGresult *columns;
};

static const char *text_of(const PGresult *rows, int row, int field, size_t size_max)
{
    const char *text = row < 0 ? "" : query_text(rows, row, field);
    return text[0] != '\0' && strlen(text) <= size_max ? text : NULL;
}

static int column_row(const PGresult *rows, const char *name)
{
    int row = PQntuples(rows) - 1;
    while (row >= 0 && strcmp(name, query_text(rows, row, 0)) != 0) {
        row--;
    }
    return row;
}

static struct link_column column_of(const struct answers *answers,
                                    const struct catalog_column *column)
{
    int type = row_of(answers->types, column->type_oid);
    int row = column_row(answers->columns, column->name);
    return (struct link_column){
        .type = type < 0 ? type_builtin(column->type_oid) : type_of_row(answers->types, type),
        .not_null = row >= 0 && query_bool(answers->columns, row, 1),
        .in_primary_key = row >= 0 && query_bool(answers->columns, row, 2),
        .labels = text_of(answers->types, type, 8, RELATION_TEXTS_MAX),
        .default_text = text_of(answers->columns, row, 3, RELATION_DEFAULT_MAX),
    };
}

/* Moves a text to `*at`, and moves that behind it. */
static void take_text(const char **text, char **at)
{
    size_t size = *text == NULL ? 0 : strlen(*text) + 1;
    if (size > 0) {
        memcpy(*at, *text, size);
        *text = *at;
        *at += size;
    }
}

/* Bytes of the text with its NUL, 0 without one; a text that is over the limit is dropped. */
static size_t text_size(const char **text, size_t *left)
{
    size_t size = *text == NULL ? 0 : strlen(*text) + 1;
    if (size > *left) {
        *text = NULL;
        return 0;
    }
    *left -= size;
    return size;
}

/* The columns with their texts behind them in the same memory; NULL: it is out. */
static struct link_column *columns_make(const struct catalog_request *request,
                                        const struct answers *answers)
{
    size_t table = (request->columns_count + 1) * sizeof(struct link_column);
    size_t left = RELATION_TEXTS_MAX;
    size_t texts = 0;
    struct link_column *columns = calloc(1, table);
    for (size_t i = 0; i < request->columns_count && columns != NULL; i++) {
        columns[i] = column_of(answers, &request->columns[i]);
        texts += text_size(&columns[i].labels, &left);
        texts += text_size(&columns[i].default_text, &left);
    }
    struct link_column *whole = columns == NULL ? NULL : realloc(columns, table + texts);
    if (whole == NULL) {
        free(columns);
        return NULL;
    }
    char *at = (char *)whole + table;
    for (size_t i = 0; i < request->columns_count; i++) {
        take_text(&whole[i].labels, &at);
        take_text(&whole[i].default_text, &at);
    }
    return whole;
}

enum fan_status catalog_describe(const struct catalog_request *request, PGconn *query,
                                 const struct query_limit *limit, struct link_column **ret_columns,
                                 struct link_failure *ret_failure)
{
    FAN_CLEANUP(query_clear_p) PGresult *types = NULL;
    FAN_CLEANUP(query_clear_p) PGresult *columns = NULL;
    enum fan_status status = ask_types(request, query, limit, &types, ret_failure);
    if (status == FAN_OK) {
        status = ask_columns(request, query, limit, &columns, ret_failure);
    }
    if (status != FAN_OK) {
        return status;
    }
    const struct answers answers = {.types = types, .columns = columns};
    struct link_column *made = columns_make(request, &answers);
    if (made == NULL) {
        *ret_failure = (struct link_failure){0};
        return fan_fail(&ret_failure->error, FAN_RETRY,
                        "could not describe a table: out of memory");
    }
    *ret_columns = made;
    return FAN_OK;
}
