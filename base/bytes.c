#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"

void bytes_init(struct bytes *bytes, size_t size_max)
{
    *bytes = (struct bytes){.size_max = size_max};
}

void bytes_release(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){.size_max = bytes->size_max};
}

bool bytes_reserve(struct bytes *bytes, size_t more)
{
    if (bytes->failed || more > bytes->size_max - bytes->size) {
        bytes->failed = true;
        return false;
    }
    size_t needed = bytes->size + more;
    if (needed <= bytes->capacity) {
        return true;
    }
    size_t capacity = bytes->capacity < 256 ? 256 : bytes->capacity + bytes->capacity / 2;
    capacity = capacity < needed ? needed : capacity;
    capacity = capacity > bytes->size_max ? bytes->size_max : capacity;
    uint8_t *data = realloc(bytes->data, capacity);
    if (data == NULL) {
        bytes->failed = true;
        return false;
    }
    bytes->data = data;
    bytes->capacity = capacity;
    return true;
}

void bytes_append_format(struct bytes *bytes, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0 || !bytes_reserve(bytes, (size_t)length + 1)) {
        bytes->failed = true;
        return;
    }
    va_start(args, format);
    (void)vsnprintf((char *)bytes->data + bytes->size, (size_t)length + 1, format, args); /* fits */
    va_end(args);
    bytes->size += (size_t)length;
}

void bytes_append_json_string(struct bytes *bytes, const char *text, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    bytes_append_char(bytes, '"');
    size_t start = 0;
    size_t at = 0;
    while (at < size) {
        unsigned char byte = (unsigned char)text[at];
        size_t length = byte < 0x80 ? 1 : utf8_sequence((const uint8_t *)text + at, size - at);
        if (length > 0 && byte >= 0x20 && byte != '"' && byte != '\\' && byte != 0x7f) {
            at += length;
            continue;
        }
        bytes_append(bytes, text + start, at - start);
        if (length == 0) {
            BYTES_APPEND_LITERAL(bytes, "\xef\xbf\xbd");
        } else if (byte == '"' || byte == '\\') {
            bytes_append(bytes, (char[]){'\\', (char)byte}, 2);
        } else if (byte == '\n') {
            BYTES_APPEND_LITERAL(bytes, "\\n");
        } else if (byte == '\t') {
            BYTES_APPEND_LITERAL(bytes, "\\t");
        } else if (byte == '\r') {
            BYTES_APPEND_LITERAL(bytes, "\\r");
        } else {
            bytes_append(bytes, (char[]){'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]}, 6);
        }
        at += length == 0 ? 1 : length;
        start = at;
    }
    bytes_append(bytes, text + start, size - start);
    bytes_append_char(bytes, '"');
}

const char *bytes_text(struct bytes *bytes)
{
    if (!bytes_reserve(bytes, 1)) {
        return "";
    }
    bytes->data[bytes->size] = '\0';
    return (const char *)bytes->data;
}
