#include "encode/debezium_default.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "encode/debezium_value.h"
#include "encode/json.h"

enum { OID_BOOL = 16, OID_BIT = 1560 };

/* The types that Debezium has defaults of, and what stands there for a function; NULL: nothing. */
static const struct {
    uint32_t oid;
    const char *of_function;
} types[] = {
    {OID_BOOL, "f"},
    {20, "0"},                        /* int8 */
    {21, "0"},                        /* int2 */
    {23, "0"},                        /* int4 */
    {25, ""},                         /* text */
    {114, "{}"},                      /* json */
    {142, ""},                        /* xml */
    {700, "0"},                       /* float4 */
    {701, "0"},                       /* float8 */
    {1042, ""},                       /* bpchar */
    {1043, ""},                       /* varchar */
    {1082, "1970-01-01"},             /* date */
    {1083, "00:00:00"},               /* time */
    {1114, "1970-01-01 00:00:00"},    /* timestamp */
    {1184, "1970-01-01 00:00:00+00"}, /* timestamptz */
    {1186, "PT0S"},                   /* interval */
    {OID_BIT, NULL},
    {1562, "0"}, /* varbit */
    {1700, "0"}, /* numeric */
    {2950, "00000000-0000-0000-0000-000000000000"},
    {3802, "{}"}, /* jsonb */
};

/* A piece of an expression. */
struct span {
    const char *text;
    size_t size;
};

static bool begins_with(struct span span, const char *prefix)
{
    return span.size >= strlen(prefix) && memcmp(span.text, prefix, strlen(prefix)) == 0;
}

/* The index behind the quoted text that begins at `at`, or the span's size if it does not end. */
static size_t quoted_end(struct span span, size_t at, bool escapes)
{
    const char quote = span.text[at++];
    while (at < span.size) {
        if (escapes && span.text[at] == '\\') {
            at += 2;
        } else if (span.text[at++] == quote) {
            if (at == span.size || span.text[at] != quote) {
                return at;
            }
            at++; /* a doubled one stands for itself */
        }
    }
    return span.size;
}

/* Without parentheses around all of it. */
static struct span inside(struct span span)
{
    while (span.size >= 2 && span.text[0] == '(' && span.text[span.size - 1] == ')') {
        size_t depth = 0;
        for (size_t at = 0; at < span.size - 1;) {
            char here = span.text[at];
            if (here == '\'' || here == '"') {
                at = quoted_end(span, at, at > 0 && span.text[at - 1] == 'E');
                continue;
            }
            depth += here == '(';
            depth -= here == ')';
            at++;
            if (depth == 0) {
                return span; /* the first one ends before the last */
            }
        }
        span = (struct span){span.text + 1, span.size - 2};
    }
    return span;
}

/* Whether it is nothing, or one cast: a second one could change the text. */
static bool is_cast(struct span span)
{
    if (span.size == 0) {
        return true;
    }
    if (!begins_with(span, "::")) {
        return false;
    }
    for (size_t at = 2; at < span.size;) {
        char here = span.text[at];
        if (here == '"') {
            at = quoted_end(span, at, false);
        } else if (here == ':' || here == '\'' || here == '|') {
            return false;
        } else {
            at++;
        }
    }
    return true;
}

/* 'text'::type, E'text' with backslashes, B'0101' */
static bool write_quoted(struct span span, struct bytes *out)
{
    bool escapes = span.text[0] == 'E';
    size_t begin = span.text[0] == '\'' ? 0 : 1;
    if (span.size < begin + 2 || span.text[begin] != '\'') {
        return false;
    }
    size_t end = quoted_end(span, begin, escapes);
    if (end > span.size || span.text[end - 1] != '\'' ||
        !is_cast((struct span){span.text + end, span.size - end})) {
        return false;
    }
    for (size_t at = begin + 1; at < end - 1; at++) {
        bool doubled = span.text[at] == '\'' || (escapes && span.text[at] == '\\');
        at += doubled; /* the server writes no other escapes */
        bytes_append_char(out, span.text[at]);
    }
    return true;
}

static bool is_name_part(char character)
{
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
           (character >= '0' && character <= '9') || character == '_' || character == '.';
}

/* As Debezium tells them: name(...) at the begin, or one of the words of SQL for the time. */
static bool is_function(struct span span)
{
    static const char *const words[] = {"CURRENT_TIMESTAMP", "CURRENT_TIME", "CURRENT_DATE",
                                        "LOCALTIME", "LOCALTIMESTAMP"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (span.size == strlen(words[i]) && strncasecmp(span.text, words[i], span.size) == 0) {
            return true;
        }
    }
    size_t at = 0;
    while (at < span.size && is_name_part(span.text[at])) {
        at++;
    }
    return at > 0 && at < span.size && span.text[at] == '(' &&
           memchr(span.text + at, ')', span.size - at) != NULL;
}

bool debezium_default_text(const struct relation_column *column, struct bytes *out)
{
    const char *expression = column->default_text;
    bool is_enum = column->type.family == TYPE_FAMILY_ENUM && column->type.kind != TYPE_ARRAY &&
                   column->type.oid == column->type_oid;
    size_t type = 0;
    while (type < sizeof(types) / sizeof(types[0]) && types[type].oid != column->type_oid) {
        type++;
    }
    bool known = type < sizeof(types) / sizeof(types[0]);
    if (expression == NULL || (!known && !is_enum)) {
        return false;
    }
    struct span span = inside((struct span){expression, strlen(expression)});
    if (span.size > 0 && (strchr("'EB", span.text[0]) != NULL) && write_quoted(span, out)) {
        return true;
    }
    if (is_enum || span.size == 0) {
        return false;
    }
    if (is_function(span)) {
        bytes_append_text(out, types[type].of_function != NULL ? types[type].of_function : "");
        return types[type].of_function != NULL;
    }
    if (column->type_oid == OID_BOOL) {
        bool yes = span.size == 4 && memcmp(span.text, "true", 4) == 0;
        bytes_append_char(out, yes ? 't' : 'f');
        return yes || (span.size == 5 && memcmp(span.text, "false", 5) == 0);
    }
    bytes_append(out, span.text, span.size);
    return json_number_valid(span.text, span.size);
}

/* Whether the text is an integer of so many bits. */
static bool is_integer(const char *text, int bits)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    long long limit = bits == 64 ? INT64_MAX : (1LL << (bits - 1)) - 1;
    return errno == 0 && *end == '\0' && end != text && number <= limit && number >= -limit - 1;
}

/* As many digits behind the point as the column has. */
static bool pad(const struct debezium_column *column, struct bytes *text)
{
    const uint8_t *point = memchr(text->data, '.', text->size);
    size_t digits = point == NULL ? 0 : text->size - (size_t)(point + 1 - text->data);
    if (column->scale < 0 || digits > (size_t)column->scale) {
        return false;
    }
    if (point == NULL && column->scale > 0) {
        bytes_append_char(text, '.');
    }
    for (size_t more = (size_t)column->scale - digits; more > 0; more--) {
        bytes_append_char(text, '0');
    }
    return true;
}

/* Whether the column can have the text as it stands; a decimal may be given zeros. */
static bool fits(const struct debezium_column *column, struct bytes *text)
{
    switch (column->kind) {
    case DEBEZIUM_INT16:
        return is_integer(bytes_text(text), 16);
    case DEBEZIUM_INT32:
        return is_integer(bytes_text(text), 32);
    case DEBEZIUM_INT64:
        return is_integer(bytes_text(text), 64);
    case DEBEZIUM_DECIMAL_AS_STRING: /* without a scale as it is */
        return json_number_valid(bytes_text(text), text->size) &&
               (column->precision <= 0 || pad(column, text));
    case DEBEZIUM_BITS: /* a cast to bit(n) does not show, and adds zeros */
        return column->column->type_oid != OID_BIT || text->size == (size_t)column->length;
    default:
        return true;
    }
}

/* A number that is no integer has a point, so that whoever reads it need not take it for one. */
static void write_point(const struct debezium_column *column, struct bytes *json)
{
    bool real = column->kind == DEBEZIUM_FLOAT32 || column->kind == DEBEZIUM_FLOAT64 ||
                column->kind == DEBEZIUM_DECIMAL_AS_DOUBLE ||
                column->kind == DEBEZIUM_MONEY_AS_DOUBLE;
    if (real && json->size > 0 && strspn(bytes_text(json), "-0123456789") == json->size) {
        BYTES_APPEND_LITERAL(json, ".0");
    }
}

static bool make(struct debezium_writer *writer, struct debezium_column *column, struct bytes *text,
                 struct bytes *json)
{
    bytes_clear(text);
    bytes_clear(json);
    writer->refusal = NULL;
    if (!debezium_default_text(column->column, text) || !fits(column, text)) {
        return bytes_ok(text);
    }
    const char *written = bytes_text(text);
    const struct row_value value = {
        .kind = ROW_TEXT, .text = written, .size = (uint32_t)text->size};
    debezium_value_write(writer, column, &value, json);
    write_point(column, json);
    if (!bytes_ok(text) || !bytes_ok(json) || writer->scratch_failed) {
        return false;
    }
    bool is_struct = json->size > 0 && json->data[0] == '{'; /* which Connect cannot have there */
    if (writer->refusal == NULL && !is_struct) {
        column->default_json = strdup(bytes_text(json));
        return column->default_json != NULL;
    }
    return true;
}

bool debezium_defaults_make(const struct debezium_settings *settings,
                            struct debezium_column *columns)
{
    enum { TEXT_MAX = 16 * RELATION_DEFAULT_MAX }; /* escaped, or padded to any scale */
    const struct encode_settings encode = {.special_values = SPECIAL_FAIL, .debezium = *settings};
    struct debezium_writer writer;
    struct bytes text;
    struct bytes json;
    bool ok = true;
    debezium_writer_init(&writer, &encode);
    bytes_init(&text, TEXT_MAX);
    bytes_init(&json, TEXT_MAX);
    for (size_t i = 0; columns[i].column != NULL && ok; i++) {
        ok = make(&writer, &columns[i], &text, &json);
    }
    bytes_release(&text);
    bytes_release(&json);
    debezium_writer_release(&writer);
    return ok;
}

void debezium_defaults_release(struct debezium_column *columns)
{
    for (size_t i = 0; columns[i].column != NULL; i++) {
        free(columns[i].default_json);
        columns[i].default_json = NULL;
    }
}
