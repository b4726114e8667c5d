/*
 * debezium_decimal.h - PostgreSQL's decimal texts as the unscaled integers of Kafka Connect.
 *
 * A Connect Decimal is the number times ten to its scale, as big-endian bytes in two's complement,
 * as few as hold it (java.math.BigInteger): 1.10 with scale 2 is 110, so 6e.
 *
 * Threading:  pure functions of their arguments.
 * Limits:     time grows with the square of the digits; PostgreSQL has at most 147,455 of them.
 */
#ifndef ENCODE_DEBEZIUM_DECIMAL_H
#define ENCODE_DEBEZIUM_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* The digits behind the point without the zeros at their end: what the text needs as scale. */
int32_t debezium_decimal_scale(const char *text, size_t size);

/*
 * Replaces the content of `ret_bytes` by the unscaled integer. False: the text is no decimal number,
 * or has digits beyond the scale, or memory is out, which shows in bytes_ok() of the two buffers.
 */
bool debezium_decimal_unscaled(const char *text, size_t size, int32_t scale, struct bytes *scratch,
                               struct bytes *ret_bytes);

#endif
