#include "conf/tables.h"

#include "conf/settings.h"

/* Each key stands once, here; option.h says what follows from it. */

#define SECOND_US INT64_C(1000000)
#define MINUTE_US (60 * SECOND_US)
#define HOUR_US (60 * MINUTE_US)
#define MIB INT64_C(1048576)
#define UNAVAILABLE(name, text)                                                                    \
    {                                                                                              \
        .key = (name), .type = CONF_UNAVAILABLE, .help = (text)                                    \
    }
#define OPTIONS(array) .options = (array), .options_count = CONF_COUNT(array)

static const struct conf_option api_options[] = {
    {.key = "listen",
     .type = CONF_TEXT,
     .offset = offsetof(struct settings_api, listen),
     .minimum = 1,
     .maximum = 100,
     .help = "Loopback address and port for read-only HTTP, beside the unix socket in `data_dir`. "
             "Unset: only the socket.",
     .example = "127.0.0.1:7432"},
    UNAVAILABLE("tokens", "Bearer tokens and their roles."),
};

static const struct conf_table api_table = {
    .name = "api",
    .help = "How programs and `pgfan status` reach the running engine.",
    .size = sizeof(struct settings_api),
    OPTIONS(api_options),
};

static const struct conf_choice log_levels[] = {
    {"error", LOG_ERROR}, {"warn", LOG_WARN}, {"info", LOG_INFO}, {"debug", LOG_DEBUG}, {NULL, 0}};
static const struct conf_choice log_formats[] = {
    {"logfmt", LOG_LOGFMT}, {"json", LOG_JSON}, {NULL, 0}};

static const struct conf_option log_options[] = {
    {.key = "level",
     .type = CONF_CHOICE,
     .offset = offsetof(struct settings_log, level),
     .value_default = "info",
     .choices = log_levels,
     .help = "The least important lines that are written. Row values appear only at `debug`.",
     .example = "info"},
    {.key = "format",
     .type = CONF_CHOICE,
     .offset = offsetof(struct settings_log, format),
     .value_default = "logfmt",
     .choices = log_formats,
     .help = "`logfmt` is key=value, for people; `json` is one object a line, for collectors.",
     .example = "json"},
};

static const struct conf_table log_table = {
    .name = "log",
    .help = "Log lines, which go to standard error.",
    .size = sizeof(struct settings_log),
    OPTIONS(log_options),
};

static const struct conf_option source_options[] = {
    {.key = "type",
     .type = CONF_TEXT,
     .offset = offsetof(struct settings_source, type),
     .value_default = "postgres",
     .minimum = 1,
     .maximum = 63,
     .help = "The kind of source. It decides which further keys there are.",
     .example = "postgres"},
};

const struct conf_table conf_source_table = {
    .name = "source",
    .help = "One database, read through one replication slot. Its key in `sources` is its name.",
    .size = sizeof(struct settings_source),
    OPTIONS(source_options),
    .family = CONF_FAMILY_SOURCE,
    .extension_offset = offsetof(struct settings_source, options),
    .extension_table_offset = offsetof(struct settings_source, options_table),
};

static const struct conf_choice snapshots[] = {{"never", 0},
                                               {"initial", CONF_CHOICE_UNAVAILABLE},
                                               {"always", CONF_CHOICE_UNAVAILABLE},
                                               {NULL, 0}};

static const struct conf_option batch_options[] = {
    {.key = "max_events",
     .type = CONF_INTEGER,
     .offset = offsetof(struct settings_batch, max_events),
     .value_default = "2000",
     .minimum = 1,
     .maximum = 1000000,
     .help = "A batch is cut at this many events. It yields to a whole transaction.",
     .example = "2000"},
    {.key = "max_bytes",
     .type = CONF_SIZE,
     .offset = offsetof(struct settings_batch, max_bytes),
     .value_default = "16MiB",
     .minimum = 1024,
     .maximum = 1024 * MIB,
     .help = "A batch is cut at this many encoded bytes; a larger transaction is cut too, and a "
             "single larger event goes alone.",
     .example = "16MiB"},
    {.key = "max_ms",
     .type = CONF_DURATION,
     .offset = offsetof(struct settings_batch, max_us),
     .value_default = "50",
     .minimum = 1000,
     .maximum = HOUR_US,
     .help = "The longest that an event waits for its batch to fill. A batch is cut at once when "
             "nothing more is queued and the target is idle.",
     .example = "50"},
    {.key = "respect_source_tx",
     .type = CONF_BOOL,
     .offset = offsetof(struct settings_batch, respect_source_tx),
     .value_default = "true",
     .help = "Batches hold whole transactions, as long as one fits `max_bytes`.",
     .example = "true"},
    {.key = "max_inflight",
     .type = CONF_INTEGER,
     .offset = offsetof(struct settings_batch, max_inflight),
     .value_default = "1",
     .minimum = 1,
     .maximum = 64,
     .help = "Batches that a target without a byte window of its own may hold unanswered.",
     .example = "1"},
};

static const struct conf_table batch_table = {
    .name = "batch",
    .help = "How changes are gathered before a target gets them.",
    .size = sizeof(struct settings_batch),
    OPTIONS(batch_options),
};

static const struct conf_choice buffer_policies[] = {{"block", BUFFER_BLOCK},
                                                     {"drop_oldest", BUFFER_DROP_OLDEST},
                                                     {"error", BUFFER_ERROR},
                                                     {"spill", CONF_CHOICE_UNAVAILABLE},
                                                     {NULL, 0}};

static const struct conf_option buffer_options[] = {
    {.key = "max_events",
     .type = CONF_INTEGER,
     .offset = offsetof(struct settings_buffer, max_events),
     .value_default = "10000",
     .minimum = 1,
     .maximum = 10000000,
     .help = "Changes that may wait for the targets of this pipeline.",
     .example = "10000"},
    {.key = "max_bytes",
     .type = CONF_SIZE,
     .offset = offsetof(struct settings_buffer, max_bytes),
     .value_default = "64MiB",
     .minimum = 1024,
     .maximum = 65536 * MIB,
     .help = "Bytes of changes that may wait. A single larger change is admitted alone.",
     .example = "64MiB"},
    {.key = "policy",
     .type = CONF_CHOICE,
     .offset = offsetof(struct settings_buffer, policy),
     .value_default = "block",
     .choices = buffer_policies,
     .help =
         "What happens when the buffer is full: `block` holds the reader of the source (lossless);"
         " `drop_oldest` gives up the oldest change and records the gap; `error` stops the "
         "pipeline.",
     .example = "block"},
};

static const struct conf_table buffer_table = {
    .name = "buffer",
    .help = "The bounded queue between the source and the targets of a pipeline.",
    .size = sizeof(struct settings_buffer),
    OPTIONS(buffer_options),
};

static const char *check_backoff(const void *section, const char **ret_key)
{
    const struct settings_errors *errors = section;
    *ret_key = "backoff_max";
    return errors->backoff_us > errors->backoff_max_us
               ? "\"backoff_max\" is shorter than \"backoff\"; make it at least as long"
               : NULL;
}

static conf_rule *const error_rules[] = {check_backoff, NULL};

static const struct conf_option error_options[] = {
    {.key = "backoff",
     .type = CONF_DURATION,
     .offset = offsetof(struct settings_errors, backoff_us),
     .value_default = "1s",
     .minimum = 1000,
     .maximum = HOUR_US,
     .help = "The wait before the first retry of a failed delivery. It doubles with each failure, "
             "and a random part of it is taken off.",
     .example = "1s"},
    {.key = "backoff_max",
     .type = CONF_DURATION,
     .offset = offsetof(struct settings_errors, backoff_max_us),
     .value_default = "30s",
     .minimum = 1000,
     .maximum = 24 * HOUR_US,
     .help = "The longest wait between retries. Retries have no end: the slot is held.",
     .example = "30s"},
    UNAVAILABLE("max_attempts", "Attempts before the error policy applies."),
    UNAVAILABLE("on_persistent_failure", "The error policy."),
    UNAVAILABLE("dead_letter", "Whether undeliverable events are kept as dead letters."),
    UNAVAILABLE("park_keys", "Whether later events of a dead-lettered key wait behind it."),
};

static const struct conf_table errors_table = {
    .name = "error_handling",
    .help = "What happens when a target cannot take a batch.",
    .size = sizeof(struct settings_errors),
    OPTIONS(error_options),
    .rules = error_rules,
};

/* The values are those of enum special_values in encode/encoder.h, which stands above conf. */
static const struct conf_choice special_values[] = {
    {"string", 0}, {"null", 1}, {"fail", 2}, {NULL, 0}};
static const struct conf_choice int8_forms[] = {{"number", 0}, {"string", 1}, {NULL, 0}};

static const struct conf_option target_options[] = {
    {.key = "name",
     .type = CONF_TEXT,
     .offset = offsetof(struct settings_target, name),
     .minimum = 1,
     .maximum = 63,
     .help = "Unique within the pipeline; checkpoints are kept by it. Default: the type.",
     .example = "archive"},
    {.key = "type",
     .type = CONF_TEXT,
     .offset = offsetof(struct settings_target, type),
     .required = true,
     .minimum = 1,
     .maximum = 63,
     .help = "The kind of target. It decides which further keys there are.",
     .example = "file"},
    {.key = "format",
     .type = CONF_TEXT,
     .offset = offsetof(struct settings_target, format),
     .value_default = "native",
     .minimum = 1,
     .maximum = 63,
     .help = "The envelope of events.",
     .example = "native"},
    {.key = "special_values",
     .type = CONF_CHOICE,
     .offset = offsetof(struct settings_target, special_values),
     .value_default = "string",
     .choices = special_values,
     .help = "How NaN and infinities, which JSON has not, are written: as strings, as null, or "
             "the event fails.",
     .example = "string"},
    {.key = "int8",
     .type = CONF_CHOICE,
     .offset = offsetof(struct settings_target, int8),
     .value_default = "number",
     .choices = int8_forms,
     .help = "How 64-bit integers are written. Readers that keep numbers as doubles need `string`.",
     .example = "number"},
    UNAVAILABLE("required", "Whether this target counts for confirming."),
};

const struct conf_table conf_target_table = {
    .name = "target",
    .help = "Where changes go. Every target of a pipeline gets every change, in the same order.",
    .size = sizeof(struct settings_target),
    OPTIONS(target_options),
    .family = CONF_FAMILY_TARGET,
    .extension_offset = offsetof(struct settings_target, options),
    .extension_table_offset = offsetof(struct settings_target, options_table),
};

static const struct conf_option pipeline_options[] = {
    {.key = "name",
     .type = CONF_TEXT,
     .offset = offsetof(struct settings_pipeline, name),
     .required = true,
     .minimum = 1,
     .maximum = 63,
     .help = "Unique. Letters, digits, `_`, `-` and `.`; positions are kept by it.",
     .example = "orders"},
    {.key = "labels",
     .type = CONF_TEXT_MAP,
     .offset = offsetof(struct settings_pipeline, labels),
     .help = "Free words for people and for selecting pipelines.",
     .example = "{team: shop, env: prod}"},
    {.key = "source",
     .type = CONF_TEXT,
     .offset = offsetof(struct settings_pipeline, source),
     .required = true,
     .minimum = 1,
     .maximum = 63,
     .help = "The name of one of `sources`.",
     .example = "shop"},
    {.key = "tables",
     .type = CONF_TEXT_LIST,
     .offset = offsetof(struct settings_pipeline, tables),
     .maximum = 10000,
     .help = "Tables or patterns: `public.orders`, `public.order_%`, `shop.*`, `%.audit`, `*` for "
             "all; a name without a schema is one of the schema public. `%` and `*` stand for any "
             "text; double quotes keep capitals and dots: `'\"My Schema\".\"t.x\"'`.",
     .example = "[public.orders, \"public.order_%\"]"},
    {.key = "messages",
     .type = CONF_TEXT_LIST,
     .offset = offsetof(struct settings_pipeline, messages),
     .maximum = 1000,
     .help = "Prefixes of logical messages (pg_logical_emit_message); `%` stands for any text.",
     .example = "[\"audit.%\"]"},
    {.key = "snapshot",
     .type = CONF_CHOICE,
     .offset = offsetof(struct settings_pipeline, snapshot),
     .value_default = "never",
     .choices = snapshots,
     .help = "Whether rows that were there before the slot are copied first.",
     .example = "never"},
    {.key = "batch",
     .type = CONF_SECTION,
     .offset = offsetof(struct settings_pipeline, batch),
     .table = &batch_table,
     .help = "See `pipelines[].batch`."},
    {.key = "buffer",
     .type = CONF_SECTION,
     .offset = offsetof(struct settings_pipeline, buffer),
     .table = &buffer_table,
     .help = "See `pipelines[].buffer`."},
    {.key = "error_handling",
     .type = CONF_SECTION,
     .offset = offsetof(struct settings_pipeline, error_handling),
     .table = &errors_table,
     .help = "See `pipelines[].error_handling`."},
    {.key = "targets",
     .type = CONF_SECTION_LIST,
     .offset = offsetof(struct settings_pipeline, targets),
     .required = true,
     .maximum = 100,
     .table = &conf_target_table,
     .help = "At least one. See `pipelines[].targets[]`.",
     .example = "[{type: stdout}]"},
    UNAVAILABLE("processors", "Filters, transforms and scripts."),
    UNAVAILABLE("commit_policy", "Which targets count for confirming."),
    UNAVAILABLE("dead_letters", "The dead-letter store of this pipeline."),
    UNAVAILABLE("schema_changes", "What a changed table does to the pipeline."),
    UNAVAILABLE("ttl", "How long the pipeline lives."),
};

const struct conf_table conf_pipeline_table = {
    .name = "pipeline",
    .help = "Tables of one source, delivered to one or more targets: the unit that is paused, "
            "stopped and counted.",
    .size = sizeof(struct settings_pipeline),
    OPTIONS(pipeline_options),
};

static const struct conf_option root_options[] = {
    {.key = "data_dir",
     .type = CONF_TEXT,
     .offset = offsetof(struct settings, data_dir),
     .value_default = "/var/lib/pgfan",
     .minimum = 1,
     .maximum = 4000,
     .help = "The directory of the engine's store and control socket; one engine each.",
     .example = "/var/lib/pgfan"},
    {.key = "shutdown_timeout",
     .type = CONF_DURATION,
     .offset = offsetof(struct settings, shutdown_timeout_us),
     .value_default = "30s",
     .maximum = HOUR_US,
     .help = "How long an ending engine waits for targets. What is not durable by then is sent "
             "again after the next start.",
     .example = "30s"},
    {.key = "api",
     .type = CONF_SECTION,
     .offset = offsetof(struct settings, api),
     .table = &api_table,
     .help = "See `api`."},
    {.key = "log",
     .type = CONF_SECTION,
     .offset = offsetof(struct settings, log),
     .table = &log_table,
     .help = "See `log`."},
    {.key = "sources",
     .type = CONF_SECTION_MAP,
     .offset = offsetof(struct settings, sources),
     .required = true,
     .maximum = 256,
     .table = &conf_source_table,
     .help = "Databases, by name. See `sources.NAME`.",
     .example = "{shop: {dsn: \"${env:SHOP_DSN}\"}}"},
    {.key = "pipelines",
     .type = CONF_SECTION_LIST,
     .offset = offsetof(struct settings, pipelines),
     .required = true,
     .maximum = 10000,
     .table = &conf_pipeline_table,
     .help = "See `pipelines[]`.",
     .example = "[{name: orders, source: shop, tables: [public.orders], targets: [...]}]"},
    UNAVAILABLE("dead_letters", "The dead-letter store."),
};

const struct conf_table conf_root_table = {
    .name = "conf",
    .help = "The top level of a conf file.",
    .size = sizeof(struct settings),
    OPTIONS(root_options),
};
