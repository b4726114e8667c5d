#include "conf/yaml.h"

#include <libfyaml.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/utf8.h"

/* What one parse carries. The stack is the chain of parents: libfyaml's events arrive in document
 * order, so no recursion is needed and depth is a field of the node. */
struct reading {
    struct conf_tree *tree;
    struct conf_file *file;
    struct conf_report *report;
    struct conf_node *root;
    struct conf_node *open; /* the innermost map or list that has not ended */
    struct conf_place key_place;
    const char *key; /* in the tree's memory; NULL: the next scalar of a map is a key */
    size_t key_size;
    unsigned documents;
    bool failed;
};

static void fault(struct reading *reading, struct conf_place place, const char *hint,
                  const char *text)
{
    reading->failed = true;
    conf_report_add(reading->report, CONF_ERROR, &place, hint, "%s", text);
}

static struct conf_place place_at(struct conf_file *file, size_t start, size_t end)
{
    start = start < file->size ? start : file->size;
    end = end < file->size ? end : file->size;
    return (struct conf_place){.file = file, .start = start, .end = end < start ? start : end};
}

static struct conf_place token_place(struct reading *reading, struct fy_token *token)
{
    const struct fy_mark *start = token != NULL ? fy_token_start_mark(token) : NULL;
    const struct fy_mark *end = token != NULL ? fy_token_end_mark(token) : NULL;
    size_t from = start != NULL ? start->input_pos : 0;
    return place_at(reading->file, from, end != NULL ? end->input_pos : from);
}

/* The bytes that libfyaml must not see. Returns false after reporting the first of them. */
static bool guard_passes(struct reading *reading)
{
    const char *text = reading->file->text;
    size_t size = reading->file->size;
    if (size > CONF_FILE_MAX) {
        fault(reading, place_at(reading->file, 0, 0), "split it into files of conf.d",
              "the file is larger than 1 MiB");
        return false;
    }
    bool line_start = true;
    for (size_t at = 0; at < size;) {
        size_t length = utf8_sequence((const uint8_t *)text + at, size - at);
        bool control = length == 1 && (unsigned char)text[at] < 0x20 && text[at] != '\n' &&
                       text[at] != '\r' && text[at] != '\t';
        if (length == 0 || control) {
            fault(reading, place_at(reading->file, at, at), "save the file as UTF-8 text",
                  length == 0 ? "the file is not valid UTF-8 here"
                              : "a control character stands here");
            return false;
        }
        if (line_start && text[at] == '%') {
            fault(reading, place_at(reading->file, at, at + 1),
                  "put a value that starts with % in quotes; YAML directives are not supported",
                  "a line cannot start with %");
            return false;
        }
        line_start = text[at] == '\n' || text[at] == '\r';
        at += length;
    }
    return true;
}

/* A node that is not a key, placed below the open one. Returns NULL after reporting. */
static struct conf_node *add_node(struct reading *reading, enum conf_node_kind kind,
                                  struct conf_place place)
{
    struct conf_node *node = conf_tree_add_node(reading->tree, kind, place);
    if (node == NULL) {
        fault(reading, place, NULL, "the conf has too many values, or out of memory");
        return NULL;
    }
    if (reading->open == NULL) {
        if (reading->root == NULL) {
            reading->root = node;
        }
        return node;
    }
    if (reading->open->depth + 1 >= CONF_DEPTH_MAX) {
        fault(reading, place, NULL, "sections are nested more than 32 deep");
        return NULL;
    }
    if (reading->open->kind == CONF_NODE_MAP) {
        node->key_place = reading->key_place;
        node->key_size = reading->key_size;
        node->key = conf_tree_alloc(reading->tree, reading->key_size + 1);
        if (node->key == NULL) {
            fault(reading, place, NULL, "out of memory");
            return NULL;
        }
        memcpy(node->key, reading->key, reading->key_size);
        reading->key = NULL;
    }
    conf_node_append(reading->open, node);
    return node;
}

/* Finding duplicate keys compares every two keys of a section, so their number has a bound. */
static bool too_many_keys(struct reading *reading, struct conf_place place)
{
    if (reading->open->children_count < CONF_KEYS_MAX) {
        return false;
    }
    fault(reading, place, NULL, "a section has more than 2000 keys");
    return true;
}

static void read_key(struct reading *reading, const char *text, size_t size,
                     struct conf_place place)
{
    if (too_many_keys(reading, place)) {
        return;
    }
    char *key = conf_tree_alloc(reading->tree, size + 1);
    if (key == NULL) {
        fault(reading, place, NULL, "out of memory");
        return;
    }
    memcpy(key, text, size);
    if (strlen(key) != size) {
        fault(reading, place, "remove the \\0", "a key cannot hold a NUL character");
        return;
    }
    if (conf_node_child(reading->open, key) != NULL) {
        /* Not `failed`: the rest is read, so that all other faults are found too. */
        conf_report_add(reading->report, CONF_ERROR, &place, "keep one of them",
                        "key \"%.100s\" stands twice in this section", key);
    }
    reading->key = key;
    reading->key_size = size;
    reading->key_place = place;
}

static void read_scalar(struct reading *reading, struct fy_token *token)
{
    struct conf_place place = token_place(reading, token);
    size_t size = 0;
    const char *text = token != NULL ? fy_token_get_text(token, &size) : NULL;
    text = text != NULL ? text : "";
    bool quoted = token != NULL && fy_scalar_token_get_style(token) != FYSS_PLAIN;
    if (reading->open != NULL && reading->open->kind == CONF_NODE_MAP && reading->key == NULL) {
        read_key(reading, text, size, place);
        return;
    }
    if (size == 0 && reading->key != NULL) {
        place = reading->key_place; /* an empty value has no place of its own */
    }
    struct conf_node *node = add_node(reading, CONF_NODE_SCALAR, place);
    if (node == NULL) {
        return;
    }
    node->plain = !quoted;
    if (!conf_node_set_text(reading->tree, node, text, size)) {
        fault(reading, place, NULL, "out of memory");
    } else if (strlen(node->text) != size) {
        fault(reading, place, "remove the \\0", "a value cannot hold a NUL character");
    }
}

static void begin_container(struct reading *reading, enum conf_node_kind kind,
                            struct fy_token *token)
{
    struct conf_place place = token_place(reading, token);
    if (reading->open != NULL && reading->open->kind == CONF_NODE_MAP && reading->key == NULL) {
        fault(reading, place, "put a plain word before the colon", "a key must be a plain word");
        return;
    }
    struct conf_node *node = add_node(reading, kind, place);
    if (node != NULL) {
        reading->open = node;
    }
}

static void refuse_extras(struct reading *reading, struct fy_token *anchor, struct fy_token *tag)
{
    if (anchor != NULL) {
        fault(reading, token_place(reading, anchor), "write the value out where it is needed",
              "anchors are not supported");
    }
    if (tag != NULL) {
        fault(reading, token_place(reading, tag), "remove the tag; the key decides the type",
              "tags are not supported");
    }
}

static void read_event(struct reading *reading, struct fy_event *event)
{
    switch (event->type) {
    case FYET_DOCUMENT_START:
        if (++reading->documents > 1) {
            fault(reading, token_place(reading, event->document_start.document_start),
                  "put it into a file of its own in conf.d",
                  "a second document in one file is not supported");
        }
        break;
    case FYET_ALIAS:
        fault(reading, token_place(reading, event->alias.anchor),
              "write the value out where it is needed; put a value that starts with * in quotes",
              "aliases are not supported");
        break;
    case FYET_SCALAR:
        refuse_extras(reading, event->scalar.anchor, event->scalar.tag);
        read_scalar(reading, event->scalar.value);
        break;
    case FYET_MAPPING_START:
        refuse_extras(reading, event->mapping_start.anchor, event->mapping_start.tag);
        begin_container(reading, CONF_NODE_MAP, event->mapping_start.mapping_start);
        break;
    case FYET_SEQUENCE_START:
        refuse_extras(reading, event->sequence_start.anchor, event->sequence_start.tag);
        begin_container(reading, CONF_NODE_SEQUENCE, event->sequence_start.sequence_start);
        break;
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        reading->open = reading->open != NULL ? reading->open->parent : NULL;
        reading->key = NULL;
        break;
    default:
        break;
    }
}

/* libfyaml counts lines from 1 and columns from 1 in its collected errors. */
static size_t offset_of(const struct conf_file *file, int line, int column)
{
    size_t at = 0;
    for (int seen = 1; seen < line && at < file->size; seen++) {
        size_t start = 0;
        size_t end = 0;
        conf_file_line(file, at, &start, &end);
        at = end + (end + 1 < file->size && file->text[end] == '\r' && file->text[end + 1] == '\n'
                        ? 2
                        : 1);
    }
    at = at < file->size ? at : file->size;
    for (int seen = 1; seen < column && at < file->size && file->text[at] != '\n'; seen++) {
        at += utf8_sequence((const uint8_t *)file->text + at, file->size - at);
    }
    return at;
}

/* The library's words may quote what it read, and that may be a secret: cut them there. */
static void report_syntax(struct reading *reading, struct fy_diag *diag)
{
    void *cursor = NULL;
    const struct fy_diag_error *error = fy_diag_errors_iterate(diag, &cursor);
    struct conf_place place = place_at(reading->file, reading->file->size, reading->file->size);
    const char *text = "the text ends or breaks off in the middle";
    if (error != NULL) {
        size_t at = offset_of(reading->file, error->line, error->column);
        place = place_at(reading->file, at, at);
        text = error->msg != NULL ? error->msg : text;
    }
    conf_report_add(reading->report, CONF_ERROR, &place,
                    "check indentation, quotes and brackets up to here", "not valid YAML: %.*s",
                    (int)strcspn(text, "'\"\n"), text);
    reading->failed = true;
}

static void destroy_parser(struct fy_parser **parser)
{
    if (*parser != NULL) {
        fy_parser_destroy(*parser);
    }
}

static void destroy_diag(struct fy_diag **diag)
{
    if (*diag != NULL) {
        fy_diag_destroy(*diag);
    }
}

static void discard_output(struct fy_diag *diag, void *user, const char *text, size_t size)
{
    (void)diag; /* what matters is collected and asked for */
    (void)user;
    (void)text;
    (void)size;
}

static void parse_events(struct reading *reading)
{
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL; /* some of its errors bypass collecting, and would go to stderr unmasked */
    diag_cfg.output_fn = discard_output;
    FAN_CLEANUP(destroy_diag) struct fy_diag *diag = fy_diag_create(&diag_cfg);
    if (diag == NULL) {
        fault(reading, place_at(reading->file, 0, 0), NULL, "out of memory");
        return;
    }
    fy_diag_set_collect_errors(diag, true);
    const struct fy_parse_cfg cfg = {
        .search_path = "",
        .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE,
        .diag = diag,
    };
    FAN_CLEANUP(destroy_parser) struct fy_parser *parser = fy_parser_create(&cfg);
    if (parser == NULL ||
        fy_parser_set_string(parser, reading->file->text, reading->file->size) != 0) {
        fault(reading, place_at(reading->file, 0, 0), NULL, "out of memory");
        return;
    }
    bool ended = false;
    size_t errors_max = reading->report->errors + CONF_FAULTS_MAX;
    while (!ended && reading->report->errors < errors_max) {
        struct fy_event *event = fy_parser_parse(parser);
        if (event == NULL) {
            report_syntax(reading, diag);
            return;
        }
        ended = event->type == FYET_STREAM_END;
        bool was_failed = reading->failed;
        read_event(reading, event);
        fy_parser_event_free(parser, event);
        if (reading->failed && !was_failed) {
            return; /* what follows a refused construct has no sure place in the tree */
        }
    }
}

struct conf_node *conf_yaml_parse(struct conf_tree *tree, struct conf_file *file,
                                  struct conf_report *report)
{
    struct reading reading = {.tree = tree, .file = file, .report = report};
    if (!guard_passes(&reading)) {
        return NULL;
    }
    parse_events(&reading);
    if (reading.failed) {
        return NULL;
    }
    file->parsed = true;
    if (reading.root == NULL || conf_node_is_null(reading.root)) {
        struct conf_node *empty = conf_tree_add_node(tree, CONF_NODE_MAP, place_at(file, 0, 0));
        if (empty == NULL) {
            fault(&reading, place_at(file, 0, 0), NULL, "out of memory");
        }
        return empty;
    }
    return reading.root;
}
