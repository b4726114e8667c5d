/*
 * ring.h - the bounded queue between a source's reader and one pipeline.
 *
 * The reader pushes changes into slots that only it sees, and publishes a whole burst at once; the
 * pipeline takes many at a time. So the lock is taken once per burst and once per take, never per
 * change (but for drop_oldest while the ring is full).
 *
 *     head             tail            staged
 *      │ taken from here │ visible up to │ pushed, not published yet
 *      ▼                 ▼               ▼
 *   ───┬─────────────────┬───────────────┬───
 *
 * INVARIANTS  (1) head <= tail <= staged <= head + events_max.
 *             (2) bytes of [head, staged) <= bytes_max, unless a single change is larger: it is
 *                 admitted when nothing else is queued.
 *             (3) `whole` <= tail: entries before it belong to complete transactions.
 *             (4) positions strictly increase from head to staged; a gap stands before head.
 *             (5) only queued changes are dropped, oldest first, never taken ones.
 *             (6) every run and every marker is, for each taker, as a whole among what is settled
 *                 from before, as a whole among what was given besides, or as a whole new.
 * Ownership:  a queued change belongs to the ring, a taken one to the caller.
 * Threading:  ring_push, ring_commit, ring_publish and the gap functions by the reader's thread;
 *             ring_take and ring_discard by the worker that owns the pipeline; ring_depth by any.
 * Limits:     events_max and bytes_max, given at init. Full: by policy.
 */
#ifndef BUFFER_RING_H
#define BUFFER_RING_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "model/change.h"

enum ring_policy {
    RING_BLOCK,       /* a full ring holds the reader */
    RING_DROP_OLDEST, /* the oldest queued change goes and leaves a gap */
    RING_ERROR,       /* a full ring fails the pipeline */
};

struct ring_limits {
    uint32_t events_max;
    uint64_t bytes_max;
    enum ring_policy policy;
};

enum { RING_GAPS_MAX = 256, RING_TAKERS_MAX = 64 };

/* What one of those that the changes are for has of what comes again, and so skips. */
struct ring_had {
    struct fan_position settled; /* for ever */
    struct fan_position given;   /* unless there is a crash before that is settled, too */
};

/* A run of dropped changes that the store has to know before an ack may pass it. */
struct ring_gap {
    struct change_gap range;
    struct fan_lsn hold_lsn; /* of the first dropped change */
    uint64_t serial;         /* 1, 2, 3 ... per ring: the identity of the run */
    uint64_t had;            /* a bit for each taker that was given all of it before */
};

/* What ring_take() hands out as a change: everything that was dropped there. It holds several runs
 * when markers of earlier ones were dropped between them. */
struct ring_marker {
    struct change_gap range;
    struct fan_lsn hold_lsn;
};

/* Under drop_oldest: a full ring with so many runs that the store does not know drops no more
 * until it knows them; see ring_may_push(). */

struct ring {
    struct ring_limits limits;
    struct change *slots; /* owned; events_max rounded up to a power of two */
    uint64_t slots_mask;

    /* The reader's own. */
    uint64_t staged;
    uint64_t staged_whole;
    uint64_t room_events; /* at least so many more fit, as far as the reader knows */
    uint64_t room_bytes;
    uint64_t staged_bytes; /* of [tail, staged) */

    _Atomic bool reader_waits; /* the reader wants to be woken when there is room */

    pthread_mutex_t lock; /* guards what follows */
    uint64_t head;
    uint64_t tail;
    uint64_t whole;
    uint64_t bytes; /* of [head, tail) */
    /* Runs of dropped changes that the store does not know as they are, oldest first. The last
     * one is `run` while that still grows. */
    struct ring_gap gaps[RING_GAPS_MAX];
    uint32_t gaps_count;
    bool run_open;
    struct ring_gap run; /* valid while run_open */
    uint64_t gap_serial;
    /* Handed out before head, oldest first; the last one grows. */
    struct ring_marker pending[2 * RING_TAKERS_MAX + 1];
    size_t pending_count;
    struct ring_had had[RING_TAKERS_MAX];
    size_t takers_count;
    uint64_t dropped; /* since init */
};

enum fan_status ring_init(struct ring *ring, struct ring_limits limits,
                          struct fan_error *reterr) FAN_MUST_CHECK;
/* Releases queued changes. Accepts a zeroed ring. */
void ring_release(struct ring *ring);

/*
 * Whether a change of `size` bytes (change_size()) could be pushed now without dropping. When it
 * could not, the reader is woken through ring_take()'s result once there is room again.
 */
bool ring_has_room(struct ring *ring, size_t size);

/* Whether the reader waits for room; any thread. */
static inline bool ring_reader_waits(const struct ring *ring)
{
    return atomic_load_explicit(&ring->reader_waits, memory_order_relaxed);
}

/*
 * Whether a change of `size` bytes may be pushed now under the ring's policy; false means that the
 * reader has to wait. Under block as ring_has_room(). Under drop_oldest false while dropping would
 * need more runs than are kept for the store: each has to be in it before an ack passes it.
 */
bool ring_may_push(struct ring *ring, size_t size);

/*
 * Takes the change over. FAN_AGAIN (block) or FAN_FATAL (error) when the ring is full; nothing is
 * taken then. drop_oldest always takes it.
 */
enum fan_status ring_push(struct ring *ring, struct change *change) FAN_MUST_CHECK;

/* Everything pushed so far belongs to complete transactions. */
static inline void ring_commit(struct ring *ring)
{
    ring->staged_whole = ring->staged;
}

/* Makes pushed changes and completed transactions visible. Returns whether anything is new. */
bool ring_publish(struct ring *ring);

struct ring_taken {
    size_t count;
    bool whole;       /* the last change taken ends its transaction */
    bool empty;       /* nothing visible is left */
    bool wake_reader; /* the reader waited for room and there is some now */
};

/*
 * Moves up to `max` changes to `ret_changes`, a gap before them as a change of op CHANGE_GAP.
 * Sets change->txn_end where the next change of another transaction is already known.
 */
struct ring_taken ring_take(struct ring *ring, struct change *ret_changes, size_t max);

/* Whether everything taken so far belongs to complete transactions. */
bool ring_taken_is_whole(struct ring *ring);

/* Drops everything visible without a gap: the changes will be read again from the slot. Returns
 * how many there were. The reader must not push meanwhile. */
uint64_t ring_discard(struct ring *ring);

/* What the takers have from before; of a ring that is empty, by the worker that owns the pipeline. */
void ring_set_had(struct ring *ring, const struct ring_had *had, size_t takers_count);

/* Copies the runs of drops that were not collected yet, up to RING_GAPS_MAX, and keeps them. */
size_t ring_gaps(struct ring *ring, struct ring_gap ret_gaps[RING_GAPS_MAX]);
/* The store has them as they were: forgets those that have not grown since. */
void ring_gaps_persisted(struct ring *ring, const struct ring_gap *gaps, size_t count);

struct ring_depth {
    uint64_t events;
    uint64_t bytes;
    uint64_t dropped;
    uint64_t gaps;
    int64_t oldest_commit_us; /* 0: empty or unknown */
};

void ring_depth(struct ring *ring, struct ring_depth *ret_depth);

#endif
