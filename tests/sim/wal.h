/*
 * wal.h - the truth of one history: what was committed on the model's primary, in WAL order.
 *
 * Open transactions write their changes interleaved; a transaction becomes an item when it
 * commits. Items and events are in the order in which a slot sends them, so an event's index
 * orders as its position does.
 *
 * Ownership:  plain arrays of the wal; wal_release() frees them.
 * Limits:     WAL_OPEN_MAX open transactions of WAL_CHANGES_MAX changes.
 */
#ifndef TESTS_SIM_WAL_H
#define TESTS_SIM_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "model/position.h"

enum {
    WAL_TABLES = 4,
    WAL_MESSAGES = WAL_TABLES, /* the "table" of logical messages */
    WAL_SUBJECTS = WAL_TABLES + 1,
    WAL_OPEN_MAX = 3,
    WAL_CHANGES_MAX = 48,
    WAL_VERSIONS = 3, /* of a table's shape */
};

struct wal_event {
    struct fan_position position;
    struct fan_lsn skip_lsn; /* the server skips it if this is below the confirmed position */
    struct fan_lsn lsn;      /* of its own record */
    uint32_t text_size;
    uint16_t group; /* relations of the truncate that starts here; 0: within one; else 1 */
    uint8_t op;     /* enum change_op */
    uint8_t table;
    uint8_t version;
    bool key_change;
    bool altered; /* its table got a new shape in this transaction, just before */
};

enum wal_kind {
    WAL_TXN,
    WAL_EMPTY,   /* a commit without anything published */
    WAL_FOREIGN, /* another database, an abort, a checkpoint's record: position only */
    WAL_LOOSE,   /* a non-transactional message */
};

struct wal_item {
    enum wal_kind kind;
    struct fan_lsn start; /* of the commit record, or of the record */
    struct fan_lsn end;
    uint32_t xid;
    int64_t commit_us;
    size_t first; /* its events */
    size_t count;
};

struct wal_txn {
    bool open;
    size_t count;
    struct wal_event changes[WAL_CHANGES_MAX];
};

struct wal {
    struct wal_item *items; /* owned */
    size_t items_count;
    size_t items_capacity;
    struct wal_event *events; /* owned */
    size_t events_count;
    size_t events_capacity;
    struct fan_lsn end;
    uint8_t versions[WAL_TABLES]; /* current shapes */
    struct wal_txn open[WAL_OPEN_MAX];
    uint32_t next_xid;
    uint32_t big_text; /* changes are up to this long */
};

void wal_init(struct wal *wal, struct rng *rng);
void wal_release(struct wal *wal);

/* One step of the primary's users. */
void wal_grow(struct wal *wal, struct rng *rng, int64_t now_us);
/* Commits or aborts what is open. */
void wal_settle(struct wal *wal, struct rng *rng, int64_t now_us);
/* A record of no interest. */
void wal_foreign(struct wal *wal, uint64_t size);
/* A message that belongs to no transaction. */
void wal_loose(struct wal *wal, uint32_t text_size);
/* One change in the open transaction `at`, and its commit: for scripts. */
void wal_change(struct wal *wal, size_t at, struct wal_event change, uint64_t size);
void wal_commit(struct wal *wal, size_t at, int64_t now_us);

/* Index of the first event with a position not below `position`. */
size_t wal_find(const struct wal *wal, struct fan_position position);

#endif
