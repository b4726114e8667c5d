/*
 * spill_record.h - the bytes of a spill: a segment's header and mark, and one record.
 *
 * All numbers are big-endian. CRCs are CRC32C (base/crc32c.h).
 *
 *     segment        0  magic "pgfanspl"
 *                    8  u32 version, 1
 *                   12  u32 zero
 *                   16  u64 number, as in the file's name
 *                   24  u64 commit_lsn, i64 seq of the last event before this segment
 *                   40  u32 CRC of bytes 0 to 39
 *                  512  mark: u64 durable bytes, u32 CRC of the number and of them
 *                 4096  records, without a gap
 *
 *     record         0  u32 magic "SPR1"
 *                    4  u32 size of the whole record
 *                    8  u32 CRC of everything else in it
 *                   12  u32 events
 *                   16  u8  part (enum txn_part)
 *                   17  u8  flags: 1 the events have labels
 *                   18  u16 zero
 *                   20  u32 size of the labels
 *                   24  u32 size of the payload
 *                   28  an entry of 44 bytes an event
 *                       the labels, the payload: each event's bytes and a '\n', as in a batch
 *
 *     entry          0  u64 commit_lsn, i64 seq
 *                   16  u64 hold_lsn, i64 commit_time_us
 *                   32  u8  op, u8 flags: 1 the transaction's last event; u16 zero
 *                   36  u32 size of the label, u32 size of the payload, each without '\n'
 *
 * The mark says how many bytes of the file a sync has covered, and with them the file's name and
 * every segment before it. It is written in place after the sync, in a sector of its own, and
 * reaches the disk later: a missing or torn mark says nothing.
 *
 * Ownership:  what a decoded record points to is borrowed from its bytes.
 * Threading:  stateless; any thread.
 * Limits:     a record is at most SPILL_RECORD_MAX bytes.
 */
#ifndef BUFFER_SPILL_RECORD_H
#define BUFFER_SPILL_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "model/batch.h"
#include "model/position.h"

enum {
    SPILL_VERSION = 1,
    SPILL_HEADER_SIZE = 44,
    SPILL_MARK_OFFSET = 512,
    SPILL_MARK_SIZE = 12,
    SPILL_RECORDS_START = 4096,
    SPILL_RECORD_HEADER_SIZE = 28,
    SPILL_ENTRY_SIZE = 44,
    SPILL_RECORD_MAX = 1 << 30,
    SPILL_PARTS = 3,
};

struct spill_header {
    uint32_t version;
    uint64_t number;
    struct fan_position before;
};

void spill_header_encode(const struct spill_header *header, uint8_t bytes[SPILL_HEADER_SIZE]);
/* False when these are not the bytes of a header of any version. */
bool spill_header_decode(const uint8_t bytes[SPILL_HEADER_SIZE], struct spill_header *ret_header);

void spill_mark_encode(uint64_t number, uint64_t durable, uint8_t bytes[SPILL_MARK_SIZE]);
/* 0 when there is no mark of this segment. */
uint64_t spill_mark_decode(uint64_t number, const uint8_t bytes[SPILL_MARK_SIZE]);

/* A record as it is written: pieces that follow each other. */
struct spill_parts {
    struct {
        const uint8_t *data;
        size_t size;
    } part[SPILL_PARTS];
    size_t size; /* of all */
    struct fan_position first;
    struct fan_position last;
    size_t events_count;
};

/*
 * Encodes events [first, events_count) of a batch, of which there is at least one. Header and
 * entries go to `head`, which is cleared before; labels and payload stay in the batch. FAN_RETRY:
 * memory is out; FAN_POISON: larger than a record may be. Asserts that positions increase.
 */
enum fan_status spill_record_encode(const struct batch *batch, size_t format, size_t first,
                                    struct bytes *head,
                                    struct spill_parts *ret_parts) FAN_MUST_CHECK;

struct spill_record {
    uint32_t size;
    uint32_t events_count; /* at least one */
    enum txn_part part;
    struct fan_position first;
    struct fan_position last;
    bool labelled;
    const uint8_t *entries;
    const uint8_t *labels;
    const uint8_t *payload;
};

/* The size that a record's first bytes claim. Returns NULL, or why no record can begin with them
 * where `remaining` bytes are left. */
const char *spill_record_claim(const uint8_t bytes[SPILL_RECORD_HEADER_SIZE], uint64_t remaining,
                               uint32_t *ret_size);

/* Checks the sum and every bound of a record of the claimed size, and that its positions increase
 * from `before` on. Returns NULL, or what is wrong with it. */
const char *spill_record_decode(const uint8_t *bytes, uint32_t size, struct fan_position before,
                                struct spill_record *ret_record);

/* Appends the record's events behind `after` to an empty batch. FAN_RETRY: memory is out. */
enum fan_status spill_record_unpack(const struct spill_record *record, struct fan_position after,
                                    size_t format, struct batch *batch) FAN_MUST_CHECK;

#endif
