#include "store/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/directory.h"
#include "store/fault.h"
#include "store/migration.h"
#include "store/schema.h"

enum { CACHE_KIB = 2048, WAL_KEEP_BYTES = 4 * 1024 * 1024, CHECK_TEXT_MAX = 200 };

static pthread_once_t log_once = PTHREAD_ONCE_INIT;

/* SQLite's own remarks: damage and I/O errors with their place, and recoveries of the log. */
static void log_callback(void *unused, int code, const char *message)
{
    (void)unused; /* there is one log */
    bool harmless = (code & 0xff) == SQLITE_NOTICE || code == SQLITE_SCHEMA;
    log_write(harmless ? LOG_DEBUG : LOG_WARN, "sqlite", LOG_TEXT("message", message),
              LOG_NUMBER("code", code));
}

static void log_redirect(void)
{
    /* Fails when SQLite is in use already, in a test; then its remarks go nowhere. */
    (void)sqlite3_config(SQLITE_CONFIG_LOG, log_callback, NULL);
}

int connection_integer(sqlite3 *db, const char *sql, int64_t *ret_value)
{
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (result == SQLITE_OK) {
        result = sqlite3_step(statement);
        if (result == SQLITE_ROW) {
            *ret_value = sqlite3_column_int64(statement, 0);
            result = SQLITE_OK;
        } else if (result == SQLITE_DONE) {
            result = SQLITE_CORRUPT; /* every use is of a statement with one row */
        }
    }
    (void)sqlite3_finalize(statement); /* repeats the result of the step */
    return result;
}

enum fan_status connection_quick_check(sqlite3 *db, const char *path, struct fan_error *reterr)
{
    sqlite3_stmt *statement = NULL;
    char finding[CHECK_TEXT_MAX] = "no answer";
    int result = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (result == SQLITE_OK) {
        result = sqlite3_step(statement);
    }
    if (result == SQLITE_ROW) {
        (void)snprintf(finding, sizeof(finding), "%s",
                       (const char *)sqlite3_column_text(statement, 0)); /* may be cut */
        for (char *at = finding; *at != '\0'; at++) {
            if (*at == '\n') {
                *at = ' ';
            }
        }
        result = SQLITE_OK;
    }
    (void)sqlite3_finalize(statement); /* repeats the result of the step */
    if (result != SQLITE_OK && result != SQLITE_DONE) {
        return store_fault(db, result, path, "check", reterr);
    }
    return strcmp(finding, "ok") == 0 ? FAN_OK : store_fault_corrupt(path, finding, reterr);
}

/* One pragma after the other; the first failure ends it. */
static int pragmas_run(sqlite3 *db, const struct store_options *options)
{
    char sizes[160];
    (void)snprintf(sizes, sizeof(sizes),
                   "PRAGMA cache_size = -%d; PRAGMA journal_size_limit = %d;"
                   "PRAGMA max_page_count = %u;",
                   CACHE_KIB, WAL_KEEP_BYTES,
                   options->pages_max != 0 ? options->pages_max : 1073741823U);
    const char *const settings = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF;"
                                 "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;"
                                 "PRAGMA temp_store = MEMORY; PRAGMA secure_delete = OFF;";
    int result = sqlite3_exec(db, settings, NULL, NULL, NULL);
    return result != SQLITE_OK ? result : sqlite3_exec(db, sizes, NULL, NULL, NULL);
}

static int connection_set_up(sqlite3 *db, const struct store_options *options)
{
    int result = sqlite3_extended_result_codes(db, 1);
    if (result == SQLITE_OK) {
        result = sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    }
    if (result == SQLITE_OK) {
        result = sqlite3_busy_timeout(
            db, options->busy_timeout_ms != 0 ? (int)options->busy_timeout_ms : 5000);
    }
    return result == SQLITE_OK ? pragmas_run(db, options) : result;
}

static int schema_write(sqlite3 *db)
{
    char tail[256];
    (void)snprintf(tail, sizeof(tail),
                   "INSERT INTO meta VALUES ('created_us', %lld); PRAGMA application_id = %d;"
                   "PRAGMA user_version = %d; COMMIT;",
                   (long long)clock_wall_us(), STORE_APPLICATION_ID, STORE_SCHEMA_VERSION);
    int result = sqlite3_exec(db, "PRAGMA synchronous = EXTRA; BEGIN IMMEDIATE;", NULL, NULL, NULL);
    if (result == SQLITE_OK) {
        result = sqlite3_exec(db, schema_create_sql, NULL, NULL, NULL);
    }
    return result == SQLITE_OK ? sqlite3_exec(db, tail, NULL, NULL, NULL) : result;
}

static enum fan_status store_write_new(const char *new_path, struct fan_error *reterr)
{
    /* Made by us first, so that its mode does not depend on the umask. */
    FAN_CLEANUP(fan_close_p)
    int descriptor = open(new_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0) {
        int reason = errno;
        enum fan_status status = reason == ENOSPC || reason == EDQUOT ? FAN_RETRY : FAN_FATAL;
        (void)fan_fail_errno(reterr, status, reason, "cannot make store \"%s\"", new_path);
        fan_error_annotate(reterr, status == FAN_RETRY ? "STORE_FULL" : "STORE_READ_ONLY",
                           "the data directory must be writable and its disk must have space");
        return status;
    }
    sqlite3 *db = NULL;
    int result = sqlite3_open_v2(new_path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (result == SQLITE_OK) {
        result = schema_write(db);
    }
    enum fan_status status = FAN_OK;
    if (result != SQLITE_OK) {
        status = store_fault(db, result, new_path, "make", reterr);
    }
    (void)sqlite3_close(db); /* nothing is open on it any more */
    return status == FAN_OK ? directory_sync_file(new_path, reterr) : status;
}

/* Makes an empty store under another name and renames it: INVARIANT (4). */
static enum fan_status store_create(const char *data_dir, const char *path,
                                    struct fan_error *reterr)
{
    char new_path[PATH_MAX];
    if (snprintf(new_path, sizeof(new_path), "%s.new", path) >= (int)sizeof(new_path)) {
        return fan_fail(reterr, FAN_FATAL, "data directory \"%s\" has too long a name", data_dir);
    }
    (void)unlink(new_path); /* left by a start that was interrupted, or not there */
    enum fan_status status = store_write_new(new_path, reterr);
    if (status == FAN_OK && rename(new_path, path) != 0) {
        status = fan_fail_errno(reterr, FAN_RETRY, errno, "could not rename \"%s\"", new_path);
    }
    if (status != FAN_OK) {
        (void)unlink(new_path); /* half a store is of no use */
        return status;
    }
    return directory_sync(data_dir, reterr);
}

/* A log without its file is not replayed into a new one: it may hold the newest saves. */
static enum fan_status refuse_lonely_log(const char *path, struct fan_error *reterr)
{
    char log_path[PATH_MAX];
    struct stat status;
    if (snprintf(log_path, sizeof(log_path), "%s-wal", path) < (int)sizeof(log_path) &&
        stat(log_path, &status) == 0 && status.st_size > 0) {
        return store_fault_corrupt(path, "the file is missing, but its log \"pgfan.db-wal\" exists",
                                   reterr);
    }
    return FAN_OK;
}

static enum fan_status refuse_file(const char *path, const struct stat *status, bool read_only,
                                   struct fan_error *reterr)
{
    if (!S_ISREG(status->st_mode)) {
        (void)fan_fail(reterr, FAN_FATAL, "\"%s\" is not a store of pgfan: not a regular file",
                       path);
        fan_error_annotate(reterr, "STORE_FOREIGN", "point data_dir to another directory");
        return FAN_FATAL;
    }
    if (status->st_uid != geteuid()) {
        (void)fan_fail(reterr, FAN_FATAL,
                       "store \"%s\" belongs to user %lu, but the engine runs as user %lu", path,
                       (unsigned long)status->st_uid, (unsigned long)geteuid());
        fan_error_annotate(reterr, "STORE_OWNER", "run the engine as the file's owner, or chown");
        return FAN_FATAL;
    }
    if (status->st_size == 0) {
        return store_fault_corrupt(path, "the file is empty", reterr);
    }
    /* Asked by mode too, because the superuser may write to what somebody made read-only. */
    if (!read_only && ((status->st_mode & S_IWUSR) == 0 || access(path, W_OK) != 0)) {
        (void)fan_fail(reterr, FAN_FATAL, "store \"%s\" is read-only", path);
        fan_error_annotate(reterr, "STORE_READ_ONLY",
                           "make the file and its directory writable for the engine's user");
        return FAN_FATAL;
    }
    return FAN_OK;
}

static enum fan_status store_find(const char *data_dir, const char *path,
                                  const struct store_options *options, struct fan_error *reterr)
{
    struct stat file;
    if (lstat(path, &file) == 0) {
        return refuse_file(path, &file, options->read_only, reterr);
    }
    if (errno != ENOENT || !options->create || options->read_only) {
        (void)fan_fail_errno(reterr, FAN_FATAL, errno, "cannot open store \"%s\"", path);
        fan_error_annotate(reterr, "STORE_MISSING", "check data_dir in the conf");
        return FAN_FATAL;
    }
    enum fan_status status = refuse_lonely_log(path, reterr);
    return status == FAN_OK ? store_create(data_dir, path, reterr) : status;
}

static enum fan_status refuse_foreign(const char *path, int64_t application_id,
                                      struct fan_error *reterr)
{
    (void)fan_fail(reterr, FAN_FATAL,
                   "\"%s\" is not a store of pgfan: its application_id is %lld, not %d", path,
                   (long long)application_id, STORE_APPLICATION_ID);
    fan_error_annotate(reterr, "STORE_FOREIGN",
                       "point data_dir to another directory, or move the file away");
    return FAN_FATAL;
}

static enum fan_status refuse_newer(const char *path, int64_t version, struct fan_error *reterr)
{
    (void)fan_fail(reterr, FAN_FATAL,
                   "store \"%s\" has schema version %lld, but this pgfan knows only up to %d", path,
                   (long long)version, STORE_SCHEMA_VERSION);
    fan_error_annotate(reterr, "STORE_NEWER",
                       "run the newer pgfan that wrote it, or go back to \"%s.v%d.bak\" if it is "
                       "still current",
                       path, STORE_SCHEMA_VERSION);
    return FAN_FATAL;
}

/* Whose file it is, whether it is sound, and of which version: in this order, because a foreign
 * file must not even be checked, and a damaged one not migrated. */
static enum fan_status connection_identify(sqlite3 *db, const char *path,
                                           const struct store_options *options,
                                           int64_t *ret_version, struct fan_error *reterr)
{
    int64_t application_id = 0;
    int64_t version = 0;
    int64_t pages = 0;
    int64_t page_size = 0;
    int result = connection_integer(db, "PRAGMA application_id", &application_id);
    result = result != SQLITE_OK ? result : connection_integer(db, "PRAGMA user_version", &version);
    result = result != SQLITE_OK ? result : connection_integer(db, "PRAGMA page_count", &pages);
    result = result != SQLITE_OK ? result : connection_integer(db, "PRAGMA page_size", &page_size);
    if (result != SQLITE_OK) {
        return store_fault(db, result, path, "open", reterr);
    }
    if (application_id != STORE_APPLICATION_ID) {
        return refuse_foreign(path, application_id, reterr);
    }
    if (version > STORE_SCHEMA_VERSION) {
        return refuse_newer(path, version, reterr);
    }
    if (!options->read_only && sqlite3_db_readonly(db, "main") != 0) {
        return store_fault(db, SQLITE_READONLY, path, "write to", reterr);
    }
    *ret_version = version;
    uint64_t bytes = (uint64_t)pages * (uint64_t)page_size;
    return bytes > options->quick_check_max_bytes ? FAN_OK
                                                  : connection_quick_check(db, path, reterr);
}

static enum fan_status connection_prepare(sqlite3 *db, const char *data_dir, const char *path,
                                          const struct store_options *options,
                                          struct fan_error *reterr)
{
    int result = connection_set_up(db, options);
    if (result != SQLITE_OK) {
        return store_fault(db, result, path, "open", reterr);
    }
    int64_t version = 0;
    enum fan_status status = connection_identify(db, path, options, &version, reterr);
    if (status != FAN_OK) {
        return status;
    }
    if (options->read_only) {
        result = sqlite3_exec(db, "PRAGMA query_only = ON", NULL, NULL, NULL);
        return result == SQLITE_OK ? FAN_OK : store_fault(db, result, path, "open", reterr);
    }
    result =
        sqlite3_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;", NULL, NULL, NULL);
    if (result != SQLITE_OK) {
        return store_fault(db, result, path, "open", reterr);
    }
    if (version == STORE_SCHEMA_VERSION) {
        return FAN_OK;
    }
    return store_migrate(db, data_dir, path, (int)version,
                         options->migrations != NULL ? options->migrations : &store_migrations,
                         reterr);
}

enum fan_status connection_open(const char *data_dir, const char *path,
                                const struct store_options *options, sqlite3 **ret_db,
                                struct fan_error *reterr)
{
    (void)pthread_once(&log_once, log_redirect); /* fails only for a bad argument */
    enum fan_status status = store_find(data_dir, path, options, reterr);
    if (status != FAN_OK) {
        return status;
    }
    sqlite3 *db = NULL;
    int result = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (result != SQLITE_OK) {
        status = store_fault(db, result, path, "open", reterr);
    } else {
        status = connection_prepare(db, data_dir, path, options, reterr);
    }
    if (status != FAN_OK) {
        (void)sqlite3_close(db); /* the reason is reported already */
        return status;
    }
    *ret_db = db;
    return FAN_OK;
}
