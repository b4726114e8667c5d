#include "engine/intake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/count.h"
#include "base/log.h"

static enum fan_status patterns_compile(struct intake *intake, struct fan_error *reterr)
{
    const struct settings_pipeline *settings = intake->settings;
    for (size_t index = 0; index < settings->tables.count; index++) {
        enum fan_status status =
            pattern_parse(settings->tables.items[index], &intake->tables[index], reterr);
        if (status != FAN_OK) {
            return status;
        }
        intake->tables_count++;
    }
    for (size_t index = 0; index < settings->messages.count; index++) {
        enum fan_status status =
            pattern_parse_prefix(settings->messages.items[index], &intake->prefixes[index], reterr);
        if (status != FAN_OK) {
            return status;
        }
        intake->prefixes_count++;
    }
    return FAN_OK;
}

enum fan_status intake_init(struct intake *intake, const struct intake_setup *setup,
                            struct fan_error *reterr)
{
    const struct settings_pipeline *settings = setup->settings;
    size_t targets_count = settings->targets.count;
    *intake = (struct intake){
        .pipeline = setup->pipeline,
        .settings = settings,
        .gates = setup->gates,
        .targets_count = targets_count,
        .state = setup->state,
        .since_wall_us = setup->since_wall_us,
        .start_lsn = setup->start_lsn,
        .gap_id_base = setup->gap_id_base,
        .wish = WISH_IDLE,
        .clean = true,
        .restart_backoff = {.base_us = settings->error_handling.backoff_us,
                            .max_us = settings->error_handling.backoff_max_us},
    };
    (void)snprintf(intake->reason, sizeof(intake->reason), "%s", setup->reason); /* may be cut */
    intake->tables = calloc(settings->tables.count + 1, sizeof(*intake->tables));
    intake->prefixes = calloc(settings->messages.count + 1, sizeof(*intake->prefixes));
    intake->places = calloc(targets_count, sizeof(*intake->places));
    intake->persisted_moves = calloc(targets_count, sizeof(*intake->persisted_moves));
    intake->posted_moves = calloc(targets_count, sizeof(*intake->posted_moves));
    intake->posted = calloc(targets_count, sizeof(*intake->posted));
    intake->posted_gaps = calloc(RING_GAPS_MAX, sizeof(*intake->posted_gaps));
    if (intake->tables == NULL || intake->prefixes == NULL || intake->places == NULL ||
        intake->persisted_moves == NULL || intake->posted_moves == NULL || intake->posted == NULL ||
        intake->posted_gaps == NULL) {
        intake_release(intake);
        return fan_fail(reterr, FAN_RETRY, "could not allocate pipeline \"%s\": out of memory",
                        settings->name);
    }
    enum fan_status status = patterns_compile(intake, reterr);
    if (status != FAN_OK) {
        intake_release(intake);
        return status;
    }
    for (size_t index = 0; index < targets_count; index++) {
        const struct outlet *outlet = &setup->pipeline->outlets[index];
        intake->places[index].checkpoint = outlet->checkpoint;
        intake->places[index].settled = outlet->settled;
        intake->places[index].moves = outlet->moves;
        intake->persisted_moves[index] = outlet->moves;
        intake->posted_moves[index] = outlet->moves;
    }
    intake_emptied(intake);
    return FAN_OK;
}

void intake_release(struct intake *intake)
{
    free(intake->tables);
    free(intake->prefixes);
    free(intake->places);
    free(intake->persisted_moves);
    free(intake->posted_moves);
    free(intake->posted);
    free(intake->posted_gaps);
    free(intake->old_gaps);
    *intake = (struct intake){0};
}

bool intake_wants_table(const struct intake *intake, const char *schema, const char *table)
{
    for (size_t index = 0; index < intake->tables_count; index++) {
        if (pattern_match(&intake->tables[index], schema, table)) {
            return true;
        }
    }
    return false;
}

bool intake_wants_prefix(const struct intake *intake, const char *prefix)
{
    for (size_t index = 0; index < intake->prefixes_count; index++) {
        if (pattern_match_prefix(&intake->prefixes[index], prefix)) {
            return true;
        }
    }
    return false;
}

/* `commit_us` may be 0, unknown: then the next one that is known stands for it. */
static void intake_pass_over(struct intake *intake, struct fan_lsn hold_lsn, int64_t commit_us)
{
    bool oldest = !intake->passed_over || hold_lsn.value < intake->passed_hold.value;
    if (commit_us != 0 && (oldest || intake->passed_commit_us == 0)) {
        intake->passed_commit_us = commit_us;
    }
    intake->passed_hold = oldest ? hold_lsn : intake->passed_hold;
    intake->passed_over = true;
    for (size_t index = 0; index < intake->targets_count; index++) {
        intake->gates[index].hold = intake->passed_hold;
    }
}

static void intake_count(struct intake *intake, const struct change *change)
{
    struct intake_counters *counters = &intake->counters;
    count_add(&counters->read, 1);
    switch ((enum change_op)change->op) {
    case CHANGE_INSERT:
        count_add(&counters->inserts, 1);
        break;
    case CHANGE_UPDATE:
        count_add(&counters->updates, 1);
        break;
    case CHANGE_DELETE:
        count_add(&counters->deletes, 1);
        break;
    case CHANGE_TRUNCATE:
        count_add(&counters->truncates, 1);
        break;
    case CHANGE_MESSAGE:
        count_add(&counters->messages, 1);
        break;
    case CHANGE_GAP:
        break;
    }
}

static void intake_admit(struct intake *intake, struct fan_position position,
                         struct fan_lsn hold_lsn)
{
    intake->admitted = position;
    for (size_t index = 0; index < intake->targets_count; index++) {
        ackgate_give(&intake->gates[index], position, hold_lsn);
    }
}

/*
 * A change that an earlier run dropped and put into a gap row comes again: the marker takes its
 * place, and the rest of the run is skipped because the marker has the position of its end.
 */
static bool intake_give_old_gap(struct intake *intake, const struct change *change)
{
    while (intake->old_gaps_next < intake->old_gaps_count) {
        const struct change_gap *gap = &intake->old_gaps[intake->old_gaps_next];
        if (position_compare(change->position, gap->first) < 0) {
            return false;
        }
        if (position_compare(change->position, gap->last) > 0) {
            intake->old_gaps_next++;
            continue;
        }
        struct change marker = {
            .op = CHANGE_GAP, .position = gap->last, .hold_lsn = change->hold_lsn, .txn_end = true};
        marker.gap = malloc(sizeof(*marker.gap));
        if (marker.gap == NULL) {
            return false; /* then the change itself is delivered, which loses nothing */
        }
        *marker.gap = *gap;
        struct fan_lsn hold_lsn = change->hold_lsn;
        if (ring_push(&intake->pipeline->ring, &marker) != FAN_OK) {
            change_release(&marker);
            return false; /* gap rows exist only under drop_oldest, which always takes a change */
        }
        intake_admit(intake, gap->last, hold_lsn);
        count_add(&intake->counters.read, gap->count);
        count_add(&intake->counters.gap_count, gap->count);
        intake->old_gaps_next++;
        return true;
    }
    return false;
}

enum fan_status intake_give(struct intake *intake, struct change change)
{
    if (position_compare(change.position, intake->admitted) <= 0) {
        change_release(&change);
        return FAN_OK;
    }
    if (!intake->open) {
        intake_pass_over(intake, change.hold_lsn, change.commit_time_us);
        change_release(&change);
        return FAN_OK;
    }
    if (intake->old_gaps_next < intake->old_gaps_count && intake_give_old_gap(intake, &change)) {
        change_release(&change);
        return FAN_OK;
    }
    struct fan_position position = change.position;
    struct fan_lsn hold_lsn = change.hold_lsn;
    struct change counted = {.op = change.op, .commit_time_us = change.commit_time_us};
    enum fan_status status = ring_push(&intake->pipeline->ring, &change);
    if (status != FAN_OK) {
        intake_pass_over(intake, hold_lsn, counted.commit_time_us);
        change_release(&change);
        return FAN_FATAL;
    }
    intake_admit(intake, position, hold_lsn);
    intake_count(intake, &counted);
    return FAN_OK;
}

/* Forgets runs that every target has got past. */
static void intake_prune_gaps(struct intake *intake)
{
    struct fan_position lowest = intake->gates[0].settled;
    for (size_t index = 1; index < intake->targets_count; index++) {
        struct fan_position settled = intake->gates[index].settled;
        lowest = position_compare(settled, lowest) < 0 ? settled : lowest;
    }
    size_t passed = 0;
    while (passed < intake->old_gaps_count &&
           position_compare(intake->old_gaps[passed].last, lowest) <= 0) {
        passed++;
    }
    if (passed == 0) {
        return; /* there may be no array yet */
    }
    memmove(intake->old_gaps, intake->old_gaps + passed,
            (intake->old_gaps_count - passed) * sizeof(*intake->old_gaps));
    intake->old_gaps_count -= passed;
    intake->old_gaps_next = intake->old_gaps_next > passed ? intake->old_gaps_next - passed : 0;
}

void intake_remember_gap(struct intake *intake, const struct change_gap *gap)
{
    if (intake->old_gaps_count == intake->old_gaps_capacity) {
        intake_prune_gaps(intake);
    }
    size_t at = intake->old_gaps_count;
    while (at > 0 && position_compare(intake->old_gaps[at - 1].first, gap->first) > 0) {
        at--;
    }
    struct change_gap *known = at > 0 ? &intake->old_gaps[at - 1] : NULL;
    if (known != NULL && position_compare(known->first, gap->first) == 0) {
        *known = position_compare(gap->last, known->last) > 0 ? *gap : *known;
        return;
    }
    if (intake->old_gaps_count == intake->old_gaps_capacity) {
        size_t capacity = intake->old_gaps_capacity == 0 ? 16 : intake->old_gaps_capacity * 2;
        struct change_gap *gaps = realloc(intake->old_gaps, capacity * sizeof(*gaps));
        if (gaps == NULL) {
            return; /* without the note its changes are delivered if they come again */
        }
        intake->old_gaps = gaps;
        intake->old_gaps_capacity = capacity;
    }
    memmove(intake->old_gaps + at + 1, intake->old_gaps + at,
            (intake->old_gaps_count - at) * sizeof(*intake->old_gaps));
    intake->old_gaps[at] = *gap;
    intake->old_gaps_count++;
    intake->old_gaps_next += at < intake->old_gaps_next;
}

void intake_close(struct intake *intake)
{
    if (intake->open) {
        struct ring_depth depth;
        ring_depth(&intake->pipeline->ring, &depth);
        int64_t taken_us = intake->report.oldest_commit_us;
        intake->closed_commit_us = taken_us != 0 ? taken_us : depth.oldest_commit_us;
    }
    intake->open = false;
}

void intake_forget(struct intake *intake)
{
    struct ring_gap gaps[RING_GAPS_MAX];
    size_t gaps_count = ring_gaps(&intake->pipeline->ring, gaps);
    for (size_t index = 0; index < gaps_count; index++) {
        intake_remember_gap(intake, &gaps[index].range);
    }
    for (size_t index = 0; index < intake->targets_count; index++) {
        struct fan_lsn hold_lsn = ackgate_forget(&intake->gates[index]);
        if (hold_lsn.value != 0) {
            intake_pass_over(intake, hold_lsn, intake->closed_commit_us);
        }
    }
}

/* What was admitted and is no longer in memory does not count as read: it is read again. */
static void intake_recount(struct intake *intake)
{
    struct ring_depth depth;
    ring_depth(&intake->pipeline->ring, &depth);
    uint64_t fewest = UINT64_MAX;
    for (size_t index = 0; index < intake->targets_count; index++) {
        const struct outlet_counters *counters = &intake->pipeline->outlets[index].counters;
        uint64_t has = outlet_counters_settled(counters);
        fewest = has < fewest ? has : fewest;
    }
    uint64_t gone = count_get(&intake->counters.given_up) + fewest +
                    count_get(&intake->counters.gap_count) + depth.dropped;
    uint64_t read = count_get(&intake->counters.read);
    if (read > gone) {
        count_add(&intake->counters.given_up, read - gone);
    }
}

void intake_emptied(struct intake *intake)
{
    struct fan_position lowest = intake->gates[0].settled;
    for (size_t index = 1; index < intake->targets_count; index++) {
        struct fan_position settled = intake->gates[index].settled;
        lowest = position_compare(settled, lowest) < 0 ? settled : lowest;
    }
    intake->admitted = lowest;
    intake->clean = true;
    intake->old_gaps_next = 0;
    intake_recount(intake);
}

void intake_try_open(struct intake *intake, bool session_start)
{
    bool wished =
        intake->wish == WISH_FLOW || intake->wish == WISH_SPILL || intake->wish == WISH_GAP;
    if (!wished || !intake->clean || (intake->passed_over && !session_start)) {
        return;
    }
    intake->open = true;
    intake->passed_over = false;
    intake->passed_hold = LSN_NONE;
    intake->passed_commit_us = 0;
    for (size_t index = 0; index < intake->targets_count; index++) {
        intake->gates[index].hold = LSN_NONE;
    }
}

void intake_become(struct intake *intake, enum pipeline_state state, const char *reason,
                   int64_t wall_us)
{
    if (intake->state == state && !intake->isolated) {
        return;
    }
    FAN_ASSERT(pipeline_state_may_become(intake->state, state) || intake->isolated);
    log_write(state == PIPELINE_ERROR ? LOG_ERROR : LOG_INFO, "pipeline changes state",
              LOG_TEXT("pipeline", intake->settings->name),
              LOG_TEXT("from", pipeline_state_name(intake->state)),
              LOG_TEXT("to", pipeline_state_name(state)),
              LOG_TEXT("reason", reason[0] == '\0' ? NULL : reason));
    intake->state = state;
    intake->isolated = false;
    intake->since_wall_us = wall_us;
    intake->state_moves++;
    (void)snprintf(intake->reason, sizeof(intake->reason), "%s", reason); /* may be cut */
}

void intake_fail(struct intake *intake, const char *reason, int64_t wall_us)
{
    if (intake->state == PIPELINE_STOPPED) {
        log_write(LOG_ERROR, "stopped pipeline holds the slot again",
                  LOG_TEXT("pipeline", intake->settings->name), LOG_TEXT("reason", reason));
        return;
    }
    intake_become(intake, PIPELINE_ERROR, reason, wall_us);
}

void intake_wish(struct intake *intake, enum wish wish)
{
    intake->wish = wish;
    intake->wish_serial = mailbox_wish(&intake->pipeline->mailbox, wish);
    intake->pipeline->hooks.schedule(intake->pipeline->hooks.context, intake->pipeline);
}

bool intake_obeyed(const struct intake *intake)
{
    return intake->report.wish_serial == intake->wish_serial;
}
