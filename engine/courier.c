#include "engine/courier.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "model/change.h"

enum fan_status courier_init(struct courier *courier, struct target *target, uint32_t index,
                             struct batch_pool *pool, size_t format, size_t lanes_count,
                             struct backoff backoff, struct courier_hooks hooks,
                             struct fan_error *reterr)
{
    FAN_ASSERT(lanes_count > 0 && lanes_count <= COURIER_LANES_MAX);
    *courier = (struct courier){.target = target,
                                .index = index,
                                .pool = pool,
                                .format = format,
                                .hooks = hooks,
                                .backoff = backoff,
                                .lanes_count = lanes_count};
    courier->lanes = calloc(lanes_count, sizeof(*courier->lanes));
    if (courier->lanes == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not allocate requests: out of memory");
    }
    return FAN_OK;
}

void courier_release(struct courier *courier)
{
    if (courier->lanes != NULL) {
        courier_abandon(courier);
        courier_end(courier);
    }
    free(courier->lanes);
    free(courier->order);
    free(courier->fates);
    *courier = (struct courier){0};
}

static bool courier_reserve(struct courier *courier, size_t events)
{
    if (events <= courier->capacity) {
        return true;
    }
    uint32_t *order = realloc(courier->order, events * sizeof(*order));
    if (order == NULL) {
        return false;
    }
    courier->order = order;
    uint8_t *fates = realloc(courier->fates, events);
    if (fates == NULL) {
        return false;
    }
    courier->fates = fates;
    courier->capacity = events;
    return true;
}

enum fan_status courier_begin(struct courier *courier, struct batch *batch, size_t first,
                              struct fan_error *reterr)
{
    FAN_ASSERT(courier_idle(courier) && first < batch->events_count);
    if (!courier_reserve(courier, batch->events_count)) {
        return fan_fail(reterr, FAN_RETRY, "could not begin a batch: out of memory");
    }
    memset(courier->fates, FATE_DELIVERED, first);
    memset(courier->fates + first, FATE_PENDING, batch->events_count - first);
    courier->batch = batch_ref(batch);
    courier->segment_end = first;
    courier->attempts = 0;
    return FAN_OK;
}

/* ---- segments and lanes ---- */

static bool is_barrier(const struct batch *batch, size_t event)
{
    struct batch_label label = batch_label(batch, event);
    return label.key_size == 0 || label.old_key_size > 0 ||
           batch->events[event].op == CHANGE_TRUNCATE;
}

static size_t lane_of(const struct courier *courier, size_t event)
{
    size_t size;
    const uint8_t *label = batch_label_bytes(courier->batch, event, &size);
    return crc32c(0, label, size) % courier->lanes_count;
}

static size_t segment_find_end(const struct courier *courier, size_t begin)
{
    const struct batch *batch = courier->batch;
    if (courier->lanes_count == 1) {
        return batch->events_count;
    }
    if (is_barrier(batch, begin)) {
        return begin + 1;
    }
    size_t end = begin + 1;
    while (end < batch->events_count && !is_barrier(batch, end)) {
        end++;
    }
    return end;
}

/* Spreads the next events over the lanes: counts, then places, so that each lane is one range. */
static void segment_begin(struct courier *courier)
{
    size_t begin = courier->segment_end;
    size_t end = segment_find_end(courier, begin);
    size_t lanes = end - begin > 1 ? courier->lanes_count : 1;
    uint32_t next[COURIER_LANES_MAX] = {0};
    for (size_t event = begin; event < end && lanes > 1; event++) {
        next[lane_of(courier, event)]++;
    }
    uint32_t place = 0;
    for (size_t lane = 0; lane < lanes; lane++) {
        uint32_t count = lanes > 1 ? next[lane] : (uint32_t)(end - begin);
        next[lane] = place;
        courier->lanes[lane].depth = 0;
        if (count > 0) {
            courier->lanes[lane].ranges[0] = (struct courier_range){place, place + count};
            courier->lanes[lane].depth = 1;
        }
        courier->lanes[lane].failures = 0;
        place += count;
    }
    for (size_t event = begin; event < end; event++) {
        courier->order[next[lanes > 1 ? lane_of(courier, event) : 0]++] = (uint32_t)event;
    }
    courier->segment_end = end;
}

static bool segment_over(const struct courier *courier)
{
    for (size_t lane = 0; lane < courier->lanes_count; lane++) {
        if (courier->lanes[lane].depth > 0) {
            return false;
        }
    }
    return true;
}

bool courier_done(const struct courier *courier)
{
    return courier->batch != NULL && courier->segment_end == courier->batch->events_count &&
           segment_over(courier);
}

/* ---- ranges ---- */

/* Drops the settled events of the lane's next range, and the range when nothing is left. */
static void range_settle(struct courier *courier, struct courier_lane *lane)
{
    struct courier_range *range = &lane->ranges[lane->depth - 1];
    uint32_t kept = range->begin;
    for (uint32_t at = range->begin; at < range->end; at++) {
        uint32_t event = courier->order[at];
        if (courier->fates[event] == FATE_PENDING) {
            courier->order[kept++] = event;
        }
    }
    range->end = kept;
    if (range->begin == range->end) {
        lane->depth--;
    }
}

/* Where the transaction of the order's place `at` ends in the range, or the event where they need not
 * stay together. */
static uint32_t unit_end(const struct courier *courier, struct courier_range range, uint32_t at)
{
    uint32_t end = at + 1;
    while (courier->whole && end < range.end &&
           courier->order[end] == courier->order[end - 1] + 1 &&
           batch_same_txn(courier->batch, courier->order[end - 1])) {
        end++;
    }
    return end;
}

/* Events whose key has a letter before them are not sent. */
static void range_park(struct courier *courier, struct courier_lane *lane)
{
    const struct courier_range *range = &lane->ranges[lane->depth - 1];
    bool any = false;
    uint32_t end;
    for (uint32_t begin = range->begin; begin < range->end; begin = end) {
        bool parked = false;
        end = unit_end(courier, *range, begin);
        for (uint32_t at = begin; at < end && !parked; at++) {
            parked = courier->hooks.is_parked(courier->hooks.context, courier->batch,
                                              courier->order[at]);
        }
        for (uint32_t at = begin; at < end && parked; at++) {
            courier->fates[courier->order[at]] = FATE_PARKED;
            courier->hooks.parked(courier->hooks.context, courier->batch, courier->order[at]);
            any = true;
        }
    }
    if (any) {
        range_settle(courier, lane);
    }
}

/* False: it is a single event, or a transaction that stays together. */
static bool range_halve(const struct courier *courier, struct courier_lane *lane)
{
    struct courier_range whole = lane->ranges[lane->depth - 1];
    uint32_t half = whole.begin + (whole.end - whole.begin) / 2;
    uint32_t middle = unit_end(courier, whole, whole.begin);
    for (uint32_t end = middle; end <= half && end < whole.end;) {
        middle = end; /* where a unit ends, as near before the half as there is one */
        end = unit_end(courier, whole, end);
    }
    if (middle == whole.end) {
        return false;
    }
    FAN_ASSERT(lane->depth < COURIER_DEPTH_MAX); /* 32 halvings of 2^32 events at the most */
    lane->ranges[lane->depth - 1] = (struct courier_range){middle, whole.end};
    lane->ranges[lane->depth++] = (struct courier_range){whole.begin, middle};
    lane->failures = 0;
    return true;
}

/* A batch of some events of the courier's, of its format only. */
static struct batch *batch_of(struct courier *courier, const uint32_t *events, size_t count)
{
    const struct batch *from = courier->batch;
    if (count == from->events_count) {
        return batch_ref(courier->batch);
    }
    struct batch *batch = batch_pool_take(courier->pool);
    if (batch == NULL) {
        return NULL;
    }
    batch->sequence = from->sequence;
    batch->part = from->part;
    batch->limit = from->limit;
    for (size_t index = 0; index < count; index++) {
        size_t size;
        size_t label_size;
        const uint8_t *bytes = batch_event_bytes(from, courier->format, events[index], &size);
        const uint8_t *label = batch_label_bytes(from, events[index], &label_size);
        if (batch_append(batch, &from->events[events[index]], courier->format, bytes, size, label,
                         label_size) != FAN_OK) {
            batch_unref(batch);
            return NULL;
        }
    }
    return batch;
}

struct batch *courier_rest(struct courier *courier)
{
    size_t count = 0;
    uint32_t *events = malloc(courier->batch->events_count * sizeof(*events));
    if (events == NULL) {
        return NULL;
    }
    for (size_t event = 0; event < courier->batch->events_count; event++) {
        if (courier->fates[event] == FATE_PENDING) {
            events[count++] = (uint32_t)event;
        }
    }
    struct batch *rest = count > 0 ? batch_of(courier, events, count) : NULL;
    free(events);
    return rest;
}

bool courier_has_pending(const struct courier *courier)
{
    return courier->batch != NULL &&
           memchr(courier->fates, FATE_PENDING, courier->batch->events_count) != NULL;
}

/* ---- failures ---- */

static void courier_wait(struct courier *courier, struct courier_lane *lane, int64_t retry_after_us,
                         struct rng *rng, int64_t now_us)
{
    lane->failures++;
    courier->retries++;
    courier->attempts = lane->failures > courier->attempts ? lane->failures : courier->attempts;
    /* Lanes that fail together are one failure. */
    if (courier->retry_at_us <= now_us) {
        courier->retry_at_us = now_us + backoff_next_us(&courier->backoff, rng);
    }
    int64_t asked_us = now_us + retry_after_us;
    courier->retry_at_us = asked_us > courier->retry_at_us ? asked_us : courier->retry_at_us;
    if (courier->hooks.waits != NULL && lane->depth > 0) {
        struct courier_range range = lane->ranges[lane->depth - 1];
        courier->hooks.waits(courier->hooks.context, courier->order[range.begin],
                             courier->order[range.end - 1], range.end - range.begin, lane->failures,
                             courier->retry_at_us - now_us);
    }
}

/* False: nobody keeps it, so that it is still to be delivered. */
static bool convict(struct courier *courier, uint32_t event, uint32_t attempts,
                    const struct fan_error *error)
{
    bool kept =
        courier->hooks.convict(courier->hooks.context, courier->batch, event, attempts, error);
    courier->fates[event] = kept ? FATE_POISON : FATE_PENDING;
    courier->fatal = courier->fatal || !kept;
    return kept;
}

/* The lane's next range stood alone, and was refused. */
static void range_convict(struct courier *courier, struct courier_lane *lane,
                          const struct fan_error *error)
{
    struct courier_range range = lane->ranges[lane->depth - 1];
    uint32_t attempts = lane->failures + 1;
    bool kept = true;
    for (uint32_t at = range.begin; at < range.end && kept; at++) {
        kept = convict(courier, courier->order[at], attempts, error);
    }
    if (kept) {
        range_settle(courier, lane);
        lane->failures = 0;
    }
}

/* The whole of the lane's next range was refused. */
static void range_refused(struct courier *courier, struct courier_lane *lane,
                          const struct answer *answer, struct rng *rng, int64_t now_us)
{
    courier->error = answer->error;
    switch (answer->status) {
    case FAN_POISON:
        if (!range_halve(courier, lane)) {
            range_convict(courier, lane, &answer->error);
        }
        return;
    case FAN_FATAL:
        courier->fatal = true;
        return;
    case FAN_OK:
    case FAN_AGAIN:
    case FAN_RETRY:
        courier_wait(courier, lane, answer->retry_after_us, rng, now_us);
        return;
    }
}

static void courier_succeeded(struct courier *courier, struct courier_lane *lane)
{
    lane->failures = 0;
    courier->attempts = 0;
    courier->successes++;
    courier->error.text[0] = '\0';
    backoff_reset(&courier->backoff);
}

/* Events [begin, end) of the order were taken, but for those that the answer names. */
static void range_answered(struct courier *courier, struct courier_lane *lane,
                           const struct answer *answer, struct rng *rng, int64_t now_us)
{
    struct courier_range range = lane->ranges[lane->depth - 1];
    uint32_t count = range.end - range.begin;
    bool again = false;
    for (uint32_t at = range.begin; at < range.end; at++) {
        courier->fates[courier->order[at]] = FATE_DELIVERED;
    }
    for (size_t index = 0; index < answer->failed_count; index++) {
        const struct verdict *verdict = &answer->failed[index];
        if (verdict->event >= count) {
            continue; /* the target's own check lets none through */
        }
        uint32_t event = courier->order[range.begin + verdict->event];
        if (verdict->poison) {
            struct fan_error error = answer->error;
            (void)fan_fail(&error, FAN_POISON, "%s", verdict->text); /* the text is wanted */
            fan_error_annotate(&error, "REFUSED", NULL);
            again = !convict(courier, event, lane->failures + 1, &error) || again;
        } else {
            courier->fates[event] = FATE_PENDING;
            again = true;
        }
    }
    uint32_t failures = lane->failures;
    bool all_again = again && answer->failed_count == count;
    if (!all_again) {
        courier_succeeded(courier, lane);
    }
    range_settle(courier, lane);
    if (again) {
        lane->failures = all_again ? failures : 0;
        courier->error = answer->error;
        courier_wait(courier, lane, answer->retry_after_us, rng, now_us);
    }
}

void courier_answer(struct courier *courier, struct answer *answer, struct rng *rng, int64_t now_us)
{
    FAN_ASSERT(answer->lane < courier->lanes_count);
    struct courier_lane *lane = &courier->lanes[answer->lane];
    FAN_ASSERT(lane->open && answer == &lane->answer && lane->depth > 0);
    lane->open = false;
    courier->open_count--;
    batch_unref(lane->sent);
    lane->sent = NULL;
    if (answer->status == FAN_OK) {
        range_answered(courier, lane, answer, rng, now_us);
    } else {
        range_refused(courier, lane, answer, rng, now_us);
    }
    free(answer->failed);
    answer->failed = NULL;
}

/* ---- sending ---- */

/* Until a range has something to send: the one before it may have been parked whole. */
static void lane_park(struct courier *courier, struct courier_lane *lane)
{
    size_t depth;
    do {
        depth = lane->depth;
        range_park(courier, lane);
    } while (lane->depth > 0 && lane->depth < depth);
}

/* Returns false when nothing more should be sent in this call. */
static bool lane_send(struct courier *courier, size_t index, struct rng *rng, int64_t now_us)
{
    struct courier_lane *lane = &courier->lanes[index];
    if (courier->hooks.is_parked != NULL) {
        lane_park(courier, lane);
        if (lane->depth == 0) {
            return true;
        }
    }
    if (courier->hooks.may_send != NULL && !courier->hooks.may_send(courier->hooks.context)) {
        return false;
    }
    struct courier_range range = lane->ranges[lane->depth - 1];
    struct answer *answer = &lane->answer;
    *answer =
        (struct answer){.target = courier->index, .again = courier->again, .lane = (uint32_t)index};
    struct batch *batch = batch_of(courier, courier->order + range.begin, range.end - range.begin);
    if (batch == NULL) {
        (void)fan_fail(&answer->error, FAN_RETRY, "could not send a batch: out of memory");
        courier->error = answer->error;
        courier_wait(courier, lane, 0, rng, now_us);
        return false;
    }
    courier->sends++;
    enum fan_status status =
        courier->target->type->request(courier->target, batch, answer, now_us, &answer->error);
    if (status == FAN_OK) {
        lane->open = true;
        lane->sent = batch;
        courier->open_count++;
        return true;
    }
    batch_unref(batch);
    if (status == FAN_AGAIN) {
        courier->sends--;
        return false;
    }
    answer->status = status;
    range_refused(courier, lane, answer, rng, now_us);
    return status == FAN_POISON;
}

void courier_send(struct courier *courier, struct rng *rng, int64_t now_us)
{
    bool again = courier->batch != NULL;
    while (again && !courier->fatal && courier->retry_at_us <= now_us) {
        again = false;
        while (segment_over(courier) && courier->segment_end < courier->batch->events_count) {
            segment_begin(courier);
        }
        for (size_t lane = 0; lane < courier->lanes_count; lane++) {
            if (courier->lanes[lane].depth == 0 || courier->lanes[lane].open) {
                continue;
            }
            if (!lane_send(courier, lane, rng, now_us)) {
                return;
            }
            /* A range that ended without a request makes room for the next one, or a segment. */
            again = again || !courier->lanes[lane].open;
        }
    }
}

void courier_abandon(struct courier *courier)
{
    for (size_t lane = 0; lane < courier->lanes_count; lane++) {
        courier->lanes[lane].open = false;
        batch_unref(courier->lanes[lane].sent);
        courier->lanes[lane].sent = NULL;
        free(courier->lanes[lane].answer.failed);
        courier->lanes[lane].answer.failed = NULL;
    }
    courier->open_count = 0;
}

void courier_end(struct courier *courier)
{
    FAN_ASSERT(courier->open_count == 0);
    for (size_t lane = 0; lane < courier->lanes_count; lane++) {
        courier->lanes[lane].depth = 0;
        courier->lanes[lane].failures = 0;
    }
    batch_unref(courier->batch);
    courier->batch = NULL;
    courier->attempts = 0;
    courier->fatal = false; /* the owner knows, or learns it from the next batch */
    courier->error.text[0] = '\0';
}

void courier_encourage(struct courier *courier)
{
    courier->retry_at_us = 0;
    courier->attempts = 0;
    courier->fatal = false;
    backoff_reset(&courier->backoff);
    for (size_t lane = 0; lane < courier->lanes_count; lane++) {
        courier->lanes[lane].failures = 0;
    }
}
