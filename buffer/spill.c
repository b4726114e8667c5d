#include "buffer/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "buffer/spill_recover.h"
#include "buffer/spill_state.h"

#define SEGMENT_BYTES_DEFAULT (UINT64_C(64) << 20)

static struct spill_segment *segment_new(uint64_t number, struct fan_position before,
                                         int descriptor)
{
    struct spill_segment *segment = malloc(sizeof(*segment));
    if (segment != NULL) {
        *segment = (struct spill_segment){.number = number,
                                          .before = before,
                                          .last = before,
                                          .bytes = SPILL_RECORDS_START,
                                          .descriptor = descriptor,
                                          .references = 1};
    }
    return segment;
}

struct spill_segment *spill_segment_unref(struct spill_segment *segment)
{
    FAN_ASSERT(segment->references > 0);
    return --segment->references == 0 ? segment : NULL;
}

void spill_segment_free(struct spill_segment *segment)
{
    if (segment != NULL) {
        if (segment->descriptor >= 0) {
            (void)close(segment->descriptor); /* what matters was synced */
        }
        free(segment);
    }
}

/* Takes the segment. */
static void list_add(struct spill *spill, struct spill_segment *segment)
{
    spill_lock(spill);
    if (spill->newest == NULL) {
        spill->oldest = segment;
    } else {
        spill->newest->next = segment;
    }
    spill->newest = segment;
    spill_unlock(spill);
    spill->bytes += segment->bytes;
    spill->events += segment->events;
}

static struct spill *spill_new(const struct spill_setup *setup)
{
    struct spill *spill = calloc(1, sizeof(*spill));
    if (spill == NULL) {
        return NULL;
    }
    spill->directory = strdup(setup->directory);
    if (spill->directory == NULL || pthread_mutex_init(&spill->sync_lock, NULL) != 0) {
        goto no_sync_lock;
    }
    if (pthread_mutex_init(&spill->lock, NULL) != 0) {
        goto no_lock;
    }
    if (pthread_cond_init(&spill->append_ended, NULL) != 0) {
        goto no_condition;
    }
    spill->place = (struct spill_place){-1, spill->directory};
    spill->bytes_max = setup->bytes_max;
    spill->segment_bytes = setup->segment_bytes == 0 ? SEGMENT_BYTES_DEFAULT : setup->segment_bytes;
    spill->number_next = 1;
    spill->last = POSITION_NONE;
    spill->durable = POSITION_NONE;
    spill->cursor.after = POSITION_NONE;
    spill->cursor.descriptor = -1;
    bytes_init(&spill->head, SPILL_RECORD_MAX);
    spill_window_init(&spill->cursor.window);
    return spill;
no_condition:
    (void)pthread_mutex_destroy(&spill->lock); /* nobody holds it */
no_lock:
    (void)pthread_mutex_destroy(&spill->sync_lock); /* nobody holds it */
no_sync_lock:
    free(spill->directory);
    free(spill);
    return NULL;
}

static enum fan_status place_make(struct spill_place *place, struct fan_error *reterr)
{
    enum fan_status status = fs_make_directory(place->directory, reterr);
    if (status == FAN_OK) {
        status = spill_place_open(place->directory, place, reterr);
        status = status == FAN_AGAIN ? FAN_RETRY : status; /* somebody removes it at the moment */
    }
    if (status == FAN_OK && flock(place->descriptor, LOCK_EX | LOCK_NB) != 0) {
        (void)fan_fail_errno(reterr, FAN_FATAL, errno,
                             "cannot open spill \"%s\": another engine or target has it open",
                             place->directory);
        fan_error_annotate(reterr, "SPILL_IN_USE", "give each target a spill of its own");
        status = FAN_FATAL;
    }
    return status == FAN_OK ? spill_place_sync_parent(place, reterr) : status;
}

/* Takes one segment that was found; all of it is durable. */
static enum fan_status take_segment(struct spill *spill, const struct spill_found *found,
                                    struct fan_error *reterr)
{
    const struct spill_scan *scan = &found->scan;
    struct spill_segment *segment = segment_new(found->number, scan->header.before, -1);
    if (segment == NULL) {
        return spill_fail(&spill->place, found->number, 0, "open", reterr);
    }
    segment->last = scan->last;
    segment->bytes = scan->intact;
    segment->synced = scan->intact;
    segment->events = scan->events;
    segment->named = true;
    segment->closed = true;
    list_add(spill, segment);
    spill->last = scan->last;
    spill->number_next = found->number + 1;
    return FAN_OK;
}

/* Records go on in the newest segment while it has room. */
static enum fan_status reopen_newest(struct spill *spill, struct fan_error *reterr)
{
    struct spill_segment *segment = spill->newest;
    if (segment == NULL || segment->bytes >= spill->segment_bytes) {
        return FAN_OK;
    }
    segment->closed = false;
    return spill_segment_open(&spill->place, segment->number, O_RDWR, &segment->descriptor, reterr);
}

static enum fan_status take_directory(struct spill *spill, struct fan_error *reterr)
{
    struct spill_recovery recovery = {0};
    enum fan_status status = place_make(&spill->place, reterr);
    if (status == FAN_OK) {
        status = spill_recover_look(&spill->place, &recovery, reterr);
    }
    if (status == FAN_OK) {
        status = spill_recover_mend(&spill->place, &recovery, reterr);
    }
    for (size_t i = 0; status == FAN_OK && i < recovery.kept_count; i++) {
        status = take_segment(spill, &recovery.found[i], reterr);
    }
    spill_recover_release(&recovery);
    spill->durable = spill->last;
    return status == FAN_OK ? reopen_newest(spill, reterr) : status;
}

enum fan_status spill_open(const struct spill_setup *setup, struct spill **ret_spill,
                           struct fan_error *reterr)
{
    struct spill *spill = spill_new(setup);
    if (spill == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not open spill \"%s\": out of memory",
                        setup->directory);
    }
    enum fan_status status = take_directory(spill, reterr);
    if (status != FAN_OK) {
        spill_close(spill);
        return status;
    }
    *ret_spill = spill;
    return FAN_OK;
}

void spill_close(struct spill *spill)
{
    if (spill == NULL) {
        return;
    }
    while (spill->oldest != NULL) {
        struct spill_segment *segment = spill->oldest;
        spill->oldest = segment->next;
        FAN_ASSERT(segment->references == 1); /* no sync runs */
        spill_segment_free(segment);
    }
    spill_cursor_close(&spill->cursor);
    spill_window_clear(&spill->cursor.window, true);
    if (spill->place.descriptor >= 0) {
        (void)close(spill->place.descriptor); /* nothing is written through it */
    }
    bytes_release(&spill->head);
    (void)pthread_cond_destroy(&spill->append_ended); /* nobody waits */
    (void)pthread_mutex_destroy(&spill->lock);        /* nobody holds it */
    (void)pthread_mutex_destroy(&spill->sync_lock);   /* nobody holds it */
    free(spill->directory);
    free(spill);
}

/* The newest segment when a record may go to it, kept from being closed until append_end(). */
static struct spill_segment *append_begin(struct spill *spill)
{
    spill_lock(spill);
    struct spill_segment *segment = spill->newest;
    if (segment != NULL && segment->bytes >= spill->segment_bytes) {
        segment->closed = true;
    }
    if (segment != NULL && segment->closed) {
        segment = NULL;
    }
    spill->appending = segment;
    spill_unlock(spill);
    return segment;
}

/* Publishes the record, or with NULL forgets that there was going to be one. */
static void append_end(struct spill *spill, const struct spill_parts *parts)
{
    spill_lock(spill);
    if (parts != NULL) {
        struct spill_segment *segment = spill->appending;
        segment->bytes += parts->size;
        segment->events += parts->events_count;
        segment->last = parts->last;
        spill->bytes += parts->size;
        spill->events += parts->events_count;
        spill->last = parts->last;
    }
    spill->appending = NULL;
    (void)pthread_cond_signal(&spill->append_ended); /* the syncer may wait for it */
    spill_unlock(spill);
}

static enum fan_status segment_begin(struct spill *spill, struct fan_error *reterr)
{
    const struct spill_header header = {
        .version = SPILL_VERSION, .number = spill->number_next, .before = spill->last};
    struct spill_segment *segment = segment_new(header.number, header.before, -1);
    if (segment == NULL) {
        return spill_fail(&spill->place, header.number, 0, "make", reterr);
    }
    enum fan_status status =
        spill_segment_create(&spill->place, &header, &segment->descriptor, reterr);
    if (status != FAN_OK) {
        spill_segment_free(segment);
        return status;
    }
    spill->number_next++;
    list_add(spill, segment);
    return FAN_OK;
}

/* Cuts what a failed write may have left behind the last record. */
static enum fan_status segment_cut(const struct spill *spill, struct spill_segment *segment,
                                   struct fan_error *reterr)
{
    if (segment->ragged && ftruncate(segment->descriptor, (off_t)segment->bytes) != 0) {
        return spill_fail(&spill->place, segment->number, errno, "cut", reterr);
    }
    segment->ragged = false;
    return FAN_OK;
}

static enum fan_status refuse_lost(struct spill *spill, struct fan_error *reterr)
{
    spill_lock(spill);
    enum fan_status status = spill->lost_number == 0 ? FAN_OK : FAN_FATAL;
    if (status != FAN_OK && reterr != NULL) {
        *reterr = spill->lost;
    }
    spill_unlock(spill);
    return status;
}

static enum fan_status append_write(struct spill *spill, struct spill_segment *segment,
                                    const struct spill_parts *parts, struct fan_error *reterr)
{
    enum fan_status status = segment_cut(spill, segment, reterr);
    if (status == FAN_OK) {
        status = spill_segment_write(&spill->place, segment->number, segment->descriptor,
                                     segment->bytes, parts, reterr);
        segment->ragged = status != FAN_OK;
    }
    if (segment->ragged) {
        (void)segment_cut(spill, segment, NULL); /* else the next append tries it again */
    }
    append_end(spill, status == FAN_OK ? parts : NULL);
    return status;
}

enum fan_status spill_append(struct spill *spill, const struct batch *batch, size_t format,
                             size_t first, struct fan_error *reterr)
{
    FAN_ASSERT(first <= batch->events_count);
    if (first == batch->events_count) {
        return FAN_OK;
    }
    struct spill_parts parts;
    enum fan_status status = refuse_lost(spill, reterr);
    if (status != FAN_OK) {
        return status;
    }
    status = spill_record_encode(batch, format, first, &spill->head, &parts);
    if (status == FAN_POISON) {
        return fan_fail(reterr, status, "cannot spill %zu events: a record holds at most %d bytes",
                        batch->events_count - first, SPILL_RECORD_MAX);
    }
    if (status != FAN_OK) {
        return fan_fail(reterr, status, "could not spill %zu events: out of memory",
                        batch->events_count - first);
    }
    FAN_ASSERT(position_compare(spill->last, parts.first) < 0); /* invariant (1) */
    struct spill_segment *segment = append_begin(spill);
    uint64_t more = parts.size + (segment == NULL ? SPILL_RECORDS_START : 0);
    if (more > spill->bytes_max || spill->bytes > spill->bytes_max - more) {
        append_end(spill, NULL);
        return fan_fail(reterr, FAN_AGAIN, "spill \"%s\" is full: %" PRIu64 " bytes of %" PRIu64,
                        spill->directory, spill->bytes, spill->bytes_max);
    }
    if (segment == NULL) {
        status = segment_begin(spill, reterr);
        segment = status == FAN_OK ? append_begin(spill) : NULL;
    }
    if (segment == NULL) {
        return status != FAN_OK ? status
                                : fan_fail(reterr, FAN_RETRY,
                                           "could not append to spill \"%s\": "
                                           "the disk fails",
                                           spill->directory);
    }
    return append_write(spill, segment, &parts, reterr);
}

struct fan_position spill_last(const struct spill *spill)
{
    return spill->last;
}

struct fan_position spill_durable(struct spill *spill)
{
    spill_lock(spill);
    struct fan_position durable = spill->durable;
    spill_unlock(spill);
    return durable;
}

uint64_t spill_bytes(const struct spill *spill)
{
    return spill->bytes;
}

uint64_t spill_events(const struct spill *spill)
{
    return spill->events;
}

/* Takes the oldest segment out of the list when it holds nothing behind `position`; its file is
 * gone then, or goes with the copy that is being made of it. */
static bool trim_one(struct spill *spill, struct fan_position position)
{
    char name[SPILL_NAME_SIZE];
    spill_lock(spill);
    struct spill_segment *segment = spill->oldest;
    bool over = segment != NULL && position_compare(segment->last, position) <= 0;
    bool replacing = over && segment->replacing;
    if (over) {
        segment->removed = true;
    }
    spill_unlock(spill);
    if (!over) {
        return false;
    }
    spill_name(segment->number, SPILL_SUFFIX, name);
    bool gone = replacing || unlinkat(spill->place.descriptor, name, 0) == 0 || errno == ENOENT;
    struct spill_segment *last_reference = NULL;
    spill_lock(spill);
    segment->removed = gone; /* one that stays is tried again at the next trim */
    if (gone) {
        spill->oldest = segment->next;
        spill->newest = segment->next == NULL ? NULL : spill->newest;
        spill->bytes -= segment->bytes;
        spill->events -= segment->events;
        if (position_compare(spill->durable, segment->last) < 0) {
            spill->durable = segment->last; /* at the target */
        }
        if (spill->lost_number == segment->number) {
            spill->lost_number = 0;
        }
        last_reference = spill_segment_unref(segment);
    }
    spill_unlock(spill);
    if (gone && spill->cursor.segment == segment) {
        spill_cursor_close(&spill->cursor);
        spill->cursor.segment = NULL;
    }
    spill_segment_free(last_reference);
    return gone;
}

void spill_trim(struct spill *spill, struct fan_position position)
{
    while (trim_one(spill, position)) {
    }
}
