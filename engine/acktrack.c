#include "engine/acktrack.h"

#include "base/assert.h"

void acktrack_init(struct acktrack *track, struct ackgate *gates, size_t gates_count,
                   struct fan_lsn confirmed)
{
    *track = (struct acktrack){.gates = gates, .gates_count = gates_count, .boundary = confirmed};
}

void acktrack_session(struct acktrack *track, struct fan_lsn start)
{
    track->boundary = start;
}

void acktrack_boundary(struct acktrack *track, struct fan_lsn boundary)
{
    track->boundary = lsn_max(track->boundary, boundary);
}

bool ackgate_open(const struct ackgate *gate)
{
    return position_compare(gate->settled, gate->given) < 0;
}

void ackgate_give(struct ackgate *gate, struct fan_position position, struct fan_lsn hold_lsn)
{
    if (position_compare(position, gate->given) <= 0) {
        return;
    }
    if (!ackgate_open(gate) && position_compare(position, gate->settled) > 0) {
        gate->oldest = hold_lsn;
    }
    gate->given = position;
}

void ackgate_settle(struct ackgate *gate, struct fan_position position, struct fan_lsn next_hold)
{
    FAN_ASSERT(position_compare(position, gate->given) <= 0);
    if (position_compare(position, gate->settled) <= 0) {
        return;
    }
    gate->settled = position;
    /* Without a better word the transaction of the last settled change may go on. */
    struct fan_lsn oldest = next_hold.value != 0 ? next_hold : position.commit_lsn;
    gate->oldest = lsn_max(gate->oldest, oldest);
}

struct fan_lsn ackgate_forget(struct ackgate *gate)
{
    struct fan_lsn hold = ackgate_open(gate) ? gate->oldest : LSN_NONE;
    gate->given = gate->settled;
    return hold;
}

struct fan_lsn acktrack_resolved(const struct acktrack *track, const struct ackgate *gate)
{
    struct fan_lsn resolved =
        ackgate_open(gate) ? lsn_min(gate->oldest, track->boundary) : track->boundary;
    return gate->hold.value == 0 ? resolved : lsn_min(resolved, gate->hold);
}

struct fan_lsn acktrack_ack(const struct acktrack *track)
{
    struct fan_lsn lowest = track->boundary;
    for (size_t index = 0; index < track->gates_count; index++) {
        lowest = lsn_min(lowest, acktrack_resolved(track, &track->gates[index]));
    }
    return lowest;
}
