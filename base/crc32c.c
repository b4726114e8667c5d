#include "base/crc32c.h"

#include <pthread.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

enum { SLICES = 8 };
#define POLYNOMIAL_REFLECTED 0x82F63B78U

/* table[k][b] is the CRC of byte b followed by k zero bytes: eight bytes a step. */
static uint32_t table[SLICES][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void table_fill(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? POLYNOMIAL_REFLECTED : 0);
        }
        table[0][byte] = crc;
    }
    for (uint32_t byte = 0; byte < 256; byte++) {
        for (int slice = 1; slice < SLICES; slice++) {
            uint32_t before = table[slice - 1][byte];
            table[slice][byte] = table[0][before & 0xff] ^ (before >> 8);
        }
    }
}

uint32_t crc32c_portable(uint32_t before, const void *data, size_t size)
{
    (void)pthread_once(&table_once, table_fill); /* fails only for a bad argument */
    const uint8_t *at = data;
    uint32_t crc = ~before;
    for (; size >= SLICES; size -= SLICES, at += SLICES) {
        crc ^=
            (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        crc = table[7][crc & 0xff] ^ table[6][crc >> 8 & 0xff] ^ table[5][crc >> 16 & 0xff] ^
              table[4][crc >> 24] ^ table[3][at[4]] ^ table[2][at[5]] ^ table[1][at[6]] ^
              table[0][at[7]];
    }
    for (; size > 0; size--, at++) {
        crc = table[0][(crc ^ *at) & 0xff] ^ (crc >> 8);
    }
    return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t before, const void *data,
                                                               size_t size)
{
    const uint8_t *at = data;
    uint64_t crc = ~before;
    for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t), at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        crc = _mm_crc32_u64(crc, word);
    }
    for (; size > 0; size--, at++) {
        crc = _mm_crc32_u8((uint32_t)crc, *at);
    }
    return ~(uint32_t)crc;
}

uint32_t crc32c(uint32_t before, const void *data, size_t size)
{
    return __builtin_cpu_supports("sse4.2") ? crc32c_sse42(before, data, size)
                                            : crc32c_portable(before, data, size);
}

#else

uint32_t crc32c(uint32_t before, const void *data, size_t size)
{
    return crc32c_portable(before, data, size);
}

#endif
