/*
 * debezium_table.h - what an encoder keeps of each version of a relation: the plan of its columns, and
 * the texts that are the same in all its events.
 *
 * Ownership:  debezium_tables_release() frees all; accepts a zeroed one.
 * Threading:  as the encoder that has it.
 * Limits:     those of relation_map.h.
 */
#ifndef ENCODE_DEBEZIUM_TABLE_H
#define ENCODE_DEBEZIUM_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encode/debezium_column.h"
#include "encode/debezium_schema.h"
#include "encode/relation_map.h"
#include "model/lsn.h"

struct debezium_table {
    const struct relation *relation;
    struct debezium_column *columns; /* owned; a zeroed one is behind them */
    struct bytes value_head;         /* {"schema":{...},"payload": or nothing */
    struct bytes key_head;           /* the same of the key */
    struct bytes place;              /* ,"schema":"public","table":"orders" */
    uint64_t counted;                /* its events in the transaction that the encoder counts */
    struct fan_lsn counter_lsn;      /* of that transaction, once `counter` is known */
    struct debezium_table *counter;  /* the version of the same table that counts for it */
    struct debezium_table *next;     /* of those with such events, in the order of the first */
};

struct debezium_tables {
    struct relation_map map;     /* of struct debezium_table, owned */
    struct debezium_table *last; /* changes of one table often follow one another */
};

/* The plan of a relation's columns, with their defaults where settings.defaults asks for them; behind
 * the last one is a zeroed one. NULL: memory is out. */
struct debezium_column *debezium_columns_make(const struct debezium_settings *settings,
                                              const struct relation *relation);
/* Their relation may be gone by then. Accepts NULL. */
void debezium_columns_destroy(struct debezium_column *columns);

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
