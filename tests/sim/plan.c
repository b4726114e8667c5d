/* The conf of a history: pipelines with sizes, limits and policies drawn by the seed. */
#include <stdio.h>
#include <string.h>

#include "encode/encoder.h"
#include "tests/sim/world.h"

static char every_table[] = "public.%";
static char *const table_patterns[WAL_TABLES] = {(char[]){"public.t0"}, (char[]){"t1"},
                                                 (char[]){"public.t2"}, (char[]){"public.t3"}};
static char any_prefix[] = "si%";
static char native[] = "native";
static char *const type_names[] = {(char[]){"exact"}, (char[]){"plain"}, (char[]){"window"},
                                   (char[]){"asks"},  (char[]){"asks"},  (char[]){"asks"}};
static char source_name[] = "sim";

void plan_tune(struct world *world, size_t index)
{
    struct rng *rng = &world->rng;
    struct settings_pipeline *settings = &world->plans[index].settings;
    settings->buffer.max_events = 1 + (int64_t)rng_below(rng, world_chance(world, 2) ? 6 : 64);
    settings->buffer.max_bytes = world_chance(world, 3) ? 300 + rng_below(rng, 3000) : 1 << 20;
    settings->batch.max_events = 1 + (int64_t)rng_below(rng, world_chance(world, 2) ? 5 : 40);
    settings->batch.max_bytes = world_chance(world, 3) ? 400 + rng_below(rng, 4000) : 1 << 20;
    settings->batch.max_us = (int64_t)rng_below(rng, 200000);
    settings->batch.respect_source_tx = world_chance(world, 2);
    settings->batch.max_inflight = 1 + (int64_t)rng_below(rng, 4);
    settings->error_handling.backoff_us = 100000 + (int64_t)rng_below(rng, 900000);
    settings->error_handling.backoff_max_us = 5000000;
    settings->error_handling.max_attempts = 1 + (int64_t)rng_below(rng, 6);
    settings->error_handling.poison_max = 1 + (int64_t)rng_below(rng, 20);
    settings->buffer.spill_max = world_chance(world, 6)   ? 0
                                 : world_chance(world, 3) ? 300 + rng_below(rng, 3000)
                                                          : 1 << 20;
    if (settings->buffer.policy == BUFFER_ERROR) {
        /* A burst must have a chance; without faults it must always fit. */
        settings->buffer.max_events = world->flaky ? 20 + (int64_t)rng_below(rng, 100) : 8192;
        settings->buffer.max_bytes = 1 << 24;
    }
}

static void choose_tables(struct world *world, struct plan *plan)
{
    plan->subjects = 0;
    size_t count = 0;
    if (world_chance(world, 3)) {
        plan->tables[count++] = every_table;
        plan->subjects = (1u << WAL_TABLES) - 1;
    } else {
        for (size_t table = 0; table < WAL_TABLES; table++) {
            if (world_chance(world, 2)) {
                plan->tables[count++] = table_patterns[table];
                plan->subjects |= 1u << table;
            }
        }
    }
    plan->settings.tables = (struct conf_text_list){plan->tables, count};
    plan->messages[0] = any_prefix;
    bool messages = world_chance(world, 2);
    plan->settings.messages = (struct conf_text_list){plan->messages, messages ? 1 : 0};
    plan->subjects |= messages ? 1u << WAL_MESSAGES : 0;
}

static void choose_policies(struct world *world, struct plan *plan)
{
    static const int buffers[] = {BUFFER_BLOCK, BUFFER_BLOCK, BUFFER_BLOCK, BUFFER_DROP_OLDEST,
                                  BUFFER_ERROR, BUFFER_SPILL, BUFFER_SPILL};
    static const int commits[] = {COMMIT_REQUIRED, COMMIT_REQUIRED, COMMIT_ALL, COMMIT_QUORUM};
    static const int policies[] = {ERRORS_ISOLATE, ERRORS_ISOLATE,     ERRORS_ISOLATE,
                                   ERRORS_ISOLATE, ERRORS_STOP_SOURCE, ERRORS_STOP_ALL};
    struct rng *rng = &world->rng;
    struct settings_pipeline *settings = &plan->settings;
    settings->buffer.policy = buffers[rng_below(rng, CONF_COUNT(buffers))];
    settings->commit_policy.mode = commits[rng_below(rng, CONF_COUNT(commits))];
    settings->commit_policy.quorum = settings->commit_policy.mode == COMMIT_QUORUM
                                         ? 1 + (int64_t)rng_below(rng, settings->targets.count)
                                         : 0;
    settings->error_handling.on_persistent_failure = policies[rng_below(rng, CONF_COUNT(policies))];
    settings->error_handling.dead_letter = !world_chance(world, 4);
    settings->error_handling.park_keys = !world_chance(world, 4);
    for (size_t target = 0; target < settings->targets.count; target++) {
        plan->targets[target].required = !world_chance(world, 3);
        bool poisoned = world_chance(world, settings->error_handling.dead_letter ? 2 : 6);
        plan->poison_one_in[target] = poisoned ? 10 + rng_below(rng, 100) : 0;
    }
}

bool plan_poisons(const struct world *world, size_t pipeline, size_t target, size_t event)
{
    const struct plan *plan = &world->plans[pipeline];
    if (!plan->settings.error_handling.dead_letter && !world->flaky) {
        return false; /* nothing keeps it: somebody has mended the target */
    }
    uint64_t one_in = plan->poison_one_in[target];
    struct rng rng = rng_seeded(event * 64 + pipeline * 8 + target);
    return one_in != 0 && rng_below(&rng, one_in) == 0 &&
           strcmp(plan->targets[target].type, "asks") == 0;
}

void plan_caps(struct world *world)
{
    static const enum deadletter_at_cap policies[] = {AT_CAP_BLOCK, AT_CAP_BLOCK, AT_CAP_REJECT,
                                                      AT_CAP_DROP_OLDEST};
    struct rng *rng = &world->rng;
    world->vault.caps = (struct deadletter_caps){
        .entries_max = 1 + rng_below(rng, world_chance(world, 2) ? 10 : 60),
        .bytes_max = world_chance(world, 2) ? 1000 + rng_below(rng, 10000) : UINT64_MAX,
        .payload_bytes_max = world_chance(world, 8) ? 200 + rng_below(rng, 400) : UINT64_MAX,
        .at_cap = policies[rng_below(rng, CONF_COUNT(policies))],
    };
}

void plan_guard(struct world *world)
{
    static char spill[] = "spill";
    static char detach[] = "detach";
    static char stop[] = "stop";
    struct settings_guard *guard = &world->source.slot_guard;
    if (!world_chance(world, 4)) {
        return;
    }
    guard->hard = 2000 + rng_below(&world->rng, 60000);
    world->guard_detaches = world_chance(world, 2);
    bool stops = world_chance(world, 4);
    bool spills = (!world->guard_detaches && !stops) || world_chance(world, 2);
    size_t count = 0;
    if (spills) {
        world->guard_steps[count++] = spill;
    }
    if (world->guard_detaches) {
        world->guard_steps[count++] = detach;
    }
    if (stops) {
        world->guard_steps[count++] = stop;
    }
    guard->steps = (struct conf_text_list){world->guard_steps, count};
}

bool plan_may_lose(const struct world *world, const struct plan *plan, size_t target)
{
    const struct settings_pipeline *settings = &plan->settings;
    bool counts =
        settings->commit_policy.mode == COMMIT_ALL ||
        (settings->commit_policy.mode == COMMIT_REQUIRED && plan->targets[target].required);
    bool given_up = settings->error_handling.on_persistent_failure == ERRORS_ISOLATE &&
                    !settings->error_handling.dead_letter;
    return !counts || given_up || world->guard_detaches;
}

void plan_make(struct world *world, size_t index)
{
    struct plan *plan = &world->plans[index];
    *plan = (struct plan){.present = true};
    /* One letter and one digit fit. */
    (void)snprintf(plan->names[TARGETS_MAX], sizeof(plan->names[0]), "p%zu", index);
    plan->settings.name = plan->names[TARGETS_MAX];
    plan->settings.source = source_name;
    size_t targets = 1 + (size_t)rng_below(&world->rng, TARGETS_MAX);
    plan->settings.targets = (struct conf_section_list){plan->targets, targets};
    for (size_t target = 0; target < targets; target++) {
        (void)snprintf(plan->names[target], sizeof(plan->names[0]), "t%zu", target);
        plan->targets[target] = (struct settings_target){
            .name = plan->names[target],
            .type = type_names[rng_below(&world->rng, CONF_COUNT(type_names))],
            .format = native,
            .required = true,
            .int8 = world_chance(world, 2) ? 1 : 0,
            .special_values = world_chance(world, 2) ? SPECIAL_STRING : SPECIAL_NULL,
            .options = &world->outside[index][target],
        };
        outside_release(&world->outside[index][target]);
        outside_init(&world->outside[index][target], world, index, target);
    }
    choose_tables(world, plan);
    choose_policies(world, plan);
    plan_tune(world, index);
}
