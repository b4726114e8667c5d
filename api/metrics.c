/*
 * metrics.c - GET /metrics: the engine's numbers in Prometheus' text format, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/).
 *
 * One table per kind of object says what is shown. A value that is not known (negative in the
 * status) has no sample.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/handlers.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "engine/engine.h"
#include "model/batch.h"

enum { METRICS_SIZE_MAX = 64 * 1024 * 1024 };

enum metric_kind {
    METRIC_COUNT, /* uint64_t */
    METRIC_KNOWN, /* int64_t, negative: unknown */
    METRIC_US,    /* int64_t microseconds, shown as seconds; negative: unknown */
    METRIC_BOOL,
    METRIC_LSN,
};

struct metric {
    const char *name; /* behind "pgfan_" */
    const char *type;
    enum metric_kind kind;
    size_t offset;
    const char *label; /* one more label, such as op="insert"; samples of one name stand together */
    const char *help;
};

#define COUNTER(metric_name, owner, field, metric_label, metric_help)                              \
    {                                                                                              \
        metric_name, "counter", METRIC_COUNT, offsetof(struct owner, field), metric_label,         \
            metric_help                                                                            \
    }
#define GAUGE(metric_name, metric_kind, owner, field, metric_help)                                 \
    {                                                                                              \
        metric_name, "gauge", metric_kind, offsetof(struct owner, field), NULL, metric_help        \
    }

static const struct metric pipeline_metrics[] = {
    COUNTER("pipeline_rows_total", pipeline_status, inserts, "op=\"insert\"",
            "Changes taken from the source by operation."),
    COUNTER("pipeline_rows_total", pipeline_status, updates, "op=\"update\"", NULL),
    COUNTER("pipeline_rows_total", pipeline_status, deletes, "op=\"delete\"", NULL),
    COUNTER("pipeline_rows_total", pipeline_status, truncates, "op=\"truncate\"", NULL),
    COUNTER("pipeline_rows_total", pipeline_status, messages, "op=\"message\"", NULL),
    COUNTER("pipeline_read_total", pipeline_status, read, NULL,
            "Changes read; equals delivered + dead-lettered + spilled + gap + filtered + pending."),
    COUNTER("pipeline_delivered_total", pipeline_status, delivered, NULL,
            "Changes durable at the slowest target."),
    GAUGE("pipeline_dead_lettered", METRIC_COUNT, pipeline_status, dead_lettered,
          "Changes of this run among the dead letters."),
    GAUGE("pipeline_spilled", METRIC_COUNT, pipeline_status, spilled,
          "Changes of this run in the spill."),
    COUNTER("pipeline_gap_total", pipeline_status, gap, NULL, "Changes dropped into gaps."),
    COUNTER("pipeline_gaps_total", pipeline_status, gaps, NULL, "Runs of dropped changes."),
    COUNTER("pipeline_filtered_total", pipeline_status, filtered, NULL, "Changes filtered out."),
    GAUGE("pipeline_pending", METRIC_COUNT, pipeline_status, pending, "Changes not yet settled."),
    GAUGE("pipeline_buffer_events", METRIC_COUNT, pipeline_status, depth_events,
          "Changes queued in the buffer."),
    GAUGE("pipeline_buffer_bytes", METRIC_COUNT, pipeline_status, depth_bytes,
          "Bytes queued in the buffer."),
    GAUGE("pipeline_buffer_capacity_events", METRIC_COUNT, pipeline_status, capacity_events,
          "Bound of the buffer in changes."),
    GAUGE("pipeline_buffer_capacity_bytes", METRIC_COUNT, pipeline_status, capacity_bytes,
          "Bound of the buffer in bytes."),
    GAUGE("pipeline_lag_seconds", METRIC_US, pipeline_status, lag_us,
          "Age of the oldest change that is not settled."),
    GAUGE("pipeline_lag_bytes", METRIC_KNOWN, pipeline_status, lag_bytes,
          "WAL between the pipeline's resolved position and the server's."),
    GAUGE("pipeline_resolved_lsn", METRIC_LSN, pipeline_status, resolved,
          "Position up to which the pipeline lets the slot be confirmed."),
    GAUGE("pipeline_blocks_reader", METRIC_BOOL, pipeline_status, blocks_reader,
          "1 while its full buffer holds the source."),
    GAUGE("pipeline_lossy", METRIC_BOOL, pipeline_status, lossy, "1 once it has dropped changes."),
    COUNTER("pipeline_batches_total", pipeline_status, batches_by_limit[BATCH_LIMIT_IDLE],
            "limit=\"idle\"", "Batches by the bound that ended them."),
    COUNTER("pipeline_batches_total", pipeline_status, batches_by_limit[BATCH_LIMIT_EVENTS],
            "limit=\"max_events\"", NULL),
    COUNTER("pipeline_batches_total", pipeline_status, batches_by_limit[BATCH_LIMIT_BYTES],
            "limit=\"max_bytes\"", NULL),
    COUNTER("pipeline_batches_total", pipeline_status, batches_by_limit[BATCH_LIMIT_TIMER],
            "limit=\"max_ms\"", NULL),
};

static const struct metric target_metrics[] = {
    COUNTER("target_delivered_total", target_status, delivered, NULL,
            "Changes that became durable at the target in this run."),
    COUNTER("target_already_total", target_status, already, NULL,
            "Changes that the target had before this run, not sent again."),
    COUNTER("target_bytes_total", target_status, bytes, NULL, "Bytes handed over."),
    COUNTER("target_batches_total", target_status, batches, NULL, "Batches handed over."),
    COUNTER("target_dead_letters_total", target_status, letters, NULL,
            "Changes that became dead letters: convicted, or parked behind one."),
    COUNTER("target_gap_total", target_status, gap, NULL, "Changes it will never get."),
    GAUGE("target_backlog", METRIC_COUNT, target_status, backlog,
          "Changes that wait in its spill or, isolated, among the dead letters."),
    GAUGE("target_parked_keys", METRIC_COUNT, target_status, parked_keys,
          "Rows whose changes wait behind a dead letter."),
    GAUGE("target_circuit_open", METRIC_BOOL, target_status, circuit_open,
          "1 while its attempts are spent and only probes go out."),
    GAUGE("target_needs_operator", METRIC_BOOL, target_status, fatal,
          "1 while it waits for a restart by an operator."),
    COUNTER("target_retries_total", target_status, retries, NULL, "Deliveries tried again."),
    GAUGE("target_inflight_batches", METRIC_COUNT, target_status, inflight_batches,
          "Batches accepted and not yet durable."),
    GAUGE("target_inflight_bytes", METRIC_COUNT, target_status, inflight_bytes,
          "Bytes accepted and not yet durable."),
};

static const struct metric source_metrics[] = {
    COUNTER("source_changes_total", source_entry, source.changes, NULL,
            "Changes read from the stream, re-sent ones included."),
    COUNTER("source_transactions_total", source_entry, source.transactions, NULL,
            "Transactions read from the stream."),
    COUNTER("source_bytes_total", source_entry, source.bytes, NULL, "Bytes read from the stream."),
    COUNTER("source_reconnects_total", source_entry, source.reconnects, NULL,
            "Sessions started after the first."),
    COUNTER("source_status_updates_total", source_entry, source.status_updates, NULL,
            "Status updates sent to the server."),
    GAUGE("source_stalled", METRIC_BOOL, source_entry, source.stalled,
          "1 while connected to a server that is silent for too long."),
    GAUGE("source_incomplete", METRIC_BOOL, source_entry, source.incomplete,
          "1 while a table that is asked for is not published, and its changes go missing."),
    GAUGE("source_received_lsn", METRIC_LSN, source_entry, source.received,
          "Highest position received."),
    GAUGE("source_confirmed_lsn", METRIC_LSN, source_entry, source.confirmed,
          "Position confirmed to the server."),
    GAUGE("source_server_lsn", METRIC_LSN, source_entry, source.server_lsn,
          "Position of the server."),
    GAUGE("source_retained_wal_bytes", METRIC_KNOWN, source_entry, source.retained_bytes,
          "WAL that the slot holds on the server."),
    GAUGE("source_safe_wal_bytes", METRIC_KNOWN, source_entry, source.safe_wal_bytes,
          "WAL that may still be written before the slot is in danger."),
    GAUGE("source_lag_bytes", METRIC_KNOWN, source_entry, lag_bytes,
          "WAL between the confirmed position and the server's."),
    GAUGE("source_lag_seconds", METRIC_US, source_entry, lag_us,
          "Age of the oldest change that is not confirmed."),
    GAUGE("source_persist_failures", METRIC_KNOWN, source_entry, persist_failures,
          "Failures to store the acknowledgement since the last success."),
};

static const struct metric engine_metrics[] = {
    GAUGE("stopping", METRIC_BOOL, engine_status, stopping, "1 while the engine stops."),
    GAUGE("store_failing", METRIC_BOOL, engine_status, store_failing,
          "1 while the store cannot be written; nothing is confirmed meanwhile."),
};

/* Escaped as the format asks: backslash, quote and newline. */
static void append_label(struct bytes *text, const char *name, const char *value)
{
    bytes_append_format(text, "%s=\"", name);
    for (; *value != '\0'; value++) {
        if (*value == '\n') {
            bytes_append_text(text, "\\n");
            continue;
        }
        if (*value == '\\' || *value == '"') {
            bytes_append_char(text, '\\');
        }
        bytes_append_char(text, *value);
    }
    bytes_append_char(text, '"');
}

static void append_head(struct bytes *text, const char *name, const char *type, const char *help)
{
    bytes_append_format(text, "# HELP pgfan_%s %s\n# TYPE pgfan_%s %s\n", name, help, name, type);
}

/* Writes the value as text; false when it is unknown. */
static bool format_value(const struct metric *metric, const void *object, char text[32])
{
    const char *field = (const char *)object + metric->offset;
    uint64_t count = 0;
    int64_t number = 0;
    bool flag = false;
    switch (metric->kind) {
    case METRIC_COUNT:
    case METRIC_LSN: /* a struct of one uint64_t */
        memcpy(&count, field, sizeof(count));
        (void)snprintf(text, 32, "%" PRIu64, count);
        return metric->kind == METRIC_COUNT || count != 0;
    case METRIC_KNOWN:
        memcpy(&number, field, sizeof(number));
        (void)snprintf(text, 32, "%" PRId64, number);
        return number >= 0;
    case METRIC_US:
        memcpy(&number, field, sizeof(number));
        (void)snprintf(text, 32, "%.6f", (double)number / 1e6);
        return number >= 0;
    case METRIC_BOOL:
        memcpy(&flag, field, sizeof(flag));
        (void)snprintf(text, 32, "%d", flag ? 1 : 0);
        return true;
    }
    return false;
}

/* Writes one sample; `labels` is what stands between the braces, already escaped. */
static void append_sample(struct bytes *text, const struct metric *metric, const char *labels,
                          const void *object)
{
    char value[32];
    if (!format_value(metric, object, value)) {
        return;
    }
    const char *more = metric->label == NULL ? "" : metric->label;
    bytes_append_format(text, "pgfan_%s", metric->name);
    if (labels[0] != '\0' || more[0] != '\0') {
        bytes_append_char(text, '{');
        bytes_append_text(text, labels);
        bytes_append_format(text, "%s%s}", labels[0] != '\0' && more[0] != '\0' ? "," : "", more);
    }
    bytes_append_format(text, " %s\n", value);
}

static void append_engine(struct bytes *text, const struct request *request,
                          const struct engine_status *status)
{
    for (size_t row = 0; row < CONF_COUNT(engine_metrics); row++) {
        const struct metric *metric = &engine_metrics[row];
        append_head(text, metric->name, metric->type, metric->help);
        append_sample(text, metric, "", status);
    }
    append_head(text, "live", "gauge", "1 while at least one pipeline has not failed.");
    bytes_append_format(text, "pgfan_live %d\n", engine_status_live(status) ? 1 : 0);
    append_head(text, "ready", "gauge", "1 while every pipeline and source does what it should.");
    bytes_append_format(text, "pgfan_ready %d\n", engine_status_ready(status) ? 1 : 0);
    append_head(text, "log_lines_dropped_total", "counter", "Log lines that could not be written.");
    bytes_append_format(text, "pgfan_log_lines_dropped_total %" PRIu64 "\n", log_lines_dropped());
    append_head(text, "start_time_seconds", "gauge", "Start of the engine, in Unix time.");
    bytes_append_format(text, "pgfan_start_time_seconds %.3f\n",
                        (double)status->started_wall_us / 1e6);
    append_head(text, "build_info", "gauge", "Versions of the program and its libraries.");
    bytes_append_text(text, "pgfan_build_info{");
    for (size_t i = 0; i < request->setup->versions_count; i++) {
        const struct api_version *version = &request->setup->versions[i];
        bytes_append_text(text, i == 0 ? "" : ",");
        append_label(text, i == 0 ? "version" : version->name, version->version);
    }
    bytes_append_text(text, "} 1\n");
}

/* Resident memory from /proc/self/statm (proc(5)): its second number, in pages. */
static void append_process(struct bytes *text)
{
    char line[128] = "";
    FAN_CLEANUP(fan_close_p) int descriptor = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (descriptor < 0 || read(descriptor, line, sizeof(line) - 1) <= 0) {
        return;
    }
    const char *second = strchr(line, ' ');
    long pages = second == NULL ? 0 : strtol(second, NULL, 10);
    bytes_append_format(text,
                        "# HELP process_resident_memory_bytes Resident memory size in bytes.\n"
                        "# TYPE process_resident_memory_bytes gauge\n"
                        "process_resident_memory_bytes %ld\n",
                        pages * sysconf(_SC_PAGESIZE));
}

/* The head of a metric is written once, before its first sample. */
static void append_head_once(struct bytes *text, const struct metric *metric)
{
    if (metric->help != NULL) {
        append_head(text, metric->name, metric->type, metric->help);
    }
}

static void pipeline_labels(struct bytes *labels, const struct pipeline_status *pipeline)
{
    bytes_clear(labels);
    append_label(labels, "pipeline", pipeline->name);
    bytes_append_char(labels, ',');
    append_label(labels, "source", pipeline->source);
}

/* Samples of one name must stand together: a name with several labels is written for all objects
 * before the next name, so that the table's rows of one name form one group. */
static size_t group_end(const struct metric *metrics, size_t first, size_t count)
{
    size_t end = first + 1;
    while (end < count && strcmp(metrics[end].name, metrics[first].name) == 0) {
        end++;
    }
    return end;
}

static void append_pipelines(struct bytes *text, struct bytes *labels,
                             const struct engine_status *status)
{
    size_t count = CONF_COUNT(pipeline_metrics);
    for (size_t first = 0; first < count; first = group_end(pipeline_metrics, first, count)) {
        append_head_once(text, &pipeline_metrics[first]);
        for (size_t i = 0; i < status->pipelines_count; i++) {
            pipeline_labels(labels, &status->pipelines[i]);
            for (size_t row = first; row < group_end(pipeline_metrics, first, count); row++) {
                append_sample(text, &pipeline_metrics[row], bytes_text(labels),
                              &status->pipelines[i]);
            }
        }
    }
    append_head(text, "pipeline_state", "gauge", "1 for the state that the pipeline is in.");
    for (size_t i = 0; i < status->pipelines_count; i++) {
        pipeline_labels(labels, &status->pipelines[i]);
        for (int state = 0; state < PIPELINE_STATES_COUNT; state++) {
            bytes_append_format(text, "pgfan_pipeline_state{%s,state=\"%s\"} %d\n",
                                bytes_text(labels), pipeline_state_name((enum pipeline_state)state),
                                status->pipelines[i].state == (enum pipeline_state)state ? 1 : 0);
        }
    }
}

static void target_labels(struct bytes *labels, const struct pipeline_status *pipeline,
                          const struct target_status *target)
{
    bytes_clear(labels);
    append_label(labels, "pipeline", pipeline->name);
    bytes_append_char(labels, ',');
    append_label(labels, "target", target->name);
    bytes_append_char(labels, ',');
    append_label(labels, "type", target->type);
}

/* What a type of target knows of itself has no names of its own here. */
static void append_figures(struct bytes *text, struct bytes *labels,
                           const struct engine_status *status)
{
    append_head(text, "target_figure", "gauge", "What the target's type knows of it, by name.");
    for (size_t i = 0; i < status->pipelines_count; i++) {
        const struct pipeline_status *pipeline = &status->pipelines[i];
        for (size_t at = 0; at < pipeline->targets_count; at++) {
            const struct target_status *target = &pipeline->targets[at];
            target_labels(labels, pipeline, target);
            for (size_t figure = 0; figure < target->figures_count; figure++) {
                bytes_append_format(text, "pgfan_target_figure{%s,name=\"%s\"} %" PRIu64 "\n",
                                    bytes_text(labels), target->figures[figure].name,
                                    target->figures[figure].value);
            }
        }
    }
}

static void append_targets(struct bytes *text, struct bytes *labels,
                           const struct engine_status *status)
{
    for (size_t row = 0; row < CONF_COUNT(target_metrics); row++) {
        append_head_once(text, &target_metrics[row]);
        for (size_t i = 0; i < status->pipelines_count; i++) {
            const struct pipeline_status *pipeline = &status->pipelines[i];
            for (size_t target = 0; target < pipeline->targets_count; target++) {
                target_labels(labels, pipeline, &pipeline->targets[target]);
                append_sample(text, &target_metrics[row], bytes_text(labels),
                              &pipeline->targets[target]);
            }
        }
    }
}

static void append_sources(struct bytes *text, struct bytes *labels,
                           const struct engine_status *status)
{
    for (size_t row = 0; row < CONF_COUNT(source_metrics); row++) {
        append_head_once(text, &source_metrics[row]);
        for (size_t i = 0; i < status->sources_count; i++) {
            bytes_clear(labels);
            append_label(labels, "source", status->sources[i].name);
            append_sample(text, &source_metrics[row], bytes_text(labels), &status->sources[i]);
        }
    }
    append_head(text, "source_state", "gauge", "1 for the state that the source is in.");
    for (size_t i = 0; i < status->sources_count; i++) {
        bytes_clear(labels);
        append_label(labels, "source", status->sources[i].name);
        for (int state = SOURCE_CONNECTING; state <= SOURCE_STOPPED; state++) {
            bytes_append_format(text, "pgfan_source_state{%s,state=\"%s\"} %d\n",
                                bytes_text(labels), source_state_name((enum source_state)state),
                                status->sources[i].source.state == (enum source_state)state);
        }
    }
}

void handle_metrics(const struct request *request, struct answer *answer)
{
    struct engine_status status = {0};
    struct fan_error error = {0};
    if (engine_status_take(request->setup->engine, &status, &error) != FAN_OK) {
        answer_error(answer, 503, &error);
        return;
    }
    struct bytes text;
    struct bytes labels;
    bytes_init(&text, METRICS_SIZE_MAX);
    bytes_init(&labels, METRICS_SIZE_MAX);
    append_engine(&text, request, &status);
    append_process(&text);
    append_sources(&text, &labels, &status);
    append_pipelines(&text, &labels, &status);
    append_targets(&text, &labels, &status);
    append_figures(&text, &labels, &status);
    bytes_release(&labels);
    engine_status_release(&status);
    answer_bytes(answer, 200, "text/plain; version=0.0.4; charset=utf-8", &text);
}
