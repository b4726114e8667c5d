#include "sources/postgres/options.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { SLOT_NAME_BYTES_MAX = 63, SLOT_MODE_STATEFUL = 0, SLOT_MODE_EPHEMERAL };

static const struct conf_choice slot_modes[] = {
    {"stateful", SLOT_MODE_STATEFUL}, {"ephemeral", SLOT_MODE_EPHEMERAL}, {NULL, 0}};

static const struct conf_option slot_options[] = {
    {.key = "name",
     .type = CONF_TEXT,
     .offset = offsetof(struct postgres_slot_options, name),
     .minimum = 1,
     .maximum = SLOT_NAME_BYTES_MAX,
     .help = "Name of the replication slot: lower-case letters, digits and underscores. Default: "
             "pgfan_ and the source's name.",
     .example = "pgfan_shop"},
    {.key = "create",
     .type = CONF_BOOL,
     .offset = offsetof(struct postgres_slot_options, create),
     .value_default = "true",
     .help = "Create the slot when it does not exist and this data directory has never used it."},
    {.key = "mode",
     .type = CONF_CHOICE,
     .offset = offsetof(struct postgres_slot_options, mode),
     .value_default = "stateful",
     .choices = slot_modes,
     .help = "A stateful slot stays on the server between runs and holds what was not confirmed. "
             "Ephemeral slots are not available in this version."},
    {.key = "failover",
     .type = CONF_BOOL,
     .offset = offsetof(struct postgres_slot_options, failover),
     .value_default = "false",
     .help = "Create the slot with the failover option, so that standbys synchronize it "
             "(PostgreSQL 17 and later)."},
};

static const char *slot_mode_rule(const void *section, const char **ret_key)
{
    const struct postgres_slot_options *options = section;
    *ret_key = "mode";
    return options->mode != SLOT_MODE_STATEFUL ? "ephemeral slots are not available in this version"
                                               : NULL;
}

static const char *slot_name_rule(const void *section, const char **ret_key)
{
    const struct postgres_slot_options *options = section;
    *ret_key = "name";
    for (const char *at = options->name; at != NULL && *at != '\0'; at++) {
        if ((*at < 'a' || *at > 'z') && (*at < '0' || *at > '9') && *at != '_') {
            return "a slot name has only lower-case letters, digits and underscores";
        }
    }
    return NULL;
}

static conf_rule *const slot_rules[] = {slot_name_rule, slot_mode_rule, NULL};

static const struct conf_table slot_table = {.name = "slot",
                                             .help = "The replication slot.",
                                             .size = sizeof(struct postgres_slot_options),
                                             .options = slot_options,
                                             .options_count = CONF_COUNT(slot_options),
                                             .rules = slot_rules};

static const struct conf_option publication_options[] = {
    {.key = "name",
     .type = CONF_TEXT,
     .offset = offsetof(struct postgres_publication_options, name),
     .minimum = 1,
     .maximum = SLOT_NAME_BYTES_MAX,
     .help = "Name of the publication. Default: as the slot.",
     .example = "pgfan_shop"},
    {.key = "create",
     .type = CONF_BOOL,
     .offset = offsetof(struct postgres_publication_options, create),
     .value_default = "true",
     .help = "Create the publication when it is missing, and add tables that the pipelines ask "
             "for. Tables are never removed from it."},
    {.key = "admin_dsn",
     .type = CONF_SECRET,
     .offset = offsetof(struct postgres_publication_options, admin_dsn),
     .help = "Connection string of a role that owns the tables; used only to create or alter the "
             "publication.",
     .example = "${env:SHOP_ADMIN_DSN}"},
};

static const struct conf_table publication_table = {
    .name = "publication",
    .help = "The publication that names the tables to stream.",
    .size = sizeof(struct postgres_publication_options),
    .options = publication_options,
    .options_count = CONF_COUNT(publication_options)};

static const struct conf_option options[] = {
    {.key = "dsn",
     .type = CONF_SECRET,
     .offset = offsetof(struct postgres_options, dsn),
     .required = true,
     .help = "libpq connection string (keywords or URI); service files and .pgpass work too. Away "
             "from this machine sslmode defaults to verify-full.",
     .example = "${env:SHOP_DSN}"},
    {.key = "slot",
     .type = CONF_SECTION,
     .offset = offsetof(struct postgres_options, slot),
     .table = &slot_table,
     .help = "The replication slot."},
    {.key = "publication",
     .type = CONF_SECTION,
     .offset = offsetof(struct postgres_options, publication),
     .table = &publication_table,
     .help = "The publication."},
    {.key = "wal_sender_timeout",
     .type = CONF_DURATION,
     .offset = offsetof(struct postgres_options, wal_sender_timeout_us),
     .value_default = "60s",
     .minimum = 1000000,
     .maximum = 3600000000,
     .help = "Set for our own connection: how long the server waits for a sign of life. A status "
             "goes out at least every third of it."},
    {.key = "connect_timeout",
     .type = CONF_DURATION,
     .offset = offsetof(struct postgres_options, connect_timeout_us),
     .value_default = "10s",
     .minimum = 1000000,
     .maximum = 600000000,
     .help = "How long an attempt to connect may take."},
    {.key = "slot_create_timeout",
     .type = CONF_DURATION,
     .offset = offsetof(struct postgres_options, slot_create_timeout_us),
     .value_default = "60s",
     .minimum = 1000000,
     .maximum = 86400000000,
     .help = "How long creating the slot may wait for transactions that run on the server; the "
             "error then names the oldest one."},
    {.key = "allow_superuser",
     .type = CONF_BOOL,
     .offset = offsetof(struct postgres_options, allow_superuser),
     .value_default = "false",
     .help = "Accept a role that is superuser. For demonstrations and tests."},
    {.key = "insecure_tls",
     .type = CONF_BOOL,
     .offset = offsetof(struct postgres_options, insecure_tls),
     .value_default = "false",
     .help = "Accept an sslmode weaker than verify-full for a server on another machine."},
};

const struct conf_table postgres_table = {
    .name = "postgres",
    .help = "A PostgreSQL database (14 to 18), read through one logical replication slot.",
    .size = sizeof(struct postgres_options),
    .options = options,
    .options_count = CONF_COUNT(options)};

const char *postgres_slot_name(const struct postgres_options *from, const char *source_name,
                               char *text, size_t text_size)
{
    if (from->slot.name != NULL) {
        (void)snprintf(text, text_size, "%s", from->slot.name); /* the conf bounds it */
        return text;
    }
    (void)snprintf(text, text_size, "pgfan_%.57s",
                   source_name); /* 63 bytes are the server's limit */
    for (char *at = text; *at != '\0'; at++) {
        char lower = (char)tolower((unsigned char)*at);
        bool allowed = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9');
        *at = (char)(allowed ? lower : '_');
    }
    return text;
}

const char *postgres_publication_name(const struct postgres_options *from, const char *source_name,
                                      char *text, size_t text_size)
{
    if (from->publication.name != NULL) {
        (void)snprintf(text, text_size, "%s", from->publication.name); /* the conf bounds it */
        return text;
    }
    return postgres_slot_name(from, source_name, text, text_size);
}
