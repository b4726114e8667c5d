/*
 * avro_value.h - fills a value of avro-c from the JSON that the envelope `debezium` has written.
 *
 * The JSON is read along the schema: the fields of a record stand in its order, so their names are
 * passed over; null decides a union; octets are base64; NaN and infinities of floats are strings.
 *
 * Threading:  stateless, but for `scratch`.
 * Errors:     FAN_RETRY when memory is out; FAN_POISON for a text that is not what the schema says.
 * Limits:     as deep as the schema.
 */
#ifndef ENCODE_AVRO_VALUE_H
#define ENCODE_AVRO_VALUE_H

#include <avro.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

/* `value` is fresh or reset. `scratch` holds one string at a time, and keeps its memory. */
enum fan_status avro_value_fill(avro_value_t *value, const uint8_t *json, size_t json_size,
                                struct bytes *scratch) FAN_MUST_CHECK;

#endif
