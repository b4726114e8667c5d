/*
 * rng.h - a small seeded generator for jitter and simulation. Not for secrets.
 *
 * SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014): the
 * same seed gives the same sequence on every machine.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline struct rng rng_seeded(uint64_t seed)
{
    return (struct rng){.state = seed};
}

static inline uint64_t rng_next(struct rng *rng)
{
    uint64_t mixed = (rng->state += 0x9e3779b97f4a7c15u);
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

/* A number below `limit`, or 0 when limit is 0. The bias is below limit / 2^64. */
static inline uint64_t rng_below(struct rng *rng, uint64_t limit)
{
    return limit == 0 ? 0 : (uint64_t)(((unsigned __int128)rng_next(rng) * limit) >> 64);
}

#endif
