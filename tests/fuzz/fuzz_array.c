/*
 * Property: whatever bytes an array value holds, it becomes one valid JSON value on one line, and
 *           a text that is refused as an array leaves nothing behind.
 * Oracle:   jansson, but for lone surrogates and numbers out of its range (as in fuzz_json.c).
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
    json_t *json = json_loadb((const char *)out->data, out->size, JSON_ALLOW_NUL, &fault);
    enum json_error_code code = json == NULL ? json_error_code(&fault) : json_error_unknown;
    bool lone_surrogate = code == json_error_invalid_syntax && strstr(fault.text, "\\u") != NULL;
    if (json == NULL && code != json_error_numeric_overflow && !lone_surrogate) {
        abort();
    }
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum type_kind kinds[] = {TYPE_TEXT, TYPE_INT,   TYPE_FLOAT,      TYPE_BOOL,
                                           TYPE_JSON, TYPE_BYTEA, TYPE_TIMESTAMPTZ};
    if (size == 0 || size > SIZE_MAX_PARSED) {
        return 0;
    }
    const struct encode_settings settings = {.special_values = SPECIAL_NULL};
    struct value_writer writer;
    value_writer_init(&writer, &settings);
    struct type_info element = {.kind = kinds[data[0] % (sizeof(kinds) / sizeof(kinds[0]))]};
    struct type_info type = type_array_of(element, (data[0] & 0x80) != 0 ? ';' : ',');
    struct bytes out;
    bytes_init(&out, 1 << 24);
    bool written = array_write(&writer, &type, (const char *)data + 1, size - 1, &out);
    if (!bytes_ok(&out) || writer.scratch_failed || (!written && out.size != 0)) {
        abort();
    }
    if (written) {
        assert_one_value(&out);
    }
    bytes_release(&out);
    value_writer_release(&writer);
    return 0;
}
