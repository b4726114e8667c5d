/*
 * Property: an event is a CloudEvent (1.0) whatever the names and rows are, and has the same attributes
 *           and data in both modes.
 * Oracle:   exact bytes; jansson takes the structured form apart, and its members are compared with what
 *           cloudevents_attributes() makes of the batch's event and label, and with the binary form.
 */
#include <check.h>
#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "encode/cloudevents.h"
#include "encode/label.h"
#include "encode/native.h"
#include "tests/unit/change_fixture.h"
#include "tests/unit/suite.h"

static const struct encode_context context = {
    .source = "shop", .system_id = "7312345678901234567", .slot = "pgfan_shop"};

#define ID "7312345678901234567-pgfan_shop-000000001a2b3c4d-"
#define HEAD                                                                                       \
    "{\"id\":\"" ID "00000003\",\"source\":\"/pgfan/shop\",\"specversion\":\"1.0\",\"type\":"
#define ORDERS ",\"subject\":\"public.orders\""
#define TIME ",\"time\":\"2026-11-22T01:02:03.456789Z\""
#define JSON_TYPE ",\"datacontenttype\":\"application/json\""
#define PLACE                                                                                      \
    ",\"lsn\":\"0/1A2B3C4D\",\"seq\":\"3\","                                                       \
    "\"sequence\":\"000000001a2b3c4d-0000000000000003\""
#define KEY ",\"partitionkey\":\"{\\\"id\\\":7}\""
#define DATA ",\"data\":{"
#define END ",\"txid\":731}}"

static struct encoder *encoder_of(const struct encode_context *names, enum cloudevents_mode mode,
                                  enum cloudevents_compat compat)
{
    const struct encode_settings settings = {
        .type = &cloudevents_encoder, .cloudevents_mode = mode, .cloudevents_compat = compat};
    struct encoder *encoder = NULL;
    struct fan_error error;
    ck_assert_int_eq(cloudevents_encoder.create(&settings, names, &encoder, &error), FAN_OK);
    return encoder;
}

/* The attributes as a target with headers gets them. */
static void attributes_of(const struct encode_context *names, const struct change *change,
                          struct cloudevents_attributes *ret_attributes)
{
    struct label_writer writer;
    struct bytes bytes;
    struct batch_label label;
    label_writer_init(&writer);
    bytes_init(&bytes, 1 << 24);
    ck_assert(label_write(&writer, change, &bytes));
    ck_assert(batch_label_parse(bytes.data, bytes.size, &label));
    const struct batch_event event = {
        .position = change->position, .commit_time_us = change->commit_time_us, .op = change->op};
    cloudevents_attributes(names, &event, &label, ret_attributes);
    bytes_release(&bytes);
    label_writer_release(&writer);
}

static void assert_attribute(const json_t *json, const struct cloudevents_attribute *attribute)
{
    const json_t *member = json_object_get(json, attribute->name);
    ck_assert_msg(json_is_string(member), "%s", attribute->name);
    ck_assert_uint_eq(json_string_length(member), attribute->value_size);
    ck_assert_str_eq(json_string_value(member), attribute->value);
    ck_assert_uint_gt(attribute->value_size, 0);
    ck_assert(utf8_valid((const uint8_t *)attribute->value, attribute->value_size));
    for (const char *at = attribute->name; *at != '\0'; at++) {
        ck_assert(islower((unsigned char)*at) || isdigit((unsigned char)*at));
    }
    for (const char *at = attribute->value; *at != '\0'; at++) {
        ck_assert(!iscntrl((unsigned char)*at));
    }
}

/* Both modes say the same: `out` is the structured form. */
static void assert_modes_agree(const struct encode_context *names, const struct change *change,
                               const struct bytes *out)
{
    static struct cloudevents_attributes attributes;
    attributes_of(names, change, &attributes);
    json_t *json = json_loadb((const char *)out->data, out->size, JSON_ALLOW_NUL, NULL);
    ck_assert_ptr_nonnull(json);
    for (size_t i = 0; i < attributes.count; i++) {
        assert_attribute(json, &attributes.items[i]);
    }
    ck_assert_uint_eq(json_object_size(json), attributes.count + 2); /* the type and the data */
    ck_assert_str_eq(json_string_value(json_object_get(json, "datacontenttype")),
                     CLOUDEVENTS_DATA_TYPE);
    json_decref(json);
    struct encoder *binary = encoder_of(names, CLOUDEVENTS_BINARY, CLOUDEVENTS_OWN);
    struct bytes data;
    struct fan_error error;
    bytes_init(&data, 1 << 24);
    BYTES_APPEND_LITERAL(&data, "\"data\":");
    ck_assert_int_eq(cloudevents_encoder.encode(binary, change, &data, &error), FAN_OK);
    bytes_append_char(&data, '}');
    ck_assert_uint_lt(data.size, out->size);
    ck_assert_mem_eq(out->data + out->size - data.size, data.data, data.size);
    bytes_release(&data);
    cloudevents_encoder.destroy(binary);
}

/* Takes the change. */
static void assert_event(const struct encode_context *names, struct change *change,
                         const char *expected)
{
    struct encoder *encoder = encoder_of(names, CLOUDEVENTS_STRUCTURED, CLOUDEVENTS_OWN);
    struct bytes out;
    struct fan_error error;
    bytes_init(&out, 1 << 24);
    ck_assert_int_eq(cloudevents_encoder.encode(encoder, change, &out, &error), FAN_OK);
    assert_valid(&out);
    if (expected != NULL) {
        ck_assert_str_eq(bytes_text(&out), expected);
    }
    assert_modes_agree(names, change, &out);
    /* A second time, over the kept texts, and behind other bytes. */
    size_t size = out.size;
    ck_assert_int_eq(cloudevents_encoder.encode(encoder, change, &out, &error), FAN_OK);
    ck_assert_uint_eq(out.size, 2 * size);
    ck_assert_mem_eq(out.data, out.data + size, size);
    bytes_release(&out);
    cloudevents_encoder.destroy(encoder);
    change_release(change);
}

START_TEST(cloudevents_rows_have_attributes_and_data)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct change change = row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL,
                                      (const char *[]){"7", "12.50", NULL});
    assert_event(&context, &change,
                 HEAD
                 "\"io.pgfan.change.create\"" ORDERS TIME JSON_TYPE PLACE KEY DATA
                 "\"key\":{\"id\":7},\"after\":{\"id\":7,\"total\":\"12.50\",\"doc\":null}" END);
    change = row_change(CHANGE_UPDATE, relation, OLD_ROW_KEY, (const char *[]){"6", NULL, NULL},
                        (const char *[]){"7", "1", "\1"});
    assert_event(&context, &change,
                 HEAD
                 "\"io.pgfan.change.update\"" ORDERS TIME JSON_TYPE PLACE KEY DATA
                 "\"key\":{\"id\":7},\"before\":{\"id\":6},\"after\":{\"id\":7,\"total\":\"1\"}"
                 ",\"unchanged\":[\"doc\"]" END);
    change =
        row_change(CHANGE_DELETE, relation, OLD_ROW_KEY, (const char *[]){"7", NULL, NULL}, NULL);
    assert_event(&context, &change,
                 HEAD "\"io.pgfan.change.delete\"" ORDERS TIME JSON_TYPE PLACE KEY DATA
                      "\"key\":{\"id\":7},\"before\":{\"id\":7}" END);
    change = row_change((enum change_op)'r', relation, OLD_ROW_NONE, NULL,
                        (const char *[]){"7", NULL, NULL});
    assert_event(&context, &change,
                 HEAD "\"io.pgfan.change.read\"" ORDERS TIME JSON_TYPE PLACE KEY DATA
                      "\"key\":{\"id\":7},\"after\":{\"id\":7,\"total\":null,\"doc\":null}" END);
    relation_destroy(relation);
}
END_TEST

START_TEST(cloudevents_table_without_key_has_no_partition_key)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_NOTHING, shop_columns, 1);
    struct change change =
        row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){"7"});
    assert_event(&context, &change,
                 HEAD "\"io.pgfan.change.create\"" ORDERS TIME JSON_TYPE PLACE DATA
                      "\"key\":null,\"after\":{\"id\":7}" END);
    relation_destroy(relation);
}
END_TEST

START_TEST(cloudevents_truncate_message_and_gap_have_types_of_their_own)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct change change = change_make(CHANGE_TRUNCATE, relation);
    change.truncate_flags = 3;
    assert_event(&context, &change,
                 HEAD "\"io.pgfan.change.truncate\"" ORDERS TIME JSON_TYPE PLACE DATA
                      "\"key\":null,\"cascade\":true,\"restart_identity\":true" END);
    change = message_change(true, "hi \"x\"", 6);
    assert_event(&context, &change,
                 HEAD "\"io.pgfan.message\"" TIME JSON_TYPE PLACE DATA
                      "\"prefix\":\"app\",\"content\":\"hi \\\"x\\\"\",\"transactional\":true" END);
    change = message_change(false, "\xff\xfe", 2);
    assert_event(&context, &change,
                 "{\"id\":\"" ID "m\",\"source\":\"/pgfan/shop\",\"specversion\":\"1.0\","
                 "\"type\":\"io.pgfan.message\"" JSON_TYPE ",\"lsn\":\"0/1A2B3C4D\",\"seq\":\"-1\","
                 "\"sequence\":\"000000001a2b3c4d\"" DATA
                 "\"prefix\":\"app\",\"content\":\"//4=\",\"encoding\":\"base64\","
                 "\"transactional\":false,\"txid\":null}}");
    change = change_make(CHANGE_GAP, NULL);
    change.gap = malloc(sizeof(*change.gap));
    ck_assert_ptr_nonnull(change.gap);
    *change.gap = (struct change_gap){
        .first = {{0x1A2B3C00}, SEQ_MESSAGE}, .last = change.position, .count = 12345678901};
    assert_event(&context, &change,
                 "{\"id\":\"" ID "00000003-g\",\"source\":\"/pgfan/shop\",\"specversion\":\"1.0\","
                 "\"type\":\"io.pgfan.gap\"" TIME JSON_TYPE PLACE DATA
                 "\"from\":\"0/1A2B3C00:-1\",\"to\":\"0/1A2B3C4D:3\",\"count\":12345678901" END);
    relation_destroy(relation);
}
END_TEST

START_TEST(cloudevents_message_that_ends_early_leaves_nothing)
{
    for (int compat = CLOUDEVENTS_OWN; compat <= CLOUDEVENTS_DEBEZIUM; compat++) {
        struct encoder *encoder =
            encoder_of(&context, CLOUDEVENTS_STRUCTURED, (enum cloudevents_compat)compat);
        struct change change = message_change(true, "text", 4);
        change.message->size -= 1;
        struct bytes out;
        struct fan_error error;
        bytes_init(&out, 4096);
        ck_assert_int_eq(cloudevents_encoder.encode(encoder, &change, &out, &error), FAN_POISON);
        ck_assert_uint_eq(out.size, 0);
        bytes_release(&out);
        change_release(&change);
        cloudevents_encoder.destroy(encoder);
    }
}
END_TEST

START_TEST(cloudevents_marks_have_types_of_their_own)
{
    static const char *const ends[] = {"b\",\"source\":\"/pgfan/shop\",\"specversion\":\"1.0\","
                                       "\"type\":\"io.pgfan.transaction.begin\"",
                                       "c\",\"source\":\"/pgfan/shop\",\"specversion\":\"1.0\","
                                       "\"type\":\"io.pgfan.transaction.commit\""};
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct encoder *encoder = encoder_of(&context, CLOUDEVENTS_STRUCTURED, CLOUDEVENTS_OWN);
    struct change change = change_make(CHANGE_TRUNCATE, relation);
    for (int mark = TXN_MARK_BEGIN; mark <= TXN_MARK_COMMIT; mark++) {
        char expected[600];
        (void)snprintf(expected, sizeof(expected),
                       "{\"id\":\"" ID "%s" TIME JSON_TYPE
                       ",\"lsn\":\"0/1A2B3C4D\",\"data\":{\"txid\":731}}",
                       ends[mark]);
        struct bytes out;
        struct fan_error error;
        bytes_init(&out, 4096);
        ck_assert_int_eq(
            cloudevents_encoder.mark(encoder, (enum txn_mark)mark, &change, &out, &error), FAN_OK);
        ck_assert_str_eq(bytes_text(&out), expected);
        assert_valid(&out);
        bytes_release(&out);
    }
    cloudevents_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

/* A name, and what it is in the attribute. */
struct name_case {
    const char *name;
    const char *text;
};

static const struct name_case source_cases[] = {
    {"shop", "/pgfan/shop"},
    {"Shop_1.eu-west~a", "/pgfan/Shop_1.eu-west~a"},
    {"a b/c?d#e%f", "/pgfan/a%20b%2Fc%3Fd%23e%25f"},
    {"\"'<>\\^`{|}", "/pgfan/%22%27%3C%3E%5C%5E%60%7B%7C%7D"},
    {":@!$&()*+,;=[]", "/pgfan/%3A%40%21%24%26%28%29%2A%2B%2C%3B%3D%5B%5D"},
    {"\n\t\x7f", "/pgfan/%0A%09%7F"},
    {"\xc3\xbc\xff", "/pgfan/%C3%BC%FF"},
    {"", "/pgfan/"},
};

START_TEST(cloudevents_source_is_a_uri_reference)
{
    const struct encode_context names = {
        .source = source_cases[_i].name, .system_id = "1", .slot = "s"};
    struct cloudevents_attributes attributes;
    struct change change = message_change(true, "x", 1);
    attributes_of(&names, &change, &attributes);
    ck_assert_str_eq(attributes.items[1].name, "source");
    ck_assert_str_eq(attributes.items[1].value, source_cases[_i].text);
    assert_event(&names, &change, NULL);
}
END_TEST

#define FFFD "\xef\xbf\xbd"

static const struct name_case table_cases[] = {
    {"orders", "public.orders"},
    {"a.b \"c\"", "public.a.b \"c\""},
    {"back\\slash'100%", "public.back\\slash'100%"},
    {"\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", "public.\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80"},
    {"line\nbreak\ttab\x7f", "public.line" FFFD "break" FFFD "tab" FFFD},
    {"c1\xc2\x80\xc2\x9f\xc2\xa0", "public.c1" FFFD FFFD "\xc2\xa0"},
    {"non\xef\xb7\x90\xef\xbf\xbe\xf4\x8f\xbf\xbf!", "public.non" FFFD FFFD FFFD "!"},
    {"bad\xff\xc3", "public.bad" FFFD FFFD},
    {"sur\xed\xa0\x80", "public.sur" FFFD FFFD FFFD},
};

START_TEST(cloudevents_subject_holds_no_character_that_an_attribute_must_not)
{
    struct relation *relation = relation_make_named("public", table_cases[_i].name,
                                                    REPLICA_IDENTITY_DEFAULT, shop_columns, 1);
    struct cloudevents_attributes attributes;
    struct change change =
        row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){"7"});
    attributes_of(&context, &change, &attributes);
    ck_assert_str_eq(attributes.items[4].name, "subject");
    ck_assert_str_eq(attributes.items[4].value, table_cases[_i].text);
    assert_event(&context, &change, NULL);
    relation_destroy(relation);
}
END_TEST

START_TEST(cloudevents_subject_follows_the_table)
{
    struct relation *orders = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 1);
    struct relation *other =
        relation_make_named("public", "orderz", REPLICA_IDENTITY_DEFAULT, shop_columns, 1);
    struct encoder *encoder = encoder_of(&context, CLOUDEVENTS_STRUCTURED, CLOUDEVENTS_OWN);
    for (int i = 0; i < 4; i++) {
        struct change change = row_change(CHANGE_INSERT, i % 2 == 0 ? orders : other, OLD_ROW_NONE,
                                          NULL, (const char *[]){"7"});
        struct bytes out;
        struct fan_error error;
        bytes_init(&out, 1 << 20);
        ck_assert_int_eq(cloudevents_encoder.encode(encoder, &change, &out, &error), FAN_OK);
        ck_assert_ptr_nonnull(
            strstr(bytes_text(&out), i % 2 == 0 ? "public.orders" : "public.orderz"));
        bytes_release(&out);
        change_release(&change);
    }
    cloudevents_encoder.destroy(encoder);
    relation_destroy(orders);
    relation_destroy(other);
}
END_TEST

/* The longest names and keys of every size around the maximum: whole characters, and equal in both
 * modes. */
START_TEST(cloudevents_long_values_are_cut_between_characters)
{
    char schema[RELATION_NAME_MAX];
    char text[4096];
    memset(schema, '\xff', sizeof(schema) - 1); /* each becomes three bytes */
    schema[sizeof(schema) - 1] = '\0';
    static const struct column_spec columns[] = {{"k", 25, true, true}};
    struct relation *relation =
        relation_make_named(schema, schema, REPLICA_IDENTITY_DEFAULT, columns, 1);
    for (size_t size = CLOUDEVENTS_KEY_MAX - 20; size < CLOUDEVENTS_KEY_MAX + 20; size++) {
        memset(text, 'x', size);
        memcpy(text + size, "\xe2\x82\xac\xe2\x82\xac", 7);
        struct change change =
            row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){text});
        struct cloudevents_attributes attributes;
        attributes_of(&context, &change, &attributes);
        const struct cloudevents_attribute *last = &attributes.items[attributes.count - 1];
        ck_assert_str_eq(last->name, "partitionkey");
        ck_assert_uint_le(last->value_size, CLOUDEVENTS_KEY_MAX);
        ck_assert_uint_ge(last->value_size,
                          size < CLOUDEVENTS_KEY_MAX - 6 ? size : CLOUDEVENTS_KEY_MAX - 6);
        assert_event(&context, &change, NULL);
    }
    relation_destroy(relation);
}
END_TEST

START_TEST(cloudevents_time_is_left_out_where_rfc_3339_has_none)
{
    static const int64_t times[] = {0, INT64_MAX, INT64_MIN, INT64_C(253402300800000000)};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        struct cloudevents_attributes attributes;
        struct change change = message_change(true, "x", 1);
        change.commit_time_us = times[i];
        attributes_of(&context, &change, &attributes);
        for (size_t at = 0; at < attributes.count; at++) {
            ck_assert_str_ne(attributes.items[at].name, "time");
        }
        assert_event(&context, &change, NULL);
    }
}
END_TEST

START_TEST(cloudevents_sequence_orders_as_positions_do)
{
    static const struct fan_position positions[] = {
        {{0}, SEQ_MESSAGE},
        {{0}, 0},
        {{1}, SEQ_MESSAGE},
        {{1}, 0},
        {{1}, 9},
        {{1}, 10},
        {{1}, INT64_C(1) << 32},
        {{1}, INT64_MAX},
        {{16}, SEQ_MESSAGE},
        {{1 << 20}, 0},
        {{UINT64_MAX}, 5},
    };
    char before[64] = "";
    for (size_t i = 0; i < sizeof(positions) / sizeof(positions[0]); i++) {
        struct cloudevents_attributes attributes;
        struct change change = message_change(true, "x", 1);
        change.position = positions[i];
        attributes_of(&context, &change, &attributes);
        const struct cloudevents_attribute *last = &attributes.items[attributes.count - 1];
        ck_assert_str_eq(last->name, "sequence");
        ck_assert_int_lt(strcmp(before, last->value), 0);
        (void)snprintf(before, sizeof(before), "%s", last->value);
        assert_event(&context, &change, NULL);
    }
}
END_TEST

START_TEST(cloudevents_random_bytes_give_valid_events)
{
    struct rng rng = rng_seeded((uint64_t)_i + 1);
    static const struct column_spec columns[] = {{"k", 25, true, true}, {"v", 114, false, false}};
    for (int round = 0; round < 300; round++) {
        char texts[3][64];
        for (int i = 0; i < 3; i++) {
            size_t size = 1 + rng_below(&rng, sizeof(texts[i]) - 1);
            for (size_t at = 0; at + 1 < size; at++) {
                texts[i][at] = (char)(1 + rng_below(&rng, 255));
            }
            texts[i][size - 1] = '\0';
        }
        texts[0][0] = 't'; /* neither an empty name nor a marker of put_tuple() */
        texts[1][0] = 't';
        texts[2][0] = 't';
        struct relation *relation =
            relation_make_named("s", texts[0], REPLICA_IDENTITY_DEFAULT, columns, 2);
        struct change change = row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL,
                                          (const char *[]){texts[1], texts[2]});
        assert_event(&context, &change, NULL);
        relation_destroy(relation);
    }
}
END_TEST

START_TEST(cloudevents_settings_reach_the_data_but_not_the_partition_key)
{
    static const struct column_spec columns[] = {{"k", 20, true, true}, {"f", 701, false, false}};
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, columns, 2);
    const struct encode_settings settings = {
        .type = &cloudevents_encoder, .int8_as_string = true, .special_values = SPECIAL_FAIL};
    struct encoder *encoder = NULL;
    struct fan_error error;
    struct bytes out;
    bytes_init(&out, 1 << 20);
    ck_assert_int_eq(cloudevents_encoder.create(&settings, &context, &encoder, &error), FAN_OK);
    struct change change =
        row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){"7", "NaN"});
    ck_assert_int_eq(cloudevents_encoder.encode(encoder, &change, &out, &error), FAN_POISON);
    ck_assert_str_eq(error.code, "SPECIAL_VALUE");
    ck_assert_uint_eq(out.size, 0);
    change_release(&change);
    change = row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){"7", "1"});
    ck_assert_int_eq(cloudevents_encoder.encode(encoder, &change, &out, &error), FAN_OK);
    ck_assert_ptr_nonnull(strstr(bytes_text(&out), "\"partitionkey\":\"{\\\"k\\\":7}\","
                                                   "\"data\":{\"key\":{\"k\":\"7\"}"));
    change_release(&change);
    bytes_release(&out);
    cloudevents_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

static const struct {
    enum cloudevents_mode mode;
    enum cloudevents_compat compat;
} forms[] = {{CLOUDEVENTS_STRUCTURED, CLOUDEVENTS_OWN},
             {CLOUDEVENTS_BINARY, CLOUDEVENTS_OWN},
             {CLOUDEVENTS_STRUCTURED, CLOUDEVENTS_DEBEZIUM}};

START_TEST(cloudevents_every_small_maximum_refuses_and_restores)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct encoder *encoder = encoder_of(&context, forms[_i].mode, forms[_i].compat);
    struct change change = row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL,
                                      (const char *[]){"7", "12.50", "text"});
    bool fitted = false;
    for (size_t maximum = 1; maximum < 8192; maximum++) {
        struct bytes out;
        struct fan_error error;
        bytes_init(&out, maximum);
        bytes_append_char(&out, '#');
        enum fan_status status = cloudevents_encoder.encode(encoder, &change, &out, &error);
        ck_assert(status == FAN_OK || (status == FAN_POISON && !fitted));
        fitted = status == FAN_OK;
        ck_assert(fitted || (out.size == 1 && bytes_ok(&out)));
        bytes_release(&out);
    }
    ck_assert(fitted);
    change_release(&change);
    cloudevents_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

#define DBZ_HEAD(tx, seq)                                                                          \
    "{\"id\":\"name:shop;lsn:439041101;txId:" tx ";sequence:[\\\"439041101\\\"," seq "]\","        \
    "\"source\":\"/debezium/postgresql/shop\",\"specversion\":\"1.0\","                            \
    "\"type\":\"io.debezium.connector.postgresql.DataChangeEvent\","
#define DBZ_TIME "\"time\":\"2026-11-22T01:02:03.456Z\",\"datacontenttype\":\"application/json\","
#define DBZ_SOURCE                                                                                 \
    "\"iodebeziumversion\":\"pgfan\",\"iodebeziumconnector\":\"postgresql\","                      \
    "\"iodebeziumname\":\"shop\","
#define DBZ_TIMES                                                                                  \
    "\"iodebeziumtsus\":\"1795309323456789\",\"iodebeziumtsns\":\"1795309323456789000\","
#define DBZ_REST                                                                                   \
    "\"iodebeziumlsn\":\"439041101\",\"iodebeziumxmin\":null,\"iodebeziumorigin\":null,"           \
    "\"iodebeziumoriginlsn\":null,\"iodebeziumtxid\":null,\"iodebeziumtxtotalorder\":null,"        \
    "\"iodebeziumtxdatacollectionorder\":null,\"data\":{"
#define DBZ(op, schema, table)                                                                     \
    DBZ_HEAD("731", "\\\"3\\\"")                                                                   \
    DBZ_TIME "\"iodebeziumop\":\"" op "\"," DBZ_SOURCE                                             \
             "\"iodebeziumtsms\":\"1795309323456\",\"iodebeziumsnapshot\":\"false\","              \
             "\"iodebeziumdb\":null,\"iodebeziumsequence\":\"[\\\"439041101\\\",\\\"3\\\"]\","     \
             "" DBZ_TIMES "\"iodebeziumschema\":\"" schema "\",\"iodebeziumtable\":\"" table       \
             "\",\"iodebeziumtxId\":\"731\"," DBZ_REST

/* Takes the change. */
static void assert_debezium(struct change *change, const char *expected)
{
    struct encoder *encoder = encoder_of(&context, CLOUDEVENTS_STRUCTURED, CLOUDEVENTS_DEBEZIUM);
    struct bytes out;
    struct fan_error error;
    bytes_init(&out, 1 << 20);
    ck_assert_int_eq(cloudevents_encoder.encode(encoder, change, &out, &error), FAN_OK);
    assert_valid(&out);
    ck_assert_str_eq(bytes_text(&out), expected);
    bytes_release(&out);
    cloudevents_encoder.destroy(encoder);
    change_release(change);
}

START_TEST(cloudevents_compat_debezium_has_its_names_and_order)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct change change = row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL,
                                      (const char *[]){"7", "12.50", NULL});
    assert_debezium(&change, DBZ("c", "public", "orders") "\"before\":null,\"after\":{\"id\":7,"
                                                          "\"total\":\"12.50\",\"doc\":null}}}");
    change = row_change(CHANGE_UPDATE, relation, OLD_ROW_KEY, (const char *[]){"6", NULL, NULL},
                        (const char *[]){"7", "1", "\1"});
    assert_debezium(&change,
                    DBZ("u", "public", "orders") "\"before\":{\"id\":6},\"after\":{\"id\":7,"
                                                 "\"total\":\"1\"},\"unchanged\":["
                                                 "\"doc\"]}}");
    change =
        row_change(CHANGE_DELETE, relation, OLD_ROW_KEY, (const char *[]){"7", NULL, NULL}, NULL);
    assert_debezium(&change, DBZ("d", "public", "orders") "\"before\":{\"id\":7},\"after\":null}}");
    change = change_make(CHANGE_TRUNCATE, relation);
    assert_debezium(&change, DBZ("t", "public", "orders") "\"before\":null,\"after\":null}}");
    change = message_change(true, "hi", 2);
    assert_debezium(&change, DBZ("m", "", "") "\"before\":null,\"after\":null,\"message\":{"
                                              "\"prefix\":\"app\",\"content\":\"aGk=\"}}}");
    relation_destroy(relation);
}
END_TEST

START_TEST(cloudevents_compat_debezium_has_null_for_what_is_not_known)
{
    struct change change = message_change(false, "hi", 2);
    assert_debezium(
        &change,
        DBZ_HEAD(
            "null",
            "null") "\"time\":null,\"datacontenttype\":\"application/json\","
                    "\"iodebeziumop\":\"m\"," DBZ_SOURCE
                    "\"iodebeziumtsms\":null,\"iodebeziumsnapshot\":"
                    "\"false\",\"iodebeziumdb\":null,\"iodebeziumsequence\":\"[\\\"439041101\\\","
                    "null]\","
                    "\"iodebeziumtsus\":null,\"iodebeziumtsns\":null,\"iodebeziumschema\":\"\","
                    "\"iodebeziumtable\":\"\",\"iodebeziumtxId\":null," DBZ_REST
                    "\"before\":null,\"after\":null,\"message\":{\"prefix\":\"app\",\"content\":"
                    "\"aGk=\"}}}");
    /* No nanoseconds fit, and no year of four digits. */
    change = message_change(true, "hi", 2);
    change.commit_time_us = INT64_MAX;
    struct encoder *encoder = encoder_of(&context, CLOUDEVENTS_STRUCTURED, CLOUDEVENTS_DEBEZIUM);
    struct bytes out;
    struct fan_error error;
    bytes_init(&out, 1 << 20);
    ck_assert_int_eq(cloudevents_encoder.encode(encoder, &change, &out, &error), FAN_OK);
    ck_assert_ptr_nonnull(strstr(bytes_text(&out), "\"time\":null,"));
    ck_assert_ptr_nonnull(strstr(bytes_text(&out), "\"iodebeziumtsns\":null,"));
    bytes_clear(&out);
    change.origin = "north";
    change.origin_lsn.value = 5;
    ck_assert_int_eq(cloudevents_encoder.encode(encoder, &change, &out, &error), FAN_OK);
    ck_assert_ptr_nonnull(strstr(bytes_text(&out), "\"iodebeziumxmin\":null,"
                                                   "\"iodebeziumorigin\":\"north\","
                                                   "\"iodebeziumoriginlsn\":\"5\","
                                                   "\"iodebeziumtxid\":null,"));
    bytes_release(&out);
    change_release(&change);
    cloudevents_encoder.destroy(encoder);
}
END_TEST

START_TEST(cloudevents_compat_debezium_keeps_the_marker_of_a_gap)
{
    struct change change = change_make(CHANGE_GAP, NULL);
    change.gap = calloc(1, sizeof(*change.gap));
    ck_assert_ptr_nonnull(change.gap);
    change.gap->last = change.position;
    change.gap->count = 1;
    assert_debezium(&change, "{\"id\":\"" ID
                             "00000003-g\",\"source\":\"/pgfan/shop\",\"specversion\":\"1.0\","
                             "\"type\":\"io.pgfan.gap\"" TIME JSON_TYPE PLACE DATA
                             "\"from\":\"0/0:0\",\"to\":\"0/1A2B3C4D:3\",\"count\":1" END);
}
END_TEST

START_TEST(cloudevents_settings_keep_formats_apart)
{
    ck_assert_ptr_eq(encoder_type_find("cloudevents"), &cloudevents_encoder);
    const struct encode_settings left = {.type = &cloudevents_encoder};
    struct encode_settings right = left;
    ck_assert(encode_settings_equal(&left, &right));
    right.cloudevents_mode = CLOUDEVENTS_BINARY;
    ck_assert(!encode_settings_equal(&left, &right));
    right = left;
    right.cloudevents_compat = CLOUDEVENTS_DEBEZIUM;
    ck_assert(!encode_settings_equal(&left, &right));
    right = left;
    right.type = &native_encoder;
    ck_assert(!encode_settings_equal(&left, &right));
}
END_TEST

#define CASES(list) ((int)(sizeof(list) / sizeof((list)[0])))

int main(void)
{
    TCase *tcase = tcase_create("cloudevents");
    tcase_add_test(tcase, cloudevents_rows_have_attributes_and_data);
    tcase_add_test(tcase, cloudevents_table_without_key_has_no_partition_key);
    tcase_add_test(tcase, cloudevents_truncate_message_and_gap_have_types_of_their_own);
    tcase_add_test(tcase, cloudevents_message_that_ends_early_leaves_nothing);
    tcase_add_test(tcase, cloudevents_marks_have_types_of_their_own);
    tcase_add_loop_test(tcase, cloudevents_source_is_a_uri_reference, 0, CASES(source_cases));
    tcase_add_loop_test(tcase, cloudevents_subject_holds_no_character_that_an_attribute_must_not, 0,
                        CASES(table_cases));
    tcase_add_test(tcase, cloudevents_subject_follows_the_table);
    tcase_add_test(tcase, cloudevents_long_values_are_cut_between_characters);
    tcase_add_test(tcase, cloudevents_time_is_left_out_where_rfc_3339_has_none);
    tcase_add_test(tcase, cloudevents_sequence_orders_as_positions_do);
    tcase_add_loop_test(tcase, cloudevents_random_bytes_give_valid_events, 0, 3);
    tcase_add_test(tcase, cloudevents_settings_reach_the_data_but_not_the_partition_key);
    tcase_add_loop_test(tcase, cloudevents_every_small_maximum_refuses_and_restores, 0,
                        CASES(forms));
    tcase_add_test(tcase, cloudevents_compat_debezium_has_its_names_and_order);
    tcase_add_test(tcase, cloudevents_compat_debezium_has_null_for_what_is_not_known);
    tcase_add_test(tcase, cloudevents_compat_debezium_keeps_the_marker_of_a_gap);
    tcase_add_test(tcase, cloudevents_settings_keep_formats_apart);
    return suite_run("encode_cloudevents", tcase);
}
