/*
 * letters.h - work on the store of a running engine, and the replay of dead letters.
 *
 * The API and the command line reach the dead letters through here: the store belongs to the
 * store thread, so what is done with it runs there, in line with the checkpoints.
 *
 * Threading:  any thread but the store's.
 */
#ifndef ENGINE_LETTERS_H
#define ENGINE_LETTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "deadletter/deadletter.h"
#include "engine/engine.h"

/* One piece of work, on the store thread; it should take no longer than a save does. */
typedef enum fan_status engine_store_work(void *context, struct store *store,
                                          struct fan_error *reterr);

/*
 * Runs `work` and waits for it. Returns what it returned, or FAN_RETRY with the code TIMEOUT when
 * its turn did not come within ten seconds: then it is not run at all.
 */
enum fan_status engine_on_store(struct engine *engine, engine_store_work *work, void *context,
                                struct fan_error *reterr) FAN_MUST_CHECK;

/* Letters have gone from the store that were not delivered: the keys behind them need not wait. */
void engine_letters_removed(struct engine *engine);

struct replay_result {
    uint64_t succeeded;
    uint64_t failed;     /* they stay, with one more attempt counted */
    int64_t last_number; /* the highest of the letters that were tried; 0 none */
    bool stopped;        /* the target is down: nothing more was tried */
    char why[512];       /* of `stopped` */
};

/*
 * Delivers up to `limit` letters: of those that the filter selects the ones with the lowest
 * numbers, in the order of positions of each (pipeline, target). A letter is removed once its event
 * is durable. It returns after about 20 seconds with what it has done by then; the caller goes on
 * with filter.after_number = last_number until nothing was tried.
 */
enum fan_status engine_replay(struct engine *engine, const struct deadletter_filter *filter,
                              uint64_t limit, struct replay_result *ret_result,
                              struct fan_error *reterr) FAN_MUST_CHECK;

/* The bounds of the dead-letter store, as the conf has them. */
struct deadletter_caps letters_caps(const struct settings_dead_letters *settings);

#endif
