/* search.c - finds letters: lists, slices and counts. */
#include <string.h>

#include "base/assert.h"
#include "deadletter/letter.h"
#include "store/store.h"

/* One walk over the store with a filter, and where it has come. */
struct looking {
    const struct deadletter_filter *filter;
    deadletter_see *see;
    void *context;
    uint64_t wanted;
    int64_t number; /* of the last letter that was looked at */
    struct store_position position;
    bool ended; /* by see(), or because nothing more is wanted */
};

static bool looking_match(void *context, const struct store_letter *row)
{
    struct looking *looking = context;
    looking->number = row->number;
    looking->position = (struct store_position){row->commit_lsn, row->seq};
    const struct deadletter letter = letter_of_row(row);
    return letter_matches(&letter, looking->filter);
}

static bool looking_see(void *context, const struct store_letter *row)
{
    struct looking *looking = context;
    const struct deadletter letter = letter_of_row(row);
    looking->wanted--;
    looking->ended = !looking->see(looking->context, &letter) || looking->wanted == 0;
    return !looking->ended;
}

enum fan_status deadletter_scan(struct store *store, const struct deadletter_filter *filter,
                                bool with_payload, struct deadletter_scan *scan,
                                deadletter_see *see, void *context, struct fan_error *reterr)
{
    if (scan->wanted == 0) {
        scan->done = true;
        return FAN_OK;
    }
    int64_t first = filter->number > 0 ? filter->number - 1 : 0;
    int64_t after = filter->after_number > first ? filter->after_number : first;
    struct looking looking = {
        .filter = filter, .see = see, .context = context, .wanted = scan->wanted};
    const struct store_letter_walk walk = {
        .order = STORE_LETTERS_BY_NUMBER,
        .after_number = scan->after_number > after ? scan->after_number : after,
        .rows_max = filter->number > 0 ? 1 : DEADLETTER_SLICE,
        .with_payload = with_payload,
        .match = looking_match,
        .see = looking_see,
        .context = &looking,
    };
    looking.number = walk.after_number;
    uint64_t rows = 0;
    enum fan_status status = store_letter_walk(store, &walk, &rows, reterr);
    if (status == FAN_OK) {
        scan->after_number = looking.number;
        scan->wanted = looking.wanted;
        scan->done = looking.ended || rows < DEADLETTER_SLICE;
    }
    return status;
}

static enum fan_status list_by_number(struct store *store, const struct deadletter_filter *filter,
                                      uint64_t limit, deadletter_see *see, void *context,
                                      struct fan_error *reterr)
{
    struct deadletter_scan scan = {.wanted = limit};
    enum fan_status status = FAN_OK;
    while (status == FAN_OK && !scan.done) {
        status = deadletter_scan(store, filter, true, &scan, see, context, reterr);
    }
    return status;
}

enum fan_status deadletter_list(struct store *store, const struct deadletter_filter *filter,
                                enum deadletter_order order, uint64_t limit, deadletter_see *see,
                                void *context, struct fan_error *reterr)
{
    if (order == LETTERS_BY_NUMBER) {
        return list_by_number(store, filter, limit, see, context, reterr);
    }
    FAN_ASSERT(filter->pipeline != NULL && filter->target != NULL);
    struct looking looking = {.filter = filter, .see = see, .context = context, .wanted = limit};
    const struct store_letter_walk walk = {
        .order = STORE_LETTERS_BY_POSITION,
        .pipeline = filter->pipeline,
        .target = filter->target,
        .cause = (int)filter->cause,
        .after_number = filter->after_number,
        .rows_max = UINT64_MAX,
        .with_payload = true,
        .match = looking_match,
        .see = looking_see,
        .context = &looking,
    };
    uint64_t rows = 0;
    return limit == 0 ? FAN_OK : store_letter_walk(store, &walk, &rows, reterr);
}

/* ---- counts ---- */

struct counting {
    const struct deadletter_filter *filter;
    struct deadletter_count *count;
};

static void count_total(void *context, const struct store_letter_total *total)
{
    struct counting *counting = context;
    const struct deadletter_filter *filter = counting->filter;
    if ((filter->pipeline != NULL && strcmp(filter->pipeline, total->pipeline) != 0) ||
        (filter->target != NULL && strcmp(filter->target, total->target) != 0) ||
        (filter->cause != 0 && (int)filter->cause != total->cause)) {
        return;
    }
    counting->count->entries += total->entries;
    counting->count->bytes += total->bytes;
    if (total->cause >= LETTER_POISON && total->cause <= LETTER_ISOLATED) {
        counting->count->by_cause[total->cause] += total->entries;
    }
}

static void count_oldest(struct deadletter_count *count, int64_t first_us)
{
    if (count->oldest_us == 0 || first_us < count->oldest_us) {
        count->oldest_us = first_us;
    }
}

static bool count_see(void *context, const struct deadletter *letter)
{
    struct deadletter_count *count = context;
    count->entries++;
    count->bytes += (uint64_t)letter->payload_size + letter->label_size;
    if (letter->cause >= LETTER_POISON && letter->cause <= LETTER_ISOLATED) {
        count->by_cause[letter->cause]++;
    }
    count_oldest(count, letter->first_us);
    return true;
}

static bool oldest_see(void *context, const struct deadletter *letter)
{
    count_oldest(context, letter->first_us);
    return false;
}

static bool sums_answer(const struct deadletter_filter *filter)
{
    return filter->table == NULL && filter->key == NULL && filter->error == NULL &&
           filter->since_us == 0 && filter->number == 0 && filter->after_number == 0;
}

/* The letter that was added first: in all but odd cases it was attempted first, too. */
static enum fan_status find_oldest(struct store *store, const struct deadletter_filter *filter,
                                   struct deadletter_count *count, struct fan_error *reterr)
{
    if (filter->pipeline == NULL || filter->target == NULL) {
        struct deadletter_scan scan = {.wanted = 1};
        return deadletter_scan(store, filter, false, &scan, oldest_see, count, reterr);
    }
    struct looking looking = {.filter = filter, .see = oldest_see, .context = count, .wanted = 1};
    const struct store_letter_walk walk = {.order = STORE_LETTERS_BY_POSITION,
                                           .pipeline = filter->pipeline,
                                           .target = filter->target,
                                           .cause = (int)filter->cause,
                                           .rows_max = 1,
                                           .match = looking_match,
                                           .see = looking_see,
                                           .context = &looking};
    uint64_t rows = 0;
    return store_letter_walk(store, &walk, &rows, reterr);
}

enum fan_status deadletter_count_step(struct store *store, const struct deadletter_filter *filter,
                                      struct deadletter_scan *scan, struct deadletter_count *count,
                                      struct fan_error *reterr)
{
    if (!sums_answer(filter)) {
        scan->wanted = UINT64_MAX;
        return deadletter_scan(store, filter, false, scan, count_see, count, reterr);
    }
    struct counting counting = {.filter = filter, .count = count};
    enum fan_status status = store_letter_totals_each(store, count_total, &counting, reterr);
    if (status == FAN_OK && count->entries > 0) {
        status = find_oldest(store, filter, count, reterr);
    }
    scan->done = status == FAN_OK;
    return status;
}

enum fan_status deadletter_count(struct store *store, const struct deadletter_filter *filter,
                                 struct deadletter_count *ret_count, struct fan_error *reterr)
{
    struct deadletter_count count = {0};
    struct deadletter_scan scan = {0};
    enum fan_status status = FAN_OK;
    while (status == FAN_OK && !scan.done) {
        status = deadletter_count_step(store, filter, &scan, &count, reterr);
    }
    if (status == FAN_OK) {
        *ret_count = count;
    }
    return status;
}
