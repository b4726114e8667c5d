/*
 * pipeline.c - see pipeline.h for the picture.
 *
 * NOTES
 * A step runs in this order: obey the wish, take outcomes, start or deliver, tick, report. The
 * report comes last, so that what the reader sees is what holds until the next step.
 *
 * A pipeline that fails keeps everything as it is until the reader wishes it IDLE: only the reader
 * knows that it has stopped pushing, and only then may the ring be emptied.
 */
#include "engine/pipeline.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/count.h"
#include "base/log.h"

enum {
    STEP_BATCHES_MAX = 64,       /* then other pipelines get their turn */
    FLUSH_PATIENCE_US = 3000000, /* for what is under way when a pipeline is stopped */
};

static void pipeline_wake(void *context)
{
    struct pipeline *pipeline = context;
    pipeline->hooks.schedule(pipeline->hooks.context, pipeline);
}

static struct backoff backoff_of(const struct settings_pipeline *settings)
{
    return (struct backoff){.base_us = settings->error_handling.backoff_us,
                            .max_us = settings->error_handling.backoff_max_us};
}

static struct encode_settings format_of(const struct settings_target *target)
{
    return (struct encode_settings){
        .type = encoder_type_find(target->format),
        .int8_as_string = target->int8 != 0,
        .special_values = (enum special_values)target->special_values,
    };
}

/* Gathers the formats that the targets ask for, each once. */
static enum fan_status formats_collect(const struct settings_pipeline *settings,
                                       struct encode_settings formats[BATCH_FORMATS_MAX],
                                       size_t *ret_count, size_t *ret_of_target,
                                       struct fan_error *reterr)
{
    size_t count = 0;
    for (size_t index = 0; index < settings->targets.count; index++) {
        struct encode_settings wanted = format_of(settings_target_at(settings, index));
        FAN_ASSERT(wanted.type != NULL); /* the conf decoder knows the formats */
        size_t found = 0;
        while (found < count && !encode_settings_equal(&formats[found], &wanted)) {
            found++;
        }
        if (found == BATCH_FORMATS_MAX) {
            return fan_fail(reterr, FAN_FATAL,
                            "pipeline \"%s\" asks for more than %d different formats",
                            settings->name, BATCH_FORMATS_MAX);
        }
        formats[found] = wanted;
        count = found == count ? count + 1 : count;
        ret_of_target[index] = found;
    }
    *ret_count = count;
    return FAN_OK;
}

static enum fan_status outlets_create(struct pipeline *pipeline, const struct pipeline_setup *setup,
                                      const size_t *formats, struct fan_error *reterr)
{
    const struct settings_pipeline *settings = setup->settings;
    for (size_t index = 0; index < settings->targets.count; index++) {
        const struct settings_target *target_settings = settings_target_at(settings, index);
        const struct target_type *type = target_type_find(target_settings->type);
        FAN_ASSERT(type != NULL); /* the conf decoder knows the types */
        struct target_context context = {
            .pipeline = settings->name,
            .target = target_settings->name,
            .index = (uint32_t)index,
            .format = formats[index],
            .lane = setup->first_lane + index,
            .outcomes = &pipeline->outcomes.sink,
            .executor = setup->executor,
        };
        struct target *target = NULL;
        enum fan_status status = type->create(target_settings->options, &context, &target, reterr);
        if (status != FAN_OK) {
            return status;
        }
        status = outlet_init(&pipeline->outlets[index], settings->name, target_settings->name,
                             target, formats[index], (uint64_t)settings->batch.max_inflight,
                             backoff_of(settings), reterr);
        if (status != FAN_OK) {
            type->destroy(target);
            return status;
        }
        pipeline->outlets_count++;
    }
    return FAN_OK;
}

static enum fan_status pipeline_build(struct pipeline *pipeline, const struct pipeline_setup *setup,
                                      struct fan_error *reterr)
{
    const struct settings_pipeline *settings = setup->settings;
    struct ring_limits ring_limits = {
        .events_max = (uint32_t)settings->buffer.max_events,
        .bytes_max = settings->buffer.max_bytes,
        .policy = settings->buffer.policy == BUFFER_DROP_OLDEST ? RING_DROP_OLDEST
                  : settings->buffer.policy == BUFFER_ERROR     ? RING_ERROR
                                                                : RING_BLOCK,
    };
    struct assembler_limits assembler_limits = {
        .max_events = (size_t)settings->batch.max_events,
        .max_bytes = settings->batch.max_bytes,
        .max_us = settings->batch.max_us,
        .respect_source_tx = settings->batch.respect_source_tx,
    };
    size_t targets_count = settings->targets.count;
    if (targets_count > PIPELINE_TARGETS_MAX) {
        return fan_fail(reterr, FAN_FATAL, "pipeline \"%s\" has more than %d targets",
                        settings->name, PIPELINE_TARGETS_MAX);
    }
    struct encode_settings formats[BATCH_FORMATS_MAX];
    size_t formats_count = 0;
    size_t format_of_target[PIPELINE_TARGETS_MAX] = {0};
    enum fan_status status =
        formats_collect(settings, formats, &formats_count, format_of_target, reterr);
    if (status == FAN_OK) {
        status = ring_init(&pipeline->ring, ring_limits, reterr);
    }
    if (status == FAN_OK) {
        status = mailbox_init(&pipeline->mailbox, targets_count, reterr);
    }
    if (status == FAN_OK) {
        status =
            outcome_box_init(&pipeline->outcomes, targets_count, pipeline_wake, pipeline, reterr);
    }
    if (status == FAN_OK) {
        status = assembler_init(&pipeline->assembler, assembler_limits, formats, formats_count,
                                setup->context, reterr);
    }
    if (status != FAN_OK) {
        return status;
    }
    pipeline->outlets = calloc(targets_count, sizeof(*pipeline->outlets));
    if (pipeline->outlets == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not allocate targets: out of memory");
    }
    return outlets_create(pipeline, setup, format_of_target, reterr);
}

enum fan_status pipeline_init(struct pipeline *pipeline, const struct pipeline_setup *setup,
                              struct fan_error *reterr)
{
    *pipeline = (struct pipeline){
        .settings = setup->settings,
        .hooks = setup->hooks,
        .run = RUN_IDLE,
        .start_backoff = backoff_of(setup->settings),
        .rng = rng_seeded(setup->seed),
    };
    enum fan_status status = pipeline_build(pipeline, setup, reterr);
    if (status != FAN_OK) {
        pipeline_release(pipeline);
    }
    return status;
}

static void pipeline_drop_taken(struct pipeline *pipeline)
{
    for (; pipeline->taken_next < pipeline->taken_count; pipeline->taken_next++) {
        change_release(&pipeline->taken[pipeline->taken_next]);
    }
    pipeline->taken_next = 0;
    pipeline->taken_count = 0;
}

void pipeline_release(struct pipeline *pipeline)
{
    pipeline_drop_taken(pipeline);
    batch_unref(pipeline->current);
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        outlet_release(&pipeline->outlets[index]);
    }
    free(pipeline->outlets);
    assembler_release(&pipeline->assembler);
    outcome_box_release(&pipeline->outcomes);
    mailbox_release(&pipeline->mailbox);
    ring_release(&pipeline->ring);
    *pipeline = (struct pipeline){0};
}

void pipeline_resume_target(struct pipeline *pipeline, size_t index,
                            const struct target_checkpoint *checkpoint)
{
    pipeline->outlets[index].settled = *checkpoint;
    pipeline->outlets[index].given = checkpoint->position;
}

/* ---- failing, stopping, starting ---- */

/* Keeps the last error of a target, and shows it to the threads that ask. */
static void pipeline_note_error(struct pipeline *pipeline, size_t index,
                                const struct fan_error *error)
{
    pipeline->outlets[index].last_error = *error;
    mailbox_note_error(&pipeline->mailbox, index, error->text);
}

static void pipeline_fail(struct pipeline *pipeline, bool lost, const struct fan_error *error)
{
    if (pipeline->run == RUN_FAILED) {
        return; /* the first reason is the one to show */
    }
    if (pipeline->run == RUN_FLUSHING) {
        pipeline->flush_until_us = INT64_MIN; /* it is on its way to idle: no use in waiting */
        return;
    }
    pipeline->run = RUN_FAILED;
    pipeline->lost = lost;
    pipeline->error = *error;
}

static bool outlets_all(const struct pipeline *pipeline, bool (*holds)(const struct outlet *outlet))
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        if (!holds(&pipeline->outlets[index])) {
            return false;
        }
    }
    return true;
}

static void outlets_flush(struct pipeline *pipeline, int64_t now_us)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        struct target *target = pipeline->outlets[index].target;
        if (pipeline->outlets[index].started && target->type->flush != NULL) {
            target->type->flush(target, now_us);
        }
    }
}

/* Stops the targets and drops everything: the reader has stopped pushing. */
static void pipeline_become_idle(struct pipeline *pipeline)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        outlet_stop(&pipeline->outlets[index]);
    }
    /* What the targets still posted before they stopped counts. */
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        struct outcome_slot slot = outcome_box_take(&pipeline->outcomes, index);
        struct outlet *outlet = &pipeline->outlets[index];
        if (slot.settled &&
            position_compare(slot.checkpoint.position, outlet->settled.position) > 0) {
            outlet->given = slot.checkpoint.position;
            outlet_settle(outlet, &slot.checkpoint,
                          pipeline->hooks.wall_us(pipeline->hooks.context));
        }
    }
    pipeline_drop_taken(pipeline);
    batch_unref(pipeline->current);
    pipeline->current = NULL;
    assembler_reset(&pipeline->assembler);
    (void)ring_discard(&pipeline->ring); /* how many does not matter: they are read again */
    pipeline->run = RUN_IDLE;
}

static void pipeline_flush_step(struct pipeline *pipeline, int64_t now_us)
{
    if (outlets_all(pipeline, outlet_empty) || now_us >= pipeline->flush_until_us) {
        pipeline_become_idle(pipeline);
    }
}

static void pipeline_obey(struct pipeline *pipeline, int64_t now_us)
{
    uint64_t serial;
    enum wish wish = mailbox_wanted(&pipeline->mailbox, &serial);
    if (serial == pipeline->wish_serial) {
        return;
    }
    pipeline->wish_serial = serial;
    pipeline->wish = wish;
    pipeline->drained = false;
    switch (wish) {
    case WISH_IDLE:
        if (pipeline->run == RUN_FLOWING || pipeline->run == RUN_HELD) {
            outlets_flush(pipeline, now_us);
            pipeline->flush_until_us = now_us + FLUSH_PATIENCE_US;
            pipeline->run = RUN_FLUSHING;
        } else if (pipeline->run != RUN_FLUSHING) {
            pipeline_become_idle(pipeline);
        }
        break;
    case WISH_FLOW:
    case WISH_DRAIN:
        if (pipeline->run == RUN_IDLE) {
            pipeline->run = RUN_STARTING;
            pipeline->start_at_us = now_us;
            backoff_reset(&pipeline->start_backoff);
        } else if (pipeline->run == RUN_HELD) {
            pipeline->run = RUN_FLOWING;
        }
        break;
    case WISH_HOLD:
        if (pipeline->run == RUN_FLOWING) { /* RUN_STARTING becomes RUN_HELD by itself */
            pipeline->run = RUN_HELD;
        }
        break;
    }
}

static void pipeline_start_step(struct pipeline *pipeline, int64_t now_us)
{
    if (now_us < pipeline->start_at_us) {
        return;
    }
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        struct outlet *outlet = &pipeline->outlets[index];
        struct fan_error error;
        enum fan_status status = outlet->started ? FAN_OK : outlet_start(outlet, &error);
        if (status == FAN_OK) {
            continue;
        }
        bool first = outlet->last_error.text[0] == '\0';
        pipeline_note_error(pipeline, index, &error);
        if (status == FAN_FATAL || status == FAN_POISON) {
            pipeline_fail(pipeline, false, &error);
            return;
        }
        if (first) {
            log_write(LOG_WARN, "target could not start, will be tried again",
                      LOG_TEXT("pipeline", outlet->pipeline), LOG_TEXT("target", outlet->name),
                      LOG_TEXT("error", error.text));
        }
        count_add(&outlet->counters.retries, 1);
        pipeline->start_at_us = now_us + backoff_next_us(&pipeline->start_backoff, &pipeline->rng);
        return;
    }
    pipeline->run = pipeline->wish == WISH_HOLD ? RUN_HELD : RUN_FLOWING;
}

/* ---- outcomes ---- */

static void pipeline_take_outcomes(struct pipeline *pipeline)
{
    if (!outcome_box_news(&pipeline->outcomes)) {
        return;
    }
    int64_t wall_us = pipeline->hooks.wall_us(pipeline->hooks.context);
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        struct outlet *outlet = &pipeline->outlets[index];
        struct outcome_slot slot = outcome_box_take(&pipeline->outcomes, index);
        if (!outlet->started) {
            continue; /* what a stopped target said was taken when it stopped */
        }
        if (slot.settled) {
            outlet_settle(outlet, &slot.checkpoint, wall_us);
        }
        if (slot.fatal || slot.lost) {
            pipeline_note_error(pipeline, index, &slot.error);
            pipeline_fail(pipeline, slot.lost && !slot.fatal, &slot.error);
        }
    }
}

static void pipeline_tell_persisted(struct pipeline *pipeline)
{
    struct target_checkpoint checkpoints[PIPELINE_TARGETS_MAX];
    if (!mailbox_take_persisted(&pipeline->mailbox, &pipeline->persisted_moves, checkpoints)) {
        return;
    }
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        struct outlet *outlet = &pipeline->outlets[index];
        bool any = position_compare(checkpoints[index].position, (struct fan_position){0}) != 0;
        if (outlet->started && any && outlet->target->type->checkpointed != NULL) {
            outlet->target->type->checkpointed(outlet->target, &checkpoints[index]);
        }
    }
}

/* ---- delivering ---- */

/* Offers the current batch to the outlets that do not have it. True when all have. */
static bool pipeline_offer_current(struct pipeline *pipeline, int64_t now_us)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        uint64_t bit = (uint64_t)1 << index;
        if ((pipeline->current_left & bit) == 0) {
            continue;
        }
        struct fan_error error;
        bool failing = pipeline->outlets[index].last_error.text[0] != '\0';
        switch (outlet_offer(&pipeline->outlets[index], pipeline->current, &pipeline->rng, now_us,
                             &error)) {
        case OFFER_ACCEPTED:
            pipeline->current_left &= ~bit;
            if (failing) {
                mailbox_note_error(&pipeline->mailbox, index, "");
            }
            break;
        case OFFER_WAIT:
            break;
        case OFFER_RETRY:
            pipeline_note_error(pipeline, index, &error);
            break;
        case OFFER_FATAL:
            pipeline_note_error(pipeline, index, &error);
            pipeline_fail(pipeline, false, &error);
            return false;
        }
    }
    if (pipeline->current_left != 0) {
        return false;
    }
    batch_unref(pipeline->current);
    pipeline->current = NULL;
    return true;
}

/* Moves taken changes into the open batch until a bound asks for a cut. */
static void pipeline_add_taken(struct pipeline *pipeline, int64_t now_us)
{
    while (pipeline->taken_next < pipeline->taken_count && !assembler_full(&pipeline->assembler)) {
        struct change *change = &pipeline->taken[pipeline->taken_next];
        struct fan_error error;
        enum fan_status status = assembler_add(&pipeline->assembler, change, now_us, &error);
        if (status != FAN_OK) {
            pipeline_fail(pipeline, status == FAN_RETRY, &error);
            return;
        }
        pipeline->taken_next++;
    }
    if (pipeline->taken_next == pipeline->taken_count) {
        pipeline->taken_next = 0;
        pipeline->taken_count = 0;
    }
}

/* Takes from the ring what the open batch may get. Returns whether the ring has more. */
static bool pipeline_take(struct pipeline *pipeline)
{
    size_t open = assembler_open_events(&pipeline->assembler);
    size_t max_events = pipeline->assembler.limits.max_events;
    size_t room = open < max_events ? max_events - open : PIPELINE_TAKE_MAX;
    size_t max = room < PIPELINE_TAKE_MAX ? room : PIPELINE_TAKE_MAX;
    struct ring_taken taken = ring_take(&pipeline->ring, pipeline->taken, max);
    pipeline->taken_count = taken.count;
    if (taken.count == 0 && taken.whole) {
        assembler_end_txn(&pipeline->assembler);
    }
    if (taken.wake_reader) {
        pipeline->hooks.wake_reader(pipeline->hooks.context, pipeline);
    }
    return taken.count > 0;
}

/* Cuts the next batch if one is due. */
static bool pipeline_cut(struct pipeline *pipeline, enum cut_reason reason, int64_t now_us)
{
    pipeline->current = assembler_cut(&pipeline->assembler, reason, now_us);
    if (pipeline->current == NULL) {
        if (assembler_starved(&pipeline->assembler)) {
            struct fan_error error;
            (void)fan_fail(&error, FAN_RETRY, "could not cut a batch: out of memory");
            pipeline_fail(pipeline, true, &error); /* what is given up makes room */
        }
        return false;
    }
    pipeline->current_left =
        pipeline->outlets_count == 64 ? UINT64_MAX : ((uint64_t)1 << pipeline->outlets_count) - 1;
    count_add(&pipeline->counters.limits[pipeline->current->limit], 1);
    return true;
}

/* Delivers while something can be. Returns whether it stopped only to let others have a turn. */
static bool pipeline_flow(struct pipeline *pipeline, int64_t now_us)
{
    unsigned batches = 0;
    while (pipeline->run == RUN_FLOWING) {
        if (pipeline->current != NULL) {
            if (!pipeline_offer_current(pipeline, now_us)) {
                return false;
            }
            if (++batches == STEP_BATCHES_MAX) {
                return true;
            }
        }
        if (pipeline->taken_next < pipeline->taken_count) {
            pipeline_add_taken(pipeline, now_us);
        }
        if (pipeline_cut(pipeline, CUT_IF_FULL, now_us)) {
            continue;
        }
        if (pipeline->taken_next < pipeline->taken_count || pipeline_take(pipeline)) {
            continue;
        }
        /* The ring is empty. */
        bool at_once = outlets_all(pipeline, outlet_idle) || pipeline->wish == WISH_DRAIN;
        if (!pipeline_cut(pipeline, at_once ? CUT_NOW : CUT_IF_DUE, now_us)) {
            break;
        }
    }
    return false;
}

static void pipeline_drain_step(struct pipeline *pipeline, int64_t now_us)
{
    if (pipeline->run != RUN_FLOWING || pipeline->current != NULL) {
        return;
    }
    if (outlets_all(pipeline, outlet_empty)) {
        pipeline->drained = true;
    } else {
        outlets_flush(pipeline, now_us);
    }
}

/* ---- the report ---- */

/* The hold LSN and commit time of the first change after what the outlet has under way. */
static const struct batch_event *oldest_unoffered(const struct pipeline *pipeline, size_t index)
{
    if (pipeline->current != NULL && (pipeline->current_left & ((uint64_t)1 << index)) != 0) {
        return &pipeline->current->events[0];
    }
    return assembler_oldest(&pipeline->assembler);
}

static void target_report(const struct pipeline *pipeline, size_t index,
                          struct mailbox_target *ret_target, int64_t *ret_oldest_us)
{
    const struct outlet *outlet = &pipeline->outlets[index];
    const struct window_entry *under_way = outlet_oldest(outlet);
    const struct batch_event *waiting = oldest_unoffered(pipeline, index);
    *ret_target = (struct mailbox_target){.settled = outlet->settled, .moves = outlet->moves};
    int64_t commit_us = 0;
    if (under_way != NULL) {
        ret_target->next_hold = under_way->first_hold;
        commit_us = under_way->first_commit_us;
    } else if (waiting != NULL) {
        ret_target->next_hold = waiting->hold_lsn;
        commit_us = waiting->commit_time_us;
    } else if (pipeline->taken_next < pipeline->taken_count) {
        ret_target->next_hold = pipeline->taken[pipeline->taken_next].hold_lsn;
        commit_us = pipeline->taken[pipeline->taken_next].commit_time_us;
    }
    if (commit_us != 0 && (*ret_oldest_us == 0 || commit_us < *ret_oldest_us)) {
        *ret_oldest_us = commit_us;
    }
}

/* A target that refuses although nothing of it is under way waits for its checkpoint. */
static bool pipeline_is_urgent(const struct pipeline *pipeline)
{
    if (pipeline->current == NULL || pipeline->run != RUN_FLOWING) {
        return false;
    }
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        const struct outlet *outlet = &pipeline->outlets[index];
        if ((pipeline->current_left & ((uint64_t)1 << index)) != 0 && outlet_empty(outlet) &&
            outlet->retry_at_us == 0) {
            return true;
        }
    }
    return false;
}

static void pipeline_report(struct pipeline *pipeline)
{
    struct mailbox_target targets[PIPELINE_TARGETS_MAX];
    struct report report = {
        .run = pipeline->run,
        .wish_serial = pipeline->wish_serial,
        .drained = pipeline->drained,
        .lost = pipeline->lost,
        .urgent = pipeline_is_urgent(pipeline),
    };
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        target_report(pipeline, index, &targets[index], &report.oldest_commit_us);
    }
    if (pipeline->run == RUN_FAILED) {
        report.error = pipeline->error;
    }
    mailbox_report(&pipeline->mailbox, &report, targets);
    /* Progress alone wakes nobody: the reader looks when it next persists. */
    const struct report *before = &pipeline->reported;
    bool wake = before->run != report.run || before->wish_serial != report.wish_serial ||
                before->drained != report.drained || before->urgent != report.urgent;
    pipeline->reported = report;
    if (wake) {
        pipeline->hooks.wake_reader(pipeline->hooks.context, pipeline);
    }
}

static int64_t pipeline_deadline(struct pipeline *pipeline, int64_t now_us)
{
    int64_t deadline = INT64_MAX;
    if (pipeline->run == RUN_STARTING) {
        deadline = pipeline->start_at_us;
    } else if (pipeline->run == RUN_FLUSHING) {
        deadline = pipeline->flush_until_us;
    } else if (pipeline->run == RUN_FLOWING && pipeline->current == NULL) {
        int64_t due_us = assembler_due_us(&pipeline->assembler);
        /* An open transaction is not cut by time: its commit brings the next step. */
        deadline = pipeline->assembler.whole > 0 || !pipeline->assembler.limits.respect_source_tx
                       ? due_us
                       : INT64_MAX;
    }
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        struct outlet *outlet = &pipeline->outlets[index];
        if (!outlet->started) {
            continue;
        }
        int64_t tick_us = outlet->target->type->tick(outlet->target, now_us);
        deadline = tick_us < deadline ? tick_us : deadline;
        if (pipeline->run == RUN_FLOWING && outlet->retry_at_us != 0 &&
            outlet->retry_at_us < deadline) {
            deadline = outlet->retry_at_us;
        }
    }
    return deadline;
}

int64_t pipeline_step(struct pipeline *pipeline, int64_t now_us)
{
    thread_owner_bind(&pipeline->owner);
    bool more = false;
    pipeline_take_outcomes(pipeline);
    pipeline_obey(pipeline, now_us);
    pipeline_tell_persisted(pipeline);
    if (pipeline->run == RUN_STARTING) {
        pipeline_start_step(pipeline, now_us);
    }
    if (pipeline->run == RUN_FLOWING) {
        more = pipeline_flow(pipeline, now_us);
    }
    if (pipeline->run == RUN_FLUSHING) {
        pipeline_flush_step(pipeline, now_us);
    }
    if (pipeline->wish == WISH_DRAIN && !more) {
        pipeline_drain_step(pipeline, now_us);
    }
    int64_t deadline = pipeline_deadline(pipeline, now_us);
    pipeline_report(pipeline);
    thread_owner_unbind(&pipeline->owner);
    return more ? now_us : deadline;
}
