/*
 * Property: the debezium envelope says what Debezium's PostgreSQL connector would say of the same
 *           change (docs/debezium.md), is one valid JSON value on one line, and never writes a value
 *           that its schema does not allow.
 * Oracle:   exact bytes; the values are those that Debezium's own tests expect of these literals.
 */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "encode/debezium.h"
#include "encode/debezium_decimal.h"
#include "encode/debezium_time.h"
#include "encode/record.h"
#include "model/row.h"
#include "tests/unit/suite.h"

enum {
    OUT_MAX = 1 << 24,
    OID_ENUM = 90001,
    OID_HSTORE,
    OID_LTREE,
    OID_CITEXT,
    OID_ENUM_ARRAY,
    OID_DOMAIN,
    OID_HSTORE_ARRAY,
    OID_GEOMETRY,
    OID_GEOGRAPHY,
    OID_GEOMETRY_ARRAY,
    OID_VECTOR,
    OID_HALF_VECTOR,
    OID_SPARSE_VECTOR,
    OID_VECTOR_ARRAY,
};

static const struct encode_context context = {.source = "shop",
                                              .system_id = "7312345678901234567",
                                              .slot = "pgfan_shop",
                                              .database = "postgres"};

#define SOURCE_OF(place)                                                                           \
    "\"source\":{\"version\":\"" PGFAN_VERSION                                                     \
    "\",\"connector\":\"postgresql\",\"name\":\"shop\","                                           \
    "\"ts_ms\":1795309323456,\"snapshot\":\"false\",\"db\":\"postgres\","                          \
    "\"sequence\":\"[\\\"439041101\\\",\\\"439041000\\\"]\",\"ts_us\":1795309323456789,"           \
    "\"ts_ns\":1795309323456789000," place ",\"txId\":731,\"lsn\":439041000,\"xmin\":null,"        \
    "\"origin\":null,\"origin_lsn\":null}"
#define SOURCE SOURCE_OF("\"schema\":\"public\",\"table\":\"orders\"")
#define TIMES ",\"ts_ms\":1795309323456,\"ts_us\":1795309323456789,\"ts_ns\":1795309323456789000"
#define TAIL(op) "," SOURCE ",\"transaction\":null,\"op\":\"" op "\"" TIMES "}"

struct column_spec {
    const char *name;
    uint32_t type_oid;
    bool identity;
    bool not_null;
};

/* Types without an OID of their own, as the catalog describes them. */
static struct type_info type_of(uint32_t oid)
{
    struct type_info type = {.kind = TYPE_TEXT, .oid = oid};
    switch (oid) {
    case OID_ENUM:
        type.family = TYPE_FAMILY_ENUM;
        return type;
    case OID_HSTORE:
        type.family = TYPE_FAMILY_HSTORE;
        return type;
    case OID_LTREE:
        type.family = TYPE_FAMILY_LTREE;
        return type;
    case OID_CITEXT:
        type.family = TYPE_FAMILY_CITEXT;
        return type;
    case OID_GEOMETRY:
        type.family = TYPE_FAMILY_GEOMETRY;
        return type;
    case OID_GEOGRAPHY:
        type.family = TYPE_FAMILY_GEOGRAPHY;
        return type;
    case OID_GEOMETRY_ARRAY:
        return type_array_of(type_of(OID_GEOMETRY), ':');
    case OID_VECTOR:
        type.family = TYPE_FAMILY_VECTOR;
        return type;
    case OID_HALF_VECTOR:
        type.family = TYPE_FAMILY_HALF_VECTOR;
        return type;
    case OID_SPARSE_VECTOR:
        type.family = TYPE_FAMILY_SPARSE_VECTOR;
        return type;
    case OID_VECTOR_ARRAY:
        return type_array_of(type_of(OID_VECTOR), ',');
    case OID_ENUM_ARRAY:
        return type_array_of(type_of(OID_ENUM), ',');
    case OID_HSTORE_ARRAY:
        return type_array_of(type_of(OID_HSTORE), ',');
    case OID_DOMAIN:
        type = type_builtin(1700);
        type.modifier = 4 + (6 << 16) + 2; /* numeric(6,2) */
        type.has_modifier = true;
        return type;
    default:
        return type_builtin(oid);
    }
}

static struct relation *relation_make(enum replica_identity identity,
                                      const struct column_spec *columns, size_t count)
{
    struct relation *relation = NULL;
    struct fan_error error;
    ck_assert_int_eq(relation_create(16384, "public", "orders", identity, count, &relation, &error),
                     FAN_OK);
    for (size_t i = 0; i < count; i++) {
        struct relation_column *column = &relation->columns[i];
        (void)snprintf(column->name, sizeof(column->name), "%s", columns[i].name);
        column->type_oid = columns[i].type_oid;
        column->type_modifier = -1;
        column->type = type_of(columns[i].type_oid);
        column->in_identity = columns[i].identity || identity == REPLICA_IDENTITY_FULL;
        column->in_primary_key = columns[i].identity;
        column->not_null = columns[i].not_null;
    }
    ck_assert_int_eq(relation_finish(relation, &error), FAN_OK);
    return relation;
}

static const struct column_spec shop_columns[] = {
    {"id", 23, true, true}, {"total", 1700, false, true}, {"doc", 25, false, false}};

static void put_u16(struct bytes *out, size_t number)
{
    bytes_append(out, (uint8_t[]){(uint8_t)(number >> 8), (uint8_t)number}, 2);
}

static void put_u32(struct bytes *out, size_t number)
{
    put_u16(out, number >> 16);
    put_u16(out, number & 0xffff);
}

/* A tuple from texts: NULL is null, "\1" unchanged, "\2..." binary. */
static uint32_t put_tuple(struct bytes *out, const char *const *values, size_t count)
{
    uint32_t offset = (uint32_t)out->size;
    put_u16(out, count);
    for (size_t i = 0; i < count; i++) {
        if (values[i] == NULL) {
            bytes_append_char(out, 'n');
        } else if (values[i][0] == '\1') {
            bytes_append_char(out, 'u');
        } else {
            bool binary = values[i][0] == '\2';
            bytes_append_char(out, binary ? 'b' : 't');
            put_u32(out, strlen(values[i] + binary));
            bytes_append_text(out, values[i] + binary);
        }
    }
    struct wire wire;
    wire_init(&wire, out->data + offset, out->size - offset);
    ck_assert(row_check(&wire, count));
    return offset;
}

/* The message begins at LSN 439041000. */
static struct message *message_make(const struct bytes *payload)
{
    uint8_t *buffer = calloc(1, MESSAGE_HEADER_SIZE + payload->size);
    ck_assert_ptr_nonnull(buffer);
    struct bytes head = {0};
    bytes_init(&head, MESSAGE_HEADER_SIZE);
    bytes_append_char(&head, 'w');
    put_u32(&head, 0);
    put_u32(&head, 439041000);
    memcpy(buffer, head.data, head.size);
    bytes_release(&head);
    memcpy(buffer + MESSAGE_HEADER_SIZE, payload->data, payload->size);
    return message_adopt(buffer, MESSAGE_HEADER_SIZE + payload->size);
}

static struct change change_make(enum change_op op, const struct relation *relation)
{
    return (struct change){.op = (uint8_t)op,
                           .relation = relation,
                           .position = {{439041101}, 3},
                           .commit_time_us = 1795309323456789,
                           .xid = 731,
                           .table_seq = 1};
}

/* A change with these rows; NULL: no such row. */
static struct change row_change(enum change_op op, const struct relation *relation,
                                enum old_row old_kind, const char *const *old,
                                const char *const *row)
{
    struct change change = change_make(op, relation);
    struct bytes payload;
    bytes_init(&payload, OUT_MAX);
    bytes_append_char(&payload, 'U');
    if (old != NULL) {
        change.old_offset = put_tuple(&payload, old, relation->columns_count);
        change.old_row = (uint8_t)old_kind;
    }
    if (row != NULL) {
        change.new_offset = put_tuple(&payload, row, relation->columns_count);
    }
    change.message = message_make(&payload);
    bytes_release(&payload);
    return change;
}

static struct encoder *encoder_make(const struct encode_settings *settings)
{
    struct encoder *encoder = NULL;
    struct fan_error error;
    ck_assert_int_eq(debezium_encoder.create(settings, &context, &encoder, &error), FAN_OK);
    return encoder;
}

static void assert_json(const uint8_t *data, size_t size)
{
    json_error_t fault;
    json_t *json = json_loadb((const char *)data, size, JSON_ALLOW_NUL, &fault);
    ck_assert_msg(json != NULL && json_is_object(json), "%s: %.*s", fault.text, (int)size,
                  (const char *)data);
    json_decref(json);
    ck_assert_ptr_null(memchr(data, '\n', size));
    ck_assert(utf8_valid(data, size));
}

/* Encodes, takes the change, and compares; NULL: whatever it is. Returns what was written. */
static struct bytes encoded(struct encoder *encoder, struct change *change)
{
    struct bytes out;
    bytes_init(&out, OUT_MAX);
    struct fan_error error = {0};
    ck_assert_msg(debezium_encoder.encode(encoder, change, &out, &error) == FAN_OK, "%s",
                  error.text);
    size_t size = out.size;
    ck_assert_int_eq(debezium_encoder.encode(encoder, change, &out, &error), FAN_OK);
    ck_assert_uint_eq(out.size, 2 * size); /* the same over the kept texts */
    ck_assert_mem_eq(out.data, out.data + size, size);
    bytes_truncate(&out, size);
    change_release(change);
    return out;
}

static void assert_value(const struct encode_settings *settings, struct change *change,
                         const char *expected)
{
    struct encoder *encoder = encoder_make(settings);
    struct bytes out = encoded(encoder, change);
    assert_json(out.data, out.size);
    ck_assert_str_eq(bytes_text(&out), expected);
    bytes_release(&out);
    debezium_encoder.destroy(encoder);
}

static void assert_poison(const struct encode_settings *settings, struct change *change,
                          const char *expected)
{
    struct encoder *encoder = encoder_make(settings);
    struct bytes out;
    bytes_init(&out, OUT_MAX);
    bytes_append(&out, "before", 6);
    struct fan_error error = {0};
    ck_assert_int_eq(debezium_encoder.encode(encoder, change, &out, &error), FAN_POISON);
    ck_assert_uint_eq(out.size, 6);
    ck_assert_str_eq(error.text, expected);
    /* A dead letter says it all the same. */
    struct encode_settings lenient = *settings;
    lenient.lenient = true;
    lenient.special_values = SPECIAL_STRING;
    struct encoder *substitute = encoder_make(&lenient);
    ck_assert_int_eq(debezium_encoder.encode(substitute, change, &out, &error), FAN_OK);
    assert_json(out.data + 6, out.size - 6);
    bytes_release(&out);
    change_release(change);
    debezium_encoder.destroy(encoder);
    debezium_encoder.destroy(substitute);
}

static const struct encode_settings plain = {.type = &debezium_encoder};

START_TEST(debezium_insert_has_after_only)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct change change = row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL,
                                      (const char *[]){"7", "12.50", NULL});
    assert_value(&plain, &change,
                 "{\"before\":null,\"after\":{\"id\":7,\"total\":{\"scale\":1,\"value\":\"fQ==\"},"
                 "\"doc\":null}" TAIL("c"));
    relation_destroy(relation);
}
END_TEST

START_TEST(debezium_update_without_old_row_has_null_before)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct change change =
        row_change(CHANGE_UPDATE, relation, OLD_ROW_NONE, NULL, (const char *[]){"7", "1", "\1"});
    assert_value(&plain, &change,
                 "{\"before\":null,\"after\":{\"id\":7,\"total\":{\"scale\":0,\"value\":\"AQ==\"},"
                 "\"doc\":\"__debezium_unavailable_value\"}" TAIL("u"));
    relation_destroy(relation);
}
END_TEST

/* The columns that a key-only row lacks: null, or the zero of a column that may not be null. */
#define KEY_ONLY(id) "{\"id\":" id ",\"total\":{\"scale\":0,\"value\":\"AA==\"},\"doc\":null}"

START_TEST(debezium_update_of_key_is_one_value_with_old_key_before)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct change change =
        row_change(CHANGE_UPDATE, relation, OLD_ROW_KEY, (const char *[]){"6", NULL, NULL},
                   (const char *[]){"7", "0", "d"});
    assert_value(&plain, &change,
                 "{\"before\":" KEY_ONLY("6") ",\"after\":{\"id\":7,\"total\":{\"scale\":0,"
                                              "\"value\":\"AA==\"},\"doc\":\"d\"}" TAIL("u"));
    relation_destroy(relation);
}
END_TEST

START_TEST(debezium_full_identity_shows_whole_old_row)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_FULL, shop_columns, 3);
    struct change change =
        row_change(CHANGE_UPDATE, relation, OLD_ROW_FULL, (const char *[]){"7", "1", "long"},
                   (const char *[]){"7", "2", "\1"});
    assert_value(
        &plain, &change,
        "{\"before\":{\"id\":7,\"total\":{\"scale\":0,\"value\":\"AQ==\"},\"doc\":\"long\"},"
        "\"after\":{\"id\":7,\"total\":{\"scale\":0,\"value\":\"Ag==\"},\"doc\":\"long\"}" TAIL(
            "u"));
    relation_destroy(relation);
}
END_TEST

START_TEST(debezium_delete_and_truncate_have_null_after)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct change change =
        row_change(CHANGE_DELETE, relation, OLD_ROW_KEY, (const char *[]){"7", NULL, NULL}, NULL);
    assert_value(&plain, &change, "{\"before\":" KEY_ONLY("7") ",\"after\":null" TAIL("d"));
    change = row_change(CHANGE_TRUNCATE, relation, OLD_ROW_NONE, NULL, NULL);
    assert_value(&plain, &change, "{\"before\":null,\"after\":null" TAIL("t"));
    relation_destroy(relation);
}
END_TEST

static struct change message_change(bool transactional, const void *content, size_t size)
{
    struct change change = change_make(CHANGE_MESSAGE, NULL);
    struct bytes payload;
    bytes_init(&payload, OUT_MAX);
    bytes_append(&payload, (char[]){'M', (char)transactional}, 2);
    put_u32(&payload, 0);
    put_u32(&payload, 439041101);
    bytes_append(&payload, "app", 4);
    put_u32(&payload, size);
    bytes_append(&payload, content, size);
    change.message = message_make(&payload);
    bytes_release(&payload);
    if (!transactional) {
        change.position.seq = SEQ_MESSAGE;
        change.commit_time_us = 0;
        change.xid = 0;
    }
    return change;
}

START_TEST(debezium_message_has_a_form_of_its_own)
{
    struct change change = message_change(true, "hi", 2);
    assert_value(&plain, &change,
                 "{\"op\":\"m\",\"ts_ms\":1795309323456," SOURCE_OF(
                     "\"schema\":\"\",\"table\":\"\"") ",\"transaction\":null,"
                                                       "\"message\":{\"prefix\":\"app\","
                                                       "\"content\":\"aGk=\"}}");
    const struct encode_settings hex = {
        .type = &debezium_encoder,
        .debezium = {.binary = DEBEZIUM_BINARY_HEX, .transaction_metadata = true}};
    change = message_change(false, "\xff\x01", 2);
    assert_value(&hex, &change,
                 "{\"op\":\"m\",\"ts_ms\":null,\"source\":{\"version\":\"" PGFAN_VERSION
                 "\",\"connector\":\"postgresql\",\"name\":\"shop\",\"ts_ms\":0,"
                 "\"snapshot\":\"false\",\"db\":\"postgres\","
                 "\"sequence\":\"[\\\"439041101\\\",\\\"439041000\\\"]\",\"ts_us\":null,"
                 "\"ts_ns\":null,\"schema\":\"\",\"table\":\"\",\"txId\":null,\"lsn\":439041000,"
                 "\"xmin\":null,\"origin\":null,\"origin_lsn\":null},\"transaction\":null,"
                 "\"message\":{\"prefix\":\"app\",\"content\":\"ff01\"}}");
}
END_TEST

START_TEST(debezium_message_that_ends_early_is_refused)
{
    struct encoder *encoder = encoder_make(&plain);
    struct change change = message_change(true, "text", 4);
    change.message->size -= 1;
    struct bytes out;
    bytes_init(&out, OUT_MAX);
    struct fan_error error;
    ck_assert_int_eq(debezium_encoder.encode(encoder, &change, &out, &error), FAN_POISON);
    ck_assert_uint_eq(out.size, 0);
    bytes_release(&out);
    change_release(&change);
    debezium_encoder.destroy(encoder);
}
END_TEST

static struct change gap_change(void)
{
    struct change change = change_make(CHANGE_GAP, NULL);
    change.commit_time_us = 0;
    change.xid = 0;
    change.gap = malloc(sizeof(*change.gap));
    ck_assert_ptr_nonnull(change.gap);
    *change.gap = (struct change_gap){
        .first = {{439041000}, SEQ_MESSAGE}, .last = change.position, .count = 12};
    return change;
}

START_TEST(debezium_gap_says_what_is_lost)
{
    struct change change = gap_change();
    struct encoder *encoder = encoder_make(&plain);
    struct bytes out = encoded(encoder, &change);
    assert_json(out.data, out.size);
    ck_assert_ptr_nonnull(strstr(bytes_text(&out),
                                 "\"op\":\"g\",\"ts_ms\":null,\"ts_us\":null,\"ts_ns\":null,"
                                 "\"gap\":{\"from\":\"0/1A2B3BE8:-1\",\"to\":\"0/1A2B3C4D:3\","
                                 "\"count\":12}}"));
    bytes_release(&out);
    debezium_encoder.destroy(encoder);
}
END_TEST

START_TEST(debezium_transaction_block_counts_from_one)
{
    static const struct encode_settings settings = {
        .type = &debezium_encoder,
        .debezium = {.transaction_metadata = true, .topic_prefix = "srv"}};
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 1);
    struct change change =
        row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){"7"});
    struct encoder *encoder = encoder_make(&settings);
    struct bytes out = encoded(encoder, &change);
    ck_assert_ptr_nonnull(strstr(bytes_text(&out),
                                 "\"transaction\":{\"id\":\"731:439041101\",\"total_order\":4,"
                                 "\"data_collection_order\":2},\"op\":\"c\""));
    ck_assert_ptr_nonnull(strstr(bytes_text(&out), "\"name\":\"srv\""));
    bytes_release(&out);
    debezium_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

START_TEST(debezium_source_tells_the_origin_of_a_transaction)
{
    static const char *const names[] = {"nor\"th", NULL, "nor\"th"};
    static const char *const expected[] = {
        ",\"xmin\":null,\"origin\":\"nor\\\"th\",\"origin_lsn\":5},\"transaction\":null,",
        ",\"xmin\":null,\"origin\":null,\"origin_lsn\":null},\"transaction\":null,",
        ",\"xmin\":null,\"origin\":\"nor\\\"th\",\"origin_lsn\":6},\"transaction\":null,"};
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 1);
    struct encoder *encoder = encoder_make(&plain);
    for (size_t i = 0; i < 3; i++) {
        struct change change =
            row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){"7"});
        change.origin = names[i];
        change.origin_lsn.value = names[i] == NULL ? 0 : i == 0 ? 5 : 6;
        struct bytes out = encoded(encoder, &change);
        assert_json(out.data, out.size);
        ck_assert_ptr_nonnull(strstr(bytes_text(&out), expected[i]));
        bytes_release(&out);
    }
    debezium_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

START_TEST(debezium_marks_count_events_of_the_transaction)
{
    static const struct encode_settings settings = {.type = &debezium_encoder,
                                                    .transactions = true};
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 1);
    struct encoder *encoder = encoder_make(&settings);
    struct bytes out;
    bytes_init(&out, OUT_MAX);
    struct change change =
        row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){"7"});
    struct change message = message_change(true, "x", 1);
    message.position.seq = 4;
    ck_assert_int_eq(debezium_encoder.mark(encoder, TXN_MARK_COMMIT, &change, &out, NULL), FAN_OK);
    ck_assert_str_eq(bytes_text(&out),
                     "{\"status\":\"END\",\"id\":\"731:439041101\",\"event_count\":null,"
                     "\"data_collections\":null,\"ts_ms\":1795309323456}");
    for (int round = 0; round < 2; round++) {
        bytes_clear(&out);
        ck_assert_int_eq(debezium_encoder.mark(encoder, TXN_MARK_BEGIN, &change, &out, NULL),
                         FAN_OK);
        ck_assert_str_eq(bytes_text(&out),
                         "{\"status\":\"BEGIN\",\"id\":\"731:439041101\",\"event_count\":null,"
                         "\"data_collections\":null,\"ts_ms\":1795309323456}");
        struct fan_error error;
        for (int again = 0; again < 2; again++) {
            ck_assert_int_eq(debezium_encoder.encode(encoder, &change, &out, &error), FAN_OK);
        }
        ck_assert_int_eq(debezium_encoder.encode(encoder, &message, &out, &error), FAN_OK);
        bytes_clear(&out);
        ck_assert_int_eq(debezium_encoder.mark(encoder, TXN_MARK_COMMIT, &change, &out, NULL),
                         FAN_OK);
        ck_assert_str_eq(bytes_text(&out),
                         "{\"status\":\"END\",\"id\":\"731:439041101\",\"event_count\":2,"
                         "\"data_collections\":[{\"data_collection\":\"public.orders\","
                         "\"event_count\":1},{\"data_collection\":\"LOGICAL_DECODING_MESSAGE\","
                         "\"event_count\":1}],\"ts_ms\":1795309323456}");
    }
    bytes_release(&out);
    change_release(&change);
    change_release(&message);
    debezium_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

/* A table that changes in the middle is one table. */
START_TEST(debezium_marks_count_the_versions_of_a_table_as_one)
{
    static const struct encode_settings settings = {.type = &debezium_encoder,
                                                    .transactions = true};
    struct relation *first = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 1);
    struct relation *second = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 2);
    struct encoder *encoder = encoder_make(&settings);
    struct bytes out;
    bytes_init(&out, OUT_MAX);
    struct change before =
        row_change(CHANGE_INSERT, first, OLD_ROW_NONE, NULL, (const char *[]){"7"});
    struct change after =
        row_change(CHANGE_INSERT, second, OLD_ROW_NONE, NULL, (const char *[]){"8", "1"});
    after.position.seq = 4;
    struct change last = after;
    last.position.seq = 5;
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(debezium_encoder.mark(encoder, TXN_MARK_BEGIN, &before, &out, NULL),
                         FAN_OK);
        ck_assert_int_eq(debezium_encoder.encode(encoder, &before, &out, NULL), FAN_OK);
        ck_assert_int_eq(debezium_encoder.encode(encoder, &after, &out, NULL), FAN_OK);
        ck_assert_int_eq(debezium_encoder.encode(encoder, &last, &out, NULL), FAN_OK);
        bytes_clear(&out);
        ck_assert_int_eq(debezium_encoder.mark(encoder, TXN_MARK_COMMIT, &last, &out, NULL),
                         FAN_OK);
        ck_assert_str_eq(bytes_text(&out),
                         "{\"status\":\"END\",\"id\":\"731:439041101\",\"event_count\":3,"
                         "\"data_collections\":[{\"data_collection\":\"public.orders\","
                         "\"event_count\":3}],\"ts_ms\":1795309323456}");
    }
    bytes_release(&out);
    change_release(&before);
    change_release(&after);
    debezium_encoder.destroy(encoder);
    relation_destroy(first);
    relation_destroy(second);
}
END_TEST

/* ---- records ---- */

struct record_case {
    const char *key;       /* NULL: none */
    const char *value_has; /* a piece of the value; NULL: no value */
    const char *header[2]; /* name and value of the only one; NULL: none */
};

/* One without headers. */
#define RECORD(key_text, value_piece)                                                              \
    {                                                                                              \
        .key = (key_text), .value_has = (value_piece)                                              \
    }

static void assert_header(const struct record *record, const char *const expected[2])
{
    size_t at = 0;
    struct record header;
    ck_assert_int_eq(record->headers == NULL, expected[0] == NULL);
    if (expected[0] == NULL) {
        return;
    }
    ck_assert(record_next(record->headers, record->headers_size, &at, &header));
    ck_assert_uint_eq(at, record->headers_size);
    ck_assert_uint_eq(header.key_size, strlen(expected[0]));
    ck_assert_mem_eq(header.key, expected[0], header.key_size);
    ck_assert_uint_eq(header.value_size, strlen(expected[1]));
    ck_assert_mem_eq(header.value, expected[1], header.value_size);
}

static void assert_records(const struct encode_settings *settings, struct change *change,
                           const struct record_case *expected, size_t count)
{
    struct encoder *encoder = encoder_make(settings);
    struct bytes out = encoded(encoder, change);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        struct record record;
        ck_assert(record_next(out.data, out.size, &at, &record));
        ck_assert_int_eq(record.key == NULL, expected[i].key == NULL);
        ck_assert_int_eq(record.value == NULL, expected[i].value_has == NULL);
        if (record.key != NULL) {
            ck_assert_uint_eq(record.key_size, strlen(expected[i].key));
            ck_assert_mem_eq(record.key, expected[i].key, record.key_size);
        }
        if (record.value != NULL) {
            assert_json(record.value, record.value_size);
            ck_assert_ptr_nonnull(memmem(record.value, record.value_size, expected[i].value_has,
                                         strlen(expected[i].value_has)));
        }
        ck_assert(!record.mark);
        assert_header(&record, expected[i].header);
    }
    ck_assert_uint_eq(at, out.size);
    bytes_release(&out);
    debezium_encoder.destroy(encoder);
}

static const struct encode_settings keyed = {.type = &debezium_encoder, .records = true};

START_TEST(debezium_records_have_keys_and_tombstones)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct change change =
        row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){"7", "1", NULL});
    assert_records(&keyed, &change, (struct record_case[]){RECORD("{\"id\":7}", "\"op\":\"c\"")},
                   1);
    change =
        row_change(CHANGE_DELETE, relation, OLD_ROW_KEY, (const char *[]){"7", NULL, NULL}, NULL);
    assert_records(
        &keyed, &change,
        (struct record_case[]){RECORD("{\"id\":7}", "\"after\":null"), RECORD("{\"id\":7}", NULL)},
        2);
    change = row_change(CHANGE_TRUNCATE, relation, OLD_ROW_NONE, NULL, NULL);
    assert_records(&keyed, &change, (struct record_case[]){RECORD(NULL, "\"op\":\"t\"")}, 1);
    change = message_change(true, "x", 1);
    assert_records(&keyed, &change,
                   (struct record_case[]){RECORD("{\"prefix\":\"app\"}", "\"op\":\"m\"")}, 1);
    change = gap_change();
    assert_records(&keyed, &change, (struct record_case[]){RECORD(NULL, "\"op\":\"g\"")}, 1);
    relation_destroy(relation);
}
END_TEST

START_TEST(debezium_records_split_a_change_of_key)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct relation *full = relation_make(REPLICA_IDENTITY_FULL, shop_columns, 3);
    const struct record_case split[] = {
        {"{\"id\":6}", "\"op\":\"d\"", {"__debezium.newkey", "{\"id\":7}"}},
        {"{\"id\":6}", NULL, {"__debezium.newkey", "{\"id\":7}"}},
        {"{\"id\":7}",
         "{\"before\":null,\"after\":{\"id\":7",
         {"__debezium.oldkey", "{\"id\":6}"}}};
    struct change change =
        row_change(CHANGE_UPDATE, relation, OLD_ROW_KEY, (const char *[]){"6", NULL, NULL},
                   (const char *[]){"7", "1", "d"});
    assert_records(&keyed, &change, split, 3);
    change = row_change(CHANGE_UPDATE, full, OLD_ROW_FULL, (const char *[]){"6", "1", "d"},
                        (const char *[]){"7", "1", "d"});
    assert_records(&keyed, &change, split, 3);
    change = row_change(CHANGE_UPDATE, full, OLD_ROW_FULL, (const char *[]){"7", "1", "d"},
                        (const char *[]){"7", "2", "d"});
    assert_records(&keyed, &change, (struct record_case[]){RECORD("{\"id\":7}", "\"op\":\"u\"")},
                   1);
    relation_destroy(relation);
    relation_destroy(full);
}
END_TEST

START_TEST(debezium_records_of_a_table_without_key_have_none)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_NOTHING, shop_columns, 1);
    struct relation *full = relation_make(
        REPLICA_IDENTITY_FULL, (const struct column_spec[]){{"id", 23, false, false}}, 1);
    struct change change =
        row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){"7"});
    assert_records(&keyed, &change, (struct record_case[]){RECORD(NULL, "\"op\":\"c\"")}, 1);
    change = row_change(CHANGE_DELETE, full, OLD_ROW_FULL, (const char *[]){"7"}, NULL);
    assert_records(&keyed, &change, (struct record_case[]){RECORD(NULL, "\"op\":\"d\"")}, 1);
    relation_destroy(relation);
    relation_destroy(full);
}
END_TEST

/* ---- values ---- */

#define NUMERIC(precision, scale) (4 + ((precision) << 16) + ((scale)&0x7ff))

struct value_case {
    uint32_t oid;
    int32_t modifier;
    struct debezium_settings settings;
    const char *text;
    const char *json; /* NULL: it has no form */
};

#define DEFAULTS                                                                                   \
    {                                                                                              \
        .schemas = false                                                                           \
    }
#define WITH(...)                                                                                  \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define DOUBLES WITH(.decimal = DEBEZIUM_DECIMAL_DOUBLE)
#define STRINGS WITH(.decimal = DEBEZIUM_DECIMAL_STRING)
#define TIMES_OF(mode) WITH(.time = DEBEZIUM_TIME_##mode)

static const struct value_case value_cases[] = {
    {16, -1, DEFAULTS, "t", "true"},
    {16, -1, DEFAULTS, "f", "false"},
    {16, -1, DEFAULTS, "yes", NULL},
    {21, -1, DEFAULTS, "-32768", "-32768"},
    {23, -1, DEFAULTS, "2147483647", "2147483647"},
    {20, -1, DEFAULTS, "-9223372036854775808", "-9223372036854775808"},
    {26, -1, DEFAULTS, "4000000000", "4000000000"},
    {23, -1, DEFAULTS, "x", NULL},
    {700, -1, DEFAULTS, "3.4e+38", "3.4e+38"},
    {701, -1, DEFAULTS, "NaN", "\"NaN\""},
    {701, -1, DEFAULTS, "-Infinity", "\"-Infinity\""},
    {701, -1, DEFAULTS, "nan", NULL},
    {1700, NUMERIC(3, 2), DEFAULTS, "1.10", "\"bg==\""},
    {1700, NUMERIC(6, 4), DEFAULTS, "22.2200", "\"A2P4\""},
    {1700, NUMERIC(10, 2), DEFAULTS, "-1234.11", "\"/h3t\""},
    {1700, NUMERIC(10, 0), DEFAULTS, "0", "\"AA==\""},
    {1700, NUMERIC(10, 0), DEFAULTS, "128", "\"AIA=\""},
    {1700, NUMERIC(10, 0), DEFAULTS, "-128", "\"gA==\""},
    {1700, NUMERIC(10, 0), DEFAULTS, "-129", "\"/38=\""},
    {1700, NUMERIC(5, -2), DEFAULTS, "12300", "\"ew==\""},
    {1700, NUMERIC(5, -2), DEFAULTS, "0", "\"AA==\""},
    {1700, NUMERIC(3, 2), DEFAULTS, "NaN", NULL},
    {1700, NUMERIC(3, 2), DEFAULTS, "1.234", NULL},
    {1700, NUMERIC(40, 0), DEFAULTS, "18446744073709551616", "\"AQAAAAAAAAAA\""},
    {1700, -1, DEFAULTS, "10.1111", "{\"scale\":4,\"value\":\"AYr3\"}"},
    {1700, -1, DEFAULTS, "10", "{\"scale\":0,\"value\":\"Cg==\"}"},
    {1700, -1, DEFAULTS, "10.00", "{\"scale\":0,\"value\":\"Cg==\"}"},
    {1700, -1, DEFAULTS, "Infinity", NULL},
    {1700, -1, DOUBLES, "10.1111", "10.1111"},
    {1700, -1, DOUBLES, "NaN", "\"NaN\""},
    {1700, NUMERIC(6, 4), STRINGS, "22.2200", "\"22.2200\""},
    {1700, -1, STRINGS, "NaN", "\"NAN\""},
    {1700, -1, STRINGS, "Infinity", "\"POSITIVE_INFINITY\""},
    {1700, -1, STRINGS, "-Infinity", "\"NEGATIVE_INFINITY\""},
    {OID_DOMAIN, -1, DEFAULTS, "1.50", "\"AJY=\""},
    {790, -1, DEFAULTS, "$1,234.11", "\"AeIT\""},
    {790, -1, DEFAULTS, "-$1,234.11", "\"/h3t\""},
    {790, -1, DOUBLES, "-$1,234.11", "-1234.11"},
    {790, -1, STRINGS, "$1,234.11", "\"1234.11\""},
    {790, -1, DEFAULTS, "12 EUR", NULL},
    {1042, 14, DEFAULTS, "abc ", "\"abc \""},
    {1043, -1, DEFAULTS, "a\"b", "\"a\\\"b\""},
    {19, -1, DEFAULTS, "n", "\"n\""},
    {OID_CITEXT, -1, DEFAULTS, "Hi", "\"Hi\""},
    {17, -1, DEFAULTS, "\\x010203", "\"AQID\""},
    {17, -1, DEFAULTS, "\\x", "\"\""},
    {17, -1, DEFAULTS, "abc", NULL},
    {17, -1, WITH(.binary = DEBEZIUM_BINARY_BASE64), "\\xfbff", "\"+/8=\""},
    {17, -1, WITH(.binary = DEBEZIUM_BINARY_BASE64_URL_SAFE), "\\xfbff", "\"-_8=\""},
    {17, -1, WITH(.binary = DEBEZIUM_BINARY_HEX), "\\x010203", "\"010203\""},
    {17, -1, WITH(.binary = DEBEZIUM_BINARY_HEX), "\\x0", NULL},
    {1560, 1, DEFAULTS, "1", "true"},
    {1560, -1, DEFAULTS, "0", "false"},
    {1562, 1, DEFAULTS, "", "false"},
    {1560, 2, DEFAULTS, "11", "\"Aw==\""},
    {1560, 7, DEFAULTS, "1000000", "\"QA==\""},
    {1560, 2, DEFAULTS, "00", "\"\""},
    {1560, 64, DEFAULTS, "1000000000000000000000000000000000000000000000000000000000000000",
     "\"AAAAAAAAAIA=\""},
    {1562, 5, DEFAULTS, "101", "\"BQ==\""},
    {1562, -1, DEFAULTS, "101", "\"BQ==\""},
    {1562, 5, DEFAULTS, "12", NULL},
    {1082, -1, DEFAULTS, "2016-11-04", "17109"},
    {1082, -1, DEFAULTS, "1970-01-01", "0"},
    {1082, -1, DEFAULTS, "0001-01-01 BC", "-719528"},
    {1082, -1, DEFAULTS, "5874897-12-31", "2145042905"},
    {1082, -1, DEFAULTS, "infinity", NULL},
    {1082, -1, DEFAULTS, "2016-13-01", NULL},
    {1082, -1, TIMES_OF(CONNECT), "2016-11-04", "17109"},
    {1082, -1, TIMES_OF(ISOSTRING), "2017-09-15", "\"2017-09-15Z\""},
    {1082, -1, TIMES_OF(NANOSECONDS), "2016-11-04", "17109"},
    {1083, 3, DEFAULTS, "13:51:30.123", "49890123"},
    {1083, -1, DEFAULTS, "24:00:00", "86400000000"},
    {1083, 6, DEFAULTS, "13:51:30.123456", "49890123456"},
    {1083, 3, TIMES_OF(ADAPTIVE_TIME_MICROSECONDS), "13:51:30.123", "49890123000"},
    {1083, -1, TIMES_OF(CONNECT), "13:51:30.123456", "49890123"},
    {1083, -1, TIMES_OF(NANOSECONDS), "00:00:01", "1000000000"},
    {1083, 3, TIMES_OF(MICROSECONDS), "00:00:01", "1000000"},
    {1083, -1, TIMES_OF(ISOSTRING), "04:05:11.789", "\"04:05:11.789Z\""},
    {1083, -1, DEFAULTS, "25:00:00", NULL},
    {1083, -1, DEFAULTS, "24:00:01", NULL},
    {1114, -1, DEFAULTS, "2016-11-04 13:51:30.123456", "1478267490123456"},
    {1114, 3, DEFAULTS, "2016-11-04 13:51:30.123", "1478267490123"},
    {1114, 0, DEFAULTS, "2016-11-04 13:51:30", "1478267490000"},
    {1114, -1, DEFAULTS, "1936-10-25 22:10:12.608", "-1047174587392000"},
    {1114, 3, DEFAULTS, "1969-12-31 23:59:59.999", "-1"},
    {1114, -1, DEFAULTS, "infinity", "9223372036825200000"},
    {1114, -1, DEFAULTS, "-infinity", "-9223372036832400000"},
    {1114, 3, DEFAULTS, "infinity", "9223372036825200"},
    {1114, -1, DEFAULTS, "4713-12-31 23:59:59.999999 BC", "-210831897600000001"},
    {1114, -1, DEFAULTS, "294276-12-31 23:59:59.999999", NULL},
    {1114, 3, DEFAULTS, "294276-12-31 23:59:59.999", "9224318015999999"},
    {1114, -1, TIMES_OF(CONNECT), "2016-11-04 13:51:30.123456", "1478267490123"},
    {1114, -1, TIMES_OF(MICROSECONDS), "2016-11-04 13:51:30.123456", "1478267490123456"},
    {1114, -1, TIMES_OF(NANOSECONDS), "2016-11-04 13:51:30.123456", "1478267490123456000"},
    {1114, -1, TIMES_OF(NANOSECONDS), "infinity", "9223372036854775807"},
    {1114, -1, TIMES_OF(NANOSECONDS), "-infinity", "-9223372036854775808"},
    {1114, -1, TIMES_OF(NANOSECONDS), "2263-01-01 00:00:00", NULL},
    {1114, -1, TIMES_OF(ISOSTRING), "2019-07-09 02:28:57.123456",
     "\"2019-07-09T02:28:57.123456Z\""},
    {1114, -1, TIMES_OF(ISOSTRING), "infinity", "\"+294247-01-10T04:00:25.2Z\""},
    {1184, -1, DEFAULTS, "2016-11-04 11:51:02+00", "\"2016-11-04T11:51:02.000000Z\""},
    {1184, 3, DEFAULTS, "2016-11-04 11:51:02.1+00", "\"2016-11-04T11:51:02.100Z\""},
    {1184, 0, DEFAULTS, "2016-11-04 11:51:02+00", "\"2016-11-04T11:51:02Z\""},
    {1184, 0, DEFAULTS, "21016-11-04 11:51:02+00", "\"+21016-11-04T11:51:02Z\""},
    {1184, 0, DEFAULTS, "4714-12-31 23:59:59+00 BC", "\"-4713-12-31T23:59:59Z\""},
    {1184, -1, DEFAULTS, "infinity", "\"infinity\""},
    {1184, -1, DEFAULTS, "-infinity", "\"-infinity\""},
    {1184, -1, DEFAULTS, "2016-11-04 11:51:02", NULL},
    {1266, -1, DEFAULTS, "13:51:30.123789+02", "\"11:51:30.123789Z\""},
    {1266, -1, DEFAULTS, "13:51:02+02", "\"11:51:02Z\""},
    {1266, -1, DEFAULTS, "24:00:00+00", "\"24:00:00Z\""},
    {1266, -1, DEFAULTS, "01:00:00+05:30", "\"19:30:00Z\""},
    {1266, -1, DEFAULTS, "23:00:00-02:00:30", "\"01:00:30Z\""},
    {1266, -1, DEFAULTS, "23:00:00", NULL},
    {1186, -1, DEFAULTS, "P1Y2M3DT4H5M6.78S", "37091106780000"},
    {1186, -1, DEFAULTS, "PT0S", "0"},
    {1186, -1, DEFAULTS, "P-1D", "-86400000000"},
    {1186, -1, DEFAULTS, "PT-0.5S", "-500000"},
    {1186, -1, DEFAULTS, "P178000000Y", NULL},
    {1186, -1, DEFAULTS, "infinity", NULL},
    {1186, -1, DEFAULTS, "1 day", NULL},
    {1186, -1, WITH(.interval = DEBEZIUM_INTERVAL_STRING), "P1Y2M3DT4H5M6.78S",
     "\"P1Y2M3DT4H5M6.78S\""},
    {1186, -1, WITH(.interval = DEBEZIUM_INTERVAL_STRING), "PT0S", "\"P0Y0M0DT0H0M0S\""},
    {1186, -1, WITH(.interval = DEBEZIUM_INTERVAL_STRING), "P-1Y2M-3DT-4H-5M-6.5S",
     "\"P-1Y2M-3DT-4H-5M-6.5S\""},
    /* Of Debezium 3.7. */
    {1082, -1, TIMES_OF(STRUCTURED), "2016-11-04",
     "{\"year\":2016,\"month\":11,\"day\":4,\"specialValue\":null}"},
    {1082, -1, TIMES_OF(STRUCTURED), "0001-01-01 BC",
     "{\"year\":0,\"month\":1,\"day\":1,\"specialValue\":null}"},
    {1082, -1, TIMES_OF(STRUCTURED), "5874897-12-31",
     "{\"year\":5874897,\"month\":12,\"day\":31,\"specialValue\":null}"},
    {1082, -1, TIMES_OF(STRUCTURED), "infinity",
     "{\"year\":null,\"month\":null,\"day\":null,\"specialValue\":\"POSITIVE_INFINITY\"}"},
    {1082, -1, TIMES_OF(STRUCTURED), "-infinity",
     "{\"year\":null,\"month\":null,\"day\":null,\"specialValue\":\"NEGATIVE_INFINITY\"}"},
    {1082, -1, TIMES_OF(STRUCTURED), "2016-11", NULL},
    {1083, -1, TIMES_OF(STRUCTURED), "04:05:11.789",
     "{\"hour\":4,\"minute\":5,\"second\":11,\"nanos\":789000000,\"precision\":6}"},
    {1083, 3, TIMES_OF(STRUCTURED), "04:05:11.789",
     "{\"hour\":4,\"minute\":5,\"second\":11,\"nanos\":789000000,\"precision\":3}"},
    {1083, -1, TIMES_OF(STRUCTURED), "24:00:00",
     "{\"hour\":24,\"minute\":0,\"second\":0,\"nanos\":0,\"precision\":6}"},
    {1083, -1, TIMES_OF(STRUCTURED), "infinity", NULL},
    {1266, -1, TIMES_OF(STRUCTURED), "24:00:00+05:30",
     "{\"hour\":24,\"minute\":0,\"second\":0,\"nanos\":0,\"offsetSeconds\":19800,\"precision\":6}"},
    {1266, 6, TIMES_OF(STRUCTURED), "13:51:30.123789+02",
     "{\"hour\":13,\"minute\":51,\"second\":30,\"nanos\":123789000,\"offsetSeconds\":7200,"
     "\"precision\":6}"},
    {1266, 0, TIMES_OF(STRUCTURED), "04:05:11-08",
     "{\"hour\":4,\"minute\":5,\"second\":11,\"nanos\":0,\"offsetSeconds\":-28800,\"precision\":"
     "0}"},
    {1266, -1, TIMES_OF(STRUCTURED), "04:05:11-02:00:30",
     "{\"hour\":4,\"minute\":5,\"second\":11,\"nanos\":0,\"offsetSeconds\":-7230,\"precision\":6}"},
    {1266, -1, TIMES_OF(STRUCTURED), "04:05:11", NULL},
    {1114, -1, TIMES_OF(STRUCTURED), "294276-12-31 23:59:59.999999",
     "{\"year\":294276,\"month\":12,\"day\":31,\"hour\":23,\"minute\":59,\"second\":59,\"nanos\":"
     "999999000,\"specialValue\":null,\"precision\":6}"},
    {1114, 3, TIMES_OF(STRUCTURED), "4713-12-31 23:59:59.5 BC",
     "{\"year\":-4712,\"month\":12,\"day\":31,\"hour\":23,\"minute\":59,\"second\":59,\"nanos\":"
     "500000000,\"specialValue\":null,\"precision\":3}"},
    {1114, 0, TIMES_OF(STRUCTURED), "-infinity",
     "{\"year\":null,\"month\":null,\"day\":null,\"hour\":null,\"minute\":null,\"second\":null,"
     "\"nanos\":null,\"specialValue\":\"NEGATIVE_INFINITY\",\"precision\":0}"},
    {1184, -1, TIMES_OF(STRUCTURED), "2016-11-04 11:51:02.1+00",
     "{\"year\":2016,\"month\":11,\"day\":4,\"hour\":11,\"minute\":51,\"second\":2,\"nanos\":"
     "100000000,\"offsetSeconds\":0,\"zoneId\":\"Z\",\"specialValue\":null,\"precision\":6}"},
    {1184, -1, TIMES_OF(STRUCTURED), "infinity",
     "{\"year\":null,\"month\":null,\"day\":null,\"hour\":null,\"minute\":null,\"second\":null,"
     "\"nanos\":null,\"offsetSeconds\":null,\"zoneId\":null,\"specialValue\":\"POSITIVE_INFINITY\","
     "\"precision\":6}"},
    {1184, -1, TIMES_OF(STRUCTURED), "2016-11-04 11:51:02", NULL},
    {1186, -1, TIMES_OF(STRUCTURED), "P1Y2M3DT4H5M6.789S",
     "{\"years\":1,\"months\":2,\"days\":3,\"hours\":4,\"minutes\":5,\"seconds\":6,\"nanos\":"
     "789000000,\"precision\":6}"},
    {1186, -1, TIMES_OF(STRUCTURED), "P-1Y2M-3DT-4H-5M-0.5S",
     "{\"years\":-1,\"months\":2,\"days\":-3,\"hours\":-4,\"minutes\":-5,\"seconds\":0,\"nanos\":-"
     "500000000,\"precision\":6}"},
    {1186, (0x7fff << 16) + 3, TIMES_OF(STRUCTURED), "PT0S",
     "{\"years\":0,\"months\":0,\"days\":0,\"hours\":0,\"minutes\":0,\"seconds\":0,\"nanos\":0,"
     "\"precision\":3}"},
    {1186, (6 << 16) + 0xffff, TIMES_OF(STRUCTURED), "P1Y",
     "{\"years\":1,\"months\":0,\"days\":0,\"hours\":0,\"minutes\":0,\"seconds\":0,\"nanos\":0,"
     "\"precision\":6}"},
    {1186, -1, TIMES_OF(STRUCTURED), "PT2562047788H", NULL},
    {1186, -1, TIMES_OF(STRUCTURED), "-infinity", NULL},
    {1186, -1, TIMES_OF(STRUCTURED), "1 day", NULL},
    {1185, 3, TIMES_OF(STRUCTURED), "{\"2016-11-04 11:51:02+00\",NULL}",
     "[{\"year\":2016,\"month\":11,\"day\":4,\"hour\":11,\"minute\":51,\"second\":2,\"nanos\":0,"
     "\"offsetSeconds\":0,\"zoneId\":\"Z\",\"specialValue\":null,\"precision\":3},null]"},
    {1182, -1, TIMES_OF(STRUCTURED), "{infinity}",
     "[{\"year\":null,\"month\":null,\"day\":null,\"specialValue\":\"POSITIVE_INFINITY\"}]"},
    {1187, -1, TIMES_OF(STRUCTURED), "{P1D}", "\"{P1D}\""},
    {2950, -1, DEFAULTS, "00000000-0000-0000-0000-00000000000a",
     "\"00000000-0000-0000-0000-00000000000a\""},
    {3802, -1, DEFAULTS, "{\"bar\": \"baz\"}", "\"{\\\"bar\\\": \\\"baz\\\"}\""},
    {142, -1, DEFAULTS, "<a/>", "\"<a/>\""},
    {OID_ENUM, -1, DEFAULTS, "so so", "\"so so\""},
    {869, -1, DEFAULTS, "192.168.2.0/12", "\"192.168.2.0/12\""},
    {3908, -1, DEFAULTS, "[\"2019-03-31 15:30:00\",infinity)",
     "\"[\\\"2019-03-31 15:30:00\\\",infinity)\""},
    {OID_HSTORE, -1, DEFAULTS, "\"key1\"=>\"val1\", \"key2\"=>NULL",
     "\"{\\\"key1\\\":\\\"val1\\\",\\\"key2\\\":null}\""},
    {OID_HSTORE, -1, WITH(.hstore = DEBEZIUM_HSTORE_MAP), "\"a\\\"b\"=>\"c\\\\\", \"\"=>\"\"",
     "{\"a\\\"b\":\"c\\\\\",\"\":\"\"}"},
    {OID_HSTORE, -1, WITH(.hstore = DEBEZIUM_HSTORE_MAP), "", "{}"},
    {OID_HSTORE, -1, DEFAULTS, "a=>b", NULL},
    {OID_LTREE, -1, DEFAULTS, "Top.A", "\"Top.A\""},
    {3614, -1, DEFAULTS, "'direct':6", "\"'direct':6\""},
    {600, -1, DEFAULTS, "(1,1)",
     "{\"x\":1,\"y\":1,\"wkb\":\"AQEAAAAAAAAAAADwPwAAAAAAAPA/\",\"srid\":null}"},
    {600, -1, DEFAULTS, "(1)", NULL},
    {1007, -1, DEFAULTS, "{1,NULL,3}", "[1,null,3]"},
    {1007, -1, DEFAULTS, "{}", "[]"},
    {1007, -1, DEFAULTS, "[0:1]={1,2}", "[1,2]"},
    {1007, -1, DEFAULTS, "{{1,2},{3,4}}", NULL},
    {1009, -1, DEFAULTS, "{\"a,b\",\"\\\"\",NULL,\"NULL\"}", "[\"a,b\",\"\\\"\",null,\"NULL\"]"},
    {1231, NUMERIC(3, 2), DEFAULTS, "{1.10,NULL}", "[\"bg==\",null]"},
    {1231, -1, DEFAULTS, "{10}", "[{\"scale\":0,\"value\":\"Cg==\"}]"},
    {1231, -1, DEFAULTS, "{NaN}", NULL},
    {1182, -1, DEFAULTS, "{2016-11-04}", "[17109]"},
    {1115, 3, DEFAULTS, "{\"2016-11-04 13:51:30.123\"}", "[1478267490123]"},
    {1001, -1, DEFAULTS, "{\"\\\\x0102\"}", "[\"AQI=\"]"},
    {2951, -1, DEFAULTS, "{00000000-0000-0000-0000-00000000000a}",
     "[\"00000000-0000-0000-0000-00000000000a\"]"},
    {1028, -1, DEFAULTS, "{4000000000}", "[4000000000]"},
    {1002, -1, DEFAULTS, "{a,NULL,\",\"}", "[\"a\",null,\",\"]"},
    {OID_ENUM_ARRAY, -1, DEFAULTS, "{sad,\"so so\"}", "[\"sad\",\"so so\"]"},
    {OID_HSTORE_ARRAY, -1, WITH(.hstore = DEBEZIUM_HSTORE_MAP),
     "{\"\\\"a\\\\\\\"b\\\"=>\\\"c\\\", \\\"d\\\"=>NULL\"}", "[{\"a\\\"b\":\"c\",\"d\":null}]"},
    /* Shapes; those of PostGIS are what its 3.3 prints. */
    {603, -1, DEFAULTS, "(1,1),(0,0)",
     "{\"wkb\":\"AQMAAAABAAAABQAAAAAAAAAAAPA/"
     "AAAAAAAA8D8AAAAAAADwPwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA8D8AAAAAAADwPwAAAAAAA"
     "PA/\",\"srid\":null,\"extensions\":{\"type\":\"box\"}}"},
    {603, -1, DEFAULTS, "(1,1)", NULL},
    {603, -1, DEFAULTS, "(1,1),(0,0),(2,2)", NULL},
    {601, -1, DEFAULTS, "[(0,0),(0,1)]",
     "{\"wkb\":\"AQIAAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA8D8=\",\"srid\":null,"
     "\"extensions\":{\"type\":\"lseg\"}}"},
    {601, -1, DEFAULTS, "[(0,0),(0,1)", NULL},
    {602, -1, DEFAULTS, "((0,0),(0,1),(0,2))",
     "{\"wkb\":\"AQIAAAADAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA8D8AAAAAAAAAAAAAAAAAAABA\","
     "\"srid\":null,\"extensions\":{\"type\":\"path\",\"closed\":\"true\"}}"},
    {602, -1, DEFAULTS, "[(0,0),(1e+300,-0)]",
     "{\"wkb\":\"AQIAAAACAAAAAAAAAAAAAAAAAAAAAAAAAJx1AIg85Dd+AAAAAAAAAIA=\",\"srid\":null,"
     "\"extensions\":{\"type\":\"path\",\"closed\":\"false\"}}"},
    {602, -1, DEFAULTS, "((Infinity,NaN))",
     "{\"wkb\":\"AQIAAAABAAAAAAAAAAAA8H8AAAAAAAD4fw==\",\"srid\":null,\"extensions\":{\"type\":"
     "\"path\",\"closed\":\"true\"}}"},
    {602, -1, DEFAULTS, "((0,0),(0,1)]", NULL},
    {602, -1, DEFAULTS, "()", NULL},
    {602, -1, DEFAULTS, "((0,0),)", NULL},
    {602, -1, DEFAULTS, "", NULL},
    {604, -1, DEFAULTS, "((0,0),(0,1),(1,0))",
     "{\"wkb\":\"AQMAAAABAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPA/"
     "AAAAAAAA8D8AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"srid\":null,\"extensions\":{\"type\":"
     "\"polygon\"}}"},
    {604, -1, DEFAULTS, "((0,0),(0,1),(1,0),(0,0))",
     "{\"wkb\":\"AQMAAAABAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPA/"
     "AAAAAAAA8D8AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"srid\":null,\"extensions\":{\"type\":"
     "\"polygon\"}}"},
    {604, -1, DEFAULTS, "((1,1))",
     "{\"wkb\":\"AQMAAAABAAAAAQAAAAAAAAAAAPA/"
     "AAAAAAAA8D8=\",\"srid\":null,\"extensions\":{\"type\":\"polygon\"}}"},
    {604, -1, DEFAULTS, "((1,x))", NULL},
    {718, -1, DEFAULTS, "<(10,4),10>",
     "{\"center\":{\"x\":10,\"y\":4,\"wkb\":\"AQEAAAAAAAAAAAAkQAAAAAAAABBA\",\"srid\":null},"
     "\"radius\":10}"},
    {718, -1, DEFAULTS, "<(0,0),Infinity>",
     "{\"center\":{\"x\":0,\"y\":0,\"wkb\":\"AQEAAAAAAAAAAAAAAAAAAAAAAAAA\",\"srid\":null},"
     "\"radius\":\"Infinity\"}"},
    {718, -1, DEFAULTS, "<(10,4)>", NULL},
    {628, -1, DEFAULTS, "{-1,0,0}", "{\"a\":-1,\"b\":0,\"c\":0}"},
    {628, -1, DEFAULTS, "{-1,0}", NULL},
    {1020, -1, DEFAULTS, "{(1,1),(0,0);NULL}",
     "[{\"wkb\":\"AQMAAAABAAAABQAAAAAAAAAAAPA/"
     "AAAAAAAA8D8AAAAAAADwPwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA8D8AAAAAAADwPwAAAAAAA"
     "PA/\",\"srid\":null,\"extensions\":{\"type\":\"box\"}},null]"},
    {1019, -1, DEFAULTS, "{\"((0,0),(0,1),(0,2))\"}",
     "[{\"wkb\":\"AQIAAAADAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA8D8AAAAAAAAAAAAAAAAAAABA\","
     "\"srid\":null,\"extensions\":{\"type\":\"path\",\"closed\":\"true\"}}]"},
    {629, -1, DEFAULTS, "{\"{-1,0,0}\"}", "[{\"a\":-1,\"b\":0,\"c\":0}]"},
    {1017, -1, DEFAULTS, "{\"(1,1)\"}", "\"{\\\"(1,1)\\\"}\""},
    {OID_GEOMETRY, -1, DEFAULTS, "0101000020730C00001C7C613255DE6540787AA52C435C42C0",
     "{\"wkb\":\"AQEAACBzDAAAHHxhMlXeZUB4eqUsQ1xCwA==\",\"srid\":3187,\"extensions\":null}"},
    {OID_GEOMETRY, -1, DEFAULTS,
     "010200000002000000A779C7293A2465400B462575025A46C0C66D3480B7FC6440C3D32B65195246C0",
     "{\"wkb\":\"AQIAAAACAAAAp3nHKTokZUALRiV1AlpGwMZtNIC3/"
     "GRAw9MrZRlSRsA=\",\"srid\":null,\"extensions\":null}"},
    {OID_GEOMETRY, -1, DEFAULTS, "010700000000000000",
     "{\"wkb\":\"AQcAAAAAAAAA\",\"srid\":null,\"extensions\":null}"},
    {OID_GEOMETRY, -1, DEFAULTS, "0020000001000010e63ff00000000000004000000000000000",
     "{\"wkb\":\"ACAAAAEAABDmP/AAAAAAAABAAAAAAAAAAA==\",\"srid\":4326,\"extensions\":null}"},
    {OID_GEOMETRY, -1, DEFAULTS, "0107000000000000", NULL},
    {OID_GEOMETRY, -1, DEFAULTS,
     "010200000002000000A779C7293A2465400B462575025A46C0C66D3480B7FC6440C3D32B65195246C", NULL},
    {OID_GEOMETRY, -1, DEFAULTS,
     "010200000002000000A779C7293A2465400B462575025A46C0C66D3480B7FC6440C3D32B65195246xx", NULL},
    {OID_GEOMETRY, -1, DEFAULTS,
     "0x0200000002000000A779C7293A2465400B462575025A46C0C66D3480B7FC6440C3D32B65195246C0", NULL},
    {OID_GEOGRAPHY, -1, DEFAULTS, "0101000020E61000001C7C613255DE6540787AA52C435C42C0",
     "{\"wkb\":\"AQEAACDmEAAAHHxhMlXeZUB4eqUsQ1xCwA==\",\"srid\":4326}"},
    {OID_GEOMETRY_ARRAY, -1, DEFAULTS, "{0101000020730C00001C7C613255DE6540787AA52C435C42C0:NULL}",
     "[{\"wkb\":\"AQEAACBzDAAAHHxhMlXeZUB4eqUsQ1xCwA==\",\"srid\":3187,\"extensions\":null},null]"},
    /* Numbers as pgvector prints them. */
    {OID_VECTOR, -1, DEFAULTS, "[1,2,3]", "[1,2,3]"},
    {OID_VECTOR, -1, DEFAULTS, "[-1.5,1e-07,0]", "[-1.5,1e-07,0]"},
    {OID_VECTOR, -1, DEFAULTS, "[]", NULL},
    {OID_VECTOR, -1, DEFAULTS, "[1,]", NULL},
    {OID_VECTOR, -1, DEFAULTS, "[1,2", NULL},
    {OID_VECTOR, -1, DEFAULTS, "[1,NaN]", NULL},
    {OID_VECTOR, -1, DEFAULTS, "[1]]", NULL},
    {OID_VECTOR, -1, DEFAULTS, "1", NULL},
    {OID_HALF_VECTOR, -1, DEFAULTS, "[101,102.5]", "[101,102.5]"},
    {OID_SPARSE_VECTOR, -1, DEFAULTS, "{1:201,9:209}/3000",
     "{\"dimensions\":3000,\"vector\":[[1,201],[9,209]]}"},
    {OID_SPARSE_VECTOR, -1, DEFAULTS, "{}/5", "{\"dimensions\":5,\"vector\":[]}"},
    {OID_SPARSE_VECTOR, -1, DEFAULTS, "{32767:-1e+20}/32767",
     "{\"dimensions\":32767,\"vector\":[[32767,-1e+20]]}"},
    {OID_SPARSE_VECTOR, -1, DEFAULTS, "{1:1}/32768", NULL},
    {OID_SPARSE_VECTOR, -1, DEFAULTS, "{1:1}/99999999999", NULL},
    {OID_SPARSE_VECTOR, -1, DEFAULTS, "{1:1}", NULL},
    {OID_SPARSE_VECTOR, -1, DEFAULTS, "{1:1}/", NULL},
    {OID_SPARSE_VECTOR, -1, DEFAULTS, "{2:1}/1", NULL},
    {OID_SPARSE_VECTOR, -1, DEFAULTS, "{1:}/1", NULL},
    {OID_SPARSE_VECTOR, -1, DEFAULTS, "{1:1,}/1", NULL},
    {OID_SPARSE_VECTOR, -1, DEFAULTS, "1:1}/1", NULL},
    {OID_SPARSE_VECTOR, -1, DEFAULTS, "{1:1/1", NULL},
    {OID_SPARSE_VECTOR, -1, DEFAULTS, "{:1}/1", NULL},
    {OID_SPARSE_VECTOR, -1, DEFAULTS, "/1", NULL},
    {OID_SPARSE_VECTOR, -1, DEFAULTS, "", NULL},
    {OID_VECTOR_ARRAY, -1, DEFAULTS, "{\"[1,2]\",NULL}", "[[1,2],null]"},
    /* Types that Debezium has no form for. */
    {791, -1, DEFAULTS, "{$1.00}", "\"{$1.00}\""},
    {4451, -1, DEFAULTS, "{[1,2)}", "\"{[1,2)}\""},
};

static struct relation *one_column(const struct value_case *value, bool not_null)
{
    struct relation *relation = relation_make(
        REPLICA_IDENTITY_DEFAULT,
        (const struct column_spec[]){{"id", 23, true, true}, {"v", value->oid, false, not_null}},
        2);
    relation->columns[1].type_modifier = value->modifier;
    return relation;
}

/* The value of column v in the event's last row. */
static void assert_column(const struct encode_settings *settings, struct change *change,
                          const char *json)
{
    struct encoder *encoder = encoder_make(settings);
    struct bytes out = encoded(encoder, change);
    assert_json(out.data, out.size);
    char *start = strstr(bytes_text(&out), ",\"v\":");
    ck_assert_ptr_nonnull(start);
    char *end = strstr(start, "},\"source\":{");
    ck_assert_ptr_nonnull(end);
    *end = '\0';
    ck_assert_str_eq(start + 5, json);
    bytes_release(&out);
    debezium_encoder.destroy(encoder);
}

START_TEST(debezium_value_has_its_documented_form)
{
    const struct value_case *value = &value_cases[_i];
    const struct encode_settings settings = {.type = &debezium_encoder,
                                             .debezium = value->settings};
    struct relation *relation = one_column(value, false);
    struct change change =
        row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){"1", value->text});
    if (value->json != NULL) {
        assert_column(&settings, &change, value->json);
    } else {
        struct encoder *encoder = encoder_make(&settings);
        struct bytes out;
        bytes_init(&out, OUT_MAX);
        struct fan_error error = {0};
        ck_assert_msg(debezium_encoder.encode(encoder, &change, &out, &error) == FAN_POISON,
                      "%u %s became %s", value->oid, value->text, bytes_text(&out));
        ck_assert_ptr_nonnull(strstr(error.text, "cannot encode column \"v\" of a row of "
                                                 "\"public.orders\": "));
        bytes_release(&out);
        debezium_encoder.destroy(encoder);
        change_release(&change);
    }
    relation_destroy(relation);
}
END_TEST

/* NULL in a column that may not be null; then a value that was not sent, NULL: it has no marker. */
static const struct absent_case {
    uint32_t oid;
    int32_t modifier;
    struct debezium_settings settings;
    const char *zero;
    const char *marker;
} absent_cases[] = {
    {25, -1, DEFAULTS, "\"\"", "\"__debezium_unavailable_value\""},
    {25, -1, WITH(.unavailable_value = "gone"), "\"\"", "\"gone\""},
    {17, -1, DEFAULTS, "\"\"", "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\""},
    {17, -1, WITH(.binary = DEBEZIUM_BINARY_HEX), "\"\"", "\"__debezium_unavailable_value\""},
    {17, -1, WITH(.binary = DEBEZIUM_BINARY_BASE64), "\"\"",
     "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\""},
    {3802, -1, DEFAULTS, "\"\"", "\"__debezium_unavailable_value\""},
    {142, -1, DEFAULTS, "\"\"", "\"__debezium_unavailable_value\""},
    {1009, -1, DEFAULTS, "[]", "[\"__debezium_unavailable_value\"]"},
    {1001, -1, DEFAULTS, "[]", "[\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"]"},
    {1007, -1, DEFAULTS, "[]",
     "[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,"
     "108,117,101]"},
    {1016, -1, WITH(.unavailable_value = "ab"), "[]", "[97,98]"},
    {2951, -1, DEFAULTS, "[]", "[\"b68a35a7-17ad-35b3-af2a-ae46edb4545a\"]"},
    {2951, -1, WITH(.unavailable_value = "gone"), "[]",
     "[\"50c1f58b-e7f5-347e-8f53-d64c094783c2\"]"},
    {2951, -1, WITH(.unavailable_value = "hex:00ff"), "[]",
     "[\"d07d34ef-ac63-3800-bad6-7c7e0a985e00\"]"},
    {25, -1, WITH(.unavailable_value = "hex:41fF00"), "\"\"", "\"A\xef\xbf\xbd\\u0000\""},
    {17, -1, WITH(.unavailable_value = "hex:00ff"), "\"\"", "\"AP8=\""},
    {17, -1, WITH(.unavailable_value = "hex:41ff", .binary = DEBEZIUM_BINARY_HEX), "\"\"",
     "\"A\xef\xbf\xbd\""},
    {1001, -1, WITH(.unavailable_value = "hex:00ff"), "[]", "[\"AP8=\"]"},
    {1007, -1, WITH(.unavailable_value = "hex:007fff"), "[]", "[0,127,-1]"},
    {25, -1, WITH(.unavailable_value = "hex:0"), "\"\"", "\"hex:0\""},
    {1231, -1, DEFAULTS, "[]", NULL},
    {1700, -1, DEFAULTS, "{\"scale\":0,\"value\":\"AA==\"}", NULL},
    {1700, -1, STRINGS, "\"0\"", "\"__debezium_unavailable_value\""},
    {1700, NUMERIC(6, 2), DEFAULTS, "\"AA==\"", NULL},
    {1700, NUMERIC(6, 2), STRINGS, "\"0.00\"", "\"__debezium_unavailable_value\""},
    {1700, NUMERIC(6, -2), STRINGS, "\"0\"", "\"__debezium_unavailable_value\""},
    {790, -1, STRINGS, "\"0.00\"", NULL},
    {OID_HSTORE, -1, DEFAULTS, "\"{}\"",
     "\"{\\\"__debezium_unavailable_value\\\":\\\"__debezium_unavailable_value\\\"}\""},
    {3807, -1, DEFAULTS, "[]", "[\"__debezium_unavailable_value\"]"},
    {1182, -1, WITH(.unavailable_value = "ab"), "[]", "[97,98]"},
    {1182, -1, TIMES_OF(ISOSTRING), "[]", NULL},
    {OID_HSTORE_ARRAY, -1, DEFAULTS, "[]", NULL},
    {OID_HSTORE, -1, WITH(.hstore = DEBEZIUM_HSTORE_MAP), "{}",
     "{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}"},
    {16, -1, DEFAULTS, "false", NULL},
    {20, -1, DEFAULTS, "0", NULL},
    {701, -1, DEFAULTS, "0", NULL},
    {1082, -1, DEFAULTS, "0", NULL},
    {1082, -1, TIMES_OF(ISOSTRING), "\"1970-01-01Z\"", NULL},
    {1114, -1, DEFAULTS, "0", NULL},
    {1184, -1, DEFAULTS, "\"1970-01-01T00:00:00Z\"", NULL},
    {1266, -1, DEFAULTS, "\"00:00:00Z\"", NULL},
    {1186, -1, DEFAULTS, "0", NULL},
    {1082, -1, TIMES_OF(STRUCTURED), "{\"year\":1970,\"month\":1,\"day\":1,\"specialValue\":null}",
     NULL},
    {1083, 0, TIMES_OF(STRUCTURED),
     "{\"hour\":0,\"minute\":0,\"second\":0,\"nanos\":0,\"precision\":0}", NULL},
    {1266, -1, TIMES_OF(STRUCTURED),
     "{\"hour\":0,\"minute\":0,\"second\":0,\"nanos\":0,\"offsetSeconds\":0,\"precision\":6}",
     NULL},
    {1114, 3, TIMES_OF(STRUCTURED),
     "{\"year\":1970,\"month\":1,\"day\":1,\"hour\":0,\"minute\":0,\"second\":0,\"nanos\":0,"
     "\"specialValue\":null,\"precision\":3}",
     NULL},
    {1184, -1, TIMES_OF(STRUCTURED),
     "{\"year\":1970,\"month\":1,\"day\":1,\"hour\":0,\"minute\":0,\"second\":0,\"nanos\":0,"
     "\"offsetSeconds\":0,\"zoneId\":null,\"specialValue\":null,\"precision\":6}",
     NULL},
    {1186, -1, TIMES_OF(STRUCTURED),
     "{\"years\":0,\"months\":0,\"days\":0,\"hours\":0,\"minutes\":0,\"seconds\":0,\"nanos\":0,"
     "\"precision\":6}",
     NULL},
    {603, -1, DEFAULTS,
     "{\"wkb\":\"AQMAAAABAAAABQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPA/"
     "AAAAAAAA8D8AAAAAAADwPwAAAAAAAPA/"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"srid\":null,\"extensions\":{\"type\":\"box\"}}",
     NULL},
    {601, -1, DEFAULTS,
     "{\"wkb\":\"AQIAAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPA/"
     "AAAAAAAAAAA=\",\"srid\":null,\"extensions\":{\"type\":\"lseg\"}}",
     NULL},
    {602, -1, DEFAULTS,
     "{\"wkb\":\"AQIAAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPA/"
     "AAAAAAAAAAA=\",\"srid\":null,\"extensions\":{\"type\":\"path\"}}",
     NULL},
    {604, -1, DEFAULTS,
     "{\"wkb\":"
     "\"AQMAAAABAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAADwPwAAAAAAAAAAAAAAAAAAAAAAAAAAAADwPwAAAAAAAAA"
     "AAAAAAAAAAAA=\",\"srid\":null,\"extensions\":{\"type\":\"polygon\"}}",
     NULL},
    {718, -1, DEFAULTS,
     "{\"center\":{\"x\":0.0,\"y\":0.0,\"wkb\":\"AQEAAAAAAAAAAAAAAAAAAAAAAAAA\",\"srid\":null},"
     "\"radius\":0.0}",
     NULL},
    {628, -1, DEFAULTS, "{\"a\":0.0,\"b\":1.0,\"c\":0.0}", NULL},
    {OID_GEOMETRY, -1, DEFAULTS, "{\"wkb\":\"AQcAAAAAAAAA\",\"srid\":null,\"extensions\":null}",
     NULL},
    {OID_GEOGRAPHY, -1, DEFAULTS, "{\"wkb\":\"AQcAAAAAAAAA\",\"srid\":null}", NULL},
    {OID_GEOMETRY_ARRAY, -1, DEFAULTS, "[]", NULL},
    {OID_VECTOR, -1, DEFAULTS, "[]", NULL},
    {OID_HALF_VECTOR, -1, DEFAULTS, "[]", NULL},
    {OID_SPARSE_VECTOR, -1, DEFAULTS, "{\"dimensions\":0,\"vector\":[]}", NULL},
    {600, -1, DEFAULTS,
     "{\"x\":0.0,\"y\":0.0,\"wkb\":\"AQEAAAAAAAAAAAAAAAAAAAAAAAAA\",\"srid\":null}", NULL},
};

START_TEST(debezium_absent_value_is_zero_null_or_marker)
{
    const struct absent_case *absent = &absent_cases[_i];
    const struct encode_settings settings = {.type = &debezium_encoder,
                                             .debezium = absent->settings};
    const struct value_case value = {.oid = absent->oid, .modifier = absent->modifier};
    struct relation *strict = one_column(&value, true);
    struct relation *loose = one_column(&value, false);
    struct change change =
        row_change(CHANGE_INSERT, strict, OLD_ROW_NONE, NULL, (const char *[]){"1", NULL});
    assert_column(&settings, &change, absent->zero);
    change = row_change(CHANGE_INSERT, loose, OLD_ROW_NONE, NULL, (const char *[]){"1", NULL});
    assert_column(&settings, &change, "null");
    change = row_change(CHANGE_UPDATE, loose, OLD_ROW_NONE, NULL, (const char *[]){"1", "\1"});
    if (absent->marker != NULL) {
        assert_column(&settings, &change, absent->marker);
    } else {
        assert_poison(&settings, &change,
                      "cannot encode column \"v\" of a row of \"public.orders\": the server did "
                      "not send it, because it is unchanged, and its type has no marker for that");
    }
    relation_destroy(strict);
    relation_destroy(loose);
}
END_TEST

START_TEST(debezium_special_values_of_floats_follow_the_setting)
{
    const struct value_case value = {.oid = 701, .modifier = -1};
    struct relation *relation = one_column(&value, false);
    struct encode_settings settings = {.type = &debezium_encoder, .special_values = SPECIAL_NULL};
    struct change change =
        row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){"1", "NaN"});
    assert_column(&settings, &change, "null");
    settings.special_values = SPECIAL_FAIL;
    change = row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){"1", "NaN"});
    assert_poison(&settings, &change,
                  "cannot encode column \"v\" of a row of \"public.orders\": a number is NaN or "
                  "infinite");
    change = row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){"1", "\2x"});
    assert_poison(&plain, &change,
                  "cannot encode column \"v\" of a row of \"public.orders\": the server sent it in "
                  "binary form");
    relation_destroy(relation);
}
END_TEST

START_TEST(debezium_null_for_a_special_value_needs_a_column_that_may_be_null)
{
    static const struct encode_settings settings = {.type = &debezium_encoder,
                                                    .special_values = SPECIAL_NULL};
    const struct value_case value = {.oid = 701, .modifier = -1};
    const struct value_case point = {.oid = 600, .modifier = -1};
    const struct value_case circle = {.oid = 718, .modifier = -1};
    const struct value_case lines = {.oid = 629, .modifier = -1};
    const struct value_case array = {.oid = 1022, .modifier = -1};
    const char expected[] = "cannot encode column \"v\" of a row of \"public.orders\": a number is "
                            "NaN or infinite";
    struct relation *strict = one_column(&value, true);
    struct relation *points = one_column(&point, false);
    struct relation *circles = one_column(&circle, false);
    struct relation *line_arrays = one_column(&lines, false);
    struct relation *arrays = one_column(&array, true);
    struct change change =
        row_change(CHANGE_INSERT, strict, OLD_ROW_NONE, NULL, (const char *[]){"1", "NaN"});
    assert_poison(&settings, &change, expected);
    change =
        row_change(CHANGE_INSERT, points, OLD_ROW_NONE, NULL, (const char *[]){"1", "(NaN,1)"});
    assert_poison(&settings, &change, expected);
    change = row_change(CHANGE_INSERT, circles, OLD_ROW_NONE, NULL,
                        (const char *[]){"1", "<(0,0),NaN>"});
    assert_poison(&settings, &change, expected);
    change = row_change(CHANGE_INSERT, line_arrays, OLD_ROW_NONE, NULL,
                        (const char *[]){"1", "{\"{NaN,1,1}\"}"});
    assert_poison(&settings, &change, expected);
    change = row_change(CHANGE_INSERT, arrays, OLD_ROW_NONE, NULL, (const char *[]){"1", "{NaN}"});
    assert_column(&settings, &change, "[null]");
    relation_destroy(strict);
    relation_destroy(points);
    relation_destroy(circles);
    relation_destroy(line_arrays);
    relation_destroy(arrays);
}
END_TEST

/* Targets with equal settings share an encoder: each of them has to count. */
START_TEST(debezium_settings_are_equal_only_as_a_whole)
{
    struct encode_settings settings[] = {
        plain, plain, plain, plain, plain, plain, plain, plain, plain, plain, plain, plain,
    };
    settings[1].debezium.schemas = true;
    settings[2].debezium.decimal = DEBEZIUM_DECIMAL_STRING;
    settings[3].debezium.time = DEBEZIUM_TIME_CONNECT;
    settings[4].debezium.binary = DEBEZIUM_BINARY_HEX;
    settings[5].debezium.interval = DEBEZIUM_INTERVAL_STRING;
    settings[6].debezium.hstore = DEBEZIUM_HSTORE_MAP;
    settings[7].debezium.transaction_metadata = true;
    settings[8].debezium.unavailable_value = "a";
    settings[9].debezium.topic_prefix = "a";
    settings[10].lenient = true;
    settings[11].debezium.defaults = true;
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        for (size_t j = 0; j < sizeof(settings) / sizeof(settings[0]); j++) {
            ck_assert_int_eq(encode_settings_equal(&settings[i], &settings[j]), i == j);
        }
    }
    char copy[] = "a";
    settings[0].debezium.topic_prefix = copy;
    ck_assert(encode_settings_equal(&settings[0], &settings[9]));
}
END_TEST

START_TEST(debezium_marks_are_records_of_their_own)
{
    const struct encode_settings settings[] = {
        {.type = &debezium_encoder, .records = true, .transactions = true},
        {.type = &debezium_encoder,
         .records = true,
         .transactions = true,
         .debezium = {.schemas = true}}};
    static const char key[] = "{\"id\":\"731:439041101\"}";
    static const char schema[] =
        "{\"schema\":{\"type\":\"struct\",\"fields\":[{\"type\":\"string\",\"optional\":false,"
        "\"field\":\"id\"}],\"optional\":false,"
        "\"name\":\"io.debezium.connector.common.TransactionMetadataKey\",\"version\":1},"
        "\"payload\":";
    char expected[sizeof(schema) + sizeof(key) + 1];
    struct encoder *encoder = encoder_make(&settings[_i]);
    struct change change = change_make(CHANGE_MESSAGE, NULL);
    struct bytes out;
    struct record record;
    bytes_init(&out, OUT_MAX);
    (void)snprintf(expected, sizeof(expected), "%s%s%s", _i == 0 ? "" : schema, key,
                   _i == 0 ? "" : "}");
    size_t at = 0;
    for (int mark = TXN_MARK_BEGIN; mark <= TXN_MARK_COMMIT; mark++) {
        ck_assert_int_eq(debezium_encoder.mark(encoder, (enum txn_mark)mark, &change, &out, NULL),
                         FAN_OK);
        ck_assert(record_next(out.data, out.size, &at, &record));
        ck_assert_uint_eq(at, out.size);
        ck_assert(record.mark);
        ck_assert_ptr_null(record.headers);
        ck_assert_uint_eq(record.key_size, strlen(expected));
        ck_assert_mem_eq(record.key, expected, record.key_size);
        assert_json(record.value, record.value_size);
        const char *status = mark == TXN_MARK_BEGIN ? "{\"status\":\"BEGIN\",\"id\":"
                                                    : "{\"status\":\"END\",\"id\":";
        ck_assert_ptr_nonnull(memmem(record.value, record.value_size, status, strlen(status)));
    }
    bytes_release(&out);
    debezium_encoder.destroy(encoder);
}
END_TEST

/* ---- schemas ---- */

static const struct encode_settings with_schemas = {
    .type = &debezium_encoder, .records = true, .debezium = {.schemas = true}};

START_TEST(debezium_schemas_stand_before_key_and_value)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    struct encoder *encoder = encoder_make(&with_schemas);
    struct change change = row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL,
                                      (const char *[]){"7", "12.50", NULL});
    struct bytes out = encoded(encoder, &change);
    struct record record;
    size_t at = 0;
    ck_assert(record_next(out.data, out.size, &at, &record));
    const char key[] =
        "{\"schema\":{\"type\":\"struct\",\"fields\":[{\"type\":\"int32\",\"optional\":false,"
        "\"field\":\"id\"}],\"optional\":false,\"name\":\"shop.public.orders.Key\"},"
        "\"payload\":{\"id\":7}}";
    ck_assert_uint_eq(record.key_size, sizeof(key) - 1);
    ck_assert_mem_eq(record.key, key, record.key_size);
    const char value[] =
        "{\"schema\":{\"type\":\"struct\",\"fields\":[{\"type\":\"struct\",\"fields\":["
        "{\"type\":\"int32\",\"optional\":false,\"field\":\"id\"},"
        "{\"type\":\"struct\",\"fields\":["
        "{\"type\":\"int32\",\"optional\":false,\"field\":\"scale\"},"
        "{\"type\":\"bytes\",\"optional\":false,\"field\":\"value\"}],\"optional\":false,"
        "\"name\":\"io.debezium.data.VariableScaleDecimal\",\"version\":1,"
        "\"doc\":\"Variable scaled decimal\",\"field\":\"total\"},"
        "{\"type\":\"string\",\"optional\":true,\"field\":\"doc\"}],\"optional\":true,"
        "\"name\":\"shop.public.orders.Value\",\"field\":\"before\"},{\"type\":\"struct\",";
    ck_assert(record.value_size > sizeof(value));
    ck_assert_mem_eq(record.value, value, sizeof(value) - 1);
    assert_json(record.value, record.value_size);
    bytes_release(&out);
    debezium_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

static const struct schema_case {
    uint32_t oid;
    int32_t modifier;
    struct debezium_settings settings;
    const char *node; /* without the field's name */
} schema_cases[] = {
    {1700, NUMERIC(6, 4), WITH(.schemas = true),
     "{\"type\":\"bytes\",\"optional\":true,\"name\":\"org.apache.kafka.connect.data.Decimal\","
     "\"version\":1,\"parameters\":{\"scale\":\"4\",\"connect.decimal.precision\":\"6\"}"},
    {790, -1, WITH(.schemas = true),
     "{\"type\":\"bytes\",\"optional\":true,\"name\":\"org.apache.kafka.connect.data.Decimal\","
     "\"version\":1,\"parameters\":{\"scale\":\"2\"}"},
    {1560, 5, WITH(.schemas = true),
     "{\"type\":\"bytes\",\"optional\":true,\"name\":\"io.debezium.data.Bits\",\"version\":1,"
     "\"parameters\":{\"length\":\"5\"}"},
    {1562, -1, WITH(.schemas = true),
     "{\"type\":\"bytes\",\"optional\":true,\"name\":\"io.debezium.data.Bits\",\"version\":1,"
     "\"parameters\":{\"length\":\"2147483647\"}"},
    {1231, NUMERIC(3, 1), WITH(.schemas = true),
     "{\"type\":\"array\",\"items\":{\"type\":\"bytes\",\"optional\":true,"
     "\"name\":\"org.apache.kafka.connect.data.Decimal\",\"version\":1,"
     "\"parameters\":{\"scale\":\"1\",\"connect.decimal.precision\":\"3\"}},\"optional\":true"},
    {OID_HSTORE, -1, WITH(.schemas = true, .hstore = DEBEZIUM_HSTORE_MAP),
     "{\"type\":\"map\",\"keys\":{\"type\":\"string\",\"optional\":false},"
     "\"values\":{\"type\":\"string\",\"optional\":true},\"optional\":true"},
    {1083, 3, WITH(.schemas = true),
     "{\"type\":\"int32\",\"optional\":true,\"name\":\"io.debezium.time.Time\",\"version\":1"},
    {1114, -1, WITH(.schemas = true, .time = DEBEZIUM_TIME_CONNECT),
     "{\"type\":\"int64\",\"optional\":true,"
     "\"name\":\"org.apache.kafka.connect.data.Timestamp\",\"version\":1"},
    {1184, -1, WITH(.schemas = true),
     "{\"type\":\"string\",\"optional\":true,\"name\":\"io.debezium.time.ZonedTimestamp\","
     "\"version\":1"},
    {1082, -1, WITH(.schemas = true, .time = DEBEZIUM_TIME_STRUCTURED),
     "{\"type\":\"struct\",\"fields\":[{\"type\":\"int32\",\"optional\":true,\"field\":\"year\"},{"
     "\"type\":\"int8\",\"optional\":true,\"field\":\"month\"},{\"type\":\"int8\",\"optional\":"
     "true,\"field\":\"day\"},{\"type\":\"string\",\"optional\":true,\"field\":\"specialValue\"}],"
     "\"optional\":true,\"name\":\"io.debezium.time.StructuredDate\",\"version\":1"},
    {1083, -1, WITH(.schemas = true, .time = DEBEZIUM_TIME_STRUCTURED),
     "{\"type\":\"struct\",\"fields\":[{\"type\":\"int8\",\"optional\":true,\"field\":\"hour\"},{"
     "\"type\":\"int8\",\"optional\":true,\"field\":\"minute\"},{\"type\":\"int8\",\"optional\":"
     "true,\"field\":\"second\"},{\"type\":\"int32\",\"optional\":true,\"field\":\"nanos\"},{"
     "\"type\":\"int32\",\"optional\":true,\"field\":\"precision\"}],\"optional\":true,\"name\":"
     "\"io.debezium.time.StructuredTime\",\"version\":1"},
    {1266, -1, WITH(.schemas = true, .time = DEBEZIUM_TIME_STRUCTURED),
     "{\"type\":\"struct\",\"fields\":[{\"type\":\"int8\",\"optional\":true,\"field\":\"hour\"},{"
     "\"type\":\"int8\",\"optional\":true,\"field\":\"minute\"},{\"type\":\"int8\",\"optional\":"
     "true,\"field\":\"second\"},{\"type\":\"int32\",\"optional\":true,\"field\":\"nanos\"},{"
     "\"type\":\"int32\",\"optional\":true,\"field\":\"offsetSeconds\"},{\"type\":\"int32\","
     "\"optional\":true,\"field\":\"precision\"}],\"optional\":true,\"name\":\"io.debezium.time."
     "StructuredZonedTime\",\"version\":1"},
    {1114, -1, WITH(.schemas = true, .time = DEBEZIUM_TIME_STRUCTURED),
     "{\"type\":\"struct\",\"fields\":[{\"type\":\"int32\",\"optional\":true,\"field\":\"year\"},{"
     "\"type\":\"int8\",\"optional\":true,\"field\":\"month\"},{\"type\":\"int8\",\"optional\":"
     "true,\"field\":\"day\"},{\"type\":\"int8\",\"optional\":true,\"field\":\"hour\"},{\"type\":"
     "\"int8\",\"optional\":true,\"field\":\"minute\"},{\"type\":\"int8\",\"optional\":true,"
     "\"field\":\"second\"},{\"type\":\"int32\",\"optional\":true,\"field\":\"nanos\"},{\"type\":"
     "\"string\",\"optional\":true,\"field\":\"specialValue\"},{\"type\":\"int32\",\"optional\":"
     "true,\"field\":\"precision\"}],\"optional\":true,\"name\":\"io.debezium.time."
     "StructuredTimestamp\",\"version\":1"},
    {1184, -1, WITH(.schemas = true, .time = DEBEZIUM_TIME_STRUCTURED),
     "{\"type\":\"struct\",\"fields\":[{\"type\":\"int32\",\"optional\":true,\"field\":\"year\"},{"
     "\"type\":\"int8\",\"optional\":true,\"field\":\"month\"},{\"type\":\"int8\",\"optional\":"
     "true,\"field\":\"day\"},{\"type\":\"int8\",\"optional\":true,\"field\":\"hour\"},{\"type\":"
     "\"int8\",\"optional\":true,\"field\":\"minute\"},{\"type\":\"int8\",\"optional\":true,"
     "\"field\":\"second\"},{\"type\":\"int32\",\"optional\":true,\"field\":\"nanos\"},{\"type\":"
     "\"int32\",\"optional\":true,\"field\":\"offsetSeconds\"},{\"type\":\"string\",\"optional\":"
     "true,\"field\":\"zoneId\"},{\"type\":\"string\",\"optional\":true,\"field\":\"specialValue\"}"
     ",{\"type\":\"int32\",\"optional\":true,\"field\":\"precision\"}],\"optional\":true,\"name\":"
     "\"io.debezium.time.StructuredZonedTimestamp\",\"version\":1"},
    {1186, -1, WITH(.schemas = true, .time = DEBEZIUM_TIME_STRUCTURED),
     "{\"type\":\"struct\",\"fields\":[{\"type\":\"int32\",\"optional\":true,\"field\":\"years\"},{"
     "\"type\":\"int32\",\"optional\":true,\"field\":\"months\"},{\"type\":\"int32\",\"optional\":"
     "true,\"field\":\"days\"},{\"type\":\"int32\",\"optional\":true,\"field\":\"hours\"},{"
     "\"type\":\"int32\",\"optional\":true,\"field\":\"minutes\"},{\"type\":\"int64\",\"optional\":"
     "true,\"field\":\"seconds\"},{\"type\":\"int32\",\"optional\":true,\"field\":\"nanos\"},{"
     "\"type\":\"int32\",\"optional\":true,\"field\":\"precision\"}],\"optional\":true,\"name\":"
     "\"io.debezium.time.StructuredDuration\",\"version\":1"},
    {17, -1, WITH(.schemas = true), "{\"type\":\"bytes\",\"optional\":true"},
    {17, -1, WITH(.schemas = true, .binary = DEBEZIUM_BINARY_BASE64),
     "{\"type\":\"string\",\"optional\":true"},
    {700, -1, WITH(.schemas = true), "{\"type\":\"float\",\"optional\":true"},
    {600, -1, WITH(.schemas = true),
     "{\"type\":\"struct\",\"fields\":[{\"type\":\"double\",\"optional\":false,\"field\":\"x\"},{"
     "\"type\":\"double\",\"optional\":false,\"field\":\"y\"},{\"type\":\"bytes\",\"optional\":"
     "true,\"field\":\"wkb\"},{\"type\":\"int32\",\"optional\":true,\"field\":\"srid\"}],"
     "\"optional\":true,\"name\":\"io.debezium.data.geometry.Point\",\"version\":1,\"doc\":"
     "\"Geometry (POINT)\""},
    {602, -1, WITH(.schemas = true),
     "{\"type\":\"struct\",\"fields\":[{\"type\":\"bytes\",\"optional\":false,\"field\":\"wkb\"},{"
     "\"type\":\"int32\",\"optional\":true,\"field\":\"srid\"},{\"type\":\"map\",\"keys\":{"
     "\"type\":\"string\",\"optional\":false},\"values\":{\"type\":\"string\",\"optional\":false},"
     "\"optional\":true,\"field\":\"extensions\"}],\"optional\":true,\"name\":\"io.debezium.data."
     "geometry.Geometry\",\"version\":2,\"doc\":\"Geometry\""},
    {718, -1, WITH(.schemas = true),
     "{\"type\":\"struct\",\"fields\":[{\"type\":\"struct\",\"fields\":[{\"type\":\"double\","
     "\"optional\":false,\"field\":\"x\"},{\"type\":\"double\",\"optional\":false,\"field\":\"y\"},"
     "{\"type\":\"bytes\",\"optional\":true,\"field\":\"wkb\"},{\"type\":\"int32\",\"optional\":"
     "true,\"field\":\"srid\"}],\"optional\":false,\"name\":\"io.debezium.data.geometry.Point\","
     "\"version\":1,\"doc\":\"Geometry "
     "(POINT)\",\"field\":\"center\"},{\"type\":\"double\",\"optional\":false,\"field\":\"radius\"}"
     "],\"optional\":true,\"name\":\"io.debezium.data.geometry.Circle\",\"version\":1,\"doc\":"
     "\"Geometry (CIRCLE)\""},
    {628, -1, WITH(.schemas = true),
     "{\"type\":\"struct\",\"fields\":[{\"type\":\"double\",\"optional\":false,\"field\":\"a\"},{"
     "\"type\":\"double\",\"optional\":false,\"field\":\"b\"},{\"type\":\"double\",\"optional\":"
     "false,\"field\":\"c\"}],\"optional\":true,\"name\":\"io.debezium.data.geometry.Line\","
     "\"version\":1,\"doc\":\"Geometry (LINE)\""},
    {OID_GEOMETRY, -1, WITH(.schemas = true),
     "{\"type\":\"struct\",\"fields\":[{\"type\":\"bytes\",\"optional\":false,\"field\":\"wkb\"},{"
     "\"type\":\"int32\",\"optional\":true,\"field\":\"srid\"},{\"type\":\"map\",\"keys\":{"
     "\"type\":\"string\",\"optional\":false},\"values\":{\"type\":\"string\",\"optional\":false},"
     "\"optional\":true,\"field\":\"extensions\"}],\"optional\":true,\"name\":\"io.debezium.data."
     "geometry.Geometry\",\"version\":2,\"doc\":\"Geometry\""},
    {OID_GEOGRAPHY, -1, WITH(.schemas = true),
     "{\"type\":\"struct\",\"fields\":[{\"type\":\"bytes\",\"optional\":false,\"field\":\"wkb\"},{"
     "\"type\":\"int32\",\"optional\":true,\"field\":\"srid\"}],\"optional\":true,\"name\":\"io."
     "debezium.data.geometry.Geography\",\"version\":1,\"doc\":\"Geography\""},
    {OID_GEOMETRY_ARRAY, -1, WITH(.schemas = true),
     "{\"type\":\"array\",\"items\":{\"type\":\"struct\",\"fields\":[{\"type\":\"bytes\","
     "\"optional\":false,\"field\":\"wkb\"},{\"type\":\"int32\",\"optional\":true,\"field\":"
     "\"srid\"},{\"type\":\"map\",\"keys\":{\"type\":\"string\",\"optional\":false},\"values\":{"
     "\"type\":\"string\",\"optional\":false},\"optional\":true,\"field\":\"extensions\"}],"
     "\"optional\":true,\"name\":\"io.debezium.data.geometry.Geometry\",\"version\":2,\"doc\":"
     "\"Geometry\"},\"optional\":true"},
    {OID_VECTOR, -1, WITH(.schemas = true),
     "{\"type\":\"array\",\"items\":{\"type\":\"double\",\"optional\":false},\"optional\":true,"
     "\"name\":\"io.debezium.data.DoubleVector\",\"version\":1"},
    {OID_HALF_VECTOR, -1, WITH(.schemas = true),
     "{\"type\":\"array\",\"items\":{\"type\":\"float\",\"optional\":false},\"optional\":true,"
     "\"name\":\"io.debezium.data.FloatVector\",\"version\":1"},
    {OID_SPARSE_VECTOR, -1, WITH(.schemas = true),
     "{\"type\":\"struct\",\"fields\":[{\"type\":\"int16\",\"optional\":false,\"field\":"
     "\"dimensions\"},{\"type\":\"map\",\"keys\":{\"type\":\"int16\",\"optional\":false},"
     "\"values\":{\"type\":\"double\",\"optional\":false},\"optional\":false,\"field\":\"vector\"}]"
     ",\"optional\":true,\"name\":\"io.debezium.data.SparseDoubleVector\",\"version\":1,\"doc\":"
     "\"Sparse double vector\""},
    {OID_ENUM, -1, WITH(.schemas = true),
     "{\"type\":\"string\",\"optional\":true,\"name\":\"io.debezium.data.Enum\",\"version\":1"},
};

START_TEST(debezium_schema_of_a_type_is_the_documented_one)
{
    const struct schema_case *schema = &schema_cases[_i];
    const struct encode_settings settings = {.type = &debezium_encoder,
                                             .debezium = schema->settings};
    const struct value_case value = {.oid = schema->oid, .modifier = schema->modifier};
    struct relation *relation = one_column(&value, false);
    struct encoder *encoder = encoder_make(&settings);
    struct change change =
        row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){"1", NULL});
    struct bytes out = encoded(encoder, &change);
    assert_json(out.data, out.size);
    char expected[2048];
    (void)snprintf(expected, sizeof(expected), "%s,\"field\":\"v\"}]", schema->node);
    ck_assert_msg(strstr(bytes_text(&out), expected) != NULL, "%s is not in %s", expected,
                  bytes_text(&out));
    bytes_release(&out);
    debezium_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

START_TEST(debezium_schema_of_an_enum_has_its_labels)
{
    static const char *const nodes[] = {
        "{\"type\":\"string\",\"optional\":true,\"name\":\"io.debezium.data.Enum\",\"version\":1,"
        "\"parameters\":{\"allowed\":\"sad,so \\\"so\\\"\"},\"field\":\"v\"}]",
        "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"optional\":true,"
        "\"name\":\"io.debezium.data.Enum\",\"version\":1,"
        "\"parameters\":{\"allowed\":\"sad,so \\\"so\\\"\"}},\"optional\":true,\"field\":\"v\"}]"};
    const struct encode_settings settings = {.type = &debezium_encoder,
                                             .debezium = {.schemas = true}};
    const struct value_case value = {.oid = _i == 0 ? OID_ENUM : OID_ENUM_ARRAY, .modifier = -1};
    struct relation *relation = one_column(&value, false);
    for (size_t i = 0; i < relation->columns_count; i++) {
        if (relation->columns[i].type.family == TYPE_FAMILY_ENUM) {
            relation->columns[i].labels = strdup("sad,so \"so\"");
        }
    }
    struct encoder *encoder = encoder_make(&settings);
    struct change change = row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL,
                                      (const char *[]){"1", _i == 0 ? "sad" : "{sad}"});
    struct bytes out = encoded(encoder, &change);
    assert_json(out.data, out.size);
    ck_assert_msg(strstr(bytes_text(&out), nodes[_i]) != NULL, "%s", bytes_text(&out));
    bytes_release(&out);
    debezium_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

static const struct default_case {
    uint32_t oid;
    int32_t modifier;
    struct debezium_settings settings;
    const char *expression;
    const char *json; /* NULL: none */
} default_cases[] = {
    {16, -1, DEFAULTS, "true", "true"},
    {16, -1, DEFAULTS, "(1 = 1)", NULL},
    {16, -1, DEFAULTS, "random_bool()", "false"},
    {21, -1, DEFAULTS, "'-7'::integer", "-7"},
    {21, -1, DEFAULTS, "32768", NULL},
    {23, -1, DEFAULTS, "nextval('public.t_id_seq'::regclass)", "0"},
    {23, -1, DEFAULTS, "1.5", NULL},
    {23, -1, DEFAULTS, "'1.5'::numeric", NULL},
    {23, -1, DEFAULTS, "(1 + 2)", NULL},
    {23, -1, DEFAULTS, "NULL::integer", NULL},
    {23, -1, DEFAULTS, "((5))", "5"},
    {23, -1, DEFAULTS, "'5'::", "5"},
    {23, -1, DEFAULTS, "", NULL},
    {23, -1, DEFAULTS, "()", NULL},
    {20, -1, DEFAULTS, "'9223372036854775807'::bigint", "9223372036854775807"},
    {20, -1, DEFAULTS, "9223372036854775808", NULL},
    {701, -1, DEFAULTS, "1.5", "1.5"},
    {701, -1, DEFAULTS, "'NaN'::double precision", NULL},
    {25, -1, DEFAULTS, "'it''s'::text", "\"it's\""},
    {25, -1, DEFAULTS, "E'a\\\\b'::text", "\"a\\\\b\""},
    {25, -1, DEFAULTS, "''::text", "\"\""},
    {25, -1, DEFAULTS, "('a'::text || 'b'::text)", NULL},
    {25, -1, DEFAULTS, "'a'::text || 'b'::text", NULL},
    {25, -1, DEFAULTS, "'a", NULL},
    {25, -1, DEFAULTS, "'", NULL},
    {25, -1, DEFAULTS, "E'a\\", NULL},
    {25, -1, DEFAULTS, "CURRENT_USER", NULL},
    {25, -1, DEFAULTS, "('(x)'::text)", "\"(x)\""},
    {1043, 14, DEFAULTS, "'ab'::character varying", "\"ab\""},
    {1043, 14, DEFAULTS, "upper('ab'::text)", "\"\""},
    {1042, 9, DEFAULTS, "'ab'::bpchar", "\"ab\""},
    {1700, NUMERIC(5, 2), DEFAULTS, "1.5", "\"AJY=\""},
    {1700, NUMERIC(5, 2), DEFAULTS, "1.555", NULL},
    {1700, NUMERIC(5, 2), DEFAULTS, "my.f(1, 2)", "\"AA==\""},
    {1700, -1, DEFAULTS, "1.5", NULL},
    {1700, NUMERIC(5, 2), WITH(.decimal = DEBEZIUM_DECIMAL_STRING), "1", "\"1.00\""},
    {1700, NUMERIC(5, 2), WITH(.decimal = DEBEZIUM_DECIMAL_STRING), "1.5", "\"1.50\""},
    {1700, NUMERIC(5, 2), WITH(.decimal = DEBEZIUM_DECIMAL_STRING), "1.555", NULL},
    {1700, -1, WITH(.decimal = DEBEZIUM_DECIMAL_STRING), "1.555", "\"1.555\""},
    {1700, -1, WITH(.decimal = DEBEZIUM_DECIMAL_STRING), "'NaN'::numeric", NULL},
    {1700, -1, WITH(.decimal = DEBEZIUM_DECIMAL_DOUBLE), "1.555", "1.555"},
    {114, -1, DEFAULTS, "'{\"a\": 1}'::json", "\"{\\\"a\\\": 1}\""},
    {2950, -1, DEFAULTS, "gen_random_uuid()", "\"00000000-0000-0000-0000-000000000000\""},
    {1082, -1, DEFAULTS, "'2016-11-04'::date", "17109"},
    {1082, -1, DEFAULTS, "('2016-11-04'::text)::date", NULL},
    {1082, -1, DEFAULTS, "CURRENT_DATE", "0"},
    {1082, -1, DEFAULTS, "'infinity'::date", NULL},
    {1083, -1, DEFAULTS, "LOCALTIME", "0"},
    {1114, -1, DEFAULTS, "'2016-11-04 13:51:30.123456'::timestamp without time zone",
     "1478267490123456"},
    {1114, -1, DEFAULTS, "timezone('utc'::text, now())", "0"},
    {1184, -1, DEFAULTS, "now()", "\"1970-01-01T00:00:00.000000Z\""},
    {1184, -1, DEFAULTS, "(now() + 'P1D'::interval)", "\"1970-01-01T00:00:00.000000Z\""},
    {1186, -1, DEFAULTS, "'P1D'::interval", "86400000000"},
    {1560, 1, DEFAULTS, "'1'::\"bit\"", "true"},
    {1560, 5, DEFAULTS, "B'00101'::\"bit\"", "\"BQ==\""},
    {1560, 5, DEFAULTS, "B'101'::\"bit\"", NULL},
    {1562, 5, DEFAULTS, "B'101'::\"bit\"", "\"BQ==\""},
    {1560, 5, DEFAULTS, "my_bits()", NULL},
    {17, -1, DEFAULTS, "'\\x01'::bytea", NULL}, /* Debezium has none of these types */
    {1007, -1, DEFAULTS, "'{}'::integer[]", NULL},
    {OID_DOMAIN, -1, DEFAULTS, "1.5", NULL},
    {OID_ENUM, -1, DEFAULTS, "'so so'::public.mood", "\"so so\""},
    {OID_ENUM, -1, DEFAULTS, "my_mood()", NULL},
    {OID_ENUM_ARRAY, -1, DEFAULTS, "'{sad}'::public.mood[]", NULL},
};

START_TEST(debezium_schema_has_the_default_of_a_column)
{
    const struct default_case *given = &default_cases[_i];
    struct encode_settings settings = {.type = &debezium_encoder, .debezium = given->settings};
    settings.debezium.schemas = true;
    settings.debezium.defaults = true;
    const struct value_case value = {.oid = given->oid, .modifier = given->modifier};
    struct relation *relation = one_column(&value, false);
    struct relation_column *column = &relation->columns[relation->columns_count - 1];
    column->default_text = strdup(given->expression);
    if (given->oid == OID_ENUM || given->oid == OID_DOMAIN) {
        column->type.oid = given->oid == OID_ENUM ? OID_ENUM : 1700; /* as the catalog has it */
    }
    for (int round = 0; round < 2; round++) {
        struct encoder *encoder = encoder_make(&settings);
        struct change change =
            row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL, (const char *[]){"1", NULL});
        struct bytes out = encoded(encoder, &change);
        char expected[256];
        assert_json(out.data, out.size);
        (void)snprintf(expected, sizeof(expected), "\"default\":%s,\"field\":\"v\"}",
                       given->json != NULL ? given->json : "");
        const char *schema = bytes_text(&out);
        if (given->json != NULL && round == 0) {
            ck_assert_msg(strstr(schema, expected) != NULL, "no %s in %s", expected, schema);
        } else { /* the block of the source has a default, too */
            const char *first = strstr(schema, "\"default\":");
            ck_assert_ptr_nonnull(first);
            ck_assert_ptr_nonnull(strstr(schema, "\"default\":\"false\",\"field\":\"snapshot\""));
            ck_assert_ptr_null(strstr(first + 1, "\"default\":"));
        }
        bytes_release(&out);
        debezium_encoder.destroy(encoder);
        settings.debezium.defaults = false;
    }
    relation_destroy(relation);
}
END_TEST

START_TEST(debezium_row_of_its_key_only_has_defaults)
{
    const struct encode_settings settings = {.type = &debezium_encoder,
                                             .debezium = {.defaults = true}};
    const struct column_spec columns[] = {
        {"id", 23, true, true}, {"a", 25, false, true}, {"b", 25, false, false}};
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, columns, 3);
    relation->columns[1].default_text = strdup("'x'::text");
    relation->columns[2].default_text = strdup("'y'::text");
    struct encoder *encoder = encoder_make(&settings);
    struct change change =
        row_change(CHANGE_DELETE, relation, OLD_ROW_KEY, (const char *[]){"7", NULL, NULL}, NULL);
    struct bytes out = encoded(encoder, &change);
    ck_assert_ptr_nonnull(strstr(bytes_text(&out), "\"before\":{\"id\":7,\"a\":\"x\",\"b\":null}"));
    bytes_release(&out);
    debezium_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

START_TEST(debezium_schemas_of_other_events_are_valid)
{
    const struct encode_settings settings = {
        .type = &debezium_encoder, .transactions = true, .debezium = {.schemas = true}};
    struct encoder *encoder = encoder_make(&settings);
    struct change message = message_change(true, "x", 1);
    struct change gap = gap_change();
    struct bytes out = encoded(encoder, &message);
    assert_json(out.data, out.size);
    bytes_release(&out);
    out = encoded(encoder, &gap);
    assert_json(out.data, out.size);
    bytes_clear(&out);
    struct change change = change_make(CHANGE_MESSAGE, NULL);
    ck_assert_int_eq(debezium_encoder.mark(encoder, TXN_MARK_BEGIN, &change, &out, NULL), FAN_OK);
    assert_json(out.data, out.size);
    bytes_release(&out);
    debezium_encoder.destroy(encoder);
}
END_TEST

START_TEST(debezium_many_tables_keep_their_own_texts)
{
    enum { COUNT = 100 };
    struct relation *relations[COUNT];
    struct encoder *encoder = encoder_make(&plain);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            if (round == 0) {
                relations[i] = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 1);
                (void)snprintf(relations[i]->name, sizeof(relations[i]->name), "t%zu", i);
            }
            struct change change =
                row_change(CHANGE_INSERT, relations[i], OLD_ROW_NONE, NULL, (const char *[]){"1"});
            struct bytes out = encoded(encoder, &change);
            char expected[64];
            (void)snprintf(expected, sizeof(expected), "\"table\":\"t%zu\"", i);
            ck_assert_ptr_nonnull(strstr(bytes_text(&out), expected));
            bytes_release(&out);
        }
    }
    debezium_encoder.destroy(encoder);
    for (size_t i = 0; i < COUNT; i++) {
        relation_destroy(relations[i]);
    }
}
END_TEST

START_TEST(debezium_event_over_the_maximum_is_poison)
{
    struct relation *relation = relation_make(REPLICA_IDENTITY_DEFAULT, shop_columns, 3);
    ck_assert_uint_eq(relation->columns_count, 3);
    struct change change = row_change(CHANGE_INSERT, relation, OLD_ROW_NONE, NULL,
                                      (const char *[]){"7", "12.50", "x"});
    struct encoder *encoder = encoder_make(&plain);
    struct bytes out;
    bytes_init(&out, 100);
    struct fan_error error;
    ck_assert_int_eq(debezium_encoder.encode(encoder, &change, &out, &error), FAN_POISON);
    ck_assert_uint_eq(out.size, 0);
    bytes_release(&out);
    change_release(&change);
    debezium_encoder.destroy(encoder);
    relation_destroy(relation);
}
END_TEST

/* ---- decimals, against arithmetic in 128 bits ---- */

START_TEST(debezium_decimal_is_the_shortest_twos_complement)
{
    struct bytes scratch;
    struct bytes bytes;
    bytes_init(&scratch, OUT_MAX);
    bytes_init(&bytes, OUT_MAX);
    for (int bits = 0; bits < 63; bits++) {
        for (int64_t near = -2; near <= 2; near++) {
            int64_t number = ((int64_t)1 << bits) + near;
            for (int sign = -1; sign <= 1; sign += 2) {
                char text[32];
                int size = snprintf(text, sizeof(text), "%lld", (long long)(sign * number));
                ck_assert(debezium_decimal_unscaled(text, (size_t)size, 0, &scratch, &bytes));
                int64_t back = (bytes.data[0] & 0x80) != 0 ? -1 : 0;
                for (size_t i = 0; i < bytes.size; i++) {
                    back = (int64_t)((uint64_t)back << 8 | bytes.data[i]);
                }
                ck_assert_int_eq(back, sign * number);
                bool padded =
                    bytes.size > 1 && ((bytes.data[0] == 0 && (bytes.data[1] & 0x80) == 0) ||
                                       (bytes.data[0] == 0xff && (bytes.data[1] & 0x80) != 0));
                ck_assert(!padded);
            }
        }
    }
    bytes_release(&scratch);
    bytes_release(&bytes);
}
END_TEST

START_TEST(debezium_date_counts_every_day)
{
    static const unsigned lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t days = debezium_date_days((struct debezium_date){-4801, 1, 1});
    for (int32_t year = -4801; year < 2800; year++) {
        bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        for (uint32_t month = 1; month <= 12; month++) {
            for (uint32_t day = 1; day <= lengths[month - 1] + (leap && month == 2 ? 1 : 0);
                 day++) {
                ck_assert_int_eq(debezium_date_days((struct debezium_date){year, month, day}),
                                 days++);
            }
        }
    }
    ck_assert_int_eq(debezium_date_days((struct debezium_date){1970, 1, 1}), 0);
}
END_TEST

static void add_value_tests(TCase *tests)
{
    tcase_add_loop_test(tests, debezium_value_has_its_documented_form, 0,
                        sizeof(value_cases) / sizeof(value_cases[0]));
    tcase_add_loop_test(tests, debezium_absent_value_is_zero_null_or_marker, 0,
                        sizeof(absent_cases) / sizeof(absent_cases[0]));
    tcase_add_loop_test(tests, debezium_schema_of_a_type_is_the_documented_one, 0,
                        sizeof(schema_cases) / sizeof(schema_cases[0]));
}

int main(void)
{
    TCase *tests = tcase_create("debezium");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, debezium_insert_has_after_only);
    tcase_add_test(tests, debezium_update_without_old_row_has_null_before);
    tcase_add_test(tests, debezium_update_of_key_is_one_value_with_old_key_before);
    tcase_add_test(tests, debezium_full_identity_shows_whole_old_row);
    tcase_add_test(tests, debezium_delete_and_truncate_have_null_after);
    tcase_add_test(tests, debezium_message_has_a_form_of_its_own);
    tcase_add_test(tests, debezium_message_that_ends_early_is_refused);
    tcase_add_test(tests, debezium_gap_says_what_is_lost);
    tcase_add_test(tests, debezium_transaction_block_counts_from_one);
    tcase_add_test(tests, debezium_source_tells_the_origin_of_a_transaction);
    tcase_add_test(tests, debezium_marks_count_events_of_the_transaction);
    tcase_add_test(tests, debezium_marks_count_the_versions_of_a_table_as_one);
    tcase_add_test(tests, debezium_records_have_keys_and_tombstones);
    tcase_add_test(tests, debezium_records_split_a_change_of_key);
    tcase_add_loop_test(tests, debezium_marks_are_records_of_their_own, 0, 2);
    tcase_add_test(tests, debezium_records_of_a_table_without_key_have_none);
    tcase_add_test(tests, debezium_special_values_of_floats_follow_the_setting);
    tcase_add_test(tests, debezium_null_for_a_special_value_needs_a_column_that_may_be_null);
    tcase_add_test(tests, debezium_settings_are_equal_only_as_a_whole);
    tcase_add_test(tests, debezium_schemas_stand_before_key_and_value);
    tcase_add_loop_test(tests, debezium_schema_of_an_enum_has_its_labels, 0, 2);
    tcase_add_loop_test(tests, debezium_schema_has_the_default_of_a_column, 0,
                        sizeof(default_cases) / sizeof(default_cases[0]));
    tcase_add_test(tests, debezium_row_of_its_key_only_has_defaults);
    tcase_add_test(tests, debezium_schemas_of_other_events_are_valid);
    tcase_add_test(tests, debezium_many_tables_keep_their_own_texts);
    tcase_add_test(tests, debezium_event_over_the_maximum_is_poison);
    tcase_add_test(tests, debezium_decimal_is_the_shortest_twos_complement);
    tcase_add_test(tests, debezium_date_counts_every_day);
    add_value_tests(tests);
    return suite_run("encode_debezium", tests);
}
