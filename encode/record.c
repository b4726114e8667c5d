#include "encode/record.h"

#include <string.h>

#include "encode/json.h"

enum { MARK = 't' };

static void append_size(struct bytes *out, const uint8_t *part, size_t size, char behind)
{
    uint8_t number[20];
    if (part == NULL) {
        bytes_append_char(out, '-');
    } else {
        bytes_append(out, number, (size_t)(json_write_u64(number, size) - number));
    }
    bytes_append_char(out, behind);
}

static void append_part(struct bytes *out, const uint8_t *part, size_t size)
{
    if (part != NULL) {
        bytes_append(out, part, size);
    }
}

void record_append(struct bytes *out, const struct record *record)
{
    if (record->mark) {
        bytes_append_char(out, MARK);
    }
    append_size(out, record->key, record->key_size, ' ');
    append_size(out, record->value, record->value_size, record->headers != NULL ? ' ' : '\n');
    if (record->headers != NULL) {
        append_size(out, record->headers, record->headers_size, '\n');
    }
    append_part(out, record->key, record->key_size);
    append_part(out, record->value, record->value_size);
    append_part(out, record->headers, record->headers_size);
}

void record_header_append(struct bytes *headers, const char *name, const uint8_t *value,
                          size_t value_size)
{
    const struct record header = {.key = (const uint8_t *)name,
                                  .key_size = strlen(name),
                                  .value = value,
                                  .value_size = value_size};
    record_append(headers, &header);
}

/* A size as it stands in a frame. */
struct part_size {
    bool none; /* it is a minus */
    size_t size;
    uint8_t behind; /* the byte after it */
};

/* Reads a size, and moves behind what follows it. */
static bool read_size(const uint8_t *bytes, size_t size, size_t *at, struct part_size *ret_part)
{
    size_t place = *at;
    struct part_size part = {.none = place < size && bytes[place] == '-'};
    if (part.none) {
        place++;
    } else {
        size_t first = place;
        while (place < size && bytes[place] >= '0' && bytes[place] <= '9' && part.size <= size) {
            part.size = part.size * 10 + (size_t)(bytes[place++] - '0');
        }
        if (place == first) {
            return false;
        }
    }
    if (place >= size) {
        return false;
    }
    part.behind = bytes[place];
    *at = place + 1;
    *ret_part = part;
    return true;
}

/* Takes a part off the bytes at `*at`; false: there are not as many. */
static bool take_part(const uint8_t *bytes, size_t size, size_t *at, const struct part_size *part,
                      const uint8_t **ret_bytes)
{
    if (part->size > size - *at) {
        return false;
    }
    *ret_bytes = part->none ? NULL : bytes + *at;
    *at += part->size;
    return true;
}

bool record_next(const uint8_t *bytes, size_t size, size_t *at, struct record *ret_record)
{
    size_t place = *at;
    struct part_size key;
    struct part_size value;
    struct part_size headers = {.none = true, .behind = '\n'};
    struct record record = {.mark = place < size && bytes[place] == MARK};
    place += record.mark;
    if (!read_size(bytes, size, &place, &key) || key.behind != ' ' ||
        !read_size(bytes, size, &place, &value)) {
        return false;
    }
    if (value.behind == ' ' && (!read_size(bytes, size, &place, &headers) || headers.none)) {
        return false;
    }
    if ((value.behind != ' ' && value.behind != '\n') || headers.behind != '\n' ||
        !take_part(bytes, size, &place, &key, &record.key) ||
        !take_part(bytes, size, &place, &value, &record.value) ||
        !take_part(bytes, size, &place, &headers, &record.headers)) {
        return false;
    }
    record.key_size = key.size;
    record.value_size = value.size;
    record.headers_size = headers.size;
    *ret_record = record;
    *at = place;
    return true;
}
