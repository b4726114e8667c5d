#include "encode/debezium_decimal.h"

#include <string.h>

enum {
    SCALE_MAX = 32768, /* beyond what PostgreSQL has in either direction */
    DIGITS_MAX = 1 << 20,
    CHUNK_DIGITS = 9, /* of a limb of 32 bits */
    LIMB_SIZE = 4,
    SHORT_DIGITS = 18, /* any so many fit 64 bits */
};

static bool is_digit(char character)
{
    return character >= '0' && character <= '9';
}

int32_t debezium_decimal_scale(const char *text, size_t size)
{
    const char *point = memchr(text, '.', size);
    if (point == NULL) {
        return 0;
    }
    const char *end = text + size;
    while (end > point + 1 && end[-1] == '0') {
        end--;
    }
    return end - point - 1 > SCALE_MAX ? SCALE_MAX : (int32_t)(end - point - 1);
}

/* Gathers the digits of the unscaled integer into `digits`, without leading zeros. */
static bool gather(const char *text, size_t size, int32_t scale, struct bytes *digits)
{
    int32_t fraction = -1; /* no point yet */
    bool any = false;
    bytes_clear(digits);
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '.' && fraction < 0) {
            fraction = 0;
            continue;
        }
        if (!is_digit(text[i])) {
            return false;
        }
        any = true;
        fraction += fraction >= 0 ? 1 : 0;
        if (digits->size > 0 || text[i] != '0') {
            bytes_append_char(digits, text[i]);
        }
    }
    fraction = fraction < 0 ? 0 : fraction;
    for (; fraction < scale && digits->size > 0; fraction++) {
        bytes_append_char(digits, '0');
    }
    for (; fraction > scale && digits->size > 0; fraction--) {
        if (digits->data[digits->size - 1] != '0') {
            return false; /* it would not be the same number any more */
        }
        digits->size--;
    }
    return any && bytes_ok(digits);
}

/* limbs = limbs * factor + add, the least first. Returns how many there are now. */
static size_t limbs_shift(uint32_t *limbs, size_t count, uint32_t factor, uint32_t add)
{
    uint64_t carry = add;
    for (size_t i = 0; i < count; i++) {
        carry += (uint64_t)limbs[i] * factor;
        limbs[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry != 0) {
        limbs[count++] = (uint32_t)carry;
    }
    return count;
}

/* The magnitude of the digits as limbs. `limbs` has room for one for every CHUNK_DIGITS and one. */
static size_t limbs_from_digits(const uint8_t *digits, size_t size, uint32_t *limbs)
{
    size_t count = 0;
    size_t at = 0;
    while (at < size) {
        uint32_t chunk = 0;
        uint32_t factor = 1;
        do {
            chunk = chunk * 10 + (uint32_t)(digits[at++] - '0');
            factor *= 10;
        } while (at < size && (size - at) % CHUNK_DIGITS != 0);
        count = limbs_shift(limbs, count, factor, chunk);
    }
    return count;
}

/* The limbs as big-endian bytes; negative ones in two's complement. */
static void append_signed(const uint32_t *limbs, size_t count, bool negative, struct bytes *out)
{
    size_t size = count * LIMB_SIZE;
    while (size > 0 && (uint8_t)(limbs[(size - 1) / 4] >> (size - 1) % 4 * 8) == 0) {
        size--;
    }
    /* A sign byte of its own, if the first bit would say the contrary. */
    bytes_append_char(out, negative ? (char)0xff : 0);
    size_t start = out->size;
    for (size_t i = size; i-- > 0;) {
        uint8_t byte = (uint8_t)(limbs[i / 4] >> i % 4 * 8);
        bytes_append_char(out, (char)(negative ? (uint8_t)~byte : byte));
    }
    if (!bytes_ok(out)) {
        return;
    }
    for (size_t i = out->size; negative && i-- > start;) {
        if (++out->data[i] != 0) {
            break;
        }
    }
    bool first_bit = size > 0 && (out->data[start] & 0x80) != 0;
    if (size > 0 && first_bit == negative) {
        memmove(out->data + start - 1, out->data + start, size);
        out->size--;
    }
}

/* The unscaled integer of a short text; false: it takes the long way, which also says what is wrong. */
static bool unscaled_short(const char *text, size_t size, int32_t scale, int64_t *ret_number)
{
    int32_t places = -1; /* no point yet */
    int64_t number = 0;
    if (size == 0 || size > SHORT_DIGITS || scale < 0 || scale > SHORT_DIGITS) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (is_digit(text[i])) {
            number = number * 10 + (text[i] - '0');
            places += places >= 0 ? 1 : 0;
        } else if (text[i] == '.' && places < 0 && size > 1) {
            places = 0;
        } else {
            return false;
        }
    }
    places = places < 0 ? 0 : places;
    if (places > scale || (int32_t)size + scale - places > SHORT_DIGITS) {
        return false;
    }
    for (; places < scale; places++) {
        number *= 10;
    }
    *ret_number = number;
    return true;
}

/* As few bytes as hold the number with its sign. */
static void append_short(int64_t number, struct bytes *out)
{
    unsigned size = 1;
    while (size < sizeof(number) && number >> (8 * size - 1) != (number < 0 ? -1 : 0)) {
        size++;
    }
    for (unsigned i = size; i-- > 0;) {
        bytes_append_char(out, (char)(uint8_t)((uint64_t)number >> 8 * i));
    }
}

bool debezium_decimal_unscaled(const char *text, size_t size, int32_t scale, struct bytes *scratch,
                               struct bytes *ret_bytes)
{
    bool negative = size > 0 && text[0] == '-';
    int64_t number;
    bytes_clear(ret_bytes);
    if (unscaled_short(text + negative, size - negative, scale, &number)) {
        append_short(negative ? -number : number, ret_bytes);
        return bytes_ok(ret_bytes);
    }
    if (size > DIGITS_MAX || scale > SCALE_MAX || scale < -SCALE_MAX ||
        !gather(text + negative, size - negative, scale, scratch)) {
        return false;
    }
    size_t digits = scratch->size;
    size_t limbs_start = (digits + LIMB_SIZE - 1) / LIMB_SIZE * LIMB_SIZE;
    size_t limbs_size = (digits / CHUNK_DIGITS + 2) * LIMB_SIZE;
    if (!bytes_reserve(scratch, limbs_start - digits + limbs_size)) {
        return false;
    }
    uint32_t *limbs = (uint32_t *)(void *)(scratch->data + limbs_start);
    size_t count = limbs_from_digits(scratch->data, digits, limbs);
    append_signed(limbs, count, negative && count > 0, ret_bytes);
    return bytes_ok(ret_bytes);
}
