/* slot.c - `pgfan slot list` and `pgfan slot drop`: what pgfan made on the primary. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/conf_arguments.h"
#include "cli/failure.h"
#include "cli/output.h"
#include "cli/primary.h"
#include "cli/table.h"
#include "conf/nearest.h"
#include "engine/engine.h"

static const struct table_column slot_columns[] = {
    {.heading = "SOURCE"},
    {.heading = "DATABASE"},
    {.heading = "SLOT"},
    {.heading = "STATE"},
    {.heading = "RETAINED", .kind = TABLE_SIZE},
    {.heading = "WAL STATUS"},
    {.heading = "CONFIRMED"},
    {.heading = "PUBLICATION"},
};

static const char *state_of(const struct source_slot *slot)
{
    if (!slot->exists) {
        return "missing";
    }
    return slot->active ? "active" : "inactive";
}

static const char *lsn_or_null(struct fan_lsn lsn, char text[LSN_TEXT_SIZE])
{
    if (lsn.value == 0) {
        return NULL;
    }
    (void)lsn_format(lsn, text); /* the length is not needed */
    return text;
}

static void add_row(struct table *table, const char *source, const struct source_slot *slot)
{
    char lsn[LSN_TEXT_SIZE];
    char publication[SOURCE_NAME_MAX + 16];
    (void)snprintf(publication, sizeof(publication), "%s%s", slot->publication,
                   slot->publication_exists ? "" : " (missing)");
    table_add(table, source);
    table_add(table, slot->database);
    table_add(table, slot->slot);
    table_add_coloured(table, state_of(slot), slot->exists ? COLOUR_GOOD : COLOUR_WARN);
    table_add_size(table, slot->exists ? slot->retained_bytes : -1);
    table_add(table, slot->wal_status);
    table_add(table, lsn_or_null(slot->confirmed, lsn));
    table_add(table, publication);
}

static json_t *slot_json(const char *source, const struct source_slot *slot)
{
    char confirmed[LSN_TEXT_SIZE];
    char restart[LSN_TEXT_SIZE];
    bool known = slot->exists && slot->retained_bytes >= 0;
    return json_pack(
        "{s:s, s:s, s:s, s:b, s:b, s:o, s:o, s:s, s:s?, s:s?, s:s, s:b}", "source", source,
        "database", slot->database, "slot", slot->slot, "exists", slot->exists, "active",
        slot->active, "active_pid", slot->active ? json_integer(slot->active_pid) : json_null(),
        "retained_wal_bytes", known ? json_integer(slot->retained_bytes) : json_null(),
        "wal_status", slot->wal_status, "confirmed_lsn", lsn_or_null(slot->confirmed, confirmed),
        "restart_lsn", lsn_or_null(slot->restart, restart), "publication", slot->publication,
        "publication_exists", slot->publication_exists);
}

static int list_source(const struct settings *settings, size_t index, struct table *table,
                       json_t *list)
{
    struct primary primary = {0};
    struct source_slot slot = {.retained_bytes = -1};
    struct fan_error error = {0};
    enum fan_status status = primary_init(settings, index, &primary, &error);
    if (status == FAN_OK) {
        status = primary.type->slot(&primary.setup, &slot, &error);
    }
    const char *name = settings_source_at(settings, index)->name;
    if (status == FAN_OK) {
        add_row(table, name, &slot);
        (void)json_array_append_new(list, slot_json(name, &slot)); /* missing without memory */
    }
    primary_release(&primary);
    return status == FAN_OK ? EXIT_FINE : failure_print_source(name, &error, EXIT_SOURCE);
}

static int run_list(const struct command *command, const struct arguments *arguments)
{
    (void)command; /* the line holds nothing that depends on it */
    struct settings settings = {0};
    if (!conf_arguments_load(arguments, &settings)) {
        return EXIT_CONF;
    }
    struct table table;
    table_init(&table, slot_columns, CONF_COUNT(slot_columns));
    json_t *list = json_array();
    int status = EXIT_FINE;
    for (size_t i = 0; i < settings.sources.count; i++) {
        int one = list_source(&settings, i, &table, list);
        status = one == EXIT_FINE ? status : one;
    }
    if (arguments_flag(arguments, "json")) {
        int printed = output_json(json_pack("{s:o}", "slots", list));
        status = status == EXIT_FINE ? printed : status;
    } else {
        if (status == EXIT_FINE || table.cells_count > 0) {
            table_print(&table);
        }
        json_decref(list);
    }
    table_release(&table);
    settings_release(&settings);
    return status;
}

/* The source whose slot has that name. Without one the failure is printed, and `ret_status` set. */
static bool find_slot(const struct settings *settings, const char *name,
                      struct primary *ret_primary, int *ret_status)
{
    struct nearest nearest;
    struct fan_error error = {0};
    static char best[PRIMARY_SLOT_NAME_MAX];
    nearest_init(&nearest, name);
    for (size_t i = 0; i < settings->sources.count; i++) {
        struct primary primary = {0};
        if (primary_init(settings, i, &primary, &error) != FAN_OK) {
            *ret_status = failure_print(&error, EXIT_INTERNAL);
            return false;
        }
        if (strcmp(primary.slot, name) == 0) {
            *ret_primary = primary;
            return true;
        }
        nearest_offer(&nearest, primary.slot);
        if (nearest.best == primary.slot) {
            memcpy(best, primary.slot, sizeof(best)); /* the primary goes with this round */
            nearest.best = best;
        }
        primary_release(&primary);
    }
    (void)fan_fail(&error, FAN_FATAL, "no source of the conf uses the slot \"%s\"", name);
    if (nearest.best != NULL) {
        fan_error_annotate(&error, NULL, "did you mean %s?", nearest.best);
    }
    *ret_status = failure_print(&error, EXIT_USAGE);
    return false;
}

static int drop(const struct settings *settings, const char *name)
{
    struct primary primary = {0};
    struct fan_error error = {0};
    int status = EXIT_FINE;
    if (!find_slot(settings, name, &primary, &status)) {
        return status;
    }
    if (primary.type->drop_slot(&primary.setup, &error) != FAN_OK) {
        status = failure_print(&error, EXIT_SOURCE);
    } else {
        (void)printf("slot %s of source %s is dropped, with the publication that pgfan made\n",
                     name, primary.setup.name); /* main() asks ferror() */
    }
    primary_release(&primary);
    return status;
}

static int run_drop(const struct command *command, const struct arguments *arguments)
{
    const char *name = arguments->positional[0];
    const char *confirmed = arguments_value(arguments, "confirm");
    if (confirmed == NULL || strcmp(confirmed, name) != 0) {
        struct fan_error error = {0};
        (void)fan_fail(&error, FAN_FATAL,
                       "a dropped slot cannot be brought back: what was not delivered is lost");
        fan_error_annotate(&error, NULL, "repeat its name to confirm: --confirm %s", name);
        return failure_usage(&error, command->name);
    }
    struct settings settings = {0};
    if (!conf_arguments_load(arguments, &settings)) {
        return EXIT_CONF;
    }
    int status = drop(&settings, name);
    settings_release(&settings);
    return status;
}

static const struct command_option list_options[] = {OPTION_CONF, OPTION_SET, OPTION_JSON};

const struct command command_slot_list = {
    .name = "slot list",
    .summary = "show the slots and publications of the conf, and the WAL they hold",
    .arguments = "",
    .help = "Asks every source's server and changes nothing there. A slot that no engine reads "
            "holds back the server's WAL until it is dropped.",
    .options = list_options,
    .options_count = CONF_COUNT(list_options),
    .run = run_list,
};

static const struct command_option drop_options[] = {
    OPTION_CONF,
    OPTION_SET,
    {.name = "confirm", .argument = "NAME", .help = "the slot's name once more"},
};

const struct command command_slot_drop = {
    .name = "slot drop",
    .summary = "drop a replication slot and its publication",
    .arguments = "NAME",
    .help = "The way to uninstall. NAME is the slot's name, as \"pgfan slot list\" shows it; only "
            "slots of the conf can be dropped, and only while no engine reads them. Changes that "
            "were not delivered are lost.",
    .options = drop_options,
    .options_count = CONF_COUNT(drop_options),
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run_drop,
};
