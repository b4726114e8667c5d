/*
 * notes.h - what happened lately in the history at hand, and which rare situations were met.
 *
 * A note is a text constant with three numbers, so that noting costs next to nothing; the last
 * ones are printed when a seed fails. SOMETIMES counters say over all seeds that a situation was
 * reached at all: a check that is never put to the test proves nothing.
 *
 * Ownership:  texts are string constants.
 * Limits:     NOTES_MAX notes are kept, the newest.
 */
#ifndef TESTS_SIM_NOTES_H
#define TESTS_SIM_NOTES_H

#include <stdbool.h>
#include <stdint.h>

enum { NOTES_MAX = 120 };

struct note {
    int64_t now_us;
    const char *what;
    uint64_t numbers[3];
};

struct notes {
    struct note kept[NOTES_MAX];
    uint64_t count;
    bool trace; /* also print each at once */
};

void notes_add(struct notes *notes, int64_t now_us, const char *what, uint64_t first,
               uint64_t second, uint64_t third);
void notes_print(const struct notes *notes);

enum sometimes {
    SOMETIMES_RESENT_SKIPPED_WHOLE,
    SOMETIMES_RESENT_SKIPPED_MIDDLE,
    SOMETIMES_KEEPALIVE_ACK,
    SOMETIMES_KEEPALIVE_IN_TXN,
    SOMETIMES_EQUAL_LSNS,
    SOMETIMES_END_IS_NEXT_START,
    SOMETIMES_SCHEMA_CHANGE_IN_TXN,
    SOMETIMES_EMPTY_TXN,
    SOMETIMES_LOOSE_MESSAGE,
    SOMETIMES_GAP_OPENED,
    SOMETIMES_GAP_CLOSED,
    SOMETIMES_GAP_RESENT,
    SOMETIMES_LOST_RECOVERED,
    SOMETIMES_PASSED_OVER,
    SOMETIMES_REWOUND,
    SOMETIMES_TXN_CUT,
    SOMETIMES_READER_BLOCKED,
    SOMETIMES_SLOT_ROLLED_BACK,
    SOMETIMES_START_AHEAD,
    SOMETIMES_STORE_HELD_ACK,
    SOMETIMES_OVERFLOW_ERROR,
    SOMETIMES_AMBIGUOUS_DEDUPED,
    SOMETIMES_DURABLE_UNREPORTED,
    SOMETIMES_FILE_CUT_BACK,
    SOMETIMES_OUT_OF_ORDER,
    SOMETIMES_DRAIN_LET_GO,
    SOMETIMES_SLOT_INTENT_ADOPTED,
    SOMETIMES_SLOT_OF_A_STRANGER,
    SOMETIMES_SLOT_ACTIVE,
    SOMETIMES_LINK_SILENT,
    SOMETIMES_ENGINE_CRASH,
    SOMETIMES_STOP_DRAINED,
    SOMETIMES_STOP_CUT_SHORT,
    SOMETIMES_PAUSED_OVER_RESTART,
    SOMETIMES_PIPELINE_ADDED,
    SOMETIMES_PIPELINE_REMOVED,
    SOMETIMES_ISOLATED_AND_BACK,
    SOMETIMES_SPILL_AND_BACK,
    SOMETIMES_TARGET_GAP,
    SOMETIMES_TARGET_GAP_MARKED,
    SOMETIMES_BISECT_DEEP,
    SOMETIMES_POISON,
    SOMETIMES_PARKED,
    SOMETIMES_VERDICTS,
    SOMETIMES_AMBIGUOUS_ANSWER,
    SOMETIMES_QUORUM_WENT_ON,
    SOMETIMES_QUORUM_HELD,
    SOMETIMES_LETTERS_FULL,
    SOMETIMES_LETTERS_LOST,
    SOMETIMES_BACKLOG_RESUMED,
    SOMETIMES_BACKLOG_USELESS,
    SOMETIMES_SPILL_TAIL_LOST,
    SOMETIMES_FATAL_MENDED,
    SOMETIMES_STOP_SOURCE,
    SOMETIMES_LAGGARD_DIVERTED,
    SOMETIMES_OVERFLOW_SPILLED,
    SOMETIMES_GUARD_SPILLED,
    SOMETIMES_GUARD_DETACHED,
    SOMETIMES_REPLAYED,
    SOMETIMES_REPLAYED_TWICE,
    SOMETIMES_REPLAY_REFUSED,
    SOMETIMES_REPLAY_WAITED,
    SOMETIMES_REPLAY_STOPPED,
    SOMETIMES_REPLAY_CRASHED,
    SOMETIMES_REPLAY_UNSETTLED,
    SOMETIMES_REPLAY_ENCOURAGED,
    SOMETIMES_LETTER_REJECTED,
    SOMETIMES_LETTER_DROPPED,
    SOMETIMES_ISOLATED_DROPPED,
    SOMETIMES_LETTER_TOO_LARGE,
    SOMETIMES_STOP_ALL,
    SOMETIMES_STOP_ALL_DRAINED,
    SOMETIMES_COUNT,
};

void sometimes(enum sometimes which);
/* Prints every counter; returns how many are 0. */
unsigned sometimes_print(void);

#endif
