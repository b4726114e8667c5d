#include "spill_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { INODES_MAX = 512, NAMES_MAX = 64, MOMENTS_MAX = 512, SECTOR = 512, FAILED_MAX = 4096 };
enum { WAIT_MS = 20000, WRITE_WAIT_MS = 200 };

struct content {
    uint8_t *data;
    size_t size;
};

struct inode {
    ino_t number;
    int descriptor; /* held, so that the number is not given to another file */
    struct content durable;
    struct content kept; /* after a power cut */
};

struct moment {
    size_t count;
    struct {
        char name[32];
        size_t inode;
    } name[NAMES_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
/* All of it under the lock. */
static struct {
    bool skip;
    bool drop;
    bool drop_replaced;
    unsigned calls[DISK_CALLS];
    unsigned fail_from[DISK_CALLS];
    unsigned fail_to[DISK_CALLS];
    int fail_errno[DISK_CALLS];
    unsigned every;
    unsigned every_at;
    unsigned hold_at; /* 0: none */
    bool held;
    bool synced_again;
    unsigned write_syncs; /* 0: no write is held */
    bool writing;
    size_t failed_count;
    struct {
        ino_t number;
        int descriptor;
    } failed[FAILED_MAX];
    bool recording;
    char directory[PATH_MAX];
    size_t inodes_count;
    struct inode inodes[INODES_MAX];
    size_t moments_count;
    struct moment moments[MOMENTS_MAX];
    struct moment after_cut;
} disk;

int __real_fdatasync(int descriptor);
int __real_fsync(int descriptor);
ssize_t __real_pwritev64(int descriptor, const struct iovec *parts, int count, off_t offset);
ssize_t __wrap_pwritev64(int descriptor, const struct iovec *parts, int count, off_t offset);
int __real_unlinkat(int directory, const char *name, int flags);
int __real_renameat(int from_directory, const char *from, int to_directory, const char *to);
int __wrap_fdatasync(int descriptor);
int __wrap_fsync(int descriptor);
int __wrap_unlinkat(int directory, const char *name, int flags);
int __wrap_renameat(int from_directory, const char *from, int to_directory, const char *to);

static void require(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "spill_disk: %s\n", what);
        abort();
    }
}

static ino_t inode_of(int descriptor)
{
    struct stat info;
    require(fstat(descriptor, &info) == 0, "fstat");
    return info.st_ino;
}

static struct content content_read(int descriptor)
{
    struct stat info;
    require(fstat(descriptor, &info) == 0, "fstat");
    struct content content = {malloc((size_t)info.st_size + 1), (size_t)info.st_size};
    require(pread(descriptor, content.data, content.size, 0) == (ssize_t)content.size, "pread");
    return content;
}

/* Finds or adds; takes a descriptor of its own. */
static size_t inode_at(int descriptor)
{
    ino_t number = inode_of(descriptor);
    for (size_t i = 0; i < disk.inodes_count; i++) {
        if (disk.inodes[i].number == number) {
            return i;
        }
    }
    require(disk.inodes_count < INODES_MAX, "too many files");
    disk.inodes[disk.inodes_count] =
        (struct inode){.number = number, .descriptor = dup(descriptor)};
    return disk.inodes_count++;
}

static void moment_now(struct moment *moment)
{
    DIR *stream = opendir(disk.directory);
    require(stream != NULL, "opendir");
    const struct dirent *entry;
    moment->count = 0;
    while ((entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        int descriptor = openat(dirfd(stream), entry->d_name, O_RDONLY | O_CLOEXEC);
        require(descriptor >= 0 && moment->count < NAMES_MAX, "openat");
        size_t at = moment->count++;
        (void)snprintf(moment->name[at].name, sizeof(moment->name[at].name), "%.31s",
                       entry->d_name);
        moment->name[at].inode = inode_at(descriptor);
        (void)close(descriptor);
    }
    (void)closedir(stream);
}

static void note_names(void)
{
    if (disk.recording) {
        require(disk.moments_count < MOMENTS_MAX, "too many moments");
        moment_now(&disk.moments[disk.moments_count++]);
    }
}

void disk_note_names(void)
{
    (void)pthread_mutex_lock(&lock);
    note_names();
    (void)pthread_mutex_unlock(&lock);
}

static void forget(void)
{
    for (size_t i = 0; i < disk.inodes_count; i++) {
        (void)close(disk.inodes[i].descriptor);
        free(disk.inodes[i].durable.data);
        free(disk.inodes[i].kept.data);
    }
    disk.inodes_count = 0;
    disk.moments_count = 0;
    disk.recording = false;
}

void disk_reset(void)
{
    (void)pthread_mutex_lock(&lock);
    forget();
    for (size_t i = 0; i < disk.failed_count; i++) {
        (void)close(disk.failed[i].descriptor);
    }
    memset(&disk, 0, sizeof(disk));
    (void)pthread_mutex_unlock(&lock);
}

void disk_skip_syncs(bool skip)
{
    (void)pthread_mutex_lock(&lock);
    disk.skip = skip;
    (void)pthread_mutex_unlock(&lock);
}

void disk_fail(enum disk_call call, unsigned nth, unsigned count, int sys_errno)
{
    (void)pthread_mutex_lock(&lock);
    disk.fail_from[call] = disk.calls[call] + nth;
    disk.fail_to[call] = disk.fail_from[call] + count;
    disk.fail_errno[call] = sys_errno;
    (void)pthread_mutex_unlock(&lock);
}

void disk_fail_every(unsigned nth)
{
    (void)pthread_mutex_lock(&lock);
    disk.every = nth;
    (void)pthread_mutex_unlock(&lock);
}

void disk_drop_on_failure(bool drop)
{
    (void)pthread_mutex_lock(&lock);
    disk.drop = drop;
    (void)pthread_mutex_unlock(&lock);
}

void disk_drop_replaced(bool drop)
{
    (void)pthread_mutex_lock(&lock);
    disk.drop_replaced = drop;
    (void)pthread_mutex_unlock(&lock);
}

bool disk_failed_was_synced_again(void)
{
    (void)pthread_mutex_lock(&lock);
    bool again = disk.synced_again;
    (void)pthread_mutex_unlock(&lock);
    return again;
}

void disk_hold(unsigned nth)
{
    (void)pthread_mutex_lock(&lock);
    disk.hold_at = disk.calls[DISK_FDATASYNC] + nth;
    (void)pthread_mutex_unlock(&lock);
}

static struct timespec deadline_in(int64_t milliseconds)
{
    struct timespec deadline;
    (void)clock_gettime(CLOCK_REALTIME, &deadline);
    int64_t nanos = deadline.tv_nsec + milliseconds % 1000 * 1000000;
    deadline.tv_sec += milliseconds / 1000 + nanos / 1000000000;
    deadline.tv_nsec = nanos % 1000000000;
    return deadline;
}

/* Waits under the lock until the flag is set. */
static void wait_for(const bool *flag, const char *what)
{
    const struct timespec deadline = deadline_in(WAIT_MS);
    while (!*flag) {
        require(pthread_cond_timedwait(&changed, &lock, &deadline) == 0, what);
    }
}

void disk_wait_held(void)
{
    (void)pthread_mutex_lock(&lock);
    wait_for(&disk.held, "no sync came that could be held");
    (void)pthread_mutex_unlock(&lock);
}

void disk_hold_write(unsigned syncs)
{
    (void)pthread_mutex_lock(&lock);
    disk.write_syncs = disk.calls[DISK_FDATASYNC] + syncs;
    (void)pthread_mutex_unlock(&lock);
}

void disk_wait_writing(void)
{
    (void)pthread_mutex_lock(&lock);
    wait_for(&disk.writing, "no record was written");
    (void)pthread_mutex_unlock(&lock);
}

ssize_t __wrap_pwritev64(int descriptor, const struct iovec *parts, int count, off_t offset)
{
    (void)pthread_mutex_lock(&lock);
    const struct timespec deadline = deadline_in(WRITE_WAIT_MS);
    disk.writing = disk.write_syncs > 0;
    (void)pthread_cond_broadcast(&changed);
    while (disk.calls[DISK_FDATASYNC] < disk.write_syncs &&
           pthread_cond_timedwait(&changed, &lock, &deadline) == 0) {
    }
    disk.write_syncs = 0;
    (void)pthread_mutex_unlock(&lock);
    return __real_pwritev64(descriptor, parts, count, offset);
}

void disk_release(void)
{
    (void)pthread_mutex_lock(&lock);
    disk.hold_at = 0;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
}

/* Counts one call; returns its errno when it is to fail, else 0. */
static int due(enum disk_call call)
{
    unsigned nth = ++disk.calls[call];
    if (nth >= disk.fail_from[call] && nth < disk.fail_to[call]) {
        return disk.fail_errno[call];
    }
    return disk.every > 0 && ++disk.every_at % disk.every == 0 ? EIO : 0;
}

static void note_failed(int descriptor)
{
    static const uint8_t zeros[40];
    require(disk.failed_count < FAILED_MAX, "too many failures");
    disk.failed[disk.failed_count].number = inode_of(descriptor);
    disk.failed[disk.failed_count++].descriptor = dup(descriptor);
    if (disk.drop) {
        off_t size = lseek(descriptor, 0, SEEK_END);
        require(pwrite(descriptor, zeros, sizeof(zeros), size - (off_t)sizeof(zeros)) ==
                    (ssize_t)sizeof(zeros),
                "pwrite");
    }
}

static void note_synced(int descriptor)
{
    ino_t number = inode_of(descriptor);
    for (size_t i = 0; i < disk.failed_count; i++) {
        disk.synced_again = disk.synced_again || disk.failed[i].number == number;
    }
    if (disk.recording) {
        struct inode *inode = &disk.inodes[inode_at(descriptor)];
        free(inode->durable.data);
        inode->durable = content_read(descriptor);
    }
}

int __wrap_fdatasync(int descriptor)
{
    (void)pthread_mutex_lock(&lock);
    int sys_errno = due(DISK_FDATASYNC);
    (void)pthread_cond_broadcast(&changed);
    while (disk.hold_at != 0 && disk.calls[DISK_FDATASYNC] == disk.hold_at) {
        disk.held = true;
        (void)pthread_cond_broadcast(&changed);
        (void)pthread_cond_wait(&changed, &lock);
    }
    if (sys_errno != 0) {
        note_failed(descriptor);
    } else {
        note_synced(descriptor);
    }
    bool skip = disk.skip || disk.recording;
    (void)pthread_mutex_unlock(&lock);
    errno = sys_errno;
    return sys_errno != 0 ? -1 : skip ? 0 : __real_fdatasync(descriptor);
}

int __wrap_fsync(int descriptor)
{
    struct stat info;
    (void)pthread_mutex_lock(&lock);
    int sys_errno = due(DISK_FSYNC);
    bool skip = disk.skip || disk.recording;
    if (sys_errno == 0 && disk.recording && stat(disk.directory, &info) == 0 &&
        info.st_ino == inode_of(descriptor)) {
        disk.moments_count = 0;
        note_names();
    }
    (void)pthread_mutex_unlock(&lock);
    errno = sys_errno;
    return sys_errno != 0 ? -1 : skip ? 0 : __real_fsync(descriptor);
}

int __wrap_unlinkat(int directory, const char *name, int flags)
{
    disk_note_names();
    int result = __real_unlinkat(directory, name, flags);
    int sys_errno = errno;
    disk_note_names();
    errno = sys_errno;
    return result;
}

int __wrap_renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    disk_note_names();
    (void)pthread_mutex_lock(&lock);
    int replaced = disk.drop_replaced ? openat(to_directory, to, O_RDWR | O_CLOEXEC) : -1;
    (void)pthread_mutex_unlock(&lock);
    int result = __real_renameat(from_directory, from, to_directory, to);
    int sys_errno = errno;
    if (replaced >= 0) {
        off_t size = lseek(replaced, 0, SEEK_END);
        require(ftruncate(replaced, 0) == 0 && ftruncate(replaced, size) == 0, "ftruncate");
        (void)close(replaced);
    }
    disk_note_names();
    errno = sys_errno;
    return result;
}

void disk_record(const char *directory)
{
    (void)pthread_mutex_lock(&lock);
    forget();
    disk.recording = true;
    (void)snprintf(disk.directory, sizeof(disk.directory), "%s", directory);
    note_names();
    for (size_t i = 0; i < disk.inodes_count; i++) {
        disk.inodes[i].durable = content_read(disk.inodes[i].descriptor);
    }
    (void)pthread_mutex_unlock(&lock);
}

/* How a file comes back: as it was synced, as it is, or sector by sector one of both. */
static struct content content_after_cut(const struct inode *inode, struct rng *rng)
{
    struct content now = content_read(inode->descriptor);
    struct content durable = inode->durable;
    uint64_t mode = rng_below(rng, 4);
    size_t larger = now.size > durable.size ? now.size : durable.size;
    size_t smaller = now.size > durable.size ? durable.size : now.size;
    size_t size = mode == 0   ? durable.size
                  : mode == 1 ? now.size
                              : smaller + rng_below(rng, larger - smaller + 1);
    struct content kept = {calloc(1, size + 1), size};
    for (size_t at = 0; at < size; at += SECTOR) {
        bool synced = mode == 0 || (mode > 1 && rng_below(rng, 2) == 0);
        const struct content *from = synced ? &durable : &now;
        size_t end = at + SECTOR < size ? at + SECTOR : size;
        end = end < from->size ? end : from->size;
        if (at < end) {
            memcpy(kept.data + at, from->data + at, end - at);
        }
    }
    free(now.data);
    return kept;
}

void disk_cut_power(struct rng *rng)
{
    (void)pthread_mutex_lock(&lock);
    note_names();
    disk.after_cut = disk.moments[rng_below(rng, disk.moments_count)];
    for (size_t i = 0; i < disk.inodes_count; i++) {
        free(disk.inodes[i].kept.data);
        disk.inodes[i].kept = content_after_cut(&disk.inodes[i], rng);
    }
    disk.recording = false;
    (void)pthread_mutex_unlock(&lock);
}

void disk_come_back(void)
{
    (void)pthread_mutex_lock(&lock);
    struct moment now;
    moment_now(&now);
    int directory = open(disk.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < now.count; i++) {
        require(__real_unlinkat(directory, now.name[i].name, 0) == 0, "unlinkat");
    }
    for (size_t i = 0; i < disk.after_cut.count; i++) {
        const struct content *kept = &disk.inodes[disk.after_cut.name[i].inode].kept;
        int descriptor = openat(directory, disk.after_cut.name[i].name,
                                O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        require(write(descriptor, kept->data, kept->size) == (ssize_t)kept->size, "write");
        (void)close(descriptor);
    }
    (void)close(directory);
    memset(disk.fail_to, 0, sizeof(disk.fail_to));
    forget();
    (void)pthread_mutex_unlock(&lock);
}
