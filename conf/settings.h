/*
 * settings.h - the effective configuration, decoded and checked.
 *
 * Filled by conf_load(): defaults, then the file, then conf.d in name order, then the environment,
 * then --set. Sections
 * of sources and targets have common keys here and, per `type`, keys of their own that the plug-in
 * describes with its table and finds decoded in `options`.
 *
 * Ownership:  settings_release() frees everything below and erases secrets.
 * Threading:  immutable after loading; any thread may read it.
 */
#ifndef CONF_SETTINGS_H
#define CONF_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/secret.h"
#include "conf/option.h"

enum buffer_policy { BUFFER_BLOCK, BUFFER_DROP_OLDEST, BUFFER_ERROR, BUFFER_SPILL };

/* What happens when the attempts of a target are spent. */
enum error_policy { ERRORS_ISOLATE, ERRORS_STOP_SOURCE, ERRORS_STOP_ALL };

/* Which targets of a pipeline a change waits for. */
enum commit_mode { COMMIT_REQUIRED, COMMIT_ALL, COMMIT_QUORUM };

struct settings_batch {
    int64_t max_events;
    uint64_t max_bytes;
    int64_t max_us; /* key `max_ms` */
    bool respect_source_tx;
    int64_t max_inflight;
};

struct settings_buffer {
    int64_t max_events;
    uint64_t max_bytes;
    int policy;         /* enum buffer_policy */
    uint64_t spill_max; /* bytes on disk, a target; 0: nothing is spilled */
};

struct settings_commit {
    int mode; /* enum commit_mode */
    int64_t quorum;
};

struct settings_errors {
    int64_t max_attempts; /* the first one included; 0: no end */
    int64_t backoff_us;
    int64_t backoff_max_us;
    int on_persistent_failure; /* enum error_policy */
    bool dead_letter;
    bool park_keys;
    int64_t poison_max; /* convictions in a minute; more convict the target */
};

/* Of targets with `format: cloudevents`. */
struct settings_cloudevents {
    int mode;   /* enum cloudevents_mode of encode/encoder.h */
    int compat; /* enum cloudevents_compat of the same */
};

#define SETTINGS_UNAVAILABLE_VALUE "__debezium_unavailable_value"

/* The values are those of encode/debezium_settings.h, which stands above conf. */
struct settings_debezium {
    bool schemas;
    int decimal;
    int time;
    int binary;
    int interval;
    int hstore;
    bool transaction_metadata;
    bool defaults;
    char *unavailable_value;
    char *topic_prefix; /* NULL: the name of the source */
};

enum { SETTINGS_AVRO_TIMEOUT_US = 10000000 }; /* the default of `timeout` */

/* Of targets with `format: avro`; subjects and names are those of encode/avro_settings.h. */
struct settings_avro {
    char *registry; /* URL */
    char *username;
    struct secret password;
    struct secret bearer_token;
    char *client_cert;
    char *client_key;
    char *ca;
    bool register_schemas; /* key `register` */
    bool allow_http;
    int subjects;
    int names;
    int64_t timeout_us;
};

struct settings_target {
    char *name; /* default: the type */
    char *type;
    char *format;
    int special_values; /* enum special_values of encode/encoder.h */
    int int8;           /* 0 number, 1 string */
    struct settings_cloudevents cloudevents;
    struct settings_debezium debezium; /* of formats debezium and avro */
    struct settings_avro avro;
    bool required;
    bool transactions;
    int64_t deadline_us;
    void *options; /* owned; the struct of the type's table */
    const struct conf_table *options_table;
};

struct settings_pipeline {
    char *name;
    struct conf_text_map labels;
    char *source;
    struct conf_text_list tables;
    struct conf_text_list messages; /* prefixes of logical messages, patterns with % */
    int snapshot;                   /* only never */
    struct settings_batch batch;
    struct settings_buffer buffer;
    struct settings_commit commit_policy;
    struct settings_errors error_handling;
    struct conf_section_list targets; /* struct settings_target */
};

/* What the guard of a slot does, in the order of the conf. */
enum guard_step { GUARD_WARN, GUARD_SPILL, GUARD_DETACH, GUARD_STOP, GUARD_DROP_SLOT };

struct settings_guard {
    uint64_t soft; /* bytes of WAL that the slot holds; 0: no limit */
    uint64_t hard;
    struct conf_text_list steps; /* names of enum guard_step */
};

struct settings_source {
    char *name;
    char *type;
    struct settings_guard slot_guard;
    void *options; /* owned; the struct of the type's table */
    const struct conf_table *options_table;
};

struct settings_api {
    char *listen; /* 127.0.0.1:7432; NULL: only the unix socket */
};

struct settings_dead_letters {
    int64_t max_entries;
    uint64_t max_bytes;
    uint64_t max_payload_bytes; /* key `max_payload` */
    int64_t max_age_us;         /* 0: none */
    int at_cap;                 /* enum deadletter_at_cap of deadletter/deadletter.h */
};

struct settings_log {
    int level;  /* enum log_level */
    int format; /* enum log_format */
};

struct settings {
    char *data_dir;
    struct settings_api api;
    struct settings_log log;
    struct settings_dead_letters dead_letters;
    int64_t shutdown_timeout_us;
    struct conf_section_list sources;   /* struct settings_source */
    struct conf_section_list pipelines; /* struct settings_pipeline */
};

/* A family of plug-ins as conf sees it: type name and table. */
struct conf_plugin {
    const char *type;
    const struct conf_table *table; /* NULL: no keys of its own */

    /* The word of two targets that would write to the same place, or "". As in targets/target.h;
     * may be NULL. */
    void (*address)(const void *options, char *text, size_t text_size);

    /* Of a target: why it cannot have marks of transactions with these options and this envelope, or
     * NULL. May be NULL: it can. */
    const char *(*marks_fault)(const void *options, const char *format);

    /* Of a target: why it cannot put the attributes of an event into headers with these options, or
     * NULL. A NULL pointer: it has no headers. */
    const char *(*headers_fault)(const void *options);

    /* Of a target: it answers for single events, and may refuse one for good. */
    bool answers;

    /* Whether two sources, by their names and options, would read through the same slot. As in
     * sources/source.h; may be NULL. */
    bool (*same_slot)(const char *name, const void *options, const char *other_name,
                      const void *other_options);
};

struct conf_plugins {
    const struct conf_plugin *sources;
    size_t sources_count;
    const struct conf_plugin *targets;
    size_t targets_count;
    const char *const *formats; /* names of envelopes, NULL-terminated */
};

static inline const struct settings_source *settings_source_at(const struct settings *settings,
                                                               size_t index)
{
    return (const struct settings_source *)settings->sources.items + index;
}

static inline const struct settings_pipeline *settings_pipeline_at(const struct settings *settings,
                                                                   size_t index)
{
    return (const struct settings_pipeline *)settings->pipelines.items + index;
}

static inline const struct settings_target *
settings_target_at(const struct settings_pipeline *pipeline, size_t index)
{
    return (const struct settings_target *)pipeline->targets.items + index;
}

/* Finds the step of that name. */
bool guard_step_parse(const char *name, enum guard_step *ret_step);

void settings_release(struct settings *settings);

#endif
