#include "encode/avro_value.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "encode/json.h"

enum { NUMBER_MAX = 1100 }; /* a double in full is shorter */

struct reading {
    const uint8_t *at;
    const uint8_t *end;
    struct bytes *scratch;
    enum fan_status status; /* sticky */
};

static void read_value(struct reading *reading, avro_value_t *value);

static void fail(struct reading *reading, enum fan_status status)
{
    reading->status = reading->status == FAN_OK ? status : reading->status;
}

/* Of a call of avro-c: it fails when memory is out, or when the types do not fit. */
static void check(struct reading *reading, int result)
{
    if (result != 0) {
        fail(reading, result == ENOMEM ? FAN_RETRY : FAN_POISON);
    }
}

static bool looks_at(const struct reading *reading, char character)
{
    return reading->at < reading->end && *reading->at == (uint8_t)character;
}

static bool take(struct reading *reading, char character)
{
    if (reading->status != FAN_OK || !looks_at(reading, character)) {
        fail(reading, FAN_POISON);
        return false;
    }
    reading->at++;
    return true;
}

static bool take_word(struct reading *reading, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(reading->end - reading->at) < size || memcmp(reading->at, word, size) != 0) {
        return false;
    }
    reading->at += size;
    return true;
}

/* ---- strings ---- */

static uint32_t read_hex(struct reading *reading)
{
    uint32_t unit = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint8_t digit = reading->at < reading->end ? *reading->at++ : 0;
        uint8_t lower = digit | 0x20;
        if (digit >= '0' && digit <= '9') {
            unit = unit << 4 | (uint32_t)(digit - '0');
        } else if (lower >= 'a' && lower <= 'f') {
            unit = unit << 4 | (uint32_t)(lower - 'a' + 10);
        } else {
            fail(reading, FAN_POISON);
        }
    }
    return unit;
}

static void append_utf8(struct bytes *out, uint32_t point)
{
    if (point < 0x80) {
        bytes_append_char(out, (char)point);
        return;
    }
    if (point < 0x800) {
        bytes_append_char(out, (char)(0xc0 | point >> 6));
    } else {
        if (point < 0x10000) {
            bytes_append_char(out, (char)(0xe0 | point >> 12));
        } else {
            bytes_append_char(out, (char)(0xf0 | point >> 18));
            bytes_append_char(out, (char)(0x80 | (point >> 12 & 0x3f)));
        }
        bytes_append_char(out, (char)(0x80 | (point >> 6 & 0x3f)));
    }
    bytes_append_char(out, (char)(0x80 | (point & 0x3f)));
}

static void read_unicode_escape(struct reading *reading)
{
    uint32_t point = read_hex(reading);
    if (point >= 0xd800 && point < 0xdc00) {
        bool pair = take(reading, '\\') && take(reading, 'u');
        uint32_t low = pair ? read_hex(reading) : 0;
        if (low < 0xdc00 || low > 0xdfff) {
            fail(reading, FAN_POISON);
            return;
        }
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    }
    append_utf8(reading->scratch, point);
}

static void read_escape(struct reading *reading)
{
    static const char names[] = "\"\\/bfnrt";
    static const char meant[] = "\"\\/\b\f\n\r\t";
    uint8_t name = reading->at < reading->end ? *reading->at++ : 0;
    const char *found = name != 0 ? strchr(names, name) : NULL;
    if (name == 'u') {
        read_unicode_escape(reading);
    } else if (found != NULL) {
        bytes_append_char(reading->scratch, meant[found - names]);
    } else {
        fail(reading, FAN_POISON);
    }
}

/* Reads a string into `scratch`, with a NUL behind it that its size does not count. */
static bool read_string(struct reading *reading)
{
    struct bytes *scratch = reading->scratch;
    bytes_clear(scratch);
    if (!take(reading, '"')) {
        return false;
    }
    while (reading->status == FAN_OK && !looks_at(reading, '"')) {
        const uint8_t *plain = reading->at;
        while (reading->at < reading->end && *reading->at != '"' && *reading->at != '\\') {
            reading->at++;
        }
        bytes_append(scratch, plain, (size_t)(reading->at - plain));
        if (reading->at == reading->end) {
            fail(reading, FAN_POISON);
        } else if (*reading->at == '\\') {
            reading->at++;
            read_escape(reading);
        }
    }
    (void)take(reading, '"'); /* it is there unless reading has failed */
    bytes_append_char(scratch, '\0');
    if (!bytes_ok(scratch)) {
        fail(reading, FAN_RETRY);
        return false;
    }
    scratch->size--;
    return reading->status == FAN_OK;
}

/* Passes over the name of a field. */
static void skip_string(struct reading *reading)
{
    (void)take(reading, '"'); /* what fails is kept in `reading` */
    while (reading->at < reading->end && *reading->at != '"') {
        reading->at += *reading->at == '\\' && reading->end - reading->at > 1 ? 2 : 1;
    }
    (void)take(reading, '"');
}

/* Turns the base64 in `scratch` into its octets, in place. */
static void decode_octets(struct reading *reading)
{
    struct bytes *scratch = reading->scratch;
    if (!base64_decode(scratch->data, &scratch->size)) {
        fail(reading, FAN_POISON);
    }
}

/* ---- numbers ---- */

/* The text of a number, or of a string that stands for one; "" if there is none. */
static const char *read_number_text(struct reading *reading, char text[NUMBER_MAX])
{
    size_t size = 0;
    if (looks_at(reading, '"')) {
        if (!read_string(reading)) {
            return "";
        }
        return (const char *)reading->scratch->data;
    }
    while (reading->at < reading->end && size + 1 < NUMBER_MAX &&
           (*reading->at == '-' || *reading->at == '+' || *reading->at == '.' ||
            (*reading->at >= '0' && *reading->at <= '9') || (*reading->at | 0x20) == 'e')) {
        text[size++] = (char)*reading->at++;
    }
    text[size] = '\0';
    return text;
}

static int64_t read_integer(struct reading *reading, int64_t least, int64_t most)
{
    bool negative = looks_at(reading, '-');
    int64_t number = 0;
    const uint8_t *first = reading->at += negative;
    bool fits = true;
    for (; reading->at < reading->end && *reading->at >= '0' && *reading->at <= '9';
         reading->at++) {
        int64_t digit = *reading->at - '0';
        fits = fits && !__builtin_mul_overflow(number, (int64_t)10, &number) &&
               !__builtin_sub_overflow(number, digit, &number); /* there is one more below zero */
    }
    fits = fits && reading->at > first && (negative || number != INT64_MIN);
    number = fits && !negative ? -number : number;
    if (!fits || number < least || number > most) {
        fail(reading, FAN_POISON);
    }
    return number;
}

/* Nothing sets a locale, so the point is a point. A float is read as one, or it would be rounded
 * twice; what underflows is the number that is nearest to it. */
static double read_float(struct reading *reading, bool single)
{
    char text[NUMBER_MAX];
    char *end;
    const char *digits = read_number_text(reading, text);
    double number = single ? (double)strtof(digits, &end) : strtod(digits, &end);
    if (digits[0] == '\0' || *end != '\0') {
        fail(reading, FAN_POISON);
    }
    return number;
}

/* ---- what holds others ---- */

/* Reads a value that a call of avro-c has given, if it has. */
static void read_child(struct reading *reading, avro_value_t *child)
{
    if (reading->status == FAN_OK && child->iface != NULL) {
        read_value(reading, child);
    }
}

static void read_record(struct reading *reading, avro_value_t *value)
{
    size_t count = 0;
    bool pair = looks_at(reading, '['); /* of a map whose keys are no strings */
    check(reading, avro_value_get_size(value, &count));
    (void)take(reading, pair ? '[' : '{'); /* what fails is kept in `reading`, here and below */
    for (size_t i = 0; i < count && reading->status == FAN_OK; i++) {
        avro_value_t field = {NULL, NULL};
        if (i > 0) {
            (void)take(reading, ',');
        }
        if (!pair) {
            skip_string(reading);
            (void)take(reading, ':');
        }
        check(reading, avro_value_get_by_index(value, i, &field, NULL));
        read_child(reading, &field);
    }
    (void)take(reading, pair ? ']' : '}');
}

static void read_array(struct reading *reading, avro_value_t *value)
{
    bool first = true;
    (void)take(reading, '[');
    while (reading->status == FAN_OK && !looks_at(reading, ']')) {
        avro_value_t element = {NULL, NULL};
        if (!first) {
            (void)take(reading, ',');
        }
        first = false;
        check(reading, avro_value_append(value, &element, NULL));
        read_child(reading, &element);
    }
    (void)take(reading, ']');
}

static void read_map(struct reading *reading, avro_value_t *value)
{
    bool first = true;
    (void)take(reading, '{');
    while (reading->status == FAN_OK && !looks_at(reading, '}')) {
        avro_value_t element = {NULL, NULL};
        if (!first) {
            (void)take(reading, ',');
        }
        first = false;
        if (read_string(reading)) {
            check(reading, avro_value_add(value, (const char *)reading->scratch->data, &element,
                                          NULL, NULL));
            (void)take(reading, ':');
        }
        read_child(reading, &element);
    }
    (void)take(reading, '}');
}

static void read_union(struct reading *reading, avro_value_t *value)
{
    avro_value_t branch = {NULL, NULL};
    avro_schema_t first = avro_schema_union_branch(avro_value_get_schema(value), 0);
    int null_branch = first != NULL && avro_typeof(first) == AVRO_NULL ? 0 : 1;
    bool none = take_word(reading, "null");
    check(reading, avro_value_set_branch(value, none ? null_branch : 1 - null_branch, &branch));
    if (!none) {
        read_child(reading, &branch);
    }
}

static void read_boolean(struct reading *reading, avro_value_t *value)
{
    bool truth = take_word(reading, "true");
    if (!truth && !take_word(reading, "false")) {
        fail(reading, FAN_POISON);
    }
    check(reading, avro_value_set_boolean(value, truth ? 1 : 0));
}

static void read_text(struct reading *reading, avro_value_t *value, bool octets)
{
    struct bytes *scratch = reading->scratch;
    if (!read_string(reading)) {
        return;
    }
    if (octets) {
        decode_octets(reading);
        check(reading, avro_value_set_bytes(value, scratch->data, scratch->size));
    } else { /* its size counts the NUL */
        check(reading,
              avro_value_set_string_len(value, (const char *)scratch->data, scratch->size + 1));
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the schema, which is ours */
static void read_value(struct reading *reading, avro_value_t *value)
{
    switch (avro_value_get_type(value)) {
    case AVRO_UNION:
        read_union(reading, value);
        break;
    case AVRO_RECORD:
        read_record(reading, value);
        break;
    case AVRO_ARRAY:
        read_array(reading, value);
        break;
    case AVRO_MAP:
        read_map(reading, value);
        break;
    case AVRO_BOOLEAN:
        read_boolean(reading, value);
        break;
    case AVRO_INT32:
        check(reading,
              avro_value_set_int(value, (int32_t)read_integer(reading, INT32_MIN, INT32_MAX)));
        break;
    case AVRO_INT64:
        check(reading, avro_value_set_long(value, read_integer(reading, INT64_MIN, INT64_MAX)));
        break;
    case AVRO_FLOAT:
        check(reading, avro_value_set_float(value, (float)read_float(reading, true)));
        break;
    case AVRO_DOUBLE:
        check(reading, avro_value_set_double(value, read_float(reading, false)));
        break;
    case AVRO_STRING:
        read_text(reading, value, false);
        break;
    case AVRO_BYTES:
        read_text(reading, value, true);
        break;
    default:
        fail(reading, FAN_POISON);
        break;
    }
}

enum fan_status avro_value_fill(avro_value_t *value, const uint8_t *json, size_t json_size,
                                struct bytes *scratch)
{
    struct reading reading = {
        .at = json, .end = json + json_size, .scratch = scratch, .status = FAN_OK};
    read_value(&reading, value);
    if (reading.status == FAN_OK && reading.at != reading.end) {
        fail(&reading, FAN_POISON);
    }
    return reading.status;
}
