#include "api/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json.h"

static const char application_json[] = "application/json";

void answer_release(struct answer *answer)
{
    free(answer->body);
    *answer = (struct answer){0};
}

static void set_body(struct answer *answer, unsigned status, const char *content_type, void *body,
                     size_t size)
{
    const char *allow = answer->allow;
    const char *retry_after = answer->retry_after;
    answer_release(answer);
    *answer = (struct answer){.status = status,
                              .content_type = content_type,
                              .allow = allow,
                              .retry_after = retry_after,
                              .body = body,
                              .body_size = size};
}

static void set_out_of_memory(struct answer *answer)
{
    static char text[] = "{\"code\":\"OUT_OF_MEMORY\",\"message\":\"out of memory\"}\n";
    answer_release(answer);
    *answer = (struct answer){.status = 503,
                              .content_type = application_json,
                              .constant = text,
                              .body_size = sizeof(text) - 1};
}

void answer_json(struct answer *answer, unsigned status, json_t *value)
{
    char *text = value == NULL ? NULL : json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY);
    json_decref(value);
    size_t size = text == NULL ? 0 : strlen(text);
    char *line = text == NULL ? NULL : realloc(text, size + 1);
    if (line == NULL) {
        free(text);
        set_out_of_memory(answer);
        return;
    }
    line[size] = '\n'; /* in the place of the NUL: a body has a size */
    set_body(answer, status, application_json, line, size + 1);
}

void answer_bytes(struct answer *answer, unsigned status, const char *content_type,
                  struct bytes *bytes)
{
    if (!bytes_ok(bytes)) {
        bytes_release(bytes);
        set_out_of_memory(answer);
        return;
    }
    set_body(answer, status, content_type, bytes->data, bytes->size);
    bytes_init(bytes, bytes->size_max); /* its memory belongs to the answer now */
}

void answer_error(struct answer *answer, unsigned status, const struct fan_error *error)
{
    json_t *object = json_object();
    json_put_text(object, "code", error->code[0] == '\0' ? "FAILED" : error->code);
    json_put_text(object, "message", error->text);
    if (error->hint[0] != '\0') {
        json_put_text(object, "hint", error->hint);
    }
    answer_json(answer, status, object);
}

void answer_refusal(struct answer *answer, unsigned status, const char *code, const char *hint,
                    const char *format, ...)
{
    struct fan_error error = {0};
    va_list args;
    va_start(args, format);
    (void)vsnprintf(error.text, sizeof(error.text), format, args); /* cut when it is longer */
    va_end(args);
    fan_error_annotate(&error, code, hint == NULL ? NULL : "%s", hint);
    answer_error(answer, status, &error);
}
