#include "engine/letterbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "encode/id.h"
#include "model/change.h"

void letter_writer_init(struct letter_writer *writer, struct letterbox *letterbox,
                        const struct letter_owner *owner, void (*wake)(void *context),
                        void *wake_context)
{
    *writer = (struct letter_writer){.letterbox = letterbox, .owner = *owner};
    writer->job.wake = wake;
    writer->job.wake_context = wake_context;
}

static void items_release(struct letter_item *items, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        batch_unref(items[index].batch);
    }
}

void letter_writer_release(struct letter_writer *writer)
{
    items_release(writer->waiting, writer->waiting_count);
    if (writer->busy) {
        items_release(writer->posted, writer->job.items_count);
    }
    free(writer->waiting);
    free(writer->posted);
    *writer = (struct letter_writer){0};
}

bool letter_writer_has_room(const struct letter_writer *writer, size_t bytes)
{
    return writer->waiting_count == 0 || writer->waiting_bytes + bytes <= LETTER_BYTES_MAX;
}

/* Parked events that follow one another are one item. */
static bool item_extend(struct letter_writer *writer, const struct batch *batch, size_t first,
                        size_t end, enum deadletter_cause cause)
{
    if (writer->waiting_count == 0 || cause != LETTER_PARKED) {
        return false;
    }
    struct letter_item *last = &writer->waiting[writer->waiting_count - 1];
    if (last->batch != batch || last->cause != cause || last->end != first) {
        return false;
    }
    last->end = end;
    return true;
}

static bool waiting_reserve(struct letter_writer *writer)
{
    if (writer->waiting_count < writer->waiting_capacity) {
        return true;
    }
    size_t capacity = writer->waiting_capacity == 0 ? 16 : writer->waiting_capacity * 2;
    struct letter_item *items = realloc(writer->waiting, capacity * sizeof(*items));
    if (items == NULL) {
        return false;
    }
    writer->waiting = items;
    writer->waiting_capacity = capacity;
    return true;
}

static size_t range_bytes(const struct letter_writer *writer, const struct batch *batch,
                          size_t first, size_t end)
{
    size_t start_size;
    size_t end_size;
    const uint8_t *start = batch_event_bytes(batch, writer->owner.format, first, &start_size);
    const uint8_t *last = batch_event_bytes(batch, writer->owner.format, end - 1, &end_size);
    return (size_t)(last - start) + end_size;
}

uint64_t letter_writer_add(struct letter_writer *writer, struct batch *batch, size_t first,
                           size_t end, enum deadletter_cause cause, uint32_t attempts,
                           const struct fan_error *error)
{
    uint64_t serial = ++writer->added_serial;
    writer->waiting_bytes += range_bytes(writer, batch, first, end);
    if (item_extend(writer, batch, first, end, cause)) {
        return serial;
    }
    if (!waiting_reserve(writer)) {
        writer->starved = true;
        return serial;
    }
    struct letter_item *item = &writer->waiting[writer->waiting_count++];
    *item = (struct letter_item){.batch = batch_ref(batch),
                                 .first = first,
                                 .end = end,
                                 .cause = cause,
                                 .attempts = attempts};
    (void)snprintf(item->code, sizeof(item->code), "%s", error->code); /* same sizes */
    (void)snprintf(item->error, sizeof(item->error), "%.*s", LETTER_ERROR_MAX - 1, error->text);
    return serial;
}

static void writer_post(struct letter_writer *writer)
{
    writer->job.kind = LETTERS_ADD;
    writer->job.owner = &writer->owner;
    atomic_store(&writer->job.done, false);
    writer->busy = true;
    writer->retry_at_us = 0;
    writer->letterbox->post(writer->letterbox, &writer->job);
}

/* Everything that waits becomes the next job. */
static void writer_gather(struct letter_writer *writer)
{
    struct letter_item *items = writer->posted;
    size_t capacity = writer->posted_capacity;
    writer->posted = writer->waiting;
    writer->posted_capacity = writer->waiting_capacity;
    writer->job.position.seq = (int64_t)writer->added_serial; /* what the job settles */
    writer->job.items = writer->posted;
    writer->job.items_count = writer->waiting_count;
    writer->waiting = items;
    writer->waiting_capacity = capacity;
    writer->waiting_count = 0;
    writer->waiting_bytes = 0;
}

static void writer_take_result(struct letter_writer *writer, int64_t now_us)
{
    const struct letter_job *job = &writer->job;
    if (job->status != FAN_OK) { /* the same job again, later: nothing of it is in the store */
        writer->error = job->error;
        writer->retry_at_us = now_us + LETTER_RETRY_US;
        return;
    }
    writer->busy = false;
    writer->error.text[0] = '\0';
    writer->settled_serial = (uint64_t)job->position.seq;
    writer->totals.added += job->added.added;
    writer->totals.known += job->added.known;
    writer->totals.rejected += job->added.rejected;
    writer->totals.dropped += job->added.dropped;
    items_release(writer->posted, job->items_count);
    writer->job.items_count = 0;
}

int64_t letter_writer_step(struct letter_writer *writer, int64_t now_us)
{
    if (writer->starved) {
        return INT64_MAX; /* the owner gives up and reads again */
    }
    if (writer->busy && writer->retry_at_us == 0 && atomic_load(&writer->job.done)) {
        writer_take_result(writer, now_us);
    }
    if (writer->retry_at_us != 0) {
        if (now_us < writer->retry_at_us) {
            return writer->retry_at_us;
        }
        writer_post(writer);
    } else if (!writer->busy && writer->waiting_count > 0) {
        writer_gather(writer);
        writer_post(writer);
    }
    return INT64_MAX;
}

/* ---- on the store thread ---- */

static void letter_fill(const struct letter_job *job, const struct letter_item *item, size_t event,
                        const char *id, int64_t wall_us, struct deadletter *ret_letter)
{
    const struct letter_owner *owner = job->owner;
    const struct batch_event *from = &item->batch->events[event];
    *ret_letter = (struct deadletter){
        .pipeline = owner->pipeline,
        .target = owner->target,
        .source = owner->encode->source,
        .commit_lsn = from->position.commit_lsn.value,
        .seq = from->position.seq,
        .hold_lsn = from->hold_lsn.value,
        .commit_time_us = from->commit_time_us,
        .op = (char)from->op,
        .txn_end = from->txn_end,
        .id = id,
        .format = owner->format_name,
        .cause = item->cause,
        .code = item->code,
        .error = item->error,
        .attempts = item->attempts,
        .first_us = wall_us,
        .last_us = wall_us,
    };
    ret_letter->payload =
        batch_event_bytes(item->batch, owner->format, event, &ret_letter->payload_size);
    ret_letter->label = batch_label_bytes(item->batch, event, &ret_letter->label_size);
}

static void job_add(struct letter_job *job, struct store *store, const struct deadletter_caps *caps,
                    int64_t wall_us)
{
    size_t count = 0;
    for (size_t index = 0; index < job->items_count; index++) {
        count += job->items[index].end - job->items[index].first;
    }
    struct deadletter *letters = calloc(count + 1, sizeof(*letters));
    char(*ids)[EVENT_ID_MAX] = calloc(count + 1, sizeof(*ids));
    if (letters == NULL || ids == NULL) {
        job->status =
            fan_fail(&job->error, FAN_RETRY, "could not write dead letters: out of memory");
    } else {
        size_t at = 0;
        for (size_t index = 0; index < job->items_count; index++) {
            const struct letter_item *item = &job->items[index];
            for (size_t event = item->first; event < item->end; event++, at++) {
                const struct batch_event *from = &item->batch->events[event];
                (void)event_id_write(job->owner->encode, from->position, from->op == CHANGE_GAP,
                                     ids[at]); /* its length is not wanted */
                letter_fill(job, item, event, ids[at], wall_us, &letters[at]);
            }
        }
        job->status =
            deadletter_add(store, letters, count, caps, wall_us, &job->added, &job->error);
    }
    free(letters);
    free(ids);
}

struct fetch {
    struct letter_job *job;
    bool starved;
};

static bool fetch_see(void *context, const struct deadletter *letter)
{
    struct fetch *fetch = context;
    struct batch_event event = {
        .position = {{letter->commit_lsn}, letter->seq},
        .hold_lsn = {letter->hold_lsn},
        .commit_time_us = letter->commit_time_us,
        .op = (uint8_t)letter->op,
        .txn_end = letter->txn_end,
    };
    fetch->starved =
        batch_append(fetch->job->batch, &event, fetch->job->owner->format, letter->payload,
                     letter->payload_size, letter->label, letter->label_size) != FAN_OK;
    return !fetch->starved;
}

/* The next letters as the job's batch, at most so many; FAN_AGAIN: there are none. */
static enum fan_status fetch_batch(struct letter_job *job, struct store *store, uint64_t entries,
                                   uint64_t bytes)
{
    struct fetch fetch = {.job = job};
    job->batch = batch_pool_take(job->pool);
    if (job->batch == NULL) {
        return fan_fail(&job->error, FAN_RETRY, "could not read dead letters: out of memory");
    }
    enum fan_status status = deadletter_backlog(store, job->owner->pipeline, job->owner->target,
                                                job->position.commit_lsn.value, job->position.seq,
                                                entries, bytes, fetch_see, &fetch, &job->error);
    if (status == FAN_OK &&
        (job->batch->events_count == 0 || (fetch.starved && job->owner->whole))) {
        status = fetch.starved ? fan_fail(&job->error, FAN_RETRY,
                                          "could not read dead letters: out of memory")
                               : FAN_AGAIN;
    }
    if (status != FAN_OK) {
        batch_unref(job->batch);
        job->batch = NULL;
    }
    return status;
}

/* How many of the batch's events there are up to the last end of a transaction in it. */
static size_t events_whole(const struct batch *batch)
{
    size_t end = batch->events_count;
    while (end > 0 && !batch->events[end - 1].txn_end) {
        end--;
    }
    return end;
}

static void job_fetch(struct letter_job *job, struct store *store)
{
    uint64_t entries = LETTER_FETCH_EVENTS;
    uint64_t bytes = LETTER_FETCH_BYTES;
    size_t before = 0;
    job->status = fetch_batch(job, store, entries, bytes);
    /* One transaction that is larger: those of such a target fit a batch. Rows that have become a
     * gap may have taken its end with them. */
    while (job->status == FAN_OK && job->owner->whole && events_whole(job->batch) == 0 &&
           job->batch->events_count > before &&
           (job->owner->whole_max == 0 || bytes < job->owner->whole_max)) {
        before = job->batch->events_count;
        entries *= 2;
        bytes *= 2;
        batch_unref(job->batch);
        job->status = fetch_batch(job, store, entries, bytes);
    }
    if (job->status != FAN_OK) {
        return;
    }
    size_t count = events_whole(job->batch);
    if (job->owner->whole && count > 0 && count < job->batch->events_count) {
        struct batch *whole = batch_slice(job->batch, job->owner->format, 0, count);
        batch_unref(job->batch);
        job->batch = whole;
        if (whole == NULL) {
            job->status =
                fan_fail(&job->error, FAN_RETRY, "could not read dead letters: out of memory");
            return;
        }
    }
    count = job->batch->events_count;
    job->batch->part = job->batch->events[count - 1].txn_end ? TXN_WHOLE : TXN_FIRST;
}

static bool keys_see(void *context, const struct deadletter *letter)
{
    struct letter_job *job = context;
    struct fan_position position = {{letter->commit_lsn}, letter->seq};
    job->status = parked_add(&job->keys, letter->label, letter->label_size, position, &job->error);
    return job->status == FAN_OK;
}

static void job_keys(struct letter_job *job, struct store *store)
{
    job->status = FAN_OK;
    enum fan_status status = deadletter_keys(store, job->owner->pipeline, job->owner->target,
                                             keys_see, job, &job->error);
    if (status != FAN_OK) {
        job->status = status;
    } else if (job->status == FAN_FATAL) {
        job->status = FAN_AGAIN;
    }
}

void letter_job_run(struct letterbox *letterbox, struct letter_job *job, struct store *store,
                    const struct deadletter_caps *caps, int64_t wall_us)
{
    switch (job->kind) {
    case LETTERS_ADD:
        job_add(job, store, caps, wall_us);
        if (job->status == FAN_OK && job->added.rejected + job->added.dropped > 0) {
            atomic_fetch_add(&letterbox->removals, 1);
        }
        break;
    case LETTERS_FETCH:
        job_fetch(job, store);
        break;
    case LETTERS_REMOVE:
        job->status = deadletter_backlog_delivered(store, job->owner->pipeline, job->owner->target,
                                                   job->position.commit_lsn.value,
                                                   job->position.seq, &job->error);
        break;
    case LETTERS_KEYS:
        job_keys(job, store);
        break;
    }
}
