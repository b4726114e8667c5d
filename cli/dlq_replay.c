/* dlq_replay.c - `pgfan dlq replay` and `purge`: the two ways out. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/answer.h"
#include "cli/dlq.h"
#include "cli/failure.h"
#include "cli/output.h"
#include "conf/option.h"
#include "engine/engine.h"

enum { REPLAY_SLICE = 500, BAR_WIDTH = 30 };

struct replay {
    uint64_t succeeded;
    uint64_t failed;
    bool stopped;
    char why[512];
    uint64_t total; /* to be tried */
    bool bar;       /* standard error is a terminal */
};

static void draw_bar(const struct replay *replay)
{
    if (!replay->bar || replay->total == 0) {
        return;
    }
    uint64_t tried = replay->succeeded + replay->failed;
    tried = tried < replay->total ? tried : replay->total;
    char bar[BAR_WIDTH + 1];
    size_t full = (size_t)(tried * BAR_WIDTH / replay->total);
    memset(bar, '.', BAR_WIDTH);
    memset(bar, '#', full);
    bar[BAR_WIDTH] = '\0';
    /* A terminal that cannot be written to misses the bar only. */
    (void)fprintf(stderr, "\rreplay [%s] %" PRIu64 "/%" PRIu64, bar, tried, replay->total);
    (void)fflush(stderr);
}

static void erase_bar(const struct replay *replay)
{
    if (replay->bar) {
        (void)fputs("\r\033[K", stderr);
    }
}

static void add_slice(struct replay *replay, const json_t *answer)
{
    int64_t succeeded = answer_number(answer, "succeeded");
    int64_t failed = answer_number(answer, "failed");
    replay->succeeded += succeeded > 0 ? (uint64_t)succeeded : 0;
    replay->failed += failed > 0 ? (uint64_t)failed : 0;
    replay->stopped = answer_flag(answer, "stopped");
    (void)snprintf(replay->why, sizeof(replay->why), "%s", answer_text(answer, "why")); /* fits */
}

static int replay_all(struct dlq *dlq, struct replay *replay)
{
    int64_t after = dlq->filter.after_number;
    int status = EXIT_FINE;
    bool more = true;
    while (more && status == EXIT_FINE) {
        uint64_t before = replay->succeeded + replay->failed;
        uint64_t left = dlq->limit - before;
        json_t *answer = NULL;
        draw_bar(replay);
        status = dlq_replay(dlq, left < REPLAY_SLICE ? left : REPLAY_SLICE, after, &answer);
        if (status == EXIT_FINE) {
            add_slice(replay, answer);
            after = answer_number(answer, "after");
            more = !replay->stopped && replay->succeeded + replay->failed > before && after > 0 &&
                   replay->succeeded + replay->failed < dlq->limit;
            json_decref(answer);
        }
    }
    erase_bar(replay);
    return status;
}

/* What was done is told even when it ended with a failure. */
static int print_result(const struct dlq *dlq, const struct replay *replay, int status)
{
    if (arguments_flag(dlq->arguments, "json")) {
        int printed = output_json(
            json_pack("{s:I,s:I,s:b,s:s?}", "succeeded", (json_int_t)replay->succeeded, "failed",
                      (json_int_t)replay->failed, "stopped", (int)replay->stopped, "why",
                      replay->stopped ? replay->why : NULL));
        status = status == EXIT_FINE ? printed : status;
    } else {
        (void)printf("%" PRIu64 " succeeded, %" PRIu64 " failed\n", replay->succeeded,
                     replay->failed);
        if (replay->stopped) {
            (void)fputs("stopped: ", stdout);
            output_text(stdout, replay->why);
            (void)fputs("; the rest stays\n", stdout);
        }
    }
    return status == EXIT_FINE && (replay->failed > 0 || replay->stopped) ? EXIT_FAILED : status;
}

static int print_matching(const struct dlq *dlq, int64_t count)
{
    if (arguments_flag(dlq->arguments, "json")) {
        return output_json(json_pack("{s:b,s:I}", "dry_run", 1, "count", (json_int_t)count));
    }
    (void)printf("%" PRId64 " %s\n", count,
                 count == 1 ? "dead letter matches" : "dead letters match");
    return EXIT_FINE;
}

/* How many are selected, as far as the limit allows; true when there is more to do. */
static bool begin(struct dlq *dlq, int64_t *ret_count, int *ret_status)
{
    json_t *counted = NULL;
    *ret_status = dlq_count(dlq, &counted);
    if (*ret_status != EXIT_FINE) {
        return false;
    }
    int64_t count = answer_number(counted, "count");
    json_decref(counted);
    *ret_count = (uint64_t)count > dlq->limit ? (int64_t)dlq->limit : count;
    if (arguments_flag(dlq->arguments, "dry-run")) {
        *ret_status = print_matching(dlq, *ret_count);
        return false;
    }
    if (count == 0 && !arguments_flag(dlq->arguments, "json")) {
        *ret_status = dlq_nothing(dlq);
        return false;
    }
    return true;
}

static int replay(struct dlq *dlq)
{
    int64_t count = 0;
    int status = EXIT_FINE;
    if (!begin(dlq, &count, &status)) {
        return status;
    }
    struct replay replay = {.total = (uint64_t)count, .bar = isatty(STDERR_FILENO) == 1};
    if (count > 0) {
        status = replay_all(dlq, &replay);
    }
    if (status != EXIT_FINE && replay.succeeded + replay.failed == 0) {
        return status;
    }
    return print_result(dlq, &replay, status);
}

static int run_replay(const struct command *command, const struct arguments *arguments)
{
    struct dlq dlq;
    int status = dlq_open(command, arguments, DLQ_READ, &dlq);
    if (status == EXIT_FINE) {
        status = replay(&dlq);
    }
    dlq_close(&dlq);
    return status;
}

/* ---- purge ---- */

static int purge_all(struct dlq *dlq, const char *confirm, uint64_t *purged)
{
    int64_t after = dlq->filter.after_number;
    int status = EXIT_FINE;
    for (bool more = true; more && status == EXIT_FINE && *purged < dlq->limit;) {
        json_t *answer = NULL;
        status = dlq_purge(dlq, dlq->limit - *purged, after, confirm, &answer);
        if (status == EXIT_FINE) {
            *purged += (uint64_t)answer_number(answer, "purged");
            more = answer_flag(answer, "more");
            after = answer_number(answer, "after");
            json_decref(answer);
        }
    }
    return status;
}

static int purge(struct dlq *dlq, const char *confirm)
{
    int64_t count = 0;
    int status = EXIT_FINE;
    uint64_t purged = 0;
    if (!begin(dlq, &count, &status)) {
        return status;
    }
    status = purge_all(dlq, confirm, &purged);
    if (status != EXIT_FINE && purged == 0) {
        return status;
    }
    if (arguments_flag(dlq->arguments, "json")) {
        int printed = output_json(json_pack("{s:I}", "purged", (json_int_t)purged));
        return status == EXIT_FINE ? printed : status;
    }
    (void)printf("%" PRIu64 " %s purged; gap rows say which events are given up\n", purged,
                 dlq_letters(purged));
    return status;
}

static int run_purge(const struct command *command, const struct arguments *arguments)
{
    const char *pipeline = arguments_value(arguments, "pipeline");
    const char *wanted = pipeline == NULL ? "all" : pipeline;
    const char *confirm = arguments_value(arguments, "confirm");
    if (!arguments_flag(arguments, "dry-run") &&
        (confirm == NULL || strcmp(confirm, wanted) != 0)) {
        struct fan_error error = {0};
        (void)fan_fail(&error, FAN_FATAL, "what is purged can never be delivered");
        fan_error_annotate(&error, NULL, "confirm it with --confirm %s; --dry-run counts", wanted);
        return failure_usage(&error, command->name);
    }
    struct dlq dlq;
    int status = dlq_open(command, arguments, DLQ_WRITE, &dlq);
    if (status == EXIT_FINE) {
        status = purge(&dlq, wanted);
    }
    dlq_close(&dlq);
    return status;
}

#define OPTION_DRY_RUN                                                                             \
    {                                                                                              \
        .name = "dry-run", .help = "only count what is selected"                                   \
    }

static const struct command_option replay_options[] = {
    DLQ_OPTIONS_CONF,
    DLQ_OPTIONS_SELECT,
    {.name = "limit", .argument = "N", .help = "at most so many; default: all"},
    OPTION_DRY_RUN,
    OPTION_JSON,
};

const struct command command_dlq_replay = {
    .name = "dlq replay",
    .summary = "deliver dead letters again",
    .arguments = "",
    .help =
        "Needs a running engine. Letters are delivered in their order and removed once they "
        "are durable at the target; what fails stays, with the attempt counted. When the target "
        "is down, the replay stops at once and leaves everything in place. The exit status is "
        "1 when any failed or the replay stopped.",
    .options = replay_options,
    .options_count = CONF_COUNT(replay_options),
    .run = run_replay,
};

static const struct command_option purge_options[] = {
    DLQ_OPTIONS_CONF,
    DLQ_OPTIONS_SELECT,
    {.name = "limit", .argument = "N", .help = "at most so many; default: all"},
    OPTION_DRY_RUN,
    {.name = "confirm",
     .argument = "NAME|all",
     .help = "the pipeline's name once more, or all when no pipeline is selected"},
    OPTION_JSON,
};

const struct command command_dlq_purge = {
    .name = "dlq purge",
    .summary = "give dead letters up for good",
    .arguments = "",
    .help = "Removes them, overwrites their place in the file, and leaves gap rows that say which "
            "events the target will never get. Works with a running engine or without.",
    .options = purge_options,
    .options_count = CONF_COUNT(purge_options),
    .run = run_purge,
};
