#include "conf/tables.h"

#include <string.h>

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

/* The values are those of enum deadletter_at_cap, which stands above conf. conf/check_delivery.c has
 * them, too, and the default of `max_payload`. */
static const struct conf_choice at_caps[] = {
    {"block", 0}, {"reject", 1}, {"drop_oldest", 2}, {NULL, 0}};

static const char *check_dead_letters(const void *section, const char **ret_key)
{
    const struct settings_dead_letters *letters = section;
    *ret_key = "max_payload";
    return letters->max_payload_bytes > letters->max_bytes
               ? "\"max_payload\" is larger than \"max_bytes\", so that such an event would never "
                 "fit"
               : NULL;
}

static const struct conf_option dead_letters_options[] = {
    {.key = "max_entries",
     .type = CONF_INTEGER,
     .offset = offsetof(struct settings_dead_letters, max_entries),
     .value_default = "1000000",
     .minimum = 1,
     .maximum = 1000000000,
     .help = "Dead letters that the store may hold, over all pipelines.",
     .example = "1000000"},
    {.key = "max_bytes",
     .type = CONF_SIZE,
     .offset = offsetof(struct settings_dead_letters, max_bytes),
     .value_default = "1GiB",
     .minimum = MIB,
     .maximum = MIB * 1024 * 1024,
     .help = "Bytes of events that the store may hold as dead letters.",
     .example = "1GiB"},
    {.key = "max_payload",
     .type = CONF_SIZE,
     .offset = offsetof(struct settings_dead_letters, max_payload_bytes),
     .value_default = "64MiB",
     .minimum = 1024,
     .maximum = 128 * MIB,
     .help = "A single larger event is not kept: it becomes a gap row at once, which loses it.",
     .example = "64MiB"},
    {.key = "max_age",
     .type = CONF_DURATION,
     .offset = offsetof(struct settings_dead_letters, max_age_us),
     .value_default = "0",
     .maximum = HOUR_US * 24 * 3650,
     .help =
         "Older dead letters become gap rows, which loses them. 0: they are kept until they are "
         "replayed or purged.",
     .example = "720h"},
    {.key = "at_cap",
     .type = CONF_CHOICE,
     .offset = offsetof(struct settings_dead_letters, at_cap),
     .value_default = "block",
     .choices = at_caps,
     .help = "What happens when the store is full: `block` adds nothing and holds the slot "
             "(lossless); `reject` makes a gap row of the new event; `drop_oldest` makes room by "
             "gap rows of the oldest; both lose events.",
     .example = "block"},
};

static conf_rule *const dead_letters_rules[] = {check_dead_letters, NULL};

static const struct conf_table dead_letters_table = {
    .name = "dead_letters",
    .help = "Bounds of the dead-letter store: events that a target did not take.",
    .size = sizeof(struct settings_dead_letters),
    OPTIONS(dead_letters_options),
    .rules = dead_letters_rules,
};

static const char *check_guard(const void *section, const char **ret_key)
{
    const struct settings_guard *guard = section;
    enum guard_step step;
    *ret_key = "then";
    for (size_t i = 0; i < guard->steps.count; i++) {
        if (!guard_step_parse(guard->steps.items[i], &step)) {
            return "\"then\" takes the steps warn, spill, detach, stop and drop_slot";
        }
        enum guard_step before = GUARD_WARN;
        if (i > 0 && guard_step_parse(guard->steps.items[i - 1], &before) && before >= step) {
            return "\"then\" takes each step once, in the order warn, spill, detach, stop, "
                   "drop_slot";
        }
        if (i > 0 && step == GUARD_DROP_SLOT && before == GUARD_STOP) {
            return "\"then\" cannot drop the slot after `stop`, which ends the looks at it, too; "
                   "leave one of them away";
        }
    }
    *ret_key = "hard";
    if (guard->hard != 0 && guard->soft > guard->hard) {
        return "\"hard\" is below \"soft\"; make it at least as much";
    }
    return guard->hard == 0 && guard->steps.count > 0
               ? "the steps of \"then\" need a \"hard\" limit"
               : NULL;
}

static const struct conf_option guard_options[] = {
    {.key = "soft",
     .type = CONF_SIZE,
     .offset = offsetof(struct settings_guard, soft),
     .value_default = "0",
     .maximum = 1048576 * MIB,
     .help = "WAL held by the slot at which a warning is logged and shown; 0: none.",
     .example = "8GiB"},
    {.key = "hard",
     .type = CONF_SIZE,
     .offset = offsetof(struct settings_guard, hard),
     .value_default = "0",
     .maximum = 1048576 * MIB,
     .help = "WAL held by the slot at which the steps of `then` are taken, one after the other "
             "until it is below again; 0: none. A slot that the server is about to invalidate "
             "counts as over it.",
     .example = "20GiB"},
    {.key = "then",
     .type = CONF_TEXT_LIST,
     .offset = offsetof(struct settings_guard, steps),
     .maximum = 5,
     .help = "In this order, any of: `warn`; `spill`, pipelines that hold the slot go on into "
             "files, paused and failed ones too; `detach`, what they hold is given up with gap "
             "rows; `stop`, reading ends, the slot is kept and the WAL still grows; `drop_slot`, "
             "reading ends and the slot is dropped: everything since is lost.",
     .example = "[warn, spill, stop]"},
};

static conf_rule *const guard_rules[] = {check_guard, NULL};

static const struct conf_table guard_table = {
    .name = "slot_guard",
    .help = "Limits on the WAL that the slot makes the primary keep.",
    .size = sizeof(struct settings_guard),
    OPTIONS(guard_options),
    .rules = guard_rules,
};

static const struct conf_option source_options[] = {
    {.key = "slot_guard",
     .type = CONF_SECTION,
     .offset = offsetof(struct settings_source, slot_guard),
     .table = &guard_table,
     .help = "See `sources.NAME.slot_guard`."},
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
                                                     {"spill", BUFFER_SPILL},
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
         "pipeline; `spill` goes on into files in `data_dir`, and the slot moves on (lossless, up "
         "to `spill_max`, then as `block`).",
     .example = "block"},
    {.key = "spill_max",
     .type = CONF_SIZE,
     .offset = offsetof(struct settings_buffer, spill_max),
     .value_default = "10GiB",
     .maximum = 1048576 * MIB,
     .help = "Bytes on disk that the backlog of one target may take, under policy `spill` and for "
             "targets that the commit policy does not wait for. Beyond it the latter lose changes, "
             "each run with a gap row: give it room for their longest outage. 0: they lose changes "
             "at once.",
     .example = "10GiB"},
};

static const struct conf_table buffer_table = {
    .name = "buffer",
    .help = "The bounded queue between the source and the targets of a pipeline.",
    .size = sizeof(struct settings_buffer),
    OPTIONS(buffer_options),
};

static const struct conf_choice commit_modes[] = {
    {"required", COMMIT_REQUIRED}, {"all", COMMIT_ALL}, {"quorum", COMMIT_QUORUM}, {NULL, 0}};

static const char *check_commit(const void *section, const char **ret_key)
{
    const struct settings_commit *commit = section;
    *ret_key = "quorum";
    if (commit->mode == COMMIT_QUORUM) {
        return commit->quorum == 0 ? "\"mode: quorum\" needs \"quorum\", a number of targets"
                                   : NULL;
    }
    return commit->quorum != 0 ? "\"quorum\" belongs to \"mode: quorum\"; remove it" : NULL;
}

static const struct conf_option commit_options[] = {
    {.key = "mode",
     .type = CONF_CHOICE,
     .offset = offsetof(struct settings_commit, mode),
     .value_default = "required",
     .choices = commit_modes,
     .help =
         "Which targets a change waits for: `required`, those with `required: true`; `all`; "
         "`quorum`, as many as `quorum` says, whichever are first. The others keep what they "
         "have not got yet in files in `data_dir`, up to `buffer.spill_max`; beyond it they lose "
         "changes.",
     .example = "required"},
    {.key = "quorum",
     .type = CONF_INTEGER,
     .offset = offsetof(struct settings_commit, quorum),
     .value_default = "0",
     .maximum = 64,
     .help = "How many targets, under `mode: quorum`.",
     .example = "2"},
};

static conf_rule *const commit_rules[] = {check_commit, NULL};

static const struct conf_table commit_table = {
    .name = "commit_policy",
    .help = "Which targets count for confirming a change to the slot.",
    .size = sizeof(struct settings_commit),
    OPTIONS(commit_options),
    .rules = commit_rules,
};

static const struct conf_choice error_policies[] = {{"isolate", ERRORS_ISOLATE},
                                                    {"stop_source", ERRORS_STOP_SOURCE},
                                                    {"stop_all", ERRORS_STOP_ALL},
                                                    {NULL, 0}};

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
     .help = "The longest wait between retries, and the wait between probes of a target whose "
             "attempts are spent.",
     .example = "30s"},
    {.key = "max_attempts",
     .type = CONF_INTEGER,
     .offset = offsetof(struct settings_errors, max_attempts),
     .value_default = "5",
     .maximum = 1000000,
     .help = "Attempts, the first one included, before `on_persistent_failure` applies; 0: no end, "
             "the slot is held. A full disk is tried without end in any case.",
     .example = "5"},
    {.key = "on_persistent_failure",
     .type = CONF_CHOICE,
     .offset = offsetof(struct settings_errors, on_persistent_failure),
     .value_default = "isolate",
     .choices = error_policies,
     .help =
         "What happens then, and at once when the target says that it cannot work: `isolate`, "
         "its changes go to the dead letters until it works again, everything else streams on; "
         "`stop_source`, all pipelines of the source stop and nothing more is confirmed; "
         "`stop_all`, the engine ends with status 75. Of no effect on targets that are not waited "
         "for, under `mode: quorum` and with `policy: spill`: there a failing target goes on out "
         "of its spill, or holds the pipeline.",
     .example = "isolate"},
    {.key = "dead_letter",
     .type = CONF_BOOL,
     .offset = offsetof(struct settings_errors, dead_letter),
     .value_default = "true",
     .help = "Whether what cannot be delivered is kept as dead letters. `false`: it is given up "
             "with a gap row, which loses it.",
     .example = "true"},
    {.key = "park_keys",
     .type = CONF_BOOL,
     .offset = offsetof(struct settings_errors, park_keys),
     .value_default = "true",
     .help = "Whether later events of a dead-lettered row wait behind it, as dead letters too, so "
             "that its order is kept.",
     .example = "true"},
    {.key = "poison_max",
     .type = CONF_INTEGER,
     .offset = offsetof(struct settings_errors, poison_max),
     .value_default = "10",
     .minimum = 1,
     .maximum = 1000,
     .help = "Events that a target may refuse for good in a minute. More of them mean that the "
             "target is at fault: `on_persistent_failure` applies until an operator restarts it.",
     .example = "10"},
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

/* The values are those of enum cloudevents_mode and enum cloudevents_compat there. */
static const struct conf_choice cloudevents_modes[] = {{"structured", 0}, {"binary", 1}, {NULL, 0}};
static const struct conf_choice cloudevents_compats[] = {{"none", 0}, {"debezium", 1}, {NULL, 0}};

static const char *check_cloudevents(const void *section, const char **ret_key)
{
    const struct settings_cloudevents *cloudevents = section;
    *ret_key = "compat";
    return cloudevents->mode != 0 && cloudevents->compat != 0
               ? "\"compat: debezium\" has no \"mode: binary\": its attributes have names that no "
                 "header can carry back"
               : NULL;
}

static const struct conf_option cloudevents_options[] = {
    {.key = "mode",
     .type = CONF_CHOICE,
     .offset = offsetof(struct settings_cloudevents, mode),
     .value_default = "structured",
     .choices = cloudevents_modes,
     .help =
         "`structured`: an event is one JSON object with its attributes and its data. `binary`: "
         "the body is the data, the attributes are headers; for targets that have headers.",
     .example = "binary"},
    {.key = "compat",
     .type = CONF_CHOICE,
     .offset = offsetof(struct settings_cloudevents, compat),
     .value_default = "none",
     .choices = cloudevents_compats,
     .help =
         "`debezium`: names, order and spelling of attributes as Debezium's CloudEvents converter "
         "writes them; with `mode: structured`.",
     .example = "debezium"},
};

static conf_rule *const cloudevents_rules[] = {check_cloudevents, NULL};

static const struct conf_table cloudevents_table = {
    .name = "cloudevents",
    .help = "How events are written with `format: cloudevents`.",
    .size = sizeof(struct settings_cloudevents),
    OPTIONS(cloudevents_options),
    .rules = cloudevents_rules,
};

/* The values are those of encode/debezium_settings.h. */
static const struct conf_choice debezium_decimals[] = {
    {"precise", 0}, {"double", 1}, {"string", 2}, {NULL, 0}};
static const struct conf_choice debezium_times[] = {
    {"adaptive", 0},     {"adaptive_time_microseconds", 1},
    {"connect", 2},      {"isostring", 3},
    {"microseconds", 4}, {"nanoseconds", 5},
    {"structured", 6},   {NULL, 0}};
static const struct conf_choice debezium_binaries[] = {
    {"bytes", 0}, {"base64", 1}, {"base64-url-safe", 2}, {"hex", 3}, {NULL, 0}};
static const struct conf_choice debezium_intervals[] = {{"numeric", 0}, {"string", 1}, {NULL, 0}};
static const struct conf_choice debezium_hstores[] = {{"json", 0}, {"map", 1}, {NULL, 0}};

/* Debezium's rule for topic.prefix: it is a part of topics' names. */
static bool prefix_is_bad(const char *prefix)
{
    return prefix != NULL &&
           prefix[strspn(prefix, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                 "._-")] != '\0';
}

static const char *check_debezium(const void *section, const char **ret_key)
{
    const struct settings_debezium *debezium = section;
    const char *value = debezium->unavailable_value;
    *ret_key = "topic_prefix";
    if (prefix_is_bad(debezium->topic_prefix)) {
        return "\"topic_prefix\" is letters, digits, `.`, `_` and `-`: it is a part of topics' "
               "names";
    }
    *ret_key = "unavailable_value";
    if (value == NULL || strncmp(value, "hex:", 4) != 0) {
        return NULL;
    }
    size_t digits = strspn(value + 4, "0123456789abcdefABCDEF");
    return digits == 0 || digits % 2 != 0 || value[4 + digits] != '\0'
               ? "behind `hex:` of \"unavailable_value\" stand pairs of hexadecimal digits"
               : NULL;
}

static const struct conf_option debezium_options[] = {
    {.key = "schemas",
     .type = CONF_BOOL,
     .offset = offsetof(struct settings_debezium, schemas),
     .value_default = "false",
     .help = "Whether each value and key carries its schema, as `{\"schema\":...,\"payload\":...}` "
             "(Kafka Connect's `schemas.enable`).",
     .example = "false"},
    {.key = "decimal",
     .type = CONF_CHOICE,
     .offset = offsetof(struct settings_debezium, decimal),
     .value_default = "precise",
     .choices = debezium_decimals,
     .help =
         "How `numeric` and `money` are written: `precise`, the unscaled integer in base64 (NaN "
         "and infinities have none: such an event becomes a dead letter); `double`, a number; "
         "`string`.",
     .example = "precise"},
    {.key = "time",
     .type = CONF_CHOICE,
     .offset = offsetof(struct settings_debezium, time),
     .value_default = "adaptive",
     .choices = debezium_times,
     .help = "The unit of `date`, `time` and `timestamp` (Debezium's `time.precision.mode`). "
             "`structured`: objects of year, month and so on, also for the types with a zone and "
             "for intervals.",
     .example = "adaptive"},
    {.key = "binary",
     .type = CONF_CHOICE,
     .offset = offsetof(struct settings_debezium, binary),
     .value_default = "bytes",
     .choices = debezium_binaries,
     .help = "How `bytea` and the content of messages are written. `bytes` and `base64` look the "
             "same in JSON; their schemas differ.",
     .example = "bytes"},
    {.key = "interval",
     .type = CONF_CHOICE,
     .offset = offsetof(struct settings_debezium, interval),
     .value_default = "numeric",
     .choices = debezium_intervals,
     .help = "Intervals as microseconds, a month being 365.25 / 12 days, or as ISO 8601 text.",
     .example = "numeric"},
    {.key = "hstore",
     .type = CONF_CHOICE,
     .offset = offsetof(struct settings_debezium, hstore),
     .value_default = "json",
     .choices = debezium_hstores,
     .help = "An `hstore` as a string that holds JSON, or as an object.",
     .example = "json"},
    {.key = "unavailable_value",
     .type = CONF_TEXT,
     .offset = offsetof(struct settings_debezium, unavailable_value),
     .value_default = SETTINGS_UNAVAILABLE_VALUE,
     .minimum = 1,
     .maximum = 1000,
     .help = "What stands in the place of a large value that the server does not send, because the "
             "update did not change it. Bytes that are no text stand behind `hex:`, as in "
             "`hex:00ff`.",
     .example = SETTINGS_UNAVAILABLE_VALUE},
    {.key = "topic_prefix",
     .type = CONF_TEXT,
     .offset = offsetof(struct settings_debezium, topic_prefix),
     .minimum = 1,
     .maximum = 200,
     .help =
         "The logical name of the server, in `source.name` and in the names of schemas. Default: "
         "the name of the source.",
     .example = "shop"},
    {.key = "transaction_metadata",
     .type = CONF_BOOL,
     .offset = offsetof(struct settings_debezium, transaction_metadata),
     .value_default = "false",
     .help = "Whether each event says which transaction it belongs to, and where in it it stands "
             "(`provide.transaction.metadata`). `transactions: true` adds the BEGIN and END marks.",
     .example = "false"},
    {.key = "defaults",
     .type = CONF_BOOL,
     .offset = offsetof(struct settings_debezium, defaults),
     .value_default = "false",
     .help =
         "Whether schemas have the defaults of columns, as Debezium's do. A reader that goes by "
         "the schema, such as Kafka Connect's converters, takes a null in such a column for "
         "the default.",
     .example = "false"},
};

static conf_rule *const debezium_rules[] = {check_debezium, NULL};

static const struct conf_table debezium_table = {
    .name = "debezium",
    .help = "Of a target with `format: debezium` or `format: avro`: the choices that Debezium's "
            "connector has.",
    .size = sizeof(struct settings_debezium),
    OPTIONS(debezium_options),
    .rules = debezium_rules,
};

/* The values are those of encode/avro_settings.h. */
static const struct conf_choice avro_subjects[] = {
    {"topic", 0}, {"record", 1}, {"topic_record", 2}, {NULL, 0}};
static const struct conf_choice avro_names[] = {{"replace", 0}, {"unicode", 1}, {NULL, 0}};

static const char *check_avro(const void *section, const char **ret_key)
{
    const struct settings_avro *avro = section;
    bool http = avro->registry == NULL || strncmp(avro->registry, "http://", 7) == 0;
    bool basic = avro->username != NULL;
    bool bearer = secret_reveal(&avro->bearer_token) != NULL;
    *ret_key = "registry";
    if (avro->registry != NULL && !http && strncmp(avro->registry, "https://", 8) != 0) {
        return "the address of a schema registry begins with http:// or https://";
    }
    if (avro->registry != NULL && strpbrk(avro->registry, "@?# ") != NULL) {
        return "the address of a schema registry has no user, query, fragment or space: users have "
               "keys of their own";
    }
    if (http && (avro->ca != NULL || avro->client_cert != NULL) && avro->registry != NULL) {
        return "certificates need an address that begins with https://";
    }
    *ret_key = "client_key";
    if ((avro->client_cert == NULL) != (avro->client_key == NULL)) {
        return "\"client_cert\" and \"client_key\" belong together";
    }
    *ret_key = "bearer_token";
    if (bearer && basic) {
        return "a schema registry is asked with a token or with a user, not with both";
    }
    *ret_key = "registry";
    if (http && avro->registry != NULL && (basic || bearer) && !avro->allow_http) {
        return "a password or token would go over the network in clear text: use https://, or set "
               "\"allow_http: true\" where nobody listens";
    }
    *ret_key = "password";
    return secret_reveal(&avro->password) != NULL && !basic ? "a password needs its \"username\""
                                                            : NULL;
}

static const struct conf_option avro_options[] = {
    {.key = "registry",
     .type = CONF_TEXT,
     .offset = offsetof(struct settings_avro, registry),
     .minimum = 8,
     .maximum = 2000,
     .help = "The address of the schema registry, which speaks Confluent's REST interface. "
             "`format: avro` needs it.",
     .example = "http://registry.internal:8081"},
    {.key = "username",
     .type = CONF_TEXT,
     .offset = offsetof(struct settings_avro, username),
     .minimum = 1,
     .maximum = 256,
     .help = "The user of `Authorization: Basic`; see `password`.",
     .example = "pgfan"},
    {.key = "password",
     .type = CONF_SECRET,
     .offset = offsetof(struct settings_avro, password),
     .help = "The password of `username`.",
     .example = "${file:/etc/pgfan/registry.password}"},
    {.key = "bearer_token",
     .type = CONF_SECRET,
     .offset = offsetof(struct settings_avro, bearer_token),
     .help = "Sent as `Authorization: Bearer`.",
     .example = "${env:REGISTRY_TOKEN}"},
    {.key = "client_cert",
     .type = CONF_TEXT,
     .offset = offsetof(struct settings_avro, client_cert),
     .minimum = 1,
     .maximum = 4000,
     .help = "A PEM file with the certificate that the registry asks of its clients.",
     .example = "/etc/pgfan/registry.crt"},
    {.key = "client_key",
     .type = CONF_TEXT,
     .offset = offsetof(struct settings_avro, client_key),
     .minimum = 1,
     .maximum = 4000,
     .help = "A PEM file with the key of `client_cert`, without a passphrase.",
     .example = "/etc/pgfan/registry.key"},
    {.key = "ca",
     .type = CONF_TEXT,
     .offset = offsetof(struct settings_avro, ca),
     .minimum = 1,
     .maximum = 4000,
     .help = "A PEM file with the authorities that may have signed the registry's certificate. "
             "Unset: the system's.",
     .example = "/etc/pgfan/internal-ca.pem"},
    {.key = "allow_http",
     .type = CONF_BOOL,
     .offset = offsetof(struct settings_avro, allow_http),
     .value_default = "false",
     .help = "Whether `password` or `bearer_token` may go to a registry whose address begins with "
             "http://, so in clear text.",
     .example = "true"},
    {.key = "register",
     .type = CONF_BOOL,
     .offset = offsetof(struct settings_avro, register_schemas),
     .value_default = "true",
     .help = "Whether a schema that the registry does not have is registered there. With `false` "
             "its events wait until somebody else has registered it.",
     .example = "false"},
    {.key = "subjects",
     .type = CONF_CHOICE,
     .offset = offsetof(struct settings_avro, subjects),
     .value_default = "topic",
     .choices = avro_subjects,
     .help = "What the registry keeps a schema under: `topic` is `<topic_prefix>.<schema>.<table>` "
             "with `-key` or `-value`, `record` the full name of the record, `topic_record` both "
             "(Confluent's TopicNameStrategy, RecordNameStrategy and TopicRecordNameStrategy).",
     .example = "record"},
    {.key = "names",
     .type = CONF_CHOICE,
     .offset = offsetof(struct settings_avro, names),
     .value_default = "replace",
     .choices = avro_names,
     .help = "What becomes of characters that Avro's names do not have: `replace` writes `_`, "
             "`unicode` `_u0020` (Debezium's `avro` and `avro_unicode`).",
     .example = "unicode"},
    {.key = "timeout",
     .type = CONF_DURATION,
     .offset = offsetof(struct settings_avro, timeout_us),
     .value_default = "10s",
     .minimum = 100000,
     .maximum = 600000000,
     .help = "The longest that one request to the registry takes.",
     .example = "5s"},
};

static conf_rule *const avro_rules[] = {check_avro, NULL};

static const struct conf_table avro_table = {
    .name = "avro",
    .help =
        "Of a target with `format: avro`: its schema registry. What events say is chosen in the "
        "section `debezium`.",
    .size = sizeof(struct settings_avro),
    OPTIONS(avro_options),
    .rules = avro_rules,
};

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
             "not at all: the event becomes a dead letter of the target.",
     .example = "string"},
    {.key = "int8",
     .type = CONF_CHOICE,
     .offset = offsetof(struct settings_target, int8),
     .value_default = "number",
     .choices = int8_forms,
     .help = "How 64-bit integers are written. Readers that keep numbers as doubles need `string`.",
     .example = "number"},
    {.key = "cloudevents",
     .type = CONF_SECTION,
     .offset = offsetof(struct settings_target, cloudevents),
     .table = &cloudevents_table,
     .help = "See `pipelines[].targets[].cloudevents`."},
    {.key = "debezium",
     .type = CONF_SECTION,
     .offset = offsetof(struct settings_target, debezium),
     .table = &debezium_table,
     .help = "See `pipelines[].targets[].debezium`."},
    {.key = "avro",
     .type = CONF_SECTION,
     .offset = offsetof(struct settings_target, avro),
     .table = &avro_table,
     .help = "See `pipelines[].targets[].avro`."},
    {.key = "required",
     .type = CONF_BOOL,
     .offset = offsetof(struct settings_target, required),
     .value_default = "true",
     .help =
         "Whether a change waits for this target under `commit_policy.mode: required`. One that "
         "is not required keeps its backlog in files, up to `buffer.spill_max`, and loses what is "
         "beyond it.",
     .example = "true"},
    {.key = "transactions",
     .type = CONF_BOOL,
     .offset = offsetof(struct settings_target, transactions),
     .value_default = "false",
     .help = "Whether a begin and a commit mark stand around the events of each transaction. A "
             "target that takes requests then gets whole transactions only, one request at a time, "
             "and one that is larger than `batch.max_bytes` becomes dead letters.",
     .example = "false"},
    {.key = "deadline",
     .type = CONF_DURATION,
     .offset = offsetof(struct settings_target, deadline_us),
     .value_default = "30s",
     .minimum = 10000,
     .maximum = HOUR_US,
     .help = "How long one request to the target may take before it is given up and counts as a "
             "failed attempt. Of no effect on targets that take no requests, such as files.",
     .example = "30s"},
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
    {.key = "commit_policy",
     .type = CONF_SECTION,
     .offset = offsetof(struct settings_pipeline, commit_policy),
     .table = &commit_table,
     .help = "See `pipelines[].commit_policy`."},
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
    {.key = "dead_letters",
     .type = CONF_SECTION,
     .offset = offsetof(struct settings, dead_letters),
     .table = &dead_letters_table,
     .help = "See `dead_letters`."},
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
};

const struct conf_table conf_root_table = {
    .name = "conf",
    .help = "The top level of a conf file.",
    .size = sizeof(struct settings),
    OPTIONS(root_options),
};
