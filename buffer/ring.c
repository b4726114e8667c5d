#include "buffer/ring.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum fan_status ring_init(struct ring *ring, struct ring_limits limits, struct fan_error *reterr)
{
    FAN_ASSERT(limits.events_max > 0 && limits.bytes_max > 0);
    *ring = (struct ring){.limits = limits};
    uint64_t slots = 1;
    while (slots < limits.events_max) {
        slots *= 2; /* a power of two, so that an index needs no division */
    }
    ring->slots_mask = slots - 1;
    ring->slots = calloc(slots, sizeof(*ring->slots));
    if (ring->slots == NULL) {
        return fan_fail(reterr, FAN_RETRY,
                        "could not allocate a buffer of %u events: out of memory",
                        limits.events_max);
    }
    ring->room_events = limits.events_max;
    ring->room_bytes = limits.bytes_max;
    (void)pthread_mutex_init(&ring->lock, NULL); /* cannot fail with default attributes */
    return FAN_OK;
}

static struct change *ring_slot(const struct ring *ring, uint64_t index)
{
    return &ring->slots[index & ring->slots_mask];
}

void ring_release(struct ring *ring)
{
    if (ring->slots == NULL) {
        return;
    }
    for (uint64_t index = ring->head; index < ring->staged; index++) {
        change_release(ring_slot(ring, index));
    }
    free(ring->slots);
    (void)pthread_mutex_destroy(&ring->lock); /* nobody holds it any more */
    *ring = (struct ring){0};
}

static uint64_t ring_bytes_left(const struct ring *ring, uint64_t used_bytes)
{
    return used_bytes < ring->limits.bytes_max ? ring->limits.bytes_max - used_bytes : 0;
}

/* Learns how much the pipeline has taken meanwhile. */
static void ring_measure_room(struct ring *ring)
{
    uint64_t used = ring->staged - ring->head;
    ring->room_events = ring->limits.events_max - used;
    ring->room_bytes = ring_bytes_left(ring, ring->bytes + ring->staged_bytes);
    if (used == 0) {
        ring->room_bytes = UINT64_MAX; /* a single change is admitted whatever its size */
    }
}

static bool ring_fits(const struct ring *ring, size_t size)
{
    return ring->room_events > 0 && ring->room_bytes >= size;
}

bool ring_has_room(struct ring *ring, size_t size)
{
    if (ring_fits(ring, size)) {
        return true;
    }
    (void)pthread_mutex_lock(&ring->lock); /* cannot fail: a plain mutex that we do not hold */
    ring_measure_room(ring);
    bool fits = ring_fits(ring, size);
    atomic_store_explicit(&ring->reader_waits, !fits, memory_order_relaxed);
    (void)pthread_mutex_unlock(&ring->lock); /* cannot fail: we hold it */
    return fits;
}

bool ring_may_push(struct ring *ring, size_t size)
{
    switch (ring->limits.policy) {
    case RING_BLOCK:
        return ring_has_room(ring, size);
    case RING_ERROR:
        return true; /* a full ring fails the pipeline */
    case RING_DROP_OLDEST:
        break;
    }
    if (ring_has_room(ring, size)) {
        return true;
    }
    (void)pthread_mutex_lock(&ring->lock); /* cannot fail: a plain mutex that we do not hold */
    /* One push starts at most one run, and one more where what a taker has ends; and a run that is
     * open now may be closed until then. */
    bool may = ring->gaps_count + 1 + 2 * ring->takers_count < RING_GAPS_MAX;
    (void)pthread_mutex_unlock(&ring->lock); /* cannot fail: we hold it */
    return may;
}

/* How many ends of what takers have from before lie before the position. */
static size_t ring_ends_before(const struct ring *ring, struct fan_position position)
{
    size_t ends = 0;
    for (size_t taker = 0; taker < ring->takers_count; taker++) {
        ends += position_compare(ring->had[taker].settled, position) < 0;
        ends += position_compare(ring->had[taker].given, position) < 0;
    }
    return ends;
}

static uint64_t ring_had_by(const struct ring *ring, struct fan_position position)
{
    uint64_t had = 0;
    for (size_t taker = 0; taker < ring->takers_count; taker++) {
        had |= (uint64_t)(position_compare(ring->had[taker].given, position) >= 0) << taker;
    }
    return had;
}

/* The run of drops that the store will have to know grows by one change. */
static void ring_run_extend(struct ring *ring, const struct change *dropped)
{
    if (!ring->run_open) {
        ring->run_open = true;
        ring->run = (struct ring_gap){
            .range = {.first = dropped->position},
            .hold_lsn = dropped->hold_lsn,
            .serial = ++ring->gap_serial,
            .had = ring_had_by(ring, dropped->position),
        };
    }
    ring->run.range.last = dropped->position;
    ring->run.range.count++;
    ring->dropped++;
    bool listed =
        ring->gaps_count > 0 && ring->gaps[ring->gaps_count - 1].serial == ring->run.serial;
    if (!listed) { /* it is new, or the store took it as it was before */
        FAN_ASSERT(ring->gaps_count < RING_GAPS_MAX); /* ring_may_push() was asked */
        ring->gaps_count++;
    }
    ring->gaps[ring->gaps_count - 1] = ring->run;
}

/* Drops the change at head. The marker of an earlier run is already counted and in the store: it
 * only moves into the marker that will be handed out, and ends the run at hand. */
static void ring_drop_head(struct ring *ring)
{
    struct change *oldest = ring_slot(ring, ring->head);
    bool marker = oldest->op == CHANGE_GAP;
    struct ring_marker *last =
        ring->pending_count > 0 ? &ring->pending[ring->pending_count - 1] : NULL;
    if (last == NULL || ring_ends_before(ring, last->range.last) !=
                            ring_ends_before(ring, oldest->position)) { /* invariant (6) */
        ring->run_open = false;
        last = &ring->pending[ring->pending_count++];
        *last = (struct ring_marker){
            .range = {.first = marker ? oldest->gap->first : oldest->position},
            .hold_lsn = oldest->hold_lsn,
        };
    }
    last->range.last = oldest->position;
    last->range.count += marker ? oldest->gap->count : 1;
    if (marker) {
        ring->run_open = false;
    } else {
        ring_run_extend(ring, oldest);
    }
    ring->bytes -= change_size(oldest);
    change_release(oldest);
    ring->head++;
}

/* Makes staged entries visible; the lock is held. */
static bool ring_publish_locked(struct ring *ring)
{
    bool news = ring->tail != ring->staged || ring->whole != ring->staged_whole;
    ring->tail = ring->staged;
    ring->whole = ring->staged_whole; /* may stand before head: what was taken is then a part */
    ring->bytes += ring->staged_bytes;
    ring->staged_bytes = 0;
    return news;
}

static void ring_drop_for(struct ring *ring, size_t size)
{
    (void)pthread_mutex_lock(&ring->lock); /* cannot fail: a plain mutex that we do not hold */
    (void)ring_publish_locked(ring);       /* the caller publishes again anyway */
    ring_measure_room(ring);
    while (!ring_fits(ring, size) && ring->head < ring->tail) {
        ring_drop_head(ring);
        ring_measure_room(ring);
    }
    (void)pthread_mutex_unlock(&ring->lock); /* cannot fail: we hold it */
}

enum fan_status ring_push(struct ring *ring, struct change *change)
{
    size_t size = change_size(change);
    if (!ring_fits(ring, size) && !ring_has_room(ring, size)) {
        switch (ring->limits.policy) {
        case RING_BLOCK:
            return FAN_AGAIN;
        case RING_ERROR:
            return FAN_FATAL;
        case RING_DROP_OLDEST:
            ring_drop_for(ring, size);
            break;
        }
    }
    FAN_ASSERT(ring_fits(ring, size));
    *ring_slot(ring, ring->staged) = *change;
    ring->staged++;
    ring->staged_bytes += size;
    ring->room_events--;
    ring->room_bytes =
        ring->room_bytes == UINT64_MAX ? ring_bytes_left(ring, size) : ring->room_bytes - size;
    *change = (struct change){0};
    return FAN_OK;
}

bool ring_publish(struct ring *ring)
{
    (void)pthread_mutex_lock(&ring->lock); /* cannot fail: a plain mutex that we do not hold */
    bool news = ring_publish_locked(ring);
    (void)pthread_mutex_unlock(&ring->lock); /* cannot fail: we hold it */
    return news;
}

/* Hands out the drops before head as changes. Out of memory: they stay, and the last one grows. */
static size_t ring_take_markers(struct ring *ring, struct change *ret_changes, size_t max)
{
    size_t count = 0;
    while (count < max && count < ring->pending_count) {
        const struct ring_marker *marker = &ring->pending[count];
        struct change_gap *range = malloc(sizeof(*range));
        if (range == NULL) {
            break;
        }
        *range = marker->range;
        ret_changes[count++] = (struct change){
            .op = CHANGE_GAP,
            .position = range->last,
            .hold_lsn = marker->hold_lsn,
            .gap = range,
            .txn_end = true,
        };
    }
    ring->pending_count -= count;
    memmove(ring->pending, ring->pending + count, ring->pending_count * sizeof(ring->pending[0]));
    ring->run_open = ring->run_open && ring->pending_count > 0;
    return count;
}

struct ring_taken ring_take(struct ring *ring, struct change *ret_changes, size_t max)
{
    struct ring_taken taken = {0};
    (void)pthread_mutex_lock(&ring->lock); /* cannot fail: a plain mutex that we do not hold */
    if (ring->pending_count > 0) {
        taken.count = ring_take_markers(ring, ret_changes, max);
    }
    while (taken.count < max && ring->head < ring->tail && ring->pending_count == 0) {
        struct change *slot = ring_slot(ring, ring->head);
        struct change *out = &ret_changes[taken.count];
        *out = *slot;
        *slot = (struct change){0};
        ring->bytes -= change_size(out);
        ring->head++;
        taken.count++;
        out->txn_end = ring->head < ring->tail
                           ? ring_slot(ring, ring->head)->position.commit_lsn.value !=
                                 out->position.commit_lsn.value
                           : ring->whole >= ring->head;
    }
    taken.whole = ring->whole >= ring->head;
    taken.empty = ring->head == ring->tail && ring->pending_count == 0;
    /* Waking at half, not at the first free slot: one wake-up then buys many pushes. */
    bool half_free = ring->tail - ring->head <= ring->limits.events_max / 2 &&
                     ring->bytes <= ring->limits.bytes_max / 2;
    if (half_free && atomic_load_explicit(&ring->reader_waits, memory_order_relaxed)) {
        atomic_store_explicit(&ring->reader_waits, false, memory_order_relaxed);
        taken.wake_reader = true;
    }
    (void)pthread_mutex_unlock(&ring->lock); /* cannot fail: we hold it */
    return taken;
}

bool ring_taken_is_whole(struct ring *ring)
{
    (void)pthread_mutex_lock(&ring->lock); /* cannot fail: a plain mutex that we do not hold */
    bool whole = ring->whole >= ring->head;
    (void)pthread_mutex_unlock(&ring->lock); /* cannot fail: we hold it */
    return whole;
}

uint64_t ring_discard(struct ring *ring)
{
    (void)pthread_mutex_lock(&ring->lock); /* cannot fail: a plain mutex that we do not hold */
    uint64_t count = ring->tail - ring->head;
    for (; ring->head < ring->tail; ring->head++) {
        change_release(ring_slot(ring, ring->head));
    }
    ring->bytes = 0;
    ring->whole = ring->head;
    ring->run_open = false;
    ring->pending_count = 0; /* rows are in the list or the store, and markers are sent again */
    (void)pthread_mutex_unlock(&ring->lock); /* cannot fail: we hold it */
    return count;
}

void ring_set_had(struct ring *ring, const struct ring_had *had, size_t takers_count)
{
    (void)pthread_mutex_lock(&ring->lock); /* cannot fail: a plain mutex that we do not hold */
    FAN_ASSERT(takers_count <= RING_TAKERS_MAX && ring->pending_count == 0);
    ring->run_open = false;
    memcpy(ring->had, had, takers_count * sizeof(*had));
    ring->takers_count = takers_count;
    (void)pthread_mutex_unlock(&ring->lock); /* cannot fail: we hold it */
}

size_t ring_gaps(struct ring *ring, struct ring_gap ret_gaps[RING_GAPS_MAX])
{
    (void)pthread_mutex_lock(&ring->lock); /* cannot fail: a plain mutex that we do not hold */
    size_t count = ring->gaps_count;
    for (size_t index = 0; index < count; index++) {
        ret_gaps[index] = ring->gaps[index];
    }
    (void)pthread_mutex_unlock(&ring->lock); /* cannot fail: we hold it */
    return count;
}

void ring_gaps_persisted(struct ring *ring, const struct ring_gap *gaps, size_t count)
{
    (void)pthread_mutex_lock(&ring->lock); /* cannot fail: a plain mutex that we do not hold */
    uint32_t kept = 0;
    for (uint32_t index = 0; index < ring->gaps_count; index++) {
        bool same = index < count && gaps[index].serial == ring->gaps[index].serial &&
                    gaps[index].range.count == ring->gaps[index].range.count;
        if (!same) {
            ring->gaps[kept++] = ring->gaps[index];
        }
    }
    ring->gaps_count = kept;
    (void)pthread_mutex_unlock(&ring->lock); /* cannot fail: we hold it */
}

void ring_depth(struct ring *ring, struct ring_depth *ret_depth)
{
    (void)pthread_mutex_lock(&ring->lock); /* cannot fail: a plain mutex that we do not hold */
    *ret_depth = (struct ring_depth){
        .events = ring->tail - ring->head,
        .bytes = ring->bytes,
        .dropped = ring->dropped,
        .gaps = ring->gap_serial,
        .oldest_commit_us =
            ring->tail > ring->head ? ring_slot(ring, ring->head)->commit_time_us : 0,
    };
    (void)pthread_mutex_unlock(&ring->lock); /* cannot fail: we hold it */
}
