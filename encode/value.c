#include "encode/value.h"

#include "encode/json.h"

void value_writer_init(struct value_writer *writer, const struct encode_settings *settings)
{
    *writer = (struct value_writer){
        .int8_as_string = settings->int8_as_string,
        .special_values = settings->special_values,
    };
    bytes_init(&writer->scratch, UINT32_MAX);
}

void value_writer_release(struct value_writer *writer)
{
    bytes_release(&writer->scratch);
}

static void write_number(const char *text, size_t size, struct bytes *out)
{
    if (!json_write_number(out, text, size)) {
        json_write_string(out, text, size);
    }
}

static bool is_special(const char *text, size_t size)
{
    return (size == 3 && memcmp(text, "NaN", 3) == 0) ||
           (size == 8 && memcmp(text, "Infinity", 8) == 0) ||
           (size == 9 && memcmp(text, "-Infinity", 9) == 0);
}

static void write_float(struct value_writer *writer, const char *text, size_t size,
                        struct bytes *out)
{
    if (json_write_number(out, text, size)) {
        return;
    }
    if (!is_special(text, size) || writer->special_values == SPECIAL_STRING) {
        json_write_string(out, text, size);
        return;
    }
    writer->refused = writer->refused || writer->special_values == SPECIAL_FAIL;
    BYTES_APPEND_LITERAL(out, "null");
}

static void write_bool(const char *text, size_t size, struct bytes *out)
{
    if (size == 1 && text[0] == 't') {
        BYTES_APPEND_LITERAL(out, "true");
    } else if (size == 1 && text[0] == 'f') {
        BYTES_APPEND_LITERAL(out, "false");
    } else {
        json_write_string(out, text, size);
    }
}

static void write_bytea(const char *text, size_t size, struct bytes *out)
{
    bool hex = size >= 2 && text[0] == '\\' && text[1] == 'x';
    if (!hex || !json_write_base64_hex(out, text + 2, size - 2)) {
        json_write_string(out, text, size);
    }
}

static bool is_digit(char character)
{
    return character >= '0' && character <= '9';
}

/*
 * 2026-01-01 00:00:00.5 becomes 2026-01-01T00:00:00.5, and +00 at the end becomes Z. infinity,
 * -infinity and years BC (which end with a letter) stay as PostgreSQL prints them.
 */
static void write_timestamp(const char *text, size_t size, bool zone, struct bytes *out)
{
    const char *space = size >= 11 && text[10] == ' ' ? text + 10 : memchr(text, ' ', size);
    if (space == NULL || !is_digit(text[0]) || !is_digit(text[size - 1])) {
        json_write_string(out, text, size);
        return;
    }
    size_t date_size = (size_t)(space - text);
    bool utc = zone && size >= date_size + 4 && memcmp(text + size - 3, "+00", 3) == 0;
    size_t start = out->size;
    json_write_string(out, text, size);
    if (out->size != start + size + 2) {
        return; /* something was escaped: it is no timestamp */
    }
    out->data[start + 1 + date_size] = 'T';
    if (utc) {
        memcpy(out->data + start + size - 2, "Z\"", 2);
        out->size -= 2;
    }
}

void value_write_scalar(struct value_writer *writer, enum type_kind kind, const char *text,
                        size_t size, struct bytes *out)
{
    switch (kind) {
    case TYPE_INT:
        write_number(text, size, out);
        return;
    case TYPE_INT8:
        if (writer->int8_as_string) {
            break;
        }
        write_number(text, size, out);
        return;
    case TYPE_FLOAT:
        write_float(writer, text, size, out);
        return;
    case TYPE_BOOL:
        write_bool(text, size, out);
        return;
    case TYPE_JSON:
        if (!json_write_embedded(out, text, size)) {
            break;
        }
        return;
    case TYPE_BYTEA:
        write_bytea(text, size, out);
        return;
    case TYPE_TIMESTAMP:
    case TYPE_TIMESTAMPTZ:
        write_timestamp(text, size, kind == TYPE_TIMESTAMPTZ, out);
        return;
    case TYPE_TEXT:
    case TYPE_NUMERIC:
    case TYPE_ARRAY:
        break;
    }
    json_write_string(out, text, size);
}

void value_write_any(struct value_writer *writer, const struct type_info *type,
                     const struct row_value *value, struct bytes *out)
{
    switch (value->kind) {
    case ROW_TEXT:
        if (type->kind != TYPE_ARRAY || !array_write(writer, type, value->text, value->size, out)) {
            value_write_scalar(writer, type->kind, value->text, value->size, out);
        }
        break;
    case ROW_BINARY:
        json_write_base64(out, (const uint8_t *)value->text, value->size);
        break;
    case ROW_NULL:
    case ROW_UNCHANGED:
        BYTES_APPEND_LITERAL(out, "null");
        break;
    }
}
