/*
 * conf_fixture.h - small plug-ins for the tests and the fuzzer of conf, with every type of option.
 *
 * They look like the real ones where a user would notice, and stand here so that conf is tested
 * without the folders above it.
 */
#ifndef TESTS_CONF_FIXTURE_H
#define TESTS_CONF_FIXTURE_H

#include <stdio.h>

#include "base/secret.h"
#include "conf/settings.h"

struct fixture_slot {
    char *name;
    bool create;
    int mode;
};

struct fixture_source {
    struct secret dsn;
    struct secret token;
    struct fixture_slot slot;
    int64_t wal_sender_timeout_us;
};

struct fixture_file {
    char *path;
    int fsync;
    uint64_t rotate_bytes;
    int64_t keep_segments;
};

static const struct conf_choice fixture_modes[] = {
    {"stateful", 0}, {"ephemeral", CONF_CHOICE_UNAVAILABLE}, {NULL, 0}};
static const struct conf_choice fixture_fsyncs[] = {
    {"interval", 0}, {"batch", 1}, {"os", 2}, {NULL, 0}};

static const struct conf_option fixture_slot_options[] = {
    {.key = "name", .type = CONF_TEXT, .offset = offsetof(struct fixture_slot, name), .minimum = 1},
    {.key = "create",
     .type = CONF_BOOL,
     .offset = offsetof(struct fixture_slot, create),
     .value_default = "true"},
    {.key = "mode",
     .type = CONF_CHOICE,
     .offset = offsetof(struct fixture_slot, mode),
     .value_default = "stateful",
     .choices = fixture_modes},
};

static const struct conf_table fixture_slot_table = {
    .name = "slot",
    .help = "The replication slot.",
    .size = sizeof(struct fixture_slot),
    .options = fixture_slot_options,
    .options_count = CONF_COUNT(fixture_slot_options),
};

static const struct conf_option fixture_source_options[] = {
    {.key = "dsn",
     .type = CONF_SECRET,
     .offset = offsetof(struct fixture_source, dsn),
     .required = true,
     .help = "A libpq connection string.",
     .example = "${env:SHOP_DSN}"},
    {.key = "token", .type = CONF_SECRET, .offset = offsetof(struct fixture_source, token)},
    {.key = "slot",
     .type = CONF_SECTION,
     .offset = offsetof(struct fixture_source, slot),
     .table = &fixture_slot_table},
    {.key = "wal_sender_timeout",
     .type = CONF_DURATION,
     .offset = offsetof(struct fixture_source, wal_sender_timeout_us),
     .value_default = "60s",
     .minimum = 1000000},
};

static const struct conf_table fixture_source_table = {
    .name = "postgres",
    .help = "PostgreSQL.",
    .size = sizeof(struct fixture_source),
    .options = fixture_source_options,
    .options_count = CONF_COUNT(fixture_source_options),
};

static const char *fixture_file_rule(const void *section, const char **ret_key)
{
    const struct fixture_file *file = section;
    *ret_key = "keep_segments";
    return file->keep_segments > 0 && file->rotate_bytes == 0
               ? "\"keep_segments\" needs \"rotate_bytes\""
               : NULL;
}

static conf_rule *const fixture_file_rules[] = {fixture_file_rule, NULL};

static const struct conf_option fixture_file_options[] = {
    {.key = "path",
     .type = CONF_TEXT,
     .offset = offsetof(struct fixture_file, path),
     .required = true,
     .minimum = 1,
     .help = "Where to write.",
     .example = "/var/lib/pgfan/out.jsonl"},
    {.key = "fsync",
     .type = CONF_CHOICE,
     .offset = offsetof(struct fixture_file, fsync),
     .value_default = "interval",
     .choices = fixture_fsyncs},
    {.key = "rotate_bytes",
     .type = CONF_SIZE,
     .offset = offsetof(struct fixture_file, rotate_bytes)},
    {.key = "keep_segments",
     .type = CONF_INTEGER,
     .offset = offsetof(struct fixture_file, keep_segments)},
};

static const struct conf_table fixture_file_table = {
    .name = "file",
    .help = "JSON lines in a file.",
    .size = sizeof(struct fixture_file),
    .options = fixture_file_options,
    .options_count = CONF_COUNT(fixture_file_options),
    .rules = fixture_file_rules,
};

static void fixture_file_address(const void *options, char *text, size_t text_size)
{
    const struct fixture_file *file = options;
    (void)snprintf(text, text_size, "file:%s",
                   file->path != NULL ? file->path : ""); /* may be cut */
}

static bool fixture_same_slot(const char *name, const void *options, const char *other_name,
                              const void *other_options)
{
    const struct fixture_source *left = options;
    const struct fixture_source *right = other_options;
    const char *slot = left->slot.name != NULL ? left->slot.name : name;
    const char *other_slot = right->slot.name != NULL ? right->slot.name : other_name;
    const char *dsn = secret_reveal(&left->dsn); /* NULL when the conf has none */
    const char *other_dsn = secret_reveal(&right->dsn);
    return strcmp(slot, other_slot) == 0 && dsn != NULL && other_dsn != NULL &&
           strcmp(dsn, other_dsn) == 0;
}

/* Its headers are free. */
static const char *fixture_headers_fault(const void *options)
{
    (void)options; /* it has none */
    return NULL;
}

static const struct conf_plugin fixture_sources[] = {
    {.type = "postgres", .table = &fixture_source_table, .same_slot = fixture_same_slot}};
static const struct conf_plugin fixture_targets[] = {
    {.type = "file", .table = &fixture_file_table, .address = fixture_file_address},
    /* Unlike the real one, it answers, and has headers. */
    {.type = "null", .answers = true, .headers_fault = fixture_headers_fault},
    {.type = "stdout"},
};
static const char *const fixture_formats[] = {"native", "cloudevents", "debezium", "avro", NULL};
static const struct conf_plugins fixture_plugins = {
    .sources = fixture_sources,
    .sources_count = CONF_COUNT(fixture_sources),
    .targets = fixture_targets,
    .targets_count = CONF_COUNT(fixture_targets),
    .formats = fixture_formats,
};

#endif
