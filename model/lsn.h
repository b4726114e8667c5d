/*
 * lsn.h - a position in PostgreSQL's write-ahead log.
 *
 * A struct, so that an LSN is never mixed up with a count or a size. Zero is "no position"
 * (InvalidXLogRecPtr). Text form: two hexadecimal halves, 16/B374D848.
 */
#ifndef MODEL_LSN_H
#define MODEL_LSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fan_lsn {
    uint64_t value;
};

enum { LSN_TEXT_SIZE = 18 };

#define LSN_NONE ((struct fan_lsn){0})

static inline struct fan_lsn lsn_min(struct fan_lsn left, struct fan_lsn right)
{
    return left.value < right.value ? left : right;
}

static inline struct fan_lsn lsn_max(struct fan_lsn left, struct fan_lsn right)
{
    return left.value > right.value ? left : right;
}

/* Writes the text form with NUL and returns its length. */
size_t lsn_format(struct fan_lsn lsn, char text[LSN_TEXT_SIZE]);

/* Accepts exactly the text form, in either case. */
bool lsn_parse(const char *text, struct fan_lsn *ret_lsn);

#endif
