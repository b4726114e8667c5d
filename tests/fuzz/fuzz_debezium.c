/*
 * Property: whatever bytes the columns of a row hold, and whatever the settings, the debezium envelope
 *           is one valid JSON object on one line for the dead letter, and for the target either the
 *           same or a refusal that leaves nothing behind; as records, each part is.
 *           In Avro it has a schema that avro-c takes, and is read back whole, or is refused,
 *           as an integer that is none is.
 * Oracle:   jansson, but for numbers out of its range (as in fuzz_array.c); record.h reads the framing;
 *           the reader of avro-c.
 *
 * Input: five bytes of settings and kinds, then the texts of three columns, split by a NUL.
 */
#include <avro.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/wire.h"
#include "encode/avro_encoder.h"
#include "encode/debezium.h"
#include "encode/record.h"
#include "model/row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_MAX_PARSED = 2048, HEAD_SIZE = 5, COLUMNS = 4, OUT_MAX = 1 << 24 };

static const uint32_t oids[] = {
    16,   17,   20,   21,   23,   25,   26,   114,  142,  600,   700,   701,   790,   1001,  1005,
    1007, 1009, 1016, 1020, 1022, 1082, 1083, 1114, 1115, 1182,  1184,  1185,  1186,  1231,  1266,
    1270, 1560, 1562, 1700, 2950, 2951, 3614, 3802, 3807, 3904,  3905,  90001, 90002, 90003, 90004,
    601,  602,  603,  604,  628,  718,  629,  1019, 1020, 90005, 90006, 90007, 90008, 90009, 90010,
};

static struct type_info type_of(uint32_t oid)
{
    struct type_info type = type_builtin(oid);
    switch (oid) {
    case 90001:
        type.family = TYPE_FAMILY_HSTORE;
        break;
    case 90002:
        type.family = TYPE_FAMILY_ENUM;
        break;
    case 90003:
        type.family = TYPE_FAMILY_HSTORE;
        return type_array_of(type, ',');
    case 90005:
        type.family = TYPE_FAMILY_GEOMETRY;
        break;
    case 90006:
        type.family = TYPE_FAMILY_GEOGRAPHY;
        break;
    case 90007:
        type.family = TYPE_FAMILY_GEOMETRY;
        return type_array_of(type, ':');
    case 90008:
        type.family = TYPE_FAMILY_VECTOR;
        break;
    case 90009:
        type.family = TYPE_FAMILY_SPARSE_VECTOR;
        break;
    case 90010:
        type.family = TYPE_FAMILY_HALF_VECTOR;
        return type_array_of(type, ',');
    case 90004:
        type = type_builtin(1700);
        type.modifier = 4 + (10 << 16) + 2;
        type.has_modifier = true;
        break;
    default:
        break;
    }
    return type;
}

static struct relation *relation_of(const uint8_t *kinds)
{
    struct relation *relation = NULL;
    struct fan_error error;
    if (relation_create(1, "public", "t\"x", REPLICA_IDENTITY_DEFAULT, COLUMNS, &relation,
                        &error) != FAN_OK) {
        abort();
    }
    for (size_t i = 0; i < COLUMNS; i++) {
        struct relation_column *column = &relation->columns[i];
        uint8_t kind = i == 0 ? 4 : kinds[i - 1];
        column->name[0] = (char)('a' + i);
        column->type_oid = oids[kind % (sizeof(oids) / sizeof(oids[0]))];
        column->type_modifier = (kind & 0x80) != 0   ? 4 + (12 << 16) + 3
                                : (kind & 0x40) != 0 ? 3
                                                     : -1;
        column->type = type_of(column->type_oid);
        column->in_identity = i < 2;
        column->not_null = i == 0 || (kind & 1) != 0;
    }
    if (relation_finish(relation, &error) != FAN_OK) {
        abort();
    }
    return relation;
}

static void put_u16(struct bytes *out, size_t number)
{
    bytes_append(out, (uint8_t[]){(uint8_t)(number >> 8), (uint8_t)number}, 2);
}

/* The next text up to a NUL as a value; \1 alone is unchanged, \2 alone null. */
static const uint8_t *put_value(struct bytes *out, const uint8_t *at, const uint8_t *end)
{
    const uint8_t *nul = at < end ? memchr(at, 0, (size_t)(end - at)) : NULL;
    const uint8_t *stop = nul != NULL ? nul : end;
    size_t size = (size_t)(stop - at);
    if (size == 1 && *at <= 2) {
        bytes_append_char(out, *at == 1 ? 'u' : 'n');
    } else {
        bytes_append_char(out, 't');
        put_u16(out, size >> 16);
        put_u16(out, size & 0xffff);
        bytes_append(out, at, size);
    }
    return nul != NULL ? nul + 1 : end;
}

static struct change change_of(const struct relation *relation, const uint8_t *text, size_t size,
                               uint8_t op)
{
    static const enum change_op ops[] = {CHANGE_INSERT, CHANGE_UPDATE, CHANGE_DELETE,
                                         CHANGE_UPDATE};
    struct bytes payload;
    bytes_init(&payload, OUT_MAX);
    bytes_append(&payload, (uint8_t[MESSAGE_HEADER_SIZE + 1]){'w'}, MESSAGE_HEADER_SIZE + 1);
    size_t row = payload.size;
    const uint8_t *at = text;
    put_u16(&payload, COLUMNS);
    bytes_append(&payload,
                 "t\0\0\0\1"
                 "7",
                 6);
    for (size_t i = 1; i < COLUMNS; i++) {
        at = put_value(&payload, at, text + size);
    }
    struct wire wire;
    wire_init(&wire, payload.data + row, payload.size - row);
    if (!row_check(&wire, COLUMNS)) {
        abort();
    }
    struct change change = {.op = (uint8_t)ops[op % 4],
                            .relation = relation,
                            .position = {{77}, 1},
                            .commit_time_us = (int64_t)op * 1000003 - 100000000,
                            .xid = op};
    uint32_t offset = (uint32_t)(row - MESSAGE_HEADER_SIZE);
    change.new_offset = change.op == CHANGE_DELETE ? 0 : offset;
    change.old_offset = op % 4 >= 2 ? offset : 0;
    change.old_row = OLD_ROW_KEY;
    change.message = message_adopt(payload.data, payload.size); /* its memory is malloc's */
    return change;
}

static void assert_object(const uint8_t *data, size_t size)
{
    if (memchr(data, '\n', size) != NULL || !utf8_valid(data, size)) {
        abort();
    }
    json_error_t fault;
    json_t *json = json_loadb((const char *)data, size, JSON_ALLOW_NUL, &fault);
    if (json == NULL ? json_error_code(&fault) != json_error_numeric_overflow
                     : !json_is_object(json)) {
        abort();
    }
    json_decref(json);
}

static void assert_event(const struct encode_settings *settings, const struct bytes *out)
{
    size_t at = 0;
    struct record record;
    if (!settings->records) {
        assert_object(out->data, out->size);
        return;
    }
    while (at < out->size) {
        if (!record_next(out->data, out->size, &at, &record)) {
            abort();
        }
        if (record.key != NULL) {
            assert_object(record.key, record.key_size);
        }
        if (record.value != NULL) {
            assert_object(record.value, record.value_size);
        }
    }
}

/* A registry that keeps the one schema it was asked for. */
struct one_schema {
    struct schema_ids ids;
    avro_schema_t schema;
};

static enum fan_status one_find(struct schema_ids *ids, const char *subject, const char *schema,
                                size_t schema_size, uint32_t *ret_id, struct fan_error *reterr)
{
    struct one_schema *one = (struct one_schema *)ids;
    (void)subject; /* there is only one */
    (void)reterr;
    if (one->schema != NULL ||
        avro_schema_from_json_length(schema, schema_size, &one->schema) != 0) {
        abort();
    }
    *ret_id = 7;
    return FAN_OK;
}

static void assert_message(avro_schema_t schema, const struct bytes *out)
{
    static const uint8_t head[] = {0, 0, 0, 0, 7};
    avro_value_t value;
    size_t size;
    avro_value_iface_t *iface = avro_generic_class_from_schema(schema);
    if (out->size < sizeof(head) || memcmp(out->data, head, sizeof(head)) != 0 || iface == NULL ||
        avro_generic_value_new(iface, &value) != 0) {
        abort();
    }
    avro_reader_t reader = avro_reader_memory((const char *)out->data + sizeof(head),
                                              (int64_t)(out->size - sizeof(head)));
    if (avro_value_read(reader, &value) != 0 || avro_value_sizeof(&value, &size) != 0 ||
        size != out->size - sizeof(head)) {
        abort();
    }
    avro_reader_free(reader);
    avro_value_decref(&value);
    avro_value_iface_decref(iface);
}

static void encode_in_avro(const struct encode_settings *settings, const struct change *change,
                           const struct encode_context *context)
{
    struct one_schema one = {.ids = {one_find}};
    struct encode_settings avro = *settings;
    struct encoder *encoder = NULL;
    struct fan_error error;
    struct bytes out;
    avro.records = false;
    avro.octets = true;
    avro.debezium.schemas = false;
    avro.avro.ids = &one.ids;
    bytes_init(&out, OUT_MAX);
    if (avro_encoder.create(&avro, context, &encoder, &error) != FAN_OK) {
        abort();
    }
    enum fan_status status = avro_encoder.encode(encoder, change, &out, &error);
    if (status == FAN_OK) {
        assert_message(one.schema, &out);
    } else if (status != FAN_POISON || out.size != 0) {
        abort();
    }
    avro_encoder.destroy(encoder);
    avro_schema_decref(one.schema);
    bytes_release(&out);
}

static void encode_once(const struct encode_settings *settings, const struct change *change)
{
    static const struct encode_context context = {
        .source = "s", .system_id = "7", .slot = "p", .database = "d"};
    struct encoder *encoder = NULL;
    struct fan_error error;
    struct bytes out;
    bytes_init(&out, OUT_MAX);
    if (debezium_encoder.create(settings, &context, &encoder, &error) != FAN_OK) {
        abort();
    }
    enum fan_status status = debezium_encoder.encode(encoder, change, &out, &error);
    if (status == FAN_OK) {
        assert_event(settings, &out);
        if (!settings->lenient) {
            encode_in_avro(settings, change, &context);
        }
    } else if (status != FAN_POISON || settings->lenient || out.size != 0) {
        abort();
    }
    debezium_encoder.destroy(encoder);
    bytes_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD_SIZE || size > SIZE_MAX_PARSED) {
        return 0;
    }
    struct encode_settings settings = {
        .type = &debezium_encoder,
        .records = (data[0] & 1) != 0,
        .debezium = {.schemas = (data[0] & 2) != 0,
                     .decimal = (enum debezium_decimal)((data[0] >> 2) % 3),
                     .time = (enum debezium_time)((data[0] >> 4) % 7),
                     .binary = (enum debezium_binary)(data[1] & 3),
                     .interval = (enum debezium_interval)(data[1] >> 2 & 1),
                     .hstore = (enum debezium_hstore)(data[1] >> 3 & 1),
                     .transaction_metadata = (data[1] & 16) != 0,
                     .defaults = (data[0] & 128) != 0},
    };
    struct relation *relation = relation_of(data + 2);
    for (size_t i = 1; i < COLUMNS && settings.debezium.defaults;
         i++) { /* what the text begins with */
        relation->columns[i].default_text =
            strndup((const char *)data + HEAD_SIZE, size - HEAD_SIZE);
    }
    struct change change =
        change_of(relation, data + HEAD_SIZE, size - HEAD_SIZE, (uint8_t)(data[1] >> 5));
    encode_once(&settings, &change);
    settings.lenient = true;
    encode_once(&settings, &change);
    change_release(&change);
    relation_destroy(relation);
    return 0;
}
