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
#include "engine/outlet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/count.h"
#include "base/log.h"
#include "model/change.h"

enum {
    POISON_SPAN_US = 60000000,
    CIRCUIT_FAILURES = 30,
    SETTLE_PATIENCE_US = 2000000,
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

static void outlet_move(struct outlet *outlet)
{
    outlet->moves++;
    atomic_store_explicit(&outlet->counters.divert, (int)outlet->divert, memory_order_relaxed);
    atomic_store_explicit(&outlet->counters.fatal, outlet->fatal, memory_order_relaxed);
    atomic_store_explicit(&outlet->counters.circuit_open, outlet->circuit_open,
                          memory_order_relaxed);
}

/* The first trouble is the one to act on; a loss is worse than what led to it. */
static void outlet_trouble(struct outlet *outlet, enum trouble trouble,
                           const struct fan_error *error)
{
    if (outlet->trouble == TROUBLE_NONE || trouble == TROUBLE_LOST) {
        outlet->trouble = trouble;
        outlet->error = *error;
    }
    outlet->last_error = *error;
}

/* ---- what the courier asks ---- */

/* In a replay a letter waits when an older one of its key stays a letter. */
static bool replay_waits(const struct outlet *outlet, const struct batch *batch, size_t event)
{
    struct parked_label label;
    label.bytes = batch_label_bytes(batch, event, &label.size);
    struct fan_position position = batch->events[event].position;
    if (parked_has(&outlet->replay_failed, label.bytes, label.size, position)) {
        return true;
    }
    const struct parked_label *labels = outlet->replay->labels;
    return parked_waits(&outlet->parked, &label, position, labels, event);
}

static void replay_hold_key(struct outlet *outlet, const struct batch *batch, size_t event)
{
    size_t size;
    const uint8_t *label = batch_label_bytes(batch, event, &size);
    struct fan_error error;
    if (parked_add(&outlet->replay_failed, label, size, batch->events[event].position, &error) !=
        FAN_OK) {
        outlet_trouble(outlet, TROUBLE_LOST, &error);
    }
}

static bool hook_is_parked(void *context, const struct batch *batch, size_t event)
{
    const struct outlet *outlet = context;
    if (outlet->replay != NULL) {
        return replay_waits(outlet, batch, event);
    }
    if (outlet->parked.keys_count == 0 || !outlet->settings->error_handling.park_keys) {
        return false;
    }
    size_t size;
    const uint8_t *label = batch_label_bytes(batch, event, &size);
    return parked_has(&outlet->parked, label, size, batch->events[event].position);
}

static void outlet_park(struct outlet *outlet, const struct batch *batch, size_t event)
{
    if (!outlet->settings->error_handling.park_keys) {
        return;
    }
    size_t size;
    const uint8_t *label = batch_label_bytes(batch, event, &size);
    struct fan_position position = batch->events[event].position;
    struct fan_error error;
    enum fan_status status = parked_add(&outlet->parked, label, size, position, &error);
    if (status != FAN_OK) {
        outlet_trouble(outlet, status == FAN_FATAL ? TROUBLE_FATAL : TROUBLE_LOST, &error);
    }
    count_set(&outlet->counters.parked_keys, outlet->parked.keys_count);
}

static void outlet_bury(struct outlet *outlet, const struct batch *batch, size_t event,
                        enum deadletter_cause cause, uint32_t attempts,
                        const struct fan_error *error)
{
    /* The courier's own batch: it has a reference, and the item takes one more. */
    struct batch *held = outlet->courier.batch;
    FAN_ASSERT(held == batch);
    outlet->letters_serial =
        letter_writer_add(&outlet->letters, held, event, event + 1, cause, attempts, error);
}

/* More convictions within a minute than the conf allows mean that the target is at fault. */
static void count_poison(struct outlet *outlet)
{
    uint64_t max = (uint64_t)outlet->settings->error_handling.poison_max;
    max = max == 0 || max >= POISON_TIMES_MAX ? POISON_TIMES_MAX - 1 : max;
    outlet->poison_us[outlet->poison_count++ % POISON_TIMES_MAX] = outlet->now_us;
    if (outlet->poison_count <= max) {
        return;
    }
    int64_t oldest_us = outlet->poison_us[(outlet->poison_count - 1 - max) % POISON_TIMES_MAX];
    if (outlet->now_us - oldest_us < POISON_SPAN_US) {
        struct fan_error error;
        (void)fan_fail(&error, FAN_FATAL,
                       "target refused more than %llu events for good within a minute: it is at "
                       "fault, not they",
                       (unsigned long long)max);
        fan_error_annotate(&error, "TOO_MUCH_POISON",
                           "mend the target, then pgfan restart the pipeline");
        outlet_trouble(outlet, TROUBLE_FATAL, &error);
    }
}

static bool hook_convict(void *context, const struct batch *batch, size_t event, uint32_t attempts,
                         const struct fan_error *error)
{
    struct outlet *outlet = context;
    if (outlet->replay != NULL) { /* the letter is there already */
        outlet->replay->errors[event] = *error;
        replay_hold_key(outlet, batch, event);
        return true;
    }
    if (!outlet->settings->error_handling.dead_letter) {
        return false; /* nothing may be dropped in silence */
    }
    log_write(LOG_WARN, "event is a dead letter", LOG_TEXT("pipeline", outlet->pipeline),
              LOG_TEXT("target", outlet->name), LOG_TEXT("error", error->text),
              LOG_LSN("commit", batch->events[event].position.commit_lsn.value),
              LOG_NUMBER("seq", batch->events[event].position.seq));
    outlet_bury(outlet, batch, event, LETTER_POISON, attempts, error);
    outlet_park(outlet, batch, event);
    count_poison(outlet);
    return true;
}

static void hook_parked(void *context, const struct batch *batch, size_t event)
{
    static const struct fan_error behind = {.code = "PARKED",
                                            .text = "waits behind a dead letter of its key"};
    struct outlet *outlet = context;
    if (outlet->replay != NULL) {
        replay_hold_key(outlet, batch, event);
        return; /* it stays where it is */
    }
    outlet_bury(outlet, batch, event, LETTER_PARKED, 0, &behind);
    outlet_park(outlet, batch, event);
}

/* ---- life ---- */

static void positional_settle(struct outlet *outlet, const struct target_checkpoint *checkpoint,
                              int64_t wall_us);
static void outlet_settle(struct outlet *outlet);
static void outlet_marked(struct outlet *outlet);

static enum fan_status outlet_parts_init(struct outlet *outlet, const struct outlet_setup *setup,
                                         struct fan_error *reterr)
{
    const struct settings_pipeline *settings = setup->settings;
    struct letter_owner owner = {
        .pipeline = outlet->pipeline,
        .target = outlet->name,
        .format_name = setup->target_settings->format,
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
    if (!outlet->answering) {
        return FAN_OK;
    }
    struct courier_hooks hooks = {.is_parked = hook_is_parked,
                                  .convict = hook_convict,
                                  .parked = hook_parked,
                                  .context = outlet};
    size_t lanes = (size_t)settings->batch.max_inflight;
    return courier_init(&outlet->courier, setup->target, (uint32_t)setup->index, setup->pool,
                        setup->format, lanes < COURIER_LANES_MAX ? lanes : COURIER_LANES_MAX,
                        backoff_of(settings), hooks, reterr);
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
        .knows_drop = setup->knows_drop,
        .counts =
            settings->commit_policy.mode == COMMIT_ALL ||
            (settings->commit_policy.mode == COMMIT_REQUIRED && setup->target_settings->required),
        .answering = type->request != NULL,
        .max_inflight = type->window_bytes != 0 ? 0 : (uint64_t)settings->batch.max_inflight,
        .checkpoint = {.position = POSITION_NONE},
        .settled = POSITION_NONE,
        .given = POSITION_NONE,
        .sent = POSITION_NONE,
        .persisted = POSITION_NONE,
        .kept_until = POSITION_NONE,
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
    parked_release(&outlet->replay_failed);
    free(outlet->window);
    free(outlet->directory);
    *outlet = (struct outlet){0};
}

bool outlet_memory_park(struct outlet_memory *memory, const uint8_t *label, size_t label_size,
                        struct fan_position position)
{
    memory->starved = parked_add(&memory->parked, label, label_size, position, NULL) == FAN_RETRY;
    return !memory->starved;
}

void outlet_memory_gap(struct outlet_memory *memory, const struct change_gap *gap, bool own)
{
    if (own && position_compare(gap->last, memory->given_up) > 0) {
        memory->given_up = gap->last;
    }
    if (position_compare(gap->last, memory->checkpoint.position) <= 0 ||
        position_compare(gap->first, memory->settled) > 0) {
        return; /* its marker has been shown, or its events come again */
    }
    memory->lost += gap->count;
    memory->lost_own += own ? gap->count : 0;
    if (memory->lost == gap->count || position_compare(gap->first, memory->lost_first) < 0) {
        memory->lost_first = gap->first;
    }
}

void outlet_memory_release(struct outlet_memory *memory)
{
    parked_release(&memory->parked);
}

/* What is settled behind the checkpoint and its backlog is in a gap whose marker was not shown. */
static void outlet_recall_gap(struct outlet *outlet, const struct outlet_memory *memory)
{
    bool kept = outlet->divert != BACKLOG_NONE;
    struct fan_position end = kept ? outlet->backlog.appended : outlet->checkpoint.position;
    if (memory->lost == 0 || position_compare(outlet->settled, end) <= 0) {
        return;
    }
    struct change_gap gap = {
        .first = position_compare(memory->lost_first, end) > 0 ? memory->lost_first : end,
        .last = outlet->settled,
        .count = kept && memory->lost_own > 0 ? memory->lost_own : memory->lost,
    };
    if (kept) {
        backlog_note_unmarked(&outlet->backlog, &gap);
    } else {
        outlet->gap_to_mark = gap;
    }
}

enum fan_status outlet_resume(struct outlet *outlet, struct outlet_memory *memory,
                              struct fan_error *reterr)
{
    outlet->parked = memory->parked;
    memory->parked = (struct parked){0};
    count_set(&outlet->counters.parked_keys, outlet->parked.keys_count);
    outlet->checkpoint = memory->checkpoint;
    outlet->given_up = memory->given_up;
    struct fan_position position = memory->checkpoint.position;
    outlet->settled = position_compare(position, memory->settled) > 0 ? position : memory->settled;
    enum backlog_kind kind = memory->isolated > 0 ? BACKLOG_LETTERS : BACKLOG_NONE;
    bool needed = outlet_memory_needs_backlog(memory);
    FAN_ASSERT(needed || memory->isolated == 0);
    enum fan_status status = backlog_resume(&outlet->backlog, kind, needed, position,
                                            memory->isolated_last, memory->isolated, reterr);
    if (status != FAN_OK) {
        return status;
    }
    outlet->divert = outlet->backlog.kind;
    outlet->fatal = memory->fatal && outlet->divert != BACKLOG_NONE;
    if (outlet->divert != BACKLOG_NONE) {
        outlet->circuit_open = outlet->divert == BACKLOG_LETTERS;
        count_set(&outlet->counters.backlog, outlet->backlog.events);
        if (position_compare(outlet->backlog.appended, outlet->settled) > 0) {
            outlet->settled = outlet->backlog.appended;
        }
    }
    outlet_recall_gap(outlet, memory);
    outlet->given = outlet->settled;
    outlet->sent = position;
    outlet->persisted = position;
    outlet->kept_until = outlet->settled;
    outlet_move(outlet);
    return FAN_OK;
}

static void outlet_show_window(struct outlet *outlet, uint64_t batches, uint64_t bytes)
{
    count_set(&outlet->counters.inflight_batches, batches);
    count_set(&outlet->counters.inflight_bytes, bytes);
}

static void replay_finish(struct outlet *outlet, bool stopped)
{
    struct replay *replay = outlet->replay;
    outlet->replay = NULL;
    parked_release(&outlet->replay_failed);
    replay->stopped = stopped;
    for (size_t event = 0; event < replay->batch->events_count; event++) {
        replay->fates[event] = outlet->courier.fates[event];
        if (replay->fates[event] == FATE_DELIVERED) {
            size_t size;
            const uint8_t *label = batch_label_bytes(replay->batch, event, &size);
            parked_remove(&outlet->parked, label, size, replay->batch->events[event].position);
        }
    }
    count_set(&outlet->counters.parked_keys, outlet->parked.keys_count);
    if (stopped) {
        replay->error = outlet->courier.error;
    }
    batch_unref(replay->batch);
    replay->batch = NULL;
    replay->done(replay); /* the last use of it */
}

/* The target has been stopped: what it had is no longer under way. */
static void outlet_forget_sent(struct outlet *outlet)
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
static void outlet_rewind(struct outlet *outlet)
{
    struct fan_error error;
    if (outlet->divert != BACKLOG_NONE &&
        backlog_rewind(&outlet->backlog, outlet->checkpoint.position, &error) != FAN_OK) {
        outlet_trouble(outlet, TROUBLE_FATAL, &error);
    }
}

/* What the target still posted before it stopped counts; of the rest nothing may be left, or it
 * would be taken for what the next start does. */
static void outlet_stop_target(struct outlet *outlet, int64_t wall_us)
{
    if (!outlet->started) {
        return;
    }
    outlet->target->type->stop(outlet->target);
    outlet->started = false;
    struct outcome_slot slot = outcome_box_take(outlet->outcomes, outlet->index);
    if (slot.settled && position_compare(slot.checkpoint.position, outlet->sent) <= 0) {
        positional_settle(outlet, &slot.checkpoint, wall_us);
    }
}

void outlet_stop(struct outlet *outlet, int64_t wall_us)
{
    outlet_stop_target(outlet, wall_us);
    outlet_settle(outlet);
    outlet_forget_sent(outlet);
    if (outlet->answering && outlet->courier.lanes != NULL) {
        if (outlet->replay != NULL) {
            replay_finish(outlet, true);
        }
        courier_end(&outlet->courier);
        outlet->from_backlog = false; /* it is given out again */
    }
    if (outlet->replay_waiting != NULL) {
        struct replay *replay = outlet->replay_waiting;
        outlet->replay_waiting = NULL;
        replay->stopped = true;
        (void)fan_fail(&replay->error, FAN_RETRY, "the pipeline was stopped"); /* the text counts */
        batch_unref(replay->batch);
        replay->batch = NULL;
        replay->done(replay);
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

static void outlet_note_failure(struct outlet *outlet, const char *what,
                                const struct fan_error *error, int64_t wait_us)
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

/* Whether the failures in a row are as many as the conf allows; told once. */
static void outlet_count_attempts(struct outlet *outlet, uint32_t failures,
                                  const struct fan_error *error)
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

static void outlet_note_success(struct outlet *outlet)
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
    outlet_count_attempts(outlet, ++outlet->failures, &error);
    return false;
}

/* ---- the positional way ---- */

/* The first event of the batch that is beyond `position`. */
static size_t first_beyond(const struct batch *batch, struct fan_position position)
{
    size_t low = 0;
    size_t high = batch->events_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (position_compare(batch->events[middle].position, position) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Events [first, end) that stand for a change; a gap's marker does not. */
static uint64_t count_rows(const struct batch *batch, size_t first, size_t end)
{
    uint64_t rows = 0;
    for (size_t index = first; index < end; index++) {
        rows += batch->events[index].op != CHANGE_GAP;
    }
    return rows;
}

static void window_add(struct outlet *outlet, const struct batch *batch, size_t first)
{
    size_t bytes;
    (void)batch_bytes(batch, outlet->format, first, &bytes); /* only the size is wanted */
    const struct batch_event *last = &batch->events[batch->events_count - 1];
    outlet->window[outlet->window_tail % WINDOW_MAX] = (struct window_entry){
        .last = last->position,
        .first_hold = batch->events[first].hold_lsn,
        .first_commit_us = batch->events[first].commit_time_us,
        .events = count_rows(batch, first, batch->events_count),
        .bytes = bytes,
        .fed = outlet->divert != BACKLOG_NONE,
    };
    outlet->window_tail++;
    outlet->sent = last->position;
    count_add(&outlet->counters.batches, 1);
    count_add(&outlet->counters.bytes, bytes);
    outlet_show_window(outlet, outlet->window_tail - outlet->window_head,
                       count_get(&outlet->counters.inflight_bytes) + bytes);
}

/* Whether the target has taken events [first, ...) of the batch. */
static bool positional_deliver(struct outlet *outlet, struct batch *batch, size_t first,
                               const struct outlet_moment *moment)
{
    uint64_t inflight = outlet->window_tail - outlet->window_head;
    if (outlet->retry_at_us > moment->now_us || inflight == WINDOW_MAX ||
        (outlet->max_inflight != 0 && inflight >= outlet->max_inflight)) {
        return false;
    }
    outlet->retry_at_us = 0;
    atomic_store_explicit(&outlet->counters.retry_at_us, 0, memory_order_relaxed);
    struct fan_error error;
    switch (outlet->target->type->deliver(outlet->target, batch, first, moment->now_us, &error)) {
    case FAN_OK:
        window_add(outlet, batch, first);
        outlet_note_success(outlet);
        return true;
    case FAN_AGAIN:
        return false;
    case FAN_RETRY: {
        int64_t wait_us = backoff_next_us(&outlet->backoff, moment->rng);
        outlet->retry_at_us = moment->now_us + wait_us;
        atomic_store_explicit(&outlet->counters.retry_at_us, outlet->retry_at_us,
                              memory_order_relaxed);
        outlet_note_failure(outlet, "target refuses, will be tried again", &error, wait_us);
        outlet_count_attempts(outlet, ++outlet->failures, &error);
        return false;
    }
    case FAN_POISON:
    case FAN_FATAL:
        break;
    }
    outlet_trouble(outlet, TROUBLE_FATAL, &error);
    return false;
}

/* Once the marker of a gap is durable, it need not be shown again. */
static void outlet_marked(struct outlet *outlet)
{
    if (outlet->gap_taken &&
        position_compare(outlet->checkpoint.position, outlet->gap_to_mark.last) >= 0) {
        outlet->gap_to_mark.count = 0;
        outlet->gap_taken = false;
    }
}

/* The target says that everything up to the checkpoint is durable. */
static void positional_settle(struct outlet *outlet, const struct target_checkpoint *checkpoint,
                              int64_t wall_us)
{
    FAN_ASSERT(position_compare(checkpoint->position, outlet->sent) <= 0);
    uint64_t bytes = count_get(&outlet->counters.inflight_bytes);
    uint64_t events = 0;
    uint64_t fed = 0;
    while (outlet->window_head < outlet->window_tail) {
        const struct window_entry *entry = &outlet->window[outlet->window_head % WINDOW_MAX];
        if (position_compare(entry->last, checkpoint->position) > 0) {
            break;
        }
        bytes -= entry->bytes;
        events += entry->events;
        fed += entry->fed ? entry->events : 0;
        outlet->window_head++;
    }
    count_add(&outlet->counters.delivered, events);
    count_add(&outlet->counters.fed, fed);
    outlet_show_window(outlet, outlet->window_tail - outlet->window_head, bytes);
    if (position_compare(checkpoint->position, outlet->checkpoint.position) >= 0) {
        outlet->checkpoint = *checkpoint;
        outlet_marked(outlet);
        outlet_move(outlet);
        atomic_store_explicit(&outlet->counters.settled_wall_us, wall_us, memory_order_relaxed);
    }
}

static void positional_feed(struct outlet *outlet, const struct outlet_moment *moment)
{
    for (;;) {
        if (outlet->feeding == NULL) {
            struct fan_error error;
            enum fan_status status =
                backlog_next(&outlet->backlog, moment->now_us, &outlet->feeding, &error);
            if (status == FAN_FATAL) {
                outlet_trouble(outlet, TROUBLE_FATAL, &error);
            }
            if (status != FAN_OK) {
                return;
            }
        }
        size_t first = first_beyond(outlet->feeding, outlet->sent);
        if (first < outlet->feeding->events_count &&
            !positional_deliver(outlet, outlet->feeding, first, moment)) {
            return;
        }
        batch_unref(outlet->feeding);
        outlet->feeding = NULL;
    }
}

/* ---- the answering way ---- */

static bool courier_take_batch(struct outlet *outlet, struct batch *batch, size_t first)
{
    struct fan_error error;
    if (courier_begin(&outlet->courier, batch, first, &error) != FAN_OK) {
        outlet->last_error = error;
        return false;
    }
    outlet->first = first;
    outlet->counted_delivered = 0;
    outlet->counted_letters = 0;
    outlet->rows_kept = 0;
    outlet->busy_us = outlet->now_us;
    size_t bytes;
    (void)batch_bytes(batch, outlet->format, first, &bytes); /* only the size is wanted */
    count_add(&outlet->counters.batches, 1);
    count_add(&outlet->counters.bytes, bytes);
    outlet_show_window(outlet, 1, bytes);
    return true;
}

/* Counts the rows of the courier's batch whose fate is known, each once. */
static void courier_count(struct outlet *outlet)
{
    const struct courier *courier = &outlet->courier;
    uint64_t delivered = 0;
    uint64_t letters = 0;
    for (size_t event = outlet->first; event < courier->batch->events_count; event++) {
        bool row = courier->batch->events[event].op != CHANGE_GAP;
        delivered += row && courier->fates[event] == FATE_DELIVERED;
        letters +=
            row && (courier->fates[event] == FATE_POISON || courier->fates[event] == FATE_PARKED);
    }
    count_add(&outlet->counters.delivered, delivered - outlet->counted_delivered);
    count_add(&outlet->counters.letters, letters - outlet->counted_letters);
    outlet->counted_delivered = delivered;
    outlet->counted_letters = letters;
}

static void courier_finish(struct outlet *outlet, const struct outlet_moment *moment)
{
    struct courier *courier = &outlet->courier;
    const struct batch *batch = courier->batch;
    struct fan_position last = batch->events[batch->events_count - 1].position;
    courier_count(outlet);
    count_add(&outlet->counters.fed, outlet->rows_kept);
    outlet->checkpoint.position = last;
    outlet_marked(outlet);
    if (outlet->from_backlog) {
        backlog_delivered(&outlet->backlog, last);
    }
    outlet->from_backlog = false;
    atomic_store_explicit(&outlet->counters.settled_wall_us, moment->wall_us, memory_order_relaxed);
    courier_end(courier);
    outlet_show_window(outlet, 0, 0);
    outlet_move(outlet);
}

static void courier_look(struct outlet *outlet, const struct outlet_moment *moment)
{
    struct courier *courier = &outlet->courier;
    if (courier_idle(courier)) {
        return;
    }
    count_set(&outlet->counters.retries, courier->retries);
    if (courier->error.text[0] != '\0') {
        if (strcmp(courier->error.text, outlet->last_error.text) != 0 &&
            courier->retry_at_us > moment->now_us) {
            outlet_note_failure(outlet, "target refuses, will be tried again", &courier->error,
                                courier->retry_at_us - moment->now_us);
        }
        if (outlet->replay != NULL) {
            return;
        }
        if (courier->fatal && !outlet->fatal) {
            outlet_trouble(outlet, TROUBLE_FATAL, &courier->error);
        } else if (courier->attempts > 0) {
            outlet_count_attempts(outlet, courier->attempts, &courier->error);
        }
    } else if (courier->successes != outlet->successes && courier->attempts == 0) {
        outlet_note_success(outlet);
    }
    outlet->successes = courier->successes;
    int64_t retry_us = courier->retry_at_us > moment->now_us ? courier->retry_at_us : 0;
    atomic_store_explicit(&outlet->counters.retry_at_us, retry_us, memory_order_relaxed);
}

/* One attempt each: whoever asked decides what comes next. */
static void replay_step(struct outlet *outlet)
{
    struct courier *courier = &outlet->courier;
    bool failed = courier->fatal || courier->attempts > 0;
    if (!courier_done(courier) && !(failed && courier->open_count == 0)) {
        return;
    }
    replay_finish(outlet, failed);
    courier_end(courier);
    courier->retry_at_us = 0;
    courier->attempts = 0;
    courier->fatal = false;
    backoff_reset(&courier->backoff);
    outlet_show_window(outlet, 0, 0);
}

static void replay_begin(struct outlet *outlet)
{
    outlet->replay = outlet->replay_waiting;
    outlet->replay_waiting = NULL;
    if (!courier_take_batch(outlet, outlet->replay->batch, 0)) {
        struct replay *replay = outlet->replay;
        outlet->replay = NULL;
        replay->stopped = true;
        replay->error = outlet->last_error;
        batch_unref(replay->batch);
        replay->batch = NULL;
        replay->done(replay);
        return;
    }
    courier_encourage(&outlet->courier);
}

static void answering_feed(struct outlet *outlet, const struct outlet_moment *moment)
{
    struct batch *batch = NULL;
    struct fan_error error;
    enum fan_status status = backlog_next(&outlet->backlog, moment->now_us, &batch, &error);
    if (status == FAN_FATAL) {
        outlet_trouble(outlet, TROUBLE_FATAL, &error);
    }
    if (status != FAN_OK) {
        return;
    }
    if (courier_take_batch(outlet, batch, 0)) {
        outlet->from_backlog = true;
        outlet->rows_kept = count_rows(batch, 0, batch->events_count);
    } else {
        outlet_rewind(outlet); /* it is given out again */
    }
    batch_unref(batch);
}

static void answering_step(struct outlet *outlet, bool may_deliver,
                           const struct outlet_moment *moment)
{
    struct courier *courier = &outlet->courier;
    for (;;) {
        bool may_try = outlet->trouble == TROUBLE_NONE || outlet->trouble == TROUBLE_SPENT;
        if (!courier_idle(courier) && may_deliver && outlet->started && !outlet->fatal && may_try) {
            courier_send(courier, moment->rng, moment->now_us);
        }
        courier_look(outlet, moment);
        if (outlet->replay != NULL) {
            replay_step(outlet);
            if (outlet->replay != NULL) {
                return;
            }
            continue;
        }
        if (!courier_idle(courier)) {
            if (!courier_done(courier) ||
                !letter_writer_settled(&outlet->letters, outlet->letters_serial)) {
                return;
            }
            courier_finish(outlet, moment);
        }
        if (!may_deliver || !outlet->started) {
            return;
        }
        if (outlet->replay_waiting != NULL) {
            replay_begin(outlet);
            continue;
        }
        if (outlet->divert == BACKLOG_NONE || outlet->fatal) {
            return;
        }
        answering_feed(outlet, moment);
        if (courier_idle(courier)) {
            return;
        }
    }
}

/* ---- the diverted way, in and out ---- */

static const char *kind_name(enum backlog_kind kind)
{
    static const char *const names[] = {"none", "spill", "dead letters", "gap rows"};
    return names[kind];
}

/* Whether nothing in the batch stands for drops that a crash would make unknown. */
static bool outlet_may_keep(struct outlet *outlet, const struct batch *batch, size_t first)
{
    for (size_t event = first; event < batch->events_count; event++) {
        if (batch->events[event].op == CHANGE_GAP && outlet->backlog.kind != BACKLOG_GAP &&
            !outlet->knows_drop(outlet->backlog.setup.context, batch->events[event].position)) {
            return false;
        }
    }
    return true;
}

/* Appends to the backlog, and counts. */
static enum fan_status outlet_keep(struct outlet *outlet, struct batch *batch, size_t first,
                                   const struct fan_error *why, struct fan_error *reterr)
{
    uint64_t gap_before = outlet->backlog.gap_events;
    enum fan_status status = backlog_append(&outlet->backlog, batch, first, why, reterr);
    if (status == FAN_OK) {
        uint64_t rows = count_rows(batch, first, batch->events_count);
        count_add(&outlet->counters.kept, rows - (outlet->backlog.gap_events - gap_before));
        if (outlet->backlog.gap_events > gap_before) {
            outlet->given_up = outlet->backlog.gap.range.last;
        }
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
    courier_count(outlet); /* the rest may be given out again, and these not */
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
            outlet->rows_kept = count_rows(rest, 0, rest->events_count);
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
    if (given_up) { /* what the target has already may lie behind that */
        backlog_pass(&outlet->backlog, &courier->batch->events[courier->batch->events_count - 1]);
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
 * letters and gaps on their way to the store, and what a positional target has from before. */
static bool divert_would_leave_hole(const struct outlet *outlet, enum backlog_kind kind)
{
    const struct backlog *backlog = &outlet->backlog;
    if (!letter_writer_settled(&outlet->letters, outlet->letters_serial)) {
        return true;
    }
    if (kind == BACKLOG_GAP) {
        return false;
    }
    if (!backlog->gap_known) {
        return true;
    }
    return !outlet->answering && position_compare(outlet->kept_until, outlet->settled) < 0 &&
           position_compare(outlet->persisted, outlet->kept_until) < 0;
}

/* A marker that the target does not have yet goes into the backlog, if it is not in the batch that
 * the courier puts there. */
static void divert_marker(struct outlet *outlet)
{
    bool carried = outlet->answering && outlet->gap_taken && outlet->backlog.kind != BACKLOG_GAP;
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
    if (opens) {
        backlog->delivered = outlet->checkpoint.position; /* a gap may lie in between */
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
static void outlet_return(struct outlet *outlet)
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
static void gap_probe(struct outlet *outlet, const struct outlet_moment *moment)
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

enum fan_status outlet_replay(struct outlet *outlet, struct replay *replay,
                              struct fan_error *reterr)
{
    if (!outlet->answering) {
        return fan_fail(reterr, FAN_FATAL,
                        "cannot replay to target \"%s\": its type keeps changes by position",
                        outlet->name);
    }
    if (outlet->divert != BACKLOG_NONE || !outlet->started) {
        return fan_fail(reterr, FAN_RETRY, "target \"%s\" does not work now: %s", outlet->name,
                        outlet->last_error.text[0] != '\0' ? outlet->last_error.text
                                                           : "it has not caught up yet");
    }
    if (outlet->replay_waiting != NULL || outlet->replay != NULL) {
        return FAN_AGAIN;
    }
    outlet->replay_waiting = replay;
    return FAN_OK;
}

/* ---- offers ---- */

/* A batch of the marker of the last gap and the events [first, ...). NULL: out of memory. */
static struct batch *with_marker(struct outlet *outlet, const struct batch *batch, size_t first)
{
    struct batch *marked =
        outlet->backlog.setup.marker(outlet->backlog.setup.context, &outlet->gap_to_mark);
    if (marked != NULL) {
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
            !courier_take_batch(outlet, batch, first)) {
            return false;
        }
        outlet->live_hold = batch->events[first].hold_lsn;
        outlet->live_commit_us = batch->events[first].commit_time_us;
        courier_send(&outlet->courier, moment->rng, moment->now_us);
        courier_look(outlet, moment);
        return true;
    }
    return positional_deliver(outlet, batch, first, moment);
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

enum offer outlet_offer(struct outlet *outlet, struct batch *batch,
                        const struct outlet_moment *moment)
{
    size_t first = first_beyond(batch, outlet->given);
    outlet->now_us = moment->now_us;
    if (outlet->trouble == TROUBLE_LOST) {
        return OFFER_WAIT; /* what comes before the batch is to be read again */
    }
    if (first == batch->events_count) {
        count_add(&outlet->counters.already, count_rows(batch, 0, first));
        return OFFER_ACCEPTED;
    }
    gap_probe(outlet, moment);
    bool taken = false;
    if (outlet->divert != BACKLOG_NONE) {
        taken = diverted_offer(outlet, batch, first, moment);
    } else if (moment->may_deliver && outlet->started && outlet->trouble == TROUBLE_NONE &&
               !outlet->fatal && outlet->no_more_us == 0) {
        if (outlet->gap_to_mark.count > 0 && !outlet->gap_taken) {
            struct batch *marked = with_marker(outlet, batch, first);
            outlet->gap_taken = true;
            taken = marked != NULL && live_offer(outlet, marked, 0, moment);
            outlet->gap_taken = taken;
            batch_unref(marked);
        } else {
            taken = live_offer(outlet, batch, first, moment);
        }
    }
    if (!taken) {
        return OFFER_WAIT;
    }
    count_add(&outlet->counters.already, count_rows(batch, 0, first));
    outlet->given = batch->events[batch->events_count - 1].position;
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
        positional_settle(outlet, &slot->checkpoint, moment->wall_us);
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
    if (outlet->backlog.kind != BACKLOG_NONE) {
        struct fan_position kept = backlog_settled(&outlet->backlog);
        settled = position_compare(kept, settled) > 0 ? kept : settled;
    }
    return settled;
}

static void outlet_settle(struct outlet *outlet)
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
        answering_step(outlet, may_deliver, moment);
        if (!courier_idle(&outlet->courier) && outlet->courier.open_count == 0 &&
            outlet->courier.retry_at_us > moment->now_us) {
            due_us = earlier(due_us, outlet->courier.retry_at_us);
        }
    } else if (may_deliver && outlet->started && outlet->divert != BACKLOG_NONE && !outlet->fatal) {
        positional_feed(outlet, moment);
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
        gap_probe(outlet, moment); /* else the state would change with each probe */
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
