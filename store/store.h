/*
 * store.h - the engine's memory over restarts: identity of sources, checkpoints, states, gaps.
 *
 * One SQLite file, `<data_dir>/pgfan.db`, with one connection that holds it exclusively. What a
 * save returned FAN_OK for is on disk and survives kill -9 and a power cut (WAL with
 * synchronous=FULL; docs/store.md gives the reasons).
 *
 *     store_lock(data_dir) -> store_open() -> store_load() -> store_save()* -> store_close()
 *                                                          -> store_unlock()
 *
 * INVARIANTS  (1) a save is one transaction: all of an update or nothing of it.
 *             (2) the persisted ack of a source never decreases.
 *             (3) a file that is not understood is never written to, replaced or removed.
 *             (4) `pgfan.db` appears whole, by rename; an empty one is damage, not a new store.
 * Threading:  one thread at a time; the engine gives the open store to its store thread.
 *             store_check_copy() is free of the store and may run on any thread.
 * Errors:     FAN_FATAL with the codes STORE_CORRUPT, STORE_FOREIGN, STORE_NEWER, STORE_READ_ONLY,
 *             STORE_OWNER, STORE_PERMISSIONS, STORE_MISSING, STORE_TOO_LARGE, STORE_IN_USE,
 *             STORE_ACK_BACKWARDS, STORE_INVALID, each with a hint; FAN_RETRY with STORE_FULL,
 *             STORE_LOCKED, STORE_IO. After FAN_RETRY from a save nothing of the update is kept:
 *             the caller repeats the whole update, or a later one that contains it.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "store/record.h"

enum { STORE_SCHEMA_VERSION = 2 };

struct store;
struct migration_plan;

struct store_options {
    bool create;    /* make the directory and the store when they are missing */
    bool read_only; /* writes nothing, migrates nothing; the caller still holds store_lock() */
    /* 0 for the product's values; tests set them. */
    uint64_t quick_check_max_bytes; /* check before start up to this size; 256 MiB */
    uint32_t busy_timeout_ms;       /* 5000 */
    uint32_t pages_max;             /* a bound on the file, in pages; SQLite's own */
    const struct migration_plan *migrations;
};

/*
 * Takes the data directory for this process: FAN_FATAL STORE_IN_USE names the process that has it.
 * Makes the directory when `create` is set. The lock ends with store_unlock() or the process.
 */
enum fan_status store_lock(const char *data_dir, bool create, int *ret_descriptor,
                           struct fan_error *reterr) FAN_MUST_CHECK;
/* Accepts -1. */
void store_unlock(int descriptor);

enum fan_status store_open(const char *data_dir, const struct store_options *options,
                           struct store **ret_store, struct fan_error *reterr) FAN_MUST_CHECK;
/* Accepts NULL. */
void store_close(struct store *store);

/* Reads everything; the caller releases `ret_state` with store_state_release(). */
enum fan_status store_load(struct store *store, struct store_state *ret_state,
                           struct fan_error *reterr) FAN_MUST_CHECK;

/* Returns when the update is on disk. */
enum fan_status store_save(struct store *store, const struct store_update *update,
                           struct fan_error *reterr) FAN_MUST_CHECK;

/*
 * One transaction around the calls of letter.h; store_save() is one of its own. A commit that
 * fails has rolled everything back, and so does store_rollback(), which may come at any time.
 */
enum fan_status store_begin(struct store *store, struct fan_error *reterr) FAN_MUST_CHECK;
enum fan_status store_commit(struct store *store, struct fan_error *reterr) FAN_MUST_CHECK;
void store_rollback(struct store *store);

/* Whether what is deleted from now on is overwritten in the file. */
enum fan_status store_set_erasing(struct store *store, bool erasing,
                                  struct fan_error *reterr) FAN_MUST_CHECK;
/* Empties the log beside the file, where what was erased may still stand. */
enum fan_status store_empty_log(struct store *store, struct fan_error *reterr) FAN_MUST_CHECK;

/* The file was too large to be checked before the start: check it in the background. */
bool store_needs_background_check(const struct store *store);

/*
 * Copies some pages of the store to `pgfan.db.check`; call it when the store is idle. FAN_AGAIN:
 * more is left; FAN_OK: the copy is whole. Saves may come in between: the copy follows them.
 */
enum fan_status store_check_step(struct store *store, struct fan_error *reterr) FAN_MUST_CHECK;

/* Checks the copy and removes it. FAN_FATAL STORE_CORRUPT: so is the store. Blocks for long. */
enum fan_status store_check_copy(const char *data_dir, struct fan_error *reterr) FAN_MUST_CHECK;

/* The version of the library in use, such as 3.40.1. */
const char *store_sqlite_version(void);

/* True when two connections to one WAL file could damage it with this library (before 3.51.3): a
 * warning to print at start, although the store keeps to one connection. */
bool store_sqlite_has_wal_reset_bug(void);

#endif
