/*
 * avro_schema.h - the schema of Kafka Connect that debezium_schema.h makes, as an Avro schema.
 *
 * The mapping is that of Confluent's AvroConverter, down to the order of the keys, so that a registry
 * that has the schema of a Debezium connector finds it equal:
 *
 *     struct                  record; the second time by its name
 *     int8, int16             int, with connect.type
 *     optional                a union with null, and null as default
 *     map with other keys     an array of records with key and value
 *     name, version, doc, parameters, default    connect.name, connect.version, ...
 *     Decimal, Date, Time, Timestamp of Connect  a logicalType, too
 *
 * Names are made fit as settings.names says; Avro has letters, digits and _ only.
 *
 * Threading:  stateless.
 */
#ifndef ENCODE_AVRO_SCHEMA_H
#define ENCODE_AVRO_SCHEMA_H

#include <stddef.h>

#include "base/bytes.h"
#include "base/status.h"
#include "encode/avro_settings.h"

/*
 * Appends the Avro schema of `connect`, the JSON text of a Connect schema.
 *
 * FAN_POISON: two columns would have the same name, or the text is no such schema; FAN_RETRY: memory.
 */
enum fan_status avro_schema_make(const char *connect, size_t connect_size, enum avro_names names,
                                 struct bytes *out, struct fan_error *reterr) FAN_MUST_CHECK;

/* Appends a dotted name, made fit. */
void avro_name_append(struct bytes *out, const char *name, enum avro_names names);

/* Appends a name in the characters that a topic of Kafka has; _ for any other, as Debezium does. */
void avro_topic_append(struct bytes *out, const char *name);

#endif
