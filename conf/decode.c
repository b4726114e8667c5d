#include "conf/decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "conf/nearest.h"
#include "conf/scalar.h"

static void decode_option(const struct conf_decoder *decoder, struct conf_node *section_node,
                          const struct conf_option *option, void *section);

static void *field_of(void *section, size_t offset)
{
    return (char *)section + offset;
}

const struct conf_plugin *conf_plugin_find(const struct conf_plugins *plugins,
                                           enum conf_family family, const char *type)
{
    const struct conf_plugin *list =
        family == CONF_FAMILY_SOURCE ? plugins->sources : plugins->targets;
    size_t count = family == CONF_FAMILY_SOURCE ? plugins->sources_count : plugins->targets_count;
    for (size_t i = 0; i < count && type != NULL; i++) {
        if (strcmp(list[i].type, type) == 0) {
            return &list[i];
        }
    }
    return NULL;
}

bool conf_name_is_unavailable(const char *name)
{
    static const char *const names[] = {"webhook", "sqlite", "postgres"};
    for (size_t i = 0; i < CONF_COUNT(names); i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void path_segment(const struct conf_node *node, char *segment, size_t size)
{
    const struct conf_node *name = node->key == NULL ? conf_node_item_name(node) : NULL;
    if (node->key != NULL) {
        (void)snprintf(segment, size, "%s", node->key); /* cut if long */
        return;
    }
    if (name != NULL && strstr(name->text, "${") == NULL) {
        (void)snprintf(segment, size, "%s", name->text); /* cut if long */
        return;
    }
    size_t index = 0;
    for (const struct conf_node *at = node->parent->first; at != NULL && at != node;
         at = at->next) {
        index++;
    }
    (void)snprintf(segment, size, "%zu", index); /* fits */
}

void conf_node_path(const struct conf_node *node, char path[CONF_PATH_SIZE])
{
    const struct conf_node *chain[CONF_DEPTH_MAX + 4]; /* overrides may add to the depth */
    size_t depth = 0;
    for (; node != NULL && node->parent != NULL && depth < CONF_COUNT(chain); node = node->parent) {
        chain[depth++] = node;
    }
    struct bytes text;
    bytes_init(&text, CONF_PATH_SIZE - 1);
    while (depth-- > 0) {
        char segment[80];
        path_segment(chain[depth], segment, sizeof(segment));
        bytes_append_format(&text, "%s%s", text.size > 0 ? "." : "", segment);
    }
    /* A path that does not fit ends early. */
    size_t size = text.size < CONF_PATH_SIZE ? text.size : CONF_PATH_SIZE - 1;
    memcpy(path, text.data != NULL ? (const char *)text.data : "", size);
    path[size] = '\0';
    bytes_release(&text);
}

/* "in "pipelines.orders"" or "at the top level". */
static void describe_section(const struct conf_node *node, char text[CONF_PATH_SIZE + 8])
{
    char path[CONF_PATH_SIZE];
    conf_node_path(node, path);
    if (path[0] == '\0') {
        (void)snprintf(text, CONF_PATH_SIZE + 8, "at the top level"); /* fits */
    } else {
        (void)snprintf(text, CONF_PATH_SIZE + 8, "in \"%s\"", path); /* fits */
    }
}

static const struct conf_option *find_option(const struct conf_table *table, const char *key)
{
    for (size_t i = 0; table != NULL && i < table->options_count; i++) {
        if (strcmp(table->options[i].key, key) == 0) {
            return &table->options[i];
        }
    }
    return NULL;
}

static void offer_keys(const struct conf_table *table, struct nearest *nearest,
                       struct bytes *ret_keys)
{
    for (size_t i = 0; table != NULL && i < table->options_count; i++) {
        const struct conf_option *option = &table->options[i];
        if (option->type != CONF_UNAVAILABLE) {
            nearest_offer(nearest, option->key);
            bytes_append_format(ret_keys, "%s%s", ret_keys->size > 0 ? ", " : "", option->key);
        }
    }
}

static void report_unknown(const struct conf_decoder *decoder, const struct conf_node *child,
                           const struct conf_table *table, const struct conf_table *extension)
{
    char where[CONF_PATH_SIZE + 8];
    describe_section(child->parent, where);
    struct nearest nearest;
    nearest_init(&nearest, child->key);
    struct bytes hint;
    bytes_init(&hint, 2000);
    BYTES_APPEND_LITERAL(&hint, "");
    offer_keys(table, &nearest, &hint);
    offer_keys(extension, &nearest, &hint);
    struct bytes whole;
    bytes_init(&whole, 2000);
    bytes_append_format(&whole, "keys here: %s", bytes_text(&hint));
    if (nearest.best != NULL) {
        conf_report_add(decoder->report, CONF_ERROR, &child->key_place, NULL,
                        "unknown key \"%.100s\" %s: did you mean \"%s\"?", child->key, where,
                        nearest.best);
    } else {
        conf_report_add(decoder->report, CONF_ERROR, &child->key_place, bytes_text(&whole),
                        "unknown key \"%.100s\" %s", child->key, where);
    }
    bytes_release(&hint);
    bytes_release(&whole);
}

static void refuse_unknown_keys(const struct conf_decoder *decoder, const struct conf_node *node,
                                const struct conf_table *table, const struct conf_table *extension)
{
    for (const struct conf_node *child = node->first; child != NULL; child = child->next) {
        if (find_option(table, child->key) == NULL && find_option(extension, child->key) == NULL) {
            report_unknown(decoder, child, table, extension);
        }
    }
}

/* A map for a section that the file leaves out: its defaults, and its missing keys, need a place. */
static struct conf_node *absent_section(const struct conf_decoder *decoder,
                                        struct conf_node *parent, const char *key)
{
    struct conf_place place = parent->key_place.file != NULL ? parent->key_place : parent->place;
    struct conf_node *node = conf_tree_add_node(decoder->tree, CONF_NODE_MAP, place);
    if (node == NULL || !conf_node_set_key(decoder->tree, node, key, strlen(key), place)) {
        conf_report_add(decoder->report, CONF_ERROR, &place, NULL, "out of memory");
        return NULL;
    }
    node->parent = parent; /* but no child of it: the file does not have it */
    node->depth = parent->depth + 1;
    return node;
}

static bool require_kind(const struct conf_decoder *decoder, const struct conf_node *node,
                         enum conf_node_kind kind, const struct conf_option *option)
{
    if (node->kind == kind) {
        return true;
    }
    if (conf_node_is_null(node)) {
        conf_report_add(decoder->report, CONF_ERROR,
                        node->key_place.file != NULL ? &node->key_place : &node->place,
                        "write what belongs to it below it, indented, or remove the key",
                        "\"%s\" has no value", option->key);
        return false;
    }
    const char *hint = kind == CONF_NODE_MAP ? "write its keys below it, indented, as `key: value`"
                                             : "write its items below it, each after a `- `";
    conf_report_add(decoder->report, CONF_ERROR,
                    node->key_place.file != NULL ? &node->key_place : &node->place, hint,
                    "\"%s\" must be a %s, not a %s", option->key,
                    kind == CONF_NODE_MAP ? "section" : "list",
                    node->kind == CONF_NODE_SCALAR     ? "single value"
                    : node->kind == CONF_NODE_SEQUENCE ? "list"
                                                       : "section");
    return false;
}

static void decode_text_map(const struct conf_decoder *decoder, struct conf_node *node,
                            const struct conf_option *option, struct conf_text_map *ret_map)
{
    if (!require_kind(decoder, node, CONF_NODE_MAP, option)) {
        return;
    }
    size_t count = node->children_count;
    ret_map->pairs = calloc(count > 0 ? count : 1, sizeof(*ret_map->pairs));
    if (ret_map->pairs == NULL) {
        conf_report_add(decoder->report, CONF_ERROR, &node->place, NULL, "out of memory");
        return;
    }
    for (struct conf_node *child = node->first; child != NULL; child = child->next) {
        struct conf_text_pair *pair = &ret_map->pairs[ret_map->count];
        pair->key = strdup(child->key);
        pair->value = conf_scalar_text(decoder, child, option);
        ret_map->count++;
        if (pair->key == NULL) {
            conf_report_add(decoder->report, CONF_ERROR, &child->place, NULL, "out of memory");
        }
    }
}

/* Items of CONF_SECTION_LIST and CONF_SECTION_MAP. */
static void decode_sections(const struct conf_decoder *decoder, struct conf_node *node,
                            const struct conf_option *option, struct conf_section_list *ret_list)
{
    bool map = option->type == CONF_SECTION_MAP;
    if (!require_kind(decoder, node, map ? CONF_NODE_MAP : CONF_NODE_SEQUENCE, option)) {
        return;
    }
    size_t count = node->children_count;
    if (option->maximum > 0 && count > (size_t)option->maximum) {
        conf_report_add(decoder->report, CONF_ERROR,
                        node->key_place.file != NULL ? &node->key_place : &node->place, NULL,
                        "\"%s\" has %zu items, and at most %zu are allowed", option->key, count,
                        (size_t)option->maximum);
        return;
    }
    ret_list->items = calloc(count > 0 ? count : 1, option->table->size);
    if (ret_list->items == NULL) {
        conf_report_add(decoder->report, CONF_ERROR, &node->place, NULL, "out of memory");
        return;
    }
    for (struct conf_node *child = node->first; child != NULL; child = child->next) {
        void *item = (char *)ret_list->items + ret_list->count * option->table->size;
        ret_list->count++;
        if (map && (*(char **)item = strdup(child->key)) == NULL) {
            conf_report_add(decoder->report, CONF_ERROR, &child->place, NULL, "out of memory");
        }
        conf_decode(decoder, child, option->table, item);
    }
}

static void decode_present(const struct conf_decoder *decoder, struct conf_node *node,
                           const struct conf_option *option, void *field)
{
    switch (option->type) {
    case CONF_SECTION:
        conf_decode(decoder, node, option->table, field);
        break;
    case CONF_SECTION_LIST:
    case CONF_SECTION_MAP:
        decode_sections(decoder, node, option, field);
        break;
    case CONF_TEXT_MAP:
        decode_text_map(decoder, node, option, field);
        break;
    case CONF_TEXT_LIST:
        conf_scalar_list(decoder, node, option, field);
        break;
    case CONF_UNAVAILABLE:
        conf_report_add(decoder->report, CONF_ERROR, &node->key_place, "remove it",
                        "\"%s\" is not available in this version", option->key);
        break;
    default:
        conf_scalar_decode(decoder, node, option, field);
        break;
    }
}

static void decode_option(const struct conf_decoder *decoder, struct conf_node *section_node,
                          const struct conf_option *option, void *section)
{
    void *field = field_of(section, option->offset);
    struct conf_node *node = conf_node_child(section_node, option->key);
    if (node != NULL) {
        decode_present(decoder, node, option, field);
        return;
    }
    if (option->required) {
        char where[CONF_PATH_SIZE + 8];
        describe_section(section_node, where);
        char hint[200];
        (void)snprintf(hint, sizeof(hint), "add `%s: %s`", option->key,
                       option->example != NULL ? option->example : "..."); /* may be cut */
        conf_report_add(decoder->report, CONF_ERROR,
                        section_node->key_place.file != NULL ? &section_node->key_place
                                                             : &section_node->place,
                        hint, "\"%s\" is missing %s", option->key, where);
        return;
    }
    if (option->type == CONF_SECTION) {
        struct conf_node *absent = absent_section(decoder, section_node, option->key);
        if (absent != NULL) {
            conf_decode(decoder, absent, option->table, field);
        }
    } else if (option->value_default != NULL) {
        conf_scalar_default(decoder, option, field);
    }
}

static void report_type(const struct conf_decoder *decoder, const struct conf_node *node,
                        const struct conf_table *table, const char *type)
{
    const struct conf_node *child = conf_node_child(node, "type");
    const struct conf_plugins *plugins = decoder->plugins;
    bool source = table->family == CONF_FAMILY_SOURCE;
    const struct conf_plugin *list = source ? plugins->sources : plugins->targets;
    size_t count = source ? plugins->sources_count : plugins->targets_count;
    struct nearest nearest;
    nearest_init(&nearest, type);
    struct bytes hint;
    bytes_init(&hint, 1000);
    BYTES_APPEND_LITERAL(&hint, "types here: ");
    for (size_t i = 0; i < count; i++) {
        nearest_offer(&nearest, list[i].type);
        bytes_append_format(&hint, "%s%s", i > 0 ? ", " : "", list[i].type);
    }
    const struct conf_place *place = child != NULL ? &child->place : &node->place;
    if (conf_name_is_unavailable(type)) {
        conf_report_add(decoder->report, CONF_ERROR, place, bytes_text(&hint),
                        "%s type \"%s\" is not available in this version", table->name, type);
    } else if (nearest.best != NULL) {
        conf_report_add(decoder->report, CONF_ERROR, place, bytes_text(&hint),
                        "unknown %s type \"%.60s\": did you mean \"%s\"?", table->name, type,
                        nearest.best);
    } else {
        conf_report_add(decoder->report, CONF_ERROR, place, bytes_text(&hint),
                        "unknown %s type \"%.60s\"", table->name, type);
    }
    bytes_release(&hint);
}

/* Decodes the plug-in's keys. Returns false when the type is not known, and with it the keys. */
static bool decode_extension(const struct conf_decoder *decoder, struct conf_node *node,
                             const struct conf_table *table, void *section,
                             const struct conf_table **ret_extension)
{
    const struct conf_option *option = find_option(table, "type");
    FAN_ASSERT(option != NULL && option->type == CONF_TEXT);
    const char *type = *(char **)field_of(section, option->offset);
    if (type == NULL) {
        return false; /* missing or faulty: it was reported */
    }
    const struct conf_plugin *plugin = conf_plugin_find(decoder->plugins, table->family, type);
    if (plugin == NULL) {
        report_type(decoder, node, table, type);
        return false;
    }
    *ret_extension = plugin->table;
    if (plugin->table == NULL) {
        return true;
    }
    void *extension = calloc(1, plugin->table->size > 0 ? plugin->table->size : 1);
    if (extension == NULL) {
        conf_report_add(decoder->report, CONF_ERROR, &node->place, NULL, "out of memory");
        return false;
    }
    *(void **)field_of(section, table->extension_offset) = extension;
    *(const struct conf_table **)field_of(section, table->extension_table_offset) = plugin->table;
    for (size_t i = 0; i < plugin->table->options_count; i++) {
        decode_option(decoder, node, &plugin->table->options[i], extension);
    }
    return true;
}

static void apply_rule(const struct conf_decoder *decoder, const struct conf_node *node,
                       conf_rule *rule, const void *section)
{
    const char *key = NULL;
    const char *text = rule(section, &key);
    if (text == NULL) {
        return;
    }
    const struct conf_node *child = key != NULL ? conf_node_child(node, key) : NULL;
    const struct conf_place *place = child != NULL                  ? &child->key_place
                                     : node->key_place.file != NULL ? &node->key_place
                                                                    : &node->place;
    char path[CONF_PATH_SIZE];
    conf_node_path(node, path);
    conf_report_add(decoder->report, CONF_ERROR, place, NULL, "%s%s%s", path,
                    path[0] != '\0' ? ": " : "", text);
}

static void apply_rules(const struct conf_decoder *decoder, const struct conf_node *node,
                        const struct conf_table *table, const void *section)
{
    for (conf_rule *const *rule = table->rules; rule != NULL && *rule != NULL; rule++) {
        apply_rule(decoder, node, *rule, section);
    }
}

void conf_decode(const struct conf_decoder *decoder, struct conf_node *node,
                 const struct conf_table *table, void *ret_section)
{
    const struct conf_option self = {.key = node->key != NULL ? node->key : table->name};
    if (!require_kind(decoder, node, CONF_NODE_MAP, &self)) {
        return;
    }
    size_t errors_before = decoder->report->errors;
    for (size_t i = 0; i < table->options_count; i++) {
        decode_option(decoder, node, &table->options[i], ret_section);
    }
    const struct conf_table *extension = NULL;
    bool keys_known = table->family == CONF_FAMILY_NONE ||
                      decode_extension(decoder, node, table, ret_section, &extension);
    if (keys_known) {
        refuse_unknown_keys(decoder, node, table, extension);
    }
    if (decoder->report->errors > errors_before) {
        return; /* a rule between keys would judge values that are not what the user meant */
    }
    apply_rules(decoder, node, table, ret_section);
    if (extension != NULL) {
        apply_rules(decoder, node, extension,
                    *(void **)field_of(ret_section, table->extension_offset));
    }
}
