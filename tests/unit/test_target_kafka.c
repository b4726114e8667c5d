/*
 * The Kafka target: the records of events, faults by class, and requests to librdkafka's mock cluster,
 * whose errors are scripted. (The mock appends nothing of a request that it answers with an error, and
 * knows sequences of transactional producers only.)
 */
#include <check.h>
#include <librdkafka/rdkafka.h>
/* needs the other first */
#include <librdkafka/rdkafka_mock.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "encode/record.h"
#include "model/change.h"
#include "targets/kafka/fault.h"
#include "targets/kafka/state.h"
#include "tests/unit/suite.h"

enum { SECOND_US = 1000000, PATIENCE_S = 30, PRODUCE = 0 };

static const struct encode_context encode = {.source = "src", .system_id = "7", .slot = "s"};

struct sink {
    struct outcome_sink base;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t answered;
};

/* The target of the test: a test changes its options, and the first request starts it. */
static struct rig {
    struct kafka_options options;
    struct target_context context;
    struct sink sink;
    struct target *target;
    struct batch_pool *pool;
    struct answer answer;
} rig;

static void sink_post(struct outcome_sink *base, const struct outcome *outcome)
{
    (void)base;
    (void)outcome;
    ck_abort_msg("it posts nothing");
}

static void sink_answer(struct outcome_sink *base, struct answer *answer)
{
    (void)base; /* there is one */
    ck_assert_ptr_eq(answer, &rig.answer);
    (void)pthread_mutex_lock(&rig.sink.lock);
    rig.sink.answered++;
    (void)pthread_cond_broadcast(&rig.sink.changed);
    (void)pthread_mutex_unlock(&rig.sink.lock);
}

static char *brokers[] = {(char[]){"127.0.0.1:1"}}; /* the mock puts its own in its place */
static char topic[] = "cdc.${schema}.${table}";
static char topic_other[] = "other";
static char id_header[] = "id";
static struct conf_text_pair properties[] = {
    {(char[]){"test.mock.num.brokers"}, (char[]){"1"}},
    {(char[]){"retry.backoff.ms"}, (char[]){"10"}},
    {(char[]){"topic.metadata.propagation.max.ms"}, (char[]){"100"}}};
static struct conf_text_pair more_headers[] = {{(char[]){"where"}, (char[]){"${schema}/${table}"}},
                                               {(char[]){"const"}, (char[]){""}}};

static void setup(void)
{
    rig = (struct rig){
        .options = {.brokers = {.items = brokers, .count = 1},
                    .topic = topic,
                    .topic_other = topic_other,
                    .id_header = id_header,
                    .linger_us = 1000},
        .context = {.pipeline = "p",
                    .target = "t",
                    .encode = &encode,
                    .requests_max = 2,
                    .deadline_us = 10 * SECOND_US},
        .sink = {.base = {.post = sink_post, .answer = sink_answer},
                 .lock = PTHREAD_MUTEX_INITIALIZER,
                 .changed = PTHREAD_COND_INITIALIZER},
    };
    rig.options.properties = (struct conf_text_map){.pairs = properties, .count = 3};
    rig.context.outcomes = &rig.sink.base;
    rig.pool = batch_pool_create(1, true, 2, 1 << 20);
    ck_assert_ptr_nonnull(rig.pool);
}

static void teardown(void)
{
    if (rig.target != NULL) {
        kafka_target_type.stop(rig.target);
        kafka_target_type.destroy(rig.target);
    }
    batch_pool_destroy(rig.pool);
}

static void start(void)
{
    struct fan_error error = {0};
    if (rig.target == NULL) {
        enum fan_status status =
            kafka_target_type.create(&rig.options, &rig.context, &rig.target, &error);
        ck_assert_msg(status == FAN_OK, "%s", error.text);
    }
    enum fan_status status = kafka_target_type.start(rig.target, NULL, &error);
    ck_assert_msg(status == FAN_OK, "%s", error.text);
}

static rd_kafka_mock_cluster_t *mock(void)
{
    rd_kafka_mock_cluster_t *cluster =
        rd_kafka_handle_mock_cluster(((struct kafka_target *)rig.target)->producer.handle);
    ck_assert_ptr_nonnull(cluster);
    return cluster;
}

struct event {
    const char *schema;
    const char *table;
    const char *key;
    const char *old_key;
    const char *value;
    char op;
};

static struct batch *batch_of(const struct event *events, size_t count)
{
    struct batch *batch = batch_pool_take(rig.pool);
    ck_assert_ptr_nonnull(batch);
    for (size_t at = 0; at < count; at++) {
        const struct event *event = &events[at];
        char label[400];
        int size = snprintf(label, sizeof(label), "%s%c%s%c%s%c%s", event->schema, 0, event->table,
                            0, event->key, 0, event->old_key != NULL ? event->old_key : "");
        const struct batch_event place = {.position = {{0x100 + at}, 1},
                                          .op = (uint8_t)(event->op != 0 ? event->op : 'c'),
                                          .txn_end = true};
        ck_assert_int_eq(batch_append(batch, &place, 0, (const uint8_t *)event->value,
                                      strlen(event->value), (const uint8_t *)label, (size_t)size),
                         FAN_OK);
    }
    return batch;
}

static enum fan_status ask(const struct event *events, size_t count, struct fan_error *reterr)
{
    struct batch *batch = batch_of(events, count);
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    rig.answer = (struct answer){0};
    enum fan_status status = kafka_target_type.request(
        rig.target, batch, &rig.answer, now.tv_sec * SECOND_US + now.tv_nsec / 1000, reterr);
    batch_unref(batch);
    return status;
}

static void await_answer(size_t count)
{
    struct timespec deadline;
    (void)clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += PATIENCE_S;
    (void)pthread_mutex_lock(&rig.sink.lock);
    int result = 0;
    while (rig.sink.answered < count && result == 0) {
        result = pthread_cond_timedwait(&rig.sink.changed, &rig.sink.lock, &deadline);
    }
    (void)pthread_mutex_unlock(&rig.sink.lock);
    ck_assert_int_eq(result, 0);
}

static const struct event one[] = {{"public", "t", "{\"id\":1}", NULL, "{\"n\":1}", 0}};
static const struct event three[] = {{"public", "t", "{\"id\":1}", NULL, "{\"n\":1}", 0},
                                     {"public", "t", "{\"id\":2}", NULL, "{\"n\":2}", 0},
                                     {"public", "u", "{\"id\":1}", NULL, "{\"n\":3}", 0}};

static enum fan_status deliver(const struct event *events, size_t count)
{
    struct fan_error error = {0};
    size_t answered = rig.sink.answered;
    enum fan_status status = ask(events, count, &error);
    ck_assert_msg(status == FAN_OK, "%s", error.text);
    await_answer(answered + 1);
    return rig.answer.status;
}

/* ---- records ---- */

struct made {
    struct record_rules rules;
    struct record_list list;
    struct batch *batch;
    struct fan_error error;
    enum fan_status status;
};

static void make(struct made *made, const struct event *events, size_t count)
{
    *made = (struct made){.batch = batch_of(events, count)};
    ck_assert_int_eq(record_rules_init(&made->rules, &rig.options, &rig.context, &made->error),
                     FAN_OK);
    made->rules.size_max = 1000;
    record_list_init(&made->list);
    made->status = records_make(&made->rules, made->batch, &made->list, &made->error);
}

static void unmake(struct made *made)
{
    record_list_release(&made->list);
    record_rules_release(&made->rules);
    batch_unref(made->batch);
}

/* "topic key value", with - for what there is not. */
static void check_record(const struct made *made, size_t at, const char *expected)
{
    char text[1000];
    const struct kafka_record *record = &made->list.items[at];
    size_t key_size;
    size_t value_size;
    ck_assert_uint_lt(at, made->list.count);
    const uint8_t *key = records_part(&made->list, &record->key, &key_size);
    const uint8_t *value = records_part(&made->list, &record->value, &value_size);
    (void)snprintf(text, sizeof(text), "%s %.*s %.*s", records_topic(&made->list, record),
                   key == NULL ? 1 : (int)key_size, key == NULL ? "-" : (const char *)key,
                   value == NULL ? 1 : (int)value_size, value == NULL ? "-" : (const char *)value);
    ck_assert_str_eq(text, expected);
}

START_TEST(records_have_the_key_of_the_event)
{
    const struct event events[] = {{"public", "t", "{\"id\":1}", NULL, "v1", 'c'},
                                   {"public", "t", "{\"id\":2}", "{\"id\":1}", "v2", 'u'},
                                   {"public", "none", "", NULL, "v3", 'c'},
                                   {"", "", "", NULL, "v4", 'g'},
                                   {"public", "t", "", NULL, "v5", 't'},
                                   {"public", "t", "{\"id\":2}", NULL, "v6", 'd'}};
    struct made made;
    make(&made, events, 6);
    ck_assert_int_eq(made.status, FAN_OK);
    ck_assert_uint_eq(made.list.count, 6);
    check_record(&made, 0, "cdc.public.t {\"id\":1} v1");
    check_record(&made, 1, "cdc.public.t {\"id\":2} v2");
    check_record(&made, 2, "cdc.public.none public.none v3");
    check_record(&made, 3, "other - v4");
    check_record(&made, 4, "cdc.public.t public.t v5");
    check_record(&made, 5, "cdc.public.t {\"id\":2} v6");
    unmake(&made);
}
END_TEST

START_TEST(records_with_tombstones_follow_what_takes_a_row_away)
{
    const struct event events[] = {{"public", "t", "{\"id\":2}", "{\"id\":1}", "v1", 'u'},
                                   {"public", "t", "{\"id\":2}", NULL, "v2", 'd'},
                                   {"public", "none", "", NULL, "v3", 'd'}};
    struct made made;
    rig.options.tombstones = KAFKA_TOMBSTONES_YES;
    make(&made, events, 3);
    ck_assert_uint_eq(made.list.count, 5);
    check_record(&made, 0, "cdc.public.t {\"id\":2} v1");
    check_record(&made, 1, "cdc.public.t {\"id\":1} -");
    check_record(&made, 2, "cdc.public.t {\"id\":2} v2");
    check_record(&made, 3, "cdc.public.t {\"id\":2} -");
    check_record(&made, 4, "cdc.public.none public.none v3");
    ck_assert_uint_eq(made.list.items[1].event, 0);
    unmake(&made);
}
END_TEST

static void frame(struct bytes *framed, const char *key, const char *value)
{
    const struct record record = {.key = (const uint8_t *)key,
                                  .key_size = key != NULL ? strlen(key) : 0,
                                  .value = (const uint8_t *)value,
                                  .value_size = value != NULL ? strlen(value) : 0};
    record_append(framed, &record);
}

START_TEST(records_of_an_envelope_that_has_them_are_taken_apart)
{
    struct bytes framed;
    bytes_init(&framed, 1000);
    frame(&framed, "k", "v");
    frame(&framed, "k", NULL);
    frame(&framed, NULL, "w");
    const struct event events[] = {{"public", "t", "{\"id\":2}", NULL, bytes_text(&framed), 'd'},
                                   {"public", "t", "{\"id\":2}", NULL, "no records", 'c'}};
    struct made made;
    rig.context.records = true;
    make(&made, events, 1);
    ck_assert_uint_eq(made.list.count, 3);
    check_record(&made, 0, "cdc.public.t k v");
    check_record(&made, 1, "cdc.public.t k -");
    check_record(&made, 2, "cdc.public.t - w");
    unmake(&made);
    rig.options.tombstones = KAFKA_TOMBSTONES_NO;
    make(&made, events, 1);
    ck_assert_uint_eq(made.list.count, 2);
    unmake(&made);
    make(&made, events, 2);
    ck_assert_int_eq(made.status, FAN_POISON);
    unmake(&made);
    bytes_release(&framed);
}
END_TEST

/* "name=value name=value" */
static void check_headers(const struct made *made, size_t at, const char *expected)
{
    struct record_header header;
    const struct kafka_record *record = &made->list.items[at];
    size_t place = record->headers;
    char text[1000] = "";
    size_t size = 0;
    while (records_header(&made->list, record, &place, &header)) {
        size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%.*s=%.*s",
                                 size > 0 ? " " : "", (int)header.name_size, header.name,
                                 (int)header.value_size, (const char *)header.value);
        ck_assert_uint_lt(size, sizeof(text));
    }
    ck_assert_str_eq(text, expected);
}

static void frame_mark(struct bytes *framed, const char *value)
{
    const struct record mark = {.key = (const uint8_t *)"{\"id\":\"7:1\"}",
                                .key_size = strlen("{\"id\":\"7:1\"}"),
                                .value = (const uint8_t *)value,
                                .value_size = strlen(value),
                                .mark = true};
    record_append(framed, &mark);
}

static const struct encode_settings marked = {
    .transactions = true, .records = true, .debezium = {.topic_prefix = "shop"}};

START_TEST(records_that_are_marks_go_to_their_own_topic)
{
    static char mine[] = "mine";
    static char key[] = "${key.id}";
    struct bytes framed[2];
    for (size_t at = 0; at < 2; at++) {
        bytes_init(&framed[at], 1000);
        frame_mark(&framed[at], "BEGIN");
        frame(&framed[at], "k", "v");
        frame_mark(&framed[at], "END");
    }
    const struct event events[] = {
        {"public", "t", "{\"id\":2}", NULL, bytes_text(&framed[0]), 'c'},
        {"public", "u", "{\"id\":3}", NULL, bytes_text(&framed[1]), 'c'}};
    static const char *const expected[2][6] = {
        {"shop.transaction {\"id\":\"7:1\"} BEGIN", "cdc.public.t k v",
         "shop.transaction {\"id\":\"7:1\"} END", "shop.transaction {\"id\":\"7:1\"} BEGIN",
         "cdc.public.u k v", "shop.transaction {\"id\":\"7:1\"} END"},
        {"mine {\"id\":\"7:1\"} BEGIN", "cdc.public.t 2 v", "mine {\"id\":\"7:1\"} END",
         "mine {\"id\":\"7:1\"} BEGIN", "cdc.public.u 3 v", "mine {\"id\":\"7:1\"} END"}};
    struct made made;
    rig.context.records = true;
    rig.context.encoding = &marked;
    for (size_t round = 0; round < 2; round++) {
        make(&made, events, 2);
        ck_assert_int_eq(made.status, FAN_OK);
        ck_assert_uint_eq(made.list.count, 6);
        for (size_t at = 0; at < 6; at++) {
            check_record(&made, at, expected[round][at]);
            ck_assert_uint_eq(made.list.items[at].event, at / 3);
        }
        check_headers(&made, 0, "");
        check_headers(&made, 1, "id=7-s-0000000000000100-00000001");
        unmake(&made);
        rig.options.topic_transactions = mine;
        rig.options.key = key;
    }
    for (size_t at = 0; at < 2; at++) {
        bytes_release(&framed[at]);
    }
}
END_TEST

START_TEST(records_that_are_marks_need_a_topic)
{
    struct bytes framed;
    bytes_init(&framed, 1000);
    frame_mark(&framed, "BEGIN");
    frame(&framed, "k", "v");
    const struct event event = {"public", "t", "{\"id\":2}", NULL, bytes_text(&framed), 'c'};
    struct made made;
    rig.context.records = true;
    make(&made, &event, 1); /* a letter of a conf before */
    ck_assert_int_eq(made.status, FAN_POISON);
    unmake(&made);
    bytes_release(&framed);

    const struct encode_settings unnamed = {
        .transactions = true, .records = true, .debezium = {.topic_prefix = "no topic"}};
    struct record_rules rules;
    struct fan_error error;
    rig.context.encoding = &unnamed;
    ck_assert_int_eq(record_rules_init(&rules, &rig.options, &rig.context, &error), FAN_FATAL);
    ck_assert_str_eq(error.code, "KAFKA_TOPIC");
    record_rules_release(&rules);
}
END_TEST

START_TEST(records_have_the_headers_of_their_envelope)
{
    struct bytes framed;
    struct bytes headers;
    bytes_init(&framed, 1000);
    bytes_init(&headers, 1000);
    record_header_append(&headers, "old", (const uint8_t *)"{}", 2);
    record_header_append(&headers, "none", NULL, 0);
    const struct record record = {.value = (const uint8_t *)"v",
                                  .value_size = 1,
                                  .headers = headers.data,
                                  .headers_size = headers.size};
    struct record broken = record;
    broken.headers_size--;
    frame(&framed, "k", "w");
    record_append(&framed, &record);
    record_append(&framed, &record);
    frame(&framed, "k", "w");
    const struct event event = {"public", "t", "{\"id\":2}", NULL, bytes_text(&framed), 'u'};
    struct made made;
    rig.context.records = true;
    make(&made, &event, 1);
    ck_assert_int_eq(made.status, FAN_OK);
    ck_assert_uint_eq(made.list.count, 4);
    for (size_t at = 0; at < 4; at++) {
        check_headers(&made, at,
                      at == 1 || at == 2 ? "id=7-s-0000000000000100-00000001 old={} none="
                                         : "id=7-s-0000000000000100-00000001");
    }
    unmake(&made);
    bytes_clear(&framed);
    record_append(&framed, &broken);
    const struct event other = {"public", "t", "{\"id\":2}", NULL, bytes_text(&framed), 'u'};
    make(&made, &other, 1);
    ck_assert_int_eq(made.status, FAN_POISON);
    unmake(&made);
    bytes_release(&framed);
    bytes_release(&headers);
}
END_TEST

START_TEST(kafka_marks_take_an_envelope_of_records)
{
    ck_assert_ptr_null(kafka_target_type.marks_fault(&rig.options, "debezium"));
    ck_assert_ptr_nonnull(kafka_target_type.marks_fault(&rig.options, "native"));
    ck_assert_ptr_nonnull(kafka_target_type.marks_fault(&rig.options, "cloudevents"));
    ck_assert(kafka_target_type.marks_apart);
}
END_TEST

START_TEST(records_headers_are_read_as_they_were_written)
{
    const struct event events[] = {{"public", "t", "{\"id\":1}", NULL, "v1", 'c'},
                                   {"", "", "", NULL, "v4", 'm'}};
    struct made made;
    struct record_header header;
    rig.options.headers = (struct conf_text_map){.pairs = more_headers, .count = 2};
    make(&made, events, 2);
    ck_assert_int_eq(made.status, FAN_OK);
    size_t place = made.list.items[0].headers;
    static const char *const expected[][2] = {
        {"id", "7-s-0000000000000100-00000001"}, {"where", "public/t"}, {"const", ""}};
    for (size_t at = 0; at < 3; at++) {
        ck_assert(records_header(&made.list, &made.list.items[0], &place, &header));
        ck_assert_uint_eq(header.name_size, strlen(expected[at][0]));
        ck_assert_mem_eq(header.name, expected[at][0], header.name_size);
        ck_assert_uint_eq(header.value_size, strlen(expected[at][1]));
        ck_assert_mem_eq(header.value, expected[at][1], header.value_size);
    }
    ck_assert(!records_header(&made.list, &made.list.items[0], &place, &header));
    size_t count = 0;
    place = made.list.items[1].headers;
    while (records_header(&made.list, &made.list.items[1], &place, &header)) {
        count++;
    }
    ck_assert_uint_eq(count, 2); /* what is about no table has no `where` */
    unmake(&made);
}
END_TEST

static const struct {
    const char *topic;
    const char *key;
    struct event event;
    const char *code;
} refused[] = {
    {"${key.id}", NULL, {"public", "t", "{\"n\":1}", NULL, "v", 0}, "KAFKA_TEMPLATE"},
    {"t", "${key.id}", {"public", "t", "", NULL, "v", 0}, "KAFKA_TEMPLATE"},
    {"${table}", NULL, {"public", "no topic", "", NULL, "v", 0}, "KAFKA_TOPIC"},
    {"${table}", NULL, {"public", "..", "", NULL, "v", 0}, "KAFKA_TOPIC"},
};

START_TEST(records_of_events_without_a_place_are_refused)
{
    struct made made;
    rig.options.topic = (char *)(uintptr_t)refused[_i].topic;
    rig.options.key = (char *)(uintptr_t)refused[_i].key;
    make(&made, &refused[_i].event, 1);
    ck_assert_int_eq(made.status, FAN_POISON);
    ck_assert_str_eq(made.error.code, refused[_i].code);
    unmake(&made);
}
END_TEST

START_TEST(records_that_are_too_large_are_refused_before_they_are_sent)
{
    char value[1001];
    memset(value, 'x', sizeof(value));
    value[1000] = '\0';
    const struct event event = {"public", "t", "{\"id\":1}", NULL, value, 'c'};
    struct made made;
    make(&made, &event, 1);
    ck_assert_int_eq(made.status, FAN_POISON);
    ck_assert_str_eq(made.error.code, "KAFKA_MSG_SIZE_TOO_LARGE");
    unmake(&made);
}
END_TEST

/* ---- faults and places ---- */

START_TEST(kafka_faults_have_their_class)
{
    struct fan_error error = {0};
    ck_assert_int_eq(kafka_fault(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, NULL, &error), FAN_POISON);
    ck_assert_str_eq(error.code, "KAFKA_MSG_SIZE_TOO_LARGE");
    ck_assert_str_ne(error.hint, "");
    ck_assert_int_eq(kafka_fault(RD_KAFKA_RESP_ERR__AUTHENTICATION, "no", &error), FAN_FATAL);
    ck_assert_str_eq(error.text, "no");
    ck_assert_int_eq(kafka_fault_class(RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION), FAN_RETRY);
    ck_assert(kafka_fault_is_worse(RD_KAFKA_RESP_ERR__TIMED_OUT, RD_KAFKA_RESP_ERR__PURGE_QUEUE));
    ck_assert(!kafka_fault_is_worse(RD_KAFKA_RESP_ERR__TIMED_OUT,
                                    RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED));
}
END_TEST

START_TEST(kafka_places_are_read_as_they_were_written)
{
    static const char *const wrong[] = {"", "{}", "{\"lsn\":\"0/1\"}",
                                        "{\"lsn\":\"0/1\",\"seq\":1}x",
                                        "{\"lsn\":\"0/\",\"seq\":1}"};
    static const struct fan_position positions[] = {
        {{0}, 0}, {{0x1a}, 3}, {{UINT64_MAX}, INT64_MAX}, {{1ULL << 32}, SEQ_MESSAGE}};
    struct fan_position got;
    for (size_t at = 0; at < 4; at++) {
        char value[PLACE_VALUE_MAX];
        size_t size = place_write(positions[at], value);
        ck_assert(place_parse(value, size, &got));
        ck_assert_int_eq(position_compare(got, positions[at]), 0);
    }
    for (size_t at = 0; at < 5; at++) {
        ck_assert(!place_parse(wrong[at], strlen(wrong[at]), &got));
    }
}
END_TEST

START_TEST(kafka_statistics_are_read)
{
    static const char json[] =
        "{\"msg_cnt\":3,\"msg_size\":40,\"txmsgs\":7,\"tx\":9,\"brokers\":{"
        "\"a\":{\"state\":\"UP\",\"txretries\":2,\"req_timeouts\":1,\"rtt\":{\"avg\":500}},"
        "\"b\":{\"state\":\"DOWN\",\"txretries\":3,\"rtt\":{\"avg\":900}}}}";
    static const uint64_t expected[] = {3, 40, 7, 9, 5, 1, 1, 900};
    struct statistics statistics = {0};
    struct target_figure figures[TARGET_FIGURES_MAX];
    statistics_take(&statistics, json, sizeof(json) - 1);
    statistics_take(&statistics, "{", 1);
    ck_assert_uint_eq(statistics_figures(&statistics, figures), 8);
    for (size_t at = 0; at < 8; at++) {
        ck_assert_msg(figures[at].value == expected[at], "%s", figures[at].name);
    }
}
END_TEST

/* ---- requests ---- */

START_TEST(kafka_takes_requests)
{
    start();
    ck_assert_int_eq(deliver(three, 3), FAN_OK);
    ck_assert_uint_eq(rig.answer.failed_count, 0);
    ck_assert_int_eq(deliver(one, 1), FAN_OK);
}
END_TEST

START_TEST(kafka_passing_errors_are_the_librarys)
{
    start();
    ck_assert_int_eq(deliver(one, 1), FAN_OK);
    rd_kafka_mock_push_request_errors(
        mock(), PRODUCE, 3, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT);
    ck_assert_int_eq(deliver(three, 3), FAN_OK);
}
END_TEST

static const struct {
    rd_kafka_resp_err_t error;
    enum fan_status status;
    const char *code;
} answers[] = {
    {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, FAN_POISON, "KAFKA_MSG_SIZE_TOO_LARGE"},
    {RD_KAFKA_RESP_ERR_INVALID_RECORD, FAN_POISON, "KAFKA_INVALID_RECORD"},
    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, FAN_FATAL, "KAFKA_TOPIC_AUTHORIZATION_FAILE"},
    {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, FAN_FATAL, "KAFKA_CLUSTER_AUTHORIZATION_FAI"},
};

/* One record that failed fails the request; the next one is sent as if nothing had been. */
START_TEST(kafka_errors_decide_about_the_request)
{
    start();
    ck_assert_int_eq(deliver(one, 1), FAN_OK);
    rd_kafka_mock_push_request_errors(mock(), PRODUCE, 1, answers[_i].error);
    ck_assert_int_eq(deliver(one, 1), answers[_i].status);
    ck_assert_str_eq(rig.answer.error.code, answers[_i].code);
    ck_assert_str_ne(rig.answer.error.text, "");
    if (answers[_i].status == FAN_FATAL) {
        start(); /* as an operator's restart does */
    }
    ck_assert_int_eq(deliver(three, 3), FAN_OK);
}
END_TEST

START_TEST(kafka_a_producer_that_cannot_go_on_is_made_anew)
{
    start();
    ck_assert_int_eq(deliver(one, 1), FAN_OK);
    /* The library finds its own numbers wrong, with nothing else under way: that is fatal for it. */
    rd_kafka_mock_push_request_errors(mock(), PRODUCE, 1,
                                      RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    ck_assert_int_ne(deliver(one, 1), FAN_POISON);
    ck_assert_int_eq(deliver(three, 3), FAN_OK);
}
END_TEST

START_TEST(kafka_a_cluster_that_is_down_is_said_at_the_deadline)
{
    rig.context.deadline_us = SECOND_US;
    start();
    ck_assert_int_eq(deliver(one, 1), FAN_OK);
    rd_kafka_mock_broker_set_down(mock(), 1);
    ck_assert_int_eq(deliver(one, 1), FAN_RETRY);
    ck_assert_str_ne(rig.answer.error.hint, "");
    rd_kafka_mock_broker_set_up(mock(), 1);
    while (deliver(three, 3) != FAN_OK) {
        ck_assert_uint_lt(rig.sink.answered, 20); /* each takes a second at the most */
    }
}
END_TEST

START_TEST(kafka_a_stop_ends_what_is_open_without_an_answer)
{
    struct fan_error error;
    start();
    ck_assert_int_eq(deliver(one, 1), FAN_OK);
    rd_kafka_mock_broker_set_down(mock(), 1);
    ck_assert_int_eq(ask(three, 3, &error), FAN_OK);
    kafka_target_type.stop(rig.target);
    ck_assert_uint_eq(rig.sink.answered, 1);
    start(); /* a mock of its own */
    ck_assert_int_eq(deliver(three, 3), FAN_OK);
}
END_TEST

START_TEST(kafka_has_so_many_requests_open_at_the_most)
{
    struct fan_error error;
    start();
    ck_assert_int_eq(deliver(one, 1), FAN_OK);
    rd_kafka_mock_broker_set_down(mock(), 1);
    ck_assert_int_eq(ask(one, 1, &error), FAN_OK);
    ck_assert_int_eq(ask(one, 1, &error), FAN_OK);
    ck_assert_int_eq(ask(one, 1, &error), FAN_AGAIN);
}
END_TEST

/* The mock knows no CreateTopics. */
static void create_checkpoints(void)
{
    (void)rd_kafka_mock_topic_create(mock(), "pgfan.checkpoints.s.p.t", 1, 1); /* or it is there */
}

/* The mock knows no CreateTopics, as a broker that does not let us. */
START_TEST(kafka_topics_that_it_may_not_create_may_be_there)
{
    rig.options.topics =
        (struct kafka_topics){.create = true, .partitions = 1, .replication_factor = 1};
    start();
    ck_assert_int_eq(rd_kafka_mock_topic_create(mock(), "cdc.public.t", 1, 1),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    ck_assert_msg(deliver(one, 1) == FAN_OK, "%s", rig.answer.error.text);
}
END_TEST

static void reported(void *context, rd_kafka_resp_err_t code)
{
    (void)context;
    (void)code;
    ck_abort_msg("nothing was sent");
}

/* Whether the library knows the partitions of the topic: then it refuses one that there is not. */
static bool is_known(rd_kafka_topic_t *of)
{
    return rd_kafka_produce(of, 1000, RD_KAFKA_MSG_F_COPY, (char[]){"v"}, 1, NULL, 0, NULL) != 0 &&
           rd_kafka_last_error() == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
}

START_TEST(kafka_new_topics_are_looked_for_until_they_are_there)
{
    struct redactor redactor = {0};
    struct statistics statistics = {0};
    const struct producer_setup producer_setup = {.options = &rig.options,
                                                  .context = &rig.context,
                                                  .redactor = &redactor,
                                                  .events_fd = eventfd(0, EFD_CLOEXEC),
                                                  .reported = reported,
                                                  .statistics = &statistics};
    struct producer producer;
    struct fan_error error;
    rd_kafka_topic_t *soon;
    rd_kafka_topic_t *never;
    ck_assert_int_ge(producer_setup.events_fd, 0);
    ck_assert_int_eq(producer_open(&producer, &producer_setup, &error), FAN_OK);
    rd_kafka_mock_cluster_t *cluster = rd_kafka_handle_mock_cluster(producer.handle);
    rd_kafka_mock_topic_set_error(cluster, "soon", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    rd_kafka_mock_topic_set_error(cluster, "never", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    ck_assert_int_eq(producer_topic(&producer, "soon", 1, &soon), RD_KAFKA_RESP_ERR_NO_ERROR);
    ck_assert_int_eq(producer_topic(&producer, "never", 1, &never), RD_KAFKA_RESP_ERR_NO_ERROR);
    ck_assert(producer_seek(&producer, PATIENCE_S * 1000));
    ck_assert_uint_eq(producer.sought_count, 2);
    rd_kafka_mock_topic_set_error(cluster, "soon", RD_KAFKA_RESP_ERR_NO_ERROR);
    ck_assert(producer_seek(&producer, PATIENCE_S * 1000));
    ck_assert_uint_eq(producer.sought_count, 1);
    ck_assert(is_known(soon));
    producer_seek_end(&producer);
    ck_assert_uint_eq(producer.sought_count, 0);
    ck_assert_int_eq(producer_topic(&producer, "never", 1, &never), RD_KAFKA_RESP_ERR_NO_ERROR);
    ck_assert_uint_eq(producer.sought_count, 0); /* it is not new */
    producer_close(&producer);
    (void)close(producer_setup.events_fd); /* an eventfd has nothing to lose */
}
END_TEST

/* It is said, and holds nothing up that comes later. */
START_TEST(kafka_a_topic_that_does_not_come_to_be_fails_its_request)
{
    start();
    rd_kafka_mock_topic_set_error(mock(), "cdc.public.t", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    ck_assert_int_eq(deliver(one, 1), FAN_RETRY);
    ck_assert_str_ne(rig.answer.error.hint, "");
    rd_kafka_mock_topic_set_error(mock(), "cdc.public.t", RD_KAFKA_RESP_ERR_NO_ERROR);
    int64_t end_us = clock_monotonic_us() + (int64_t)PATIENCE_S * SECOND_US;
    while (deliver(three, 3) != FAN_OK) { /* the library looks for it once a second */
        ck_assert_int_lt(clock_monotonic_us(), end_us);
    }
}
END_TEST

START_TEST(kafka_exactly_once_commits_and_aborts)
{
    rig.options.delivery = KAFKA_EXACTLY_ONCE;
    rig.context.requests_max = 4;
    start();
    create_checkpoints();
    ck_assert_msg(deliver(three, 3) == FAN_OK, "%s", rig.answer.error.text);
    rd_kafka_mock_push_request_errors(mock(), PRODUCE, 1, RD_KAFKA_RESP_ERR_INVALID_RECORD);
    struct event later[40] = {0};
    for (size_t at = 0; at < 40; at++) {
        later[at] = one[0];
    }
    ck_assert_int_eq(deliver(later, 40), FAN_POISON); /* of which the first three are known */
    while (deliver(later, 40) != FAN_OK) {            /* the abort may take its time */
        ck_assert_msg(rig.sink.answered < 10, "%s", rig.answer.error.text);
    }
    ck_assert_int_eq(deliver(one, 1), FAN_OK); /* it is known */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("target_kafka");
    TCase *pure = tcase_create("records");
    tcase_add_checked_fixture(pure, setup, teardown);
    tcase_add_test(pure, records_have_the_key_of_the_event);
    tcase_add_test(pure, records_with_tombstones_follow_what_takes_a_row_away);
    tcase_add_test(pure, records_of_an_envelope_that_has_them_are_taken_apart);
    tcase_add_test(pure, records_headers_are_read_as_they_were_written);
    tcase_add_test(pure, records_that_are_marks_go_to_their_own_topic);
    tcase_add_test(pure, records_that_are_marks_need_a_topic);
    tcase_add_test(pure, records_have_the_headers_of_their_envelope);
    tcase_add_test(pure, kafka_marks_take_an_envelope_of_records);
    tcase_add_loop_test(pure, records_of_events_without_a_place_are_refused, 0,
                        (int)(sizeof(refused) / sizeof(refused[0])));
    tcase_add_test(pure, records_that_are_too_large_are_refused_before_they_are_sent);
    tcase_add_test(pure, kafka_faults_have_their_class);
    tcase_add_test(pure, kafka_places_are_read_as_they_were_written);
    tcase_add_test(pure, kafka_statistics_are_read);
    suite_add_tcase(suite, pure);
    TCase *requests = tcase_create("requests");
    tcase_add_checked_fixture(requests, setup, teardown);
    tcase_set_timeout(requests, 120);
    tcase_add_test(requests, kafka_takes_requests);
    tcase_add_test(requests, kafka_passing_errors_are_the_librarys);
    tcase_add_loop_test(requests, kafka_errors_decide_about_the_request, 0,
                        (int)(sizeof(answers) / sizeof(answers[0])));
    tcase_add_test(requests, kafka_a_producer_that_cannot_go_on_is_made_anew);
    tcase_add_test(requests, kafka_a_cluster_that_is_down_is_said_at_the_deadline);
    tcase_add_test(requests, kafka_a_stop_ends_what_is_open_without_an_answer);
    tcase_add_test(requests, kafka_has_so_many_requests_open_at_the_most);
    tcase_add_test(requests, kafka_topics_that_it_may_not_create_may_be_there);
    tcase_add_test(requests, kafka_new_topics_are_looked_for_until_they_are_there);
    tcase_add_test(requests, kafka_a_topic_that_does_not_come_to_be_fails_its_request);
    tcase_add_test(requests, kafka_exactly_once_commits_and_aborts);
    suite_add_tcase(suite, requests);
    return suite_run_all(suite);
}
