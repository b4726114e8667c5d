/* tables.c - `pgfan tables`: which tables the patterns of each pipeline stand for. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/conf_arguments.h"
#include "cli/failure.h"
#include "cli/output.h"
#include "cli/primary.h"
#include "engine/engine.h"
#include "model/pattern.h"

enum { TABLES_TEXT_MAX = 64 * 1024 * 1024, TABLE_NAME_MAX = 256 };

/* Findings are the business of `pgfan check --online`; only errors are said here. */
static void report_error(void *context, const struct source_finding *finding)
{
    size_t *errors = context;
    if (finding->severity == FINDING_ERROR) {
        (*errors)++;
        struct fan_error error = {0};
        memcpy(error.text, finding->text, sizeof(error.text));
        memcpy(error.hint, finding->hint, sizeof(error.hint));
        (void)failure_print(&error, EXIT_SOURCE); /* the caller counts */
    }
}

/* Whether any pattern of the pipeline takes `table`, which is schema.table. */
static bool takes(const struct settings_pipeline *pipeline, const char *table)
{
    char schema[TABLE_NAME_MAX];
    const char *dot = strchr(table, '.');
    if (dot == NULL || (size_t)(dot - table) >= sizeof(schema)) {
        return false;
    }
    memcpy(schema, table, (size_t)(dot - table));
    schema[dot - table] = '\0';
    for (size_t i = 0; i < pipeline->tables.count; i++) {
        struct pattern pattern;
        if (pattern_parse(pipeline->tables.items[i], &pattern, NULL) == FAN_OK &&
            pattern_match(&pattern, schema, dot + 1)) {
            return true;
        }
    }
    return false;
}

/* The tables of one pipeline, out of those of its source. */
static json_t *pipeline_tables(const struct settings_pipeline *pipeline, const char *text)
{
    json_t *list = json_array();
    char table[2 * TABLE_NAME_MAX];
    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        if (size < sizeof(table)) {
            memcpy(table, text, size);
            table[size] = '\0';
            if (takes(pipeline, table)) {
                (void)json_array_append_new(list, json_string(table)); /* missing without memory */
            }
        }
        text += size + (text[size] == '\n');
    }
    return list;
}

static void add_pipelines(const struct settings *settings, const char *source, const char *text,
                          json_t *object)
{
    for (size_t i = 0; i < settings->pipelines.count; i++) {
        const struct settings_pipeline *pipeline = settings_pipeline_at(settings, i);
        if (strcmp(pipeline->source, source) == 0) {
            (void)json_object_set_new(object, pipeline->name, pipeline_tables(pipeline, text));
        }
    }
}

/* Asks one source and adds its pipelines to the object. Returns an exit status. */
static int expand_source(const struct settings *settings, size_t index, json_t *object)
{
    struct primary primary = {0};
    struct fan_error error = {0};
    size_t errors = 0;
    struct bytes tables;
    bytes_init(&tables, TABLES_TEXT_MAX);
    enum fan_status status = primary_init(settings, index, &primary, &error);
    if (status == FAN_OK) {
        status = primary.type->check(&primary.setup, report_error, &errors, &tables, &error);
    }
    if (status == FAN_OK || tables.size > 0) {
        add_pipelines(settings, settings_source_at(settings, index)->name, bytes_text(&tables),
                      object);
    }
    if (status != FAN_OK && errors == 0) {
        (void)failure_print_source(settings_source_at(settings, index)->name, &error,
                                   EXIT_SOURCE); /* returned below */
    }
    bytes_release(&tables);
    primary_release(&primary);
    return status == FAN_OK ? EXIT_FINE : EXIT_SOURCE;
}

static void print_text(json_t *object)
{
    const char *pipeline = NULL;
    json_t *list = NULL;
    json_object_foreach(object, pipeline, list)
    {
        size_t index = 0;
        json_t *table = NULL;
        (void)printf("%s: %zu tables\n", pipeline, json_array_size(list));
        json_array_foreach(list, index, table)
        {
            (void)printf("  %s\n", json_string_value(table));
        }
    }
}

static int run_tables(const struct command *command, const struct arguments *arguments)
{
    (void)command; /* the line holds nothing that depends on it */
    struct settings settings = {0};
    if (!conf_arguments_load(arguments, &settings)) {
        return EXIT_CONF;
    }
    json_t *object = json_object();
    int status = EXIT_FINE;
    for (size_t i = 0; i < settings.sources.count; i++) {
        int one = expand_source(&settings, i, object);
        status = one == EXIT_FINE ? status : one;
    }
    settings_release(&settings);
    if (arguments_flag(arguments, "json")) {
        int printed = output_json(object);
        return status == EXIT_FINE ? printed : status;
    }
    print_text(object);
    json_decref(object);
    return status;
}

static const struct command_option options[] = {OPTION_CONF, OPTION_SET, OPTION_JSON};

const struct command command_tables = {
    .name = "tables",
    .summary = "show which tables the patterns of each pipeline stand for",
    .arguments = "",
    .help = "Asks every source's server and changes nothing there. The exit status is 69 when a "
            "source does not answer or cannot serve.",
    .options = options,
    .options_count = CONF_COUNT(options),
    .run = run_tables,
};
