#include "encode/record.h"

#include "encode/json.h"

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

void record_append(struct bytes *out, const struct record *record)
{
    append_size(out, record->key, record->key_size, ' ');
    append_size(out, record->value, record->value_size, '\n');
    if (record->key != NULL) {
        bytes_append(out, record->key, record->key_size);
    }
    if (record->value != NULL) {
        bytes_append(out, record->value, record->value_size);
    }
}

/* Reads a size and what stands behind it. `*ret_none`: it is a minus. */
static bool read_size(const uint8_t *bytes, size_t size, size_t *at, char behind, bool *ret_none,
                      size_t *ret_size)
{
    size_t place = *at;
    size_t value = 0;
    *ret_none = place < size && bytes[place] == '-';
    if (*ret_none) {
        place++;
    } else {
        size_t first = place;
        while (place < size && bytes[place] >= '0' && bytes[place] <= '9' && value <= size) {
            value = value * 10 + (size_t)(bytes[place++] - '0');
        }
        if (place == first) {
            return false;
        }
    }
    if (place >= size || bytes[place] != (uint8_t)behind) {
        return false;
    }
    *at = place + 1;
    *ret_size = value;
    return true;
}

bool record_next(const uint8_t *bytes, size_t size, size_t *at, struct record *ret_record)
{
    size_t place = *at;
    bool no_key;
    bool no_value;
    size_t key_size;
    size_t value_size;
    if (place >= size || !read_size(bytes, size, &place, ' ', &no_key, &key_size) ||
        !read_size(bytes, size, &place, '\n', &no_value, &value_size) || key_size > size - place ||
        value_size > size - place - key_size) {
        return false;
    }
    *ret_record = (struct record){.key = no_key ? NULL : bytes + place,
                                  .key_size = key_size,
                                  .value = no_value ? NULL : bytes + place + key_size,
                                  .value_size = value_size};
    *at = place + key_size + value_size;
    return true;
}
