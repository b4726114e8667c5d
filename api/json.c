#include "api/json.h"

#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/utf8.h"

enum { JSON_TEXT_MAX = 1 << 20 };

json_t *json_text(const char *text)
{
    static const char replacement[] = "\xef\xbf\xbd";
    size_t size = text == NULL ? 0 : strlen(text);
    if (text == NULL) {
        return json_null();
    }
    if (utf8_valid((const uint8_t *)text, size)) {
        return json_stringn_nocheck(text, size);
    }
    struct bytes clean;
    bytes_init(&clean, JSON_TEXT_MAX);
    for (size_t at = 0; at < size;) {
        size_t sequence = utf8_sequence((const uint8_t *)text + at, size - at);
        if (sequence == 0) {
            bytes_append(&clean, replacement, sizeof(replacement) - 1);
            at++;
        } else {
            bytes_append(&clean, text + at, sequence);
            at += sequence;
        }
    }
    json_t *string =
        bytes_ok(&clean) ? json_stringn_nocheck((const char *)clean.data, clean.size) : NULL;
    bytes_release(&clean);
    return string;
}

void json_put(json_t *object, const char *key, json_t *value)
{
    (void)json_object_set_new(object, key, value); /* a failure leaves the member out */
}

void json_push(json_t *array, json_t *value)
{
    (void)json_array_append_new(array, value); /* a failure leaves the element out */
}

void json_put_text(json_t *object, const char *key, const char *text)
{
    json_put(object, key, json_text(text));
}

void json_put_bool(json_t *object, const char *key, bool value)
{
    json_put(object, key, json_boolean(value));
}

void json_put_count(json_t *object, const char *key, uint64_t count)
{
    json_put(object, key, json_integer(count > INT64_MAX ? INT64_MAX : (json_int_t)count));
}

void json_put_known(json_t *object, const char *key, int64_t number)
{
    json_put(object, key, number < 0 ? json_null() : json_integer(number));
}

void json_put_seconds(json_t *object, const char *key, int64_t us)
{
    json_put(object, key, us < 0 ? json_null() : json_real((double)us / 1e6));
}

void json_put_lsn(json_t *object, const char *key, struct fan_lsn lsn)
{
    char text[LSN_TEXT_SIZE];
    (void)lsn_format(lsn, text); /* the length is not needed */
    json_put_text(object, key, lsn.value == 0 ? NULL : text);
}

void json_put_time(json_t *object, const char *key, int64_t wall_us)
{
    char text[CLOCK_TEXT_SIZE];
    (void)clock_format_utc(wall_us, text); /* the length is not needed */
    json_put_text(object, key, wall_us == 0 ? NULL : text);
}
