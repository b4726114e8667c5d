/*
 * target.h - the contract that every target implements.
 *
 * A target takes batches, accepts each at once or not at all, and says later what became of it. It
 * never retries, sleeps or decides policy: the pipeline does. There are two kinds:
 *
 *   positional  takes batches in order by deliver(), and posts from time to time how far
 *               everything it accepted is durable: a file, a pipe.
 *   answering   takes each batch by request(), and answers each exactly once, with a status for
 *               the whole and verdicts on single events: HTTP. The pipeline sends it any part of
 *               a batch again, alone or halved, and several parts at a time.
 *
 * Life:       create -> start -> { deliver | request | tick | flush | checkpointed }* -> stop
 *             -> destroy
 * Threading:  create and destroy on the main thread; the other verbs by the worker that owns the
 *             pipeline, one at a time. They must not block for longer than a write to the page
 *             cache; what may block longer (fdatasync, a pipe) runs on an I/O thread, which only
 *             posts outcomes and touches nothing else that the verbs touch without a lock.
 * Ownership:  the batch stays the pipeline's; a target that needs it beyond deliver() takes a
 *             reference. Options are borrowed and outlive the target.
 */
#ifndef TARGETS_TARGET_H
#define TARGETS_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "conf/option.h"
#include "encode/encoder.h"
#include "model/batch.h"
#include "model/position.h"

enum { TARGET_DETAIL_MAX = 256 };

/*
 * The durable place of one target: everything up to `position` is durable there. `detail` is the
 * target's own words about it (a file: segment and offset), kept in the store beside the position
 * and handed back at start().
 */
struct target_checkpoint {
    struct fan_position position;
    char detail[TARGET_DETAIL_MAX]; /* printable ASCII with NUL; may be "" */
};

enum outcome_kind {
    OUTCOME_SETTLED, /* every event accepted up to checkpoint.position is durable */
    OUTCOME_LOST,    /* what was accepted beyond the last settled position may be gone: the target
                        has gone back there, and wants those events again; error says why */
    OUTCOME_FATAL,   /* the target cannot go on; error says why */
    OUTCOME_WAKE,    /* call deliver() or tick() again: there is room */
};

struct outcome {
    uint32_t target; /* the index given at create */
    enum outcome_kind kind;
    struct target_checkpoint checkpoint; /* of OUTCOME_SETTLED */
    struct fan_error error;              /* of OUTCOME_LOST and OUTCOME_FATAL */
};

/* An event that an answer names because it was not taken while others were. */
struct verdict {
    uint32_t event; /* index in the batch of the request; each at most once */
    bool poison;    /* it will never be taken; false: it is to be sent again */
    char text[96];  /* why, in the target's words; no row value; "" */
};

/*
 * What became of one request(). Lent to the target by request(), filled and given back by
 * outcome_sink.answer(), exactly once unless stop() comes first.
 */
struct answer {
    /* FAN_OK: every event is durable but for those in `failed`. Any other: none counts as
     * durable. FAN_RETRY: the target cannot now; FAN_POISON: it will not take this batch;
     * FAN_FATAL: it cannot work until somebody mends it. */
    enum fan_status status;
    int64_t retry_after_us; /* the target asked to be left alone for so long; 0: it did not */
    struct verdict *failed; /* owned, malloc(3); given to the receiver of the answer, or NULL */
    size_t failed_count;
    struct fan_error error; /* of any status but FAN_OK; of FAN_OK with `failed`, for people */
    uint32_t target;        /* set by the lender: the index given at create */
    bool again;             /* set by the lender: these are dead letters, sent once more */
    uint32_t lane;          /* the lender's own */
    struct answer *next;    /* of whoever has it at the time */
};

/*
 * Where outcomes go. Callable from any thread, never blocks.
 * SETTLED outcomes of one target coalesce: the newest stands for all before it. Nothing of an
 * outcome is kept; an answer is taken.
 */
struct outcome_sink {
    void (*post)(struct outcome_sink *sink, const struct outcome *outcome);
    void (*answer)(struct outcome_sink *sink, struct answer *answer);
};

/* A fixed set of threads for calls that block on a disk; see engine/io_pool.h. */
struct io_executor {
    /* Runs job(argument) later on an I/O thread; jobs of one `lane` run in order, one at a time.
     * Never blocks; returns FAN_AGAIN when too many jobs wait. */
    enum fan_status (*submit)(struct io_executor *executor, uint64_t lane,
                              void (*job)(void *argument), void *argument);
};

struct target_context {
    const char *pipeline; /* names, borrowed, outlive the target */
    const char *target;
    uint32_t index; /* of the target in its pipeline; goes into outcomes */
    size_t format;  /* which encoding of a batch is this target's: index for batch_bytes() */
    /* How that encoding was asked for: a target with headers may have to make some of them. Borrowed,
     * outlives the target. NULL: as the settings of the native envelope. */
    const struct encode_settings *encoding;
    bool records;  /* events come as records, see encode/record.h */
    uint64_t lane; /* unique per target of the process: for io_executor */
    struct outcome_sink *outcomes;
    struct io_executor *executor;
    /* For event ids (encode/id.h). The system identifier is known from start() on. Borrowed. */
    const struct encode_context *encode;
    uint64_t requests_max; /* requests that may be open at a time (batch.max_inflight) */
    int64_t deadline_us;   /* an answer takes no longer; an answering target sees to it */
};

struct target;

/* A number that a target knows of itself, for people and metrics. */
struct target_figure {
    const char *name; /* words of lower case letters, with _ between them; static */
    uint64_t value;
};

enum { TARGET_FIGURES_MAX = 8 };

struct target_type {
    const char *name;               /* the `type` value in the conf */
    const struct conf_table *table; /* options beside the common ones; parsed into a blob */

    enum fan_status (*create)(const void *options, const struct target_context *context,
                              struct target **ret_target, struct fan_error *reterr);

    /*
     * Goes to `checkpoint` (NULL: nothing was ever delivered) and drops what stands behind it, so
     * that the next event delivered is the one after it. Also called again after LOST or an
     * operator's restart. FAN_RETRY: call again later. FAN_FATAL: the error
     * policy of the pipeline applies.
     */
    enum fan_status (*start)(struct target *target, const struct target_checkpoint *checkpoint,
                             struct fan_error *reterr);

    /*
     * Accepts events [first, events_count) of the batch, all or none.
     * FAN_OK     accepted; durability is posted later, exactly covering each position once.
     * FAN_AGAIN  no room: call again after an outcome of this target.
     * FAN_RETRY  not accepted, nothing of it will appear: the pipeline backs off and calls again.
     * FAN_FATAL  not accepted, and no later call can succeed.
     */
    enum fan_status (*deliver)(struct target *target, struct batch *batch, size_t first,
                               int64_t now_us, struct fan_error *reterr);

    /*
     * Of an answering target, in the place of deliver(): takes the whole batch (and a reference
     * of its own while it needs it). Batches of one call of request() and the next may overlap in
     * time, may go back, and may be parts of what was sent before: the target keeps no order.
     * FAN_OK     accepted: `answer` is the target's until it is given to outcomes->answer().
     * FAN_AGAIN  no room: call again after an answer or OUTCOME_WAKE of this target.
     * FAN_RETRY, FAN_POISON, FAN_FATAL  not accepted; as an answer of that status.
     */
    enum fan_status (*request)(struct target *target, struct batch *batch, struct answer *answer,
                               int64_t now_us, struct fan_error *reterr);

    /* Drives timers. Returns when to be called again (monotonic us), or INT64_MAX. */
    int64_t (*tick)(struct target *target, int64_t now_us);

    /* Makes what was accepted durable as soon as possible, before its usual time. May be NULL. */
    void (*flush)(struct target *target, int64_t now_us);

    /* The engine's store has this checkpoint on disk. May be NULL. */
    void (*checkpointed)(struct target *target, const struct target_checkpoint *checkpoint);

    /* Writes its figures, and returns how many. Any thread, between create and destroy. May be NULL. */
    size_t (*figures)(struct target *target, struct target_figure ret_figures[TARGET_FIGURES_MAX]);

    /* Ends all I/O of the target: waits for running jobs; nothing is posted after it. Answers that
     * were not given by then are the lender's again, unfilled. */
    void (*stop)(struct target *target);
    void (*destroy)(struct target *target); /* accepts NULL; after stop */

    /* Needs batch_label() of every event: the table and the key that it is about. */
    bool labels;

    /* Keeps a key beside each value: where the envelope has keys of its own, an event comes as records
     * (encode/record.h), see target_context.records. */
    bool records;

    /* Takes an event as any octets: those of a binary envelope need no base64. */
    bool octets;

    /* Bytes accepted but not yet durable at which deliver() answers FAN_AGAIN; 0: no byte window,
     * `max_inflight` batches instead. */
    size_t window_bytes;

    /* A second target with this word would write to the same place; checked over the whole conf.
     * Writes the word (a path, ...) or "" into `text`. May be NULL. */
    void (*address)(const void *options, char *text, size_t text_size);

    /* Why it cannot have marks of transactions in this envelope (conf `transactions`), or NULL. May be
     * NULL: it can. Static text. */
    const char *(*marks_fault)(const void *options, const char *format);

    /* Of an answering target: marks go to a place of their own, so a transaction that no batch holds may
     * come in parts. Else such a target gets whole ones only, and a larger one is dead letters. */
    bool marks_apart;

    /* Of an answering target: whether it gets one request at a time, in the order of positions, and none
     * before the dead letters of what comes before it are on disk. So when it has an event, every event
     * before it is there or a dead letter. NULL: it does not ask for that. */
    bool (*in_order)(const void *options);

    /* Why it cannot put the attributes of an event into headers with these options (cloudevents
     * `mode: binary`), or NULL. Static text. A NULL pointer: it has no headers. */
    const char *(*headers_fault)(const void *options);

    /* What a durable event has survived to be called that: "disk", or "os" when a power cut may
     * still lose it. Static text. NULL: the far side answers for it, or nothing is kept. */
    const char *(*durability)(const void *options);
};

/* First member of every implementation. */
struct target {
    const struct target_type *type;
};

/* Returns the type of that name, or NULL. */
const struct target_type *target_type_find(const char *name);

/* NULL-terminated. Adding a target means adding one line in registry.c. */
extern const struct target_type *const target_types[];

#endif
