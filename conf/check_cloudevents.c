#include "conf/check_cloudevents.h"

#include <string.h>

static bool is_cloudevents(const struct settings_target *target)
{
    return target->format != NULL && strcmp(target->format, CLOUDEVENTS_FORMAT) == 0;
}

static const char *why_no_headers(const struct conf_decoder *decoder,
                                  const struct settings_target *target)
{
    const struct conf_plugin *plugin =
        conf_plugin_find(decoder->plugins, CONF_FAMILY_TARGET, target->type);
    if (plugin == NULL) {
        return NULL; /* reported */
    }
    return plugin->headers_fault == NULL
               ? "the attributes would be lost, because a target of its type has no headers"
               : plugin->headers_fault(target->options);
}

void conf_check_cloudevents(const struct conf_decoder *decoder, const struct conf_node *node,
                            const struct settings_target *target)
{
    const struct conf_node *section = conf_node_child(node, "cloudevents");
    const char *name = target->name != NULL ? target->name : "?";
    bool binary = target->cloudevents.mode == CLOUDEVENTS_MODE_BINARY;
    if (section == NULL || section->kind != CONF_NODE_MAP) {
        return; /* reported, if it is something else */
    }
    /* The effective conf shows defaults everywhere, and can be read back. */
    if (!is_cloudevents(target) &&
        (binary || target->cloudevents.compat == CLOUDEVENTS_COMPAT_DEBEZIUM)) {
        conf_report_add(decoder->report, CONF_ERROR, &section->key_place,
                        "remove it, or set `format: cloudevents`",
                        "\"cloudevents\" has no meaning with another \"format\"");
        return;
    }
    const struct conf_node *mode = conf_node_child(section, "mode");
    const char *why =
        binary && mode != NULL && target->type != NULL ? why_no_headers(decoder, target) : NULL;
    if (why != NULL) {
        conf_report_add(decoder->report, CONF_ERROR, &mode->place, "use `mode: structured`",
                        "target \"%.63s\" cannot have \"mode: binary\": %s", name, why);
    }
}

const char *conf_cloudevents_marks_fault(const struct settings_target *target,
                                         const char **ret_hint)
{
    if (!is_cloudevents(target)) {
        return NULL;
    }
    if (target->cloudevents.mode == CLOUDEVENTS_MODE_BINARY) {
        *ret_hint = "use `mode: structured`";
        return "a mark has no headers, which \"mode: binary\" needs";
    }
    *ret_hint = "remove \"compat\"";
    return target->cloudevents.compat == CLOUDEVENTS_COMPAT_DEBEZIUM
               ? "there are no marks in the form that \"compat: debezium\" asks for"
               : NULL;
}
