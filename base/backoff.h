/*
 * backoff.h - waits that grow: base, twice, four times ... up to a maximum, with jitter.
 *
 * The wait before attempt n is drawn from [half, whole] of base * 2^(n-1), so that many clients of
 * one server do not come back at the same moment and no wait is zero.
 */
#ifndef BASE_BACKOFF_H
#define BASE_BACKOFF_H

#include <stdint.h>

#include "base/rng.h"

struct backoff {
    int64_t base_us;
    int64_t max_us;
    uint32_t failures; /* since the last success */
};

static inline void backoff_reset(struct backoff *backoff)
{
    backoff->failures = 0;
}

/* Counts a failure and returns how long to wait before the next attempt, in microseconds. */
static inline int64_t backoff_next_us(struct backoff *backoff, struct rng *rng)
{
    uint32_t shift = backoff->failures < 30 ? backoff->failures : 30;
    backoff->failures++;
    int64_t whole =
        backoff->base_us > (backoff->max_us >> shift) ? backoff->max_us : backoff->base_us << shift;
    return whole - (int64_t)rng_below(rng, (uint64_t)whole / 2 + 1);
}

#endif
