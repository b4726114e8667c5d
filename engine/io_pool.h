/*
 * io_pool.h - a fixed set of threads for calls that block on a disk.
 *
 * Implements the io_executor of targets/target.h. A lane is a number; jobs of one lane run in the
 * order of their submission, one at a time, while different lanes run beside each other.
 *
 * Ownership:  a job's argument stays its submitter's, who must keep it until the job has run.
 * Threading:  submit from any thread, jobs included. A job must not destroy the pool.
 * Limits:     IO_POOL_JOBS_MAX waiting jobs; beyond it submit answers FAN_AGAIN.
 */
#ifndef ENGINE_IO_POOL_H
#define ENGINE_IO_POOL_H

#include <stddef.h>

#include "base/status.h"
#include "targets/target.h"

enum { IO_POOL_JOBS_MAX = 1024, IO_POOL_THREADS = 2, IO_POOL_THREADS_MAX = 16 };

struct io_pool;

enum fan_status io_pool_create(size_t threads_count, struct io_pool **ret_pool,
                               struct fan_error *reterr) FAN_MUST_CHECK;

/* Borrowed; lives as long as the pool. */
struct io_executor *io_pool_executor(struct io_pool *pool);

/* Runs every job that waits, then ends the threads. Accepts NULL. */
void io_pool_destroy(struct io_pool *pool);

#endif
