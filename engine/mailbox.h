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
#include "model/position.h"
#include "targets/target.h"

enum { MAILBOX_ERROR_MAX = 512 };

enum wish {
    WISH_IDLE,  /* flush, stop the targets, hold nothing */
    WISH_FLOW,  /* start the targets if need be, deliver */
    WISH_HOLD,  /* keep what is queued, deliver nothing more */
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
    struct target_checkpoint settled;
    struct fan_lsn next_hold; /* hold LSN of the first change after it, or LSN_NONE */
    uint64_t moves;           /* counts changes of `settled` */
};

struct report {
    enum run run;
    uint64_t wish_serial;     /* the wish that is in effect */
    bool drained;             /* WISH_DRAIN is done */
    bool lost;                /* RUN_FAILED that a fresh start from the slot mends */
    bool urgent;              /* a target waits for its checkpoint to be persisted */
    int64_t oldest_commit_us; /* of the oldest change taken and not settled; 0 none */
    struct fan_error error;
};

struct mailbox {
    pthread_mutex_t lock; /* guards what follows */
    enum wish wish;
    uint64_t wish_serial;
    struct report report;
    struct mailbox_target *targets;      /* owned; targets_count entries */
    struct target_checkpoint *persisted; /* owned; to be told to the targets */
    uint64_t persisted_moves;
    char (*errors)[MAILBOX_ERROR_MAX]; /* owned; the last error of each target, or "" */
    size_t targets_count;

    _Atomic bool report_news; /* the worker reported since the reader last looked */
};

enum fan_status mailbox_init(struct mailbox *mailbox, size_t targets_count,
                             struct fan_error *reterr) FAN_MUST_CHECK;
void mailbox_release(struct mailbox *mailbox);

/* Reader: returns the serial of the wish. */
uint64_t mailbox_wish(struct mailbox *mailbox, enum wish wish);
/* Reader: copies the report and the targets' places; false when nothing is new. */
bool mailbox_collect(struct mailbox *mailbox, struct report *ret_report,
                     struct mailbox_target *ret_targets);
/* Any thread: copies the targets' places as last reported. */
void mailbox_peek(struct mailbox *mailbox, struct mailbox_target *ret_targets);
/* Reader: the store has this checkpoint of target `index`. */
void mailbox_persisted(struct mailbox *mailbox, size_t index,
                       const struct target_checkpoint *checkpoint);

/* Worker: the current wish and its serial. */
enum wish mailbox_wanted(struct mailbox *mailbox, uint64_t *ret_serial);
/* Worker: copies checkpoints persisted since `*moves`; false when there are none. */
bool mailbox_take_persisted(struct mailbox *mailbox, uint64_t *moves,
                            struct target_checkpoint *ret_checkpoints);
/* Worker: replaces the report; `targets` has targets_count entries. */
void mailbox_report(struct mailbox *mailbox, const struct report *report,
                    const struct mailbox_target *targets);

/* Worker: what the target failed with last; "" when it works again. */
void mailbox_note_error(struct mailbox *mailbox, size_t index, const char *text);
/* Any thread: copies it. */
void mailbox_last_error(struct mailbox *mailbox, size_t index, char text[MAILBOX_ERROR_MAX]);

#endif
