#include "cli/help.h"

#include <string.h>

#include "cli/arguments.h"
#include "cli/failure.h"
#include "engine/engine.h"

enum { HELP_WIDTH = 96, HELP_OPTION_MAX = 64 };

/* Prints words from `column` on, with the lines after the first indented by `indent`. */
static void print_wrapped(FILE *file, const char *text, size_t size, int column, int indent)
{
    const char *end = text + size;
    int at = column;
    while (text < end) {
        size_t word = strcspn(text, " \n");
        word = word > (size_t)(end - text) ? (size_t)(end - text) : word;
        if (at > indent && at + 1 + (int)word > HELP_WIDTH) {
            (void)fprintf(file, "\n%*s", indent, ""); /* main() asks ferror() once, at the end */
            at = indent;
        } else if (at > column || (at > indent && column != indent)) {
            (void)fputc(' ', file);
            at++;
        }
        (void)fwrite(text, 1, word, file);
        at += (int)word;
        text += word;
        text += strspn(text, " \n");
    }
    (void)fputc('\n', file);
}

static void print_paragraphs(FILE *file, const char *text)
{
    while (text != NULL && *text != '\0') {
        const char *end = strstr(text, "\n\n");
        size_t size = end == NULL ? strlen(text) : (size_t)(end - text);
        (void)fputc('\n', file);
        print_wrapped(file, text, size, 0, 0);
        text = end == NULL ? NULL : end + 2;
    }
}

void help_option_text(const struct command_option *option, char *text, size_t text_size)
{
    char letter[8] = "";
    if (option->letter != 0) {
        (void)snprintf(letter, sizeof(letter), "-%c, ", option->letter);
    }
    (void)snprintf(text, text_size, "%s--%s%s%s", letter, option->name,
                   option->argument == NULL ? "" : " ",
                   option->argument == NULL ? "" : option->argument);
}

static void print_pair(FILE *file, const char *left, int left_width, const char *right)
{
    int column = 2 + left_width + 2;
    if ((int)strlen(left) > left_width) {
        (void)fprintf(file, "  %s\n%*s", left, column, "");
    } else {
        (void)fprintf(file, "  %-*s  ", left_width, left);
    }
    print_wrapped(file, right, strlen(right), column, column);
}

static void print_exit_statuses(FILE *file)
{
    (void)fputs("\nExit status:\n", file);
    for (size_t i = 0; exit_meanings[i].meaning != NULL; i++) {
        char number[16];
        (void)snprintf(number, sizeof(number), "%d", exit_meanings[i].status);
        print_pair(file, number, 3, exit_meanings[i].meaning);
    }
}

void help_print_overview(FILE *file)
{
    (void)fputs("pgfan - streams the changes of a PostgreSQL database to many targets\n\n"
                "Usage: pgfan COMMAND [OPTION]... [ARGUMENT]...\n\nCommands:\n",
                file);
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (!commands[i]->hidden) {
            char left[HELP_OPTION_MAX];
            (void)snprintf(left, sizeof(left), "%s%s%s", commands[i]->name,
                           commands[i]->arguments[0] == '\0' ? "" : " ", commands[i]->arguments);
            print_pair(file, left, 20, commands[i]->summary);
        }
    }
    print_exit_statuses(file);
    (void)fputs("\n\"pgfan help COMMAND\" shows the options of a command.\n", file);
}

void help_print_command(FILE *file, const struct command *command)
{
    (void)fprintf(file, "pgfan %s - %s\n\nUsage: pgfan %s [OPTION]...%s%s\n", command->name,
                  command->summary, command->name, command->arguments[0] == '\0' ? "" : " ",
                  command->arguments);
    print_paragraphs(file, command->help);
    (void)fputs("\nOptions:\n", file);
    for (size_t i = 0; i < command->options_count; i++) {
        char left[HELP_OPTION_MAX];
        help_option_text(&command->options[i], left, sizeof(left));
        print_pair(file, left, 24, command->options[i].help);
    }
    print_pair(file, "-h, --help", 24, "show this help");
    print_exit_statuses(file);
}

static int run_help(const struct command *self, const struct arguments *arguments)
{
    (void)self; /* the overview is about all of them */
    if (arguments->positional_count == 0) {
        help_print_overview(stdout);
        return EXIT_FINE;
    }
    size_t used = 0;
    const struct command *command =
        command_find(arguments->positional, arguments->positional_count, &used);
    if (command != NULL && used == arguments->positional_count) {
        help_print_command(stdout, command);
        return EXIT_FINE;
    }
    struct fan_error error = {0};
    command_unknown(arguments->positional, arguments->positional_count, " help", &error);
    return failure_usage(&error, NULL);
}

const struct command command_help = {
    .name = "help",
    .summary = "show the commands, or the options of one",
    .arguments = "[COMMAND]",
    .help = "Without an argument it lists the commands and the exit statuses.",
    .arguments_max = 2,
    .run = run_help,
};
