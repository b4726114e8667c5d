/*
 * A NATS target answers each request once, lets no event overtake one of its key that was refused,
 * and shows nothing that a value or a secret should not be in.
 *
 * Oracle: a scripted server on loopback that keeps the messages it got.
 */
#include "base/log.h"
#include "conf/load.h"
#include "conf/print.h"
#include "targets/nats/nats_target.h"
#include "targets/nats/options.h"
#include "targets/nats/ruling.h"
#include "targets/nats/subject.h"
#include "targets/nats/wave.h"
#include "tests/unit/answering.h"
#include "tests/unit/conf_fixture.h"
#include "tests/unit/nats_script.h"
#include "tests/unit/suite.h"

static struct nats_script *script;
static struct answering rig;
static struct nats_options options;
static char address[64];
static char *servers[2] = {address, address};
static char subject_text[] = "cdc.${schema}.${table}";
static char other_text[] = "cdc.other";
static char word[] = "CDC";

static void setup(void)
{
    script = nats_script_start();
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", nats_script_port(script));
    options = (struct nats_options){.servers = {.items = servers, .count = 1},
                                    .subject = subject_text,
                                    .subject_other = other_text,
                                    .timeout_us = 5 * SECOND_US,
                                    .connect_timeout_us = 5 * SECOND_US};
    answering_init(&rig, &nats_target_type);
}

static void teardown(void)
{
    answering_close(&rig);
    nats_script_stop(script);
    secret_release(&options.password);
}

static void start(void)
{
    answering_start(&rig, &options);
}

static void assert_logged(const char *text)
{
    ck_assert_msg(strstr(nats_script_log(script), text) != NULL, "no \"%s\" in\n%s", text,
                  nats_script_log(script));
}

/* How many messages the log holds. */
static size_t published(void)
{
    size_t count = 0;
    for (const char *at = nats_script_log(script); (at = strstr(at, "7001-pgfan_shop-")) != NULL;
         at++) {
        count++;
    }
    return count;
}

static const struct answering_event mixed[] = {
    {"public", "orders", "{\"id\":1}", "one", 0},
    {"public", "orders", "{\"id\":2}", "two", 0},
    {"public", "orders", "{\"id\":1}", "three", 0},
    {"public", "orders", "", "four", CHANGE_TRUNCATE},
    {"", "", "", "five", CHANGE_MESSAGE},
    {"", "", "", "six", CHANGE_GAP},
};

START_TEST(nats_event_is_a_message_with_its_id)
{
    options.stream = word;
    start();
    const struct answer *answer = answering_send(&rig, answering_batch(&rig, mixed, 6));
    ck_assert_msg(answer->status == FAN_OK, "%s", answer->error.text);
    ck_assert_uint_eq(answer->failed_count, 0);
    assert_logged("cdc.public.orders 7001-pgfan_shop-0000000000000100-00000001 CDC one\n"
                  "cdc.public.orders 7001-pgfan_shop-0000000000000101-00000001 CDC two\n"
                  "cdc.public.orders 7001-pgfan_shop-0000000000000102-00000001 CDC three\n"
                  "cdc.public.orders 7001-pgfan_shop-0000000000000103-00000001 CDC four\n"
                  "cdc.other 7001-pgfan_shop-0000000000000104-00000001 CDC five\n"
                  "cdc.other 7001-pgfan_shop-0000000000000105-00000001-g CDC six\n");
}
END_TEST

START_TEST(nats_duplicate_counts_as_delivered)
{
    nats_script_add(script, 0, "{\"stream\":\"CDC\",\"seq\":7,\"duplicate\":true}");
    start();
    ck_assert_int_eq(answering_send(&rig, answering_plain(&rig, 1))->status, FAN_OK);
    assert_logged(" 7001-pgfan_shop-0000000000000100-00000001 - {\"n\":1}\n");
}
END_TEST

START_TEST(nats_event_of_a_key_never_overtakes_a_refused_one)
{
    nats_script_add(script, 0, "");
    start();
    const struct answer *answer = answering_send(&rig, answering_batch(&rig, mixed, 6));
    ck_assert_int_eq(answer->status, FAN_OK);
    ck_assert_str_eq(answer->error.code, "NATS_NO_STREAM");
    ck_assert_uint_eq(answer->failed_count, 5); /* all but the second, which is of another key */
    ck_assert_uint_eq(published(), 2);
    for (size_t at = 0; at < answer->failed_count; at++) {
        ck_assert_uint_ne(answer->failed[at].event, 1);
        ck_assert(!answer->failed[at].poison);
    }
}
END_TEST

START_TEST(nats_event_that_is_too_large_is_named)
{
    static char large[12000];
    memset(large, 'x', sizeof(large) - 1);
    struct answering_event events[] = {{"public", "t", "{\"id\":1}", "one", 0},
                                       {"public", "t", "{\"id\":2}", large, 0},
                                       {"public", "t", "{\"id\":3}", "three", 0}};
    start();
    const struct answer *answer = answering_send(&rig, answering_batch(&rig, events, 3));
    ck_assert_int_eq(answer->status, FAN_OK);
    ck_assert_uint_eq(answer->failed_count, 2);
    ck_assert_uint_eq(answer->failed[0].event, 1);
    ck_assert(answer->failed[0].poison && !answer->failed[1].poison);
    ck_assert_ptr_nonnull(strstr(answer->failed[0].text, "larger than max_payload"));
    answer = answering_send(&rig, answering_batch(&rig, events + 1, 1));
    ck_assert_int_eq(answer->status, FAN_POISON);
    ck_assert_str_eq(answer->error.code, "NATS_TOO_LARGE");
}
END_TEST

/* What a stream says to the first of two events. */
static const struct {
    const char *answer;
    enum fan_status status; /* of a batch of the first alone */
    const char *code;
} answers[] = {
    {"", FAN_RETRY, "NATS_NO_STREAM"},
    {"{\"error\":{\"code\":503,\"err_code\":10077,\"description\":\"maximum messages exceeded\"}}",
     FAN_RETRY, "NATS_10077"},
    {"{\"error\":{\"code\":400,\"err_code\":10054,\"description\":\"message size exceeds\"}}",
     FAN_POISON, "NATS_10054"},
    {"{\"error\":{\"code\":400,\"err_code\":10060,\"description\":\"expected stream\"}}", FAN_FATAL,
     "NATS_10060"},
    {"{\"error\":{}}", FAN_FATAL, "NATS_0"},
    {"not json", FAN_RETRY, "NATS_ANSWER"},
    {"{\"stream\":\"CDC\"}", FAN_RETRY, "NATS_ANSWER"},
    {"close", FAN_RETRY, "NATS_CONNECTION"},
    {"-ERR 'Permissions Violation for Publish to \"cdc.public.orders\"'", FAN_FATAL,
     "NATS_NOT_PERMITTED"},
};

START_TEST(nats_answer_gives_its_class)
{
    nats_script_add(script, 0, answers[_i].answer);
    start();
    const struct answer *answer = answering_send(&rig, answering_plain(&rig, 1));
    ck_assert_msg(answer->status == answers[_i].status, "%s", answer->error.text);
    ck_assert_str_eq(answer->error.code, answers[_i].code);
    ck_assert_uint_eq(answer->failed_count, 0);
    ck_assert_ptr_nonnull(strstr(answer->error.text, address));
    /* Whatever it was, the next request can be taken. */
    ck_assert_int_eq(answering_send(&rig, answering_plain(&rig, 1))->status, FAN_OK);
}
END_TEST

START_TEST(nats_words_show_no_secret)
{
    static const char words[] =
        "{\"error\":{\"code\":503,\"err_code\":1,\"description\":\"x S3CR3T \\u001b[31m\"}}";
    struct redactor redactor = {0};
    struct fan_error error;
    ck_assert(redactor_add(&redactor, "S3CR3T"));
    ck_assert_int_eq(nats_rule_ack(words, sizeof(words) - 1, "h", &redactor, &error), FAN_RETRY);
    ck_assert_ptr_null(strstr(error.text, "S3CR3T"));
    ck_assert_ptr_null(strchr(error.text, '\x1b'));
    redactor_release(&redactor);
}
END_TEST

static const struct {
    natsStatus status;
    const char *words;
    enum fan_status class;
    const char *code;
} connects[] = {
    {NATS_CONNECTION_AUTH_FAILED, "(conn.c:1) Authorization Violation", FAN_FATAL, "NATS_LOGIN"},
    {NATS_SSL_ERROR, "(conn.c:733): SSL handshake error: 18:self-signed certificate", FAN_FATAL,
     "NATS_CERTIFICATE"},
    {NATS_SSL_ERROR, "hostname mismatch", FAN_FATAL, "NATS_CERTIFICATE"},
    {NATS_SSL_ERROR, "wrong version number", FAN_RETRY, "NATS_TLS"},
    {NATS_SECURE_CONNECTION_WANTED, NULL, FAN_FATAL, "NATS_TLS"},
    {NATS_SECURE_CONNECTION_REQUIRED, "", FAN_FATAL, "NATS_TLS"},
    {NATS_TIMEOUT, NULL, FAN_RETRY, "NATS_TIMEOUT"},
    {NATS_NO_SERVER, NULL, FAN_RETRY, "NATS_CONNECT"},
    {NATS_NO_MEMORY, NULL, FAN_RETRY, "NATS_CONNECT"},
};

START_TEST(nats_connecting_gives_its_class)
{
    const struct redactor none = {0};
    struct fan_error error;
    ck_assert_int_eq(
        nats_rule_connect(connects[_i].status, connects[_i].words, "h:1", &none, &error),
        connects[_i].class);
    ck_assert_str_eq(error.code, connects[_i].code);
    ck_assert_ptr_null(strstr(error.text, "conn.c:733"));
}
END_TEST

START_TEST(nats_login_and_the_next_server_are_used)
{
    static char nowhere[] = "127.0.0.1:1";
    char *both[] = {nowhere, address};
    options.servers.items = both;
    options.servers.count = 2;
    options.username = word;
    ck_assert_int_eq(secret_set(&options.password, "S3CR3T", 6), FAN_OK);
    start();
    ck_assert_int_eq(answering_send(&rig, answering_plain(&rig, 1))->status, FAN_OK);
    assert_logged("\"user\":\"CDC\",\"pass\":\"S3CR3T\"");
}
END_TEST

START_TEST(nats_answer_takes_no_longer_than_its_deadline)
{
    rig.context.deadline_us = 300000;
    nats_script_add(script, 1, NULL);
    start();
    int64_t before_us = clock_monotonic_us();
    ck_assert_int_eq(answering_request(&rig, 0, answering_batch(&rig, mixed, 3)), FAN_OK);
    ck_assert_int_eq(answering_request(&rig, 1, answering_plain(&rig, 1)), FAN_OK);
    const struct answer *answer = answering_wait(&rig, 0);
    ck_assert_int_eq(answer->status, FAN_OK);
    ck_assert_uint_eq(answer->failed_count, 2);
    ck_assert_str_eq(answer->error.code, "NATS_TIMEOUT");
    ck_assert_int_eq(answering_wait(&rig, 1)->status, FAN_RETRY);
    ck_assert_int_lt(clock_monotonic_us() - before_us, 5 * SECOND_US);
}
END_TEST

START_TEST(nats_stop_ends_open_requests_without_an_answer)
{
    options.timeout_us = 100 * SECOND_US;
    rig.context.deadline_us = 0;
    nats_script_add(script, 0, NULL);
    nats_script_add(script, 1, NULL);
    start();
    for (size_t round = 0; round < 3; round++) {
        for (size_t lane = 0; lane < ANSWERING_REQUESTS; lane++) {
            ck_assert_int_eq(answering_request(&rig, lane, answering_plain(&rig, 3)), FAN_OK);
        }
        ck_assert_int_eq(answering_request(&rig, ANSWERING_REQUESTS, answering_plain(&rig, 3)),
                         FAN_AGAIN);
        if (round == 0) { /* the other times it is stopped while it connects, or before */
            ck_assert(nats_script_wait(script, "cdc.public.orders"));
        }
        int64_t before_us = clock_monotonic_us();
        nats_target_type.stop(rig.target);
        ck_assert_int_lt(clock_monotonic_us() - before_us, 5 * SECOND_US);
        ck_assert(round > 0 || rig.answered == 0);
        struct fan_error error;
        ck_assert_int_eq(nats_target_type.start(rig.target, NULL, &error), FAN_OK);
    }
}
END_TEST

static const struct {
    const char *template;
    const char *table;
    const char *key;
    const char *subject; /* NULL: poison */
} renderings[] = {
    {"cdc.${schema}.${table}", "orders", "", "cdc.public.orders"},
    {"cdc.${schema}.${table}", "or-ders_$\xC3\xA9", "", "cdc.public.or-ders_$\xC3\xA9"},
    {"cdc.${schema}.${table}", "or.ders", "", NULL},
    {"cdc.${schema}.${table}", "or ders", "", NULL},
    {"cdc.${schema}.${table}", "or\tders", "", NULL},
    {"cdc.${schema}.${table}", "*", "", NULL},
    {"cdc.${schema}.${table}", ">", "", NULL},
    {"cdc.${schema}.${table}", "a\r\nPUB x 0", "", NULL},
    {"cdc.${key.id}", "orders", "{\"id\":42}", "cdc.42"},
    {"cdc.${key.id}", "orders", "{\"id\":\"a.b\"}", NULL},
    {"cdc.${key.id}", "orders", "{\"id\":\"\"}", NULL},
    {"cdc.${key.id}", "orders", "", NULL},
    {"cdc.x${op}.${source}", "orders", "", "cdc.xc.shop"},
    {"cdc.${key.id}", "", "", "cdc.other"},
};

START_TEST(nats_subject_holds_only_values_that_fit_a_token)
{
    struct subjects subjects;
    const char *key;
    const char *table = renderings[_i].table;
    const char *json = renderings[_i].key;
    ck_assert_ptr_null(subjects_parse(renderings[_i].template, other_text, &subjects, &key));
    const struct batch_label label = {.schema = "public",
                                      .schema_size = table[0] != '\0' ? 6 : 0,
                                      .table = table,
                                      .table_size = strlen(table),
                                      .key = json,
                                      .key_size = strlen(json)};
    const struct batch_event event = {.position = {{1}, 1}, .op = CHANGE_INSERT};
    const struct event_subject subject = {
        .encode = &answering_encode, .label = &label, .event = &event};
    struct bytes out;
    struct fan_error error;
    bytes_init(&out, SUBJECT_MAX);
    enum fan_status status = subjects_render(&subjects, &subject, &out, &error);
    if (renderings[_i].subject != NULL) {
        ck_assert_msg(status == FAN_OK, "%s", error.text);
        ck_assert_str_eq(bytes_text(&out), renderings[_i].subject);
    } else {
        ck_assert_int_eq(status, FAN_POISON);
        ck_assert_str_eq(error.code, "NATS_SUBJECT");
        ck_assert(table[0] == '\0' || strcmp(table, "orders") == 0 ||
                  strstr(error.text, table) == NULL || strlen(table) == 1);
    }
    bytes_release(&out);
    subjects_release(&subjects);
}
END_TEST

START_TEST(nats_wave_has_a_key_once)
{
    struct batch *batch = answering_batch(&rig, mixed, 6);
    static const size_t ends[] = {2, 3, 3, 4, 5, 6};
    for (size_t first = 0; first < 6; first++) {
        ck_assert_uint_eq(wave_end(batch, first), ends[first]);
    }
    batch_unref(batch);
    batch = batch_pool_take(rig.batches);
    for (size_t at = 0; at < 3 * WAVE_EVENTS_MAX; at++) {
        char label[64];
        int size = snprintf(label, sizeof(label), "public%ct%c%zu%c", 0, 0, at, 0);
        const struct batch_event place = {.position = {{1}, (int64_t)at}, .op = CHANGE_INSERT};
        ck_assert_int_eq(batch_append(batch, &place, 0, (const uint8_t *)"x", 1,
                                      (const uint8_t *)label, (size_t)size),
                         FAN_OK);
    }
    ck_assert_uint_le(wave_end(batch, 0), WAVE_EVENTS_MAX);
    ck_assert_uint_gt(wave_end(batch, 0), WAVE_EVENTS_MAX / 2);
    batch_unref(batch);
}
END_TEST

/* Loads a conf with one NATS target whose keys are `keys`, and keeps the effective conf or the
 * faults in `ret_text`. */
static enum fan_status load_conf(const char *keys, struct bytes *ret_text)
{
    static const struct conf_plugin plugin = {.type = "nats", .table = &nats_options_table};
    static const char *const formats[] = {"native", NULL};
    const struct conf_plugins plugins = {.sources = fixture_sources,
                                         .sources_count = 1,
                                         .targets = &plugin,
                                         .targets_count = 1,
                                         .formats = formats};
    struct settings settings = {0};
    struct conf_report report = {0};
    char text[1000];
    int size = snprintf(text, sizeof(text),
                        "sources: {shop: {dsn: service=x}}\n"
                        "pipelines: [{name: p, source: shop, tables: [t], targets: [{type: nats, "
                        "%s}]}]\n",
                        keys);
    bytes_init(ret_text, 1 << 16);
    enum fan_status status =
        conf_load_text("c.yaml", text, (size_t)size, &plugins, &settings, &report);
    if (status == FAN_OK) {
        conf_print_yaml(&settings, ret_text);
    } else {
        conf_report_print(&report, false, ret_text);
    }
    conf_report_release(&report);
    settings_release(&settings);
    return status;
}

static const struct {
    const char *keys;
    const char *text; /* of the fault, or of the effective conf when it begins with a space */
} confs[] = {
    {"servers: [\"h:1\"]", " subject: \"cdc.${schema}.${table}\""},
    {"servers: [\"nats://h:1\", h2]", " subject_other: cdc.other"},
    {"servers: h, username: joe, password: S3CR3T", " password: \"***\""},
    {"servers: h, token: S3CR3T", " token: \"***\""},
    {"subject: x", "\"servers\" is missing"},
    {"servers: [\"nats://joe:S3CR3T@h\"]", "the address has no port"},
    {"servers: [\"tls://h\"]", "the address has a scheme"},
    {"servers: [/run/nats.sock]", "a server has no host"},
    {"servers: h, username: joe", "\"username\" and \"password\" belong together"},
    {"servers: h, token: S3CR3T, credentials: /x", "exclude each other"},
    {"servers: h, token: 'S3CR3T\"'", "more than the NATS library can send"},
    {"servers: h, ca: /x", "certificates are of no use without `tls: true`"},
    {"servers: h, tls: true, client_key: /x", "\"client_cert\" and \"client_key\" belong together"},
    {"servers: h, subject: \"a.${nope}\"", "\"subject\""},
    {"servers: h, subject: \"a..b\"", "a subject has tokens"},
    {"servers: h, subject: \".a\"", "a subject has tokens"},
    {"servers: h, subject: \"a.\"", "does not end with a dot"},
    {"servers: h, subject: \"a.*\"", "a subject has tokens"},
    {"servers: h, subject: \"a b\"", "a subject has tokens"},
    {"servers: h, subject: \"$JS.API.x\"", "a subject has tokens"},
    {"servers: h, subject_other: \"a.${table}\"", "\"subject_other\" has an unknown name"},
    {"servers: h, stream: \"a.b\"", "\"stream\" has a character"},
    {"servers: h, timeout: 1s, connect_timeout: 2s", "\"connect_timeout\" is longer"},
};

START_TEST(nats_conf_holds_its_rules_and_hides_secrets)
{
    struct bytes text;
    const char *wanted = confs[_i].text;
    bool fine = wanted[0] == ' ';
    ck_assert_msg((load_conf(confs[_i].keys, &text) == FAN_OK) == fine, "%s", bytes_text(&text));
    ck_assert_msg(strstr(bytes_text(&text), wanted) != NULL, "%s", bytes_text(&text));
    bytes_release(&text);
}
END_TEST

START_TEST(nats_missing_file_is_fatal_at_start)
{
    static char nowhere[] = "/nonexistent/nats.creds";
    struct fan_error error;
    options.credentials = nowhere;
    ck_assert_int_eq(nats_target_type.create(&options, &rig.context, &rig.target, &error), FAN_OK);
    ck_assert_int_eq(nats_target_type.start(rig.target, NULL, &error), FAN_FATAL);
    ck_assert_ptr_nonnull(strstr(error.text, nowhere));
}
END_TEST

int main(void)
{
    log_set_level(LOG_ERROR);
    TCase *tests = tcase_create("target_nats");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, nats_event_is_a_message_with_its_id);
    tcase_add_test(tests, nats_duplicate_counts_as_delivered);
    tcase_add_test(tests, nats_event_of_a_key_never_overtakes_a_refused_one);
    tcase_add_test(tests, nats_event_that_is_too_large_is_named);
    tcase_add_loop_test(tests, nats_answer_gives_its_class, 0, (int)CONF_COUNT(answers));
    tcase_add_test(tests, nats_words_show_no_secret);
    tcase_add_loop_test(tests, nats_connecting_gives_its_class, 0, (int)CONF_COUNT(connects));
    tcase_add_test(tests, nats_login_and_the_next_server_are_used);
    tcase_add_test(tests, nats_answer_takes_no_longer_than_its_deadline);
    tcase_add_test(tests, nats_stop_ends_open_requests_without_an_answer);
    tcase_add_loop_test(tests, nats_subject_holds_only_values_that_fit_a_token, 0,
                        (int)CONF_COUNT(renderings));
    tcase_add_test(tests, nats_wave_has_a_key_once);
    tcase_add_loop_test(tests, nats_conf_holds_its_rules_and_hides_secrets, 0,
                        (int)CONF_COUNT(confs));
    tcase_add_test(tests, nats_missing_file_is_fatal_at_start);
    int status = suite_run("target_nats", tests);
    nats_CloseAndWait(2000);
    return status;
}
