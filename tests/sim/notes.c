#include "tests/sim/notes.h"

#include <inttypes.h>
#include <stdio.h>

static uint64_t counters[SOMETIMES_COUNT];

static const char *const names[SOMETIMES_COUNT] = {
    [SOMETIMES_RESENT_SKIPPED_WHOLE] = "re-send skipped whole",
    [SOMETIMES_RESENT_SKIPPED_MIDDLE] = "re-send skipped in the middle (seq)",
    [SOMETIMES_KEEPALIVE_ACK] = "keepalive-only ack",
    [SOMETIMES_KEEPALIVE_IN_TXN] = "keepalive inside a transaction",
    [SOMETIMES_EQUAL_LSNS] = "equal change LSNs",
    [SOMETIMES_END_IS_NEXT_START] = "end of a transaction is the start of the next record",
    [SOMETIMES_SCHEMA_CHANGE_IN_TXN] = "schema change inside a transaction",
    [SOMETIMES_EMPTY_TXN] = "empty transaction (14)",
    [SOMETIMES_LOOSE_MESSAGE] = "non-transactional message delivered",
    [SOMETIMES_GAP_OPENED] = "drop_oldest: gap opened",
    [SOMETIMES_GAP_CLOSED] = "drop_oldest: gap closed by a marker",
    [SOMETIMES_GAP_RESENT] = "gap marker sent again after a restart",
    [SOMETIMES_LOST_RECOVERED] = "OUTCOME_LOST recovered",
    [SOMETIMES_PASSED_OVER] = "pipeline that does not run is passed over",
    [SOMETIMES_REWOUND] = "passed over, then rewound",
    [SOMETIMES_TXN_CUT] = "transaction cut in parts",
    [SOMETIMES_READER_BLOCKED] = "block held the reader",
    [SOMETIMES_SLOT_ROLLED_BACK] = "slot rolled back by a server crash",
    [SOMETIMES_START_AHEAD] = "START ahead of the slot",
    [SOMETIMES_STORE_HELD_ACK] = "store failure held the ack",
    [SOMETIMES_OVERFLOW_ERROR] = "error policy: overflow",
    [SOMETIMES_AMBIGUOUS_DEDUPED] = "ambiguous write met again",
    [SOMETIMES_DURABLE_UNREPORTED] = "durable without an outcome",
    [SOMETIMES_FILE_CUT_BACK] = "file-like target cut back to its checkpoint",
    [SOMETIMES_OUT_OF_ORDER] = "completion of targets out of order",
    [SOMETIMES_DRAIN_LET_GO] = "stopping server let go with flush=0",
    [SOMETIMES_SLOT_INTENT_ADOPTED] = "slot adopted after a crash between intent and point",
    [SOMETIMES_SLOT_OF_A_STRANGER] = "slot made by a stranger between look and CREATE",
    [SOMETIMES_SLOT_ACTIVE] = "slot still active when reconnecting",
    [SOMETIMES_LINK_SILENT] = "half-open link given up",
    [SOMETIMES_ENGINE_CRASH] = "engine crash",
    [SOMETIMES_STOP_DRAINED] = "graceful stop drained",
    [SOMETIMES_STOP_CUT_SHORT] = "graceful stop cut short",
    [SOMETIMES_PAUSED_OVER_RESTART] = "pipeline not running over a restart",
    [SOMETIMES_PIPELINE_ADDED] = "pipeline added between runs",
    [SOMETIMES_PIPELINE_REMOVED] = "pipeline removed between runs",
    [SOMETIMES_ISOLATED_AND_BACK] = "isolated, backlog delivered, live again",
    [SOMETIMES_SPILL_AND_BACK] = "spilled, spill delivered, live again",
    [SOMETIMES_TARGET_GAP] = "gap of one target's backlog",
    [SOMETIMES_TARGET_GAP_MARKED] = "its marker reached the target",
    [SOMETIMES_BISECT_DEEP] = "refused request halved three times",
    [SOMETIMES_POISON] = "poison event became a letter",
    [SOMETIMES_PARKED] = "later event parked behind a letter",
    [SOMETIMES_VERDICTS] = "answer with verdicts",
    [SOMETIMES_AMBIGUOUS_ANSWER] = "refused although it was taken",
    [SOMETIMES_QUORUM_WENT_ON] = "quorum went on without one",
    [SOMETIMES_QUORUM_HELD] = "quorum held with too few",
    [SOMETIMES_LETTERS_FULL] = "full letters held the ack (at_cap: block)",
    [SOMETIMES_LETTERS_LOST] = "letters lost in a crash on their way to the store",
    [SOMETIMES_BACKLOG_RESUMED] = "backlog found after a restart",
    [SOMETIMES_BACKLOG_USELESS] = "backlog found that the slot has, too",
    [SOMETIMES_SPILL_TAIL_LOST] = "unsynced end of a spill lost in a crash",
    [SOMETIMES_FATAL_MENDED] = "fatal target, then an operator",
    [SOMETIMES_STOP_SOURCE] = "stop_source",
    [SOMETIMES_LAGGARD_DIVERTED] = "laggard diverted to its spill",
    [SOMETIMES_OVERFLOW_SPILLED] = "full buffer went to the spill",
    [SOMETIMES_GUARD_SPILLED] = "slot guard: held pipeline spills",
    [SOMETIMES_GUARD_DETACHED] = "slot guard: held pipeline is given up",
    [SOMETIMES_ASKED_IN_ORDER] = "request that had to wait for what comes before it",
    [SOMETIMES_REPLAYED] = "letter replayed",
    [SOMETIMES_REPLAYED_TWICE] = "letter replayed that was gone by then",
    [SOMETIMES_REPLAY_REFUSED] = "replayed letter refused again",
    [SOMETIMES_REPLAY_WAITED] = "letter waited in a replay for an older one",
    [SOMETIMES_REPLAY_STOPPED] = "target failed midway in a replay",
    [SOMETIMES_REPLAY_CRASHED] = "engine crash in a replay",
    [SOMETIMES_REPLAY_UNSETTLED] = "letter replayed, and the store does not know",
    [SOMETIMES_REPLAY_ENCOURAGED] = "replay had an isolated target tried",
    [SOMETIMES_LETTER_REJECTED] = "full letters: new one given up (at_cap: reject)",
    [SOMETIMES_LETTER_DROPPED] = "full letters: oldest given up (at_cap: drop_oldest)",
    [SOMETIMES_ISOLATED_DROPPED] = "full letters: isolated one given up, a hole in its backlog",
    [SOMETIMES_LETTER_TOO_LARGE] = "letter over max_payload given up",
    [SOMETIMES_STOP_ALL] = "stop_all",
    [SOMETIMES_STOP_ALL_DRAINED] = "stop_all, and the others had drained",
    [SOMETIMES_SPILL_FORMAT] = "spill of a target with another format than the first",
    [SOMETIMES_LETTER_FORMAT] = "letter of a target with another format than the first",
    [SOMETIMES_ISOLATED_FORMAT] = "isolated letter of a target with another format than the first",
    [SOMETIMES_GUARD_STOPPED] = "slot guard: reading is stopped",
};

void notes_add(struct notes *notes, int64_t now_us, const char *what, uint64_t first,
               uint64_t second, uint64_t third)
{
    struct note *note = &notes->kept[notes->count++ % NOTES_MAX];
    *note = (struct note){.now_us = now_us, .what = what, .numbers = {first, second, third}};
    if (notes->trace) {
        (void)printf("%12.6f  %-36s %" PRIX64 " %" PRIX64 " %" PRIX64 "\n", (double)now_us / 1e6,
                     what, first, second, third);
    }
}

void notes_print(const struct notes *notes)
{
    uint64_t start = notes->count > NOTES_MAX ? notes->count - NOTES_MAX : 0;
    for (uint64_t index = start; index < notes->count && !notes->trace; index++) {
        const struct note *note = &notes->kept[index % NOTES_MAX];
        (void)printf("%12.6f  %-36s %" PRIX64 " %" PRIX64 " %" PRIX64 "\n",
                     (double)note->now_us / 1e6, note->what, note->numbers[0], note->numbers[1],
                     note->numbers[2]);
    }
}

void sometimes(enum sometimes which)
{
    counters[which]++;
}

unsigned sometimes_print(void)
{
    unsigned missing = 0;
    for (unsigned which = 0; which < SOMETIMES_COUNT; which++) {
        (void)printf("%10" PRIu64 "  %s\n", counters[which], names[which]);
        missing += counters[which] == 0;
    }
    return missing;
}
