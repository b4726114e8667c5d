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
#include "engine/letterbox.h"
#include "engine/persist.h"
#include "tests/sim/notes.h"
#include "tests/sim/slot.h"
#include "tests/sim/wal.h"

enum { PIPELINES_MAX = 4, TARGETS_MAX = 3, FAULT_TEXT_MAX = 256 };

/* What an event is for one target, as bits. */
enum {
    FLAG_DURABLE = 1,     /* it is there now */
    FLAG_SEEN = 2,        /* it was there once */
    FLAG_GAP = 4,         /* a durable gap row covers it */
    FLAG_MARKED = 8,      /* a marker in the target's stream stands for it */
    FLAG_POISON = 16,     /* a letter of that cause, committed */
    FLAG_PARKED = 32,     /* the same */
    FLAG_ISOLATED = 64,   /* the same */
    FLAG_SPILL = 128,     /* in a record of its spill that was synced */
    FLAG_CONVICTED = 256, /* the target has refused it alone, or by name */
    FLAG_MENDED = 512,    /* the target was mended, and would take it now */
    FLAG_LETTER = 1024,   /* it was poison or parked once */
    FLAG_DROPPED = 2048,  /* a letter that the caps gave up: a gap row, and no marker */
    /* What a checkpoint may cover; and what an acknowledgement may, too. */
    FLAGS_DONE = FLAG_DURABLE | FLAG_GAP | FLAG_POISON | FLAG_PARKED,
    FLAGS_SETTLED = FLAGS_DONE | FLAG_ISOLATED | FLAG_SPILL,
};

enum { ENTRY_GAP = 1u << 31 };

/* One thing that a target has: an event, or the marker of a gap that ends there. */
struct entry {
    uint32_t event; /* index in the wal; with ENTRY_GAP: a marker */
    bool batch_end;
};

struct live_target;
struct asks;
struct sim_replay;
struct target_type;

/* One event as a spill and a letter keep it. */
struct kept_event {
    struct batch_event event; /* without its relation */
    uint8_t *bytes;           /* owned; of one format */
    size_t size;
    uint8_t *label; /* owned */
    size_t label_size;
};

struct disk_record {
    struct kept_event *events; /* owned */
    size_t count;
    size_t bytes;
    enum txn_part part;
    unsigned segment;
};

/* What the spill of one target has on its disk. */
struct disk {
    struct disk_record *records; /* owned; what was trimmed is zeroed */
    size_t first;                /* records [first, count) are there */
    size_t count;
    size_t capacity;
    size_t synced; /* those before it survive a crash */
    unsigned segment;
    struct spill *open; /* of the running engine, or NULL */
};

/* The far side of one target: what it keeps when the engine dies. */
struct outside {
    struct world *world; /* borrowed, as the rest */
    size_t pipeline;
    size_t target;
    uint16_t *flags; /* owned; one per event */
    size_t flags_count;
    struct entry *log; /* owned; entries [0, durable) survive, the others are on their way */
    size_t log_count;
    size_t log_capacity;
    size_t durable;
    size_t verified;                /* events before it were checked against confirmed positions */
    size_t verified_marked;         /* and against checkpoints */
    size_t asked;                   /* events before it were settled when it was asked in order */
    struct fan_position checkpoint; /* in the vault */
    struct fan_position settled;    /* the same */
    unsigned retries_left;
    int64_t down_until_us;    /* an outage: nothing works */
    bool unmarked;            /* the marker of some gap was given up as a letter */
    size_t ordered;           /* events before it are where order no longer matters */
    struct live_target *live; /* of the running engine, or NULL */
    struct asks *asks;        /* the same, of type asks */
    struct disk disk;
};

struct letter {
    int64_t number;
    int64_t last_us; /* last attempt */
    size_t pipeline;
    size_t target;
    size_t index; /* in the wal; of a marker: of the event that it ends at */
    enum deadletter_cause cause;
    struct kept_event kept;
};

enum { VAULT_JOBS_MAX = 64 };

/* One of them is set; borrowed while it is under way. */
struct vault_job {
    struct persist_job *persist;
    struct letter_job *letters;
    struct sim_replay *replay; /* its fates */
};

/* The store's disk. */
struct vault {
    struct persister persister; /* first: what a reader is given */
    struct letterbox letterbox; /* what pipelines are given */
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
    struct letter *letters; /* owned; by place and position */
    size_t letters_count;
    size_t letters_capacity;
    int64_t number;   /* of the letter added last */
    int64_t given_up; /* rows of letters that the caps gave up */
    struct deadletter_caps caps;
    int64_t full_until_us;                 /* of the letters: somebody else's take the room */
    struct vault_job jobs[VAULT_JOBS_MAX]; /* in the order of their posting */
    size_t jobs_count;
    bool job_written; /* the first is on disk, and its sender does not know */
    int64_t due_us;   /* of the first */
    unsigned failures_left;
    int64_t failed_us; /* when it last failed */
};

/* One pipeline of the conf. */
struct plan {
    bool present;
    struct settings_pipeline settings;
    struct settings_target targets[TARGETS_MAX];
    char names[TARGETS_MAX + 1][8];
    char *tables[WAL_SUBJECTS];
    char *messages[1];
    uint64_t poison_one_in[TARGETS_MAX]; /* events that the target never takes; 0: none */
    unsigned subjects;                   /* bit per table, and one for messages */
    struct fan_lsn begin;                /* what commits before it is not its business */
    bool frozen;                         /* an operator was told that nothing more is delivered */
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
    bool replays_all;  /* in the end an operator replays every letter */
    int64_t disk_us;   /* when a spill last failed */
    struct wal wal;
    struct server server;
    struct vault vault;
    struct settings_source source; /* its slot guard */
    char *guard_steps[3];
    bool guard_detaches;
    struct plan plans[PIPELINES_MAX];
    struct outside outside[PIPELINES_MAX][TARGETS_MAX];
    struct process *process; /* owned; NULL: not running */
    uint64_t steps;
    uint64_t crashes;
    bool failed;
    char fault[FAULT_TEXT_MAX]; /* the first broken rule */
};

/* That of the history at hand, for what stands in for functions without a context. */
extern struct world *sim_world;

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
/* Whether the target does not take the event, unless it is mended. */
bool plan_poisons(const struct world *world, size_t pipeline, size_t target, size_t event);
/* Whether the conf lets the target lose events. */
bool plan_may_lose(const struct world *world, const struct plan *plan, size_t target);
/* The caps of the dead letters of a history. */
void plan_caps(struct world *world);
/* The slot's guard of a history. */
void plan_guard(struct world *world);

/* ---- vault.c ---- */

void vault_init(struct vault *vault, struct world *world);
void vault_release(struct vault *vault);
/* Writes or fails the job that is due. Returns when to come back. */
int64_t vault_step(struct vault *vault);
/* The process is gone: a job that is not written never will be. */
void vault_crash(struct vault *vault);
void vault_forget(struct vault *vault, size_t pipeline);
void vault_put_gap(struct vault *vault, const struct store_gap *row);
/* Queues what a replay has come to. */
void vault_settle(struct vault *vault, struct sim_replay *replay);

/* ---- letters.c: the dead letters; the rest of it is deadletter/deadletter.h ---- */

/* Queued like the others, and run by the vault. */
void letters_run(struct vault *vault, struct letter_job *job);
void letters_forget(struct vault *vault, size_t pipeline);
void letters_release(struct vault *vault);

/* ---- replay.c: the store's side of it; the rest is in process.h ---- */

/* Tells the store what became of each letter. */
void replay_settle(struct sim_replay *replay);
/* Whether that was written is known; the last use of it. */
void replay_settled(struct sim_replay *replay, bool written);

/* ---- spill.c: spills on a disk in memory; the rest of it is buffer/spill.h ---- */

/* Nothing but what was synced is sure to survive. */
void disk_crash(struct outside *outside);
void disk_release(struct disk *disk);
struct kept_event kept_copy(const struct batch_event *event, const uint8_t *bytes, size_t size,
                            const uint8_t *label, size_t label_size);
void kept_release(struct kept_event *kept);

/* ---- outside.c: scripted targets ---- */

void outside_init(struct outside *outside, struct world *world, size_t pipeline, size_t target);
void outside_release(struct outside *outside);
/* Lets something become durable, be reported, get lost. Returns when to come back. */
int64_t outside_step(struct outside *outside);
int64_t outside_due_us(const struct outside *outside);
uint16_t *outside_flag(struct outside *outside, size_t event);
/* The event is no longer there: if it was confirmed, it has to be in another place. */
void outside_lose(struct outside *outside, size_t event, uint16_t flag, const char *how);
/* The event at that position; fails the history when there is none. */
size_t outside_event(struct outside *outside, struct fan_position position);
/* Whether the pipeline has to bring this event. */
bool outside_wants(const struct outside *outside, size_t event);
static inline bool outside_is_down(const struct outside *outside)
{
    return outside->down_until_us > outside->world->now_us;
}

/* Whether these are the bytes of the event as the target's conf asks for them. */
bool outside_is_own_format(const struct outside *outside, size_t event, const uint8_t *bytes,
                           size_t size);
/* Whether event `index` of the batch is that of the wal. */
bool outside_is_same(const struct batch *batch, size_t format, size_t index,
                     const struct outside *outside, size_t event);

/* ---- asks.c: scripted targets that answer ---- */

extern const struct target_type asks_type;

int64_t asks_step(struct outside *outside);
int64_t asks_due_us(const struct outside *outside);

/* ---- check.c ---- */

const char *check_status(void *context, const struct link_status *status);
const char *check_start(void *context, struct fan_lsn start);
/* The letters up to there are to be removed. */
void check_removal(struct outside *outside, size_t event, uint16_t flag, const char *what);
/* What a job would put on disk, before it is there. */
void check_job(struct world *world, const struct persist_job *job);
/* The engine's insides, after every step. */
void check_step(struct world *world);
/* The end: everything delivered, all sums right. */
void check_end(struct world *world);

#endif
