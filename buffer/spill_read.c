#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/assert.h"
#include "buffer/spill_state.h"

void spill_cursor_close(struct spill_cursor *cursor)
{
    if (cursor->descriptor >= 0) {
        (void)close(cursor->descriptor); /* it was only read */
    }
    cursor->descriptor = -1;
    spill_window_clear(&cursor->window, false);
}

enum fan_status spill_seek(struct spill *spill, struct fan_position position,
                           struct fan_error *reterr)
{
    struct spill_cursor *cursor = &spill->cursor;
    (void)reterr; /* reading finds the place, and reports what it finds there */
    /* From a record that lies further on, the way is back to the segments' beginnings. */
    if (cursor->segment != NULL && position_compare(position, cursor->reached) < 0) {
        cursor->segment = NULL;
    }
    cursor->after = position;
    return FAN_OK;
}

static void cursor_enter(struct spill_cursor *cursor, struct spill_segment *segment)
{
    FAN_ASSERT(segment != NULL); /* else the spill is drained */
    if (cursor->segment != segment) {
        spill_cursor_close(cursor);
    }
    cursor->segment = segment;
    cursor->offset = SPILL_RECORDS_START;
    cursor->reached = segment->before;
}

/* Moves to the segment of the next event; false when there is none. */
static bool cursor_find(struct spill *spill)
{
    struct spill_cursor *cursor = &spill->cursor;
    if (spill_drained(spill)) {
        return false;
    }
    if (cursor->segment == NULL) {
        cursor_enter(cursor, spill->oldest);
    }
    while (position_compare(cursor->segment->last, cursor->after) <= 0 ||
           cursor->offset == cursor->segment->bytes) {
        cursor_enter(cursor, cursor->segment->next);
    }
    return true;
}

/* Opens the cursor's file, or another one that has taken its name; `ret_changed` tells. */
static enum fan_status cursor_open(struct spill *spill, bool *ret_changed, struct fan_error *reterr)
{
    struct spill_cursor *cursor = &spill->cursor;
    spill_lock(spill);
    uint32_t generation = cursor->segment->generation;
    spill_unlock(spill);
    *ret_changed = cursor->descriptor < 0 || cursor->generation != generation;
    if (!*ret_changed) {
        return FAN_OK;
    }
    spill_cursor_close(cursor);
    cursor->generation = generation;
    return spill_segment_open(&spill->place, cursor->segment->number, O_RDONLY, &cursor->descriptor,
                              reterr);
}

/* Reads the record at the cursor, which does not move. */
static enum fan_status cursor_load(struct spill *spill, struct spill_record *ret_record,
                                   struct fan_error *reterr)
{
    struct spill_cursor *cursor = &spill->cursor;
    const struct spill_segment *segment = cursor->segment;
    const char *fault = NULL;
    bool changed;
    enum fan_status status = cursor_open(spill, &changed, reterr);
    while (status == FAN_OK) {
        status = spill_window_record(&cursor->window, cursor->descriptor, cursor->offset,
                                     segment->bytes, cursor->reached, ret_record, &fault);
        if (status == FAN_OK) {
            return FAN_OK;
        }
        if (status == FAN_RETRY) {
            return spill_fail(&spill->place, segment->number, errno, "read", reterr);
        }
        /* A file whose sync failed may lose what its copy has. */
        status = cursor_open(spill, &changed, reterr);
        if (status == FAN_OK && !changed) {
            spill_cursor_close(cursor); /* another try reads the disk again */
            status = spill_damaged(&spill->place, segment->number, cursor->offset, fault, reterr);
        }
    }
    return status;
}

static enum fan_status unpack(const struct spill *spill, const struct spill_record *record,
                              struct batch_pool *pool, size_t format, struct batch **ret_batch,
                              struct fan_error *reterr)
{
    struct batch *batch = batch_pool_take(pool);
    if (batch == NULL ||
        spill_record_unpack(record, spill->cursor.after, format, batch) != FAN_OK) {
        batch_unref(batch);
        return fan_fail(reterr, FAN_RETRY, "could not read spill \"%s\": out of memory",
                        spill->directory);
    }
    *ret_batch = batch;
    return FAN_OK;
}

enum fan_status spill_read(struct spill *spill, struct batch_pool *pool, size_t format,
                           struct batch **ret_batch, struct fan_error *reterr)
{
    struct spill_cursor *cursor = &spill->cursor;
    while (cursor_find(spill)) {
        struct spill_record record;
        enum fan_status status = cursor_load(spill, &record, reterr);
        if (status != FAN_OK) {
            return status;
        }
        bool wanted = position_compare(record.last, cursor->after) > 0;
        if (wanted) {
            status = unpack(spill, &record, pool, format, ret_batch, reterr);
        }
        if (status != FAN_OK) {
            return status;
        }
        cursor->offset += record.size;
        cursor->reached = record.last;
        if (wanted) {
            cursor->after = record.last;
            return FAN_OK;
        }
    }
    spill_window_clear(&cursor->window, true); /* an idle spill needs no memory */
    return FAN_AGAIN;
}

bool spill_drained(const struct spill *spill)
{
    return spill->events == 0 || position_compare(spill->last, spill->cursor.after) <= 0;
}
