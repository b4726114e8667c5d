/*
 * output.h - how results reach standard output: JSON for programs, texts and colours for people
 * (tables: table.h).
 *
 * Colours are used on a terminal only, and never when NO_COLOR is set to anything.
 *
 * Errors:     main() asks ferror(stdout) once, at the end.
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Prints with two spaces of indentation and a newline; takes the value. Returns an exit status. */
int output_json(json_t *value);

enum output_colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_WARN, COLOUR_BAD, COLOUR_HEAD };

/* Prints a text that others wrote (a server's error, a name): control characters become '?', a
 * newline is kept and the next line indented. */
void output_text(FILE *file, const char *text);

/* The length of the next code point, and whether a terminal may be shown it: control characters
 * (C0, DEL, C1) and bytes outside UTF-8 may not. */
size_t output_character(const char *text, bool *ret_printable);

/* Whether that descriptor is a terminal whose user takes colours. */
bool output_colours(int descriptor);

#endif
