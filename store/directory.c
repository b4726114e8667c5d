#include "store/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/store.h"

static enum fan_status directory_check(const char *data_dir, const struct stat *status,
                                       struct fan_error *reterr)
{
    if (!S_ISDIR(status->st_mode)) {
        (void)fan_fail(reterr, FAN_FATAL, "data directory \"%s\" is not a directory", data_dir);
        fan_error_annotate(reterr, "STORE_MISSING", "point data_dir to a directory");
        return FAN_FATAL;
    }
    if (status->st_uid != geteuid()) {
        (void)fan_fail(reterr, FAN_FATAL,
                       "data directory \"%s\" belongs to user %lu, but the engine runs as user %lu",
                       data_dir, (unsigned long)status->st_uid, (unsigned long)geteuid());
        fan_error_annotate(reterr, "STORE_OWNER",
                           "run the engine as the directory's owner, or chown the directory");
        return FAN_FATAL;
    }
    if ((status->st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        (void)fan_fail(reterr, FAN_FATAL, "data directory \"%s\" is writable for other users",
                       data_dir);
        fan_error_annotate(reterr, "STORE_PERMISSIONS", "chmod 0700 \"%s\"", data_dir);
        return FAN_FATAL;
    }
    return FAN_OK;
}

enum fan_status directory_prepare(const char *data_dir, bool create, struct fan_error *reterr)
{
    struct stat status;
    if (create && mkdir(data_dir, 0700) != 0 && errno != EEXIST) {
        int reason = errno;
        enum fan_status result = reason == ENOSPC || reason == EDQUOT ? FAN_RETRY : FAN_FATAL;
        (void)fan_fail_errno(reterr, result, reason, "cannot make data directory \"%s\"", data_dir);
        fan_error_annotate(reterr, "STORE_MISSING",
                           "make the directory above it, or give the engine's user access to it");
        return result;
    }
    if (stat(data_dir, &status) != 0) {
        (void)fan_fail_errno(reterr, FAN_FATAL, errno, "cannot use data directory \"%s\"",
                             data_dir);
        fan_error_annotate(reterr, "STORE_MISSING", "check data_dir in the conf");
        return FAN_FATAL;
    }
    return directory_check(data_dir, &status, reterr);
}

static enum fan_status sync_path(const char *path, int flags, struct fan_error *reterr)
{
    FAN_CLEANUP(fan_close_p) int descriptor = open(path, flags | O_CLOEXEC);
    if (descriptor < 0 || fsync(descriptor) != 0) {
        return fan_fail_errno(reterr, FAN_RETRY, errno, "could not sync \"%s\"", path);
    }
    return FAN_OK;
}

enum fan_status directory_sync(const char *data_dir, struct fan_error *reterr)
{
    return sync_path(data_dir, O_RDONLY | O_DIRECTORY, reterr);
}

enum fan_status directory_sync_file(const char *path, struct fan_error *reterr)
{
    return sync_path(path, O_RDONLY | O_NOFOLLOW, reterr);
}

/* The pid that the holder wrote; only a help for people, so anything odd becomes 0. */
static long lock_holder(int descriptor)
{
    char text[24];
    ssize_t size = pread(descriptor, text, sizeof(text) - 1, 0);
    if (size <= 0) {
        return 0;
    }
    text[size] = '\0';
    long pid = strtol(text, NULL, 10);
    return pid > 0 ? pid : 0;
}

static enum fan_status lock_refused(const char *data_dir, int descriptor, int reason,
                                    struct fan_error *reterr)
{
    if (reason != EWOULDBLOCK) {
        return fan_fail_errno(reterr, FAN_FATAL, reason, "cannot lock data directory \"%s\"",
                              data_dir);
    }
    long pid = lock_holder(descriptor);
    if (pid > 0) {
        (void)fan_fail(reterr, FAN_FATAL, "data directory \"%s\" is in use by process %ld",
                       data_dir, pid);
    } else {
        (void)fan_fail(reterr, FAN_FATAL, "data directory \"%s\" is in use by another process",
                       data_dir);
    }
    fan_error_annotate(reterr, "STORE_IN_USE",
                       "stop the other engine, or give this one a data_dir of its own");
    return FAN_FATAL;
}

/* Hands a descriptor on, so that the end of its scope does not close it. */
static int descriptor_steal(int *descriptor)
{
    int stolen = *descriptor;
    *descriptor = -1;
    return stolen;
}

enum fan_status store_lock(const char *data_dir, bool create, int *ret_descriptor,
                           struct fan_error *reterr)
{
    enum fan_status status = directory_prepare(data_dir, create, reterr);
    if (status != FAN_OK) {
        return status;
    }
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/pgfan.lock", data_dir) >= (int)sizeof(path)) {
        return fan_fail(reterr, FAN_FATAL, "data directory \"%s\" has too long a name", data_dir);
    }
    FAN_CLEANUP(fan_close_p)
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0) {
        (void)fan_fail_errno(reterr, FAN_FATAL, errno, "cannot open \"%s\"", path);
        fan_error_annotate(reterr, "STORE_READ_ONLY",
                           "make the data directory writable for the engine's user");
        return FAN_FATAL;
    }
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        return lock_refused(data_dir, descriptor, errno, reterr);
    }
    char text[24];
    int size = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    /* The pid only helps people; the lock itself is what counts, on a full disk too. */
    (void)!ftruncate(descriptor, 0);
    (void)!pwrite(descriptor, text, (size_t)size, 0);
    *ret_descriptor = descriptor_steal(&descriptor);
    return FAN_OK;
}

void store_unlock(int descriptor)
{
    if (descriptor >= 0) {
        (void)close(descriptor); /* the lock ends with the descriptor, whatever close says */
    }
}
