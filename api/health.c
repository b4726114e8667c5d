/* health.c - liveness and readiness: for orchestrators, so that the status alone is enough. */
#include "api/handlers.h"
#include "api/json.h"
#include "engine/engine.h"

/* Takes a snapshot, or answers 503 and returns false. */
static bool take_status(const struct request *request, struct engine_status *ret_status,
                        struct answer *answer)
{
    struct fan_error error = {0};
    if (engine_status_take(request->setup->engine, ret_status, &error) != FAN_OK) {
        answer_error(answer, 503, &error);
        return false;
    }
    return true;
}

static json_t *pipeline_states(const struct engine_status *status, bool only_failed)
{
    json_t *list = json_array();
    for (size_t i = 0; i < status->pipelines_count; i++) {
        const struct pipeline_status *pipeline = &status->pipelines[i];
        if (only_failed && pipeline->state != PIPELINE_ERROR) {
            continue;
        }
        json_t *item = json_object();
        json_put_text(item, "name", pipeline->name);
        json_put_text(item, "source", pipeline->source);
        json_put_text(item, "state", pipeline_state_name(pipeline->state));
        json_put_text(item, "reason", pipeline->reason);
        json_push(list, item);
    }
    return list;
}

static bool source_failed(const struct source_entry *source)
{
    return source->source.state == SOURCE_FAILED;
}

static json_t *source_states(const struct engine_status *status, bool only_failed)
{
    json_t *list = json_array();
    for (size_t i = 0; i < status->sources_count; i++) {
        const struct source_entry *source = &status->sources[i];
        if (only_failed && !source_failed(source)) {
            continue;
        }
        json_t *item = json_object();
        json_put_text(item, "name", source->name);
        json_put_text(item, "state", source_state_name(source->source.state));
        json_put_bool(item, "incomplete", source->source.incomplete);
        json_put_bool(item, "stalled", source->source.stalled);
        json_put_text(item, "reason", source->source.reason);
        json_push(list, item);
    }
    return list;
}

void handle_health(const struct request *request, struct answer *answer)
{
    struct engine_status status = {0};
    if (!take_status(request, &status, answer)) {
        return;
    }
    bool live = engine_status_live(&status);
    json_t *object = json_object();
    json_put_bool(object, "live", live);
    json_put(object, "failed_sources", source_states(&status, true));
    json_put(object, "failed_pipelines", pipeline_states(&status, true));
    engine_status_release(&status);
    answer_json(answer, live ? 200 : 503, object);
}

void handle_ready(const struct request *request, struct answer *answer)
{
    struct engine_status status = {0};
    if (!take_status(request, &status, answer)) {
        return;
    }
    bool ready = engine_status_ready(&status) && !status.stopping;
    json_t *object = json_object();
    json_put_bool(object, "ready", ready);
    json_put_bool(object, "stopping", status.stopping);
    json_put(object, "sources", source_states(&status, false));
    json_put(object, "pipelines", pipeline_states(&status, false));
    engine_status_release(&status);
    answer_json(answer, ready ? 200 : 503, object);
}
