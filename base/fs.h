/*
 * fs.h - the few file operations that every folder would otherwise write again.
 *
 * Ownership:  what an output returns is the caller's.
 * Threading:  stateless; any thread. All of them block.
 * Errors:     FAN_RETRY for what may pass (disk full, memory, I/O), FAN_FATAL for what will not
 *             (missing, no permission, wrong kind, over the limit). The path stands in the text.
 */
#ifndef BASE_FS_H
#define BASE_FS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/status.h"

/* Appends the regular file `path` to `ret_content`, whose size_max is the limit: a larger file is
 * FAN_FATAL and nothing is appended. */
enum fan_status fs_read_file(const char *path, struct bytes *ret_content,
                             struct fan_error *reterr) FAN_MUST_CHECK;

/* The same from an open descriptor, to its end; `path` is for messages only. */
enum fan_status fs_read_descriptor(int descriptor, const char *path, struct bytes *ret_content,
                                   struct fan_error *reterr) FAN_MUST_CHECK;

/* Writes all bytes, going on after short writes and signals. */
enum fan_status fs_write_all(int descriptor, const char *path, const void *data, size_t size,
                             struct fan_error *reterr) FAN_MUST_CHECK;

/* Makes the names in a directory durable. */
enum fan_status fs_sync_directory(const char *path, struct fan_error *reterr) FAN_MUST_CHECK;

/* Creates `path` with mode 0700 (its parent must exist), or accepts a directory that is there,
 * whatever its mode. */
enum fan_status fs_make_directory(const char *path, struct fan_error *reterr) FAN_MUST_CHECK;

bool fs_is_directory(const char *path);

#endif
