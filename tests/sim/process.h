/*
 * process.h - one run of the engine: the product's reader, source and pipelines, built as
 * engine.c builds them, with the world in place of threads, clock, store, server and targets.
 *
 * Ownership:  process_destroy() is what a crash and the end of a graceful stop have in common; what
 *             was in memory is gone.
 */
#ifndef TESTS_SIM_PROCESS_H
#define TESTS_SIM_PROCESS_H

#include "engine/pipeline.h"
#include "engine/reader.h"
#include "sources/postgres/options.h"
#include "tests/sim/world.h"

enum {
    PROCESS_COMMANDS = 8,
    PROCESS_REPLAYS = 3, /* fewer than a mailbox has room for */
    REPLAY_LETTERS_MAX = 30,
    EXECUTOR_JOBS_MAX = 32,
};

struct executor_job {
    uint64_t lane;
    void (*run)(void *argument);
    void *argument;
    int64_t due_us;
};

/* The I/O threads: jobs run some time later, those of a lane in their order. */
struct executor {
    struct io_executor base; /* first: what pipelines are given */
    struct world *world;
    struct executor_job jobs[EXECUTOR_JOBS_MAX];
    size_t count;
    bool inside; /* a job runs, and may hold a lock */
};

void executor_init(struct executor *executor, struct world *world);
int64_t executor_due_us(const struct executor *executor);
void executor_step(struct executor *executor);
/* Runs everything that waits. */
void executor_drain(struct executor *executor);

/* What was last seen of an outlet, to count situations. */
struct seen_outlet {
    enum backlog_kind divert;
    bool fatal;
};

/* A target that nobody waits for, which lacks what those have that a change waits for. */
struct laggard {
    struct fan_position settled; /* it has this much ... */
    int64_t since_us;            /* ... and holds the others up since then; 0: it does not */
};

/* A letter, copied out of the store. */
struct replay_copy {
    int64_t number;
    size_t event;
    struct kept_event kept;
};

/* Letters of one target that an operator has asked for once more. */
struct sim_replay {
    struct replay replay; /* first: what the pipeline is given */
    struct process *process;
    size_t slot;
    size_t index; /* of the pipeline in the process */
    size_t target;
    size_t count;
    size_t isolated; /* those that are not sent by hand */
    struct replay_copy copies[REPLAY_LETTERS_MAX];
    uint8_t fates[REPLAY_LETTERS_MAX];
    struct fan_error errors[REPLAY_LETTERS_MAX];
    int64_t asked_us;
    int64_t moved_us; /* when it was last seen not to wait for anything */
    bool done;        /* the pipeline has answered, and the store is told */
};

struct process {
    struct world *world;
    struct encode_context context;
    struct postgres_options options;
    struct executor executor;
    struct reader reader;
    struct pipeline pipelines[PIPELINES_MAX];
    size_t plan[PIPELINES_MAX]; /* of each */
    size_t count;
    int64_t reader_due_us;
    int64_t pipeline_due_us[PIPELINES_MAX];
    bool busy[PIPELINES_MAX]; /* inside of its step */
    struct seen_outlet seen[PIPELINES_MAX][TARGETS_MAX];
    struct laggard laggards[PIPELINES_MAX][TARGETS_MAX];
    bool running; /* built, and stepped from now on */
    struct command commands[PROCESS_COMMANDS];
    bool command_used[PROCESS_COMMANDS];
    size_t last_command[PIPELINES_MAX];
    struct sim_replay *replays[PROCESS_REPLAYS]; /* owned; NULL: none */
    bool stopping;
    bool stopped_all; /* by the error policy of a pipeline */
    int64_t stop_deadline_us;
};

struct process *process_create(struct world *world);
void process_destroy(struct process *process);

void process_step_reader(struct process *process);
void process_step_pipeline(struct process *process, size_t index);
/* An operator's verb; false when too many wait. */
bool process_command(struct process *process, size_t index, enum pipeline_verb verb);
/* Whether its source waits for an operator: the real engine would have ended. */
bool process_has_failed(const struct process *process);
void process_begin_stop(struct process *process, int64_t patience_us);

/* ---- replay.c ---- */

/* Replays letters of that target, of any cause; `mended`: the target takes them now. */
void replay_ask(struct process *process, size_t index, size_t target,
                const struct deadletter_filter *filter, uint64_t limit, bool mended);
/* Some letters of some target. */
void replay_ask_some(struct process *process);
/* All letters, of which the targets refuse none any more. */
void replay_ask_all(struct process *process);
/* Takes back what no pipeline takes, and looks that the others end. */
void replays_step(struct process *process);
bool replays_idle(const struct process *process);
/* Whether the event is a letter on its way to the target; `process` may be NULL. */
bool replay_has(const struct process *process, size_t plan, size_t target, size_t event);
/* The process ends: before its pipelines do, and after. */
void replays_crash(struct process *process);
void replays_release(struct process *process);

/* Writes what it holds in memory to standard output, for people. */
void process_print(const struct process *process);

#endif
