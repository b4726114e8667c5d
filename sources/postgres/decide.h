/*
 * decide.h - from where a session may start: what the store remembers against what the server
 * shows, as a pure function.
 *
 * The server believes whatever position it is given, and skips silently what lies before it. So
 * every way in which store and server can disagree is told apart here, and each one that could
 * lose a change stops the source with a code, a text and a way out:
 *
 *   OTHER_CLUSTER      the system identifier or the database differs
 *   DIVERGED           a failover to a server that lacks what was already delivered
 *   TIMELINE_UNKNOWN   a failover whose switch point the server does not know
 *   SERVER_BEHIND      the server's WAL ends before what was already received
 *   SLOT_MISSING       the slot is gone; never made again silently
 *   SLOT_LOST          the slot was invalidated
 *   SLOT_MOVED         the slot is further than this store ever confirmed
 *   SLOT_FOREIGN       this store has never used the slot, or it is not one for pgfan; also when
 *                      somebody else made it between the look and our own CREATE
 *   SLOT_TWO_PHASE     prepared transactions would come without their changes
 *   SLOT_CHANGED       the conf names another slot than the store
 *   PUBLICATION_MISSING the slot holds changes that the server could not decode any more
 *   SLOT_ACTIVE        (FAN_RETRY) another process reads the slot
 *   IN_RECOVERY        (FAN_RETRY) a standby that cannot serve our slot: a failover is under way
 */
#ifndef SOURCES_POSTGRES_DECIDE_H
#define SOURCES_POSTGRES_DECIDE_H

#include "base/status.h"
#include "model/position.h"
#include "sources/postgres/link.h"
#include "sources/source.h"

struct decide_input {
    const struct source_memory *memory; /* `confirmed` is the greatest position ever persisted */
    const struct link_facts *facts;
    struct fan_position furthest; /* of any pipeline */
    const char *slot;
    bool create;            /* may the slot be created */
    const char *adopt_slot; /* or NULL */
};

enum decide_action {
    DECIDE_START,  /* at `start`, which is remembered */
    DECIDE_ADOPT,  /* remember `start`, then start there */
    DECIDE_CREATE, /* publication, intent, slot, point, start */
};

struct decision {
    enum decide_action action;
    struct fan_lsn start; /* not for DECIDE_CREATE */
};

/* SLOT_FOREIGN: the slot is not this store's, and only --adopt-slot makes it so. FAN_FATAL. */
enum fan_status decide_not_ours(const char *slot, const char *reason, struct fan_error *reterr);

/* FAN_FATAL: stop. FAN_RETRY: look again later. */
enum fan_status decide(const struct decide_input *input, struct decision *ret_decision,
                       struct fan_error *reterr) FAN_MUST_CHECK;

#endif
