#include "sources/postgres/coverage.h"

#include <stdlib.h>
#include <string.h>

#include "sources/postgres/preflight.h"

static int compare_oids(const void *left, const void *right)
{
    uint32_t one = ((const struct coverage_table *)left)->oid;
    uint32_t other = ((const struct coverage_table *)right)->oid;
    return (one > other) - (one < other);
}

static const struct coverage_table *find(const struct coverage *before,
                                         const struct preflight_table *table)
{
    if (before->count == 0) {
        return NULL;
    }
    struct coverage_table key = {.oid = table->oid};
    const struct coverage_table *found =
        bsearch(&key, before->tables, before->count, sizeof(key), compare_oids);
    /* Made again under its name: rare, so a walk will do. */
    for (size_t i = 0; found == NULL && i < before->count; i++) {
        const struct coverage_table *known = &before->tables[i];
        if (strcmp(known->name, table->name) == 0 && strcmp(known->schema, table->schema) == 0) {
            return known;
        }
    }
    return found;
}

void coverage_recall(const struct coverage *before, struct fan_lsn first, struct preflight *look)
{
    for (size_t i = 0; i < look->tables_count; i++) {
        struct preflight_table *table = &look->tables[i];
        const struct coverage_table *known = find(before, table);
        table->whole = known != NULL ? known->whole : before->lsn.value != 0 ? before->lsn : first;
        table->streamed = known != NULL && known->streamed;
        table->was_held = known != NULL && known->held;
        table->own = known != NULL && known->oid == table->oid && known->own;
    }
}

/* Room for all names, one behind the other. */
static char *names_alloc(const struct preflight *look)
{
    size_t size = 1;
    for (size_t i = 0; i < look->tables_count; i++) {
        size += strlen(look->tables[i].schema) + strlen(look->tables[i].name) + 2;
    }
    return malloc(size);
}

static const char *put_name(char **at, const char *name)
{
    size_t size = strlen(name) + 1;
    char *start = *at;
    memcpy(start, name, size);
    *at += size;
    return start;
}

enum fan_status coverage_take(struct coverage *coverage, const struct preflight *look,
                              struct fan_lsn lsn)
{
    struct coverage taken = {
        .tables = calloc(look->tables_count + 1, sizeof(*taken.tables)),
        .count = look->tables_count,
        .names = names_alloc(look),
        .lsn = lsn,
    };
    if (taken.tables == NULL || taken.names == NULL) {
        coverage_release(&taken);
        return FAN_RETRY;
    }
    char *at = taken.names;
    for (size_t i = 0; i < look->tables_count; i++) {
        const struct preflight_table *table = &look->tables[i];
        bool held = table->cover == COVER_HELD;
        taken.tables[i] = (struct coverage_table){
            .oid = table->oid,
            .held = held,
            .own = held || table->own,
            .streamed = held || table->streamed,
            .whole = held ? lsn : table->whole,
            .schema = put_name(&at, table->schema),
            .name = put_name(&at, table->name),
        };
    }
    qsort(taken.tables, taken.count, sizeof(*taken.tables), compare_oids);
    coverage_release(coverage);
    *coverage = taken;
    return FAN_OK;
}

void coverage_hold(struct coverage *coverage, struct fan_lsn lsn)
{
    coverage->lsn = lsn;
    for (size_t i = 0; i < coverage->count; i++) {
        if (coverage->tables[i].held) {
            coverage->tables[i].whole = lsn;
        }
    }
}

void coverage_release(struct coverage *coverage)
{
    free(coverage->tables);
    free(coverage->names);
    *coverage = (struct coverage){0};
}
