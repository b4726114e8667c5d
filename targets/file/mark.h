/*
 * mark.h - a place in the output of a file target, and its text in a checkpoint.
 *
 * The text is the `detail` of a checkpoint, in one line:
 *
 *     file=1A2B3C4D segment=7 base=0 offset=1048576 events=4096 crc=9ABCDEF0 first=16B3748/0
 *
 * `file` is the CRC32C of the configured path: a checkpoint of another path says nothing about
 * this file. Events and crc cover the bytes from `base`, where this engine began to write in the
 * segment, to `offset`.
 */
#ifndef TARGETS_FILE_MARK_H
#define TARGETS_FILE_MARK_H

#include <stdbool.h>
#include <stdint.h>

#include "model/position.h"
#include "targets/target.h"

struct file_mark {
    uint32_t file;
    uint64_t segment; /* from 1 */
    uint64_t base;
    uint64_t offset;
    uint64_t events;
    uint32_t crc;
    struct fan_position first;    /* of the segment's first event; meaningless while events is 0 */
    struct fan_position position; /* of the last event accepted, in this or an earlier segment */
};

/* Everything but `position` goes to the text. */
void file_mark_format(const struct file_mark *mark, char text[TARGET_DETAIL_MAX]);

/* Reads exactly what file_mark_format() writes; `position` is left alone. */
bool file_mark_parse(const char *text, struct file_mark *ret_mark);

#endif
