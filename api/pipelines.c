/* pipelines.c - the pipelines as resources, and the operator's verbs on them. */
#include <string.h>

#include "api/handlers.h"
#include "api/json.h"
#include "api/status_json.h"
#include "conf/nearest.h"

static const struct settings_pipeline *find_by_id(const struct settings *settings, const char *id)
{
    const struct settings_pipeline *found = NULL;
    for (size_t i = 0; i < settings->pipelines.count; i++) {
        char own[STATUS_ID_MAX];
        const struct settings_pipeline *pipeline = settings_pipeline_at(settings, i);
        if (status_json_id(pipeline, own, sizeof(own)) && strcmp(own, id) == 0) {
            if (found != NULL) {
                return NULL; /* ambiguous: an alias of none */
            }
            found = pipeline;
        }
    }
    return found;
}

/* By name, else by id; else answers 404 with the nearest name and returns NULL. */
static const struct settings_pipeline *find(const struct request *request, struct answer *answer)
{
    const struct settings *settings = request->setup->settings;
    struct nearest nearest;
    nearest_init(&nearest, request->name);
    for (size_t i = 0; i < settings->pipelines.count; i++) {
        const struct settings_pipeline *pipeline = settings_pipeline_at(settings, i);
        if (strcmp(pipeline->name, request->name) == 0) {
            return pipeline;
        }
        nearest_offer(&nearest, pipeline->name);
    }
    const struct settings_pipeline *pipeline = find_by_id(settings, request->name);
    if (pipeline == NULL) {
        struct fan_error error = {0};
        (void)fan_fail(&error, FAN_POISON, "no pipeline is named \"%s\"", request->name);
        fan_error_annotate(&error, "PIPELINE_NOT_FOUND",
                           nearest.best == NULL ? "GET /pipelines lists them" : "did you mean %s?",
                           nearest.best);
        answer_error(answer, 404, &error);
    }
    return pipeline;
}

static bool label_matches(const struct settings_pipeline *pipeline, const char *selector)
{
    const char *colon = strchr(selector, ':');
    size_t key_size = colon == NULL ? strlen(selector) : (size_t)(colon - selector);
    for (size_t i = 0; i < pipeline->labels.count; i++) {
        const struct conf_text_pair *pair = &pipeline->labels.pairs[i];
        if (strlen(pair->key) == key_size && memcmp(pair->key, selector, key_size) == 0) {
            return colon == NULL || strcmp(pair->value, colon + 1) == 0;
        }
    }
    return false;
}

static bool selected(const struct request *request, const struct settings_pipeline *pipeline)
{
    for (size_t i = 0; i < request->query_count; i++) {
        if (!label_matches(pipeline, request->query[i].value)) {
            return false;
        }
    }
    return true;
}

void handle_pipelines(const struct request *request, struct answer *answer)
{
    struct engine_status status = {0};
    struct fan_error error = {0};
    if (engine_status_take(request->setup->engine, &status, &error) != FAN_OK) {
        answer_error(answer, 503, &error);
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < status.pipelines_count; i++) {
        if (selected(request, status.pipelines[i].settings)) {
            json_push(list, status_json_pipeline(request->setup, &status, &status.pipelines[i]));
        }
    }
    engine_status_release(&status);
    json_t *object = json_object();
    json_put(object, "pipelines", list);
    answer_json(answer, 200, object);
}

typedef json_t *pipeline_view(const struct api_setup *setup, const struct engine_status *status,
                              const struct pipeline_status *pipeline);

static void answer_pipeline(const struct request *request, const char *name, pipeline_view *view,
                            struct answer *answer)
{
    struct engine_status status = {0};
    struct fan_error error = {0};
    if (engine_status_take(request->setup->engine, &status, &error) != FAN_OK) {
        answer_error(answer, 503, &error);
        return;
    }
    json_t *object = NULL;
    for (size_t i = 0; i < status.pipelines_count && object == NULL; i++) {
        if (strcmp(status.pipelines[i].name, name) == 0) {
            object = view(request->setup, &status, &status.pipelines[i]);
        }
    }
    engine_status_release(&status);
    answer_json(answer, 200, object);
}

void handle_pipeline(const struct request *request, struct answer *answer)
{
    const struct settings_pipeline *pipeline = find(request, answer);
    if (pipeline != NULL) {
        answer_pipeline(request, pipeline->name, status_json_pipeline, answer);
    }
}

void handle_checkpoints(const struct request *request, struct answer *answer)
{
    const struct settings_pipeline *pipeline = find(request, answer);
    if (pipeline != NULL) {
        answer_pipeline(request, pipeline->name, status_json_checkpoints, answer);
    }
}

static unsigned status_of_code(const char *code)
{
    if (strcmp(code, "PIPELINE_NOT_FOUND") == 0) {
        return 404;
    }
    return strcmp(code, "ILLEGAL_TRANSITION") == 0 ? 409 : 503;
}

void handle_pipeline_verb(const struct request *request, struct answer *answer)
{
    const struct settings_pipeline *pipeline = find(request, answer);
    if (pipeline == NULL) {
        return;
    }
    if (request->body_size > 0) {
        answer_refusal(answer, 400, "BAD_REQUEST", NULL, "this request takes no body");
        return;
    }
    struct fan_error error = {0};
    if (engine_command(request->setup->engine, pipeline->name,
                       (enum pipeline_verb)request->argument, &error) != FAN_OK) {
        answer_error(answer, status_of_code(error.code), &error);
        return;
    }
    answer_pipeline(request, pipeline->name, status_json_pipeline, answer);
}
