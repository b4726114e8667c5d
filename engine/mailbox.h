/*
 * mailbox.h - what a source's reader and the worker of a pipeline tell each other.
 *
 * The reader decides (a wish with a serial number), the pipeline obeys and reports. Reports
 * coalesce: the newest stands for all before it, so nothing here grows.
 *
 * The one rule that keeps order: a pipeline that has dropped queued changes stays RUN_FAILED or
 * RUN_IDLE until the reader has stopped pushing, wished it IDLE, seen it obey, and started the
 * stream again at a position before the drop.
 *
 * Threading:  every function locks; the reader's and the worker's sides as named.
 */
#ifndef ENGINE_MAILBOX_H
#define ENGINE_MAILBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "conf/settings.h"
#include "engine/backlog.h"
#include "engine/outlet.h"
#include "model/position.h"
#include "targets/target.h"

enum { MAILBOX_ERROR_MAX = 512, MAILBOX_REPLAYS_MAX = 8 };

enum wish {
    WISH_IDLE,  /* flush, stop the targets, hold nothing */
    WISH_FLOW,  /* start the targets if need be, deliver */
    WISH_HOLD,  /* keep what is queued, deliver nothing more */
    WISH_SPILL, /* put what is queued and what comes into the backlogs, deliver nothing */
    WISH_GAP,   /* give it up, with gap rows */
    WISH_DRAIN, /* deliver all that is queued, make it durable, report `drained` */
};

enum run {
    RUN_IDLE,     /* holds nothing; targets are stopped */
    RUN_STARTING, /* targets are being started, with back-off */
    RUN_FLOWING,
    RUN_HELD,
    RUN_FLUSHING, /* on the way to RUN_IDLE */
    RUN_FAILED,   /* stopped by itself; `error` says why */
};

struct mailbox_target {
    struct target_checkpoint checkpoint; /* durable at the target */
    struct fan_position settled; /* durable there, or in its backlog, or a letter, or in a gap */
    struct fan_lsn next_hold;    /* hold LSN of the first change after it, or LSN_NONE */
    struct backlog_gap gap;      /* a run that the store does not know as it is; count 0: none */
    bool fatal;                  /* it waits for an operator */
    uint64_t moves;              /* counts changes of the others */
};

/* What the store has of a target. */
struct mailbox_persisted {
    struct target_checkpoint checkpoint;
    uint64_t gap_serial;
    uint64_t gap_count;
};

struct report {
    enum run run;
    uint64_t wish_serial;     /* the wish that is in effect */
    bool drained;             /* WISH_DRAIN is done */
    bool lost;                /* RUN_FAILED that a fresh start from the slot mends */
    bool urgent;              /* a target waits for its checkpoint to be persisted */
    bool isolated;            /* a target that counts is cut off; `error` says which and why */
    enum error_policy policy; /* of RUN_FAILED that was not a loss */
    int64_t oldest_commit_us; /* of the oldest change taken and not settled; 0 none */
    struct fan_error error;
};

struct mailbox {
    pthread_mutex_t lock; /* guards what follows */
    enum wish wish;
    uint64_t wish_serial;
    struct report report;
    uint64_t encouragements;             /* an operator says that targets are mended */
    enum backlog_kind diversion;         /* targets that are live go there; NONE: nowhere */
    struct mailbox_target *targets;      /* owned; targets_count entries */
    struct mailbox_persisted *persisted; /* owned; to be told to the targets */
    uint64_t persisted_moves;
    struct replay *replays[MAILBOX_REPLAYS_MAX]; /* borrowed until they are done */
    size_t replay_targets[MAILBOX_REPLAYS_MAX];
    size_t replays_count;
    char (*errors)[MAILBOX_ERROR_MAX]; /* owned; the last error of each target, or "" */
    size_t targets_count;

    _Atomic bool report_news; /* the worker reported since the reader last looked */
};

enum fan_status mailbox_init(struct mailbox *mailbox, size_t targets_count,
                             struct fan_error *reterr) FAN_MUST_CHECK;
void mailbox_release(struct mailbox *mailbox);

/* Reader: returns the serial of the wish. */
uint64_t mailbox_wish(struct mailbox *mailbox, enum wish wish);
/* Reader: the pipeline tries targets that wait for an operator, with the next wish. */
void mailbox_encourage(struct mailbox *mailbox);
/* Reader: copies the report and the targets' places; false when nothing is new. */
bool mailbox_collect(struct mailbox *mailbox, struct report *ret_report,
                     struct mailbox_target *ret_targets);
/* Any thread: copies the targets' places as last reported. */
void mailbox_peek(struct mailbox *mailbox, struct mailbox_target *ret_targets);
/* Reader: the store has this of target `index`. */
void mailbox_persisted(struct mailbox *mailbox, size_t index,
                       const struct mailbox_persisted *persisted);

/* Reader: the pipeline diverts its live targets, and goes on. */
void mailbox_divert(struct mailbox *mailbox, enum backlog_kind kind);
/* Worker: takes that. */
enum backlog_kind mailbox_take_diversion(struct mailbox *mailbox);

/* Worker: the current wish, its serial, and the encouragements so far. */
enum wish mailbox_wanted(struct mailbox *mailbox, uint64_t *ret_serial,
                         uint64_t *ret_encouragements);
/* Worker: copies what was persisted since `*moves`; false when there is nothing. */
bool mailbox_take_persisted(struct mailbox *mailbox, uint64_t *moves,
                            struct mailbox_persisted *ret_persisted);

/* Any thread: hands over letters to be delivered again; false when too many wait. */
bool mailbox_replay(struct mailbox *mailbox, size_t target, struct replay *replay);
/* Any thread: takes it back; false when the worker has it. */
bool mailbox_replay_withdraw(struct mailbox *mailbox, const struct replay *replay);
/* Worker: the oldest one that waits, or NULL. */
struct replay *mailbox_next_replay(struct mailbox *mailbox, size_t *ret_target);
/* Worker: replaces the report; `targets` has targets_count entries. */
void mailbox_report(struct mailbox *mailbox, const struct report *report,
                    const struct mailbox_target *targets);

/* Worker: what the target failed with last; "" when it works again. */
void mailbox_note_error(struct mailbox *mailbox, size_t index, const char *text);
/* Any thread: copies it. */
void mailbox_last_error(struct mailbox *mailbox, size_t index, char text[MAILBOX_ERROR_MAX]);

#endif
