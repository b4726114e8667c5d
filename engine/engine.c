/*
 * engine.c - builds everything, starts the threads, and takes them down in order.
 *
 * NOTES
 * Up: lock, store, store thread, I/O threads, pipelines, readers with their sources; then workers
 * and source threads. Down: readers drain and end, workers end, pipelines stop their targets, I/O
 * threads end, the store thread answers what waits and closes the store, the lock goes.
 */
#include "engine/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "conf/nearest.h"
#include "engine/engine_internal.h"
#include "engine/forget.h"
#include "engine/letters.h"
#include "engine/reconcile.h"

enum { DROP_AGAIN_US = 10000000 }; /* after a slot could not be dropped */

/* ---- hooks ---- */

static int64_t hook_wall_us(void *context)
{
    (void)context; /* the clock needs none */
    return clock_wall_us();
}

static void hook_schedule(void *context, struct pipeline *pipeline)
{
    struct engine *engine = context;
    if (engine->workers != NULL) {
        workers_schedule(engine->workers, pipeline);
    }
}

/* Keys may have been let go: whoever holds events because of that looks again. */
static void hook_letters_removed(void *context)
{
    struct engine *engine = context;
    for (size_t index = 0; index < engine->pipelines_count; index++) {
        hook_schedule(engine, &engine->pipelines[index].pipeline);
    }
}

static void hook_wake_reader(void *context, struct pipeline *pipeline)
{
    (void)context; /* the pipeline knows its place */
    struct engine_pipeline *engine_pipeline = (struct engine_pipeline *)pipeline;
    reader_thread_wake(&engine_pipeline->source->thread);
}

static void hook_wake_source(void *context)
{
    struct engine_source *source = context;
    reader_thread_wake(&source->thread);
}

static void engine_end(struct engine *engine, enum engine_exit exit_status,
                       const struct fan_error *why)
{
    (void)pthread_mutex_lock(&engine->lock); /* cannot fail: a plain mutex that we do not hold */
    if (!engine->ended) {
        engine->ended = true;
        engine->exit = exit_status;
        engine->why = *why;
        uint64_t one = 1;
        (void)!write(engine->ended_fd, &one, sizeof(one)); /* the first write always fits */
    }
    (void)pthread_mutex_unlock(&engine->lock); /* cannot fail: we hold it */
}

static void source_has_failed(struct engine_source *source, const struct source_status *status)
{
    struct engine *engine = source->engine;
    bool all = true;
    (void)pthread_mutex_lock(&engine->lock); /* cannot fail: a plain mutex that we do not hold */
    bool news = !source->failed;
    source->failed = true;
    for (size_t index = 0; index < engine->sources_count; index++) {
        all = all && engine->sources[index].failed;
    }
    (void)pthread_mutex_unlock(&engine->lock); /* cannot fail: we hold it */
    if (!news || !all || atomic_load(&engine->stopping)) {
        return;
    }
    struct fan_error why;
    (void)fan_fail(&why, FAN_FATAL, "source \"%s\": %s", source->settings->name, status->reason);
    fan_error_annotate(&why, status->code, "%s", status->hint);
    engine_end(engine, EXIT_SOURCE, &why);
}

static struct source_setup source_setup_of(struct engine_source *source)
{
    return (struct source_setup){
        .name = source->settings->name,
        .options = source->settings->options,
        .tables = {.patterns = source->patterns,
                   .patterns_count = source->patterns_count,
                   .messages = source->messages},
        .sink = &source->reader.sink,
        .seed = (uint64_t)clock_wall_us(),
        .adopt_slot = source->engine->setup.adopt_slot,
    };
}

/* The last step of the slot's guard, once reading has ended. Waits for the server, on the thread of
 * a source that has nothing else to do. */
static void drop_slot(struct engine_source *source)
{
    struct guard *guard = &source->reader.guard;
    int64_t now_us = clock_monotonic_us();
    if (!guard->drop_slot || source->reader.session || now_us < guard->step_at_us) {
        return;
    }
    struct source_setup setup = source_setup_of(source);
    struct fan_error error;
    atomic_store(&source->thread.passed_us, INT64_MAX); /* a slow server is no stuck thread */
    if (source->type->drop_slot(&setup, &error) == FAN_OK) {
        guard->drop_slot = false;
        log_write(LOG_ERROR, "slot is dropped: its changes that were not delivered are lost",
                  LOG_TEXT("source", source->settings->name), LOG_TEXT("slot", source->slot));
        return;
    }
    guard->step_at_us = clock_monotonic_us() + DROP_AGAIN_US;
    log_write(LOG_ERROR, "slot could not be dropped, will be tried again",
              LOG_TEXT("source", source->settings->name), LOG_TEXT("slot", source->slot),
              LOG_TEXT("error", error.text), LOG_TEXT("hint", error.hint));
}

/* Runs on the source's thread now and then. */
static void hook_look(void *context, struct reader *reader, const struct source_status *status)
{
    struct engine_source *source = context;
    struct engine *engine = source->engine;
    struct fan_error why;
    if (status->state == SOURCE_FAILED) {
        source_has_failed(source, status);
    }
    if (reader->policy == ERRORS_STOP_ALL) {
        (void)fan_fail(&why, FAN_FATAL, "stop_all: %s", reader->policy_error.text);
        fan_error_annotate(&why, reader->policy_error.code, "%s", reader->policy_error.hint);
        engine_end(engine, EXIT_STOP_ALL, &why);
    }
    if (reader->store_broken) {
        (void)fan_fail(&why, FAN_FATAL, "the store cannot be written: %s",
                       reader->view.persist_error);
        engine_end(engine, EXIT_STORE_IO, &why);
    }
    if (keeper_found_damage(engine->keeper, &why)) {
        engine_end(engine, EXIT_CONF, &why);
    }
    drop_slot(source);
    store_letterbox_look(&engine->letterbox, clock_monotonic_us());
    if (reader_has_ended(reader)) {
        (void)pthread_mutex_lock(&engine->lock);             /* cannot fail: a plain mutex */
        (void)pthread_cond_broadcast(&engine->reader_ended); /* cannot fail */
        (void)pthread_mutex_unlock(&engine->lock);           /* cannot fail: we hold it */
    }
}

/* ---- building ---- */

static void memory_from_store(const struct store_source *record, struct source_memory *ret_memory)
{
    *ret_memory = (struct source_memory){0};
    if (record == NULL) {
        return;
    }
    /* Both sides have the same sizes. */
    (void)snprintf(ret_memory->system_id, sizeof(ret_memory->system_id), "%s", record->system_id);
    (void)snprintf(ret_memory->database, sizeof(ret_memory->database), "%s", record->database);
    (void)snprintf(ret_memory->slot, sizeof(ret_memory->slot), "%s", record->slot);
    (void)snprintf(ret_memory->publication, sizeof(ret_memory->publication), "%s",
                   record->publication);
    ret_memory->timeline = record->timeline;
    ret_memory->slot_stage = (enum slot_stage)record->slot_state;
    ret_memory->consistent_point.value = record->consistent_point;
    ret_memory->confirmed.value = record->confirmed;
}

static bool pipeline_is_of(const struct settings_pipeline *pipeline,
                           const struct engine_source *source)
{
    return strcmp(pipeline->source, source->settings->name) == 0;
}

static bool see_key(void *context, const struct deadletter *letter)
{
    struct outlet_memory *memory = context;
    const struct fan_position position = {{letter->commit_lsn}, letter->seq};
    return outlet_memory_park(memory, letter->label, letter->label_size, position);
}

/* What the dead letters have of a target. */
static enum fan_status letters_recall(struct store *store, const char *pipeline, const char *target,
                                      struct outlet_memory *memory, struct fan_error *reterr)
{
    uint64_t first_lsn;
    int64_t first_seq;
    enum fan_status status = deadletter_backlog_range(
        store, pipeline, target, &memory->isolated, &first_lsn, &first_seq,
        &memory->isolated_last.commit_lsn.value, &memory->isolated_last.seq, reterr);
    if (status == FAN_OK) {
        status = deadletter_keys(store, pipeline, target, see_key, memory, reterr);
    }
    return status;
}

/* What its gap rows say that it will not get. */
static void gaps_recall(const struct store_state *state, const char *pipeline, const char *target,
                        struct outlet_memory *memory)
{
    for (size_t index = 0; index < state->gaps_count; index++) {
        const struct store_gap *row = &state->gaps[index];
        const struct change_gap gap = {.first = {{row->first_lsn}, row->first_seq},
                                       .last = {{row->last_lsn}, row->last_seq},
                                       .count = row->count};
        if (strcmp(row->pipeline, pipeline) == 0 && strcmp(row->target, target) == 0 &&
            row->gap_id > 0) { /* dead letters have negative ids, and no marker */
            outlet_memory_gap(memory, &gap, strcmp(row->cause, STORE_GAP_DROPPED) != 0);
        }
    }
}

static enum fan_status target_resume(struct engine *engine, struct pipeline *pipeline,
                                     size_t target, const struct store_state *state,
                                     struct fan_error *reterr)
{
    const char *name = settings_target_at(pipeline->settings, target)->name;
    const struct store_checkpoint *record = state_checkpoint(state, pipeline->settings->name, name);
    struct outlet_memory memory = {.checkpoint = {.position = POSITION_NONE},
                                   .settled = POSITION_NONE};
    if (record != NULL) {
        memory.checkpoint.position = (struct fan_position){{record->commit_lsn}, record->seq};
        memory.settled = (struct fan_position){{record->settled_lsn}, record->settled_seq};
        memory.fatal = record->fatal != 0;
        memcpy(memory.checkpoint.detail, record->detail,
               sizeof(memory.checkpoint.detail)); /* both sides have the same size */
    }
    gaps_recall(state, pipeline->settings->name, name, &memory);
    enum fan_status status =
        letters_recall(engine->store, pipeline->settings->name, name, &memory, reterr);
    if (status == FAN_OK && memory.isolated > 0 && !outlet_memory_needs_backlog(&memory)) {
        memory.isolated = 0;
        status = deadletter_backlog_delivered(engine->store, pipeline->settings->name, name,
                                              memory.isolated_last.commit_lsn.value,
                                              memory.isolated_last.seq, reterr);
    }
    if (status == FAN_OK) {
        status = pipeline_resume_target(pipeline, target, &memory, reterr);
    }
    outlet_memory_release(&memory);
    return status;
}

static enum fan_status pipeline_create(struct engine *engine, size_t index,
                                       const struct store_state *state, uint64_t *lane,
                                       struct fan_error *reterr)
{
    const struct settings_pipeline *settings = settings_pipeline_at(engine->setup.settings, index);
    struct engine_pipeline *pipeline = &engine->pipelines[index];
    for (size_t at = 0; at < engine->sources_count; at++) {
        if (pipeline_is_of(settings, &engine->sources[at])) {
            pipeline->source = &engine->sources[at];
        }
    }
    FAN_ASSERT(pipeline->source != NULL); /* the conf decoder has checked it */
    struct pipeline_setup setup = {
        .settings = settings,
        .context = &pipeline->source->context,
        .executor = io_pool_executor(engine->io_pool),
        .letterbox = &engine->letterbox.base,
        .registries = &engine->registries,
        .data_dir = engine->setup.settings->data_dir,
        .hooks = {.schedule = hook_schedule,
                  .wake_reader = hook_wake_reader,
                  .wall_us = hook_wall_us,
                  .context = engine},
        .seed = (uint64_t)clock_wall_us() + index,
        .first_lane = *lane,
    };
    *lane += 2 * settings->targets.count;
    enum fan_status status = pipeline_init(&pipeline->pipeline, &setup, reterr);
    for (size_t target = 0; status == FAN_OK && target < settings->targets.count; target++) {
        status = target_resume(engine, &pipeline->pipeline, target, state, reterr);
    }
    return status;
}

/* Hands the gap rows of the store that still matter to the intake. */
static int64_t intake_load_gaps(struct intake *intake, const struct store_state *state)
{
    int64_t greatest_id = 0;
    for (size_t index = 0; index < state->gaps_count; index++) {
        const struct store_gap *row = &state->gaps[index];
        /* Ids below 0 are of dead letters given up. Their ranges may span events that are not
         * settled: those must be delivered if they come again. */
        if (strcmp(row->pipeline, intake->settings->name) != 0 || row->gap_id < 0) {
            continue;
        }
        greatest_id = row->gap_id > greatest_id ? row->gap_id : greatest_id;
        if (strcmp(row->cause, STORE_GAP_DROPPED) != 0) {
            continue; /* of one target's backlog, or of dead letters: not to be dropped again */
        }
        struct change_gap gap = {.first = {{row->first_lsn}, row->first_seq},
                                 .last = {{row->last_lsn}, row->last_seq},
                                 .count = row->count};
        if (position_compare(gap.last, intake->admitted) > 0) {
            intake_remember_gap(intake, &gap); /* one of several targets' is known then */
        }
    }
    return greatest_id + greatest_id % 2; /* rows of rings get even ids */
}

static enum fan_status intake_create(struct engine *engine, struct engine_source *source,
                                     size_t pipeline_index, size_t intake_index, size_t first_gate,
                                     const struct store_state *state, struct fan_error *reterr)
{
    struct engine_pipeline *pipeline = &engine->pipelines[pipeline_index];
    const struct settings_pipeline *settings = pipeline->pipeline.settings;
    const struct store_pipeline *record = state_pipeline(state, settings->name);
    enum pipeline_state kept =
        record == NULL ? PIPELINE_INITIALIZING : (enum pipeline_state)record->state;
    bool stays = kept == PIPELINE_PAUSED || kept == PIPELINE_STOPPED || kept == PIPELINE_ERROR;
    const struct store_checkpoint *checkpoint =
        state_checkpoint(state, settings->name, settings_target_at(settings, 0)->name);
    struct intake_setup setup = {
        .pipeline = &pipeline->pipeline,
        .settings = settings,
        .state = stays ? kept : PIPELINE_INITIALIZING,
        .reason = stays ? record->reason : "",
        .since_wall_us = stays ? record->since_us : clock_wall_us(),
        .start_lsn = checkpoint != NULL ? (struct fan_lsn){checkpoint->start_lsn}
                                        : source->reader.memory.confirmed,
    };
    pipeline->intake = intake_index;
    enum fan_status status = reader_add(&source->reader, intake_index, first_gate, &setup, reterr);
    if (status == FAN_OK) {
        struct intake *intake = &source->reader.intakes[intake_index];
        intake->gap_id_base = intake_load_gaps(intake, state);
    }
    return status;
}

static enum fan_status source_patterns(struct engine *engine, struct engine_source *source,
                                       size_t *ret_intakes, size_t *ret_gates,
                                       struct fan_error *reterr)
{
    const struct settings *settings = engine->setup.settings;
    size_t patterns = 0;
    for (size_t index = 0; index < settings->pipelines.count; index++) {
        const struct settings_pipeline *pipeline = settings_pipeline_at(settings, index);
        if (pipeline_is_of(pipeline, source)) {
            patterns += pipeline->tables.count;
            *ret_gates += pipeline->targets.count;
            *ret_intakes += 1;
            source->messages = source->messages || pipeline->messages.count > 0;
        }
    }
    source->patterns = calloc(patterns + 1, sizeof(*source->patterns));
    if (source->patterns == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not allocate tables: out of memory");
    }
    for (size_t index = 0; index < settings->pipelines.count; index++) {
        const struct settings_pipeline *pipeline = settings_pipeline_at(settings, index);
        for (size_t at = 0; pipeline_is_of(pipeline, source) && at < pipeline->tables.count; at++) {
            source->patterns[source->patterns_count++] = pipeline->tables.items[at];
        }
    }
    return FAN_OK;
}

static enum fan_status source_prepare(struct engine *engine, size_t index,
                                      const struct store_state *state, struct fan_error *reterr)
{
    struct engine_source *source = &engine->sources[index];
    source->engine = engine;
    source->settings = settings_source_at(engine->setup.settings, index);
    source->type = source_type_find(source->settings->type);
    FAN_ASSERT(source->type != NULL); /* the conf decoder knows the types */
    size_t intakes = 0;
    size_t gates = 0;
    enum fan_status status = source_patterns(engine, source, &intakes, &gates, reterr);
    if (status == FAN_OK) {
        status = reader_thread_init(&source->thread, reterr);
    }
    if (status != FAN_OK) {
        return status;
    }
    source->thread.look = hook_look;
    source->thread.look_context = source;
    struct reader_setup setup = {
        .settings = source->settings,
        .name = source->settings->name,
        .persister = keeper_persister(engine->keeper),
        .hooks = {.wake = hook_wake_source, .wall_us = hook_wall_us, .context = source},
        .seed = (uint64_t)clock_wall_us(),
    };
    memory_from_store(state_source(state, source->settings->name), &setup.memory);
    struct source_setup source_setup = source_setup_of(source);
    (void)source->type->slot_name(&source_setup, source->slot, sizeof(source->slot)); /* = slot */
    source->context = (struct encode_context){.source = source->settings->name,
                                              .system_id = source->reader.system_id,
                                              .slot = source->slot,
                                              .database = source->reader.database};
    return reader_init(&source->reader, &setup, intakes, gates, reterr);
}

static enum fan_status source_finish(struct engine *engine, struct engine_source *source,
                                     const struct store_state *state, struct fan_error *reterr)
{
    size_t intake = 0;
    size_t gate = 0;
    for (size_t index = 0; index < engine->pipelines_count; index++) {
        if (engine->pipelines[index].source != source) {
            continue;
        }
        enum fan_status status = intake_create(engine, source, index, intake, gate, state, reterr);
        if (status != FAN_OK) {
            return status;
        }
        intake++;
        gate += engine->pipelines[index].pipeline.settings->targets.count;
    }
    struct source *created = NULL;
    struct source_setup setup = source_setup_of(source);
    enum fan_status status = source->type->create(&setup, &created, reterr);
    if (status == FAN_OK) {
        reader_attach(&source->reader, created);
    }
    return status;
}

static enum fan_status adopt_check(const struct engine *engine, struct fan_error *reterr)
{
    const char **slots = calloc(engine->sources_count + 1, sizeof(*slots));
    if (slots == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not build the engine: out of memory");
    }
    for (size_t index = 0; index < engine->sources_count; index++) {
        slots[index] = engine->sources[index].slot;
    }
    enum fan_status status =
        forget_adopt_check(engine->setup.adopt_slot, slots, engine->sources_count, reterr);
    free(slots);
    return status;
}

static enum fan_status engine_build(struct engine *engine, const struct store_state *state,
                                    struct fan_error *reterr)
{
    const struct settings *settings = engine->setup.settings;
    engine->sources = calloc(settings->sources.count + 1, sizeof(*engine->sources));
    engine->pipelines = calloc(settings->pipelines.count + 1, sizeof(*engine->pipelines));
    engine->schedule = calloc(settings->pipelines.count + 1, sizeof(struct pipeline *));
    if (engine->sources == NULL || engine->pipelines == NULL || engine->schedule == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not build the engine: out of memory");
    }
    for (size_t index = 0; index < settings->sources.count; index++) {
        engine->sources[index].thread.wake_fd = -1;
    }
    enum fan_status status = io_pool_create(IO_POOL_THREADS, &engine->io_pool, reterr);
    for (size_t index = 0; status == FAN_OK && index < settings->sources.count; index++) {
        engine->sources_count++;
        status = source_prepare(engine, index, state, reterr);
    }
    if (status == FAN_OK) {
        status = adopt_check(engine, reterr);
    }
    uint64_t lane = 0;
    for (size_t index = 0; status == FAN_OK && index < settings->pipelines.count; index++) {
        status = pipeline_create(engine, index, state, &lane, reterr);
        engine->schedule[index] = &engine->pipelines[index].pipeline;
        engine->pipelines_count += status == FAN_OK;
    }
    for (size_t index = 0; status == FAN_OK && index < settings->sources.count; index++) {
        status = source_finish(engine, &engine->sources[index], state, reterr);
    }
    return status;
}

/* Opens the store and builds everything on what it remembers. */
static enum fan_status engine_open(struct engine *engine, struct fan_error *reterr)
{
    const char *data_dir = engine->setup.settings->data_dir;
    struct store *store = NULL;
    struct store_state state = {0};
    enum fan_status status = store_lock(data_dir, true, &engine->lock_descriptor, reterr);
    if (status == FAN_OK) {
        struct store_options options = {.create = true};
        status = store_open(data_dir, &options, &store, reterr);
    }
    if (status == FAN_OK) {
        status = store_load(store, &state, reterr);
    }
    if (status == FAN_OK) {
        status = reconcile(&engine->setup, store, &state, reterr);
    }
    if (status != FAN_OK) {
        store_close(store);
        store_state_release(&state);
        return status;
    }
    engine->store = store; /* the main thread's until the store thread starts */
    status = keeper_create(data_dir, &engine->keeper, reterr);
    if (status == FAN_OK) {
        const struct deadletter_caps caps = letters_caps(&engine->setup.settings->dead_letters);
        store_letterbox_init(&engine->letterbox, engine->keeper, &caps, hook_letters_removed,
                             engine);
        status = engine_build(engine, &state, reterr);
    }
    store_state_release(&state);
    engine->store = NULL;
    if (status != FAN_OK) {
        store_close(store);
        return status;
    }
    return keeper_start(engine->keeper, store, reterr);
}

enum fan_status engine_create(const struct engine_setup *setup, struct engine **ret_engine,
                              enum engine_exit *ret_exit, struct fan_error *reterr)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    if (engine == NULL) {
        *ret_exit = EXIT_INTERNAL;
        return fan_fail(reterr, FAN_RETRY, "could not build the engine: out of memory");
    }
    engine->setup = *setup;
    engine->lock_descriptor = -1;
    engine->started_wall_us = clock_wall_us();
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes); /* these cannot fail with these arguments */
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&engine->reader_ended, &attributes);
    (void)pthread_condattr_destroy(&attributes);   /* of no more use */
    (void)pthread_mutex_init(&engine->lock, NULL); /* cannot fail with default attributes */
    engine->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    enum fan_status status =
        engine->ended_fd < 0 ? fan_fail_errno(reterr, FAN_RETRY, errno, "could not make an eventfd")
                             : engine_open(engine, reterr);
    if (status != FAN_OK) {
        *ret_exit = status == FAN_RETRY ? EXIT_STORE_IO : EXIT_CONF;
        engine_destroy(engine);
        return status;
    }
    *ret_engine = engine;
    return FAN_OK;
}

static size_t worker_threads(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores > 2 ? (size_t)cores : 2;
}

enum fan_status engine_start(struct engine *engine, struct fan_error *reterr)
{
    enum fan_status status = workers_create(engine->schedule, engine->pipelines_count,
                                            worker_threads(), &engine->workers, reterr);
    int64_t now_us = clock_monotonic_us();
    for (size_t index = 0; status == FAN_OK && index < engine->sources_count; index++) {
        struct engine_source *source = &engine->sources[index];
        reader_start(&source->reader, now_us);
        status = reader_thread_start(&source->thread, &source->reader, reterr);
    }
    engine->started = status == FAN_OK;
    return status;
}

int engine_ended_fd(const struct engine *engine)
{
    return engine->ended_fd;
}

bool engine_ended(struct engine *engine, enum engine_exit *ret_exit, struct fan_error *ret_why)
{
    (void)pthread_mutex_lock(&engine->lock); /* cannot fail: a plain mutex that we do not hold */
    bool ended = engine->ended;
    if (ended) {
        *ret_exit = engine->exit;
        *ret_why = engine->why;
    }
    (void)pthread_mutex_unlock(&engine->lock); /* cannot fail: we hold it */
    return ended;
}

bool engine_answers(struct engine *engine, int64_t within_us, struct fan_error *ret_why)
{
    int64_t since_us = clock_monotonic_us() - within_us;
    for (size_t index = 0; index < engine->sources_count; index++) {
        if (!reader_thread_passed(&engine->sources[index].thread, since_us)) {
            (void)fan_fail(ret_why, FAN_RETRY, "the thread of source \"%s\" does not answer",
                           engine->sources[index].settings->name);
            return false;
        }
    }
    int64_t busy_since_us = keeper_busy_since_us(engine->keeper);
    if (busy_since_us != 0 && busy_since_us < since_us) {
        (void)fan_fail(ret_why, FAN_RETRY, "the store thread does not answer");
        return false;
    }
    return true;
}

/* Waits until every reader has ended, or the deadline. Returns how many have not. */
static size_t readers_wait(struct engine *engine, int64_t deadline_us)
{
    struct timespec deadline = {.tv_sec = deadline_us / 1000000,
                                .tv_nsec = deadline_us % 1000000 * 1000};
    size_t running;
    (void)pthread_mutex_lock(&engine->lock); /* cannot fail: a plain mutex that we do not hold */
    for (;;) {
        running = 0;
        for (size_t index = 0; index < engine->sources_count; index++) {
            running += !reader_has_ended(&engine->sources[index].reader);
        }
        if (running == 0 ||
            pthread_cond_timedwait(&engine->reader_ended, &engine->lock, &deadline) != 0) {
            break;
        }
    }
    (void)pthread_mutex_unlock(&engine->lock); /* cannot fail: we hold it */
    return running;
}

enum fan_status engine_stop(struct engine *engine, int64_t timeout_us, struct fan_error *reterr)
{
    atomic_store(&engine->stopping, true);
    size_t running = 0;
    if (engine->started) {
        for (size_t index = 0; index < engine->sources_count; index++) {
            reader_begin_stop(&engine->sources[index].reader);
        }
        running = readers_wait(engine, clock_monotonic_us() + timeout_us);
    }
    for (size_t index = 0; index < engine->sources_count; index++) {
        reader_thread_stop(&engine->sources[index].thread);
    }
    workers_stop(engine->workers);
    if (running > 0) {
        return fan_fail(reterr, FAN_RETRY,
                        "%zu of %zu sources could not deliver everything in time", running,
                        engine->sources_count);
    }
    return FAN_OK;
}

void engine_destroy(struct engine *engine)
{
    if (engine == NULL) {
        return;
    }
    for (size_t index = 0; index < engine->sources_count; index++) {
        reader_thread_stop(&engine->sources[index].thread);
    }
    workers_stop(engine->workers);
    /* The store thread answers what waits, so it goes before those that are answered. */
    keeper_stop(engine->keeper);
    for (size_t index = 0; index < engine->pipelines_count; index++) {
        pipeline_release(&engine->pipelines[index].pipeline);
    }
    schema_registries_release(&engine->registries);
    io_pool_destroy(engine->io_pool);
    workers_destroy(engine->workers); /* targets and I/O threads scheduled until here */
    keeper_destroy(engine->keeper);
    for (size_t index = 0; index < engine->sources_count; index++) {
        reader_thread_release(&engine->sources[index].thread);
        reader_release(&engine->sources[index].reader);
        free(engine->sources[index].patterns);
    }
    store_unlock(engine->lock_descriptor);
    if (engine->ended_fd >= 0) {
        (void)close(engine->ended_fd); /* an eventfd has nothing to lose */
    }
    free(engine->sources);
    free(engine->pipelines);
    free(engine->schedule);
    free(engine);
}

/* ---- verbs ---- */

static enum fan_status pipeline_unknown(const struct engine *engine, const char *name,
                                        struct fan_error *reterr)
{
    struct nearest search;
    nearest_init(&search, name);
    for (size_t index = 0; index < engine->pipelines_count; index++) {
        nearest_offer(&search, engine->pipelines[index].pipeline.settings->name);
    }
    (void)fan_fail(reterr, FAN_POISON, "there is no pipeline \"%s\"", name);
    if (search.best != NULL) {
        fan_error_annotate(reterr, "PIPELINE_NOT_FOUND", "did you mean \"%s\"?", search.best);
    } else {
        fan_error_annotate(reterr, "PIPELINE_NOT_FOUND", "see pgfan status");
    }
    return FAN_POISON;
}

enum fan_status engine_command(struct engine *engine, const char *pipeline, enum pipeline_verb verb,
                               struct fan_error *reterr)
{
    enum { COMMAND_PATIENCE_US = 10000000 };
    for (size_t index = 0; index < engine->pipelines_count; index++) {
        struct engine_pipeline *found = &engine->pipelines[index];
        if (strcmp(found->pipeline.settings->name, pipeline) == 0) {
            return reader_command(&found->source->reader, found->intake, verb, COMMAND_PATIENCE_US,
                                  reterr);
        }
    }
    return pipeline_unknown(engine, pipeline, reterr);
}
