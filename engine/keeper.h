/*
 * keeper.h - the store thread: the only one that touches the open store.
 *
 * Takes jobs in the order of posting and answers each: persist jobs of the readers, and any other
 * work on the store. A job that failed is answered with its error; who posted it decides when to
 * try again.
 *
 * Threading:  create and destroy on the main thread; post from any.
 * Ownership:  takes the store; a job stays its poster's, who may free it once its done() or run()
 *             is called, and not before.
 */
#ifndef ENGINE_KEEPER_H
#define ENGINE_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "engine/persist.h"
#include "store/store.h"

struct keeper;

/* `data_dir` is borrowed: for the check in the background. Jobs may be posted at once; they run
 * after keeper_start(). */
enum fan_status keeper_create(const char *data_dir, struct keeper **ret_keeper,
                              struct fan_error *reterr) FAN_MUST_CHECK;
/* Takes `store`, on failure too. */
enum fan_status keeper_start(struct keeper *keeper, struct store *store,
                             struct fan_error *reterr) FAN_MUST_CHECK;
struct persister *keeper_persister(struct keeper *keeper);

/* Never blocks and never fails: job->run() follows on the store thread. */
void keeper_post_job(struct keeper *keeper, struct keeper_job *job);

/* Runs the jobs that wait, ends the thread and closes the store. Nobody may post any more. Accepts
 * NULL, and one that was not started. */
void keeper_stop(struct keeper *keeper);
/* Stops, and frees. Accepts NULL. */
void keeper_destroy(struct keeper *keeper);

/* True once a check of the whole file in the background has found damage. Any thread. */
bool keeper_found_damage(struct keeper *keeper, struct fan_error *ret_error);

/* Since when the thread has been at the job, or the piece of a check, that it is at (monotonic); 0
 * while it waits for one. Any thread. */
int64_t keeper_busy_since_us(struct keeper *keeper);

#endif
