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
    at = JSON_WRITE_LITERAL(at, "u00");
    at[0] = (uint8_t)hex_digits[byte >> 4];
    at[1] = (uint8_t)hex_digits[byte & 15];
    return at + 2;
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
            *at = JSON_WRITE_LITERAL(*at, "\xef\xbf\xbd");
            text++;
            continue;
        }
        *at = json_write_raw(*at, text, length);
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

/*
 * Copies blocks of 16 bytes that begin before `limit`, as long as they are plain; the caller
 * vouches that the last one may be read. Returns the first byte that is not copied.
 */
static inline const uint8_t *copy_plain16(const uint8_t *text, const uint8_t *limit, uint8_t **at)
{
    while (text < limit) {
#if defined(__SSE2__)
        __m128i block = _mm_loadu_si128((const __m128i *)(const void *)text);
        _mm_storeu_si128((__m128i *)(void *)*at, block);
        /* Signed: 0x80 to 0xff are below 0x20, too. */
        __m128i special = _mm_or_si128(_mm_cmplt_epi8(block, _mm_set1_epi8(0x20)),
                                       _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('"')),
                                                    _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'))));
        unsigned mask = (unsigned)_mm_movemask_epi8(special);
        if (mask != 0) {
            unsigned plain = (unsigned)__builtin_ctz(mask);
            *at += plain;
            return text + plain;
        }
#else
        uint64_t words[2];
        memcpy(words, text, sizeof(words));
        memcpy(*at, words, sizeof(words));
        if ((special_bytes8(words[0]) | special_bytes8(words[1])) != 0) {
            return text;
        }
#endif
        *at += 16;
        text += 16;
    }
    return text;
}

/* Copies what is plain. Returns the first byte that is not. */
static inline const uint8_t *copy_plain(const uint8_t *text, const uint8_t *limit, uint8_t **at)
{
    if (limit - text >= 16) {
        text = copy_plain16(text, limit - 15, at);
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

/* Copies 8 to 15 bytes as two words that overlap; true if all of them are plain. */
static inline bool copy_words8(uint8_t *at, const uint8_t *text, size_t size)
{
    uint64_t head;
    uint64_t tail;
    memcpy(&head, text, sizeof(head));
    memcpy(&tail, text + size - sizeof(tail), sizeof(tail));
    memcpy(at, &head, sizeof(head));
    memcpy(at + size - sizeof(tail), &tail, sizeof(tail));
    return (special_bytes8(head) | special_bytes8(tail)) == 0;
}

/* The same for 4 to 7 bytes. */
static inline bool copy_words4(uint8_t *at, const uint8_t *text, size_t size)
{
    uint32_t head;
    uint32_t tail;
    memcpy(&head, text, sizeof(head));
    memcpy(&tail, text + size - sizeof(tail), sizeof(tail));
    memcpy(at, &head, sizeof(head));
    memcpy(at + size - sizeof(tail), &tail, sizeof(tail));
    return special_bytes8((uint64_t)head << 32 | tail) == 0;
}

/*
 * Copies the whole text and returns true if it is plain; what was written is worthless otherwise.
 * Most values are short and plain, so the end is done with a word that overlaps what has been
 * copied instead of byte by byte.
 */
static inline bool copy_whole(uint8_t *at, const uint8_t *text, size_t size)
{
    if (size >= 16) {
        uint8_t *start = at;
        const uint8_t *last = text + size - 16;
        const uint8_t *stop = copy_plain16(text, last, &at);
        at = start + size - 16;
        return stop >= last && copy_plain16(last, last + 1, &at) == text + size;
    }
    if (size >= 8) {
        return copy_words8(at, text, size);
    }
    if (size >= 4) {
        return copy_words4(at, text, size);
    }
    for (size_t i = 0; i < size; i++) {
        if (!is_plain(text[i])) {
            return false;
        }
        at[i] = text[i];
    }
    return true;
}

void json_write_string(struct bytes *out, const char *text, size_t size)
{
    if (size <= JSON_PIECE_SIZE) {
        uint8_t *at = json_room(out, size * ESCAPED_MAX + STEP + 2);
        if (at == NULL) {
            return;
        }
        at[0] = '"';
        if (copy_whole(at + 1, (const uint8_t *)text, size)) {
            at[size + 1] = '"';
            json_done(out, at + size + 2);
            return;
        }
    }
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

bool json_write_number(struct bytes *out, const char *text, size_t size)
{
    uint8_t *at = json_room(out, size + 1);
    if (at == NULL) {
        return true; /* the buffer has failed, which the caller finds there */
    }
    /* Nearly all are a few digits without a sign: copied while they are looked at. */
    size_t digits = 0;
    while (digits < size && is_digit((uint8_t)text[digits])) {
        at[digits] = (uint8_t)text[digits];
        digits++;
    }
    if (digits < size || digits == 0 || (text[0] == '0' && size > 1)) {
        if (!json_number_valid(text, size)) {
            return false;
        }
        memcpy(at, text, size);
    }
    json_done(out, at + size);
    return true;
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

/*
 * Eight digits at once: spreads the nibbles over the bytes of a word, and lifts those above 9 by
 * the distance from '9' + 1 to 'a'.
 */
static uint8_t *write_hex8(uint8_t *at, uint32_t number)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t word = number;
    word = (word << 16 | word) & 0x0000ffff0000ffffu;
    word = (word << 8 | word) & 0x00ff00ff00ff00ffu;
    word = (word << 4 | word) & 0x0f0f0f0f0f0f0f0fu;
    uint64_t letters = (word + ones * 6) >> 4 & ones;
    word += ones * '0' + letters * ('a' - '9' - 1);
    word = __builtin_bswap64(word);
    memcpy(at, &word, sizeof(word));
    return at + sizeof(word);
}

uint8_t *json_write_hex(uint8_t *at, uint64_t number)
{
    if (number >> 32 != 0) {
        at = write_hex8(at, (uint32_t)(number >> 32));
    }
    return write_hex8(at, (uint32_t)number);
}
