#include "cli/primary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The pipelines of the source: counts their patterns, and keeps them when there is a list. */
static size_t collect(const struct settings *settings, const char *source, const char **patterns,
                      bool *ret_messages)
{
    size_t count = 0;
    for (size_t i = 0; i < settings->pipelines.count; i++) {
        const struct settings_pipeline *pipeline = settings_pipeline_at(settings, i);
        if (strcmp(pipeline->source, source) != 0) {
            continue;
        }
        *ret_messages = *ret_messages || pipeline->messages.count > 0;
        for (size_t table = 0; table < pipeline->tables.count; table++) {
            if (patterns != NULL) {
                patterns[count] = pipeline->tables.items[table];
            }
            count++;
        }
    }
    return count;
}

enum fan_status primary_init(const struct settings *settings, size_t index,
                             struct primary *ret_primary, struct fan_error *reterr)
{
    const struct settings_source *source = settings_source_at(settings, index);
    struct primary primary = {.settings = source, .type = source_type_find(source->type)};
    if (primary.type == NULL) {
        return fan_fail(reterr, FAN_FATAL, "source \"%s\" has an unknown type \"%s\"", source->name,
                        source->type);
    }
    bool messages = false;
    size_t count = collect(settings, source->name, NULL, &messages);
    primary.patterns = calloc(count + 1, sizeof(*primary.patterns));
    if (primary.patterns == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not list the tables: out of memory");
    }
    (void)collect(settings, source->name, primary.patterns, &messages); /* as many as before */
    primary.setup = (struct source_setup){
        .name = source->name,
        .options = source->options,
        .tables = {.patterns = primary.patterns, .patterns_count = count, .messages = messages},
    };
    char text[PRIMARY_SLOT_NAME_MAX];
    (void)snprintf(primary.slot, sizeof(primary.slot), "%s",
                   primary.type->slot_name(&primary.setup, text, sizeof(text)));
    *ret_primary = primary;
    return FAN_OK;
}

void primary_release(struct primary *primary)
{
    free(primary->patterns);
    *primary = (struct primary){0};
}
