/*
 * position.h - the place of a change in its source's history.
 *
 * Order, resume and idempotency are decided on (commit_lsn, seq) alone, never on the LSN of a
 * single record: only commit LSNs are ordered, and several changes can share one LSN. `seq` counts
 * from 0 every row change, every relation of a truncate in wire order, and every transactional
 * message of a transaction, before any routing. A non-transactional message has the position
 * (its own LSN, -1), which sorts before a transaction with that commit LSN.
 */
#ifndef MODEL_POSITION_H
#define MODEL_POSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "model/lsn.h"

enum { SEQ_MESSAGE = -1 };

struct fan_position {
    struct fan_lsn commit_lsn;
    int64_t seq;
};

/* Before every position: a target that has nothing yet. */
#define POSITION_NONE ((struct fan_position){{0}, SEQ_MESSAGE})

/* Negative, zero or positive, as `left` is before, at or after `right`. */
static inline int position_compare(struct fan_position left, struct fan_position right)
{
    if (left.commit_lsn.value != right.commit_lsn.value) {
        return left.commit_lsn.value < right.commit_lsn.value ? -1 : 1;
    }
    return left.seq < right.seq ? -1 : left.seq > right.seq;
}

#endif
