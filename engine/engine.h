/*
 * engine.h - the running engine, as its owner, the API and the command line see it.
 *
 *     engine_create -> engine_start -> { engine_command | engine_status }* -> engine_stop
 *                   -> engine_destroy
 *
 * Threads inside: one per source, a fixed pool of workers that step pipelines, two for disk I/O,
 * one for the store. Their number does not grow with pipelines.
 *
 * Threading:  create, start, stop and destroy on the main thread; command, status and the log
 *             level from any thread.
 * Ownership:  the settings are borrowed and outlive the engine.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "conf/settings.h"
#include "encode/id.h"
#include "engine/state.h"
#include "model/position.h"
#include "sources/source.h"

/* Exit statuses of the program, after sysexits.h. */
enum engine_exit {
    EXIT_FINE = 0,
    EXIT_USAGE = 64,    /* command line */
    EXIT_SOURCE = 69,   /* the primary cannot serve: permanent source error */
    EXIT_INTERNAL = 70, /* a defect, or a thread that does not answer */
    EXIT_STORE_IO = 74, /* reading or writing the store failed */
    EXIT_STOP_ALL = 75, /* an error policy stopped everything */
    EXIT_CONF = 78,     /* the conf or the store cannot be used */
};

struct engine_setup {
    const struct settings *settings;
    const char *adopt_slot;    /* --adopt-slot NAME, or NULL */
    const char *const *forget; /* --forget NAME: removed pipelines, or targets as PIPELINE/TARGET,
                                  whose backlog is given up */
    size_t forget_count;
};

struct engine;

/*
 * Checks names, addresses and plug-ins, locks the data directory, opens the store and compares it
 * with the conf. Touches no server. `ret_exit` says with which status to leave on failure.
 */
enum fan_status engine_create(const struct engine_setup *setup, struct engine **ret_engine,
                              enum engine_exit *ret_exit, struct fan_error *reterr) FAN_MUST_CHECK;

enum fan_status engine_start(struct engine *engine, struct fan_error *reterr) FAN_MUST_CHECK;

/* Becomes readable when the engine has ended by itself; see engine_ended(). */
int engine_ended_fd(const struct engine *engine);
/* Whether it has, with the status to leave with and the reason. */
bool engine_ended(struct engine *engine, enum engine_exit *ret_exit, struct fan_error *ret_why);

/*
 * Whether every thread that the slot depends on is alive: each source's has begun a round of its
 * loop within the last `within_us`, and the store's is not longer than that at one job. If not,
 * `ret_why` names one that is stuck. Main thread, between start and stop.
 */
bool engine_answers(struct engine *engine, int64_t within_us, struct fan_error *ret_why);

/* Readiness false, sources let go, what is queued delivered and made durable, last checkpoint, last
 * ack: all within `timeout_us`. FAN_OK when everything queued was delivered. */
enum fan_status engine_stop(struct engine *engine, int64_t timeout_us,
                            struct fan_error *reterr) FAN_MUST_CHECK;

/* Accepts NULL. */
void engine_destroy(struct engine *engine);

/*
 * An operator's verb on one pipeline; returns when it is in effect: after a pause or stop nothing
 * more is handed to a target. Codes: PIPELINE_NOT_FOUND (hint: nearest name), ILLEGAL_TRANSITION
 * (both FAN_POISON), TIMEOUT (FAN_RETRY; it takes effect later), STORE (FAN_RETRY).
 */
enum fan_status engine_command(struct engine *engine, const char *pipeline, enum pipeline_verb verb,
                               struct fan_error *reterr) FAN_MUST_CHECK;

/* ---- what runs, for people and programs ---- */

enum { RETRY_KEY_MAX = 2 * EVENT_ID_MAX + 32 };

struct status_figure {
    const char *name; /* as in struct target_figure */
    uint64_t value;
};

struct target_status {
    const char *name; /* borrowed from the settings, as every const char * below */
    const char *type;
    const char *durability;         /* "disk", "os"; NULL: not this side's to say */
    struct fan_position checkpoint; /* everything up to here is durable at the target */
    struct fan_position settled;    /* there, or in its backlog, or a dead letter, or in a gap */
    char detail[256];               /* the target's own words about it */
    int64_t settled_wall_us;        /* when it last moved; 0 never in this run */
    bool required;                  /* the commit policy waits for it */
    const char *divert;             /* "none", "spill", "dead_letters", "gap" */
    bool circuit_open;              /* attempts are spent; a probe goes out now and then */
    bool fatal;                     /* it waits for an operator */
    uint64_t backlog;               /* events in its spill or, isolated, among the dead letters */
    uint64_t letters;               /* events dead-lettered in this run: convicted, or parked */
    uint64_t parked_keys;           /* rows whose events wait behind a dead letter */
    uint64_t gap;                   /* events of this run that it will never get */
    uint64_t delivered;             /* events settled in this run */
    uint64_t already;               /* events it had before this run, not sent again */
    uint64_t bytes;                 /* handed over */
    uint64_t batches;
    uint64_t retries;
    uint64_t inflight_batches;
    uint64_t inflight_bytes;
    int64_t retry_at_us; /* monotonic; 0: no retry is waiting */
    size_t figures_count;
    struct status_figure figures[8]; /* what its type knows of it */
    char last_error[FAN_ERROR_TEXT_MAX];
};

/* A retry that was scheduled, of the last ones in a pipeline. */
struct retry_status {
    uint64_t number; /* 1, 2, 3 ... of the pipeline since the engine started */
    const char *target;
    char batch_key[RETRY_KEY_MAX]; /* <first id>~<last id>~<count>; "": it could not be started */
    uint32_t next_attempt;
    int64_t at_wall_us;
    int64_t retry_wall_us; /* nothing is sent before */
    char reason[256];
};

struct pipeline_status {
    const char *name;
    const char *source;
    const struct settings_pipeline *settings;
    enum pipeline_state state;
    char reason[FAN_ERROR_TEXT_MAX]; /* of ERROR; of a retry; of holding the reader; or "" */
    int64_t since_wall_us;           /* in this state since */
    bool lossy;                      /* this run has given changes up, for a target or for all */
    bool blocks_reader;              /* its full buffer holds the source */
    bool passed_over;                /* changes wait in the slot: it was not running */
    int64_t passed_wall_us;          /* commit time of the oldest of them; 0 none, unknown */
    uint64_t depth_events;           /* queued in the ring */
    uint64_t depth_bytes;
    uint64_t capacity_events;
    uint64_t capacity_bytes;
    /* read = delivered + dead-lettered + spilled + gap + filtered + pending, per target (delivered
     * includes `already`, dead-lettered the backlog of an isolated target); the pipeline's figures
     * are those of the target that has least. */
    uint64_t read;
    uint64_t delivered;
    uint64_t dead_lettered;
    uint64_t spilled;
    uint64_t gap;
    uint64_t filtered;
    uint64_t pending;
    uint64_t gaps; /* runs of dropped changes */
    uint64_t inserts;
    uint64_t updates;
    uint64_t deletes;
    uint64_t truncates;
    uint64_t messages;
    uint64_t batches_by_limit[4]; /* index: enum batch_limit of model/batch.h */
    int64_t lag_us;    /* age of the oldest change not settled, passed over ones too; 0 none */
    int64_t lag_bytes; /* from the pipeline's resolved position to the server's; -1 unknown */
    struct fan_lsn resolved; /* the slot may be confirmed up to here as far as it is concerned */
    size_t targets_count;
    struct target_status *targets;
    size_t retries_count;
    struct retry_status *retries; /* in the order they happened */
};

struct source_entry {
    const char *name;
    const char *type;
    struct source_status source;
    const char *blocked_by;   /* the pipeline that holds the reader, or NULL */
    struct fan_lsn boundary;  /* everything before it has been handed to the pipelines */
    struct fan_lsn persisted; /* the acknowledgement in the store */
    int64_t lag_bytes;        /* server position minus confirmed; -1 unknown */
    int64_t lag_us;
    int64_t persist_failures; /* of the store since the last success */
};

struct engine_status {
    int64_t started_wall_us;
    int64_t now_us; /* monotonic time of the snapshot, for the times that are monotonic */
    bool stopping;
    bool store_failing; /* the store could not be written; nothing is confirmed meanwhile */
    char store_error[FAN_ERROR_TEXT_MAX];
    size_t sources_count;
    struct source_entry *sources;
    size_t pipelines_count;
    struct pipeline_status *pipelines;
};

/* A snapshot that the caller owns. FAN_RETRY when memory is out. */
enum fan_status engine_status_take(struct engine *engine, struct engine_status *ret_status,
                                   struct fan_error *reterr) FAN_MUST_CHECK;
void engine_status_release(struct engine_status *status);

/* Every pipeline STREAMING, PAUSED or STOPPED, every source streaming and not stalled. */
bool engine_status_ready(const struct engine_status *status);
/* False when a source has failed for good, or every pipeline of one, which none has that is only in
 * ERROR because a target is isolated. */
bool engine_status_live(const struct engine_status *status);

/* The plug-ins of this build, for conf_load() and the reference. */
const struct conf_plugins *engine_plugins(void);

#endif
