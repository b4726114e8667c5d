#include "targets/file/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"

enum { START_TEXT_MAX = 128, SUM_TEXT_MAX = 512, POSITION_TEXT_MAX = 48 };

struct start_mark {
    bool found;
    uint64_t segment;
    uint64_t offset;
};

static enum fan_status start_write(const struct file_place *place, uint64_t segment,
                                   uint64_t offset, struct fan_error *reterr)
{
    char path[PATH_MAX];
    char text[START_TEXT_MAX];
    place_suffix_path(place, ".start", path);
    (void)snprintf(text, sizeof(text), "segment=%" PRIu64 " offset=%" PRIu64 "\n", segment,
                   offset); /* fits */
    enum fan_status status = place_write_small(place, path, text, reterr);
    return status == FAN_OK ? fs_sync_directory(place->directory, reterr) : status;
}

static bool start_number(const char **at, const char *name, uint64_t *ret_value)
{
    size_t length = strlen(name);
    if (strncmp(*at, name, length) != 0 || (*at)[length] < '0' || (*at)[length] > '9') {
        return false;
    }
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(*at + length, &end, 10);
    *at = end;
    *ret_value = value;
    return errno == 0 && value <= INT64_MAX;
}

static enum fan_status start_read(const struct file_place *place, struct start_mark *ret_start,
                                  struct fan_error *reterr)
{
    char path[PATH_MAX];
    char text[START_TEXT_MAX];
    place_suffix_path(place, ".start", path);
    *ret_start = (struct start_mark){0};
    FAN_CLEANUP(fan_close_p) int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0 && errno == ENOENT) {
        return FAN_OK;
    }
    ssize_t size = descriptor < 0 ? -1 : read(descriptor, text, sizeof(text) - 1);
    if (size < 0) {
        return fan_fail_errno(reterr, FAN_RETRY, errno, "could not read \"%s\"", path);
    }
    text[size] = '\0';
    const char *at = text;
    if (!start_number(&at, "segment=", &ret_start->segment) ||
        !start_number(&at, " offset=", &ret_start->offset) || strcmp(at, "\n") != 0 ||
        ret_start->segment == 0) {
        (void)fan_fail(reterr, FAN_FATAL, "cannot understand \"%s\"", path);
        fan_error_annotate(reterr, "FILE_START_MARK",
                           "it was not written by pgfan or is damaged; put it back from a copy");
        return FAN_FATAL;
    }
    ret_start->found = true;
    return FAN_OK;
}

void segment_forget_start(const struct file_place *place)
{
    char path[PATH_MAX];
    place_suffix_path(place, ".start", path);
    (void)unlink(path); /* a start mark that stays is outdone by the checkpoint */
}

static enum fan_status refuse_torn(const struct file_place *place, int descriptor, uint64_t size,
                                   struct fan_error *reterr)
{
    char last = '\n';
    if (size > 0 && pread(descriptor, &last, 1, (off_t)(size - 1)) != 1) {
        return fan_fail_errno(reterr, FAN_RETRY, errno, "could not read file \"%s\"", place->path);
    }
    if (last == '\n') {
        return FAN_OK;
    }
    (void)fan_fail(reterr, FAN_FATAL,
                   "cannot append to file \"%s\": its last line has no end, and no checkpoint "
                   "says that pgfan wrote it",
                   place->path);
    fan_error_annotate(reterr, "FILE_FOREIGN", "move the file away, or end its last line");
    return FAN_FATAL;
}

enum fan_status segment_begin(const struct file_place *place, uint64_t segment, int *ret_descriptor,
                              struct file_mark *ret_mark, struct fan_error *reterr)
{
    FAN_CLEANUP(fan_close_p) int descriptor = -1;
    uint64_t size = 0;
    enum fan_status status = place_open(place, true, &descriptor, &size, reterr);
    if (status == FAN_OK) {
        status = refuse_torn(place, descriptor, size, reterr);
    }
    if (status == FAN_OK) {
        status = start_write(place, segment, size, reterr);
    }
    if (status != FAN_OK) {
        return status;
    }
    struct fan_position position = ret_mark->position;
    *ret_mark = (struct file_mark){.file = place->file,
                                   .segment = segment,
                                   .base = size,
                                   .offset = size,
                                   .position = position};
    *ret_descriptor = place_steal(&descriptor);
    return FAN_OK;
}

static enum fan_status fail_shorter(const struct file_place *place, uint64_t size, uint64_t offset,
                                    struct fan_error *reterr)
{
    (void)fan_fail(reterr, FAN_FATAL,
                   "file \"%s\" is shorter than its checkpoint: %" PRIu64 " bytes of %" PRIu64,
                   place->path, size, offset);
    fan_error_annotate(reterr, "FILE_SHORTER",
                       "put the file back as it was; or move it away and start the target over "
                       "by removing its checkpoint: what was confirmed is not sent again");
    return FAN_FATAL;
}

/* Opens the active file at `mark` and cuts off what stands behind it. */
static enum fan_status segment_reopen(const struct file_place *place, const struct file_mark *mark,
                                      int *ret_descriptor, struct fan_error *reterr)
{
    FAN_CLEANUP(fan_close_p) int descriptor = -1;
    uint64_t size = 0;
    enum fan_status status = place_open(place, mark->offset == 0, &descriptor, &size, reterr);
    if (status == FAN_FATAL && reterr != NULL && strcmp(reterr->code, "FILE_MISSING") == 0) {
        return fail_shorter(place, 0, mark->offset, reterr);
    }
    if (status != FAN_OK) {
        return status;
    }
    if (size < mark->offset) {
        return fail_shorter(place, size, mark->offset, reterr);
    }
    if (size > mark->offset && place->ops->ftruncate(descriptor, (off_t)mark->offset) != 0) {
        return fan_fail_errno(reterr, FAN_RETRY, errno, "could not cut file \"%s\"", place->path);
    }
    /* An empty segment may have been made here, and its name must outlive a power cut. */
    status = mark->offset == 0 ? fs_sync_directory(place->directory, reterr) : FAN_OK;
    if (status == FAN_OK) {
        *ret_descriptor = place_steal(&descriptor);
    }
    return status;
}

static bool closed_exists(const struct file_place *place, uint64_t segment, uint64_t *ret_size)
{
    char path[PATH_MAX];
    struct stat status;
    place_closed_path(place, segment, path);
    if (lstat(path, &status) != 0) {
        return false;
    }
    *ret_size = (uint64_t)status.st_size;
    return true;
}

/* The checkpoint's segment has its closed name already, so it must end where the checkpoint is,
 * and no later one may exist: anything else means that the checkpoint is an old copy. */
static enum fan_status refuse_ahead(const struct file_place *place,
                                    const struct file_mark *checkpoint, uint64_t size,
                                    struct fan_error *reterr)
{
    uint64_t newest = 0;
    enum fan_status status = place_closed_newest(place, &newest, reterr);
    if (status != FAN_OK || (newest <= checkpoint->segment && size == checkpoint->offset)) {
        return status;
    }
    (void)fan_fail(reterr, FAN_FATAL,
                   "closed segments of file \"%s\" are ahead of its checkpoint in segment %" PRIu64,
                   place->path, checkpoint->segment);
    fan_error_annotate(reterr, "FILE_AHEAD",
                       "the store is an older copy, or the segments belong to another engine; "
                       "move the newer segments away, and put back the one of the checkpoint");
    return FAN_FATAL;
}

static enum fan_status resume_checkpoint(const struct file_place *place,
                                         const struct file_mark *checkpoint, int *ret_descriptor,
                                         struct file_mark *ret_mark, struct fan_error *reterr)
{
    uint64_t size = 0;
    ret_mark->position = checkpoint->position;
    if (closed_exists(place, checkpoint->segment, &size)) {
        /* The crash came between the rename and the next start mark. */
        enum fan_status status = refuse_ahead(place, checkpoint, size, reterr);
        return status == FAN_OK
                   ? segment_begin(place, checkpoint->segment + 1, ret_descriptor, ret_mark, reterr)
                   : status;
    }
    enum fan_status status = segment_reopen(place, checkpoint, ret_descriptor, reterr);
    if (status == FAN_OK) {
        *ret_mark = *checkpoint;
    }
    return status;
}

enum fan_status segment_resume(const struct file_place *place, const struct file_mark *checkpoint,
                               int *ret_descriptor, struct file_mark *ret_mark,
                               struct fan_error *reterr)
{
    struct start_mark start;
    enum fan_status status = start_read(place, &start, reterr);
    if (status != FAN_OK) {
        return status;
    }
    if (start.found && (checkpoint == NULL || start.segment > checkpoint->segment)) {
        const struct file_mark mark = {.file = place->file,
                                       .segment = start.segment,
                                       .base = start.offset,
                                       .offset = start.offset,
                                       .position = ret_mark->position};
        status = segment_reopen(place, &mark, ret_descriptor, reterr);
        if (status == FAN_OK) {
            *ret_mark = mark;
        }
        return status;
    }
    if (checkpoint != NULL) {
        segment_forget_start(place);
        return resume_checkpoint(place, checkpoint, ret_descriptor, ret_mark, reterr);
    }
    uint64_t newest = 0;
    struct stat directory;
    if (stat(place->directory, &directory) == 0) {
        status = place_closed_newest(place, &newest, reterr);
    } /* else segment_begin() says what is wrong with it */
    return status == FAN_OK ? segment_begin(place, newest + 1, ret_descriptor, ret_mark, reterr)
                            : status;
}

/* A position as it ends an event's id: commit LSN and seq. */
static void position_text(struct fan_position position, char text[POSITION_TEXT_MAX])
{
    if (position.seq == SEQ_MESSAGE) {
        (void)snprintf(text, POSITION_TEXT_MAX, "%016" PRIX64 "-m", position.commit_lsn.value);
    } else {
        (void)snprintf(text, POSITION_TEXT_MAX, "%016" PRIX64 "-%08" PRIx64,
                       position.commit_lsn.value, (uint64_t)position.seq);
    }
}

static enum fan_status sum_write(const struct file_place *place, const struct file_mark *mark,
                                 const char *closed_path, struct fan_error *reterr)
{
    char path[PATH_MAX];
    char text[SUM_TEXT_MAX];
    char first[POSITION_TEXT_MAX];
    char last[POSITION_TEXT_MAX];
    position_text(mark->first, first);
    position_text(mark->position, last);
    (void)snprintf(text, sizeof(text),
                   "{\"segment\":%" PRIu64 ",\"offset\":%" PRIu64 ",\"bytes\":%" PRIu64
                   ",\"events\":%" PRIu64 ",\"crc32c\":\"%08" PRIX32
                   "\",\"first\":\"%s\",\"last\":\"%s\"}\n",
                   mark->segment, mark->base, mark->offset - mark->base, mark->events, mark->crc,
                   first, last); /* fits */
    if (snprintf(path, sizeof(path), "%s.sum", closed_path) >= (int)sizeof(path)) {
        return fan_fail(reterr, FAN_FATAL, "cannot name the sum of \"%s\": too long", closed_path);
    }
    return place_write_small(place, path, text, reterr);
}

/* True when the closed name belongs to the open file: an earlier attempt came as far as that. */
static bool closed_is_ours(const char *path, int descriptor)
{
    struct stat closed;
    struct stat active;
    return lstat(path, &closed) == 0 && fstat(descriptor, &active) == 0 &&
           closed.st_ino == active.st_ino && closed.st_dev == active.st_dev;
}

enum fan_status segment_close(const struct file_place *place, int descriptor,
                              const struct file_mark *mark, struct fan_error *reterr)
{
    char path[PATH_MAX];
    uint64_t size = 0;
    place_closed_path(place, mark->segment, path);
    if (closed_is_ours(path, descriptor)) {
        return fs_sync_directory(place->directory, reterr);
    }
    if (closed_exists(place, mark->segment, &size)) {
        (void)fan_fail(reterr, FAN_FATAL, "cannot close segment \"%s\": the file exists", path);
        fan_error_annotate(reterr, "FILE_EXISTS", "move it away; nothing is written over it");
        return FAN_FATAL;
    }
    enum fan_status status = sum_write(place, mark, path, reterr);
    if (status == FAN_OK &&
        renameat2(AT_FDCWD, place->path, AT_FDCWD, path, RENAME_NOREPLACE) != 0) {
        status = fan_fail_errno(reterr, FAN_RETRY, errno, "could not rename \"%s\"", place->path);
    }
    return status == FAN_OK ? fs_sync_directory(place->directory, reterr) : status;
}
