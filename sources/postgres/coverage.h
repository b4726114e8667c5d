/*
 * coverage.h - which tables the publication held at the last look, so that the next one can tell
 * what left it, what came back, and from where on changes of a table are missing.
 *
 * A look is a preflight whose tables are expanded; its LSN is one that the server had before it
 * looked: a table that is held was held for every change behind that LSN, unless it left and came
 * back in between. A table keeps its place by its OID; one that was dropped and made again keeps
 * its name only.
 *
 * Ownership:  coverage_release() accepts a zeroed coverage, which knows nothing.
 * Threading:  one thread.
 * Limits:     as many tables as a preflight may have.
 */
#ifndef SOURCES_POSTGRES_COVERAGE_H
#define SOURCES_POSTGRES_COVERAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "model/lsn.h"

struct preflight;

struct coverage_table {
    uint32_t oid;
    bool held;
    bool own;             /* held at this look or at one before */
    bool streamed;        /* that, or one of its name before it was */
    struct fan_lsn whole; /* changes before it are not missing */
    const char *schema;   /* in `names` */
    const char *name;
};

struct coverage {
    struct coverage_table *tables; /* owned; by OID */
    size_t count;
    char *names;        /* owned */
    struct fan_lsn lsn; /* of the look; 0: there was none */
};

/* Fills `streamed` and `whole` of each table of the look from the look before. A table that
 * nobody has seen yet is whole up to that look, or to `first` when there was none. */
void coverage_recall(const struct coverage *before, struct fan_lsn first, struct preflight *look);

/* Takes the place of what was known. FAN_RETRY: memory is out, and what was known stays. */
enum fan_status coverage_take(struct coverage *coverage, const struct preflight *look,
                              struct fan_lsn lsn) FAN_MUST_CHECK;

/* Nothing has changed since the look: what was held was held up to `lsn`. */
void coverage_hold(struct coverage *coverage, struct fan_lsn lsn);
void coverage_release(struct coverage *coverage);

#endif
