/*
 * outlet.c - see outlet.h for the picture.
 *
 * NOTES
 * A failing target is tried again with a growing wait. When the attempts are spent, the circuit
 * opens and the pipeline is told once (trouble); it diverts the outlet or stops. From then on the
 * oldest event that the target lacks is the probe: it goes out every backoff_max, for ever, and the
 * first success closes the circuit.
 *
 * What a positional target has accepted is not kept, so diverting one, or its loss while it is
 * live, has the pipeline read again from the slot. What an answering target has not answered is
 * kept by the courier.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "base/log.h"
#include "engine/outlet_internal.h"
#include "model/change.h"

enum {
    CIRCUIT_FAILURES = 30,
    GAP_WATCH_US = 500000,
};

static void outlet_wake(void *context)
{
    struct outlet *outlet = context;
    outlet->backlog.setup.wake(outlet->backlog.setup.context);
}

static struct backoff backoff_of(const struct settings_pipeline *settings)
{
    return (struct backoff){.base_us = settings->error_handling.backoff_us,
                            .max_us = settings->error_handling.backoff_max_us};
}

void outlet_move(struct outlet *outlet)
{
    outlet->moves++;
    atomic_store_explicit(&outlet->counters.divert, (int)outlet->divert, memory_order_relaxed);
    atomic_store_explicit(&outlet->counters.fatal, outlet->fatal, memory_order_relaxed);
    atomic_store_explicit(&outlet->counters.circuit_open, outlet->circuit_open,
                          memory_order_relaxed);
}

void outlet_trouble(struct outlet *outlet, enum trouble trouble, const struct fan_error *error)
{
    if (trouble > outlet->trouble || trouble == TROUBLE_LOST) {
        outlet->trouble = trouble;
        outlet->error = *error;
    }
    outlet->last_error = *error;
}

static enum fan_status outlet_parts_init(struct outlet *outlet, const struct outlet_setup *setup,
                                         struct fan_error *reterr)
{
    const struct settings_pipeline *settings = setup->settings;
    struct letter_owner owner = {
        .pipeline = outlet->pipeline,
        .target = outlet->name,
        .format_name = setup->target_settings->format,
        .whole = outlet->transactions,
        .whole_max = outlet->marks_apart ? settings->batch.max_bytes : 0,
        .format = setup->format,
        .encode = setup->encode,
    };
    letter_writer_init(&outlet->letters, setup->letterbox, &owner, outlet_wake, outlet);
    struct backlog_setup backlog = {
        .directory = outlet->directory,
        .spill_max = settings->buffer.spill_max,
        .may_gap = setup->may_gap,
        .writer = &outlet->letters,
        .pool = setup->pool,
        .format = setup->format,
        .executor = setup->executor,
        .lane = setup->lane,
        .marker = setup->marker,
        .wake = setup->wake,
        .context = setup->context,
    };
    backlog_init(&outlet->backlog, &backlog);
    return outlet->answering ? outlet_courier_init(outlet, setup, backoff_of(settings), reterr)
                             : FAN_OK;
}

enum fan_status outlet_init(struct outlet *outlet, const struct outlet_setup *setup,
                            struct fan_error *reterr)
{
    const struct settings_pipeline *settings = setup->settings;
    const struct target_type *type = setup->target->type;
    *outlet = (struct outlet){
        .settings = settings,
        .pipeline = settings->name,
        .name = setup->target_settings->name,
        .format = setup->format,
        .index = setup->index,
        .outcomes = setup->outcomes,
        .pool = setup->pool,
        .retries = setup->retries,
        .knows_drop = setup->knows_drop,
        .counts =
            settings->commit_policy.mode == COMMIT_ALL ||
            (settings->commit_policy.mode == COMMIT_REQUIRED && setup->target_settings->required),
        .answering = type->request != NULL,
        .in_order = type->in_order != NULL && type->in_order(setup->target_settings->options),
        .transactions = setup->target_settings->transactions,
        .marks_apart = type->marks_apart,
        .max_inflight = type->window_bytes != 0 ? 0 : (uint64_t)settings->batch.max_inflight,
        .checkpoint = {.position = POSITION_NONE},
        .settled = POSITION_NONE,
        .given = POSITION_NONE,
        .sent = POSITION_NONE,
        .persisted = POSITION_NONE,
        .kept_until = POSITION_NONE,
        .passed = POSITION_NONE,
        .refused_until = POSITION_NONE,
        .backoff = backoff_of(settings),
        .start_backoff = backoff_of(settings),
    };
    outlet->directory = strdup(setup->directory);
    outlet->window = outlet->answering ? NULL : calloc(WINDOW_MAX, sizeof(*outlet->window));
    enum fan_status status = FAN_OK;
    if (outlet->directory == NULL || (outlet->window == NULL && !outlet->answering)) {
        status = fan_fail(reterr, FAN_RETRY, "could not allocate a window: out of memory");
    }
    if (status == FAN_OK) {
        status = outlet_parts_init(outlet, setup, reterr);
    }
    if (status != FAN_OK) {
        outlet_release(outlet);
        return status;
    }
    outlet->target = setup->target;
    return FAN_OK;
}

void outlet_release(struct outlet *outlet)
{
    if (outlet->target != NULL) {
        outlet_stop(outlet, 0);
        outlet->target->type->destroy(outlet->target);
    }
    courier_release(&outlet->courier);
    backlog_release(&outlet->backlog);
    letter_writer_release(&outlet->letters);
    parked_release(&outlet->parked);
    parked_release(&outlet->parked_question.job.keys);
    parked_release(&outlet->replay_failed);
    free(outlet->window);
    free(outlet->directory);
    *outlet = (struct outlet){0};
}

void outlet_show_window(struct outlet *outlet, uint64_t batches, uint64_t bytes)
{
    count_set(&outlet->counters.inflight_batches, batches);
    count_set(&outlet->counters.inflight_bytes, bytes);
}

/* The target has been stopped: what it had is no longer under way. */
void outlet_forget_sent(struct outlet *outlet)
{
    outlet->window_head = outlet->window_tail;
    batch_unref(outlet->feeding);
    outlet->feeding = NULL;
    outlet->retry_at_us = 0;
    outlet->sent = outlet->checkpoint.position;
    outlet->gap_taken = false;
    outlet->no_more_us = 0;
    outlet_show_window(outlet, 0, 0);
    if (outlet->answering) {
        courier_abandon(&outlet->courier);
    }
}

/* Gives out again what the target does not have for sure. */
void outlet_rewind(struct outlet *outlet)
{
    struct fan_error error;
    if (outlet->divert != BACKLOG_NONE &&
        backlog_rewind(&outlet->backlog, outlet->checkpoint.position, &error) != FAN_OK) {
        outlet_trouble(outlet, TROUBLE_FATAL, &error);
    }
}

/* What the target still posted before it stopped counts; of the rest nothing may be left, or it
 * would be taken for what the next start does. */
void outlet_stop_target(struct outlet *outlet, int64_t wall_us)
{
    if (!outlet->started) {
        return;
    }
    outlet->target->type->stop(outlet->target);
    outlet->started = false;
    struct outcome_slot slot = outcome_box_take(outlet->outcomes, outlet->index);
    if (slot.settled && position_compare(slot.checkpoint.position, outlet->sent) <= 0) {
        window_settle(outlet, &slot.checkpoint, wall_us);
    }
}

void outlet_stop(struct outlet *outlet, int64_t wall_us)
{
    outlet_stop_target(outlet, wall_us);
    outlet_settle(outlet);
    outlet_forget_sent(outlet);
    if (outlet->answering && outlet->courier.lanes != NULL) {
        if (outlet->replay != NULL) {
            outlet_replay_finish(outlet, true);
        }
        courier_end(&outlet->courier);
        outlet->from_backlog = false; /* it is given out again */
    }
    if (outlet->replay_waiting != NULL) {
        static const struct fan_error stopped = {.text = "the pipeline was stopped"};
        outlet_replay_refuse(outlet, &stopped);
    }
    const struct backlog *backlog = &outlet->backlog;
    bool kept = backlog->kind == BACKLOG_SPILL || backlog->kind == BACKLOG_LETTERS;
    if (outlet->divert == BACKLOG_NONE && kept &&
        position_compare(outlet->checkpoint.position, backlog->appended) < 0) {
        outlet->divert = backlog->kind; /* what came out of it last was not durable yet */
        backlog_note_unmarked(&outlet->backlog, &outlet->gap_to_mark);
        outlet->gap_to_mark.count = 0;
        outlet_move(outlet);
    }
    outlet_rewind(outlet);
    outlet->given = outlet->settled;
    if (outlet->divert != BACKLOG_NONE &&
        position_compare(outlet->backlog.appended, outlet->given) > 0) {
        outlet->given = outlet->backlog.appended;
    }
    outlet->refused_until = POSITION_NONE;
    outlet->apart = NULL;
    outlet->start_at_us = 0;
    outlet->failures = 0;
    outlet->trouble = TROUBLE_NONE;
    atomic_store_explicit(&outlet->counters.retry_at_us, 0, memory_order_relaxed);
    backoff_reset(&outlet->start_backoff);
}

/* ---- failures ---- */

/* A full disk is tried without end: space comes back. */
static bool is_full_disk(const struct fan_error *error)
{
    return error->sys_errno == ENOSPC || error->sys_errno == EDQUOT;
}

void outlet_note_failure(struct outlet *outlet, const char *what, const struct fan_error *error,
                         int64_t wait_us)
{
    if (outlet->last_error.text[0] == '\0') { /* one line when the state changes */
        log_write(LOG_WARN, what, LOG_TEXT("pipeline", outlet->pipeline),
                  LOG_TEXT("target", outlet->name), LOG_TEXT("error", error->text),
                  LOG_NUMBER("wait_ms", wait_us / 1000));
    }
    outlet->last_error = *error;
    if (!outlet->answering) {
        count_add(&outlet->counters.retries, 1); /* a courier counts its own */
    }
}

void outlet_note_retry(struct outlet *outlet, const struct batch_event *first,
                       const struct batch_event *last, uint64_t count, uint32_t failures,
                       int64_t wait_us, const struct fan_error *error)
{
    struct retry_entry entry = {.target = outlet->index,
                                .count = count,
                                .next_attempt = failures + 1,
                                .at_wall_us = outlet->wall_us,
                                .retry_wall_us = outlet->wall_us + wait_us};
    if (count > 0) {
        entry.first = first->position;
        entry.last = last->position;
        entry.first_is_gap = first->op == CHANGE_GAP;
        entry.last_is_gap = last->op == CHANGE_GAP;
    }
    (void)snprintf(entry.reason, sizeof(entry.reason), "%.*s", RETRY_REASON_MAX - 1, error->text);
    retry_log_add(outlet->retries, &entry);
}

/* Whether the failures in a row are as many as the conf allows; told once. */
void outlet_count_attempts(struct outlet *outlet, uint32_t failures, const struct fan_error *error)
{
    uint64_t max = (uint64_t)outlet->settings->error_handling.max_attempts;
    if (outlet->circuit_open && outlet->divert == BACKLOG_NONE) {
        max = 1; /* the probe of a target that has no backlog */
    } else if (outlet->circuit_open) {
        return;
    }
    if (max == 0 || failures < max || is_full_disk(error)) {
        return;
    }
    outlet->circuit_open = true;
    outlet->backoff.failures = CIRCUIT_FAILURES; /* from now on the longest wait */
    outlet->start_backoff.failures = CIRCUIT_FAILURES;
    outlet->courier.backoff.failures = CIRCUIT_FAILURES;
    outlet_trouble(outlet, TROUBLE_SPENT, error);
    outlet_move(outlet);
}

void outlet_note_success(struct outlet *outlet)
{
    if (outlet->last_error.text[0] != '\0') {
        log_write(LOG_INFO, "target accepts again", LOG_TEXT("pipeline", outlet->pipeline),
                  LOG_TEXT("target", outlet->name));
    }
    outlet->last_error.text[0] = '\0';
    outlet->failures = 0;
    backoff_reset(&outlet->backoff);
    if (outlet->circuit_open) {
        outlet->circuit_open = false;
        outlet_move(outlet);
    }
}

static bool outlet_start(struct outlet *outlet, const struct outlet_moment *moment)
{
    if (outlet->started) {
        return true;
    }
    if (moment->now_us < outlet->start_at_us || outlet->fatal) {
        return false;
    }
    bool fresh = position_compare(outlet->checkpoint.position, POSITION_NONE) == 0 &&
                 outlet->checkpoint.detail[0] == '\0';
    struct fan_error error;
    enum fan_status status =
        outlet->target->type->start(outlet->target, fresh ? NULL : &outlet->checkpoint, &error);
    if (status == FAN_OK) {
        outlet->started = true;
        outlet->sent = outlet->checkpoint.position;
        backoff_reset(&outlet->start_backoff);
        if (!outlet->answering) {
            outlet_note_success(outlet);
        }
        return true;
    }
    if (status == FAN_FATAL || status == FAN_POISON) {
        outlet->start_at_us = INT64_MAX; /* until an operator restarts it */
        outlet_trouble(outlet, TROUBLE_FATAL, &error);
        return false;
    }
    int64_t wait_us = backoff_next_us(&outlet->start_backoff, moment->rng);
    outlet->start_at_us = moment->now_us + wait_us;
    outlet_note_failure(outlet, "target could not start, will be tried again", &error, wait_us);
    outlet_note_retry(outlet, NULL, NULL, 0, ++outlet->failures, wait_us, &error);
    outlet_count_attempts(outlet, outlet->failures, &error);
    return false;
}

/* Once the marker of a gap is durable, it need not be shown again. */
void outlet_marked(struct outlet *outlet)
{
    if (outlet->gap_taken &&
        position_compare(outlet->checkpoint.position, outlet->gap_to_mark.last) >= 0) {
        outlet->gap_to_mark.count = 0;
        outlet->gap_taken = false;
    }
}

/* A target that said it cannot go on is started anew. */
static void outlet_restart_target(struct outlet *outlet)
{
    bool gives_up = !outlet->answering && outlet->divert == BACKLOG_NONE &&
                    outlet->window_head != outlet->window_tail;
    if (gives_up) { /* stopping it does the rest */
        struct fan_error error = outlet->last_error;
        outlet_trouble(outlet, TROUBLE_LOST, &error);
        return;
    }
    outlet_stop_target(outlet, outlet->wall_us);
    outlet_forget_sent(outlet);
    if (!outlet->answering) {
        outlet_rewind(outlet);
    }
}

void outlet_encourage(struct outlet *outlet)
{
    if (outlet->trouble != TROUBLE_LOST) {
        outlet->trouble = TROUBLE_NONE;
    }
    if (outlet->fatal && outlet->started) {
        outlet_restart_target(outlet);
    }
    outlet->fatal = false;
    outlet->circuit_open = outlet->circuit_open && outlet->divert != BACKLOG_NONE;
    outlet->failures = 0;
    outlet->poison_count = 0;
    outlet->start_at_us = 0;
    outlet->retry_at_us = 0;
    backoff_reset(&outlet->start_backoff);
    backoff_reset(&outlet->backoff);
    if (outlet->answering) {
        courier_encourage(&outlet->courier);
        if (outlet->circuit_open) {
            outlet->courier.backoff.failures = CIRCUIT_FAILURES;
        }
    }
    outlet_move(outlet);
}

/* ---- offers ---- */

/* A batch of the marker of the last gap and the events [first, ...). NULL: not now, and `reterr` says
 * why, if something went wrong. */
static struct batch *with_marker(struct outlet *outlet, const struct batch *batch, size_t first,
                                 struct fan_error *reterr)
{
    struct batch *marked = NULL;
    if (outlet->backlog.setup.marker(outlet->backlog.setup.context, &outlet->gap_to_mark, &marked,
                                     reterr) == FAN_OK) {
        marked->part = batch->part;
    }
    for (size_t event = first; marked != NULL && event < batch->events_count; event++) {
        size_t size;
        size_t label_size;
        const uint8_t *bytes = batch_event_bytes(batch, outlet->format, event, &size);
        const uint8_t *label = batch_label_bytes(batch, event, &label_size);
        if (batch_append(marked, &batch->events[event], outlet->format, bytes, size, label,
                         label_size) != FAN_OK) {
            batch_unref(marked);
            (void)fan_fail(reterr, FAN_RETRY, /* NULL tells */
                           "could not write the marker of a gap: out of memory");
            return NULL;
        }
    }
    return marked;
}

static bool live_offer(struct outlet *outlet, struct batch *batch, size_t first,
                       const struct outlet_moment *moment)
{
    if (outlet->answering) {
        if (!courier_idle(&outlet->courier) || outlet->replay_waiting != NULL ||
            !outlet_parked_fresh(outlet) || !outlet_courier_take(outlet, batch, first)) {
            return false;
        }
        outlet->live_hold = batch->events[first].hold_lsn;
        outlet->live_commit_us = batch->events[first].commit_time_us;
        courier_send(&outlet->courier, moment->rng, moment->now_us);
        outlet_courier_look(outlet, moment);
        return true;
    }
    return window_deliver(outlet, batch, first, moment);
}

static bool diverted_offer(struct outlet *outlet, struct batch *batch, size_t first,
                           const struct outlet_moment *moment)
{
    struct fan_error error = {0};
    /* A gap that still grew would never be known to the store, and the target never tried. */
    if (!outlet_may_keep(outlet, batch, first) ||
        (moment->may_deliver && outlet_waits_for_gap(outlet))) {
        return false;
    }
    enum fan_status status = outlet_keep(outlet, batch, first, &outlet->error, &error);
    outlet->squeezed = status == FAN_AGAIN && outlet->backlog.gap_known;
    if (status == FAN_OK) {
        return true;
    }
    if (error.text[0] != '\0') {
        outlet->last_error = error;
    }
    if (status == FAN_FATAL) {
        outlet_trouble(outlet, TROUBLE_FATAL, &error);
    }
    return false;
}

/* Whether the outlet has taken events [first, ...) of the batch. */
static bool outlet_give(struct outlet *outlet, struct batch *batch, size_t first,
                        const struct outlet_moment *moment)
{
    if (outlet->divert != BACKLOG_NONE) {
        return diverted_offer(outlet, batch, first, moment);
    }
    if (!moment->may_deliver || !outlet->started || outlet->trouble != TROUBLE_NONE ||
        outlet->fatal || outlet->no_more_us != 0) {
        return false;
    }
    if (outlet->gap_to_mark.count == 0 || outlet->gap_taken) {
        outlet->marker_waits = false;
        return live_offer(outlet, batch, first, moment);
    }
    struct fan_error error = {0};
    struct batch *marked = with_marker(outlet, batch, first, &error);
    outlet->marker_waits = marked == NULL;
    if (error.text[0] != '\0') {
        outlet->last_error = error;
    }
    outlet->gap_taken = true;
    bool taken = marked != NULL && live_offer(outlet, marked, 0, moment);
    outlet->gap_taken = taken;
    batch_unref(marked);
    return taken;
}

/* The same for a batch of which some events are refused: run by run, for as long as it goes. */
static bool outlet_give_apart(struct outlet *outlet, struct batch *batch, size_t first,
                              const struct outlet_moment *moment)
{
    bool taken = true;
    while (taken && first < batch->events_count) {
        bool refused;
        size_t end = outlet_refusal_run(outlet, batch, first, &refused);
        /* In a gap everything is, but for what is a letter already. */
        bool lettered =
            position_compare(outlet->refused_until, batch->events[end - 1].position) >= 0;
        if (refused && (outlet->divert != BACKLOG_GAP || lettered)) {
            taken = outlet_refusal_take(outlet, batch, first, end, moment);
        } else {
            struct batch *run = batch_slice(batch, outlet->format, first, end);
            taken = run != NULL && outlet_give(outlet, run, 0, moment);
            batch_unref(run);
        }
        if (taken) {
            outlet->given = batch->events[end - 1].position;
            first = end;
        }
    }
    return taken;
}

enum offer outlet_offer(struct outlet *outlet, struct batch *batch,
                        const struct outlet_moment *moment)
{
    size_t first = batch_first_beyond(batch, outlet->given);
    uint64_t already = outlet->apart == batch ? 0 : batch_rows(batch, 0, first);
    outlet->now_us = moment->now_us;
    outlet->wall_us = moment->wall_us;
    if (outlet->trouble == TROUBLE_LOST) {
        return OFFER_WAIT; /* what comes before the batch is to be read again */
    }
    bool taken = first == batch->events_count;
    if (!taken) {
        outlet_probe_gap(outlet, moment);
        struct fan_position before = outlet->given;
        taken = outlet_refuses(outlet, batch, first)
                    ? outlet_give_apart(outlet, batch, first, moment)
                    : outlet_give(outlet, batch, first, moment);
        if (!taken && position_compare(before, outlet->given) == 0) {
            return OFFER_WAIT;
        }
    }
    count_add(&outlet->counters.already, already);
    outlet->apart = taken ? NULL : batch;
    if (!taken) {
        return OFFER_WAIT;
    }
    struct fan_position last = batch->events[batch->events_count - 1].position;
    outlet->given = position_compare(last, outlet->given) > 0 ? last : outlet->given;
    return OFFER_ACCEPTED;
}

/* ---- steps ---- */

void outlet_take(struct outlet *outlet, const struct outlet_moment *moment)
{
    struct outcome_slot taken = outcome_box_take(outlet->outcomes, outlet->index);
    const struct outcome_slot *slot = &taken;
    outlet->now_us = moment->now_us;
    outlet->wall_us = moment->wall_us;
    if (!outlet->started) {
        return;
    }
    for (struct answer *answer = slot->answers; answer != NULL;) {
        struct answer *next = answer->next;
        courier_answer(&outlet->courier, answer, moment->rng, moment->now_us);
        answer = next;
    }
    if (slot->settled) {
        window_settle(outlet, &slot->checkpoint, moment->wall_us);
    }
    if (slot->fatal) {
        outlet_trouble(outlet, TROUBLE_FATAL, &slot->error);
    } else if (slot->lost && outlet->divert == BACKLOG_NONE) {
        outlet_trouble(outlet, TROUBLE_LOST, &slot->error);
    } else if (slot->lost) { /* everything is still in the backlog */
        outlet_stop_target(outlet, outlet->wall_us);
        outlet_forget_sent(outlet);
        outlet_rewind(outlet);
        int64_t wait_us = backoff_next_us(&outlet->start_backoff, moment->rng);
        outlet->start_at_us = moment->now_us + wait_us;
        outlet_note_failure(outlet, "target lost what was not durable, it is sent again",
                            &slot->error, wait_us);
    }
}

void outlet_persisted(struct outlet *outlet, const struct target_checkpoint *checkpoint,
                      uint64_t gap_serial, uint64_t gap_count)
{
    backlog_gaps_persisted(&outlet->backlog, gap_serial, gap_count);
    outlet->persisted = checkpoint->position;
    if (outlet->backlog.kind != BACKLOG_NONE && !outlet->answering) {
        backlog_delivered(&outlet->backlog, checkpoint->position);
    }
    if (outlet->started && outlet->target->type->checkpointed != NULL) {
        outlet->target->type->checkpointed(outlet->target, checkpoint);
    }
}

/* Everything up to here is in one of the places of invariant (2). */
static struct fan_position outlet_now_settled(struct outlet *outlet)
{
    struct fan_position settled = outlet->checkpoint.position;
    settled = position_compare(outlet->passed, settled) > 0 ? outlet->passed : settled;
    if (outlet->backlog.kind != BACKLOG_NONE) {
        struct fan_position kept = backlog_settled(&outlet->backlog);
        settled = position_compare(kept, settled) > 0 ? kept : settled;
    }
    return settled;
}

void outlet_settle(struct outlet *outlet)
{
    struct fan_position settled = outlet_now_settled(outlet);
    if (position_compare(settled, outlet->given) > 0) {
        settled = outlet->given; /* a backlog that is ahead of a rewound intake */
    }
    if (position_compare(settled, outlet->settled) > 0) {
        outlet->settled = settled;
        outlet_move(outlet);
    }
}

static void outlet_show_backlog(struct outlet *outlet)
{
    uint64_t backlog = outlet->backlog.kind != BACKLOG_NONE ? outlet->backlog.events : 0;
    if (outlet->from_backlog) {
        backlog += outlet->courier.batch->events_count;
    }
    count_set(&outlet->counters.backlog, backlog);
    count_set(&outlet->counters.gap, outlet->backlog.gap_events);
}

static int64_t earlier(int64_t left_us, int64_t right_us)
{
    return left_us < right_us ? left_us : right_us;
}

/* A gap that the store does not have yet is shown to it again: nothing else may move any more. */
static int64_t outlet_watch_gap(struct outlet *outlet, int64_t now_us)
{
    if (outlet->backlog.gap_known) {
        outlet->gap_watch_us = 0;
        return now_us + GAP_WATCH_US;
    }
    if (outlet->gap_watch_us == 0) {
        outlet->gap_watch_us = now_us + GAP_WATCH_US;
    } else if (now_us >= outlet->gap_watch_us) {
        outlet->gap_watch_us = now_us + GAP_WATCH_US;
        outlet_move(outlet);
    }
    return outlet->gap_watch_us;
}

int64_t outlet_step(struct outlet *outlet, const struct outlet_moment *moment)
{
    bool may_deliver = moment->may_deliver;
    int64_t due_us = INT64_MAX;
    outlet->now_us = moment->now_us;
    outlet->wall_us = moment->wall_us;
    due_us = earlier(due_us, letter_writer_step(&outlet->letters, moment->now_us));
    if (outlet->letters.starved) {
        struct fan_error error;
        (void)fan_fail(&error, FAN_RETRY, "could not keep a dead letter: out of memory");
        outlet->letters.starved = false;
        outlet->letters.settled_serial = outlet->letters.added_serial;
        outlet_trouble(outlet, TROUBLE_LOST, &error);
        return due_us;
    }
    if (outlet->letters.error.text[0] != '\0') {
        outlet->last_error = outlet->letters.error;
    }
    if (may_deliver && !outlet_start(outlet, moment) && !outlet->fatal) {
        due_us = earlier(due_us, outlet->start_at_us);
    }
    if (outlet->answering) {
        outlet_courier_step(outlet, may_deliver, moment);
        if (!courier_idle(&outlet->courier) && outlet->courier.open_count == 0 &&
            outlet->courier.retry_at_us > moment->now_us) {
            due_us = earlier(due_us, outlet->courier.retry_at_us);
        }
    } else if (may_deliver && outlet->started && outlet->divert != BACKLOG_NONE && !outlet->fatal) {
        window_feed(outlet, moment);
    }
    if (outlet->parked_question.retry_at_us > moment->now_us) {
        due_us = earlier(due_us, outlet->parked_question.retry_at_us);
    }
    if (outlet->retry_at_us > moment->now_us) {
        due_us = earlier(due_us, outlet->retry_at_us);
    }
    if (outlet->divert == BACKLOG_GAP && outlet->courier.retry_at_us > moment->now_us) {
        due_us = earlier(due_us, outlet->courier.retry_at_us);
    }
    if (outlet->no_more_us > moment->now_us) {
        due_us = earlier(due_us, outlet->no_more_us);
    }
    if (outlet->divert != BACKLOG_NONE && outlet->started && !outlet->fatal) {
        due_us = earlier(due_us, outlet_watch_gap(outlet, moment->now_us));
    }
    /* After the feeding, which may have begun jobs and ended batches. */
    due_us = earlier(due_us, letter_writer_step(&outlet->letters, moment->now_us));
    outlet_settle(outlet);
    outlet_return(outlet);
    if (!outlet->circuit_open || outlet->backlog.unmarked.count == 0) {
        outlet_probe_gap(outlet, moment); /* else the state would change with each probe */
    }
    if (outlet->backlog.kind != BACKLOG_NONE) {
        due_us = earlier(due_us, backlog_step(&outlet->backlog, moment->now_us));
        if (outlet->divert == BACKLOG_NONE && outlet->gap_to_mark.count == 0 &&
            backlog_over(&outlet->backlog)) {
            backlog_close(&outlet->backlog);
        }
    }
    outlet_show_backlog(outlet);
    if (outlet->started) {
        due_us = earlier(due_us, outlet->target->type->tick(outlet->target, moment->now_us));
    }
    return due_us;
}

/* ---- what the pipeline asks ---- */

bool outlet_empty(const struct outlet *outlet)
{
    bool target = outlet->answering ? courier_idle(&outlet->courier) || outlet->from_backlog
                                    : outlet->window_head == outlet->window_tail ||
                                          outlet->divert != BACKLOG_NONE;
    return target && position_compare(outlet->settled, outlet->given) >= 0;
}

bool outlet_idle(const struct outlet *outlet)
{
    if (outlet->divert != BACKLOG_NONE) {
        return true;
    }
    if (outlet->answering) {
        return courier_idle(&outlet->courier);
    }
    return outlet->max_inflight == 0 || outlet->window_head == outlet->window_tail;
}

bool outlet_waits_for_gap(const struct outlet *outlet)
{
    const struct backlog *backlog = &outlet->backlog;
    bool busy = outlet->answering ? !courier_idle(&outlet->courier) : outlet->feeding != NULL;
    int64_t retry_at_us = outlet->answering ? outlet->courier.retry_at_us : outlet->retry_at_us;
    return outlet->divert != BACKLOG_NONE && !backlog->gap_known && backlog_drained(backlog) &&
           outlet->started && !outlet->fatal && !busy && outlet->now_us >= retry_at_us;
}

bool outlet_holds_start(const struct outlet *outlet)
{
    return !outlet->started && outlet->divert == BACKLOG_NONE;
}

bool outlet_oldest(const struct outlet *outlet, struct fan_lsn *ret_hold, int64_t *ret_commit_us)
{
    if (outlet->divert != BACKLOG_NONE) {
        return false;
    }
    if (outlet->answering) {
        if (courier_idle(&outlet->courier) || outlet->replay != NULL || outlet->from_backlog) {
            return false;
        }
        *ret_hold = outlet->live_hold;
        *ret_commit_us = outlet->live_commit_us;
        return true;
    }
    if (outlet->window_head == outlet->window_tail) {
        return false;
    }
    const struct window_entry *entry = &outlet->window[outlet->window_head % WINDOW_MAX];
    *ret_hold = entry->first_hold;
    *ret_commit_us = entry->first_commit_us;
    return true;
}

bool outlet_isolated(const struct outlet *outlet)
{
    bool failed = outlet->circuit_open || outlet->fatal;
    return outlet->counts && (outlet->divert == BACKLOG_LETTERS ||
                              (outlet->divert != BACKLOG_NONE && failed &&
                               (outlet->fatal || outlet->divert == BACKLOG_GAP)));
}
