#include "cli/conf_arguments.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/failure.h"
#include "cli/output.h"
#include "conf/load.h"
#include "engine/engine.h"

enum { SETS_MAX = 1024, REPORT_TEXT_MAX = 16 * 1024 * 1024 };

const char *conf_arguments_path(const struct arguments *arguments)
{
    const char *given = arguments_value(arguments, "conf");
    if (given == NULL) {
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): pgfan never changes its environment */
        given = getenv("PGFAN_CONF");
    }
    return given != NULL && given[0] != '\0' ? given : "/etc/pgfan/pgfan.yaml";
}

enum fan_status conf_arguments_read(const struct arguments *arguments,
                                    struct settings *ret_settings, struct conf_report *report)
{
    const char *sets[SETS_MAX];
    size_t sets_count = arguments_values(arguments, "set", sets, SETS_MAX);
    if (sets_count > SETS_MAX) {
        conf_report_add(report, CONF_ERROR, NULL, NULL, "--set is given more than %d times",
                        SETS_MAX);
        return FAN_FATAL;
    }
    struct conf_request request = {
        .path = conf_arguments_path(arguments), .sets = sets, .sets_count = sets_count};
    return conf_load(&request, engine_plugins(), ret_settings, report);
}

void conf_arguments_print(const struct conf_report *report)
{
    struct bytes text;
    bytes_init(&text, REPORT_TEXT_MAX);
    conf_report_print(report, output_colours(STDERR_FILENO), &text);
    (void)fputs(bytes_text(&text), stderr); /* there is no other place to say it */
    bytes_release(&text);
}

bool conf_arguments_load(const struct arguments *arguments, struct settings *ret_settings)
{
    struct conf_report report = {0};
    enum fan_status status = conf_arguments_read(arguments, ret_settings, &report);
    if (status != FAN_OK) {
        conf_arguments_print(&report);
    }
    conf_report_release(&report);
    return status == FAN_OK;
}
