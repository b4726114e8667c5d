/*
 * Property: whatever an event's bytes are, reading records stays within them and ends; records that
 *           were read give the same records when they are written again.
 * Oracle:   the bytes: header and parts lie next to each other.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "encode/record.h"

enum { HEAD_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void read_headers(const struct record *record)
{
    size_t at = 0;
    struct record header;
    while (record_next(record->headers, record->headers_size, &at, &header)) {
        require(at <= record->headers_size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t at = 0;
    struct record record;
    struct bytes again;
    bytes_init(&again, 2 * size + HEAD_MAX);
    while (record_next(data, size, &at, &record)) {
        require(at <= size);
        require(record.key == NULL ||
                (record.key >= data && record.key + record.key_size <= data + at));
        require(record.value == NULL ||
                (record.value >= data &&
                 record.value + record.value_size + record.headers_size == data + at));
        require(record.headers == NULL ||
                (record.headers >= data && record.headers + record.headers_size == data + at));
        read_headers(&record);
        bytes_clear(&again);
        record_append(&again, &record);
        require(bytes_ok(&again));
        size_t start = 0;
        struct record copy;
        require(record_next(again.data, again.size, &start, &copy) && start == again.size);
        require(copy.key_size == record.key_size && copy.value_size == record.value_size);
        require((copy.key == NULL) == (record.key == NULL));
        require((copy.value == NULL) == (record.value == NULL));
        require((copy.headers == NULL) == (record.headers == NULL));
        require(copy.headers_size == record.headers_size && copy.mark == record.mark);
    }
    bytes_release(&again);
    return 0;
}
