/* backlog.c - letters that are on their way out: delivered ones, and an isolated target's. */
#include "deadletter/letter.h"
#include "store/store.h"

enum fan_status deadletter_delivered(struct store *store, const int64_t *numbers, size_t count,
                                     struct fan_error *reterr)
{
    enum fan_status status = store_begin(store, reterr);
    if (status != FAN_OK) {
        return status;
    }
    for (size_t i = 0; status == FAN_OK && i < count; i++) {
        status = store_letter_remove(store, numbers[i], reterr);
    }
    return letter_end(store, status, reterr);
}

/* ---- an isolated target's ---- */

struct reading {
    deadletter_see *see;
    void *context;
    uint64_t bytes_left;
    bool stopped; /* see() wants no more */
};

static bool reading_see(void *context, const struct store_letter *row)
{
    struct reading *reading = context;
    const struct deadletter letter = letter_of_row(row);
    if (!reading->see(reading->context, &letter) || letter.payload_size >= reading->bytes_left) {
        return false;
    }
    reading->bytes_left -= letter.payload_size;
    return true;
}

enum fan_status deadletter_backlog(struct store *store, const char *pipeline, const char *target,
                                   uint64_t after_lsn, int64_t after_seq, uint64_t entries,
                                   uint64_t bytes, deadletter_see *see, void *context,
                                   struct fan_error *reterr)
{
    struct reading reading = {.see = see, .context = context, .bytes_left = bytes};
    const struct store_letter_walk walk = {
        .order = STORE_LETTERS_BY_POSITION,
        .pipeline = pipeline,
        .target = target,
        .cause = LETTER_ISOLATED,
        .has_after = true,
        .after = {after_lsn, after_seq},
        .rows_max = entries,
        .with_payload = true,
        .see = reading_see,
        .context = &reading,
    };
    uint64_t rows = 0;
    return store_letter_walk(store, &walk, &rows, reterr);
}

enum fan_status deadletter_backlog_delivered(struct store *store, const char *pipeline,
                                             const char *target, uint64_t lsn, int64_t seq,
                                             struct fan_error *reterr)
{
    enum fan_status status = store_begin(store, reterr);
    if (status != FAN_OK) {
        return status;
    }
    status = store_letter_remove_upto(store, pipeline, target, LETTER_ISOLATED,
                                      (struct store_position){lsn, seq}, reterr);
    return letter_end(store, status, reterr);
}

enum fan_status deadletter_backlog_range(struct store *store, const char *pipeline,
                                         const char *target, uint64_t *ret_entries,
                                         uint64_t *ret_first_lsn, int64_t *ret_first_seq,
                                         uint64_t *ret_last_lsn, int64_t *ret_last_seq,
                                         struct fan_error *reterr)
{
    const struct deadletter_filter filter = {
        .pipeline = pipeline, .target = target, .cause = LETTER_ISOLATED};
    struct deadletter_count count;
    struct store_position first = {0};
    struct store_position last = {0};
    bool found = false;
    enum fan_status status = deadletter_count(store, &filter, &count, reterr);
    if (status == FAN_OK && count.entries > 0) {
        status = store_letter_edge(store, pipeline, target, LETTER_ISOLATED, false, &found, &first,
                                   reterr);
    }
    if (status == FAN_OK && count.entries > 0) {
        status = store_letter_edge(store, pipeline, target, LETTER_ISOLATED, true, &found, &last,
                                   reterr);
    }
    if (status != FAN_OK) {
        return status;
    }
    *ret_entries = count.entries;
    if (count.entries > 0) {
        *ret_first_lsn = first.lsn;
        *ret_first_seq = first.seq;
        *ret_last_lsn = last.lsn;
        *ret_last_seq = last.seq;
    }
    return FAN_OK;
}

/* ---- keys ---- */

static bool keys_see(void *context, const struct store_letter *row)
{
    struct reading *reading = context;
    const struct deadletter letter = letter_of_row(row);
    reading->stopped = !reading->see(reading->context, &letter);
    return !reading->stopped;
}

enum fan_status deadletter_keys(struct store *store, const char *pipeline, const char *target,
                                deadletter_see *see, void *context, struct fan_error *reterr)
{
    struct reading reading = {.see = see, .context = context};
    enum fan_status status = FAN_OK;
    for (int cause = LETTER_POISON; cause <= LETTER_PARKED && status == FAN_OK && !reading.stopped;
         cause++) {
        const struct store_letter_walk walk = {.order = STORE_LETTERS_BY_POSITION,
                                               .pipeline = pipeline,
                                               .target = target,
                                               .cause = cause,
                                               .rows_max = UINT64_MAX,
                                               .see = keys_see,
                                               .context = &reading};
        uint64_t rows = 0;
        status = store_letter_walk(store, &walk, &rows, reterr);
    }
    return status;
}
