#include "engine/backlog.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"

enum { SYNC_INTERVAL_US = 200000, RETRY_US = 1000000 };

void backlog_init(struct backlog *backlog, const struct backlog_setup *setup)
{
    *backlog = (struct backlog){.setup = *setup,
                                .appended = POSITION_NONE,
                                .taken = POSITION_NONE,
                                .delivered = POSITION_NONE,
                                .settled = POSITION_NONE,
                                .gap_known = true,
                                .full_bytes = UINT64_MAX};
    (void)pthread_mutex_init(&backlog->lock, NULL);     /* cannot fail with default attributes */
    (void)pthread_cond_init(&backlog->sync_over, NULL); /* the same */
}

static void sync_wait(struct backlog *backlog)
{
    (void)pthread_mutex_lock(&backlog->lock); /* cannot fail: a plain mutex that we do not hold */
    while (backlog->syncing) {
        (void)pthread_cond_wait(&backlog->sync_over, &backlog->lock); /* woken or not: look again */
    }
    (void)pthread_mutex_unlock(&backlog->lock); /* cannot fail: we hold it */
}

void backlog_release(struct backlog *backlog)
{
    if (backlog->setup.pool == NULL) {
        return; /* zeroed */
    }
    sync_wait(backlog);
    spill_close(backlog->spill);
    if (backlog->fetching && atomic_load(&backlog->fetch.done)) {
        batch_unref(backlog->fetch.batch); /* NULL unless the job went well */
    }
    (void)pthread_cond_destroy(&backlog->sync_over); /* nobody waits */
    (void)pthread_mutex_destroy(&backlog->lock);     /* nobody holds it */
    *backlog = (struct backlog){0};
}

static enum fan_status open_spill(struct backlog *backlog, struct fan_error *reterr)
{
    struct spill_setup setup = {.directory = backlog->setup.directory,
                                .bytes_max = backlog->setup.spill_max};
    return spill_open(&setup, &backlog->spill, reterr);
}

static void positions_set(struct backlog *backlog, struct fan_position taken,
                          struct fan_position appended)
{
    backlog->taken = taken;
    backlog->delivered = taken;
    backlog->appended = appended;
    backlog->settled = appended;
    backlog->lettered = appended;
    backlog->last_ends_txn = true;
}

enum fan_status backlog_open(struct backlog *backlog, enum backlog_kind kind,
                             struct fan_position position, struct fan_error *reterr)
{
    FAN_ASSERT(backlog->kind == BACKLOG_NONE && kind != BACKLOG_NONE);
    if (kind == BACKLOG_SPILL) {
        enum fan_status status = open_spill(backlog, reterr);
        if (status != FAN_OK) {
            return status;
        }
        spill_trim(backlog->spill, position); /* what an earlier run did not come to remove */
    }
    backlog->kind = kind;
    backlog->events = 0;
    backlog->full_bytes = UINT64_MAX;
    positions_set(backlog, position, position);
    backlog->lettered = POSITION_NONE;
    return FAN_OK;
}

enum fan_status backlog_resume(struct backlog *backlog, enum backlog_kind kind, bool needed,
                               struct fan_position position, struct fan_position last,
                               uint64_t events, struct fan_error *reterr)
{
    if (kind == BACKLOG_LETTERS) {
        backlog->kind = kind;
        positions_set(backlog, position, last);
        backlog->events = events;
        return FAN_OK;
    }
    struct fan_position first;
    struct fan_position end;
    enum fan_status status = spill_peek(backlog->setup.directory, &first, &end, &events, reterr);
    if (status == FAN_AGAIN) {
        return FAN_OK; /* there is none */
    }
    if (status == FAN_OK) {
        status = open_spill(backlog, reterr);
    }
    if (status == FAN_OK) {
        status = spill_seek(backlog->spill, position, reterr);
    }
    if (status != FAN_OK) {
        return status;
    }
    spill_trim(backlog->spill, needed ? position : end);
    if (!needed || position_compare(end, position) <= 0) { /* the target has all that counts */
        spill_close(backlog->spill);
        backlog->spill = NULL;
        return FAN_OK;
    }
    backlog->kind = BACKLOG_SPILL;
    backlog->events = events;
    positions_set(backlog, position, end);
    return FAN_OK;
}

void backlog_close(struct backlog *backlog)
{
    FAN_ASSERT(backlog_over(backlog));
    if (backlog->spill != NULL) {
        sync_wait(backlog);
        spill_trim(backlog->spill, backlog->appended);
        spill_close(backlog->spill);
        backlog->spill = NULL;
    }
    backlog->kind = BACKLOG_NONE;
    backlog->events = 0;
}

/* ---- gaps ---- */

static void gap_join(struct change_gap *gap, const struct change_gap *more)
{
    struct change_gap both = *gap;
    if (gap->count == 0) {
        both = *more;
    } else if (more->count > 0) {
        both.first = position_compare(more->first, gap->first) < 0 ? more->first : gap->first;
        both.last = position_compare(more->last, gap->last) > 0 ? more->last : gap->last;
        both.count += more->count;
    }
    *gap = both;
}

static enum fan_status gap_begin(struct backlog *backlog, struct fan_position first,
                                 const char *cause, struct fan_error *reterr)
{
    if (backlog->gap_open) {
        return FAN_OK;
    }
    if (!backlog->gap_known) {
        (void)fan_fail(reterr, FAN_AGAIN, "a gap waits for the store");
        return FAN_AGAIN;
    }
    backlog->gap_open = true;
    backlog->gap = (struct backlog_gap){.range = {.first = first}, .serial = ++backlog->gap_serial};
    (void)snprintf(backlog->gap.cause, sizeof(backlog->gap.cause), "%s", cause); /* may be cut */
    return FAN_OK;
}

/* A marker among the events stands for others, which have a row already; it is lost with them. */
static enum fan_status gap_extend(struct backlog *backlog, const struct batch *batch, size_t first,
                                  const char *cause, struct fan_error *reterr)
{
    size_t row = first;
    while (row < batch->events_count && batch->events[row].op == CHANGE_GAP) {
        row++;
    }
    enum fan_status status = FAN_OK;
    if (row < batch->events_count) {
        status = gap_begin(backlog, batch->events[row].position, cause, reterr);
    }
    for (size_t event = first; event < batch->events_count && status == FAN_OK; event++) {
        const struct batch_event *lost = &batch->events[event];
        struct change_gap more = {.first = lost->position, .last = lost->position, .count = 1};
        if (lost->op == CHANGE_GAP) {
            more.first = lost->gap_first;
            more.count = lost->gap_count;
        } else {
            backlog->gap.range.last = lost->position;
            backlog->gap.range.count++;
            backlog->gap_events++;
            backlog->gap_known = false;
        }
        gap_join(&backlog->unmarked, &more);
    }
    return status;
}

void backlog_note_unmarked(struct backlog *backlog, const struct change_gap *gap)
{
    gap_join(&backlog->unmarked, gap);
}

bool backlog_end_gap(struct backlog *backlog, struct change_gap *ret_gap)
{
    bool any = backlog->unmarked.count > 0;
    if (any) {
        *ret_gap = backlog->unmarked;
        backlog->unmarked.count = 0;
    }
    backlog->gap_open = false;
    return any;
}

void backlog_gaps_persisted(struct backlog *backlog, uint64_t serial, uint64_t count)
{
    if (backlog->gap.serial == serial && backlog->gap.range.count == count) {
        backlog->gap_known = true;
    }
}

/* ---- appending ---- */

/* Room for the marker and more: not at each segment that is trimmed. */
static bool spill_has_ease(const struct backlog *backlog)
{
    uint64_t bytes = spill_bytes(backlog->spill);
    return bytes <= backlog->setup.spill_max / 10 * 9 && bytes < backlog->full_bytes;
}

/* The marker of what the target will not get, which goes before what follows. */
static struct batch *marker_make(struct backlog *backlog, struct fan_error *reterr)
{
    struct batch *marker = NULL;
    struct fan_error error;
    enum fan_status status =
        backlog->setup.marker(backlog->setup.context, &backlog->unmarked, &marker, &error);
    if (status != FAN_OK) {
        (void)fan_fail(reterr, FAN_RETRY, "%s", /* whoever asks does so again */
                       error.text[0] != '\0' ? error.text
                                             : "the marker of a gap waits for its schema");
    }
    return marker;
}

/* A marker is not asked for: what it stands for is given up already. */
static bool may_gap(const struct backlog *backlog, const struct batch *batch, size_t first)
{
    while (first < batch->events_count && batch->events[first].op == CHANGE_GAP) {
        first++;
    }
    if (first == batch->events_count) {
        return true;
    }
    const struct change_gap gap = {.first = batch->events[first].position,
                                   .last = batch->events[batch->events_count - 1].position,
                                   .count = batch->events_count - first};
    return backlog->setup.may_gap(backlog->setup.context, backlog, &gap);
}

static enum fan_status append_spill(struct backlog *backlog, const struct batch *batch,
                                    size_t first, struct fan_error *reterr)
{
    size_t format = backlog->setup.format;
    enum fan_status status = FAN_OK;
    if (backlog->unmarked.count > 0 && !spill_has_ease(backlog)) {
        status = FAN_AGAIN;
    } else if (backlog->unmarked.count > 0) {
        if (!backlog->gap_known) {
            return fan_fail(reterr, FAN_AGAIN, "a gap waits for the store"); /* invariant (3) */
        }
        struct batch *marker = marker_make(backlog, reterr);
        if (marker == NULL) {
            return FAN_RETRY;
        }
        status = spill_append(backlog->spill, marker, format, 0, reterr);
        batch_unref(marker);
        if (status == FAN_OK) {
            backlog->gap_open = false;
            backlog->unmarked.count = 0;
        }
    }
    if (status == FAN_OK) {
        status = spill_append(backlog->spill, batch, format, first, reterr);
        backlog->full_bytes = status == FAN_AGAIN ? spill_bytes(backlog->spill) : UINT64_MAX;
    }
    if (status == FAN_AGAIN && may_gap(backlog, batch, first)) {
        return gap_extend(backlog, batch, first, "spill full", reterr);
    }
    return status;
}

static bool letters_have_room(const struct backlog *backlog, const struct batch *batch,
                              size_t first, struct fan_error *reterr)
{
    const struct letter_writer *writer = backlog->setup.writer;
    size_t size;
    (void)batch_bytes(batch, backlog->setup.format, first, &size); /* only the size is wanted */
    /* The marker takes one mark, too. */
    if (backlog->marks_count + 2 <= BACKLOG_MARKS_MAX && letter_writer_has_room(writer, size)) {
        return true;
    }
    if (writer->error.text[0] != '\0' && reterr != NULL) {
        *reterr = writer->error;
    }
    return false;
}

static void letters_add(struct backlog *backlog, struct batch *batch, size_t first,
                        const struct fan_error *why)
{
    backlog->marks[backlog->marks_count++] = (struct backlog_mark){
        .serial = letter_writer_add(backlog->setup.writer, batch, first, batch->events_count,
                                    LETTER_ISOLATED, 0, why),
        .position = batch->events[batch->events_count - 1].position,
    };
    backlog->lettered = batch->events[batch->events_count - 1].position;
}

static enum fan_status append_letters(struct backlog *backlog, struct batch *batch, size_t first,
                                      const struct fan_error *why, struct fan_error *reterr)
{
    if (!letters_have_room(backlog, batch, first, reterr)) {
        return FAN_AGAIN;
    }
    if (backlog->unmarked.count > 0) {
        if (!backlog->gap_known) {
            return fan_fail(reterr, FAN_AGAIN, "a gap waits for the store"); /* invariant (3) */
        }
        struct batch *marker = marker_make(backlog, reterr);
        if (marker == NULL) {
            return FAN_RETRY;
        }
        letters_add(backlog, marker, 0, why);
        batch_unref(marker);
        backlog->gap_open = false;
        backlog->unmarked.count = 0;
    }
    letters_add(backlog, batch, first, why);
    return FAN_OK;
}

void backlog_pass(struct backlog *backlog, const struct batch_event *last)
{
    if (position_compare(last->position, backlog->appended) <= 0) {
        return;
    }
    backlog->appended = last->position;
    backlog->last_ends_txn = last->txn_end;
    if (backlog->kind == BACKLOG_GAP) {
        backlog->taken = last->position;
        backlog->delivered = last->position;
    }
}

enum fan_status backlog_append(struct backlog *backlog, struct batch *batch, size_t first,
                               const struct fan_error *why, struct fan_error *reterr)
{
    if (reterr != NULL) {
        reterr->text[0] = '\0'; /* FAN_AGAIN need not say why */
    }
    enum fan_status status = FAN_FATAL;
    switch (backlog->kind) {
    case BACKLOG_SPILL:
        status = append_spill(backlog, batch, first, reterr);
        break;
    case BACKLOG_LETTERS:
        status = append_letters(backlog, batch, first, why, reterr);
        break;
    case BACKLOG_GAP:
        status = !backlog->gap_unasked || may_gap(backlog, batch, first)
                     ? gap_extend(backlog, batch, first, "target failed", reterr)
                     : FAN_AGAIN;
        break;
    case BACKLOG_NONE:
        FAN_ASSERT(backlog->kind != BACKLOG_NONE);
    }
    if (status != FAN_OK) {
        return status;
    }
    backlog_pass(backlog, &batch->events[batch->events_count - 1]);
    if (backlog->kind != BACKLOG_GAP && backlog->unmarked.count == 0) {
        backlog->events += batch_rows(batch, first, batch->events_count);
    }
    return FAN_OK;
}

enum fan_status backlog_give_up(struct backlog *backlog, const struct batch *batch,
                                const char *cause, struct fan_error *reterr)
{
    reterr->text[0] = '\0'; /* FAN_AGAIN need not say why */
    enum fan_status status =
        may_gap(backlog, batch, 0) ? gap_extend(backlog, batch, 0, cause, reterr) : FAN_AGAIN;
    if (status == FAN_OK) {
        backlog_pass(backlog, &batch->events[batch->events_count - 1]);
    }
    return status;
}

struct fan_position backlog_settled(struct backlog *backlog)
{
    struct fan_position settled = backlog->settled;
    switch (backlog->kind) {
    case BACKLOG_NONE:
        return settled;
    case BACKLOG_GAP:
        settled = backlog->appended;
        break;
    case BACKLOG_SPILL: {
        struct fan_position durable = spill_durable(backlog->spill);
        struct fan_position last = spill_last(backlog->spill);
        bool all =
            position_compare(durable, last) >= 0 || position_compare(backlog->delivered, last) >= 0;
        settled = all ? backlog->appended : durable;
        break;
    }
    case BACKLOG_LETTERS: {
        size_t passed = 0;
        while (passed < backlog->marks_count &&
               letter_writer_settled(backlog->setup.writer, backlog->marks[passed].serial)) {
            settled = backlog->marks[passed++].position;
        }
        memmove(backlog->marks, backlog->marks + passed,
                (backlog->marks_count - passed) * sizeof(*backlog->marks));
        backlog->marks_count -= passed;
        settled = backlog->marks_count == 0 ? backlog->appended : settled;
        break;
    }
    }
    if (position_compare(settled, backlog->settled) > 0) {
        backlog->settled = settled;
    }
    return backlog->settled;
}

/* ---- giving out ---- */

static void job_post(struct backlog *backlog, struct letter_job *job, enum letter_job_kind kind,
                     struct fan_position position)
{
    *job = (struct letter_job){.kind = kind,
                               .owner = &backlog->setup.writer->owner,
                               .position = position,
                               .pool = backlog->setup.pool,
                               .wake = backlog->setup.wake,
                               .wake_context = backlog->setup.context};
    backlog->setup.writer->letterbox->post(backlog->setup.writer->letterbox, job);
}

static enum fan_status next_letters(struct backlog *backlog, int64_t now_us,
                                    struct batch **ret_batch, struct fan_error *reterr)
{
    struct letter_job *job = &backlog->fetch;
    if (backlog->fetching) {
        if (!atomic_load(&job->done)) {
            return FAN_AGAIN;
        }
        backlog->fetching = false;
        bool stale = position_compare(job->position, backlog->taken) != 0; /* rewound meanwhile */
        if (job->status == FAN_OK && !stale) {
            *ret_batch = job->batch;
            return FAN_OK;
        }
        if (job->status == FAN_OK) {
            batch_unref(job->batch);
        } else if (job->status == FAN_AGAIN) {
            if (!stale) { /* what is missing has become gap rows */
                backlog->taken = backlog->fetch_end;
            }
        } else {
            backlog->fetch_at_us = now_us + RETRY_US;
            *reterr = job->error;
            return job->status;
        }
    }
    (void)backlog_settled(backlog); /* takes note of what has been written */
    /* A marker lies before what is settled: what is not written yet must not be passed over. */
    bool unwritten = backlog->marks_count > 0 &&
                     position_compare(backlog->marks[0].position, backlog->settled) <= 0;
    if (now_us >= backlog->fetch_at_us && !backlog_drained(backlog) && !unwritten &&
        position_compare(backlog->taken, backlog->settled) < 0) {
        backlog->fetching = true;
        backlog->fetch_end = backlog->settled;
        job_post(backlog, job, LETTERS_FETCH, backlog->taken);
    }
    return FAN_AGAIN;
}

enum fan_status backlog_next(struct backlog *backlog, int64_t now_us, struct batch **ret_batch,
                             struct fan_error *reterr)
{
    enum fan_status status = FAN_AGAIN;
    if (backlog->kind == BACKLOG_SPILL) {
        status = spill_read(backlog->spill, backlog->setup.pool, backlog->setup.format, ret_batch,
                            reterr);
    } else if (backlog->kind == BACKLOG_LETTERS) {
        status = next_letters(backlog, now_us, ret_batch, reterr);
    }
    if (status != FAN_OK) {
        return status;
    }
    const struct batch *batch = *ret_batch;
    backlog->taken = batch->events[batch->events_count - 1].position;
    uint64_t rows = batch_rows(batch, 0, batch->events_count);
    backlog->events -= rows < backlog->events ? rows : backlog->events;
    return FAN_OK;
}

enum fan_status backlog_skip(struct backlog *backlog, struct fan_error *reterr)
{
    if (backlog->kind == BACKLOG_SPILL) {
        enum fan_status status = spill_seek(backlog->spill, backlog->appended, reterr);
        if (status != FAN_OK) {
            return status;
        }
    }
    backlog->taken = backlog->appended;
    backlog->events = 0;
    return FAN_OK;
}

enum fan_status backlog_rewind(struct backlog *backlog, struct fan_position position,
                               struct fan_error *reterr)
{
    if (position_compare(position, backlog->taken) >= 0) {
        return FAN_OK;
    }
    if (backlog->kind == BACKLOG_SPILL) {
        enum fan_status status = spill_seek(backlog->spill, position, reterr);
        if (status != FAN_OK) {
            return status;
        }
        backlog->events = spill_events(backlog->spill);
    }
    if (backlog->kind != BACKLOG_GAP) {
        backlog->taken = position;
    }
    return FAN_OK;
}

void backlog_delivered(struct backlog *backlog, struct fan_position position)
{
    if (position_compare(position, backlog->delivered) > 0) {
        backlog->delivered = position;
        if (backlog->kind == BACKLOG_SPILL) {
            spill_trim(backlog->spill, position);
        }
    }
}

bool backlog_drained(const struct backlog *backlog)
{
    switch (backlog->kind) {
    case BACKLOG_SPILL:
        return spill_drained(backlog->spill);
    case BACKLOG_LETTERS:
        return position_compare(backlog->taken, backlog->lettered) >= 0;
    case BACKLOG_GAP:
    case BACKLOG_NONE:
        break;
    }
    return true;
}

bool backlog_over(const struct backlog *backlog)
{
    if (!backlog_drained(backlog) || !backlog->gap_known) {
        return false;
    }
    if (backlog->kind == BACKLOG_LETTERS) {
        return backlog->marks_count == 0 && !backlog->removing && !backlog->fetching &&
               position_compare(backlog->removal.position, backlog->delivered) >= 0 &&
               position_compare(backlog->delivered, backlog->lettered) >= 0;
    }
    /* What follows the last record in a gap is never delivered. */
    return backlog->kind != BACKLOG_SPILL ||
           position_compare(backlog->delivered, spill_last(backlog->spill)) >= 0;
}

/* ---- jobs ---- */

static void sync_job(void *argument)
{
    struct backlog *backlog = argument;
    struct fan_error error = {0};
    enum fan_status status = spill_sync(backlog->spill, &error);
    (void)pthread_mutex_lock(&backlog->lock); /* cannot fail: a plain mutex that we do not hold */
    backlog->syncing = false;
    backlog->sync_error = error;
    if (status == FAN_OK) {
        backlog->sync_error.text[0] = '\0';
    }
    (void)pthread_cond_broadcast(&backlog->sync_over); /* cannot fail */
    /* The last use of the backlog, which may be released as soon as the lock is free. */
    void (*wake)(void *context) = backlog->setup.wake;
    void *context = backlog->setup.context;
    wake(context);
    (void)pthread_mutex_unlock(&backlog->lock); /* cannot fail: we hold it */
}

static int64_t sync_step(struct backlog *backlog, int64_t now_us)
{
    if (position_compare(spill_durable(backlog->spill), spill_last(backlog->spill)) >= 0) {
        return INT64_MAX;
    }
    (void)pthread_mutex_lock(&backlog->lock); /* cannot fail: a plain mutex that we do not hold */
    bool busy = backlog->syncing;
    bool failed = backlog->sync_error.text[0] != '\0';
    (void)pthread_mutex_unlock(&backlog->lock); /* cannot fail: we hold it */
    if (busy) {
        return INT64_MAX;
    }
    if (now_us < backlog->sync_at_us) {
        return backlog->sync_at_us;
    }
    backlog->sync_at_us = now_us + (failed ? RETRY_US : SYNC_INTERVAL_US);
    backlog->syncing = true; /* no job runs: nobody else looks */
    if (backlog->setup.executor->submit(backlog->setup.executor, backlog->setup.lane, sync_job,
                                        backlog) != FAN_OK) {
        backlog->syncing = false;
    }
    return backlog->sync_at_us;
}

static int64_t removal_step(struct backlog *backlog, int64_t now_us)
{
    if (backlog->removing) {
        if (!atomic_load(&backlog->removal.done)) {
            return INT64_MAX;
        }
        backlog->removing = false;
        if (backlog->removal.status != FAN_OK) { /* removed with a later one */
            backlog->removal.position = POSITION_NONE;
            backlog->fetch_at_us = now_us + RETRY_US;
        }
    }
    /* What is delivered before it is written, as the probe, is removed after it is written. */
    bool unwritten = backlog->marks_count > 0 &&
                     position_compare(backlog->marks[0].position, backlog->delivered) <= 0;
    bool due = !unwritten && (position_compare(backlog->delivered, backlog->removal.position) > 0 ||
                              backlog->removal.owner == NULL);
    if (due && now_us < backlog->fetch_at_us) {
        return backlog->fetch_at_us;
    }
    if (due) {
        backlog->removing = true;
        job_post(backlog, &backlog->removal, LETTERS_REMOVE, backlog->delivered);
    }
    return INT64_MAX;
}

int64_t backlog_step(struct backlog *backlog, int64_t now_us)
{
    if (backlog->kind == BACKLOG_SPILL) {
        return sync_step(backlog, now_us);
    }
    if (backlog->kind == BACKLOG_LETTERS) {
        int64_t due_us = removal_step(backlog, now_us);
        return backlog->fetch_at_us > now_us && backlog->fetch_at_us < due_us ? backlog->fetch_at_us
                                                                              : due_us;
    }
    return INT64_MAX;
}
