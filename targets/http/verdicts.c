#include "targets/http/verdicts.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "targets/http/event_ids.h"

static void json_release_p(json_t **json)
{
    json_decref(*json);
}

static enum fan_status refuse(struct fan_error *reterr, const char *why)
{
    (void)fan_fail(reterr, FAN_RETRY, "the receiver's answer cannot be understood: %s", why);
    fan_error_annotate(reterr, "HTTP_ANSWER",
                       "answer {\"failed\":[{\"id\":\"...\",\"retry\":true}]} with ids of this "
                       "request, or anything else to take all of it");
    return FAN_RETRY;
}

static enum fan_status out_of_memory(struct fan_error *reterr)
{
    return fan_fail(reterr, FAN_RETRY, "could not read the receiver's answer: out of memory");
}

static void copy_words(const struct redactor *redactor, const json_t *error,
                       struct verdict *verdict)
{
    struct bytes words;
    bytes_init(&words, sizeof(verdict->text) * 2);
    const char *text = json_string_value(error);
    if (text != NULL) {
        redactor_append(redactor, &words, text, json_string_length(error),
                        sizeof(verdict->text) - 4); /* leaves room for the dots and the NUL */
    }
    size_t size = words.size < sizeof(verdict->text) ? words.size : sizeof(verdict->text) - 1;
    if (size > 0) {
        memcpy(verdict->text, words.data, size);
    }
    verdict->text[size] = '\0';
    bytes_release(&words);
}

/* Reads one item; returns NULL or what is wrong with it. */
static const char *read_item(const struct verdict_scope *scope, const json_t *item,
                             struct verdict *ret_verdict)
{
    const json_t *id = json_object_get(item, "id");
    const json_t *retry = json_object_get(item, "retry");
    const json_t *error = json_object_get(item, "error");
    if (!json_is_object(item) || !json_is_string(id)) {
        return "an item of \"failed\" has no id";
    }
    if ((retry != NULL && !json_is_boolean(retry)) || (error != NULL && !json_is_string(error))) {
        return "\"retry\" must be true or false, and \"error\" a string";
    }
    size_t index = event_ids_find(scope->encode, scope->batch, scope->first, scope->end,
                                  json_string_value(id), json_string_length(id));
    if (index == SIZE_MAX) {
        return "\"failed\" names an id that was not sent";
    }
    ret_verdict->event = (uint32_t)index;
    ret_verdict->poison = json_is_false(retry);
    copy_words(scope->redactor, error, ret_verdict);
    return NULL;
}

static const char *read_items(const struct verdict_scope *scope, const json_t *list, uint8_t *named,
                              struct verdict *failed)
{
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count; i++) {
        const char *fault = read_item(scope, json_array_get(list, i), &failed[i]);
        if (fault != NULL) {
            return fault;
        }
        uint8_t *seen = &named[failed[i].event - scope->first];
        if (*seen != 0) {
            return "\"failed\" names an id twice";
        }
        *seen = 1;
    }
    return NULL;
}

static int compare_events(const void *left, const void *right)
{
    uint32_t first = ((const struct verdict *)left)->event;
    uint32_t second = ((const struct verdict *)right)->event;
    return first < second ? -1 : first > second;
}

static enum fan_status read_list(const struct verdict_scope *scope, const json_t *list,
                                 struct verdict **ret_failed, size_t *ret_count,
                                 struct fan_error *reterr)
{
    if (!json_is_array(list)) {
        return refuse(reterr, "\"failed\" is not a list");
    }
    size_t count = json_array_size(list);
    if (count > scope->end - scope->first) {
        return refuse(reterr, "\"failed\" names more events than were sent");
    }
    if (count == 0) {
        return FAN_OK;
    }
    uint8_t *named = calloc(scope->end - scope->first, 1);
    struct verdict *failed = calloc(count, sizeof(*failed));
    enum fan_status status = FAN_OK;
    const char *fault = NULL;
    if (named == NULL || failed == NULL) {
        status = out_of_memory(reterr);
    } else if ((fault = read_items(scope, list, named, failed)) != NULL) {
        status = refuse(reterr, fault);
    }
    free(named);
    if (failed == NULL || status != FAN_OK) {
        free(failed);
        return status;
    }
    qsort(failed, count, sizeof(*failed), compare_events);
    *ret_failed = failed;
    *ret_count = count;
    return FAN_OK;
}

enum fan_status verdicts_read(const struct verdict_scope *scope, const uint8_t *body, size_t size,
                              struct verdict **ret_failed, size_t *ret_count,
                              struct fan_error *reterr)
{
    json_error_t fault = {0};
    FAN_CLEANUP(json_release_p)
    json_t *json = size == 0 ? NULL
                             : json_loadb((const char *)body, size,
                                          JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &fault);
    *ret_failed = NULL;
    *ret_count = 0;
    if (json != NULL) {
        const json_t *list = json_object_get(json, "failed");
        return list == NULL ? FAN_OK : read_list(scope, list, ret_failed, ret_count, reterr);
    }
    if (size == 0) {
        return FAN_OK;
    }
    enum json_error_code code = json_error_code(&fault);
    if (code == json_error_out_of_memory || code == json_error_unknown) {
        return out_of_memory(reterr);
    }
    size_t start = 0;
    while (start < size && body[start] != '\0' && strchr(" \t\r\n", body[start]) != NULL) {
        start++;
    }
    bool object = start < size && body[start] == '{';
    if (memmem(body, size, "\"failed\"", 8) != NULL) {
        return refuse(reterr, "it holds \"failed\" but is not valid JSON");
    }
    /* Without a length an answer that was cut off looks complete; a cut may go through a letter. */
    if (object && (code == json_error_premature_end_of_input || code == json_error_invalid_utf8)) {
        return refuse(reterr, "it ends in the middle of an object");
    }
    return FAN_OK;
}
