/*
 * embed.c - json_write_embedded(): checks a JSON text and copies it without white space, in one pass.
 *
 * A machine of four states instead of a recursive descent, because nesting is up to whoever wrote
 * the value. PostgreSQL has checked the text on its way in, so a fault means that the column is
 * not what the catalog says; the caller then writes the text as a string.
 */
#include "base/utf8.h"
#include "encode/json.h"

enum state {
    WANT_VALUE,        /* behind a colon, behind a comma of an array, at the start */
    WANT_VALUE_OR_END, /* behind [ */
    WANT_NAME,         /* behind a comma of an object */
    WANT_NAME_OR_END,  /* behind { */
    WANT_COLON,
    WANT_COMMA_OR_END, /* behind a value */
};

struct embed {
    const uint8_t *at;
    const uint8_t *end;
    uint8_t *out;
    enum state state;
    size_t depth;
    bool repair;                           /* there is room to replace bytes that are not UTF-8 */
    bool broken_utf8;                      /* met one without room */
    uint64_t objects[JSON_DEPTH_MAX / 64]; /* bit d: the container at depth d is an object */
};

static inline bool in_object(const struct embed *embed)
{
    return embed->objects[embed->depth / 64] >> (embed->depth % 64) & 1;
}

static bool open_container(struct embed *embed, bool object)
{
    if (++embed->depth == JSON_DEPTH_MAX) {
        return false;
    }
    uint64_t bit = (uint64_t)1 << (embed->depth % 64);
    uint64_t *word = &embed->objects[embed->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    embed->state = object ? WANT_NAME_OR_END : WANT_VALUE_OR_END;
    return true;
}

static bool close_container(struct embed *embed, bool object)
{
    bool may_end = embed->state == WANT_COMMA_OR_END ||
                   embed->state == (object ? WANT_NAME_OR_END : WANT_VALUE_OR_END);
    if (!may_end || embed->depth == 0 || in_object(embed) != object) {
        return false;
    }
    embed->depth--;
    embed->state = WANT_COMMA_OR_END;
    return true;
}

static bool is_hex(uint8_t byte)
{
    uint8_t lower = byte | 0x20;
    return (byte >= '0' && byte <= '9') || (lower >= 'a' && lower <= 'f');
}

static bool is_escape(uint8_t byte)
{
    switch (byte) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
    case 'u':
        return true;
    default:
        return false;
    }
}

/* Copies the escape at the reader's place; false if JSON has no such escape. */
static bool copy_escape(struct embed *embed)
{
    size_t left = (size_t)(embed->end - embed->at);
    size_t size = left >= 2 && embed->at[1] == 'u' ? 6 : 2;
    if (left < size || !is_escape(embed->at[1])) {
        return false;
    }
    for (size_t i = 2; i < size; i++) {
        if (!is_hex(embed->at[i])) {
            return false;
        }
    }
    memcpy(embed->out, embed->at, size);
    embed->out += size;
    embed->at += size;
    return true;
}

/* Copies the character at the reader's place, which is not ASCII. */
static bool copy_multibyte(struct embed *embed)
{
    size_t length = utf8_sequence(embed->at, (size_t)(embed->end - embed->at));
    if (length == 0 && !embed->repair) {
        embed->broken_utf8 = true;
        return false;
    }
    memcpy(embed->out, length == 0 ? (const uint8_t *)"\xef\xbf\xbd" : embed->at,
           length == 0 ? 3 : length);
    embed->out += length == 0 ? 3 : length;
    embed->at += length == 0 ? 1 : length;
    return true;
}

/* Copies the string whose opening quote is at the reader's place. */
static bool copy_string(struct embed *embed)
{
    *embed->out++ = *embed->at++;
    while (embed->at < embed->end) {
        uint8_t byte = *embed->at;
        if (byte == '"') {
            *embed->out++ = *embed->at++;
            return true;
        }
        bool ok = true;
        if (byte == '\\') {
            ok = copy_escape(embed);
        } else if (byte >= 0x80) {
            ok = copy_multibyte(embed);
        } else if (byte < 0x20) {
            ok = false;
        } else {
            *embed->out++ = *embed->at++;
        }
        if (!ok) {
            return false;
        }
    }
    return false;
}

static bool copy_word(struct embed *embed, const char *word, size_t size)
{
    if ((size_t)(embed->end - embed->at) < size || memcmp(embed->at, word, size) != 0) {
        return false;
    }
    memcpy(embed->out, word, size);
    embed->out += size;
    embed->at += size;
    return true;
}

static bool copy_number(struct embed *embed)
{
    const uint8_t *start = embed->at;
    const uint8_t *at = start;
    while (at < embed->end && (is_hex(*at) || *at == '+' || *at == '-' || *at == '.')) {
        at++; /* every character that a number may hold, and no separator */
    }
    size_t size = (size_t)(at - start);
    if (!json_number_valid((const char *)start, size)) {
        return false;
    }
    memcpy(embed->out, start, size);
    embed->out += size;
    embed->at = at;
    return true;
}

/* Copies a string, number or word; as a name when one is wanted. */
static bool copy_scalar(struct embed *embed)
{
    bool name = embed->state == WANT_NAME || embed->state == WANT_NAME_OR_END;
    bool value = embed->state == WANT_VALUE || embed->state == WANT_VALUE_OR_END;
    embed->state = name ? WANT_COLON : WANT_COMMA_OR_END;
    switch (*embed->at) {
    case '"':
        return (name || value) && copy_string(embed);
    case 't':
        return value && copy_word(embed, "true", 4);
    case 'f':
        return value && copy_word(embed, "false", 5);
    case 'n':
        return value && copy_word(embed, "null", 4);
    default:
        return value && copy_number(embed);
    }
}

/* Copies the token at the reader's place; false if it may not stand there. */
static bool copy_token(struct embed *embed)
{
    uint8_t byte = *embed->at;
    bool ok;
    switch (byte) {
    case '{':
    case '[':
        ok = (embed->state == WANT_VALUE || embed->state == WANT_VALUE_OR_END) &&
             open_container(embed, byte == '{');
        break;
    case '}':
    case ']':
        ok = close_container(embed, byte == '}');
        break;
    case ':':
        ok = embed->state == WANT_COLON;
        embed->state = WANT_VALUE;
        break;
    case ',':
        ok = embed->state == WANT_COMMA_OR_END && embed->depth > 0;
        embed->state = in_object(embed) ? WANT_NAME : WANT_VALUE;
        break;
    default:
        return copy_scalar(embed);
    }
    *embed->out++ = byte;
    embed->at++;
    return ok;
}

static bool embed_run(struct embed *embed)
{
    while (embed->at < embed->end) {
        uint8_t byte = *embed->at;
        if (byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r') {
            embed->at++;
        } else if (!copy_token(embed)) {
            return false;
        }
    }
    return embed->depth == 0 && embed->state == WANT_COMMA_OR_END;
}

bool json_write_embedded(struct bytes *out, const char *text, size_t size)
{
    struct embed embed; /* the depth bits are set before they are read */
    embed.repair = false;
    for (;;) {
        embed.at = (const uint8_t *)text;
        embed.end = embed.at + size;
        embed.state = WANT_VALUE;
        embed.depth = 0;
        embed.objects[0] = 0;
        embed.broken_utf8 = false;
        /* Without a repair the output is never longer than the text. */
        embed.out = json_room(out, (embed.repair ? 3 : 1) * size + 1);
        if (embed.out == NULL) {
            return true; /* the buffer has failed, which the caller finds there */
        }
        if (embed_run(&embed)) {
            json_done(out, embed.out);
            return true;
        }
        if (!embed.broken_utf8) {
            return false;
        }
        embed.repair = true;
    }
}
