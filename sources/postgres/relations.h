/*
 * relations.h - the relations of a stream: which version is current for a relid, and all versions
 * that a change may still refer to.
 *
 * A version is what the Relation message said plus what the catalog added. The server repeats the
 * message in every session and after many kinds of invalidation; the same content gives the same
 * version object again, so that nothing downstream sees a schema change that was none.
 *
 * INVARIANTS  (1) a current version was described in this session.
 *             (2) a version is never freed or changed before relations_release().
 * Ownership:  owns every version that relations_accept() took.
 * Threading:  the source's thread; the versions themselves may be read by any thread.
 * Limits:     RELATION_VERSIONS_MAX versions, then FAN_FATAL.
 */
#ifndef SOURCES_POSTGRES_RELATIONS_H
#define SOURCES_POSTGRES_RELATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "model/relation.h"
#include "sources/postgres/link.h"
#include "sources/postgres/pgoutput.h"

struct relations_entry;

struct relations {
    struct relations_entry *slots; /* owned; open addressing, a power of two */
    size_t slots_count;
    size_t entries_count;
    size_t versions_count;
    struct relations_entry *last; /* of the last look-up; most rows follow one of their own table */
};

void relations_init(struct relations *relations);
void relations_release(struct relations *relations);

/* A new session: no relation is described any more. Versions stay. */
void relations_reset(struct relations *relations);

/* The current version, or NULL when the session has not described it. */
struct relation *relations_find(struct relations *relations, uint32_t relid);

/* Makes an unfinished version of what the message says; the types are those of built-in OIDs. */
enum fan_status relations_draft(const struct pgoutput_relation *message,
                                struct relation **ret_draft,
                                struct fan_error *reterr) FAN_MUST_CHECK;

/*
 * Completes the draft with the catalog's facts (as many as it has columns) and makes it current,
 * or the equal version that is there already. Takes `draft`, on failure too. `*ret_new` says
 * whether the current version of this session changed.
 */
enum fan_status relations_accept(struct relations *relations, struct relation *draft,
                                 const struct link_column *facts, struct relation **ret_current,
                                 bool *ret_new, struct fan_error *reterr) FAN_MUST_CHECK;

#endif
