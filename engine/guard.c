#include "engine/guard.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "engine/reader.h"

enum {
    STEP_SPACING_US = 25000000, /* two samples and what a step needs to show in them */
    HOLDING_US = 3000000,
};

static bool is_over(const struct guard *guard, const struct source_status *status)
{
    uint64_t hard = guard->settings->hard;
    bool doomed = strcmp(status->wal_status, "unreserved") == 0 || status->safe_wal_bytes == 0;
    return hard != 0 &&
           (doomed || (status->retained_bytes >= 0 && (uint64_t)status->retained_bytes >= hard));
}

static void guard_watch_soft(struct guard *guard, const struct reader *reader,
                             const struct source_status *status)
{
    uint64_t soft = guard->settings->soft;
    if (soft == 0 || status->retained_bytes < 0) {
        return;
    }
    bool over = (uint64_t)status->retained_bytes >= soft;
    if (over != guard->soft) {
        guard->soft = over;
        log_write(over ? LOG_WARN : LOG_INFO,
                  over ? "slot holds more WAL than the soft limit"
                       : "slot holds less WAL than the soft limit again",
                  LOG_TEXT("source", reader->name),
                  LOG_NUMBER("retained_bytes", status->retained_bytes),
                  LOG_NUMBER("soft_bytes", (int64_t)soft));
    }
}

static struct fan_lsn intake_resolved(const struct reader *reader, const struct intake *intake)
{
    struct fan_lsn resolved = reader->track.boundary;
    for (size_t target = 0; target < intake->targets_count; target++) {
        resolved = lsn_min(resolved, acktrack_resolved(&reader->track, &intake->gates[target]));
    }
    return resolved;
}

/* Notes which pipelines move. */
static void guard_watch_intakes(struct reader *reader, int64_t now_us)
{
    for (size_t index = 0; index < reader->intakes_count; index++) {
        struct intake *intake = &reader->intakes[index];
        struct fan_lsn resolved = intake_resolved(reader, intake);
        if (resolved.value != intake->guard_resolved.value || intake->guard_since_us == 0) {
            intake->guard_resolved = resolved;
            intake->guard_since_us = now_us;
        }
    }
}

/* Whether the pipeline holds the slot: something of it waits, and has not moved for a while. */
static bool intake_holds(const struct reader *reader, const struct intake *intake, int64_t now_us)
{
    return intake_resolved(reader, intake).value < reader->track.boundary.value &&
           now_us - intake->guard_since_us >= HOLDING_US;
}

static void intake_let_go(struct reader *reader, struct intake *intake, bool spill)
{
    bool running = intake->open || intake->wish == WISH_FLOW;
    log_write(LOG_WARN, "pipeline holds too much WAL", LOG_TEXT("source", reader->name),
              LOG_TEXT("pipeline", intake->settings->name),
              LOG_TEXT("step", spill ? "spill" : "detach"));
    if (running) {
        mailbox_divert(&intake->pipeline->mailbox, spill ? BACKLOG_SPILL : BACKLOG_GAP);
        intake->pipeline->hooks.schedule(intake->pipeline->hooks.context, intake->pipeline);
    } else if (intake->clean) {
        intake_wish(intake, spill ? WISH_SPILL : WISH_GAP);
    } /* else it is on its way to idle, and the next look finds it there */
}

static void guard_let_go(struct reader *reader, bool spill, int64_t now_us)
{
    for (size_t index = 0; index < reader->intakes_count; index++) {
        struct intake *intake = &reader->intakes[index];
        if (intake_holds(reader, intake, now_us)) {
            intake_let_go(reader, intake, spill);
        }
    }
}

static void guard_stop_reading(struct reader *reader, const char *reason)
{
    log_write(LOG_ERROR, "source is stopped", LOG_TEXT("source", reader->name),
              LOG_TEXT("reason", reason));
    reader_stop_reading(reader, reason);
}

static void guard_take(struct guard *guard, struct reader *reader, enum guard_step step,
                       const struct source_status *status, int64_t now_us)
{
    log_write(LOG_ERROR, "slot holds more WAL than the hard limit",
              LOG_TEXT("source", reader->name),
              LOG_NUMBER("retained_bytes", status->retained_bytes),
              LOG_NUMBER("hard_bytes", (int64_t)guard->settings->hard),
              LOG_TEXT("wal_status", status->wal_status),
              LOG_TEXT("step", guard->settings->steps.items[guard->step]));
    switch (step) {
    case GUARD_WARN:
        break;
    case GUARD_SPILL:
    case GUARD_DETACH:
        guard_let_go(reader, step == GUARD_SPILL, now_us);
        break;
    case GUARD_STOP:
        guard_stop_reading(reader,
                           "slot_guard: the slot holds too much WAL; reading has ended, and "
                           "the WAL still grows");
        break;
    case GUARD_DROP_SLOT:
        guard_stop_reading(reader, "slot_guard: the slot held too much WAL and is dropped; changes "
                                   "since then are lost");
        guard->drop_slot = true;
        break;
    }
}

void guard_step(struct guard *guard, struct reader *reader, int64_t now_us)
{
    if (guard->settings == NULL || !reader->session || reader->stopping) {
        return;
    }
    struct source_status status;
    reader->source->type->status(reader->source, &status);
    guard_watch_soft(guard, reader, &status);
    guard_watch_intakes(reader, now_us);
    if (!is_over(guard, &status)) {
        guard->step = 0;
        guard->step_at_us = 0;
        return;
    }
    if (guard->step == guard->settings->steps.count || now_us < guard->step_at_us) {
        return;
    }
    enum guard_step step = GUARD_WARN;
    (void)guard_step_parse(guard->settings->steps.items[guard->step], &step); /* checked */
    guard_take(guard, reader, step, &status, now_us);
    guard->step++;
    guard->step_at_us = step == GUARD_WARN ? now_us : now_us + STEP_SPACING_US;
}
