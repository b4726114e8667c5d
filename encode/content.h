/*
 * content.h - what a change says, as members of a JSON object: the part that pgfan's own envelopes
 * have in common. docs/native-envelope.md describes it.
 *
 *     a row      "key":{...},"before":{...},"after":{...},"unchanged":[...]
 *     truncate   "key":null,"cascade":true,"restart_identity":true
 *     message    "prefix":"...","content":"...","encoding":"base64","transactional":true
 *     gap        "from":"0/1A:0","to":"0/1B:3","count":12
 *
 * Threading:  as the value writer that is used.
 * Errors:     sticky in `out` and in the value writer; content_failed() says what they were.
 */
#ifndef ENCODE_CONTENT_H
#define ENCODE_CONTENT_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/status.h"
#include "encode/value.h"
#include "model/change.h"

/* Forgets the errors of the event before. */
void content_begin(struct value_writer *values);

/* Appends the members, without a comma around them. FAN_POISON: a message that ends too early. */
enum fan_status content_write(struct value_writer *values, const struct change *change,
                              struct bytes *out, struct fan_error *reterr);

/* A logical message taken apart; borrowed from the change. */
struct content_message {
    const char *prefix;
    const uint8_t *bytes;
    size_t size;
    bool transactional;
};

/* False: its bytes end too early. */
bool content_message_read(const struct change *change, struct content_message *ret_message);

/* Whether the event has been written whole. */
static inline bool content_ok(const struct value_writer *values, const struct bytes *out)
{
    return __builtin_expect(!out->failed && !values->refused && !values->scratch_failed, 1);
}

/* Takes back what was written from `start` on, and says why the event was not written. */
enum fan_status content_failed(const struct value_writer *values, const struct change *change,
                               struct bytes *out, size_t start, struct fan_error *reterr);

#endif
