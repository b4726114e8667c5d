#include "conf/check_delivery.h"

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
    if (laggard != NULL && pipeline->buffer.spill_max == 0) {
        conf_report_add(decoder->report, CONF_WARNING, place_in(node, "buffer", "spill_max"),
                        "give \"spill_max\" a size",
                        "lossy: target \"%.63s\" loses changes whenever it is slower than those "
                        "that count, because nothing is spilled",
                        word_of(laggard));
    }
    const struct settings_errors *errors = &pipeline->error_handling;
    if (errors->on_persistent_failure == ERRORS_ISOLATE && !errors->dead_letter) {
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
    check_required(decoder, node, pipeline);
}
