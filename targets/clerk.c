#include "targets/clerk.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/thread.h"

static void lock_take(struct clerk *clerk)
{
    (void)pthread_mutex_lock(&clerk->lock); /* fails only for a bad lock */
}

static void lock_give(struct clerk *clerk)
{
    (void)pthread_mutex_unlock(&clerk->lock); /* cannot fail for a lock that is held */
}

enum fan_status clerk_init(struct clerk *clerk, const char *name,
                           const struct target_context *context, clerk_serve *serve,
                           void *serve_context, struct fan_error *reterr)
{
    *clerk = (struct clerk){.name = name,
                            .context = context,
                            .serve = serve,
                            .serve_context = serve_context,
                            .wake = -1,
                            .capacity = context->requests_max > 0 ? context->requests_max : 1};
    (void)pthread_mutex_init(&clerk->lock, NULL);   /* cannot fail with default attributes */
    (void)pthread_cond_init(&clerk->arrived, NULL); /* cannot fail with default attributes */
    clerk->queue = calloc(clerk->capacity, sizeof(*clerk->queue));
    if (clerk->queue == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not make target \"%s\": out of memory",
                        context->target);
    }
    clerk->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (clerk->wake < 0) {
        return fan_fail_errno(reterr, FAN_RETRY, errno, "could not make target \"%s\"",
                              context->target);
    }
    return FAN_OK;
}

void clerk_release(struct clerk *clerk)
{
    if (clerk->context == NULL) {
        return;
    }
    FAN_ASSERT(!clerk->running);
    if (clerk->wake >= 0) {
        (void)close(clerk->wake); /* nothing was written that matters */
    }
    (void)pthread_cond_destroy(&clerk->arrived); /* fails only while somebody waits */
    (void)pthread_mutex_destroy(&clerk->lock);   /* fails only while it is held */
    free(clerk->queue);
    *clerk = (struct clerk){0};
}

/* With the lock held, or without a thread. */
static void drop_oldest(struct clerk *clerk)
{
    batch_unref(clerk->queue[clerk->head].batch);
    clerk->queue[clerk->head] = (struct clerk_request){0};
    clerk->head = (clerk->head + 1) % clerk->capacity;
    clerk->count--;
}

/* The oldest request, which stays at the head of the queue; NULL: stop. */
static struct clerk_request *next_request(struct clerk *clerk)
{
    lock_take(clerk);
    while (clerk->count == 0 && !clerk->stopping) {
        (void)pthread_cond_wait(&clerk->arrived, &clerk->lock); /* woken or not: look again */
    }
    struct clerk_request *request = clerk->stopping ? NULL : &clerk->queue[clerk->head];
    lock_give(clerk);
    return request;
}

static void *clerk_run(void *argument)
{
    struct clerk *clerk = argument;
    struct clerk_request *request;
    thread_set_name(clerk->name);
    while ((request = next_request(clerk)) != NULL) {
        struct answer *answer = request->answer;
        if (!clerk->serve(clerk->serve_context, request->batch, request->deadline_us, answer)) {
            break;
        }
        answer->error.status = answer->status;
        lock_take(clerk);
        drop_oldest(clerk);
        lock_give(clerk);
        clerk->context->outcomes->answer(clerk->context->outcomes, answer);
    }
    return NULL;
}

/* The thread leaves every signal to others; SIGPIPE, too: the write says so. */
enum fan_status clerk_start(struct clerk *clerk, struct fan_error *reterr)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);                            /* cannot fail */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* cannot fail for SIG_SETMASK */
    int result = pthread_create(&clerk->thread, NULL, clerk_run, clerk);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* cannot fail for SIG_SETMASK */
    clerk->running = result == 0;
    if (result != 0) {
        return fan_fail_errno(reterr, FAN_RETRY, result,
                              "could not start the thread of target \"%s\"",
                              clerk->context->target);
    }
    return FAN_OK;
}

void clerk_stop(struct clerk *clerk)
{
    if (clerk->running) {
        eventfd_t ones;
        lock_take(clerk);
        clerk->stopping = true;
        (void)pthread_cond_signal(&clerk->arrived); /* fails only for a bad condition */
        lock_give(clerk);
        (void)eventfd_write(clerk->wake, 1);     /* a one fits */
        (void)pthread_join(clerk->thread, NULL); /* it is ours and not joined yet */
        (void)eventfd_read(clerk->wake, &ones);  /* it is there: nobody else reads it */
        clerk->running = false;
        clerk->stopping = false;
    }
    while (clerk->count > 0) {
        drop_oldest(clerk);
    }
}

bool clerk_is_stopping(struct clerk *clerk)
{
    lock_take(clerk);
    bool stopping = clerk->stopping;
    lock_give(clerk);
    return stopping;
}

enum fan_status clerk_request(struct clerk *clerk, struct batch *batch, struct answer *answer,
                              int64_t now_us)
{
    int64_t deadline_us = clerk->context->deadline_us;
    FAN_ASSERT(clerk->running && batch->events_count > 0);
    lock_take(clerk);
    bool room = clerk->count < clerk->capacity;
    if (room) {
        clerk->queue[(clerk->head + clerk->count) % clerk->capacity] = (struct clerk_request){
            .batch = batch_ref(batch),
            .answer = answer,
            .deadline_us = deadline_us > 0 ? now_us + deadline_us : INT64_MAX};
        clerk->count++;
        (void)pthread_cond_signal(&clerk->arrived); /* fails only for a bad condition */
    }
    lock_give(clerk);
    return room ? FAN_OK : FAN_AGAIN;
}
