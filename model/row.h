/*
 * row.h - reads the columns of one checked tuple.
 *
 * Tuple (PostgreSQL documentation, "Logical Replication Message Formats", TupleData): Int16 number
 * of columns, then per column a kind byte: 'n' null, 'u' unchanged TOAST (not sent), 't' text with
 * an Int32 length, 'b' binary with an Int32 length. A tuple may have fewer columns than its
 * relation, never more.
 *
 * row_check() is the only function that takes bytes from outside; after it has accepted a tuple,
 * row_next() may be used without checks.
 */
#ifndef MODEL_ROW_H
#define MODEL_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/wire.h"

enum row_kind {
    ROW_NULL = 'n',
    ROW_UNCHANGED = 'u',
    ROW_TEXT = 't',
    ROW_BINARY = 'b',
};

struct row_value {
    enum row_kind kind;
    const char *text; /* borrowed from the message; not NUL-terminated */
    uint32_t size;
};

struct row_reader {
    const uint8_t *at;
    uint16_t columns_left;
};

/*
 * Checks one tuple at the reader's place and moves past it. Returns false if a length leaves the
 * message, a kind is unknown, or there are more than `columns_max` columns.
 */
bool row_check(struct wire *wire, size_t columns_max);

/* `tuple` points at the column count of a tuple that row_check() has accepted. */
static inline struct row_reader row_open(const uint8_t *tuple)
{
    return (struct row_reader){.at = tuple + 2,
                               .columns_left = (uint16_t)(tuple[0] << 8 | tuple[1])};
}

/* Stores the next column and returns true, or returns false behind the last one. */
static inline bool row_next(struct row_reader *row, struct row_value *ret_value)
{
    if (row->columns_left == 0) {
        return false;
    }
    row->columns_left--;
    ret_value->kind = (enum row_kind)row->at[0];
    row->at++;
    if (ret_value->kind == ROW_TEXT || ret_value->kind == ROW_BINARY) {
        uint32_t size;
        memcpy(&size, row->at, sizeof(size));
        ret_value->size = __builtin_bswap32(size);
        ret_value->text = (const char *)row->at + sizeof(size);
        row->at += sizeof(size) + ret_value->size;
    } else {
        ret_value->text = NULL;
        ret_value->size = 0;
    }
    return true;
}

#endif
