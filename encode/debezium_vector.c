/*
 * debezium_vector.c - the types of pgvector: arrays of numbers, and a sparse one as a struct.
 *
 * A vector and a halfvec are [1,2.5], a sparsevec is {1:2.5,7:3}/9, with its dimensions at the end.
 * The numbers stay in the digits that they have. Debezium's struct counts dimensions in 16 bits. Its
 * map has numbers as keys, so that Connect's JSON writes it as an array of pairs.
 */
#include "encode/debezium_internal.h"
#include "encode/json.h"

enum { INDEX_DIGITS_MAX = 10 };

static const char why_dimensions[] =
    "a sparsevec has more than 32767 dimensions, which Debezium's schema has no number for";

struct cursor {
    const char *at;
    const char *end;
};

static bool take(struct cursor *cursor, char wanted)
{
    if (cursor->at == cursor->end || *cursor->at != wanted) {
        return false;
    }
    cursor->at++;
    return true;
}

/* Takes a number that ends at a comma or at `end`, and appends it. */
static bool take_number(struct cursor *cursor, char end, struct bytes *out)
{
    const char *start = cursor->at;
    while (cursor->at < cursor->end && *cursor->at != ',' && *cursor->at != end) {
        cursor->at++;
    }
    return json_write_number(out, start, (size_t)(cursor->at - start));
}

/* Takes digits; more of them than fit are any number that is too large. */
static bool take_index(struct cursor *cursor, int64_t *ret_index)
{
    const char *start = cursor->at;
    int64_t index = 0;
    while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9' &&
           cursor->at - start < INDEX_DIGITS_MAX) {
        index = index * 10 + (*cursor->at++ - '0');
    }
    *ret_index = index;
    return cursor->at > start;
}

static bool write_dense(struct cursor cursor, struct bytes *out)
{
    if (!take(&cursor, '[')) {
        return false;
    }
    bytes_append_char(out, '[');
    if (!take_number(&cursor, ']', out)) {
        return false;
    }
    while (take(&cursor, ',')) {
        bytes_append_char(out, ',');
        if (!take_number(&cursor, ']', out)) {
            return false;
        }
    }
    bytes_append_char(out, ']');
    return take(&cursor, ']') && cursor.at == cursor.end;
}

/* One 1:2.5 as [1,2.5]. */
static bool write_pair(struct cursor *cursor, int64_t dimensions, struct bytes *out)
{
    int64_t index;
    if (!take_index(cursor, &index) || index > dimensions || !take(cursor, ':')) {
        return false;
    }
    bytes_append_char(out, '[');
    debezium_int64_write(index, out);
    bytes_append_char(out, ',');
    bool ok = take_number(cursor, '}', out);
    bytes_append_char(out, ']');
    return ok;
}

static bool write_sparse(struct cursor cursor, int64_t dimensions, struct bytes *out)
{
    BYTES_APPEND_LITERAL(out, "{\"dimensions\":");
    debezium_int64_write(dimensions, out);
    BYTES_APPEND_LITERAL(out, ",\"vector\":[");
    if (!take(&cursor, '{')) {
        return false;
    }
    if (!take(&cursor, '}')) {
        if (!write_pair(&cursor, dimensions, out)) {
            return false;
        }
        while (take(&cursor, ',')) {
            bytes_append_char(out, ',');
            if (!write_pair(&cursor, dimensions, out)) {
                return false;
            }
        }
        if (!take(&cursor, '}')) {
            return false;
        }
    }
    BYTES_APPEND_LITERAL(out, "]}");
    return cursor.at == cursor.end;
}

/* Cuts the dimensions off the end of the text. */
static bool cut_dimensions(struct cursor *cursor, int64_t *ret_dimensions)
{
    const char *slash = cursor->end;
    while (slash > cursor->at && slash[-1] >= '0' && slash[-1] <= '9') {
        slash--;
    }
    struct cursor digits = {slash, cursor->end};
    if (slash == cursor->at || slash[-1] != '/' || !take_index(&digits, ret_dimensions) ||
        digits.at != digits.end) {
        return false;
    }
    cursor->end = slash - 1;
    return true;
}

void debezium_vector_write(struct debezium_writer *writer, const struct debezium_column *column,
                           enum debezium_kind kind, const char *text, size_t size,
                           struct bytes *out)
{
    struct cursor cursor = {text, text + size};
    size_t start = out->size;
    int64_t dimensions = 0;
    bool ok = kind != DEBEZIUM_SPARSE_VECTOR || cut_dimensions(&cursor, &dimensions);
    if (ok && dimensions > INT16_MAX) {
        debezium_refuse(writer, column, why_dimensions, NULL, text, size, out);
        return;
    }
    ok = ok && (kind == DEBEZIUM_SPARSE_VECTOR ? write_sparse(cursor, dimensions, out)
                                               : write_dense(cursor, out));
    if (!ok) {
        if (bytes_ok(out)) {
            bytes_truncate(out, start);
        }
        debezium_refuse_form(writer, column, text, size, out);
    }
}
