/*
 * Property: whatever bytes a column value holds, every type of it becomes one valid JSON value on
 *           one line.
 * Oracle:   jansson, which refuses two things that JSON allows and PostgreSQL passes on: a lone
 *           surrogate escape, and a number beyond a double or 64 bits.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "encode/encoder.h"
#include "encode/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_MAX_PARSED = 1024 }; /* jansson refuses nesting over 2048 */

static void assert_one_value(const struct bytes *out)
{
    if (memchr(out->data, '\n', out->size) != NULL || !utf8_valid(out->data, out->size)) {
        abort();
    }
    json_error_t fault;
    json_t *json =
        json_loadb((const char *)out->data, out->size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &fault);
    enum json_error_code code = json == NULL ? json_error_code(&fault) : json_error_unknown;
    bool lone_surrogate = code == json_error_invalid_syntax && strstr(fault.text, "\\u") != NULL;
    if (json == NULL && code != json_error_numeric_overflow && !lone_surrogate) {
        abort();
    }
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum type_kind kinds[] = {TYPE_TEXT,  TYPE_INT,         TYPE_INT8,
                                           TYPE_FLOAT, TYPE_BOOL,        TYPE_JSON,
                                           TYPE_BYTEA, TYPE_TIMESTAMPTZ, TYPE_NUMERIC};
    if (size == 0 || size > SIZE_MAX_PARSED) {
        return 0;
    }
    const struct encode_settings settings = {.special_values = SPECIAL_STRING};
    struct value_writer writer;
    value_writer_init(&writer, &settings);
    struct type_info type = {.kind = kinds[data[0] % (sizeof(kinds) / sizeof(kinds[0]))]};
    const struct row_value value = {
        .kind = ROW_TEXT, .text = (const char *)data + 1, .size = (uint32_t)(size - 1)};
    struct bytes out;
    bytes_init(&out, 1 << 24);
    value_write(&writer, &type, &value, &out);
    if (!bytes_ok(&out)) {
        abort();
    }
    assert_one_value(&out);
    bytes_release(&out);
    value_writer_release(&writer);
    return 0;
}
