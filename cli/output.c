#include "cli/output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "engine/engine.h"

int output_json(json_t *value)
{
    int failed = value == NULL ? -1 : json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    json_decref(value);
    (void)fputc('\n', stdout); /* main() asks ferror() once, at the end */
    return failed == 0 ? EXIT_FINE : EXIT_INTERNAL;
}

bool output_colours(int descriptor)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): pgfan never changes its environment */
    const char *refused = getenv("NO_COLOR");
    return (refused == NULL || refused[0] == '\0') && isatty(descriptor) == 1;
}

size_t output_character(const char *text, bool *ret_printable)
{
    const uint8_t *bytes = (const uint8_t *)text;
    size_t sequence = utf8_sequence(bytes, strnlen(text, 4));
    *ret_printable = sequence > 0 && bytes[0] >= 0x20 && bytes[0] != 0x7f &&
                     !(bytes[0] == 0xc2 && bytes[1] < 0xa0);
    return sequence == 0 ? 1 : sequence;
}

void output_text(FILE *file, const char *text)
{
    while (*text != '\0') {
        bool printable = false;
        size_t size = output_character(text, &printable);
        if (*text == '\n') {
            (void)fputs("\n    ", file);
        } else if (*text == '\t') {
            (void)fputc(' ', file);
        } else {
            (void)fwrite(printable ? text : "?", 1, printable ? size : 1, file);
        }
        text += size;
    }
}
