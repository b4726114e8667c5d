/*
 * assembler.h - turns changes into encoded batches, and decides where a batch ends.
 *
 * Each change is encoded at once, in every format that the pipeline's targets ask for, into the
 * open batch; its message is let go. A batch is cut when one of the bounds says so:
 *
 *   max_bytes   of the largest format. A single event above it stands alone.
 *   max_events  yields to a whole transaction when respect_source_tx is set.
 *   idle        nothing more is queued and the targets have nothing to do.
 *   max_us      the first event has waited so long.
 *
 * A format whose settings ask for transactions has marks around the events of each: the first of them
 * that the pipeline gets carries the begin mark before itself, the last one the commit mark behind,
 * each on a line of its own, or as a record of its own where events are records. So the marks go
 * wherever their events go. What belongs to no transaction has none.
 *
 * With respect_source_tx a batch ends where a transaction ends. Only a transaction over max_bytes
 * is cut inside, into batches that hold nothing else, marked first, middle, last.
 *
 * Threading:  the worker that owns the pipeline.
 * Limits:     the open batch holds at most max_bytes and one event more, a format.
 */
#ifndef ENGINE_ASSEMBLER_H
#define ENGINE_ASSEMBLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "encode/encoder.h"
#include "encode/label.h"
#include "model/batch.h"
#include "model/change.h"

struct assembler_limits {
    size_t max_events;
    size_t max_bytes;
    int64_t max_us;
    bool respect_source_tx;
};

struct assembler {
    struct assembler_limits limits;
    /* Made at the first change: only then the source's system identifier is known for sure. */
    struct encoder *encoders[BATCH_FORMATS_MAX]; /* owned */
    struct encode_settings formats[BATCH_FORMATS_MAX];
    struct encoder *substitutes[BATCH_FORMATS_MAX]; /* owned; NULL until an event is refused */
    const struct encode_context *context;           /* borrowed */
    size_t formats_count;
    struct label_writer labels;
    struct batch_pool *pool; /* owned; labelled or not */
    struct batch *open;      /* owned; NULL until the first change */
    size_t whole;            /* events of `open` that belong to complete transactions */
    size_t whole_before;     /* the same before the last event was added */
    struct change txn;       /* the last change that was added, without its message */
    bool txn_open;           /* its transaction may go on */
    struct fan_lsn begun;    /* the begin mark of the transaction with this commit LSN is out */
    bool continuing;         /* `open` starts inside a transaction that was cut */
    int64_t opened_us;       /* when the first event of `open` came */
    uint64_t sequence;
    bool starved;        /* the last cut failed for want of memory */
    size_t again_format; /* the one that said FAN_AGAIN last */
};

/* With `labelled` every event gets its label. What `context` points to is read at the first change, not before. */
enum fan_status assembler_init(struct assembler *assembler, struct assembler_limits limits,
                               const struct encode_settings *formats, size_t formats_count,
                               bool labelled, const struct encode_context *context,
                               struct fan_error *reterr) FAN_MUST_CHECK;
void assembler_release(struct assembler *assembler);

/*
 * Encodes the change and lets it go. A format that refuses it (special_values: fail) gets it with
 * special values as strings, and the batch notes the refusal. FAN_POISON: it cannot be encoded at
 * all; FAN_RETRY: out of memory; FAN_AGAIN: a format needs something that is not known yet. The change
 * then still belongs to the caller and the batch is as before.
 */
enum fan_status assembler_add(struct assembler *assembler, struct change *change, int64_t now_us,
                              struct fan_error *reterr) FAN_MUST_CHECK;

/* The last change added ends its transaction. FAN_RETRY, FAN_AGAIN: as assembler_add(); nothing that was
 * added since is whole then. */
enum fan_status assembler_end_txn(struct assembler *assembler,
                                  struct fan_error *reterr) FAN_MUST_CHECK;

/* Before the first change: those of this commit LSN that come first have been delivered before. */
static inline void assembler_resume(struct assembler *assembler, struct fan_lsn commit_lsn)
{
    assembler->begun = commit_lsn;
}

/* Whether a bound asks for a cut before another change may be added. */
bool assembler_full(const struct assembler *assembler);

enum cut_reason {
    CUT_IF_FULL, /* only when assembler_full() */
    CUT_IF_DUE,  /* also when max_us has passed */
    CUT_NOW,     /* everything that may be cut at all */
};

/* Cuts a batch, or returns NULL. The caller gets the reference. After NULL, assembler_starved()
 * tells whether one was due and memory was out: nothing can be added or cut then. */
struct batch *assembler_cut(struct assembler *assembler, enum cut_reason reason, int64_t now_us);

static inline bool assembler_starved(const struct assembler *assembler)
{
    return assembler->starved;
}

/* When max_us will have passed for the open batch, or INT64_MAX. */
int64_t assembler_due_us(const struct assembler *assembler);

/* The first event that is not cut yet, or NULL. */
const struct batch_event *assembler_oldest(const struct assembler *assembler);

size_t assembler_open_events(const struct assembler *assembler);

/* A batch that holds only the marker of a gap, in every format, with one reference. FAN_RETRY,
 * FAN_AGAIN: as assembler_add(). */
enum fan_status assembler_marker(struct assembler *assembler, const struct change_gap *gap,
                                 struct batch **ret_batch, struct fan_error *reterr) FAN_MUST_CHECK;

/* Drops the open batch. */
void assembler_reset(struct assembler *assembler);

#endif
