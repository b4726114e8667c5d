/*
 * debezium_array.c - the texts that are made of quoted pieces: arrays of one dimension, and hstore.
 *
 * Both put a piece in double quotes with a backslash before quotes and backslashes. An array is
 * {a,NULL,"b c"}, with bounds other than 1 in front as [2:3]=; an hstore is "a"=>"b", "c"=>NULL.
 */
#include "encode/debezium_value.h"
#include "encode/json.h"

struct pieces {
    struct debezium_writer *writer;
    struct bytes *scratch; /* for a piece without its backslashes */
    const char *at;
    const char *end;
};

static bool take(struct pieces *pieces, const char *text)
{
    size_t size = strlen(text);
    if ((size_t)(pieces->end - pieces->at) < size || memcmp(pieces->at, text, size) != 0) {
        return false;
    }
    pieces->at += size;
    return true;
}

/* Copies [text, end) without its backslashes; the partner of each is before `end`. */
static bool unescape(struct pieces *pieces, const char *text, const char *end)
{
    bytes_clear(pieces->scratch);
    uint8_t *to = json_room(pieces->scratch, (size_t)(end - text));
    if (to == NULL) {
        pieces->writer->scratch_failed = true;
        return false;
    }
    while (text < end) {
        text += *text == '\\' ? 1 : 0;
        *to++ = (uint8_t)*text++;
    }
    json_done(pieces->scratch, to);
    return true;
}

/* Takes the piece whose opening quote is at the reader's place. It lives until the next one. */
static bool take_quoted(struct pieces *pieces, const char **ret_text, size_t *ret_size)
{
    const char *start = pieces->at + 1;
    const char *at = start;
    bool escaped = false;
    while (at < pieces->end && *at != '"') {
        escaped = escaped || *at == '\\';
        at += *at == '\\' ? 2 : 1;
    }
    if (at >= pieces->end) {
        return false;
    }
    pieces->at = at + 1;
    *ret_text = start;
    *ret_size = (size_t)(at - start);
    if (escaped) {
        if (!unescape(pieces, start, at)) {
            return false;
        }
        *ret_text = (const char *)pieces->scratch->data;
        *ret_size = pieces->scratch->size;
    }
    return true;
}

/* Takes the bare piece at the reader's place, which ends at the delimiter or the brace. */
static bool take_bare(struct pieces *pieces, char delimiter, const char **ret_text,
                      size_t *ret_size)
{
    const char *start = pieces->at;
    while (pieces->at < pieces->end && *pieces->at != delimiter && *pieces->at != '}') {
        if (*pieces->at == '{' || *pieces->at == '"' || *pieces->at == '\\') {
            return false;
        }
        pieces->at++;
    }
    *ret_text = start;
    *ret_size = (size_t)(pieces->at - start);
    return *ret_size > 0;
}

static bool write_element(struct pieces *pieces, const struct debezium_column *column,
                          struct bytes *out)
{
    const char *text;
    size_t size;
    if (pieces->at < pieces->end && *pieces->at == '"') {
        if (!take_quoted(pieces, &text, &size)) {
            return false;
        }
        debezium_scalar_write(pieces->writer, column, column->element, text, size, out);
        return true;
    }
    if (!take_bare(pieces, column->column->type.delimiter, &text, &size)) {
        return false;
    }
    if (size == 4 && memcmp(text, "NULL", 4) == 0) {
        BYTES_APPEND_LITERAL(out, "null");
    } else {
        debezium_scalar_write(pieces->writer, column, column->element, text, size, out);
    }
    return true;
}

bool debezium_array_write(struct debezium_writer *writer, const struct debezium_column *column,
                          const char *text, size_t size, struct bytes *out)
{
    struct pieces pieces = {
        .writer = writer, .scratch = &writer->scratch, .at = text, .end = text + size};
    const char delimiter[] = {column->column->type.delimiter, '\0'};
    if (size > 0 && text[0] == '[') {
        const char *equals = memchr(text, '=', size);
        pieces.at = equals != NULL ? equals + 1 : pieces.at;
    }
    if (!take(&pieces, "{")) {
        return false;
    }
    bytes_append_char(out, '[');
    if (!take(&pieces, "}")) {
        if (!write_element(&pieces, column, out)) {
            return false;
        }
        while (take(&pieces, delimiter)) {
            bytes_append_char(out, ',');
            if (!write_element(&pieces, column, out)) {
                return false;
            }
        }
        if (!take(&pieces, "}")) {
            return false;
        }
    }
    bytes_append_char(out, ']');
    return pieces.at == pieces.end;
}

static bool write_pair(struct pieces *pieces, struct bytes *out)
{
    const char *text;
    size_t size;
    if (pieces->at == pieces->end || *pieces->at != '"' || !take_quoted(pieces, &text, &size)) {
        return false;
    }
    json_write_string(out, text, size);
    bytes_append_char(out, ':');
    if (!take(pieces, "=>")) {
        return false;
    }
    if (take(pieces, "NULL")) {
        BYTES_APPEND_LITERAL(out, "null");
        return true;
    }
    if (pieces->at == pieces->end || *pieces->at != '"' || !take_quoted(pieces, &text, &size)) {
        return false;
    }
    json_write_string(out, text, size);
    return true;
}

bool debezium_hstore_write(struct debezium_writer *writer, const char *text, size_t size,
                           struct bytes *out)
{
    struct pieces pieces = {
        .writer = writer, .scratch = &writer->inner, .at = text, .end = text + size};
    bytes_append_char(out, '{');
    if (size > 0) {
        if (!write_pair(&pieces, out)) {
            return false;
        }
        while (take(&pieces, ", ")) {
            bytes_append_char(out, ',');
            if (!write_pair(&pieces, out)) {
                return false;
            }
        }
    }
    bytes_append_char(out, '}');
    return pieces.at == pieces.end;
}
