/*
 * spill_state.h - what a spill is made of; private to spill.c and spill_sync.c.
 *
 * Threading:  "worker" is whoever calls append, read, seek and trim; "syncer" is the thread in
 *             spill_sync(). The list of segments, and every field that says so, is changed under
 *             the lock, so the worker may read what only the worker changes without it. The
 *             lock is never held across I/O.
 */
#ifndef BUFFER_SPILL_STATE_H
#define BUFFER_SPILL_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "buffer/spill.h"
#include "buffer/spill_segment.h"

struct spill_segment {
    struct spill_segment *next; /* worker */
    uint64_t number;            /* constant */
    struct fan_position before; /* constant: the last event before this segment */
    struct fan_position last;   /* worker; `before` while it is empty */
    uint64_t bytes;             /* worker: of the header and all whole records */
    uint64_t events;            /* worker */
    bool ragged;                /* worker, without the lock: something may stand behind `bytes` */
    bool removed;               /* worker: trimmed away, or about to be */
    bool closed;                /* both: no record is added any more */
    uint64_t synced;            /* syncer: of `bytes` */
    bool named;                 /* syncer: the directory was synced since the file was made */
    bool suspect;               /* syncer: a sync failed; only a copy can become durable */
    bool replacing;             /* syncer: makes a copy, and removes both when `removed` */
    uint32_t generation;        /* syncer: counts the files that had this name */
    int descriptor;             /* syncer, once closed; -1: nothing is left to write or sync */
    uint32_t references;        /* both: the list's and the syncer's */
};

/* Where spill_read() is. All the worker's. */
struct spill_cursor {
    struct fan_position after;     /* events up to here were read */
    struct spill_segment *segment; /* NULL: to be looked for */
    uint64_t offset;               /* of the next record in it */
    struct fan_position reached;   /* the last event before `offset` */
    int descriptor;                /* of the segment; -1 when not open */
    uint32_t generation;           /* of the segment when it was opened */
    struct spill_window window;
};

struct spill {
    char *directory;          /* owned; constant */
    struct spill_place place; /* constant */
    uint64_t bytes_max;       /* constant */
    uint64_t segment_bytes;   /* constant */

    uint64_t number_next;     /* worker */
    uint64_t bytes;           /* worker */
    uint64_t events;          /* worker */
    struct fan_position last; /* worker */
    struct bytes head;        /* worker: of the record being appended */
    struct spill_cursor cursor;

    pthread_mutex_t sync_lock; /* one syncer at a time; held across its I/O, taken by no one else */

    pthread_mutex_t lock;        /* guards what follows, and fields as they say */
    pthread_cond_t append_ended; /* `appending` became NULL */
    struct spill_segment *oldest;
    struct spill_segment *newest;
    struct spill_segment *appending; /* the worker writes a record to it */
    struct fan_position durable;
    uint64_t lost_number; /* segment that cannot become durable; 0: none */
    struct fan_error lost;
};

static inline void spill_lock(struct spill *spill)
{
    (void)pthread_mutex_lock(&spill->lock); /* a plain mutex: locking cannot fail */
}

static inline void spill_unlock(struct spill *spill)
{
    (void)pthread_mutex_unlock(&spill->lock); /* held by this thread */
}

/* Drops one reference under the lock; returns the segment when it was the last, to be given to
 * spill_segment_free() without it, else NULL. */
struct spill_segment *spill_segment_unref(struct spill_segment *segment);
/* Accepts NULL. */
void spill_segment_free(struct spill_segment *segment);

/* Closes the cursor's file and forgets what was read of it. */
void spill_cursor_close(struct spill_cursor *cursor);

#endif
