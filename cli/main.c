/* main.c - finds the command, takes its line apart and runs it. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/failure.h"
#include "cli/help.h"
#include "engine/engine.h"

/* A descriptor 0, 1 or 2 that the parent closed would be taken by the next file or socket, and a
 * message for people would end up in it. */
static bool open_standard_descriptors(void)
{
    int descriptor = open("/dev/null", O_RDWR);
    while (descriptor >= 0 && descriptor <= STDERR_FILENO) {
        descriptor = open("/dev/null", O_RDWR);
    }
    return descriptor >= 0 && close(descriptor) == 0;
}

static int run_command(const struct command *command, size_t words_count, const char *const *words)
{
    struct arguments arguments = {0};
    struct fan_error error = {0};
    if (arguments_parse(command, words_count, words, &arguments, &error) != FAN_OK) {
        return failure_usage(&error, command->name);
    }
    int status = EXIT_FINE;
    if (arguments.help) {
        help_print_command(stdout, command);
    } else {
        status = command->run(command, &arguments);
    }
    arguments_release(&arguments);
    return status;
}

static int fail_unknown_command(size_t words_count, const char *const *words)
{
    struct fan_error error = {0};
    command_unknown(words, words_count, "", &error);
    return failure_usage(&error, NULL);
}

static int dispatch(size_t words_count, const char *const *words)
{
    static const char *const version_words[] = {"version"};
    static const char *const help_words[] = {"help"};
    if (words_count == 0) {
        help_print_overview(stderr);
        return EXIT_USAGE;
    }
    size_t used = 0;
    if (strcmp(words[0], "--version") == 0 || strcmp(words[0], "-V") == 0) {
        return dispatch(1, version_words);
    }
    if (strcmp(words[0], "--help") == 0 || strcmp(words[0], "-h") == 0) {
        return dispatch(1, help_words);
    }
    const struct command *command = command_find(words, words_count, &used);
    if (command == NULL) {
        return fail_unknown_command(words_count, words);
    }
    return run_command(command, words_count - used, words + used);
}

int main(int argc, char **argv)
{
    if (!open_standard_descriptors()) {
        return EXIT_INTERNAL;
    }
    (void)umask(077); /* returns the old mask only */
    int status = dispatch(argc > 0 ? (size_t)argc - 1 : 0, (const char *const *)argv + 1);
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        (void)fprintf(stderr, "pgfan: could not write to standard output\n");
        return status == EXIT_FINE ? EXIT_INTERNAL : status;
    }
    return status;
}
