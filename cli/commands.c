#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "conf/nearest.h"

const struct command *const commands[] = {
    &command_run,
    &command_check,
    &command_config,
    &command_tables,
    &command_status,
    &command_pause,
    &command_resume,
    &command_stop,
    &command_start,
    &command_restart,
    &command_log_level,
    &command_dlq_list,
    &command_dlq_show,
    &command_dlq_count,
    &command_dlq_replay,
    &command_dlq_purge,
    &command_dlq_export,
    &command_slot_list,
    &command_slot_drop,
    &command_version,
    &command_help,
    &command_internal_reference,
    NULL,
};

enum { TYPED_MAX = 64 };

/* How many words of `words` spell `name` from its start to its end; 0 when they do not. */
static size_t words_of_name(const char *name, const char *const *words, size_t words_count)
{
    size_t used = 0;
    while (used < words_count) {
        size_t size = strlen(words[used]);
        if (size == 0 || strncmp(name, words[used], size) != 0) {
            return 0;
        }
        used++;
        if (name[size] == '\0') {
            return used;
        }
        if (name[size] != ' ') {
            return 0;
        }
        name += size + 1;
    }
    return 0;
}

const struct command *command_find(const char *const *words, size_t words_count,
                                   size_t *ret_words_used)
{
    const struct command *found = NULL;
    size_t most = 0;
    for (size_t i = 0; commands[i] != NULL; i++) {
        size_t used = words_of_name(commands[i]->name, words, words_count);
        if (used > most) {
            found = commands[i];
            most = used;
        }
    }
    *ret_words_used = most;
    return found;
}

void command_unknown(const char *const *words, size_t words_count, const char *how,
                     struct fan_error *ret_error)
{
    char group[FAN_ERROR_HINT_MAX] = "";
    size_t used = 0;
    size_t size = strlen(words[0]);
    for (size_t i = 0; size > 0 && commands[i] != NULL && used < sizeof(group); i++) {
        if (strncmp(commands[i]->name, words[0], size) == 0 && commands[i]->name[size] == ' ') {
            used += (size_t)snprintf(group + used, sizeof(group) - used, "%spgfan%s %s",
                                     used == 0 ? "" : ", ", how, commands[i]->name);
        }
    }
    if (used > 0) {
        (void)fan_fail(ret_error, FAN_FATAL, "\"pgfan %s\" is more than one command", words[0]);
        fan_error_annotate(ret_error, NULL, "say which: %s", group);
        return;
    }
    bool option = words[0][0] == '-';
    (void)fan_fail(ret_error, FAN_FATAL, "unknown %s \"%s\"", option ? "option" : "command",
                   words[0]);
    const char *nearest = command_nearest(words, words_count);
    if (nearest != NULL) {
        fan_error_annotate(ret_error, NULL, "did you mean pgfan%s %s?", how, nearest);
    }
}

const char *command_nearest(const char *const *words, size_t words_count)
{
    char typed[TYPED_MAX] = "";
    size_t size = 0;
    /* Two words at the most: no name has more, and options or names follow them. */
    for (size_t i = 0; i < words_count && i < 2 && words[i][0] != '-'; i++) {
        size_t more = strlen(words[i]);
        if (size + more + 2 > sizeof(typed)) {
            break;
        }
        if (size > 0) {
            typed[size++] = ' ';
        }
        memcpy(typed + size, words[i], more);
        size += more;
    }
    for (size_t i = 0; size > 0 && commands[i] != NULL; i++) {
        if (strncmp(commands[i]->name, typed, size) == 0 && commands[i]->name[size] == ' ') {
            return commands[i]->name; /* "slot" alone */
        }
    }
    struct nearest whole;
    struct nearest first;
    char first_word[TYPED_MAX];
    memcpy(first_word, typed, sizeof(typed));
    first_word[strcspn(first_word, " ")] = '\0';
    nearest_init(&whole, typed);
    nearest_init(&first, first_word);
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (!commands[i]->hidden) {
            nearest_offer(&whole, commands[i]->name);
            nearest_offer(&first, commands[i]->name);
        }
    }
    return whole.best != NULL ? whole.best : first.best;
}
