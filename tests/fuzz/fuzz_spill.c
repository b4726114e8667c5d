/*
 * Property: whatever a segment file holds, a scan ends at a place up to which every record can be
 *           read, positions strictly increase, and cutting the file there changes nothing.
 * Oracle:   the records read one by one, and a second scan of the cut file.
 *
 * Input: a byte of flags, header and mark (56 bytes), the records; the padding between them is made
 * here. With flag 1 all sums are made right, so that what they protect is reached.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "buffer/spill_record.h"
#include "buffer/spill_segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD_SIZE = SPILL_HEADER_SIZE + SPILL_MARK_SIZE, INPUT_MAX = 1 << 16 };

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

static void make_sums_right(uint8_t *file, size_t size)
{
    uint64_t durable = 0;
    put_u32(file + SPILL_HEADER_SIZE - 4, crc32c(0, file, SPILL_HEADER_SIZE - 4));
    for (int i = 0; i < 8; i++) {
        durable = durable << 8 | file[SPILL_MARK_OFFSET + i];
    }
    spill_mark_encode(1, durable, file + SPILL_MARK_OFFSET);
    uint8_t *at = file + SPILL_RECORDS_START;
    uint8_t *end = file + size;
    uint32_t record;
    while (end - at >= SPILL_RECORD_HEADER_SIZE &&
           spill_record_claim(at, (uint64_t)(end - at), &record) == NULL) {
        put_u32(at + 8, crc32c(crc32c(0, at, 8), at + 12, record - 12));
        at += record;
    }
}

/* Reads the records up to `scan->intact` into batches. */
static void read_records(int descriptor, const struct spill_scan *scan, struct batch_pool *pool)
{
    struct spill_window window;
    uint64_t offset = SPILL_RECORDS_START;
    uint64_t events = 0;
    struct fan_position last = scan->header.before;
    spill_window_init(&window);
    while (offset < scan->intact) {
        struct spill_record record;
        const char *fault;
        require(spill_window_record(&window, descriptor, offset, scan->intact, last, &record,
                                    &fault) == FAN_OK);
        struct batch *batch = batch_pool_take(pool);
        require(batch != NULL && spill_record_unpack(&record, last, 1, batch) == FAN_OK);
        require(batch->events_count == record.events_count);
        for (size_t i = 0; i < batch->events_count; i++) {
            struct batch_label label = batch_label(batch, i);
            require(label.schema != NULL);
            require(position_compare(last, batch->events[i].position) < 0);
            last = batch->events[i].position;
        }
        events += batch->events_count;
        batch_unref(batch);
        offset += record.size;
    }
    require(events == scan->events && position_compare(last, scan->last) == 0);
    spill_window_clear(&window, true);
}

static void check_file(int descriptor, struct batch_pool *pool)
{
    const struct spill_place place = {-1, "fuzz"};
    struct spill_window window;
    struct spill_scan scan;
    struct spill_scan again;
    struct fan_error error;
    spill_window_init(&window);
    enum fan_status status = spill_segment_scan(&place, 1, descriptor, &window, &scan, &error);
    require(status == FAN_OK || (status == FAN_FATAL && strcmp(error.code, "SPILL_VERSION") == 0));
    if (status == FAN_OK && scan.intact > 0) {
        require(scan.intact >= SPILL_RECORDS_START && scan.intact <= scan.size);
        require(scan.fault != NULL || scan.intact == scan.size);
        read_records(descriptor, &scan, pool);
        require(ftruncate(descriptor, (off_t)scan.intact) == 0);
        require(spill_segment_scan(&place, 1, descriptor, &window, &again, &error) == FAN_OK);
        require(again.intact == scan.intact && again.events == scan.events);
        require((again.fault == NULL) == (scan.marked <= scan.intact));
    }
    spill_window_clear(&window, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct batch_pool *pool;
    static uint8_t file[SPILL_RECORDS_START + INPUT_MAX];
    if (pool == NULL) {
        pool = batch_pool_create(2, true, 2, INPUT_MAX);
    }
    if (size < 1 + HEAD_SIZE || size - 1 - HEAD_SIZE > INPUT_MAX) {
        return 0;
    }
    const uint8_t *head = data + 1;
    size_t records_size = size - 1 - HEAD_SIZE;
    memset(file, 0, SPILL_RECORDS_START);
    memcpy(file, head, SPILL_HEADER_SIZE);
    memcpy(file + SPILL_MARK_OFFSET, head + SPILL_HEADER_SIZE, SPILL_MARK_SIZE);
    memcpy(file + SPILL_RECORDS_START, head + HEAD_SIZE, records_size);
    if ((data[0] & 1) != 0) {
        make_sums_right(file, SPILL_RECORDS_START + records_size);
    }
    int descriptor = memfd_create("spill", MFD_CLOEXEC);
    require(descriptor >= 0);
    require(write(descriptor, file, SPILL_RECORDS_START + records_size) ==
            (ssize_t)(SPILL_RECORDS_START + records_size));
    check_file(descriptor, pool);
    (void)close(descriptor);
    return 0;
}
