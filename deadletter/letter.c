#include "deadletter/letter.h"

#include <stdio.h>
#include <string.h>

#include "store/store.h"

struct store_letter letter_to_row(const struct deadletter *letter)
{
    return (struct store_letter){
        .number = letter->number,
        .pipeline = letter->pipeline,
        .target = letter->target,
        .source = letter->source == NULL ? "" : letter->source,
        .commit_lsn = letter->commit_lsn,
        .seq = letter->seq,
        .hold_lsn = letter->hold_lsn,
        .commit_time_us = letter->commit_time_us,
        .op = letter->op,
        .txn_end = letter->txn_end,
        .id = letter->id == NULL ? "" : letter->id,
        .format = letter->format == NULL ? "" : letter->format,
        .cause = (int)letter->cause,
        .code = letter->code == NULL ? "" : letter->code,
        .error = letter->error == NULL ? "" : letter->error,
        .attempts = letter->attempts,
        .first_us = letter->first_us,
        .last_us = letter->last_us,
        .label = letter->label,
        .label_size = letter->label_size,
        .payload = letter->payload,
        .payload_size = letter->payload_size,
    };
}

struct deadletter letter_of_row(const struct store_letter *row)
{
    return (struct deadletter){
        .number = row->number,
        .pipeline = row->pipeline,
        .target = row->target,
        .source = row->source,
        .commit_lsn = row->commit_lsn,
        .seq = row->seq,
        .hold_lsn = row->hold_lsn,
        .commit_time_us = row->commit_time_us,
        .op = (char)row->op,
        .txn_end = row->txn_end,
        .id = row->id,
        .format = row->format,
        .cause = (enum deadletter_cause)row->cause,
        .code = row->code,
        .error = row->error,
        .attempts = row->attempts,
        .first_us = row->first_us,
        .last_us = row->last_us,
        .label = row->label,
        .label_size = row->label_size,
        .payload = row->payload,
        .payload_size = row->payload_size,
    };
}

enum fan_status letter_give_up(struct store *store, const struct store_letter *letter,
                               const char *cause, int64_t now_us, struct fan_error *reterr)
{
    struct store_gap gap = {.first_lsn = letter->commit_lsn,
                            .first_seq = letter->seq,
                            .last_lsn = letter->commit_lsn,
                            .last_seq = letter->seq,
                            .count = 1,
                            .at_us = now_us};
    /* Names and causes are shorter than their fields. */
    (void)snprintf(gap.pipeline, sizeof(gap.pipeline), "%s", letter->pipeline);
    (void)snprintf(gap.target, sizeof(gap.target), "%s", letter->target);
    (void)snprintf(gap.cause, sizeof(gap.cause), "%s", cause);
    return store_gap_note(store, &gap, reterr);
}

enum fan_status letter_end(struct store *store, enum fan_status status, struct fan_error *reterr)
{
    if (status == FAN_OK) {
        return store_commit(store, reterr);
    }
    store_rollback(store);
    return status;
}

/* ---- labels ---- */

static bool label_part(const char **at, size_t *left, const char **ret_text, size_t *ret_size)
{
    const char *end = *left == 0 ? NULL : memchr(*at, '\0', *left);
    if (end == NULL) {
        return false;
    }
    *ret_text = *at;
    *ret_size = (size_t)(end - *at);
    *left -= *ret_size + 1;
    *at = end + 1;
    return true;
}

bool deadletter_label_parse(const uint8_t *bytes, size_t size, struct deadletter_label *ret_label)
{
    const char *at = (const char *)bytes;
    struct deadletter_label label;
    *ret_label = (struct deadletter_label){.schema = "", .table = "", .key = "", .old_key = ""};
    if (!label_part(&at, &size, &label.schema, &label.schema_size) ||
        !label_part(&at, &size, &label.table, &label.table_size) ||
        !label_part(&at, &size, &label.key, &label.key_size) ||
        (size > 0 && memchr(at, '\0', size) != NULL)) {
        return false;
    }
    label.old_key = at;
    label.old_key_size = size;
    *ret_label = label;
    return true;
}

/* ---- filters ---- */

static bool text_is(const char *wanted, const char *text, size_t size)
{
    return strlen(wanted) == size && memcmp(wanted, text, size) == 0;
}

/* schema.table; either name may hold dots. */
static bool table_is(const char *wanted, const struct deadletter_label *label)
{
    return label->table_size > 0 && strlen(wanted) == label->schema_size + 1 + label->table_size &&
           memcmp(wanted, label->schema, label->schema_size) == 0 &&
           wanted[label->schema_size] == '.' &&
           memcmp(wanted + label->schema_size + 1, label->table, label->table_size) == 0;
}

bool letter_matches(const struct deadletter *letter, const struct deadletter_filter *filter)
{
    if ((filter->pipeline != NULL && strcmp(filter->pipeline, letter->pipeline) != 0) ||
        (filter->target != NULL && strcmp(filter->target, letter->target) != 0) ||
        (filter->cause != 0 && filter->cause != letter->cause) ||
        (filter->since_us != 0 && letter->last_us < filter->since_us) ||
        (filter->number != 0 && letter->number != filter->number) ||
        letter->number <= filter->after_number) {
        return false;
    }
    if (filter->error != NULL && strcasestr(letter->error, filter->error) == NULL &&
        strcasestr(letter->code, filter->error) == NULL) {
        return false;
    }
    if (filter->table == NULL && filter->key == NULL) {
        return true;
    }
    struct deadletter_label label;
    return deadletter_label_parse(letter->label, letter->label_size, &label) &&
           (filter->table == NULL || table_is(filter->table, &label)) &&
           (filter->key == NULL || text_is(filter->key, label.key, label.key_size));
}
