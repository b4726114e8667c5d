/*
 * The I/O threads of a history. pthread_cond_wait() is where a worker waits for one of them; with
 * one thread it has to let them run.
 */
#include <pthread.h>
#include <string.h>

#include "base/assert.h"
#include "tests/sim/process.h"

static enum fan_status submit(struct io_executor *base, uint64_t lane, void (*job)(void *argument),
                              void *argument)
{
    struct executor *executor = (struct executor *)base; /* its first member */
    struct world *world = executor->world;
    if (executor->count == EXECUTOR_JOBS_MAX || world_mishap(world, 30)) {
        return FAN_AGAIN;
    }
    uint64_t slow_us = world_mishap(world, 20) ? 3000000 : 20000;
    executor->jobs[executor->count++] =
        (struct executor_job){.lane = lane,
                              .run = job,
                              .argument = argument,
                              .due_us = world->now_us + (int64_t)rng_below(&world->rng, slow_us)};
    return FAN_OK;
}

void executor_init(struct executor *executor, struct world *world)
{
    *executor = (struct executor){.base = {.submit = submit}, .world = world};
}

static bool is_first_of_lane(const struct executor *executor, size_t index)
{
    for (size_t before = 0; before < index; before++) {
        if (executor->jobs[before].lane == executor->jobs[index].lane) {
            return false;
        }
    }
    return true;
}

/* The next job to run, and when; `count` if there is none. */
static size_t next(const struct executor *executor, int64_t *ret_due_us)
{
    size_t found = executor->count;
    *ret_due_us = INT64_MAX;
    for (size_t index = 0; index < executor->count; index++) {
        if (executor->jobs[index].due_us < *ret_due_us && is_first_of_lane(executor, index)) {
            found = index;
            *ret_due_us = executor->jobs[index].due_us;
        }
    }
    return found;
}

static void run(struct executor *executor, size_t index)
{
    const struct executor_job job = executor->jobs[index];
    executor->count--;
    memmove(executor->jobs + index, executor->jobs + index + 1,
            (executor->count - index) * sizeof(executor->jobs[0]));
    executor->inside = true;
    job.run(job.argument);
    executor->inside = false;
}

int64_t executor_due_us(const struct executor *executor)
{
    int64_t due_us;
    (void)next(executor, &due_us); /* only the time is wanted */
    return due_us;
}

void executor_step(struct executor *executor)
{
    int64_t due_us;
    size_t index = next(executor, &due_us);
    if (index < executor->count && due_us <= executor->world->now_us) {
        run(executor, index);
    }
}

void executor_drain(struct executor *executor)
{
    while (executor->count > 0) {
        int64_t due_us;
        run(executor, next(executor, &due_us));
    }
}

int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock)
{
    (void)condition; /* whoever would signal it runs here */
    struct process *process = sim_world->process;
    FAN_ASSERT(process != NULL && process->executor.count > 0);
    (void)pthread_mutex_unlock(lock); /* the caller has it */
    executor_drain(&process->executor);
    (void)pthread_mutex_lock(lock); /* nobody else is there */
    return 0;
}
