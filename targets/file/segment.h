/*
 * segment.h - beginning, resuming and closing the segments of a file target.
 *
 * The active file does not say of itself which segment it is, so a crash between two renames must
 * never leave a checkpoint of one segment with the bytes of another. The start mark
 * (`<path>.start`, one line "segment=N offset=B") decides: it is on disk before the first byte of
 * segment N is written, and wins over a checkpoint of an earlier segment.
 *
 * INVARIANTS  (1) segment N + 1 gets its start mark only after a checkpoint that covers the end
 *                 of segment N is on disk, or, at the first start, when there is none.
 *             (2) the start mark is removed only when a checkpoint of its segment is on disk.
 *             (3) a closed segment is never written, and never renamed over.
 * Threading:  any; of one place one at a time.
 */
#ifndef TARGETS_FILE_SEGMENT_H
#define TARGETS_FILE_SEGMENT_H

#include <stdbool.h>

#include "targets/file/mark.h"
#include "targets/file/place.h"

/*
 * Begins segment `segment` in the active file, which is made or kept: what is in it already stays
 * before the segment's base, and must end in a newline (FAN_FATAL FILE_FOREIGN). Fills all of
 * `ret_mark` but the position. Blocks for two fsyncs.
 */
enum fan_status segment_begin(const struct file_place *place, uint64_t segment, int *ret_descriptor,
                              struct file_mark *ret_mark, struct fan_error *reterr);

/*
 * Finds the place to go on from. `checkpoint` is that of this file, or NULL when there is none.
 * What stands behind the place is cut off. FAN_FATAL FILE_SHORTER: the file lost bytes that the
 * checkpoint covers; FILE_AHEAD: closed segments are newer than the checkpoint.
 */
enum fan_status segment_resume(const struct file_place *place, const struct file_mark *checkpoint,
                               int *ret_descriptor, struct file_mark *ret_mark,
                               struct fan_error *reterr);

/* Writes the sum of a segment that is complete and durable, and gives it its closed name. Blocks
 * for two fsyncs. May be repeated after a failure. FAN_FATAL FILE_EXISTS when another file has
 * that name. */
enum fan_status segment_close(const struct file_place *place, int descriptor,
                              const struct file_mark *mark, struct fan_error *reterr);

/* Removes the start mark. */
void segment_forget_start(const struct file_place *place);

#endif
