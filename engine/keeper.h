/*
 * keeper.h - the store thread: the only one that touches the open store.
 *
 * Takes persist jobs of all readers in order and answers each. A job that failed is answered with
 * its error; the reader decides when to try again with a newer one.
 *
 * Threading:  create and destroy on the main thread; post from any.
 * Ownership:  takes the store; a job is the poster's again when its done() is called.
 */
#ifndef ENGINE_KEEPER_H
#define ENGINE_KEEPER_H

#include "base/status.h"
#include "engine/persist.h"
#include "store/store.h"

struct keeper;

/* Takes `store`, on failure too. `data_dir` is borrowed: for the check in the background. */
enum fan_status keeper_create(struct store *store, const char *data_dir, struct keeper **ret_keeper,
                              struct fan_error *reterr) FAN_MUST_CHECK;
struct persister *keeper_persister(struct keeper *keeper);
/* Answers the jobs that wait, ends the thread and closes the store. Accepts NULL. */
void keeper_destroy(struct keeper *keeper);

/* True once a check of the whole file in the background has found damage. Any thread. */
bool keeper_found_damage(struct keeper *keeper, struct fan_error *ret_error);

#endif
