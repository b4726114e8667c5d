/*
 * state.h - the states of a pipeline and the one table of legal transitions.
 *
 *     INITIALIZING ──► BASELINING ──► STREAMING ⇄ PAUSED
 *          any of them ──► ERROR, STOPPED;   any of them ──► INITIALIZING (start, restart)
 *          ERROR ──► STREAMING: an isolated target works again
 *
 * A state is kept in the store and survives a restart: a pipeline that was PAUSED, STOPPED or in
 * ERROR comes back so, every other one starts with INITIALIZING.
 */
#ifndef ENGINE_STATE_H
#define ENGINE_STATE_H

#include <stdbool.h>

#include "base/status.h"

enum pipeline_state {
    PIPELINE_INITIALIZING, /* its targets are being started, or its source is not streaming yet */
    PIPELINE_BASELINING,
    PIPELINE_STREAMING,
    PIPELINE_PAUSED,  /* holds the ack at its checkpoint; keeps what it has queued */
    PIPELINE_ERROR,   /* as STOPPED, because something failed; the reason is shown. Or one of its
                         targets is isolated, while the others stream on. */
    PIPELINE_STOPPED, /* holds the ack at its checkpoint; holds nothing in memory */
    PIPELINE_STATES_COUNT,
};

enum pipeline_verb {
    PIPELINE_PAUSE,
    PIPELINE_RESUME,
    PIPELINE_STOP,
    PIPELINE_START,
    PIPELINE_RESTART, /* a stop and a start; targets that wait for an operator are tried */
};

const char *pipeline_state_name(enum pipeline_state state);
bool pipeline_state_parse(const char *name, enum pipeline_state *ret_state);
const char *pipeline_verb_name(enum pipeline_verb verb);

bool pipeline_state_may_become(enum pipeline_state from, enum pipeline_state to);

/*
 * The state that an operator's verb leads to. FAN_POISON with the code ILLEGAL_TRANSITION when the
 * table does not allow it, naming both states.
 */
enum fan_status pipeline_state_after(enum pipeline_state from, enum pipeline_verb verb,
                                     enum pipeline_state *ret_state,
                                     struct fan_error *reterr) FAN_MUST_CHECK;

#endif
