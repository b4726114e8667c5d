#include "targets/redis/resolve.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/thread.h"

struct resolution {
    _Atomic unsigned references; /* the caller, and the thread */
    int descriptor;
    char *host; /* owned */
    char *port;
    int result;
    struct addrinfo *list; /* owned until it is taken */
};

void resolution_drop(struct resolution *resolution)
{
    if (resolution == NULL || atomic_fetch_sub(&resolution->references, 1) > 1) {
        return;
    }
    if (resolution->list != NULL) {
        freeaddrinfo(resolution->list);
    }
    if (resolution->descriptor >= 0) {
        (void)close(resolution->descriptor); /* nothing was written that matters */
    }
    free(resolution->host);
    free(resolution->port);
    free(resolution);
}

static void *resolution_run(void *argument)
{
    struct resolution *resolution = argument;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    thread_set_name("redis-resolve");
    resolution->result = getaddrinfo(resolution->host, resolution->port, &hints, &resolution->list);
    const uint64_t one = 1;
    ssize_t written = write(resolution->descriptor, &one, sizeof(one));
    (void)written; /* an eventfd that was never written to takes a one */
    resolution_drop(resolution);
    return NULL;
}

static int start_thread(struct resolution *resolution)
{
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);                            /* cannot fail */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* cannot fail for SIG_SETMASK */
    int result = pthread_create(&thread, NULL, resolution_run, resolution);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* cannot fail for SIG_SETMASK */
    if (result == 0) {
        (void)pthread_detach(thread); /* it is ours and not joined */
    }
    return result;
}

enum fan_status resolution_start(const char *host, const char *port,
                                 struct resolution **ret_resolution, struct fan_error *reterr)
{
    struct resolution *resolution = calloc(1, sizeof(*resolution));
    if (resolution == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not look \"%s\" up: out of memory", host);
    }
    atomic_store(&resolution->references, 2);
    resolution->descriptor = eventfd(0, EFD_CLOEXEC);
    resolution->host = strdup(host);
    resolution->port = strdup(port);
    int result = resolution->descriptor < 0                             ? errno
                 : resolution->host == NULL || resolution->port == NULL ? ENOMEM
                                                                        : 0;
    if (result == 0) {
        result = start_thread(resolution);
    }
    if (result != 0) {
        atomic_store(&resolution->references, 1);
        resolution_drop(resolution);
        return fan_fail_errno(reterr, FAN_RETRY, result, "could not look \"%s\" up", host);
    }
    *ret_resolution = resolution;
    return FAN_OK;
}

int resolution_descriptor(const struct resolution *resolution)
{
    return resolution->descriptor;
}

int resolution_take(struct resolution *resolution, struct addrinfo **ret_list)
{
    *ret_list = resolution->list;
    resolution->list = NULL;
    return resolution->result;
}
