/*
 * crc32c.h - the Castagnoli CRC (RFC 3720, appendix B.4): polynomial 0x1EDC6F41, reflected.
 *
 * Running: crc32c(crc32c(0, a), b) is the CRC of a followed by b. The CRC of "123456789" is
 * 0xE3069283. Uses the processor's instruction where there is one.
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* `before` is the CRC of the bytes before these; 0 for none. */
uint32_t crc32c(uint32_t before, const void *data, size_t size);

/* The same by table, on every processor; for tests. */
uint32_t crc32c_portable(uint32_t before, const void *data, size_t size);

#endif
