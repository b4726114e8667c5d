/*
 * deadletter.h - changes that could not be delivered, kept in the store to inspect and replay.
 *
 * A letter is one encoded event of one (pipeline, target), with the cause. There are three causes:
 *
 *   poison    the target will never take this event: it failed when it was sent alone
 *   parked    an earlier event of the same key is a letter, so this one waits behind it
 *   isolated  the target could not work: everything from the failing change on is here, in order
 *
 * The functions work on an open store (store/store.h), so the same code serves the running engine,
 * on its store thread, and `pgfan dlq` on the file when no engine runs.
 *
 * INVARIANTS  (1) what an add returned FAN_OK for is on disk (one transaction, synchronous=FULL).
 *             (2) a letter leaves only by delivery (remove), by purge, or with a gap row written
 *                 in the same transaction (at_cap, max_age, max_payload).
 *             (3) letters of one (pipeline, target) are unique by position: adding one again
 *                 changes nothing but its attempts (they are summed), code, error and last time,
 *                 and its cause where the new one is stronger: poison, then parked, then isolated.
 *             (4) `number` grows in the order of adding, over restarts too, and is never used
 *                 again.
 * Ownership:  texts and payloads given to a callback are valid during the call only.
 * Threading:  whoever has the store at the time; one thread.
 * Errors:     as store_save(): FAN_RETRY with STORE_FULL, STORE_LOCKED or STORE_IO, FAN_FATAL for
 *             a damaged store. FAN_AGAIN where noted. After a failure nothing was changed.
 * Limits:     struct deadletter_caps. A search that an index does not answer looks at every letter;
 *             who must not hold the store for so long takes it in slices (deadletter_scan).
 *
 * Gap rows that are made here have negative ids. A run of letters that leave together becomes one
 * row, and it goes on growing while more of the same leave within ten minutes, so that a full
 * store does not fill the table of gaps. The range of such a row says where to look; its count is
 * exact, but for one thing: an event whose gap row was written and that comes again because the
 * engine was killed before its checkpoint was, is counted again.
 */
#ifndef DEADLETTER_DEADLETTER_H
#define DEADLETTER_DEADLETTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "store/record.h"

struct store;

enum deadletter_cause { LETTER_POISON = 1, LETTER_PARKED = 2, LETTER_ISOLATED = 3 };

enum { LETTER_ID_MAX = 160, LETTER_ERROR_MAX = 512, LETTER_CODE_MAX = 32, LETTER_FORMAT_MAX = 32 };

/* Borrowed from whoever made it: the adder, or the callback of a list. */
struct deadletter {
    int64_t number; /* set by the store */
    const char *pipeline;
    const char *target;
    const char *source;
    uint64_t commit_lsn; /* the event's position */
    int64_t seq;
    uint64_t hold_lsn;      /* see struct change */
    int64_t commit_time_us; /* of the server */
    char op;                /* enum change_op */
    bool txn_end;           /* last event of its transaction in this pipeline */
    const char *id;         /* the idempotency key */
    const char *format;     /* the envelope of the payload, as `format` in the conf */
    const uint8_t *label;   /* schema, table, key, old key, as in model/batch.h; may be empty */
    size_t label_size;
    const uint8_t *payload; /* whole, as the target would get it */
    size_t payload_size;
    enum deadletter_cause cause;
    const char *code;  /* a stable word for the error, such as HTTP_422; may be "" */
    const char *error; /* one line; no secret */
    uint32_t attempts;
    int64_t first_us; /* wall clock: of the first attempt, of the last; 0 when it is added: now */
    int64_t last_us;
};

enum deadletter_at_cap {
    AT_CAP_BLOCK,       /* nothing is added: FAN_AGAIN with the code DEAD_LETTERS_FULL. Letters
                           that would not fit an empty store at once never will: add fewer. */
    AT_CAP_REJECT,      /* the new letters become gap rows */
    AT_CAP_DROP_OLDEST, /* the oldest letters of any target become gap rows until the new fit */
};

struct deadletter_caps {
    uint64_t entries_max;       /* over all letters of the store */
    uint64_t bytes_max;         /* payloads and labels */
    uint64_t payload_bytes_max; /* a single larger event becomes a gap row at once */
    int64_t age_us_max;         /* 0: no bound; deadletter_expire() */
    enum deadletter_at_cap at_cap;
};

struct deadletter_added {
    uint64_t added;    /* new rows; those that were there before are not counted */
    uint64_t known;    /* those that were there before */
    uint64_t rejected; /* new events that became gap rows */
    uint64_t dropped;  /* older letters that became gap rows */
};

/*
 * Adds all of them in one transaction, in this order, at wall time `now_us`. What was there before
 * counts against no cap. With AT_CAP_DROP_OLDEST letters of this very call may be the oldest: they
 * are counted as added and as dropped. A letter that alone is over bytes_max becomes a gap row,
 * but for AT_CAP_BLOCK.
 */
enum fan_status deadletter_add(struct store *store, const struct deadletter *letters, size_t count,
                               const struct deadletter_caps *caps, int64_t now_us,
                               struct deadletter_added *ret_added,
                               struct fan_error *reterr) FAN_MUST_CHECK;

/* Letters whose first attempt is longer ago than caps->age_us_max become gap rows, in the order of
 * adding up to the first that is younger; at most `limit` a call, and no more than a slice. */
enum fan_status deadletter_expire(struct store *store, const struct deadletter_caps *caps,
                                  int64_t now_us, size_t limit, uint64_t *ret_expired,
                                  struct fan_error *reterr) FAN_MUST_CHECK;

/* Which letters; a NULL or zero field does not restrict. */
struct deadletter_filter {
    const char *pipeline;
    const char *target;
    const char *table; /* schema.table, exact */
    const char *key;   /* exact JSON text of the key, as `show` prints it */
    const char *error; /* a piece of the code or the error's text, whatever its case */
    enum deadletter_cause cause;
    int64_t since_us;     /* last attempt not before; wall clock */
    int64_t number;       /* only this one */
    int64_t after_number; /* only later ones: to go on where a list ended */
};

/* Called for each letter; false ends the list early. */
typedef bool deadletter_see(void *context, const struct deadletter *letter);

/* A search by number, a slice at a time: call until `done`. Starts as {.wanted = limit}. */
struct deadletter_scan {
    uint64_t wanted;      /* letters still wanted */
    int64_t after_number; /* where it goes on; at first that of the filter counts */
    bool done;
};

enum { DEADLETTER_SLICE = 1000 }; /* letters that one call looks at */

/* Looks at the next slice. Without payloads, `payload` is NULL and its size is told. */
enum fan_status deadletter_scan(struct store *store, const struct deadletter_filter *filter,
                                bool with_payload, struct deadletter_scan *scan,
                                deadletter_see *see, void *context,
                                struct fan_error *reterr) FAN_MUST_CHECK;

/* BY_POSITION needs a filter with pipeline and target. Whole, with payloads. */
enum deadletter_order {
    LETTERS_BY_NUMBER,   /* as they were added */
    LETTERS_BY_POSITION, /* as they would be delivered; of one (pipeline, target) */
};

enum fan_status deadletter_list(struct store *store, const struct deadletter_filter *filter,
                                enum deadletter_order order, uint64_t limit, deadletter_see *see,
                                void *context, struct fan_error *reterr) FAN_MUST_CHECK;

struct deadletter_count {
    uint64_t entries;
    uint64_t bytes;
    uint64_t by_cause[4]; /* index: enum deadletter_cause */
    int64_t oldest_us;    /* first attempt of the oldest; 0 none */
};

/* At once when the filter names pipeline, target and cause at most. */
enum fan_status deadletter_count(struct store *store, const struct deadletter_filter *filter,
                                 struct deadletter_count *ret_count,
                                 struct fan_error *reterr) FAN_MUST_CHECK;
/* The same in slices, `count` zeroed before the first; `wanted` is not used. */
enum fan_status deadletter_count_step(struct store *store, const struct deadletter_filter *filter,
                                      struct deadletter_scan *scan, struct deadletter_count *count,
                                      struct fan_error *reterr) FAN_MUST_CHECK;

/* They were delivered: removes them by number. */
enum fan_status deadletter_delivered(struct store *store, const int64_t *numbers, size_t count,
                                     struct fan_error *reterr) FAN_MUST_CHECK;

/* Another attempt failed: counts it and keeps the new error. */
enum fan_status deadletter_failed(struct store *store, int64_t number, const char *code,
                                  const char *error, int64_t now_us,
                                  struct fan_error *reterr) FAN_MUST_CHECK;

/*
 * An operator gives them up, each run with a gap row, and their place in the file is overwritten.
 * `ret_purged`: how many there were. Every slice is a transaction of its own: after a failure what
 * was purged before it stays so.
 */
enum fan_status deadletter_purge(struct store *store, const struct deadletter_filter *filter,
                                 int64_t now_us, uint64_t *ret_purged,
                                 struct fan_error *reterr) FAN_MUST_CHECK;

/* The same, one slice; `purged` counts on, and `wanted` bounds it over all slices. */
enum fan_status deadletter_purge_step(struct store *store, const struct deadletter_filter *filter,
                                      struct deadletter_scan *scan, int64_t now_us,
                                      uint64_t *purged, struct fan_error *reterr) FAN_MUST_CHECK;

/* ---- the backlog of an isolated target: its letters of cause `isolated`, by position ---- */

/* Up to `entries` letters and about `bytes` of payload, with positions above (lsn, seq). */
enum fan_status deadletter_backlog(struct store *store, const char *pipeline, const char *target,
                                   uint64_t after_lsn, int64_t after_seq, uint64_t entries,
                                   uint64_t bytes, deadletter_see *see, void *context,
                                   struct fan_error *reterr) FAN_MUST_CHECK;

/* Its events up to this position are durable at the target: removes them. */
enum fan_status deadletter_backlog_delivered(struct store *store, const char *pipeline,
                                             const char *target, uint64_t lsn, int64_t seq,
                                             struct fan_error *reterr) FAN_MUST_CHECK;

/* First and last position; `ret_entries` 0: there is no backlog and they are untouched. */
enum fan_status deadletter_backlog_range(struct store *store, const char *pipeline,
                                         const char *target, uint64_t *ret_entries,
                                         uint64_t *ret_first_lsn, int64_t *ret_first_seq,
                                         uint64_t *ret_last_lsn, int64_t *ret_last_seq,
                                         struct fan_error *reterr) FAN_MUST_CHECK;

/* ---- keys that have letters of cause `poison` or `parked` ---- */

/* Called for each letter of these causes with its label and without its payload. */
enum fan_status deadletter_keys(struct store *store, const char *pipeline, const char *target,
                                deadletter_see *see, void *context,
                                struct fan_error *reterr) FAN_MUST_CHECK;

/* A label taken apart; all borrowed, without NUL at the end. Empty where the event has none. */
struct deadletter_label {
    const char *schema;
    size_t schema_size;
    const char *table;
    size_t table_size;
    const char *key;
    size_t key_size;
    const char *old_key;
    size_t old_key_size;
};
/* False, and all parts empty, when the bytes are not a label. */
bool deadletter_label_parse(const uint8_t *bytes, size_t size, struct deadletter_label *ret_label);

/* poison, parked, isolated. */
const char *deadletter_cause_name(enum deadletter_cause cause);
bool deadletter_cause_parse(const char *name, enum deadletter_cause *ret_cause);

#endif
