/* The conf of a history: pipelines with sizes, limits and policies drawn by the seed. */
#include <stdio.h>
#include <string.h>

#include "tests/sim/world.h"

static char every_table[] = "public.%";
static char *const table_patterns[WAL_TABLES] = {(char[]){"public.t0"}, (char[]){"t1"},
                                                 (char[]){"public.t2"}, (char[]){"public.t3"}};
static char any_prefix[] = "si%";
static char native[] = "native";
static char *const type_names[] = {(char[]){"exact"}, (char[]){"plain"}, (char[]){"window"}};
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
            .int8 = world_chance(world, 3) ? 1 : 0,
            .options = &world->outside[index][target],
        };
        outside_release(&world->outside[index][target]);
        outside_init(&world->outside[index][target], world, index, target);
    }
    choose_tables(world, plan);
    static const int policies[] = {BUFFER_BLOCK, BUFFER_BLOCK, BUFFER_DROP_OLDEST, BUFFER_ERROR};
    plan->settings.buffer.policy = policies[rng_below(&world->rng, CONF_COUNT(policies))];
    plan_tune(world, index);
}
