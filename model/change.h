/*
 * change.h - one row operation, truncate, logical message or gap, on its way to a pipeline.
 *
 * A change is a plain value of under 100 bytes: it is copied into a ring and out of it, while the bytes
 * of the row stay in the message that the client library allocated. A source emits only changes
 * whose message has been checked from end to end, so row.h reads it without bounds of its own.
 *
 * Ownership:  a change holds one reference to its message (change_release() drops it) and borrows
 *             its relation.
 */
#ifndef MODEL_CHANGE_H
#define MODEL_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/message.h"
#include "model/position.h"
#include "model/relation.h"

enum change_op {
    CHANGE_INSERT = 'c',
    CHANGE_UPDATE = 'u',
    CHANGE_DELETE = 'd',
    CHANGE_TRUNCATE = 't',
    CHANGE_MESSAGE = 'm',
    CHANGE_GAP = 'g',
};

/* What an update or delete carries of the old row. */
enum old_row {
    OLD_ROW_NONE = 0,
    OLD_ROW_KEY = 'K',  /* identity columns only; others are 'n', which means "not sent" */
    OLD_ROW_FULL = 'O', /* REPLICA IDENTITY FULL */
};

struct change_gap {
    struct fan_position first;
    struct fan_position last;
    uint64_t count;
};

struct change {
    struct message *message;         /* one reference; NULL for a gap */
    const struct relation *relation; /* NULL for a logical message and a gap */
    struct fan_position position;    /* of a gap: that of the last change it stands for */
    /* The slot may be confirmed up to here while this change is not settled: the commit LSN, or
     * for a non-transactional message the reader's boundary when it arrived. */
    struct fan_lsn hold_lsn;
    int64_t commit_time_us; /* microseconds since 1970-01-01 UTC; of the server; 0 for `-1` seq */
    const char *origin; /* where replication brought the transaction from; borrowed as `relation`;
                         * NULL: it is the server's own, or that is not known */
    struct fan_lsn origin_lsn; /* of its commit there; 0 without an origin */
    uint32_t xid;              /* 0 for a non-transactional message */
    uint32_t old_offset;       /* of the old row's tuple in the payload; 0 if there is none */
    uint32_t new_offset;       /* of the new row's tuple in the payload; 0 if there is none */
    uint8_t op;                /* enum change_op */
    uint8_t old_row;           /* enum old_row */
    uint8_t truncate_flags;    /* 1 CASCADE, 2 RESTART IDENTITY */
    bool txn_end;              /* known to be the last change of its transaction in this pipeline */
    uint32_t table_seq;     /* ordinal among the changes of its table in the transaction, from 0; of
                             * a message, among the messages */
    struct change_gap *gap; /* owned; only for CHANGE_GAP */
};

/* Drops what the change owns and zeroes it. */
static inline void change_release(struct change *change)
{
    message_unref(change->message);
    free(change->gap);
    *change = (struct change){0};
}

/* Bytes that a queued change is accounted with: its message and its own entry. */
static inline size_t change_size(const struct change *change)
{
    return sizeof(*change) + (change->message == NULL ? 0 : change->message->size);
}

#endif
