#include "api/verbs.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/thread.h"

struct queue {
    struct verb_job *first;
    struct verb_job **end; /* where the next one is put */
};

struct verbs {
    int done_fd;
    pthread_t thread;
    bool thread_runs;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    struct queue waiting;
    struct queue done;
    unsigned count; /* posted and not given back */
    bool stop;
};

static void queue_init(struct queue *queue)
{
    *queue = (struct queue){.end = &queue->first};
}

static void queue_put(struct queue *queue, struct verb_job *job)
{
    job->next = NULL;
    *queue->end = job;
    queue->end = &job->next;
}

static struct verb_job *queue_take(struct queue *queue)
{
    struct verb_job *job = queue->first;
    queue->first = job->next;
    if (queue->first == NULL) {
        queue->end = &queue->first;
    }
    return job;
}

/* With the lock held, which is let go while the job runs. */
static void run_next(struct verbs *verbs)
{
    struct verb_job *job = queue_take(&verbs->waiting);
    bool runs = !verbs->stop && clock_monotonic_us() - job->posted_us < VERBS_PATIENCE_US;
    if (runs) {
        (void)pthread_mutex_unlock(&verbs->lock); /* cannot fail: we hold it */
        job->run(job);
        (void)pthread_mutex_lock(&verbs->lock); /* cannot fail: a plain mutex */
    }
    job->ran = runs;
    queue_put(&verbs->done, job);
    uint64_t one = 1;
    (void)!write(verbs->done_fd, &one, sizeof(one)); /* a counter that is full is readable, too */
}

static void *run_thread(void *argument)
{
    struct verbs *verbs = argument;
    thread_set_name("api-verb");
    (void)pthread_mutex_lock(&verbs->lock); /* cannot fail: a plain mutex */
    for (;;) {
        if (verbs->waiting.first != NULL) {
            run_next(verbs);
        } else if (verbs->stop) {
            break;
        } else {
            (void)pthread_cond_wait(&verbs->changed, &verbs->lock); /* cannot fail: we hold it */
        }
    }
    (void)pthread_mutex_unlock(&verbs->lock); /* cannot fail: we hold it */
    return NULL;
}

enum fan_status verbs_create(int done_fd, struct verbs **ret_verbs, struct fan_error *reterr)
{
    struct verbs *verbs = calloc(1, sizeof(*verbs));
    if (verbs == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not start the API: out of memory");
    }
    verbs->done_fd = done_fd;
    queue_init(&verbs->waiting);
    queue_init(&verbs->done);
    (void)pthread_mutex_init(&verbs->lock, NULL);   /* cannot fail with default attributes */
    (void)pthread_cond_init(&verbs->changed, NULL); /* as above */
    int failed = pthread_create(&verbs->thread, NULL, run_thread, verbs);
    if (failed != 0) {
        verbs_destroy(verbs);
        return fan_fail_errno(reterr, FAN_RETRY, failed, "could not start the API's thread");
    }
    verbs->thread_runs = true;
    *ret_verbs = verbs;
    return FAN_OK;
}

bool verbs_post(struct verbs *verbs, struct verb_job *job)
{
    job->posted_us = clock_monotonic_us();
    job->ran = false;
    (void)pthread_mutex_lock(&verbs->lock); /* cannot fail: a plain mutex that we do not hold */
    bool room = verbs->count < VERBS_MAX && !verbs->stop;
    if (room) {
        queue_put(&verbs->waiting, job);
        verbs->count++;
        (void)pthread_cond_signal(&verbs->changed); /* cannot fail */
    }
    (void)pthread_mutex_unlock(&verbs->lock); /* cannot fail: we hold it */
    return room;
}

struct verb_job *verbs_take_done(struct verbs *verbs)
{
    (void)pthread_mutex_lock(&verbs->lock); /* cannot fail: a plain mutex that we do not hold */
    struct verb_job *first = verbs->done.first;
    for (const struct verb_job *job = first; job != NULL; job = job->next) {
        verbs->count--;
    }
    queue_init(&verbs->done);
    (void)pthread_mutex_unlock(&verbs->lock); /* cannot fail: we hold it */
    return first;
}

void verbs_stop(struct verbs *verbs)
{
    if (verbs == NULL || !verbs->thread_runs) {
        return;
    }
    (void)pthread_mutex_lock(&verbs->lock); /* cannot fail: a plain mutex that we do not hold */
    verbs->stop = true;
    (void)pthread_cond_signal(&verbs->changed); /* cannot fail */
    (void)pthread_mutex_unlock(&verbs->lock);   /* cannot fail: we hold it */
    (void)pthread_join(verbs->thread, NULL);    /* it is ours and joined once */
    verbs->thread_runs = false;
}

void verbs_destroy(struct verbs *verbs)
{
    if (verbs == NULL) {
        return;
    }
    FAN_ASSERT(!verbs->thread_runs && verbs->waiting.first == NULL);
    (void)pthread_cond_destroy(&verbs->changed); /* nobody waits */
    (void)pthread_mutex_destroy(&verbs->lock);   /* nobody holds it */
    free(verbs);
}
