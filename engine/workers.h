/*
 * workers.h - a fixed pool of threads that steps pipelines.
 *
 * A pipeline that is scheduled is stepped soon by one worker; while a worker has it, nobody else
 * steps it, and a schedule that comes meanwhile has it stepped once more. Pipelines also say
 * when they want to be stepped again by time.
 *
 * Threading:  workers_schedule() from any thread, never blocks for long.
 * Limits:     the number of threads is fixed at create; each pipeline is in the queue at most once.
 */
#ifndef ENGINE_WORKERS_H
#define ENGINE_WORKERS_H

#include <stddef.h>

#include "base/status.h"
#include "engine/pipeline.h"

struct workers;

enum fan_status workers_create(struct pipeline *const *pipelines, size_t pipelines_count,
                               size_t threads_count, struct workers **ret_workers,
                               struct fan_error *reterr) FAN_MUST_CHECK;
void workers_schedule(struct workers *workers, struct pipeline *pipeline);
/* Ends the threads after their current step; scheduling is then without effect. Accepts NULL. */
void workers_stop(struct workers *workers);
/* Stops, and frees: nobody may schedule any more. Accepts NULL. */
void workers_destroy(struct workers *workers);

#endif
