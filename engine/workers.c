#include "engine/workers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/thread.h"

/* Of one pipeline: who has it. */
enum schedule_state {
    SCHEDULE_IDLE = 0,
    SCHEDULE_QUEUED,
    SCHEDULE_RUNNING,
    SCHEDULE_AGAIN, /* running, and to be stepped once more */
};

struct workers {
    struct pipeline *const *pipelines; /* borrowed */
    size_t pipelines_count;
    pthread_t *threads; /* owned */
    size_t threads_count;
    pthread_mutex_t lock; /* guards what follows, and wake_at_us of every pipeline */
    pthread_cond_t news;
    struct pipeline *first;
    struct pipeline *last;
    size_t sleeping;     /* workers that wait */
    bool timer_held;     /* one of them waits for the earliest wake_at_us */
    int64_t timer_at_us; /* for this moment */
    bool stopping;
};

/* The lock is held. */
static void workers_enqueue(struct workers *workers, struct pipeline *pipeline)
{
    pipeline->schedule_next = NULL;
    if (workers->last == NULL) {
        workers->first = pipeline;
    } else {
        workers->last->schedule_next = pipeline;
    }
    workers->last = pipeline;
    if (workers->sleeping > 0) {
        (void)pthread_cond_signal(&workers->news); /* cannot fail */
    }
}

void workers_schedule(struct workers *workers, struct pipeline *pipeline)
{
    int state = atomic_load(&pipeline->schedule_state);
    for (;;) {
        if (state == SCHEDULE_QUEUED || state == SCHEDULE_AGAIN) {
            return; /* it will be stepped after this call */
        }
        int next = state == SCHEDULE_IDLE ? SCHEDULE_QUEUED : SCHEDULE_AGAIN;
        if (atomic_compare_exchange_weak(&pipeline->schedule_state, &state, next)) {
            break;
        }
    }
    if (state == SCHEDULE_IDLE) {
        (void)pthread_mutex_lock(&workers->lock); /* cannot fail: a plain mutex */
        workers_enqueue(workers, pipeline);
        (void)pthread_mutex_unlock(&workers->lock); /* cannot fail: we hold it */
    }
}

/* The lock is held. Queues what is due and returns when the next one is. */
static int64_t workers_queue_due(struct workers *workers, int64_t now_us)
{
    int64_t earliest = INT64_MAX;
    for (size_t index = 0; index < workers->pipelines_count; index++) {
        struct pipeline *pipeline = workers->pipelines[index];
        if (pipeline->wake_at_us > now_us) {
            earliest = pipeline->wake_at_us < earliest ? pipeline->wake_at_us : earliest;
            continue;
        }
        pipeline->wake_at_us = INT64_MAX;
        int idle = SCHEDULE_IDLE;
        if (atomic_compare_exchange_strong(&pipeline->schedule_state, &idle, SCHEDULE_QUEUED)) {
            workers_enqueue(workers, pipeline);
        }
    }
    return earliest;
}

static struct timespec timespec_of(int64_t monotonic_us)
{
    return (struct timespec){.tv_sec = monotonic_us / 1000000,
                             .tv_nsec = monotonic_us % 1000000 * 1000};
}

/*
 * The lock is held. One worker waits for the earliest moment; the others wait a little longer, so
 * that they wake for it only when the first one is busy with another pipeline.
 */
static void workers_wait(struct workers *workers, int64_t until_us)
{
    enum { SUBSTITUTE_DELAY_US = 20000 };
    workers->sleeping++;
    if (until_us == INT64_MAX) {
        (void)pthread_cond_wait(&workers->news, &workers->lock); /* woken or not, we look again */
    } else {
        bool first = !workers->timer_held || until_us < workers->timer_at_us;
        if (first) {
            workers->timer_held = true;
            workers->timer_at_us = until_us;
        }
        struct timespec until = timespec_of(first ? until_us : until_us + SUBSTITUTE_DELAY_US);
        (void)pthread_cond_timedwait(&workers->news, &workers->lock, &until); /* the same */
        workers->timer_held = first ? false : workers->timer_held;
    }
    workers->sleeping--;
}

/* Returns the next pipeline to step, or NULL at the end. */
static struct pipeline *workers_next(struct workers *workers)
{
    (void)pthread_mutex_lock(&workers->lock); /* cannot fail: a plain mutex that we do not hold */
    while (workers->first == NULL && !workers->stopping) {
        int64_t earliest = workers_queue_due(workers, clock_monotonic_us());
        if (workers->first == NULL) {
            workers_wait(workers, earliest);
        }
    }
    struct pipeline *pipeline = workers->stopping ? NULL : workers->first;
    if (pipeline != NULL) {
        workers->first = pipeline->schedule_next;
        workers->last = workers->first == NULL ? NULL : workers->last;
        atomic_store(&pipeline->schedule_state, SCHEDULE_RUNNING);
        pipeline->wake_at_us = INT64_MAX;
    }
    (void)pthread_mutex_unlock(&workers->lock); /* cannot fail: we hold it */
    return pipeline;
}

static void workers_put_back(struct workers *workers, struct pipeline *pipeline, int64_t wake_at_us)
{
    (void)pthread_mutex_lock(&workers->lock); /* cannot fail: a plain mutex that we do not hold */
    pipeline->wake_at_us = wake_at_us;
    int running = SCHEDULE_RUNNING;
    if (!atomic_compare_exchange_strong(&pipeline->schedule_state, &running, SCHEDULE_IDLE)) {
        atomic_store(&pipeline->schedule_state, SCHEDULE_QUEUED);
        workers_enqueue(workers, pipeline);
    }
    (void)pthread_mutex_unlock(&workers->lock); /* cannot fail: we hold it */
}

static void *worker_main(void *argument)
{
    struct workers *workers = argument;
    thread_set_name("worker");
    struct pipeline *pipeline;
    while ((pipeline = workers_next(workers)) != NULL) {
        int64_t wake_at_us = pipeline_step(pipeline, clock_monotonic_us());
        workers_put_back(workers, pipeline, wake_at_us);
    }
    return NULL;
}

enum fan_status workers_create(struct pipeline *const *pipelines, size_t pipelines_count,
                               size_t threads_count, struct workers **ret_workers,
                               struct fan_error *reterr)
{
    struct workers *workers = calloc(1, sizeof(*workers));
    pthread_t *threads = calloc(threads_count, sizeof(*threads));
    if (workers == NULL || threads == NULL) {
        free(workers);
        free(threads);
        return fan_fail(reterr, FAN_RETRY, "could not start the workers: out of memory");
    }
    *workers = (struct workers){
        .pipelines = pipelines, .pipelines_count = pipelines_count, .threads = threads};
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes); /* these cannot fail with these arguments */
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&workers->news, &attributes);
    (void)pthread_condattr_destroy(&attributes);    /* of no more use */
    (void)pthread_mutex_init(&workers->lock, NULL); /* cannot fail with default attributes */
    for (size_t index = 0; index < pipelines_count; index++) {
        pipelines[index]->wake_at_us = INT64_MAX;
    }
    for (; workers->threads_count < threads_count; workers->threads_count++) {
        int failure = pthread_create(&threads[workers->threads_count], NULL, worker_main, workers);
        if (failure != 0) {
            workers_destroy(workers);
            return fan_fail_errno(reterr, FAN_RETRY, failure, "could not start a worker");
        }
    }
    *ret_workers = workers;
    return FAN_OK;
}

void workers_stop(struct workers *workers)
{
    if (workers == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&workers->lock); /* cannot fail: a plain mutex that we do not hold */
    workers->stopping = true;
    (void)pthread_cond_broadcast(&workers->news); /* cannot fail */
    (void)pthread_mutex_unlock(&workers->lock);   /* cannot fail: we hold it */
    for (; workers->threads_count > 0; workers->threads_count--) {
        /* cannot fail: created, not joined */
        (void)pthread_join(workers->threads[workers->threads_count - 1], NULL);
    }
}

void workers_destroy(struct workers *workers)
{
    if (workers == NULL) {
        return;
    }
    workers_stop(workers);
    free(workers->threads);
    free(workers);
}
