/* status.c - `pgfan status`: what GET /status answers, as two tables or as it is. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/answer.h"
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
        const char *state = answer_text(source, "state");
        bool stalled = answer_flag(source, "stalled");
        bool incomplete = answer_flag(source, "incomplete");
        table_add(&table, answer_text(source, "name"));
        table_add_coloured(&table,
                           stalled      ? "stalled"
                           : incomplete ? "incomplete"
                                        : state,
                           stalled || incomplete ? COLOUR_BAD : colour_of(state));
        table_add(&table, answer_text(source, "confirmed_lsn"));
        table_add_size(&table, answer_number(source, "lag_bytes"));
        table_add_seconds(&table, answer_seconds(source, "lag_seconds"));
        table_add_size(&table, answer_number(source, "retained_wal_bytes"));
        table_add_number(&table, answer_number(source, "changes"));
        table_add_number(&table, answer_number(source, "reconnects"));
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
        retries += answer_number(target, "retries");
    }
    return retries;
}

static void add_pipeline(struct table *table, const json_t *pipeline)
{
    const json_t *status = json_object_get(pipeline, "status");
    const json_t *buffer = json_object_get(status, "buffer");
    const json_t *counters = json_object_get(status, "counters");
    const char *state = answer_text(status, "state");
    char depth[64];
    (void)snprintf(depth, sizeof(depth), "%" PRId64 "/%" PRId64, answer_number(buffer, "events"),
                   answer_number(buffer, "capacity_events"));
    table_add(table, answer_text(pipeline, "metadata.name"));
    table_add_coloured(table, state, colour_of(state));
    table_add(table, depth);
    table_add_number(table, answer_number(counters, "read"));
    table_add_number(table, answer_number(counters, "delivered"));
    table_add_number(table, answer_number(counters, "dead_lettered"));
    table_add_number(table, answer_number(counters, "spilled"));
    table_add_number(table, answer_number(counters, "gap"));
    table_add_number(table, answer_number(counters, "filtered"));
    table_add_number(table, answer_number(counters, "pending"));
    table_add_size(table, answer_number(status, "lag_bytes"));
    table_add_seconds(table, answer_seconds(status, "lag_seconds"));
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
    if (!answer_flag(status, "passed_over")) {
        return;
    }
    const char *since = answer_text(status, "passed_over_since");
    (void)fputs("pipeline ", stdout); /* main() asks ferror() */
    output_text(stdout, answer_text(pipeline, "metadata.name"));
    (void)printf(": changes%s%s wait in the slot\n", since[0] == '\0' ? "" : " since ", since);
}

static void print_durability(const json_t *pipeline)
{
    size_t index = 0;
    const json_t *target = NULL;
    json_array_foreach(answer_member(pipeline, "status.targets"), index, target)
    {
        if (strcmp(answer_text(target, "durability"), "os") == 0) {
            (void)fputs("pipeline ", stdout); /* main() asks ferror() */
            output_text(stdout, answer_text(pipeline, "metadata.name"));
            (void)fputs(", target ", stdout);
            output_text(stdout, answer_text(target, "name"));
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
        const char *holder = answer_text(item, "blocked_by");
        print_reason("source", answer_text(item, "name"), answer_text(item, "reason"),
                     answer_text(item, "hint"));
        if (holder[0] != '\0') {
            (void)printf("source %s: blocked by the full buffer of pipeline %s\n",
                         answer_text(item, "name"), holder);
        }
    }
    json_array_foreach(json_object_get(answer, "pipelines"), index, item)
    {
        print_reason("pipeline", answer_text(item, "metadata.name"),
                     answer_text(item, "status.reason"), "");
        print_passed_over(item);
        print_durability(item);
    }
    const json_t *store = json_object_get(answer, "store");
    if (answer_flag(store, "failing")) {
        print_reason("store", "", answer_text(store, "error"), "nothing is confirmed meanwhile");
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
    bool stopping = answer_flag(answer, "stopping");
    bool ready = answer_flag(answer, "ready");
    (void)printf("pgfan %s, %s, started %s\n\n", answer_text(answer, "versions.pgfan"),
                 stopping ? "stopping" : (ready ? "ready" : "not ready"),
                 answer_text(answer, "started_at"));
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
