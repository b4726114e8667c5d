/*
 * plugins.c - what this build can read from, write to and speak, as the conf decoder sees it.
 */
#include "encode/encoder.h"
#include "engine/engine.h"
#include "sources/source.h"
#include "targets/target.h"

enum { PLUGINS_MAX = 32 };

const struct conf_plugins *engine_plugins(void)
{
    static struct conf_plugin sources[PLUGINS_MAX];
    static struct conf_plugin targets[PLUGINS_MAX];
    static const char *formats[PLUGINS_MAX + 1];
    static struct conf_plugins plugins;
    if (plugins.sources != NULL) {
        return &plugins;
    }
    for (size_t index = 0; source_types[index] != NULL && index < PLUGINS_MAX; index++) {
        sources[index] = (struct conf_plugin){.type = source_types[index]->name,
                                              .table = source_types[index]->table,
                                              .same_slot = source_types[index]->same_slot};
        plugins.sources_count = index + 1;
    }
    for (size_t index = 0; target_types[index] != NULL && index < PLUGINS_MAX; index++) {
        targets[index] = (struct conf_plugin){.type = target_types[index]->name,
                                              .table = target_types[index]->table,
                                              .address = target_types[index]->address,
                                              .marks_fault = target_types[index]->marks_fault,
                                              .headers_fault = target_types[index]->headers_fault,
                                              .answers = target_types[index]->request != NULL};
        plugins.targets_count = index + 1;
    }
    for (size_t index = 0; encoder_types[index] != NULL && index < PLUGINS_MAX; index++) {
        formats[index] = encoder_types[index]->name;
    }
    plugins.targets = targets;
    plugins.formats = formats;
    plugins.sources = sources;
    return &plugins;
}
