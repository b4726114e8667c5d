#include "engine/forget.h"

#include <stdio.h>
#include <string.h>

#include "conf/nearest.h"

enum { FORGET_NAME_MAX = 2 * STORE_NAME_MAX };

static void target_name(const char *pipeline, const char *target, char name[FORGET_NAME_MAX])
{
    (void)snprintf(name, FORGET_NAME_MAX, "%s/%s", pipeline,
                   target); /* both have the store's size */
}

bool forget_names_target(const struct engine_setup *setup, const char *pipeline, const char *target)
{
    char name[FORGET_NAME_MAX];
    target_name(pipeline, target, name);
    for (size_t index = 0; index < setup->forget_count; index++) {
        if (strcmp(setup->forget[index], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool conf_has(const struct settings *settings, const char *name)
{
    for (size_t index = 0; index < settings->pipelines.count; index++) {
        const struct settings_pipeline *pipeline = settings_pipeline_at(settings, index);
        if (strcmp(pipeline->name, name) == 0) {
            return true;
        }
        for (size_t at = 0; at < pipeline->targets.count; at++) {
            char own[FORGET_NAME_MAX];
            target_name(pipeline->name, settings_target_at(pipeline, at)->name, own);
            if (strcmp(own, name) == 0) {
                return true;
            }
        }
    }
    return false;
}

static bool store_has(const struct store_state *state, const char *name)
{
    for (size_t index = 0; index < state->pipelines_count; index++) {
        if (strcmp(state->pipelines[index].pipeline, name) == 0) {
            return true;
        }
    }
    for (size_t index = 0; index < state->checkpoints_count; index++) {
        const struct store_checkpoint *record = &state->checkpoints[index];
        char own[FORGET_NAME_MAX];
        target_name(record->pipeline, record->target, own);
        if (strcmp(record->pipeline, name) == 0 || strcmp(own, name) == 0) {
            return true;
        }
    }
    for (size_t index = 0; index < state->letters_count; index++) {
        const struct store_letter_total *total = &state->letters[index];
        char own[FORGET_NAME_MAX];
        target_name(total->pipeline, total->target, own);
        if (strcmp(total->pipeline, name) == 0 || strcmp(own, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Of what the store has and the conf has not, which is all that can be forgotten. */
static void offer_names(const struct settings *settings, const struct store_state *state,
                        struct nearest *nearest)
{
    for (size_t index = 0; index < state->pipelines_count; index++) {
        const char *name = state->pipelines[index].pipeline;
        if (!conf_has(settings, name)) {
            nearest_offer(nearest, name);
        }
    }
}

enum fan_status forget_check(const struct engine_setup *setup, const struct store_state *state,
                             struct fan_error *reterr)
{
    for (size_t index = 0; index < setup->forget_count; index++) {
        const char *name = setup->forget[index];
        if (conf_has(setup->settings, name)) {
            (void)fan_fail(reterr, FAN_FATAL, "cannot forget \"%s\": it is still in the conf",
                           name);
            fan_error_annotate(reterr, "FORGET_UNKNOWN",
                               "take it out of the conf, or leave --forget away");
            return FAN_FATAL;
        }
        if (!store_has(state, name)) {
            struct nearest nearest;
            nearest_init(&nearest, name);
            offer_names(setup->settings, state, &nearest);
            (void)fan_fail(reterr, FAN_FATAL,
                           "cannot forget \"%s\": the store remembers no pipeline and no target of "
                           "that name",
                           name);
            fan_error_annotate(reterr, "FORGET_UNKNOWN",
                               nearest.best == NULL
                                   ? "name a pipeline, or a target as PIPELINE/TARGET; once it is "
                                     "forgotten, leave --forget away"
                                   : "did you mean %s?",
                               nearest.best);
            return FAN_FATAL;
        }
    }
    return FAN_OK;
}

enum fan_status forget_adopt_check(const char *adopt_slot, const char *const *slots,
                                   size_t slots_count, struct fan_error *reterr)
{
    if (adopt_slot == NULL) {
        return FAN_OK;
    }
    struct nearest nearest;
    nearest_init(&nearest, adopt_slot);
    for (size_t index = 0; index < slots_count; index++) {
        if (strcmp(slots[index], adopt_slot) == 0) {
            return FAN_OK;
        }
        nearest_offer(&nearest, slots[index]);
    }
    (void)fan_fail(reterr, FAN_FATAL, "cannot adopt slot \"%s\": no source of the conf has it",
                   adopt_slot);
    fan_error_annotate(reterr, "ADOPT_UNKNOWN",
                       nearest.best == NULL ? "name the slot.name of a source" : "did you mean %s?",
                       nearest.best);
    return FAN_FATAL;
}
