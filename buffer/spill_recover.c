#include "buffer/spill_recover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "buffer/spill.h"

enum { FOUND_FIRST = 16 };

static enum fan_status fail_directory(const char *directory, int sys_errno, const char *verb,
                                      struct fan_error *reterr)
{
    bool passes = sys_errno == EIO || sys_errno == EMFILE || sys_errno == ENFILE ||
                  sys_errno == ENOMEM || sys_errno == EROFS || sys_errno == ENOSPC;
    return fan_fail_errno(reterr, passes ? FAN_RETRY : FAN_FATAL, sys_errno,
                          "%s %s spill directory \"%s\"", passes ? "could not" : "cannot", verb,
                          directory);
}

enum fan_status spill_place_open(const char *directory, struct spill_place *ret_place,
                                 struct fan_error *reterr)
{
    int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0 && errno == ENOENT) {
        return fan_fail(reterr, FAN_AGAIN, "there is no spill \"%s\"", directory);
    }
    if (descriptor < 0) {
        return fail_directory(directory, errno, "open", reterr);
    }
    *ret_place = (struct spill_place){descriptor, directory};
    return FAN_OK;
}

enum fan_status spill_place_sync_parent(const struct spill_place *place, struct fan_error *reterr)
{
    FAN_CLEANUP(fan_close_p)
    int parent = openat(place->descriptor, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0 || fsync(parent) != 0) {
        return fail_directory(place->directory, errno, "sync the name of", reterr);
    }
    return FAN_OK;
}

static bool found_add(struct spill_recovery *recovery, uint64_t number)
{
    if (recovery->found_count == recovery->capacity) {
        size_t capacity = recovery->capacity == 0 ? FOUND_FIRST : recovery->capacity * 2;
        struct spill_found *found = realloc(recovery->found, capacity * sizeof(*found));
        if (found == NULL) {
            return false;
        }
        recovery->found = found;
        recovery->capacity = capacity;
    }
    recovery->found[recovery->found_count++] = (struct spill_found){.number = number};
    return true;
}

static void close_directory_p(DIR **stream)
{
    if (*stream != NULL) {
        (void)closedir(*stream); /* it was only read */
    }
}

/* Lists the segments, in no order. With `remove_new` copies that never took their place go. */
static enum fan_status list(const struct spill_place *place, bool remove_new,
                            struct spill_recovery *recovery, struct fan_error *reterr)
{
    int descriptor = openat(place->descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FAN_CLEANUP(close_directory_p) DIR *stream = descriptor < 0 ? NULL : fdopendir(descriptor);
    if (stream == NULL) {
        int sys_errno = errno;
        if (descriptor >= 0) {
            (void)close(descriptor); /* it was only read */
        }
        return fail_directory(place->directory, sys_errno, "read", reterr);
    }
    for (;;) {
        errno = 0;
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this function's own */
        const struct dirent *entry = readdir(stream);
        if (entry == NULL) {
            return errno == 0 ? FAN_OK : fail_directory(place->directory, errno, "read", reterr);
        }
        uint64_t number;
        if (remove_new && spill_name_parse(entry->d_name, SPILL_SUFFIX_NEW, &number) &&
            unlinkat(place->descriptor, entry->d_name, 0) != 0) {
            return fail_directory(place->directory, errno, "remove a file of", reterr);
        }
        if (spill_name_parse(entry->d_name, SPILL_SUFFIX, &number) &&
            !found_add(recovery, number)) {
            return fail_directory(place->directory, ENOMEM, "read", reterr);
        }
    }
}

static int compare_found(const void *left, const void *right)
{
    uint64_t left_number = ((const struct spill_found *)left)->number;
    uint64_t right_number = ((const struct spill_found *)right)->number;
    return left_number < right_number ? -1 : left_number > right_number;
}

static enum fan_status list_sorted(const struct spill_place *place, bool remove_new,
                                   struct spill_recovery *recovery, struct fan_error *reterr)
{
    *recovery = (struct spill_recovery){0};
    enum fan_status status = list(place, remove_new, recovery, reterr);
    if (recovery->found_count > 0) {
        qsort(recovery->found, recovery->found_count, sizeof(*recovery->found), compare_found);
    }
    return status;
}

static enum fan_status scan_all(const struct spill_place *place, struct spill_window *window,
                                struct spill_recovery *recovery, struct fan_error *reterr)
{
    enum fan_status status = FAN_OK;
    for (size_t i = 0; status == FAN_OK && i < recovery->found_count; i++) {
        struct spill_found *found = &recovery->found[i];
        FAN_CLEANUP(fan_close_p) int descriptor = -1;
        status = spill_segment_open(place, found->number, O_RDONLY, &descriptor, reterr);
        if (status == FAN_OK) {
            status =
                spill_segment_scan(place, found->number, descriptor, window, &found->scan, reterr);
        }
    }
    return status;
}

/* A segment that does not begin where the one before it ended belongs to what is lost there. */
static void find_break(struct spill_recovery *recovery)
{
    for (size_t i = 1; i < recovery->found_count; i++) {
        struct spill_scan *scan = &recovery->found[i].scan;
        const struct spill_scan *before = &recovery->found[i - 1].scan;
        if (scan->intact > 0 && position_compare(scan->header.before, before->last) != 0) {
            scan->intact = 0;
            scan->fault = "it does not begin where the segment before it ends";
        }
        if (scan->fault != NULL) {
            return; /* what follows is decided by this one */
        }
    }
}

static enum fan_status decide(const struct spill_place *place, struct spill_recovery *recovery,
                              struct fan_error *reterr)
{
    size_t count = recovery->found_count;
    size_t broken = 0;
    while (broken < count && recovery->found[broken].scan.fault == NULL) {
        broken++;
    }
    recovery->kept_count = broken;
    if (broken == count) {
        return FAN_OK;
    }
    const struct spill_found *found = &recovery->found[broken];
    bool synced = found->scan.marked > found->scan.intact;
    for (size_t i = broken + 1; i < count; i++) {
        synced = synced || recovery->found[i].scan.marked > 0;
    }
    if (synced) {
        return spill_damaged(place, found->number, found->scan.intact, found->scan.fault, reterr);
    }
    recovery->kept_count += found->scan.intact > 0;
    return FAN_OK;
}

enum fan_status spill_recover_look(const struct spill_place *place, struct spill_recovery *recovery,
                                   struct fan_error *reterr)
{
    struct spill_window window;
    spill_window_init(&window);
    enum fan_status status = list_sorted(place, false, recovery, reterr);
    if (status == FAN_OK) {
        status = scan_all(place, &window, recovery, reterr);
    }
    spill_window_clear(&window, true);
    if (status == FAN_OK) {
        find_break(recovery);
        status = decide(place, recovery, reterr);
    }
    return status;
}

static enum fan_status remove_segment(const struct spill_place *place, uint64_t number,
                                      struct fan_error *reterr)
{
    char name[SPILL_NAME_SIZE];
    spill_name(number, SPILL_SUFFIX, name);
    return unlinkat(place->descriptor, name, 0) == 0
               ? FAN_OK
               : spill_fail(place, number, errno, "remove", reterr);
}

/* Cuts the segment where it ends and makes it durable from `durable` bytes on. */
static enum fan_status mend_segment(const struct spill_place *place,
                                    const struct spill_found *found, uint64_t durable,
                                    struct fan_error *reterr)
{
    uint64_t number = found->number;
    uint64_t end = found->scan.intact;
    FAN_CLEANUP(fan_close_p) int descriptor = -1;
    enum fan_status status = spill_segment_open(place, number, O_RDWR, &descriptor, reterr);
    if (status == FAN_OK && end < found->scan.size && ftruncate(descriptor, (off_t)end) != 0) {
        status = spill_fail(place, number, errno, "cut", reterr);
    }
    if (status == FAN_OK) {
        status = spill_segment_redo(place, number, descriptor, durable, end, reterr);
    }
    if (status == FAN_OK && fdatasync(descriptor) != 0) {
        status = spill_fail(place, number, errno, "sync", reterr);
    }
    if (status == FAN_OK && fsync(place->descriptor) != 0) {
        status = fail_directory(place->directory, errno, "sync", reterr);
    }
    if (status == FAN_OK) {
        spill_segment_mark(descriptor, number, end);
    }
    return status;
}

enum fan_status spill_recover_mend(const struct spill_place *place,
                                   const struct spill_recovery *recovery, struct fan_error *reterr)
{
    enum fan_status status = FAN_OK;
    struct spill_recovery again;
    for (size_t i = recovery->found_count; status == FAN_OK && i > recovery->kept_count; i--) {
        status = remove_segment(place, recovery->found[i - 1].number, reterr);
    }
    if (status == FAN_OK && recovery->found_count > recovery->kept_count &&
        fsync(place->descriptor) != 0) {
        status = fail_directory(place->directory, errno, "sync", reterr);
    }
    if (status == FAN_OK) {
        status = list_sorted(place, true, &again, reterr); /* copies that took no place go */
        spill_recover_release(&again);
    }
    size_t first = recovery->kept_count; /* with the newest mark: all before it are durable */
    while (first > 1 && recovery->found[first - 1].scan.marked == 0) {
        first--;
    }
    for (size_t i = first == 0 ? 0 : first - 1; status == FAN_OK && i < recovery->kept_count; i++) {
        const struct spill_scan *scan = &recovery->found[i].scan;
        if (scan->marked != scan->size) {
            status = mend_segment(place, &recovery->found[i], scan->marked, reterr);
        }
    }
    return status;
}

void spill_recover_release(struct spill_recovery *recovery)
{
    free(recovery->found);
    *recovery = (struct spill_recovery){0};
}

static enum fan_status remove_all(const struct spill_place *place, struct fan_error *reterr)
{
    struct spill_recovery recovery;
    enum fan_status status = list_sorted(place, true, &recovery, reterr);
    for (size_t i = recovery.found_count; status == FAN_OK && i > 0; i--) {
        status = remove_segment(place, recovery.found[i - 1].number, reterr);
    }
    spill_recover_release(&recovery);
    return status;
}

enum fan_status spill_peek(const char *directory, struct fan_position *ret_first,
                           struct fan_position *ret_last, uint64_t *ret_events,
                           struct fan_error *reterr)
{
    struct spill_place place = {-1, directory};
    struct spill_recovery recovery;
    enum fan_status status = spill_place_open(directory, &place, reterr);
    if (status != FAN_OK) {
        return status;
    }
    status = spill_recover_look(&place, &recovery, reterr);
    uint64_t events = 0;
    for (size_t i = 0; status == FAN_OK && i < recovery.kept_count; i++) {
        const struct spill_scan *scan = &recovery.found[i].scan;
        if (scan->events > 0) {
            *ret_first = events == 0 ? scan->first : *ret_first;
            *ret_last = scan->last;
            events += scan->events;
        }
    }
    if (status == FAN_OK && events == 0) {
        status = fan_fail(reterr, FAN_AGAIN, "spill \"%s\" is empty", directory);
    }
    if (status == FAN_OK) {
        *ret_events = events;
    }
    spill_recover_release(&recovery);
    (void)close(place.descriptor); /* it was only read */
    return status;
}

enum fan_status spill_remove(const char *directory, struct fan_error *reterr)
{
    struct spill_place place = {-1, directory};
    enum fan_status status = spill_place_open(directory, &place, reterr);
    if (status != FAN_OK) {
        return status == FAN_AGAIN ? FAN_OK : status;
    }
    FAN_CLEANUP(fan_close_p) int descriptor = place.descriptor;
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        return fan_fail_errno(reterr, FAN_FATAL, errno, "cannot remove spill \"%s\"", directory);
    }
    status = remove_all(&place, reterr);
    if (status == FAN_OK && rmdir(directory) != 0) {
        return fan_fail_errno(reterr, errno == ENOTEMPTY ? FAN_FATAL : FAN_RETRY, errno,
                              "could not remove spill directory \"%s\"", directory);
    }
    return status;
}
