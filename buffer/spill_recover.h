/*
 * spill_recover.h - what a spill's directory holds: which segments count, and where the last ends.
 *
 * spill_recover_look() reads everything and changes nothing; spill_recover_mend() then removes
 * what does not count, and makes the rest durable.
 *
 * The whole records from the start on count. Where they end before the last file does, the rest is
 * either a tail that was written and never synced, and is cut off, or damage, and is refused. It is
 * damage when a mark says that a sync covered what is missing: the mark of that segment, or that of
 * any later one, since segments are synced in order. A file that was written later may have come to
 * the disk earlier, so that without such a mark several segments can be part of the tail.
 *
 * Threading:  one thread; nobody else has the spill open.
 */
#ifndef BUFFER_SPILL_RECOVER_H
#define BUFFER_SPILL_RECOVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "buffer/spill_segment.h"

struct spill_found {
    uint64_t number;
    struct spill_scan scan;
};

struct spill_recovery {
    struct spill_found *found; /* owned; by number */
    size_t found_count;
    size_t capacity;
    size_t kept_count; /* of them; the last of these is cut at its `intact` */
};

/* FAN_FATAL SPILL_CORRUPT: damage. The recovery is to be released in every case. */
enum fan_status spill_recover_look(const struct spill_place *place, struct spill_recovery *recovery,
                                   struct fan_error *reterr) FAN_MUST_CHECK;

/* Afterwards everything kept is durable. */
enum fan_status spill_recover_mend(const struct spill_place *place,
                                   const struct spill_recovery *recovery,
                                   struct fan_error *reterr) FAN_MUST_CHECK;

void spill_recover_release(struct spill_recovery *recovery);

/* Opens the directory. FAN_AGAIN: there is none. */
enum fan_status spill_place_open(const char *directory, struct spill_place *ret_place,
                                 struct fan_error *reterr) FAN_MUST_CHECK;

/* Makes the directory's own name durable. */
enum fan_status spill_place_sync_parent(const struct spill_place *place,
                                        struct fan_error *reterr) FAN_MUST_CHECK;

#endif
