/*
 * status.c - a snapshot of everything that runs, for people and programs.
 *
 * Each part is taken under its own lock or from atomic counters, one after the other: the figures
 * of one snapshot may be some milliseconds apart.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/count.h"
#include "encode/id.h"
#include "engine/engine_internal.h"

static const char *const divert_names[] = {[BACKLOG_NONE] = "none",
                                           [BACKLOG_SPILL] = "spill",
                                           [BACKLOG_LETTERS] = "dead_letters",
                                           [BACKLOG_GAP] = "gap"};

static void figures_take(const struct target_type *type, struct target *target,
                         struct target_status *ret_target)
{
    struct target_figure figures[TARGET_FIGURES_MAX];
    size_t count = type != NULL && type->figures != NULL ? type->figures(target, figures) : 0;
    for (size_t at = 0; at < count && at < CONF_COUNT(ret_target->figures); at++) {
        ret_target->figures[at] = (struct status_figure){figures[at].name, figures[at].value};
        ret_target->figures_count++;
    }
}

static void target_take(struct engine_pipeline *from, size_t index,
                        const struct mailbox_target *place, struct target_status *ret_target)
{
    const struct settings_target *settings = settings_target_at(from->pipeline.settings, index);
    const struct target_type *type = target_type_find(settings->type);
    bool says = type != NULL && type->durability != NULL;
    const struct outlet_counters *counters = &from->pipeline.outlets[index].counters;
    *ret_target = (struct target_status){
        .name = settings->name,
        .type = settings->type,
        .durability = says ? type->durability(settings->options) : NULL,
        .checkpoint = place->checkpoint.position,
        .settled = place->settled,
        .required = from->pipeline.outlets[index].counts,
        .divert = divert_names[atomic_load_explicit(&counters->divert, memory_order_relaxed)],
        .circuit_open = atomic_load_explicit(&counters->circuit_open, memory_order_relaxed),
        .fatal = atomic_load_explicit(&counters->fatal, memory_order_relaxed),
        .backlog = count_get(&counters->backlog),
        .letters = count_get(&counters->letters),
        .parked_keys = count_get(&counters->parked_keys),
        .gap = count_get(&counters->gap),
        .settled_wall_us = atomic_load_explicit(&counters->settled_wall_us, memory_order_relaxed),
        .delivered = count_get(&counters->delivered),
        .already = count_get(&counters->already),
        .bytes = count_get(&counters->bytes),
        .batches = count_get(&counters->batches),
        .retries = count_get(&counters->retries),
        .inflight_batches = count_get(&counters->inflight_batches),
        .inflight_bytes = count_get(&counters->inflight_bytes),
        .retry_at_us = atomic_load_explicit(&counters->retry_at_us, memory_order_relaxed),
    };
    figures_take(type, from->pipeline.outlets[index].target, ret_target);
    memcpy(ret_target->detail, place->checkpoint.detail, sizeof(ret_target->detail));
    mailbox_last_error(&from->pipeline.mailbox, index, ret_target->last_error);
}

/* Servers' clocks may be ahead of ours. */
static int64_t age_us(int64_t wall_us)
{
    int64_t age = clock_wall_us() - wall_us;
    return age > 0 ? age : 0;
}

/* The figures that have to add up are those of the slowest target. */
static void pipeline_sum(struct engine_pipeline *from, const struct intake_counters *counters,
                         struct pipeline_status *status)
{
    struct ring_depth depth;
    ring_depth(&from->pipeline.ring, &depth);
    status->depth_events = depth.events;
    status->depth_bytes = depth.bytes;
    status->gaps = depth.gaps;
    status->gap = depth.dropped + count_get(&counters->gap_count);
    size_t least = 0;
    uint64_t fewest = UINT64_MAX;
    bool any_gap = status->gap > 0;
    for (size_t index = 0; index < status->targets_count; index++) {
        uint64_t has = outlet_counters_settled(&from->pipeline.outlets[index].counters);
        any_gap = any_gap || status->targets[index].gap > 0;
        least = has < fewest ? index : least;
        fewest = has < fewest ? has : fewest;
    }
    const struct target_status *target = &status->targets[least];
    uint64_t rest = fewest - target->letters - target->gap; /* delivered, or in the backlog */
    status->delivered = target->delivered + target->already;
    status->delivered = status->delivered < rest ? status->delivered : rest;
    bool letters = strcmp(target->divert, "dead_letters") == 0;
    status->dead_lettered = target->letters + (letters ? rest - status->delivered : 0);
    status->spilled = letters ? 0 : rest - status->delivered;
    status->gap += target->gap;
    status->lossy = any_gap;
    uint64_t read = count_get(&counters->read) - count_get(&counters->given_up);
    uint64_t done = status->delivered + status->dead_lettered + status->spilled + status->gap;
    status->read = read > done ? read : done; /* the counters are read one after the other */
    status->pending = status->read - done;
    status->inserts = count_get(&counters->inserts);
    status->updates = count_get(&counters->updates);
    status->deletes = count_get(&counters->deletes);
    status->truncates = count_get(&counters->truncates);
    status->messages = count_get(&counters->messages);
    for (size_t limit = 0; limit < 4; limit++) {
        status->batches_by_limit[limit] = count_get(&from->pipeline.counters.limits[limit]);
    }
    if (status->pending == 0) {
        status->lag_us = 0; /* the view may be some milliseconds older than the counters */
    } else if (status->lag_us == 0 && depth.oldest_commit_us != 0) {
        status->lag_us = age_us(depth.oldest_commit_us);
    }
}

static void retry_take(const struct engine_pipeline *from, const struct retry_entry *entry,
                       struct retry_status *ret_retry)
{
    const struct encode_context *encode = &from->source->context;
    *ret_retry = (struct retry_status){
        .number = entry->number,
        .target = settings_target_at(from->pipeline.settings, entry->target)->name,
        .next_attempt = entry->next_attempt,
        .at_wall_us = entry->at_wall_us,
        .retry_wall_us = entry->retry_wall_us,
    };
    memcpy(ret_retry->reason, entry->reason, sizeof(ret_retry->reason));
    if (entry->count > 0) {
        char first[EVENT_ID_MAX];
        char last[EVENT_ID_MAX];
        /* Their lengths are not wanted; the room is that of two ids and a number. */
        (void)event_id_write(encode, entry->first, entry->first_is_gap, first);
        (void)event_id_write(encode, entry->last, entry->last_is_gap, last);
        (void)snprintf(ret_retry->batch_key, sizeof(ret_retry->batch_key), "%s~%s~%llu", first,
                       last, (unsigned long long)entry->count);
    }
}

static enum fan_status retries_take(struct engine_pipeline *from, struct pipeline_status *status)
{
    struct retry_entry *entries = calloc(RETRY_LOG_MAX, sizeof(*entries));
    size_t count = entries != NULL ? retry_log_copy(&from->pipeline.retries, entries) : 0;
    status->retries = calloc(count + 1, sizeof(*status->retries));
    if (entries == NULL || status->retries == NULL) {
        free(entries);
        return FAN_RETRY;
    }
    for (size_t index = 0; index < count; index++) {
        retry_take(from, &entries[index], &status->retries[status->retries_count++]);
    }
    free(entries);
    return FAN_OK;
}

static enum fan_status pipeline_take(struct engine_pipeline *from, const struct intake_view *view,
                                     const struct source_entry *source, bool blocks_reader,
                                     struct pipeline_status *ret_pipeline)
{
    const struct settings_pipeline *settings = from->pipeline.settings;
    *ret_pipeline = (struct pipeline_status){
        .name = settings->name,
        .source = settings->source,
        .settings = settings,
        .state = view->state,
        .since_wall_us = view->since_wall_us,
        .blocks_reader = blocks_reader,
        .passed_over = view->passed_over,
        .passed_wall_us = view->passed_commit_us,
        .capacity_events = (uint64_t)settings->buffer.max_events,
        .capacity_bytes = settings->buffer.max_bytes,
        .resolved = view->resolved,
        .lag_bytes = -1,
    };
    struct pipeline_status *status = ret_pipeline;
    if (source->source.server_lsn.value != 0) {
        uint64_t server = source->source.server_lsn.value;
        status->lag_bytes =
            server > view->resolved.value ? (int64_t)(server - view->resolved.value) : 0;
    }
    if (view->oldest_commit_us != 0) {
        status->lag_us = age_us(view->oldest_commit_us);
    }
    memcpy(status->reason, view->reason, sizeof(view->reason));
    status->targets = calloc(settings->targets.count, sizeof(*status->targets));
    struct mailbox_target *places = calloc(settings->targets.count, sizeof(*places));
    if (status->targets == NULL || places == NULL) {
        free(places);
        return FAN_RETRY;
    }
    mailbox_peek(&from->pipeline.mailbox, places);
    status->targets_count = settings->targets.count;
    for (size_t index = 0; index < status->targets_count; index++) {
        target_take(from, index, &places[index], &status->targets[index]);
        if (status->reason[0] == '\0' && status->targets[index].last_error[0] != '\0') {
            memcpy(status->reason, status->targets[index].last_error, MAILBOX_ERROR_MAX);
        }
    }
    free(places);
    pipeline_sum(from, &from->source->reader.intakes[from->intake].counters, status);
    if (view->passed_over && view->passed_commit_us != 0) { /* `pending` knows nothing of these */
        int64_t passed_us = age_us(view->passed_commit_us);
        status->lag_us = passed_us > status->lag_us ? passed_us : status->lag_us;
    }
    return retries_take(from, status);
}

static void source_take(struct engine_source *from, const struct reader_view *view,
                        struct source_entry *ret_source)
{
    *ret_source = (struct source_entry){
        .name = from->settings->name,
        .type = from->settings->type,
        .boundary = view->boundary,
        .persisted = view->persisted,
        .lag_bytes = -1,
        .persist_failures = view->persist_failures,
    };
    from->reader.source->type->status(from->reader.source, &ret_source->source);
    if (view->halt_reason[0] != '\0') {
        memcpy(ret_source->source.reason, view->halt_reason, sizeof(view->halt_reason));
    }
    if (view->blocked_by >= 0) {
        ret_source->blocked_by = from->reader.intakes[view->blocked_by].settings->name;
    }
    uint64_t server = ret_source->source.server_lsn.value;
    uint64_t confirmed = ret_source->persisted.value;
    if (server != 0) {
        ret_source->lag_bytes = server > confirmed ? (int64_t)(server - confirmed) : 0;
    }
}

static enum fan_status source_with_pipelines(struct engine *engine, size_t source_index,
                                             struct engine_status *status)
{
    struct engine_source *from = &engine->sources[source_index];
    struct source_entry *entry = &status->sources[source_index];
    struct reader_view view;
    struct intake_view *intakes = calloc(from->reader.intakes_count + 1, sizeof(*intakes));
    if (intakes == NULL) {
        return FAN_RETRY;
    }
    reader_view(&from->reader, &view, intakes);
    source_take(from, &view, entry);
    if (view.persist_failures > 0) {
        status->store_failing = true;
        memcpy(status->store_error, view.persist_error, sizeof(status->store_error));
    }
    enum fan_status result = FAN_OK;
    for (size_t index = 0; index < engine->pipelines_count && result == FAN_OK; index++) {
        struct engine_pipeline *pipeline = &engine->pipelines[index];
        if (pipeline->source != from) {
            continue;
        }
        struct pipeline_status *pipeline_status = &status->pipelines[index];
        result = pipeline_take(pipeline, &intakes[pipeline->intake], entry,
                               view.blocked_by == (int)pipeline->intake, pipeline_status);
        entry->lag_us =
            pipeline_status->lag_us > entry->lag_us ? pipeline_status->lag_us : entry->lag_us;
    }
    free(intakes);
    return result;
}

enum fan_status engine_status_take(struct engine *engine, struct engine_status *ret_status,
                                   struct fan_error *reterr)
{
    struct engine_status status = {
        .started_wall_us = engine->started_wall_us,
        .now_us = clock_monotonic_us(),
        .stopping = atomic_load(&engine->stopping),
        .sources_count = engine->sources_count,
        .pipelines_count = engine->pipelines_count,
    };
    status.sources = calloc(status.sources_count + 1, sizeof(*status.sources));
    status.pipelines = calloc(status.pipelines_count + 1, sizeof(*status.pipelines));
    enum fan_status result =
        status.sources == NULL || status.pipelines == NULL ? FAN_RETRY : FAN_OK;
    for (size_t index = 0; index < status.sources_count && result == FAN_OK; index++) {
        result = source_with_pipelines(engine, index, &status);
    }
    if (result != FAN_OK) {
        engine_status_release(&status);
        return fan_fail(reterr, result, "could not take the status: out of memory");
    }
    *ret_status = status;
    return FAN_OK;
}

void engine_status_release(struct engine_status *status)
{
    for (size_t index = 0; index < status->pipelines_count && status->pipelines != NULL; index++) {
        free(status->pipelines[index].targets);
        free(status->pipelines[index].retries);
    }
    free(status->pipelines);
    free(status->sources);
    *status = (struct engine_status){0};
}

static bool source_is_ready(const struct source_status *source)
{
    return (source->state == SOURCE_STREAMING || source->state == SOURCE_BLOCKED) &&
           !source->stalled && !source->incomplete;
}

bool engine_status_ready(const struct engine_status *status)
{
    if (status->stopping || status->store_failing) {
        return false;
    }
    for (size_t index = 0; index < status->sources_count; index++) {
        if (!source_is_ready(&status->sources[index].source)) {
            return false;
        }
    }
    for (size_t index = 0; index < status->pipelines_count; index++) {
        enum pipeline_state state = status->pipelines[index].state;
        if (state != PIPELINE_STREAMING && state != PIPELINE_PAUSED && state != PIPELINE_STOPPED) {
            return false;
        }
    }
    return true;
}

/* Whether it has failed as a whole: one of which a target is isolated goes on for the others. */
static bool pipeline_has_failed(const struct pipeline_status *pipeline)
{
    bool works = false;
    for (size_t target = 0; target < pipeline->targets_count; target++) {
        works = works || strcmp(pipeline->targets[target].divert, "none") != 0;
    }
    return pipeline->state == PIPELINE_ERROR && !works;
}

bool engine_status_live(const struct engine_status *status)
{
    for (size_t at = 0; at < status->sources_count; at++) {
        size_t pipelines = 0;
        size_t failed = 0;
        for (size_t index = 0; index < status->pipelines_count; index++) {
            if (strcmp(status->pipelines[index].source, status->sources[at].name) == 0) {
                pipelines++;
                failed += pipeline_has_failed(&status->pipelines[index]);
            }
        }
        if (status->sources[at].source.state == SOURCE_FAILED ||
            (pipelines > 0 && failed == pipelines)) {
            return false;
        }
    }
    return true;
}
