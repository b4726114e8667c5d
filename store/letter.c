/*
 * letter.c - the statements of letter.h.
 *
 * NOTES
 * Rows of one (pipeline, target) are found by the index letter_position, those of one cause by
 * letter_cause, all by number. Row values such as (commit_lsn, seq) > (?, ?) use these indexes as
 * plain comparisons do.
 */
#include "store/letter.h"

#include <stdio.h>
#include <string.h>

#include "store/fault.h"
#include "store/store_internal.h"

#define METADATA                                                                                   \
    "number, pipeline, target, source, commit_lsn, seq, hold_lsn, commit_time_us, op, txn_end,"    \
    " id, format, cause, code, error, attempts, first_us, last_us, label,"                         \
    " length(payload)"

static const char *const letter_sql[LETTER_STATEMENTS] = {
    [LETTER_TOUCH] = "UPDATE letter SET attempts = attempts + ?5, code = ?6, error = ?7,"
                     " last_us = max(last_us, ?8), cause = min(cause, ?9)"
                     " WHERE pipeline = ?1 AND target = ?2 AND commit_lsn = ?3 AND seq = ?4",
    [LETTER_INSERT] = "INSERT INTO letter (pipeline, target, source, commit_lsn, seq, hold_lsn,"
                      " commit_time_us, op, txn_end, id, format, cause, code, error, attempts,"
                      " first_us, last_us, label, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8,"
                      " ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
    [LETTER_TOTALS] = "SELECT pipeline, target, cause, entries, bytes FROM letter_total"
                      " ORDER BY pipeline, target, cause",
    [LETTER_BY_NUMBER] = "SELECT " METADATA ", payload FROM letter WHERE number > ?1"
                         " ORDER BY number LIMIT ?2",
    [LETTER_BY_POSITION] = "SELECT " METADATA ", payload FROM letter INDEXED BY letter_position"
                           " WHERE pipeline = ?3 AND target = ?4"
                           " AND (commit_lsn, seq) > (?5, ?6) AND number > ?1"
                           " ORDER BY commit_lsn, seq LIMIT ?2",
    [LETTER_BY_CAUSE] = "SELECT " METADATA ", payload FROM letter INDEXED BY letter_cause"
                        " WHERE pipeline = ?3 AND target = ?4 AND cause = ?7"
                        " AND (commit_lsn, seq) > (?5, ?6) AND number > ?1"
                        " ORDER BY commit_lsn, seq LIMIT ?2",
    [LETTER_REMOVE] = "DELETE FROM letter WHERE number = ?1",
    [LETTER_REMOVE_UPTO] = "DELETE FROM letter WHERE pipeline = ?1 AND target = ?2 AND cause = ?3"
                           " AND (commit_lsn, seq) <= (?4, ?5)",
    [LETTER_FAILED] = "UPDATE letter SET attempts = attempts + 1, code = ?2, error = ?3,"
                      " last_us = max(last_us, ?4) WHERE number = ?1",
    [LETTER_FIRST] = "SELECT commit_lsn, seq FROM letter WHERE pipeline = ?1 AND target = ?2"
                     " AND cause = ?3 ORDER BY commit_lsn, seq LIMIT 1",
    [LETTER_LAST] = "SELECT commit_lsn, seq FROM letter WHERE pipeline = ?1 AND target = ?2"
                    " AND cause = ?3 ORDER BY commit_lsn DESC, seq DESC LIMIT 1",
    [LETTER_BETWEEN] = "SELECT 1 FROM letter WHERE pipeline = ?1 AND target = ?2"
                       " AND (commit_lsn, seq) > (?3, ?4) AND (commit_lsn, seq) < (?5, ?6) LIMIT 1",
    [LETTER_GAP_NEWEST] = "SELECT gap_id, first_lsn, first_seq, last_lsn, last_seq, cause,"
                          " at_us FROM gap"
                          " WHERE pipeline = ?1 AND target = ?2 ORDER BY gap_id LIMIT 1",
    [LETTER_GAP_EXTEND] = "UPDATE gap SET last_lsn = ?4, last_seq = ?5, count = count + ?6,"
                          " at_us = ?7 WHERE pipeline = ?1 AND target = ?2 AND gap_id = ?3",
    [LETTER_GAP_ADD] = "INSERT INTO gap (pipeline, target, gap_id, last_lsn, last_seq, count,"
                       " at_us, first_lsn, first_seq, cause)"
                       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
};

/* Longer after it last grew, a gap row is left as it is: its range tells when things went wrong. */
#define GAP_OPEN_US INT64_C(600000000)

/* Columns of METADATA, the last of which does not read the payload; then the payload itself. */
enum {
    COLUMN_NUMBER,
    COLUMN_PIPELINE,
    COLUMN_TARGET,
    COLUMN_SOURCE,
    COLUMN_COMMIT_LSN,
    COLUMN_SEQ,
    COLUMN_HOLD_LSN,
    COLUMN_COMMIT_TIME,
    COLUMN_OP,
    COLUMN_TXN_END,
    COLUMN_ID,
    COLUMN_FORMAT,
    COLUMN_CAUSE,
    COLUMN_CODE,
    COLUMN_ERROR,
    COLUMN_ATTEMPTS,
    COLUMN_FIRST,
    COLUMN_LAST,
    COLUMN_LABEL,
    COLUMN_PAYLOAD_SIZE,
    COLUMN_PAYLOAD,
};

int letter_prepare(struct store *store)
{
    int result = SQLITE_OK;
    for (size_t i = 0; i < LETTER_STATEMENTS && result == SQLITE_OK && store->version >= 2; i++) {
        result = sqlite3_prepare_v3(store->db, letter_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                                    &store->letters[i], NULL);
    }
    return result;
}

void letter_release(struct store *store)
{
    for (size_t i = 0; i < LETTER_STATEMENTS; i++) {
        (void)sqlite3_finalize(store->letters[i]); /* repeats a result that was seen */
    }
}

/* ---- binding: the first failure stays ---- */

struct binder {
    sqlite3_stmt *statement;
    int next; /* index of the next parameter, from 1 */
    int result;
};

static struct binder bind_begin(struct store *store, enum letter_statement which)
{
    sqlite3_stmt *statement = store->letters[which];
    return (struct binder){.statement = statement,
                           .next = 1,
                           .result = statement == NULL ? SQLITE_READONLY : SQLITE_OK};
}

static void bind_text(struct binder *binder, const char *text)
{
    if (binder->result == SQLITE_OK) {
        binder->result =
            sqlite3_bind_text(binder->statement, binder->next++, text, -1, SQLITE_STATIC);
    }
}

static void bind_number(struct binder *binder, int64_t number)
{
    if (binder->result == SQLITE_OK) {
        binder->result = sqlite3_bind_int64(binder->statement, binder->next++, number);
    }
}

static void bind_position(struct binder *binder, struct store_position position)
{
    bind_number(binder, (int64_t)position.lsn);
    bind_number(binder, position.seq);
}

static void bind_bytes(struct binder *binder, const uint8_t *bytes, size_t size)
{
    if (binder->result == SQLITE_OK) {
        /* A NULL pointer would bind NULL instead of nothing. */
        binder->result =
            sqlite3_bind_blob64(binder->statement, binder->next++,
                                size == 0 ? (const uint8_t *)"" : bytes, size, SQLITE_STATIC);
    }
}

/* Runs a statement that gives no row. */
static enum fan_status run(struct store *store, const struct binder *binder,
                           struct fan_error *reterr)
{
    int result = binder->result == SQLITE_OK ? statement_finish(binder->statement) : binder->result;
    return result == SQLITE_OK ? FAN_OK
                               : store_fault(store->db, result, store->path, "save to", reterr);
}

/* Steps to a row that the caller reads before read_end(). */
static bool read_row(struct binder *binder)
{
    if (binder->result == SQLITE_OK || binder->result == SQLITE_ROW) {
        binder->result = sqlite3_step(binder->statement);
    }
    return binder->result == SQLITE_ROW;
}

static enum fan_status read_end(struct store *store, const struct binder *binder,
                                struct fan_error *reterr)
{
    (void)sqlite3_reset(binder->statement);          /* repeats the result of the step */
    (void)sqlite3_clear_bindings(binder->statement); /* cannot fail */
    switch (binder->result) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return FAN_OK;
    default:
        return store_fault(store->db, binder->result, store->path, "read", reterr);
    }
}

static struct store_position column_position(sqlite3_stmt *statement, int column)
{
    return (struct store_position){(uint64_t)sqlite3_column_int64(statement, column),
                                   sqlite3_column_int64(statement, column + 1)};
}

/* ---- writing ---- */

enum fan_status store_letter_touch(struct store *store, const struct store_letter *letter,
                                   bool *ret_known, struct fan_error *reterr)
{
    struct binder binder = bind_begin(store, LETTER_TOUCH);
    bind_text(&binder, letter->pipeline);
    bind_text(&binder, letter->target);
    bind_position(&binder, (struct store_position){letter->commit_lsn, letter->seq});
    bind_number(&binder, letter->attempts);
    bind_text(&binder, letter->code);
    bind_text(&binder, letter->error);
    bind_number(&binder, letter->last_us);
    bind_number(&binder, letter->cause); /* the stronger one has the lower number */
    enum fan_status status = run(store, &binder, reterr);
    if (status == FAN_OK) {
        *ret_known = sqlite3_changes(store->db) > 0;
    }
    return status;
}

enum fan_status store_letter_insert(struct store *store, const struct store_letter *letter,
                                    struct fan_error *reterr)
{
    struct binder binder = bind_begin(store, LETTER_INSERT);
    bind_text(&binder, letter->pipeline);
    bind_text(&binder, letter->target);
    bind_text(&binder, letter->source);
    bind_position(&binder, (struct store_position){letter->commit_lsn, letter->seq});
    bind_number(&binder, (int64_t)letter->hold_lsn);
    bind_number(&binder, letter->commit_time_us);
    bind_number(&binder, letter->op);
    bind_number(&binder, letter->txn_end);
    bind_text(&binder, letter->id);
    bind_text(&binder, letter->format);
    bind_number(&binder, letter->cause);
    bind_text(&binder, letter->code);
    bind_text(&binder, letter->error);
    bind_number(&binder, letter->attempts);
    bind_number(&binder, letter->first_us);
    bind_number(&binder, letter->last_us);
    bind_bytes(&binder, letter->label, letter->label_size);
    bind_bytes(&binder, letter->payload, letter->payload_size);
    return run(store, &binder, reterr);
}

enum fan_status store_letter_remove(struct store *store, int64_t number, struct fan_error *reterr)
{
    struct binder binder = bind_begin(store, LETTER_REMOVE);
    bind_number(&binder, number);
    return run(store, &binder, reterr);
}

enum fan_status store_letter_remove_upto(struct store *store, const char *pipeline,
                                         const char *target, int cause,
                                         struct store_position position, struct fan_error *reterr)
{
    struct binder binder = bind_begin(store, LETTER_REMOVE_UPTO);
    bind_text(&binder, pipeline);
    bind_text(&binder, target);
    bind_number(&binder, cause);
    bind_position(&binder, position);
    return run(store, &binder, reterr);
}

enum fan_status store_letter_failed(struct store *store, int64_t number, const char *code,
                                    const char *error, int64_t last_us, struct fan_error *reterr)
{
    struct binder binder = bind_begin(store, LETTER_FAILED);
    bind_number(&binder, number);
    bind_text(&binder, code);
    bind_text(&binder, error);
    bind_number(&binder, last_us);
    return run(store, &binder, reterr);
}

/* ---- gap rows ---- */

static int position_compare(struct store_position one, struct store_position other)
{
    if (one.lsn != other.lsn) {
        return one.lsn < other.lsn ? -1 : 1;
    }
    return one.seq < other.seq ? -1 : one.seq > other.seq;
}

struct newest_gap {
    int64_t gap_id; /* 0: there is none of ours */
    struct store_position first;
    struct store_position last;
    bool open; /* it may grow: of the same cause, and grown lately */
};

static enum fan_status newest_gap_read(struct store *store, const struct store_gap *gap,
                                       struct newest_gap *ret_newest, struct fan_error *reterr)
{
    struct binder binder = bind_begin(store, LETTER_GAP_NEWEST);
    bind_text(&binder, gap->pipeline);
    bind_text(&binder, gap->target);
    *ret_newest = (struct newest_gap){0};
    if (read_row(&binder) && sqlite3_column_int64(binder.statement, 0) < 0) {
        const char *cause = (const char *)sqlite3_column_text(binder.statement, 5);
        int64_t at_us = sqlite3_column_int64(binder.statement, 6);
        bool open =
            cause != NULL && strcmp(cause, gap->cause) == 0 && gap->at_us - at_us <= GAP_OPEN_US;
        *ret_newest = (struct newest_gap){.gap_id = sqlite3_column_int64(binder.statement, 0),
                                          .first = column_position(binder.statement, 1),
                                          .last = column_position(binder.statement, 3),
                                          .open = open};
    }
    return read_end(store, &binder, reterr);
}

static enum fan_status any_between(struct store *store, const struct store_gap *gap,
                                   struct store_position after, struct store_position before,
                                   bool *ret_any, struct fan_error *reterr)
{
    struct binder binder = bind_begin(store, LETTER_BETWEEN);
    bind_text(&binder, gap->pipeline);
    bind_text(&binder, gap->target);
    bind_position(&binder, after);
    bind_position(&binder, before);
    *ret_any = read_row(&binder);
    return read_end(store, &binder, reterr);
}

enum fan_status store_gap_note(struct store *store, const struct store_gap *gap,
                               struct fan_error *reterr)
{
    const struct store_position first = {gap->first_lsn, gap->first_seq};
    struct store_position last = {gap->last_lsn, gap->last_seq};
    struct newest_gap newest;
    enum fan_status status = newest_gap_read(store, gap, &newest, reterr);
    bool apart = newest.gap_id == 0 || !newest.open || position_compare(first, newest.first) < 0;
    if (status == FAN_OK && !apart && position_compare(first, newest.last) > 0) {
        status = any_between(store, gap, newest.last, first, &apart, reterr);
    }
    if (status != FAN_OK) {
        return status;
    }
    if (!apart && position_compare(last, newest.last) < 0) {
        last = newest.last;
    }
    struct binder binder = bind_begin(store, apart ? LETTER_GAP_ADD : LETTER_GAP_EXTEND);
    bind_text(&binder, gap->pipeline);
    bind_text(&binder, gap->target);
    bind_number(&binder, apart ? newest.gap_id - 1 : newest.gap_id);
    bind_position(&binder, last);
    bind_number(&binder, (int64_t)gap->count);
    bind_number(&binder, gap->at_us);
    if (apart) {
        bind_position(&binder, first);
        bind_text(&binder, gap->cause);
    }
    return run(store, &binder, reterr);
}

/* ---- reading ---- */

static const char *column_text(sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    return text == NULL ? "" : (const char *)text;
}

/* NULL when memory is out, which the size tells from an empty one. */
static const uint8_t *column_bytes(sqlite3_stmt *statement, int column, size_t *ret_size)
{
    const uint8_t *bytes = sqlite3_column_blob(statement, column);
    *ret_size = (size_t)sqlite3_column_bytes(statement, column);
    return *ret_size == 0 ? (const uint8_t *)"" : bytes;
}

static void letter_read(sqlite3_stmt *statement, struct store_letter *ret_letter)
{
    *ret_letter = (struct store_letter){
        .number = sqlite3_column_int64(statement, COLUMN_NUMBER),
        .pipeline = column_text(statement, COLUMN_PIPELINE),
        .target = column_text(statement, COLUMN_TARGET),
        .source = column_text(statement, COLUMN_SOURCE),
        .commit_lsn = (uint64_t)sqlite3_column_int64(statement, COLUMN_COMMIT_LSN),
        .seq = sqlite3_column_int64(statement, COLUMN_SEQ),
        .hold_lsn = (uint64_t)sqlite3_column_int64(statement, COLUMN_HOLD_LSN),
        .commit_time_us = sqlite3_column_int64(statement, COLUMN_COMMIT_TIME),
        .op = sqlite3_column_int(statement, COLUMN_OP),
        .txn_end = sqlite3_column_int(statement, COLUMN_TXN_END) != 0,
        .id = column_text(statement, COLUMN_ID),
        .format = column_text(statement, COLUMN_FORMAT),
        .cause = sqlite3_column_int(statement, COLUMN_CAUSE),
        .code = column_text(statement, COLUMN_CODE),
        .error = column_text(statement, COLUMN_ERROR),
        .attempts = (uint32_t)sqlite3_column_int64(statement, COLUMN_ATTEMPTS),
        .first_us = sqlite3_column_int64(statement, COLUMN_FIRST),
        .last_us = sqlite3_column_int64(statement, COLUMN_LAST),
        .payload_size = (size_t)sqlite3_column_int64(statement, COLUMN_PAYLOAD_SIZE),
    };
    ret_letter->label = column_bytes(statement, COLUMN_LABEL, &ret_letter->label_size);
}

/* Shows the letter that the statement stands on; false ends the walk. */
static bool letter_show(struct binder *binder, const struct store_letter_walk *walk)
{
    struct store_letter letter;
    letter_read(binder->statement, &letter);
    if (walk->match != NULL && !walk->match(walk->context, &letter)) {
        return true;
    }
    if (walk->with_payload) {
        letter.payload = column_bytes(binder->statement, COLUMN_PAYLOAD, &letter.payload_size);
    }
    if (letter.label == NULL || (walk->with_payload && letter.payload == NULL)) {
        binder->result = SQLITE_NOMEM;
        return false;
    }
    return walk->see(walk->context, &letter);
}

enum fan_status store_letter_walk(struct store *store, const struct store_letter_walk *walk,
                                  uint64_t *ret_rows, struct fan_error *reterr)
{
    *ret_rows = 0;
    if (store->version < 2) {
        return FAN_OK; /* an older file, opened read-only */
    }
    enum letter_statement which = walk->order == STORE_LETTERS_BY_NUMBER ? LETTER_BY_NUMBER
                                  : walk->cause != 0                     ? LETTER_BY_CAUSE
                                                                         : LETTER_BY_POSITION;
    struct binder binder = bind_begin(store, which);
    bind_number(&binder, walk->after_number);
    bind_number(&binder, walk->rows_max > INT64_MAX ? INT64_MAX : (int64_t)walk->rows_max);
    if (which != LETTER_BY_NUMBER) {
        bind_text(&binder, walk->pipeline);
        bind_text(&binder, walk->target);
        /* Before every position: no LSN is negative as SQLite sees it. */
        bind_position(&binder,
                      walk->has_after ? walk->after : (struct store_position){0, INT64_MIN});
    }
    if (which == LETTER_BY_CAUSE) {
        bind_number(&binder, walk->cause);
    }
    bool more = true;
    while (more && read_row(&binder)) {
        (*ret_rows)++;
        more = letter_show(&binder, walk);
    }
    return read_end(store, &binder, reterr);
}

enum fan_status store_letter_totals_each(struct store *store, store_letter_total_see *see,
                                         void *context, struct fan_error *reterr)
{
    if (store->version < 2) {
        return FAN_OK; /* an older file, opened read-only */
    }
    struct binder binder = bind_begin(store, LETTER_TOTALS);
    while (read_row(&binder)) {
        struct store_letter_total total = {
            .cause = sqlite3_column_int(binder.statement, 2),
            .entries = (uint64_t)sqlite3_column_int64(binder.statement, 3),
            .bytes = (uint64_t)sqlite3_column_int64(binder.statement, 4)};
        /* Names are bounded by whoever added them. */
        (void)snprintf(total.pipeline, sizeof(total.pipeline), "%s",
                       column_text(binder.statement, 0));
        (void)snprintf(total.target, sizeof(total.target), "%s", column_text(binder.statement, 1));
        see(context, &total);
    }
    return read_end(store, &binder, reterr);
}

struct sums {
    uint64_t entries;
    uint64_t bytes;
};

static void sums_add(void *context, const struct store_letter_total *total)
{
    struct sums *sums = context;
    sums->entries += total->entries;
    sums->bytes += total->bytes;
}

enum fan_status store_letter_totals(struct store *store, uint64_t *ret_entries, uint64_t *ret_bytes,
                                    struct fan_error *reterr)
{
    struct sums sums = {0};
    enum fan_status status = store_letter_totals_each(store, sums_add, &sums, reterr);
    if (status == FAN_OK) {
        *ret_entries = sums.entries;
        *ret_bytes = sums.bytes;
    }
    return status;
}

enum fan_status store_letter_edge(struct store *store, const char *pipeline, const char *target,
                                  int cause, bool last, bool *ret_found,
                                  struct store_position *ret_position, struct fan_error *reterr)
{
    struct binder binder = bind_begin(store, last ? LETTER_LAST : LETTER_FIRST);
    bind_text(&binder, pipeline);
    bind_text(&binder, target);
    bind_number(&binder, cause);
    bool found = read_row(&binder);
    struct store_position position = {0};
    if (found) {
        position = column_position(binder.statement, 0);
    }
    enum fan_status status = read_end(store, &binder, reterr);
    if (status == FAN_OK) {
        *ret_found = found;
        if (found) {
            *ret_position = position;
        }
    }
    return status;
}
