#include "model/relation.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum {
    /* Two names and a dot, every byte escaped as \u00xx, quotes, colon and padding. */
    JSON_TEXT_MAX = 2 * RELATION_NAME_MAX * 6 + 8 + RELATION_JSON_PAD,
};

static bool name_set(char name[RELATION_NAME_MAX], const char *text)
{
    size_t size = strnlen(text, RELATION_NAME_MAX);
    if (size == RELATION_NAME_MAX) {
        return false;
    }
    memcpy(name, text, size);
    name[size] = '\0';
    return true;
}

enum fan_status relation_create(uint32_t relid, const char *schema, const char *name,
                                enum replica_identity identity, size_t columns_count,
                                struct relation **ret_relation, struct fan_error *reterr)
{
    if (columns_count > RELATION_COLUMNS_MAX) {
        return fan_fail(reterr, FAN_FATAL,
                        "cannot read relation %u: %zu columns are more than PostgreSQL's %d", relid,
                        columns_count, (int)RELATION_COLUMNS_MAX);
    }
    struct relation *relation = calloc(1, sizeof(*relation));
    struct relation_column *columns =
        calloc(columns_count == 0 ? 1 : columns_count, sizeof(*columns));
    if (relation == NULL || columns == NULL) {
        free(columns);
        free(relation);
        return fan_fail(reterr, FAN_RETRY, "could not keep relation %u: out of memory", relid);
    }
    relation->relid = relid;
    relation->identity = identity;
    relation->columns_count = columns_count;
    relation->columns = columns;
    if (!name_set(relation->schema, schema[0] == '\0' ? "pg_catalog" : schema) ||
        !name_set(relation->name, name)) {
        relation_destroy(relation);
        return fan_fail(reterr, FAN_FATAL,
                        "cannot read relation %u: its name is longer than %d bytes", relid,
                        RELATION_NAME_MAX - 1);
    }
    *ret_relation = relation;
    return FAN_OK;
}

/* Hands the bytes over as owned text; false when memory is out. */
static bool json_take(struct bytes *bytes, char **ret_text, size_t *ret_size)
{
    if (!bytes_ok(bytes) || !bytes_reserve(bytes, RELATION_JSON_PAD)) {
        return false;
    }
    memset(bytes->data + bytes->size, 0, RELATION_JSON_PAD);
    free(*ret_text);
    *ret_text = (char *)bytes->data;
    *ret_size = bytes->size;
    bytes_init(bytes, bytes->size_max);
    return true;
}

static bool column_finish(struct relation_column *column)
{
    struct bytes json;
    bytes_init(&json, JSON_TEXT_MAX);
    bytes_append_json_string(&json, column->name, strnlen(column->name, RELATION_NAME_MAX));
    bytes_append_char(&json, ':');
    bool ok = json_take(&json, &column->json_name, &column->json_name_size);
    bytes_release(&json);
    return ok;
}

static bool table_finish(struct relation *relation)
{
    char full_name[2 * RELATION_NAME_MAX];
    size_t schema_size = strlen(relation->schema);
    size_t name_size = strlen(relation->name);
    memcpy(full_name, relation->schema, schema_size);
    full_name[schema_size] = '.';
    memcpy(full_name + schema_size + 1, relation->name, name_size);
    struct bytes json;
    bytes_init(&json, JSON_TEXT_MAX);
    bytes_append_json_string(&json, full_name, schema_size + 1 + name_size);
    bool ok = json_take(&json, &relation->json_table, &relation->json_table_size);
    bytes_release(&json);
    return ok;
}

static bool column_in_key(const struct relation *relation, const struct relation_column *column)
{
    switch (relation->identity) {
    case REPLICA_IDENTITY_FULL:
        return column->in_primary_key; /* FULL flags every column as identity */
    case REPLICA_IDENTITY_NOTHING:
        return false;
    case REPLICA_IDENTITY_DEFAULT:
    case REPLICA_IDENTITY_INDEX:
        break;
    }
    return column->in_identity;
}

enum fan_status relation_finish(struct relation *relation, struct fan_error *reterr)
{
    bool ok = table_finish(relation);
    relation->key_end = 0;
    for (size_t i = 0; i < relation->columns_count && ok; i++) {
        struct relation_column *column = &relation->columns[i];
        column->in_key = column_in_key(relation, column);
        relation->key_end = column->in_key ? i + 1 : relation->key_end;
        ok = column_finish(column);
    }
    relation->has_key = relation->key_end > 0;
    return ok ? FAN_OK
              : fan_fail(reterr, FAN_RETRY, "could not keep relation \"%s.%s\": out of memory",
                         relation->schema, relation->name);
}

void relation_destroy(struct relation *relation)
{
    if (relation == NULL) {
        return;
    }
    for (size_t i = 0; i < relation->columns_count; i++) {
        free(relation->columns[i].json_name);
        free(relation->columns[i].labels);
        free(relation->columns[i].default_text);
    }
    free(relation->columns);
    free(relation->json_table);
    free(relation);
}
