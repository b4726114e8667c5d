/*
 * A table's columns align, whatever stands in the cells, and a row of an object shows the members
 * that the columns name.
 *
 * Oracle: printed tables, written out here.
 */
#include <check.h>
#include <jansson.h>
#include <string.h>

#include "cli/answer.h"
#include "cli/table.h"
#include "tests/unit/capture.h"
#include "tests/unit/suite.h"

enum { OUTPUT_SIZE = 4096 };

static char output[OUTPUT_SIZE];

START_TEST(cli_table_cells_show_no_control_characters)
{
    static const struct table_column columns[] = {{.heading = "A"}};
    struct table table;
    table_init(&table, columns, 1);
    table_add(&table, "a\x1b[2J\n\xc2\x9b\xff\xc3\xa4");
    ck_assert_str_eq(table.cells[0].text, "a?[2J???\xc3\xa4");
    table_add_size(&table, 1536);
    ck_assert_str_eq(table.cells[1].text, "1.5 KiB");
    table_add_size(&table, -1);
    ck_assert_str_eq(table.cells[2].text, "-");
    table_release(&table);
}
END_TEST

START_TEST(cli_table_long_cell_is_cut_at_a_whole_character)
{
    static const struct table_column columns[] = {{.heading = "A"}};
    char text[TABLE_CELL_MAX + 8];
    memset(text, 'x', sizeof(text));
    memcpy(text + TABLE_CELL_MAX - 2, "\xe2\x82\xac", 4); /* would cross the end */
    struct table table;
    table_init(&table, columns, 1);
    table_add(&table, text);
    ck_assert_uint_eq(strlen(table.cells[0].text), TABLE_CELL_MAX - 2);
    table_release(&table);
}
END_TEST

static void add_both(struct table *table, const json_t *row)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "%d/%d", (int)answer_number(row, "in.number"),
                   (int)answer_number(row, "in.size"));
    table_add(table, text);
}

START_TEST(cli_table_of_objects_shows_members_by_kind_and_aligns)
{
    static const struct table_column columns[] = {
        {"TEXT", TABLE_TEXT, "in.text", NULL},   {"TIME", TABLE_TIME, "time", NULL},
        {"NO", TABLE_NUMBER, "in.number", NULL}, {"SIZE", TABLE_SIZE, "in.size", NULL},
        {"LAG", TABLE_SECONDS, "lag", NULL},     {"BOTH", TABLE_NUMBER, NULL, add_both},
        {"LAST", TABLE_TEXT, "last", NULL},
    };
    json_t *rows = json_loads(
        "[{\"in\": {\"text\": \"h\xc3\xa4ndler\", \"number\": 7, \"size\": 2048},"
        "  \"time\": \"2026-11-22T01:02:03.5Z\", \"lag\": 0.5, \"last\": \"a longer one\"},"
        " {\"in\": {\"text\": 7, \"number\": 12345, \"size\": null}, \"lag\": 7200, \"last\": "
        "\"\"},"
        " {}]",
        0, NULL);
    ck_assert_ptr_nonnull(rows);
    struct capture capture = capture_begin(stdout);
    table_print_objects(columns, 7, rows);
    capture_end(&capture, output, sizeof(output));
    json_decref(rows);
    ck_assert_str_eq(
        output,
        "TEXT     TIME                    NO     SIZE    LAG      BOTH  LAST\n"
        "h\xc3\xa4ndler  2026-11-22T01:02:03      7  2.0 KiB  0.5 s    7/2048  a longer one\n"
        "-        -                    12345        -  2.0 h  12345/-1  -\n"
        "-        -                       -1        -      -     -1/-1  -\n");
}
END_TEST

START_TEST(cli_table_without_rows_has_its_headings)
{
    static const struct table_column columns[] = {{"A", TABLE_TEXT, "a", NULL},
                                                  {"B", TABLE_TEXT, "b", NULL}};
    struct capture capture = capture_begin(stdout);
    table_print_objects(columns, 2, NULL);
    capture_end(&capture, output, sizeof(output));
    ck_assert_str_eq(output, "A  B\n");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("cli_table");
    tcase_add_test(tests, cli_table_cells_show_no_control_characters);
    tcase_add_test(tests, cli_table_long_cell_is_cut_at_a_whole_character);
    tcase_add_test(tests, cli_table_of_objects_shows_members_by_kind_and_aligns);
    tcase_add_test(tests, cli_table_without_rows_has_its_headings);
    return suite_run("cli_table", tests);
}
