/*
 * command.h - the table that describes every command of the program.
 *
 * One table per command is the single source of its parsing, `pgfan help`, the man page and
 * docs/cli.md. A command is a file of this folder plus one line in commands.c.
 *
 * Errors:     run() has printed its failure to stderr and returns the exit status.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct arguments;

struct command_option {
    const char *name;     /* without the dashes */
    char letter;          /* 0: no short form */
    const char *argument; /* how help names the value; NULL: a flag */
    const char *help;     /* a sentence part, lower case, no full stop */
};

struct command {
    const char *name;      /* one or two words: "run", "slot drop" */
    const char *summary;   /* one line */
    const char *arguments; /* positional ones as help shows them, or "" */
    const char *help;      /* paragraphs, separated by an empty line */
    const struct command_option *options;
    size_t options_count;
    size_t arguments_min;
    size_t arguments_max;
    bool hidden; /* left out of help and of the pages */
    int (*run)(const struct command *command, const struct arguments *arguments);
};

/* In the order of the help; NULL-terminated. */
extern const struct command *const commands[];

/*
 * The command that `words` begin with, and how many words its name took; NULL when none does. The
 * longest name wins, so that "slot drop" is found before a "slot" would be.
 */
const struct command *command_find(const char *const *words, size_t words_count,
                                   size_t *ret_words_used);

/*
 * Says what is wrong with words that no command is named by: half the name of some ("slot"), an
 * option or something unknown. `how` stands behind "pgfan" in the hint, such as " help" or "".
 */
void command_unknown(const char *const *words, size_t words_count, const char *how,
                     struct fan_error *ret_error);

/* The name nearest to what was typed, or NULL when nothing is near. */
const char *command_nearest(const char *const *words, size_t words_count);

/* The files that hold a command export it under this name. */
extern const struct command command_run;
extern const struct command command_check;
extern const struct command command_config;
extern const struct command command_tables;
extern const struct command command_status;
extern const struct command command_pause;
extern const struct command command_resume;
extern const struct command command_stop;
extern const struct command command_start;
extern const struct command command_restart;
extern const struct command command_log_level;
extern const struct command command_dlq_list;
extern const struct command command_dlq_show;
extern const struct command command_dlq_count;
extern const struct command command_dlq_replay;
extern const struct command command_dlq_purge;
extern const struct command command_dlq_export;
extern const struct command command_slot_list;
extern const struct command command_slot_drop;
extern const struct command command_version;
extern const struct command command_help;
extern const struct command command_internal_reference;

/* Options that several commands share; help and parsing take them from here. */
#define OPTION_CONF                                                                                \
    {                                                                                              \
        .name = "conf", .letter = 'c', .argument = "FILE|DIR",                                     \
        .help = "the conf file, or a directory whose *.yaml files are read in name order; "        \
                "default: $PGFAN_CONF, then /etc/pgfan/pgfan.yaml"                                 \
    }
#define OPTION_SET                                                                                 \
    {                                                                                              \
        .name = "set", .argument = "KEY=VALUE",                                                    \
        .help = "override one key of the conf, such as log.level=debug or "                        \
                "pipelines.orders.batch.max_events=500; may be repeated, the last one wins"        \
    }
#define OPTION_JSON                                                                                \
    {                                                                                              \
        .name = "json", .help = "print JSON for programs"                                          \
    }
#define OPTION_SOCKET                                                                              \
    {                                                                                              \
        .name = "socket", .argument = "PATH",                                                      \
        .help = "the control socket of the engine; default: pgfan.sock in the data directory"      \
    }
#define OPTION_DATA_DIR                                                                            \
    {                                                                                              \
        .name = "data-dir", .argument = "DIR",                                                     \
        .help = "the engine's data directory; default: data_dir of the conf"                       \
    }

#endif
