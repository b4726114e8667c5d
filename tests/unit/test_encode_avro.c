/*
 * Property: the envelope avro writes what the envelope debezium says of a change, in Confluent's wire
 *           format and with a schema that is Confluent's mapping of Debezium's; it waits for a schema
 *           whose number is not known, and never reads a JSON that does not fit to the schema.
 * Oracle:   exact bytes by the Avro specification; the reader of avro-c; docs/avro.md. Whole rows of
 *           all types are read by an implementation that is not ours in the integration tests.
 */
#include <avro.h>
#include <math.h>

#include "encode/avro_encoder.h"
#include "encode/avro_schema.h"
#include "encode/avro_value.h"
#include "encode/record.h"
#include "tests/unit/change_fixture.h"
#include "tests/unit/suite.h"

enum { OUT_MAX = 1 << 24, ASKED_MAX = 16 };

static const struct encode_context context = {.source = "shop",
                                              .system_id = "7312345678901234567",
                                              .slot = "pgfan_shop",
                                              .database = "postgres"};

/* A registry that numbers from 42 on, or does not. */
struct fake_ids {
    struct schema_ids ids;
    enum fan_status status;
    size_t asked;
    char subjects[ASKED_MAX][256];
    char schemas[ASKED_MAX][16384];
};

static enum fan_status fake_find(struct schema_ids *ids, const char *subject, const char *schema,
                                 size_t schema_size, uint32_t *ret_id, struct fan_error *reterr)
{
    struct fake_ids *fake = (struct fake_ids *)ids;
    ck_assert_uint_lt(fake->asked, ASKED_MAX);
    if (fake->status != FAN_OK) {
        return fan_fail(reterr, fake->status, "the registry says no");
    }
    (void)snprintf(fake->subjects[fake->asked], sizeof(fake->subjects[0]), "%s", subject);
    (void)snprintf(fake->schemas[fake->asked], sizeof(fake->schemas[0]), "%.*s", (int)schema_size,
                   schema);
    *ret_id = 42 + (uint32_t)fake->asked++;
    return FAN_OK;
}

static struct fake_ids fake_make(void)
{
    return (struct fake_ids){.ids = {fake_find}, .status = FAN_OK};
}

static struct encode_settings settings_make(struct fake_ids *fake)
{
    return (struct encode_settings){.type = &avro_encoder,
                                    .octets = true,
                                    .debezium = {.decimal = DEBEZIUM_DECIMAL_STRING},
                                    .avro = {.ids = &fake->ids}};
}

static struct encoder *encoder_make(const struct encode_settings *settings)
{
    struct encoder *encoder = NULL;
    struct fan_error error;
    ck_assert_int_eq(avro_encoder.create(settings, &context, &encoder, &error), FAN_OK);
    return encoder;
}

/* Encodes behind something that must stay. */
static enum fan_status encode(const struct encode_settings *settings, const struct change *change,
                              struct bytes *out, struct fan_error *reterr)
{
    struct encoder *encoder = encoder_make(settings);
    bytes_init(out, OUT_MAX);
    enum fan_status status = avro_encoder.encode(encoder, change, out, reterr);
    avro_encoder.destroy(encoder);
    return status;
}

static struct change insert_of(const struct relation *relation)
{
    return row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL,
                      (const char *[]){"7", "12.50", NULL});
}

#define KEY_SCHEMA                                                                                 \
    "{\"type\":\"record\",\"name\":\"Key\",\"namespace\":\"shop.public.orders\",\"fields\":["      \
    "{\"name\":\"id\",\"type\":[\"null\",\"int\"],\"default\":null}],"                             \
    "\"connect.name\":\"shop.public.orders.Key\"}"

START_TEST(avro_insert_is_key_and_envelope_of_the_schemas_numbers)
{
    struct fake_ids fake = fake_make();
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct encode_settings settings = settings_make(&fake);
    settings.records = true;
    struct change change = insert_of(relation);
    struct bytes out;
    struct record record;
    struct fan_error error = {0};
    size_t at = 0;
    ck_assert_msg(encode(&settings, &change, &out, &error) == FAN_OK, "%s", error.text);
    ck_assert(record_next(out.data, out.size, &at, &record));
    ck_assert_uint_eq(at, out.size);
    static const uint8_t key[] = {0, 0, 0, 0, 42, 2, 14}; /* the second of a union, 7 */
    ck_assert_uint_eq(record.key_size, sizeof(key));
    ck_assert_mem_eq(record.key, key, sizeof(key));
    /* before: null; after: the second of the union, id 7, "12.50", null; then the source */
    static const uint8_t value[] = {0, 0, 0, 0, 43, 0, 2, 2, 14, 2, 10, '1', '2', '.', '5', '0', 0};
    ck_assert_uint_gt(record.value_size, sizeof(value));
    ck_assert_mem_eq(record.value, value, sizeof(value));
    ck_assert_uint_eq(fake.asked, 2);
    ck_assert_str_eq(fake.subjects[0], "shop.public.orders-key");
    ck_assert_str_eq(fake.subjects[1], "shop.public.orders-value");
    ck_assert_str_eq(fake.schemas[0], KEY_SCHEMA);
    bytes_release(&out);
    change_release(&change);
    relation_destroy(relation);
}
END_TEST

START_TEST(avro_delete_has_a_tombstone_and_no_schema_for_it)
{
    struct fake_ids fake = fake_make();
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct encode_settings settings = settings_make(&fake);
    settings.records = true;
    struct change change =
        row_change(CHANGE_DELETE, relation, OLD_ROW_KEY, (const char *[]){"7", NULL, NULL}, NULL);
    struct bytes out;
    struct record deleted;
    struct record tombstone;
    size_t at = 0;
    ck_assert_int_eq(encode(&settings, &change, &out, NULL), FAN_OK);
    ck_assert(record_next(out.data, out.size, &at, &deleted));
    ck_assert(record_next(out.data, out.size, &at, &tombstone));
    ck_assert_uint_eq(at, out.size);
    ck_assert_ptr_nonnull(deleted.value);
    ck_assert_ptr_null(tombstone.value);
    ck_assert_uint_eq(deleted.key_size, tombstone.key_size);
    ck_assert_mem_eq(deleted.key, tombstone.key, deleted.key_size);
    ck_assert_uint_eq(fake.asked, 2);
    bytes_release(&out);
    change_release(&change);
    relation_destroy(relation);
}
END_TEST

START_TEST(avro_line_is_a_json_string_of_the_same_octets)
{
    struct fake_ids fake = fake_make();
    struct fake_ids other = fake_make();
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct encode_settings octets = settings_make(&fake);
    struct encode_settings line = settings_make(&other);
    line.octets = false;
    struct change change = insert_of(relation);
    struct bytes plain;
    struct bytes text;
    ck_assert_int_eq(encode(&octets, &change, &plain, NULL), FAN_OK);
    ck_assert_int_eq(encode(&line, &change, &text, NULL), FAN_OK);
    ck_assert_int_eq(text.data[0], '"');
    ck_assert_int_eq(text.data[text.size - 1], '"');
    ck_assert_uint_eq(text.size, (plain.size + 2) / 3 * 4 + 2);
    ck_assert_mem_eq(text.data + 1, "AAAAACo", 6); /* 00 00 00 00 2a */
    bytes_release(&plain);
    bytes_release(&text);
    change_release(&change);
    relation_destroy(relation);
}
END_TEST

START_TEST(avro_event_waits_for_the_number_of_its_schema)
{
    struct fake_ids fake = fake_make();
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct encode_settings settings = settings_make(&fake);
    struct encoder *encoder = encoder_make(&settings);
    struct change change = insert_of(relation);
    struct bytes out;
    struct fan_error error = {0};
    bytes_init(&out, OUT_MAX);
    bytes_append(&out, "before", 6);
    fake.status = FAN_AGAIN;
    ck_assert_int_eq(avro_encoder.encode(encoder, &change, &out, &error), FAN_AGAIN);
    ck_assert_str_eq(error.text, "the registry says no");
    ck_assert_uint_eq(out.size, 6);
    fake.status = FAN_OK;
    ck_assert_int_eq(avro_encoder.encode(encoder, &change, &out, &error), FAN_OK);
    ck_assert_uint_gt(out.size, 6);
    ck_assert_int_eq(avro_encoder.encode(encoder, &change, &out, &error), FAN_OK);
    ck_assert_uint_eq(fake.asked, 1); /* a number that is known is not asked for */
    avro_encoder.destroy(encoder);
    bytes_release(&out);
    change_release(&change);
    relation_destroy(relation);
}
END_TEST

/* A dead letter is for people. */
START_TEST(avro_substitute_is_the_json_and_needs_no_registry)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct encode_settings settings = {.type = &avro_encoder, .lenient = true};
    struct change change = insert_of(relation);
    struct bytes out;
    ck_assert_int_eq(encode(&settings, &change, &out, NULL), FAN_OK);
    assert_valid(&out);
    bytes_release(&out);
    change_release(&change);
    relation_destroy(relation);
}
END_TEST

static const struct {
    enum avro_subjects subjects;
    const char *key;
    const char *value;
} subject_cases[] = {
    {AVRO_SUBJECTS_TOPIC, "a-b.my_schema.t-key", "a-b.my_schema.t-value"},
    {AVRO_SUBJECTS_RECORD, "a_b.my_schema.t.Key", "a_b.my_schema.t.Envelope"},
    {AVRO_SUBJECTS_BOTH, "a-b.my_schema.t-a_b.my_schema.t.Key",
     "a-b.my_schema.t-a_b.my_schema.t.Envelope"},
};

START_TEST(avro_subjects_are_those_of_the_strategy)
{
    struct fake_ids fake = fake_make();
    struct relation *relation =
        relation_make_named("my schema", "t", REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct encode_settings settings = settings_make(&fake);
    settings.records = true;
    settings.debezium.topic_prefix = "a-b";
    settings.avro.subjects = subject_cases[_i].subjects;
    struct change change = insert_of(relation);
    struct bytes out;
    ck_assert_int_eq(encode(&settings, &change, &out, NULL), FAN_OK);
    ck_assert_str_eq(fake.subjects[0], subject_cases[_i].key);
    ck_assert_str_eq(fake.subjects[1], subject_cases[_i].value);
    bytes_release(&out);
    change_release(&change);
    relation_destroy(relation);
}
END_TEST

static const struct {
    const char *name;
    const char *replaced;
    const char *unicode;
} name_cases[] = {
    {"shop.public.orders", "shop.public.orders", "shop.public.orders"},
    {"a-b.c d", "a_b.c_d", "a_u002db.c_u0020d"},
    {"1st.2nd.x9", "_st._nd.x9", "_u0031st._u0032nd.x9"},
    {"order_items", "order_items", "order_u005fitems"},
    {"gr\xc3\xbc\xc3\x9f", "gr__", "gr_u00fc_u00df"},
    {"\xf0\x9f\x92\xa9", "__", "_ud83d_udca9"},
    {"\xff", "_", "_u00ff"},
};

START_TEST(avro_names_have_letters_digits_and_underscores)
{
    struct bytes out;
    bytes_init(&out, 1024);
    avro_name_append(&out, name_cases[_i].name, AVRO_NAMES_REPLACE);
    ck_assert_str_eq(bytes_text(&out), name_cases[_i].replaced);
    bytes_clear(&out);
    avro_name_append(&out, name_cases[_i].name, AVRO_NAMES_UNICODE);
    ck_assert_str_eq(bytes_text(&out), name_cases[_i].unicode);
    bytes_release(&out);
}
END_TEST

START_TEST(avro_columns_that_become_one_are_refused)
{
    static const struct column_spec columns[] = {{"a b", 23, true, true},
                                                 {"a_b", 23, false, false}};
    struct fake_ids fake = fake_make();
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, columns, 2);
    struct encode_settings settings = settings_make(&fake);
    struct change change =
        row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){"1", "2"});
    struct bytes out;
    struct fan_error error = {0};
    ck_assert_int_eq(encode(&settings, &change, &out, &error), FAN_POISON);
    ck_assert_str_eq(error.text, "cannot make an Avro schema: two columns become \"a_b\", because "
                                 "Avro's names have letters, digits and _ only");
    ck_assert_str_eq(error.code, "NO_FORM");
    ck_assert_uint_eq(fake.asked, 0);
    bytes_release(&out);
    settings.avro.names = AVRO_NAMES_UNICODE;
    ck_assert_int_eq(encode(&settings, &change, &out, &error), FAN_OK);
    bytes_release(&out);
    change_release(&change);
    relation_destroy(relation);
}
END_TEST

/* Columns have names of their own; those of the envelope stay what consumers look for. */
START_TEST(avro_unicode_names_are_those_of_columns_and_tables)
{
    static const struct column_spec columns[] = {{"row id", 23, true, true},
                                                 {"by_hand", 25, false, false}};
    struct fake_ids fake = fake_make();
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, columns, 2);
    struct encode_settings settings = settings_make(&fake);
    settings.avro.names = AVRO_NAMES_UNICODE;
    struct change change =
        row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){"1", "x"});
    struct bytes out;
    ck_assert_int_eq(encode(&settings, &change, &out, NULL), FAN_OK);
    ck_assert_ptr_nonnull(strstr(fake.schemas[0], "\"row_u0020id\""));
    ck_assert_ptr_nonnull(strstr(fake.schemas[0], "\"by_u005fhand\""));
    ck_assert_ptr_nonnull(strstr(fake.schemas[0], "\"ts_ms\""));
    ck_assert_ptr_nonnull(strstr(fake.schemas[0], "\"data_collection_order\""));
    ck_assert_ptr_null(strstr(fake.schemas[0], "ts_u005fms"));
    bytes_release(&out);
    change_release(&change);
    relation_destroy(relation);
}
END_TEST

static const struct {
    uint32_t type_oid;
    int32_t modifier;
    const char *text;
    const char *shown; /* in the schema */
} default_cases[] = {
    {1700, 4 + (10 << 16) + 2, "0", "\"connect.default\":\"\\u0000\""},
    {1700, 4 + (10 << 16) + 2, "1.28", "\"connect.default\":\"\\u0000\xc2\x80\""},
    {701, -1, "'100000000000000000000'::double precision", "\"connect.default\":1e20"},
    {701, -1, "0", "\"connect.default\":0.0"},
    {23, -1, "7", "\"default\":7"},
    {25, -1, "'it''s'::text", "\"default\":\"it's\""},
};

START_TEST(avro_defaults_of_columns_are_in_the_schema)
{
    const struct column_spec columns[] = {{"id", 23, true, true},
                                          {"d", default_cases[_i].type_oid, false, false}};
    struct fake_ids fake = fake_make();
    struct relation *relation = NULL;
    struct fan_error error = {0};
    ck_assert_int_eq(
        relation_create(1, "public", "t", REPLICA_IDENTITY_DEFAULT, 2, &relation, &error), FAN_OK);
    for (size_t i = 0; i < 2; i++) {
        struct relation_column *column = &relation->columns[i];
        (void)snprintf(column->name, sizeof(column->name), "%s", columns[i].name);
        column->type_oid = columns[i].type_oid;
        column->type = type_builtin(columns[i].type_oid);
        column->type_modifier = i == 1 ? default_cases[_i].modifier : -1;
        column->in_identity = i == 0;
        column->in_primary_key = i == 0;
    }
    relation->columns[1].default_text = strdup(default_cases[_i].text);
    ck_assert_int_eq(relation_finish(relation, &error), FAN_OK);
    struct encode_settings settings = settings_make(&fake);
    settings.debezium.decimal = DEBEZIUM_DECIMAL_PRECISE;
    settings.debezium.defaults = true;
    struct change change =
        row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){"1", NULL});
    struct bytes out;
    ck_assert_msg(encode(&settings, &change, &out, &error) == FAN_OK, "%s", error.text);
    ck_assert_msg(strstr(fake.schemas[0], default_cases[_i].shown) != NULL, "%s", fake.schemas[0]);
    bytes_release(&out);
    change_release(&change);
    relation_destroy(relation);
}
END_TEST

/* Whatever has no form says so by its code: a replay goes by it. */
START_TEST(avro_refusals_have_the_code_of_no_form)
{
    static const struct column_spec columns[] = {{"id", 23, true, true}, {"n", 23, false, false}};
    struct fake_ids fake = fake_make();
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, columns, 2);
    struct encode_settings settings = settings_make(&fake);
    struct change change = row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL,
                                      (const char *[]){"1", "99999999999"});
    struct bytes out;
    struct fan_error error = {0};
    ck_assert_int_eq(encode(&settings, &change, &out, &error), FAN_POISON);
    ck_assert_str_eq(error.code, "NO_FORM");
    bytes_release(&out);
    change_release(&change);
    relation_destroy(relation);
}
END_TEST

/* Its memory is given back: the one after it is written as if there had been none. */
START_TEST(avro_small_event_after_a_large_one_is_the_same)
{
    struct fake_ids fake = fake_make();
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct encode_settings settings = settings_make(&fake);
    struct encoder *encoder = encoder_make(&settings);
    char *large = malloc(2 << 20);
    ck_assert_ptr_nonnull(large);
    memset(large, 'x', (2 << 20) - 1);
    large[(2 << 20) - 1] = '\0';
    struct change small = insert_of(relation);
    struct change big =
        row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){"8", "1", large});
    struct bytes out;
    bytes_init(&out, OUT_MAX);
    ck_assert_int_eq(avro_encoder.encode(encoder, &small, &out, NULL), FAN_OK);
    size_t size = out.size;
    ck_assert_int_eq(avro_encoder.encode(encoder, &big, &out, NULL), FAN_OK);
    size_t behind = out.size;
    ck_assert_uint_gt(behind - size, 2 << 20);
    ck_assert_int_eq(avro_encoder.encode(encoder, &small, &out, NULL), FAN_OK);
    ck_assert_uint_eq(out.size - behind, size);
    ck_assert_mem_eq(out.data, out.data + behind, size);
    avro_encoder.destroy(encoder);
    bytes_release(&out);
    change_release(&small);
    change_release(&big);
    relation_destroy(relation);
    free(large);
}
END_TEST

/* A message, a gap and marks have schemas that belong to no table. */
START_TEST(avro_events_without_a_table_have_schemas_of_their_own)
{
    struct fake_ids fake = fake_make();
    struct encode_settings settings = settings_make(&fake);
    settings.records = true;
    settings.transactions = true;
    struct encoder *encoder = encoder_make(&settings);
    struct change message = message_change(true, "hello", 5);
    struct change_gap range = {.first = {{0x1A2B3C00}, 0}, .last = {{0x1A2B3C4D}, 3}, .count = 120};
    struct change gap = change_make(CHANGE_GAP, NULL);
    gap.gap = &range;
    struct bytes out;
    bytes_init(&out, OUT_MAX);
    struct fan_error error = {0};
    ck_assert_msg(avro_encoder.encode(encoder, &message, &out, &error) == FAN_OK, "%s", error.text);
    ck_assert_msg(avro_encoder.encode(encoder, &gap, &out, &error) == FAN_OK, "%s", error.text);
    ck_assert_msg(avro_encoder.mark(encoder, TXN_MARK_BEGIN, &message, &out, &error) == FAN_OK,
                  "%s", error.text);
    ck_assert_msg(avro_encoder.mark(encoder, TXN_MARK_COMMIT, &message, &out, &error) == FAN_OK,
                  "%s", error.text);
    static const char *const subjects[] = {"shop.message-key", "shop.message-value",
                                           "shop.gap-value", "shop.transaction-key",
                                           "shop.transaction-value"};
    ck_assert_uint_eq(fake.asked, 5);
    for (size_t i = 0; i < fake.asked; i++) {
        ck_assert_str_eq(fake.subjects[i], subjects[i]);
    }
    avro_encoder.destroy(encoder);
    bytes_release(&out);
    change_release(&message);
}
END_TEST

/* ---- the mapping of schemas ---- */

static const struct {
    const char *connect;
    const char *avro; /* NULL: refused */
} schema_cases[] = {
    {"{\"type\":\"int32\",\"optional\":false}", "\"int\""},
    {"{\"type\":\"int64\",\"optional\":true}", "[\"null\",\"long\"]"},
    {"{\"type\":\"int16\",\"optional\":false}", "{\"type\":\"int\",\"connect.type\":\"int16\"}"},
    {"{\"type\":\"int16\",\"optional\":true,\"default\":0}",
     "[{\"type\":\"int\",\"connect.default\":0,\"connect.type\":\"int16\"},\"null\"]"},
    {"{\"type\":\"int32\",\"optional\":false,\"name\":\"io.debezium.time.Date\",\"version\":1}",
     "{\"type\":\"int\",\"connect.version\":1,\"connect.name\":\"io.debezium.time.Date\"}"},
    {"{\"type\":\"int32\",\"optional\":false,\"name\":\"org.apache.kafka.connect.data.Date\","
     "\"version\":1}",
     "{\"type\":\"int\",\"connect.version\":1,"
     "\"connect.name\":\"org.apache.kafka.connect.data.Date\",\"logicalType\":\"date\"}"},
    {"{\"type\":\"bytes\",\"optional\":false,\"name\":\"org.apache.kafka.connect.data.Decimal\","
     "\"version\":1,\"parameters\":{\"scale\":\"2\",\"connect.decimal.precision\":\"6\"}}",
     "{\"type\":\"bytes\",\"scale\":2,\"precision\":6,\"connect.version\":1,"
     "\"connect.parameters\":{\"scale\":\"2\",\"connect.decimal.precision\":\"6\"},"
     "\"connect.name\":\"org.apache.kafka.connect.data.Decimal\",\"logicalType\":\"decimal\"}"},
    {"{\"type\":\"bytes\",\"optional\":false,\"name\":\"org.apache.kafka.connect.data.Decimal\","
     "\"version\":1,\"parameters\":{\"scale\":\"2\"}}",
     "{\"type\":\"bytes\",\"scale\":2,\"precision\":64,\"connect.version\":1,"
     "\"connect.parameters\":{\"scale\":\"2\"},"
     "\"connect.name\":\"org.apache.kafka.connect.data.Decimal\",\"logicalType\":\"decimal\"}"},
    {"{\"type\":\"bytes\",\"optional\":false,\"default\":\"AH//\"}",
     "{\"type\":\"bytes\",\"connect.default\":\"\\u0000\x7f\xc3\xbf\"}"},
    {"{\"type\":\"double\",\"optional\":false,\"default\":\"NaN\"}", "\"double\""},
    {"{\"type\":\"array\",\"items\":{\"type\":\"string\",\"optional\":true},\"optional\":true}",
     "[\"null\",{\"type\":\"array\",\"items\":[\"null\",\"string\"]}]"},
    {"{\"type\":\"map\",\"keys\":{\"type\":\"string\",\"optional\":false},\"values\":"
     "{\"type\":\"string\",\"optional\":true},\"optional\":false}",
     "{\"type\":\"map\",\"values\":[\"null\",\"string\"]}"},
    {"{\"type\":\"map\",\"keys\":{\"type\":\"int16\",\"optional\":false},\"values\":"
     "{\"type\":\"double\",\"optional\":false},\"optional\":false}",
     "{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"MapEntry\","
     "\"namespace\":\"io.confluent.connect.avro\",\"fields\":["
     "{\"name\":\"key\",\"type\":{\"type\":\"int\",\"connect.type\":\"int16\"}},"
     "{\"name\":\"value\",\"type\":\"double\"}]}}"},
    {"{\"type\":\"struct\",\"fields\":["
     "{\"type\":\"struct\",\"fields\":[{\"type\":\"int32\",\"optional\":false,\"field\":\"x\"}],"
     "\"optional\":true,\"name\":\"a.B\",\"version\":1,\"field\":\"one\"},"
     "{\"type\":\"struct\",\"fields\":[{\"type\":\"int32\",\"optional\":false,\"field\":\"x\"}],"
     "\"optional\":true,\"name\":\"a.B\",\"version\":1,\"field\":\"two\"}],"
     "\"optional\":false,\"name\":\"c.D\"}",
     "{\"type\":\"record\",\"name\":\"D\",\"namespace\":\"c\",\"fields\":["
     "{\"name\":\"one\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"B\",\"namespace\":\"a\","
     "\"fields\":[{\"name\":\"x\",\"type\":\"int\"}],\"connect.version\":1,"
     "\"connect.name\":\"a.B\"}],\"default\":null},"
     "{\"name\":\"two\",\"type\":[\"null\",\"a.B\"],\"default\":null}],\"connect.name\":\"c.D\"}"},
    {"{\"type\":\"struct\",\"fields\":["
     "{\"type\":\"struct\",\"fields\":[{\"type\":\"int32\",\"optional\":false,\"field\":\"x\"}],"
     "\"optional\":true,\"name\":\"a.B\",\"field\":\"one\"},"
     "{\"type\":\"struct\",\"fields\":[{\"type\":\"int64\",\"optional\":false,\"field\":\"x\"}],"
     "\"optional\":true,\"name\":\"a.B\",\"field\":\"two\"}],"
     "\"optional\":false,\"name\":\"c.D\"}",
     NULL},
    {"{\"type\":\"int64\",\"optional\":false,\"default\":100000000000000000000}", NULL},
    {"{\"type\":\"int128\",\"optional\":false}", NULL},
    {"{\"optional\":false}", NULL},
};

START_TEST(avro_schema_is_the_mapping_of_confluent)
{
    struct bytes out;
    struct fan_error error = {0};
    const char *connect = schema_cases[_i].connect;
    bytes_init(&out, OUT_MAX);
    bytes_append_char(&out, '>');
    enum fan_status status =
        avro_schema_make(connect, strlen(connect), AVRO_NAMES_REPLACE, &out, &error);
    if (schema_cases[_i].avro == NULL) {
        ck_assert_int_eq(status, FAN_POISON);
        ck_assert_str_eq(error.code, "NO_FORM");
        ck_assert_uint_eq(out.size, 1);
    } else {
        ck_assert_msg(status == FAN_OK, "%s", error.text);
        ck_assert_str_eq(bytes_text(&out) + 1, schema_cases[_i].avro);
    }
    bytes_release(&out);
}
END_TEST

/* ---- values ---- */

#define RECORD_SCHEMA                                                                              \
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":["                                             \
    "{\"name\":\"b\",\"type\":\"boolean\"},{\"name\":\"i\",\"type\":\"int\"},"                     \
    "{\"name\":\"l\",\"type\":\"long\"},{\"name\":\"f\",\"type\":\"float\"},"                      \
    "{\"name\":\"d\",\"type\":\"double\"},{\"name\":\"s\",\"type\":\"string\"},"                   \
    "{\"name\":\"y\",\"type\":\"bytes\"},"                                                         \
    "{\"name\":\"n\",\"type\":[\"string\",\"null\"]},"                                             \
    "{\"name\":\"a\",\"type\":{\"type\":\"array\",\"items\":[\"null\",\"int\"]}},"                 \
    "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":[\"null\",\"string\"]}},"               \
    "{\"name\":\"p\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"E\","  \
    "\"fields\":[{\"name\":\"k\",\"type\":\"int\"},{\"name\":\"v\",\"type\":\"double\"}]}}}]}"

struct filled {
    avro_schema_t schema;
    avro_value_iface_t *iface;
    avro_value_t value;
    struct bytes scratch;
};

static struct filled filled_make(const char *schema)
{
    struct filled filled = {0};
    ck_assert_int_eq(avro_schema_from_json_length(schema, strlen(schema), &filled.schema), 0);
    filled.iface = avro_generic_class_from_schema(filled.schema);
    ck_assert_int_eq(avro_generic_value_new(filled.iface, &filled.value), 0);
    bytes_init(&filled.scratch, OUT_MAX);
    return filled;
}

static void filled_release(struct filled *filled)
{
    avro_value_decref(&filled->value);
    avro_value_iface_decref(filled->iface);
    avro_schema_decref(filled->schema);
    bytes_release(&filled->scratch);
}

/* In a block of its own, so that a sanitizer sees what is read behind its end. */
static enum fan_status fill(struct filled *filled, const char *json, size_t size)
{
    uint8_t *copy = malloc(size + (size == 0));
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, json, size);
    ck_assert_int_eq(avro_value_reset(&filled->value), 0);
    enum fan_status status = avro_value_fill(&filled->value, copy, size, &filled->scratch);
    free(copy);
    return status;
}

#define ROW                                                                                        \
    "{\"b\":true,\"i\":-2147483648,\"l\":9223372036854775807,\"f\":1.17549435e-38,"                \
    "\"d\":\"-Infinity\",\"s\":\"a\\\"\\\\\\u0001\\ud83d\\ude00\xc3\xa4\\n\",\"y\":\"AAH/\","      \
    "\"n\":null,\"a\":[1,null,3],\"m\":{\"x\":\"y\",\"z\":null},\"p\":[[1,0.5],[2,\"NaN\"]]}"

START_TEST(avro_values_are_those_of_the_json)
{
    /* By the specification: zigzag varints, little-endian floats, sizes before texts. */
    static const uint8_t expected[] = "\x01"
                                      "\xff\xff\xff\xff\x0f"
                                      "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                                      "\x00\x00\x80\x00"
                                      "\x00\x00\x00\x00\x00\x00\xf0\xff"
                                      "\x16"
                                      "a\"\\\x01\xf0\x9f\x98\x80\xc3\xa4\n"
                                      "\x06\x00\x01\xff"
                                      "\x02";
    struct filled filled = filled_make(RECORD_SCHEMA);
    char out[512];
    size_t size = 0;
    ck_assert_int_eq(fill(&filled, ROW, sizeof(ROW) - 1), FAN_OK);
    ck_assert_int_eq(avro_value_sizeof(&filled.value, &size), 0);
    avro_writer_t writer = avro_writer_memory(out, sizeof(out));
    ck_assert_int_eq(avro_value_write(writer, &filled.value), 0);
    avro_writer_free(writer);
    ck_assert_uint_gt(size, sizeof(expected) - 1);
    ck_assert_mem_eq(out, expected, sizeof(expected) - 1);
    avro_value_t pairs;
    avro_value_t pair;
    avro_value_t number;
    size_t count;
    double value;
    ck_assert_int_eq(avro_value_get_by_name(&filled.value, "p", &pairs, NULL), 0);
    ck_assert_int_eq(avro_value_get_size(&pairs, &count), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(avro_value_get_by_index(&pairs, 1, &pair, NULL), 0);
    ck_assert_int_eq(avro_value_get_by_index(&pair, 1, &number, NULL), 0);
    ck_assert_int_eq(avro_value_get_double(&number, &value), 0);
    ck_assert(isnan(value));
    filled_release(&filled);
}
END_TEST

START_TEST(avro_json_that_is_cut_is_refused)
{
    struct filled filled = filled_make(RECORD_SCHEMA);
    for (size_t size = 0; size < sizeof(ROW) - 1; size++) {
        ck_assert_int_eq(fill(&filled, ROW, size), FAN_POISON);
    }
    ck_assert_int_eq(fill(&filled, ROW " ", sizeof(ROW)), FAN_POISON);
    filled_release(&filled);
}
END_TEST

static const struct {
    const char *schema;
    const char *json;
} misfits[] = {
    {"\"int\"", "2147483648"},
    {"\"int\"", "-2147483649"},
    {"\"int\"", "1.5"},
    {"\"int\"", "\"\""},
    {"\"int\"", "null"},
    {"\"int\"", ""},
    {"\"long\"", "9223372036854775808"},
    {"\"long\"", "true"},
    {"\"double\"", "\"x\""},
    {"\"double\"", "1e"},
    {"\"float\"", "--1"},
    {"\"boolean\"", "truth"},
    {"\"boolean\"", "1"},
    {"\"string\"", "1"},
    {"\"string\"", "\"\\x\""},
    {"\"string\"", "\"\\u12\""},
    {"\"string\"", "\"\\ud83d\""},
    {"\"string\"", "\"\\ud83d\\u0041\""},
    {"\"string\"", "\"a"},
    {"\"bytes\"", "\"!!!!\""},
    {"[\"null\",\"int\"]", "nul"},
    {"{\"type\":\"array\",\"items\":\"int\"}", "[1,]"},
    {"{\"type\":\"array\",\"items\":\"int\"}", "{}"},
    {"{\"type\":\"map\",\"values\":\"int\"}", "{\"a\"1}"},
    {"{\"type\":\"map\",\"values\":\"int\"}", "{1:1}"},
    {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"x\",\"type\":\"int\"}]}",
     "{\"x\":1,\"y\":2}"},
    {"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"x\",\"type\":\"int\"}]}", "{}"},
};

START_TEST(avro_json_that_does_not_fit_is_refused)
{
    struct filled filled = filled_make(misfits[_i].schema);
    ck_assert_int_eq(fill(&filled, misfits[_i].json, strlen(misfits[_i].json)), FAN_POISON);
    filled_release(&filled);
}
END_TEST

#define CASES(list) (int)(sizeof(list) / sizeof((list)[0]))

int main(void)
{
    TCase *tcase = tcase_create("avro");
    tcase_add_test(tcase, avro_insert_is_key_and_envelope_of_the_schemas_numbers);
    tcase_add_test(tcase, avro_delete_has_a_tombstone_and_no_schema_for_it);
    tcase_add_test(tcase, avro_line_is_a_json_string_of_the_same_octets);
    tcase_add_test(tcase, avro_event_waits_for_the_number_of_its_schema);
    tcase_add_test(tcase, avro_substitute_is_the_json_and_needs_no_registry);
    tcase_add_loop_test(tcase, avro_subjects_are_those_of_the_strategy, 0, CASES(subject_cases));
    tcase_add_loop_test(tcase, avro_names_have_letters_digits_and_underscores, 0,
                        CASES(name_cases));
    tcase_add_test(tcase, avro_columns_that_become_one_are_refused);
    tcase_add_test(tcase, avro_unicode_names_are_those_of_columns_and_tables);
    tcase_add_loop_test(tcase, avro_defaults_of_columns_are_in_the_schema, 0, CASES(default_cases));
    tcase_add_test(tcase, avro_refusals_have_the_code_of_no_form);
    tcase_add_test(tcase, avro_small_event_after_a_large_one_is_the_same);
    tcase_add_test(tcase, avro_events_without_a_table_have_schemas_of_their_own);
    tcase_add_loop_test(tcase, avro_schema_is_the_mapping_of_confluent, 0, CASES(schema_cases));
    tcase_add_test(tcase, avro_values_are_those_of_the_json);
    tcase_add_test(tcase, avro_json_that_is_cut_is_refused);
    tcase_add_loop_test(tcase, avro_json_that_does_not_fit_is_refused, 0, CASES(misfits));
    return suite_run("encode_avro", tcase);
}
