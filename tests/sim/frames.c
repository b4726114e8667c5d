#include "tests/sim/frames.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "model/change.h"

enum { KEYS = 5, KEY_BITS = 8 }; /* keys of a table, and the bits that each has room for */

enum { OID_INT8 = 20, OID_INT4 = 23, OID_TEXT = 25, OID_MOOD = 16999, FULL_TABLE = 2 };

static const char *const table_names[WAL_SUBJECTS] = {"t0", "t1", "t2", "t3", "sim"};

const char *frame_table(unsigned table)
{
    return table_names[table];
}

static void put_u16(struct bytes *bytes, uint16_t value)
{
    uint16_t wire = __builtin_bswap16(value);
    bytes_append(bytes, &wire, sizeof(wire));
}

static void put_u32(struct bytes *bytes, uint32_t value)
{
    uint32_t wire = __builtin_bswap32(value);
    bytes_append(bytes, &wire, sizeof(wire));
}

static void put_u64(struct bytes *bytes, uint64_t value)
{
    uint64_t wire = __builtin_bswap64(value);
    bytes_append(bytes, &wire, sizeof(wire));
}

static void put_text(struct bytes *bytes, const char *text)
{
    bytes_append(bytes, text, strlen(text) + 1);
}

/* A 'w' message up to its payload. */
static struct bytes open_data(struct fan_lsn lsn)
{
    struct bytes bytes;
    bytes_init(&bytes, 1 << 20);
    (void)bytes_reserve(&bytes, 160); /* one allocation for most; bytes_ok() is asked at the end */
    bytes_append_char(&bytes, 'w');
    put_u64(&bytes, lsn.value);
    put_u64(&bytes, lsn.value);
    put_u64(&bytes, 0);
    return bytes;
}

static struct frame closed(struct bytes *bytes)
{
    FAN_ASSERT(bytes_ok(bytes));
    return (struct frame){.data = bytes->data, .size = bytes->size};
}

struct frame frame_begin(const struct wal_item *item)
{
    struct bytes bytes = open_data(item->start);
    bytes_append_char(&bytes, 'B');
    put_u64(&bytes, item->start.value);
    put_u64(&bytes, (uint64_t)item->commit_us);
    put_u32(&bytes, item->xid);
    return closed(&bytes);
}

struct frame frame_commit(const struct wal_item *item)
{
    struct bytes bytes = open_data(item->end);
    bytes_append_char(&bytes, 'C');
    bytes_append_char(&bytes, 0);
    put_u64(&bytes, item->start.value);
    put_u64(&bytes, item->end.value);
    put_u64(&bytes, (uint64_t)item->commit_us);
    struct frame frame = closed(&bytes);
    frame.boundary = item->end;
    return frame;
}

struct frame frame_keepalive(struct fan_lsn wal_end, int64_t now_us, bool reply)
{
    struct bytes bytes;
    bytes_init(&bytes, 64);
    bytes_append_char(&bytes, 'k');
    put_u64(&bytes, wal_end.value);
    put_u64(&bytes, (uint64_t)now_us);
    bytes_append_char(&bytes, reply ? 1 : 0);
    return closed(&bytes);
}

struct frame frame_type(void)
{
    struct bytes bytes = open_data(LSN_NONE);
    bytes_append_char(&bytes, 'Y');
    put_u32(&bytes, OID_MOOD);
    put_text(&bytes, "public");
    put_text(&bytes, "mood");
    return closed(&bytes);
}

static const struct {
    const char *name;
    uint32_t type;
} columns[FRAME_COLUMNS_MAX] = {
    {"id", OID_INT8}, {"note", OID_TEXT}, {"extra", OID_INT4}, {"mood", OID_MOOD}};

/* The last version drops a column behind the key again: the order changes. */
static unsigned columns_count(unsigned version)
{
    return 2 + version;
}

struct frame frame_relation(unsigned table, unsigned version)
{
    struct bytes bytes = open_data(LSN_NONE);
    bytes_append_char(&bytes, 'R');
    put_u32(&bytes, FRAME_RELID + table);
    put_text(&bytes, "public");
    put_text(&bytes, table_names[table]);
    bool full = table == FULL_TABLE;
    bytes_append_char(&bytes, full ? 'f' : 'd');
    put_u16(&bytes, (uint16_t)columns_count(version));
    for (unsigned index = 0; index < columns_count(version); index++) {
        bytes_append_char(&bytes, index == 0 || full ? 1 : 0);
        put_text(&bytes, columns[index].name);
        put_u32(&bytes, columns[index].type);
        put_u32(&bytes, UINT32_MAX);
    }
    return closed(&bytes);
}

struct link_column *frame_describe(const struct relation *relation)
{
    struct link_column *facts = calloc(relation->columns_count + 1, sizeof(*facts));
    FAN_ASSERT(facts != NULL);
    for (size_t index = 0; index < relation->columns_count; index++) {
        facts[index] = (struct link_column){.type = relation->columns[index].type,
                                            .in_primary_key = index == 0,
                                            .not_null = index == 0};
    }
    return facts;
}

static void put_value(struct bytes *bytes, const char *text)
{
    bytes_append_char(bytes, 't');
    put_u32(bytes, (uint32_t)strlen(text));
    bytes_append_text(bytes, text);
}

/* The note names the event, so that what a target gets can be compared with the truth. */
static void put_row(struct bytes *bytes, const struct wal_event *event, size_t index, size_t id)
{
    put_u16(bytes, (uint16_t)columns_count(event->version));
    char text[32];
    (void)snprintf(text, sizeof(text), "%zu", id); /* fits */
    put_value(bytes, text);
    int length = snprintf(text, sizeof(text), "e%zu.", index);
    bytes_append_char(bytes, 't');
    put_u32(bytes, (uint32_t)length + event->text_size);
    bytes_append_text(bytes, text);
    for (uint32_t left = event->text_size; left > 0; left--) {
        bytes_append_char(bytes, 'x');
    }
    if (event->version > 0) {
        bytes_append_char(bytes, 'n');
    }
    if (event->version > 1) {
        put_value(bytes, "glad");
    }
}

static void put_key(struct bytes *bytes, const struct wal_event *event, size_t id)
{
    put_u16(bytes, (uint16_t)columns_count(event->version));
    char text[32];
    (void)snprintf(text, sizeof(text), "%zu", id); /* fits */
    put_value(bytes, text);
    for (unsigned column = 1; column < columns_count(event->version); column++) {
        bytes_append_char(bytes, 'n');
    }
}

static void put_old(struct bytes *bytes, const struct wal_event *event, size_t index, size_t id)
{
    bool full = event->table == FULL_TABLE;
    bytes_append_char(bytes, full ? 'O' : 'K');
    if (full) {
        put_row(bytes, event, index, id);
    } else {
        put_key(bytes, event, id);
    }
}

static void put_message(struct bytes *bytes, const struct wal_event *event, size_t index)
{
    bool loose = event->position.seq == SEQ_MESSAGE;
    bytes_append_char(bytes, 'M');
    bytes_append_char(bytes, loose ? 0 : 1);
    put_u64(bytes, event->lsn.value);
    put_text(bytes, table_names[WAL_MESSAGES]);
    char text[32];
    int length = snprintf(text, sizeof(text), "e%zu.", index);
    put_u32(bytes, (uint32_t)length);
    bytes_append_text(bytes, text);
}

/* Some keys meet often. */
static size_t key_of(size_t index)
{
    return index % KEYS;
}

/* Of the row before the change. */
static size_t old_key_of(const struct wal_event *event, size_t index)
{
    return event->key_change ? key_of(index) + 1 : key_of(index);
}

uint32_t frame_keys(const struct wal *wal, size_t index)
{
    const struct wal_event *event = &wal->events[index];
    if (event->op == CHANGE_TRUNCATE || event->op == CHANGE_MESSAGE) {
        return 0;
    }
    uint32_t new_key = UINT32_C(1) << (event->table * KEY_BITS + key_of(index));
    uint32_t old_key = UINT32_C(1) << (event->table * KEY_BITS + old_key_of(event, index));
    return event->op == CHANGE_INSERT   ? new_key
           : event->op == CHANGE_DELETE ? old_key
                                        : new_key | old_key;
}

struct frame frame_change(const struct wal *wal, size_t index)
{
    const struct wal_event *event = &wal->events[index];
    struct bytes bytes = open_data(event->lsn);
    if (event->op == CHANGE_MESSAGE) {
        put_message(&bytes, event, index);
        return closed(&bytes);
    }
    if (event->op == CHANGE_TRUNCATE) {
        bytes_append_char(&bytes, 'T');
        put_u32(&bytes, event->group);
        bytes_append_char(&bytes, 0);
        for (unsigned at = 0; at < event->group; at++) {
            put_u32(&bytes, FRAME_RELID + wal->events[index + at].table);
        }
        return closed(&bytes);
    }
    bytes_append_char(&bytes, event->op == CHANGE_INSERT   ? 'I'
                              : event->op == CHANGE_UPDATE ? 'U'
                                                           : 'D');
    put_u32(&bytes, FRAME_RELID + event->table);
    size_t id = key_of(index);
    if (event->op == CHANGE_DELETE ||
        (event->op == CHANGE_UPDATE && (event->key_change || event->table == FULL_TABLE))) {
        put_old(&bytes, event, index, old_key_of(event, index));
    }
    if (event->op != CHANGE_DELETE) {
        bytes_append_char(&bytes, 'N');
        put_row(&bytes, event, index, id);
    }
    return closed(&bytes);
}
