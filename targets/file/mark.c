#include "targets/file/mark.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void file_mark_format(const struct file_mark *mark, char text[TARGET_DETAIL_MAX])
{
    /* At most 150 characters. */
    (void)snprintf(text, TARGET_DETAIL_MAX,
                   "file=%08" PRIX32 " segment=%" PRIu64 " base=%" PRIu64 " offset=%" PRIu64
                   " events=%" PRIu64 " crc=%08" PRIX32 " first=%" PRIX64 "/%" PRId64,
                   mark->file, mark->segment, mark->base, mark->offset, mark->events, mark->crc,
                   mark->first.commit_lsn.value, mark->first.seq);
}

static int digit_value(char character)
{
    if (character >= '0' && character <= '9') {
        return character - '0';
    }
    return character >= 'A' && character <= 'F' ? character - 'A' + 10 : 16;
}

/* Reads a number of at least one digit and moves behind it. */
static bool number_read(const char **at, unsigned base, uint64_t maximum, uint64_t *ret_value)
{
    uint64_t value = 0;
    const char *start = *at;
    for (; digit_value(**at) < (int)base; (*at)++) {
        uint64_t digit = (uint64_t)digit_value(**at);
        if (value > (maximum - digit) / base) {
            return false;
        }
        value = value * base + digit;
    }
    *ret_value = value;
    return *at != start;
}

static bool field_read(const char **at, const char *name, unsigned base, uint64_t maximum,
                       uint64_t *ret_value)
{
    size_t length = strlen(name);
    if (strncmp(*at, name, length) != 0) {
        return false;
    }
    *at += length;
    return number_read(at, base, maximum, ret_value);
}

bool file_mark_parse(const char *text, struct file_mark *ret_mark)
{
    const char *at = text;
    struct file_mark mark = {0};
    uint64_t file = 0;
    uint64_t crc = 0;
    uint64_t lsn = 0;
    uint64_t seq = 0;
    if (!field_read(&at, "file=", 16, UINT32_MAX, &file) ||
        !field_read(&at, " segment=", 10, INT64_MAX, &mark.segment) ||
        !field_read(&at, " base=", 10, INT64_MAX, &mark.base) ||
        !field_read(&at, " offset=", 10, INT64_MAX, &mark.offset) ||
        !field_read(&at, " events=", 10, INT64_MAX, &mark.events) ||
        !field_read(&at, " crc=", 16, UINT32_MAX, &crc) ||
        !field_read(&at, " first=", 16, UINT64_MAX, &lsn)) {
        return false;
    }
    bool negative = strncmp(at, "/-", 2) == 0;
    if (!field_read(&at, negative ? "/-" : "/", 10, INT64_MAX, &seq) || *at != '\0' ||
        mark.segment == 0 || mark.offset < mark.base) {
        return false;
    }
    mark.file = (uint32_t)file;
    mark.crc = (uint32_t)crc;
    mark.first.commit_lsn.value = lsn;
    mark.first.seq = negative ? -(int64_t)seq : (int64_t)seq;
    mark.position = ret_mark->position;
    *ret_mark = mark;
    return true;
}
