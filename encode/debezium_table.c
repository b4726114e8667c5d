#include "encode/debezium_table.h"

#include <stdlib.h>
#include <string.h>

#include "encode/debezium_default.h"
#include "encode/json.h"

enum {
    HEAD_MAX = 16 * 1024 * 1024, /* two lists of RELATION_COLUMNS_MAX columns are below 4 MiB */
    PLACE_MAX = 2048,
};

static void table_destroy(void *value)
{
    struct debezium_table *table = value;
    debezium_columns_destroy(table->columns);
    bytes_release(&table->value_head);
    bytes_release(&table->key_head);
    bytes_release(&table->place);
    free(table);
}

void debezium_tables_release(struct debezium_tables *tables)
{
    relation_map_release(&tables->map, table_destroy);
    *tables = (struct debezium_tables){0};
}

static void make_heads(struct debezium_table *table, const struct debezium_settings *settings,
                       const char *prefix)
{
    const struct debezium_schema_source source = {.settings = settings,
                                                  .prefix = prefix,
                                                  .relation = table->relation,
                                                  .columns = table->columns};
    BYTES_APPEND_LITERAL(&table->value_head, "{\"schema\":");
    debezium_schema_envelope(&source, &table->value_head);
    BYTES_APPEND_LITERAL(&table->value_head, ",\"payload\":");
    BYTES_APPEND_LITERAL(&table->key_head, "{\"schema\":");
    debezium_schema_key(&source, &table->key_head);
    BYTES_APPEND_LITERAL(&table->key_head, ",\"payload\":");
}

static void make_place(struct debezium_table *table)
{
    const struct relation *relation = table->relation;
    BYTES_APPEND_LITERAL(&table->place, ",\"schema\":");
    json_write_string(&table->place, relation->schema, strlen(relation->schema));
    BYTES_APPEND_LITERAL(&table->place, ",\"table\":");
    json_write_string(&table->place, relation->name, strlen(relation->name));
}

struct debezium_column *debezium_columns_make(const struct debezium_settings *settings,
                                              const struct relation *relation)
{
    struct debezium_column *columns = calloc(relation->columns_count + 1, sizeof(*columns));
    if (columns == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < relation->columns_count; i++) {
        columns[i] = debezium_column_plan(settings, &relation->columns[i]);
    }
    if (settings->defaults && !debezium_defaults_make(settings, columns)) {
        debezium_columns_destroy(columns);
        return NULL;
    }
    return columns;
}

void debezium_columns_destroy(struct debezium_column *columns)
{
    if (columns != NULL) {
        debezium_defaults_release(columns);
        free(columns);
    }
}

static struct debezium_table *table_create(const struct debezium_settings *settings,
                                           const char *prefix, const struct relation *relation)
{
    struct debezium_table *table = calloc(1, sizeof(*table));
    struct debezium_column *columns = debezium_columns_make(settings, relation);
    if (table == NULL || columns == NULL) {
        debezium_columns_destroy(columns);
        free(table);
        return NULL;
    }
    table->relation = relation;
    table->columns = columns;
    bytes_init(&table->value_head, HEAD_MAX);
    bytes_init(&table->key_head, HEAD_MAX);
    bytes_init(&table->place, PLACE_MAX);
    if (settings->schemas) {
        make_heads(table, settings, prefix);
    }
    make_place(table);
    if (!bytes_ok(&table->value_head) || !bytes_ok(&table->key_head) || !bytes_ok(&table->place)) {
        table_destroy(table);
        return NULL;
    }
    return table;
}

struct debezium_table *debezium_tables_add(struct debezium_tables *tables,
                                           const struct debezium_settings *settings,
                                           const char *prefix, const struct relation *relation)
{
    void **place = relation_map_at(&tables->map, relation);
    if (place != NULL && *place == NULL) {
        *place = table_create(settings, prefix, relation);
    }
    tables->last = place != NULL ? *place : NULL;
    return tables->last;
}
