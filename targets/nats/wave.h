/*
 * wave.h - how many events may be on their way to a stream at a time.
 *
 * Events are published without waiting for each other, and each may be refused while the next is
 * taken: a stream whose leader changes, a limit. So that no event overtakes a refused one of its
 * key, a wave holds at most one event of each key, and the next wave waits until all of it is
 * acknowledged. A truncate, a message, a gap and a change of the key are waves of their own; of a
 * table without a key, each event.
 *
 * Threading:  stateless.
 * Limits:     WAVE_EVENTS_MAX events.
 */
#ifndef TARGETS_NATS_WAVE_H
#define TARGETS_NATS_WAVE_H

#include <stddef.h>

#include "model/batch.h"

enum { WAVE_EVENTS_MAX = 1024 };

/* Where the wave that begins at `first` ends. */
size_t wave_end(const struct batch *batch, size_t first);

#endif
