/*
 * debezium_table.h - what an encoder keeps of each version of a relation: the plan of its columns, and
 * the texts that are the same in all its events.
 *
 * A version is known by its address: a source keeps all of them as long as it lives, and an encoder
 * lives no longer.
 *
 * Ownership:  debezium_tables_release() frees all; accepts a zeroed one.
 * Threading:  as the encoder that has it.
 * Limits:     as many as a source has versions, RELATION_VERSIONS_MAX.
 */
#ifndef ENCODE_DEBEZIUM_TABLE_H
#define ENCODE_DEBEZIUM_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encode/debezium_column.h"
#include "encode/debezium_schema.h"

struct debezium_table {
    const struct relation *relation;
    struct debezium_column *columns; /* owned; a zeroed one is behind them */
    struct bytes value_head;         /* {"schema":{...},"payload": or nothing */
    struct bytes key_head;           /* the same of the key */
    struct bytes place;              /* ,"schema":"public","table":"orders" */
    uint64_t counted;                /* its events in the transaction that the encoder counts */
    struct debezium_table *next;     /* of those with such events, in the order of the first */
};

struct debezium_slot {
    struct debezium_table *table; /* owned; NULL: free */
};

struct debezium_tables {
    struct debezium_slot *slots; /* owned; a power of two of them, at most half of them used */
    size_t slots_count;
    size_t used;
    struct debezium_table *last; /* changes of one table often follow one another */
};

void debezium_tables_release(struct debezium_tables *tables);

/* NULL: memory is out. */
struct debezium_table *debezium_tables_add(struct debezium_tables *tables,
                                           const struct debezium_settings *settings,
                                           const char *prefix, const struct relation *relation);

/* The same, and makes the version known at its first use. */
static inline struct debezium_table *debezium_tables_find(struct debezium_tables *tables,
                                                          const struct debezium_settings *settings,
                                                          const char *prefix,
                                                          const struct relation *relation)
{
    return tables->last != NULL && tables->last->relation == relation
               ? tables->last
               : debezium_tables_add(tables, settings, prefix, relation);
}

#endif
