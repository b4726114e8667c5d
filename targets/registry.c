#include <string.h>

#include "targets/file/file_target.h"
#include "targets/http/http_target.h"
#include "targets/kafka/kafka_target.h"
#include "targets/nats/nats_target.h"
#include "targets/null/null.h"
#include "targets/redis/redis_target.h"
#include "targets/stdout/stdout_target.h"
#include "targets/target.h"

const struct target_type *const target_types[] = {
    &file_target_type,  &http_target_type,   &kafka_target_type, &nats_target_type,
    &redis_target_type, &stdout_target_type, &null_target_type,  NULL,
};

const struct target_type *target_type_find(const char *name)
{
    for (size_t i = 0; target_types[i] != NULL; i++) {
        if (strcmp(target_types[i]->name, name) == 0) {
            return target_types[i];
        }
    }
    return NULL;
}
