/*
 * id.h - the idempotency key of an event, as every envelope and header shows it.
 *
 * <sysid>-<slot>-<commit_lsn, 16 hex>-<seq, 8 hex, or 16 beyond 32 bits>, with `m` in the place of
 * seq for a non-transactional message (design section 4). The same change has the same id for ever.
 */
#ifndef ENCODE_ID_H
#define ENCODE_ID_H

#include <stddef.h>

#include "encode/encoder.h"
#include "model/position.h"

enum { EVENT_ID_MAX = 160 };

/* Writes the id with a NUL behind it. Returns its length. `gap` marks the marker of a gap. */
size_t event_id_write(const struct encode_context *context, struct fan_position position, bool gap,
                      char text[EVENT_ID_MAX]);

#endif
