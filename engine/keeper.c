#include "engine/keeper.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

struct keeper {
    struct persister persister; /* first */
    struct store *store;        /* owned; the thread's own */
    const char *data_dir;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t news;
    struct keeper_job *first;
    struct keeper_job *last;
    bool stopping;
    bool damaged;
    struct fan_error damage;
    int64_t busy_since_us; /* 0: it waits for a job */
};

void keeper_post_job(struct keeper *keeper, struct keeper_job *job)
{
    job->next = NULL;
    (void)pthread_mutex_lock(&keeper->lock); /* cannot fail: a plain mutex that we do not hold */
    if (keeper->last == NULL) {
        keeper->first = job;
    } else {
        keeper->last->next = job;
    }
    keeper->last = job;
    (void)pthread_cond_signal(&keeper->news);  /* cannot fail */
    (void)pthread_mutex_unlock(&keeper->lock); /* cannot fail: we hold it */
}

static void persist_run(struct keeper_job *job, struct store *store)
{
    struct persist_job *persist =
        (struct persist_job *)((char *)job - offsetof(struct persist_job, job));
    struct store_update update = {
        .sources = &persist->source,
        .sources_count = persist->has_source ? 1 : 0,
        .checkpoints = persist->checkpoints,
        .checkpoints_count = persist->checkpoints_count,
        .pipelines = persist->pipelines,
        .pipelines_count = persist->pipelines_count,
        .gaps = persist->gaps,
        .gaps_count = persist->gaps_count,
    };
    persist->status = store_save(store, &update, &persist->error);
    persist->done(persist->context, persist);
}

static void keeper_post(struct persister *persister, struct persist_job *job)
{
    job->job.run = persist_run;
    keeper_post_job((struct keeper *)persister, &job->job);
}

static void keeper_note_damage(struct keeper *keeper, const struct fan_error *error)
{
    log_write(LOG_ERROR, "store is damaged", LOG_TEXT("error", error->text),
              LOG_TEXT("hint", error->hint));
    (void)pthread_mutex_lock(&keeper->lock); /* cannot fail: a plain mutex that we do not hold */
    keeper->damaged = true;
    keeper->damage = *error;
    (void)pthread_mutex_unlock(&keeper->lock); /* cannot fail: we hold it */
}

/* Checks a store that was too large to be checked before the start, a piece at a time. */
static bool keeper_check_step(struct keeper *keeper)
{
    struct fan_error error;
    enum fan_status status = store_check_step(keeper->store, &error);
    if (status == FAN_AGAIN) {
        return true;
    }
    if (status == FAN_OK) {
        status = store_check_copy(keeper->data_dir, &error);
    }
    if (status == FAN_FATAL) {
        keeper_note_damage(keeper, &error);
    } else if (status != FAN_OK) {
        log_write(LOG_WARN, "store could not be checked in the background",
                  LOG_TEXT("error", error.text));
    }
    return false;
}

static struct keeper_job *keeper_next(struct keeper *keeper, bool may_wait, bool *ret_stop)
{
    (void)pthread_mutex_lock(&keeper->lock); /* cannot fail: a plain mutex that we do not hold */
    keeper->busy_since_us = 0;
    while (may_wait && keeper->first == NULL && !keeper->stopping) {
        (void)pthread_cond_wait(&keeper->news, &keeper->lock); /* woken or not, we look again */
    }
    struct keeper_job *job = keeper->first;
    if (job != NULL) {
        keeper->first = job->next;
        keeper->last = keeper->first == NULL ? NULL : keeper->last;
    }
    *ret_stop = keeper->stopping && job == NULL;
    keeper->busy_since_us = clock_monotonic_us();
    (void)pthread_mutex_unlock(&keeper->lock); /* cannot fail: we hold it */
    return job;
}

static void *keeper_main(void *argument)
{
    struct keeper *keeper = argument;
    thread_set_name("store");
    bool checking = store_needs_background_check(keeper->store);
    bool stop = false;
    while (!stop) {
        struct keeper_job *job = keeper_next(keeper, !checking, &stop);
        if (job != NULL) {
            job->run(job, keeper->store); /* it may be freed now */
        } else if (checking && !stop) {
            checking = keeper_check_step(keeper);
        }
    }
    return NULL;
}

enum fan_status keeper_create(const char *data_dir, struct keeper **ret_keeper,
                              struct fan_error *reterr)
{
    struct keeper *keeper = calloc(1, sizeof(*keeper));
    if (keeper == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not make the store thread: out of memory");
    }
    keeper->persister.post = keeper_post;
    keeper->data_dir = data_dir;
    (void)pthread_mutex_init(&keeper->lock, NULL); /* cannot fail with default attributes */
    (void)pthread_cond_init(&keeper->news, NULL);  /* the same */
    *ret_keeper = keeper;
    return FAN_OK;
}

enum fan_status keeper_start(struct keeper *keeper, struct store *store, struct fan_error *reterr)
{
    keeper->store = store;
    int failure = pthread_create(&keeper->thread, NULL, keeper_main, keeper);
    if (failure != 0) {
        keeper->store = NULL;
        store_close(store);
        return fan_fail_errno(reterr, FAN_RETRY, failure, "could not start the store thread");
    }
    return FAN_OK;
}

struct persister *keeper_persister(struct keeper *keeper)
{
    return &keeper->persister;
}

void keeper_stop(struct keeper *keeper)
{
    if (keeper == NULL || keeper->store == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&keeper->lock); /* cannot fail: a plain mutex that we do not hold */
    keeper->stopping = true;
    (void)pthread_cond_signal(&keeper->news);  /* cannot fail */
    (void)pthread_mutex_unlock(&keeper->lock); /* cannot fail: we hold it */
    (void)pthread_join(keeper->thread, NULL);  /* cannot fail: it was created and not joined */
    store_close(keeper->store);
    keeper->store = NULL;
}

void keeper_destroy(struct keeper *keeper)
{
    keeper_stop(keeper);
    free(keeper);
}

bool keeper_found_damage(struct keeper *keeper, struct fan_error *ret_error)
{
    (void)pthread_mutex_lock(&keeper->lock); /* cannot fail: a plain mutex that we do not hold */
    bool damaged = keeper->damaged;
    if (damaged) {
        *ret_error = keeper->damage;
    }
    (void)pthread_mutex_unlock(&keeper->lock); /* cannot fail: we hold it */
    return damaged;
}

int64_t keeper_busy_since_us(struct keeper *keeper)
{
    (void)pthread_mutex_lock(&keeper->lock); /* cannot fail: a plain mutex that we do not hold */
    int64_t since_us = keeper->busy_since_us;
    (void)pthread_mutex_unlock(&keeper->lock); /* cannot fail: we hold it */
    return since_us;
}
