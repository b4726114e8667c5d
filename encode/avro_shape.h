/*
 * avro_shape.h - one schema that an encoder writes with: its text, its number, and a value of it.
 *
 *     avro_shape_init(Connect schema) -> avro_shape_write* -> avro_shape_release
 *
 * A message is what Confluent's wire format says:
 *
 *     00  00 00 00 2a   10 61 62 ...
 *     |   |             `- the value in Avro's binary encoding
 *     |   `- the schema's number in the registry, big-endian
 *     `- the format's number
 *
 * Ownership:  avro_shape_release() frees all; accepts a zeroed one.
 * Threading:  as the encoder that has it.
 */
#ifndef ENCODE_AVRO_SHAPE_H
#define ENCODE_AVRO_SHAPE_H

#include <avro.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "encode/avro_settings.h"

enum { AVRO_HEAD_SIZE = 5 };

struct avro_shape {
    bool made;
    struct bytes text; /* the Avro schema as JSON */
    struct bytes subject;
    avro_schema_t schema;
    avro_value_iface_t *iface;
    avro_value_t value; /* filled anew for each message */
    bool large;         /* the last one was, and its memory is given back before the next */
    bool known;         /* `id` is */
    uint32_t id;
};

/*
 * `connect`: the schema as debezium_schema.h makes it. `topic` and `is_key` make the subject.
 *
 * FAN_POISON: it has no form in Avro; FAN_RETRY: memory. The shape is then as before.
 */
enum fan_status avro_shape_init(struct avro_shape *shape, const struct avro_settings *settings,
                                const struct bytes *connect, const char *topic, bool is_key,
                                struct fan_error *reterr) FAN_MUST_CHECK;
void avro_shape_release(struct avro_shape *shape);

/* Has the number asked for; statuses as schema_ids.find() has them. */
enum fan_status avro_shape_find(struct avro_shape *shape, struct schema_ids *ids,
                                struct fan_error *reterr) FAN_MUST_CHECK;

/*
 * Appends the message of a value that is JSON of this schema.
 *
 * FAN_AGAIN, FAN_RETRY as schema_ids.find() has them; FAN_POISON when the value does not fit to the
 * schema or into `out`. `out` is then as it was before.
 */
enum fan_status avro_shape_write(struct avro_shape *shape, struct schema_ids *ids,
                                 const uint8_t *json, size_t json_size, struct bytes *scratch,
                                 struct bytes *out, struct fan_error *reterr) FAN_MUST_CHECK;

#endif
