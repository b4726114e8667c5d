#include "store/migration.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "store/directory.h"
#include "store/fault.h"
#include "store/schema.h"
#include "store/store.h"

/* Version 1 is the first that was ever written. */
static const struct migration_step steps[] = {
    {.from = 1, .sql = SCHEMA_LETTERS_SQL SCHEMA_SETTLED_SQL},
};
const struct migration_plan store_migrations = {.steps = steps,
                                                .steps_count = sizeof(steps) / sizeof(steps[0])};

static enum fan_status backup_copy(sqlite3 *db, const char *copy_path, struct fan_error *reterr)
{
    sqlite3 *copy = NULL;
    int result =
        sqlite3_open_v2(copy_path, &copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    if (result == SQLITE_OK) {
        sqlite3_backup *backup = sqlite3_backup_init(copy, "main", db, "main");
        if (backup != NULL) {
            (void)sqlite3_backup_step(backup, -1); /* finish reports the result */
            result = sqlite3_backup_finish(backup);
        } else {
            result = sqlite3_errcode(copy);
        }
    }
    enum fan_status status = FAN_OK;
    if (result != SQLITE_OK) {
        status = store_fault(copy, result, copy_path, "write the copy of the", reterr);
    }
    (void)sqlite3_close(copy); /* nothing is open on it any more */
    return status;
}

/* The copy that lets an operator go back. An older copy of the same version is replaced: the
 * migration that made it did not finish, or the file at hand would be newer. */
static enum fan_status backup_make(sqlite3 *db, const char *data_dir, const char *path, int from,
                                   struct fan_error *reterr)
{
    char final_path[PATH_MAX];
    char new_path[PATH_MAX];
    if (snprintf(final_path, sizeof(final_path), "%s.v%d.bak", path, from) >=
            (int)sizeof(final_path) ||
        snprintf(new_path, sizeof(new_path), "%s.v%d.new", path, from) >= (int)sizeof(new_path)) {
        return fan_fail(reterr, FAN_FATAL, "cannot name a copy of store \"%s\": too long", path);
    }
    (void)unlink(new_path); /* left by an attempt that was interrupted, or not there */
    enum fan_status status = backup_copy(db, new_path, reterr);
    if (status == FAN_OK) {
        status = directory_sync_file(new_path, reterr);
    }
    if (status == FAN_OK && rename(new_path, final_path) != 0) {
        status = fan_fail_errno(reterr, FAN_RETRY, errno, "could not rename \"%s\"", new_path);
    }
    if (status != FAN_OK) {
        (void)unlink(new_path); /* half a copy is of no use */
        return status;
    }
    return directory_sync(data_dir, reterr);
}

static const struct migration_step *plan_find(const struct migration_plan *plan, int from)
{
    for (size_t i = 0; i < plan->steps_count; i++) {
        if (plan->steps[i].from == from) {
            return &plan->steps[i];
        }
    }
    return NULL;
}

static enum fan_status steps_run(sqlite3 *db, const char *path, int from,
                                 const struct migration_plan *plan, struct fan_error *reterr)
{
    int result = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    for (int version = from; result == SQLITE_OK && version < STORE_SCHEMA_VERSION; version++) {
        result = sqlite3_exec(db, plan_find(plan, version)->sql, NULL, NULL, NULL);
    }
    if (result == SQLITE_OK) {
        char pragma[64];
        (void)snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %d", STORE_SCHEMA_VERSION);
        result = sqlite3_exec(db, pragma, NULL, NULL, NULL);
    }
    if (result == SQLITE_OK) {
        result = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    }
    if (result == SQLITE_OK) {
        return FAN_OK;
    }
    enum fan_status status = store_fault(db, result, path, "migrate", reterr);
    if (!sqlite3_get_autocommit(db)) {
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL); /* the reason is reported already */
    }
    return status;
}

enum fan_status store_migrate(sqlite3 *db, const char *data_dir, const char *path, int from,
                              const struct migration_plan *plan, struct fan_error *reterr)
{
    for (int version = from; version < STORE_SCHEMA_VERSION; version++) {
        if (plan_find(plan, version) == NULL) {
            (void)fan_fail(reterr, FAN_FATAL,
                           "cannot migrate store \"%s\": schema version %d is not known", path,
                           version);
            fan_error_annotate(reterr, "STORE_INVALID", "use the version of pgfan that wrote it");
            return FAN_FATAL;
        }
    }
    enum fan_status status = backup_make(db, data_dir, path, from, reterr);
    if (status == FAN_OK) {
        status = steps_run(db, path, from, plan, reterr);
    }
    if (status == FAN_OK) {
        log_write(LOG_INFO, "store migrated", LOG_TEXT("store", path), LOG_NUMBER("from", from),
                  LOG_NUMBER("to", STORE_SCHEMA_VERSION));
    }
    return status;
}
