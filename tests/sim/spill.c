/*
 * Spills on a disk in memory: buffer/spill.h, with whole records that survive a crash when they
 * were synced, and by chance when they were not. Segments end at random.
 */
#include "buffer/spill.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "model/change.h"
#include "tests/sim/world.h"

enum { EVENT_BYTES = 40 }; /* of the file, beside payload and label */

struct spill {
    struct outside *outside;
    struct disk *disk;
    uint64_t bytes_max;
    struct fan_position last;
    struct fan_position durable;
    struct fan_position after; /* the read cursor */
};

/* ---- one event ---- */

static uint8_t *bytes_copy(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    FAN_ASSERT(copy != NULL);
    memcpy(copy, bytes, size);
    return copy;
}

struct kept_event kept_copy(const struct batch_event *event, const uint8_t *bytes, size_t size,
                            const uint8_t *label, size_t label_size)
{
    struct kept_event kept = {.event = *event,
                              .bytes = bytes_copy(bytes, size),
                              .size = size,
                              .label = bytes_copy(label, label_size),
                              .label_size = label_size};
    kept.event.gap_first = POSITION_NONE; /* only of this run */
    kept.event.gap_count = 0;
    return kept;
}

void kept_release(struct kept_event *kept)
{
    free(kept->bytes);
    free(kept->label);
    *kept = (struct kept_event){0};
}

/* ---- the disk ---- */

static void record_release(struct disk_record *record)
{
    for (size_t index = 0; index < record->count; index++) {
        kept_release(&record->events[index]);
    }
    free(record->events);
    *record = (struct disk_record){0};
}

void disk_release(struct disk *disk)
{
    for (size_t at = disk->first; at < disk->count; at++) {
        record_release(&disk->records[at]);
    }
    free(disk->records);
    *disk = (struct disk){0};
}

static struct fan_position record_last(const struct disk_record *record)
{
    return record->events[record->count - 1].event.position;
}

static void flag_record(struct outside *outside, const struct disk_record *record)
{
    for (size_t index = 0; index < record->count; index++) {
        const struct batch_event *event = &record->events[index].event;
        size_t at = outside_event(outside, event->position);
        if (event->op != CHANGE_GAP) {
            *outside_flag(outside, at) |= FLAG_SPILL;
        }
    }
}

static void harden(struct outside *outside, size_t count)
{
    struct disk *disk = &outside->disk;
    for (; disk->synced < count; disk->synced++) {
        flag_record(outside, &disk->records[disk->synced]);
    }
}

void disk_crash(struct outside *outside)
{
    struct disk *disk = &outside->disk;
    size_t tail = disk->count - disk->synced;
    size_t kept = disk->synced + (size_t)rng_below(&outside->world->rng, tail + 1);
    if (kept < disk->count) {
        sometimes(SOMETIMES_SPILL_TAIL_LOST);
    }
    while (disk->count > kept) {
        record_release(&disk->records[--disk->count]);
    }
}

static bool mishap(struct outside *outside, uint64_t one_in)
{
    bool any = world_mishap(outside->world, one_in);
    if (any) {
        outside->world->disk_us = outside->world->now_us;
    }
    return any;
}

static struct outside *find(const char *directory)
{
    unsigned pipeline = PIPELINES_MAX;
    unsigned target = TARGETS_MAX;
    FAN_ASSERT(sscanf(directory, "/sim/spill-p%u+t%u", &pipeline, &target) == 2);
    FAN_ASSERT(pipeline < PIPELINES_MAX && target < TARGETS_MAX);
    return &sim_world->outside[pipeline][target];
}

/* ---- life ---- */

enum fan_status spill_open(const struct spill_setup *setup, struct spill **ret_spill,
                           struct fan_error *reterr)
{
    struct outside *outside = find(setup->directory);
    struct disk *disk = &outside->disk;
    FAN_ASSERT(disk->open == NULL);
    if (outside->world->process != NULL && mishap(outside, 20)) {
        return fan_fail(reterr, FAN_RETRY, "could not open a spill: simulated");
    }
    struct spill *spill = calloc(1, sizeof(*spill));
    FAN_ASSERT(spill != NULL);
    harden(outside, disk->count);
    *spill = (struct spill){.outside = outside,
                            .disk = disk,
                            .bytes_max = setup->bytes_max,
                            .last = POSITION_NONE,
                            .after = POSITION_NONE};
    if (disk->count > disk->first) {
        spill->last = record_last(&disk->records[disk->count - 1]);
    }
    spill->durable = spill->last;
    disk->segment++;
    disk->open = spill;
    *ret_spill = spill;
    return FAN_OK;
}

void spill_close(struct spill *spill)
{
    if (spill != NULL) {
        spill->disk->open = NULL;
        free(spill);
    }
}

/* ---- appending ---- */

static struct disk_record record_of(const struct batch *batch, size_t format, size_t first)
{
    struct disk_record record = {.count = batch->events_count - first, .part = batch->part};
    record.events = calloc(record.count, sizeof(*record.events));
    FAN_ASSERT(record.events != NULL);
    for (size_t index = 0; index < record.count; index++) {
        size_t size;
        size_t label_size;
        const uint8_t *bytes = batch_event_bytes(batch, format, first + index, &size);
        const uint8_t *label = batch_label_bytes(batch, first + index, &label_size);
        record.events[index] =
            kept_copy(&batch->events[first + index], bytes, size, label, label_size);
        record.bytes += EVENT_BYTES + size + label_size;
    }
    return record;
}

static void check_format(const struct outside *outside, const struct disk_record *record,
                         size_t format)
{
    for (size_t index = 0; index < record->count; index++) {
        const struct kept_event *kept = &record->events[index];
        size_t event = wal_find(&outside->world->wal, kept->event.position);
        if (kept->event.op != CHANGE_GAP &&
            !outside_is_own_format(outside, event, kept->bytes, kept->size)) {
            world_fail(outside->world, "p%zu t%zu: e%zu is spilled in another format",
                       outside->pipeline, outside->target, event);
        }
    }
    if (format > 0) {
        sometimes(SOMETIMES_SPILL_FORMAT);
    }
}

static void disk_add(struct disk *disk, struct disk_record record)
{
    if (disk->count == disk->capacity) {
        disk->capacity = disk->capacity == 0 ? 16 : disk->capacity * 2;
        disk->records = realloc(disk->records, disk->capacity * sizeof(*disk->records));
        FAN_ASSERT(disk->records != NULL);
    }
    disk->records[disk->count++] = record;
}

enum fan_status spill_append(struct spill *spill, const struct batch *batch, size_t format,
                             size_t first, struct fan_error *reterr)
{
    struct outside *outside = spill->outside;
    if (mishap(outside, 15)) {
        (void)fan_fail(reterr, FAN_RETRY, "could not write a spill: disk full");
        if (reterr != NULL) {
            reterr->sys_errno = ENOSPC;
        }
        return FAN_RETRY;
    }
    if (first == batch->events_count) {
        return FAN_OK;
    }
    if (position_compare(batch->events[first].position, spill->last) <= 0) {
        world_fail(outside->world, "p%zu t%zu: the spill goes back (spill.h, invariant 1)",
                   outside->pipeline, outside->target);
        return fan_fail(reterr, FAN_FATAL, "the spill goes back");
    }
    struct disk_record record = record_of(batch, format, first);
    check_format(outside, &record, format);
    if (record.bytes + spill_bytes(spill) > spill->bytes_max) {
        record_release(&record);
        return fan_fail(reterr, FAN_AGAIN, "spill is full");
    }
    spill->disk->segment += world_chance(outside->world, 3);
    record.segment = spill->disk->segment;
    spill->last = record_last(&record);
    disk_add(spill->disk, record);
    world_note(outside->world, "spill: record (place, events, bytes)",
               outside->pipeline * 16 + outside->target, record.count, record.bytes);
    return FAN_OK;
}

enum fan_status spill_sync(struct spill *spill, struct fan_error *reterr)
{
    struct outside *outside = spill->outside;
    if (outside->world->crashing || mishap(outside, 12)) {
        return fan_fail(reterr, FAN_RETRY, "could not sync a spill: simulated");
    }
    harden(outside, spill->disk->count);
    spill->durable = spill->last;
    return FAN_OK;
}

struct fan_position spill_last(const struct spill *spill)
{
    return spill->last;
}

struct fan_position spill_durable(struct spill *spill)
{
    return spill->durable;
}

/* ---- reading ---- */

enum fan_status spill_seek(struct spill *spill, struct fan_position position,
                           struct fan_error *reterr)
{
    (void)reterr; /* it cannot fail */
    spill->after = position;
    return FAN_OK;
}

static struct batch *batch_of(const struct disk_record *record, struct fan_position after,
                              struct batch_pool *pool, size_t format)
{
    struct batch *batch = batch_pool_take(pool);
    FAN_ASSERT(batch != NULL);
    batch->part = record->part;
    for (size_t index = 0; index < record->count; index++) {
        const struct kept_event *kept = &record->events[index];
        if (position_compare(kept->event.position, after) > 0) {
            FAN_ASSERT(batch_append(batch, &kept->event, format, kept->bytes, kept->size,
                                    kept->label, kept->label_size) == FAN_OK);
        }
    }
    return batch;
}

enum fan_status spill_read(struct spill *spill, struct batch_pool *pool, size_t format,
                           struct batch **ret_batch, struct fan_error *reterr)
{
    const struct disk *disk = spill->disk;
    for (size_t at = disk->first; at < disk->count; at++) {
        const struct disk_record *record = &disk->records[at];
        if (position_compare(record_last(record), spill->after) <= 0) {
            continue;
        }
        if (mishap(spill->outside, 40)) {
            return fan_fail(reterr, FAN_RETRY, "could not read a spill: simulated");
        }
        *ret_batch = batch_of(record, spill->after, pool, format);
        spill->after = record_last(record);
        return FAN_OK;
    }
    return FAN_AGAIN;
}

bool spill_drained(const struct spill *spill)
{
    const struct disk *disk = spill->disk;
    return disk->count == disk->first || position_compare(spill->last, spill->after) <= 0;
}

/* ---- trimming ---- */

static void trim_record(struct outside *outside, struct disk_record *record)
{
    for (size_t index = 0; index < record->count; index++) {
        const struct batch_event *event = &record->events[index].event;
        if (event->op != CHANGE_GAP) {
            check_removal(outside, outside_event(outside, event->position), FLAG_SPILL, "spill");
        }
    }
    record_release(record);
}

/* The end of the segment of record `at`. */
static size_t segment_end(const struct disk *disk, size_t at)
{
    unsigned segment = disk->records[at].segment;
    while (at < disk->count && disk->records[at].segment == segment) {
        at++;
    }
    return at;
}

void spill_trim(struct spill *spill, struct fan_position position)
{
    struct disk *disk = spill->disk;
    while (disk->first < disk->count) {
        size_t end = segment_end(disk, disk->first);
        if (position_compare(record_last(&disk->records[end - 1]), position) > 0) {
            return;
        }
        for (; disk->first < end; disk->first++) {
            trim_record(spill->outside, &disk->records[disk->first]);
        }
        disk->synced = disk->synced > disk->first ? disk->synced : disk->first;
    }
    spill->durable = spill->last; /* nothing is left that could be lost */
}

uint64_t spill_bytes(const struct spill *spill)
{
    uint64_t bytes = 0;
    for (size_t at = spill->disk->first; at < spill->disk->count; at++) {
        bytes += spill->disk->records[at].bytes;
    }
    return bytes;
}

uint64_t spill_events(const struct spill *spill)
{
    uint64_t events = 0;
    for (size_t at = spill->disk->first; at < spill->disk->count; at++) {
        events += spill->disk->records[at].count;
    }
    return events;
}

enum fan_status spill_peek(const char *directory, struct fan_position *ret_first,
                           struct fan_position *ret_last, uint64_t *ret_events,
                           struct fan_error *reterr)
{
    (void)reterr; /* no reason is wanted */
    const struct disk *disk = &find(directory)->disk;
    if (disk->first == disk->count) {
        return FAN_AGAIN;
    }
    *ret_first = disk->records[disk->first].events[0].event.position;
    *ret_last = record_last(&disk->records[disk->count - 1]);
    *ret_events = 0;
    for (size_t at = disk->first; at < disk->count; at++) {
        *ret_events += disk->records[at].count;
    }
    return FAN_OK;
}

enum fan_status spill_remove(const char *directory, struct fan_error *reterr)
{
    (void)reterr; /* it cannot fail */
    disk_release(&find(directory)->disk);
    return FAN_OK;
}
