#include "store/store.h"

#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "store/connection.h"
#include "store/directory.h"
#include "store/fault.h"
#include "store/schema.h"
#include "store/store_internal.h"

enum { SQL_MAX = 4096, CHECK_PAGES = 256 };

static void sql_columns(struct bytes *sql, const struct schema_record *record, size_t first,
                        const char *prefix, const char *suffix)
{
    for (size_t i = first; i < record->fields_count; i++) {
        bytes_append_format(sql, "%s%s%s%s", i == first ? "" : ", ", prefix,
                            prefix[0] == '?' ? "" : record->fields[i].column, suffix);
        if (suffix[0] == '=') {
            bytes_append_format(sql, "excluded.%s", record->fields[i].column);
        }
    }
}

static void sql_load(struct bytes *sql, const struct schema_record *record)
{
    bytes_append_text(sql, "SELECT ");
    sql_columns(sql, record, 0, "", "");
    bytes_append_format(sql, " FROM %s ORDER BY %s LIMIT %zu", record->table, record->load_order,
                        record->rows_max + 1);
}

static void sql_save(struct bytes *sql, const struct schema_record *record)
{
    bytes_append_format(sql, "INSERT INTO %s (", record->table);
    sql_columns(sql, record, 0, "", "");
    bytes_append_text(sql, ") VALUES (");
    sql_columns(sql, record, 0, "?", "");
    bytes_append_text(sql, ") ON CONFLICT DO UPDATE SET ");
    sql_columns(sql, record, record->keys_count, "", "=");
}

static void sql_remove(struct bytes *sql, const struct schema_record *record)
{
    bytes_append_format(sql, "DELETE FROM %s WHERE %s = ?1",
                        record->remove_from != NULL ? record->remove_from : record->table,
                        record->fields[0].column);
    if (record->keys_count > 1) {
        bytes_append_format(sql, " AND (?2 = '' OR %s = ?2)", record->fields[1].column);
    }
}

static int statement_prepare(sqlite3 *db, const struct schema_record *record,
                             void (*write_sql)(struct bytes *, const struct schema_record *),
                             sqlite3_stmt **ret_statement)
{
    struct bytes sql;
    bytes_init(&sql, SQL_MAX);
    write_sql(&sql, record);
    const char *text = bytes_text(&sql);
    int result = bytes_ok(&sql) ? sqlite3_prepare_v3(db, text, -1, SQLITE_PREPARE_PERSISTENT,
                                                     ret_statement, NULL)
                                : SQLITE_NOMEM;
    bytes_release(&sql);
    return result;
}

static int kind_prepare(sqlite3 *db, const struct schema_record *record,
                        struct store_statements *statements)
{
    int result = statement_prepare(db, record, sql_load, &statements->load);
    if (result == SQLITE_OK && !record->derived) {
        result = statement_prepare(db, record, sql_save, &statements->save);
    }
    return result == SQLITE_OK ? statement_prepare(db, record, sql_remove, &statements->remove)
                               : result;
}

static enum fan_status store_prepare(struct store *store, struct fan_error *reterr)
{
    int64_t version = 0;
    int result = connection_integer(store->db, "PRAGMA user_version", &version);
    store->version = (int)version;
    if (result == SQLITE_OK) {
        result = sqlite3_prepare_v3(store->db, "SELECT confirmed FROM source WHERE source = ?1", -1,
                                    SQLITE_PREPARE_PERSISTENT, &store->confirmed, NULL);
    }
    for (size_t i = 0; i < STORE_KINDS && result == SQLITE_OK; i++) {
        store->records[i] = schema_records[i];
        if (store->version == 1 && store->records[i].fields_count_v1 != 0) {
            store->records[i].fields_count = store->records[i].fields_count_v1;
        }
        if (schema_records[i].version <= store->version) {
            result = kind_prepare(store->db, &store->records[i], &store->statements[i]);
        }
    }
    if (result == SQLITE_OK) {
        result = letter_prepare(store);
    }
    if (result == SQLITE_ERROR) {
        /* Right application_id and version, but a table or column is not there. */
        return store_fault_corrupt(store->path, sqlite3_errmsg(store->db), reterr);
    }
    return result == SQLITE_OK ? FAN_OK
                               : store_fault(store->db, result, store->path, "open", reterr);
}

static enum fan_status store_name_paths(struct store *store, const char *data_dir,
                                        struct fan_error *reterr)
{
    int directory = snprintf(store->data_dir, sizeof(store->data_dir), "%s", data_dir);
    int path = snprintf(store->path, sizeof(store->path), "%s/pgfan.db", data_dir);
    if (directory >= (int)sizeof(store->data_dir) || path >= (int)sizeof(store->path)) {
        return fan_fail(reterr, FAN_FATAL, "data directory \"%s\" has too long a name", data_dir);
    }
    return FAN_OK;
}

static bool store_is_large(struct store *store, uint64_t bytes_max)
{
    int64_t pages = 0;
    int64_t page_size = 0;
    return connection_integer(store->db, "PRAGMA page_count", &pages) == SQLITE_OK &&
           connection_integer(store->db, "PRAGMA page_size", &page_size) == SQLITE_OK &&
           (uint64_t)pages * (uint64_t)page_size > bytes_max;
}

enum fan_status store_open(const char *data_dir, const struct store_options *options,
                           struct store **ret_store, struct fan_error *reterr)
{
    struct store_options effective = *options;
    if (effective.quick_check_max_bytes == 0) {
        effective.quick_check_max_bytes = 256ULL << 20;
    }
    struct store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not open the store: out of memory");
    }
    enum fan_status status = store_name_paths(store, data_dir, reterr);
    if (status == FAN_OK) {
        status = directory_prepare(data_dir, effective.create && !effective.read_only, reterr);
    }
    if (status == FAN_OK) {
        status = connection_open(store->data_dir, store->path, &effective, &store->db, reterr);
    }
    if (status == FAN_OK) {
        status = store_prepare(store, reterr);
    }
    if (status != FAN_OK) {
        store_close(store);
        return status;
    }
    struct stat named;
    if (stat(store->path, &named) == 0) {
        store->device = named.st_dev;
        store->inode = named.st_ino;
    } /* else the first save finds that it is gone */
    store->needs_check = store_is_large(store, effective.quick_check_max_bytes);
    *ret_store = store;
    return FAN_OK;
}

static void check_abandon(struct store *store)
{
    if (store->backup != NULL) {
        (void)sqlite3_backup_finish(store->backup); /* an unfinished copy is thrown away */
        store->backup = NULL;
    }
    (void)sqlite3_close(store->copy); /* accepts NULL */
    store->copy = NULL;
}

void store_close(struct store *store)
{
    if (store == NULL) {
        return;
    }
    check_abandon(store);
    for (size_t i = 0; i < STORE_KINDS; i++) {
        /* Finalizing repeats the result of the last step, which its caller has seen. */
        (void)sqlite3_finalize(store->statements[i].load);
        (void)sqlite3_finalize(store->statements[i].save);
        (void)sqlite3_finalize(store->statements[i].remove);
    }
    (void)sqlite3_finalize(store->confirmed);
    letter_release(store);
    (void)sqlite3_close(store->db); /* every statement is finalized */
    free(store);
}

/* Copies one column into its field; false when a text is longer than the field. */
static bool column_read(sqlite3_stmt *statement, int column, const struct schema_field *field,
                        char *record)
{
    int64_t number = sqlite3_column_int64(statement, column);
    switch (field->type) {
    case SCHEMA_TEXT: {
        const unsigned char *text = sqlite3_column_text(statement, column);
        size_t size = (size_t)sqlite3_column_bytes(statement, column);
        if (text == NULL || size >= field->size) {
            return false;
        }
        memcpy(record + field->offset, text, size);
        return true;
    }
    case SCHEMA_INT32: {
        int value = (int)number;
        memcpy(record + field->offset, &value, sizeof(value));
        return value == number;
    }
    case SCHEMA_UINT32: {
        uint32_t value = (uint32_t)number;
        memcpy(record + field->offset, &value, sizeof(value));
        return value == number;
    }
    case SCHEMA_INT64:
    case SCHEMA_UINT64:
        memcpy(record + field->offset, &number, sizeof(number));
        return true;
    }
    return false;
}

static bool row_read(sqlite3_stmt *statement, const struct schema_record *record, char *item)
{
    memset(item, 0, record->size);
    for (size_t i = 0; i < record->fields_count; i++) {
        if (!column_read(statement, (int)i, &record->fields[i], item)) {
            return false;
        }
    }
    return true;
}

static bool items_grow(char **items, size_t *capacity, size_t item_size)
{
    size_t wanted = *capacity == 0 ? 16 : *capacity * 2;
    char *grown = realloc(*items, wanted * item_size);
    if (grown == NULL) {
        return false;
    }
    *items = grown;
    *capacity = wanted;
    return true;
}

/* Reads at most rows_max rows; `ret_more` says that there was another one. */
static int rows_read(sqlite3_stmt *statement, const struct schema_record *record, char **items,
                     size_t *ret_count, bool *ret_more)
{
    size_t capacity = 0;
    int result;
    *ret_more = false;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        if (*ret_count == record->rows_max) {
            *ret_more = true;
            return SQLITE_OK;
        }
        if (*ret_count == capacity && !items_grow(items, &capacity, record->size)) {
            return SQLITE_NOMEM;
        }
        if (!row_read(statement, record, *items + *ret_count * record->size)) {
            return SQLITE_CORRUPT;
        }
        (*ret_count)++;
    }
    return result == SQLITE_DONE ? SQLITE_OK : result;
}

static enum fan_status kind_load(struct store *store, enum store_record_kind kind, void **ret_items,
                                 size_t *ret_count, struct fan_error *reterr)
{
    const struct schema_record *record = &store->records[kind];
    sqlite3_stmt *statement = store->statements[kind].load;
    char *items = NULL;
    size_t count = 0;
    bool more = false;
    if (statement == NULL) {
        return FAN_OK; /* an older file, opened read-only: it has none of these */
    }
    int result = rows_read(statement, record, &items, &count, &more);
    (void)sqlite3_reset(statement); /* repeats the result of the step */
    *ret_items = items;
    *ret_count = count;
    if (result != SQLITE_OK) {
        return result == SQLITE_CORRUPT
                   ? store_fault_corrupt(store->path, record->table, reterr)
                   : store_fault(store->db, result, store->path, "read", reterr);
    }
    if (more && kind != STORE_GAP) {
        (void)fan_fail(reterr, FAN_FATAL, "store \"%s\" holds more than %zu rows of %s",
                       store->path, record->rows_max, record->table);
        fan_error_annotate(reterr, "STORE_TOO_LARGE", "remove what is not needed with --forget");
        return FAN_FATAL;
    }
    return FAN_OK;
}

static void gaps_reverse(struct store_gap *gaps, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        struct store_gap other = gaps[i];
        gaps[i] = gaps[count - 1 - i];
        gaps[count - 1 - i] = other;
    }
}

static enum fan_status totals_load(struct store *store, struct store_state *state,
                                   struct fan_error *reterr)
{
    int64_t gaps = 0;
    int64_t version = 0;
    int result = connection_integer(store->db, "SELECT count(*) FROM gap", &gaps);
    if (result == SQLITE_OK) {
        result = connection_integer(store->db, "PRAGMA user_version", &version);
    }
    if (result == SQLITE_OK) {
        result = connection_integer(store->db, "SELECT value FROM meta WHERE key = 'created_us'",
                                    &state->created_us);
    }
    state->gaps_total = (uint64_t)gaps;
    state->schema_version = (int)version;
    return result == SQLITE_OK ? FAN_OK
                               : store_fault(store->db, result, store->path, "read", reterr);
}

enum fan_status store_load(struct store *store, struct store_state *ret_state,
                           struct fan_error *reterr)
{
    struct store_state state = {0};
    void *items[STORE_KINDS] = {0};
    size_t counts[STORE_KINDS] = {0};
    enum fan_status status = totals_load(store, &state, reterr);
    for (int kind = 0; kind < STORE_KINDS && status == FAN_OK; kind++) {
        status =
            kind_load(store, (enum store_record_kind)kind, &items[kind], &counts[kind], reterr);
    }
    state.sources = items[STORE_SOURCE];
    state.sources_count = counts[STORE_SOURCE];
    state.checkpoints = items[STORE_CHECKPOINT];
    state.checkpoints_count = counts[STORE_CHECKPOINT];
    state.pipelines = items[STORE_PIPELINE];
    state.pipelines_count = counts[STORE_PIPELINE];
    state.gaps = items[STORE_GAP];
    state.gaps_count = counts[STORE_GAP];
    state.letters = items[STORE_LETTER];
    state.letters_count = counts[STORE_LETTER];
    if (status != FAN_OK) {
        store_state_release(&state);
        return status;
    }
    gaps_reverse(state.gaps, state.gaps_count);
    for (size_t i = 0; store->version == 1 && i < state.checkpoints_count; i++) {
        state.checkpoints[i].settled_lsn = state.checkpoints[i].commit_lsn;
        state.checkpoints[i].settled_seq = state.checkpoints[i].seq;
    }
    *ret_state = state;
    return FAN_OK;
}

void store_state_release(struct store_state *state)
{
    free(state->sources);
    free(state->checkpoints);
    free(state->pipelines);
    free(state->gaps);
    free(state->letters);
    *state = (struct store_state){0};
}

static int field_bind(sqlite3_stmt *statement, int index, const struct schema_field *field,
                      const char *record)
{
    const char *at = record + field->offset;
    int64_t number = 0;
    switch (field->type) {
    case SCHEMA_TEXT:
        return sqlite3_bind_text(statement, index, at, (int)strnlen(at, field->size - 1),
                                 SQLITE_STATIC);
    case SCHEMA_INT32: {
        int value;
        memcpy(&value, at, sizeof(value));
        number = value;
        break;
    }
    case SCHEMA_UINT32: {
        uint32_t value;
        memcpy(&value, at, sizeof(value));
        number = value;
        break;
    }
    case SCHEMA_INT64:
    case SCHEMA_UINT64:
        memcpy(&number, at, sizeof(number));
        break;
    }
    return sqlite3_bind_int64(statement, index, number);
}

int statement_finish(sqlite3_stmt *statement)
{
    int result = sqlite3_step(statement);
    (void)sqlite3_reset(statement);          /* repeats the result of the step */
    (void)sqlite3_clear_bindings(statement); /* cannot fail */
    return result == SQLITE_DONE ? SQLITE_OK : result;
}

static int kind_save(struct store *store, enum store_record_kind kind, const void *items,
                     size_t count)
{
    const struct schema_record *record = &store->records[kind];
    sqlite3_stmt *statement = store->statements[kind].save;
    for (size_t item = 0; item < count; item++) {
        const char *at = (const char *)items + item * record->size;
        int result = SQLITE_OK;
        for (size_t i = 0; i < record->fields_count && result == SQLITE_OK; i++) {
            result = field_bind(statement, (int)i + 1, &record->fields[i], at);
        }
        if (result == SQLITE_OK) {
            result = statement_finish(statement);
        }
        if (result != SQLITE_OK) {
            return result;
        }
    }
    return SQLITE_OK;
}

static int removals_run(struct store *store, const struct store_update *update)
{
    int result = SQLITE_OK;
    for (size_t i = 0; i < update->removals_count && result == SQLITE_OK; i++) {
        const struct store_removal *removal = &update->removals[i];
        sqlite3_stmt *statement = store->statements[removal->kind].remove;
        result = sqlite3_bind_text(statement, 1, removal->name, -1, SQLITE_STATIC);
        if (result == SQLITE_OK && schema_records[removal->kind].keys_count > 1) {
            result = sqlite3_bind_text(statement, 2, removal->target, -1, SQLITE_STATIC);
        }
        if (result == SQLITE_OK) {
            result = statement_finish(statement);
        }
    }
    return result;
}

/* INVARIANT (2); inside the transaction, after the removals. */
static enum fan_status acks_check(struct store *store, const struct store_update *update,
                                  struct fan_error *reterr)
{
    for (size_t i = 0; i < update->sources_count; i++) {
        const struct store_source *source = &update->sources[i];
        uint64_t before = 0;
        int result = sqlite3_bind_text(store->confirmed, 1, source->source, -1, SQLITE_STATIC);
        if (result == SQLITE_OK) {
            result = sqlite3_step(store->confirmed);
            if (result == SQLITE_ROW) {
                before = (uint64_t)sqlite3_column_int64(store->confirmed, 0);
            }
        }
        (void)sqlite3_reset(store->confirmed); /* repeats the result of the step */
        if (result != SQLITE_ROW && result != SQLITE_DONE) {
            return store_fault(store->db, result, store->path, "read", reterr);
        }
        if (source->confirmed < before) {
            (void)fan_fail(reterr, FAN_FATAL,
                           "cannot move the confirmed position of source \"%s\" back from %X/%X to "
                           "%X/%X",
                           source->source, (unsigned)(before >> 32), (unsigned)before,
                           (unsigned)(source->confirmed >> 32), (unsigned)source->confirmed);
            fan_error_annotate(reterr, "STORE_ACK_BACKWARDS", NULL);
            return FAN_FATAL;
        }
    }
    return FAN_OK;
}

static enum fan_status update_write(struct store *store, const struct store_update *update,
                                    struct fan_error *reterr)
{
    int result = sqlite3_exec(store->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    result = result != SQLITE_OK ? result : removals_run(store, update);
    if (result == SQLITE_OK) {
        enum fan_status status = acks_check(store, update, reterr);
        if (status != FAN_OK) {
            return status;
        }
        result = kind_save(store, STORE_SOURCE, update->sources, update->sources_count);
    }
    if (result == SQLITE_OK) {
        result = kind_save(store, STORE_CHECKPOINT, update->checkpoints, update->checkpoints_count);
    }
    if (result == SQLITE_OK) {
        result = kind_save(store, STORE_PIPELINE, update->pipelines, update->pipelines_count);
    }
    if (result == SQLITE_OK) {
        result = kind_save(store, STORE_GAP, update->gaps, update->gaps_count);
    }
    if (result == SQLITE_OK) {
        result = sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL);
    }
    return result == SQLITE_OK ? FAN_OK
                               : store_fault(store->db, result, store->path, "save to", reterr);
}

/* A save into a file that nobody can find any more would be lost with the process. */
enum fan_status store_path_check(const struct store *store, struct fan_error *reterr)
{
    struct stat named;
    if (stat(store->path, &named) == 0 && named.st_dev == store->device &&
        named.st_ino == store->inode) {
        return FAN_OK;
    }
    (void)fan_fail(reterr, FAN_FATAL,
                   "cannot save to store \"%s\": somebody removed or replaced the file while it "
                   "was open",
                   store->path);
    fan_error_annotate(reterr, "STORE_MISSING",
                       "stop the engine and put back the file with its log \"pgfan.db-wal\"");
    return FAN_FATAL;
}

enum fan_status store_save(struct store *store, const struct store_update *update,
                           struct fan_error *reterr)
{
    enum fan_status status = store_path_check(store, reterr);
    if (status != FAN_OK) {
        return status;
    }
    status = update_write(store, update, reterr);
    store_rollback(store); /* what is committed stays */
    return status;
}

enum fan_status store_begin(struct store *store, struct fan_error *reterr)
{
    enum fan_status status = store_path_check(store, reterr);
    if (status != FAN_OK) {
        return status;
    }
    int result = sqlite3_exec(store->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    return result == SQLITE_OK ? FAN_OK
                               : store_fault(store->db, result, store->path, "write to", reterr);
}

enum fan_status store_commit(struct store *store, struct fan_error *reterr)
{
    int result = sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL);
    enum fan_status status = result == SQLITE_OK
                                 ? FAN_OK
                                 : store_fault(store->db, result, store->path, "save to", reterr);
    store_rollback(store);
    return status;
}

void store_rollback(struct store *store)
{
    if (!sqlite3_get_autocommit(store->db)) {
        (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL); /* the reason is reported */
    }
}

static enum fan_status store_run(struct store *store, const char *sql, const char *what,
                                 struct fan_error *reterr)
{
    int result = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
    return result == SQLITE_OK ? FAN_OK : store_fault(store->db, result, store->path, what, reterr);
}

enum fan_status store_set_erasing(struct store *store, bool erasing, struct fan_error *reterr)
{
    return store_run(store, erasing ? "PRAGMA secure_delete = ON" : "PRAGMA secure_delete = OFF",
                     "erase from", reterr);
}

enum fan_status store_empty_log(struct store *store, struct fan_error *reterr)
{
    return store_run(store, "PRAGMA wal_checkpoint(TRUNCATE)", "empty the log of", reterr);
}

bool store_needs_background_check(const struct store *store)
{
    return store->needs_check;
}

static bool check_path(const char *data_dir, char path[PATH_MAX])
{
    return snprintf(path, PATH_MAX, "%s/pgfan.db.check", data_dir) < PATH_MAX;
}

static enum fan_status check_begin(struct store *store, struct fan_error *reterr)
{
    char path[PATH_MAX];
    if (!check_path(store->data_dir, path)) {
        return fan_fail(reterr, FAN_FATAL, "cannot name the copy of store \"%s\"", store->path);
    }
    (void)remove(path); /* left by an earlier run, or not there */
    int result = sqlite3_open_v2(
        path, &store->copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (result == SQLITE_OK) {
        /* The copy is read once and thrown away: it need not survive anything. */
        result = sqlite3_exec(store->copy, "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF",
                              NULL, NULL, NULL);
    }
    if (result == SQLITE_OK) {
        store->backup = sqlite3_backup_init(store->copy, "main", store->db, "main");
        result = store->backup != NULL ? SQLITE_OK : sqlite3_errcode(store->copy);
    }
    if (result != SQLITE_OK) {
        enum fan_status status =
            store_fault(store->copy, result, path, "write the copy of", reterr);
        check_abandon(store);
        return status;
    }
    return FAN_OK;
}

enum fan_status store_check_step(struct store *store, struct fan_error *reterr)
{
    if (store->backup == NULL) {
        enum fan_status status = check_begin(store, reterr);
        if (status != FAN_OK) {
            return status;
        }
    }
    int result = sqlite3_backup_step(store->backup, CHECK_PAGES);
    if (result == SQLITE_OK || result == SQLITE_BUSY || result == SQLITE_LOCKED) {
        return FAN_AGAIN;
    }
    enum fan_status status = FAN_OK;
    if (result != SQLITE_DONE) {
        status = store_fault(store->copy, result, store->path, "copy", reterr);
    }
    check_abandon(store);
    store->needs_check = status != FAN_OK;
    return status;
}

enum fan_status store_check_copy(const char *data_dir, struct fan_error *reterr)
{
    char path[PATH_MAX];
    if (!check_path(data_dir, path)) {
        return fan_fail(reterr, FAN_FATAL, "cannot name the copy in \"%s\"", data_dir);
    }
    sqlite3 *db = NULL;
    int result = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    enum fan_status status = result == SQLITE_OK
                                 ? connection_quick_check(db, path, reterr)
                                 : store_fault(db, result, path, "open the copy of", reterr);
    (void)sqlite3_close(db); /* nothing is open on it any more */
    (void)remove(path);      /* another check makes another copy */
    return status;
}

const char *store_sqlite_version(void)
{
    return sqlite3_libversion();
}

bool store_sqlite_has_wal_reset_bug(void)
{
    return sqlite3_libversion_number() < 3051003;
}
