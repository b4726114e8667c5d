/*
 * letter_json.h - dead letters as JSON, and the searches whose results are JSON.
 *
 * The same for the API, where the store is the engine's, and for `pgfan dlq` on the file when no
 * engine runs: a program that reads one reads the other.
 *
 * A search takes the store in slices, and ends after LETTERS_SEARCH_US even when it has not come
 * to the end: its result has `more` and `after` then, and the caller goes on from there.
 */
#ifndef API_LETTER_JSON_H
#define API_LETTER_JSON_H

#include <jansson.h>

#include "deadletter/deadletter.h"
#include "engine/letters.h"

enum {
    LETTERS_SEARCH_US = 500000,
    LETTERS_PAGE_MAX = 1000,
    LETTERS_PAGE_BYTES = 16 << 20, /* of payloads, but for the first of a page */
    LETTER_SHOWN_BYTES = 64 << 10, /* of a payload that is not asked for whole */
};

/* How to get at the store. */
struct letter_access {
    enum fan_status (*run)(void *context, engine_store_work *work, void *work_context,
                           struct fan_error *reterr);
    void *context;
};

/* The engine's store. */
struct letter_access letter_access_engine(struct engine *engine);

/*
 * All results are the caller's to decref.
 *
 *   list   {"dead_letters": [...], "more", "after"}: up to `limit`, with payloads or without
 *   count  {"count", "bytes", "by_cause": {...}, "oldest_at", "more", "after"}
 *   show   one letter, its payload cut behind `payload_max` bytes; FAN_POISON with the code
 *          DEAD_LETTER_NOT_FOUND when there is none of that number
 *   purge  {"purged", "more", "after"}: up to `limit`
 */
enum fan_status letters_list(const struct letter_access *access,
                             const struct deadletter_filter *filter, uint64_t limit,
                             bool with_payload, json_t **ret_value,
                             struct fan_error *reterr) FAN_MUST_CHECK;
enum fan_status letters_count(const struct letter_access *access,
                              const struct deadletter_filter *filter, json_t **ret_value,
                              struct fan_error *reterr) FAN_MUST_CHECK;
enum fan_status letters_show(const struct letter_access *access, int64_t number, size_t payload_max,
                             json_t **ret_value, struct fan_error *reterr) FAN_MUST_CHECK;
enum fan_status letters_purge(const struct letter_access *access,
                              const struct deadletter_filter *filter, uint64_t limit,
                              json_t **ret_value, struct fan_error *reterr) FAN_MUST_CHECK;

#endif
