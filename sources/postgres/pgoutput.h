/*
 * pgoutput.h - parses one message of the pgoutput plug-in, protocol version 1.
 *
 * Format: PostgreSQL documentation, "Logical Replication Message Formats". Without streaming and
 * two-phase the tags are B C O R Y I U D T M; any other one is a fault, as are trailing bytes,
 * lengths that leave the message, flags that have no meaning yet, a row of a relation that was
 * not described, and a row with more columns than its relation. A faulty message is never
 * skipped: what it said is unknown, so going on could lose a change.
 *
 * Ownership:  every pointer in the result borrows from the payload.
 * Threading:  stateless.
 * Errors:     FAN_FATAL with the code PROTOCOL.
 */
#ifndef SOURCES_POSTGRES_PGOUTPUT_H
#define SOURCES_POSTGRES_PGOUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/wire.h"
#include "model/lsn.h"

enum pgoutput_tag {
    PGOUTPUT_BEGIN = 'B',
    PGOUTPUT_COMMIT = 'C',
    PGOUTPUT_ORIGIN = 'O',
    PGOUTPUT_RELATION = 'R',
    PGOUTPUT_TYPE = 'Y',
    PGOUTPUT_INSERT = 'I',
    PGOUTPUT_UPDATE = 'U',
    PGOUTPUT_DELETE = 'D',
    PGOUTPUT_TRUNCATE = 'T',
    PGOUTPUT_MESSAGE = 'M',
};

/* The most relations that one truncate message may name. */
enum { PGOUTPUT_TRUNCATE_MAX = 1 << 20 };

struct pgoutput_begin {
    struct fan_lsn final_lsn; /* where the commit record starts */
    int64_t commit_time;      /* microseconds since 2000-01-01 UTC */
    uint32_t xid;
};

struct pgoutput_origin {
    struct fan_lsn commit_lsn; /* of the transaction on its origin */
    const char *name;
};

struct pgoutput_commit {
    struct fan_lsn commit_lsn;
    struct fan_lsn end_lsn;
};

struct pgoutput_relation {
    uint32_t relid;
    const char *schema; /* "" for pg_catalog */
    const char *name;
    char identity; /* d n f i */
    uint16_t columns_count;
    struct wire columns; /* checked; read with pgoutput_next_column() */
};

struct pgoutput_column {
    const char *name;
    uint32_t type_oid;
    int32_t type_modifier;
    bool in_identity;
};

struct pgoutput_row {
    uint32_t relid;
    char old_kind;       /* K, O or 0 */
    uint32_t old_offset; /* of the tuple in the payload; 0 without one */
    uint32_t new_offset;
};

struct pgoutput_truncate {
    uint8_t flags; /* 1 CASCADE, 2 RESTART IDENTITY */
    uint32_t relids_count;
    uint32_t relids_offset; /* of the first one in the payload */
};

struct pgoutput_logical {
    bool transactional;
    struct fan_lsn lsn; /* the END of its WAL record */
    const char *prefix;
};

struct pgoutput_message {
    enum pgoutput_tag tag;
    union {
        struct pgoutput_begin begin;
        struct pgoutput_origin origin;
        struct pgoutput_commit commit;
        struct pgoutput_relation relation;
        struct pgoutput_row row; /* insert, update, delete */
        struct pgoutput_truncate truncate;
        struct pgoutput_logical logical;
    };
};

/* Stores how many columns the relation has; false when the stream has not described it. */
typedef bool pgoutput_columns_of(const void *context, uint32_t relid, size_t *ret_columns);

enum fan_status pgoutput_parse(const uint8_t *payload, size_t size, pgoutput_columns_of *columns_of,
                               const void *context, struct pgoutput_message *ret_message,
                               struct fan_error *reterr) FAN_MUST_CHECK;

/* The columns of an accepted relation message, in order; call columns_count times. */
struct pgoutput_column pgoutput_next_column(struct wire *columns);

#endif
