/*
 * Jobs of both kinds run on the store thread in the order of posting, each of them once, and those
 * that wait when the keeper goes are run before it is gone.
 *
 * Oracle: the order in which the test posted them; what a job finds in the store must be what the
 * persist job before it wrote.
 */
#include <check.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/engine_internal.h"
#include "engine/keeper.h"
#include "engine/letters.h"
#include "tests/unit/scratch.h"

enum { JOBS = 200 };

static char data_dir[PATH_MAX];

/* Written on the store thread, read after the keeper is gone. */
static struct {
    uint64_t order[JOBS];
    unsigned count;
    pthread_t thread;
} seen;

static void note(uint64_t number)
{
    if (seen.count == 0) {
        seen.thread = pthread_self();
    }
    if (pthread_equal(seen.thread, pthread_self()) && seen.count < JOBS) {
        seen.order[seen.count++] = number;
    }
}

static void persisted(void *context, struct persist_job *job)
{
    (void)context; /* there is one test at a time */
    note(job->status == FAN_OK ? job->source.confirmed : UINT64_MAX);
    persist_job_free(job);
}

static void post_persist(struct keeper *keeper, uint64_t confirmed)
{
    struct persist_job *job = calloc(1, sizeof(*job));
    ck_assert_ptr_nonnull(job);
    job->has_source = true;
    job->source = (struct store_source){.source = "shop", .confirmed = confirmed};
    job->done = persisted;
    struct persister *persister = keeper_persister(keeper);
    persister->post(persister, job);
}

struct look {
    struct keeper_job job; /* first */
    uint64_t number;
};

static void look_run(struct keeper_job *job, struct store *store)
{
    struct look *look = (struct look *)job;
    struct store_state state = {0};
    struct fan_error error;
    bool found = store_load(store, &state, &error) == FAN_OK && state.sources_count == 1 &&
                 state.sources[0].confirmed == look->number - 1;
    note(found ? look->number : UINT64_MAX);
    store_state_release(&state);
    free(look);
}

static void post_look(struct keeper *keeper, uint64_t number)
{
    struct look *look = calloc(1, sizeof(*look));
    ck_assert_ptr_nonnull(look);
    *look = (struct look){.job.run = look_run, .number = number};
    keeper_post_job(keeper, &look->job);
}

START_TEST(keeper_jobs_of_both_kinds_run_once_in_order)
{
    struct store *store = NULL;
    struct keeper *keeper = NULL;
    struct fan_error error;
    ck_assert_int_eq(store_open(data_dir, &(struct store_options){.create = true}, &store, &error),
                     FAN_OK);
    ck_assert_int_eq(keeper_create(data_dir, &keeper, &error), FAN_OK);
    ck_assert_int_eq(keeper_start(keeper, store, &error), FAN_OK);
    for (uint64_t number = 1; number < JOBS; number += 2) {
        post_persist(keeper, number);
        post_look(keeper, number + 1);
    }
    keeper_destroy(keeper);
    ck_assert_uint_eq(seen.count, JOBS);
    for (uint64_t number = 1; number <= JOBS; number++) {
        ck_assert_uint_eq(seen.order[number - 1], number);
    }
    ck_assert(!pthread_equal(seen.thread, pthread_self()));
}
END_TEST

struct gate {
    struct keeper_job job; /* first */
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool in;
    bool let_go;
};

static void gate_run(struct keeper_job *job, struct store *store)
{
    struct gate *gate = (struct gate *)job;
    (void)store;
    (void)pthread_mutex_lock(&gate->lock);
    gate->in = true;
    (void)pthread_cond_broadcast(&gate->moved);
    while (!gate->let_go) {
        (void)pthread_cond_wait(&gate->moved, &gate->lock);
    }
    (void)pthread_mutex_unlock(&gate->lock);
}

START_TEST(keeper_says_since_when_it_is_at_a_job)
{
    struct store *store = NULL;
    struct keeper *keeper = NULL;
    struct fan_error error;
    static struct gate gate = {
        .job.run = gate_run, .lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
    ck_assert_int_eq(store_open(data_dir, &(struct store_options){.create = true}, &store, &error),
                     FAN_OK);
    ck_assert_int_eq(keeper_create(data_dir, &keeper, &error), FAN_OK);
    ck_assert_int_eq(keeper_busy_since_us(keeper), 0);
    ck_assert_int_eq(keeper_start(keeper, store, &error), FAN_OK);
    int64_t before_us = clock_monotonic_us();
    keeper_post_job(keeper, &gate.job);
    (void)pthread_mutex_lock(&gate.lock);
    while (!gate.in) {
        (void)pthread_cond_wait(&gate.moved, &gate.lock);
    }
    ck_assert_int_ge(keeper_busy_since_us(keeper), before_us);
    ck_assert_int_le(keeper_busy_since_us(keeper), clock_monotonic_us());
    gate.let_go = true;
    (void)pthread_cond_broadcast(&gate.moved);
    (void)pthread_mutex_unlock(&gate.lock);
    while (keeper_busy_since_us(keeper) != 0) { /* the case's own deadline ends it */
        (void)sched_yield();
    }
    keeper_destroy(keeper);
}
END_TEST

static enum fan_status work(void *context, struct store *store, struct fan_error *reterr)
{
    unsigned *calls = context;
    struct store_state state = {0};
    if (pthread_equal(seen.thread, pthread_self()) || store_load(store, &state, reterr) != FAN_OK) {
        return FAN_OK; /* the test sees that nothing was counted */
    }
    store_state_release(&state);
    (*calls)++;
    return *calls % 2 == 1 ? FAN_OK : fan_fail(reterr, FAN_POISON, "call %u", *calls);
}

static void *ask_many_times(void *argument)
{
    struct engine *engine = argument;
    unsigned calls = 0;
    struct fan_error error = {0};
    for (unsigned number = 1; number <= 50; number++) {
        bool odd = number % 2 == 1;
        enum fan_status status = engine_on_store(engine, work, &calls, &error);
        ck_assert_int_eq(status, odd ? FAN_OK : FAN_POISON);
        ck_assert_uint_eq(calls, number);
        char expected[32];
        (void)snprintf(expected, sizeof(expected), "call %u", odd ? number - 1 : number);
        ck_assert_str_eq(error.text, number == 1 ? "" : expected);
    }
    return NULL;
}

START_TEST(keeper_work_asked_for_is_answered_to_whoever_asked)
{
    struct store *store = NULL;
    struct fan_error error;
    static struct engine engine;
    const struct store_options options = {.create = true};
    ck_assert_int_eq(store_open(data_dir, &options, &store, &error), FAN_OK);
    ck_assert_int_eq(keeper_create(data_dir, &engine.keeper, &error), FAN_OK);
    ck_assert_int_eq(keeper_start(engine.keeper, store, &error), FAN_OK);
    seen.thread = pthread_self(); /* work runs on another */
    pthread_t threads[3];
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_many_times, &engine), 0);
    }
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    }
    keeper_destroy(engine.keeper);
}
END_TEST

int main(void)
{
    if (!scratch_open("keeper")) {
        return EXIT_FAILURE;
    }
    (void)snprintf(data_dir, sizeof(data_dir), "%.4000s/data", scratch_root);
    Suite *suite = suite_create("keeper");
    TCase *tests = tcase_create("keeper");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, keeper_jobs_of_both_kinds_run_once_in_order);
    tcase_add_test(tests, keeper_work_asked_for_is_answered_to_whoever_asked);
    tcase_add_test(tests, keeper_says_since_when_it_is_at_a_job);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    scratch_remove();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
