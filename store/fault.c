#include "store/fault.h"

#include <errno.h>
#include <stddef.h>

#define HINT_CORRUPT                                                                               \
    "keep the file for inspection; put back a copy of the data directory that was made while "     \
    "the engine was stopped, or move \"%s\" away and adopt the slot with --adopt-slot"

enum fan_status store_fault_corrupt(const char *path, const char *detail, struct fan_error *reterr)
{
    (void)fan_fail(reterr, FAN_FATAL, "store \"%s\" is damaged: %s", path, detail);
    fan_error_annotate(reterr, "STORE_CORRUPT", HINT_CORRUPT, path);
    return FAN_FATAL;
}

static enum fan_status fault_retry(const char *path, const char *what, const char *reason,
                                   const char *code, const char *hint, int system_errno,
                                   struct fan_error *reterr)
{
    if (system_errno != 0) {
        (void)fan_fail_errno(reterr, FAN_RETRY, system_errno, "could not %s store \"%s\": %s", what,
                             path, reason);
    } else {
        (void)fan_fail(reterr, FAN_RETRY, "could not %s store \"%s\": %s", what, path, reason);
    }
    fan_error_annotate(reterr, code, "%s", hint);
    return FAN_RETRY;
}

enum fan_status store_fault(sqlite3 *db, int result, const char *path, const char *what,
                            struct fan_error *reterr)
{
    int system_errno = db == NULL ? 0 : sqlite3_system_errno(db);
    switch (result & 0xff) {
    case SQLITE_FULL:
        return fault_retry(path, what, "disk full", "STORE_FULL",
                           "free some space on the disk of the data directory", 0, reterr);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return fault_retry(path, what, "another program has it locked", "STORE_LOCKED",
                           "close the program that has the file open, such as a sqlite3 shell", 0,
                           reterr);
    case SQLITE_NOMEM:
        return fault_retry(path, what, "out of memory", "STORE_IO", "", 0, reterr);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        if (system_errno == ENOSPC || system_errno == EDQUOT || system_errno == EFBIG) {
            return fault_retry(path, what, "disk full", "STORE_FULL",
                               "free some space on the disk of the data directory", 0, reterr);
        }
        return fault_retry(path, what, sqlite3_errstr(result), "STORE_IO",
                           "check the disk of the data directory and the kernel log", system_errno,
                           reterr);
    case SQLITE_CORRUPT:
        return store_fault_corrupt(path, db == NULL ? "" : sqlite3_errmsg(db), reterr);
    case SQLITE_NOTADB:
        (void)fan_fail(reterr, FAN_FATAL, "\"%s\" is not a store of pgfan: not a database", path);
        fan_error_annotate(reterr, "STORE_FOREIGN",
                           "point data_dir to another directory, or move the file away");
        return FAN_FATAL;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        (void)fan_fail(reterr, FAN_FATAL, "cannot %s store \"%s\": it is read-only", what, path);
        fan_error_annotate(reterr, "STORE_READ_ONLY",
                           "make the file and its directory writable for the engine's user");
        return FAN_FATAL;
    default:
        (void)fan_fail(reterr, FAN_FATAL, "cannot %s store \"%s\": %s", what, path,
                       db == NULL ? sqlite3_errstr(result) : sqlite3_errmsg(db));
        fan_error_annotate(reterr, "STORE_INVALID",
                           "nothing was written; the log has the library's own words");
        return FAN_FATAL;
    }
}
