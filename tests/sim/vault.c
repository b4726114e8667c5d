/* The store's disk: one transaction after the other, written or not, known to be written or not. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "tests/sim/world.h"

static int64_t soon(struct world *world)
{
    uint64_t slow_us = world_mishap(world, 12) ? 4000000 : 20000;
    return world->now_us + (int64_t)rng_below(&world->rng, slow_us);
}

static void queue(struct vault *vault, struct vault_job job)
{
    FAN_ASSERT(vault->jobs_count < VAULT_JOBS_MAX);
    if (vault->jobs_count == 0) {
        vault->job_written = false;
        vault->due_us = soon(vault->world);
    }
    vault->jobs[vault->jobs_count++] = job;
}

static void post(struct persister *persister, struct persist_job *job)
{
    struct vault *vault = (struct vault *)persister;
    for (size_t index = 0; index < vault->jobs_count; index++) {
        if (vault->jobs[index].persist != NULL) {
            world_fail(vault->world, "two jobs are under way at the store (reader.h, invariant 2)");
        }
    }
    queue(vault, (struct vault_job){.persist = job});
}

static void post_letters(struct letterbox *letterbox, struct letter_job *job)
{
    struct vault *vault = (struct vault *)((char *)letterbox - offsetof(struct vault, letterbox));
    queue(vault, (struct vault_job){.letters = job});
}

void vault_settle(struct vault *vault, struct sim_replay *replay)
{
    queue(vault, (struct vault_job){.replay = replay});
}

void vault_init(struct vault *vault, struct world *world)
{
    *vault = (struct vault){
        .persister = {.post = post}, .letterbox = {.post = post_letters}, .world = world};
}

void vault_release(struct vault *vault)
{
    letters_release(vault);
    free(vault->gaps);
}

/* Names are p0..p3 and t0..t2. */
static size_t index_of(const char *name)
{
    return (size_t)(name[1] - '0');
}

void vault_put_gap(struct vault *vault, const struct store_gap *row)
{
    for (size_t index = vault->gaps_count; index > 0; index--) {
        struct store_gap *known = &vault->gaps[index - 1];
        if (known->gap_id == row->gap_id && strcmp(known->pipeline, row->pipeline) == 0 &&
            strcmp(known->target, row->target) == 0) {
            *known = *row;
            return;
        }
    }
    if (vault->gaps_count == vault->gaps_capacity) {
        vault->gaps_capacity = vault->gaps_capacity == 0 ? 16 : vault->gaps_capacity * 2;
        vault->gaps = realloc(vault->gaps, vault->gaps_capacity * sizeof(*vault->gaps));
        FAN_ASSERT(vault->gaps != NULL);
    }
    vault->gaps[vault->gaps_count++] = *row;
}

static void write_job(struct vault *vault, const struct persist_job *job)
{
    check_job(vault->world, job);
    if (job->has_source) {
        vault->has_source = true;
        vault->source = job->source;
    }
    for (size_t index = 0; index < job->checkpoints_count; index++) {
        const struct store_checkpoint *row = &job->checkpoints[index];
        size_t pipeline = index_of(row->pipeline);
        size_t target = index_of(row->target);
        vault->has_checkpoint[pipeline][target] = true;
        vault->checkpoints[pipeline][target] = *row;
    }
    for (size_t index = 0; index < job->pipelines_count; index++) {
        size_t pipeline = index_of(job->pipelines[index].pipeline);
        vault->has_pipeline[pipeline] = true;
        vault->pipelines[pipeline] = job->pipelines[index];
    }
    for (size_t index = 0; index < job->gaps_count; index++) {
        vault_put_gap(vault, &job->gaps[index]);
    }
    vault->job_written = true;
    world_note(vault->world, "store: written (ack)", job->source.confirmed, job->checkpoints_count,
               job->gaps_count);
}

static void run(struct vault *vault, const struct vault_job *job)
{
    if (job->persist != NULL) {
        write_job(vault, job->persist);
        job->persist->status = FAN_OK;
        return;
    }
    if (job->letters != NULL) {
        letters_run(vault, job->letters);
    } else {
        replay_settle(job->replay);
    }
    vault->job_written = true;
}

static void fail(struct vault *vault, const struct vault_job *job)
{
    struct world *world = vault->world;
    sometimes(SOMETIMES_STORE_HELD_ACK);
    world_note(world, "store: write failed", 0, 0, 0);
    if (job->persist == NULL && job->letters == NULL) {
        return; /* a replay: whoever asked sees that nothing was written */
    }
    struct fan_error *error = job->persist != NULL ? &job->persist->error : &job->letters->error;
    enum fan_status status = fan_fail(error, FAN_RETRY, "could not write: disk full");
    if (job->persist != NULL) {
        job->persist->status = status;
    } else {
        job->letters->status = status;
    }
}

static void answer(const struct vault_job *job, bool written)
{
    if (job->persist == NULL && job->letters == NULL) {
        replay_settled(job->replay, written);
        return;
    }
    if (job->persist != NULL) {
        job->persist->done(job->persist->context, job->persist);
        return;
    }
    /* Once `done` is set the job may be gone. */
    void (*wake)(void *context) = job->letters->wake;
    void *context = job->letters->wake_context;
    atomic_store(&job->letters->done, true);
    wake(context);
}

int64_t vault_step(struct vault *vault)
{
    struct world *world = vault->world;
    if (vault->jobs_count == 0) {
        return INT64_MAX;
    }
    if (world->now_us < vault->due_us) {
        return vault->due_us;
    }
    const struct vault_job job = vault->jobs[0];
    if (vault->failures_left == 0 && world_mishap(world, 30)) {
        vault->failures_left = 1 + (unsigned)rng_below(&world->rng, 4);
    }
    if (job.letters != NULL && world_mishap(world, 60)) {
        vault->full_until_us = world->now_us + (int64_t)rng_below(&world->rng, 10000000);
    }
    if (!vault->job_written && vault->failures_left > 0) {
        vault->failures_left--;
        vault->failed_us = world->now_us;
        fail(vault, &job);
    } else if (!vault->job_written) {
        run(vault, &job);
        if (world_mishap(world, 4)) {
            vault->due_us = world->now_us + (int64_t)rng_below(&world->rng, 100000);
            return vault->due_us;
        }
    }
    vault->jobs_count--;
    memmove(vault->jobs, vault->jobs + 1, vault->jobs_count * sizeof(vault->jobs[0]));
    bool written = vault->job_written;
    vault->job_written = false;
    vault->due_us = soon(world);
    answer(&job, written);
    return vault->jobs_count == 0 ? INT64_MAX : vault->due_us;
}

void vault_crash(struct vault *vault)
{
    /* Transactions may reach the disk all the same, in their order. */
    for (size_t index = 0; index < vault->jobs_count; index++) {
        const struct vault_job *job = &vault->jobs[index];
        bool written = index == 0 && vault->job_written;
        if (!written && !world_chance(vault->world, 3)) {
            bool adds = job->letters != NULL && job->letters->kind == LETTERS_ADD;
            if (adds) {
                sometimes(SOMETIMES_LETTERS_LOST);
            }
            break;
        }
        if (!written) {
            run(vault, job);
        }
        if (job->letters != NULL && job->letters->kind == LETTERS_FETCH) {
            batch_unref(job->letters->batch); /* nobody was told of it */
            job->letters->batch = NULL;
        }
    }
    vault->jobs_count = 0;
    vault->failures_left = 0;
    vault->full_until_us = 0;
}

void vault_forget(struct vault *vault, size_t pipeline)
{
    memset(vault->has_checkpoint[pipeline], 0, sizeof(vault->has_checkpoint[pipeline]));
    vault->has_pipeline[pipeline] = false;
    letters_forget(vault, pipeline);
    size_t kept = 0;
    for (size_t index = 0; index < vault->gaps_count; index++) {
        if (index_of(vault->gaps[index].pipeline) != pipeline) {
            vault->gaps[kept++] = vault->gaps[index];
        }
    }
    vault->gaps_count = kept;
}
