/*
 * reply.h - what a receiver answered to one HTTP request, while it comes in and afterwards.
 *
 * Ownership:  reply_release() frees; accepts a zeroed one.
 * Threading:  one thread at a time.
 * Limits:     REPLY_SIZE_MAX bytes of the body, REPLY_HEADERS_MAX of the headers. Beyond either
 *             `too_long` is set, and nothing more is wanted.
 */
#ifndef TARGETS_HTTP_REPLY_H
#define TARGETS_HTTP_REPLY_H

#include <stdbool.h>

#include "base/bytes.h"

enum { REPLY_SIZE_MAX = 65536, REPLY_HEADERS_MAX = 65536 };

struct reply {
    long status; /* 0: none came */
    struct bytes content;
    size_t headers_size;
    bool headers_ended; /* by their empty line; libcurl takes an end of the stream for it, too */
    bool too_long;
    char retry_after[64]; /* as received; "" */
};

/* Ready for the next request; keeps what was allocated. */
void reply_reset(struct reply *reply);
void reply_release(struct reply *reply);

/* One line of the headers, a status line included. False: stop reading. */
bool reply_take_header(struct reply *reply, const char *line, size_t size);
/* A piece of the body. False: stop reading. */
bool reply_take_content(struct reply *reply, const char *data, size_t size);

/* Microseconds that a Retry-After asks for: seconds or a date of HTTP (RFC 9110, 10.2.3); 0 for
 * anything else, at most an hour. */
int64_t reply_retry_after_us(const char *text, int64_t wall_us);

#endif
