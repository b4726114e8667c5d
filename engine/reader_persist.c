#include "engine/reader_persist.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"

enum {
    PERSIST_INTERVAL_US = 1000000, /* the slot need not be confirmed more often */
    PERSIST_SOON_US = 20000,       /* spacing of those that somebody waits for */
    PERSIST_RETRY_US = 1000000,
};

static bool intake_is_dirty(const struct intake *intake)
{
    if (intake->state_moves != intake->state_persisted) {
        return true;
    }
    for (size_t target = 0; target < intake->targets_count; target++) {
        if (intake->places[target].moves != intake->persisted_moves[target]) {
            return true;
        }
    }
    struct ring_gap gaps[RING_GAPS_MAX];
    return intake->pipeline->ring.limits.policy == RING_DROP_OLDEST &&
           ring_gaps(&intake->pipeline->ring, gaps) > 0;
}

/* The acknowledgement that everything collected so far allows. */
static struct fan_lsn reader_candidate(const struct reader *reader)
{
    if (reader->memory.slot_stage != SLOT_CREATED) {
        return reader->memory.confirmed;
    }
    return lsn_max(acktrack_ack(&reader->track), reader->memory.confirmed);
}

bool reader_persist_is_due(const struct reader *reader)
{
    if (reader->memory_wanted || reader->persist_soon) {
        return true;
    }
    for (size_t index = 0; index < reader->intakes_count; index++) {
        if (intake_is_dirty(&reader->intakes[index])) {
            return true;
        }
    }
    return reader_candidate(reader).value > reader->memory.confirmed.value;
}

/* ---- building a job ---- */

static void source_record(const struct source_memory *memory, const char *name,
                          struct store_source *ret_record)
{
    *ret_record = (struct store_source){
        .timeline = memory->timeline,
        .slot_state = (int)memory->slot_stage,
        .consistent_point = memory->consistent_point.value,
        .confirmed = memory->confirmed.value,
    };
    /* Both sides have the same sizes; names that are too long were refused by the conf. */
    (void)snprintf(ret_record->source, sizeof(ret_record->source), "%s", name);
    (void)snprintf(ret_record->system_id, sizeof(ret_record->system_id), "%s", memory->system_id);
    (void)snprintf(ret_record->slot, sizeof(ret_record->slot), "%s", memory->slot);
    (void)snprintf(ret_record->database, sizeof(ret_record->database), "%s", memory->database);
    (void)snprintf(ret_record->publication, sizeof(ret_record->publication), "%s",
                   memory->publication);
}

static void job_add_checkpoint(struct persist_job *job, struct intake *intake, size_t target,
                               int64_t wall_us)
{
    const struct settings_target *settings = settings_target_at(intake->settings, target);
    const struct mailbox_target *place = &intake->places[target];
    struct store_checkpoint *record = &job->checkpoints[job->checkpoints_count++];
    *record = (struct store_checkpoint){
        .commit_lsn = place->checkpoint.position.commit_lsn.value,
        .seq = place->checkpoint.position.seq,
        .settled_lsn = place->settled.commit_lsn.value,
        .settled_seq = place->settled.seq,
        .fatal = place->fatal,
        .updated_us = wall_us,
        .start_lsn = intake->start_lsn.value,
    };
    /* Names are bounded by the conf; an address is for people and may be cut. */
    (void)snprintf(record->pipeline, sizeof(record->pipeline), "%s", intake->settings->name);
    (void)snprintf(record->target, sizeof(record->target), "%s", settings->name);
    (void)snprintf(record->detail, sizeof(record->detail), "%s", place->checkpoint.detail);
    (void)snprintf(record->type, sizeof(record->type), "%s", settings->type);
    const struct target_type *type = target_type_find(settings->type);
    if (type != NULL && type->address != NULL) {
        type->address(settings->options, record->address, sizeof(record->address));
    }
    intake->posted_moves[target] = place->moves;
    intake->posted[target] = (struct mailbox_persisted){.checkpoint = place->checkpoint,
                                                        .gap_serial = place->gap.serial,
                                                        .gap_count = place->gap.range.count};
}

/* Ids of gap rows: those of a ring are even, those of a target's backlog odd. */
static int64_t gap_id_of(const struct intake *intake, uint64_t serial, bool backlog)
{
    return intake->gap_id_base + 2 * (int64_t)serial + backlog;
}

static void gap_fill(struct store_gap *row, const struct intake *intake, size_t target,
                     const struct change_gap *range, int64_t gap_id, const char *cause,
                     int64_t wall_us)
{
    *row = (struct store_gap){
        .gap_id = gap_id,
        .first_lsn = range->first.commit_lsn.value,
        .first_seq = range->first.seq,
        .last_lsn = range->last.commit_lsn.value,
        .last_seq = range->last.seq,
        .count = range->count,
        .at_us = wall_us,
    };
    /* Names are bounded by the conf, the cause is the engine's own. */
    (void)snprintf(row->pipeline, sizeof(row->pipeline), "%s", intake->settings->name);
    (void)snprintf(row->target, sizeof(row->target), "%s",
                   settings_target_at(intake->settings, target)->name);
    (void)snprintf(row->cause, sizeof(row->cause), "%s", cause);
}

/* The gaps of backlogs, each of one target. */
static bool job_add_backlog_gaps(struct persist_job *job, struct intake *intake, int64_t wall_us)
{
    struct store_gap *rows =
        realloc(job->gaps, (job->gaps_count + intake->targets_count + 1) * sizeof(*rows));
    if (rows == NULL) {
        return false;
    }
    job->gaps = rows;
    for (size_t target = 0; target < intake->targets_count; target++) {
        const struct backlog_gap *gap = &intake->places[target].gap;
        bool posted = intake->places[target].moves != intake->persisted_moves[target];
        if (posted && gap->range.count > 0) {
            gap_fill(&job->gaps[job->gaps_count++], intake, target, &gap->range,
                     gap_id_of(intake, gap->serial, true), gap->cause, wall_us);
        }
    }
    return true;
}

static void job_add_state(struct persist_job *job, struct intake *intake)
{
    struct store_pipeline *record = &job->pipelines[job->pipelines_count++];
    /* An isolated target is known by its backlog; when that is gone, nothing is to be mended. */
    enum pipeline_state state = intake->isolated ? PIPELINE_STREAMING : intake->state;
    *record = (struct store_pipeline){.state = (int)state, .since_us = intake->since_wall_us};
    /* Names are bounded by the conf; a reason may be cut. */
    (void)snprintf(record->pipeline, sizeof(record->pipeline), "%s", intake->settings->name);
    (void)snprintf(record->source, sizeof(record->source), "%s", intake->settings->source);
    (void)snprintf(record->reason, sizeof(record->reason), "%s", intake->reason);
    intake->state_posted = intake->state_moves;
}

/* Whether the target has all of the run from before: this job or an earlier one says so. */
static bool has_run(const struct intake *intake, const struct ring_gap *gap, size_t target)
{
    return (gap->had >> target & 1) != 0 &&
           position_compare(intake->places[target].settled, gap->range.last) >= 0;
}

/* A run of drops of the ring is the same for every target of the pipeline that lacks it: one row
 * each. */
static bool job_add_gaps(struct persist_job *job, struct intake *intake, int64_t wall_us)
{
    struct ring_gap *gaps = intake->posted_gaps;
    size_t count = ring_gaps(&intake->pipeline->ring, gaps);
    intake->posted_gaps_count = count;
    size_t wanted = job->gaps_count + count * intake->targets_count;
    struct store_gap *rows = realloc(job->gaps, (wanted + 1) * sizeof(*rows));
    if (rows == NULL) {
        return false;
    }
    job->gaps = rows;
    for (size_t index = 0; index < count; index++) {
        for (size_t target = 0; target < intake->targets_count; target++) {
            if (!has_run(intake, &gaps[index], target)) {
                gap_fill(&job->gaps[job->gaps_count++], intake, target, &gaps[index].range,
                         gap_id_of(intake, gaps[index].serial, false), STORE_GAP_DROPPED, wall_us);
            }
        }
    }
    return true;
}

static void reader_persist_done(void *context, struct persist_job *job)
{
    struct reader *reader = context;
    (void)pthread_mutex_lock(&reader->lock); /* cannot fail: a plain mutex that we do not hold */
    reader->job_done = job;
    (void)pthread_mutex_unlock(&reader->lock); /* cannot fail: we hold it */
    reader->hooks.wake(reader->hooks.context);
}

static bool job_fill(struct reader *reader, struct persist_job *job)
{
    int64_t wall_us = reader->hooks.wall_us(reader->hooks.context);
    job->checkpoints = calloc(reader->gates_count + 1, sizeof(*job->checkpoints));
    job->pipelines = calloc(reader->intakes_count + 1, sizeof(*job->pipelines));
    if (job->checkpoints == NULL || job->pipelines == NULL) {
        return false;
    }
    for (size_t index = 0; index < reader->intakes_count; index++) {
        struct intake *intake = &reader->intakes[index];
        for (size_t target = 0; target < intake->targets_count; target++) {
            if (intake->places[target].moves != intake->persisted_moves[target]) {
                job_add_checkpoint(job, intake, target, wall_us);
            }
        }
        if (intake->state_moves != intake->state_persisted) {
            job_add_state(job, intake);
        }
        if (intake->pipeline->ring.limits.policy == RING_DROP_OLDEST &&
            !job_add_gaps(job, intake, wall_us)) {
            return false;
        }
        if (!job_add_backlog_gaps(job, intake, wall_us)) {
            return false;
        }
    }
    struct source_memory memory = reader->memory_wanted ? reader->wanted_memory : reader->memory;
    memory.confirmed = lsn_max(memory.confirmed, reader_candidate(reader));
    reader->posted_memory = memory;
    source_record(&memory, reader->name, &job->source);
    job->has_source = true;
    return true;
}

void reader_persist_begin(struct reader *reader, int64_t now_us)
{
    if (reader->job != NULL || reader->store_broken) {
        return;
    }
    bool soon = reader->memory_wanted || reader->persist_soon;
    int64_t earliest_us = reader->persist_at_us;
    if (soon && reader->persist_failures == 0) {
        earliest_us -= PERSIST_INTERVAL_US - PERSIST_SOON_US;
    }
    if (now_us < earliest_us || !reader_persist_is_due(reader)) {
        return;
    }
    struct persist_job *job = calloc(1, sizeof(*job));
    if (job == NULL || !job_fill(reader, job)) {
        persist_job_free(job); /* memory is out: the next step tries again */
        reader->persist_at_us = now_us + PERSIST_RETRY_US;
        return;
    }
    job->done = reader_persist_done;
    job->context = reader;
    reader->persist_soon = false;
    reader->job = job;
    reader->persist_at_us = now_us + PERSIST_INTERVAL_US;
    reader->persister->post(reader->persister, job);
}

/* ---- the result ---- */

static void intake_persisted(struct intake *intake)
{
    intake->state_persisted = intake->state_posted;
    for (size_t target = 0; target < intake->targets_count; target++) {
        if (intake->persisted_moves[target] != intake->posted_moves[target]) {
            intake->persisted_moves[target] = intake->posted_moves[target];
            mailbox_persisted(&intake->pipeline->mailbox, target, &intake->posted[target]);
        }
    }
    intake->pipeline->hooks.schedule(intake->pipeline->hooks.context, intake->pipeline);
}

static void intake_gaps_persisted(struct intake *intake)
{
    for (size_t index = 0; index < intake->posted_gaps_count; index++) {
        intake_remember_gap(intake, &intake->posted_gaps[index].range);
    }
    ring_gaps_persisted(&intake->pipeline->ring, intake->posted_gaps, intake->posted_gaps_count);
    intake->posted_gaps_count = 0;
}

static void reader_persist_failed(struct reader *reader, const struct persist_job *job,
                                  int64_t now_us)
{
    if (reader->persist_failures == 0) { /* one line when the state changes */
        log_write(LOG_ERROR, "store could not be written, nothing is confirmed meanwhile",
                  LOG_TEXT("source", reader->name), LOG_TEXT("error", job->error.text),
                  LOG_TEXT("hint", job->error.hint));
    }
    reader->persist_failures++;
    reader->persist_at_us = now_us + PERSIST_RETRY_US;
    reader->store_broken = job->status == FAN_FATAL;
    (void)pthread_mutex_lock(&reader->lock); /* cannot fail: a plain mutex that we do not hold */
    memcpy(reader->view.persist_error, job->error.text, sizeof(reader->view.persist_error));
    (void)pthread_mutex_unlock(&reader->lock); /* cannot fail: we hold it */
}

static void reader_persist_succeeded(struct reader *reader, const struct persist_job *job)
{
    if (reader->persist_failures > 0) {
        log_write(LOG_INFO, "store is written again", LOG_TEXT("source", reader->name));
    }
    reader->persist_failures = 0;
    FAN_ASSERT(job->source.confirmed >= reader->persisted.value ||
               reader->memory.slot_stage != SLOT_CREATED);
    reader->memory = reader->posted_memory;
    reader->persisted = reader->memory.confirmed;
    for (size_t index = 0; index < reader->intakes_count; index++) {
        struct intake *intake = &reader->intakes[index];
        bool listed = false;
        for (size_t row = 0; row < job->checkpoints_count && !listed; row++) {
            listed = strcmp(job->checkpoints[row].pipeline, intake->settings->name) == 0;
        }
        if (listed || intake->state_posted != intake->state_persisted) {
            intake_persisted(intake);
        }
        intake_gaps_persisted(intake);
    }
}

void reader_persist_finish(struct reader *reader, int64_t now_us)
{
    (void)pthread_mutex_lock(&reader->lock); /* cannot fail: a plain mutex that we do not hold */
    struct persist_job *job = reader->job_done;
    reader->job_done = NULL;
    (void)pthread_mutex_unlock(&reader->lock); /* cannot fail: we hold it */
    if (job == NULL) {
        return;
    }
    FAN_ASSERT(job == reader->job);
    reader->job = NULL;
    if (job->status == FAN_OK) {
        reader_persist_succeeded(reader, job);
    } else {
        reader_persist_failed(reader, job, now_us);
    }
    persist_job_free(job);
}
