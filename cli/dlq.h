/*
 * dlq.h - the dead letters as the verbs of `pgfan dlq` see them, with an engine or without.
 *
 *     dlq_open -> { dlq_page | dlq_count | ... }* -> dlq_close
 *
 * When an engine answers on the control socket, it is asked. When none does, and no --socket was
 * given, the store's file is opened under the data directory's lock, and no engine can start
 * meanwhile. Results are the same JSON either way (api/letter_json.h).
 *
 * Threading:  the main thread.
 * Errors:     a failure has been printed to stderr, and the exit status is returned. A malformed
 *             selector or a name that nobody knows is EXIT_USAGE.
 */
#ifndef CLI_DLQ_H
#define CLI_DLQ_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/arguments.h"
#include "cli/command.h"
#include "conf/settings.h"
#include "deadletter/deadletter.h"

struct store;

enum dlq_use { DLQ_READ, DLQ_WRITE };

struct dlq {
    const struct command *command; /* borrowed, as the arguments */
    const struct arguments *arguments;
    struct deadletter_filter filter; /* what the options select; borrows their texts */
    json_t *selectors;               /* owned; the same as the body of a request */
    bool selects;                    /* any option restricts */
    uint64_t limit;                  /* --limit, or UINT64_MAX */
    bool on_file;                    /* no engine runs: */
    struct settings settings;        /* empty when --data-dir names the directory */
    int lock;
    struct store *store; /* owned */
};

int dlq_open(const struct command *command, const struct arguments *arguments, enum dlq_use use,
             struct dlq *ret_dlq);
/* Accepts a zeroed object, and one whose opening failed. */
void dlq_close(struct dlq *dlq);

/* Of each the caller decrefs `ret_value`: the answers of api/letter_json.h, for what is selected
 * and has a number above `after`. */
int dlq_page(struct dlq *dlq, uint64_t limit, int64_t after, bool with_payload, json_t **ret_value);
int dlq_show(struct dlq *dlq, int64_t number, bool whole, json_t **ret_value);
int dlq_purge(struct dlq *dlq, uint64_t limit, int64_t after, const char *confirm,
              json_t **ret_value);
/* Needs an engine. */
int dlq_replay(struct dlq *dlq, uint64_t limit, int64_t after, json_t **ret_value);

/* The whole count, in as many requests as it takes: {"count", "bytes", "by_cause", "oldest_at"}. */
int dlq_count(struct dlq *dlq, json_t **ret_value);

/* Says that nothing is selected. Returns EXIT_FINE. */
int dlq_nothing(const struct dlq *dlq);

/* "dead letter" or "dead letters". */
const char *dlq_letters(uint64_t count);

/* Options that the verbs share. */
#define DLQ_OPTIONS_CONF OPTION_CONF, OPTION_SET, OPTION_SOCKET, OPTION_DATA_DIR
#define DLQ_OPTIONS_SELECT                                                                         \
    {.name = "pipeline", .argument = "NAME", .help = "only of this pipeline"},                     \
        {.name = "target", .argument = "NAME", .help = "only of this target"},                     \
        {.name = "table", .argument = "SCHEMA.TABLE", .help = "only of this table"},               \
        {.name = "key",                                                                            \
         .argument = "JSON",                                                                       \
         .help = "only of this key, written as dlq show prints it, such as {\"id\":7}"},           \
        {.name = "since",                                                                          \
         .argument = "TIME",                                                                       \
         .help = "only with a last attempt since then: 2026-11-22T01:02:03Z, 2026-11-22, or how "  \
                 "long ago, such as 90s, 15m, 2h, 7d"},                                            \
        {.name = "error",                                                                          \
         .argument = "TEXT",                                                                       \
         .help = "only with this piece in the error's text or code, whatever its case"},           \
        {.name = "cause", .argument = "CAUSE", .help = "only poison, parked or isolated ones"},    \
    {                                                                                              \
        .name = "after", .argument = "NUMBER", .help = "only those with a greater number"          \
    }

#endif
