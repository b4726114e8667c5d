/*
 * outlet_diversion.c - the way into the backlog, and back.
 */
#include "base/assert.h"
#include "base/count.h"
#include "base/log.h"
#include "engine/outlet_internal.h"
#include "model/change.h"

enum { SETTLE_PATIENCE_US = 2000000 };

static const char *kind_name(enum backlog_kind kind)
{
    static const char *const names[] = {"none", "spill", "dead letters", "gap rows"};
    return names[kind];
}

/* Whether nothing in the batch stands for drops that a crash would make unknown. */
bool outlet_may_keep(struct outlet *outlet, const struct batch *batch, size_t first)
{
    for (size_t event = first; event < batch->events_count; event++) {
        if (batch->events[event].op == CHANGE_GAP && outlet->backlog.kind != BACKLOG_GAP &&
            !outlet->knows_drop(outlet->backlog.setup.context, batch->events[event].position)) {
            return false;
        }
    }
    return true;
}

/* Counts what the backlog has just taken of events [first, ...). */
static void count_kept(struct outlet *outlet, const struct batch *batch, size_t first,
                       uint64_t gap_before)
{
    uint64_t rows = batch_rows(batch, first, batch->events_count);
    count_add(&outlet->counters.kept, rows - (outlet->backlog.gap_events - gap_before));
    if (outlet->backlog.gap_events > gap_before) {
        outlet->given_up = outlet->backlog.gap.range.last;
    }
}

enum fan_status outlet_keep(struct outlet *outlet, struct batch *batch, size_t first,
                            const struct fan_error *why, struct fan_error *reterr)
{
    uint64_t gap_before = outlet->backlog.gap_events;
    enum fan_status status = backlog_append(&outlet->backlog, batch, first, why, reterr);
    if (status == FAN_OK) {
        count_kept(outlet, batch, first, gap_before);
    }
    return status;
}

enum fan_status outlet_give_up(struct outlet *outlet, struct batch *batch, struct fan_error *reterr)
{
    uint64_t gap_before = outlet->backlog.gap_events;
    enum fan_status status = backlog_give_up(&outlet->backlog, batch, "encoder refused", reterr);
    if (status == FAN_OK) {
        count_kept(outlet, batch, 0, gap_before);
    }
    return status;
}

/* The courier lets its batch go without its pending events, which no target will get. */
static void divert_drop(struct outlet *outlet)
{
    if (outlet->courier.open_count > 0) {
        outlet_stop_target(outlet, outlet->wall_us);
        courier_abandon(&outlet->courier);
    }
    courier_end(&outlet->courier);
    outlet_show_window(outlet, 0, 0);
}

/* What is pending of a live batch goes into the backlog, and is not given out from there: the
 * courier goes on with it, as the probe. False: there is no room for it. */
static bool divert_courier(struct outlet *outlet, const struct fan_error *why)
{
    struct courier *courier = &outlet->courier;
    struct fan_error error = {0};
    if (courier_idle(courier)) {
        return true;
    }
    outlet_courier_count(outlet); /* the rest may be given out again, and these not */
    bool given_up = outlet->backlog.kind == BACKLOG_GAP;
    if (courier_has_pending(courier)) {
        struct batch *rest = courier_rest(courier);
        enum fan_status status = FAN_RETRY;
        uint64_t gap_before = outlet->backlog.gap_events;
        if (rest != NULL && outlet_may_keep(outlet, rest, 0)) {
            status = outlet_keep(outlet, rest, 0, why, &error);
        }
        given_up = outlet->backlog.kind == BACKLOG_GAP || outlet->backlog.gap_events > gap_before;
        if (status == FAN_OK && !given_up) {
            outlet->rows_kept = batch_rows(rest, 0, rest->events_count);
        }
        batch_unref(rest);
        if (status == FAN_OK && backlog_skip(&outlet->backlog, &error) != FAN_OK) {
            outlet_trouble(outlet, TROUBLE_LOST, &error); /* it would be given out twice */
        }
        if (status != FAN_OK) {
            outlet->last_error = error.text[0] != '\0' ? error : outlet->last_error;
            return false;
        }
    }
    /* What the target has already may lie behind that. */
    if (given_up || outlet->backlog.kind == BACKLOG_SPILL) {
        backlog_pass(&outlet->backlog, &courier->batch->events[courier->batch->events_count - 1]);
    }
    if (given_up) {
        divert_drop(outlet);
    } else {
        outlet->from_backlog = true;
    }
    return true;
}

/* A positional target lets go what it has not made durable, and that is read again. */
static void divert_window(struct outlet *outlet, const struct fan_error *why)
{
    if (outlet->window_head == outlet->window_tail) {
        return;
    }
    outlet_stop_target(outlet, outlet->wall_us);
    outlet_settle(outlet); /* what it posted before it stopped is not read again */
    int64_t retry_at_us = outlet->retry_at_us;
    outlet_forget_sent(outlet);
    outlet->retry_at_us = retry_at_us;
    struct fan_error error; /* until it is stopped, `given` says that something is missing */
    (void)fan_fail(&error, FAN_RETRY, "what was under way is read again: %s", why->text);
    outlet_trouble(outlet, TROUBLE_LOST, &error);
}

/* Whether what goes into the backlog now could survive a crash while what precedes it does not:
 * letters, gaps and the buffer's drops on their way to the store, and what a positional target has
 * from before. */
static bool divert_would_leave_hole(const struct outlet *outlet, enum backlog_kind kind)
{
    const struct backlog *backlog = &outlet->backlog;
    if (!letter_writer_settled(&outlet->letters, outlet->letters_serial)) {
        return true;
    }
    if (kind == BACKLOG_GAP) {
        return false;
    }
    if (!backlog->gap_known || !outlet->knows_drop(backlog->setup.context, outlet->given)) {
        return true;
    }
    return !outlet->answering && position_compare(outlet->kept_until, outlet->settled) < 0 &&
           position_compare(outlet->persisted, outlet->kept_until) < 0;
}

/* A marker that the target does not have yet goes into the backlog, if it is not in the batch that
 * the courier puts there. */
static void divert_marker(struct outlet *outlet)
{
    bool carried = outlet->answering && outlet->gap_taken;
    if (outlet->gap_to_mark.count > 0 && !carried) {
        backlog_note_unmarked(&outlet->backlog, &outlet->gap_to_mark);
        outlet->gap_to_mark.count = 0;
        outlet->gap_taken = false;
    }
}

void outlet_divert(struct outlet *outlet, enum backlog_kind kind, const struct fan_error *why)
{
    FAN_ASSERT(outlet->divert == BACKLOG_NONE);
    struct fan_error reason = *why; /* it may be the outlet's own, which changes below */
    struct fan_error error = {0};
    struct backlog *backlog = &outlet->backlog;
    bool unasked = kind == BACKLOG_SPILL && backlog->setup.spill_max == 0 && !outlet->counts;
    kind = unasked ? BACKLOG_GAP : kind;
    if (outlet->replay != NULL || divert_would_leave_hole(outlet, kind)) {
        return;
    }
    if (backlog->kind != BACKLOG_NONE && backlog->kind != kind) {
        if (!backlog_over(backlog)) {
            return; /* what is left of it has to go first; the pipeline asks again */
        }
        backlog_close(backlog); /* a marker that nobody has yet goes into the next one */
    }
    bool opens = backlog->kind == BACKLOG_NONE;
    if (opens && backlog_open(backlog, kind, outlet->settled, &error) != FAN_OK) {
        outlet->last_error = error;
        return; /* the pipeline asks again */
    }
    if (opens) { /* a gap may lie in between, of which the marker goes into the backlog */
        backlog->taken = outlet->checkpoint.position;
        backlog->delivered = outlet->checkpoint.position;
    }
    backlog->gap_unasked = unasked;
    if (outlet->answering) {
        divert_marker(outlet);
        if (!divert_courier(outlet, &reason)) {
            return; /* the courier goes on, and the pipeline asks again */
        }
        if (outlet->gap_taken) { /* the marker is in the backlog, or there already */
            outlet->gap_to_mark.count = 0;
            outlet->gap_taken = false;
        }
    }
    outlet->divert = backlog->kind;
    outlet->no_more_us = 0;
    outlet->error = reason;
    log_write(LOG_WARN, "target is diverted: it gets its changes later",
              LOG_TEXT("pipeline", outlet->pipeline), LOG_TEXT("target", outlet->name),
              LOG_TEXT("to", kind_name(outlet->divert)),
              LOG_TEXT("reason", reason.text[0] == '\0' ? NULL : reason.text));
    if (!outlet->answering) {
        divert_window(outlet, &reason);
        divert_marker(outlet); /* unless it became durable just now */
    }
    outlet_move(outlet);
}

/* Once the target has everything of the backlog, at the end of a transaction, it is live again. When
 * there was nothing to try it with, the circuit is still open, and what comes next is the probe. */
void outlet_return(struct outlet *outlet)
{
    struct backlog *backlog = &outlet->backlog;
    bool under_way = outlet->answering ? !courier_idle(&outlet->courier) : outlet->feeding != NULL;
    int64_t retry_at_us = outlet->answering ? outlet->courier.retry_at_us : outlet->retry_at_us;
    if (outlet->divert == BACKLOG_NONE || outlet->divert == BACKLOG_GAP || outlet->fatal ||
        !outlet->started || under_way || retry_at_us > outlet->now_us ||
        !backlog_drained(backlog) || !backlog->gap_known ||
        (!backlog->last_ends_txn && !outlet->squeezed &&
         outlet->settings->batch.respect_source_tx)) {
        return;
    }
    (void)backlog_end_gap(backlog, &outlet->gap_to_mark); /* none: nothing has to be shown */
    outlet->divert = BACKLOG_NONE;
    outlet->kept_until = backlog->appended;
    outlet->squeezed = false;
    if (outlet->answering) {
        backlog_delivered(backlog, backlog->appended);
    }
    log_write(LOG_INFO, "target has caught up and is live again",
              LOG_TEXT("pipeline", outlet->pipeline), LOG_TEXT("target", outlet->name));
    outlet_move(outlet);
}

/* A target without any backlog is tried with what comes next, once the store has the gap: after a
 * crash its events would come behind that. */
void outlet_probe_gap(struct outlet *outlet, const struct outlet_moment *moment)
{
    int64_t retry_at_us = outlet->answering ? outlet->courier.retry_at_us : outlet->retry_at_us;
    if (outlet->divert != BACKLOG_GAP || outlet->fatal || !outlet->started ||
        !moment->may_deliver || !outlet->backlog.gap_known || moment->now_us < retry_at_us) {
        return;
    }
    (void)backlog_end_gap(&outlet->backlog, &outlet->gap_to_mark); /* none: nothing to show */
    outlet->divert = BACKLOG_NONE;
    outlet->kept_until = outlet->backlog.appended;
    outlet->retry_at_us = 0;
    outlet_move(outlet);
}

bool outlet_settles_down(struct outlet *outlet, int64_t now_us)
{
    if (outlet->answering || !outlet->started || outlet->window_head == outlet->window_tail) {
        return false;
    }
    if (outlet->no_more_us == 0) {
        outlet->no_more_us = now_us + SETTLE_PATIENCE_US;
        if (outlet->target->type->flush != NULL) {
            outlet->target->type->flush(outlet->target, now_us);
        }
    }
    return now_us < outlet->no_more_us;
}
