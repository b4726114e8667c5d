/*
 * `pgfan dlq` through an engine's socket.
 *
 * Property: each verb shows or does what the engine's store holds, over as many requests as it
 * takes; the exit status tells success, a fault of the line and a failure apart.
 * Oracle: the letters that the test put into the store; the fake engine's replay; docs/cli.md.
 */
#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "fake_engine.h"
#include "letters_fixture.h"
#include "tests/unit/capture.h"
#include "tests/unit/suite.h"

enum { OUTPUT_SIZE = 1 << 20, WORDS_MAX = 16 };

static char directory[64];
static struct api *api;
static struct store *store;
static char output[OUTPUT_SIZE]; /* what a command printed to stdout */
static char errors[OUTPUT_SIZE]; /* and to stderr */

static void set_up(void)
{
    memcpy(directory, "/tmp/pgfan-dlq-XXXXXX", 22);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    log_set_level(LOG_ERROR);
    fake_engine_reset();
    store = letters_open(directory);
    fake_engine_use_store(store);
    struct api_setup setup = {.engine = fake_engine(),
                              .settings = fake_engine_settings(directory, NULL)};
    struct fan_error error = {0};
    ck_assert_msg(api_start(&setup, &api, &error) == FAN_OK, "%s", error.text);
}

static void stop_engine(void)
{
    api_stop(api);
    api = NULL;
    store_close(store);
    store = NULL;
}

static void tear_down(void)
{
    stop_engine();
    letters_remove_store(directory);
    ck_assert_int_eq(rmdir(directory), 0);
}

/* Runs a command with the words of `line` and then `more`, which may hold spaces. */
static int run_with(const struct command *command, const char *line, const char *more)
{
    static char copy[512];
    const char *words[WORDS_MAX] = {"--data-dir", directory};
    size_t count = 2;
    char *rest = NULL;
    (void)snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        words[count++] = word;
    }
    if (more != NULL) {
        words[count++] = more;
    }
    struct arguments arguments = {0};
    struct fan_error error = {0};
    enum fan_status parsed = arguments_parse(command, count, words, &arguments, &error);
    ck_assert_msg(parsed == FAN_OK, "%s: %s", line, error.text);
    struct capture out = capture_begin(stdout);
    struct capture err = capture_begin(stderr);
    int status = command->run(command, &arguments);
    capture_end(&err, errors, sizeof(errors));
    capture_end(&out, output, sizeof(output));
    arguments_release(&arguments);
    return status;
}

static int run(const struct command *command, const char *line)
{
    return run_with(command, line, NULL);
}

static void add(uint64_t count)
{
    for (uint64_t number = 1; number <= count; number++) {
        letters_add(store, number, number % 3 == 0 ? LETTER_PARKED : LETTER_POISON, "{}");
    }
}

static int64_t printed_number(const char *key)
{
    json_error_t fault;
    json_t *value = json_loads(output, 0, &fault);
    ck_assert_msg(value != NULL, "%s: %s", fault.text, output);
    int64_t number = json_integer_value(json_object_get(value, key));
    json_decref(value);
    return number;
}

START_TEST(cli_dlq_lists_what_the_engine_has)
{
    ck_assert_int_eq(run(&command_dlq_list, ""), 0);
    ck_assert_str_eq(output, "there are no dead letters\n");
    add(7);
    ck_assert_int_eq(run(&command_dlq_list, ""), 0);
    ck_assert_ptr_nonnull(strstr(output, "NUMBER"));
    ck_assert_ptr_nonnull(strstr(output, "public.orders"));
    ck_assert_ptr_nonnull(strstr(output, "the target said no"));
    ck_assert_ptr_null(strstr(output, "--after"));
    ck_assert_int_eq(run(&command_dlq_list, "--limit 3"), 0);
    ck_assert_ptr_nonnull(strstr(output, "--after 3"));
    ck_assert_int_eq(run(&command_dlq_list, "--after 6 --json"), 0);
    ck_assert_ptr_nonnull(strstr(output, "\"number\": 7"));
    ck_assert_ptr_null(strstr(output, "\"number\": 6"));
    ck_assert_int_eq(run(&command_dlq_list, "--cause isolated"), 0);
    ck_assert_str_eq(output, "no dead letters match\n");
    ck_assert_int_eq(run_with(&command_dlq_list, "--json --key", "{\"id\":4}"), 0);
    ck_assert_ptr_nonnull(strstr(output, "\"number\": 4"));
    ck_assert_ptr_null(strstr(output, "\"number\": 5"));
}
END_TEST

START_TEST(cli_dlq_gathers_as_many_pages_as_it_takes)
{
    enum { LETTERS = 1234 };
    add(LETTERS);
    ck_assert_int_eq(run(&command_dlq_export, ""), 0);
    size_t lines = 0;
    for (const char *at = output; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    ck_assert_uint_eq(lines, LETTERS);
    ck_assert_ptr_nonnull(strstr(output, "\"number\":1234,"));
    ck_assert_ptr_nonnull(strstr(output, "\"payload\":\"{}\""));
    ck_assert_int_eq(run(&command_dlq_count, "--json --error SAID"), 0);
    ck_assert_int_eq(printed_number("count"), LETTERS);
    ck_assert_int_eq(run(&command_dlq_purge, "--confirm all --json --error said"), 0);
    ck_assert_int_eq(printed_number("purged"), LETTERS);
}
END_TEST

START_TEST(cli_dlq_counts_by_cause)
{
    ck_assert_int_eq(run(&command_dlq_count, ""), 0);
    ck_assert_str_eq(output, "there are no dead letters\n");
    add(7);
    ck_assert_int_eq(run(&command_dlq_count, ""), 0);
    ck_assert_ptr_nonnull(strstr(output, "7 dead letters, "));
    ck_assert_ptr_nonnull(strstr(output, "poison 5, parked 2, isolated 0\n"));
    ck_assert_ptr_nonnull(strstr(output, "oldest since 2023-11-14T22:13:20"));
    ck_assert_int_eq(run(&command_dlq_count, "--key {\"id\":1} --since 2023-11-14"), 0);
    ck_assert_ptr_nonnull(strstr(output, "1 dead letter, "));
}
END_TEST

START_TEST(cli_dlq_shows_one_with_its_payload)
{
    add(1);
    ck_assert_int_eq(run(&command_dlq_show, "1"), 0);
    ck_assert_ptr_nonnull(strstr(output, "dead letter 1\n"));
    ck_assert_ptr_nonnull(strstr(output, "error          the target said no\n"));
    ck_assert_ptr_nonnull(strstr(output, "payload_bytes  2\n"));
    ck_assert_ptr_nonnull(strstr(output, "payload:\n{}\n"));
    ck_assert_int_eq(run(&command_dlq_show, "1 --json --full"), 0);
    ck_assert_int_eq(printed_number("number"), 1);
    ck_assert_int_eq(run(&command_dlq_show, "2"), 64);
    ck_assert_ptr_nonnull(strstr(errors, "no dead letter 2"));
    ck_assert_int_eq(run(&command_dlq_show, "two"), 64);
}
END_TEST

START_TEST(cli_dlq_replays_in_slices_until_nothing_is_left)
{
    enum { LETTERS = 1100 };
    ck_assert_int_eq(run(&command_dlq_replay, ""), 0);
    ck_assert_str_eq(output, "there are no dead letters\n");
    add(LETTERS);
    ck_assert_int_eq(run(&command_dlq_replay, "--dry-run --cause parked"), 0);
    ck_assert_str_eq(output, "366 dead letters match\n");
    fake_engine_replays(10000, 0, NULL);
    ck_assert_int_eq(run(&command_dlq_replay, ""), 0);
    ck_assert_str_eq(output, "1100 succeeded, 0 failed\n");
    ck_assert_str_eq(errors, ""); /* no terminal, no bar */
    ck_assert_int_eq(run(&command_dlq_list, ""), 0);
    ck_assert_str_eq(output, "there are no dead letters\n");
}
END_TEST

START_TEST(cli_dlq_replay_tells_what_failed_and_leaves_it)
{
    add(700);
    fake_engine_replays(600, 1000, NULL);
    ck_assert_int_eq(run(&command_dlq_replay, ""), 1);
    ck_assert_str_eq(output, "600 succeeded, 100 failed\n");
    ck_assert_int_eq(run(&command_dlq_count, "--json"), 0);
    ck_assert_int_eq(printed_number("count"), 100);
    fake_engine_replays(1000, 0, NULL);
    ck_assert_int_eq(run(&command_dlq_replay, "--limit 30"), 0);
    ck_assert_str_eq(output, "30 succeeded, 0 failed\n");
}
END_TEST

START_TEST(cli_dlq_replay_to_a_target_that_is_down_stops_and_says_why)
{
    add(5);
    fake_engine_replays(2, 0, "target \"file\" is down: no route");
    ck_assert_int_eq(run(&command_dlq_replay, ""), 1);
    ck_assert_str_eq(output, "2 succeeded, 0 failed\n"
                             "stopped: target \"file\" is down: no route; the rest stays\n");
    ck_assert_int_eq(run(&command_dlq_replay, "--json"), 1);
    ck_assert_ptr_nonnull(strstr(output, "\"stopped\": true"));
    ck_assert_ptr_nonnull(strstr(output, "no route"));
    ck_assert_int_eq(run(&command_dlq_count, "--json"), 0);
    ck_assert_int_eq(printed_number("count"), 3);
}
END_TEST

START_TEST(cli_dlq_purge_wants_the_name_once_more)
{
    add(5);
    ck_assert_int_eq(run(&command_dlq_purge, ""), 64);
    ck_assert_ptr_nonnull(strstr(errors, "--confirm all"));
    ck_assert_int_eq(run(&command_dlq_purge, "--pipeline orders --confirm all"), 64);
    ck_assert_int_eq(run(&command_dlq_purge, "--pipeline orders --dry-run"), 0);
    ck_assert_str_eq(output, "5 dead letters match\n");
    ck_assert_int_eq(run(&command_dlq_purge, "--pipeline orders --confirm orders --limit 1"), 0);
    ck_assert_ptr_nonnull(strstr(output, "1 dead letter purged"));
    ck_assert_int_eq(run(&command_dlq_purge, "--cause parked --confirm all"), 0);
    ck_assert_ptr_nonnull(strstr(output, "1 dead letter purged"));
    ck_assert_int_eq(run(&command_dlq_count, "--json"), 0);
    ck_assert_int_eq(printed_number("count"), 3);
}
END_TEST

START_TEST(cli_dlq_unknown_names_and_malformed_selectors_are_usage_errors)
{
    static const char *const lines[] = {
        "--pipeline ordres", "--target fiel", "--table orders", "--since soon",
        "--cause poisn",     "--limit 0",     "--after -1",     "--pipeline all --target x"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        ck_assert_msg(run(&command_dlq_list, lines[i]) == 64, "%s", lines[i]);
        ck_assert_str_ne(errors, "");
    }
    ck_assert_int_eq(run(&command_dlq_replay, "--pipeline ordres"), 64);
    ck_assert_ptr_nonnull(strstr(errors, "did you mean orders?"));
}
END_TEST

START_TEST(cli_dlq_of_an_engine_that_cannot_use_its_store_fails)
{
    fake_engine_use_store(NULL);
    ck_assert_int_eq(run(&command_dlq_list, ""), 1);
    ck_assert_ptr_nonnull(strstr(errors, "busy"));
}
END_TEST

START_TEST(cli_dlq_without_an_engine_reads_the_file)
{
    add(3);
    stop_engine();
    ck_assert_int_eq(run(&command_dlq_count, "--json"), 0);
    ck_assert_int_eq(printed_number("count"), 3);
    ck_assert_int_eq(run(&command_dlq_list, "--pipeline ordres"), 64);
    ck_assert_ptr_nonnull(strstr(errors, "did you mean orders?"));
    ck_assert_int_eq(run(&command_dlq_replay, ""), 1);
    ck_assert_ptr_nonnull(strstr(errors, "no engine runs"));
    ck_assert_int_eq(run(&command_dlq_purge, "--confirm all"), 0);
    ck_assert_ptr_nonnull(strstr(output, "3 dead letters purged"));
    ck_assert_int_eq(run(&command_dlq_list, ""), 0);
    ck_assert_str_eq(output, "there are no dead letters\n");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("cli_dlq");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, cli_dlq_lists_what_the_engine_has);
    tcase_add_test(tests, cli_dlq_gathers_as_many_pages_as_it_takes);
    tcase_add_test(tests, cli_dlq_counts_by_cause);
    tcase_add_test(tests, cli_dlq_shows_one_with_its_payload);
    tcase_add_test(tests, cli_dlq_replays_in_slices_until_nothing_is_left);
    tcase_add_test(tests, cli_dlq_replay_tells_what_failed_and_leaves_it);
    tcase_add_test(tests, cli_dlq_replay_to_a_target_that_is_down_stops_and_says_why);
    tcase_add_test(tests, cli_dlq_purge_wants_the_name_once_more);
    tcase_add_test(tests, cli_dlq_unknown_names_and_malformed_selectors_are_usage_errors);
    tcase_add_test(tests, cli_dlq_of_an_engine_that_cannot_use_its_store_fails);
    tcase_add_test(tests, cli_dlq_without_an_engine_reads_the_file);
    return suite_run("cli_dlq", tests);
}
