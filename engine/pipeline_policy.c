/*
 * pipeline_policy.c - who may fall behind, who is diverted, and what a persistent failure leads to.
 */
#include "base/log.h"
#include "engine/pipeline_internal.h"

enum { LAGGARD_US = 500000 }; /* a target that nobody waits for answers within this */

/* How many targets take changes as they come. */
static size_t outlets_live(const struct pipeline *pipeline)
{
    size_t live = 0;
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        const struct outlet *outlet = &pipeline->outlets[index];
        live += outlet->divert == BACKLOG_NONE && outlet->started && !outlet->circuit_open;
    }
    return live;
}

/* Whether the commit policy, or the buffer's, lets this target fall behind now. `others` says how
 * many of the other targets do not. */
static bool may_fall_behind(const struct pipeline *pipeline, const struct outlet *outlet,
                            size_t others)
{
    const struct settings_pipeline *settings = pipeline->settings;
    if (settings->commit_policy.mode == COMMIT_QUORUM) {
        return others >= (size_t)settings->commit_policy.quorum;
    }
    return !outlet->counts;
}

/* Whether the buffer's policy lets any target go on out of its spill. */
static bool may_spill(const struct pipeline *pipeline)
{
    const struct settings_buffer *buffer = &pipeline->settings->buffer;
    return buffer->policy == BUFFER_SPILL && buffer->spill_max > 0;
}

static const char *policy_name(enum error_policy policy)
{
    static const char *const names[] = {"isolate", "stop_source", "stop_all"};
    return names[policy];
}

static void apply_policy(struct pipeline *pipeline, struct outlet *outlet)
{
    const struct settings_errors *errors = &pipeline->settings->error_handling;
    log_write(LOG_ERROR, "target fails persistently", LOG_TEXT("pipeline", outlet->pipeline),
              LOG_TEXT("target", outlet->name),
              LOG_TEXT("policy", policy_name((enum error_policy)errors->on_persistent_failure)),
              LOG_TEXT("error", outlet->error.text));
    if (errors->on_persistent_failure == ERRORS_ISOLATE) {
        outlet_divert(outlet, errors->dead_letter ? BACKLOG_LETTERS : BACKLOG_GAP, &outlet->error);
        return;
    }
    struct fan_error error = outlet->error;
    (void)fan_fail(&error, FAN_FATAL, "target \"%s\": %s", outlet->name, outlet->error.text);
    pipeline->policy = (enum error_policy)errors->on_persistent_failure;
    pipeline_fail(pipeline, false, &error);
}

static void outlet_failed(struct pipeline *pipeline, struct outlet *outlet, enum trouble trouble,
                          int64_t now_us)
{
    outlet->fatal = outlet->fatal || trouble == TROUBLE_FATAL;
    if (outlet->divert != BACKLOG_NONE) {
        outlet->moves++; /* shown, and kept */
        return;
    }
    if (trouble == TROUBLE_SPENT && !outlet->circuit_open) {
        return; /* it could not be diverted before, and works again */
    }
    bool live = outlet->started && !outlet->circuit_open;
    bool may = may_fall_behind(pipeline, outlet, outlets_live(pipeline) - live);
    if (pipeline->settings->commit_policy.mode == COMMIT_QUORUM && !may) {
        outlet->moves++;
        return; /* too few are left: it holds, as the laggards that follow it do */
    }
    if (may || may_spill(pipeline)) {
        outlet_divert(outlet, BACKLOG_SPILL, &outlet->error);
    } else {
        apply_policy(pipeline, outlet);
    }
    if (outlet->divert == BACKLOG_NONE && pipeline->run != RUN_FAILED) {
        outlet->trouble = trouble; /* it could not be done now */
        pipeline->ask_again_us = now_us + PIPELINE_ASK_AGAIN_US;
    }
}

void pipeline_act_on_troubles(struct pipeline *pipeline, int64_t now_us)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        struct outlet *outlet = &pipeline->outlets[index];
        enum trouble trouble = outlet_take_trouble(outlet);
        if (pipeline->run == RUN_IDLE || pipeline->run == RUN_FAILED) {
            continue; /* it has been dealt with */
        }
        if (trouble == TROUBLE_LOST) {
            pipeline_fail(pipeline, true, &outlet->error);
        } else if (trouble != TROUBLE_NONE) {
            outlet_failed(pipeline, outlet, trouble, now_us);
            if (outlet->trouble == TROUBLE_LOST) { /* by being diverted */
                (void)outlet_take_trouble(outlet); /* known */
                pipeline_fail(pipeline, true, &outlet->error);
            }
        }
    }
}

/* A target that nobody waits for, and that does not answer, goes on out of its backlog. */
int64_t pipeline_divert_laggards(struct pipeline *pipeline, int64_t now_us)
{
    static const struct fan_error slow = {.text = "it is slower than the others"};
    int64_t due_us = INT64_MAX;
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        struct outlet *outlet = &pipeline->outlets[index];
        if (outlet->counts || !outlet->answering || outlet->divert != BACKLOG_NONE ||
            courier_idle(&outlet->courier) || outlet->replay != NULL) {
            continue;
        }
        size_t settled = 0; /* others that have what it lacks */
        for (size_t other = 0; other < pipeline->outlets_count; other++) {
            const struct outlet *peer = &pipeline->outlets[other];
            settled += other != index && peer->divert == BACKLOG_NONE &&
                       position_compare(peer->settled, outlet->given) >= 0;
        }
        if (!may_fall_behind(pipeline, outlet, settled)) {
            continue;
        }
        if (now_us - outlet->busy_us >= LAGGARD_US) {
            outlet_divert(outlet, BACKLOG_SPILL, &slow);
        } else if (outlet->busy_us + LAGGARD_US < due_us) {
            due_us = outlet->busy_us + LAGGARD_US;
        }
    }
    return due_us;
}

static size_t bits_count(uint64_t bits)
{
    return (size_t)__builtin_popcountll(bits);
}

/* Whether a diversion would lose what comes. */
static bool loses(const struct outlet *outlet)
{
    return !outlet->counts && outlet->settings->buffer.spill_max == 0;
}

/* Those that hold the current batch up although they need not are diverted. */
void pipeline_divert_holders(struct pipeline *pipeline, int64_t now_us)
{
    static const struct fan_error slow = {.text = "it is slower than the others"};
    static const struct fan_error full = {.text = "the buffer is full"};
    bool overflow = may_spill(pipeline) && ring_reader_waits(&pipeline->ring);
    uint64_t diverted = 0;
    uint64_t required = 0;
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        diverted |= (uint64_t)(pipeline->outlets[index].divert != BACKLOG_NONE) << index;
        required |= (uint64_t)pipeline->outlets[index].counts << index;
    }
    bool quorum = pipeline->settings->commit_policy.mode == COMMIT_QUORUM;
    size_t have = pipeline->outlets_count - bits_count(pipeline->current_left | diverted);
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        struct outlet *outlet = &pipeline->outlets[index];
        if ((pipeline->current_left >> index & 1) == 0 || outlet->divert != BACKLOG_NONE) {
            continue;
        }
        /* Those that count come first: nobody is spilled for a batch that has to wait anyway. */
        bool ahead = quorum || (pipeline->current_left & required) == 0;
        bool behind = ahead && may_fall_behind(pipeline, outlet, have);
        if (behind && loses(outlet) && outlet->answering && !courier_idle(&outlet->courier) &&
            now_us - outlet->busy_us < LAGGARD_US) {
            continue; /* pipeline_divert_laggards() sees to it */
        }
        if (!behind && !overflow) {
            outlet_goes_on(outlet);
        } else if (!outlet_settles_down(outlet, now_us)) {
            outlet_divert(outlet, BACKLOG_SPILL, behind ? &slow : &full);
            if (outlet->divert == BACKLOG_NONE) {
                pipeline->ask_again_us = now_us + PIPELINE_ASK_AGAIN_US;
            }
        }
    }
}

/* For the slot's guard: everything is kept elsewhere, or given up. */
void pipeline_divert_all(struct pipeline *pipeline, enum backlog_kind kind)
{
    static const struct fan_error guard = {.text = "the slot holds too much WAL"};
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        if (pipeline->outlets[index].divert == BACKLOG_NONE) {
            outlet_divert(&pipeline->outlets[index], kind, &guard);
        }
    }
}
