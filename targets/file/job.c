#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "targets/file/retention.h"
#include "targets/file/segment.h"
#include "targets/file/state.h"

static void lock_take(struct file_target *file)
{
    (void)pthread_mutex_lock(&file->lock); /* fails only for a bad lock */
}

static void lock_give(struct file_target *file)
{
    (void)pthread_mutex_unlock(&file->lock); /* cannot fail for a lock that is held */
}

void file_post_settled(struct file_target *file, const struct file_mark *mark)
{
    struct outcome outcome = {.target = file->context.index,
                              .kind = OUTCOME_SETTLED,
                              .checkpoint = {.position = mark->position}};
    file_mark_format(mark, outcome.checkpoint.detail);
    file->context.outcomes->post(file->context.outcomes, &outcome);
}

void file_post_wake(struct file_target *file)
{
    const struct outcome outcome = {.target = file->context.index, .kind = OUTCOME_WAKE};
    file->context.outcomes->post(file->context.outcomes, &outcome);
}

enum file_finding file_look_open(int descriptor, uint64_t offset)
{
    struct stat open_file;
    if (fstat(descriptor, &open_file) != 0) {
        return FILE_FOUND_SAME; /* nothing is known; the next write will tell */
    }
    if (open_file.st_nlink == 0) {
        return FILE_FOUND_DELETED;
    }
    return (uint64_t)open_file.st_size < offset ? FILE_FOUND_SHORTER : FILE_FOUND_SAME;
}

enum file_finding file_look(const struct file_place *place, int descriptor, uint64_t offset)
{
    struct stat open_file;
    struct stat named;
    enum file_finding finding = file_look_open(descriptor, offset);
    if (finding != FILE_FOUND_SAME || fstat(descriptor, &open_file) != 0) {
        return finding;
    }
    if (lstat(place->path, &named) != 0) {
        return errno == ENOENT || errno == ENOTDIR ? FILE_FOUND_MOVED : FILE_FOUND_SAME;
    }
    bool same = named.st_ino == open_file.st_ino && named.st_dev == open_file.st_dev;
    return same ? FILE_FOUND_SAME : FILE_FOUND_MOVED;
}

void file_set_lost(struct file_target *file, enum file_finding finding,
                   const struct fan_error *error)
{
    lock_take(file);
    bool first = !file->lost;
    if (first) {
        file->finding = finding;
    }
    file->lost = true;
    lock_give(file);
    if (first) {
        const struct outcome outcome = {
            .target = file->context.index, .kind = OUTCOME_LOST, .error = *error};
        file->context.outcomes->post(file->context.outcomes, &outcome);
    }
}

void file_set_lost_found(struct file_target *file, enum file_finding finding)
{
    bool deleted = finding == FILE_FOUND_DELETED;
    struct fan_error error;
    (void)fan_fail(&error, FAN_RETRY, "file \"%s\" is lost: somebody %s it while it was open",
                   file->place.path, deleted ? "deleted" : "cut");
    fan_error_annotate(&error, deleted ? "FILE_DELETED" : "FILE_SHORTER",
                       "use rotate_bytes or rotate_interval, and take away closed segments only");
    file_set_lost(file, finding, &error);
}

/* INVARIANTS (1) and (3). */
static void job_sync(struct file_target *file, int descriptor, const struct file_mark *mark,
                     uint64_t bytes)
{
    if (file->place.ops->fdatasync(descriptor) != 0) {
        struct fan_error error;
        (void)fan_fail_errno(&error, FAN_RETRY, errno, "could not sync file \"%s\"",
                             file->place.path);
        fan_error_annotate(&error, "FILE_SYNC", "check the disk and the kernel log");
        file_set_lost(file, FILE_FOUND_SAME, &error);
        return;
    }
    enum file_finding finding = file_look(&file->place, descriptor, mark->offset);
    if (finding == FILE_FOUND_DELETED || finding == FILE_FOUND_SHORTER) {
        file_set_lost_found(file, finding);
        return;
    }
    lock_take(file);
    file->synced_bytes = bytes;
    file->finding = finding;
    lock_give(file);
    file_post_settled(file, mark);
}

/* Runs without the lock on a copy, because it waits for the disk. */
static void job_rotate(struct file_target *file)
{
    lock_take(file);
    struct file_rotation rotation = file->rotation;
    lock_give(file);
    uint64_t segment = rotation.mark.segment;
    rotation.status = FAN_OK;
    if (!rotation.moved) {
        rotation.status =
            segment_close(&file->place, rotation.descriptor, &rotation.mark, &rotation.error);
    }
    if (rotation.status == FAN_OK) {
        rotation.status = segment_begin(&file->place, segment + 1, &rotation.descriptor,
                                        &rotation.mark, &rotation.error);
    }
    rotation.done = true;
    lock_take(file);
    file->rotation = rotation;
    lock_give(file);
    log_write(rotation.status == FAN_OK ? LOG_DEBUG : LOG_WARN, "segment closed",
              LOG_TEXT("file", file->place.path), LOG_NUMBER("segment", segment),
              LOG_TEXT("error", rotation.status == FAN_OK ? NULL : rotation.error.text));
    if (rotation.status == FAN_OK && file_options_retain(file->options)) {
        (void)retention_apply(&file->place, file->options, clock_wall_us()); /* it logs */
    }
    file_post_wake(file);
}

static void job_step(struct file_target *file)
{
    lock_take(file);
    unsigned wanted = file->lost ? 0 : file->wanted;
    file->wanted = 0;
    int descriptor = file->sync_descriptor;
    struct file_mark mark = file->sync_mark;
    uint64_t bytes = file->sync_bytes;
    lock_give(file);
    if ((wanted & FILE_WANT_SYNC) != 0) {
        job_sync(file, descriptor, &mark, bytes);
    }
    if ((wanted & FILE_WANT_ROTATE) != 0) {
        job_rotate(file);
    }
    if ((wanted & FILE_WANT_RETAIN) != 0) {
        (void)retention_apply(&file->place, file->options, clock_wall_us()); /* it logs */
    }
}

void file_job_run(void *argument)
{
    struct file_target *file = argument;
    struct io_executor *executor = file->context.executor;
    for (;;) {
        job_step(file);
        lock_take(file);
        if (file->wanted == 0) {
            file->job_active = false;
            (void)pthread_cond_broadcast(&file->idle); /* fails only for a bad condition */
            lock_give(file);
            return;
        }
        /* To the end of the queue, so that one busy file does not hold the thread. */
        enum fan_status status = executor->submit(executor, file->context.lane, file_job_run, file);
        lock_give(file);
        if (status == FAN_OK) {
            return;
        }
    }
}

/* Call with the lock held. */
static bool job_hand_over(struct file_target *file)
{
    struct io_executor *executor = file->context.executor;
    if (file->wanted != 0 && !file->job_active) {
        file->job_active =
            executor->submit(executor, file->context.lane, file_job_run, file) == FAN_OK;
    }
    return file->wanted == 0 || file->job_active;
}

void file_job_want(struct file_target *file, unsigned want)
{
    lock_take(file);
    file->wanted |= want;
    if ((want & FILE_WANT_SYNC) != 0) {
        file->sync_descriptor = file->descriptor;
        file->sync_mark = file->mark;
        file->sync_bytes = file->accepted_bytes;
    }
    (void)job_hand_over(file); /* tick() repeats it */
    lock_give(file);
}

bool file_job_submit(struct file_target *file)
{
    lock_take(file);
    bool handed_over = job_hand_over(file);
    lock_give(file);
    return handed_over;
}

void file_job_stop(struct file_target *file)
{
    lock_take(file);
    file->wanted = 0;
    while (file->job_active) {
        (void)pthread_cond_wait(&file->idle, &file->lock); /* woken or not: look again */
    }
    lock_give(file);
}
