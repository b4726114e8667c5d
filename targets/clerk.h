/*
 * clerk.h - the thread of an answering target whose client library blocks: it serves requests one
 * after the other, and answers them.
 *
 *     clerk_init -> { clerk_start -> clerk_request* -> clerk_stop }* -> clerk_release
 *
 * Whatever the serving function waits for it waits for beside `wake`, or looks at
 * clerk_is_stopping() often, so that clerk_stop() returns soon.
 *
 * INVARIANTS  (1) a request is forgotten before it is answered: the worker that gets the answer
 *                 finds room for the next one.
 *             (2) nothing is answered after clerk_stop().
 * Ownership:  a clerk keeps a reference to the batch of each request until that is answered or
 *             dropped.
 * Threading:  init, start, request, stop and release by the owner of the target; `serve` on the
 *             thread.
 * Limits:     context.requests_max open requests.
 */
#ifndef TARGETS_CLERK_H
#define TARGETS_CLERK_H

#include <pthread.h>
#include <stdbool.h>

#include "targets/target.h"

/* Fills the answer, by `deadline_us` at the latest. False: it was ended by clerk_stop(), and the
 * answer is not given. */
typedef bool clerk_serve(void *context, const struct batch *batch, int64_t deadline_us,
                         struct answer *answer);

struct clerk_request {
    struct batch *batch; /* a reference */
    struct answer *answer;
    int64_t deadline_us;
};

struct clerk {
    const char *name; /* borrowed: of the thread */
    const struct target_context *context;
    clerk_serve *serve;
    void *serve_context;
    int wake; /* an eventfd: readable while the thread is to end */
    pthread_t thread;
    bool running;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t arrived;
    bool stopping;
    struct clerk_request *queue; /* owned; a ring of `capacity`, the oldest at `head` */
    size_t capacity;
    size_t head;
    size_t count; /* the one that is being served included */
};

/* `context` is borrowed. FAN_RETRY: no memory, no descriptor; clerk_release() is due even then. */
enum fan_status clerk_init(struct clerk *clerk, const char *name,
                           const struct target_context *context, clerk_serve *serve,
                           void *serve_context, struct fan_error *reterr) FAN_MUST_CHECK;
/* Stopped; accepts a zeroed one. */
void clerk_release(struct clerk *clerk);

enum fan_status clerk_start(struct clerk *clerk, struct fan_error *reterr) FAN_MUST_CHECK;
/* Ends the thread and drops what it has not answered. May be called twice. */
void clerk_stop(struct clerk *clerk);
bool clerk_is_stopping(struct clerk *clerk);

/* request() of the contract: FAN_OK or FAN_AGAIN. */
enum fan_status clerk_request(struct clerk *clerk, struct batch *batch, struct answer *answer,
                              int64_t now_us) FAN_MUST_CHECK;

#endif
