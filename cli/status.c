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
#include "cli/table.h"
#include "conf/option.h"
#include "engine/engine.h"

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

static void add_source_state(struct table *table, const json_t *source)
{
    if (answer_flag(source, "stalled")) {
        table_add_coloured(table, "stalled", COLOUR_BAD);
    } else if (answer_flag(source, "incomplete")) {
        table_add_coloured(table, "incomplete", COLOUR_BAD);
    } else {
        const char *state = answer_text(source, "state");
        table_add_coloured(table, state, colour_of(state));
    }
}

static const struct table_column source_columns[] = {
    {"SOURCE", TABLE_TEXT, "name", NULL},
    {"STATE", TABLE_TEXT, NULL, add_source_state},
    {"CONFIRMED", TABLE_TEXT, "confirmed_lsn", NULL},
    {"LAG BYTES", TABLE_SIZE, "lag_bytes", NULL},
    {"LAG TIME", TABLE_SECONDS, "lag_seconds", NULL},
    {"RETAINED", TABLE_SIZE, "retained_wal_bytes", NULL},
    {"CHANGES", TABLE_NUMBER, "changes", NULL},
    {"RECONNECTS", TABLE_NUMBER, "reconnects", NULL},
};

static void add_pipeline_state(struct table *table, const json_t *pipeline)
{
    const char *state = answer_text(pipeline, "status.state");
    table_add_coloured(table, state, colour_of(state));
}

static void add_depth(struct table *table, const json_t *pipeline)
{
    char depth[64];
    (void)snprintf(depth, sizeof(depth), "%" PRId64 "/%" PRId64,
                   answer_number(pipeline, "status.buffer.events"),
                   answer_number(pipeline, "status.buffer.capacity_events"));
    table_add(table, depth);
}

static void add_retries(struct table *table, const json_t *pipeline)
{
    int64_t retries = 0;
    size_t index = 0;
    const json_t *target = NULL;
    json_array_foreach(answer_member(pipeline, "status.targets"), index, target)
    {
        retries += answer_number(target, "retries");
    }
    table_add_number(table, retries);
}

static const struct table_column pipeline_columns[] = {
    {"PIPELINE", TABLE_TEXT, "metadata.name", NULL},
    {"STATE", TABLE_TEXT, NULL, add_pipeline_state},
    {"BUFFER", TABLE_NUMBER, NULL, add_depth},
    {"READ", TABLE_NUMBER, "status.counters.read", NULL},
    {"DELIVERED", TABLE_NUMBER, "status.counters.delivered", NULL},
    {"DEAD", TABLE_NUMBER, "status.counters.dead_lettered", NULL},
    {"SPILLED", TABLE_NUMBER, "status.counters.spilled", NULL},
    {"GAP", TABLE_NUMBER, "status.counters.gap", NULL},
    {"FILTERED", TABLE_NUMBER, "status.counters.filtered", NULL},
    {"PENDING", TABLE_NUMBER, "status.counters.pending", NULL},
    {"LAG BYTES", TABLE_SIZE, "status.lag_bytes", NULL},
    {"LAG TIME", TABLE_SECONDS, "status.lag_seconds", NULL},
    {"RETRIES", TABLE_NUMBER, NULL, add_retries},
};

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

static const struct table_column retry_columns[] = {
    {.heading = "RETRY", .kind = TABLE_NUMBER, .member = "number"},
    {.heading = "AT", .kind = TABLE_TIME, .member = "at"},
    {.heading = "TARGET", .kind = TABLE_TEXT, .member = "target"},
    {.heading = "ATTEMPT", .kind = TABLE_NUMBER, .member = "next_attempt"},
    {.heading = "REASON", .kind = TABLE_TEXT, .member = "reason"},
};

static void print_retries(const json_t *answer)
{
    size_t index = 0;
    const json_t *pipeline = NULL;
    json_array_foreach(json_object_get(answer, "pipelines"), index, pipeline)
    {
        const json_t *retries = answer_member(pipeline, "status.retries");
        if (json_array_size(retries) > 0) {
            (void)fputs("\nretries of pipeline ", stdout); /* main() asks ferror() */
            output_text(stdout, answer_text(pipeline, "metadata.name"));
            (void)fputs("\n", stdout);
            table_print_objects(retry_columns, CONF_COUNT(retry_columns), retries);
        }
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
    table_print_objects(source_columns, CONF_COUNT(source_columns),
                        answer_member(answer, "sources"));
    (void)fputc('\n', stdout);
    table_print_objects(pipeline_columns, CONF_COUNT(pipeline_columns),
                        answer_member(answer, "pipelines"));
    print_reasons(answer);
    if (arguments_flag(arguments, "retries")) {
        print_retries(answer);
    }
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
    OPTION_CONF,
    OPTION_SET,
    OPTION_SOCKET,
    OPTION_DATA_DIR,
    OPTION_JSON,
    {.name = "retries", .help = "and the last retries of each pipeline, in order"},
    {.name = "watch", .letter = 'w', .help = "show it again every two seconds"},
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
