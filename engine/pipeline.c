/*
 * pipeline.c - see pipeline.h for the picture.
 *
 * NOTES
 * A step runs in this order: take outcomes, obey the wish, step the outlets, deliver, act on their
 * troubles, report. The report comes last, so that what the reader sees is what holds until the next
 * step.
 *
 * A pipeline that fails keeps everything as it is until the reader wishes it IDLE: only the reader
 * knows that it has stopped pushing, and only then may the ring be emptied.
 */
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "engine/pipeline_internal.h"

enum {
    STEP_BATCHES_MAX = 64,       /* then other pipelines get their turn */
    FLUSH_PATIENCE_US = 3000000, /* for what is under way when a pipeline is stopped */
};

enum fan_status pipeline_init(struct pipeline *pipeline, const struct pipeline_setup *setup,
                              struct fan_error *reterr)
{
    *pipeline = (struct pipeline){
        .settings = setup->settings,
        .hooks = setup->hooks,
        .run = RUN_IDLE,
        .ask_again_us = INT64_MAX,
        .rng = rng_seeded(setup->seed),
    };
    retry_log_init(&pipeline->retries);
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
    retry_log_release(&pipeline->retries);
    *pipeline = (struct pipeline){0};
}

/* What comes again is for those only that do not have it: so are the drops among it. */
static void pipeline_show_had(struct pipeline *pipeline)
{
    struct ring_had had[PIPELINE_TARGETS_MAX];
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        const struct outlet *outlet = &pipeline->outlets[index];
        had[index] = (struct ring_had){.settled = outlet->settled, .given = outlet->given};
    }
    ring_set_had(&pipeline->ring, had, pipeline->outlets_count);
}

enum fan_status pipeline_resume_target(struct pipeline *pipeline, size_t index,
                                       struct outlet_memory *memory, struct fan_error *reterr)
{
    enum fan_status status = outlet_resume(&pipeline->outlets[index], memory, reterr);
    pipeline_show_had(pipeline);
    return status;
}

/* Whether targets may be started and get something. */
static bool pipeline_may_deliver(const struct pipeline *pipeline)
{
    return (pipeline->run == RUN_STARTING || pipeline->run == RUN_FLOWING) &&
           (pipeline->wish == WISH_FLOW || pipeline->wish == WISH_DRAIN);
}

static struct outlet_moment moment_of(struct pipeline *pipeline, int64_t now_us)
{
    return (struct outlet_moment){.may_deliver = pipeline_may_deliver(pipeline),
                                  .now_us = now_us,
                                  .wall_us = pipeline->hooks.wall_us(pipeline->hooks.context),
                                  .rng = &pipeline->rng};
}

/* ---- failing, stopping, starting ---- */

void pipeline_fail(struct pipeline *pipeline, bool lost, const struct fan_error *error)
{
    if (pipeline->run == RUN_IDLE) {
        return; /* nothing is in memory */
    }
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

/* Whether a change waits for this target; the others are diverted when they would hold it up. */
static bool outlet_paces(const struct pipeline *pipeline, const struct outlet *outlet)
{
    return outlet->counts || pipeline->settings->commit_policy.mode == COMMIT_QUORUM;
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

/* What an event needs is not known yet, such as the number of its schema: it waits in front of the
 * open batch, and everything behind it. Nobody tells when it is known. */
static void pipeline_wait(struct pipeline *pipeline, const struct fan_error *why, int64_t now_us)
{
    pipeline->waiting = true;
    bool trouble = why->text[0] != '\0';
    const struct assembler *assembler = &pipeline->assembler;
    const struct schema_ids *ids = assembler->formats[assembler->again_format].avro.ids;
    pipeline->ask_again_us = now_us + (trouble ? PIPELINE_ASK_AGAIN_US : PIPELINE_ASK_SOON_US);
    pipeline->waits_for = *why;
    for (size_t index = 0; index < pipeline->outlets_count && trouble; index++) {
        struct outlet *outlet = &pipeline->outlets[index];
        if (assembler->formats[outlet->format].avro.ids == ids) {
            outlet->last_error = *why;
        }
    }
}

/* It is asked for again. */
static void pipeline_wait_no_more(struct pipeline *pipeline)
{
    const char *why = pipeline->waits_for.text;
    if (!pipeline->waiting) {
        return;
    }
    pipeline->waiting = false;
    for (size_t index = 0; index < pipeline->outlets_count && why[0] != '\0'; index++) {
        struct outlet *outlet = &pipeline->outlets[index];
        if (strcmp(outlet->last_error.text, why) == 0) {
            outlet->last_error.text[0] = '\0';
        }
    }
    pipeline->waits_for.text[0] = '\0';
}

/* Stops the targets and drops everything: the reader has stopped pushing. */
static void pipeline_become_idle(struct pipeline *pipeline)
{
    int64_t wall_us = pipeline->hooks.wall_us(pipeline->hooks.context);
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        outlet_stop(&pipeline->outlets[index], wall_us);
    }
    pipeline_drop_taken(pipeline);
    batch_unref(pipeline->current);
    pipeline->current = NULL;
    assembler_reset(&pipeline->assembler);
    pipeline_wait_no_more(pipeline);
    (void)ring_discard(&pipeline->ring); /* how many does not matter: they are read again */
    pipeline_show_had(pipeline);
    pipeline->run = RUN_IDLE;
}

static void pipeline_flush_step(struct pipeline *pipeline, int64_t now_us)
{
    if (outlets_all(pipeline, outlet_empty) || now_us >= pipeline->flush_until_us) {
        pipeline_become_idle(pipeline);
    }
}

static void pipeline_encourage(struct pipeline *pipeline)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        outlet_encourage(&pipeline->outlets[index]);
    }
}

/* The commit LSN of the last event that every target was given in an earlier run; LSN_NONE when that
 * belongs to no transaction. */
static struct fan_lsn outlets_given(const struct pipeline *pipeline)
{
    struct fan_position given = pipeline->outlets[0].given;
    for (size_t index = 1; index < pipeline->outlets_count; index++) {
        struct fan_position other = pipeline->outlets[index].given;
        given = position_compare(other, given) < 0 ? other : given;
    }
    return given.seq < 0 ? LSN_NONE : given.commit_lsn;
}

static void pipeline_obey(struct pipeline *pipeline, int64_t now_us)
{
    uint64_t serial;
    uint64_t encouragements;
    enum wish wish = mailbox_wanted(&pipeline->mailbox, &serial, &encouragements);
    if (encouragements != pipeline->encouragements) {
        pipeline->encouragements = encouragements;
        pipeline_encourage(pipeline);
    }
    if (serial == pipeline->wish_serial) {
        return;
    }
    pipeline->wish_serial = serial;
    pipeline->wish = wish;
    pipeline->drained = false;
    if (pipeline->run == RUN_IDLE) {
        assembler_resume(&pipeline->assembler, outlets_given(pipeline));
    }
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
        } else if (pipeline->run == RUN_HELD) {
            pipeline->run = RUN_FLOWING;
        }
        break;
    case WISH_HOLD:
        if (pipeline->run == RUN_FLOWING) { /* RUN_STARTING becomes RUN_HELD by itself */
            pipeline->run = RUN_HELD;
        }
        break;
    case WISH_SPILL:
    case WISH_GAP:
        if (pipeline->run == RUN_IDLE || pipeline->run == RUN_HELD) {
            pipeline->run = RUN_FLOWING;
        }
        break;
    }
}

/* It has started when every target that a change waits for has, or is diverted. */
static void pipeline_start_step(struct pipeline *pipeline)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        const struct outlet *outlet = &pipeline->outlets[index];
        if (outlet_paces(pipeline, outlet) && outlet_holds_start(outlet)) {
            return;
        }
    }
    pipeline->run = pipeline->wish == WISH_HOLD ? RUN_HELD : RUN_FLOWING;
}

/* ---- outcomes ---- */

static void pipeline_take_outcomes(struct pipeline *pipeline, const struct outlet_moment *moment)
{
    if (!outcome_box_news(&pipeline->outcomes)) {
        return;
    }
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        outlet_take(&pipeline->outlets[index], moment);
    }
}

static void pipeline_tell_persisted(struct pipeline *pipeline)
{
    struct mailbox_persisted persisted[PIPELINE_TARGETS_MAX];
    if (!mailbox_take_persisted(&pipeline->mailbox, &pipeline->persisted_moves, persisted)) {
        return;
    }
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        const struct mailbox_persisted *place = &persisted[index];
        if (position_compare(place->checkpoint.position, (struct fan_position){0}) != 0) {
            outlet_persisted(&pipeline->outlets[index], &place->checkpoint, place->gap_serial,
                             place->gap_count);
        }
    }
}

static void pipeline_take_replays(struct pipeline *pipeline)
{
    size_t target;
    struct replay *replay = mailbox_next_replay(&pipeline->mailbox, &target);
    if (replay == NULL) {
        return;
    }
    struct fan_error error;
    bool works = pipeline_may_deliver(pipeline);
    enum fan_status status = works
                                 ? outlet_replay(&pipeline->outlets[target], replay, &error)
                                 : fan_fail(&error, FAN_RETRY, "the pipeline does not deliver now");
    if (status == FAN_OK) {
        return;
    }
    if (status == FAN_AGAIN) {
        (void)fan_fail(&error, FAN_RETRY, "another replay is under way"); /* the text counts */
    }
    replay->stopped = true;
    replay->error = error;
    batch_unref(replay->batch);
    replay->batch = NULL;
    replay->done(replay); /* the last use of it */
}

static void pipeline_offer_to_those_left(struct pipeline *pipeline,
                                         const struct outlet_moment *moment)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        uint64_t bit = (uint64_t)1 << index;
        if ((pipeline->current_left & bit) != 0 &&
            outlet_offer(&pipeline->outlets[index], pipeline->current, moment) == OFFER_ACCEPTED) {
            pipeline->current_left &= ~bit;
        }
    }
}

/* A backlog that could not take the batch, or could not be begun, tells nobody when it can. */
static void pipeline_ask_again(struct pipeline *pipeline, int64_t now_us)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        const struct outlet *outlet = &pipeline->outlets[index];
        bool waits = outlet->divert != BACKLOG_NONE || outlet->marker_waits ||
                     (outlet->no_more_us != 0 && outlet->no_more_us <= now_us);
        if ((pipeline->current_left >> index & 1) != 0 && waits) {
            pipeline->ask_again_us = now_us + PIPELINE_ASK_AGAIN_US;
        }
    }
}

/* Offers the current batch to the outlets that do not have it. True when all have. */
static bool pipeline_offer_current(struct pipeline *pipeline, const struct outlet_moment *moment)
{
    pipeline_offer_to_those_left(pipeline, moment);
    if (pipeline->current_left != 0) {
        pipeline_divert_holders(pipeline, moment->now_us);
        pipeline_offer_to_those_left(pipeline, moment);
    }
    if (pipeline->current_left != 0) {
        pipeline_ask_again(pipeline, moment->now_us);
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
        if (status == FAN_AGAIN) {
            pipeline_wait(pipeline, &error, now_us);
            return;
        }
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
static bool pipeline_take(struct pipeline *pipeline, int64_t now_us)
{
    size_t open = assembler_open_events(&pipeline->assembler);
    size_t max_events = pipeline->assembler.limits.max_events;
    size_t room = open < max_events ? max_events - open : PIPELINE_TAKE_MAX;
    size_t max = room < PIPELINE_TAKE_MAX ? room : PIPELINE_TAKE_MAX;
    struct ring_taken taken = ring_take(&pipeline->ring, pipeline->taken, max);
    pipeline->taken_count = taken.count;
    struct fan_error error;
    enum fan_status status =
        taken.count == 0 && taken.whole ? assembler_end_txn(&pipeline->assembler, &error) : FAN_OK;
    if (status == FAN_AGAIN) {
        pipeline_wait(pipeline, &error, now_us);
    } else if (status != FAN_OK) {
        pipeline_fail(pipeline, true, &error);
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
static bool pipeline_flow(struct pipeline *pipeline, const struct outlet_moment *moment)
{
    int64_t now_us = moment->now_us;
    unsigned batches = 0;
    while (pipeline->run == RUN_FLOWING) {
        if (pipeline->current != NULL) {
            if (!pipeline_offer_current(pipeline, moment)) {
                return false;
            }
            if (++batches == STEP_BATCHES_MAX) {
                return true;
            }
        }
        pipeline_wait_no_more(pipeline);
        if (pipeline->taken_next < pipeline->taken_count) {
            pipeline_add_taken(pipeline, now_us);
        }
        if (pipeline_cut(pipeline, CUT_IF_FULL, now_us)) {
            continue;
        }
        if (!pipeline->waiting &&
            (pipeline->taken_next < pipeline->taken_count || pipeline_take(pipeline, now_us))) {
            continue;
        }
        /* The ring is empty, or its next event cannot be encoded yet. */
        bool at_once = outlets_all(pipeline, outlet_idle) || pipeline->wish == WISH_DRAIN;
        if (!pipeline_cut(pipeline, at_once ? CUT_NOW : CUT_IF_DUE, now_us)) {
            break;
        }
    }
    return false;
}

/* Whether a target holds everything until an operator comes: no use in waiting for it. */
static bool outlet_stuck(const struct outlet *outlet)
{
    return outlet->fatal && (outlet->divert == BACKLOG_NONE || outlet->squeezed);
}

static void pipeline_drain_step(struct pipeline *pipeline, int64_t now_us)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        pipeline->drained = pipeline->drained || outlet_stuck(&pipeline->outlets[index]);
    }
    if (pipeline->run != RUN_FLOWING || pipeline->current != NULL || pipeline->waiting) {
        return;
    }
    if (outlets_all(pipeline, outlet_empty)) {
        pipeline->drained = true;
    } else {
        outlets_flush(pipeline, now_us);
    }
}

static int64_t earlier(int64_t left_us, int64_t right_us)
{
    return left_us < right_us ? left_us : right_us;
}

static int64_t pipeline_deadline(const struct pipeline *pipeline)
{
    int64_t deadline = pipeline->ask_again_us;
    if (pipeline->run == RUN_FLUSHING) {
        deadline = earlier(deadline, pipeline->flush_until_us);
    } else if (pipeline->run == RUN_FLOWING && pipeline->current == NULL) {
        /* An open transaction is not cut by time: its commit brings the next step. */
        bool may_cut =
            pipeline->assembler.whole > 0 || !pipeline->assembler.limits.respect_source_tx;
        deadline = earlier(deadline, may_cut ? assembler_due_us(&pipeline->assembler) : INT64_MAX);
    }
    return deadline;
}

static int64_t pipeline_step_outlets(struct pipeline *pipeline, const struct outlet_moment *moment)
{
    int64_t due_us = INT64_MAX;
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        due_us = earlier(due_us, outlet_step(&pipeline->outlets[index], moment));
    }
    return due_us;
}

int64_t pipeline_step(struct pipeline *pipeline, int64_t now_us)
{
    thread_owner_bind(&pipeline->owner);
    struct outlet_moment moment = moment_of(pipeline, now_us);
    bool more = false;
    pipeline->ask_again_us = INT64_MAX;
    pipeline_take_outcomes(pipeline, &moment);
    pipeline_obey(pipeline, now_us);
    moment.may_deliver = pipeline_may_deliver(pipeline);
    pipeline_tell_persisted(pipeline);
    pipeline_take_replays(pipeline);
    int64_t due_us = pipeline_step_outlets(pipeline, &moment);
    pipeline_act_on_troubles(pipeline, now_us);
    enum backlog_kind diversion = mailbox_take_diversion(&pipeline->mailbox);
    if (diversion != BACKLOG_NONE && pipeline_may_deliver(pipeline)) {
        pipeline_divert_all(pipeline, diversion);
    }
    if (pipeline->run == RUN_STARTING) {
        pipeline_start_step(pipeline);
    }
    if (pipeline->run == RUN_FLOWING) {
        if (pipeline->wish == WISH_SPILL || pipeline->wish == WISH_GAP) {
            pipeline_divert_all(pipeline,
                                pipeline->wish == WISH_SPILL ? BACKLOG_SPILL : BACKLOG_GAP);
        }
        more = pipeline_flow(pipeline, &moment);
        due_us = earlier(due_us, pipeline_divert_laggards(pipeline, now_us));
    }
    if (pipeline->run == RUN_FLUSHING) {
        pipeline_flush_step(pipeline, now_us);
    }
    if (pipeline->wish == WISH_DRAIN && !more) {
        pipeline_drain_step(pipeline, now_us);
    }
    /* What was offered may have settled at once, failed, or begun something. */
    moment.may_deliver = pipeline_may_deliver(pipeline);
    due_us = earlier(due_us, pipeline_step_outlets(pipeline, &moment));
    pipeline_act_on_troubles(pipeline, now_us);
    due_us = earlier(due_us, pipeline_deadline(pipeline));
    pipeline_report(pipeline);
    thread_owner_unbind(&pipeline->owner);
    return more ? now_us : due_us;
}
