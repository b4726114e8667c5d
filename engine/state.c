#include "engine/state.h"

#include <string.h>

static const char *const state_names[PIPELINE_STATES_COUNT] = {
    [PIPELINE_INITIALIZING] = "INITIALIZING",
    [PIPELINE_BASELINING] = "BASELINING",
    [PIPELINE_STREAMING] = "STREAMING",
    [PIPELINE_PAUSED] = "PAUSED",
    [PIPELINE_ERROR] = "ERROR",
    [PIPELINE_STOPPED] = "STOPPED",
};

#define TO(state) (1u << (state))

/* The one table of legal transitions: a bit for each state that may follow. */
static const unsigned transitions[PIPELINE_STATES_COUNT] = {
    [PIPELINE_INITIALIZING] = TO(PIPELINE_BASELINING) | TO(PIPELINE_STREAMING) |
                              TO(PIPELINE_PAUSED) | TO(PIPELINE_ERROR) | TO(PIPELINE_STOPPED),
    [PIPELINE_BASELINING] = TO(PIPELINE_INITIALIZING) | TO(PIPELINE_STREAMING) |
                            TO(PIPELINE_PAUSED) | TO(PIPELINE_ERROR) | TO(PIPELINE_STOPPED),
    [PIPELINE_STREAMING] = TO(PIPELINE_INITIALIZING) | TO(PIPELINE_BASELINING) |
                           TO(PIPELINE_PAUSED) | TO(PIPELINE_ERROR) | TO(PIPELINE_STOPPED),
    [PIPELINE_PAUSED] = TO(PIPELINE_INITIALIZING) | TO(PIPELINE_STREAMING) | TO(PIPELINE_ERROR) |
                        TO(PIPELINE_STOPPED),
    [PIPELINE_ERROR] = TO(PIPELINE_INITIALIZING) | TO(PIPELINE_STREAMING) | TO(PIPELINE_STOPPED),
    [PIPELINE_STOPPED] = TO(PIPELINE_INITIALIZING),
};

/* Where a verb leads, and from which states it may be given. */
static const struct {
    const char *name;
    enum pipeline_state to;
    unsigned from;
} verbs[] = {
    [PIPELINE_PAUSE] = {"pause", PIPELINE_PAUSED,
                        TO(PIPELINE_INITIALIZING) | TO(PIPELINE_BASELINING) |
                            TO(PIPELINE_STREAMING)},
    [PIPELINE_RESUME] = {"resume", PIPELINE_STREAMING, TO(PIPELINE_PAUSED)},
    [PIPELINE_STOP] = {"stop", PIPELINE_STOPPED,
                       TO(PIPELINE_INITIALIZING) | TO(PIPELINE_BASELINING) |
                           TO(PIPELINE_STREAMING) | TO(PIPELINE_PAUSED) | TO(PIPELINE_ERROR)},
    [PIPELINE_START] = {"start", PIPELINE_INITIALIZING, TO(PIPELINE_STOPPED) | TO(PIPELINE_ERROR)},
    [PIPELINE_RESTART] = {"restart", PIPELINE_INITIALIZING,
                          TO(PIPELINE_INITIALIZING) | TO(PIPELINE_BASELINING) |
                              TO(PIPELINE_STREAMING) | TO(PIPELINE_PAUSED) | TO(PIPELINE_ERROR) |
                              TO(PIPELINE_STOPPED)},
};

const char *pipeline_state_name(enum pipeline_state state)
{
    return (unsigned)state < PIPELINE_STATES_COUNT ? state_names[state] : "UNKNOWN";
}

bool pipeline_state_parse(const char *name, enum pipeline_state *ret_state)
{
    for (unsigned state = 0; state < PIPELINE_STATES_COUNT; state++) {
        if (strcmp(name, state_names[state]) == 0) {
            *ret_state = (enum pipeline_state)state;
            return true;
        }
    }
    return false;
}

const char *pipeline_verb_name(enum pipeline_verb verb)
{
    return verbs[verb].name;
}

bool pipeline_state_may_become(enum pipeline_state from, enum pipeline_state to)
{
    return (transitions[from] & TO(to)) != 0;
}

enum fan_status pipeline_state_after(enum pipeline_state from, enum pipeline_verb verb,
                                     enum pipeline_state *ret_state, struct fan_error *reterr)
{
    if ((verbs[verb].from & TO(from)) == 0) {
        (void)fan_fail(reterr, FAN_POISON, "cannot %s a pipeline in state %s", verbs[verb].name,
                       pipeline_state_name(from));
        fan_error_annotate(reterr, "ILLEGAL_TRANSITION", "%s",
                           from == PIPELINE_PAUSED    ? "resume or stop it"
                           : from == PIPELINE_STOPPED ? "start it"
                           : from == PIPELINE_ERROR   ? "start or stop it"
                                                      : "pause or stop it");
        return FAN_POISON;
    }
    *ret_state = verbs[verb].to;
    return FAN_OK;
}
