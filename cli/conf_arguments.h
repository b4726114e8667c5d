/*
 * conf_arguments.h - the conf that a command line names: --conf, --set and their defaults.
 */
#ifndef CLI_CONF_ARGUMENTS_H
#define CLI_CONF_ARGUMENTS_H

#include <stdbool.h>

#include "cli/arguments.h"
#include "conf/report.h"
#include "conf/settings.h"

/* --conf, else $PGFAN_CONF, else /etc/pgfan/pgfan.yaml. Borrowed. */
const char *conf_arguments_path(const struct arguments *arguments);

/* Loads the conf. On false its faults and warnings stand on stderr, EXIT_CONF is the status to
 * leave with, and nothing is to be released; else settings_release() frees the result. Warnings
 * alone are the business of `pgfan check` and `pgfan run`. */
bool conf_arguments_load(const struct arguments *arguments, struct settings *ret_settings);

/* The same in two steps, for who shows the report otherwise. */
enum fan_status conf_arguments_read(const struct arguments *arguments,
                                    struct settings *ret_settings,
                                    struct conf_report *report) FAN_MUST_CHECK;
void conf_arguments_print(const struct conf_report *report);

#endif
