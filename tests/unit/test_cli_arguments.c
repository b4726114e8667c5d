/*
 * The command line, taken apart.
 *
 * Property: a line that a command's table allows yields its options and arguments in order; every
 * other line is refused with a text that names the word, and the nearest name where there is one.
 * Oracle: the cases below, written by hand.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/command.h"
#include "conf/option.h"
#include "tests/unit/suite.h"

static const struct command_option options[] = {
    {.name = "conf", .letter = 'c', .argument = "FILE", .help = "the conf"},
    {.name = "set", .argument = "KEY=VALUE", .help = "one key"},
    {.name = "json", .letter = 'j', .help = "as JSON"},
    {.name = "watch", .letter = 'w', .help = "again and again"},
};

static const struct command command = {
    .name = "test",
    .arguments = "NAME",
    .options = options,
    .options_count = CONF_COUNT(options),
    .arguments_min = 1,
    .arguments_max = 2,
};

static enum fan_status parse(const char *line, struct arguments *ret_arguments,
                             struct fan_error *reterr)
{
    static char copy[256];
    static const char *words[32];
    size_t count = 0;
    char *rest = NULL;
    (void)snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        words[count++] = word;
    }
    return arguments_parse(&command, count, words, ret_arguments, reterr);
}

START_TEST(cli_arguments_every_spelling_of_a_value_is_the_same)
{
    static const char *const lines[] = {
        "x -c a.yaml",           "-c a.yaml x",     "-ca.yaml x",
        "--conf a.yaml x",       "x --conf=a.yaml", "-jc a.yaml x",
        "-c b.yaml -c a.yaml x", "-c a.yaml -- x",
    };
    for (size_t i = 0; i < CONF_COUNT(lines); i++) {
        struct arguments arguments = {0};
        struct fan_error error = {0};
        ck_assert_msg(parse(lines[i], &arguments, &error) == FAN_OK, "%s: %s", lines[i],
                      error.text);
        ck_assert_str_eq(arguments_value(&arguments, "conf"), "a.yaml");
        ck_assert_uint_eq(arguments.positional_count, 1);
        ck_assert_str_eq(arguments.positional[0], "x");
        arguments_release(&arguments);
    }
}
END_TEST

START_TEST(cli_arguments_repeated_option_keeps_order)
{
    struct arguments arguments = {0};
    const char *values[2];
    ck_assert_int_eq(parse("--set a=1 x --set=b=2 --set c", &arguments, NULL), FAN_OK);
    ck_assert_uint_eq(arguments_values(&arguments, "set", values, 2), 3);
    ck_assert_str_eq(values[0], "a=1");
    ck_assert_str_eq(values[1], "b=2");
    ck_assert(!arguments_flag(&arguments, "json"));
    ck_assert_ptr_null(arguments_value(&arguments, "conf"));
    arguments_release(&arguments);
}
END_TEST

START_TEST(cli_arguments_flags_bundle_and_a_dash_is_an_argument)
{
    struct arguments arguments = {0};
    ck_assert_int_eq(parse("-jw -", &arguments, NULL), FAN_OK);
    ck_assert(arguments_flag(&arguments, "json") && arguments_flag(&arguments, "watch"));
    ck_assert_str_eq(arguments.positional[0], "-");
    arguments_release(&arguments);
    ck_assert_int_eq(parse("-- -j --json", &arguments, NULL), FAN_OK);
    ck_assert(!arguments_flag(&arguments, "json"));
    ck_assert_str_eq(arguments.positional[1], "--json");
    arguments_release(&arguments);
}
END_TEST

START_TEST(cli_arguments_help_needs_no_arguments)
{
    static const char *const lines[] = {"--help", "-h", "a b c --help", "-jh"};
    for (size_t i = 0; i < CONF_COUNT(lines); i++) {
        struct arguments arguments = {0};
        ck_assert_int_eq(parse(lines[i], &arguments, NULL), FAN_OK);
        ck_assert(arguments.help);
        arguments_release(&arguments);
    }
}
END_TEST

START_TEST(cli_arguments_faulty_lines_are_refused_by_name)
{
    static const struct {
        const char *line;
        const char *text;
        const char *hint;
    } cases[] = {
        {"x --jsno", "--jsno", "--json"},
        {"x --Jason=1", "--Jason", ""},
        {"x --json=yes", "takes no value", ""},
        {"x --conf", "needs a value", ""},
        {"x -c", "needs a value", ""},
        {"x -q", "-q", ""},
        {"", "NAME", ""},
        {"a b c", "\"c\"", ""},
        {"x --", "", NULL},
        {"x --c=1", "--c", ""},
    };
    for (size_t i = 0; i < CONF_COUNT(cases); i++) {
        struct arguments arguments = {0};
        struct fan_error error = {0};
        enum fan_status status = parse(cases[i].line, &arguments, &error);
        if (cases[i].hint == NULL) {
            ck_assert_int_eq(status, FAN_OK);
            arguments_release(&arguments);
            continue;
        }
        ck_assert_msg(status == FAN_FATAL, "%s", cases[i].line);
        ck_assert_msg(strstr(error.text, cases[i].text) != NULL, "%s", error.text);
        ck_assert_msg(strstr(error.hint, cases[i].hint) != NULL, "%s", error.hint);
    }
}
END_TEST

START_TEST(cli_command_longest_name_is_found)
{
    static const char *const slot_drop[] = {"slot", "drop", "x"};
    static const char *const slot[] = {"slot"};
    static const char *const run[] = {"run", "drop"};
    size_t used = 0;
    ck_assert_ptr_eq(command_find(slot_drop, 3, &used), &command_slot_drop);
    ck_assert_uint_eq(used, 2);
    ck_assert_ptr_eq(command_find(run, 2, &used), &command_run);
    ck_assert_uint_eq(used, 1);
    ck_assert_ptr_null(command_find(slot, 1, &used));
}
END_TEST

START_TEST(cli_half_a_name_lists_the_commands_of_it)
{
    static const char *const slot[] = {"slot", "--help"};
    static const char *const option[] = {"-x"};
    static const char *const near[] = {"staus"};
    struct fan_error error = {0};
    command_unknown(slot, 2, " help", &error);
    ck_assert_str_eq(error.text, "\"pgfan slot\" is more than one command");
    ck_assert_str_eq(error.hint, "say which: pgfan help slot list, pgfan help slot drop");
    command_unknown(option, 1, "", &error);
    ck_assert_str_eq(error.text, "unknown option \"-x\"");
    command_unknown(near, 1, "", &error);
    ck_assert_str_eq(error.text, "unknown command \"staus\"");
    ck_assert_str_eq(error.hint, "did you mean pgfan status?");
}
END_TEST

START_TEST(cli_command_nearest_name_is_offered)
{
    static const char *const words[][2] = {
        {"statsu", "x"}, {"chekc", "-c"}, {"slot", "lst"}, {"zzzzzz", "x"}, {"slot", "-c"}};
    static const char *const nearest[] = {"status", "check", "slot list", NULL, "slot list"};
    for (size_t i = 0; i < CONF_COUNT(words); i++) {
        const char *found = command_nearest(words[i], 2);
        if (nearest[i] == NULL) {
            ck_assert_ptr_null(found);
        } else {
            ck_assert_msg(found != NULL && strcmp(found, nearest[i]) == 0, "%s: %s", words[i][0],
                          found);
        }
    }
}
END_TEST

START_TEST(cli_command_tables_are_consistent)
{
    for (size_t i = 0; commands[i] != NULL; i++) {
        const struct command *one = commands[i];
        ck_assert_ptr_nonnull(one->run);
        ck_assert_msg(one->arguments_min <= one->arguments_max, "%s", one->name);
        ck_assert_msg((one->arguments_max == 0) == (one->arguments[0] == '\0'), "%s", one->name);
        for (size_t a = 0; a < one->options_count; a++) {
            ck_assert_msg(one->options[a].help != NULL, "%s", one->options[a].name);
            ck_assert_int_ne(one->options[a].letter, 'h');
            for (size_t b = 0; b < a; b++) {
                ck_assert_str_ne(one->options[a].name, one->options[b].name);
                ck_assert(one->options[a].letter == 0 ||
                          one->options[a].letter != one->options[b].letter);
            }
        }
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("cli_arguments");
    tcase_add_test(tests, cli_arguments_every_spelling_of_a_value_is_the_same);
    tcase_add_test(tests, cli_arguments_repeated_option_keeps_order);
    tcase_add_test(tests, cli_arguments_flags_bundle_and_a_dash_is_an_argument);
    tcase_add_test(tests, cli_arguments_help_needs_no_arguments);
    tcase_add_test(tests, cli_arguments_faulty_lines_are_refused_by_name);
    tcase_add_test(tests, cli_command_longest_name_is_found);
    tcase_add_test(tests, cli_half_a_name_lists_the_commands_of_it);
    tcase_add_test(tests, cli_command_nearest_name_is_offered);
    tcase_add_test(tests, cli_command_tables_are_consistent);
    return suite_run("cli_arguments", tests);
}
