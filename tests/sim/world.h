/*
 * world.h - everything of one history: the primary, the store's disk, the targets' far sides, the
 * conf, and the engine that runs between them or does not.
 *
 * The engine is a struct process made of the product's object files. A crash throws it away; what
 * is outside of it stays as it was. Everybody who acts has a due time; the seed decides who comes
 * first among those that are due.
 *
 * Ownership:  the world owns everything; processes borrow from it.
 * Threading:  one thread.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "base/rng.h"
#include "conf/settings.h"
#include "engine/persist.h"
#include "tests/sim/notes.h"
#include "tests/sim/slot.h"
#include "tests/sim/wal.h"

enum { PIPELINES_MAX = 4, TARGETS_MAX = 3, FAULT_TEXT_MAX = 256 };

/* What an event is for one target, as bits. */
enum {
    FLAG_DURABLE = 1, /* stands in its log now */
    FLAG_SEEN = 2,    /* stood there once */
    FLAG_GAP = 4,     /* a durable gap row covers it */
    FLAG_MARKED = 8,  /* a marker in the target's stream stands for it */
};

enum { ENTRY_GAP = 1u << 31 };

/* One thing that a target has: an event, or the marker of a gap that ends there. */
struct entry {
    uint32_t event; /* index in the wal; with ENTRY_GAP: a marker */
    bool batch_end;
};

struct live_target;

/* The far side of one target: what it keeps when the engine dies. */
struct outside {
    struct world *world; /* borrowed, as the rest */
    size_t pipeline;
    size_t target;
    uint8_t *flags; /* owned; one per event */
    size_t flags_count;
    struct entry *log; /* owned; entries [0, durable) survive, the others are on their way */
    size_t log_count;
    size_t log_capacity;
    size_t durable;
    size_t verified;                /* events before it were checked against confirmed positions */
    size_t verified_marked;         /* and against checkpoints */
    struct fan_position checkpoint; /* in the vault */
    unsigned retries_left;
    struct live_target *live; /* of the running engine, or NULL */
};

/* The store's disk. */
struct vault {
    struct persister persister; /* first: what a reader is given */
    struct world *world;
    bool has_source;
    struct store_source source;
    bool has_checkpoint[PIPELINES_MAX][TARGETS_MAX];
    struct store_checkpoint checkpoints[PIPELINES_MAX][TARGETS_MAX];
    bool has_pipeline[PIPELINES_MAX];
    struct store_pipeline pipelines[PIPELINES_MAX];
    struct store_gap *gaps; /* owned */
    size_t gaps_count;
    size_t gaps_capacity;
    struct persist_job *job; /* borrowed while it is under way */
    bool job_written;        /* it is on disk, and its sender does not know */
    int64_t due_us;
    unsigned failures_left;
};

/* One pipeline of the conf. */
struct plan {
    bool present;
    struct settings_pipeline settings;
    struct settings_target targets[TARGETS_MAX];
    char names[TARGETS_MAX + 1][8];
    char *tables[WAL_SUBJECTS];
    char *messages[1];
    unsigned subjects;    /* bit per table, and one for messages */
    struct fan_lsn begin; /* what commits before it is not its business */
    bool frozen;          /* an operator was told that nothing more is delivered */
    bool counted_over;
    uint64_t given_batches;
};

struct process;

struct world {
    uint64_t seed;
    struct rng rng;
    struct notes notes;
    int64_t now_us;
    int64_t jumped_us; /* when time last jumped */
    bool flaky;        /* faults happen */
    uint64_t calm;     /* how much rarer the small ones are in this history */
    bool crashing;     /* the engine is being thrown away */
    struct wal wal;
    struct server server;
    struct vault vault;
    struct plan plans[PIPELINES_MAX];
    struct outside outside[PIPELINES_MAX][TARGETS_MAX];
    struct process *process; /* owned; NULL: not running */
    uint64_t steps;
    uint64_t crashes;
    bool failed;
    char fault[FAULT_TEXT_MAX]; /* the first broken rule */
};

/* The history has failed; the first reason stays. */
void world_fail(struct world *world, const char *format, ...) FAN_PRINTF(2, 3);

static inline bool world_chance(struct world *world, uint64_t one_in)
{
    return rng_below(&world->rng, one_in) == 0;
}

/* A chance that exists only while faults happen. */
static inline bool world_mishap(struct world *world, uint64_t one_in)
{
    return world->flaky && world_chance(world, one_in * world->calm);
}

static inline void world_note(struct world *world, const char *what, uint64_t first,
                              uint64_t second, uint64_t third)
{
    notes_add(&world->notes, world->now_us, what, first, second, third);
}

/* ---- plan.c: the conf ---- */

void plan_make(struct world *world, size_t index);
/* Other sizes and limits for the same pipeline. */
void plan_tune(struct world *world, size_t index);
static inline bool plan_wants(const struct plan *plan, const struct wal_event *event)
{
    return (plan->subjects >> event->table & 1) != 0;
}

/* ---- vault.c ---- */

void vault_init(struct vault *vault, struct world *world);
void vault_release(struct vault *vault);
/* Writes or fails the job that is due. Returns when to come back. */
int64_t vault_step(struct vault *vault);
/* The process is gone: a job that is not written never will be. */
void vault_crash(struct vault *vault);
void vault_forget(struct vault *vault, size_t pipeline);

/* ---- outside.c: scripted targets ---- */

void outside_init(struct outside *outside, struct world *world, size_t pipeline, size_t target);
void outside_release(struct outside *outside);
/* Lets something become durable, be reported, get lost. Returns when to come back. */
int64_t outside_step(struct outside *outside);
int64_t outside_due_us(const struct outside *outside);
uint8_t *outside_flag(struct outside *outside, size_t event);

/* ---- check.c ---- */

const char *check_status(void *context, const struct link_status *status);
const char *check_start(void *context, struct fan_lsn start);
/* What a job would put on disk, before it is there. */
void check_job(struct world *world, const struct persist_job *job);
/* The engine's insides, after every step. */
void check_step(struct world *world);
/* The end: everything delivered, all sums right. */
void check_end(struct world *world);

#endif
