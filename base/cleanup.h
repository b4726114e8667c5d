/*
 * cleanup.h - release of local resources at the end of their scope.
 *
 *     FAN_CLEANUP(fan_free_p) char *name = strdup(text);
 *
 * A function named *_p takes the ADDRESS of the variable and treats NULL (or a descriptor of -1)
 * as nothing to do. FAN_STEAL() hands the resource on and leaves nothing behind to release.
 */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

#define FAN_CLEANUP(function) __attribute__((cleanup(function)))

#define FAN_STEAL(pointer)                                                                         \
    (__extension__({                                                                               \
        __typeof__(pointer) stolen_ = (pointer);                                                   \
        (pointer) = NULL;                                                                          \
        stolen_;                                                                                   \
    }))

static inline void fan_free_p(void *address)
{
    free(*(void **)address);
}

static inline void fan_close_p(const int *address)
{
    if (*address >= 0) {
        (void)close(*address); /* nothing written through it needs the result */
    }
}

#endif
