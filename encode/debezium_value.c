#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "encode/debezium_decimal.h"
#include "encode/debezium_internal.h"
#include "encode/debezium_time.h"
#include "encode/json.h"

#define SECOND_US INT64_C(1000000)
#define DAY_US (86400 * SECOND_US)

/* What Debezium makes of an infinite timestamp, through the driver that it reads with. */
#define INFINITY_US INT64_C(9223372036825200000)
#define MINUS_INFINITY_US INT64_C(-9223372036832400000)
#define INFINITY_ISO "+294247-01-10T04:00:25.2Z"
#define MINUS_INFINITY_ISO "-290308-12-21T19:59:27.6Z"

enum { MONEY_TEXT_MAX = 64 };

static const char hint_full[] = "give the table REPLICA IDENTITY FULL, so that the server sends it";
static const char hint_decimal[] = "set debezium.decimal of the target to double or string";
static const char hint_time[] = "set debezium.time of the target to structured or isostring";

bool debezium_writer_init(struct debezium_writer *writer, const struct encode_settings *settings)
{
    const struct debezium_settings *debezium = &settings->debezium;
    *writer = (struct debezium_writer){
        .settings = *debezium,
        .special_values = settings->special_values,
        .lenient = settings->lenient,
    };
    bytes_init(&writer->scratch, UINT32_MAX);
    bytes_init(&writer->inner, UINT32_MAX);
    bytes_init(&writer->number, UINT32_MAX);
    bytes_init(&writer->json, UINT32_MAX);
    return debezium_marker_make(writer, debezium->unavailable_value);
}

void debezium_writer_release(struct debezium_writer *writer)
{
    bytes_release(&writer->marker);
    bytes_release(&writer->marker_map);
    bytes_release(&writer->scratch);
    bytes_release(&writer->inner);
    bytes_release(&writer->number);
    bytes_release(&writer->json);
}

void debezium_refuse(struct debezium_writer *writer, const struct debezium_column *column,
                     const char *why, const char *hint, const char *text, size_t size,
                     struct bytes *out)
{
    if (writer->lenient) {
        json_write_string(out, text, size);
        return;
    }
    if (writer->refusal == NULL) {
        writer->refusal = why;
        writer->refusal_hint = hint;
        writer->refused = column->column;
    }
    BYTES_APPEND_LITERAL(out, "null");
}

void debezium_refuse_form(struct debezium_writer *writer, const struct debezium_column *column,
                          const char *text, size_t size, struct bytes *out)
{
    debezium_refuse(writer, column, "its text does not have the form of its type", NULL, text, size,
                    out);
}

void debezium_int64_write(int64_t number, struct bytes *out)
{
    uint8_t *at = json_room(out, 24);
    if (at == NULL) {
        return;
    }
    uint64_t magnitude = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    if (number < 0) {
        *at++ = '-';
    }
    json_done(out, json_write_u64(at, magnitude));
}

static bool is_special(const char *text, size_t size)
{
    return (size == 3 && memcmp(text, "NaN", 3) == 0) ||
           (size == 8 && memcmp(text, "Infinity", 8) == 0) ||
           (size == 9 && memcmp(text, "-Infinity", 9) == 0);
}

/* Whether the schema lets a null stand for a single number of the column: not inside of a struct. */
static bool is_nullable(const struct debezium_column *column)
{
    bool array = column->kind == DEBEZIUM_ARRAY;
    switch (array ? column->element : column->kind) {
    case DEBEZIUM_POINT:
    case DEBEZIUM_CIRCLE:
    case DEBEZIUM_LINE:
        return false;
    default:
        return array || column->optional;
    }
}

void debezium_double_write(struct debezium_writer *writer, const struct debezium_column *column,
                           const char *text, size_t size, struct bytes *out)
{
    if (json_write_number(out, text, size)) {
        return;
    }
    if (!is_special(text, size)) {
        debezium_refuse_form(writer, column, text, size, out);
    } else if (writer->special_values == SPECIAL_STRING) {
        json_write_string(out, text, size);
    } else if (writer->special_values == SPECIAL_FAIL || !is_nullable(column)) {
        debezium_refuse(writer, column, "a number is NaN or infinite",
                        "set special_values of the target to string", text, size, out);
    } else {
        BYTES_APPEND_LITERAL(out, "null");
    }
}

static void write_integer(struct debezium_writer *writer, const struct debezium_column *column,
                          const char *text, size_t size, struct bytes *out)
{
    if (!json_write_number(out, text, size)) {
        debezium_refuse_form(writer, column, text, size, out);
    }
}

/* Leaves the unscaled integer in writer->number. */
static bool unscaled(struct debezium_writer *writer, const char *text, size_t size, int32_t scale)
{
    bool ok = debezium_decimal_unscaled(text, size, scale, &writer->inner, &writer->number);
    writer->scratch_failed =
        writer->scratch_failed || !bytes_ok(&writer->inner) || !bytes_ok(&writer->number);
    return ok;
}

static void refuse_decimal(struct debezium_writer *writer, const struct debezium_column *column,
                           const char *text, size_t size, struct bytes *out)
{
    if (is_special(text, size)) {
        debezium_refuse(writer, column, "a numeric is NaN or infinite, which a Decimal cannot be",
                        hint_decimal, text, size, out);
    } else {
        debezium_refuse_form(writer, column, text, size, out);
    }
}

static void write_decimal(struct debezium_writer *writer, const struct debezium_column *column,
                          int32_t scale, const char *text, size_t size, struct bytes *out)
{
    if (unscaled(writer, text, size, scale)) {
        json_write_base64(out, writer->number.data, writer->number.size);
    } else {
        refuse_decimal(writer, column, text, size, out);
    }
}

static void write_variable_decimal(struct debezium_writer *writer,
                                   const struct debezium_column *column, const char *text,
                                   size_t size, struct bytes *out)
{
    int32_t scale = debezium_decimal_scale(text, size);
    if (!unscaled(writer, text, size, scale)) {
        refuse_decimal(writer, column, text, size, out);
        return;
    }
    BYTES_APPEND_LITERAL(out, "{\"scale\":");
    debezium_int64_write(scale, out);
    BYTES_APPEND_LITERAL(out, ",\"value\":");
    json_write_base64(out, writer->number.data, writer->number.size);
    bytes_append_char(out, '}');
}

static void write_decimal_string(const char *text, size_t size, struct bytes *out)
{
    if (size == 3 && memcmp(text, "NaN", 3) == 0) {
        BYTES_APPEND_LITERAL(out, "\"NAN\"");
    } else if (size == 8 && memcmp(text, "Infinity", 8) == 0) {
        BYTES_APPEND_LITERAL(out, "\"POSITIVE_INFINITY\"");
    } else if (size == 9 && memcmp(text, "-Infinity", 9) == 0) {
        BYTES_APPEND_LITERAL(out, "\"NEGATIVE_INFINITY\"");
    } else {
        json_write_string(out, text, size);
    }
}

/* -$1,234.50 as -1234.50: lc_monetary is C. Returns the length, 0 if it is no such text. */
static size_t money_plain(const char *text, size_t size, char plain[MONEY_TEXT_MAX])
{
    size_t length = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '$' || text[i] == ',') {
            continue;
        }
        if (length == MONEY_TEXT_MAX) {
            return 0;
        }
        plain[length++] = text[i];
    }
    return length > 0 && json_number_valid(plain, length) ? length : 0;
}

static void write_money(struct debezium_writer *writer, const struct debezium_column *column,
                        enum debezium_kind kind, const char *text, size_t size, struct bytes *out)
{
    char plain[MONEY_TEXT_MAX];
    size_t length = money_plain(text, size, plain);
    if (length == 0) {
        debezium_refuse_form(writer, column, text, size, out);
    } else if (kind == DEBEZIUM_MONEY_AS_DOUBLE) {
        debezium_double_write(writer, column, plain, length, out);
    } else if (kind == DEBEZIUM_MONEY_AS_STRING) {
        json_write_string(out, plain, length);
    } else {
        write_decimal(writer, column, column->scale, plain, length, out);
    }
}

/* Turns the base64 that was appended from `start` on into the alphabet for URLs. */
static void make_url_safe(struct bytes *out, size_t start)
{
    for (size_t i = start; i < out->size; i++) {
        if (out->data[i] == '+') {
            out->data[i] = '-';
        } else if (out->data[i] == '/') {
            out->data[i] = '_';
        }
    }
}

void debezium_bytes_write(const struct debezium_writer *writer, const uint8_t *bytes, size_t size,
                          struct bytes *out)
{
    static const char digits[] = "0123456789abcdef";
    size_t start = out->size;
    if (writer->settings.binary != DEBEZIUM_BINARY_HEX) {
        json_write_base64(out, bytes, size);
        if (writer->settings.binary == DEBEZIUM_BINARY_BASE64_URL_SAFE) {
            make_url_safe(out, start);
        }
        return;
    }
    uint8_t *at = json_room(out, 2 * size + 2);
    if (at == NULL) {
        return;
    }
    *at++ = '"';
    for (size_t i = 0; i < size; i++) {
        *at++ = (uint8_t)digits[bytes[i] >> 4];
        *at++ = (uint8_t)digits[bytes[i] & 15];
    }
    *at++ = '"';
    json_done(out, at);
}

int debezium_hex_value(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    char lower = (char)(digit | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool are_hex_digits(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f'))) {
            return false;
        }
    }
    return size % 2 == 0;
}

static void write_bytea(struct debezium_writer *writer, const struct debezium_column *column,
                        const char *text, size_t size, struct bytes *out)
{
    size_t start = out->size;
    bool hex = size >= 2 && text[0] == '\\' && text[1] == 'x';
    if (writer->settings.binary == DEBEZIUM_BINARY_HEX) {
        if (hex && are_hex_digits(text + 2, size - 2)) {
            json_write_string(out, text + 2, size - 2);
            return;
        }
    } else if (hex && json_write_base64_hex(out, text + 2, size - 2)) {
        if (writer->settings.binary == DEBEZIUM_BINARY_BASE64_URL_SAFE) {
            make_url_safe(out, start);
        }
        return;
    }
    debezium_refuse_form(writer, column, text, size, out);
}

static void write_bit(struct debezium_writer *writer, const struct debezium_column *column,
                      const char *text, size_t size, struct bytes *out)
{
    if (size == 1 && text[0] == '1') {
        BYTES_APPEND_LITERAL(out, "true");
    } else if (size == 0 || (size == 1 && text[0] == '0')) {
        BYTES_APPEND_LITERAL(out, "false");
    } else {
        debezium_refuse_form(writer, column, text, size, out);
    }
}

/* The bits from the last one on in little-endian bytes, up to the highest that is set. */
static void write_bits(struct debezium_writer *writer, const struct debezium_column *column,
                       const char *text, size_t size, struct bytes *out)
{
    struct bytes *bytes = &writer->number;
    bytes_clear(bytes);
    uint8_t *to = json_room(bytes, size / 8 + 1);
    if (to == NULL) {
        writer->scratch_failed = true;
        return;
    }
    memset(to, 0, size / 8 + 1);
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        char bit = text[size - 1 - i];
        if (bit != '0' && bit != '1') {
            debezium_refuse_form(writer, column, text, size, out);
            return;
        }
        to[i / 8] |= (uint8_t)((bit - '0') << i % 8);
        used = bit == '1' ? i / 8 + 1 : used;
    }
    json_write_base64(out, to, used);
}

static void write_date(struct debezium_writer *writer, const struct debezium_column *column,
                       enum debezium_kind kind, const char *text, size_t size, struct bytes *out)
{
    struct debezium_date date;
    int sign;
    if (debezium_infinity_read(text, size, &sign)) {
        debezium_refuse(writer, column, "a date is infinite, which Debezium has no value for", NULL,
                        text, size, out);
    } else if (!debezium_date_read(text, size, &date)) {
        debezium_refuse_form(writer, column, text, size, out);
    } else if (kind == DEBEZIUM_DATE_ISO) {
        char iso[DEBEZIUM_TIME_TEXT_MAX];
        bytes_append_char(out, '"');
        bytes_append(out, iso, debezium_date_write(date, iso));
        BYTES_APPEND_LITERAL(out, "Z\"");
    } else {
        debezium_int64_write(debezium_date_days(date), out);
    }
}

static void append_time(int64_t micros, int digits, struct bytes *out)
{
    char iso[DEBEZIUM_TIME_TEXT_MAX];
    bytes_append(out, iso, debezium_time_write(micros, digits, iso));
    BYTES_APPEND_LITERAL(out, "Z\"");
}

static void write_time(struct debezium_writer *writer, const struct debezium_column *column,
                       enum debezium_kind kind, const char *text, size_t size, struct bytes *out)
{
    int64_t micros;
    if (kind == DEBEZIUM_ZONED_TIME ? !debezium_timetz_read(text, size, &micros)
                                    : !debezium_time_read(text, size, &micros)) {
        debezium_refuse_form(writer, column, text, size, out);
    } else if (kind == DEBEZIUM_TIME_MICROS) {
        debezium_int64_write(micros, out);
    } else if (kind == DEBEZIUM_TIME_NANOS) {
        debezium_int64_write(micros * 1000, out);
    } else if (kind == DEBEZIUM_TIME_MILLIS || kind == DEBEZIUM_TIME_OF_CONNECT) {
        debezium_int64_write(micros / 1000, out);
    } else {
        bytes_append_char(out, '"');
        append_time(micros, -1, out);
    }
}

/* Divides and rounds down, also below zero. */
static int64_t floor_divide(int64_t number, int64_t by)
{
    return number / by - (number % by < 0 ? 1 : 0);
}

static void write_infinite(enum debezium_kind kind, int sign, struct bytes *out)
{
    int64_t micros = sign > 0 ? INFINITY_US : MINUS_INFINITY_US;
    if (kind == DEBEZIUM_TIMESTAMP_NANOS) {
        debezium_int64_write(sign > 0 ? INT64_MAX : INT64_MIN, out);
    } else if (kind == DEBEZIUM_TIMESTAMP_MICROS) {
        debezium_int64_write(micros, out);
    } else if (kind == DEBEZIUM_ZONED_TIMESTAMP) {
        bytes_append_text(out, sign > 0 ? "\"infinity\"" : "\"-infinity\"");
    } else if (kind == DEBEZIUM_TIMESTAMP_ISO) {
        bytes_append_text(out, sign > 0 ? "\"" INFINITY_ISO "\"" : "\"" MINUS_INFINITY_ISO "\"");
    } else {
        debezium_int64_write(micros / 1000, out);
    }
}

/* The time since 1970 in the unit of the kind; false if it does not fit. */
static bool stamp_number(struct debezium_stamp stamp, enum debezium_kind kind, int64_t *ret_number)
{
    int64_t days = debezium_date_days(stamp.date);
    if (kind == DEBEZIUM_TIMESTAMP_MILLIS || kind == DEBEZIUM_TIMESTAMP_CONNECT) {
        *ret_number = days * (DAY_US / 1000) + floor_divide(stamp.micros, 1000);
        return true;
    }
    int64_t factor = kind == DEBEZIUM_TIMESTAMP_NANOS ? 1000 : 1;
    int64_t whole;
    int64_t micros;
    return !__builtin_mul_overflow(days, DAY_US, &whole) &&
           !__builtin_add_overflow(whole, stamp.micros, &micros) &&
           !__builtin_mul_overflow(micros, factor, ret_number);
}

static void write_timestamp(struct debezium_writer *writer, const struct debezium_column *column,
                            enum debezium_kind kind, const char *text, size_t size,
                            struct bytes *out)
{
    struct debezium_stamp stamp;
    int64_t number;
    int sign;
    bool zone = kind == DEBEZIUM_ZONED_TIMESTAMP;
    if (debezium_infinity_read(text, size, &sign)) {
        write_infinite(kind, sign, out);
    } else if (!debezium_stamp_read(text, size, zone, &stamp)) {
        debezium_refuse_form(writer, column, text, size, out);
    } else if (zone || kind == DEBEZIUM_TIMESTAMP_ISO) {
        char iso[DEBEZIUM_TIME_TEXT_MAX];
        bytes_append_char(out, '"');
        bytes_append(out, iso, debezium_date_write(stamp.date, iso));
        bytes_append_char(out, 'T');
        bool given = column->precision >= 0 && column->precision <= 6;
        append_time(stamp.micros, !zone ? -1 : given ? column->precision : 6, out);
    } else if (stamp_number(stamp, kind, &number)) {
        debezium_int64_write(number, out);
    } else {
        debezium_refuse(writer, column, "a timestamp is beyond a number of 64 bits", hint_time,
                        text, size, out);
    }
}

static void write_interval(struct debezium_writer *writer, const struct debezium_column *column,
                           enum debezium_kind kind, const char *text, size_t size,
                           struct bytes *out)
{
    struct debezium_interval_parts parts;
    int64_t micros;
    int sign;
    if (debezium_infinity_read(text, size, &sign)) {
        debezium_refuse(writer, column, "an interval is infinite, which Debezium has no value for",
                        NULL, text, size, out);
    } else if (!debezium_interval_read(text, size, &parts)) {
        debezium_refuse_form(writer, column, text, size, out);
    } else if (kind == DEBEZIUM_INTERVAL_TEXT) {
        char iso[4 * DEBEZIUM_TIME_TEXT_MAX];
        bytes_append_char(out, '"');
        bytes_append(out, iso, debezium_interval_write(&parts, iso));
        bytes_append_char(out, '"');
    } else if (debezium_interval_micros(&parts, &micros)) {
        debezium_int64_write(micros, out);
    } else {
        debezium_refuse(writer, column, "an interval is beyond a number of 64 bits",
                        "set debezium.interval of the target to string", text, size, out);
    }
}

static void write_hstore(struct debezium_writer *writer, const struct debezium_column *column,
                         enum debezium_kind kind, const char *text, size_t size, struct bytes *out)
{
    struct bytes *json = kind == DEBEZIUM_HSTORE_AS_MAP ? out : &writer->json;
    size_t start = out->size;
    bytes_clear(&writer->json);
    bool ok = debezium_hstore_write(writer, text, size, json);
    writer->scratch_failed = writer->scratch_failed || !bytes_ok(&writer->json);
    if (!ok) {
        if (bytes_ok(out)) {
            bytes_truncate(out, start);
        }
        debezium_refuse_form(writer, column, text, size, out);
    } else if (json != out && bytes_ok(json)) {
        json_write_string(out, (const char *)json->data, json->size);
    }
}

static void write_boolean(struct debezium_writer *writer, const struct debezium_column *column,
                          const char *text, size_t size, struct bytes *out)
{
    if (size == 1 && text[0] == 't') {
        BYTES_APPEND_LITERAL(out, "true");
    } else if (size == 1 && text[0] == 'f') {
        BYTES_APPEND_LITERAL(out, "false");
    } else {
        debezium_refuse_form(writer, column, text, size, out);
    }
}

/* The kinds that have a file of their own. False: it is none of them. */
static bool write_composed(struct debezium_writer *writer, const struct debezium_column *column,
                           enum debezium_kind kind, const char *text, size_t size,
                           struct bytes *out)
{
    switch (kind) {
    case DEBEZIUM_DATE_STRUCT:
    case DEBEZIUM_TIME_STRUCT:
    case DEBEZIUM_TIMESTAMP_STRUCT:
    case DEBEZIUM_ZONED_TIMESTAMP_STRUCT:
    case DEBEZIUM_ZONED_TIME_STRUCT:
    case DEBEZIUM_DURATION_STRUCT:
        debezium_structured_write(writer, column, kind, text, size, out);
        return true;
    case DEBEZIUM_POINT:
    case DEBEZIUM_BOX:
    case DEBEZIUM_LSEG:
    case DEBEZIUM_PATH:
    case DEBEZIUM_POLYGON:
    case DEBEZIUM_CIRCLE:
    case DEBEZIUM_LINE:
    case DEBEZIUM_GEOMETRY:
    case DEBEZIUM_GEOGRAPHY:
        debezium_geometry_write(writer, column, kind, text, size, out);
        return true;
    case DEBEZIUM_VECTOR:
    case DEBEZIUM_HALF_VECTOR:
    case DEBEZIUM_SPARSE_VECTOR:
        debezium_vector_write(writer, column, kind, text, size, out);
        return true;
    default:
        return false;
    }
}

void debezium_scalar_write(struct debezium_writer *writer, const struct debezium_column *column,
                           enum debezium_kind kind, const char *text, size_t size,
                           struct bytes *out)
{
    switch (kind) {
    case DEBEZIUM_BOOLEAN:
        write_boolean(writer, column, text, size, out);
        return;
    case DEBEZIUM_INT16:
    case DEBEZIUM_INT32:
    case DEBEZIUM_INT64:
        write_integer(writer, column, text, size, out);
        return;
    case DEBEZIUM_FLOAT32:
    case DEBEZIUM_FLOAT64:
    case DEBEZIUM_DECIMAL_AS_DOUBLE:
        debezium_double_write(writer, column, text, size, out);
        return;
    case DEBEZIUM_DECIMAL:
        write_decimal(writer, column, column->scale, text, size, out);
        return;
    case DEBEZIUM_VARIABLE_DECIMAL:
        write_variable_decimal(writer, column, text, size, out);
        return;
    case DEBEZIUM_DECIMAL_AS_STRING:
        write_decimal_string(text, size, out);
        return;
    case DEBEZIUM_MONEY:
    case DEBEZIUM_MONEY_AS_DOUBLE:
    case DEBEZIUM_MONEY_AS_STRING:
        write_money(writer, column, kind, text, size, out);
        return;
    case DEBEZIUM_BYTES:
    case DEBEZIUM_BYTES_AS_STRING:
        write_bytea(writer, column, text, size, out);
        return;
    case DEBEZIUM_BIT:
        write_bit(writer, column, text, size, out);
        return;
    case DEBEZIUM_BITS:
        write_bits(writer, column, text, size, out);
        return;
    case DEBEZIUM_DATE:
    case DEBEZIUM_DATE_CONNECT:
    case DEBEZIUM_DATE_ISO:
        write_date(writer, column, kind, text, size, out);
        return;
    case DEBEZIUM_TIME_MILLIS:
    case DEBEZIUM_TIME_MICROS:
    case DEBEZIUM_TIME_NANOS:
    case DEBEZIUM_TIME_OF_CONNECT:
    case DEBEZIUM_TIME_ISO:
    case DEBEZIUM_ZONED_TIME:
        write_time(writer, column, kind, text, size, out);
        return;
    case DEBEZIUM_TIMESTAMP_MILLIS:
    case DEBEZIUM_TIMESTAMP_MICROS:
    case DEBEZIUM_TIMESTAMP_NANOS:
    case DEBEZIUM_TIMESTAMP_CONNECT:
    case DEBEZIUM_TIMESTAMP_ISO:
    case DEBEZIUM_ZONED_TIMESTAMP:
        write_timestamp(writer, column, kind, text, size, out);
        return;
    case DEBEZIUM_DURATION:
    case DEBEZIUM_INTERVAL_TEXT:
        write_interval(writer, column, kind, text, size, out);
        return;
    case DEBEZIUM_HSTORE_AS_JSON:
    case DEBEZIUM_HSTORE_AS_MAP:
        write_hstore(writer, column, kind, text, size, out);
        return;
    default:
        break;
    }
    if (!write_composed(writer, column, kind, text, size, out)) {
        json_write_string(out, text, size);
    }
}

#define ORIGIN "{\"x\":0.0,\"y\":0.0,\"wkb\":\"AQEAAAAAAAAAAAAAAAAAAAAAAAAA\",\"srid\":null}"

/* The zero of a kind that has the same one in every column. */
static const char *fallback(const struct debezium_column *column)
{
    switch (column->kind) {
    case DEBEZIUM_BOOLEAN:
    case DEBEZIUM_BIT:
        return "false";
    case DEBEZIUM_DECIMAL:
    case DEBEZIUM_MONEY:
        return "\"AA==\"";
    case DEBEZIUM_VARIABLE_DECIMAL:
        return "{\"scale\":0,\"value\":\"AA==\"}";
    case DEBEZIUM_DATE_ISO:
        return "\"1970-01-01Z\"";
    case DEBEZIUM_TIME_ISO:
    case DEBEZIUM_ZONED_TIME:
        return "\"00:00:00Z\"";
    case DEBEZIUM_TIMESTAMP_ISO:
    case DEBEZIUM_ZONED_TIMESTAMP:
        return "\"1970-01-01T00:00:00Z\"";
    case DEBEZIUM_INTERVAL_TEXT:
        return "\"P0Y0M0DT0H0M0S\"";
    case DEBEZIUM_HSTORE_AS_JSON:
        return "\"{}\"";
    case DEBEZIUM_HSTORE_AS_MAP:
        return "{}";
    case DEBEZIUM_POINT:
        return ORIGIN;
    case DEBEZIUM_BOX: /* (0,0),(1,1): Debezium has the least that is a valid shape */
        return "{\"wkb\":\""
               "AQMAAAABAAAABQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPA/"
               "AAAAAAAA8D8AAAAAAADwPwAAAAAAAPA/AAAAAAAAAAAAAAAAAAAAAAAAAAAA"
               "AAAA"
               "\",\"srid\":null,\"extensions\":{\"type\":\"box\"}}";
    case DEBEZIUM_LSEG: /* [(0,0),(1,0)] */
        return "{\"wkb\":\"AQIAAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPA/AAAAAAAAAAA=\","
               "\"srid\":null,\"extensions\":{\"type\":\"lseg\"}}";
    case DEBEZIUM_PATH: /* neither open nor closed */
        return "{\"wkb\":\"AQIAAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPA/AAAAAAAAAAA=\","
               "\"srid\":null,\"extensions\":{\"type\":\"path\"}}";
    case DEBEZIUM_POLYGON: /* ((0,0),(1,0),(0,1)) */
        return "{\"wkb\":\""
               "AQMAAAABAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAADwPwAAAAAAAAAA"
               "AAAAAAAAAAAAAAAAAADwPwAAAAAAAAAAAAAAAAAAAAA="
               "\",\"srid\":null,\"extensions\":{\"type\":\"polygon\"}}";
    case DEBEZIUM_CIRCLE:
        return "{\"center\":" ORIGIN ",\"radius\":0.0}";
    case DEBEZIUM_LINE: /* all three may not be 0 */
        return "{\"a\":0.0,\"b\":1.0,\"c\":0.0}";
    case DEBEZIUM_GEOMETRY: /* an empty collection */
        return "{\"wkb\":\"AQcAAAAAAAAA\",\"srid\":null,\"extensions\":null}";
    case DEBEZIUM_GEOGRAPHY:
        return "{\"wkb\":\"AQcAAAAAAAAA\",\"srid\":null}";
    case DEBEZIUM_SPARSE_VECTOR:
        return "{\"dimensions\":0,\"vector\":[]}";
    case DEBEZIUM_VECTOR:
    case DEBEZIUM_HALF_VECTOR:
    case DEBEZIUM_ARRAY:
        return "[]";
    case DEBEZIUM_STRING:
    case DEBEZIUM_BYTES:
    case DEBEZIUM_BYTES_AS_STRING:
    case DEBEZIUM_BITS:
    case DEBEZIUM_UUID:
    case DEBEZIUM_JSON:
    case DEBEZIUM_XML:
    case DEBEZIUM_ENUM:
    case DEBEZIUM_TSVECTOR:
    case DEBEZIUM_LTREE:
        return "\"\"";
    default:
        return "0"; /* the numbers */
    }
}

static void write_unavailable(struct debezium_writer *writer, const struct debezium_column *column,
                              struct bytes *out)
{
    if (!debezium_marker_write(writer, column, out)) {
        debezium_refuse(
            writer, column,
            "the server did not send it, because it is unchanged, and its type has no marker "
            "for that",
            hint_full, (const char *)writer->marker.data, writer->marker.size, out);
    }
}

static void write_array(struct debezium_writer *writer, const struct debezium_column *column,
                        const struct row_value *value, struct bytes *out)
{
    size_t start = out->size;
    const char *refusal = writer->refusal;
    bool ok = debezium_array_write(writer, column, value->text, value->size, out);
    if (ok) {
        return;
    }
    writer->refusal = refusal;
    if (bytes_ok(out)) {
        bytes_truncate(out, start);
    }
    debezium_refuse(writer, column, "an array has more than one dimension, or is none", NULL,
                    value->text, value->size, out);
}

/* What stands for null in a column that may not be null, such as one that a key-only row lacks. */
static void write_zero(const struct debezium_column *column, struct bytes *out)
{
    if (column->kind == DEBEZIUM_DECIMAL_AS_STRING || column->kind == DEBEZIUM_MONEY_AS_STRING) {
        bytes_append_text(out, column->scale > 0 ? "\"0." : "\"0");
        for (int32_t i = 0; i < column->scale; i++) {
            bytes_append_char(out, '0');
        }
        bytes_append_char(out, '"');
    } else if (!debezium_structured_zero(column, out)) {
        bytes_append_text(out, fallback(column));
    }
}

/* The source asks for no binary form. */
static void write_binary(struct debezium_writer *writer, const struct debezium_column *column,
                         const struct row_value *value, struct bytes *out)
{
    if (writer->lenient) {
        json_write_base64(out, (const uint8_t *)value->text, value->size);
    } else {
        debezium_refuse(writer, column, "the server sent it in binary form", NULL, NULL, 0, out);
    }
}

void debezium_value_write(struct debezium_writer *writer, const struct debezium_column *column,
                          const struct row_value *value, struct bytes *out)
{
    switch (value->kind) {
    case ROW_TEXT:
        if (column->kind == DEBEZIUM_ARRAY) {
            write_array(writer, column, value, out);
        } else {
            debezium_scalar_write(writer, column, column->kind, value->text, value->size, out);
        }
        break;
    case ROW_NULL:
        if (column->optional) {
            BYTES_APPEND_LITERAL(out, "null");
        } else {
            write_zero(column, out);
        }
        break;
    case ROW_UNCHANGED:
        write_unavailable(writer, column, out);
        break;
    case ROW_BINARY:
        write_binary(writer, column, value, out);
        break;
    }
}
