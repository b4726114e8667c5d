#include "engine/outlet.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/count.h"
#include "base/log.h"
#include "model/change.h"

enum fan_status outlet_init(struct outlet *outlet, const char *pipeline, const char *name,
                            struct target *target, size_t format, uint64_t max_inflight,
                            struct backoff backoff, struct fan_error *reterr)
{
    *outlet = (struct outlet){
        .pipeline = pipeline,
        .name = name,
        .target = target,
        .format = format,
        .max_inflight = target->type->window_bytes != 0 ? 0 : max_inflight,
        .settled = {.position = POSITION_NONE},
        .given = POSITION_NONE,
        .backoff = backoff,
    };
    outlet->window = calloc(WINDOW_MAX, sizeof(*outlet->window));
    if (outlet->window == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not allocate a window: out of memory");
    }
    return FAN_OK;
}

void outlet_release(struct outlet *outlet)
{
    if (outlet->target != NULL) {
        outlet_stop(outlet);
        outlet->target->type->destroy(outlet->target);
    }
    free(outlet->window);
    *outlet = (struct outlet){0};
}

static void outlet_show_window(struct outlet *outlet, uint64_t bytes)
{
    count_set(&outlet->counters.inflight_batches, outlet->window_tail - outlet->window_head);
    count_set(&outlet->counters.inflight_bytes, bytes);
}

enum fan_status outlet_start(struct outlet *outlet, struct fan_error *reterr)
{
    bool fresh = position_compare(outlet->settled.position, POSITION_NONE) == 0 &&
                 outlet->settled.detail[0] == '\0';
    enum fan_status status =
        outlet->target->type->start(outlet->target, fresh ? NULL : &outlet->settled, reterr);
    if (status == FAN_OK) {
        outlet->started = true;
        outlet->given = outlet->settled.position;
        backoff_reset(&outlet->backoff);
        outlet->last_error.text[0] = '\0';
    }
    return status;
}

void outlet_stop(struct outlet *outlet)
{
    if (outlet->started) {
        outlet->target->type->stop(outlet->target);
        outlet->started = false;
    }
    outlet->window_head = outlet->window_tail;
    outlet->retry_at_us = 0;
    atomic_store_explicit(&outlet->counters.retry_at_us, 0, memory_order_relaxed);
    outlet->given = outlet->settled.position;
    outlet_show_window(outlet, 0);
}

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

static void outlet_accepted(struct outlet *outlet, const struct batch *batch, size_t first)
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
    };
    outlet->window_tail++;
    outlet->given = last->position;
    count_add(&outlet->counters.batches, 1);
    count_add(&outlet->counters.bytes, bytes);
    outlet_show_window(outlet, count_get(&outlet->counters.inflight_bytes) + bytes);
    if (outlet->last_error.text[0] != '\0') {
        log_write(LOG_INFO, "target accepts again", LOG_TEXT("pipeline", outlet->pipeline),
                  LOG_TEXT("target", outlet->name));
    }
    backoff_reset(&outlet->backoff);
    outlet->last_error.text[0] = '\0';
}

static void outlet_schedule_retry(struct outlet *outlet, struct rng *rng, int64_t now_us,
                                  const struct fan_error *error)
{
    int64_t wait_us = backoff_next_us(&outlet->backoff, rng);
    outlet->retry_at_us = now_us + wait_us;
    atomic_store_explicit(&outlet->counters.retry_at_us, outlet->retry_at_us, memory_order_relaxed);
    count_add(&outlet->counters.retries, 1);
    if (outlet->last_error.text[0] == '\0') { /* one line when the state changes */
        log_write(LOG_WARN, "target refuses, will be tried again",
                  LOG_TEXT("pipeline", outlet->pipeline), LOG_TEXT("target", outlet->name),
                  LOG_TEXT("error", error->text), LOG_NUMBER("wait_ms", wait_us / 1000));
    }
    outlet->last_error = *error;
}

enum offer outlet_offer(struct outlet *outlet, struct batch *batch, struct rng *rng, int64_t now_us,
                        struct fan_error *reterr)
{
    size_t first = first_beyond(batch, outlet->given);
    if (first == batch->events_count) {
        count_add(&outlet->counters.already, count_rows(batch, 0, first));
        return OFFER_ACCEPTED;
    }
    if (outlet->retry_at_us > now_us) {
        return OFFER_WAIT;
    }
    uint64_t inflight = outlet->window_tail - outlet->window_head;
    if (inflight == WINDOW_MAX || (outlet->max_inflight != 0 && inflight >= outlet->max_inflight)) {
        return OFFER_WAIT;
    }
    outlet->retry_at_us = 0;
    atomic_store_explicit(&outlet->counters.retry_at_us, 0, memory_order_relaxed);
    switch (outlet->target->type->deliver(outlet->target, batch, first, now_us, reterr)) {
    case FAN_OK:
        count_add(&outlet->counters.already, count_rows(batch, 0, first));
        outlet_accepted(outlet, batch, first);
        return OFFER_ACCEPTED;
    case FAN_AGAIN:
        return OFFER_WAIT;
    case FAN_RETRY:
        outlet_schedule_retry(outlet, rng, now_us, reterr);
        return OFFER_RETRY;
    case FAN_POISON:
    case FAN_FATAL:
        break;
    }
    outlet->last_error = *reterr;
    return OFFER_FATAL;
}

void outlet_settle(struct outlet *outlet, const struct target_checkpoint *checkpoint,
                   int64_t wall_us)
{
    FAN_ASSERT(position_compare(checkpoint->position, outlet->given) <= 0);
    uint64_t bytes = count_get(&outlet->counters.inflight_bytes);
    while (outlet->window_head < outlet->window_tail) {
        const struct window_entry *entry = &outlet->window[outlet->window_head % WINDOW_MAX];
        if (position_compare(entry->last, checkpoint->position) > 0) {
            break;
        }
        bytes -= entry->bytes;
        count_add(&outlet->counters.delivered, entry->events);
        outlet->window_head++;
    }
    outlet_show_window(outlet, bytes);
    if (position_compare(checkpoint->position, outlet->settled.position) >= 0) {
        outlet->settled = *checkpoint;
        outlet->moves++;
        atomic_store_explicit(&outlet->counters.settled_wall_us, wall_us, memory_order_relaxed);
    }
}

bool outlet_empty(const struct outlet *outlet)
{
    return outlet->window_head == outlet->window_tail;
}

bool outlet_idle(const struct outlet *outlet)
{
    return outlet->max_inflight == 0 || outlet_empty(outlet);
}

const struct window_entry *outlet_oldest(const struct outlet *outlet)
{
    return outlet_empty(outlet) ? NULL : &outlet->window[outlet->window_head % WINDOW_MAX];
}
