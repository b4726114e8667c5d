/*
 * record.h - an event as the records that a keyed log gets of it: each a key and a value.
 *
 *     6 21 <LF> {"a":1} ...value...        -: there is none, such as the value of a tombstone
 *
 * An envelope writes one event as several records where its consumers expect that (Debezium: a delete
 * is two, a change of the key three), and the key in its own form. Both go into the event's bytes, in
 * this framing, when settings.records asks for it; so they survive a spill and the dead letters
 * together. A frame is the decimal sizes of key and value, a line feed, and the bytes of both.
 *
 * Threading:  stateless.
 */
#ifndef ENCODE_RECORD_H
#define ENCODE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum { RECORD_HEAD_MAX = 24 };

/* NULL and 0: there is none, which is not the same as an empty one. Borrowed. */
struct record {
    const uint8_t *key;
    size_t key_size;
    const uint8_t *value;
    size_t value_size;
};

/* Appends one record; memory shows in bytes_ok(out). */
void record_append(struct bytes *out, const struct record *record);

/* Reads the record at `*at` of the event's bytes, and moves `*at` behind it. False: there is none
 * there, or the bytes are no records; `*at == size` tells the end. */
bool record_next(const uint8_t *bytes, size_t size, size_t *at, struct record *ret_record);

#endif
