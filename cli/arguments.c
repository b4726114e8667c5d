#include "cli/arguments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/nearest.h"

static const struct command_option option_help = {
    .name = "help", .letter = 'h', .help = "show the help of this command"};

static const struct command_option *find_long(const struct command *command, const char *name,
                                              size_t name_size)
{
    for (size_t i = 0; i < command->options_count; i++) {
        const char *known = command->options[i].name;
        if (strlen(known) == name_size && memcmp(known, name, name_size) == 0) {
            return &command->options[i];
        }
    }
    return name_size == 4 && memcmp(name, "help", 4) == 0 ? &option_help : NULL;
}

static const struct command_option *find_letter(const struct command *command, char letter)
{
    for (size_t i = 0; i < command->options_count; i++) {
        if (command->options[i].letter == letter) {
            return &command->options[i];
        }
    }
    return letter == 'h' ? &option_help : NULL;
}

static enum fan_status fail_unknown(const struct command *command, const char *word,
                                    size_t name_size, struct fan_error *reterr)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "%.*s", (int)name_size, word + 2); /* cut: not near then */
    struct nearest nearest;
    nearest_init(&nearest, name);
    for (size_t i = 0; i < command->options_count; i++) {
        nearest_offer(&nearest, command->options[i].name);
    }
    (void)fan_fail(reterr, FAN_FATAL, "unknown option \"--%.*s\" for \"pgfan %s\"", (int)name_size,
                   word + 2, command->name); /* the status is returned below, with a hint */
    if (nearest.best != NULL) {
        fan_error_annotate(reterr, NULL, "did you mean --%s?", nearest.best);
    }
    return FAN_FATAL;
}

static void keep(struct arguments *arguments, const struct command_option *option,
                 const char *value)
{
    if (option == &option_help) {
        arguments->help = true;
        return;
    }
    arguments->options[arguments->options_count++] =
        (struct argument_value){.option = option, .value = value};
}

/* Where the parser stands: the words, and the next one to look at. */
struct cursor {
    const char *const *words;
    size_t count;
    size_t next;
};

static enum fan_status take_value(struct cursor *cursor, const char *shown,
                                  const struct command_option *option, const char **ret_value,
                                  struct fan_error *reterr)
{
    if (cursor->next >= cursor->count) {
        return fan_fail(reterr, FAN_FATAL, "option \"%s\" needs a value: %s", shown,
                        option->argument);
    }
    *ret_value = cursor->words[cursor->next++];
    return FAN_OK;
}

static enum fan_status parse_long(const struct command *command, const char *word,
                                  struct cursor *cursor, struct arguments *arguments,
                                  struct fan_error *reterr)
{
    const char *equals = strchr(word, '=');
    size_t name_size = equals == NULL ? strlen(word + 2) : (size_t)(equals - word) - 2;
    const struct command_option *option = find_long(command, word + 2, name_size);
    if (option == NULL) {
        return fail_unknown(command, word, name_size, reterr);
    }
    const char *value = NULL;
    if (equals != NULL && option->argument == NULL) {
        return fan_fail(reterr, FAN_FATAL, "option \"--%s\" takes no value", option->name);
    }
    if (equals != NULL) {
        value = equals + 1;
    } else if (option->argument != NULL) {
        enum fan_status status = take_value(cursor, word, option, &value, reterr);
        if (status != FAN_OK) {
            return status;
        }
    }
    keep(arguments, option, value);
    return FAN_OK;
}

static enum fan_status parse_letters(const struct command *command, const char *word,
                                     struct cursor *cursor, struct arguments *arguments,
                                     struct fan_error *reterr)
{
    for (const char *at = word + 1; *at != '\0'; at++) {
        const struct command_option *option = find_letter(command, *at);
        if (option == NULL) {
            return fan_fail(reterr, FAN_FATAL, "unknown option \"-%c\" for \"pgfan %s\"", *at,
                            command->name);
        }
        const char *value = NULL;
        if (option->argument != NULL && at[1] != '\0') {
            keep(arguments, option, at + 1);
            return FAN_OK;
        }
        if (option->argument != NULL) {
            enum fan_status status = take_value(cursor, word, option, &value, reterr);
            if (status != FAN_OK) {
                return status;
            }
        }
        keep(arguments, option, value);
    }
    return FAN_OK;
}

static enum fan_status parse_words(const struct command *command, struct cursor *cursor,
                                   struct arguments *arguments, struct fan_error *reterr)
{
    bool only_positional = false;
    while (cursor->next < cursor->count) {
        const char *word = cursor->words[cursor->next++];
        enum fan_status status = FAN_OK;
        if (only_positional || word[0] != '-' || word[1] == '\0') {
            arguments->positional[arguments->positional_count++] = word;
        } else if (strcmp(word, "--") == 0) {
            only_positional = true;
        } else if (word[1] == '-') {
            status = parse_long(command, word, cursor, arguments, reterr);
        } else {
            status = parse_letters(command, word, cursor, arguments, reterr);
        }
        if (status != FAN_OK) {
            return status;
        }
    }
    return FAN_OK;
}

static enum fan_status check_count(const struct command *command, const struct arguments *arguments,
                                   struct fan_error *reterr)
{
    if (arguments->help) {
        return FAN_OK;
    }
    if (arguments->positional_count > command->arguments_max) {
        return fan_fail(reterr, FAN_FATAL, "unexpected argument \"%s\" for \"pgfan %s\"",
                        arguments->positional[command->arguments_max], command->name);
    }
    if (arguments->positional_count < command->arguments_min) {
        return fan_fail(reterr, FAN_FATAL, "\"pgfan %s\" needs an argument: %s", command->name,
                        command->arguments);
    }
    return FAN_OK;
}

enum fan_status arguments_parse(const struct command *command, size_t words_count,
                                const char *const *words, struct arguments *ret_arguments,
                                struct fan_error *reterr)
{
    size_t letters = 1; /* every letter of a bundle may be an option */
    for (size_t i = 0; i < words_count; i++) {
        letters += strlen(words[i]) + 1;
    }
    struct arguments parsed = {0};
    parsed.options = calloc(letters, sizeof(*parsed.options));
    parsed.positional = calloc(words_count + 1, sizeof(*parsed.positional));
    if (parsed.options == NULL || parsed.positional == NULL) {
        arguments_release(&parsed);
        return fan_fail(reterr, FAN_RETRY, "could not read the command line: out of memory");
    }
    struct cursor cursor = {.words = words, .count = words_count};
    enum fan_status status = parse_words(command, &cursor, &parsed, reterr);
    if (status == FAN_OK) {
        status = check_count(command, &parsed, reterr);
    }
    if (status != FAN_OK) {
        arguments_release(&parsed);
        return status;
    }
    *ret_arguments = parsed;
    return FAN_OK;
}

void arguments_release(struct arguments *arguments)
{
    free(arguments->options);
    free(arguments->positional);
    *arguments = (struct arguments){0};
}

bool arguments_flag(const struct arguments *arguments, const char *name)
{
    for (size_t i = 0; i < arguments->options_count; i++) {
        if (strcmp(arguments->options[i].option->name, name) == 0) {
            return true;
        }
    }
    return false;
}

const char *arguments_value(const struct arguments *arguments, const char *name)
{
    for (size_t i = arguments->options_count; i > 0; i--) {
        if (strcmp(arguments->options[i - 1].option->name, name) == 0) {
            return arguments->options[i - 1].value;
        }
    }
    return NULL;
}

size_t arguments_values(const struct arguments *arguments, const char *name, const char **values,
                        size_t values_max)
{
    size_t found = 0;
    for (size_t i = 0; i < arguments->options_count; i++) {
        if (strcmp(arguments->options[i].option->name, name) == 0) {
            if (found < values_max) {
                values[found] = arguments->options[i].value;
            }
            found++;
        }
    }
    return found;
}
