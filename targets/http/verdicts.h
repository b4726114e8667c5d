/*
 * verdicts.h - reads which events of a request a receiver did not take.
 *
 *     {"failed":[{"id":"…","retry":true|false,"error":"…"}]}
 *
 * `retry` may be left out and is true then; `error` may be left out. Other members are ignored. A
 * body that is no such object says nothing, unless it could be the beginning of one or holds a
 * "failed" that cannot be read: then nothing is known about any event.
 *
 * Threading:  stateless.
 */
#ifndef TARGETS_HTTP_VERDICTS_H
#define TARGETS_HTTP_VERDICTS_H

#include "base/redactor.h"
#include "encode/encoder.h"
#include "model/batch.h"
#include "targets/target.h"

/* The events of a request. */
struct verdict_scope {
    const struct encode_context *encode;
    const struct batch *batch;
    size_t first;
    size_t end;
    const struct redactor *redactor;
};

/* FAN_OK: `ret_failed` (malloc(3), NULL when there are none) holds one verdict an event that was
 * not taken, in the order of the batch. FAN_RETRY: the body cannot be understood, or memory is out. */
enum fan_status verdicts_read(const struct verdict_scope *scope, const uint8_t *body, size_t size,
                              struct verdict **ret_failed, size_t *ret_count,
                              struct fan_error *reterr) FAN_MUST_CHECK;

#endif
