#include "conf/print.h"

#include <inttypes.h>
#include <string.h>

#include "base/secret.h"
#include "conf/dsn.h"
#include "conf/scalar.h"
#include "conf/tables.h"
#include "conf/value.h"

/* Both forms in one walk: the recursion goes over our tables, which are few and fixed. */
struct printer {
    struct bytes *out;
    bool json;
    unsigned indent;
    bool first;    /* nothing stands in the current JSON object or list yet */
    bool in_place; /* YAML: the next key stands behind a "- " already written */
};

static void print_section(struct printer *printer, const struct conf_table *table,
                          const void *section);

static void indent(struct printer *printer)
{
    for (unsigned i = 0; i < printer->indent; i++) {
        BYTES_APPEND_LITERAL(printer->out, "  ");
    }
}

static bool is_plain(const char *text)
{
    static const char *const words[] = {"true",  "false", "null", "Null", "NULL", "True", "TRUE",
                                        "False", "FALSE", "yes",  "no",   "on",   "off"};
    for (size_t i = 0; i < CONF_COUNT(words); i++) {
        if (strcmp(words[i], text) == 0) {
            return false;
        }
    }
    if (text[strspn(text, "0123456789.eE+-_xo")] == '\0') {
        return false; /* other readers would take it for a number */
    }
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                 "_./+-");
    return length > 0 && text[length] == '\0' && strchr("-.+", text[0]) == NULL;
}

/* A text that reads back as itself: `${` would be expanded, but for the names of a template. */
static void print_template(struct printer *printer, const char *text, bool templated)
{
    struct bytes escaped;
    bytes_init(&escaped, printer->out->size_max);
    for (const char *at = text; *at != '\0'; at++) {
        if (at[0] == '$' && at[1] == '{' && !templated) {
            bytes_append_char(&escaped, '$');
        }
        bytes_append_char(&escaped, *at);
    }
    if (!printer->json && is_plain(text)) {
        bytes_append_text(printer->out, text);
    } else {
        bytes_append_json_string(printer->out, (const char *)escaped.data, escaped.size);
    }
    printer->out->failed = printer->out->failed || escaped.failed;
    bytes_release(&escaped);
}

static void print_text(struct printer *printer, const char *text)
{
    print_template(printer, text, false);
}

static void print_key(struct printer *printer, const char *key)
{
    if (printer->json) {
        if (!printer->first) {
            bytes_append_char(printer->out, ',');
        }
        bytes_append_json_string(printer->out, key, strlen(key));
        bytes_append_char(printer->out, ':');
    } else {
        if (!printer->in_place) {
            indent(printer);
        }
        if (is_plain(key)) {
            bytes_append_text(printer->out, key);
        } else {
            bytes_append_json_string(printer->out, key, strlen(key));
        }
        bytes_append_char(printer->out, ':');
    }
    printer->first = false;
    printer->in_place = false;
}

static void print_secret(struct printer *printer, const struct conf_option *option,
                         const struct secret *secret)
{
    struct bytes masked;
    bytes_init(&masked, (size_t)EXPANSION_MAX * 2);
    if (conf_option_is_dsn(option)) {
        dsn_append_masked(&masked, secret_reveal(secret));
    } else {
        bytes_append_text(&masked, SECRET_MASK);
    }
    print_text(printer, bytes_text(&masked));
    bytes_release(&masked);
}

static const char *choice_name(const struct conf_option *option, int value)
{
    for (const struct conf_choice *choice = option->choices; choice->name != NULL; choice++) {
        if (choice->value == value && value != CONF_CHOICE_UNAVAILABLE) {
            return choice->name;
        }
    }
    return "";
}

static void print_quantity(struct printer *printer, const struct conf_option *option,
                           const void *field)
{
    struct bytes text;
    bytes_init(&text, 100);
    if (option->type == CONF_SIZE) {
        value_append_size(&text, *(const uint64_t *)field);
    } else {
        int64_t duration_us = *(const int64_t *)field;
        if (value_key_is_milliseconds(option->key) && duration_us % 1000 == 0) {
            bytes_append_format(printer->out, "%" PRId64, duration_us / 1000);
            return;
        }
        value_append_duration(&text, duration_us);
    }
    const char *quote = printer->json ? "\"" : ""; /* digits and a unit are plain anywhere */
    bytes_append_format(printer->out, "%s%s%s", quote, bytes_text(&text), quote);
    bytes_release(&text);
}

static void print_scalar(struct printer *printer, const struct conf_option *option,
                         const void *field)
{
    switch (option->type) {
    case CONF_BOOL:
        bytes_append_text(printer->out, *(const bool *)field ? "true" : "false");
        break;
    case CONF_INTEGER:
        bytes_append_format(printer->out, "%" PRId64, *(const int64_t *)field);
        break;
    case CONF_SIZE:
    case CONF_DURATION:
        print_quantity(printer, option, field);
        break;
    case CONF_CHOICE:
        print_text(printer, choice_name(option, *(const int *)field));
        break;
    case CONF_SECRET:
        print_secret(printer, option, field);
        break;
    default:
        print_template(printer, *(char *const *)field, option->templated);
        break;
    }
}

static void print_text_list(struct printer *printer, const struct conf_text_list *list)
{
    bytes_append_char(printer->out, '[');
    for (size_t i = 0; i < list->count; i++) {
        bytes_append_text(printer->out, i > 0 ? ", " : "");
        print_text(printer, list->items[i]);
    }
    bytes_append_char(printer->out, ']');
}

static void print_text_map(struct printer *printer, const struct conf_option *option,
                           const struct conf_text_map *map)
{
    bytes_append_char(printer->out, '{');
    for (size_t i = 0; i < map->count; i++) {
        bytes_append_text(printer->out, i > 0 ? ", " : "");
        bytes_append_json_string(printer->out, map->pairs[i].key, strlen(map->pairs[i].key));
        BYTES_APPEND_LITERAL(printer->out, ": ");
        print_template(printer, option->masked ? SECRET_MASK : map->pairs[i].value,
                       option->templated);
    }
    bytes_append_char(printer->out, '}');
}

/* Begins and ends a nested object; `in_list` ones follow a "- ". */
static void print_nested(struct printer *printer, const struct conf_table *table,
                         const void *section, bool in_list)
{
    if (printer->json) {
        bytes_append_char(printer->out, '{');
        printer->first = true;
        print_section(printer, table, section);
        bytes_append_char(printer->out, '}');
        printer->first = false;
        return;
    }
    if (in_list) {
        indent(printer);
        BYTES_APPEND_LITERAL(printer->out, "- ");
        printer->in_place = true;
    }
    printer->indent++;
    print_section(printer, table, section);
    printer->indent--;
}

static void print_sections(struct printer *printer, const struct conf_option *option,
                           const struct conf_section_list *list)
{
    bool map = option->type == CONF_SECTION_MAP;
    if (printer->json || list->count == 0) {
        bytes_append_text(printer->out, map ? "{" : "[");
    }
    if (!printer->json) {
        bytes_append_text(printer->out, list->count > 0 ? "\n" : map ? "}\n" : "]\n");
    }
    printer->indent++;
    printer->first = true;
    for (size_t i = 0; i < list->count; i++) {
        const void *item = (const char *)list->items + i * option->table->size;
        if (map) {
            print_key(printer, *(char *const *)item);
            bytes_append_text(printer->out, printer->json ? "" : "\n");
        } else if (printer->json && i > 0) {
            bytes_append_char(printer->out, ',');
        }
        print_nested(printer, option->table, item, !map);
    }
    printer->indent--;
    printer->first = false;
    if (printer->json) {
        bytes_append_text(printer->out, map ? "}" : "]");
    }
}

/* Unset texts and secrets have nothing to show. */
static bool is_unset(const struct conf_option *option, const void *field)
{
    return option->type == CONF_UNAVAILABLE ||
           (option->type == CONF_TEXT && *(char *const *)field == NULL) ||
           (option->type == CONF_SECRET && secret_reveal(field) == NULL);
}

static bool has_values(const struct conf_table *table, const void *section)
{
    for (size_t i = 0; i < table->options_count; i++) {
        if (!is_unset(&table->options[i], (const char *)section + table->options[i].offset)) {
            return true;
        }
    }
    return false;
}

static void print_option(struct printer *printer, const struct conf_option *option,
                         const void *section)
{
    const void *field = (const char *)section + option->offset;
    if (is_unset(option, field)) {
        return;
    }
    print_key(printer, option->key);
    const char *space = printer->json ? "" : " ";
    const char *end = printer->json ? "" : "\n";
    switch (option->type) {
    case CONF_SECTION:
        bytes_append_text(printer->out, printer->json                      ? ""
                                        : has_values(option->table, field) ? "\n"
                                                                           : " {}\n");
        print_nested(printer, option->table, field, false);
        break;
    case CONF_SECTION_LIST:
    case CONF_SECTION_MAP:
        bytes_append_text(printer->out,
                          ((const struct conf_section_list *)field)->count == 0 ? space : "");
        print_sections(printer, option, field);
        break;
    case CONF_TEXT_LIST:
        bytes_append_text(printer->out, space);
        print_text_list(printer, field);
        bytes_append_text(printer->out, end);
        break;
    case CONF_TEXT_MAP:
        bytes_append_text(printer->out, space);
        print_text_map(printer, option, field);
        bytes_append_text(printer->out, end);
        break;
    default:
        bytes_append_text(printer->out, space);
        print_scalar(printer, option, field);
        bytes_append_text(printer->out, end);
        break;
    }
}

static void print_section(struct printer *printer, const struct conf_table *table,
                          const void *section)
{
    for (size_t i = 0; i < table->options_count; i++) {
        print_option(printer, &table->options[i], section);
    }
    if (table->family == CONF_FAMILY_NONE) {
        return;
    }
    const void *extension = *(void *const *)((const char *)section + table->extension_offset);
    const struct conf_table *extension_table =
        *(const struct conf_table *const *)((const char *)section + table->extension_table_offset);
    if (extension != NULL && extension_table != NULL) {
        for (size_t i = 0; i < extension_table->options_count; i++) {
            print_option(printer, &extension_table->options[i], extension);
        }
    }
}

void conf_print_yaml(const struct settings *settings, struct bytes *ret_text)
{
    struct printer printer = {.out = ret_text, .first = true};
    print_section(&printer, &conf_root_table, settings);
}

void conf_print_json(const struct settings *settings, struct bytes *ret_text)
{
    struct printer printer = {.out = ret_text, .json = true, .first = true};
    print_nested(&printer, &conf_root_table, settings, false);
    bytes_append_char(ret_text, '\n');
}
