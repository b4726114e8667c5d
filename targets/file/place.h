/*
 * place.h - where a file target writes: the names around its path, and opening them.
 *
 *     orders.jsonl               the active segment, the only one that is being written
 *     orders.000001.jsonl        a closed segment; never written again
 *     orders.000001.jsonl.sum    its counts and CRC, one line of JSON
 *     orders.jsonl.start         where the active segment begins, until a checkpoint says more
 *
 * Threading:  a place is constant once made; any thread.
 * Errors:     FAN_RETRY for what may pass (full disk, I/O), FAN_FATAL for what will not.
 */
#ifndef TARGETS_FILE_PLACE_H
#define TARGETS_FILE_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"

/* The system calls that matter for durability; tests put failing ones here. */
struct file_ops {
    ssize_t (*pwrite)(int descriptor, const void *data, size_t size, off_t offset);
    int (*fdatasync)(int descriptor);
    int (*ftruncate)(int descriptor, off_t size);
};

extern const struct file_ops file_ops_system;

struct file_place {
    char path[PATH_MAX];
    char directory[PATH_MAX];
    const char *name;   /* within `path` */
    size_t stem_length; /* of `name`, up to its extension */
    uint32_t file;      /* CRC32C of the path as configured */
    mode_t mode;        /* of files that are made */
    const struct file_ops *ops;
};

enum fan_status place_init(struct file_place *place, const char *path, mode_t mode,
                           const struct file_ops *ops, struct fan_error *reterr);

/* Writes the path of closed segment `segment`. */
void place_closed_path(const struct file_place *place, uint64_t segment, char path[PATH_MAX]);

/* Writes the place's path with `suffix` behind it, which is a short literal. */
void place_suffix_path(const struct file_place *place, const char *suffix, char path[PATH_MAX]);

/* True if `name`, without a directory, is that of a closed segment of this place. */
bool place_closed_parse(const struct file_place *place, const char *name, uint64_t *ret_segment);

/* The number of the newest closed segment, 0 if there is none. */
enum fan_status place_closed_newest(const struct file_place *place, uint64_t *ret_segment,
                                    struct fan_error *reterr);

/*
 * Opens and locks the active file and gives its size. A missing file is made when `create` is
 * set, and is FAN_FATAL FILE_MISSING otherwise. FAN_FATAL also: the directory is missing, not a
 * regular file, a symbolic link, locked by another target or engine.
 */
enum fan_status place_open(const struct file_place *place, bool create, int *ret_descriptor,
                           uint64_t *ret_size, struct fan_error *reterr);

/* Writes a small file next to the active one as a whole: temporary name, fsync, rename. The
 * directory is not synced. */
enum fan_status place_write_small(const struct file_place *place, const char *path,
                                  const char *text, struct fan_error *reterr);

/* Hands a descriptor on, so that the end of its scope does not close it. */
static inline int place_steal(int *descriptor)
{
    int stolen = *descriptor;
    *descriptor = -1;
    return stolen;
}

#endif
