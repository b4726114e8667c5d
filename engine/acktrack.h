/*
 * acktrack.h - decides how far the slot of one source may be confirmed.
 *
 * Each (pipeline, target) is a gate. A gate knows the furthest position that it was given and the
 * furthest up to which everything is durable; in between lies what is not settled. The boundary
 * says that everything with a lower commit LSN has been handed to all gates.
 *
 *     resolved(gate) = boundary                      when nothing of it is unsettled
 *                    = hold LSN of its oldest unsettled change   otherwise
 *     ack            = min(boundary, resolved of every gate, hold of every gate)
 *
 * The hold LSN of a change is the commit LSN of its transaction: confirming exactly that has the
 * server send the transaction again and nothing before it (a transaction is skipped if and only
 * if its commit LSN is below the confirmed position).
 *
 * INVARIANTS  (1) within a session acktrack_ack() never moves backwards; over sessions the caller
 *                 keeps the greatest answer.
 *             (2) no change whose hold LSN is below the ack is unsettled at any gate.
 *             (3) settled <= given for every gate.
 *             (4) the boundary moves forward within a session; a new session sets it back to its
 *                 start, which is never above the ack's candidates.
 * Ownership:  the gates are the caller's array, borrowed.
 * Threading:  the source's thread only.
 */
#ifndef ENGINE_ACKTRACK_H
#define ENGINE_ACKTRACK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "model/lsn.h"
#include "model/position.h"

struct ackgate {
    struct fan_position given;   /* the furthest change handed over */
    struct fan_position settled; /* everything up to here is durable */
    struct fan_lsn oldest; /* hold LSN of the oldest unsettled change; valid if there is one */
    struct fan_lsn hold;   /* changes from here on were passed over or forgotten; set by
                                    the caller, LSN_NONE: no hold */
};

struct acktrack {
    struct ackgate *gates;
    size_t gates_count;
    struct fan_lsn boundary;
};

void acktrack_init(struct acktrack *track, struct ackgate *gates, size_t gates_count,
                   struct fan_lsn confirmed);

/* A session starts at `start`; what was handed over before it counts no longer as handed over. */
void acktrack_session(struct acktrack *track, struct fan_lsn start);

/* Everything with a commit LSN below `boundary` has been handed over. */
void acktrack_boundary(struct acktrack *track, struct fan_lsn boundary);

/* A change was handed to the gate. Positions that the gate had already are ignored. */
void ackgate_give(struct ackgate *gate, struct fan_position position, struct fan_lsn hold_lsn);

/*
 * Everything up to `position` is durable. `next_hold` is the hold LSN of the first change after
 * it if the caller knows that one, LSN_NONE otherwise.
 */
void ackgate_settle(struct ackgate *gate, struct fan_position position, struct fan_lsn next_hold);

/* Whether something handed over is not settled. */
bool ackgate_open(const struct ackgate *gate);

/*
 * What was handed over and not settled is forgotten, and will have to be read again. Returns the
 * hold LSN of the oldest such change, which the caller has to put into `hold`, or LSN_NONE.
 */
struct fan_lsn ackgate_forget(struct ackgate *gate) FAN_MUST_CHECK;

struct fan_lsn acktrack_resolved(const struct acktrack *track, const struct ackgate *gate);

/* The position that may be confirmed now. */
struct fan_lsn acktrack_ack(const struct acktrack *track);

#endif
