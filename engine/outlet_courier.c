/*
 * outlet_courier.c - the answering way: one batch at a time goes out with the courier, live or out of
 * the backlog; convicted events and those parked behind them become letters.
 */
#include <string.h>

#include "base/assert.h"
#include "base/count.h"
#include "base/log.h"
#include "engine/outlet_internal.h"
#include "model/change.h"

enum { POISON_SPAN_US = 60000000 };

static bool hook_is_parked(void *context, const struct batch *batch, size_t event)
{
    const struct outlet *outlet = context;
    if (outlet->replay != NULL) {
        return outlet_replay_waits(outlet, batch, event);
    }
    if (outlet->parked.keys_count == 0 || !outlet->settings->error_handling.park_keys) {
        return false;
    }
    size_t size;
    const uint8_t *label = batch_label_bytes(batch, event, &size);
    return parked_has(&outlet->parked, label, size, batch->events[event].position);
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

void outlet_count_poison(struct outlet *outlet, struct fan_position position)
{
    if (outlet->transactions && outlet->poison_txn.value == position.commit_lsn.value) {
        return;
    }
    outlet->poison_txn = position.commit_lsn;
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
        outlet_replay_hold(outlet, batch, event);
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
    outlet_count_poison(outlet, batch->events[event].position);
    return true;
}

static void hook_parked(void *context, const struct batch *batch, size_t event)
{
    static const struct fan_error behind = {.code = "PARKED",
                                            .text = "waits behind a dead letter of its key"};
    struct outlet *outlet = context;
    if (outlet->replay != NULL) {
        outlet_replay_hold(outlet, batch, event);
        return; /* it stays where it is */
    }
    outlet_bury(outlet, batch, event, LETTER_PARKED, 0, &behind);
    outlet_park(outlet, batch, event);
}

/* A target that takes what it has for all that comes before it. */
static bool hook_may_send(void *context)
{
    const struct outlet *outlet = context;
    return outlet->replay != NULL || !outlet->in_order ||
           letter_writer_settled(&outlet->letters, outlet->letters_serial);
}

static void hook_waits(void *context, size_t first, size_t last, size_t count, uint32_t failures,
                       int64_t wait_us)
{
    struct outlet *outlet = context;
    const struct batch *batch = outlet->courier.batch;
    if (outlet->replay == NULL) { /* one attempt each */
        outlet_note_retry(outlet, &batch->events[first], &batch->events[last], count, failures,
                          wait_us, &outlet->courier.error);
    }
}

enum fan_status outlet_courier_init(struct outlet *outlet, const struct outlet_setup *setup,
                                    struct backoff backoff, struct fan_error *reterr)
{
    struct courier_hooks hooks = {.is_parked = hook_is_parked,
                                  .convict = hook_convict,
                                  .parked = hook_parked,
                                  .may_send = hook_may_send,
                                  .waits = hook_waits,
                                  .context = outlet};
    bool one = outlet->transactions || outlet->in_order;
    size_t lanes = one ? 1 : (size_t)setup->settings->batch.max_inflight;
    enum fan_status status = courier_init(
        &outlet->courier, setup->target, (uint32_t)setup->index, setup->pool, setup->format,
        lanes < COURIER_LANES_MAX ? lanes : COURIER_LANES_MAX, backoff, hooks, reterr);
    outlet->courier.whole = outlet->transactions;
    return status;
}

bool outlet_courier_take(struct outlet *outlet, struct batch *batch, size_t first)
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
void outlet_courier_count(struct outlet *outlet)
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
    outlet_courier_count(outlet);
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

void outlet_courier_look(struct outlet *outlet, const struct outlet_moment *moment)
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
    if (outlet_courier_take(outlet, batch, 0)) {
        outlet->from_backlog = true;
        outlet->rows_kept = batch_rows(batch, 0, batch->events_count);
    } else {
        outlet_rewind(outlet); /* it is given out again */
    }
    batch_unref(batch);
}

void outlet_courier_step(struct outlet *outlet, bool may_deliver,
                         const struct outlet_moment *moment)
{
    struct courier *courier = &outlet->courier;
    for (;;) {
        bool may_try = outlet->trouble == TROUBLE_NONE || outlet->trouble == TROUBLE_SPENT;
        bool may_send = may_deliver && outlet->started && !outlet->fatal && may_try;
        if (!courier_idle(courier) && may_send) {
            courier_send(courier, moment->rng, moment->now_us);
        }
        outlet_courier_look(outlet, moment);
        if (outlet->replay != NULL) {
            outlet_replay_step(outlet, may_send);
            if (outlet->replay != NULL) {
                return;
            }
            continue;
        }
        if (outlet->replay_waiting != NULL && (!may_send || outlet_replay_in_vain(outlet))) {
            outlet_replay_refuse(outlet, &outlet->last_error);
        }
        if (!courier_idle(courier)) {
            if (!courier_done(courier) ||
                !letter_writer_settled(&outlet->letters, outlet->letters_serial)) {
                return;
            }
            courier_finish(outlet, moment);
        }
        bool fresh = outlet_parked_fresh(outlet);
        if (!may_deliver || !outlet->started || !fresh) {
            return;
        }
        if (outlet->replay_waiting != NULL) {
            outlet_replay_begin(outlet);
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
