/*
 * NOTES
 *
 * Segments are synced in order, oldest first, so that what is durable is always a prefix.
 *
 * After a failed fdatasync the system may have dropped the pages that it could not write, and may
 * report success for the file from then on. So a file whose sync failed is never synced again: its
 * content, which is still readable from the page cache or not at all, goes into a new file, every
 * record of that is checked, and it takes the name of the old one. The segment is closed at once,
 * so that new records go to a file that has not failed.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "buffer/spill_state.h"

/* What one sync of a segment covers. */
struct sync_step {
    struct spill_segment *segment; /* one reference */
    uint64_t bytes;
    struct fan_position last;
    int descriptor; /* of the segment, stays open for as long as the reference is held */
    bool named;
    bool suspect;
};

static bool needs_sync(const struct spill_segment *segment)
{
    return segment->descriptor >= 0 && !segment->removed &&
           (segment->closed || segment->bytes > segment->synced || !segment->named);
}

/* The next segment from `number` on that has something to sync; false when there is none up to
 * `number_last`. */
static bool step_begin(struct spill *spill, uint64_t number, uint64_t number_last,
                       struct sync_step *ret_step)
{
    spill_lock(spill);
    struct spill_segment *segment = spill->oldest;
    while (segment != NULL && (segment->number < number || !needs_sync(segment))) {
        segment = segment->next;
    }
    if (segment != NULL && segment->number > number_last) {
        segment = NULL;
    }
    if (segment != NULL) {
        segment->references++;
        *ret_step = (struct sync_step){.segment = segment,
                                       .bytes = segment->bytes,
                                       .last = segment->last,
                                       .descriptor = segment->descriptor,
                                       .named = segment->named,
                                       .suspect = segment->suspect};
    }
    spill_unlock(spill);
    return segment != NULL;
}

/* The step's bytes are durable, and all segments before them. */
static void step_done(struct spill *spill, const struct sync_step *step)
{
    struct spill_segment *segment = step->segment;
    spill_lock(spill);
    segment->synced = step->bytes;
    segment->named = true;
    segment->suspect = false;
    if (position_compare(spill->durable, step->last) < 0) {
        spill->durable = step->last;
    }
    int finished = -1; /* nothing will be written to it any more */
    if (segment->closed && segment->bytes == segment->synced) {
        finished = segment->descriptor;
        segment->descriptor = -1;
    }
    spill_unlock(spill);
    if (finished >= 0) {
        (void)close(finished); /* it was synced */
    }
}

static void step_end(struct spill *spill, struct sync_step *step)
{
    spill_lock(spill);
    struct spill_segment *last_reference = spill_segment_unref(step->segment);
    spill_unlock(spill);
    spill_segment_free(last_reference);
}

/* From now on only a copy of the file counts. */
static void step_suspect(struct spill *spill, struct sync_step *step)
{
    step->suspect = true;
    spill_lock(spill);
    step->segment->suspect = true;
    step->segment->closed = true;
    spill_unlock(spill);
}

static enum fan_status sync_names(const struct spill *spill, struct fan_error *reterr)
{
    return fsync(spill->place.descriptor) == 0
               ? FAN_OK
               : fan_fail_errno(reterr, FAN_RETRY, errno, "could not sync spill directory \"%s\"",
                                spill->directory);
}

/* Waits until the record that is being appended is whole, and takes what the copy has to hold.
 * False when the segment was trimmed away. */
static bool replace_begin(struct spill *spill, struct sync_step *step)
{
    struct spill_segment *segment = step->segment;
    spill_lock(spill);
    while (spill->appending == segment) {
        (void)pthread_cond_wait(&spill->append_ended, &spill->lock); /* cannot fail */
    }
    bool there = !segment->removed;
    segment->replacing = there;
    step->bytes = segment->bytes;
    step->last = segment->last;
    spill_unlock(spill);
    return there;
}

/* Gives the copy the segment's name and place; a `copy` of -1 means that there is none. Removes
 * what was trimmed away meanwhile. */
static enum fan_status replace_end(struct spill *spill, struct sync_step *step, int copy,
                                   struct fan_error *reterr)
{
    struct spill_segment *segment = step->segment;
    enum fan_status status = FAN_OK;
    char name[SPILL_NAME_SIZE];
    char name_new[SPILL_NAME_SIZE];
    spill_name(segment->number, SPILL_SUFFIX, name);
    spill_name(segment->number, SPILL_SUFFIX_NEW, name_new);
    int place = spill->place.descriptor;
    if (copy >= 0 && renameat(place, name_new, place, name) != 0) {
        status = spill_fail(&spill->place, segment->number, errno, "replace", reterr);
        (void)unlinkat(place, name_new, 0); /* the next start removes it, too */
        (void)close(copy);                  /* of no use */
        copy = -1;
    }
    int old = -1;
    spill_lock(spill);
    if (copy >= 0) {
        old = segment->descriptor;
        segment->descriptor = copy;
        segment->generation++;
        step->descriptor = copy;
    }
    segment->replacing = false;
    bool removed = segment->removed;
    spill_unlock(spill);
    if (old >= 0) {
        (void)close(old); /* it has lost what it lost */
    }
    if (removed) {
        (void)unlinkat(place, name, 0); /* if it stays, the target gets its events twice */
    }
    return status;
}

/* FAN_AGAIN: the segment was trimmed away, there is nothing to do. */
static enum fan_status replace(struct spill *spill, struct sync_step *step,
                               struct fan_error *reterr)
{
    if (!replace_begin(spill, step)) {
        return FAN_AGAIN;
    }
    int copy = -1;
    enum fan_status copied = spill_segment_copy(&spill->place, step->segment->number,
                                                step->descriptor, step->bytes, &copy, reterr);
    enum fan_status status = replace_end(spill, step, copy, reterr);
    return copied != FAN_OK ? copied : status;
}

static enum fan_status step_run(struct spill *spill, struct sync_step *step,
                                struct fan_error *reterr)
{
    enum fan_status status = FAN_OK;
    if (!step->suspect && fdatasync(step->descriptor) != 0) {
        step_suspect(spill, step);
    }
    if (step->suspect) {
        step->named = false;
        status = replace(spill, step, reterr);
    }
    if (status == FAN_OK && !step->named) {
        status = sync_names(spill, reterr);
        if (status != FAN_OK) {
            step_suspect(spill, step); /* a new name is to be synced, not this one again */
        }
    }
    if (status == FAN_OK) {
        spill_segment_mark(step->descriptor, step->segment->number, step->bytes);
        step_done(spill, step);
    }
    return status == FAN_AGAIN ? FAN_OK : status;
}

/* Keeps the reason why a segment cannot become durable, unless it was trimmed away. */
static enum fan_status note_lost(struct spill *spill, const struct sync_step *step,
                                 const struct fan_error *error)
{
    spill_lock(spill);
    bool there = !step->segment->removed;
    if (there) {
        spill->lost_number = step->segment->number;
        spill->lost = *error;
    }
    spill_unlock(spill);
    return there ? FAN_FATAL : FAN_OK;
}

static enum fan_status sync_all(struct spill *spill, struct fan_error *reterr)
{
    spill_lock(spill);
    uint64_t number_last = spill->newest == NULL ? 0 : spill->newest->number;
    bool lost = spill->lost_number != 0;
    struct fan_error error = spill->lost;
    spill_unlock(spill);
    enum fan_status status = lost ? FAN_FATAL : FAN_OK;
    struct sync_step step;
    uint64_t number = 0;
    while (status == FAN_OK && step_begin(spill, number, number_last, &step)) {
        status = step_run(spill, &step, &error);
        if (status == FAN_FATAL) {
            status = note_lost(spill, &step, &error);
        }
        number = step.segment->number + 1;
        step_end(spill, &step);
    }
    if (status != FAN_OK && reterr != NULL) {
        *reterr = error;
    }
    return status;
}

enum fan_status spill_sync(struct spill *spill, struct fan_error *reterr)
{
    (void)pthread_mutex_lock(&spill->sync_lock); /* a plain mutex: locking cannot fail */
    enum fan_status status = sync_all(spill, reterr);
    (void)pthread_mutex_unlock(&spill->sync_lock); /* held by this thread */
    return status;
}
