/*
 * Jobs of one lane run in order and one at a time; lanes run beside each other; a full queue says
 * so; nothing that was taken is lost at the end.
 *
 * Oracle: per lane, the numbers that its jobs wrote down, and a flag that is set while one runs.
 */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "engine/io_pool.h"
#include "tests/unit/suite.h"

enum { LANES = 5, JOBS_PER_LANE = 150 };

struct lane_log {
    _Atomic bool running;
    _Atomic bool overlapped;
    unsigned count;
    unsigned order[JOBS_PER_LANE];
};

struct numbered {
    struct lane_log *log;
    unsigned number;
};

static void lane_job(void *argument)
{
    struct numbered *job = argument;
    if (atomic_exchange(&job->log->running, true)) {
        atomic_store(&job->log->overlapped, true);
    }
    job->log->order[job->log->count++] = job->number;
    atomic_store(&job->log->running, false);
}

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    unsigned entered;
};

static void gate_job(void *argument)
{
    struct gate *gate = argument;
    (void)pthread_mutex_lock(&gate->lock);
    gate->entered++;
    (void)pthread_cond_broadcast(&gate->changed);
    while (!gate->open) {
        (void)pthread_cond_wait(&gate->changed, &gate->lock);
    }
    (void)pthread_mutex_unlock(&gate->lock);
}

/* Waits until so many jobs stand in the gate; false after ten seconds. */
static bool gate_wait(struct gate *gate, unsigned entered)
{
    struct timespec deadline;
    (void)clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 10;
    int result = 0;
    (void)pthread_mutex_lock(&gate->lock);
    while (gate->entered < entered && result == 0) {
        result = pthread_cond_timedwait(&gate->changed, &gate->lock, &deadline);
    }
    bool reached = gate->entered >= entered;
    (void)pthread_mutex_unlock(&gate->lock);
    return reached;
}

static void gate_open(struct gate *gate)
{
    (void)pthread_mutex_lock(&gate->lock);
    gate->open = true;
    (void)pthread_cond_broadcast(&gate->changed);
    (void)pthread_mutex_unlock(&gate->lock);
}

static struct gate gate_make(void)
{
    return (struct gate){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
}

static struct io_pool *pool_make(size_t threads)
{
    struct io_pool *pool = NULL;
    struct fan_error error;
    ck_assert_int_eq(io_pool_create(threads, &pool, &error), FAN_OK);
    return pool;
}

START_TEST(io_pool_jobs_of_a_lane_run_in_order_and_alone)
{
    static struct lane_log logs[LANES];
    static struct numbered jobs[LANES][JOBS_PER_LANE];
    struct io_pool *pool = pool_make(4);
    struct io_executor *executor = io_pool_executor(pool);
    for (unsigned number = 0; number < JOBS_PER_LANE; number++) {
        for (unsigned lane = 0; lane < LANES; lane++) {
            jobs[lane][number] = (struct numbered){&logs[lane], number};
            ck_assert_int_eq(executor->submit(executor, lane, lane_job, &jobs[lane][number]),
                             FAN_OK);
        }
    }
    io_pool_destroy(pool); /* runs what waits */
    for (unsigned lane = 0; lane < LANES; lane++) {
        ck_assert_uint_eq(logs[lane].count, JOBS_PER_LANE);
        ck_assert(!logs[lane].overlapped);
        for (unsigned number = 0; number < JOBS_PER_LANE; number++) {
            ck_assert_uint_eq(logs[lane].order[number], number);
        }
    }
}
END_TEST

START_TEST(io_pool_blocked_lane_does_not_hold_another)
{
    static struct lane_log log;
    struct gate blocked = gate_make();
    struct gate passing = gate_make();
    passing.open = true;
    struct numbered behind = {&log, 0};
    struct io_pool *pool = pool_make(IO_POOL_THREADS);
    struct io_executor *executor = io_pool_executor(pool);
    ck_assert_int_eq(executor->submit(executor, 1, gate_job, &blocked), FAN_OK);
    ck_assert(gate_wait(&blocked, 1));
    ck_assert_int_eq(executor->submit(executor, 1, lane_job, &behind), FAN_OK);
    ck_assert_int_eq(executor->submit(executor, 2, gate_job, &passing), FAN_OK);
    ck_assert(gate_wait(&passing, 1));
    gate_open(&blocked);
    io_pool_destroy(pool);
    ck_assert_uint_eq(log.count, 1);
}
END_TEST

START_TEST(io_pool_full_queue_answers_again)
{
    struct gate gate = gate_make();
    struct gate open = gate_make();
    open.open = true;
    struct io_pool *pool = pool_make(1);
    struct io_executor *executor = io_pool_executor(pool);
    ck_assert_int_eq(executor->submit(executor, 0, gate_job, &gate), FAN_OK);
    ck_assert(gate_wait(&gate, 1));
    for (unsigned i = 0; i < IO_POOL_JOBS_MAX; i++) {
        ck_assert_int_eq(executor->submit(executor, i, gate_job, &open), FAN_OK);
    }
    ck_assert_int_eq(executor->submit(executor, 0, gate_job, &open), FAN_AGAIN);
    gate_open(&gate);
    ck_assert(gate_wait(&open, IO_POOL_JOBS_MAX));
    ck_assert_int_eq(executor->submit(executor, 0, gate_job, &open), FAN_OK);
    io_pool_destroy(pool);
    ck_assert_uint_eq(open.entered, IO_POOL_JOBS_MAX + 1);
}
END_TEST

START_TEST(io_pool_destroy_accepts_nothing)
{
    io_pool_destroy(NULL);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("io_pool");
    tcase_add_test(tests, io_pool_jobs_of_a_lane_run_in_order_and_alone);
    tcase_add_test(tests, io_pool_blocked_lane_does_not_hold_another);
    tcase_add_test(tests, io_pool_full_queue_answers_again);
    tcase_add_test(tests, io_pool_destroy_accepts_nothing);
    return suite_run("io_pool", tests);
}
