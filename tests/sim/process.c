#include "tests/sim/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "sources/postgres/core.h"

static const struct source_type source_type = {
    .name = "sim",
    .step = pg_source_step,
    .rewind = pg_source_rewind,
    .stop = pg_source_stop,
    .status = pg_source_status,
    .destroy = pg_source_destroy,
};

/* ---- hooks ---- */

static int64_t hook_wall_us(void *context)
{
    const struct process *process = context;
    return process->world->now_us + INT64_C(1700000000000000);
}

static void hook_wake(void *context)
{
    struct process *process = context;
    process->reader_due_us = process->world->now_us;
}

static void hook_wake_reader(void *context, struct pipeline *pipeline)
{
    (void)pipeline; /* there is one reader */
    hook_wake(context);
}

/* Another thread may run the pipeline at once, while the caller is in the middle of its step. */
static void hook_schedule(void *context, struct pipeline *pipeline)
{
    struct process *process = context;
    size_t index = (size_t)(pipeline - process->pipelines);
    process->pipeline_due_us[index] = process->world->now_us;
    if (process->running && !process->busy[index] && world_chance(process->world, 8)) {
        process_step_pipeline(process, index);
    }
}

/* ---- building ---- */

static struct source_memory memory_of(const struct vault *vault)
{
    struct source_memory memory = {0};
    if (!vault->has_source) {
        return memory;
    }
    const struct store_source *record = &vault->source;
    memory.timeline = record->timeline;
    memory.slot_stage = (enum slot_stage)record->slot_state;
    memory.consistent_point = (struct fan_lsn){record->consistent_point};
    memory.confirmed = (struct fan_lsn){record->confirmed};
    /* Both sides have the same sizes. */
    (void)snprintf(memory.system_id, sizeof(memory.system_id), "%s", record->system_id);
    (void)snprintf(memory.database, sizeof(memory.database), "%s", record->database);
    (void)snprintf(memory.slot, sizeof(memory.slot), "%s", record->slot);
    (void)snprintf(memory.publication, sizeof(memory.publication), "%s", record->publication);
    return memory;
}

static void build_pipeline(struct process *process, size_t index)
{
    struct world *world = process->world;
    size_t plan = process->plan[index];
    struct pipeline_setup setup = {
        .settings = &world->plans[plan].settings,
        .context = &process->context,
        .hooks = {.schedule = hook_schedule,
                  .wake_reader = hook_wake_reader,
                  .wall_us = hook_wall_us,
                  .context = process},
        .seed = rng_next(&world->rng),
    };
    struct fan_error error;
    enum fan_status status = pipeline_init(&process->pipelines[index], &setup, &error);
    FAN_ASSERT(status == FAN_OK);
    for (size_t target = 0; target < setup.settings->targets.count; target++) {
        if (!world->vault.has_checkpoint[plan][target]) {
            continue;
        }
        const struct store_checkpoint *row = &world->vault.checkpoints[plan][target];
        struct target_checkpoint checkpoint = {.position = {{row->commit_lsn}, row->seq}};
        memcpy(checkpoint.detail, row->detail, sizeof(checkpoint.detail));
        pipeline_resume_target(&process->pipelines[index], target, &checkpoint);
    }
}

static void add_gaps(struct process *process, size_t index)
{
    const struct vault *vault = &process->world->vault;
    struct intake *intake = &process->reader.intakes[index];
    for (size_t at = 0; at < vault->gaps_count; at++) {
        const struct store_gap *row = &vault->gaps[at];
        if (strcmp(row->pipeline, intake->settings->name) != 0) {
            continue;
        }
        intake->gap_id_base = row->gap_id > intake->gap_id_base ? row->gap_id : intake->gap_id_base;
        struct change_gap gap = {.first = {{row->first_lsn}, row->first_seq},
                                 .last = {{row->last_lsn}, row->last_seq},
                                 .count = row->count};
        bool first_target = strcmp(row->target, "t0") == 0;
        if (first_target && position_compare(gap.last, intake->admitted) > 0) {
            intake_remember_gap(intake, &gap);
        }
    }
}

static void build_intake(struct process *process, size_t index, size_t first_gate)
{
    struct world *world = process->world;
    size_t plan = process->plan[index];
    enum pipeline_state kept = world->vault.has_pipeline[plan]
                                   ? (enum pipeline_state)world->vault.pipelines[plan].state
                                   : PIPELINE_INITIALIZING;
    bool stays = kept == PIPELINE_PAUSED || kept == PIPELINE_STOPPED || kept == PIPELINE_ERROR;
    if (stays) {
        sometimes(SOMETIMES_PAUSED_OVER_RESTART);
    }
    struct intake_setup setup = {
        .pipeline = &process->pipelines[index],
        .settings = &world->plans[plan].settings,
        .state = stays ? kept : PIPELINE_INITIALIZING,
        .reason = "",
        .start_lsn = process->reader.memory.confirmed,
    };
    struct fan_error error;
    enum fan_status status = reader_add(&process->reader, index, first_gate, &setup, &error);
    FAN_ASSERT(status == FAN_OK);
    add_gaps(process, index);
}

static void build_source(struct process *process)
{
    struct world *world = process->world;
    struct source_setup setup = {.name = "sim",
                                 .options = &process->options,
                                 .sink = &process->reader.sink,
                                 .seed = rng_next(&world->rng)};
    struct source *source;
    struct fan_error error;
    enum fan_status status = pg_source_create(
        &source_type, &setup, sim_link_create(&world->server, &world->flaky), &source, &error);
    FAN_ASSERT(status == FAN_OK);
    reader_attach(&process->reader, source);
}

struct process *process_create(struct world *world)
{
    struct process *process = calloc(1, sizeof(*process));
    FAN_ASSERT(process != NULL);
    process->world = world;
    process->context =
        (struct encode_context){.source = "sim", .system_id = "7000000000000000001", .slot = "s"};
    process->options = (struct postgres_options){.slot = {.create = true},
                                                 .publication = {.create = true},
                                                 .wal_sender_timeout_us = world->server.timeout_us};
    size_t gates = 0;
    for (size_t plan = 0; plan < PIPELINES_MAX; plan++) {
        if (world->plans[plan].present) {
            process->plan[process->count] = plan;
            gates += world->plans[plan].settings.targets.count;
            build_pipeline(process, process->count++);
        }
    }
    struct reader_setup setup = {
        .name = "sim",
        .persister = &world->vault.persister,
        .hooks = {.wake = hook_wake, .wall_us = hook_wall_us, .context = process},
        .memory = memory_of(&world->vault),
        .seed = rng_next(&world->rng),
    };
    struct fan_error error;
    enum fan_status status = reader_init(&process->reader, &setup, process->count, gates, &error);
    FAN_ASSERT(status == FAN_OK);
    for (size_t index = 0, gate = 0; index < process->count; index++) {
        build_intake(process, index, gate);
        gate += world->plans[process->plan[index]].settings.targets.count;
    }
    build_source(process);
    world->process = process;
    process->running = true;
    reader_start(&process->reader, world->now_us);
    process->reader_due_us = world->now_us;
    return process;
}

void process_destroy(struct process *process)
{
    struct world *world = process->world;
    process->running = false;
    for (size_t index = 0; index < process->count; index++) {
        pipeline_release(&process->pipelines[index]);
    }
    reader_release(&process->reader);
    world->process = NULL;
    free(process);
}

/* ---- steps ---- */

/* What the operator has been told so far. */
static void see_commands(struct process *process)
{
    for (size_t at = 0; at < PROCESS_COMMANDS; at++) {
        struct command *command = &process->commands[at];
        if (!process->command_used[at] || !command->done) {
            continue;
        }
        process->command_used[at] = false;
        bool holds = command->verb == PIPELINE_PAUSE || command->verb == PIPELINE_STOP;
        if (holds && command->status == FAN_OK && process->last_command[command->intake] == at) {
            process->world->plans[process->plan[command->intake]].frozen = true;
        }
    }
}

static void see_situations(struct process *process)
{
    const struct reader *reader = &process->reader;
    if (reader->blocked_by >= 0) {
        sometimes(SOMETIMES_READER_BLOCKED);
    }
    for (size_t index = 0; index < process->count; index++) {
        const struct intake *intake = &reader->intakes[index];
        struct plan *plan = &process->world->plans[process->plan[index]];
        if (intake->passed_over && !plan->counted_over) {
            sometimes(SOMETIMES_PASSED_OVER);
        } else if (!intake->passed_over && plan->counted_over && intake->open) {
            sometimes(SOMETIMES_REWOUND);
        }
        plan->counted_over = intake->passed_over;
        if (intake->pipeline->ring.gap_open) {
            sometimes(SOMETIMES_GAP_OPENED);
        }
        if (intake->state == PIPELINE_ERROR && strcmp(intake->reason, "buffer full") == 0) {
            sometimes(SOMETIMES_OVERFLOW_ERROR);
        }
        if (intake->targets_count > 1 &&
            position_compare(intake->gates[1].settled, intake->gates[0].settled) > 0) {
            sometimes(SOMETIMES_OUT_OF_ORDER);
        }
    }
}

void process_step_reader(struct process *process)
{
    struct source_wait wait;
    process->reader_due_us = INT64_MAX;
    reader_step(&process->reader, process->world->now_us, &wait);
    if (wait.deadline_us < process->reader_due_us) {
        process->reader_due_us = wait.deadline_us;
    }
    see_commands(process);
    see_situations(process);
}

void process_step_pipeline(struct process *process, size_t index)
{
    process->busy[index] = true;
    process->pipeline_due_us[index] = INT64_MAX;
    int64_t due_us = pipeline_step(&process->pipelines[index], process->world->now_us);
    if (due_us < process->pipeline_due_us[index]) {
        process->pipeline_due_us[index] = due_us;
    }
    process->busy[index] = false;
}

bool process_command(struct process *process, size_t index, enum pipeline_verb verb)
{
    size_t at = 0;
    while (at < PROCESS_COMMANDS && process->command_used[at]) {
        at++;
    }
    if (at == PROCESS_COMMANDS || process->reader.commands_count == COMMANDS_MAX) {
        return false;
    }
    world_note(process->world, "operator: verb (pipeline)", verb, process->plan[index], 0);
    process->commands[at] = (struct command){.intake = index, .verb = verb};
    process->command_used[at] = true;
    process->last_command[index] = at;
    if (verb == PIPELINE_RESUME || verb == PIPELINE_START) {
        process->world->plans[process->plan[index]].frozen = false;
    }
    process->reader.commands[process->reader.commands_count++] = &process->commands[at];
    hook_wake(process);
    return true;
}

bool process_has_failed(const struct process *process)
{
    struct source_status status;
    pg_source_status(process->reader.source, &status);
    return status.state == SOURCE_FAILED;
}

void process_begin_stop(struct process *process, int64_t patience_us)
{
    world_note(process->world, "engine: graceful stop", 0, 0, 0);
    process->stopping = true;
    process->stop_deadline_us = process->world->now_us + patience_us;
    reader_begin_stop(&process->reader);
}
