#include <jansson.h>
#include <stdio.h>

#include "base/log.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/failure.h"
#include "cli/output.h"
#include "conf/option.h"
#include "engine/engine.h"

static int run_log_level(const struct command *command, const struct arguments *arguments)
{
    const char *level = arguments->positional[0];
    enum log_level parsed = LOG_INFO;
    if (!log_level_parse(level, &parsed)) {
        struct fan_error error = {0};
        (void)fan_fail(&error, FAN_FATAL, "unknown log level \"%s\": error, warn, info or debug",
                       level); /* printed below */
        return failure_usage(&error, command->name);
    }
    json_t *body = json_pack("{s:s}", "level", level);
    json_t *answer = NULL;
    int status = client_request(arguments, "POST", "/log-level", body, 0, &answer);
    json_decref(body);
    if (status != EXIT_FINE) {
        return status;
    }
    if (arguments_flag(arguments, "json")) {
        return output_json(answer);
    }
    json_decref(answer);
    (void)printf("log level is %s\n", level); /* main() asks ferror() */
    return EXIT_FINE;
}

static const struct command_option options[] = {
    OPTION_CONF, OPTION_SET, OPTION_SOCKET, OPTION_DATA_DIR, OPTION_JSON,
};

const struct command command_log_level = {
    .name = "log-level",
    .summary = "change what a running engine logs",
    .arguments = "LEVEL",
    .help = "LEVEL is error, warn, info or debug. It holds until the engine ends; log.level of the "
            "conf holds from the start.",
    .options = options,
    .options_count = CONF_COUNT(options),
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run_log_level,
};
