/*
 * array.c - array_write(): PostgreSQL's array text as a JSON array.
 *
 * The form (PostgreSQL documentation, "Array Input and Output Syntax"): braces around elements
 * that stand apart by the type's delimiter, nested for each further dimension. An element is
 * NULL, bare text, or text in double quotes with backslashes before quotes and backslashes.
 * Bounds other than 1 stand in front as [2:3]=.
 */
#include "encode/json.h"
#include "encode/value.h"

enum {
    DIMENSIONS_MAX = 6, /* PostgreSQL's MAXDIM */
    SCRATCH_KEPT_MAX = 1024 * 1024,
};

struct array {
    struct value_writer *writer;
    const struct type_info *type;
    const char *at;
    const char *end;
    struct bytes *out;
};

/* Removes the backslashes of [text, end) into the scratch memory. */
static bool element_unescape(struct value_writer *writer, const char *text, const char *end)
{
    struct bytes *scratch = &writer->scratch;
    bytes_clear(scratch);
    uint8_t *to = json_room(scratch, (size_t)(end - text));
    if (to == NULL) {
        writer->scratch_failed = true;
        return false;
    }
    while (text < end) {
        text += *text == '\\' ? 1 : 0; /* its partner is before `end`: the caller has checked */
        *to++ = (uint8_t)*text++;
    }
    json_done(scratch, to);
    return true;
}

/* Writes the element whose opening quote is at the reader's place. */
static bool write_quoted(struct array *array)
{
    const char *start = array->at + 1;
    const char *at = start;
    bool escaped = false;
    while (at < array->end && *at != '"') {
        escaped = escaped || *at == '\\';
        at += *at == '\\' ? 2 : 1;
    }
    if (at >= array->end) {
        return false;
    }
    array->at = at + 1;
    size_t size = (size_t)(at - start);
    if (escaped) {
        if (!element_unescape(array->writer, start, at)) {
            return false;
        }
        start = (const char *)array->writer->scratch.data;
        size = array->writer->scratch.size;
    }
    value_write_scalar(array->writer, array->type->element, start, size, array->out);
    return true;
}

/* Writes the bare element at the reader's place, which ends at a delimiter or brace. */
static bool write_bare(struct array *array)
{
    const char *start = array->at;
    const char *at = start;
    while (at < array->end && *at != array->type->delimiter && *at != '}') {
        if (*at == '{' || *at == '"' || *at == '\\') {
            return false;
        }
        at++;
    }
    size_t size = (size_t)(at - start);
    if (size == 0) {
        return false;
    }
    array->at = at;
    if (size == 4 && memcmp(start, "NULL", 4) == 0) {
        BYTES_APPEND_LITERAL(array->out, "null");
    } else {
        value_write_scalar(array->writer, array->type->element, start, size, array->out);
    }
    return true;
}

/*
 * Between tokens the reader is either where an element or a brace opens (`open`), or behind one.
 * Returns true when the outermost brace closes with the end of the text.
 */
static bool array_run(struct array *array)
{
    unsigned depth = 0;
    bool open = true;
    bool may_close = false; /* directly behind an opening brace */
    while (array->at < array->end) {
        char token = *array->at;
        if (open && token == '{' && depth < DIMENSIONS_MAX) {
            depth++;
            bytes_append_char(array->out, '[');
            array->at++;
            may_close = true;
        } else if (token == '}' && depth > 0 && (!open || may_close)) {
            depth--;
            bytes_append_char(array->out, ']');
            array->at++;
            open = false;
            if (depth == 0) {
                return array->at == array->end;
            }
        } else if (!open && token == array->type->delimiter) {
            bytes_append_char(array->out, ',');
            array->at++;
            open = true;
            may_close = false;
        } else if (open && depth > 0 && token != '{' && token != '}') {
            if (!(token == '"' ? write_quoted(array) : write_bare(array))) {
                return false;
            }
            open = false;
        } else {
            return false;
        }
    }
    return false;
}

bool array_write(struct value_writer *writer, const struct type_info *type, const char *text,
                 size_t size, struct bytes *out)
{
    size_t start = out->size;
    bool refused = writer->refused;
    struct array array = {
        .writer = writer, .type = type, .at = text, .end = text + size, .out = out};
    bool ok = array_run(&array);
    if (writer->scratch.capacity > SCRATCH_KEPT_MAX) {
        bytes_release(&writer->scratch);
    }
    if (ok) {
        return true;
    }
    writer->refused = refused;
    if (bytes_ok(out)) {
        bytes_truncate(out, start);
    }
    return false;
}
