#include "encode/json.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/utf8.h"

enum {
    ESCAPED_MAX = 6, /* \u001f: bytes that one byte becomes at most */
    STEP = 16,       /* bytes that the fast path may write beyond what it keeps */
};

static const char hex_digits[] = "0123456789abcdef";

/* The letter behind the backslash of a short escape; 0: the byte stands for itself, 1: \u00xx. */
static const uint8_t escapes[128] = {
    [0] = 1,  [1] = 1,      [2] = 1,      [3] = 1,      [4] = 1,     [5] = 1,       [6] = 1,
    [7] = 1,  ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', [11] = 1,    ['\f'] = 'f',  ['\r'] = 'r',
    [14] = 1, [15] = 1,     [16] = 1,     [17] = 1,     [18] = 1,    [19] = 1,      [20] = 1,
    [21] = 1, [22] = 1,     [23] = 1,     [24] = 1,     [25] = 1,    [26] = 1,      [27] = 1,
    [28] = 1, [29] = 1,     [30] = 1,     [31] = 1,     ['"'] = '"', ['\\'] = '\\',
};

static inline bool is_plain(uint8_t byte)
{
    return byte < 0x80 && escapes[byte] == 0;
}

/* Writes what one ASCII byte that is not plain becomes. */
static inline uint8_t *escape_byte(uint8_t *at, uint8_t byte)
{
    uint8_t escape = escapes[byte];
    *at++ = '\\';
    if (escape != 1) {
        *at++ = escape;
        return at;
    }
    memcpy(at, "u00", 3);
    at[3] = (uint8_t)hex_digits[byte >> 4];
    at[4] = (uint8_t)hex_digits[byte & 15];
    return at + 5;
}

/*
 * Writes the run of special bytes that starts at `text`: escapes, and UTF-8 sequences up to the
 * next ASCII byte. `limit` ends what is taken, `end` what may be read. Returns the next byte.
 */
static const uint8_t *escape_run(const uint8_t *text, const uint8_t *limit, const uint8_t *end,
                                 uint8_t **at)
{
    while (text < limit && !is_plain(*text)) {
        if (*text < 0x80) {
            *at = escape_byte(*at, *text);
            text++;
            continue;
        }
        size_t length = utf8_sequence(text, (size_t)(end - text));
        if (length == 0) {
            memcpy(*at, "\xef\xbf\xbd", 3);
            *at += 3;
            text++;
            continue;
        }
        memcpy(*at, text, length);
        *at += length;
        text += length;
    }
    return text;
}

/* Bit 7 of each byte that is not plain; bits may also be set behind the first such byte. */
static inline uint64_t special_bytes8(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u;
    const uint64_t highs = 0x8080808080808080u;
    uint64_t quote = word ^ (ones * '"');
    uint64_t backslash = word ^ (ones * '\\');
    uint64_t below_space = word - ones * 0x20;
    return (((quote - ones) | (backslash - ones) | below_space) & ~word & highs) | (word & highs);
}

/* Copies 8 or 16 bytes as long as they are plain. Returns the first byte that is left. */
static inline const uint8_t *copy_plain(const uint8_t *text, const uint8_t *limit, uint8_t **at)
{
#if defined(__SSE2__)
    while (limit - text >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)text);
        _mm_storeu_si128((__m128i *)(void *)*at, bytes);
        /* Signed: 0x80 to 0xff are below 0x20, too. */
        __m128i special = _mm_or_si128(_mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20)),
                                       _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                                                    _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'))));
        unsigned mask = (unsigned)_mm_movemask_epi8(special);
        if (mask != 0) {
            unsigned plain = (unsigned)__builtin_ctz(mask);
            *at += plain;
            return text + plain;
        }
        *at += 16;
        text += 16;
    }
#endif
    while (limit - text >= 8) {
        uint64_t word;
        memcpy(&word, text, sizeof(word));
        memcpy(*at, &word, sizeof(word));
        if (special_bytes8(word) != 0) {
            break;
        }
        *at += 8;
        text += 8;
    }
    while (text < limit && is_plain(*text)) {
        *(*at)++ = *text++;
    }
    return text;
}

void json_write_escaped(struct bytes *out, const char *text, size_t size)
{
    const uint8_t *from = (const uint8_t *)text;
    const uint8_t *end = from + size;
    while (from < end) {
        size_t left = (size_t)(end - from);
        const uint8_t *limit = from + (left < JSON_PIECE_SIZE ? left : JSON_PIECE_SIZE);
        /* The last sequence of a piece may reach 3 bytes into the next one. */
        uint8_t *at = json_room(out, (size_t)(limit - from) * ESCAPED_MAX + STEP);
        if (at == NULL) {
            return;
        }
        while (from < limit) {
            from = copy_plain(from, limit, &at);
            from = escape_run(from, limit, end, &at);
        }
        json_done(out, at);
    }
}

void json_write_string(struct bytes *out, const char *text, size_t size)
{
    bytes_append_char(out, '"');
    json_write_escaped(out, text, size);
    bytes_append_char(out, '"');
}

static inline bool is_digit(uint8_t byte)
{
    return (uint8_t)(byte - '0') < 10;
}

/* Returns the end of the digits at `at`. */
static const uint8_t *skip_digits(const uint8_t *at, const uint8_t *end)
{
    while (at < end && is_digit(*at)) {
        at++;
    }
    return at;
}

/* Returns the end of the longest JSON number at `at`, or NULL if there is none. */
static const uint8_t *skip_number(const uint8_t *at, const uint8_t *end)
{
    at += at < end && *at == '-' ? 1 : 0;
    if (at == end || !is_digit(*at)) {
        return NULL;
    }
    at = *at == '0' ? at + 1 : skip_digits(at, end);
    if (at < end && *at == '.') {
        const uint8_t *fraction = skip_digits(at + 1, end);
        if (fraction == at + 1) {
            return NULL;
        }
        at = fraction;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < end && (*at == '+' || *at == '-') ? 1 : 0;
        const uint8_t *exponent = skip_digits(at, end);
        return exponent == at ? NULL : exponent;
    }
    return at;
}

bool json_number_valid(const char *text, size_t size)
{
    const uint8_t *end = (const uint8_t *)text + size;
    return skip_number((const uint8_t *)text, end) == end;
}

static inline uint8_t *digits_pair(uint8_t *at, unsigned pair)
{
    at[0] = (uint8_t)('0' + pair / 10);
    at[1] = (uint8_t)('0' + pair % 10);
    return at;
}

uint8_t *json_write_u64(uint8_t *at, uint64_t number)
{
    uint8_t digits[20];
    uint8_t *first = digits + sizeof(digits);
    while (number >= 100) {
        first = digits_pair(first - 2, (unsigned)(number % 100));
        number /= 100;
    }
    if (number >= 10) {
        first = digits_pair(first - 2, (unsigned)number);
    } else {
        *--first = (uint8_t)('0' + number);
    }
    size_t size = (size_t)(digits + sizeof(digits) - first);
    memcpy(at, first, size);
    return at + size;
}

uint8_t *json_write_hex(uint8_t *at, uint64_t number, unsigned width)
{
    unsigned needed = number == 0 ? 1 : (unsigned)(67 - __builtin_clzll(number)) / 4;
    width = needed > width ? needed : width;
    for (unsigned i = width; i > 0; i--) {
        at[i - 1] = (uint8_t)hex_digits[number & 15];
        number >>= 4;
    }
    return at + width;
}
