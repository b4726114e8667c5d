#include "targets/file/file_target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "targets/file/segment.h"
#include "targets/file/state.h"

#define SECOND_US INT64_C(1000000)

enum {
    SYNC_BYTES_MAX = FILE_WINDOW_BYTES / 2, /* so that writing goes on while a sync runs */
    SUBMIT_RETRY_US = 10000,
};

#define LOOK_INTERVAL_US SECOND_US
#define ROTATION_RETRY_US SECOND_US
#define RETENTION_INTERVAL_US (3600 * SECOND_US)

static struct file_target *file_of(struct target *target)
{
    return (struct file_target *)target;
}

static void lock_take(struct file_target *file)
{
    (void)pthread_mutex_lock(&file->lock); /* fails only for a bad lock */
}

static void lock_give(struct file_target *file)
{
    (void)pthread_mutex_unlock(&file->lock); /* cannot fail for a lock that is held */
}

enum fan_status file_target_create(const struct file_options *options,
                                   const struct target_context *context, const struct file_ops *ops,
                                   struct target **ret_target, struct fan_error *reterr)
{
    struct file_target *file = calloc(1, sizeof(*file));
    if (file == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not make target \"%s\": out of memory",
                        context->target);
    }
    mode_t mode = 0640;
    if (options->mode != NULL && !file_mode_parse(options->mode, &mode)) {
        free(file);
        return fan_fail(reterr, FAN_FATAL, "cannot understand mode \"%s\"", options->mode);
    }
    enum fan_status status = place_init(&file->place, options->path, mode, ops, reterr);
    if (status != FAN_OK) {
        free(file);
        return status;
    }
    file->base.type = &file_target_type;
    file->options = options;
    file->context = *context;
    file->descriptor = -1;
    file->rotation.descriptor = -1;
    file->stored = POSITION_NONE;
    (void)pthread_mutex_init(&file->lock, NULL); /* cannot fail with default attributes */
    (void)pthread_cond_init(&file->idle, NULL);  /* cannot fail with default attributes */
    *ret_target = &file->base;
    return FAN_OK;
}

static enum fan_status file_create(const void *options, const struct target_context *context,
                                   struct target **ret_target, struct fan_error *reterr)
{
    return file_target_create(options, context, &file_ops_system, ret_target, reterr);
}

static void descriptor_close(int *descriptor)
{
    if (*descriptor >= 0) {
        (void)close(*descriptor); /* what counts has been synced, or is sent again */
        *descriptor = -1;
    }
}

/* Takes over what the job has finished. */
static void file_absorb(struct file_target *file)
{
    lock_take(file);
    bool lost = file->lost;
    bool moved = file->finding == FILE_FOUND_MOVED;
    bool rotated = file->phase == FILE_ROTATING && file->rotation.done && !lost;
    lock_give(file);
    if (lost) {
        file->phase = FILE_LOST;
    }
    if (file->phase == FILE_OPEN && moved) {
        file->phase = FILE_SEALING;
        file->seal_moved = true;
    }
    if (!rotated) {
        return;
    }
    file->rotation.done = false; /* no job is active that could look */
    if (file->rotation.status != FAN_OK) {
        file->phase = FILE_SEALING;
        file->seal_error = file->rotation.error;
        file->retry_us = file->now_us + ROTATION_RETRY_US;
        return;
    }
    descriptor_close(&file->descriptor);
    file->descriptor = file->rotation.descriptor;
    file->mark = file->rotation.mark;
    file->rotation.descriptor = -1;
    file->start_segment = file->mark.segment;
    file->finding = FILE_FOUND_SAME;
    file->seal_error.status = FAN_OK;
    file->seal_moved = false;
    file->opened_us = file->now_us;
    file->checked_us = file->now_us;
    file->phase = FILE_OPEN;
}

static void sync_request(struct file_target *file)
{
    file->unsynced_since_us = 0;
    file_job_want(file, FILE_WANT_SYNC);
}

static uint64_t bytes_outstanding(struct file_target *file)
{
    lock_take(file);
    uint64_t outstanding = file->accepted_bytes - file->synced_bytes;
    lock_give(file);
    return outstanding;
}

/* Moves a rotation on: sync, then wait for the checkpoint, then the job. */
static void seal_advance(struct file_target *file)
{
    if (bytes_outstanding(file) > 0) {
        if (file->unsynced_since_us != 0) {
            sync_request(file);
        }
        return;
    }
    if (position_compare(file->stored, file->mark.position) < 0) {
        if (file->accepted_bytes == file->started_bytes && !file->seal_posted) {
            /* It may have been stored while the target was stopped, and then nobody told. */
            file->seal_posted = true;
            file_post_settled(file, &file->mark);
        }
        return;
    }
    if (file->now_us < file->retry_us) {
        return;
    }
    lock_take(file);
    file->rotation = (struct file_rotation){
        .moved = file->seal_moved, .descriptor = file->descriptor, .mark = file->mark};
    lock_give(file);
    file->phase = FILE_ROTATING;
    file_job_want(file, FILE_WANT_ROTATE);
}

static void file_advance(struct file_target *file)
{
    file_absorb(file);
    if (file->phase == FILE_SEALING) {
        seal_advance(file);
    }
}

static bool rotation_is_due(const struct file_target *file, size_t size)
{
    const struct file_options *options = file->options;
    if (file->mark.events == 0) {
        return false;
    }
    return (options->rotate_bytes > 0 && file->mark.offset + size > options->rotate_bytes) ||
           (options->rotate_interval_us > 0 &&
            file->now_us >= file->opened_us + options->rotate_interval_us);
}

/* Before each write, because a write behind a cut would leave a hole that hides it. Whether the
 * file still has its name is for the job to find out, or, where nobody syncs, for now and then. */
static void file_watch(struct file_target *file)
{
    if (file->phase != FILE_OPEN) {
        return;
    }
    enum file_finding finding = file_look_open(file->descriptor, file->mark.offset);
    if (finding == FILE_FOUND_SAME && file->options->fsync == FILE_FSYNC_OS &&
        file->now_us >= file->checked_us + LOOK_INTERVAL_US) {
        file->checked_us = file->now_us;
        finding = file_look(&file->place, file->descriptor, file->mark.offset);
    }
    if (finding == FILE_FOUND_MOVED) {
        file->phase = FILE_SEALING;
        file->seal_moved = true;
    } else if (finding != FILE_FOUND_SAME) {
        file_set_lost_found(file, finding);
    }
}

static enum fan_status write_failed(struct file_target *file, int reason, struct fan_error *reterr)
{
    if (file->place.ops->ftruncate(file->descriptor, (off_t)file->mark.offset) != 0) {
        file->trim_pending = true;
    }
    const char *path = file->place.path;
    if (reason == ENOSPC || reason == EDQUOT) {
        (void)fan_fail(reterr, FAN_RETRY, "could not write file \"%s\": disk full", path);
        if (reterr != NULL) {
            reterr->sys_errno = reason;
        }
        fan_error_annotate(reterr, "DISK_FULL", "free some space; writing goes on by itself");
    } else {
        (void)fan_fail_errno(reterr, FAN_RETRY, reason, "could not write file \"%s\"", path);
        fan_error_annotate(reterr, "FILE_WRITE", "check the disk, its limits and the kernel log");
    }
    return FAN_RETRY;
}

/* INVARIANT (2). */
static enum fan_status file_write(struct file_target *file, const uint8_t *data, size_t size,
                                  struct fan_error *reterr)
{
    if (file->trim_pending) {
        if (file->place.ops->ftruncate(file->descriptor, (off_t)file->mark.offset) != 0) {
            return fan_fail_errno(reterr, FAN_RETRY, errno, "could not cut file \"%s\"",
                                  file->place.path);
        }
        file->trim_pending = false;
    }
    size_t written = 0;
    while (written < size) {
        ssize_t count = file->place.ops->pwrite(file->descriptor, data + written, size - written,
                                                (off_t)(file->mark.offset + written));
        if (count > 0) {
            written += (size_t)count;
        } else if (count == 0 || errno != EINTR) {
            return write_failed(file, count == 0 ? ENOSPC : errno, reterr);
        }
    }
    return FAN_OK;
}

static void batch_accept(struct file_target *file, const struct batch *batch, size_t first,
                         const uint8_t *data, size_t size)
{
    struct file_mark *mark = &file->mark;
    if (mark->events == 0) {
        mark->first = batch->events[first].position;
        file->opened_us = file->now_us;
    }
    mark->events += batch->events_count - first;
    mark->crc = crc32c(mark->crc, data, size);
    mark->offset += size;
    mark->position = batch->events[batch->events_count - 1].position;
    file->accepted_bytes += size;
}

static void sync_schedule(struct file_target *file)
{
    if (file->options->fsync == FILE_FSYNC_OS) {
        lock_take(file);
        file->synced_bytes = file->accepted_bytes;
        lock_give(file);
        file_post_settled(file, &file->mark);
        return;
    }
    if (file->unsynced_since_us == 0) {
        file->unsynced_since_us = file->now_us > 0 ? file->now_us : 1;
    }
    uint64_t limit =
        file->options->fsync_bytes < SYNC_BYTES_MAX ? file->options->fsync_bytes : SYNC_BYTES_MAX;
    if (file->options->fsync == FILE_FSYNC_BATCH || bytes_outstanding(file) >= limit) {
        sync_request(file);
    }
}

/* FAN_OK when the segment takes `size` more bytes now. */
static enum fan_status file_admit(struct file_target *file, size_t size, struct fan_error *reterr)
{
    FAN_ASSERT(file->phase != FILE_STOPPED);
    file_absorb(file);
    file_watch(file);
    file_advance(file);
    if (file->phase == FILE_OPEN && rotation_is_due(file, size)) {
        file->phase = FILE_SEALING;
        file_advance(file);
    }
    if (file->phase == FILE_SEALING && file->seal_error.status != FAN_OK) {
        if (reterr != NULL) {
            *reterr = file->seal_error;
        }
        return file->seal_error.status;
    }
    if (file->phase != FILE_OPEN) {
        return FAN_AGAIN;
    }
    uint64_t outstanding = bytes_outstanding(file);
    if (outstanding > 0 && outstanding + size > FILE_WINDOW_BYTES) {
        if (file->unsynced_since_us != 0) {
            sync_request(file);
        }
        return FAN_AGAIN;
    }
    return FAN_OK;
}

static void clock_set(struct file_target *file, int64_t now_us)
{
    file->now_us = now_us;
    if (file->opened_us == 0) {
        file->opened_us = now_us;
    }
}

static enum fan_status file_deliver(struct target *target, struct batch *batch, size_t first,
                                    int64_t now_us, struct fan_error *reterr)
{
    struct file_target *file = file_of(target);
    clock_set(file, now_us);
    size_t size = 0;
    const uint8_t *data = batch_bytes(batch, file->context.format, first, &size);
    enum fan_status status = file_admit(file, size, reterr);
    if (status == FAN_OK) {
        status = file_write(file, data, size, reterr);
    }
    if (status == FAN_OK) {
        batch_accept(file, batch, first, data, size);
        sync_schedule(file);
    }
    return status;
}

static int64_t earlier(int64_t left, int64_t right)
{
    return left < right ? left : right;
}

/* The next moment at which a timer of the present phase is due. */
static int64_t timers_next(const struct file_target *file)
{
    const struct file_options *options = file->options;
    int64_t next = INT64_MAX;
    if (file->unsynced_since_us != 0 && file->phase == FILE_OPEN) {
        next = earlier(next, file->unsynced_since_us + options->fsync_interval_us);
    }
    if (file->phase == FILE_OPEN && options->rotate_interval_us > 0 && file->mark.events > 0) {
        next = earlier(next, file->opened_us + options->rotate_interval_us);
    }
    if (file->phase == FILE_SEALING && file->seal_error.status != FAN_OK) {
        next = earlier(next, file->retry_us);
    }
    if (file_options_retain(options)) {
        next = earlier(next, file->retain_us);
    }
    return next;
}

static int64_t file_tick(struct target *target, int64_t now_us)
{
    struct file_target *file = file_of(target);
    clock_set(file, now_us);
    if (file->phase == FILE_STOPPED || file->phase == FILE_LOST) {
        return INT64_MAX;
    }
    file_absorb(file);
    if (file->phase == FILE_OPEN && file->unsynced_since_us != 0 &&
        now_us >= file->unsynced_since_us + file->options->fsync_interval_us) {
        sync_request(file);
    }
    if (file->phase == FILE_OPEN && rotation_is_due(file, 0)) {
        file->phase = FILE_SEALING;
    }
    if (file_options_retain(file->options) && now_us >= file->retain_us) {
        file->retain_us = now_us + RETENTION_INTERVAL_US;
        file_job_want(file, FILE_WANT_RETAIN);
    }
    file_advance(file);
    int64_t next = timers_next(file);
    return file_job_submit(file) ? next : earlier(next, now_us + SUBMIT_RETRY_US);
}

static void file_flush(struct target *target, int64_t now_us)
{
    struct file_target *file = file_of(target);
    clock_set(file, now_us);
    if (file->phase != FILE_STOPPED && file->phase != FILE_LOST && file->unsynced_since_us != 0) {
        sync_request(file);
    }
}

static void file_checkpointed(struct target *target, const struct target_checkpoint *checkpoint)
{
    struct file_target *file = file_of(target);
    if (position_compare(file->stored, checkpoint->position) < 0) {
        file->stored = checkpoint->position;
    }
    struct file_mark mark = {.position = checkpoint->position};
    if (file->start_segment != 0 && file_mark_parse(checkpoint->detail, &mark) &&
        mark.file == file->place.file && mark.segment >= file->start_segment &&
        file->phase != FILE_ROTATING) {
        segment_forget_start(&file->place);
        file->start_segment = 0;
    }
    if (file->phase != FILE_STOPPED && file->phase != FILE_LOST) {
        file_advance(file);
    }
}

/* Back to nothing open and nothing under way. */
static void file_reset(struct file_target *file)
{
    file_job_stop(file);
    if (file->rotation.done && file->rotation.status == FAN_OK) {
        descriptor_close(&file->rotation.descriptor);
    }
    descriptor_close(&file->descriptor);
    file->rotation = (struct file_rotation){.descriptor = -1};
    file->synced_bytes = file->accepted_bytes; /* what was not durable is sent again */
    file->lost = false;
    file->phase = FILE_STOPPED;
    file->unsynced_since_us = 0;
    file->trim_pending = false;
    file->seal_moved = false;
    file->seal_error.status = FAN_OK;
    file->retry_us = 0;
}

static enum fan_status checkpoint_parse(const struct file_target *file,
                                        const struct target_checkpoint *checkpoint,
                                        struct file_mark *ret_mark, bool *ret_ours,
                                        struct fan_error *reterr)
{
    ret_mark->position = checkpoint == NULL ? POSITION_NONE : checkpoint->position;
    *ret_ours = false;
    if (checkpoint == NULL || checkpoint->detail[0] == '\0') {
        return FAN_OK;
    }
    if (!file_mark_parse(checkpoint->detail, ret_mark)) {
        (void)fan_fail(reterr, FAN_FATAL,
                       "cannot understand the checkpoint of file \"%s\": \"%.*s\"",
                       file->place.path, TARGET_DETAIL_MAX, checkpoint->detail);
        fan_error_annotate(reterr, "FILE_CHECKPOINT",
                           "the store was written by another version, or is damaged");
        return FAN_FATAL;
    }
    *ret_ours = ret_mark->file == file->place.file;
    return FAN_OK;
}

static enum fan_status file_start(struct target *target, const struct target_checkpoint *checkpoint,
                                  struct fan_error *reterr)
{
    struct file_target *file = file_of(target);
    file_reset(file);
    bool gone = file->finding == FILE_FOUND_DELETED || file->finding == FILE_FOUND_MOVED;
    struct fan_error local;
    struct fan_error *error = reterr != NULL ? reterr : &local;
    struct file_mark checkpoint_mark = {0};
    bool ours = false;
    enum fan_status status = checkpoint_parse(file, checkpoint, &checkpoint_mark, &ours, error);
    if (status != FAN_OK) {
        return status;
    }
    struct file_mark mark = {.position = checkpoint_mark.position};
    if (gone) {
        /* What was settled went with the file; what was not starts a new segment. Of a file that
         * was moved, what was written and not settled stands in both. */
        status =
            segment_begin(&file->place, file->mark.segment + 1, &file->descriptor, &mark, error);
    } else {
        status = segment_resume(&file->place, ours ? &checkpoint_mark : NULL, &file->descriptor,
                                &mark, error);
    }
    if (status != FAN_OK) {
        return status;
    }
    /* A checkpoint handed in later may not be in the store yet: only what both say is. */
    if (!file->started || position_compare(mark.position, file->stored) < 0) {
        file->stored = mark.position;
    }
    file->started = true;
    file->started_bytes = file->accepted_bytes;
    file->seal_posted = false;
    file->mark = mark;
    file->finding = FILE_FOUND_SAME;
    file->start_segment = ours && mark.segment == checkpoint_mark.segment ? 0 : mark.segment;
    file->opened_us = 0; /* there is no clock here: the next call with one begins it */
    file->checked_us = 0;
    file->retain_us = 0;
    file->phase = FILE_OPEN;
    return FAN_OK;
}

static void file_stop(struct target *target)
{
    file_reset(file_of(target));
}

static void file_destroy(struct target *target)
{
    if (target == NULL) {
        return;
    }
    struct file_target *file = file_of(target);
    file_reset(file);
    (void)pthread_cond_destroy(&file->idle);  /* nobody waits */
    (void)pthread_mutex_destroy(&file->lock); /* nobody holds it */
    free(file);
}

static void file_address(const void *options, char *text, size_t text_size)
{
    const struct file_options *file_options = options;
    (void)snprintf(text, text_size, "%s", file_options->path); /* a longer one is cut */
}

static const char *file_durability(const void *options)
{
    const struct file_options *file_options = options;
    return file_options->fsync == FILE_FSYNC_OS ? "os" : "disk";
}

const struct target_type file_target_type = {
    .name = "file",
    .table = &file_options_table,
    .create = file_create,
    .start = file_start,
    .deliver = file_deliver,
    .tick = file_tick,
    .flush = file_flush,
    .checkpointed = file_checkpointed,
    .stop = file_stop,
    .destroy = file_destroy,
    .window_bytes = FILE_WINDOW_BYTES,
    .address = file_address,
    .durability = file_durability,
};
