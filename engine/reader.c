/*
 * reader.c - see reader.h.
 *
 * NOTES
 * A step: take what the pipelines report, carry out verbs, step the source (which calls the sink
 * functions here), persist if there is something to persist, publish the view.
 *
 * How a pipeline comes back: changes that were passed over can only be had again from the slot, so
 * the reader has the source rewind to the persisted acknowledgement. Every intake skips what it
 * was admitted already, so for the others the second pass is silent.
 */
#include "engine/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/log.h"
#include "engine/reader_persist.h"
#include "engine/reader_sink.h"

enum {
    VIEW_INTERVAL_US = 100000,
    IDLE_STEP_US = 1000000,
};

enum fan_status reader_init(struct reader *reader, const struct reader_setup *setup,
                            size_t intakes_count, size_t gates_count, struct fan_error *reterr)
{
    *reader = (struct reader){
        .name = setup->name,
        .hooks = setup->hooks,
        .persister = setup->persister,
        .rng = rng_seeded(setup->seed),
        .gates_count = gates_count,
        .blocked_by = -1,
        .memory = setup->memory,
        .persisted = setup->memory.confirmed,
        .routes_count = 1,
        .routes_capacity = 16,
        .view = {.blocked_by = -1},
        .guard = {.settings = setup->settings != NULL ? &setup->settings->slot_guard : NULL},
    };
    reader_sink_init(&reader->sink);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes); /* these three cannot fail with these arguments */
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&reader->command_done, &attributes);
    (void)pthread_condattr_destroy(&attributes);   /* of no more use */
    (void)pthread_mutex_init(&reader->lock, NULL); /* cannot fail with default attributes */
    reader->intakes = calloc(intakes_count + 1, sizeof(*reader->intakes));
    reader->intake_views = calloc(intakes_count + 1, sizeof(*reader->intake_views));
    reader->touched = calloc(intakes_count + 1, sizeof(*reader->touched));
    reader->gates = calloc(gates_count + 1, sizeof(*reader->gates));
    reader->routes = calloc(reader->routes_capacity, sizeof(*reader->routes));
    reader->message_route.intakes = calloc(intakes_count + 1, sizeof(uint16_t));
    if (reader->intakes == NULL || reader->intake_views == NULL || reader->touched == NULL ||
        reader->gates == NULL || reader->routes == NULL || reader->message_route.intakes == NULL) {
        reader_release(reader);
        return fan_fail(reterr, FAN_RETRY, "could not allocate source \"%s\": out of memory",
                        setup->name);
    }
    reader->intakes_count = intakes_count;
    acktrack_init(&reader->track, reader->gates, gates_count, setup->memory.confirmed);
    return FAN_OK;
}

enum fan_status reader_add(struct reader *reader, size_t index, size_t first_gate,
                           const struct intake_setup *setup, struct fan_error *reterr)
{
    FAN_ASSERT(first_gate + setup->settings->targets.count <= reader->gates_count);
    struct intake_setup with_gates = *setup;
    with_gates.gates = &reader->gates[first_gate];
    for (size_t target = 0; target < setup->settings->targets.count; target++) {
        struct fan_position settled = setup->pipeline->outlets[target].settled;
        with_gates.gates[target] = (struct ackgate){.given = settled, .settled = settled};
    }
    return intake_init(&reader->intakes[index], &with_gates, reterr);
}

void reader_attach(struct reader *reader, struct source *source)
{
    reader->source = source;
}

void reader_release(struct reader *reader)
{
    if (reader->source != NULL) {
        reader->source->type->destroy(reader->source);
    }
    for (size_t index = 0; index < reader->intakes_count; index++) {
        intake_release(&reader->intakes[index]);
    }
    for (size_t index = 0; index < reader->routes_count && reader->routes != NULL; index++) {
        free(reader->routes[index].intakes);
    }
    free(reader->message_route.intakes);
    free(reader->routes);
    free(reader->intakes);
    free(reader->intake_views);
    free(reader->touched);
    free(reader->gates);
    persist_job_free(reader->job);
    *reader = (struct reader){0};
}

void reader_start(struct reader *reader, int64_t now_us)
{
    for (size_t index = 0; index < reader->intakes_count; index++) {
        intake_wish(&reader->intakes[index], WISH_IDLE);
    }
    reader->persist_at_us = now_us;
}

void reader_begin_pipelines(struct reader *reader)
{
    if (reader->begun) {
        return;
    }
    reader->begun = true;
    for (size_t index = 0; index < reader->intakes_count; index++) {
        struct intake *intake = &reader->intakes[index];
        bool runs = intake->state != PIPELINE_PAUSED && intake->state != PIPELINE_STOPPED &&
                    (intake->state != PIPELINE_ERROR || intake->isolated);
        if (runs && !reader->stopping) {
            intake_wish(intake, WISH_FLOW);
        }
    }
}

/* ---- reports of the pipelines ---- */

/* What a pipeline has in memory is or will be dropped: nothing more goes in, and the ack waits. */
static void reader_take_out(struct reader *reader, struct intake *intake)
{
    (void)reader; /* symmetry with the functions beside it */
    intake_close(intake);
    intake->clean = false;
    intake_wish(intake, WISH_IDLE);
}

static void reader_fail_intake(struct reader *reader, struct intake *intake, const char *reason)
{
    reader_take_out(reader, intake);
    intake_fail(intake, reason, reader->hooks.wall_us(reader->hooks.context));
    reader->persist_soon = true;
}

void reader_stop_reading(struct reader *reader, const char *reason)
{
    for (size_t index = 0; index < reader->intakes_count; index++) {
        struct intake *intake = &reader->intakes[index];
        bool runs = intake->state == PIPELINE_INITIALIZING || intake->state == PIPELINE_STREAMING ||
                    intake->isolated;
        if (runs) {
            reader_take_out(reader, intake);
            intake->restart_at_us = 0;
            intake_become(intake, PIPELINE_STOPPED, reason,
                          reader->hooks.wall_us(reader->hooks.context));
        }
    }
    reader->persist_soon = true;
    reader->halted = true;
    (void)snprintf(reader->halt_reason, sizeof(reader->halt_reason), "%s", reason); /* may be cut */
    reader->source->type->halt(reader->source, true);
}

/* What `stop_source` and `stop_all` ask for. */
static void reader_apply_policy(struct reader *reader, const struct intake *failed)
{
    if (failed->report.policy == ERRORS_ISOLATE) {
        return;
    }
    reader->policy = failed->report.policy;
    reader->policy_error = failed->report.error;
    if (reader->policy == ERRORS_STOP_ALL) {
        return; /* the engine looks */
    }
    char reason[STORE_REASON_MAX];
    (void)snprintf(reason, sizeof(reason), "stop_source: pipeline \"%s\" failed",
                   failed->settings->name); /* may be cut */
    reader_stop_reading(reader, reason);
}

/* An operator has a pipeline go on: its source reads again. */
static void reader_resume_source(struct reader *reader)
{
    if (reader->halted) {
        reader->halted = false;
        reader->halt_reason[0] = '\0';
        reader->policy = ERRORS_ISOLATE;
        reader->source->type->halt(reader->source, false);
    }
}

static void reader_pipeline_failed(struct reader *reader, struct intake *intake, int64_t now_us)
{
    const struct report *report = &intake->report;
    if (!intake->open && !intake->clean) {
        return; /* on its way out already */
    }
    if (!report->lost) {
        reader_fail_intake(reader, intake, report->error.text);
        reader_apply_policy(reader, intake);
        return;
    }
    log_write(LOG_WARN, "target lost what was not durable, it is read again from the slot",
              LOG_TEXT("pipeline", intake->settings->name), LOG_TEXT("error", report->error.text));
    reader_take_out(reader, intake);
    bool runs = intake->state == PIPELINE_INITIALIZING || intake->state == PIPELINE_STREAMING ||
                intake->isolated;
    if (runs && !reader->stopping) { /* a paused one waits for its resume */
        intake->restart_at_us = now_us + backoff_next_us(&intake->restart_backoff, &reader->rng);
    }
}

/* A target that counts is cut off, or works again; the others of its pipeline stream on. */
static void reader_show_isolation(struct reader *reader, struct intake *intake)
{
    const struct report *report = &intake->report;
    bool running = intake->state == PIPELINE_INITIALIZING || intake->state == PIPELINE_STREAMING;
    if (report->isolated && running && intake->wish == WISH_FLOW && intake_obeyed(intake)) {
        intake_become(intake, PIPELINE_ERROR, report->error.text,
                      reader->hooks.wall_us(reader->hooks.context));
        intake->isolated = true;
        reader->persist_soon = true;
    } else if (!report->isolated && intake->isolated && report->run == RUN_FLOWING) {
        intake_become(intake, PIPELINE_STREAMING, "", reader->hooks.wall_us(reader->hooks.context));
        reader->persist_soon = true;
    }
}

static void reader_collect_places(struct reader *reader, struct intake *intake)
{
    for (size_t target = 0; target < intake->targets_count; target++) {
        const struct mailbox_target *place = &intake->places[target];
        struct ackgate *gate = &intake->gates[target];
        struct fan_position settled = place->settled;
        if (position_compare(settled, gate->given) > 0) {
            settled = gate->given; /* a backlog of an earlier run: its changes come again */
        }
        if (position_compare(settled, gate->settled) > 0) {
            ackgate_settle(gate, settled, place->next_hold);
            backoff_reset(&intake->restart_backoff);
        }
    }
    (void)reader; /* symmetry with the functions beside it */
}

static void reader_collect(struct reader *reader, int64_t now_us)
{
    for (size_t index = 0; index < reader->intakes_count; index++) {
        struct intake *intake = &reader->intakes[index];
        struct mailbox *mailbox = &intake->pipeline->mailbox;
        if (!mailbox_collect(mailbox, &intake->report, intake->places)) {
            continue;
        }
        reader_collect_places(reader, intake);
        if (intake->report.urgent) {
            reader->persist_soon = true;
        }
        if (intake->report.run == RUN_FAILED) {
            reader_pipeline_failed(reader, intake, now_us);
        }
        reader_show_isolation(reader, intake);
        if (intake->report.run == RUN_IDLE && intake_obeyed(intake) && !intake->clean) {
            intake_forget(intake);
            intake_emptied(intake);
            reader->persist_soon = true;
        }
    }
}

/* Brings back pipelines whose targets lost something, and opens what may be opened. */
static void reader_revive(struct reader *reader, int64_t now_us)
{
    for (size_t index = 0; index < reader->intakes_count; index++) {
        struct intake *intake = &reader->intakes[index];
        if (intake->restart_at_us != 0 && now_us >= intake->restart_at_us && intake->clean) {
            intake->restart_at_us = 0;
            intake_wish(intake, WISH_FLOW);
        }
        bool flows =
            intake->wish == WISH_FLOW || intake->wish == WISH_SPILL || intake->wish == WISH_GAP;
        if (intake->open || !flows || !intake->clean) {
            continue;
        }
        if (intake->passed_over) {
            reader->rewind_wanted = true;
        } else if (reader->session) {
            intake_try_open(intake, false);
        }
    }
}

static void reader_show_streaming(struct reader *reader)
{
    for (size_t index = 0; index < reader->intakes_count; index++) {
        struct intake *intake = &reader->intakes[index];
        if (intake->state == PIPELINE_INITIALIZING && intake->open &&
            intake->report.run == RUN_FLOWING && intake_obeyed(intake) &&
            !intake->report.isolated) {
            intake_become(intake, PIPELINE_STREAMING, "",
                          reader->hooks.wall_us(reader->hooks.context));
            reader->persist_soon = true;
        }
    }
}

/* ---- the view ---- */

static void reader_publish_view(struct reader *reader, int64_t now_us)
{
    if (now_us < reader->view_at_us) {
        return;
    }
    reader->view_at_us = now_us + VIEW_INTERVAL_US;
    (void)pthread_mutex_lock(&reader->lock); /* cannot fail: a plain mutex that we do not hold */
    reader->view.boundary = reader->track.boundary;
    reader->view.persisted = reader->persisted;
    reader->view.blocked_by = reader->blocked_by;
    reader->view.persist_failures = reader->persist_failures;
    memcpy(reader->view.halt_reason, reader->halt_reason, sizeof(reader->view.halt_reason));
    for (size_t index = 0; index < reader->intakes_count; index++) {
        const struct intake *intake = &reader->intakes[index];
        struct intake_view *view = &reader->intake_views[index];
        view->state = intake->state;
        memcpy(view->reason, intake->reason, sizeof(view->reason));
        view->since_wall_us = intake->since_wall_us;
        view->run = intake->report.run;
        view->passed_over = intake->passed_over;
        view->passed_commit_us = intake->passed_commit_us;
        view->oldest_commit_us = intake->report.oldest_commit_us;
        view->resolved = reader->track.boundary;
        for (size_t target = 0; target < intake->targets_count; target++) {
            view->resolved =
                lsn_min(view->resolved, acktrack_resolved(&reader->track, &intake->gates[target]));
        }
    }
    (void)pthread_mutex_unlock(&reader->lock); /* cannot fail: we hold it */
}

/* ---- operators' verbs ---- */

static void command_apply(struct reader *reader, struct command *command, int64_t now_us)
{
    struct intake *intake = &reader->intakes[command->intake];
    enum pipeline_state next;
    command->status = pipeline_state_after(intake->state, command->verb, &next, &command->error);
    if (command->status == FAN_OK && reader->stopping) {
        command->status = fan_fail(&command->error, FAN_RETRY, "the engine is stopping");
    }
    if (command->status != FAN_OK) {
        command->done = true;
        return;
    }
    intake->restart_at_us = 0;
    switch (command->verb) {
    case PIPELINE_PAUSE:
        intake_close(intake);
        intake_wish(intake, intake->clean ? WISH_HOLD : WISH_IDLE);
        break;
    case PIPELINE_STOP:
        reader_take_out(reader, intake);
        break;
    case PIPELINE_RESTART:
        if (intake->open && !intake->isolated) {
            reader_take_out(reader, intake);
        }
        /* fall through */
    case PIPELINE_START:
        mailbox_encourage(&intake->pipeline->mailbox);
        /* fall through */
    case PIPELINE_RESUME:
        reader_resume_source(reader);
        if (!reader->begun) {
            break; /* it begins with the others, at the first session */
        }
        if (intake->clean) {
            intake_wish(intake, WISH_FLOW);
        } else { /* still on its way to idle, which has to be seen first */
            intake->restart_at_us = now_us;
        }
        break;
    }
    intake_become(intake, next, "", reader->hooks.wall_us(reader->hooks.context));
    command->taken = true;
    command->state_moves = intake->state_moves;
    reader->persist_soon = true;
}

static bool command_in_effect(const struct reader *reader, const struct command *command)
{
    const struct intake *intake = &reader->intakes[command->intake];
    if (intake->state_persisted < command->state_moves) {
        return false;
    }
    switch (command->verb) {
    case PIPELINE_PAUSE:
        return intake_obeyed(intake);
    case PIPELINE_STOP:
        return intake_obeyed(intake) && intake->report.run == RUN_IDLE;
    case PIPELINE_RESUME:
    case PIPELINE_START:
    case PIPELINE_RESTART:
        return true;
    }
    return true;
}

static bool reader_has_commands(struct reader *reader)
{
    (void)pthread_mutex_lock(&reader->lock); /* cannot fail: a plain mutex that we do not hold */
    bool any = reader->commands_count > 0;
    (void)pthread_mutex_unlock(&reader->lock); /* cannot fail: we hold it */
    return any;
}

static void reader_do_commands(struct reader *reader, int64_t now_us)
{
    bool any_done = false;
    (void)pthread_mutex_lock(&reader->lock); /* cannot fail: a plain mutex that we do not hold */
    size_t kept = 0;
    for (size_t index = 0; index < reader->commands_count; index++) {
        struct command *command = reader->commands[index];
        if (!command->taken) {
            command_apply(reader, command, now_us);
        }
        if (!command->done && command_in_effect(reader, command)) {
            command->done = true;
        }
        any_done = any_done || command->done;
        if (!command->done) {
            reader->commands[kept++] = command;
        }
    }
    reader->commands_count = kept;
    if (any_done) {
        (void)pthread_cond_broadcast(&reader->command_done); /* cannot fail */
    }
    (void)pthread_mutex_unlock(&reader->lock); /* cannot fail: we hold it */
}

enum fan_status reader_command(struct reader *reader, size_t intake, enum pipeline_verb verb,
                               int64_t timeout_us, struct fan_error *reterr)
{
    struct command command = {.intake = intake, .verb = verb};
    struct timespec deadline;
    (void)clock_gettime(CLOCK_MONOTONIC, &deadline); /* cannot fail for this clock */
    int64_t nanoseconds = deadline.tv_nsec + timeout_us % 1000000 * 1000;
    deadline.tv_sec += timeout_us / 1000000 + nanoseconds / 1000000000;
    deadline.tv_nsec = nanoseconds % 1000000000;
    (void)pthread_mutex_lock(&reader->lock); /* cannot fail: a plain mutex that we do not hold */
    if (reader_has_ended(reader)) {
        (void)pthread_mutex_unlock(&reader->lock); /* cannot fail: we hold it */
        return fan_fail(reterr, FAN_RETRY, "the engine is stopping");
    }
    if (reader->commands_count == COMMANDS_MAX) {
        (void)pthread_mutex_unlock(&reader->lock); /* cannot fail: we hold it */
        return fan_fail(reterr, FAN_RETRY, "too many commands wait for source \"%s\"",
                        reader->name);
    }
    reader->commands[reader->commands_count++] = &command;
    reader->hooks.wake(reader->hooks.context);
    while (!command.done &&
           pthread_cond_timedwait(&reader->command_done, &reader->lock, &deadline) == 0) {
    }
    for (size_t index = 0; index < reader->commands_count; index++) {
        if (reader->commands[index] == &command) { /* the deadline came first */
            reader->commands[index] = reader->commands[--reader->commands_count];
            break;
        }
    }
    bool done = command.done;
    (void)pthread_mutex_unlock(&reader->lock); /* cannot fail: we hold it */
    if (!done) {
        enum fan_status status =
            fan_fail(reterr, FAN_RETRY, "could not see the effect of \"%s\" in time: %s",
                     pipeline_verb_name(verb),
                     command.taken ? "it is under way" : "the source's thread is busy");
        fan_error_annotate(reterr, "TIMEOUT", "look at the status");
        return status;
    }
    if (command.status != FAN_OK && reterr != NULL) {
        *reterr = command.error;
    }
    return command.status;
}

/* ---- the end ---- */

void reader_begin_stop(struct reader *reader)
{
    atomic_store(&reader->stop_wanted, true);
    reader->hooks.wake(reader->hooks.context);
}

bool reader_has_ended(const struct reader *reader)
{
    return atomic_load(&reader->ended);
}

static void reader_begin_drain(struct reader *reader)
{
    reader->stopping = true;
    for (size_t index = 0; index < reader->intakes_count; index++) {
        struct intake *intake = &reader->intakes[index];
        if (intake->wish == WISH_FLOW) {
            intake_wish(intake, WISH_DRAIN);
        }
    }
}

static bool reader_pipelines_drained(const struct reader *reader)
{
    for (size_t index = 0; index < reader->intakes_count; index++) {
        const struct intake *intake = &reader->intakes[index];
        bool running = intake->wish == WISH_DRAIN;
        if (!intake_obeyed(intake) || (running && !intake->report.drained)) {
            return false;
        }
    }
    return true;
}

static void reader_stop_step(struct reader *reader)
{
    if (!reader->stopping && atomic_load(&reader->stop_wanted)) {
        reader_begin_drain(reader);
    }
    if (!reader->stopping || reader->source_stopped) {
        return;
    }
    if (!reader->drained && reader->job == NULL && reader_pipelines_drained(reader)) {
        /* Asking to persist soon makes it due: only when something is due is there a last round. */
        reader->drained = !reader_persist_is_due(reader);
        reader->persist_soon = !reader->drained;
    }
    if (reader->drained) {
        reader->source_stopped = true;
        reader->source->type->stop(reader->source);
        reader->step_again = true; /* so that the source says goodbye now */
    }
}

/* No step follows that could see their effect: whoever waits for it need not wait any more. */
static void reader_refuse_commands(struct reader *reader)
{
    (void)pthread_mutex_lock(&reader->lock); /* cannot fail: a plain mutex that we do not hold */
    for (size_t index = 0; index < reader->commands_count; index++) {
        struct command *command = reader->commands[index];
        command->status = fan_fail(&command->error, FAN_RETRY, "the engine is stopping");
        command->done = true;
    }
    reader->commands_count = 0;
    (void)pthread_cond_broadcast(&reader->command_done); /* cannot fail */
    (void)pthread_mutex_unlock(&reader->lock);           /* cannot fail: we hold it */
}

static void reader_check_ended(struct reader *reader)
{
    if (!reader->source_stopped) {
        return;
    }
    struct source_status status;
    reader->source->type->status(reader->source, &status);
    if (status.state == SOURCE_STOPPED || status.state == SOURCE_FAILED) {
        atomic_store(&reader->ended, true);
        reader_refuse_commands(reader);
    }
}

/* ---- the step ---- */

void reader_view(struct reader *reader, struct reader_view *ret_view,
                 struct intake_view *ret_intakes)
{
    (void)pthread_mutex_lock(&reader->lock); /* cannot fail: a plain mutex that we do not hold */
    *ret_view = reader->view;
    memcpy(ret_intakes, reader->intake_views, reader->intakes_count * sizeof(*ret_intakes));
    (void)pthread_mutex_unlock(&reader->lock); /* cannot fail: we hold it */
}

static int64_t reader_deadline(const struct reader *reader, int64_t now_us)
{
    if (reader->step_again) {
        return now_us;
    }
    int64_t deadline = now_us + IDLE_STEP_US;
    for (size_t index = 0; index < reader->intakes_count; index++) {
        int64_t restart_us = reader->intakes[index].restart_at_us;
        bool waits = restart_us != 0 && reader->intakes[index].clean; /* else for its report */
        if (waits && restart_us < deadline) {
            deadline = restart_us;
        }
    }
    if (reader->job == NULL && reader->persist_at_us < deadline && reader_persist_is_due(reader)) {
        deadline = reader->persist_at_us;
    }
    return deadline < now_us ? now_us : deadline;
}

void reader_step(struct reader *reader, int64_t now_us, struct source_wait *ret_wait)
{
    reader->step_again = false;
    reader_persist_finish(reader, now_us);
    reader_collect(reader, now_us);
    if (reader_has_commands(reader)) {
        reader->view_at_us = 0; /* who gave the verb sees its effect when it returns */
        reader_publish_view(reader, now_us);
        reader_do_commands(reader, now_us);
    }
    reader_revive(reader, now_us);
    guard_step(&reader->guard, reader, now_us);
    if (reader->rewind_wanted && reader->session && !reader->stopping) {
        log_write(LOG_INFO, "stream is read again from the confirmed position",
                  LOG_TEXT("source", reader->name), LOG_LSN("confirmed", reader->persisted.value));
        reader->session = false;
        reader->source->type->rewind(reader->source);
    }
    reader->rewind_wanted = false;
    reader->source->type->step(reader->source, now_us, ret_wait);
    reader_show_streaming(reader);
    reader_stop_step(reader);
    reader_persist_begin(reader, now_us);
    reader_check_ended(reader);
    reader_publish_view(reader, now_us);
    int64_t deadline = reader_deadline(reader, now_us);
    ret_wait->deadline_us = deadline < ret_wait->deadline_us ? deadline : ret_wait->deadline_us;
}
