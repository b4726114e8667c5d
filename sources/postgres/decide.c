#include "sources/postgres/decide.h"

#include <string.h>

/* A printed LSN that lives as long as the expression it is used in. */
#define LSN_TEXT(lsn, buffer) (lsn_format((lsn), (buffer)), (buffer))

static const char baseline_hint[] =
    "start with a new data directory and take a new baseline of the tables";

static enum fan_status check_cluster(const struct decide_input *in, struct fan_error *reterr)
{
    const struct source_memory *memory = in->memory;
    const struct link_facts *facts = in->facts;
    enum fan_status status = FAN_OK;
    if (memory->system_id[0] != '\0' && strcmp(memory->system_id, facts->system_id) != 0) {
        status = fan_fail(reterr, FAN_FATAL,
                          "cannot go on: the server is another cluster: system identifier %s, "
                          "remembered is %s",
                          facts->system_id, memory->system_id);
    } else if (memory->database[0] != '\0' && strcmp(memory->database, facts->database) != 0) {
        status = fan_fail(reterr, FAN_FATAL,
                          "cannot go on: connected to database \"%s\", remembered is \"%s\"",
                          facts->database, memory->database);
    }
    if (status != FAN_OK) {
        fan_error_annotate(reterr, "OTHER_CLUSTER", "point dsn back at the old server, or %s",
                           baseline_hint);
    }
    return status;
}

/*
 * A standby that was not promoted yet: our slot is not there, or is the copy that the server keeps
 * up to date by itself. A slot that was made on the standby is one like any other.
 */
static enum fan_status check_standby(const struct decide_input *in, struct fan_error *reterr)
{
    const struct link_slot *slot = &in->facts->slot;
    bool known = in->memory->slot_stage == SLOT_CREATED && strcmp(in->memory->slot, in->slot) == 0;
    if (!known || !in->facts->in_recovery || (slot->exists && !slot->synced)) {
        return FAN_OK;
    }
    enum fan_status status =
        fan_fail(reterr, FAN_RETRY, "could not go on: the server is a standby that %s slot \"%s\"",
                 slot->exists ? "only keeps a copy of" : "does not have", in->slot);
    fan_error_annotate(reterr, "IN_RECOVERY",
                       "wait until it is promoted, or point dsn at the primary");
    return status;
}

/* The furthest position that the targets may have, as one LSN. */
static struct fan_lsn furthest_of(const struct decide_input *in)
{
    return lsn_max(in->memory->confirmed, in->furthest.commit_lsn);
}

static enum fan_status check_timeline(const struct decide_input *in, struct fan_error *reterr)
{
    const struct link_facts *facts = in->facts;
    uint32_t remembered = in->memory->timeline;
    if (remembered == 0 || remembered == facts->timeline) {
        return FAN_OK;
    }
    enum fan_status status;
    if (facts->timeline < remembered || facts->timeline_switch.value == 0) {
        status = fan_fail(reterr, FAN_FATAL,
                          "cannot go on: the server is on timeline %u, remembered is %u, and its "
                          "history does not say where that one ended",
                          facts->timeline, remembered);
        fan_error_annotate(reterr, "TIMELINE_UNKNOWN",
                           "make sure that dsn points at the promoted server, not at a revived old "
                           "one; otherwise %s",
                           baseline_hint);
        return status;
    }
    /* A transaction whose commit record starts at the switch point or later was never seen by the
     * new primary; a confirmed position may end exactly there. */
    bool diverged = in->furthest.commit_lsn.value >= facts->timeline_switch.value ||
                    in->memory->confirmed.value > facts->timeline_switch.value;
    if (!diverged) {
        return FAN_OK;
    }
    char from[LSN_TEXT_SIZE];
    char to[LSN_TEXT_SIZE];
    status = fan_fail(reterr, FAN_FATAL,
                      "cannot go on: targets hold transactions from %s to %s that the promoted "
                      "server never had",
                      LSN_TEXT(facts->timeline_switch, from), LSN_TEXT(furthest_of(in), to));
    fan_error_annotate(reterr, "DIVERGED", "%s", baseline_hint);
    return status;
}

static enum fan_status check_wal_end(const struct decide_input *in, struct fan_error *reterr)
{
    struct fan_lsn furthest = furthest_of(in);
    if (furthest.value <= in->facts->wal_end.value) {
        return FAN_OK;
    }
    char ours[LSN_TEXT_SIZE];
    char theirs[LSN_TEXT_SIZE];
    enum fan_status status =
        fan_fail(reterr, FAN_FATAL,
                 "cannot go on: the server's WAL ends at %s, before %s, which was already received",
                 LSN_TEXT(in->facts->wal_end, theirs), LSN_TEXT(furthest, ours));
    fan_error_annotate(reterr, "SERVER_BEHIND",
                       "the server was restored from a backup, or dsn points at a wrong or lagging "
                       "one; after a restore, %s",
                       baseline_hint);
    return status;
}

static enum fan_status foreign(const struct decide_input *in, const char *reason,
                               struct fan_error *reterr)
{
    enum fan_status status =
        fan_fail(reterr, FAN_FATAL, "cannot use slot \"%s\": %s", in->slot, reason);
    fan_error_annotate(reterr, "SLOT_FOREIGN", "set slot.name to a name that is free");
    return status;
}

/* What makes a slot unusable whoever made it. */
static enum fan_status check_slot(const struct decide_input *in, struct fan_error *reterr)
{
    const struct link_slot *slot = &in->facts->slot;
    if (!slot->logical) {
        return foreign(in, "it is a physical slot", reterr);
    }
    if (strcmp(slot->plugin, "pgoutput") != 0) {
        return foreign(in, "its plug-in is not pgoutput", reterr);
    }
    if (strcmp(slot->database, in->facts->database) != 0) {
        return foreign(in, "it belongs to another database", reterr);
    }
    if (slot->temporary) {
        return foreign(in, "it is a temporary slot", reterr);
    }
    if (slot->two_phase) {
        enum fan_status status = fan_fail(
            reterr, FAN_FATAL, "cannot use slot \"%s\": it was created with two_phase", in->slot);
        fan_error_annotate(reterr, "SLOT_TWO_PHASE",
                           "two_phase cannot be turned off: set slot.name to a name that is free");
        return status;
    }
    if (strcmp(slot->wal_status, "lost") == 0 || slot->invalidation[0] != '\0') {
        enum fan_status status =
            fan_fail(reterr, FAN_FATAL, "position lost: slot \"%s\" was invalidated: %s", in->slot,
                     slot->invalidation[0] != '\0' ? slot->invalidation : "wal_status is lost");
        fan_error_annotate(reterr, "SLOT_LOST",
                           "re-snapshot required: SELECT pg_drop_replication_slot('%s'); then %s",
                           in->slot, baseline_hint);
        return status;
    }
    return FAN_OK;
}

static enum fan_status decide_missing(const struct decide_input *in, bool ours,
                                      struct decision *ret_decision, struct fan_error *reterr)
{
    if (ours && in->memory->slot_stage == SLOT_CREATED) {
        enum fan_status status = fan_fail(
            reterr, FAN_FATAL, "cannot go on: slot \"%s\" does not exist any more", in->slot);
        fan_error_annotate(reterr, "SLOT_MISSING",
                           "changes since the last confirmed position are lost: %s", baseline_hint);
        return status;
    }
    if (!in->create) {
        enum fan_status status =
            fan_fail(reterr, FAN_FATAL, "cannot start: slot \"%s\" does not exist", in->slot);
        fan_error_annotate(reterr, "SLOT_MISSING",
                           "set slot.create: true, or SELECT "
                           "pg_create_logical_replication_slot('%s', 'pgoutput'); and start once "
                           "with --adopt-slot %s",
                           in->slot, in->slot);
        return status;
    }
    ret_decision->action = DECIDE_CREATE;
    return FAN_OK;
}

static enum fan_status decide_moved(const struct decide_input *in, struct fan_error *reterr)
{
    char ours[LSN_TEXT_SIZE];
    char theirs[LSN_TEXT_SIZE];
    enum fan_status status =
        fan_fail(reterr, FAN_FATAL,
                 "cannot go on: slot \"%s\" is confirmed up to %s, but this data directory "
                 "confirmed only %s: changes in between are lost",
                 in->slot, LSN_TEXT(in->facts->slot.confirmed, theirs),
                 LSN_TEXT(in->memory->confirmed, ours));
    fan_error_annotate(reterr, "SLOT_MOVED",
                       "another program used the slot, it was made again, or the data directory is "
                       "an old copy: %s",
                       baseline_hint);
    return status;
}

enum fan_status decide_not_ours(const char *slot, const char *reason, struct fan_error *reterr)
{
    enum fan_status status =
        fan_fail(reterr, FAN_FATAL, "cannot use slot \"%s\": %s", slot, reason);
    fan_error_annotate(reterr, "SLOT_FOREIGN",
                       "another pgfan may own it; to take it over from its confirmed position, "
                       "start once with --adopt-slot %s",
                       slot);
    return status;
}

/* The slot is there and healthy. */
static enum fan_status decide_existing(const struct decide_input *in, bool ours,
                                       struct decision *ret_decision, struct fan_error *reterr)
{
    const struct link_slot *slot = &in->facts->slot;
    bool named = in->adopt_slot != NULL && strcmp(in->adopt_slot, in->slot) == 0;
    enum slot_stage stage = ours ? in->memory->slot_stage : SLOT_UNKNOWN;
    if (stage == SLOT_UNKNOWN && !named) {
        return decide_not_ours(in->slot, "it exists, but this data directory has never used it",
                               reterr);
    }
    bool moved = slot->confirmed.value > in->memory->confirmed.value;
    if (stage == SLOT_CREATED && moved && !named) {
        return decide_moved(in, reterr);
    }
    if (!in->facts->publication_exists) {
        enum fan_status status = fan_fail(reterr, FAN_FATAL,
                                          "cannot go on: the publication is gone, and slot \"%s\" "
                                          "holds changes from before a new "
                                          "one",
                                          in->slot);
        fan_error_annotate(reterr, "PUBLICATION_MISSING",
                           "SELECT pg_drop_replication_slot('%s'); then %s", in->slot,
                           baseline_hint);
        return status;
    }
    if (slot->active) {
        enum fan_status status =
            fan_fail(reterr, FAN_RETRY, "could not start: slot \"%s\" is active for PID %d",
                     in->slot, slot->active_pid);
        fan_error_annotate(reterr, "SLOT_ACTIVE",
                           "one program at a time reads a slot: stop the other one, or wait until "
                           "the server has noticed that it is gone");
        return status;
    }
    ret_decision->action = stage == SLOT_CREATED && !moved ? DECIDE_START : DECIDE_ADOPT;
    ret_decision->start = lsn_max(slot->confirmed, in->memory->confirmed);
    return FAN_OK;
}

enum fan_status decide(const struct decide_input *in, struct decision *ret_decision,
                       struct fan_error *reterr)
{
    enum fan_status status = check_cluster(in, reterr);
    status = status == FAN_OK ? check_standby(in, reterr) : status;
    status = status == FAN_OK ? check_timeline(in, reterr) : status;
    status = status == FAN_OK ? check_wal_end(in, reterr) : status;
    if (status != FAN_OK) {
        return status;
    }
    const char *remembered = in->memory->slot;
    bool ours = strcmp(remembered, in->slot) == 0;
    bool named = in->adopt_slot != NULL && strcmp(in->adopt_slot, in->slot) == 0;
    bool adopted = named && in->facts->slot.exists;
    if (remembered[0] != '\0' && !ours && in->memory->slot_stage == SLOT_CREATED && !adopted) {
        status = fan_fail(reterr, FAN_FATAL,
                          "cannot start: slot.name is \"%s\", but this data directory used \"%s\"",
                          in->slot, remembered);
        fan_error_annotate(reterr, "SLOT_CHANGED",
                           "set slot.name back to \"%s\", or use a new data directory", remembered);
        return status;
    }
    struct decision decision = {.action = DECIDE_CREATE};
    if (!in->facts->slot.exists) {
        status = decide_missing(in, ours, &decision, reterr);
    } else {
        status = check_slot(in, reterr);
        status = status == FAN_OK ? decide_existing(in, ours, &decision, reterr) : status;
    }
    if (status == FAN_OK) {
        *ret_decision = decision;
    }
    return status;
}
