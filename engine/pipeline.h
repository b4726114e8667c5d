/*
 * pipeline.h - the worker's side of a pipeline: ring in, batches out to every target.
 *
 *     ring --take--> assembler --cut--> current batch --offer--> outlets --outcomes--> report
 *
 * A passive state machine: pipeline_step() does what can be done now without blocking, and says
 * when it wants to be stepped again. It obeys the wishes in its mailbox and reports there. A batch
 * is offered to all targets before the next one is cut, so the slowest target that the commit policy
 * waits for paces the pipeline; the others are diverted to their backlog as soon as they would hold
 * it up. What is not cut stays in the ring, where the buffer's policy applies.
 *
 * INVARIANTS  (1) a change leaves memory unsettled only in RUN_FAILED and RUN_IDLE.
 *             (2) positions offered to a target strictly increase while it is started.
 * Ownership:  settings are borrowed; targets, encoders and batches are owned.
 * Threading:  pipeline_step() by one worker at a time. The ring's producer side and the mailbox's
 *             reader side belong to the source's thread. Counters are read by any thread.
 */
#ifndef ENGINE_PIPELINE_H
#define ENGINE_PIPELINE_H

#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/thread.h"
#include "buffer/ring.h"
#include "conf/settings.h"
#include "engine/assembler.h"
#include "engine/mailbox.h"
#include "engine/outcome_box.h"
#include "engine/outlet.h"

enum { PIPELINE_TAKE_MAX = 256, PIPELINE_TARGETS_MAX = 64 };

/* How the pipeline reaches the threads around it; a simulator gives its own. */
struct pipeline;

struct pipeline_hooks {
    void (*schedule)(void *context, struct pipeline *pipeline); /* step it soon; any thread */
    void (*wake_reader)(void *context, struct pipeline *pipeline);
    int64_t (*wall_us)(void *context); /* for times that people read */
    void *context;
};

struct pipeline_counters {
    _Atomic uint64_t limits[4]; /* batches by enum batch_limit */
};

struct pipeline_setup {
    const struct settings_pipeline *settings;
    const struct encode_context *context;
    struct io_executor *executor;
    struct letterbox *letterbox;
    struct schema_registries
        *registries;      /* outlive the pipeline; NULL: no target has format avro */
    const char *data_dir; /* where spills are made; borrowed during the call */
    struct pipeline_hooks hooks;
    uint64_t seed;
    uint64_t first_lane; /* targets get the lanes first_lane, first_lane + 1, ... */
};

struct pipeline {
    const struct settings_pipeline *settings;
    struct pipeline_hooks hooks;
    struct thread_owner owner; /* bound during a step */
    struct ring ring;
    struct mailbox mailbox;
    struct outcome_box outcomes;
    struct retry_log retries;

    /* The worker's own from here on. */
    struct assembler assembler;
    struct outlet *outlets; /* owned */
    size_t outlets_count;
    struct batch *current;                  /* owned: cut, and not accepted by every outlet yet */
    uint64_t current_left;                  /* bit per outlet that has not accepted `current` */
    struct change taken[PIPELINE_TAKE_MAX]; /* out of the ring, not yet added */
    size_t taken_next;
    size_t taken_count;
    bool taken_whole;           /* the last one taken ends its transaction */
    bool waiting;               /* the next event cannot be encoded yet: `waits_for` */
    struct fan_error waits_for; /* text "": nothing went wrong */
    enum run run;
    uint64_t wish_serial; /* the wish in effect */
    uint64_t encouragements;
    enum wish wish;
    int64_t flush_until_us;
    int64_t ask_again_us; /* for a diversion that could not be made; INT64_MAX: none */
    struct rng rng;
    uint64_t persisted_moves;
    struct report reported; /* the last one */
    uint64_t urgent_moves;  /* of all outlets in it, if it was urgent */
    struct fan_error error;
    enum error_policy policy; /* of RUN_FAILED that was not a loss */
    bool lost;
    bool drained;
    struct pipeline_counters counters;

    /* For the scheduler in workers.c. */
    _Atomic int schedule_state;
    struct pipeline *schedule_next;
    int64_t wake_at_us;
};

enum fan_status pipeline_init(struct pipeline *pipeline, const struct pipeline_setup *setup,
                              struct fan_error *reterr) FAN_MUST_CHECK;
/* Stops the targets. Nobody may step it or push to its ring any more. Accepts a zeroed one. */
void pipeline_release(struct pipeline *pipeline);

/* Before the first step: where target `index` stood in the store. */
enum fan_status pipeline_resume_target(struct pipeline *pipeline, size_t index,
                                       struct outlet_memory *memory,
                                       struct fan_error *reterr) FAN_MUST_CHECK;

/* The directory of a target's spill. False when it does not fit. */
bool pipeline_spill_directory(const char *data_dir, const char *pipeline, const char *target,
                              char *text, size_t text_size);

/* Returns when to step again (monotonic us), `now_us` for at once, INT64_MAX for not by time. */
int64_t pipeline_step(struct pipeline *pipeline, int64_t now_us);

#endif
