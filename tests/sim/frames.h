/*
 * frames.h - writes the frames that a walsender with pgoutput, protocol 1, sends.
 *
 * Layouts: PostgreSQL documentation, "Streaming Replication Protocol" and "Logical Replication
 * Message Formats".
 *
 * Ownership:  each function returns malloc'd memory, which the receiver frees.
 */
#ifndef TESTS_SIM_FRAMES_H
#define TESTS_SIM_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include "sources/postgres/link.h"
#include "tests/sim/wal.h"

struct frame {
    void *data;
    size_t size;
    struct fan_lsn boundary; /* what may be confirmed once it is received, or 0 */
};

struct frame frame_begin(const struct wal_item *item);
struct frame frame_commit(const struct wal_item *item);
struct frame frame_keepalive(struct fan_lsn wal_end, int64_t now_us, bool reply);
struct frame frame_type(void);
struct frame frame_relation(unsigned table, unsigned version);
/* The change or message at `index`; a truncate stands for `group` events. */
struct frame frame_change(const struct wal *wal, size_t index);

/* The keys that an event is about, a bit for each (table, key): two of them when an update changes
 * the key, 0 for a truncate and a message. */
uint32_t frame_keys(const struct wal *wal, size_t index);

/* The relid of a table, and its columns in a version, as the catalog describes them. */
enum { FRAME_RELID = 16400, FRAME_COLUMNS_MAX = 4 };
struct link_column *frame_describe(const struct relation *relation);
/* "public.t0" and so on; of WAL_MESSAGES the prefix of messages. */
const char *frame_table(unsigned table);

#endif
