/*
 * Property: whatever text a selector gets, it is taken or refused with a code, and nothing is read
 *           behind its end; a time that was taken is the same when it is written out and read again.
 * Oracle:   clock_format_utc(), and the sanitizers.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "deadletter/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_same_time(int64_t us, int64_t now_us)
{
    char text[CLOCK_TEXT_SIZE];
    int64_t again = 0;
    (void)clock_format_utc(us, text);                                /* the length is not needed */
    bool in_range = us >= 0 && us < INT64_C(253402300800) * 1000000; /* four digits of a year */
    if (in_range && (!deadletter_time_parse(text, now_us, &again) || again != us)) {
        abort();
    }
}

/* The first byte picks the selector, the rest is its text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t now_us = INT64_C(1790000000000000);
    if (size == 0 || memchr(data + 1, '\0', size - 1) != NULL) {
        return 0;
    }
    char *text = malloc(size);
    if (text == NULL) {
        return 0;
    }
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    struct deadletter_filter filter = {0};
    struct fan_error error = {0};
    const char *name = deadletter_selectors[data[0] % 8];
    enum fan_status status = deadletter_select(&filter, name, text, now_us, &error);
    if (status != FAN_OK && (status != FAN_POISON || strcmp(error.code, "BAD_SELECTOR") != 0)) {
        abort();
    }
    int64_t us = 0;
    if (deadletter_time_parse(text, now_us, &us)) {
        assert_same_time(us, now_us);
    }
    struct deadletter_label label;
    (void)deadletter_label_parse((const uint8_t *)text, size - 1, &label); /* of any bytes */
    free(text);
    return 0;
}
