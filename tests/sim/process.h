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

enum { PROCESS_COMMANDS = 8 };

struct process {
    struct world *world;
    struct encode_context context;
    struct postgres_options options;
    struct reader reader;
    struct pipeline pipelines[PIPELINES_MAX];
    size_t plan[PIPELINES_MAX]; /* of each */
    size_t count;
    int64_t reader_due_us;
    int64_t pipeline_due_us[PIPELINES_MAX];
    bool busy[PIPELINES_MAX]; /* inside of its step */
    bool running;             /* built, and stepped from now on */
    struct command commands[PROCESS_COMMANDS];
    bool command_used[PROCESS_COMMANDS];
    size_t last_command[PIPELINES_MAX];
    bool stopping;
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

#endif
