#include "cli/answer.h"

#include <string.h>

const json_t *answer_member(const json_t *object, const char *path)
{
    const char *dot;
    while ((dot = strchr(path, '.')) != NULL) {
        object = json_object_getn(object, path, (size_t)(dot - path));
        path = dot + 1;
    }
    return json_object_get(object, path);
}

const char *answer_text(const json_t *object, const char *path)
{
    const char *text = json_string_value(answer_member(object, path));
    return text == NULL ? "" : text;
}

int64_t answer_number(const json_t *object, const char *path)
{
    const json_t *number = answer_member(object, path);
    return json_is_integer(number) ? json_integer_value(number) : -1;
}

double answer_seconds(const json_t *object, const char *path)
{
    const json_t *number = answer_member(object, path);
    return json_is_number(number) ? json_number_value(number) : -1;
}

bool answer_flag(const json_t *object, const char *path)
{
    return json_is_true(answer_member(object, path));
}
