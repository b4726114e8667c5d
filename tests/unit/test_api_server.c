/*
 * The API over real sockets, with a fake engine behind it.
 *
 * Property: every route answers with the status and the members that docs/api.md names, and what
 * is hostile or malformed is refused, with the connection closed, while the next client is served.
 * Oracle: RFC 9112 for framing; the engine's table of transitions for the verbs; the values that
 * the test put into the fake engine.
 */
#include <arpa/inet.h>
#include <check.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/api.h"
#include "api/verbs.h"
#include "base/clock.h"
#include "base/log.h"
#include "fake_engine.h"
#include "letters_fixture.h"
#include "tests/unit/suite.h"

enum { ANSWER_SIZE = 256 * 1024, DEADLINE_MS = 10000 };

static char directory[64];
static struct api *api;
static char answer[ANSWER_SIZE];
static struct store *store; /* of the tests that want one */

static const struct api_version versions[] = {{"pgfan", "0.1.0"}, {"lib\"x", "1\n2\\"}};

static void start(const char *listen, int64_t header_timeout_us)
{
    struct api_setup setup = {
        .engine = fake_engine(),
        .settings = fake_engine_settings(directory, listen),
        .versions = versions,
        .versions_count = 2,
        .header_timeout_us = header_timeout_us,
    };
    struct fan_error error = {0};
    enum fan_status status = api_start(&setup, &api, &error);
    ck_assert_msg(status == FAN_OK, "%s", error.text);
}

static void set_up(void)
{
    memcpy(directory, "/tmp/pgfan-api-XXXXXX", 22);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    log_set_level(LOG_ERROR);
    fake_engine_reset();
    api = NULL;
}

static void tear_down(void)
{
    api_stop(api);
    store_close(store);
    store = NULL;
    letters_remove_store(directory);
    ck_assert_int_eq(rmdir(directory), 0); /* empty: the socket is gone, too */
}

static int connect_unix(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.60s/pgfan.sock", directory);
    int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(descriptor, (const struct sockaddr *)&address, sizeof(address)), 0);
    return descriptor;
}

static int connect_tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(api_port(api))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(descriptor, (const struct sockaddr *)&address, sizeof(address)), 0);
    return descriptor;
}

/* Reads to the end of the connection; fails the test at the deadline. */
static void read_answer(int descriptor)
{
    size_t size = 0;
    int64_t deadline_us = clock_monotonic_us() + DEADLINE_MS * INT64_C(1000);
    for (;;) {
        struct pollfd wait = {.fd = descriptor, .events = POLLIN};
        int64_t left_ms = (deadline_us - clock_monotonic_us()) / 1000;
        ck_assert_msg(left_ms > 0 && poll(&wait, 1, (int)left_ms) == 1, "no end of the answer");
        ssize_t got = read(descriptor, answer + size, sizeof(answer) - 1 - size);
        if (got <= 0) {
            break; /* a reset is an end, too */
        }
        size += (size_t)got;
    }
    answer[size] = '\0';
    (void)close(descriptor);
}

static void send_all(int descriptor, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(descriptor, data, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return; /* refused while we were still sending */
        }
        data += sent;
        size -= (size_t)sent;
    }
}

static int status_of_answer(void)
{
    int status = 0;
    return sscanf(answer, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

/* Sends the text as it is on a connection and returns the status of the answer. */
static int exchange_raw(int descriptor, const char *request)
{
    send_all(descriptor, request, strlen(request));
    read_answer(descriptor);
    return status_of_answer();
}

static int request(const char *method, const char *path, const char *more)
{
    char text[4096];
    (void)snprintf(text, sizeof(text),
                   "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s", method, path,
                   more == NULL ? "\r\n" : more);
    return exchange_raw(connect_unix(), text);
}

static const char *body(void)
{
    const char *end = strstr(answer, "\r\n\r\n");
    return end == NULL ? "" : end + 4;
}

static json_t *json_body(void)
{
    json_error_t fault;
    json_t *value = json_loads(body(), 0, &fault);
    ck_assert_msg(value != NULL, "no JSON: %s in %s", fault.text, answer);
    return value;
}

static void expect_code(const char *code)
{
    json_t *value = json_body();
    ck_assert_str_eq(json_string_value(json_object_get(value, "code")), code);
    ck_assert_ptr_nonnull(json_string_value(json_object_get(value, "message")));
    json_decref(value);
}

static int post_json(const char *path, const char *text)
{
    char more[2048];
    (void)snprintf(more, sizeof(more),
                   "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(text),
                   text);
    return request("POST", path, more);
}

START_TEST(api_healthz_one_pipeline_alive_answers_200)
{
    start(NULL, 0);
    static const char *const paths[] = {"/healthz", "/health", "/health/live"};
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(request("GET", paths[i], NULL), 200);
    }
    fake_engine_pipeline(0)->state = PIPELINE_ERROR;
    ck_assert_int_eq(request("GET", "/healthz", NULL), 200);
    ck_assert_ptr_nonnull(strstr(body(), "\"orders\""));
}
END_TEST

START_TEST(api_healthz_all_pipelines_failed_answers_503_with_names)
{
    start(NULL, 0);
    fake_engine_pipeline(0)->state = PIPELINE_ERROR;
    fake_engine_pipeline(1)->state = PIPELINE_ERROR;
    ck_assert_int_eq(request("GET", "/healthz", NULL), 503);
    ck_assert_ptr_nonnull(strstr(body(), "\"orders\""));
    ck_assert_ptr_nonnull(strstr(body(), "\"all\""));
}
END_TEST

START_TEST(api_readyz_shows_states_and_reasons)
{
    start(NULL, 0);
    static const char *const paths[] = {"/readyz", "/ready", "/health/ready"};
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(request("GET", paths[i], NULL), 200);
    }
    fake_engine_pipeline(0)->state = PIPELINE_ERROR;
    (void)snprintf(fake_engine_pipeline(0)->reason, FAN_ERROR_TEXT_MAX, "disk \xff full");
    ck_assert_int_eq(request("GET", "/readyz", NULL), 503);
    json_t *value = json_body();
    json_t *first = json_array_get(json_object_get(value, "pipelines"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(first, "state")), "ERROR");
    /* A byte outside UTF-8 is shown as U+FFFD. */
    ck_assert_str_eq(json_string_value(json_object_get(first, "reason")), "disk \xef\xbf\xbd full");
    json_decref(value);
}
END_TEST

/* name{labels} value, after a # TYPE of the same name, and every name in one group. */
static void check_sample(const char *line, const char *type_name)
{
    size_t name = strcspn(line, "{ ");
    ck_assert_msg(strlen(type_name) == name && memcmp(line, type_name, name) == 0,
                  "sample without its type: %s", line);
    const char *space = strrchr(line, ' ');
    ck_assert_ptr_nonnull(space);
    char *end = NULL;
    (void)strtod(space + 1, &end);
    ck_assert_msg(end != space + 1 && *end == '\0', "no number: %s", line);
}

START_TEST(api_metrics_parse_as_prometheus_text)
{
    start(NULL, 0);
    ck_assert_int_eq(request("GET", "/metrics", NULL), 200);
    ck_assert_ptr_nonnull(strstr(answer, "text/plain; version=0.0.4"));
    ck_assert_ptr_nonnull(strstr(body(), "pgfan_pipeline_read_total{pipeline=\"orders\",source="
                                         "\"shop\"} 7\n"));
    ck_assert_ptr_nonnull(strstr(body(), "target=\"fi\\\"le\\\\\""));
    ck_assert_ptr_nonnull(strstr(body(), "lib\"x=\"1\\n2\\\\\""));
    ck_assert_ptr_nonnull(strstr(body(), "process_resident_memory_bytes "));
    ck_assert_ptr_nonnull(strstr(
        body(), "pgfan_pipeline_state{pipeline=\"all\",source=\"shop\",state=\"STREAMING\"} 1"));
    ck_assert_ptr_null(strstr(body(), "pgfan_pipeline_lag_bytes{")); /* unknown: no sample */
    char type_name[128] = "";
    char *rest = NULL;
    char *copy = strdup(body());
    for (char *line = strtok_r(copy, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "# TYPE ", 7) == 0) {
            size_t size = strcspn(line + 7, " ");
            memcpy(type_name, line + 7, size);
            type_name[size] = '\0';
            char head[160];
            (void)snprintf(head, sizeof(head), "# TYPE %s ", type_name);
            const char *once = strstr(body(), head);
            ck_assert_ptr_null(strstr(once + 1, head));
        } else if (line[0] != '#') {
            check_sample(line, type_name);
        }
    }
    free(copy);
}
END_TEST

START_TEST(api_pipelines_select_by_label)
{
    start(NULL, 0);
    static const struct {
        const char *path;
        size_t count;
    } cases[] = {
        {"/pipelines", 2},
        {"/pipelines?label=team:shop", 1},
        {"/pipelines?label=team", 1},
        {"/pipelines?label=team%3Ashop", 1},
        {"/pipelines?label=team:other", 0},
        {"/pipelines?label=team:shop&label=env:prod", 1},
        {"/pipelines?label=team:shop&label=env:test", 0},
        {"/pipelines?label=none", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ck_assert_int_eq(request("GET", cases[i].path, NULL), 200);
        json_t *value = json_body();
        ck_assert_uint_eq(json_array_size(json_object_get(value, "pipelines")), cases[i].count);
        json_decref(value);
    }
    ck_assert_int_eq(request("GET", "/pipelines?lable=team", NULL), 400);
    expect_code("UNKNOWN_PARAMETER");
    ck_assert_int_eq(request("GET", "/pipelines?label=%zz", NULL), 400);
}
END_TEST

START_TEST(api_pipeline_is_found_by_name_and_by_id)
{
    start(NULL, 0);
    static const char *const paths[] = {"/pipelines/orders", "/pipelines/shop:public.orders:file",
                                        "/pipelines/shop%3apublic.orders%3Afile"};
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(request("GET", paths[i], NULL), 200);
        json_t *value = json_body();
        const char *name = NULL;
        const char *state = NULL;
        const char *max_bytes = NULL;
        const char *durability = NULL;
        json_int_t read = 0;
        ck_assert_int_eq(json_unpack(value, "{s:{s:s}, s:{s:s, s:[{s:s}], s:{s:I}}, s:{s:{s:s}}}",
                                     "metadata", "name", &name, "status", "state", &state,
                                     "targets", "durability", &durability, "counters", "read",
                                     &read, "spec", "batch", "max_bytes", &max_bytes),
                         0);
        ck_assert_str_eq(name, "orders");
        ck_assert_str_eq(state, "STREAMING");
        ck_assert_str_eq(max_bytes, "16MiB");
        ck_assert_str_eq(durability, "os");
        ck_assert_int_eq(read, 7);
        json_decref(value);
    }
}
END_TEST

START_TEST(api_retries_are_listed_in_order_and_have_no_key_without_a_batch)
{
    static struct retry_status retries[] = {
        {.number = 8,
         .target = "file",
         .next_attempt = 2,
         .at_wall_us = 1700000000000000,
         .retry_wall_us = 1700000000750000,
         .reason = "could not start"},
        {.number = 9,
         .target = "file",
         .batch_key = "a~b~2",
         .next_attempt = 3,
         .at_wall_us = 1700000001000000,
         .retry_wall_us = 1700000002999999,
         .reason = "503"},
    };
    start(NULL, 0);
    fake_engine_pipeline(0)->retries = retries;
    fake_engine_pipeline(0)->retries_count = 2;
    ck_assert_int_eq(request("GET", "/pipelines/orders", NULL), 200);
    json_t *value = json_body();
    json_t *listed = json_object_get(json_object_get(value, "status"), "retries");
    json_t *expected = json_pack(
        "[{s:i,s:s,s:n,s:i,s:s,s:s,s:I}, {s:i,s:s,s:s,s:i,s:s,s:s,s:I}]", "number", 8, "target",
        "file", "batch_key", "next_attempt", 2, "reason", "could not start", "at",
        "2023-11-14T22:13:20.000000Z", "retry_at_ms", (json_int_t)1700000000750, "number", 9,
        "target", "file", "batch_key", "a~b~2", "next_attempt", 3, "reason", "503", "at",
        "2023-11-14T22:13:21.000000Z", "retry_at_ms", (json_int_t)1700000002999);
    ck_assert_ptr_nonnull(expected);
    ck_assert(json_equal(listed, expected));
    json_decref(expected);
    json_decref(value);
    ck_assert_int_eq(request("GET", "/pipelines/all", NULL), 200);
    value = json_body();
    listed = json_object_get(json_object_get(value, "status"), "retries");
    ck_assert(json_is_array(listed) && json_array_size(listed) == 0);
    json_decref(value);
}
END_TEST

START_TEST(api_unknown_pipeline_answers_404_with_the_nearest_name)
{
    start(NULL, 0);
    ck_assert_int_eq(request("GET", "/pipelines/oders", NULL), 404);
    expect_code("PIPELINE_NOT_FOUND");
    ck_assert_ptr_nonnull(strstr(body(), "did you mean orders?"));
    ck_assert_int_eq(request("POST", "/pipelines/x/pause", "Content-Length: 0\r\n\r\n"), 404);
    expect_code("PIPELINE_NOT_FOUND");
}
END_TEST

START_TEST(api_verbs_follow_the_table_of_transitions)
{
    start(NULL, 0);
    static const struct {
        const char *path;
        int status;
        enum pipeline_state state;
    } steps[] = {
        {"/pipelines/orders/pause", 200, PIPELINE_PAUSED},
        {"/pipelines/orders/start", 409, PIPELINE_PAUSED},
        {"/pipelines/orders/resume", 200, PIPELINE_STREAMING},
        {"/pipelines/shop:public.orders:file/stop", 200, PIPELINE_STOPPED},
        {"/pipelines/orders/pause", 409, PIPELINE_STOPPED},
        {"/pipelines/orders/start", 200, PIPELINE_INITIALIZING},
    };
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        int status = request("POST", steps[i].path, "Content-Length: 0\r\n\r\n");
        ck_assert_msg(status == steps[i].status, "%s: %d: %s", steps[i].path, status, body());
        ck_assert_int_eq(fake_engine_pipeline(0)->state, steps[i].state);
        ck_assert_int_eq(fake_engine_pipeline(1)->state, PIPELINE_STREAMING);
        if (status == 409) {
            expect_code("ILLEGAL_TRANSITION");
        }
    }
    fake_engine_fail_commands("TIMEOUT");
    ck_assert_int_eq(request("POST", "/pipelines/orders/stop", "Content-Length: 0\r\n\r\n"), 503);
    expect_code("TIMEOUT");
}
END_TEST

static const char pause_request[] = "POST /pipelines/orders/pause HTTP/1.1\r\nHost: localhost\r\n"
                                    "Connection: close\r\nContent-Length: 0\r\n\r\n";

/* Begins a verb that the engine does not finish, and returns its connection. */
static int begin_verb(unsigned count)
{
    int descriptor = connect_unix();
    send_all(descriptor, pause_request, sizeof(pause_request) - 1);
    ck_assert(count == 0 || fake_engine_await_command(count));
    return descriptor;
}

START_TEST(api_probes_are_answered_while_a_verb_waits)
{
    start(NULL, 0);
    fake_engine_hold_commands();
    int verb = begin_verb(1);
    static const char *const paths[] = {"/healthz", "/readyz", "/metrics", "/pipelines/orders"};
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(request("GET", paths[i], NULL), 200);
    }
    struct pollfd wait = {.fd = verb, .events = POLLIN};
    ck_assert_int_eq(poll(&wait, 1, 0), 0);
    fake_engine_let_go();
    read_answer(verb);
    ck_assert_int_eq(status_of_answer(), 200);
    ck_assert_ptr_nonnull(strstr(body(), "PAUSED"));
    ck_assert_int_eq(request("POST", "/pipelines/orders/resume", "Content-Length: 0\r\n\r\n"), 200);
}
END_TEST

START_TEST(api_verbs_beyond_the_limit_are_told_to_try_again)
{
    start(NULL, 0);
    fake_engine_hold_commands();
    int verbs[VERBS_MAX];
    verbs[0] = begin_verb(1);
    for (size_t i = 1; i < VERBS_MAX; i++) {
        verbs[i] = begin_verb(0);
        ck_assert_int_eq(request("GET", "/healthz", NULL), 200);
    }
    ck_assert_int_eq(exchange_raw(connect_unix(), pause_request), 503);
    expect_code("BUSY");
    ck_assert_ptr_nonnull(strstr(answer, "Retry-After: 1\r\n"));
    fake_engine_let_go();
    for (size_t i = 0; i < VERBS_MAX; i++) {
        read_answer(verbs[i]);
        ck_assert_int_eq(status_of_answer(), i == 0 ? 200 : 409); /* it is paused by then */
    }
}
END_TEST

static void *let_go_soon(void *unused)
{
    (void)unused;            /* there is one engine */
    (void)poll(NULL, 0, 50); /* api_stop() should meet a verb that waits; it need not */
    fake_engine_let_go();
    return NULL;
}

START_TEST(api_stop_while_verbs_wait_answers_them)
{
    start(NULL, 0);
    fake_engine_hold_commands();
    int running = begin_verb(1);
    int queued = begin_verb(0);
    int gone = begin_verb(0);
    ck_assert_int_eq(request("GET", "/healthz", NULL), 200); /* both have been read by now */
    (void)close(gone);
    pthread_t helper;
    ck_assert_int_eq(pthread_create(&helper, NULL, let_go_soon, NULL), 0);
    api_stop(api);
    api = NULL;
    (void)pthread_join(helper, NULL);
    read_answer(running);
    ck_assert_int_eq(status_of_answer(), 200);
    read_answer(queued);
    ck_assert(status_of_answer() == 503 || status_of_answer() == 409); /* not begun, or too late */
    ck_assert_int_eq(fake_engine_pipeline(0)->state, PIPELINE_PAUSED);
}
END_TEST

START_TEST(api_client_that_leaves_a_verb_is_forgotten)
{
    start(NULL, 0);
    fake_engine_hold_commands();
    (void)close(begin_verb(1));
    ck_assert_int_eq(request("GET", "/healthz", NULL), 200);
    fake_engine_let_go();
    ck_assert_int_eq(request("POST", "/pipelines/orders/resume", "Content-Length: 0\r\n\r\n"), 200);
}
END_TEST

START_TEST(api_status_holds_sources_pipelines_and_versions)
{
    start(NULL, 0);
    ck_assert_int_eq(request("GET", "/status", NULL), 200);
    json_t *value = json_body();
    ck_assert_uint_eq(json_array_size(json_object_get(value, "pipelines")), 2);
    json_t *source = json_array_get(json_object_get(value, "sources"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(source, "lag_bytes")), 12);
    ck_assert(json_is_null(json_object_get(source, "retained_wal_bytes")));
    ck_assert(json_is_null(json_object_get(source, "confirmed_lsn")));
    json_decref(value);
    ck_assert_int_eq(request("GET", "/version", NULL), 200);
    ck_assert_int_eq(request("HEAD", "/version", NULL), 200);
    ck_assert_str_eq(body(), "");
}
END_TEST

START_TEST(api_log_level_is_changed_while_running)
{
    start(NULL, 0);
    ck_assert_int_eq(post_json("/log-level", "{\"level\":\"warn\"}"), 200);
    ck_assert_int_eq(log_get_level(), LOG_WARN);
    static const char *const faults[] = {
        "",
        "{\"level\":\"loud\"}",
        "{\"level\":1}",
        "{}",
        "[]",
        "{\"level\":\"info\"",
        "{\"level\":\"info\",\"level\":\"debug\"}",
        "{\"level\":\"info\",\"more\":1}",
    };
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        int status = post_json("/log-level", faults[i]);
        ck_assert_msg(status == 400, "%s: %d", faults[i], status);
        ck_assert_int_eq(log_get_level(), LOG_WARN);
    }
    ck_assert_int_eq(request("POST", "/log-level",
                             "Content-Type: text/plain\r\nContent-Length: 16\r\n\r\n"
                             "{\"level\":\"info\"}"),
                     415);
}
END_TEST

START_TEST(api_unknown_path_and_wrong_method_are_refused)
{
    start(NULL, 0);
    static const char *const unknown[] = {
        "/",         "/nothing", "/pipelines/", "/pipelines/a/b", "/pipelines/a/pause/b",
        "/healthz/", "//healthz"};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        int status = request("GET", unknown[i], NULL);
        ck_assert_msg(status == 404, "%s: %d", unknown[i], status);
        expect_code("NOT_FOUND");
    }
    ck_assert_int_eq(request("DELETE", "/pipelines/orders", NULL), 405);
    ck_assert_ptr_nonnull(strstr(answer, "Allow: GET, HEAD"));
    ck_assert_int_eq(request("GET", "/pipelines/orders/pause", NULL), 405);
    ck_assert_ptr_nonnull(strstr(answer, "Allow: POST"));
    ck_assert_int_eq(request("GET", "/pipelines/a%00b", NULL), 400);
    ck_assert_int_eq(request("GET", "/pipelines/a%2", NULL), 400);
    ck_assert_int_eq(request("GET", "/healthz?x=1", NULL), 400);
}
END_TEST

/* Each of these must be refused with the status, or with nothing but the end (0). */
START_TEST(api_malformed_requests_are_refused)
{
    start(NULL, 0);
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"POST /log-level HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400},
        {"POST /log-level HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"
         "aaaaaa",
         400},
        {"POST /log-level HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"
         "aaaaa",
         400},
        {"POST /log-level HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400},
        {"POST /log-level HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400},
        {"POST /log-level HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
         413},
        {"POST /log-level HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", 413},
        {"POST /log-level HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n"
         "Content-Length: 0\r\n\r\n",
         400},
        {"POST /log-level HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400},
        {"GET /healthz HTTP/1.0\r\nHost: a\r\n\r\n", 505},
        {"GET /healthz HTTP/1.1\r\n\r\n", 400},
        {"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n", 400},
        {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n\r\n", 403},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int status = exchange_raw(connect_unix(), cases[i].text);
        ck_assert_msg(status == cases[i].status, "case %zu: %d: %s", i, status, answer);
    }
    ck_assert_int_eq(request("GET", "/healthz", NULL), 200);
}
END_TEST

START_TEST(api_chunked_body_over_the_limit_is_refused)
{
    start(NULL, 0);
    int descriptor = connect_unix();
    static const char head[] = "POST /log-level HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                               "Content-Type: application/json\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    static char whole[7 + 65536 + 2];
    memset(whole, ' ', sizeof(whole));
    memcpy(whole, "10000\r\n", 7);
    memcpy(whole + 7 + 65536, "\r\n", 2);
    send_all(descriptor, head, sizeof(head) - 1);
    for (int i = 0; i < 17; i++) {
        send_all(descriptor, whole, sizeof(whole));
    }
    ck_assert_int_eq(exchange_raw(descriptor, "0\r\n\r\n"), 413);
    expect_code("BODY_TOO_LARGE");
}
END_TEST

START_TEST(api_headers_over_the_limit_are_refused)
{
    start(NULL, 0);
    static char header[40000];
    int descriptor = connect_unix();
    static const char head[] = "GET /healthz HTTP/1.1\r\nHost: a\r\nX: ";
    send_all(descriptor, head, sizeof(head) - 1);
    memset(header, 'a', sizeof(header));
    send_all(descriptor, header, sizeof(header));
    int status = exchange_raw(descriptor, "\r\n\r\n");
    ck_assert_msg(status == 431 || status == 413 || status == 414 || status == 0, "%d", status);
    ck_assert_int_eq(request("GET", "/healthz", NULL), 200);
}
END_TEST

START_TEST(api_slow_header_is_cut_at_the_deadline_though_bytes_keep_coming)
{
    start(NULL, 200000);
    int descriptor = connect_unix();
    send_all(descriptor, "GET /healthz HTTP/1.1\r\nX: ", 26);
    int64_t start_us = clock_monotonic_us();
    struct pollfd wait = {.fd = descriptor, .events = POLLIN};
    while (poll(&wait, 1, 20) == 0) {
        ck_assert_int_lt(clock_monotonic_us() - start_us, DEADLINE_MS * INT64_C(1000));
        send_all(descriptor, "a", 1);
        ck_assert_int_eq(request("GET", "/healthz", NULL), 200); /* others are served meanwhile */
    }
    char byte = 0;
    ck_assert_int_le(read(descriptor, &byte, 1), 0);
    ck_assert_int_ge(clock_monotonic_us() - start_us, 150000);
    (void)close(descriptor);
}
END_TEST

START_TEST(api_connection_is_kept_for_the_next_request)
{
    start(NULL, 0);
    int descriptor = connect_unix();
    static const char two[] = "GET /version HTTP/1.1\r\nHost: a\r\n\r\n"
                              "GET /version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    ck_assert_int_eq(exchange_raw(descriptor, two), 200);
    const char *second = strstr(answer + 1, "HTTP/1.1 200");
    ck_assert_ptr_nonnull(second);
}
END_TEST

static int tcp_request(const char *method, const char *path, const char *headers)
{
    char text[1024];
    (void)snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nConnection: close\r\n%s\r\n", method,
                   path, headers);
    return exchange_raw(connect_tcp(), text);
}

START_TEST(api_tcp_serves_loopback_names_only)
{
    start("127.0.0.1:0", 0);
    char good[128];
    (void)snprintf(good, sizeof(good), "Host: localhost:%u\r\n", api_port(api));
    ck_assert_int_eq(tcp_request("GET", "/healthz", good), 200);
    (void)snprintf(good, sizeof(good), "Host: [::1]:%u\r\n", api_port(api));
    ck_assert_int_eq(tcp_request("GET", "/healthz", good), 200);
    (void)snprintf(good, sizeof(good), "Host: 127.0.0.1:%u\r\nOrigin: http://127.0.0.1:%u\r\n",
                   api_port(api), api_port(api));
    ck_assert_int_eq(tcp_request("GET", "/healthz", good), 200);
    ck_assert_ptr_null(strstr(answer, "Access-Control"));
    ck_assert_int_eq(tcp_request("GET", "/healthz", "Host: evil.example\r\n"), 403);
    expect_code("HOST_REFUSED");
    ck_assert_int_eq(tcp_request("GET", "/healthz", "Host: localhost:1\r\n"), 403);
    ck_assert_int_eq(
        tcp_request("GET", "/healthz", "Host: localhost\r\nOrigin: http://evil.example\r\n"), 403);
    expect_code("ORIGIN_REFUSED");
}
END_TEST

START_TEST(api_tcp_refuses_everything_but_get)
{
    start("127.0.0.1:0", 0);
    ck_assert_int_eq(
        tcp_request("POST", "/pipelines/orders/pause", "Host: localhost\r\nContent-Length: 0\r\n"),
        405);
    ck_assert_int_eq(fake_engine_pipeline(0)->state, PIPELINE_STREAMING);
    ck_assert_int_eq(tcp_request("OPTIONS", "/healthz", "Host: localhost\r\n"), 405);
}
END_TEST

static enum fan_status try_start(const char *data_dir, const char *listen, struct fan_error *error)
{
    struct api_setup setup = {.engine = fake_engine(),
                              .settings = fake_engine_settings(data_dir, listen)};
    struct api *started = NULL;
    enum fan_status status = api_start(&setup, &started, error);
    api_stop(started);
    return status;
}

START_TEST(api_addresses_outside_loopback_are_refused)
{
    static const char *const faults[] = {
        "0.0.0.0:7432", "192.0.2.1:80", "[::]:80",     "example.com:80", "127.0.0.1",
        "127.0.0.1:",   ":80",          "127.0.0.1:x", "127.0.0.1:70000"};
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct fan_error error = {0};
        ck_assert_msg(try_start(directory, faults[i], &error) == FAN_FATAL, "%s", faults[i]);
        ck_assert_str_eq(error.code, "API_ADDRESS");
    }
}
END_TEST

START_TEST(api_socket_path_over_107_bytes_is_a_clear_error)
{
    char path[API_SOCKET_PATH_SIZE];
    char data_dir[128];
    struct fan_error error = {0};
    memset(data_dir, 'd', sizeof(data_dir));
    data_dir[107 - strlen("/pgfan.sock")] = '\0';
    ck_assert_int_eq(api_socket_path(data_dir, path, &error), FAN_OK);
    ck_assert_uint_eq(strlen(path), 107);
    (void)snprintf(data_dir + strlen(data_dir), 2, "d");
    ck_assert_int_eq(api_socket_path(data_dir, path, &error), FAN_FATAL);
    ck_assert_str_eq(error.code, "SOCKET_PATH_TOO_LONG");
}
END_TEST

START_TEST(api_socket_of_a_dead_engine_is_replaced)
{
    char path[API_SOCKET_PATH_SIZE];
    struct fan_error error = {0};
    struct stat found;
    ck_assert_int_eq(api_socket_path(directory, path, &error), FAN_OK);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    int dead = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(dead, (const struct sockaddr *)&address, sizeof(address)), 0);
    (void)close(dead);
    start(NULL, 0);
    ck_assert_int_eq(request("GET", "/healthz", NULL), 200);
    ck_assert_int_eq(stat(path, &found), 0);
    ck_assert_uint_eq(found.st_mode & 07777, 0660);
}
END_TEST

START_TEST(api_file_in_the_place_of_the_socket_is_left_alone)
{
    char path[API_SOCKET_PATH_SIZE];
    struct fan_error error = {0};
    ck_assert_int_eq(api_socket_path(directory, path, &error), FAN_OK);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    (void)fclose(file);
    ck_assert_int_eq(try_start(directory, NULL, &error), FAN_FATAL);
    ck_assert_int_eq(unlink(path), 0);
}
END_TEST

/* ---- dead letters ---- */

static void start_with_letters(uint64_t count)
{
    store = letters_open(directory);
    fake_engine_use_store(store);
    for (uint64_t number = 1; number <= count; number++) {
        letters_add(store, number, number % 3 == 0 ? LETTER_PARKED : LETTER_POISON,
                    "{\"op\":\"c\"}");
    }
    start(NULL, 0);
}

static int64_t number_at(const json_t *value, const char *key)
{
    const json_t *number = json_object_get(value, key);
    ck_assert_msg(json_is_integer(number), "no number \"%s\" in %s", key, answer);
    return json_integer_value(number);
}

static int64_t number_of(const char *key)
{
    json_t *value = json_body();
    int64_t number = number_at(value, key);
    json_decref(value);
    return number;
}

static const char *text_at(const json_t *value, const char *key)
{
    const char *text = json_string_value(json_object_get(value, key));
    ck_assert_msg(text != NULL, "no text \"%s\" in %s", key, answer);
    return text;
}

START_TEST(api_letters_are_listed_with_every_member)
{
    start_with_letters(1);
    ck_assert_int_eq(request("GET", "/dead-letters", NULL), 200);
    json_t *value = json_body();
    json_t *list = json_object_get(value, "dead_letters");
    ck_assert_uint_eq(json_array_size(list), 1);
    ck_assert(json_is_false(json_object_get(value, "more")));
    ck_assert(json_is_null(json_object_get(value, "after")));
    const json_t *letter = json_array_get(list, 0);
    ck_assert_int_eq(number_at(letter, "number"), 1);
    ck_assert_str_eq(text_at(letter, "pipeline"), "orders");
    ck_assert_str_eq(text_at(letter, "target"), "file");
    ck_assert_str_eq(text_at(letter, "source"), "shop");
    ck_assert_str_eq(text_at(letter, "id"), "7301-pgfan_shop-0000000000000001-00000000");
    ck_assert_str_eq(text_at(letter, "commit_lsn"), "0/1");
    ck_assert_int_eq(number_at(letter, "seq"), 0);
    ck_assert_str_eq(text_at(letter, "op"), "c");
    ck_assert_str_eq(text_at(letter, "table"), "public.orders");
    ck_assert_str_eq(text_at(letter, "key"), "{\"id\":1}");
    ck_assert_str_eq(text_at(letter, "cause"), "poison");
    ck_assert_str_eq(text_at(letter, "code"), "HTTP_422");
    ck_assert_str_eq(text_at(letter, "error"), "the target said no");
    ck_assert_int_eq(number_at(letter, "attempts"), 5);
    ck_assert_str_eq(text_at(letter, "first_at"), "2023-11-14T22:13:20.000000Z");
    ck_assert_str_eq(text_at(letter, "format"), "native");
    ck_assert_int_eq(number_at(letter, "payload_bytes"), 10);
    ck_assert_ptr_null(json_object_get(letter, "payload"));
    json_decref(value);
    ck_assert_int_eq(request("GET", "/dead-letters?payload=true", NULL), 200);
    value = json_body();
    letter = json_array_get(json_object_get(value, "dead_letters"), 0);
    ck_assert_str_eq(text_at(letter, "payload"), "{\"op\":\"c\"}");
    ck_assert_str_eq(text_at(letter, "payload_encoding"), "text");
    json_decref(value);
}
END_TEST

START_TEST(api_letters_selectors_and_pages)
{
    static const struct {
        const char *query;
        size_t count;
        int64_t after; /* 0: no more */
    } cases[] = {
        {"", 7, 0},
        {"?limit=7", 7, 0},
        {"?limit=3", 3, 3},
        {"?limit=3&after=3", 3, 6},
        {"?limit=3&after=6", 1, 0},
        {"?pipeline=orders&target=file", 7, 0},
        {"?pipeline=all", 0, 0},
        {"?cause=parked", 2, 0},
        {"?cause=parked&limit=1", 1, 3},
        {"?table=public.orders&key=%7B%22id%22%3A5%7D", 1, 0},
        {"?table=public.lines", 0, 0},
        {"?error=said", 7, 0},
        {"?since=2023-11-14", 7, 0},
        {"?since=1h", 0, 0},
    };
    start_with_letters(7);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "/dead-letters%s", cases[i].query);
        ck_assert_int_eq(request("GET", path, NULL), 200);
        json_t *value = json_body();
        size_t count = json_array_size(json_object_get(value, "dead_letters"));
        ck_assert_msg(count == cases[i].count, "%s: %zu", path, count);
        ck_assert_msg(json_is_true(json_object_get(value, "more")) == (cases[i].after != 0), "%s",
                      path);
        ck_assert_int_eq(json_integer_value(json_object_get(value, "after")), cases[i].after);
        json_decref(value);
        if (strstr(path, "limit") == NULL) {
            (void)snprintf(path, sizeof(path), "/dead-letters/count%s", cases[i].query);
            ck_assert_int_eq(request("GET", path, NULL), 200);
            ck_assert_msg(number_of("count") == (int64_t)count, "%s", path);
        }
    }
}
END_TEST

START_TEST(api_letters_malformed_or_unknown_selectors_are_refused)
{
    static const struct {
        const char *query;
        int status;
        const char *code;
        const char *says;
    } cases[] = {
        {"?pipelin=orders", 400, "UNKNOWN_PARAMETER", "did you mean pipeline?"},
        {"?pipeline=ordres", 404, "PIPELINE_NOT_FOUND", "did you mean orders?"},
        {"?target=fiel", 404, "TARGET_NOT_FOUND", "did you mean file?"},
        {"?pipeline=all&target=nothing", 404, "TARGET_NOT_FOUND", "see GET /pipelines"},
        {"?pipeline=", 400, "BAD_SELECTOR", "63 bytes"},
        {"?table=orders", 400, "BAD_SELECTOR", "public.orders"},
        {"?since=soon", 400, "BAD_SELECTOR", "2026-11-22"},
        {"?cause=dead", 400, "BAD_SELECTOR", "parked"},
        {"?cause=poison&cause=parked", 400, "BAD_SELECTOR", "twice"},
        {"?after=x", 400, "BAD_SELECTOR", "number"},
        {"?limit=0", 400, "BAD_REQUEST", "1 to 1000"},
        {"?limit=1001", 400, "BAD_REQUEST", "1 to 1000"},
        {"?limit=ten", 400, "BAD_REQUEST", "1 to 1000"},
        {"?payload=maybe", 400, "BAD_REQUEST", "true or false"},
        {"/x", 400, "BAD_REQUEST", "number"},
        {"/0", 400, "BAD_REQUEST", "number"},
        {"/7?full=yes", 400, "BAD_REQUEST", "true or false"},
        {"/7", 404, "DEAD_LETTER_NOT_FOUND", "dead letter 7"},
        {"/count?limit=1", 400, "UNKNOWN_PARAMETER", "limit"},
    };
    start_with_letters(2);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "/dead-letters%s", cases[i].query);
        int status = request("GET", path, NULL);
        ck_assert_msg(status == cases[i].status, "%s: %d", path, status);
        ck_assert_msg(strstr(body(), cases[i].says) != NULL, "%s: %s", path, body());
        expect_code(cases[i].code);
    }
}
END_TEST

START_TEST(api_letter_is_shown_cut_unless_it_is_asked_for_whole)
{
    static char large[70000];
    start_with_letters(0);
    memset(large, 'x', sizeof(large) - 1);
    memcpy(large + 65535, "\xe2\x82\xac", 3); /* stands across the end of 64 KiB */
    letters_add(store, 1, LETTER_POISON, large);
    letters_add(store, 2, LETTER_POISON, "\xff\xfe?");
    ck_assert_int_eq(request("GET", "/dead-letters/1", NULL), 200);
    json_t *value = json_body();
    ck_assert_uint_eq(strlen(text_at(value, "payload")), 65535);
    ck_assert(json_is_true(json_object_get(value, "payload_truncated")));
    ck_assert_int_eq(number_at(value, "payload_bytes"), sizeof(large) - 1);
    json_decref(value);
    ck_assert_int_eq(request("GET", "/dead-letters/1?full=true", NULL), 200);
    value = json_body();
    ck_assert_str_eq(text_at(value, "payload"), large);
    ck_assert(json_is_false(json_object_get(value, "payload_truncated")));
    json_decref(value);
    ck_assert_int_eq(request("GET", "/dead-letters/2", NULL), 200);
    value = json_body();
    ck_assert_str_eq(text_at(value, "payload"), "//4/");
    ck_assert_str_eq(text_at(value, "payload_encoding"), "base64");
    json_decref(value);
}
END_TEST

START_TEST(api_letters_count_gives_causes_bytes_and_the_oldest)
{
    start_with_letters(7);
    ck_assert_int_eq(request("GET", "/dead-letters/count", NULL), 200);
    json_t *value = json_body();
    ck_assert_int_eq(number_at(value, "count"), 7);
    ck_assert_int_gt(number_at(value, "bytes"), 7 * 10);
    const json_t *causes = json_object_get(value, "by_cause");
    ck_assert_int_eq(number_at(causes, "poison"), 5);
    ck_assert_int_eq(number_at(causes, "parked"), 2);
    ck_assert_int_eq(number_at(causes, "isolated"), 0);
    ck_assert_str_eq(text_at(value, "oldest_at"), "2023-11-14T22:13:20.000000Z");
    json_decref(value);
}
END_TEST

START_TEST(api_letters_replay_says_what_happened)
{
    start_with_letters(5);
    ck_assert_int_eq(post_json("/dead-letters/replay", "{\"dry_run\":true}"), 200);
    ck_assert_int_eq(number_of("count"), 5);
    fake_engine_replays(2, 1, NULL);
    ck_assert_int_eq(post_json("/dead-letters/replay", "{\"pipeline\":\"orders\",\"limit\":3}"),
                     200);
    json_t *value = json_body();
    ck_assert_int_eq(number_at(value, "succeeded"), 2);
    ck_assert_int_eq(number_at(value, "failed"), 1);
    ck_assert_int_eq(number_at(value, "after"), 3);
    ck_assert(json_is_false(json_object_get(value, "stopped")));
    json_decref(value);
    fake_engine_replays(0, 0, "target \"file\" is down");
    ck_assert_int_eq(post_json("/dead-letters/replay", "{\"after\":3}"), 200);
    value = json_body();
    ck_assert(json_is_true(json_object_get(value, "stopped")));
    ck_assert_str_eq(text_at(value, "why"), "target \"file\" is down");
    ck_assert(json_is_null(json_object_get(value, "after")));
    json_decref(value);
    ck_assert_int_eq(request("GET", "/dead-letters/count", NULL), 200);
    ck_assert_int_eq(number_of("count"), 3);
}
END_TEST

START_TEST(api_letters_purge_wants_to_be_confirmed)
{
    start_with_letters(5);
    static const char *const unconfirmed[] = {"{}", "{\"confirm\":\"orders\"}",
                                              "{\"pipeline\":\"orders\",\"confirm\":\"all\"}",
                                              "{\"pipeline\":\"orders\"}"};
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(post_json("/dead-letters/purge", unconfirmed[i]), 400);
        expect_code("NOT_CONFIRMED");
    }
    ck_assert_int_eq(post_json("/dead-letters/purge", "{\"pipeline\":\"orders\",\"dry_run\":true}"),
                     200);
    ck_assert_int_eq(number_of("count"), 5);
    uint64_t removals = fake_engine_removals();
    ck_assert_int_eq(post_json("/dead-letters/purge",
                               "{\"pipeline\":\"orders\",\"cause\":\"parked\",\"confirm\":"
                               "\"orders\"}"),
                     200);
    ck_assert_int_eq(number_of("purged"), 1);
    ck_assert_uint_eq(fake_engine_removals(), removals + 1);
    ck_assert_int_eq(post_json("/dead-letters/purge", "{\"confirm\":\"all\",\"limit\":3}"), 200);
    json_t *value = json_body();
    ck_assert_int_eq(number_at(value, "purged"), 3);
    ck_assert(json_is_true(json_object_get(value, "more")));
    ck_assert_int_eq(number_at(value, "after"), 4);
    json_decref(value);
    ck_assert_int_eq(post_json("/dead-letters/purge", "{\"confirm\":\"all\"}"), 200);
    ck_assert_int_eq(number_of("purged"), 1);
    ck_assert_int_eq(post_json("/dead-letters/purge", "{\"confirm\":\"all\"}"), 200);
    ck_assert_int_eq(number_of("purged"), 0);
}
END_TEST

START_TEST(api_letters_bodies_are_read_strictly)
{
    static const struct {
        const char *body;
        const char *code;
        const char *says;
    } cases[] = {
        {"[]", "BAD_REQUEST", "not a JSON object"},
        {"{\"pipeline\":", "BAD_REQUEST", "not a JSON object"},
        {"{\"cause\":\"poison\",\"cause\":\"parked\"}", "BAD_REQUEST", "not a JSON object"},
        {"{\"piepline\":\"orders\"}", "UNKNOWN_MEMBER", "did you mean \\\"pipeline\\\"?"},
        {"{\"dryrun\":true}", "UNKNOWN_MEMBER", "did you mean \\\"dry_run\\\"?"},
        {"{\"payload\":true}", "UNKNOWN_MEMBER", "payload"},
        {"{\"confirm\":\"all\"}", "UNKNOWN_MEMBER", "confirm"},
        {"{\"pipeline\":7}", "BAD_SELECTOR", "pipeline"},
        {"{\"limit\":\"7\"}", "BAD_REQUEST", "1 to 1000"},
        {"{\"limit\":0}", "BAD_REQUEST", "1 to 1000"},
        {"{\"dry_run\":1}", "BAD_REQUEST", "true or false"},
        {"{\"after\":-1}", "BAD_REQUEST", "number"},
        {"{\"since\":null}", "BAD_SELECTOR", "since"},
    };
    start_with_letters(2);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int status = post_json("/dead-letters/replay", cases[i].body);
        ck_assert_msg(status == 400, "%s: %d", cases[i].body, status);
        ck_assert_msg(strstr(body(), cases[i].says) != NULL, "%s: %s", cases[i].body, body());
        expect_code(cases[i].code);
    }
    ck_assert_int_eq(post_json("/dead-letters/replay", "{\"pipeline\":\"order\"}"), 404);
    expect_code("PIPELINE_NOT_FOUND");
}
END_TEST

START_TEST(api_letters_of_a_busy_store_answer_503)
{
    start(NULL, 0);
    ck_assert_int_eq(request("GET", "/dead-letters", NULL), 503);
    expect_code("TIMEOUT");
    ck_assert_int_eq(request("GET", "/dead-letters/count", NULL), 503);
    ck_assert_int_eq(request("GET", "/dead-letters/1", NULL), 503);
    ck_assert_int_eq(post_json("/dead-letters/purge", "{\"confirm\":\"all\"}"), 503);
    ck_assert_int_eq(post_json("/dead-letters/purge", "{\"dry_run\":true}"), 503);
}
END_TEST

START_TEST(api_letters_are_not_shown_over_tcp)
{
    store = letters_open(directory);
    fake_engine_use_store(store);
    letters_add(store, 1, LETTER_POISON, "secret");
    start("127.0.0.1:0", 0);
    static const char *const paths[] = {"/dead-letters", "/dead-letters/1"};
    for (size_t i = 0; i < 2; i++) {
        char text[256];
        (void)snprintf(text, sizeof(text),
                       "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", paths[i]);
        ck_assert_int_eq(exchange_raw(connect_tcp(), text), 403);
        expect_code("SOCKET_ONLY");
    }
    ck_assert_int_eq(exchange_raw(connect_tcp(), "GET /dead-letters/count HTTP/1.1\r\n"
                                                 "Host: localhost\r\nConnection: close\r\n\r\n"),
                     200);
}
END_TEST

static TCase *all_tests(void)
{
    TCase *tests = tcase_create("api_server");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, api_healthz_one_pipeline_alive_answers_200);
    tcase_add_test(tests, api_healthz_all_pipelines_failed_answers_503_with_names);
    tcase_add_test(tests, api_readyz_shows_states_and_reasons);
    tcase_add_test(tests, api_metrics_parse_as_prometheus_text);
    tcase_add_test(tests, api_pipelines_select_by_label);
    tcase_add_test(tests, api_pipeline_is_found_by_name_and_by_id);
    tcase_add_test(tests, api_retries_are_listed_in_order_and_have_no_key_without_a_batch);
    tcase_add_test(tests, api_unknown_pipeline_answers_404_with_the_nearest_name);
    tcase_add_test(tests, api_verbs_follow_the_table_of_transitions);
    tcase_add_test(tests, api_probes_are_answered_while_a_verb_waits);
    tcase_add_test(tests, api_verbs_beyond_the_limit_are_told_to_try_again);
    tcase_add_test(tests, api_stop_while_verbs_wait_answers_them);
    tcase_add_test(tests, api_client_that_leaves_a_verb_is_forgotten);
    tcase_add_test(tests, api_status_holds_sources_pipelines_and_versions);
    tcase_add_test(tests, api_log_level_is_changed_while_running);
    tcase_add_test(tests, api_unknown_path_and_wrong_method_are_refused);
    tcase_add_test(tests, api_malformed_requests_are_refused);
    tcase_add_test(tests, api_chunked_body_over_the_limit_is_refused);
    tcase_add_test(tests, api_headers_over_the_limit_are_refused);
    tcase_add_test(tests, api_slow_header_is_cut_at_the_deadline_though_bytes_keep_coming);
    tcase_add_test(tests, api_connection_is_kept_for_the_next_request);
    tcase_add_test(tests, api_tcp_serves_loopback_names_only);
    tcase_add_test(tests, api_tcp_refuses_everything_but_get);
    tcase_add_test(tests, api_addresses_outside_loopback_are_refused);
    tcase_add_test(tests, api_socket_path_over_107_bytes_is_a_clear_error);
    tcase_add_test(tests, api_socket_of_a_dead_engine_is_replaced);
    tcase_add_test(tests, api_file_in_the_place_of_the_socket_is_left_alone);
    tcase_add_test(tests, api_letters_are_listed_with_every_member);
    tcase_add_test(tests, api_letters_selectors_and_pages);
    tcase_add_test(tests, api_letters_malformed_or_unknown_selectors_are_refused);
    tcase_add_test(tests, api_letter_is_shown_cut_unless_it_is_asked_for_whole);
    tcase_add_test(tests, api_letters_count_gives_causes_bytes_and_the_oldest);
    tcase_add_test(tests, api_letters_replay_says_what_happened);
    tcase_add_test(tests, api_letters_purge_wants_to_be_confirmed);
    tcase_add_test(tests, api_letters_bodies_are_read_strictly);
    tcase_add_test(tests, api_letters_of_a_busy_store_answer_503);
    tcase_add_test(tests, api_letters_are_not_shown_over_tcp);
    return tests;
}

int main(void)
{
    return suite_run("api_server", all_tests());
}
