/*
 * base64.c - json_write_base64(), json_write_base64_hex() and base64_decode().
 */
#include "encode/json.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static inline uint8_t *write_group(uint8_t *at, uint32_t group)
{
    at[0] = (uint8_t)alphabet[group >> 18 & 63];
    at[1] = (uint8_t)alphabet[group >> 12 & 63];
    at[2] = (uint8_t)alphabet[group >> 6 & 63];
    at[3] = (uint8_t)alphabet[group & 63];
    return at + 4;
}

/* Writes the last one or two bytes with their padding. */
static uint8_t *write_rest(uint8_t *at, uint32_t group, size_t rest)
{
    (void)write_group(at, group); /* four characters, of which the last are overwritten */
    at[3] = '=';
    at[2] = rest == 1 ? '=' : at[2];
    return at + 4;
}

void json_write_base64(struct bytes *out, const uint8_t *bytes, size_t size)
{
    uint8_t *at = json_room(out, size / 3 * 4 + 8);
    if (at == NULL) {
        return;
    }
    *at++ = '"';
    for (; size >= 3; size -= 3, bytes += 3) {
        at = write_group(at, (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2]);
    }
    if (size > 0) {
        uint32_t second = size == 2 ? bytes[1] : 0;
        at = write_rest(at, (uint32_t)bytes[0] << 16 | second << 8, size);
    }
    *at++ = '"';
    json_done(out, at);
}

/* The value of a hexadecimal digit; 0x100 and more for anything else. */
static inline uint32_t hex_value(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return (uint32_t)(digit - '0');
    }
    char lower = (char)(digit | 0x20);
    return lower >= 'a' && lower <= 'f' ? (uint32_t)(lower - 'a' + 10) : 0x100;
}

bool json_write_base64_hex(struct bytes *out, const char *digits, size_t size)
{
    uint8_t *at = json_room(out, size / 6 * 4 + 8);
    if (at == NULL) {
        return true; /* the buffer has failed, which the caller finds there */
    }
    uint32_t invalid = size % 2 << 8;
    *at++ = '"';
    uint32_t group = 0;
    unsigned pending = 0;
    for (size_t i = 0; i + 1 < size; i += 2) {
        uint32_t high = hex_value(digits[i]);
        uint32_t low = hex_value(digits[i + 1]);
        invalid |= high | low;
        group = group << 8 | (high << 4 & 0xf0) | (low & 15);
        if (++pending == 3) {
            at = write_group(at, group);
            group = 0;
            pending = 0;
        }
    }
    if (pending > 0) {
        at = write_rest(at, group << (24 - 8 * pending), pending);
    }
    *at++ = '"';
    if ((invalid & 0x100) != 0) {
        return false;
    }
    json_done(out, at);
    return true;
}

static int digit_of(uint8_t character)
{
    if (character >= 'A' && character <= 'Z') {
        return character - 'A';
    }
    if (character >= 'a' && character <= 'z') {
        return character - 'a' + 26;
    }
    if (character >= '0' && character <= '9') {
        return character - '0' + 52;
    }
    return character == '+' ? 62 : character == '/' ? 63 : -1;
}

bool base64_decode(uint8_t *text, size_t *size)
{
    uint32_t bits = 0;
    unsigned count = 0;
    size_t octets = 0;
    for (size_t i = 0; i < *size && text[i] != '='; i++) {
        int digit = digit_of(text[i]);
        if (digit < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)digit;
        count += 6;
        if (count >= 8) {
            count -= 8;
            text[octets++] = (uint8_t)(bits >> count);
        }
    }
    *size = octets;
    return true;
}
