/*
 * Property: whatever bytes a checked tuple holds, the native envelope is one valid JSON object on
 *           one line, and says what PostgreSQL meant (docs/native-envelope.md).
 * Oracle:   exact bytes for value texts that a PostgreSQL 15 server printed; jansson for validity.
 */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/utf8.h"
#include "encode/encoder.h"
#include "encode/json.h"
#include "encode/native.h"
#include "encode/value.h"
#include "model/change.h"
#include "model/row.h"
#include "tests/unit/change_fixture.h"
#include "tests/unit/suite.h"

static const struct encode_context context = {
    .source = "shop", .system_id = "7312345678901234567", .slot = "pgfan_shop"};

#define TAIL                                                                                       \
    ",\"lsn\":\"0/1A2B3C4D\",\"seq\":3,\"txid\":731,\"ts\":\"2026-11-22T01:02:03.456789Z\","       \
    "\"id\":\"7312345678901234567-pgfan_shop-000000001a2b3c4d-00000003\",\"source\":\"shop\"}"

static struct encoder *encoder_make(bool int8_as_string, enum special_values special_values)
{
    const struct encode_settings settings = {.type = &native_encoder,
                                             .int8_as_string = int8_as_string,
                                             .special_values = special_values};
    struct encoder *encoder = NULL;
    struct fan_error error;
    ck_assert_int_eq(native_encoder.create(&settings, &context, &encoder, &error), FAN_OK);
    return encoder;
}

static void assert_encoded(struct encoder *encoder, struct change *change, const char *expected)
{
    struct bytes out;
    bytes_init(&out, 1 << 24);
    struct fan_error error = {0};
    ck_assert_int_eq(native_encoder.encode(encoder, change, &out, &error), FAN_OK);
    assert_valid(&out);
    ck_assert_str_eq(bytes_text(&out), expected);
    /* A second time, over the kept texts, and behind other bytes. */
    size_t size = out.size;
    ck_assert_int_eq(native_encoder.encode(encoder, change, &out, &error), FAN_OK);
    ck_assert_uint_eq(out.size, 2 * size);
    ck_assert_mem_eq(out.data, out.data + size, size);
    bytes_release(&out);
    change_release(change);
}

START_TEST(native_insert_has_key_and_after)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct encoder *encoder = encoder_make(false, SPECIAL_STRING);
    struct change change = row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL,
                                      (const char *[]){"7", "12.50", NULL});
    assert_encoded(encoder, &change,
                   "{\"op\":\"c\",\"table\":\"public.orders\",\"key\":{\"id\":7},"
                   "\"after\":{\"id\":7,\"total\":\"12.50\",\"doc\":null}" TAIL);
    native_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

START_TEST(native_update_lists_unchanged_columns)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct encoder *encoder = encoder_make(false, SPECIAL_STRING);
    struct change change = row_change(CHANGE_UPDATE, relation, OLD_ROW_NONE, NULL,
                                      (const char *[]){"7", "12.50", "\1"});
    assert_encoded(encoder, &change,
                   "{\"op\":\"u\",\"table\":\"public.orders\",\"key\":{\"id\":7},"
                   "\"after\":{\"id\":7,\"total\":\"12.50\"},\"unchanged\":[\"doc\"]" TAIL);
    native_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

START_TEST(native_update_of_key_shows_old_key_only)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct encoder *encoder = encoder_make(false, SPECIAL_STRING);
    struct change change =
        row_change(CHANGE_UPDATE, relation, OLD_ROW_KEY, (const char *[]){"6", NULL, NULL},
                   (const char *[]){"7", NULL, "d"});
    assert_encoded(encoder, &change,
                   "{\"op\":\"u\",\"table\":\"public.orders\",\"key\":{\"id\":7},"
                   "\"before\":{\"id\":6},"
                   "\"after\":{\"id\":7,\"total\":null,\"doc\":\"d\"}" TAIL);
    native_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

START_TEST(native_toasted_key_is_filled_from_old_key)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct encoder *encoder = encoder_make(false, SPECIAL_STRING);
    struct change change =
        row_change(CHANGE_UPDATE, relation, OLD_ROW_KEY, (const char *[]){"7", NULL, NULL},
                   (const char *[]){"\1", "1", "\1"});
    assert_encoded(encoder, &change,
                   "{\"op\":\"u\",\"table\":\"public.orders\",\"key\":{\"id\":7},"
                   "\"before\":{\"id\":7},"
                   "\"after\":{\"id\":7,\"total\":\"1\"},\"unchanged\":[\"doc\"]" TAIL);
    native_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

START_TEST(native_full_identity_fills_unchanged_from_old_row)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_FULL, shop_columns, 3);
    struct encoder *encoder = encoder_make(false, SPECIAL_STRING);
    struct change change =
        row_change(CHANGE_UPDATE, relation, OLD_ROW_FULL, (const char *[]){"7", NULL, "long"},
                   (const char *[]){"7", "2", "\1"});
    assert_encoded(encoder, &change,
                   "{\"op\":\"u\",\"table\":\"public.orders\",\"key\":{\"id\":7},"
                   "\"before\":{\"id\":7,\"total\":null,\"doc\":\"long\"},"
                   "\"after\":{\"id\":7,\"total\":\"2\",\"doc\":\"long\"}" TAIL);
    native_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

START_TEST(native_delete_has_key_and_before)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct encoder *encoder = encoder_make(false, SPECIAL_STRING);
    struct change change =
        row_change(CHANGE_DELETE, relation, OLD_ROW_KEY, (const char *[]){"7", NULL, NULL}, NULL);
    assert_encoded(encoder, &change,
                   "{\"op\":\"d\",\"table\":\"public.orders\",\"key\":{\"id\":7},"
                   "\"before\":{\"id\":7}" TAIL);
    native_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

START_TEST(native_table_without_key_has_null_key)
{
    struct relation *nothing = relation_make(REPLICA_IDENTITY_NOTHING, shop_columns, 1);
    struct relation *full = relation_make(REPLICA_IDENTITY_FULL,
                                          (const struct column_spec[]){{"id", 23, true, false}}, 1);
    struct encoder *encoder = encoder_make(false, SPECIAL_STRING);
    struct change change =
        row_change(CHANGE_INSERT, nothing, OLD_ROW_NONE, NULL, (const char *[]){"7"});
    assert_encoded(encoder, &change,
                   "{\"op\":\"c\",\"table\":\"public.orders\",\"key\":null,"
                   "\"after\":{\"id\":7}" TAIL);
    change = row_change(CHANGE_DELETE, full, OLD_ROW_FULL, (const char *[]){"7"}, NULL);
    assert_encoded(encoder, &change,
                   "{\"op\":\"d\",\"table\":\"public.orders\",\"key\":null,"
                   "\"before\":{\"id\":7}" TAIL);
    native_encoder.destroy(encoder);
    relation_destroy(nothing);
    relation_destroy(full);
}
END_TEST

START_TEST(native_truncate_names_its_options)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct encoder *encoder = encoder_make(false, SPECIAL_STRING);
    struct change change = change_make(CHANGE_TRUNCATE, relation);
    assert_encoded(encoder, &change, "{\"op\":\"t\",\"table\":\"public.orders\",\"key\":null" TAIL);
    change = change_make(CHANGE_TRUNCATE, relation);
    change.truncate_flags = 3;
    assert_encoded(encoder, &change,
                   "{\"op\":\"t\",\"table\":\"public.orders\",\"key\":null,\"cascade\":true,"
                   "\"restart_identity\":true" TAIL);
    native_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

START_TEST(native_message_is_text_or_base64)
{
    struct encoder *encoder = encoder_make(false, SPECIAL_STRING);
    struct change change = message_change(true, "hi \"x\"", 6);
    assert_encoded(encoder, &change,
                   "{\"op\":\"m\",\"prefix\":\"app\",\"content\":\"hi \\\"x\\\"\","
                   "\"transactional\":true" TAIL);
    change = message_change(false, "\xff\xfe", 2);
    assert_encoded(encoder, &change,
                   "{\"op\":\"m\",\"prefix\":\"app\",\"content\":\"//4=\","
                   "\"encoding\":\"base64\",\"transactional\":false,\"lsn\":\"0/1A2B3C4D\","
                   "\"seq\":-1,\"txid\":null,\"ts\":null,"
                   "\"id\":\"7312345678901234567-pgfan_shop-000000001a2b3c4d-m\","
                   "\"source\":\"shop\"}");
    native_encoder.destroy(encoder);
}
END_TEST

START_TEST(native_message_that_ends_early_is_refused)
{
    struct encoder *encoder = encoder_make(false, SPECIAL_STRING);
    struct change change = message_change(true, "text", 4);
    change.message->size -= 1;
    struct bytes out;
    bytes_init(&out, 4096);
    struct fan_error error;
    ck_assert_int_eq(native_encoder.encode(encoder, &change, &out, &error), FAN_POISON);
    ck_assert_uint_eq(out.size, 0);
    bytes_release(&out);
    change_release(&change);
    native_encoder.destroy(encoder);
}
END_TEST

START_TEST(native_gap_names_first_last_and_count)
{
    struct encoder *encoder = encoder_make(false, SPECIAL_STRING);
    struct change change = change_make(CHANGE_GAP, NULL);
    change.gap = malloc(sizeof(*change.gap));
    ck_assert_ptr_nonnull(change.gap);
    *change.gap = (struct change_gap){
        .first = {{0x1A2B3C00}, SEQ_MESSAGE}, .last = change.position, .count = 12345678901};
    assert_encoded(encoder, &change,
                   "{\"op\":\"g\",\"table\":null,\"from\":\"0/1A2B3C00:-1\","
                   "\"to\":\"0/1A2B3C4D:3\",\"count\":12345678901,\"lsn\":\"0/1A2B3C4D\","
                   "\"seq\":3,\"txid\":731,\"ts\":\"2026-11-22T01:02:03.456789Z\",\"id\":"
                   "\"7312345678901234567-pgfan_shop-000000001a2b3c4d-00000003-g\","
                   "\"source\":\"shop\"}");
    native_encoder.destroy(encoder);
}
END_TEST

START_TEST(native_names_are_escaped)
{
    struct relation *relation = relation_make(
        REPLICA_IDENTITY_DEFAULT, (const struct column_spec[]){{"a\"b", 25, true, true}}, 1);
    const struct encode_settings settings = {.type = &native_encoder};
    const struct encode_context odd = {.source = "s\"\n", .system_id = "1", .slot = "s"};
    struct encoder *encoder = NULL;
    struct fan_error error;
    ck_assert_int_eq(native_encoder.create(&settings, &odd, &encoder, &error), FAN_OK);
    struct change change =
        row_change(CHANGE_UPDATE, relation, OLD_ROW_NONE, NULL, (const char *[]){"\1"});
    assert_encoded(encoder, &change,
                   "{\"op\":\"u\",\"table\":\"public.orders\",\"key\":{},\"after\":{},"
                   "\"unchanged\":[\"a\\\"b\"],\"lsn\":\"0/1A2B3C4D\",\"seq\":3,\"txid\":731,"
                   "\"ts\":\"2026-11-22T01:02:03.456789Z\",\"id\":\"1-s-000000001a2b3c4d-00000003\""
                   ",\"source\":\"s\\\"\\n\"}");
    native_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

struct value_case {
    uint32_t type_oid;
    const char *text;
    const char *json;
};

/* Texts as PostgreSQL 15 prints them, and some that it never prints. */
static const struct value_case value_cases[] = {
    {21, "-32768", "-32768"},
    {23, "2147483647", "2147483647"},
    {20, "-9223372036854775808", "-9223372036854775808"},
    {23, "007", "\"007\""},
    {23, "", "\"\""},
    {23, "-", "\"-\""},
    {701, "1e+20", "1e+20"},
    {701, "-0", "-0"},
    {701, "1.5e-07", "1.5e-07"},
    {700, "3.4e+38", "3.4e+38"},
    {701, "NaN", "\"NaN\""},
    {701, "Infinity", "\"Infinity\""},
    {700, "-Infinity", "\"-Infinity\""},
    {701, "1.", "\"1.\""},
    {701, "1e", "\"1e\""},
    {701, ".5", "\".5\""},
    {1700, "12.50", "\"12.50\""},
    {1700, "NaN", "\"NaN\""},
    {1700, "1000000000000000000000000000000", "\"1000000000000000000000000000000\""},
    {16, "t", "true"},
    {16, "f", "false"},
    {16, "x", "\"x\""},
    {25, "", "\"\""},
    {25, "line\nbreak\ttab\r\b\f\x01\x1f\x7f", "\"line\\nbreak\\ttab\\r\\b\\f\\u0001\\u001f\x7f\""},
    {25, "q\"b\\s/", "\"q\\\"b\\\\s/\""},
    {25, "0123456789abcde\"0123456789abcdef\\", "\"0123456789abcde\\\"0123456789abcdef\\\\\""},
    {25, "\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\""},
    {25, "a\xff\xc3", "\"a\xef\xbf\xbd\xef\xbf\xbd\""},
    {25, "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    {17, "\\x", "\"\""},
    {17, "\\x00", "\"AA==\""},
    {17, "\\xdead", "\"3q0=\""},
    {17, "\\xdeadbe", "\"3q2+\""},
    {17, "\\xDEADBEEF", "\"3q2+7w==\""},
    {17, "\\xdea", "\"\\\\xdea\""},
    {17, "\\xzz", "\"\\\\xzz\""},
    {17, "\\000", "\"\\\\000\""},
    {114, "{\"b\" : 1,\n \"a\":[ ]}", "{\"b\":1,\"a\":[]}"},
    {3802, "{\"a\": \"x y\", \"b\": 1.50}", "{\"a\":\"x y\",\"b\":1.50}"},
    {114, " \t\r\n[1 , -0.5e+3 ,true,false,null,\"\\u00e9\\n\"]\n",
     "[1,-0.5e+3,true,false,null,\"\\u00e9\\n\"]"},
    {114, "{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}"},
    {114, "\"x\"", "\"x\""},
    {114, "1", "1"},
    {114, "\"\xff\"", "\"\xef\xbf\xbd\""},
    {114, "[\"\xc3\xbc\"]", "[\"\xc3\xbc\"]"},
    {114, "", "\"\""},
    {114, "{", "\"{\""},
    {114, "[1,]", "\"[1,]\""},
    {114, "{\"a\"}", "\"{\\\"a\\\"}\""},
    {114, "{\"a\":1,}", "\"{\\\"a\\\":1,}\""},
    {114, "[1}", "\"[1}\""},
    {114, "1 2", "\"1 2\""},
    {114, "[01]", "\"[01]\""},
    {114, "\"a\nb\"", "\"\\\"a\\nb\\\"\""},
    {114, "\"\\x\"", "\"\\\"\\\\x\\\"\""},
    {114, "\"\\u12g4\"", "\"\\\"\\\\u12g4\\\"\""},
    {114, "nul", "\"nul\""},
    {114, "{1:2}", "\"{1:2}\""},
    {114, ",", "\",\""},
    {114, "]", "\"]\""},
    {114, "[\xff]", "\"[\xef\xbf\xbd]\""},
    {1114, "2026-01-01 00:00:00", "\"2026-01-01T00:00:00\""},
    {1114, "2026-01-01 00:00:00.123456", "\"2026-01-01T00:00:00.123456\""},
    {1114, "0044-03-15 00:00:00 BC", "\"0044-03-15 00:00:00 BC\""},
    {1114, "infinity", "\"infinity\""},
    {1114, "-infinity", "\"-infinity\""},
    {1114, "", "\"\""},
    {1184, "2025-12-31 23:02:03.5+00", "\"2025-12-31T23:02:03.5Z\""},
    {1184, "12026-01-01 10:00:00+00", "\"12026-01-01T10:00:00Z\""},
    {1184, "0044-03-15 00:00:00+00 BC", "\"0044-03-15 00:00:00+00 BC\""},
    {1184, "2025-12-31 23:02:03+05:30", "\"2025-12-31T23:02:03+05:30\""},
    {1184, "infinity", "\"infinity\""},
    {1184, "1 +00", "\"1TZ\""},
    {1184, "1 00", "\"1T00\""},
    {1082, "2026-01-01", "\"2026-01-01\""},
    {1083, "24:00:00", "\"24:00:00\""},
    {3904, "[1,5)", "\"[1,5)\""},
    {22, "1 2", "\"1 2\""},
    {2950, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\""},
    {99999, "x", "\"x\""},
    {1007, "{}", "[]"},
    {1007, "{1,2,NULL}", "[1,2,null]"},
    {1007, "{{1,2},{3,NULL}}", "[[1,2],[3,null]]"},
    {1007, "[0:1]={1,2}", "\"[0:1]={1,2}\""},
    {1016, "{9223372036854775807}", "[9223372036854775807]"},
    {1000, "{t,f,NULL}", "[true,false,null]"},
    {1022, "{1.5,NaN,Infinity}", "[1.5,\"NaN\",\"Infinity\"]"},
    {1231, "{1.50,NaN}", "[\"1.50\",\"NaN\"]"},
    {1009, "{\"a b\",\"q\\\"q\",\"b\\\\s\",NULL,\"NULL\",\"\",\"{x}\",\"tab\t\",\xc3\xbc}",
     "[\"a b\",\"q\\\"q\",\"b\\\\s\",null,\"NULL\",\"\",\"{x}\",\"tab\\t\",\"\xc3\xbc\"]"},
    {199, "{\"{\\\"a\\\": [1, 2]}\",\"null\"}", "[{\"a\":[1,2]},null]"},
    {3807, "{\"{\\\"a\\\": \\\"b\\\\\\\"c\\\"}\"}", "[{\"a\":\"b\\\"c\"}]"},
    {1020, "{(3,4),(1,2);(7,8),(5,6)}", "[\"(3,4),(1,2)\",\"(7,8),(5,6)\"]"},
    {1001, "{\"\\\\xdead\",\"\\\\x\"}", "[\"3q0=\",\"\"]"},
    {1115, "{\"2026-01-01 00:00:00\"}", "[\"2026-01-01T00:00:00\"]"},
    {1185, "{\"2026-01-01 01:02:03.5+00\",NULL}", "[\"2026-01-01T01:02:03.5Z\",null]"},
    {1185, "{infinity}", "[\"infinity\"]"},
    {1006, "{\"1 2\"}", "[\"1 2\"]"},
    {3905, "{\"[1,5)\"}", "[\"[1,5)\"]"},
    {1009, "{{{\"{1}\"}}}", "[[[\"{1}\"]]]"},
    {1007, "", "\"\""},
    {1007, "{", "\"{\""},
    {1007, "1", "\"1\""},
    {1007, "}", "\"}\""},
    {1007, "{1", "\"{1\""},
    {1007, "{1,}", "\"{1,}\""},
    {1007, "{,1}", "\"{,1}\""},
    {1007, "{1}}", "\"{1}}\""},
    {1007, "{1}{", "\"{1}{\""},
    {1007, "{{{{{{{1}}}}}}}", "\"{{{{{{{1}}}}}}}\""},
    {1009, "{\"a", "\"{\\\"a\""},
    {1009, "{\"a\\", "\"{\\\"a\\\\\""},
    {1009, "{\"a\\\"}", "\"{\\\"a\\\\\\\"}\""},
    {1009, "{a\"b}", "\"{a\\\"b}\""},
};

static void value_check(struct value_writer *writer, const struct value_case *value)
{
    /* An exact copy, so that a read behind the text is seen by the sanitizer. */
    size_t size = strlen(value->text);
    char *copy = malloc(size + 1);
    ck_assert_ptr_nonnull(copy);
    char *text = copy + 1;
    memcpy(text, value->text, size);
    const struct row_value row_value = {.kind = ROW_TEXT, .text = text, .size = (uint32_t)size};
    struct type_info type = type_builtin(value->type_oid);
    struct bytes out;
    bytes_init(&out, 1 << 20);
    value_write(writer, &type, &row_value, &out);
    ck_assert_str_eq(bytes_text(&out), value->json);
    json_t *json =
        json_loadb((const char *)out.data, out.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    ck_assert_ptr_nonnull(json);
    json_decref(json);
    bytes_release(&out);
    free(copy);
}

START_TEST(native_value_is_written_as_documented)
{
    const struct encode_settings settings = {.type = &native_encoder};
    struct value_writer writer;
    value_writer_init(&writer, &settings);
    value_check(&writer, &value_cases[_i]);
    ck_assert(!writer.refused);
    value_writer_release(&writer);
}
END_TEST

START_TEST(native_binary_value_is_base64)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_NOTHING, shop_columns, 1);
    struct encoder *encoder = encoder_make(false, SPECIAL_STRING);
    struct change change =
        row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){"\2\x07\x08"});
    assert_encoded(encoder, &change,
                   "{\"op\":\"c\",\"table\":\"public.orders\",\"key\":null,"
                   "\"after\":{\"id\":\"Bwg=\"}" TAIL);
    native_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

START_TEST(native_settings_switch_int8_and_special_values)
{
    const struct encode_settings settings = {
        .type = &native_encoder, .int8_as_string = true, .special_values = SPECIAL_NULL};
    struct value_writer writer;
    value_writer_init(&writer, &settings);
    value_check(&writer, &(struct value_case){20, "5", "\"5\""});
    value_check(&writer, &(struct value_case){23, "5", "5"});
    value_check(&writer, &(struct value_case){1016, "{5,NULL}", "[\"5\",null]"});
    value_check(&writer, &(struct value_case){701, "NaN", "null"});
    value_check(&writer, &(struct value_case){1022, "{-Infinity,1}", "[null,1]"});
    value_check(&writer, &(struct value_case){1700, "NaN", "\"NaN\""});
    ck_assert(!writer.refused);
    value_writer_release(&writer);
}
END_TEST

START_TEST(native_special_value_is_refused_when_asked_and_leaves_nothing)
{
    const struct column_spec columns[] = {{"f", 701, false, false}, {"a", 1022, false, false}};
    struct relation *relation = relation_make(REPLICA_IDENTITY_NOTHING, columns, 2);
    struct encoder *encoder = encoder_make(false, SPECIAL_FAIL);
    struct bytes out;
    bytes_init(&out, 1 << 20);
    bytes_append_text(&out, "before");
    const char *const rows[][2] = {
        {"NaN", NULL}, {"1", "{Infinity}"}, {"-Infinity", "{1}"}, {"1", "{1}"}};
    for (size_t i = 0; i < 4; i++) {
        struct change change = row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, rows[i]);
        struct fan_error error = {0};
        enum fan_status status = native_encoder.encode(encoder, &change, &out, &error);
        ck_assert_int_eq(status, i < 3 ? FAN_POISON : FAN_OK);
        if (i < 3) {
            ck_assert_str_eq(bytes_text(&out), "before");
            ck_assert_str_eq(error.code, "SPECIAL_VALUE");
        }
        change_release(&change);
    }
    bytes_release(&out);
    native_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

/* Bytes that mean something to one of the formats, so that random texts reach deep. */
static const char alphabet[] = "{}[],:;\"\\ \n\t01-+.eEtfnulrsaxN\xff\xc3\xbc\xe2\x82\xac\x01\x80";

START_TEST(native_random_bytes_give_valid_json)
{
    static const uint32_t oids[] = {23, 20,   701,  1700, 16,   114,  3802, 17,   1114, 1184,
                                    25, 1007, 1009, 199,  1001, 1185, 1022, 1020, 99999};
    const struct encode_settings settings = {.type = &native_encoder};
    struct value_writer writer;
    value_writer_init(&writer, &settings);
    struct rng rng = rng_seeded(20261122u + (uint64_t)_i);
    struct bytes out;
    bytes_init(&out, 1 << 20);
    for (int round = 0; round < 4000; round++) {
        size_t size = (size_t)rng_below(&rng, 40);
        char *text = malloc(size + 1);
        ck_assert_ptr_nonnull(text);
        for (size_t i = 0; i < size; i++) {
            text[i + 1] = rng_below(&rng, 4) == 0 ? (char)rng_next(&rng)
                                                  : alphabet[rng_below(&rng, sizeof(alphabet) - 1)];
        }
        struct type_info type = type_builtin(oids[rng_below(&rng, sizeof(oids) / sizeof(*oids))]);
        const struct row_value value = {.kind = rng_below(&rng, 8) == 0 ? ROW_BINARY : ROW_TEXT,
                                        .text = text + 1,
                                        .size = (uint32_t)size};
        bytes_clear(&out);
        bytes_append_text(&out, "{\"v\":");
        value_write(&writer, &type, &value, &out);
        bytes_append_char(&out, '}');
        assert_valid(&out);
        free(text);
    }
    bytes_release(&out);
    value_writer_release(&writer);
}
END_TEST

/* The slow way: base/bytes.h escapes byte by byte. DEL is the one byte where the two differ. */
START_TEST(native_fast_strings_equal_slow_strings)
{
    struct rng rng = rng_seeded(7);
    struct bytes fast;
    struct bytes slow;
    bytes_init(&fast, 1 << 22);
    bytes_init(&slow, 1 << 22);
    char *text = malloc(300000);
    ck_assert_ptr_nonnull(text);
    for (int round = 0; round < 3000; round++) {
        size_t size = round % 1000 == 999 ? 200000 : (size_t)rng_below(&rng, 70);
        for (size_t i = 0; i < size; i++) {
            text[i] = rng_below(&rng, 8) == 0 ? alphabet[rng_below(&rng, sizeof(alphabet) - 1)]
                                              : (char)('a' + rng_below(&rng, 26));
            text[i] = text[i] == 0x7f ? 'a' : text[i];
        }
        bytes_clear(&fast);
        bytes_clear(&slow);
        json_write_string(&fast, text, size);
        bytes_append_json_string(&slow, text, size);
        ck_assert_uint_eq(fast.size, slow.size);
        ck_assert_mem_eq(fast.data, slow.data, slow.size);
    }
    free(text);
    bytes_release(&fast);
    bytes_release(&slow);
}
END_TEST

START_TEST(native_deep_json_is_embedded_or_text)
{
    size_t depth = JSON_DEPTH_MAX - 2 + (size_t)_i;
    char *text = malloc(2 * depth);
    ck_assert_ptr_nonnull(text);
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    struct bytes out;
    bytes_init(&out, 1 << 22);
    bool embedded = json_write_embedded(&out, text, 2 * depth);
    ck_assert_int_eq(embedded, depth < JSON_DEPTH_MAX);
    ck_assert_uint_eq(out.size, embedded ? 2 * depth : 0);
    bytes_release(&out);
    free(text);
}
END_TEST

START_TEST(native_every_small_maximum_refuses_and_restores)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct encoder *encoder = encoder_make(false, SPECIAL_STRING);
    struct change change = row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL,
                                      (const char *[]){"7", "12.50", "{\"text\"}"});
    bool fitted = false;
    for (size_t maximum = 1; maximum < 1024; maximum++) {
        struct bytes out;
        bytes_init(&out, maximum);
        bytes_append_char(&out, 'x');
        struct fan_error error;
        enum fan_status status = native_encoder.encode(encoder, &change, &out, &error);
        ck_assert(status == FAN_OK || (status == FAN_POISON && !fitted));
        fitted = status == FAN_OK;
        ck_assert(fitted || (out.size == 1 && bytes_ok(&out)));
        bytes_release(&out);
    }
    ck_assert(fitted);
    change_release(&change);
    native_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

START_TEST(native_registry_finds_by_name)
{
    ck_assert_ptr_eq(encoder_type_find("native"), &native_encoder);
    ck_assert_ptr_null(encoder_type_find("nativ"));
    struct encode_settings left = {.type = &native_encoder};
    struct encode_settings right = left;
    ck_assert(encode_settings_equal(&left, &right));
    right.special_values = SPECIAL_FAIL;
    ck_assert(!encode_settings_equal(&left, &right));
    right = left;
    right.int8_as_string = true;
    ck_assert(!encode_settings_equal(&left, &right));
}
END_TEST

static void add_values(TCase *tcase)
{
    tcase_add_loop_test(tcase, native_value_is_written_as_documented, 0,
                        (int)(sizeof(value_cases) / sizeof(value_cases[0])));
    tcase_add_test(tcase, native_binary_value_is_base64);
    tcase_add_test(tcase, native_settings_switch_int8_and_special_values);
    tcase_add_test(tcase, native_special_value_is_refused_when_asked_and_leaves_nothing);
    tcase_add_loop_test(tcase, native_random_bytes_give_valid_json, 0, 5);
    tcase_add_test(tcase, native_fast_strings_equal_slow_strings);
    tcase_add_loop_test(tcase, native_deep_json_is_embedded_or_text, 0, 4);
}

int main(void)
{
    TCase *tcase = tcase_create("native");
    tcase_add_test(tcase, native_insert_has_key_and_after);
    tcase_add_test(tcase, native_update_lists_unchanged_columns);
    tcase_add_test(tcase, native_update_of_key_shows_old_key_only);
    tcase_add_test(tcase, native_toasted_key_is_filled_from_old_key);
    tcase_add_test(tcase, native_full_identity_fills_unchanged_from_old_row);
    tcase_add_test(tcase, native_delete_has_key_and_before);
    tcase_add_test(tcase, native_table_without_key_has_null_key);
    tcase_add_test(tcase, native_truncate_names_its_options);
    tcase_add_test(tcase, native_message_is_text_or_base64);
    tcase_add_test(tcase, native_message_that_ends_early_is_refused);
    tcase_add_test(tcase, native_gap_names_first_last_and_count);
    tcase_add_test(tcase, native_names_are_escaped);
    tcase_add_test(tcase, native_every_small_maximum_refuses_and_restores);
    tcase_add_test(tcase, native_registry_finds_by_name);
    add_values(tcase);
    return suite_run("encode_native", tcase);
}
