/*
 * answer.h - what a handler answers: a status and a body, built whole before it is sent.
 *
 * Ownership:  answer_release() frees the body; accepts a zeroed answer. The functions that fill an
 *             answer take the JSON value or the bytes given, and free what was there before.
 * Errors:     when memory is out the answer becomes a constant 503; a handler need not check.
 */
#ifndef API_ANSWER_H
#define API_ANSWER_H

#include <jansson.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/status.h"

struct answer {
    unsigned status; /* of HTTP */
    const char *content_type;
    const char *allow;       /* methods, of a 405; NULL otherwise */
    const char *retry_after; /* seconds; NULL otherwise */
    void *body;              /* owned, of malloc; NULL: `constant` is the body */
    char *constant;          /* static memory; never written to */
    size_t body_size;
};

void answer_release(struct answer *answer);

void answer_json(struct answer *answer, unsigned status, json_t *value);
void answer_bytes(struct answer *answer, unsigned status, const char *content_type,
                  struct bytes *bytes);

/* {"code","message","hint"}; the hint is left out when empty. */
void answer_error(struct answer *answer, unsigned status, const struct fan_error *error);

/* The same from texts; `code` and `hint` may be NULL. */
void answer_refusal(struct answer *answer, unsigned status, const char *code, const char *hint,
                    const char *format, ...) FAN_PRINTF(5, 6);

#endif
