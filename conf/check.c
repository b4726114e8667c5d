#include "conf/check.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "conf/check_cloudevents.h"
#include "conf/check_delivery.h"
#include "conf/nearest.h"
#include "conf/value.h"

/* Pattern rules are those of model/pattern.h, which stands beside conf; a test compares them. */
enum { ADDRESS_SIZE = 4200, PATTERN_BYTES_MAX = 255 };

static const char name_hint[] =
    "use up to 63 letters, digits, _, - and ., and start with a letter, a digit or _";

bool conf_name_valid(const char *name)
{
    size_t size = strlen(name);
    if (size == 0 || size > 63) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        bool word = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
                    (name[i] >= '0' && name[i] <= '9') || name[i] == '_';
        if (!word && (i == 0 || (name[i] != '.' && name[i] != '-'))) {
            return false;
        }
    }
    return true;
}

/* Reads one part of schema.table; returns its end, or NULL with the reason. */
static const char *pattern_part(const char *at, const char **ret_fault)
{
    const char *start = at;
    if (*at == '"') {
        at++;
        while (*at != '\0' && !(at[0] == '"' && at[1] != '"')) {
            at += at[0] == '"' ? 2 : 1; /* "" stands for one quote */
        }
        if (*at != '"') {
            *ret_fault = "a quoted name is not closed";
            return NULL;
        }
        if (at == start + 1 || at - start > PATTERN_BYTES_MAX) {
            *ret_fault = at == start + 1 ? "a name is empty" : "a name is longer than 255 bytes";
            return NULL;
        }
        return at + 1;
    }
    while (*at != '\0' && *at != '.' && *at != '"' && *at != ',' && !isspace((unsigned char)*at) &&
           !iscntrl((unsigned char)*at)) {
        at++;
    }
    if (at == start) {
        *ret_fault = "a name is empty, or has a character that needs double quotes";
        return NULL;
    }
    if (at - start > PATTERN_BYTES_MAX) {
        *ret_fault = "a name is longer than 255 bytes";
        return NULL;
    }
    return at;
}

const char *conf_table_pattern_fault(const char *pattern)
{
    const char *fault = NULL;
    const char *at = pattern_part(pattern, &fault);
    if (at != NULL && *at == '.') {
        at = pattern_part(at + 1, &fault);
    }
    if (at == NULL) {
        return fault;
    }
    if (*at == '.') {
        return "it has more than two parts";
    }
    return *at == '\0' ? NULL : "a name has a character that needs double quotes";
}

const char *conf_listen_fault(const char *listen)
{
    const char *port = NULL;
    if (strncmp(listen, "127.0.0.1:", 10) == 0) {
        port = listen + 10;
    } else if (strncmp(listen, "[::1]:", 6) == 0) {
        port = listen + 6;
    } else {
        return ": only 127.0.0.1:PORT and [::1]:PORT are allowed until there are tokens";
    }
    int64_t number = 0;
    return value_parse_integer(port, &number) && number >= 1 && number <= 65535
               ? NULL
               : ": the port must be a number from 1 to 65535";
}

static const struct conf_place *place_of(const struct conf_node *section, const char *key)
{
    const struct conf_node *child = key != NULL ? conf_node_child(section, key) : NULL;
    if (child != NULL) {
        return child->kind == CONF_NODE_SCALAR ? &child->place : &child->key_place;
    }
    return section->key_place.file != NULL ? &section->key_place : &section->place;
}

static const struct conf_node *nth_child(const struct conf_node *node, size_t index)
{
    const struct conf_node *child = node->first;
    while (index-- > 0 && child != NULL) {
        child = child->next;
    }
    return child;
}

static void error_at(const struct conf_decoder *decoder, const struct conf_node *section,
                     const char *key, const char *hint, const char *what, const char *value,
                     const char *why)
{
    conf_report_add(decoder->report, CONF_ERROR, place_of(section, key), hint, "%s \"%.100s\"%s",
                    what, value, why);
}

/* Items of a decoded list and of its node go together; a single value is its own only item. */
static void check_patterns(const struct conf_decoder *decoder, const struct conf_node *node,
                           const struct settings_pipeline *pipeline)
{
    const struct conf_node *list = conf_node_child(node, "tables");
    const struct conf_node *item = list != NULL && list->first != NULL ? list->first : list;
    for (size_t i = 0; item != NULL && i < pipeline->tables.count; i++, item = item->next) {
        const char *pattern = pipeline->tables.items[i];
        const char *fault = pattern != NULL ? conf_table_pattern_fault(pattern) : NULL;
        if (fault != NULL) {
            conf_report_add(decoder->report, CONF_ERROR, &item->place,
                            "write schema.table, with % or * for any text, and names with "
                            "other characters in double quotes: '\"My Schema\".\"a b\"'",
                            "cannot read table pattern \"%.100s\": %s", pattern, fault);
        }
    }
    for (size_t i = 0; i < pipeline->messages.count; i++) {
        const char *prefix = pipeline->messages.items[i];
        if (prefix != NULL && (prefix[0] == '\0' || strlen(prefix) > PATTERN_BYTES_MAX)) {
            conf_report_add(decoder->report, CONF_ERROR, place_of(node, "messages"),
                            "write \"%\" for all messages", "a message prefix is %s",
                            prefix[0] == '\0' ? "empty" : "longer than 255 bytes");
        }
    }
}

static void check_format(const struct conf_decoder *decoder, const struct conf_node *node,
                         const struct settings_target *target)
{
    const char *const *formats = decoder->plugins->formats;
    struct nearest nearest;
    nearest_init(&nearest, target->format != NULL ? target->format : "");
    struct bytes hint;
    bytes_init(&hint, 500);
    BYTES_APPEND_LITERAL(&hint, "formats here:");
    bool known = target->format == NULL || formats == NULL;
    for (size_t i = 0; formats != NULL && formats[i] != NULL; i++) {
        known = known || strcmp(formats[i], target->format) == 0;
        nearest_offer(&nearest, formats[i]);
        bytes_append_format(&hint, "%s %s", i > 0 ? "," : "", formats[i]);
    }
    if (!known) {
        conf_report_add(decoder->report, CONF_ERROR, place_of(node, "format"), bytes_text(&hint),
                        "unknown format \"%.100s\"%s%s%s", target->format,
                        nearest.best != NULL ? ": did you mean \"" : "",
                        nearest.best != NULL ? nearest.best : "",
                        nearest.best != NULL ? "\"?" : "");
    }
    bytes_release(&hint);
}

/* Whether the section says nothing but its defaults, as in a conf that was printed in full. */
static bool is_default(const struct settings_debezium *debezium)
{
    return !debezium->schemas && debezium->decimal == 0 && debezium->time == 0 &&
           debezium->binary == 0 && debezium->interval == 0 && debezium->hstore == 0 &&
           !debezium->transaction_metadata && !debezium->defaults &&
           debezium->topic_prefix == NULL &&
           (debezium->unavailable_value == NULL ||
            strcmp(debezium->unavailable_value, SETTINGS_UNAVAILABLE_VALUE) == 0);
}

static bool has_format(const struct settings_target *target, const char *format)
{
    return target->format != NULL && strcmp(target->format, format) == 0;
}

/* As is_default(). */
static bool is_default_avro(const struct settings_avro *avro)
{
    return avro->registry == NULL && avro->username == NULL &&
           secret_reveal(&avro->password) == NULL && secret_reveal(&avro->bearer_token) == NULL &&
           avro->client_cert == NULL && avro->client_key == NULL && avro->ca == NULL &&
           avro->register_schemas && !avro->allow_http && avro->subjects == 0 && avro->names == 0 &&
           avro->timeout_us == SETTINGS_AVRO_TIMEOUT_US;
}

static void check_avro(const struct conf_decoder *decoder, const struct conf_node *node,
                       const struct settings_target *target)
{
    const struct conf_node *section = conf_node_child(node, "avro");
    bool avro = has_format(target, "avro");
    const struct settings_avro *settings = &target->avro;
    if (avro && settings->registry == NULL) {
        conf_report_add(decoder->report, CONF_ERROR,
                        section != NULL ? &section->key_place : place_of(node, "format"),
                        "add `avro: {registry: http://registry.internal:8081}`",
                        "format \"avro\" needs the address of a schema registry");
    }
    if (!avro && section != NULL && !is_default_avro(settings)) {
        conf_report_add(decoder->report, CONF_ERROR, &section->key_place,
                        "add \"format: avro\", or remove the section",
                        "section \"avro\" belongs to \"format: avro\"");
    }
    if (avro && target->debezium.schemas) {
        conf_report_add(decoder->report, CONF_ERROR,
                        place_of(conf_node_child(node, "debezium"), "schemas"),
                        "remove \"schemas\": the registry has them",
                        "format \"avro\" cannot write schemas into events");
    }
}

/* Keys that say nothing in the envelope that the target has. */
static void check_envelope(const struct conf_decoder *decoder, const struct conf_node *node,
                           const struct settings_target *target)
{
    const struct conf_node *section = conf_node_child(node, "debezium");
    bool connect = has_format(target, "debezium") || has_format(target, "avro");
    if (connect && target->int8 != 0) {
        conf_report_add(decoder->report, CONF_ERROR, place_of(node, "int8"),
                        "remove \"int8\": an int64 of Kafka Connect is a number",
                        "format \"%s\" cannot write 64-bit integers as strings", target->format);
    }
    if (!connect && section != NULL && !is_default(&target->debezium)) {
        conf_report_add(decoder->report, CONF_ERROR, &section->key_place,
                        "add \"format: debezium\", or remove the section",
                        "section \"debezium\" belongs to \"format: debezium\" and \"avro\"");
    }
    check_avro(decoder, node, target);
}

static void check_targets(const struct conf_decoder *decoder, const struct conf_node *node,
                          const struct settings_pipeline *pipeline)
{
    const struct conf_node *list = conf_node_child(node, "targets");
    if (list == NULL || list->kind != CONF_NODE_SEQUENCE) {
        return; /* reported */
    }
    if (pipeline->targets.count == 0) {
        conf_report_add(decoder->report, CONF_ERROR, &list->key_place, "add `- type: stdout`",
                        "\"targets\" is empty: a pipeline needs at least one");
    }
    for (size_t i = 0; i < pipeline->targets.count; i++) {
        const struct settings_target *target = settings_target_at(pipeline, i);
        const struct conf_node *item = nth_child(list, i);
        check_format(decoder, item, target);
        conf_check_cloudevents(decoder, item, target);
        check_envelope(decoder, item, target);
        if (target->name == NULL) {
            continue;
        }
        if (!conf_name_valid(target->name)) {
            error_at(decoder, item, "name", name_hint, "name", target->name,
                     " is not a valid name");
        }
        for (size_t before = 0; before < i; before++) {
            const struct settings_target *other = settings_target_at(pipeline, before);
            if (other->name != NULL && strcmp(other->name, target->name) == 0) {
                error_at(decoder, item, "name", "give each target of a pipeline its own `name`",
                         "target", target->name, " stands twice in this pipeline");
                break;
            }
        }
    }
}

static void check_source_reference(const struct conf_decoder *decoder,
                                   const struct settings *settings, const struct conf_node *node,
                                   const struct settings_pipeline *pipeline)
{
    struct nearest nearest;
    nearest_init(&nearest, pipeline->source);
    for (size_t i = 0; i < settings->sources.count; i++) {
        const char *name = settings_source_at(settings, i)->name;
        if (strcmp(name, pipeline->source) == 0) {
            return;
        }
        nearest_offer(&nearest, name);
    }
    conf_report_add(decoder->report, CONF_ERROR, place_of(node, "source"),
                    "name one of the keys of `sources`", "unknown source \"%.100s\"%s%s%s",
                    pipeline->source, nearest.best != NULL ? ": did you mean \"" : "",
                    nearest.best != NULL ? nearest.best : "", nearest.best != NULL ? "\"?" : "");
}

static void check_pipeline_name(const struct conf_decoder *decoder, const struct settings *settings,
                                const struct conf_node *node, size_t index)
{
    const char *name = settings_pipeline_at(settings, index)->name;
    if (!conf_name_valid(name)) {
        error_at(decoder, node, "name", name_hint, "name", name, " is not a valid name");
    }
    for (size_t before = 0; before < index; before++) {
        const char *other = settings_pipeline_at(settings, before)->name;
        if (other != NULL && strcmp(other, name) == 0) {
            error_at(decoder, node, "name", "give each pipeline its own name, over all files",
                     "pipeline", name, " stands twice");
            return;
        }
    }
}

static void check_pipeline(const struct conf_decoder *decoder, const struct settings *settings,
                           const struct conf_node *node, size_t index)
{
    const struct settings_pipeline *pipeline = settings_pipeline_at(settings, index);
    if (node->kind != CONF_NODE_MAP) {
        return; /* reported */
    }
    if (pipeline->name != NULL) {
        check_pipeline_name(decoder, settings, node, index);
    }
    if (pipeline->source != NULL && settings->sources.count > 0) {
        check_source_reference(decoder, settings, node, pipeline);
    }
    const struct conf_node *tables = conf_node_child(node, "tables");
    const struct conf_node *messages = conf_node_child(node, "messages");
    bool faulty = (tables != NULL && tables->kind == CONF_NODE_MAP) ||
                  (messages != NULL && messages->kind == CONF_NODE_MAP);
    if (pipeline->tables.count == 0 && pipeline->messages.count == 0 && !faulty) {
        conf_report_add(decoder->report, CONF_ERROR, place_of(node, "tables"),
                        "add `tables: [public.orders]`, or `tables: [\"*.*\"]` for all",
                        "pipeline \"%.100s\" has neither \"tables\" nor \"messages\"",
                        pipeline->name != NULL ? pipeline->name : "");
    }
    check_patterns(decoder, node, pipeline);
    check_targets(decoder, node, pipeline);
    conf_check_delivery(decoder, node, pipeline);
}

/* A target's address as its plug-in words it. */
struct addressed {
    char *address;
    const struct settings_pipeline *pipeline;
    const struct settings_target *target;
    const struct conf_node *node;
    size_t order; /* in the conf */
};

static int compare_addressed(const void *left, const void *right)
{
    const struct addressed *one = left;
    const struct addressed *other = right;
    int order = strcmp(one->address, other->address);
    return order != 0 ? order : one->order < other->order ? -1 : one->order > other->order;
}

static char *address_of(const struct conf_decoder *decoder, const struct settings_target *target)
{
    char text[ADDRESS_SIZE] = "";
    const struct conf_plugin *plugin =
        conf_plugin_find(decoder->plugins, CONF_FAMILY_TARGET, target->type);
    if (plugin != NULL && plugin->address != NULL && target->options != NULL) {
        plugin->address(target->options, text, sizeof(text));
    }
    return strdup(text);
}

/* Fills `ret_list`, which has room for all targets; returns how many there are. */
static size_t collect_addresses(const struct conf_decoder *decoder, const struct settings *settings,
                                const struct conf_node *pipelines, struct addressed *ret_list)
{
    size_t count = 0;
    const struct conf_node *node = pipelines->first;
    for (size_t i = 0; i < settings->pipelines.count; i++, node = node->next) {
        const struct settings_pipeline *pipeline = settings_pipeline_at(settings, i);
        const struct conf_node *list = conf_node_child(node, "targets");
        const struct conf_node *item = list != NULL ? list->first : NULL;
        for (size_t j = 0; item != NULL && j < pipeline->targets.count; j++, item = item->next) {
            const struct settings_target *target = settings_target_at(pipeline, j);
            char *address = address_of(decoder, target);
            if (address != NULL && address[0] != '\0') {
                ret_list[count] = (struct addressed){.address = address,
                                                     .pipeline = pipeline,
                                                     .target = target,
                                                     .node = item,
                                                     .order = count};
                count++;
            } else {
                free(address);
            }
        }
    }
    return count;
}

static const char *target_word(const struct settings_target *target)
{
    return target->name != NULL ? target->name : target->type;
}

static void check_addresses(const struct conf_decoder *decoder, const struct settings *settings,
                            const struct conf_node *pipelines)
{
    size_t targets = 0;
    for (size_t i = 0; i < settings->pipelines.count; i++) {
        targets += settings_pipeline_at(settings, i)->targets.count;
    }
    struct addressed *list = calloc(targets + 1, sizeof(*list));
    if (list == NULL) {
        conf_report_add(decoder->report, CONF_ERROR, NULL, NULL, "out of memory");
        return;
    }
    size_t count = collect_addresses(decoder, settings, pipelines, list);
    qsort(list, count, sizeof(*list), compare_addressed);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(list[i - 1].address, list[i].address) == 0) {
            const char *pipeline = list[i - 1].pipeline->name;
            conf_report_add(decoder->report, CONF_ERROR, place_of(list[i].node, "name"),
                            "give each target an address of its own",
                            "target \"%.63s\" writes to the same place as target \"%.63s\" of "
                            "pipeline \"%.63s\"",
                            target_word(list[i].target), target_word(list[i - 1].target),
                            pipeline != NULL ? pipeline : "");
        }
    }
    for (size_t i = 0; i < count; i++) {
        free(list[i].address);
    }
    free(list);
}

/* The first of the sources before `index` that reads through the same slot, or NULL. */
static const struct settings_source *slot_user_before(const struct conf_decoder *decoder,
                                                      const struct settings *settings, size_t index)
{
    const struct settings_source *source = settings_source_at(settings, index);
    const struct conf_plugin *plugin =
        conf_plugin_find(decoder->plugins, CONF_FAMILY_SOURCE, source->type);
    if (plugin == NULL || plugin->same_slot == NULL || source->options == NULL) {
        return NULL;
    }
    for (size_t before = 0; before < index; before++) {
        const struct settings_source *other = settings_source_at(settings, before);
        if (other->options != NULL && other->type != NULL &&
            strcmp(other->type, source->type) == 0 &&
            plugin->same_slot(source->name, source->options, other->name, other->options)) {
            return other;
        }
    }
    return NULL;
}

static void check_slots(const struct conf_decoder *decoder, const struct settings *settings,
                        const struct conf_node *sources)
{
    for (size_t i = 0; i < settings->sources.count; i++) {
        const struct conf_node *node = nth_child(sources, i);
        const struct settings_source *other = slot_user_before(decoder, settings, i);
        if (other != NULL) {
            conf_report_add(decoder->report, CONF_ERROR, place_of(node, "slot"),
                            "one program reads a slot: give each source a slot.name of its own, or "
                            "put their pipelines under one source",
                            "source \"%.63s\" reads through the same slot of the same server as "
                            "source \"%.63s\"",
                            settings_source_at(settings, i)->name, other->name);
        }
    }
}

static void check_sources(const struct conf_decoder *decoder, const struct settings *settings,
                          const struct conf_node *sources)
{
    for (size_t i = 0; i < settings->sources.count; i++) {
        const struct settings_source *source = settings_source_at(settings, i);
        const struct conf_node *node = nth_child(sources, i);
        if (!conf_name_valid(source->name)) {
            conf_report_add(decoder->report, CONF_ERROR, &node->key_place, name_hint,
                            "name \"%.100s\" is not a valid name", source->name);
        }
        bool used = false;
        for (size_t j = 0; j < settings->pipelines.count; j++) {
            const char *name = settings_pipeline_at(settings, j)->source;
            used = used || name == NULL || strcmp(name, source->name) == 0;
        }
        if (!used) {
            conf_report_add(decoder->report, CONF_WARNING, &node->key_place,
                            "remove it, or name it in a pipeline",
                            "no pipeline uses source \"%.100s\": it is not connected",
                            source->name);
        } else {
            conf_check_guard(decoder, node, source);
        }
    }
}

/* A target that gives no name is known by its type. A faulty name stays unset. */
static void name_targets(const struct conf_decoder *decoder, struct settings *settings,
                         const struct conf_node *pipelines)
{
    const struct conf_node *node = pipelines->first;
    for (size_t i = 0; i < settings->pipelines.count; i++, node = node->next) {
        const struct settings_pipeline *pipeline = settings_pipeline_at(settings, i);
        struct settings_target *targets = pipeline->targets.items;
        const struct conf_node *list = conf_node_child(node, "targets");
        const struct conf_node *item = list != NULL ? list->first : NULL;
        for (size_t j = 0; item != NULL && j < pipeline->targets.count; j++, item = item->next) {
            if (targets[j].name != NULL || targets[j].type == NULL ||
                conf_node_child(item, "name") != NULL) {
                continue;
            }
            targets[j].name = strdup(targets[j].type);
            if (targets[j].name == NULL) {
                conf_report_add(decoder->report, CONF_ERROR, &item->place, NULL, "out of memory");
            }
        }
    }
}

void conf_check(const struct conf_decoder *decoder, struct settings *settings)
{
    for (size_t i = 0; i < settings->sources.count; i++) {
        if (settings_source_at(settings, i)->name == NULL) {
            return; /* memory was out, and that is reported */
        }
    }
    const struct conf_node *root = decoder->tree->root;
    const struct conf_node *sources = conf_node_child(root, "sources");
    const struct conf_node *pipelines = conf_node_child(root, "pipelines");
    if (settings->api.listen != NULL) {
        const char *fault = conf_listen_fault(settings->api.listen);
        if (fault != NULL) {
            error_at(decoder, conf_node_child(root, "api"), "listen",
                     "write 127.0.0.1:7432, or remove the key to serve the unix socket only",
                     "cannot listen on", settings->api.listen, fault);
        }
    }
    if (sources != NULL) {
        check_sources(decoder, settings, sources);
        check_slots(decoder, settings, sources);
    }
    if (pipelines == NULL || pipelines->kind != CONF_NODE_SEQUENCE) {
        return; /* reported */
    }
    if (settings->pipelines.count == 0) {
        conf_report_add(decoder->report, CONF_ERROR, &pipelines->key_place,
                        "add a pipeline: conf/examples/minimal.yaml shows one",
                        "\"pipelines\" is empty: there is nothing to do");
    }
    name_targets(decoder, settings, pipelines);
    for (size_t i = 0; i < settings->pipelines.count; i++) {
        check_pipeline(decoder, settings, nth_child(pipelines, i), i);
    }
    conf_check_dead_letters(decoder, settings);
    check_addresses(decoder, settings, pipelines);
}
