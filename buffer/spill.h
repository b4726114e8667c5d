/*
 * spill.h - the backlog of one target on disk: what it has not got yet, in order, in segment files.
 *
 *     <directory>/<number, 8 digits>.seg      a header, then records, each with length and CRC32C
 *
 *     spill_open -> { spill_append | spill_sync | spill_read | spill_seek | spill_trim }* -> spill_close
 *
 * A record holds one run of events of a batch, encoded in the target's format, with their
 * positions, labels and everything else that struct batch_event holds but the relation, so that a
 * batch can be made of it again; spill_record.h has the bytes. Appending writes into the page
 * cache; only spill_sync() makes durable. The read cursor moves over records that were appended,
 * durable or not; what the target has durably is given back with spill_trim(), which removes whole
 * segments.
 *
 * INVARIANTS  (1) positions strictly increase over all records.
 *             (2) what spill_durable() covers survives kill -9 and a power cut.
 *             (3) after spill_open() the spill is a prefix of what was appended: a torn tail is cut
 *                 off at the last whole record, and all that is left is durable. The tail is what
 *                 no sync covered, as the segments' marks say; it can take in several segments,
 *                 because the disk may get the younger one first. Damage before it is an error,
 *                 never skipped.
 *             (4) a new segment's name is durable (directory fsync) before its records count.
 * Ownership:  batches that were read belong to the caller.
 * Threading:  everything by the worker that owns the pipeline, but for spill_sync(), which blocks
 *             and may run on an I/O thread beside all the others except open and close.
 * Errors:     append: FAN_AGAIN at the quota, FAN_RETRY on a full disk or an I/O error, with
 *             nothing of the record left behind, FAN_POISON for a run that is larger than a record
 *             may be; after a failed fsync everything since the last good one is written again into
 *             a new segment file before it counts as durable, or the spill stays in FAN_FATAL (code
 *             SPILL_LOST; append, too) until that segment is trimmed. open and read: FAN_FATAL with
 *             SPILL_CORRUPT, naming file and offset; FAN_RETRY otherwise. open also: SPILL_VERSION,
 *             SPILL_IN_USE, or a directory that cannot be used.
 * Limits:     bytes_max over all segments, with 4 KiB for each; a record at most 1 GiB. Memory: an
 *             entry a segment; while it is read, the largest record.
 *
 * What the files cannot tell is that the end of the spill was removed by hand or with its whole last
 * segment, or damaged when nothing was appended and no mark reached the disk since. Who knows up to
 * where events were settled by the spill compares that with spill_last() after opening.
 */
#ifndef BUFFER_SPILL_H
#define BUFFER_SPILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "model/batch.h"
#include "model/position.h"

struct spill;

struct spill_setup {
    const char *directory;  /* of this target alone; made with mode 0700 when it is not there,
                               then its parent must be */
    uint64_t bytes_max;     /* quota over all segments */
    uint64_t segment_bytes; /* a segment is closed beyond this; 0: 64 MiB */
};

/* Takes what is there: reads all of it, makes it durable, and removes the tail. The cursor is at its
 * beginning. Blocks. */
enum fan_status spill_open(const struct spill_setup *setup, struct spill **ret_spill,
                           struct fan_error *reterr) FAN_MUST_CHECK;
/* Syncs nothing. Accepts NULL. */
void spill_close(struct spill *spill);

/* Appends events [first, events_count) in `format`, as one record that keeps the batch's part. All
 * are behind spill_last(), which is asserted. */
enum fan_status spill_append(struct spill *spill, const struct batch *batch, size_t format,
                             size_t first, struct fan_error *reterr) FAN_MUST_CHECK;

/* Makes everything appended before the call durable. Blocks. FAN_RETRY: call it again, meanwhile
 * spill_durable() tells how far it came. A second call waits for the first. */
enum fan_status spill_sync(struct spill *spill, struct fan_error *reterr) FAN_MUST_CHECK;

/* The last position appended; of what is durable; POSITION_NONE when there was never one. What was
 * trimmed counts as long as the process lives. */
struct fan_position spill_last(const struct spill *spill);
struct fan_position spill_durable(struct spill *spill);

/* The read cursor goes to the first event behind `position`. Reads nothing: the next spill_read()
 * scans one segment, from its beginning when the way is back. */
enum fan_status spill_seek(struct spill *spill, struct fan_position position,
                           struct fan_error *reterr) FAN_MUST_CHECK;

/*
 * Makes a batch of the next record in `format` of `pool`; events before the cursor's position are
 * left out. FAN_AGAIN: the cursor is at the end. FAN_RETRY: memory or the disk; the cursor stays.
 */
enum fan_status spill_read(struct spill *spill, struct batch_pool *pool, size_t format,
                           struct batch **ret_batch, struct fan_error *reterr) FAN_MUST_CHECK;

/* Whether every record was read. */
bool spill_drained(const struct spill *spill);

/* Everything up to `position` is durable at the target: removes segments that hold nothing else.
 * When nothing is left at all, no file is. */
void spill_trim(struct spill *spill, struct fan_position position);

/* Bytes on disk; events that were appended and not trimmed away, as far as whole segments say. */
uint64_t spill_bytes(const struct spill *spill);
uint64_t spill_events(const struct spill *spill);

/*
 * Looks at a spill that nobody has open and changes nothing: what spill_open() would find. It reads
 * all of it. FAN_AGAIN: there is no spill, or none of its files holds an event. FAN_FATAL: as
 * spill_open().
 */
enum fan_status spill_peek(const char *directory, struct fan_position *ret_first,
                           struct fan_position *ret_last, uint64_t *ret_events,
                           struct fan_error *reterr) FAN_MUST_CHECK;

/* Removes a spill that nobody has open: its own files, damaged or not, and then the directory,
 * which must hold nothing else (FAN_FATAL). FAN_OK when there is none. */
enum fan_status spill_remove(const char *directory, struct fan_error *reterr) FAN_MUST_CHECK;

#endif
