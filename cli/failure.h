/*
 * failure.h - how a command says on stderr that it failed, and with which exit status it leaves.
 */
#ifndef CLI_FAILURE_H
#define CLI_FAILURE_H

#include "base/status.h"

/* Beside enum engine_exit: a client command that was refused, or found no engine. */
enum { EXIT_FAILED = 1 };

/* Prints `pgfan: <text>` and, on a line of its own, the hint. Returns `exit_status`. */
int failure_print(const struct fan_error *error, int exit_status);

/* As failure_print(), for what a source's server answered: names the source. */
int failure_print_source(const char *source, const struct fan_error *error, int exit_status);

/* As failure_print(), for a fault of the command line itself: adds where the help stands. */
int failure_usage(const struct fan_error *error, const char *command_name);

/* The exit statuses with their meaning, for the help and the pages; ends with a NULL meaning. */
struct exit_meaning {
    int status;
    const char *meaning;
};
extern const struct exit_meaning exit_meanings[];

#endif
