/*
 * load.h - everything from paths and overrides to checked settings.
 *
 *     struct settings settings = {0};
 *     struct conf_report report = {0};
 *     struct conf_request request = {.path = "pgfan.yaml", .sets = sets, .sets_count = n};
 *     enum fan_status status = conf_load(&request, &plugins, &settings, &report);
 *     conf_report_print(&report, isatty(2), &text);       // warnings too, also when FAN_OK
 *     ...
 *     settings_release(&settings);
 *     conf_report_release(&report);
 *
 * Later layers win:
 *
 *     1. defaults
 *     2. the file, or every *.yaml of a directory in name order
 *     3. all *.yaml of conf.d beside the file (or in the directory) in name order
 *     4. environment: PGFAN_<KEY>__<KEY>=value, as PGFAN_PIPELINES__ORDERS__BATCH__MAX_EVENTS=10
 *     5. --set key.path=value, as pipelines.orders.batch.max_events=10
 *
 * Sections merge key by key; the list `pipelines` grows, everything else is replaced. List items
 * are addressed by their name. The value of an override is plain text, or YAML where it starts with
 * [ or {. References are expanded in all layers.
 *
 * Ownership:  settings and report are the caller's, zeroed before.
 * Threading:  one thread; nothing outlives the call but the results.
 * Errors:     FAN_FATAL when the report has an error; the settings are then untouched.
 * Limits:     those of tree.h.
 */
#ifndef CONF_LOAD_H
#define CONF_LOAD_H

#include "base/status.h"
#include "conf/report.h"
#include "conf/settings.h"

struct conf_request {
    const char *path;        /* of a file or a directory */
    const char *const *sets; /* key.path=value */
    size_t sets_count;
    const char *const *environment; /* NAME=value, ends with NULL; NULL: the process's own */
};

enum fan_status conf_load(const struct conf_request *request, const struct conf_plugins *plugins,
                          struct settings *ret_settings, struct conf_report *report) FAN_MUST_CHECK;

/* The same from bytes in memory, for tests and fuzzing: no conf.d, no environment. */
enum fan_status conf_load_text(const char *name, const char *text, size_t size,
                               const struct conf_plugins *plugins, struct settings *ret_settings,
                               struct conf_report *report) FAN_MUST_CHECK;

#endif
