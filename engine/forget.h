/*
 * forget.h - what --forget and --adopt-slot name, compared with what there is.
 *
 * Both give something up for good, and once: a name that stands for nothing is a slip of the pen,
 * and the operator would believe that it was done.
 */
#ifndef ENGINE_FORGET_H
#define ENGINE_FORGET_H

#include "engine/engine.h"
#include "store/store.h"

/* Whether --forget names the target, as PIPELINE/TARGET. */
bool forget_names_target(const struct engine_setup *setup, const char *pipeline,
                         const char *target);

/* FAN_FATAL, code FORGET_UNKNOWN: a name that the store does not know, or that the conf still has. */
enum fan_status forget_check(const struct engine_setup *setup, const struct store_state *state,
                             struct fan_error *reterr) FAN_MUST_CHECK;

/* FAN_FATAL, code ADOPT_UNKNOWN: no source has that slot. `slots` are those of the conf. */
enum fan_status forget_adopt_check(const char *adopt_slot, const char *const *slots,
                                   size_t slots_count, struct fan_error *reterr) FAN_MUST_CHECK;

#endif
