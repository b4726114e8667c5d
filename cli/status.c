/* status.c - `pgfan status`: what GET /status answers, as two tables or as it is. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/command.h"
#include "cli/output.h"
#include "conf/option.h"
#include "engine/engine.h"

static const char *const source_headings[] = {"SOURCE",   "STATE",    "CONFIRMED", "LAG BYTES",
                                              "LAG TIME", "RETAINED", "CHANGES",   "RECONNECTS"};
static const bool source_right[] = {false, false, false, true, true, true, true, true};

static const char *const pipeline_headings[] = {
    "PIPELINE", "STATE",    "BUFFER",  "READ",      "DELIVERED", "DEAD",   "SPILLED",
    "GAP",      "FILTERED", "PENDING", "LAG BYTES", "LAG TIME",  "RETRIES"};
static const bool pipeline_right[] = {false, false, true, true, true, true, true,
                                      true,  true,  true, true, true, true};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

static int64_t number_of(const json_t *object, const char *key)
{
    const json_t *number = json_object_get(object, key);
    return json_is_integer(number) ? json_integer_value(number) : -1;
}

static double seconds_of(const json_t *object, const char *key)
{
    const json_t *number = json_object_get(object, key);
    return json_is_number(number) ? json_number_value(number) : -1;
}

static enum output_colour colour_of(const char *state)
{
    if (strcasecmp(state, "streaming") == 0) {
        return COLOUR_GOOD;
    }
    return strcasecmp(state, "error") == 0 || strcasecmp(state, "failed") == 0 ||
                   strcasecmp(state, "poisoned") == 0
               ? COLOUR_BAD
               : COLOUR_WARN;
}

static void print_sources(const json_t *sources)
{
    struct table table;
    table_init(&table, source_headings, source_right, CONF_COUNT(source_headings));
    size_t index = 0;
    const json_t *source = NULL;
    json_array_foreach(sources, index, source)
    {
        const char *state = text_of(source, "state");
        bool stalled = json_is_true(json_object_get(source, "stalled"));
        bool incomplete = json_is_true(json_object_get(source, "incomplete"));
        table_add(&table, text_of(source, "name"));
        table_add_coloured(&table,
                           stalled      ? "stalled"
                           : incomplete ? "incomplete"
                                        : state,
                           stalled || incomplete ? COLOUR_BAD : colour_of(state));
        table_add(&table, text_of(source, "confirmed_lsn"));
        table_add_size(&table, number_of(source, "lag_bytes"));
        table_add_seconds(&table, seconds_of(source, "lag_seconds"));
        table_add_size(&table, number_of(source, "retained_wal_bytes"));
        table_add_number(&table, number_of(source, "changes"));
        table_add_number(&table, number_of(source, "reconnects"));
    }
    table_print(&table);
    table_release(&table);
}

static int64_t retries_of(const json_t *status)
{
    int64_t retries = 0;
    size_t index = 0;
    const json_t *target = NULL;
    json_array_foreach(json_object_get(status, "targets"), index, target)
    {
        retries += number_of(target, "retries");
    }
    return retries;
}

static void add_pipeline(struct table *table, const json_t *pipeline)
{
    const json_t *status = json_object_get(pipeline, "status");
    const json_t *buffer = json_object_get(status, "buffer");
    const json_t *counters = json_object_get(status, "counters");
    const char *state = text_of(status, "state");
    char depth[64];
    (void)snprintf(depth, sizeof(depth), "%" PRId64 "/%" PRId64, number_of(buffer, "events"),
                   number_of(buffer, "capacity_events"));
    table_add(table, text_of(json_object_get(pipeline, "metadata"), "name"));
    table_add_coloured(table, state, colour_of(state));
    table_add(table, depth);
    table_add_number(table, number_of(counters, "read"));
    table_add_number(table, number_of(counters, "delivered"));
    table_add_number(table, number_of(counters, "dead_lettered"));
    table_add_number(table, number_of(counters, "spilled"));
    table_add_number(table, number_of(counters, "gap"));
    table_add_number(table, number_of(counters, "filtered"));
    table_add_number(table, number_of(counters, "pending"));
    table_add_size(table, number_of(status, "lag_bytes"));
    table_add_seconds(table, seconds_of(status, "lag_seconds"));
    table_add_number(table, retries_of(status));
}

static void print_pipelines(const json_t *pipelines)
{
    struct table table;
    table_init(&table, pipeline_headings, pipeline_right, CONF_COUNT(pipeline_headings));
    size_t index = 0;
    const json_t *pipeline = NULL;
    json_array_foreach(pipelines, index, pipeline)
    {
        add_pipeline(&table, pipeline);
    }
    table_print(&table);
    table_release(&table);
}

static void print_reason(const char *what, const char *name, const char *reason, const char *hint)
{
    if (reason[0] == '\0') {
        return;
    }
    (void)printf("%s %s: ", what, name); /* main() asks ferror() */
    output_text(stdout, reason);
    if (hint[0] != '\0') {
        (void)fputs("\n  hint: ", stdout);
        output_text(stdout, hint);
    }
    (void)fputc('\n', stdout);
}

/* What a pipeline missed while it did not run is in no counter: PENDING may well be 0. */
static void print_passed_over(const json_t *pipeline)
{
    const json_t *status = json_object_get(pipeline, "status");
    if (!json_is_true(json_object_get(status, "passed_over"))) {
        return;
    }
    const char *since = text_of(status, "passed_over_since");
    (void)fputs("pipeline ", stdout); /* main() asks ferror() */
    output_text(stdout, text_of(json_object_get(pipeline, "metadata"), "name"));
    (void)printf(": changes%s%s wait in the slot\n", since[0] == '\0' ? "" : " since ", since);
}

static void print_durability(const json_t *pipeline)
{
    size_t index = 0;
    const json_t *target = NULL;
    json_array_foreach(json_object_get(json_object_get(pipeline, "status"), "targets"), index,
                       target)
    {
        if (strcmp(text_of(target, "durability"), "os") == 0) {
            (void)fputs("pipeline ", stdout); /* main() asks ferror() */
            output_text(stdout, text_of(json_object_get(pipeline, "metadata"), "name"));
            (void)fputs(", target ", stdout);
            output_text(stdout, text_of(target, "name"));
            (void)fputs(": durability: os, a power cut may lose what is confirmed\n", stdout);
        }
    }
}

/* Reasons are too long for a column. */
static void print_reasons(const json_t *answer)
{
    size_t index = 0;
    const json_t *item = NULL;
    json_array_foreach(json_object_get(answer, "sources"), index, item)
    {
        const char *holder = text_of(item, "blocked_by");
        print_reason("source", text_of(item, "name"), text_of(item, "reason"),
                     text_of(item, "hint"));
        if (holder[0] != '\0') {
            (void)printf("source %s: blocked by the full buffer of pipeline %s\n",
                         text_of(item, "name"), holder);
        }
    }
    json_array_foreach(json_object_get(answer, "pipelines"), index, item)
    {
        print_reason("pipeline", text_of(json_object_get(item, "metadata"), "name"),
                     text_of(json_object_get(item, "status"), "reason"), "");
        print_passed_over(item);
        print_durability(item);
    }
    const json_t *store = json_object_get(answer, "store");
    if (json_is_true(json_object_get(store, "failing"))) {
        print_reason("store", "", text_of(store, "error"), "nothing is confirmed meanwhile");
    }
}

static int print_once(const struct arguments *arguments)
{
    json_t *answer = NULL;
    int status = client_request(arguments, "GET", "/status", NULL, 0, &answer);
    if (status != EXIT_FINE) {
        return status;
    }
    if (arguments_flag(arguments, "json")) {
        return output_json(answer);
    }
    bool stopping = json_is_true(json_object_get(answer, "stopping"));
    bool ready = json_is_true(json_object_get(answer, "ready"));
    (void)printf(
        "pgfan %s, %s, started %s\n\n", text_of(json_object_get(answer, "versions"), "pgfan"),
        stopping ? "stopping" : (ready ? "ready" : "not ready"), text_of(answer, "started_at"));
    print_sources(json_object_get(answer, "sources"));
    (void)fputc('\n', stdout);
    print_pipelines(json_object_get(answer, "pipelines"));
    print_reasons(answer);
    json_decref(answer);
    return EXIT_FINE;
}

static int run_status(const struct command *command, const struct arguments *arguments)
{
    (void)command; /* the line holds nothing that depends on it */
    int status = print_once(arguments);
    while (arguments_flag(arguments, "watch") && status == EXIT_FINE && fflush(stdout) == 0) {
        const struct timespec pause = {.tv_sec = 2};
        (void)nanosleep(&pause, NULL); /* an early look does no harm */
        (void)fputs(output_colours(STDOUT_FILENO) ? "\033[H\033[2J" : "\n", stdout);
        status = print_once(arguments);
    }
    return status;
}

static const struct command_option options[] = {
    OPTION_CONF,   OPTION_SET,
    OPTION_SOCKET, OPTION_DATA_DIR,
    OPTION_JSON,   {.name = "watch", .letter = 'w', .help = "show it again every two seconds"},
};

const struct command command_status = {
    .name = "status",
    .summary = "show what a running engine does",
    .arguments = "",
    .help = "Per source: state, confirmed position, lag in bytes and seconds, WAL that the slot "
            "holds. Per pipeline: state, buffer, and the sum read = delivered + dead_lettered + "
            "spilled + gap + filtered + pending. Below the tables stands why something is not "
            "streaming. With --json it is what GET /status answers (see api.md).",
    .options = options,
    .options_count = CONF_COUNT(options),
    .run = run_status,
};
