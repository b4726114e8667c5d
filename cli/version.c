#include <jansson.h>
#include <stdio.h>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/libraries.h"
#include "cli/output.h"
#include "engine/engine.h"

static int run_version(const struct command *command, const struct arguments *arguments)
{
    (void)command; /* the line holds nothing that depends on it */
    size_t count = 0;
    const struct api_version *versions = libraries_versions(&count);
    if (arguments_flag(arguments, "json")) {
        json_t *object = json_object();
        for (size_t i = 0; i < count; i++) {
            /* Out of memory shows as a key that is missing. */
            (void)json_object_set_new(object, versions[i].name, json_string(versions[i].version));
        }
        return output_json(object);
    }
    for (size_t i = 0; i < count; i++) {
        (void)printf("%s %s\n", versions[i].name, versions[i].version); /* main() asks ferror() */
    }
    return EXIT_FINE;
}

static const struct command_option options[] = {OPTION_JSON};

const struct command command_version = {
    .name = "version",
    .summary = "show the version, and those of the libraries",
    .arguments = "",
    .help = "The libraries' versions are those found at run time.",
    .options = options,
    .options_count = CONF_COUNT(options),
    .run = run_version,
};
