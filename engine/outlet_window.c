/*
 * outlet_window.c - the positional way: batches that the target has accepted and not made durable.
 */
#include "base/assert.h"
#include "base/count.h"
#include "engine/outlet_internal.h"

static void window_add(struct outlet *outlet, const struct batch *batch, size_t first)
{
    size_t bytes;
    (void)batch_bytes(batch, outlet->format, first, &bytes); /* only the size is wanted */
    const struct batch_event *last = &batch->events[batch->events_count - 1];
    outlet->window[outlet->window_tail % WINDOW_MAX] = (struct window_entry){
        .last = last->position,
        .first_hold = batch->events[first].hold_lsn,
        .first_commit_us = batch->events[first].commit_time_us,
        .events = batch_rows(batch, first, batch->events_count),
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
bool window_deliver(struct outlet *outlet, struct batch *batch, size_t first,
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
        outlet_note_retry(outlet, &batch->events[first], &batch->events[batch->events_count - 1],
                          batch->events_count - first, ++outlet->failures, wait_us, &error);
        outlet_count_attempts(outlet, outlet->failures, &error);
        return false;
    }
    case FAN_POISON:
    case FAN_FATAL:
        break;
    }
    outlet_trouble(outlet, TROUBLE_FATAL, &error);
    return false;
}

/* The target says that everything up to the checkpoint is durable. */
void window_settle(struct outlet *outlet, const struct target_checkpoint *checkpoint,
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

void window_feed(struct outlet *outlet, const struct outlet_moment *moment)
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
        size_t first = batch_first_beyond(outlet->feeding, outlet->sent);
        if (first < outlet->feeding->events_count &&
            !window_deliver(outlet, outlet->feeding, first, moment)) {
            return;
        }
        batch_unref(outlet->feeding);
        outlet->feeding = NULL;
    }
}
