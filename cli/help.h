/*
 * help.h - the help of the program and of its commands, written from the option tables.
 */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include <stdio.h>

#include "cli/command.h"

void help_print_overview(FILE *file);
void help_print_command(FILE *file, const struct command *command);

/* Writes how an option is typed, such as `-c, --conf FILE|DIR`; cut when it does not fit. */
void help_option_text(const struct command_option *option, char *text, size_t text_size);

#endif
