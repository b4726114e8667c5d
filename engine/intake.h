/*
 * intake.h - the reader's side of a pipeline: what it gets, what of it is settled, its state.
 *
 * Admission is the reader's: a change goes into the ring when the intake is open and the change
 * lies beyond everything admitted before. While the intake is not open, changes of it are passed
 * over: they hold the acknowledgement, and before the intake opens again the stream is started
 * anew at a position before the first of them.
 *
 * INVARIANTS  (1) the ring gets positions in strictly increasing order, without a hole between
 *                 `admitted` and the next one, over sessions, pauses and restarts.
 *             (2) an intake opens only while nothing was passed over, or at the start of a session.
 * Threading:  the source's thread, but for `counters`.
 */
#ifndef ENGINE_INTAKE_H
#define ENGINE_INTAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/settings.h"
#include "engine/acktrack.h"
#include "engine/mailbox.h"
#include "engine/pipeline.h"
#include "engine/state.h"
#include "model/pattern.h"
#include "store/record.h"

struct intake_counters {
    _Atomic uint64_t read;     /* admitted in this run */
    _Atomic uint64_t given_up; /* admitted, then dropped from memory to be read again */
    _Atomic uint64_t gap_count;
    _Atomic uint64_t inserts;
    _Atomic uint64_t updates;
    _Atomic uint64_t deletes;
    _Atomic uint64_t truncates;
    _Atomic uint64_t messages;
};

struct intake {
    struct pipeline *pipeline; /* borrowed */
    const struct settings_pipeline *settings;
    struct pattern *tables; /* owned */
    size_t tables_count;
    struct pattern_part *prefixes; /* owned */
    size_t prefixes_count;
    struct ackgate *gates;            /* into the reader's array; one per target */
    struct mailbox_target *places;    /* owned; last collected, one per target */
    uint64_t *persisted_moves;        /* owned; places[i].moves that the store has */
    uint64_t *posted_moves;           /* owned; those of the job under way */
    struct mailbox_persisted *posted; /* owned; what the job under way has of each target */
    struct fan_lsn start_lsn;         /* the confirmed position when its targets began */
    size_t targets_count;

    enum pipeline_state state;
    char reason[STORE_REASON_MAX];
    int64_t since_wall_us;
    uint64_t state_moves; /* counts changes of state, to know whether the store has it */
    uint64_t state_persisted;
    uint64_t state_posted;

    enum wish wish;
    uint64_t wish_serial;
    struct report report; /* last collected */

    bool open;        /* changes are pushed */
    bool isolated;    /* in state ERROR for one target, and streaming on for the others */
    bool passed_over; /* some were not, since it was last open */
    bool clean;       /* its memory is empty or in order: it may open at the next session */
    struct fan_lsn passed_hold; /* hold LSN of the oldest that was not; valid if passed_over */
    int64_t passed_commit_us;   /* commit time of that one; 0 unknown, or nothing passed over */
    int64_t closed_commit_us;   /* of the oldest change in its memory when it was closed; 0 none */
    struct fan_position admitted;
    struct fan_lsn guard_resolved; /* where the slot's guard saw it last */
    int64_t guard_since_us;        /* since when it stands there */
    int64_t restart_at_us;         /* after a loss: when to wish it FLOW again; 0 none */
    struct backoff restart_backoff;

    /* Runs of dropped changes that may be sent again, in order: they stay dropped. */
    struct change_gap *old_gaps; /* owned */
    size_t old_gaps_count;
    size_t old_gaps_capacity;
    size_t old_gaps_next;
    struct ring_gap *posted_gaps; /* owned; runs of drops of the job under way */
    size_t posted_gaps_count;
    int64_t gap_id_base; /* ids of this run's gap rows start above it */

    struct intake_counters counters;
};

struct intake_setup {
    struct pipeline *pipeline;
    const struct settings_pipeline *settings;
    struct ackgate *gates;
    enum pipeline_state state; /* as it was kept in the store */
    const char *reason;
    int64_t since_wall_us;
    struct fan_lsn start_lsn;
    int64_t gap_id_base;
};

enum fan_status intake_init(struct intake *intake, const struct intake_setup *setup,
                            struct fan_error *reterr) FAN_MUST_CHECK;
void intake_release(struct intake *intake);

bool intake_wants_table(const struct intake *intake, const char *schema, const char *table);
bool intake_wants_prefix(const struct intake *intake, const char *prefix);

/* Whether the change would be pushed now: then the ring must have room under policy block. */
static inline bool intake_admits(const struct intake *intake, const struct change *change)
{
    return intake->open && position_compare(change->position, intake->admitted) > 0;
}

/*
 * Hands over a change of which the intake gets one reference in any case. FAN_FATAL: its buffer is
 * full under policy `error`; the reference is then dropped and the change counts as passed over.
 */
enum fan_status intake_give(struct intake *intake, struct change change) FAN_MUST_CHECK;

/* Notes a run of drops of this or an earlier process: when its changes come again, a marker takes
 * their place. A run that has grown replaces its former self. */
void intake_remember_gap(struct intake *intake, const struct change_gap *gap);

/* Stops admitting. */
void intake_close(struct intake *intake);

/* What it has in memory will be dropped: it holds the ack until it is read again. */
void intake_forget(struct intake *intake);

/* The memory is empty: admission goes on behind what every target has. */
void intake_emptied(struct intake *intake);

/* Opens if it may: `session_start` says that a new session is about to send everything again. */
void intake_try_open(struct intake *intake, bool session_start);

/* Moves to another state, with a reason for ERROR or "". */
void intake_become(struct intake *intake, enum pipeline_state state, const char *reason,
                   int64_t wall_us);
/* ERROR; but one that an operator has stopped, which the slot's guard had let go, stays STOPPED. */
void intake_fail(struct intake *intake, const char *reason, int64_t wall_us);

void intake_wish(struct intake *intake, enum wish wish);

/* Whether the pipeline has obeyed the last wish. */
bool intake_obeyed(const struct intake *intake);

#endif
