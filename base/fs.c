#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { READ_CHUNK = 16384 };

/* What an error of a file system call means for the caller. */
static enum fan_status class_of(int sys_errno)
{
    switch (sys_errno) {
    case ENOSPC:
    case EDQUOT:
    case EIO:
    case EAGAIN:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return FAN_RETRY;
    default:
        return FAN_FATAL;
    }
}

static enum fan_status fail(struct fan_error *reterr, const char *verb, const char *path)
{
    int sys_errno = errno;
    enum fan_status status = class_of(sys_errno);
    return fan_fail_errno(reterr, status, sys_errno, "%s %s \"%s\"",
                          status == FAN_RETRY ? "could not" : "cannot", verb, path);
}

enum fan_status fs_read_descriptor(int descriptor, const char *path, struct bytes *ret_content,
                                   struct fan_error *reterr)
{
    size_t before = ret_content->size;
    for (;;) {
        char chunk[READ_CHUNK];
        ssize_t got = read(descriptor, chunk, sizeof(chunk));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            int sys_errno = errno;
            bytes_truncate(ret_content, before);
            errno = sys_errno;
            return fail(reterr, "read", path);
        }
        if (got == 0) {
            return FAN_OK;
        }
        bytes_append(ret_content, chunk, (size_t)got);
        explicit_bzero(chunk, (size_t)got); /* it may have been a secret */
        if (!bytes_ok(ret_content)) {
            bool over = (size_t)got > ret_content->size_max - ret_content->size;
            bytes_truncate(ret_content, before);
            return over ? fan_fail(reterr, FAN_FATAL, "cannot read \"%s\": larger than %zu bytes",
                                   path, ret_content->size_max)
                        : fan_fail(reterr, FAN_RETRY, "could not read \"%s\": out of memory", path);
        }
    }
}

enum fan_status fs_read_file(const char *path, struct bytes *ret_content, struct fan_error *reterr)
{
    /* O_NONBLOCK: opening a FIFO must not wait for a writer that never comes. */
    FAN_CLEANUP(fan_close_p) int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    if (descriptor < 0 || fstat(descriptor, &info) != 0) {
        return fail(reterr, "open", path);
    }
    if (!S_ISREG(info.st_mode)) {
        return fan_fail(reterr, FAN_FATAL, "cannot read \"%s\": not a regular file", path);
    }
    return fs_read_descriptor(descriptor, path, ret_content, reterr);
}

enum fan_status fs_write_all(int descriptor, const char *path, const void *data, size_t size,
                             struct fan_error *reterr)
{
    const char *at = data;
    while (size > 0) {
        ssize_t written = write(descriptor, at, size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return fail(reterr, "write", path);
        }
        at += written;
        size -= (size_t)written;
    }
    return FAN_OK;
}

enum fan_status fs_sync_directory(const char *path, struct fan_error *reterr)
{
    FAN_CLEANUP(fan_close_p) int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) {
        return fail(reterr, "open directory", path);
    }
    return fsync(descriptor) == 0 ? FAN_OK : fail(reterr, "sync directory", path);
}

enum fan_status fs_make_directory(const char *path, struct fan_error *reterr)
{
    if (mkdir(path, 0700) == 0) {
        return FAN_OK;
    }
    int sys_errno = errno;
    if (sys_errno == EEXIST && fs_is_directory(path)) {
        return FAN_OK;
    }
    errno = sys_errno;
    return fail(reterr, "create directory", path);
}

bool fs_is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}
