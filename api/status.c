#include "api/handlers.h"
#include "api/status_json.h"

void handle_status(const struct request *request, struct answer *answer)
{
    struct engine_status status = {0};
    struct fan_error error = {0};
    if (engine_status_take(request->setup->engine, &status, &error) != FAN_OK) {
        answer_error(answer, 503, &error);
        return;
    }
    json_t *object = status_json_all(request->setup, &status);
    engine_status_release(&status);
    answer_json(answer, 200, object);
}

void handle_version(const struct request *request, struct answer *answer)
{
    answer_json(answer, 200, status_json_versions(request->setup));
}
