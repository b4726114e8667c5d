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
    .halt = pg_source_halt,
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
    if (process->running && !process->busy[index] && !process->executor.inside &&
        world_chance(process->world, 8)) {
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

static bool see_key(void *context, const struct deadletter *letter)
{
    const struct fan_position position = {{letter->commit_lsn}, letter->seq};
    return outlet_memory_park(context, letter->label, letter->label_size, position);
}

/* As engine.c does. */
static void resume_target(struct process *process, size_t index, size_t target)
{
    struct world *world = process->world;
    struct vault *vault = &world->vault;
    size_t plan = process->plan[index];
    struct outlet_memory memory = {.checkpoint = {.position = POSITION_NONE},
                                   .settled = POSITION_NONE};
    if (vault->has_checkpoint[plan][target]) {
        const struct store_checkpoint *row = &vault->checkpoints[plan][target];
        memory.checkpoint.position = (struct fan_position){{row->commit_lsn}, row->seq};
        memory.settled = (struct fan_position){{row->settled_lsn}, row->settled_seq};
        memory.fatal = row->fatal != 0;
        memcpy(memory.checkpoint.detail, row->detail, sizeof(memory.checkpoint.detail));
    }
    struct store *store = (struct store *)(void *)vault; /* as letters.c takes it */
    const char *pipeline = world->plans[plan].settings.name;
    const char *name = world->plans[plan].targets[target].name;
    uint64_t first_lsn;
    int64_t first_seq;
    struct fan_error error;
    enum fan_status status = deadletter_backlog_range(
        store, pipeline, name, &memory.isolated, &first_lsn, &first_seq,
        &memory.isolated_last.commit_lsn.value, &memory.isolated_last.seq, &error);
    FAN_ASSERT(status == FAN_OK);
    status = deadletter_keys(store, pipeline, name, see_key, &memory, &error);
    FAN_ASSERT(status == FAN_OK);
    for (size_t at = 0; at < vault->gaps_count; at++) {
        const struct store_gap *row = &vault->gaps[at];
        const struct change_gap gap = {.first = {{row->first_lsn}, row->first_seq},
                                       .last = {{row->last_lsn}, row->last_seq},
                                       .count = row->count};
        bool own = strcmp(row->pipeline, pipeline) == 0 && strcmp(row->target, name) == 0;
        if (own && row->gap_id > 0) { /* those of dead letters have no marker */
            outlet_memory_gap(&memory, &gap, strcmp(row->cause, STORE_GAP_DROPPED) != 0);
        }
    }
    if (memory.isolated > 0 && !outlet_memory_needs_backlog(&memory)) {
        memory.isolated = 0;
        status = deadletter_backlog_delivered(store, pipeline, name,
                                              memory.isolated_last.commit_lsn.value,
                                              memory.isolated_last.seq, &error);
        FAN_ASSERT(status == FAN_OK);
        sometimes(SOMETIMES_BACKLOG_USELESS);
    }
    status = pipeline_resume_target(&process->pipelines[index], target, &memory, &error);
    FAN_ASSERT(status == FAN_OK);
    outlet_memory_release(&memory);
    struct outlet *outlet = &process->pipelines[index].outlets[target];
    if (outlet->divert != BACKLOG_NONE) {
        sometimes(SOMETIMES_BACKLOG_RESUMED);
        world_note(world, "engine: backlog found (place, kind, events)", plan * 16 + target,
                   outlet->divert, outlet->backlog.events);
    }
}

static void build_pipeline(struct process *process, size_t index)
{
    struct world *world = process->world;
    size_t plan = process->plan[index];
    struct pipeline_setup setup = {
        .settings = &world->plans[plan].settings,
        .context = &process->context,
        .executor = &process->executor.base,
        .letterbox = &world->vault.letterbox,
        .data_dir = "/sim",
        .hooks = {.schedule = hook_schedule,
                  .wake_reader = hook_wake_reader,
                  .wall_us = hook_wall_us,
                  .context = process},
        .seed = rng_next(&world->rng),
        .first_lane = 2 * (uint64_t)TARGETS_MAX * index,
    };
    struct fan_error error;
    enum fan_status status = pipeline_init(&process->pipelines[index], &setup, &error);
    FAN_ASSERT(status == FAN_OK);
    for (size_t target = 0; target < setup.settings->targets.count; target++) {
        resume_target(process, index, target);
    }
}

/* As engine.c does. */
static void add_gaps(struct process *process, size_t index)
{
    const struct vault *vault = &process->world->vault;
    struct intake *intake = &process->reader.intakes[index];
    int64_t greatest_id = 0;
    for (size_t at = 0; at < vault->gaps_count; at++) {
        const struct store_gap *row = &vault->gaps[at];
        if (strcmp(row->pipeline, intake->settings->name) != 0 || row->gap_id < 0) {
            continue;
        }
        greatest_id = row->gap_id > greatest_id ? row->gap_id : greatest_id;
        struct change_gap gap = {.first = {{row->first_lsn}, row->first_seq},
                                 .last = {{row->last_lsn}, row->last_seq},
                                 .count = row->count};
        if (strcmp(row->cause, STORE_GAP_DROPPED) == 0 &&
            position_compare(gap.last, intake->admitted) > 0) {
            intake_remember_gap(intake, &gap);
        }
    }
    intake->gap_id_base = greatest_id + greatest_id % 2;
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
    executor_init(&process->executor, world);
    size_t gates = 0;
    for (size_t plan = 0; plan < PIPELINES_MAX; plan++) {
        if (world->plans[plan].present) {
            process->plan[process->count] = plan;
            gates += world->plans[plan].settings.targets.count;
            build_pipeline(process, process->count++);
        }
    }
    struct reader_setup setup = {
        .settings = &world->source,
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
    executor_drain(&process->executor);
    replays_crash(process);
    for (size_t index = 0; index < process->count; index++) {
        pipeline_release(&process->pipelines[index]);
    }
    replays_release(process);
    reader_release(&process->reader);
    for (size_t pipeline = 0; pipeline < PIPELINES_MAX; pipeline++) {
        for (size_t target = 0; target < TARGETS_MAX; target++) {
            disk_crash(&world->outside[pipeline][target]);
        }
    }
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
    for (size_t index = 0; index < process->count; index++) {
        enum wish wish = reader->intakes[index].wish;
        if (wish == WISH_SPILL || wish == WISH_GAP) {
            sometimes(wish == WISH_SPILL ? SOMETIMES_GUARD_SPILLED : SOMETIMES_GUARD_DETACHED);
        }
    }
    if (reader->policy == ERRORS_STOP_SOURCE) {
        sometimes(SOMETIMES_STOP_SOURCE);
    }
    if (reader->halted && strncmp(reader->halt_reason, "slot_guard", 10) == 0) {
        sometimes(SOMETIMES_GUARD_STOPPED);
    }
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
        if (intake->pipeline->ring.pending_count > 0) {
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

static void see_outlet(struct process *process, size_t index, size_t target)
{
    const struct pipeline *pipeline = &process->pipelines[index];
    const struct outlet *outlet = &pipeline->outlets[target];
    struct seen_outlet *seen = &process->seen[index][target];
    if (seen->divert != outlet->divert) {
        world_note(process->world, "outlet: diverted (place, from, to)",
                   process->plan[index] * 16 + target, seen->divert, outlet->divert);
    }
    if (seen->divert == BACKLOG_LETTERS && outlet->divert == BACKLOG_NONE) {
        sometimes(SOMETIMES_ISOLATED_AND_BACK);
    } else if (seen->divert == BACKLOG_SPILL && outlet->divert == BACKLOG_NONE) {
        sometimes(SOMETIMES_SPILL_AND_BACK);
    } else if (seen->divert == BACKLOG_NONE && outlet->divert == BACKLOG_SPILL) {
        bool slow = strstr(outlet->error.text, "slower") != NULL;
        bool full = strstr(outlet->error.text, "buffer is full") != NULL;
        if (slow || full) {
            sometimes(slow ? SOMETIMES_LAGGARD_DIVERTED : SOMETIMES_OVERFLOW_SPILLED);
        }
    }
    if (seen->fatal && !outlet->fatal) {
        sometimes(SOMETIMES_FATAL_MENDED);
    }
    seen->divert = outlet->divert;
    seen->fatal = outlet->fatal;
    for (size_t lane = 0; outlet->answering && lane < outlet->courier.lanes_count; lane++) {
        if (outlet->courier.lanes[lane].depth > 3) {
            sometimes(SOMETIMES_BISECT_DEEP);
        }
    }
}

static void see_pipeline(struct process *process, size_t index)
{
    const struct pipeline *pipeline = &process->pipelines[index];
    size_t live = 0;
    for (size_t target = 0; target < pipeline->outlets_count; target++) {
        const struct outlet *outlet = &pipeline->outlets[target];
        see_outlet(process, index, target);
        live += outlet->divert == BACKLOG_NONE && outlet->started && !outlet->circuit_open;
    }
    const struct settings_commit *commit = &pipeline->settings->commit_policy;
    if (commit->mode != COMMIT_QUORUM || pipeline->run != RUN_FLOWING) {
        return;
    }
    bool enough = live >= (size_t)commit->quorum;
    if (!enough && pipeline->current != NULL) {
        sometimes(SOMETIMES_QUORUM_HELD);
    } else if (enough && live < pipeline->outlets_count && pipeline->current == NULL) {
        sometimes(SOMETIMES_QUORUM_WENT_ON);
    }
}

/* As the engine looks after each step: `stop_all` ends it, with what it can still drain. */
static void look(struct process *process)
{
    if (process->reader.policy == ERRORS_STOP_ALL && !process->stopping) {
        sometimes(SOMETIMES_STOP_ALL);
        process->stopped_all = true;
        process_begin_stop(process, process->world->flaky ? 20000000 : 120000000);
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
    look(process);
}

void process_step_pipeline(struct process *process, size_t index)
{
    process->busy[index] = true;
    process->pipeline_due_us[index] = INT64_MAX;
    int64_t due_us = pipeline_step(&process->pipelines[index], process->world->now_us);
    if (due_us < process->pipeline_due_us[index]) {
        process->pipeline_due_us[index] = due_us;
    }
    see_pipeline(process, index);
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
    if (verb == PIPELINE_RESUME || verb == PIPELINE_START || verb == PIPELINE_RESTART) {
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
