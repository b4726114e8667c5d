/*
 * fuzz_cloudevents.c - attributes of a label of any bytes: bounded, UTF-8, and free of what a header or
 * an attribute must not hold.
 *
 * The first byte is the operation, the next eight are the commit time; the rest is the label as it is
 * kept (model/batch.h), which may come from a spill or a dead letter.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/utf8.h"
#include "encode/cloudevents.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD_SIZE = 9 };

static void check(const struct cloudevents_attribute *attribute)
{
    const uint8_t *value = (const uint8_t *)attribute->value;
    FAN_ASSERT(attribute->value_size > 0 && value[attribute->value_size] == '\0');
    FAN_ASSERT(strlen(attribute->value) == attribute->value_size);
    FAN_ASSERT(utf8_valid(value, attribute->value_size));
    for (size_t i = 0; i < attribute->value_size; i++) {
        FAN_ASSERT(value[i] >= ' ' && value[i] != 0x7f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct encode_context context = {
        .source = "shop", .system_id = "7312345678901234567", .slot = "pgfan_shop"};
    struct batch_label label;
    if (size < HEAD_SIZE || !batch_label_parse(data + HEAD_SIZE, size - HEAD_SIZE, &label)) {
        return 0;
    }
    struct batch_event event = {.position = {{0x1A2B3C4D}, 3}, .op = data[0]};
    memcpy(&event.commit_time_us, data + 1, sizeof(event.commit_time_us));
    struct cloudevents_attributes attributes;
    cloudevents_attributes(&context, &event, &label, &attributes);
    FAN_ASSERT(attributes.room_used <= CLOUDEVENTS_ROOM_SIZE);
    for (size_t i = 0; i < attributes.count; i++) {
        check(&attributes.items[i]);
    }
    return 0;
}
