#include "api/spec_json.h"

#include <string.h>

#include "api/json.h"
#include "base/bytes.h"
#include "base/secret.h"
#include "conf/tables.h"
#include "conf/value.h"

enum { VALUE_TEXT_MAX = 64, SPEC_DEPTH_MAX = 8 };

static json_t *section_json(const struct conf_table *table, const void *section, int depth);

/* As the file has it: `max_ms: 50` has its unit in the key. */
static json_t *quantity_json(const struct conf_option *option, const void *field)
{
    if (option->type == CONF_DURATION && value_key_is_milliseconds(option->key) &&
        *(const int64_t *)field % 1000 == 0) {
        return json_integer(*(const int64_t *)field / 1000);
    }
    struct bytes text;
    bytes_init(&text, VALUE_TEXT_MAX);
    if (option->type == CONF_SIZE) {
        value_append_size(&text, *(const uint64_t *)field);
    } else {
        value_append_duration(&text, *(const int64_t *)field);
    }
    json_t *value = json_text(bytes_text(&text));
    bytes_release(&text);
    return value;
}

static json_t *choice_json(const struct conf_option *option, int value)
{
    for (const struct conf_choice *choice = option->choices; choice->name != NULL; choice++) {
        if (choice->value == value) {
            return json_text(choice->name);
        }
    }
    return json_null();
}

static json_t *text_list_json(const struct conf_text_list *list)
{
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++) {
        json_push(array, json_text(list->items[i]));
    }
    return array;
}

static json_t *text_map_json(const struct conf_text_map *map, bool masked)
{
    json_t *object = json_object();
    for (size_t i = 0; i < map->count; i++) {
        json_put_text(object, map->pairs[i].key, masked ? SECRET_MASK : map->pairs[i].value);
    }
    return object;
}

/* Items of a map are shown under their names, which are their first member. */
static json_t *sections_json(const struct conf_option *option, const struct conf_section_list *list,
                             int depth)
{
    bool map = option->type == CONF_SECTION_MAP;
    json_t *all = map ? json_object() : json_array();
    for (size_t i = 0; i < list->count; i++) {
        const char *item = (const char *)list->items + i * option->table->size;
        json_t *value = section_json(option->table, item, depth + 1);
        if (map) {
            const char *name = NULL;
            memcpy(&name, item, sizeof(name));
            json_put(all, name, value);
        } else {
            json_push(all, value);
        }
    }
    return all;
}

static json_t *scalar_json(const struct conf_option *option, const void *field)
{
    switch (option->type) {
    case CONF_BOOL:
        return json_boolean(*(const bool *)field);
    case CONF_INTEGER:
        return json_integer(*(const int64_t *)field);
    case CONF_SIZE:
    case CONF_DURATION:
        return quantity_json(option, field);
    case CONF_TEXT:
        return json_text(*(char *const *)field);
    case CONF_SECRET:
        return secret_reveal(field) == NULL ? json_null() : json_text(SECRET_MASK);
    case CONF_CHOICE:
        return choice_json(option, *(const int *)field);
    case CONF_TEXT_LIST:
        return text_list_json(field);
    case CONF_TEXT_MAP:
        return text_map_json(field, option->masked);
    default:
        return NULL;
    }
}

static void put_options(json_t *object, const struct conf_table *table, const void *section,
                        int depth)
{
    for (size_t i = 0; i < table->options_count; i++) {
        const struct conf_option *option = &table->options[i];
        const void *field = (const char *)section + option->offset;
        switch (option->type) {
        case CONF_UNAVAILABLE:
            break;
        case CONF_SECTION:
            json_put(object, option->key, section_json(option->table, field, depth + 1));
            break;
        case CONF_SECTION_LIST:
        case CONF_SECTION_MAP:
            json_put(object, option->key, sections_json(option, field, depth));
            break;
        default:
            json_put(object, option->key, scalar_json(option, field));
        }
    }
}

/* The depth is that of our own tables, not of the file: they are four deep. */
static json_t *section_json(const struct conf_table *table, const void *section, int depth)
{
    json_t *object = json_object();
    if (depth > SPEC_DEPTH_MAX) {
        return object;
    }
    put_options(object, table, section, depth);
    if (table->family != CONF_FAMILY_NONE) {
        const char *start = section;
        const void *own = *(const void *const *)(start + table->extension_offset);
        const struct conf_table *own_table =
            *(const struct conf_table *const *)(start + table->extension_table_offset);
        if (own != NULL && own_table != NULL) {
            put_options(object, own_table, own, depth);
        }
    }
    return object;
}

json_t *spec_json_pipeline(const struct settings_pipeline *pipeline)
{
    json_t *object = section_json(&conf_pipeline_table, pipeline, 0);
    /* They stand in the metadata. */
    (void)json_object_del(object, "name");
    (void)json_object_del(object, "labels");
    return object;
}
