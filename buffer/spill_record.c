#include "buffer/spill_record.h"

#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/wire.h"

enum { MAGIC_SIZE = 8, RECORD_MAGIC = 0x53505231, RECORD_CRC_OFFSET = 8 };
enum { RECORD_LABELLED = 1, ENTRY_TXN_END = 1 };

static const uint8_t segment_magic[MAGIC_SIZE] = {'p', 'g', 'f', 'a', 'n', 's', 'p', 'l'};

static uint8_t *put_u32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
    return at + 4;
}

static uint8_t *put_u64(uint8_t *at, uint64_t value)
{
    return put_u32(put_u32(at, (uint32_t)(value >> 32)), (uint32_t)value);
}

static struct fan_position wire_position(struct wire *wire)
{
    struct fan_lsn commit_lsn = {wire_u64(wire)};
    return (struct fan_position){commit_lsn, (int64_t)wire_u64(wire)};
}

void spill_header_encode(const struct spill_header *header, uint8_t bytes[SPILL_HEADER_SIZE])
{
    memcpy(bytes, segment_magic, MAGIC_SIZE);
    uint8_t *at = put_u32(bytes + MAGIC_SIZE, header->version);
    at = put_u32(at, 0);
    at = put_u64(at, header->number);
    at = put_u64(at, header->before.commit_lsn.value);
    at = put_u64(at, (uint64_t)header->before.seq);
    (void)put_u32(at, crc32c(0, bytes, SPILL_HEADER_SIZE - 4)); /* it is the last field */
}

bool spill_header_decode(const uint8_t bytes[SPILL_HEADER_SIZE], struct spill_header *ret_header)
{
    struct wire wire;
    wire_init(&wire, bytes, SPILL_HEADER_SIZE);
    if (memcmp(wire_bytes(&wire, MAGIC_SIZE), segment_magic, MAGIC_SIZE) != 0) {
        return false;
    }
    struct spill_header header = {.version = wire_u32(&wire)};
    (void)wire_u32(&wire); /* zero in this version; the sum covers it */
    header.number = wire_u64(&wire);
    header.before = wire_position(&wire);
    if (wire_u32(&wire) != crc32c(0, bytes, SPILL_HEADER_SIZE - 4)) {
        return false;
    }
    *ret_header = header;
    return true;
}

static uint32_t mark_crc(uint64_t number, uint64_t durable)
{
    uint8_t bytes[16];
    (void)put_u64(put_u64(bytes, number), durable); /* fills them */
    return crc32c(0, bytes, sizeof(bytes));
}

void spill_mark_encode(uint64_t number, uint64_t durable, uint8_t bytes[SPILL_MARK_SIZE])
{
    (void)put_u32(put_u64(bytes, durable), mark_crc(number, durable)); /* fills them */
}

uint64_t spill_mark_decode(uint64_t number, const uint8_t bytes[SPILL_MARK_SIZE])
{
    struct wire wire;
    wire_init(&wire, bytes, SPILL_MARK_SIZE);
    uint64_t durable = wire_u64(&wire);
    return wire_u32(&wire) == mark_crc(number, durable) && durable >= SPILL_RECORDS_START ? durable
                                                                                          : 0;
}

static size_t event_size(const struct encoded *encoded, size_t index)
{
    return encoded->ends[index] - (index == 0 ? 0 : (size_t)encoded->ends[index - 1] + 1);
}

static void entries_encode(const struct batch *batch, size_t format, size_t first, uint8_t *at)
{
    const struct encoded *payload = &batch->encoded[format];
    const struct encoded *labels =
        batch->labelled ? &batch->encoded[batch->formats_count - 1] : NULL;
    for (size_t i = first; i < batch->events_count; i++) {
        const struct batch_event *event = &batch->events[i];
        FAN_ASSERT(i == first || position_compare(event[-1].position, event->position) < 0);
        at = put_u64(at, event->position.commit_lsn.value);
        at = put_u64(at, (uint64_t)event->position.seq);
        at = put_u64(at, event->hold_lsn.value);
        at = put_u64(at, (uint64_t)event->commit_time_us);
        uint32_t flags = event->txn_end ? ENTRY_TXN_END : 0;
        at = put_u32(at, (uint32_t)event->op << 24 | flags << 16);
        at = put_u32(at, labels == NULL ? 0 : (uint32_t)event_size(labels, i));
        at = put_u32(at, (uint32_t)event_size(payload, i));
    }
}

static uint32_t record_crc(const uint8_t *head, size_t head_size, const struct spill_parts *parts)
{
    uint32_t crc = crc32c(0, head, RECORD_CRC_OFFSET);
    crc = crc32c(crc, head + RECORD_CRC_OFFSET + 4, head_size - RECORD_CRC_OFFSET - 4);
    for (size_t i = 1; i < SPILL_PARTS; i++) {
        crc = crc32c(crc, parts->part[i].data, parts->part[i].size);
    }
    return crc;
}

enum fan_status spill_record_encode(const struct batch *batch, size_t format, size_t first,
                                    struct bytes *head, struct spill_parts *ret_parts)
{
    FAN_ASSERT(first < batch->events_count);
    FAN_ASSERT(format < batch->formats_count - batch->labelled);
    struct spill_parts parts = {.events_count = batch->events_count - first,
                                .first = batch->events[first].position,
                                .last = batch->events[batch->events_count - 1].position};
    size_t labels_size = 0;
    size_t payload_size;
    const uint8_t *labels = NULL;
    const uint8_t *payload = batch_bytes(batch, format, first, &payload_size);
    if (batch->labelled) {
        labels = batch_bytes(batch, batch->formats_count - 1, first, &labels_size);
    }
    /* Each term fits 40 bits: events and bytes of a batch fit 32. */
    uint64_t head_size = SPILL_RECORD_HEADER_SIZE + (uint64_t)SPILL_ENTRY_SIZE * parts.events_count;
    parts.size = head_size + labels_size + payload_size;
    if (parts.size > SPILL_RECORD_MAX) {
        return FAN_POISON;
    }
    bytes_clear(head);
    if (!bytes_reserve(head, head_size)) {
        bytes_clear(head);
        return FAN_RETRY;
    }
    uint8_t *at = put_u32(head->data, RECORD_MAGIC);
    at = put_u32(at, (uint32_t)parts.size);
    uint8_t *crc_at = at;
    at = put_u32(at + 4, (uint32_t)parts.events_count);
    uint32_t flags = batch->labelled ? RECORD_LABELLED : 0;
    at = put_u32(at, (uint32_t)batch->part << 24 | flags << 16);
    at = put_u32(at, (uint32_t)labels_size);
    at = put_u32(at, (uint32_t)payload_size);
    entries_encode(batch, format, first, at);
    head->size = head_size;
    parts.part[0].data = head->data;
    parts.part[0].size = head_size;
    parts.part[1].data = labels;
    parts.part[1].size = labels_size;
    parts.part[2].data = payload;
    parts.part[2].size = payload_size;
    (void)put_u32(crc_at, record_crc(head->data, head_size, &parts)); /* in place */
    *ret_parts = parts;
    return FAN_OK;
}

const char *spill_record_claim(const uint8_t bytes[SPILL_RECORD_HEADER_SIZE], uint64_t remaining,
                               uint32_t *ret_size)
{
    struct wire wire;
    wire_init(&wire, bytes, SPILL_RECORD_HEADER_SIZE);
    if (wire_u32(&wire) != RECORD_MAGIC) {
        return "no record begins there";
    }
    uint32_t size = wire_u32(&wire);
    if (size < SPILL_RECORD_HEADER_SIZE + SPILL_ENTRY_SIZE || size > SPILL_RECORD_MAX) {
        return "the record's size is impossible";
    }
    if (size > remaining) {
        return "the record goes on beyond the end of the file";
    }
    *ret_size = size;
    return NULL;
}

/* Reads one entry; false when a field has a value that is never written. */
static bool entry_decode(struct wire *wire, struct batch_event *ret_event, uint32_t *ret_label_size,
                         uint32_t *ret_payload_size)
{
    *ret_event = (struct batch_event){.position = wire_position(wire)};
    ret_event->hold_lsn = (struct fan_lsn){wire_u64(wire)};
    ret_event->commit_time_us = (int64_t)wire_u64(wire);
    ret_event->op = wire_u8(wire);
    uint8_t flags = wire_u8(wire);
    uint16_t zero = wire_u16(wire);
    ret_event->txn_end = flags == ENTRY_TXN_END;
    *ret_label_size = wire_u32(wire);
    *ret_payload_size = wire_u32(wire);
    return wire_ok(wire) && flags <= ENTRY_TXN_END && zero == 0 &&
           ret_event->position.seq >= SEQ_MESSAGE;
}

/* Checks the entries against each other and against the sizes of what follows them. */
static const char *entries_check(struct spill_record *record, struct fan_position before,
                                 uint64_t labels_size, uint64_t payload_size)
{
    struct wire wire;
    wire_init(&wire, record->entries, (size_t)record->events_count * SPILL_ENTRY_SIZE);
    uint64_t labels_used = 0;
    uint64_t payload_used = 0;
    record->last = before;
    for (uint32_t i = 0; i < record->events_count; i++) {
        struct batch_event event;
        uint32_t label_size;
        uint32_t size;
        if (!entry_decode(&wire, &event, &label_size, &size)) {
            return "an event's fields are impossible";
        }
        if (position_compare(record->last, event.position) >= 0) {
            return "positions do not increase";
        }
        if (i == 0) {
            record->first = event.position;
        }
        record->last = event.position;
        labels_used += record->labelled ? (uint64_t)label_size + 1 : label_size;
        payload_used += (uint64_t)size + 1;
    }
    return labels_used == labels_size && payload_used == payload_size ? NULL
                                                                      : "sizes do not add up";
}

const char *spill_record_decode(const uint8_t *bytes, uint32_t size, struct fan_position before,
                                struct spill_record *ret_record)
{
    struct wire wire;
    wire_init(&wire, bytes, size);
    (void)wire_bytes(&wire, RECORD_CRC_OFFSET); /* magic and size were read as the claim */
    uint32_t crc = wire_u32(&wire);
    uint32_t actual = crc32c(0, bytes, RECORD_CRC_OFFSET);
    actual = crc32c(actual, bytes + RECORD_CRC_OFFSET + 4, size - RECORD_CRC_OFFSET - 4);
    if (crc != actual) {
        return "the checksum differs";
    }
    struct spill_record record = {.size = size, .events_count = wire_u32(&wire)};
    uint8_t part = wire_u8(&wire);
    uint8_t flags = wire_u8(&wire);
    uint16_t zero = wire_u16(&wire);
    uint32_t labels_size = wire_u32(&wire);
    uint32_t payload_size = wire_u32(&wire);
    uint64_t entries_size = (uint64_t)record.events_count * SPILL_ENTRY_SIZE;
    if (!wire_ok(&wire) || part > TXN_LAST || flags > RECORD_LABELLED || zero != 0 ||
        record.events_count == 0 ||
        SPILL_RECORD_HEADER_SIZE + entries_size + labels_size + payload_size != size) {
        return "the record's fields are impossible";
    }
    record.part = (enum txn_part)part;
    record.labelled = flags == RECORD_LABELLED;
    record.entries = wire_bytes(&wire, entries_size);
    record.labels = wire_bytes(&wire, labels_size);
    record.payload = wire_bytes(&wire, payload_size);
    const char *fault = entries_check(&record, before, labels_size, payload_size);
    if (fault == NULL) {
        *ret_record = record;
    }
    return fault;
}

enum fan_status spill_record_unpack(const struct spill_record *record, struct fan_position after,
                                    size_t format, struct batch *batch)
{
    struct wire wire;
    wire_init(&wire, record->entries, (size_t)record->events_count * SPILL_ENTRY_SIZE);
    const uint8_t *label = record->labels;
    const uint8_t *payload = record->payload;
    for (uint32_t i = 0; i < record->events_count; i++) {
        struct batch_event event;
        uint32_t label_size;
        uint32_t size;
        bool sound = entry_decode(&wire, &event, &label_size, &size);
        FAN_ASSERT(sound); /* the record was decoded, which checks it */
        if (position_compare(event.position, after) > 0 &&
            batch_append(batch, &event, format, payload, size, label, label_size) != FAN_OK) {
            return FAN_RETRY;
        }
        label += label_size + record->labelled;
        payload += (size_t)size + 1;
    }
    batch->part = record->part;
    return FAN_OK;
}
