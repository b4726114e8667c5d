/*
 * state.h - the inside of a file target: what the worker owns, what the job owns, what they share.
 *
 * The job runs when `wanted` has bits; one job is queued or running at a time, so the job's own
 * work needs no lock. While ROTATING the worker leaves the descriptor and the mark to the job.
 */
#ifndef TARGETS_FILE_STATE_H
#define TARGETS_FILE_STATE_H

#include <pthread.h>
#include <stdbool.h>

#include "targets/file/file_target.h"
#include "targets/file/mark.h"

enum file_phase { FILE_STOPPED, FILE_OPEN, FILE_SEALING, FILE_ROTATING, FILE_LOST };

enum file_want { FILE_WANT_SYNC = 1, FILE_WANT_ROTATE = 2, FILE_WANT_RETAIN = 4 };

/* What became of the active file's name. */
enum file_finding {
    FILE_FOUND_SAME = 0,
    FILE_FOUND_MOVED,   /* renamed or replaced: what is in it is kept under another name */
    FILE_FOUND_DELETED, /* nobody can read it any more */
    FILE_FOUND_SHORTER, /* somebody cut it */
};

/* A rotation that the worker has ordered and the job carries out. */
struct file_rotation {
    bool done;
    bool moved; /* the old file has another name already */
    enum fan_status status;
    struct fan_error error;
    int descriptor; /* before: of the old segment; after FAN_OK: of the new one */
    struct file_mark mark;
};

struct file_target {
    struct target base;
    const struct file_options *options; /* borrowed */
    struct target_context context;
    struct file_place place;

    /* The worker's. */
    enum file_phase phase;
    int descriptor;             /* the job syncs it; it is closed only while no job is active */
    struct file_mark mark;      /* the end of what was accepted */
    uint64_t accepted_bytes;    /* in all, since create */
    bool started;               /* start() has succeeded once */
    struct fan_position stored; /* the engine's store has a checkpoint of this position */
    uint64_t start_segment;     /* the start mark of this segment may be on disk; 0: none */
    int64_t now_us;             /* as last given */
    int64_t unsynced_since_us;  /* of the first byte without a sync on its way; 0: none */
    int64_t opened_us;          /* when the segment began */
    int64_t checked_us;         /* when the name was last looked at */
    int64_t retry_us;           /* a failed rotation goes on at this time */
    int64_t retain_us;          /* the next regular retention */
    bool trim_pending;          /* bytes of a failed write stand behind the mark */
    bool seal_moved;
    uint64_t started_bytes; /* accepted_bytes at the last start() */
    bool seal_posted;       /* the end of the segment was posted once more, see seal_advance() */
    struct fan_error seal_error; /* of the last rotation; status FAN_OK: none */

    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t idle;  /* no job is active */
    bool job_active;      /* queued or running */
    unsigned wanted;      /* enum file_want */
    int sync_descriptor;
    struct file_mark sync_mark; /* what the next sync covers */
    uint64_t sync_bytes;
    uint64_t synced_bytes; /* of accepted_bytes */
    bool lost;             /* OUTCOME_LOST was posted */
    enum file_finding finding;
    struct file_rotation rotation;
};

/* The job; `argument` is the target. */
void file_job_run(void *argument);

/* Asks for work and hands the job to an I/O thread. When too many jobs wait there, the wish stays
 * and file_job_submit() repeats it. */
void file_job_want(struct file_target *file, unsigned want);
/* Returns false when a wish could not be handed over and must be repeated soon. */
bool file_job_submit(struct file_target *file);
/* Waits until no job is active; drops wishes. */
void file_job_stop(struct file_target *file);

/* Looks at the open file alone: deleted, or cut before `offset`, where its content ends? */
enum file_finding file_look_open(int descriptor, uint64_t offset);
/* The same, and whether it still stands at its path. */
enum file_finding file_look(const struct file_place *place, int descriptor, uint64_t offset);

void file_post_settled(struct file_target *file, const struct file_mark *mark);
void file_post_wake(struct file_target *file);
/* Posts OUTCOME_LOST once; the worker sees it with its next look at what the job did. */
void file_set_lost(struct file_target *file, enum file_finding finding,
                   const struct fan_error *error);
/* The same for a file that was found deleted or cut. */
void file_set_lost_found(struct file_target *file, enum file_finding finding);

#endif
