/* The store's disk: one transaction at a time, written or not, known to be written or not. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "tests/sim/world.h"

static void post(struct persister *persister, struct persist_job *job)
{
    struct vault *vault = (struct vault *)persister;
    struct world *world = vault->world;
    if (vault->job != NULL) {
        world_fail(world, "two jobs are under way at the store (reader.h, invariant 2)");
    }
    vault->job = job;
    vault->job_written = false;
    uint64_t slow_us = world_mishap(world, 12) ? 4000000 : 20000;
    vault->due_us = world->now_us + (int64_t)rng_below(&world->rng, slow_us);
}

void vault_init(struct vault *vault, struct world *world)
{
    *vault = (struct vault){.persister = {.post = post}, .world = world};
}

void vault_release(struct vault *vault)
{
    free(vault->gaps);
}

/* Names are p0..p3 and t0..t2. */
static size_t index_of(const char *name)
{
    return (size_t)(name[1] - '0');
}

static void put_gap(struct vault *vault, const struct store_gap *row)
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
        put_gap(vault, &job->gaps[index]);
    }
    vault->job_written = true;
    world_note(vault->world, "store: written (ack)", job->source.confirmed, job->checkpoints_count,
               job->gaps_count);
}

int64_t vault_step(struct vault *vault)
{
    struct world *world = vault->world;
    struct persist_job *job = vault->job;
    if (job == NULL) {
        return INT64_MAX;
    }
    if (world->now_us < vault->due_us) {
        return vault->due_us;
    }
    if (vault->failures_left == 0 && world_mishap(world, 30)) {
        vault->failures_left = 1 + (unsigned)rng_below(&world->rng, 4);
    }
    if (!vault->job_written && vault->failures_left > 0) {
        vault->failures_left--;
        sometimes(SOMETIMES_STORE_HELD_ACK);
        world_note(world, "store: write failed", 0, 0, 0);
        job->status = fan_fail(&job->error, FAN_RETRY, "could not write: disk full");
    } else if (!vault->job_written) {
        write_job(vault, job);
        if (world_mishap(world, 4)) {
            vault->due_us = world->now_us + (int64_t)rng_below(&world->rng, 100000);
            return vault->due_us;
        }
        job->status = FAN_OK;
    } else {
        job->status = FAN_OK;
    }
    vault->job = NULL;
    job->done(job->context, job);
    return INT64_MAX;
}

void vault_crash(struct vault *vault)
{
    /* The transaction may reach the disk all the same. */
    if (vault->job != NULL && !vault->job_written && world_chance(vault->world, 3)) {
        write_job(vault, vault->job);
    }
    vault->job = NULL;
    vault->failures_left = 0;
}

void vault_forget(struct vault *vault, size_t pipeline)
{
    memset(vault->has_checkpoint[pipeline], 0, sizeof(vault->has_checkpoint[pipeline]));
    vault->has_pipeline[pipeline] = false;
    size_t kept = 0;
    for (size_t index = 0; index < vault->gaps_count; index++) {
        if (index_of(vault->gaps[index].pipeline) != pipeline) {
            vault->gaps[kept++] = vault->gaps[index];
        }
    }
    vault->gaps_count = kept;
}
