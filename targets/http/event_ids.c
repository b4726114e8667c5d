#include "targets/http/event_ids.h"

#include <string.h>

#include "model/change.h"

size_t event_ids_write(const struct encode_context *context, const struct batch *batch,
                       size_t index, char text[EVENT_ID_MAX])
{
    const struct batch_event *event = &batch->events[index];
    return event_id_write(context, event->position, event->op == CHANGE_GAP, text);
}

/* Reads hexadecimal digits up to `size` or to another character; returns how many. */
static size_t read_hex(const char *text, size_t size, uint64_t *ret_value)
{
    uint64_t value = 0;
    size_t count = 0;
    for (; count < size && count < 16; count++) {
        char digit = text[count];
        if (digit >= '0' && digit <= '9') {
            value = value << 4 | (uint64_t)(digit - '0');
        } else if (digit >= 'a' && digit <= 'f') {
            value = value << 4 | (uint64_t)(digit - 'a' + 10);
        } else {
            break;
        }
    }
    *ret_value = value;
    return count;
}

/* Reads the position that stands behind "<sysid>-<slot>-". What it takes for one is only where to
 * look: the whole id is compared afterwards. */
static bool read_position(const struct encode_context *context, const char *id, size_t size,
                          struct fan_position *ret_position)
{
    size_t system = strlen(context->system_id);
    size_t slot = strlen(context->slot);
    if (size < system + slot + 20) {
        return false;
    }
    const char *at = id + system + slot + 2;
    uint64_t seq = 0;
    struct fan_position position = {.seq = SEQ_MESSAGE};
    if (read_hex(at, 16, &position.commit_lsn.value) != 16) {
        return false;
    }
    if (at[17] != 'm') {
        (void)read_hex(at + 17, size - (size_t)(at + 17 - id), &seq); /* compared whole later */
        position.seq = (int64_t)seq;
    }
    *ret_position = position;
    return true;
}

size_t event_ids_find(const struct encode_context *context, const struct batch *batch, size_t first,
                      size_t end, const char *id, size_t id_size)
{
    struct fan_position position;
    if (id_size >= EVENT_ID_MAX || !read_position(context, id, id_size, &position)) {
        return SIZE_MAX;
    }
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        int order = position_compare(batch->events[middle].position, position);
        if (order == 0) {
            char text[EVENT_ID_MAX];
            size_t size = event_ids_write(context, batch, middle, text);
            return size == id_size && memcmp(text, id, size) == 0 ? middle : SIZE_MAX;
        }
        if (order < 0) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    return SIZE_MAX;
}
