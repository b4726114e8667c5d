#include "cli/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/answer.h"

void table_init(struct table *table, const struct table_column *columns, size_t columns_count)
{
    *table = (struct table){.columns = columns, .columns_count = columns_count};
}

void table_release(struct table *table)
{
    free(table->cells);
    *table = (struct table){0};
}

static void copy_printable(char *cell, const char *text)
{
    size_t at = 0;
    while (*text != '\0') {
        bool printable = false;
        size_t size = output_character(text, &printable);
        size_t shown = printable ? size : 1;
        if (at + shown >= TABLE_CELL_MAX) {
            break;
        }
        memcpy(cell + at, printable ? text : "?", shown);
        at += shown;
        text += size;
    }
    cell[at] = '\0';
}

void table_add_coloured(struct table *table, const char *text, enum output_colour colour)
{
    if (table->cells_count == table->cells_capacity) {
        size_t capacity = table->cells_capacity == 0 ? 64 : 2 * table->cells_capacity;
        struct table_cell *cells = reallocarray(table->cells, capacity, sizeof(*cells));
        if (cells == NULL) {
            table->failed = true;
            return;
        }
        table->cells = cells;
        table->cells_capacity = capacity;
    }
    struct table_cell *cell = &table->cells[table->cells_count++];
    copy_printable(cell->text, text == NULL || text[0] == '\0' ? "-" : text);
    cell->colour = colour;
}

void table_add(struct table *table, const char *text)
{
    table_add_coloured(table, text, COLOUR_NONE);
}

void table_add_number(struct table *table, int64_t number)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%" PRId64, number);
    table_add(table, text);
}

void table_add_size(struct table *table, int64_t size_bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    if (size_bytes < 0) {
        table_add(table, NULL);
        return;
    }
    double size = (double)size_bytes;
    size_t unit = 0;
    while (size >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        size /= 1024;
        unit++;
    }
    char text[32];
    (void)snprintf(text, sizeof(text), unit == 0 ? "%.0f %s" : "%.1f %s", size, units[unit]);
    table_add(table, text);
}

void table_add_seconds(struct table *table, double seconds)
{
    if (seconds < 0) {
        table_add(table, NULL);
        return;
    }
    char text[32];
    if (seconds < 120) {
        (void)snprintf(text, sizeof(text), "%.1f s", seconds);
    } else if (seconds < 7200) {
        (void)snprintf(text, sizeof(text), "%.1f min", seconds / 60);
    } else {
        (void)snprintf(text, sizeof(text), "%.1f h", seconds / 3600);
    }
    table_add(table, text);
}

static void add_time(struct table *table, const char *time)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%.19s", time); /* as far as the seconds */
    table_add(table, text);
}

static void add_member(struct table *table, const struct table_column *column, const json_t *row)
{
    switch (column->kind) {
    case TABLE_TEXT:
        table_add(table, answer_text(row, column->member));
        break;
    case TABLE_TIME:
        add_time(table, answer_text(row, column->member));
        break;
    case TABLE_NUMBER:
        table_add_number(table, answer_number(row, column->member));
        break;
    case TABLE_SIZE:
        table_add_size(table, answer_number(row, column->member));
        break;
    case TABLE_SECONDS:
        table_add_seconds(table, answer_seconds(row, column->member));
        break;
    }
}

void table_add_object(struct table *table, const json_t *row)
{
    for (size_t i = 0; i < table->columns_count; i++) {
        const struct table_column *column = &table->columns[i];
        if (column->add != NULL) {
            column->add(table, row);
        } else {
            add_member(table, column, row);
        }
    }
}

static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

static void print_cell(const struct table *table, size_t column, const char *text,
                       enum output_colour colour, size_t width)
{
    static const char *const starts[] = {
        [COLOUR_NONE] = "",        [COLOUR_GOOD] = "\033[32m", [COLOUR_WARN] = "\033[33m",
        [COLOUR_BAD] = "\033[31m", [COLOUR_HEAD] = "\033[1m",
    };
    bool coloured = colour != COLOUR_NONE && output_colours(STDOUT_FILENO);
    bool last = column + 1 == table->columns_count;
    int padding = (int)(width - width_of(text));
    enum table_kind kind = table->columns[column].kind;
    bool right = kind != TABLE_TEXT && kind != TABLE_TIME;
    (void)printf("%*s%s%s%s%*s%s", right ? padding : 0, "", coloured ? starts[colour] : "", text,
                 coloured ? "\033[0m" : "", right || last ? 0 : padding, "", last ? "\n" : "  ");
}

void table_print(const struct table *table)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    size_t columns = table->columns_count;
    size_t rows = table->cells_count / columns;
    for (size_t column = 0; column < columns; column++) {
        widths[column] = width_of(table->columns[column].heading);
        for (size_t row = 0; row < rows; row++) {
            size_t width = width_of(table->cells[row * columns + column].text);
            widths[column] = width > widths[column] ? width : widths[column];
        }
    }
    for (size_t column = 0; column < columns; column++) {
        print_cell(table, column, table->columns[column].heading, COLOUR_HEAD, widths[column]);
    }
    for (size_t i = 0; i < rows * columns; i++) {
        const struct table_cell *cell = &table->cells[i];
        print_cell(table, i % columns, cell->text, cell->colour, widths[i % columns]);
    }
    if (table->failed) {
        (void)fputs("(rows are missing: out of memory)\n", stdout);
    }
}

void table_print_objects(const struct table_column *columns, size_t columns_count,
                         const json_t *rows)
{
    struct table table;
    table_init(&table, columns, columns_count);
    size_t index = 0;
    const json_t *row = NULL;
    json_array_foreach(rows, index, row)
    {
        table_add_object(&table, row);
    }
    table_print(&table);
    table_release(&table);
}
