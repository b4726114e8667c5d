#include "schemas/reply.h"

#include <jansson.h>

#include "base/bytes.h"

enum { WORDS_MAX = 300 };

enum {
    HTTP_UNAUTHORIZED = 401,
    HTTP_FORBIDDEN = 403,
    HTTP_NOT_FOUND = 404,
    HTTP_CONFLICT = 409,
    HTTP_UNPROCESSABLE = 422,
};

/* What the registry says, or nothing, with a colon before it. */
static void append_words(struct bytes *out, const json_t *json, const struct redactor *redactor)
{
    const char *words = json_string_value(json_object_get(json, "message"));
    if (words != NULL && words[0] != '\0') {
        BYTES_APPEND_LITERAL(out, ": ");
        redactor_append(redactor, out, words, strlen(words), WORDS_MAX);
    }
}

static const char *hint_of(long http_status, bool registering)
{
    switch (http_status) {
    case HTTP_CONFLICT:
        return "change the subject's compatibility level, or delete the subject: it is asked again "
               "by itself";
    case HTTP_NOT_FOUND:
        return registering ? "check `registry`: is its path that of the interface?"
                           : "register the schema, or set `register: true`";
    case HTTP_UNAUTHORIZED:
    case HTTP_FORBIDDEN:
        return "check the user, the token and what it may do in the registry";
    default:
        return NULL;
    }
}

static enum fan_status refused(long http_status, const json_t *json, bool registering,
                               const char *subject, const struct redactor *redactor,
                               struct fan_error *reterr)
{
    bool poison = http_status == HTTP_CONFLICT || http_status == HTTP_UNPROCESSABLE ||
                  (http_status == HTTP_NOT_FOUND && !registering &&
                   json_object_get(json, "error_code") != NULL);
    struct bytes words;
    bytes_init(&words, 2048);
    append_words(&words, json, redactor);
    enum fan_status status =
        fan_fail(reterr, poison ? FAN_POISON : FAN_RETRY,
                 "%s schema registry answered %ld for subject \"%.200s\"%s",
                 poison ? "cannot use a schema: the" : "could not get a schema's number: the",
                 http_status, subject, bytes_text(&words));
    bytes_release(&words);
    const char *hint = hint_of(http_status, registering);
    if (hint != NULL) {
        fan_error_annotate(reterr, poison ? "SCHEMA_REFUSED" : "REGISTRY_ANSWER", "%s", hint);
    } else {
        fan_error_annotate(reterr, poison ? "SCHEMA_REFUSED" : "REGISTRY_ANSWER", NULL);
    }
    return status;
}

enum fan_status registry_reply_read(long http_status, const char *body, size_t body_size,
                                    bool registering, const char *subject,
                                    const struct redactor *redactor, uint32_t *ret_id,
                                    struct fan_error *reterr)
{
    json_t *json = json_loadb(body, body_size, 0, NULL); /* NULL: it is no JSON */
    const json_t *number = json_object_get(json, "id");
    json_int_t id = json_integer_value(number);
    enum fan_status status = FAN_OK;
    if (http_status != 200) {
        status = refused(http_status, json, registering, subject, redactor, reterr);
    } else if (!json_is_integer(number) || id < 0 || id > UINT32_MAX) {
        status = fan_fail(reterr, FAN_RETRY,
                          "could not get a schema's number: the answer of the schema registry for "
                          "subject \"%.200s\" has none",
                          subject);
        fan_error_annotate(reterr, "REGISTRY_ANSWER",
                           "check `registry`: is it a schema registry's address?");
    } else {
        *ret_id = (uint32_t)id;
    }
    json_decref(json);
    return status;
}
