#include "targets/redis/resolve.h"

#include <stdlib.h>

struct resolution {
    struct address address;
    int result;
    struct addrinfo *list; /* owned until it is taken */
};

static void resolution_run(void *work)
{
    struct resolution *resolution = work;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    resolution->result =
        getaddrinfo(resolution->address.place, resolution->address.port, &hints, &resolution->list);
}

static void resolution_release(void *work)
{
    struct resolution *resolution = work;
    if (resolution->list != NULL) {
        freeaddrinfo(resolution->list);
    }
    free(resolution);
}

enum fan_status resolution_start(const struct address *address, struct errand **ret_errand,
                                 struct fan_error *reterr)
{
    struct resolution *resolution = calloc(1, sizeof(*resolution));
    if (resolution == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not look \"%s\" up: out of memory",
                        address->place);
    }
    resolution->address = *address;
    enum fan_status status = errand_start("redis-resolve", resolution_run, resolution_release,
                                          resolution, ret_errand, reterr);
    if (status != FAN_OK) {
        resolution_release(resolution);
    }
    return status;
}

int resolution_take(struct errand *errand, struct addrinfo **ret_list)
{
    struct resolution *resolution = errand_work(errand);
    *ret_list = resolution->list;
    resolution->list = NULL;
    return resolution->result;
}
