/*
 * Property: the number of a schema is asked for once, by a thread of its own, again and again as long
 *           as the registry does not answer; what it refuses is told as refused; nobody waits in
 *           find(), and no secret is in what is said.
 * Oracle:   a scripted HTTP server on loopback that keeps what it got byte by byte.
 */
#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "schemas/registry.h"
#include "schemas/reply.h"
#include "tests/unit/http_script.h"
#include "tests/unit/suite.h"

enum { WAIT_SECONDS = 20 };

static struct http_script *script;
static char url[128];
static struct settings_avro settings;
static struct schema_registries registries;

static void setup(void)
{
    log_set_level(LOG_ERROR);
    script = http_script_start();
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/apis/ccompat/v7/",
                   http_script_port(script));
    settings = (struct settings_avro){
        .registry = url, .register_schemas = true, .timeout_us = 5 * INT64_C(1000000)};
}

static void teardown(void)
{
    schema_registries_release(&registries);
    http_script_stop(script);
    secret_release(&settings.password);
    secret_release(&settings.bearer_token);
}

static void answer(unsigned status, const char *body)
{
    char text[1024];
    (void)snprintf(
        text, sizeof(text),
        "HTTP/1.1 %u X\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s", status,
        strlen(body), body);
    http_script_add(script, HTTP_REPLY, text);
}

static struct schema_ids *ids_get(void)
{
    struct schema_ids *ids = NULL;
    struct fan_error error = {0};
    ck_assert_msg(schema_registries_get(&registries, &settings, &ids, &error) == FAN_OK, "%s",
                  error.text);
    return ids;
}

static enum fan_status find(struct schema_ids *ids, const char *subject, const char *schema,
                            uint32_t *ret_id, struct fan_error *reterr)
{
    *reterr = (struct fan_error){0};
    return ids->find(ids, subject, schema, strlen(schema), ret_id, reterr);
}

/* Looks again and again until it says that, or something else than FAN_AGAIN. */
static void await(struct schema_ids *ids, const char *subject, const char *schema,
                  enum fan_status expected, uint32_t *ret_id, struct fan_error *reterr)
{
    int64_t until_us = clock_monotonic_us() + WAIT_SECONDS * INT64_C(1000000);
    enum fan_status status = find(ids, subject, schema, ret_id, reterr);
    while (status == FAN_AGAIN &&
           !(expected == FAN_AGAIN && reterr->text[0] != '\0')) { /* an empty text: not asked yet */
        ck_assert_msg(clock_monotonic_us() < until_us, "the registry never said so");
        (void)poll(NULL, 0, 1); /* the book tells nobody, so it is looked at */
        status = find(ids, subject, schema, ret_id, reterr);
    }
    ck_assert_msg(status == expected, "%s: %s", fan_status_name(status), reterr->text);
}

START_TEST(registry_number_is_asked_for_once)
{
    struct schema_ids *ids = ids_get();
    struct fan_error error;
    uint32_t id = 0;
    answer(200, "{\"id\":4711}");
    await(ids, "shop.public.orders-value", "{\"type\":\"record\",\"doc\":\"a \\\"b\\\"\"}", FAN_OK,
          &id, &error);
    ck_assert_uint_eq(id, 4711);
    await(ids, "shop.public.orders-value", "{\"type\":\"record\",\"doc\":\"a \\\"b\\\"\"}", FAN_OK,
          &id, &error);
    ck_assert_uint_eq(http_script_count(script), 1);
    const struct http_received *got = http_script_get(script, 0);
    ck_assert_ptr_nonnull(strstr(
        got->head, "POST /apis/ccompat/v7/subjects/shop.public.orders-value/versions HTTP/1.1"));
    ck_assert_str_eq(http_script_header(got, "content-type"),
                     "application/vnd.schemaregistry.v1+json");
    static const char body[] =
        "{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"doc\\\":\\\"a \\\\\\\"b\\\\\\\"\\\"}\"}";
    ck_assert_uint_eq(got->body_size, sizeof(body) - 1);
    ck_assert_mem_eq(got->body, body, got->body_size);
}
END_TEST

START_TEST(registry_looks_only_where_it_may_not_register)
{
    settings.register_schemas = false;
    struct schema_ids *ids = ids_get();
    struct fan_error error;
    uint32_t id = 0;
    answer(404, "{\"error_code\":40401,\"message\":\"Subject not found.\"}");
    await(ids, "a b-key", "\"int\"", FAN_AGAIN, &id, &error);
    ck_assert_str_eq(error.text,
                     "cannot use a schema: the schema registry answered 404 for subject "
                     "\"a b-key\": Subject not found.");
    ck_assert_str_eq(error.hint, "register the schema, or set `register: true`");
    ck_assert_str_eq(error.code, "SCHEMA_REFUSED");
    ck_assert_ptr_nonnull(strstr(http_script_get(script, 0)->head,
                                 "POST /apis/ccompat/v7/subjects/a%20b-key HTTP/1.1"));
    ck_assert_int_eq(find(ids, "a b-key", "\"int\"", &id, &error), FAN_AGAIN);
    ck_assert_uint_eq(http_script_count(script),
                      1); /* what is refused is not asked at once again */
}
END_TEST

START_TEST(registry_that_does_not_answer_is_asked_again)
{
    struct schema_ids *ids = ids_get();
    struct fan_error error;
    uint32_t id = 0;
    answer(503, "{\"error_code\":50003,\"message\":\"no leader\"}");
    http_script_add(script, HTTP_REPLY_RESET, "");
    answer(200, "<html>an index</html>");
    answer(200, "{\"id\":7}");
    await(ids, "s", "\"int\"", FAN_AGAIN, &id, &error);
    ck_assert_str_eq(error.text,
                     "could not get a schema's number: the schema registry answered 503 "
                     "for subject \"s\": no leader");
    await(ids, "s", "\"int\"", FAN_OK, &id, &error);
    ck_assert_uint_eq(id, 7);
    ck_assert_uint_eq(http_script_count(script), 4);
}
END_TEST

/* One that fails for itself, such as a subject that the user may not write, keeps no other back. */
START_TEST(registry_asks_in_turns)
{
    struct schema_ids *ids = ids_get();
    struct fan_error error;
    uint32_t id = 0;
    answer(403, "{}");
    answer(200, "{\"id\":8}");
    await(ids, "forbidden", "\"int\"", FAN_AGAIN, &id, &error);
    await(ids, "allowed", "\"int\"", FAN_OK, &id, &error);
    ck_assert_uint_eq(id, 8);
}
END_TEST

START_TEST(registry_says_no_secret)
{
    ck_assert_int_eq(secret_set(&settings.bearer_token, "s3cr3t-token", 12), FAN_OK);
    struct schema_ids *ids = ids_get();
    struct fan_error error;
    uint32_t id = 0;
    answer(401, "{\"error_code\":401,\"message\":\"bad token s3cr3t-token\\u001b[31m\"}");
    await(ids, "s", "\"int\"", FAN_AGAIN, &id, &error);
    ck_assert_str_eq(http_script_header(http_script_get(script, 0), "authorization"),
                     "Bearer s3cr3t-token");
    ck_assert_ptr_null(strstr(error.text, "s3cr3t"));
    ck_assert_ptr_null(strchr(error.text, '\x1b'));
    ck_assert_ptr_nonnull(strstr(error.text, "answered 401 for subject \"s\": bad token ***"));
    ck_assert_str_eq(error.hint, "check the user, the token and what it may do in the registry");
}
END_TEST

START_TEST(registry_user_has_a_password)
{
    settings.username = (char[]){"pgfan"};
    ck_assert_int_eq(secret_set(&settings.password, "p4ss", 4), FAN_OK);
    struct schema_ids *ids = ids_get();
    struct fan_error error;
    uint32_t id = 0;
    answer(200, "{\"id\":1}");
    await(ids, "s", "\"int\"", FAN_OK, &id, &error);
    ck_assert_str_eq(http_script_header(http_script_get(script, 0), "authorization"),
                     "Basic cGdmYW46cDRzcw==");
    settings.username = NULL;
}
END_TEST

/* The end does not wait for an answer that does not come, nor for the next attempt. */
START_TEST(registry_ends_while_a_question_is_under_way)
{
    struct schema_ids *ids = ids_get();
    struct fan_error error;
    uint32_t id = 0;
    settings.timeout_us = 600 * INT64_C(1000000);
    http_script_add(script, HTTP_HANG, "");
    ck_assert_int_eq(find(ids, "s", "\"int\"", &id, &error), FAN_AGAIN);
    ck_assert_str_eq(error.text, "");
    ck_assert(http_script_wait(script, 1));
    int64_t before_us = clock_monotonic_us();
    schema_registries_release(&registries);
    ck_assert_int_lt(clock_monotonic_us() - before_us, 5 * INT64_C(1000000));
}
END_TEST

START_TEST(registry_answer_without_end_is_cut)
{
    struct schema_ids *ids = ids_get();
    struct fan_error error;
    uint32_t id = 0;
    http_script_add(script, HTTP_FLOOD, "HTTP/1.1 200 OK\r\n\r\n");
    await(ids, "s", "\"int\"", FAN_AGAIN, &id, &error);
    ck_assert_str_eq(error.code, "REGISTRY_UNREACHABLE");
}
END_TEST

START_TEST(registry_of_equal_settings_is_the_same)
{
    struct settings_avro other = settings;
    struct schema_ids *first = ids_get();
    struct schema_ids *same = NULL;
    struct schema_ids *another = NULL;
    struct fan_error error;
    other.subjects = 1; /* of the encoder */
    ck_assert_int_eq(schema_registries_get(&registries, &other, &same, &error), FAN_OK);
    other.register_schemas = false;
    ck_assert_int_eq(schema_registries_get(&registries, &other, &another, &error), FAN_OK);
    ck_assert_ptr_eq(first, same);
    ck_assert_ptr_ne(first, another);
    ck_assert_uint_eq(registries.count, 2);
}
END_TEST

static const struct {
    long http_status;
    const char *body;
    bool registering;
    enum fan_status status;
    uint32_t id;
} replies[] = {
    {200, "{\"id\":0}", true, FAN_OK, 0},
    {200, "{\"subject\":\"s\",\"version\":1,\"id\":4294967295,\"schema\":\"x\"}", false, FAN_OK,
     UINT32_MAX},
    {200, "{\"id\":4294967296}", true, FAN_RETRY, 0},
    {200, "{\"id\":-1}", true, FAN_RETRY, 0},
    {200, "{\"id\":\"7\"}", true, FAN_RETRY, 0},
    {200, "[]", true, FAN_RETRY, 0},
    {200, "", true, FAN_RETRY, 0},
    {409, "{\"error_code\":409,\"message\":\"incompatible\"}", true, FAN_POISON, 0},
    {422, "", true, FAN_POISON, 0},
    {404, "{\"error_code\":40403}", false, FAN_POISON, 0},
    {404, "not a registry", false, FAN_RETRY, 0},
    {404, "{\"error_code\":40401}", true, FAN_RETRY, 0},
    {302, "", true, FAN_RETRY, 0},
    {429, "{}", true, FAN_RETRY, 0},
    {500, "\xff\xfe", true, FAN_RETRY, 0},
    {0, "", true, FAN_RETRY, 0},
};

START_TEST(registry_reply_has_a_class)
{
    struct redactor none = {0};
    struct fan_error error = {0};
    uint32_t id = 0;
    enum fan_status status =
        registry_reply_read(replies[_i].http_status, replies[_i].body, strlen(replies[_i].body),
                            replies[_i].registering, "s", &none, &id, &error);
    ck_assert_int_eq(status, replies[_i].status);
    ck_assert_uint_eq(id, replies[_i].id);
    ck_assert_int_eq(error.text[0] == '\0', status == FAN_OK);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("registry");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, registry_number_is_asked_for_once);
    tcase_add_test(tcase, registry_looks_only_where_it_may_not_register);
    tcase_add_test(tcase, registry_that_does_not_answer_is_asked_again);
    tcase_add_test(tcase, registry_asks_in_turns);
    tcase_add_test(tcase, registry_says_no_secret);
    tcase_add_test(tcase, registry_user_has_a_password);
    tcase_add_test(tcase, registry_ends_while_a_question_is_under_way);
    tcase_add_test(tcase, registry_answer_without_end_is_cut);
    tcase_add_test(tcase, registry_of_equal_settings_is_the_same);
    tcase_add_loop_test(tcase, registry_reply_has_a_class, 0,
                        (int)(sizeof(replies) / sizeof(replies[0])));
    return suite_run("registry", tcase);
}
