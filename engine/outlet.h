/*
 * outlet.h - one target of a pipeline: what is under way to it, and what becomes of failures.
 *
 *                 ┌─ live ──────► window (positional) or courier (answering) ──► target
 *     offer ──────┤
 *                 └─ diverted ──► backlog ──► (when the target works) ──────────►   "
 *
 * A live outlet hands batches to its target and waits when it cannot. A diverted one puts them into
 * its backlog (backlog.h), from where the target gets them in order; once that is empty, at the end
 * of a transaction, the outlet is live again. Convicted events and those parked behind them become
 * dead letters.
 *
 * Three positions move forward: `given` was taken over from the pipeline; `checkpoint` is durable
 * at the target; `settled` is durable there, or in the backlog, or a dead letter, or in a gap.
 *
 * INVARIANTS  (1) checkpoint and settled never move backwards; settled <= given.
 *             (2) an event at or before `settled` is in exactly one of those places.
 *             (3) while diverted, nothing reaches the target but out of the backlog.
 * Ownership:  target, backlog and batches under way are owned; names and settings are borrowed.
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
#include "base/count.h"
#include "base/status.h"
#include "conf/settings.h"
#include "engine/backlog.h"
#include "engine/courier.h"
#include "engine/letterbox.h"
#include "engine/outcome_box.h"
#include "engine/parked.h"
#include "engine/retry_log.h"
#include "model/batch.h"
#include "targets/target.h"

enum { WINDOW_MAX = 4096, POISON_TIMES_MAX = 1000 };

struct window_entry {
    struct fan_position last;
    struct fan_lsn first_hold;
    int64_t first_commit_us;
    uint64_t events;
    uint64_t bytes;
    bool fed; /* out of the backlog */
};

/* Written by the worker only, read by anybody. Events but for `bytes`, `batches`, `retries`. */
struct outlet_counters {
    _Atomic uint64_t delivered;
    _Atomic uint64_t already; /* it had them before this run */
    _Atomic uint64_t letters; /* dead-lettered: convicted, or parked */
    _Atomic uint64_t gap;
    _Atomic uint64_t backlog; /* now in the backlog, about */
    _Atomic uint64_t kept;    /* went into the backlog in this run, but for gaps */
    _Atomic uint64_t fed; /* out of the backlog, delivered or dead-lettered: counted there, too */
    _Atomic uint64_t bytes;
    _Atomic uint64_t batches;
    _Atomic uint64_t retries;
    _Atomic uint64_t inflight_batches;
    _Atomic uint64_t inflight_bytes;
    _Atomic uint64_t parked_keys;
    _Atomic int64_t retry_at_us;
    _Atomic int64_t settled_wall_us;
    _Atomic int divert; /* enum backlog_kind */
    _Atomic bool circuit_open;
    _Atomic bool fatal;
};

/* Events of this run that are in one of the places where they count as settled. What an earlier run
 * left in the backlog is not among them. */
static inline uint64_t outlet_counters_settled(const struct outlet_counters *counters)
{
    return count_get(&counters->delivered) + count_get(&counters->already) +
           count_get(&counters->letters) + count_get(&counters->gap) + count_get(&counters->kept) -
           count_get(&counters->fed);
}

/* What the pipeline has to decide about, from bad to worse; the worst one stays until
 * outlet_take_trouble(). */
enum trouble {
    TROUBLE_NONE,
    TROUBLE_SPENT, /* the attempts are spent: the error policy */
    TROUBLE_FATAL, /* the target cannot work: the error policy, at once */
    TROUBLE_LOST,  /* events were lost from memory: they must be read again from the slot */
};

/* Letters on their way to the target once more; lives with who asked until `done`. */
struct replay {
    struct batch *batch; /* a reference; the outlet gives it back. In order of position. */
    /* Arrays of the asker, one entry an event. FATE_PARKED: an older letter of its key stays. */
    uint8_t *fates;
    struct fan_error *errors;            /* of FATE_POISON */
    bool stopped;                        /* the target is down: what is pending was not tried */
    struct fan_error error;              /* why it was stopped */
    void (*done)(struct replay *replay); /* called once, by the worker: the last use of it */
    void *context;                       /* the asker's own */
};

/* To the store: which keys have letters. */
struct parked_question {
    struct letter_job job;
    bool asked;          /* it is under way */
    uint64_t removals;   /* of the letterbox, before it */
    uint64_t letters;    /* the serial of the last one that was written before it */
    int64_t retry_at_us; /* it failed; 0: it did not */
};

struct outlet_setup {
    const struct settings_pipeline *settings;
    const struct settings_target *target_settings;
    struct target *target; /* taken, on success only */
    size_t format;
    size_t index;
    struct outcome_box *outcomes;
    struct batch_pool *pool;
    struct retry_log *retries; /* of the pipeline; borrowed */
    struct letterbox *letterbox;
    const struct encode_context *encode;
    struct io_executor *executor;
    uint64_t lane;         /* of the backlog's syncs */
    const char *directory; /* of the spill; copied */
    enum fan_status (*marker)(void *context, const struct change_gap *gap, struct batch **ret_batch,
                              struct fan_error *reterr);
    /* Whether the store has the gap of a marker at this position that was in a batch. */
    bool (*knows_drop)(void *context, struct fan_position position);
    /* As in backlog_setup. */
    bool (*may_gap)(void *context, const struct backlog *backlog, const struct change_gap *gap);
    void (*wake)(void *context);
    void *context;
};

struct outlet {
    const struct settings_pipeline *settings;
    const char *pipeline; /* names, borrowed */
    const char *name;
    struct target *target; /* owned */
    size_t format;
    size_t index;
    struct outcome_box *outcomes; /* borrowed: what the target posts */
    struct batch_pool *pool;
    struct retry_log *retries; /* borrowed */
    bool (*knows_drop)(void *context, struct fan_position position);
    bool counts; /* the commit policy waits for it */
    bool answering;
    bool in_order;         /* see target.h */
    bool transactions;     /* its events have marks, and an answering target gets whole ones */
    bool marks_apart;      /* but for those that no batch holds; see target.h */
    uint64_t max_inflight; /* batches; 0: the target's own byte window */
    char *directory;       /* owned */

    bool started;
    int64_t start_at_us;
    struct backoff start_backoff;
    uint32_t failures; /* of start or deliver, in a row */

    struct target_checkpoint checkpoint;
    struct fan_position settled;
    struct fan_position given;
    struct fan_position sent;          /* the last event that a positional target has accepted */
    struct fan_position persisted;     /* the checkpoint that the store has */
    struct fan_position kept_until;    /* where the last backlog or gap ended */
    int64_t gap_watch_us;              /* when a gap that is not in the store is shown again */
    struct fan_position passed;        /* events up to it are settled that the target never gets */
    struct fan_position refused_until; /* refused events up to it are letters, or on their way */
    const struct batch *apart;         /* is taken apart at the moment; to be compared only */
    struct fan_position given_up;      /* the last event that it will never get, in any run */
    uint64_t moves;                    /* of checkpoint, settled, divert and fatal */
    struct fan_lsn live_hold; /* hold LSN of the oldest event with the courier, of a live batch */
    int64_t live_commit_us;

    /* Positional. */
    struct backoff backoff;
    int64_t retry_at_us;         /* 0: none is waiting */
    struct window_entry *window; /* owned ring of WINDOW_MAX */
    uint64_t window_head;
    uint64_t window_tail;
    struct batch *feeding; /* owned: out of the backlog, not accepted yet */
    int64_t no_more_us;    /* it gets nothing more, so that it can be diverted; until then it has
                              time for what it has; 0: it is not to be diverted */

    /* Answering. */
    struct courier courier;
    bool from_backlog;          /* what the courier has */
    size_t first;               /* its events before this one are not counted */
    uint64_t counted_delivered; /* of its events, so far */
    uint64_t counted_letters;
    uint64_t rows_kept;          /* of its events, those that are in the backlog */
    int64_t busy_us;             /* since when it has that batch */
    uint64_t successes;          /* the courier's, as last seen */
    struct replay *replay;       /* what the courier has is this */
    struct parked replay_failed; /* keys of which a letter has failed in it */
    struct replay *replay_waiting;

    enum backlog_kind divert;
    bool fatal;        /* the target waits for an operator */
    bool circuit_open; /* attempts were spent, and nothing has succeeded since */
    struct backlog backlog;
    bool squeezed; /* what comes next had no room in the backlog */
    struct letter_writer letters;
    uint64_t letters_serial; /* of the last burial: the checkpoint does not pass it before */
    struct parked parked;
    uint64_t parked_removals; /* of the letterbox, which `parked` takes account of */
    struct parked_question parked_question;
    int64_t poison_us[POISON_TIMES_MAX]; /* of the last convictions, a ring */
    uint64_t poison_count;
    struct fan_lsn poison_txn;     /* the transaction that was counted last */
    struct change_gap gap_to_mark; /* count 0: none; shown before the next live batch */
    bool gap_taken;                /* the target has its marker, perhaps not durably */
    bool marker_waits;             /* it could not be written, and is asked for again */

    enum trouble trouble;
    struct fan_error error;      /* of the trouble */
    struct fan_error last_error; /* of the last failure; text "" when the last call went well */
    char shown_error[FAN_ERROR_TEXT_MAX]; /* as the mailbox has it */
    int64_t now_us;                       /* of the step at hand, for hooks */
    int64_t wall_us;
    struct outlet_counters counters;
};

enum offer { OFFER_ACCEPTED, OFFER_WAIT };

/* Of every call that may deliver. */
struct outlet_moment {
    bool may_deliver; /* false: nothing goes to the target, but to its backlog only */
    int64_t now_us;
    int64_t wall_us;
    struct rng *rng;
};

enum fan_status outlet_init(struct outlet *outlet, const struct outlet_setup *setup,
                            struct fan_error *reterr) FAN_MUST_CHECK;
/* Stops the target first if it is started. Accepts a zeroed outlet. */
void outlet_release(struct outlet *outlet);

/* Before the first step: what the store has of it. */
struct outlet_memory {
    struct target_checkpoint checkpoint;
    struct fan_position settled;
    bool fatal;
    uint64_t isolated; /* letters of cause `isolated` */
    struct fan_position isolated_last;
    struct change_gap *lost; /* owned; gap rows behind the checkpoint, in no order */
    size_t lost_count;
    size_t lost_capacity;
    struct fan_position given_up; /* the last event of any row of this target alone */
    struct parked parked;         /* owned until outlet_resume() takes it */
    bool starved;                 /* not every key and row could be kept */
};
/* A letter of cause `poison` or `parked` has this label. Returns whether to go on. */
bool outlet_memory_park(struct outlet_memory *memory, const uint8_t *label, size_t label_size,
                        struct fan_position position);
/* A gap row of this target; checkpoint and settled position are set before. `own`: not of the
 * pipeline's buffer. */
void outlet_memory_gap(struct outlet_memory *memory, const struct change_gap *gap, bool own);
/*
 * Whether a backlog that was found holds what only it has. If not, everything in it comes again
 * from the slot, while the target may have gone back to its checkpoint: the backlog is to be
 * removed before outlet_resume(), which does so with a spill.
 */
static inline bool outlet_memory_needs_backlog(const struct outlet_memory *memory)
{
    return position_compare(memory->settled, memory->checkpoint.position) > 0;
}
void outlet_memory_release(struct outlet_memory *memory);
enum fan_status outlet_resume(struct outlet *outlet, struct outlet_memory *memory,
                              struct fan_error *reterr) FAN_MUST_CHECK;

/* Stops the target and forgets what was under way to it; what is in the backlog stays. */
void outlet_stop(struct outlet *outlet, int64_t wall_us);

/* Takes over the events of the batch that it does not have yet, or waits. */
enum offer outlet_offer(struct outlet *outlet, struct batch *batch,
                        const struct outlet_moment *moment);

/* Starts the target, sends what may be sent, feeds it from the backlog, takes results of jobs.
 * Returns when to be called again. */
int64_t outlet_step(struct outlet *outlet, const struct outlet_moment *moment);

/* Takes what the target has posted. */
void outlet_take(struct outlet *outlet, const struct outlet_moment *moment);

/* The store has this checkpoint, and the gap of that serial as it was. */
void outlet_persisted(struct outlet *outlet, const struct target_checkpoint *checkpoint,
                      uint64_t gap_serial, uint64_t gap_count);

/*
 * From now on batches go to the backlog of that kind. What was under way goes there first, while an
 * answering target goes on with it; what a positional target had accepted is read again
 * (TROUBLE_LOST). `why` is shown with the letters. Without effect when it cannot be done now: look
 * at `divert`, and ask again.
 */
void outlet_divert(struct outlet *outlet, enum backlog_kind kind, const struct fan_error *why);

/*
 * Before a diversion of a target that works: true while it should still be given time to make
 * durable what it has accepted, because that would be read again otherwise. It gets nothing more
 * until it is diverted, or outlet_goes_on().
 */
bool outlet_settles_down(struct outlet *outlet, int64_t now_us);
static inline void outlet_goes_on(struct outlet *outlet)
{
    outlet->no_more_us = 0;
}

/* An operator says that the target is mended: it is tried at once. */
void outlet_encourage(struct outlet *outlet);

/* Takes letters to be delivered again. FAN_AGAIN: others are under way. FAN_FATAL: cannot be. */
enum fan_status outlet_replay(struct outlet *outlet, struct replay *replay,
                              struct fan_error *reterr) FAN_MUST_CHECK;

static inline enum trouble outlet_take_trouble(struct outlet *outlet)
{
    enum trouble trouble = outlet->trouble;
    outlet->trouble = TROUBLE_NONE;
    return trouble;
}

/* Nothing is under way to it, or to its backlog. */
bool outlet_empty(const struct outlet *outlet);
/* Whether a batch may be cut for this target at once, without waiting for more events. */
bool outlet_idle(const struct outlet *outlet);
/* Whether it could go on, were its gap in the store. */
bool outlet_waits_for_gap(const struct outlet *outlet);
/* Whether it holds a required place: not started, and nothing takes its batches. */
bool outlet_holds_start(const struct outlet *outlet);

/* Hold LSN and commit time of the oldest event that is not settled; false: none is known. */
bool outlet_oldest(const struct outlet *outlet, struct fan_lsn *ret_hold, int64_t *ret_commit_us);

/* Whether its failure is shown as the pipeline's state ERROR. */
bool outlet_isolated(const struct outlet *outlet);

#endif
