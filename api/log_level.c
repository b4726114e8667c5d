#include <jansson.h>
#include <string.h>

#include "api/handlers.h"
#include "api/json.h"
#include "base/log.h"

void handle_log_level(const struct request *request, struct answer *answer)
{
    static const char hint[] = "send {\"level\":\"error|warn|info|debug\"}";
    json_error_t fault;
    json_t *body = json_loadb(request->body, request->body_size, JSON_REJECT_DUPLICATES, &fault);
    if (body == NULL) {
        answer_refusal(answer, 400, "BAD_REQUEST", hint, "body is not JSON: %s", fault.text);
        return;
    }
    const char *text = NULL;
    enum log_level level = LOG_INFO;
    if (json_unpack_ex(body, &fault, JSON_STRICT, "{s:s}", "level", &text) != 0) {
        answer_refusal(answer, 400, "BAD_REQUEST", hint,
                       "body is not an object with the member \"level\" alone");
    } else if (!log_level_parse(text, &level)) {
        answer_refusal(answer, 400, "BAD_REQUEST", hint, "unknown log level \"%.32s\"", text);
    } else {
        const char *before = log_level_name(log_get_level());
        log_set_level(level);
        log_write(LOG_INFO, "log level changed", LOG_TEXT("from", before),
                  LOG_TEXT("to", log_level_name(level)));
        json_t *object = json_object();
        json_put_text(object, "level", log_level_name(level));
        answer_json(answer, 200, object);
    }
    json_decref(body);
}
