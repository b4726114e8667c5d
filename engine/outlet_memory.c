#include <stdlib.h>

#include "base/assert.h"
#include "base/count.h"
#include "engine/outlet_internal.h"

bool outlet_memory_park(struct outlet_memory *memory, const uint8_t *label, size_t label_size,
                        struct fan_position position)
{
    bool starved = parked_add(&memory->parked, label, label_size, position, NULL) == FAN_RETRY;
    memory->starved = memory->starved || starved;
    return !starved;
}

void outlet_memory_gap(struct outlet_memory *memory, const struct change_gap *gap, bool own)
{
    if (own && position_compare(gap->last, memory->given_up) > 0) {
        memory->given_up = gap->last;
    }
    if (position_compare(gap->last, memory->checkpoint.position) <= 0 ||
        position_compare(own ? gap->first : gap->last, memory->settled) > 0) {
        return; /* its marker has been shown, or its events come again */
    }
    if (memory->lost_count == memory->lost_capacity) {
        size_t capacity = memory->lost_capacity == 0 ? 16 : 2 * memory->lost_capacity;
        struct change_gap *lost = realloc(memory->lost, capacity * sizeof(*lost));
        if (lost == NULL) {
            memory->starved = true;
            return;
        }
        memory->lost = lost;
        memory->lost_capacity = capacity;
    }
    memory->lost[memory->lost_count++] = *gap;
}

void outlet_memory_release(struct outlet_memory *memory)
{
    parked_release(&memory->parked);
    free(memory->lost);
    memory->lost = NULL;
}

/* What is settled behind the checkpoint and its backlog is in gaps whose marker was not shown. */
static void outlet_recall_gap(struct outlet *outlet, const struct outlet_memory *memory)
{
    bool kept = outlet->divert != BACKLOG_NONE;
    struct fan_position end = kept ? outlet->backlog.appended : outlet->checkpoint.position;
    if (position_compare(outlet->settled, end) <= 0) {
        return;
    }
    struct change_gap gap = {.first = outlet->settled, .last = outlet->settled};
    for (size_t at = 0; at < memory->lost_count; at++) {
        const struct change_gap *row = &memory->lost[at];
        if (position_compare(row->last, end) > 0) { /* else its marker is in the backlog */
            gap.first = position_compare(row->first, gap.first) < 0 ? row->first : gap.first;
            gap.count += row->count;
        }
    }
    if (gap.count > 0 && kept) {
        backlog_note_unmarked(&outlet->backlog, &gap);
    } else if (gap.count > 0) {
        outlet->gap_to_mark = gap;
    }
}

enum fan_status outlet_resume(struct outlet *outlet, struct outlet_memory *memory,
                              struct fan_error *reterr)
{
    if (memory->starved) {
        return fan_fail(reterr, FAN_RETRY,
                        "could not read what the store has of a target: out of memory");
    }
    outlet->parked = memory->parked;
    memory->parked = (struct parked){0};
    count_set(&outlet->counters.parked_keys, outlet->parked.keys_count);
    outlet->checkpoint = memory->checkpoint;
    outlet->given_up = memory->given_up;
    struct fan_position position = memory->checkpoint.position;
    outlet->settled = position_compare(position, memory->settled) > 0 ? position : memory->settled;
    enum backlog_kind kind = memory->isolated > 0 ? BACKLOG_LETTERS : BACKLOG_NONE;
    bool needed = outlet_memory_needs_backlog(memory);
    FAN_ASSERT(needed || memory->isolated == 0);
    enum fan_status status = backlog_resume(&outlet->backlog, kind, needed, position,
                                            memory->isolated_last, memory->isolated, reterr);
    if (status != FAN_OK) {
        return status;
    }
    outlet->divert = outlet->backlog.kind;
    outlet->fatal = memory->fatal && outlet->divert != BACKLOG_NONE;
    if (outlet->divert != BACKLOG_NONE) {
        outlet->circuit_open = outlet->divert == BACKLOG_LETTERS;
        count_set(&outlet->counters.backlog, outlet->backlog.events);
        if (position_compare(outlet->backlog.appended, outlet->settled) > 0) {
            outlet->settled = outlet->backlog.appended;
        }
    }
    outlet_recall_gap(outlet, memory);
    outlet->given = outlet->settled;
    outlet->sent = position;
    outlet->persisted = position;
    outlet->kept_until = outlet->settled;
    outlet_move(outlet);
    return FAN_OK;
}
