#include "engine/letters.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "engine/engine_internal.h"

enum { STORE_PATIENCE_US = 10000000 };

enum request_state { REQUEST_WAITS, REQUEST_RUNS, REQUEST_DONE, REQUEST_ABANDONED };

/* Owned by who waits for it; once abandoned, by the store thread. */
struct store_request {
    struct keeper_job job; /* first */
    engine_store_work *work;
    void *context;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t news;
    enum request_state state;
    enum fan_status status;
    struct fan_error error;
};

static void request_destroy(struct store_request *request)
{
    (void)pthread_mutex_destroy(&request->lock); /* cannot fail: nobody else knows it any more */
    (void)pthread_cond_destroy(&request->news);  /* the same */
    free(request);
}

static void request_run(struct keeper_job *job, struct store *store)
{
    struct store_request *request = (struct store_request *)job;
    (void)pthread_mutex_lock(&request->lock); /* cannot fail: a plain mutex that we do not hold */
    bool abandoned = request->state == REQUEST_ABANDONED;
    request->state = REQUEST_RUNS;
    (void)pthread_mutex_unlock(&request->lock); /* cannot fail: we hold it */
    if (abandoned) {
        request_destroy(request);
        return;
    }
    enum fan_status status = request->work(request->context, store, &request->error);
    (void)pthread_mutex_lock(&request->lock); /* cannot fail: a plain mutex that we do not hold */
    request->status = status;
    request->state = REQUEST_DONE;
    (void)pthread_cond_signal(&request->news);  /* cannot fail */
    (void)pthread_mutex_unlock(&request->lock); /* cannot fail: we hold it */
}

static struct store_request *request_create(engine_store_work *work, void *context)
{
    struct store_request *request = calloc(1, sizeof(*request));
    if (request == NULL) {
        return NULL;
    }
    request->job.run = request_run;
    request->work = work;
    request->context = context;
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes); /* these cannot fail with these arguments */
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&request->news, &attributes);
    (void)pthread_condattr_destroy(&attributes);    /* of no more use */
    (void)pthread_mutex_init(&request->lock, NULL); /* cannot fail with default attributes */
    return request;
}

/* Work that has begun is waited for without end: it uses what the caller has. */
static enum request_state request_wait(struct store_request *request)
{
    int64_t deadline_us = clock_monotonic_us() + STORE_PATIENCE_US;
    struct timespec deadline = {.tv_sec = deadline_us / 1000000,
                                .tv_nsec = deadline_us % 1000000 * 1000};
    int result = 0;
    (void)pthread_mutex_lock(&request->lock); /* cannot fail: a plain mutex that we do not hold */
    while (request->state == REQUEST_WAITS && result != ETIMEDOUT) {
        result = pthread_cond_timedwait(&request->news, &request->lock, &deadline);
    }
    while (request->state == REQUEST_RUNS) {
        (void)pthread_cond_wait(&request->news, &request->lock); /* woken or not, we look again */
    }
    if (request->state == REQUEST_WAITS) {
        request->state = REQUEST_ABANDONED;
    }
    enum request_state state = request->state;
    (void)pthread_mutex_unlock(&request->lock); /* cannot fail: we hold it */
    return state;
}

enum fan_status engine_on_store(struct engine *engine, engine_store_work *work, void *context,
                                struct fan_error *reterr)
{
    struct store_request *request = request_create(work, context);
    if (request == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not ask the store thread: out of memory");
    }
    keeper_post_job(engine->keeper, &request->job);
    if (request_wait(request) == REQUEST_ABANDONED) {
        (void)fan_fail(reterr, FAN_RETRY, "could not use the store in time: it is busy");
        fan_error_annotate(reterr, "TIMEOUT", "try again; see the disk of the data directory");
        return FAN_RETRY;
    }
    enum fan_status status = request->status;
    if (status != FAN_OK && reterr != NULL) {
        *reterr = request->error;
    }
    request_destroy(request);
    return status;
}

void engine_letters_removed(struct engine *engine)
{
    store_letterbox_note_removed(&engine->letterbox);
}

struct deadletter_caps letters_caps(const struct settings_dead_letters *settings)
{
    return (struct deadletter_caps){
        .entries_max = (uint64_t)settings->max_entries,
        .bytes_max = settings->max_bytes,
        .payload_bytes_max = settings->max_payload_bytes,
        .age_us_max = settings->max_age_us,
        .at_cap = (enum deadletter_at_cap)settings->at_cap,
    };
}
