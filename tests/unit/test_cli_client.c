/*
 * The command line's requests to an engine.
 *
 * Property: a request reaches the engine whose socket is named and its answer comes back as JSON;
 * every failure is an exit status and never a hang.
 * Oracle: the fake engine's state; the exit statuses of docs/cli.md.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "base/log.h"
#include "cli/client.h"
#include "fake_engine.h"
#include "tests/unit/suite.h"

static char directory[64];
static struct api *api;
static int kept_stderr;

/* Failures are printed to stderr, where the test's own output does not want them. */
static void set_up(void)
{
    memcpy(directory, "/tmp/pgfan-cli-XXXXXX", 22);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    log_set_level(LOG_ERROR);
    fake_engine_reset();
    api = NULL;
    kept_stderr = dup(STDERR_FILENO);
    int null = open("/dev/null", O_WRONLY);
    ck_assert_int_eq(dup2(null, STDERR_FILENO), STDERR_FILENO);
    (void)close(null);
}

static void tear_down(void)
{
    ck_assert_int_eq(dup2(kept_stderr, STDERR_FILENO), STDERR_FILENO);
    (void)close(kept_stderr);
    api_stop(api);
    ck_assert_int_eq(rmdir(directory), 0);
}

static void start(void)
{
    struct api_setup setup = {.engine = fake_engine(),
                              .settings = fake_engine_settings(directory, NULL)};
    struct fan_error error = {0};
    ck_assert_msg(api_start(&setup, &api, &error) == FAN_OK, "%s", error.text);
}

static void parse(const char *more, struct arguments *ret_arguments)
{
    const char *words[] = {"orders", "--data-dir", directory, more};
    struct fan_error error = {0};
    enum fan_status status =
        arguments_parse(&command_pause, more == NULL ? 3 : 4, words, ret_arguments, &error);
    ck_assert_msg(status == FAN_OK, "%s", error.text);
}

START_TEST(cli_client_verb_reaches_the_engine)
{
    struct arguments arguments = {0};
    json_t *answer = NULL;
    start();
    parse(NULL, &arguments);
    ck_assert_int_eq(
        client_request(&arguments, "POST", "/pipelines/orders/pause", NULL, 0, &answer), EXIT_FINE);
    ck_assert_int_eq(fake_engine_pipeline(0)->state, PIPELINE_PAUSED);
    ck_assert_ptr_nonnull(json_object_get(answer, "metadata"));
    json_decref(answer);
    answer = NULL;
    /* Refused: it is paused already. */
    ck_assert_int_eq(
        client_request(&arguments, "POST", "/pipelines/orders/pause", NULL, 0, &answer), 1);
    ck_assert_ptr_null(answer);
    arguments_release(&arguments);
}
END_TEST

START_TEST(cli_client_body_reaches_the_engine)
{
    struct arguments arguments = {0};
    json_t *answer = NULL;
    start();
    parse(NULL, &arguments);
    json_t *body = json_pack("{s:s}", "level", "warn");
    ck_assert_int_eq(client_request(&arguments, "POST", "/log-level", body, 0, &answer), EXIT_FINE);
    ck_assert_int_eq(log_get_level(), LOG_WARN);
    json_decref(body);
    json_decref(answer);
    arguments_release(&arguments);
}
END_TEST

START_TEST(cli_client_without_an_engine_fails_at_once)
{
    struct arguments arguments = {0};
    json_t *answer = NULL;
    parse(NULL, &arguments);
    ck_assert_int_eq(client_request(&arguments, "GET", "/status", NULL, 0, &answer), 1);
    ck_assert_ptr_null(answer);
    arguments_release(&arguments);
}
END_TEST

START_TEST(cli_client_socket_path_too_long_is_a_usage_error)
{
    struct arguments arguments = {0};
    json_t *answer = NULL;
    char option[200] = "--socket=/";
    memset(option + 10, 'x', 150);
    parse(option, &arguments);
    ck_assert_int_eq(client_request(&arguments, "GET", "/status", NULL, 0, &answer), EXIT_USAGE);
    arguments_release(&arguments);
}
END_TEST

START_TEST(cli_client_names_are_percent_encoded)
{
    char path[64] = "/p/";
    ck_assert(client_append_segment(path, sizeof(path), "shop:a.b c/%\xc3\xa4?"));
    ck_assert_str_eq(path, "/p/shop:a.b%20c%2F%25%C3%A4%3F");
    char small[8] = "/p/";
    ck_assert(!client_append_segment(small, sizeof(small), "abcdefgh"));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("cli_client");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, cli_client_verb_reaches_the_engine);
    tcase_add_test(tests, cli_client_body_reaches_the_engine);
    tcase_add_test(tests, cli_client_without_an_engine_fails_at_once);
    tcase_add_test(tests, cli_client_socket_path_too_long_is_a_usage_error);
    tcase_add_test(tests, cli_client_names_are_percent_encoded);
    return suite_run("cli_client", tests);
}
