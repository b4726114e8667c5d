#include "conf/override.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/nearest.h"
#include "conf/tables.h"
#include "conf/yaml.h"

enum { SEGMENT_MAX = 256, PATH_SHOWN_MAX = 512 };

static const char prefix[] = "PGFAN_";

/* One override on its way down the tree. */
struct walk {
    const struct conf_decoder *decoder;
    struct conf_file *file;
    struct conf_place place;
    bool environment;                 /* segments are in capitals, separated by __ */
    const char *rest;                 /* of the path */
    struct conf_node *node;           /* where the walk stands */
    const struct conf_option *option; /* that describes it; NULL: the root, an item, or unknown */
    const struct conf_table *table;   /* of the keys of a section; NULL: unknown */
    const struct conf_table *extension;
};

static void fault(const struct walk *walk, const char *hint, const char *what, const char *word)
{
    conf_report_add(walk->decoder->report, CONF_ERROR, &walk->place, hint, "%s \"%.100s\"", what,
                    word);
}

/* Whether `word` is what the segment of a variable stands for. */
static bool matches_folded(const char *word, const char *segment, size_t size)
{
    if (strlen(word) != size) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        int folded = isalnum((unsigned char)word[i]) ? toupper((unsigned char)word[i]) : '_';
        if (folded != segment[i]) {
            return false;
        }
    }
    return true;
}

static size_t segment_size(const struct walk *walk)
{
    const char *end = walk->environment ? strstr(walk->rest, "__") : strchr(walk->rest, '.');
    return end != NULL ? (size_t)(end - walk->rest) : strlen(walk->rest);
}

static void advance(struct walk *walk, size_t size)
{
    walk->rest += size;
    walk->rest += walk->rest[0] == '\0' ? 0 : walk->environment ? 2 : 1;
}

static const struct conf_option *option_of(const struct conf_table *table, const char *segment,
                                           size_t size, bool folded)
{
    for (size_t i = 0; table != NULL && i < table->options_count; i++) {
        const char *key = table->options[i].key;
        if (folded ? matches_folded(key, segment, size)
                   : strlen(key) == size && memcmp(key, segment, size) == 0) {
            return &table->options[i];
        }
    }
    return NULL;
}

/* The next key of a section, into `key`; the option that describes it goes to the walk. */
static bool take_key(struct walk *walk, char key[SEGMENT_MAX])
{
    size_t size = segment_size(walk);
    bool all = walk->option != NULL && walk->option->type == CONF_TEXT_MAP;
    size = all ? strlen(walk->rest) : size; /* a label may have dots */
    if (size == 0 || size >= SEGMENT_MAX) {
        fault(walk, "write key.path=value", "a key is empty or too long in", walk->file->name);
        return false;
    }
    const struct conf_option *option = option_of(walk->table, walk->rest, size, walk->environment);
    option =
        option != NULL ? option : option_of(walk->extension, walk->rest, size, walk->environment);
    for (size_t i = 0; i < size; i++) {
        char letter = walk->rest[i];
        key[i] = letter;
        if (walk->environment && letter >= 'A' && letter <= 'Z') {
            key[i] = (char)(letter - 'A' + 'a');
        }
    }
    key[size] = '\0';
    advance(walk, size);
    walk->option = option;
    return true;
}

/* Keys of a plug-in count where the item's type is known. */
static void enter_section(struct walk *walk, const struct conf_table *table)
{
    walk->table = table;
    walk->extension = NULL;
    walk->option = NULL;
    if (table == NULL || table->family == CONF_FAMILY_NONE) {
        return;
    }
    const struct conf_node *type = conf_node_child(walk->node, "type");
    const char *name = type != NULL && type->kind == CONF_NODE_SCALAR ? type->text
                       : table->family == CONF_FAMILY_SOURCE          ? "postgres"
                                                                      : NULL;
    const struct conf_plugin *plugin =
        conf_plugin_find(walk->decoder->plugins, table->family, name);
    walk->extension = plugin != NULL ? plugin->table : NULL;
}

static const char *item_name(const struct conf_node *item)
{
    const struct conf_node *name = item->key == NULL ? conf_node_item_name(item) : NULL;
    return item->key != NULL ? item->key : name != NULL ? name->text : "";
}

/* Steps to the item of a list or map that the path names; the longest name wins, as names may have
 * dots. */
static bool enter_item(struct walk *walk)
{
    struct conf_node *found = NULL;
    size_t found_size = 0;
    struct nearest nearest;
    char word[SEGMENT_MAX];
    size_t first = segment_size(walk);
    (void)snprintf(word, sizeof(word), "%.*s", (int)(first < SEGMENT_MAX ? first : 0),
                   walk->rest); /* fits */
    nearest_init(&nearest, word);
    for (struct conf_node *item = walk->node->first; item != NULL; item = item->next) {
        const char *name = item_name(item);
        size_t size = strlen(name);
        bool here = walk->environment ? matches_folded(name, walk->rest, first)
                                      : strncmp(walk->rest, name, size) == 0 &&
                                            (walk->rest[size] == '.' || walk->rest[size] == '\0');
        if (here && size > found_size) {
            found = item;
            found_size = size;
        }
        nearest_offer(&nearest, name);
    }
    if (found == NULL) {
        char hint[SEGMENT_MAX + 40];
        (void)snprintf(hint, sizeof(hint), "did you mean \"%s\"?",
                       nearest.best != NULL ? nearest.best : ""); /* may be cut */
        fault(walk, nearest.best != NULL ? hint : "only what a file has can be changed here",
              "there is no item", word);
        return false;
    }
    const struct conf_table *table = walk->option != NULL ? walk->option->table : NULL;
    walk->node = found;
    advance(walk, walk->environment ? first : found_size);
    enter_section(walk, table);
    return true;
}

/* Steps to the section `key`, which is made where the files leave it out. */
static bool enter_child(struct walk *walk, const char *key)
{
    struct conf_node *child = conf_node_child(walk->node, key);
    const struct conf_option *option = walk->option;
    bool items =
        option != NULL && (option->type == CONF_SECTION_LIST || option->type == CONF_SECTION_MAP);
    if (child == NULL && items) {
        fault(walk, "only what a file has can be changed here", "the files have no", key);
        return false;
    }
    if (child == NULL) {
        child = conf_tree_add_node(walk->decoder->tree, CONF_NODE_MAP, walk->place);
        if (child == NULL || walk->node->depth + 2 >= CONF_DEPTH_MAX ||
            !conf_node_set_key(walk->decoder->tree, child, key, strlen(key), walk->place)) {
            fault(walk, NULL, "memory or depth is out at", key);
            return false;
        }
        conf_node_append(walk->node, child);
    }
    walk->node = child;
    if (!items) {
        enter_section(walk, option != NULL ? option->table : NULL);
        walk->option = option; /* of a text map: the rest of the path is one key */
    }
    return true;
}

static void put_value(struct walk *walk, const char *key, const char *value)
{
    struct conf_tree *tree = walk->decoder->tree;
    struct conf_node *old = conf_node_child(walk->node, key);
    struct conf_node *node = NULL;
    if (value[0] == '[' || value[0] == '{') {
        walk->file->text = strdup(value);
        walk->file->size = strlen(value);
        node = walk->file->text != NULL ? conf_yaml_parse(tree, walk->file, walk->decoder->report)
                                        : NULL;
        if (node == NULL) {
            return; /* reported, but for memory, where the decoder will miss the key */
        }
    } else {
        node = conf_tree_add_node(tree, CONF_NODE_SCALAR, walk->place);
        if (node != NULL && !conf_node_set_text(tree, node, value, strlen(value))) {
            node = NULL;
        }
    }
    if (node == NULL || !conf_node_set_key(tree, node, key, strlen(key), walk->place)) {
        fault(walk, NULL, "out of memory at", key);
        return;
    }
    if (old != NULL) {
        conf_node_remove(old);
    }
    conf_node_append(walk->node, node);
}

static void walk_down(struct walk *walk, const char *value)
{
    walk->node = walk->decoder->tree->root;
    enter_section(walk, &conf_root_table);
    while (walk->rest[0] != '\0') {
        bool items = walk->node->kind == CONF_NODE_SEQUENCE ||
                     (walk->option != NULL && walk->option->type == CONF_SECTION_MAP);
        if (walk->node->kind == CONF_NODE_SCALAR) {
            fault(walk, "remove the last part of the path",
                  "a single value has no keys:", walk->file->name);
            return;
        }
        if (items) {
            if (!enter_item(walk)) {
                return;
            }
            continue;
        }
        char key[SEGMENT_MAX];
        if (!take_key(walk, key)) {
            return;
        }
        if (walk->rest[0] == '\0') {
            put_value(walk, key, value);
            return;
        }
        if (!enter_child(walk, key)) {
            return;
        }
    }
    fault(walk, "add the key behind it", "the path ends at a whole section:", walk->file->name);
}

static void override(const struct conf_decoder *decoder, const char *path, size_t path_size,
                     const char *value, bool environment)
{
    char name[PATH_SHOWN_MAX + 20];
    (void)snprintf(name, sizeof(name), "%s%.*s", environment ? "environment PGFAN_" : "--set ",
                   (int)(path_size < PATH_SHOWN_MAX ? path_size : PATH_SHOWN_MAX),
                   path); /* cut if long */
    struct conf_file *file = conf_tree_add_file(
        decoder->tree, environment ? CONF_FILE_ENVIRONMENT : CONF_FILE_SET, name, NULL, 0);
    char *copy = strndup(path, path_size);
    if (file == NULL || copy == NULL) {
        conf_report_add(decoder->report, CONF_ERROR, NULL, NULL,
                        "cannot apply \"%s\": too many overrides, or out of memory", name);
    } else {
        struct walk walk = {.decoder = decoder,
                            .file = file,
                            .place = {.file = file},
                            .environment = environment,
                            .rest = copy};
        walk_down(&walk, value);
    }
    free(copy);
}

void conf_override_set(const struct conf_decoder *decoder, const char *set)
{
    const char *sign = strchr(set, '=');
    if (sign == NULL || sign == set) {
        /* The text is not shown: it may be a value without its key. */
        conf_report_add(decoder->report, CONF_ERROR, NULL,
                        "write --set key.path=value, as --set log.level=debug",
                        "a --set has no key or no =");
        return;
    }
    override(decoder, set, (size_t)(sign - set), sign + 1, false);
}

void conf_override_environment(const struct conf_decoder *decoder)
{
    size_t skip = sizeof(prefix) - 1;
    for (const char *const *at = decoder->environment.variables; at != NULL && *at != NULL; at++) {
        const char *sign = strchr(*at, '=');
        if (strncmp(*at, prefix, skip) != 0 || sign == NULL || sign <= *at + skip) {
            continue;
        }
        const char *path = *at + skip;
        size_t size = (size_t)(sign - path);
        const char *separator = strstr(path, "__");
        if ((separator != NULL && separator < sign) ||
            option_of(&conf_root_table, path, size, true) != NULL) {
            override(decoder, path, size, sign + 1, true);
        }
    }
}
