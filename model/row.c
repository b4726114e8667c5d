#include "model/row.h"

/* Returns the end of the columns that start at `at`, or NULL if they are not well formed. */
static const uint8_t *columns_end(const uint8_t *at, const uint8_t *end, size_t columns_count)
{
    for (size_t i = 0; i < columns_count; i++) {
        if (at == end) {
            return NULL;
        }
        uint8_t kind = *at++;
        if (kind == ROW_TEXT || kind == ROW_BINARY) {
            uint32_t size;
            if ((size_t)(end - at) < sizeof(size)) {
                return NULL;
            }
            memcpy(&size, at, sizeof(size));
            at += sizeof(size);
            size = __builtin_bswap32(size);
            if ((size_t)(end - at) < size) {
                return NULL;
            }
            at += size;
        } else if (kind != ROW_NULL && kind != ROW_UNCHANGED) {
            return NULL;
        }
    }
    return at;
}

bool row_check(struct wire *wire, size_t columns_max)
{
    size_t columns_count = wire_u16(wire);
    if (!wire_ok(wire) || columns_count > columns_max) {
        wire->failed = true;
        return false;
    }
    /* On every column of every row: so without the reader's check of its sticky error. */
    const uint8_t *end =
        columns_end(wire->bytes + wire->offset, wire->bytes + wire->size, columns_count);
    if (end == NULL) {
        wire->failed = true;
        return false;
    }
    wire->offset = (size_t)(end - wire->bytes);
    return true;
}
