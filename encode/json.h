/*
 * json.h - the pieces that JSON output is made of, written straight into a byte buffer.
 *
 * Each function appends one complete piece, whatever bytes it is given: the output is always
 * valid JSON in UTF-8 on one line. A buffer that cannot grow turns to failed (base/bytes.h); the
 * caller asks once per event.
 *
 * Threading:  pure functions of their arguments.
 * Limits:     to be fast on small values, room is reserved for the worst case of a value or of a
 *             64 KiB piece of it: an event is refused up to 400 KiB before the buffer's maximum.
 */
#ifndef ENCODE_JSON_H
#define ENCODE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"

/* The most that one piece of a text asks room for; other values ask for up to 3 times their size. */
enum { JSON_PIECE_SIZE = 64 * 1024, JSON_REQUEST_MAX = 6 * JSON_PIECE_SIZE + 64 };

/* Returns where `size` bytes may be written, or NULL when the buffer has failed. */
static inline uint8_t *json_room(struct bytes *out, size_t size)
{
    if (__builtin_expect(out->capacity - out->size < size, 0) && !bytes_reserve(out, size)) {
        return NULL;
    }
    return out->data + out->size;
}

static inline void json_done(struct bytes *out, const uint8_t *end)
{
    out->size = (size_t)(end - out->data);
}

/* Copies `size` bytes to room that has been made. Returns the end. */
static inline uint8_t *json_write_raw(uint8_t *at, const void *text, size_t size)
{
    memcpy(at, text, size);
    return at + size;
}

/*
 * Copies a text behind which 16 bytes may be read, to room for 16 more: in whole blocks, because
 * a call of memcpy() costs more than most names are long. Returns the end.
 */
static inline uint8_t *json_write_padded(uint8_t *at, const void *text, size_t size)
{
    const uint8_t *from = text;
    for (size_t copied = 0; copied < size; copied += 16) {
        memcpy(at + copied, from + copied, 16);
    }
    return at + size;
}

#define JSON_WRITE_LITERAL(at, literal) json_write_raw((at), (literal), sizeof(literal) - 1)

/* The text with quotes; what JSON cannot hold is escaped, what is not UTF-8 becomes U+FFFD. */
void json_write_string(struct bytes *out, const char *text, size_t size);

/* The same without the quotes, for a string that is put together of pieces. */
void json_write_escaped(struct bytes *out, const char *text, size_t size);

/* Appends the text if it is a JSON number as it stands; otherwise returns false. */
bool json_write_number(struct bytes *out, const char *text, size_t size);

/* Whether the text as it stands is a JSON number (RFC 8259, section 6). */
bool json_number_valid(const char *text, size_t size);

/*
 * The JSON text without white space between its tokens, otherwise as it is. Returns false and
 * writes nothing if the text is not JSON (RFC 8259), or is nested deeper than JSON_DEPTH_MAX.
 */
enum { JSON_DEPTH_MAX = 32768 };
bool json_write_embedded(struct bytes *out, const char *text, size_t size);

/* The bytes as base64 (RFC 4648, section 4) in quotes. */
void json_write_base64(struct bytes *out, const uint8_t *bytes, size_t size);

/* The bytes that `size` hexadecimal digits stand for, as base64; false if they are none. */
bool json_write_base64_hex(struct bytes *out, const char *digits, size_t size);

/* Turns base64 without quotes into its octets, in place, up to a `=` or the end. False: it is none, and
 * what stands there then is of no use. */
bool base64_decode(uint8_t *text, size_t *size);

/* Decimal digits; at most 20 bytes. Returns the end. */
uint8_t *json_write_u64(uint8_t *at, uint64_t number);

/* At least 8 lower-case hexadecimal digits, or 16 beyond 32 bits. Returns the end. */
uint8_t *json_write_hex(uint8_t *at, uint64_t number);

#endif
