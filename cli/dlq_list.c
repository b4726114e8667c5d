/* dlq_list.c - `pgfan dlq list`, `show` and `count`. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli/answer.h"
#include "cli/dlq.h"
#include "cli/failure.h"
#include "cli/output.h"
#include "cli/table.h"
#include "conf/option.h"
#include "deadletter/selector.h"
#include "engine/engine.h"

enum { LIST_DEFAULT = 100 };

static const struct table_column columns[] = {
    {"NUMBER", TABLE_NUMBER, "number", NULL},
    {"PIPELINE", TABLE_TEXT, "pipeline", NULL},
    {"TARGET", TABLE_TEXT, "target", NULL},
    {"TABLE", TABLE_TEXT, "table", NULL},
    {"KEY", TABLE_TEXT, "key", NULL},
    {"OP", TABLE_TEXT, "op", NULL},
    {"CAUSE", TABLE_TEXT, "cause", NULL},
    {"CODE", TABLE_TEXT, "code", NULL},
    {"ATTEMPTS", TABLE_NUMBER, "attempts", NULL},
    {"LAST", TABLE_TIME, "last_at", NULL},
    {"ERROR", TABLE_TEXT, "error", NULL},
};

/* Gathers pages until the limit, or the end. `ret_more`: others match, behind `ret_after`. */
static int gather(struct dlq *dlq, uint64_t limit, json_t *list, bool *ret_more, int64_t *ret_after)
{
    int64_t after = dlq->filter.after_number;
    bool more = true;
    while (more && json_array_size(list) < limit) {
        json_t *page = NULL;
        int status = dlq_page(dlq, limit - json_array_size(list), after, false, &page);
        if (status != EXIT_FINE) {
            return status;
        }
        (void)json_array_extend(list, json_object_get(page, "dead_letters"));
        more = answer_flag(page, "more");
        after = answer_number(page, "after");
        json_decref(page);
    }
    *ret_more = more;
    *ret_after = after;
    return EXIT_FINE;
}

static void print_list(const json_t *list, bool more, int64_t after)
{
    table_print_objects(columns, CONF_COUNT(columns), list);
    if (more) {
        (void)printf("... more match: raise --limit, or go on with --after %" PRId64 "\n", after);
    }
}

static int list(struct dlq *dlq)
{
    uint64_t limit = dlq->limit == UINT64_MAX ? LIST_DEFAULT : dlq->limit;
    json_t *letters = json_array();
    bool more = false;
    int64_t after = 0;
    int status = gather(dlq, limit, letters, &more, &after);
    if (status == EXIT_FINE && arguments_flag(dlq->arguments, "json")) {
        json_t *value = json_pack("{s:O,s:b,s:o}", "dead_letters", letters, "more", (int)more,
                                  "after", more ? json_integer(after) : json_null());
        status = output_json(value);
    } else if (status == EXIT_FINE && json_array_size(letters) == 0) {
        status = dlq_nothing(dlq);
    } else if (status == EXIT_FINE) {
        print_list(letters, more, after);
    }
    json_decref(letters);
    return status;
}

static int run_list(const struct command *command, const struct arguments *arguments)
{
    struct dlq dlq;
    int status = dlq_open(command, arguments, DLQ_READ, &dlq);
    if (status == EXIT_FINE) {
        status = list(&dlq);
    }
    dlq_close(&dlq);
    return status;
}

/* ---- show ---- */

static void print_member(const char *title, const char *text)
{
    (void)printf("%-15s", title); /* main() asks ferror() */
    output_text(stdout, text[0] == '\0' ? "-" : text);
    (void)fputc('\n', stdout);
}

static void print_letter(const json_t *letter)
{
    static const char *const members[] = {
        "pipeline", "target",     "source",   "table",        "key",    "op",
        "id",       "commit_lsn", "seq",      "committed_at", "cause",  "code",
        "error",    "attempts",   "first_at", "last_at",      "format", "payload_bytes"};
    (void)printf("dead letter %" PRId64 "\n", answer_number(letter, "number"));
    for (size_t i = 0; i < CONF_COUNT(members); i++) {
        char number[24];
        const char *text = answer_text(letter, members[i]);
        if (json_is_integer(json_object_get(letter, members[i]))) {
            (void)snprintf(number, sizeof(number), "%" PRId64, answer_number(letter, members[i]));
            text = number;
        }
        print_member(members[i], text);
    }
    bool base64 = strcmp(answer_text(letter, "payload_encoding"), "base64") == 0;
    bool cut = answer_flag(letter, "payload_truncated");
    (void)printf("\npayload%s%s:\n", base64 ? " in base64" : "",
                 cut ? ", cut (the whole: --full)" : "");
    output_text(stdout, answer_text(letter, "payload"));
    (void)fputc('\n', stdout);
}

static int show(struct dlq *dlq, int64_t number)
{
    json_t *letter = NULL;
    int status = dlq_show(dlq, number, arguments_flag(dlq->arguments, "full"), &letter);
    if (status != EXIT_FINE) {
        return status;
    }
    if (arguments_flag(dlq->arguments, "json")) {
        return output_json(letter);
    }
    print_letter(letter);
    json_decref(letter);
    return EXIT_FINE;
}

static int run_show(const struct command *command, const struct arguments *arguments)
{
    int64_t number = 0;
    if (!deadletter_number_parse(arguments->positional[0], INT64_MAX, &number)) {
        struct fan_error error = {0};
        (void)fan_fail(&error, FAN_FATAL, "\"%s\" is not the number of a dead letter",
                       arguments->positional[0]);
        fan_error_annotate(&error, NULL, "pgfan dlq list shows the numbers");
        return failure_usage(&error, command->name);
    }
    struct dlq dlq;
    int status = dlq_open(command, arguments, DLQ_READ, &dlq);
    if (status == EXIT_FINE) {
        status = show(&dlq, number);
    }
    dlq_close(&dlq);
    return status;
}

/* ---- count ---- */

static void print_count(const json_t *count)
{
    const json_t *causes = json_object_get(count, "by_cause");
    int64_t letters = answer_number(count, "count");
    (void)printf("%" PRId64 " %s, %" PRId64 " bytes\n", letters, dlq_letters((uint64_t)letters),
                 answer_number(count, "bytes"));
    (void)printf("poison %" PRId64 ", parked %" PRId64 ", isolated %" PRId64 "\n",
                 answer_number(causes, "poison"), answer_number(causes, "parked"),
                 answer_number(causes, "isolated"));
    (void)printf("oldest since %s\n", answer_text(count, "oldest_at"));
}

static int run_count(const struct command *command, const struct arguments *arguments)
{
    struct dlq dlq;
    json_t *count = NULL;
    int status = dlq_open(command, arguments, DLQ_READ, &dlq);
    if (status == EXIT_FINE) {
        status = dlq_count(&dlq, &count);
    }
    if (status == EXIT_FINE && arguments_flag(arguments, "json")) {
        status = output_json(json_incref(count));
    } else if (status == EXIT_FINE && answer_number(count, "count") == 0) {
        status = dlq_nothing(&dlq);
    } else if (status == EXIT_FINE) {
        print_count(count);
    }
    json_decref(count);
    dlq_close(&dlq);
    return status;
}

#define HOW                                                                                        \
    "When an engine answers on the control socket, it is asked; when none does, the store's file " \
    "is opened, and no engine can start meanwhile."

static const struct command_option list_options[] = {
    DLQ_OPTIONS_CONF,
    DLQ_OPTIONS_SELECT,
    {.name = "limit", .argument = "N", .help = "show at most so many; default: 100"},
    OPTION_JSON,
};

const struct command command_dlq_list = {
    .name = "dlq list",
    .summary = "list dead letters, the oldest first",
    .arguments = "",
    .help = "All given selectors must fit. " HOW
            " Keys are row values: the list is as private as the tables. With --json it is what "
            "GET /dead-letters answers (see api.md).",
    .options = list_options,
    .options_count = CONF_COUNT(list_options),
    .run = run_list,
};

static const struct command_option show_options[] = {
    DLQ_OPTIONS_CONF,
    OPTION_JSON,
    {.name = "full", .help = "the whole payload; default: its first 64 KiB"},
};

const struct command command_dlq_show = {
    .name = "dlq show",
    .summary = "show one dead letter with its payload",
    .arguments = "NUMBER",
    .help = "NUMBER is that of dlq list. The payload is what the target would get; only what is "
            "shown is cut, never what is stored. " HOW,
    .options = show_options,
    .options_count = CONF_COUNT(show_options),
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run_show,
};

static const struct command_option count_options[] = {
    DLQ_OPTIONS_CONF,
    DLQ_OPTIONS_SELECT,
    OPTION_JSON,
};

const struct command command_dlq_count = {
    .name = "dlq count",
    .summary = "count dead letters by cause",
    .arguments = "",
    .help = "All given selectors must fit. " HOW,
    .options = count_options,
    .options_count = CONF_COUNT(count_options),
    .run = run_count,
};
