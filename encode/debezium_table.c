#include "encode/debezium_table.h"

#include <stdlib.h>
#include <string.h>

#include "encode/debezium_default.h"
#include "encode/json.h"

enum {
    SLOTS_START = 16,
    HEAD_MAX = 16 * 1024 * 1024, /* two lists of RELATION_COLUMNS_MAX columns are below 4 MiB */
    PLACE_MAX = 2048,
};

static void table_destroy(struct debezium_table *table)
{
    if (table == NULL) {
        return;
    }
    debezium_defaults_release(table->columns);
    free(table->columns);
    bytes_release(&table->value_head);
    bytes_release(&table->key_head);
    bytes_release(&table->place);
    free(table);
}

void debezium_tables_release(struct debezium_tables *tables)
{
    for (size_t i = 0; i < tables->slots_count; i++) {
        table_destroy(tables->slots[i].table);
    }
    free(tables->slots);
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

static struct debezium_table *table_create(const struct debezium_settings *settings,
                                           const char *prefix, const struct relation *relation)
{
    struct debezium_table *table = calloc(1, sizeof(*table));
    struct debezium_column *columns = calloc(relation->columns_count + 1, sizeof(*columns));
    if (table == NULL || columns == NULL) {
        free(columns);
        free(table);
        return NULL;
    }
    table->relation = relation;
    table->columns = columns;
    bytes_init(&table->value_head, HEAD_MAX);
    bytes_init(&table->key_head, HEAD_MAX);
    bytes_init(&table->place, PLACE_MAX);
    for (size_t i = 0; i < relation->columns_count; i++) {
        columns[i] = debezium_column_plan(settings, &relation->columns[i]);
    }
    bool defaults = !settings->defaults || debezium_defaults_make(settings, columns);
    if (settings->schemas) {
        make_heads(table, settings, prefix);
    }
    make_place(table);
    if (!defaults || !bytes_ok(&table->value_head) || !bytes_ok(&table->key_head) ||
        !bytes_ok(&table->place)) {
        table_destroy(table);
        return NULL;
    }
    return table;
}

/* The slot of the relation, or the free one where it belongs. There is always a free one. */
static struct debezium_slot *slot_of(struct debezium_slot *slots, size_t slots_count,
                                     const struct relation *relation)
{
    uint64_t hash = (uint64_t)(uintptr_t)relation * 0x9e3779b97f4a7c15u; /* modulo 2^64, as meant */
    size_t at = (size_t)(hash >> 32) & (slots_count - 1);
    while (slots[at].table != NULL && slots[at].table->relation != relation) {
        at = (at + 1) & (slots_count - 1);
    }
    return &slots[at];
}

static bool grow(struct debezium_tables *tables)
{
    size_t count = tables->slots_count == 0 ? SLOTS_START : tables->slots_count * 2;
    struct debezium_slot *slots = calloc(count, sizeof(*slots));
    if (slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < tables->slots_count; i++) {
        if (tables->slots[i].table != NULL) {
            *slot_of(slots, count, tables->slots[i].table->relation) = tables->slots[i];
        }
    }
    free(tables->slots);
    tables->slots = slots;
    tables->slots_count = count;
    return true;
}

struct debezium_table *debezium_tables_add(struct debezium_tables *tables,
                                           const struct debezium_settings *settings,
                                           const char *prefix, const struct relation *relation)
{
    if ((tables->used + 1) * 2 > tables->slots_count && !grow(tables)) {
        return NULL;
    }
    struct debezium_slot *slot = slot_of(tables->slots, tables->slots_count, relation);
    if (slot->table == NULL) {
        slot->table = table_create(settings, prefix, relation);
        tables->used += slot->table != NULL;
    }
    tables->last = slot->table;
    return slot->table;
}
