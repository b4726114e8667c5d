/*
 * capture.h - what is printed between capture_begin() and capture_end(), as a text.
 *
 * Captures of several streams end in the opposite order.
 */
#ifndef TESTS_UNIT_CAPTURE_H
#define TESTS_UNIT_CAPTURE_H

#include <check.h>
#include <stdio.h>
#include <unistd.h>

/* Sends what is written to a stream to a temporary file, until it is taken back. */
struct capture {
    FILE *stream;
    FILE *file;
    int kept;
};

static inline struct capture capture_begin(FILE *stream)
{
    struct capture capture = {.stream = stream, .file = tmpfile()};
    ck_assert_ptr_nonnull(capture.file);
    (void)fflush(stream);
    capture.kept = dup(fileno(stream));
    ck_assert_int_ge(dup2(fileno(capture.file), fileno(stream)), 0);
    return capture;
}

/* What does not fit into `size` bytes with a NUL is left out. */
static inline void capture_end(const struct capture *capture, char *text, size_t size)
{
    (void)fflush(capture->stream);
    ck_assert_int_ge(dup2(capture->kept, fileno(capture->stream)), 0);
    (void)close(capture->kept);
    rewind(capture->file);
    text[fread(text, 1, size - 1, capture->file)] = '\0';
    (void)fclose(capture->file);
}

#endif
