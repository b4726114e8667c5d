/* verb.c - pause, resume, stop and start of one pipeline. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/command.h"
#include "cli/failure.h"
#include "cli/output.h"
#include "conf/option.h"
#include "engine/engine.h"

enum { PATH_MAX_BYTES = 2048 };

static int run_verb(const struct command *command, const struct arguments *arguments)
{
    char path[PATH_MAX_BYTES] = "/pipelines/";
    bool fits = client_append_segment(path, sizeof(path) - 16, arguments->positional[0]);
    if (!fits) {
        struct fan_error error = {0};
        (void)fan_fail(&error, FAN_FATAL, "the name is too long"); /* printed below */
        return failure_usage(&error, command->name);
    }
    size_t size = strlen(path);
    (void)snprintf(path + size, sizeof(path) - size, "/%s", command->name); /* room is left */
    json_t *answer = NULL;
    int status = client_request(arguments, "POST", path, NULL, 0, &answer);
    if (status != EXIT_FINE) {
        return status;
    }
    if (arguments_flag(arguments, "json")) {
        return output_json(answer);
    }
    const char *name = "?";
    const char *state = "?";
    /* What is missing is shown as "?". */
    (void)json_unpack(answer, "{s:{s:s},s:{s:s}}", "metadata", "name", &name, "status", "state",
                      &state);
    (void)printf("%s %s\n", name, state);
    json_decref(answer);
    return EXIT_FINE;
}

static const struct command_option options[] = {
    OPTION_CONF, OPTION_SET, OPTION_SOCKET, OPTION_DATA_DIR, OPTION_JSON,
};

#define VERB(command_name, command_summary, command_text)                                          \
    {                                                                                              \
        .name = (command_name), .summary = (command_summary), .arguments = "NAME",                 \
        .help = (command_text), .options = options, .options_count = CONF_COUNT(options),          \
        .arguments_min = 1, .arguments_max = 1, .run = run_verb                                    \
    }

const struct command command_pause =
    VERB("pause", "pause a pipeline and keep what it has queued",
         "When it returns, nothing more is handed to the pipeline's targets. The slot is held at "
         "the pipeline's position; other pipelines run on. NAME is the pipeline's name or id.");

const struct command command_resume =
    VERB("resume", "go on with a paused pipeline",
         "What was queued is delivered first, then what went by meanwhile is read again. NAME is "
         "the pipeline's name or id.");

const struct command command_stop =
    VERB("stop", "stop a pipeline and free its memory",
         "What is in flight is made durable and the checkpoint saved; the pipeline stays listed "
         "and holds the slot at its position, also over restarts. NAME is the pipeline's name or "
         "id.");

const struct command command_start =
    VERB("start", "start a stopped or failed pipeline from its checkpoint",
         "Also the way out of the state ERROR, when its cause is mended. NAME is the pipeline's "
         "name or id.");

const struct command command_restart =
    VERB("restart", "restart a pipeline, and try its failed targets at once",
         "A stop and a start in one. Also the way back for a target that said it cannot work, once "
         "that is mended: what it missed is delivered first. NAME is the pipeline's name or id.");
