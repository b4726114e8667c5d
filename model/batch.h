/*
 * batch.h - an immutable run of encoded events that goes to every target of a pipeline.
 *
 * A batch is encoded once per format and shared by reference. Event i of a format occupies the
 * bytes [i == 0 ? 0 : ends[i - 1] + 1, ends[i]); one '\n' stands behind every event, so that a
 * line-oriented target writes the whole buffer as it is.
 *
 * In a labelled pool a batch also has a label for each event: the table and the key that the event
 * is about. Labels are kept like one more format, the last one.
 *
 * INVARIANTS  (1) positions strictly increase over the events of a batch and over batches.
 *             (2) with respect_source_tx a batch ends at the end of a transaction, unless its
 *                 `part` is FIRST or MIDDLE; then it holds events of one transaction only.
 * Ownership:  batch_unref() of the last holder gives the memory back to the pool it came from.
 * Threading:  immutable once handed to the first target; ref and unref from any thread.
 * Limits:     encoded bytes of a format and events fit 32 bits.
 */
#ifndef MODEL_BATCH_H
#define MODEL_BATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "model/position.h"

enum { BATCH_FORMATS_MAX = 16 };

enum txn_part { TXN_WHOLE = 0, TXN_FIRST, TXN_MIDDLE, TXN_LAST };

/* Which bound ended the batch. */
enum batch_limit { BATCH_LIMIT_IDLE, BATCH_LIMIT_EVENTS, BATCH_LIMIT_BYTES, BATCH_LIMIT_TIMER };

struct batch_event {
    struct fan_position position;
    struct fan_lsn hold_lsn; /* see struct change */
    int64_t commit_time_us;
    /* Of a gap that was made in this run: the first change that it stands for, and how many. */
    struct fan_position gap_first;
    uint32_t gap_count;
    uint8_t op;   /* enum change_op */
    bool txn_end; /* last event of its transaction that this pipeline gets */
};

struct encoded {
    struct bytes bytes;
    uint32_t *ends; /* owned; `capacity` entries, as the batch has events */
};

/* An event that one format refuses. What stands there in its place says the same in another way, to be
 * kept, not delivered. */
struct batch_refusal {
    uint32_t event;
    uint16_t format;
    uint16_t error; /* which of the batch's `refusal_errors` */
};

enum { BATCH_REFUSAL_ERRORS_MAX = 64 };

struct batch_pool;

struct batch {
    _Atomic uint32_t references;
    struct batch_pool *pool; /* borrowed; outlives every batch */
    struct batch *next_free; /* the pool's own */
    uint64_t sequence;       /* per pipeline and run: 1, 2, 3 ... */
    enum txn_part part;
    enum batch_limit limit;
    size_t events_count;
    size_t events_capacity;
    struct batch_event *events;
    size_t formats_count; /* labels included */
    bool labelled;        /* encoded[formats_count - 1] holds labels */
    size_t refusals_count;
    size_t refusals_capacity;
    struct batch_refusal *refusals; /* owned; in the order of events and formats */
    /* Owned; those of the encoders, equal ones once. When there is no room for one more, the last stands
     * for it. */
    struct fan_error *refusal_errors;
    size_t refusal_errors_count;
    struct encoded encoded[BATCH_FORMATS_MAX + 1];
};

/* What an event is about. Borrowed from the batch; texts without NUL at their end. */
struct batch_label {
    const char *schema; /* "" for a logical message and a gap */
    size_t schema_size;
    const char *table;
    size_t table_size;
    const char *key; /* the JSON object of the key columns; "" when the table has no key */
    size_t key_size;
    const char *old_key; /* the same before an update that changed it, else "" */
    size_t old_key_size;
};

static inline struct batch *batch_ref(struct batch *batch)
{
    (void)atomic_fetch_add_explicit(&batch->references, 1, memory_order_relaxed); /* old count */
    return batch;
}

/* Accepts NULL. */
void batch_unref(struct batch *batch);

/* The bytes of events [first, events_count) of one format, separators included. */
static inline const uint8_t *batch_bytes(const struct batch *batch, size_t format, size_t first,
                                         size_t *ret_size)
{
    const struct encoded *encoded = &batch->encoded[format];
    size_t start = first == 0 ? 0 : (size_t)encoded->ends[first - 1] + 1;
    *ret_size = encoded->bytes.size - start;
    return encoded->bytes.data + start;
}

/* The bytes of one event of one format, without its separator. */
static inline const uint8_t *batch_event_bytes(const struct batch *batch, size_t format,
                                               size_t index, size_t *ret_size)
{
    const struct encoded *encoded = &batch->encoded[format];
    size_t start = index == 0 ? 0 : (size_t)encoded->ends[index - 1] + 1;
    *ret_size = encoded->ends[index] - start;
    return encoded->bytes.data + start;
}

/* Notes that the format refuses the event, which comes after those noted before. False: out of memory. */
bool batch_refuse(struct batch *batch, size_t event, size_t format, const struct fan_error *error);
/* Forgets what was noted of events [first, ...). */
void batch_refusals_cut(struct batch *batch, size_t first);
/* Why the format refuses it; NULL: it does not. */
const struct fan_error *batch_refusal(const struct batch *batch, size_t event, size_t format);

/* Events [first, end) as a batch of the same pool, with the bytes of one format and without
 * refusals; one reference. The batch itself where they are all. NULL: out of memory. */
struct batch *batch_slice(struct batch *batch, size_t format, size_t first, size_t end);

/* The first event that is beyond `position`; events_count when none is. */
size_t batch_first_beyond(const struct batch *batch, struct fan_position position);
/* Whether the event after this one is of the same transaction. */
bool batch_same_txn(const struct batch *batch, size_t event);
/* How many of events [first, end) stand for a change; a gap's marker does not. */
uint64_t batch_rows(const struct batch *batch, size_t first, size_t end);

/* The label of one event as it is kept: schema, table, key, old key, each but the last with a NUL
 * behind it. Size 0 when the batch is not labelled. */
const uint8_t *batch_label_bytes(const struct batch *batch, size_t index, size_t *ret_size);
/* Takes such bytes apart; false when they are not of that form. */
bool batch_label_parse(const uint8_t *bytes, size_t size, struct batch_label *ret_label);
/* The label of event `index`; all texts empty when the batch is not labelled. */
struct batch_label batch_label(const struct batch *batch, size_t index);

/*
 * Appends one event that was encoded earlier, with the bytes of one format and its label: for
 * batches made of what was stored, and of parts of other batches. The other formats stay empty.
 * `event->relation` may be NULL; the label is left out where the batch is not labelled. FAN_RETRY
 * when memory is out; the batch is then as it was.
 */
enum fan_status batch_append(struct batch *batch, const struct batch_event *event, size_t format,
                             const uint8_t *bytes, size_t size, const uint8_t *label,
                             size_t label_size) FAN_MUST_CHECK;

/*
 * The pool that a pipeline takes its batches from. Keeps up to `spare_max` unused batches, whose
 * buffers stay allocated up to `spare_bytes_max` each, so that a busy pipeline does not allocate.
 * Threading: batch_pool_take() by the pipeline's worker; giving back from any thread.
 */
struct batch_pool *batch_pool_create(size_t formats_count, bool labelled, size_t spare_max,
                                     size_t spare_bytes_max);
/* Waits for nothing: every batch must have come back. Accepts NULL. */
void batch_pool_destroy(struct batch_pool *pool);
/* Returns an empty batch with one reference, or NULL when memory is out. */
struct batch *batch_pool_take(struct batch_pool *pool);
/* Makes room for one more event in `events` and every `ends`; false when memory is out. */
bool batch_reserve_event(struct batch *batch);

/*
 * Moves events [first, events_count) with their bytes of every format to `ret_rest`, an empty
 * batch of the same number of formats. Sequence, part and limit stay the caller's to set. Only
 * before the batch was handed out. FAN_RETRY when memory is out; both batches are then as they
 * were.
 */
enum fan_status batch_split(struct batch *batch, size_t first,
                            struct batch *ret_rest) FAN_MUST_CHECK;

#endif
