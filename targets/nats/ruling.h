/*
 * ruling.h - what NATS says, as what the target has to do.
 *
 * The only place that knows the library's statuses and the error codes of JetStream.
 *
 * Threading:  stateless.
 */
#ifndef TARGETS_NATS_RULING_H
#define TARGETS_NATS_RULING_H

#include <nats/nats.h>
#include <stddef.h>

#include "base/redactor.h"
#include "base/status.h"

/* The acknowledgement of one event: FAN_OK, also for a duplicate; FAN_RETRY, FAN_POISON or
 * FAN_FATAL with the server's words. */
enum fan_status nats_rule_ack(const char *data, size_t size, const char *shown,
                              const struct redactor *redactor, struct fan_error *reterr);

/* No stream listens. `subject`: as it stands in the conf. */
enum fan_status nats_rule_nobody(const char *subject, const char *shown, struct fan_error *reterr);

/* Connecting failed with `status`; `words`: the library's, or NULL. */
enum fan_status nats_rule_connect(natsStatus status, const char *words, const char *shown,
                                  const struct redactor *redactor, struct fan_error *reterr);

/* A connection was lost, or a call failed on it. */
enum fan_status nats_rule_lost(natsStatus status, const char *words, const char *shown,
                               const struct redactor *redactor, struct fan_error *reterr);

#endif
