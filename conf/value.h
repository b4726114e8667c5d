/*
 * value.h - sizes, durations and numbers as they are written in the conf, both ways.
 *
 *     sizes      1000, 512B, 16kB, 10MB, 1GB, 1TB (powers of 1000), 16KiB, 64MiB, 1GiB, 1TiB
 *     durations  0, 10us, 50ms, 1s, 2m, 1h, 7d: a whole number and one unit
 *
 * Threading:  stateless.
 */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

bool value_parse_integer(const char *text, int64_t *ret_value);
bool value_parse_size(const char *text, uint64_t *ret_bytes);

/* `milliseconds`: a number without a unit is milliseconds; otherwise only 0 goes without. */
bool value_parse_duration(const char *text, bool milliseconds, int64_t *ret_us);

/* The shortest form that reads back as the same value. */
void value_append_size(struct bytes *bytes, uint64_t size_bytes);
void value_append_duration(struct bytes *bytes, int64_t duration_us);

/* Whether a key names its unit, as `max_ms` does. */
bool value_key_is_milliseconds(const char *key);

#endif
