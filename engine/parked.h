/*
 * parked.h - the keys of one target that have a dead letter: later events of them wait behind it.
 *
 * A key is known by its label (model/batch.h): schema, table and key. An update that changes the key
 * is about two of them. Each has the positions of its letters, oldest first, of which the last one
 * that is delivered or given up lets the key go again; what comes before the first does not wait,
 * when it is delivered once more. A replay asks for the oldest ones, so that it never overtakes.
 *
 * Ownership:  parked_release() frees; accepts a zeroed one.
 * Threading:  the worker that owns the pipeline.
 * Limits:     16 bytes a letter. PARKED_KEYS_MAX keys; beyond it parked_add() answers FAN_FATAL:
 *             the target is at fault then, not the events.
 */
#ifndef ENGINE_PARKED_H
#define ENGINE_PARKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "model/batch.h"

enum { PARKED_KEYS_MAX = 10000 };

struct parked_key;

struct parked {
    struct parked_key **buckets; /* owned */
    size_t keys_count;
};

/* The keys of this label have one more letter, unless they have it already. Events without a key
 * park nothing. FAN_RETRY: memory is out. */
enum fan_status parked_add(struct parked *parked, const uint8_t *label, size_t label_size,
                           struct fan_position position, struct fan_error *reterr) FAN_MUST_CHECK;
/* That letter is gone; one that is not known changes nothing. */
void parked_remove(struct parked *parked, const uint8_t *label, size_t label_size,
                   struct fan_position position);

/* Whether the event of this label at this position has to wait: one of its keys has a letter there
 * or before. */
bool parked_has(const struct parked *parked, const uint8_t *label, size_t label_size,
                struct fan_position position);

/* Whether an older letter of one of its keys than the one at `position` is there, beside those
 * `going`, which go before it; one that is not there any more, and goes again, stands for none. */
bool parked_waits(const struct parked *parked, const uint8_t *label, size_t label_size,
                  struct fan_position position, const struct batch_event *going,
                  size_t going_count);

/* Letters that `those` does not have are gone. */
void parked_keep(struct parked *parked, const struct parked *those);

void parked_release(struct parked *parked);

#endif
