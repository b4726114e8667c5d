#include "targets/file/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/fs.h"

enum { SEGMENT_DIGITS = 6, SUFFIX_ROOM = 48 };

const struct file_ops file_ops_system = {
    .pwrite = pwrite, .fdatasync = fdatasync, .ftruncate = ftruncate};

enum fan_status place_init(struct file_place *place, const char *path, mode_t mode,
                           const struct file_ops *ops, struct fan_error *reterr)
{
    size_t length = strlen(path);
    if (length + SUFFIX_ROOM >= sizeof(place->path)) {
        return fan_fail(reterr, FAN_FATAL, "cannot write file \"%s\": the path is too long", path);
    }
    memcpy(place->path, path, length + 1);
    const char *slash = strrchr(place->path, '/');
    place->name = slash == NULL ? place->path : slash + 1;
    size_t directory_length = (size_t)(place->name - place->path);
    if (directory_length == 0) {
        memcpy(place->directory, ".", 2);
    } else {
        memcpy(place->directory, path, directory_length);
        place->directory[directory_length] = '\0';
    }
    const char *dot = strrchr(place->name, '.');
    place->stem_length =
        dot == NULL || dot == place->name ? strlen(place->name) : (size_t)(dot - place->name);
    place->file = crc32c(0, path, length);
    place->mode = mode;
    place->ops = ops;
    return FAN_OK;
}

void place_closed_path(const struct file_place *place, uint64_t segment, char path[PATH_MAX])
{
    size_t stem_end = (size_t)(place->name - place->path) + place->stem_length;
    /* Fits: place_init() left room for the longest number. */
    (void)snprintf(path, PATH_MAX, "%.*s.%06" PRIu64 "%s", (int)stem_end, place->path, segment,
                   place->name + place->stem_length);
}

void place_suffix_path(const struct file_place *place, const char *suffix, char path[PATH_MAX])
{
    size_t length = strlen(place->path);
    size_t suffix_size = strlen(suffix) + 1;
    FAN_ASSERT(suffix_size <= SUFFIX_ROOM);
    memcpy(path, place->path, length); /* fits: place_init() left room */
    memcpy(path + length, suffix, suffix_size);
}

bool place_closed_parse(const struct file_place *place, const char *name, uint64_t *ret_segment)
{
    if (strncmp(name, place->name, place->stem_length) != 0 || name[place->stem_length] != '.') {
        return false;
    }
    const char *digits = name + place->stem_length + 1;
    size_t count = strspn(digits, "0123456789");
    if (count < SEGMENT_DIGITS || count > 18 ||
        strcmp(digits + count, place->name + place->stem_length) != 0) {
        return false;
    }
    uint64_t segment = 0;
    for (size_t i = 0; i < count; i++) {
        segment = segment * 10 + (uint64_t)(digits[i] - '0');
    }
    *ret_segment = segment;
    return segment > 0;
}

enum fan_status place_closed_newest(const struct file_place *place, uint64_t *ret_segment,
                                    struct fan_error *reterr)
{
    DIR *directory = opendir(place->directory);
    if (directory == NULL) {
        return fan_fail_errno(reterr, FAN_RETRY, errno, "could not read directory \"%s\"",
                              place->directory);
    }
    uint64_t newest = 0;
    const struct dirent *entry;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this function's own */
    while ((entry = readdir(directory)) != NULL) {
        uint64_t segment = 0;
        if (place_closed_parse(place, entry->d_name, &segment) && segment > newest) {
            newest = segment;
        }
    }
    (void)closedir(directory); /* it was only read */
    *ret_segment = newest;
    return FAN_OK;
}

static enum fan_status open_failed(const struct file_place *place, int reason,
                                   struct fan_error *reterr)
{
    struct stat directory;
    switch (reason) {
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EIO:
    case EINTR:
        return fan_fail_errno(reterr, FAN_RETRY, reason, "could not open file \"%s\"", place->path);
    case ENOENT:
        if (stat(place->directory, &directory) == 0) {
            (void)fan_fail(reterr, FAN_FATAL, "cannot go on with file \"%s\": it is missing",
                           place->path);
            fan_error_annotate(reterr, "FILE_MISSING", NULL);
            return FAN_FATAL;
        }
        (void)fan_fail(reterr, FAN_FATAL, "cannot write file \"%s\": directory \"%s\" is missing",
                       place->path, place->directory);
        fan_error_annotate(reterr, "FILE_DIRECTORY_MISSING", "mkdir -p \"%s\"", place->directory);
        return FAN_FATAL;
    case ELOOP:
        (void)fan_fail(reterr, FAN_FATAL, "cannot write file \"%s\": it is a symbolic link",
                       place->path);
        fan_error_annotate(reterr, "FILE_KIND",
                           "give the path of the file itself: a rotation would rename the link");
        return FAN_FATAL;
    default:
        (void)fan_fail_errno(reterr, FAN_FATAL, reason, "cannot open file \"%s\"", place->path);
        fan_error_annotate(reterr, "FILE_OPEN",
                           "the engine's user must be able to read and write the file, and to "
                           "make files in its directory");
        return FAN_FATAL;
    }
}

static enum fan_status descriptor_check(const struct file_place *place, int descriptor,
                                        uint64_t *ret_size, struct fan_error *reterr)
{
    struct stat status;
    if (fstat(descriptor, &status) != 0) {
        return fan_fail_errno(reterr, FAN_RETRY, errno, "could not look at file \"%s\"",
                              place->path);
    }
    if (!S_ISREG(status.st_mode)) {
        (void)fan_fail(reterr, FAN_FATAL, "cannot write file \"%s\": not a regular file",
                       place->path);
        fan_error_annotate(reterr, "FILE_KIND", "use another path, or a target of another type");
        return FAN_FATAL;
    }
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        (void)fan_fail_errno(reterr, FAN_FATAL, errno,
                             "cannot write file \"%s\": another engine or target writes to it",
                             place->path);
        fan_error_annotate(reterr, "FILE_IN_USE", "give each target a path of its own");
        return FAN_FATAL;
    }
    *ret_size = (uint64_t)status.st_size;
    return FAN_OK;
}

enum fan_status place_open(const struct file_place *place, bool create, int *ret_descriptor,
                           uint64_t *ret_size, struct fan_error *reterr)
{
    /* Non-blocking, so that a named pipe at this path is refused instead of waited for. */
    const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    bool created = false;
    FAN_CLEANUP(fan_close_p) int descriptor = open(place->path, flags);
    if (descriptor < 0 && errno == ENOENT && create) {
        descriptor = open(place->path, flags | O_CREAT | O_EXCL, 0600);
        created = descriptor >= 0;
    }
    if (descriptor < 0) {
        return open_failed(place, errno, reterr);
    }
    if (created && fchmod(descriptor, place->mode) != 0) {
        return fan_fail_errno(reterr, FAN_RETRY, errno, "could not set the mode of file \"%s\"",
                              place->path);
    }
    enum fan_status status = descriptor_check(place, descriptor, ret_size, reterr);
    if (status == FAN_OK) {
        *ret_descriptor = place_steal(&descriptor);
    }
    return status;
}

static enum fan_status small_write(const struct file_place *place, const char *path,
                                   const char *text, struct fan_error *reterr)
{
    FAN_CLEANUP(fan_close_p)
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0 || fchmod(descriptor, place->mode) != 0) {
        return fan_fail_errno(reterr, FAN_RETRY, errno, "could not make file \"%s\"", path);
    }
    enum fan_status status = fs_write_all(descriptor, path, text, strlen(text), reterr);
    if (status == FAN_OK && fsync(descriptor) != 0) {
        status = fan_fail_errno(reterr, FAN_RETRY, errno, "could not sync file \"%s\"", path);
    }
    return status;
}

enum fan_status place_write_small(const struct file_place *place, const char *path,
                                  const char *text, struct fan_error *reterr)
{
    char new_path[PATH_MAX];
    if (snprintf(new_path, sizeof(new_path), "%s.new", path) >= (int)sizeof(new_path)) {
        return fan_fail(reterr, FAN_FATAL, "cannot write file \"%s\": the path is too long", path);
    }
    enum fan_status status = small_write(place, new_path, text, reterr);
    if (status == FAN_OK && rename(new_path, path) != 0) {
        status = fan_fail_errno(reterr, FAN_RETRY, errno, "could not rename \"%s\"", new_path);
    }
    if (status != FAN_OK) {
        (void)unlink(new_path); /* half a file is of no use */
    }
    return status;
}
