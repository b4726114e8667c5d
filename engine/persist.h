/*
 * persist.h - one transaction of the store, on its way from a reader to the store thread.
 *
 * A reader has at most one job under way. Order of things on disk: data durable at the targets,
 * then their checkpoints and the acknowledgement in one transaction, then the status update.
 *
 * Ownership:  the reader makes and frees the job; between post() and done() the persister has it.
 * Threading:  post() on the source's thread; done() is called on the store thread and must only
 *             hand over.
 */
#ifndef ENGINE_PERSIST_H
#define ENGINE_PERSIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "store/record.h"

struct store;

/* Work for the store thread, in line with everybody else's; part of a larger struct. */
struct keeper_job {
    /* On the store thread, once; it reports to the poster and is the last to touch the job. */
    void (*run)(struct keeper_job *job, struct store *store);
    struct keeper_job *next; /* the keeper's own */
};

struct persist_job {
    struct keeper_job job; /* the persister's own */
    struct store_source source;
    bool has_source;
    struct store_checkpoint *checkpoints; /* owned */
    size_t checkpoints_count;
    struct store_pipeline *pipelines; /* owned */
    size_t pipelines_count;
    struct store_gap *gaps; /* owned */
    size_t gaps_count;

    enum fan_status status; /* set before done() */
    struct fan_error error;
    void (*done)(void *context, struct persist_job *job);
    void *context;
};

struct persister {
    /* Never blocks and never fails: the job is queued. */
    void (*post)(struct persister *persister, struct persist_job *job);
};

/* Frees the arrays and the job. Accepts NULL. */
void persist_job_free(struct persist_job *job);

#endif
