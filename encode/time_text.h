/*
 * time_text.h - commit times as text: 2026-11-22T01:02:03.456789Z.
 *
 * Transactions come many a second, so within one second only the last digits are made again.
 *
 * Threading:  one thread at a time. A zeroed one is ready.
 */
#ifndef ENCODE_TIME_TEXT_H
#define ENCODE_TIME_TEXT_H

#include "base/clock.h"

/* Of a time that RFC 3339 can say: a year of four digits. Others have another size. */
enum { TIME_TEXT_SIZE = 27 };

struct time_text {
    int64_t second; /* whose text is kept */
    size_t size;    /* 0: none */
    char text[CLOCK_TEXT_SIZE];
};

/* Makes the text of this time: `size` bytes of `text`. */
void time_text_set(struct time_text *time, int64_t time_us);

#endif
