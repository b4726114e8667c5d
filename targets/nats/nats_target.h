/*
 * nats_target.h - publishes events to NATS JetStream, one message an event, with the event's id for
 * the stream to know it by.
 *
 * An answering target with a thread and a connection of its own: requests wait for each other.
 * docs/target-nats.md says what is published, and when an event may be there twice.
 *
 * Threading:  as target.h says. The thread runs from start() to stop(), and posts all answers; the
 *             library has a few of its own for each connection.
 * Limits:     context.requests_max open requests.
 */
#ifndef TARGETS_NATS_NATS_TARGET_H
#define TARGETS_NATS_NATS_TARGET_H

#include "targets/target.h"

extern const struct target_type nats_target_type;

#endif
