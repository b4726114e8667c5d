/*
 * debezium.h - the envelope `debezium`, that of Debezium's PostgreSQL connector as JSON:
 * docs/debezium.md.
 */
#ifndef ENCODE_DEBEZIUM_H
#define ENCODE_DEBEZIUM_H

#include "encode/encoder.h"

extern const struct encoder_type debezium_encoder;

#endif
