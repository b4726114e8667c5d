/*
 * avro_encoder.h - the envelope `avro`: that of Debezium in Avro, with its schemas in a registry:
 * docs/avro.md.
 *
 * What an event says is decided by the envelope `debezium` alone: its JSON is written anew in Avro,
 * along the schema that `schemas: true` would put before it.
 *
 *     change -> debezium.h: JSON -> avro_value.h: a value of avro-c -> avro_shape.h: a message
 *                schema -> avro_schema.h: Avro schema -> schema_ids.h: its number
 *
 * A target that takes any octets gets messages as they are (settings.records, settings.octets); any
 * other gets each as a JSON string of its base64, so that a line stays a line.
 */
#ifndef ENCODE_AVRO_ENCODER_H
#define ENCODE_AVRO_ENCODER_H

#include "encode/encoder.h"

extern const struct encoder_type avro_encoder;

#endif
