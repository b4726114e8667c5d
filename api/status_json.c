#include "api/status_json.h"

#include <stdio.h>
#include <string.h>

#include "api/json.h"
#include "api/spec_json.h"
#include "base/clock.h"
#include "base/log.h"
#include "model/batch.h"
#include "model/pattern.h"

bool status_json_id(const struct settings_pipeline *pipeline, char *id, size_t id_size)
{
    if (pipeline->tables.count != 1 || pipeline->targets.count != 1) {
        return false;
    }
    struct pattern table;
    if (pattern_parse(pipeline->tables.items[0], &table, NULL) != FAN_OK ||
        !pattern_is_exact(&table)) {
        return false;
    }
    int size = snprintf(id, id_size, "%s:%s.%s:%s", pipeline->source, table.schema.text,
                        table.table.text, settings_target_at(pipeline, 0)->type);
    return size > 0 && (size_t)size < id_size;
}

static json_t *metadata_json(const struct settings_pipeline *pipeline)
{
    json_t *metadata = json_object();
    json_put_text(metadata, "name", pipeline->name);
    json_t *labels = json_object();
    for (size_t i = 0; i < pipeline->labels.count; i++) {
        const struct conf_text_pair *pair = &pipeline->labels.pairs[i];
        json_put_text(labels, pair->key, pair->value);
    }
    json_put(metadata, "labels", labels);
    char id[STATUS_ID_MAX];
    if (status_json_id(pipeline, id, sizeof(id))) {
        json_put_text(metadata, "id", id);
    }
    return metadata;
}

static void put_position(json_t *object, const char *lsn_key, const char *seq_key,
                         const struct fan_position *position)
{
    json_put_lsn(object, lsn_key, position->commit_lsn);
    json_put(object, seq_key,
             position->commit_lsn.value == 0 ? json_null() : json_integer(position->seq));
}

static json_t *target_json(const struct engine_status *status, const struct target_status *target)
{
    json_t *object = json_object();
    json_put_text(object, "name", target->name);
    json_put_text(object, "type", target->type);
    json_put_bool(object, "required", target->required);
    json_put_text(object, "durability", target->durability);
    put_position(object, "checkpoint_lsn", "checkpoint_seq", &target->checkpoint);
    put_position(object, "settled_lsn", "settled_seq", &target->settled);
    json_put_text(object, "diverted_to", target->divert);
    json_put_text(object, "circuit",
                  target->fatal          ? "needs_operator"
                  : target->circuit_open ? "open"
                                         : "closed");
    json_put_count(object, "backlog", target->backlog);
    json_put_count(object, "dead_lettered", target->letters);
    json_put_count(object, "parked_keys", target->parked_keys);
    json_put_count(object, "gap", target->gap);
    json_put_text(object, "detail", target->detail);
    json_put_time(object, "settled_at", target->settled_wall_us);
    json_put_count(object, "delivered", target->delivered);
    json_put_count(object, "already", target->already);
    json_put_count(object, "bytes", target->bytes);
    json_put_count(object, "batches", target->batches);
    json_put_count(object, "retries", target->retries);
    json_put_count(object, "inflight_batches", target->inflight_batches);
    json_put_count(object, "inflight_bytes", target->inflight_bytes);
    int64_t wait_us = target->retry_at_us - status->now_us;
    json_put_seconds(object, "retry_in_seconds",
                     target->retry_at_us == 0 ? -1 : (wait_us < 0 ? 0 : wait_us));
    json_t *figures = json_object();
    for (size_t at = 0; at < target->figures_count; at++) {
        json_put_count(figures, target->figures[at].name, target->figures[at].value);
    }
    json_put(object, "figures", figures);
    json_put_text(object, "last_error", target->last_error);
    return object;
}

static json_t *buffer_json(const struct pipeline_status *pipeline)
{
    json_t *buffer = json_object();
    json_put_count(buffer, "events", pipeline->depth_events);
    json_put_count(buffer, "bytes", pipeline->depth_bytes);
    json_put_count(buffer, "capacity_events", pipeline->capacity_events);
    json_put_count(buffer, "capacity_bytes", pipeline->capacity_bytes);
    return buffer;
}

static json_t *counters_json(const struct pipeline_status *pipeline)
{
    json_t *counters = json_object();
    json_put_count(counters, "read", pipeline->read);
    json_put_count(counters, "delivered", pipeline->delivered);
    json_put_count(counters, "dead_lettered", pipeline->dead_lettered);
    json_put_count(counters, "spilled", pipeline->spilled);
    json_put_count(counters, "gap", pipeline->gap);
    json_put_count(counters, "filtered", pipeline->filtered);
    json_put_count(counters, "pending", pipeline->pending);
    json_put_count(counters, "gaps", pipeline->gaps);
    json_put_count(counters, "inserts", pipeline->inserts);
    json_put_count(counters, "updates", pipeline->updates);
    json_put_count(counters, "deletes", pipeline->deletes);
    json_put_count(counters, "truncates", pipeline->truncates);
    json_put_count(counters, "messages", pipeline->messages);
    return counters;
}

static json_t *batches_json(const struct pipeline_status *pipeline)
{
    json_t *batches = json_object();
    json_put_count(batches, "idle", pipeline->batches_by_limit[BATCH_LIMIT_IDLE]);
    json_put_count(batches, "max_events", pipeline->batches_by_limit[BATCH_LIMIT_EVENTS]);
    json_put_count(batches, "max_bytes", pipeline->batches_by_limit[BATCH_LIMIT_BYTES]);
    json_put_count(batches, "max_ms", pipeline->batches_by_limit[BATCH_LIMIT_TIMER]);
    return batches;
}

static json_t *retry_json(const struct retry_status *retry)
{
    json_t *object = json_object();
    json_put_count(object, "number", retry->number);
    json_put_text(object, "target", retry->target);
    json_put_text(object, "batch_key", retry->batch_key[0] == '\0' ? NULL : retry->batch_key);
    json_put_count(object, "next_attempt", retry->next_attempt);
    json_put_text(object, "reason", retry->reason);
    json_put_time(object, "at", retry->at_wall_us);
    json_put_count(object, "retry_at_ms", (uint64_t)retry->retry_wall_us / 1000);
    return object;
}

static json_t *pipeline_state_json(const struct engine_status *status,
                                   const struct pipeline_status *pipeline)
{
    json_t *object = json_object();
    json_put_text(object, "state", pipeline_state_name(pipeline->state));
    json_put_text(object, "reason", pipeline->reason);
    json_put_time(object, "since", pipeline->since_wall_us);
    json_put_bool(object, "lossy", pipeline->lossy);
    json_put_bool(object, "blocks_reader", pipeline->blocks_reader);
    json_put_bool(object, "passed_over", pipeline->passed_over);
    json_put_time(object, "passed_over_since", pipeline->passed_wall_us);
    json_put_lsn(object, "resolved_lsn", pipeline->resolved);
    json_put_known(object, "lag_bytes", pipeline->lag_bytes);
    json_put_seconds(object, "lag_seconds", pipeline->lag_us);
    json_put(object, "buffer", buffer_json(pipeline));
    json_put(object, "counters", counters_json(pipeline));
    json_put(object, "batches_by_limit", batches_json(pipeline));
    json_t *targets = json_array();
    for (size_t i = 0; i < pipeline->targets_count; i++) {
        json_push(targets, target_json(status, &pipeline->targets[i]));
    }
    json_put(object, "targets", targets);
    json_t *retries = json_array();
    for (size_t i = 0; i < pipeline->retries_count; i++) {
        json_push(retries, retry_json(&pipeline->retries[i]));
    }
    json_put(object, "retries", retries);
    return object;
}

json_t *status_json_pipeline(const struct api_setup *setup, const struct engine_status *status,
                             const struct pipeline_status *pipeline)
{
    (void)setup; /* the spec stands in the snapshot's settings */
    json_t *object = json_object();
    json_put(object, "metadata", metadata_json(pipeline->settings));
    json_put(object, "spec", spec_json_pipeline(pipeline->settings));
    json_put(object, "status", pipeline_state_json(status, pipeline));
    return object;
}

static void put_source_positions(json_t *object, const struct source_entry *entry)
{
    const struct source_status *source = &entry->source;
    json_put_lsn(object, "received_lsn", source->received);
    json_put_lsn(object, "boundary_lsn", entry->boundary);
    json_put_lsn(object, "persisted_lsn", entry->persisted);
    json_put_lsn(object, "confirmed_lsn", source->confirmed);
    json_put_lsn(object, "server_lsn", source->server_lsn);
    json_put_known(object, "lag_bytes", entry->lag_bytes);
    json_put_seconds(object, "lag_seconds", entry->lag_us);
    json_put_known(object, "retained_wal_bytes", source->retained_bytes);
    json_put_known(object, "safe_wal_bytes", source->safe_wal_bytes);
    json_put_text(object, "wal_status", source->wal_status);
}

static void put_source_counters(json_t *object, const struct source_entry *entry)
{
    const struct source_status *source = &entry->source;
    json_put_count(object, "reconnects", source->reconnects);
    json_put_count(object, "transactions", source->transactions);
    json_put_count(object, "changes", source->changes);
    json_put_count(object, "bytes", source->bytes);
    json_put_count(object, "status_updates", source->status_updates);
    json_put_known(object, "persist_failures", entry->persist_failures);
}

json_t *status_json_checkpoints(const struct api_setup *setup, const struct engine_status *status,
                                const struct pipeline_status *pipeline)
{
    (void)setup;  /* the shape of a view of one pipeline */
    (void)status; /* the same */
    json_t *list = json_array();
    int64_t now_us = clock_wall_us();
    for (size_t i = 0; i < pipeline->targets_count; i++) {
        const struct target_status *target = &pipeline->targets[i];
        json_t *object = json_object();
        json_put_text(object, "target", target->name);
        put_position(object, "checkpoint_lsn", "checkpoint_seq", &target->checkpoint);
        put_position(object, "settled_lsn", "settled_seq", &target->settled);
        json_put_text(object, "diverted_to", target->divert);
        json_put_time(object, "settled_at", target->settled_wall_us);
        int64_t age_us = now_us - target->settled_wall_us;
        json_put(object, "age_seconds",
                 target->settled_wall_us == 0 ? json_null() : json_real((double)age_us / 1e6));
        json_push(list, object);
    }
    json_t *answer = json_object();
    json_put_text(answer, "pipeline", pipeline->name);
    json_put(answer, "checkpoints", list);
    return answer;
}

json_t *status_json_source(const struct engine_status *status, const struct source_entry *entry)
{
    const struct source_status *source = &entry->source;
    json_t *object = json_object();
    json_put_text(object, "name", entry->name);
    json_put_text(object, "type", entry->type);
    json_put_text(object, "state", source_state_name(source->state));
    json_put_text(object, "reason", source->reason);
    json_put_text(object, "hint", source->hint);
    json_put_text(object, "code", source->code);
    json_put_bool(object, "incomplete", source->incomplete);
    json_put_bool(object, "insecure_tls", source->insecure_tls);
    json_put_bool(object, "stalled", source->stalled);
    json_put_text(object, "blocked_by", entry->blocked_by);
    json_put(object, "server_version",
             source->server_version == 0 ? json_null() : json_integer(source->server_version));
    json_put_text(object, "system_id", source->system_id[0] == '\0' ? NULL : source->system_id);
    json_put(object, "timeline",
             source->timeline == 0 ? json_null() : json_integer(source->timeline));
    put_source_positions(object, entry);
    json_put_time(object, "last_commit_at", source->last_commit_us);
    json_put_seconds(object, "silent_seconds",
                     source->last_heard_us == 0 ? -1 : status->now_us - source->last_heard_us);
    int64_t wait_us = source->next_attempt_us - status->now_us;
    json_put_seconds(object, "next_attempt_in_seconds",
                     source->next_attempt_us == 0 ? -1 : (wait_us < 0 ? 0 : wait_us));
    put_source_counters(object, entry);
    return object;
}

json_t *status_json_versions(const struct api_setup *setup)
{
    json_t *object = json_object();
    for (size_t i = 0; i < setup->versions_count; i++) {
        json_put_text(object, setup->versions[i].name, setup->versions[i].version);
    }
    return object;
}

json_t *status_json_all(const struct api_setup *setup, const struct engine_status *status)
{
    json_t *object = json_object();
    json_put_time(object, "started_at", status->started_wall_us);
    json_put_time(object, "now", clock_wall_us());
    json_put_bool(object, "live", engine_status_live(status));
    json_put_bool(object, "ready", engine_status_ready(status));
    json_put_bool(object, "stopping", status->stopping);
    json_put_text(object, "data_dir", setup->settings->data_dir);
    json_put_text(object, "log_level", log_level_name(log_get_level()));
    json_t *store = json_object();
    json_put_bool(store, "failing", status->store_failing);
    json_put_text(store, "error", status->store_error);
    json_put(object, "store", store);
    json_t *sources = json_array();
    for (size_t i = 0; i < status->sources_count; i++) {
        json_push(sources, status_json_source(status, &status->sources[i]));
    }
    json_put(object, "sources", sources);
    json_t *pipelines = json_array();
    for (size_t i = 0; i < status->pipelines_count; i++) {
        json_push(pipelines, status_json_pipeline(setup, status, &status->pipelines[i]));
    }
    json_put(object, "pipelines", pipelines);
    json_put(object, "versions", status_json_versions(setup));
    return object;
}
