#include "targets/redis/redis_target.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/thread.h"
#include "targets/redis/options.h"
#include "targets/redis/session.h"
#include "targets/redis/tls.h"

/* One request() of the contract; it belongs to the worker while it is free, else to the thread. */
struct redis_request {
    struct batch *batch; /* a reference */
    struct answer *answer;
    int64_t deadline_us;
};

struct redis_target {
    struct target base;
    const struct redis_options *options; /* borrowed */
    struct target_context context;
    struct redactor redactor;
    struct stream_names names;
    struct session session; /* the thread's while it runs */
    SSL_CTX *tls;           /* owned, from start() to the next; NULL without TLS */
    int wake;               /* an eventfd: written to by stop() */
    pthread_t thread;
    bool running;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t arrived;
    bool stopping;
    struct redis_request *queue; /* owned; a ring of `capacity`, the oldest at `head` */
    size_t capacity;
    size_t head;
    size_t count; /* the one that the thread works on included */
};

static struct redis_target *redis_of(struct target *target)
{
    return (struct redis_target *)target;
}

static void lock_take(struct redis_target *redis)
{
    (void)pthread_mutex_lock(&redis->lock); /* fails only for a bad lock */
}

static void lock_give(struct redis_target *redis)
{
    (void)pthread_mutex_unlock(&redis->lock); /* cannot fail for a lock that is held */
}

/* ---- the thread ---- */

/* The oldest request, which stays at the head of the queue; NULL: stop. */
static struct redis_request *next_request(struct redis_target *redis)
{
    lock_take(redis);
    while (redis->count == 0 && !redis->stopping) {
        (void)pthread_cond_wait(&redis->arrived, &redis->lock); /* woken or not: look again */
    }
    struct redis_request *request = redis->stopping ? NULL : &redis->queue[redis->head];
    lock_give(redis);
    return request;
}

/* With the lock held, or without a thread. */
static void drop_oldest(struct redis_target *redis)
{
    batch_unref(redis->queue[redis->head].batch);
    redis->queue[redis->head] = (struct redis_request){0};
    redis->head = (redis->head + 1) % redis->capacity;
    redis->count--;
}

/* One event of several is known to be poison: the others are sent again without it. */
static bool name_event(struct answer *answer, size_t event, size_t count)
{
    struct verdict *failed = calloc(count, sizeof(*failed));
    if (failed == NULL) {
        return false;
    }
    for (size_t at = 0; at < count; at++) {
        failed[at].event = (uint32_t)at;
        failed[at].poison = at == event;
        (void)snprintf(failed[at].text, sizeof(failed[at].text), "%.95s", /* cut if long */
                       at == event ? answer->error.text : "not sent, because of another event");
    }
    answer->failed = failed;
    answer->failed_count = count;
    answer->status = FAN_OK;
    return true;
}

/* Fills the answer; false when the target stops instead. */
static bool serve(struct redis_target *redis, const struct redis_request *request)
{
    struct answer *answer = request->answer;
    int64_t until_us = clock_monotonic_us() + redis->options->timeout_us;
    size_t event;
    answer->status = session_add(&redis->session, request->batch,
                                 until_us < request->deadline_us ? until_us : request->deadline_us,
                                 &event, &answer->error);
    if (answer->status == FAN_AGAIN) {
        return false;
    }
    size_t count = request->batch->events_count;
    if (answer->status == FAN_POISON && event < count && count > 1) {
        (void)name_event(answer, event, count); /* without memory the batch is halved instead */
    }
    answer->error.status = answer->status;
    return true;
}

/* INVARIANT: the request is free before it is answered, so that the worker finds room. */
static void *redis_run(void *argument)
{
    struct redis_target *redis = argument;
    struct redis_request *request;
    thread_set_name("redis");
    while ((request = next_request(redis)) != NULL && serve(redis, request)) {
        struct answer *answer = request->answer;
        lock_take(redis);
        drop_oldest(redis);
        lock_give(redis);
        redis->context.outcomes->answer(redis->context.outcomes, answer);
    }
    return NULL;
}

/* The thread leaves every signal to others; SIGPIPE, too: the write says so. */
static int thread_start(struct redis_target *redis)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);                            /* cannot fail */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* cannot fail for SIG_SETMASK */
    int result = pthread_create(&redis->thread, NULL, redis_run, redis);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* cannot fail for SIG_SETMASK */
    redis->running = result == 0;
    return result;
}

/* ---- the verbs ---- */

static void redis_destroy(struct target *target)
{
    struct redis_target *redis = redis_of(target);
    if (redis == NULL) {
        return;
    }
    FAN_ASSERT(!redis->running);
    commands_release(&redis->session.commands);
    stream_names_release(&redis->names);
    redactor_release(&redis->redactor);
    SSL_CTX_free(redis->tls);
    if (redis->wake >= 0) {
        (void)close(redis->wake); /* nothing was written that matters */
    }
    (void)pthread_cond_destroy(&redis->arrived); /* fails only while somebody waits */
    (void)pthread_mutex_destroy(&redis->lock);   /* fails only while it is held */
    free(redis->queue);
    free(redis);
}

static enum fan_status make_parts(struct redis_target *redis, struct fan_error *reterr)
{
    const struct redis_options *options = redis->options;
    const char *key;
    redis->capacity = redis->context.requests_max > 0 ? redis->context.requests_max : 1;
    redis->queue = calloc(redis->capacity, sizeof(*redis->queue));
    if (redis->queue == NULL ||
        !redactor_add(&redis->redactor, secret_reveal(&options->password))) {
        return fan_fail(reterr, FAN_RETRY, "could not make target \"%s\": out of memory",
                        redis->context.target);
    }
    redis->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (redis->wake < 0) {
        return fan_fail_errno(reterr, FAN_RETRY, errno, "could not make target \"%s\"",
                              redis->context.target);
    }
    const char *fault =
        stream_names_parse(options->stream, options->stream_other, &redis->names, &key);
    if (fault != NULL) {
        return fan_fail(reterr, FAN_FATAL, "cannot use target \"%s\": %s", redis->context.target,
                        fault);
    }
    redis->session.options = options;
    redis->session.redactor = &redis->redactor;
    return commands_init(&redis->session.commands, options, redis->context.encode, &redis->names,
                         redis->context.format, reterr);
}

static enum fan_status redis_create(const void *options, const struct target_context *context,
                                    struct target **ret_target, struct fan_error *reterr)
{
    struct redis_target *redis = calloc(1, sizeof(*redis));
    if (redis == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not make target \"%s\": out of memory",
                        context->target);
    }
    redis->base.type = &redis_target_type;
    redis->options = options;
    redis->context = *context;
    redis->wake = -1;
    (void)pthread_mutex_init(&redis->lock, NULL);   /* cannot fail with default attributes */
    (void)pthread_cond_init(&redis->arrived, NULL); /* cannot fail with default attributes */
    enum fan_status status = make_parts(redis, reterr);
    if (status != FAN_OK) {
        redis_destroy(&redis->base);
        return status;
    }
    *ret_target = &redis->base;
    return FAN_OK;
}

static void redis_stop(struct target *target)
{
    struct redis_target *redis = redis_of(target);
    if (redis->running) {
        lock_take(redis);
        redis->stopping = true;
        (void)pthread_cond_signal(&redis->arrived); /* fails only for a bad condition */
        lock_give(redis);
        (void)eventfd_write(redis->wake, 1);     /* a one fits */
        (void)pthread_join(redis->thread, NULL); /* it is ours and not joined yet */
        eventfd_t ones;
        (void)eventfd_read(redis->wake, &ones); /* the thread that read it not is gone */
        redis->running = false;
        redis->stopping = false;
        link_release(&redis->session.link);
    }
    while (redis->count > 0) {
        drop_oldest(redis);
    }
}

static enum fan_status redis_start(struct target *target,
                                   const struct target_checkpoint *checkpoint,
                                   struct fan_error *reterr)
{
    struct redis_target *redis = redis_of(target);
    const struct redis_options *options = redis->options;
    struct redis_address address;
    (void)
        checkpoint; /* what was added cannot be taken back: the server knows events by their ids */
    redis_stop(target);
    const char *fault = redis_address_parse(options->address, &address);
    if (fault != NULL) {
        return fan_fail(reterr, FAN_FATAL, "cannot use target \"%s\": %s", redis->context.target,
                        fault);
    }
    SSL_CTX_free(redis->tls); /* its files are read again */
    redis->tls = NULL;
    if (options->tls) {
        enum fan_status status = redis_tls_create(options, &redis->tls, reterr);
        if (status != FAN_OK) {
            return status;
        }
    }
    link_init(&redis->session.link, &address, options->address, redis->tls, redis->wake);
    int result = thread_start(redis);
    if (result != 0) {
        return fan_fail_errno(reterr, FAN_RETRY, result,
                              "could not start the thread of target \"%s\"", redis->context.target);
    }
    return FAN_OK;
}

static enum fan_status redis_request(struct target *target, struct batch *batch,
                                     struct answer *answer, int64_t now_us,
                                     struct fan_error *reterr)
{
    struct redis_target *redis = redis_of(target);
    (void)reterr; /* every failure is an answer */
    FAN_ASSERT(redis->running && batch->events_count > 0);
    int64_t deadline_us = redis->context.deadline_us;
    lock_take(redis);
    bool room = redis->count < redis->capacity;
    if (room) {
        redis->queue[(redis->head + redis->count) % redis->capacity] = (struct redis_request){
            .batch = batch_ref(batch),
            .answer = answer,
            .deadline_us = deadline_us > 0 ? now_us + deadline_us : INT64_MAX};
        redis->count++;
        (void)pthread_cond_signal(&redis->arrived); /* fails only for a bad condition */
    }
    lock_give(redis);
    return room ? FAN_OK : FAN_AGAIN;
}

static int64_t redis_tick(struct target *target, int64_t now_us)
{
    (void)target; /* its thread keeps time */
    (void)now_us;
    return INT64_MAX;
}

static const char *redis_marks_fault(const void *section)
{
    (void)section; /* of no target of this type */
    return "it adds each event alone";
}

const struct target_type redis_target_type = {
    .name = "redis",
    .table = &redis_options_table,
    .create = redis_create,
    .start = redis_start,
    .request = redis_request,
    .tick = redis_tick,
    .stop = redis_stop,
    .destroy = redis_destroy,
    .labels = true,
    .marks_fault = redis_marks_fault,
};
