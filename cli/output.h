/*
 * output.h - how results reach standard output: JSON for programs, aligned tables for people.
 *
 * Table cells are texts; a column is as wide as its widest cell, counted in code points. Colours
 * are used on a terminal only, and never when NO_COLOR is set to anything.
 *
 * Errors:     main() asks ferror(stdout) once, at the end.
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Prints with two spaces of indentation and a newline; takes the value. Returns an exit status. */
int output_json(json_t *value);

enum output_colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_WARN, COLOUR_BAD, COLOUR_HEAD };

enum { TABLE_COLUMNS_MAX = 16, TABLE_CELL_MAX = 128 };

struct table_cell {
    char text[TABLE_CELL_MAX]; /* cut at a whole code point */
    enum output_colour colour;
};

struct table {
    const char *const *headings;
    const bool *right; /* per column: aligned to the right; may be NULL */
    size_t columns_count;
    struct table_cell *cells; /* owned, row after row */
    size_t cells_count;
    size_t cells_capacity;
    bool failed; /* memory was out: rows are missing, and table_print() says so */
};

void table_init(struct table *table, const char *const *headings, const bool *right,
                size_t columns_count);
void table_release(struct table *table);

/* Adds the next cell; a row is complete after `columns_count` cells. NULL is shown as "-". */
void table_add(struct table *table, const char *text);
void table_add_coloured(struct table *table, const char *text, enum output_colour colour);
void table_add_number(struct table *table, int64_t number);
/* 1.5 GiB and the like; a negative size is unknown. */
void table_add_size(struct table *table, int64_t size_bytes);
/* 1.5 s and the like; a negative duration is unknown. */
void table_add_seconds(struct table *table, double seconds);

void table_print(const struct table *table);

/* Prints a text that others wrote (a server's error, a name): control characters become '?', a
 * newline is kept and the next line indented. */
void output_text(FILE *file, const char *text);

/* Whether that descriptor is a terminal whose user takes colours. */
bool output_colours(int descriptor);

#endif
