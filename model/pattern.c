#include "model/pattern.h"

#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

#define WILDCARD '\xff'

static const char hint_forms[] =
    "write schema.table, or table for the schema public; % and * match any characters; put names "
    "with dots, capitals or spaces in double quotes, each part for itself: \"My Schema\".\"t.x\"";

static enum fan_status pattern_fault(struct fan_error *reterr, const char *text, const char *reason)
{
    enum fan_status status =
        fan_fail(reterr, FAN_FATAL, "cannot read table pattern \"%.200s\": %s", text, reason);
    fan_error_annotate(reterr, "PATTERN_INVALID", "%s", hint_forms);
    return status;
}

static bool is_wildcard(char character)
{
    return character == '%' || character == '*';
}

/* Appends one byte; a run of wildcards is one wildcard. False when the part is full. */
static bool part_append(struct pattern_part *part, char byte)
{
    if (byte == WILDCARD) {
        part->exact = false;
        if (part->size > 0 && part->text[part->size - 1] == WILDCARD) {
            return true;
        }
    }
    if (part->size == PATTERN_PART_MAX - 1) {
        return false;
    }
    part->text[part->size++] = byte;
    part->text[part->size] = '\0';
    return true;
}

static bool part_append_unquoted(struct pattern_part *part, char character)
{
    if (is_wildcard(character)) {
        return part_append(part, WILDCARD);
    }
    return part_append(part, character);
}

static const char fault_long[] = "a name is longer than 255 bytes";

/* Reads a part in double quotes and moves past it. Returns NULL, or the fault. */
static const char *part_parse_quoted(const char **text, struct pattern_part *part)
{
    const char *at = *text + 1;
    for (;; at++) {
        if (*at == '\0') {
            return "a double quote is not closed";
        }
        if (*at == '"' && *++at != '"') {
            break;
        }
        if (!part_append(part, *at)) {
            return fault_long;
        }
    }
    *text = at;
    return *at == '\0' || *at == '.' ? NULL : "text stands behind a closing double quote";
}

/* Reads a part without quotes up to its dot or the end. Returns NULL, or the fault. */
static const char *part_parse_plain(const char **text, struct pattern_part *part)
{
    const char *at = *text;
    for (; *at != '\0' && *at != '.'; at++) {
        if (*at == '"') {
            return "a double quote stands inside an unquoted name";
        }
        if (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r') {
            return "a blank stands outside double quotes";
        }
        char folded = *at;
        if (folded >= 'A' && folded <= 'Z') {
            folded = (char)(folded - 'A' + 'a');
        }
        if (!part_append_unquoted(part, folded)) {
            return fault_long;
        }
    }
    *text = at;
    return NULL;
}

static const char *part_parse(const char **text, struct pattern_part *ret_part)
{
    *ret_part = (struct pattern_part){.exact = true};
    const char *fault =
        **text == '"' ? part_parse_quoted(text, ret_part) : part_parse_plain(text, ret_part);
    return fault == NULL && ret_part->size == 0 ? "a name is empty" : fault;
}

enum fan_status pattern_parse(const char *text, struct pattern *ret_pattern,
                              struct fan_error *reterr)
{
    if (!utf8_valid((const uint8_t *)text, strlen(text))) {
        return pattern_fault(reterr, "...", "it is not UTF-8");
    }
    const char *at = text;
    struct pattern pattern;
    const char *fault = part_parse(&at, &pattern.schema);
    if (fault == NULL && *at == '.') {
        at++;
        fault = part_parse(&at, &pattern.table);
        if (fault == NULL && *at != '\0') {
            fault = "it has more than two parts";
        }
    } else if (fault == NULL) {
        pattern.table = pattern.schema;
        bool everything = pattern.table.size == 1 && pattern.table.text[0] == WILDCARD;
        if (!everything) {
            pattern.schema = (struct pattern_part){.text = "public", .size = 6, .exact = true};
        }
    }
    if (fault != NULL) {
        return pattern_fault(reterr, text, fault);
    }
    *ret_pattern = pattern;
    return FAN_OK;
}

enum fan_status pattern_parse_prefix(const char *text, struct pattern_part *ret_part,
                                     struct fan_error *reterr)
{
    struct pattern_part part = {.exact = true};
    bool fits = text[0] != '\0' && utf8_valid((const uint8_t *)text, strlen(text));
    for (const char *at = text; *at != '\0' && fits; at++) {
        fits = part_append_unquoted(&part, *at);
    }
    if (!fits) {
        enum fan_status status =
            fan_fail(reterr, FAN_FATAL,
                     "cannot read a message pattern: it is empty, longer than 255 bytes, or no "
                     "UTF-8");
        fan_error_annotate(reterr, "PATTERN_INVALID", "%s",
                           "write the prefix of the messages, such as app.events; % and * match "
                           "any characters");
        return status;
    }
    *ret_part = part;
    return FAN_OK;
}

/*
 * Greedy matching with one place to fall back to: when a later literal does not fit, the last
 * wildcard takes one character more. Earlier wildcards need no second try, because the last one
 * can take whatever they would.
 */
static bool part_match(const struct pattern_part *part, const char *name)
{
    const char *pattern = part->text;
    const char *retry_pattern = NULL;
    const char *retry_name = NULL;
    while (*name != '\0') {
        if (*pattern == WILDCARD) {
            retry_pattern = ++pattern;
            retry_name = name;
        } else if (*pattern == *name) {
            pattern++;
            name++;
        } else if (retry_pattern != NULL) {
            pattern = retry_pattern;
            name = ++retry_name;
        } else {
            return false;
        }
    }
    while (*pattern == WILDCARD) {
        pattern++;
    }
    return *pattern == '\0';
}

bool pattern_match(const struct pattern *pattern, const char *schema, const char *table)
{
    return part_match(&pattern->schema, schema) && part_match(&pattern->table, table);
}

bool pattern_is_exact(const struct pattern *pattern)
{
    return pattern->schema.exact && pattern->table.exact;
}

bool pattern_match_prefix(const struct pattern_part *part, const char *prefix)
{
    return part_match(part, prefix);
}
