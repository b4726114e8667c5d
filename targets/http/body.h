/*
 * body.h - the bytes of a request, read straight from a batch.
 *
 * A JSON array differs from the bytes that the batch holds only in its first byte and in what
 * stands between events, so it is made while it is read and nowhere kept. A compressed body is
 * kept, because its size has to be known before it is sent.
 *
 * Ownership:  borrows the batch; body_release() frees what was compressed, accepts a zeroed one.
 * Threading:  one thread at a time.
 * Errors:     body_compress() fails when memory is out.
 */
#ifndef TARGETS_HTTP_BODY_H
#define TARGETS_HTTP_BODY_H

#include <stdbool.h>

#include "base/bytes.h"
#include "model/batch.h"

enum body_form {
    BODY_ARRAY, /* a JSON array of the events */
    BODY_LINES, /* each event with a newline behind it */
    BODY_EVENT, /* one event as it is */
};

struct body {
    enum body_form form;
    const struct batch *batch;
    size_t format;
    size_t first; /* the events [first, end) */
    size_t end;
    size_t size; /* in all, before compression */

    size_t position; /* of the next byte read */

    bool compressed;
    struct bytes packed;
};

/* Starts over with other events. What was allocated stays for the next time. */
void body_open(struct body *body, enum body_form form, const struct batch *batch, size_t format,
               size_t first, size_t end);
/* Ends the use of the batch, and frees what was allocated if it is large. */
void body_close(struct body *body);
void body_release(struct body *body);

/* Replaces the bytes by their gzip form (RFC 1952). */
bool body_compress(struct body *body) FAN_MUST_CHECK;

/* The number of bytes that body_read() gives in all. */
size_t body_wire_size(const struct body *body);

/* Copies the next bytes, at most `size`; returns how many, 0 at the end. */
size_t body_read(struct body *body, uint8_t *out, size_t size);
void body_rewind(struct body *body);

#endif
