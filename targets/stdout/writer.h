/*
 * writer.h - the one writer of standard output in a process.
 *
 * Several targets may write to standard output; a batch goes out whole before the next begins, so
 * lines never mix. A short batch goes out in the caller's thread when that cannot block; all else
 * goes through a queue to the writer's thread, which waits for the reader.
 *
 * INVARIANTS  (1) one thread at a time writes; batches go out in the order of writer_put().
 *             (2) write(2) is called only with what fits without waiting, so that a reader who
 *                 has stopped holds nobody: not the caller, not the end of the process.
 * Ownership:  an entry holds a reference to its batch until it is written or dropped.
 * Threading:  any thread. Outcomes are posted by the caller's thread or the writer's.
 * Limits:     WRITER_ENTRIES_MAX batches wait; beyond it writer_put() answers FAN_AGAIN, and an
 *             OUTCOME_WAKE follows when there is room.
 */
#ifndef TARGETS_STDOUT_WRITER_H
#define TARGETS_STDOUT_WRITER_H

#include "targets/target.h"

enum { WRITER_ENTRIES_MAX = 16 };

struct writer;

/* One user of the writer: a target. */
struct writer_client {
    uint32_t index; /* for outcomes */
    struct outcome_sink *outcomes;
    bool wants_wake; /* the writer's; under its lock */
    bool failed;     /* the writer's; under its lock */
    struct writer_client *next;
};

/* The first user starts the thread, which stays. The client is kept until writer_leave(). */
enum fan_status writer_join(struct writer_client *client, struct fan_error *reterr) FAN_MUST_CHECK;

/* Drops what of the client has not begun, gives a batch that is going out a moment to end, and
 * posts nothing for it any more. */
void writer_leave(struct writer_client *client);

/* FAN_OK: taken, and settled later or already. FAN_AGAIN: no room. FAN_FATAL: the reader is gone. */
enum fan_status writer_put(struct writer_client *client, struct batch *batch, size_t format,
                           size_t first, struct fan_error *reterr) FAN_MUST_CHECK;

/* Where bytes go: standard output unless a test says otherwise, while no client is there. */
void writer_set_descriptor(int descriptor);

#endif
