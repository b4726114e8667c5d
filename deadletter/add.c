/* add.c - new letters, under the caps of the store. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "deadletter/letter.h"
#include "store/store.h"

struct adding {
    struct store *store;
    const struct deadletter_caps *caps;
    int64_t now_us;
    uint64_t entries; /* of the store as it is within the transaction */
    uint64_t bytes;
    struct deadletter_added added;
};

static enum fan_status full(const struct adding *adding, struct fan_error *reterr)
{
    (void)fan_fail(reterr, FAN_AGAIN,
                   "dead-letter store is full: %" PRIu64 " of %" PRIu64 " entries, %" PRIu64
                   " of %" PRIu64 " bytes",
                   adding->entries, adding->caps->entries_max, adding->bytes,
                   adding->caps->bytes_max);
    fan_error_annotate(reterr, "DEAD_LETTERS_FULL",
                       "replay or purge dead letters, or raise dead_letters.max_entries and "
                       "dead_letters.max_bytes");
    return FAN_AGAIN;
}

static enum fan_status reject(struct adding *adding, const struct store_letter *letter,
                              const char *cause, struct fan_error *reterr)
{
    adding->added.rejected++;
    return letter_give_up(adding->store, letter, cause, adding->now_us, reterr);
}

static bool fits(const struct adding *adding, uint64_t bytes)
{
    return adding->entries < adding->caps->entries_max && bytes <= adding->caps->bytes_max &&
           adding->bytes <= adding->caps->bytes_max - bytes;
}

/* The one letter that a walk was asked for, kept over the end of the walk. */
struct oldest {
    bool found;
    char pipeline[STORE_NAME_MAX];
    char target[STORE_NAME_MAX];
    struct store_letter letter;
};

static bool oldest_see(void *context, const struct store_letter *letter)
{
    struct oldest *oldest = context;
    oldest->found = true;
    oldest->letter = *letter;
    /* Names are bounded by the conf. */
    (void)snprintf(oldest->pipeline, sizeof(oldest->pipeline), "%s", letter->pipeline);
    (void)snprintf(oldest->target, sizeof(oldest->target), "%s", letter->target);
    oldest->letter.pipeline = oldest->pipeline;
    oldest->letter.target = oldest->target;
    return false;
}

static enum fan_status drop_oldest(struct adding *adding, struct fan_error *reterr)
{
    struct oldest oldest = {0};
    uint64_t rows;
    const struct store_letter_walk walk = {
        .order = STORE_LETTERS_BY_NUMBER, .rows_max = 1, .see = oldest_see, .context = &oldest};
    enum fan_status status = store_letter_walk(adding->store, &walk, &rows, reterr);
    if (status == FAN_OK && !oldest.found) {
        return fan_fail(reterr, FAN_FATAL, "cannot make room for dead letters: the sums are wrong");
    }
    if (status == FAN_OK) {
        status = store_letter_remove(adding->store, oldest.letter.number, reterr);
    }
    if (status == FAN_OK) {
        status = letter_give_up(adding->store, &oldest.letter,
                                "dead-letter store full: drop_oldest", adding->now_us, reterr);
    }
    adding->entries--;
    adding->bytes -= oldest.letter.payload_size + oldest.letter.label_size;
    adding->added.dropped++;
    return status;
}

/* Makes room for a new letter. `ret_fits` false: it was given up instead. */
static enum fan_status make_room(struct adding *adding, const struct store_letter *letter,
                                 bool *ret_fits, struct fan_error *reterr)
{
    const struct deadletter_caps *caps = adding->caps;
    uint64_t bytes = (uint64_t)letter->payload_size + letter->label_size;
    *ret_fits = fits(adding, bytes);
    if (letter->payload_size > caps->payload_bytes_max) {
        *ret_fits = false;
        return reject(adding, letter, "dead letter over max_payload", reterr);
    }
    if (*ret_fits) {
        return FAN_OK;
    }
    if (caps->at_cap == AT_CAP_BLOCK) {
        return full(adding, reterr);
    }
    if (caps->at_cap == AT_CAP_REJECT || bytes > caps->bytes_max || caps->entries_max == 0) {
        return reject(adding, letter, "dead-letter store full: reject", reterr);
    }
    enum fan_status status = FAN_OK;
    while (status == FAN_OK && !fits(adding, bytes)) {
        status = drop_oldest(adding, reterr);
    }
    *ret_fits = true;
    return status;
}

/* The longest part of a text that leaves room for a NUL and cuts no character. */
static void text_cut(const char *text, char *cut, size_t cut_size)
{
    size_t size = strlen(text);
    size_t end = size;
    if (size >= cut_size) {
        end = cut_size - 1;
        while (end > 0 && ((uint8_t)text[end] & 0xc0) == 0x80) {
            end--;
        }
    }
    memcpy(cut, text, end);
    cut[end] = '\0';
}

static enum fan_status add_one(struct adding *adding, const struct deadletter *letter,
                               struct fan_error *reterr)
{
    struct store_letter row = letter_to_row(letter);
    char error[LETTER_ERROR_MAX];
    char code[LETTER_CODE_MAX];
    text_cut(row.error, error, sizeof(error));
    text_cut(row.code, code, sizeof(code));
    row.error = error;
    row.code = code;
    row.first_us = row.first_us == 0 ? adding->now_us : row.first_us;
    row.last_us = row.last_us == 0 ? row.first_us : row.last_us;
    bool known = false;
    enum fan_status status = store_letter_touch(adding->store, &row, &known, reterr);
    if (status != FAN_OK || known) {
        adding->added.known += known;
        return status;
    }
    bool fitting = false;
    status = make_room(adding, &row, &fitting, reterr);
    if (status == FAN_OK && fitting) {
        status = store_letter_insert(adding->store, &row, reterr);
        adding->entries++;
        adding->bytes += (uint64_t)row.payload_size + row.label_size;
        adding->added.added++;
    }
    return status;
}

enum fan_status deadletter_add(struct store *store, const struct deadletter *letters, size_t count,
                               const struct deadletter_caps *caps, int64_t now_us,
                               struct deadletter_added *ret_added, struct fan_error *reterr)
{
    struct adding adding = {.store = store, .caps = caps, .now_us = now_us};
    enum fan_status status = store_begin(store, reterr);
    if (status != FAN_OK) {
        return status;
    }
    status = store_letter_totals(store, &adding.entries, &adding.bytes, reterr);
    for (size_t i = 0; status == FAN_OK && i < count; i++) {
        status = add_one(&adding, &letters[i], reterr);
    }
    status = letter_end(store, status, reterr);
    if (status == FAN_OK) {
        *ret_added = adding.added;
    }
    return status;
}

enum fan_status deadletter_failed(struct store *store, int64_t number, const char *code,
                                  const char *error, int64_t now_us, struct fan_error *reterr)
{
    char code_cut[LETTER_CODE_MAX];
    char error_cut[LETTER_ERROR_MAX];
    text_cut(code == NULL ? "" : code, code_cut, sizeof(code_cut));
    text_cut(error == NULL ? "" : error, error_cut, sizeof(error_cut));
    enum fan_status status = store_begin(store, reterr);
    if (status != FAN_OK) {
        return status;
    }
    status = store_letter_failed(store, number, code_cut, error_cut, now_us, reterr);
    return letter_end(store, status, reterr);
}
