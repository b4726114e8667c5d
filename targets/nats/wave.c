#include "targets/nats/wave.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "model/change.h"

enum { SLOTS = 4 * WAVE_EVENTS_MAX }; /* a power of two */

static bool is_alone(const struct batch *batch, size_t event)
{
    const struct batch_label label = batch_label(batch, event);
    return label.table_size == 0 || label.old_key_size > 0 ||
           batch->events[event].op == CHANGE_TRUNCATE;
}

/* Whether a key that may be the event's is in the set, where it is put otherwise. Keys that look
 * alike only end a wave early. */
static bool is_met(uint64_t slots[SLOTS], const struct batch *batch, size_t event)
{
    size_t size;
    const uint8_t *label = batch_label_bytes(batch, event, &size);
    const uint64_t mark = (UINT64_C(1) << 32) | crc32c(0, label, size);
    size_t at = (size_t)mark & (SLOTS - 1);
    while (slots[at] != 0) {
        if (slots[at] == mark) {
            return true;
        }
        at = (at + 1) & (SLOTS - 1);
    }
    slots[at] = mark;
    return false;
}

size_t wave_end(const struct batch *batch, size_t first)
{
    size_t end = first + 1;
    uint64_t slots[SLOTS] = {0};
    if (is_alone(batch, first)) {
        return end;
    }
    (void)is_met(slots, batch, first); /* the set is empty */
    while (end < batch->events_count && end - first < WAVE_EVENTS_MAX && !is_alone(batch, end) &&
           !is_met(slots, batch, end)) {
        end++;
    }
    return end;
}
