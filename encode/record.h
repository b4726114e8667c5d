/*
 * record.h - an event as the records that a keyed log gets of it: each a key and a value.
 *
 *     6 21 <LF> {"a":1} ...value...              -: there is none, such as the value of a tombstone
 *     6 21 58 <LF> {"a":1} ...value... headers   the third size: it has headers
 *     t6 21 <LF> {"a":1} ...value...             a mark of a transaction, which is about no row
 *
 * An envelope writes one event as several records where its consumers expect that (Debezium: a delete
 * is two, a change of the key three), and the key in its own form. Both go into the event's bytes, in
 * this framing, when settings.records asks for it; so they survive a spill and the dead letters
 * together. A frame is the decimal sizes of its parts, a line feed, and the bytes of them. Headers are
 * records themselves, with the name as the key and no headers of their own.
 *
 * Threading:  stateless.
 * Limits:     whoever writes headers bounds their number; all of them are part of the event's bytes.
 */
#ifndef ENCODE_RECORD_H
#define ENCODE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* NULL and 0: there is none, which is not the same as an empty one. Borrowed. */
struct record {
    const uint8_t *key;
    size_t key_size;
    const uint8_t *value;
    size_t value_size;
    const uint8_t *headers; /* framed as above; NULL: it has none */
    size_t headers_size;
    bool mark; /* it tells where a transaction begins or ends */
};

/* Appends one record; memory shows in bytes_ok(out). */
void record_append(struct bytes *out, const struct record *record);

/* Appends a header to those of a record that is still to be written. */
void record_header_append(struct bytes *headers, const char *name, const uint8_t *value,
                          size_t value_size);

/* Reads the record at `*at` of the event's bytes, or the header there of a record's headers, and moves
 * `*at` behind it. False: there is none there, or the bytes are no records; `*at == size` tells the end.
 * What the headers of a record hold is not looked at. */
bool record_next(const uint8_t *bytes, size_t size, size_t *at, struct record *ret_record);

#endif
