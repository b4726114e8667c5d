/*
 * primary.h - the sources of a conf, as the commands that look at a server need them.
 *
 * Ownership:  primary_release() frees the list of patterns; the rest is borrowed from the settings.
 */
#ifndef CLI_PRIMARY_H
#define CLI_PRIMARY_H

#include "conf/settings.h"
#include "sources/source.h"

enum { PRIMARY_SLOT_NAME_MAX = 128 };

struct primary {
    const struct settings_source *settings;
    const struct source_type *type;
    struct source_setup setup;
    const char **patterns; /* owned: of all pipelines of the source */
    char slot[PRIMARY_SLOT_NAME_MAX];
};

/* Source `index` of the settings. */
enum fan_status primary_init(const struct settings *settings, size_t index,
                             struct primary *ret_primary, struct fan_error *reterr) FAN_MUST_CHECK;

/* Accepts a zeroed object. */
void primary_release(struct primary *primary);

#endif
