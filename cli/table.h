/*
 * table.h - tables for people: what the columns are, and rows of cells below them.
 *
 *     table_print_objects                                     rows that are JSON objects
 *     table_init -> table_add_...* -> table_print -> table_release   rows of another kind
 *
 * A list of columns is the single source of a table: headings, alignment, and which member of a
 * row's object a cell shows. A column is as wide as its widest cell, counted in code points.
 *
 * Errors:     without memory rows are missing, and table_print() says so.
 * Limits:     TABLE_COLUMNS_MAX columns; a cell is cut at TABLE_CELL_MAX bytes.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/output.h"

enum { TABLE_COLUMNS_MAX = 16, TABLE_CELL_MAX = 128 };

/* What a column shows, and with it the side: texts and times stand left, the others right. */
enum table_kind {
    TABLE_TEXT,
    TABLE_TIME, /* cut to the second */
    TABLE_NUMBER,
    TABLE_SIZE,
    TABLE_SECONDS,
};

struct table;

struct table_column {
    const char *heading;
    enum table_kind kind;
    const char *member; /* of a row's object, as a path of answer.h */
    /* Adds the cell of a row's object when one member does not make it; NULL: `member` does. */
    void (*add)(struct table *table, const json_t *row);
};

struct table_cell {
    char text[TABLE_CELL_MAX]; /* cut at a whole code point */
    enum output_colour colour;
};

struct table {
    const struct table_column *columns; /* borrowed */
    size_t columns_count;
    struct table_cell *cells; /* owned, row after row */
    size_t cells_count;
    size_t cells_capacity;
    bool failed; /* memory was out */
};

void table_init(struct table *table, const struct table_column *columns, size_t columns_count);
void table_release(struct table *table);

/* Adds the next cell; a row is complete after `columns_count` cells. NULL is shown as "-". */
void table_add(struct table *table, const char *text);
void table_add_coloured(struct table *table, const char *text, enum output_colour colour);
void table_add_number(struct table *table, int64_t number);
/* 1.5 GiB and the like; a negative size is unknown. */
void table_add_size(struct table *table, int64_t size_bytes);
/* 1.5 s and the like; a negative duration is unknown. */
void table_add_seconds(struct table *table, double seconds);

/* Adds a whole row. */
void table_add_object(struct table *table, const json_t *row);

void table_print(const struct table *table);

/* Prints a table with a row for each object of an array. */
void table_print_objects(const struct table_column *columns, size_t columns_count,
                         const json_t *rows);

#endif
