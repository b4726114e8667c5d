#include "conf/scalar.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/secret.h"
#include "base/utf8.h"
#include "conf/dsn.h"
#include "conf/nearest.h"
#include "conf/value.h"

enum { SHOWN_VALUE_MAX = 60 };

/* A scalar while it is decoded. `place` is NULL for a default. */
struct scalar {
    const struct conf_option *option;
    const struct conf_place *place;
    const char *written; /* before expansion: what messages may show */
    const char *text;    /* after expansion; only for use, never for messages */
    size_t size;
    struct expansion expansion;
};

bool conf_option_is_dsn(const struct conf_option *option)
{
    size_t size = strlen(option->key);
    return option->type == CONF_SECRET &&
           (strcmp(option->key, "dsn") == 0 ||
            (size > 4 && strcmp(option->key + size - 4, "_dsn") == 0));
}

static void fault(const struct conf_decoder *decoder, const struct scalar *scalar, const char *hint,
                  const char *format, ...) FAN_PRINTF(4, 5);

static void fault(const struct conf_decoder *decoder, const struct scalar *scalar, const char *hint,
                  const char *format, ...)
{
    char text[FAN_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args); /* truncation is meant */
    va_end(args);
    conf_report_add(decoder->report, CONF_ERROR, scalar->place, hint, "%s", text);
}

static bool open_scalar(const struct conf_decoder *decoder, struct conf_node *node,
                        const struct conf_option *option, struct scalar *ret_scalar)
{
    *ret_scalar = (struct scalar){.option = option,
                                  .place = &node->place,
                                  .written = node->text,
                                  .text = node->text,
                                  .size = node->text_size};
    if (node->kind != CONF_NODE_SCALAR) {
        ret_scalar->place = node->key_place.file != NULL ? &node->key_place : &node->place;
        char hint[200];
        (void)snprintf(hint, sizeof(hint), "write `%s: %s`", option->key,
                       option->example != NULL ? option->example : "value"); /* may be cut */
        fault(decoder, ret_scalar, hint, "\"%s\" must be a single value, not a %s", option->key,
              node->kind == CONF_NODE_MAP ? "section" : "list");
        return false;
    }
    node->disclosed = option->type != CONF_SECRET && !option->masked;
    /* `special_values: null` is a word there, and nobody would put it in quotes. */
    bool word = option->type == CONF_CHOICE && strcmp(node->text, "null") == 0;
    if (conf_node_is_null(node) && !word) {
        fault(decoder, ret_scalar, "give it a value, or remove the key to get the default",
              "\"%s\" has no value", option->key);
        return false;
    }
    if (strstr(node->text, "${") == NULL) {
        return true;
    }
    struct fan_error error = {0};
    if (expansion_make(&decoder->environment, node->text, node->text_size, option->templated,
                       &ret_scalar->expansion, &error) != FAN_OK) {
        fault(decoder, ret_scalar, error.hint[0] != '\0' ? error.hint : NULL, "\"%s\": %s",
              option->key, error.text);
        return false;
    }
    ret_scalar->size = ret_scalar->expansion.text.size;
    ret_scalar->text = expansion_text(&ret_scalar->expansion);
    /* A secret goes to its library as it is: its encoding is the server's business. */
    if (option->type != CONF_SECRET &&
        !utf8_valid((const uint8_t *)ret_scalar->text, ret_scalar->size)) {
        fault(decoder, ret_scalar, "save it as UTF-8",
              "\"%s\": what \"%.*s\" stands for is not valid UTF-8", option->key, SHOWN_VALUE_MAX,
              node->text);
        expansion_release(&ret_scalar->expansion);
        return false;
    }
    return true;
}

static void close_scalar(struct scalar *scalar)
{
    expansion_release(&scalar->expansion);
}

/* A bound as it would be written. */
static void append_bound(struct bytes *bytes, const struct conf_option *option, int64_t bound)
{
    if (option->type == CONF_SIZE) {
        value_append_size(bytes, (uint64_t)bound);
    } else if (option->type == CONF_DURATION) {
        value_append_duration(bytes, bound);
    } else {
        bytes_append_format(bytes, "%" PRId64, bound);
    }
}

static bool within_bounds(const struct conf_decoder *decoder, const struct scalar *scalar,
                          int64_t value, const char *of)
{
    const struct conf_option *option = scalar->option;
    bool low = value < option->minimum;
    bool high = option->maximum != 0 && value > option->maximum;
    if (!low && !high) {
        return true;
    }
    struct bytes bound;
    bytes_init(&bound, 100);
    append_bound(&bound, option, low ? option->minimum : option->maximum);
    fault(decoder, scalar, NULL, "%s\"%s\" must be at %s %s", of, option->key,
          low ? "least" : "most", bytes_text(&bound));
    bytes_release(&bound);
    return false;
}

static void decode_integer(const struct conf_decoder *decoder, const struct scalar *scalar,
                           int64_t *field)
{
    int64_t value = 0;
    if (!value_parse_integer(scalar->text, &value)) {
        fault(decoder, scalar, "write digits only, such as 1000",
              "\"%s\" is not a whole number: \"%.*s\"", scalar->option->key, SHOWN_VALUE_MAX,
              scalar->written);
    } else if (within_bounds(decoder, scalar, value, "")) {
        *field = value;
    }
}

static void decode_size(const struct conf_decoder *decoder, const struct scalar *scalar,
                        uint64_t *field)
{
    uint64_t value = 0;
    if (!value_parse_size(scalar->text, &value)) {
        fault(decoder, scalar, "write a size such as 1000, 16kB, 64MiB or 10GiB",
              "\"%s\" is not a size: \"%.*s\"", scalar->option->key, SHOWN_VALUE_MAX,
              scalar->written);
    } else if (within_bounds(decoder, scalar, (int64_t)value, "")) {
        *field = value;
    }
}

static void decode_duration(const struct conf_decoder *decoder, const struct scalar *scalar,
                            int64_t *field)
{
    bool milliseconds = value_key_is_milliseconds(scalar->option->key);
    int64_t value = 0;
    if (!value_parse_duration(scalar->text, milliseconds, &value)) {
        fault(decoder, scalar,
              milliseconds ? "write milliseconds such as 50, or a duration such as 50ms or 1s"
                           : "write a number with its unit: 50ms, 1s, 2m or 1h",
              "\"%s\" is not a duration: \"%.*s\"", scalar->option->key, SHOWN_VALUE_MAX,
              scalar->written);
    } else if (within_bounds(decoder, scalar, value, "")) {
        *field = value;
    }
}

static void decode_bool(const struct conf_decoder *decoder, const struct scalar *scalar,
                        bool *field)
{
    if (strcmp(scalar->text, "true") == 0) {
        *field = true;
    } else if (strcmp(scalar->text, "false") == 0) {
        *field = false;
    } else {
        fault(decoder, scalar, "write true or false", "\"%s\" must be true or false, not \"%.*s\"",
              scalar->option->key, SHOWN_VALUE_MAX, scalar->written);
    }
}

static void report_choice(const struct conf_decoder *decoder, const struct scalar *scalar)
{
    struct nearest nearest;
    /* An expanded text may be secret, and the nearest word would tell of it. */
    nearest_init(&nearest, scalar->expansion.expanded ? "" : scalar->text);
    struct bytes hint;
    bytes_init(&hint, 500);
    BYTES_APPEND_LITERAL(&hint, "use one of: ");
    size_t listed = 0;
    for (const struct conf_choice *choice = scalar->option->choices; choice->name != NULL;
         choice++) {
        if (choice->value != CONF_CHOICE_UNAVAILABLE) {
            nearest_offer(&nearest, choice->name);
            bytes_append_format(&hint, "%s%s", listed++ > 0 ? ", " : "", choice->name);
        }
    }
    fault(decoder, scalar, bytes_text(&hint), "\"%s\" cannot be \"%.*s\"%s%s%s",
          scalar->option->key, SHOWN_VALUE_MAX, scalar->written,
          nearest.best != NULL ? ": did you mean \"" : "", nearest.best != NULL ? nearest.best : "",
          nearest.best != NULL ? "\"?" : "");
    bytes_release(&hint);
}

static void decode_choice(const struct conf_decoder *decoder, const struct scalar *scalar,
                          int *field)
{
    for (const struct conf_choice *choice = scalar->option->choices; choice->name != NULL;
         choice++) {
        if (strcmp(choice->name, scalar->text) != 0) {
            continue;
        }
        if (choice->value == CONF_CHOICE_UNAVAILABLE) {
            fault(decoder, scalar, scalar->option->value_default != NULL ? "remove it" : NULL,
                  "\"%s: %s\" is not available in this version", scalar->option->key, choice->name);
        } else {
            *field = choice->value;
        }
        return;
    }
    report_choice(decoder, scalar);
}

/* A copy of the text, or NULL after reporting. */
static char *text_of(const struct conf_decoder *decoder, const struct scalar *scalar)
{
    char *copy = strdup(scalar->text);
    if (copy == NULL) {
        fault(decoder, scalar, NULL, "out of memory");
    }
    return copy;
}

static void decode_text(const struct conf_decoder *decoder, const struct scalar *scalar,
                        char **field)
{
    if (scalar->size == 0 && scalar->option->minimum > 0) {
        fault(decoder, scalar, "give it a value", "\"%s\" cannot be empty", scalar->option->key);
    } else if (within_bounds(decoder, scalar, (int64_t)scalar->size, "the length of ")) {
        char *copy = text_of(decoder, scalar);
        if (copy != NULL) {
            free(*field); /* NOLINT(clang-analyzer-unix.Malloc): it takes the field for a bool */
            *field = copy;
        }
    }
}

/* Literal secrets in a file warn, and fail where others can read the file. */
static void judge_inline_secret(const struct conf_decoder *decoder, const struct scalar *scalar)
{
    struct conf_file *file = scalar->place != NULL ? scalar->place->file : NULL;
    bool literal = conf_option_is_dsn(scalar->option)
                       ? dsn_has_literal_password(scalar->written)
                       : strstr(scalar->written, "${") == NULL && scalar->written[0] != '\0';
    if (file == NULL || !literal || file->kind == CONF_FILE_ENVIRONMENT) {
        return;
    }
    char hint[300];
    (void)snprintf(hint, sizeof(hint), "use ${env:NAME}, ${file:PATH} or ${cred:NAME} instead%s",
                   conf_option_is_dsn(scalar->option) ? ", or libpq's service and password files"
                                                      : ""); /* fits */
    if (file->kind == CONF_FILE_SET) {
        conf_report_add(decoder->report, CONF_WARNING, scalar->place, hint,
                        "\"%s\" holds a secret that every user of this machine can see in the "
                        "process list",
                        scalar->option->key);
    } else if (file->exposed) {
        (void)snprintf(hint, sizeof(hint),
                       "chmod 0600 the file, or use ${env:NAME}, ${file:PATH} or ${cred:NAME}");
        conf_report_add(decoder->report, CONF_ERROR, scalar->place, hint,
                        "\"%s\" holds a secret, and other users can read this file",
                        scalar->option->key);
    } else {
        conf_report_add(decoder->report, CONF_WARNING, scalar->place, hint,
                        "\"%s\" holds a secret as plain text", scalar->option->key);
    }
}

static void decode_secret(const struct conf_decoder *decoder, const struct scalar *scalar,
                          struct secret *field)
{
    if (scalar->size == 0) {
        fault(decoder, scalar, "give it a value, or remove the key", "\"%s\" cannot be empty",
              scalar->option->key);
        return;
    }
    if (scalar->place != NULL) {
        judge_inline_secret(decoder, scalar);
    }
    if (secret_set(field, scalar->text, scalar->size) != FAN_OK) {
        fault(decoder, scalar, NULL, "out of memory");
    }
}

static void decode_scalar(const struct conf_decoder *decoder, const struct scalar *scalar,
                          void *field)
{
    switch (scalar->option->type) {
    case CONF_BOOL:
        decode_bool(decoder, scalar, field);
        break;
    case CONF_INTEGER:
        decode_integer(decoder, scalar, field);
        break;
    case CONF_SIZE:
        decode_size(decoder, scalar, field);
        break;
    case CONF_DURATION:
        decode_duration(decoder, scalar, field);
        break;
    case CONF_TEXT:
        decode_text(decoder, scalar, field);
        break;
    case CONF_SECRET:
        decode_secret(decoder, scalar, field);
        break;
    case CONF_CHOICE:
        decode_choice(decoder, scalar, field);
        break;
    default:
        FAN_ASSERT(!"not a scalar type");
    }
}

/* A bad value keeps the default, so that later checks see something sensible. */
void conf_scalar_decode(const struct conf_decoder *decoder, struct conf_node *node,
                        const struct conf_option *option, void *field)
{
    if (option->value_default != NULL) {
        conf_scalar_default(decoder, option, field);
    }
    struct scalar scalar;
    if (open_scalar(decoder, node, option, &scalar)) {
        decode_scalar(decoder, &scalar, field);
        close_scalar(&scalar);
    } else if (option->type == CONF_TEXT) {
        free(*(char **)field); /* no check may take the default for what was meant */
        *(char **)field = NULL;
    }
}

void conf_scalar_default(const struct conf_decoder *decoder, const struct conf_option *option,
                         void *field)
{
    struct scalar scalar = {.option = option,
                            .written = option->value_default,
                            .text = option->value_default,
                            .size = strlen(option->value_default)};
    if (option->type != CONF_TEXT_LIST) {
        decode_scalar(decoder, &scalar, field);
        return;
    }
    struct conf_text_list *list = field;
    list->items = calloc(1, sizeof(*list->items));
    char *text = list->items != NULL ? text_of(decoder, &scalar) : NULL;
    if (text != NULL) {
        list->items[list->count++] = text;
    }
}

char *conf_scalar_text(const struct conf_decoder *decoder, struct conf_node *node,
                       const struct conf_option *option)
{
    struct scalar scalar;
    if (!open_scalar(decoder, node, option, &scalar)) {
        return NULL;
    }
    char *copy = text_of(decoder, &scalar);
    close_scalar(&scalar);
    return copy;
}

void conf_scalar_list(const struct conf_decoder *decoder, struct conf_node *node,
                      const struct conf_option *option, struct conf_text_list *ret_list)
{
    const struct scalar whole = {
        .option = option, .place = node->key_place.file != NULL ? &node->key_place : &node->place};
    if (node->kind == CONF_NODE_MAP) {
        fault(decoder, &whole, "write `[one, two]`, or its items below it, each after a `- `",
              "\"%s\" must be a list, not a section", option->key);
        return;
    }
    size_t count = node->kind == CONF_NODE_SCALAR ? 1 : node->children_count;
    if (!within_bounds(decoder, &whole, (int64_t)count, "the number of items of ")) {
        return;
    }
    ret_list->items = calloc(count > 0 ? count : 1, sizeof(*ret_list->items));
    if (ret_list->items == NULL) {
        fault(decoder, &whole, NULL, "out of memory");
        return;
    }
    struct conf_node *item = node->kind == CONF_NODE_SCALAR ? node : node->first;
    for (size_t i = 0; i < count; i++, item = item->next) {
        /* A faulty item stays as NULL, so that later faults still find the places of others. */
        ret_list->items[ret_list->count++] = conf_scalar_text(decoder, item, option);
    }
}
