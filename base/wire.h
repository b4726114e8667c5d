/*
 * wire.h - bounds-checked reader over big-endian bytes that we did not write.
 *
 * The error is STICKY: after the first short read every further read yields zero and moves
 * nothing, so a decoder reads all fields of a message and asks wire_ok() once.
 *
 * Ownership:  the bytes are borrowed; pointers handed out die with them.
 * Threading:  one reader belongs to one thread.
 */
#ifndef BASE_WIRE_H
#define BASE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct wire {
    const uint8_t *bytes;
    size_t size;
    size_t offset; /* <= size */
    bool failed;
};

static inline void wire_init(struct wire *wire, const void *bytes, size_t size)
{
    *wire = (struct wire){.bytes = bytes, .size = size};
}

static inline bool wire_ok(const struct wire *wire)
{
    return !wire->failed;
}

static inline size_t wire_remaining(const struct wire *wire)
{
    return wire->size - wire->offset;
}

/* Returns `length` borrowed bytes and moves past them, or NULL once the reader has failed. */
static inline const uint8_t *wire_bytes(struct wire *wire, size_t length)
{
    if (wire->failed || length > wire->size - wire->offset) {
        wire->failed = true;
        return NULL;
    }
    const uint8_t *start = wire->bytes + wire->offset;
    wire->offset += length;
    return start;
}

static inline uint8_t wire_u8(struct wire *wire)
{
    const uint8_t *at = wire_bytes(wire, 1);
    return at == NULL ? 0 : *at;
}

static inline uint16_t wire_u16(struct wire *wire)
{
    const uint8_t *at = wire_bytes(wire, 2);
    return at == NULL ? 0 : (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t wire_u32(struct wire *wire)
{
    const uint8_t *at = wire_bytes(wire, 4);
    return at == NULL
               ? 0
               : (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint64_t wire_u64(struct wire *wire)
{
    uint64_t high = wire_u32(wire);
    return high << 32 | wire_u32(wire);
}

/* Returns a borrowed string and moves past its NUL, or NULL if none is left in the message. */
static inline const char *wire_cstring(struct wire *wire)
{
    const uint8_t *start = wire->bytes + wire->offset;
    const uint8_t *end = wire->failed || wire_remaining(wire) == 0
                             ? NULL
                             : memchr(start, '\0', wire_remaining(wire));
    if (end == NULL) {
        wire->failed = true;
        return NULL;
    }
    wire->offset += (size_t)(end - start) + 1;
    return (const char *)start;
}

#endif
