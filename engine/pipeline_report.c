/*
 * pipeline_report.c - what the reader is told at the end of a step.
 */
#include <stdio.h>
#include <string.h>

#include "engine/pipeline_internal.h"

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
    const struct batch_event *waiting = oldest_unoffered(pipeline, index);
    *ret_target = (struct mailbox_target){.checkpoint = outlet->checkpoint,
                                          .settled = outlet->settled,
                                          .fatal = outlet->fatal,
                                          .moves = outlet->moves};
    const struct backlog_gap *gap = &outlet->backlog.gap;
    /* Until what precedes a gap is settled, a crash may lose that; then both come again. */
    if (!outlet->backlog.gap_known && position_compare(outlet->settled, gap->range.last) >= 0) {
        ret_target->gap = *gap;
    }
    int64_t commit_us = 0;
    if (outlet_oldest(outlet, &ret_target->next_hold, &commit_us)) {
        /* filled */
    } else if (position_compare(outlet->settled, outlet->given) < 0) {
        ret_target->next_hold = LSN_NONE; /* in the backlog, and not durable there yet */
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

/* A target that refuses although nothing of it is under way waits for its checkpoint; one that is
 * ready again waits until the store has its gap. */
static bool pipeline_is_urgent(const struct pipeline *pipeline)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        if (outlet_waits_for_gap(&pipeline->outlets[index])) {
            return true;
        }
    }
    if (pipeline->current == NULL || pipeline->run != RUN_FLOWING) {
        return false;
    }
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        const struct outlet *outlet = &pipeline->outlets[index];
        if ((pipeline->current_left & ((uint64_t)1 << index)) != 0 && outlet_empty(outlet) &&
            outlet->started && !outlet->answering && outlet->divert == BACKLOG_NONE &&
            outlet->retry_at_us == 0) {
            return true;
        }
    }
    return false;
}

static void pipeline_show_errors(struct pipeline *pipeline)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        struct outlet *outlet = &pipeline->outlets[index];
        if (strcmp(outlet->last_error.text, outlet->shown_error) != 0) {
            (void)snprintf(outlet->shown_error, sizeof(outlet->shown_error), "%s",
                           outlet->last_error.text); /* same sizes */
            mailbox_note_error(&pipeline->mailbox, index, outlet->shown_error);
        }
    }
}

static void report_isolation(const struct pipeline *pipeline, struct report *report)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        const struct outlet *outlet = &pipeline->outlets[index];
        if (outlet_isolated(outlet)) {
            const char *why =
                outlet->last_error.text[0] != '\0' ? outlet->last_error.text : outlet->error.text;
            (void)fan_fail(&report->error, FAN_RETRY, "target \"%s\" is isolated: %s", outlet->name,
                           why[0] != '\0'  ? why
                           : outlet->fatal ? "it could not work, and waits for pgfan restart"
                                           : "it catches up");
            report->isolated = true;
            return;
        }
    }
}

static uint64_t outlets_moves(const struct pipeline *pipeline)
{
    uint64_t moves = 0;
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        moves += pipeline->outlets[index].moves;
    }
    return moves;
}

void pipeline_report(struct pipeline *pipeline)
{
    struct mailbox_target targets[PIPELINE_TARGETS_MAX];
    struct report report = {
        .run = pipeline->run,
        .wish_serial = pipeline->wish_serial,
        .drained = pipeline->drained,
        .lost = pipeline->lost,
        .policy = pipeline->policy,
        .urgent = pipeline_is_urgent(pipeline),
    };
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        target_report(pipeline, index, &targets[index], &report.oldest_commit_us);
    }
    if (pipeline->run == RUN_FAILED) {
        report.error = pipeline->error;
    } else {
        report_isolation(pipeline, &report);
    }
    pipeline_show_errors(pipeline);
    mailbox_report(&pipeline->mailbox, &report, targets);
    /* Progress alone wakes nobody, unless a target waits for the store to have it: the reader looks
     * when it next persists. */
    uint64_t moves = report.urgent ? outlets_moves(pipeline) : 0;
    const struct report *before = &pipeline->reported;
    bool wake = before->run != report.run || before->wish_serial != report.wish_serial ||
                before->drained != report.drained || before->urgent != report.urgent ||
                before->isolated != report.isolated || moves != pipeline->urgent_moves;
    pipeline->reported = report;
    pipeline->urgent_moves = moves;
    if (wake) {
        pipeline->hooks.wake_reader(pipeline->hooks.context, pipeline);
    }
}
