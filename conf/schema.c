#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "conf/reference.h"
#include "conf/tables.h"
#include "conf/value.h"

/* Built with jansson. Every json_* setter here fails only when memory is out; then a NULL spreads
 * up to the root, and the result is empty, which bytes_ok() tells. */

static const char reference_pattern[] = "\\$\\{(env|file|cred):";

static json_t *section_schema(const struct conf_plugins *plugins, const struct conf_table *table);

/* A value, or a text with a reference that stands for it. */
static json_t *or_reference(json_t *schema)
{
    return json_pack("{s:[o,{s:s,s:s}]}", "anyOf", schema, "type", "string", "pattern",
                     reference_pattern);
}

static json_t *integer_schema(const struct conf_option *option)
{
    json_t *schema =
        json_pack("{s:s,s:I}", "type", "integer", "minimum", (json_int_t)option->minimum);
    if (schema != NULL && option->maximum != 0) {
        (void)json_object_set_new(schema, "maximum",
                                  json_integer(option->maximum)); /* see the head */
    }
    return or_reference(schema);
}

static json_t *choice_schema(const struct conf_option *option)
{
    json_t *names = json_array();
    for (const struct conf_choice *choice = option->choices; choice->name != NULL; choice++) {
        if (choice->value != CONF_CHOICE_UNAVAILABLE) {
            (void)json_array_append_new(names, json_string(choice->name)); /* see the head */
        }
    }
    return or_reference(json_pack("{s:o}", "enum", names));
}

static json_t *quantity_schema(const char *units, bool plain_number)
{
    struct bytes pattern;
    bytes_init(&pattern, 200);
    bytes_append_format(&pattern, "^([0-9]+ ?(%s)|0)$", units);
    json_t *text = json_pack("{s:s,s:s}", "type", "string", "pattern", bytes_text(&pattern));
    bytes_release(&pattern);
    /* A bare 0 is a number to a YAML reader, whatever the type. */
    json_t *number = plain_number ? json_pack("{s:s,s:i}", "type", "integer", "minimum", 0)
                                  : json_pack("{s:i}", "const", 0);
    return json_pack("{s:[o,o,{s:s,s:s}]}", "anyOf", number, text, "type", "string", "pattern",
                     reference_pattern);
}

static json_t *list_schema(const struct conf_option *option)
{
    json_t *items = json_pack("{s:s,s:{s:s},s:I}", "type", "array", "items", "type", "string",
                              "minItems", (json_int_t)option->minimum);
    return json_pack("{s:[{s:s},o]}", "anyOf", "type", "string", items);
}

static json_t *text_schema(const struct conf_option *option)
{
    return json_pack("{s:[s,s],s:i}", "type", "string", "number", "minLength",
                     option->minimum > 0 ? 1 : 0);
}

static json_t *bare_schema(const struct conf_plugins *plugins, const struct conf_option *option)
{
    static const char sizes[] = "B|kB|MB|GB|TB|KiB|MiB|GiB|TiB|";
    static const char times[] = "us|ms|s|m|h|d";
    switch (option->type) {
    case CONF_BOOL:
        return or_reference(json_pack("{s:s}", "type", "boolean"));
    case CONF_INTEGER:
        return integer_schema(option);
    case CONF_SIZE:
        return quantity_schema(sizes, true);
    case CONF_DURATION:
        return quantity_schema(times, value_key_is_milliseconds(option->key));
    case CONF_CHOICE:
        return choice_schema(option);
    case CONF_TEXT_LIST:
        return list_schema(option);
    case CONF_TEXT_MAP:
        return json_pack("{s:s,s:{s:[s,s,s]}}", "type", "object", "additionalProperties", "type",
                         "string", "number", "boolean");
    case CONF_SECTION:
        return section_schema(plugins, option->table);
    case CONF_SECTION_LIST:
        return json_pack("{s:s,s:o,s:i}", "type", "array", "items",
                         section_schema(plugins, option->table), "minItems",
                         option->required ? 1 : 0);
    case CONF_SECTION_MAP:
        return json_pack("{s:s,s:o}", "type", "object", "additionalProperties",
                         section_schema(plugins, option->table));
    default:
        return text_schema(option);
    }
}

static json_t *option_schema(const struct conf_plugins *plugins, const struct conf_option *option)
{
    json_t *schema = bare_schema(plugins, option);
    if (schema == NULL) {
        return NULL;
    }
    if (option->help != NULL) {
        (void)json_object_set_new(schema, "description", json_string(option->help)); /* see head */
    }
    if (option->value_default != NULL) {
        (void)json_object_set_new(schema, "default",
                                  json_string(option->value_default)); /* see head */
    }
    return schema;
}

static void add_options(const struct conf_plugins *plugins, const struct conf_table *table,
                        json_t *properties, json_t *required)
{
    for (size_t i = 0; table != NULL && i < table->options_count; i++) {
        const struct conf_option *option = &table->options[i];
        if (option->type == CONF_UNAVAILABLE) {
            continue;
        }
        (void)json_object_set_new(properties, option->key,
                                  option_schema(plugins, option)); /* see the head */
        if (option->required) {
            (void)json_array_append_new(required, json_string(option->key)); /* see the head */
        }
    }
}

static json_t *object_schema(const struct conf_table *table, json_t *properties, json_t *required)
{
    json_t *schema = json_pack("{s:s,s:o,s:b}", "type", "object", "properties", properties,
                               "additionalProperties", 0);
    if (schema != NULL && table->help != NULL && table->help[0] != '\0') {
        (void)json_object_set_new(schema, "description", json_string(table->help)); /* see head */
    }
    if (schema != NULL && json_array_size(required) > 0) {
        (void)json_object_set(schema, "required", required); /* see the head */
    }
    json_decref(required);
    return schema;
}

static json_t *format_names(const struct conf_plugins *plugins)
{
    json_t *names = json_array();
    for (size_t i = 0; plugins->formats != NULL && plugins->formats[i] != NULL; i++) {
        (void)json_array_append_new(names, json_string(plugins->formats[i])); /* see the head */
    }
    return names;
}

/* The common keys and those of one plug-in, in one object. */
static json_t *plugin_schema(const struct conf_plugins *plugins, const struct conf_table *table,
                             const struct conf_plugin *plugin)
{
    json_t *properties = json_object();
    json_t *required = json_array();
    add_options(plugins, table, properties, required);
    add_options(plugins, plugin->table, properties, required);
    json_t *type = json_object_get(properties, "type");
    (void)json_object_del(type, "type");      /* the constant says more */
    (void)json_object_del(type, "minLength"); /* as above */
    (void)json_object_set_new(type, "const", json_string(plugin->type)); /* see the head */
    json_t *format = json_object_get(properties, "format");
    if (format != NULL && plugins->formats != NULL) {
        (void)json_object_set_new(format, "enum", format_names(plugins)); /* see the head */
    }
    return object_schema(table, properties, required);
}

static json_t *section_schema(const struct conf_plugins *plugins, const struct conf_table *table)
{
    if (table->family == CONF_FAMILY_NONE) {
        json_t *properties = json_object();
        json_t *required = json_array();
        add_options(plugins, table, properties, required);
        return object_schema(table, properties, required);
    }
    bool source = table->family == CONF_FAMILY_SOURCE;
    const struct conf_plugin *list = source ? plugins->sources : plugins->targets;
    size_t count = source ? plugins->sources_count : plugins->targets_count;
    json_t *each = json_array();
    for (size_t i = 0; i < count; i++) {
        (void)json_array_append_new(each, plugin_schema(plugins, table, &list[i])); /* see head */
    }
    return json_pack("{s:o}", "oneOf", each);
}

void conf_reference_schema(const struct conf_plugins *plugins, struct bytes *ret_text)
{
    json_t *root = section_schema(plugins, &conf_root_table);
    json_t *schema = json_pack("{s:s,s:s}", "$schema", "http://json-schema.org/draft-07/schema#",
                               "title", "pgfan conf file");
    /* A file of conf.d may hold a part only: nothing is required of one file. */
    (void)json_object_del(root, "required"); /* fails only if it is not there */
    (void)json_object_update(schema, root);  /* see the head */
    char *text = schema != NULL && root != NULL
                     ? json_dumps(schema, JSON_INDENT(2) | JSON_PRESERVE_ORDER)
                     : NULL;
    if (text == NULL) {
        ret_text->failed = true;
    } else {
        bytes_append_text(ret_text, text);
        bytes_append_char(ret_text, '\n');
    }
    free(text);
    json_decref(root);
    json_decref(schema);
}
