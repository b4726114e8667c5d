/*
 * directory.h - the data directory itself: made, owned by us, closed to others.
 */
#ifndef STORE_DIRECTORY_H
#define STORE_DIRECTORY_H

#include <stdbool.h>

#include "base/status.h"

/* Makes the directory with mode 0700 when it is missing and `create` is set, and refuses one that
 * another user owns or may write to. */
enum fan_status directory_prepare(const char *data_dir, bool create, struct fan_error *reterr);

/* Makes a new or changed name in the directory durable. */
enum fan_status directory_sync(const char *data_dir, struct fan_error *reterr);

/* Makes the content of a file durable. */
enum fan_status directory_sync_file(const char *path, struct fan_error *reterr);

#endif
