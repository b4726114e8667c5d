#include "engine/reconcile.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "buffer/spill.h"
#include "engine/forget.h"
#include "engine/pipeline.h"
#include "engine/state.h"

const struct store_source *state_source(const struct store_state *state, const char *source)
{
    for (size_t index = 0; index < state->sources_count; index++) {
        if (strcmp(state->sources[index].source, source) == 0) {
            return &state->sources[index];
        }
    }
    return NULL;
}

const struct store_pipeline *state_pipeline(const struct store_state *state, const char *pipeline)
{
    for (size_t index = 0; index < state->pipelines_count; index++) {
        if (strcmp(state->pipelines[index].pipeline, pipeline) == 0) {
            return &state->pipelines[index];
        }
    }
    return NULL;
}

const struct store_checkpoint *state_checkpoint(const struct store_state *state,
                                                const char *pipeline, const char *target)
{
    for (size_t index = 0; index < state->checkpoints_count; index++) {
        const struct store_checkpoint *record = &state->checkpoints[index];
        if (strcmp(record->pipeline, pipeline) == 0 && strcmp(record->target, target) == 0) {
            return record;
        }
    }
    return NULL;
}

static const struct settings_pipeline *conf_pipeline(const struct settings *settings,
                                                     const char *name)
{
    for (size_t index = 0; index < settings->pipelines.count; index++) {
        const struct settings_pipeline *pipeline = settings_pipeline_at(settings, index);
        if (strcmp(pipeline->name, name) == 0) {
            return pipeline;
        }
    }
    return NULL;
}

static bool conf_has_target(const struct settings_pipeline *pipeline, const char *name)
{
    for (size_t index = 0; pipeline != NULL && index < pipeline->targets.count; index++) {
        if (strcmp(settings_target_at(pipeline, index)->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_forgotten(const struct engine_setup *setup, const char *name)
{
    for (size_t index = 0; index < setup->forget_count; index++) {
        if (strcmp(setup->forget[index], name) == 0) {
            return true;
        }
    }
    return false;
}

static enum fan_status removal_check(const struct engine_setup *setup,
                                     const struct store_pipeline *record, struct fan_error *reterr)
{
    bool holds = record->state == PIPELINE_PAUSED || record->state == PIPELINE_STOPPED ||
                 record->state == PIPELINE_ERROR;
    if (!holds || is_forgotten(setup, record->pipeline)) {
        return FAN_OK;
    }
    (void)fan_fail(reterr, FAN_FATAL,
                   "pipeline \"%s\" is no longer in the conf, but it was %s and holds changes that "
                   "it has not delivered",
                   record->pipeline, pipeline_state_name((enum pipeline_state)record->state));
    fan_error_annotate(reterr, "PIPELINE_REMOVED",
                       "put it back, or give its changes up with --forget %s", record->pipeline);
    return FAN_FATAL;
}

/* Whether --forget names the target, by itself or with its whole pipeline. */
static bool is_given_up(const struct engine_setup *setup, const struct settings_pipeline *pipeline,
                        const char *pipeline_name, const char *target)
{
    return forget_names_target(setup, pipeline_name, target) ||
           (pipeline == NULL && is_forgotten(setup, pipeline_name));
}

/* Letters of a pipeline or target that is gone could never be delivered. */
static enum fan_status letters_check(const struct engine_setup *setup,
                                     const struct store_letter_total *total,
                                     struct fan_error *reterr)
{
    const struct settings_pipeline *pipeline = conf_pipeline(setup->settings, total->pipeline);
    char name[2 * STORE_NAME_MAX + 1];
    (void)snprintf(name, sizeof(name), "%s/%s", total->pipeline, total->target); /* fits */
    if (conf_has_target(pipeline, total->target) ||
        is_given_up(setup, pipeline, total->pipeline, total->target)) {
        return FAN_OK;
    }
    (void)fan_fail(reterr, FAN_FATAL,
                   "target \"%s\" of pipeline \"%s\" is no longer in the conf, but %llu of its "
                   "events are dead letters",
                   total->target, total->pipeline, (unsigned long long)total->entries);
    fan_error_annotate(reterr, pipeline == NULL ? "PIPELINE_REMOVED" : "TARGET_REMOVED",
                       "put it back and replay them, or give them up with --forget %s",
                       pipeline == NULL ? total->pipeline : name);
    return FAN_FATAL;
}

static bool spill_of(const struct engine_setup *setup, const struct store_checkpoint *record,
                     char path[PATH_MAX])
{
    return pipeline_spill_directory(setup->settings->data_dir, record->pipeline, record->target,
                                    path, PATH_MAX);
}

/* A target that is gone with a backlog on disk could never get it. */
static enum fan_status spill_check(const struct engine_setup *setup,
                                   const struct store_checkpoint *record, struct fan_error *reterr)
{
    const struct settings_pipeline *pipeline = conf_pipeline(setup->settings, record->pipeline);
    char name[2 * STORE_NAME_MAX + 1];
    char path[PATH_MAX];
    struct fan_position first;
    struct fan_position last;
    uint64_t events = 0;
    (void)snprintf(name, sizeof(name), "%s/%s", record->pipeline, record->target); /* fits */
    if (conf_has_target(pipeline, record->target) ||
        is_given_up(setup, pipeline, record->pipeline, record->target) ||
        !spill_of(setup, record, path)) {
        return FAN_OK;
    }
    enum fan_status status = spill_peek(path, &first, &last, &events, reterr);
    if (status == FAN_AGAIN) {
        return FAN_OK;
    }
    if (status != FAN_OK) {
        return status;
    }
    (void)fan_fail(reterr, FAN_FATAL,
                   "target \"%s\" of pipeline \"%s\" is no longer in the conf, but %llu of its "
                   "events wait in \"%s\"",
                   record->target, record->pipeline, (unsigned long long)events, path);
    fan_error_annotate(reterr, pipeline == NULL ? "PIPELINE_REMOVED" : "TARGET_REMOVED",
                       "put it back and let it catch up, or give them up with --forget %s",
                       pipeline == NULL ? record->pipeline : name);
    return FAN_FATAL;
}

/* Of targets that are gone and forgotten by now. */
static void spill_drop(const struct engine_setup *setup, const struct store_checkpoint *record)
{
    char path[PATH_MAX];
    struct fan_error error;
    if (spill_of(setup, record, path) && spill_remove(path, &error) != FAN_OK) {
        log_write(LOG_WARN, "spill of a forgotten target could not be removed",
                  LOG_TEXT("directory", path), LOG_TEXT("error", error.text));
    }
}

/* All targets of a pipeline get the same changes: one that is behind another has a backlog. */
static bool target_is_behind(const struct store_state *state, const struct store_checkpoint *record)
{
    uint64_t start = record->start_lsn; /* it asked for nothing that was committed before */
    for (size_t index = 0; index < state->checkpoints_count; index++) {
        const struct store_checkpoint *other = &state->checkpoints[index];
        bool further =
            other->settled_lsn > record->settled_lsn ||
            (other->settled_lsn == record->settled_lsn && other->settled_seq > record->settled_seq);
        if (strcmp(other->pipeline, record->pipeline) == 0 && further &&
            other->settled_lsn >= start) {
            return true;
        }
    }
    return false;
}

/* Of a target whose pipeline is still there. */
static enum fan_status target_removal_check(const struct engine_setup *setup,
                                            const struct store_state *state,
                                            const struct store_checkpoint *record,
                                            struct fan_error *reterr)
{
    const struct settings_pipeline *pipeline = conf_pipeline(setup->settings, record->pipeline);
    if (pipeline == NULL || conf_has_target(pipeline, record->target) ||
        forget_names_target(setup, record->pipeline, record->target)) {
        return FAN_OK;
    }
    const struct store_pipeline *kept = state_pipeline(state, record->pipeline);
    bool holds = kept != NULL && (kept->state == PIPELINE_PAUSED ||
                                  kept->state == PIPELINE_STOPPED || kept->state == PIPELINE_ERROR);
    if (!holds && !target_is_behind(state, record)) {
        return FAN_OK;
    }
    (void)fan_fail(reterr, FAN_FATAL,
                   "target \"%s\" of pipeline \"%s\" is no longer in the conf, but there are "
                   "changes that it has not been given",
                   record->target, record->pipeline);
    fan_error_annotate(reterr, "TARGET_REMOVED",
                       "put it back, or give its changes up with --forget %s/%s", record->pipeline,
                       record->target);
    return FAN_FATAL;
}

static void removal_add(struct store_removal *removals, size_t *count, enum store_record_kind kind,
                        const char *name, const char *target)
{
    struct store_removal *removal = &removals[(*count)++];
    *removal = (struct store_removal){.kind = kind};
    /* Names come from the store and have its sizes. */
    (void)snprintf(removal->name, sizeof(removal->name), "%s", name);
    (void)snprintf(removal->target, sizeof(removal->target), "%s", target);
}

/* Of targets with letters that are gone and forgotten by now. Their sums go, too. */
static void letters_sift(const struct settings *settings, struct store_state *state,
                         struct store_removal *removals, size_t *count)
{
    size_t kept = 0;
    for (size_t index = 0; index < state->letters_count; index++) {
        struct store_letter_total total = state->letters[index];
        if (conf_has_target(conf_pipeline(settings, total.pipeline), total.target)) {
            state->letters[kept++] = total;
            continue;
        }
        log_write(LOG_WARN, "target is no longer in the conf, its dead letters are given up",
                  LOG_TEXT("pipeline", total.pipeline), LOG_TEXT("target", total.target),
                  LOG_NUMBER("letters", (int64_t)total.entries));
        removal_add(removals, count, STORE_LETTER, total.pipeline, total.target);
    }
    state->letters_count = kept;
}

/* Keeps the checkpoints of `state` that the conf still has, and lists the others as removals. */
static void checkpoints_sift(const struct engine_setup *setup, struct store_state *state,
                             struct store_removal *removals, size_t *count)
{
    const struct settings *settings = setup->settings;
    size_t kept = 0;
    for (size_t index = 0; index < state->checkpoints_count; index++) {
        struct store_checkpoint record = state->checkpoints[index];
        if (conf_has_target(conf_pipeline(settings, record.pipeline), record.target)) {
            state->checkpoints[kept++] = record;
            continue;
        }
        log_write(LOG_WARN, "target is no longer in the conf, its checkpoint is forgotten",
                  LOG_TEXT("pipeline", record.pipeline), LOG_TEXT("target", record.target));
        spill_drop(setup, &record);
        removal_add(removals, count, STORE_CHECKPOINT, record.pipeline, record.target);
        removal_add(removals, count, STORE_GAP, record.pipeline, record.target);
    }
    state->checkpoints_count = kept;
}

static void pipelines_sift(const struct settings *settings, struct store_state *state,
                           struct store_removal *removals, size_t *count)
{
    size_t kept = 0;
    for (size_t index = 0; index < state->pipelines_count; index++) {
        struct store_pipeline record = state->pipelines[index];
        if (conf_pipeline(settings, record.pipeline) != NULL) {
            state->pipelines[kept++] = record;
            continue;
        }
        log_write(LOG_WARN, "pipeline is no longer in the conf and is forgotten",
                  LOG_TEXT("pipeline", record.pipeline));
        removal_add(removals, count, STORE_PIPELINE, record.pipeline, "");
        removal_add(removals, count, STORE_GAP, record.pipeline, "");
    }
    state->pipelines_count = kept;
}

enum fan_status reconcile(const struct engine_setup *setup, struct store *store,
                          struct store_state *state, struct fan_error *reterr)
{
    enum fan_status named = forget_check(setup, state, reterr);
    if (named != FAN_OK) {
        return named;
    }
    for (size_t index = 0; index < state->pipelines_count; index++) {
        if (conf_pipeline(setup->settings, state->pipelines[index].pipeline) == NULL) {
            enum fan_status status = removal_check(setup, &state->pipelines[index], reterr);
            if (status != FAN_OK) {
                return status;
            }
        }
    }
    for (size_t index = 0; index < state->letters_count; index++) {
        enum fan_status status = letters_check(setup, &state->letters[index], reterr);
        if (status != FAN_OK) {
            return status;
        }
    }
    for (size_t index = 0; index < state->checkpoints_count; index++) {
        const struct store_checkpoint *record = &state->checkpoints[index];
        enum fan_status status = spill_check(setup, record, reterr);
        if (status == FAN_OK) {
            status = target_removal_check(setup, state, record, reterr);
        }
        if (status != FAN_OK) {
            return status;
        }
    }
    size_t removals_max =
        2 * (state->checkpoints_count + state->pipelines_count) + state->letters_count;
    struct store_removal *removals = calloc(removals_max + 1, sizeof(*removals));
    if (removals == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not compare conf and store: out of memory");
    }
    size_t count = 0;
    checkpoints_sift(setup, state, removals, &count);
    pipelines_sift(setup->settings, state, removals, &count);
    letters_sift(setup->settings, state, removals, &count);
    struct store_update update = {.removals = removals, .removals_count = count};
    enum fan_status status = count == 0 ? FAN_OK : store_save(store, &update, reterr);
    free(removals);
    return status;
}
