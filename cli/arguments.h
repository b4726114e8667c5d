/*
 * arguments.h - a command line, taken apart by a command's option table.
 *
 * Accepts --name VALUE, --name=VALUE, --flag, -x VALUE, -xVALUE, bundled flags (-jw), and `--`,
 * behind which everything is positional. Options and positional arguments may be mixed. Besides
 * the table every command knows --help and -h.
 *
 * Ownership:  the texts are those of argv; arguments_release() frees the lists.
 * Errors:     FAN_FATAL for a line that the table does not allow; the text names the nearest
 *             option.
 */
#ifndef CLI_ARGUMENTS_H
#define CLI_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "cli/command.h"

struct argument_value {
    const struct command_option *option;
    const char *value; /* NULL of a flag */
};

struct arguments {
    struct argument_value *options; /* owned; in the order given */
    size_t options_count;
    const char **positional; /* owned list of borrowed texts */
    size_t positional_count;
    bool help;
};

enum fan_status arguments_parse(const struct command *command, size_t words_count,
                                const char *const *words, struct arguments *ret_arguments,
                                struct fan_error *reterr) FAN_MUST_CHECK;

/* Accepts a zeroed object. */
void arguments_release(struct arguments *arguments);

bool arguments_flag(const struct arguments *arguments, const char *name);

/* The last value given, or NULL. */
const char *arguments_value(const struct arguments *arguments, const char *name);

/* All values in order: writes up to `values_max` of them and returns how many there are. */
size_t arguments_values(const struct arguments *arguments, const char *name, const char **values,
                        size_t values_max);

#endif
