/*
 * bytes.h - a growable byte buffer with a maximum.
 *
 * The error is sticky: once an append did not fit the maximum, or memory was out, `failed` stays
 * set until bytes_clear() or bytes_truncate(), and further appends change nothing. A writer
 * appends many pieces and asks bytes_ok() once.
 *
 * Ownership:  bytes_release() frees the memory; accepts a zeroed or released buffer.
 * Threading:  one thread at a time.
 * Limits:     `size_max`, given once at init.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"

struct bytes {
    uint8_t *data; /* owned; not NUL-terminated */
    size_t size;
    size_t capacity;
    size_t size_max;
    bool failed;
};

/* Allocates nothing yet. */
void bytes_init(struct bytes *bytes, size_t size_max);
void bytes_release(struct bytes *bytes);

/* Makes room for `more` bytes behind `size`; on failure sets `failed`. Returns false then. */
bool bytes_reserve(struct bytes *bytes, size_t more);

static inline bool bytes_ok(const struct bytes *bytes)
{
    return !bytes->failed;
}

static inline void bytes_clear(struct bytes *bytes)
{
    bytes->size = 0;
    bytes->failed = false;
}

/* Cuts back to `size` bytes, which must not be more than there are. */
static inline void bytes_truncate(struct bytes *bytes, size_t size)
{
    bytes->size = size < bytes->size ? size : bytes->size;
    bytes->failed = false;
}

static inline void bytes_append(struct bytes *bytes, const void *data, size_t size)
{
    if (bytes->capacity - bytes->size >= size || bytes_reserve(bytes, size)) {
        if (size > 0) {
            memcpy(bytes->data + bytes->size, data, size);
        }
        bytes->size += size;
    }
}

static inline void bytes_append_char(struct bytes *bytes, char character)
{
    bytes_append(bytes, &character, 1);
}

static inline void bytes_append_text(struct bytes *bytes, const char *text)
{
    bytes_append(bytes, text, strlen(text));
}

#define BYTES_APPEND_LITERAL(bytes, literal) bytes_append((bytes), (literal), sizeof(literal) - 1)

void bytes_append_format(struct bytes *bytes, const char *format, ...) FAN_PRINTF(2, 3);

/* Appends `text` as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void bytes_append_json_string(struct bytes *bytes, const char *text, size_t size);

/* Returns the content with a NUL behind it, still owned by the buffer; "" if that did not fit. */
const char *bytes_text(struct bytes *bytes);

#endif
