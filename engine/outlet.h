/*
 * outlet.h - one target of a pipeline, and what is under way to it.
 *
 * The window is the list of batches that the target has accepted and not yet settled, oldest
 * first. It holds positions only; the target keeps a reference to the batch if it needs the bytes.
 *
 * Threading:  the worker that owns the pipeline; the counters are read by any thread.
 * Limits:     the window has WINDOW_MAX entries, then the outlet answers OFFER_WAIT.
 */
#ifndef ENGINE_OUTLET_H
#define ENGINE_OUTLET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/backoff.h"
#include "base/status.h"
#include "model/batch.h"
#include "targets/target.h"

enum { WINDOW_MAX = 4096 };

struct window_entry {
    struct fan_position last;
    struct fan_lsn first_hold;
    int64_t first_commit_us;
    uint64_t events;
    uint64_t bytes;
};

/* Written by the worker only, read by anybody. */
struct outlet_counters {
    _Atomic uint64_t delivered;
    _Atomic uint64_t already;
    _Atomic uint64_t bytes;
    _Atomic uint64_t batches;
    _Atomic uint64_t retries;
    _Atomic uint64_t inflight_batches;
    _Atomic uint64_t inflight_bytes;
    _Atomic int64_t retry_at_us;
    _Atomic int64_t settled_wall_us;
};

struct outlet {
    const char *pipeline; /* names, borrowed */
    const char *name;
    struct target *target; /* owned */
    size_t format;
    uint64_t max_inflight; /* batches; 0: the target's own byte window */
    bool started;
    struct target_checkpoint settled;
    struct fan_position given; /* the furthest accepted position */
    uint64_t moves;            /* of `settled` */
    struct backoff backoff;
    int64_t retry_at_us;         /* 0: none is waiting */
    struct window_entry *window; /* owned ring of WINDOW_MAX */
    uint64_t window_head;
    uint64_t window_tail;
    struct outlet_counters counters;
    struct fan_error last_error; /* of the last failure; text "" when the last call went well */
};

enum offer { OFFER_ACCEPTED, OFFER_WAIT, OFFER_RETRY, OFFER_FATAL };

enum fan_status outlet_init(struct outlet *outlet, const char *pipeline, const char *name,
                            struct target *target, size_t format, uint64_t max_inflight,
                            struct backoff backoff, struct fan_error *reterr) FAN_MUST_CHECK;
/* Stops the target first if it is started. Accepts a zeroed outlet. */
void outlet_release(struct outlet *outlet);

/* Starts the target at its last settled place. See struct target_type for the statuses. */
enum fan_status outlet_start(struct outlet *outlet, struct fan_error *reterr) FAN_MUST_CHECK;
/* Stops the target and forgets what was under way. */
void outlet_stop(struct outlet *outlet);

/*
 * Offers the events of the batch that the target does not have yet. On OFFER_RETRY the outlet has
 * set retry_at_us; it answers OFFER_WAIT until then. `reterr` is filled for RETRY and FATAL.
 */
enum offer outlet_offer(struct outlet *outlet, struct batch *batch, struct rng *rng, int64_t now_us,
                        struct fan_error *reterr);

/* The target says that everything up to the checkpoint is durable. */
void outlet_settle(struct outlet *outlet, const struct target_checkpoint *checkpoint,
                   int64_t wall_us);

bool outlet_empty(const struct outlet *outlet);
/* Whether a batch may be cut for this target at once, without waiting for more events. */
bool outlet_idle(const struct outlet *outlet);
/* The oldest entry under way, or NULL. */
const struct window_entry *outlet_oldest(const struct outlet *outlet);

#endif
