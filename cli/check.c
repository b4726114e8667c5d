/* check.c - `pgfan check`: the conf, and with --online the primary; changes nothing anywhere. */
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

enum { TABLES_TEXT_MAX = 64 * 1024 * 1024, REPORT_JSON_MAX = 64 * 1024 * 1024 };

/* What one source's check has found so far. */
struct findings {
    const char *source;
    json_t *list; /* NULL: print for people */
    size_t errors;
};

static void report_finding(void *context, const struct source_finding *finding)
{
    static const char *const names[] = {
        [FINDING_OK] = "ok", [FINDING_WARNING] = "warning", [FINDING_ERROR] = "error"};
    struct findings *findings = context;
    const char *severity = names[finding->severity];
    findings->errors += finding->severity == FINDING_ERROR;
    if (findings->list != NULL) {
        json_t *item = json_pack("{s:s, s:s, s:s, s:s}", "severity", severity, "code",
                                 finding->code, "message", finding->text, "hint", finding->hint);
        (void)json_array_append_new(findings->list, item); /* missing when memory is out */
        return;
    }
    (void)printf("%s: %s: ", findings->source, severity); /* main() asks ferror() */
    output_text(stdout, finding->text);
    if (finding->code[0] != '\0') {
        (void)printf(" [%s]", finding->code);
    }
    if (finding->hint[0] != '\0') {
        (void)fputs("\n  hint: ", stdout);
        output_text(stdout, finding->hint);
    }
    (void)fputc('\n', stdout);
}

/* The failure itself, when no finding has said it: the server does not answer, say. */
static void report_failure(struct findings *findings, const struct fan_error *error)
{
    struct source_finding finding = {.severity = FINDING_ERROR};
    memcpy(finding.code, error->code, sizeof(finding.code));
    memcpy(finding.text, error->text, sizeof(finding.text));
    memcpy(finding.hint, error->hint, sizeof(finding.hint));
    report_finding(findings, &finding);
}

static json_t *tables_json(const char *text)
{
    json_t *list = json_array();
    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        (void)json_array_append_new(list, json_stringn(text, size)); /* missing without memory */
        text += size + (text[size] == '\n');
    }
    return list;
}

static void print_tables(const char *source, const char *text)
{
    size_t count = 0;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) {
        count++;
    }
    (void)printf("%s: %zu tables\n", source, count);
    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        (void)printf("  %.*s\n", (int)size, text);
        text += size + (text[size] == '\n');
    }
}

/* Returns whether the primary can serve. */
static bool check_source(const struct settings *settings, size_t index, json_t *sources)
{
    struct primary primary = {0};
    struct fan_error error = {0};
    struct findings findings = {.source = settings_source_at(settings, index)->name};
    findings.list = sources == NULL ? NULL : json_array();
    struct bytes tables;
    bytes_init(&tables, TABLES_TEXT_MAX);
    enum fan_status status = primary_init(settings, index, &primary, &error);
    if (status == FAN_OK) {
        status = primary.type->check(&primary.setup, report_finding, &findings, &tables, &error);
    }
    if (status != FAN_OK && findings.errors == 0) {
        report_failure(&findings, &error);
    }
    if (sources != NULL) {
        json_t *item = json_pack("{s:s, s:b, s:b, s:o, s:o}", "name", findings.source, "serves",
                                 status == FAN_OK, "reachable", status != FAN_RETRY, "findings",
                                 findings.list, "tables", tables_json(bytes_text(&tables)));
        (void)json_array_append_new(sources, item); /* missing when memory is out */
    } else if (status != FAN_RETRY) {
        print_tables(findings.source, bytes_text(&tables));
    }
    bytes_release(&tables);
    primary_release(&primary);
    return status == FAN_OK;
}

static int check_online(const struct settings *settings, json_t *sources)
{
    int status = EXIT_FINE;
    for (size_t i = 0; i < settings->sources.count; i++) {
        if (!check_source(settings, i, sources)) {
            status = EXIT_SOURCE;
        }
    }
    return status;
}

static size_t targets_count(const struct settings *settings)
{
    size_t count = 0;
    for (size_t i = 0; i < settings->pipelines.count; i++) {
        count += settings_pipeline_at(settings, i)->targets.count;
    }
    return count;
}

static json_t *report_json(const struct conf_report *report)
{
    struct bytes text;
    bytes_init(&text, REPORT_JSON_MAX);
    conf_report_print_json(report, &text);
    json_t *object = json_loads(bytes_text(&text), 0, NULL);
    bytes_release(&text);
    return object;
}

static int check_json(const struct settings *settings, const struct conf_report *report,
                      bool online)
{
    json_t *object = report_json(report);
    int status = report->errors > 0 ? EXIT_CONF : EXIT_FINE;
    if (report->errors == 0) {
        /* Members are missing when memory is out. */
        (void)json_object_set_new(object, "source_count",
                                  json_integer((json_int_t)settings->sources.count));
        (void)json_object_set_new(object, "pipeline_count",
                                  json_integer((json_int_t)settings->pipelines.count));
        (void)json_object_set_new(object, "target_count",
                                  json_integer((json_int_t)targets_count(settings)));
    }
    if (report->errors == 0 && online) {
        json_t *sources = json_array();
        status = check_online(settings, sources);
        (void)json_object_set_new(object, "sources", sources);
    }
    int printed = output_json(object);
    return status == EXIT_FINE ? printed : status;
}

static int check_text(const struct settings *settings, const struct conf_report *report,
                      bool online)
{
    conf_arguments_print(report);
    if (report->errors > 0) {
        (void)fprintf(stderr, "pgfan: the conf has %zu fault%s\n", report->errors,
                      report->errors == 1 ? "" : "s"); /* there is no other place to say it */
        return EXIT_CONF;
    }
    (void)printf("conf is valid: sources %zu, pipelines %zu, targets %zu\n",
                 settings->sources.count, settings->pipelines.count, targets_count(settings));
    return online ? check_online(settings, NULL) : EXIT_FINE;
}

static int run_check(const struct command *command, const struct arguments *arguments)
{
    (void)command; /* the line holds nothing that depends on it */
    struct settings settings = {0};
    struct conf_report report = {0};
    bool online = arguments_flag(arguments, "online");
    enum fan_status loaded = conf_arguments_read(arguments, &settings, &report);
    if (loaded != FAN_OK && report.errors == 0) {
        report.errors = 1; /* memory was out: never call it valid */
    }
    int status = arguments_flag(arguments, "json") ? check_json(&settings, &report, online)
                                                   : check_text(&settings, &report, online);
    conf_report_release(&report);
    settings_release(&settings);
    return status;
}

static const struct command_option options[] = {
    OPTION_CONF,
    OPTION_SET,
    {.name = "online",
     .help = "also check every source's server: settings, privileges, publication, tables, slot"},
    OPTION_JSON,
};

const struct command command_check = {
    .name = "check",
    .summary = "validate the conf, and with --online the primary",
    .arguments = "",
    .help = "Every fault of the conf is shown in one go, with file, line and column, and the exit "
            "status is 78. Nothing is created or changed, on disk or on a server.\n\n"
            "With --online each source is asked whether it can serve: every finding is shown with "
            "the SQL or the setting that mends it, and the tables that the patterns stand for. The "
            "exit status is 69 when a source cannot serve or does not answer.",
    .options = options,
    .options_count = CONF_COUNT(options),
    .run = run_check,
};
