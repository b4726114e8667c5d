/*
 * Replays of dead letters, as engine/replay.c does them, without its threads: letters out of the
 * store, one batch to the pipeline, the fates back to the store, and a crash anywhere in between.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "engine/courier.h"
#include "tests/sim/process.h"

enum { QUEUE_PATIENCE_US = 20000000, IDLE_PATIENCE_US = 10000000 };

static struct outside *outside_of(const struct sim_replay *replay)
{
    const struct process *process = replay->process;
    return &process->world->outside[process->plan[replay->index]][replay->target];
}

/* ---- out of the store ---- */

static bool see(void *context, const struct deadletter *letter)
{
    struct sim_replay *replay = context;
    if (letter->cause == LETTER_ISOLATED) {
        replay->isolated++;
        return true;
    }
    struct replay_copy *copy = &replay->copies[replay->count++];
    const struct batch_event event = {.position = {{letter->commit_lsn}, letter->seq},
                                      .hold_lsn = {letter->hold_lsn},
                                      .commit_time_us = letter->commit_time_us,
                                      .op = (uint8_t)letter->op,
                                      .txn_end = letter->txn_end};
    copy->number = letter->number;
    copy->kept =
        kept_copy(&event, letter->payload, letter->payload_size, letter->label, letter->label_size);
    copy->event = outside_event(outside_of(replay), event.position);
    return replay->count < REPLAY_LETTERS_MAX;
}

static int compare_copies(const void *left_item, const void *right_item)
{
    const struct replay_copy *left = left_item;
    const struct replay_copy *right = right_item;
    return position_compare(left->kept.event.position, right->kept.event.position);
}

static struct batch *batch_of(const struct sim_replay *replay)
{
    const struct pipeline *pipeline = &replay->process->pipelines[replay->index];
    size_t format = pipeline->outlets[replay->target].format;
    struct batch *batch = batch_pool_take(pipeline->assembler.pool);
    FAN_ASSERT(batch != NULL);
    for (size_t index = 0; index < replay->count; index++) {
        const struct kept_event *kept = &replay->copies[index].kept;
        FAN_ASSERT(batch_append(batch, &kept->event, format, kept->bytes, kept->size, kept->label,
                                kept->label_size) == FAN_OK);
    }
    return batch;
}

static void replay_free(struct sim_replay *replay)
{
    replay->process->replays[replay->slot] = NULL;
    for (size_t index = 0; index < replay->count; index++) {
        kept_release(&replay->copies[index].kept);
    }
    free(replay);
}

/* ---- the pipeline's answer ---- */

static void see_fates(const struct sim_replay *replay)
{
    size_t counts[FATE_PARKED + 1] = {0};
    for (size_t index = 0; index < replay->count; index++) {
        counts[replay->fates[index]]++;
        uint16_t flags = *outside_flag(outside_of(replay), replay->copies[index].event);
        if (replay->fates[index] == FATE_DELIVERED && (flags & FLAG_DURABLE) == 0) {
            world_fail(replay->process->world, "p%zu t%zu: e%zu is said to be replayed, and is not",
                       replay->process->plan[replay->index], replay->target,
                       replay->copies[index].event);
        }
    }
    if (counts[FATE_POISON] > 0) {
        sometimes(SOMETIMES_REPLAY_REFUSED);
    }
    if (counts[FATE_PARKED] > 0) {
        sometimes(SOMETIMES_REPLAY_WAITED);
    }
    if (replay->replay.stopped && counts[FATE_DELIVERED] > 0) {
        sometimes(SOMETIMES_REPLAY_STOPPED);
    }
}

static void replay_done(struct replay *base)
{
    struct sim_replay *replay = (struct sim_replay *)base; /* its first member */
    struct world *world = replay->process->world;
    replay->done = true;
    see_fates(replay);
    world_note(world, "replay: done (place, letters, stopped)",
               replay->process->plan[replay->index] * 16 + replay->target, replay->count,
               base->stopped);
    if (!world->crashing) {
        vault_settle(&world->vault, replay);
    }
}

void replay_settle(struct sim_replay *replay)
{
    struct world *world = replay->process->world;
    struct store *store = (struct store *)(void *)&world->vault; /* as letters.c takes it */
    int64_t numbers[REPLAY_LETTERS_MAX];
    size_t delivered = 0;
    struct fan_error error;
    for (size_t index = 0; index < replay->count; index++) {
        int64_t number = replay->copies[index].number;
        if (replay->fates[index] == FATE_DELIVERED) {
            numbers[delivered++] = number;
        } else if (replay->fates[index] == FATE_POISON) {
            FAN_ASSERT(deadletter_failed(store, number, replay->errors[index].code,
                                         replay->errors[index].text, world->now_us,
                                         &error) == FAN_OK);
        }
    }
    FAN_ASSERT(deadletter_delivered(store, numbers, delivered, &error) == FAN_OK);
}

void replay_settled(struct sim_replay *replay, bool written)
{
    bool delivered = memchr(replay->fates, FATE_DELIVERED, replay->count) != NULL;
    if (delivered && !written) {
        sometimes(SOMETIMES_REPLAY_UNSETTLED);
    }
    replay_free(replay);
}

/* ---- the operator ---- */

/* The target takes from now on what it has refused so far. */
static void mend(struct sim_replay *replay)
{
    for (size_t index = 0; index < replay->count; index++) {
        *outside_flag(outside_of(replay), replay->copies[index].event) |= FLAG_MENDED;
    }
}

/* The isolated ones drain by themselves: the target is only tried at once. */
static void encourage(const struct sim_replay *replay)
{
    struct pipeline *pipeline = &replay->process->pipelines[replay->index];
    if (pipeline->outlets[replay->target].divert == BACKLOG_LETTERS) {
        sometimes(SOMETIMES_REPLAY_ENCOURAGED);
    }
    mailbox_encourage(&pipeline->mailbox);
    pipeline->hooks.schedule(pipeline->hooks.context, pipeline);
}

static void deliver(struct sim_replay *replay)
{
    struct process *process = replay->process;
    struct pipeline *pipeline = &process->pipelines[replay->index];
    qsort(replay->copies, replay->count, sizeof(replay->copies[0]), compare_copies);
    replay->replay = (struct replay){.batch = batch_of(replay),
                                     .fates = replay->fates,
                                     .errors = replay->errors,
                                     .done = replay_done};
    world_note(process->world, "replay: asked (place, first, letters)",
               process->plan[replay->index] * 16 + replay->target, replay->copies[0].event,
               replay->count);
    FAN_ASSERT(mailbox_replay(&pipeline->mailbox, replay->target, &replay->replay));
    pipeline->hooks.schedule(pipeline->hooks.context, pipeline);
}

void replay_ask(struct process *process, size_t index, size_t target,
                const struct deadletter_filter *filter, uint64_t limit, bool mended)
{
    size_t slot = 0;
    while (slot < PROCESS_REPLAYS && process->replays[slot] != NULL) {
        slot++;
    }
    if (slot == PROCESS_REPLAYS) {
        return;
    }
    const struct world *world = process->world;
    const struct settings_pipeline *settings = &world->plans[process->plan[index]].settings;
    struct sim_replay *replay = calloc(1, sizeof(*replay));
    FAN_ASSERT(replay != NULL);
    process->replays[slot] = replay;
    replay->process = process;
    replay->slot = slot;
    replay->index = index;
    replay->target = target;
    replay->asked_us = world->now_us;
    replay->moved_us = world->now_us;
    struct deadletter_filter with_place = *filter;
    with_place.pipeline = settings->name;
    with_place.target = settings_target_at(settings, target)->name;
    struct store *store = (struct store *)(void *)&process->world->vault;
    struct fan_error error;
    FAN_ASSERT(deadletter_list(store, &with_place, LETTERS_BY_NUMBER, limit, see, replay, &error) ==
               FAN_OK);
    if (replay->isolated > 0) {
        encourage(replay);
    }
    if (mended) {
        mend(replay);
    }
    if (replay->count == 0) {
        replay_free(replay);
    } else {
        deliver(replay);
    }
}

/* One of the ways to choose letters. */
static struct deadletter_filter draw_filter(struct world *world)
{
    struct deadletter_filter filter = {0};
    switch (rng_below(&world->rng, 6)) {
    case 0:
        filter.cause = LETTER_POISON;
        break;
    case 1:
        filter.cause = LETTER_PARKED;
        break;
    case 2:
        filter.after_number = (int64_t)rng_below(&world->rng, (uint64_t)world->vault.number + 1);
        break;
    case 3:
        filter.since_us = world->now_us - (int64_t)rng_below(&world->rng, 60000000);
        break;
    default:
        break;
    }
    return filter;
}

void replay_ask_some(struct process *process)
{
    struct world *world = process->world;
    if (world->vault.letters_count == 0) {
        return;
    }
    const struct letter *letter =
        &world->vault.letters[rng_below(&world->rng, world->vault.letters_count)];
    for (size_t index = 0; index < process->count; index++) {
        if (process->plan[index] == letter->pipeline) {
            struct deadletter_filter filter = draw_filter(world);
            uint64_t limit = 1 + rng_below(&world->rng, REPLAY_LETTERS_MAX);
            replay_ask(process, index, letter->target, &filter, limit, world_chance(world, 2));
            return;
        }
    }
}

void replay_ask_all(struct process *process)
{
    const struct world *world = process->world;
    const struct deadletter_filter every = {0};
    for (size_t index = 0; index < process->count; index++) {
        const struct plan *plan = &world->plans[process->plan[index]];
        for (size_t target = 0; target < plan->settings.targets.count; target++) {
            replay_ask(process, index, target, &every, REPLAY_LETTERS_MAX, true);
        }
    }
}

/* ---- time passes ---- */

static bool withdraw(struct sim_replay *replay)
{
    struct pipeline *pipeline = &replay->process->pipelines[replay->index];
    bool waits = !replay->done && mailbox_replay_withdraw(&pipeline->mailbox, &replay->replay);
    if (waits) {
        batch_unref(replay->replay.batch);
    }
    return waits;
}

/* Whether the pipeline has it, and does nothing with it. */
static bool is_idle(const struct sim_replay *replay)
{
    const struct pipeline *pipeline = &replay->process->pipelines[replay->index];
    const struct outlet *outlet = &pipeline->outlets[replay->target];
    bool taken = outlet->replay == &replay->replay || outlet->replay_waiting == &replay->replay;
    return taken && outlet->courier.open_count == 0;
}

void replays_step(struct process *process)
{
    struct world *world = process->world;
    for (size_t slot = 0; slot < PROCESS_REPLAYS; slot++) {
        struct sim_replay *replay = process->replays[slot];
        if (replay == NULL || replay->done) {
            continue;
        }
        if (world->now_us - replay->asked_us > QUEUE_PATIENCE_US && withdraw(replay)) {
            replay_free(replay);
            continue;
        }
        if (!is_idle(replay) || world->jumped_us > replay->moved_us) {
            replay->moved_us = world->now_us;
        } else if (world->now_us - replay->moved_us > IDLE_PATIENCE_US) {
            world_fail(world, "p%zu t%zu: a replay waits, and nothing is under way to the target",
                       process->plan[replay->index], replay->target);
        }
    }
}

bool replays_idle(const struct process *process)
{
    for (size_t slot = 0; slot < PROCESS_REPLAYS; slot++) {
        if (process->replays[slot] != NULL) {
            return false;
        }
    }
    return true;
}

bool replay_has(const struct process *process, size_t plan, size_t target, size_t event)
{
    for (size_t slot = 0; process != NULL && slot < PROCESS_REPLAYS; slot++) {
        const struct sim_replay *replay = process->replays[slot];
        if (replay == NULL || replay->done || process->plan[replay->index] != plan ||
            replay->target != target) {
            continue;
        }
        for (size_t index = 0; index < replay->count; index++) {
            if (replay->copies[index].event == event) {
                return true;
            }
        }
    }
    return false;
}

void replays_crash(struct process *process)
{
    for (size_t slot = 0; slot < PROCESS_REPLAYS; slot++) {
        struct sim_replay *replay = process->replays[slot];
        if (replay == NULL) {
            continue;
        }
        const struct outlet *outlet = &process->pipelines[replay->index].outlets[replay->target];
        if (!withdraw(replay) && outlet->replay == &replay->replay) {
            sometimes(SOMETIMES_REPLAY_CRASHED);
        } else if (replay->done) {
            sometimes(SOMETIMES_REPLAY_UNSETTLED);
        }
    }
}

void replays_release(struct process *process)
{
    for (size_t slot = 0; slot < PROCESS_REPLAYS; slot++) {
        if (process->replays[slot] != NULL) {
            replay_free(process->replays[slot]);
        }
    }
}
