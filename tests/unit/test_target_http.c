/*
 * An HTTP target answers each request once, with the class that the receiver's answer stands for,
 * and sends nothing that a value or a secret should not be in.
 *
 * Oracle: a scripted server on loopback that keeps what it got byte by byte; bodies are taken apart
 * by jansson and zlib, signatures are computed again with HMAC().
 */
#include <check.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <jansson.h>
#include <netdb.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/load.h"
#include "conf/print.h"
#include "encode/cloudevents.h"
#include "targets/http/body.h"
#include "targets/http/guard.h"
#include "targets/http/http_target.h"
#include "targets/http/options.h"
#include "targets/http/reply.h"
#include "targets/http/signature.h"
#include "targets/http/url_template.h"
#include "targets/key_text.h"
#include "tests/unit/conf_fixture.h"
#include "tests/unit/http_script.h"
#include "tests/unit/suite.h"

#define SECOND_US INT64_C(1000000)

enum { WAIT_SECONDS = 20, REQUESTS_MAX = 4 };

static struct batch_pool *batches;
static struct http_script *script;
static char url[256];

static const struct encode_context encode = {
    .source = "shop", .system_id = "7001", .slot = "pgfan_shop"};

/* The resolver that the library finds: names below .test are the test's, others the system's. */
static pthread_mutex_t resolver_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t resolver_changed = PTHREAD_COND_INITIALIZER;
static bool resolver_hangs; /* slow.test waits */
static unsigned resolver_waiting;
static const char *resolver_address = "127.0.0.1"; /* of every other name below .test */

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret_list)
{
    typedef int resolve(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    union {
        void *object;
        resolve *function;
    } real = {.object = dlsym(RTLD_NEXT, "getaddrinfo")};
    size_t size = name != NULL ? strlen(name) : 0;
    if (size < 5 || strcmp(name + size - 5, ".test") != 0) {
        return real.function(name, service, hints, ret_list);
    }
    char address[64];
    (void)pthread_mutex_lock(&resolver_lock);
    resolver_waiting++;
    (void)pthread_cond_broadcast(&resolver_changed);
    while (resolver_hangs) {
        (void)pthread_cond_wait(&resolver_changed, &resolver_lock);
    }
    resolver_waiting--;
    (void)snprintf(address, sizeof(address), "%s", resolver_address);
    (void)pthread_cond_broadcast(&resolver_changed);
    (void)pthread_mutex_unlock(&resolver_lock);
    return real.function(address, service, hints, ret_list);
}

/* Collects the answers of a target. */
struct sink {
    struct outcome_sink base;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t answered;
};

/* A target with what an engine keeps for it. What its options point at outlives the test. */
struct rig {
    struct http_options options;
    char address[300]; /* behind options.url, unless that is the script's */
    struct target_context context;
    struct sink sink;
    struct target *target;
    struct answer answers[REQUESTS_MAX + 1];
    bool open[REQUESTS_MAX + 1];
    struct fan_error error; /* of the last request() that was not accepted */
};

/* The target of the test: a test changes its options, and the first request starts it. */
static struct rig rig;

static void sink_post(struct outcome_sink *base, const struct outcome *outcome)
{
    (void)base;
    (void)outcome;
    ck_abort_msg("an answering target posts nothing");
}

static void sink_answer(struct outcome_sink *base, struct answer *answer)
{
    struct sink *sink = (struct sink *)base;
    struct rig *self = (struct rig *)((char *)sink - offsetof(struct rig, sink));
    (void)pthread_mutex_lock(&sink->lock);
    ck_assert(self->open[answer->lane]);
    self->open[answer->lane] = false;
    sink->answered++;
    (void)pthread_cond_broadcast(&sink->changed);
    (void)pthread_mutex_unlock(&sink->lock);
}

static void rig_init(struct rig *self)
{
    *self = (struct rig){
        .options = {.url = url,
                    .timeout_us = 5 * SECOND_US,
                    .connect_timeout_us = 5 * SECOND_US,
                    .allow_private = true,
                    .allow_http = true},
        .context = {.pipeline = "p",
                    .target = "t",
                    .index = 3,
                    .encode = &encode,
                    .requests_max = REQUESTS_MAX,
                    .deadline_us = 10 * SECOND_US},
        .sink = {.base = {.post = sink_post, .answer = sink_answer},
                 .lock = PTHREAD_MUTEX_INITIALIZER,
                 .changed = PTHREAD_COND_INITIALIZER},
    };
    self->context.outcomes = &self->sink.base;
}

static void rig_start(struct rig *self)
{
    struct fan_error error = {0};
    enum fan_status status =
        http_target_type.create(&self->options, &self->context, &self->target, &error);
    ck_assert_msg(status == FAN_OK, "%s", error.text);
    status = http_target_type.start(self->target, NULL, &error);
    ck_assert_msg(status == FAN_OK, "%s", error.text);
}

static void rig_end(struct rig *self)
{
    for (size_t i = 0; i <= REQUESTS_MAX; i++) {
        free(self->answers[i].failed);
    }
    if (self->target != NULL) {
        http_target_type.stop(self->target);
        http_target_type.destroy(self->target);
    }
    secret_release(&self->options.bearer_token);
    secret_release(&self->options.password);
    secret_release(&self->options.signing_secret);
    secret_release(&self->options.signing_secret_old);
    *self = (struct rig){0};
}

__attribute__((format(printf, 2, 3))) static void rig_url(struct rig *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(self->address, sizeof(self->address), format, arguments);
    va_end(arguments);
    ck_assert_int_lt(size, (int)sizeof(self->address));
    self->options.url = self->address;
}

/* An event of a batch; the position's LSN is 0x100 + its index. */
struct event {
    const char *schema;
    const char *table;
    const char *key;
    const char *body;
    uint8_t op;
};

static void add_event(struct batch *batch, const struct event *event)
{
    char label[4096];
    int size = snprintf(label, sizeof(label), "%s%c%s%c%s%c", event->schema, 0, event->table, 0,
                        event->key, 0);
    ck_assert_int_lt(size, (int)sizeof(label));
    const struct batch_event place = {.position = {{0x100 + batch->events_count}, 1},
                                      .op = event->op != 0 ? event->op : 'c',
                                      .txn_end = true};
    enum fan_status status =
        batch_append(batch, &place, 0, (const uint8_t *)event->body, strlen(event->body),
                     (const uint8_t *)label, (size_t)size);
    ck_assert_int_eq(status, FAN_OK);
}

static struct batch *make_batch(const struct event *events, size_t count)
{
    struct batch *batch = batch_pool_take(batches);
    ck_assert_ptr_nonnull(batch);
    for (size_t i = 0; i < count; i++) {
        add_event(batch, &events[i]);
    }
    return batch;
}

/* `count` events of public.orders, each with its number. */
static struct batch *make_plain(size_t count)
{
    struct batch *batch = batch_pool_take(batches);
    ck_assert_ptr_nonnull(batch);
    for (size_t i = 0; i < count; i++) {
        char key[64];
        char body[128];
        (void)snprintf(key, sizeof(key), "{\"id\":%zu}", i);
        (void)snprintf(body, sizeof(body), "{\"n\":%zu,\"text\":\"a\\nb, [c]\"}", i);
        const struct event event = {"public", "orders", key, body, 'c'};
        add_event(batch, &event);
    }
    return batch;
}

/* The id of event `index` of such batches. */
static const char *id_of(size_t index)
{
    static char ids[8][64];
    static unsigned next;
    char *id = ids[next++ % 8];
    (void)snprintf(id, sizeof(ids[0]), "7001-pgfan_shop-%016zx-00000001", 0x100 + index);
    return id;
}

/* Takes over the batch; starts the target first, unless that is done. */
static enum fan_status rig_request(struct rig *self, size_t lane, struct batch *batch)
{
    if (self->target == NULL) {
        rig_start(self);
    }
    free(self->answers[lane].failed);
    self->answers[lane] = (struct answer){.target = 3, .lane = (uint32_t)lane};
    self->open[lane] = true;
    enum fan_status status = http_target_type.request(self->target, batch, &self->answers[lane],
                                                      clock_monotonic_us(), &self->error);
    if (status != FAN_OK) {
        self->open[lane] = false;
    }
    batch_unref(batch);
    return status;
}

/* Waits until `lane` is answered. */
static struct answer *rig_wait(struct rig *self, size_t lane)
{
    struct timespec deadline;
    (void)clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += WAIT_SECONDS;
    int result = 0;
    (void)pthread_mutex_lock(&self->sink.lock);
    while (self->open[lane] && result == 0) {
        result = pthread_cond_timedwait(&self->sink.changed, &self->sink.lock, &deadline);
    }
    bool answered = !self->open[lane];
    (void)pthread_mutex_unlock(&self->sink.lock);
    ck_assert_msg(answered, "no answer came");
    return &self->answers[lane];
}

static struct answer *rig_send(struct rig *self, struct batch *batch)
{
    enum fan_status status = rig_request(self, 0, batch);
    ck_assert_msg(status == FAN_OK, "%s", self->error.text);
    return rig_wait(self, 0);
}

/* What the target of the test makes of a batch, which it takes over. */
static const struct answer *answer_to(struct batch *batch)
{
    return rig_send(&rig, batch);
}

/* The next request is answered with `head`, a status line behind its version with headers or none
 * below, and `body`. */
static void reply(const char *head, const char *body)
{
    char text[1000];
    int size = snprintf(text, sizeof(text), "HTTP/1.1 %s\r\ncontent-length: %zu\r\n\r\n%s", head,
                        strlen(body), body);
    ck_assert_int_lt(size, (int)sizeof(text));
    http_script_add(script, HTTP_REPLY, text);
}

static const struct http_received *received(size_t index)
{
    return http_script_get(script, index);
}

/* The request begins with that line, or that piece of it. */
static void assert_head(const struct http_received *got, const char *expected)
{
    ck_assert_msg(strncmp(got->head, expected, strlen(expected)) == 0, "%s", got->head);
}

/* The batch is answered, and these events failed: "index:p" for poison and "index:r" for a retry,
 * separated by spaces. */
static void assert_failed(const struct answer *answer, const char *expected)
{
    char text[512] = "";
    size_t size = 0;
    ck_assert_int_eq(answer->status, FAN_OK);
    for (size_t i = 0; i < answer->failed_count; i++) {
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%u:%c", i > 0 ? " " : "",
                                 answer->failed[i].event, answer->failed[i].poison ? 'p' : 'r');
    }
    ck_assert_str_eq(text, expected);
}

static void set_secret(struct secret *secret, const char *text)
{
    ck_assert_int_eq(secret_set(secret, text, strlen(text)), FAN_OK);
}

static void setup(void)
{
    script = http_script_start();
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/ingest", http_script_port(script));
    rig_init(&rig);
}

static void teardown(void)
{
    rig_end(&rig);
    http_script_stop(script);
    resolver_address = "127.0.0.1";
}

/* Events of the tables a, b, b and a. */
static const struct event abba[] = {{"public", "a", "", "1", 'c'},
                                    {"public", "b", "", "2", 'c'},
                                    {"public", "b", "", "3", 'c'},
                                    {"public", "a", "", "4", 'c'}};

START_TEST(http_batch_is_one_post_of_a_json_array)
{
    const struct answer *answer = answer_to(make_plain(3));
    ck_assert_int_eq(answer->status, FAN_OK);
    ck_assert_uint_eq(answer->failed_count, 0);
    const struct http_received *got = received(0);
    assert_head(got, "POST /ingest HTTP/1.1\r\n");
    ck_assert_str_eq(http_script_header(got, "content-type"), "application/json");
    ck_assert_str_eq(http_script_header(got, "pgfan-kind"), "changes");
    ck_assert_ptr_null(http_script_header(got, "expect"));
    ck_assert_ptr_null(http_script_header(got, "webhook-signature"));
    char id[256];
    (void)snprintf(id, sizeof(id), "%s~%s~3", id_of(0), id_of(2));
    ck_assert_str_eq(http_script_header(got, "webhook-id"), id);
    ck_assert_ptr_null(strchr(id, '.'));
    long long sent = strtoll(http_script_header(got, "webhook-timestamp"), NULL, 10);
    ck_assert_int_le(llabs(sent - clock_wall_us() / SECOND_US), 20);
    ck_assert_str_eq((const char *)got->body, "[{\"n\":0,\"text\":\"a\\nb, [c]\"},"
                                              "{\"n\":1,\"text\":\"a\\nb, [c]\"},"
                                              "{\"n\":2,\"text\":\"a\\nb, [c]\"}]");
}
END_TEST

static const struct encode_settings structured = {.type = &cloudevents_encoder};
static const struct encode_settings binary = {.type = &cloudevents_encoder,
                                              .cloudevents_mode = CLOUDEVENTS_BINARY};

START_TEST(http_structured_cloudevents_have_their_content_types)
{
    static const struct {
        int mode;
        int body;
        const char *type;
    } cases[] = {
        {HTTP_MODE_BATCH, HTTP_BODY_JSON, "application/cloudevents-batch+json; charset=utf-8"},
        {HTTP_MODE_SINGLE, HTTP_BODY_JSON, "application/cloudevents+json; charset=utf-8"},
        {HTTP_MODE_BATCH, HTTP_BODY_NDJSON, "application/x-ndjson"},
    };
    for (size_t i = 0; i < CONF_COUNT(cases); i++) {
        struct rig other;
        rig_init(&other);
        other.context.encoding = &structured;
        other.options.mode = cases[i].mode;
        other.options.body = cases[i].body;
        ck_assert_int_eq(rig_send(&other, make_plain(1))->status, FAN_OK);
        ck_assert_str_eq(http_script_header(received(i), "content-type"), cases[i].type);
        ck_assert_ptr_null(http_script_header(received(i), "ce-id"));
        rig_end(&other);
    }
}
END_TEST

START_TEST(http_content_type_of_the_conf_stays_with_structured_cloudevents)
{
    struct conf_text_pair pair = {.key = (char[]){"Content-Type"}, .value = (char[]){"text/x"}};
    rig.context.encoding = &structured;
    rig.options.headers = (struct conf_text_map){.pairs = &pair, .count = 1};
    ck_assert_int_eq(answer_to(make_plain(1))->status, FAN_OK);
    ck_assert_str_eq(http_script_header(received(0), "content-type"), "text/x");
}
END_TEST

START_TEST(http_binary_cloudevents_have_their_attributes_in_headers)
{
    static const struct event events[] = {
        {"public", "orders", "{\"id\":7}", "{\"key\":{\"id\":7},\"txid\":1}", 'u'},
        {"", "", "", "{\"count\":3,\"txid\":1}", 'g'},
    };
    rig.context.encoding = &binary;
    rig.options.mode = HTTP_MODE_SINGLE;
    struct batch *batch = make_batch(events, 2);
    batch->events[0].commit_time_us = 1795309323456789;
    ck_assert_int_eq(answer_to(batch)->status, FAN_OK);
    const struct http_received *got = received(0);
    ck_assert_str_eq((const char *)got->body, events[0].body);
    ck_assert_str_eq(http_script_header(got, "content-type"), "application/json");
    ck_assert_str_eq(http_script_header(got, "ce-id"), id_of(0));
    ck_assert_str_eq(http_script_header(got, "ce-source"), "/pgfan/shop");
    ck_assert_str_eq(http_script_header(got, "ce-specversion"), "1.0");
    ck_assert_str_eq(http_script_header(got, "ce-type"), "io.pgfan.change.update");
    ck_assert_str_eq(http_script_header(got, "ce-subject"), "public.orders");
    ck_assert_str_eq(http_script_header(got, "ce-time"), "2026-11-22T01:02:03.456789Z");
    ck_assert_str_eq(http_script_header(got, "ce-lsn"), "0/100");
    ck_assert_str_eq(http_script_header(got, "ce-seq"), "1");
    ck_assert_str_eq(http_script_header(got, "ce-sequence"), "0000000000000100-0000000000000001");
    ck_assert_str_eq(http_script_header(got, "ce-partitionkey"), "{%22id%22:7}");
    ck_assert_ptr_null(http_script_header(got, "ce-datacontenttype"));
    ck_assert_str_eq(http_script_header(got, "webhook-id"), id_of(0));
    got = received(1);
    ck_assert_str_eq(http_script_header(got, "ce-type"), "io.pgfan.gap");
    char id[80];
    (void)snprintf(id, sizeof(id), "%s-g", id_of(1));
    ck_assert_str_eq(http_script_header(got, "ce-id"), id);
    ck_assert_ptr_null(http_script_header(got, "ce-subject"));
    ck_assert_ptr_null(http_script_header(got, "ce-partitionkey"));
    ck_assert_ptr_null(http_script_header(got, "ce-time"));
}
END_TEST

/* No value of a row may begin another header, and every one comes back when it is decoded. */
START_TEST(http_values_of_attributes_are_percent_encoded)
{
    static const struct {
        const char *table;
        const char *header;
    } cases[] = {
        {"a b\"c%d", "public.a%20b%22c%25d"},
        {"x\r\nce-evil: 1", "public.x%EF%BF%BD%EF%BF%BDce-evil:%201"},
        {"\xc3\xbc\xf0\x9f\x98\x80~!'", "public.%C3%BC%F0%9F%98%80~!'"},
        {"\x7f\xff", "public.%EF%BF%BD%EF%BF%BD"},
    };
    rig.context.encoding = &binary;
    rig.options.mode = HTTP_MODE_SINGLE;
    for (size_t i = 0; i < CONF_COUNT(cases); i++) {
        const struct event event = {"public", cases[i].table, "", "{}", 'c'};
        ck_assert_int_eq(answer_to(make_batch(&event, 1))->status, FAN_OK);
        ck_assert_str_eq(http_script_header(received(i), "ce-subject"), cases[i].header);
        ck_assert_ptr_null(http_script_header(received(i), "ce-evil"));
    }
}
END_TEST

START_TEST(http_long_key_is_cut_in_its_header)
{
    char key[3000];
    memset(key, '"', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    const struct event event = {"public", "t", key, "{}", 'c'};
    rig.context.encoding = &binary;
    rig.options.mode = HTTP_MODE_SINGLE;
    ck_assert_int_eq(answer_to(make_batch(&event, 1))->status, FAN_OK);
    ck_assert_uint_eq(strspn(strstr(received(0)->head, "ce-partitionkey: ") + 17, "%2"),
                      3 * CLOUDEVENTS_KEY_MAX);
}
END_TEST

START_TEST(http_binary_cloudevents_need_one_event_a_request)
{
    struct conf_text_pair pair = {.key = (char[]){"x-key"}, .value = (char[]){"v"}};
    struct http_options options = {.mode = HTTP_MODE_BATCH};
    ck_assert_ptr_nonnull(strstr(http_target_type.headers_fault(&options), "mode: single"));
    options.mode = HTTP_MODE_SINGLE;
    ck_assert_ptr_null(http_target_type.headers_fault(&options));
    options.headers = (struct conf_text_map){.pairs = &pair, .count = 1};
    ck_assert_ptr_null(http_target_type.headers_fault(&options));
    pair.key = (char[]){"CE-id"};
    ck_assert_ptr_nonnull(strstr(http_target_type.headers_fault(&options), "ce-"));
    pair.key = (char[]){"content-Type"};
    ck_assert_ptr_nonnull(strstr(http_target_type.headers_fault(&options), "content-type"));
}
END_TEST

struct status_case {
    const char *line;
    enum fan_status status;
    const char *code;
};

static const struct status_case status_cases[] = {
    {"200 OK", FAN_OK, ""},
    {"201 Created", FAN_OK, ""},
    {"299 Fine", FAN_OK, ""},
    {"300 Multiple Choices", FAN_FATAL, "HTTP_300"},
    {"301 Moved Permanently", FAN_FATAL, "HTTP_301"},
    {"307 Temporary Redirect", FAN_FATAL, "HTTP_307"},
    {"400 Bad Request", FAN_POISON, "HTTP_400"},
    {"401 Unauthorized", FAN_FATAL, "HTTP_401"},
    {"403 Forbidden", FAN_FATAL, "HTTP_403"},
    {"404 Not Found", FAN_POISON, "HTTP_404"},
    {"408 Request Timeout", FAN_RETRY, "HTTP_408"},
    {"409 Conflict", FAN_POISON, "HTTP_409"},
    {"410 Gone", FAN_FATAL, "HTTP_410"},
    {"413 Too Large", FAN_POISON, "HTTP_413"},
    {"422 Unprocessable", FAN_POISON, "HTTP_422"},
    {"429 Too Many Requests", FAN_RETRY, "HTTP_429"},
    {"500 Internal Server Error", FAN_RETRY, "HTTP_500"},
    {"502 Bad Gateway", FAN_RETRY, "HTTP_502"},
    {"503 Service Unavailable", FAN_RETRY, "HTTP_503"},
    {"504 Gateway Timeout", FAN_RETRY, "HTTP_504"},
    {"599 Odd", FAN_RETRY, "HTTP_599"},
};

START_TEST(http_status_gives_its_class)
{
    const struct status_case *expected = &status_cases[_i];
    char text[256];
    (void)snprintf(
        text, sizeof(text),
        "HTTP/1.1 %s\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 7\r\n\r\nbe\tcause",
        expected->line);
    http_script_add(script, HTTP_REPLY, text);
    const struct answer *answer = answer_to(make_plain(2));
    ck_assert_int_eq(answer->status, expected->status);
    ck_assert_uint_eq(answer->failed_count, 0);
    if (expected->status != FAN_OK) {
        ck_assert_str_eq(answer->error.code, expected->code);
        ck_assert_int_eq(answer->error.status, expected->status);
        char shown[128];
        (void)snprintf(shown, sizeof(shown), "\"http://127.0.0.1:%u\" answered %.3s: be\\tcau",
                       http_script_port(script), expected->line);
        ck_assert_msg(strncmp(answer->error.text, shown, strlen(shown)) == 0, "%s",
                      answer->error.text);
    }
    ck_assert_uint_eq(http_script_count(script), 1);
}
END_TEST

START_TEST(http_url_names_the_event_and_runs_of_equal_urls_share_a_request)
{
    static const struct event events[] = {
        {"public", "orders", "{\"id\":1}", "1", 'c'},
        {"public", "orders", "{\"id\":1}", "2", 'u'},
        {"public", "items", "{\"id\":1}", "3", 'c'},
        {"public", "orders", "{\"id\":1}", "4", 'd'},
    };
    rig_url(&rig, "%s/${source}/${schema}.${table}?a=b", url);
    const struct answer *answer = answer_to(make_batch(events, 4));
    ck_assert_int_eq(answer->status, FAN_OK);
    ck_assert_uint_eq(answer->failed_count, 0);
    ck_assert_uint_eq(http_script_count(script), 3);
    static const char *const paths[] = {"POST /ingest/shop/public.orders?a=b HTTP",
                                        "POST /ingest/shop/public.items?a=b HTTP",
                                        "POST /ingest/shop/public.orders?a=b HTTP"};
    static const char *const bodies[] = {"[1,2]", "[3]", "[4]"};
    for (size_t i = 0; i < 3; i++) {
        const struct http_received *got = received(i);
        assert_head(got, paths[i]);
        ck_assert_str_eq((const char *)got->body, bodies[i]);
        ck_assert_uint_eq(got->connection, 1);
    }
}
END_TEST

START_TEST(http_single_mode_sends_each_event_alone_in_order)
{
    static const struct event events[] = {
        {"public", "orders", "{\"id\":12345678901234567890}", "{\"a\":1}", 'c'},
        {"public", "orders", "{\"x\":[1,{\"id\":7}],\"id\":\"b\\u00e4/\\\"\"}", "{\"a\":2}", 'u'},
    };
    rig_url(&rig, "%s/${op}/${key.id}", url);
    rig.options.mode = HTTP_MODE_SINGLE;
    rig.options.method = HTTP_PUT;
    ck_assert_int_eq(answer_to(make_batch(events, 2))->status, FAN_OK);
    ck_assert_uint_eq(http_script_count(script), 2);
    const struct http_received *got = received(0);
    assert_head(got, "PUT /ingest/c/12345678901234567890 HTTP");
    ck_assert_str_eq((const char *)got->body, "{\"a\":1}");
    ck_assert_str_eq(http_script_header(got, "webhook-id"), id_of(0));
    got = received(1);
    assert_head(got, "PUT /ingest/u/b%C3%A4%2F%22 HTTP");
    ck_assert_str_eq((const char *)got->body, "{\"a\":2}");
    ck_assert_str_eq(http_script_header(got, "webhook-id"), id_of(1));
}
END_TEST

START_TEST(http_ndjson_has_a_line_an_event)
{
    rig.options.body = HTTP_BODY_NDJSON;
    rig.options.method = HTTP_PATCH;
    ck_assert_int_eq(answer_to(make_plain(2))->status, FAN_OK);
    const struct http_received *got = received(0);
    assert_head(got, "PATCH /ingest HTTP");
    ck_assert_str_eq(http_script_header(got, "content-type"), "application/x-ndjson");
    ck_assert_str_eq((const char *)got->body, "{\"n\":0,\"text\":\"a\\nb, [c]\"}\n"
                                              "{\"n\":1,\"text\":\"a\\nb, [c]\"}\n");
}
END_TEST

START_TEST(http_single_poison_event_keeps_what_was_accepted_and_stops)
{
    reply("200 OK", "");
    reply("400 No", "bad");
    rig.options.mode = HTTP_MODE_SINGLE;
    const struct answer *answer = answer_to(make_plain(4));
    assert_failed(answer, "1:p 2:r 3:r");
    ck_assert_ptr_nonnull(strstr(answer->failed[0].text, "answered 400: bad"));
    ck_assert_ptr_nonnull(strstr(answer->failed[1].text, "not sent"));
    ck_assert_str_eq(answer->error.code, "HTTP_400");
    ck_assert_uint_eq(http_script_count(script), 2);
}
END_TEST

START_TEST(http_single_poison_at_the_head_is_named)
{
    reply("422 No", "");
    rig.options.mode = HTTP_MODE_SINGLE;
    const struct answer *answer = answer_to(make_plain(3));
    assert_failed(answer, "0:p 1:r 2:r");
}
END_TEST

START_TEST(http_single_retry_and_fatal_after_an_accepted_event_are_retries)
{
    reply("200 OK", "");
    reply(_i == 0 ? "503 No\r\nretry-after: 7" : "401 No\r\nretry-after: 7", "");
    rig.options.mode = HTTP_MODE_SINGLE;
    const struct answer *answer = answer_to(make_plain(3));
    assert_failed(answer, "1:r 2:r");
    ck_assert_int_eq(answer->retry_after_us, _i == 0 ? 7 * SECOND_US : 0);
}
END_TEST

START_TEST(http_run_of_several_that_is_refused_is_sent_again)
{
    reply("200 OK", "");
    reply("400 No", "");
    rig_url(&rig, "%s/${table}", url);
    const struct answer *answer = answer_to(make_batch(abba, 4));
    assert_failed(answer, "1:r 2:r 3:r");
}
END_TEST

START_TEST(http_failed_list_names_events_of_the_run)
{
    char body[600];
    (void)snprintf(
        body, sizeof(body),
        " {\"x\":{},\"failed\":[{\"id\":\"%s\",\"retry\":false,\"error\":\"no\\u0007%c\"},"
        "{\"id\":\"%s\",\"retry\":true},{\"id\":\"%s\",\"more\":1}]}",
        id_of(3), '!', id_of(0), id_of(1));
    reply("200 OK", body);
    const struct answer *answer = answer_to(make_plain(5));
    assert_failed(answer, "0:r 1:r 3:p");
    ck_assert_str_eq(answer->failed[2].text, "no\\u0007!");
    ck_assert_str_eq(answer->failed[1].text, "");
    ck_assert_ptr_nonnull(strstr(answer->error.text, "did not take 3 of 5 events: no"));
}
END_TEST

START_TEST(http_failed_list_of_a_later_run_keeps_the_earlier_one)
{
    char body[300];
    (void)snprintf(body, sizeof(body), "{\"failed\":[{\"id\":\"%s\",\"retry\":false}]}", id_of(2));
    reply("200 OK", "");
    reply("200 OK", body);
    rig_url(&rig, "%s/${table}", url);
    const struct answer *answer = answer_to(make_batch(abba, 4));
    assert_failed(answer, "2:p 3:r");
}
END_TEST

/* Bodies of a 2xx; ID0 and ID1 stand for the ids of a batch of two. */
static const struct {
    const char *body;
    enum fan_status status;
} answer_bodies[] = {
    {"", FAN_OK},
    {"ok", FAN_OK},
    {"{}", FAN_OK},
    {"null", FAN_OK},
    {"[{\"failed\":1}]", FAN_OK},
    {"{\"failed\":[]}", FAN_OK},
    {"{oops}", FAN_OK},
    {"<html>failed</html>", FAN_OK},
    {"{\"data\":{\"failed\":[1]}}", FAN_OK},
    {"{\"failed\":null}", FAN_RETRY},
    {"{\"failed\":{}}", FAN_RETRY},
    {"{\"failed\":true}", FAN_RETRY},
    {"{\"failed\":[1]}", FAN_RETRY},
    {"{\"failed\":[{}]}", FAN_RETRY},
    {"{\"failed\":[{\"id\":7}]}", FAN_RETRY},
    {"{\"failed\":[{\"id\":\"ID0\",\"retry\":1}]}", FAN_RETRY},
    {"{\"failed\":[{\"id\":\"ID0\",\"retry\":null}]}", FAN_RETRY},
    {"{\"failed\":[{\"id\":\"ID0\",\"error\":{}}]}", FAN_RETRY},
    {"{\"failed\":[{\"id\":\"ID0\"},{\"id\":\"ID0\"}]}", FAN_RETRY},
    {"{\"failed\":[{\"id\":\"ID0\"},{\"id\":\"ID1\"},{\"id\":\"ID1\"}]}", FAN_RETRY},
    {"{\"failed\":[{\"id\":\"ID00\"}]}", FAN_RETRY},
    {"{\"failed\":[{\"id\":\"\"}]}", FAN_RETRY},
    {"{\"failed\":[{\"id\":\"x\"}]}", FAN_RETRY},
    {"{\"failed\":[{\"id\":\"7002-pgfan_shop-0000000000000100-00000001\"}]}", FAN_RETRY},
    {"{\"failed\":[{\"id\":\"7001-pgfan_shop-0000000000000100-00000002\"}]}", FAN_RETRY},
    {"{\"failed\":[{\"id\":\"7001-pgfan_shop-0000000000000102-00000001\"}]}", FAN_RETRY},
    {"{\"failed\":[{\"id\":\"7001-pgfan_shop-0000000000000100-m\"}]}", FAN_RETRY},
    {"{\"failed\":[{\"id\":\"7001-pgfan_shop-0000000000000100-00000001-g\"}]}", FAN_RETRY},
    {"{\"failed\":[],\"failed\":[]}", FAN_RETRY},
    {"{\"failed\":[]", FAN_RETRY},
    {"{\"failed\":[{\"id\":\"ID0\"", FAN_RETRY},
    {"{\"fai", FAN_RETRY},
    {"{", FAN_RETRY},
    {"  {\"a\":\"\xc3", FAN_RETRY},
};

static void replace_all(char *text, const char *from, const char *with)
{
    char *at;
    while ((at = strstr(text, from)) != NULL) {
        size_t rest = strlen(at + strlen(from)) + 1;
        memmove(at + strlen(with), at + strlen(from), rest);
        memcpy(at, with, strlen(with));
    }
}

START_TEST(http_answer_body_is_understood_or_the_request_retried)
{
    char body[800];
    (void)snprintf(body, sizeof(body), "%s", answer_bodies[_i].body);
    replace_all(body, "ID0", id_of(0));
    replace_all(body, "ID1", id_of(1));
    reply("200 OK", body);
    const struct answer *answer = answer_to(make_plain(2));
    ck_assert_msg(answer->status == answer_bodies[_i].status, "%s", body);
    ck_assert_uint_eq(answer->failed_count, 0);
    ck_assert_ptr_null(answer->failed);
    if (answer->status == FAN_RETRY) {
        ck_assert_str_eq(answer->error.code, "HTTP_ANSWER");
    }
}
END_TEST

START_TEST(http_answer_is_bounded)
{
    char *text = malloc(REPLY_SIZE_MAX + 200);
    ck_assert_ptr_nonnull(text);
    for (size_t more = 0; more < 2; more++) {
        int head = snprintf(text, 200, "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\n\r\n",
                            REPLY_SIZE_MAX + more);
        memset(text + head, 'x', REPLY_SIZE_MAX + more);
        text[(size_t)head + REPLY_SIZE_MAX + more] = '\0';
        http_script_add(script, HTTP_REPLY, text);
        const struct answer *answer = answer_to(make_plain(2));
        ck_assert_int_eq(answer->status, more == 0 ? FAN_OK : FAN_RETRY);
        rig_end(&rig);
        rig_init(&rig);
    }
    free(text);
}
END_TEST

static const struct {
    enum http_step_kind kind;
    const char *text;
    enum fan_status status;
    const char *code;
} broken_answers[] = {
    {HTTP_FLOOD, "HTTP/1.1 200 OK\r\n\r\n", FAN_RETRY, "HTTP_ANSWER"},
    {HTTP_FLOOD, "HTTP/1.1 400 No\r\n\r\n", FAN_POISON, "HTTP_400"},
    {HTTP_FLOOD, "HTTP/1.1 500 No\r\n\r\n", FAN_RETRY, "HTTP_500"},
    {HTTP_FLOOD, "HTTP/1.1 200 OK\r\nx: ", FAN_RETRY, NULL},
    {HTTP_FLOOD, "", FAN_RETRY, NULL},
    {HTTP_HANG, "", FAN_RETRY, "HTTP_TIMEOUT"},
    {HTTP_DRIP, "HTTP/1.1 200 OK\r\ncontent-length: 80\r\n\r\nokokokokokokokokokokokokokokokokok",
     FAN_RETRY, "HTTP_TIMEOUT"},
    {HTTP_DRIP, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n", FAN_RETRY, NULL},
    {HTTP_REPLY_RESET, "", FAN_RETRY, "HTTP_TRANSFER"},
    {HTTP_REPLY_RESET, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok", FAN_RETRY, NULL},
    {HTTP_REPLY_CLOSE, "", FAN_RETRY, "HTTP_TRANSFER"},
    {HTTP_REPLY_CLOSE, "HTTP/1.1 200 OK\r\n", FAN_RETRY, NULL},
    {HTTP_REPLY_CLOSE, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok", FAN_RETRY, NULL},
    {HTTP_REPLY_CLOSE, "HTTP/1.1 400 No\r\ncontent-length: 5\r\n\r\nok", FAN_POISON, "HTTP_400"},
    {HTTP_REPLY_CLOSE, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nok\r\n",
     FAN_RETRY, NULL},
    {HTTP_REPLY_CLOSE, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nok\r\n",
     FAN_RETRY, NULL},
    {HTTP_REPLY_CLOSE, "HTTP/1.1 200 OK\r\n\r\nok", FAN_OK, NULL},
    {HTTP_REPLY_CLOSE,
     "HTTP/1.1 103 Early Hints\r\nretry-after: 9\r\n\r\nHTTP/1.1 200 OK\r\n\r\nok", FAN_OK, NULL},
    {HTTP_REPLY_CLOSE, "SMTP hello\r\n", FAN_RETRY, NULL},
};

START_TEST(http_broken_answer_gives_its_class)
{
    http_script_add(script, broken_answers[_i].kind, broken_answers[_i].text);
    rig.options.timeout_us = 400000;
    int64_t before_us = clock_monotonic_us();
    const struct answer *answer = answer_to(make_plain(2));
    ck_assert_msg(answer->status == broken_answers[_i].status, "%s %s", answer->error.code,
                  answer->error.text);
    if (broken_answers[_i].code != NULL) {
        ck_assert_str_eq(answer->error.code, broken_answers[_i].code);
    }
    ck_assert_int_lt(clock_monotonic_us() - before_us, 5 * SECOND_US);
}
END_TEST

START_TEST(http_deadline_bounds_all_runs_of_a_request)
{
    reply("200 OK", "");
    http_script_add(script, HTTP_HANG, "");
    rig.options.mode = HTTP_MODE_SINGLE;
    rig.context.deadline_us = 400000;
    int64_t before_us = clock_monotonic_us();
    const struct answer *answer = answer_to(make_plain(3));
    assert_failed(answer, "1:r 2:r");
    ck_assert_str_eq(answer->error.code, "HTTP_TIMEOUT");
    ck_assert_int_lt(clock_monotonic_us() - before_us, 4 * SECOND_US);
}
END_TEST

START_TEST(http_nobody_listening_is_a_retry)
{
    struct http_script *gone = http_script_start();
    rig_url(&rig, "http://127.0.0.1:%u/", http_script_port(gone));
    http_script_stop(gone);
    const struct answer *answer = answer_to(make_plain(1));
    ck_assert_int_eq(answer->status, FAN_RETRY);
    ck_assert_str_eq(answer->error.code, "HTTP_CONNECT");
}
END_TEST

START_TEST(http_kept_connection_that_was_closed_is_made_anew)
{
    for (size_t i = 0; i < 10; i++) {
        http_script_add(script, HTTP_REPLY_CLOSE, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        const struct answer *answer = answer_to(make_plain(200));
        ck_assert_msg(answer->status == FAN_OK, "%s", answer->error.text);
    }
}
END_TEST

START_TEST(http_retry_after_is_honoured_in_both_forms)
{
    static const char *const forms[] = {"120", "Sun, 06 Nov 2994 08:49:37 GMT", "x", "-5", ""};
    static const int64_t waits[] = {120 * SECOND_US, 3600 * SECOND_US, 0, 0, 0};
    char head[100];
    (void)snprintf(head, sizeof(head), "503 No\r\nRetry-After:   %s ", forms[_i]);
    reply(head, "");
    const struct answer *answer = answer_to(make_plain(1));
    ck_assert_int_eq(answer->status, FAN_RETRY);
    ck_assert_int_eq(answer->retry_after_us, waits[_i]);
}
END_TEST

START_TEST(reply_retry_after_reads_seconds_and_dates)
{
    const int64_t now_us = INT64_C(784111777) * SECOND_US; /* Sun, 06 Nov 1994 08:49:37 GMT */
    static const struct {
        const char *text;
        int64_t seconds;
    } cases[] = {
        {"0", 0},
        {"1", 1},
        {"3599", 3599},
        {"3600", 3600},
        {"3601", 3600},
        {"99999999999999999999999999", 3600},
        {"1.5", 0},
        {"+1", 0},
        {"soon", 0},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 0},
        {"Sun, 06 Nov 1994 08:50:07 GMT", 30},
        {"Sunday, 06-Nov-94 08:50:07 GMT", 30},
        {"Sun Nov  6 08:50:07 1994", 30},
        {"Sun, 06 Nov 1994 10:00:00 GMT", 3600},
        {"Sun, 06 Nov 1993 08:50:07 GMT", 0},
    };
    for (size_t i = 0; i < CONF_COUNT(cases); i++) {
        ck_assert_msg(reply_retry_after_us(cases[i].text, now_us) == cases[i].seconds * SECOND_US,
                      "%s", cases[i].text);
    }
}
END_TEST

/* Undoes gzip with zlib's own reader. */
static size_t gunzip(const struct http_received *got, uint8_t *out, size_t size)
{
    z_stream stream = {.next_in = got->body,
                       .avail_in = (uInt)got->body_size,
                       .next_out = out,
                       .avail_out = (uInt)size};
    ck_assert_int_eq(inflateInit2(&stream, 15 + 16), Z_OK);
    ck_assert_int_eq(inflate(&stream, Z_FINISH), Z_STREAM_END);
    ck_assert_uint_eq(stream.avail_in, 0);
    ck_assert_int_eq(inflateEnd(&stream), Z_OK);
    return size - stream.avail_out;
}

/* Computed with the one-shot function of another API. */
static void sign_again(const char *base64, const struct http_received *got, const uint8_t *body,
                       size_t size, char out[128])
{
    uint8_t key[128];
    uint8_t code[32];
    unsigned length = sizeof(code);
    char text[512];
    int key_size = EVP_DecodeBlock(key, (const unsigned char *)base64, (int)strlen(base64));
    key_size -= base64[strlen(base64) - 1] == '=' ? 1 : 0;
    int head = snprintf(text, sizeof(text), "%s.", http_script_header(got, "webhook-id"));
    head += snprintf(text + head, sizeof(text) - (size_t)head, "%s.",
                     http_script_header(got, "webhook-timestamp"));
    uint8_t *message = malloc((size_t)head + size);
    ck_assert_ptr_nonnull(message);
    memcpy(message, text, (size_t)head);
    memcpy(message + head, body, size);
    ck_assert_ptr_nonnull(
        HMAC(EVP_sha256(), key, key_size, message, (size_t)head + size, code, &length));
    free(message);
    memcpy(out, "v1,", 3);
    (void)EVP_EncodeBlock((unsigned char *)out + 3, code, (int)length);
}

#define NEW_KEY "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define OLD_KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

START_TEST(http_gzip_body_is_signed_before_it_is_compressed)
{
    rig.options.compression = HTTP_COMPRESSION_GZIP;
    set_secret(&rig.options.signing_secret, "whsec_" NEW_KEY);
    set_secret(&rig.options.signing_secret_old, "whsec_" OLD_KEY);
    ck_assert_int_eq(answer_to(make_plain(20000))->status, FAN_OK);
    ck_assert_int_eq(answer_to(make_plain(1))->status, FAN_OK);
    static uint8_t body[1 << 20];
    for (size_t i = 0; i < 2; i++) {
        const struct http_received *got = received(i);
        ck_assert_str_eq(http_script_header(got, "content-encoding"), "gzip");
        size_t size = gunzip(got, body, sizeof(body));
        json_t *json = json_loadb((const char *)body, size, 0, NULL);
        ck_assert_uint_eq(json_array_size(json), i == 0 ? 20000 : 1);
        json_decref(json);
        char first[128];
        char second[128];
        char expected[300];
        sign_again(NEW_KEY, got, body, size, first);
        sign_again(OLD_KEY, got, body, size, second);
        (void)snprintf(expected, sizeof(expected), "%s %s", first, second);
        ck_assert_str_eq(http_script_header(got, "webhook-signature"), expected);
    }
    ck_assert_uint_lt(received(0)->body_size, 200000);
}
END_TEST

START_TEST(signature_matches_the_published_vector)
{
    static const char payload[] = "{\"test\": 2432232314}";
    struct secret secret = {0};
    const struct secret unset = {0};
    struct signer signer;
    struct signing signing;
    struct bytes out;
    bytes_init(&out, 1000);
    set_secret(&secret, "whsec_" NEW_KEY);
    ck_assert_int_eq(signer_init(&signer, &secret, &unset, NULL), FAN_OK);
    signing_begin(&signing, &signer, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330");
    for (size_t i = 0; i < sizeof(payload) - 1; i++) {
        signing_update(&signing, payload + i, 1);
    }
    ck_assert(signing_finish(&signing, &out));
    ck_assert_str_eq(bytes_text(&out), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    bytes_release(&out);
    signer_release(&signer);
    secret_release(&secret);
}
END_TEST

START_TEST(signature_secret_is_checked)
{
    char text[200];
    for (size_t size = 0; size <= 70; size++) {
        uint8_t key[70] = {0};
        memcpy(text, "whsec_", 7);
        (void)EVP_EncodeBlock((unsigned char *)text + 6, key, (int)size);
        ck_assert_msg(signature_secret_valid(text) == (size >= 24 && size <= 64), "%zu", size);
    }
    ck_assert(!signature_secret_valid(""));
    ck_assert(!signature_secret_valid("whsec_"));
    ck_assert(!signature_secret_valid(NEW_KEY));
    ck_assert(!signature_secret_valid("whsk_" NEW_KEY));
    ck_assert(!signature_secret_valid("whsec_" NEW_KEY "="));
    ck_assert(!signature_secret_valid("whsec_ " NEW_KEY));
    ck_assert(!signature_secret_valid("whsec_" NEW_KEY "\n"));
    ck_assert(!signature_secret_valid("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaL-_w"));
    ck_assert(!signature_secret_valid("whsec_====" NEW_KEY));
}
END_TEST

static const struct {
    const char *address;
    bool is_private;
} addresses[] = {
    {"0.0.0.0", true},
    {"0.255.255.255", true},
    {"1.0.0.0", false},
    {"9.255.255.255", false},
    {"10.0.0.0", true},
    {"10.255.255.255", true},
    {"11.0.0.0", false},
    {"100.63.255.255", false},
    {"100.64.0.0", true},
    {"100.127.255.255", true},
    {"100.128.0.0", false},
    {"126.255.255.255", false},
    {"127.0.0.1", true},
    {"127.255.255.255", true},
    {"128.0.0.0", false},
    {"169.253.255.255", false},
    {"169.254.0.0", true},
    {"169.254.169.254", true},
    {"169.255.0.0", false},
    {"172.15.255.255", false},
    {"172.16.0.0", true},
    {"172.31.255.255", true},
    {"172.32.0.0", false},
    {"192.0.0.8", true},
    {"192.0.2.1", true},
    {"192.167.255.255", false},
    {"192.168.0.0", true},
    {"192.168.255.255", true},
    {"192.169.0.0", false},
    {"198.18.0.1", true},
    {"198.19.255.255", true},
    {"198.20.0.0", false},
    {"203.0.113.9", true},
    {"223.255.255.255", false},
    {"224.0.0.1", true},
    {"239.255.255.250", true},
    {"240.0.0.1", true},
    {"255.255.255.255", true},
    {"8.8.8.8", false},
    {"::", true},
    {"::1", true},
    {"::8.8.8.8", true},
    {"::ffff:8.8.8.8", true},
    {"::ffff:127.0.0.1", true},
    {"::ffff:a9fe:a9fe", true},
    {"64:ff9b::7f00:1", true},
    {"64:ff9b:1::1", true},
    {"100::1", true},
    {"2001::1", true},
    {"2001:db8::1", true},
    {"2002:7f00:1::", true},
    {"2000::1", false},
    {"2001:4860:4860::8888", false},
    {"2600::1", false},
    {"fc00::1", true},
    {"fdff::1", true},
    {"fe80::1", true},
    {"febf::1", true},
    {"fec0::1", true},
    {"ff02::1", true},
};

START_TEST(guard_knows_private_addresses)
{
    for (size_t i = 0; i < CONF_COUNT(addresses); i++) {
        const char *address = addresses[i].address;
        bool is_private = addresses[i].is_private;
        ck_assert_msg(guard_allows_text(GUARD_PUBLIC, address) == !is_private, "%s", address);
        ck_assert_msg(guard_allows_text(GUARD_PRIVATE, address) == is_private, "%s", address);
        ck_assert_msg(guard_allows_text(GUARD_ANY, address), "%s", address);
        ck_assert_msg(guard_host_is_private_literal(address) == is_private, "%s", address);
    }
    ck_assert(!guard_allows_text(GUARD_ANY, "example.org"));
    ck_assert(!guard_allows_text(GUARD_ANY, ""));
    ck_assert(guard_host_is_private_literal("[::1]"));
    const struct sockaddr other = {.sa_family = AF_UNIX};
    ck_assert(!guard_allows(GUARD_ANY, &other));
}
END_TEST

/* Spellings of hosts, and what the name rebound.test then resolves to. */
static const struct {
    const char *host;
    const char *address;
} hidden_hosts[] = {
    {"127.0.0.1", NULL},
    {"localhost", NULL},
    {"2130706433", NULL},
    {"0x7f000001", NULL},
    {"0x7f.1", NULL},
    {"017700000001", NULL},
    {"[::1]", NULL},
    {"[::ffff:127.0.0.1]", NULL},
    {"[::ffff:7f00:1]", NULL},
    {"169.254.169.254", NULL},
    {"2852039166", NULL},
    {"rebound.test", "127.0.0.1"},
    {"rebound.test", "::1"},
    {"rebound.test", "169.254.169.254"},
    {"rebound.test", "10.1.2.3"},
    {"rebound.test", "::ffff:127.0.0.1"},
    {"rebound.test", "2130706433"},
    {"rebound.test", "0x7f.0.0.1"},
    {"rebound.test", "fd00::1"},
    {"rebound.test", "64:ff9b::7f00:1"},
};

START_TEST(http_private_address_is_refused_when_connecting)
{
    rig_url(&rig, "https://%s:%u/", hidden_hosts[_i].host, http_script_port(script));
    rig.options.allow_private = false;
    resolver_address = hidden_hosts[_i].address;
    const struct answer *answer = answer_to(make_plain(1));
    ck_assert_msg(answer->status == FAN_FATAL, "%s", answer->error.text);
    ck_assert_str_eq(answer->error.code, "HTTP_ADDRESS_REFUSED");
    ck_assert_uint_eq(http_script_count(script), 0);
}
END_TEST

START_TEST(http_plain_text_goes_to_no_public_address)
{
    rig_url(&rig, "http://rebound.test/");
    resolver_address = "8.8.8.8";
    const struct answer *answer = answer_to(make_plain(1));
    ck_assert_int_eq(answer->status, FAN_FATAL);
    ck_assert_str_eq(answer->error.code, "HTTP_ADDRESS_REFUSED");
}
END_TEST

static void resolver_set_hanging(bool hangs)
{
    (void)pthread_mutex_lock(&resolver_lock);
    resolver_hangs = hangs;
    (void)pthread_cond_broadcast(&resolver_changed);
    (void)pthread_mutex_unlock(&resolver_lock);
}

/* Waits until that many look-ups wait. */
static void resolver_wait(unsigned count)
{
    (void)pthread_mutex_lock(&resolver_lock);
    while (resolver_waiting != count) {
        (void)pthread_cond_wait(&resolver_changed, &resolver_lock);
    }
    (void)pthread_mutex_unlock(&resolver_lock);
}

START_TEST(http_hanging_name_server_holds_nobody)
{
    resolver_set_hanging(true);
    static struct rig slow;
    rig_init(&slow);
    rig_url(&slow, "http://slow.test/");
    slow.options.timeout_us = 300000;
    ck_assert_int_eq(rig_request(&slow, 0, make_plain(1)), FAN_OK);
    resolver_wait(1);
    int64_t before_us = clock_monotonic_us();
    ck_assert_int_eq(answer_to(make_plain(1))->status, FAN_OK);
    const struct answer *answer = rig_wait(&slow, 0);
    ck_assert_int_eq(answer->status, FAN_RETRY);
    ck_assert_str_eq(answer->error.code, "HTTP_TIMEOUT");
    slow.options.timeout_us = 100 * SECOND_US;
    slow.context.deadline_us = 0;
    ck_assert_int_eq(rig_request(&slow, 0, make_plain(1)), FAN_OK);
    resolver_wait(2);
    ck_assert_int_eq(answer_to(make_plain(1))->status, FAN_OK);
    rig_end(&slow);
    rig_end(&rig);
    ck_assert_int_lt(clock_monotonic_us() - before_us, 5 * SECOND_US);
    resolver_set_hanging(false);
    resolver_wait(0);
}
END_TEST

START_TEST(http_stop_ends_open_requests_without_an_answer)
{
    rig.options.timeout_us = 100 * SECOND_US;
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < REQUESTS_MAX; i++) {
            http_script_add(script, HTTP_HANG, "");
            ck_assert_int_eq(rig_request(&rig, i, make_plain(3)), FAN_OK);
        }
        ck_assert_int_eq(rig_request(&rig, REQUESTS_MAX, make_plain(3)), FAN_AGAIN);
        if (round < 2) { /* the third time it is stopped at once */
            ck_assert(http_script_wait(script, (round + 1) * REQUESTS_MAX));
        }
        int64_t before_us = clock_monotonic_us();
        http_target_type.stop(rig.target);
        ck_assert_int_lt(clock_monotonic_us() - before_us, 5 * SECOND_US);
        ck_assert_uint_eq(rig.sink.answered, 0);
        struct fan_error error;
        ck_assert_int_eq(http_target_type.start(rig.target, NULL, &error), FAN_OK);
    }
}
END_TEST

START_TEST(http_answered_request_leaves_room_at_once)
{
    rig.context.requests_max = 1;
    for (size_t i = 0; i < 300; i++) {
        ck_assert_int_eq(answer_to(make_plain(1 + i % 7))->status, FAN_OK);
    }
}
END_TEST

START_TEST(http_targets_share_one_thread_and_many_requests)
{
    enum { RIGS = 6, ROUNDS = 20 };
    static struct rig rigs[RIGS];
    for (size_t i = 0; i < RIGS; i++) {
        rig_init(&rigs[i]);
        rig_start(&rigs[i]);
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < RIGS; i++) {
            for (size_t lane = 0; lane < REQUESTS_MAX; lane++) {
                ck_assert_int_eq(rig_request(&rigs[i], lane, make_plain(10)), FAN_OK);
            }
        }
        for (size_t i = 0; i < RIGS; i++) {
            for (size_t lane = 0; lane < REQUESTS_MAX; lane++) {
                ck_assert_int_eq(rig_wait(&rigs[i], lane)->status, FAN_OK);
            }
        }
    }
    for (size_t i = 0; i < RIGS; i++) {
        ck_assert_uint_eq(rigs[i].sink.answered, (size_t)ROUNDS * REQUESTS_MAX);
        rig_end(&rigs[i]);
    }
    ck_assert_uint_eq(http_script_count(script), (size_t)RIGS * ROUNDS * REQUESTS_MAX);
}
END_TEST

static char username[] = "joe";

START_TEST(http_credentials_and_headers_are_sent)
{
    static char texts[][32] = {"X-Api-Key",          "k",       "Content-Type",
                               "application/x-mine", "X-Empty", ""};
    static struct conf_text_pair pairs[] = {
        {texts[0], texts[1]}, {texts[2], texts[3]}, {texts[4], texts[5]}};
    rig.options.headers = (struct conf_text_map){pairs, 3};
    set_secret(&rig.options.bearer_token, "S3CR3T-token");
    ck_assert_int_eq(answer_to(make_plain(1))->status, FAN_OK);
    const struct http_received *got = received(0);
    ck_assert_str_eq(http_script_header(got, "authorization"), "Bearer S3CR3T-token");
    ck_assert_str_eq(http_script_header(got, "x-api-key"), "k");
    ck_assert_str_eq(http_script_header(got, "content-type"), "application/x-mine");
    ck_assert_str_eq(http_script_header(got, "x-empty"), "");
    ck_assert_str_eq(http_script_header(got, "user-agent"), "pgfan");
    rig_end(&rig);
    rig_init(&rig);
    rig.options.username = username;
    set_secret(&rig.options.password, "S3CR3T:p\xc3\xa4ss");
    ck_assert_int_eq(answer_to(make_plain(1))->status, FAN_OK);
    ck_assert_str_eq(http_script_header(received(1), "authorization"),
                     "Basic am9lOlMzQ1IzVDpww6Rzcw==");
}
END_TEST

START_TEST(http_secrets_that_come_back_are_not_shown)
{
    static char name[] = "x-key";
    static char value[] = "S3CR3T-header";
    static struct conf_text_pair pairs[] = {{name, value}};
    char body[500];
    (void)snprintf(body, sizeof(body),
                   "you sent S3CR3T-password as am9lOlMzQ1IzVC1wYXNzd29yZA== and S3CR3T-header, "
                   "whsec_" NEW_KEY "; \x1b[31m\xe2\x80\xae%s",
                   "end");
    reply("400 No", body);
    rig.options.headers = (struct conf_text_map){pairs, 1};
    rig.options.username = username;
    set_secret(&rig.options.password, "S3CR3T-password");
    set_secret(&rig.options.signing_secret, "whsec_" NEW_KEY);
    rig_url(&rig, "%s?token=S3CR3T-query", url);
    const struct answer *answer = answer_to(make_plain(1));
    ck_assert_int_eq(answer->status, FAN_POISON);
    ck_assert_ptr_null(strstr(answer->error.text, "S3CR3T"));
    ck_assert_ptr_null(strstr(answer->error.text, "am9l"));
    ck_assert_ptr_null(strstr(answer->error.text, "MfKQ"));
    ck_assert_ptr_null(strchr(answer->error.text, '\x1b'));
    ck_assert_ptr_nonnull(strstr(answer->error.text, "you sent *************** as"));
    ck_assert_uint_lt(strlen(answer->error.text), 300);
}
END_TEST

START_TEST(http_event_without_a_url_is_poison)
{
    static const struct event events[] = {
        {"public", "orders", "{\"id\":1}", "1", 'c'},
        {"public", "orders", "", "2", 't'},
        {"public", "orders", "{\"id\":3}", "3", 'c'},
    };
    rig_url(&rig, "%s/${key.id}", url);
    const struct answer *answer = answer_to(make_batch(events, 3));
    assert_failed(answer, "1:p 2:r");
    ck_assert_str_eq(answer->error.code, "HTTP_URL");
    ck_assert_int_eq(rig_request(&rig, 0, make_batch(events + 1, 2)), FAN_POISON);
    ck_assert_ptr_nonnull(strstr(rig.error.text, "column \"id\""));
    ck_assert_int_eq(rig_request(&rig, 0, make_batch(events + 1, 1)), FAN_POISON);
    ck_assert_int_eq(answer_to(make_batch(events + 2, 1))->status, FAN_OK);
    ck_assert_uint_eq(http_script_count(script), 2);
}
END_TEST

/* Renders `https://h/a/${key.k}/${table}` with a key column and a table; "" when it is poison. */
static void render(const char *template, const char *key, const char *table, char *out, size_t size)
{
    struct url_template parsed;
    struct bytes made;
    struct fan_error error = {0};
    const struct batch_label label = {.schema = "s",
                                      .schema_size = 1,
                                      .table = table,
                                      .table_size = strlen(table),
                                      .key = key,
                                      .key_size = strlen(key)};
    ck_assert_ptr_null(url_template_parse(template, &parsed));
    bytes_init(&made, URL_ROOM);
    const struct encode_context names = {.source = "src"};
    const struct batch_event event = {.op = 'u'};
    const struct event_subject subject = {.encode = &names, .label = &label, .event = &event};
    enum fan_status status = url_template_render(&parsed, &subject, &made, &error);
    if (status != FAN_OK) {
        ck_assert_int_eq(status, FAN_POISON);
        ck_assert_str_eq(error.code, "HTTP_URL");
    }
    (void)snprintf(out, size, "%s", status == FAN_OK ? bytes_text(&made) : "");
    bytes_release(&made);
    url_template_release(&parsed);
}

static const struct {
    const char *template;
    const char *key;
    const char *table;
    const char *expected; /* "" is poison */
} renderings[] = {
    {"https://h/a/${key.k}", "{\"k\":\"x\"}", "t", "https://h/a/x"},
    {"https://h/a/${key.k}", "{ \"j\" : [\"}\",{\"k\":1}] , \"k\" : -1.50e7 }", "t",
     "https://h/a/-1.50e7"},
    {"https://h/a/${key.k}", "{\"k\":true}", "t", "https://h/a/true"},
    {"https://h/a/${key.k}", "{\"k\":\"../../etc/passwd\"}", "t",
     "https://h/a/..%2F..%2Fetc%2Fpasswd"},
    {"https://h/a/${key.k}", "{\"k\":\"?x=1#y&z%41;=+@:\\\\\"}", "t",
     "https://h/a/%3Fx%3D1%23y%26z%2541%3B%3D%2B%40%3A%5C"},
    {"https://h/a/${key.k}", "{\"k\":\"a\\r\\nx: y\\u0000\\t \"}", "t",
     "https://h/a/a%0D%0Ax%3A%20y%00%09%20"},
    {"https://h/a/${key.k}", "{\"k\":\"\\ud83d\\ude00\xe2\x82\xac\"}", "t",
     "https://h/a/%F0%9F%98%80%E2%82%AC"},
    {"https://h/a/${key.k}", "{\"k\":\"..\"}", "t", ""},
    {"https://h/a/${key.k}/b", "{\"k\":\".\"}", "t", ""},
    {"https://h/a/.${key.k}", "{\"k\":\".\"}", "t", ""},
    {"https://h/a/${key.k}", "{\"k\":\"...\"}", "t", "https://h/a/..."},
    {"https://h/a/x${key.k}", "{\"k\":\"..\"}", "t", "https://h/a/x.."},
    {"https://h/a/${key.k}", "{\"k\":\"\"}", "t", ""},
    {"https://h/a/${key.k}", "{\"k\":null}", "t", ""},
    {"https://h/a/${key.k}", "{\"K\":1,\"kk\":2}", "t", ""},
    {"https://h/a/${key.k}", "", "t", ""},
    {"https://h/a/${key.k}", "{}", "t", ""},
    {"https://h/a/${key.k}", "[1]", "t", ""},
    {"https://h/a/${key.k}", "{\"k\":\"x", "t", ""},
    {"https://h/a/${key.k}", "{\"k\":\"\\ud83d\"}", "t", ""},
    {"https://h/a/${key.k}", "{\"k\":\"\\q\"}", "t", ""},
    {"https://h/a/${key.k}", "{\"k\":[1,2]}", "t", "https://h/a/%5B1%2C2%5D"},
    {"https://h/a/${key.k b}", "{\"k b\":1}", "t", ""},
    {"https://h/${table}/${schema}/${op}/${source}?q=a/../b", "", "T \xc3\xa4",
     "https://h/T%20%C3%A4/s/u/src?q=a/../b"},
    {"https://h/${table}", "", "", ""},
    {"https://h:8443/fixed", "", "", "https://h:8443/fixed"},
    {"https://h", "", "", "https://h"},
};

START_TEST(url_template_encodes_what_it_fills_in)
{
    if (strchr(renderings[_i].template, ' ') != NULL) { /* no URL may hold a space */
        struct url_template parsed;
        ck_assert_ptr_nonnull(url_template_parse(renderings[_i].template, &parsed));
        return;
    }
    char out[300];
    render(renderings[_i].template, renderings[_i].key, renderings[_i].table, out, sizeof(out));
    ck_assert_str_eq(out, renderings[_i].expected);
}
END_TEST

START_TEST(url_template_bounds_what_it_fills_in)
{
    static char key[5 * URL_SIZE_MAX];
    static char out[2 * URL_SIZE_MAX];
    for (size_t size = URL_SIZE_MAX - 100; size < sizeof(key) - 100;
         size += size < URL_SIZE_MAX + 10 ? 1 : 997) {
        int head = snprintf(key, sizeof(key), "{\"k\":\"");
        memset(key + head, 'x', size);
        memcpy(key + head + size, "\"}", 3);
        render("https://h/${key.k}", key, "t", out, sizeof(out));
        bool fits = size + strlen("https://h/") <= URL_SIZE_MAX;
        ck_assert_uint_eq(strlen(out), fits ? size + strlen("https://h/") : 0);
    }
}
END_TEST

START_TEST(url_template_refuses_what_is_no_address)
{
    static const char *const urls[] = {
        "",
        "h",
        "ftp://h/",
        "HTTPS://h/",
        "https:/h",
        "https://",
        "https:///x",
        "https://h:99999/",
        "https://h:x/",
        "https://user@h/",
        "https://user:pass@h/",
        "https://${table}/",
        "https://h${table}/",
        "https://h:${key.port}/",
        "${schema}://h/",
        "https://h?${table}",
        "https://h/?a=${table}",
        "https://h/#a",
        "https://h/a b",
        "https://h/\x01",
        "https://h/\r\nx",
        "https://h/\xc3\xa4",
        "https://\xc3\xa4/",
        "https://h/\\x",
        "https://h/../x",
        "https://h/./x",
        "https://h/x/..",
        "https://h/${tables}",
        "https://h/${after.x}",
        "https://h/${key.}",
        "https://h/${key}",
        "https://h/${}",
        "https://h/${table",
        "https://h/${table}/${",
    };
    for (size_t i = 0; i < CONF_COUNT(urls); i++) {
        struct url_template parsed;
        const char *fault = url_template_parse(urls[i], &parsed);
        ck_assert_msg(fault != NULL, "%s", urls[i]);
        ck_assert_msg(strncmp(fault, "\"url\" ", 6) == 0, "%s", fault);
    }
}
END_TEST

/* What the rule of the option table says of options that `change` has made bad. */
static const char *fault_of(struct http_options *options)
{
    const char *key = NULL;
    const char *fault = http_options_table.rules[0](options, &key);
    ck_assert(fault == NULL || key != NULL);
    return fault;
}

START_TEST(http_headers_are_checked)
{
    static const struct {
        const char *name;
        const char *value;
        bool fine;
    } headers[] = {
        {"x-a", "b", true},
        {"X_a.b", "tab\there", true},
        {"content-type", "text/plain", true},
        {"authorization", "Custom x", true},
        {"", "b", false},
        {"x a", "b", false},
        {"x:", "b", false},
        {"x\r\ny", "b", false},
        {"x-\xc3\xa4", "b", false},
        {"x-a", "b\r\nevil: 1", false},
        {"x-a", "b\n", false},
        {"x-a", "\x01", false},
        {"x-a", "\x7f", false},
        {"x-a", "caf\xc3\xa9", false},
        {"Host", "h", false},
        {"content-length", "1", false},
        {"Transfer-Encoding", "chunked", false},
        {"webhook-id", "1", false},
        {"PGFAN-kind", "1", false},
        {"expect", "100-continue", false},
    };
    for (size_t i = 0; i < CONF_COUNT(headers); i++) {
        struct conf_text_pair pair = {strdup(headers[i].name), strdup(headers[i].value)};
        struct http_options options = {.url = (char[]){"https://h/"}, .headers = {&pair, 1}};
        ck_assert_msg((fault_of(&options) == NULL) == headers[i].fine, "%s: %s", headers[i].name,
                      headers[i].value);
        free(pair.key);
        free(pair.value);
    }
    struct conf_text_pair twice[] = {{(char[]){"x-a"}, (char[]){"1"}},
                                     {(char[]){"X-A"}, (char[]){"2"}}};
    struct http_options options = {.url = (char[]){"https://h/"}, .headers = {twice, 2}};
    ck_assert_ptr_nonnull(fault_of(&options));
}
END_TEST

START_TEST(http_options_hold_their_rules)
{
    char address[] = "https://h/";
    struct http_options fine = {.url = address};
    struct http_options options = fine;
    ck_assert_ptr_null(fault_of(&options));
    options.url = (char[]){"http://h/"};
    ck_assert_ptr_nonnull(fault_of(&options));
    options.allow_http = true;
    ck_assert_ptr_nonnull(fault_of(&options));
    options.allow_private = true;
    ck_assert_ptr_null(fault_of(&options));
    static const char *const hosts[] = {"https://127.0.0.1/", "https://[::1]/", "https://localhost",
                                        "https://0x7f.1/", "https://2130706433/"};
    for (size_t i = 0; i < CONF_COUNT(hosts); i++) {
        char *host = strdup(hosts[i]);
        options = fine;
        options.url = host;
        ck_assert_msg(fault_of(&options) != NULL, "%s", host);
        options.allow_private = true;
        ck_assert_msg(fault_of(&options) == NULL, "%s", host);
        free(host);
    }
    options = fine;
    options.username = (char[]){"u"};
    ck_assert_ptr_nonnull(fault_of(&options));
    set_secret(&options.password, "p");
    ck_assert_ptr_null(fault_of(&options));
    set_secret(&options.bearer_token, "t");
    ck_assert_ptr_nonnull(fault_of(&options));
    options.username = NULL;
    ck_assert_ptr_nonnull(fault_of(&options));
    secret_release(&options.password);
    ck_assert_ptr_null(fault_of(&options));
    set_secret(&options.bearer_token, "t\r\nx");
    ck_assert_ptr_nonnull(fault_of(&options));
    secret_release(&options.bearer_token);
    options.client_cert = (char[]){"/x"};
    ck_assert_ptr_nonnull(fault_of(&options));
    options.client_key = (char[]){"/y"};
    ck_assert_ptr_null(fault_of(&options));
    set_secret(&options.signing_secret_old, "whsec_" OLD_KEY);
    ck_assert_ptr_nonnull(fault_of(&options));
    set_secret(&options.signing_secret, "whsec_" NEW_KEY);
    ck_assert_ptr_null(fault_of(&options));
    set_secret(&options.signing_secret, NEW_KEY);
    ck_assert_ptr_nonnull(fault_of(&options));
    secret_release(&options.signing_secret);
    secret_release(&options.signing_secret_old);
    options.mode = HTTP_MODE_SINGLE;
    ck_assert_ptr_null(fault_of(&options));
    options.body = HTTP_BODY_NDJSON;
    ck_assert_ptr_nonnull(fault_of(&options));
}
END_TEST

/* Loads a conf with one HTTP target whose keys are `keys`. Returns its options, or NULL with the
 * faults in `ret_text`; with options the text is the effective conf. */
static const struct http_options *load_conf(const char *keys, struct settings *settings,
                                            struct bytes *ret_text)
{
    static const struct conf_plugin plugin = {.type = "http", .table = &http_options_table};
    static const char *const formats[] = {"native", NULL};
    const struct conf_plugins plugins = {.sources = fixture_sources,
                                         .sources_count = 1,
                                         .targets = &plugin,
                                         .targets_count = 1,
                                         .formats = formats};
    struct conf_report report = {0};
    char text[1000];
    int size = snprintf(text, sizeof(text),
                        "sources: {shop: {dsn: service=x}}\n"
                        "pipelines: [{name: p, source: shop, tables: [t], targets: [{type: http, "
                        "%s}]}]\n",
                        keys);
    bytes_init(ret_text, 1 << 16);
    enum fan_status status =
        conf_load_text("c.yaml", text, (size_t)size, &plugins, settings, &report);
    if (status == FAN_OK) {
        conf_print_yaml(settings, ret_text);
    } else {
        conf_report_print(&report, false, ret_text);
    }
    conf_report_release(&report);
    if (status != FAN_OK) {
        return NULL;
    }
    const struct settings_pipeline *pipeline = settings->pipelines.items;
    return ((const struct settings_target *)pipeline->targets.items)->options;
}

START_TEST(http_conf_keeps_templates_and_hides_headers)
{
    struct settings settings = {0};
    struct bytes text;
    const struct http_options *options =
        load_conf("url: \"https://h/${table}/${key.a b}x$${op}\", headers: {x-key: S3CR3T}",
                  &settings, &text);
    ck_assert_msg(options == NULL, "a space is refused");
    bytes_release(&text);
    options = load_conf("url: \"https://h/${table}/${key.a}/$${op}\", headers: {x-key: S3CR3T}",
                        &settings, &text);
    ck_assert_msg(options != NULL, "%s", bytes_text(&text));
    ck_assert_str_eq(options->url, "https://h/${table}/${key.a}/${op}");
    ck_assert_str_eq(options->headers.pairs[0].value, "S3CR3T");
    ck_assert_int_eq(options->timeout_us, 15 * SECOND_US);
    const char *shown = bytes_text(&text);
    ck_assert_ptr_nonnull(strstr(shown, "url: \"https://h/${table}/${key.a}/${op}\""));
    ck_assert_ptr_nonnull(strstr(shown, "headers: {\"x-key\": \"***\"}"));
    ck_assert_ptr_null(strstr(shown, "S3CR3T"));
    bytes_release(&text);
    settings_release(&settings);
}
END_TEST

START_TEST(http_conf_faults_name_the_key_and_show_no_header)
{
    static const struct {
        const char *keys;
        const char *fault;
    } cases[] = {
        {"url: \"https://h/${tables}\"", "\"url\": cannot expand ${tables}: unknown reference"},
        {"url: \"https://h/${after.x}\"", "\"url\" has an unknown name in ${...}"},
        {"url: \"https://h/\", ca: \"/x/${table}\"", "\"ca\": cannot expand ${table}"},
        {"url: \"https://h/\", headers: {x: \"S3CR3T\\n\"}", "\"headers\" has a value with a line"},
        {"url: \"https://h/\", headers: {x: \"S3CR3T${nope}\"}", "cannot expand ${nope}"},
        {"method: PUT", "\"url\" is missing"},
    };
    for (size_t i = 0; i < CONF_COUNT(cases); i++) {
        struct settings settings = {0};
        struct bytes text;
        ck_assert_ptr_null(load_conf(cases[i].keys, &settings, &text));
        ck_assert_msg(strstr(bytes_text(&text), cases[i].fault) != NULL, "%s", bytes_text(&text));
        ck_assert_msg(strstr(bytes_text(&text), "S3CR3T") == NULL, "%s", bytes_text(&text));
        bytes_release(&text);
    }
}
END_TEST

START_TEST(http_missing_certificate_is_fatal_at_start)
{
    static char missing[] = "/nonexistent/ca.pem";
    rig.options.ca = missing;
    struct fan_error error = {0};
    ck_assert_int_eq(http_target_type.create(&rig.options, &rig.context, &rig.target, &error),
                     FAN_OK);
    ck_assert_int_eq(http_target_type.start(rig.target, NULL, &error), FAN_FATAL);
    ck_assert_str_eq(error.code, "HTTP_CERTIFICATE");
}
END_TEST

START_TEST(body_reads_the_same_in_pieces_of_every_size)
{
    static const char *const whole[] = {"[\"a\",\"bb\",\"\"]", "\"a\"\n\"bb\"\n\"\"\n", "\"bb\""};
    static const struct event events[] = {{"s", "t", "", "0", 'c'},
                                          {"s", "t", "", "\"a\"", 'c'},
                                          {"s", "t", "", "\"bb\"", 'c'},
                                          {"s", "t", "", "\"\"", 'c'},
                                          {"s", "t", "", "4", 'c'}};
    struct batch *batch = make_batch(events, 5);
    struct body body = {0};
    for (size_t form = 0; form < 3; form++) {
        body_open(&body, (enum body_form)form, batch, 0, form == BODY_EVENT ? 2 : 1,
                  form == BODY_EVENT ? 3 : 4);
        ck_assert_uint_eq(body_wire_size(&body), strlen(whole[form]));
        for (size_t piece = 1; piece < 20; piece++) {
            uint8_t out[32] = {0};
            size_t size = 0;
            for (size_t got; (got = body_read(&body, out + size, piece)) > 0;) {
                ck_assert_uint_le(got, piece);
                size += got;
            }
            ck_assert_str_eq((const char *)out, whole[form]);
            body_rewind(&body);
        }
    }
    body_release(&body);
    batch_unref(batch);
}
END_TEST

static void add_tests(TCase *tests)
{
    tcase_add_test(tests, http_batch_is_one_post_of_a_json_array);
    tcase_add_test(tests, http_structured_cloudevents_have_their_content_types);
    tcase_add_test(tests, http_content_type_of_the_conf_stays_with_structured_cloudevents);
    tcase_add_test(tests, http_binary_cloudevents_have_their_attributes_in_headers);
    tcase_add_test(tests, http_values_of_attributes_are_percent_encoded);
    tcase_add_test(tests, http_long_key_is_cut_in_its_header);
    tcase_add_test(tests, http_binary_cloudevents_need_one_event_a_request);
    tcase_add_loop_test(tests, http_status_gives_its_class, 0, (int)CONF_COUNT(status_cases));
    tcase_add_test(tests, http_url_names_the_event_and_runs_of_equal_urls_share_a_request);
    tcase_add_test(tests, http_single_mode_sends_each_event_alone_in_order);
    tcase_add_test(tests, http_ndjson_has_a_line_an_event);
    tcase_add_test(tests, http_single_poison_event_keeps_what_was_accepted_and_stops);
    tcase_add_test(tests, http_single_poison_at_the_head_is_named);
    tcase_add_loop_test(tests, http_single_retry_and_fatal_after_an_accepted_event_are_retries, 0,
                        2);
    tcase_add_test(tests, http_run_of_several_that_is_refused_is_sent_again);
    tcase_add_test(tests, http_failed_list_names_events_of_the_run);
    tcase_add_test(tests, http_failed_list_of_a_later_run_keeps_the_earlier_one);
    tcase_add_loop_test(tests, http_answer_body_is_understood_or_the_request_retried, 0,
                        (int)CONF_COUNT(answer_bodies));
    tcase_add_test(tests, http_answer_is_bounded);
    tcase_add_loop_test(tests, http_broken_answer_gives_its_class, 0,
                        (int)CONF_COUNT(broken_answers));
    tcase_add_test(tests, http_deadline_bounds_all_runs_of_a_request);
    tcase_add_test(tests, http_nobody_listening_is_a_retry);
    tcase_add_test(tests, http_kept_connection_that_was_closed_is_made_anew);
    tcase_add_loop_test(tests, http_retry_after_is_honoured_in_both_forms, 0, 5);
    tcase_add_test(tests, reply_retry_after_reads_seconds_and_dates);
    tcase_add_test(tests, http_gzip_body_is_signed_before_it_is_compressed);
    tcase_add_test(tests, signature_matches_the_published_vector);
    tcase_add_test(tests, signature_secret_is_checked);
    tcase_add_test(tests, guard_knows_private_addresses);
    tcase_add_loop_test(tests, http_private_address_is_refused_when_connecting, 0,
                        (int)CONF_COUNT(hidden_hosts));
    tcase_add_test(tests, http_plain_text_goes_to_no_public_address);
    tcase_add_test(tests, http_hanging_name_server_holds_nobody);
    tcase_add_test(tests, http_stop_ends_open_requests_without_an_answer);
    tcase_add_test(tests, http_answered_request_leaves_room_at_once);
    tcase_add_test(tests, http_targets_share_one_thread_and_many_requests);
    tcase_add_test(tests, http_credentials_and_headers_are_sent);
    tcase_add_test(tests, http_secrets_that_come_back_are_not_shown);
    tcase_add_test(tests, http_event_without_a_url_is_poison);
    tcase_add_loop_test(tests, url_template_encodes_what_it_fills_in, 0,
                        (int)CONF_COUNT(renderings));
    tcase_add_test(tests, url_template_bounds_what_it_fills_in);
    tcase_add_test(tests, url_template_refuses_what_is_no_address);
    tcase_add_test(tests, http_headers_are_checked);
    tcase_add_test(tests, http_options_hold_their_rules);
    tcase_add_test(tests, http_conf_keeps_templates_and_hides_headers);
    tcase_add_test(tests, http_conf_faults_name_the_key_and_show_no_header);
    tcase_add_test(tests, http_missing_certificate_is_fatal_at_start);
    tcase_add_test(tests, body_reads_the_same_in_pieces_of_every_size);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    batches = batch_pool_create(1, true, 8, 1 << 20);
    if (batches == NULL) {
        return EXIT_FAILURE;
    }
    TCase *tests = tcase_create("target_http");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    add_tests(tests);
    int status = suite_run("target_http", tests);
    batch_pool_destroy(batches);
    return status;
}
