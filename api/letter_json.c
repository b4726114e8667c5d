#include "api/letter_json.h"

#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "base/clock.h"
#include "base/utf8.h"

static enum fan_status run_on_engine(void *context, engine_store_work *work, void *work_context,
                                     struct fan_error *reterr)
{
    return engine_on_store(context, work, work_context, reterr);
}

struct letter_access letter_access_engine(struct engine *engine)
{
    return (struct letter_access){.run = run_on_engine, .context = engine};
}

/* ---- one letter ---- */

/* RFC 4648, section 4. NULL when memory is out. */
static json_t *base64(const uint8_t *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = malloc((size + 2) / 3 * 4 + 1);
    size_t at = 0;
    for (size_t i = 0; i < size && text != NULL; i += 3) {
        uint32_t group = (uint32_t)bytes[i] << 16;
        group |= i + 1 < size ? (uint32_t)bytes[i + 1] << 8 : 0;
        group |= i + 2 < size ? bytes[i + 2] : 0;
        text[at++] = digits[group >> 18];
        text[at++] = digits[group >> 12 & 63];
        text[at++] = (char)(i + 1 < size ? digits[group >> 6 & 63] : '=');
        text[at++] = (char)(i + 2 < size ? digits[group & 63] : '=');
    }
    json_t *string = text == NULL ? NULL : json_stringn_nocheck(text, at);
    free(text);
    return string;
}

static void put_bytes(json_t *object, const char *key, const char *text, size_t size)
{
    json_put(object, key,
             size == 0 || !utf8_valid((const uint8_t *)text, size)
                 ? json_null()
                 : json_stringn_nocheck(text, size));
}

/* A text stays one when it is cut: no character is. */
static size_t cut_size(const uint8_t *payload, size_t size, size_t payload_max)
{
    if (size <= payload_max) {
        return size;
    }
    size_t end = payload_max;
    while (end > 0 && payload_max - end < 4 && (payload[end] & 0xc0) == 0x80) {
        end--;
    }
    return utf8_valid(payload, end) ? end : payload_max;
}

static void put_payload(json_t *object, const struct deadletter *letter, size_t payload_max)
{
    size_t size = cut_size(letter->payload, letter->payload_size, payload_max);
    bool text = utf8_valid(letter->payload, size) &&
                (size == 0 || memchr(letter->payload, '\0', size) == NULL);
    json_put(object, "payload",
             text ? json_stringn_nocheck((const char *)letter->payload, size)
                  : base64(letter->payload, size));
    json_put_text(object, "payload_encoding", text ? "text" : "base64");
    json_put_bool(object, "payload_truncated", size < letter->payload_size);
}

/* schema.table, or null for an event of no table. */
static void put_table(json_t *object, const struct deadletter_label *label)
{
    struct bytes table;
    bytes_init(&table, 1024);
    bytes_append(&table, label->schema, label->schema_size);
    bytes_append_char(&table, '.');
    bytes_append(&table, label->table, label->table_size);
    put_bytes(object, "table", (const char *)table.data,
              label->table_size == 0 || !bytes_ok(&table) ? 0 : table.size);
    bytes_release(&table);
}

static json_t *letter_object(const struct deadletter *letter)
{
    struct deadletter_label label;
    const char op[] = {letter->op, '\0'};
    /* A label that is none has no parts. */
    (void)deadletter_label_parse(letter->label, letter->label_size, &label);
    json_t *object = json_object();
    json_put(object, "number", json_integer(letter->number));
    json_put_text(object, "pipeline", letter->pipeline);
    json_put_text(object, "target", letter->target);
    json_put_text(object, "source", letter->source);
    json_put_text(object, "id", letter->id);
    json_put_lsn(object, "commit_lsn", (struct fan_lsn){letter->commit_lsn});
    json_put(object, "seq", json_integer(letter->seq));
    json_put_time(object, "committed_at", letter->commit_time_us);
    json_put_text(object, "op", op);
    put_table(object, &label);
    put_bytes(object, "key", label.key, label.key_size);
    json_put_text(object, "cause", deadletter_cause_name(letter->cause));
    json_put_text(object, "code", letter->code);
    json_put_text(object, "error", letter->error);
    json_put_count(object, "attempts", letter->attempts);
    json_put_time(object, "first_at", letter->first_us);
    json_put_time(object, "last_at", letter->last_us);
    json_put_text(object, "format", letter->format);
    json_put_count(object, "payload_bytes", letter->payload_size);
    return object;
}

/* ---- searches ---- */

struct search {
    const struct deadletter_filter *filter;
    struct deadletter_scan scan;
    bool with_payload;
    size_t payload_max;
    uint64_t limit;         /* of the list */
    uint64_t payload_bytes; /* in the list so far */
    json_t *list;
    int64_t last_number; /* in the list */
    bool full;           /* another letter did not fit the list */
    struct deadletter_count count;
    uint64_t purged;
};

/* Runs slices until the search is done or has taken its time. */
static enum fan_status search_run(const struct letter_access *access, engine_store_work *work,
                                  struct search *search, struct fan_error *reterr)
{
    int64_t deadline_us = clock_monotonic_us() + LETTERS_SEARCH_US;
    enum fan_status status = FAN_OK;
    do {
        status = access->run(access->context, work, search, reterr);
    } while (status == FAN_OK && !search->scan.done && clock_monotonic_us() < deadline_us);
    return status;
}

/* Where the caller goes on, unless it has seen everything. */
static void put_rest(json_t *object, bool more, int64_t after)
{
    json_put_bool(object, "more", more);
    json_put(object, "after", more ? json_integer(after) : json_null());
}

static bool list_see(void *context, const struct deadletter *letter)
{
    struct search *search = context;
    size_t listed = json_array_size(search->list);
    uint64_t payload_bytes = search->with_payload ? letter->payload_size : 0;
    if (listed == search->limit ||
        (listed > 0 && search->payload_bytes + payload_bytes > LETTERS_PAGE_BYTES)) {
        search->full = true;
        return false;
    }
    json_t *object = letter_object(letter);
    if (search->with_payload) {
        put_payload(object, letter, search->payload_max);
    }
    json_push(search->list, object);
    search->payload_bytes += payload_bytes;
    search->last_number = letter->number;
    return true;
}

static enum fan_status list_work(void *context, struct store *store, struct fan_error *reterr)
{
    struct search *search = context;
    return deadletter_scan(store, search->filter, search->with_payload, &search->scan, list_see,
                           search, reterr);
}

enum fan_status letters_list(const struct letter_access *access,
                             const struct deadletter_filter *filter, uint64_t limit,
                             bool with_payload, json_t **ret_value, struct fan_error *reterr)
{
    struct search search = {.filter = filter,
                            .scan = {.wanted = UINT64_MAX}, /* one beyond the limit ends it */
                            .limit = limit,
                            .with_payload = with_payload,
                            .payload_max = SIZE_MAX,
                            .list = json_array()};
    enum fan_status status = search_run(access, list_work, &search, reterr);
    if (status != FAN_OK) {
        json_decref(search.list);
        return status;
    }
    json_t *object = json_object();
    json_put(object, "dead_letters", search.list);
    put_rest(object, search.full || !search.scan.done,
             search.full ? search.last_number : search.scan.after_number);
    *ret_value = object;
    return FAN_OK;
}

static enum fan_status count_work(void *context, struct store *store, struct fan_error *reterr)
{
    struct search *search = context;
    return deadletter_count_step(store, search->filter, &search->scan, &search->count, reterr);
}

enum fan_status letters_count(const struct letter_access *access,
                              const struct deadletter_filter *filter, json_t **ret_value,
                              struct fan_error *reterr)
{
    struct search search = {.filter = filter, .scan = {.wanted = UINT64_MAX}};
    enum fan_status status = search_run(access, count_work, &search, reterr);
    if (status != FAN_OK) {
        return status;
    }
    json_t *object = json_object();
    json_t *causes = json_object();
    for (int cause = LETTER_POISON; cause <= LETTER_ISOLATED; cause++) {
        json_put_count(causes, deadletter_cause_name((enum deadletter_cause)cause),
                       search.count.by_cause[cause]);
    }
    json_put_count(object, "count", search.count.entries);
    json_put_count(object, "bytes", search.count.bytes);
    json_put(object, "by_cause", causes);
    json_put_time(object, "oldest_at", search.count.oldest_us);
    put_rest(object, !search.scan.done, search.scan.after_number);
    *ret_value = object;
    return FAN_OK;
}

enum fan_status letters_show(const struct letter_access *access, int64_t number, size_t payload_max,
                             json_t **ret_value, struct fan_error *reterr)
{
    const struct deadletter_filter filter = {.number = number};
    struct search search = {.filter = &filter,
                            .scan = {.wanted = 1},
                            .limit = 1,
                            .with_payload = true,
                            .payload_max = payload_max,
                            .list = json_array()};
    enum fan_status status = search_run(access, list_work, &search, reterr);
    json_t *letter = json_incref(json_array_get(search.list, 0));
    json_decref(search.list);
    if (status != FAN_OK) {
        json_decref(letter);
        return status;
    }
    if (letter == NULL) {
        (void)fan_fail(reterr, FAN_POISON, "there is no dead letter %lld", (long long)number);
        fan_error_annotate(reterr, "DEAD_LETTER_NOT_FOUND",
                           "it was delivered, purged, or never there; dlq list shows them");
        return FAN_POISON;
    }
    *ret_value = letter;
    return FAN_OK;
}

static enum fan_status purge_work(void *context, struct store *store, struct fan_error *reterr)
{
    struct search *search = context;
    return deadletter_purge_step(store, search->filter, &search->scan, clock_wall_us(),
                                 &search->purged, reterr);
}

enum fan_status letters_purge(const struct letter_access *access,
                              const struct deadletter_filter *filter, uint64_t limit,
                              json_t **ret_value, struct fan_error *reterr)
{
    struct search search = {.filter = filter, .scan = {.wanted = limit}};
    enum fan_status status = search_run(access, purge_work, &search, reterr);
    if (status != FAN_OK) {
        return status;
    }
    json_t *object = json_object();
    json_put_count(object, "purged", search.purged);
    put_rest(object, !search.scan.done || search.scan.wanted == 0, search.scan.after_number);
    *ret_value = object;
    return FAN_OK;
}
