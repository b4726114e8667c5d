/*
 * letter.h - the rows of undelivered events, and the gap rows that take their place.
 *
 * What a letter means, when one may be added and what is done with it stands in deadletter/. Here
 * are the statements only: each finds its rows by an index and reads no more than it gives.
 *
 *     store_begin -> { store_letter_* | store_gap_note }* -> store_commit
 *
 * Reads need no transaction. In a file of version 1, opened read-only, there are no letters.
 *
 * Ownership:  an adder's texts and bytes are borrowed for the call; a visitor's until it returns.
 * Threading:  whoever has the store at the time; one thread.
 * Errors:     those of store_save(). After a failure inside a transaction: store_rollback().
 */
#ifndef STORE_LETTER_H
#define STORE_LETTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "store/record.h"

struct store;

struct store_letter {
    int64_t number; /* grows in the order of adding and is never used again */
    const char *pipeline;
    const char *target;
    const char *source;
    uint64_t commit_lsn;
    int64_t seq;
    uint64_t hold_lsn;
    int64_t commit_time_us;
    int op;
    bool txn_end;
    const char *id;
    const char *format;
    int cause;
    const char *code;
    const char *error;
    uint32_t attempts;
    int64_t first_us;
    int64_t last_us;
    const uint8_t *label;
    size_t label_size;
    const uint8_t *payload; /* NULL for who did not ask for it; its size is known then too */
    size_t payload_size;
};

/* A place in the order of one (pipeline, target). */
struct store_position {
    uint64_t lsn;
    int64_t seq;
};

/* ---- writing; inside a transaction ---- */

/* If a letter of this pipeline, target and position is there: adds the attempts, keeps the new
 * code, error and last time, and says so. */
enum fan_status store_letter_touch(struct store *store, const struct store_letter *letter,
                                   bool *ret_known, struct fan_error *reterr) FAN_MUST_CHECK;
/* Its number is the store's to give. The position must not be there yet. */
enum fan_status store_letter_insert(struct store *store, const struct store_letter *letter,
                                    struct fan_error *reterr) FAN_MUST_CHECK;
enum fan_status store_letter_remove(struct store *store, int64_t number,
                                    struct fan_error *reterr) FAN_MUST_CHECK;
/* Those of one cause up to a position. */
enum fan_status store_letter_remove_upto(struct store *store, const char *pipeline,
                                         const char *target, int cause,
                                         struct store_position position,
                                         struct fan_error *reterr) FAN_MUST_CHECK;
/* Counts one more attempt. */
enum fan_status store_letter_failed(struct store *store, int64_t number, const char *code,
                                    const char *error, int64_t last_us,
                                    struct fan_error *reterr) FAN_MUST_CHECK;

/*
 * Records what a target will never get. `gap->gap_id` is ignored: rows made here are numbered
 * downwards from -1. The newest row of the target grows when it is of the same cause, grew within
 * ten minutes and no letter lies between it and the new range; else there is a new row.
 */
enum fan_status store_gap_note(struct store *store, const struct store_gap *gap,
                               struct fan_error *reterr) FAN_MUST_CHECK;

/* ---- reading ---- */

enum store_letter_order {
    STORE_LETTERS_BY_NUMBER,   /* all of them; `after_number` counts */
    STORE_LETTERS_BY_POSITION, /* of one (pipeline, target); `after` counts when has_after is set */
};

struct store_letter_walk {
    enum store_letter_order order;
    const char *pipeline; /* by position only */
    const char *target;
    int cause; /* by position only: of this cause; 0 any */
    int64_t after_number;
    bool has_after;
    struct store_position after;
    uint64_t rows_max;
    bool with_payload;
    /* Of each letter, without its payload: whether see() wants it. NULL: every one. */
    bool (*match)(void *context, const struct store_letter *letter);
    /* false ends the walk. Neither may use the store. */
    bool (*see)(void *context, const struct store_letter *letter);
    void *context;
};

/* `ret_rows`: how many were looked at, matching or not. */
enum fan_status store_letter_walk(struct store *store, const struct store_letter_walk *walk,
                                  uint64_t *ret_rows, struct fan_error *reterr) FAN_MUST_CHECK;

/* The sums of all letters; payloads and labels count as bytes. */
enum fan_status store_letter_totals(struct store *store, uint64_t *ret_entries, uint64_t *ret_bytes,
                                    struct fan_error *reterr) FAN_MUST_CHECK;

typedef void store_letter_total_see(void *context, const struct store_letter_total *total);

/* Each sum of store_state.letters, without reading the rest of the store. */
enum fan_status store_letter_totals_each(struct store *store, store_letter_total_see *see,
                                         void *context, struct fan_error *reterr) FAN_MUST_CHECK;

/* The first or last position of one cause; `ret_found` false: there is none. */
enum fan_status store_letter_edge(struct store *store, const char *pipeline, const char *target,
                                  int cause, bool last, bool *ret_found,
                                  struct store_position *ret_position,
                                  struct fan_error *reterr) FAN_MUST_CHECK;

#endif
