#include "base/escape.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* Characters that a reader cannot see or that reorder what is shown: the C1 controls and the
 * bidirectional controls of Unicode (UAX 9), and the separators that some viewers break lines at. */
static bool is_hidden(uint32_t point)
{
    return (point >= 0x80 && point < 0xa0) || point == 0x061c || point == 0x200e ||
           point == 0x200f || (point >= 0x2028 && point <= 0x202e) ||
           (point >= 0x2066 && point <= 0x2069) || point == 0xfeff;
}

/* Only called for sequences of two and more valid bytes. */
static uint32_t decode_point(const uint8_t *bytes, size_t length)
{
    uint32_t point = bytes[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        point = point << 6 | (bytes[i] & 0x3fu);
    }
    return point;
}

static size_t escape_control(uint8_t byte, char escaped[ESCAPE_SIZE])
{
    const char *short_form = byte == '\n'   ? "\\n"
                             : byte == '\r' ? "\\r"
                             : byte == '\t' ? "\\t"
                             : byte == '"'  ? "\\\""
                             : byte == '\\' ? "\\\\"
                                            : NULL;
    if (short_form != NULL) {
        memcpy(escaped, short_form, 2);
        return 2;
    }
    return (size_t)snprintf(escaped, ESCAPE_SIZE, "\\u%04x", byte);
}

size_t escape_one(const char *text, size_t size, bool json, char escaped[ESCAPE_SIZE],
                  size_t *ret_escaped_size)
{
    const uint8_t *bytes = (const uint8_t *)text;
    if (bytes[0] < 0x80) {
        if (bytes[0] < 0x20 || bytes[0] == 0x7f || bytes[0] == '"' || bytes[0] == '\\') {
            *ret_escaped_size = escape_control(bytes[0], escaped);
        } else {
            escaped[0] = text[0];
            *ret_escaped_size = 1;
        }
        return 1;
    }
    size_t length = utf8_sequence(bytes, size);
    if (length == 0) { /* JSON has no way to write a byte; logfmt shows which one it was */
        *ret_escaped_size = json ? (size_t)snprintf(escaped, ESCAPE_SIZE, "\\ufffd")
                                 : (size_t)snprintf(escaped, ESCAPE_SIZE, "\\x%02x", bytes[0]);
        return 1;
    }
    uint32_t point = decode_point(bytes, length);
    if (is_hidden(point)) {
        *ret_escaped_size =
            (size_t)snprintf(escaped, ESCAPE_SIZE, "\\u%04x", (unsigned)point & 0xffffu);
    } else {
        memcpy(escaped, text, length);
        *ret_escaped_size = length;
    }
    return length;
}

void bytes_append_escaped(struct bytes *bytes, const char *text, size_t size, size_t size_max)
{
    size_t used = 0;
    for (size_t at = 0; at < size;) {
        char escaped[ESCAPE_SIZE];
        size_t escaped_size = 0;
        at += escape_one(text + at, size - at, false, escaped, &escaped_size);
        if (used + escaped_size > size_max) {
            BYTES_APPEND_LITERAL(bytes, "...");
            return;
        }
        bytes_append(bytes, escaped, escaped_size);
        used += escaped_size;
    }
}
