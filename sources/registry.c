#include <string.h>

#include "sources/postgres/postgres.h"
#include "sources/source.h"

const struct source_type *const source_types[] = {&source_postgres, NULL};

const struct source_type *source_type_find(const char *name)
{
    for (size_t i = 0; source_types[i] != NULL; i++) {
        if (strcmp(source_types[i]->name, name) == 0) {
            return source_types[i];
        }
    }
    return NULL;
}

const char *source_state_name(enum source_state state)
{
    switch (state) {
    case SOURCE_CONNECTING:
        return "CONNECTING";
    case SOURCE_CHECKING:
        return "CHECKING";
    case SOURCE_CREATING:
        return "CREATING";
    case SOURCE_STREAMING:
        return "STREAMING";
    case SOURCE_BLOCKED:
        return "BLOCKED";
    case SOURCE_RECONNECTING:
        return "RECONNECTING";
    case SOURCE_DRAINING:
        return "DRAINING";
    case SOURCE_POISONED:
        return "POISONED";
    case SOURCE_FAILED:
        return "FAILED";
    case SOURCE_STOPPED:
        return "STOPPED";
    }
    return "UNKNOWN";
}
