#include "conf/check_delivery.h"

#include "conf/check_cloudevents.h"

/* As in conf/tables.c; those of `at_cap` as in enum deadletter_at_cap, which stands above conf. */
enum { AT_CAP_REJECT = 1, AT_CAP_DROP_OLDEST = 2, MAX_PAYLOAD_DEFAULT = 64 * 1024 * 1024 };

/* Where a key of a section of the pipeline stands; the section, or the pipeline, when it is not
 * written. */
static const struct conf_place *place_in(const struct conf_node *node, const char *section,
                                         const char *key)
{
    const struct conf_node *inner = conf_node_child(node, section);
    const struct conf_node *item = inner != NULL ? conf_node_child(inner, key) : NULL;
    if (item != NULL) {
        return &item->place;
    }
    return inner != NULL ? &inner->key_place : &node->place;
}

/* Nothing is a choice that is not written: a section that could not be read leaves zeros. */
static bool is_written(const struct conf_node *node, const char *section, const char *key)
{
    return conf_node_child(conf_node_child(node, section), key) != NULL;
}

/* A target that no change waits for, or NULL. */
static const struct settings_target *laggard_of(const struct settings_pipeline *pipeline)
{
    const struct settings_commit *commit = &pipeline->commit_policy;
    for (size_t i = 0; i < pipeline->targets.count; i++) {
        const struct settings_target *target = settings_target_at(pipeline, i);
        bool optional = commit->mode == COMMIT_REQUIRED && !target->required;
        bool spare =
            commit->mode == COMMIT_QUORUM && (size_t)commit->quorum < pipeline->targets.count;
        if (optional || spare) {
            return target;
        }
    }
    return NULL;
}

/* Why no target of the pipeline can come to `on_persistent_failure`, or NULL when one can.
 * outlet_failed() in engine/pipeline_policy.c decides it for each. */
static const char *why_no_policy(const struct settings_pipeline *pipeline)
{
    if (pipeline->commit_policy.mode == COMMIT_QUORUM) {
        return "under a quorum a failing target falls behind, or holds the pipeline";
    }
    if (pipeline->buffer.policy == BUFFER_SPILL) {
        return "with \"policy: spill\" a failing target goes on out of its spill";
    }
    bool waited_for = pipeline->commit_policy.mode == COMMIT_ALL;
    for (size_t i = 0; i < pipeline->targets.count; i++) {
        waited_for = waited_for || settings_target_at(pipeline, i)->required;
    }
    return waited_for ? NULL : "no target is waited for, so that a failing one only falls behind";
}

static const char *word_of(const struct settings_target *target)
{
    return target->name != NULL ? target->name : "?";
}

static void check_faults(const struct conf_decoder *decoder, const struct conf_node *node,
                         const struct settings_pipeline *pipeline)
{
    const struct settings_commit *commit = &pipeline->commit_policy;
    if (commit->mode == COMMIT_QUORUM && (size_t)commit->quorum > pipeline->targets.count &&
        pipeline->targets.count > 0) {
        conf_report_add(decoder->report, CONF_ERROR, place_in(node, "commit_policy", "quorum"),
                        "lower it, or add targets",
                        "a quorum of %lld cannot be had from %zu targets",
                        (long long)commit->quorum, pipeline->targets.count);
    }
    if (pipeline->buffer.policy == BUFFER_SPILL && pipeline->buffer.spill_max == 0) {
        conf_report_add(decoder->report, CONF_ERROR, place_in(node, "buffer", "spill_max"),
                        "give it a size, or use another policy",
                        "\"policy: spill\" cannot spill anything with \"spill_max: 0\"");
    }
}

static void check_losses(const struct conf_decoder *decoder, const struct conf_node *node,
                         const struct settings_pipeline *pipeline)
{
    const struct settings_target *laggard = laggard_of(pipeline);
    if (laggard != NULL && pipeline->buffer.spill_max == 0 &&
        is_written(node, "buffer", "spill_max")) {
        conf_report_add(decoder->report, CONF_WARNING, place_in(node, "buffer", "spill_max"),
                        "give \"spill_max\" a size",
                        "lossy: target \"%.63s\" loses changes whenever it is slower than those "
                        "that count, because nothing is spilled",
                        word_of(laggard));
    }
    const struct settings_errors *errors = &pipeline->error_handling;
    if (errors->on_persistent_failure == ERRORS_ISOLATE && !errors->dead_letter &&
        is_written(node, "error_handling", "dead_letter") && why_no_policy(pipeline) == NULL) {
        conf_report_add(decoder->report, CONF_WARNING,
                        place_in(node, "error_handling", "dead_letter"),
                        "remove \"dead_letter: false\"",
                        "lossy: what a failing target cannot take is given up with a gap row");
    }
    if (pipeline->buffer.policy == BUFFER_DROP_OLDEST) {
        conf_report_add(decoder->report, CONF_WARNING, place_in(node, "buffer", "policy"),
                        "block and spill lose nothing",
                        "lossy: \"drop_oldest\" gives up changes when the buffer is full");
    }
}

/* Only one that is written: the default is as much without effect, and misleads nobody. */
static void check_effect(const struct conf_decoder *decoder, const struct conf_node *node,
                         const struct settings_pipeline *pipeline)
{
    static const char key[] = "on_persistent_failure";
    const char *why = why_no_policy(pipeline);
    if (why != NULL && is_written(node, "error_handling", key) && pipeline->targets.count > 0) {
        conf_report_add(decoder->report, CONF_WARNING, place_in(node, "error_handling", key),
                        "remove it", "\"%s\" has no effect: %s", key, why);
    }
}

/* Why the target cannot have transactions in this pipeline, or NULL; `ret_hint` says how to mend it. */
static const char *why_no_transactions(const struct conf_decoder *decoder,
                                       const struct settings_pipeline *pipeline,
                                       const struct settings_target *target, const char **ret_hint)
{
    enum { SPECIAL_FAIL = 2 }; /* as in conf/tables.c */
    const struct conf_plugin *plugin =
        conf_plugin_find(decoder->plugins, CONF_FAMILY_TARGET, target->type);
    if (!pipeline->batch.respect_source_tx) {
        *ret_hint = "remove \"respect_source_tx: false\" from \"batch\"";
        return "batches end within transactions";
    }
    if (pipeline->buffer.policy == BUFFER_DROP_OLDEST) {
        *ret_hint = "use another buffer policy: block and spill lose nothing";
        return "\"drop_oldest\" takes single changes out of them";
    }
    if (target->special_values == SPECIAL_FAIL) {
        *ret_hint = "set \"special_values\" to string or null";
        return "\"special_values: fail\" takes single events out of them";
    }
    const char *why = conf_cloudevents_marks_fault(target, ret_hint);
    if (why != NULL) {
        return why;
    }
    *ret_hint = "remove \"transactions\"";
    return plugin != NULL && plugin->marks_fault != NULL
               ? plugin->marks_fault(target->options, target->format)
               : NULL;
}

static void check_transactions(const struct conf_decoder *decoder, const struct conf_node *node,
                               const struct settings_pipeline *pipeline)
{
    const struct conf_node *list = conf_node_child(node, "targets");
    if (list == NULL || list->kind != CONF_NODE_SEQUENCE) {
        return;
    }
    const struct conf_node *item = list->first;
    for (size_t i = 0; item != NULL && i < pipeline->targets.count; i++, item = item->next) {
        const struct settings_target *target = settings_target_at(pipeline, i);
        const struct conf_node *written = conf_node_child(item, "transactions");
        const char *hint = NULL;
        const char *why = target->transactions && target->type != NULL && written != NULL
                              ? why_no_transactions(decoder, pipeline, target, &hint)
                              : NULL;
        if (why != NULL) {
            conf_report_add(decoder->report, CONF_ERROR, &written->place, hint,
                            "target \"%.63s\" cannot have transactions: %s", word_of(target), why);
        }
    }
}

/* `required: false` under a policy that does not ask for it would be accepted and ignored. */
static void check_required(const struct conf_decoder *decoder, const struct conf_node *node,
                           const struct settings_pipeline *pipeline)
{
    const struct conf_node *list = conf_node_child(node, "targets");
    if (pipeline->commit_policy.mode == COMMIT_REQUIRED || list == NULL ||
        list->kind != CONF_NODE_SEQUENCE) {
        return;
    }
    const struct conf_node *item = list->first;
    for (size_t i = 0; item != NULL && i < pipeline->targets.count; i++, item = item->next) {
        const struct conf_node *required = conf_node_child(item, "required");
        if (required != NULL && !settings_target_at(pipeline, i)->required) {
            conf_report_add(decoder->report, CONF_ERROR, &required->place,
                            "remove it, or use `mode: required`",
                            "\"required\" has no meaning under this \"commit_policy\"");
        }
    }
}

void conf_check_delivery(const struct conf_decoder *decoder, const struct conf_node *node,
                         const struct settings_pipeline *pipeline)
{
    check_faults(decoder, node, pipeline);
    check_losses(decoder, node, pipeline);
    check_effect(decoder, node, pipeline);
    check_required(decoder, node, pipeline);
    check_transactions(decoder, node, pipeline);
}

/* ---- dead letters ---- */

/* Isolated targets write them, and those that can refuse a single event. */
static bool writes_letters(const struct conf_decoder *decoder,
                           const struct settings_pipeline *pipeline)
{
    const struct settings_errors *errors = &pipeline->error_handling;
    bool refuses = false;
    for (size_t i = 0; i < pipeline->targets.count; i++) {
        const struct conf_plugin *plugin = conf_plugin_find(decoder->plugins, CONF_FAMILY_TARGET,
                                                            settings_target_at(pipeline, i)->type);
        refuses = refuses || (plugin != NULL && plugin->answers);
    }
    bool isolates =
        errors->on_persistent_failure == ERRORS_ISOLATE && why_no_policy(pipeline) == NULL;
    return errors->dead_letter && (refuses || isolates);
}

static void warn_letters(const struct conf_decoder *decoder, const char *key, const char *hint,
                         const char *text)
{
    const struct conf_node *root = decoder->tree->root;
    if (is_written(root, "dead_letters", key)) {
        conf_report_add(decoder->report, CONF_WARNING, place_in(root, "dead_letters", key), hint,
                        "lossy: %s", text);
    }
}

void conf_check_dead_letters(const struct conf_decoder *decoder, const struct settings *settings)
{
    bool written = false;
    for (size_t i = 0; i < settings->pipelines.count; i++) {
        written = written || writes_letters(decoder, settings_pipeline_at(settings, i));
    }
    if (!written) {
        return;
    }
    static const char block[] = "\"block\" holds the slot, and loses nothing";
    const struct settings_dead_letters *letters = &settings->dead_letters;
    if (letters->at_cap == AT_CAP_REJECT) {
        warn_letters(decoder, "at_cap", block,
                     "\"reject\" makes gap rows of new dead letters when their store is full");
    }
    if (letters->at_cap == AT_CAP_DROP_OLDEST) {
        warn_letters(decoder, "at_cap", block,
                     "\"drop_oldest\" makes gap rows of the oldest dead letters when their store "
                     "is full");
    }
    if (letters->max_age_us > 0) {
        warn_letters(decoder, "max_age",
                     "replay them in time, or remove it: then they stay until they are replayed or "
                     "purged",
                     "dead letters older than \"max_age\" become gap rows");
    }
    if (letters->max_payload_bytes < MAX_PAYLOAD_DEFAULT) {
        warn_letters(decoder, "max_payload", "remove it, which allows 64MiB, or make it larger",
                     "a dead letter larger than \"max_payload\" becomes a gap row at once");
    }
}

/* ---- the slot's guard ---- */

static void warn_step(const struct conf_decoder *decoder, const struct conf_node *item,
                      const char *text)
{
    conf_report_add(decoder->report, CONF_WARNING, &item->place,
                    "warn, spill and stop give up nothing", "lossy: %s", text);
}

void conf_check_guard(const struct conf_decoder *decoder, const struct conf_node *node,
                      const struct settings_source *source)
{
    const struct conf_node *then = conf_node_child(conf_node_child(node, "slot_guard"), "then");
    const struct conf_node *item = then != NULL && then->first != NULL ? then->first : then;
    const struct conf_text_list *steps = &source->slot_guard.steps;
    for (size_t i = 0; item != NULL && i < steps->count; i++, item = item->next) {
        enum guard_step step = GUARD_WARN;
        if (steps->items[i] == NULL || !guard_step_parse(steps->items[i], &step)) {
            continue; /* reported */
        }
        if (step == GUARD_DETACH) {
            warn_step(decoder, item, "\"detach\" gives up what pipelines hold, with gap rows");
        } else if (step == GUARD_DROP_SLOT) {
            warn_step(decoder, item,
                      "\"drop_slot\" loses every change that is not confirmed by then, without gap "
                      "rows: targets need a new copy of the tables");
        }
    }
}
