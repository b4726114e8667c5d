/*
 * A Redis target adds a batch whole or not at all, answers each request once with the class that
 * the server's reply stands for, and shows nothing that a value or a secret should not be in.
 *
 * Oracle: a scripted server on loopback that keeps the commands it got.
 */
#include <dlfcn.h>
#include <netdb.h>

#include "base/log.h"
#include "conf/load.h"
#include "conf/print.h"
#include "targets/address.h"
#include "targets/redis/commands.h"
#include "targets/redis/options.h"
#include "targets/redis/redis_target.h"
#include "targets/redis/ruling.h"
#include "targets/redis/stream.h"
#include "tests/unit/answering.h"
#include "tests/unit/conf_fixture.h"
#include "tests/unit/redis_script.h"
#include "tests/unit/suite.h"

static struct redis_script *script;
static struct answering rig;
static struct redis_options options;
static char address[64];
static char stream_text[] = "pgfan:${schema}.${table}";
static char other_text[] = "pgfan:other";
static char field_text[] = "event";

/* slow.test waits until the test lets it go; every other name is the system's. */
static pthread_mutex_t resolver_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t resolver_changed = PTHREAD_COND_INITIALIZER;
static bool resolver_hangs;
static unsigned resolver_calls;
static unsigned resolver_waiting;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret_list)
{
    typedef int resolve(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    union {
        void *object;
        resolve *function;
    } real = {.object = dlsym(RTLD_NEXT, "getaddrinfo")};
    if (strcmp(name, "slow.test") != 0) {
        return real.function(name, service, hints, ret_list);
    }
    (void)pthread_mutex_lock(&resolver_lock);
    resolver_calls++;
    resolver_waiting++;
    (void)pthread_cond_broadcast(&resolver_changed);
    while (resolver_hangs) {
        (void)pthread_cond_wait(&resolver_changed, &resolver_lock);
    }
    resolver_waiting--;
    (void)pthread_cond_broadcast(&resolver_changed);
    (void)pthread_mutex_unlock(&resolver_lock);
    return EAI_NONAME;
}

static void resolver_set_hanging(bool hangs)
{
    (void)pthread_mutex_lock(&resolver_lock);
    resolver_hangs = hangs;
    (void)pthread_cond_broadcast(&resolver_changed);
    (void)pthread_mutex_unlock(&resolver_lock);
}

static unsigned resolver_calls_so_far(void)
{
    (void)pthread_mutex_lock(&resolver_lock);
    unsigned calls = resolver_calls;
    (void)pthread_mutex_unlock(&resolver_lock);
    return calls;
}

static void resolver_wait(unsigned count)
{
    (void)pthread_mutex_lock(&resolver_lock);
    while (resolver_waiting != count) {
        (void)pthread_cond_wait(&resolver_changed, &resolver_lock);
    }
    (void)pthread_mutex_unlock(&resolver_lock);
}

static void setup(void)
{
    script = redis_script_start();
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", redis_script_port(script));
    options = (struct redis_options){.address = address,
                                     .stream = stream_text,
                                     .stream_other = other_text,
                                     .field = field_text,
                                     .dedup_window = 1000,
                                     .timeout_us = 5 * SECOND_US,
                                     .connect_timeout_us = 5 * SECOND_US};
    answering_init(&rig, &redis_target_type);
}

static void teardown(void)
{
    answering_close(&rig);
    redis_script_stop(script);
    secret_release(&options.password);
}

static void start(void)
{
    answering_start(&rig, &options);
}

static void assert_logged(const char *text)
{
    ck_assert_msg(strstr(redis_script_log(script), text) != NULL, "no \"%s\" in\n%s", text,
                  redis_script_log(script));
}

static void set_password(const char *text)
{
    ck_assert_int_eq(secret_set(&options.password, text, strlen(text)), FAN_OK);
}

/* The line of the log that begins with `word`, in a static buffer. */
static const char *logged_line(const char *word)
{
    static char line[4096];
    const char *at = strstr(redis_script_log(script), word);
    ck_assert_ptr_nonnull(at);
    (void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
    return line;
}

START_TEST(redis_batch_is_one_transaction_of_scripts)
{
    static const struct answering_event events[] = {
        {"public", "orders", "{\"id\":1}", "one", 0},
        {"public", "lines", "", "two", CHANGE_TRUNCATE},
        {"", "", "", "three", CHANGE_MESSAGE},
    };
    start();
    const struct answer *answer = answering_send(&rig, answering_batch(&rig, events, 3));
    ck_assert_int_eq(answer->status, FAN_OK);
    ck_assert_uint_eq(answer->failed_count, 0);
    assert_logged("PING\nSCRIPT LOAD\nMULTI\nEVALSHA ");
    assert_logged(" 2 pgfan:public.orders pgfan:public.orders:ids "
                  "7001-pgfan_shop-0000000000000100-00000001 1000 * id "
                  "7001-pgfan_shop-0000000000000100-00000001 key {\"id\":1} event one\n");
    assert_logged(" 2 pgfan:public.lines pgfan:public.lines:ids "
                  "7001-pgfan_shop-0000000000000101-00000001 1000 * id "
                  "7001-pgfan_shop-0000000000000101-00000001 event two\n");
    assert_logged(" 2 pgfan:other pgfan:other:ids ");
    assert_logged(" event three\nEXEC\n");
    ck_assert_int_eq(answering_send(&rig, answering_plain(&rig, 2))->status, FAN_OK);
    ck_assert_uint_eq(redis_script_connections(script), 1);
}
END_TEST

START_TEST(redis_gap_has_an_id_of_its_own)
{
    static const struct answering_event gap = {"", "", "", "gap", CHANGE_GAP};
    options.dedup_window = 0;
    start();
    ck_assert_int_eq(answering_send(&rig, answering_batch(&rig, &gap, 1))->status, FAN_OK);
    ck_assert_str_eq(logged_line("XADD"), "XADD pgfan:other * id "
                                          "7001-pgfan_shop-0000000000000100-00000001-g event gap");
}
END_TEST

START_TEST(redis_options_shape_the_commands)
{
    options.dedup_window = 0;
    options.max_length = 500;
    options.database = 3;
    options.wait_replicas = 1;
    options.username = field_text;
    set_password("S3CR3T");
    start();
    ck_assert_int_eq(answering_send(&rig, answering_plain(&rig, 1))->status, FAN_OK);
    assert_logged("AUTH event S3CR3T\nSELECT 3\nPING\nMULTI\n");
    ck_assert_ptr_nonnull(strstr(logged_line("XADD"), "XADD pgfan:public.orders MAXLEN ~ 500 * "));
    assert_logged("EXEC\nWAIT 1 ");
    redis_script_add(script, "WAIT", ":0\r\n");
    const struct answer *answer = answering_send(&rig, answering_plain(&rig, 1));
    ck_assert_int_eq(answer->status, FAN_RETRY);
    ck_assert_str_eq(answer->error.code, "REDIS_REPLICAS");
}
END_TEST

START_TEST(redis_large_batch_goes_out_in_parts_and_keeps_what_was_taken)
{
    enum { EVENTS = 2 * COMMANDS_EVENTS_MAX + 1 };
    static struct answering_event events[EVENTS];
    for (size_t at = 0; at < EVENTS; at++) {
        events[at] = (struct answering_event){"public", "t", "", "x", 0};
    }
    start();
    redis_script_add(script, "EXEC", "=");
    redis_script_add(script, "EXEC", "-OOM command not allowed\r\n");
    const struct answer *answer = answering_send(&rig, answering_batch(&rig, events, EVENTS));
    ck_assert_int_eq(answer->status, FAN_OK);
    ck_assert_str_eq(answer->error.code, "REDIS_OOM");
    ck_assert_uint_eq(answer->failed_count, EVENTS - COMMANDS_EVENTS_MAX);
    ck_assert_uint_eq(answer->failed[0].event, COMMANDS_EVENTS_MAX);
    ck_assert(!answer->failed[0].poison);
    answer = answering_send(&rig, answering_batch(&rig, events, EVENTS));
    ck_assert_msg(answer->status == FAN_OK, "%s", answer->error.text);
    ck_assert_uint_eq(answer->failed_count, 0);
}
END_TEST

/* What a server says, and where. */
static const struct {
    const char *command;
    const char *reply;
    enum fan_status status;
    const char *code;
} replies[] = {
    {"EXEC", "*2\r\n:1\r\n:0\r\n", FAN_OK, ""},
    {"PING", "-LOADING Redis is loading the dataset in memory\r\n", FAN_RETRY, "REDIS_LOADING"},
    {"PING", "-NOAUTH Authentication required.\r\n", FAN_FATAL, "REDIS_NOAUTH"},
    {"PING", "-DENIED Redis is running in protected mode\r\n", FAN_FATAL, "REDIS_DENIED"},
    {"SCRIPT", "-NOPERM this user has no permissions\r\n", FAN_FATAL, "REDIS_NOPERM"},
    {"EVALSHA", "-OOM command not allowed\r\n", FAN_RETRY, "REDIS_OOM"},
    {"EVALSHA", "-READONLY You can't write\r\n", FAN_RETRY, "REDIS_READONLY"},
    {"EVALSHA", "-MOVED 3999 127.0.0.1:6381\r\n", FAN_FATAL, "REDIS_MOVED"},
    {"EXEC", "*2\r\n:1\r\n-WRONGTYPE Operation against a key\r\n", FAN_FATAL, "REDIS_WRONGTYPE"},
    {"EXEC", "*2\r\n-OOM x\r\n-OOM x\r\n", FAN_RETRY, "REDIS_OOM"},
    {"EXEC", "*2\r\n-NOSCRIPT No matching script.\r\n:1\r\n", FAN_RETRY, "REDIS_NOSCRIPT"},
    {"EXEC", "*1\r\n:1\r\n", FAN_RETRY, "REDIS_PROTOCOL"},
    {"EXEC", "*-1\r\n", FAN_RETRY, "REDIS_PROTOCOL"},
    {"EXEC", "+OK\r\n", FAN_RETRY, "REDIS_PROTOCOL"},
    {"EXEC", "HTTP/1.1 400 Bad Request\r\n", FAN_RETRY, "REDIS_PROTOCOL"},
    {"EXEC", "", FAN_RETRY, "REDIS_CONNECTION"},
    {"PING", "", FAN_RETRY, "REDIS_CONNECTION"},
    {"EVALSHA", "-ERR Protocol error: invalid bulk length\r\n", FAN_POISON, "REDIS_TOO_LARGE"},
};

START_TEST(redis_reply_gives_its_class)
{
    redis_script_add(script, replies[_i].command, replies[_i].reply);
    if (strcmp(replies[_i].command, "EVALSHA") == 0) {
        redis_script_add(script, "EXEC", "-EXECABORT Transaction discarded\r\n");
    }
    start();
    const struct answer *answer = answering_send(&rig, answering_plain(&rig, 2));
    ck_assert_msg(answer->status == replies[_i].status, "%s", answer->error.text);
    ck_assert_uint_eq(answer->failed_count, 0);
    if (answer->status != FAN_OK) {
        ck_assert_str_eq(answer->error.code, replies[_i].code);
        ck_assert_ptr_nonnull(strstr(answer->error.text, address));
    }
    unsigned connections = answer->status == FAN_OK ? 1 : 2;
    /* Whatever it was, the next request starts anew. */
    ck_assert_int_eq(answering_send(&rig, answering_plain(&rig, 2))->status, FAN_OK);
    ck_assert_uint_eq(redis_script_connections(script), connections);
}
END_TEST

static const struct {
    const char *words;
    enum fan_status status;
    const char *code;
} rulings[] = {
    {"OOM x", FAN_RETRY, "REDIS_OOM"},
    {"CLUSTERDOWN Hash slot not served", FAN_RETRY, "REDIS_CLUSTERDOWN"},
    {"MASTERDOWN Link with MASTER is down", FAN_RETRY, "REDIS_MASTERDOWN"},
    {"BUSY Redis is busy running a script", FAN_RETRY, "REDIS_BUSY"},
    {"MISCONF Redis is configured to save", FAN_RETRY, "REDIS_MISCONF"},
    {"NOREPLICAS Not enough good replicas", FAN_RETRY, "REDIS_NOREPLICAS"},
    {"TRYAGAIN x", FAN_RETRY, "REDIS_TRYAGAIN"},
    {"ERR max number of clients reached", FAN_RETRY, "REDIS_CLIENTS"},
    {"ERR string exceeds maximum allowed size", FAN_POISON, "REDIS_TOO_LARGE"},
    {"WRONGPASS invalid username-password pair", FAN_FATAL, "REDIS_WRONGPASS"},
    {"ERR invalid password", FAN_FATAL, "REDIS_WRONGPASS"},
    {"ERR Client sent AUTH, but no password is set", FAN_FATAL, "REDIS_WRONGPASS"},
    {"ERR DB index is out of range", FAN_FATAL, "REDIS_DATABASE"},
    {"ASK 3999 127.0.0.1:6381", FAN_FATAL, "REDIS_ASK"},
    {"CROSSSLOT Keys in request don't hash to the same slot", FAN_FATAL, "REDIS_CROSSSLOT"},
    {"ERR unknown command 'EVALSHA', with args beginning with: 'row-value'", FAN_FATAL,
     "REDIS_COMMAND"},
    {"ERR something new", FAN_FATAL, "REDIS_ERR"},
    {"OOMPH x", FAN_FATAL, "REDIS_OOMPH"},
    {"", FAN_FATAL, "REDIS_ERR"},
    {"\x1b[31m S3CR3T", FAN_FATAL, "REDIS_ERR"},
};

START_TEST(redis_words_give_their_class_and_show_no_value)
{
    struct redactor redactor = {0};
    struct fan_error error;
    ck_assert(redactor_add(&redactor, "S3CR3T"));
    const char *words = rulings[_i].words;
    ck_assert_int_eq(redis_rule(words, strlen(words), "h:1", &redactor, &error),
                     rulings[_i].status);
    ck_assert_str_eq(error.code, rulings[_i].code);
    ck_assert_ptr_nonnull(strstr(error.text, "\"h:1\" answered"));
    ck_assert_ptr_null(strstr(error.text, "row-value"));
    ck_assert_ptr_null(strstr(error.text, "S3CR3T"));
    ck_assert_ptr_null(strchr(error.text, '\x1b'));
    redactor_release(&redactor);
}
END_TEST

START_TEST(redis_connection_that_was_closed_is_made_anew)
{
    start();
    ck_assert_int_eq(answering_send(&rig, answering_plain(&rig, 1))->status, FAN_OK);
    uint16_t port = redis_script_port(script);
    redis_script_stop(script);
    const struct answer *answer = answering_send(&rig, answering_plain(&rig, 1));
    ck_assert_int_eq(answer->status, FAN_RETRY);
    ck_assert_str_eq(answer->error.code, "REDIS_CONNECT");
    ck_assert_uint_gt(port, 0);
    script = redis_script_start();
}
END_TEST

START_TEST(redis_answer_takes_no_longer_than_its_deadline)
{
    rig.context.deadline_us = 300000;
    redis_script_add(script, "EXEC", NULL);
    start();
    int64_t before_us = clock_monotonic_us();
    ck_assert_int_eq(answering_request(&rig, 0, answering_plain(&rig, 1)), FAN_OK);
    ck_assert_int_eq(answering_request(&rig, 1, answering_plain(&rig, 1)), FAN_OK);
    const struct answer *answer = answering_wait(&rig, 0);
    ck_assert_int_eq(answer->status, FAN_RETRY);
    ck_assert_str_eq(answer->error.code, "REDIS_TIMEOUT");
    ck_assert_int_eq(answering_wait(&rig, 1)->status, FAN_RETRY);
    ck_assert_int_lt(clock_monotonic_us() - before_us, 5 * SECOND_US);
}
END_TEST

START_TEST(redis_stop_ends_open_requests_without_an_answer)
{
    options.timeout_us = 100 * SECOND_US;
    rig.context.deadline_us = 0;
    start();
    for (size_t round = 0; round < 3; round++) {
        redis_script_add(script, round == 0 ? "PING" : "EXEC", NULL);
        for (size_t lane = 0; lane < ANSWERING_REQUESTS; lane++) {
            ck_assert_int_eq(answering_request(&rig, lane, answering_plain(&rig, 3)), FAN_OK);
        }
        ck_assert_int_eq(answering_request(&rig, ANSWERING_REQUESTS, answering_plain(&rig, 3)),
                         FAN_AGAIN);
        if (round < 2) { /* the third time it is stopped at once */
            ck_assert(redis_script_wait(script, round == 0 ? "PING" : "EXEC"));
        }
        int64_t before_us = clock_monotonic_us();
        redis_target_type.stop(rig.target);
        ck_assert_int_lt(clock_monotonic_us() - before_us, 5 * SECOND_US);
        ck_assert_uint_eq(rig.answered, 0);
        struct fan_error error;
        ck_assert_int_eq(redis_target_type.start(rig.target, NULL, &error), FAN_OK);
    }
}
END_TEST

START_TEST(redis_hanging_name_server_is_asked_once_and_holds_nobody)
{
    static char slow[] = "slow.test:6379";
    options.address = slow;
    options.connect_timeout_us = 200000;
    resolver_set_hanging(true);
    start();
    for (size_t attempt = 0; attempt < 2; attempt++) {
        const struct answer *answer = answering_send(&rig, answering_plain(&rig, 1));
        ck_assert_int_eq(answer->status, FAN_RETRY);
        ck_assert_str_eq(answer->error.code, "REDIS_TIMEOUT");
    }
    resolver_wait(1);
    ck_assert_uint_eq(resolver_calls_so_far(), 1);
    int64_t before_us = clock_monotonic_us();
    redis_target_type.stop(rig.target);
    ck_assert_int_lt(clock_monotonic_us() - before_us, 5 * SECOND_US);
    resolver_set_hanging(false);
    resolver_wait(0);
    struct fan_error error;
    ck_assert_int_eq(redis_target_type.start(rig.target, NULL, &error), FAN_OK);
    options.connect_timeout_us = 5 * SECOND_US;
    const struct answer *answer = answering_send(&rig, answering_plain(&rig, 1));
    ck_assert_int_eq(answer->status, FAN_RETRY);
    ck_assert_str_eq(answer->error.code, "REDIS_RESOLVE");
}
END_TEST

START_TEST(redis_event_without_a_stream_is_named)
{
    char *longest = malloc(9000);
    memset(longest, 'x', 8999);
    longest[8999] = '\0';
    static char doubled[] = "${table}${table}${table}";
    struct answering_event events[] = {{"public", "a", "", "one", 0},
                                       {"public", longest + 5000, "", "two", 0},
                                       {"public", "b", "", "three", 0}};
    options.stream = doubled;
    start();
    const struct answer *answer = answering_send(&rig, answering_batch(&rig, events, 3));
    ck_assert_int_eq(answer->status, FAN_OK);
    ck_assert_uint_eq(answer->failed_count, 3);
    ck_assert(!answer->failed[0].poison && answer->failed[1].poison && !answer->failed[2].poison);
    ck_assert_str_eq(answer->failed[1].text,
                     "cannot make the name of a stream: it would be too long");
    ck_assert_str_eq(answer->error.code, "REDIS_STREAM");
    ck_assert_ptr_null(strstr(redis_script_log(script), "MULTI"));
    answer = answering_send(&rig, answering_batch(&rig, events + 1, 1));
    ck_assert_int_eq(answer->status, FAN_POISON);
    free(longest);
}
END_TEST

static const struct {
    const char *text;
    const char *place; /* NULL: a fault */
    const char *port;
} addresses[] = {
    {"redis.internal:6380", "redis.internal", "6380"},
    {"redis.internal", "redis.internal", "6379"},
    {"10.0.0.1:1", "10.0.0.1", "1"},
    {"[::1]:65535", "::1", "65535"},
    {"[fe80::1%eth0]", "fe80::1%eth0", "6379"},
    {"/run/redis/redis.sock", "/run/redis/redis.sock", ""},
    {"", NULL, NULL},
    {":6379", NULL, NULL},
    {"host:", NULL, NULL},
    {"host:0", NULL, NULL},
    {"host:65536", NULL, NULL},
    {"host:63x", NULL, NULL},
    {"host:000000", NULL, NULL},
    {"::1", NULL, NULL},
    {"[::1", NULL, NULL},
    {"[::1]6379", NULL, NULL},
    {"redis://host:6379", NULL, NULL},
    {"user@host:6379", NULL, NULL},
    {"ho st:6379", NULL, NULL},
    {"/01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901"
     "23"
     "45678901234567890",
     NULL, NULL},
};

START_TEST(redis_address_is_read)
{
    struct address got;
    const char *fault = address_parse(addresses[_i].text, "6379", &got);
    if (addresses[_i].place == NULL) {
        ck_assert_ptr_nonnull(fault);
        return;
    }
    ck_assert_msg(fault == NULL, "%s", fault);
    ck_assert_str_eq(got.place, addresses[_i].place);
    ck_assert_str_eq(got.port, addresses[_i].port);
    ck_assert_int_eq(got.local, got.port[0] == '\0');
}
END_TEST

/* Loads a conf with one Redis target whose keys are `keys`, and keeps the effective conf or the
 * faults in `ret_text`. */
static enum fan_status load_conf(const char *keys, struct bytes *ret_text)
{
    static const struct conf_plugin plugin = {.type = "redis", .table = &redis_options_table};
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
                        "pipelines: [{name: p, source: shop, tables: [t], targets: [{type: redis, "
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
    {"address: \"h:1\"", " stream: \"pgfan:${schema}.${table}\""},
    {"address: \"h:1\"", " stream_other: \"pgfan:other\""},
    {"address: \"h:1\", password: S3CR3T", " password: \"***\""},
    {"stream: x", "\"address\" is missing"},
    {"address: \"redis://h\"", "the address has a scheme, a user"},
    {"address: \"h:0\"", "the address has no port from 1 to 65535"},
    {"address: /s, tls: true", "\"tls\" has no meaning for a unix socket"},
    {"address: h, username: joe", "\"username\" needs a \"password\""},
    {"address: h, ca: /x", "certificates are of no use without `tls: true`"},
    {"address: h, tls: true, client_cert: /x",
     "\"client_cert\" and \"client_key\" belong together"},
    {"address: h, stream: \"a${key.id}\"", "\"stream\" has an unknown name in ${...}"},
    {"address: h, stream_other: \"a${table}\"", "\"stream_other\" has an unknown name in ${...}"},
    {"address: h, field: id", "\"field\" is a field that every entry has"},
    {"address: h, timeout: 1s, connect_timeout: 2s", "\"connect_timeout\" is longer"},
};

START_TEST(redis_conf_holds_its_rules_and_hides_secrets)
{
    struct bytes text;
    const char *wanted = confs[_i].text;
    bool fine = wanted[0] == ' ';
    ck_assert_msg((load_conf(confs[_i].keys, &text) == FAN_OK) == fine, "%s", bytes_text(&text));
    ck_assert_msg(strstr(bytes_text(&text), wanted) != NULL, "%s", bytes_text(&text));
    ck_assert_ptr_null(strstr(bytes_text(&text), "S3CR3T"));
    bytes_release(&text);
}
END_TEST

START_TEST(redis_missing_certificate_is_fatal_at_start)
{
    static char nowhere[] = "/nonexistent/ca.pem";
    struct fan_error error;
    options.tls = true;
    options.ca = nowhere;
    ck_assert_int_eq(redis_target_type.create(&options, &rig.context, &rig.target, &error), FAN_OK);
    ck_assert_int_eq(redis_target_type.start(rig.target, NULL, &error), FAN_FATAL);
    ck_assert_ptr_nonnull(strstr(error.text, nowhere));
    ck_assert_str_eq(error.code, "REDIS_CERTIFICATE");
}
END_TEST

START_TEST(redis_server_without_tls_is_told_from_one_with)
{
    options.tls = true;
    options.timeout_us = options.connect_timeout_us = SECOND_US;
    start();
    const struct answer *answer = answering_send(&rig, answering_plain(&rig, 1));
    ck_assert_int_eq(answer->status, FAN_RETRY);
}
END_TEST

int main(void)
{
    log_set_level(LOG_ERROR);
    TCase *tests = tcase_create("target_redis");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, redis_batch_is_one_transaction_of_scripts);
    tcase_add_test(tests, redis_gap_has_an_id_of_its_own);
    tcase_add_test(tests, redis_options_shape_the_commands);
    tcase_add_test(tests, redis_large_batch_goes_out_in_parts_and_keeps_what_was_taken);
    tcase_add_loop_test(tests, redis_reply_gives_its_class, 0, (int)CONF_COUNT(replies));
    tcase_add_loop_test(tests, redis_words_give_their_class_and_show_no_value, 0,
                        (int)CONF_COUNT(rulings));
    tcase_add_test(tests, redis_connection_that_was_closed_is_made_anew);
    tcase_add_test(tests, redis_answer_takes_no_longer_than_its_deadline);
    tcase_add_test(tests, redis_stop_ends_open_requests_without_an_answer);
    tcase_add_test(tests, redis_hanging_name_server_is_asked_once_and_holds_nobody);
    tcase_add_test(tests, redis_event_without_a_stream_is_named);
    tcase_add_loop_test(tests, redis_address_is_read, 0, (int)CONF_COUNT(addresses));
    tcase_add_loop_test(tests, redis_conf_holds_its_rules_and_hides_secrets, 0,
                        (int)CONF_COUNT(confs));
    tcase_add_test(tests, redis_missing_certificate_is_fatal_at_start);
    tcase_add_test(tests, redis_server_without_tls_is_told_from_one_with);
    return suite_run("target_redis", tests);
}
