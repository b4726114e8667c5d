#include "targets/key_text.h"

#include <stdint.h>
#include <string.h>

/* A reader with a sticky error: once broken, everything that follows is empty. */
struct reader {
    const char *at;
    const char *end;
    bool broken;
};

static void skip_space(struct reader *reader)
{
    while (reader->at < reader->end && strchr(" \t\r\n", *reader->at) != NULL &&
           *reader->at != '\0') {
        reader->at++;
    }
}

static bool take(struct reader *reader, char wanted)
{
    skip_space(reader);
    if (!reader->broken && reader->at < reader->end && *reader->at == wanted) {
        reader->at++;
        return true;
    }
    return false;
}

/* NUL at the end. */
static char next_byte(struct reader *reader)
{
    if (reader->at == reader->end) {
        return '\0';
    }
    return *reader->at++;
}

static void append_point(struct bytes *out, uint32_t point)
{
    if (point < 0x80) {
        bytes_append_char(out, (char)point);
    } else if (point < 0x800) {
        bytes_append(out, (uint8_t[]){(uint8_t)(0xc0 | point >> 6), (uint8_t)(0x80 | (point & 63))},
                     2);
    } else if (point < 0x10000) {
        bytes_append(out,
                     (uint8_t[]){(uint8_t)(0xe0 | point >> 12), (uint8_t)(0x80 | (point >> 6 & 63)),
                                 (uint8_t)(0x80 | (point & 63))},
                     3);
    } else {
        bytes_append(
            out,
            (uint8_t[]){(uint8_t)(0xf0 | point >> 18), (uint8_t)(0x80 | (point >> 12 & 63)),
                        (uint8_t)(0x80 | (point >> 6 & 63)), (uint8_t)(0x80 | (point & 63))},
            4);
    }
}

/* Reads the four digits of \uXXXX. */
static uint32_t read_hex4(struct reader *reader)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < 4; i++) {
        char digit = next_byte(reader);
        char lower = (char)(digit | 0x20);
        if (digit >= '0' && digit <= '9') {
            value = value << 4 | (uint32_t)(digit - '0');
        } else if (lower >= 'a' && lower <= 'f') {
            value = value << 4 | (uint32_t)(lower - 'a' + 10);
        } else {
            reader->broken = true;
            return 0;
        }
    }
    return value;
}

static void read_unicode_escape(struct reader *reader, struct bytes *out)
{
    uint32_t point = read_hex4(reader);
    bool high = point >= 0xd800 && point < 0xdc00;
    if (high && reader->end - reader->at >= 6 && reader->at[0] == '\\' && reader->at[1] == 'u') {
        reader->at += 2;
        uint32_t low = read_hex4(reader);
        if (low >= 0xdc00 && low < 0xe000) {
            append_point(out, 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00));
            return;
        }
    }
    if (point >= 0xd800 && point < 0xe000) {
        reader->broken = true;
        return;
    }
    append_point(out, point);
}

static void read_escape(struct reader *reader, struct bytes *out)
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    char name = next_byte(reader);
    const char *known = name == '\0' ? NULL : strchr(names, name);
    if (known != NULL) {
        bytes_append_char(out, values[known - names]);
    } else if (name == 'u') {
        read_unicode_escape(reader, out);
    } else {
        reader->broken = true;
    }
}

/* Reads a string, from behind its first quote to behind its last. */
static void read_string(struct reader *reader, struct bytes *out)
{
    while (!reader->broken) {
        const char *start = reader->at;
        while (reader->at < reader->end && *reader->at != '"' && *reader->at != '\\') {
            reader->at++;
        }
        bytes_append(out, start, (size_t)(reader->at - start));
        if (reader->at == reader->end) {
            reader->broken = true;
        } else if (*reader->at++ == '"') {
            return;
        } else {
            read_escape(reader, out);
        }
    }
}

/* Moves over a string without keeping it. */
static void skip_string(struct reader *reader)
{
    while (reader->at < reader->end && *reader->at != '"') {
        reader->at += *reader->at == '\\' && reader->end - reader->at > 1 ? 2 : 1;
    }
    reader->broken = reader->broken || reader->at == reader->end;
    reader->at += reader->broken ? 0 : 1;
}

/* Moves over a value that is not a string, to the comma or brace behind it. */
static void skip_value(struct reader *reader)
{
    size_t depth = 0;
    while (reader->at < reader->end && !reader->broken) {
        char byte = *reader->at;
        if (depth == 0 && (byte == ',' || byte == '}')) {
            return;
        }
        reader->at++;
        if (byte == '"') {
            skip_string(reader);
        } else if (byte == '[' || byte == '{') {
            depth++;
        } else if (byte == ']' || byte == '}') {
            reader->broken = depth == 0;
            depth -= depth == 0 ? 0 : 1;
        }
    }
    reader->broken = true;
}

static enum key_text read_value(struct reader *reader, struct bytes *out)
{
    if (take(reader, '"')) {
        read_string(reader, out);
        return KEY_FOUND;
    }
    const char *start = reader->at;
    skip_value(reader);
    size_t size = (size_t)(reader->at - start);
    while (size > 0 && start[size - 1] == ' ') {
        size--;
    }
    if (size == 4 && memcmp(start, "null", 4) == 0) {
        return KEY_NULL;
    }
    bytes_append(out, start, size);
    return size == 0 ? KEY_MISSING : KEY_FOUND;
}

enum key_text key_text_append(const char *json, size_t size, const char *column, struct bytes *out)
{
    struct reader reader = {.at = json, .end = json + size};
    const size_t before = out->size;
    if (!take(&reader, '{')) {
        return KEY_MISSING;
    }
    do {
        if (!take(&reader, '"')) {
            break;
        }
        read_string(&reader, out);
        bool wanted = bytes_ok(out) && out->size - before == strlen(column) &&
                      memcmp(out->data + before, column, strlen(column)) == 0;
        if (!bytes_ok(out)) {
            return KEY_MISSING;
        }
        bytes_truncate(out, before);
        if (!take(&reader, ':')) {
            break;
        }
        enum key_text found = read_value(&reader, out);
        if (reader.broken) {
            break;
        }
        if (wanted) {
            return found;
        }
        if (!bytes_ok(out)) {
            return KEY_MISSING;
        }
        bytes_truncate(out, before);
    } while (take(&reader, ','));
    bytes_truncate(out, before);
    return KEY_MISSING;
}
