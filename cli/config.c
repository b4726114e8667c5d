/* config.c - `pgfan config`: the effective conf, every default filled in, secrets masked. */
#include <stdio.h>

#include "base/bytes.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/conf_arguments.h"
#include "conf/print.h"
#include "engine/engine.h"

enum { CONF_TEXT_MAX = 64 * 1024 * 1024 };

static int run_config(const struct command *command, const struct arguments *arguments)
{
    (void)command; /* the line holds nothing that depends on it */
    struct settings settings = {0};
    if (!conf_arguments_load(arguments, &settings)) {
        return EXIT_CONF;
    }
    struct bytes text;
    bytes_init(&text, CONF_TEXT_MAX);
    if (arguments_flag(arguments, "json")) {
        conf_print_json(&settings, &text);
    } else {
        conf_print_yaml(&settings, &text);
    }
    bool whole = bytes_ok(&text);
    (void)fputs(bytes_text(&text), stdout); /* main() asks ferror() */
    bytes_release(&text);
    settings_release(&settings);
    return whole ? EXIT_FINE : EXIT_INTERNAL;
}

static const struct command_option options[] = {OPTION_CONF, OPTION_SET, OPTION_JSON};

const struct command command_config = {
    .name = "config",
    .summary = "show the effective conf with defaults, secrets masked",
    .arguments = "",
    .help = "Layers, later ones win: defaults, the file, conf.d beside it, the environment "
            "(PGFAN_LOG__LEVEL=debug), --set. References such as ${env:NAME} are expanded; secrets "
            "are shown as ***.",
    .options = options,
    .options_count = CONF_COUNT(options),
    .run = run_config,
};
