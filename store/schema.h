/*
 * schema.h - the tables of the store, and how records become rows.
 *
 * One description per kind of record gives its SELECT, upsert and DELETE, so that columns, fields
 * and bindings cannot drift apart.
 */
#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H

#include <stddef.h>

#include "store/record.h"

enum schema_type { SCHEMA_TEXT, SCHEMA_INT32, SCHEMA_UINT32, SCHEMA_INT64, SCHEMA_UINT64 };

struct schema_field {
    const char *column;
    enum schema_type type;
    size_t offset;
    size_t size; /* of the field in the struct */
};

struct schema_record {
    const char *table;
    const char *load_order; /* of the SELECT */
    size_t size;            /* of the struct */
    const struct schema_field *fields;
    size_t fields_count;
    size_t keys_count; /* the first fields are the primary key */
    size_t rows_max;
};

/* The SQL that makes an empty store of the present version. */
extern const char *const schema_create_sql;

extern const struct schema_record schema_records[STORE_KINDS];

#endif
