/*
 * courier.h - brings one batch to an answering target: lanes, retries, halving, verdicts.
 *
 *     courier_begin(batch) -> { courier_send | courier_answer }* -> courier_done -> courier_end
 *
 * Every event of the batch gets one fate. A request that the target will not take (FAN_POISON) is
 * halved, and the halves again, until single events stand alone; only an event that failed alone is
 * convicted, or one that the target named. A request that it cannot take now (FAN_RETRY) is sent
 * again as it is, after a growing wait: a passing failure convicts nobody.
 *
 * With more than one lane, events are spread by their label, so that those of one key stay in
 * order, and lanes are sent beside each other. A truncate, a message, a gap, an event without a key
 * and a change of the key are barriers: everything before them is settled first.
 *
 * INVARIANTS  (1) an event is in at most one open request.
 *             (2) events of one key are sent in their order; within a lane one request is open.
 *             (3) a fate is final.
 * Ownership:  target, pool and hooks are borrowed. The courier holds a reference to its batch, and
 *             lends its answers to the target until they come back or courier_abandon().
 * Threading:  the worker that owns the pipeline.
 * Limits:     COURIER_LANES_MAX lanes. Memory for one batch: five bytes an event.
 */
#ifndef ENGINE_COURIER_H
#define ENGINE_COURIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/backoff.h"
#include "base/status.h"
#include "model/batch.h"
#include "targets/target.h"

enum { COURIER_LANES_MAX = 64, COURIER_DEPTH_MAX = 40 };

enum fate {
    FATE_PENDING = 0, /* not settled */
    FATE_DELIVERED,
    FATE_POISON, /* convicted */
    FATE_PARKED, /* a convicted event of its key comes before it */
};

/* Events [begin, end) of the courier's order. */
struct courier_range {
    uint32_t begin;
    uint32_t end;
};

struct courier_lane {
    struct courier_range ranges[COURIER_DEPTH_MAX]; /* to be sent, the next one last */
    size_t depth;
    uint32_t failures; /* in a row, of the same range */
    bool open;         /* `sent` is with the target */
    struct batch *sent;
    struct answer answer;
};

/* How the courier reaches its owner. */
struct courier_hooks {
    /* Whether an earlier event of this one's key was convicted: then it is parked. May be NULL. */
    bool (*is_parked)(void *context, const struct batch *batch, size_t event);
    /* The event is convicted; later events of its key are asked for with is_parked(). False:
     * nobody keeps it, so it stays pending, and the target cannot go on (`fatal`). */
    bool (*convict)(void *context, const struct batch *batch, size_t event, uint32_t attempts,
                    const struct fan_error *error);
    void (*parked)(void *context, const struct batch *batch, size_t event);
    /* Whether another request may go out; asked once everything before it has its fate. Whoever says no
     * calls courier_send() again. May be NULL. */
    bool (*may_send)(void *context);
    /* `count` events from `first` to `last` have failed `failures` times in a row, and are sent again
     * after `wait_us`; courier.error says why. May be NULL. */
    void (*waits)(void *context, size_t first, size_t last, size_t count, uint32_t failures,
                  int64_t wait_us);
    void *context;
};

struct courier {
    struct target *target;
    uint32_t index; /* of the target in its pipeline */
    struct batch_pool *pool;
    size_t format;
    struct courier_hooks hooks;
    struct backoff backoff;
    struct courier_lane *lanes; /* owned */
    size_t lanes_count;
    bool again; /* the batch holds dead letters, which the target is told */
    bool whole; /* transactions are never taken apart; needs a single lane. Set before the first
                   batch. */

    struct batch *batch;    /* a reference; NULL: nothing to do */
    uint32_t *order;        /* owned: the events of the segment, lane by lane */
    uint8_t *fates;         /* owned: enum fate of each event */
    size_t capacity;        /* of both, events */
    size_t segment_end;     /* events before it are in this or an earlier segment */
    size_t open_count;      /* requests that the target has */
    int64_t retry_at_us;    /* nothing is sent before; 0: no wait */
    uint32_t attempts;      /* the most failures in a row of a lane */
    bool fatal;             /* the target cannot work: nothing more is sent; see `error` */
    struct fan_error error; /* of the last failure; text "" after a success */
    uint64_t sends;         /* requests since init, for tests and metrics */
    uint64_t retries;       /* of them, those that have to be sent again */
    uint64_t successes;     /* answers since init that took something */
};

enum fan_status courier_init(struct courier *courier, struct target *target, uint32_t index,
                             struct batch_pool *pool, size_t format, size_t lanes_count,
                             struct backoff backoff, struct courier_hooks hooks,
                             struct fan_error *reterr) FAN_MUST_CHECK;
/* The target has been stopped. Accepts a zeroed courier. */
void courier_release(struct courier *courier);

static inline bool courier_idle(const struct courier *courier)
{
    return courier->batch == NULL;
}

/* Takes a reference to the batch, of which events before `first` count as delivered. FAN_RETRY when
 * memory is out; nothing is taken then. */
enum fan_status courier_begin(struct courier *courier, struct batch *batch, size_t first,
                              struct fan_error *reterr) FAN_MUST_CHECK;

/* Sends what may be sent now. */
void courier_send(struct courier *courier, struct rng *rng, int64_t now_us);

/* Takes an answer of the target. `answer->failed` is freed. */
void courier_answer(struct courier *courier, struct answer *answer, struct rng *rng,
                    int64_t now_us);

/* Whether every event has its fate. */
bool courier_done(const struct courier *courier);

/* The target has been stopped: no answer will come. What was with it is pending again. */
void courier_abandon(struct courier *courier);

/* Lets the batch go, whatever the fates. No request may be open. */
void courier_end(struct courier *courier);

bool courier_has_pending(const struct courier *courier);
/* A batch of the pending events, in their order, with one reference; NULL when memory is out, or
 * when nothing is pending. The batch itself where every event is. The courier goes on. */
struct batch *courier_rest(struct courier *courier);

/* Forgets the failures so far: the next send comes at once. */
void courier_encourage(struct courier *courier);

#endif
