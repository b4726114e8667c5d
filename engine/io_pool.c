#include "engine/io_pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/thread.h"

struct job {
    uint64_t lane;
    void (*run)(void *argument);
    void *argument;
    struct job *next;
};

struct io_thread {
    struct io_pool *pool;
    pthread_t thread;
    bool running; /* a job of `lane`; guarded by the pool's lock */
    uint64_t lane;
};

struct io_pool {
    struct io_executor executor; /* first: submit() gets its address */
    size_t threads_count;
    struct io_thread threads[IO_POOL_THREADS_MAX];
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a job came, a lane became free, or the end is near */
    bool stopping;
    struct job *first; /* waiting, oldest first */
    struct job **end;
    struct job *free;
    struct job jobs[IO_POOL_JOBS_MAX];
};

static bool lane_is_running(const struct io_pool *pool, uint64_t lane)
{
    for (size_t i = 0; i < pool->threads_count; i++) {
        if (pool->threads[i].running && pool->threads[i].lane == lane) {
            return true;
        }
    }
    return false;
}

/* Takes the oldest job whose lane is free, or returns NULL. */
static struct job *job_take(struct io_pool *pool)
{
    for (struct job **link = &pool->first; *link != NULL; link = &(*link)->next) {
        struct job *job = *link;
        if (!lane_is_running(pool, job->lane)) {
            *link = job->next;
            if (job->next == NULL) {
                pool->end = link;
            }
            return job;
        }
    }
    return NULL;
}

static void job_run(struct io_pool *pool, struct io_thread *self, struct job *job)
{
    struct job taken = *job;
    job->next = pool->free;
    pool->free = job;
    self->running = true;
    self->lane = taken.lane;
    (void)pthread_mutex_unlock(&pool->lock); /* cannot fail for a lock that is held */
    taken.run(taken.argument);
    (void)pthread_mutex_lock(&pool->lock); /* fails only for a bad lock */
    self->running = false;
    /* The lane is free, and so may be what another thread passed over. */
    (void)pthread_cond_broadcast(&pool->changed); /* fails only for a bad condition */
}

static void *thread_main(void *argument)
{
    struct io_thread *self = argument;
    struct io_pool *pool = self->pool;
    thread_set_name("pgfan-io");
    (void)pthread_mutex_lock(&pool->lock); /* fails only for a bad lock */
    while (!pool->stopping || pool->first != NULL) {
        struct job *job = job_take(pool);
        if (job != NULL) {
            job_run(pool, self, job);
        } else {
            (void)pthread_cond_wait(&pool->changed, &pool->lock); /* woken or not: look again */
        }
    }
    (void)pthread_mutex_unlock(&pool->lock); /* cannot fail for a lock that is held */
    return NULL;
}

static enum fan_status pool_submit(struct io_executor *executor, uint64_t lane,
                                   void (*run)(void *argument), void *argument)
{
    struct io_pool *pool = (struct io_pool *)executor;
    (void)pthread_mutex_lock(&pool->lock); /* fails only for a bad lock */
    struct job *job = pool->free;
    if (job != NULL) {
        pool->free = job->next;
        *job = (struct job){.lane = lane, .run = run, .argument = argument};
        *pool->end = job;
        pool->end = &job->next;
        (void)pthread_cond_signal(&pool->changed); /* fails only for a bad condition */
    }
    (void)pthread_mutex_unlock(&pool->lock); /* cannot fail for a lock that is held */
    return job != NULL ? FAN_OK : FAN_AGAIN;
}

/* The threads leave every signal to the thread that reads the signalfd. */
static enum fan_status threads_start(struct io_pool *pool, size_t threads_count,
                                     struct fan_error *reterr)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);                            /* cannot fail */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* cannot fail for SIG_SETMASK */
    int result = 0;
    (void)pthread_mutex_lock(&pool->lock); /* a new thread looks at threads_count */
    while (pool->threads_count < threads_count && result == 0) {
        struct io_thread *thread = &pool->threads[pool->threads_count];
        thread->pool = pool;
        result = pthread_create(&thread->thread, NULL, thread_main, thread);
        pool->threads_count += result == 0;
    }
    (void)pthread_mutex_unlock(&pool->lock);           /* cannot fail for a lock that is held */
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* cannot fail for SIG_SETMASK */
    return result == 0 ? FAN_OK
                       : fan_fail_errno(reterr, FAN_RETRY, result, "could not start an I/O thread");
}

enum fan_status io_pool_create(size_t threads_count, struct io_pool **ret_pool,
                               struct fan_error *reterr)
{
    FAN_ASSERT(threads_count > 0 && threads_count <= IO_POOL_THREADS_MAX);
    struct io_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not make the I/O threads: out of memory");
    }
    pool->executor.submit = pool_submit;
    pool->end = &pool->first;
    for (size_t i = 0; i < IO_POOL_JOBS_MAX; i++) {
        pool->jobs[i].next = pool->free;
        pool->free = &pool->jobs[i];
    }
    (void)pthread_mutex_init(&pool->lock, NULL);   /* cannot fail with default attributes */
    (void)pthread_cond_init(&pool->changed, NULL); /* cannot fail with default attributes */
    enum fan_status status = threads_start(pool, threads_count, reterr);
    if (status != FAN_OK) {
        io_pool_destroy(pool);
        return status;
    }
    *ret_pool = pool;
    return FAN_OK;
}

struct io_executor *io_pool_executor(struct io_pool *pool)
{
    return &pool->executor;
}

void io_pool_destroy(struct io_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&pool->lock); /* fails only for a bad lock */
    pool->stopping = true;
    (void)pthread_cond_broadcast(&pool->changed); /* fails only for a bad condition */
    (void)pthread_mutex_unlock(&pool->lock);      /* cannot fail for a lock that is held */
    for (size_t i = 0; i < pool->threads_count; i++) {
        (void)pthread_join(pool->threads[i].thread, NULL); /* started and never detached */
    }
    (void)pthread_cond_destroy(&pool->changed); /* nobody waits */
    (void)pthread_mutex_destroy(&pool->lock);   /* nobody holds it */
    free(pool);
}
