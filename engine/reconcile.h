/*
 * reconcile.h - compares the conf with what the store remembers, at start.
 *
 * By name: a pipeline or target that the store does not know begins at its source's confirmed
 * position. One that the conf has no more is forgotten, unless it was holding the slot (PAUSED,
 * STOPPED or ERROR): then the start is refused until --forget names it, because whatever it has
 * not delivered can never be had again. So is one that has dead letters or a spill, and a target
 * that is behind another one of its pipeline, or whose pipeline was holding the slot: it is named
 * as --forget PIPELINE/TARGET. A rename is both. A changed address keeps its checkpoint.
 */
#ifndef ENGINE_RECONCILE_H
#define ENGINE_RECONCILE_H

#include "engine/engine.h"
#include "store/store.h"

/*
 * Removes from the store, and from `state`, what the conf has no more. FAN_FATAL with the code
 * PIPELINE_REMOVED or TARGET_REMOVED when that needs --forget, FORGET_UNKNOWN when that names
 * nothing; statuses of store_save() otherwise.
 */
enum fan_status reconcile(const struct engine_setup *setup, struct store *store,
                          struct store_state *state, struct fan_error *reterr) FAN_MUST_CHECK;

/* What the store has of them, or NULL. Borrowed from `state`. */
const struct store_source *state_source(const struct store_state *state, const char *source);
const struct store_pipeline *state_pipeline(const struct store_state *state, const char *pipeline);
const struct store_checkpoint *state_checkpoint(const struct store_state *state,
                                                const char *pipeline, const char *target);

#endif
