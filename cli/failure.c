#include "cli/failure.h"

#include <stdio.h>

#include "cli/output.h"
#include "engine/engine.h"

const struct exit_meaning exit_meanings[] = {
    {EXIT_FINE, "success"},
    {EXIT_FAILED, "the request failed: no engine answers, it refused, or not every dead letter "
                  "could be replayed"},
    {EXIT_USAGE, "usage: the command line is wrong"},
    {EXIT_SOURCE, "permanent source error: the primary cannot serve"},
    {EXIT_INTERNAL, "internal error, or not everything could be delivered in time at the stop"},
    {EXIT_STORE_IO, "the store could not be read or written"},
    {EXIT_STOP_ALL, "an error policy stopped everything (stop_all)"},
    {EXIT_CONF, "the conf or the store cannot be used"},
    {0, NULL},
};

int failure_print(const struct fan_error *error, int exit_status)
{
    (void)fputs("pgfan: ", stderr); /* there is no other place to say it */
    output_text(stderr, error->text);
    if (error->hint[0] != '\0') {
        (void)fputs("\n  hint: ", stderr);
        output_text(stderr, error->hint);
    }
    (void)fputc('\n', stderr);
    return exit_status;
}

int failure_print_source(const char *source, const struct fan_error *error, int exit_status)
{
    struct fan_error named;
    (void)fan_fail(&named, FAN_FATAL, "source \"%s\": %s", source, error->text); /* printed below */
    fan_error_annotate(&named, NULL, "%s", error->hint);
    return failure_print(&named, exit_status);
}

int failure_usage(const struct fan_error *error, const char *command_name)
{
    int status = failure_print(error, EXIT_USAGE);
    (void)fprintf(stderr, "  see: pgfan help%s%s\n", command_name == NULL ? "" : " ",
                  command_name == NULL ? "" : command_name);
    return status;
}
