/*
 * retention.h - removes closed segments that are too many, too large or too old.
 *
 * Only closed segments are looked at, oldest first, each with its sum. Age counts from the last
 * write.
 */
#ifndef TARGETS_FILE_RETENTION_H
#define TARGETS_FILE_RETENTION_H

#include "targets/file/options.h"
#include "targets/file/place.h"

/* Blocks on the disk. What cannot be removed is logged and tried again the next time. Returns the
 * number of segments removed. */
size_t retention_apply(const struct file_place *place, const struct file_options *options,
                       int64_t wall_us);

#endif
