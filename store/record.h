/*
 * record.h - what the store keeps, as plain values.
 *
 * The store knows no word of the engine's model: positions are plain integers here and the engine
 * converts. Names have NUL within their size; a longer one cannot be stored.
 *
 * Ownership:  store_state_release() frees what store_load() filled; an update only borrows.
 * Limits:     rows of each kind as below; store_load() refuses more as STORE_TOO_LARGE, but for
 *             gaps, of which it gives the newest STORE_GAPS_LOAD_MAX and the number of all.
 */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include <stddef.h>
#include <stdint.h>

enum {
    STORE_NAME_MAX = 64, /* bytes with NUL */
    STORE_DETAIL_MAX = 256,
    STORE_REASON_MAX = 256,
    STORE_ADDRESS_MAX = 256,
    STORE_SOURCES_MAX = 1024,
    STORE_PIPELINES_MAX = 16384,
    STORE_CHECKPOINTS_MAX = 65536,
    STORE_LETTER_TOTALS_MAX = 3 * STORE_CHECKPOINTS_MAX,
    STORE_GAPS_LOAD_MAX = 10000,
};

/* How far the making of a slot has come; the intent is on disk before the slot is made. */
enum store_slot_state { STORE_SLOT_NONE = 0, STORE_SLOT_INTENT = 1, STORE_SLOT_CREATED = 2 };

/* Key: source. */
struct store_source {
    char source[STORE_NAME_MAX]; /* as named in the conf */
    char system_id[24];          /* decimal */
    uint32_t timeline;
    char slot[STORE_NAME_MAX];
    char database[STORE_NAME_MAX];
    char publication[STORE_NAME_MAX];
    int slot_state; /* enum store_slot_state */
    uint64_t consistent_point;
    uint64_t confirmed; /* the persisted ack; a save that would lower it is refused */
};

/* Key: pipeline, target. */
struct store_checkpoint {
    char pipeline[STORE_NAME_MAX];
    char target[STORE_NAME_MAX];
    uint64_t commit_lsn; /* durable at the target */
    int64_t seq;
    uint64_t settled_lsn; /* durable there, or in its backlog, or a letter, or in a gap */
    int64_t settled_seq;
    int fatal;                       /* it waits for an operator */
    char detail[STORE_DETAIL_MAX];   /* the target's own words */
    int64_t updated_us;              /* wall clock */
    uint64_t start_lsn;              /* the confirmed position at which this target began */
    char type[32];                   /* of the target */
    char address[STORE_ADDRESS_MAX]; /* for people: a changed address keeps its checkpoint */
};

/* Key: pipeline. */
struct store_pipeline {
    char pipeline[STORE_NAME_MAX];
    char source[STORE_NAME_MAX];
    int state; /* the engine's own numbers */
    char reason[STORE_REASON_MAX];
    int64_t since_us; /* wall clock */
};

/* What a target will never get. Key: pipeline, target, gap_id. */
struct store_gap {
    char pipeline[STORE_NAME_MAX];
    char target[STORE_NAME_MAX];
    int64_t gap_id; /* the engine's own from 1 upwards; of letters given up from -1 downwards */
    uint64_t first_lsn;
    int64_t first_seq;
    uint64_t last_lsn;
    int64_t last_seq;
    uint64_t count;
    char cause[64];
    int64_t at_us; /* wall clock */
};

/* The cause of gap rows that a full buffer makes; every target of its pipeline has the same. */
#define STORE_GAP_DROPPED "buffer full: drop_oldest"

/* How many letters a target has. Key: pipeline, target, cause. Kept by the store itself: a sum can
 * be loaded, and a removal of this kind takes the letters, but it cannot be saved. */
struct store_letter_total {
    char pipeline[STORE_NAME_MAX];
    char target[STORE_NAME_MAX];
    int cause; /* deadletter/'s own numbers */
    uint64_t entries;
    uint64_t bytes; /* of payloads and labels */
};

enum store_record_kind {
    STORE_SOURCE,
    STORE_CHECKPOINT,
    STORE_PIPELINE,
    STORE_GAP,
    STORE_LETTER,
    STORE_KINDS
};

struct store_removal {
    enum store_record_kind kind;
    char name[STORE_NAME_MAX];   /* of the source, or of the pipeline */
    char target[STORE_NAME_MAX]; /* of checkpoints, gaps and letters; "": of every target */
};

/* Everything that one transaction writes. Removals come first, so that a record can be replaced
 * by one that would not be allowed to follow it (a source with a lower ack). */
struct store_update {
    const struct store_removal *removals;
    size_t removals_count;
    const struct store_source *sources;
    size_t sources_count;
    const struct store_checkpoint *checkpoints;
    size_t checkpoints_count;
    const struct store_pipeline *pipelines;
    size_t pipelines_count;
    const struct store_gap *gaps;
    size_t gaps_count;
};

/* Everything the store holds; arrays in key order, gaps in order of time. */
struct store_state {
    int64_t created_us;
    int schema_version;
    struct store_source *sources;
    size_t sources_count;
    struct store_checkpoint *checkpoints;
    size_t checkpoints_count;
    struct store_pipeline *pipelines;
    size_t pipelines_count;
    struct store_gap *gaps;
    size_t gaps_count;
    uint64_t gaps_total;                /* of all rows, loaded or not */
    struct store_letter_total *letters; /* sums: of those that have any */
    size_t letters_count;
};

/* Frees the arrays and zeroes the state. */
void store_state_release(struct store_state *state);

#endif
