#include "base/utf8.h"

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

size_t utf8_sequence(const uint8_t *bytes, size_t size)
{
    if (size == 0) {
        return 0;
    }
    uint8_t first = bytes[0];
    if (first < 0x80) {
        return 1;
    }
    if (first < 0xc2 || size < 2 || !is_continuation(bytes[1])) {
        return 0;
    }
    if (first < 0xe0) {
        return 2;
    }
    if (size < 3 || !is_continuation(bytes[2])) {
        return 0;
    }
    if (first < 0xf0) {
        bool overlong = first == 0xe0 && bytes[1] < 0xa0;
        bool surrogate = first == 0xed && bytes[1] >= 0xa0;
        return overlong || surrogate ? 0 : 3;
    }
    if (first > 0xf4 || size < 4 || !is_continuation(bytes[3])) {
        return 0;
    }
    bool overlong = first == 0xf0 && bytes[1] < 0x90;
    bool too_large = first == 0xf4 && bytes[1] >= 0x90;
    return overlong || too_large ? 0 : 4;
}

bool utf8_valid(const uint8_t *bytes, size_t size)
{
    size_t at = 0;
    while (at < size) {
        size_t length = utf8_sequence(bytes + at, size - at);
        if (length == 0) {
            return false;
        }
        at += length;
    }
    return true;
}
