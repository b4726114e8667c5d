/*
 * letterbox.h - the dead letters as a pipeline sees them: jobs that are done later, elsewhere.
 *
 * The letters are in the store, and only the store thread may touch it. A pipeline posts a job and
 * is woken when it is done. struct letter_writer gathers what one target's letters are while a job
 * is under way, so that each transaction takes all that has come meanwhile.
 *
 * Ownership:  a job is its poster's; between post() and `done` the letterbox has it. Batches are
 *             held by reference until then.
 * Threading:  post() from a worker; a job runs on the store thread, which sets `done` and wakes.
 */
#ifndef ENGINE_LETTERBOX_H
#define ENGINE_LETTERBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "deadletter/deadletter.h"
#include "encode/encoder.h"
#include "engine/parked.h"
#include "engine/persist.h"
#include "model/batch.h"

enum {
    LETTER_BYTES_MAX = 32 << 20, /* that wait for one transaction, about */
    LETTER_FETCH_EVENTS = 2000,
    LETTER_FETCH_BYTES = 4 << 20,
    LETTER_RETRY_US = 1000000,
};

/* Whose letters: names borrowed, they outlive every job. */
struct letter_owner {
    const char *pipeline;
    const char *target;
    const char *format_name; /* of the envelope */
    size_t format;           /* in batches */
    bool whole;              /* a fetch ends where a transaction ends */
    size_t whole_max;        /* bytes, about; a transaction beyond comes in parts. 0: none does */
    const struct encode_context *encode;
};

/* Events of one batch that become letters for one cause. */
struct letter_item {
    struct batch *batch; /* a reference */
    size_t first;        /* events [first, end) */
    size_t end;
    enum deadletter_cause cause;
    uint32_t attempts;
    char code[LETTER_CODE_MAX];
    char error[LETTER_ERROR_MAX];
};

enum letter_job_kind {
    LETTERS_ADD,
    LETTERS_FETCH,  /* the next of an isolated target's backlog, as a batch */
    LETTERS_REMOVE, /* the backlog up to `position` is at the target */
    LETTERS_KEYS,   /* the keys that have a letter that is not of the backlog */
};

struct letter_job {
    struct keeper_job job; /* first: the letterbox's own */
    enum letter_job_kind kind;
    const struct letter_owner *owner;
    struct letter_item *items; /* of ADD: borrowed from the writer */
    size_t items_count;
    struct fan_position position; /* of FETCH: behind it; of REMOVE: up to it */
    struct batch_pool *pool;      /* of FETCH */

    /* The result. */
    /* FAN_AGAIN of ADD: no room (at_cap: block); of FETCH: nothing left; of KEYS: too many. */
    enum fan_status status;
    struct fan_error error;
    struct deadletter_added added; /* of ADD */
    struct batch *batch;           /* of FETCH: one reference for the poster */
    struct parked keys;            /* of KEYS: owned by the poster, empty before */
    void (*wake)(void *context);
    void *wake_context;
    _Atomic bool done;
    void *letterbox; /* its own */
};

struct letterbox {
    /* Never blocks and never fails: the job is queued. Jobs are done in order. */
    void (*post)(struct letterbox *letterbox, struct letter_job *job);
    /* Counts how often letters have gone, or not come, without having been delivered: purged, too
     * old, or beyond a cap. Keys that wait behind them have to be looked at again. */
    _Atomic uint64_t removals;
};

/* ---- one target's additions ---- */

struct letter_writer {
    struct letterbox *letterbox; /* borrowed */
    struct letter_owner owner;
    struct letter_item *waiting; /* owned, as what it holds */
    size_t waiting_count;
    size_t waiting_capacity;
    size_t waiting_bytes;
    struct letter_item *posted; /* owned; of the job under way */
    size_t posted_capacity;
    struct letter_job job;
    bool starved; /* an item was lost for want of memory: its events must be read again */
    bool busy;
    int64_t retry_at_us;     /* after a failure; 0: none */
    uint64_t added_serial;   /* counts items given */
    uint64_t settled_serial; /* those in the store */
    struct fan_error error;  /* of the last failure; text "" when the last job went well */
    struct deadletter_added totals;
};

void letter_writer_init(struct letter_writer *writer, struct letterbox *letterbox,
                        const struct letter_owner *owner, void (*wake)(void *context),
                        void *wake_context);
/* No job may be under way: the store thread has ended, or answered. */
void letter_writer_release(struct letter_writer *writer);

/* Whether another item of about `bytes` may be given. */
bool letter_writer_has_room(const struct letter_writer *writer, size_t bytes);
/* Gives events [first, end) of the batch, room or not: a conviction never waits. Returns the item's
 * serial. When memory is out, `starved` is set and the serial is never settled. */
uint64_t letter_writer_add(struct letter_writer *writer, struct batch *batch, size_t first,
                           size_t end, enum deadletter_cause cause, uint32_t attempts,
                           const struct fan_error *error);
/* Takes the result of a job that is done, and posts the next one. Returns when to come again. */
int64_t letter_writer_step(struct letter_writer *writer, int64_t now_us);

/* Whether everything given is in the store. */
static inline bool letter_writer_idle(const struct letter_writer *writer)
{
    return writer->settled_serial == writer->added_serial;
}

static inline bool letter_writer_settled(const struct letter_writer *writer, uint64_t serial)
{
    return writer->settled_serial >= serial;
}

/* Does the job on an open store, and counts removals; for whoever implements a letterbox. */
void letter_job_run(struct letterbox *letterbox, struct letter_job *job, struct store *store,
                    const struct deadletter_caps *caps, int64_t wall_us);

#endif
