/*
 * The pages that are generated from tables, and the help.
 *
 * Property: docs/cli.md, docs/api.md and docs/pgfan.1 are what the tables say now; every command
 * and option stands in the help.
 * Oracle: the committed pages. To renew them: build/pgfan internal-reference cli > docs/cli.md, and
 * so on for api (docs/api.md) and man (docs/pgfan.1).
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "cli/command.h"
#include "cli/help.h"
#include "cli/reference.h"
#include "tests/unit/suite.h"

static const char *docs_directory;

static char *written(void (*write)(FILE *file))
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(file);
    write(file);
    ck_assert_int_eq(fclose(file), 0);
    return text;
}

static void check_page(const char *name, void (*write)(FILE *file))
{
    char path[512];
    struct bytes committed;
    struct fan_error error = {0};
    (void)snprintf(path, sizeof(path), "%s/%s", docs_directory, name);
    bytes_init(&committed, 4 << 20);
    ck_assert_msg(fs_read_file(path, &committed, &error) == FAN_OK, "%s", error.text);
    char *text = written(write);
    ck_assert_msg(strcmp(text, bytes_text(&committed)) == 0,
                  "%s is not what the tables say: see the head of this test", path);
    free(text);
    bytes_release(&committed);
}

START_TEST(cli_page_of_commands_is_up_to_date)
{
    check_page("cli.md", reference_write_cli);
}
END_TEST

START_TEST(cli_page_of_the_api_is_up_to_date)
{
    check_page("api.md", reference_write_api);
}
END_TEST

START_TEST(cli_man_page_is_up_to_date)
{
    check_page("pgfan.1", reference_write_man);
}
END_TEST

START_TEST(cli_help_names_every_command_option_and_exit_status)
{
    char *overview = written(help_print_overview);
    for (size_t i = 0; commands[i] != NULL; i++) {
        const struct command *command = commands[i];
        ck_assert_int_eq(strstr(overview, command->name) == NULL, command->hidden);
        char *text = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&text, &size);
        help_print_command(file, command);
        ck_assert_int_eq(fclose(file), 0);
        for (size_t o = 0; o < command->options_count; o++) {
            char option[80];
            (void)snprintf(option, sizeof(option), "--%s", command->options[o].name);
            ck_assert_msg(strstr(text, option) != NULL, "%s %s", command->name, option);
        }
        free(text);
    }
    static const char *const statuses[] = {"\n  64 ", "\n  69 ", "\n  70 ",
                                           "\n  74 ", "\n  75 ", "\n  78 "};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        ck_assert_msg(strstr(overview, statuses[i]) != NULL, "%s", statuses[i]);
    }
    free(overview);
}
END_TEST

START_TEST(cli_help_lines_fit_a_terminal)
{
    for (size_t i = 0; commands[i] != NULL; i++) {
        char *text = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&text, &size);
        help_print_command(file, commands[i]);
        ck_assert_int_eq(fclose(file), 0);
        for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
            ck_assert_msg(strcspn(line, "\n") <= 100, "%s: %.120s", commands[i]->name, line);
        }
        free(text);
    }
}
END_TEST

int main(int argc, char **argv)
{
    docs_directory = argc > 1 ? argv[1] : "docs";
    TCase *tests = tcase_create("cli_pages");
    tcase_add_test(tests, cli_page_of_commands_is_up_to_date);
    tcase_add_test(tests, cli_page_of_the_api_is_up_to_date);
    tcase_add_test(tests, cli_man_page_is_up_to_date);
    tcase_add_test(tests, cli_help_names_every_command_option_and_exit_status);
    tcase_add_test(tests, cli_help_lines_fit_a_terminal);
    return suite_run("cli_pages", tests);
}
