/*
 * backlog.h - what one target has not got yet, outside of memory: the spill, the dead letters, or
 * a gap.
 *
 *     append ──► spill (segment files)        ──► next ──► the target ──► delivered
 *            ──► dead letters (the store)     ──►
 *            ──► gap rows: the target never gets them
 *
 * Everything appended counts as settled once backlog_settled() has reached it: synced, committed,
 * or, for a gap, persisted together with the position that counts it. Beyond the spill's quota a
 * target that does not count gets gaps, one that counts has to wait.
 *
 * INVARIANTS  (1) positions given to append strictly increase; backlog_next() gives the same events
 *                 in the same order, but for those that are in gaps.
 *             (2) nothing is removed that backlog_delivered() has not been told.
 *             (3) what becomes durable in it has no hole before it that the store does not know: a
 *                 gap's row is written before what follows the gap.
 * Ownership:  the writer, pool and executor are borrowed; batches from next() are the caller's.
 * Threading:  the worker that owns the pipeline; a sync runs on an I/O thread meanwhile.
 */
#ifndef ENGINE_BACKLOG_H
#define ENGINE_BACKLOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "buffer/spill.h"
#include "engine/letterbox.h"
#include "model/batch.h"
#include "model/change.h"
#include "targets/target.h"

enum backlog_kind { BACKLOG_NONE = 0, BACKLOG_SPILL = 1, BACKLOG_LETTERS = 2, BACKLOG_GAP = 3 };

enum { BACKLOG_MARKS_MAX = 256 };

/* A run of events that the target will never get. */
struct backlog_gap {
    struct change_gap range;
    uint64_t serial; /* 1, 2, 3 ... per backlog: the identity of the run */
    char cause[64];
};

/* An addition to the letters that is under way. */
struct backlog_mark {
    uint64_t serial;
    struct fan_position position;
};

struct backlog;

struct backlog_setup {
    const char *directory; /* of the spill; borrowed */
    uint64_t spill_max;    /* quota; 0: no spill, only gaps */
    /* Beyond the quota: whether these events may become a gap; else append answers FAN_AGAIN. */
    bool (*may_gap)(void *context, const struct backlog *backlog, const struct change_gap *gap);
    struct letter_writer *writer;
    struct batch_pool *pool;
    size_t format;
    struct io_executor *executor;
    uint64_t lane;
    /* A batch that holds only the marker of this gap, with one reference; NULL: out of memory. */
    enum fan_status (*marker)(void *context, const struct change_gap *gap, struct batch **ret_batch,
                              struct fan_error *reterr);
    void (*wake)(void *context);
    void *context; /* of all three */
};

struct backlog {
    struct backlog_setup setup;
    enum backlog_kind kind;
    struct fan_position appended;  /* the last event given */
    struct fan_position taken;     /* the last event that next() gave out, or that is in a gap */
    struct fan_position delivered; /* as told */
    struct fan_position settled;
    struct fan_position lettered; /* the last event that is, or was, an isolated letter */
    uint64_t events;              /* appended and not given out, about; for people */
    bool last_ends_txn;           /* the last event given ends its transaction */

    struct spill *spill;  /* owned; NULL: not open */
    uint64_t full_bytes;  /* its size when it had no room; UINT64_MAX: it had */
    pthread_mutex_t lock; /* guards the two that follow */
    pthread_cond_t sync_over;
    bool syncing;
    struct fan_error sync_error; /* of the last sync; text "" when it went well */
    int64_t sync_at_us;

    struct backlog_mark marks[BACKLOG_MARKS_MAX];
    size_t marks_count;
    struct letter_job fetch;
    struct fan_position
        fetch_end; /* what was settled when it was posted: it has seen all of that */
    bool fetching;
    struct letter_job removal;
    bool removing;
    int64_t fetch_at_us; /* after a failure */

    struct backlog_gap gap; /* the last run */
    bool gap_unasked;       /* of kind gap only for want of a spill: may_gap() is asked */
    bool gap_open;          /* it grows */
    bool gap_known;         /* the store has it as it is */
    uint64_t gap_serial;
    uint64_t gap_events;        /* in gaps since init */
    struct change_gap unmarked; /* what the next marker has to stand for; count 0: nothing */
};

void backlog_init(struct backlog *backlog, const struct backlog_setup *setup);
/* Jobs under way have ended: the I/O threads and the store thread are gone, or wait() was called. */
void backlog_release(struct backlog *backlog);

/* Begins to take events behind `position`, which the target has. Opens or makes the spill. */
enum fan_status backlog_open(struct backlog *backlog, enum backlog_kind kind,
                             struct fan_position position, struct fan_error *reterr) FAN_MUST_CHECK;
/* Takes up what an earlier process left for the target, of which it has everything up to
 * `position`. `kind` NONE: looks whether there is a spill; it is removed if it is not `needed`. */
enum fan_status backlog_resume(struct backlog *backlog, enum backlog_kind kind, bool needed,
                               struct fan_position position, struct fan_position last,
                               uint64_t events, struct fan_error *reterr) FAN_MUST_CHECK;
/* Nothing is left: closes and removes what is on disk. */
void backlog_close(struct backlog *backlog);

/* FAN_AGAIN: no room now. FAN_RETRY: the disk. FAN_FATAL: the spill is damaged. */
enum fan_status backlog_append(struct backlog *backlog, struct batch *batch, size_t first,
                               const struct fan_error *why,
                               struct fan_error *reterr) FAN_MUST_CHECK;

/* The events of the batch become a gap, whatever room there is. FAN_AGAIN: they may not, or not now. */
enum fan_status backlog_give_up(struct backlog *backlog, const struct batch *batch,
                                const char *cause, struct fan_error *reterr) FAN_MUST_CHECK;

/* The next events for the target, behind those given out before. FAN_AGAIN: none now. */
enum fan_status backlog_next(struct backlog *backlog, int64_t now_us, struct batch **ret_batch,
                             struct fan_error *reterr) FAN_MUST_CHECK;
/* What was just appended is with the target already: it is not given out, unless rewound. */
enum fan_status backlog_skip(struct backlog *backlog, struct fan_error *reterr) FAN_MUST_CHECK;
/* What lies between the last event given and this one is settled elsewhere. */
void backlog_pass(struct backlog *backlog, const struct batch_event *last);
/* Gives out again everything behind `position`. */
enum fan_status backlog_rewind(struct backlog *backlog, struct fan_position position,
                               struct fan_error *reterr) FAN_MUST_CHECK;
/* The target has everything up to `position`, and that is known for ever. */
void backlog_delivered(struct backlog *backlog, struct fan_position position);

/* Everything up to here is durable somewhere, or counted by a gap. */
struct fan_position backlog_settled(struct backlog *backlog);

/* The next marker has to stand for these events, too, which lie behind everything in the backlog. */
void backlog_note_unmarked(struct backlog *backlog, const struct change_gap *gap);
/* Ends a gap, whose marker the caller shows to the target. False when there is none to show. */
bool backlog_end_gap(struct backlog *backlog, struct change_gap *ret_gap);

/* Whether next() has given out everything. */
bool backlog_drained(const struct backlog *backlog);
/* Whether nothing of it is needed any more: drained, and told to be delivered. */
bool backlog_over(const struct backlog *backlog);

/* Takes results of jobs and begins new ones. Returns when to come again. */
int64_t backlog_step(struct backlog *backlog, int64_t now_us);

/* The store knows the gaps up to this serial as they were. */
void backlog_gaps_persisted(struct backlog *backlog, uint64_t serial, uint64_t count);

#endif
