#include "sources/postgres/origins.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

void origins_release(struct origins *origins)
{
    for (size_t index = 0; index < origins->count; index++) {
        free(origins->names[index]);
    }
    *origins = (struct origins){0};
}

enum fan_status origins_keep(struct origins *origins, const char *name, const char **ret_name,
                             struct fan_error *reterr)
{
    for (size_t index = 0; index < origins->count; index++) {
        if (strcmp(origins->names[index], name) == 0) {
            *ret_name = origins->names[index];
            return FAN_OK;
        }
    }
    *ret_name = NULL;
    if (origins->count == ORIGINS_MAX) {
        return FAN_OK;
    }
    char *copy = strdup(name);
    if (copy == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not keep the name of an origin: out of memory");
    }
    origins->names[origins->count++] = copy;
    if (origins->count == ORIGINS_MAX) {
        log_write(LOG_WARN, "too many replication origins: further ones are not shown",
                  LOG_NUMBER("max", ORIGINS_MAX));
    }
    *ret_name = copy;
    return FAN_OK;
}
