/*
 * http_target.h - sends events to an HTTP endpoint, signed as Standard Webhooks, and reads which
 * of them it took.
 *
 * An answering target. A request is a run of events with the same URL; a batch whose events have
 * several goes out run by run, and the first run that fails ends it: what was accepted stays so.
 * docs/target-http.md says what goes over the wire.
 *
 * Threading:  as target.h says. Preparing (signing, compressing) is done by the worker, for the
 *             later runs of a batch by the client's thread (client.h), which posts all answers.
 * Limits:     context.requests_max open requests, 64 KiB of an answer.
 */
#ifndef TARGETS_HTTP_HTTP_TARGET_H
#define TARGETS_HTTP_HTTP_TARGET_H

#include "targets/target.h"

extern const struct target_type http_target_type;

#endif
