/*
 * native.h - the envelope `native`, pgfan's own: docs/native-envelope.md.
 */
#ifndef ENCODE_NATIVE_H
#define ENCODE_NATIVE_H

#include "encode/encoder.h"

extern const struct encoder_type native_encoder;

#endif
