/*
 * file_target.h - writes events as lines to a file, exactly once over crashes.
 *
 * docs/target-file.md describes it for users. In short: deliver() writes in the calling thread,
 * an I/O thread syncs and then posts the position; the checkpoint carries segment, offset and a
 * running CRC; start() cuts the file back to its checkpoint.
 *
 *                    sync due              a rotation is due, or the file was moved away
 *     OPEN ──────────────────► (job) ─┐   OPEN ──► SEALING: sync, post, wait until the checkpoint
 *       ▲ ◄───────────────────────────┘              │      is on disk
 *       └──────────── new segment ◄── (job) ROTATING ◄┘
 *     any ──► LOST after a failed fdatasync or a deleted file, until start()
 *
 * INVARIANTS  (1) a position is posted only after the fdatasync that covers its bytes (`os`: after
 *                 the write), and while the file that holds them has a name.
 *             (2) a batch is in the file whole or not at all, in one segment.
 *             (3) a descriptor whose fdatasync failed is never synced again.
 *             (4) between SEALING and the new segment nothing is written.
 * Threading:  verbs by the worker; the job runs on an I/O thread. Fields of each are kept apart in
 *             state.h.
 * Limits:     FILE_WINDOW_BYTES accepted and not durable, then deliver() answers FAN_AGAIN.
 */
#ifndef TARGETS_FILE_FILE_TARGET_H
#define TARGETS_FILE_FILE_TARGET_H

#include "targets/file/options.h"
#include "targets/file/place.h"
#include "targets/target.h"

enum { FILE_WINDOW_BYTES = 64 << 20 };

extern const struct target_type file_target_type;

/* As create() of the type, with other system calls; for tests. */
enum fan_status file_target_create(const struct file_options *options,
                                   const struct target_context *context, const struct file_ops *ops,
                                   struct target **ret_target,
                                   struct fan_error *reterr) FAN_MUST_CHECK;

#endif
